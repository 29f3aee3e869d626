"""What is known of every value of an ONNX model without running it: sizes, type, small numbers, and its origin.

Sizes come from rules for the common operators, else from what the file says; None stands for a size, a rank or a
number that is not known. Numbers are followed only where they are few (`MAX_NUMBERS`): sizes, axes and scales.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from .source_onnx_inline_archbert import MERGE, OWN_DOMAIN, SLICE, FlatModel
from .source_onnx_model_archbert import OnnxNode, OnnxTensor, is_float
from .source_onnx_sizes_archbert import (
    BROADCAST,
    MALFORMED,
    MAX_NUMBERS,
    SAME,
    UNKNOWN,
    Known,
    Numbers,
    Sizes,
    further_sizes,
    product,
    sizes_of,
    slice_arguments,
)

MAX_ROOTS = 8
_MAX_SIZE = 2**53


_BOOLEAN = frozenset(
    "Shape Size ArgMax ArgMin NonZero Equal Less Greater LessOrEqual GreaterOrEqual Not And Or Xor IsNaN IsInf "
    "BitShift BitwiseAnd BitwiseOr BitwiseNot BitwiseXor NonMaxSuppression StringNormalizer".split()
)
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: a / b,
    "Pow": math.pow,
    "Mod": lambda a, b: a % b,
    "Max": max,
    "Min": min,
    "Equal": lambda a, b: float(a == b),
}


def know(flat: FlatModel) -> dict[str, Known]:
    """`Known` for every value of a model, by name."""
    known: dict[str, Known] = {}
    for name, tensor in flat.tensors.items():
        known[name] = _of_tensor(name, tensor)
    for value in flat.inputs:
        known[value.name] = Known(value.sizes, is_float(value.data_type), live=True)
    for node in flat.nodes:
        _of_node(node, flat, known)
    return known


def _of_tensor(name: str, tensor: OnnxTensor) -> Known:
    few = tensor.values is not None and len(tensor.sizes) <= 1 and len(tensor.values) <= MAX_NUMBERS
    return Known(tensor.sizes, is_float(tensor.data_type), tensor.values if few else None, roots=(name,))


def _of_node(node: OnnxNode, flat: FlatModel, known: dict[str, Known]) -> None:
    given = [known.get(name, UNKNOWN) for name in node.inputs]
    op = node.op if not node.domain or node.domain in (OWN_DOMAIN, "com.microsoft") else ""
    live = op not in ("Shape", "Size") and any(item.live for item in given)
    roots = tuple(dict.fromkeys(root for item in given for root in item.roots))[:MAX_ROOTS]
    sizes, numbers, floating = None, None, True  # type: Sizes, Numbers, bool
    with suppress(*MALFORMED):
        floating = _floating(op, node, given)
        sizes = sizes_of(op, node, given)
        numbers = _numbers(op, node, given)
    if numbers is not None and (len(numbers) > MAX_NUMBERS or any(n is not None and abs(n) > _MAX_SIZE
                                                                 for n in numbers)):  # fmt: skip
        numbers = None
    for position, name in enumerate(node.outputs):
        if not name:
            continue
        said = flat.values.get(name)
        own = _valid(sizes if position == 0 else further_sizes(op, node, given, position))
        if said is not None and said.sizes is not None and (own is None or None in own):
            own = said.sizes
        of_float = is_float(said.data_type) if said is not None and said.data_type else floating
        known[name] = Known(own, of_float, numbers if position == 0 else None, live, () if live else roots)


def _valid(sizes: Sizes) -> Sizes:
    if sizes is None or len(sizes) > MAX_NUMBERS:
        return None
    return tuple(int(size) if isinstance(size, int) and 0 <= size < _MAX_SIZE else None for size in sizes)


def _floating(op: str, node: OnnxNode, given: Sequence[Known]) -> bool:
    if op in _BOOLEAN:
        return False
    if op in ("Cast", "QuantizeLinear", "DynamicQuantizeLinear"):
        return op == "Cast" and is_float(int(node.attributes.get("to", 0)))
    if op in ("DequantizeLinear", "MatMulInteger", "ConvInteger", "OneHot", "RandomNormal", "RandomUniform"):
        return True
    if op == "ConstantOfShape":
        value = node.attributes.get("value")
        return not isinstance(value, OnnxTensor) or is_float(value.data_type)
    if op == "Where":
        return any(item.floating for item in given[1:])
    if op == "Range" or op in SAME or op in ("Gather", "Reshape", "Slice", "Transpose", "Expand", "Tile", "Squeeze",
                                             "Unsqueeze", "Concat", "Flatten", "Split", SLICE):  # fmt: skip
        return not given or given[0].floating
    if op in BROADCAST or op.startswith("Reduce"):
        return any(item.floating for item in given)
    return True


def _numbers(op: str, node: OnnxNode, given: Sequence[Known]) -> Numbers:
    """Elements of a small result."""
    if op == "Shape":
        sizes = given[0].sizes
        start, end = node.attributes.get("start", 0), node.attributes.get("end")
        return None if sizes is None else tuple(sizes[start:end])
    if op == "Size":
        total = product(given[0].sizes) if given[0].sizes is not None else None
        return (total,)
    if op == "Concat":
        return tuple(n for item in given for n in item.numbers) if all(i.numbers is not None for i in given) else None  # type: ignore[union-attr]
    if not given or given[0].numbers is None:
        return None
    values = given[0].numbers
    if op in ("Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape", MERGE):
        return values
    if op in _ARITHMETIC:
        return _computed(_ARITHMETIC[op], values, given[1].numbers, integer=not given[0].floating and op == "Div")
    if op == "Sqrt":
        return tuple(None if n is None else math.sqrt(n) for n in values)
    if op == "Reciprocal":
        return tuple(None if n is None else 1 / n for n in values)
    if op == "Neg":
        return tuple(None if n is None else -n for n in values)
    return _moved(op, node, given)


def _computed(rule: Callable[[float, float], float], a: Sequence[float | None], b: Numbers, integer: bool) -> Numbers:
    if b is None or (len(a) != len(b) and 1 not in (len(a), len(b))):
        return None
    count = max(len(a), len(b))
    pairs = zip(a if len(a) == count else list(a) * count, b if len(b) == count else list(b) * count, strict=True)
    found = []
    for x, y in pairs:
        value = None if x is None or y is None or abs(x) > _MAX_SIZE or abs(y) > _MAX_SIZE else rule(x, y)
        found.append(math.floor(value) if integer and value is not None else value)
    return tuple(found)


def _moved(op: str, node: OnnxNode, given: Sequence[Known]) -> Numbers:
    values: Any = given[0].numbers
    if op == "Gather":
        index = given[1].integers()
        return tuple(None if i is None else values[i] for i in index) if index is not None else None
    if op == "Slice":
        starts, ends, _, steps = slice_arguments(node, given)
        if starts is None or ends is None or None in (starts[0], ends[0]):
            return None
        return tuple(values[starts[0] : ends[0] : steps[0] if steps else 1])
    if op == "ConstantOfShape":
        value = node.attributes.get("value")
        fill = value.values[0] if isinstance(value, OnnxTensor) and value.values else 0
        count = int(values[0]) if len(values) == 1 and values[0] is not None else -1
        return (fill,) * count if 0 <= count <= MAX_NUMBERS else None
    if op == "Where":
        condition, yes, no = (list(item.numbers or ()) for item in given)
        count = max(len(condition), len(yes), len(no))
        rows = [part * count if len(part) == 1 else part for part in (condition, yes, no)]
        if any(len(row) != count for row in rows):
            return None
        return tuple(None if c is None else y if c else n for c, y, n in zip(*rows, strict=True))
    return None


def bounds(known: dict[str, Known], node: OnnxNode) -> tuple[float | None, float | None]:
    """Lower and upper bound of a Clip."""
    found = []
    for position, attribute in ((1, "min"), (2, "max")):
        value = node.attributes.get(attribute)
        name = node.inputs[position] if position < len(node.inputs) else ""
        found.append(value if isinstance(value, (int, float)) else known.get(name, UNKNOWN).scalar())
    return found[0], found[1]
