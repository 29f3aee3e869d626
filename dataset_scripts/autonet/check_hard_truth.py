"""What is true of a graph for the questions of `aqa_hard`, derived a second time with networkx.

Shares no code with the facts that answer the data: depths are generations of a topological sort, blocks are looked
for level by level, skip connections by ancestors, and what a view lacks is removed here once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any

import networkx as nx

from .check_truth import GraphTruth, category_of

_ORDER = ("first", "second", "third", "fourth", "fifth")
_LONGEST_PERIOD = 256


class UnsettledError(ValueError):
    """A question that the graph leaves open, so that it should not have been asked."""


def pick(items: Sequence[Any], position: str) -> Any:
    """The item at a position that is given in words.

    Raises:
        UnsettledError: there are fewer items.
    """
    index = {"last": -1, "second to last": -2}.get(position)
    index = _ORDER.index(position) if index is None else index
    try:
        return items[index]
    except IndexError:
        raise UnsettledError(f"there are {len(items)} items, so none is the {position}") from None


class HardTruth:
    """Answers to hard questions about one graph.

    Args:
        graph: a `networkx.DiGraph` as `ArchitectureGraph.to_networkx` makes it.
        num_parameters: unique parameters of the network.
    """

    def __init__(self, graph: Any, num_parameters: int) -> None:
        self.graph = graph
        self.truth = GraphTruth(graph, num_parameters)

    @cached_property
    def level(self) -> dict[int, int]:
        """Node -> steps of the longest path to it."""
        return {n: i for i, nodes in enumerate(nx.topological_generations(self.graph)) for n in nodes}

    def name(self, node: int) -> str:
        """What a node is called: its layer, else its operation."""
        return self.truth.kinds.get(node) or self.graph.nodes[node]["op_type"]

    def names(self, nodes: Any) -> list[str]:
        """Names of some nodes, each once, sorted."""
        return sorted({self.name(node) for node in nodes})

    def nodes(self, layer: str) -> list[int]:
        """Nodes of a layer kind in order of execution, each layer once."""
        return sorted(node for node, kind in self.truth.counted.items() if kind == layer)

    def settled(self, nodes: Sequence[int], position: str) -> int:
        """The node at a position, if levels and execution agree on it.

        Raises:
            UnsettledError: they do not.
        """
        node = pick(sorted(nodes), position)
        ranks = sorted(self.level[n] for n in nodes)
        if ranks.count(self.level[node]) != 1 or ranks.index(self.level[node]) != sorted(nodes).index(node):
            raise UnsettledError(f"it is not settled which layer is the {position}")
        return int(node)

    @cached_property
    def main_block(self) -> tuple[int, int, int]:
        """First level, number of levels and number of repetitions of the main block.

        Raises:
            UnsettledError: there is none.
        """
        levels: list[Counter[Any]] = [Counter() for _ in range(max(self.level.values()) + 1)]
        for node, level in self.level.items():
            levels[level][self.graph.nodes[node]["label"]] += 1
        content = [hash(frozenset(level.items())) for level in levels]
        runs, at = [], 0
        while at < len(content):
            best = max(((p * r, -p, r) for p, r in _repetitions(content, at)), default=None)
            if best is None:
                at += 1
            else:
                runs.append((at, -best[1], best[2]))
                at += best[0]
        covered = sorted((p * r for _, p, r in runs), reverse=True)
        if not runs or covered[:2].count(covered[0]) == 2:
            raise UnsettledError("there is no main block")
        return next(run for run in runs if run[1] * run[2] == covered[0])

    def block_nodes(self, position: str) -> set[int]:
        """Nodes of one repetition of the main block."""
        start, period, repeats = self.main_block
        first = pick([start + i * period for i in range(repeats)], position)
        return {node for node, level in self.level.items() if first <= level < first + period}

    @cached_property
    def skips(self) -> dict[int, int]:
        """Addition that closes a skip connection -> the earliest node that it reads past something."""
        found = {}
        for node, data in self.graph.nodes(data=True):
            read = list(self.graph.predecessors(node)) if data["op_type"] == "add" else []
            sources = [a for a in read if any(b in self._below[a] and self._made(a, b) for b in read)]
            if sources:
                found[node] = min(sources, key=lambda n: (self.level[n], n))
        return found

    @cached_property
    def _below(self) -> dict[int, set[int]]:
        """For every node the nodes that it leads to; made from the end."""
        below: dict[int, set[int]] = {}
        for node in reversed(list(nx.topological_sort(self.graph))):
            readers = set(self.graph.successors(node))
            below[node] = readers.union(*(below[reader] for reader in readers))
        return below

    def _made(self, source: int, node: int) -> bool:
        """Whether a counted layer below `source` is `node` or leads to it."""
        return any(n == node or node in self._below[n] for n in self._below[source] & self.truth.counted.keys())

    def bypassed(self, position: str) -> list[int]:
        """Counted layers on the paths that a skip connection goes around."""
        add = self.settled(list(self.skips), position)
        between = self._below[self.skips[add]] & self.truth.counted.keys()
        return sorted(node for node in between if add in self._below[node])

    def heaviest(self) -> str:
        """Kind of layer with most parameters.

        Raises:
            UnsettledError: something else has nearly as many.
        """
        sums: Counter[str] = Counter()
        for node, data in self.graph.nodes(data=True):
            sums[self.name(node)] += data["parameters"]
        (kind, most), *others = sums.most_common(2)
        if not most or most * 4 < 5 * sum(n for _, n in others) or not category_of(kind):
            raise UnsettledError("no kind of layer clearly holds the most parameters")
        return kind

    def values(self, attribute: str, layers: Sequence[str] = ()) -> list[str]:
        """Values of an attribute (of some layers), ascending."""
        nodes = [n for layer in layers for n in self.nodes(layer)] if layers else list(self.graph.nodes)
        found = {self.graph.nodes[n]["attributes"].get(attribute, 0) for n in nodes}
        if layers and 0 in found:
            raise UnsettledError(f"{attribute} is missing")
        return [str(value) for value in sorted(found - {0})]

    @property
    def may_attend(self) -> bool:
        """Whether any operation could be attention."""
        ops = {data["op_type"] for _, data in self.graph.nodes(data=True)}
        return any(category_of(op) == "attention" or op in ("matmul", "einsum", "tensordot") for op in ops)


def _repetitions(content: Sequence[int], at: int) -> list[tuple[int, int]]:
    """(period, repetitions) of what begins at a level and follows itself."""
    found = []
    for period in range(1, min(_LONGEST_PERIOD, (len(content) - at) // 2) + 1):
        end = at
        while end + period < len(content) and content[end] == content[end + period]:
            end += 1
        if end - at >= period:
            found.append((period, 1 + (end - at) // period))
    return found


def rounded(number: int) -> str:
    """A number to two significant digits, half up."""
    value = Decimal(number)
    return str(int(value.quantize(Decimal((0, (1,), max(value.adjusted() - 1, 0))), ROUND_HALF_UP)))
