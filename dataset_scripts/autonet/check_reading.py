"""Reading questions and descriptions back, for the checker: English in, statements out.

The reader knows the language of the data set from its texts only: its own lexicon of layers, its own patterns of
sentences. What it does not understand it refuses with `UnreadableError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from .check_truth import category_of

Statement = tuple[Any, ...]


class UnreadableError(ValueError):
    """A text, or a part of it, that the reader does not understand."""


_DIMENSIONAL: dict[str, tuple[tuple[str, ...], str]] = {
    "Conv{}d": (("{}d convolution",), "filters"),
    "ConvTranspose{}d": (("{}d transposed convolution", "{}d deconvolution"), "fractional|learned way|fractionally"),
    "MaxPool{}d": (("{}d max pooling",), "largest|maximum"),
    "AvgPool{}d": (("{}d average pooling", "{}d avg pooling"), "averag(es|ing) each|by its mean"),
    "AdaptiveAvgPool{}d": (
        ("{}d adaptive average pooling", "adaptive {}d avg pooling"),
        "fixed output size|chosen size by averaging",
    ),
    "AdaptiveMaxPool{}d": (("{}d adaptive max pooling", "adaptive {}d max pooling"), "by taking maxima|by its maxima"),
    "LPPool{}d": (("{}d power average pooling", "{}d lp pooling"), "norm|powers"),
    "FractionalMaxPool{}d": (("{}d fractional max pooling", "fractional {}d max pooling"), "fractional steps"),
    "MaxUnpool{}d": (("{}d max unpooling", "{}d max unpool"), "pooled maxima back"),
    "BatchNorm{}d": (("{}d batch normalization", "{}d batch norm"), "batch"),
    "InstanceNorm{}d": (("{}d instance normalization", "{}d instance norm"), "channel of every sample"),
}
_OTHERS: dict[str, tuple[tuple[str, ...], str]] = {
    "Dil_conv2d": (("dilated convolution", "2d dilated convolution", "atrous convolution", "dilated conv2d"),
                   "gaps|spreading"),
    "Sep_conv2d": (("separable convolution", "depthwise separable convolution", "2d separable convolution"),
                   "depthwise"),
    "LayerNorm": (("layer normalization", "layer norm"), "features"),
    "GroupNorm": (("group normalization", "group norm"), "groups of channels"),
    "RMSNorm": (("rms normalization", "rms norm", "root mean square normalization"), "root mean square"),
    "LocalResponseNorm": (("local response normalization", "local response norm"), "neighbouring channels"),
    "ReLU": (("rectified linear unit",), "zero"),
    "ReLU6": (("clipped relu6",), "six"),
    "GELU": (("gaussian error linear unit",), "gaussian|smooth relative"),
    "SiLU": (("swish", "sigmoid linear unit"), "own sigmoid"),
    "Sigmoid": (("logistic sigmoid",), "0 to 1"),
    "Tanh": (("hyperbolic tangent",), "-1 to 1"),
    "ELU": (("exponential linear unit",), "bend(s|ing) negative"),
    "CELU": (("continuously differentiable exponential linear unit",), "continuous derivative"),
    "SELU": (("scaled exponential linear unit",), "normalize themselves"),
    "LeakyReLU": (("leaky relu", "leaky rectified linear unit"), "small slope|little of the negative"),
    "PReLU": (("parametric relu",), "learns the slope"),
    "RReLU": (("randomized leaky relu",), "at random"),
    "Mish": ((), "tanh of their softplus"),
    "Hardswish": (("hard swish",), "swish"),
    "Hardsigmoid": (("hard sigmoid",), "sigmoid"),
    "Hardtanh": (("hard tanh",), "fixed range"),
    "Hardshrink": (("hard shrink", "hard shrinkage"), "magnitude is small"),
    "Softshrink": (("soft shrink", "soft shrinkage"), "towards zero"),
    "Tanhshrink": (("tanh shrink",), "subtracts the tanh"),
    "Softplus": (("soft plus",), "logarithm"),
    "Softsign": (("soft sign",), "one plus their magnitude"),
    "LogSigmoid": (("log sigmoid", "logarithmic sigmoid"), "logarithm of the sigmoid"),
    "GLU": (("gated linear unit",), "one half"),
    "Threshold": (("thresholding",), "threshold"),
    "ReLUSquared": (("squared relu",), "squares"),
    "Laplace": ((), "fitted normal distribution"),
    "XIELU": (("expanded integral of the exponential linear unit",), "parabola"),
    "Softmax": ((), "sum to one|distribution out of"),
    "LogSoftmax": (("log softmax",), "logarithms of normalized"),
    "Softmin": ((), "smallest score"),
    "Linear": (("fully connected", "dense"), "linear map|weight matrix"),
    "Bilinear": ((), "bilinear"),
    "Embedding": (("token embedding", "embedding lookup"), "(each|for) index|indices into"),
    "EmbeddingBag": (("embedding bag",), "bag of indices"),
    "MultiheadAttention": (("multi head attention", "multihead attention"), "several heads"),
    "scaled_dot_product_attention": (("scaled dot product attention", "dot product attention"), "queries and keys"),
    "LSTM": (("long short term memory",), "memory cell"),
    "GRU": (("gated recurrent unit",), "gated hidden"),
    "RNN": (("plain rnn", "elman recurrent", "simple recurrent"), "ungated"),
    "LSTMCell": (("lstm cell",), "one step of a long"),
    "GRUCell": (("gru cell",), "one step of a gated"),
    "RNNCell": (("rnn cell",), "one step of a simple"),
    "RotaryEmbedding": (("rotary embedding", "rotary position embedding", "rope"), "rotating"),
    "Upsample": (("upsampling", "interpolation"), "interpolation|without learned"),
    "PixelShuffle": (("pixel shuffle",), "larger feature map"),
    "PixelUnshuffle": (("pixel unshuffle",), "smaller feature map"),
}  # fmt: skip
"""Layer -> its English names beside its own, and a pattern of what is said that it does."""

_NUMERALS = {"one": "1d", "two": "2d", "three": "3d"}
_CATEGORY_WORDS = {"convolution": "convolution", "convolutional": "convolution", "fully connected": "linear"}
_CATEGORY_WORDS |= {
    name: name for name in ("pooling", "normalization", "activation", "linear", "embedding", "attention", "recurrent",
                            "upsampling")
}  # fmt: skip
_NOUN = r"(?:activation (?:function|layer|module)|layer|module|operation|function|nonlinearity)"


def _plain(phrase: str) -> str:
    phrase = re.sub(r" \([a-z0-9]+\)", "", phrase.lower())
    phrase = re.sub(r"\b(one|two|three)-dimensional\b", lambda m: _NUMERALS[m[1]], phrase)
    return re.sub(r"\bpool\b", "pooling", phrase.replace("-", " "))


def _lexicon() -> tuple[dict[str, str], dict[str, re.Pattern[str]]]:
    names: dict[str, str] = {}
    gists: dict[str, re.Pattern[str]] = {}
    table = dict(_OTHERS)
    for pattern, (phrases, gist) in _DIMENSIONAL.items():
        for d in "123":
            table[pattern.format(d)] = (tuple(p.format(d) for p in phrases), gist)
    for layer, (phrases, gist) in table.items():
        gists[layer] = re.compile(gist, re.IGNORECASE)
        for phrase in (layer.lower(), *phrases):
            if names.setdefault(_plain(phrase), layer) != layer:
                raise RuntimeError(f"{phrase!r} names two layers")
    return names, gists


LEXICON, GISTS = _lexicon()
_NAMED_LAYER = re.compile(
    rf"(?<![\w-])({'|'.join(sorted(map(re.escape, LEXICON), key=len, reverse=True))}) {_NOUN}s?(?![\w-])"
)


def read_layer(phrase: str) -> str:
    """The layer that a noun phrase names, in the singular or the plural.

    Raises:
        UnreadableError: it names none.
    """
    plain = re.sub(r"nonlinearities$", "nonlinearity", _plain(phrase.strip()))
    name = re.sub(rf" {_NOUN}s?$", "", plain)
    if name == plain or name not in LEXICON:
        raise UnreadableError(f"no layer is called {phrase!r}")
    return LEXICON[name]


def read_category(phrase: str) -> str:
    """The category that a noun phrase such as "pooling layer" names.

    Where the word is the name of one layer too, as "embedding" is, only "of any kind" makes it the category.

    Raises:
        UnreadableError: it names none.
    """
    match = re.fullmatch(r"([a-z ]+?) (?:layer|module|function)( of any kind)?", phrase.strip().lower())
    if match is None or match[1] not in _CATEGORY_WORDS or (match[1] in LEXICON and not match[2]):
        raise UnreadableError(f"no category is called {phrase!r}")
    return _CATEGORY_WORDS[match[1]]


def _read_with_clause(phrase: str) -> str:
    name, *clause = re.split(r" (?:which|that) ", phrase, maxsplit=1)
    layer = read_layer(name)
    if clause and not GISTS[layer].search(clause[0]):
        raise UnreadableError(f"{clause[0]!r} is not what {layer} does")
    return layer


def _size(text: str) -> str:
    return re.sub(r" by |x", "*", text)


def _amount(number: str, unit: str) -> float:
    return float(number) * {"m": 1e6, "k": 1e3, "t": 1e3}[unit[0].lower()]


_A = r"(?:an? )"
_SIZE = r"(\d+(?:(?:\*|x| by )\d+){1,2})"
_HAS = r"(?:contains|has|includes|uses|makes use of|comes with|employs|features)"
_VERBS = (r"contains|has|includes|uses|makes|comes|employs|features|does|lacks|runs|consists|counts|is built|applies|"
          r"places|feeds")  # fmt: skip


def _absence(phrase: str) -> Statement:
    """That a layer, or every layer of a category, is missing."""
    readings: list[Statement] = []
    for kind, reader in (("has not", read_layer), ("has none of", read_category)):
        try:
            readings.append((kind, reader(phrase)))
        except UnreadableError:
            continue
    if len(readings) != 1:
        raise UnreadableError(f"{phrase!r} can be read in {len(readings)} ways")
    return readings[0]


_RULES: tuple[tuple[str, Callable[..., list[Statement]]], ...] = (
    (
        r"(?:does not contain|does without|does not use|lacks) (?:an?|any) (.+)|has no (.+)",
        lambda a, b: [_absence(a or b)],
    ),
    (r"makes no use of (.+)", lambda a: [("has not", read_layer(a))]),
    (
        r"(?:has|contains|comes with) (?:about|around|roughly) ([\d.]+) ?(million|thousand|M|K) "
        r"(?:learnable )?parameters",
        lambda n, unit: [("parameters", _amount(n, unit))],
    ),
    (
        r"(?:has|consists of|counts|is built from) (\d+) layers(?: in total| altogether)?"
        r"(?:, (?:among them|which include) (.+))?",
        lambda n, rest: [("layers", int(n)), *_counted(rest)],
    ),
    (
        rf"(?:has|uses|contains) {_A}(.+?) (?:with a kernel size of|whose kernel is) {_SIZE}",
        lambda a, s: [("kernel", read_layer(a), _size(s))],
    ),
    (rf"uses {_A}(.+?) with {_SIZE} kernels", lambda a, s: [("kernel", read_layer(a), _size(s))]),
    (
        rf"uses a kernel size of {_SIZE} in some layer|has kernels of size {_SIZE}|"
        rf"contains a layer with a kernel of {_SIZE}",
        lambda *s: [("kernel", "", _size(next(filter(None, s))))],
    ),
    (
        r"uses (.+) more often than any other layer|has the (.+) as its most frequent layer|consists mostly of (.+)|"
        r"has more (.+) than layers of any other kind",
        lambda *a: [("most", read_layer(next(filter(None, a))))],
    ),
    (
        r"(?:has|contains) more (.+) than (.+)|uses (.+) more often than (.+)",
        lambda a, b, c, d: [("more", read_layer(a or c), read_layer(b or d))],
    ),
    (
        r"has fewer (.+) than (.+)|uses (.+) less often than (.+)",
        lambda a, b, c, d: [("more", read_layer(b or d), read_layer(a or c))],
    ),
    (
        rf"(?:applies|places) {_A}(.+) (?:directly after|right behind) {_A}(.+)",
        lambda a, b: [("after", read_layer(a), read_layer(b))],
    ),
    (
        rf"has {_A}(.+) directly followed by {_A}(.+)|feeds the output of {_A}(.+) straight into {_A}(.+)",
        lambda a, b, c, d: [("after", read_layer(b or d), read_layer(a or c))],
    ),
    (r"(?:has|contains|uses|includes|runs) (?:exactly |a total of )?(\d+ .+)", lambda a: _counted(a)),
    (rf"{_HAS} {_A}(.+)", lambda a: [("has", _read_with_clause(a))]),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), make) for pattern, make in _RULES)


def _counted(text: str | None) -> list[Statement]:
    statements: list[Statement] = []
    for part in re.split(r", | and ", text or ""):
        if part:
            match = re.fullmatch(r"(\d+) (.+)", part)
            if match is None:
                raise UnreadableError(f"no number of layers in {part!r}")
            statements.append(("number of", read_layer(match[2]), int(match[1])))
    return statements


_NETWORK = (
    r"(?:deep network|neural network architecture|neural network|neural architecture|architecture|network|model)"
)
_SUBJECT = re.compile(rf"(?:It|(?:Additionally, |Besides, )?this {_NETWORK})(?: also| further)? ", re.IGNORECASE)


def read_description(text: str) -> list[Statement]:
    """All statements of a description.

    Raises:
        UnreadableError: for any part that is not understood.
    """
    return [statement for part in _verb_phrases(text) for statement in _read_verb_phrase(part)]


def _verb_phrases(text: str) -> Iterator[str]:
    if not text.endswith("."):
        raise UnreadableError("a description ends with a full stop")
    for sentence in re.split(r"\.\s+(?=[A-Z])", text[:-1]):
        subject = _SUBJECT.match(sentence)
        if subject is None:
            raise UnreadableError(f"{sentence!r} does not speak of a network")
        yield from re.split(rf"(?:, and it|, and| and) (?=(?:{_VERBS}) )", sentence[subject.end() :])


def _read_verb_phrase(phrase: str) -> list[Statement]:
    reason = f"{phrase!r} follows no pattern"
    for pattern, make in _COMPILED:
        match = pattern.fullmatch(phrase)
        if match is not None:
            try:
                return make(*match.groups())
            except UnreadableError as error:
                reason = str(error)
    raise UnreadableError(reason)


_THE_NETWORK = re.compile(r"\b(?:this|the(?: given)?) (?:neural )?(?:network model|network|architecture|model)\b")
_FUNCTION_WORDS = re.compile(
    r"\b(?:do in|does in|need|perform|for in|purpose|job|task|act|function of|computes|computed|explain|why|role|"
    r"use of|used for|happens|effect)\b|\bfor\?$"
)
_AFTER_CONVOLUTION = re.compile(
    r"\b(after|follow|follows|followed|behind|succeeds|output of convolutions|convolution outputs|convolved)\b"
)
_TOPICS: tuple[tuple[str, str], ...] = (
    ("pooling", r"\bpool(ing)?\b"),
    ("normalization", r"\bnorm(aliz\w+)?\b"),
    ("activation", r"\bactivations?\b|\bnonlinear\w*"),
    ("convolution", r"\bconvol(ved|ving|utions?|utional)\b"),
    ("layer", r"\blayers?\b|\bmodules\b|\bbuilding blocks\b|\bcomposed of\b|\bmade from\b"),
)


def read_question(text: str) -> tuple[str, str]:
    """Kind of a question, in the names of the data set, and the layer that it is about (empty for none).

    Raises:
        UnreadableError: the question is not understood.
    """
    plain = _plain(_THE_NETWORK.sub("NET", text.lower()))
    if not re.search(r"\bnet\b", plain):
        raise UnreadableError(f"{text!r} does not ask about a network")
    layers = {LEXICON[name] for name in _NAMED_LAYER.findall(plain)}
    if len(layers) > 1:
        raise UnreadableError(f"{text!r} names {len(layers)} layers")
    subject = next(iter(layers), "")
    if re.search(r"\bkernels?\b", plain):
        return ("layer_kernel_sizes" if subject else "kernel_sizes"), subject
    if subject:
        if not _FUNCTION_WORDS.search(plain):
            raise UnreadableError(f"{text!r} asks something unknown about {subject}")
        return "layer_function", subject
    topics = [name for name, pattern in _TOPICS if re.search(pattern, plain)]
    if "convolution" in topics and _AFTER_CONVOLUTION.search(plain):
        topics = [name for name in topics if name in ("normalization", "activation")]
        if len(topics) == 1:
            return f"{topics[0]}_after_convolution", ""
    specific = [name for name in topics if name != "layer"] or topics
    if len(specific) != 1:
        raise UnreadableError(f"{text!r} has the topics {topics}")
    return f"{specific[0]}_types", ""


def read_answer(text: str) -> tuple[str, str]:
    """An answer as `("name", layer)`, `("kernel", size)`, `("nothing", of what)` or `("function", text)`."""
    missing = re.fullmatch(r"This model does not include (?:an? )?(.+)", text)
    if missing:
        return "nothing", missing[1]
    if re.fullmatch(r"\d+(\*\d+){1,2}", text):
        return "kernel", text
    return ("name", text) if category_of(text) else ("function", text)
