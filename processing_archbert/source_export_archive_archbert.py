"""The archive of an exported program: its JSON, taken out of the zip without touching anything else.

Weights, constants and sample inputs are never read, nothing is unpickled and nothing is written to disk. Every size is
checked before it becomes memory.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

from .source_errors_archbert import PICKLE_WAY_OUT, ArchitectureSourceError, first_line

MAX_PROGRAM_BYTES = 64 * 2**20
MAX_PROGRAM_ITEMS = 4_000_000
MAX_DIRECTORY_BYTES = 16 * 2**20
MAX_FILES = 100_000

_OLD_PROGRAM = "serialized_exported_program.json"
_WEIGHTS_CONFIG = "/data/weights/{}_weights_config.json"
_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x06"
_REMEDY = "Export the network again with torch.export.save and give that file."


def read_program(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The JSON object of the exported program, and for every weight's name the name of its storage.

    Equal storage names of two weights mean that they are tied; older archives say nothing of it.

    Raises:
        ArchitectureSourceError: no readable archive of `torch.export.save`.
    """
    name = os.fspath(path)
    try:
        if not Path(name).is_file():
            raise ArchitectureSourceError(f"{name!r} is no regular file.")
        with open(name, "rb") as file:
            _check_directory(file, name)
            with zipfile.ZipFile(file) as archive:
                return _read_members(archive, name)
    except ArchitectureSourceError:
        raise
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError,
            KeyError, IndexError, OverflowError) as error:  # fmt: skip
        raise ArchitectureSourceError(
            f"{name!r} is no readable archive of torch.export.save ({first_line(error)}). {_REMEDY}"
        ) from None


def _check_directory(file: IO[bytes], name: str) -> None:
    """Refuses a table of contents that is too large to be one of a program, before it is read."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - 2**16 - 128)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0:
        raise ArchitectureSourceError(
            f"{name!r} is no zip archive, or is cut off; a .pt2 file of torch.export.save is one. {_REMEDY}"
        )
    directory = int.from_bytes(tail[at + 12 : at + 16], "little")
    if directory == 2**32 - 1:
        at = tail.rfind(_END_64)
        directory = int.from_bytes(tail[at + 40 : at + 48], "little") if at >= 0 else directory
    if directory > MAX_DIRECTORY_BYTES:
        raise ArchitectureSourceError(
            f"The table of contents of {name!r} has {directory} bytes; at most {MAX_DIRECTORY_BYTES} are read."
        )
    file.seek(0)


def _read_members(archive: zipfile.ZipFile, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    members = archive.infolist()
    if len(members) > MAX_FILES:
        raise ArchitectureSourceError(f"{name!r} holds {len(members)} files; at most {MAX_FILES} are allowed.")
    by_name: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        inside = member.filename
        if inside.startswith(("/", "\\")) or "\\" in inside or ":" in inside or ".." in inside.split("/"):
            raise ArchitectureSourceError(f"{name!r} holds a file with the unsafe name {inside[:80]!r}. {_REMEDY}")
        if inside in by_name:
            raise ArchitectureSourceError(f"{name!r} holds two files named {inside[:80]!r}. {_REMEDY}")
        by_name[inside] = member
    chosen = _program_member(by_name, name)
    program = _load_json(archive, by_name[chosen], name)
    root, _, rest = chosen.partition("/models/")
    ties: dict[str, str] = {}
    config = by_name.get(root + _WEIGHTS_CONFIG.format(rest.removesuffix(".json"))) if rest else None
    if config is not None:
        entries = _load_json(archive, config, name).get("config")
        if isinstance(entries, dict):
            ties = {k: v["path_name"] for k, v in entries.items()
                    if isinstance(v, dict) and isinstance(v.get("path_name"), str)}  # fmt: skip
    return program, ties


def _program_member(by_name: dict[str, zipfile.ZipInfo], name: str) -> str:
    found = [n for n in by_name if n.endswith(".json") and "/models/" in f"/{n}" and n.count("/") <= 2]
    found = found or [n for n in by_name if n.rpartition("/")[2] == _OLD_PROGRAM]
    if len(found) > 1:
        found = [n for n in found if n.endswith("/models/model.json")] or found
    if len(found) == 1:
        return found[0]
    if found:
        models = ", ".join(sorted(n.rpartition("/")[2].removesuffix(".json")[:40] for n in found)[:8])
        raise ArchitectureSourceError(
            f"{name!r} holds {len(found)} exported programs ({models}) and none named 'model'; save one of them alone."
        )
    if any("aotinductor" in n for n in by_name):
        raise ArchitectureSourceError(
            f"{name!r} holds compiled code (AOTInductor) and no computational graph. {_REMEDY}"
        )
    if any(n.endswith("data.pkl") for n in by_name):
        raise ArchitectureSourceError(f"{name!r} is an archive of torch.save around a pickle: {PICKLE_WAY_OUT}")
    raise ArchitectureSourceError(
        f"{name!r} holds no exported program (neither models/NAME.json nor {_OLD_PROGRAM}). {_REMEDY}"
    )


def _load_json(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> dict[str, Any]:
    inside = member.filename
    if member.flag_bits & 1:
        raise ArchitectureSourceError(f"{inside[:80]!r} in {name!r} is encrypted. {_REMEDY}")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArchitectureSourceError(f"{inside[:80]!r} in {name!r} has an unknown compression. {_REMEDY}")
    if member.file_size > MAX_PROGRAM_BYTES:
        raise ArchitectureSourceError(
            f"{inside[:80]!r} in {name!r} has {member.file_size} bytes; at most {MAX_PROGRAM_BYTES} are read."
        )
    with archive.open(member) as stream:
        data = stream.read(MAX_PROGRAM_BYTES + 1)
    if len(data) > MAX_PROGRAM_BYTES:
        raise ArchitectureSourceError(f"{inside[:80]!r} in {name!r} is larger than it says; the file is damaged.")
    items = data.count(b",") + data.count(b"[") + data.count(b"{")
    if items > MAX_PROGRAM_ITEMS:
        raise ArchitectureSourceError(
            f"{inside[:80]!r} in {name!r} has {items} values; at most {MAX_PROGRAM_ITEMS} are read."
        )
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ArchitectureSourceError(
            f"{inside[:80]!r} in {name!r} is no readable JSON ({first_line(error)}). {_REMEDY}"
        ) from None
    if not isinstance(value, dict):
        raise ArchitectureSourceError(f"{inside[:80]!r} in {name!r} is no JSON object. {_REMEDY}")
    return value
