"""Puts claims of captions right by the graph, and says them in words that the reader of captions understands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .caption_reading_archbert import Claim
from .graph_facts_archbert import GraphFacts
from .ops_archbert import op_category
from .structure_facts_archbert import FAMILIES

_FAMILY_NOUNS = {"convolution": "convolution", "attention": "attention", "recurrent": "recurrence"}
_ADJECTIVES = {"convolution": "convolutional"}
_INPUTS = {"image": "images", "volume": "volumes", "signal": "one-dimensional signals", "tokens": "token sequences"}
_OUT_NOUNS = {"convolution": "filters", "linear": "output features", "embedding": "entries"}
_CONVOLUTIONS = ("Dil_conv2d", "Sep_conv2d")
_MOST_LISTED = 4
_EXTENTS = {"all": "causal attention throughout", "some": "causal attention in some layers",
            "none": "attention without a causal mask"}  # fmt: skip


def mended_claim(claim: Claim, facts: GraphFacts) -> Claim | None:
    """What is true where a claim is not, said of the same thing; None where there is nothing of that kind to say.

    Args:
        claim: a claim that the graph contradicts.
        facts: of the graph.
    """
    mend = _MENDED.get(claim["type"])
    right = None if mend is None else mend(claim, facts)
    return right if right is not None and facts.holds(right).value else None


def say_claim(claim: Claim, bare: bool) -> str:
    """A claim in words: a noun phrase, or with a verb where it is not `bare` or has no noun phrase."""
    kind = claim["type"]
    if kind in ("first_layer", "last_layer"):
        return f"{'starts' if kind == 'first_layer' else 'ends'} with {_boundary(claim)}"
    if kind == "follows":
        return f"applies {_article(_layer(claim['layer'], 1))} directly after {_article(_layer(claim['after'], 1))}"
    words = _NOUN_PHRASES[kind](claim)
    return words if bare else f"has {words}"


def opening_of(facts: GraphFacts) -> tuple[str, list[Claim]]:
    """What the network is and reads, as in "a convolutional network for images", and the claims of these words."""
    form = facts.structure
    families = [family for family in FAMILIES if form.nodes_of_category(family)]
    inputs = [kind for kind in _INPUTS if kind in form.input_kinds]
    claims: list[Claim] = [{"type": "families", "families": families}] if families else []
    claims += [{"type": "input", "kind": kind} for kind in inputs]
    known = [claim for claim in claims if facts.holds(claim).value is not False]
    families = families if claims and claims[0] in known and families else []
    words = "network"
    if len(families) == 1:
        words = f"{_ADJECTIVES.get(families[0], families[0])} network"
    elif families:
        words = f"hybrid network of {_listed([_FAMILY_NOUNS[family] for family in families])}"
    said = [_INPUTS[claim["kind"]] for claim in known if claim["type"] == "input"]
    return _article(words) + (f" for {_listed(said)}" if said else ""), known


def _counted(key: str, count: Callable[[Claim, GraphFacts], int]) -> Callable[[Claim, GraphFacts], Claim | None]:
    """Mends the number of something; nothing is said of none."""

    def mend(claim: Claim, facts: GraphFacts) -> Claim | None:
        number = count(claim, facts)
        return {**claim, key: number} if number else None

    return mend


def _values(column: str) -> Callable[[Claim, GraphFacts], Claim | None]:
    def mend(claim: Claim, facts: GraphFacts) -> Claim | None:
        values = list(facts.structure.attention_values(column))
        return {**claim, "values": values} if 0 < len(values) <= _MOST_LISTED else None

    return mend


def _listed_facts(key: str, read: Callable[[Claim, GraphFacts], tuple[str, ...]]) -> Any:
    def mend(claim: Claim, facts: GraphFacts) -> Claim | None:
        found = list(read(claim, facts))
        return {**claim, key: found} if 0 < len(found) <= _MOST_LISTED else None

    return mend


def _parameters(claim: Claim, facts: GraphFacts) -> Claim | None:
    count = facts.parameters().value
    digits = max(len(str(count)) - 3, 0)
    return {**claim, "value": round(count / 10**digits) * 10**digits} if count else None


def _edge_layer(claim: Claim, facts: GraphFacts) -> Claim | None:
    """The first or last layer as it is; of several the one that the claim names."""
    form = facts.structure
    nodes = form.first_layers if claim["type"] == "first_layer" else form.last_layers
    details = [form.details(node) for node in nodes]
    named = [one for one in details if one["layer"] == claim["layer"]] or details
    if not named:
        return None
    said = {key: value for key, value in named[0].items() if (key, value) != ("stride", 1)}
    return {"type": claim["type"], **said}


def _block(claim: Claim, facts: GraphFacts) -> Claim | None:
    """The longest run of the same block."""
    layers = tuple(sorted(claim["layers"].items()))
    runs = [block for block in facts.structure.repeated if block.layers == layers]
    if not runs:
        return None
    longest = max(block.repeats for block in runs)
    stages = sum(block.repeats == longest for block in runs)
    right = {"type": "repeated_block", "repeats": longest, "layers": claim["layers"]}
    return right | ({"stages": stages} if stages > 1 else {})


def _most_frequent(claim: Claim, facts: GraphFacts) -> Claim | None:
    counts = facts.layer_counts()
    return {**claim, "layer": next(iter(counts))} if counts else None


def _experts(claim: Claim, facts: GraphFacts) -> int:
    values = facts.attribute_values("num_experts").value
    return values[0] if len(values) == 1 else 0


_MENDED: dict[str, Callable[[Claim, GraphFacts], Claim | None]] = {
    "parameters": _parameters,
    "num_layers": _counted("value", lambda c, f: f.num_layers().value),
    "depth": _counted("value", lambda c, f: f.structure.depth[0]),
    "num_inputs": _counted("value", lambda c, f: f.graph.op_types.count("input")),
    "num_outputs": _counted("value", lambda c, f: f.graph.op_types.count("output")),
    "count": _counted("value", lambda c, f: f.count(c["layer"]).value),
    "category_count": _counted("value", lambda c, f: len(f.structure.nodes_of_category(c["category"]))),
    "skip_connections": _counted("value", lambda c, f: f.structure.skip_connections(c["op"])[0]),
    "downsampling": _counted("value", lambda c, f: len(f.structure.downsampling)),
    "grouped": _counted("value", lambda c, f: len(f.structure.grouped)),
    "experts": _counted("value", _experts),
    "heads": _values("num_heads"),
    "kv_heads": _values("num_kv_heads"),
    "window": _values("window"),
    "causal": lambda c, f: {**c, "extent": f.structure.causal} if f.structure.causal else None,
    "kernel_sizes": _listed_facts("sizes", lambda c, f: f.kernel_sizes().value),
    "category_layers": _listed_facts("layers", lambda c, f: f.layer_types(c["category"]).value),
    "first_layer": _edge_layer,
    "last_layer": _edge_layer,
    "repeated_block": _block,
    "most_frequent": _most_frequent,
}


def _listed(words: list[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _article(words: str) -> str:
    """As it is spoken: an RNN, a ReLU, an LSTM."""
    first = words.split()[0]
    spelled = first[:2].isupper() and first not in ("ReLU", "ReLUSquared", "RReLU", "SiLU", "GELU", "CELU", "PReLU")
    vowel = first[0].lower() in ("aefhilmnorsx" if spelled else "aeio")
    return f"{'an' if vowel else 'a'} {words}"


def _layer(kind: str, count: int) -> str:
    noun = "activation" if _category(kind) == "activation" else "layer"
    return f"{kind} {noun}{'' if count == 1 else 's'}"


def _category(kind: str) -> str:
    return "convolution" if kind in _CONVOLUTIONS else op_category(kind)


def _category_layer(category: str, count: int) -> str:
    return f"{_ADJECTIVES.get(category, category)} layer{'' if count == 1 else 's'}"


def _many(claim: Claim, words: str) -> str:
    """A number of something; `words` in the plural, with `s` in the place of its ending."""
    return f"{claim['value']} {words.replace('%', '' if claim['value'] == 1 else 's')}"


def _amount(value: int) -> str:
    for scale, word in ((10**9, " billion"), (10**6, " million"), (10**3, " thousand")):
        if value >= scale:
            return f"{value / scale:g}{word}"
    return str(value)


def _boundary(claim: Claim) -> str:
    noun = _OUT_NOUNS.get(_category(claim["layer"]), "")
    forms = (("kernel", "kernel {}"), ("stride", "stride {}"), ("out", f"{{}} {noun}"))
    parts = [form.format(str(claim[key]).replace("*", "x")) for key, form in forms if key in claim]
    words = _article(_layer(claim["layer"], 1))
    return f"{words} ({', '.join(parts)})" if parts else words


def _repeated(claim: Claim) -> str:
    block = _listed([f"{number} {_layer(kind, number)}" for kind, number in claim["layers"].items()])
    stages = f" in each of {claim['stages']} stages" if "stages" in claim else ""
    return f"a block of {block} that comes {claim['repeats']} times in a row{stages}"


def _per_layer(claim: Claim, noun: str) -> str:
    values = _listed([str(value) for value in claim["values"]], "or")
    return f"{values} {noun}{'' if claim['values'] == [1] else 's'} per attention layer"


_SKIPS = {"add": "residual connection%", "cat": "skip connection% by concatenation"}
_NOUN_PHRASES: dict[str, Callable[[Claim], str]] = {
    "parameters": lambda c: f"about {_amount(c['value'])} parameters",
    "num_layers": lambda c: _many(c, "layer% in total"),
    "depth": lambda c: f"a depth of {_many(c, 'layer%')}",
    "num_inputs": lambda c: _many(c, "input%"),
    "num_outputs": lambda c: _many(c, "output%"),
    "count": lambda c: f"{c['value'] or 'no'} {_layer(c['layer'], c['value'])}",
    "category_count": lambda c: f"{c['value'] or 'no'} {_category_layer(c['category'], c['value'])}",
    "skip_connections": lambda c: _many(c, _SKIPS[c["op"]]),
    "downsampling": lambda c: _many(c, "layer% with a stride above 1"),
    "grouped": lambda c: _many(c, "grouped convolution%"),
    "experts": lambda c: _many(c, "expert%"),
    "heads": lambda c: _per_layer(c, "head"),
    "kv_heads": lambda c: _per_layer(c, "key-value head"),
    "window": lambda c: f"attention windows of {_listed([str(v) for v in c['values']], 'or')} positions",
    "causal": lambda c: _EXTENTS[c["extent"]],
    "kernel_sizes": lambda c: f"kernels of {_listed([size.replace('*', 'x') for size in c['sizes']])} only",
    "category_layers": lambda c: (
        f"{_listed(c['layers'])} as its only {_category_layer(c['category'], len(c['layers']))}"
    ),
    "lacks_category": lambda c: f"no {_category_layer(c['category'], 2)}",
    "contains": lambda c: _layer(c["layer"], 2),
    "lacks": lambda c: f"no {_layer(c['layer'], 2)}",
    "most_frequent": lambda c: f"{_layer(c['layer'], 2)} as its most frequent kind",
    "repeated_block": _repeated,
}
