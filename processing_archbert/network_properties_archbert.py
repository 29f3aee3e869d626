"""Properties that people state of a network, decided from its graph: true, false, or unknown.

A property is one word of `PROPERTIES` (`encoder-decoder`, `grouped-query`, `pre-norm`), or a group of layers of
`LAYER_GROUPS` that a network has or has not (`batch normalization`, `GELU`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .graph_facts_archbert import Fact
from .graph_stacks_archbert import ATTENTION_OPS
from .network_numbers_archbert import NetworkNumbers
from .ops_archbert import op_category


def _spaced(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{d}d" for name in names for d in (1, 2, 3))


LAYER_GROUPS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "batch normalization": ("normalization", r"batch ?norm(?:alization|alisation)?(?:[123]d)?", _spaced("BatchNorm")),
    "layer normalization": ("normalization", r"layer ?norm(?:alization|alisation)?", ("LayerNorm",)),
    "RMSNorm": (
        "normalization", r"rms ?norm(?:alization|alisation)?|root mean square (?:layer )?norm(?:ali[sz]ation)?",
        ("RMSNorm",),
    ),
    "group normalization": ("normalization", r"group ?norm(?:alization|alisation)?", ("GroupNorm",)),
    "instance normalization": ("normalization",
        r"instance ?norm(?:ali[sz]ation)?(?:[123]d)?", _spaced("InstanceNorm")),
    "local response normalization": ("normalization", r"local response norm(?:ali[sz]ation)?", ("LocalResponseNorm",)),
    "ReLU": ("activation", r"relu|rectified linear units?", ("ReLU",)),
    "ReLU6": ("activation", r"relu6", ("ReLU6",)),
    "GELU": ("activation", r"gelu|gaussian error linear units?|quick ?gelu", ("GELU",)),
    "SiLU": ("activation", r"silu|swish|sigmoid linear units?", ("SiLU",)),
    "Mish": ("activation", r"mish", ("Mish",)),
    "Tanh": ("activation", r"tanh|hyperbolic tangents?", ("Tanh",)),
    "Sigmoid": ("activation", r"sigmoid", ("Sigmoid",)),
    "ELU": ("activation", r"elu|exponential linear units?", ("ELU",)),
    "LeakyReLU": ("activation", r"leaky ?relu", ("LeakyReLU",)),
    "Hardswish": ("activation", r"hard ?swish", ("Hardswish",)),
    "squared ReLU": ("activation", r"squared relu|relu squared", ("ReLUSquared",)),
    "max pooling": ("pooling", r"max ?pool(?:ing)?(?:[123]d)?", _spaced("MaxPool", "AdaptiveMaxPool")),
    "global average pooling": ("pooling", r"global average pool(?:ing)?", _spaced("AdaptiveAvgPool")),
    "average pooling": ("pooling", r"(?:average|avg) ?pool(?:ing)?(?:[123]d)?", _spaced("AvgPool", "AdaptiveAvgPool")),
    "depthwise convolution": ("convolution", r"depth ?wise(?: separable)? convolutions?", ()),
    "transposed convolution": (
        "convolution", r"transposed convolutions?|deconvolutions?", _spaced("ConvTranspose"),
    ),
    "LSTM": ("recurrent", r"lstms?|long short term memory", ("LSTM", "LSTMCell")),
    "GRU": ("recurrent", r"grus?|gated recurrent units?", ("GRU", "GRUCell")),
}  # fmt: skip
"""What people call layers -> category, pattern of its names (lower case, hyphens as spaces), kinds of layers."""

_PATTERNS = {name: re.compile(rf"(?<!\w)(?:{row[1]})(?!\w)") for name, row in LAYER_GROUPS.items()}


def groups_in(text: str) -> list[tuple[int, int, str]]:
    """Where a text in lower case names groups of layers: `(start, end, group)`, the longest name at each place."""
    found = [(m.start(), m.end(), name) for name, pattern in _PATTERNS.items() for m in pattern.finditer(text)]
    found.sort(key=lambda f: (f[0], -(f[1] - f[0])))
    kept: list[tuple[int, int, str]] = []
    for start, end, name in found:
        if not kept or start >= kept[-1][1]:
            kept.append((start, end, name))
    return kept


def group_named(name: str) -> str:
    """The group of layers that a name in lower case stands for, all of its words; empty for none."""
    return next((group for group, pattern in _PATTERNS.items() if pattern.fullmatch(name)), "")


def has_group(numbers: NetworkNumbers, group: str) -> Fact:
    """Whether the network has layers of a group of `LAYER_GROUPS`; None where a missing part could hold them."""
    nodes = group_nodes(numbers, group)
    if nodes:
        return Fact(True, nodes)
    return Fact(False if numbers.whole else None)


def group_nodes(numbers: NetworkNumbers, group: str) -> tuple[int, ...]:
    """The nodes of a group of layers."""
    graph = numbers.graph
    if group == "depthwise convolution":
        groups, shapes = graph.attribute("groups"), graph.shapes
        swept = [n for n, op in enumerate(graph.op_types) if op_category(op) == "convolution"]
        return tuple(n for n in swept if groups[n] > 1 and shapes[n, 1] == 1)
    kinds = set(LAYER_GROUPS[group][2])
    return tuple(n for n, op in enumerate(graph.op_types) if op in kinds)


def _attention(numbers: NetworkNumbers) -> list[dict[str, Any]]:
    return [t.facts for t in numbers.towers if t.facts["heads"]]


def _shared(numbers: NetworkNumbers, wanted: str) -> bool | None:
    """Whether all attention of the towers is multi-head, grouped-query or multi-query."""
    facts = [f for f in _attention(numbers) if isinstance(f["heads"], int) and isinstance(f["kv_heads"], int)]
    if not facts or len(facts) < len(_attention(numbers)):
        return None
    kinds = {
        "multi-head" if f["kv_heads"] == f["heads"] else "multi-query" if f["kv_heads"] == 1 else "grouped-query"
        for f in facts
    }
    return wanted in kinds if len(kinds) == 1 else None


def _one(numbers: NetworkNumbers, fact: str, value: Any) -> bool | None:
    """Whether a fact has a value in all attention towers; None where they differ or the fact is not known."""
    found = {f[fact] for f in _attention(numbers)}
    return value in found if len(found) == 1 and found != {""} else None


def _gated(numbers: NetworkNumbers, activations: tuple[str, ...] = ()) -> bool | None:
    facts = _attention(numbers)
    if not facts or len({f["gated"] for f in facts}) > 1 or not all(f["intermediate"] for f in facts):
        return None
    if not facts[0]["gated"]:
        return False
    if not activations:
        return True
    found = {a for f in facts for a in f["activation"]}
    return bool(found & set(activations)) if len(found) == 1 else None


def _kind(numbers: NetworkNumbers, wanted: str) -> bool | None:
    return numbers.kind == wanted if numbers.kind else None


def _causal(numbers: NetworkNumbers) -> bool | None:
    nodes = [n for n, op in enumerate(numbers.graph.op_types) if op in ATTENTION_OPS]
    values = {bool(numbers.graph.attribute("causal")[n]) for n in nodes}
    return values.pop() if len(values) == 1 else None


def _positive(value: bool) -> bool | None:
    """Where only presence is certain: a graph may show the thing in a form that is not recognised."""
    return True if value else None


def _experts(numbers: NetworkNumbers) -> bool | None:
    return bool(numbers.graph.attribute("num_experts").any())


def _windowed(numbers: NetworkNumbers) -> bool | None:
    return bool(numbers.graph.attribute("window").any()) if _attention(numbers) else None


def _has_category(category: str) -> Callable[[NetworkNumbers], bool | None]:
    return lambda numbers: any(op_category(op) == category for op in numbers.graph.op_types)


def _squeezed(numbers: NetworkNumbers) -> bool | None:
    return bool(squeeze_nodes(numbers))


_GATES = ("Sigmoid", "Hardsigmoid")
_AVERAGES = ("mean", *_spaced("AdaptiveAvgPool"))
_MAX_GATE = 8
"""Most nodes from the average to the gate."""


def squeeze_nodes(numbers: NetworkNumbers) -> tuple[int, ...]:
    """Products of a feature map with a gate that two learned layers compute from its own average over all places."""
    graph, sources = numbers.graph, numbers.graph.predecessors()
    found = []
    for node, op in enumerate(graph.op_types):
        gates = [p for p in sources[node] if graph.op_types[p] in _GATES] if op == "mul" else []
        if len(gates) != 1 or len(sources[node]) != 2:
            continue
        swept, learned, place = next(p for p in sources[node] if p != gates[0]), 0, gates[0]
        for _ in range(_MAX_GATE):
            learned += op_category(graph.op_types[place]) in ("convolution", "linear")
            if graph.op_types[place] in _AVERAGES or len(sources[place]) != 1:
                break
            place = sources[place][0]
        if learned >= 2 and graph.op_types[place] in _AVERAGES and swept in sources[place]:
            found.append(node)
    return tuple(found)


def _bias(numbers: NetworkNumbers) -> bool | None:
    return numbers.has_bias.value


def _inverse(check: Callable[[NetworkNumbers], bool | None]) -> Callable[[NetworkNumbers], bool | None]:
    def inverted(numbers: NetworkNumbers) -> bool | None:
        value = check(numbers)
        return None if value is None else not value

    return inverted


def _rotary(numbers: NetworkNumbers) -> bool | None:
    return True if numbers.network["rotary"] else False if numbers.number("positions").value else None


def _learned(numbers: NetworkNumbers) -> bool | None:
    return True if numbers.number("positions").value else False if numbers.network["rotary"] else None


PROPERTIES: dict[str, Callable[[NetworkNumbers], bool | None]] = {
    "encoder-decoder": lambda n: _kind(n, "encoder-decoder"),
    "encoder-only": lambda n: _kind(n, "encoder-only"),
    "decoder-only": lambda n: _kind(n, "decoder-only"),
    "causal attention": _causal,
    "bidirectional attention": _inverse(_causal),
    "grouped-query attention": lambda n: _shared(n, "grouped-query"),
    "multi-query attention": lambda n: _shared(n, "multi-query"),
    "full multi-head attention": lambda n: _shared(n, "multi-head"),
    "rotary position embeddings": _rotary,
    "learned position embeddings": _learned,
    "mixture of experts": _experts,
    "sliding-window attention": _windowed,
    "a gated feed-forward": _gated,
    "SwiGLU": lambda n: _gated(n, ("SiLU",)),
    "GeGLU": lambda n: _gated(n, ("GELU",)),
    "pre-norm": lambda n: _one(n, "norm_position", "before"),
    "post-norm": lambda n: _one(n, "norm_position", "after"),
    "tied embeddings": lambda n: _positive(bool(n.network["tied"])),
    "biases in linear layers": _bias,
    "linear layers without bias": _inverse(_bias),
    "cross-attention": lambda n: any(f["cross"] for f in _attention(n)) if _attention(n) else None,
    "squeeze-and-excitation": _squeezed,
    "skip connections": lambda n: _positive(bool(n.structure.stacks)),
    "attention": lambda n: any(op in ATTENTION_OPS for op in n.graph.op_types),
    "convolution": _has_category("convolution"),
    "pooling": _has_category("pooling"),
    "normalization": _has_category("normalization"),
    "recurrent layers": _has_category("recurrent"),
    "embeddings": _has_category("embedding"),
}  # fmt: skip
"""Property -> what decides it."""


def holds(numbers: NetworkNumbers, name: str) -> Fact:
    """Whether a property, or the presence of a group of layers, is true of a network: True, False, or None.

    Args:
        numbers: the network.
        name: one of `PROPERTIES` or of `LAYER_GROUPS`.

    Raises:
        ValueError: an unknown name.
    """
    if name in LAYER_GROUPS:
        return has_group(numbers, name)
    if name not in PROPERTIES:
        raise ValueError(f"{name!r} is no property; there are {', '.join((*PROPERTIES, *LAYER_GROUPS))}.")
    if not numbers.graph.has_data_flow:
        return Fact(None)
    value = PROPERTIES[name](numbers)
    if value is None or (not value and not numbers.whole):
        return Fact(None)
    return Fact(value, _evidence(numbers, name) if value else ())


_SHOWN_BY: dict[str, tuple[str, ...]] = {
    "rotary position embeddings": ("positional",), "mixture of experts": ("experts",),
    "learned position embeddings": ("embedding",), "convolution": ("convolution",), "pooling": ("pooling",),
    "normalization": ("normalization",), "recurrent layers": ("recurrent",), "embeddings": ("embedding",),
    "pre-norm": ("normalization",), "post-norm": ("normalization",), "biases in linear layers": ("linear",),
    "linear layers without bias": ("linear",), "SwiGLU": ("activation",), "GeGLU": ("activation",),
    "a gated feed-forward": ("activation",),
}  # fmt: skip


def _evidence(numbers: NetworkNumbers, name: str) -> tuple[int, ...]:
    if name == "squeeze-and-excitation":
        return squeeze_nodes(numbers)
    if name == "skip connections":
        return tuple(sorted(b.add for stack in numbers.structure.stacks for b in stack.branches))
    categories = _SHOWN_BY.get(name, ("attention",))
    return tuple(n for n, op in enumerate(numbers.graph.op_types) if op_category(op) in categories)
