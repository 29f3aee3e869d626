"""Values of tensors that hold no data: constants computed beside the meta tensors, and guesses where none are known.

* A tensor that depends on no weight and no float input carries a small CPU copy of its value, its *shadow*.
* Code that reads a value (`item`, `if tensor`, `tolist`) or whose output size depends on one (`nonzero`, `unique`,
  boolean indexing) is answered from the shadow. An unknown value is guessed: false, zero, every mask entry true.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

MAX_SHADOW_ELEMENTS = 1 << 21


def words(text: str) -> frozenset[str]:
    """The set of the words of a text."""
    return frozenset(text.split())


READERS = words(
    "item tolist numpy __bool__ __int__ __float__ __index__ __complex__ __format__ __repr__ __str__ __contains__ "
    "__array__ equal allclose is_nonzero __nonzero__ __reversed__ __dlpack__"
)
SIZED_BY_VALUE = words(
    "nonzero argwhere unique unique_consecutive _unique2 bincount masked_select repeat_interleave one_hot "
    "_return_counts _return_inverse _return_output _consecutive_return_counts _consecutive_return_inverse "
    "_consecutive_return_output"
)
_TRUE_WHERE_UNKNOWN = words("nonzero argwhere masked_select where repeat_interleave")
RANDOM = words(
    "rand randn randint randperm rand_like randn_like randint_like bernoulli multinomial normal poisson "
    "uniform_ normal_ random_ bernoulli_ exponential_ geometric_ cauchy_ log_normal_"
)
INITIALIZERS = words(
    "uniform_ normal_ constant_ ones_ zeros_ eye_ dirac_ xavier_uniform_ xavier_normal_ kaiming_uniform_ "
    "kaiming_normal_ trunc_normal_ orthogonal_ sparse_ _no_grad_uniform_ _no_grad_normal_"
)
SIZE_READERS = words(
    "view reshape expand repeat tile zeros ones full empty arange linspace split split_with_sizes narrow as_strided "
    "new_zeros new_ones new_empty new_full unflatten tensor_split chunk roll pad interpolate eye rand randn randint "
    "select unfold avg_pool1d max_pool1d topk tril_indices triu_indices tril triu diagonal repeat_interleave"
)


def map_tensors(change: Callable[[torch.Tensor], Any], value: Any) -> Any:
    """`value` with every tensor inside its lists, tuples, dicts and slices replaced by `change(tensor)`."""
    if isinstance(value, torch.Tensor):
        return change(value)
    kind = type(value)
    if kind in (list, tuple):
        return kind([map_tensors(change, v) for v in value])
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return kind(*[map_tensors(change, v) for v in value])
    if isinstance(value, tuple) and not isinstance(value, torch.Size):
        return kind([map_tensors(change, v) for v in value])
    if isinstance(value, dict):
        return {k: map_tensors(change, v) for k, v in value.items()}
    if kind is slice:
        return slice(*[map_tensors(change, v) for v in (value.start, value.stop, value.step)])
    return value


def list_tensors(value: Any, found: list[torch.Tensor]) -> list[torch.Tensor]:
    """Appends every tensor inside `value` (lists, tuples, dicts, slices) to `found`, in order."""
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            list_tensors(item, found)
    elif isinstance(value, dict):
        for item in value.values():
            list_tensors(item, found)
    elif isinstance(value, slice):
        for item in (value.start, value.stop, value.step):
            if isinstance(item, torch.Tensor):
                found.append(item)
    return found


def without_device(value: Any) -> Any:
    """`value` with every device replaced by the CPU."""
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value


def guess_for(tensor: torch.Tensor, name: str, number: int) -> torch.Tensor:
    """A CPU tensor to stand for the unknown value of `tensor` where `name` reads it."""
    if name in _TRUE_WHERE_UNKNOWN:
        number = 1
    elif tensor.dtype == torch.bool or name in SIZED_BY_VALUE:
        number = 0
    return torch.full(tuple(tensor.shape), number, dtype=tensor.dtype)


def random_shadow(name: str, out: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """The fixed value that stands for a random tensor: the middle of the range, or the identity permutation."""
    if name == "randperm":
        return torch.arange(out.shape[0], dtype=out.dtype)
    if name.startswith("randint"):
        return torch.zeros(out.shape, dtype=out.dtype)
    value = 0.5 if name in ("rand", "rand_like", "uniform_") and out.dtype.is_floating_point else 0
    return torch.full(tuple(out.shape), value, dtype=out.dtype)


def read_value(name: str, shadow: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The Python value that reading function `name` gives for a tensor of this value."""
    if name in ("__repr__", "__str__"):
        return f"tensor(..., size={tuple(shadow.shape)})"
    if name in ("equal", "allclose"):
        return getattr(torch, name)(shadow, *args[1:], **kwargs)
    if name in ("__nonzero__", "is_nonzero"):
        return bool(shadow)
    return getattr(shadow, name)(*args[1:], **kwargs)
