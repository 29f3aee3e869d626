"""Layers by their formulas: what several ONNX nodes compute together, and the one node that says so."""

from __future__ import annotations

from collections.abc import Callable

from .source_onnx_model_archbert import OnnxNode
from .source_onnx_patterns_archbert import STEPS, Patterns, pooling
from .source_onnx_values_archbert import bounds


def _gate(patterns: Patterns, index: int, base: str, with_product: str, without: str = "") -> None:
    """Replaces a gate and the product with what it gates, `base`, by one activation."""
    current, times = index, False
    for _ in range(STEPS):
        following = patterns.user(current)
        if following is None:
            break
        node = patterns.nodes[following]
        name = patterns.nodes[current].outputs[0]
        other = patterns.other(node, name)
        if node.op not in ("Add", "Sub", "Mul", "Div") or not other:
            break
        if patterns.is_scalar(other) and (not times or node.op in ("Mul", "Div")):
            current = following
        elif node.op == "Mul" and not times and patterns.scaled(other) == base:
            current, times = following, True
        else:
            break
    op = with_product if times else without
    if op:
        patterns.replace(current, op, [base])


def _erf(patterns: Patterns, index: int, node: OnnxNode) -> None:
    _gate(patterns, index, patterns.scaled(node.inputs[0]), "GELU")


def _sigmoid(patterns: Patterns, index: int, node: OnnxNode) -> None:
    base = patterns.scaled(node.inputs[0])
    plain = base == patterns.plain(node.inputs[0])
    following = patterns.user(index)
    after = patterns.nodes[following] if following is not None else None
    if after is not None and after.op == "Mul":
        other = patterns.other(after, node.outputs[0])
        if other and patterns.plain(other) == base:
            patterns.replace(following or 0, "SiLU" if plain else "GELU", [base])
        elif other and _halves(patterns, other, node.inputs[0]):
            source = patterns.node_of(other)
            patterns.replace(following or 0, "GLU", source.inputs[:1] if source is not None else [base])
    elif after is not None and after.op == "Log":
        patterns.replace(following or 0, "LogSigmoid", [node.inputs[0]])


def _halves(patterns: Patterns, first: str, second: str) -> bool:
    """Whether two values are the halves that one Split in the same place made."""
    node = patterns.node_of(first)
    return (
        node is not None and node.op == "Split" and len(node.outputs) == 2
        and [patterns.plain(first), patterns.plain(second)] == node.outputs
    )  # fmt: skip


def _tanh(patterns: Patterns, index: int, node: OnnxNode) -> None:
    source = patterns.node_of(node.inputs[0])
    if source is not None and source.op == "Softplus":
        _gate(patterns, index, patterns.plain(source.inputs[0]), "Mish")
        return
    base = _polynomial(patterns, node.inputs[0])
    if base:
        _gate(patterns, index, base, "GELU")
    following = patterns.user(index)
    after = patterns.nodes[following] if following is not None else None
    if after is not None and after.op == "Sub" and patterns.plain(after.inputs[0]) == patterns.plain(node.inputs[0]):
        patterns.replace(following or 0, "Tanhshrink", [node.inputs[0]])


def _polynomial(patterns: Patterns, name: str) -> str:
    """The one value that a value is a polynomial of, of a degree above 1; empty where there is none."""
    leaves: set[str] = set()
    powers = 0
    stack = [(name, 0)]
    for _ in range(32):
        if not stack:
            break
        value, depth = stack.pop()
        node = patterns.node_of(value)
        live = [given for given in node.inputs if patterns.of(given).live] if node is not None else []
        if node is None or node.op not in ("Mul", "Add", "Pow") or depth > 6:
            leaves.add(patterns.plain(value))
            continue
        powers += node.op == "Pow" or (node.op == "Mul" and len(live) == 2)
        stack += [(given, depth + 1) for given in live]
    if stack or not powers:
        return ""
    if len(leaves) == 1:
        return leaves.pop()
    return ""


def _clip(patterns: Patterns, index: int, node: OnnxNode) -> None:
    source = patterns.node_of(node.inputs[0])
    if source is None or source.op != "Add" or bounds(patterns.known, node) != (0, 6):
        return
    live = [name for name in source.inputs if patterns.of(name).live]
    if len(live) == 1 and any(patterns.of(name).scalar() == 3 for name in source.inputs):
        _gate(patterns, index, patterns.plain(live[0]), "Hardswish", "Hardsigmoid")


def _hard_sigmoid(patterns: Patterns, index: int, node: OnnxNode) -> None:
    _gate(patterns, index, patterns.plain(node.inputs[0]), "Hardswish")


def _affine(patterns: Patterns, index: int) -> tuple[int, list[str]]:
    """The node that ends a normalization: after it, a scale and a shift of its own; and their initializers."""
    weights: list[str] = []
    wanted = ["Mul", "Add"]
    for _ in range(2):
        following = patterns.user(index)
        if following is None:
            break
        node = patterns.nodes[following]
        other = patterns.other(node, patterns.nodes[index].outputs[0])
        item = patterns.of(other)
        if node.op not in wanted or not other or item.live or not item.roots or patterns.is_scalar(other):
            break
        weights += item.roots
        wanted = wanted[wanted.index(node.op) + 1 :]
        index = following
    return index, weights


def _mean(patterns: Patterns, index: int, node: OnnxNode) -> None:
    """RMSNorm and LayerNorm that are spelled out: a mean of squares, and what divides by its root."""
    square = patterns.node_of(node.inputs[0])
    if square is None or not square.inputs or len(square.inputs) != 2:
        return
    squared = square.op == "Mul" and patterns.plain(square.inputs[0]) == patterns.plain(square.inputs[1])
    squared = squared or (square.op == "Pow" and patterns.of(square.inputs[1]).scalar() == 2)
    base = patterns.plain(square.inputs[0])
    current: int | None = index
    seen: list[str] = []
    while squared and current is not None and len(seen) < 4:
        current = patterns.user(current)
        if current is not None:
            seen.append(patterns.nodes[current].op)
            if seen[-1] not in ("Add", "Sqrt", "Reciprocal"):
                break
            if seen[-1] == "Add" and not any(map(patterns.is_scalar, patterns.nodes[current].inputs)):
                return
    if current is None or "Sqrt" not in seen:
        return
    last = patterns.nodes[current]
    if last.op == "Div" and last.inputs and not patterns.of(last.inputs[0]).live:
        following = patterns.user(current)
        if following is None:
            return
        current, last = following, patterns.nodes[following]
    if last.op not in ("Mul", "Div") or base not in map(patterns.plain, last.inputs):
        return
    centre = patterns.node_of(base)
    mean = patterns.node_of(centre.inputs[1]) if centre is not None and centre.op == "Sub" else None
    centred = mean is not None and mean.op == "ReduceMean" and centre is not None and len(centre.inputs) == 2
    end, weights = _affine(patterns, current)
    if centred and centre is not None:
        patterns.replace(end, "LayerNorm", [centre.inputs[0]], weights)
    elif not node.classes:
        patterns.replace(end, "RMSNorm", [base], weights)


def _root(patterns: Patterns, index: int, node: OnnxNode) -> None:
    """1 / sqrt(x)."""
    following = patterns.user(index)
    after = patterns.nodes[following] if following is not None else None
    if after is None or not patterns.of(node.outputs[0]).live:
        return
    inverted = after.op == "Div" and len(after.inputs) == 2 and patterns.of(after.inputs[0]).scalar() == 1
    if after.op == "Reciprocal" or inverted:
        patterns.replace(following or 0, "rsqrt", [node.inputs[0]])


def _instance_norm(patterns: Patterns, index: int, node: OnnxNode) -> None:
    """GroupNorm that is spelled as the InstanceNormalization of reshaped data."""
    before, following = patterns.node_of(node.inputs[0]), patterns.user(index)
    if before is None or before.op != "Reshape" or following is None or patterns.nodes[following].op != "Reshape":
        return
    end, weights = _affine(patterns, following)
    patterns.replace(end, "GroupNorm", [before.inputs[0]], weights, num_groups=patterns.groups(node))


def _softmax(patterns: Patterns, index: int, node: OnnxNode) -> None:
    """Attention whose queries and keys are both scaled before their product, as `torch.onnx` spells it."""
    found = patterns.heads(node.inputs[0])
    operands = found.get("inputs")
    if not isinstance(operands, tuple):
        return
    queries, keys = (patterns.node_of(name) for name in operands)
    if queries is None or keys is None or queries.op != "Mul" or keys.op != "Mul":
        return
    following = patterns.user(index)
    for _ in range(3):
        if following is None or patterns.nodes[following].op in ("MatMul", "IsNaN"):
            break
        following = patterns.user(following)
    scores = patterns.node_of(node.inputs[0])
    if following is None or patterns.nodes[following].op != "MatMul" or scores is None:
        return
    live = [patterns.scaled(name) for name in operands]
    if any(name == patterns.plain(operand) for name, operand in zip(live, operands, strict=True)):
        return
    masks = [name for name in scores.inputs if scores.op == "Add" and patterns.node_of(name) is not None
             and patterns.node_of(name).op != "MatMul"]  # type: ignore[union-attr]  # fmt: skip
    masks += [name for name in scores.inputs if scores.op == "Add" and name not in patterns.maker]
    values = patterns.nodes[following].inputs[1:2]
    options = {key: found[key] for key in ("num_heads", "num_kv_heads", "head_dim", "is_causal")}
    patterns.replace(following, "scaled_dot_product_attention", [*live, *values, *masks], (), **options)


def _abs(patterns: Patterns, index: int, node: OnnxNode) -> None:
    """x / (1 + |x|)."""
    added = patterns.user(index)
    if (
        added is None
        or patterns.nodes[added].op != "Add"
        or not any(map(patterns.is_scalar, patterns.nodes[added].inputs))
    ):
        return
    following = patterns.user(added)
    after = patterns.nodes[following] if following is not None else None
    base = patterns.plain(node.inputs[0])
    if following is not None and after is not None and after.op == "Div" and patterns.plain(after.inputs[0]) == base:
        patterns.replace(following, "Softsign", [base])


def _lp_pool(patterns: Patterns, index: int, node: OnnxNode) -> None:
    """(average of x^p, without its sign, times the size of the window)^(1/p)."""
    power = patterns.node_of(node.inputs[0])
    users = {patterns.nodes[i].op: i for i in patterns.users.get(node.outputs[0], ())}
    if power is None or power.op != "Pow" or set(users) != {"Sign", "Abs"}:
        return
    current: int | None = users["Sign"]
    for _ in range(4):
        current = patterns.user(current) if current is not None else None
        if current is not None and patterns.nodes[current].op == "Pow":
            rank = patterns.of(node.inputs[0]).rank or 4
            patterns.replace(current, f"LPPool{min(max(rank - 2, 1), 3)}d", power.inputs[:1], (), **pooling(node))
            return


def _rotated(patterns: Patterns, index: int, node: OnnxNode) -> None:
    """x * cos + cat(-x2, x1) * sin with constant sines and cosines."""
    half = patterns.node_of(node.inputs[0])
    following = patterns.user(index)
    if half is None or half.op != "Neg" or len(node.inputs) != 2 or following is None:
        return
    product, summed = patterns.nodes[following], patterns.user(following)
    if product.op != "Mul" or summed is None or patterns.nodes[summed].op != "Add":
        return
    plain = patterns.node_of(patterns.other(patterns.nodes[summed], product.outputs[0]))
    if plain is None or plain.op != "Mul" or len(plain.inputs) != 2:
        return
    tables = [name for name in (*product.inputs, *plain.inputs) if not patterns.of(name).live]
    if len(tables) == 2:
        sizes = tuple(size for size in patterns.of(tables[0]).sizes or () if size != 1)
        patterns.rotary |= dict.fromkeys(tables, f"rotary{sizes}")


FORMULAS: dict[str, Callable[[Patterns, int, OnnxNode], None]] = {
    "Abs": _abs,
    "AveragePool": _lp_pool,
    "Concat": _rotated,
    "Erf": _erf, "Sigmoid": _sigmoid, "Tanh": _tanh, "Clip": _clip, "HardSigmoid": _hard_sigmoid,
    "ReduceMean": _mean, "Sqrt": _root, "InstanceNormalization": _instance_norm, "Softmax": _softmax,
}  # fmt: skip
"""ONNX operator -> rule that looks for layers around such a node."""
