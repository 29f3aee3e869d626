"""The metrics of every task of TVHF, for floors and models alike: scores and rows in, figures with intervals out.

    clusters = read_clusters("hub/datasets/tvhf")
    rows = read_rows("hub/datasets/tvhf", "descriptions", "test")
    description_metrics(scores, rows, threshold, clusters)["structure and size"]["group_accuracy"]

Rows are those of the published files, as dictionaries, and scores stand in their order. Thresholds are chosen on
`validation` (`best_threshold`), for every method. Figures are those of `cluster_metrics_release`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_scripts.release.cluster_metrics_release import (
    answer_metrics,
    binary_metrics,
    ranking_metrics,
    ranking_values,
)

Row = Mapping[str, Any]
ClusterOf = Mapping[str, str]
"""`arch_id` -> cluster."""
HEADLINE = "structure and size"
KINDS: Mapping[str, tuple[str, ...]] = {
    HEADLINE: ("structure", "size"), "purpose": ("purpose",), "origin": ("origin",),
}  # fmt: skip
"""Part of `descriptions` -> the kinds of its sentences. The headline comes first."""
PAIR_PARTS: Mapping[str, Callable[[Row], bool]] = {
    "all": lambda row: True,
    "distinct graphs": lambda row: row["relation"] != "identical",
    "size-matched": lambda row: row["relation"] != "identical" and row["size_matched"],
    "disagreements with Weisfeiler-Lehman": lambda row: not row["agrees_with_wl"],
    "disagreements with Jaccard": lambda row: not row["agrees_with_jaccard"],
}
"""Part of `clones` -> which of its rows belong to it; disagreements are of a similarity with the relation."""
RANKING = ("nDCG@10", "MAP", "R-precision")


def read_rows(
    folder: str | Path, config: str, split: str, columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Rows of a split, as they lie in the files.

    Raises:
        FileNotFoundError: there is no such config or split.
    """
    paths = sorted((Path(folder) / config).glob(f"{split}-[0-9]*.parquet"))
    if not paths:
        raise FileNotFoundError(f"{Path(folder) / config} has no files of the split {split!r}.")
    return [row for path in paths for row in pq.read_table(path, columns=columns and list(columns)).to_pylist()]


def iterate_networks(folder: str | Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """`arch_id` and columns of `architectures`, over all splits in order, few rows in memory at a time.

    Lists of numbers are numpy arrays.

    Raises:
        FileNotFoundError: there is no such config.
    """
    paths = sorted((Path(folder) / "architectures").glob("*-[0-9]*.parquet"))
    if not paths:
        raise FileNotFoundError(f"{Path(folder) / 'architectures'} has no Parquet files.")
    wanted = list(dict.fromkeys(("arch_id", *columns)))
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(batch_size=32, columns=wanted):
            numbers = [
                f.name for f in batch.schema if pa.types.is_list(f.type) and pa.types.is_integer(f.type.value_type)
            ]
            for place, row in enumerate(batch.drop_columns(numbers).to_pylist()):
                yield row | {name: batch.column(name)[place].values.to_numpy() for name in numbers}


def read_clusters(folder: str | Path) -> dict[str, str]:
    """`arch_id` -> cluster; errors as `iterate_networks`."""
    return {row["arch_id"]: str(row["cluster"]) for row in iterate_networks(folder, ("cluster",))}


def _labels(rows: Sequence[Row]) -> np.ndarray:
    return np.array([row["label"] for row in rows])


def _pair_clusters(rows: Sequence[Row], clusters: ClusterOf) -> list[tuple[str, ...]]:
    """Clusters of both networks of a pair, sorted, each once."""
    return [tuple(sorted({clusters[row["arch_id_a"]], clusters[row["arch_id_b"]]})) for row in rows]


def description_metrics(
    scores: np.ndarray, rows: Sequence[Row], threshold: float, clusters: ClusterOf
) -> dict[str, dict[str, Any]]:
    """Part of `KINDS` -> figures of statements (AR); parts without rows are left out.

    Matched rows have `group_accuracy`; in the paper's form there are no groups, and its one part is `all`.

    Args:
        scores: float (n,), larger is truer.
        rows: n rows of `descriptions`.
        threshold: above it a statement is taken for true.
        clusters: of the networks.
    """
    scores = np.asarray(scores)
    parts = KINDS if rows and rows[0]["group"] else {"all": ("structure", "size", "purpose", "origin")}
    found = {}
    for part, kinds in parts.items():
        chosen = [index for index, row in enumerate(rows) if row["kind"] in kinds]
        if chosen:
            kept = [rows[index] for index in chosen]
            groups = [row["group"] for row in kept] if kept[0]["group"] else None
            of = [clusters[row["arch_id"]] for row in kept]
            found[part] = binary_metrics(scores[chosen], _labels(kept), threshold, of, groups)
    return found


def clone_metrics(
    scores: np.ndarray, rows: Sequence[Row], threshold: float, clusters: ClusterOf
) -> dict[str, dict[str, Any]]:
    """Part of `PAIR_PARTS` -> figures of pairs (ACD); parts of one label only are left out.

    Args:
        scores: float (n,), larger is more alike.
        rows: n rows of `clones` with label 1 or 0 (-1 is no part of the score).
        threshold: above it a pair is taken for alike.
        clusters: of the networks.
    """
    scores = np.asarray(scores)
    found = {}
    for part, belongs in PAIR_PARTS.items():
        chosen = [index for index, row in enumerate(rows) if belongs(row)]
        kept = [rows[index] for index in chosen]
        if len({row["label"] for row in kept}) == 2:
            found[part] = binary_metrics(scores[chosen], _labels(kept), threshold, _pair_clusters(kept, clusters))
    return found


def bimodal_metrics(
    scores: np.ndarray, rows: Sequence[Row], threshold: float, clusters: ClusterOf
) -> dict[str, dict[str, Any]]:
    """`all` -> figures of pairs with a text (BACD); a group is a quartet, right where all four rows are.

    Arguments as `clone_metrics`, with rows of `bimodal_clones`.
    """
    groups = [row["group"] for row in rows]
    return {"all": binary_metrics(scores, _labels(rows), threshold, _pair_clusters(rows, clusters), groups)}


def question_metrics(right: Sequence[float], rows: Sequence[Row], clusters: ClusterOf) -> dict[str, Any]:
    """Figures of answers (AQA): `macro` over question types, `micro`, `by_type`.

    Args:
        right: how right each answer is, 0 to 1; exact match is 1 where the set of answers is the true set.
        rows: n rows of `aqa`, `aqa_hard` or `aqa_modern`.
        clusters: of the networks.
    """
    return answer_metrics(right, [row["question_type"] for row in rows], [clusters[row["arch_id"]] for row in rows])


Ranker = Callable[[Sequence[Row]], np.ndarray]
"""Rows of `search` -> scores of all networks in the order of the names, float (q, a)."""


def search_metrics(
    rank: Ranker, rows: Sequence[Row], names: Sequence[str], splits: Mapping[str, str], clusters: ClusterOf
) -> dict[str, dict[str, Any]]:
    """`KIND, POOL` -> nDCG@10, MAP and R-precision of search (AS).

    What a query does not rank, because it is unknown (`ignored`) or outside of its pool, is left out of the ranking.
    A query belongs to the cluster that most of its relevant networks are of.

    Args:
        rank: what is measured.
        rows: rows of `search`, of one split.
        names: `arch_id` of every network.
        splits: `arch_id` -> split.
        clusters: of the networks.
    """
    found = {}
    for kind, pool in sorted({(row["kind"], row["pool"]) for row in rows}):
        chosen = [row for row in rows if (row["kind"], row["pool"]) == (kind, pool)]
        relevant = np.array([np.isin(names, row["relevant"]) for row in chosen])
        ranked = np.array([_ranked(row, names, splits) for row in chosen])
        values = ranking_values(np.asarray(rank(chosen)), relevant, ranked)
        found[f"{kind}, {pool}"] = ranking_metrics(values, [_query_cluster(row, clusters) for row in chosen])
    return found


def _ranked(row: Row, names: Sequence[str], splits: Mapping[str, str]) -> np.ndarray:
    """bool (a,): what a query ranks."""
    ignored = set(row["ignored"])
    return np.array([
        name not in ignored and (row["pool"] == "all" or splits[name] == row["split"]) for name in names
    ])  # fmt: skip


def _query_cluster(row: Row, clusters: ClusterOf) -> str:
    found = [clusters[name] for name in row["relevant"]]
    return max(sorted(set(found)), key=found.count)
