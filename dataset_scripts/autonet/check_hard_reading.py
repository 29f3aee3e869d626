"""Reading the questions of `aqa_hard` back, for the checker: English in, a type and its details out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from .check_reading import _NAMED_LAYER as NAMED_LAYER
from .check_reading import _THE_NETWORK as THE_NETWORK
from .check_reading import LEXICON, UnreadableError, read_category
from .check_reading import _plain as plain


class Reading(NamedTuple):
    """A type of question and what it is about."""

    kind: str
    details: tuple[str, ...] = ()


_POSITION = re.compile(r"\b(second to last|first|second|third|fourth|fifth|last) (?:LAYER|block|skip)")
_ANY_KIND = re.compile(r"\b(\w+ (?:layer|module|function))s of any kind")
_KERNEL = re.compile(r"\b(\d+)(?:\*|x| by )(\d+)(?:(?:\*|x| by )(\d+))?\b")
_UNIT = re.compile(r"\b([\d.]+(?:e\+\d+)?) (million|m|thousand|k)\b")
_UNITS = {"million": 10**6, "m": 10**6, "thousand": 10**3, "k": 10**3}

_UNKNOWABLE = re.compile(
    r"optimizer|\badam\b|data set|what data|accura|test set|learning rate|batch size|training batches|epochs|"
    r"long did it take|hours of|loss was|training loss|licen[cs]e|who (?:designed|are)|authors|random seed|"
    r"initialized|hardware|gpus|weight decay|dropout|precision|which year|first released"
)
_SETTINGS: tuple[tuple[str, str], ...] = (
    ("key and value heads", r"keys? and values?"),
    ("head size", r"(?:large is one|size of the attention|features does each|dimension of each)"),
    ("heads", r"\bheads\b"),
    ("groups", r"\bgroups\b"),
    ("dilation", r"\bdilation\b|\bdilated convolutions are\b|are the dilated|\brate are\b"),
    ("stacked layers", r"recurrent modules?\b"),
    ("pooling stride", r"\bstride\b"),
    ("shuffle factor", r"\bfactor\b|how much larger does pixel"),
)


def read_hard_question(text: str) -> Reading:
    """The type and details of a question.

    Raises:
        UnreadableError: it is not understood.
    """
    words = plain(THE_NETWORK.sub("NET", text.lower())).replace("nonlinearities", "nonlinearitys").rstrip("?")
    if "net" not in words.split() and not re.search(r"\bnet\b", words):
        raise UnreadableError(f"{text!r} does not ask about a network")
    layers = [LEXICON[name] for name in NAMED_LAYER.findall(words)]
    words = NAMED_LAYER.sub("LAYER", words)
    for test, read in _READERS:
        if re.search(test, words):
            return read(words, layers)
    raise UnreadableError(f"{text!r} follows no pattern")


def _one(words: str, layers: list[str]) -> str:
    if len(layers) != 1:
        raise UnreadableError(f"{words!r} names {len(layers)} layers")
    return layers[0]


def _position(words: str) -> str:
    found = _POSITION.findall(words)
    if "block" in words:
        found = re.findall(r"\b(second to last|first|second|third|fourth|fifth|last) block", words)
    if len(found) != 1:
        raise UnreadableError(f"{words!r} has the positions {found}")
    return str(found[0])


def _number(words: str) -> str:
    found = re.findall(r"\b\d+\b", words)
    if len(found) != 1:
        raise UnreadableError(f"{words!r} has the numbers {found}")
    return str(found[0])


def _setting(words: str, layers: list[str]) -> Reading:
    for name, pattern in _SETTINGS:
        if re.search(pattern, words):
            return Reading("setting", (name,))
    raise UnreadableError(f"{words!r} asks for no known setting")


def _parameters(words: str, layers: list[str]) -> Reading:
    amount = _UNIT.search(words)
    if amount:
        return Reading("parameters_exceed", (str(round(float(amount[1]) * _UNITS[amount[2]])),))
    if re.search(r"\bmost\b", words):
        return Reading("heaviest")
    if not re.search(r"two (?:significant )?digits", words):
        raise UnreadableError(f"{words!r} does not say how exactly")
    return Reading("parameters")


def _block(words: str, layers: list[str]) -> Reading:
    if layers:
        if not re.search(r"the last LAYER", words):
            raise UnreadableError(f"{words!r} does not ask for the last layer of a kind")
        return Reading("block_after", (_one(words, layers), _position(words)))
    return Reading("block_layers" if "one main block" in words else "block_repeats")


def _skip(words: str, layers: list[str]) -> Reading:
    if "addition" in words:
        return Reading("skip_count")
    counted = re.search(r"\bhow many\b|\bcount\b|\bnumber of\b", words)
    return Reading("skip_span" if counted else "skip_layers", (_position(words),))


def _kernel(words: str, layers: list[str]) -> Reading:
    size = _KERNEL.search(words)
    if size:
        return Reading("count_kernel", ("*".join(side for side in size.groups() if side),))
    return Reading("kernel", (_one(words, layers), _position(words)))


def _width(words: str, layers: list[str]) -> Reading:
    extreme = re.search(r"\b(largest|smallest)\b", words)
    layer = _one(words, layers)
    return Reading("extreme_width", (layer, extreme[1])) if extreme else Reading("width", (layer, _position(words)))


def _depth(words: str, layers: list[str]) -> Reading:
    return Reading("depth_of", (_one(words, layers), _position(words))) if layers else Reading("longest_path")


def _category(words: str, layers: list[str]) -> Reading:
    match = _ANY_KIND.search(words)
    if match is None:
        raise UnreadableError(f"{words!r} names no category")
    return Reading("count_category", (read_category(f"{match[1]} of any kind"),))


_READERS: tuple[tuple[str, Callable[[str, list[str]], Reading]], ...] = (
    (_UNKNOWABLE.pattern, lambda words, layers: Reading("unknowable")),
    (r"\bparameters?\b", _parameters),
    (r"\bblock\b", _block),
    (r"skip connection|residual addition", _skip),
    (r"\bkernel\b|\bkernels\b", _kernel),
    (r"\bhead\b|\bheads\b|\bgroups\b|dilation|dilated|recurrent modules?|\bstride\b|factor|pixel shuffle", _setting),
    (r"\boutput (?:width|features)\b|\bwide\b|\boutput have\b|(?:largest|smallest) output", _width),
    (r"LAYER.*LAYER", lambda words, layers: Reading("difference", tuple(layers))),
    (r"\bsteps\b", _depth),
    (
        r"directly follows|right after|reads the output|output of the .+ go|pass its result|successor",
        lambda words, layers: Reading("after", (_one(words, layers), _position(words))),
    ),
    (
        r"directly precedes|right before|whose output|\bfeeds\b|input from|predecessor",
        lambda words, layers: Reading("before", (_one(words, layers), _position(words))),
    ),
    (r"of any kind", _category),
    (
        r"(?:more than|greater than|exceed|over|is) \d+\b",
        lambda words, layers: Reading("exceeds", (_one(words, layers), _number(words))),
    ),
    (
        r"\bhow (?:many|often)\b|\bnumber of\b|\bcount\b",
        lambda words, layers: Reading("count", (_one(words, layers),)),
    ),
)
"""Pattern of a question whose layers are written LAYER -> what reads it; the first that fits is taken."""
