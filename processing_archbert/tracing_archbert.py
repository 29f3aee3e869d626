"""`trace`: the computational graph of a network, without its weights.

* The network runs once on stand-ins on `meta`: only shapes are computed, nothing is allocated, and the user's module
  is not touched.
* Python control flow runs as it is; values that it reads are computed beside the shapes where they depend on no
  weight (`tracing_constants_archbert`).
* The same network gives the same bytes in every process; threads do not mix.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from .architecture_graph_archbert import ArchitectureGraph
from .dummy_inputs_archbert import SEQUENCE_LENGTH, forward_parameters, module_inputs
from .dummy_inputs_config_archbert import config_inputs
from .dummy_inputs_fallback_archbert import fallback_inputs, optional_inputs, repaired_inputs
from .dummy_inputs_modalities_archbert import added_inputs, alternative_inputs
from .tracing_costs_archbert import NodeCost, node_costs
from .tracing_graph_archbert import ArchitectureTraceError, finished_graph, kept_nodes, trace_error
from .tracing_growth_archbert import measured_costs
from .tracing_mirror_archbert import Mirror, is_transformers_config, traceable_config, unwrap
from .tracing_parts_archbert import MAX_CANDIDATES, PartCall, has_no_forward, is_model, unused_parts
from .tracing_recorder_archbert import Recorder
from .tracing_state_archbert import ModuleState, preserved_state
from .tracing_values_archbert import LimitError

GUESSES = (0, 1, SEQUENCE_LENGTH)
"""What an unknown integer is taken for, one after the other."""
JOINS = "connections between the parts"
"""Stands in `incomplete` where parts of a network were run by themselves, beside the rest."""
_LOCK = threading.RLock()


def trace(
    module_or_config: Any,
    inputs: Any = None,
    *,
    name: str = "",
    source: str = "",
    model_class: Any = None,
    costs: bool = False,
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
    with _LOCK, preserved_state():
        job = _Job(module_or_config, is_config, name, source, max_nodes, deadline)
        job.model_class, job.costs = model_class, costs
        graph = job.run(inputs)
        return job.with_costs(graph) if costs else graph


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
        self.costs = False
        self._attempts: list[tuple[ArchitectureGraph, nn.Module, Any, int, ModuleState | None]] = []

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
                    graph, completed = self._completed(model, self._attempt(model, inputs, guess), inputs, guess)
                    return self._with_parts(model, graph, completed, guess)
                except ArchitectureTraceError as error:
                    if isinstance(error.__cause__, LimitError):
                        raise
                    first = first or error
                if not self.recorder.guesses:
                    break
        graph_of_parts = self._parts(model) if self.is_config else None  # for a module, inputs can be given
        if graph_of_parts is not None:
            return graph_of_parts
        if first is None:
            raise self._error(
                "its inputs cannot be made up from its layers",
                "inputs=, a tensor, a tuple of arguments or a dict of keyword arguments",
            )
        raise first

    def _parts(self, model: nn.Module) -> ArchitectureGraph | None:
        """The graph of the parts of a model that runs only as parts; None where it has no part that runs by itself."""
        if not has_no_forward(model) and not any(is_model(part) for part in model.modules() if part is not model):
            return None
        calls = self._part_calls(model, {id(p): p.numel() for p in model.parameters()})
        whole = [is_model(call.part) for call in calls]
        if not calls or not (any(whole) or has_no_forward(model)):
            return None
        graph = self._joined(model, None, calls, 0)
        missing = graph.incomplete if has_no_forward(model) and all(whole) else (*graph.incomplete, JOINS)
        return dataclasses.replace(graph, incomplete=missing)

    def _with_parts(self, model: nn.Module, graph: ArchitectureGraph, inputs: Any, guess: int) -> ArchitectureGraph:
        """The graph, with the parts that it misses beside it, each on inputs of its own and without connections."""
        if not graph.incomplete or not is_transformers_config(getattr(model, "config", None)):
            return graph
        with suppress(ArchitectureTraceError):
            self._attempt(model, inputs, guess)
            used = self._used_parameters()
            calls = self._part_calls(model, {id(p): p.numel() for p in model.parameters() if id(p) not in used})
            if calls:
                joined = self._joined(model, inputs, calls, guess)
                return dataclasses.replace(joined, incomplete=(*joined.incomplete, JOINS))
        return graph

    def _used_parameters(self) -> set[int]:
        """Ids of the parameters that a recorded node reads."""
        return {id(p) for node in self.recorder.nodes for p in node.parameters}

    def _part_calls(self, model: nn.Module, unused: dict[int, int]) -> list[PartCall]:
        """Calls, on made-up inputs, of parts that use parameters of `unused`, which are taken out of it."""
        calls = []
        for path, part, config in unused_parts(model, unused):
            count = None if is_model(part) else MAX_CANDIDATES
            for inputs in itertools.islice(self._candidates(part, config), count):
                with suppress(ArchitectureTraceError):
                    self._attempt(part, inputs, 0)
                    used = self._used_parameters() & set(unused)
                    if used:
                        calls.append(PartCall(path, part, inputs))
                        for parameter in used:
                            del unused[parameter]
                        break
        return calls

    def _joined(self, model: nn.Module, inputs: Any, calls: list[PartCall], guess: int) -> ArchitectureGraph:
        """One graph of a call of the network, unless `inputs` is None, and of calls of its parts."""
        recorder = self.recorder
        recorder.reset(guess)
        outputs = []
        try:
            if inputs is not None:
                args, kwargs = _stand_in_inputs(recorder, inputs)
                with recorder:
                    outputs.append(model(*args, **kwargs))
            recorder.guess = 0
            for call in calls:
                _, named = _stand_in_inputs(recorder, call.named_inputs())
                with recorder:
                    outputs.append(call.run(named))
        except LimitError as error:
            raise self._error(str(error), "a smaller network or a higher limit") from error
        return self._finished(model, outputs)

    def _completed(self, model: nn.Module, graph: ArchitectureGraph, inputs: Any,
                   guess: int) -> tuple[ArchitectureGraph, Any]:  # fmt: skip
        """Graph and inputs, of the model on more inputs while it misses parts that more inputs reach."""
        config = getattr(model, "config", None)
        if not graph.incomplete or not isinstance(inputs, dict) or not is_transformers_config(config):
            return graph, inputs
        names = [p.name for p in forward_parameters(model)]
        given = dict(inputs)
        single = ([option] for option in optional_inputs(config, names, given))
        for options in itertools.chain(added_inputs(config, names, given), single):
            for option in options:
                try:
                    other = self._attempt(model, given | option, guess)
                except ArchitectureTraceError as error:
                    if isinstance(error.__cause__, LimitError):
                        return graph, given
                    continue
                if other.unused_parameters < graph.unused_parameters:
                    graph, given = other, given | option
                    break
            if not graph.incomplete:
                break
        return graph, given

    def _candidates(self, model: nn.Module, outer: Any = None) -> Iterator[Any]:
        """Made-up inputs, the likeliest first; none where making them up fails.

        A candidate that a layer refused comes back with the width that this layer wants. `outer` is the configuration
        of the model that a part is in.
        """
        config = getattr(model, "config", None)
        known = config is not None and is_transformers_config(config)
        if has_no_forward(model):
            return
        repaired: set[str] = set()
        makers: tuple[Callable[[Any, nn.Module], Iterator[Any]], ...] = (_plain_inputs,)
        if known:
            makers = (config_inputs, fallback_inputs, _alternatives, _named_inputs)
        elif outer is not None:
            known, config, makers = True, outer, (_plain_inputs, fallback_inputs, config_inputs)
        for make in makers:
            with suppress(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
                for inputs in make(config, model):
                    self.recorder.failed_at = None
                    yield inputs
                    layer = self._refusing_layer(model)
                    if not known or layer is None or not isinstance(inputs, dict):
                        continue
                    if (path := f"{make.__name__}.{layer[0]}") not in repaired:
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
        before = ModuleState(model) if self.costs else None
        graph = self._finished(model, self._outputs(model, inputs, guess))
        self._attempts.append((graph, model, inputs, guess, before))
        return graph

    def with_costs(self, graph: ArchitectureGraph) -> ArchitectureGraph:
        """The graph with what its nodes cost; as it is where it was not made by one run of the network."""
        found = next((attempt[1:] for attempt in self._attempts if attempt[0] is graph), None)
        if found is None:
            return graph
        model, inputs, guess, before = found

        def run(other: Any) -> list[NodeCost]:
            if before is not None:
                before.restore()  # what one run cached is no result of another's operations
            kept, _ = kept_nodes(self.recorder, model, self._outputs(model, other, guess))
            return node_costs(self.recorder.nodes, kept)

        self.recorder.metering = True
        try:
            return dataclasses.replace(graph, costs=measured_costs(run, inputs))
        finally:
            self.recorder.metering = False

    def _outputs(self, model: nn.Module, inputs: Any, guess: int) -> Any:
        recorder = self.recorder
        recorder.reset(guess)
        args, kwargs = _stand_in_inputs(recorder, inputs)
        try:
            with recorder:
                return model(*args, **kwargs)
        except Exception as error:
            if isinstance(error, LimitError):
                raise self._error(str(error), "a smaller network or a higher limit") from error
            raise self._error(_reason(error), "inputs= that its forward accepts") from error

    def _finished(self, model: nn.Module, outputs: Any) -> ArchitectureGraph:
        return finished_graph(self.recorder, model, outputs, name=self.name or self.label, source=self.source)

    def _error(self, reason: str, remedy: str) -> ArchitectureTraceError:
        return trace_error(self.recorder, self.label, reason, remedy)


def _tie(model: Any) -> None:
    """Ties what a transformers model says is tied; some versions leave that out when they build on meta."""
    keys = getattr(model, "all_tied_weights_keys", None) or {}
    with suppress(AttributeError):  # of buffers, or of parameters that this model lacks
        if any(model.get_parameter(target) is not model.get_parameter(source) for target, source in keys.items()):
            model.tie_weights()


def _alternatives(config: Any, model: nn.Module) -> Iterator[Any]:
    return alternative_inputs(config, [p.name for p in forward_parameters(model)])


def _named_inputs(_: Any, model: nn.Module) -> Iterator[Any]:
    """For the one argument that a model needs, what its first layers accept."""
    required = [p.name for p in forward_parameters(model) if p.default is p.empty]
    return ({required[0]: inputs[0]} for inputs in module_inputs(model) if len(required) == 1)  # type: ignore[index]


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
