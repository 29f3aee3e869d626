"""Question types of `aqa_hard`: what is asked, what a graph must show for it, and the answer.

A type draws a subject (a tuple of words and numbers) from the facts of a graph and answers any subject for any graph.
Draws are balanced so that the question gives little of the answer away; the priors stand in the card.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from processing_archbert.questions_archbert import (
    DILATED_CONVOLUTION,
    LAYER_NAMES,
    SEPARABLE_CONVOLUTION,
    absent,
)

from .hard_facts_autonet import POSITIONS, HardFacts, is_round_size, two_digits
from .hard_views_autonet import DATA_FLOW, LAYERS, NUMBERS, PARAMETERS
from .layer_phrases_autonet import layer_category

CANNOT_TELL = "cannot tell"
"""The answer to a question whose evidence the graph does not hold."""

Subject = tuple[str, ...]
Answers = tuple[str, ...]
Draw = Callable[[random.Random, HardFacts], Subject | None]
Answer = Callable[..., Answers | None]


class HardType(NamedTuple):
    """A question type.

    Attributes:
        answer_type: `name` (of layers and operations), `number`, `yes_no` or `kernel`; a row may have `absent` or
            `cannot_tell` instead.
        evidence: what a view has to show (`hard_views_autonet`) for the answer to be known.
        weight: how often it is drawn, relative to the others.
        draw: subject of a question to an architecture; None where it has none.
        answer: answers for facts and the subject; None where they are not settled.
    """

    answer_type: str
    evidence: frozenset[str]
    weight: int
    draw: Draw
    answer: Answer


CATEGORIES = ("convolution", "pooling", "normalization", "activation")
"""Categories whose layers are counted together."""

_SIZED = ("Linear", "Conv2d", "Conv1d")
_WEIGHTLESS = ("pooling", "activation", "softmax")
_COMMON_ABSENT = ("Conv2d", "BatchNorm2d", "ReLU", "GELU", "LayerNorm", "Linear", "MaxPool2d", "AvgPool2d", "Softmax",
                  "scaled_dot_product_attention", "SiLU", "GroupNorm", "Conv1d", "Dil_conv2d")  # fmt: skip


def _number(value: int | None) -> Answers | None:
    return None if value is None else (str(value),)


def _yes_no(value: bool) -> Answers:
    return ("yes" if value else "no",)


def _choice(rng: random.Random, values: Iterable[str]) -> str | None:
    options = list(values)
    return rng.choice(options) if options else None


def _kinds(facts: HardFacts, least: int, kinds: Iterable[str] = LAYER_NAMES) -> list[str]:
    """Kinds of which the network has at least so many layers."""
    return [kind for kind in kinds if len(facts.facts.nodes_of(kind)) >= least]


def _draw_count(rng: random.Random, facts: HardFacts) -> Subject | None:
    kind = _choice(rng, _kinds(facts, 3))
    if rng.random() < 0.08:
        kind = _choice(rng, [k for k in _COMMON_ABSENT if not facts.facts.nodes_of(k)])
    return (kind,) if kind else None


def _draw_category(rng: random.Random, facts: HardFacts) -> Subject | None:
    category = _choice(rng, [c for c in CATEGORIES if len(facts.facts.layer_types(c).nodes) >= 3])
    return (category,) if category else None


def _convolutions(facts: HardFacts) -> tuple[int, ...]:
    return facts.facts.layer_types("convolution").nodes


def _draw_kernel_count(rng: random.Random, facts: HardFacts) -> Subject | None:
    sizes = [facts.facts.kernel_size(node) for node in _convolutions(facts)]
    size = _choice(rng, sorted({size for size in sizes if size and sizes.count(size) >= 2}))
    return (size,) if size else None


def _kernel_count(facts: HardFacts, size: str) -> Answers | None:
    return _number(sum(facts.facts.kernel_size(node) == size for node in _convolutions(facts)))


def _draw_exceeds(rng: random.Random, facts: HardFacts) -> Subject | None:
    kind = _choice(rng, _kinds(facts, 2))
    if kind is None:
        return None
    count = len(facts.facts.nodes_of(kind))
    shift = rng.randint(0, max(1, count // 3))
    limit = count - 1 - shift if rng.random() < 0.5 else count + shift
    return (kind, str(limit)) if limit > 0 else None


def _draw_difference(rng: random.Random, facts: HardFacts) -> Subject | None:
    kinds = _kinds(facts, 1)
    pairs = [(a, b) for a in kinds for b in kinds if _more(facts, a, b) > 0]
    return rng.choice(pairs) if pairs else None


def _more(facts: HardFacts, kind: str, than: str) -> int:
    return len(facts.facts.nodes_of(kind)) - len(facts.facts.nodes_of(than))


def _draw_position(rng: random.Random, facts: HardFacts, kinds: Iterable[str] = LAYER_NAMES) -> Subject | None:
    """A kind of which there are three or more, and a settled position."""
    kind = _choice(rng, _kinds(facts, 3, kinds))
    position = _choice(rng, [p for p in POSITIONS if kind and facts.at(kind, p) is not None])
    return (kind, position) if kind and position else None


def _draw_step(rng: random.Random, facts: HardFacts) -> Subject | None:
    """Position and kind; now and then of a kind that is not there."""
    if rng.random() < 0.12:
        kind = _choice(rng, [k for k in _COMMON_ABSENT if not facts.facts.nodes_of(k)])
        return (kind, rng.choice(list(POSITIONS))) if kind else None
    subject = _draw_position(rng, facts)
    return None if subject == ("Linear", "last") else subject


def _after(facts: HardFacts, kind: str, position: str) -> Answers | None:
    if not facts.facts.nodes_of(kind):
        return (absent(kind),)
    node = facts.at(kind, position)
    return None if node is None else facts.named(facts.facts.successors[node])


def _before(facts: HardFacts, kind: str, position: str) -> Answers | None:
    if not facts.facts.nodes_of(kind):
        return (absent(kind),)
    node = facts.at(kind, position)
    return None if node is None else facts.named(facts.facts.predecessors[node])


def _depth_of(facts: HardFacts, kind: str, position: str) -> Answers | None:
    node = facts.at(kind, position)
    return None if node is None else _number(facts.depth(node))


def _draw_block_after(rng: random.Random, facts: HardFacts) -> Subject | None:
    ordinal = rng.choice(list(POSITIONS))
    kind = _choice(rng, [k for k in _kinds(facts, 2) if facts.last_in_block(ordinal, k) is not None])
    return (kind, ordinal) if kind else None


def _block_after(facts: HardFacts, kind: str, ordinal: str) -> Answers | None:
    node = facts.last_in_block(ordinal, kind)
    return None if node is None else facts.named(facts.facts.successors[node])


def _block_layers(facts: HardFacts) -> Answers | None:
    block = facts.main_block
    return _number(len(facts.in_block(0, facts.facts.num_layers().nodes))) if block else None


def _draw_skip(rng: random.Random, facts: HardFacts) -> Subject | None:
    position = _choice(rng, [p for p in POSITIONS if facts.skip(p) is not None])
    return (position,) if position else None


def _skip_span(facts: HardFacts, position: str) -> Answers | None:
    skip = facts.skip(position)
    return None if skip is None else _number(len(facts.layers_among(skip.inside)))


def _skip_layers(facts: HardFacts, position: str) -> Answers | None:
    skip = facts.skip(position)
    return None if skip is None else facts.named(facts.layers_among(skip.inside))


def _parameters(facts: HardFacts) -> Answers | None:
    count = facts.graph.num_parameters
    return _number(two_digits(count)) if count >= 100 else None


def _draw_parameters_exceed(rng: random.Random, facts: HardFacts) -> Subject | None:
    count, factor = facts.graph.num_parameters, rng.uniform(1.1, 2.0)
    limit = two_digits(int(count / factor if rng.random() < 0.5 else count * factor))
    return (str(limit),) if limit >= 1000 and not 0.97 < limit / count < 1.03 else None


def _draw_width(rng: random.Random, facts: HardFacts) -> Subject | None:
    """A kind of which there are three or more, and a settled position of a layer of round size."""
    kind = _choice(rng, _kinds(facts, 3, _SIZED))
    nodes = {position: facts.at(kind, position) for position in POSITIONS} if kind else {}
    sizes = {position: int(facts.graph.shapes[node, 0]) for position, node in nodes.items() if node is not None}
    position = _choice(rng, [position for position, size in sizes.items() if is_round_size(size)])
    return (kind, position) if kind and position else None


def _width(facts: HardFacts, kind: str, position: str) -> Answers | None:
    node = facts.at(kind, position)
    size = 0 if node is None else int(facts.graph.shapes[node, 0])
    return _number(size) if size else None


def _draw_extreme(rng: random.Random, facts: HardFacts) -> Subject | None:
    sizes = {kind: facts.sizes(kind) for kind in _kinds(facts, 3, _SIZED)}
    extremes = [(kind, "largest") for kind in sizes if is_round_size(max(sizes[kind]))]
    extremes += [(kind, "smallest") for kind in sizes if is_round_size(min(sizes[kind]))]
    return rng.choice(extremes) if extremes else None


def _extreme(facts: HardFacts, kind: str, which: str) -> Answers | None:
    sizes = facts.sizes(kind)
    return _number((max if which == "largest" else min)(sizes)) if sizes and all(sizes) else None


def _draw_kernel(rng: random.Random, facts: HardFacts) -> Subject | None:
    kinds = [k for k in LAYER_NAMES if layer_category(k) in ("convolution", "pooling")]
    return _draw_position(rng, facts, [k for k in kinds if len(facts.facts.kernel_sizes(k).value) >= 2])


def _kernel(facts: HardFacts, kind: str, position: str) -> Answers | None:
    node = facts.at(kind, position)
    size = "" if node is None else facts.facts.kernel_size(node)
    return (size,) if size else None


class _Setting(NamedTuple):
    """Something that only some networks have: its values, what is missing else, and how rare it is."""

    values: Callable[[HardFacts], Answers | None]
    nothing: str
    absent_weight: float


def _column(name: str, kinds: tuple[str, ...] = (), least: int = 1) -> Callable[[HardFacts], Answers | None]:
    """Values of an attribute (of some kinds of layers); empty without such layers, None where a value is missing."""

    def values(facts: HardFacts) -> Answers | None:
        column = facts.graph.attribute(name)
        nodes = [n for kind in kinds for n in facts.facts.nodes_of(kind)] if kinds else np.flatnonzero(column).tolist()
        found = sorted({int(column[node]) for node in nodes})
        settled = len(found) <= 3 and all(value >= least for value in found)
        return tuple(map(str, found)) if settled else None

    return values


def _attention(name: str) -> Callable[[HardFacts], Answers | None]:
    column = _column(name)
    return lambda facts: column(facts) or (() if not facts.has_attention else None)


def _dilations(facts: HardFacts) -> Answers | None:
    rates = {axis: facts.graph.attribute(f"dilation_{axis}") for axis in "hw"}
    if ((rates["h"] > 1) != (rates["w"] > 1)).any() or (rates["h"] > 1).sum() != len(
        facts.facts.nodes_of(DILATED_CONVOLUTION)
    ):
        return None
    return _column("dilation_h", (DILATED_CONVOLUTION,), 2)(facts)


_RECURRENT = ("LSTM", "GRU", "RNN")
SETTINGS: Mapping[str, _Setting] = {
    "heads": _Setting(_attention("num_heads"), "an attention layer", 0.5),
    "key and value heads": _Setting(_attention("num_kv_heads"), "an attention layer", 0.5),
    "head size": _Setting(_attention("head_dim"), "an attention layer", 0.5),
    "groups": _Setting(_column("groups", ("GroupNorm",)), "GroupNorm", 0.2),
    "dilation": _Setting(_dilations, DILATED_CONVOLUTION, 0.1),
    "stacked layers": _Setting(_column("num_layers", _RECURRENT), "a recurrent layer", 0.05),
    "pooling stride": _Setting(_column("stride_h", ("MaxPool2d",)), "MaxPool2d", 0.2),
    "shuffle factor": _Setting(_column("scale", ("PixelShuffle",)), "PixelShuffle", 0.02),
}
"""Setting that a question may presuppose -> its values, and the answer where there is nothing to have it."""


def _draw_setting(rng: random.Random, facts: HardFacts) -> Subject | None:
    options, weights = [], []
    for name, setting in SETTINGS.items():
        values = setting.values(facts)
        if values is not None and all(is_round_size(int(value)) for value in values):
            options.append(name)
            weights.append(1.0 if values else setting.absent_weight)
    return (rng.choices(options, weights)[0],) if options else None


def _setting(facts: HardFacts, name: str) -> Answers | None:
    values = SETTINGS[name].values(facts)
    return None if values is None else values or (absent(SETTINGS[name].nothing),)


UNKNOWABLE: dict[str, tuple[str, ...]] = {
    "train": ("optimizer", "data", "accuracy", "learning rate", "batch size", "epochs", "time", "loss", "licence",
              "authors", "seed", "hardware"),
    "validation": ("weight decay", "dropout", "precision", "year"),
}  # fmt: skip
"""What no graph shows, by the first split that asks for it."""


def _draw_block_repeats(rng: random.Random, facts: HardFacts) -> Subject | None:
    return () if facts.main_block and is_round_size(facts.main_block.repeats) else None


_FLOW, _COUNTS, _SIZES = frozenset((DATA_FLOW, LAYERS)), frozenset((LAYERS,)), frozenset((NUMBERS, LAYERS))
_ORDERED_SIZES = _FLOW | _SIZES


def _nothing(rng: random.Random, facts: HardFacts) -> Subject | None:
    return ()


HARD_TYPES: dict[str, HardType] = {
    "count": HardType("number", _COUNTS, 3, _draw_count, lambda f, k: _number(f.facts.count(k).value)),
    "count_category": HardType(
        "number", _COUNTS, 2, _draw_category, lambda f, c: _number(len(f.facts.layer_types(c).nodes))
    ),
    "count_kernel": HardType("number", _SIZES, 2, _draw_kernel_count, _kernel_count),
    "exceeds": HardType(
        "yes_no", _COUNTS, 2, _draw_exceeds, lambda f, k, n: _yes_no(f.facts.count(k).value > int(n))
    ),
    "difference": HardType("number", _COUNTS, 2, _draw_difference, lambda f, a, b: _number(_more(f, a, b))),
    "after": HardType("name", _FLOW, 4, _draw_step, _after),
    "before": HardType("name", _FLOW, 3, _draw_step, _before),
    "depth_of": HardType("number", _FLOW, 2, _draw_position, _depth_of),
    "longest_path": HardType(
        "number", _FLOW, 1, _nothing, lambda f: _number(int(f.graph.depths.max()) if f.graph.num_edges else None)
    ),
    "block_after": HardType("name", _ORDERED_SIZES, 3, _draw_block_after, _block_after),
    "block_repeats": HardType(
        "number", _ORDERED_SIZES, 1, _draw_block_repeats,
        lambda f: _number(f.main_block.repeats if f.main_block else None),
    ),
    "block_layers": HardType("number", _ORDERED_SIZES, 1, _nothing, _block_layers),
    "skip_count": HardType("number", _FLOW, 1, _nothing, lambda f: _number(len(f.skips) or None)),
    "skip_span": HardType("number", _FLOW, 2, _draw_skip, _skip_span),
    "skip_layers": HardType("name", _FLOW, 2, _draw_skip, _skip_layers),
    "parameters": HardType("number", frozenset((PARAMETERS,)), 1, _nothing, _parameters),
    "parameters_exceed": HardType(
        "yes_no", frozenset((PARAMETERS,)), 2, _draw_parameters_exceed,
        lambda f, n: _yes_no(f.graph.num_parameters > int(n)),
    ),
    "heaviest": HardType(
        "name", frozenset((PARAMETERS, LAYERS)), 1, _nothing, lambda f: (kind,) if (kind := f.heaviest()) else None
    ),
    "width": HardType("number", _ORDERED_SIZES, 2, _draw_width, _width),
    "extreme_width": HardType("number", _SIZES, 2, _draw_extreme, _extreme),
    "kernel": HardType("kernel", _ORDERED_SIZES, 2, _draw_kernel, _kernel),
    "setting": HardType("number", _SIZES, 4, _draw_setting, _setting),
}  # fmt: skip
"""Name -> type, without `unknowable`, whose answer is always `CANNOT_TELL`."""

UNKNOWABLE_TYPE = "unknowable"
ANSWER_TYPES = ("name", "number", "yes_no", "kernel", "absent", "cannot_tell")


def weightless(kind: str) -> bool:
    """Whether layers of a kind, or of a category, have no weights, so that no file of weights shows them."""
    learned = ("PReLU", "XIELU", SEPARABLE_CONVOLUTION)
    category = kind if kind in CATEGORIES else layer_category(kind)
    return category in _WEIGHTLESS and kind not in learned and kind != "activation"
