"""Predicates, facts, sentence files, the truth matrix and the statements of TVHF."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import BertConfig

from dataset_scripts.tvhf import check_sentences
from dataset_scripts.tvhf.descriptions_tvhf import (
    MAX_SIZE_RATIO,
    Corpus,
    description_counts,
    descriptions,
    matched_rows,
)
from dataset_scripts.tvhf.facts_tvhf import ArchitectureFacts
from dataset_scripts.tvhf.names_tvhf import NameFinder
from dataset_scripts.tvhf.predicate_parser_tvhf import PredicateError, parse
from dataset_scripts.tvhf.predicates_tvhf import compared, kleene_and, kleene_not, kleene_or
from dataset_scripts.tvhf.schema_tvhf import FACTS
from dataset_scripts.tvhf.sentences_tvhf import FOLDER, HELD_OUT_STYLE, Sentence, load_sentences
from dataset_scripts.tvhf.similarity_tvhf import near_groups, without_numbers
from dataset_scripts.tvhf.truth_tvhf import (
    FALSE,
    TRUE,
    UNKNOWN,
    Architecture,
    load_architectures,
    read_truth,
    truth_matrix,
    truth_rows,
)
from processing_archbert import ArchitectureGraph, trace

KLEENE = (True, False, None)


def facts_of(model_type: str, **config: Any) -> ArchitectureFacts:
    """Facts of a network of transformers."""
    from transformers import AutoConfig

    graph = trace(AutoConfig.for_model(model_type, **config), name=model_type)
    return ArchitectureFacts.of_graph(graph, {"config": json.dumps({"model_type": model_type, **config})})


@pytest.fixture(scope="module")
def networks() -> dict[str, ArchitectureFacts]:
    """Ten networks at their default sizes."""
    types = ("bert", "gpt2", "mistral", "mixtral", "t5", "clip", "vit", "swin", "resnet", "mamba")
    return {name: facts_of(name) for name in types}


@pytest.mark.parametrize("a", KLEENE)
@pytest.mark.parametrize("b", KLEENE)
def test_kleene_tables(a: bool | None, b: bool | None) -> None:
    """`and` is the least and `or` the greatest of false < unknown < true, and `not` turns the order around."""
    order = {False: 0, None: 1, True: 2}
    back = {value: key for key, value in order.items()}
    assert kleene_and([a, b]) is back[min(order[a], order[b])]
    assert kleene_or([a, b]) is back[max(order[a], order[b])]
    assert kleene_not(a) is back[2 - order[a]]


class TableView:
    """Facts given as they are: three flags that are true, false and unknown."""

    values = {"tied": True, "rotary": False, "state_space": None}

    def scoped(self, scope: str) -> Any:
        raise AssertionError(scope)

    def call(self, name: str, arguments: tuple[str, ...]) -> Any:
        raise AssertionError(name)

    def value(self, name: str) -> Any:
        return self.values[name]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tied and rotary", False),
        ("tied and state_space", None),
        ("rotary and state_space", False),
        ("state_space and rotary", False),
        ("rotary or state_space", None),
        ("state_space or tied", True),
        ("not state_space", None),
        ("not rotary and tied", True),
        ("rotary and tied or tied", True),
        ("rotary and (tied or tied)", False),
    ],
)
def test_junctions(text: str, value: bool | None) -> None:
    """`not` binds before `and`, `and` before `or`."""
    assert parse(text).evaluate(TableView()) is value


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("depth == ", 9, "number"),
        ("depht == 12", 0, "no fact"),
        ("depth 12", 6, "comparison"),
        ("depth = 12", 6, "cannot begin"),
        ("depth == 12 depth", 12, "'and', 'or' or the end"),
        ("(depth == 12", 12, "')' is expected"),
        ("attention == mha", 13, "grouped-query"),
        ("attention > multi-head", 10, "compares numbers"),
        ("contains(Konv2d)", 9, "no layer"),
        ("layers(Conv2d) > 1", 7, "no category"),
        ("count(Conv2d)", 0, "needs a comparison"),
        ("contains(Conv2d) == 1", 0, "takes no sign"),
        ("kernel(Conv2d, big)", 15, "kernel size"),
        ("system(1)", 0, "no call"),
        ("vision.parameters > 3", 7, "takes no scope"),
        ("left.depth == 3", 0, "no scope"),
        ("depth == encoder.activation", 9, "same level"),
        ("GELU in activation", 8, "one value"),
        ("activations == GELU", 0, "several words"),
        ("stages == 3", 10, "'['"),
        ("parameters ~ 7B +- 50%", 19, "tolerance"),
        ("depth == __import__", 9, "no fact"),
        ("not " * 40 + "tied", 128, "levels"),
        ("", 0, "predicate is text"),
    ],
)
def test_what_cannot_be_read(text: str, position: int, reason: str) -> None:
    """An error says where and why."""
    with pytest.raises(PredicateError, match="at character") as caught:
        parse(text)
    assert caught.value.position == position
    assert reason in caught.value.reason


def test_every_example_of_the_schema_parses() -> None:
    """The table of facts shows predicates that can be read."""
    for spec in FACTS.values():
        parse(spec.example)


@pytest.mark.parametrize(
    ("value", "truth"), [(110, True), (105, True), (115, True), (100, None), (121, None), (93, False), (127, False)]
)
def test_about(value: int, truth: bool | None) -> None:
    """About 110: true within 5%, false beyond 15%, unknown between."""
    assert compared(value, "~", 110, FACTS["parameters"]) is truth


def test_stages_have_to_agree() -> None:
    """A number beside the values of several stages is true of all, false of all, or unknown."""
    spec = FACTS["hidden"]
    assert compared((96, 192), "==", 96, spec) is None
    assert compared((96, 192), "==", 64, spec) is False
    assert compared((96, 192), ">", 64, spec) is True
    assert compared(None, "==", 64, spec) is None


KNOWN = {
    "bert": {
        "encoder.depth == 12 and hidden == 768 and heads == 12": True,
        "norm_position == post and activation == GELU and not gated": True,
        "intermediate == 4 * hidden": True,
        "positions == 512 and vocabulary == 30522 and token_types == 2": True,
        "parameters ~ 110M": True,
        "parameters < 100M": False,
        "form == encoder-only": True,
        "decoder.depth == 12": False,
        "vision.depth == 12": False,
        "count(LayerNorm) == 25": True,
        "follows(GELU, Linear)": True,
        "experts == 0 and lacks(Conv2d)": True,
        "tied": None,
        "year == 2018": None,
    },
    "gpt2": {
        "decoder.causal and decoder.norm_position == pre and form == decoder-only": True,
        "encoder.depth == 12": False,
    },
    "mistral": {
        "attention == grouped-query and kv_heads == 8 and heads == 32": True,
        "window == 4096 and global_layers == 0 and local_layers == 32": True,
        "rotary and gated and norm == RMSNorm and activation == SiLU": True,
        "kv_heads < heads": True,
        "kv_cache == 131072": True,
        "attention == multi-query": False,
    },
    "mixtral": {"experts == 8 and top_k == 2": True, "experts == 16": False, "parameters ~ 47B": True},
    "t5": {
        "encoder.depth == 6 and decoder.depth == 6": True,
        "depth == 6": None,
        "depth == 7": False,
        "each.depth == 6": True,
        "form == encoder-decoder and decoder.cross and not encoder.cross": True,
        "decoder.hidden == encoder.hidden": True,
        "decoder.hidden == 2 * encoder.hidden": False,
        "decoder.hidden == vision.hidden": False,
        "hidden == 512": True,
    },
    "clip": {
        "vision.hidden == 768 and text.hidden == 512": True,
        "hidden == 768": None,
        "hidden == 1024": False,
        "some.hidden == 512": True,
        "audio.depth == 12": False,
        "patch == 32": True,
        "text.causal": True,
    },
    "vit": {"patch == 16 and positions == 197 and vision.norm_position == pre": True, "kind == convolutional": False},
    "swin": {
        "stages == [2, 2, 6, 2] and widths == [96, 192, 384, 768] and depth == 12": True,
        "stage_heads == [3, 6, 12, 24]": True,
        "hidden == 768": None,
        "window == 0": None,
    },
    "resnet": {
        "stages == [3, 4, 6, 3] and num_stages == 4 and kind == convolutional": True,
        "attention == none and attention_layers == 0": True,
        "kernel(Conv2d, 7x7) and stem_kernel == 7 and stem_stride == 2 and patch == 0": True,
        "heads == 12": False,
        "skips(add) == 12": True,
        "1x1 in kernels": True,
    },
    "mamba": {
        "state_space and attention_layers == 0 and depth == 32": True,
        "kv_cache == 0": True,
        "causal": None,
        "kernel(Conv1d, 4)": True,
    },
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_truths(networks: dict[str, ArchitectureFacts], name: str) -> None:
    """What is known of ten networks."""
    said = {text: parse(text).evaluate(networks[name]) for text in KNOWN[name]}
    assert said == KNOWN[name]


def test_configuration_and_graph_have_to_agree(networks: dict[str, ArchitectureFacts]) -> None:
    """A configuration that states another depth makes the depth unknown, and nothing else."""
    sheet = networks["bert"].sheet
    facts = ArchitectureFacts(sheet, {"config": json.dumps({"model_type": "bert", "num_hidden_layers": 6})})
    assert parse("depth == 12").evaluate(facts) is None
    assert parse("hidden == 768").evaluate(facts) is True


def test_incomplete_graphs_know_little() -> None:
    """Of a graph that misses a tower only what is there, and its parameters, are known."""
    graph = ArchitectureGraph.from_dict(_tiny_graph(incomplete=["decoder"]))
    facts = ArchitectureFacts.of_graph(graph)
    assert parse("contains(Linear)").evaluate(facts) is True
    assert parse("contains(Conv2d)").evaluate(facts) is None
    assert parse("lacks(Linear)").evaluate(facts) is False
    assert parse("count(Linear) == 1").evaluate(facts) is None
    assert parse("depth == 3").evaluate(facts) is None
    assert parse("parameters == 6").evaluate(facts) is True


def _tiny_graph(incomplete: list[str] | None = None) -> dict[str, Any]:
    import torch

    graph = trace(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()), torch.zeros(1, 2)).to_dict()
    return graph | {"incomplete": incomplete or []}


def test_table_facts() -> None:
    """Facts of the registry; an empty field is unknown, a task that is not listed is false."""
    record = {
        "modality": ["text"], "tasks": ["text classification"], "year": 2018, "source": "transformers",
        "origin": json.dumps({"organisation": "Google"}),
    }  # fmt: skip
    graph = ArchitectureGraph.from_dict(_tiny_graph())
    facts, empty = ArchitectureFacts.of_graph(graph, record), ArchitectureFacts.of_graph(graph, {"year": 0})
    for text, value in {
        '"text classification" in tasks and year == 2018 and text in modality': True,
        '"depth estimation" in tasks': False,
        '"image classification" in tasks': False,
        '"question answering" in tasks': None,
        '"organisation=Google" in origin and library == transformers': True,
    }.items():
        assert parse(text).evaluate(facts) is value
        assert parse(text).evaluate(empty) is None


def sentence(text: str, predicate: str = "tied", **fields: Any) -> Sentence:
    """A sentence for tests."""
    values = {
        "kind": "structure", "style": "plain", "family": "a", "group": "g", "of": (), "mentions_name": False,
        "author_kind": "machine-written", "file": "g.yaml", "line": 1,
    }  # fmt: skip
    return Sentence(text=text, predicate=predicate, **{**values, **fields})


def write(folder: Path, text: str) -> Path:
    """A sentence file with one sentence, or with the text given."""
    folder.mkdir(exist_ok=True)
    (folder / "group.yaml").write_text(text, encoding="utf-8")
    return folder


GOOD = """- family: bert
  sentences:
  - text: It has twelve layers.
    kind: structure
    style: plain
    predicate: depth == 12
"""


@pytest.mark.parametrize(
    ("wrong", "line", "reason"),
    [
        (GOOD.replace("depth == 12", "depth === 12"), 6, "cannot be read"),
        (GOOD.replace("plain", "poetic"), 5, "no style"),
        (GOOD.replace("structure", "opinion"), 4, "no kind"),
        (GOOD.replace("    kind: structure\n", ""), 3, "'kind' is missing"),
        (GOOD.replace("kind:", "sort:"), 4, "no key"),
        (GOOD.replace("It has twelve layers.", "It has twelve layers"), 3, "full stop"),
        (GOOD.replace("It has twelve layers.", "It is deep. It has twelve layers."), 3, "more than one sentence"),
        (GOOD.replace("It has", "it has"), 3, "capital"),
        (GOOD + GOOD.split("\n", 2)[2].replace("twelve layers.", "Twelve layers."), 7, "already at"),
        (GOOD.replace("depth == 12", "year == 2018"), 6, "fact of the table"),
        (GOOD.replace("structure", "purpose"), 6, "needs a fact of the table"),
        (GOOD.replace("family: bert", "name: bert"), 1, "keys `family`"),
    ],
)
def test_bad_files_name_file_and_line(tmp_path: Path, wrong: str, line: int, reason: str) -> None:
    """Every problem begins with file and line."""
    _, problems = load_sentences(write(tmp_path / "s", wrong))
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{tmp_path / 's' / 'group.yaml'}:{line}: ")
    assert reason in problems[0]


def test_good_file(tmp_path: Path) -> None:
    """A good file has no problem, and every sentence knows its line."""
    sentences, problems = load_sentences(write(tmp_path / "s", GOOD))
    assert not problems
    assert (sentences[0].line, sentences[0].family, sentences[0].checked) == (3, "bert", True)


def architecture(name: str, facts: ArchitectureFacts, **record: Any) -> Architecture:
    """An architecture for tests."""
    return Architecture({"arch_id": f"hf-{name}", "name": name, "family": name, "split": "train"} | record, facts)


def test_sentences_have_to_be_true_of_their_family(networks: dict[str, ArchitectureFacts]) -> None:
    """False and unknown of a member are problems, and say of which."""
    found = [architecture("bert", networks["bert"]), architecture("swin", networks["swin"])]
    said = [
        sentence("A.", "depth == 12", family="bert"),
        sentence("B.", "depth == 11", family="bert", line=7),
        sentence("C.", "hidden == 768", family="swin"),
        sentence("D.", "depth == 12", family="bert", of=("bert", "swin")),
        sentence("E.", "depth == 12", family="gone"),
    ]
    problems = check_sentences.check_truth(said, found, truth_matrix(said, found))
    assert len(problems) == 3
    assert problems[0].startswith("g.yaml:7: ")
    assert "false of bert" in problems[0]
    assert "unknown of swin" in problems[1]
    assert "no member of 'gone'" in problems[2]
    assert len(check_sentences.check_truth(said, found, truth_matrix(said, found), partial=True)) == 2


def test_names_in_texts() -> None:
    """Names are found in any spelling; common words only where they are written as names."""
    finder = NameFinder(["bert", "deberta_v2", "opt", "bit", "vit-base-patch16-384", "wide_resnet50_2"])
    for text in (
        "Like BERT.",
        "A DeBERTa-v2 cousin.",
        "As OPT does.",
        "A ViT.",
        "The wide resnet50 2.",
        "GPT-2 size.",
    ):
        assert finder.find(text), text
    for text in ("Every bit counts.", "Users opt for it.", "The robertson screw.", "An activity."):
        assert finder.find(text) is None, finder.find(text)
    problems = check_sentences.check_names([sentence("Like BERT."), sentence("Deep.", mentions_name=True)], finder)
    assert len(problems) == 2


def test_families_and_members_exist() -> None:
    """Unknown families and members are problems."""
    said = [sentence("A.", family="bert", of=("bert", "bertha")), sentence("B.", family="none")]
    problems = check_sentences.check_families(said, {"bert": ["bert"]})
    assert ["bertha" in problems[0], "'none'" in problems[1], len(problems)] == [True, True, 2]


def test_the_project_s_sentences_are_well_formed() -> None:
    """Files that are in the project have no problem of form, three styles or more, and the held-out one."""
    sentences, problems = load_sentences(FOLDER)
    assert not problems
    styles = Counter(s.style for s in sentences)
    assert len(styles) >= 4
    assert styles[HELD_OUT_STYLE]
    assert {s.author_kind for s in sentences} == {"machine-written"}


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command reads Parquet, says what is wrong with file and line, and its exit status shows it."""
    graph = trace(BertConfig(num_hidden_layers=2, hidden_size=64, num_attention_heads=4, intermediate_size=96))
    row = graph.to_row() | {"arch_id": "hf-bert", "name": "bert", "family": "bert", "split": "train", "config": ""}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    arguments = ["--architectures", str(tmp_path / "a.parquet"), "--sheets", str(tmp_path / "sheets"), "--sentences"]
    folder = write(tmp_path / "s", GOOD.replace("twelve", "two").replace("depth == 12", "depth == 2"))
    assert check_sentences.main([*arguments, str(folder)]) == 0
    write(folder, GOOD)
    assert check_sentences.main([*arguments, str(folder)]) == 1
    error = capsys.readouterr().err
    assert f"{folder / 'group.yaml'}:3: 'depth == 12' is false of bert" in error
    loaded = load_architectures(tmp_path / "a.parquet", tmp_path / "sheets")
    assert loaded[0].facts.value("parameters") == graph.num_parameters
    with pytest.raises(FileNotFoundError, match="no Parquet"):
        load_architectures(tmp_path / "none")


def test_truth_is_stored_and_read_back(networks: dict[str, ArchitectureFacts]) -> None:
    """One character for each cell."""
    found = [architecture(name, facts) for name, facts in networks.items()]
    said = [sentence("A.", "hidden == 768"), sentence("B.", "attention == none")]
    matrix = truth_matrix(said, found)
    rows = list(truth_rows(said, ["s0", "s1"], matrix))
    assert rows[0]["truth"][0] == "1"
    assert [rows[0]["num_true"], rows[0]["num_false"], rows[0]["num_unknown"]] == [
        int((matrix[0] == value).sum()) for value in (TRUE, FALSE, UNKNOWN)
    ]
    np.testing.assert_array_equal(read_truth(rows), matrix)


def test_sentences_that_differ_in_a_number_stay_together() -> None:
    """Numbers in digits and in words do not tell sentences apart; neither does little else."""
    texts = ["It has 12 layers.", "It has twelve layers.", "It has 24 layers!", "Pooling mixes tokens.", "Pool mixes."]
    assert without_numbers(texts[0]) == without_numbers(texts[1])
    vectors = np.eye(5, dtype=np.float32)
    vectors[4] = (0, 0, 0, 0.95, np.sqrt(1 - 0.95**2))
    groups = near_groups(texts, vectors)
    assert groups[0] == groups[1] == groups[2] != groups[3] == groups[4]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Forty invented architectures of different depth, and sentences on them."""
    sheet = {"incomplete": False, "has_data_flow": True, "kinds": {}, "ops": {}, "categories": {}, "kernels": {},
             "follows": [], "first": [], "last": [], "skips": {}, "network": {}}  # fmt: skip
    found = []
    for n in range(60):
        values = {"depth": n % 6, "heads": n % 4, "hidden": 64 * (1 + n % 5)}
        own = sheet | {"parameters": 10**6 + n * 10**5, "towers": [["encoder", "text", values]]}
        split = "test_new" if n % 6 == 5 else ("train", "train", "validation", "test")[n // 2 % 4]
        record = {"split": split, "family": f"f{n % 6}",
                  "modality": ["text"]}  # fmt: skip
        found.append(architecture(f"n{n}", ArchitectureFacts(own, record), **record))
    said = []
    for n in range(60):
        predicate = (f"depth == {n % 6}", f"heads == {n % 4}", f"hidden == {64 * (1 + n % 5)}", "heads < 2")[n % 4]
        letters = "".join(chr(97 + int(digit)) for digit in f"{n:02d}")
        style = HELD_OUT_STYLE if n % 7 == 0 else "plain"
        said.append(sentence(f"Sentence {letters}.", predicate, family=f"f{n % 6}", style=style))
    vectors = np.random.default_rng(0).normal(size=(60, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Corpus(said, found, truth_matrix(said, found), vectors)


def test_matched_statements(corpus: Corpus) -> None:
    """Labels are the matrix's, groups are pairs of one text, and sizes are alike."""
    index = {text: i for i, text in enumerate(s.text for s in corpus.sentences)}
    column = {a.arch_id: j for j, a in enumerate(corpus.architectures)}
    for rows in matched_rows(corpus).values():
        assert rows
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            cell = corpus.matrix[index[row["text"]], column[row["arch_id"]]]
            assert cell == (TRUE if row["label"] else FALSE)
            groups.setdefault(row["group"], []).append(row)
        for pair in groups.values():
            assert [row["label"] for row in pair] == [1, 0]
            assert pair[0]["text"] == pair[1]["text"]
            sizes = [corpus.architectures[column[row["arch_id"]]].facts.value("parameters") for row in pair]
            assert max(sizes) <= MAX_SIZE_RATIO * min(sizes)


def test_cells_of_the_splits(corpus: Corpus) -> None:
    """Each split has the sentences and architectures that its name says, and the held-out style is in test alone."""
    rows, _ = descriptions(corpus)
    texts = {split: {row["text"] for row in found} for split, found in rows.items()}
    architectures = {split: {row["arch_id"] for row in found} for split, found in rows.items()}
    assert not texts["train"] & (texts["validation"] | texts["test"] | texts["test_seen_architecture"])
    assert not architectures["train"] & (architectures["validation"] | architectures["test"])
    assert texts["test_seen_sentence"] <= {
        s.text for s, side in zip(corpus.sentences, corpus.sides, strict=True) if side == "train"
    }
    assert architectures["test_seen_sentence"].isdisjoint(architectures["train"])
    assert texts["test_seen_both"] <= texts["train"]
    assert architectures["test_seen_both"] <= architectures["train"]
    pairs = {split: {(row["arch_id"], row["text"]) for row in found} for split, found in rows.items()}
    assert not pairs["test_seen_both"] & pairs["train"]
    for split in ("train", "validation", "test_seen_sentence", "test_seen_both"):
        assert HELD_OUT_STYLE not in {row["style"] for row in rows[split]}


def test_the_paper_s_negatives(corpus: Corpus) -> None:
    """Algorithm 1: unlike all that was written for the architecture; some are true all the same, and that is said."""
    rows, shares = descriptions(corpus)
    found = rows["paper_train"] + rows["paper_validation"]
    index = {s.text: i for i, s in enumerate(corpus.sentences)}
    column = {a.arch_id: j for j, a in enumerate(corpus.architectures)}
    negatives = [row for row in found if not row["label"]]
    true = sum(corpus.matrix[index[row["text"]], column[row["arch_id"]]] == TRUE for row in negatives)
    assert shares["true"] == pytest.approx(true / len(negatives))
    assert shares["true"] > 0
    own: dict[str, list[int]] = {}
    for row in found:
        if row["label"]:
            own.setdefault(row["arch_id"], []).append(index[row["text"]])
    for row in negatives[:50]:
        likeness = corpus.embeddings[own[row["arch_id"]]] @ corpus.embeddings[index[row["text"]]]
        assert likeness.max() <= 0.5
    assert description_counts(rows)["paper_train"]["rows"] == round(0.8 * len(found))


def test_the_same_seed_gives_the_same_rows(corpus: Corpus) -> None:
    """Nothing but the seed is drawn from."""
    again = Corpus(corpus.sentences, corpus.architectures, corpus.matrix, corpus.embeddings)
    assert descriptions(again) == descriptions(corpus)


def test_bad_corpus(corpus: Corpus) -> None:
    """A matrix of another shape and an unknown split are refused."""
    with pytest.raises(ValueError, match="shape"):
        Corpus(corpus.sentences, corpus.architectures, corpus.matrix[1:], corpus.embeddings)
    wrong = [architecture("x", corpus.architectures[0].facts, split="dev"), *corpus.architectures[1:]]
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        Corpus(corpus.sentences, wrong, corpus.matrix, corpus.embeddings)


def test_build(corpus: Corpus, tmp_path: Path) -> None:
    """The three configs as Parquet; the matrix's columns stand in the order of sorted identifiers."""

    from dataset_scripts.tvhf.build_descriptions import build

    counts = build(corpus, tmp_path)
    sentences = pq.read_table(tmp_path / "sentences" / "train-00000-of-00001.parquet").to_pylist()
    truth = pq.read_table(tmp_path / "truth" / "train-00000-of-00001.parquet").to_pylist()
    assert [row["sentence_id"] for row in truth] == [row["sentence_id"] for row in sentences]
    order = sorted(range(len(corpus.architectures)), key=lambda j: corpus.architectures[j].arch_id)
    np.testing.assert_array_equal(read_truth(truth), corpus.matrix[:, order])
    rows = pq.read_table(tmp_path / "descriptions" / "train-00000-of-00001.parquet").to_pylist()
    assert counts["splits"]["train"]["rows"] == len(rows)
    assert json.loads((tmp_path / "descriptions" / "paper.json").read_text()) == counts
