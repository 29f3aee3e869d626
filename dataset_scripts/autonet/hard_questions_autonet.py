"""Questions of the config `aqa_hard`: types beyond the paper's templates, and matched pairs that cannot be told.

* `hard_types_autonet` says what is asked and what is true, `hard_forms_autonet` how it is worded, `hard_views_autonet`
  what a view of a graph shows.
* A pair is one question to one architecture, once on a view that shows the answer and once on one that does not. Half
  of the rows of pairs are answered, so the question alone does not tell which; every view but the full one has rows
  of both kinds.
* Nothing here depends on other architectures.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.questions_archbert import absent

from .hard_facts_autonet import HardFacts
from .hard_forms_autonet import say_question, unknowable_topics
from .hard_types_autonet import CANNOT_TELL, HARD_TYPES, UNKNOWABLE_TYPE, Answers, Subject, weightless
from .hard_views_autonet import VIEWS

SINGLE_QUESTIONS = 11
PAIRS = 4
_ATTEMPTS = 8
_ABSENT = absent("")


class HardQuestion(NamedTuple):
    """A question to a view of one architecture and its true answers.

    Attributes:
        text: the question.
        question_type: a key of `HARD_TYPES`, or `UNKNOWABLE_TYPE`.
        subject: what it asks about.
        view: the view that it is put to.
        answers: names in alphabetical order, numbers as text in ascending order, or `CANNOT_TELL`.
        answer_type: kind of the answers (`hard_types_autonet.ANSWER_TYPES`).
        group: number of the pair, from 0; -1 outside pairs.
    """

    text: str
    question_type: str
    subject: Subject
    view: str
    answers: Answers
    answer_type: str
    group: int


_PAIR_KINDS: tuple[tuple[tuple[str, ...], tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]], ...] = (
    (
        ("after", "before", "depth_of", "longest_path", "skip_count", "skip_span", "skip_layers"),
        (("no_attributes", 6), ("full", 1)),
        (("no_edges", 2), ("header", 1)),
    ),
    (
        ("count_kernel", "extreme_width", "setting"),
        (("no_edges", 4), ("full", 1)),
        (("no_attributes", 1),),
    ),
    (
        ("kernel", "width", "block_after", "block_repeats", "block_layers"),
        (("full", 1),),
        (("no_edges", 3), ("no_attributes", 1)),
    ),
    (
        ("parameters", "parameters_exceed"),
        (("header", 3), ("no_edges", 1)),
        (("no_attributes", 1),),
    ),
    (
        ("count", "count_category", "exceeds", "difference"),
        (("no_attributes", 1), ("no_edges", 1)),
        (("header", 1),),
    ),
)  # fmt: skip
"""Types of a kind of pair, views that show their answers and views that do not, each view with its weight."""

_PAIR_WEIGHTS = (5, 3, 2, 2, 6)


def sample_hard_questions(
    rng: random.Random, views: Mapping[str, ArchitectureGraph], split: str = "train"
) -> list[HardQuestion]:
    """About twenty questions to one architecture, in random order.

    Args:
        rng: source of randomness.
        views: the graph as each view of `VIEWS`.
        split: one of `questions_autonet.SPLITS`; validation and test have wordings that train has not.

    Raises:
        ValueError: an unknown split, or a view is missing.
    """
    missing = [view for view in VIEWS if view not in views]
    if missing:
        raise ValueError(f"the views {', '.join(missing)} are missing.")
    facts = {view: HardFacts(graph) for view, graph in views.items()}
    questions = _singles(rng, facts["full"], split)
    for group in range(PAIRS):
        questions += _pair(rng, facts, split, group)
    topic = (rng.choice(unknowable_topics(split)),)
    text = say_question(rng, UNKNOWABLE_TYPE, topic, split)
    view = rng.choice(list(VIEWS))
    questions.append(HardQuestion(text, UNKNOWABLE_TYPE, topic, view, (CANNOT_TELL,), "cannot_tell", -1))
    rng.shuffle(questions)
    return questions


def hard_answers(facts: HardFacts, question_type: str, subject: Subject) -> Answers | None:
    """The answers that a complete graph gives; None where they are not settled.

    Raises:
        KeyError: an unknown type.
    """
    return HARD_TYPES[question_type].answer(facts, *subject)


def _singles(rng: random.Random, facts: HardFacts, split: str) -> list[HardQuestion]:
    """Questions to the full graph, of as many types as it has answers for before a type comes again."""
    found: dict[tuple[str, Subject], HardQuestion] = {}
    types = [name for name, kind in HARD_TYPES.items() for _ in range(kind.weight)]
    for _ in range(3):
        rng.shuffle(types)
        for name in dict.fromkeys(types):
            drawn = _drawn(rng, facts, name)
            if drawn is not None and (name, drawn[0]) not in found:
                found[name, drawn[0]] = _question(rng, name, *drawn, "full", split, -1)
            if len(found) == SINGLE_QUESTIONS:
                return list(found.values())
    return list(found.values())


def _drawn(rng: random.Random, facts: HardFacts, name: str) -> tuple[Subject, Answers] | None:
    for _ in range(_ATTEMPTS):
        subject = HARD_TYPES[name].draw(rng, facts)
        answers = None if subject is None else HARD_TYPES[name].answer(facts, *subject)
        if subject is not None and answers is not None:
            return subject, answers
    return None


def _question(
    rng: random.Random, name: str, subject: Subject, answers: Answers, view: str, split: str, group: int
) -> HardQuestion:
    kind = "absent" if answers[0].startswith(_ABSENT) else HARD_TYPES[name].answer_type
    return HardQuestion(say_question(rng, name, subject, split), name, subject, view, answers, kind, group)


def _pair(rng: random.Random, facts: Mapping[str, HardFacts], split: str, group: int) -> list[HardQuestion]:
    """One question on a view that shows its answer and on one that does not; none where nothing fits."""
    for _ in range(_ATTEMPTS):
        types, shows, hides = rng.choices(_PAIR_KINDS, _PAIR_WEIGHTS)[0]
        name = rng.choice(types)
        shown, hidden = (rng.choices([v for v, _ in side], [w for _, w in side])[0] for side in (shows, hides))
        drawn = _drawn(rng, facts["full"], name)
        if drawn is None or drawn[1][0].startswith(_ABSENT) or not _hides(name, drawn[0], hidden):
            continue
        if hard_answers(facts[shown], name, drawn[0]) != drawn[1]:
            continue
        told = _question(rng, name, *drawn, shown, split, group)
        return [told, told._replace(view=hidden, answers=(CANNOT_TELL,), answer_type="cannot_tell")]
    return []


def _hides(name: str, subject: Subject, view: str) -> bool:
    """Whether the answer cannot be told from a view; a file of weights shows layers that have some."""
    if view == "header" and name in ("count", "count_category", "exceeds", "difference"):
        return weightless(subject[0])
    return not HARD_TYPES[name].evidence <= VIEWS[view]


def hard_row(arch_id: str, question: HardQuestion) -> dict[str, str | list[str]]:
    """The row of the config `aqa_hard` for a question."""
    return {
        "arch_id": arch_id,
        "view": question.view,
        "question": question.text,
        "question_type": question.question_type,
        "subject": ", ".join(question.subject),
        "answers": list(question.answers),
        "answer_type": question.answer_type,
        "group": f"{arch_id}-{question.group}" if question.group >= 0 else "",
    }
