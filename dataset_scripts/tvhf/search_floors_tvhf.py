"""Floors of `search` (AS): how well queries find networks without a model of graphs.

| method | what it compares with the query |
|---|---|
| random order | nothing |
| BM25 | words of the printed module and of the op types |
| match of names | words in the names of network and family |
| words that are layers | words in the names of the op types |
| ops x words | the kernel of statements, fitted on `descriptions` |
| encoder, list of ops; encoder, printed module | the sentence encoder on both |
| Weisfeiler-Lehman, from the nearest statements | the graphs that the most similar statements of `train` are true of |
| fact program, text read | claims that it reads in the query, held against what it computes of the graph |

The predicate of a query gives all relevant networks, by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .bag_kernel_tvhf import BagKernel
from .floor_networks_tvhf import Bm25, Networks, pieces, words_of
from .metrics_tvhf import Ranker, Row, read_rows, search_metrics
from .statement_floors_tvhf import LAYERS, LISTED, NAMES, OPS_X_WORDS, PRINTED, READ, Rows

RANDOM, BM25, WL_NEAREST = "random order", "BM25", "Weisfeiler-Lehman, from the nearest statements"
WL_ROUND, WL_STATEMENTS = 2, 3
"""Rounds of the kernel, and how many statements it starts from: the best of 1 to 3 and of 1, 3, 10, 30 and 100, by
nDCG@10 on `validation` among the networks of `validation`."""


def search_floors(folder: Path, networks: Networks, splits: Sequence[str], kernel: BagKernel) -> dict[str, Any]:
    """Split -> `KIND, POOL` -> method -> figures; arguments as `bimodal_floors`."""
    methods = search_methods(folder, networks, kernel)
    found: dict[str, Any] = {}
    for split in splits:
        rows = read_rows(folder, "search", split)
        for name, rank in methods.items():
            parts = search_metrics(rank, rows, networks.names, networks.splits, networks.clusters)
            for part, figures in parts.items():
                found.setdefault(split, {}).setdefault(part, {})[name] = figures
    return found


def search_methods(folder: Path, networks: Networks, kernel: BagKernel) -> dict[str, Ranker]:
    """Name -> method; what they learn from is `train` of `descriptions`."""
    documents = [
        [*words_of([printed])[0], *(word for op in sorted(networks.counts[name]) for word in sorted(pieces(op)))]
        for name, printed in zip(networks.names, networks.printed, strict=True)
    ]
    bm25 = Bm25([[piece for word in words for piece in sorted(pieces(word) | {word})] for words in documents])
    return {
        RANDOM: lambda rows: np.random.default_rng(0).random((len(rows), len(networks.names))),
        BM25: lambda rows: bm25.scores(words_of(_queries(rows))),
        NAMES: _shared(networks.names, networks.name_pieces),
        LAYERS: _shared(networks.names, networks.op_pieces),
        OPS_X_WORDS: lambda rows: kernel.matrix(_queries(rows), networks.names),
        LISTED: lambda rows: networks.encoder(_queries(rows)) @ networks.listed_embeddings.T,
        PRINTED: lambda rows: networks.encoder(_queries(rows)) @ networks.printed_embeddings.T,
        WL_NEAREST: _nearest_statements(read_rows(folder, "descriptions", "train"), networks),
        READ: lambda rows: np.array([
            [networks.facts_score(row["query"], name) if _is_ranked(row, split) else 0.0
             for name, split in networks.splits.items()]
            for row in rows
        ]),
    }  # fmt: skip


def _nearest_statements(rows: Rows, networks: Networks) -> Ranker:
    """Similarity of graphs to those of which a query's nearest statements are true, by how near these are.

    Args:
        rows: labelled statements, with `text`, `arch_id` and `label`.
        networks: their networks, and those that are ranked.
    """
    true_of: dict[str, list[int]] = {}
    for row in rows:
        if row["label"] == 1:
            true_of.setdefault(row["text"], []).append(networks.index[row["arch_id"]])
    statements = sorted(true_of)

    def rank(queries: Sequence[Row]) -> np.ndarray:
        likeness = networks.encoder(_queries(queries)) @ networks.encoder(statements).T
        kernel = networks.kernels[WL_ROUND]
        scores = np.zeros((len(queries), len(networks.names)))
        for number, near in enumerate(np.argsort(-likeness, axis=1, kind="stable")[:, :WL_STATEMENTS].tolist()):
            for place in near:
                scores[number] += likeness[number, place] * kernel[true_of[statements[place]]].mean(axis=0)
        return scores

    return rank


def _is_ranked(row: Row, split: str) -> bool:
    """Whether networks of a split are in the pool of a query."""
    return bool(row["pool"] == "all" or row["split"] == split)


def _queries(rows: Rows) -> list[str]:
    return [row["query"] for row in rows]


def _shared(names: Sequence[str], found: Mapping[str, set[str]]) -> Callable[[Rows], np.ndarray]:
    def rank(rows: Rows) -> np.ndarray:
        words = [set(query) for query in words_of(_queries(rows))]
        return np.array([[len(query & found[name]) for name in names] for query in words], dtype=np.float64)

    return rank
