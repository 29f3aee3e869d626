"""Reads sentences out of the docstrings of installed packages, where only pointers to them are stored.

A pointer names a package and its version, an object as `module:qualname` (`module:` is the module itself), and a span
of characters. The docstring is the literal in the source file, cleaned as by `inspect.cleandoc`, which is what
`inspect.getdoc` gives where no decorator rewrites it. The source is parsed and never imported, so that torchvision
need not fit to the torch that is installed. A sentence counts as read only where the SHA-256 of the span's UTF-8 text
is the stored one.

    python -m dataset_scripts.tvhf.human_docstrings_tvhf [--data hub/datasets/tvhf] [--folder SITE_PACKAGES ...]

says how many sentences the installed packages give; exit status 0: all of them.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

DATA = Path(__file__).parents[2] / "hub" / "datasets" / "tvhf"
_LINK = re.compile(r"`\"?([^`]*?)\"?\s*<https?:[^`>]*>`_{0,2}")
_ROLE = re.compile(r":\w+(?::\w+)*:`~?([^`]*)`")
_MARKDOWN = re.compile(r"\[([^\]]*)\]\((?:https?:[^)]*)\)")


class DocstringError(ValueError):
    """Sentences that cannot be read; says how many could, and what to install."""


class Pointer(NamedTuple):
    """Where a sentence stands.

    Attributes:
        package: name of the distribution and of the package.
        version: its version.
        object: `module:qualname`; `module:` for the docstring of a module.
        start, end: characters of the cleaned docstring.
        sha256: hexadecimal digest of the span's text.
    """

    package: str
    version: str
    object: str
    start: int
    end: int
    sha256: str


class Reading(NamedTuple):
    """What could be read.

    Attributes:
        texts: for each pointer its sentence, as `plain_text`; None where it could not be read.
        problems: what was in the way -> number of sentences.
    """

    texts: list[str | None]
    problems: dict[str, int]

    @property
    def num_read(self) -> int:
        """Number of sentences that were read."""
        return sum(text is not None for text in self.texts)

    def report(self) -> str:
        """How many were read, and what was in the way of the others."""
        lines = [f"{self.num_read} of {len(self.texts)} sentences could be read."]
        return "\n".join([*lines, *(f"{count} not: {problem}" for problem, count in self.problems.items())])

    def all_texts(self) -> list[str]:
        """The sentences.

        Raises:
            DocstringError: not all of them could be read.
        """
        texts = [text for text in self.texts if text is not None]
        if len(texts) < len(self.texts):
            raise DocstringError(self.report())
        return texts


class _Package(NamedTuple):
    root: Path
    version: str


def read_sentences(rows: Sequence[Mapping[str, Any]], folders: Sequence[Path] = ()) -> Reading:
    """The sentences that rows of the config `test_human` point to.

    A package of another version than the stored one is tried as well: a digest that matches proves the sentence, and
    one that does not is never replaced by a guess.

    Args:
        rows: mappings with the columns of `Pointer`.
        folders: site-packages of other environments, searched first.
    """
    texts: list[str | None] = []
    problems: Counter[str] = Counter()
    for row in rows:
        pointer = Pointer(*(row[name] for name in Pointer._fields))
        try:
            texts.append(read_sentence(pointer, folders))
        except DocstringError as error:
            texts.append(None)
            problems[str(error)] += 1
    return Reading(texts, dict(problems))


def read_sentence(pointer: Pointer, folders: Sequence[Path] = ()) -> str:
    """One sentence, as `plain_text`.

    Raises:
        DocstringError: the package is missing, or what it says there is not the sentence.
    """
    package = _package(pointer.package, tuple(folders))
    if package is None:
        raise DocstringError(
            f"{pointer.package} is not installed; pip install {pointer.package}=={pointer.version} helps, also in an "
            "environment of its own that --folder names."
        )
    docstring = _docstrings(_file(package.root, pointer)).get(pointer.object.partition(":")[2], "")
    span = docstring[pointer.start : pointer.end]
    if hashlib.sha256(span.encode()).hexdigest() != pointer.sha256:
        version = package.version.partition("+")[0]
        if version != pointer.version:
            raise DocstringError(
                f"{pointer.package} {version} says something else there; pip install "
                f"{pointer.package}=={pointer.version} helps."
            )
        raise DocstringError(
            f"{pointer.package} {version} does not say the sentence at {pointer.object} "
            f"[{pointer.start}:{pointer.end}], although the version is right; was its source changed?"
        )
    return plain_text(span)


def plain_text(span: str) -> str:
    """A span without markup: links and roles of reStructuredText and Markdown as their text, no backticks or `**`."""
    for pattern in (_LINK, _ROLE, _MARKDOWN):
        span = pattern.sub(r"\1", span)
    return " ".join(re.sub(r"\[`([^`]*)`\]|`+([^`]*)`+|\*\*([^*]*)\*\*", r"\1\2\3", span).split())


def docstring(package: str, name: str, folders: Sequence[Path] = ()) -> tuple[str, str]:
    """The cleaned docstring of `module:qualname`, and the version of the package.

    Raises:
        DocstringError: the package is missing, or has no such docstring.
    """
    found = _package(package, tuple(folders))
    if found is None:
        raise DocstringError(f"{package} is not installed; pip install {package} helps.")
    text = _docstrings(_file(found.root, Pointer(package, "", name, 0, 0, ""))).get(name.partition(":")[2])
    if text is None:
        raise DocstringError(f"{package} {found.version} has no docstring at {name}.")
    return text, found.version.partition("+")[0]


@lru_cache(maxsize=64)
def _package(name: str, folders: tuple[Path, ...]) -> _Package | None:
    for folder in folders:
        if (folder / name / "__init__.py").is_file():
            for found in importlib.metadata.distributions(name=name, path=[str(folder)]):
                return _Package(folder / name, found.version)
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    try:
        return _Package(Path(spec.origin).parent, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return None


def _file(root: Path, pointer: Pointer) -> Path:
    parts = pointer.object.partition(":")[0].split(".")[1:]
    path = root.joinpath(*parts)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py") if parts else root / "__init__.py"


@lru_cache(maxsize=512)
def _docstrings(path: Path) -> dict[str, str]:
    """Qualified name (`""` is the module) -> cleaned docstring of a source file; nothing where there is no file."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    _collect(tree, (), found)
    return found


def _collect(node: ast.AST, name: tuple[str, ...], found: dict[str, str]) -> None:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        text = ast.get_docstring(node, clean=False)
        if text is not None:
            found.setdefault(".".join(name), inspect.cleandoc(text))
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        _collect(child, (*name, child.name) if named else name, found)  # type: ignore[attr-defined]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    import pyarrow.parquet as pq

    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of TVHF")
    parser.add_argument("--folder", type=Path, nargs="*", default=[], help="site-packages of other environments")
    options = parser.parse_args(arguments)
    files = sorted((options.data / "test_human").glob("*.parquet"))
    if not files:
        sys.stderr.write(f"{options.data} has no config test_human.\n")
        return 1
    rows = [row for file in files for row in pq.read_table(file, columns=list(Pointer._fields)).to_pylist()]
    reading = read_sentences(rows, options.folder)
    sys.stdout.write(reading.report() + "\n")
    return int(reading.num_read < len(rows))


if __name__ == "__main__":
    sys.exit(main())
