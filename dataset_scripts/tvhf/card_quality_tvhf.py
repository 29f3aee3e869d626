"""The numbers of the card's answers on quality (paper, appendix A.7), counted in the published files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_scripts.release.folder_release import DataFolder
from dataset_scripts.release.statistics_release import markdown_table

from .configs_tvhf import PAPER_SPLITS

_ABOUT = (
    "graph_hash", "modality", "tasks", "year", "origin", "num_parameters", "unused_parameters", "incomplete", "source",
)  # fmt: skip


def quality_section(data: DataFolder, paper: Mapping[str, Any], audit: Mapping[str, Any]) -> str:
    """A table: question of A.7, what was counted, how much it is.

    Args:
        data: the released folder.
        paper: what the matrix says of the paper's negatives (`paper.json`).
        audit: the leak audit.
    """
    rows = _records(data, "architectures", _ABOUT)
    answers = [*_duplicates(data, rows), *_missing(rows), *_noise(data, rows, paper), *_skew(data, audit)]
    return markdown_table(("question", "counted", "number"), [(a, b, c) for a, b, c in answers])


def _records(data: DataFolder, config: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    tables = [table for split in data.splits[config] for table in data.tables(config, split, columns)]
    return pa.concat_tables(tables).to_pylist()


def _duplicates(data: DataFolder, rows: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    repeated = len(rows) - len({row["graph_hash"] for row in rows})
    yield "duplicates", "architectures with the graph of another row", f"{repeated:,}"
    pairs = 0
    for split in data.splits["descriptions"]:
        table = pa.concat_tables(data.tables("descriptions", split, ("arch_id", "text")))
        found = list(zip(table["arch_id"].to_pylist(), table["text"].to_pylist(), strict=True))
        pairs += len(found) - len(set(found))
    yield "duplicates", "rows of `descriptions` with architecture and text of another of their split", f"{pairs:,}"


def _missing(rows: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for name, empty in (("modality", []), ("tasks", []), ("year", 0)):
        count = sum(row[name] == empty for row in rows)
        yield "missing values", f"architectures without `{name}`", f"{count:,} ({count / len(rows):.0%})"
    count = sum('"organisation"' not in (row["origin"] or "") for row in rows)
    yield "missing values", "architectures without an organisation in `origin`", f"{count:,} ({count / len(rows):.0%})"
    count = sum(bool(row["incomplete"]) for row in rows)
    yield "missing values", "graphs that miss a part (`incomplete`)", f"{count:,} ({count / len(rows):.0%})"


def _noise(data: DataFolder, rows: list[dict[str, Any]], paper: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    checked = Counter(row["checked"] for row in _records(data, "sentences", ("checked",)))
    share = checked[True] / max(1, checked.total())
    yield "label noise", "sentences that graphs decide; the others rest on the table", f"{share:.0%}"
    yield "label noise", "negatives of the paper's form that are true", f"{paper['paper_negatives']['true']:.1%}"
    unused = np.array([row["unused_parameters"] / max(1, row["num_parameters"]) for row in rows])
    yield (
        "feature noise",
        "share of parameters that no node holds: mean, greatest",
        (f"{unused.mean():.2%}, {unused.max():.1%}"),
    )


def _skew(data: DataFolder, audit: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    sources = Counter(row["source"] for row in _records(data, "architectures", ("source",)))
    yield (
        "skew",
        "architectures of transformers, of torchvision",
        (f"{sources['transformers']:,}, {sources['torchvision']:,}"),
    )
    labels = Counter(
        label for split in data.splits["descriptions"] if split not in PAPER_SPLITS and "_paper_" not in split
        for table in data.tables("descriptions", split, ("label",)) for label in table["label"].to_pylist()
    )  # fmt: skip
    yield "skew", "share of true rows, matched splits", f"{labels[1] / max(1, labels.total()):.1%}"
    yield "leaks", "clusters, graphs on two sides", f"{audit['shared_clusters']}, {audit['shared_graphs']}"
