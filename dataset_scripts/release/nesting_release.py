"""Rows of several configs as one: each architecture with its texts nested, as lists of records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def nest(rows: pa.Table, texts: Mapping[str, Iterable[pa.Table]], key: str = "arch_id") -> pa.Table:
    """Add to each row a column for every kind of text, with the records whose `key` is the row's.

    Args:
        rows: one row for each key.
        texts: new column -> tables of records, of any keys; their order is kept.
        key: the column that joins them.

    Returns:
        `rows` with a column of type `list<struct>` for each kind of text.

    Raises:
        ValueError: a row has no record of some kind.
    """
    keys = rows[key].to_pylist()
    for column, tables in texts.items():
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in keys}
        fields: list[pa.Field] = []
        for table in tables:
            fields = [field for field in table.schema if field.name != key]
            for record in table.filter(pc.is_in(table[key], value_set=rows[key].combine_chunks())).to_pylist():
                found[record.pop(key)].append(record)
        if missing := [name for name, records in found.items() if not records]:
            raise ValueError(f"{missing[0]} has no {column}; is the data set whole?")
        kind = pa.list_(pa.struct(fields))
        rows = rows.append_column(column, pa.array([found[name] for name in keys], type=kind))
    return rows


def first_rows(tables: Iterable[pa.Table], count: int) -> pa.Table:
    """The first `count` rows of tables of one schema; fewer where there are fewer.

    Raises:
        ValueError: there is no table.
    """
    taken: list[pa.Table] = []
    for table in tables:
        taken.append(table.slice(0, count - sum(map(len, taken))))
        if sum(map(len, taken)) == count:
            break
    if not taken:
        raise ValueError("There are no rows to take a sample from.")
    return pa.concat_tables(taken).combine_chunks()


def shares(splits: Sequence[str], total: int) -> dict[str, int]:
    """How many rows of a sample come from each split: a fifth from each but the first, which gives the rest."""
    fifth = total // 5
    return {split: fifth if index else total - fifth * (len(splits) - 1) for index, split in enumerate(splits)}
