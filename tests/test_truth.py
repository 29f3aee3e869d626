"""`trace` against two derivations that share no code with it; all thirty networks: `python -m benchmarks.truth`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.truth import (
    CHECKS,
    build,
    check_attributes,
    check_calls,
    check_edges,
    check_network,
    check_parameters,
    trace_case,
)
from benchmarks.truth_networks import NETWORKS
from processing_archbert import ArchitectureGraph

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "truth.json"
SAMPLE = ("shared blocks", "tied text", "in place", "written out", "torch stack", "autonet experts", "bart", "mixtral")


@pytest.mark.parametrize("name", SAMPLE)
def test_both_derivations_agree_with_trace(name: str) -> None:
    result = check_network(name)
    assert [result[check] for check in CHECKS] == [[], [], [], []]


def test_the_stored_comparison_has_thirty_networks_and_no_difference() -> None:
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert [row["network"] for row in stored["networks"]] == list(NETWORKS)
    assert len(NETWORKS) == 30
    assert stored["agree"] == dict.fromkeys(CHECKS, 30)


def without(graph: ArchitectureGraph, edge: int) -> ArchitectureGraph:
    """The graph without one of its edges."""
    return dataclasses.replace(graph, edge_index=np.delete(graph.edge_index, edge, axis=1))


def test_a_missing_edge_is_seen() -> None:
    case = build("shared blocks")
    graph = trace_case(case)
    for edge in range(graph.num_edges):
        found = check_edges(case, without(graph, edge))
        assert len(found) == 1 and found[0].startswith("edge only in export")


def test_parameters_at_the_wrong_node_and_lost_ones_are_seen() -> None:
    case = build("tied text")
    graph = trace_case(case)
    counts = graph.node_parameters.copy()
    first, last = np.flatnonzero(counts)[[0, -1]]
    counts[first], counts[last] = counts[last], counts[first]
    assert len(check_edges(case, dataclasses.replace(graph, node_parameters=counts))) == 2
    lost = graph.node_parameters.copy()
    lost[last] = 0
    unused = graph.num_parameters - int(lost.sum())
    damaged = dataclasses.replace(graph, node_parameters=lost, unused_parameters=unused)
    assert any("autograd" in line for line in check_parameters(case, damaged))


def test_a_missing_call_is_seen() -> None:
    case = build("shared blocks")
    graph = trace_case(case)
    names = list(graph.node_names)
    names[names.index("block")] = "elsewhere"
    assert check_calls(case, dataclasses.replace(graph, node_names=tuple(names))) == ["block has 2 nodes for 3 calls"]
    names = ["elsewhere" if name == "head" else name for name in graph.node_names]
    damaged = dataclasses.replace(graph, node_names=tuple(names))
    assert check_calls(case, damaged) == ["head has no node for 1 calls"]


def test_a_wrong_attribute_is_seen() -> None:
    case = build("written out")
    graph = trace_case(case)
    damaged = dataclasses.replace(graph, attributes=np.where(graph.attributes == 4, 3, graph.attributes))
    assert check_attributes(case, damaged) == ["num_heads is [3], the configuration says [4]"]
