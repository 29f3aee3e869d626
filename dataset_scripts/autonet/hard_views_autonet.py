"""Views: an architecture with a part of the evidence removed, each a valid `ArchitectureGraph`.

| view | what is left | says `incomplete` |
|---|---|---|
| `full` | everything | |
| `no_edges` | all nodes with their numbers, sorted by content, no edges | `data flow` |
| `no_attributes` | ops and edges; no shapes, attributes or parameter counts | `attributes`, `packed weights` |
| `header` | what the header of a weights file tells: modules with parameters, by names and shapes | `data flow` |

`header` is made by the same code that reads safetensors headers, so users meet the same graphs. `no_edges` and
`no_attributes` have no `node_names`; those of `header` stand in every file of weights. The model sees no names.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from processing_archbert.architecture_graph_archbert import NO_DATA_FLOW, PACKED_WEIGHTS, ArchitectureGraph
from processing_archbert.source_safetensors_archbert import TensorInfo
from processing_archbert.source_tree_archbert import module_tree

from .networks_autonet import build_network

NO_ATTRIBUTES = "attributes"
"""Stands in `incomplete` where shapes and attributes are unknown, not none."""

DATA_FLOW, NUMBERS, LAYERS, PARAMETERS = "data flow", "numbers", "layers", "parameters"

VIEWS: dict[str, frozenset[str]] = {
    "full": frozenset((DATA_FLOW, NUMBERS, LAYERS, PARAMETERS)),
    "no_edges": frozenset((NUMBERS, LAYERS, PARAMETERS)),
    "no_attributes": frozenset((DATA_FLOW, LAYERS)),
    "header": frozenset((PARAMETERS,)),
}
"""View -> the evidence that it shows: edges; shapes and attributes; every layer; the number of parameters."""


def without_edges(graph: ArchitectureGraph) -> ArchitectureGraph:
    """All nodes with their numbers, sorted by content so that their order tells nothing, and no edges."""
    numbers = np.concatenate([graph.shapes, graph.attributes, graph.node_parameters[:, None]], axis=1).tolist()
    order = sorted(range(graph.num_nodes), key=lambda node: (graph.op_types[node], numbers[node]))
    return dataclasses.replace(
        graph,
        op_types=tuple(graph.op_types[node] for node in order),
        shapes=graph.shapes[order],
        attributes=graph.attributes[order],
        node_parameters=graph.node_parameters[order],
        edge_index=np.zeros((2, 0), np.int32),
        node_names=("",) * graph.num_nodes,
        costs=None,
        incomplete=(NO_DATA_FLOW,),
    )


def without_attributes(graph: ArchitectureGraph) -> ArchitectureGraph:
    """Ops and edges; shapes, attributes and parameter counts are gone, and the graph says so."""
    return dataclasses.replace(
        graph,
        shapes=np.zeros_like(graph.shapes),
        attributes=np.zeros_like(graph.attributes),
        node_parameters=np.zeros_like(graph.node_parameters),
        num_parameters=0,
        unused_parameters=0,
        node_names=("",) * graph.num_nodes,
        costs=None,
        incomplete=(NO_ATTRIBUTES, PACKED_WEIGHTS),
    )


def header_of(network: nn.Module, name: str = "") -> ArchitectureGraph:
    """What the header of a safetensors file of a network tells; tied tensors stand in it once, as in such a file."""
    stored = {path: x for path, x in network.state_dict(keep_vars=True).items() if isinstance(x, torch.Tensor)}
    first = {id(tensor): path for path, tensor in reversed(stored.items())}
    tensors = {path: _info(stored[path]) for path in first.values()}
    return module_tree(tensors, name=name, source="header")


def _info(tensor: torch.Tensor) -> TensorInfo:
    dtype = "F32" if tensor.is_floating_point() else "C64" if tensor.is_complex() else "I64"
    return TensorInfo(dtype, tuple(tensor.shape))


def all_views(graph: ArchitectureGraph, network: nn.Module) -> dict[str, ArchitectureGraph]:
    """Every view of a network and its graph, in the order of `VIEWS`."""
    views = graph, without_edges(graph), without_attributes(graph), header_of(network, graph.name)
    return dict(zip(VIEWS, views, strict=True))


def view_of(row: Mapping[str, Any], view: str) -> ArchitectureGraph:
    """A view of a row of the config `architectures`.

    Args:
        row: the row; `header` builds its `network` again, without weights.
        view: a key of `VIEWS`.

    Raises:
        ValueError: an unknown view.
    """
    if view not in VIEWS:
        raise ValueError(f"{view!r} is no view; there are {', '.join(VIEWS)}.")
    if view == "header":
        with torch.device("meta"):
            return header_of(build_network(json.loads(row["network"])), name=row["arch_id"])
    graph = ArchitectureGraph.from_row(row)
    return {"full": lambda g: g, "no_edges": without_edges, "no_attributes": without_attributes}[view](graph)
