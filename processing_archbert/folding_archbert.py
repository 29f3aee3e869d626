"""Weisfeiler-Lehman folding: equal parts of a graph become one token, without loss for a graph attention network.

* A node's colour is what the model sees of it, refined k times by the multiset of its neighbours' colours. A message
  passing network of k layers gives nodes of one colour one embedding, so one of them, its count and its own incoming
  edges (parallel ones kept) stand for all.
* Colours are 64-bit digests of content: they depend neither on the order of nodes nor on the process. That two
  different neighbourhoods share one happens with a probability of about m^2 / 2^65.
* Folding forgets where a node stands; that comes back as the depths of a colour's nodes and as the sequence of
  repeated blocks.

m nodes, e edges, F feature columns, n tokens (colours), D levels of depth. Everything is numpy; a million nodes take
seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .architecture_graph_archbert import mix64, refine_colours

MAX_BLOCK_PERIOD = 256

_ODD = np.uint64(0x9E3779B97F4A7C15)


class Folding(NamedTuple):
    """Which token stands for which node, and the edges between tokens.

    Attributes:
        node_tokens: int64 (m,), token of each node.
        representatives: int64 (n,), the first node of each colour, ascending; the order of tokens.
        counts: int64 (n,), number of nodes of each colour.
        edges: int64 (e', 2), (source token, target token) of the edges into the representatives, parallel ones kept.
        reverse_edges: int64 (e'', 2), (source token, target token) of the messages from successors, which run from
            the reader of a representative to it; parallel ones kept.
        other_edges: int64 (f, 2), the distinct (source token, target token) of edges into other nodes that no edge
            of `edges` says. Nodes of one colour have predecessors that are equal one round earlier, so messages need
            none of these; which token follows which does.
    """

    node_tokens: np.ndarray
    representatives: np.ndarray
    counts: np.ndarray
    edges: np.ndarray
    reverse_edges: np.ndarray
    other_edges: np.ndarray


class Block(NamedTuple):
    """A run of equal stretches of levels: `repeats` times `period` levels, from level `start` on."""

    start: int
    period: int
    repeats: int


def node_kinds(op_types: Sequence[str], features: np.ndarray) -> np.ndarray:
    """Digests of what the model sees of each node by itself, uint64 (m,).

    Args:
        op_types: m op types.
        features: integers (m, F), all else that the model sees of a node.
    """
    codes = {op: int.from_bytes(hashlib.blake2b(op.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
             for op in set(op_types)}  # fmt: skip
    kinds = np.fromiter((codes[op] for op in op_types), dtype=np.uint64, count=len(op_types))
    for column in range(features.shape[1]):
        kinds = mix64(kinds * _ODD + features[:, column].astype(np.uint64))
    return kinds


def wl_colours(kinds: np.ndarray, edge_index: np.ndarray, rounds: int, both: bool = False) -> np.ndarray:
    """Colours after `rounds` Weisfeiler-Lehman rounds, uint64 (m,).

    Args:
        kinds: uint64 (m,), the colours to start from (`node_kinds`).
        edge_index: (2, e), rows source and target.
        rounds: number of refinements; at least the number of graph attention layers for the folding to be exact.
        both: refine by predecessors and successors (told apart) instead of predecessors only.
    """
    colours, (source, target) = kinds, edge_index.astype(np.int64)
    for _ in range(rounds):
        colours = refine_colours(colours, source, target, both)
    return colours


def fold(colours: np.ndarray, edge_index: np.ndarray) -> Folding:
    """Merge the nodes of each colour, (m,), into one token; edges are those of the colour's first node."""
    _, first, inverse, counts = np.unique(colours, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)
    token_of_colour = np.empty_like(order)
    token_of_colour[order] = np.arange(len(order))
    node_tokens, representatives = token_of_colour[inverse], first[order]
    is_representative = np.zeros(len(colours), dtype=bool)
    is_representative[representatives] = True
    source, target = edge_index.astype(np.int64)
    into, out_of = is_representative[target], is_representative[source]
    edges = sorted_edges(node_tokens[source[into]], node_tokens[target[into]])
    return Folding(
        node_tokens=node_tokens,
        representatives=representatives,
        counts=counts[order],
        edges=edges,
        reverse_edges=sorted_edges(node_tokens[target[out_of]], node_tokens[source[out_of]]),
        other_edges=_others(node_tokens[source[~into]], node_tokens[target[~into]], edges, len(representatives)),
    )


def _others(source: np.ndarray, target: np.ndarray, known: np.ndarray, num_tokens: int) -> np.ndarray:
    """The distinct pairs (f, 2) of source and target that are not among the `known` ones."""
    pairs = np.setdiff1d(target * num_tokens + source, known[:, 1] * num_tokens + known[:, 0])
    return np.stack([pairs % num_tokens, pairs // num_tokens], axis=1).astype(np.int64)


def sorted_edges(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(e, 2) pairs of source and target, sorted by (target, source)."""
    order = np.lexsort((source, target))
    return np.stack([source[order], target[order]], axis=1).astype(np.int64)


def colour_features(folding: Folding, depths: np.ndarray) -> np.ndarray:
    """What a colour says of number and place, float32 (n, 4).

    Columns: log(1 + count), and the least, mean and greatest depth (longest path that ends in the node, `depths`
    (m,)) of the colour's nodes, as a fraction of the graph's depth.
    """
    num_tokens, total = len(folding.counts), np.float64(max(1, int(depths.max())))
    least = np.full(num_tokens, depths.max(), dtype=np.int64)
    greatest = np.zeros(num_tokens, dtype=np.int64)
    np.minimum.at(least, folding.node_tokens, depths)
    np.maximum.at(greatest, folding.node_tokens, depths)
    mean = np.bincount(folding.node_tokens, weights=depths, minlength=num_tokens) / folding.counts
    columns = [np.log1p(folding.counts), least / total, mean / total, greatest / total]
    return np.stack(columns, axis=1).astype(np.float32)


def level_signatures(kinds: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """For each depth a digest of the multiset of its nodes' kinds (m,), uint64 (D,).

    Kinds rather than refined colours: the first block of a stack has other neighbours than those after it, so by
    colours llama would have 31 blocks, and the stages of a small convolutional network none.
    """
    signatures = np.zeros(int(depths.max()) + 1, dtype=np.uint64)
    np.add.at(signatures, depths, mix64(kinds + np.uint64(1)))
    return signatures


def repeated_blocks(signatures: np.ndarray, max_blocks: int, max_period: int = MAX_BLOCK_PERIOD) -> list[Block]:
    """The stretches of levels that follow each other at least twice, found greedily from the first level on.

    At each level the period that covers most levels is taken (the shortest of equals). Of more than `max_blocks`
    blocks those that cover most levels are kept, in order.

    Args:
        signatures: (D,), equal for equal levels.
        max_blocks: number of blocks to keep.
        max_period: greatest period to look for.
    """
    runs = _periodic_runs(signatures, max_period)
    blocks: list[Block] = []
    active: dict[int, int] = {}
    level = position = 0
    while True:
        while position < len(runs) and runs[position][0] <= level:
            active[runs[position][1]] = runs[position][2]
            position += 1
        active = {period: end for period, end in active.items() if end - level >= period}
        if active:
            period = max(active, key=lambda p: (p * (1 + (active[p] - level) // p), -p))
            blocks.append(Block(level, period, 1 + (active[period] - level) // period))
            level += period * blocks[-1].repeats
        elif position < len(runs):
            level = runs[position][0]
        else:
            break
    largest = sorted(blocks, key=lambda block: (-block.period * block.repeats, block.start))[:max_blocks]
    return sorted(largest)


def _periodic_runs(signatures: np.ndarray, max_period: int) -> list[tuple[int, int, int]]:
    """(start, period, end) of all maximal runs of levels start <= i < end that equal the level `period` later.

    Only runs as long as their period, which hold at least one repetition; sorted by start.
    """
    labels = np.unique(signatures, return_inverse=True)[1].astype(np.int32)
    runs: list[tuple[int, int, int]] = []
    for period in range(1, min(max_period, len(labels) // 2) + 1):
        equal = np.zeros(len(labels) - period + 2, dtype=bool)
        equal[1:-1] = labels[:-period] == labels[period:]
        bounds = np.flatnonzero(equal[1:] != equal[:-1])
        start, end = bounds[::2], bounds[1::2]
        pairs = np.stack([start, end], axis=1)[end - start >= period].tolist()
        runs.extend((first, period, last) for first, last in pairs)
    return sorted(runs)


def block_nodes(blocks: Sequence[Block], colours: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """For each block the node of its first level whose colour (m,) is smallest, int64 (K,)."""
    nodes = []
    for block in blocks:
        level = np.flatnonzero(depths == block.start)
        nodes.append(int(level[np.argmin(colours[level])]))
    return np.array(nodes, dtype=np.int64)
