"""What tasks give: plain values with what they rest on, for the page and for the API alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .networks import Network

COMPUTED, PREDICTED, CANNOT_TELL = "computed", "predicted", "cannot_tell"
GOOD, BAD, NEUTRAL = "good", "bad", "neutral"


@dataclass(frozen=True)
class Score:
    """A number with its name; `low` to `high` is its range, `mark` where it decides."""

    name: str
    value: float
    low: float = 0.0
    high: float = 1.0
    mark: float | None = None


@dataclass(frozen=True)
class Result:
    """The result of one task.

    Attributes:
        headline: the answer in a word or a few.
        basis: `computed`, `predicted` or `cannot_tell`.
        tone: whether the answer is `good`, `bad` or `neutral`.
        scores: numbers that belong to it.
        lines: sentences that explain it.
        facts: names with values, as a table.
        networks: the networks that it is about.
        nodes: for each of these the indices of the nodes that show it.
        data: the same for programs.
    """

    headline: str
    basis: str
    tone: str = NEUTRAL
    scores: tuple[Score, ...] = ()
    lines: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    networks: tuple[Network, ...] = ()
    nodes: tuple[tuple[int, ...], ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    def evidence(self, number: int = 0) -> list[str]:
        """Names of the nodes of one network that show the answer, each once, in order."""
        if number >= len(self.nodes):
            return []
        graph = self.networks[number].graph
        return list(dict.fromkeys(graph.node_names[n] or graph.op_types[n] for n in self.nodes[number]))
