"""What a network costs to run: FLOPs, activation memory, key and value cache, weight memory.

* One multiply-add is two FLOPs. Products of matrices, convolutions and attention are counted, as torch's
  `FlopCounterMode` does; work element by element is not.
* FLOPs and activations are read from `ArchitectureGraph.costs`, which a trace with `costs=True` writes: for every node
  a polynomial in batch, sequence, target (length of a decoder's text) and image (pixels). An axis whose other sizes
  the network refused is fixed.
* Cache and weights need no such record.

`costs` is a mapping: `axes` and `fixed` (axis -> traced size), `exact` (axes on which a further run confirmed the
polynomial), `terms` (exponents of the axes), `denominator`, and `work` (multiply-adds) and `elements` (allocated
elements), each as three columns: node, term, coefficient times denominator, for sizes relative to the traced ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from .architecture_graph_archbert import ArchitectureGraph, ArchitectureGraphError

AXES = ("batch", "sequence", "target", "image")
"""Sizes that a cost may depend on; an image counts in pixels."""
DTYPE_BITS: dict[str, int] = {
    "float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "float8": 8, "int8": 8, "int4": 4,
}  # fmt: skip
"""Data type -> bits of one value."""
FLOPS_PER_MULTIPLY_ADD = 2
_FIELDS = {"axes", "fixed", "exact", "terms", "denominator", "work", "elements"}
_ATTENTION = ("scaled_dot_product_attention", "MultiheadAttention")


class KVCache(NamedTuple):
    """Cache of a network that generates text, in bytes for one sequence.

    Attributes:
        bytes_per_token: keys and values of every causal layer, for each token so far.
        window_bytes_per_token: the part of `bytes_per_token` whose layers look no further back than their window, so
            that it stops growing there.
        max_window: the widest of these windows, in tokens; 0 = none.
        cross_bytes_per_token: keys and values of cross-attention, for each position of the encoder; it does not grow
            while text is generated, and is not in `bytes_per_token`.
        layers: causal attention layers.
    """

    bytes_per_token: int
    window_bytes_per_token: int
    max_window: int
    cross_bytes_per_token: int
    layers: int


def flops(graph: ArchitectureGraph, **sizes: Any) -> int:
    """FLOPs of one forward pass: two for every multiply-add.

    Args:
        graph: a graph that was read with `costs=True`.
        **sizes: `batch`, `sequence`, `target` and `image` (a side in pixels, or height and width); those that are left
            out are as traced, the batch 1.

    Raises:
        ArchitectureGraphError: the graph has no costs, or the network has no such axis or takes one size only.
    """
    return FLOPS_PER_MULTIPLY_ADD * _rounded(_values(graph, "work", sizes).sum(), graph)


def flops_by_node(graph: ArchitectureGraph, **sizes: Any) -> np.ndarray:
    """FLOPs of every node at such sizes, float64 (m,); errors as `flops`."""
    return FLOPS_PER_MULTIPLY_ADD * _values(graph, "work", sizes).astype(np.float64) / _costs(graph)["denominator"]


def activation_memory(graph: ArchitectureGraph, dtype: str = "float16", kept: bool = False, **sizes: Any) -> int:
    """Bytes of activations of one forward pass.

    The peak, over the nodes in order, of all results that a later node still reads, with the node's own: no gradient,
    no fused operations, attention without its matrix of scores, views and in-place operations free. With `kept` the
    sum of all results, which is what a backward pass without recomputation keeps at most. Weights are not in it.

    Args:
        graph: a graph that was read with `costs=True`.
        dtype: data type of the activations, one of `DTYPE_BITS`.
        kept: whether everything is kept for a backward pass.
        **sizes: as in `flops`.

    Raises:
        ArchitectureGraphError: as `flops`, or an unknown data type.
    """
    bits = _bits(dtype)
    elements = _values(graph, "elements", sizes)
    total = elements.sum() if kept else _peak(graph, elements)
    return _rounded(Fraction(total) * bits / 8, graph)


def weight_memory(graph: ArchitectureGraph, dtype: str = "float16") -> int:
    """Bytes of all parameters in a data type; of a packed one the values alone, without its scales.

    Raises:
        ArchitectureGraphError: an unknown data type.
    """
    return math.ceil(graph.num_parameters * _bits(dtype) / 8)


def kv_cache(graph: ArchitectureGraph, dtype: str = "float16") -> KVCache:
    """Cache of keys and values: for every causal layer (size of a key + size of a value) x heads that keep their own.

    Encoders have none. State-space, recurrent and linear-attention layers keep a state of constant size, which is not
    in it. Layers with a compressed cache (multi-head latent attention) are counted as they run, with full heads; where
    values are narrower than keys their size is known only with `costs`, else that of a key is taken.

    Raises:
        ArchitectureGraphError: an unknown data type.
    """
    bits = _bits(dtype)
    causal = [i for i in _attention_nodes(graph) if graph.attribute("causal")[i]]
    bounded = [i for i in causal if graph.attribute("window")[i]]
    widths = _value_widths(graph)
    crossed = _cross_attention(graph, causal)
    size = {i: _cached_values(graph, i, widths) for i in (*causal, *crossed)}
    return KVCache(
        bytes_per_token=sum(size[i] for i in causal) * bits // 8,
        window_bytes_per_token=sum(size[i] for i in bounded) * bits // 8,
        max_window=max((int(graph.attribute("window")[i]) for i in bounded), default=0),
        cross_bytes_per_token=sum(size[i] for i in crossed) * bits // 8,
        layers=len(causal),
    )


def _attention_nodes(graph: ArchitectureGraph) -> list[int]:
    return [i for i, op in enumerate(graph.op_types) if op in _ATTENTION]


def _cached_values(graph: ArchitectureGraph, node: int, widths: Mapping[int, Fraction]) -> int:
    key = int(graph.attribute("head_dim")[node])
    heads, kv_heads = int(graph.attribute("num_heads")[node]), int(graph.attribute("num_kv_heads")[node])
    value = widths.get(node, Fraction(0)) / heads if heads else Fraction(0)
    return kv_heads * (key + (int(value) if value and value.denominator == 1 and value < key else key))


def _value_widths(graph: ArchitectureGraph) -> dict[int, Fraction]:
    """For attention whose result has a known width: all heads together."""
    if graph.costs is None:
        return {}
    costs = graph.costs
    axes = list(costs["axes"])
    widths: dict[int, Fraction] = {}
    attention = set(_attention_nodes(graph))
    for axis in ("sequence", "target"):
        term = [int(a in ("batch", axis)) for a in axes]
        if axis in axes and term in costs["terms"]:
            wanted, tokens = costs["terms"].index(term), costs["axes"][axis] * costs["axes"].get("batch", 1)
            for node, index, coefficient in zip(*costs["elements"], strict=True):
                if index == wanted and node in attention:
                    widths[node] = Fraction(coefficient, tokens * costs["denominator"])
    return widths


def _cross_attention(graph: ArchitectureGraph, causal: list[int]) -> list[int]:
    """Attention after causal attention that also reads weights applied to what no causal attention came before."""
    if not causal:
        return []
    predecessors = graph.predecessors()
    after = np.zeros(graph.num_nodes, dtype=bool)
    learned = graph.node_parameters > 0
    for node, sources in enumerate(predecessors):
        after[node] = node in set(causal) or any(after[s] for s in sources)
        learned[node] |= graph.shapes[node].any()
    return [
        i for i in _attention_nodes(graph)
        if not graph.attribute("causal")[i] and after[i] and any(not after[s] and learned[s] for s in predecessors[i])
    ]  # fmt: skip


def _costs(graph: ArchitectureGraph) -> Mapping[str, Any]:
    if graph.costs is None:
        raise ArchitectureGraphError(
            f"the graph {graph.name!r} was read without costs; a network of PyTorch (a module, a config or model type "
            "of transformers, torchvision:NAME, timm:NAME) gives them with load_architecture(..., costs=True)."
        )
    return graph.costs


def _factors(costs: Mapping[str, Any], sizes: Mapping[str, Any]) -> list[Fraction]:
    """Sizes relative to the traced ones, in the order of the axes."""
    wanted = {"batch": 1} | dict(sizes)
    for axis, value in wanted.items():
        known = costs["axes"] | costs["fixed"]
        if axis not in AXES:
            raise ArchitectureGraphError(f"{axis!r} is no size; allowed are {', '.join(AXES)}.")
        pixels = _size(axis, value)
        if axis in costs["axes"] or (axis == "batch" and axis not in sizes) or known.get(axis) == pixels:
            wanted[axis] = pixels
        elif axis in known:
            raise ArchitectureGraphError(f"{axis} is {value}; the network ran with {_shown(axis, known[axis])} only.")
        else:
            raise ArchitectureGraphError(f"{axis} is given, but the network has {', '.join(known) or 'no sizes'}.")
    return [Fraction(wanted.get(axis, size), size) for axis, size in costs["axes"].items()]


def _size(axis: str, value: Any) -> int:
    sides = value if axis == "image" and isinstance(value, (tuple, list)) and len(value) == 2 else [value]
    if any(isinstance(s, bool) or not isinstance(s, (int, np.integer)) or s < 1 for s in sides):
        raise ArchitectureGraphError(f"{axis} is {value!r}; an integer from 1 is allowed.")
    return int(sides[0]) ** 2 if axis == "image" and len(sides) == 1 else math.prod(int(s) for s in sides)


def _shown(axis: str, size: int) -> str:
    side = math.isqrt(size)
    return f"{size} pixels ({side} x {side})" if axis == "image" and side * side == size else str(size)


def _values(graph: ArchitectureGraph, what: str, sizes: Mapping[str, Any]) -> np.ndarray:
    """Exact values of every node, times the denominator; an array (m,) of fractions."""
    costs = _costs(graph)
    factors = _factors(costs, sizes)
    powers = [math.prod((x**e for x, e in zip(factors, term, strict=True)), start=Fraction(1))
              for term in costs["terms"]]  # fmt: skip
    values = np.full(graph.num_nodes, Fraction(0), dtype=object)
    for node, term, coefficient in zip(*costs[what], strict=True):
        values[node] += coefficient * powers[term]
    return values


def _rounded(value: Any, graph: ArchitectureGraph) -> int:
    return max(round(Fraction(value) / _costs(graph)["denominator"]), 0)


def _peak(graph: ArchitectureGraph, elements: np.ndarray) -> Fraction:
    """The largest sum of results that are alive at once; a node that allocates nothing keeps its sources alive."""
    last = list(range(graph.num_nodes))
    predecessors = graph.predecessors()
    for node in range(graph.num_nodes - 1, -1, -1):
        until = node if elements[node] else last[node]
        for source in predecessors[node]:
            last[source] = max(last[source], until)
    ends: list[list[int]] = [[] for _ in range(graph.num_nodes)]
    for node, end in enumerate(last):
        ends[end].append(node)
    alive = peak = Fraction(0)
    for node in range(graph.num_nodes):
        alive += elements[node]
        peak = max(peak, alive)
        alive -= sum((elements[n] for n in ends[node]), Fraction(0))
    return peak


def _bits(dtype: str) -> int:
    if dtype not in DTYPE_BITS:
        raise ArchitectureGraphError(f"dtype is {dtype!r}; allowed are {', '.join(DTYPE_BITS)}.")
    return DTYPE_BITS[dtype]


def checked_costs(value: Any, num_nodes: int) -> dict[str, Any]:
    """A checked copy of a record of costs, of plain lists and integers.

    Raises:
        ArchitectureGraphError: it is malformed.
    """
    if not isinstance(value, Mapping) or set(value) != _FIELDS:
        raise ArchitectureGraphError(f"costs has to be a mapping with {', '.join(sorted(_FIELDS))}.")
    axes = {str(k): _integer("a size", v, 1) for k, v in _mapping(value["axes"])}
    fixed = {str(k): _integer("a size", v, 1) for k, v in _mapping(value["fixed"])}
    if not set(axes) | set(fixed) <= set(AXES) or set(axes) & set(fixed):
        allowed = f"each of {', '.join(AXES)} once is allowed"
        raise ArchitectureGraphError(f"costs has the axes {[*axes, *fixed]}; {allowed}.")
    terms = [[_integer("an exponent", e, 0) for e in _items(term)] for term in _items(value["terms"])]
    if any(len(term) != len(axes) or any(e > 4 for e in term) for term in terms):
        raise ArchitectureGraphError("costs.terms has to hold one exponent from 0 to 4 for each axis.")
    columns = {name: _columns(name, value[name], num_nodes, len(terms)) for name in ("work", "elements")}
    exact = [str(axis) for axis in _items(value["exact"])]
    if not set(exact) <= set(axes):
        raise ArchitectureGraphError(f"costs.exact is {exact}; some of {list(axes)} are allowed.")
    denominator = _integer("denominator", value["denominator"], 1)
    return {"axes": axes, "fixed": fixed, "exact": exact, "terms": terms, "denominator": denominator, **columns}


def _columns(name: str, value: Any, num_nodes: int, num_terms: int) -> list[list[int]]:
    columns = [_items(column) for column in _items(value)]
    if len(columns) != 3 or len({len(column) for column in columns}) != 1:
        raise ArchitectureGraphError(f"costs.{name} has to be three columns of one length: node, term, coefficient.")
    for column, limit in zip(columns, (num_nodes, num_terms, None), strict=True):
        for entry in column:
            if _integer(f"an entry of costs.{name}", entry, None if limit is None else 0) >= (limit or 2**127):
                raise ArchitectureGraphError(f"costs.{name} has the entry {entry}; it has to be below {limit}.")
    return [[int(entry) for entry in column] for column in columns]


def _mapping(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise ArchitectureGraphError("costs.axes and costs.fixed have to be mappings of axis to size.")
    return value.items()


def _items(value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise ArchitectureGraphError(f"costs holds {type(value).__name__} where a list is allowed.")
    return list(value)


def _integer(name: str, value: Any, least: int | None) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or (least is not None and value < least):
        raise ArchitectureGraphError(f"costs has {value!r} as {name}; an integer is allowed.")
    return int(value)
