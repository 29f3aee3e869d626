"""Sentences, and of which architectures they are true, as `build_descriptions` wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .truth_tvhf import read_truth


class Statement(NamedTuple):
    """A text that is true or false of networks.

    Attributes:
        text: the text.
        predicate: what decides it.
        kind: `structure`, `size`, `purpose` or `origin`.
        split: `train`, `validation` or `test`; empty = any.
        cells: int8 (architectures,) of `truth_tvhf.TRUE`, `FALSE` and `UNKNOWN`.
        mentions_name: whether it names a model.
    """

    text: str
    predicate: str
    kind: str
    split: str
    cells: np.ndarray
    mentions_name: bool = False


class StatementError(ValueError):
    """The files of sentences and truth do not belong to the architectures; says which and what to do."""


def load_statements(folder: Path, arch_ids: Sequence[str]) -> list[Statement]:
    """Sentences of a folder with their row of the truth matrix, its columns in the order of `arch_ids`.

    Args:
        folder: what `build_descriptions --out` was given.
        arch_ids: the architectures.

    Raises:
        FileNotFoundError: one of the two files is not there.
        StatementError: the truth is of other architectures, or sentences and truth do not fit.
    """
    import pyarrow.parquet as pq

    tables = []
    for config in ("sentences", "truth"):
        path = folder / config / "train-00000-of-00001.parquet"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there; dataset_scripts.tvhf.build_descriptions --out makes it.")
        tables.append(pq.read_table(path).to_pylist())
    sentences, truth = tables
    if [row["sentence_id"] for row in sentences] != [row["sentence_id"] for row in truth]:
        raise StatementError(f"{folder}: sentences and truth are of different builds; run build_descriptions again.")
    matrix = read_truth(truth)
    if matrix.shape[1] != len(arch_ids):
        raise StatementError(
            f"{folder}: the truth is of {matrix.shape[1]} architectures, and there are {len(arch_ids)}; run "
            "build_descriptions with the same --architectures."
        )
    place = np.argsort(np.argsort(list(arch_ids)))
    return [
        Statement(row["text"], row["predicate"], row["kind"], row["split"], cells[place], row["mentions_name"])
        for row, cells in zip(sentences, matrix, strict=True)
    ]
