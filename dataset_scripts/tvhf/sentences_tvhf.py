"""The sentences of TVHF: files that people read and correct, one for each group of families.

A file `sentences/<group>.yaml` is a list of families with their sentences::

    - family: bert
      sentences:
      - text: A stack of twelve encoder layers, 768 wide, that normalizes after each addition.
        kind: structure
        style: terse
        predicate: encoder.depth == 12 and hidden == 768 and norm_position == post
        of: [bert]

A sentence stands under the family that it was written for, and is true of every architecture where its predicate
holds. `of` names the members of which it has to be true; without it, all members of the family.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from .predicate_parser_tvhf import PredicateError, parse
from .predicates_tvhf import Predicate
from .schema_tvhf import FACTS
from .yaml_tvhf import Place, line_of, load_with_lines

FOLDER = Path(__file__).with_name("sentences")
KINDS = ("structure", "size", "purpose", "origin")
STYLES = ("plain", "technical", "terse", "card", "explanatory")
"""Everyday words; terms of the field; a phrase as in a table; as a model page says it; with the reason or effect."""
HELD_OUT_STYLE = "explanatory"
"""Sentences of this style are in the test splits only."""
AUTHOR_KIND = "machine-written"
MAX_WORDS = 60
_KEYS = ("text", "kind", "style", "predicate", "of", "mentions_name", "author_kind")


class SentenceError(ValueError):
    """A sentence that is wrong; the message begins with `file:line`."""


class Sentence(NamedTuple):
    """One sentence.

    Attributes:
        text: one English sentence.
        kind: one of `KINDS`.
        style: one of `STYLES`.
        predicate: text of its predicate (`predicates_tvhf`).
        family: family that it was written for.
        group: name of its file.
        of: members of which it has to be true; empty = all of the family.
        mentions_name: whether it names a model or a family.
        author_kind: who wrote it.
        file, line: where it stands.
    """

    text: str
    kind: str
    style: str
    predicate: str
    family: str
    group: str
    of: tuple[str, ...]
    mentions_name: bool
    author_kind: str
    file: str
    line: int

    @property
    def parsed(self) -> Predicate:
        """Its predicate."""
        return parse(self.predicate)

    @property
    def checked(self) -> bool:
        """Whether graphs decide it: no part of its predicate is a fact of the table."""
        return not facts_of_table(self.predicate)


def facts_of_table(predicate: str) -> tuple[str, ...]:
    """The facts of the table that a predicate names."""
    words = set(re.findall(r"[A-Za-z_]+", re.sub(r"\"[^\"]*\"", "", predicate)))
    return tuple(name for name, spec in FACTS.items() if spec.level == "table" and name in words)


def load_sentences(folder: Path = FOLDER) -> tuple[list[Sentence], list[str]]:
    """All sentences of a folder, in order of files and lines, and what is wrong as `file:line: what`.

    Raises:
        RegistryError: a file is no YAML.
        SentenceError: there is no file.
    """
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise SentenceError(f"{folder}:1: there are no sentence files (*.yaml).")
    sentences: list[Sentence] = []
    problems: list[str] = []
    for file in files:
        data, lines = load_with_lines(file)
        if not isinstance(data, list):
            problems.append(f"{file}:1: the file has to be a list of families, each with `family` and `sentences`.")
            continue
        for index, entry in enumerate(data):
            _read_family(file, entry, (index,), lines, sentences, problems)
    return sentences, [*problems, *_duplicates(sentences)]


def _read_family(
    file: Path, entry: Any, place: Place, lines: dict[Place, int], sentences: list[Sentence], problems: list[str]
) -> None:
    where = f"{file}:{line_of(lines, place)}"
    if not isinstance(entry, dict) or set(entry) != {"family", "sentences"} or not isinstance(entry["family"], str):
        problems.append(f"{where}: an entry has the keys `family` (a name) and `sentences`, and no others.")
        return
    rows = entry["sentences"]
    if not isinstance(rows, list) or not rows:
        problems.append(f"{where}: family {entry['family']!r} has no sentences.")
        return
    for number, row in enumerate(rows):
        line = line_of(lines, (*place, "sentences", number))
        problem = _problem(row)
        if problem:
            problems.append(f"{file}:{line_of(lines, (*place, 'sentences', number, *problem[0]))}: {problem[1]}")
            continue
        sentences.append(
            Sentence(
                text=row["text"], kind=row["kind"], style=row["style"], predicate=row["predicate"],
                family=entry["family"], group=file.stem, of=tuple(row.get("of", ())),
                mentions_name=row.get("mentions_name", False), author_kind=row.get("author_kind", AUTHOR_KIND),
                file=str(file), line=line,
            )
        )  # fmt: skip


def _problem(row: Any) -> tuple[Place, str] | None:
    """What is wrong with the form of a sentence: the key, and why."""
    if not isinstance(row, dict):
        return (), f"a sentence is a mapping with the keys {', '.join(_KEYS[:4])}, not {row!r}."
    for key in row:
        if key not in _KEYS:
            return (key,), f"{key!r} is no key of a sentence; there are {', '.join(_KEYS)}."
    for key in _KEYS[:4]:
        if not isinstance(row.get(key), str) or not row[key].strip():
            return (key,), f"{key!r} is missing or no text in the sentence {str(row.get('text'))[:60]!r}."
    for key, allowed in (("kind", KINDS), ("style", STYLES)):
        if row[key] not in allowed:
            return (key,), f"{row[key]!r} is no {key}; there are {', '.join(allowed)}."
    of = row.get("of", [])
    if not isinstance(of, list) or not all(isinstance(name, str) for name in of):
        return ("of",), "'of' is a list of names of members."
    if not isinstance(row.get("mentions_name", False), bool):
        return ("mentions_name",), "'mentions_name' is true or false."
    return _text_problem(row["text"]) or _predicate_problem(row)


def _text_problem(text: str) -> tuple[Place, str] | None:
    if text != " ".join(text.split()):
        return ("text",), "the text has line breaks or spaces at its ends or twice."
    if not text[0].isupper() and not text[0].isdigit():
        return ("text",), f"the text begins with {text[0]!r}; a sentence begins with a capital letter."
    if text[-1] not in ".":
        return ("text",), "the text does not end with a full stop."
    if re.search(r"(?<!e\.g)(?<!i\.e)(?<!vs)[.!?] +[A-Z]", text):
        return ("text",), "the text has more than one sentence."
    if len(text.split()) > MAX_WORDS:
        return ("text",), f"the text has {len(text.split())} words; at most {MAX_WORDS} are allowed."
    return None


def _predicate_problem(row: dict[str, Any]) -> tuple[Place, str] | None:
    try:
        parse(row["predicate"])
    except PredicateError as error:
        return ("predicate",), f"the predicate cannot be read: {error}."
    from_table = facts_of_table(row["predicate"])
    if from_table and row["kind"] in ("structure", "size"):
        return ("predicate",), f"{from_table[0]!r} is a fact of the table, and the sentence is of kind {row['kind']}."
    if not from_table and row["kind"] in ("purpose", "origin"):
        return ("predicate",), f"a sentence of kind {row['kind']} needs a fact of the table, such as tasks or year."
    return None


def _duplicates(sentences: Iterable[Sentence]) -> list[str]:
    """Texts that are there twice, whatever their case and punctuation."""
    first: dict[str, Sentence] = {}
    problems = []
    for sentence in sentences:
        key = " ".join(re.findall(r"[a-z0-9]+", sentence.text.lower()))
        if key in first:
            other = first[key]
            problems.append(f"{sentence.file}:{sentence.line}: the text is already at {other.file}:{other.line}.")
        first.setdefault(key, sentence)
    return problems
