"""How captions say a claim: noun phrases ("with 24 convolutional layers") and verb phrases ("starts with ...").

Two styles: `plain` speaks of a 2d convolution and counts to twelve in words, `technical` says Conv2d and 8.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .layer_phrases_autonet import LAYER_PHRASES, layer_category, with_article

STYLES: tuple[str, ...] = ("plain", "technical")
NETWORK_NOUNS: tuple[str, ...] = ("network", "neural network", "model", "architecture")

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TIMES = {2: "twice", 3: "three times"}
_SPELLINGS = {
    "relu": "ReLU", "gelu": "GELU", "silu": "SiLU", "elu": "ELU", "celu": "CELU", "selu": "SELU", "prelu": "PReLU",
    "rrelu": "RReLU", "glu": "GLU", "xielu": "XIELU", "lstm": "LSTM", "gru": "GRU", "rnn": "RNN", "rms": "RMS",
    "relu6": "ReLU6", "lp": "LP", "rope": "RoPE",
}  # fmt: skip
_CATEGORY_WORDS = {"convolution": "convolutional"}
_FAMILY_WORDS = {"convolution": "convolution", "attention": "attention", "recurrent": "recurrence"}
_INPUT_WORDS: dict[str, tuple[str, ...]] = {
    "tokens": ("token sequences", "sequences of tokens"),
    "image": ("images",),
    "signal": ("one-dimensional signals",),
    "volume": ("volumes", "three-dimensional inputs"),
}
_OUT_WORDS = {"convolution": "filters", "linear": "output features", "embedding": "entries"}
_EXTENTS = {
    "all": ("causal attention throughout", "only causal attention"),
    "some": ("causal attention in some layers",),
    "none": ("attention without a causal mask",),
}


class CaptionVoice:
    """The words of one caption; a layer keeps its name through the caption.

    Args:
        rng: source of randomness.
        style: one of `STYLES`.
    """

    def __init__(self, rng: random.Random, style: str) -> None:
        if style not in STYLES:
            raise ValueError(f"style is {style!r}; there are {', '.join(STYLES)}.")
        self.rng = rng
        self.technical = style == "technical"
        self._names: dict[str, str] = {}

    def number(self, value: int) -> str:
        """A cardinal: in words up to twelve in the plain style, else in digits."""
        return str(value) if self.technical or value >= len(_NUMBERS) else _NUMBERS[value]

    def layer(self, kind: str) -> str:
        """Name of a layer kind without a noun."""
        if self.technical:
            return kind
        if kind not in self._names:
            names = [n for n in LAYER_PHRASES[kind].names if "(" not in n and "_" not in n and n != kind]
            name = self.rng.choices(names, [2, *[1] * (len(names) - 1)])[0]
            self._names[kind] = " ".join(_SPELLINGS.get(word, word) for word in name.split())
        return self._names[kind]

    def layers(self, kind: str, count: int = 2) -> str:
        """Name of a layer kind with its noun, in the plural but for a count of 1."""
        noun = "activation" if layer_category(kind) == "activation" else "layer"
        return f"{self.layer(kind)} {noun}{'' if count == 1 else 's'}"

    def counted(self, count: int, kind: str) -> str:
        """As in "four GELU activations"; "no" for none."""
        return f"{self.number(count) if count else 'no'} {self.layers(kind, count)}"

    def noun_phrase(self, claim: Mapping[str, Any]) -> str:
        """A claim as something that a network has."""
        return _NOUN_PHRASES[claim["type"]](self, claim)

    def verb_phrase(self, claim: Mapping[str, Any]) -> str:
        """A claim as something that a network does."""
        if claim["type"] in _VERB_PHRASES:
            return _VERB_PHRASES[claim["type"]](self, claim)
        verbs = ["has"]
        if not claim["type"].startswith("lacks"):
            verbs += ["has", "contains", "comes with"] if "value" in claim else ["has", "uses"]
        return f"{self.rng.choice(verbs)} {self.noun_phrase(claim)}"

    def listed(self, phrases: Sequence[str], word: str = "and") -> str:
        """Phrases with commas, and a word before the last one."""
        return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} {word} {phrases[-1]}"

    def head(self, families: Sequence[str], inputs: Sequence[str]) -> str:
        """What the network is and reads, as in "a convolutional network for images"."""
        noun = self.rng.choice(NETWORK_NOUNS)
        if not families:
            phrase = noun
        elif len(families) == 1:
            phrase = f"{_CATEGORY_WORDS.get(families[0], families[0])} {noun}"
        else:
            words = [_FAMILY_WORDS[family] for family in families]
            phrase = f"{self.rng.choice(('hybrid', 'combined'))} {noun} of {self.listed(words)}"
        kinds = [self.rng.choice(_INPUT_WORDS[kind]) for kind in inputs]
        return with_article(phrase) + (f" for {self.listed(kinds)}" if kinds else "")


def amount(value: int) -> str:
    """A rounded number of parameters, as in "3.2 million"."""
    if value >= 10**9:
        return f"{value / 1e9:g} billion"
    if value >= 100_000:
        return f"{value / 1e6:g} million"
    return f"{value / 1e3:g} thousand" if value >= 1000 else str(value)


def _size(size: str) -> str:
    return size.replace("*", "x")


def _count_of(words: str) -> Callable[[CaptionVoice, Mapping[str, Any]], str]:
    """A phrase for a number of something; `words` are forms in the plural, separated by |."""

    def phrase(voice: CaptionVoice, claim: Mapping[str, Any]) -> str:
        value, form = claim["value"], voice.rng.choice(words.split("|"))
        number = voice.number(value) if value else "no"
        return f"{number} {_singular(form) if value == 1 else form}"

    return phrase


def _singular(form: str) -> str:
    return re.sub(r"s(?= by | with |$)", "", form, count=1)


def _category_layers(voice: CaptionVoice, claim: Mapping[str, Any]) -> str:
    listed = voice.listed([voice.layer(kind) for kind in claim["layers"]])
    return f"{listed} as its only {_category_noun(claim['category'], len(claim['layers']))}"


def _category_noun(category: str, count: int) -> str:
    return f"{_CATEGORY_WORDS.get(category, category)} layer{'' if count == 1 else 's'}"


def _category_count(voice: CaptionVoice, claim: Mapping[str, Any]) -> str:
    number = voice.number(claim["value"]) if claim["value"] else "no"
    return f"{number} {_category_noun(claim['category'], claim['value'])}"


def _skips(voice: CaptionVoice, claim: Mapping[str, Any]) -> str:
    words = "residual additions|residual connections" if claim["op"] == "add" else "skip connections by concatenation"
    return _count_of(words)(voice, claim)


def _block(voice: CaptionVoice, claim: Mapping[str, Any]) -> str:
    return voice.listed([voice.counted(count, kind) for kind, count in claim["layers"].items()])


def _times(voice: CaptionVoice, claim: Mapping[str, Any], row: str = "") -> str:
    times = f"{voice.number(claim['repeats'])} times"
    if not voice.technical:
        times = _TIMES.get(claim["repeats"], times)
    return times + row + (f" in each of {voice.number(claim['stages'])} stages" if "stages" in claim else "")


def _boundary(voice: CaptionVoice, claim: Mapping[str, Any]) -> str:
    """A first or last layer with its sizes."""
    phrase = with_article(voice.layers(claim["layer"], 1))
    word = _OUT_WORDS.get(layer_category(claim["layer"]), "")
    if voice.technical:
        said = (("kernel", "kernel {}"), ("stride", "stride {}"), ("out", f"{{}} {word}"))
    else:
        said = (("kernel", "{} kernels"), ("stride", "stride {}"), ("out", f"{{}} {word}"))
    parts = [form.format(_size(str(claim[key]))) for key, form in said if key in claim]
    if not parts:
        return phrase
    return f"{phrase} ({', '.join(parts)})" if voice.technical else f"{phrase} with {voice.listed(parts)}"


def _values(voice: CaptionVoice, claim: Mapping[str, Any]) -> str:
    return voice.listed([voice.number(value) for value in claim["values"]], "or")


def _heads(claim: Mapping[str, Any]) -> str:
    return "head" if claim["values"] == [1] else "heads"


def _follows(voice: CaptionVoice, claim: Mapping[str, Any]) -> str:
    layer, after = (with_article(voice.layers(claim[key], 1)) for key in ("layer", "after"))
    form = voice.rng.choice(("applies {0} directly after {1}", "passes the output of {1} straight to {0}"))
    return form.format(layer, after)


_NOUN_PHRASES: dict[str, Callable[[CaptionVoice, Mapping[str, Any]], str]] = {
    "parameters": lambda v, c: f"{v.rng.choice(('about', 'roughly', 'around'))} {amount(c['value'])} parameters",
    "num_layers": lambda v, c: f"{v.number(c['value'])} layer{'' if c['value'] == 1 else 's'} in total",
    "depth": lambda v, c: f"a depth of {v.number(c['value'])} layer{'' if c['value'] == 1 else 's'}",
    "num_inputs": _count_of("inputs"),
    "num_outputs": _count_of("outputs"),
    "category_count": _category_count,
    "category_layers": _category_layers,
    "lacks_category": lambda v, c: f"no {_category_noun(c['category'], 2)}",
    "contains": lambda v, c: v.layers(c["layer"]),
    "lacks": lambda v, c: f"no {v.layers(c['layer'])}",
    "count": lambda v, c: v.counted(c["value"], c["layer"]),
    "most_frequent": lambda v, c: f"{v.layers(c['layer'])} as its most frequent kind",
    "kernel_sizes": lambda v, c: f"kernels of {v.listed([_size(s) for s in c['sizes']])} only",
    "heads": lambda v, c: f"{_values(v, c)} {_heads(c)} per attention layer",
    "kv_heads": lambda v, c: f"{_values(v, c)} key-value {_heads(c)} per attention layer",
    "window": lambda v, c: f"attention windows of {_values(v, c)} positions",
    "causal": lambda v, c: v.rng.choice(_EXTENTS[c["extent"]]),
    "experts": _count_of("experts"),
    "skip_connections": _skips,
    "downsampling": _count_of("strided layers|layers with a stride above 1"),
    "grouped": _count_of("grouped convolutions"),
    "repeated_block": lambda v, c: f"a block of {_block(v, c)} that comes {_times(v, c, ' in a row')}",
}

_VERB_PHRASES: dict[str, Callable[[CaptionVoice, Mapping[str, Any]], str]] = {
    "first_layer": lambda v, c: f"{v.rng.choice(('starts', 'begins', 'opens'))} with {_boundary(v, c)}",
    "last_layer": lambda v, c: f"{v.rng.choice(('ends', 'closes', 'finishes'))} with {_boundary(v, c)}",
    "follows": _follows,
    "repeated_block": lambda v, c: v.rng.choice(
        (f"repeats a block of {_block(v, c)} {_times(v, c)}", f"stacks a block of {_block(v, c)} {_times(v, c)}")
    ),
    "most_frequent": lambda v, c: f"consists mostly of {v.layers(c['layer'])}",
    "contains": lambda v, c: f"{v.rng.choice(('uses', 'contains', 'employs'))} {v.layers(c['layer'])}",
}
