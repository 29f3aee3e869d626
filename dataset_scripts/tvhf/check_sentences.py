"""Checks the sentences of TVHF.

Usage::

    python -m dataset_scripts.tvhf.check_sentences [--architectures PATH] [--sentences FOLDER] [--group NAME ...]
        [--partial]

What fails, with file and line: a file of another form, a predicate that cannot be read, a sentence that is false or
unknown of a member that it has to be true of, a text that is there twice, a name of a model without `mentions_name`,
an unknown family, member, kind or style; and, in a build of all, a family without a sentence that is not listed in
`without_sentences.yaml`. Without architectures only the form is checked. Exit status 0: all is well.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from .names_tvhf import NameFinder
from .registry_tvhf import load_registry
from .sentences_tvhf import FOLDER, Sentence, load_sentences
from .truth_tvhf import FALSE, TRUE, UNKNOWN, Architecture, load_architectures, truth_matrix
from .yaml_tvhf import RegistryError, line_of, load_with_lines

WITHOUT_SENTENCES = Path(__file__).with_name("without_sentences.yaml")
"""Families of which no sentence was written."""
ARCHITECTURES = Path(__file__).parents[2] / "hub" / "datasets" / "tvhf" / "architectures"


def check_names(sentences: Iterable[Sentence], finder: NameFinder) -> list[str]:
    """Sentences that name a model and do not say so, or say so and name none."""
    problems = []
    for sentence in sentences:
        name = finder.find(sentence.text)
        if name and not sentence.mentions_name:
            problems.append(
                f"{_place(sentence)}: the text names {name!r}; leave it out, or set `mentions_name: true`."
            )
        if sentence.mentions_name and not name:
            problems.append(f"{_place(sentence)}: `mentions_name` is true, but the text names no model.")
    return problems


def check_families(sentences: Iterable[Sentence], members: Mapping[str, Sequence[str]]) -> list[str]:
    """Unknown families and members.

    Args:
        sentences: any sentences.
        members: family -> names of its members.
    """
    problems = []
    everywhere = {name for names in members.values() for name in names}
    for sentence in sentences:
        if sentence.family not in members:
            problems.append(f"{_place(sentence)}: there is no family {sentence.family!r} in the registry.")
        problems += [
            f"{_place(sentence)}: `of` names {name!r}, which is no member of any family."
            for name in sentence.of
            if name not in everywhere
        ]
    return problems


def check_described(
    sentences: Iterable[Sentence], architectures: Sequence[Architecture], without: Path = WITHOUT_SENTENCES
) -> list[str]:
    """Families without a sentence that are not known to have none, and those that are and have one.

    Args:
        sentences: all sentences.
        architectures: all networks.
        without: list of the families that are known to have none.

    Raises:
        RegistryError: the list, or the registry of families, is wrong.
    """
    families = load_registry().families
    names, lines = load_with_lines(without)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RegistryError(f"{without}:1: a list of names of families is expected.")
    described = {sentence.family for sentence in sentences}
    problems = [
        f"{families[name].file}:{families[name].line}: family {name!r} has no sentence; write one, or list it in "
        f"{without.name}."
        for name in sorted({str(a.record["family"]) for a in architectures} & families.keys() - described - {*names})
    ]
    for number, name in enumerate(names):
        if name in described or name not in families:
            said = "has sentences" if name in described else "is no family of the registry"
            problems.append(f"{without}:{line_of(lines, (number,))}: {name!r} {said}; take it from the list.")
    return problems


def check_truth(
    sentences: Sequence[Sentence], architectures: Sequence[Architecture], matrix: np.ndarray, partial: bool = False
) -> list[str]:
    """Sentences that are not true of the members that they were written for.

    Args:
        sentences: S sentences.
        architectures: A architectures.
        matrix: their `truth_matrix`.
        partial: whether architectures may be missing; else a sentence that none of them can prove is a problem.
    """
    column = {name: number for number, a in enumerate(architectures) for name in a.names}
    families: dict[str, list[str]] = {}
    for architecture in architectures:
        families.setdefault(architecture.record["family"], []).append(architecture.names[0])
    problems = []
    for sentence, cells in zip(sentences, matrix, strict=True):
        names = [name for name in sentence.of or families.get(sentence.family, ()) if name in column]
        wrong = {name: int(cells[column[name]]) for name in names if cells[column[name]] != TRUE}
        if not names and not partial:
            problems.append(f"{_place(sentence)}: no member of {sentence.family!r} that it speaks of is there.")
        if wrong:
            said = ", ".join(f"{'false' if v == FALSE else 'unknown'} of {name}" for name, v in [*wrong.items()][:6])
            problems.append(f"{_place(sentence)}: {sentence.predicate!r} is {said} ({len(wrong)} of {len(names)}).")
    return problems


def _place(sentence: Sentence) -> str:
    return f"{sentence.file}:{sentence.line}"


def _registry_members() -> dict[str, list[str]]:
    registry = load_registry()
    found: dict[str, list[str]] = {name: [] for name in registry.families}
    for name, member in registry.members.items():
        found[member.family].append(name)
    return found


def summary(sentences: Sequence[Sentence], matrix: np.ndarray | None) -> str:
    """Counts by kind, style and group, and how much of the matrix is known."""
    parts = [f"{len(sentences)} sentences"]
    columns: tuple[Callable[[Sentence], str], ...] = (lambda s: s.kind, lambda s: s.style, lambda s: s.group)
    for column in columns:
        parts.append(", ".join(f"{name} {count}" for name, count in Counter(map(column, sentences)).most_common()))
    if matrix is not None and matrix.size:
        words = (("true", TRUE), ("false", FALSE), ("unknown", UNKNOWN))
        parts.append("cells: " + ", ".join(f"{word} {float((matrix == value).mean()):.1%}" for word, value in words))
        pairs = (matrix == TRUE).sum(axis=1)
        parts.append(
            f"{int(pairs.sum())} true pairs; {int((pairs == 1).sum())} sentences true of one architecture only"
        )
    return "\n".join(parts)


def problems_of(
    sentences: Sequence[Sentence],
    architectures: Sequence[Architecture],
    matrix: np.ndarray | None,
    partial: bool = False,
) -> list[str]:
    """All problems of sentences that can be read; without a matrix nothing is said of their truth.

    Raises:
        RegistryError: the registry of families is wrong.
    """
    members = _registry_members()
    for architecture in architectures:
        members.setdefault(str(architecture.record["family"]), []).extend(architecture.names)
    finder = NameFinder([*members, *(name for names in members.values() for name in names)])
    problems = [*check_families(sentences, members), *check_names(sentences, finder)]
    return problems if matrix is None else problems + check_truth(sentences, architectures, matrix, partial)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--sentences", type=Path, default=FOLDER, help="folder of sentence files")
    parser.add_argument("--architectures", type=Path, default=None, help="Parquet (default: the built set)")
    parser.add_argument("--group", nargs="*", default=(), help="check these files only")
    parser.add_argument("--partial", action="store_true", help="architectures may be missing")
    parser.add_argument("--sheets", type=Path, default=None, help="where fact sheets are kept")
    args = parser.parse_args(arguments)
    path = args.architectures or (ARCHITECTURES if ARCHITECTURES.exists() else None)
    try:
        sentences, problems = load_sentences(args.sentences)
        architectures = load_architectures(path, args.sheets) if path else []
        wanted = [s for s in sentences if not args.group or s.group in args.group]
        problems = [p for p in problems if not args.group or Path(p.split(":", 1)[0]).stem in args.group]
        matrix = truth_matrix(wanted, architectures) if architectures else None
        problems += problems_of(wanted, architectures, matrix, args.partial)
        problems += [] if args.group or args.partial else check_described(wanted, architectures)
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write("".join(f"{problem}\n" for problem in problems))
    sys.stdout.write(f"{summary(wanted, matrix)}\n{len(problems)} problems\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
