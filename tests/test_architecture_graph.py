"""`ArchitectureGraph`: validation, formats, hashes."""

import json
import subprocess
import sys

import numpy as np
import pytest

from processing_archbert import ATTRIBUTES, ArchitectureGraph, ArchitectureGraphError
from processing_archbert.architecture_graph_archbert import as_architecture_graph


def residual_graph(**changes):
    fields = {
        "op_types": ["input", "Conv2d", "ReLU", "add", "output"],
        "edges": [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4)],
        "shapes": [[0] * 4, [8, 3, 3, 3], [0] * 4, [0] * 4, [0] * 4],
        "node_parameters": [0, 224, 0, 0, 0],
        "node_names": ["x", "conv", "relu", "add", "output"],
        "name": "residual",
    } | changes
    return ArchitectureGraph.build(fields.pop("op_types"), fields.pop("edges"), **fields)


def test_build_sorts_completes_and_removes_duplicates():
    graph = ArchitectureGraph.build(["output", "ReLU", "input"], [(2, 1), (1, 0), (2, 1)])
    assert graph.op_types == ("input", "ReLU", "output")
    assert graph.edge_index.tolist() == [[0, 1], [1, 2]]
    assert graph.shapes.dtype == np.int32 and graph.shapes.shape == (3, 4)
    assert graph.attributes.shape == (3, len(ATTRIBUTES)) and graph.node_parameters.dtype == np.int64


def test_arrays_are_frozen():
    with pytest.raises(ValueError):
        residual_graph().shapes[0, 0] = 1


def test_json_and_row_round_trip_byte_for_byte():
    graph = residual_graph()
    assert ArchitectureGraph.from_json(graph.to_json()) == graph
    assert ArchitectureGraph.from_json(graph.to_json()).to_json() == graph.to_json()
    row = json.loads(json.dumps(graph.to_row()))
    assert ArchitectureGraph.from_row(row | {"arch_id": "extra"}) == graph


def test_protocol_accepts_graphs_dictionaries_and_rows_only():
    graph = residual_graph()
    assert as_architecture_graph(graph) is graph
    assert as_architecture_graph(graph.to_dict()) == graph
    assert as_architecture_graph(graph.to_row()) == graph
    assert as_architecture_graph({"op_types": []}) is None and as_architecture_graph("bert") is None


def test_hashes_are_the_same_in_another_process():
    code = (
        "from tests.test_architecture_graph import residual_graph as g\n"
        "print(g().graph_hash, g().topology_hash, end='')"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert seen == f"{residual_graph().graph_hash} {residual_graph().topology_hash}"


def test_topology_hash_sees_ops_and_edges_only():
    graph, wider = residual_graph(), residual_graph(shapes=[[0] * 4, [16, 3, 3, 3], [0] * 4, [0] * 4, [0] * 4])
    assert graph.topology_hash == wider.topology_hash and graph.graph_hash != wider.graph_hash
    assert graph.topology_hash != residual_graph(edges=[(0, 1), (1, 2), (2, 3), (3, 4)]).topology_hash


def test_hash_sees_what_lies_far_away():
    """Stages that are locally alike but of other depths: the digest must not stop at a neighbourhood."""

    def chain(*depths):
        ops = [op for op, depth in zip(("ReLU", "Tanh", "ReLU"), depths, strict=True) for _ in range(depth)]
        return ArchitectureGraph.build(ops, [(i, i + 1) for i in range(len(ops) - 1)])

    assert chain(10, 5, 20).graph_hash != chain(20, 5, 10).graph_hash
    assert chain(10, 5, 20).graph_hash != chain(12, 5, 18).graph_hash


def test_isomorphism_is_checked_beyond_the_hash():
    graph = residual_graph()
    renamed = ArchitectureGraph.build(
        ["output", "add", "ReLU", "Conv2d", "input"], [(4, 3), (3, 2), (2, 1), (4, 1), (1, 0)],
        shapes=[[0] * 4, [0] * 4, [0] * 4, [8, 3, 3, 3], [0] * 4], node_parameters=[0, 0, 0, 224, 0],
    )  # fmt: skip
    assert graph.graph_hash == renamed.graph_hash and graph.is_isomorphic(renamed)
    assert not graph.is_isomorphic(residual_graph(edges=[(0, 1), (1, 2), (2, 3), (3, 4)]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": [(0, 1), (1, 0)]}, "edge_index has a cycle"),
        ({"edges": [(0, 9)]}, r"edge_index has the edge \(0, 9\); indices from 0 to 4"),
        ({"edges": [(-1, 2)]}, "indices from 0 to 4"),
        ({"edges": [(3, 3)]}, "cycle"),
        ({"shapes": [[-1] * 4] + [[0] * 4] * 4}, r"shapes\[0, 0\] is -1; 0 to 2147483647"),
        ({"shapes": [[0] * 3] * 5}, r"shapes has shape \(5, 3\); \(5, 4\)"),
        ({"shapes": [[2**40] * 4] + [[0] * 4] * 4}, "shapes"),
        ({"shapes": [[0.5] * 4] * 5}, "shapes has dtype float64; integers"),
        ({"attributes": [[0] * 3] * 5}, "attributes has shape"),
        ({"node_parameters": [0, -3, 0, 0, 0]}, "node_parameters"),
        ({"num_parameters": 7}, "num_parameters is 7, but node_parameters sum to 224"),
        ({"op_types": ["input", "", "ReLU", "add", "output"]}, r"op_types\[1\] is ''"),
        ({"node_names": ["a"] * 5, "name": 3}, "name is int"),
    ],
)
def test_wrong_fields_are_named(changes, message):
    with pytest.raises(ArchitectureGraphError, match=message):
        residual_graph(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("[1, 2]", "format has to be"),
        ('{"format": "archbert-architecture-graph", "version": 99}', "version is 99"),
        ('{"format": "archbert-architecture-graph", "version": 1}', "fields are missing"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_wrong_json_is_explained(text, message):
    with pytest.raises(ArchitectureGraphError, match=message):
        ArchitectureGraph.from_json(text)


def test_converters_carry_everything():
    graph = residual_graph()
    networkx_graph, pyg = graph.to_networkx(), graph.to_pyg()
    assert networkx_graph.nodes[1]["op_type"] == "Conv2d" and networkx_graph.nodes[1]["shape"] == (8, 3, 3, 3)
    assert sorted(networkx_graph.edges) == [(0, 1), (0, 3), (1, 2), (2, 3), (3, 4)]
    assert pyg.num_nodes == 5 and pyg.edge_index.tolist() == graph.edge_index.tolist()
