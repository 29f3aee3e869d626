"""Search by a text: what it says of a network is held against the facts of the index, the rest is left to embeddings.

The order of the hits: first by how much of what the text says is a fact of the network (`search_conditions`), then by
the words that its name and caption share with the text, then by the cosine of the embeddings. Networks that break a
comparison ("fewer than 50M parameters") or have what is denied are left out.
"""

from __future__ import annotations

import json
import operator
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from processing_archbert.graph_overview_archbert import NUMBERS, parse_filter

from .index import LISTS, ArchitectureIndex, Hit
from .search_conditions import Condition, Sought, read_sought

_COLUMNS = ("name", "library", "family", "caption", "quantities", *LISTS, *NUMBERS)
_UNKNOWN = 0.25
"""What a condition counts whose truth is not known."""
_FACTS, _NAME, _CAPTION, _COSINE, _LIKENESS = 3.0, 1.0, 0.2, 0.1, 1.0
"""Weights of the parts of the order."""
_TOKENS = re.compile(r"[a-z]+|\d+")
_MAX_ROWS = 5000
"""So many rows are read closely; of a larger index those with the nearest embeddings."""


def search_text(index: ArchitectureIndex, text: str, vector: np.ndarray, k: int = 10, where: str = "") -> list[Hit]:
    """The architectures that fit a text best, best first.

    Args:
        index: where they are.
        text: a text in English.
        vector: its embedding, float32 (d,), of length 1.
        k: how many.
        where: a filter on facts, as `parse_filter` takes it.

    Returns:
        Hits, whose `fits` says how much of what the text says holds; their `score` is the cosine.

    Raises:
        ValueError: `k` is below 1.
        ArchitectureGraphError: the filter is none.
    """
    if k < 1:
        raise ValueError(f"k is {k}; 1 or more architectures can be found.")
    sought = read_sought(text)
    places, rows = _rows(index, vector)
    fits = parse_filter(where) if where else None
    kept = [i for i, row in enumerate(rows) if fits is None or fits(row)]
    known = index.place_of(sought.likeness)
    kept = _unbroken(kept, rows, (*sought.conditions, *_beside(index, known, sought.than)))
    if not kept:
        return []
    share = np.array([_share(rows[i], sought.conditions) for i in kept])
    conditions: tuple[Condition, ...] = sought.conditions
    if sought.size is not None:
        share = (share * len(conditions) + _sized([rows[i] for i in kept], share, sought.size)) / (len(conditions) + 1)
    vectors = index.embeddings[places[kept]]
    order = _FACTS * share + _worded([rows[i] for i in kept], sought)
    if known is None:
        order += _COSINE * _near(vectors, vector)
    else:
        order += _LIKENESS * _near(vectors, index.embeddings[known])
    best = np.argsort(-order, kind="stable")[:k]
    total = len(conditions) + (sought.size is not None)
    return [
        index.hit(int(places[kept[i]]), float(vectors[i] @ vector))._replace(
            fits=float(round(share[i], 3)) if total else None
        )
        for i in best
    ]


def _rows(index: ArchitectureIndex, vector: np.ndarray) -> tuple[np.ndarray, Sequence[Mapping[str, Any]]]:
    """Places in the index, and the facts of the rows there."""
    if len(index) <= _MAX_ROWS:
        return np.arange(len(index)), _facts_of(index)
    places = np.sort(np.argsort(-(index.embeddings @ vector), kind="stable")[:_MAX_ROWS])
    return places, [_read(row) for row in index.table.select(list(_COLUMNS)).take(places).to_pylist()]


@lru_cache(maxsize=2)
def _facts_of(index: ArchitectureIndex) -> list[dict[str, Any]]:
    return [_read(row) for row in index.table.select(list(_COLUMNS)).to_pylist()]


def _read(row: dict[str, Any]) -> dict[str, Any]:
    names = " ".join([row["name"], *row["aliases"]]).lower()
    read = {"quantities": json.loads(row["quantities"]), "properties": frozenset(row["properties"])}
    words = {"name_words": frozenset(_TOKENS.findall(names)),
             "caption_words": frozenset(_TOKENS.findall(row["caption"].lower()))}  # fmt: skip
    return row | read | words


def _unbroken(kept: list[int], rows: Sequence[Mapping[str, Any]], conditions: Sequence[Condition]) -> list[int]:
    """Those rows that break no strict condition."""
    strict = [condition.check for condition in conditions if condition.strict]
    return [i for i in kept if all(check(rows[i]) for check in strict)]


def _share(row: Mapping[str, Any], conditions: Sequence[Condition]) -> float:
    """How much of what is said holds, from 0 to 1."""
    if not conditions:
        return 0.0
    found = [condition.check(row) for condition in conditions]
    return sum(_UNKNOWN if one is None else float(one) for one in found) / len(found)


def _sized(rows: Sequence[Mapping[str, Any]], share: np.ndarray, size: tuple[float, float]) -> np.ndarray:
    """Whether each has the size that is meant, among those that fit everything else best; float (rows,)."""
    sizes = np.array([row["parameters"] for row in rows], dtype=np.float64)
    fitting = np.sort(sizes[share >= share.max() - 1e-9])
    least, most = (float(fitting[min(int(end * len(fitting)), len(fitting) - 1)]) for end in size)
    least, most = (0.0 if size[0] == 0 else least), (np.inf if size[1] == 1 else most)
    return ((sizes >= least) & (sizes <= most)).astype(np.float64)


def _worded(rows: Sequence[Mapping[str, Any]], sought: Sought) -> np.ndarray:
    """How much of the words that are left the names and the captions have, weighed by rarity; float (rows,)."""
    words = [token for word in sought.words for token in _TOKENS.findall(word)]
    if not words:
        return np.zeros(len(rows))
    counts = Counter(word for row in rows for word in words if word in row["name_words"])
    known = {word: np.log1p(len(rows) / (1 + counts[word])) for word in words}
    total = sum(known.values())

    def weight(found: frozenset[str]) -> float:
        return float(sum(value for word, value in known.items() if word in found) / total)

    return np.array([_NAME * weight(row["name_words"]) + _CAPTION * weight(row["caption_words"]) for row in rows])


def _beside(index: ArchitectureIndex, known: int | None, than: str) -> list[Condition]:
    """That a network is smaller or larger than a known one."""
    if known is None or not than:
        return []
    size, compare = index.hit(known, 0.0).facts["parameters"], operator.lt if than == "smaller" else operator.gt
    return [Condition(than, lambda row: compare(row["parameters"], size), True)]


def _near(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """How near the embeddings are to one, as deviations from their mean; float (rows,)."""
    found = vectors @ vector
    return np.asarray((found - found.mean()) / (float(found.std()) or 1.0))
