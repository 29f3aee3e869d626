"""What a graph shows of its form: where it begins and ends, what repeats, what skips, how attention is set up.

These are the facts behind the claims of captions. `GraphFacts.structure` holds them, `GraphFacts.holds` asks them.
Every predicate gives a pair: the value, and the nodes that show it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .folding_archbert import level_signatures, node_kinds
from .ops_archbert import INPUT_OP, OUTPUT_OP, op_category
from .questions_archbert import DILATED_CONVOLUTION, SEPARABLE_CONVOLUTION

FAMILIES: tuple[str, ...] = ("convolution", "attention", "recurrent")
"""Categories of layers that name a kind of network."""
MAX_PERIOD = 64
"""Levels of the longest block whose repetition is looked for."""
_KINDS_BY_RANK = {"1": "signal", "2": "image", "3": "volume"}
_SIZED = ("convolution", "linear", "embedding")

Shown = tuple[Any, tuple[int, ...]]


def layer_family(kind: str) -> str:
    """Category of a layer kind; the dilated and the separable convolution are convolutions, `""` has none."""
    if kind in (DILATED_CONVOLUTION, SEPARABLE_CONVOLUTION):
        return "convolution"
    return op_category(kind) if kind else ""


class RepeatedBlock(NamedTuple):
    """Equal stretches of levels in a row, as many as there are.

    Attributes:
        start: depth of the first level.
        period: levels of one stretch.
        repeats: number of stretches, 2 or more.
        layers: (layer kind, how many in one stretch), by kind.
    """

    start: int
    period: int
    repeats: int
    layers: tuple[tuple[str, int], ...]


class StructureFacts:
    """Facts on the form of one graph, computed on demand and kept.

    Args:
        facts: `GraphFacts` of the graph.
    """

    def __init__(self, facts: Any) -> None:
        self.facts = facts
        self.graph = facts.graph

    @cached_property
    def layers(self) -> frozenset[int]:
        """Nodes that are layers, a separable convolution at its depthwise half."""
        return frozenset(self.facts.num_layers().nodes)

    def nodes_of_category(self, category: str) -> tuple[int, ...]:
        """Layers of a category."""
        return self._nodes_by_category.get(category, ())

    @cached_property
    def _nodes_by_category(self) -> dict[str, tuple[int, ...]]:
        nodes: dict[str, list[int]] = {}
        for node in sorted(self.layers):
            nodes.setdefault(layer_family(self.facts.layer_kinds[node]), []).append(node)
        return {category: tuple(found) for category, found in nodes.items()}

    def nearest_layers(self, op: str) -> list[tuple[int, tuple[int, ...]]]:
        """For each node `input` or `output` the layers that it meets first, over nodes that are none, in order."""
        steps = self.facts.successors if op == INPUT_OP else self.facts.predecessors
        kinds = self.facts.layer_kinds
        found = []
        for start in (n for n, name in enumerate(self.graph.op_types) if name == op):
            seen, waiting = {start}, deque([start])
            met: list[int] = []
            while waiting:
                for node in steps[waiting.popleft()]:
                    if node not in seen:
                        seen.add(node)
                        (met if kinds[node] else waiting).append(node)
            found.append((start, tuple(sorted(met))))
        return found

    @cached_property
    def first_layers(self) -> tuple[int, ...]:
        """Layers that an input meets first."""
        return tuple(sorted({n for _, met in self.nearest_layers(INPUT_OP) for n in met}))

    @cached_property
    def last_layers(self) -> tuple[int, ...]:
        """Layers that an output comes from."""
        return tuple(sorted({n for _, met in self.nearest_layers(OUTPUT_OP) for n in met}))

    @cached_property
    def input_kinds(self) -> dict[str, tuple[int, ...]]:
        """`tokens`, `image`, `signal` or `volume` -> inputs whose first layers show that they are that."""
        kinds: dict[str, list[int]] = {}
        for start, met in self.nearest_layers(INPUT_OP):
            if met:
                layer = self.facts.layer_kinds[met[0]]
                shown = "tokens" if layer_family(layer) == "embedding" else self._kind_by_rank(layer)
                if shown:
                    kinds.setdefault(shown, []).append(start)
        return {kind: tuple(nodes) for kind, nodes in kinds.items()}

    @staticmethod
    def _kind_by_rank(layer: str) -> str:
        swept = layer_family(layer) in ("convolution", "pooling") or layer.startswith(("BatchNorm", "InstanceNorm"))
        rank = "2" if layer == SEPARABLE_CONVOLUTION else layer[-2:-1]
        return _KINDS_BY_RANK.get(rank, "") if swept else ""

    def details(self, node: int) -> dict[str, Any]:
        """What is said of one layer: `layer`, and where it has them `kernel`, `stride` and `out`.

        `out` is the first number of its weight's shape: filters, output features, or entries of a table.
        """
        layer = self.facts.layer_kinds[node]
        found: dict[str, Any] = {"layer": layer}
        if layer_family(layer) in ("convolution", "pooling"):
            kernel, stride = self.facts.kernel_size(node), self.stride(node)
            found |= ({"kernel": kernel} if kernel else {}) | ({"stride": stride} if stride else {})
        if layer_family(layer) in _SIZED and self.graph.shapes[node, 0]:
            found["out"] = int(self.graph.shapes[node, 0])
        return found

    def stride(self, node: int) -> int:
        """Larger stride of a node; 0 for none."""
        return int(max(self.graph.attribute("stride_h")[node], self.graph.attribute("stride_w")[node]))

    @cached_property
    def depth(self) -> Shown:
        """Most layers on one path."""
        longest = [0] * self.graph.num_nodes
        for node, sources in enumerate(self.facts.predecessors):
            longest[node] = max((longest[s] for s in sources), default=0) + (node in self.layers)
        return max(longest), ()

    @cached_property
    def _skips(self) -> dict[str, tuple[int, ...]]:
        """`add` or `cat` -> nodes that join an earlier value with what layers made of that value."""
        before, through = [0] * self.graph.num_nodes, [0] * self.graph.num_nodes
        found: dict[str, list[int]] = {"add": [], "cat": []}
        for node, sources in enumerate(self.facts.predecessors):
            op = self.graph.op_types[node]
            if op in found and any(through[a] >> b & 1 for a in sources for b in sources):
                found[op].append(node)
            for source in sources:
                before[node] |= before[source] | 1 << source
                through[node] |= through[source]
            if node in self.layers:
                through[node] |= before[node]
        return {op: tuple(nodes) for op, nodes in found.items()}

    def skip_connections(self, op: str) -> Shown:
        """Number of joins by `add` or `cat` of a value with what at least one layer made of it."""
        return len(self._skips[op]), self._skips[op]

    @cached_property
    def repeated(self) -> tuple[RepeatedBlock, ...]:
        """All longest runs of equal stretches with at least one layer, by period and start.

        Levels are nodes of equal depth; they are equal where their nodes are in op, shape and attributes.
        """
        depths = self.graph.depths
        numbers = np.concatenate([self.graph.shapes, self.graph.attributes], axis=1)
        signatures = level_signatures(node_kinds(self.graph.op_types, numbers), depths)
        kinds = sorted({self.facts.layer_kinds[node] for node in self.layers})
        below = np.zeros((len(signatures) + 1, len(kinds)), dtype=np.int64)
        for node in self.layers:
            below[int(depths[node]) + 1, kinds.index(self.facts.layer_kinds[node])] += 1
        below = below.cumsum(axis=0)
        blocks = []
        for period in range(1, min(MAX_PERIOD, len(signatures) // 2) + 1):
            for start, length in _runs(signatures[:-period] == signatures[period:]):
                numbers = (below[start + period] - below[start]).tolist()
                if length >= period and any(numbers):
                    layers = tuple((kind, number) for kind, number in zip(kinds, numbers, strict=True) if number)
                    blocks.append(RepeatedBlock(start, period, (length + period) // period, layers))
        return tuple(blocks)

    def block_nodes(self, block: RepeatedBlock) -> tuple[int, ...]:
        """Nodes of all stretches of a block."""
        depths = self.graph.depths
        return tuple(np.flatnonzero((depths >= block.start) & (depths < _end(block))).tolist())

    def kinds_in_order(self, block: RepeatedBlock) -> list[str]:
        """Kinds of layers of all repetitions of a block, in the order in which they first occur."""
        return list(dict.fromkeys(self.facts.layer_kinds[n] for n in self.block_nodes(block) if n in self.layers))

    def main_blocks(self, max_kinds: int) -> list[RepeatedBlock]:
        """The repeated blocks that cover most levels, none over another, in order.

        Args:
            max_kinds: of layers in a block; one with more is left out, as is one with a single layer.
        """
        chosen: list[RepeatedBlock] = []
        for block in sorted(self.repeated, key=lambda b: (-b.period * b.repeats, b.period, b.start)):
            kinds, number, end = len(block.layers), sum(n for _, n in block.layers), _end(block)
            apart = all(_end(b) <= block.start or end <= b.start for b in chosen)
            if kinds <= max_kinds and number > 1 and apart and len(self.kinds_in_order(block)) == kinds:
                chosen.append(block)  # of the same kinds in every repetition
        return sorted(chosen)

    def attention_values(self, column: str) -> tuple[int, ...]:
        """Distinct non-zero values of an attribute of the attention layers, ascending."""
        values = self.graph.attribute(column)[list(self.nodes_of_category("attention"))]
        return tuple(sorted({int(v) for v in values if v}))

    @cached_property
    def causal(self) -> str:
        """How much of the attention is causal: `all`, `some`, `none`, or `""` without attention."""
        flags = self.graph.attribute("causal")[list(self.nodes_of_category("attention"))] > 0
        if not len(flags):
            return ""
        return "all" if flags.all() else "some" if flags.any() else "none"

    @cached_property
    def downsampling(self) -> tuple[int, ...]:
        """Convolutions (but transposed ones) and pooling layers with a stride above 1."""
        nodes = (*self.nodes_of_category("convolution"), *self.nodes_of_category("pooling"))
        kinds = self.facts.layer_kinds
        return tuple(sorted(n for n in nodes if self.stride(n) > 1 and "Transpose" not in kinds[n]))

    @cached_property
    def grouped(self) -> tuple[int, ...]:
        """Convolutions whose channels are in more than one group."""
        groups = self.graph.attribute("groups")
        return tuple(n for n in self.nodes_of_category("convolution") if groups[n] > 1)


def _end(block: RepeatedBlock) -> int:
    """Depth of the first level behind a block."""
    return block.start + block.period * block.repeats


def _runs(equal: np.ndarray) -> list[tuple[int, int]]:
    """(start, length) of the stretches of True in (n,)."""
    padded = np.concatenate([[False], equal, [False]])
    bounds = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(a), int(b - a)) for a, b in zip(bounds[::2], bounds[1::2], strict=True)]


def _families(form: StructureFacts, claim: Mapping[str, Any]) -> Shown:
    nodes = [form.nodes_of_category(family) for family in claim["families"]]
    return all(nodes), tuple(sorted(n for found in nodes for n in found))


def _matches(form: StructureFacts, nodes: tuple[int, ...], claim: Mapping[str, Any]) -> Shown:
    said = {key: value for key, value in claim.items() if key != "type"}
    fitting = tuple(n for n in nodes if said.items() <= form.details(n).items())
    return bool(fitting), fitting


def _category_layers(form: StructureFacts, claim: Mapping[str, Any]) -> Shown:
    found = form.facts.layer_types(claim["category"])
    return set(found.value) == set(claim["layers"]), found.nodes


def _repeated_block(form: StructureFacts, claim: Mapping[str, Any]) -> Shown:
    layers = tuple(sorted((str(kind), int(n)) for kind, n in claim["layers"].items()))
    blocks = [b for b in form.repeated if b.repeats == claim["repeats"] and b.layers == layers]
    right = len(blocks) == claim["stages"] if "stages" in claim else bool(blocks)
    return right, tuple(sorted({n for block in blocks for n in form.block_nodes(block)}))


def _counted(nodes: tuple[int, ...], claim: Mapping[str, Any]) -> Shown:
    return len(nodes) == claim["value"], nodes


def _attention(form: StructureFacts, column: str, claim: Mapping[str, Any]) -> Shown:
    return form.attention_values(column) == tuple(sorted(claim["values"])), form.nodes_of_category("attention")


def _nodes_of_op(form: StructureFacts, op: str) -> tuple[int, ...]:
    return tuple(n for n, name in enumerate(form.graph.op_types) if name == op)


def _experts(form: StructureFacts, claim: Mapping[str, Any]) -> Shown:
    fact = form.facts.attribute_values("num_experts")
    return fact.value == (claim["value"],), fact.nodes


def _kernel_sizes(form: StructureFacts, claim: Mapping[str, Any]) -> Shown:
    fact = form.facts.kernel_sizes()
    return set(fact.value) == set(claim["sizes"]), fact.nodes


def _skip_connections(form: StructureFacts, claim: Mapping[str, Any]) -> Shown:
    number, nodes = form.skip_connections(claim["op"])
    return number == claim["value"], nodes


STRUCTURE_CLAIMS: dict[str, Callable[[StructureFacts, Mapping[str, Any]], Shown]] = {
    "families": _families,
    "input": lambda f, c: (c["kind"] in f.input_kinds, f.input_kinds.get(c["kind"], ())),
    "num_inputs": lambda f, c: _counted(_nodes_of_op(f, INPUT_OP), c),
    "num_outputs": lambda f, c: _counted(_nodes_of_op(f, OUTPUT_OP), c),
    "first_layer": lambda f, c: _matches(f, f.first_layers, c),
    "last_layer": lambda f, c: _matches(f, f.last_layers, c),
    "category_count": lambda f, c: _counted(f.nodes_of_category(c["category"]), c),
    "category_layers": _category_layers,
    "kernel_sizes": _kernel_sizes,
    "heads": lambda f, c: _attention(f, "num_heads", c),
    "kv_heads": lambda f, c: _attention(f, "num_kv_heads", c),
    "window": lambda f, c: _attention(f, "window", c),
    "causal": lambda f, c: (f.causal == c["extent"], f.nodes_of_category("attention")),
    "experts": _experts,
    "skip_connections": _skip_connections,
    "repeated_block": _repeated_block,
    "depth": lambda f, c: (f.depth[0] == c["value"], f.depth[1]),
    "downsampling": lambda f, c: _counted(f.downsampling, c),
    "grouped": lambda f, c: _counted(f.grouped, c),
}
"""Claim type -> predicate. `GraphFacts.holds` says what the keys of a claim mean."""
