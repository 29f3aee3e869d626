"""Environments that share what is installed beside them, and differ from it in what pip puts in front.

A new environment costs seconds and megabytes: a ``.pth`` file names the packages of the environment that runs this
(torch among them, of which pip has one build for CPU), and pip resolves the rest. Neither the packages of this
repository nor an editable install of them is on its path.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STAMP = "complete.json"
"""In the folder of an environment that is complete: what it was made of."""
MISSING = re.compile(
    r"No matching distribution found|Could not find a version|Connection(Error| refused| aborted)|Max retries exceeded"
    r"|Temporary failure in name resolution|Read timed out|ProxyError"
)
"""What pip says where a package cannot be had; anything else is a failure."""


class NotAvailableError(RuntimeError):
    """A package that cannot be downloaded here."""


def make_environment(folder: Path, packages: Iterable[str] = (), *, upgrade: bool = False) -> Path:
    """An environment with these packages before all that is installed beside it; one that is complete is kept.

    Args:
        folder: where it lies.
        packages: requirements, as pip takes them.
        upgrade: whether to take the newest versions that they allow, also where an older one is there.

    Returns:
        Its interpreter.

    Raises:
        NotAvailableError: a package cannot be downloaded.
        RuntimeError: pip failed otherwise.
    """
    packages, python, stamp = list(packages), folder / "bin" / "python", folder / STAMP
    wanted = json.dumps([packages, upgrade])
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
    shared = "\n".join(dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))))
    (site_packages(folder) / "shared.pth").write_text(f"{shared}\n", encoding="utf-8")
    if packages:
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-warn-conflicts"]
        done = subprocess.run(
            [*pip, *(["--upgrade"] if upgrade else []), *packages], capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = done.stderr.strip()[-1500:]
            raise (NotAvailableError if MISSING.search(done.stderr) else RuntimeError)(f"pip failed: {said}")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def site_packages(folder: Path) -> Path:
    """Where the packages of an environment lie."""
    (found,) = folder.glob("lib/python3*/site-packages")
    return found


def setup_arguments() -> dict[str, Any]:
    """What ``setup.py`` gives to setuptools."""
    code = (
        "import json, runpy, setuptools\n"
        "setuptools.setup = lambda **arguments: print(json.dumps(arguments))\n"
        "runpy.run_path('setup.py')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(json.loads(run.stdout))


def lower_bounds(requirements: Iterable[str]) -> dict[str, str]:
    """Name -> oldest version that a requirement allows."""
    found = {}
    for requirement in requirements:
        match = re.match(r"([\w.-]+)>=([\w.]+)", requirement)
        if match is None:
            raise ValueError(f"setup.py has {requirement!r}, without the oldest version that works (NAME>=VERSION).")
        found[match[1]] = match[2]
    return found


def clean_environment(home: Path, **extra: str) -> dict[str, str]:
    """Environment variables of a child process: caches under `home`, no network, nothing of this repository."""
    kept: Mapping[str, str] = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON", "ARCHBERT_"))
    }
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**kept, **quiet, **offline, "HF_HOME": str(home), **extra}
