"""Digests of the files of TVHF: `manifest.json` of all, and `test_files.json` of the test splits, which are frozen.

Models are compared on the test splits, so these may not change unseen. A build compares its test files with the frozen
digests, and says which of them differ; digests of rows do not depend on the version of pyarrow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset_scripts.autonet.files_autonet import write_file
from dataset_scripts.release.folder_release import DataFolder

MANIFEST, FROZEN = "manifest.json", "test_files.json"


def digest_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def manifest(data: DataFolder) -> dict[str, Any]:
    """`files`: path -> rows, bytes and SHA-256 of every Parquet file."""
    return {
        "files": {
            path.relative_to(data.path).as_posix(): {
                "rows": data.num_rows(config, split),
                "bytes": path.stat().st_size,
                "sha256": digest_file(path),
            }
            for config, splits in data.splits.items()
            for split in splits
            for path in data.files(config, split)
        }
    }


def frozen_digests(data: DataFolder) -> dict[str, dict[str, Any]]:
    """Path -> rows, SHA-256 of the file and SHA-256 of its rows as JSON, for every file of a test split."""
    found = {}
    for config, splits in data.splits.items():
        for split in (split for split in splits if split.startswith("test") or split.endswith("_test")):
            digest = hashlib.sha256()
            for table in data.tables(config, split):
                for row in table.to_pylist():
                    digest.update(json.dumps(row, sort_keys=True).encode())
            path = data.files(config, split)[0]
            found[path.relative_to(data.path).as_posix()] = {
                "rows": data.num_rows(config, split),
                "sha256": digest_file(path),
                "rows_sha256": digest.hexdigest(),
            }
    return found


def changes(frozen: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What of the frozen test files changed, a line for each; empty if nothing did."""
    lines = [f"{path}: frozen, and not there now" for path in sorted(frozen.keys() - now.keys())]
    lines += [f"{path}: not frozen before" for path in sorted(now.keys() - frozen.keys())]
    return lines + [
        f"{path}: other rows ({frozen[path]['rows']} frozen, {now[path]['rows']} now)"
        for path in sorted(frozen.keys() & now.keys())
        if frozen[path]["rows_sha256"] != now[path]["rows_sha256"]
    ]


def write_json(path: Path, data: Any) -> None:
    """Writes JSON, as a whole or not at all."""
    text = (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()
    write_file(path, lambda file: file.write(text))
