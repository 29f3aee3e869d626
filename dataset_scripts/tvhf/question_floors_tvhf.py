"""Floors of questions (AQA): `aqa`, `aqa_hard` and `aqa_modern`, exact match as the mean over question types.

| method | what it sees |
|---|---|
| most frequent answer | nothing |
| prior by type | the type of the question |
| prior by type and subject | the question: the best that can be had from its text alone |
| nearest network, Jaccard of ops | the same question's answer of the training network with the nearest bag of ops |
| nearest network, Weisfeiler-Lehman | the same by the kernel of three rounds |
| fact program, text read | what it reads in the question, and computes; what it does not read counts as wrong |

Everything else is fitted on `train`. Where no training network was asked the question, the prior answers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from processing_archbert.computed_answers_archbert import CANNOT_TELL, computed_answer

from .floor_networks_tvhf import FULL, Networks
from .metrics_tvhf import Row, question_metrics, read_rows
from .statement_floors_tvhf import READ, Rows

CONFIGS = ("aqa", "aqa_hard", "aqa_modern")
MOST_FREQUENT, BY_TYPE, BY_SUBJECT = "most frequent answer", "prior by type", "prior by type and subject"
NEAREST_OPS, NEAREST_WL = "nearest network, Jaccard of ops", "nearest network, Weisfeiler-Lehman"
CANNOT_TELL_ANSWER = ("cannot tell",)
Answers = tuple[str, ...]
Answerer = Callable[[Row], Answers]


class QuestionMethods:
    """The methods, fitted on training rows.

    Args:
        train: rows of a config.
        networks: all networks.
    """

    def __init__(self, train: Rows, networks: Networks) -> None:
        self.networks = networks
        counts: dict[Hashable, Counter[Answers]] = defaultdict(Counter)
        asked: dict[Hashable, dict[int, Answers]] = defaultdict(dict)
        for row in train:
            answers = _answers(row)
            for key in (None, row["question_type"], _subject(row)):
                counts[key][answers] += 1
            asked[_view(row)][networks.index[row["arch_id"]]] = answers
        self._best = {key: counter.most_common(1)[0][0] for key, counter in counts.items()}
        self._asked = {key: (np.array(list(found)), list(found.values())) for key, found in asked.items()}
        self.methods: dict[str, Answerer] = {
            MOST_FREQUENT: lambda row: self._best[None],
            BY_TYPE: lambda row: self._prior(row["question_type"]),
            BY_SUBJECT: lambda row: self._prior(_subject(row), row["question_type"]),
            NEAREST_OPS: lambda row: self._nearest(row, networks.jaccard),
            NEAREST_WL: lambda row: self._nearest(row, networks.kernels[max(networks.kernels)]),
            READ: lambda row: computed(networks, row),
        }

    def metrics(self, rows: Rows) -> dict[str, dict[str, Any]]:
        """Method -> figures."""
        return {
            name: question_metrics([float(_same(answer(row), _answers(row))) for row in rows], rows,
                                   self.networks.clusters)
            for name, answer in self.methods.items()
        }  # fmt: skip

    def _prior(self, *keys: Hashable) -> Answers:
        return next((self._best[key] for key in keys if key in self._best), self._best[None])

    def _nearest(self, row: Row, similarity: np.ndarray) -> Answers:
        if _view(row) not in self._asked:
            return self._prior(_subject(row), row["question_type"])
        places, answers = self._asked[_view(row)]
        return answers[int(np.argmax(similarity[self.networks.index[row["arch_id"]], places]))]


def computed(networks: Networks, row: Row) -> Answers:
    """What the fact program answers to a question about a network, or the view of it that the row names."""
    found = computed_answer(networks.numbers(row["arch_id"], row.get("view", FULL)), row["question"])
    if found is None:
        return ()
    return CANNOT_TELL_ANSWER if found.basis == CANNOT_TELL else found.answers


def _answers(row: Row) -> Answers:
    return tuple(sorted(row["answers"]))


def _same(given: Sequence[str], true: Sequence[str]) -> bool:
    return sorted(given) == sorted(true)


def _subject(row: Row) -> Hashable:
    return row["question_type"], row["subject"]


def _view(row: Row) -> Hashable:
    """What is asked of what: type, subject and view."""
    return row["question_type"], row["subject"], row.get("view", FULL)


def question_floors(folder: Path, networks: Networks, config: str, splits: Sequence[str]) -> dict[str, Any]:
    """Split -> method -> figures.

    Args:
        folder: published folder or build.
        networks: its networks.
        config: one of `CONFIGS`.
        splits: its splits to measure.
    """
    methods = QuestionMethods(read_rows(folder, config, "train"), networks)
    return {split: methods.metrics(read_rows(folder, config, split)) for split in splits}
