"""Facts for `aqa_hard` that `GraphFacts` does not have: order, paths, blocks, skip connections, sizes.

Every fact is None where the graph leaves it open, as the third of two equally deep layers does.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.folding_archbert import Block, level_signatures, node_kinds, repeated_blocks
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.ops_archbert import op_category
from processing_archbert.questions_archbert import SEPARABLE_CONVOLUTION

POSITIONS: dict[str, int] = {
    "first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "second to last": -2, "last": -1,
}  # fmt: skip
"""Name of a position -> index in a sequence, from the end where negative."""

EXACT_SIZES = 32
"""The model reads sizes up to this one exactly."""
ROUND_SIZES: tuple[int, ...] = (17, 18, 20, 22, 24, 26, 28, 32)
"""These times a power of two are the round sizes above `EXACT_SIZES`."""

_HEAVIER = 1.25
_RESIDUAL_OP = "add"


class Skip(NamedTuple):
    """A skip connection: `add` reads `source` and what layers made of it; `inside` are the nodes between."""

    source: int
    add: int
    inside: tuple[int, ...]


class HardFacts:
    """Order, paths, blocks, skip connections and sizes of one graph, computed on demand and kept.

    Args:
        graph: the graph.

    Attributes:
        facts: its `GraphFacts`.
        names: for each of the m nodes its layer kind, or its op type where it is no layer.
    """

    def __init__(self, graph: ArchitectureGraph) -> None:
        self.graph = graph
        self.facts = GraphFacts(graph)
        kinds = self.facts.layer_kinds
        self.names = tuple(kind or op for kind, op in zip(kinds, graph.op_types, strict=True))

    def at(self, kind: str, position: str) -> int | None:
        """The node at a position (`POSITIONS`) among the layers of a kind; None where it is not settled.

        Order is that of the longest paths that lead to the layers. It is settled where the order of execution
        agrees and no other layer of the kind is equally deep.
        """
        nodes = self.facts.nodes_of(kind)
        return self.nth(nodes, position) if kind != SEPARABLE_CONVOLUTION else None

    def nth(self, nodes: tuple[int, ...], position: str) -> int | None:
        """The same among any nodes in order of execution."""
        index = POSITIONS[position]
        if not -len(nodes) <= index < len(nodes):
            return None
        node, depths = nodes[index], self.graph.depths[list(nodes)]
        before = int((depths < self.graph.depths[node]).sum())
        alone = int((depths == self.graph.depths[node]).sum()) == 1
        return node if alone and before == index % len(nodes) else None

    def named(self, nodes: Iterable[int]) -> tuple[str, ...] | None:
        """Names of some nodes, each once and sorted; None for none or for more than three."""
        found = tuple(sorted({self.names[node] for node in nodes}))
        return found if 0 < len(found) <= 3 else None

    def depth(self, node: int) -> int:
        """Steps of the longest path that ends in a node."""
        return int(self.graph.depths[node])

    @cached_property
    def main_block(self) -> Block | None:
        """The repeated block that covers most levels, where one does; at least two levels and two layers."""
        numbers = np.concatenate([self.graph.shapes, self.graph.attributes], axis=1)
        signatures = level_signatures(node_kinds(self.graph.op_types, numbers), self.graph.depths)
        blocks = repeated_blocks(signatures, max_blocks=len(signatures))
        blocks.sort(key=lambda block: (-block.period * block.repeats, block.start))
        covered = [block.period * block.repeats for block in blocks[:2]]
        if not blocks or blocks[0].period < 2 or (len(covered) == 2 and covered[0] == covered[1]):
            return None
        layers = self.facts.num_layers().nodes
        return blocks[0] if len(self._within(blocks[0], 0, layers)) >= 2 else None

    def in_block(self, index: int, nodes: tuple[int, ...]) -> tuple[int, ...]:
        """Those of some nodes that stand in one repetition of the main block."""
        return self._within(self.main_block, index, nodes) if self.main_block else ()

    def _within(self, block: Block, index: int, nodes: tuple[int, ...]) -> tuple[int, ...]:
        start = block.start + index * block.period
        return tuple(n for n in nodes if start <= self.graph.depths[n] < start + block.period)

    def last_in_block(self, ordinal: str, kind: str) -> int | None:
        """The deepest layer of a kind in one repetition of the main block, where one is the deepest."""
        block = self.main_block
        index = POSITIONS[ordinal]
        if block is None or kind == SEPARABLE_CONVOLUTION or not -block.repeats <= index < block.repeats:
            return None
        return self.nth(self.in_block(index % block.repeats, self.facts.nodes_of(kind)), "last")

    @cached_property
    def _ancestors(self) -> list[int]:
        """For every node the set of nodes that lead to it, as the bits of an integer."""
        sets: list[int] = []
        for read in self.facts.predecessors:
            bits = 0
            for node in read:
                bits |= sets[node] | 1 << node
            sets.append(bits)
        return sets

    @cached_property
    def skips(self) -> tuple[Skip, ...]:
        """Skip connections that end in an addition, by their additions; the longest where one closes several."""
        above, found = self._ancestors, []
        for node, op in enumerate(self.graph.op_types):
            read = self.facts.predecessors[node] if op == _RESIDUAL_OP else []
            sources = [s for s in read if any(above[other] >> s & 1 for other in read)]
            for source in sorted(sources, key=lambda s: (self.depth(s), s)):
                inside = tuple(n for n in range(source + 1, node) if above[n] >> source & 1 and above[node] >> n & 1)
                if self.layers_among(inside):
                    found.append(Skip(source, node, inside))
                    break
        return tuple(found)

    def skip(self, position: str) -> Skip | None:
        """The skip connection at a position, in the order of their additions; None where it is not settled."""
        by_add = {skip.add: skip for skip in self.skips}
        node = self.nth(tuple(by_add), position)
        return by_add[node] if node is not None else None

    def layers_among(self, nodes: Iterable[int]) -> tuple[int, ...]:
        """Those of some nodes that count as layers."""
        return tuple(sorted(set(self.facts.num_layers().nodes) & set(nodes)))

    def heaviest(self) -> str | None:
        """The layer kind with most parameters, at least a quarter more than anything else has; else None."""
        sums: dict[str, int] = {}
        for name, count in zip(self.names, self.graph.node_parameters.tolist(), strict=True):
            sums[name] = sums.get(name, 0) + count
        first, second = [*sorted(sums.items(), key=lambda item: -item[1]), ("", 0)][:2]
        is_kind = first[0] == SEPARABLE_CONVOLUTION or first[0] in self.facts.layer_counts()
        return first[0] if is_kind and first[1] >= _HEAVIER * second[1] and first[1] else None

    def sizes(self, kind: str) -> tuple[int, ...]:
        """Output sizes (features or channels) of the layers of a kind, in order of execution."""
        return tuple(int(self.graph.shapes[node, 0]) for node in self.facts.nodes_of(kind))

    @cached_property
    def has_attention(self) -> bool:
        """Whether anything in the graph could be attention, written out or by name."""
        categories = {op_category(op) for op in set(self.graph.op_types)}
        products = {"matmul", "einsum", "tensordot"} & set(self.graph.op_types)
        return "attention" in categories or bool(products) or bool(self.facts.attribute_values("num_heads").value)


def is_round_size(size: int) -> bool:
    """Whether questions on sizes, settings and repetitions may have a number as answer.

    These are numbers up to 32, and `ROUND_SIZES` times a power of two. Above 32 the model reads numbers in eight
    buckets for each doubling. A bucket holds one round size, the one that the greatest power of two divides
    (64, 72, 80, 88, 96, 104 ...), so who knows the bucket and this rule knows the number.
    """
    if size <= EXACT_SIZES:
        return True
    while size > EXACT_SIZES and size % 2 == 0:
        size //= 2
    return size in ROUND_SIZES


def two_digits(count: int) -> int:
    """A number rounded half up to two significant digits."""
    unit = 10 ** max(len(str(count)) - 2, 0)
    return (count + unit // 2) // unit * unit
