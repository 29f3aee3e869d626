"""The oldest supported `datasets`, 3.6, in a folder that is put before all others: ``python tests/old_datasets.py``.

It runs beside all other packages of the environment; four wheels (9 MB) are installed once, into ``.cache`` of the
repository. A child process with `old_environment` imports it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".cache" / "datasets-3.6"
PACKAGES = ("datasets==3.6.0", "dill==0.3.8", "multiprocess==0.70.16", "fsspec==2025.3.0")


def old_datasets() -> Path:
    """The folder with `datasets` 3.6, which is made on first use.

    Raises:
        RuntimeError: pip failed.
    """
    if not FOLDER.exists():
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(FOLDER.with_suffix(".lock")):
            if not FOLDER.exists():
                _install(FOLDER.with_suffix(f".{os.getpid()}"))
    return FOLDER


def _install(unfinished: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(unfinished), *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-1000:]}")
    unfinished.rename(FOLDER)


def old_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment of a child process, changed so that `datasets` is 3.6 and this repository is not on the path."""
    return {**environment, "PYTHONPATH": str(old_datasets())}


if __name__ == "__main__":
    print(old_datasets())
