"""The recorder: runs a network on meta tensors and writes down nodes and edges.

* Functions are seen through a `TorchFunctionMode`, which belongs to one thread; modules through an instance attribute
  of the stand-ins. Nothing outside the stand-ins is changed.
* What becomes a node, and what it comes from, is said in `tracing_nodes_archbert`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._device import _device_constructors

from .ops_archbert import INPUT_OP, canonical_function_op
from .tracing_constants_archbert import (
    INITIALIZERS,
    READERS,
    SIZE_READERS,
    SIZED_BY_VALUE,
    list_tensors,
    map_tensors,
    words,
)
from .tracing_costs_archbert import call_work, module_work
from .tracing_modules_archbert import (
    is_torch_leaf,
    leaf_op,
    module_attributes,
    module_shape,
)
from .tracing_nodes_archbert import Node, NodeMode
from .tracing_shapes_archbert import LAYER_RULES, META
from .tracing_values_archbert import Tracked, plain_output, union

_DATA_GETTERS = words("data T mT H mH real imag")
_METADATA = words(
    "size dim ndimension numel nelement stride element_size storage_offset data_ptr get_device __len__ __hash__ "
    "has_names result_type can_cast promote_types untyped_storage storage dim_order register_hook retain_grad "
    "backward share_memory_ __dir__ __reduce_ex__ _is_view get_default_dtype set_default_dtype manual_seed "
    "set_grad_enabled broadcast_shapes __setstate__ __deepcopy__ set_ resize_"
)
_DROPOUTS = words("dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout dropout_")
_SOURCE_LEAVES = words("RotaryEmbedding")


class Recorder(NodeMode):
    """Records what runs inside `with recorder:` on this thread.

    Args:
        max_nodes: number of nodes after which `LimitError` is raised.
        deadline: value of `time.monotonic()` after which `LimitError` is raised; None for none.
    """

    def __init__(self, max_nodes: int = 200_000, deadline: float | None = None) -> None:
        super().__init__(max_nodes, deadline)
        self.failed_at: tuple[str, str] | None = None
        self._rules: dict[Any, tuple[Callable[..., Any] | None, str, str]] = {}
        self.used_modules: set[int] = set()
        self._start: dict[int, tuple[Any, ...]] = {}

    def remember(self) -> None:
        """Marks what is known now as the state that `reset` goes back to."""
        self._start = {k: (t.tensor, t.sources, t.parameters, t.shadow) for k, t in self.tracked.items()}

    def reset(self, guess: int = 0) -> None:
        """Forgets everything recorded since `remember`; `guess` is the number for unknown integers from now on."""
        self.guess = guess
        self.guesses = {}
        self.nodes = []
        self.failed_at = None
        self.used_modules = set()
        self._work = 0
        self._views = {}
        self.tracked = {k: Tracked(*state) for k, state in self._start.items()}

    def add_input(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """A stand-in for an input tensor; integers and masks keep their value."""
        result = self.stand_in(tensor.detach() if isinstance(tensor, nn.Parameter) else tensor)
        tracked = self.tracked[id(result)]
        if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
            tracked.shadow = None
        tracked.sources = (self.add_node(Node(INPUT_OP, name, ())),)
        self.nodes[-1].elements = tensor.numel()
        return result

    # Modules

    def attach(self, module: nn.Module) -> None:
        """Makes every module inside a stand-in report its calls here."""
        for path, child in module.named_modules():
            self._attach_one(path, child)

    def _attach_one(self, path: str, module: nn.Module) -> None:
        forward = module.forward
        op = leaf_op(module)

        def reported(*args: Any, **kwargs: Any) -> Any:
            return self._call(module, path, op, forward, args, kwargs)

        reported.__wrapped__ = forward  # type: ignore[attr-defined]
        module.__dict__["forward"] = reported

    def _call(self, module: nn.Module, path: str, op: str | None, forward: Callable[..., Any], args: Any,
              kwargs: Any) -> Any:  # fmt: skip
        self.used_modules.add(id(module))
        self.modules.append(module)
        self.path.append(path)
        try:
            if op is None or self.inside_leaf:
                return forward(*args, **kwargs)
            if is_torch_leaf(module) and not getattr(module, "parametrizations", None):
                return self._call_torch_leaf(module, path, op, forward, args, kwargs)
            return self._call_composite(module, path, op, forward, args, kwargs)
        except Exception:
            if self.failed_at is None:
                self.failed_at = (path, type(module).__name__)
            raise
        finally:
            self.modules.pop()
            self.path.pop()

    def _call_torch_leaf(self, module: nn.Module, path: str, op: str, forward: Callable[..., Any], args: Any,
                         kwargs: Any) -> Any:  # fmt: skip
        given = list_tensors(kwargs, list_tensors(args, []))
        if any(t.device.type != "meta" for t in given):
            args, kwargs = map_tensors(self._on_meta, args), map_tensors(self._on_meta, kwargs)
            given = list_tensors(kwargs, list_tensors(args, []))
        tracked = [self.track(t) for t in given]
        with torch._C.DisableTorchFunction():
            rule = LAYER_RULES.get(type(module))
            out = rule(module, given[0]) if rule is not None and len(args) == len(given) == 1 else None
            if out is None:
                out = forward(*args, **kwargs)
            if self.metering:
                self._work += module_work(module, given, out)
        used = [p for p in module.parameters() if p is not None]
        sources = union([t.sources for t in tracked])
        arguments = union([t.parameters for t in tracked])
        if not (sources or used or arguments):
            return out
        shape, attributes = module_shape(module, op), module_attributes(module, op, kwargs)
        node = self.add_node(Node(op, path, sources, [*used, *arguments], shape, attributes))
        self.assign_outputs(out, given, (node,))
        return out

    def _call_composite(self, module: nn.Module, path: str, op: str, forward: Callable[..., Any], args: Any,
                        kwargs: Any) -> Any:  # fmt: skip
        given = list_tensors(kwargs, list_tensors(args, []))
        self.inside_leaf += 1
        try:
            out = forward(*args, **kwargs)
        finally:
            self.inside_leaf -= 1
        outputs = list_tensors(plain_output(out), [])
        sources = union([self.sources_of(t) for t in outputs])
        used = list(module.parameters())
        if not (sources or used or op in _SOURCE_LEAVES):
            return out
        shape, attributes = module_shape(module, op), module_attributes(module, op, kwargs)
        node = self.add_node(Node(op, path, sources, used, shape, attributes))
        self.assign_outputs(outputs, given, (node,))
        return out

    # Functions

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        rule = self._rules.get(func)
        if rule is None:
            rule = self._rules[func] = self._rule(func)
        handler, name, op = rule
        if handler is None:
            return func(*args, **kwargs)
        return handler(func, name, op, args, kwargs)

    def _rule(self, func: Any) -> tuple[Callable[..., Any] | None, str, str]:
        name = getattr(func, "__name__", str(func)).split(".")[0]
        if name in ("__get__", "__set__", "__delete__"):
            owner = getattr(getattr(func, "__self__", None), "__name__", "")
            if name == "__get__" and owner in _DATA_GETTERS:
                return self._run, owner, "data"
            return None, name, ""
        if name in _METADATA or (name.startswith("is_") and name not in READERS):
            return None, name, ""
        op = canonical_function_op(name)
        if func in _device_constructors():
            return self._make, name, op
        if name.endswith("_like") or (name.startswith("new_") and name != "new_tensor"):
            return self._make_alike, name, op
        if name in INITIALIZERS and getattr(func, "__module__", "") == "torch.nn.init":
            return self._initialize, name, op
        if name in READERS:
            return self._read, name, op
        if name in SIZED_BY_VALUE:
            return self._sized_by_value, name, op
        if name == "grouped_mm" or name == "_grouped_mm":
            return self._grouped_mm, name, op
        if name == "nms":
            return self._suppress, name, op
        if name in _DROPOUTS:
            return self._dropout, name, op
        if name == "__iter__":
            return self._iterate, name, op
        return self._run, name, op

    def _dropout(self, func: Any, name: str, op: str, args: Any, kwargs: Any) -> Any:
        """Dropout returns its argument, as it does in evaluation."""
        return args[0] if args else kwargs["input"]

    def _iterate(self, func: Any, name: str, op: str, args: Any, kwargs: Any) -> Any:
        return iter(self._run(torch.unbind, "unbind", "unbind", args, {}))

    @staticmethod
    def _initialize(func: Any, name: str, op: str, args: Any, kwargs: Any) -> Any:
        return args[0] if args else kwargs["tensor"]

    def _run(self, func: Any, name: str, op: str, args: Any, kwargs: Any) -> Any:
        """Any other function: shapes on meta, value beside it, then a node or none."""
        self.check_time()
        given = list_tensors(kwargs, list_tensors(args, [])) if kwargs else list_tensors(args, [])
        if any(t.device.type != "meta" for t in given):
            args, kwargs = map_tensors(self._on_meta, args), map_tensors(self._on_meta, kwargs)
            given = list_tensors(kwargs, list_tensors(args, []))
        tracked = [self.track(t) for t in given]
        if name in ("__getitem__", "__setitem__", "where") or name in SIZE_READERS:
            args, kwargs = self._plain_sizes(name, args, kwargs)
            if name == "where" and len(args) == 1 and not kwargs:
                return self._sized_by_value(func, name, op, args, kwargs)
        shadows = self._shadow_results(func, name, args, kwargs, tracked)
        out = self._on_meta_call(func, name, args, kwargs)
        if self.metering:
            self._work += call_work(name, op, args, kwargs, out)
        self.record(name, op, args, kwargs, given, tracked, out)
        self._assign_shadows(name, args, out, shadows)
        return out

    def _grouped_mm(self, func: Any, name: str, op: str, args: Any, kwargs: Any) -> Any:
        def shaped(rows: torch.Tensor, weight: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            return torch.empty((rows.shape[0], weight.shape[-1]), dtype=rows.dtype, device=META)

        return self._run(shaped, name, op, args, kwargs)

    def _suppress(self, func: Any, name: str, op: str, args: Any, kwargs: Any) -> Any:
        """Suppression of overlapping boxes: how many are kept depends on the scores, so all are taken to be kept."""
        self.guesses[f"{self.path[-1] if self.path else ''}: {name}"] = None

        def shaped(boxes: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            return torch.empty((boxes.shape[0],), dtype=torch.int64, device=META)

        return self._run(shaped, name, op, args, kwargs)
