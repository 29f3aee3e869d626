"""The words of questions on order and structure: layers with ordinals, blocks, skip connections, relations.

`marks_of` cuts a question into marks and the words between them. It knows no grammar: what marks mean together says
`structure_questions_archbert`.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache, partial
from typing import NamedTuple

from .caption_words_archbert import layer_named, number_named
from .network_properties_archbert import group_named
from .number_questions_archbert import RELATIONS, plain_question

MAX_LENGTH = 300
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
_FROM_THE_END = {"last": -1, "final": -1, "penultimate": -2, "last but one": -2, "next to last": -2}
_ORDINAL = re.compile(
    rf"(?<![\w<:])(?:(?P<nth>{'|'.join(_ORDINALS)}|[1-9]\d{{0,4}}(?:st|nd|rd|th))"
    r"(?P<end> (?:to |from the |from )?last)?|"
    rf"{'|'.join(sorted(_FROM_THE_END, key=len, reverse=True))})(?!\w)"
)
_NETWORK = re.compile(
    r"(?<!\w)(?:(?:in|of|for|by|through|inside|within) )?"
    r"(?:(?:the|this|that|a|an|our|my|your|given|whole|entire|neural|deep) )+"
    r"(?:network model|neural network|network|model|neural net|net|architecture|computational graph|graph|design)"
    r"(?: s(?!\w))?(?! (?:dim|width|size))(?!\w)"
)
_DIMENSION = re.compile(r"(?<!\w)(one|two|three) dimensional(?!\w)")
_KERNEL = re.compile(r"(?<!\w)(\d{1,3}) ?(?:x|\*|\u00d7|by) ?(\d{1,3})(?: ?(?:x|\*|\u00d7|by) ?(\d{1,3}))?(?![\w*])")
_CATEGORIES = {
    "convolution": "convolution", "convolutional": "convolution", "pooling": "pooling", "pool": "pooling",
    "normalization": "normalization", "normalisation": "normalization", "norm": "normalization",
    "activation": "activation", "nonlinearity": "activation", "non linearity": "activation", "attention": "attention",
    "recurrent": "recurrent",
}  # fmt: skip
_NOUNS = frozenset("layer module operation op function activation nonlinearity".split())
_PARTS: tuple[tuple[str, str], ...] = (
    ("skip", r"(?:skip|residual|shortcut) connections?"),
    ("main_block", r"(?:main|repeated|repeating) (?:building )?blocks?"),
    ("block", r"(?:building )?blocks?"),
)
_CONCEPTS: tuple[tuple[str, str], ...] = (
    ("width", r"output (?:width|feature|channel)s?|(?:how )?wide (?:is|are) the outputs? of|width of the outputs? of"),
    ("linear_width", r"output (?:size|dimension|dimensionality|unit)s?"),
    (
        "bypass",
        r"bypass(?:es|ed)?|skips?(?: over)?|skipped|jumps? over|spans?|reach(?:es)?|beside|bridges?|bridged|"
        r"(?:leads?|goes|go|runs?) (?:past|around)|pass(?:es)? over",
    ),
    ("followed_by", r"followed by"),
    ("preceded_by", r"preceded by"),
    ("fed_by", r"fed by|fed from|(?:gets?|takes?|receives?|draws?) (?:its |their )?inputs? from"),
    ("successor", r"successors? (?:of|to)"),
    ("predecessor", r"predecessors? (?:of|to)"),
    ("applied_to", r"applied to"),
    ("supply", r"gives|provides|supplies|delivers"),
    ("consumed_by", r"(?:consumed|read|taken) by"),
    ("read", r"reads?(?: from)?|consumes?|(?:uses?|receives?|takes?|processes|gets?)(?= (?:the )?outputs? of )"),
    ("as_input", r"as (?:its |their |an )?inputs?"),
    ("own_input", r"(?:with )?(?:its|their) inputs?"),
    ("input", r"inputs? (?:of|to|for)"),
    ("output", r"outputs? of|(?<=> s )outputs?|(?<=whose )outputs?"),
    ("row", r"in a row|one after (?:another|the other)|in succession|in sequence|consecutively"),
    ("after", r"after|behind"),
    ("before", r"before|in front of|ahead of"),
    ("follow", r"follows?|succeeds?"),
    ("precede", r"precedes?"),
    ("feed", r"feeds?(?: into| to)?"),
    (
        "go",
        r"(?:goes|go|flows?)(?: on)?(?: into| to)?|(?:passed|sent|fed|handed)(?: on)? (?:into|to)|"
        r"(?:passes|pass|sends?|hands?) (?:on )?(?:its |the )?outputs?(?: on)?(?: to)?",
    ),
    ("largest", r"(?:largest|biggest|greatest|highest|maximum|maximal|widest)(?: outputs?)?"),
    ("smallest", r"(?:smallest|least|lowest|minimum|minimal|narrowest)(?: outputs?)?"),
    ("kernel", r"(?:kernel|filter) sizes?|sizes? of (?:the |its |their )?kernels?|kernels?"),
    ("stride", r"strides?"),
    ("dilation", r"dilation(?: rate| factor)?s?"),
    ("groups", r"groups?"),
    ("path", r"(?:longest|critical) path"),
    ("steps", r"steps?|edges?|hops?"),
    ("depth", r"how deep|depth|deep"),
    ("count", r"how many|how often|numbers? of|counts? of|count|how much"),
    ("times", r"times"),
    ("more", r"more"),
    ("fewer", r"fewer|less"),
    ("than", r"than"),
    ("outnumber", r"outnumbers?|exceeds?|surpass(?:es)?"),
    ("greater", r"larger|greater|higher|bigger"),
    ("difference", r"difference|apart"),
    ("kinds", r"(?:kind|type|sort)s? of layers?|layer (?:kind|type|sort)s?"),
    ("layers", r"layers?"),
    ("repeat", r"repeat(?:s|ed|ing)?|repetitions?|copies"),
    ("occur", r"occurs?|appears?"),
    ("stack", r"stack(?:s|ed)?"),
    ("features", r"features|channels"),
    ("produce", r"produces?|outputs?|puts? out|yields?|emits?"),
)
"""What relates layers -> how it is said."""


class Mark(NamedTuple):
    """A phrase that is known.

    Attributes:
        kind: `layer`, `category` or `group` (of layers), `block`, `main_block`, `skip`, `kernel`, `relation`,
            `concept`, or `word` for one that is not known.
        name: which one; of a relation `more than 36` it is `> 36`.
        ordinal: place among its like, from 0, from the end where negative; None where it has none.
        plural: whether it names several.
    """

    kind: str
    name: str
    ordinal: int | None = None
    plural: bool = False


def marks_of(text: str) -> list[Mark]:
    """A question as marks and words, in order; empty for one that is too long, or that has an ordinal of nothing.

    Args:
        text: one question in English.
    """
    plain = plain_question(text)
    if not plain or len(plain) > MAX_LENGTH or "<" in plain or ">" in plain:
        return []
    plain = _DIMENSION.sub(lambda match: f"{('one', 'two', 'three').index(match[1]) + 1}d", plain)
    plain = _NETWORK.sub(" ", re.sub(r"\bconv(s?)\b", r"convolution\1", plain))
    plain = _KERNEL.sub(lambda match: f"<kernel:{'*'.join(side for side in match.groups() if side)}>", plain)
    plain = _ORDINAL.sub(lambda match: f"<ordinal:{_index(match)}>", plain)
    for pattern, relation in _relations():
        plain = pattern.sub(partial(_compared, relation), plain)
    plain = " ".join(_layers_marked(plain.split()))
    for name, pattern in _compiled(_PARTS):
        plain = pattern.sub(partial(_part, name), plain)
    for name, pattern in _compiled(_CONCEPTS):
        plain = pattern.sub(f"<concept:{name}>", plain)
    return _with_ordinals([_mark(token) for token in plain.split()])


def _index(match: re.Match[str]) -> int:
    nth = match["nth"]
    if not nth:
        return _FROM_THE_END[match[0]]
    place = _ORDINALS.index(nth) + 1 if nth in _ORDINALS else int(nth[:-2])
    return -place if match["end"] else place - 1


def _part(name: str, match: re.Match[str]) -> str:
    return f"<{name}:{'s' if match[0].endswith('s') else ''}>"


def _compared(relation: str, match: re.Match[str]) -> str:
    number = number_named(match["number"]) if match["number"] != "no" else None
    return match[0] if number is None else f"<relation:{relation}_{number}>"


@cache
def _relations() -> tuple[tuple[re.Pattern[str], str], ...]:
    number = r"(?P<number>\d{1,9}|[a-z]{3,9})(?![\w.*])"
    rules = [(rf"{number} or more(?! than)", ">="), (rf"{number} or (?:fewer|less)(?! than)", "<=")]
    rules += [(rf"(?:{words}) {number}", relation) for relation, words in RELATIONS]
    return tuple((re.compile(rf"(?<![\w<:])(?:{pattern})"), relation) for pattern, relation in rules)


@cache
def _compiled(table: tuple[tuple[str, str], ...]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, re.compile(rf"(?<![\w<:-])(?:{pattern})(?![\w:>])")) for name, pattern in table)


def _layers_marked(words: list[str]) -> list[str]:
    """The words with names of layers, their nouns included, replaced by marks."""
    result: list[str] = []
    position = 0
    while position < len(words):
        for length in range(min(8, len(words) - position), 0, -1):
            found = _named(" ".join(words[position : position + length]))
            if found:
                position += length
                kind, plural = found[0], found[1]
                while position < len(words) and _singular(words[position]) in _NOUNS:
                    plural = words[position] not in _NOUNS
                    position += 1
                mark = f"<{kind}{'+' if plural else ''}>"
                if words[position : position + 3] == ["of", "any", "kind"] and kind.startswith("category"):
                    position += 3
                if not result or result[-1].rstrip("+>") != mark.rstrip("+>"):
                    result.append(mark)
                else:  # "rectified linear unit (relu)"
                    result[-1] = mark
                break
        else:
            result.append(words[position])
            position += 1
    return result


@lru_cache(maxsize=4096)
def _named(phrase: str) -> tuple[str, bool] | None:
    """Mark of what a phrase names, and whether in the plural."""
    for name in dict.fromkeys((phrase, _singular(phrase))):
        layer = layer_named(name) or layer_named(name.replace(" ", "_"))
        if layer:
            return f"layer:{layer}", name != phrase
        if name in _CATEGORIES:
            return f"category:{_CATEGORIES[name]}", name != phrase
        group = group_named(name)
        if group:
            return f"group:{group.replace(' ', '_')}", name != phrase
    return None


def _singular(phrase: str) -> str:
    return re.sub(r"ies$", "y", phrase) if phrase.endswith("ies") else re.sub(r"(?<!s)s$", "", phrase)


def _mark(token: str) -> Mark:
    found = re.fullmatch(r"<(\w+):(.*?)(\+?)>", token)
    if found is None:
        return Mark("word", token)
    kind, name, plural = found.groups()
    if kind in ("block", "main_block", "skip"):
        return Mark(kind, kind, plural=bool(name))
    name = name.replace("_", " ") if kind in ("group", "relation") else name
    return Mark(kind, name, plural=bool(plural))


def _with_ordinals(marks: list[Mark]) -> list[Mark]:
    """The marks with each ordinal joined to the thing behind it; none where one has no thing or many."""
    result: list[Mark] = []
    waiting: int | None = None
    for mark in marks:
        if mark.kind == "ordinal" and waiting is None:
            waiting = int(mark.name)
            continue
        if waiting is not None:
            if mark.kind not in ("layer", "category", "group", "block", "main_block", "skip") or mark.plural:
                return []
            mark, waiting = mark._replace(ordinal=waiting), None
        result.append(mark)
    return [] if waiting is not None else result
