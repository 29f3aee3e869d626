"""`read_onnx`: an ONNX file -> `ArchitectureGraph`, without weights and without running anything.

The file's structure is read from its bytes (`source_onnx_protobuf_archbert`), functions and subgraphs are put in place
(`source_onnx_inline_archbert`), layers that ONNX spells out are found again (`source_onnx_patterns_archbert`,
`source_onnx_formulas_archbert`), and nodes and edges are made of the rest (`source_onnx_nodes_archbert`).
"""

from __future__ import annotations

import os

import numpy as np

from .architecture_graph_archbert import ArchitectureGraph
from .ops_archbert import NUM_ATTRIBUTES, OUTPUT_OP
from .source_errors_archbert import ArchitectureSourceError
from .source_onnx_formulas_archbert import FORMULAS
from .source_onnx_inline_archbert import flatten
from .source_onnx_nodes_archbert import GraphNode, GraphWriter
from .source_onnx_parameters_archbert import Weight
from .source_onnx_patterns_archbert import Patterns
from .source_onnx_protobuf_archbert import read_model
from .tracing_attention_archbert import join_attention
from .tracing_modules_archbert import NO_SHAPE


def read_onnx(path: str | os.PathLike[str], *, name: str = "") -> ArchitectureGraph:
    """The graph of an ONNX file; weights are never read, neither embedded nor external ones.

    Args:
        path: path of an `.onnx` file.
        name: name of the graph; by default the file's.

    Raises:
        ArchitectureSourceError: the file cannot be read, or is no model with a graph.
        ArchitectureGraphError: it gives no valid graph.
    """
    model = read_model(path)
    origin = os.fspath(path)
    try:
        flat = flatten(model)
        patterns = Patterns(flat)
        patterns.run(FORMULAS)
        writer = GraphWriter(flat, patterns)
        writer.run()
    except ArchitectureSourceError as error:
        raise ArchitectureSourceError(f"{origin!r} cannot be read: {error}") from None
    label = name or model.graph.name[:200] or os.path.splitext(os.path.basename(origin))[0]
    return _graph(
        writer, label, origin, {"onnx_opset": str(model.opsets.get("", 0)), "producer": model.producer[:100]}
    )


def _graph(writer: GraphWriter, name: str, source: str, versions: dict[str, str]) -> ArchitectureGraph:
    """The finished graph: ancestors of the results, outputs, parameters at their first users."""
    producers = list(dict.fromkeys(s for result in writer.flat.outputs for s in writer.track(result).sources))
    if not producers:
        raise ArchitectureSourceError(
            f"{source!r} gives no result that depends on an input or a parameter; it holds no network."
        )
    kept = _ancestors(writer, producers)
    for node in writer.nodes:
        node.parameters = tuple(Weight(p, writer.flat.tensors[p].sizes) for p in dict.fromkeys(node.parameters))
    if join_attention(writer.nodes, kept, producers):
        kept = _ancestors(writer, producers)
    position = {node: i for i, node in enumerate(kept)}
    nodes = [writer.nodes[i] for i in kept]
    edges = [(position[s], position[i]) for i in kept for s in writer.nodes[i].sources if s != i]
    edges += [(position[p], len(nodes) + i) for i, p in enumerate(producers)]
    counts, total = _count(writer, nodes)
    blank = [[0] * NUM_ATTRIBUTES] * len(producers)
    return ArchitectureGraph.build(
        [n.op for n in nodes] + [OUTPUT_OP] * len(producers),
        edges,
        shapes=np.array([n.shape for n in nodes] + [NO_SHAPE] * len(producers), dtype=np.int64),
        attributes=np.array([n.attributes for n in nodes] + blank, dtype=np.int64),
        node_parameters=np.array(counts + [0] * len(producers), dtype=np.int64),
        node_names=[n.name for n in nodes] + [f"output{i}" for i in range(len(producers))],
        name=name,
        source=source,
        num_parameters=total,
        unused_parameters=total - sum(counts),
        incomplete=tuple(dict.fromkeys(writer.flat.incomplete)),
        library_versions=versions,
    )


def _ancestors(writer: GraphWriter, producers: list[int]) -> list[int]:
    seen, stack = set(producers), list(producers)
    while stack:
        for source in writer.nodes[stack.pop()].sources:
            if source not in seen:
                seen.add(source)
                stack.append(source)
    return sorted(seen)


def _count(writer: GraphWriter, nodes: list[GraphNode]) -> tuple[list[int], int]:
    """Parameters of every node at its first use, and their number with those of nodes that reach no result."""
    counted: set[str] = set()

    def sizes(node: GraphNode) -> int:
        fresh = [p.name for p in dict.fromkeys(node.parameters) if p.name not in counted]
        counted.update(fresh)
        return sum(writer.parameters.size(p) for p in fresh)

    counts = [sizes(node) for node in nodes]
    return counts, min(sum(counts), 2**62)
