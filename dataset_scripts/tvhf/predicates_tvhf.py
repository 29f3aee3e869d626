"""Predicates over the facts of an architecture, as parsed by `predicate_parser_tvhf`, and their values.

* Values are true, false or unknown (None); `and`, `or` and `not` are Kleene's (1952). What the facts do not tell is
  unknown.
* A fact of towers without a scope speaks of all towers: true where it holds of each, false where it holds of none.
* The sign `~` is *about*: true within the tolerance (5%), false beyond three times that, unknown between.

What the facts mean stands in `schema_tvhf`; `facts_tvhf.ArchitectureFacts` gives their values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from .schema_tvhf import FACTS, FactSpec

Truth = bool | None
"""True, False, or None: unknown."""

TOLERANCE = 0.05
GREY_ZONE = 3.0
"""A number that is off by more than the tolerance and at most this many times as much is neither about it nor not."""

SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class FactView(Protocol):
    """What a predicate asks of an architecture; `facts_tvhf.ArchitectureFacts` answers."""

    def scoped(self, scope: str) -> tuple[Sequence[Callable[[str], Any]], bool]:
        """For a scope the look-ups of its towers, and whether there may be others that belong to it."""

    def value(self, name: str) -> Any:
        """A fact of the whole network or of the table; None where it is unknown."""

    def call(self, name: str, arguments: tuple[str, ...]) -> Any:
        """What a call gives: a truth value or a number; None where it is unknown."""


def kleene_not(value: Truth) -> Truth:
    """Negation: unknown stays unknown."""
    return None if value is None else not value


def kleene_and(values: Sequence[Truth]) -> Truth:
    """Conjunction: false where one is false, else unknown where one is unknown."""
    return False if False in values else None if None in values else True


def kleene_or(values: Sequence[Truth]) -> Truth:
    """Disjunction: true where one is true, else unknown where one is unknown."""
    return True if True in values else None if None in values else False


def unanimous(values: Sequence[Truth]) -> Truth:
    """The value that all have; unknown where they differ or there are none."""
    return values[0] if values and all(v is values[0] for v in values) else None


class Predicate(Protocol):
    """A parsed predicate."""

    def evaluate(self, view: FactView) -> Truth:
        """Its value for an architecture."""


@dataclass(frozen=True)
class Junction:
    """`and`, `or` or `not` over parts."""

    kind: str
    parts: tuple[Any, ...]

    def evaluate(self, view: FactView) -> Truth:
        """See `Predicate`; parts that cannot change the value any more are not asked."""
        if self.kind == "not":
            return kleene_not(self.parts[0].evaluate(view))
        decisive = self.kind == "or"
        known: Truth = not decisive
        for part in self.parts:
            value = part.evaluate(view)
            if value is decisive:
                return decisive
            known = None if value is None else known
        return known


class Operand(NamedTuple):
    """The right side of a comparison: a constant, or `factor` times another fact, of the tower of `scope`."""

    value: Any = None
    fact: str = ""
    factor: float = 1.0
    tolerance: float = TOLERANCE
    scope: str = ""

    def of(self, look: Callable[[str], Any]) -> Any:
        """The value, None where it is unknown."""
        if not self.fact:
            return self.value
        found = look(self.fact)
        if found is None or self.factor == 1:
            return found
        return tuple(self.factor * v for v in found) if isinstance(found, tuple) else self.factor * found


@dataclass(frozen=True)
class Comparison:
    """A fact beside a value. Facts of towers are compared tower by tower, `scope` says in which."""

    fact: str
    scope: str
    sign: str
    operand: Operand

    def evaluate(self, view: FactView) -> Truth:
        """See `Predicate`."""
        spec = FACTS[self.fact]
        if spec.level != "tower":
            return self._holds(spec, view.value, view.value)
        looks, more = view.scoped(self.scope)
        others: Sequence[Callable[[str], Any]] = ()
        if self.operand.scope not in ("", self.scope):
            others, unsure = view.scoped(self.operand.scope)
            if unsure or not others:
                return None if unsure else False
        values = [self._holds(spec, look, other) for look in looks for other in others or (look,)]
        if not values:
            return None if more else False
        if self.scope == "some":
            return kleene_or([*values, None] if more else values)
        if self.scope == "each":
            return kleene_and([*values, None] if more else values)
        if len(values) > 1 and spec.additive and not self.scope:
            values.append(self._total(looks))
        return None if more else unanimous(values)

    def _holds(self, spec: FactSpec, look: Callable[[str], Any], other: Callable[[str], Any]) -> Truth:
        return compared(look(self.fact), self.sign, self.operand.of(other), spec, self.operand.tolerance)

    def _total(self, looks: Sequence[Callable[[str], Any]]) -> Truth:
        """The comparison with the sum over towers: "twelve layers" may mean those of all towers together."""
        values = [look(self.fact) for look in looks]
        if self.operand.fact or not all(isinstance(v, int) for v in values):
            return None
        return compared(sum(values), self.sign, self.operand.value, FACTS[self.fact], self.operand.tolerance)


def compared(value: Any, sign: str, wanted: Any, spec: FactSpec, tolerance: float = TOLERANCE) -> Truth:
    """`value sign wanted`; a tuple of numbers beside one number (a value for each stage) has to agree.

    Args:
        value: of a fact, None = unknown.
        sign: one of the signs of the language, or `in`: whether `wanted` is one of several values.
        wanted: what it is compared with, None = unknown.
        spec: the fact.
        tolerance: relative, of the sign `~`.
    """
    if value is None or wanted is None:
        return None
    if sign == "in":
        return value.holds(wanted) if hasattr(value, "holds") else wanted in value
    if isinstance(wanted, tuple) and spec.kind != "numbers":
        stages = value if isinstance(value, tuple) else (value,) * len(wanted)
        return unanimous([compared(v, sign, w, spec, tolerance) for v, w in zip(stages, wanted, strict=False)])
    if isinstance(value, tuple) and spec.kind == "number":
        return unanimous([compared(v, sign, wanted, spec, tolerance) for v in value])
    if sign == "~":
        off = abs(value - wanted) / wanted if wanted else float(value != wanted)
        return True if off <= tolerance else False if off > GREY_ZONE * tolerance else None
    return SIGNS[sign](value, wanted)


@dataclass(frozen=True)
class Call:
    """A question to the graph, at will compared with a number."""

    name: str
    arguments: tuple[str, ...]
    sign: str = ""
    number: float = 0
    tolerance: float = TOLERANCE

    def evaluate(self, view: FactView) -> Truth:
        """See `Predicate`."""
        value = view.call(self.name, self.arguments)
        if not self.sign:
            return value
        return compared(value, self.sign, self.number, _COUNT, self.tolerance)


_COUNT = FactSpec("number", "network", "a count")
