"""Canonical op types and the attribute schema: the one table of each.

* An op type says what a node computes, never which model or library it came from: `torch.nn` leaves keep their class
  name, the many spellings of a well-known composite share one name, and a function that computes what a `torch.nn`
  module computes shares that module's name.
* A node carries a fixed row of integer attributes beside the four shape values of the paper (section 3); 0 = none.

Both tables are versioned by `EXTRACTION_VERSION`: a change of either one changes what every graph, dataset, checkpoint
and index means.
"""

from __future__ import annotations

import re
from typing import NamedTuple

EXTRACTION_VERSION = 2

ATTRIBUTES: tuple[str, ...] = (
    "kernel_d",
    "kernel_h",
    "kernel_w",
    "stride_h",
    "stride_w",
    "dilation_h",
    "dilation_w",
    "groups",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "causal",
    "window",
    "num_experts",
    "top_k",
    "output_h",
    "output_w",
    "scale",
    "bidirectional",
    "num_layers",
)
ATTRIBUTE_INDEX: dict[str, int] = {name: column for column, name in enumerate(ATTRIBUTES)}
NUM_ATTRIBUTES = len(ATTRIBUTES)

INPUT_OP = "input"
OUTPUT_OP = "output"


class OpSpec(NamedTuple):
    """One row of the op table: the canonical name and the category that questions and facts speak of."""

    name: str
    category: str


def _dims(name: str, dims: str = "123") -> str:
    return " ".join(f"{name}{d}d" for d in dims)


_CATEGORIES: dict[str, str] = {
    "input": INPUT_OP,
    "output": OUTPUT_OP,
    "convolution": f"{_dims('Conv')} {_dims('ConvTranspose')}",
    "pooling": " ".join(
        [
            _dims("MaxPool"),
            _dims("AvgPool"),
            _dims("AdaptiveAvgPool"),
            _dims("AdaptiveMaxPool"),
            _dims("LPPool"),
            _dims("FractionalMaxPool", "23"),
            _dims("MaxUnpool"),
        ]
    ),
    "normalization": f"{_dims('BatchNorm')} {_dims('InstanceNorm')} LayerNorm GroupNorm RMSNorm LocalResponseNorm",
    "activation": "ReLU ReLU6 GELU SiLU Sigmoid Tanh ELU CELU SELU LeakyReLU PReLU RReLU Mish Hardswish Hardsigmoid "
    "Hardtanh Hardshrink Softshrink Tanhshrink Softplus Softsign LogSigmoid GLU Threshold ReLUSquared Laplace XIELU",
    "softmax": "Softmax LogSoftmax Softmin",
    "linear": "Linear Bilinear",
    "embedding": "Embedding EmbeddingBag",
    "attention": "MultiheadAttention scaled_dot_product_attention",
    "recurrent": "LSTM GRU RNN LSTMCell GRUCell RNNCell",
    "positional": "RotaryEmbedding",
    "upsampling": "Upsample PixelShuffle PixelUnshuffle",
    "padding": f"pad {_dims('ReflectionPad')} {_dims('ReplicationPad')} {_dims('CircularPad')} pad_sequence",
    "similarity": "CosineSimilarity PairwiseDistance",
    "rearrangement": "ChannelShuffle Fold Unfold",
    "arithmetic": "add sub mul div matmul einsum outer pow neg reciprocal addcmul addcdiv lerp remainder floor_divide "
    "dot cross kron cdist tensordot vecdot",
    "elementwise": "abs exp expm1 log log1p log2 sqrt rsqrt square sin cos tan asin acos atan atan2 sinh cosh erf "
    "erfinv sign round floor ceil trunc frac maximum minimum clamp logical_and logical_or logical_not "
    "eq ne lt le gt ge isnan bitwise_and bitwise_or angle polar complex real imag exp2 log10 logaddexp hypot sinc "
    "erfc asinh acosh atanh lgamma digamma heaviside copysign logical_xor bitwise_xor bitwise_left_shift "
    "bitwise_right_shift isinf isfinite isin",
    "reduction": "mean sum prod max min amax amin argmax argmin all any var std norm logsumexp cumsum cumprod cummax "
    "logcumsumexp median topk sort argsort unique bincount histc count_nonzero nanmean mode kthvalue quantile cummin",
    "indexing": "cat stack where getitem setitem gather scatter scatter_add scatter_reduce index_select index_add "
    "index_copy index_put index_fill masked_scatter take_along_dim one_hot repeat_interleave searchsorted nonzero "
    "tril triu roll flip as_strided diagonal diag_embed meshgrid bucketize diag rot90 block_diag take put "
    "unique_consecutive masked_select argwhere",
    "signal": "fft ifft rfft irfft fft2 ifft2 rfft2 irfft2 fftn stft istft grid_sample affine_grid "
    "normalize nms roi_align hfft ihfft ifftn rfftn irfftn fftshift ifftshift roi_pool ps_roi_align ps_roi_pool "
    "deform_conv2d",
    "linalg": "inv det svd qr eigh solve cholesky solve_triangular lu pinv matrix_exp matrix_power slogdet trace "
    "cholesky_solve",
    "loss": "MSELoss L1Loss SmoothL1Loss HuberLoss CrossEntropyLoss NLLLoss BCELoss BCEWithLogitsLoss KLDivLoss "
    "CosineEmbeddingLoss TripletMarginLoss MarginRankingLoss CTCLoss",
    "experts": "grouped_mm",
    "scan": "selective_scan associative_scan",
    "parameter": "parameter",
}

OPS: dict[str, OpSpec] = {
    name: OpSpec(name, category) for category, names in _CATEGORIES.items() for name in names.split()
}
"""Canonical name -> `OpSpec`, in vocabulary order. An op outside this table is legal in a graph; its category is
`"other"` and the model reads the word pieces of its name."""

LAYER_CATEGORIES: tuple[str, ...] = (
    "convolution",
    "pooling",
    "normalization",
    "activation",
    "softmax",
    "linear",
    "embedding",
    "attention",
    "recurrent",
    "positional",
    "upsampling",
)
"""Categories whose ops people call layers; facts, questions and descriptions count these."""

FUNCTIONAL_TWINS: dict[str, str] = {
    **{f"{prefix}{d}d": f"{name}{d}d" for d in (1, 2, 3) for prefix, name in (
        ("conv", "Conv"), ("conv_transpose", "ConvTranspose"), ("max_pool", "MaxPool"), ("avg_pool", "AvgPool"),
        ("adaptive_avg_pool", "AdaptiveAvgPool"), ("adaptive_max_pool", "AdaptiveMaxPool"), ("lp_pool", "LPPool"),
        ("fractional_max_pool", "FractionalMaxPool"), ("max_unpool", "MaxUnpool"))},
    "linear": "Linear", "bilinear": "Bilinear", "embedding": "Embedding", "embedding_bag": "EmbeddingBag",
    "layer_norm": "LayerNorm", "group_norm": "GroupNorm", "rms_norm": "RMSNorm", "batch_norm": "BatchNorm2d",
    "instance_norm": "InstanceNorm2d", "local_response_norm": "LocalResponseNorm",
    "relu": "ReLU", "relu6": "ReLU6", "gelu": "GELU", "silu": "SiLU", "sigmoid": "Sigmoid", "tanh": "Tanh",
    "elu": "ELU", "celu": "CELU", "selu": "SELU", "leaky_relu": "LeakyReLU", "prelu": "PReLU", "rrelu": "RReLU",
    "mish": "Mish", "hardswish": "Hardswish", "hardsigmoid": "Hardsigmoid", "hardtanh": "Hardtanh",
    "hardshrink": "Hardshrink", "softshrink": "Softshrink", "tanhshrink": "Tanhshrink", "softplus": "Softplus",
    "softsign": "Softsign", "logsigmoid": "LogSigmoid", "log_sigmoid": "LogSigmoid", "glu": "GLU",
    "threshold": "Threshold", "softmax": "Softmax", "log_softmax": "LogSoftmax", "softmin": "Softmin",
    "multi_head_attention_forward": "MultiheadAttention",
    "interpolate": "Upsample", "upsample": "Upsample", "upsample_nearest": "Upsample", "upsample_bilinear": "Upsample",
    "pixel_shuffle": "PixelShuffle", "pixel_unshuffle": "PixelUnshuffle", "channel_shuffle": "ChannelShuffle",
    "cosine_similarity": "CosineSimilarity", "pairwise_distance": "PairwiseDistance",
    "unfold": "Unfold", "fold": "Fold",
    "mse_loss": "MSELoss", "l1_loss": "L1Loss", "smooth_l1_loss": "SmoothL1Loss", "huber_loss": "HuberLoss",
    "cross_entropy": "CrossEntropyLoss", "nll_loss": "NLLLoss", "nll_loss_nd": "NLLLoss",
    "binary_cross_entropy": "BCELoss", "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "kl_div": "KLDivLoss", "cosine_embedding_loss": "CosineEmbeddingLoss", "triplet_margin_loss": "TripletMarginLoss",
    "margin_ranking_loss": "MarginRankingLoss", "ctc_loss": "CTCLoss",
}  # fmt: skip
"""torch function name (in-place underscore stripped) -> the `torch.nn` module that computes the same."""

FUNCTION_ALIASES: dict[str, str] = {
    "bmm": "matmul", "mm": "matmul", "mv": "matmul", "__matmul__": "matmul", "__rmatmul__": "matmul",
    "addmm": "matmul", "baddbmm": "matmul", "addbmm": "matmul", "chain_matmul": "matmul", "multi_dot": "matmul",
    "subtract": "sub", "rsub": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "negative": "neg",
    "concat": "cat", "concatenate": "cat", "hstack": "cat", "vstack": "cat", "dstack": "cat",
    "float_power": "pow", "absolute": "abs", "clip": "clamp", "greater": "gt", "less": "lt", "fmod": "remainder",
    "linalg_norm": "norm", "vector_norm": "norm", "linalg_vector_norm": "norm", "frobenius_norm": "norm",
    "var_mean": "var", "std_mean": "std", "special_expm1": "expm1", "special_erf": "erf", "swapaxes": "transpose",
    "_grouped_mm": "grouped_mm", "inner": "dot", "msort": "sort", "arctan2": "atan2", "expit": "Sigmoid",
    "special_expit": "Sigmoid", "special_softmax": "Softmax", "special_log_softmax": "LogSoftmax",
    "_scaled_dot_product_attention": "scaled_dot_product_attention", "index_reduce": "index_add",
    "rdiv": "div", "clamp_min": "clamp", "clamp_max": "clamp", "triangular_solve": "solve_triangular",
    "linalg_solve_triangular": "solve_triangular", "solve_ex": "solve", "linalg_solve_ex": "solve", "inv_ex": "inv",
    "linalg_inv_ex": "inv", "inverse": "inv", "cholesky_ex": "cholesky", "linalg_cholesky_ex": "cholesky",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
    "lu_factor": "lu", "linalg_lu_factor": "lu", "ger": "outer",
    "histogram": "histc", "nanmedian": "median", "nansum": "sum", "nanquantile": "quantile",
}  # fmt: skip
"""Other spellings of one function -> its canonical name."""

CONTRACTED_MODULES: frozenset[str] = frozenset(
    "Identity Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout Flatten Unflatten "
    "DropPath StochasticDepth QuantStub DeQuantStub LinearActivation".split()
)
"""Modules that compute nothing in evaluation; edges pass through them."""

CONTRACTED_FUNCTIONS: frozenset[str] = frozenset(
    "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout feature_dropout flatten unflatten "
    "view reshape view_as reshape_as permute transpose swapdims movedim moveaxis t T mT H adjoint squeeze unsqueeze "
    "expand expand_as broadcast_to repeat tile chunk split split_with_sizes tensor_split hsplit vsplit dsplit unbind "
    "narrow select slice ravel contiguous clone detach detach_ to type type_as float double half bfloat16 int long "
    "short bool cpu cuda requires_grad_ requires_grad data alias positive resolve_conj resolve_neg view_as_real "
    "view_as_complex masked_fill nan_to_num atleast_1d atleast_2d atleast_3d broadcast_tensors pin_memory "
    "squeeze_ unsqueeze_ transpose_ copy".split()
)
"""Functions that only move, cast, mask or drop data; edges pass through them."""

_COMPOSITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), op)
    for pattern, op in (
        (
            r"RMSNorm(Gated|2d|3d)?$|RmsNorm$|T5LayerNorm$|RMSLayerNorm$|L2Norm$|RMSNormNoWeight$|RMSNormalization$",
            "RMSNorm",
        ),
        (r"LayerNorm(2d|ND|Channels?First)?$|LayerNormalization$", "LayerNorm"),
        (
            r"Rotary(Position(al)?)?Embeddings?(ND|2d|2D|3d)?$|RotaryEmbedding\w*$|RoPE\w*$|RopePosition\w*$",
            "RotaryEmbedding",
        ),
        (r"FrozenBatchNorm(2d)?$|FrozenBatchNormalization$", "BatchNorm2d"),
        (
            r"(New|Fast|Quick|Accurate|Clipped|Pytorch)?GELU(Activation|Tanh)?$|PytorchGELUTanh$|GELUTanh$|Gelu$",
            "GELU",
        ),
        (r"SiLUActivation$|Swish$|SwishActivation$", "SiLU"),
        (r"MishActivation$", "Mish"),
        (r"ReLUSquared(Activation)?$|SquaredReLU$|ReluSquared$", "ReLUSquared"),
        (r"LaplaceActivation$", "Laplace"),
        (r"XIELU(Activation)?$", "XIELU"),
        (r"HardSwish$", "Hardswish"),
        (r"Conv1D$|NonDynamicallyQuantizableLinear$", "Linear"),
    )
)


def canonical_module_op(class_name: str) -> str | None:
    """Canonical op of a module that is no `torch.nn` class, by its class name; None where it has to be expanded.

    Only composites whose meaning the name settles are listed. A class whose name starts with a model's name is
    matched by its ending, so `XyzRMSNorm` is an `RMSNorm`.
    """
    for pattern, op in _COMPOSITES:
        if pattern.search(class_name):
            return op
    return None


def canonical_function_op(name: str) -> str:
    """Canonical op of a torch function: dunder, in-place and reflected spellings are folded into one name."""
    plain = name
    if plain.startswith("__") and plain.endswith("__"):
        plain = plain[2:-2]
        if plain[:1] in "ir" and plain[1:] in _DUNDER_OPERATORS:
            plain = plain[1:]
        plain = {"truediv": "div", "floordiv": "floor_divide", "mod": "remainder"}.get(plain, plain)
    elif plain.endswith("_") and not plain.endswith("__"):
        plain = plain[:-1]
    plain = FUNCTION_ALIASES.get(plain, plain)
    for namespace in ("fft_", "linalg_", "special_"):
        plain = plain.removeprefix(namespace)
    return FUNCTIONAL_TWINS.get(plain, plain)


_DUNDER_OPERATORS = frozenset("add sub mul truediv floordiv mod pow matmul and or xor".split())


def op_category(op_type: str) -> str:
    """Category of an op type; `"other"` for one outside the table."""
    spec = OPS.get(op_type)
    return spec.category if spec is not None else "other"


def is_layer(op_type: str) -> bool:
    """Whether people would call this op a layer (`LAYER_CATEGORIES`)."""
    return op_category(op_type) in LAYER_CATEGORIES
