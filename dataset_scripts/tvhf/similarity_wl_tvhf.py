"""Weisfeiler-Lehman similarity of graphs: how much of their labelled neighbourhoods two networks have in common.

* A node's label is its op type; sizes are left out, so that a network and a larger one of the same kind are near.
* Labels are refined by predecessors and successors; a graph is the vector of how often each refined label occurs, over
  rounds 0 to `ROUNDS`, and the similarity of two graphs is the cosine of their vectors, from 0 to 1.
* It is used to keep near duplicates on one side of a split, and to report those that are left; never for a label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from processing_archbert import ArchitectureGraph
from processing_archbert.folding_archbert import node_kinds, wl_colours

ROUNDS = 3


def wl_counts(graph: ArchitectureGraph, rounds: int = ROUNDS) -> tuple[np.ndarray, np.ndarray]:
    """Colours of all rounds, uint64 (c,), and how many nodes have each, float64 (c,)."""
    kinds = node_kinds(graph.op_types, np.empty((graph.num_nodes, 0), dtype=np.int64))
    colours, counts = [], []
    for number in range(rounds + 1):
        found, times = np.unique(kinds, return_counts=True)
        colours.append(found ^ np.uint64(number))
        counts.append(times.astype(np.float64))
        kinds = wl_colours(kinds, graph.edge_index, 1, both=True)
    return np.concatenate(colours), np.concatenate(counts)


def wl_similarity(graphs: Sequence[ArchitectureGraph], rounds: int = ROUNDS) -> np.ndarray:
    """Similarity of every pair, float32 (n, n), with 1 on the diagonal."""
    found = [wl_counts(graph, rounds) for graph in graphs]
    columns, inverse = np.unique(np.concatenate([colours for colours, _ in found]), return_inverse=True)
    starts = np.cumsum([0, *(len(colours) for colours, _ in found)])
    values = np.concatenate([counts / np.linalg.norm(counts) for _, counts in found])
    vectors = csr_matrix((values, inverse, starts), shape=(len(graphs), len(columns)))
    similarity = np.asarray((vectors @ vectors.T).todense(), dtype=np.float32)
    np.fill_diagonal(similarity, 1.0)
    return np.clip(similarity, 0.0, 1.0)
