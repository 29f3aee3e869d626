"""What a graph shows, computed: the truth behind data, checks and every computed answer.

Every fact comes with the nodes that show it. Nothing here is learned and nothing reads `node_names`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .architecture_graph_archbert import PACKED_WEIGHTS, ArchitectureGraph
from .folding_archbert import level_signatures, node_kinds, repeated_blocks
from .ops_archbert import ATTRIBUTE_INDEX, is_layer, op_category
from .questions_archbert import (
    ANSWER_INDEX,
    DILATED_CONVOLUTION,
    LAYER_FUNCTIONS,
    LAYER_NAMES,
    NOTHING_OF,
    QUESTION_TYPES,
    SEPARABLE_CONVOLUTION,
    absent,
)
from .structure_facts_archbert import STRUCTURE_CLAIMS, StructureFacts

PARAMETER_TOLERANCE = 0.05


class Fact(NamedTuple):
    """A computed value and the nodes that show it."""

    value: Any
    nodes: tuple[int, ...] = ()


class GraphFacts:
    """Facts of one graph, computed on demand and kept.

    Args:
        graph: the graph.

    Attributes:
        layer_kinds: for each of the m nodes the name of the layer that it is, `""` for a node that is none. A Conv2d
            with dilation above 1 is a `Dil_conv2d`; a depthwise Conv2d directly followed by a 1x1 Conv2d is, with it,
            a `Sep_conv2d` (both are facts about nodes, not op types).
    """

    def __init__(self, graph: ArchitectureGraph) -> None:
        self.graph = graph
        self._kernel_sizes: dict[str | None, Fact] = {}

    @cached_property
    def predecessors(self) -> list[list[int]]:
        """For every node the nodes whose output it reads."""
        return self.graph.predecessors()

    @cached_property
    def successors(self) -> list[list[int]]:
        """For every node the nodes that read its output."""
        return self.graph.successors()

    @cached_property
    def _separable(self) -> dict[int, list[int]]:
        """Depthwise half -> pointwise halves of the separable convolutions."""
        graph = self.graph
        shapes, groups = graph.shapes, graph.attribute("groups")
        pairs = {}
        for node, op in enumerate(graph.op_types):
            if op == "Conv2d" and groups[node] > 1 and shapes[node, 1] == 1 and not self._dilated(node):
                pointwise = [
                    s for s in self.successors[node]
                    if graph.op_types[s] == "Conv2d" and groups[s] <= 1 and tuple(shapes[s, 2:]) == (1, 1)
                ]  # fmt: skip
                if pointwise:
                    pairs[node] = pointwise
        return pairs

    def _dilated(self, node: int) -> bool:
        start = ATTRIBUTE_INDEX["dilation_h"]
        return bool((self.graph.attributes[node, start : start + 2] > 1).any())

    @cached_property
    def layer_kinds(self) -> tuple[str, ...]:
        """See the class."""
        kinds = [op if is_layer(op) else "" for op in self.graph.op_types]
        for node, op in enumerate(self.graph.op_types):
            if op == "Conv2d" and self._dilated(node):
                kinds[node] = DILATED_CONVOLUTION
        for depthwise, pointwise in self._separable.items():
            for node in (depthwise, *pointwise):
                kinds[node] = SEPARABLE_CONVOLUTION
        return tuple(kinds)

    @cached_property
    def _nodes_of_kind(self) -> dict[str, tuple[int, ...]]:
        nodes: dict[str, list[int]] = {}
        for node, kind in enumerate(self.layer_kinds):
            if kind and (kind != SEPARABLE_CONVOLUTION or node in self._separable):
                nodes.setdefault(kind, []).append(node)
        return {kind: tuple(found) for kind, found in nodes.items()}

    def nodes_of(self, kind: str) -> tuple[int, ...]:
        """The nodes of a layer kind; a separable convolution is counted at its depthwise half."""
        return self._nodes_of_kind.get(kind, ())

    def layer_types(self, category: str | None = None) -> Fact:
        """Kinds of layers in the network (of one category), in the order of `LAYER_NAMES`."""
        kinds = [k for k in LAYER_NAMES if k in self._nodes_of_kind and category in (None, _kind_category(k))]
        return Fact(tuple(kinds), tuple(sorted(n for k in kinds for n in self.nodes_of(k))))

    def count(self, kind: str) -> Fact:
        """How many layers of this kind the network runs (a re-used layer once per use)."""
        return Fact(len(self.nodes_of(kind)), self.nodes_of(kind))

    def layer_counts(self) -> dict[str, int]:
        """Number of layers of every kind, most frequent first, equal ones by name."""
        counts = Counter({kind: len(nodes) for kind, nodes in self._nodes_of_kind.items()})
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def num_layers(self) -> Fact:
        """Number of layers of all kinds."""
        return Fact(len(self._layers), self._layers)

    @cached_property
    def _layers(self) -> tuple[int, ...]:
        return tuple(sorted(n for found in self._nodes_of_kind.values() for n in found))

    def kernel_size(self, node: int) -> str:
        """Kernel of a node as `height*width` (`depth*height*width` in three dimensions), `""` without one."""
        start = ATTRIBUTE_INDEX["kernel_d"]
        depth, height, width = self.graph.attributes[node, start : start + 3].tolist()
        if not height and not width:
            return ""
        return f"{depth}*{height}*{width}" if depth else f"{height}*{width}"

    def kernel_sizes(self, kind: str | None = None) -> Fact:
        """Kernel sizes of the convolution and pooling layers (of one kind), smallest area first."""
        if kind not in self._kernel_sizes:
            swept = [k for k in self._nodes_of_kind if _kind_category(k) in ("convolution", "pooling")]
            nodes = [n for k in ([kind] if kind else swept) for n in self.nodes_of(k) if self.kernel_size(n)]
            sizes = {self.kernel_size(n) for n in nodes}
            self._kernel_sizes[kind] = Fact(tuple(sorted(sizes, key=_kernel_order)), tuple(sorted(nodes)))
        return self._kernel_sizes[kind]

    def follows(self, kind: str, after: str) -> Fact:
        """Whether a layer of `kind` directly follows one of `after`; evidence: the followers."""
        nodes = self._followers.get((kind, after), ())
        return Fact(bool(nodes), nodes)

    @cached_property
    def _followers(self) -> dict[tuple[str, str], tuple[int, ...]]:
        """(kind, kind that it directly follows) -> followers; the halves of one separable convolution do not count."""
        kinds = self.layer_kinds
        found: dict[tuple[str, str], list[int]] = {}
        for node, kind in enumerate(kinds):
            for after in {kinds[p] for p in self.predecessors[node]} - {""} if kind else ():
                if not (kind == after == SEPARABLE_CONVOLUTION) or node in self._separable:
                    found.setdefault((kind, after), []).append(node)
        return {pair: tuple(nodes) for pair, nodes in found.items()}

    def after_convolution(self, category: str) -> Fact:
        """Kinds of layers of a category that directly follow a convolution of any kind."""
        kinds = self.layer_kinds
        nodes = [
            n for n, k in enumerate(kinds)
            if k and _kind_category(k) == category
            and any(_kind_category(kinds[p]) == "convolution" for p in self.predecessors[n])
        ]  # fmt: skip
        found = {kinds[n] for n in nodes}
        return Fact(tuple(k for k in LAYER_NAMES if k in found), tuple(nodes))

    def attribute_values(self, name: str) -> Fact:
        """Distinct non-zero values of an attribute column (heads, window, experts, ...), ascending."""
        column = self.graph.attribute(name)
        nodes = np.flatnonzero(column)
        return Fact(tuple(sorted({int(v) for v in column[nodes]})), tuple(nodes.tolist()))

    def shapes_of(self, kind: str) -> Fact:
        """Distinct weight shapes `(out, in, kernel height, kernel width)` of the layers of a kind, in order."""
        nodes = self.nodes_of(kind)
        return Fact(tuple(dict.fromkeys(tuple(self.graph.shapes[n].tolist()) for n in nodes)), nodes)

    def repeated_blocks(self, max_blocks: int = 16) -> Fact:
        """Runs of equal stretches of the network, in order: `(repeats, layers in one of them)`.

        Stretches are levels of equal depth whose nodes are equal in op, shape and attributes
        (`folding_archbert.repeated_blocks`); evidence: all nodes of the runs.
        """
        depths = self.graph.depths
        numbers = np.concatenate([self.graph.shapes, self.graph.attributes], axis=1)
        signatures = level_signatures(node_kinds(self.graph.op_types, numbers), depths)
        values, nodes = [], []  # type: list[tuple[int, int]], list[int]
        for block in repeated_blocks(signatures, max_blocks):
            end = block.start + block.period * block.repeats
            inside = np.flatnonzero((depths >= block.start) & (depths < end)).tolist()
            layers = sum(1 for n in inside if n in self._layer_set)
            if layers:
                values.append((block.repeats, layers // block.repeats))
                nodes += inside
        return Fact(tuple(values), tuple(nodes))

    @cached_property
    def _layer_set(self) -> frozenset[int]:
        return frozenset(self._layers)

    def parameters(self) -> Fact:
        """Number of unique parameters of the network."""
        return Fact(self.graph.num_parameters, tuple(np.flatnonzero(self.graph.node_parameters).tolist()))

    def answer(self, question_type: str, subject: str = "") -> Fact:
        """The true answers to a question of the closed world, as strings in the order of `ANSWERS`.

        An answer outside `ANSWERS` (a kernel of three dimensions, say) is given all the same, after the others. The
        value is None, unknown, where the graph shows no data flow (its layers are then told by their names alone).

        Raises:
            ValueError: an unknown question type, or a subject that the type does not have.
        """
        subjects = QUESTION_TYPES.get(question_type)
        if subjects is None:
            raise ValueError(f"{question_type!r} is no question type; there are {', '.join(QUESTION_TYPES)}.")
        if subject not in (subjects or ("",)):
            raise ValueError(f"{question_type} has no subject {subject!r}; it has {', '.join(subjects) or 'none'}.")
        if not self.graph.has_data_flow:
            return Fact(None)
        if question_type == "layer_function":
            nodes = self.nodes_of(subject)
            return Fact((LAYER_FUNCTIONS[subject] if nodes else absent(subject),), nodes)
        if question_type == "layer_kernel_sizes":
            fact, nothing = self.kernel_sizes(subject), subject
        else:
            fact, nothing = self._group_answer(question_type), NOTHING_OF[question_type]
        values = fact.value or (absent(nothing),)
        return Fact(tuple(sorted(values, key=lambda a: (ANSWER_INDEX.get(a, len(ANSWER_INDEX)), a))), fact.nodes)

    def _group_answer(self, question_type: str) -> Fact:
        computed: dict[str, Callable[[], Fact]] = {
            "pooling_types": lambda: self.layer_types("pooling"),
            "activation_types": lambda: self.layer_types("activation"),
            "normalization_types": lambda: self.layer_types("normalization"),
            "convolution_types": lambda: self.layer_types("convolution"),
            "layer_types": self.layer_types,
            "kernel_sizes": self.kernel_sizes,
            "normalization_after_convolution": lambda: self.after_convolution("normalization"),
            "activation_after_convolution": lambda: self.after_convolution("activation"),
        }
        return computed[question_type]()

    def holds(self, claim: Mapping[str, Any]) -> Fact:
        """Whether a claim (a typed predicate of a description) is true of the network.

        Claims: `contains` and `lacks` (`layer`), `lacks_category` (`category`), `count` (`layer`, `value`),
        `num_layers` (`value`), `parameters` (`value`, true within 5%), `kernel_size` (`layer` or `""`, `size`), `more`
        (`layer`, `than`), `most_frequent` (`layer`), `follows` (`layer`, `after`).

        Claims on the form, as captions make them: `families` (`families`: categories of which there are layers),
        `input` (`kind`), `num_inputs`, `num_outputs`, `depth` (layers on the longest path), `downsampling` and
        `grouped` (all with `value`), `first_layer` and `last_layer` (`layer`, and at will `kernel`, `stride`, `out`),
        `category_count` (`category`, `value`), `category_layers` (`category`, `layers`: these and no others),
        `kernel_sizes` (`sizes`: these and no others), `heads`, `kv_heads` and `window` (`values`: those of all
        attention layers), `causal` (`extent`: all, some, none), `experts` (`value`), `skip_connections` (`op` add or
        cat, `value`), `repeated_block` (`repeats`, `layers`: kind -> number, and at will `stages`: how often the run
        occurs).

        Returns:
            Value True, False, or None where the graph misses a tower that could change it. Of a graph without data
            flow only the number of parameters is known.

        Raises:
            ValueError: an unknown claim type.
        """
        kind = claim.get("type")
        check = _CLAIMS.get(str(kind))
        if check is None:
            raise ValueError(f"{kind!r} is no claim type; there are {', '.join(_CLAIMS)}.")
        fact = check(self, claim)
        monotone = kind in ("contains", "kernel_size", "follows", "families")
        settled = fact.value if monotone else (not fact.value if kind in ("lacks", "lacks_category") else False)
        settled = (settled and self.graph.has_data_flow) or kind == "parameters"
        settled = settled and PACKED_WEIGHTS not in self.graph.incomplete
        return fact if settled or not self.graph.incomplete else Fact(None, fact.nodes)

    @cached_property
    def structure(self) -> StructureFacts:
        """Facts on the form of the network: beginning and end, repetition, skip connections."""
        return StructureFacts(self)

    def all_hold(self, claims: Iterable[Mapping[str, Any]]) -> bool | None:
        """Whether all claims are true: False where one is false, else None where one is unknown."""
        values = [self.holds(claim).value for claim in claims]
        return False if False in values else None if None in values else True


def _kind_category(kind: str) -> str:
    return "convolution" if kind in (DILATED_CONVOLUTION, SEPARABLE_CONVOLUTION) else op_category(kind) if kind else ""


def _kernel_order(size: str) -> tuple[int, list[int]]:
    sides = [int(side) for side in size.split("*")]
    return int(np.prod(sides)), sides


def _most_frequent(facts: GraphFacts, claim: Mapping[str, Any]) -> Fact:
    counts = facts.layer_counts()
    count = counts.get(claim["layer"], 0)
    others = [n for kind, n in counts.items() if kind != claim["layer"]]
    return Fact(bool(count) and all(count > n for n in others), facts.nodes_of(claim["layer"]))


def _lacks_category(facts: GraphFacts, claim: Mapping[str, Any]) -> Fact:
    found = facts.layer_types(claim["category"])
    return Fact(not found.value, found.nodes)


def _parameters(facts: GraphFacts, claim: Mapping[str, Any]) -> Fact:
    fact = facts.parameters()
    return Fact(abs(fact.value - claim["value"]) <= PARAMETER_TOLERANCE * fact.value, fact.nodes)


def _kernel_size(facts: GraphFacts, claim: Mapping[str, Any]) -> Fact:
    fact = facts.kernel_sizes(claim["layer"] or None)
    return Fact(claim["size"] in fact.value, tuple(n for n in fact.nodes if facts.kernel_size(n) == claim["size"]))


_CLAIMS: dict[str, Callable[[GraphFacts, Mapping[str, Any]], Fact]] = {
    "contains": lambda f, c: Fact(bool(f.nodes_of(c["layer"])), f.nodes_of(c["layer"])),
    "lacks": lambda f, c: Fact(not f.nodes_of(c["layer"]), f.nodes_of(c["layer"])),
    "lacks_category": _lacks_category,
    "count": lambda f, c: Fact(f.count(c["layer"]).value == c["value"], f.nodes_of(c["layer"])),
    "num_layers": lambda f, c: Fact(f.num_layers().value == c["value"], f.num_layers().nodes),
    "parameters": _parameters,
    "kernel_size": _kernel_size,
    "more": lambda f, c: Fact(
        f.count(c["layer"]).value > f.count(c["than"]).value, f.nodes_of(c["layer"]) + f.nodes_of(c["than"])
    ),
    "most_frequent": _most_frequent,
    "follows": lambda f, c: f.follows(c["layer"], c["after"]),
}
_CLAIMS |= {
    name: lambda f, c, check=check: Fact(*check(f.structure, c))  # type: ignore[misc]
    for name, check in STRUCTURE_CLAIMS.items()
}
