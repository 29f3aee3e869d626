"""Pointers to sentences that people wrote in docstrings, with the predicate that each of them states.

A file `human/<package>.yaml`, without a word of the package's texts::

    package: torchvision
    version: 0.28.0
    licence: BSD-3-Clause
    sentences:
    - object: torchvision.models.vgg:vgg11     # module:qualname
      span: [0, 117]                           # characters of its cleaned docstring
      sha256: 6c1f...
      kind: structure                          # structure | size | purpose
      predicate: kind == convolutional and count(Conv2d) == 8
      of: [vgg11]
      mentions_name: true

A predicate says what follows from the sentence for any network, so where it is false the sentence is false. `of` names
members that the docstring describes: the sentence is true of them if the predicate is. Without `of` the predicate says
all that the sentence says, and it is true wherever the predicate is. A sentence without a predicate has no label.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from .human_docstrings_tvhf import Pointer
from .predicate_parser_tvhf import PredicateError, parse
from .predicates_tvhf import Predicate
from .sentences_tvhf import facts_of_table
from .yaml_tvhf import Place, line_of, load_with_lines

FOLDER = Path(__file__).with_name("human")
KINDS = ("structure", "size", "purpose")
AUTHOR_KIND = "human-written"
_FILE_KEYS = {"package", "version", "licence", "sentences"}
_KEYS = {"object", "span", "sha256", "kind", "predicate", "of", "mentions_name"}


class HumanSentenceError(ValueError):
    """Files of pointers that are wrong; every line of the message begins with `file:line`."""


class HumanSentence(NamedTuple):
    """A pointer to a sentence, and what it states.

    Attributes:
        pointer: where it stands.
        kind: one of `KINDS`.
        predicate: what it states; empty = not expressed.
        of: members that it describes; empty = any for which the predicate holds.
        mentions_name: whether it names a model or a family.
        place: `file:line` of the entry.
    """

    pointer: Pointer
    kind: str
    predicate: str
    of: tuple[str, ...]
    mentions_name: bool
    place: str

    @property
    def sentence_id(self) -> str:
        """Identifier: `h` and the beginning of the digest."""
        return "h" + self.pointer.sha256[:10]

    @property
    def parsed(self) -> Predicate | None:
        """Its predicate."""
        return parse(self.predicate) if self.predicate else None


def load_human_sentences(folder: Path = FOLDER) -> list[HumanSentence]:
    """All entries of a folder, in order of files and lines.

    Raises:
        HumanSentenceError: there are no files, or entries are wrong.
        RegistryError: a file is no YAML.
    """
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise HumanSentenceError(f"{folder}:1: there are no files (*.yaml).")
    found: list[HumanSentence] = []
    problems: list[str] = []
    for file in files:
        data, lines = load_with_lines(file)
        if not isinstance(data, dict) or set(data) != _FILE_KEYS or not isinstance(data["sentences"], list):
            problems.append(f"{file}:1: a file has the keys {', '.join(sorted(_FILE_KEYS))}, and no others.")
            continue
        for number, entry in enumerate(data["sentences"]):
            place: Place = ("sentences", number)
            problem = _problem(entry)
            if problem:
                problems.append(f"{file}:{line_of(lines, (*place, problem[0]))}: {problem[1]}")
                continue
            start, end = entry["span"]
            pointer = Pointer(
                data["package"], str(data["version"]), entry["object"], start, end, entry["sha256"]
            )  # fmt: skip
            found.append(
                HumanSentence(pointer, entry["kind"], entry.get("predicate", ""), tuple(entry.get("of", ())),
                              entry.get("mentions_name", False), f"{file}:{line_of(lines, place)}")
            )  # fmt: skip
    problems += _duplicates(found)
    if problems:
        raise HumanSentenceError("\n".join(problems))
    return found


def _problem(entry: Any) -> tuple[str, str] | None:
    """What is wrong with an entry: the key, and why."""
    if not isinstance(entry, dict) or not {"object", "span", "sha256", "kind"} <= set(entry) <= _KEYS:
        return "", f"an entry has the keys object, span, sha256, kind, and at will {', '.join(sorted(_KEYS))}."
    span = entry["span"]
    if not isinstance(span, list) or len(span) != 2 or not all(isinstance(n, int) for n in span) or span[0] >= span[1]:
        return "span", f"`span` is the first character and the one behind the last, not {span!r}."
    if not isinstance(entry["object"], str) or entry["object"].count(":") != 1:
        return "object", f"`object` is module:qualname, not {entry['object']!r}."
    if not isinstance(entry["sha256"], str) or len(entry["sha256"]) != 64:
        return "sha256", f"`sha256` has 64 hexadecimal digits; {entry['sha256']!r} has not."
    if entry["kind"] not in KINDS:
        return "kind", f"{entry['kind']!r} is no kind; there are {', '.join(KINDS)}."
    return _predicate_problem(entry)


def _predicate_problem(entry: dict[str, Any]) -> tuple[str, str] | None:
    predicate, of = entry.get("predicate", ""), entry.get("of", [])
    if not isinstance(of, list) or not all(isinstance(name, str) for name in of):
        return "of", "`of` is a list of names of members."
    if not predicate:
        return None if of else ("of", "without a predicate `of` has to say which members the sentence describes.")
    try:
        parse(predicate)
    except PredicateError as error:
        return "predicate", f"the predicate cannot be read: {error}."
    if bool(facts_of_table(predicate)) != (entry["kind"] == "purpose"):
        return "predicate", "facts of the table belong to sentences of kind purpose, and to no others."
    return None


def _duplicates(found: list[HumanSentence]) -> list[str]:
    first: dict[str, str] = {}
    problems = []
    for sentence in found:
        digest = sentence.pointer.sha256
        if digest in first:
            problems.append(f"{sentence.place}: the same text is at {first[digest]}.")
        first.setdefault(digest, sentence.place)
    return problems
