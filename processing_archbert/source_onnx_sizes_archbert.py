"""Sizes of the results of ONNX operators, by rule, and what is known of a value.

None stands for a size, a rank or a number that is not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from .source_onnx_inline_archbert import SLICE
from .source_onnx_model_archbert import OnnxNode

MAX_NUMBERS = 64
Sizes = tuple[int | None, ...] | None
Numbers = tuple[float | None, ...] | None
MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a rule meets in a node that breaks the rules of ONNX; then nothing is known of its result."""

SAME = frozenset(
    "Identity Dropout Cast CastLike Relu LeakyRelu PRelu Elu Selu Celu Sigmoid Tanh Softplus Softsign HardSigmoid "
    "HardSwish Gelu Mish Softmax LogSoftmax Hardmax Erf Exp Log Sqrt Abs Neg Reciprocal Sin Cos Tan Sign Floor Ceil "
    "Round Clip BatchNormalization InstanceNormalization LayerNormalization GroupNormalization RMSNormalization LRN "
    "LpNormalization MeanVarianceNormalization CumSum Trilu QuantizeLinear DequantizeLinear Swish Not IsNaN "
    "ScatterND ScatterElements SimplifiedLayerNormalization FastGelu QuickGelu BiasGelu RotaryEmbedding Merge".split()
)
BROADCAST = frozenset(
    "Add Sub Mul Div Pow Mod Max Min Where And Or Xor Equal Less Greater LessOrEqual GreaterOrEqual Sum Mean".split()
)


@dataclass
class Known:
    """What is known of one value.

    Attributes:
        sizes: its sizes.
        floating: whether its elements are of floating point.
        numbers: its elements, row-major, of a scalar or a vector of few.
        live: whether its elements depend on an input of the model.
        roots: initializers that a value is made of that is not live.
    """

    sizes: Sizes = None
    floating: bool = True
    numbers: Numbers = None
    live: bool = False
    roots: tuple[str, ...] = ()

    @property
    def rank(self) -> int | None:
        """Number of dimensions."""
        return None if self.sizes is None else len(self.sizes)

    def scalar(self) -> float | None:
        """The number of a value with one element."""
        return self.numbers[0] if self.numbers is not None and len(self.numbers) == 1 else None

    def integers(self) -> tuple[int | None, ...] | None:
        """The numbers as integers."""
        if self.numbers is None:
            return None
        return tuple(None if n is None or not math.isfinite(n) else int(n) for n in self.numbers)


UNKNOWN = Known()


def broadcast(shapes: Sequence[Sizes]) -> Sizes:
    """Sizes of the result of an operation element by element; None where a rank is unknown."""
    result: list[int | None] = []
    for shape in shapes:
        if shape is None:
            return None
        while len(result) < len(shape):
            result.insert(0, 1)
        for back in range(1, len(shape) + 1):
            old, new = result[-back], shape[-back]
            result[-back] = new if old == 1 else old if new == 1 or new is None else new if old is None else old
    return tuple(result)


def _axes(node: OnnxNode, given: Sequence[Known], position: int = 1) -> tuple[int, ...] | None:
    value = node.attributes.get("axes")
    if isinstance(value, tuple):
        return value
    numbers = given[position].integers() if len(given) > position else None
    return tuple(n for n in numbers if n is not None) if numbers is not None else None


def sizes_of(op: str, node: OnnxNode, given: Sequence[Known]) -> Sizes:
    """Sizes of a node's first result by rule."""
    rule = _RULES.get(op)
    if rule is not None:
        return rule(node, given)
    if op in BROADCAST:
        return broadcast([item.sizes for item in given])
    if op in SAME:
        return given[0].sizes
    if op.startswith("Reduce"):
        return _reduced(node, given)
    return None


def _reduced(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    sizes = given[0].sizes
    if sizes is None:
        return None
    axes = _axes(node, given)
    chosen = {a % len(sizes) for a in axes} if axes else set(range(len(sizes)))
    if node.attributes.get("keepdims", 1):
        return tuple(1 if i in chosen else size for i, size in enumerate(sizes))
    return tuple(size for i, size in enumerate(sizes) if i not in chosen)


def _matmul(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    a, b = given[0].sizes, given[1].sizes
    if a is None or b is None or not a or not b:
        return None
    if len(a) == 1 or len(b) == 1:
        return None
    batch = broadcast([a[:-2], b[:-2]])
    return None if batch is None else (*batch, a[-2], b[-1])


def _gemm(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    a, b = given[0].sizes, given[1].sizes
    if a is None or b is None or len(a) != 2 or len(b) != 2:
        return None
    rows = a[1] if node.attributes.get("transA") else a[0]
    return rows, b[0] if node.attributes.get("transB") else b[1]


def _swept(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    """Convolution and pooling: channels and rank; sizes in space where they follow from the attributes."""
    sizes = given[0].sizes
    if sizes is None or len(sizes) < 3:
        return None
    dims = len(sizes) - 2
    attributes = node.attributes
    channels = sizes[1]
    kernel = attributes.get("kernel_shape") or (1,) * dims
    if node.op.startswith("Conv"):
        weight = given[1].sizes
        if weight is None:
            return None
        channels, kernel = weight[0], weight[2:]
    strides, dilations = attributes.get("strides") or (1,) * dims, attributes.get("dilations") or (1,) * dims
    pads = attributes.get("pads") or (0,) * (2 * dims)
    if node.op == "ConvTranspose":
        weight = given[1].sizes
        return (sizes[0], (weight[1] or 1) * int(attributes.get("group", 1)) if weight else None, *(None,) * dims)
    space: list[int | None] = []
    for i, size in enumerate(sizes[2:]):
        if size is None or attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID", ""):
            space.append(None)
            continue
        free = size + pads[i] + pads[i + dims] - dilations[i] * (kernel[i] - 1) - 1
        space.append((-(-free // strides[i]) if attributes.get("ceil_mode") else free // strides[i]) + 1)
    return (sizes[0], channels, *space)


def _global(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    sizes = given[0].sizes
    return None if sizes is None else (*sizes[:2], *(1,) * (len(sizes) - 2))


def product(sizes: Sequence[int | None]) -> int | None:
    """Number of elements; None where a size is not known."""
    total = 1
    for size in sizes:
        if size is None:
            return None
        total *= size
    return total


def _reshape(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    old, target = given[0].sizes, given[1].integers()
    if target is None:
        rank = given[1].sizes
        return (None,) * rank[0] if rank and rank[0] is not None and rank[0] < MAX_NUMBERS else None
    sizes: list[int | None] = []
    for i, size in enumerate(target):
        copied = size == 0 and not node.attributes.get("allowzero")
        sizes.append((old[i] if old is not None and i < len(old) else None) if copied else size)
    if sizes.count(-1) == 1:
        total = product(old) if old is not None else None
        others = product([s for s in sizes if s != -1])
        sizes[sizes.index(-1)] = total // others if total is not None and others else None
    return tuple(sizes)


def _transpose(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    sizes = given[0].sizes
    if sizes is None:
        return None
    order = node.attributes.get("perm") or tuple(reversed(range(len(sizes))))
    return tuple(sizes[i] for i in order)


def _squeeze(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    sizes, axes = given[0].sizes, _axes(node, given)
    if sizes is None:
        return None
    if not axes:
        return tuple(s for s in sizes if s != 1) if None not in sizes else None
    chosen = {a % len(sizes) for a in axes}
    return tuple(s for i, s in enumerate(sizes) if i not in chosen)


def _unsqueeze(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    sizes, axes = given[0].sizes, _axes(node, given)
    if sizes is None or axes is None or len(axes) > MAX_NUMBERS:
        return None
    rank = len(sizes) + len(axes)
    chosen = {a % rank for a in axes}
    rest = iter(sizes)
    return tuple(1 if i in chosen else next(rest, None) for i in range(rank))


def _flatten(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    sizes = given[0].sizes
    if sizes is None:
        return (None, None)
    axis = node.attributes.get("axis", 1)
    return product(sizes[:axis]), product(sizes[axis:])


def _concat(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    first = given[0].sizes
    if first is None:
        return None
    axis = node.attributes.get("axis", 0) % len(first)
    parts = [item.sizes[axis] if item.sizes is not None else None for item in given]
    joined = sum(p for p in parts if p is not None) if None not in parts else None
    return (*first[:axis], joined, *first[axis + 1 :])


def _gather(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    sizes, index = given[0].sizes, given[1].sizes
    if sizes is None or index is None:
        return None
    axis = node.attributes.get("axis", 0) % len(sizes)
    return (*sizes[:axis], *index, *sizes[axis + 1 :])


def _split(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    return _split_sizes(node, given, 0)


def _split_sizes(node: OnnxNode, given: Sequence[Known], position: int) -> Sizes:
    sizes = given[0].sizes
    if sizes is None:
        return None
    axis = node.attributes.get("axis", 0) % len(sizes)
    parts = node.attributes.get("split") or (given[1].integers() if len(given) > 1 else None)
    whole, count = sizes[axis], len(node.outputs)
    part = parts[position] if parts else -(-whole // count) if whole is not None else None
    return (*sizes[:axis], part, *sizes[axis + 1 :])


def further_sizes(op: str, node: OnnxNode, given: Sequence[Known], position: int) -> Sizes:
    """Sizes of a further result of a node, where they are known."""
    with suppress(*MALFORMED):
        return _split_sizes(node, given, position) if op == "Split" else None
    return None


def slice_arguments(node: OnnxNode, given: Sequence[Known]) -> list[tuple[int | None, ...] | None]:
    """Starts, ends, axes and steps of a Slice."""
    if "starts" in node.attributes:
        return [node.attributes.get(key) for key in ("starts", "ends", "axes")] + [None]
    return [given[i].integers() if i < len(given) and given[i] is not UNKNOWN else None for i in (1, 2, 3, 4)]


def _slice(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    sizes = given[0].sizes
    if sizes is None:
        return None
    starts, ends, axes, steps = slice_arguments(node, given)
    result = list(sizes)
    if starts is None or ends is None:
        return (None,) * len(result)
    for i, (start, end) in enumerate(zip(starts, ends, strict=False)):
        axis = axes[i] if axes is not None else i
        if axis is None:
            return (None,) * len(result)
        step = steps[i] if steps is not None else 1
        whole = result[axis]
        known = whole is not None and start is not None and end is not None and step
        result[axis] = len(range(whole)[slice(start, end, step)]) if known else None  # type: ignore[arg-type]
    return tuple(result)


def _expand(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    target = given[1].integers()
    return broadcast([given[0].sizes, target]) if target is not None else None


def _of_shape(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    return given[0].integers()


def _recurrent(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    sizes = given[0].sizes
    both = 2 if node.attributes.get("direction") == "bidirectional" else 1
    return None if sizes is None else (sizes[0], both, sizes[1], node.attributes.get("hidden_size"))


def _resize(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    sizes = given[0].sizes
    if sizes is None:
        return None
    target = given[3].integers() if len(given) > 3 else None
    return target if target is not None and len(target) == len(sizes) else (*sizes[:2], *(None,) * (len(sizes) - 2))


def _pad(node: OnnxNode, given: Sequence[Known]) -> Sizes:
    sizes = given[0].sizes
    pads = node.attributes.get("pads") or (given[1].integers() if len(given) > 1 else None)
    if sizes is None:
        return None
    if pads is None or len(pads) != 2 * len(sizes):
        return (None,) * len(sizes)
    parts = [(size, pads[i], pads[i + len(sizes)]) for i, size in enumerate(sizes)]
    return tuple(None if None in part else sum(n for n in part if n is not None) for part in parts)


_RULES: dict[str, Callable[[OnnxNode, Sequence[Known]], Sizes]] = {
    "MatMul": _matmul, "FusedMatMul": _matmul, "Gemm": _gemm, "Conv": _swept, "ConvTranspose": _swept,
    "MaxPool": _swept, "AveragePool": _swept, "LpPool": _swept, "GlobalAveragePool": _global,
    "GlobalMaxPool": _global, "Reshape": _reshape, "Transpose": _transpose, "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze, "Flatten": _flatten, "Concat": _concat, "Gather": _gather, "Split": _split,
    "Slice": _slice, "Expand": _expand, "ConstantOfShape": _of_shape, "LSTM": _recurrent, "GRU": _recurrent,
    "RNN": _recurrent, "Resize": _resize, "Upsample": _resize, "Pad": _pad,
    "Shape": lambda node, given: (len(given[0].sizes),) if given[0].sizes is not None else (None,),
    "Size": lambda node, given: (),
    SLICE: lambda node, given: given[0].sizes[1:] if given[0].sizes else None,
    "QLinearConv": lambda node, given: _swept(node, [given[0], given[3]]),
    "ConvInteger": _swept, "MatMulInteger": _matmul,
    "GatherElements": lambda node, given: given[1].sizes,
    "DepthToSpace": lambda node, given: (None,) * 4, "SpaceToDepth": lambda node, given: (None,) * 4,
}  # fmt: skip
