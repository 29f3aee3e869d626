"""Pairs of architectures, alike and not, in which one network alone tells nothing.

A network with many relatives would stand in many pairs of label 1, and a singleton in none: a classifier that sees one
network of a pair would know the label. So every network stands in as many pairs of label 1 as of label 0, and that,
as far as possible, within bands of the ratio of sizes, so that two sizes tell little either.

For each band the pairs of label 1 are drawn first; pairs of label 0 are then found in which every network occurs
equally often. Where there are none, a pair of label 1 is left to the next band, and in the last one given up.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

BANDS = (1.5, 3.0, float("inf"))
"""Upper ends of the bands of the ratio of parameters."""
MAX_PAIRS = 12
"""Most pairs of label 1, and of label 0, in which a network stands."""
HARD_SHARE = 0.5
"""How often a pair of label 0 is looked for among networks of one paradigm first."""
_PATIENCE = 400


class Pair(NamedTuple):
    """Two rows of the table of architectures, by index, and their relation."""

    first: int
    second: int
    relation: str


def size_ratio(pair: Pair, sizes: np.ndarray) -> float:
    """How many times as many parameters the larger network has.

    Args:
        pair: two networks.
        sizes: float (n,), parameters.
    """
    a, b = max(1.0, sizes[pair.first]), max(1.0, sizes[pair.second])
    return float(max(a, b) / min(a, b))


def band(pair: Pair, sizes: np.ndarray) -> int:
    """Index of the band of `BANDS` that a pair is in; arguments as `size_ratio`."""
    ratio = size_ratio(pair, sizes)
    return next(number for number, end in enumerate(BANDS) if ratio <= end)


def balanced_pairs(
    rng: random.Random, alike: Sequence[Pair], others: Sequence[Pair], sizes: np.ndarray, hard: str
) -> list[list[Pair]]:
    """Pairs of label 1 and of label 0 in which every network stands equally often, for each of `BANDS`.

    Args:
        rng: of the draws.
        alike: pairs that may be drawn with label 1.
        others: those that may be drawn with label 0.
        sizes: float (n,), parameters of each network.
        hard: relation of pairs of label 0 that are drawn first half of the time.

    Returns:
        For each band both kinds of pairs, sorted; a pair of a lower band may stand in a higher one.
    """
    found: list[list[Pair]] = []
    given, free = _with_limit(rng, alike), list(others)
    for number in range(len(BANDS)):
        inside, partners = ([pair for pair in pairs if band(pair, sizes) <= number] for pairs in (given, free))
        found.append(_balanced(rng, inside, _Partners(partners, hard)))
        used = set(found[-1])
        given, free = ([pair for pair in pairs if pair not in used] for pairs in (given, free))
    return found


def _balanced(rng: random.Random, alike: Sequence[Pair], partners: _Partners) -> list[Pair]:
    """As many of `alike` as there are pairs of `partners` for, with these."""
    drawn = list(alike)
    while drawn:
        matched, left = partners.match(rng, _degrees(drawn))
        if not left:
            return sorted(drawn + matched)
        drawn = _give_up(rng, drawn, left)
    return []


def _with_limit(rng: random.Random, pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs in random order, each network in at most `MAX_PAIRS`."""
    order, uses = list(pairs), Counter[int]()
    rng.shuffle(order)
    drawn = []
    for pair in order:
        if max(uses[pair.first], uses[pair.second]) < MAX_PAIRS:
            drawn.append(pair)
            uses.update(pair[:2])
    return drawn


def _degrees(pairs: Sequence[Pair]) -> Counter[int]:
    return Counter(i for pair in pairs for i in pair[:2])


def _give_up(rng: random.Random, drawn: Sequence[Pair], left: Mapping[int, int]) -> list[Pair]:
    """The pairs without one for each network that lacks partners; pairs of two such networks go first."""
    kept = list(drawn)
    lacking = dict(left)
    order = sorted(drawn, key=lambda p: (-(p.first in left) - (p.second in left), rng.random()))
    for pair in order:
        if any(lacking.get(i, 0) > 0 for i in pair[:2]):
            kept.remove(pair)
            for i in pair[:2]:
                lacking[i] = lacking.get(i, 0) - 1
    return kept


class _Partners:
    """Which networks may stand together in a pair of label 0."""

    def __init__(self, pairs: Sequence[Pair], hard: str) -> None:
        self.pairs: dict[tuple[int, int], Pair] = {pair[:2]: pair for pair in pairs}
        self.hard, self.all = defaultdict[int, set[int]](set), defaultdict[int, set[int]](set)
        for pair in pairs:
            for i, j in (pair[:2], (pair.second, pair.first)):
                self.all[i].add(j)
                if pair.relation == hard:
                    self.hard[i].add(j)

    def match(self, rng: random.Random, degrees: Counter[int]) -> tuple[list[Pair], dict[int, int]]:
        """Pairs in which each network stands `degrees` times, and what was left: network -> pairs it lacks."""
        need = Counter({i: d for i, d in degrees.items() if d > 0})
        chosen: set[tuple[int, int]] = set()
        order = sorted(need, key=lambda i: (len(self.all[i] & need.keys()) / need[i], rng.random()))
        for i in order:  # networks with few partners choose first
            while need[i] > 0 and (j := self._partner(rng, i, need, chosen)) is not None:
                self._add(chosen, need, i, j)
        for _ in range(_PATIENCE):
            lacking = sorted(need.elements())
            if not lacking or not self._exchange(rng, lacking, need, chosen):
                break
        return sorted(self.pairs[key] for key in chosen), {i: n for i, n in need.items() if n > 0}

    def _partner(self, rng: random.Random, i: int, need: Counter[int], chosen: set[Any]) -> int | None:
        """The free partner that lacks most, of the hard ones first in a share of the cases."""
        pools = (self.hard[i], self.all[i]) if rng.random() < HARD_SHARE else (self.all[i],)
        for pool in pools:
            free = sorted(j for j in pool if need[j] > 0 and _key(i, j) not in chosen)
            if free:
                return max(free, key=lambda j: (need[j] / (1 + len(self.all[j])), rng.random()))
        return None

    @staticmethod
    def _add(chosen: set[tuple[int, int]], need: Counter[int], i: int, j: int) -> None:
        chosen.add(_key(i, j))
        need[i] -= 1
        need[j] -= 1

    def _exchange(
        self, rng: random.Random, lacking: Sequence[int], need: Counter[int], chosen: set[tuple[int, int]]
    ) -> bool:
        """Two networks that lack a partner take the two of a pair that is there; whether that was possible."""
        u = rng.choice(lacking)
        others = list(lacking)
        others.remove(u)
        rng.shuffle(others)
        for v in others[:6]:
            for x, y in rng.sample(sorted(chosen), len(chosen)):
                for a, b in ((x, y), (y, x)):
                    new = {_key(u, a), _key(v, b)}
                    if len(new) == 2 and all(key in self.pairs and key not in chosen for key in new):
                        chosen.remove(_key(x, y))
                        chosen.update(new)
                        need[u] -= 1
                        need[v] -= 1
                        return True
        return False


def _key(i: int, j: int) -> tuple[int, int]:
    return (i, j) if i < j else (j, i)
