"""Random architecture graphs for property tests (hypothesis)."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import strategies as st

from processing_archbert import ATTRIBUTES, ArchitectureGraph

OP_TYPES = ("Conv2d", "ReLU", "add", "Linear", "MyOwnBlock3d")
SIZES = (0, 0, 3, 64, 65, 1000)


@st.composite
def graphs(draw: st.DrawFn, max_nodes: int = 20) -> ArchitectureGraph:
    """A random acyclic graph; few kinds of nodes, so that many are alike."""
    m = draw(st.integers(1, max_nodes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from((0.05, 0.2, 0.5)))
    kinds = draw(st.integers(1, len(OP_TYPES)))
    pairs = np.argwhere(np.triu(rng.random((m, m)) < density, k=1))
    kind = rng.integers(kinds, size=m)
    shapes = rng.choice(SIZES, size=(2 * kinds, 4))[kind + kinds * (rng.random(m) < 0.2)]
    attributes = rng.choice(SIZES, size=(kinds, len(ATTRIBUTES)))[kind]
    return _graph(kind, pairs, shapes, attributes, rng)


@st.composite
def repetitive_graphs(draw: st.DrawFn, max_repeats: int = 6) -> ArchitectureGraph:
    """A stem, a random cell again and again, each reading the last node of the one before, and a head."""
    cell = draw(graphs(max_nodes=6))
    repeats, m = draw(st.integers(1, max_repeats)), cell.num_nodes
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ops, edges = ["input"], []
    shapes, attributes = [np.zeros(4, int)], [np.zeros(len(ATTRIBUTES), int)]
    targets = set(cell.edge_index[1].tolist())
    for _ in range(repeats):
        start = len(ops)
        edges += [(start - 1, start + node) for node in range(m) if node not in targets]
        edges += [(start + s, start + t) for s, t in zip(*cell.edge_index.tolist(), strict=True)]
        ops += cell.op_types
        shapes += list(cell.shapes)
        attributes += list(cell.attributes)
    edges.append((len(ops) - 1, len(ops)))
    return ArchitectureGraph.build(
        [*ops, "output"], edges, shapes=[*shapes, shapes[0]], attributes=[*attributes, attributes[0]],
        node_parameters=rng.integers(1000, size=len(ops) + 1),
    )  # fmt: skip


def any_graphs() -> st.SearchStrategy[ArchitectureGraph]:
    """Random graphs of either kind."""
    return st.one_of(graphs(), repetitive_graphs())


def _graph(
    kind: np.ndarray, pairs: np.ndarray, shapes: np.ndarray, attributes: np.ndarray, rng: np.random.Generator
) -> ArchitectureGraph:
    parameters = rng.integers(1000, size=len(kind))
    order = np.lexsort((pairs[:, 0], pairs[:, 1]))
    return ArchitectureGraph(
        op_types=tuple(OP_TYPES[k] for k in kind),
        shapes=shapes,
        attributes=attributes,
        node_parameters=parameters,
        edge_index=pairs[order].T,
        node_names=tuple(f"layer.{i}" for i in range(len(kind))),
        name="random",
        num_parameters=int(parameters.sum()) + 7,
        unused_parameters=7,
        library_versions={"torch": "2"},
    )


def chain(length: int, op_types: tuple[str, ...] = ("Conv2d", "ReLU")) -> ArchitectureGraph:
    """A path of `length` nodes whose op types repeat in turn."""
    return ArchitectureGraph(
        op_types=tuple(op_types[i % len(op_types)] for i in range(length)),
        shapes=np.zeros((length, 4), np.int32),
        attributes=np.zeros((length, len(ATTRIBUTES)), np.int32),
        node_parameters=np.zeros(length, np.int64),
        edge_index=np.stack([np.arange(length - 1), np.arange(1, length)]),
        node_names=("",) * length,
    )


def relabelled(graph: ArchitectureGraph, seed: int) -> ArchitectureGraph:
    """The same graph with its nodes in another, random topological order."""
    rng = np.random.default_rng(seed)
    successors, waiting = graph.successors(), [len(sources) for sources in graph.predecessors()]
    ready, order = [i for i in range(graph.num_nodes) if not waiting[i]], []
    while ready:
        node = ready.pop(int(rng.integers(len(ready))))
        order.append(node)
        for target in successors[node]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    position = np.argsort(order)
    return dataclasses.replace(
        graph,
        op_types=tuple(graph.op_types[i] for i in order),
        node_names=tuple(graph.node_names[i] for i in order),
        shapes=graph.shapes[order],
        attributes=graph.attributes[order],
        node_parameters=graph.node_parameters[order],
        edge_index=position[graph.edge_index],
    )
