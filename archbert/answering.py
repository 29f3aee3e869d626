"""Questions about one network: computed where the graph shows the answer, else predicted, else not told.

A prediction that the graph contradicts is dropped, so that no answer disagrees with what the graph shows.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.computed_answers_archbert import (
    CANNOT_TELL,
    PREDICTED,
    answer_nodes,
    computed_answer,
    contradicted,
    without_name,
)
from processing_archbert.network_numbers_archbert import NetworkNumbers
from processing_archbert.number_questions_archbert import asks_number, asks_yes_or_no
from processing_archbert.pipeline_archbert import NOT_SHOWN
from processing_archbert.question_reading_archbert import names_something
from processing_archbert.questions_archbert import KERNEL_ANSWERS

MIN_PROBABILITY = 0.5
_CANDIDATES = 20
_KERNEL = re.compile(r"\bkernels?\b", re.IGNORECASE)
_NOT_COUNTED = (
    "it asks for a number that could not be read with certainty; what is computed: parameters, FLOPs, layers, heads, "
    "sizes, vocabulary, cache, window, experts, inputs and outputs of the whole network or of its encoder, decoder, "
    "text or vision part"
)
_HOW_MANY = re.compile(r"\bhow (?:many|far|often|long)\b", re.IGNORECASE)
_ORDINAL = re.compile(
    r"\b(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last|\d+(?:st|nd|rd|th))\b", re.IGNORECASE
)
_NOT_PLACED = "it asks about one layer or block among several, and could not be read with certainty"
_NOT_DECIDED = "it asks for yes or no, and what it asks about could not be read with certainty"
_EXAMPLES = '"Which pooling is used?" or "How many layers are there?"'


def read_by_checkpoint(topic: str) -> str:
    """What an answer that stands with `Answered.read_as` rests on, as a sentence."""
    return f"Read by the checkpoint as a question on {topic.replace('_', ' ')}, and looked up in the graph."


class Answer(NamedTuple):
    """One answer, and its probability where it is predicted."""

    text: str
    probability: float | None = None


@dataclass(frozen=True)
class Answered:
    """A question with its answers.

    Attributes:
        question: the question.
        basis: `computed`, `predicted` or `cannot_tell`.
        answers: the answers; none where it cannot be told.
        evidence: names of the nodes that show them.
        nodes: their indices in the graph.
        reason: why it cannot be told; else empty.
        read_as: the topic that a checkpoint takes the question for, where the answer rests on that; else empty. The
            answer is then looked up in the graph, and its probability is that of the reading.
    """

    question: str
    basis: str
    answers: tuple[Answer, ...]
    evidence: tuple[str, ...] = ()
    nodes: tuple[int, ...] = ()
    reason: str = ""
    read_as: str = ""

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of plain values."""
        plain = asdict(self)
        plain["answers"] = [{"answer": a.text, "probability": a.probability} for a in self.answers]
        return plain


class Answerer:
    """Answers questions about one network.

    Args:
        graph: the network.
        model: the checkpoint for questions that cannot be computed: a folder, a Hub id, or empty for the one of
            `archbert.cli_sources.find_model`; None for none.
        predictor: the pipeline of questions of a checkpoint that is loaded already; by default it is loaded when a
            question needs it.
    """

    def __init__(self, graph: ArchitectureGraph, model: str | None = "", predictor: Any = None) -> None:
        self.graph = graph
        self.numbers = NetworkNumbers(graph)
        self.model = model
        self._given = predictor

    @cached_property
    def _pipeline(self) -> Any:
        if self._given is not None:
            return self._given
        from . import pipeline
        from .cli_sources import QUESTIONS_MODEL_NAME, find_model, load_checkpoint

        found = find_model(self.model, QUESTIONS_MODEL_NAME)
        model, processor = load_checkpoint(found, "AutoModelForSequenceClassification")
        return pipeline(model=model, processor=processor, device="cpu")

    def answer(self, question: str) -> Answered:
        """The answers to a question in English.

        Raises:
            CommandError: the checkpoint is needed and cannot be loaded.
        """
        computed = computed_answer(self.numbers, question)
        if computed is not None:
            answers = tuple(Answer(text) for text in computed.answers)
            return self._answered(question, computed.basis, answers, computed.nodes, computed.reason)
        looked_up = self._looked_up(question) if self.model is not None else None
        if looked_up is not None:
            return looked_up
        if asks_number(question) and (not _KERNEL.search(question) or _HOW_MANY.search(question)):
            return Answered(question, CANNOT_TELL, (), reason=_NOT_COUNTED)
        if asks_yes_or_no(question):
            return Answered(question, CANNOT_TELL, (), reason=_NOT_DECIDED)
        if _ORDINAL.search(question):
            return Answered(question, CANNOT_TELL, (), reason=_NOT_PLACED)
        if not names_something(question):
            reason = f"the question names nothing that a network has; ask in English, such as {_EXAMPLES}"
            return Answered(question, CANNOT_TELL, (), reason=reason)
        if self.model is None:
            return Answered(
                question, CANNOT_TELL, (), reason="it could not be read with certainty, and no model is asked"
            )
        return self._predicted(question)

    def _looked_up(self, question: str) -> Answered | None:
        """What a checkpoint takes a question for, looked up in the graph; None where it takes it for nothing."""
        from .cli_output import CommandError

        try:
            found = self._pipeline({"architecture": self.graph, "question": without_name(question, self.graph)})
        except CommandError:  # no checkpoint at hand: a question that cannot do without says so
            return None
        topic, score = found[0].get("topic", ""), float(found[0]["score"])
        if not topic:
            return None
        if found[0]["answer"] == NOT_SHOWN:
            reason = "this graph does not show it with certainty"
            return Answered(question, CANNOT_TELL, (), reason=reason, read_as=topic)
        answers = tuple(Answer(one["answer"], round(score, 4)) for one in found)
        return Answered(question, PREDICTED, answers, read_as=topic)

    def _predicted(self, question: str) -> Answered:
        given = self._pipeline({"architecture": self.graph, "question": question}, top_k=_CANDIDATES)
        likely = [Answer(a["answer"], round(a["score"], 4)) for a in given if a["score"] > MIN_PROBABILITY]
        if asks_number(question):  # for a size of kernels
            likely = [answer for answer in likely if answer.text in KERNEL_ANSWERS]
        kept = tuple(answer for answer in likely if not contradicted(self.numbers.facts, answer.text))
        if not kept:
            reason = (
                "what the checkpoint predicts is contradicted by the graph"
                if likely
                else "no answer of the checkpoint reaches a probability of one half"
            )
            return Answered(question, CANNOT_TELL, (), reason=reason)
        nodes = tuple(sorted({n for a in kept for n in answer_nodes(self.numbers.facts, a.text)}))
        return self._answered(question, PREDICTED, kept, nodes)

    def _answered(
        self, question: str, basis: str, answers: tuple[Answer, ...], nodes: tuple[int, ...], reason: str = ""
    ) -> Answered:
        names = self.graph.node_names
        evidence = tuple(names[n] or self.graph.op_types[n] for n in nodes)
        return Answered(question, basis, answers, evidence, tuple(int(n) for n in nodes), reason)
