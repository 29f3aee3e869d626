"""ONNX operators in our words: canonical op, and the options of a layer named as in `torch.nn`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from .ops_archbert import canonical_function_op
from .source_onnx_model_archbert import OnnxNode
from .source_onnx_sizes_archbert import UNKNOWN, Known
from .source_onnx_values_archbert import bounds

CONTRACTED = frozenset(
    "Identity Dropout Flatten Reshape Transpose Squeeze Unsqueeze Cast CastLike Expand Tile Slice Split "
    "QuantizeLinear DequantizeLinear Optional OptionalGetElement SequenceAt SequenceInsert SplitToSequence "
    "SequenceConstruct ReverseSequence Merge SliceOfLoop masked_fill BitCast SequenceErase".split()
)
"""Operators that only move, cast, mask or drop data; edges pass through them."""

MERGING = frozenset({"add", "sub", "mul", "div", "where", "cat", "stack", "maximum", "minimum"})
"""Ops that are a node only where at least two of their arguments depend on an input or a parameter."""

_NAMES: dict[str, str] = {
    "Relu": "ReLU", "LeakyRelu": "LeakyReLU", "PRelu": "PReLU", "Elu": "ELU", "Selu": "SELU", "Celu": "CELU",
    "HardSigmoid": "Hardsigmoid", "HardSwish": "Hardswish", "Gelu": "GELU", "FastGelu": "GELU", "QuickGelu": "GELU",
    "BiasGelu": "GELU", "Swish": "SiLU", "ThresholdedRelu": "Threshold", "Clip": "clamp", "LRN": "LocalResponseNorm",
    "RMSNormalization": "RMSNorm", "SimplifiedLayerNormalization": "RMSNorm", "LayerNormalization": "LayerNorm",
    "SkipLayerNormalization": "LayerNorm", "EmbedLayerNormalization": "LayerNorm",
    "SkipSimplifiedLayerNormalization": "RMSNorm", "GroupNormalization": "GroupNorm", "GroupNorm": "GroupNorm",
    "Attention": "scaled_dot_product_attention", "MultiHeadAttention": "scaled_dot_product_attention",
    "GroupQueryAttention": "scaled_dot_product_attention", "QAttention": "scaled_dot_product_attention",
    "PackedMultiHeadAttention": "scaled_dot_product_attention", "Max": "maximum", "Min": "minimum", "Sum": "add",
    "Mean": "mean", "Concat": "cat", "ConcatFromSequence": "cat", "ReduceL1": "norm", "ReduceL2": "norm",
    "LpNormalization": "normalize", "ReduceMax": "amax", "ReduceMin": "amin", "ReduceLogSumExp": "logsumexp",
    "ReduceLogSum": "logsumexp", "ReduceSumSquare": "sum", "Mod": "remainder", "CumSum": "cumsum", "TopK": "topk",
    "GatherElements": "gather", "GatherND": "getitem", "ScatterND": "setitem", "ScatterElements": "scatter",
    "Scatter": "scatter", "DepthToSpace": "PixelShuffle", "SpaceToDepth": "PixelUnshuffle", "Resize": "Upsample",
    "GridSample": "grid_sample", "AffineGrid": "affine_grid", "Trilu": "tril", "Col2Im": "Fold",
    "RoiAlign": "roi_align",
    "MaxRoiPool": "roi_pool", "NonMaxSuppression": "nms", "DFT": "fft", "STFT": "stft", "OneHot": "one_hot",
    "Compress": "masked_select", "MatMulInteger": "matmul", "QLinearMatMul": "matmul", "FusedMatMul": "matmul",
    "MatMulIntegerToFloat": "matmul", "DynamicQuantizeMatMul": "matmul", "QLinearAdd": "add", "QLinearMul": "mul",
    "QLinearConcat": "cat", "QLinearLeakyRelu": "LeakyReLU", "QLinearSigmoid": "Sigmoid", "QLinearSoftmax": "Softmax",
    "Asinh": "asinh", "Hardmax": "argmax", "DeformConv": "deform_conv2d", "QMoE": "grouped_mm", "MoE": "grouped_mm",
    "CausalConvWithState": "Conv1d", "LinearAttention": "scaled_dot_product_attention", "Not": "logical_not",
}  # fmt: skip

_SAME_NAME = frozenset(
    "Sigmoid Tanh Softplus Softsign Mish Softmax LogSoftmax LSTM GRU RNN RotaryEmbedding Upsample".split()
)
_CONVOLUTIONS = {"Conv": "Conv", "ConvTranspose": "ConvTranspose", "QLinearConv": "Conv", "ConvInteger": "Conv",
                 "FusedConv": "Conv", "NhwcConv": "Conv", "NhwcFusedConv": "Conv"}  # fmt: skip
_POOLS = {"MaxPool": "MaxPool", "AveragePool": "AvgPool", "LpPool": "LPPool", "MaxUnpool": "MaxUnpool",
          "QLinearAveragePool": "AvgPool"}  # fmt: skip
_GLOBAL_POOLS = {"GlobalAveragePool": "AdaptiveAvgPool", "GlobalMaxPool": "AdaptiveMaxPool",
                 "GlobalLpPool": "LPPool", "QLinearGlobalAveragePool": "AdaptiveAvgPool"}  # fmt: skip

WEIGHTS: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2), "ConvTranspose": (1, 2), "FusedConv": (1, 2), "NhwcConv": (1, 2), "NhwcFusedConv": (1, 2),
    "QLinearConv": (3, 8), "ConvInteger": (1,), "DeformConv": (1, 3), "Gemm": (1, 2), "FusedGemm": (1, 2),
    "QGemm": (3, 6), "MatMulNBits": (1, 5), "BatchNormalization": (1, 2), "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2), "GroupNormalization": (1, 2), "GroupNorm": (1, 2), "RMSNormalization": (1,),
    "SimplifiedLayerNormalization": (1,), "SkipLayerNormalization": (2, 3, 4),
    "SkipSimplifiedLayerNormalization": (2, 3), "EmbedLayerNormalization": (2, 3, 4, 5, 6), "PRelu": (1,),
    "LSTM": (1, 2, 3, 7), "GRU": (1, 2, 3), "RNN": (1, 2, 3), "BiasGelu": (1,), "QAttention": (1, 2),
    "MoE": (2, 3, 4, 5, 6, 7), "QMoE": (2, 3, 4, 5, 6, 7),
}  # fmt: skip
"""Operator -> positions of its weights among its inputs, the principal one first."""

QUANTISED_DATA: dict[str, tuple[int, ...]] = {
    "QLinearConv": (0,), "QLinearMatMul": (0, 3), "QGemm": (0,), "QLinearAdd": (0, 3), "QLinearMul": (0, 3),
    "MatMulNBits": (0,), "ConvInteger": (0,), "MatMulInteger": (0, 1), "DynamicQuantizeMatMul": (0, 1),
    "MatMulIntegerToFloat": (0, 1), "QuantizeLinear": (0,), "DequantizeLinear": (0,), "QLinearGlobalAveragePool": (0,),
    "QLinearAveragePool": (0,), "QLinearLeakyRelu": (0,), "QLinearSigmoid": (0,), "QLinearSoftmax": (0,),
    "DynamicQuantizeLinear": (0,),
}  # fmt: skip
"""Operator -> positions of its data among scales and zero points, which are no parameters."""

DATA_ONLY = frozenset(
    "Reshape Flatten Transpose Squeeze Unsqueeze Cast CastLike Expand Tile Slice Split Resize Upsample Pad Dropout "
    "ReverseSequence Trilu CumSum TopK ConstantOfShape SequenceAt Clip OneHot".split()
)
"""Operators of which only the first input is data."""


def _snake(name: str) -> str:
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"\W+", "_", plain).strip("_").lower()[:64] or "unknown"


def _with_dims(name: str, rank: int | None) -> str:
    return f"{name}{min(max((rank or 4) - 2, 1), 3)}d"


def canonical_op(node: OnnxNode, given: Sequence[Known], known: dict[str, Known]) -> str:
    """Canonical op of a node whose inputs are known as `given`; a plain lower-case name for one outside the table."""
    name = node.op
    rank = given[0].rank if given else None
    if name in _CONVOLUTIONS:
        weight = given[WEIGHTS[name][0]].rank if len(given) > WEIGHTS[name][0] else None
        return _with_dims(_CONVOLUTIONS[name], weight or rank)
    if name in _POOLS:
        kernel = node.attributes.get("kernel_shape")
        return _with_dims(_POOLS[name], len(kernel) + 2 if isinstance(kernel, tuple) and kernel else rank)
    if name in _GLOBAL_POOLS:
        return _with_dims(_GLOBAL_POOLS[name], rank)
    if name == "BatchNormalization":
        return _with_dims("BatchNorm", rank)
    if name == "InstanceNormalization":
        return _with_dims("InstanceNorm", rank)
    if name == "Clip":
        return {(0, 6): "ReLU6", (-1, 1): "Hardtanh"}.get(bounds(known, node), "clamp")  # type: ignore[arg-type]
    if name == "Shrink":
        return "Softshrink" if node.attributes.get("bias") else "Hardshrink"
    if name == "ReduceMean" and is_pooled(node, given):
        return _with_dims("AdaptiveAvgPool", rank)
    if name == "Pad":
        return _padding(node, rank)
    if name.startswith("Reduce") and name not in _NAMES:
        return _snake(name[6:])
    if name in _NAMES:
        return _NAMES[name]
    return name if name in _SAME_NAME else canonical_function_op(_snake(name))


def is_pooled(node: OnnxNode, given: Sequence[Known]) -> bool:
    """Whether a mean is one over space as `torch.export` spells adaptive pooling to one value: last axis first."""
    axes = node.attributes.get("axes") or (given[1].integers() if len(given) > 1 else None)
    return bool(node.attributes.get("keepdims", 1)) and axes in ((-1, -2), (-1, -2, -3))


def _padding(node: OnnxNode, rank: int | None) -> str:
    return {"wrap": _with_dims("CircularPad", rank)}.get(str(node.attributes.get("mode", "")), "pad")


def _integers(value: Any) -> tuple[int, ...]:
    return tuple(int(v) for v in value if isinstance(v, (int, float)) and math.isfinite(v)) \
        if isinstance(value, tuple) else ()  # fmt: skip


def layer_options(node: OnnxNode, op: str, given: Sequence[Known], weight: Sequence[int]) -> dict[str, Any]:
    """Options of a layer, named as in `torch.nn`; `weight` are the sizes of its principal weight."""
    attributes = node.attributes
    if op.startswith("Conv"):
        dims = max(len(weight) - 2, 1)
        return {
            "kernel_size": tuple(weight[2:]) or _integers(attributes.get("kernel_shape")),
            "stride": _integers(attributes.get("strides")) or (1,) * dims,
            "dilation": _integers(attributes.get("dilations")) or (1,) * dims,
            "groups": attributes.get("group", 1),
        }
    if op.startswith("Adaptive"):
        return {"output_size": (1,) * int(op[-2])}
    if "Pool" in op:
        kernel = _integers(attributes.get("kernel_shape")) or (1,) * (int(op[-2]) if op[-2:-1].isdigit() else 2)
        strides = _integers(attributes.get("strides")) or (1,) * len(kernel)
        dilations = _integers(attributes.get("dilations")) or (1,) * len(kernel)
        return {"kernel_size": kernel, "stride": strides, "dilation": dilations}
    if op == "GroupNorm":
        return {"num_groups": attributes.get("num_groups", attributes.get("groups"))}
    if op in ("PixelShuffle", "PixelUnshuffle"):
        return {"upscale_factor": attributes.get("blocksize")}
    if op in ("LSTM", "GRU", "RNN"):
        return {"num_layers": 1, "bidirectional": attributes.get("direction") == "bidirectional"}
    if op == "Upsample":
        return _resampling(node, given)
    if op == "topk":
        return {"k": given[1].scalar() if len(given) > 1 else attributes.get("k")}
    if op == "scaled_dot_product_attention":
        return _attention(node, given, weight)
    if op == "grouped_mm":
        return {"num_experts": weight[0] if len(weight) == 3 else 0, "k": attributes.get("k")}
    return {}


def _resampling(node: OnnxNode, given: Sequence[Known]) -> dict[str, Any]:
    scales = node.attributes.get("scales")
    position = 1 if node.op == "Upsample" else 2
    if scales is None and len(given) > position and given[position] is not UNKNOWN:
        scales = given[position].numbers
    if isinstance(scales, tuple) and len(scales) > 2 and scales[-1]:
        return {"scale_factor": scales[2:]}
    sizes = given[3].integers() if len(given) > 3 else None
    return {"size": tuple(s or 0 for s in sizes[2:])} if sizes is not None and len(sizes) > 2 else {}


def _attention(node: OnnxNode, given: Sequence[Known], weight: Sequence[int]) -> dict[str, Any]:
    attributes = node.attributes
    heads = attributes.get("num_heads") or attributes.get("q_num_heads")
    kv_heads = attributes.get("kv_num_heads") or attributes.get("num_kv_heads")
    sizes, keys = (given[i].sizes if i < len(given) else None for i in (0, 1))
    size = None
    if heads is None and sizes is not None and len(sizes) == 4:
        heads, size = sizes[1], sizes[3]
        kv_heads = keys[1] if keys is not None and len(keys) == 4 else None
    elif sizes is not None and isinstance(heads, int) and heads > 0:
        width = weight[1] // 3 if len(weight) == 2 else sizes[-1]
        size = width // heads if width else None
    causal = attributes.get("is_causal") or attributes.get("unidirectional") or node.op == "GroupQueryAttention"
    window = attributes.get("local_window_size")
    return {"num_heads": heads, "num_kv_heads": kv_heads or heads, "head_dim": size, "is_causal": bool(causal),
            "window": window if isinstance(window, int) and window > 0 else None}  # fmt: skip
