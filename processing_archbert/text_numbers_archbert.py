"""Finds the numbers that a text states, in digits or in words, so that a model can copy them instead of guessing.

`"Forty-two layers, 30,522 tokens, 1.5 B parameters"` states 42, 30522 and 1.5e9. Names of layers (`Conv2d`, `ReLU6`)
and dimensions (`2D`) state none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NO_NUMBER = -1.0
"""What a word piece has that belongs to no number."""

_UNITS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
          "seventeen eighteen nineteen").split()  # fmt: skip
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL = {word: value for value, word in enumerate(_UNITS)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_POWERS = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SUFFIXES = {"k": 10**3, "K": 10**3, "M": 10**6, "m": 10**6, "B": 10**9, "b": 10**9, "G": 10**9, "T": 10**12}
_SIMPLE = (
    rf"(?:(?:{'|'.join(_TENS)})[\s-](?:{'|'.join(_UNITS[1:10])})|{'|'.join(sorted(_SMALL, key=len, reverse=True))})"
)
_POWER = rf"(?:{'|'.join(_POWERS)})"
_SPELLED = re.compile(
    rf"\b(?:{_SIMPLE}|{_POWER})(?:[\s-]{_POWER})*(?:(?:(?<=hundred)|(?<=thousand))[\s-](?:and\s)?{_SIMPLE}(?:[\s-]{_POWER})*)*\b",
    re.IGNORECASE,
)
_DIGITS = re.compile(
    r"(?<![A-Za-z0-9_.])(?P<amount>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"(?:(?P<suffix>[kKmMbBGT])(?![A-Za-z0-9])|\s(?P<apart>[kMBT]|thousand|million|billion|trillion)(?![A-Za-z0-9])|)"
    r"(?P<after>[A-Za-z_]*)"
)
_FACTOR = re.compile(r"(?<=\dx)\d+", re.IGNORECASE)
_DIMENSION = re.compile(r"-?[dD]\b")


class StatedNumber(NamedTuple):
    """A number and where it stands: characters `start` to `end` of the text."""

    start: int
    end: int
    value: float


def stated_numbers(text: str) -> list[StatedNumber]:
    """All numbers that a text states, in the order of the text."""
    found = []
    for match in _DIGITS.finditer(text):
        after = match.group("after")
        if (after and after not in ("x", "X")) or _DIMENSION.match(text, match.end("amount")):
            continue
        unit = match.group("suffix") or match.group("apart") or ""
        factor = _SUFFIXES.get(unit) or _POWERS.get(unit, 1)
        value = float(match.group("amount").replace(",", "")) * factor
        found.append(StatedNumber(match.start(), match.start("after"), value))
    found += [StatedNumber(m.start(), m.end(), float(m.group())) for m in _FACTOR.finditer(text)]
    found += [StatedNumber(m.start(), m.end(), _spelled(m.group())) for m in _SPELLED.finditer(text)]
    taken: list[StatedNumber] = []
    for number in sorted(found):
        if not taken or number.start >= taken[-1].end:
            taken.append(number)
    return taken


def piece_numbers(texts: Sequence[str], offsets: Sequence[Sequence[tuple[int, int]]]) -> np.ndarray:
    """The number that each word piece belongs to.

    Args:
        texts: B texts.
        offsets: of their word pieces, padded: (start, end) in characters, (0, 0) where a piece is no part of the text.

    Returns:
        float32 (B, T): the logarithm of one plus the number, `NO_NUMBER` where there is none.
    """
    rows = np.full((len(texts), max((len(row) for row in offsets), default=0)), NO_NUMBER, dtype=np.float32)
    for row, (text, spans) in enumerate(zip(texts, offsets, strict=True)):
        for number in stated_numbers(text):
            for piece, (start, end) in enumerate(spans):
                if start < end and start < number.end and end > number.start:
                    rows[row, piece] = np.log1p(number.value)
    return rows


def _spelled(words: str) -> float:
    """`"one hundred and twenty-eight"` -> 128."""
    total = current = 0
    for word in re.split(r"[\s-]+", words.lower()):
        if word in _SMALL:
            current += _SMALL[word]
        elif word == "hundred":
            current = max(1, current) * 100
        elif word in _POWERS:
            total, current = total + max(1, current) * _POWERS[word], 0
    return float(total + current)
