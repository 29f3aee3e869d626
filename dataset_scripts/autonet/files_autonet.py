"""Files that are there as a whole or not at all."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

logger = logging.getLogger(__name__)


def write_parquet(path: Path, tables: Iterator[pa.Table] | Sequence[pa.Table]) -> int:
    """Write tables of one schema to a file, each as a row group; returns the number of rows.

    Pages end where the content says so (where pyarrow can do that): a store that keeps equal chunks once, as the Hub
    does, then keeps what a larger or later build has in common with this one.
    """
    options: dict[str, Any] = {"compression": "zstd", "write_page_index": True}
    if "use_content_defined_chunking" in inspect.signature(pq.ParquetWriter.__init__).parameters:
        options["use_content_defined_chunking"] = True

    def write(file: BinaryIO) -> int:
        rows, writer = 0, None
        try:
            for one in tables:
                writer = writer or pq.ParquetWriter(file, one.schema, **options)
                writer.write_table(one, row_group_size=max(len(one), 1))
                rows += len(one)
        finally:
            if writer is not None:
                writer.close()
        return rows

    return write_file(path, write)


def write_file(path: Path, write: Callable[[BinaryIO], int]) -> int:
    """Write a file under another name and rename it, so that it is there as a whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with open(unfinished, "wb") as file:
            result = write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    return result


@contextmanager
def only_builder(output: Path) -> Iterator[None]:
    """Wait until no other process builds in this folder, and keep others out (on systems with `flock`)."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    output.mkdir(parents=True, exist_ok=True)
    handle = os.open(output, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("another process builds %s: waiting for it", output)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
