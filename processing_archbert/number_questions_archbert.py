"""Questions that ask for a number, in people's own words: which number, of which part of the network.

A question is read where it names one number and every other word of it is known to change nothing. A word that is left
over ("in the second stage", "of the first layer") makes the reader silent, for it may ask for something else.
`asks_number` and `asks_yes_or_no` say what kind of answer a question wants, whether or not it is read.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from .caption_words_archbert import number_named

_ONE = r"(?:a|an|the|one|its|each|every|each of the|any)(?: single)?"
_EACH = (
    rf"(?:(?: (?:are |is )?(?:there|used))? (?:per|in|of|at|for) (?:{_ONE} )?"
    r"(?:(?:attention|transformer|encoder|decoder|hidden|moe) )*(?:layers?|blocks?)|"
    r" (?:does|do|has) (?:each|every|one|a)(?: single)? (?:attention |transformer )?(?:layer|block))?"
)
_KV = r"(?:kv|key value|keys? and values?|key/value|k/v)"
_FFN = r"(?:feed ?forward|ffn|mlp)(?: (?:layers?|networks?|blocks?|modules?|part))?"
_SIZE = r"(?:size|dimensions?|dim|width|dimensionality)"
_TOKEN = rf"(?:{_ONE} )?(?:token|position|word)"
_THING = r"(?:the|this|its|whole|entire|neural|model|network|architecture|net|it)"

_PATTERNS: tuple[tuple[str, str], ...] = (
    ("experts_per_token",
     rf"(?:active|activated|chosen|selected|used) experts?(?: (?:are there )?(?:per|for|by|in) {_TOKEN})?|"
     rf"experts? (?:are |is |get )?(?:active|activated|used|chosen|selected|routed to|run|consulted)?\s?"
     rf"(?:per|for|by|at) {_TOKEN}|experts? (?:does|do|will|can|is|are) {_TOKEN} (?:use|see|visit|go to|activate|"
     rf"run through|pass through|sent to|routed to|get)|experts? are (?:active|activated)(?: at once| at a time)?|"
     rf"top k(?: value)?(?: (?:of|in|for) (?:the )?(?:router|gate|gating|routing))?|"
     rf"experts? (?:does|do) the (?:router|gate) (?:pick|choose|select|activate|use)(?: (?:per|for) {_TOKEN})?"),
    ("experts", rf"(?:routed )?experts? (?:does|do) (?:each|every|one|a) (?:moe )?layer|"
                rf"(?:routed )?experts?(?: (?:in|of|does|has) (?:the|each|every) (?:mixture of experts|moe)"
                rf"(?: layers?| blocks?)?(?: have)?)?{_EACH}"),
    ("kv_cache", rf"{_KV} cache(?: size| memory| bytes)?"),
    ("kv_heads", rf"{_KV} (?:attention )?heads?{_EACH}|(?:attention )?heads? (?:are )?(?:used |kept |there )?"
                 rf"(?:for|of) (?:the )?(?:keys? and values?|keys|values|k and v|kv){_EACH}|"
                 rf"heads? (?:do|does) (?:the )?keys and values (?:have|use){_EACH}"),
    ("head_size",
     rf"(?:per )?(?:attention )?heads? {_SIZE}|{_SIZE} (?:of|per|in|does) (?:{_ONE} )?(?:attention )?heads?|"
     rf"(?:how )?(?:wide|large|big) (?:is|are) (?:{_ONE} )?(?:attention )?heads?{_EACH}|"
     rf"(?:features|dimensions|channels) (?:(?:does|do|has|in|per|of) )?(?:{_ONE} )?(?:attention )?heads?"),
    ("heads", rf"(?:(?:multi head|multihead|self|attention|query|q) )*heads?"
              rf"(?: (?:does|do) (?:the |its )?(?:self )?attention(?: layers?| modules?| mechanism)?)?{_EACH}"),
    ("intermediate_size",
     rf"(?:intermediate|inner) {_SIZE}(?: of (?:the |its |each )?{_FFN})?|{_FFN} (?:(?:hidden|inner|intermediate) )?"
     rf"{_SIZE}|{_SIZE} of (?:the |its |each )?(?:intermediate|{_FFN})(?: layers?)?|"
     rf"(?:how )?(?:wide|large|big) (?:is|are) (?:the |its |each )?(?:intermediate layers?|{_FFN})|"
     rf"(?:hidden )?(?:units|neurons) (?:are |does |do )?(?:there )?(?:in )?(?:the |its |each )?{_FFN}"),
    ("embedding_size", rf"(?:word |token |input )?embeddings? {_SIZE}|"
                       rf"{_SIZE} of (?:the |its |each |a )?(?:word |token |input )?embeddings?(?: vectors?)?"),
    ("input_channels", r"(?:input|image) channels|channels (?:does|do|has) (?:the|its|an) "
                       r"(?:input|image)s?(?: image)?|channels (?:in|of) (?:the|its|an) (?:input|image)s?(?: image)?"),
    ("classes", rf"(?:output )?(?:classes|categories|labels)|output (?:{_SIZE}|features|units)|"
                rf"{_SIZE} of (?:the|its) outputs?(?: vectors?| layers?)?"),
    ("hidden_size",
     rf"(?:hidden|model|residual stream) {_SIZE}|hidden (?:state |layer )?(?:{_SIZE}|units)|d model|d_model|"
     rf"{_SIZE} of (?:the |its )?(?:hidden (?:states?|layers?|representations?|vectors?)|residual stream|"
     rf"(?:model|network)(?: itself)?)|(?:how )?(?:wide|large|big) (?:is|are) (?:the |its )?"
     rf"(?:hidden (?:states?|layers?|representations?|vectors?)|residual stream)|"
     rf"(?:how )?wide is (?:it|(?:the|this) (?:model|network))|(?<=its )width|"
     rf"channels (?:(?:per|in|of|at|does|do|has) )?(?:the |each |every )?stages?(?: have)?"),
    ("vocabulary",
     r"(?:(?:different|distinct|unique|possible) )*(?:tokens?|words?|entries|word pieces) (?:are )?(?:there )?(?:in|"
     r"of|does|do|has) (?:the|its|a) vocab(?:ulary)?(?: have| contain| hold| size)?|"
     r"(?:(?:different|distinct|unique) )*(?:tokens?|words?|word pieces) (?:does|do|can) (?:it|(?:the|this) "
     r"(?:model|network)) (?:know|understand|represent|embed)|"
     r"(?:token|word) embeddings|vocab(?:ulary)?(?: entries| items)?(?: size)?"),
    ("positions",
     r"(?:max(?:imum)? )?(?:sequence|context|input|prompt) lengths?(?: limit)?|context window(?: size)?|"
     r"(?:how )?long can (?:the|an|its|a) (?:input|sequence|text|prompt|context)s?(?: sequence| text)?(?: get| be)?|"
     r"(?:longest|maximum) (?:input|sequence|text|context)(?: (?:it|the model|the network) (?:takes|accepts|can take|"
     r"can read|supports))?|max(?:imum)? (?:number of )?positions|"
     r"(?:learned |absolute |position )*position embeddings|(?:learned |absolute )?positions"),
    ("window",
     r"(?:sliding |attention |local |token )+window(?: attention)?(?: size| width| length)?|"
     r"window (?:size|width|length)|"
     r"(?:how )?(?:far|many tokens) back (?:can|does|do) (?:the |its |each )?(?:attention|layers?|tokens?|model|it) "
     r"(?:look|see|reach|attend)|tokens (?:does|do|can) (?:the|its|each) (?:sliding |attention |local )+window"),
    ("patch", r"(?:image )?patch (?:size|width)|(?:size|width) of (?:each|the|an|its|one|a) (?:image )?patch(?:es)?|"
              r"(?:how )?(?:wide|large|big|tall) (?:is|are) (?:each|the|an|its|one|a) (?:image )?patch(?:es)?|"
              r"pixels (?:wide )?(?:is|are|does) (?:each|the|an|its|one|a) (?:image )?patch(?:es)?"),
    ("stages", r"(?:resolution |network )?stages"),
    ("weight_bytes",
     r"(?:memory|bytes|space|storage|disk space|ram|vram|gib|gigabytes|mib|megabytes|gb|mb) (?:does|do|for|of|are|is|"
     r"needed (?:for|by)|required (?:for|by)|used by|taken by) (?:the |its |all |all the )?(?:model )?"
     r"(?:weights?|parameters?|params)|"
     r"(?:size|memory|bytes) of (?:the |its |all )?(?:model )?weights(?: in bytes)?|"
     r"(?:how )?(?:large|big|heavy) are (?:the |its )?weights|weights? memory"),
    ("macs", r"(?:g|m|t)?macs?|multiply (?:adds?|accumulates?|accumulations?|additions?)(?: operations?)?|"
             r"multiply and (?:add|accumulate) operations"),
    ("flops", r"(?:g|t|m)?flops?|floating point operations?"),
    ("parameters", rf"(?:(?:trainable|learnable|learned|total|model|tunable) )*(?:parameters?|params?|weights)"
                   rf"(?: counts?)?|^how (?:big|large|small) is (?:{_THING} ?)+$|^(?:what is |what s )?(?:the )?"
                   rf"(?:model|network) size$"),
    ("edges", r"edges"),
    ("nodes", r"nodes|graph size"),
    ("inputs", r"inputs?(?: tensors?| arguments?)?"),
    ("outputs", r"outputs?(?: tensors?)?|results"),
    ("layers", r"(?:(?:hidden|transformer|residual|stacked) )*(?:layers?|blocks?)|(?<=how )deep|depth"),
)  # fmt: skip
_CONTEXT: dict[str, str] = {
    "flops": r"(?:for|in|of|per|during|to run|does|to do|on)? ?(?:a|an|one|each|every|the)? ?(?:single )?"
             r"(?:forward(?: pass)?|inference(?: pass| step)?|pass|run|image|input)|"
             r"(?:in terms )?of computation(?:al)?|computational|computation|compute|cost|complexity|expensive|in",
    "kv_cache": rf"(?:per|for|with|of) {_TOKEN}|bytes|memory|space|many|in",
    "experts": r"of the (?:mixture of experts|moe)|in the (?:mixture of experts|moe)",
    "inputs": r"tensors?|expected|expects?|accepts?|takes? in",
    "outputs": r"produce[sd]?|returns?|gives?|tensors?",
    "classes": r"predicts?|distinguish(?:es)?|classif(?:y|ies)|can|tell apart|recogni[sz]es?",
    "nodes": r"in the graph|of the graph|(?:computational )?graph",
    "edges": r"in the graph|of the graph|(?:computational )?graph",
    "weight_bytes": r"memory|bytes|in|gib|gb|mb|mib|space|occup(?:y|ies)",
    "window": r"span|spans|cover|covers|tokens|wide|hold|sliding|attention",
    "heads": r"in parallel",
    "positions": r"tokens|supports?|handles?|at most|can",
}  # fmt: skip
"""Words that say nothing more beside a number."""
_CONTEXT["macs"] = _CONTEXT["flops"]
_SIZE_WORDS = frozenset("size sizes large big wide long dimension dimensions value".split())
_SIZED = frozenset(("hidden_size", "head_size", "intermediate_size", "embedding_size", "vocabulary", "positions",
                    "window", "patch", "kv_cache", "weight_bytes", "parameters"))  # fmt: skip
_COUNTED = frozenset(("layers", "heads", "kv_heads", "experts", "inputs", "outputs", "nodes", "edges", "stages"))
_TOWERS = {"encoder": "encoder", "decoder": "decoder", "vision": "vision", "image": "vision", "visual": "vision",
           "text": "text", "textual": "text", "language": "text", "audio": "audio", "speech": "audio"}  # fmt: skip
_HARMLESS = frozenset(
    "a an the this that these those of in on for to by with from at as is are was be been being has have having had "
    "does do did can could would should i we one like know knows tell me us state name list give show please you what "
    "which how it its model models network networks architecture neural net given all used use uses using employ "
    "employs contain contains contained include includes there exist exists find found part present make makes "
    "composed consist consists comprised built made total overall altogether and much many number count amount "
    "exactly precisely approximately roughly about around need needs required require requires take takes taken come "
    "comes keep keeps store stores stored perform performs performed run runs running get gets work works want value "
    "figure figures transformer stack stacked tower full whole entire s say hey hi so just "
    "actually really currently d n num m here million billion needed".split()
)
_DTYPES = {
    "float32": r"float ?32|fp ?32|single precision|full precision", "bfloat16": r"bfloat ?16|bf ?16",
    "float16": r"float ?16|fp ?16|half(?: precision)?|16 bits?", "float8": r"float ?8|fp ?8",
    "int8": r"int ?8|8 bits?", "int4": r"int ?4|4 bits?",
}  # fmt: skip
_UNITS = {"k": 10**3, "thousand": 10**3, "m": 10**6, "million": 10**6, "b": 10**9, "billion": 10**9, "g": 10**9,
          "giga": 10**9, "t": 10**12, "trillion": 10**12}  # fmt: skip
_NUMBER = r"(?P<number>\d+(?:\.\d+)?|[a-z]+) ?(?P<unit>k|m|b|g|t|thousand|million|billion|trillion)?"
RELATIONS: tuple[tuple[str, str], ...] = (
    (">=", r"at least|no (?:fewer|less) than|not (?:fewer|less) than|a minimum of"),
    ("<=", r"at most|no more than|not more than|up to"),
    (">", r"more than|over|above|greater than|larger than|bigger than|wider than|deeper than|exceed(?:s|ing)?"),
    ("<", r"fewer than|less than|under|below|smaller than|narrower than|shallower than"),
    ("=", r"exactly|equal to|precisely"),
)
"""Relation -> words before the number that something is compared with."""
_HOW = "many much large big wide deep long tall heavy small high low often fast slow expensive far costly dense sparse"
_WANTED = (
    "number count amount total sum size sizes dimension dimensions dimensionality dim width depth length height ratio "
    "percentage percent proportion share fraction flop flops mac macs bytes megabytes gigabytes vram ram parameters "
    "params vocabulary resolution stride dilation padding epsilon theta rank capacity footprint budget dtype "
    "precision bit bits"
)
_ASKS = re.compile(
    rf"\b(?:n|num) \w+|\bhow (?:{_HOW.replace(' ', '|')})\b|(?<!short term )\bmemory\b|"
    rf"\b(?:{_WANTED.replace(' ', '|')})\b"
)
_YES_OR_NO = re.compile(
    r"(?:and |so |but )?(?:does|do|is|are|was|were|has|have|did|will|would|should|can|could|isn t|aren t|doesn t|"
    r"don t)\b"
    r"(?! you\b| i\b| we\b)"
)


class NumberQuestion(NamedTuple):
    """A question for a number.

    Attributes:
        name: one of `network_numbers_archbert.QUANTITIES`.
        scope: part of the network, as there; empty for all.
        tokens: how many tokens a cost is asked for; 0 for what was traced, or one.
        dtype: data type of what is counted in bytes.
        relation: of a yes-or-no question: `<`, `<=`, `>`, `>=`, `=`; else empty.
        value: with what it is compared.
        listed: whether the things are asked for, not their number.
    """

    name: str
    scope: str = ""
    tokens: int = 0
    dtype: str = "float16"
    relation: str = ""
    value: float = 0.0
    listed: bool = False


def plain_question(text: str) -> str:
    """A question in lower case, without punctuation; thousands written together, hyphens as spaces."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text.lower().strip())
    text = re.sub(r"(?<=\w)[-_](?=\w)", " ", text)
    text = re.sub(r"[?!,;:\"'\u2019\u201c\u201d()\[\]]+|\.(?!\d)", " ", text)
    return re.sub(r"\s+", " ", text).strip()


def asks_number(text: str) -> bool:
    """Whether a question wants a number or a size."""
    return _ASKS.search(plain_question(text)) is not None


def asks_yes_or_no(text: str) -> bool:
    """Whether a question wants yes or no."""
    return _YES_OR_NO.match(plain_question(text)) is not None


def asks_costs(text: str) -> bool:
    """Whether a question is about what is known only of a graph that was read with `costs=True`."""
    found = read_number(text)
    return found is not None and found.name in ("flops", "macs")


def read_number(text: str) -> NumberQuestion | None:
    """What number a question asks for, where that can be read with certainty; else None.

    Args:
        text: one question in English.
    """
    plain = plain_question(text)
    if len(plain) > 300:
        return None
    closed = _YES_OR_NO.match(plain) is not None
    relation, value = "", 0.0
    if closed:
        found = _compared(plain)
        if found is None:
            return None
        plain, relation, value = found
    plain, tokens, dtype = without_sizes(plain)
    name, rest = _named(plain)
    if not name:
        return None
    rest = re.sub(rf"\b(?:{_CONTEXT[name]})\b", " ", rest) if name in _CONTEXT else rest
    words = rest.split()
    scope = _scope([_TOWERS[word] for word in words if word in _TOWERS])
    allowed = _HARMLESS | (_SIZE_WORDS if name in _SIZED else frozenset())
    left = [word for word in words if word not in allowed and word not in _TOWERS]
    counts = re.search(r"\b(?:how many|number of|count|how deep|depth|amount)\b", plain) is not None
    listed = name in ("inputs", "outputs") and not counts
    if left or scope is None or (tokens and name not in ("kv_cache", "flops", "macs")):
        return None
    short = (
        len(words) < 4 and re.match(r"(?:which|what) (?!is\b|are\b)", plain) is None
    )  # "which layers" asks for names
    if name in _COUNTED and not (counts or closed or listed or short):
        return None
    return NumberQuestion(name, scope, tokens, dtype, relation, value, listed)


@cache
def _compiled() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, re.compile(rf"(?<![\w\[])(?:{pattern})(?![\w\]])")) for name, pattern in _PATTERNS)


def _named(plain: str) -> tuple[str, str]:
    """The one number that a text names, and the text without it; empty where it names none or several."""
    marked = plain
    for name, pattern in _compiled():
        marked = pattern.sub(f"[{name}]", marked)
    names = set(re.findall(r"\[(\w+)\]", marked))
    if len(names) != 1:
        return "", plain
    return names.pop(), re.sub(r"\[\w+\]", " ", marked)


def number_noun(text: str) -> str:
    """The number that a noun in lower case ("attention heads") stands for, all of its words; empty for none."""
    name, rest = _named(text)
    return name if not rest.strip() else ""


def _scope(found: list[str]) -> str | None:
    """The part that is meant: a modality stands before a role ("vision encoder"); None for two of a kind."""
    modalities = {scope for scope in found if scope in ("vision", "text", "audio")}
    roles = set(found) - modalities
    if len(modalities) > 1 or len(roles) > 1:
        return None
    return next(iter(modalities or roles), "")


def without_sizes(plain: str) -> tuple[str, int, str]:
    """A question (`plain_question`) without the length in tokens and the data type that it names, and these.

    Without a length it is 0, without a data type that is float16.
    """
    tokens, dtype = 0, "float16"
    for name, pattern in _DTYPES.items():
        plain, count = re.subn(
            rf"\b(?:(?:in|at|with|using|as|stored in) )?(?:{pattern})(?: precision)?(?!\w)", " ", plain
        )
        dtype = name if count else dtype
    length = re.search(
        r"\b(?:for|at|with|of|over|on) (?:a |an )?(?:(?:context|sequence|prompt|text|input)(?: length| size)? )?"
        r"(?:of )?(\d+) ?(k?) ?(?:tokens?|positions?|words)(?: of context)?\b", plain
    )  # fmt: skip
    if length:
        tokens = int(length[1]) * (1024 if length[2] else 1)
        plain = plain[: length.start()] + " " + plain[length.end() :]
    return re.sub(r"\s+", " ", plain).strip(), tokens, dtype


def _compared(plain: str) -> tuple[str, str, float] | None:
    """A yes-or-no question without its comparison, and that; None where it compares with no number."""
    plain = _YES_OR_NO.sub("", plain, count=1).strip()
    for relation, words in (*RELATIONS, ("=", "")):
        for match in re.finditer(rf"\b(?:{words}) ?{_NUMBER}(?!\w)" if words else rf"\b{_NUMBER}(?!\w)", plain):
            number = match["number"]
            named = number_named(number) if number.isalpha() else float(number)
            if named is None or number in ("no", "one"):
                continue
            rest = f"{plain[: match.start()]} {plain[match.end() :]}"
            return re.sub(r"\s+", " ", rest).strip(), relation, float(named) * _UNITS.get(match["unit"] or "", 1)
    return None
