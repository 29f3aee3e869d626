"""The recorder: runs a network on meta tensors and writes down nodes and edges.

* Functions are seen through a `TorchFunctionMode`, which belongs to one thread; modules through an instance attribute
  of the stand-ins. Nothing outside the stand-ins is changed.
* Every tensor carries the *sources* it comes from: the nodes whose output it is, after contraction of whatever only
  moves, casts or masks data; and the parameters that it is a view of. A node's in-edges are its arguments' sources.
* In-place operations move the sources of the tensor, of its base and of the views taken before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._device import _device_constructors

from .ops_archbert import CONTRACTED_FUNCTIONS, INPUT_OP, NUM_ATTRIBUTES, canonical_function_op
from .tracing_attention_archbert import ATTENTION_OP, MASKING, PRODUCTS, is_causal_mask, mark_causal, score_attributes
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
    NO_SHAPE,
    Shape,
    call_options,
    function_attributes,
    function_shape,
    is_torch_leaf,
    leaf_op,
    mixing_attributes,
    module_attributes,
    module_shape,
)
from .tracing_shapes_archbert import LAYER_RULES, META
from .tracing_values_archbert import FILLS, LimitError, Sources, Tracked, ValueMode, plain_output, union

_DATA_GETTERS = words("data T mT H mH real imag")
_METADATA = words(
    "size dim ndimension numel nelement stride element_size storage_offset data_ptr get_device __len__ __hash__ "
    "has_names result_type can_cast promote_types untyped_storage storage dim_order register_hook retain_grad "
    "backward share_memory_ __dir__ __reduce_ex__ _is_view get_default_dtype set_default_dtype manual_seed "
    "set_grad_enabled broadcast_shapes __setstate__ __deepcopy__ set_ resize_"
)
_MERGING = words("add sub mul div where cat stack maximum minimum")
_COPIES = words("copy_ __setitem__ set_data index_put_ masked_scatter_")
_CONTRACTED_EXTRA = words(
    "to get data bitwise_not __invert__ __getitem__ requires_grad_ detach_ as_subclass unsafe_chunk unsafe_split "
    "expand_copy __iter__ align_to rename refine_names combinations conj conj_physical new_tensor squeeze_copy "
    "swapaxes slice_copy view_copy meshgrid row_stack cartesian_prod fill zero index tensor as_tensor asarray "
    "_assert_async"
)
_DROPOUTS = words("dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout dropout_")
_IN_THE_IMAGE_OF = words("type_as view_as reshape_as expand_as to")
_SOURCE_LEAVES = words("RotaryEmbedding")


class Node:
    """One recorded node; `parameters` are the stand-ins that it reads.

    `is_call` tells a function call from a module; `scores` and `causal` serve attention that is written out; `work`
    and `elements` are multiply-adds and allocated elements, where the recorder meters.
    """

    __slots__ = (
        "attributes", "causal", "elements", "is_call", "name", "op", "parameters", "scores", "shape", "sources", "work"
    )  # fmt: skip

    def __init__(self, op: str, name: str, sources: Sources, parameters: Sequence[torch.Tensor] = (),
                 shape: Shape = NO_SHAPE, attributes: list[int] | None = None) -> None:  # fmt: skip
        self.op = op
        self.name = name
        self.sources = sources
        self.parameters = tuple(parameters)
        self.shape = shape
        self.attributes = attributes or [0] * NUM_ATTRIBUTES
        self.is_call = self.causal = False
        self.work = self.elements = 0
        self.scores: list[int] | None = None


class Recorder(ValueMode):
    """Records what runs inside `with recorder:` on this thread.

    Args:
        max_nodes: number of nodes after which `LimitError` is raised.
        deadline: value of `time.monotonic()` after which `LimitError` is raised; None for none.
    """

    def __init__(self, max_nodes: int = 200_000, deadline: float | None = None) -> None:
        super().__init__(deadline)
        self.nodes: list[Node] = []
        self.max_nodes = max_nodes
        self.modules: list[nn.Module] = []
        self.failed_at: tuple[str, str] | None = None
        self._inside_leaf = 0
        self._rules: dict[Any, tuple[Callable[..., Any] | None, str, str]] = {}
        self.used_modules: set[int] = set()
        self._start: dict[int, tuple[Any, ...]] = {}
        self.metering = False
        self._work = 0

    def remember(self) -> None:
        """Marks what is known now as the state that `reset` goes back to."""
        self._start = {k: (t.tensor, t.sources, t.parameters, t.shadow) for k, t in self._tracked.items()}

    def reset(self, guess: int = 0) -> None:
        """Forgets everything recorded since `remember`; `guess` is the number for unknown integers from now on."""
        self.guess = guess
        self.guesses = {}
        self.nodes = []
        self.failed_at = None
        self.used_modules = set()
        self._work = 0
        self._views = {}
        self._tracked = {k: Tracked(*state) for k, state in self._start.items()}

    def add_input(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """A stand-in for an input tensor; integers and masks keep their value."""
        result = self.stand_in(tensor.detach() if isinstance(tensor, nn.Parameter) else tensor)
        tracked = self._tracked[id(result)]
        if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
            tracked.shadow = None
        tracked.sources = (self._add_node(Node(INPUT_OP, name, ())),)
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
            if op is None or self._inside_leaf:
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
        node = self._add_node(Node(op, path, sources, [*used, *arguments], shape, attributes))
        self._assign_outputs(out, given, (node,))
        return out

    def _call_composite(self, module: nn.Module, path: str, op: str, forward: Callable[..., Any], args: Any,
                        kwargs: Any) -> Any:  # fmt: skip
        given = list_tensors(kwargs, list_tensors(args, []))
        self._inside_leaf += 1
        try:
            out = forward(*args, **kwargs)
        finally:
            self._inside_leaf -= 1
        outputs = list_tensors(plain_output(out), [])
        sources = union([self.sources_of(t) for t in outputs])
        used = list(module.parameters())
        if not (sources or used or op in _SOURCE_LEAVES):
            return out
        shape, attributes = module_shape(module, op), module_attributes(module, op, kwargs)
        node = self._add_node(Node(op, path, sources, used, shape, attributes))
        self._assign_outputs(outputs, given, (node,))
        return out

    def _add_node(self, node: Node) -> int:
        self.check_time()
        if len(self.nodes) >= self.max_nodes:
            raise LimitError(f"the graph has more than max_nodes={self.max_nodes} nodes")
        self.nodes.append(node)
        node.work, self._work = self._work, 0
        return len(self.nodes) - 1

    def _assign_outputs(self, out: Any, given: Sequence[torch.Tensor], sources: Sources,
                        parameters: tuple[torch.Tensor, ...] = ()) -> None:  # fmt: skip
        identities = {id(t) for t in given}
        for tensor in list_tensors(out, []):
            if id(tensor) in identities:
                self._overwrite(tensor, sources, parameters)
            else:
                self._tracked[id(tensor)] = Tracked(tensor, sources, parameters)
                if self.metering and len(sources) == 1:
                    self.nodes[sources[0]].elements += tensor.numel()

    def _overwrite(self, tensor: torch.Tensor, sources: Sources, parameters: tuple[torch.Tensor, ...] = ()) -> None:
        """Gives a tensor that was changed in place new sources; its base and its views follow."""
        tracked = self.track(tensor)
        tracked.sources = sources
        tracked.parameters = parameters if not isinstance(tensor, nn.Parameter) else tracked.parameters
        with torch._C.DisableTorchFunction():
            base = tensor._base
            whole = base is not None and base.numel() == tensor.numel()
        if base is not None and not isinstance(base, nn.Parameter):
            of_base = self.track(base)
            of_base.sources = sources if whole else union([of_base.sources, sources])
            of_base.shadow = None
        for view in self._views.get(id(base if whole else tensor), ()):
            if view is not tensor:
                self.track(view).sources = sources

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

    def _stranger_sources(self) -> Sources:
        return (len(self.nodes) - 1,) if self.nodes else ()

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
        self._record(name, op, args, kwargs, given, tracked, out)
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

    # Nodes

    def _record(self, name: str, op: str, args: Any, kwargs: Any, given: Sequence[torch.Tensor],
                tracked: Sequence[Tracked], out: Any) -> None:  # fmt: skip
        if name in _COPIES:
            self._record_copy(name, op, args, given, tracked)
            return
        if name in FILLS:
            if args[0]._base is None:
                self._overwrite(args[0], ())
            return
        outs = list_tensors(plain_output(out), [])
        if not outs:
            return
        if name in _IN_THE_IMAGE_OF:
            given, tracked = given[:1], tracked[:1]
        sources = union([t.sources for t in tracked])
        parameters = union([t.parameters for t in tracked])
        if not sources and not parameters:
            for tensor in outs:
                self._tracked.setdefault(id(tensor), Tracked(tensor))
            return
        if self._passes_through(name, op, given, tracked, outs):
            if not outs[0].dtype.is_floating_point and not outs[0].dtype.is_complex and sources:
                parameters = ()
            self._pass(outs, given, sources, parameters)
            if op in MASKING and len(sources) == 1 and len(tracked) > 1:
                self._note_mask(self.nodes[sources[0]], tracked)
            return
        if self._inside_leaf:
            self._pass(outs, given, sources, ())
            return
        self._record_call(name, op, args, kwargs, given, outs, sources, parameters)

    def _record_call(self, name: str, op: str, args: Any, kwargs: Any, given: Sequence[torch.Tensor],
                     outs: list[torch.Tensor], sources: Sources,
                     parameters: tuple[torch.Tensor, ...]) -> None:  # fmt: skip
        if op.endswith("Norm2d") and args and isinstance(args[0], torch.Tensor):
            op = f"{op[:-2]}{min(max(args[0].dim() - 2, 1), 3)}d"
        options = call_options(op, args, kwargs)
        path = self.path[-1] if self.path else ""
        plain = name.strip("_")
        node = Node(
            op,
            f"{path}.{plain}" if path else plain,
            sources,
            parameters,
            function_shape(op, options, parameters),
            self._mixing(op, given) or function_attributes(op, args, kwargs, options, self.modules),
        )
        node.is_call = True
        if op in PRODUCTS and len(given) in (2, 3):
            node.scores = score_attributes(given[-2].shape, given[-1].shape, self.modules[-3:])
        elif op == ATTENTION_OP and len(given) > 3 and is_causal_mask(self.shadow(given[3])):
            mark_causal(node.attributes)
        self._assign_outputs(outs, given, (self._add_node(node),))

    def _note_mask(self, node: Node, tracked: Sequence[Tracked]) -> None:
        """Marks what a node gives as masked causally, where a constant among the arguments says so."""
        for other in tracked:
            if not other.sources and not other.parameters and is_causal_mask(self.shadow(other.tensor)):
                node.causal = True

    def _mixing(self, op: str, given: Sequence[torch.Tensor]) -> list[int] | None:
        """Attributes of a product whose first factor is the result of a Softmax, as attention weights are."""
        if op != "matmul" or len(given) != 2:
            return None
        weights, values = map(self.sources_of, given)
        if not weights or not values or any(self.nodes[source].op != "Softmax" for source in weights):
            return None
        return mixing_attributes(given[0], given[1], self.modules)

    def _passes_through(self, name: str, op: str, given: Sequence[torch.Tensor], tracked: Sequence[Tracked],
                        outs: Sequence[torch.Tensor]) -> bool:  # fmt: skip
        if not any(t.dtype.is_floating_point or t.dtype.is_complex for t in outs):
            return op != "nms"
        plain = name[:-1] if name.endswith("_") and not name.endswith("__") else name
        live = [t for t in tracked if t.sources or t.parameters]
        if plain in CONTRACTED_FUNCTIONS or plain in _CONTRACTED_EXTRA or op == "data":
            chosen_by_computed_index = name == "__getitem__" and len(live) > 1 and given[0] is live[0].tensor
            return not chosen_by_computed_index
        return op in _MERGING and len(live) <= 1

    def _pass(self, outs: Sequence[torch.Tensor], given: Sequence[torch.Tensor], sources: Sources,
              parameters: tuple[torch.Tensor, ...]) -> None:  # fmt: skip
        identities = {id(t) for t in given}
        for tensor in outs:
            if id(tensor) in identities:
                self._overwrite(tensor, sources, parameters)
                continue
            self._tracked[id(tensor)] = Tracked(tensor, sources, parameters)
            with torch._C.DisableTorchFunction():
                base = tensor._base
            if base is not None:
                self._views.setdefault(id(base), []).append(tensor)

    def _record_copy(self, name: str, op: str, args: Any, given: Sequence[torch.Tensor],
                     tracked: Sequence[Tracked]) -> None:  # fmt: skip
        """An assignment into a tensor: the new value passes through, or joins the old one in a node."""
        target = args[0]
        old = self.track(target)
        others = [t for t in tracked if t is not old]
        sources, parameters = union([t.sources for t in others]), union([t.parameters for t in others])
        before = old.sources if name != "copy_" else ()
        if not parameters and before and set(sources) <= set(before):
            return
        if not sources and not parameters:
            if name == "copy_" and target._base is None:
                self._overwrite(target, ())
            return
        if not before and not (name != "copy_" and old.parameters):
            self._overwrite(target, sources, parameters)
        elif self._inside_leaf:
            self._overwrite(target, union([before, sources]))
        else:
            path = self.path[-1] if self.path else ""
            label = f"{path}.{name.strip('_')}" if path else name.strip("_")
            self._overwrite(
                target,
                (self._add_node(Node("setitem", label, union([before, sources]), [*old.parameters, *parameters])),),
            )


def list_output_tensors(value: Any) -> list[torch.Tensor]:
    """Every tensor of a network's output, in order, inside containers, dataclasses and plain objects."""
    found: list[torch.Tensor] = []
    seen: set[int] = set()

    def visit(item: Any, depth: int) -> None:
        if isinstance(item, torch.Tensor):
            found.append(item)
        elif isinstance(item, dict):
            for child in item.values():
                visit(child, depth)
        elif isinstance(item, (list, tuple)):
            for child in item:
                visit(child, depth)
        elif (
            hasattr(item, "__dict__")
            and not isinstance(item, (type, nn.Module))
            and depth < 4
            and id(item) not in seen
        ):
            seen.add(id(item))
            visit(vars(item), depth + 1)

    visit(value, 0)
    return found
