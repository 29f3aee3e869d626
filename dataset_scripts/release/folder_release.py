"""A built data set as files, `<config>/<split>-00000-of-0000n.parquet`: its configs, splits, columns and rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SPLITS = ("train", "validation", "test")


class DataFolderError(ValueError):
    """A folder that is no whole data set: says which file is wrong and what to do."""


class DataFolder:
    """A folder with the Parquet files of a data set, read one row group at a time.

    Args:
        folder: the folder.
        configs: its configs in the order in which they are shown; those that are not there are left out.
        splits: the splits that a config may have, in order.

    Attributes:
        path: the folder.
        splits: config -> its splits, in order.

    Raises:
        DataFolderError: there is no such folder, or none of the configs is in it.
    """

    def __init__(self, folder: str | Path, configs: Sequence[str], splits: Sequence[str] = SPLITS) -> None:
        self.path = Path(folder)
        found = {config: tuple(s for s in splits if self.files(config, s)) for config in configs}
        self.splits = {config: splits for config, splits in found.items() if splits}
        if not self.splits:
            raise DataFolderError(
                f"{self.path} has no files such as {configs[0]}/train-00000-of-00001.parquet; build it first."
            )

    def files(self, config: str, split: str) -> list[Path]:
        """The Parquet files of a split, in order."""
        return sorted((self.path / config).glob(f"{split}-*.parquet"))

    def schema(self, config: str) -> pa.Schema:
        """Columns of a config."""
        return self._open(self.files(config, self._splits(config)[0])[0]).schema_arrow

    def num_rows(self, config: str, split: str) -> int:
        """Number of rows of a split."""
        return sum(self._open(path).metadata.num_rows for path in self.files(config, split))

    def loaded_bytes(self, config: str, split: str) -> int:
        """Size of a split without compression."""
        files = [self._open(path).metadata for path in self.files(config, split)]
        return sum(file.row_group(i).total_byte_size for file in files for i in range(file.num_row_groups))

    def num_bytes(self, config: str) -> int:
        """Size of a config's files."""
        return sum(path.stat().st_size for split in self._splits(config) for path in self.files(config, split))

    def tables(self, config: str, split: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows of a split, one row group after the other.

        Raises:
            DataFolderError: the config or a file is missing, or a file is damaged.
        """
        self._splits(config)
        for path in self.files(config, split):
            file = self._open(path)
            for index in range(file.num_row_groups):
                try:
                    yield file.read_row_group(index, columns=None if columns is None else list(columns))
                except (OSError, pa.ArrowException) as error:
                    raise DataFolderError(f"{path} is damaged ({error}); build the data set again.") from error

    def _splits(self, config: str) -> tuple[str, ...]:
        if config not in self.splits:
            raise DataFolderError(f"{self.path} has no config {config!r}; it has {', '.join(self.splits)}.")
        return self.splits[config]

    @staticmethod
    def _open(path: Path) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise DataFolderError(f"{path} cannot be read ({error}); build the data set again.") from error
