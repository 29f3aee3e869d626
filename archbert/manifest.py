"""Which code a published model brings: ``code_manifest.json``, and ``python -m archbert.manifest MODEL``.

The manifest has the SHA-256 of every code file of a model folder and the version of the package that they are of.
Publishing writes it. The command compares the code files of a folder, or of a repository on the Hub at a revision,
with their manifest and with the installed package, and runs nothing of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .names import TAG, VERSION
from .release import code_files, file_digest

CODE_MANIFEST = "code_manifest.json"
FORMAT = "archbert-code-manifest"


def code_manifest(files: Mapping[str, Path]) -> dict[str, Any]:
    """The manifest of the code among the files of a model: path in the repository -> local file."""
    code = {name: file_digest(file) for name, file in sorted(files.items()) if name.endswith(".py")}
    return {"format": FORMAT, "version": VERSION, "files": code}


def differences(folder: Path) -> list[str]:
    """What in a model folder is not the code of its manifest, or not the code of this package; empty if all is.

    Raises:
        ValueError: the manifest is none.
    """
    here = {path.name: file_digest(path) for path in sorted(folder.glob("*.py"))}
    ours = {name: file_digest(path) for name, path in code_files().items()}
    found = _between(here, ours, f"the package ({VERSION})")
    if (folder / CODE_MANIFEST).is_file():
        try:
            told = json.loads((folder / CODE_MANIFEST).read_text(encoding="utf-8"))
            listed = {str(name): str(digest) for name, digest in told["files"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder / CODE_MANIFEST} is no manifest of code ({error!r}).") from None
        found += _between(here, listed, f"its manifest ({told.get('version')})")
    return found


def _between(here: Mapping[str, str], there: Mapping[str, str], what: str) -> list[str]:
    changed = [f"{name} differs from {what}" for name in sorted(set(here) & set(there)) if here[name] != there[name]]
    more = [f"{name} is not in {what}" for name in sorted(set(here) - set(there))]
    return [*changed, *more, *(f"{name} of {what} is missing" for name in sorted(set(there) - set(here)))]


def _folder(model: str, revision: str) -> Path:
    """The folder of a model; of one on the Hub only code and manifest are fetched."""
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model, revision=revision, allow_patterns=["*.py", CODE_MANIFEST]))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0 where all code is the package's, 1 where it is not, 2 where it cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m archbert.manifest", description="Compare the code of a published model with this package."
    )
    parser.add_argument("model", help="folder, or OWNER/NAME on the Hub")
    parser.add_argument("--revision", default=TAG, help=f"tag or commit hash on the Hub (default: {TAG})")
    options = parser.parse_args(arguments)
    try:
        folder = _folder(options.model, options.revision)
        found = differences(folder)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {options.model} cannot be compared: {error}\n")
        return 2
    sys.stdout.write("".join(f"{line}\n" for line in found))
    if not found:
        sys.stdout.write(f"{len(code_files())} code files, all of them those of the package ({VERSION})\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
