"""What is known of a traced network's tensors: stand-ins on meta, their sources, and values where there are any."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from .tracing_constants_archbert import (
    MAX_SHADOW_ELEMENTS,
    RANDOM,
    guess_for,
    list_tensors,
    map_tensors,
    random_shadow,
    read_value,
    without_device,
    words,
)
from .tracing_shapes_archbert import FUNCTION_RULES, META

Sources = tuple[int, ...]

MAX_UNFILLED_ELEMENTS = 1 << 12

_FORGET_AT_LEAST = 64

FILLS = words("fill_ zero_")
_POSITIONS = words("nonzero argwhere where")  # where all are taken to be true, every position is known
_SIZED_LIKE = words("expand_as view_as reshape_as")
_TEXTS = words("__format__ __repr__ __str__")
_MOVES = words("cpu cuda to pin_memory xpu mps npu ipu hpu")


class LimitError(RuntimeError):
    """A soft limit of the recording was passed."""


class Tracked:
    """What is known of one tensor; holding it keeps the tensor alive, so its id stays its own."""

    __slots__ = ("parameters", "shadow", "sources", "tensor")

    def __init__(
        self,
        tensor: torch.Tensor,
        sources: Sources = (),
        parameters: tuple[torch.Tensor, ...] = (),
        shadow: torch.Tensor | Callable[[], torch.Tensor] | None = None,
    ) -> None:
        self.tensor = tensor
        self.sources = sources
        self.parameters = parameters
        self.shadow = shadow


def _holders(tracked: Tracked) -> tuple[int, int]:
    """References to a tensor in Python, and in C++, where its views count."""
    tensor = tracked.tensor
    return sys.getrefcount(tensor), tensor._use_count()  # type: ignore[attr-defined]


_HELD_BY_TABLE = _holders(Tracked(torch.empty(0, device=META)))
"""What `_holders` says of a tensor that nothing else holds; versions of Python count differently."""


def union(parts: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The distinct items of several tuples, in order."""
    parts = [p for p in parts if p]
    if not parts:
        return ()
    if len(parts) == 1:
        return parts[0]
    return tuple(dict.fromkeys(item for part in parts for item in part))


class ValueMode(TorchFunctionMode):
    """The part of the recorder that knows tensors and values; it makes no nodes.

    Args:
        deadline: value of `time.monotonic()` after which `LimitError` is raised; None for none.
    """

    def __init__(self, deadline: float | None = None) -> None:
        super().__init__()
        self.deadline = deadline
        self.guess = 0
        self.guesses: dict[str, None] = {}
        self.from_config = False
        self.path: list[str] = []
        self.tracked: dict[int, Tracked] = {}
        self._views: dict[int, list[torch.Tensor]] = {}
        self._forget_at = _FORGET_AT_LEAST

    def _run(self, func: Any, name: str, op: str, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError

    def check_time(self) -> None:
        """Raises `LimitError` after the deadline."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise LimitError("tracing took longer than max_seconds")
        if len(self.tracked) > self._forget_at:
            self._forget_unreachable()

    # Tensors

    def _forget_unreachable(self) -> None:
        """Lets go of tensors that nothing but this table holds, neither in Python nor behind a view."""
        needed = {id(t.tensor) for key, t in self.tracked.items() if key != id(t.tensor)} | self._views.keys()
        for key, tracked in list(self.tracked.items()):
            if key not in needed and _holders(tracked) == _HELD_BY_TABLE:
                del self.tracked[key]
        self._forget_at = max(_FORGET_AT_LEAST, 2 * len(self.tracked))

    def stand_in(self, tensor: torch.Tensor) -> torch.Tensor:
        """The meta tensor that stands for a tensor of the user's module; constants keep their value."""
        if is_lazy(tensor):
            raise RuntimeError("a lazy module has no shapes yet; call the network once on real data before tracing it")
        with torch._C.DisableTorchFunction():
            meta = tensor.detach()
            shape, stride = tuple(meta.shape), _strides(meta)
            result = torch.empty_strided(shape, stride, dtype=meta.dtype, device=META)
            if isinstance(tensor, nn.Parameter):
                result = nn.Parameter(result, requires_grad=False)
                self.tracked[id(result)] = Tracked(result, parameters=(result,))
                return result
            self.tracked[id(result)] = Tracked(result, shadow=self._borrowed(meta))
        return result

    @staticmethod
    def _borrowed(tensor: torch.Tensor) -> Callable[[], torch.Tensor] | None:
        """A value that is copied to the CPU only when it is first read."""
        if tensor.device.type == "meta" or tensor.numel() > MAX_SHADOW_ELEMENTS or tensor.layout != torch.strided:
            return None
        return lambda: tensor.to("cpu", copy=True)

    def adopt_parameters(self, module: nn.Module) -> None:
        """Registers the parameters of a module that was built under this recorder.

        Parameters that its constructor made out of sight are replaced by stand-ins; tied ones stay tied.
        """
        replaced: dict[int, torch.Tensor] = {}
        for child in module.modules():
            for name, parameter in child._parameters.items():
                if parameter is None:
                    continue
                if parameter.device.type != "meta":
                    if id(parameter) not in replaced:
                        replaced[id(parameter)] = self.stand_in(parameter)
                    child._parameters[name] = replaced[id(parameter)]  # type: ignore[assignment]
                else:
                    self.tracked[id(parameter)] = Tracked(parameter, parameters=(parameter,))

    def sources_of(self, tensor: torch.Tensor) -> Sources:
        """The nodes that a tensor comes from."""
        tracked = self.tracked.get(id(tensor))
        return tracked.sources if tracked is not None else ()

    def track(self, tensor: torch.Tensor) -> Tracked:
        """What is known of a tensor."""
        tracked = self.tracked.get(id(tensor))
        if tracked is None:
            if isinstance(tensor, nn.Parameter):
                tracked = Tracked(tensor, parameters=(tensor,))
            else:
                tracked = self._stranger(tensor)
            self.tracked[id(tensor)] = tracked
        return tracked

    def _stranger(self, tensor: torch.Tensor) -> Tracked:
        """A tensor that was made out of sight: a constant if it holds data, else the work of a function that shows no
        calls (a vectorising or compiled one), which is taken to follow the last node.
        """
        if tensor.device.type != "meta" or not tensor.dtype.is_floating_point:
            return Tracked(tensor, shadow=self._borrowed(tensor))
        return Tracked(tensor, self._stranger_sources())

    def _stranger_sources(self) -> Sources:
        raise NotImplementedError

    def shadow(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The known value of a tensor on the CPU, or None."""
        tracked = self.track(tensor)
        if tracked.shadow is not None and not isinstance(tracked.shadow, torch.Tensor):
            tracked.shadow = tracked.shadow()
        return tracked.shadow

    def value(self, tensor: torch.Tensor, name: str) -> torch.Tensor:
        """The known value of a tensor on the CPU, or a guess, which is written down with the module that reads it."""
        shadow = self.shadow(tensor)
        if shadow is None:
            if name not in _TEXTS:
                self.guesses[f"{self.path[-1] if self.path else ''}: {name}"] = None
            shadow = guess_for(tensor, name, self.guess)
        return shadow

    def _on_meta(self, tensor: torch.Tensor) -> torch.Tensor:
        """A stand-in for a tensor that holds data; tensors on meta stay as they are."""
        if tensor.device.type == "meta":
            return tensor
        tracked = self.track(tensor)
        if tracked.tensor.device.type == "meta":
            return tracked.tensor
        result = self.stand_in(tensor)
        self.tracked[id(tensor)] = self.tracked[id(result)]
        self._views.setdefault(id(tensor), []).append(tensor)
        return result

    def _make(self, func: Any, name: str, op: str, args: Any, kwargs: Any) -> Any:
        """A factory: the tensor is made on meta, its value beside it."""
        self.check_time()
        args = map_tensors(self._number, args)
        cpu = {k: (torch.device("cpu") if k == "device" else v) for k, v in kwargs.items() if k != "generator"}
        cpu = map_tensors(self._number, cpu) if cpu else cpu
        cpu.pop("pin_memory", None)
        out = func(*args, **(cpu | {"device": META}))
        shadow = None
        if name in RANDOM:
            shadow = random_shadow(name, out, args, kwargs)
        elif name.startswith("empty"):
            shadow = self._unfilled(out)
        elif out.numel() <= MAX_SHADOW_ELEMENTS:
            shadow = func(*args, **(cpu | {"device": torch.device("cpu")}))
        self.tracked[id(out)] = Tracked(out, shadow=shadow)
        return out

    @staticmethod
    def _unfilled(out: torch.Tensor) -> torch.Tensor | None:
        """A value for a small integer tensor that is about to be filled, as sizes are; None for any other."""
        if out.dtype.is_floating_point or out.numel() > MAX_UNFILLED_ELEMENTS:
            return None
        return torch.zeros(tuple(out.shape), dtype=out.dtype)

    def _make_alike(self, func: Any, name: str, op: str, args: Any, kwargs: Any) -> Any:
        """A tensor made in the image of another one: it takes the type, not the data."""
        self.check_time()
        args = (self._on_meta(args[0]), *map_tensors(self._number, args[1:]))
        kwargs = {k: META if k == "device" else v for k, v in map_tensors(self._number, kwargs).items()}
        out = func(*args, **kwargs)
        shadow = None
        if name in RANDOM:
            shadow = random_shadow(name, out, args, kwargs)
        elif out.numel() <= MAX_SHADOW_ELEMENTS and "empty" not in name:
            value = {"o": 1, "z": 0}.get(name.removeprefix("new_")[0])
            fill = kwargs.get("fill_value", args[-1]) if value is None else value
            shadow = torch.full(tuple(out.shape), fill, dtype=out.dtype)
        self.tracked[id(out)] = Tracked(out, shadow=shadow)
        return out

    def _number(self, tensor: torch.Tensor) -> Any:
        """The Python number or list of a tensor that a factory or a size argument reads."""
        return self.value(tensor, "item").tolist()

    def _read(self, func: Any, name: str, op: str, args: Any, kwargs: Any) -> Any:
        shadow = self.value(args[0], name)
        rest = tuple(map_tensors(lambda t: self.value(t, name), a) for a in args[1:])
        return read_value(name, shadow, (shadow, *rest), kwargs)

    def _sized_by_value(self, func: Any, name: str, op: str, args: Any, kwargs: Any) -> Any:
        """A function whose output size depends on values: run on values or guesses, mirrored on meta."""
        given = list_tensors(kwargs, list_tensors(args, []))
        tracked = [self.track(t) for t in given]
        if name == "repeat_interleave" and not isinstance((*args[1:], *kwargs.values())[0], torch.Tensor):
            return self._run(func, name, op, args, kwargs)
        if name == "one_hot" and (kwargs.get("num_classes", -1) != -1 or len(args) > 1):
            return self._run(func, name, op, args, kwargs)
        known = name in _POSITIONS or all(self.shadow(t) is not None for t in given)
        values = [self.value(t, name) for t in given]
        table = {id(t): v for t, v in zip(given, values, strict=True)}
        clean = {k: without_device(v) for k, v in kwargs.items()}
        result = func(*map_tensors(lambda t: table[id(t)], args), **map_tensors(lambda t: table[id(t)], clean))
        sources, parameters = union([t.sources for t in tracked]), union([t.parameters for t in tracked])

        def mirrored(value: torch.Tensor) -> torch.Tensor:
            out = torch.empty(value.shape, dtype=value.dtype, device=META)
            self.tracked[id(out)] = Tracked(out, sources, parameters, value if known else None)
            return out

        return map_tensors(mirrored, result)

    def _plain_sizes(self, name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Numbers for the zero-dimensional tensors among sizes, and positions for boolean masks among indices."""
        if name in ("__getitem__", "__setitem__"):
            return (args[0], self._plain_index(name, args[1]), *args[2:]), kwargs
        if name == "where":
            return args, kwargs

        def plain(tensor: torch.Tensor) -> Any:
            return self._number(tensor) if tensor.dim() == 0 and not tensor.dtype.is_floating_point else tensor

        return (*args[:1], *map_tensors(plain, args[1:])), map_tensors(plain, kwargs)

    def _plain_index(self, name: str, index: Any) -> Any:
        if isinstance(index, tuple):
            items: list[Any] = []
            for item in index:
                plain = self._plain_index(name, item)
                is_mask = isinstance(item, torch.Tensor) and item.dtype == torch.bool and isinstance(plain, tuple)
                items.extend(plain if is_mask else (plain,))
            return tuple(items)
        if isinstance(index, slice):
            return map_tensors(self._number, index)
        if isinstance(index, list) and any(isinstance(i, torch.Tensor) for i in index):
            return [self._number(i) if isinstance(i, torch.Tensor) and i.dim() == 0 else i for i in index]
        if isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8):
            if index.dim() == 0:
                return self._number(index)
            known = self.shadow(index) is not None
            positions = self.value(index, "nonzero").nonzero(as_tuple=True)
            of_mask = self.track(index)
            return tuple(self._mirror_index(p, of_mask, known) for p in positions)
        return index

    def _mirror_index(self, positions: torch.Tensor, mask: Tracked, known: bool) -> torch.Tensor:
        out = torch.empty(positions.shape, dtype=positions.dtype, device=META)
        self.tracked[id(out)] = Tracked(out, mask.sources, (), positions if known else None)
        return out

    def _on_meta_call(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        if name in _MOVES:
            args = tuple(META if _is_device(a) else a for a in args)
            kwargs = {k: META if k == "device" and v is not None else v for k, v in kwargs.items()}
            if name in ("cpu", "cuda", "pin_memory", "xpu", "mps", "npu", "ipu", "hpu"):
                return args[0].view_as(args[0])
        elif "device" in kwargs and kwargs["device"] is not None:
            kwargs = kwargs | {"device": META}
        if name in ("split", "split_with_sizes"):
            args, kwargs = self._fitting_parts(name, args, kwargs)
        rule = FUNCTION_RULES.get(name)
        if rule is not None and (out := rule(args, kwargs)) is not None:
            return out
        if "generator" in kwargs:
            kwargs = {k: v for k, v in kwargs.items() if k != "generator"}
        if name == "histc":
            bins = kwargs.get("bins", args[1] if len(args) > 1 else 100)
            return torch.empty((bins,), dtype=args[0].dtype, device=META)
        try:
            return func(*args, **kwargs)
        except RuntimeError as error:
            if "meta tensor" not in str(error):
                raise
            args, kwargs = self._plain_sizes("view", args, kwargs)
            return func(*args, **kwargs)

    def _fitting_parts(self, name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Sizes that add up to what is split: equal parts, noted as a guess, where the given ones do not.

        They do not where they are unknown values, or where a default configuration contradicts itself; in any other
        module that is a mistake, and torch says so.
        """
        named: dict[str, Any] = {"tensor": None, "sizes": None, "dim": 0} | dict(
            zip(("tensor", "sizes", "dim"), args, strict=False)
        )
        for key, value in kwargs.items():
            named["sizes" if key.startswith("split_size") else "tensor" if key == "self" else key] = value
        tensor, sizes, dim = named["tensor"], named["sizes"], named["dim"]
        if not isinstance(sizes, (list, tuple)) or not sizes or not (self.guesses or self.from_config):
            return args, kwargs
        if sum(sizes) == tensor.shape[dim]:
            return args, kwargs
        self.guesses[f"{self.path[-1] if self.path else ''}: {name}"] = None
        whole, count = tensor.shape[dim], len(sizes)
        parts = [whole * (i + 1) // count - whole * i // count for i in range(count)]
        return (tensor, parts), {"dim": dim}

    def _shadow_results(self, func: Any, name: str, args: Any, kwargs: Any, tracked: Sequence[Tracked]) -> Any:
        """The value of a call whose tensor arguments are all known, else None."""
        if name in FILLS and tracked and tracked[0].shadow is None and not tracked[0].parameters:
            with contextlib.suppress(RuntimeError):
                if tracked[0].tensor.numel() <= MAX_SHADOW_ELEMENTS and tracked[0].tensor._base is None:
                    tracked[0].shadow = torch.zeros(tuple(tracked[0].tensor.shape), dtype=tracked[0].tensor.dtype)
        if name in _SIZED_LIKE and len(tracked) > 1:  # the second tensor gives its sizes alone
            func, args, tracked = getattr(torch.Tensor, name[:-3]), (args[0], tuple(args[1].shape)), tracked[:1]
        if not tracked or name in RANDOM or any(t.shadow is None for t in tracked):
            return None
        if name == "grouped_mm":
            return None
        values = {id(t.tensor): self.shadow(t.tensor) for t in tracked}
        if _expected_elements(name, args, values) > MAX_SHADOW_ELEMENTS:
            return None
        try:
            cpu_args = tuple(without_device(map_tensors(lambda t: values.get(id(t), self.shadow(t)), a)) for a in args)
            if name in ("cuda", "xpu", "mps", "npu", "ipu", "hpu", "pin_memory"):
                return cpu_args[0]
            if name == "to":
                cpu_args = tuple("cpu" if isinstance(a, str) else a for a in cpu_args)
            cpu_kwargs = {
                k: torch.device("cpu") if k == "device" and v is not None else map_tensors(self.shadow, v)
                for k, v in kwargs.items()
                if k != "generator"
            }
            return func(*cpu_args, **cpu_kwargs)
        except Exception:
            return None

    def _assign_shadows(self, name: str, args: Any, out: Any, shadows: Any) -> None:
        if name == "__setitem__":
            if any(self.track(t).shadow is None for t in list_tensors(args[1:], [])):
                self.track(args[0]).shadow = None
            return
        outs = list_tensors(plain_output(out), [])
        if name in RANDOM:
            for tensor in outs:
                if tensor.numel() <= MAX_SHADOW_ELEMENTS:
                    self.track(tensor).shadow = random_shadow(name, tensor, args, {})
            return
        if shadows is None:
            if outs and args and outs[0] is args[0]:
                self.track(outs[0]).shadow = None
            return
        values = list_tensors(plain_output(shadows), [])
        if len(values) == len(outs):
            for tensor, value in zip(outs, values, strict=True):
                if tuple(tensor.shape) == tuple(value.shape):
                    self.track(tensor).shadow = value


def _strides(tensor: torch.Tensor) -> tuple[int, ...]:
    try:
        return tuple(tensor.stride())
    except RuntimeError:
        return tuple(torch.empty(tuple(tensor.shape), device=META).stride())


def _is_device(value: Any) -> bool:
    return isinstance(value, torch.device) or (isinstance(value, str) and value.split(":")[0] in (
        "cpu", "cuda", "mps", "xpu", "npu", "meta", "hpu"))  # fmt: skip


def _expected_elements(name: str, args: Any, values: dict[int, Any]) -> int:
    """An upper estimate of what a call on known values makes."""
    if name in ("expand", "broadcast_to") and isinstance(args[0], torch.Tensor):
        return _expanded_elements(args[0].shape, args[1:])
    sizes = [int(v.numel()) for v in values.values() if v is not None]
    if name in ("repeat", "tile", "matmul", "outer", "einsum", "new_zeros", "new_full",
                "new_ones"):  # fmt: skip
        return max(sizes, default=0) * 64 if max(sizes, default=0) > 1 << 15 else 0
    if len(values) > 1 and max(sizes) > 1 << 10:
        shapes = [tuple(v.shape) for v in values.values() if v is not None]
        with contextlib.suppress(RuntimeError):
            total = 1
            for size in torch.broadcast_shapes(*shapes):
                total *= size
            return total
    return max(sizes, default=0)


def _expanded_elements(sizes: Sequence[int], given: Sequence[Any]) -> int:
    """Elements of a tensor of these sizes after `expand`, where -1 keeps a size."""
    wanted = given[0] if len(given) == 1 and isinstance(given[0], (list, tuple)) else given
    total = 1
    for i, size in enumerate(reversed(wanted), 1):
        total *= size if isinstance(size, int) and size >= 0 else sizes[-i] if i <= len(sizes) else 1
    return int(total)


def plain_output(value: Any) -> Any:
    """Outputs as lists, tuples and dicts: dataclasses and other objects give their fields."""
    if isinstance(value, (torch.Tensor, list, tuple, dict)) or value is None:
        return value
    members = getattr(value, "__dict__", None)
    return dict(members) if isinstance(members, dict) and not isinstance(value, type) else value
