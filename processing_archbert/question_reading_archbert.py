"""Reads questions about a network: English in, what to compute out; certain, or silent.

A question is cut into phrases that are known (layers, numbers, properties, cues), and is understood only if every
other word of it is harmless. What is left over makes the reader silent: then a model may answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from .caption_words_archbert import layer_named
from .network_properties_archbert import groups_in
from .questions_archbert import KERNEL_SUBJECTS, LAYER_FUNCTIONS

MAX_LENGTH, MAX_CHARACTERS = 500, 5_000
"""Of a question, without and with its markup; a longer one is not read."""


class ReadQuestion(NamedTuple):
    """What a question asks.

    Attributes:
        kind: `closed` (a type of `QUESTION_TYPES`), `number` (one of `QUANTITIES`), `holds` (whether a property or
            layer is there), `count` (layers of a kind or category), `category_types`, `category_kernels`,
            `topic` and `structure` (read by others), or `unanswerable` (no graph can tell).
        name: type, quantity, property or topic, what a `StructureQuestion` asks; of what cannot be answered the word
            that says so.
        subject: layer, category or scope; empty for none.
    """

    kind: str
    name: str
    subject: str = ""


_NUMBERS: tuple[tuple[str, str], ...] = (
    ("experts_per_token", r"experts? (?:per token|active per token|used per token|activated per token)|"
                          r"(?:active|activated) experts?(?: per token)?"),
    ("experts", r"(?:routed )?experts?"),
    ("kv_cache", r"(?:kv|key value|key and value) cache(?: size| memory| bytes)?(?: per token)?"),
    ("kv_heads", r"(?:kv|key value|key and value|key/value|k/v) (?:attention )?heads?|heads? for keys and values"),
    ("head_size", r"(?:attention )?head (?:size|dim|dimension)s?|"
                  r"(?:size|dimension|width) of (?:each|one|a|an|the|every) (?:attention )?head|"
                  r"features (?:does|do|has) (?:each|one|every) (?:attention )?head"),
    ("heads", r"(?:self )?(?:attention )?heads?"),
    ("intermediate_size", r"intermediate (?:size|dimension|dim|width)|"
                          r"(?:feed ?forward|ffn|mlp) (?:hidden )?(?:size|dimension|dim|width)"),
    ("hidden_size", r"hidden (?:size|dimension|dim|width|units)|model (?:dimension|width)|d_model"),
    ("vocabulary", r"vocab(?:ulary)?(?: size)?"),
    ("positions", r"(?:max(?:imum)? )?(?:sequence|context|input|position embedding)s? (?:length|size)|"
                  r"context window(?: size)?|(?:learned |absolute )?position embeddings|max(?:imum)? positions|"
                  r"learned positions"),
    ("window", r"(?:sliding |attention |local )+window(?: size)?|window size"),
    ("patch", r"(?:image )?patch size|size of (?:each|the|an|its) (?:image )?patch(?:es)?"),
    ("parameters", r"(?:trainable |learnable |total )*(?:parameters?|params?)(?: count)?"),
    ("flops", r"(?:g|t)?flops|floating point operations"),
)  # fmt: skip
_PROPERTIES: tuple[tuple[str, str], ...] = (
    ("encoder-decoder", r"encoder decoder"),
    ("encoder-only", r"encoder only"),
    ("decoder-only", r"decoder only"),
    ("grouped-query attention", r"grouped query attention|gqa"),
    ("multi-query attention", r"multi query attention|mqa"),
    ("rotary position embeddings", r"rotary(?: position(?:al)?)?(?: embeddings?| encodings?)?|rope"),
    ("mixture of experts", r"mixture of experts|moe"),
    ("sliding-window attention", r"sliding window attention|local attention"),
    ("SwiGLU", r"swiglu"),
    ("GeGLU", r"geglu"),
    ("a gated feed-forward", r"gated (?:feed ?forward|mlp|ffn)(?: network| layer)?"),
    ("pre-norm", r"pre ?(?:layer )?norm(?:alization)?|pre ln"),
    ("post-norm", r"post ?(?:layer )?norm(?:alization)?|post ln"),
    ("tied embeddings", r"tied (?:word |input |output )?embeddings?|weight tying"),
    ("cross-attention", r"cross attention"),
    ("causal attention", r"causal(?: self)?(?: attention)?"),
    ("bidirectional attention", r"bidirectional(?: self)?(?: attention)?"),
    ("squeeze-and-excitation", r"squeeze (?:and )?excit(?:ation|e)(?: blocks?| modules?| layers?)?|se blocks?"),
    ("skip connections", r"(?:skip|residual|shortcut) connections?"),
)
_CATEGORIES: tuple[tuple[str, str], ...] = (
    ("normalization", r"norm(?:ali[sz]ation)?s?(?: layer| technique| module)*s?|normali[sz]e[sd]?"),
    ("activation", r"activation(?: function| layer| module)*s?|non ?linearit(?:y|ies)|non ?linear functions?"),
    ("pooling", r"pooling(?: layer| module| operation| operator)*s?|pool layers?|pools?"),
    ("convolution", r"convolution(?:al)?(?: layer| module| operation)*s?|convolutions?|convolv(?:ing|ed)|convs?"),
    ("attention", r"attention(?: layer| module)*s?"),
    ("recurrent", r"recurrent(?: layer| module)*s?|recurren(?:ce|t)"),
    ("embedding", r"embedding layers?"),
    ("linear", r"(?:linear|dense|fully connected) layers?"),
)
_UNANSWERABLE = re.compile(
    r"\b(optimi[sz]ers?|learning rate|dataset|data ?sets?|train(?:ed|ing) (?:on|data|set|corpus|with|for)|corpus|"
    r"licen[cs]es?d?|authors?|who|whom|when|year|accuracy|benchmarks?|perplexity|bleu|f1|languages?|tokeni[sz]ers?|"
    r"loss(?: function)?|batch size|epochs?|gpus?|tpus?|hardware|dropout|weight decay|pre ?trained on|release"
    r"d|company|"
    r"paper|price|cost in|latency|seconds|fine ?tuned|random seed|data ?type|dtype|scheduler|warmup|augmentation|"
    r"carbon|emissions?|downloads?|github|bias(?:es)? (?:and|or) (?:fairness|risks?)|intended use|limitations?)\b"
)
_SCOPES = {"encoder": "encoder", "decoder": "decoder", "vision": "vision", "image": "vision", "text": "text",
           "audio": "audio", "speech": "audio", "language": "text"}  # fmt: skip
_HARMLESS = frozenset(
    "a an the this that these those of in on for to by with from at is are was be been being has have having had does "
    "do did can could would should i we one like know knows tell me us state name list give show please you w"
    "hat which "
    "how it its model network architecture neural net given all any every each kind kinds type types sort sorts "
    "different used use uses using employ employs employed apply applied applies contain contains contained include "
    "includes included there exist exists find found occur occurs part present rely relies make makes composed "
    "consist consists comprised built made total overall general altogether and as total many much number cou"
    "nt amount "
    "technique techniques method methods come comes about tower stack transformer stacked sum here".split()
)
_COUNT = r"how many|number of|count of|count the|how often|how many times|amount of"
_FUNCTION = re.compile(
    r"\b(?:do|purpose|job|role|function|perform|performs|compute|computes|computed|explain|task|effect|happens|act|"
    r"need|why|what for|for what|used for|use of|describe|for in|does in|effect)\b|\b(?:for|does)$"
)
_FUNCTION_WORDS = frozenset(
    "purpose job role function perform performs compute computes computed explain task effect happens act need why "
    "describe play plays".split()
)
_AFTER = re.compile(
    r"\[category:(?:normalization|activation)\].*\b(?:after|behind|follows?|following|succeeds?|output of|out"
    r"puts of)\b"
    r".*\[category:convolution\]|\b(?:after|once)\b.*\[category:convolution\].*\[category:(?:normalization|ac"
    r"tivation)\]|"
    r"\[category:convolution\].*\bfollowed by\b.*\[category:(?:normalization|activation)\]|"
    r"\[category:convolution\] outputs \[category:normalization\]"
)
_AFTER_WORDS = frozenset(
    "after behind follow follows following followed succeeds succeed once output outputs right directly next result "
    "input come comes".split()
)
_TYPES = ("pooling", "activation", "normalization", "convolution")
_TOKEN = re.compile(r"\[[^\]]*\]|[\w*/.]+")


@cache
def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    rules = [(p, f"[holds:{n}]") for n, p in _PROPERTIES] + [(p, f"[number:{n}]") for n, p in _NUMBERS]
    return tuple((re.compile(rf"(?<![\w\[:-])(?:{pattern})(?![\w\]])"), token) for pattern, token in rules)


def read_question(text: str) -> ReadQuestion | None:
    """What a question asks, where that can be read with certainty; else None.

    Args:
        text: one question in English.
    """
    plain = _plain(text) if len(text) <= MAX_CHARACTERS else ""
    if not plain or len(plain) > MAX_LENGTH:
        return None
    if _MADE_OF.fullmatch(plain):
        return ReadQuestion("closed", "layer_types")
    marked = _marked(plain)
    tokens = _TOKEN.findall(marked)
    marks = [token[1:-1].split(":", 1) for token in tokens if token.startswith("[")]
    words = [token for token in tokens if not token.startswith("[")]
    found = _decided(plain, marked, marks, words)
    if found is not None:
        return found
    unknown = _UNANSWERABLE.search(plain)
    if unknown and not any(kind == "layer" for kind, _ in marks):
        return ReadQuestion("unanswerable", unknown[1])
    return None


def names_something(text: str) -> bool:
    """Whether a text names a layer, a number or a property that a network can have."""
    return "[" in _marked(_plain(text[:MAX_LENGTH]))


def _plain(text: str) -> str:
    text = text.lower().strip()
    text = re.sub(r"\b(one|two|three)-dimensional\b", lambda m: f"{'one two three'.split().index(m[1]) + 1}d", text)
    text = re.sub(r"(?<=\w)-(?=\w)", " ", text)
    text = re.sub(r"[?!,;:\"'’“”()\[\]]+", " ", text)
    return re.sub(r"\s+", " ", text).strip(" .")


def _marked(text: str) -> str:
    """The text with every known phrase replaced by `[kind:name]`."""
    text = re.sub(r"kernel (?:sizes?|dimensions?)|sizes? of (?:the )?(?:\w+ )?kernels?|kernels?", "[kernel:]", text)
    text = _layers_marked(text)
    for pattern, token in _rules():
        text = pattern.sub(token, text)
    for start, end, group in reversed(groups_in(text)):
        if "[" not in text[start:end] and text[:start].count("[") == text[:start].count("]"):
            text = f"{text[:start]}[group:{group}]{_without_noun(text[end:])}"
    for name, words in _CATEGORIES:
        text = re.sub(rf"(?<![\w\[:-])(?:{words})(?![\w\]])", f"[category:{name}]", text)
    text = re.sub(r"(?<![\w\[:-])(?:hidden |transformer )?(?:layers?|modules?|building blocks)(?: types?)?(?![\w\]])",
                  "[layers:]", text)  # fmt: skip
    return re.sub(r"(?<![\w\[:-])layer types?(?![\w\]])", "[layers:]", text)


_NOUNS = (
    r"(?:\s+(?:activation (?:functions?|layers?|modules?)|layers?|modules?|operations?|functions?|nonlinearit\w+))?"
)


def _without_noun(text: str) -> str:
    return re.sub(rf"^{_NOUNS}(?!\w)", "", text)


def _layers_marked(text: str) -> str:
    """Names of single kinds of layers, replaced by `[layer:KIND]` where a noun or a dimension makes them certain."""
    words = text.split(" ")
    result: list[str] = []
    position = 0
    while position < len(words):
        for length in range(min(8, len(words) - position), 0, -1):
            end = position + length
            phrase, noun = " ".join(words[position:end]), words[end : end + 1]
            layer = layer_named(phrase) if phrase in _GENERIC and noun in _ONE_LAYER else _layer_of(phrase)
            if layer:
                rest = " ".join(words[position + length :])
                remaining = _without_noun(f" {rest}").strip()
                result.append(f"[layer:{layer}]")
                words, position = remaining.split(" ") if remaining else [], 0
                break
        else:
            result.append(words[position])
            position += 1
    return " ".join(result)


def _layer_of(phrase: str) -> str:
    """The layer that a phrase names, in the singular or the plural; generic words are none."""
    if phrase in _GENERIC:
        return ""
    singular = re.sub(r"s$", "", phrase)
    return layer_named(phrase) or (layer_named(singular) if singular not in _GENERIC else "")


_GENERIC = frozenset(
    ("embedding", "dense", "interpolation", "rope", "rotary embedding", "threshold", "rotary position embedding")
)


_ONE_LAYER = (["layer"], ["module"])
"""Nouns behind which a generic word names one kind of layer."""
_MADE_OF = re.compile(
    r"(?:tell me )?(?:what|of what|from what) (?:is|are|was) (?:(?:the|this|given|neural|whole) )*(?:network|model|"
    r"architecture|network model|it) (?:made|built|composed|constructed|assembled)(?: up)?(?: from| out of| of)?"
)


def _decided(plain: str, marked: str, marks: list[list[str]], words: list[str]) -> ReadQuestion | None:
    kinds = [kind for kind, _ in marks]
    names = {kind: [name for k, name in marks if k == kind] for kind in kinds}
    layers = list(dict.fromkeys(names.get("layer", [])))
    categories = list(dict.fromkeys(names.get("category", [])))
    if _UNANSWERABLE.search(plain):
        return None
    if _AFTER.search(marked) and sorted(categories)[0:1] and set(kinds) == {"category"} and len(categories) == 2:
        name = next(c for c in categories if c != "convolution")
        ok = name in ("normalization", "activation") and _harmless(words, _AFTER_WORDS)
        return ReadQuestion("closed", f"{name}_after_convolution") if ok else None
    if len(layers) == 1 and set(kinds) <= {"layer", "kernel"}:
        return _about_layer(plain, layers[0], "kernel" in kinds, words)
    if kinds and set(kinds) == {"kernel"}:
        return ReadQuestion("closed", "kernel_sizes") if _harmless(words, _SIZE_WORDS) and not _counts(plain) else None
    if set(kinds) == {"kernel", "category"} and categories in (["convolution"], ["pooling"]):
        fits = _harmless(words, _SIZE_WORDS) and not _counts(plain) and not _closed_question(plain)
        return ReadQuestion("category_kernels", categories[0]) if fits else None
    if len(set(map(tuple, marks))) != 1:
        return None
    return _about_one(plain, kinds[0], marks[0][1], words)


_SIZE_WORDS = frozenset("size sizes large big dimension dimensions".split())


def _about_layer(plain: str, layer: str, kernel: bool, words: list[str]) -> ReadQuestion | None:
    if kernel:
        fits = layer in KERNEL_SUBJECTS and _harmless(words, _SIZE_WORDS) and not _counts(plain)
        fits = fits and not _closed_question(plain)
        return ReadQuestion("closed", "layer_kernel_sizes", layer) if fits else None
    if _counts(plain):
        return ReadQuestion("count", "layer", layer) if _harmless(words, _COUNT_WORDS) else None
    if _closed_question(plain):
        return ReadQuestion("holds", "layer", layer) if _harmless(words) else None
    if layer in LAYER_FUNCTIONS and _FUNCTION.search(plain) and _harmless(words, _FUNCTION_WORDS):
        return ReadQuestion("closed", "layer_function", layer)
    return None


_COUNT_WORDS = frozenset("often times run".split())
_FEATURE_WORDS = frozenset("features feature maps shrink shrinks".split())
_OTHER_WORDS = _COUNT_WORDS | _SIZE_WORDS | _FUNCTION_WORDS | frozenset("wide long deep from".split())


def _about_one(plain: str, kind: str, name: str, words: list[str]) -> ReadQuestion | None:
    """A question with one known phrase (perhaps repeated)."""
    scope = [_SCOPES[word] for word in words if word in _SCOPES]
    words = [word for word in words if word not in _SCOPES]
    counts, closed = _counts(plain), _closed_question(plain)
    features = _FEATURE_WORDS if kind == "category" and not counts else frozenset()
    if len(set(scope)) > 1 or not _harmless(words, _OTHER_WORDS | features):
        return None
    where = scope[0] if scope else ""
    if kind == "number" and not closed:
        if name == "heads" and not counts and re.search(r"\b(?:large|big|wide)\b", plain):
            name = "head_size"
        return ReadQuestion("number", name, where)
    if kind == "layers":
        if counts:
            return ReadQuestion("number", "layers", where)
        return None if closed or where else ReadQuestion("closed", "layer_types")
    if where:
        return None
    if kind in ("holds", "group"):
        if kind == "group" and counts:
            return ReadQuestion("count", "group", name)
        return ReadQuestion("holds", name) if closed else None
    if kind == "category":
        if _PURPOSE.search(plain):
            single = _SINGLE_LAYERS.get(name, "")
            return ReadQuestion("closed", "layer_function", single) if single and not counts else None
        if counts:
            return ReadQuestion("count", "category", name)
        if closed:
            return ReadQuestion("holds", "category", name)
        if name in _TYPES:
            return ReadQuestion("closed", f"{name}_types")
        return ReadQuestion("category_types", name)
    return None


_PURPOSE = re.compile(
    r"\b(?:purpose|job|role|explain|why|effect|do|need|happens|task|performs?|act|describe|computed)\b|"
    r"\b(?:for|does)(?: in\b|$)|used for|use (?:an?|the) \w+ \w+ for|(?:is the|the) use of"
)
"""What asks for the purpose of layers, where a whole category is named."""
_SINGLE_LAYERS = {"linear": "Linear", "embedding": "Embedding"}
"""Categories whose name means one layer where its purpose is asked."""


def _harmless(words: Iterable[str], extra: frozenset[str] = frozenset()) -> bool:
    return all(word in _HARMLESS or word in extra for word in words)


def _counts(plain: str) -> bool:
    return re.search(rf"\b(?:{_COUNT})\b", plain) is not None


def _closed_question(plain: str) -> bool:
    return re.match(r"(?:does|do|is|are|has|have|can|did)\b", plain) is not None and not re.match(
        r"(?:can|could) (?:you|i)\b", plain
    )
