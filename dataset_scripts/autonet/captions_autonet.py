"""Captions of AutoNet: what a person would write of a network, in one sentence, a paragraph or in full.

A caption goes from the whole (kind, input, size) over the first layers, repetition, choices of layers, attention and
skip connections to the end. It says what its claims say and nothing else; each claim holds by `GraphFacts`.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.structure_facts_archbert import FAMILIES

from .caption_phrases_autonet import STYLES, CaptionVoice
from .claims_autonet import Claim, rounded_parameters

LENGTHS: tuple[str, ...] = ("sentence", "paragraph", "full")
"""One sentence; five or six; all that is worth saying."""
REFERENCES_PER_LENGTH = 3

_INPUT_ORDER = ("image", "volume", "signal", "tokens")
_CHOICE_CATEGORIES = ("activation", "normalization", "pooling", "recurrent")
_COUNTED_CATEGORIES = ("convolution", "attention", "recurrent", "normalization", "activation", "pooling")
_ABSENT_CATEGORIES = ("pooling", "convolution")
_POSSESSIVE = ("has ", "contains ", "comes with ", "uses ")
_MAX_KINDS, _MAX_SIZES, _MAX_BLOCK_KINDS, _MAX_BLOCKS = 3, 4, 5, 4


class Caption(NamedTuple):
    """A reference description.

    Attributes:
        text: the description.
        length: one of `LENGTHS`.
        style: one of `caption_phrases_autonet.STYLES`.
        claims: JSON list of its claims, in the order in which the text makes them.
    """

    text: str
    length: str
    style: str
    claims: str


class Sentence(NamedTuple):
    """Claims that share a sentence; the first sentence of a caption has the head of the caption, too."""

    claims: list[Claim]
    lead: str = ""


def write_captions(rng: random.Random, facts: GraphFacts) -> list[Caption]:
    """Captions of one architecture: `REFERENCES_PER_LENGTH` different ones for each length.

    Args:
        rng: source of randomness.
        facts: facts of the architecture, which shows its data flow.
    """
    captions: dict[str, Caption] = {}
    plans = {"sentence": _sentence_plan, "paragraph": _paragraph_plan, "full": _full_plan}
    for length in LENGTHS:
        wanted = len(captions) + REFERENCES_PER_LENGTH
        for attempt in range(10 * REFERENCES_PER_LENGTH):
            if len(captions) == wanted:
                break
            style = STYLES[attempt % len(STYLES)]
            plan = [s for s in plans[length](rng, facts) if s.claims]
            text, claims = say_caption(CaptionVoice(rng, style), plan)
            captions.setdefault(text, Caption(text, length, style, json.dumps(claims)))
    return list(captions.values())


def say_caption(voice: CaptionVoice, sentences: Sequence[Sentence]) -> tuple[str, list[Claim]]:
    """The text of planned sentences, and their claims in the order in which the text makes them.

    Args:
        voice: the words.
        sentences: one or more; `families` and `input` claims stand in the first one.
    """
    first, *others = sentences
    texts, claims = [], []
    families: list[str] = next((c["families"] for c in first.claims if c["type"] == "families"), [])
    inputs = [c["kind"] for c in first.claims if c["type"] == "input"]
    head = voice.head(families, inputs)
    said = [c for c in first.claims if c["type"] not in ("families", "input")]
    phrases = [voice.noun_phrase(claim) for claim in said]
    opening = f"{voice.rng.choice(('', 'This is '))}{head}"
    texts.append(f"{opening[0].upper()}{opening[1:]} with {voice.listed(phrases)}.")
    claims += [c for c in first.claims if c not in said] + said
    for sentence in others:
        phrases = _predicate(voice, sentence.claims)
        subject = voice.rng.choice(("it", "it", "the network", "the model"))
        text = f"{sentence.lead}{subject} {voice.listed(phrases)}."
        texts.append(f"{text[0].upper()}{text[1:]}")
        claims += sentence.claims
    return " ".join(texts), claims


def _predicate(voice: CaptionVoice, claims: Sequence[Claim]) -> list[str]:
    """Verb phrases; what follows a "has" is a bare noun phrase where there is one."""
    phrases: list[str] = []
    before = ""
    for claim in claims:
        phrase, boundary = voice.verb_phrase(claim), claim["type"].endswith("_layer")
        verb = "" if boundary else next((v for v in _POSSESSIVE if phrase.startswith(v)), "")
        if boundary and before == claim["type"]:
            phrase = phrase[phrase.index("with ") :]
        elif verb and before == "has":
            phrase = phrase.removeprefix(verb)
        phrases.append(phrase)
        before = claim["type"] if boundary else "has" if verb else ""
    return phrases


def _sentence_plan(rng: random.Random, facts: GraphFacts) -> list[Sentence]:
    more = [*_skips(facts), *_attention(facts)[:1], *_some(rng, _choices(facts), 1), *_blocks(facts, 1)]
    head = [*_overall(facts), _size(facts), *_category_counts(facts)[:1]]
    return [Sentence([*head, *_some(rng, more or _counts(facts), rng.randint(1, 2))])]


def _paragraph_plan(rng: random.Random, facts: GraphFacts) -> list[Sentence]:
    total = _total(facts) if rng.random() < 0.6 else _depth(facts)
    return [
        Sentence([*_overall(facts), _size(facts), *total]),
        Sentence(_first(facts)[:1]),
        Sentence(_blocks(facts, 1), _lead(rng, "Inside, ", "In its body, ")),
        Sentence(_some(rng, [*_choices(facts), *_attention(facts)[:2]], 2) or _counts(facts)[:2]),
        Sentence(_skips(facts) if rng.random() < 0.7 else _resolution(facts)),
        Sentence(_last(facts)[:1], _lead(rng, "Finally, ")),
    ]


def _full_plan(rng: random.Random, facts: GraphFacts) -> list[Sentence]:
    blocks = _blocks(facts, _MAX_BLOCKS)
    choices = _choices(facts)
    return [
        Sentence([*_overall(facts), _size(facts), *_total(facts), *_depth(facts)]),
        Sentence(_several(facts, "input")),
        Sentence(_first(facts)),
        *(Sentence(blocks[i : i + 2], "Inside, " if i == 0 and rng.random() < 0.5 else "") for i in (0, 2)),
        Sentence(_counts(facts), _lead(rng, "Overall, ", "Altogether, ")),
        Sentence(_some(rng, _category_counts(facts), 3)),
        *(Sentence(choices[i : i + 2]) for i in range(0, len(choices), 2)),
        Sentence([*_attention(facts), *_experts(facts)]),
        Sentence([*_skips(facts), *_resolution(facts)]),
        Sentence(_order(rng, facts)),
        Sentence(_absent(rng, facts)),
        Sentence([*_last(facts), *_several(facts, "output")], _lead(rng, "Finally, ")),
    ]


def _lead(rng: random.Random, *leads: str) -> str:
    return rng.choice(leads) if rng.random() < 0.5 else ""


def _some(rng: random.Random, claims: Sequence[Claim], count: int) -> list[Claim]:
    """Up to `count` of the claims, in their order."""
    chosen = sorted(rng.sample(range(len(claims)), min(count, len(claims))))
    return [claims[i] for i in chosen]


@lru_cache(maxsize=1)
def _overall(facts: GraphFacts) -> list[Claim]:
    found = [family for family in FAMILIES if facts.structure.nodes_of_category(family)]
    claims: list[Claim] = [{"type": "families", "families": found}] if found else []
    return claims + [{"type": "input", "kind": kind} for kind in _INPUT_ORDER if kind in facts.structure.input_kinds]


def _size(facts: GraphFacts) -> Claim:
    return {"type": "parameters", "value": rounded_parameters(facts.parameters().value)}


def _total(facts: GraphFacts) -> list[Claim]:
    return [{"type": "num_layers", "value": facts.num_layers().value}]


@lru_cache(maxsize=1)
def _depth(facts: GraphFacts) -> list[Claim]:
    return [{"type": "depth", "value": facts.structure.depth[0]}]


def _several(facts: GraphFacts, op: str) -> list[Claim]:
    count = facts.graph.op_types.count(op)
    return [{"type": f"num_{op}s", "value": count}] if count > 1 else []


def _distinct(claims: Iterable[Claim], limit: int) -> list[Claim]:
    found = {json.dumps(claim, sort_keys=True): claim for claim in claims}
    return list(found.values())[:limit]


@lru_cache(maxsize=1)
def _first(facts: GraphFacts) -> list[Claim]:
    nodes = [met[0] for _, met in facts.structure.nearest_layers("input") if met]
    return _distinct(({"type": "first_layer"} | _details(facts, n) for n in nodes), 2)


def _details(facts: GraphFacts, node: int) -> Claim:
    """What is worth saying of a layer; a stride of 1 is not."""
    return {key: value for key, value in facts.structure.details(node).items() if (key, value) != ("stride", 1)}


@lru_cache(maxsize=1)
def _last(facts: GraphFacts) -> list[Claim]:
    nodes = [met[-1] for _, met in facts.structure.nearest_layers("output") if met]
    return _distinct(({"type": "last_layer"} | _details(facts, n) for n in nodes), 2)


def _blocks(facts: GraphFacts, limit: int) -> list[Claim]:
    """The largest of the repeated blocks, in order."""
    claims = _all_blocks(facts)
    largest = sorted(claims, key=lambda c: -sum(c["layers"].values()) * c["repeats"] * c.get("stages", 1))[:limit]
    return [claim for claim in claims if claim in largest]


@lru_cache(maxsize=1)
def _all_blocks(facts: GraphFacts) -> list[Claim]:
    """The repeated blocks that cover most levels, none over another, in order; equal ones once, as stages."""
    stages = Counter((block.repeats, block.layers) for block in facts.structure.repeated)
    claims = []
    for block in facts.structure.main_blocks(_MAX_BLOCK_KINDS):
        stage = stages[block.repeats, block.layers]
        layers = {kind: dict(block.layers)[kind] for kind in facts.structure.kinds_in_order(block)}
        claim: Claim = {"type": "repeated_block", "repeats": block.repeats, "layers": layers}
        claims.append(claim | ({"stages": stage} if stage > 1 else {}))
    return _distinct(claims, len(claims))


@lru_cache(maxsize=1)
def _counts(facts: GraphFacts) -> list[Claim]:
    counts = list(facts.layer_counts().items())[:3]
    return [{"type": "count", "layer": layer, "value": number} for layer, number in counts]


@lru_cache(maxsize=1)
def _category_counts(facts: GraphFacts) -> list[Claim]:
    numbers = {c: len(facts.structure.nodes_of_category(c)) for c in _COUNTED_CATEGORIES}
    return [{"type": "category_count", "category": c, "value": n} for c, n in numbers.items() if n]


@lru_cache(maxsize=1)
def _choices(facts: GraphFacts) -> list[Claim]:
    claims: list[Claim] = []
    for category in _CHOICE_CATEGORIES:
        kinds = facts.layer_types(category).value
        if 0 < len(kinds) <= _MAX_KINDS:
            claims.append({"type": "category_layers", "category": category, "layers": list(kinds)})
    sizes = facts.kernel_sizes().value
    if 0 < len(sizes) <= _MAX_SIZES:
        claims.append({"type": "kernel_sizes", "sizes": list(sizes)})
    return claims


@lru_cache(maxsize=1)
def _attention(facts: GraphFacts) -> list[Claim]:
    form = facts.structure
    heads, shared = form.attention_values("num_heads"), form.attention_values("num_kv_heads")
    claims: list[Claim] = [{"type": "heads", "values": list(heads)}] if 0 < len(heads) <= _MAX_SIZES else []
    if 0 < len(shared) <= _MAX_SIZES and shared != heads:
        claims.append({"type": "kv_heads", "values": list(shared)})
    windows = form.attention_values("window")
    if 0 < len(windows) <= _MAX_SIZES:
        claims.append({"type": "window", "values": list(windows)})
    return claims + ([{"type": "causal", "extent": form.causal}] if form.causal in ("all", "some") else [])


def _experts(facts: GraphFacts) -> list[Claim]:
    numbers = facts.attribute_values("num_experts").value
    return [{"type": "experts", "value": numbers[0]}] if len(numbers) == 1 else []


@lru_cache(maxsize=1)
def _skips(facts: GraphFacts) -> list[Claim]:
    numbers = {op: facts.structure.skip_connections(op)[0] for op in ("add", "cat")}
    claims: list[Claim] = [{"type": "skip_connections", "op": op, "value": n} for op, n in numbers.items()]
    return [claim for claim in claims if claim["value"]]


@lru_cache(maxsize=1)
def _resolution(facts: GraphFacts) -> list[Claim]:
    numbers = {"downsampling": len(facts.structure.downsampling), "grouped": len(facts.structure.grouped)}
    return [{"type": name, "value": number} for name, number in numbers.items() if number]


def _order(rng: random.Random, facts: GraphFacts) -> list[Claim]:
    kinds = facts.layer_kinds
    pairs = Counter((k, kinds[p]) for n, k in enumerate(kinds) for p in facts.predecessors[n])
    named = sorted((-n, pair) for pair, n in pairs.items() if all(pair) and pair[0] != pair[1])[:4]
    claims: list[Claim] = [{"type": "follows", "layer": layer, "after": after} for _, (layer, after) in named]
    return _some(rng, claims, 2)


def _absent(rng: random.Random, facts: GraphFacts) -> list[Claim]:
    absent = [c for c in _ABSENT_CATEGORIES if not facts.structure.nodes_of_category(c)]
    return _some(rng, [{"type": "lacks_category", "category": c} for c in absent], 1)
