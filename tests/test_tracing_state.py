"""A trace that fails, raises or passes a limit leaves everything as it was: modes, defaults, random state, module."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from transformers import BertConfig

from processing_archbert.tracing_archbert import ArchitectureTraceError, trace


class Fails(nn.Module):
    """A network whose forward does harm, then does not return a result."""

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__()
        self.act = act
        self.linear = nn.Linear(4, 4)
        self.dropout = nn.Dropout()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.dropout(self.linear(x)))
        for _ in range(3):
            self.act()
        return self.linear(x) + torch.rand(4)


class Stop(BaseException):
    """An error that no `except Exception` sees, as Ctrl-C is."""


class Mode(TorchFunctionMode):
    """A mode of the user."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def raising(error: BaseException) -> Callable[[], Any]:
    """A function that raises."""

    def act() -> None:
        raise error

    return act


def change_everything() -> None:
    """What a careless forward might do."""
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(True)
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.set_default_device("meta")
    os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"] = "changed"
    raise ValueError("after the changes")


def grow() -> None:
    """Nodes without end."""
    x = torch.ones(4)
    while True:
        x = torch.nn.functional.linear(x, torch.nn.Parameter(torch.ones(4, 4)))


def wait() -> None:
    """Operations without end."""
    while True:
        torch.ones(4).exp()


def state() -> dict[str, Any]:
    """Everything global that a trace could change."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    return {
        "function modes": torch._C._len_torch_function_stack(),
        "dispatch modes": len(_get_current_dispatch_mode_stack()),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch random": torch.random.get_rng_state().tolist(),
        "numpy random": (numpy_state[0], numpy_state[1].tolist(), *numpy_state[2:]),
        "random": random.getstate(),
        "threads": threading.active_count(),
        "collecting": gc.isenabled(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "module hooks": [
            len(getattr(torch.nn.modules.module, f"_global_{kind}_hooks"))
            for kind in ("forward", "forward_pre", "backward", "module_registration", "parameter_registration")
        ],
        "module call": nn.Module.__call__,
        "forward": nn.Linear.forward,
        "autocast functions": (torch.is_autocast_enabled, torch.autocast.__init__),
        "signals": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)],
        "logging": logging.root.manager.disable,
        "warnings": len(warnings.filters),
    }


def of_module(module: nn.Module) -> list[Any]:
    """What of a module a trace could change."""
    return [
        (
            name, child.training, dict(vars(child)).keys(), len(child._forward_hooks), len(child._forward_pre_hooks),
            [(n, id(p), p.device, p._version, p.requires_grad, p.grad) for n, p in child.named_parameters()],
            [(n, id(b), b._version, b.tolist()) for n, b in child.named_buffers()],
        )
        for name, child in module.named_modules()
    ]  # fmt: skip


CASES: dict[str, tuple[Callable[[], Any], dict[str, Any], type[BaseException]]] = {
    "an error": (raising(ValueError("no")), {}, ArchitectureTraceError),
    "no memory": (raising(MemoryError()), {}, ArchitectureTraceError),
    "an interrupt": (raising(Stop()), {}, Stop),
    "changed settings": (change_everything, {}, ArchitectureTraceError),
    "too many nodes": (grow, {"max_nodes": 50}, ArchitectureTraceError),
    "too long": (wait, {"max_seconds": 0.05}, ArchitectureTraceError),
    "success": (lambda: None, {}, AssertionError),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("given", [True, False], ids=["inputs", "made up"])
def test_nothing_is_left_behind(name: str, given: bool) -> None:
    act, limits, expected = CASES[name]
    module = Fails(act).train()
    module.linear.register_forward_hook(lambda *_: None)
    before, of_before = state(), of_module(module)
    try:
        trace(module, torch.zeros(2, 4) if given else None, **limits)
    except expected:
        pass
    else:
        assert name == "success"
    after = state()
    assert {key for key in before if before[key] != after[key]} == set()
    assert of_module(module) == of_before


def test_modes_and_defaults_of_the_user_are_there_again() -> None:
    with Mode() as mode, torch.device("meta"), torch.inference_mode():
        torch.set_default_dtype(torch.float64)
        try:
            before = state()
            for act in (raising(ValueError()), change_everything):
                with pytest.raises(ArchitectureTraceError):
                    trace(Fails(act), torch.zeros(2, 4))
            assert state() == before
        finally:
            torch.set_default_dtype(torch.float32)
        assert any(m is mode for m in torch.overrides._get_current_function_mode_stack())


def test_a_failed_trace_of_a_config_leaves_the_config() -> None:
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=3, vocab_size=8)
    before, data = state(), config.to_dict()
    with pytest.raises(ArchitectureTraceError):
        trace(config)
    with pytest.raises(ArchitectureTraceError, match="max_nodes=3"):
        trace(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=8), max_nodes=3)
    assert state() == before and config.to_dict() == data


def test_after_a_failure_other_threads_can_trace_and_graphs_are_the_same() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.ReLU())
    expected = trace(network)
    for act, limits, error in CASES.values():
        if error is not AssertionError:
            with pytest.raises(error):
                trace(Fails(act), torch.zeros(2, 4), **limits)
    graphs: list[Any] = []
    thread = threading.Thread(target=lambda: graphs.append(trace(network)))
    thread.start()
    thread.join(60)
    assert graphs == [expected] and trace(network) == expected


def test_another_thread_sees_no_change_of_autocast_during_a_trace() -> None:
    seen: list[Any] = []

    def elsewhere() -> None:
        for act in (lambda: torch.is_autocast_enabled("meta"), lambda: torch.autocast("meta")):
            try:
                seen.append(act())
            except RuntimeError as error:
                seen.append(type(error))

    def here() -> None:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        with torch.autocast("meta"):
            assert not torch.is_autocast_enabled("meta")

    elsewhere()
    outside, seen[:] = list(seen), []
    trace(Fails(here), torch.zeros(2, 4))
    assert RuntimeError in outside and seen == outside * 3
