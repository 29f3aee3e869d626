"""`trace`: the computational graph of a network, without its weights.

* The network runs once on stand-ins on `meta`: only shapes are computed, nothing is allocated, and the user's module
  is not touched.
* Python control flow runs as it is; values that it reads are computed beside the shapes where they depend on no
  weight (`tracing_constants_archbert`).
* The same network gives the same bytes in every process; threads do not mix.
"""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import _pop_mode, _push_mode

from .architecture_graph_archbert import ArchitectureGraph
from .dummy_inputs_archbert import module_inputs
from .dummy_inputs_config_archbert import config_inputs
from .ops_archbert import NUM_ATTRIBUTES, OUTPUT_OP
from .tracing_mirror_archbert import Mirror, is_transformers_config, traceable_config, unwrap
from .tracing_recorder_archbert import Recorder, list_output_tensors
from .tracing_values_archbert import LimitError

INCOMPLETE_SHARE = 0.001
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
        return job.run(inputs)


@contextmanager
def _preserved_state() -> Iterator[None]:
    """Fixed random state and no function modes inside; all of the caller's state as it was afterwards."""
    python, tensors = random.getstate(), torch.random.get_rng_state()
    array = np.random.get_state()  # noqa: NPY002
    dtype = torch.get_default_dtype()
    modes = [_pop_mode() for _ in range(torch._C._len_torch_function_stack())]
    checks = os.environ.get(_CHECKS)
    collecting = gc.isenabled()
    gc.disable()  # a collection walks every object of the libraries and finds nothing here: up to half of the time
    try:
        os.environ[_CHECKS] = "1"
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.random.default_generator.manual_seed(0)
        with torch.no_grad():
            yield
    finally:
        os.environ.pop(_CHECKS)
        if checks is not None:
            os.environ[_CHECKS] = checks
        if collecting:
            gc.enable()
        for mode in reversed(modes):
            _push_mode(mode)
        torch.set_default_dtype(dtype)
        random.setstate(python)
        np.random.set_state(array)  # noqa: NPY002
        torch.random.set_rng_state(tensors)


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

    def run(self, inputs: Any) -> ArchitectureGraph:
        model = self._build() if self.is_config else self._mirror()
        self.recorder.attach(model)
        self.recorder.remember()
        if inputs is not None:
            return self._attempt(model, inputs, 0)
        return self._first_success(model)

    def _build(self) -> nn.Module:
        from transformers import AutoModel

        config = traceable_config(self.target)
        try:
            with self.recorder:
                model = AutoModel.from_config(config)
        except LimitError as error:
            raise self._error(str(error), "a smaller network or a higher limit") from None
        except Exception as error:
            raise self._error(
                f"no model can be built from it: {_reason(error)}",
                "a configuration that transformers' AutoModel can build, or a module and its inputs=",
            ) from error
        self.label = type(model).__name__
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
            for guess in (0, 1):
                try:
                    return self._attempt(model, inputs, guess)
                except ArchitectureTraceError as error:
                    if isinstance(error.__cause__, LimitError):
                        raise
                    first = first or error
                if not self.recorder.num_guesses:
                    break
        if first is None:
            raise self._error(
                "its inputs cannot be made up from its layers",
                "inputs=, a tensor, a tuple of arguments or a dict of keyword arguments",
            )
        raise first

    def _candidates(self, model: nn.Module) -> Iterator[Any]:
        """Made-up inputs, the likeliest first; none where making them up fails."""
        config = getattr(model, "config", None)
        known = config is not None and is_transformers_config(config)
        try:
            yield from config_inputs(config, model) if known else module_inputs(model)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            return

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
        kept = _ancestors(recorder, producers)
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
            incomplete=_missing_towers(model, recorder, unused, total),
            library_versions=_versions(type(model)),
        )

    def _error(self, reason: str, remedy: str) -> ArchitectureTraceError:
        where = ""
        if self.recorder.failed_at is not None:
            path, kind = self.recorder.failed_at
            where = f" in module {path!r} ({kind})" if path else ""
        return ArchitectureTraceError(f"{self.label} cannot be traced{where}: {reason}. You can pass {remedy}.")


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


def _missing_towers(model: nn.Module, recorder: Recorder, unused: dict[int, int], total: int) -> tuple[str, ...]:
    """Children of which no module was ever called, where their unused parameters are a noticeable share."""
    missing = {}
    for name, child in model.named_children():
        size = sum(unused.get(id(p), 0) for p in child.parameters())
        if size and not any(id(m) in recorder.used_modules for m in child.modules()):
            missing[name] = size
    return tuple(missing) if sum(missing.values()) > INCOMPLETE_SHARE * total else ()


def _versions(kind: type) -> dict[str, str]:
    versions = {"torch": str(torch.__version__)}
    if kind.__module__.split(".")[0] == "transformers":
        import transformers

        versions["transformers"] = str(transformers.__version__)
    return versions
