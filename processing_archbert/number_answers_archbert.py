"""Answers to questions for a number (`number_questions_archbert`), computed from the graph, with their units."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from .architecture_graph_archbert import ArchitectureGraphError
from .graph_costs_archbert import FLOPS_PER_MULTIPLY_ADD, flops, kv_cache, weight_memory
from .graph_facts_archbert import Fact
from .network_numbers_archbert import QUANTITIES, NetworkNumbers
from .number_questions_archbert import NumberQuestion
from .ops_archbert import INPUT_OP, OUTPUT_OP

MODALITIES = ("vision", "text", "audio")
CLOSE, FAR = 0.05, 0.25
"""Parameters are said to be a number within the first share of it, and not to be it beyond the second."""
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
}  # fmt: skip
_NOUNS = {
    "embedding_size": "width of the token embeddings", "input_channels": "input channels", "classes": "output units",
    "stages": "stages", "weight_bytes": "size of the weights", "macs": "multiply-adds", "edges": "edges",
}  # fmt: skip
NAMES = (*QUANTITIES, *_NOUNS)
"""Everything that a `NumberQuestion` may ask for."""


class NumberAnswer(NamedTuple):
    """What a graph says to a question for a number.

    Attributes:
        answers: in words; empty where it cannot be told.
        nodes: the nodes that show it.
        reason: why it cannot be told; else empty.
    """

    answers: tuple[str, ...]
    nodes: tuple[int, ...] = ()
    reason: str = ""


def number_answer(numbers: NetworkNumbers, question: NumberQuestion) -> NumberAnswer:
    """The answer to a question for a number.

    Args:
        numbers: the network.
        question: as `read_number` read it.
    """
    scope = "" if question.scope in MODALITIES and _modalities(numbers) == {question.scope} else question.scope
    question = question._replace(scope=scope)
    try:
        fact, words = _value(numbers, question)
    except ArchitectureGraphError as error:
        return NumberAnswer((), (), str(error))
    if fact.value is None:
        return NumberAnswer((), (), _unknown(numbers, question))
    if question.relation:
        return _compared(fact, question)
    if fact.value == () and not words:
        words = (f"This model has no {noun(question.name)}",)
    return NumberAnswer(words, fact.nodes)


def number_values(numbers: NetworkNumbers, name: str) -> tuple[int, ...] | None:
    """The distinct values of a number of the whole network, in order; empty for none, None where they are not known.

    Args:
        numbers: the network.
        name: one of `NAMES`.
    """
    try:
        fact, _ = _value(numbers, NumberQuestion(name, relation=">"))
    except ArchitectureGraphError:
        return None
    if fact.value is None:
        return None
    values = fact.value if isinstance(fact.value, tuple) else (fact.value,)
    return tuple(sorted({int(value) for value in values}))


def noun(name: str) -> str:
    """What a number is called."""
    return _NOUNS[name] if name in _NOUNS else QUANTITIES[name].noun


def _modalities(numbers: NetworkNumbers) -> set[str]:
    return {tower.modality for tower in numbers.towers if tower.modality} if numbers.whole else set()


def _unknown(numbers: NetworkNumbers, question: NumberQuestion) -> str:
    if numbers.graph.incomplete:
        return f"the graph misses {', '.join(numbers.graph.incomplete)}"
    if question.name in ("flops", "macs"):
        return "FLOPs are known of networks that are traced, not of files of other formats"
    where = f" of the {question.scope} part" if question.scope else ""
    return f"this graph does not show it with certainty: {noun(question.name)}{where}"


def _compared(fact: Fact, question: NumberQuestion) -> NumberAnswer:
    """Yes or no, where all values agree."""
    values = fact.value if isinstance(fact.value, tuple) else (fact.value,)
    if question.relation == "=" and question.name in ("parameters", "flops", "macs", "weight_bytes"):
        off = max(abs(value / question.value - 1) for value in values) if question.value and values else 1.0
        if CLOSE < off < FAR:
            return NumberAnswer((), (), f"it is {values[0]:,}; whether that counts as the number is open")
        return NumberAnswer(("yes" if off <= CLOSE else "no",), fact.nodes)
    found = {COMPARISONS[question.relation](value, question.value) for value in values or (0,)}
    if len(found) != 1:
        return NumberAnswer((), (), f"parts of the network differ: {', '.join(f'{value:,}' for value in values)}")
    return NumberAnswer(("yes" if found.pop() else "no",), fact.nodes)


def _value(numbers: NetworkNumbers, question: NumberQuestion) -> tuple[Fact, tuple[str, ...]]:
    """The value, as `NetworkNumbers.number` gives it, and the answers in words."""
    name, scope = question.name, question.scope
    own = _OWN.get(name)
    if own is not None:
        return own(numbers, question) if not scope else (Fact(None), ())
    fact = numbers.number(name, scope)
    if name == "layers" and question.relation and fact.value:
        totals = {sum(v) if isinstance(v, tuple) else v for v in _layers(numbers, scope)}
        return Fact(tuple(sorted(totals)), fact.nodes), ()
    return fact, tuple(numbers.words(name, scope))


def _layers(numbers: NetworkNumbers, scope: str) -> list[Any]:
    return [numbers.towers[i].facts["layers"] for i in numbers.in_scope(scope)]


def _told(value: int | None, unit: str, nodes: tuple[int, ...] = ()) -> tuple[Fact, tuple[str, ...]]:
    if value is None:
        return Fact(None), ()
    return Fact((value,), nodes), (f"{value:,}{unit}",)


def _work(numbers: NetworkNumbers, question: NumberQuestion) -> tuple[Fact, tuple[str, ...]]:
    graph = numbers.graph
    if graph.costs is None:
        return Fact(None), ()
    sizes = {"sequence": question.tokens} if question.tokens else {}
    total = flops(graph, **sizes)
    traced = {**graph.costs["axes"], **graph.costs["fixed"], "batch": 1, **sizes}
    at = ", ".join(f"{axis} {_size(axis, size)}" for axis, size in traced.items())
    if question.name == "macs":
        return _told(total // FLOPS_PER_MULTIPLY_ADD, f" multiply-adds ({at})")
    return _told(total, f" FLOPs ({at})")


def _size(axis: str, size: int) -> str:
    side = round(size**0.5)
    return f"{side}x{side}" if axis == "image" and side * side == size else f"{size:,}"


def _cache(numbers: NetworkNumbers, question: NumberQuestion) -> tuple[Fact, tuple[str, ...]]:
    fact = numbers.number("kv_cache")
    if not fact.value:
        return fact, ()
    cache = kv_cache(numbers.graph, question.dtype)
    if not question.tokens:
        return _told(cache.bytes_per_token, f" bytes per token ({question.dtype})", fact.nodes)
    bounded = cache.window_bytes_per_token
    if bounded and question.tokens > min(_windows(numbers)):
        return Fact(None), ()
    size = cache.bytes_per_token * question.tokens
    return _told(size, f" bytes for {question.tokens:,} tokens ({question.dtype})", fact.nodes)


def _windows(numbers: NetworkNumbers) -> list[int]:
    return [int(window) for window in numbers.graph.attribute("window") if window]


def _weights(numbers: NetworkNumbers, question: NumberQuestion) -> tuple[Fact, tuple[str, ...]]:
    return _told(weight_memory(numbers.graph, question.dtype), f" bytes ({question.dtype})")


def _embedding_size(numbers: NetworkNumbers, question: NumberQuestion) -> tuple[Fact, tuple[str, ...]]:
    """Width of the tables of tokens."""
    fact = numbers.number("vocabulary")
    if not fact.value:
        return fact, ()
    widths = tuple(sorted({int(numbers.graph.shapes[n, 1]) for n in fact.nodes}))
    return Fact(widths or None, fact.nodes), tuple(f"{width:,}" for width in widths)


def _input_channels(numbers: NetworkNumbers, question: NumberQuestion) -> tuple[Fact, tuple[str, ...]]:
    """What the convolutions that read an input take."""
    graph = numbers.graph
    inputs = {n for n, op in enumerate(graph.op_types) if op == INPUT_OP}
    if not numbers.whole:
        return Fact(None), ()
    readers = [n for n, sources in enumerate(graph.predecessors()) if graph.op_types[n].startswith("Conv")
               and inputs & set(sources)]  # fmt: skip
    groups = graph.attribute("groups")
    found = tuple(sorted({int(graph.shapes[n, 1]) * max(int(groups[n]), 1) for n in readers}))
    return Fact(found or None, tuple(readers)), tuple(f"{value:,}" for value in found)


def _classes(numbers: NetworkNumbers, question: NumberQuestion) -> tuple[Fact, tuple[str, ...]]:
    """Units of the linear layer that gives the only output; not known where another layer does."""
    graph = numbers.graph
    outputs = [n for n, op in enumerate(graph.op_types) if op == OUTPUT_OP]
    sources = [n for output in outputs for n in graph.predecessors()[output]]
    if not numbers.whole or len(sources) != 1 or graph.op_types[sources[0]] != "Linear":
        return Fact(None), ()
    return _told(int(graph.shapes[sources[0], 0]) or None, "", tuple(sources))


def _stages(numbers: NetworkNumbers, question: NumberQuestion) -> tuple[Fact, tuple[str, ...]]:
    found = _layers(numbers, "") if numbers.whole else []
    if len(found) != 1 or not isinstance(found[0], tuple):
        return Fact(None), ()
    return _told(len(found[0]), "", numbers.number("layers").nodes)


def _edges(numbers: NetworkNumbers, question: NumberQuestion) -> tuple[Fact, tuple[str, ...]]:
    return _told(numbers.graph.num_edges, "") if numbers.whole else (Fact(None), ())


def _terminals(numbers: NetworkNumbers, question: NumberQuestion) -> tuple[Fact, tuple[str, ...]]:
    """How many inputs or outputs there are; or which: an input by its name, an output by the node that makes it."""
    graph, fact = numbers.graph, numbers.number(question.name)
    if not question.listed or fact.value is None:
        return fact, tuple(numbers.words(question.name))
    if question.name == "inputs":
        return fact, tuple(graph.node_names[n] for n in fact.nodes)
    made = [source for n in fact.nodes for source in graph.predecessors()[n]]
    return fact, tuple(f"{graph.node_names[n]} ({graph.op_types[n]})" for n in made)


_OWN: dict[str, Callable[[NetworkNumbers, NumberQuestion], tuple[Fact, tuple[str, ...]]]] = {
    "flops": _work, "macs": _work, "kv_cache": _cache, "weight_bytes": _weights, "embedding_size": _embedding_size,
    "input_channels": _input_channels, "classes": _classes, "stages": _stages, "edges": _edges, "inputs": _terminals,
    "outputs": _terminals,
}  # fmt: skip
"""What is answered here and not by `NetworkNumbers.words`."""
