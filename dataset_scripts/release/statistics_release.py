"""Figures of graphs and texts, after Table 1 of the paper, from tables that are read one after the other.

Only one number for each row is kept, so a data set of any size fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PUNCTUATION = r"^[\"'(\[]+|[.,;:?!\"')\]]+$"


class Spread(NamedTuple):
    """Mean, standard deviation (of the population) and median."""

    mean: float
    deviation: float
    median: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        """Spread of at least one value."""
        return cls(float(values.mean()), float(values.std()), float(np.median(values)))

    def __str__(self) -> str:
        return " / ".join(f"{value:.1f}" for value in self)


@dataclass(frozen=True)
class GraphFigures:
    """Figures of the graphs of a split.

    Attributes:
        nodes: int32 (n,), nodes of each graph.
        edges: int32 (n,), edges of each graph.
        parameters: int64 (n,), parameters of each network.
        kinds: int64 (n,), different op types in each graph.
        op_types: op type -> number of graphs that have it.
        groups: value of a column such as `style` -> number of graphs.
    """

    nodes: np.ndarray
    edges: np.ndarray
    parameters: np.ndarray
    kinds: np.ndarray
    op_types: Counter[str]
    groups: Counter[str]

    @classmethod
    def of(cls, tables: Iterable[pa.Table], group: str | None = None) -> GraphFigures:
        """Figures of the rows of a config with graphs.

        Args:
            tables: with the columns `op_types`, `src` and `num_parameters`, and `group`.
            group: column whose values are counted.
        """
        nodes, edges, parameters, kinds = [], [], [], []
        op_types: Counter[str] = Counter()
        groups: Counter[str] = Counter()
        for table in tables:
            ops = table["op_types"].combine_chunks()
            nodes.append(pc.list_value_length(ops).to_numpy(zero_copy_only=False))
            edges.append(pc.list_value_length(table["src"]).to_numpy())
            parameters.append(table["num_parameters"].to_numpy())
            pairs = pa.table({"graph": pc.list_parent_indices(ops), "op": pc.list_flatten(ops)})
            pairs = pairs.group_by(["graph", "op"]).aggregate([])
            op_types.update(pairs["op"].to_pylist())
            kinds.append(np.bincount(pairs["graph"].to_numpy(), minlength=len(table)))
            if group is not None:
                groups.update(table[group].to_pylist())
        return cls(
            np.concatenate(nodes), np.concatenate(edges), np.concatenate(parameters), np.concatenate(kinds), op_types,
            groups,
        )  # fmt: skip


@dataclass(frozen=True)
class TextFigures:
    """Figures of the texts of a split.

    Attributes:
        words: int32 (n,), words of each text, as blanks part them.
        characters: int32 (n,), characters of each text.
        vocabulary: different words, without regard to case and to punctuation around them.
    """

    words: np.ndarray
    characters: np.ndarray
    vocabulary: int

    @classmethod
    def of(cls, columns: Iterable[pa.ChunkedArray]) -> TextFigures:
        """Figures of columns of texts."""
        words, characters = [], []
        vocabulary: set[str] = set()
        for column in columns:
            parts = split_words(column)
            words.append(pc.list_value_length(parts).to_numpy())
            characters.append(pc.utf8_length(column).to_numpy())
            vocabulary.update(pc.unique(pc.list_flatten(parts)).to_pylist())
        return cls(np.concatenate(words), np.concatenate(characters), len(vocabulary - {""}))


def split_words(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """The words of each text in lower case, without punctuation around them."""
    split = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(pc.utf8_lower(texts)))
    chunks = []
    for chunk in split.chunks:
        words = pc.replace_substring_regex(pc.list_flatten(chunk), PUNCTUATION, "")
        lengths = pc.list_value_length(chunk).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        chunks.append(pa.ListArray.from_arrays(pa.array(offsets), words))
    return pa.chunked_array(chunks, type=pa.list_(pa.string()))


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, the first column to the left and the others to the right."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
