"""Multiply-adds of calls, by rule from the sizes of their arguments.

What is counted is what `torch.utils.flop_counter.FlopCounterMode` counts: products of matrices, convolutions and
attention, with masked positions included. Everything that works element by element is not. Products of a matrix and a
vector, recurrent layers and `nn.MultiheadAttention` are counted by their formula, also where torch's kernels hide
them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from .tracing_modules_archbert import call_options


class NodeCost(NamedTuple):
    """Work of one node: its path and op, multiply-adds, and elements of the tensors that it allocates."""

    name: str
    op: str
    work: int
    elements: int


def node_costs(nodes: Sequence[Any], kept: Collection[int]) -> list[NodeCost]:
    """Costs of the kept nodes of a recording, in order.

    Work of nodes that are not kept (a factor of attention that is written out, or what nobody reads) is counted at the
    next node that is, so that the sum is all the work that was done.
    """
    chosen, carried = set(kept), 0
    costs: list[NodeCost] = []
    for index, node in enumerate(nodes):
        carried += node.work
        if index in chosen:
            costs.append(NodeCost(node.name, node.op, carried, node.elements))
            carried = 0
    if carried and costs:
        costs[-1] = costs[-1]._replace(work=costs[-1].work + carried)
    return costs


def module_work(module: nn.Module, given: Sequence[torch.Tensor], out: Any) -> int:
    """Multiply-adds of a call of a layer of `torch.nn`.

    Args:
        module: the layer.
        given: its tensor arguments.
        out: its result.
    """
    first = out[0] if isinstance(out, (tuple, list)) else out
    weight = getattr(module, "weight", None)
    if not given or not isinstance(first, torch.Tensor):
        return 0
    if isinstance(module, nn.Linear):
        return first.numel() * module.in_features
    if isinstance(module, nn.Bilinear):
        return first.numel() * module.in1_features * (module.in2_features + 1)
    if isinstance(module, nn.modules.conv._ConvTransposeNd) and isinstance(weight, torch.Tensor):
        return given[0].numel() * math.prod(weight.shape[1:])
    if isinstance(module, nn.modules.conv._ConvNd) and isinstance(weight, torch.Tensor):
        return first.numel() * math.prod(weight.shape[1:])
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        return _recurrent_work(module, given[0])
    if isinstance(module, nn.MultiheadAttention):
        return _multihead_work(module.embed_dim, module.batch_first, given)
    return 0


def _recurrent_work(module: nn.Module, x: torch.Tensor) -> int:
    """Every weight matrix is applied to every position."""
    positions = x.numel() // max(int(x.shape[-1]), 1)
    return positions * sum(p.numel() for p in module.parameters() if p.dim() == 2)


def _multihead_work(width: int, batch_first: bool, given: Sequence[torch.Tensor]) -> int:
    query, key, value = [*given, given[-1], given[-1]][:3]
    length = int(key.shape[-2] if batch_first or key.dim() == 2 else key.shape[0])
    queries = query.numel() // max(int(query.shape[-1]), 1)
    projected = 2 * query.numel() + key.numel() + value.numel()
    return width * projected + 2 * queries * length * width


def call_work(name: str, op: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    """Multiply-adds of a call of a torch function; 0 for one that multiplies no matrices.

    Args:
        name: its name in torch.
        op: its canonical op.
        args: its positional arguments.
        kwargs: its keyword arguments.
        out: its result.
    """
    rule = _RULES.get(name.strip("_")) or _RULES.get(op)
    if rule is None and op.startswith("Conv"):
        rule = _convolution
    if rule is None or not (isinstance(out, torch.Tensor) or op == "MultiheadAttention"):
        return 0
    return rule(op, args, kwargs, out)


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], index: int, *names: str) -> Any:
    if len(args) > index:
        return args[index]
    return next((kwargs[name] for name in names if name in kwargs), None)


def _product(op: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: torch.Tensor) -> int:
    first = _argument(args, kwargs, 0, "input", "self")
    return out.numel() * int(first.shape[-1]) if isinstance(first, torch.Tensor) and first.dim() else 0


def _added_product(op: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: torch.Tensor) -> int:
    first = _argument(args, kwargs, 1, "mat1", "batch1", "mat")
    if not isinstance(first, torch.Tensor):
        return 0
    summed = int(first.shape[0]) if op == "addbmm" else 1
    return out.numel() * int(first.shape[-1]) * summed


def _convolution(op: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: torch.Tensor) -> int:
    first, weight = _argument(args, kwargs, 0, "input"), call_options(op, args, kwargs).get("weight")
    if not isinstance(weight, torch.Tensor) or not isinstance(first, torch.Tensor):
        return 0
    return (first if op.startswith("ConvTranspose") else out).numel() * math.prod(weight.shape[1:])


def _attention(op: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: torch.Tensor) -> int:
    query, key = _argument(args, kwargs, 0, "query"), _argument(args, kwargs, 1, "key")
    return int(key.shape[-2]) * (query.numel() + out.numel())


def _bilinear(op: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: torch.Tensor) -> int:
    weight = _argument(args, kwargs, 2, "weight")
    return out.numel() * int(weight.shape[1]) * (int(weight.shape[2]) + 1)


def _multihead(op: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    tensors = [_argument(args, kwargs, i, name) for i, name in enumerate(("query", "key", "value"))]
    return _multihead_work(int(tensors[0].shape[-1]), False, tensors)


def _tensordot(op: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: torch.Tensor) -> int:
    first, second = args[:2]
    contracted = first.numel() * second.numel() // max(out.numel(), 1)
    return out.numel() * math.isqrt(contracted)


def _einsum(op: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: torch.Tensor) -> int:
    """Factors are multiplied from left to right; every product touches each combination of its indices once."""
    equation, operands = args[0], args[1:]
    if not isinstance(equation, str):
        return 0
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    left, _, result = equation.replace(" ", "").partition("->")
    labels = [_labels(part, tensor.dim()) for part, tensor in zip(left.split(","), operands, strict=False)]
    sizes: dict[str, int] = {}
    for names, tensor in zip(labels, operands, strict=True):
        for label, size in zip(names, tensor.shape, strict=True):
            sizes[label] = max(sizes.get(label, 1), int(size))
    work, current = 0, set(labels[0])
    for index, names in enumerate(labels[1:], 1):
        later = set().union(*labels[index + 1 :]) | set(result.replace("...", "")) | {s for s in sizes if s.isdigit()}
        both = current | set(names)
        shared = (current & set(names)) | later
        work += math.prod(sizes[label] for label in both if label in shared or not result)
        current = both & later
    return work


def _labels(part: str, dims: int) -> list[str]:
    """Labels of one factor; dimensions of an ellipsis are numbered from the right."""
    if "..." not in part:
        return list(part)
    before, after = part.split("...")
    hidden = dims - len(before) - len(after)
    return [*before, *(str(hidden - 1 - i) for i in range(hidden)), *after]


_Rule = Callable[[str, Sequence[Any], Mapping[str, Any], Any], int]
_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("matmul", "dot", "Linear", "grouped_mm"), _product),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm", "addmv"), _added_product),
    "scaled_dot_product_attention": _attention,
    "Bilinear": _bilinear,
    "MultiheadAttention": _multihead,
    "tensordot": _tensordot,
    "einsum": _einsum,
}
"""Canonical op -> multiply-adds of a call with these arguments and this result."""
