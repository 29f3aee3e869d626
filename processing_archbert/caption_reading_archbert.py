"""Reads captions back: English in, claims out, as `GraphFacts.holds` takes them.

The reader knows nothing of what wrote a text. It splits a text into sentences and a sentence into phrases, and takes a
phrase for a claim only if a pattern covers it from its first word to its last. What it does not understand it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from .caption_words_archbert import CATEGORY_OF_WORD, layer_named, number_named, plain_text

Claim = dict[str, Any]

_MAX_PIECES = 64
_MAX_PHRASE = 16
_MAX_SENTENCE = 5_000


class UnreadableCaptionError(ValueError):
    """A sentence, or a part of one, that the reader does not understand."""


class ReadSentence(NamedTuple):
    """One sentence: its text and its claims, or None where it cannot be read."""

    text: str
    claims: list[Claim] | None


class ReadPhrase(NamedTuple):
    """A part of a sentence that makes claims of its own: where it stands in the sentence, and its claims.

    Attributes:
        start, end: in the sentence, in which every stretch of white space is one space.
        claims: what it claims.
        bare: whether it is a noun phrase, to which the verb before it belongs.
    """

    start: int
    end: int
    claims: list[Claim]
    bare: bool


class ReadParts(NamedTuple):
    """A sentence in parts.

    Attributes:
        sentence: as it stands, every stretch of white space as one space.
        kind: claims of the opening, on kind and inputs of the network; they stand before the phrases.
        phrases: the phrases, in order.
        opening: whether it names the network ("a convolutional network ...") instead of speaking of it ("it has ...").
    """

    sentence: str
    kind: list[Claim]
    phrases: list[ReadPhrase]
    opening: bool


def read_parts(sentence: str) -> ReadParts:
    """The parts of one sentence.

    Raises:
        UnreadableCaptionError: it is not understood.
    """
    if not sentence.endswith("."):
        raise UnreadableCaptionError("a sentence ends with a full stop")
    if len(sentence) > _MAX_SENTENCE:
        raise UnreadableCaptionError(f"a sentence has {len(sentence):,} characters; {_MAX_SENTENCE:,} are allowed")
    spaced = " ".join(sentence.split())
    text = plain_text(spaced[:-1])
    subject = _SUBJECT.fullmatch(text)
    if subject is not None:
        return ReadParts(spaced, [], _read_phrases(subject["rest"], True, subject.start("rest")), False)
    opening = _OPENING.fullmatch(text)
    if opening is None:
        raise UnreadableCaptionError(f"{sentence!r} does not speak of a network")
    claims = _read_kind((opening["kind"] or "").strip(), opening["mix"])
    for word in _list_of(opening["inputs"] or ""):
        claims.append({"type": "input", "kind": _looked_up(_INPUTS, word)})
    rest = opening["rest"]
    return ReadParts(spaced, claims, _read_phrases(rest, False, opening.start("rest")) if rest else [], True)


def read_sentences(text: str) -> list[ReadSentence]:
    """The sentences of a text, each with its claims; never raises."""
    found = []
    for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", text.strip()):
        if sentence:
            try:
                found.append(ReadSentence(sentence, _read_sentence(sentence)))
            except UnreadableCaptionError:
                found.append(ReadSentence(sentence, None))
    return found


def read_caption(text: str) -> list[Claim]:
    """All claims of a text, in order.

    Raises:
        UnreadableCaptionError: there is no sentence, or one is not understood; names the sentence.
    """
    sentences = read_sentences(text)
    if not sentences:
        raise UnreadableCaptionError("a caption has one sentence or more")
    claims: list[Claim] = []
    for sentence in sentences:
        if sentence.claims is None:
            raise UnreadableCaptionError(f"{sentence.text!r} is not understood")
        claims += sentence.claims
    return claims


_NOUN = r"(?:neural network|network|model|architecture)"
_OPENING = re.compile(
    rf"(?:this is |it is |the {_NOUN} is )?an? (?P<kind>(?!neural )[a-z]+ )?{_NOUN}(?P<mix> of [a-z, ]+?)?"
    r"(?: for (?P<inputs>.+?))?(?: with (?P<rest>.+))?"
)
_SUBJECT = re.compile(
    rf"(?:(?:[a-z]+|in its body|at the end|at the start), )?(?:it|(?:this|the) {_NOUN}) (?P<rest>.+)"
)
_FAMILIES = {"convolutional": "convolution", "attention": "attention", "recurrent": "recurrent",
             "convolution": "convolution", "recurrence": "recurrent"}  # fmt: skip
_SCALES = {"billion": 10**9, "million": 10**6, "thousand": 10**3, "": 1}
_INPUTS = {"token sequences": "tokens", "sequences of tokens": "tokens", "images": "image",
           "one-dimensional signals": "signal", "volumes": "volume", "three-dimensional inputs": "volume"}  # fmt: skip


def _read_sentence(sentence: str) -> list[Claim]:
    parts = read_parts(sentence)
    return parts.kind + [claim for phrase in parts.phrases for claim in phrase.claims]


def _read_kind(kind: str, mix: str | None) -> list[Claim]:
    if mix:
        if kind not in ("hybrid", "combined"):
            raise UnreadableCaptionError(f"{kind!r} is no kind of mixture")
        return [{"type": "families", "families": [_looked_up(_FAMILIES, word) for word in _list_of(mix[4:])]}]
    return [{"type": "families", "families": [_looked_up(_FAMILIES, kind)]}] if kind else []


def _read_phrases(text: str, verbs: bool, offset: int) -> list[ReadPhrase]:
    """Phrases joined by commas and "and"; the shortest that can be read are taken.

    With `verbs` the first phrase has a verb, and each later one a verb or what the verb before it takes.
    """
    pieces = re.split(r"(, and | and |, )", text)
    count = (len(pieces) + 1) // 2
    if count > _MAX_PIECES:
        raise UnreadableCaptionError(f"a sentence of {count} phrases; at most {_MAX_PIECES} are read")

    @cache
    def read_from(start: int) -> tuple[ReadPhrase, ...] | None:
        if start == count:
            return ()
        for end in range(start + 1, min(start + _MAX_PHRASE, count) + 1):
            phrase = "".join(pieces[2 * start : 2 * end - 1])
            claims = _read_phrase(phrase, verbs, bare=start > 0 or not verbs)
            rest = read_from(end) if claims is not None else None
            if claims is not None and rest is not None:
                place = offset + sum(map(len, pieces[: 2 * start]))
                bare = not verbs or _read_phrase(phrase, verbs, bare=False) is None
                return (ReadPhrase(place, place + len(phrase), claims, bare), *rest)
        return None

    found = read_from(0)
    if found is None:
        raise UnreadableCaptionError(f"{text!r} follows no pattern")
    return list(found)


def _read_phrase(phrase: str, verb: bool, bare: bool) -> list[Claim] | None:
    rules = (*(_VERB_RULES if verb else ()), *(_NOUN_RULES if bare else ()))
    if verb:
        has = re.fullmatch(r"(?:has|contains|comes with|uses|employs|includes) (.+)", phrase)
        if has is not None:
            claims = _read_phrase(has[1], False, True)
            if claims is not None:
                return claims
    for pattern, make in rules:
        match = pattern.fullmatch(phrase)
        if match is not None:
            try:
                return make(match)
            except UnreadableCaptionError:
                continue
    return None


def _list_of(text: str) -> list[str]:
    return [part for part in re.split(r", and |, | and | or ", text) if part]


def _looked_up(table: dict[str, str], word: str) -> str:
    if word not in table:
        raise UnreadableCaptionError(f"{word!r} is none of {', '.join(table)}")
    return table[word]


def _number(word: str) -> int:
    value = number_named(word)
    if value is None:
        raise UnreadableCaptionError(f"{word!r} is no number")
    return value


def _layer(phrase: str) -> str:
    """A layer by its name, with or without article and noun."""
    name = re.sub(r"^an? ", "", phrase)
    for candidate in (re.sub(r" (?:layer|activation|operation|module)s?$", "", name), name):
        found = layer_named(candidate)
        if found:
            return found
    raise UnreadableCaptionError(f"no layer is called {phrase!r}")


def _named_layer(phrase: str) -> str:
    """A layer by its name and a noun."""
    if not re.search(r" (?:layer|activation|operation|module)s?$", phrase):
        raise UnreadableCaptionError(f"{phrase!r} has no noun")
    return _layer(phrase)


def _counted_layers(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in _list_of(text):
        number, _, name = part.partition(" ")
        layer = _named_layer(name)
        if layer in found:
            raise UnreadableCaptionError(f"{text!r} counts {layer} twice")
        found[layer] = _number(number)
    return found


def _category(word: str) -> str:
    return _looked_up(CATEGORY_OF_WORD, word)


def _size(text: str) -> str:
    if not re.fullmatch(r"\d+(?:x\d+){1,2}", text):
        raise UnreadableCaptionError(f"{text!r} is no kernel size")
    return text.replace("x", "*")


def _parameters(match: re.Match[str]) -> list[Claim]:
    unit = (match["unit"] or "").strip()
    if unit not in _SCALES:
        raise UnreadableCaptionError(f"{unit!r} is no scale of a number")
    return [{"type": "parameters", "value": round(float(match["number"]) * _SCALES[unit])}]


def _boundary(kind: str, phrase: str) -> Claim:
    """A first or last layer with its sizes, in parentheses or after "with"."""
    match = re.fullmatch(r"(an? .+?)(?: \((?P<a>.+)\)| with (?P<b>.+))?", phrase)
    if match is None:
        raise UnreadableCaptionError(f"{phrase!r} is no layer")
    claim: Claim = {"type": kind, "layer": _named_layer(match[1])}
    for part in _list_of(match["a"] or match["b"] or ""):
        size = re.fullmatch(r"kernel (\S+)|(\S+) kernels", part)
        stride = re.fullmatch(r"stride (\d+)", part)
        out = re.fullmatch(r"(\d+) (?:filters|output features|entries)", part)
        if size:
            claim["kernel"] = _size(size[1] or size[2])
        elif stride or out:
            claim["stride" if stride else "out"] = int((stride or out)[1])  # type: ignore[index]
        else:
            raise UnreadableCaptionError(f"{part!r} says nothing of a layer")
    return claim


def _boundaries(kind: str) -> Callable[[re.Match[str]], list[Claim]]:
    return lambda m: [_boundary(kind, phrase) for phrase in re.split(r"(?:,| and) with ", m["what"])]


def _block(match: re.Match[str]) -> list[Claim]:
    repeats = 2 if match["times"] == "twice" else _number(match["times"].removesuffix(" times"))
    claim: Claim = {"type": "repeated_block", "repeats": repeats, "layers": _counted_layers(match["layers"])}
    return [claim | ({"stages": _number(match["stages"])} if match["stages"] else {})]


def _values(kind: str) -> Callable[[re.Match[str]], list[Claim]]:
    return lambda m: [{"type": kind, "values": [_number(value) for value in _list_of(m[1])]}]


def _valued(kind: str, **more: str) -> Callable[[re.Match[str]], list[Claim]]:
    return lambda m: [{"type": kind, **more, "value": _number(m[1])}]


def _with_layer(kind: str) -> Callable[[re.Match[str]], list[Claim]]:
    return lambda m: [{"type": kind, "layer": _named_layer(m[1])}]


def _category_layers(match: re.Match[str]) -> list[Claim]:
    layers = []
    for name in _list_of(match[1]):
        found = layer_named(name)
        if not found:
            raise UnreadableCaptionError(f"no layer is called {name!r}")
        layers.append(found)
    return [{"type": "category_layers", "category": _category(match[2]), "layers": layers}]


def _rules(*rules: tuple[str, Callable[[re.Match[str]], list[Claim]]]) -> Any:
    return tuple((re.compile(pattern), make) for pattern, make in rules)


_TIMES = r"(?P<times>twice|\S+ times)"
_STAGES = r"(?: in each of (?P<stages>\S+) stages)?"
_NOUN_RULES = _rules(
    (r"(?:about|roughly|around) (?P<number>\d+(?:\.\d+)?)(?P<unit> [bmt][a-z]+)? parameters", _parameters),
    (r"(\S+) layers? in total", _valued("num_layers")),
    (r"a depth of (\S+) layers?", _valued("depth")),
    (r"(\S+) inputs?", _valued("num_inputs")),
    (r"(\S+) outputs?", _valued("num_outputs")),
    (r"(\S+) residual (?:addition|connection)s?", _valued("skip_connections", op="add")),
    (r"(\S+) skip connections? by concatenation", _valued("skip_connections", op="cat")),
    (r"(\S+) (?:strided layers?|layers? with a stride above 1)", _valued("downsampling")),
    (r"(\S+) grouped convolutions?", _valued("grouped")),
    (r"(\S+) experts?", _valued("experts")),
    (r"(.+) heads? per attention layer", _values("heads")),
    (r"(.+) key-value heads? per attention layer", _values("kv_heads")),
    (r"attention windows of (.+) positions", _values("window")),
    (r"causal attention throughout|only causal attention", lambda m: [{"type": "causal", "extent": "all"}]),
    (r"causal attention in some layers", lambda m: [{"type": "causal", "extent": "some"}]),
    (r"attention without a causal mask", lambda m: [{"type": "causal", "extent": "none"}]),
    (r"kernels of (.+) only", lambda m: [{"type": "kernel_sizes", "sizes": [_size(s) for s in _list_of(m[1])]}]),
    (r"(.+) as its only (\S+) layers?", _category_layers),
    (r"(.+) as its most frequent kind", _with_layer("most_frequent")),
    (rf"a block of (?P<layers>.+) that comes {_TIMES} in a row{_STAGES}", _block),
    (r"no (\S+) layers", lambda m: [{"type": "lacks_category", "category": _category(m[1])}]),
    (r"no (.+)", _with_layer("lacks")),
    (r"(\S+) (\S+) layers?",
     lambda m: [{"type": "category_count", "category": _category(m[2]), "value": _number(m[1])}]),
    (r"(\S+) (.+)", lambda m: [{"type": "count", "layer": _named_layer(m[2]), "value": _number(m[1])}]),
    (r"(.+s)", _with_layer("contains")),
)  # fmt: skip
_VERB_RULES = _rules(
    (r"(?:starts|begins|opens) with (?P<what>.+)", _boundaries("first_layer")),
    (r"(?:ends|closes|finishes) with (?P<what>.+)", _boundaries("last_layer")),
    (rf"(?:repeats|stacks) a block of (?P<layers>.+) {_TIMES}{_STAGES}", _block),
    (r"consists mostly of (.+)", _with_layer("most_frequent")),
    (r"applies (an? .+) directly after (an? .+)",
     lambda m: [{"type": "follows", "layer": _named_layer(m[1]), "after": _named_layer(m[2])}]),
    (r"passes the output of (an? .+) straight to (an? .+)",
     lambda m: [{"type": "follows", "layer": _named_layer(m[2]), "after": _named_layer(m[1])}]),
)  # fmt: skip
