"""What training reads of many graphs, kept on disk: tokens and true answers, made once, mapped into memory.

Everything lies in folders whose names are digests of what they are made of, so nothing is ever out of date; a folder
appears by a rename, so it is whole.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import numpy as np

import processing_archbert
from processing_archbert.graph_features_archbert import GraphEncoding

_Item = TypeVar("_Item")
_Self = TypeVar("_Self", bound="Stored")


class Stored(Sequence[_Item], Generic[_Item]):
    """A sequence that makes an item when it is asked for; a slice of it is another view of the same store.

    Args:
        count: number of items.
    """

    def __init__(self, count: int) -> None:
        self.items = range(count)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, key: int) -> _Item: ...

    @overload
    def __getitem__(self: _Self, key: slice) -> _Self: ...

    def __getitem__(self, key: int | slice) -> Any:
        if isinstance(key, slice):
            part = copy.copy(self)
            part.items = self.items[key]
            return part
        return self.read(self.items[key])

    @abstractmethod
    def read(self, index: int) -> _Item:
        """Item `index` of the whole store."""


class StoredEncodings(Stored[GraphEncoding]):
    """Graph tokens that `write` wrote to a folder: one file for each array, the arrays of all graphs end to end."""

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        super().__init__(about["count"])
        self.names: list[str] = about["names"]
        self.ends = np.load(folder / "ends.npy", mmap_mode="r")
        self.arrays = [
            (name, _mapped(folder / f"{name}.bin", dtype, tuple(shape))) for name, dtype, shape in about["arrays"]
        ]

    @property
    def token_counts(self) -> np.ndarray:
        """Number of tokens of each graph, int64."""
        column = [name for name, _ in self.arrays].index("node_ids")
        ends = self.ends[:, column]
        return np.diff(ends, prepend=0)[self.items.start : self.items.stop : self.items.step]

    def read(self, index: int) -> GraphEncoding:
        """The tokens of a graph, equal to those that were written."""
        fields: dict[str, Any] = {}
        for column, (name, array) in enumerate(self.arrays):
            start = self.ends[index - 1, column] if index else 0
            fields[name] = array[start : self.ends[index, column]]
        fields["op_names"] = tuple(self.names[i] for i in fields["op_names"])
        fields["fold_rounds"] = int(fields["fold_rounds"][0])
        return GraphEncoding(**fields)

    @staticmethod
    def write(folder: Path, encodings: Iterable[GraphEncoding]) -> None:
        """Write tokens, graph by graph; an iterable that gives none is refused with a ValueError."""
        names: dict[str, int] = {}
        ends: list[list[int]] = []
        arrays: dict[str, np.ndarray] = {}
        files: dict[str, Any] = {}
        try:
            for encoding in encodings:
                arrays = _arrays_of(encoding, names)
                for name, array in arrays.items():
                    if name not in files:
                        files[name] = (folder / f"{name}.bin").open("wb")
                    files[name].write(np.ascontiguousarray(array).tobytes())
                last = ends[-1] if ends else [0] * len(arrays)
                ends.append([end + len(array) for end, array in zip(last, arrays.values(), strict=True)])
        finally:
            for file in files.values():
                file.close()
        if not ends:
            raise ValueError("there is no graph to encode")
        np.save(folder / "ends.npy", np.array(ends, dtype=np.int64))
        described = [(name, array.dtype.str, array.shape[1:]) for name, array in arrays.items()]
        about = {"count": len(ends), "names": list(names), "arrays": described}
        (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


class StoredBits:
    """Rows of bits, kept packed: what `numpy.packbits` makes of bool arrays of one shape.

    Args:
        packed: uint8 (rows, ..., bytes).
        width: number of bits in the last dimension.
    """

    def __init__(self, packed: np.ndarray, width: int) -> None:
        self.packed, self.width = packed, width

    def __len__(self) -> int:
        return len(self.packed)

    def part(self, start: int, stop: int | None) -> StoredBits:
        """Some of the rows."""
        return StoredBits(self.packed[start:stop], self.width)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Bits as bool, for any index of numpy into all dimensions but the last."""
        return np.unpackbits(self.packed[key], axis=-1, count=self.width).astype(bool)


def kept(folder: Path, key: Sequence[Any], make: Callable[[Path], None]) -> Path:
    """The folder of a key, which `make` fills if it is not there yet.

    Args:
        folder: where such folders are kept.
        key: all that decides what is in it but the code; is written as JSON.
        make: writes files to the folder that it is given.
    """
    name = hashlib.sha256(json.dumps([*key, code_version()], default=str).encode()).hexdigest()[:24]
    found = folder / name
    if found.exists():
        return found
    folder.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
    try:
        make(made)
        os.rename(made, found)
    except OSError:
        if not found.exists():  # otherwise another process was first
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return found


@cache
def code_version() -> str:
    """Digest of the code that makes graphs, tokens and facts: changed code never meets what older code has made."""
    folder = Path(str(processing_archbert.__file__)).parent
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*_archbert.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _arrays_of(encoding: GraphEncoding, names: dict[str, int]) -> dict[str, np.ndarray]:
    """The fields of an encoding as arrays; names of ops as ids, of which new ones are added to `names`."""
    fields = {field.name: getattr(encoding, field.name) for field in dataclasses.fields(encoding)}
    fields["op_names"] = np.array([names.setdefault(name, len(names)) for name in encoding.op_names], dtype=np.int32)
    fields["fold_rounds"] = np.array([encoding.fold_rounds], dtype=np.int32)
    return fields


def _mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.zeros((0, *shape), dtype)
    return np.asarray(np.memmap(path, dtype, mode="r")).reshape(-1, *shape)
