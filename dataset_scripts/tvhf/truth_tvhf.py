"""The truth matrix of TVHF: every sentence beside every architecture, as true, false or unknown.

Cells are int8: `TRUE`, `FALSE`, `UNKNOWN`. Every label and every relevance set of TVHF comes from this matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .clusters_tvhf import SPLITS
from .facts_tvhf import ArchitectureFacts
from .sentences_tvhf import Sentence
from .sheets_tvhf import cached_sheet

TRUE, FALSE, UNKNOWN = 1, 0, -1
_CELLS = {True: TRUE, False: FALSE, None: UNKNOWN}
_SYMBOLS = {TRUE: "1", FALSE: "0", UNKNOWN: "?"}
RECORD_COLUMNS = ("arch_id", "name", "aliases", "source", "group", "family", "paradigm", "modality", "tasks", "year",
                  "origin", "config", "cluster", "split", "graph_hash", "num_parameters")  # fmt: skip


class Architecture(NamedTuple):
    """An architecture as texts see it: columns of its row without the graph, and its facts."""

    record: dict[str, Any]
    facts: ArchitectureFacts

    @property
    def arch_id(self) -> str:
        """Identifier of its row."""
        return str(self.record["arch_id"])

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, and those of members with the same graph."""
        return (str(self.record["name"]), *(self.record.get("aliases") or ()))


def load_architectures(path: Path, sheets: Path | None = None) -> list[Architecture]:
    """Architectures of a Parquet file, or of all such files of a folder, in order of files and rows.

    Args:
        path: the file or folder (config `architectures`).
        sheets: where fact sheets are kept; default: a temporary folder of the user.

    Raises:
        FileNotFoundError: there is no Parquet file.
        ValueError: a column is missing, a split is unknown, or an identifier is there twice; the last two with
            `file:row`, rows counted from 1.
    """
    import pyarrow.parquet as pq

    files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"{path} is no Parquet file and no folder of Parquet files of architectures.")
    found: list[Architecture] = []
    places: dict[str, str] = {}
    for file in files:
        rows = (row for batch in pq.ParquetFile(file).iter_batches(batch_size=16) for row in batch.to_pylist())
        for number, row in enumerate(rows, start=1):
            where = f"{file}:{number}"
            if (split := row.get("split", SPLITS[0])) not in SPLITS:
                raise ValueError(f"{where}: unknown split {split!r} of {row.get('arch_id')!r}; there are "
                                 f"{', '.join(SPLITS)}.")  # fmt: skip
            found.append(_architecture(row, file, sheets))
            if (first := places.setdefault(found[-1].arch_id, where)) != where:
                raise ValueError(f"{where}: {found[-1].arch_id!r} is there already, at {first}.")
    return found


def _architecture(row: Mapping[str, Any], file: Path, sheets: Path | None) -> Architecture:
    missing = [name for name in ("arch_id", "name", "family", "op_types", "graph_hash") if name not in row]
    if missing:
        raise ValueError(f"{file}: the columns {', '.join(missing)} are missing.")
    record = {name: row[name] for name in RECORD_COLUMNS if name in row}
    return Architecture(record, ArchitectureFacts(cached_sheet(row, sheets), record))


def truth_matrix(sentences: Sequence[Sentence], architectures: Sequence[Architecture]) -> np.ndarray:
    """int8 (sentences, architectures) of `TRUE`, `FALSE` and `UNKNOWN`."""
    matrix = np.empty((len(sentences), len(architectures)), dtype=np.int8)
    predicates = [sentence.parsed for sentence in sentences]
    for column, architecture in enumerate(architectures):
        facts = architecture.facts
        matrix[:, column] = [_CELLS[predicate.evaluate(facts)] for predicate in predicates]
    return matrix


def truth_rows(
    sentences: Sequence[Sentence], identifiers: Sequence[str], matrix: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Rows of the config `truth`: `sentence_id`, and one character `1`, `0` or `?` for each architecture, in order.

    Args:
        sentences: S sentences.
        identifiers: their `sentence_id`.
        matrix: `truth_matrix`, (S, A).
    """
    symbols = np.array([_SYMBOLS[UNKNOWN], _SYMBOLS[FALSE], _SYMBOLS[TRUE]])
    for identifier, cells in zip(identifiers, matrix, strict=True):
        counts = [int((cells == value).sum()) for value in (TRUE, FALSE, UNKNOWN)]
        yield {
            "sentence_id": identifier,
            "truth": "".join(symbols[cells.astype(np.int64) + 1]),
            "num_true": counts[0],
            "num_false": counts[1],
            "num_unknown": counts[2],
        }


def read_truth(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The matrix that `truth_rows` wrote, int8 (sentences, architectures)."""
    values = {ord(symbol): value for value, symbol in _SYMBOLS.items()}
    return np.array([[values[byte] for byte in row["truth"].encode()] for row in rows], dtype=np.int8)
