"""Checks what a model card says of the architecture against the graph: right, wrong (and what is right), cannot tell.

`wrong` is said only where the graph is whole and shows something else with certainty; every doubt is `cannot tell`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.graph_overview_archbert import family
from processing_archbert.network_numbers_archbert import QUANTITIES, NetworkNumbers
from processing_archbert.network_properties_archbert import LAYER_GROUPS, holds
from processing_archbert.ops_archbert import op_category

from .card_claims import CardClaim, read_claims
from .card_reading import CardSentence, read_card
from .card_scope import own_text, skipped_section
from .description import short

RIGHT, WRONG, UNKNOWN = VERDICTS = ("right", "wrong", "cannot tell")
SAME_PARAMETERS, OTHER_PARAMETERS = 0.05, 0.15
"""Up to which relative difference a number of parameters is right, and from which it is wrong."""
SAME_VOCABULARY = 0.03
"""From which relative difference a vocabulary is wrong."""
POSITION_OFFSET = 2
"""Rows that a table of positions may have beyond the positions that are spoken of."""


class JudgedClaim(NamedTuple):
    """A claim with its verdict, and what the graph shows, in words (empty where that is not known)."""

    claim: CardClaim
    verdict: str
    shown: str


@dataclass(frozen=True)
class JudgedSentence:
    """A sentence that speaks of the architecture, with its claims and its verdict.

    The verdict is `wrong` where one claim is, `right` where all are, else `cannot tell`.
    """

    sentence: CardSentence
    claims: tuple[JudgedClaim, ...]

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        found = {claim.verdict for claim in self.claims}
        return WRONG if WRONG in found else RIGHT if found == {RIGHT} else UNKNOWN

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of plain values."""
        claims = [
            {"kind": j.claim.name or j.claim.kind, "says": j.claim.value, "scope": j.claim.scope, "text": j.claim.text,
             "verdict": j.verdict, "shown": j.shown}
            for j in self.claims
        ]  # fmt: skip
        return {"line": self.sentence.line, "text": self.sentence.text, "verdict": self.verdict, "claims": claims}


def verify_card(graph: ArchitectureGraph, text: str, names: Iterable[str] = ()) -> list[JudgedSentence]:
    """The sentences of a card that speak of the architecture, judged, in order.

    Args:
        graph: the network that the card is of.
        text: the card, in Markdown.
        names: further names of the network.
    """
    card = read_card(text)
    numbers = NetworkNumbers(graph)
    own = [*card.names, *names, graph.name.removesuffix("Model")]
    judged = []
    for sentence in card.sentences:
        if skipped_section(sentence.section):
            continue
        claims = read_claims(own_text(sentence.text, own))
        if claims:
            judged.append(JudgedSentence(sentence, tuple(judge(numbers, claim) for claim in claims)))
    return judged


def statement_holds(numbers: NetworkNumbers, text: str) -> bool | None:
    """Whether a statement on a network holds: False where a claim of it is wrong, True where it is claims that are
    right and nothing else, None where the graph does not decide.

    Args:
        numbers: the network.
        text: a statement such as "a transformer with 12 layers".
    """
    return _held(numbers, text)[0]


def _held(numbers: NetworkNumbers, text: str) -> tuple[bool | None, bool]:
    """What `statement_holds` says, and whether a claim is right."""
    claims = [judge(numbers, claim) for claim in read_claims(text)]
    verdicts = {claim.verdict for claim in claims}
    partly = RIGHT in verdicts
    rest = text.lower()
    for claim in claims:
        rest = rest.replace(claim.claim.text.lower(), " ")
    for word, families in _FAMILY_WORDS.items():
        if re.search(rf"\b{word}\b", rest) and numbers.whole:
            found = family(numbers.graph)
            if found in ("hybrid", "other"):
                return False if WRONG in verdicts else None, partly
            verdicts.add(RIGHT if found in families else WRONG)
            rest = re.sub(rf"\b{word}\b", " ", rest)
    if WRONG in verdicts:
        return False, partly
    whole = verdicts == {RIGHT} and not set(re.findall(r"[\w-]+", rest)) - _PLAIN_WORDS
    return True if whole else None, partly


DECIDED, PARTLY_RIGHT = 1e4, 1.6
"""Log odds: of what the graph decides (more than any model gives), and of a statement with a claim that is right and
words that are not read. Of such statements on the validation networks of TVHF 83% are right."""


def statement_evidence(numbers: NetworkNumbers, text: str) -> float:
    """What the graph says of a statement, in log odds that are added to a model's: 0 where it says nothing.

    Args:
        numbers: the network.
        text: a statement such as "a transformer with 12 layers for German law".
    """
    found, partly = _held(numbers, text)
    if found is not None:
        return DECIDED if found else -DECIDED
    return PARTLY_RIGHT if partly else 0.0


def with_evidence(probability: float, evidence: float) -> float:
    """The probability of a statement from that of a model and `statement_evidence`."""
    bounded = min(max(probability, 1e-6), 1 - 1e-6)
    odds = math.log(bounded / (1 - bounded)) + evidence
    return 1 / (1 + math.exp(-odds)) if abs(odds) < 700 else float(odds > 0)


_FAMILY_WORDS = {"transformer": ("transformer",), "convolutional": ("convolutional",), "cnn": ("convolutional",),
                 "recurrent": ("recurrent",)}  # fmt: skip
_PLAIN_WORDS = frozenset("a an the with and it has uses is of network neural model architecture this that in".split())


def judge(numbers: NetworkNumbers, claim: CardClaim) -> JudgedClaim:
    """A claim held against the graph."""
    verdict, shown = _JUDGES.get(claim.kind, _exact)(numbers, claim)
    return JudgedClaim(claim, verdict, shown)


def _exact(numbers: NetworkNumbers, claim: CardClaim) -> tuple[str, str]:
    """A number of the towers: right where one of them has it, or all together."""
    indices = numbers.in_scope(claim.scope)
    fact = numbers.number(claim.kind, claim.scope)
    if fact.value is None:
        return UNKNOWN, ""
    shown = "; ".join(numbers.words(claim.kind, claim.scope))
    tower = QUANTITIES[claim.kind].tower
    if claim.value in fact.value:
        return RIGHT, shown
    staged = [i for i in indices if numbers.towers[i].role in ("stages", "stack")]
    if claim.kind == "layers":
        values = [numbers.towers[i].facts[tower] for i in indices]
        if claim.value == sum(sum(v) if isinstance(v, tuple) else v for v in values):
            return RIGHT, shown
        if "attention" in claim.text.lower():  # others may stand between them
            return UNKNOWN, shown
    if (staged and tower) or (tower and len(indices) > 1 and not claim.scope and not _linked(numbers)):
        return UNKNOWN, shown
    if not fact.value and claim.kind not in ("experts", "experts_per_token", "window", "kv_heads", "heads"):
        return UNKNOWN, shown
    return WRONG, shown


def _linked(numbers: NetworkNumbers) -> bool:
    return numbers.kind == "encoder-decoder"


def _parameters(numbers: NetworkNumbers, claim: CardClaim) -> tuple[str, str]:
    actual = numbers.graph.num_parameters
    shown = f"{actual:,}"
    if not numbers.whole or claim.scope or not actual:
        return UNKNOWN, shown
    candidates = [actual]
    if numbers.kind == "decoder-only":  # a card may count an output layer of its own, which the base model has not
        candidates += [actual + rows * _width(numbers) for rows in numbers.number("vocabulary").value or ()]
    error = min(abs(int(str(claim.value)) - c) / c for c in candidates)
    if claim.digits == 0 and claim.value in candidates:
        return RIGHT, shown
    if error <= SAME_PARAMETERS and claim.digits:
        return RIGHT, f"{shown} ({short(actual)})"
    return (WRONG if error > OTHER_PARAMETERS else UNKNOWN), f"{shown} ({short(actual)})"


def _width(numbers: NetworkNumbers) -> int:
    widths = numbers.number("hidden_size").value or (0,)
    return int(widths[0])


def _vocabulary(numbers: NetworkNumbers, claim: CardClaim) -> tuple[str, str]:
    rows = numbers.number("vocabulary", claim.scope).value
    if not rows:
        return UNKNOWN, ""
    shown = ", ".join(f"{n:,}" for n in rows)
    said = int(str(claim.value))
    if said in rows or any(claim.digits and _rounded(n, claim.digits) == said for n in rows):
        return RIGHT, shown
    error = min(abs(said - n) / n for n in rows)
    return (WRONG if error > SAME_VOCABULARY else UNKNOWN), shown


def _rounded(value: int, digits: int) -> int:
    scale = 10 ** max(0, len(str(value)) - digits)
    return (value + scale // 2) // scale * scale


def _positions(numbers: NetworkNumbers, claim: CardClaim) -> tuple[str, str]:
    rows = numbers.number("positions", claim.scope).value
    if not rows:
        return UNKNOWN, ""
    shown = ", ".join(f"{n:,}" for n in rows)
    said = _binary(int(str(claim.value)), claim)
    if any(n - POSITION_OFFSET <= said <= n for n in rows):
        return RIGHT, shown
    if claim.kind == "context" and said < max(rows):
        return UNKNOWN, shown
    return WRONG, shown


def _binary(said: int, claim: CardClaim) -> int:
    """A number of tokens; `4K` means 4096."""
    return said // 1000 * 1024 if claim.digits and said % 1000 == 0 and "k" in claim.text.lower() else said


def _window(numbers: NetworkNumbers, claim: CardClaim) -> tuple[str, str]:
    return _exact(numbers, claim._replace(value=_binary(int(str(claim.value)), claim)))


def _kernel(numbers: NetworkNumbers, claim: CardClaim) -> tuple[str, str]:
    graph = numbers.graph
    if not numbers.whole:
        return UNKNOWN, ""
    swept = [n for n, op in enumerate(graph.op_types) if op_category(op) == "convolution"]
    if any(graph.op_types[n][-2] != "2" for n in swept) or not swept:
        return UNKNOWN, ""
    sizes = sorted({numbers.facts.kernel_size(n) for n in swept})
    return (RIGHT if claim.value in sizes else WRONG), f"kernels {', '.join(s.replace('*', 'x') for s in sizes)}"


def _stages(numbers: NetworkNumbers, claim: CardClaim) -> tuple[str, str]:
    fact = "layers" if claim.kind == "stages" else "width"
    found = [t.facts[fact] for t in numbers.towers if isinstance(t.facts[fact], tuple)]
    if len(found) != 1 or not numbers.whole:
        return UNKNOWN, ""
    shown = ", ".join(f"{n:,}" for n in found[0])
    if claim.value == found[0]:
        return RIGHT, shown
    if claim.kind == "widths" and any(claim.value == t.facts["intermediate"] for t in numbers.towers):
        return RIGHT, shown
    same = isinstance(claim.value, tuple) and len(claim.value) == len(found[0])
    return (WRONG if same else UNKNOWN), shown


def _holds(numbers: NetworkNumbers, claim: CardClaim) -> tuple[str, str]:
    fact = holds(numbers, claim.name)
    if fact.value is None:
        return UNKNOWN, ""
    shown = _instead(numbers, claim.name) if claim.value else f"{claim.name}: {'yes' if fact.value else 'no'}"
    return (RIGHT if fact.value == claim.value else WRONG), shown


def _instead(numbers: NetworkNumbers, name: str) -> str:
    """What the network has where a property or a kind of layer was spoken of."""
    if name in LAYER_GROUPS:
        category = LAYER_GROUPS[name][0]
        kinds = numbers.facts.layer_types(category).value
        return f"{category}: {', '.join(kinds) if kinds else 'none'}"
    if name.endswith(("-only", "encoder-decoder")) and numbers.kind:
        return numbers.kind
    heads = "; ".join(numbers.words("heads")), "; ".join(numbers.words("kv_heads"))
    if name.endswith("query attention"):
        return f"{heads[0]} heads, {heads[1]} of keys and values"
    fact = holds(numbers, name)
    return f"{name}: {'yes' if fact.value else 'no'}"


_JUDGES: dict[str, Callable[[NetworkNumbers, CardClaim], tuple[str, str]]] = {
    "parameters": _parameters,
    "vocabulary": _vocabulary,
    "positions": _positions,
    "context": _positions,
    "window": _window,
    "kernel": _kernel,
    "stages": _stages,
    "widths": _stages,
    "holds": _holds,
}
