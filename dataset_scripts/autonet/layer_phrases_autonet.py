"""What people call a layer and what they say that it does: one table for questions and descriptions.

* Every name of `processing_archbert.questions_archbert.LAYER_NAMES` has an entry; its own spelling is always one of
  its names.
* No two layers share a name (case aside), so a text always speaks of one layer.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from processing_archbert.ops_archbert import op_category
from processing_archbert.questions_archbert import DILATED_CONVOLUTION, LAYER_NAMES, SEPARABLE_CONVOLUTION


class LayerPhrases(NamedTuple):
    """How a layer is spoken of.

    Attributes:
        names: names without a noun, as in "2d max pooling".
        nouns: nouns that a name takes, as in "layer".
        clauses: what it does, as verb phrases of the third person, as in "averages each patch of the feature map".
    """

    names: tuple[str, ...]
    nouns: tuple[str, ...]
    clauses: tuple[str, ...]


_NOUNS: dict[str, tuple[str, ...]] = {
    "convolution": ("layer", "module", "operation"),
    "pooling": ("layer", "module", "operation"),
    "activation": ("activation function", "activation layer", "activation module", "nonlinearity"),
    "softmax": ("layer", "function", "module"),
}
_DEFAULT_NOUNS = ("layer", "module")

_WORDS = {1: "one-dimensional", 2: "two-dimensional", 3: "three-dimensional"}
_PLACES = {1: "a sequence", 2: "the feature map", 3: "a volume"}
_WINDOWS = {1: "window of the sequence", 2: "patch of the feature map", 3: "block of the volume"}

_DIMENSIONAL: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Conv{d}d": (
        ("{d}d convolution", "{word} convolution"),
        ("slides learned filters over {place}", "extracts local patterns with filters that move along {place}"),
    ),
    "ConvTranspose{d}d": (
        ("{d}d transposed convolution", "{d}d deconvolution", "{word} transposed convolution"),
        ("enlarges {place} with learned filters at a fractional stride", "upsamples {place} in a learned way"),
    ),
    "MaxPool{d}d": (
        ("{d}d max pooling", "{d}d max pool", "{word} max pooling"),
        ("keeps the largest value of each {window}", "passes on only the maximum inside each {window}"),
    ),
    "AvgPool{d}d": (
        ("{d}d average pooling", "{d}d avg pool", "{word} average pooling"),
        ("averages each {window}", "replaces each {window} by its mean"),
    ),
    "AdaptiveAvgPool{d}d": (
        ("{d}d adaptive average pooling", "adaptive {d}d avg pool", "{word} adaptive average pooling"),
        ("averages {place} down to a fixed output size", "brings {place} to a chosen size by averaging"),
    ),
    "AdaptiveMaxPool{d}d": (
        ("{d}d adaptive max pooling", "adaptive {d}d max pool", "{word} adaptive max pooling"),
        ("reduces {place} to a fixed output size by taking maxima", "brings {place} to a chosen size by its maxima"),
    ),
    "LPPool{d}d": (
        ("{d}d power average pooling", "{d}d lp pooling"),
        ("takes the p-norm of each {window}", "averages the powers of each {window}"),
    ),
    "FractionalMaxPool{d}d": (
        ("{d}d fractional max pooling", "fractional {d}d max pool"),
        ("keeps the largest values over windows of random fractional steps",),
    ),
    "MaxUnpool{d}d": (
        ("{d}d max unpooling", "{d}d max unpool"),
        ("puts pooled maxima back where they came from and fills the rest with zeros",),
    ),
    "BatchNorm{d}d": (
        ("{d}d batch normalization", "{d}d batch norm", "{word} batch normalization"),
        ("normalizes each channel over the batch", "standardizes channels with statistics of the mini-batch"),
    ),
    "InstanceNorm{d}d": (
        ("{d}d instance normalization", "{d}d instance norm"),
        ("normalizes each channel of every sample by itself",),
    ),
}

_SINGLE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    DILATED_CONVOLUTION: (
        ("dilated convolution", "2d dilated convolution", "atrous convolution", "dilated conv2d"),
        ("widens its kernel by leaving gaps between the elements", "sees a larger area by spreading its kernel"),
    ),
    SEPARABLE_CONVOLUTION: (
        ("separable convolution", "depthwise separable convolution", "2d separable convolution"),
        ("splits a convolution into a depthwise and a pointwise step", "saves parameters by a depthwise filter and a "
         "pointwise mix"),
    ),
    "LayerNorm": (
        ("layer normalization", "layer norm"),
        ("normalizes each sample over its features", "standardizes features without looking at the batch"),
    ),
    "GroupNorm": (("group normalization", "group norm"), ("normalizes groups of channels of each sample",)),
    "RMSNorm": (
        ("rms normalization", "rms norm", "root mean square normalization"),
        ("rescales features by their root mean square",),
    ),
    "LocalResponseNorm": (
        ("local response normalization", "local response norm"),
        ("damps a value by the activity of neighbouring channels",),
    ),
    "ReLU": (
        ("relu", "rectified linear unit", "rectified linear unit (relu)"),
        ("sets negative values to zero", "cuts off everything below zero"),
    ),
    "ReLU6": (("relu6", "clipped relu6"), ("limits the rectified values to at most six",)),
    "GELU": (
        ("gelu", "gaussian error linear unit", "gaussian error linear unit (gelu)"),
        ("weights values by the Gaussian distribution function", "is a smooth relative of the rectifier"),
    ),
    "SiLU": (
        ("silu", "swish", "sigmoid linear unit", "sigmoid linear unit (silu)"),
        ("multiplies values by their own sigmoid",),
    ),
    "Sigmoid": (("sigmoid", "logistic sigmoid"), ("squashes values into the range from 0 to 1",)),
    "Tanh": (("tanh", "hyperbolic tangent"), ("squashes values into the range from -1 to 1",)),
    "ELU": (
        ("elu", "exponential linear unit", "exponential linear unit (elu)"),
        ("bends negative values along an exponential",),
    ),
    "CELU": (("celu", "continuously differentiable exponential linear unit"),
             ("is a form of the exponential unit with a continuous derivative",)),
    "SELU": (("selu", "scaled exponential linear unit"), ("scales an exponential unit so that activations normalize "
                                                          "themselves",)),
    "LeakyReLU": (
        ("leaky relu", "leaky rectified linear unit"),
        ("gives negative values a small slope", "lets a little of the negative values through"),
    ),
    "PReLU": (("prelu", "parametric relu"), ("learns the slope of negative values",)),
    "RReLU": (("rrelu", "randomized leaky relu"), ("draws the slope of negative values at random in training",)),
    "Mish": (("mish",), ("multiplies values by the tanh of their softplus",)),
    "Hardswish": (
        ("hard swish", "hard-swish"),
        ("approximates the swish curve piecewise linearly", "replaces the costly swish by straight pieces"),
    ),
    "Hardsigmoid": (
        ("hard sigmoid", "hard-sigmoid"),
        ("approximates the sigmoid piecewise linearly", "replaces the costly sigmoid by straight pieces"),
    ),
    "Hardtanh": (("hard tanh",), ("clips values to a fixed range",)),
    "Hardshrink": (("hard shrink", "hard shrinkage"), ("zeroes values whose magnitude is small",)),
    "Softshrink": (("soft shrink", "soft shrinkage"), ("pulls values towards zero and zeroes the small ones",)),
    "Tanhshrink": (("tanh shrink",), ("subtracts the tanh of a value from it",)),
    "Softplus": (("soft plus",), ("is a smooth approximation of the rectifier by a logarithm",)),
    "Softsign": (("soft sign",), ("divides values by one plus their magnitude",)),
    "LogSigmoid": (("log sigmoid", "logarithmic sigmoid"), ("takes the logarithm of the sigmoid",)),
    "GLU": (("glu", "gated linear unit"), ("gates one half of the features with the sigmoid of the other half",)),
    "Threshold": (("thresholding",), ("replaces values below a threshold by a constant",)),
    "ReLUSquared": (("squared relu",), ("squares the rectified values",)),
    "Laplace": (("laplace",), ("passes values through a fitted normal distribution function",)),
    "XIELU": (("xielu", "expanded integral of the exponential linear unit"),
              ("joins a learned parabola with a learned exponential",)),
    "Softmax": (("softmax",), ("turns scores into weights that sum to one", "makes a distribution out of scores")),
    "LogSoftmax": (("log softmax",), ("gives the logarithms of normalized weights",)),
    "Softmin": (("softmin",), ("gives the largest weight to the smallest score",)),
    "Linear": (
        ("linear", "fully connected", "dense"),
        ("applies a learned linear map to the features", "multiplies the features by a weight matrix"),
    ),
    "Bilinear": (("bilinear",), ("combines two inputs in a learned bilinear form",)),
    "Embedding": (
        ("embedding", "token embedding", "embedding lookup"),
        ("looks up a learned vector for each index", "turns indices into learned vectors"),
    ),
    "EmbeddingBag": (("embedding bag",), ("sums or averages the vectors of a bag of indices",)),
    "MultiheadAttention": (
        ("multi-head attention", "multihead attention"),
        ("attends over a sequence with several heads", "lets each position look at all others through several heads"),
    ),
    "scaled_dot_product_attention": (
        ("scaled dot product attention", "scaled dot-product attention", "dot product attention"),
        ("mixes values by the scaled similarity of queries and keys",),
    ),
    "LSTM": (
        ("lstm", "long short-term memory", "long short-term memory (lstm)"),
        ("carries a gated memory cell through a sequence",),
    ),
    "GRU": (("gru", "gated recurrent unit", "gated recurrent unit (gru)"),
            ("carries a gated hidden state through a sequence",)),
    "RNN": (("plain rnn", "elman recurrent", "simple recurrent"), ("carries an ungated hidden state through a "
                                                                    "sequence",)),
    "LSTMCell": (("lstm cell",), ("performs one step of a long short-term memory",)),
    "GRUCell": (("gru cell",), ("performs one step of a gated recurrent unit",)),
    "RNNCell": (("rnn cell",), ("performs one step of a simple recurrence",)),
    "RotaryEmbedding": (
        ("rotary embedding", "rotary position embedding", "rope"),
        ("encodes positions by rotating queries and keys",),
    ),
    "Upsample": (
        ("upsampling", "upsample", "interpolation"),
        ("enlarges the feature map by interpolation", "raises the resolution without learned weights"),
    ),
    "PixelShuffle": (("pixel shuffle",), ("rearranges channels into a larger feature map",)),
    "PixelUnshuffle": (("pixel unshuffle",), ("moves pixels into channels of a smaller feature map",)),
}  # fmt: skip

CATEGORY_NAMES: dict[str, tuple[str, ...]] = {
    "convolution": ("convolution layer", "convolutional layer"),
    "pooling": ("pooling layer", "pooling module"),
    "normalization": ("normalization layer", "normalization module"),
    "activation": ("activation function", "activation layer"),
    "linear": ("linear layer of any kind", "fully connected layer of any kind"),
    "embedding": ("embedding layer of any kind", "embedding module of any kind"),
    "attention": ("attention layer", "attention module"),
    "recurrent": ("recurrent layer", "recurrent module"),
    "upsampling": ("upsampling layer of any kind", "upsampling module of any kind"),
}
"""Category -> names of any of its layers, in the singular."""


def layer_category(layer: str) -> str:
    """Category of a layer name; the dilated and the separable convolution are convolutions."""
    return "convolution" if layer in (DILATED_CONVOLUTION, SEPARABLE_CONVOLUTION) else op_category(layer)


def _table() -> dict[str, LayerPhrases]:
    spoken = dict(_SINGLE)
    for pattern, (names, clauses) in _DIMENSIONAL.items():
        for d in (1, 2, 3):
            values = {"d": d, "word": _WORDS[d], "place": _PLACES[d], "window": _WINDOWS[d]}
            filled = tuple(n.format(**values) for n in names), tuple(c.format(**values) for c in clauses)
            spoken[pattern.format(d=d)] = filled
    table = {}
    for layer in LAYER_NAMES:
        names, clauses = spoken[layer]
        own = () if layer.lower() in (name.lower() for name in names) else (layer,)
        table[layer] = LayerPhrases((*names, *own), _NOUNS.get(layer_category(layer), _DEFAULT_NOUNS), clauses)
    return table


LAYER_PHRASES: dict[str, LayerPhrases] = _table()
"""Layer name -> its phrases, in the order of `LAYER_NAMES`."""

_VOWEL_SOUNDS = ("a", "e", "i", "o", "lstm", "rnn", "rms", "lp", "rrelu", "xi", "ups")
_CONSONANT_SOUNDS = ("one-",)


def noun_phrase(rng: random.Random, layer: str) -> str:
    """A way to name a layer in the singular and without article, as in "2d max pooling layer"."""
    phrases = LAYER_PHRASES[layer]
    return f"{rng.choice(phrases.names)} {rng.choice(phrases.nouns)}"


def plural(phrase: str) -> str:
    """The plural of a noun phrase."""
    return phrase[:-1] + "ies" if phrase.endswith("ty") else phrase + "s"


def with_article(phrase: str) -> str:
    """A noun phrase after "a" or "an"."""
    lower = phrase.lower()
    vowel = lower.startswith(_VOWEL_SOUNDS) and not lower.startswith(_CONSONANT_SOUNDS)
    return f"{'an' if vowel else 'a'} {phrase}"
