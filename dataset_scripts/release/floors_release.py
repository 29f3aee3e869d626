"""Floors of a data set: what is answered right without looking at an architecture.

* questions: the most frequent answer of the training split, to the type of a question or to the question itself;
* statements: naive Bayes over the words that occur in a text, fitted on the training split.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .statistics_release import split_words


class Answered(NamedTuple):
    """One question: its type, what it asks as a key, and its answer."""

    kind: str
    question: Hashable
    answer: Hashable


class AnswerPrior:
    """The best constant answers to types of questions, and to questions, in training rows."""

    def __init__(self, rows: Iterable[Answered]) -> None:
        counts: dict[Hashable, Counter[Hashable]] = defaultdict(Counter)
        for row in rows:
            counts[row.kind][row.answer] += 1
            counts[row.kind, row.question][row.answer] += 1
        self._best = {key: counter.most_common(1)[0][0] for key, counter in counts.items()}

    def right(self, rows: Iterable[Answered]) -> dict[str, tuple[float, float]]:
        """Type -> share of its rows answered right by the type alone, and by type and question."""
        hits: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
        for row in rows:
            of_type = self._best.get(row.kind)
            of_question = self._best.get((row.kind, row.question), of_type)
            hits[row.kind].append((of_type == row.answer, of_question == row.answer))
        return {kind: tuple(np.mean(pairs, axis=0).tolist()) for kind, pairs in sorted(hits.items())}


class TextPrior:
    """Naive Bayes over the words that occur in a text (Bernoulli, add-one smoothing).

    Args:
        texts: columns of texts.
        labels: for each of them, 1 where a text is true and 0 where it is false.
    """

    def __init__(self, texts: Sequence[pa.ChunkedArray], labels: Sequence[np.ndarray]) -> None:
        columns = [_present(column) for column in texts]
        names = pa.concat_arrays([pc.unique(words) for _, words in columns])
        self._words = pc.unique(names)
        counts = np.ones((2, len(self._words)))
        totals = np.zeros(2)
        for (rows, words), truth in zip(columns, labels, strict=True):
            index = pc.index_in(words, value_set=self._words).to_numpy()
            for label in (0, 1):
                counts[label] += np.bincount(index[truth[rows] == label], minlength=len(self._words))
                totals[label] += (truth == label).sum()
        share = counts / (totals[:, None] + 2)
        absent = np.log1p(-share)
        self._weights = (np.log(share) - absent)[1] - (np.log(share) - absent)[0]
        self._bias = float(np.log((totals[1] + 1) / (totals[0] + 1)) + (absent[1] - absent[0]).sum())

    def scores(self, texts: pa.ChunkedArray) -> np.ndarray:
        """Log odds of each text to be true, float64 (n,)."""
        rows, words = _present(texts)
        index = pc.index_in(words, value_set=self._words).fill_null(-1).to_numpy()
        known = index >= 0
        found = np.bincount(rows[known], weights=self._weights[index[known]], minlength=len(texts))
        return self._bias + found


def _present(texts: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Row and word of every word that occurs in a text, each once."""
    words = split_words(texts).combine_chunks()
    words = words if isinstance(words, pa.Array) else pa.concat_arrays(words.chunks)
    pairs = pa.table({"row": pc.list_parent_indices(words), "word": pc.list_flatten(words)})
    pairs = pairs.group_by(["row", "word"]).aggregate([]).combine_chunks()
    return pairs["row"].to_numpy(), pa.concat_arrays(pairs["word"].chunks)


def binary_figures(scores: np.ndarray, labels: np.ndarray) -> Mapping[str, float]:
    """Accuracy and F1 at log odds 0, and the area under the ROC curve, in percent."""
    given = scores > 0
    hits = float((given & (labels == 1)).sum())
    order = np.unique(scores, return_inverse=True)[1]
    per_rank = np.bincount(order)
    ranks = np.cumsum(per_rank) - (per_rank - 1) / 2
    positives, negatives = float((labels == 1).sum()), float((labels == 0).sum())
    area = (ranks[order][labels == 1].sum() - positives * (positives + 1) / 2) / max(positives * negatives, 1.0)
    f1 = 2 * hits / max(float(given.sum()) + positives, 1.0)
    return {"accuracy": 100 * float((given == (labels == 1)).mean()), "F1": 100 * f1, "AUROC": 100 * float(area)}
