"""Questions answered from the graph alone: what can be read with certainty and computed.

`computed_answer` gives the answers with the nodes that show them, or says that no graph can tell, or gives nothing:
then the question was not understood, and a model may be asked. `contradicted` says which answers of a model the graph
refutes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from .architecture_graph_archbert import ArchitectureGraph
from .graph_facts_archbert import Fact, GraphFacts
from .network_numbers_archbert import QUANTITIES, NetworkNumbers
from .network_properties_archbert import group_nodes, holds
from .number_answers_archbert import number_answer
from .number_questions_archbert import asks_number, read_number
from .ops_archbert import LAYER_CATEGORIES, op_category
from .question_reading_archbert import MAX_CHARACTERS, ReadQuestion, names_something, read_question
from .questions_archbert import (
    DILATED_CONVOLUTION,
    KERNEL_ANSWERS,
    LAYER_FUNCTIONS,
    LAYER_NAMES,
    NOTHING_OF,
    QUESTION_TYPES,
    SEPARABLE_CONVOLUTION,
    absent,
)
from .structure_answers_archbert import structure_answer
from .structure_questions_archbert import read_structure
from .topic_answers_archbert import topic_answer, topic_reason
from .topic_questions_archbert import read_topic

COMPUTED, PREDICTED, CANNOT_TELL = BASES = ("computed", "predicted", "cannot_tell")
"""What an answer rests on."""


class ComputedAnswer(NamedTuple):
    """An answer that the graph gives.

    Attributes:
        basis: `computed`, or `cannot_tell`.
        answers: the answers in words; empty where it cannot be told.
        nodes: the nodes that show them.
        question: what was understood.
        reason: why it cannot be told; else empty.
    """

    basis: str
    answers: tuple[str, ...]
    nodes: tuple[int, ...]
    question: ReadQuestion
    reason: str = ""


def computed_answer(numbers: NetworkNumbers, text: str) -> ComputedAnswer | None:
    """The answer to a question, computed; None where the question was not understood.

    Args:
        numbers: the network.
        text: one question in English.
    """
    text = without_name(text, numbers.graph)
    topic = read_topic(text)
    found = None if topic is None else topic_answer(numbers.profile, topic)
    if topic is not None and found is not None:
        read = ReadQuestion("topic", topic.topic, topic.scope)
        return ComputedAnswer(COMPUTED, found.answers, found.nodes or _nodes_of(numbers, text, found.answers), read)
    read_otherwise = _computed(numbers, text)
    if topic is None and read_otherwise is None:
        return _of_structure(numbers, text)
    if topic is None or (read_otherwise is not None and read_otherwise.question.kind in _SURE_TOO):
        return read_otherwise
    read = ReadQuestion("topic", topic.topic, topic.scope)
    return ComputedAnswer(CANNOT_TELL, (), (), read, topic_reason(numbers.profile, topic))


def _of_structure(numbers: NetworkNumbers, text: str) -> ComputedAnswer | None:
    """What the reader of order and structure makes of a question that no other reads."""
    question = read_structure(text)
    if question is None:
        return None
    found = structure_answer(numbers, question)
    read = ReadQuestion("structure", question.what, ", ".join(layer.name for layer in question.layers))
    return ComputedAnswer(COMPUTED if found.answers else CANNOT_TELL, found.answers, found.nodes, read, found.reason)


def _nodes_of(numbers: NetworkNumbers, text: str, answers: tuple[str, ...]) -> tuple[int, ...]:
    """The nodes by which another reader comes to the same answers; none where it does not."""
    other = _computed(numbers, text)
    return other.nodes if other is not None and other.answers == answers else ()


def _computed(numbers: NetworkNumbers, text: str) -> ComputedAnswer | None:
    """What the readers of layers, properties and numbers make of a question."""
    question = read_question(text)
    number = read_number(text)
    if number is not None and (question is None or question.kind in _READ_AS_NUMBERS or question.name in _OF_LAYERS):
        found = number_answer(numbers, number)
        read = ReadQuestion("number", number.name, number.scope)
        return ComputedAnswer(
            COMPUTED if found.answers else CANNOT_TELL, found.answers, found.nodes, read, found.reason
        )
    if question is None or (question.name in _OF_LAYERS and asks_number(text)):
        return None
    if question.kind == "unanswerable":
        reason = f"a computational graph does not show this ({question.name!r})"
        return ComputedAnswer(CANNOT_TELL, (), (), question, reason)
    fact = _ANSWERS[question.kind](numbers, question)
    if not fact.value:
        return ComputedAnswer(CANNOT_TELL, (), (), question, _reason(numbers, question))
    return ComputedAnswer(COMPUTED, fact.value, fact.nodes, question)


_SURE_TOO = ("number", "holds")
"""What may answer a question in words that the parts of the network do not answer: they have doubts of their own."""
_READ_AS_NUMBERS = ("number", "unanswerable", "count")
"""What the reader of numbers, which knows more wordings, may read as well."""
_OF_LAYERS = ("layer_types", "pooling_types", "activation_types", "normalization_types", "convolution_types")
"""What is no answer where a number or a size is asked for."""


def without_name(text: str, graph: ArchitectureGraph) -> str:
    """A question in which the network is called "the model" instead of by its name.

    Args:
        text: the question.
        graph: the network; its name and source are looked for, with or without what stands behind them ("-base").
    """
    if len(text) > MAX_CHARACTERS:
        return text
    names = {graph.name, graph.source, *re.split(r"[:/]", graph.source), re.sub(_CLASS_ENDING, "", graph.name)}
    for name in sorted(names, key=len, reverse=True):
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        if len(plain) < 2 or not re.search(r"[a-z]", plain) or names_something(name) or name.lower() in _ORDINARY:
            continue
        spelled = r"[-_ .]?".join(map(re.escape, plain))
        text = re.sub(rf"(?i)(?<![\w-])(?<!\d )(?:the )?{spelled}{_VARIANT}(?![\w])", "the model", text)
    return text


_CLASS_ENDING = r"(?:Model|For[A-Z]\w*|LMHeadModel)$"
_VARIANT = r"(?:[-_ ](?:base|small|large|tiny|mini|medium|huge|uncased|cased|v\d|\d+(?:\.\d+)?[bm]))*"
_ORDINARY = frozenset("model network encoder decoder module net block layer config transformers".split())


def _reason(numbers: NetworkNumbers, question: ReadQuestion) -> str:
    missing = numbers.graph.incomplete
    if missing:
        return f"the graph misses {', '.join(missing)}"
    what = QUANTITIES[question.name].noun if question.kind == "number" else question.name
    if question.kind == "number" and question.name == "flops":
        return "FLOPs are known of networks that are traced, not of files of other formats"
    where = f" in {question.subject}" if question.subject else ""
    return f"this graph does not show it with certainty: {what}{where}"


def _closed(numbers: NetworkNumbers, question: ReadQuestion) -> Fact:
    if not numbers.whole:
        return Fact(None)
    return numbers.facts.answer(question.name, question.subject)


def _number(numbers: NetworkNumbers, question: ReadQuestion) -> Fact:
    words = numbers.words(question.name, question.subject)
    return Fact(tuple(words), numbers.number(question.name, question.subject).nodes)


def _category_nodes(numbers: NetworkNumbers, category: str) -> Fact:
    if category in LAYER_CATEGORIES:
        kinds = numbers.facts.layer_types(category)
        return Fact(kinds.value, kinds.nodes)
    return Fact(None)


def _count(numbers: NetworkNumbers, question: ReadQuestion) -> Fact:
    if not numbers.whole:
        return Fact(None)
    if question.name == "layer":
        nodes = numbers.facts.nodes_of(question.subject)
    elif question.name == "group":
        nodes = group_nodes(numbers, question.subject)
    else:
        nodes = _category_nodes(numbers, question.subject).nodes
    return Fact((str(len(nodes)),), nodes)


def _holds(numbers: NetworkNumbers, question: ReadQuestion) -> Fact:
    if question.name in ("layer", "category"):
        by_layer = question.name == "layer"
        nodes = (
            numbers.facts.nodes_of(question.subject)
            if by_layer
            else tuple(n for n, op in enumerate(numbers.graph.op_types) if op_category(op) == question.subject)
        )
        fact = Fact(True, nodes) if nodes else Fact(False if numbers.whole else None)
    else:
        fact = holds(numbers, question.name)
    return Fact(None if fact.value is None else ("yes" if fact.value else "no",), fact.nodes)


def _category_types(numbers: NetworkNumbers, question: ReadQuestion) -> Fact:
    if not numbers.whole:
        return Fact(None)
    fact = _category_nodes(numbers, question.subject or question.name)
    return Fact(fact.value or (f"This model has no {question.name} layers",), fact.nodes)


def _category_kernels(numbers: NetworkNumbers, question: ReadQuestion) -> Fact:
    if not numbers.whole:
        return Fact(None)
    nodes = _category_nodes(numbers, question.name).nodes
    sizes = list(dict.fromkeys(numbers.facts.kernel_size(n) for n in nodes if numbers.facts.kernel_size(n)))
    return Fact(tuple(sizes) or (absent("a layer with a kernel"),), nodes)


_ANSWERS: dict[str, Callable[[NetworkNumbers, ReadQuestion], Fact]] = {
    "closed": _closed,
    "number": _number,
    "count": _count,
    "holds": _holds,
    "category_types": _category_types,
    "category_kernels": _category_kernels,
}
_FUNCTION_SUBJECT = {function: layer for layer, function in LAYER_FUNCTIONS.items()}


def answer_nodes(facts: GraphFacts, answer: str) -> tuple[int, ...]:
    """The nodes that an answer of the closed list speaks of; empty where the network has none."""
    if answer in KERNEL_ANSWERS:
        return tuple(n for n in range(facts.graph.num_nodes) if facts.kernel_size(n) == answer)
    return facts.nodes_of(_FUNCTION_SUBJECT.get(answer, answer))


def contradicted(facts: GraphFacts, answer: str) -> bool:
    """Whether the graph refutes an answer of the closed list (`ANSWERS`).

    A layer, its function or a kernel size that no node has is refuted, and so is the absence of what is there. In a
    graph that is not whole only the absence of what is there can be refuted.
    """
    whole = facts.graph.has_data_flow and not facts.graph.incomplete
    if answer in KERNEL_ANSWERS or answer in LAYER_NAMES or answer in _FUNCTION_SUBJECT:
        return whole and not answer_nodes(facts, answer)
    subject = answer.removeprefix(absent(""))
    if subject in (*LAYER_NAMES, DILATED_CONVOLUTION, SEPARABLE_CONVOLUTION):
        return bool(facts.nodes_of(subject))
    for question_type, nothing in NOTHING_OF.items():
        if subject == nothing and question_type in QUESTION_TYPES:
            value = facts.answer(question_type).value
            return value is not None and answer not in value
    return False
