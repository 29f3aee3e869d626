"""Whether two graphs of equal hash are the same graph: a mapping of nodes, found by refinement and then checked.

A general search takes forever on the many equal parts of large networks. Here nodes are coloured until the colours no
longer split, nodes of one colour are matched in execution order, and the mapping counts only if it carries every edge
over; where it does not, one more node is told apart from its twins and the colours are refined again.
"""

from __future__ import annotations

import numpy as np

from processing_archbert import ArchitectureGraph
from processing_archbert.architecture_graph_archbert import mix64, refine_colours
from processing_archbert.folding_archbert import node_kinds

MAX_ATTEMPTS = 64


def are_isomorphic(first: ArchitectureGraph, second: ArchitectureGraph) -> bool:
    """Whether a mapping of nodes was found that keeps op types, shapes, attributes and edges.

    True is proven; False means that none was found in `MAX_ATTEMPTS` attempts.
    """
    if (first.num_nodes, first.num_edges) != (second.num_nodes, second.num_edges):
        return False
    colours = [_stable(_kinds(graph), graph) for graph in (first, second)]
    for attempt in range(MAX_ATTEMPTS):
        order = [np.argsort(c, kind="stable") for c in colours]
        if not np.array_equal(colours[0][order[0]], colours[1][order[1]]):
            return False
        if _carries(first, second, *order):
            return True
        _, starts, counts = np.unique(colours[0][order[0]], return_index=True, return_counts=True)
        if not (tied := np.flatnonzero(counts > 1)).size:
            return False
        place = starts[tied[0]]
        for c, by in zip(colours, order, strict=True):
            c[by[place]] = mix64(np.array([attempt + 1], dtype=np.uint64))[0]
        colours = [_stable(c, graph) for c, graph in zip(colours, (first, second), strict=True)]
    return False


def _kinds(graph: ArchitectureGraph) -> np.ndarray:
    return node_kinds(graph.op_types, np.concatenate([graph.shapes, graph.attributes], axis=1))


def _stable(colours: np.ndarray, graph: ArchitectureGraph) -> np.ndarray:
    """Colours, uint64 (m,), refined until their number no longer grows."""
    src, dst = graph.edge_index.astype(np.int64)
    count = len(np.unique(colours))
    for _ in range(graph.num_nodes):
        refined = refine_colours(colours, src, dst, both=True)
        found = len(np.unique(refined))
        if found == count:
            break
        colours, count = refined, found
    return colours


def _carries(first: ArchitectureGraph, second: ArchitectureGraph, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the mapping of nodes `one[i]` -> `other[i]` maps nodes and edges onto each other."""
    mapping = np.empty_like(one)
    mapping[one] = other
    if not np.array_equal(_kinds(first)[one], _kinds(second)[other]):
        return False
    size = first.num_nodes
    a = np.sort(mapping[first.edge_index[0]] * size + mapping[first.edge_index[1]])
    b = np.sort(second.edge_index[0].astype(np.int64) * size + second.edge_index[1])
    return bool(np.array_equal(a, b))
