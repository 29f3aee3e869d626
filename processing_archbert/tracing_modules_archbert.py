"""What a module or a function call says of itself: canonical op, the four shape values, the attribute row.

One place for the table of shapes (out, in, kernel height, kernel width; 0 = none):

| op | shape |
|---|---|
| Linear, experts | (out, in, 0, 0) |
| Conv1d, Conv2d, Conv3d | (out, in per group, kernel height, kernel width); 1 for the height of Conv1d |
| Embedding | (number, dimension, 0, 0) |
| normalization, PReLU | (dimension, 0, 0, 0) |
| LSTM, GRU, RNN | the first layer's input weight |
| MultiheadAttention | the input projection |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from .ops_archbert import ATTRIBUTE_INDEX, NUM_ATTRIBUTES, canonical_module_op

Shape = tuple[int, int, int, int]
NO_SHAPE: Shape = (0, 0, 0, 0)

_CONTAINERS = (
    nn.Sequential,
    nn.ModuleList,
    nn.ModuleDict,
    nn.ParameterList,
    nn.ParameterDict,
    nn.Transformer,
    nn.TransformerEncoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoder,
    nn.TransformerDecoderLayer,
)
_LEAVES_WITH_CHILDREN = (nn.MultiheadAttention, nn.RNNBase)
_CONTRACTED = (
    nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)  # fmt: skip
_TRANSPOSED = "ConvTranspose"
_WEIGHT_NAMES = ("weight", "in_proj_weight", "weight_ih_l0", "weight_ih", "gamma", "scale", "g")
_INT32_MAX = 2**31 - 1


def leaf_op(module: nn.Module) -> str | None:
    """Canonical op of a module that is one node; None for one that is expanded into what it calls."""
    cls = type(module)
    if parametrize.is_parametrized(module):
        cls = next(base for base in cls.__mro__[1:] if base.__module__ != parametrize.__name__)
    if cls.__module__.startswith("torch.nn.modules"):
        if cls is nn.Module or isinstance(module, _CONTAINERS + _CONTRACTED):
            return None
        if module._modules and not (isinstance(module, _LEAVES_WITH_CHILDREN) or parametrize.is_parametrized(module)):
            return None
        return _torch_name(cls)
    base = next((c for c in cls.__mro__ if c.__module__.startswith("torch.nn.modules") and c is not nn.Module), None)
    if base is not None and not isinstance(module, _CONTAINERS + _CONTRACTED):
        if base.__name__ in cls.__name__ and isinstance(
            module, (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase)
        ):
            return base.__name__
        if base is nn.Linear and cls.__name__.endswith("Linear") and not module._modules:
            return base.__name__
        inherited = getattr(cls, "forward", None) is getattr(base, "forward", None)
        if inherited and (not module._modules or isinstance(module, _LEAVES_WITH_CHILDREN)):
            return _torch_name(base)
    if base is None and any(True for child in module.children() for _ in child.parameters()):
        return None
    op = canonical_module_op(cls.__name__)
    if op == "Linear" and base is None and _weight(module, "weight") is None:
        return None
    return op


def _torch_name(cls: type) -> str:
    name = cls.__name__
    if name.startswith("Lazy"):
        name = name[4:]
    if name.startswith(("ZeroPad", "ConstantPad")):
        return "pad"
    return {"NonDynamicallyQuantizableLinear": "Linear", "Softmax2d": "Softmax", "SyncBatchNorm": "BatchNorm2d",
            "UpsamplingNearest2d": "Upsample", "UpsamplingBilinear2d": "Upsample"}.get(name, name)  # fmt: skip


def is_torch_leaf(module: nn.Module) -> bool:
    """Whether a leaf is torch's own code, so that nothing inside it has to be watched."""
    return type(module).__module__.startswith("torch.nn.modules")


def _weight(module: nn.Module, name: str) -> torch.Tensor | None:
    """A weight of the module, also one that is computed from other parameters."""
    value = getattr(module, name, None)
    return value if isinstance(value, torch.Tensor) else None


def weight_shape(op: str, sizes: Sequence[int]) -> Shape:
    """Shape values of a weight of these sizes, used by `op`."""
    sizes = [min(int(s), _INT32_MAX) for s in sizes]
    if op.startswith(_TRANSPOSED) and len(sizes) > 2:
        sizes[0], sizes[1] = sizes[1], sizes[0]
    if op.startswith("Conv") and len(sizes) >= 3:
        kernel = [1, *sizes[2:]] if len(sizes) == 3 else sizes[-2:]
        return (sizes[0], sizes[1], kernel[0], kernel[1])
    if op == "grouped_mm" and len(sizes) == 3:
        return (sizes[2], sizes[1], 0, 0)
    while len(sizes) > 1 and sizes[0] == 1:
        sizes = sizes[1:]
    if len(sizes) == 3:
        sizes = sizes[1:]
    return tuple((*sizes[:4], 0, 0, 0, 0)[:4])  # type: ignore[return-value]


def module_shape(module: nn.Module, op: str) -> Shape:
    """Shape values of a leaf module: those of its principal weight."""
    if type(module).__name__ == "Conv1D" and (weight := _weight(module, "weight")) is not None:
        return (int(weight.shape[1]), int(weight.shape[0]), 0, 0)
    for name in _WEIGHT_NAMES:
        weight = _weight(module, name)
        if weight is not None:
            return weight_shape(op, weight.shape)
    if op == "MultiheadAttention" and (weight := _weight(module, "q_proj_weight")) is not None:
        return weight_shape(op, weight.shape)
    first = next((p for p in module.parameters()), None)
    return weight_shape(op, first.shape) if first is not None else NO_SHAPE


def _tuple(value: Any, dims: int) -> tuple[int, ...]:
    if isinstance(value, (int, float)):
        return (int(value),) * dims
    if isinstance(value, (tuple, list)):
        return tuple(int(v) if isinstance(v, (int, float)) else 0 for v in value)
    return (0,) * dims


class AttributeRow:
    """One row of the attribute schema while it is filled; values are clipped to what int32 holds."""

    def __init__(self) -> None:
        self.values = [0] * NUM_ATTRIBUTES

    def set(self, name: str, value: Any) -> None:
        """Sets one attribute; None, negative and non-numeric values mean none."""
        if isinstance(value, (bool, int, float)) and value == value and value > 0:
            self.values[ATTRIBUTE_INDEX[name]] = min(round(value), _INT32_MAX)

    def window(self, name: str, value: Any, dims: int) -> None:
        """Sets the columns of a kernel, stride or dilation of `dims` spatial dimensions."""
        sizes = _tuple(value, dims)
        if dims == 1:
            sizes = (1, *sizes[:1])
        elif dims == 3:
            if name == "kernel":
                self.set("kernel_d", sizes[0])
            sizes = sizes[-2:]
        if len(sizes) == 1:
            sizes = sizes * 2
        self.set(f"{name}_h", sizes[0])
        self.set(f"{name}_w", sizes[1])

    def output(self, value: Any, dims: int) -> None:
        """Sets the output size of adaptive pooling or resampling."""
        sizes = _tuple(value, dims)
        self.set("output_h", 1 if dims == 1 else sizes[-2] if len(sizes) > 1 else sizes[0])
        self.set("output_w", sizes[-1])


def _dims(op: str) -> int:
    return int(op[-2]) if op[-1:] == "d" and op[-2:-1] in "123" else 2


def layer_attributes(op: str, options: Mapping[str, Any]) -> list[int]:
    """Attribute row of a layer from its options, named as in `torch.nn`."""
    row = AttributeRow()
    dims = _dims(op)
    if op.startswith("Conv") or "Pool" in op or op in ("Fold", "Unfold"):
        kernel = options.get("kernel_size")
        if kernel is not None:
            row.window("kernel", kernel, dims)
            stride = options.get("stride")
            row.window("stride", kernel if stride in (None, [], ()) else stride, dims)
        if not op.startswith(("AvgPool", "LPPool", "Adaptive", "MaxUnpool", "Fractional")):
            row.window("dilation", options.get("dilation", 1), dims)
        if op.startswith("Conv"):
            row.set("groups", options.get("groups", 1))
        if "output_size" in options:
            row.output(options["output_size"], dims)
    elif op == "GroupNorm":
        row.set("groups", options.get("num_groups"))
    elif op in ("Upsample", "PixelShuffle", "PixelUnshuffle"):
        factor = options.get("scale_factor") or options.get("upscale_factor") or options.get("downscale_factor")
        row.set("scale", _tuple(factor, 1)[0] if isinstance(factor, (tuple, list)) else factor)
        if options.get("size") is not None:
            row.output(options["size"], 2)
    elif op == "ChannelShuffle":
        row.set("groups", options.get("groups"))
    elif op in ("LSTM", "GRU", "RNN"):
        row.set("num_layers", options.get("num_layers"))
        row.set("bidirectional", options.get("bidirectional"))
    elif op == "MultiheadAttention":
        row.set("num_heads", options.get("num_heads"))
        row.set("num_kv_heads", options.get("num_heads"))
        heads = options.get("num_heads") or 1
        row.set("head_dim", options.get("head_dim") or options.get("embed_dim_to_check", 0) // heads)
        row.set("causal", options.get("is_causal"))
    return row.values


def module_attributes(module: nn.Module, op: str, kwargs: Mapping[str, Any]) -> list[int]:
    """Attribute row of a leaf module; `kwargs` are those of the call (for `is_causal`)."""
    options = vars(module)
    if op == "MultiheadAttention":
        options = options | {"is_causal": kwargs.get("is_causal", False)}
    return layer_attributes(op, options)


_POOL = ("kernel_size", "stride", "padding")
_SIGNATURES: dict[str, tuple[str, ...]] = {
    "Conv": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "ConvTranspose": ("weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
    "MaxPool": (*_POOL, "dilation", "ceil_mode"),
    "AvgPool": _POOL,
    "AdaptiveAvgPool": ("output_size",),
    "AdaptiveMaxPool": ("output_size",),
    "LPPool": ("norm_type", "kernel_size", "stride"),
    "FractionalMaxPool": ("kernel_size", "output_size"),
    "MaxUnpool": ("indices", *_POOL),
    "GroupNorm": ("num_groups", "weight", "bias"),
    "Upsample": ("size", "scale_factor"),
    "PixelShuffle": ("upscale_factor",),
    "PixelUnshuffle": ("downscale_factor",),
    "ChannelShuffle": ("groups",),
    "Unfold": ("kernel_size", "dilation", "padding", "stride"),
    "Fold": ("output_size", "kernel_size", "dilation", "padding", "stride"),
    "Linear": ("weight", "bias"),
    "Bilinear": ("input2", "weight", "bias"),
    "Embedding": ("weight",),
    "EmbeddingBag": ("weight",),
    "LayerNorm": ("normalized_shape", "weight", "bias"),
    "RMSNorm": ("normalized_shape", "weight"),
    "BatchNorm": ("running_mean", "running_var", "weight", "bias"),
    "PReLU": ("weight",),
    "topk": ("k",),
    "grouped_mm": ("mat2", "offs"),
    "MultiheadAttention": ("key", "value", "embed_dim_to_check", "num_heads", "in_proj_weight", "in_proj_bias"),
}


def call_options(op: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a function call by name, after its first; the names of `torch.nn.functional`."""
    base = op[:-2] if op[-1:] == "d" and op[-2:-1] in "123" else op
    options = dict(zip(_SIGNATURES.get(base, ()), args[1:], strict=False))
    options.update(kwargs)
    if base in ("Conv", "ConvTranspose") and isinstance(options.get("weight"), torch.Tensor):
        options["kernel_size"] = tuple(options["weight"].shape[2:])
        options.setdefault("stride", 1)
    return options


def function_shape(op: str, options: Mapping[str, Any], parameters: Sequence[torch.Tensor]) -> Shape:
    """Shape values of a function call: its weight argument's, else those of the first parameter that it reads."""
    weight = options.get({"grouped_mm": "mat2", "MultiheadAttention": "in_proj_weight"}.get(op, "weight"))
    if isinstance(weight, torch.Tensor):
        return weight_shape(op, weight.shape)
    if parameters:
        return weight_shape(op, parameters[0].shape)
    return NO_SHAPE


def enclosing_option(modules: Sequence[nn.Module], names: Sequence[str]) -> Any:
    """The first attribute of these names among the innermost enclosing modules."""
    for module in reversed(modules[-3:]):
        for name in names:
            value = vars(module).get(name)
            if isinstance(value, (bool, int, float)) and value is not None:
                return value
    return None


def attention_attributes(args: Sequence[Any], kwargs: Mapping[str, Any], modules: Sequence[nn.Module]) -> list[int]:
    """Attribute row of a `scaled_dot_product_attention` call inside `modules` (outermost first)."""
    named = dict(zip(("query", "key", "value", "attn_mask", "dropout_p", "is_causal"), args, strict=False))
    named.update(kwargs)
    query, key = named["query"], named["key"]
    heads = int(query.shape[-3]) if query.dim() > 3 else 1
    kv_heads = int(key.shape[-3]) if key.dim() > 3 else 1
    return attention_row(heads, kv_heads, int(query.shape[-1]), bool(named.get("is_causal")), modules)


HEAD_OPTIONS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads", "nhead")
"""What modules call their number of heads."""


def mixing_attributes(weights: torch.Tensor, values: torch.Tensor, modules: Sequence[nn.Module]) -> list[int] | None:
    """Attribute row of a product of attention weights and values inside `modules`, as of the attention that it ends.

    Args:
        weights: (..., heads, queries, keys), or (batch * heads, queries, keys) where a module says how many heads.
        values: (..., heads, keys, head size), or three-dimensional as well.
        modules: enclosing modules, outermost first.

    Returns:
        None for a product of other shapes, which is no attention of several heads.
    """
    if weights.dim() > 3:
        kv_heads = int(values.shape[-3]) if values.dim() > 3 else 1
        return attention_row(int(weights.shape[-3]), kv_heads, int(values.shape[-1]), False, modules)
    heads = enclosing_option(modules, HEAD_OPTIONS)
    if weights.dim() != 3 or not isinstance(heads, int) or heads < 1 or weights.shape[0] % heads:
        return None
    return attention_row(heads, heads, int(values.shape[-1]), False, modules)


def attention_row(heads: int, kv_heads: int, size: int, causal: bool, modules: Sequence[nn.Module]) -> list[int]:
    """Attribute row of attention with so many heads inside `modules`, which say whether keys are shared by groups of
    heads, whether it is causal, and how wide its window is.
    """
    groups = enclosing_option(modules, ("num_key_value_groups",)) or 1
    if kv_heads == heads and isinstance(groups, int) and groups > 1 and heads % groups == 0:
        kv_heads = heads // groups
    row = AttributeRow()
    row.set("num_heads", heads)
    row.set("num_kv_heads", kv_heads)
    row.set("head_dim", size)
    row.set("causal", causal or enclosing_option(modules, ("is_causal",)) is True)
    row.set("window", attention_window(modules))
    return row.values


def attention_window(modules: Sequence[nn.Module]) -> Any:
    """Width of the sliding window of the innermost module that says one, itself or in the configuration it holds."""
    for module in reversed(modules[-3:]):
        if "sliding_window" in vars(module):
            return vars(module)["sliding_window"]
        config = vars(module).get("config")
        if config is None:
            continue
        if getattr(config, "layer_types", None) or getattr(config, "use_sliding_window", True) is False:
            return None
        return getattr(config, "sliding_window", None)
    return None


def function_attributes(
    op: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any], modules: Sequence[nn.Module]
) -> list[int]:
    """Attribute row of a function call inside `modules` (outermost first)."""
    if op == "scaled_dot_product_attention":
        return attention_attributes(args, kwargs, modules)
    if op in ("grouped_mm", "topk"):
        row = AttributeRow()
        if op == "topk":
            row.set("top_k", options.get("k"))
        else:
            weight = options.get("mat2")
            row.set("num_experts", int(weight.shape[0]) if isinstance(weight, torch.Tensor) else 0)
            row.set("top_k", enclosing_option(modules, ("top_k", "num_experts_per_tok", "k")))
        return row.values
    return layer_attributes(op, options)
