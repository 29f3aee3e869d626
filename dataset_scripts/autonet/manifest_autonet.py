"""The manifest of a built AutoNet, and the check of a build against the manifest of another one.

`manifest.json` has the arguments, the versions, every Parquet file with its rows and its SHA-256, and for each config
and split what the rows of every `BLOCK` architectures are: their number and a digest, as `"3500 0f3a..."`. The digests
are of the values, not of the bytes of the files, so they hold for any version of pyarrow. The rows of a small build
are the first rows of a large one, so it can be checked against the manifest of the large one.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from processing_archbert.ops_archbert import EXTRACTION_VERSION

BLOCK = 100
"""Architectures whose rows share a digest, and a row group in the files."""
MANIFEST = "manifest.json"
FORMAT = "autonet-manifest"
VERSION = 1
DECIDING = ("seed", "style", "size")
"""Arguments that decide what a row says; the others are sizes."""

Blocks = dict[str, dict[str, list[str]]]
"""Config -> split -> rows and digest of each block."""


class ManifestError(ValueError):
    """A folder or its manifest is damaged, or two builds differ."""


def rows_digest(table: pa.Table) -> str:
    """Number of rows of a table and a digest of their values, in the order of rows and columns."""
    digest = hashlib.sha256()
    for row in table.to_pylist():
        digest.update(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return f"{len(table)} {digest.hexdigest()[:32]}"


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_manifest(
    arguments: Mapping[str, Any], code: str, blocks: Blocks, files: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The manifest of a build.

    Args:
        arguments: of the build.
        code: digest of the code that made it.
        blocks: what the rows of each block are.
        files: path of a Parquet file in the folder -> its rows, bytes and SHA-256.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "arguments": dict(arguments),
        "extraction_version": EXTRACTION_VERSION,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "pyarrow": version("pyarrow")},
        "code": code,
        "files": {name: dict(files[name]) for name in sorted(files)},
        "blocks": blocks,
    }


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest as JSON."""
    path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def read_manifest(path: str | Path) -> dict[str, Any]:
    """A manifest, from its file or from the folder of a build.

    Raises:
        FileNotFoundError: there is none.
        ManifestError: it is none of this format.
    """
    path = Path(path)
    path = path / MANIFEST if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; the folder of a finished build has one")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = manifest["format"] == FORMAT and manifest["version"] == VERSION
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{path} cannot be read as a manifest ({error}); build the data anew") from error
    if not known:
        raise ManifestError(f"{path} is no {FORMAT} of version {VERSION}; build the data anew")
    return manifest


def check_files(folder: str | Path) -> dict[str, Any]:
    """Compare the Parquet files of a build with its own manifest, byte for byte.

    Returns:
        The manifest.

    Raises:
        FileNotFoundError: the folder has no manifest.
        ManifestError: files are missing, damaged, or not in the manifest; all of them are named.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    problems = []
    for name, file in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif path.stat().st_size != file["bytes"]:
            problems.append(f"{path} has {path.stat().st_size} bytes instead of {file['bytes']}")
        elif file_digest(path) != file["sha256"]:
            problems.append(f"{path} has other bytes than when it was made")
    listed = {name.split("/")[0] for name in manifest["files"]}
    found = {path.relative_to(folder).as_posix() for config in listed for path in (folder / config).glob("*.parquet")}
    problems += [f"{folder / name} is not in the manifest" for name in sorted(found - set(manifest["files"]))]
    if problems:
        raise ManifestError("; ".join(problems) + "; make the data anew")
    return manifest


def verify(folder: str | Path, manifest: str | Path) -> str:
    """Check a build, which may be smaller or larger, row for row against the manifest of another.

    Args:
        folder: of a finished build.
        manifest: the other one's manifest, or its folder.

    Returns:
        What was compared, in a sentence.

    Raises:
        FileNotFoundError: there is no manifest.
        ManifestError: the folder is damaged, has other arguments, or rows differ; all differences are named.
    """
    expected = read_manifest(manifest)
    own = check_files(folder)
    _check_arguments(own, expected)
    problems, compared = [], {}
    for config, splits in expected["blocks"].items():
        for split, blocks in splits.items():
            wanted, there = (m["arguments"][f"num_{split}"] for m in (expected, own))
            compared[split] = there if there == wanted else min(there, wanted) // BLOCK * BLOCK
            number = -(-compared[split] // BLOCK)
            found = [rows_digest(rows) for rows in islice(_row_groups(Path(folder), config, split), number)]
            problems += [
                f"{config}, {split}: architectures from {index * BLOCK} on differ"
                for index in range(number)
                if found[index : index + 1] != blocks[index : index + 1]
            ]
    if problems:
        raise ManifestError(f"{folder} differs from {manifest}: " + "; ".join(problems))
    listed = ", ".join(
        f"{count:,} of {expected['arguments'][f'num_{split}']:,} ({split})" for split, count in compared.items()
    )
    return f"{folder}: same rows as {manifest} for the first {listed} architectures"


def _check_arguments(own: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name in DECIDING:
        mine, other = own["arguments"].get(name), expected["arguments"].get(name)
        if mine != other:
            raise ManifestError(f"{name} is {mine!r} in this build and {other!r} in the manifest: nothing to compare")
    if own["extraction_version"] != expected["extraction_version"]:
        raise ManifestError(
            f"extraction_version is {own['extraction_version']} in this build and {expected['extraction_version']} in "
            "the manifest: build again with the same code"
        )


def _row_groups(folder: Path, config: str, split: str) -> Iterator[pa.Table]:
    """The blocks of a split, from its files in order.

    Raises:
        ManifestError: a file cannot be read.
    """
    for path in sorted((folder / config).glob(f"{split}-*.parquet")):
        try:
            file = pq.ParquetFile(path)
            for index in range(file.num_row_groups):
                yield file.read_row_group(index)
        except (OSError, pa.ArrowException) as error:
            raise ManifestError(f"{path} cannot be read ({error}); make the data anew") from error
