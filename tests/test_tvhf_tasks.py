"""Questions, captions, search and bimodal pairs of TVHF, and the command that makes them."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_scripts.autonet.hard_views_autonet import VIEWS
from dataset_scripts.autonet.questions_autonet import QUESTIONS_PER_ARCHITECTURE
from dataset_scripts.tvhf import build_tasks, check_questions
from dataset_scripts.tvhf.bimodal_tvhf import bimodal_rows, label_counts
from dataset_scripts.tvhf.config_values_tvhf import numbers_of, stated_layer_kinds, stated_values
from dataset_scripts.tvhf.facts_tvhf import ArchitectureFacts
from dataset_scripts.tvhf.modern_forms_tvhf import MODERN_FORMS, modern_forms, say_modern
from dataset_scripts.tvhf.modern_questions_tvhf import MAX_SHARE, Dropped, answer_limit, modern_answer, modern_rows
from dataset_scripts.tvhf.network_types_tvhf import MODERN_TYPES
from dataset_scripts.tvhf.network_view_tvhf import Disagreement, NetworkView, Tower
from dataset_scripts.tvhf.predicate_parser_tvhf import parse
from dataset_scripts.tvhf.predicates_tvhf import kleene_and
from dataset_scripts.tvhf.real_texts_tvhf import (
    LEFT_OUT_TYPES,
    caption_rows,
    hard_question_rows,
    header_of_graph,
    question_rows,
)
from dataset_scripts.tvhf.real_texts_tvhf import (
    view_of as real_view_of,
)
from dataset_scripts.tvhf.search_phrases_tvhf import NOUNS, PROPERTIES, SIZES, WITHOUT
from dataset_scripts.tvhf.search_tvhf import MAX_COMPOSED, all_true, search_rows
from dataset_scripts.tvhf.statements_tvhf import StatementError, load_statements
from dataset_scripts.tvhf.truth_tvhf import FALSE, TRUE, UNKNOWN, Architecture
from processing_archbert import ArchitectureGraph, GraphFacts, trace
from processing_archbert.whole_network_archbert import network_details

_BERT = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
_LLAMA = {**_BERT, "num_key_value_heads": 2, "vocab_size": 500}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {**_BERT, "vocab_size": 700, "max_position_embeddings": 96},
    "llama": _LLAMA,
    "mixtral": {**_LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
    "resnet": {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 2], "layer_type": "basic"},
    "t5": {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4},
}


@pytest.fixture(scope="module")
def graphs() -> dict[str, ArchitectureGraph]:
    """Five small networks."""
    from transformers import AutoConfig

    return {name: trace(AutoConfig.for_model(name, **config), name=name) for name, config in CONFIGS.items()}


def view_of(name: str, graph: ArchitectureGraph, **changed: Any) -> NetworkView:
    """The view of a network whose configuration states `changed`."""
    config = json.dumps({"model_type": name, **CONFIGS[name], **changed})
    record = {"arch_id": name, "config": config, "split": "train"}
    return NetworkView(Architecture(record, ArchitectureFacts.of_graph(graph, record)), network_details(graph))


def answer(view: NetworkView, kind: str, tower: str = "") -> tuple[str, ...] | None:
    """The answer to a type, for the tower of that label."""
    found = next(t for t in view.towers or [Tower("", {})] if t.label == tower or not tower)
    return modern_answer(view, kind, found)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("llama", "attention_kind", "grouped-query attention"),
        ("bert", "attention_kind", "multi-head attention"),
        ("resnet", "num_kv_heads", "This model does not include attention"),
        ("llama", "num_kv_heads", "2"),
        ("llama", "queries_per_kv_head", "2"),
        ("llama", "kv_cache", str(3 * 2 * 2 * 16 * 2)),
        ("bert", "kv_cache", "This model does not include causal attention"),
        ("mixtral", "num_experts", "4"),
        ("mixtral", "experts_per_token", "2"),
        ("llama", "num_experts", "This model does not include experts"),
        ("llama", "is_causal", "yes"),
        ("bert", "is_causal", "no"),
        ("bert", "norm_place", "after each addition"),
        ("llama", "norm_kind", "RMSNorm"),
        ("llama", "position_encoding", "rotary"),
        ("bert", "position_table", "96"),
        ("bert", "vocabulary", "700"),
        ("resnet", "vocabulary", "This model does not include a vocabulary"),
        ("llama", "gated_feed_forward", "yes"),
        ("bert", "expansion", "2"),
        ("bert", "form", "encoder-only"),
        ("t5", "form", "encoder-decoder"),
        ("t5", "cross_attention", "yes"),
        ("t5", "deeper_tower", "decoder"),
        ("resnet", "architecture_kind", "a convolutional network"),
        ("resnet", "stem_kernel", "7"),
        ("bert", "input_kind", "tokens"),
    ],
)
def test_answers_of_known_networks(graphs: dict[str, ArchitectureGraph], name: str, kind: str, expected: str) -> None:
    assert answer(view_of(name, graphs[name]), kind) == (expected,)


def test_towers_are_asked_by_name(graphs: dict[str, ArchitectureGraph]) -> None:
    view = view_of("t5", graphs["t5"])
    assert answer(view, "depth", "encoder") == ("2",)
    assert answer(view, "depth", "decoder") == ("3",)
    assert say_modern(random.Random(0), "depth", "decoder").count("decoder of") == 1


@pytest.mark.parametrize(
    ("name", "kind", "changed"),
    [
        ("mixtral", "num_experts", {"num_local_experts": 8}),
        ("mixtral", "experts_per_token", {"num_experts_per_tok": 1}),
        ("llama", "num_kv_heads", {"num_key_value_heads": 4}),
        ("bert", "position_table", {"max_position_embeddings": 512}),
    ],
)
def test_no_question_where_graph_and_configuration_disagree(
    graphs: dict[str, ArchitectureGraph], name: str, kind: str, changed: dict[str, Any]
) -> None:
    view = view_of(name, graphs[name], **changed)
    try:
        assert answer(view, kind) is None
    except Disagreement:
        dropped = Dropped()
        modern_rows([view], "train", 0, dropped)
        assert dropped.disagreement[kind] == 1


def test_linear_attention_needs_as_many_other_layers_as_the_graph_has(graphs: dict[str, ArchitectureGraph]) -> None:
    view = view_of("llama", graphs["llama"])
    view.stated = {
        "layer_types": frozenset(["linear_attention", "full_attention"]),
        "linear_num_heads": frozenset([2]),
    }
    view.layer_kinds = {"linear_attention": 5, "full_attention": 3}
    assert answer(view, "attention_kind") == ("linear attention", "grouped-query attention")
    view.layer_kinds = {"linear_attention": 5, "full_attention": 2}
    with pytest.raises(Disagreement, match="3 layers with full attention, 2"):
        answer(view, "attention_kind")


def test_layer_kinds_are_counted_where_they_are_listed_once() -> None:
    found = stated_layer_kinds(json.dumps({"model_type": "qwen3_next", "num_hidden_layers": 8}))
    assert found == {"linear_attention": 6, "full_attention": 2}
    assert not stated_layer_kinds(json.dumps({"model_type": "bert"}))


def test_every_type_has_wordings() -> None:
    assert len(MODERN_TYPES) >= 40
    assert set(MODERN_FORMS) == set(MODERN_TYPES)
    texts: Counter[str] = Counter()
    for kind, (common, held_out) in MODERN_FORMS.items():
        assert len(common) >= 3
        assert held_out
        assert all(form.count("{part}") == 1 for form in (*common, *held_out))
        assert set(modern_forms(kind, "train")) == set(common)
        assert set(modern_forms(kind, "test")) == {*common, *held_out}
        texts.update((*common, *held_out))
    assert max(texts.values()) == 1


@pytest.mark.parametrize(("counts", "limit"), [([9, 3], 3), ([5], 0), ([8, 2, 2], 4), ([3, 3], 3), ([], 0)])
def test_no_answer_has_more_than_half(counts: list[int], limit: int) -> None:
    assert answer_limit(counts) == limit
    kept = [min(limit, n) for n in counts]
    assert max(kept, default=0) <= MAX_SHARE * sum(kept)


def test_stated_values_are_found_at_any_level() -> None:
    stated = stated_values(json.dumps({"model_type": "clip", "text_config": {"num_attention_heads": 4}}))
    assert numbers_of(stated, ["num_attention_heads"]) == {4, 12}
    assert stated_values("") == {}


def test_questions_and_captions_of_real_networks_are_true(graphs: dict[str, ArchitectureGraph]) -> None:
    for name, graph in graphs.items():
        facts = GraphFacts(graph)
        rows = question_rows(name, facts, "test", 0)
        assert len(rows) == QUESTIONS_PER_ARCHITECTURE
        for row in rows:
            assert facts.answer(row["question_type"], row["subject"]).value == tuple(row["answers"])
        captions = caption_rows(name, facts, 0)
        assert {row["length"] for row in captions} == {"sentence", "paragraph", "full"}
        assert all(facts.all_hold(json.loads(row["claims"])) for row in captions)


def test_hard_questions_are_balanced_and_put_to_every_view(graphs: dict[str, ArchitectureGraph]) -> None:
    seen = set()
    for name, graph in graphs.items():
        rows = hard_question_rows(name, graph, "test", 0)
        assert len(rows) > 8
        assert not {row["question_type"] for row in rows} & set(LEFT_OUT_TYPES)
        groups: dict[str, list[bool]] = {}
        for row in rows:
            if row["group"]:
                seen.add(row["view"])
                groups.setdefault(row["group"], []).append(row["answer_type"] == "cannot_tell")
        assert all(sorted(found) == [False, True] for found in groups.values())
    assert seen == set(VIEWS)


def test_a_header_shows_layers_with_weights_and_no_order(graphs: dict[str, ArchitectureGraph]) -> None:
    for graph in graphs.values():
        header = header_of_graph(graph)
        assert not header.has_data_flow and not header.num_edges
        assert header.num_parameters == graph.num_parameters
        assert not {"ReLU", "GELU", "SiLU", "softmax", "add", "scaled_dot_product_attention"} & set(header.op_types)
        assert header.node_parameters.all() and not header.attribute("num_heads").any()
        assert "Linear" in header.op_types or "Conv2d" in header.op_types
    resnet = header_of_graph(graphs["resnet"])
    assert resnet.attribute("kernel_h").any() and not resnet.attribute("stride_h").any()
    row = graphs["bert"].to_row()
    assert real_view_of(row, "header").op_types == header_of_graph(graphs["bert"]).op_types
    with pytest.raises(ValueError, match="weights"):
        real_view_of(row, "weights")


def test_every_row_is_answered_by_a_second_route(
    graphs: dict[str, ArchitectureGraph], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables: dict[str, list[dict[str, Any]]] = {config: [] for config in ("architectures", *build_tasks.TEXT_CONFIGS)}
    for name in ("bert", "resnet"):
        graph, facts = graphs[name], GraphFacts(graphs[name])
        tables["architectures"].append({"arch_id": name, **graph.to_row()})
        tables["aqa"] += question_rows(name, facts, "test", 0)
        tables["aqa_hard"] += hard_question_rows(name, graph, "test", 0)
        tables["captions"] += caption_rows(name, facts, 0)

    def check() -> tuple[int, str]:
        for config, rows in tables.items():
            (tmp_path / config).mkdir(exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / config / "test-00000-of-00001.parquet")
        status = check_questions.main(["--data", str(tmp_path)])
        return status, capsys.readouterr().out

    assert check()[0] == 0
    wrong = next(row for row in tables["aqa_hard"] if row["answer_type"] == "number")
    wrong["answers"] = ["12345"]
    status, said = check()
    assert status == 1 and "12345" in said and "1 disagree" in said
    assert check_questions.main(["--data", str(tmp_path), "--only", "aqa"]) == 0
    tables["aqa"][0]["arch_id"] = "nothing"
    check()
    assert check_questions.main(["--data", str(tmp_path), "--only", "aqa"]) == 2
    assert "nothing" in capsys.readouterr().err
    assert check_questions.main(["--data", str(tmp_path / "none")]) == 2


def synthetic(count: int) -> list[Architecture]:
    """Networks with drawn facts, in three splits."""
    rng = random.Random(0)
    found = []
    for number in range(count):
        causal = rng.random() < 0.5
        heads, shared = rng.choice([8, 12, 16, 32]), rng.choice([True, False])
        values = {
            "depth": rng.choice([6, 12, 24, 32]), "hidden": rng.choice([256, 768, 1024, 4096]), "heads": heads,
            "kv_heads": 8 if shared else heads, "head_dim": rng.choice([64, 128]), "causal": causal, "cross": False,
            "attention": "grouped-query" if shared and heads > 8 else "multi-head", "gated": rng.random() < 0.5,
            "norm": rng.choice(["RMSNorm", "LayerNorm"]), "activation": rng.choice(["GELU", "SiLU", "ReLU"]),
            "norm_position": rng.choice(["pre", "post", None]), "window": rng.choice([0, 4096]),
            "role": "decoder" if causal else "encoder", "num_stages": 1,
        }  # fmt: skip
        network = {
            "form": "decoder-only" if causal else "encoder-only", "kind": "transformer", "experts": rng.choice([0, 8]),
            "top_k": 2, "rotary": rng.random() < 0.5, "towers": 1, "attention_layers": 12, "state_space": False,
            "vocabulary": rng.choice([30000, 50000, 150000]),
        }  # fmt: skip
        sheet = {
            "incomplete": False, "has_data_flow": True, "parameters": rng.randrange(10**6, 10**10), "network": network,
            "towers": [["decoder" if causal else "encoder", "text", values]], "kinds": {"Linear": 9}, "ops": {},
            "categories": {"linear": 9}, "kernels": {}, "follows": [], "first": [], "last": [],
            "skips": {"add": 3, "cat": 0},
        }  # fmt: skip
        split = ("train", "validation", "test")[number % 3]
        record = {"arch_id": f"n{number:03d}", "name": f"n{number}", "family": f"f{number % 9}", "split": split,
                  "modality": ["text"]}  # fmt: skip
        found.append(Architecture(record, ArchitectureFacts(sheet, record)))
    return found


@pytest.fixture(scope="module")
def networks() -> list[Architecture]:
    """Ninety networks."""
    return synthetic(90)


def test_conjunction_of_cells_is_that_of_kleene() -> None:
    values = {True: TRUE, False: FALSE, None: UNKNOWN}
    for a in values:
        for b in values:
            cells = all_true([np.array([values[a]], np.int8), np.array([values[b]], np.int8)])
            assert cells.tolist() == [values[kleene_and([a, b])]]


def test_phrases_have_predicates_that_can_be_read() -> None:
    for predicate in [noun.predicate for noun in NOUNS] + [p.predicate for p in (*PROPERTIES, *WITHOUT, *SIZES)]:
        assert not predicate or parse(predicate)
        assert " or " not in predicate  # predicates of a query are joined by `and`
    statements = [p.statement for p in (*PROPERTIES, *WITHOUT, *SIZES)]
    assert len(statements) == len(set(statements))


def test_search_lists_all_that_a_query_is_true_of(networks: list[Architecture]) -> None:
    rows = search_rows([], networks, 0)
    assert set(rows) == {"train", "validation", "test"}
    by_id = {a.arch_id: a for a in networks}
    for split, found in rows.items():
        assert len({row["query"] for row in found}) > 10
        for row in found[::7]:
            pool = [i for i, a in by_id.items() if row["pool"] == "all" or a.record["split"] == split]
            truth = {i: parse(row["predicate"]).evaluate(by_id[i].facts) for i in pool}
            assert row["relevant"] == sorted(i for i in pool if truth[i] is True)
            assert row["ignored"] == sorted(i for i in pool if truth[i] is None)
            assert 1 <= len(row["relevant"]) <= MAX_COMPOSED
    train, test = ({row["predicate"] for row in rows[split]} for split in ("train", "test"))
    assert not train & test


def test_each_text_and_each_pair_of_a_group_has_both_labels(networks: list[Architecture]) -> None:
    rows = bimodal_rows([], networks, 0)
    by_id = {a.arch_id: a for a in networks}
    for split, found in rows.items():
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in found:
            groups.setdefault(row["group"], []).append(row)
            truth = [parse(row["predicate"]).evaluate(by_id[row[side]].facts) for side in ("arch_id_a", "arch_id_b")]
            assert sorted(map(str, truth)) == (["True", "True"] if row["label"] else ["False", "True"])
            assert {by_id[row[side]].record["split"] for side in ("arch_id_a", "arch_id_b")} == {split}
        for four in groups.values():
            keyed = [{**row, "pair": f"{row['arch_id_a']} {row['arch_id_b']}"} for row in four]
            for column in ("predicate", "pair"):
                assert all(c == {0: 1, 1: 1} for c in label_counts(keyed, column).values())


def write_architectures(folder: Path, graphs: dict[str, ArchitectureGraph], split: str = "") -> None:
    """The networks as the config `architectures`, each in another split or all in one."""
    splits = ("train", "validation", "test", "train", "train")
    rows = []
    for (name, graph), own in zip(graphs.items(), splits, strict=True):
        row = graph.to_row()
        columns = {key: value for key, value in row.items() if key not in ("costs", "guesses")}
        config = json.dumps({"model_type": name, **CONFIGS[name]})
        record = {"arch_id": name, "name": name, "family": name, "modality": ["text"], "tasks": [], "config": config}
        rows.append(columns | record | {"split": split or own})
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "all.parquet")


def test_the_command_writes_the_same_bytes_again(graphs: dict[str, ArchitectureGraph], tmp_path: Path) -> None:
    write_architectures(tmp_path / "a", graphs)
    for out in ("one", "two"):
        given = ["--architectures", str(tmp_path / "a"), "--out", str(tmp_path / out), "--work", str(tmp_path / out)]
        assert build_tasks.main(given) == 0
    report = json.loads((tmp_path / "one" / "tasks.json").read_text())
    assert report["aqa"]["rows"] == {"train": 105, "validation": 35, "test": 35}
    assert report["captions"]["rows"]["test"] == 9
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.parquet"))
    assert len(files) >= 9
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_an_unknown_split_fails(
    graphs: dict[str, ArchitectureGraph], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_architectures(tmp_path, graphs, split="dev")
    assert build_tasks.main(["--architectures", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert f"{tmp_path / 'all.parquet'}:1: unknown split 'dev'" in capsys.readouterr().err


def test_a_truth_of_other_architectures_fails(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="build_descriptions"):
        load_statements(tmp_path, ["a"])
    sentence = {"sentence_id": "s1", "text": "It is deep.", "predicate": "depth > 9", "kind": "size",
                "split": "train", "mentions_name": False}  # fmt: skip
    for config, row in (("sentences", sentence), ("truth", {"sentence_id": "s1", "truth": "10"})):
        (tmp_path / config).mkdir()
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / config / "train-00000-of-00001.parquet")
    assert load_statements(tmp_path, ["b", "a"])[0].cells.tolist() == [FALSE, TRUE]
    with pytest.raises(StatementError, match="2 architectures"):
        load_statements(tmp_path, ["a", "b", "c"])
