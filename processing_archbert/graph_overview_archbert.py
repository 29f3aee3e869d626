"""What is told of a network in a few lines, and filters over it.

* `summary` is a flat dictionary, `describe` the same as text.
* `parse_filter("parameters<50M and attention_layers>0")` is a predicate over summaries: comparisons joined by `and` or
  commas, nothing else. Nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .architecture_graph_archbert import ArchitectureGraph, ArchitectureGraphError
from .graph_costs_archbert import AXES, activation_memory, flops, kv_cache, weight_memory
from .graph_facts_archbert import GraphFacts

MAX_FILTER_LENGTH = 1000
FAMILIES = ("convolutional", "transformer", "hybrid", "recurrent", "state-space", "other")
"""What carries the data: convolutions, attention, both, recurrent layers, state-space scans."""
NUMBERS = (
    "nodes", "edges", "parameters", "unused_parameters", "weight_bytes", "attention_layers", "heads", "kv_heads",
    "head_dim", "window", "experts", "flops", "activation_bytes", "kv_cache_bytes_per_token",
    "window_cache_bytes_per_token", "cross_cache_bytes_per_position",
)  # fmt: skip
"""Numbers of a summary, which filters compare."""
STRINGS = ("name", "family")
"""Strings of a summary, which filters compare for equality."""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12,
          "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}  # fmt: skip
_CLAUSE = re.compile(r"\s*([a-z_]+)\s*(<=|>=|!=|==|=|<|>)\s*([^\s,<>=!]+)\s*")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([a-z]*)", re.IGNORECASE)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}  # fmt: skip


def summary(graph: ArchitectureGraph, dtype: str = "float16", **sizes: Any) -> dict[str, Any]:
    """Facts of a network by name: `STRINGS`, `NUMBERS`, `layers` (kind -> number) and `sizes`.

    Args:
        graph: any graph.
        dtype: data type of what is counted in bytes.
        **sizes: as in `graph_costs_archbert.flops`; those left out are as traced.

    Returns:
        `flops` and `activation_bytes` are None where the graph has no costs.

    Raises:
        ArchitectureGraphError: sizes are given that the graph cannot answer.
    """
    cache = kv_cache(graph, dtype)
    known = graph.costs is not None or bool(sizes)
    heads = _most(graph, "num_heads")
    result: dict[str, Any] = {
        "name": graph.name,
        "family": family(graph),
        "nodes": graph.num_nodes,
        "edges": graph.num_edges,
        "parameters": graph.num_parameters,
        "unused_parameters": graph.unused_parameters,
        "weight_bytes": weight_memory(graph, dtype),
        "attention_layers": sum(op in ("scaled_dot_product_attention", "MultiheadAttention") for op in graph.op_types),
        "heads": heads,
        "kv_heads": _most(graph, "num_kv_heads"),
        "head_dim": _most(graph, "head_dim"),
        "window": _most(graph, "window"),
        "experts": _most(graph, "num_experts"),
        "flops": flops(graph, **sizes) if known else None,
        "activation_bytes": activation_memory(graph, dtype, **sizes) if known else None,
        "kv_cache_bytes_per_token": cache.bytes_per_token,
        "window_cache_bytes_per_token": cache.window_bytes_per_token,
        "cross_cache_bytes_per_position": cache.cross_bytes_per_token,
    }
    traced = {**graph.costs["axes"], **graph.costs["fixed"], "batch": 1} if graph.costs is not None else {}
    result["dtype"] = dtype
    result["sizes"] = {axis: sizes.get(axis, traced.get(axis)) for axis in AXES if axis in traced or axis in sizes}
    result["layers"] = GraphFacts(graph).layer_counts()
    return result


def family(graph: ArchitectureGraph) -> str:
    """One of `FAMILIES`, by the layers that the graph has."""
    ops = graph.op_types
    attention = any(op in ("scaled_dot_product_attention", "MultiheadAttention") for op in ops)
    wide = sum(op.startswith("Conv") for op in ops)
    if any(op in ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell") for op in ops):
        return "recurrent"
    if attention:
        return "hybrid" if wide > 4 else "transformer"
    if any(op.startswith("Conv1d") for op in ops) and any(op in ("Softplus", "cumsum") for op in ops):
        return "state-space"
    return "convolutional" if wide > 1 else "other"


def _most(graph: ArchitectureGraph, attribute: str) -> int:
    """The largest value of an attribute; 0 = none."""
    return int(graph.attribute(attribute).max(initial=0))


def describe(graph: ArchitectureGraph, dtype: str = "float16", **sizes: Any) -> str:
    """A summary as text of a few lines; arguments and errors as `summary`."""
    facts = summary(graph, dtype, **sizes)
    lines = [
        f"{facts['name']}: {facts['family']}, {facts['nodes']:,} nodes, {facts['edges']:,} edges",
        f"parameters: {_short(facts['parameters'])} ({_size(facts['weight_bytes'])} in {dtype})",
        "layers: " + ", ".join(f"{count} {kind}" for kind, count in list(facts["layers"].items())[:8]),
    ]
    if facts["attention_layers"]:
        window = f", window {facts['window']}" if facts["window"] else ""
        lines.append(
            f"attention: {facts['attention_layers']} layers, {facts['heads']} heads of {facts['head_dim']}, "
            f"{facts['kv_heads']} of keys and values{window}"
        )
    if facts["experts"]:
        lines.append(f"experts: {facts['experts']}")
    if facts["flops"] is not None:
        at = ", ".join(f"{axis} {_shown(axis, value)}" for axis, value in facts["sizes"].items())
        lines.append(f"forward pass at {at}: {_short(facts['flops'])} FLOPs, {_size(facts['activation_bytes'])} "
                     f"of activations at the peak")  # fmt: skip
    if facts["kv_cache_bytes_per_token"]:
        lines.append(f"cache: {_size(facts['kv_cache_bytes_per_token'])} per token")
    return "\n".join(lines)


def _shown(axis: str, value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return " x ".join(map(str, value))
    return f"{value} pixels" if axis == "image" and value > 10_000 else str(value)


def _short(value: int) -> str:
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return str(value)


def _size(value: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value} B"


def parse_filter(text: str) -> Callable[[Mapping[str, Any]], bool]:
    """A predicate over summaries from text such as `"parameters<50M and family=transformer"`.

    Comparisons are `<`, `<=`, `>`, `>=`, `=` and `!=`, of one of `NUMBERS` with a number (units k, M, G or B, T, and
    KiB, MiB, GiB, TiB), or `=` and `!=` of one of `STRINGS` with a word; all have to hold. A number that a summary
    does not know (None) satisfies no comparison.

    Raises:
        ArchitectureGraphError: the text is no such filter.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_FILTER_LENGTH:
        raise ArchitectureGraphError("a filter has to be text such as 'parameters<50M and flops<5G'.")
    tests = [_comparison(clause) for clause in re.split(r",|\band\b", text)]
    return lambda facts: all(test(facts) for test in tests)


def _comparison(clause: str) -> Callable[[Mapping[str, Any]], bool]:
    found = _CLAUSE.fullmatch(clause)
    if found is None:
        raise ArchitectureGraphError(f"{clause.strip()[:80]!r} is no comparison such as 'parameters<50M'.")
    name, sign, value = found.groups()
    compare = _COMPARISONS[sign]
    if name in STRINGS:
        if sign not in ("=", "==", "!="):
            raise ArchitectureGraphError(f"{name} is compared with {sign!r}; = and != are allowed.")
        if name == "family" and value not in FAMILIES:
            raise ArchitectureGraphError(f"{value[:80]!r} is no family; allowed are {', '.join(FAMILIES)}.")
        return lambda facts: compare(facts[name], value)
    if name not in NUMBERS:
        raise ArchitectureGraphError(f"{name!r} is no fact; allowed are {', '.join((*STRINGS, *NUMBERS))}.")
    wanted = _number(value)
    return lambda facts: facts[name] is not None and compare(facts[name], wanted)


def _number(text: str) -> float:
    found = _NUMBER.fullmatch(text)
    if found is None or found.group(2).lower() not in _UNITS:
        raise ArchitectureGraphError(f"{text[:80]!r} is no number such as 50M, 1.5G or 64KiB.")
    return float(found.group(1)) * _UNITS[found.group(2).lower()]
