"""The config `sample`: the first architectures of a build, one row each, with all their texts nested.

    python -m dataset_scripts.autonet.sample_autonet --data DIR --out hub/datasets/autonet

Its rows are those of a build of any size, because a small build is the beginning of a large one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_scripts.release.folder_release import DataFolder
from dataset_scripts.release.nesting_release import first_rows, nest, shares

from .card_autonet import CONFIGS

SAMPLE = "sample"
SAMPLE_SIZE = 100
TEXTS = {"captions": "captions", "descriptions": "descriptions", "questions": "aqa", "hard_questions": "aqa_hard"}
"""Column of `sample` -> the config whose rows it holds."""
FIRST = ("arch_id", "subset", "style", "num_parameters", *TEXTS)


def write_sample(data: DataFolder, output_dir: str | Path, size: int = SAMPLE_SIZE) -> dict[str, int]:
    """Write `sample/<split>-00000-of-00001.parquet`, the first architectures of every split.

    Args:
        data: a build.
        output_dir: folder that gets the folder `sample`.
        size: number of architectures in all splits together.

    Returns:
        Split -> number of rows.

    Raises:
        ValueError: the build has too few architectures.
        DataFolderError: a file is missing or damaged.
    """
    counts = shares(data.splits["architectures"], size)
    for split, count in counts.items():
        if data.num_rows("architectures", split) < count:
            raise ValueError(f"{data.path} has fewer than {count} architectures to show of {split}; build more.")
    tables = {split: sample_rows(data, split, count) for split, count in counts.items()}
    folder = Path(output_dir) / SAMPLE
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.parquet"):
        path.unlink()
    for split, table in tables.items():
        pq.write_table(
            table, folder / f"{split}-00000-of-00001.parquet", row_group_size=SAMPLE_SIZE, compression="zstd"
        )
    return {split: len(table) for split, table in tables.items()}


def sample_rows(data: DataFolder, split: str, count: int) -> pa.Table:
    """The first architectures of a split with their texts; what people read stands in the first columns."""
    rows = first_rows(data.tables("architectures", split), count)
    nested = nest(rows, {column: data.tables(config, split) for column, config in TEXTS.items()})
    first = [name for name in FIRST if name in nested.column_names]
    return nested.select([*first, *(name for name in nested.column_names if name not in first)])


def main() -> None:
    """Command line of `write_sample`."""
    parser = argparse.ArgumentParser(description="Write the config `sample` of AutoNet from a build.")
    parser.add_argument("--data", required=True, help="folder of a build")
    parser.add_argument("--out", required=True, help="folder that gets the folder `sample`")
    parser.add_argument("--size", type=int, default=SAMPLE_SIZE, help="number of architectures")
    options = parser.parse_args()
    print(write_sample(DataFolder(options.data, CONFIGS), options.out, options.size))


if __name__ == "__main__":
    main()
