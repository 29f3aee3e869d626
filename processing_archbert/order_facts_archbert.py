"""Order, repetition and skip connections of one graph: which layer is the third, what is the main block.

A fact is None where the graph leaves it open, as the third of two equally deep layers does. Every pass is linear in
nodes and edges, but for the additions of `StructureFacts.skip_connections`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .folding_archbert import Block, level_signatures, node_kinds, repeated_blocks
from .graph_facts_archbert import GraphFacts

_LEAST_LEVELS, _LEAST_LAYERS = 2, 2


class Skip(NamedTuple):
    """A skip connection: `add` reads `source` and what layers made of it; `inside` are the nodes between."""

    source: int
    add: int
    inside: tuple[int, ...]


class OrderFacts:
    """Order, repetition and skip connections, computed on demand and kept.

    Args:
        facts: facts of the graph.

    Attributes:
        names: for each of the m nodes its layer kind, or its op type where it is no layer.
    """

    def __init__(self, facts: GraphFacts) -> None:
        self.facts, self.graph = facts, facts.graph
        self.names = tuple(kind or op for kind, op in zip(facts.layer_kinds, self.graph.op_types, strict=True))

    @cached_property
    def depths(self) -> np.ndarray:
        """Steps of the longest path that ends in each node, (m,)."""
        return self.graph.depths

    def nth(self, nodes: Sequence[int], index: int) -> int | None:
        """The node at a place among some nodes; None where there is none or its place is not settled.

        It is settled where the order of execution agrees with that of depth, and no other is equally deep.

        Args:
            nodes: nodes in order of execution.
            index: from 0; from the end where negative.
        """
        if not -len(nodes) <= index < len(nodes):
            return None
        node, depths = nodes[index], self.depths[list(nodes)]
        alone = int((depths == self.depths[node]).sum()) == 1
        return node if alone and int((depths < self.depths[node]).sum()) == index % len(nodes) else None

    @cached_property
    def main_block(self) -> Block | None:
        """The repeated block that covers most levels, where one does; at least two levels and two layers."""
        numbers = np.concatenate([self.graph.shapes, self.graph.attributes], axis=1)
        signatures = level_signatures(node_kinds(self.graph.op_types, numbers), self.depths)
        blocks = repeated_blocks(signatures, max_blocks=len(signatures))
        blocks.sort(key=lambda block: (-block.period * block.repeats, block.start))
        covered = [block.period * block.repeats for block in blocks[:2]]
        if not blocks or blocks[0].period < _LEAST_LEVELS or (len(covered) == 2 and covered[0] == covered[1]):
            return None
        return blocks[0] if len(self._within(blocks[0], 0, self.facts.num_layers().nodes)) >= _LEAST_LAYERS else None

    def in_block(self, index: int, nodes: Iterable[int]) -> tuple[int, ...]:
        """Those of some nodes that stand in one repetition of the main block, from 0 or from the end."""
        block = self.main_block
        if block is None or not -block.repeats <= index < block.repeats:
            return ()
        return self._within(block, index % block.repeats, nodes)

    def _within(self, block: Block, index: int, nodes: Iterable[int]) -> tuple[int, ...]:
        start = block.start + index * block.period
        found = np.fromiter(nodes, dtype=np.int64)
        depths = self.depths[found]
        return tuple(found[(depths >= start) & (depths < start + block.period)].tolist())

    @property
    def residual_additions(self) -> tuple[int, ...]:
        """Additions of a value and what layers made of it, in order of execution."""
        return self.facts.structure.skip_connections("add")[1]

    def skip(self, index: int) -> Skip | None:
        """The skip connection at a place, by the order of the additions; None where it is not settled.

        Of an addition that closes several it is the longest.
        """
        add = self.nth(self.residual_additions, index)
        if add is None:
            return None
        layers = self.facts.structure.layers
        read = self.facts.predecessors[add]
        for source in sorted(set(read), key=lambda s: (int(self.depths[s]), s)):
            inside = self.between(source, add)
            if layers & set(inside) and any(other in inside for other in read):
                return Skip(source, add, inside)
        return None

    def between(self, source: int, target: int) -> tuple[int, ...]:
        """The nodes on the paths from one node to another, without these two, in order of execution."""
        after, before = {source}, {target}
        for node in range(source + 1, target):
            if any(p in after for p in self.facts.predecessors[node]):
                after.add(node)
        for node in range(target - 1, source, -1):
            if any(s in before for s in self.facts.successors[node]):
                before.add(node)
        return tuple(sorted(after & before))
