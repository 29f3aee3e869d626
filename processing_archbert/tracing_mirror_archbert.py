"""Stand-ins: a copy of a network's structure whose tensors are on `meta`, so that running it computes only shapes.

* No parameter is copied or allocated; shared modules and tied weights stay shared.
* The user's module is only read: its mode, hooks, buffers and configuration stay as they are.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .tracing_quantized_archbert import unquantized

_HOOK_DICTS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_HOOK_FLAGS = (
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
)
_PLACEHOLDERS = ("image_token_id", "video_token_id", "audio_token_id")  # a tokenizer sets those that are none
_ATOMS = (type(None), bool, int, float, complex, str, bytes, type, torch.dtype, torch.device, torch.Size)


def is_transformers_config(value: Any) -> bool:
    """Whether `value` is a transformers configuration, by its classes' names (transformers is not imported)."""
    return any(base.__name__ in ("PretrainedConfig", "PreTrainedConfig") for base in type(value).__mro__)


def set_config_option(config: Any, name: str, value: Any) -> None:
    """Sets an existing option in a transformers config and in every config inside it."""
    if name in vars(config) or hasattr(config, name):
        with contextlib.suppress(AttributeError, TypeError, ValueError):
            setattr(config, name, value)
    for child in list(vars(config).values()):
        for item in child if isinstance(child, (list, tuple)) else (child,):
            if is_transformers_config(item) and item is not config:
                set_config_option(item, name, value)


def traceable_config(config: Any) -> Any:
    """A copy of a transformers config for one forward pass without cache and without compiled attention."""
    config = copy.deepcopy(config)
    for option in ("use_cache", "use_mems", "use_mems_eval", "use_mems_train"):
        set_config_option(config, option, False)
    if getattr(config, "architectures", None) is None:
        config.architectures = []
    for number, option in enumerate(_PLACEHOLDERS, 1):
        if getattr(config, option, 0) is None:
            setattr(config, option, number)
    implementation = getattr(config, "_attn_implementation", None)
    if isinstance(implementation, str) and implementation not in ("eager", "sdpa"):
        config._attn_implementation = "sdpa"
    return config


def unwrap(module: nn.Module) -> nn.Module:
    """The network inside wrappers that compute nothing of their own (data parallelism, compilation, adapters).

    Adapters that a wrapper put into the network's layers stay there.
    """
    while True:
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        elif "_orig_mod" in getattr(module, "_modules", {}):
            module = module._modules["_orig_mod"]  # type: ignore[assignment]
        elif any(base.__name__ == "BaseTuner" for base in type(getattr(module, "base_model", None)).__mro__):
            module = module.base_model.model  # type: ignore[union-attr, assignment]
        else:
            return module


class Mirror:
    """Copies modules with every tensor replaced by what `stand_in(tensor)` returns; one copy per object.

    Containers, bound methods and `functools.partial` are followed; any other value is shared by reference.
    """

    def __init__(self, stand_in: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._stand_in = stand_in
        self._memo: dict[int, Any] = {}
        self._kept: list[Any] = []

    def copy(self, value: Any) -> Any:
        """The stand-in of a module, a tensor or anything that holds them."""
        if isinstance(value, _ATOMS):
            return value
        if id(value) in self._memo:
            return self._memo[id(value)]
        self._kept.append(value)
        if isinstance(value, torch.Tensor):
            return self._remember(value, self._stand_in(value))
        if isinstance(value, nn.Module):
            return self._copy_module(value)
        return self._copy_other(value)

    def _remember(self, value: Any, result: Any) -> Any:
        self._memo[id(value)] = result
        return result

    def _copy_module(self, module: nn.Module) -> nn.Module:
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError("it holds a compiled TorchScript module, which shows no calls")
        if (plain := unquantized(module)) is not None:
            return self._remember(module, self.copy(plain))
        result = self._remember(module, object.__new__(type(module)))
        for key, value in vars(module).items():
            if key in _HOOK_DICTS:
                result.__dict__[key] = OrderedDict((k, v) for k, v in value.items() if _is_weight_hook(v))
            elif key in _HOOK_FLAGS:
                result.__dict__[key] = OrderedDict()
            else:
                result.__dict__[key] = self.copy(value)
        if "_old_forward" in vars(module):
            result.__dict__["forward"] = result.__dict__.pop("_old_forward")
        result.__dict__["training"] = False
        return result

    def _copy_other(self, value: Any) -> Any:
        kind = type(value)
        if kind in (dict, OrderedDict):
            result = self._remember(value, kind())
            result.update((k, self.copy(v)) for k, v in value.items())
            return result
        if kind is list:
            result = self._remember(value, [])
            result.extend(self.copy(v) for v in value)
            return result
        if isinstance(value, tuple):
            items = [self.copy(v) for v in value]
            return self._remember(value, kind(*items) if hasattr(value, "_fields") else kind(items))
        if isinstance(value, types.MethodType):
            return types.MethodType(value.__func__, self.copy(value.__self__))
        if kind is functools.partial:
            return functools.partial(self.copy(value.func), *self.copy(value.args), **self.copy(value.keywords))
        if is_transformers_config(value):
            return self._remember(value, traceable_config(value))
        if _holds_tensors(value):
            result = self._remember(value, object.__new__(kind))
            result.__dict__.update((k, self.copy(v)) for k, v in vars(value).items())
            return result
        return self._remember(value, value)


def _is_weight_hook(hook: Any) -> bool:
    """Whether a hook is one of torch's own that compute a weight (weight and spectral normalization)."""
    return str(getattr(type(hook), "__module__", "")).startswith("torch.nn.utils")


def _holds_tensors(value: Any) -> bool:
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.ModuleType)):
        return False
    members = getattr(value, "__dict__", None)
    if not isinstance(members, dict) or isinstance(value, (dict, list, set)):
        return False
    for member in members.values():
        items = member.values() if isinstance(member, dict) else member if isinstance(member, (list, tuple)) else ()
        if any(isinstance(item, (torch.Tensor, nn.Module)) for item in (member, *items)):
            return True
    return False
