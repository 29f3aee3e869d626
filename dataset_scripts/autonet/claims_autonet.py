"""Claims about an architecture, and what is said for each: typed predicates and their verb phrases.

A claim is a dictionary that `GraphFacts.holds` evaluates. Claims here are drawn from what a graph shows, so they are
true of it; whether one is true of any other graph is again asked of that graph's facts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.questions_archbert import LAYER_NAMES

from .layer_phrases_autonet import CATEGORY_NAMES, LAYER_PHRASES, layer_category, noun_phrase, plural, with_article

Claim = dict[str, Any]


def claims_hold(facts: GraphFacts, claims: Sequence[Mapping[str, Any]]) -> bool | None:
    """Whether all claims are true of an architecture: False where one is false, else None where one is unknown."""
    return facts.all_hold(claims)


def present_layers(facts: GraphFacts) -> list[str]:
    """Layers of an architecture, in the order of `LAYER_NAMES`."""
    return list(facts.layer_types().value)


def rounded_parameters(count: int) -> int:
    """A number of parameters as a description gives it: three leading digits."""
    digits = max(len(str(count)) - 3, 0)
    return round(count / 10**digits) * 10**digits


def draw_claim(rng: random.Random, facts: GraphFacts, claim_type: str) -> Claim | None:
    """A random claim of a type that is true of the architecture; None where there is none.

    Raises:
        ValueError: an unknown claim type.
    """
    if claim_type not in _DRAWERS:
        raise ValueError(f"{claim_type!r} is no claim type; there are {', '.join(_DRAWERS)}.")
    claim = _DRAWERS[claim_type](rng, facts)
    return {"type": claim_type, **claim} if claim is not None else None


def say_claim(rng: random.Random, claim: Mapping[str, Any], clause_share: float = 0.0) -> str:
    """A verb phrase for a claim, to follow "this network" or "it".

    Args:
        rng: source of randomness.
        claim: the claim.
        clause_share: share of mentioned layers of `contains` claims that come with a clause on what they do.
    """
    return _SPEAKERS[claim["type"]](rng, claim, clause_share)


def layer_phrase(rng: random.Random, layer: str, clause_share: float = 0.0) -> str:
    """A layer with its article and, at times, a clause on what it does."""
    phrase = with_article(noun_phrase(rng, layer))
    if rng.random() < clause_share:
        phrase += f" {rng.choice(('which', 'that'))} {rng.choice(LAYER_PHRASES[layer].clauses)}"
    return phrase


def _draw_contains(rng: random.Random, facts: GraphFacts) -> Claim | None:
    layers = present_layers(facts)
    return {"layer": rng.choice(layers)} if layers else None


def _draw_lacks(rng: random.Random, facts: GraphFacts) -> Claim | None:
    return {"layer": rng.choice([layer for layer in LAYER_NAMES if not facts.nodes_of(layer)])}


def _draw_lacks_category(rng: random.Random, facts: GraphFacts) -> Claim | None:
    present = {layer_category(layer) for layer in present_layers(facts)}
    missing = [category for category in CATEGORY_NAMES if category not in present]
    return {"category": rng.choice(missing)} if missing else None


def _draw_count(rng: random.Random, facts: GraphFacts) -> Claim | None:
    counts = facts.layer_counts()
    if not counts:
        return None
    layer = rng.choice(list(counts))
    return {"layer": layer, "value": counts[layer]}


def _draw_num_layers(rng: random.Random, facts: GraphFacts) -> Claim | None:
    return {"value": facts.num_layers().value}


def _draw_parameters(rng: random.Random, facts: GraphFacts) -> Claim | None:
    count = facts.parameters().value
    return {"value": rounded_parameters(count)} if count >= 1000 else None


def _draw_kernel_size(rng: random.Random, facts: GraphFacts) -> Claim | None:
    layers = [layer for layer in present_layers(facts) if facts.kernel_sizes(layer).value]
    if not layers:
        return None
    layer = rng.choice(layers)
    size = rng.choice(facts.kernel_sizes(layer).value)
    return {"layer": layer if rng.random() < 0.7 else "", "size": size}


def _draw_more(rng: random.Random, facts: GraphFacts) -> Claim | None:
    counts = facts.layer_counts()
    pairs = [(a, b) for a, n in counts.items() for b, m in counts.items() if n > m]
    if not pairs:
        return None
    layer, than = rng.choice(pairs)
    return {"layer": layer, "than": than}


def _draw_most_frequent(rng: random.Random, facts: GraphFacts) -> Claim | None:
    counts = list(facts.layer_counts().items())
    if not counts or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return None
    return {"layer": counts[0][0]}


def _draw_follows(rng: random.Random, facts: GraphFacts) -> Claim | None:
    kinds = facts.layer_kinds
    edges = [(kind, kinds[p]) for n, kind in enumerate(kinds) for p in facts.predecessors[n]]
    pairs = sorted({(layer, after) for layer, after in edges if layer and after and layer != after})
    if not pairs:
        return None
    layer, after = rng.choice(pairs)
    return {"layer": layer, "after": after}


_DRAWERS: dict[str, Callable[[random.Random, GraphFacts], Claim | None]] = {
    "contains": _draw_contains,
    "lacks": _draw_lacks,
    "lacks_category": _draw_lacks_category,
    "count": _draw_count,
    "num_layers": _draw_num_layers,
    "parameters": _draw_parameters,
    "kernel_size": _draw_kernel_size,
    "more": _draw_more,
    "most_frequent": _draw_most_frequent,
    "follows": _draw_follows,
}
CLAIM_TYPES: tuple[str, ...] = tuple(_DRAWERS)
"""Every type of claim."""


def _say_contains(rng: random.Random, claim: Mapping[str, Any], clause_share: float) -> str:
    verb = rng.choice(("contains", "has", "includes", "uses", "makes use of", "comes with", "employs", "features"))
    return f"{verb} {layer_phrase(rng, claim['layer'], clause_share)}"


def _say_lacks(rng: random.Random, claim: Mapping[str, Any], clause_share: float) -> str:
    phrase = noun_phrase(rng, claim["layer"])
    return rng.choice(
        (f"does not contain {with_article(phrase)}", f"has no {phrase}", f"lacks {with_article(phrase)}",
         f"does without any {phrase}", f"does not use any {phrase}", f"makes no use of {plural(phrase)}")
    )  # fmt: skip


def _say_lacks_category(rng: random.Random, claim: Mapping[str, Any], clause_share: float) -> str:
    phrase = rng.choice(CATEGORY_NAMES[claim["category"]])
    return rng.choice(
        (f"does not contain any {phrase}", f"has no {phrase}", f"does without any {phrase}", f"lacks any {phrase}")
    )


def _say_count(rng: random.Random, claim: Mapping[str, Any], clause_share: float) -> str:
    verb = rng.choice(("has", "contains", "uses", "includes", "runs"))
    exactly = rng.choice(("exactly ", "", "a total of "))
    return f"{verb} {exactly}{counted_layer(rng, claim)}"


def counted_layer(rng: random.Random, claim: Mapping[str, Any]) -> str:
    """A `count` claim as a noun phrase, as in "80 relu layers"."""
    phrase = noun_phrase(rng, claim["layer"])
    return f"{claim['value']} {phrase if claim['value'] == 1 else plural(phrase)}"


def _say_num_layers(rng: random.Random, claim: Mapping[str, Any], clause_share: float) -> str:
    value = claim["value"]
    return rng.choice(
        (f"has {value} layers in total", f"consists of {value} layers", f"counts {value} layers",
         f"is built from {value} layers altogether")
    )  # fmt: skip


def _say_parameters(rng: random.Random, claim: Mapping[str, Any], clause_share: float) -> str:
    value = claim["value"]
    if value >= 100_000:
        amount = f"{value / 1e6:g} {rng.choice(('Million', 'million', 'M'))}"
    else:
        amount = f"{value / 1e3:g} {rng.choice(('thousand', 'Thousand', 'K'))}"
    verb, about = rng.choice(("has", "contains", "comes with")), rng.choice(("about", "around", "roughly"))
    return f"{verb} {about} {amount} {rng.choice(('parameters', 'Parameters', 'learnable parameters'))}"


def _say_kernel_size(rng: random.Random, claim: Mapping[str, Any], clause_share: float) -> str:
    size = claim["size"].replace("*", rng.choice(("*", "*", "x", " by ")))
    if claim["layer"]:
        phrase = with_article(noun_phrase(rng, claim["layer"]))
        return rng.choice(
            (f"has {phrase} with a kernel size of {size}", f"uses {phrase} with {size} kernels",
             f"contains {phrase} whose kernel is {size}")
        )  # fmt: skip
    return rng.choice(
        (f"uses a kernel size of {size} in some layer", f"has kernels of size {size}",
         f"contains a layer with a kernel of {size}")
    )  # fmt: skip


def _say_more(rng: random.Random, claim: Mapping[str, Any], clause_share: float) -> str:
    more, fewer = plural(noun_phrase(rng, claim["layer"])), plural(noun_phrase(rng, claim["than"]))
    return rng.choice(
        (f"has more {more} than {fewer}", f"contains more {more} than {fewer}", f"has fewer {fewer} than {more}",
         f"uses {more} more often than {fewer}", f"uses {fewer} less often than {more}")
    )  # fmt: skip


def _say_most_frequent(rng: random.Random, claim: Mapping[str, Any], clause_share: float) -> str:
    phrase = noun_phrase(rng, claim["layer"])
    return rng.choice(
        (f"uses {plural(phrase)} more often than any other layer", f"has the {phrase} as its most frequent layer",
         f"consists mostly of {plural(phrase)}", f"has more {plural(phrase)} than layers of any other kind")
    )  # fmt: skip


def _say_follows(rng: random.Random, claim: Mapping[str, Any], clause_share: float) -> str:
    layer, after = with_article(noun_phrase(rng, claim["layer"])), with_article(noun_phrase(rng, claim["after"]))
    return rng.choice(
        (f"applies {layer} directly after {after}", f"has {after} directly followed by {layer}",
         f"places {layer} right behind {after}", f"feeds the output of {after} straight into {layer}")
    )  # fmt: skip


_SPEAKERS: dict[str, Callable[[random.Random, Mapping[str, Any], float], str]] = {
    "contains": _say_contains,
    "lacks": _say_lacks,
    "lacks_category": _say_lacks_category,
    "count": _say_count,
    "num_layers": _say_num_layers,
    "parameters": _say_parameters,
    "kernel_size": _say_kernel_size,
    "more": _say_more,
    "most_frequent": _say_most_frequent,
    "follows": _say_follows,
}
