"""Folding: exact for message passing, independent of the order of nodes; repeated blocks."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import any_graphs, chain, relabelled

from processing_archbert import ArchBertGraphFeatureExtractor, ArchitectureGraph
from processing_archbert.folding_archbert import (
    Block,
    block_nodes,
    fold,
    level_signatures,
    node_kinds,
    repeated_blocks,
    wl_colours,
)

WIDTH = 8
quick = settings(max_examples=40, deadline=None)


class RandomNetwork:
    """Message passing with random weights over tokens and their edges, in float64.

    `kind` says how messages meet: their mean, their sum, or a softmax attention that includes the node itself.
    """

    def __init__(self, kind, layers, seed):
        rng = np.random.default_rng(seed)
        self.kind, self.project = kind, rng.normal(size=(64, WIDTH)) / 8
        self.layers = [rng.normal(size=(5, WIDTH, WIDTH)) / np.sqrt(WIDTH) for _ in range(layers)]

    def __call__(self, encoding):
        numbers = np.concatenate([encoding.node_shapes, encoding.node_attributes], axis=1)
        names = [[sum(map(ord, name)) % 97] for name in encoding.op_names]
        start = np.concatenate([names, numbers], axis=1) / 32
        hidden = np.tanh(start @ self.project[: start.shape[1]])
        for own, forward, backward, query, key in self.layers:
            message = self._received(hidden @ forward, hidden, encoding.edge_index, query, key)
            reverse = self._received(hidden @ backward, hidden, encoding.reverse_edge_index, query, key)
            hidden = np.tanh(hidden @ own + message + reverse)
        return hidden

    def _received(self, values, hidden, edges, query, key):
        source, target = edges.T
        weights = np.ones(len(source))
        total, received = np.zeros((len(values), 1)), np.zeros_like(values)
        if self.kind == "attention":
            scores = hidden @ query[:, :1]
            weights = np.exp(np.tanh(scores[target] + (hidden @ key[:, :1])[source]))[:, 0]
            itself = np.exp(np.tanh(scores + hidden @ key[:, :1]))
            total, received = itself.copy(), itself * values
        np.add.at(total, target, weights[:, None])
        np.add.at(received, target, weights[:, None] * values[source])
        return received if self.kind == "sum" else received / np.maximum(total, 1e-300)


def node_tokens(graph, extractor, encoding):
    """The token of the folded encoding that stands for each node."""
    unfolded = extractor.encode(graph, fold=False)
    numbers = np.concatenate([unfolded.node_shapes, unfolded.node_attributes], axis=1)
    both = extractor.fold_direction == "both"
    colours = wl_colours(node_kinds(graph.op_types, numbers), graph.edge_index, extractor.num_fold_rounds, both)
    tokens = fold(colours, graph.edge_index).node_tokens
    assert tokens.max() + 1 == encoding.num_tokens
    return tokens, unfolded


def folded(graph, rounds):
    kinds = node_kinds(graph.op_types, graph.shapes)
    return fold(wl_colours(kinds, graph.edge_index, rounds), graph.edge_index)


@pytest.mark.parametrize("direction", ["predecessors", "both"])
@pytest.mark.parametrize("kind", ["mean", "sum", "attention"])
@quick
@given(graph=any_graphs(), layers=st.integers(1, 3), seed=st.integers(0, 1000))
def test_a_token_has_the_embedding_of_every_node_it_stands_for(direction, kind, graph, layers, seed):
    extractor = ArchBertGraphFeatureExtractor(num_fold_rounds=layers, fold_direction=direction)
    folded = extractor.encode(graph)
    tokens, unfolded = node_tokens(graph, extractor, folded)
    network = RandomNetwork(kind, layers, seed)
    of_tokens, of_nodes = network(folded), network(unfolded)
    np.testing.assert_allclose(of_tokens[tokens], of_nodes, rtol=0, atol=1e-10)
    assert np.array_equal(folded.node_features[tokens], unfolded.node_features)
    mean = (of_tokens * folded.node_counts[:, None]).sum(axis=0) / folded.node_counts.sum()
    np.testing.assert_allclose(mean, of_nodes.mean(axis=0), rtol=0, atol=1e-10)
    biased = np.exp(of_tokens[:, 0] + np.log(folded.node_counts))
    pooled = (biased[:, None] * of_tokens).sum(axis=0) / biased.sum()
    plain = np.exp(of_nodes[:, 0])
    np.testing.assert_allclose(pooled, (plain[:, None] * of_nodes).sum(axis=0) / plain.sum(), rtol=0, atol=1e-10)


@quick
@given(graph=any_graphs(), seed=st.integers(0, 1000), both=st.booleans())
def test_folding_does_not_depend_on_the_order_of_nodes(graph, seed, both):
    """Sources are compared by their colour one round earlier: it is all of them that reaches the last layer."""
    contents = []
    for other in (graph, relabelled(graph, seed)):
        kinds = node_kinds(other.op_types, other.shapes)
        earlier, colours = (wl_colours(kinds, other.edge_index, k, both) for k in (1, 2))
        folding = fold(colours, other.edge_index)
        before, after = earlier[folding.representatives].tolist(), colours[folding.representatives].tolist()
        counts = sorted(zip(after, folding.counts.tolist(), strict=True))
        edges = sorted((before[s], after[t]) for s, t in folding.edges.tolist())
        reverse = sorted((before[s], after[t]) for s, t in folding.reverse_edges.tolist() if both)
        blocks = repeated_blocks(level_signatures(kinds, other.depths), 16)
        starts = colours[block_nodes(blocks, colours, other.depths)].tolist()
        contents.append((counts, edges, reverse, blocks, starts))
    assert contents[0] == contents[1]


@quick
@given(graph=any_graphs(), rounds=st.integers(0, 3))
def test_every_edge_is_one_between_tokens(graph, rounds):
    folding = folded(graph, rounds)
    tokens = folding.node_tokens
    everything = {(int(tokens[s]), int(tokens[t])) for s, t in graph.edge_index.T}
    messages, others = ([tuple(edge) for edge in edges.tolist()] for edges in (folding.edges, folding.other_edges))
    assert set(messages) | set(others) == everything
    assert not set(messages) & set(others) and len(set(others)) == len(others)


def test_an_edge_of_a_node_that_no_token_shows_is_masked_by_two():
    """Both additions are alike, and read a convolution each; these differ by what they read."""
    ops = ["input", "ReLU", "Tanh", "Conv2d", "Conv2d", "add", "add"]
    graph = ArchitectureGraph.build(ops, [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)])
    extractor = ArchBertGraphFeatureExtractor(num_fold_rounds=1)
    batch, unfolded = extractor(graph), extractor(graph, fold=False)
    assert batch["node_counts"].tolist() == [[1, 1, 1, 1, 1, 2]]
    by_mask = {mask: batch["edge_index"][batch["edge_mask"] == mask].tolist() for mask in (1, 2)}
    assert by_mask == {1: [[0, 1], [0, 2], [1, 3], [2, 4], [3, 5]], 2: [[4, 5]]}
    assert unfolded["edge_mask"].unique().tolist() == [1]


@quick
@given(graph=any_graphs(), rounds=st.integers(0, 3))
def test_more_rounds_never_fold_more(graph, rounds):
    tokens = [folded(graph, k) for k in (rounds, rounds + 1)]
    assert len(tokens[0].counts) <= len(tokens[1].counts)
    assert all(folding.counts.sum() == graph.num_nodes for folding in tokens)


def test_parallel_edges_and_self_loops_are_kept():
    op_types = ["input", "ReLU", "ReLU", "add", "Tanh", "Tanh"]
    graph = ArchitectureGraph.build(op_types, [(0, 1), (0, 2), (1, 3), (2, 3), (4, 5)])
    folding = folded(graph, 1)
    assert folding.counts.tolist() == [1, 2, 1, 1, 1]
    assert folding.edges.tolist() == [[0, 1], [1, 2], [1, 2], [3, 4]]
    whole = folded(graph, 0)
    assert whole.counts.tolist() == [1, 2, 1, 2] and whole.edges.tolist() == [[0, 1], [1, 2], [1, 2]]
    loops = chain(3, ("ReLU",))
    assert folded(loops, 1).edges.tolist() == [[0, 1]]
    everything = np.zeros(3, np.uint64)
    assert fold(everything, loops.edge_index[::-1]).edges.tolist() == [[0, 0]]


def test_tokens_stand_in_the_order_of_their_first_nodes():
    encoding = ArchBertGraphFeatureExtractor(num_fold_rounds=0).encode(chain(6, ("Tanh", "Conv2d", "ReLU")))
    assert encoding.op_names == ("Tanh", "Conv2d", "ReLU")


@pytest.mark.parametrize(
    ("levels", "blocks"),
    [
        ("abcd", []),
        ("aa", [Block(0, 1, 2)]),
        ("xababaty", [Block(1, 2, 2)]),
        ("abcabcabcz", [Block(0, 3, 3)]),
        ("aabaab", [Block(0, 3, 2)]),
        ("xaaaaybcbcbcz", [Block(1, 1, 4), Block(6, 2, 3)]),
    ],
)
def test_repeated_blocks(levels, blocks):
    assert repeated_blocks(np.array([ord(level) for level in levels]), 16) == blocks


@pytest.mark.parametrize("layers", [2, 12])
def test_a_stack_of_layers_is_one_block_of_that_many(layers):
    op_types = [
        "input",
        "Embedding",
        *["LayerNorm", "Linear", "GELU", "Linear", "add"] * layers,
        "LayerNorm",
        "output",
    ]
    skips = [(5 * i + 1, 5 * i + 6) for i in range(layers)]
    graph = ArchitectureGraph.build(op_types, [*((i, i + 1) for i in range(len(op_types) - 1)), *skips])
    encoding = ArchBertGraphFeatureExtractor().encode(graph)
    assert encoding.block_repeats.tolist() == [layers]
    assert [encoding.op_names[i] for i in encoding.block_ids] == ["LayerNorm"]


def test_the_largest_blocks_are_kept_in_order():
    levels = np.array([ord(level) for level in "aabbbccddd"])
    assert repeated_blocks(levels, 2) == [Block(2, 1, 3), Block(7, 1, 3)]
    assert repeated_blocks(levels, 0) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(1, 6))
def test_repeated_blocks_are_real_and_disjoint(levels, max_period):
    signatures, end = np.array(levels), 0
    for block in repeated_blocks(signatures, 100, max_period):
        assert block.start >= end and 1 <= block.period <= max_period and block.repeats >= 2
        end = block.start + block.period * block.repeats
        stretch = signatures[block.start : end].reshape(block.repeats, block.period)
        assert (stretch == stretch[0]).all()
        assert not np.array_equal(signatures[end : end + block.period], stretch[0])


def test_large_graphs_take_seconds():
    rng, m = np.random.default_rng(0), 145_000
    target = np.repeat(np.arange(1, m), 2)
    source = np.maximum(0, target - rng.integers(1, 30, len(target)))
    edges = np.unique(np.stack([target, source]), axis=1)[::-1]
    op_types = [("Conv2d", "ReLU", "add", "mul")[i] for i in rng.integers(4, size=m)]
    start = time.perf_counter()
    folding = fold(wl_colours(node_kinds(op_types, np.zeros((m, 24), int)), edges, 2), edges)
    assert time.perf_counter() - start < 3  # about 0.1 on an idle core
    assert folding.counts.sum() == m
