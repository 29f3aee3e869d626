"""Makes the config `test_human` of TVHF: sentences that people wrote, as pointers, beside architectures.

    python -m dataset_scripts.tvhf.human_rows_tvhf --architectures PATH --out FOLDER

A sentence with a predicate gives groups of two rows: an architecture where it is true (`label` 1) and one where the
predicate is false (0), near in size and by preference of the same split; `test` comes first. Half of the labels are
true, two rows share a text, and an architecture is drawn for both sides as evenly as possible, as in `descriptions`.
The two architectures share a modality (`negative_kind` is `matched`), except where the predicate is false of no such
one (`other_modality`).

A sentence without a predicate gives a row without a label for each architecture that its docstring describes.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .check_sentences import ARCHITECTURES
from .human_sentences_tvhf import AUTHOR_KIND, FOLDER, HumanSentence, HumanSentenceError, load_human_sentences
from .sentences_tvhf import facts_of_table
from .truth_tvhf import Architecture, load_architectures

CONFIG, SPLIT = "test_human", "test"
GROUPS = 2
"""Groups of a sentence that is written for certain members."""
GROUPS_OF_ANY = 4
"""Groups of a sentence that holds wherever its predicate does."""
ORDER = ("test", "test_new", "validation", "train")
MAX_SIZE_RATIO = 10.0
MATCHED, OTHER_MODALITY = "matched", "other_modality"
_TEXT, _FLAG, _NUMBER = pa.string(), pa.bool_(), pa.int32()
SCHEMA = pa.schema(
    [("arch_id", _TEXT), ("label", _NUMBER), ("negative_kind", _TEXT), ("kind", _TEXT), ("group", _TEXT),
     ("package", _TEXT), ("version", _TEXT), ("object", _TEXT), ("start", _NUMBER), ("end", _NUMBER),
     ("sha256", _TEXT), ("predicate", _TEXT), ("author_kind", _TEXT), ("mentions_name", _FLAG), ("checked", _FLAG),
     ("split_of_architecture", _TEXT), ("sentence_id", _TEXT)]
)  # fmt: skip
"""Columns; `label` is null without a predicate, `checked` says whether the graph decides it."""


class _Drawer:
    """Draws architectures for sentences."""

    def __init__(self, architectures: Sequence[Architecture]) -> None:
        self.architectures = sorted(architectures, key=lambda a: a.arch_id)
        self.by_name = {name: a for a in self.architectures for name in a.names}
        self.balance: Counter[str] = Counter()
        self.sizes = {a.arch_id: math.log10(max(1, int(a.facts.value("parameters") or 1))) for a in architectures}
        self.modalities = {a.arch_id: frozenset(a.facts.value("modality") or ()) for a in architectures}

    def rows(self, sentence: HumanSentence) -> list[dict[str, Any]]:
        """Rows of a sentence.

        Raises:
            HumanSentenceError: a member is unknown, the predicate is not true of one, or false of no architecture.
        """
        missing = [name for name in sentence.of if name not in self.by_name]
        if missing:
            raise HumanSentenceError(f"{sentence.place}: there is no architecture {missing[0]!r}.")
        described = [self.by_name[name] for name in sentence.of]
        predicate = sentence.parsed
        if predicate is None:
            return [human_row(sentence, architecture, None, "") for architecture in described[:GROUPS]]
        values = {a.arch_id: predicate.evaluate(a.facts) for a in self.architectures}
        for name, architecture in zip(sentence.of, described, strict=True):
            if values[architecture.arch_id] is not True:
                value = "false" if values[architecture.arch_id] is False else "unknown"
                raise HumanSentenceError(f"{sentence.place}: the predicate is {value} of {name!r}, which `of` names.")
        positives = described or [a for a in self.architectures if values[a.arch_id]]
        negatives = [a for a in self.architectures if values[a.arch_id] is False]
        rows: list[dict[str, Any]] = []
        used: set[str] = set()
        for turn in range(GROUPS if described else GROUPS_OF_ANY):
            pair = self._pair(positives, negatives, used)
            if pair is None:
                break
            used |= {architecture.arch_id for architecture in pair}
            group = f"{sentence.sentence_id}-{turn}"
            rows += [human_row(sentence, pair[0], 1, group), human_row(sentence, pair[1], 0, group, self._kind(*pair))]
        if not rows:
            raise HumanSentenceError(f"{sentence.place}: the predicate is false of no comparable architecture.")
        return rows

    def _pair(
        self, positives: Sequence[Architecture], negatives: Sequence[Architecture], used: set[str]
    ) -> tuple[Architecture, Architecture] | None:
        free = [a for a in positives if a.arch_id not in used]
        for true in sorted(free, key=lambda a: (ORDER.index(_split(a)), self.balance[a.arch_id], a.arch_id)):
            other = [b for b in negatives if b.arch_id not in used]
            near = [b for b in other if self._size_ratio(true, b) <= MAX_SIZE_RATIO] or other
            same = [b for b in near if self._kind(true, b) == MATCHED]
            if near:
                false = min(same or near, key=lambda b: (self._distance(true, b), b.arch_id))
                self.balance[true.arch_id] += 1
                self.balance[false.arch_id] -= 1
                return true, false
        return None

    def _size_ratio(self, a: Architecture, b: Architecture) -> float:
        return float(10 ** abs(self.sizes[a.arch_id] - self.sizes[b.arch_id]))

    def _kind(self, a: Architecture, b: Architecture) -> str:
        return MATCHED if self.modalities[a.arch_id] & self.modalities[b.arch_id] else OTHER_MODALITY

    def _distance(self, a: Architecture, b: Architecture) -> float:
        apart = 3 * abs(self.sizes[a.arch_id] - self.sizes[b.arch_id]) + (_split(a) != _split(b))
        return apart + (self.modalities[a.arch_id] != self.modalities[b.arch_id]) - 0.7 * self.balance[b.arch_id]


def _split(architecture: Architecture) -> str:
    return str(architecture.record["split"])


def human_row(
    sentence: HumanSentence, architecture: Architecture, label: int | None, group: str, negative_kind: str = ""
) -> dict[str, Any]:
    """A row of the config `test_human`."""
    return {
        "arch_id": architecture.arch_id,
        "label": label,
        "negative_kind": negative_kind,
        "kind": sentence.kind,
        "group": group,
        **sentence.pointer._asdict(),
        "predicate": sentence.predicate,
        "author_kind": AUTHOR_KIND,
        "mentions_name": sentence.mentions_name,
        "checked": bool(sentence.predicate) and not facts_of_table(sentence.predicate),
        "split_of_architecture": _split(architecture),
        "sentence_id": sentence.sentence_id,
    }


def human_rows(
    sentences: Sequence[HumanSentence], architectures: Sequence[Architecture]
) -> tuple[list[dict[str, Any]], list[str]]:
    """All rows, and what is wrong as `file:line: what`; sentences for few members are drawn for first."""
    drawer = _Drawer(architectures)
    found: dict[str, list[dict[str, Any]]] = {}
    problems = []
    for sentence in sorted(sentences, key=lambda s: (not s.of, s.sentence_id)):
        try:
            found[sentence.sentence_id] = drawer.rows(sentence)
        except HumanSentenceError as error:
            problems.append(str(error))
    return [row for sentence in sentences for row in found.get(sentence.sentence_id, ())], problems


def check_rows(rows: Sequence[Mapping[str, Any]], architectures: Sequence[Architecture]) -> list[str]:
    """Rows that the facts of their architecture contradict, and labels that are not half and half."""
    from .predicate_parser_tvhf import parse

    by_id = {a.arch_id: a for a in architectures}
    problems = []
    groups: dict[str, list[int]] = {}
    for row in rows:
        where = f"{row['sentence_id']} beside {row['arch_id']}"
        if row["arch_id"] not in by_id:
            problems.append(f"{where}: there is no such architecture.")
        elif row["split_of_architecture"] != _split(by_id[row["arch_id"]]):
            problems.append(f"{where}: the architecture is in split {_split(by_id[row['arch_id']])}.")
        elif row["predicate"]:
            value = parse(row["predicate"]).evaluate(by_id[row["arch_id"]].facts)
            if value is not bool(row["label"]) or row["label"] is None:
                problems.append(f"{where}: the label is {row['label']}, and the predicate is {value}.")
            groups.setdefault(row["group"], []).append(row["label"])
        elif row["label"] is not None:
            problems.append(f"{where}: there is a label and no predicate.")
    return problems + [f"{name}: a group has one true and one false row." for name, labels in groups.items()
                       if sorted(label for label in labels if label is not None) != [0, 1]]  # fmt: skip


def write_rows(rows: Sequence[Mapping[str, Any]], out: Path) -> Path:
    """Writes the config into the folder of a data set; returns the file."""
    path = out / CONFIG / f"{SPLIT}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([{name: row[name] for name in SCHEMA.names} for row in rows], schema=SCHEMA)
    pq.write_table(table, path, compression="zstd", compression_level=12)
    return path


def counts(rows: Sequence[Mapping[str, Any]]) -> str:
    """Numbers of sentences, of rows and of labels, in one line."""
    labelled = [row for row in rows if row["label"] is not None]
    sentences = {row["sentence_id"] for row in rows}
    named = {row["sentence_id"] for row in rows if row["mentions_name"]}
    packages = Counter(identifier[0] for identifier in {(row["package"], row["sentence_id"]) for row in rows})
    by_package = ", ".join(f"{package} {number}" for package, number in sorted(packages.items()))
    return (
        f"{len(sentences)} sentences ({by_package}), {len({r['sentence_id'] for r in labelled})} with a predicate, "
        f"{len(named)} with a name; {len(rows)} rows, {len(labelled)} with a label, "
        f"{sum(row['label'] for row in labelled)} of them true"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--architectures", type=Path, default=ARCHITECTURES, help="Parquet file or folder")
    parser.add_argument("--sentences", type=Path, default=FOLDER, help="folder of files of pointers")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set")
    args = parser.parse_args(arguments)
    try:
        sentences = load_human_sentences(args.sentences)
        architectures = load_architectures(args.architectures)
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    rows, problems = human_rows(sentences, architectures)
    problems += check_rows(rows, architectures)
    if problems:
        sys.stderr.write("".join(f"{problem}\n" for problem in problems) + f"{len(problems)} problems; nothing made\n")
        return 1
    write_rows(rows, args.out)
    sys.stdout.write(counts(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
