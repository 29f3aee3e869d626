"""The config `search`: queries with all architectures that they are true of.

* `sentence`: sentences of the truth matrix that are true of 1 to `MAX_SENTENCE` architectures of a pool.
* `compositional`: what a person would type, a kind of network with properties and a size, true of 1 to
  `MAX_COMPOSED` architectures. Queries of train, validation and test share no predicate.
* A pool is `split`, the architectures of the query's split, or `all` (not in `test_new`, whose queries are those of
  `test`). Architectures of which a query is unknown are listed as `ignored` and count neither as found nor as wrong;
  queries with many of them are left out.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .predicate_parser_tvhf import parse
from .search_phrases_tvhf import NOUNS, PROPERTIES, SIZES, WITHOUT, Noun, Property
from .statements_tvhf import Statement
from .truth_tvhf import FALSE, TRUE, UNKNOWN, Architecture

MAX_SENTENCE = 50
MAX_COMPOSED = 20
MAX_IGNORED = 0.2
"""Largest share of a pool of which a query may be unknown."""
COMPOSED_PER_SPLIT = {"train": 600, "validation": 150, "test": 300, "test_new": 300}
"""Most compositional queries whose pool is the split."""
_DRAWS = 30_000
_MAX_USES = 40
_CELLS = {True: TRUE, False: FALSE, None: UNKNOWN}
_TEST_SHARE, _VALIDATION_SHARE = 0.4, 0.5


class Query(NamedTuple):
    """A query: its text, its predicate, and int8 (architectures,) of what it is true of."""

    text: str
    predicate: str
    kind: str
    cells: np.ndarray


def query_side(predicate: str) -> str:
    """Split of a compositional query: `train`, `validation` or `test` (half, a tenth, four tenths), by a digest."""
    share = int(hashlib.blake2b(predicate.encode(), digest_size=4).hexdigest(), 16) / 2**32
    return "test" if share < _TEST_SHARE else "validation" if share < _VALIDATION_SHARE else "train"


def predicate_cells(predicate: str, architectures: Sequence[Architecture]) -> np.ndarray:
    """int8 (architectures,): what a predicate is of each; the empty predicate is true of all.

    Raises:
        PredicateError: it cannot be read.
    """
    if not predicate:
        return np.full(len(architectures), TRUE, np.int8)
    parsed = parse(predicate)
    return np.array([_CELLS[parsed.evaluate(a.facts)] for a in architectures], np.int8)


def all_true(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Kleene's conjunction of int8 cells (truth_tvhf): false where one is false, else unknown where one is unknown."""
    stacked = np.stack(parts)
    return np.where((stacked == FALSE).any(axis=0), FALSE, stacked.min(axis=0)).astype(np.int8)


def composed_queries(architectures: Sequence[Architecture], seed: int) -> Iterator[Query]:
    """Compositional queries in random order, no two true of the same architectures.

    Args:
        architectures: all of them.
        seed: of the draws.
    """
    rng = random.Random(f"{seed}/search")
    known = {p: predicate_cells(p, architectures) for p in _predicates()}
    seen: set[bytes] = set()
    uses: Counter[str] = Counter()
    for _ in range(_DRAWS):
        noun, chosen, without, size = _draw(rng)
        parts = [noun.predicate, *(p.predicate for p in (*chosen, *without, *size))]
        predicates = [p for p in parts if p]
        if max(uses[p] for p in predicates[1:] or predicates) >= _MAX_USES:
            continue
        cells = all_true([known[p] for p in predicates])
        true = cells == TRUE
        key = true.tobytes()
        if not 1 <= true.sum() <= MAX_COMPOSED or key in seen:
            continue
        if any(np.array_equal(true, _without(known, predicates, p)) for p in predicates[1:]):
            continue  # a part that changes nothing
        seen.add(key)
        uses.update(predicates)
        yield Query(_say(rng, noun, chosen, without, size), _joined(predicates), "compositional", cells)


def _without(known: Mapping[str, np.ndarray], predicates: Sequence[str], left_out: str) -> np.ndarray:
    """bool (architectures,): what all predicates but one are true of."""
    return np.asarray(all_true([known[p] for p in predicates if p != left_out]) == TRUE)


def _joined(predicates: Sequence[str]) -> str:
    return " and ".join(predicates)


def _predicates() -> list[str]:
    found = [noun.predicate for noun in NOUNS] + [p.predicate for p in (*PROPERTIES, *WITHOUT, *SIZES)]
    return [p for p in dict.fromkeys(found) if p]


def _draw(rng: random.Random) -> tuple[Noun, list[Property], list[Property], list[Property]]:
    """A noun with two or more parts of different topics."""
    while True:
        noun = rng.choice(NOUNS)
        chosen = rng.sample(PROPERTIES, rng.choices((0, 1, 2, 3), (1, 5, 5, 2))[0])
        without = rng.sample(WITHOUT, rng.choices((0, 1), (4, 1))[0])
        size = rng.sample(SIZES, rng.choices((0, 1), (1, 1))[0])
        parts = [*chosen, *without, *size]
        if 2 - bool(noun.predicate) <= len(parts) and len({p.topic for p in parts}) == len(parts):
            return noun, chosen, without, size


def _say(
    rng: random.Random, noun: Noun, chosen: Sequence[Property], without: Sequence[Property], size: Sequence[Property]
) -> str:
    """A query in lower case, as people type it."""
    plural = rng.random() < 0.4
    name = noun.plural if plural else noun.singular
    phrases = [p.phrase for p in (*chosen, *size)]
    linked = " and with " if " with" in name or " without" in name else " with "
    text = name + (linked + _listed(phrases) if phrases else "")
    if without:
        text += rng.choice((", without ", " but without ", " and without ") if phrases else (" without ",))
        text += without[0].phrase
    if plural:
        return rng.choice(("{}", "all {}", "show me {}", "find {}", "list of {}")).format(text)
    return rng.choice(("{}", "{}", "find {}", "I need {}", "looking for {}", "is there {}?")).format(text)


def _listed(phrases: Sequence[str]) -> str:
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(phrases[:-1]) + (" and " if len(phrases) == 2 else ", and ") + phrases[-1]


def search_rows(
    statements: Sequence[Statement], architectures: Sequence[Architecture], seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Split -> rows of the config `search`.

    Args:
        statements: sentences, their cells in the order of the architectures.
        architectures: all of them; `record["split"]` is the split of each.
        seed: of the draws.
    """
    sides = np.array([str(a.record.get("split")) for a in architectures])
    names = [a.arch_id for a in architectures]
    composed = list(composed_queries(architectures, seed))
    rows: dict[str, list[dict[str, Any]]] = {}
    for split in COMPOSED_PER_SPLIT:
        side = "test" if split == "test_new" else split
        inside = np.flatnonzero(sides == split)
        queries = [Query(s.text, s.predicate, "sentence", s.cells) for s in statements if s.split in (side, "")]
        rows[split] = [r for q in queries for r in _pool_rows(q, inside, names, split, MAX_SENTENCE)]
        own = [q for q in composed if query_side(q.predicate) == side and _fits(q.cells[inside], MAX_COMPOSED)]
        rows[split] += [
            row
            for query in own[: COMPOSED_PER_SPLIT[split]]
            for row in _pool_rows(query, inside, names, split, MAX_COMPOSED)
        ]
    return {split: found for split, found in rows.items() if found}


def _fits(cells: np.ndarray, most: int) -> bool:
    return len(cells) > 0 and 1 <= (cells == TRUE).sum() <= most and (cells == UNKNOWN).mean() <= MAX_IGNORED


def _pool_rows(
    query: Query, inside: np.ndarray, names: Sequence[str], split: str, most: int
) -> Iterator[dict[str, Any]]:
    """A row for each pool in which the query has between one and `most` relevant architectures."""
    pools = {"split": inside} | ({"all": np.arange(len(names))} if split != "test_new" else {})
    for pool, columns in pools.items():
        cells = query.cells[columns]
        if _fits(cells, most):
            yield {
                "query_id": "q" + hashlib.blake2b(query.text.encode(), digest_size=5).hexdigest(),
                "query": query.text,
                "predicate": query.predicate,
                "relevant": sorted(names[int(a)] for a in columns[cells == TRUE]),
                "ignored": sorted(names[int(a)] for a in columns[cells == UNKNOWN]),
                "kind": query.kind,
                "split": split,
                "pool": pool,
            }
