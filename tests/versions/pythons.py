"""Whether other versions of Python can read the code: ``python tests/versions/pythons.py``.

Nothing runs there. Every file of the packages, scripts and metrics is compiled by each Python that is found (on the
path as ``python3.X``, or under ``PYENV_ROOT``), warnings being errors, and every module of the standard library that
is imported has to be in its standard library.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("processing_archbert", "modeling_archbert", "archbert", "dataset_scripts", "metrics", "examples")
OLDEST, NEWEST = 11, 15
_COMPILE = """
import ast, json, sys, warnings
warnings.simplefilter("error")
wrong, count = [], 0
standard = set(json.loads(sys.argv[1]))
for path in sys.stdin.read().splitlines():
    count += 1
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        compile(text, path, "exec")
    except (SyntaxError, Warning) as error:
        wrong.append(f"{path}: {error}")
        continue
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
        gone = {name.split(".")[0] for name in names} & standard - set(sys.stdlib_module_names)
        wrong += [f"{path}: there is no module {name}" for name in sorted(gone)]
print(json.dumps([".".join(map(str, sys.version_info[:3])), count, wrong]))
"""


def interpreters() -> list[str]:
    """Other Pythons from 3.11 on, one for each minor version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = []
    for minor in range(OLDEST, NEWEST):
        if minor == sys.version_info.minor:
            continue
        others = sorted(str(path) for path in pyenv.glob(f"3.{minor}.*/bin/python"))
        there = [*others[-1:], *filter(None, [shutil.which(f"python3.{minor}")])]
        found += [python for python in there if _works(python)][:1]
    return found


def _works(python: str) -> bool:
    done = subprocess.run([python, "-c", ""], capture_output=True, check=False)
    return done.returncode == 0


def check(python: str) -> dict[str, Any]:
    """What a Python says to the code: its version, the number of files, and what is wrong."""
    files = sorted(str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    command = [python, "-c", _COMPILE, json.dumps(sorted(sys.stdlib_module_names))]
    done = subprocess.run(command, input="\n".join(files), cwd=ROOT, capture_output=True, text=True, check=True)
    version, count, wrong = json.loads(done.stdout)
    return {"version": version, "files": count, "wrong": wrong}


def main() -> int:
    """Command line; returns 1 where a file cannot be read."""
    found = [check(python) for python in interpreters()]
    for told in found:
        said = "; ".join(told["wrong"]) or "all of them can be compiled (checked statically, not run)"
        sys.stdout.write(f"Python {told['version']}: {told['files']} files; {said}\n")
    if not found:
        sys.stdout.write("SKIPPED: no other Python is installed here\n")
    return int(any(told["wrong"] for told in found))


if __name__ == "__main__":
    sys.exit(main())
