"""How a build of AutoNet is put together on disk, so that it can be killed at any moment and goes on afterwards.

* Architectures are made in parts of `BLOCK`. A finished part lies in `DIR/.unfinished/parts/NAME`, where it came by a
  rename; its files are checked by digest before they are used again.
* Parts depend on (code, seed, style, size), not on how many architectures were asked for: those of other code or
  arguments are thrown away with a message, those of a smaller build are used.
* When all parts are there, they are joined to Parquet files in `DIR/.unfinished/dataset`, with the manifest and the
  card. Then everything is moved to `DIR`, `README.md` last. Until then `DIR/README.md` names a config `unfinished`
  whose files do not exist, so that `load_dataset` refuses the folder; or it is that of an older build, still whole.
* At most a few parts are in memory; of all others only the hashes are.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from processing_archbert.ops_archbert import EXTRACTION_VERSION
from processing_archbert.tracing_archbert import ArchitectureTraceError

from .files_autonet import write_file
from .manifest_autonet import DECIDING, MANIFEST, Blocks, ManifestError, check_files, file_digest
from .parts_autonet import Part, PartInfo
from .samples_autonet import SCHEMAS

logger = logging.getLogger(__name__)

WORK = ".unfinished"
README = "README.md"
_UNFINISHED = """---
configs:
- config_name: unfinished
  data_files: "unfinished/*"
---
# AutoNet, not finished

The data are being made, or making them was interrupted. Run the same command again: it goes on where it stopped.
"""
_IMPORT = re.compile(r"^\s*from \.(?: import )?(\w+)", re.MULTILINE)
_PACKAGE_IMPORT = re.compile(r"^\s*from processing_archbert\.(\w+) import", re.MULTILINE)


class Workshop:
    """The hidden folder of a build that is not finished.

    Args:
        output: folder of the data set.
        fingerprint: of all that decides what is in a part; parts of another one are removed.
    """

    def __init__(self, output: Path, fingerprint: Mapping[str, Any]) -> None:
        self.output, self.work = output, output / WORK
        self.parts, self.staging = self.work / "parts", self.work / "dataset"
        mark = self.work / "fingerprint.json"
        if self.work.exists() and _read_json(mark) != fingerprint:
            logger.warning("%s was begun with other arguments or other code: it is started anew", self.work)
            shutil.rmtree(self.work)
        self.parts.mkdir(parents=True, exist_ok=True)
        write_file(mark, lambda file: file.write(json.dumps(fingerprint).encode()))
        if not (output / README).exists():
            write_file(output / README, lambda file: file.write(_UNFINISHED.encode()))

    def finished_part(self, part: Part) -> PartInfo | None:
        """What is known of a part; None where it has to be made. A damaged one is removed."""
        folder = self.parts / part.name
        if not folder.exists():
            return None
        info = _read_json(folder / "part.json") or {}
        whole = info and all(
            (folder / f"{config}.part").is_file() and file_digest(folder / f"{config}.part") == digest
            for config, digest in info["files"].items()
        )
        if not whole:
            logger.warning("%s is damaged: it is made again", folder)
            shutil.rmtree(folder)
            return None
        return PartInfo(info["hashes"], info["blocks"])

    def clear_staging(self) -> None:
        """Remove what an interrupted build has joined."""
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir()

    def publish(self) -> None:
        """Move what lies in the staging folder to its place, the card last, and remove the rest."""
        write_file(self.output / README, lambda file: file.write(_UNFINISHED.encode()))
        for name in (*SCHEMAS, MANIFEST):
            _remove(self.output / name)
        for path in sorted(self.staging.iterdir()):
            if path.name != README:
                _remove(self.output / path.name)
                path.rename(self.output / path.name)
        os.replace(self.staging / README, self.output / README)
        shutil.rmtree(self.work)


def finished_manifest(output: Path) -> dict[str, Any] | None:
    """The manifest of a folder whose build is finished and whole; None for any other."""
    if not is_finished(output):
        return None
    try:
        return check_files(output)
    except (FileNotFoundError, ManifestError) as error:
        logger.warning("%s", error)
        return None


def is_finished(folder: str | Path) -> bool:
    """Whether a folder has a card that is not the mark of an unfinished build; its files are not looked at."""
    card = Path(folder) / README
    return card.is_file() and card.read_text(encoding="utf-8") != _UNFINISHED


def check_target(output: Path) -> None:
    """Refuse to write over something that is no AutoNet.

    Raises:
        NotADirectoryError: the path is a file.
        FileExistsError: the folder has a README of something else.
    """
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file; name a folder")
    if is_finished(output) and not (output / MANIFEST).exists() and not (output / "architectures").exists():
        raise FileExistsError(f"{output} holds something else than AutoNet; name a new folder")


@cache
def code_digest() -> str:
    """SHA-256 of every module that decides what is in a part, as the files are when it is first asked for."""
    own, processing = Path(__file__).parent, Path(inspect.getfile(ArchitectureTraceError)).parent
    texts = imported_files(own, {"samples_autonet", "parts_autonet"})
    names = {name for text in texts.values() for name in _PACKAGE_IMPORT.findall(text)}
    texts |= imported_files(processing, names)
    digest = hashlib.sha256()
    for name, text in sorted(texts.items()):
        digest.update(f"{name}\n{len(text)}\n{text}".encode())
    return digest.hexdigest()


def imported_files(folder: Path, modules: set[str]) -> dict[str, str]:
    """Modules of a folder and all that they import from it, as file name -> text."""
    texts: dict[str, str] = {}
    waiting = sorted(modules)
    while waiting:
        name = f"{waiting.pop()}.py"
        if name not in texts and (folder / name).is_file():
            texts[name] = (folder / name).read_text(encoding="utf-8")
            waiting += _IMPORT.findall(texts[name])
    return dict(sorted(texts.items()))


def fingerprint_of(arguments: Mapping[str, Any], code: str) -> dict[str, Any]:
    """What decides the content of a part."""
    deciding = {name: arguments[name] for name in DECIDING}
    return {**deciding, "code": code, "extraction_version": EXTRACTION_VERSION, "torch": torch.__version__}


def check_distinct(infos: Mapping[str, Sequence[PartInfo]]) -> None:
    """Refuse a data set in which a graph occurs twice.

    Raises:
        ValueError: it does; the split and the number of such graphs are said.
    """
    seen: set[str] = set()
    for split, parts in infos.items():
        hashes = [graph_hash for info in parts for graph_hash in info.hashes]
        repeated = len(hashes) - len(set(hashes) - seen)
        if repeated:
            raise ValueError(f"{repeated} graphs of {split} occur twice or in another split too; choose another seed.")
        seen |= set(hashes)


def blocks_of(infos: Mapping[str, Sequence[PartInfo]]) -> Blocks:
    """Rows and digests of all blocks, from what is known of the parts of each split."""
    return {
        config: {split: [info.blocks[config] for info in parts] for split, parts in infos.items()}
        for config in SCHEMAS
    }


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
