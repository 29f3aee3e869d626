"""Output shapes of the commonest layers and functions, by rule.

Running a kernel on meta tensors costs far more than the few integers that it computes. The rules here answer only the
plain case (one data type, sizes that fit); for anything else they return None, and torch's own kernel decides, so a
mistake in the network is reported in torch's words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .tracing_constants_archbert import words

META = torch.device("meta")
_empty = torch.empty


LayerRule = Callable[[Any, torch.Tensor], torch.Tensor | None]
FunctionRule = Callable[[Sequence[Any], Mapping[str, Any]], torch.Tensor | None]


def _empty_like(x: torch.Tensor) -> torch.Tensor:
    """A tensor of the same sizes, type and order of dimensions (the general kernel is slow on meta)."""
    return _empty(x.shape, dtype=x.dtype, device=META) if x.is_contiguous() else torch.empty_like(x)


def _linear_output(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor | None:
    if weight.dim() != 2 or x.dim() == 0 or x.dtype != weight.dtype or x.shape[-1] != weight.shape[1]:
        return None
    return _empty((*x.shape[:-1], weight.shape[0]), dtype=x.dtype, device=META)


def _embedding_output(ids: torch.Tensor, weight: torch.Tensor) -> torch.Tensor | None:
    if ids.dtype not in (torch.long, torch.int) or weight.dim() != 2:
        return None
    return _empty((*ids.shape, weight.shape[1]), dtype=weight.dtype, device=META)


def _same_output(x: torch.Tensor) -> torch.Tensor | None:
    return _empty_like(x) if x.dtype.is_floating_point else None


def _linear(module: nn.Linear, x: torch.Tensor) -> torch.Tensor | None:
    return _linear_output(x, module.weight)


def _embedding(module: nn.Embedding, x: torch.Tensor) -> torch.Tensor | None:
    return _embedding_output(x, module.weight) if module.max_norm is None else None


def _layer_norm(module: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor | None:
    shape = tuple(module.normalized_shape)
    if tuple(x.shape[-len(shape) :]) != shape or (module.weight is not None and module.weight.dtype != x.dtype):
        return None
    return _empty(x.shape, dtype=x.dtype, device=META) if x.dtype.is_floating_point else None  # always contiguous


def _batch_norm(module: Any, x: torch.Tensor) -> torch.Tensor | None:
    dims = {"BatchNorm1d": (2, 3), "BatchNorm2d": (4,), "BatchNorm3d": (5,)}.get(type(module).__name__, ())
    if x.dim() not in dims or x.shape[1] != module.num_features or module.running_mean is None:
        return None
    if module.weight is not None and module.weight.dtype != x.dtype:
        return None
    return _same_output(x)


def _group_norm(module: nn.GroupNorm, x: torch.Tensor) -> torch.Tensor | None:
    if x.dim() < 2 or x.shape[1] != module.num_channels or (module.affine and module.weight.dtype != x.dtype):
        return None
    return _same_output(x)


def _activation(module: nn.Module, x: torch.Tensor) -> torch.Tensor | None:
    if getattr(module, "inplace", False):
        return x
    return _same_output(x)


def _window_sizes(sizes: Sequence[int], kernel: Any, stride: Any, padding: Any, dilation: Any) -> list[int] | None:
    options = [(v,) * len(sizes) if isinstance(v, int) else tuple(v) for v in (kernel, stride, padding, dilation)]
    if any(len(option) != len(sizes) for option in options):
        return None
    out = [
        (size + 2 * pad - rate * (width - 1) - 1) // step + 1
        for size, width, step, pad, rate in zip(sizes, *options, strict=True)
    ]
    return out if min(out) > 0 else None


def _convolution(module: Any, x: torch.Tensor) -> torch.Tensor | None:
    dims = len(module.kernel_size)
    if x.dim() != dims + 2 or x.shape[1] != module.in_channels or x.dtype != module.weight.dtype:
        return None
    if isinstance(module.padding, str):
        return None
    sizes = _window_sizes(x.shape[2:], module.kernel_size, module.stride, module.padding, module.dilation)
    return _empty((x.shape[0], module.out_channels, *sizes), dtype=x.dtype, device=META) if sizes else None


def _pool(module: Any, x: torch.Tensor) -> torch.Tensor | None:
    dims = int(type(module).__name__[-2])
    if x.dim() != dims + 2 or module.ceil_mode or getattr(module, "return_indices", False):
        return None
    stride = module.kernel_size if module.stride is None else module.stride
    sizes = _window_sizes(x.shape[2:], module.kernel_size, stride, module.padding, getattr(module, "dilation", 1))
    return _empty((*x.shape[:2], *sizes), dtype=x.dtype, device=META) if sizes else None


_ACTIVATIONS: tuple[type[nn.Module], ...] = (
    nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.CELU, nn.SELU, nn.LeakyReLU, nn.Mish,
    nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.Softsign, nn.LogSigmoid,
)  # fmt: skip

LAYER_RULES: dict[type, LayerRule] = {
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _batch_norm),
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool2d, nn.AvgPool3d), _pool),
    **dict.fromkeys(_ACTIVATIONS, _activation),
}
"""Rules for calls of a `torch.nn` layer of exactly this class with one positional tensor."""


def _broadcast(a: torch.Size, b: torch.Size) -> list[int] | None:
    if len(a) < len(b):
        a, b = b, a
    out = list(a)
    for i, size in enumerate(b, len(a) - len(b)):
        if out[i] == 1:
            out[i] = size
        elif size not in (1, out[i]):
            return None
    return out


def _binary(args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    if len(args) != 2 or kwargs:
        return None
    a, b = args
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.dtype != b.dtype or not a.dtype.is_floating_point:
            return None
        if a.shape == b.shape:
            return _empty_like(a)
        shape = _broadcast(a.shape, b.shape)
        if shape is None:
            return None
        for tensor in (a, b):
            if list(tensor.shape) == shape:
                return _empty_like(tensor)
        return _empty(shape, dtype=a.dtype, device=META)
    tensor, number = (a, b) if isinstance(a, torch.Tensor) else (b, a)
    if not isinstance(tensor, torch.Tensor) or type(number) not in (int, float) or not tensor.dtype.is_floating_point:
        return None
    return _empty_like(tensor)


def _unary(args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    if not args or not isinstance(args[0], torch.Tensor) or "out" in kwargs or "dtype" in kwargs:
        return None
    return _same_output(args[0]) if not kwargs.get("inplace") else None


def _power(args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    if len(args) != 2 or type(args[1]) not in (int, float) or not isinstance(args[0], torch.Tensor):
        return None
    return _same_output(args[0])


def _matmul(args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    if len(args) != 2 or kwargs or not all(isinstance(t, torch.Tensor) for t in args):
        return None
    a, b = args
    if a.dim() < 2 or b.dim() < 2 or a.dtype != b.dtype or a.shape[-1] != b.shape[-2]:
        return None
    if b.dim() > 2 and a.dim() != b.dim():
        return None
    batch = a.shape[:-2] if b.dim() == 2 else _broadcast(a.shape[:-2], b.shape[:-2])
    return None if batch is None else _empty((*batch, a.shape[-2], b.shape[-1]), dtype=a.dtype, device=META)


def _two(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    weight = args[1] if len(args) > 1 else kwargs.get("weight")
    return (args[0] if args else kwargs.get("input")), weight


def _linear_call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    x, weight = _two(args, kwargs)
    return _linear_output(x, weight) if isinstance(x, torch.Tensor) and isinstance(weight, torch.Tensor) else None


def _attention(args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    if len(args) < 3 or kwargs.get("enable_gqa"):
        return None
    q, k, v = args[:3]
    if (
        not q.dim() == k.dim() == v.dim()
        or q.dim() < 3
        or q.shape[:-2] != k.shape[:-2]
        or q.shape[:-2] != v.shape[:-2]
    ):
        return None
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2] or not q.dtype == k.dtype == v.dtype:
        return None
    if q.shape[-1] == v.shape[-1]:
        return _empty_like(q)
    return _empty((*q.shape[:-1], v.shape[-1]), dtype=q.dtype, device=META)


def _cat(args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    if not args or not isinstance(args[0], (list, tuple)) or not args[0] or set(kwargs) - {"dim", "axis"}:
        return None
    dim = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis", 0))
    first = args[0][0]
    if not isinstance(dim, int) or first.dim() == 0:
        return None
    dim %= first.dim()
    total = 0
    for tensor in args[0]:
        same = tensor.dim() == first.dim() and tensor.dtype == first.dtype
        if not same or any(i != dim and s != first.shape[i] for i, s in enumerate(tensor.shape)):
            return None
        total += tensor.shape[dim]
    return _empty((*first.shape[:dim], total, *first.shape[dim + 1 :]), dtype=first.dtype, device=META)


def _roi_align(args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    if len(args) < 5 or not isinstance(args[1], torch.Tensor) or not all(type(size) is int for size in args[3:5]):
        return None
    return _empty((args[1].shape[0], args[0].shape[1], *args[3:5]), dtype=args[0].dtype, device=META)


FUNCTION_RULES: dict[str, FunctionRule] = {
    **dict.fromkeys(
        words(
            "add sub mul div true_divide __add__ __sub__ __mul__ __truediv__ __radd__ __rmul__ __rsub__ __rtruediv__ "
            "rsub"
        ),
        _binary,
    ),
    **dict.fromkeys(
        words(
            "exp log sqrt rsqrt neg __neg__ sin cos tanh sigmoid relu gelu silu softplus abs square erf reciprocal "
            "log1p expm1 relu6 mish hardswish softmax log_softmax"
        ),
        _unary,
    ),
    **dict.fromkeys(("pow", "__pow__"), _power),
    **dict.fromkeys(("matmul", "__matmul__", "bmm", "mm"), _matmul),
    **dict.fromkeys(("cat", "concat"), _cat),
    "linear": _linear_call,
    "scaled_dot_product_attention": _attention,
    "roi_align": _roi_align,
}
"""Rules by the name of a torch function; arguments are those of the call."""
