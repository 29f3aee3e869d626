"""The words that the reader of captions knows: layers by their English names, categories, numbers."""

from __future__ import annotations

import re

from .questions_archbert import LAYER_NAMES

_DIMENSIONAL = {
    "Conv{}d": "{}d convolution", "ConvTranspose{}d": "{}d transposed convolution|{}d deconvolution",
    "MaxPool{}d": "{}d max pooling", "AvgPool{}d": "{}d average pooling",
    "AdaptiveAvgPool{}d": "{}d adaptive average pooling", "AdaptiveMaxPool{}d": "{}d adaptive max pooling",
    "LPPool{}d": "{}d power average pooling|{}d lp pooling", "FractionalMaxPool{}d": "{}d fractional max pooling",
    "MaxUnpool{}d": "{}d max unpooling|{}d max unpool", "BatchNorm{}d": "{}d batch normalization",
    "InstanceNorm{}d": "{}d instance normalization",
}  # fmt: skip
_OTHERS = {
    "Dil_conv2d": "dilated convolution|2d dilated convolution|atrous convolution|dilated conv2d",
    "Sep_conv2d": "separable convolution|depthwise separable convolution|2d separable convolution",
    "LayerNorm": "layer normalization", "GroupNorm": "group normalization",
    "RMSNorm": "rms normalization|root mean square normalization", "LocalResponseNorm": "local response normalization",
    "ReLU": "rectified linear unit", "ReLU6": "clipped relu6", "GELU": "gaussian error linear unit",
    "SiLU": "swish|sigmoid linear unit", "Sigmoid": "logistic sigmoid", "Tanh": "hyperbolic tangent",
    "ELU": "exponential linear unit", "CELU": "continuously differentiable exponential linear unit",
    "SELU": "scaled exponential linear unit", "LeakyReLU": "leaky relu|leaky rectified linear unit",
    "PReLU": "parametric relu", "RReLU": "randomized leaky relu", "Hardswish": "hard swish",
    "Hardsigmoid": "hard sigmoid", "Hardtanh": "hard tanh", "Hardshrink": "hard shrink|hard shrinkage",
    "Softshrink": "soft shrink|soft shrinkage", "Tanhshrink": "tanh shrink", "Softplus": "soft plus",
    "Softsign": "soft sign", "LogSigmoid": "log sigmoid|logarithmic sigmoid", "GLU": "gated linear unit",
    "Threshold": "thresholding", "ReLUSquared": "squared relu",
    "XIELU": "expanded integral of the exponential linear unit", "LogSoftmax": "log softmax",
    "Linear": "fully connected|dense", "Embedding": "token embedding|embedding lookup",
    "EmbeddingBag": "embedding bag", "MultiheadAttention": "multi head attention|multihead attention",
    "scaled_dot_product_attention": "scaled dot product attention|dot product attention",
    "LSTM": "long short term memory", "GRU": "gated recurrent unit",
    "RNN": "plain rnn|elman recurrent|simple recurrent", "LSTMCell": "lstm cell", "GRUCell": "gru cell",
    "RNNCell": "rnn cell", "RotaryEmbedding": "rotary embedding|rotary position embedding|rope",
    "Upsample": "upsampling|interpolation", "PixelShuffle": "pixel shuffle", "PixelUnshuffle": "pixel unshuffle",
}  # fmt: skip
_NUMERALS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip

CATEGORY_OF_WORD: dict[str, str] = {
    "convolutional": "convolution", "pooling": "pooling", "normalization": "normalization", "activation": "activation",
    "attention": "attention", "recurrent": "recurrent",
}  # fmt: skip
"""Word before "layers" -> category; no layer has one of these words for its whole name."""


def plain_text(text: str) -> str:
    """A text in lower case, but for its numbers and hyphens as it was."""
    return re.sub(r"\s+", " ", text.lower()).strip()


def _spelling(name: str) -> str:
    """One spelling for what is written in several ways: 2d for two-dimensional, pooling for pool, no hyphens."""
    name = re.sub(r"\b(one|two|three)-dimensional\b", lambda m: f"{_NUMERALS.index(m[1])}d", name)
    name = re.sub(r"\bpool\b", "pooling", name.replace("-", " "))
    name = re.sub(r"\bavg\b", "average", re.sub(r"\bnorm\b", "normalization", name))
    return re.sub(r"^adaptive (\dd) ", r"\1 adaptive ", re.sub(r"^fractional (\dd) ", r"\1 fractional ", name))


def _names() -> dict[str, str]:
    table = dict(_OTHERS)
    for pattern, phrases in _DIMENSIONAL.items():
        for d in "123":
            table[pattern.format(d)] = phrases.replace("{}", d)
    return {
        _spelling(name): layer
        for layer in LAYER_NAMES
        for name in (layer.lower(), *table.get(layer, layer.lower()).split("|"))
    }


_LAYER_OF_NAME = _names()


def layer_named(name: str) -> str:
    """The layer that a name in lower case, without article and noun, stands for; `""` for none."""
    return _LAYER_OF_NAME.get(_spelling(name), "")


def number_named(word: str) -> int | None:
    """The integer of a numeral (up to twenty), of digits, or of "no"; None for any other word."""
    if word.isdecimal() and len(word) < 19:
        return int(word)
    return 0 if word == "no" else _NUMERALS.index(word) if word in _NUMERALS else None
