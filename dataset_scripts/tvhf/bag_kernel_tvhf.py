"""Bag of ops x bag of words: kernel ridge regression on the product of a kernel of texts and a kernel of networks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_scripts.release.statistics_release import split_words

MAX_ROWS = 5000
"""Training rows; more are drawn at random, by group."""
PENALTIES = (0.1, 1.0, 10.0)
_ADDED = 0.3
"""Added to both kernels, so that each side counts for itself, too."""


class BagKernel:
    """`k((t, g), (t', g')) = (c + <t, t'>)(c + <g, g'>)`, with vectors of length 1.

    A text is its words, once each, weighted by their rarity; a network the logarithm of the number of each of its ops,
    weighted likewise and centred. The penalty is the one of `PENALTIES` that orders validation best within groups.

    Args:
        networks: `arch_id` -> op type -> number.
    """

    def __init__(self, networks: Mapping[str, Mapping[str, int]]) -> None:
        self._names = {name: index for index, name in enumerate(networks)}
        ops = {op: index for index, op in enumerate(sorted({op for counts in networks.values() for op in counts}))}
        bags = np.zeros((len(networks), len(ops)), dtype=np.float32)
        for row, counts in enumerate(networks.values()):
            for op, number in counts.items():
                bags[row, ops[op]] = np.log1p(number)
        bags *= np.log(len(networks) / np.maximum((bags > 0).sum(axis=0), 1)) + 0.5
        self._networks = _unit(bags - bags.mean(axis=0))
        self._words: dict[str, int] = {}
        self._rarity = np.zeros(0, dtype=np.float32)

    def fit(self, train: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]]) -> None:
        """Fits on rows with `text`, `arch_id`, `label` and `group`."""
        groups = sorted({row["group"] for row in train})
        kept = set(random.Random(0).sample(groups, min(len(groups), MAX_ROWS // 2)))
        rows = [row for row in train if row["group"] in kept]
        words = _words(row["text"] for row in rows)
        known = sorted({word for found in words for word in found})
        self._words = {word: index for index, word in enumerate(known)}
        seen = np.zeros(len(known))
        for found in words:
            seen[[self._words[word] for word in found]] += 1
        self._rarity = np.log(len(rows) / seen).astype(np.float32)
        self._rows = self._features(rows)
        kernel = self._kernel(self._rows)
        targets = np.array([2 * row["label"] - 1 for row in rows], dtype=np.float32)
        best = -1.0
        for penalty in PENALTIES:
            weights = np.linalg.solve(kernel + penalty * np.eye(len(rows), dtype=np.float32), targets)
            order = self._ordered(validation, self._kernel(self._features(validation)) @ weights)
            if order > best:
                best, self._weights = order, weights

    def scores(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Scores, float64 (n,)."""
        return (self._kernel(self._features(rows)) @ self._weights).astype(np.float64)

    def _features(self, rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        texts = np.zeros((len(rows), len(self._words)), dtype=np.float32)
        for index, found in enumerate(_words(row["text"] for row in rows)):
            places = [self._words[word] for word in found if word in self._words]
            texts[index, places] = self._rarity[places]
        return _unit(texts), self._networks[[self._names[row["arch_id"]] for row in rows]]

    def _kernel(self, features: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        (texts, networks), (known_texts, known_networks) = features, self._rows
        return (_ADDED + texts @ known_texts.T) * (_ADDED + networks @ known_networks.T)

    @staticmethod
    def _ordered(rows: Sequence[Mapping[str, Any]], scores: np.ndarray) -> float:
        """Share of groups whose true row scores higher."""
        signed: dict[str, float] = {}
        for row, score in zip(rows, scores.tolist(), strict=True):
            signed[row["group"]] = signed.get(row["group"], 0.0) + (score if row["label"] else -score)
        return float(np.mean([value > 0 for value in signed.values()]))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _words(texts: Iterable[str]) -> list[set[str]]:
    return [set(found) - {""} for found in split_words(pa.chunked_array([list(texts)])).to_pylist()]
