"""The config `aqa_modern`: what people ask of networks today, with answers on which graph and configuration agree.

* Every type of `MODERN_TYPES` is put once to every network, to one of its towers where it has several.
* What is not known, or said differently by graph and configuration, is not asked; both are counted.
* In a split no answer has more than half of the rows of a type (`MAX_SHARE`), so that the question says little.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from processing_archbert.questions_archbert import absent

from .modern_forms_tvhf import say_modern
from .modern_types_tvhf import Answers, ModernType
from .network_types_tvhf import MODERN_TYPES
from .network_view_tvhf import Disagreement, NetworkView, Tower

MAX_SHARE = 0.5
"""Largest share of one answer among the rows of a type in a split."""
MIN_ROWS = 4
"""A type with fewer rows in a split is not asked there."""
_ABSENT = absent("")


@dataclass
class Dropped:
    """Questions that were not asked, by type.

    Attributes:
        unknown: the graph does not show the answer.
        disagreement: graph and configuration say different things.
        balance: rows that were left out so that no answer is more frequent than `MAX_SHARE`.
    """

    unknown: Counter[str] = field(default_factory=Counter)
    disagreement: Counter[str] = field(default_factory=Counter)
    balance: Counter[str] = field(default_factory=Counter)

    def totals(self) -> dict[str, int]:
        """Sums over types."""
        return {name: sum(getattr(self, name).values()) for name in ("unknown", "disagreement", "balance")}


def modern_answer(view: NetworkView, name: str, tower: Tower) -> Answers | None:
    """The answer of a network to a type; None where it is unknown.

    Raises:
        Disagreement: graph and configuration say different things.
        KeyError: an unknown type.
    """
    return MODERN_TYPES[name].answer(view, tower)


def modern_rows(views: Sequence[NetworkView], split: str, seed: int, dropped: Dropped) -> list[dict[str, Any]]:
    """Rows of `aqa_modern` for the networks of one split, in the order of networks and types.

    Args:
        views: networks, all of one split.
        split: wordings of `train`, or of `validation` and `test`.
        seed: of wordings and balance.
        dropped: what is not asked is counted there.
    """
    rows = [row for view in views for row in _network_rows(view, split, seed, dropped)]
    kept = set(_balanced(rows, dropped))
    return [row for number, row in enumerate(rows) if number in kept]


def _network_rows(view: NetworkView, split: str, seed: int, dropped: Dropped) -> Iterable[dict[str, Any]]:
    arch_id = view.architecture.arch_id
    rng = random.Random(f"{seed}/{arch_id}/modern")
    for name, kind in MODERN_TYPES.items():
        towers = view.towers if kind.level == "tower" and view.has_attention is not False else view.towers[:1]
        tower = rng.choice(towers) if towers else Tower("", {})
        try:
            answers = kind.answer(view, tower)
        except Disagreement:
            dropped.disagreement[name] += 1
            continue
        if answers is None:
            dropped.unknown[name] += 1
            continue
        subject = tower.label if kind.level == "tower" and not answers[0].startswith(_ABSENT) else ""
        yield {
            "arch_id": arch_id,
            "question": say_modern(rng, name, subject, split),
            "question_type": name,
            "subject": subject,
            "answers": list(answers),
            "answer_type": _answer_type(kind, answers),
        }


def _answer_type(kind: ModernType, answers: Answers) -> str:
    return "absent" if answers[0].startswith(_ABSENT) else kind.answer_type


def _balanced(rows: Sequence[dict[str, Any]], dropped: Dropped) -> Iterable[int]:
    """Indices of rows to keep; which of equal answers stay is decided by a digest of question and network."""
    by_type: dict[str, dict[tuple[str, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, row in enumerate(rows):
        by_type[row["question_type"]][tuple(row["answers"])].append(number)
    for name, by_answer in by_type.items():
        limit = answer_limit([len(found) for found in by_answer.values()])
        kept = [n for found in by_answer.values() for n in sorted(found, key=lambda n: _digest(rows[n]))[:limit]]
        if len(kept) >= MIN_ROWS:
            yield from kept
        else:
            kept = []
        dropped.balance[name] += sum(map(len, by_answer.values())) - len(kept)


def answer_limit(counts: Sequence[int]) -> int:
    """How many rows each answer may keep so that none has more than `MAX_SHARE` of what is left; 0 with one answer."""
    for limit in range(max(counts, default=0), 0, -1):
        kept = [min(count, limit) for count in counts]
        if max(kept) <= MAX_SHARE * sum(kept):
            return limit
    return 0


def _digest(row: dict[str, Any]) -> str:
    return hashlib.blake2b(f"{row['question_type']}/{row['arch_id']}".encode()).hexdigest()
