"""`module_tree`: the layers that names and shapes of tensors tell of, where nothing shows how data flows.

One node for each module path, told by the endings of PyTorch's parameter names and by the number of dimensions; no
edges. `graph.has_data_flow` is False: facts that such a graph cannot show are unknown (`graph_facts_archbert`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .architecture_graph_archbert import NO_DATA_FLOW, PACKED_WEIGHTS, ArchitectureGraph
from .ops_archbert import ATTRIBUTE_INDEX, NUM_ATTRIBUTES
from .source_safetensors_archbert import TensorInfo
from .tracing_modules_archbert import NO_SHAPE, AttributeRow, Shape, weight_shape

_EMBEDDING = re.compile(r"(embed(ding|dings|s|_tokens|_positions|d)?|emb|wte|wpe|token_embd|position_embd)\d*$")
_RELATIVE = re.compile(r"(relative_attention_bias|rel_pos_bias|shared)$")
_NORM = re.compile(r"(norm|(^|[._])ln)", re.IGNORECASE)
_TRANSPOSED = re.compile(r"(transpose|deconv|upconv)", re.IGNORECASE)
_EXPERTS = re.compile(r"(experts|_exps)([._]|$)")
_BUFFERS = re.compile(r"(running_mean|running_var|num_batches_tracked|position_ids|inv_freq|masked_bias|rope_freqs)$")
_PACKED = re.compile(r"(qweight|qzeros|g_idx|SCB|absmax|quant_map|quant_state\..*|weight_scale\w*|weight_format)$")
_FLOATS = ("F", "BF", "C", "I8")
_RECURRENT = {4: "LSTM", 3: "GRU", 1: "RNN"}


def module_tree(tensors: Mapping[str, TensorInfo], *, name: str, source: str) -> ArchitectureGraph:
    """The graph without edges of the modules that the tensors belong to, in natural order of their paths.

    `node_parameters` count elements of tensors that are no known buffers; where weights are packed (quantised), the
    graph says so in `incomplete`, because their number is not that of the parameters.
    """
    modules: dict[str, dict[str, TensorInfo]] = {}
    for path, info in sorted(tensors.items(), key=lambda item: _natural(item[0])):
        parent, _, leaf = path.rpartition(".")
        modules.setdefault(parent, {})[leaf] = info
    convolutions = [len(i.shape) - 2 for i in tensors.values() if 3 <= len(i.shape) <= 5]
    dims = max(set(convolutions), key=convolutions.count) if convolutions else 1
    nodes: list[tuple[str, str, Shape, list[int], int]] = []
    for path, members in modules.items():
        nodes += _nodes(path, members, dims)
    if not nodes:
        nodes = [("parameter", name, NO_SHAPE, [0] * NUM_ATTRIBUTES, 0)]
    packed = any(_PACKED.search(path) or _is_packed(path, info) for path, info in tensors.items())
    return ArchitectureGraph.build(
        [op for op, *_ in nodes],
        [],
        shapes=[shape for _, _, shape, _, _ in nodes],
        attributes=[attributes for *_, attributes, _ in nodes],
        node_parameters=[count for *_, count in nodes],
        node_names=[path for _, path, *_ in nodes],
        name=name,
        source=source,
        incomplete=(NO_DATA_FLOW, PACKED_WEIGHTS) if packed else (NO_DATA_FLOW,),
    )


def _natural(path: str) -> list[tuple[int, int, str]]:
    """Sorting key in which `layers.2` stands before `layers.10`."""
    parts = re.split(r"(\d{1,18})", path)
    return [(0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts]


def _is_packed(path: str, info: TensorInfo) -> bool:
    return info.dtype in ("U8", "I32", "F4", "U32") and len(info.shape) > 1 and path.endswith("weight")


def _is_parameter(leaf: str, info: TensorInfo) -> bool:
    if _BUFFERS.search(leaf) or (_PACKED.search(leaf) and leaf != "qweight"):
        return False
    return info.dtype.startswith(_FLOATS) or leaf == "qweight" or _is_packed(leaf, info)


def _nodes(path: str, members: Mapping[str, TensorInfo], dims: int) -> list[tuple[str, str, Shape, list[int], int]]:
    """The node of a module, and one for each tensor that does not belong to it."""
    parameters = {leaf: info for leaf, info in members.items() if _is_parameter(leaf, info)}
    told = _layer(path, members, dims)
    own = [leaf for leaf in parameters if told and leaf.startswith(told[0])]
    nodes = []
    if told and own:
        _, op, shape, attributes = told
        nodes.append((op, path, shape, attributes, sum(parameters[leaf].size for leaf in own)))
    for leaf in parameters:
        if leaf not in own:
            info = parameters[leaf]
            full = f"{path}.{leaf}" if path else leaf
            op, shape, attributes = _single(full, info)
            nodes.append((op, full, shape, attributes, info.size))
    return nodes


_Layer = tuple[tuple[str, ...], str, Shape, list[int]]


def _layer(path: str, members: Mapping[str, TensorInfo], dims: int) -> _Layer | None:
    """Prefixes of the names that belong to the layer, its op, shape and attributes; None where names tell of none."""
    none = [0] * NUM_ATTRIBUTES
    if "weight_ih_l0" in members and "weight_hh_l0" in members:
        return _recurrent(members)
    if "in_proj_weight" in members and len(members["in_proj_weight"].shape) == 2:
        shape = weight_shape("MultiheadAttention", members["in_proj_weight"].shape)
        return ("in_proj", "bias_k", "bias_v"), "MultiheadAttention", shape, none
    key = next((k for k in ("weight", "weight_v") if k in members), "")
    if not key or not 1 <= len(members[key].shape) <= 5:
        return None
    sizes, bias = members[key].shape, members.get("bias")
    op = _op(path, sizes, bias, "running_mean" in members, dims)
    if op == "Linear" and bias is not None and bias.shape == sizes[1:] != sizes[:1]:
        sizes = sizes[::-1]  # some linear layers keep their weight as (in, out)
    attributes = _kernel(op, sizes) if op.startswith("Conv") else _experts(sizes) if op == "grouped_mm" else none
    return ("weight", "bias"), op, weight_shape(op, sizes), attributes


def _op(path: str, sizes: tuple[int, ...], bias: TensorInfo | None, running: bool, dims: int) -> str:
    """The likeliest op of a module with a weight of these sizes."""
    leaf = path.rpartition(".")[2]
    if len(sizes) == 1:
        if running:
            return f"BatchNorm{dims}d"
        return "LayerNorm" if bias is not None else "RMSNorm" if _NORM.search(leaf) else "parameter"
    if len(sizes) == 2:
        embedding = bias is None and (_EMBEDDING.search(leaf) or _RELATIVE.search(leaf))
        return "Embedding" if embedding else "Linear"
    if len(sizes) == 3 and _EXPERTS.search(path):
        return "grouped_mm"
    swapped = bias is not None and bias.shape == sizes[1:2] != sizes[:1]
    transposed = swapped or _TRANSPOSED.search(path)
    return f"Conv{'Transpose' if transposed else ''}{len(sizes) - 2}d"


def _single(path: str, info: TensorInfo) -> tuple[str, Shape, list[int]]:
    """A tensor that stands by itself: stacked experts, or a parameter."""
    if len(info.shape) == 3 and _EXPERTS.search(path):
        return "grouped_mm", weight_shape("grouped_mm", info.shape), _experts(info.shape)
    return "parameter", weight_shape("parameter", info.shape), [0] * NUM_ATTRIBUTES


def _kernel(op: str, sizes: tuple[int, ...]) -> list[int]:
    row = AttributeRow()
    row.window("kernel", sizes[2:], len(sizes) - 2)
    return row.values


def _experts(sizes: tuple[int, ...]) -> list[int]:
    row = AttributeRow()
    row.set("num_experts", sizes[0])
    return row.values


def _recurrent(members: Mapping[str, Any]) -> _Layer | None:
    first, hidden = members["weight_ih_l0"].shape, members["weight_hh_l0"].shape
    gates = first[0] // hidden[1] if len(first) == len(hidden) == 2 and hidden[1] else 0
    if gates not in _RECURRENT:
        return None
    attributes = [0] * NUM_ATTRIBUTES
    attributes[ATTRIBUTE_INDEX["num_layers"]] = sum(bool(re.fullmatch(r"weight_ih_l\d+", leaf)) for leaf in members)
    attributes[ATTRIBUTE_INDEX["bidirectional"]] = int("weight_ih_l0_reverse" in members)
    op = _RECURRENT[gates]
    return ("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh"), op, weight_shape(op, first), attributes
