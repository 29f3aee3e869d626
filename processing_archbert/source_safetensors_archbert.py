"""Headers of safetensors files: names, data types and shapes of tensors, never the tensors.

Layout: 8 bytes with the length n of the header (little endian), n bytes of JSON, the data. A folder with several
files has a `model.safetensors.index.json` that says which tensor lies where.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .source_bytes_archbert import ByteReader, is_url
from .source_errors_archbert import ArchitectureSourceError, first_line

MAX_JSON_BYTES = 32 * 2**20
MAX_TENSORS = 200_000
MAX_SHARDS = 1024
MAX_DIMENSIONS = 16
INDEX_ENDING = ".safetensors.index.json"
_SHARD_NAME = re.compile(r"[\w.-]+\.safetensors")
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64, "F16": 16,
    "BF16": 16, "F32": 32, "F64": 64, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip


class TensorInfo(NamedTuple):
    """What a header says of one tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def safetensors_header(
    where: str | os.PathLike[str], headers: Mapping[str, str] | None = None
) -> dict[str, TensorInfo]:
    """Tensor names of a file (or of all files of an index) to what the header says of them, in the file's order.

    Args:
        where: path or address of a `.safetensors` file or of a `.safetensors.index.json`, whose files are read too.
        headers: of the requests, where there is an address.

    Raises:
        ArchitectureSourceError: the file cannot be read, or is not as the format wants it.
    """
    where = os.fspath(where)
    if where.partition("?")[0].endswith(INDEX_ENDING):
        return _sharded_header(where, headers)
    with ByteReader(where, headers) as reader:
        length = int.from_bytes(reader.read(8), "little")
        if not 2 <= length <= MAX_JSON_BYTES:
            raise ArchitectureSourceError(
                f"{where!r} is no safetensors file: it says that its header has {length} bytes; from 2 to "
                f"{MAX_JSON_BYTES} are allowed."
            )
        entries = parse_json(where, reader.read(length))
        data_bytes = None if reader.size is None else reader.size - 8 - length
    return _checked_tensors(where, entries, data_bytes)


def parse_json(where: str, data: bytes) -> dict[str, Any]:
    """A JSON object of a stranger, with unique keys and a bounded number of values.

    Raises:
        ArchitectureSourceError: it is none.
    """
    if data.count(b"{") > MAX_TENSORS + 2 or data.count(b",") + data.count(b"[") > 20 * MAX_TENSORS:
        raise ArchitectureSourceError(f"{where!r} names too many tensors; at most {MAX_TENSORS} are allowed.")
    try:
        value = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ArchitectureSourceError(f"{where!r} is no sound JSON ({first_line(error)}).") from None
    if not isinstance(value, dict):
        raise ArchitectureSourceError(f"{where!r} holds a JSON {type(value).__name__}, not an object.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _checked_tensors(where: str, entries: dict[str, Any], data_bytes: int | None) -> dict[str, TensorInfo]:
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ArchitectureSourceError(f"{where!r} has __metadata__ that does not map strings to strings.")
    if not entries:
        raise ArchitectureSourceError(f"{where!r} holds no tensor.")
    tensors, spans = {}, []
    for name, entry in entries.items():
        tensors[name], span = _checked_tensor(where, name, entry)
        spans.append(span)
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise ArchitectureSourceError(f"{where!r} has tensors that overlap or leave a gap at byte {end}.")
        end = stop
    if data_bytes is not None and end != data_bytes:
        raise ArchitectureSourceError(
            f"{where!r} has {data_bytes} bytes of data, and its header speaks of {end}; the file is cut off or "
            "damaged."
        )
    return tensors


def _checked_tensor(where: str, name: str, entry: Any) -> tuple[TensorInfo, tuple[int, int]]:
    """A tensor and its span of bytes."""
    fields = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = (fields.get(key, ()) for key in ("dtype", "shape", "data_offsets"))
    sound = (
        set(fields) == {"dtype", "shape", "data_offsets"}
        and isinstance(dtype, str)
        and dtype in _BITS
        and _are_counts(shape)
        and len(shape) <= MAX_DIMENSIONS
        and _are_counts(offsets)
        and len(offsets) == 2
    )
    if not sound:
        raise ArchitectureSourceError(
            f"{where!r} describes the tensor {name[:100]!r} as {str(entry)[:200]}; a known dtype, a shape and two "
            "data_offsets are allowed."
        )
    info = TensorInfo(str(dtype), tuple(shape))
    if info.size >= 2**63 or offsets[1] - offsets[0] != (info.size * _BITS[info.dtype] + 7) // 8:
        raise ArchitectureSourceError(
            f"{where!r} gives the tensor {name[:100]!r} the bytes {offsets[0]} to {offsets[1]}, which are not those "
            f"of {info.dtype} {list(shape)[:MAX_DIMENSIONS]}."
        )
    return info, (offsets[0], offsets[1])


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _sharded_header(where: str, headers: Mapping[str, str] | None) -> dict[str, TensorInfo]:
    """The tensors of all files that an index names; files are looked for beside it only."""
    data = read_index(where, headers)
    weight_map = data.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(v, str) for v in weight_map.values()):
        raise ArchitectureSourceError(f"{where!r} has no weight_map from tensors to files.")
    shards = sorted(set(weight_map.values()))
    strange = [shard for shard in shards if not _SHARD_NAME.fullmatch(shard)]
    if strange or len(shards) > MAX_SHARDS:
        raise ArchitectureSourceError(
            f"{where!r} names {len(shards)} files, such as {(strange or shards)[0][:100]!r}; at most {MAX_SHARDS} "
            "names of .safetensors files beside it are allowed."
        )
    tensors: dict[str, TensorInfo] = {}
    place = neighbour(where)
    for shard in shards:
        found = safetensors_header(place(shard), headers)
        tensors |= {name: info for name, info in found.items() if weight_map.get(name) == shard}
    missing = [name for name in weight_map if name not in tensors]
    if missing:
        raise ArchitectureSourceError(
            f"{where!r} promises {len(missing)} tensors that its files do not hold, such as {missing[0][:100]!r}."
        )
    return {name: tensors[name] for name in weight_map}


def read_index(
    where: str, headers: Mapping[str, str] | None = None, max_bytes: int = MAX_JSON_BYTES
) -> dict[str, Any]:
    """The JSON object in a file or behind an address.

    Raises:
        ArchitectureSourceError: there is none, or it has more than `max_bytes`.
    """
    with ByteReader(where, headers) as reader:
        if reader.size is None:
            reader.read(1)
        if reader.size is None or reader.size > max_bytes:
            raise ArchitectureSourceError(f"{where!r} has {reader.size} bytes; at most {max_bytes} are read.")
        reader.position = 0
        return parse_json(where, reader.read(reader.size))


def neighbour(where: str) -> Callable[[str], str]:
    """Makes the path or address of a file beside `where` from its name."""
    if is_url(where):
        address, _, query = where.partition("?")
        return lambda name: f"{address.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
    return lambda name: str(Path(where).parent / name)
