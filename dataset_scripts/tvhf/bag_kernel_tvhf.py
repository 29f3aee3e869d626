"""Bag of ops x bag of words: kernel ridge regression on the product of a kernel of texts and a kernel of networks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_scripts.release.cluster_metrics_release import auroc
from dataset_scripts.release.statistics_release import split_words

MAX_ROWS = 5000
"""Training rows, about; of more, groups are drawn at random."""
PENALTIES = (0.1, 1.0, 10.0)
_ADDED = 0.3
"""Added to both kernels, so that each side counts for itself, too."""


class BagKernel:
    """`k((t, g), (t', g')) = (c + <t, t'>)(c + <g, g'>)`, with vectors of length 1.

    A text is its words, once each, weighted by their rarity; a network the logarithm of the number of each of its ops,
    weighted likewise and centred. The penalty is the one of `PENALTIES` with the best ROC curve on validation.

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
        self._rarity = self._weights = np.zeros(0, dtype=np.float32)

    def fit(self, train: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]]) -> None:
        """Fits on rows with `text`, `arch_id`, `label` and `group`; rows of one group are drawn together."""
        groups = [row["group"] or str(place) for place, row in enumerate(train)]
        different = sorted(set(groups))
        share = min(1.0, MAX_ROWS / len(train))
        kept = set(random.Random(0).sample(different, round(share * len(different))))
        rows = [row for row, group in zip(train, groups, strict=True) if group in kept]
        words = _words(row["text"] for row in rows)
        known = sorted({word for found in words for word in found})
        self._words = {word: index for index, word in enumerate(known)}
        seen = np.zeros(len(known))
        for found in words:
            seen[[self._words[word] for word in found]] += 1
        self._rarity = np.log(len(rows) / seen).astype(np.float32)
        texts, networks = self._texts([row["text"] for row in rows]), self._of([row["arch_id"] for row in rows])
        self._rows = texts, networks
        kernel = (_ADDED + texts @ texts.T) * (_ADDED + networks @ networks.T)
        targets = np.array([2 * row["label"] - 1 for row in rows], dtype=np.float32)
        labels = np.array([row["label"] for row in validation])
        fitted = []
        for penalty in PENALTIES:
            self._weights = np.linalg.solve(kernel + penalty * np.eye(len(rows), dtype=np.float32), targets)
            fitted.append((auroc(self.scores(validation), labels), self._weights))
        self._weights = max(fitted, key=lambda item: item[0])[1]

    def matrix(self, texts: Sequence[str], networks: Sequence[str]) -> np.ndarray:
        """Scores of every text beside every network, float64 (texts, networks)."""
        known_texts, known_networks = self._rows
        by_text = (_ADDED + self._texts(texts) @ known_texts.T) * self._weights
        by_network = _ADDED + self._of(networks) @ known_networks.T
        return np.asarray(by_text @ by_network.T, dtype=np.float64)

    def scores(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Scores of rows with `text` and `arch_id`, float64 (n,)."""
        texts, networks = ({row[key]: 0 for row in rows} for key in ("text", "arch_id"))
        for places in (texts, networks):
            places.update({name: place for place, name in enumerate(places)})
        found = self.matrix(list(texts), list(networks))
        return found[[texts[row["text"]] for row in rows], [networks[row["arch_id"]] for row in rows]]

    def _of(self, names: Sequence[str]) -> np.ndarray:
        return self._networks[[self._names[name] for name in names]]

    def _texts(self, texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), len(self._words)), dtype=np.float32)
        for index, words in enumerate(_words(texts)):
            places = [self._words[word] for word in words if word in self._words]
            found[index, places] = self._rarity[places]
        return _unit(found)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _words(texts: Iterable[str]) -> list[set[str]]:
    return [set(found) - {""} for found in split_words(pa.chunked_array([list(texts)])).to_pylist()]
