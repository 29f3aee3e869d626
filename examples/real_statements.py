"""Statements about real networks for training: one to three facts, said in many ways, with their truth.

A fact is a predicate of TVHF (`dataset_scripts.tvhf.predicates_tvhf`) with a value, such as `depth == 12`. Its truth
is asked of every architecture, so a sentence that joins facts is true, false or unknown of each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from real_claims import Claim, claims_of

from dataset_scripts.tvhf.search_tvhf import all_true, predicate_cells

LEAST_SIDE = 2
"""A fact that is true, or false, of fewer architectures than this teaches nothing but a name."""
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
                "twelve")  # fmt: skip

_NUMBERS: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "depth": ((*range(2, 41), 42, 44, 46, 48, 52, 54, 56, 60, 61, 62, 64, 70, 72, 80, 96),
              ("{n} layers", "{n} blocks", "a depth of {n} layers", "a stack of {n} blocks",
               "{n} layers on top of each other")),
    "hidden": ((64, 96, 128, 144, 192, 256, 288, 312, 320, 384, 400, 432, 480, 512, 576, 640, 672, 704, 720, 768, 784,
                832, 880, 896, 960, 1008, 1024, 1152, 1280, 1408, 1472, 1536, 1600, 1664, 1792, 1920, 2048, 2304, 2560,
                2688, 2880, 3072, 3200, 3584, 3840, 4096, 4544, 4608, 5120, 5376, 6144, 6656, 7168, 8192),
               ("a hidden size of {n}", "hidden states {n} wide", "{n} features at each position", "a width of {n}",
                "a model dimension of {n}")),
    "heads": ((1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 14, 15, 16, 18, 20, 24, 25, 28, 32, 36, 40, 48, 52, 56, 64, 71, 96,
               128),
              ("{n} attention heads", "{n} heads", "attention split into {n} heads")),
    "kv_heads": ((1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40),
                 ("{n} key-value heads", "{n} kv heads", "{n} heads of keys and values")),
    "head_dim": ((16, 24, 32, 48, 64, 72, 80, 88, 96, 112, 128, 160, 192, 256),
                 ("heads of size {n}", "heads {n} wide", "a head dimension of {n}")),
    "intermediate": ((256, 384, 512, 768, 1024, 1152, 1248, 1280, 1536, 2048, 2560, 2816, 3072, 3584, 4096, 4304, 4864,
                      5120, 5632, 6144, 6400, 6912, 8192, 8960, 9216, 9728, 10240, 11008, 11264, 12288, 13824, 14336,
                      16384, 17920, 18944, 20480, 21504, 24576, 28672),
                     ("a feed-forward size of {n}", "an inner layer of {n} features", "an intermediate size of {n}")),
    "window": ((128, 512, 1024, 2048, 3000, 4096),
               ("a sliding window of {n} tokens", "attention to the last {n} tokens")),
    "num_stages": ((3, 4, 5, 6, 7), ("{n} stages", "blocks in {n} stages")),
    "vocabulary": ((30522, 32000, 32128, 49408, 50257, 50265, 50272, 50304, 64000, 65024, 128256, 151936, 152064,
                    250002, 250112, 250880, 256000, 262144),
                   ("a vocabulary of {n}", "{n} rows in the token table", "{n} tokens in its vocabulary")),
    "positions": ((77, 197, 257, 448, 512, 514, 577, 1024, 1370, 1500, 2048, 4096),
                  ("{n} learned positions", "a table of {n} positions")),
    "token_types": ((2,), ("{n} token types", "{n} segment embeddings")),
    "patch": ((4, 8, 14, 16, 32), ("patches of {n} pixels", "{n}x{n} patches", "a patch size of {n}")),
    "stem_kernel": ((2, 3, 4, 5, 7, 11), ("a {n}x{n} kernel in its first convolution", "a stem with kernel {n}")),
    "stem_stride": ((1, 2, 4), ("a stem with stride {n}",)),
    "experts": ((4, 8, 16, 32, 60, 64, 128), ("{n} experts", "a choice of {n} experts in each layer")),
    "top_k": ((1, 2, 4, 6, 8), ("{n} active experts per token", "{n} experts for every token")),
    "attention_layers": ((0, 1, 4, 6, 8, 12, 16, 18, 22, 24, 28, 30, 32, 36, 40, 48, 60, 64, 80),
                         ("{n} attention layers", "{n} layers with attention")),
    "towers": ((2, 3), ("{n} towers",)),
    "inputs": ((1, 2, 3), ("{n} input tensors",)),
}  # fmt: skip
_SCOPES = {"encoder.": ("in the encoder", "on the encoder's side"),
           "decoder.": ("in the decoder", "on the decoder's side"),
           "vision.": ("in the image tower", "for images"), "text.": ("in the text tower", "for text"),
           "audio.": ("in the audio tower", "for sound")}  # fmt: skip
_SCOPED = ("depth", "hidden", "heads", "intermediate", "kv_heads")
_WORDS: dict[str, tuple[str, ...]] = {
    "activation == GELU": ("GELU", "GELU activations"),
    "activation == SiLU": ("SiLU", "SiLU as its activation"),
    "activation == ReLU": ("ReLU", "ReLU activations"),
    "norm == LayerNorm": ("LayerNorm", "layer normalization in its layers"),
    "norm == RMSNorm": ("RMSNorm", "root mean square normalization"),
    "norm == BatchNorm2d": ("batch normalization", "BatchNorm in its blocks"),
    "norm_position == pre": ("pre-norm layers", "normalization before each branch"),
    "norm_position == post": ("post-norm layers", "normalization after each residual addition"),
    "norm_position == sandwich": ("normalization at both ends of each branch", "sandwich normalization"),
    "attention == multi-head": ("multi-head attention", "as many kv heads as heads"),
    "attention == grouped-query": ("grouped-query attention", "query heads that share keys and values in groups"),
    "attention == multi-query": ("multi-query attention", "one kv head for all queries"),
    "form == encoder-only": ("an encoder alone", "attention that looks both ways", "no decoder"),
    "form == decoder-only": ("a decoder alone", "causal attention only", "a causal stack"),
    "form == encoder-decoder": ("an encoder and a decoder", "a decoder that attends to an encoder"),
    "kind == convolutional": ("convolutions throughout", "nothing but convolutions to mix positions"),
    "kind == transformer": ("transformer layers", "attention in all its layers"),
    "kind == hybrid": ("both convolution and attention", "convolutions beside attention"),
    "gated": ("gated feed-forward layers", "a gate in its feed-forward part"),
    "not gated": ("plain feed-forward layers", "no gate in its feed-forward part"),
    "rotary": ("rotary positions", "positions as rotations", "RoPE"),
    "positions > 0": ("learned positions", "a table of learned positions"),
    "state_space": ("state-space layers", "selective scans"),
    "intermediate == 4 * hidden": ("an inner layer four times as wide", "a fourfold feed-forward expansion"),
    "some.cross": ("cross-attention", "attention from one tower to another"),
    "some.window > 0": ("a sliding window", "local attention"),
    "depthwise > 0": ("depthwise convolutions", "one filter per channel somewhere"),
    "grouped > 0": ("grouped convolutions",),
    "tied": ("tied embeddings", "an output layer that shares the embedding's weights"),
    "attention_layers == 0": ("no attention", "no attention layer at all"),
    "experts == 0": ("no experts", "dense feed-forward layers"),
    "experts > 0": ("a mixture of experts", "routed experts"),
    "vision in modality": ("images as input", "eyes for images"),
    "text in modality": ("text as input", "words to read"),
    "audio in modality": ("sound as input", "an ear for audio"),
}  # fmt: skip
_LAYERS = {"Conv1d": "a 1D convolution", "Conv2d": "a 2D convolution", "Conv3d": "a 3D convolution",
           "ConvTranspose2d": "a transposed convolution",
           "MaxPool2d": "max pooling", "AvgPool2d": "average pooling", "AdaptiveAvgPool2d": "adaptive average pooling",
           "Dil_conv2d": "a dilated convolution", "BatchNorm2d": "BatchNorm2d", "GroupNorm": "group normalization",
           "LayerNorm": "a LayerNorm", "RMSNorm": "an RMSNorm", "LSTM": "an LSTM", "PReLU": "PReLU",
           "Sigmoid": "a sigmoid",
           "Hardswish": "Hardswish", "ReLU6": "ReLU6", "Tanh": "tanh", "Embedding": "an embedding table",
           "Softmax": "a softmax",
           "GELU": "GELU", "SiLU": "SiLU", "ReLU": "ReLU", "Upsample": "an upsampling layer"}  # fmt: skip
_KERNELS = ("1x1", "3x3", "5x5", "7x7", "4x4", "2x2")
_SIZES = tuple(
    round(digit * 10**power) for power in range(6, 11) for digit in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8.5)
)
_FRAMES = ("It has {}.", "A network with {}.", "{}.", "This model uses {}.", "Here are {}.", "It comes with {}.",
           "The architecture has {}.", "Built with {}.", "An architecture of {}.")  # fmt: skip


class Fact(NamedTuple):
    """A fact about networks.

    Attributes:
        phrases: ways to say it, nouns that follow "with".
        topic: facts of one topic are never joined.
        claim: what it claims.
        cells: int8 (architectures,), `truth_tvhf.TRUE`, `FALSE` or `UNKNOWN`.
    """

    phrases: tuple[str, ...]
    topic: str
    claim: Claim
    cells: np.ndarray


class MadeStatement(NamedTuple):
    """A sentence of joined facts.

    Attributes:
        text: the sentence.
        facts: what it says, in order.
        cells: int8 (architectures,), what it is of each.
    """

    text: str
    facts: tuple[Fact, ...]
    cells: np.ndarray


def facts_of(architectures: Sequence[Any]) -> list[Fact]:
    """All facts that are true of some of the architectures and false of others.

    Args:
        architectures: of `dataset_scripts.tvhf.truth_tvhf.load_architectures`.
    """
    found = []
    for predicate, topic, phrases in _predicates():
        cells = predicate_cells(predicate, architectures)
        if min((cells == 1).sum(), (cells == 0).sum()) >= LEAST_SIDE:
            found.append(Fact(phrases, topic, claims_of(predicate)[0], cells))
    return found


def join_facts(rng: np.random.Generator, facts: Sequence[Fact]) -> MadeStatement:
    """A sentence that says all facts, in their order."""
    said = [str(rng.choice(fact.phrases)) for fact in facts]
    text = " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)
    frame = _FRAMES[int(rng.integers(len(_FRAMES)))].format(text)
    return MadeStatement(frame[0].upper() + frame[1:], tuple(facts), all_true([fact.cells for fact in facts]))


def _predicates() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Predicate, topic and phrases of every fact that may be asked."""
    for name, (values, phrases) in _NUMBERS.items():
        for value in values:
            said = tuple(phrase.format(n=word) for phrase in phrases for word in _written(value))
            yield f"{name} == {value}", name, said
            if name in _SCOPED:
                for scope, words in _SCOPES.items():
                    scoped = tuple(f"{phrase} {word}" for phrase in said for word in words)
                    yield f"{scope}{name} == {value}", f"{scope}{name}", scoped
    for predicate, phrases in _WORDS.items():
        yield predicate, predicate.removeprefix("not ").split()[0], phrases
    for layer, phrase in _LAYERS.items():
        yield f"contains({layer})", layer, (phrase,)
        yield f"lacks({layer})", layer, (f"no {phrase.removeprefix('an ').removeprefix('a ')}",)
    for kernel in _KERNELS:
        yield f"kernel(Conv2d, {kernel})", "kernel", (f"{kernel} kernels", f"a {kernel} convolution")
    for size in _SIZES:
        said = tuple(_amount(size))
        yield f"parameters ~ {size}", "parameters", tuple(f"about {s}" for s in said)
        yield f"parameters < {size}", "parameters", tuple(f"fewer than {s}" for s in said)
        yield f"parameters > {size}", "parameters", tuple(f"more than {s}" for s in said)


def _written(number: int) -> list[str]:
    """A number in digits, and as people write it."""
    if number < len(NUMBER_WORDS):
        return [str(number), NUMBER_WORDS[number]]
    return [str(number), f"{number:,}"] if number > 9999 else [str(number)]


def _amount(parameters: int) -> Iterator[str]:
    """A number of parameters in words."""
    unit, word, letter = (10**9, "billion", "B") if parameters >= 10**9 else (10**6, "million", "M")
    yield f"{parameters / unit:g} {word} parameters"
    yield f"{parameters / unit:g}{letter} parameters"
    yield f"{parameters / unit:g} {word} weights"
