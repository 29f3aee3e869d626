"""How alike two names of networks are, in the ways that give away relatives.

Relatives are often named alike, so a name would tell whether a pair is alike without a look at its graphs. Pairs of
`clones` are drawn so that none of these measures does (`clone_pairs_tvhf`); `pair_floors_tvhf` measures what is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

UNLIKE_BELOW = 0.5
"""Two names whose characters agree less than this, and that begin otherwise, are unlike."""
_WORD = re.compile(r"[a-z]+|\d+")


@lru_cache(maxsize=500_000)
def sequence_ratio(a: str, b: str) -> float:
    """Share of the characters in common runs, 0 to 1 (`difflib.SequenceMatcher`); the order of names is no matter."""
    return SequenceMatcher(None, min(a, b), max(a, b)).ratio()


def common_prefix(a: str, b: str) -> float:
    """Number of characters with which both begin."""
    return float(next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))))


@lru_cache(maxsize=500_000)
def edit_likeness(a: str, b: str) -> float:
    """1 less the edit distance (Levenshtein) over the longer length, 0 to 1."""
    before = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        now = [i]
        for j, y in enumerate(b, 1):
            now.append(min(now[-1] + 1, before[j] + 1, before[j - 1] + (x != y)))
        before = now
    return 1.0 - before[-1] / max(len(a), len(b), 1)


def words_of(name: str) -> list[str]:
    """The runs of letters and of digits in a name, in small letters."""
    return _WORD.findall(name.lower())


def shared_words(a: str, b: str) -> float:
    """Jaccard index of the words of both names, 0 to 1."""
    first, second = set(words_of(a)), set(words_of(b))
    return len(first & second) / max(1, len(first | second))


def same_start(a: str, b: str) -> float:
    """1 where both begin with the same word, else 0."""
    return float(words_of(a)[:1] == words_of(b)[:1])


class Likeness(NamedTuple):
    """A measure of two names, and the values between which pairs are balanced."""

    measure: Callable[[str, str], float]
    levels: tuple[float, ...]


LIKENESS: Mapping[str, Likeness] = {
    "characters": Likeness(sequence_ratio, (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
    "prefix": Likeness(common_prefix, (1, 2, 3, 4, 5, 6)),
    "edits": Likeness(edit_likeness, (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)),
    "words": Likeness(shared_words, (0.01, 0.2, 0.34, 0.5)),
    "start": Likeness(same_start, (1,)),
}
"""Name -> measure; larger is more alike."""


def is_unlike(a: str, b: str) -> bool:
    """Whether two names would not be taken for those of relatives."""
    return not same_start(a, b) and sequence_ratio(a, b) < UNLIKE_BELOW
