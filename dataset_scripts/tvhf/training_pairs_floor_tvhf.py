"""Memory as a floor of statements: the labels of the training pairs whose text and graph are most like a pair's.

In the paper's form every text and every network of the evaluation is in training, too, in other pairs: there it says
what remembering is worth. On unseen clusters it says how far likeness goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from dataset_scripts.release.cluster_metrics_release import best_threshold, matthews

from .floor_networks_tvhf import WL_ROUNDS, Networks

EXPONENTS = tuple(product((5, 10, 20, 40), (8, 16, 32, 64)))
"""Of the likeness of texts and of that of graphs, to choose from."""
_PRIOR_WEIGHT = 1e-6


class TrainingPairs:
    """The mean label of training pairs, weighted by their likeness (Nadaraya 1964; Watson 1964).

    The weight of `(t', g')` for `(t, g)` is `max(0, cos(t, t'))^a * k(g, g')^b`, with the cosine of the sentence
    encoder and the Weisfeiler-Lehman similarity of three rounds; a and b are those with the best Matthews correlation
    on `kept`. Where nothing is alike, it is the share of training pairs that are true.

    Args:
        train: rows with `text`, `arch_id` and `label`.
        kept: rows that the exponents are chosen on.
        networks: all networks.
    """

    def __init__(
        self, train: Sequence[Mapping[str, Any]], kept: Sequence[Mapping[str, Any]], networks: Networks
    ) -> None:
        self._networks = networks
        texts = sorted({row["text"] for row in train})
        place = {text: number for number, text in enumerate(texts)}
        pairs = np.zeros((2, len(texts), len(networks.names)), dtype=np.float32)  # how many, and how many are true
        for row in train:
            found = place[row["text"]], networks.index[row["arch_id"]]
            pairs[0][found] += 1
            pairs[1][found] += row["label"] == 1
        self._pairs, self._texts = pairs, networks.encoder(texts)
        self._prior = float(pairs[1].sum() / pairs[0].sum())
        labels = np.array([row["label"] for row in kept])

        def quality(exponents: tuple[int, int]) -> float:
            scores = self._scores(kept, exponents)
            return matthews(scores > best_threshold(scores, labels), labels == 1)

        self.exponents = max(EXPONENTS, key=quality)

    def scores(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """How often a pair like each of these is true, float64 (n,)."""
        return self._scores(rows, self.exponents)

    def _scores(self, rows: Sequence[Mapping[str, Any]], exponents: tuple[int, int]) -> np.ndarray:
        texts = {text: number for number, text in enumerate(sorted({row["text"] for row in rows}))}
        by_text = np.maximum(self._networks.encoder(list(texts)) @ self._texts.T, 0) ** exponents[0]
        by_graph = np.maximum(self._networks.kernels[max(WL_ROUNDS)], 0) ** exponents[1]
        weights, true = (by_text @ counts @ by_graph for counts in self._pairs)
        found = (true + _PRIOR_WEIGHT * self._prior) / (weights + _PRIOR_WEIGHT)
        places = [texts[row["text"]] for row in rows], [self._networks.index[row["arch_id"]] for row in rows]
        return np.asarray(found[places], dtype=np.float64)
