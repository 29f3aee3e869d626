"""Floors of statements (AR): what words, layers, names and an encoder of sentences give away of `descriptions`.

| method | what it sees |
|---|---|
| always true | nothing |
| text alone | naive Bayes on the words of the sentence |
| graph alone | naive Bayes on op types, their numbers and the size |
| match of names | share of the sentence's words that are in the names of network and family |
| words that are layers | share of its words that are in the names of the network's op types |
| ops x words | kernel ridge regression on the product of bag of ops and bag of words |
| nearest training pairs | labels of training pairs of like text (the encoder) and like graph (Weisfeiler-Lehman) |
| encoder, list of ops | cosine of the sentence encoder between sentence and list of op types |
| encoder, printed module | the same with the printed module, in place of an encoder of code |
| fact program, text read | claims that it reads in the sentence, held against what it computes of the graph |
| fact program, predicate given | the predicate of the sentence, decided by graph and table: an oracle |

The paper's form has no third split: every tenth of its training pairs is kept for thresholds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_scripts.release.cluster_metrics_release import best_threshold
from dataset_scripts.release.floors_release import TextPrior

from .bag_kernel_tvhf import BagKernel
from .configs_tvhf import PAPER_SPLITS
from .floor_networks_tvhf import Networks, own_encoder, shared_words
from .human_docstrings_tvhf import read_sentences
from .metrics_tvhf import Row, description_metrics, read_rows
from .predicate_parser_tvhf import parse
from .training_pairs_floor_tvhf import TrainingPairs
from .truth_tvhf import load_architectures

Rows = Sequence[Row]
Method = Callable[[Rows], np.ndarray]
"""Rows -> scores, float64 (n,), larger is truer."""
ALWAYS, TEXT_ALONE, GRAPH_ALONE, NAMES = "always true", "text alone", "graph alone", "match of names"
LAYERS, OPS_X_WORDS, NEAREST = "words that are layers", "ops x words", "nearest training pairs"
LISTED, PRINTED = "encoder, list of ops", "encoder, printed module"
READ, GIVEN = "fact program, text read", "fact program, predicate given"
_KEPT_SHARE = 0.1
HUMAN = "test_human"
HUMAN_NAMED = f"{HUMAN}, with names"
"""Sentences that name a model, which says what they are true of; they are measured apart."""


class StatementMethods:
    """The methods, fitted on training rows.

    Args:
        train: rows of `descriptions`.
        kept: rows that thresholds are chosen on.
        networks: all networks.
        oracle: predicates.
        kernel: fitted on `train`.
    """

    def __init__(self, train: Rows, kept: Rows, networks: Networks, oracle: Oracle, kernel: BagKernel) -> None:
        self.networks = networks
        labels = np.array([row["label"] for row in train])
        self._by_text = TextPrior([_texts(train)], [labels])
        self._by_graph = TextPrior([self._graphs(train)], [labels])
        self.methods: dict[str, Method] = {
            ALWAYS: lambda rows: np.ones(len(rows)),
            TEXT_ALONE: lambda rows: self._by_text.scores(_texts(rows)),
            GRAPH_ALONE: lambda rows: self._by_graph.scores(self._graphs(rows)),
            NAMES: lambda rows: self._shared(rows, networks.name_pieces),
            LAYERS: lambda rows: self._shared(rows, networks.op_pieces),
            OPS_X_WORDS: kernel.scores,
            NEAREST: TrainingPairs(train, kept, networks).scores,
            LISTED: lambda rows: encoder_scores(rows, networks, networks.listed_embeddings),
            PRINTED: lambda rows: encoder_scores(rows, networks, networks.printed_embeddings),
            READ: lambda rows: np.array([networks.facts_score(row["text"], row["arch_id"]) for row in rows]),
            GIVEN: oracle.scores,
        }
        self.thresholds = {name: best_threshold(method(kept), _labels(kept)) for name, method in self.methods.items()}
        self.thresholds[ALWAYS] = 0.0

    def metrics(self, rows: Rows) -> dict[str, dict[str, Any]]:
        """Part -> method -> figures."""
        found: dict[str, dict[str, Any]] = {}
        for name, method in self.methods.items() if rows else ():
            parts = description_metrics(method(rows), rows, self.thresholds[name], self.networks.clusters)
            for part, figures in parts.items():
                found.setdefault(part, {})[name] = figures
        return found

    def _graphs(self, rows: Rows) -> pa.ChunkedArray:
        return pa.chunked_array([[self.networks.words[row["arch_id"]] for row in rows]])

    def _shared(self, rows: Rows, found: Mapping[str, set[str]]) -> np.ndarray:
        return shared_words([row["text"] for row in rows], [found[row["arch_id"]] for row in rows])


class Oracle:
    """Predicates of sentences, decided for networks by graph and table as the build decides them.

    Args:
        folder: published folder or build.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return {a.arch_id: a.facts for a in load_architectures(self._folder / "architectures")}

    @cached_property
    def _predicates(self) -> dict[str, Any]:
        rows = read_rows(self._folder, "sentences", "train", ("sentence_id", "predicate"))
        return {row["sentence_id"]: parse(row["predicate"]) for row in rows}

    def scores(self, rows: Rows) -> np.ndarray:
        """1 where a sentence is true, 0 where it is false, 0.5 where that is unknown."""
        return np.array([_SCORES[self._of(row).evaluate(self._facts[row["arch_id"]])] for row in rows])

    def _of(self, row: Row) -> Any:
        """The predicate that a row has, or that its sentence has."""
        return parse(row["predicate"]) if "predicate" in row else self._predicates[row["sentence_id"]]


_SCORES = {True: 1.0, False: 0.0, None: 0.5}


def encoder_scores(rows: Rows, networks: Networks, embeddings: np.ndarray) -> np.ndarray:
    """Cosine of the sentence encoder between the texts of rows and what stands for their networks, float64 (n,)."""
    own = own_encoder(networks.encoder, [row["text"] for row in rows])
    return np.array([float(own[row["text"]] @ embeddings[networks.index[row["arch_id"]]]) for row in rows])


def fitted_kernel(folder: Path, networks: Networks) -> BagKernel:
    """The kernel of ops and words, fitted on `train` of `descriptions`."""
    train, validation = (read_rows(folder, "descriptions", split) for split in ("train", "validation"))
    return _kernel(train, validation, networks)


def _kernel(train: Rows, kept: Rows, networks: Networks) -> BagKernel:
    kernel = BagKernel({name: counts | {networks.size_word(name): 1} for name, counts in networks.counts.items()})
    kernel.fit(train, kept)
    return kernel


def statement_floors(
    folder: Path, networks: Networks, splits: Sequence[str], kernel: BagKernel, packages: Sequence[Path] = ()
) -> dict[str, Any]:
    """Split -> part -> method -> figures.

    Sentences that people wrote are `test_human`, and those of them with the name of a model `HUMAN_NAMED`, where there
    is that config and they can be read.

    Args:
        folder: published folder or build.
        networks: its networks.
        splits: the splits of `descriptions` to measure.
        kernel: what `fitted_kernel` gives.
        packages: folders of installed packages, for the sentences that people wrote.
    """
    oracle = Oracle(folder)
    train, validation = (read_rows(folder, "descriptions", split) for split in ("train", "validation"))
    matched = StatementMethods(train, validation, networks, oracle, kernel)
    found = {s: matched.metrics(read_rows(folder, "descriptions", s)) for s in splits if not is_paper(s)}
    people = human_rows(folder, packages)
    for name, named in ((HUMAN, False), (HUMAN_NAMED, True)):
        if rows := [row for row in people if row["mentions_name"] == named]:
            found[name] = matched.metrics(rows)
    if any(map(is_paper, splits)):
        train, kept = paper_rows(folder, "descriptions")
        paper = StatementMethods(train, kept, networks, oracle, _kernel(train, kept, networks))
        found |= {s: paper.metrics(read_rows(folder, "descriptions", s)) for s in splits if is_paper(s)}
    return found


def human_rows(folder: Path, packages: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of `test_human` with a label and a text that can be read; none where there is no such config."""
    if not list((folder / HUMAN).glob("test-[0-9]*.parquet")):
        return []
    rows = [row for row in read_rows(folder, HUMAN, "test") if row["label"] is not None]
    texts = read_sentences(rows, packages).texts
    return [row | {"text": text} for row, text in zip(rows, texts, strict=True) if text is not None]


def is_paper(split: str) -> bool:
    """Whether a split has the paper's form."""
    return split.endswith(PAPER_SPLITS)


def paper_rows(folder: Path, config: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the paper's form to train on, and those of them that are kept for thresholds."""
    parts: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for row in read_rows(folder, config, PAPER_SPLITS[0]):
        said = " ".join(str(row.get(name)) for name in ("arch_id", "text", "arch_id_a", "arch_id_b"))
        share = int(hashlib.blake2b(said.encode(), digest_size=4).hexdigest(), 16) / 2**32
        parts[share < _KEPT_SHARE].append(row)
    return parts


def _texts(rows: Rows) -> pa.ChunkedArray:
    return pa.chunked_array([[row["text"] for row in rows]])


def _labels(rows: Rows) -> np.ndarray:
    return np.array([row["label"] for row in rows])
