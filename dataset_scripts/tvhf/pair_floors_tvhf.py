"""Floors of pairs: `clones` (ACD), and `bimodal_clones` (BACD), pairs with a text.

What both have: a constant answer, match of names (of characters in common runs), edit distance of names, words that
names share, Jaccard index of the ops, ratio of sizes, Weisfeiler-Lehman kernels of one to three rounds, and the cosine
of the sentence encoder between printed modules, in place of an encoder of code.

* `clones` has *one network alone*, naive Bayes on the ops of each network by itself; *names learned*, naive Bayes on
  the words of both names, those that they share, and how alike they are; and *match of families*, the likeness of the
  families' names, which is no floor: the relation is read from the families.
* `bimodal_clones` has *text alone* and *pair alone*, naive Bayes on the words of the text and on the ops of both
  networks with what they share; and, the lower of both networks counting, *words that are layers*, *ops x words*
  (fitted on `descriptions`), the encoder on text and network, and the fact program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_scripts.release.cluster_metrics_release import best_threshold
from dataset_scripts.release.floors_release import TextPrior

from .bag_kernel_tvhf import BagKernel
from .floor_networks_tvhf import WL_ROUNDS, Networks, shared_words
from .metrics_tvhf import Row, bimodal_metrics, clone_metrics, read_rows
from .name_likeness_tvhf import LIKENESS, edit_likeness, sequence_ratio, words_of
from .name_likeness_tvhf import shared_words as shared_words_of_names
from .statement_floors_tvhf import (
    LAYERS,
    LISTED,
    NAMES,
    OPS_X_WORDS,
    PRINTED,
    READ,
    TEXT_ALONE,
    Method,
    Rows,
    encoder_scores,
    is_paper,
    paper_rows,
)

SIDES = ("arch_id_a", "arch_id_b")
ALIKE, ONE_ALONE, PAIR_ALONE = "always alike", "one network alone", "pair alone"
EDITS, NAME_WORDS, NAMES_LEARNED = "edit distance of names", "words that names share", "names learned"
FAMILIES = "match of families"
NAME_METHODS = (NAMES, EDITS, NAME_WORDS, NAMES_LEARNED)
"""The methods that see the names of both networks, and nothing else."""
JACCARD, SIZES, MODULES = "Jaccard of ops", "ratio of sizes", "encoder, printed modules"
Measure = Callable[[np.ndarray, Sequence[Row], float, Mapping[str, str]], dict[str, dict[str, Any]]]


class PairMethods:
    """What two networks have in common, without any text.

    Args:
        networks: all networks.
    """

    def __init__(self, networks: Networks) -> None:
        self.networks = networks

    def methods(self) -> dict[str, Method]:
        """Name -> method."""
        networks = self.networks
        return {
            ALIKE: lambda rows: np.ones(len(rows)),
            NAMES: self._by_names(sequence_ratio),
            EDITS: self._by_names(edit_likeness),
            NAME_WORDS: self._by_names(shared_words_of_names),
            JACCARD: lambda rows: self._from(networks.jaccard, rows),
            SIZES: lambda rows: np.array([self._sizes(row) for row in rows]),
            **{f"Weisfeiler-Lehman, k = {k}": self._kernel(k) for k in WL_ROUNDS},
            MODULES: lambda rows: np.array([
                networks.printed_embeddings[a] @ networks.printed_embeddings[b] for a, b in self._places(rows)
            ]),
        }  # fmt: skip

    def ops(self, rows: Rows, side: str) -> pa.ChunkedArray:
        """Words of the ops of one side."""
        return pa.chunked_array([[self.networks.words[row[side]] for row in rows]])

    def _kernel(self, rounds: int) -> Method:
        return lambda rows: self._from(self.networks.kernels[rounds], rows)

    def _places(self, rows: Rows) -> list[tuple[int, int]]:
        return [(self.networks.index[row[SIDES[0]]], self.networks.index[row[SIDES[1]]]) for row in rows]

    def _from(self, matrix: np.ndarray, rows: Rows) -> np.ndarray:
        first, second = zip(*self._places(rows), strict=True)
        return matrix[list(first), list(second)].astype(np.float64)

    def names_of(self, row: Row) -> tuple[str, str]:
        """The names of both networks; of two names of one graph, those that the row gives."""
        a, b = (row.get(f"name_{side[-1]}") or self.networks.rows[row[side]]["name"] for side in SIDES)
        return str(a), str(b)

    def families(self, rows: Rows) -> np.ndarray:
        """How alike the names of the families are, float (n,)."""
        return np.array([
            sequence_ratio(*(str(self.networks.rows[row[side]]["family"]) for side in SIDES)) for row in rows
        ])  # fmt: skip

    def name_texts(self, rows: Rows) -> pa.ChunkedArray:
        """Words of both names, those that they share, and the levels above which they are alike, as texts."""
        return pa.chunked_array([[_name_text(*self.names_of(row)) for row in rows]])

    def _by_names(self, measure: Callable[[str, str], float]) -> Method:
        return lambda rows: np.array([measure(*self.names_of(row)) for row in rows])

    def _sizes(self, row: Row) -> float:
        a, b = (np.log(self.networks.rows[row[side]]["num_parameters"] + 1) for side in SIDES)
        return -abs(float(a - b))


def _name_text(a: str, b: str) -> str:
    """What can be read of two names, as words without signs."""
    first, second = ([f"x{word}" for word in words_of(name)] for name in (a, b))
    shared = [f"both{word}" for word in sorted({*first} & {*second})]
    alike = [f"{name}{number}" for name, (measure, levels) in LIKENESS.items()
             for number, level in enumerate(levels) if measure(a, b) >= level]  # fmt: skip
    return " ".join([*first, *second, *shared, *alike])


def clone_floors(folder: Path, networks: Networks, splits: Sequence[str]) -> dict[str, Any]:
    """Split -> part -> method -> figures; arguments as `statement_floors`."""
    train, validation = (_labelled(read_rows(folder, "clones", split)) for split in ("train", "validation"))
    methods = _clone_methods(train, networks)
    matched, paper = ([s for s in splits if is_paper(s) == wanted] for wanted in (False, True))
    found = _measured(folder, "clones", matched, methods, validation, clone_metrics, networks)
    if paper:
        train, kept = (_labelled(rows) for rows in paper_rows(folder, "clones"))
        methods = _clone_methods(train, networks)
        found |= _measured(folder, "clones", paper, methods, kept, clone_metrics, networks)
    return found


def _clone_methods(train: Rows, networks: Networks) -> dict[str, Method]:
    pairs, labels = PairMethods(networks), _labels(train)
    alone = TextPrior([pairs.ops(train, side) for side in SIDES], [labels, labels])
    by_names = TextPrior([pairs.name_texts(train)], [labels])
    return pairs.methods() | {
        NAMES_LEARNED: lambda rows: by_names.scores(pairs.name_texts(rows)),
        FAMILIES: pairs.families,
        ONE_ALONE: lambda rows: np.sum([alone.scores(pairs.ops(rows, side)) for side in SIDES], axis=0),
    }


def bimodal_floors(folder: Path, networks: Networks, splits: Sequence[str], kernel: BagKernel) -> dict[str, Any]:
    """Split -> `all` -> method -> figures; arguments as `statement_floors`, with the kernel of `fitted_kernel`."""
    pairs = PairMethods(networks)
    train, validation = (read_rows(folder, "bimodal_clones", split) for split in ("train", "validation"))
    labels = [_labels(train)]
    by_text, by_pair = TextPrior([_texts(train)], labels), TextPrior([_both(train, networks)], labels)
    embeddings = {LISTED: networks.listed_embeddings, PRINTED: networks.printed_embeddings}
    methods: dict[str, Method] = pairs.methods() | {
        TEXT_ALONE: lambda rows: by_text.scores(_texts(rows)),
        PAIR_ALONE: lambda rows: by_pair.scores(_both(rows, networks)),
        LAYERS: _lower(lambda rows: shared_words([r["text"] for r in rows],
                                                 [networks.op_pieces[r["arch_id"]] for r in rows])),
        OPS_X_WORDS: _lower(kernel.scores),
        LISTED: _lower(lambda rows: encoder_scores(rows, networks, embeddings[LISTED])),
        PRINTED: _lower(lambda rows: encoder_scores(rows, networks, embeddings[PRINTED])),
        READ: _lower(lambda rows: np.array([networks.facts_score(r["text"], r["arch_id"]) for r in rows])),
    }  # fmt: skip
    return _measured(folder, "bimodal_clones", splits, methods, validation, bimodal_metrics, networks)


def _measured(
    folder: Path, config: str, splits: Sequence[str], methods: Mapping[str, Method], validation: Rows,
    measure: Measure, networks: Networks,
) -> dict[str, Any]:  # fmt: skip
    thresholds = {name: best_threshold(method(validation), _labels(validation)) for name, method in methods.items()}
    thresholds[ALIKE] = 0.0
    found: dict[str, Any] = {}
    for split in splits:
        rows = _labelled(read_rows(folder, config, split))
        for name, method in methods.items() if rows else ():
            parts = measure(method(rows), rows, thresholds[name], networks.clusters)
            for part, figures in parts.items():
                found.setdefault(split, {}).setdefault(part, {})[name] = figures
    return found


def _lower(method: Method) -> Method:
    """A method of statements on both networks of a pair: the lower score, since the text has to be true of both."""

    def scores(rows: Rows) -> np.ndarray:
        sides = [method([{**row, "arch_id": row[side]} for row in rows]) for side in SIDES]
        return np.asarray(np.minimum(*sides))

    return scores


def _both(rows: Rows, networks: Networks) -> pa.ChunkedArray:
    """Words of the ops of both networks, and, marked, those that they share."""
    found = []
    for row in rows:
        a, b = (networks.words[row[side]].split() for side in SIDES)
        found.append(" ".join([*a, *b, *(f"both{word}" for word in sorted({*a} & {*b}))]))
    return pa.chunked_array([found])


def _labelled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["label"] >= 0]


def _texts(rows: Rows) -> pa.ChunkedArray:
    return pa.chunked_array([[row["text"] for row in rows]])


def _labels(rows: Rows) -> np.ndarray:
    return np.array([row["label"] for row in rows])
