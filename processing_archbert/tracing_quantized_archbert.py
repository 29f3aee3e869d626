"""Quantised layers are shown as the layers that they compute.

* A quantised network has the graph, and the number of parameters, of the network that it was made from: packed
  weights, scales and zero points are a way of storing.
* Layers are told by protocol, so no quantisation library has to be installed: `torch.ao.nn` classes by the name of
  their float twin; any other module by `in_features` and `out_features` beside a weight that is no float matrix of
  that size (bitsandbytes, GPTQ, AWQ, HQQ, quanto, FP8, ternary layers).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_AO = "torch.ao.nn"
_PACKED_NAMES = ("qweight", "packed_weight", "weight_packed", "W_q", "_packed_params", "quant_state", "weight_scale")
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_FUSED = {"LeakyReLU": nn.LeakyReLU, "Tanh": nn.Tanh, "ReLU": nn.ReLU}


def unquantized(module: nn.Module) -> nn.Module | None:
    """A float layer on meta that computes what a quantised one computes; None for a module that is not quantised."""
    if type(module).__module__.startswith("torch.nn.modules"):
        return None
    if type(module).__module__.startswith(_AO):
        return _float_twin(module)
    sizes = _linear_sizes(module)
    if sizes is None or not _is_packed(module, sizes):
        return None
    return nn.Linear(*sizes, bias=_has_bias(module), device="meta")


def _linear_sizes(module: nn.Module) -> tuple[int, int] | None:
    """Input and output width of a linear layer, however they are spelled."""
    for source, target in (("in_features", "out_features"), ("infeatures", "outfeatures")):
        sizes = (getattr(module, source, None), getattr(module, target, None))
        if all(type(size) is int and size > 0 for size in sizes):
            return sizes  # type: ignore[return-value]
    return None


def _is_packed(module: nn.Module, sizes: tuple[int, int]) -> bool:
    weight = getattr(module, "weight", None)
    if isinstance(weight, torch.Tensor):
        shaped = tuple(weight.shape) == sizes[::-1] and weight.dtype in _FLOATS
        return not shaped or hasattr(weight, "quant_state") or hasattr(weight, "SCB")
    return any(getattr(module, name, None) is not None for name in _PACKED_NAMES)


def _has_bias(module: nn.Module) -> bool:
    bias = getattr(module, "bias", None)
    if callable(bias) and not isinstance(bias, torch.Tensor):
        bias = bias()
    return isinstance(bias, torch.Tensor) or bias is True


def _float_twin(module: nn.Module) -> nn.Module | None:
    """The float layer of a `torch.ao.nn` class, with the activation that is fused into it."""
    name = type(module).__name__
    if name in ("Quantize", "DeQuantize"):
        return nn.Identity()
    if name == "QFunctional":
        return torch.ao.nn.quantized.FloatFunctional()
    if ".quantized" not in type(module).__module__:
        return None
    bases = [cls.__name__ for cls in type(module).__mro__ if cls.__module__.startswith((_AO, "torch.nn.modules"))]
    twin = next((getattr(nn, base) for base in bases if base != "Module" and hasattr(nn, base)), None)
    if twin is None:
        return None
    layer = _rebuilt(twin, module)
    fused = next((kind for ending, kind in _FUSED.items() if name.rstrip("123d").endswith(ending)), None)
    return (
        layer
        if fused is None or issubclass(twin, fused) or len(name) == len("ReLU6")
        else nn.Sequential(layer, fused())
    )


def _rebuilt(twin: type[nn.Module], module: nn.Module) -> nn.Module:
    """A layer of class `twin` with the options of a quantised one."""
    options: dict[str, Any] = {"device": "meta"}
    if issubclass(twin, nn.modules.conv._ConvNd):
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
        options |= {name: getattr(module, name) for name in names} | {"bias": _has_bias(module)}
    elif issubclass(twin, nn.Linear):
        options |= {name: getattr(module, name) for name in ("in_features", "out_features")}
        options["bias"] = _has_bias(module)
    elif issubclass(twin, (nn.Embedding, nn.EmbeddingBag)):
        options |= {name: getattr(module, name) for name in ("num_embeddings", "embedding_dim")}
    elif issubclass(twin, nn.RNNBase):
        names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
        options |= {name: getattr(module, name) for name in names}
    elif issubclass(twin, nn.RNNCellBase):
        options |= {name: getattr(module, name) for name in ("input_size", "hidden_size", "bias")}
    else:
        layer = object.__new__(twin)
        layer.__dict__.update(vars(module))
        return layer
    return twin(**options)
