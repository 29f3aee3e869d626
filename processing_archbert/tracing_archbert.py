"""`trace`: the computational graph of a network, without its weights.

* The network runs once on stand-ins on `meta`: only shapes are computed, nothing is allocated, and the user's module
  is not touched.
* Python control flow runs as it is; values that it reads are computed beside the shapes where they depend on no
  weight (`tracing_constants_archbert`).
* The same network gives the same bytes in every process; threads do not mix.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import os
import random
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import _pop_mode, _push_mode
from torch.utils import _device

from .architecture_graph_archbert import ArchitectureGraph
from .dummy_inputs_archbert import SEQUENCE_LENGTH, forward_parameters, module_inputs
from .dummy_inputs_config_archbert import config_inputs
from .dummy_inputs_fallback_archbert import fallback_inputs, optional_inputs, repaired_inputs
from .dummy_inputs_modalities_archbert import added_inputs, alternative_inputs
from .ops_archbert import NUM_ATTRIBUTES, OUTPUT_OP
from .tracing_attention_archbert import join_attention
from .tracing_completeness_archbert import missing_towers
from .tracing_mirror_archbert import Mirror, is_transformers_config, traceable_config, unwrap
from .tracing_recorder_archbert import Recorder, list_output_tensors
from .tracing_values_archbert import LimitError

GUESSES = (0, 1, SEQUENCE_LENGTH)
"""What an unknown integer is taken for, one after the other."""
JOINS = "connections between the parts"
"""Stands in `incomplete` where only the parts of a network could be run, one by one."""
_CHECKS = "TRANSFORMERS_DISABLE_TORCH_CHECK"  # its checks compare values, which are unknown here
_LOCK = threading.RLock()


class ArchitectureTraceError(RuntimeError):
    """A network that cannot be traced: names the module, the reason and what can be passed instead."""


def trace(
    module_or_config: Any,
    inputs: Any = None,
    *,
    name: str = "",
    source: str = "",
    model_class: Any = None,
    max_nodes: int = 200_000,
    max_seconds: float | None = 600.0,
) -> ArchitectureGraph:
    """The `ArchitectureGraph` of a network.

    Args:
        module_or_config: an `nn.Module` on any device, in any precision, or a transformers configuration, whose base
            model is built without weights. Both are left as they are.
        inputs: a tensor, a tuple of positional arguments or a dict of keyword arguments, on any device. None: made up
            from the configuration and the signature of `forward`, or from the first layers.
        name: name of the graph; by default the class of the network.
        source: where the network came from, for people.
        model_class: for a configuration, the class of the network: one of transformers' auto classes or of its models;
            the base model (`AutoModel`) by default.
        max_nodes: number of nodes above which tracing stops.
        max_seconds: time after which tracing stops; None for no limit.

    Raises:
        ArchitectureTraceError: the network cannot be built or run on shapes alone, or a limit was passed.
        TypeError: `module_or_config` is neither of the two.
    """
    is_config = is_transformers_config(module_or_config)
    if not is_config and not isinstance(module_or_config, nn.Module):
        raise TypeError(
            f"trace() got {type(module_or_config).__name__}; an nn.Module or a transformers configuration is allowed."
        )
    deadline = None if max_seconds is None else time.monotonic() + max_seconds
    with _LOCK, _preserved_state():
        job = _Job(module_or_config, is_config, name, source, max_nodes, deadline)
        job.model_class = model_class
        return job.run(inputs)


@contextmanager
def _preserved_state() -> Iterator[None]:
    """Fixed random state and no function modes inside; all of the caller's state as it was afterwards."""
    python, tensors = random.getstate(), torch.random.get_rng_state()
    array = np.random.get_state()  # noqa: NPY002
    dtype = torch.get_default_dtype()
    device = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None), _device.CURRENT_DEVICE
    modes = [_pop_mode() for _ in range(torch._C._len_torch_function_stack())]
    checks = os.environ.get(_CHECKS)
    collecting = gc.isenabled()
    gc.disable()  # a collection walks every object of the libraries and finds nothing here: up to half of the time
    try:
        os.environ[_CHECKS] = "1"
        torch.distributions.Distribution.set_default_validate_args(False)  # it compares values
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.random.default_generator.manual_seed(0)
        with torch.no_grad(), _autocast_on_meta(), _uncompiled():
            yield
    finally:
        os.environ.pop(_CHECKS, None)
        if checks is not None:
            os.environ[_CHECKS] = checks
        if collecting:
            gc.enable()
        while torch._C._len_torch_function_stack():  # what the network itself left there: a default device
            _pop_mode()
        for mode in reversed(modes):
            _push_mode(mode)
        torch._GLOBAL_DEVICE_CONTEXT.device_context, _device.CURRENT_DEVICE = device
        torch.set_default_dtype(dtype)
        random.setstate(python)
        np.random.set_state(array)  # noqa: NPY002
        torch.random.set_rng_state(tensors)


def _uncompiled() -> AbstractContextManager[Any]:
    """Functions that were decorated to be compiled run as they are written."""
    stance = getattr(torch.compiler, "set_stance", None)
    return stance("force_eager") if stance is not None and "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def _autocast_on_meta() -> Iterator[None]:
    """Code that asks for autocast on its tensors' device runs without it; torch knows none on meta and raises."""
    is_enabled, begin = torch.is_autocast_enabled, torch.autocast.__init__

    def is_enabled_here(*args: Any, **kwargs: Any) -> bool:
        return "meta" not in (*args, *kwargs.values()) and is_enabled(*args, **kwargs)

    def begin_here(self: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
        if device_type == "meta":
            begin(self, "cpu", enabled=False)
        else:
            begin(self, device_type, *args, **kwargs)

    torch.is_autocast_enabled, torch.autocast.__init__ = is_enabled_here, begin_here  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.is_autocast_enabled, torch.autocast.__init__ = is_enabled, begin  # type: ignore[method-assign]


class _Job:
    """One call of `trace`: stand-ins, attempts with one input after the other, and the finished graph."""

    def __init__(self, target: Any, is_config: bool, name: str, source: str, max_nodes: int,
                 deadline: float | None) -> None:  # fmt: skip
        self.target = target
        self.is_config = is_config
        self.label = type(target).__name__
        self.name = name
        self.source = source
        self.recorder = Recorder(max_nodes, deadline)
        self.recorder.from_config = is_config
        self.model_class: Any = None

    def run(self, inputs: Any) -> ArchitectureGraph:
        model = self.model = self._build() if self.is_config else self._mirror()
        self.recorder.attach(model)
        self.recorder.remember()
        if inputs is not None:
            return self._with_guesses(model, inputs)
        return self._first_success(model)

    def _with_guesses(self, model: nn.Module, inputs: Any) -> ArchitectureGraph:
        """The graph on the user's inputs, with the first guess of unknown numbers that the network accepts."""
        first: ArchitectureTraceError | None = None
        for guess in GUESSES:
            try:
                return self._attempt(model, inputs, guess)
            except ArchitectureTraceError as error:
                first = first or error
                if isinstance(error.__cause__, LimitError) or not self.recorder.guesses:
                    break
        assert first is not None
        raise first

    def _build(self) -> nn.Module:
        from transformers import AutoModel

        config = traceable_config(self.target)
        model_class = self.model_class or AutoModel
        build = getattr(model_class, "from_config", None) or model_class._from_config
        try:
            with self.recorder:
                model = build(config)
        except LimitError as error:
            raise self._error(str(error), "a smaller network or a higher limit") from None
        except Exception as error:
            raise self._error(
                f"no model can be built from it: {_reason(error)}",
                f"a configuration that transformers' {model_class.__name__} can build, or a module and its inputs=",
            ) from error
        self.label = type(model).__name__
        _tie(model)
        self.recorder.adopt_parameters(model)
        return model.eval()

    def _mirror(self) -> nn.Module:
        if isinstance(self.target, torch.jit.ScriptModule):
            raise self._error("it is a compiled TorchScript module", "the nn.Module that it was made from")
        module = unwrap(self.target)
        self.label = type(module).__name__
        try:
            return Mirror(self.recorder.stand_in).copy(module)
        except Exception as error:
            raise self._error(f"no stand-in can be made of it: {_reason(error)}", "a plain nn.Module") from error

    def _first_success(self, model: nn.Module) -> ArchitectureGraph:
        first: ArchitectureTraceError | None = None
        for inputs in self._candidates(model):
            for guess in GUESSES:
                try:
                    return self._completed(model, self._attempt(model, inputs, guess), inputs, guess)
                except ArchitectureTraceError as error:
                    if isinstance(error.__cause__, LimitError):
                        raise
                    first = first or error
                if not self.recorder.guesses:
                    break
        graph = self._parts(model) if self.is_config else None  # for a module, inputs can be given
        if graph is not None:
            return graph
        if first is None:
            raise self._error(
                "its inputs cannot be made up from its layers",
                "inputs=, a tensor, a tuple of arguments or a dict of keyword arguments",
            )
        raise first

    def _parts(self, model: nn.Module) -> ArchitectureGraph | None:
        """The graph of the parts of a model that runs only as parts; None where it has no part that runs by itself."""
        calls = []
        for name, part in _outermost_parts(model, ""):
            for inputs in self._candidates(part):
                with suppress(ArchitectureTraceError):
                    self._attempt(part, inputs, 0)
                    calls.append((name, part, inputs))
                    break
        if not calls:
            return None
        recorder = self.recorder
        recorder.reset(0)
        outputs = []
        for name, part, inputs in calls:
            args, kwargs = _stand_in_inputs(recorder, {f"{name}.{key}": value for key, value in inputs.items()})
            with recorder:
                outputs.append(part(*args, **{key.removeprefix(f"{name}."): v for key, v in kwargs.items()}))
        graph = self._finish(model, outputs)
        missing = graph.incomplete if _has_no_forward(model) else (*graph.incomplete, JOINS)
        return dataclasses.replace(graph, incomplete=missing)

    def _completed(self, model: nn.Module, graph: ArchitectureGraph, inputs: Any, guess: int) -> ArchitectureGraph:
        """The graph, or one of the model on more inputs while it misses parts that more inputs reach."""
        config = getattr(model, "config", None)
        if not graph.incomplete or not isinstance(inputs, dict) or not is_transformers_config(config):
            return graph
        names = [p.name for p in forward_parameters(model)]
        given = dict(inputs)
        single = ([option] for option in optional_inputs(config, names, given))
        for options in itertools.chain(added_inputs(config, names, given), single):
            for option in options:
                try:
                    other = self._attempt(model, given | option, guess)
                except ArchitectureTraceError as error:
                    if isinstance(error.__cause__, LimitError):
                        return graph
                    continue
                if other.unused_parameters < graph.unused_parameters:
                    graph, given = other, given | option
                    break
            if not graph.incomplete:
                break
        return graph

    def _candidates(self, model: nn.Module) -> Iterator[Any]:
        """Made-up inputs, the likeliest first; none where making them up fails.

        A candidate that a layer refused comes back with the width that this layer wants.
        """
        config = getattr(model, "config", None)
        known = config is not None and is_transformers_config(config)
        if _has_no_forward(model):
            return
        repaired: set[str] = set()
        for make in (config_inputs, fallback_inputs, _alternatives, _named_inputs) if known else (_plain_inputs,):
            with suppress(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
                for inputs in make(config, model):
                    self.recorder.failed_at = None
                    yield inputs
                    layer = self._refusing_layer(model)
                    if known and layer is not None and (path := f"{make.__name__}.{layer[0]}") not in repaired:
                        repaired.add(path)
                        yield from repaired_inputs(inputs, layer[1])

    def _refusing_layer(self, model: nn.Module) -> tuple[str, nn.Module] | None:
        """Path and layer at which the last attempt failed."""
        path = self.recorder.failed_at[0] if self.recorder.failed_at is not None else ""
        prefix = next((f"{name}." for name, child in self.model.named_modules() if child is model and name), "")
        with suppress(AttributeError):
            return path, model.get_submodule(path.removeprefix(prefix))
        return None

    def _attempt(self, model: nn.Module, inputs: Any, guess: int) -> ArchitectureGraph:
        recorder = self.recorder
        recorder.reset(guess)
        args, kwargs = _stand_in_inputs(recorder, inputs)
        try:
            with recorder:
                outputs = model(*args, **kwargs)
        except Exception as error:
            if isinstance(error, LimitError):
                raise self._error(str(error), "a smaller network or a higher limit") from error
            raise self._error(_reason(error), "inputs= that its forward accepts") from error
        return self._finish(model, outputs)

    def _finish(self, model: nn.Module, outputs: Any) -> ArchitectureGraph:
        recorder = self.recorder
        producers = sorted({s for t in list_output_tensors(outputs) for s in recorder.track(t).sources})
        if not producers:
            raise self._error(
                "no tensor of its output depends on an input or a parameter",
                "inputs= for which forward returns tensors",
            )
        kept = _kept(recorder, producers)
        if join_attention(recorder.nodes, kept, producers):
            kept = _kept(recorder, producers)
        position = {node: i for i, node in enumerate(kept)}
        nodes = [recorder.nodes[i] for i in kept]
        edges = [(position[s], position[i]) for i in kept for s in recorder.nodes[i].sources]
        count = len(nodes)
        edges += [(position[p], count + i) for i, p in enumerate(producers)]
        counts, unused = _count_parameters(model, nodes)
        total = sum(counts) + sum(unused.values())
        blank = [(0,) * NUM_ATTRIBUTES] * len(producers)
        return ArchitectureGraph.build(
            [n.op for n in nodes] + [OUTPUT_OP] * len(producers),
            edges,
            shapes=np.array([n.shape for n in nodes] + [(0, 0, 0, 0)] * len(producers), dtype=np.int64),
            attributes=np.array([n.attributes for n in nodes] + blank, dtype=np.int64),
            node_parameters=np.array(counts + [0] * len(producers), dtype=np.int64),
            node_names=[n.name for n in nodes] + [f"output{i}" for i in range(len(producers))],
            name=self.name or self.label,
            source=self.source,
            num_parameters=total,
            unused_parameters=total - sum(counts),
            incomplete=missing_towers(model, unused),
            library_versions=_versions(type(model)),
            guesses=tuple(recorder.guesses),
        )

    def _error(self, reason: str, remedy: str) -> ArchitectureTraceError:
        where = ""
        if self.recorder.failed_at is not None:
            path, kind = self.recorder.failed_at
            where = f" in module {path!r} ({kind})" if path else ""
        return ArchitectureTraceError(f"{self.label} cannot be traced{where}: {reason}. You can pass {remedy}.")


def _tie(model: Any) -> None:
    """Ties what a transformers model says is tied; some versions leave that out when they build on meta."""
    keys = getattr(model, "all_tied_weights_keys", None) or {}
    with suppress(AttributeError):  # of buffers, or of parameters that this model lacks
        if any(model.get_parameter(target) is not model.get_parameter(source) for target, source in keys.items()):
            model.tie_weights()


def _has_no_forward(model: nn.Module) -> bool:
    return type(model).forward is nn.Module.forward


def _outermost_parts(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The largest modules inside a network that are models of their own, with a configuration and parameters."""
    for name, child in module.named_children():
        inner = f"{path}.{name}" if path else name
        if "_from_config" in dir(type(child)) and any(True for _ in child.parameters()):
            yield inner, child
        else:
            yield from _outermost_parts(child, inner)


def _alternatives(config: Any, model: nn.Module) -> Iterator[Any]:
    return alternative_inputs(config, [p.name for p in forward_parameters(model)])


def _named_inputs(_: Any, model: nn.Module) -> Iterator[Any]:
    """For the one argument that a model needs, what its first layers accept."""
    required = [p.name for p in forward_parameters(model) if p.default is p.empty]
    return ({required[0]: inputs[0]} for inputs in module_inputs(model) if len(required) == 1)


def _plain_inputs(_: Any, model: nn.Module) -> Iterator[Any]:
    return module_inputs(model)


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _stand_in_inputs(recorder: Recorder, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments on meta; every tensor among them is an `input` node."""
    made: dict[int, torch.Tensor] = {}

    def convert(name: str, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if id(value) not in made:
                made[id(value)] = recorder.add_input(name, value)
            return made[id(value)]
        if isinstance(value, Mapping):
            return type(value)({k: convert(f"{name}.{k}", v) for k, v in value.items()})  # type: ignore[call-arg]
        if isinstance(value, (list, tuple)):
            items = [convert(f"{name}.{i}", v) for i, v in enumerate(value)]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return value

    if isinstance(inputs, Mapping):
        return (), {key: convert(str(key), value) for key, value in inputs.items()}
    items = inputs if isinstance(inputs, tuple) else (inputs,)
    return tuple(convert(f"input{i}", item) for i, item in enumerate(items)), {}


def _kept(recorder: Recorder, producers: list[int]) -> list[int]:
    """Nodes that reach an output, or a parameter that only a dead end reads: a layer that runs is in the graph."""
    kept = _ancestors(recorder, producers)
    read = {id(p) for i in kept for p in recorder.nodes[i].parameters}
    dead = [i for i, node in enumerate(recorder.nodes) if any(id(p) not in read for p in node.parameters)]
    return _ancestors(recorder, producers + dead) if dead else kept


def _ancestors(recorder: Recorder, producers: list[int]) -> list[int]:
    seen = set(producers)
    stack = list(producers)
    while stack:
        for source in recorder.nodes[stack.pop()].sources:
            if source not in seen:
                seen.add(source)
                stack.append(source)
    return sorted(seen)


def _count_parameters(model: nn.Module, nodes: list[Any]) -> tuple[list[int], dict[int, int]]:
    """Parameters of each node, everyone counted at its first user; and the sizes of those without a user, by id."""
    sizes = {id(p): p.numel() for p in model.parameters()}
    return [sum(sizes.pop(id(p), 0) for p in dict.fromkeys(node.parameters)) for node in nodes], sizes


def _versions(kind: type) -> dict[str, str]:
    versions = {"torch": str(torch.__version__)}
    if kind.__module__.split(".")[0] == "transformers":
        import transformers

        versions["transformers"] = str(transformers.__version__)
    return versions
