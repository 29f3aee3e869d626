"""The config `bimodal_clones`: two networks and a supporting text that says in what respect they are compared.

The label is 1 where the text is true of both networks and 0 where it is true of one only (paper, Table 9). Rows come
in groups of four, two pairs by two texts::

                 text A    text B
    pair 1       both      one
    pair 2       one       both

so that in every group each text, and each pair, has both labels: neither alone tells anything.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .search_phrases_tvhf import PROPERTIES, SIZES, WITHOUT, Property
from .search_tvhf import predicate_cells
from .statements_tvhf import Statement
from .truth_tvhf import FALSE, TRUE, Architecture

GROUPS = {"train": 1500, "validation": 150, "test": 400, "test_new": 400}
"""Most groups of a split."""
ASKED = {
    "train": ("{}", "in this respect: {}", "a shared property, {}"),
    "held_out": ("compared by this: {}",),
}
"""Frames around a text; validation and test have all of them."""
KINDS = ("structure", "size", "purpose")
_ATTEMPTS = 40
_NEAREST = 6
_SHORT_SHARE = 0.5


def short_statements(architectures: Sequence[Architecture]) -> list[Statement]:
    """The statements of the phrases of search, for every split."""
    found = [(p, "structure") for p in (*PROPERTIES, *WITHOUT)] + [(p, "size") for p in SIZES]
    return [_statement(p, kind, architectures) for p, kind in found]


def _statement(phrase: Property, kind: str, architectures: Sequence[Architecture]) -> Statement:
    return Statement(phrase.statement, phrase.predicate, kind, "", predicate_cells(phrase.predicate, architectures))


def bimodal_rows(
    statements: Sequence[Statement], architectures: Sequence[Architecture], seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Split -> rows, four to a group.

    Args:
        statements: sentences of the truth matrix.
        architectures: in the order of the cells; `record["split"]` is the split of each.
        seed: of the draws.
    """
    short = short_statements(architectures)
    rows: dict[str, list[dict[str, Any]]] = {}
    for split in GROUPS:
        side = "test" if split == "test_new" else split
        inside = [i for i, a in enumerate(architectures) if a.record.get("split") == split]
        usable = [
            [s for s in given if s.split in (side, "") and s.kind in KINDS and not s.mentions_name]
            for given in (short, statements)
        ]
        drawer = _GroupDrawer(architectures, inside, random.Random(f"{seed}/{split}/bimodal"))
        found = drawer.rows(usable[0], usable[1], split)
        if found:
            rows[split] = found
    return rows


class _GroupDrawer:
    """Draws groups within one split; networks that were used seldom go first."""

    def __init__(self, architectures: Sequence[Architecture], inside: Sequence[int], rng: random.Random) -> None:
        self.architectures, self.inside, self.rng = architectures, np.array(inside, dtype=np.int64), rng
        self.uses: Counter[int] = Counter()
        self.sizes = {i: math.log10(max(1, int(architectures[i].facts.value("parameters") or 1))) for i in inside}
        self.modalities = {i: frozenset(architectures[i].facts.value("modality") or ()) for i in inside}

    def rows(self, short: Sequence[Statement], long: Sequence[Statement], split: str) -> list[dict[str, Any]]:
        """Rows of up to `GROUPS[split]` groups."""
        kept = [[s for s in given if self._is_mixed(s)] for given in (short, long)]
        rows: list[dict[str, Any]] = []
        seen: set[tuple[Any, ...]] = set()
        for number in range(3 * GROUPS[split]):
            pool = kept[0] if not kept[1] or self.rng.random() < _SHORT_SHARE else kept[1]
            drawn = self._draw(pool, kept[0]) if len(pool) > 1 else None
            if drawn is None or (key := self._key(*drawn)) in seen:
                continue
            seen.add(key)
            for pair in drawn[1]:
                self.uses.update(pair)
            rows += self._group(*drawn, f"{split}-{number:05d}", split)
            if len(rows) == 4 * GROUPS[split]:
                break
        return rows

    def _is_mixed(self, statement: Statement) -> bool:
        cells = statement.cells[self.inside]
        return int((cells == TRUE).sum()) >= 2 and bool((cells == FALSE).any())

    @staticmethod
    def _key(texts: tuple[Statement, Statement], pairs: tuple[tuple[int, int], tuple[int, int]]) -> tuple[Any, ...]:
        return (*sorted(t.text for t in texts), *sorted(tuple(sorted(p)) for p in pairs))

    def _draw(
        self, pool: Sequence[Statement], others: Sequence[Statement]
    ) -> tuple[tuple[Statement, Statement], tuple[tuple[int, int], tuple[int, int]]] | None:
        """Two texts and two pairs as the table above has them."""
        for _ in range(_ATTEMPTS):
            a = self.rng.choice(pool)
            b = self.rng.choice(pool if self.rng.random() < 0.5 or not others else others)
            if a.predicate == b.predicate:
                continue
            x, y = a.cells[self.inside], b.cells[self.inside]
            both = self.inside[(x == TRUE) & (y == TRUE)].tolist()
            only_a = self.inside[(x == TRUE) & (y == FALSE)].tolist()
            only_b = self.inside[(x == FALSE) & (y == TRUE)].tolist()
            if both and only_a and only_b:
                pairs = self._pair(both, only_a), self._pair(both, only_b)
                return (a, b), pairs
        return None

    def _pair(self, both: Sequence[int], only: Sequence[int]) -> tuple[int, int]:
        """One of each, seldom used and near in what they read and in size; in random order."""
        first = min(both, key=lambda i: (self.uses[i] + self.rng.random(), i))
        near = sorted(only, key=lambda i: (self._distance(first, i), i))[:_NEAREST]
        second = min(near, key=lambda i: (self.uses[i] + self.rng.random(), i))
        return (first, second) if self.rng.random() < 0.5 else (second, first)

    def _distance(self, a: int, b: int) -> float:
        return abs(self.sizes[a] - self.sizes[b]) + 2.0 * (not self.modalities[a] & self.modalities[b])

    def _group(
        self,
        texts: tuple[Statement, Statement],
        pairs: tuple[tuple[int, int], tuple[int, int]],
        group: str,
        split: str,
    ) -> list[dict[str, Any]]:
        frames = ASKED["train"] if split == "train" else (*ASKED["train"], *ASKED["held_out"])
        framed = [self.rng.choice(frames).format(t.text) for t in texts]
        return [
            {
                "arch_id_a": self.architectures[pair[0]].arch_id,
                "arch_id_b": self.architectures[pair[1]].arch_id,
                "text": framed[number],
                "label": int(all(text.cells[i] == TRUE for i in pair)),
                "kind": text.kind,
                "predicate": text.predicate,
                "group": group,
            }
            for pair in pairs
            for number, text in enumerate(texts)
        ]


def label_counts(rows: Sequence[Mapping[str, Any]], column: str) -> dict[str, Counter[int]]:
    """For every value of a column the labels of its rows."""
    found: dict[str, Counter[int]] = {}
    for row in rows:
        found.setdefault(str(row[column]), Counter())[int(row["label"])] += 1
    return found
