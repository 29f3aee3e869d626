"""`ByteReader`: the beginning of a file, on disk or behind a URL, piece by piece.

* Of a URL only the asked bytes are fetched, by range requests; a server that ignores them is cut off.
* Every read is bounded before it happens: a length in a stranger's file never becomes an allocation.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import urlsplit

from huggingface_hub import constants, get_session

from .source_errors_archbert import ArchitectureSourceError, first_line

MAX_HEADER_BYTES = 64 * 2**20
"""No reader goes further into a file than that."""

FIRST_FETCH_BYTES = 2**18
MAX_FETCH_BYTES = 2**22
FETCH_SECONDS = 60.0
_STATUS = {
    401: "needs a login (`hf auth login`), or does not exist",
    403: "may not be read; accept its terms on its page and log in",
    404: "does not exist",
    416: "ends before its header does",
}


def is_url(text: str) -> bool:
    """Whether a string is an address of the web."""
    return text.lower().startswith(("http://", "https://"))


class ByteReader:
    """Reads a file or a URL from its beginning; a context manager.

    Args:
        where: path of a regular file, or an `http(s)://` address.
        headers: of the requests, where there is an address.

    Attributes:
        name: what messages call the file.
        position: number of bytes read or skipped so far.
        size: length of the file in bytes; None where a server does not say.

    Raises:
        ArchitectureSourceError: the file cannot be opened or fetched, or ends too early.
    """

    def __init__(self, where: str | os.PathLike[str], headers: Mapping[str, str] | None = None) -> None:
        self.name = os.fspath(where)
        self.position = 0
        self.size: int | None = None
        self._headers = dict(headers or {})
        self._file: IO[bytes] | None = None
        self._fetched = b""
        self._fetched_at = 0
        self._next_fetch = FIRST_FETCH_BYTES
        if is_url(self.name):
            if constants.HF_HUB_OFFLINE:
                raise ArchitectureSourceError(f"{self.name!r} cannot be fetched: HF_HUB_OFFLINE is set.")
            if not urlsplit(self.name).hostname:
                raise ArchitectureSourceError(f"{self.name!r} is no address: it names no host.")
        else:
            self._open()

    def _open(self) -> None:
        try:
            if not Path(self.name).is_file():
                raise ArchitectureSourceError(f"{self.name!r} is no regular file.")
            self._file = open(self.name, "rb")  # noqa: SIM115
            self.size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise ArchitectureSourceError(f"{self.name[:300]!r} cannot be read: {first_line(error)[:300]}") from None

    def __enter__(self) -> ByteReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def read(self, count: int) -> bytes:
        """The next `count` bytes, all of them."""
        self._check(count)
        data = self._from_file(count) if self._file is not None else self._from_address(count)
        if len(data) < count:
            raise ArchitectureSourceError(
                f"{self.name!r} ends after {self.position + len(data)} bytes, inside its header; is it complete?"
            )
        self.position += count
        return data

    def skip(self, count: int) -> None:
        """Leaves out the next `count` bytes."""
        self._check(count)
        self.position += count

    def _check(self, count: int) -> None:
        end = self.position + count
        if count < 0 or (self.size is not None and end > self.size):
            raise ArchitectureSourceError(
                f"{self.name!r} has {self.size} bytes, and its header says that it goes on to byte {end}; the file is "
                "cut off or damaged."
            )
        if end > MAX_HEADER_BYTES:
            raise ArchitectureSourceError(
                f"The header of {self.name!r} goes on to byte {end}; at most {MAX_HEADER_BYTES} bytes are read."
            )

    def _from_file(self, count: int) -> bytes:
        assert self._file is not None
        try:
            if self._file.tell() != self.position:
                self._file.seek(self.position)
            return self._file.read(count)
        except OSError as error:
            raise ArchitectureSourceError(f"{self.name!r} cannot be read: {first_line(error)}") from None

    def _from_address(self, count: int) -> bytes:
        start = self.position - self._fetched_at
        if not 0 <= start <= start + count <= len(self._fetched):
            length = max(count, self._next_fetch)
            self._next_fetch = min(2 * self._next_fetch, MAX_FETCH_BYTES)
            self._fetched, self._fetched_at = self._fetch(self.position, length), self.position
            start = 0
        return self._fetched[start : start + count]

    def _fetch(self, start: int, length: int) -> bytes:
        """At most `length` bytes from `start` on, by one request."""
        headers = {**self._headers, "Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
        deadline = time.monotonic() + FETCH_SECONDS
        try:
            with get_session().stream(
                "GET", self.name, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, follow_redirects=True
            ) as response:
                if response.status_code not in (200, 206):
                    raise ArchitectureSourceError(self._refusal(response.status_code))
                self._learn_size(response.headers)
                ignored = start if response.status_code == 200 else 0
                data = bytearray()
                for piece in response.iter_raw(2**16):
                    data += piece
                    if len(data) >= ignored + length:
                        break
                    if time.monotonic() > deadline:
                        raise ArchitectureSourceError(f"{self.name!r} came too slowly; download it and give its path.")
                return bytes(data[ignored : ignored + length])
        except ArchitectureSourceError:
            raise
        except Exception as error:
            raise ArchitectureSourceError(
                f"{self.name!r} cannot be fetched ({first_line(error)}). Connect, or give the path of a file."
            ) from error

    def _refusal(self, status: int) -> str:
        return f"{self.name!r} {_STATUS.get(status, 'cannot be fetched')} (the server answered {status})."

    def _learn_size(self, headers: Mapping[str, str]) -> None:
        total = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "")
        if self.size is None and total.isascii() and total.isdigit():
            self.size = int(total)
