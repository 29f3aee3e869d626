"""The config `sample` of TVHF: a hundred architectures, one row each, with all their texts nested."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_scripts.release.folder_release import DataFolder
from dataset_scripts.release.nesting_release import nest, shares

from .configs_tvhf import PAPER_SPLITS, SAMPLE, TABLE5_SPLITS

SAMPLE_SIZE = 100
TEXTS = {
    "descriptions": "descriptions", "captions": "captions", "questions": "aqa", "hard_questions": "aqa_hard",
    "modern_questions": "aqa_modern",
}  # fmt: skip
"""Column of `sample` -> the config whose rows it holds."""
FIRST = ("arch_id", "name", "family", "source", "modality", "tasks", "year", "num_parameters", *TEXTS)
_SPLITS = ("train", "validation", "test", "test_new")


def write_sample(data: DataFolder, output_dir: str | Path, size: int = SAMPLE_SIZE) -> dict[str, int]:
    """Write `sample/<split>-00000-of-00001.parquet`.

    Of every split, the architectures with texts of all kinds are drawn by a digest of their `arch_id`.

    Args:
        data: a build.
        output_dir: folder that gets the folder `sample`.
        size: number of architectures in all splits together.

    Returns:
        Split -> number of rows.

    Raises:
        ValueError: the build has too few architectures with all kinds of texts.
        DataFolderError: a file is missing or damaged.
    """
    texts = {column: pa.concat_tables(_texts(data, config)) for column, config in TEXTS.items()}
    whole = set.intersection(*(set(table["arch_id"].to_pylist()) for table in texts.values()))
    tables = {}
    for split, count in shares(_SPLITS, size).items():
        rows = pa.concat_tables(data.tables("architectures", split))
        chosen = sorted(whole & set(rows["arch_id"].to_pylist()), key=_order)[:count]
        if len(chosen) < count:
            raise ValueError(
                f"{data.path} has {len(chosen)} architectures of {split} with all texts, not {count}; is it whole?"
            )
        rows = rows.filter(pc.is_in(rows["arch_id"], value_set=pa.array(chosen))).combine_chunks()
        nested = nest(rows, {column: [table] for column, table in texts.items()})
        tables[split] = nested.select([*FIRST, *(name for name in nested.column_names if name not in FIRST)])
    folder = Path(output_dir) / SAMPLE
    folder.mkdir(parents=True, exist_ok=True)
    for split, table in tables.items():
        path = folder / f"{split}-00000-of-00001.parquet"
        pq.write_table(table, path, row_group_size=SAMPLE_SIZE, compression="zstd", compression_level=12)
    return {split: len(table) for split, table in tables.items()}


def _texts(data: DataFolder, config: str) -> Iterator[pa.Table]:
    for split in data.splits[config]:
        if split not in (*PAPER_SPLITS, *TABLE5_SPLITS):
            yield from data.tables(config, split)


def _order(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
