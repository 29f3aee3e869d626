"""Reads questions on order and structure: what follows, how deep, which block, how many more; certain, or silent.

A question is cut into marks (`structure_words_archbert`). It is read where they make one rule of this file come true
and every word between them changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from .number_questions_archbert import asks_yes_or_no
from .question_reading_archbert import MAX_CHARACTERS
from .structure_words_archbert import Mark, marks_of


class LayerSubject(NamedTuple):
    """Layers that a question is about.

    Attributes:
        kind: `layer`, `category`, or `group` (of `network_properties_archbert.LAYER_GROUPS`).
        name: which one.
        ordinal: which of them, from 0, from the end where negative; None for all, or for the only one.
    """

    kind: str
    name: str
    ordinal: int | None = None


class StructureQuestion(NamedTuple):
    """A question on order and structure.

    Attributes:
        what: one of `structure_answers_archbert.ANSWERS`.
        layers: the layers that it names, in the order that counts.
        block: which repetition of the main block, or which skip connection; None for none.
        value: kernel, relation and number (`> 36`), or extreme (`largest`); else empty.
        layers_only: whether only layers are wanted, where operations may be the answer.
    """

    what: str
    layers: tuple[LayerSubject, ...] = ()
    block: int | None = None
    value: str = ""
    layers_only: bool = False


_LAYERS, _BLOCKS = ("layer", "category", "group"), ("block", "main_block")
_WORDS = frozenset(
    "a an the this of in on to for is are was be does do did has have having it its there what which name tell give "
    "me please s model use uses used using that exactly and found contain contains with "
    "show state".split()
)
"""Words that change nothing in any of these questions."""
_DIRECTION: dict[str, tuple[str, str]] = {
    "after": ("after", "before"), "follow": ("after", "before"), "read": ("after", "before"),
    "preceded_by": ("after", "before"), "fed_by": ("after", "before"), "input": ("before", ""),
    "before": ("before", "after"), "precede": ("before", "after"), "feed": ("before", "after"),
    "successor": ("after", ""), "predecessor": ("before", ""), "applied_to": ("after", "before"),
    "supply": ("before", ""), "followed_by": ("before", "after"),
    "consumed_by": ("before", "after"), "go": ("before", "after"),
}  # fmt: skip
"""Word -> what is asked for where it stands before the layer ("what follows X"), and behind it ("X follows what")."""
_BESIDE = {"read": "as_input", "supply": "own_input", "input": "produce"}
"""Word -> what may stand beside it: "takes the output of X as its input", "gives X its input"."""
_VERB_WORDS = frozenset(
    "comes come right directly immediately straight just next single operation operations op node where whose gets as "
    "from goes direct immediate applied then".split()
)
_PLACES = frozenset("at lies lie sits sit located".split())
_DEPTH_WORDS = _PLACES | frozenset("how long leads lead leading through length ends end ending along".split())
_COUNT_WORDS = frozenset("how all whose than by we here those present work works slide slides size".split())
_REPEATING = frozenset(("times", "repeat", "occur", "row", "stack"))
_SKIP_WORDS = frozenset("over list lie lies stand stands by".split())
_BLOCK_WORDS = frozenset(
    "one each every single how large big size hold holds consist consists make up makes equal stand stands come comes "
    "run runs executed applied".split()
)


class _Read(NamedTuple):
    """A question that is cut: its marks by kind, its concepts and the words between."""

    marks: list[Mark]
    layers: list[Mark]
    parts: list[Mark]
    concepts: list[str]
    words: frozenset[str]
    closed: bool

    def harmless(self, extra: frozenset[str] = frozenset()) -> bool:
        return self.words <= _WORDS | extra

    def others(self, *kinds: str) -> bool:
        """Whether there are marks of other kinds than layers, concepts, words and these."""
        return any(mark.kind not in (*_LAYERS, "concept", "word", *kinds) for mark in self.marks)


def read_structure(text: str) -> StructureQuestion | None:
    """What a question on order or structure asks, where that can be read with certainty; else None.

    Args:
        text: one question in English.
    """
    marks = marks_of(text) if len(text) <= MAX_CHARACTERS else []
    layers = [mark for mark in marks if mark.kind in _LAYERS]
    parts = [mark for mark in marks if mark.kind in ("block", "main_block", "skip")]
    concepts = [mark.name for mark in marks if mark.kind == "concept"]
    words = frozenset(mark.name for mark in marks if mark.kind == "word")
    if not (concepts or layers) or any(a in layers and b in layers for a, b in pairwise(marks)):
        return None
    read = _Read(marks, layers, parts, concepts, words, asks_yes_or_no(text))
    found = [question for rule in (_CLOSED if read.closed else _OPEN) if (question := rule(read)) is not None]
    return found[0] if len(found) == 1 else None


def _subject(mark: Mark) -> LayerSubject:
    return LayerSubject(mark.kind, mark.name, mark.ordinal)


def _neighbour(read: _Read) -> StructureQuestion | None:
    """What comes right after, or before, a layer."""
    verbs = [name for name in read.concepts if name in _DIRECTION]
    wanted = [name for name in read.concepts if name in ("layers", "kinds")]
    blocks = [part for part in read.parts if part.kind != "skip"]
    if len(verbs) != 1 or len(read.layers) != 1 or len(wanted) > 1 or len(blocks) > 1 or read.others(*_BLOCKS):
        return None
    verb, layer, beside = verbs[0], read.layers[0], _BESIDE.get(verbs[0], "")
    if set(read.concepts) - {verb, beside, "output", *wanted} or not read.harmless(_VERB_WORDS) or layer.plural:
        return None
    if verb == "supply" and beside not in read.concepts:
        return None
    if any(block.ordinal is None for block in blocks) or ("from" in read.words and verb != "input"):
        return None
    places = {mark.name: place for place, mark in enumerate(read.marks) if mark.kind == "concept"}
    if wanted and not _asked_for(read.marks[: places[wanted[0]]]):
        return None
    what = _DIRECTION[verb][0 if places[verb] < read.marks.index(layer) else 1]
    whose = "whose" in read.words
    if not what or ("output" in read.concepts and what != ("before" if whose else "after")):
        return None
    return StructureQuestion(what, (_subject(layer),), blocks[0].ordinal if blocks else None, "", bool(wanted))


def _asked_for(before: list[Mark]) -> bool:
    """Whether the layers behind these marks are asked for ("which layer", "name the layers"), and not told."""
    asks = bool(before) and before[-1].name in ("which", "what")
    return asks or (len(before) <= 3 and all(mark.kind == "word" for mark in before))


def _depth(read: _Read) -> StructureQuestion | None:
    """Steps of the longest path, through the network or to a layer."""
    if read.others() or not read.harmless(_DEPTH_WORDS) or not {"path", "depth"} & set(read.concepts):
        return None
    concepts = set(read.concepts) - {"count"}
    if not read.layers and concepts == {"path", "layers"} and "count" in read.concepts:
        return StructureQuestion("path_layers")
    if not concepts <= {"path", "depth", "steps"} or len(read.layers) > 1:
        return None
    if not read.layers:
        if "path" not in concepts and "steps" not in concepts:
            return None
        return StructureQuestion("longest_path")
    if read.layers[0].plural or not (concepts & {"path", "steps"} or read.words & _PLACES):
        return None  # "the depth of a convolution" may be its channels
    return StructureQuestion("depth_of", (_subject(read.layers[0]),))


def _size(read: _Read) -> StructureQuestion | None:
    """Output features, kernel, stride, dilation or groups: of one layer by its place, or all values."""
    names = [name for name in read.concepts if name in _SIZES]
    extremes = [name for name in read.concepts if name in ("largest", "smallest")]
    if not names and {"features", "produce"} <= set(read.concepts):
        names = ["width"]
    beside = {"width": {"features", "produce"}, "groups": {"features"}}.get(names[0] if names else "", set())
    left = set(read.concepts) - {*names, *extremes, *beside, "count"}
    if len(set(names)) != 1 or len(extremes) > 1 or left or read.others() or len(read.layers) > 1:
        return None
    name = names[0]
    if not read.harmless(_SIZES[name]):
        return None
    if not read.layers:
        return StructureQuestion("dilation") if name == "dilation" and not extremes else None
    layer = read.layers[0]
    if name in ("width", "linear_width"):
        if (name == "linear_width" and layer.name != "Linear") or (extremes and layer.ordinal is not None):
            return None
        if extremes:
            return StructureQuestion("extreme_width", (_subject(layer),), value=extremes[0])
        return StructureQuestion("width", (_subject(layer),)) if not layer.plural else None
    if extremes or (layer.ordinal is None and name == "kernel"):
        return None  # the reader of layers answers for all kernels of a kind
    if layer.ordinal is None and name == "groups" and layer.name not in ("GroupNorm", "group normalization"):
        return None
    return StructureQuestion(name, (_subject(layer),))


_OF_SIZE = "how large big wide size at we"
_SIZES: dict[str, frozenset[str]] = {
    "width": frozenset(f"{_OF_SIZE} among any over all produce produces".split()),
    "linear_width": frozenset(f"{_OF_SIZE} among any over all produce produces".split()),
    "kernel": frozenset(f"{_OF_SIZE}".split()),
    "stride": frozenset(f"{_OF_SIZE} move moves value".split()),
    "dilation": frozenset(f"{_OF_SIZE} value".split()),
    "groups": frozenset("into divide divides split splits its".split()),
}
"""Size -> words that may stand beside it."""


def _stacked(read: _Read) -> StructureQuestion | None:
    """How many layers a recurrent module has."""
    concepts = set(read.concepts)
    fits = len(read.layers) == 1 and read.layers[0].name in ("recurrent", "LSTM", "GRU", "RNN")
    if not fits or read.others() or read.layers[0].ordinal is not None or not read.harmless(_BLOCK_WORDS):
        return None
    deep = concepts <= {"layers", "stack", "depth", "count"} and {"layers", "count"} <= concepts
    if not deep or not {"stack", "depth"} & concepts:
        return None
    return StructureQuestion("stacked", (_subject(read.layers[0]),))


def _block(read: _Read) -> StructureQuestion | None:
    """How often the main block is repeated, and what is in it."""
    if len(read.parts) != 1 or read.parts[0].kind == "skip" or read.others(*_BLOCKS):
        return None
    part, concepts = read.parts[0], set(read.concepts)
    if part.ordinal is not None or not read.harmless(_BLOCK_WORDS):
        return None
    main = part.kind == "main_block"
    if not read.layers and "count" in concepts and concepts <= _REPEATING | {"count"}:
        named = "repeat" in concepts or (main and concepts & _REPEATING)
        return (
            StructureQuestion("block_repeats") if named and (not part.plural or (main and "row" in concepts)) else None
        )
    large = bool({"large", "big", "size"} & read.words)
    if main and not read.layers and concepts in ({"count", "layers"}, {"layers"}) and ("count" in concepts or large):
        return StructureQuestion("block_layers") if not part.plural else None
    if main and not part.plural and len(read.layers) == 1 and concepts == {"count"} and read.layers[0].ordinal is None:
        return StructureQuestion("block_count", (_subject(read.layers[0]),))
    return None


def _skip(read: _Read) -> StructureQuestion | None:
    """What stands beside a skip connection, by its place."""
    if len(read.parts) != 1 or read.layers or read.others("skip"):
        return None
    part, concepts = read.parts[0], set(read.concepts)
    if part.kind != "skip" or part.ordinal is None:
        return None
    if concepts == {"bypass", "count", "layers"} and read.harmless(_SKIP_WORDS):
        return StructureQuestion("skip_span", (), part.ordinal)
    listed = concepts in ({"bypass", "layers"}, {"bypass", "kinds"}) and read.harmless(_SKIP_WORDS)
    return StructureQuestion("skip_layers", (), part.ordinal) if listed else None


def _kernel_count(read: _Read) -> StructureQuestion | None:
    """How many convolutions or pooling layers have a kernel."""
    kernels = [mark for mark in read.marks if mark.kind == "kernel"]
    if len(kernels) != 1 or len(read.layers) != 1 or read.layers[0].ordinal is not None or read.others("kernel"):
        return None
    if not {"count"} <= set(read.concepts) <= {"count", "kernel"} or not read.harmless(_COUNT_WORDS):
        return None
    return StructureQuestion("count_kernel", (_subject(read.layers[0]),), value=kernels[0].name)


def _count(read: _Read) -> StructureQuestion | None:
    """How many layers there are of a kind."""
    if len(read.layers) != 1 or read.layers[0].ordinal is not None or read.others() or set(read.concepts) != {"count"}:
        return None
    return StructureQuestion("count", (_subject(read.layers[0]),)) if read.harmless(_COUNT_WORDS) else None


def _difference(read: _Read) -> StructureQuestion | None:
    """How many more layers there are of one kind than of another."""
    if len(read.layers) != 2 or any(layer.ordinal is not None for layer in read.layers) or read.others():
        return None
    concepts, subjects = set(read.concepts), tuple(_subject(layer) for layer in read.layers)
    if not read.harmless(_COUNT_WORDS | {"far", "between"}) or "count" not in concepts:
        return None
    if read.layers[0].name == read.layers[1].name:
        return None
    words = [mark.name for mark in read.marks if mark.kind == "concept" or mark in read.layers]
    if concepts == {"count", "difference"} and words.count("difference") == 1 and "and" in read.words:
        return StructureQuestion("difference", subjects)
    if concepts == {"count", "outnumber"}:
        places = [words.index(name) for name in (read.layers[0].name, "outnumber", read.layers[1].name)]
        return StructureQuestion("more", subjects) if places == sorted(places) and "and" not in read.words else None
    named = [word for word in words if word != "count"]
    for sign in ("more", "fewer", "greater"):
        often = words.count("count") >= (2 if sign == "greater" else 1)  # "how much larger is the number of"
        if often and named == [sign, read.layers[0].name, "than", read.layers[1].name] and "and" not in read.words:
            return StructureQuestion("more", subjects[::-1] if sign == "fewer" else subjects)
    return None


def _exceeds(read: _Read) -> StructureQuestion | None:
    """Whether there are more, or fewer, layers of a kind than a number."""
    relations = [mark for mark in read.marks if mark.kind == "relation"]
    if len(relations) != 1 or len(read.layers) != 1 or read.layers[0].ordinal is not None or read.others("relation"):
        return None
    if not set(read.concepts) <= {"count", "times", "occur"} or not read.harmless(_COUNT_WORDS):
        return None
    return StructureQuestion("exceeds", (_subject(read.layers[0]),), value=relations[0].name)


def _compare(read: _Read) -> StructureQuestion | None:
    """Whether there are more layers of one kind than of another."""
    if len(read.layers) != 2 or any(layer.ordinal is not None for layer in read.layers) or read.others():
        return None
    first, second = read.layers
    words = [m.name for m in read.marks if (m.kind == "concept" and m.name != "count") or m in read.layers]
    if not read.harmless() or first.name == second.name or "and" in read.words:
        return None
    if words in (["more", first.name, "than", second.name], [first.name, "outnumber", second.name]):
        return StructureQuestion("compare", (_subject(first), _subject(second)))
    if words == ["fewer", first.name, "than", second.name]:
        return StructureQuestion("compare", (_subject(second), _subject(first)))
    return None


_Rule = Callable[[_Read], StructureQuestion | None]
_OPEN: tuple[_Rule, ...] = (
    _neighbour, _depth, _size, _stacked, _block, _skip, _kernel_count, _count, _difference
)  # fmt: skip
_CLOSED: tuple[_Rule, ...] = (_exceeds, _compare)
