"""Statements of TVHF for architectural reasoning: the config `descriptions`, from the truth matrix.

* *matched*: a sentence stands once beside an architecture of which it is true and once beside one of which it is not.
  The two rows share a `group`; the text alone says nothing, and because every architecture is false about as often as
  it is true, neither does the architecture. The false one shares a modality with the true one and is the nearest in
  size that keeps this balance, at most `MAX_SIZE_RATIO` times as large or small.
* *paper*: Algorithm 1 of the paper. A sentence is a negative of an architecture if a sentence encoder finds it less
  than 0.5 similar to all that was written for that architecture. Some of these negatives are true all the same; the
  matrix says how many.

Cells of sentences and architectures: `train`, `validation` and `test` share neither; `test` is new in both,
`test_seen_sentence` and `test_seen_architecture` in one, and `test_seen_both` holds pairs that training left out.
`test_new` has the sentences of `test` and the architectures of the latest year. `tv_...` and `hf_...` (paper, Table 5)
are of one library: drawn anew within it where matched, a part of the paper's splits otherwise.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .configs_tvhf import DEFAULT_CONFIG, table5_names
from .sentences_tvhf import HELD_OUT_STYLE, Sentence
from .similarity_tvhf import near_groups
from .truth_tvhf import FALSE, TRUE, UNKNOWN, Architecture

PAPER_THRESHOLD = 0.5
PAPER_NEGATIVES = 27_863 / 2_224
"""Negatives for each positive pair in the paper (section 4.1)."""
PAPER_TRAIN_SHARE = 0.8
MAX_SIZE_RATIO = 10.0
POSITIVES_PER_SENTENCE = {"train": 6, "validation": 4, "test": 6}
HELD_BACK_SHARE = 0.15
"""Share of the groups of seen sentences and seen architectures that training leaves out: `test_seen_both`."""
SPLITS = ("train", "validation", "test", "test_seen_sentence", "test_seen_architecture", "test_seen_both",
          "test_new", "paper_train", "paper_validation")  # fmt: skip
_BALANCE = 0.7
_SIDES = ("train", "validation", "test")
_NEW = "test_new"


def sentence_ids(sentences: Sequence[Sentence]) -> list[str]:
    """Identifier of each sentence: a digest of its text, so that it stays when others come or go."""
    return ["s" + hashlib.blake2b(s.text.encode(), digest_size=5).hexdigest() for s in sentences]


@dataclass
class Corpus:
    """Sentences, architectures and what is true, for one build.

    Args:
        sentences: S sentences.
        architectures: A architectures; `record["split"]` is the side of each.
        matrix: int8 (S, A) of `truth_tvhf.truth_matrix`.
        drawn_from: the same of facts that are not disputed, from which rows are drawn; those whose label `matrix` does
            not confirm are dropped. So a doubt about a fact takes rows away and moves none. Default: `matrix`.
        embeddings: (S, features) of the sentence encoder, rows of length 1.
        seed: of all draws.
    """

    sentences: Sequence[Sentence]
    architectures: Sequence[Architecture]
    matrix: np.ndarray
    embeddings: np.ndarray
    seed: int = 0
    drawn_from: np.ndarray | None = None
    ids: list[str] = field(init=False)
    sides: list[str] = field(init=False)

    def __post_init__(self) -> None:
        if self.matrix.shape != (len(self.sentences), len(self.architectures)):
            raise ValueError(
                f"the matrix has shape {self.matrix.shape}; {len(self.sentences)} sentences and "
                f"{len(self.architectures)} architectures need {(len(self.sentences), len(self.architectures))}."
            )
        self.cells = self.matrix if self.drawn_from is None else self.drawn_from
        allowed = (*_SIDES, _NEW)
        unknown = {self.side_of(a) for a in range(len(self.architectures))} - {*allowed}
        if unknown:
            raise ValueError(f"unknown split {min(unknown)!r} of an architecture; there are {', '.join(allowed)}.")
        self.ids = sentence_ids(self.sentences)
        self.sides = self._sentence_sides()

    def side_of(self, architecture: int) -> str:
        """Split of an architecture."""
        return str(self.architectures[architecture].record.get("split"))

    def of_side(self, side: str) -> list[int]:
        """Architectures of a split."""
        return [a for a in range(len(self.architectures)) if self.side_of(a) == side]

    def _sentence_sides(self) -> list[str]:
        """Split of each sentence: near ones together, the held-out style in `test`, others by where they can be used.

        A group of near sentences that is true of test architectures only goes to `test`, and likewise for the others;
        the rest is drawn by the digest of its first text, 60 : 10 : 30.
        """
        groups = near_groups([s.text for s in self.sentences], self.embeddings)
        members: dict[int, list[int]] = defaultdict(list)
        for index, group in enumerate(groups):
            members[group].append(index)
        usable = {side: self._usable(self.of_side(side)) for side in _SIDES}
        usable["test"] = usable["test"] + self._usable(self.of_side(_NEW))
        sides = [""] * len(groups)
        for found in members.values():
            side = self._group_side(found, usable)
            for index in found:
                sides[index] = side
        return sides

    def _usable(self, columns: Sequence[int]) -> np.ndarray:
        """For each sentence the number of architectures of which it is true, where it is also false of one."""
        cells = self.cells[:, list(columns)]
        return np.asarray((cells == TRUE).sum(axis=1) * ((cells == FALSE).any(axis=1)))

    def _group_side(self, found: Sequence[int], usable: Mapping[str, np.ndarray]) -> str:
        if any(self.sentences[i].style == HELD_OUT_STYLE for i in found):
            return "test"
        counts = {side: int(usable[side][list(found)].sum()) for side in _SIDES}
        possible = [side for side in _SIDES if counts[side]]
        if len(possible) == 1:
            return possible[0]
        share = int(hashlib.blake2b(self.sentences[min(found)].text.encode(), digest_size=4).hexdigest(), 16) / 2**32
        for side, end in (("test", 0.3), ("validation", 0.4), ("train", 1.0)):
            if share < end and (side in possible or not possible):
                return side
        return possible[0]


def matched_rows(corpus: Corpus) -> dict[str, list[dict[str, Any]]]:
    """Split -> rows of matched statements, the true one of a group before the false one.

    Sentences of kind origin are used with seen architectures only.
    """
    drawer = _PairDrawer(corpus)
    rows: dict[str, list[dict[str, Any]]] = {}
    seen, unseen = drawer.indices("train"), drawer.indices("test")
    train, test = corpus.of_side("train"), corpus.of_side("test")
    rows["validation"] = drawer.rows(drawer.indices("validation"), corpus.of_side("validation"), "validation")
    rows["test"] = drawer.rows(_but_origin(corpus, unseen), test, "test")
    rows["test_seen_sentence"] = drawer.rows(_but_origin(corpus, seen), test, "test")
    rows["test_new"] = drawer.rows(_but_origin(corpus, unseen), corpus.of_side(_NEW), "test")
    rows["test_seen_architecture"] = drawer.rows(unseen, train, "test")
    both = drawer.rows(seen, train, "train")
    rows["train"], rows["test_seen_both"] = _held_back(both, corpus.seed)
    return {split: rows[split] for split in SPLITS if split in rows}


def library_rows(corpus: Corpus) -> dict[str, list[dict[str, Any]]]:
    """Split -> rows of matched statements whose two architectures are of one library: `tv_train` to `hf_test`.

    Sentences and architectures are both of the side; those of kind origin are in training only.
    """
    drawer = _PairDrawer(corpus)
    rows = {}
    for name, side, source in table5_names(DEFAULT_CONFIG):
        if side in _SIDES:
            columns = [a for a in corpus.of_side(side) if corpus.architectures[a].record.get("source") == source]
            indices = drawer.indices(side)
            rows[name] = drawer.rows(indices if side == "train" else _but_origin(corpus, indices), columns, side)
    return rows


def _but_origin(corpus: Corpus, indices: Iterable[int]) -> list[int]:
    return [i for i in indices if corpus.sentences[i].kind != "origin"]


def _held_back(rows: Sequence[dict[str, Any]], seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of training, and groups kept from it; a sentence or an architecture that is held back is still seen."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["group"]].append(row)
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    texts = Counter(pair[0]["text"] for pair in groups.values())
    architectures = Counter(row["arch_id"] for row in rows)
    held: list[dict[str, Any]] = []
    kept = dict(groups)
    for name in order:
        pair = groups[name]
        if len(held) >= 2 * HELD_BACK_SHARE * len(groups):
            break
        if texts[pair[0]["text"]] > 1 and all(architectures[row["arch_id"]] > 1 for row in pair):
            held += kept.pop(name)
            texts[pair[0]["text"]] -= 1
            architectures.subtract(row["arch_id"] for row in pair)
    cells = {(row["arch_id"], row["text"]) for row in held}
    train = [row for pair in kept.values() for row in pair]
    repeated = {row["group"] for row in train if (row["arch_id"], row["text"]) in cells}
    return [row for row in train if row["group"] not in repeated], held


class _PairDrawer:
    """Draws architectures for sentences: one where it is true, one where it is false."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.sizes = [math.log10(max(1, int(a.facts.value("parameters") or 1))) for a in corpus.architectures]
        self.modalities = [frozenset(a.facts.value("modality") or ()) for a in corpus.architectures]
        self.families = [str(a.record["family"]) for a in corpus.architectures]

    def indices(self, side: str) -> list[int]:
        """Sentences of a split."""
        return [i for i, s in enumerate(self.corpus.sides) if s == side]

    def rows(self, sentences: Sequence[int], columns: Sequence[int], budget: str) -> list[dict[str, Any]]:
        """Rows of the cell that sentences and architectures span."""
        corpus = self.corpus
        rng = random.Random(f"{corpus.seed} {budget} {len(sentences)} {len(columns)}")
        balance: Counter[int] = Counter()
        families: Counter[str] = Counter()
        rows: list[dict[str, Any]] = []
        order = list(sentences)
        rng.shuffle(order)
        for turn in range(POSITIVES_PER_SENTENCE[budget]):
            used = {(row["sentence_id"], row["arch_id"]) for row in rows}
            for index in order:
                pair = self._pair(index, columns, balance, families, used, rng)
                if pair is not None:
                    balance[pair[0]] += 1
                    balance[pair[1]] -= 1
                    families[self.families[pair[0]]] += 1
                    group = f"{corpus.ids[index]}-{budget[0]}{turn}"
                    rows.append(description_row(corpus, index, pair[0], 1, "", group))
                    rows.append(description_row(corpus, index, pair[1], 0, "matched", group))
        return rows

    def _pair(
        self, index: int, columns: Sequence[int], balance: Counter[int], families: Counter[str],
        used: set[tuple[str, str]], rng: random.Random,
    ) -> tuple[int, int] | None:  # fmt: skip
        """A true and a false architecture: the true one seldom used so far, the false one near."""
        corpus, cells = self.corpus, self.corpus.cells[index]
        name = corpus.ids[index]
        free = [a for a in columns if (name, corpus.architectures[a].arch_id) not in used]
        true = [a for a in free if cells[a] == TRUE]
        false = [a for a in free if cells[a] == FALSE]
        if not true or not false:
            return None
        true.sort(key=lambda a: (balance[a] + families[self.families[a]] / 4 + rng.random(), a))
        for a in true[:8]:
            near = [b for b in false if self._comparable(a, b)]
            if near:
                return a, min(near, key=lambda b: (self._distance(a, b) - _BALANCE * balance[b], b))
        return None

    def _comparable(self, a: int, b: int) -> bool:
        shared = self.modalities[a] & self.modalities[b] or not (self.modalities[a] and self.modalities[b])
        return bool(shared) and abs(self.sizes[a] - self.sizes[b]) <= math.log10(MAX_SIZE_RATIO)

    def _distance(self, a: int, b: int) -> float:
        return 3 * abs(self.sizes[a] - self.sizes[b]) + (self.modalities[a] != self.modalities[b])


def description_row(
    corpus: Corpus, index: int, architecture: int, label: int, negative_kind: str, group: str
) -> dict[str, Any]:
    """A row of the config `descriptions`."""
    sentence = corpus.sentences[index]
    return {
        "arch_id": corpus.architectures[architecture].arch_id,
        "text": sentence.text,
        "label": label,
        "negative_kind": negative_kind,
        "kind": sentence.kind,
        "group": group,
        "style": sentence.style,
        "author_kind": sentence.author_kind,
        "mentions_name": sentence.mentions_name,
        "checked": sentence.checked,
        "sentence_id": corpus.ids[index],
    }


def paper_rows(corpus: Corpus) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float]]:
    """The paper's form: Algorithm 1 with threshold 0.5 and its ratio of negatives, split at random over pairs.

    What was written for an architecture are the sentences of its family that are true of it.

    Returns:
        Split -> rows, and what the matrix says of the negatives: `true`, `false` and `unknown` shares of those drawn,
        `candidates` (share of all pairs that Algorithm 1 takes for negatives), `positives` and `negatives`.
    """
    similarity = corpus.embeddings @ corpus.embeddings.T
    own = [
        [i for i, s in enumerate(corpus.sentences) if s.family == a.record["family"] and corpus.cells[i, j] == TRUE]
        for j, a in enumerate(corpus.architectures)
    ]
    positives = [(i, j) for j, found in enumerate(own) for i in found]
    candidates = [
        (i, j) for j, found in enumerate(own) if found
        for i in np.flatnonzero(similarity[:, found].max(axis=1) <= PAPER_THRESHOLD).tolist()
    ]  # fmt: skip
    rng = random.Random(corpus.seed)
    drawn = rng.sample(candidates, min(len(candidates), round(PAPER_NEGATIVES * len(positives))))
    pairs = [(*pair, 1) for pair in positives] + [(*pair, 0) for pair in drawn]
    rng.shuffle(pairs)
    rows = [description_row(corpus, i, j, label, "" if label else "paper", "") for i, j, label in pairs]
    cut = round(PAPER_TRAIN_SHARE * len(rows))
    said = Counter(int(corpus.matrix[i, j]) for i, j in drawn)
    shares = {word: said[value] / max(1, len(drawn)) for word, value in
              (("true", TRUE), ("false", FALSE), ("unknown", UNKNOWN))}  # fmt: skip
    total = max(1, len(corpus.sentences) * sum(map(bool, own)))
    return {"paper_train": rows[:cut], "paper_validation": rows[cut:]}, {
        **shares, "candidates": len(candidates) / total, "positives": len(positives), "negatives": len(drawn),
    }  # fmt: skip


def descriptions(corpus: Corpus) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float]]:
    """All splits of the config `descriptions`, and the figures of `paper_rows`."""
    paper, shares = paper_rows(corpus)
    source = {a.arch_id: a.record.get("source") for a in corpus.architectures}
    by_library = {
        name: [row for row in paper[side] if source[row["arch_id"]] == library]
        for name, side, library in table5_names(DEFAULT_CONFIG) if side in paper
    }  # fmt: skip
    matched = {**matched_rows(corpus), **library_rows(corpus)}
    rows = {**matched, **paper, **by_library}
    return {split: confirmed(corpus, found) for split, found in rows.items()}, shares


def confirmed(corpus: Corpus, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without those whose label the matrix does not confirm, and without the other row of their group; the
    negatives of the paper's form stay as they are."""
    columns = {a.arch_id: j for j, a in enumerate(corpus.architectures)}
    index = {name: i for i, name in enumerate(corpus.ids)}

    def holds(row: dict[str, Any]) -> bool:
        cell = corpus.matrix[index[row["sentence_id"]], columns[row["arch_id"]]]
        return row["negative_kind"] == "paper" or cell == (TRUE if row["label"] else FALSE)

    wrong = {row["group"] for row in rows if row["group"] and not holds(row)}
    return [row for row in rows if row["group"] not in wrong and (row["group"] or holds(row))]


def description_counts(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, int]]:
    """For each split: rows, positive pairs, different sentences and different architectures."""
    return {
        split: {
            "rows": len(found),
            "positives": sum(row["label"] for row in found),
            "sentences": len({row["text"] for row in found if row["label"]}),
            "architectures": len({row["arch_id"] for row in found}),
        }
        for split, found in rows.items()
    }
