"""The state of a process around a trace: fixed inside, and as the caller left it afterwards.

Random generators, default dtype and device, function modes, autocast and the garbage collector are covered.
`ModuleState` does the same for what a network keeps in its modules.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import _pop_mode, _push_mode
from torch.utils import _device

_CHECKS = "TRANSFORMERS_DISABLE_TORCH_CHECK"  # its checks compare values, which are unknown here


class ModuleState:
    """The attributes of the modules of a network, and the contents of their own lists, dicts and sets, to be put back.

    A forward may keep results in them (a cache of position biases), which another run then reads instead of computing.

    Args:
        model: the network.
    """

    def __init__(self, model: nn.Module) -> None:
        self._kept = [
            (vars(module), {k: (v, _contents(v)) for k, v in vars(module).items()}) for module in model.modules()
        ]

    def restore(self) -> None:
        """Puts everything back as it was."""
        for attributes, kept in self._kept:
            attributes.clear()
            for name, (value, contents) in kept.items():
                attributes[name] = value
                if contents is None:
                    continue
                value.clear()
                value.extend(contents) if isinstance(value, list) else value.update(contents)


def _contents(value: Any) -> Any:
    """A copy of a plain list, dict or set; None for anything else."""
    return value.copy() if type(value) in (list, dict, OrderedDict, set) else None


@contextmanager
def preserved_state() -> Iterator[None]:
    """Fixed random state and no function modes inside; all of the caller's state as it was afterwards."""
    python, tensors = random.getstate(), torch.random.get_rng_state()
    array = np.random.get_state()  # noqa: NPY002
    dtype = torch.get_default_dtype()
    device = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None), _device.CURRENT_DEVICE
    modes = [_pop_mode() for _ in range(torch._C._len_torch_function_stack())]
    checks = os.environ.get(_CHECKS)
    validating = bool(torch.distributions.Distribution._validate_args)
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
        torch.distributions.Distribution.set_default_validate_args(validating)
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
    """Code that asks for autocast on its tensors' device runs without it; torch knows none on meta and raises.

    Only this thread sees the change.
    """
    is_enabled, begin = torch.is_autocast_enabled, torch.autocast.__init__
    thread = threading.get_ident()

    def is_enabled_here(*args: Any, **kwargs: Any) -> bool:
        here = threading.get_ident() == thread
        return not (here and "meta" in (*args, *kwargs.values())) and is_enabled(*args, **kwargs)

    def begin_here(self: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
        if device_type == "meta" and threading.get_ident() == thread:
            begin(self, "cpu", enabled=False)
        else:
            begin(self, device_type, *args, **kwargs)

    torch.is_autocast_enabled, torch.autocast.__init__ = is_enabled_here, begin_here  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.is_autocast_enabled, torch.autocast.__init__ = is_enabled, begin  # type: ignore[method-assign]
