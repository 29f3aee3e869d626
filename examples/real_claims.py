"""The claims of a statement about real networks: what each is about, and the number in it, from its predicate."""

from __future__ import annotations

from typing import Any, NamedTuple

from dataset_scripts.tvhf.predicate_parser_tvhf import parse
from dataset_scripts.tvhf.predicates_tvhf import Call, Comparison, Junction
from dataset_scripts.tvhf.schema_tvhf import CALLS, FACTS
from processing_archbert.questions_archbert import LAYER_NAMES
from processing_archbert.text_numbers_archbert import stated_numbers

CLAIM_KINDS: tuple[str, ...] = tuple(f"real: {name}" for name in (*FACTS, *CALLS))
"""Types of claims about real networks, one for each fact and call of the predicates of TVHF."""
SAME_NUMBER = 0.06
"""A number of a predicate is stated where a text has one that differs by no more than this part."""

_ATTENTION, _NORMS = ("scaled_dot_product_attention", "MultiheadAttention"), ("LayerNorm", "RMSNorm")
_SUBJECTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("heads", "kv_heads", "head_dim", "window", "attention_layers", "attention", "cross"), _ATTENTION),
    "hidden": _NORMS, "intermediate": ("Linear",), "norm_position": _NORMS, "rotary": ("RotaryEmbedding",),
    **dict.fromkeys(("vocabulary", "positions", "token_types"), ("Embedding",)),
    **dict.fromkeys(("patch", "stem_kernel", "stem_stride", "grouped", "depthwise"), ("Conv2d",)),
}  # fmt: skip
"""Fact -> the layers that show it."""


class Claim(NamedTuple):
    """One claim of a statement.

    Attributes:
        kind: one of `CLAIM_KINDS`.
        number: the number that it holds, None without one.
        subject: answers (layers, a kernel size) that name the nodes which show it; none where these are no layers.
    """

    kind: str
    number: float | None
    subject: tuple[str, ...]


def claims_of(predicate: str) -> list[Claim]:
    """The claims that a predicate joins, in its order.

    Raises:
        PredicateError: it cannot be read.
    """
    return [claim for part in _parts(parse(predicate)) if (claim := _claim(part)) is not None]


def claims_said(text: str, predicate: str) -> tuple[Claim, ...]:
    """The claims of a sentence in the order of their numbers in it; a number that it does not state is left out.

    Claims without a number keep their place after the claim that the predicate has before them.
    """
    found = [(number.start, number.value) for number in stated_numbers(text)]
    placed: list[tuple[int, int, Claim]] = []
    last = -1
    for claim in claims_of(predicate):
        places = [start for start, value in found if _same(value, claim.number)]
        if not places:
            claim = claim._replace(number=None)
        last = places[0] if places else last
        placed.append((last, len(placed), claim))
    return tuple(claim for _, _, claim in sorted(placed, key=lambda place: place[:2]))


def _parts(node: Any) -> list[Any]:
    """The tests of a predicate, without what joins them."""
    return [test for part in node.parts for test in _parts(part)] if isinstance(node, Junction) else [node]


def _claim(test: Any) -> Claim | None:
    if isinstance(test, Call):
        if test.name == "kernel":
            layer, kernel = test.arguments
            size = (kernel.replace("x", "*"),) if kernel.count("x") == 1 else ()
            return Claim("real: kernel", None, (*_layers((layer,)), *size))
        return Claim(f"real: {test.name}", float(test.number) if test.sign else None, _layers(test.arguments[:1]))
    if not isinstance(test, Comparison):
        return None
    value = test.operand.value
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    named = _layers((str(value),))
    return Claim(f"real: {test.fact}", number, named or _SUBJECTS.get(test.fact, ()))


def _layers(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in LAYER_NAMES)


def _same(stated: float, number: float | None) -> bool:
    return number is not None and abs(stated - number) <= SAME_NUMBER * abs(number)
