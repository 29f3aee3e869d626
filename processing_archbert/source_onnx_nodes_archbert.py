"""Nodes and edges of an ONNX model, as the tracer makes them.

What only moves, casts or masks data is contracted, what depends on no input and no parameter is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .ops_archbert import INPUT_OP, NUM_ATTRIBUTES, op_category
from .source_errors_archbert import ArchitectureSourceError
from .source_onnx_inline_archbert import OWN_DOMAIN, FlatModel
from .source_onnx_model_archbert import OnnxNode
from .source_onnx_ops_archbert import (
    CONTRACTED,
    DATA_ONLY,
    MERGING,
    QUANTISED_DATA,
    WEIGHTS,
    canonical_op,
    layer_options,
)
from .source_onnx_parameters_archbert import BUFFER_NAME, FOLDED_NAME, Parameters
from .source_onnx_patterns_archbert import Patterns
from .source_onnx_values_archbert import UNKNOWN, Known
from .tracing_modules_archbert import NO_SHAPE, AttributeRow, Shape, layer_attributes, weight_shape

_MHA = "MultiheadAttention"
_INT32_MAX = 2**31 - 1
MAX_SOURCES = 4_000_000


class _Track(NamedTuple):
    """Where a value comes from: nodes, and initializers that it is a view of."""

    sources: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()


_NOTHING = _Track()


@dataclass
class GraphNode:
    """A node; the last three fields are what `join_attention` asks for."""

    op: str
    name: str
    sources: tuple[int, ...]
    parameters: Sequence[Any]
    shape: Shape
    attributes: list[int]
    scores: list[int] | None = None
    causal: bool = False
    is_call: bool = True


class GraphWriter:
    """Makes nodes and edges of a flat model, node by node, as the tracer does."""

    def __init__(self, flat: FlatModel, patterns: Patterns) -> None:
        self.flat = flat
        self.patterns = patterns
        self.known = patterns.known
        self.rotary = patterns.rotary
        self.parameters = Parameters(flat)
        self.nodes: list[GraphNode] = []
        self.tracks: dict[str, _Track] = {}
        self.biased: set[int] = set()
        self.scales: set[str] = set()
        self.weight_of: dict[str, str] = {}
        self.spent = 0

    # Values

    def track(self, name: str) -> _Track:
        """Where a value comes from."""
        found = self.tracks.get(name)
        if found is None:
            is_parameter = name in self.flat.tensors and self.parameters.is_parameter(name)
            found = self.tracks[name] = _Track((), (self.parameters.key(name),)) if is_parameter else _NOTHING
        return found

    def union(self, names: list[str]) -> _Track:
        """Where several values come from together."""
        tracks = [track for track in map(self.track, names) if track is not _NOTHING]
        if len(tracks) == 1:
            return tracks[0]
        sources = tuple(dict.fromkeys(s for track in tracks for s in track.sources))
        self.spent += len(sources)
        if self.spent > MAX_SOURCES:
            raise ArchitectureSourceError(f"its nodes read more than {MAX_SOURCES} values; the file is not plausible.")
        return _Track(sources, tuple(dict.fromkeys(p for track in tracks for p in track.parameters)))

    def of(self, name: str) -> Known:
        """What is known of a value."""
        return self.known.get(name, UNKNOWN)

    def roots(self, name: str) -> list[str]:
        """Parameters that a weight is made of."""
        if self.of(name).live:
            return []
        return [self.parameters.key(r) for r in self.of(name).roots if self.parameters.is_weight(r)]

    def sizes(self, name: str) -> tuple[int, ...]:
        """Sizes of a weight."""
        return tuple(min(size or 0, _INT32_MAX) for size in self.of(name).sizes or ())

    def assign(self, node: OnnxNode, track: _Track) -> None:
        """Says where the results of a node come from."""
        for name in node.outputs:
            if name and name not in self.rotary:
                self.tracks[name] = track

    def add(self, node: OnnxNode, op: str, track: _Track, parameters: list[str], shape: Shape = NO_SHAPE,
            attributes: list[int] | None = None) -> int:  # fmt: skip
        """Writes a node down; its index."""
        everything = list(dict.fromkeys([*parameters, *track.parameters]))
        made = GraphNode(op, _path(node), track.sources, everything, shape, attributes or [0] * NUM_ATTRIBUTES)
        self.nodes.append(made)
        index = len(self.nodes) - 1
        self.assign(node, _Track((index,)))
        return index

    # Nodes

    def run(self) -> None:
        """Makes the nodes of the whole model."""
        for value in self.flat.inputs:
            self.nodes.append(GraphNode(INPUT_OP, value.name, (), [], NO_SHAPE, [0] * NUM_ATTRIBUTES))
            self.tracks[value.name] = _Track((len(self.nodes) - 1,))
        tables: dict[str, _Track] = {}
        for name, table in self.rotary.items():
            if table not in tables:
                self.nodes.append(GraphNode("RotaryEmbedding", table, (), [], NO_SHAPE, [0] * NUM_ATTRIBUTES))
                tables[table] = _Track((len(self.nodes) - 1,))
            self.tracks[name] = tables[table]
        for node in self.flat.nodes:
            if node.domain == OWN_DOMAIN and "weights" in node.attributes:
                self.found(node)
            else:
                self.operator(node)

    def found(self, node: OnnxNode) -> None:
        """A layer that was found again by its pattern or its module."""
        options = node.attributes["options"]
        if node.op == "masked_fill":
            self.assign(node, self.union(node.inputs))
            return
        is_one = (
            self.parameters.is_parameter
            if op_category(node.op) == "attention" and node.op != _MHA
            else self.parameters.is_weight
        )
        weights = [self.parameters.key(w) for w in node.attributes["weights"] if is_one(w)]
        weights = [w for w in weights if w not in self.flat.constants and not BUFFER_NAME.search(w)]
        if node.op != "PReLU":
            weights = [w for w in weights if not (self.parameters.size(w) == 1 and FOLDED_NAME.search(w))]
        if (
            op_category(node.op) in ("activation", "softmax", "positional", "elementwise", "pooling")
            and node.op != "PReLU"
        ):
            weights = []
        if node.op == "GroupNorm":  # ones and zeros of the InstanceNormalization inside are as many as its groups
            width = max(map(self.parameters.size, weights), default=0)
            weights = [w for w in weights if self.parameters.size(w) == width]
        sizes = max((self.flat.tensors[w].sizes for w in weights), key=len, default=())
        if node.op == _MHA:
            sizes = max((self.flat.tensors[w].sizes for w in weights), key=max, default=())
            sizes = tuple(sorted(sizes, reverse=True))
        elif "Norm" in node.op and sizes:
            sizes = (max(sizes),)
        shape = weight_shape(node.op, sizes) if sizes else NO_SHAPE
        self.add(node, node.op, self.union(node.inputs), weights, shape, self.attributes(node.op, options, node))

    def attributes(self, op: str, options: dict[str, Any], node: OnnxNode) -> list[int]:
        """Attribute row of a node."""
        if op == _MHA:
            options = options | {"embed_dim_to_check": 0}
        if op in ("scaled_dot_product_attention", "matmul", "topk", "grouped_mm"):
            row = AttributeRow()
            for column, key in (("num_heads", "num_heads"), ("num_kv_heads", "num_kv_heads"), ("head_dim", "head_dim"),
                                ("causal", "is_causal"), ("window", "window"), ("num_experts", "num_experts"),
                                ("top_k", "k")):  # fmt: skip
                row.set(column, options.get(key))
            return row.values
        try:
            return layer_attributes(op, options)
        except (ArithmeticError, IndexError, TypeError, ValueError):
            raise ArchitectureSourceError(
                f"the node {node.name[:100]!r} ({op}) has attributes that cannot be: {str(options)[:200]}."
            ) from None

    def operator(self, node: OnnxNode) -> None:
        """Makes the node of an ONNX operator, or contracts or drops it."""
        op = node.op
        data = [node.inputs[i] for i in QUANTISED_DATA[op] if i < len(node.inputs)] if op in QUANTISED_DATA \
            else node.inputs[:1] if op in DATA_ONLY else node.inputs  # fmt: skip
        data = [name for name in data if name]
        if op == "DynamicQuantizeLinear":
            self.assign(node, _NOTHING)
            self.scales.update(node.outputs[1:])
            for name in node.outputs[:1]:
                self.tracks[name] = self.union(data)
        elif op == "Mul" and not self.scales.isdisjoint(node.inputs):
            self.scales.update(node.outputs)  # a scale of the data by one of the weights
            self.assign(
                node, self.union([name for name in node.inputs if self.of(name).live and name not in self.scales])
            )
        elif op in CONTRACTED and (not node.domain or node.domain == OWN_DOMAIN):
            track = self.union(data)
            if op == "DequantizeLinear" and not self.of(data[0] if data else "").live:
                track = _Track((), tuple(self.roots(data[0])) if data else ())
            self.assign(node, track)
        elif op in ("Shape", "Size", "EyeLike", "Constant", "ConstantOfShape", "RandomNormal", "RandomUniform",
                    "RandomNormalLike", "RandomUniformLike", "Range", "HannWindow", "HammingWindow"):  # fmt: skip
            self.assign(node, _NOTHING)
        elif op == "Gather":
            self.gather(node)
        elif op in ("MatMul", "Gemm", "FusedMatMul", "FusedGemm", "QGemm", "QLinearMatMul", "MatMulInteger",
                    "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulNBits"):  # fmt: skip
            self.product(node, data)
        elif op in WEIGHTS:
            self.layer(node, data)
        else:
            self.function(node, data)

    def gather(self, node: OnnxNode) -> None:
        """Embedding where rows of parameters are looked up; else a choice of data."""
        table, index = [*node.inputs, "", ""][:2]
        roots, sizes = self.roots(table), self.sizes(table)
        if roots and len(sizes) == 2 and not node.attributes.get("axis") and self.track(index) is not _NOTHING:
            shape = weight_shape("Embedding", sizes)
            self.add(node, "Embedding", self.union([index]), roots, shape)
        elif self.of(index).live and self.track(index).sources and self.track(table) is not _NOTHING:
            self.function(node, [table, index], "getitem")
        elif roots and len(sizes) == 2 and not node.attributes.get("axis") and self.is_lookup(table, index):
            self.add(node, "Embedding", _NOTHING, roots, weight_shape("Embedding", sizes))
        else:
            self.assign(node, self.union([table]))

    def is_lookup(self, table: str, index: str) -> bool:
        """Whether rows of a matrix of parameters are looked up at constant places."""
        return bool(self.track(table).parameters) and self.of(index).rank not in (0, None)

    def product(self, node: OnnxNode, data: list[str]) -> None:
        """Linear where one factor is a matrix of parameters, else matmul."""
        position = 1 if node.op in ("MatMul", "Gemm", "FusedMatMul", "FusedGemm", "MatMulInteger", "MatMulNBits",
                                    "DynamicQuantizeMatMul", "MatMulIntegerToFloat") else 3  # fmt: skip
        weight = node.inputs[position] if position < len(node.inputs) else ""
        roots, sizes = self.roots(weight), self.sizes(weight)
        if node.op == "MatMulNBits" and roots:
            rows, columns = (int(node.attributes.get(key, 0)) for key in ("N", "K"))
            sizes = (max(columns, 0), max(rows, 0))
            self.parameters.sizes_of_nibbles[roots[0]] = sizes[0] * sizes[1]
        written = node.classes[-1] if node.classes else ""
        if not roots or len(sizes) != 2 or self.track(node.inputs[0]) is _NOTHING or "matmul" in written:
            self.function(node, data, "matmul")
            return
        transposed = node.attributes.get("transB") if position == 1 else False
        sizes = sizes if transposed else sizes[::-1]
        biases = [r for i in WEIGHTS.get(node.op, ())[1:] if i < len(node.inputs) for r in self.bias(node.inputs[i])]
        index = self.add(node, "Linear", self.union(node.inputs[:1]), [*roots[:1], *biases],
                         weight_shape("Linear", sizes))  # fmt: skip
        if biases:
            self.biased.add(index)

    def bias(self, name: str) -> list[str]:
        """Parameters of a bias; one that exporters put in the place of equal ones is counted for each layer."""
        return [self.own(root) for root in self.roots(name)]

    def own(self, root: str) -> str:
        """A vector that several layers with different weights read is a vector of each: exporters join equal ones."""
        if root not in self.weight_of:
            self.weight_of[root] = root
            return root
        copy = f"{root}#{len(self.flat.tensors)}"
        self.flat.tensors[copy] = self.flat.tensors[root]
        return copy

    def layer(self, node: OnnxNode, data: list[str]) -> None:
        """A layer with weights at known places."""
        given = [self.of(name) for name in node.inputs]
        op = canonical_op(node, given, self.known)
        places = [i for i in WEIGHTS[node.op] if i < len(node.inputs) and node.inputs[i]]
        live = [name for i, name in enumerate(node.inputs) if name and i not in places and self.of(name).live]
        live += [node.inputs[i] for i in places if self.of(node.inputs[i]).live]
        weights = [root for i in places[:1] for root in self.roots(node.inputs[i])]
        if "Norm" in op:
            weights = [r for i in places for r in self.roots(node.inputs[i]) if r not in self.flat.constants]
        else:
            weights += [root for i in places[1:] for root in self.bias(node.inputs[i])]
        sizes = self.sizes(node.inputs[places[0]]) if places else ()
        if op in ("LSTM", "GRU", "RNN"):
            if self.stacked(node, op, weights):
                return
            sizes = sizes[1:]
        if node.op.startswith("Skip") and self.track(node.inputs[0]).sources:
            index = self.add(node, "add", self.union(node.inputs[:2]), [])
            live = []
            track = _Track((index,))
        else:
            track = self.union(live)
        shape = weight_shape(op, sizes) if sizes and (weights or "Norm" not in op) else NO_SHAPE
        options = layer_options(node, op, given, sizes)
        index = self.add(node, op, track, weights, shape, self.attributes(op, options, node))
        if op.startswith("Conv") and len(places) > 1:
            self.biased.add(index)

    def stacked(self, node: OnnxNode, op: str, weights: list[str]) -> bool:
        """Adds a further layer to the recurrent layer that it stands on in the same module."""
        track = self.track(node.inputs[0]) if node.inputs else _NOTHING
        if len(track.sources) != 1:
            return False
        before = self.nodes[track.sources[0]]
        if before.op != op or not before.name or before.name != _path(node):
            return False
        before.parameters = [*before.parameters, *weights]
        before.attributes[-1] += 1
        self.assign(node, track)
        return True

    def function(self, node: OnnxNode, data: list[str], op: str = "") -> None:
        """Any other operator: a node, unless it merges nothing, or gives no numbers of floating point."""
        given = [self.of(name) for name in node.inputs]
        op = op or canonical_op(node, given, self.known)
        track = self.union(data)
        if track is _NOTHING or not (track.sources or track.parameters):
            self.assign(node, _NOTHING)
            return
        live = [name for name in data if self.track(name).sources or self.track(name).parameters]
        if not any(self.of(name).floating for name in node.outputs if name):
            self.assign(node, _Track(track.sources) if track.sources else track)
            return
        filled = (
            node.op == "Where" and len(data) == 3 and not self.of(data[1]).live and not self.track(data[1]).parameters
        )
        if (op in MERGING and len(live) <= 1) or filled or self.no_padding(node, op, given):
            self.assign(node, track)
            return
        if op == "add" and self.add_bias(node, data):
            return
        sizes = self.flat.tensors[track.parameters[0]].sizes if track.parameters else ()
        shape = weight_shape(op, sizes) if sizes and track.parameters else NO_SHAPE
        options = self.mixing(node) if op == "matmul" else layer_options(node, op, given, sizes)
        made = self.nodes[self.add(node, op, track, [], shape, self.attributes(op, options, node))]
        if op == "matmul":
            made.scores = self.scores(node)
        elif op == "Softmax":
            made.causal = bool(self.patterns.heads(node.inputs[0]).get("is_causal"))
            made.is_call = (
                "softmax" not in made.name.rsplit(".", 1)[-1].lower() and "Softmax" not in node.classes[-2:-1]
            )

    def no_padding(self, node: OnnxNode, op: str, given: list[Known]) -> bool:
        """Whether a padding adds nothing."""
        pads = node.attributes.get("pads") or (given[1].numbers if len(given) > 1 else None)
        return op == "pad" and isinstance(pads, tuple) and bool(pads) and not any(pads)

    def add_bias(self, node: OnnxNode, data: list[str]) -> bool:
        """Puts a vector that is added to the result of a layer without a bias into that layer."""
        live = [name for name in data if self.of(name).live]
        constant = [name for name in data if not self.of(name).live]
        if len(live) != 1 or len(constant) != 1 or len(self.track(live[0]).sources) != 1:
            return False
        index = self.track(live[0]).sources[0]
        layer, vector = self.nodes[index], self.sizes(constant[0])
        count = int(np.prod(vector, dtype=np.float64)) if vector else 0
        is_layer = layer.op == "Linear" or layer.op.startswith("Conv")
        if not is_layer or index in self.biased or count != layer.shape[0] or max(vector) != count:
            return False
        if self.track(live[0]).parameters or (layer.op == "Linear" and vector[-1] != count):
            return False
        layer.parameters = [*layer.parameters, *self.bias(constant[0])]
        self.biased.add(index)
        self.assign(node, _Track((index,)))
        return True

    def mixing(self, node: OnnxNode) -> dict[str, Any]:
        """Heads of a product of attention weights and values."""
        sources = self.track(node.inputs[0]).sources
        if len(node.inputs) < 2 or not sources or any(self.nodes[s].op != "Softmax" for s in sources):
            return {}
        sizes, values = self.of(node.inputs[0]).sizes, self.of(node.inputs[1]).sizes
        if not self.track(node.inputs[1]).sources or sizes is None or len(sizes) < 4 or not values:
            return {}
        kv_heads = self.patterns.kv_heads(node.inputs[1]) if len(values) > 3 else 1
        return {"num_heads": sizes[-3], "num_kv_heads": kv_heads, "head_dim": values[-1]}

    def scores(self, node: OnnxNode) -> list[int] | None:
        """Attribute row of the attention whose scores a product may be."""
        sizes = self.of(node.inputs[0]).sizes if len(node.inputs) > 1 else None
        if sizes is None or len(sizes) < 4:
            return None
        options = {
            "num_heads": sizes[-3],
            "num_kv_heads": self.patterns.kv_heads(node.inputs[1]),
            "head_dim": sizes[-1],
        }
        return self.attributes("scaled_dot_product_attention", options, node)


def _path(node: OnnxNode) -> str:
    """Path of the module that a node belongs to, with the operator where it is none; for people."""
    if len(node.scopes) > 1:
        return ".".join(part for part in (node.scopes[-2],) if part) or node.name
    parts = [part for part in node.name.split("/") if part]
    path: list[str] = []
    for part in parts[:-1]:
        if path and part.startswith(path[-1] + "."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path) if path and node.name.startswith("/") else node.name
