"""Changes of an architecture in words: one sentence part for each kind of change.

`a` is the first network and `b` the second; a text says what `b` has instead of what `a` has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .graph_stacks_archbert import TABLE_ROLES

_NUMBERS = {
    "width": "hidden size",
    "heads": "attention heads",
    "head_size": "head size",
    "intermediate": "intermediate size",
    "experts": "experts",
    "top_k": "experts per token",
    "vocabulary": "vocabulary",
    "positions": "learned positions",
    "token_types": "token types",
    "tokens": "learned tokens",
    "shared_expert": "shared expert of inner width",
    "inputs": "inputs",
    "outputs": "outputs",
}
_COUNTED = ("tokens", "heads", "experts", "top_k", "inputs", "outputs")
_SINGULAR = {"tokens": "learned token", "heads": "attention head", "experts": "expert",
             "top_k": "expert per token", "inputs": "input", "outputs": "output"}  # fmt: skip
_POSITIONS = {
    "before": "normalization before each branch",
    "after": "normalization after each addition",
    "end": "normalization at the end of each branch",
    "": "no normalization at the borders of a branch",
}
_CHANNELS = {"width": "width", "intermediate": "inner width"}


def number(value: int) -> str:
    """A count for people: thousands apart."""
    return f"{value:,}"


def listed(values: Any) -> str:
    """One or several values, `none` for none."""
    if isinstance(values, (tuple, list)):
        return ", ".join(listed(v) for v in values) if values else "none"
    return str(values)


def parameters(value: int) -> str:
    """A number of parameters, rounded to three digits."""
    for size, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return str(value)


def fact_text(name: str, a: Any, b: Any, context: dict[str, Any]) -> str:
    """What changed in one fact of a tower or of the network.

    Args:
        name: the fact.
        a, b: its values.
        context: `unit` (layers or blocks), `convolutional`, and the facts of both towers as `facts_a`, `facts_b`.
    """
    if name == "layers":
        return _layers(a, b, context)
    if name == "kv_heads":
        return f"{_sharing(context['facts_b'])} instead of {_sharing(context['facts_a'])}"
    if name == "window":
        return f"{_window(b)} instead of {_window(a)}"
    if name in ("activation", "normalization"):
        if set(a) < set(b) and a:
            return f"{' and '.join(x for x in b if x not in a)} added beside {' and '.join(a)}"
        if set(b) < set(a) and b:
            return f"{' and '.join(x for x in a if x not in b)} removed beside {' and '.join(b)}"
        nothing = f"no {name}"
        return f"{' and '.join(b) or nothing} instead of {' and '.join(a) or nothing}"
    if name == "norm_position":
        return f"{_position(b)} instead of {_position(a)}"
    if name == "stem":
        return f"first convolution {_stems(b)} instead of {_stems(a)}"
    if name == "kernel":
        return f"kernels {listed(b)} instead of {listed(a)}"
    if name == "groups":
        return f"convolution groups {listed(b)} instead of {listed(a)}"
    if name in _SWITCHES:
        return _SWITCHES[name][0 if b else 1]
    return _numeric(name, a, b, context)


_SWITCHES = {
    "causal": ("causal attention instead of attention in both directions",
               "attention in both directions instead of causal attention"),
    "cross": ("cross-attention added", "cross-attention removed"),
    "shared_layers": ("one set of weights for all layers instead of weights of its own in each layer",
                      "weights of its own in each layer instead of one set for all layers"),
    "qk_norm": ("queries and keys normalized", "queries and keys not normalized"),
    "layer_scale": ("layer scale added", "layer scale removed"),
    "gated": ("gated feed-forward instead of a plain one", "plain feed-forward instead of a gated one"),
    "tied": ("output weights tied to the embedding", "output weights of their own instead of the embedding's"),
    "rotary": ("rotary position embedding added", "rotary position embedding removed"),
}  # fmt: skip


def _numeric(name: str, a: Any, b: Any, context: dict[str, Any]) -> str:
    what = _NUMBERS[name]
    if name in _CHANNELS and context.get("convolutional"):
        what = _CHANNELS[name]
    if name in TABLE_ROLES:
        a, b = _rows(a), _rows(b)
    several = isinstance(a, tuple) or isinstance(b, tuple)
    if not a or not b:
        value, verb = (b, "added") if b else (a, "removed")
        if name == "shared_expert":
            return f"{what} {value} {verb}"
        what = _SINGULAR.get(name, what) if value in (1, "1") else what
        return f"{listed(value)} {what} {verb}" if name in _COUNTED else f"{what} {verb} ({listed(value)})"
    if several and max(len(v) if isinstance(v, tuple) else 1 for v in (a, b)) > 1:
        return f"{what} by stage {listed(b)} instead of {listed(a)}"
    if b in (1, "1"):
        what = _SINGULAR.get(name, what)
    a, b = listed(a), listed(b)
    return f"{b} {what} instead of {a}" if name in _COUNTED else f"{what} {b} instead of {a}"


def _rows(values: tuple[int, ...]) -> str:
    return " and ".join(str(v) for v in values)


def tower_name(scope: str) -> str:
    """A tower in words: `encoder`, `text tower`."""
    return scope if scope.startswith(("encoder", "decoder", "tower")) else f"{scope} tower".strip()


def _layers(a: Any, b: Any, context: dict[str, Any]) -> str:
    unit = context["unit"]
    if isinstance(a, tuple) and isinstance(b, tuple):
        return f"{listed(b)} {unit} by stage instead of {listed(a)}"
    if isinstance(a, tuple) or isinstance(b, tuple):
        texts = [f"stages of {listed(v)} {unit}" if isinstance(v, tuple) else f"{v} {unit}" for v in (b, a)]
        return " instead of ".join(texts)
    scope = f"{context['scope']} " if context.get("scope") else ""
    return f"{b} {scope}{unit if b != 1 else unit[:-1]} instead of {a}"


def _sharing(facts: dict[str, Any]) -> str:
    """How keys and values are shared: multi-head, grouped-query or multi-query attention."""
    heads, kv_heads = facts["heads"], facts["kv_heads"]
    if not heads or isinstance(heads, tuple):
        return f"{listed(kv_heads)} kv heads" if heads else "no attention"
    if kv_heads == heads:
        return f"multi-head attention, {kv_heads} kv heads"
    kind = "multi-query" if kv_heads == 1 else "grouped-query"
    return f"{kind} attention, {kv_heads} kv head{'s' if kv_heads != 1 else ''} for {heads} heads"


def _window(value: Any) -> str:
    if isinstance(value, tuple):
        parts = [f"{'a window of ' + number(w) if w else 'full attention'} in {n}" for w, n in value]
        return f"{' and '.join(parts)} layers"
    return f"a sliding window of {number(value)} tokens" if value else "full attention"


def _position(value: str) -> str:
    return " and ".join(_POSITIONS.get(part, part) for part in value.split(" and "))


def _stems(values: Iterable[tuple[str, int, int]]) -> str:
    found = [f"{kernel} with stride {h if h == w or 'x' not in kernel else f'{h}x{w}'}"
             if "x" in kernel else f"{kernel} with stride {w}" for kernel, h, w in values]  # fmt: skip
    return ", ".join(found) or "none"


def tower_text(facts: dict[str, Any], scope: str, unit: str) -> str:
    """A tower in a few words: layers, width, heads and what it is made of."""
    layers, width = facts["layers"], facts["width"]
    count = f"{layers} {unit if layers != 1 else unit[:-1]}" if not isinstance(layers, tuple) else (
        f"stages of {listed(layers)} {unit}"
    )  # fmt: skip
    parts = [f"{tower_name(scope)} of {count}" if scope else count]
    if width:
        parts.append(f"width {listed(width)}")
    if facts["heads"]:
        parts.append(f"{listed(facts['heads'])} heads")
    parts += [listed(facts[name]) for name in ("normalization", "activation") if facts[name]]
    return ", ".join(parts)


def layer_text(op: str, shape: Iterable[int]) -> str:
    """A layer with its sizes: `Linear 768 -> 2`, `Conv2d 3 -> 64, 7x7`."""
    out, inside, height, width = shape
    if not out:
        return op
    if op.startswith("Embedding"):
        return f"{op} {number(out)} x {inside}"
    if not inside:
        return f"{op} {out}"
    kernel = f", {height}x{width}" if height else ""
    return f"{op} {inside} -> {out}{kernel}"


def layers_text(layers: list[str], most: int = 6) -> str:
    """Several layers, equal ones once with their number, at most `most` kinds."""
    counts: dict[str, int] = {}
    for layer in layers:
        counts[layer] = counts.get(layer, 0) + 1
    texts = [f"{n} x {text}" if n > 1 else text for text, n in counts.items()]
    left = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + left


def join_lines(lines: Iterable[str], limit: int) -> list[str]:
    """At most `limit` lines; the last one says how many are left out."""
    lines = list(lines)
    if len(lines) <= limit:
        return lines
    return [*lines[: limit - 1], f"and {len(lines) - limit + 1} more changes"]
