"""Pairs of architectures, alike and not, in which neither one network, nor the names, nor the sizes tell the label.

A network with many relatives would stand in many pairs of label 1, and a singleton in none: a classifier that sees one
network of a pair would know the label. Relatives are named alike, so names would tell it, too. Pairs are therefore
drawn by an integer programme, which takes as many pairs of label 1 as there can be while

* every network stands in as many pairs of label 1 as of label 0, in `MAX_PAIRS` of each at the most;
* above every level of every measure of names (`name_likeness_tvhf`), and of the ratio of sizes, there are as many
  pairs of label 1 as of label 0, up to a share of `MAX_SHARE` and a few.

What is left of these differences costs, also among the pairs of about one size, so that even draws are preferred.
Relatives with like names are given up where too few others have names as like. Large sets are drawn part by part.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from .name_likeness_tvhf import LIKENESS, is_unlike

SIZE_MATCHED = 3.0
"""Two networks are of about one size up to this ratio of parameters."""
RATIOS = (1.1, 1.25, 1.5, 2.0, SIZE_MATCHED, 5.0, 10.0, 30.0)
"""Levels of the ratio of sizes between which pairs are balanced."""
MAX_PAIRS = 12
"""Most pairs of label 1, and of label 0, in which a network stands."""
MIN_ALIKE = 5
"""Fewer pairs of label 1 than this say nothing: none is drawn."""
MAX_SHARE, SLACK = 0.1, 2.0
"""What the counts of both labels may differ by above a level: this share of the pairs of label 1, and so many more."""
_PART = 250
"""Most pairs of label 1 that are drawn together."""
_OTHERS = 12
"""Pairs of label 0 with unlike names that a programme has for each pair of label 1."""
_HARD, _UNEVEN, _NOISE = 0.3, 0.1, 0.01
"""Worth of a pair of label 0 of a hard relation, and cost of a difference of counts, in pairs of label 1."""
_SOLVER = {"mip_rel_gap": 0.05, "node_limit": 1000}


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


def balanced_pairs(
    rng: random.Random,
    alike: Sequence[Pair],
    others: Sequence[Pair],
    sizes: np.ndarray,
    names: Sequence[str],
    hard: str,
) -> tuple[list[Pair], list[Pair]]:
    """Pairs of label 1 and of label 0 as the module says; as many of each.

    Args:
        rng: of the draws.
        alike: pairs that may be drawn with label 1.
        others: those that may be drawn with label 0.
        sizes: float (n,), parameters of each network.
        names: of the networks.
        hard: relation of the pairs of label 0 that are preferred.

    Returns:
        Pairs of label 1, and of label 0, sorted; both empty where fewer than `MIN_ALIKE` can be had.
    """
    order = rng.sample(sorted(alike), len(alike))
    parts = max(1, -(-len(order) // _PART))
    found: tuple[list[Pair], list[Pair]] = ([], [])
    uses: Counter[int] = Counter()
    for number in range(parts):
        part = sorted(order[number::parts])
        inside = {i for pair in part for i in pair[:2]}
        taken = set(found[1])
        free = [pair for pair in others if {*pair[:2]} <= inside and pair not in taken]
        programme = _Programme(rng, part, _candidates(rng, free, names, _OTHERS * len(part)), hard)
        programme.balance_networks(uses)
        programme.balance_levels(sizes, names)
        for kept, drawn in zip(found, programme.solve(), strict=True):
            kept += drawn
        uses = Counter(i for pair in found[0] for i in pair[:2])
    return (sorted(found[0]), sorted(found[1])) if len(found[0]) >= MIN_ALIKE else ([], [])


def _candidates(rng: random.Random, pairs: Sequence[Pair], names: Sequence[str], count: int) -> list[Pair]:
    """All pairs with names that are not unlike, and up to `count` others."""
    unlike = [pair for pair in pairs if is_unlike(names[pair.first], names[pair.second])]
    kept = set(unlike)
    return sorted([p for p in pairs if p not in kept] + rng.sample(unlike, min(count, len(unlike))))


class _Programme:
    """Which of the given pairs are drawn: one binary variable for each, then one for each difference of counts.

    Args:
        rng: breaks ties.
        alike: pairs of label 1.
        others: pairs of label 0.
        hard: relation of preferred pairs of label 0.
    """

    def __init__(self, rng: random.Random, alike: Sequence[Pair], others: Sequence[Pair], hard: str) -> None:
        self.pairs = [*alike, *others]
        self.count, self.alike = len(self.pairs), len(alike)
        self.sign = np.where(np.arange(self.count) < self.alike, 1.0, -1.0)
        is_hard = np.array([pair.relation == hard for pair in self.pairs], dtype=float)
        noise = np.array([_NOISE * rng.random() for _ in self.pairs])
        self.cost = [*(noise - (self.sign > 0) - _HARD * is_hard * (self.sign < 0))]
        self.rows: list[int] = []
        self.columns: list[int] = []
        self.values: list[float] = []
        self.limits: list[tuple[float, float]] = []

    def _limit(self, columns: Sequence[int] | np.ndarray, values: Sequence[float] | np.ndarray,
               low: float, high: float) -> None:  # fmt: skip
        self.rows += [len(self.limits)] * len(columns)
        self.columns += list(columns)
        self.values += list(values)
        self.limits.append((low, high))

    def balance_networks(self, uses: Counter[int]) -> None:
        """Every network as often in both labels, and with `uses` from before in `MAX_PAIRS` of label 1."""
        places = defaultdict[int, list[int]](list)
        for place, pair in enumerate(self.pairs):
            for i in pair[:2]:
                places[i].append(place)
        for i, of in places.items():
            self._limit(of, self.sign[of], 0, 0)
            alike = [place for place in of if place < self.alike]
            self._limit(alike, [1.0] * len(alike), 0, max(0, MAX_PAIRS - uses[i]))

    def balance_levels(self, sizes: np.ndarray, names: Sequence[str]) -> None:
        """As many pairs of both labels above every level, of names and of sizes."""
        ratios = np.array([size_ratio(pair, sizes) for pair in self.pairs])
        matched = ratios <= SIZE_MATCHED
        for level in RATIOS:
            self._balance(ratios <= level)
        for above in self._levels_of_names(names):
            self._balance(above)
            self._balance(above & matched, is_limited=False)

    def _levels_of_names(self, names: Sequence[str]) -> Iterator[np.ndarray]:
        given = [(names[pair.first], names[pair.second]) for pair in self.pairs]
        for measure, levels in LIKENESS.values():
            found = np.array([measure(a, b) for a, b in given])
            yield from (found >= level for level in levels)

    def _balance(self, chosen: np.ndarray, is_limited: bool = True) -> None:
        """The difference of counts among the chosen pairs costs, and may be limited; `chosen` is bool (n,)."""
        places = np.flatnonzero(chosen)
        difference = len(self.cost)
        self.cost.append(_UNEVEN)
        for sign in (1.0, -1.0):
            self._limit([*places, difference], [*sign * self.sign[places], -1.0], -np.inf, 0)
        if is_limited:
            share = [-MAX_SHARE] * self.alike
            self._limit([difference, *range(self.alike)], [1.0, *share], -np.inf, SLACK)

    def solve(self) -> tuple[list[Pair], list[Pair]]:
        """The drawn pairs of label 1 and of label 0; no pair at all is a solution, too."""
        extra = len(self.cost) - self.count
        shape = (len(self.limits), len(self.cost))
        table = coo_array((self.values, (self.rows, self.columns)), shape).tocsr()
        low, high = zip(*self.limits, strict=True)
        found = milp(
            np.array(self.cost),
            constraints=LinearConstraint(table, low, high),
            integrality=np.r_[np.ones(self.count), np.zeros(extra)],
            bounds=Bounds(0.0, np.r_[np.ones(self.count), np.full(extra, np.inf)]),
            options=dict(_SOLVER),
        )
        drawn = np.flatnonzero(found.x[: self.count] > 0.5).tolist() if found.x is not None else []
        return [self.pairs[i] for i in drawn if i < self.alike], [self.pairs[i] for i in drawn if i >= self.alike]
