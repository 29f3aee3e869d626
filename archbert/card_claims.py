"""Claims on the architecture in a sentence of a model card: numbers, properties and kinds of layers.

Only what has one plain reading is taken; where a sentence gives one quantity several values, none of them is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from processing_archbert.network_properties_archbert import LAYER_GROUPS, groups_in

MAX_SENTENCE_CHARACTERS = 2_000
"""A longer text is no sentence, and takes the patterns long: nothing is read in it."""


class CardClaim(NamedTuple):
    """One claim.

    Attributes:
        kind: a quantity (`layers`, `heads`, `parameters`, ...), `holds` (a property or group of layers),
            `kernel`, `stages` or `widths`.
        name: for `holds` the property or group; else empty.
        value: the number, the numbers of stages, the kernel as text, or whether the property is stated or denied.
        scope: `encoder`, `decoder`, `text`, `vision`, `audio`, or empty.
        digits: significant digits of the number; 0 where it is exact or no number.
        text: the words that make the claim.
    """

    kind: str
    name: str
    value: object
    scope: str
    digits: int
    text: str


_WORDS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
          "seventeen eighteen nineteen twenty").split()  # fmt: skip
_MORE_WORDS = {"twenty-four": 24, "thirty-two": 32, "forty-eight": 48, "thirty": 30, "forty": 40, "thirty-six": 36}
_N = rf"(?P<n>\d[\d,]*(?:\.\d+)?(?:\s?[kKMBT](?![\w]))?|(?:{'|'.join((*_MORE_WORDS, *_WORDS[1:]))})\b)"
_IS = (
    r"\s*(?:\(\w+\)\s*)?(?:of|is|was|are|:|=|equals|set to|to|at|with)?\s*(?:size\s*)?"
    r"(?:about|around|roughly|approximately|just|~|≈)?\s*"
)
_SC = r"(?P<scope>encoder|decoder|text|vision|image|audio|speech|language)"
_SC2 = _SC.replace("scope", "scope2")
_ADJ = (r"(?:(?:hidden|transformer|attention|self-attention|identical|stacked|bidirectional|conformer|residual|"
        r"encoder|decoder|text|vision|image|audio|transformer-encoder|transformer-decoder|pre-norm|post-norm|such|"
        r"repeated|causal|main|ConvNeXt|bottleneck|equal|homogeneous)[\s-]+){0,3}")  # fmt: skip

_NUMBER_RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("layers", (
        rf"{_N}[\s-]+{_ADJ}(?:layers?|blocks)\b(?!\s+(?:of|in)\s+(?:the\s+)?(?:classifier|head|mlp|stem))",
        rf"(?:number of\s+|num_)(?:{_SC}[\s_-]+)?(?:hidden[\s_-]+|transformer[\s_-]+|{_SC2}[\s_-]+)?(?:layers|blocks)"
        rf"\s*(?:\(L\))?\s*(?:is|:|=)\s*{_N}(?!\s*(?:x|,\s*\d))",
        rf"(?<!kinds of )(?<!types of )(?:{_SC}[\s_-]+)?(?:hidden[\s_-]+|transformer[\s_-]+|{_SC2}[\s_-]+)?"
        rf"(?:layers|n_layers?|blocks)"
        rf"\s*(?:\(L\))?\s*(?::|=)\s*{_N}(?!\s*(?:x|,\s*\d))",
        rf"\bdepth\s*(?::|=)\s*{_N}(?![\d,]*\s*(?:x|,))", rf"\bL\s*=\s*{_N}", rf"layers\s*\({_N}\)",
    )),
    ("kv_heads", (
        rf"{_N}\s+(?:shared\s+)?(?:key[\s/-]*(?:and[\s-]+)?value|kv|k/v|key-value)[\s-]+(?:attention\s+)?(?:h"
        rf"eads?|groups)",
        rf"(?:key[\s/-]*(?:and[\s-]+)?value|kv|k/v)[\s_-]+heads{_IS}{_N}",
        rf"(?:grouped[\s-]query attention|GQA)\s*(?:\(GQA\)\s*)?(?:with|using|of|:|\()\s*{_N}\s+(?:groups|hea"
        rf"ds?\s+for keys)",
        rf"{_N}\s+heads\s+for\s+(?:the\s+)?keys\s+and\s+values",
        rf"{_N}\s+(?:heads|sets|pairs)\s+of\s+keys\s+and\s+values",
        rf"\bkeys\s+and\s+values\s+(?:\w+\s+){{0,2}}(?:for|by|in|with|of)\s+(?:only\s+)?{_N}\s+heads",
    )),
    ("head_size", (
        rf"(?:attention\s+)?head[\s_-]+(?:size|dim(?:ension)?(?:ality)?)s?{_IS}{_N}",
        rf"heads?\s+(?:each\s+)?of\s+(?:size|dimension)\s+{_N}", rf"{_N}\s+dimensions\s+per\s+head",
        rf"{_N}[\s-]dim(?:ensional)?\s+heads",
        rf"\bheads?\s+(?:works?|operates?|has|have|is|are)\s+(?:on\s+|over\s+|with\s+)?{_N}[\s-]+dimension(?:s|al)\b",
    )),
    ("heads", (
        rf"{_N}[\s-]+(?:parallel\s+)?(?:(?:multi-head\s+)?(?:self-)?attention|query|self)[\s-]+heads?\b",
        rf"{_N}[\s-]+heads?\b",
        rf"(?:number of\s+|num_)?(?:{_SC}[\s_-]+)?(?:(?:self-)?attention|query)[\s_-]+heads\s*(?:\([AH]\))?{_IS}{_N}",
        rf"(?:^|[\s(,])heads\s*(?::|=)\s*{_N}", rf"\bA\s*=\s*{_N}",
    )),
    ("intermediate_size", (
        rf"(?:intermediate|feed[\s-]?forward|FFN|MLP|inner)(?:[\s-]+(?:network|layers?|block|hidden|inner|fee"
        rf"d-forward))*"
        rf"[\s_-]+(?:size|dim(?:ension)?(?:ality)?|width|inner size){_IS}{_N}",
        rf"{_N}[\s-]dim(?:ensional)?\s+(?:feed[\s-]?forward|FFN|MLP|intermediate)",
        rf"(?:feed[\s-]?forward|FFN|MLP)(?:\s+(?:networks?|layers?|blocks?))?\s+(?:with|of)\s+{_N}\s+(?:hidde"
        rf"n\s+)?(?:units|dimensions|neurons)",
        rf"\bd_ff\s*=\s*{_N}", rf"{_N}\s+(?:intermediate|feed[\s-]?forward|FFN|MLP)\s+(?:size|dim(?:ension)?|width)\b",
        rf"(?:size|width|dim(?:ension)?)\s+of\s+(?:the|each|every|its)\s+(?:feed[\s-]?forward|FFN|MLP)[\w\s-]"
        rf"{{0,30}}?\s*(?:is|:|=)\s*{_N}",
        rf"(?:feed[\s-]?forward|FFN|MLP)s?\b[^.;]{{0,50}}?\b(?:size|width|dim(?:ension)?|units)\s*(?:of|is|:|"
        rf"=|to)?\s*{_N}",
        rf"(?:feed[\s-]?forward|FFN|MLP)s?\b(?:\s+\w+){{0,3}}?\s+{_N}\s+(?:hidden\s+)?(?:units|dimensions|neurons)",
    )),
    ("hidden_size", (
        rf"(?:hidden|model)[\s_-]+(?:layer\s+|state\s+)?(?:size|dim(?:ension)?(?:ality)?s?|width){_IS}{_N}",
        rf"{_N}[\s-]dim(?:ensional)?\s+(?:hidden|token|contextual)\s+(?:states?|representations?|vectors)",
        rf"\b(?:d_model|H)\s*=\s*{_N}", rf"{_N}\s+(?:hidden|model)\s+(?:size|dim(?:ension)?|width)\b",
            rf"{_N}[\s-]hidden\b(?!\s+(?:layers?|units|dimensions|states?))",
            rf"{_N}\s+hidden\s+(?:units|dimensions)(?!\s+in\s+the\s+(?:feed|mlp|ffn))",
        rf"\bwidth(?:\s+is|\s+of|:)\s*{_N}(?!\s*,\s*\d)",
    )),
    ("vocabulary", (
        rf"vocab(?:ulary)?(?:[\s_-]+size)?(?:\s+contains|\s+has|\s+comprises|\s+holds)?{_IS}{_N}(?!\s*(?:lang"
        rf"uages|KB|MB))",
        rf"{_N}[\s-]+(?:(?:sub)?word(?:piece)?s?|tokens?|entr(?:y|ies)|BPE)?[\s-]*(?:token|entry|piece|item|w"
        rf"ord)?[\s-]*vocab(?:ulary)?\b",
        rf"{_N}\s+(?:tokens|entries|subwords|word\s?pieces|pieces)\s+in\s+(?:the|its)\s+vocabulary",
        rf"vocab(?:ulary)?\b[^.;,\d]{{0,25}}[:\s]\s*{_N}\s+(?:tokens|entries|subwords|word\s?pieces|pieces)\b",
    )),
    ("positions", (
        rf"{_N}\s+(?:learned\s+|absolute\s+|trainable\s+)*position(?:al|s)?(?:[\s-]+embeddings?)?\b",
        rf"(?:max(?:imum)?[\s_-]+)?position(?:al)?[\s_-]+embeddings{_IS}{_N}(?!\s*dim)",
    )),
    ("context", (
        rf"context[\s-]+(?:length|window|size)(?:\s+size)?{_IS}{_N}",
        rf"(?:max(?:imum)?\s+)?(?:input\s+|sequence\s+)+length{_IS}{_N}(?=\s*(?:tokens|positions|$|[.,;)]))",
        rf"(?:inputs?|sequences?|context|texts?)\s+(?:of|with)?\s*up\s+to\s+{_N}\s+tokens",
    )),
    ("parameters", (
        rf"{_N}\s*(?:(?P<unit>million|billion|thousand|trillion)\s+)?(?:total\s+|model\s+)?(?:parameters?|par"
        rf"ams|weights)\b",
        rf"(?:total\s+)?(?:(?:number of\s+)?param(?:eter)?s(?:\s+count)?|parameter\s+count|model size){_IS}"
        rf"{_N}(?:\s*(?P<unit>million|billion|thousand))?"
        r"(?!\s*(?:GB|MB|GiB|MiB|bytes|%|tokens))",
        rf"{_N}[\s-](?P<unit>million|billion)[\s-]parameter\b", rf"{_N}[\s-]parameter\b",
    )),
    ("experts_per_token", (
        rf"{_N}\s+(?:active|activated)\s+experts?",
            rf"(?:routes|routed|routing)[^.;]*?\bto\s+{_N}(?:\s+of\s+(?:them|these|the \w+))?(?:\s+experts?)?\b",
        rf"{_N}\s+(?:experts?\s+)?(?:of\s+which\s+|of\s+them\s+|which\s+)?(?:are\s+|is\s+)?(?:active|activate"
        rf"d|selected|chosen|used)\s+(?:for\s+each|per)\s+token",
        rf"\btop-{_N}\s+(?:routing|gating|router|experts?|selection)", rf"experts\s+per\s+token{_IS}{_N}",
        rf"{_N}\s+experts?\s+per\s+token",
        rf"{_N}\s+experts?\s+(?:\w+\s+){{1,3}}(?:each|every|one|a\s+single)\s+(?:token|word|position)\b",
        rf"\b(?:each|every|a)\s+(?:token|word|position)\s+(?:\w+\s+){{1,7}}(?:by|to|through|with)\s+{_N}\s+experts?\b",
    )),
    ("experts", (
        rf"{_N}\s+(?:(?:routed|local|sparse|feed-forward|ffn|mlp|parallel)\s+)*experts\b(?!\s+(?:per token|are acti"
        rf"ve|active|for each))",
        rf"(?:number of\s+)?experts\s*(?::|=|is)\s*{_N}",
    )),
    ("window", (
        rf"(?:sliding[\s-]+window|local)(?:\s+attention)?(?:\s+(?:size|window))*(?:\s+\(SWA\))?(?:\s+(?:of|is"
        rf"|with|over|spans|covers|a|window))*\s*[:=(]?\s*{_N}",
        rf"{_N}[\s-]+token\s+(?:sliding[\s-]+|attention[\s-]+|local\s+)+window",
        rf"\bwindow(?:\s+size)?(?:\s+of|\s+is|:)\s*{_N}\s+tokens",
        rf"attends?\s+to\s+(?:only\s+)?the\s+(?:last|previous)\s+{_N}\s+tokens",
    )),
    ("patch", (
        rf"patch(?:es)?(?:[\s-]+size)?{_IS}{_N}"
        r"(?!\d*\s*(?:patches|,|%|(?:\w+\s+)?(?:attention|layers?|heads?|blocks?)\b))(?:\s*x\s*\d+)?",
        r"(?<!windows of )(?<!groups of )(?P<n>\d+)\s*x\s*\d+\s*(?:pixels?|px)?\s*(?:image\s+)?(?:non-overlap"
        r"ping\s+)?patches",
        r"patches\s+of\s+(?P<n>\d+)\s*x\s*\d+",
    )),
)  # fmt: skip
_PROPERTY_RULES: tuple[tuple[str, str], ...] = (
    ("encoder-decoder", r"encoder[\s-]+(?:and[\s-]+)?decoder\s+(?:transformer|architecture|model|network|structure)|"
                        r"encoder-decoder\b|sequence-to-sequence\s+transformer"),
    ("encoder-only", r"encoder[\s-]only"),
    ("decoder-only", r"decoder[\s-]only"),
    ("grouped-query attention", r"group(?:ed)?[\s-]query[\s-]attention|\bGQA\b"),
    ("multi-query attention", r"multi[\s-]query[\s-]attention|\bMQA\b"),
    ("rotary position embeddings", r"rotary\s+(?:position(?:al)?\s+)?(?:embeddings?|encodings?)|\brope\b"),
    ("learned position embeddings", r"(?:learned|trainable|learnt)\s+(?:absolute\s+)?"
                                    r"position(?:al)?\s+(?:embeddings?|encodings?)"),
    ("mixture of experts", r"mixture[\s-]+of[\s-]+experts|\bMoE\b"),
    ("sliding-window attention", r"sliding[\s-]+window\s+attention|\bSWA\b"),
    ("SwiGLU", r"\bswi-?glu\b"),
    ("GeGLU", r"\bge-?glu\b"),
    ("a gated feed-forward", r"gated\s+(?:feed[\s-]?forward|MLPs?|FFN)"),
    ("pre-norm", r"pre[\s-]?(?:layer[\s-]?)?norm(?:ali[sz]ation)?\b|pre-LN|"
                 r"(?<![\w-])norm(?:ali[sz]ation)?\s+(?:is applied\s+)?before\s+(?:each|every|the)\s+(?:sub-?"
                 r"layer|branch|block)"),
    ("post-norm", r"post[\s-]?(?:layer[\s-]?)?norm(?:ali[sz]ation)?\b|post-LN"),
    ("cross-attention", r"cross[\s-]attention"),
    ("linear layers without bias", r"(?:no|without|omit(?:s|ting)?|drops?|removes?)\s+(?:any\s+|all\s+)?"
                                   r"bias(?:es|\s+terms?|\s+vectors?|\s+parameters?)|"
                                   r"bias-free\s+(?:linear|projections?)"),
    ("causal attention", r"causal(?:ly masked)?\s+(?:self-)?attention|causal\s+mask(?:ing)?|"
                         r"unidirectional\s+(?:self-)?attention"),
    ("bidirectional attention", r"bidirectional\s+(?:self-)?attention"),
    ("tied embeddings", r"(?:ti(?:es|ed)|shares?|shared)\s+(?:the\s+)?"
                        r"(?:word\s+|input\s+(?:and\s+output\s+)?|output\s+)?embeddings?(?:\s+weights)?|"
                        r"weight\s+tying"),
)  # fmt: skip
_NEGATION = re.compile(
    r"\b(?:no|not|without|lacks?|lacking|omits?|neither|nor|never|free of|drops?|removes?|doesn't|avoids?|rather than "
    r"any|instead)\b(?:\s+(?:use|uses|using|have|any|employ|apply|contain|include|a|an|the|of|or|\w+(?:ing|ed"
    r")))*[\s-]*$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"\s*(?:layers?|functions?|activations?)?\s*(?:(?:occurs?|appears?|is|are|was|were)\s+)?"
    r"(?:(?:found\s+|used\s+)?nowhere|absent|missing|omitted|left\s+out|avoided|removed|"
    r"not\s+(?:used|present|included|applied|found|needed|there|part)|never\s+(?:used|applied|occurs?|appears?)|"
    r"(?:does|do)\s+not\s+(?:occur|appear))\b"
    r"(?P<whole>(?:\s+(?:at all|anywhere|here|in (?:it|(?:this|the) (?:model|network|architecture))))?\s*"
    r"(?:$|[.,;:!?)]|and\b|but\b|or\b))?",
    re.IGNORECASE,
)
"""A denial behind what it denies: of the whole network (`whole`), or of a part of it, as in "not used in the head"."""
_NOT_A_GROUP = ("Sigmoid", "depthwise convolution", "global average pooling", "average pooling")
_SCOPES = {"image": "vision", "speech": "audio", "language": "text"}
_KERNEL = re.compile(
    r"(?<![\dx])(\d{1,2})\s*x\s*(\d{1,2})\s+(?:\w+\s+){0,3}?(?:convolutions?|conv\b|kernels?|filters)|"
    r"kernel\s+size\s*(?:of|is|:|=)?\s*(\d{1,2})(?:\s*x\s*(\d{1,2}))?(?![\d,])",
    re.IGNORECASE,
)
_TERM = r"(?:\d{1,3}(?:,\d{3})+(?=,\s|\s|$|\))|\d+)"
_SERIES = rf"\[?\(?({_TERM}(?:\s*(?:,\s*(?:and\s+)?|and\s+|/\s*|-)\s*{_TERM}){{2,}})\]?\)?"
_STAGES = re.compile(
    rf"(?:(?:stages?|depths?|blocks(?:\s+per\s+stage)?|layers\s+per\s+stage|stage\s+depths)(?:\s+\w+){{0,2}}?"
    rf"\s*(?:of|with|:|=|\()?\s*{_SERIES})|"
    rf"{_SERIES}\s+(?:residual\s+|bottleneck\s+|convolutional\s+|ConvNeXt\s+)*(?:blocks|layers)",
    re.IGNORECASE,
)  # fmt: skip
_WIDTHS = re.compile(
    rf"(?:channels|widths?|hidden\s+sizes|channel\s+(?:dimensions|widths|counts|numbers))(?:\s+\w+){{0,2}}?\s"
    rf"*(?:of|:|=|\()?\s*{_SERIES}|"
    rf"{_SERIES}\s+(?:output\s+)?channels",
    re.IGNORECASE,
)  # fmt: skip


_SPARSE = re.compile(r"\b(?:layers?|tokens?|rout\w+|moe|mixture|sparse\w*|active|activated|ffns?|mlps?|experts\s*:|"
                     r"networks?|top-\w+)\b", re.IGNORECASE)  # fmt: skip
"""Words of which one stands beside experts that are parts of a network."""


_MAX_GAP = 64
"""Spaces that are left of a gap: more than any rule looks across.

What is left of a sentence has wide gaps where something was taken out. Rules with several optional spaces would try
all ways of sharing them: a card of one kilobyte took a minute.
"""
_WIDE_GAP = re.compile(rf"\s{{{_MAX_GAP},}}")


@cache
def _rules() -> tuple[tuple[str, tuple[re.Pattern[str], ...]], ...]:
    return tuple(
        (
            kind,
            tuple(re.compile(rf"(?<![\w.$€#-]){p}" if p.startswith("(?P<n>") else p, re.IGNORECASE) for p in patterns),
        )
        for kind, patterns in _NUMBER_RULES
    )


@cache
def _properties() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _PROPERTY_RULES)


def read_claims(text: str) -> list[CardClaim]:
    """The claims of a sentence of which only what speaks of the card's own model is left; a text that is too long for
    a sentence makes none.
    """
    return [] if len(text) > MAX_SENTENCE_CHARACTERS else list(_claims_of(text))


@lru_cache(maxsize=256)
def _claims_of(text: str) -> tuple[CardClaim, ...]:
    """As `read_claims`; kept, because one sentence is held against many networks."""
    text = _WIDE_GAP.sub(lambda gap: gap[0][:_MAX_GAP], text)
    taken: list[tuple[int, int]] = []
    series = list(_series(text, taken))
    claims = list(_numbers(text, taken))
    return (*series, *_without_several(claims), *_kernels(text, taken), *_stated(text))


def _numbers(text: str, taken: list[tuple[int, int]]) -> Iterator[CardClaim]:
    for kind, patterns in _rules():
        for pattern in patterns:
            for match in pattern.finditer(text):
                start, end = match.span("n")
                if any(start < b and a < end for a, b in taken) or _is_range(text, start, end):
                    continue
                value, digits = _value(match["n"], match.groupdict().get("unit") or "")
                taken.append((start, end))
                if value == 1 and kind in ("heads", "kv_heads") and _SHARED.search(text[:start]):
                    continue
                if kind in ("experts", "experts_per_token") and not _SPARSE.search(text):
                    continue
                if value is None or not _fits(kind, value, match["n"], text[match.start() : match.end() + 12]):
                    continue
                yield CardClaim(kind, "", value, _scope(text, match), digits, match[0].strip())


def _fits(kind: str, value: int, number: str, text: str) -> bool:
    """Whether a number can be meant for the quantity at all."""
    if kind == "parameters":
        said = re.search(r"non-?embedding|active|activated|trainable", text, re.IGNORECASE)
        return value >= 10_000 and not said
    if kind in ("vocabulary", "context", "positions", "window"):
        return value >= 16
    if "." in number:
        return False
    return value >= 1 and number.strip()[-1:] not in "MBT"


def _is_range(text: str, start: int, end: int) -> bool:
    """Whether a number is the end of a range, a bound, or one of several alternatives."""
    return bool(_OPENS_RANGE.search(text[:start]) or _CLOSES_RANGE.match(text[end:]))


_OPENS_RANGE = re.compile(
    r"(?:\d\s*(?:-|to|or|through)\s*|"
    r"(?<!of\s)(?<!is\s)(?<!size\s)(?<!width\s)(?<!sion\s)\b\d[\d.]*[kMB]?\s+and\s+|"
    r"\b(?:between|over|under|below|above|at least|at most|beyond|from|every|each|all but|first|last|another|"
    r"half of the|exceed(?:s|ing)?|(?:more|less|fewer|smaller|larger|bigger|greater|higher|lower|longer|shorter|wider|"
    r"narrower|deeper|further|other) than|(?:^|[.;:])\s*only)\s+)$",
    re.IGNORECASE,
)
_CLOSES_RANGE = re.compile(r"\s*(?:-\s*\d|(?:to|or|through)\s*\d[\d.,]*\s*[kMB]?\b)")
_SHARED = re.compile(r"\bshar(?:e|es|ed|ing)\s+$", re.IGNORECASE)
"""Heads that others share are counted for each of these, where there is one."""


def _value(number: str, unit: str) -> tuple[int | None, int]:
    """A number, and how many digits of it are meant (0: all)."""
    word = number.strip().lower()
    if word in _MORE_WORDS or word in _WORDS:
        return _MORE_WORDS[word] if word in _MORE_WORDS else _WORDS.index(word), 0
    match = re.fullmatch(r"(\d[\d,]*(?:\.\d+)?)\s?([kmbt]?)", word.rstrip(","))
    if match is None:
        return None, 0
    plain = match[1].replace(",", "")
    scale = {"": 1, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}[match[2]] * {
        "": 1, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}[unit.lower()]  # fmt: skip
    exact = scale == 1
    digits = len(plain.replace(".", "").strip("0") if exact else plain.replace(".", "").lstrip("0")) or 1
    if exact and (len(plain) < 4 or not plain.endswith("00")):
        digits = 0
    return round(float(plain) * scale), digits


def _scope(text: str, match: re.Match[str]) -> str:
    """The tower that a claim names: in its own words, or right before or after them."""
    groups = match.groupdict()
    scope = groups.get("scope") or groups.get("scope2") or ""
    if not scope:
        inside = _TOWER_INSIDE.findall(match[0])
        after = _TOWER_AFTER.match(text[match.end() :])
        before = _TOWER_BEFORE.findall(text[: match.start()])
        scope = (
            inside[-1] if inside else after[1] if after else before[-1] if before and "param" not in match[0] else ""
        )
    scope = str(scope).lower()
    return _SCOPES.get(scope, scope)


_TOWER = r"(encoder|decoder|text|vision|image|audio|speech)"
_TOWER_INSIDE = re.compile(rf"\b{_TOWER}(?!-decoder|-only)\b", re.IGNORECASE)
_TOWER_AFTER = re.compile(
    rf"\s+(?:in|of|for)\s+(?:the|its|each)\s+{_TOWER}\b(?!\s+and\s+(?:the\s+)?(?:encoder|decoder|text))", re.IGNORECASE
)
_TOWER_BEFORE = re.compile(
    r"(?<!encoder-)(?<!encoder )\b(encoder|decoder)(?:\s+(?:tower|stack|side|half))?\b"
    r"(?![\s-]+(?:decoder|only|and|layers?|blocks?))",
    re.IGNORECASE,
)


def _series(text: str, taken: list[tuple[int, int]]) -> Iterator[CardClaim]:
    for kind, pattern in (("widths", _WIDTHS), ("stages", _STAGES)):
        for match in pattern.finditer(text):
            if any(match.start() < b and a < match.end() for a, b in taken):
                continue
            group = next(i for i, found in enumerate(match.groups(), 1) if found)
            values = tuple(int(n.replace(",", "")) for n in re.findall(_TERM, match[group]))
            taken.append(match.span())
            if 3 <= len(values) <= 8 and max(values) < 20_000:
                yield CardClaim(kind, "", values, "", 0, match[0].strip())


def _kernels(text: str, taken: list[tuple[int, int]]) -> Iterator[CardClaim]:
    for match in _KERNEL.finditer(text):
        if not any(match.start() < b and a < match.end() for a, b in taken):
            height = match[1] or match[3]
            width = match[2] or match[4] or height
            yield CardClaim("kernel", "", f"{height}*{width}", "", 0, match[0].strip())


def _stated(text: str) -> Iterator[CardClaim]:
    """Properties and groups of layers that are stated, or denied."""
    stated: dict[str, CardClaim] = {}
    for name, pattern in _properties():
        for match in pattern.finditer(text):
            denied = _is_denied(text, *match.span())
            if denied is not None:
                stated.setdefault(name, CardClaim("holds", name, not denied, "", 0, match[0].strip()))
    lowered = re.sub(r"(?<=\w)-(?=\w)", " ", text.lower())
    activations = [name for _, _, name in groups_in(lowered) if LAYER_GROUPS[name][0] == "activation"]
    for start, end, name in groups_in(lowered):
        aside = name == "Tanh" and "GELU" in activations
        if name not in _NOT_A_GROUP and not aside:
            denied = _is_denied(lowered, start, end)
            if denied is not None:
                stated.setdefault(name, CardClaim("holds", name, not denied, "", 0, text[start:end].strip()))
    yield from stated.values()


def _is_denied(text: str, start: int, end: int) -> bool | None:
    """Whether the words before or after a part of a sentence say that it is not so; None where only in some place."""
    after = _DENIED_AFTER.match(text[end:])
    return None if after and after["whole"] is None else bool(after or _NEGATION.search(text[:start]))


def _without_several(claims: list[CardClaim]) -> list[CardClaim]:
    """The claims without those of which a sentence gives several values in one scope."""
    values: dict[tuple[str, str], set[object]] = {}
    for claim in claims:
        values.setdefault((claim.kind, claim.scope), set()).add(claim.value)
    return [claim for claim in claims if len(values[claim.kind, claim.scope]) == 1]
