"""Questions and captions of AutoNet's kinds for real networks: the configs `aqa`, `aqa_hard` and `captions`.

Of `aqa_hard` the view `header` is left out: it takes the network itself, and the data set holds graphs only. Pairs
that would need it are left out as a whole, so that half of the rows of pairs stay answered.
"""

from __future__ import annotations

import random
from typing import Any

from dataset_scripts.autonet.captions_autonet import write_captions
from dataset_scripts.autonet.hard_questions_autonet import HardQuestion, hard_row, sample_hard_questions
from dataset_scripts.autonet.hard_views_autonet import without_attributes, without_edges
from dataset_scripts.autonet.questions_autonet import sample_questions
from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.graph_facts_archbert import GraphFacts

MAX_NODES = 6000
"""Larger graphs have no questions of `aqa_hard`: what stands between all their nodes would have to be kept."""
REAL_VIEWS = ("full", "no_edges", "no_attributes")
_LEFT_OUT = "header"


def question_rows(arch_id: str, facts: GraphFacts, split: str, seed: int) -> list[dict[str, Any]]:
    """Rows of `aqa` for one network; none for an incomplete graph.

    Args:
        arch_id: identifier of the network.
        facts: facts of its graph.
        split: wordings of `train`, or of `validation` and `test`.
        seed: of the draws.
    """
    if facts.graph.incomplete:
        return []
    rng = random.Random(f"{seed}/{arch_id}/aqa")
    return [
        {"arch_id": arch_id, "question": q.text, "question_type": q.question_type, "subject": q.subject,
         "answers": list(q.answers)}
        for q in sample_questions(rng, facts, split=split)
    ]  # fmt: skip


def hard_question_rows(arch_id: str, graph: ArchitectureGraph, split: str, seed: int) -> list[dict[str, Any]]:
    """Rows of `aqa_hard` for one network, none for an incomplete or a very large one; arguments as `question_rows`."""
    if graph.incomplete or graph.num_nodes > MAX_NODES:
        return []
    rng = random.Random(f"{seed}/{arch_id}/hard")
    bare = without_edges(graph)
    views = {"full": graph, "no_edges": bare, "no_attributes": without_attributes(graph), _LEFT_OUT: bare}
    questions = sample_hard_questions(rng, views, split)
    lost = {q.group for q in questions if q.view == _LEFT_OUT and q.group >= 0}
    kept = [_seen(rng, q) for q in questions if q.group not in lost]
    return [hard_row(arch_id, question) for question in kept]


def _seen(rng: random.Random, question: HardQuestion) -> HardQuestion:
    """A question that no view answers may be put to any view."""
    return question._replace(view=rng.choice(REAL_VIEWS)) if question.view == _LEFT_OUT else question


def caption_rows(arch_id: str, facts: GraphFacts, seed: int) -> list[dict[str, Any]]:
    """Rows of `captions` for one network; none for an incomplete graph. Arguments as `question_rows`."""
    if facts.graph.incomplete:
        return []
    rng = random.Random(f"{seed}/{arch_id}/captions")
    return [{"arch_id": arch_id, **caption._asdict()} for caption in write_captions(rng, facts)]
