"""The checker agrees with true rows, objects to false ones, and refuses what it cannot read."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from dataset_scripts.autonet.check import TEXTS, check_answers, check_description, group_problems, main, truth_of
from dataset_scripts.autonet.check_reading import UnreadableError, read_description, read_layer, read_question
from dataset_scripts.autonet.check_truth import GraphTruth, category_of
from dataset_scripts.autonet.check_units import DataFolderError, check_folder, repeated, report, units_of
from dataset_scripts.autonet.layer_phrases_autonet import LAYER_PHRASES, plural
from dataset_scripts.autonet.questions_autonet import all_intents, all_questions
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.ops_archbert import op_category
from processing_archbert.questions_archbert import LAYER_FUNCTIONS, LAYER_NAMES, absent
from processing_archbert.tracing_archbert import trace


def _network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 16, 1), nn.GELU(),
        nn.Conv2d(16, 16, 5, dilation=2, padding=4), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 10),
    )  # fmt: skip


@pytest.fixture(scope="module")
def row() -> dict:
    graph = trace(_network(), torch.zeros(1, 3, 64, 64))
    return {"arch_id": "a", **graph.to_row()}


@pytest.fixture(scope="module")
def truth(row: dict) -> GraphTruth:
    return truth_of(row)


def _description(text: str, label: int) -> dict:
    return {"arch_id": "a", "text": text, "label": label, "negative_kind": "" if label else "paper", "group": ""}


@pytest.mark.parametrize(
    "text",
    [
        "This network contains a 2d max pooling layer which keeps the largest value of each patch of the feature map.",
        "This model has no lstm layer, and it uses exactly 2 gelu activation functions.",
        "This neural network applies a ReLU nonlinearity directly after a 2d batch normalization layer.",
        "This model has a separable convolution layer with a kernel size of 3*3. It also has no recurrent layer.",
        "This model uses a dilated convolution operation with 5x5 kernels.",
        "This model has more gelu activation layers than relu nonlinearities.",
        "This network consists of 10 layers, which include 2 GELU activation layers and 1 linear layer.",
    ],
)
def test_true_sentences_agree_and_false_labels_do_not(text: str, truth: GraphTruth) -> None:
    assert check_description(_description(text, 1), truth).outcome == "agree"
    assert check_description(_description(text, 0), truth).outcome == "disagree"


@pytest.mark.parametrize(
    "text",
    [
        "This network contains a 3d max pooling layer.",
        "This network contains a linear layer and has 11 layers in total.",
        "This model has kernels of size 1*1.",
        "This model applies a 2d max pooling layer directly after a gelu activation function.",
        "This network does not contain any convolution layer.",
        "This deep network has about 2.5 million parameters.",
    ],
)
def test_false_sentences_are_found(text: str, truth: GraphTruth) -> None:
    assert check_description(_description(text, 1), truth).outcome == "disagree"
    assert check_description(_description(text, 0), truth).outcome == "agree"


@pytest.mark.parametrize(
    "text",
    [
        "Nothing of this is known.",
        "This network contains a wormhole layer.",
        "This network contains a relu layer which keeps the largest value of each patch.",
        "This network contains a linear layer",
    ],
)
def test_unknown_language_is_refused(text: str, truth: GraphTruth) -> None:
    with pytest.raises(UnreadableError):
        read_description(text)
    assert check_description(_description(text, 1), truth).outcome == "cannot parse"


def test_every_phrase_of_the_templates_names_its_layer() -> None:
    for layer, phrases in LAYER_PHRASES.items():
        for name in phrases.names:
            for noun in phrases.nouns:
                assert read_layer(f"{name} {noun}") == layer
                assert read_layer(plural(f"{name} {noun}")) == layer


def test_every_question_of_the_templates_is_read_as_meant() -> None:
    rng = random.Random(0)
    for kind, subject in all_intents():
        texts = list(all_questions(kind, subject))
        for text in rng.sample(texts, min(40, len(texts))):
            assert read_question(text) == (kind, subject), text


def test_categories_are_those_of_the_op_table() -> None:
    for name in LAYER_NAMES:
        if name not in ("Dil_conv2d", "Sep_conv2d"):
            assert category_of(name) == op_category(name), name
    assert not category_of("matmul") and not category_of("input")


def test_answers_are_derived_by_another_route(row: dict, truth: GraphTruth) -> None:
    facts = GraphFacts(trace(_network(), torch.zeros(1, 3, 64, 64)))
    for kind, subject in all_intents():
        question = next(all_questions(kind, subject))
        answers = list(facts.answer(kind, subject).value)
        item = {"question": question, "question_type": kind, "subject": subject, "answers": answers}
        assert check_answers(item, truth).outcome == "agree", item
        wrong = {**item, "answers": [absent("LSTM") if answers != [absent("LSTM")] else LAYER_FUNCTIONS["LSTM"]]}
        assert check_answers(wrong, truth).outcome == "disagree"


def test_a_pointwise_convolution_elsewhere_makes_no_separable_one() -> None:
    graph = nx.DiGraph()
    common = {"op_type": "Conv2d"}
    graph.add_node(0, **common, shape=(8, 1, 3, 3), attributes={"groups": 8, "kernel_h": 3, "kernel_w": 3})
    graph.add_node(1, op_type="ReLU", shape=(0, 0, 0, 0), attributes={})
    graph.add_node(2, **common, shape=(8, 8, 1, 1), attributes={"groups": 1, "kernel_h": 1, "kernel_w": 1})
    graph.add_edges_from([(0, 1), (1, 2)])
    truth = GraphTruth(graph, 100)
    assert truth.counts == {"Conv2d": 2, "ReLU": 1}
    graph.add_edge(0, 2)
    assert GraphTruth(graph, 100).counts == {"Sep_conv2d": 1, "ReLU": 1}
    assert GraphTruth(graph, 100).kernels() == {"3*3"}


def test_groups_that_are_none_are_reported() -> None:
    good = {"arch_id": "a", "text": "t", "label": 1, "negative_kind": "", "group": "g"}
    bad = {**good, "arch_id": "b", "label": 0, "negative_kind": "matched"}
    assert group_problems([good, bad]) == []
    assert any("group" in problem for problem in group_problems([good, {**bad, "text": "another"}]))
    assert any("without a group" in problem for problem in group_problems([{**bad, "group": ""}]))


def test_a_graph_or_a_name_that_occurs_twice_is_reported() -> None:
    assert repeated([("a", "1"), ("b", "2")]) == []
    assert repeated([("a", "1"), ("b", "1")]) == ["b has the graph of a"]
    assert any("more than once" in problem for problem in repeated([("a", "1"), ("a", "1")]))


def _write(folder: Path, row: dict, label: int, row_groups: tuple[int, int] = (1, 1)) -> Path:
    """A data set of two architectures a split; one description of `validation` has the label."""
    text, question = "This network contains a linear layer.", next(all_questions("pooling_types", ""))
    answers = ["MaxPool2d", "AdaptiveAvgPool2d"]
    for number, split in enumerate(("train", "validation")):
        ids = [f"{split}-{i}" for i in range(2)]
        tables: dict[str, list[dict[str, Any]]] = {
            "architectures": [{**row, "arch_id": x, "graph_hash": f"{x}"} for x in ids],
            "descriptions": [{**_description(text, 1 if x != "validation-1" else label), "arch_id": x} for x in ids],
            "aqa": [
                {"arch_id": x, "question": question, "question_type": "pooling_types", "subject": "",
                 "answers": answers}
                for x in ids
            ],
        }  # fmt: skip
        for config, rows in tables.items():
            (folder / config).mkdir(parents=True, exist_ok=True)
            size = row_groups[number] if config != "aqa" else 1
            pq.write_table(
                pa.Table.from_pylist(rows), folder / config / f"{split}-00000-of-00001.parquet", row_group_size=size
            )
    return folder


@pytest.mark.parametrize(("row_groups", "num_units"), [((1, 1), 4), ((1, 2), 3)])
def test_a_folder_is_judged_row_group_by_row_group(
    row: dict, tmp_path: Path, row_groups: tuple[int, int], num_units: int
) -> None:
    """The second split has unequal row groups, so it is one unit."""
    folder = _write(tmp_path, row, 1, row_groups)
    assert len(units_of(folder, TEXTS.configs)) == num_units
    found = check_folder(folder, (TEXTS,))
    assert found.clean and found.counts == {"descriptions": Counter(agree=4), "aqa": Counter(agree=4)}


def test_a_wrong_label_is_told_by_counts_and_exit_status(
    row: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(_write(tmp_path / "right", row, 1))]) == 0
    wrong = _write(tmp_path / "wrong", row, 0)
    found = check_folder(wrong, (TEXTS,), num_proc=2)
    assert found.counts["descriptions"] == Counter(agree=3, disagree=1) and not found.clean
    assert found == check_folder(wrong, (TEXTS,))
    assert "4 rows, 3 agree, 1 disagree, 0 cannot parse" in report(found, 5)[0]
    assert main(["--data", str(wrong)]) == 1
    assert "labelled 0" in capsys.readouterr().out


def test_texts_of_no_architecture_and_architectures_without_texts_are_problems(row: dict, tmp_path: Path) -> None:
    folder = _write(tmp_path, row, 1)
    path = folder / "descriptions" / "train-00000-of-00001.parquet"
    rows = pq.read_table(path).to_pylist()
    pq.write_table(pa.Table.from_pylist([r | {"arch_id": "x"} for r in rows]), path, row_group_size=1)
    problems = check_folder(folder, (TEXTS,)).problems
    assert any("unknown architecture 'x'" in problem for problem in problems)
    assert any("no row for 'train-0'" in problem for problem in problems)


def test_a_folder_that_is_no_data_set_is_refused(
    row: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path / "nothing")]) == 2
    assert "no Parquet file" in capsys.readouterr().out
    folder = _write(tmp_path / "data", row, 1)
    path = folder / "aqa" / "train-00000-of-00001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataFolderError, match="cut off"):
        units_of(folder, TEXTS.configs)
    path.unlink()
    with pytest.raises(DataFolderError, match="aqa for the split 'train'"):
        units_of(folder, TEXTS.configs)
