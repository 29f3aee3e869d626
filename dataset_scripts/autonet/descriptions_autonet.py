"""Descriptions of AutoNet (paper, section 4.2, Table 8 and appendix A.4), with two kinds of negatives.

* *paper*: a sentence that speaks of layers that the architecture does not contain, of which many occur in no
  architecture of the set. The text alone gives most of these away.
* *matched*: the same sentence stands once beside an architecture of which it is true and once beside one of the same
  split of which it is false. The two rows share a `group`; the text alone says nothing.

Every label is computed by `GraphFacts` from the claims that the sentence makes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.questions_archbert import LAYER_NAMES

from .claims_autonet import Claim, claims_hold, counted_layer, draw_claim, present_layers, say_claim

NETWORK_NAMES: tuple[str, ...] = (
    "architecture", "neural network", "neural architecture", "network", "model", "neural network architecture",
    "deep network",
)  # fmt: skip

NUM_CLAIMS: dict[int, int] = {1: 8, 2: 17, 3: 40, 4: 35}
"""Claims of a description -> weight (the matched ones are shorter)."""
POSITIVE_TYPES: dict[str, int] = {
    "contains": 66, "parameters": 8, "num_layers": 3, "count": 5, "lacks": 6, "kernel_size": 5, "follows": 4,
    "more": 2, "most_frequent": 1,
}  # fmt: skip
"""Claim type -> weight in the positive descriptions of the paper's kind."""
MATCHED_TYPES: dict[str, int] = {
    "contains": 30, "lacks": 15, "kernel_size": 14, "more": 13, "most_frequent": 8, "follows": 11,
    "lacks_category": 3, "count": 2, "parameters": 3, "num_layers": 1,
}  # fmt: skip
"""Claim type -> weight in the matched descriptions."""
MATCHED_GROUPS_PER_ARCHITECTURE = 8
_MATCHED_PAIR_SHARE = 0.2
_NEAR_MISS_SHARE = 0.5
_PARTNERS_TRIED = 48
_PARTNERS_WANTED = 6
_ATTEMPTS = 200

_Key = TypeVar("_Key")


class Description(NamedTuple):
    """A sentence and whether it is true of the architecture it stands beside.

    Attributes:
        text: one to three sentences.
        label: 1 where it is true, else 0.
        negative_kind: `""` for a true one, `"paper"` or `"matched"` for a false one.
        group: identifier that the two rows of a matched sentence share, else `""`.
        claims: JSON list of the claims of the text; all of them have to hold.
    """

    text: str
    label: int
    negative_kind: str
    group: str
    claims: str


def say(rng: random.Random, claims: Sequence[Mapping[str, Any]], clause_share: float) -> str:
    """One to three sentences that make the claims, in their order, and no other claim.

    Args:
        rng: source of randomness.
        claims: one to four claims.
        clause_share: share of contained layers that come with a clause on what they do.
    """
    parts = _joined_counts(rng, claims) or [say_claim(rng, claim, clause_share) for claim in claims]
    sentences: list[str] = []
    while parts:
        take = 2 if len(parts) > 1 and (rng.random() < 0.7 or len(sentences) == 2 or len(parts) == 4) else 1
        taken, parts = parts[:take], parts[take:]
        sentences.append(f"{_subject(rng, bool(sentences))} {_joined(rng, taken)}.")
    return " ".join(sentences)


def paper_descriptions(rng: random.Random, facts: GraphFacts) -> list[Description]:
    """Ten or eleven different descriptions of an architecture, about three of them true, the others of kind `paper`.

    Args:
        rng: source of randomness.
        facts: facts of the architecture.
    """
    total = 11 if rng.random() < 1 / 3 else 10
    positives = 3 + (rng.random() < 0.15)
    absent = [layer for layer in LAYER_NAMES if facts.holds({"type": "lacks", "layer": layer}).value]
    found: dict[str, Description] = {}
    for _ in range(_ATTEMPTS):
        if len(found) == total:
            break
        positive = len(found) < positives
        claims = _true_claims(rng, facts) if positive else _absent_claims(rng, absent)
        if claims_hold(facts, claims) is not positive:
            continue
        text = say(rng, claims, clause_share=0.85)
        kind = "" if positive else "paper"
        found.setdefault(text, Description(text, int(positive), kind, "", json.dumps(claims)))
    descriptions = list(found.values())
    rng.shuffle(descriptions)
    return descriptions


class MatchedDescriptions:
    """Makes matched descriptions for a set of architectures.

    A sentence is drawn to be true of one architecture; of some others of which it is false the one with the fewest
    false sentences so far becomes its partner, so that the architecture alone says little either. Half of the
    partners of sentences on order, kernels and comparisons have the layers that the sentence names.

    Args:
        facts: facts of the architectures; all of one split.
    """

    def __init__(self, facts: Sequence[GraphFacts]) -> None:
        self.facts = facts
        self._negatives = [0] * len(facts)
        self._texts: set[str] = set()

    def sample(self, rng: random.Random, index: int) -> tuple[Description, int] | None:
        """A sentence that is true of architecture `index`, and the index of one of which it is false.

        The sentence differs from all that were sampled before. Its `group` is left empty.

        Returns:
            The positive description and the partner, or None where there is no such pair.
        """
        for _ in range(_ATTEMPTS):
            claims = self._draw(rng, index)
            if claims is None or claims_hold(self.facts[index], claims) is not True:
                continue
            text = say(rng, claims, clause_share=0.2)
            partner = None if text in self._texts else self._partner(rng, index, claims)
            if partner is not None:
                self._texts.add(text)
                self._negatives[partner] += 1
                return Description(text, 1, "", "", json.dumps(claims)), partner
        return None

    def _draw(self, rng: random.Random, index: int) -> list[Claim] | None:
        wanted = 1 + (rng.random() < _MATCHED_PAIR_SHARE)
        drawn = [draw_claim(rng, self.facts[index], _weighted(rng, MATCHED_TYPES)) for _ in range(wanted)]
        claims = [claim for claim in drawn if claim is not None]
        return claims if len(claims) == wanted and _different(claims) else None

    def _partner(self, rng: random.Random, index: int, claims: Sequence[Claim]) -> int | None:
        near = [c[k] for c in claims if c["type"] in _NEAR_MISS_TYPES for k in ("layer", "after", "than") if c.get(k)]
        if rng.random() >= _NEAR_MISS_SHARE:
            near = []
        tried = rng.sample(range(len(self.facts)), min(_PARTNERS_TRIED, len(self.facts)))
        for required in [near, []] if near else [[]]:
            candidates = []
            for other in tried:
                facts = self.facts[other]
                if other != index and all(facts.nodes_of(k) for k in required) and claims_hold(facts, claims) is False:
                    candidates.append(other)
                if len(candidates) == _PARTNERS_WANTED:
                    break
            if candidates:
                return min(candidates, key=lambda other: self._negatives[other])
        return None


def matched_descriptions(
    rng: random.Random, facts: Sequence[GraphFacts], groups_per_architecture: int = MATCHED_GROUPS_PER_ARCHITECTURE
) -> list[tuple[int, Description]]:
    """Matched descriptions of some architectures: every text once with label 1 and once with label 0.

    They depend on nothing but the arguments. A single architecture has none.

    Args:
        rng: source of randomness.
        facts: facts of the architectures; all of one split.
        groups_per_architecture: groups in which an architecture is the true one; it is about as often the false one.

    Returns:
        Pairs of an index into `facts` and a description, by index.
    """
    sampler = MatchedDescriptions(facts)
    rows: list[tuple[int, Description]] = []
    for index in range(len(facts)):
        for number in range(groups_per_architecture):
            found = sampler.sample(rng, index)
            if found is not None:
                positive = found[0]._replace(group=f"{index}-{number}")
                rows += [(index, positive), (found[1], positive._replace(label=0, negative_kind="matched"))]
    return sorted(rows, key=lambda row: row[0])


_NEAR_MISS_TYPES = ("follows", "kernel_size", "more", "most_frequent")


def _true_claims(rng: random.Random, facts: GraphFacts) -> list[Claim]:
    wanted = _weighted(rng, NUM_CLAIMS)
    if wanted == 4 and rng.random() < 0.4:
        counts = list(facts.layer_counts().items())[: rng.randint(2, 3)]
        total: list[Claim] = [{"type": "num_layers", "value": facts.num_layers().value}]
        return total + [{"type": "count", "layer": layer, "value": n} for layer, n in counts]
    claims: list[Claim] = []
    for _ in range(10 * wanted):
        claim = draw_claim(rng, facts, _weighted(rng, POSITIVE_TYPES))
        if claim is not None and _different([*claims, claim]):
            claims.append(claim)
        if len(claims) == wanted:
            break
    return claims or [{"type": "contains", "layer": layer} for layer in present_layers(facts)[:1]]


def _absent_claims(rng: random.Random, absent: Sequence[str]) -> list[Claim]:
    wanted = _weighted(rng, NUM_CLAIMS)
    return [{"type": "contains", "layer": layer} for layer in rng.sample(absent, min(wanted, len(absent)))]


def _weighted(rng: random.Random, weights: Mapping[_Key, int]) -> _Key:
    return rng.choices(list(weights), list(weights.values()))[0]


def _different(claims: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no two claims are of one type and about one thing."""
    keys = [(claim["type"], claim.get("layer", claim.get("category", ""))) for claim in claims]
    return len(set(keys)) == len(keys)


def _subject(rng: random.Random, later: bool) -> str:
    name = f"this {rng.choice(NETWORK_NAMES)}"
    if not later:
        return name.capitalize()
    return rng.choice(
        ("It also", "It", "It further", f"Additionally, {name}", f"{name.capitalize()} also", f"Besides, {name}")
    )


def _joined(rng: random.Random, parts: Sequence[str]) -> str:
    return rng.choice((" and ", ", and ", ", and it ")).join(parts)


def _joined_counts(rng: random.Random, claims: Sequence[Mapping[str, Any]]) -> list[str]:
    """One phrase for a total and the counts of some layers; empty for any other claims."""
    if len(claims) < 2 or claims[0]["type"] != "num_layers" or any(c["type"] != "count" for c in claims[1:]):
        return []
    counts = [counted_layer(rng, claim) for claim in claims[1:]]
    listed = counts[0] if len(counts) == 1 else f"{', '.join(counts[:-1])} and {counts[-1]}"
    lead = rng.choice(("has {} layers in total, among them", "consists of {} layers, which include"))
    return [f"{lead.format(claims[0]['value'])} {listed}"]
