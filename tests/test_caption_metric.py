"""The metric of captions against figures worked out by hand, and ROUGE with its floors and ceiling."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import evaluate
import numpy as np
import pytest

from processing_archbert.architecture_graph_archbert import ArchitectureGraph

FOLDER = Path(__file__).resolve().parents[1] / "metrics" / "caption_claims"


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path_factory.mktemp("metrics")))


@pytest.fixture(scope="module")
def rouge() -> ModuleType:
    spec = importlib.util.spec_from_file_location("caption_rouge", FOLDER / "caption_rouge.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graph() -> ArchitectureGraph:
    """An embedding, two linear layers with a ReLU between, and a residual addition; 2,000 parameters."""
    ops = ["input", "Embedding", "Linear", "ReLU", "Linear", "add", "output"]
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (4, 5), (5, 6)]
    parameters = np.array([0, 1000, 500, 0, 500, 0, 0])
    return ArchitectureGraph.build(ops, edges, node_parameters=parameters)


def test_precision_counts_claims_and_unreadable_sentences(metric: Any, graph: ArchitectureGraph) -> None:
    texts = [
        "A network for token sequences with about 2 thousand parameters and one ReLU activation.",
        "It has two linear layers, one residual addition and three ReLU activations. It feels fast.",
        "",
    ]
    result = metric.compute(predictions=texts, references=[graph.to_json()] * 3)
    assert result["claim_precision"] == pytest.approx(100 * (1 + 2 / 4 + 0) / 3)
    assert result["unreadable_sentences"] == pytest.approx(100 / 3)
    assert result["claims_per_caption"] == 2.0 and result["count"] == 3


def test_saying_a_true_thing_twice_gains_nothing(metric: Any, graph: ArchitectureGraph) -> None:
    once = "It has two linear layers and nine GELU activations."
    many = once[:-1].replace("It has ", "It has two linear layers, two linear layers, ") + "."
    figures = [metric.compute(predictions=[t], references=[graph.to_json()])["claim_precision"] for t in (once, many)]
    assert figures == [50.0, 50.0]


def test_recall_asks_for_the_reference_claims(metric: Any, graph: ArchitectureGraph) -> None:
    wanted = [{"type": "parameters", "value": 2050}, {"type": "contains", "layer": "ReLU"},
              {"type": "num_inputs", "value": 1}, {"type": "num_inputs", "value": 1},
              {"type": "skip_connections", "op": "add", "value": 1}]  # fmt: skip
    text = "A network with about 2 thousand parameters and one ReLU activation. It has two inputs."
    for claims in (wanted, json.dumps(wanted)):
        result = metric.compute(predictions=[text], references=[graph.to_dict()], reference_claims=[claims])
        assert result["claim_recall"] == pytest.approx(100 * 2 / 4)
        assert result["claim_precision"] == pytest.approx(100 * 2 / 3)
        assert result["claim_f1"] == pytest.approx(100 * 2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))


def test_a_graph_may_be_json_a_dictionary_or_a_row(metric: Any, graph: ArchitectureGraph) -> None:
    forms = [graph.to_json(), graph.to_dict(), graph.to_row(), json.dumps(graph.to_row())]
    result = metric.compute(predictions=["It uses linear layers."] * 4, references=forms)
    assert result["claim_precision"] == 100.0


def test_what_the_graph_leaves_open_counts_neither_way(metric: Any, graph: ArchitectureGraph) -> None:
    partial = graph.to_dict() | {"incomplete": ["decoder"]}
    text = "It has two linear layers. It uses ReLU activations."
    result = metric.compute(predictions=[text], references=[partial])
    assert result["claim_precision"] == 100.0 and result["unknown_claims"] == 50.0


@pytest.mark.parametrize("reference", ["no json", "{}", "[1]"])
def test_what_is_no_graph_is_named(metric: Any, reference: str) -> None:
    with pytest.raises(ValueError, match="references has"):
        metric.compute(predictions=["It uses linear layers."], references=[reference])


def test_columns_of_wrong_length_or_kind_are_named(metric: Any, graph: ArchitectureGraph) -> None:
    given = {"predictions": ["It uses linear layers."], "references": [graph.to_json()]}
    with pytest.raises(ValueError, match="reference_claims has 2 entries, but there are 1"):
        metric.compute(**given, reference_claims=[[], []])
    with pytest.raises(ValueError, match="no list of claims"):
        metric.compute(**given, reference_claims=[["contains"]])


def test_rouge_of_the_best_reference_beside_the_claims(metric: Any, graph: ArchitectureGraph) -> None:
    text = "It has two linear layers. It uses ReLU activations."
    given = {"predictions": [text], "references": [graph.to_json()]}
    result = metric.compute(**given, reference_texts=[["Nothing alike", text]])
    assert result["rouge1"] == result["rouge2"] == result["rougeLsum"] == pytest.approx(100.0)
    result = metric.compute(**given, reference_texts=[["It has two poolings."]])
    assert result["rouge1"] == pytest.approx(100 * 2 * 3 / (9 + 4))
    assert 0 < result["rouge2"] < result["rouge1"]


def test_floors_and_ceiling(rouge: ModuleType) -> None:
    texts = ["a red car", "a red cat", "a red car and a cat", "green"]
    assert rouge.constant_caption(texts, candidates=4) == "a red car"
    assert rouge.rouge_ceiling([["a b", "a c"], ["d", "d", "e"]])["rouge1"] == pytest.approx(75.0)
    with pytest.raises(ValueError, match="one reference or more"):
        rouge.rouge(["a"], [[]])


def test_the_nearest_graph_gives_its_caption(rouge: ModuleType) -> None:
    known = [["Conv2d", "ReLU", "ReLU"], ["Linear", "GELU"]]
    found = rouge.nearest_captions(known, ["one", "two"], [["GELU", "Linear", "add"], ["Conv2d"] * 3])
    assert found == ["two", "one"]
