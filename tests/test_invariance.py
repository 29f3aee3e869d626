"""Results do not depend on the batch, on the order of its rows, on the order of nodes, or on folding.

Random graphs, and real ones of the published samples, with a model of random weights and the sizes of a toy.
`benchmarks/invariance.py` asks the released checkpoint about 500 architectures.
"""

from __future__ import annotations

import importlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import any_graphs, relabelled
from tiny_checkpoint import TEXTS, tiny_config, tiny_tokenizer

from modeling_archbert import ArchBertForPreTraining, ArchBertForSequenceClassification
from processing_archbert import ArchBertGraphFeatureExtractor, ArchBertProcessor, ArchitectureGraph

ROOT = Path(__file__).resolve().parents[1]
STATEMENTS = ("It has more Conv2d than ReLU layers.", "A Linear layer follows a Conv2d layer.", *TEXTS)
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
quick = settings(max_examples=25, deadline=None)


@cache
def models(attention: str = "sdpa") -> tuple[ArchBertProcessor, Any, Any]:
    """Processor, a model that answers and one that judges; weights large enough for results to differ."""
    extractor, tokenizer = ArchBertGraphFeatureExtractor(exact_numbers=True, stated_facts=True), tiny_tokenizer()
    found = []
    for kind in (ArchBertForSequenceClassification, ArchBertForPreTraining):
        torch.manual_seed(0)
        config = tiny_config(extractor, len(tokenizer))
        config._attn_implementation = attention
        model = kind(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        found.append(model)
    return ArchBertProcessor(feature_extractor=extractor, tokenizer=tokenizer), found[0], found[1]


@torch.no_grad()
def results(graphs: list[ArchitectureGraph], fold: bool = True, attention: str = "sdpa") -> dict[str, torch.Tensor]:
    """Embeddings, logits of answers and of statements: a row for each graph."""
    processor, answering, judging = models(attention)
    texts = [STATEMENTS[i % len(STATEMENTS)] for i in range(len(graphs))]
    batch = processor(text=texts, architectures=graphs, fold=fold)
    judged = judging(**batch)
    return {
        "architectures": torch.nn.functional.normalize(judged.architecture_embeds, dim=-1),
        "answers": answering(**batch).logits,
        "statements": judged.reasoning_logits,
    }


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for name, values in expected.items():
        assert torch.allclose(found[name], values, **TOLERANCE), (name, float((found[name] - values).abs().max()))


@cache
def real_graphs(most_nodes: int = 250) -> tuple[ArchitectureGraph, ...]:
    """Small networks of the published samples: of TVHF, and generated ones."""
    files = [
        ROOT / "hub" / "datasets" / data / "sample" / "test-00000-of-00001.parquet" for data in ("tvhf", "autonet")
    ]
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    graphs = [ArchitectureGraph.from_row(row) for row in rows if len(row["op_types"]) <= most_nodes]
    assert len(graphs) >= 8
    return tuple(graphs)


graphs_of_both_kinds = st.one_of(any_graphs(), st.sampled_from(range(8)).map(lambda i: real_graphs()[i]))


def test_the_model_tells_graphs_and_statements_apart() -> None:
    """Without this the properties below would hold of a model that says the same of everything."""
    found = results(list(real_graphs()[:8]))
    for name, values in found.items():
        assert float((values - values[0]).abs().amax()) > 0.01, name


@quick
@given(graphs_of_both_kinds)
def test_folding_changes_nothing(graph: ArchitectureGraph) -> None:
    assert_equal(results([graph] * 2, fold=False), results([graph] * 2))


@quick
@given(graphs_of_both_kinds, st.integers(0, 2**32 - 1), st.booleans())
def test_the_order_of_nodes_changes_nothing(graph: ArchitectureGraph, seed: int, fold: bool) -> None:
    other = relabelled(graph, seed)
    numbers = [np.asarray(g.shapes)[:, 0].astype(np.int64) for g in (graph, other)]
    assert sorted(numbers[0].tolist()) == sorted(numbers[1].tolist())
    assert_equal(results([other] * 2, fold), results([graph] * 2, fold))


@quick
@given(st.lists(graphs_of_both_kinds, min_size=2, max_size=5), st.randoms(use_true_random=False), st.booleans())
def test_other_rows_and_their_order_change_nothing(graphs: list[ArchitectureGraph], rng: Any, fold: bool) -> None:
    processor, answering, judging = models()
    order = list(range(len(graphs)))
    rng.shuffle(order)
    texts = [STATEMENTS[i % len(STATEMENTS)] for i in order]
    together = results(graphs, fold)
    with torch.no_grad():
        batch = processor(text=texts, architectures=[graphs[i] for i in order], fold=fold)
        shuffled, judged = answering(**batch).logits, judging(**batch).reasoning_logits
        row = order[0]
        alone = processor(text=[texts[0]], architectures=[graphs[row]], fold=fold)
        single = answering(**alone).logits
    assert torch.allclose(shuffled, together["answers"][order], **TOLERANCE)
    assert torch.allclose(judged, together["statements"][order], **TOLERANCE)
    assert torch.allclose(single[0], together["answers"][row], **TOLERANCE)


@quick
@given(st.lists(graphs_of_both_kinds, min_size=1, max_size=3), st.booleans())
def test_the_attention_kernel_changes_nothing(graphs: list[ArchitectureGraph], fold: bool) -> None:
    assert_equal(results(graphs, fold, "eager"), results(graphs, fold))


# The script


@pytest.fixture(scope="module")
def script() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        return importlib.import_module("invariance")


def test_stored_results_keep_what_is_promised(script: Any) -> None:
    stored = json.loads((ROOT / "benchmarks" / "results" / "invariance.json").read_text())
    assert stored["architectures"] >= 500 and set(stored["settings"]) == set(script.SETTINGS)
    for name, result in stored["settings"].items():
        if "not_run" not in result:
            assert result["architectures"] > 0 and script.broken(result, script.TOLERANCES[name]) == [], name


def test_a_broken_promise_is_found(script: Any) -> None:
    same = script.Answers([np.ones(2)], [np.ones(2)], [np.array([0.1, 0.9])], [0.2])
    other = script.Answers([np.ones(2)], [np.ones(2)], [np.array([0.6, 0.4])], [0.7])
    strict = script.TOLERANCES["eager"]
    assert script.broken(script.compare(same, same), strict) == []
    problems = script.broken(script.compare(other, same), strict)
    assert len(problems) == 4 and "answer_probability differs by 0.5" in problems[0]
