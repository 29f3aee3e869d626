"""The checker agrees with true rows, objects to false ones, and refuses what it cannot read."""

from __future__ import annotations

import random

import networkx as nx
import pytest
import torch
from torch import nn

from dataset_scripts.autonet.check import check_answers, check_data, check_description, check_structure, truth_of
from dataset_scripts.autonet.check_reading import UnreadableError, read_description, read_layer, read_question
from dataset_scripts.autonet.check_truth import GraphTruth, category_of
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


def test_rows_that_do_not_fit_together_are_reported(row: dict) -> None:
    good = {"arch_id": "a", "text": "t", "label": 1, "negative_kind": "", "group": "g"}
    other = {**row, "arch_id": "b"}
    bad = {**good, "arch_id": "b", "label": 0, "negative_kind": "matched"}
    tables = {
        "architectures": {"train": [row, other], "validation": []},
        "descriptions": {"train": [good, bad], "validation": []},
        "aqa": {"train": [], "validation": []},
    }
    assert check_structure(tables) == []
    tables["descriptions"]["train"] = [good, {**bad, "text": "another"}]
    assert any("group" in problem for problem in check_structure(tables))
    tables["architectures"]["validation"] = [{**row, "arch_id": "c"}]
    assert any("has the graph of" in problem for problem in check_structure(tables))


def test_whole_tables_are_judged(row: dict) -> None:
    text = "This network contains a linear layer."
    tables = {
        "architectures": {"train": [row]},
        "descriptions": {"train": [_description(text, 1), _description(text, 0)]},
        "aqa": {"train": []},
    }
    assert [verdict.outcome for verdict in check_data(tables)["descriptions"]] == ["agree", "disagree"]
