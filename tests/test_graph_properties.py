"""What must hold for every graph: round trips, hashes, independence of the order of nodes."""

import dataclasses

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import any_graphs, chain, relabelled

from processing_archbert import ATTRIBUTES, ArchBertGraphFeatureExtractor, ArchitectureGraph

quick = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@quick
@given(any_graphs())
def test_json_and_row_give_the_graph_back(graph):
    assert ArchitectureGraph.from_json(graph.to_json()) == graph
    assert ArchitectureGraph.from_json(graph.to_json()).to_json() == graph.to_json()
    restored = ArchitectureGraph.from_row(graph.to_row())
    assert restored.to_row() == graph.to_row() and restored.graph_hash == graph.graph_hash


@quick
@given(any_graphs(), seeds)
def test_hashes_do_not_depend_on_the_order_of_nodes(graph, seed):
    other = relabelled(graph, seed)
    assert other.graph_hash == graph.graph_hash
    assert other.topology_hash == graph.topology_hash


@quick
@given(any_graphs(), seeds)
def test_hash_sees_every_single_number(graph, seed):
    rng = np.random.default_rng(seed)
    node = int(rng.integers(graph.num_nodes))
    for field, columns in (("shapes", 4), ("attributes", len(ATTRIBUTES))):
        for column in range(columns):
            changed = getattr(graph, field).copy()
            changed[node, column] += int(rng.integers(1, 5))
            assert dataclasses.replace(graph, **{field: changed}).graph_hash != graph.graph_hash


@quick
@given(any_graphs())
def test_hashes_see_every_removed_edge(graph):
    for edge in range(graph.num_edges):
        smaller = dataclasses.replace(graph, edge_index=np.delete(graph.edge_index, edge, axis=1))
        assert smaller.graph_hash != graph.graph_hash and smaller.topology_hash != graph.topology_hash


@quick
@given(any_graphs(), seeds)
def test_hashes_see_every_added_edge(graph, seed):
    present = np.zeros((graph.num_nodes, graph.num_nodes), dtype=bool)
    present[tuple(graph.edge_index)] = True
    absent = np.argwhere(np.triu(~present, k=1))
    assume(len(absent))
    for pair in np.random.default_rng(seed).permutation(absent)[:20]:
        edges = np.concatenate([graph.edge_index, pair[:, None]], axis=1)
        larger = dataclasses.replace(graph, edge_index=edges)
        assert larger.graph_hash != graph.graph_hash and larger.topology_hash != graph.topology_hash


@quick
@given(any_graphs(), seeds)
def test_hash_sees_a_rewired_edge(graph, seed):
    """The same number of edges between other nodes, told apart where the graphs are not isomorphic."""
    assume(graph.num_edges and graph.num_nodes > 2)
    rng = np.random.default_rng(seed)
    pairs = {tuple(pair) for pair in graph.edge_index.T.tolist()}
    pairs.remove(sorted(pairs)[int(rng.integers(len(pairs)))])
    source, target = sorted(rng.choice(graph.num_nodes, size=2, replace=False).tolist())
    assume((source, target) not in pairs)
    edges = np.array(sorted([*pairs, (source, target)])).T
    rewired = dataclasses.replace(graph, edge_index=edges)
    assert (rewired.graph_hash == graph.graph_hash) == rewired.is_isomorphic(graph)


@quick
@given(any_graphs(), seeds)
def test_tokens_do_not_depend_on_the_order_of_nodes(graph, seed):
    extractor = ArchBertGraphFeatureExtractor()
    for fold in (True, False):
        assert content(extractor.encode(relabelled(graph, seed), fold)) == content(extractor.encode(graph, fold))


def test_a_chain_of_200_000_nodes_is_hashed_and_encoded():
    encoding = ArchBertGraphFeatureExtractor().encode(chain(200_000))
    assert encoding.num_tokens == 4
    assert encoding.node_counts.tolist() == [1, 1, 99_999, 99_999]
    assert len(encoding.block_ids) == 1


def content(encoding):
    """All of an encoding but the order of tokens (for the edges of folded ones see test_folding)."""
    tokens = list(
        zip(
            encoding.op_names,
            encoding.node_ids.tolist(),
            map(tuple, encoding.node_shapes.tolist()),
            map(tuple, encoding.node_attributes.tolist()),
            encoding.node_counts.tolist(),
            map(tuple, encoding.node_features.tolist()),
            strict=True,
        )
    )
    unfolded = encoding.fold_rounds == -1
    edges = sorted((tokens[s], tokens[t]) for s, t in encoding.edge_index.tolist() if unfolded)
    starts = [tokens[i] for i in encoding.block_ids.tolist()]
    blocks = list(zip(starts, encoding.block_repeats.tolist(), strict=True))
    return sorted(tokens), edges, blocks, encoding.graph_features.tolist(), encoding.fold_rounds
