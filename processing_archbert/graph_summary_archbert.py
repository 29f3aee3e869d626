"""The parts of a graph: a tree by module path, in which parts that repeat stand once.

* `node_names` give the hierarchy where there are any. A module that runs twice is two parts, one for each call.
* Neighbouring parts that are equal in ops, shapes, attributes and inner edges become one part with a count, also when
  two or more alternate. Names are never compared, so a graph without names folds too. Long rows of parts that differ
  in their sizes alone become one part with `exact=False`.
* What is still too wide is cut where few edges cross, so that every part has a bounded number of children.

m nodes, e edges, k nodes in a part. Everything but the tree itself is numpy.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .architecture_graph_archbert import ArchitectureGraph
from .folding_archbert import node_kinds, repeated_blocks
from .ops_archbert import INPUT_OP, OUTPUT_OP, is_layer

MAX_PATH_LENGTH = 32
MAX_CHILDREN = 32
PIECES = 12
MIN_SIMILAR = 4
MIN_SIMILAR_NODES = 3
MIN_OPERATIONS = 3


@dataclass(eq=False)
class Part:
    """A stretch of a network: one node, or a module (or a piece of one) with parts of its own.

    Attributes:
        label: module path relative to the part around it; `""` where there is no name.
        nodes: int64 (k,), its nodes, ascending; of a repeated part the nodes of the first copy.
        children: its parts in execution order; none for a single node.
        repeats: how often it stands in the network, one copy after the other or side by side.
        exact: whether the copies are equal in all sizes too.
        arrangement: `"row"` where each copy reads the one before it, `"parallel"` where copies do not read each other,
            `"dense"` where copies also read earlier ones, `""` without copies.
    """

    label: str
    nodes: np.ndarray
    children: list[Part] = field(default_factory=list)
    repeats: int = 1
    exact: bool = True
    arrangement: str = ""

    def walk(self) -> Iterator[Part]:
        """The part and all parts in it, outer ones first."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def height(self) -> int:
        """Levels of parts below this one."""
        return 1 + max(child.height for child in self.children) if self.children else 0


@dataclass(eq=False)
class Hierarchy:
    """The tree of parts of a graph, and the graph with every repeated part once.

    Attributes:
        graph: the graph.
        root: the whole network.
        canonical: int64 (m,), for each node the node that stands for it: itself, or its twin in the first copy.
        edges: int64 (2, e'), unique edges between standing nodes; those from one copy to the next are left out.
    """

    graph: ArchitectureGraph
    root: Part
    canonical: np.ndarray
    edges: np.ndarray


def hierarchy(graph: ArchitectureGraph, fold: bool = True) -> Hierarchy:
    """The parts of a graph.

    Args:
        graph: the graph.
        fold: whether parts that repeat become one and wide parts are cut; without it every node stands for itself.
    """
    builder = _Builder(graph)
    nodes = np.arange(graph.num_nodes)
    root = Part("", nodes, _CallTree(graph).parts(nodes.tolist()))
    edges = graph.edge_index.astype(np.int64)
    if fold:
        builder.fold(root, edges)
    while len(root.children) == 1 and root.children[0].repeats == 1 and root.children[0].children:
        root = root.children[0]
    root = Part("", root.nodes, [_collapsed(child, root.label) for child in root.children])
    canonical = np.arange(graph.num_nodes)
    for copies in builder.folds:
        copy_of = np.full(graph.num_nodes, -1, dtype=np.int64)
        copy_of[copies] = np.arange(len(copies))[:, None]
        source, target = copy_of[edges]
        edges = edges[:, (source < 0) | (target < 0) | (source == target)]
        stands = np.arange(graph.num_nodes)
        stands[copies] = copies[0]
        edges, canonical = stands[edges], stands[canonical]
    return Hierarchy(graph, root, canonical, np.unique(edges, axis=1))


class _CallTree:
    """Parts by module path, one for each call of a module."""

    def __init__(self, graph: ArchitectureGraph) -> None:
        self.names, self.ops = graph.node_names, graph.op_types
        self.successors = graph.successors()
        self.paths = [tuple(name.split(".", MAX_PATH_LENGTH - 1)) if name else () for name in graph.node_names]
        inner = {path[:depth] for path in set(self.paths) for depth in range(1, len(path))}
        around = zip(self.paths, self.ops, [(), *self.paths[:-1]], [*self.paths[1:], ()], strict=True)
        self.chains = [
            path if path in inner or (path and path[-1] != op and path in (before, after)) else path[:-1]
            for path, op, before, after in around
        ]

    def parts(self, nodes: list[int], level: int = 0) -> list[Part]:
        """The parts of `nodes`, ascending, which share the first `level` names of their paths."""
        groups: list[tuple[str | None, list[int]]] = []
        for node in nodes:
            key = self.chains[node][level] if len(self.chains[node]) > level else None
            if key is not None and groups and groups[-1][0] == key:
                groups[-1][1].append(node)
            else:
                groups.append((key, [node]))
        result = []
        for key, members in self._joined(groups):
            if key is None:
                result.append(Part(".".join(self.paths[members[0]][level:]), np.array(members)))
            else:
                result.append(Part(key, np.array(members), self.parts(members, level + 1)))
        return result

    def _joined(self, groups: list[tuple[str | None, list[int]]]) -> list[tuple[str | None, list[int]]]:
        """Pieces of one call, between which another module ran, become one group where no cycle arises.

        They are pieces of one call if no node of the module runs twice.
        """
        pieces: dict[str, list[int]] = {}
        for index, (key, _) in enumerate(groups):
            if key is not None:
                pieces.setdefault(key, []).append(index)
        owner = {node: index for index, (_, members) in enumerate(groups) for node in members}
        joined = dict(enumerate(groups))
        for key, indices in pieces.items():
            inside = {node for index in indices for node in groups[index][1]}
            distinct = {(self.names[node], self.ops[node]) for node in inside}
            if len(indices) < 2 or len(distinct) < len(inside):
                continue
            if not self._leaves_and_returns(inside, owner, joined):
                for index in indices[1:]:
                    del joined[index]
                joined[indices[0]] = (key, sorted(inside))
                owner.update(dict.fromkeys(inside, indices[0]))
        return list(joined.values())

    def _leaves_and_returns(
        self, inside: set[int], owner: dict[int, int], groups: dict[int, tuple[str | None, list[int]]]
    ) -> bool:
        """Whether a path through the groups leaves the nodes `inside` and comes back to them."""
        waiting = [t for node in inside for t in self.successors[node] if t in owner and t not in inside]
        seen: set[int] = set()
        while waiting:
            group = owner[waiting.pop()]
            if group in seen:
                continue
            seen.add(group)
            for target in (t for member in groups[group][1] for t in self.successors[member]):
                if target in inside:
                    return True
                if target in owner:
                    waiting.append(target)
        return False


class _Builder:
    """Folds and cuts the tree of one graph from the top down; `folds` are (copies, k) arrays of equal nodes."""

    def __init__(self, graph: ArchitectureGraph) -> None:
        numbers = np.concatenate([graph.shapes, graph.attributes], axis=1)
        self.exact_kinds = node_kinds(graph.op_types, numbers)
        self.loose_kinds = node_kinds(graph.op_types, numbers[:, :0])
        self.position = np.full(graph.num_nodes, -1, dtype=np.int64)
        self.group = np.full(graph.num_nodes, -1, dtype=np.int64)
        self.ops = graph.op_types
        self.is_operation = np.array([not is_layer(op) and op not in (INPUT_OP, OUTPUT_OP) for op in graph.op_types])
        self.num_inputs = np.bincount(graph.edge_index[1], minlength=graph.num_nodes)
        self.folds: list[np.ndarray] = []
        self.searched: set[int] = set()  # pieces of a row of parts in which no more repeats

    def fold(self, part: Part, edges: np.ndarray) -> None:
        """Fold the children of a part, cut what is too wide, and go on in each child.

        `edges` (2, e) are those inside the part, by ascending target.
        """
        if not part.children:
            return
        if id(part) not in self.searched:
            part.children = self._gathered(part.children, edges)
            part.children = self._folded(part.children, edges, exact=True)
            part.children = self._folded(part.children, edges, exact=False)
        if len(part.children) > MAX_CHILDREN:
            part.children = self._cut(part.children, edges)
        self._mark([child.nodes for child in part.children])
        owner = self.group[edges]
        inner = edges[:, (owner[0] == owner[1]) & (owner[0] >= 0)]
        owners = self.group[inner[0]]
        self._unmark([child.nodes for child in part.children])
        order = np.argsort(owners, kind="stable")
        bounds = np.searchsorted(owners[order], np.arange(len(part.children) + 1))
        for index, child in enumerate(part.children):
            self.fold(child, inner[:, order[bounds[index] : bounds[index + 1]]])

    def _gathered(self, children: list[Part], edges: np.ndarray) -> list[Part]:
        """Neighbouring operations that are no layers become one part where they read each other.

        An addition stays outside unless all that it adds is computed inside, so that residuals remain visible.
        """
        free = [not c.children and self.is_operation[c.nodes[0]] for c in children]
        inner = np.zeros(len(self.group), dtype=bool)
        index_of = {int(child.nodes[0]): index for index, child in enumerate(children) if free[index]}
        inner[list(index_of)] = True
        reads: dict[int, list[int]] = {}
        for source, target in edges[:, inner[edges[1]]].T.tolist():
            reads.setdefault(index_of[target], []).append(index_of.get(source, -1))
        runs = np.cumsum([not value for value in free]).tolist()
        owner = list(range(len(children)))
        for index in (i for i, value in enumerate(free) if value):
            near = [s for s in reads.get(index, []) if s >= 0 and runs[s] == runs[index]]
            is_sum = self.ops[int(children[index].nodes[0])] == "add"
            if is_sum and (
                len(near) < len(reads.get(index, [])) or len(near) < self.num_inputs[children[index].nodes[0]]
            ):
                continue
            roots = sorted({_root(owner, s) for s in near} | {index})
            for root in roots[1:]:
                owner[root] = roots[0]
        members: dict[int, list[Part]] = {}
        for index, child in enumerate(children):
            members.setdefault(_root(owner, index), []).append(child)
        if len(members) == 1:
            return children
        result: list[Part] = []
        for found in members.values():
            if len(found) < MIN_OPERATIONS:
                result += found
            else:
                result.append(Part("", np.sort(np.concatenate([child.nodes for child in found])), found))
        return sorted(result, key=lambda child: int(child.nodes[0]))

    def _mark(self, sets: list[np.ndarray]) -> None:
        for index, nodes in enumerate(sets):
            self.group[nodes], self.position[nodes] = index, np.arange(len(nodes))

    def _unmark(self, sets: list[np.ndarray]) -> None:
        for nodes in sets:
            self.group[nodes] = self.position[nodes] = -1

    def _digests(self, sets: list[np.ndarray], edges: np.ndarray, exact: bool) -> np.ndarray:
        """uint64, one for each set of nodes: equal for sets with equal nodes in equal order and equal inner edges."""
        edges = _edges_into(edges, sets)
        self._mark(sets)
        owner = self.group[edges]
        inner = (owner[0] == owner[1]) & (owner[0] >= 0)
        owners, local = owner[0, inner], self.position[edges[:, inner]]
        self._unmark(sets)
        order = np.lexsort((local[0], local[1], owners))
        bounds = np.searchsorted(owners[order], np.arange(len(sets) + 1))
        kinds = self.exact_kinds if exact else self.loose_kinds
        digests = np.empty(len(sets), dtype=np.uint64)
        for index, nodes in enumerate(sets):
            digest = hashlib.blake2b(kinds[nodes].astype("<u8").tobytes(), digest_size=8)
            digest.update(np.ascontiguousarray(local[:, order[bounds[index] : bounds[index + 1]]], "<i8").tobytes())
            digests[index] = int.from_bytes(digest.digest(), "little")
        return digests

    def _folded(self, children: list[Part], edges: np.ndarray, exact: bool) -> list[Part]:
        if len(children) < (2 if exact else MIN_SIMILAR):
            return children
        signatures = self._digests([child.nodes for child in children], edges, exact)
        if not exact:  # what is repeated or small already is left as it is
            unlike = [i for i, c in enumerate(children) if c.repeats > 1 or len(c.nodes) < MIN_SIMILAR_NODES]
            signatures[unlike] = np.arange(len(unlike), dtype=np.uint64)
        result, done = [], 0
        for block in repeated_blocks(signatures, len(children)):
            starts = [block.start + block.period * r for r in range(block.repeats)]
            stretches = [children[start : start + block.period] for start in starts]
            size = sum(len(part.nodes) for part in stretches[0])
            if (block.repeats - 1) * size < 2 and block.repeats < MIN_SIMILAR:
                continue
            first, run = self._equal_run(stretches, edges, exact)
            folded = self._repeated(stretches[first : first + run], edges, exact)
            if folded is not None:
                start = starts[first]
                result += [*children[done:start], folded]
                done = start + block.period * run
        return result + children[done:]

    def _equal_run(self, stretches: list[list[Part]], edges: np.ndarray, exact: bool) -> tuple[int, int]:
        """First and number of the longest run of stretches that are equal also in the edges between their parts."""
        sets = [np.sort(np.concatenate([part.nodes for part in stretch])) for stretch in stretches]
        digests = self._digests(sets, edges, exact)
        bounds = np.flatnonzero(np.r_[True, digests[1:] != digests[:-1], True])
        longest = int(np.argmax(np.diff(bounds)))
        return int(bounds[longest]), int(bounds[longest + 1] - bounds[longest])

    def _repeated(self, stretches: list[list[Part]], edges: np.ndarray, exact: bool) -> Part | None:
        """One part for equal stretches; None where nothing is gained or the stretches are no row of equal ones."""
        copies = np.stack([np.sort(np.concatenate([part.nodes for part in stretch])) for stretch in stretches])
        repeats, size = copies.shape
        edges = _edges_into(edges, list(copies))
        self._mark(list(copies))
        source, target = self.group[edges]
        self._unmark(list(copies))
        between = (source >= 0) & (target >= 0) & (source != target)
        step = target[between] - source[between]
        row = len(np.unique(source[between][step == 1])) == repeats - 1
        arrangement = ("dense" if (step > 1).any() else "row") if row else "" if len(step) else "parallel"
        enough = (repeats - 1) * size >= 2 if row else repeats >= MIN_SIMILAR
        if repeats < (2 if exact else MIN_SIMILAR) or not enough or not arrangement:
            return None
        self.folds.append(copies)
        if len(stretches[0]) > 1:
            return Part("", copies[0], stretches[0], repeats, exact, arrangement)
        first, last = stretches[0][0], stretches[-1][0]
        label = f"{first.label}\u2013{last.label}" if first.label != last.label else first.label
        if not first.children:
            label = ""
        return Part(label, copies[0], first.children, repeats, exact, arrangement)

    def _cut(self, children: list[Part], edges: np.ndarray) -> list[Part]:
        """The children in a few pieces, cut where few edges cross."""
        pieces = min(PIECES, math.ceil(len(children) / PIECES))
        self._mark([child.nodes for child in children])
        source, target = np.sort(self.group[edges], axis=0)
        self._unmark([child.nodes for child in children])
        inside = source >= 0
        change = np.zeros(len(children) + 1, dtype=np.int64)
        np.add.at(change, source[inside], 1)
        np.add.at(change, target[inside], -1)
        crossing = np.cumsum(change)  # crossing[i]: edges from children up to i to later ones
        width = len(children) / pieces
        bounds = [0]
        for piece in range(1, pieces):
            middle, reach = round(piece * width), max(1, int(width / 3))
            window = np.arange(max(bounds[-1] + 1, middle - reach), min(len(children) - 1, middle + reach))
            bounds.append(int(window[np.lexsort((abs(window - middle), crossing[window - 1]))[0]]))
        bounds.append(len(children))
        result = []
        for number, (start, end) in enumerate(itertools.pairwise(bounds), 1):
            nodes = np.sort(np.concatenate([child.nodes for child in children[start:end]]))
            label = f"part {number} of {pieces}"
            result.append(Part(label, nodes, children[start:end]) if end - start > 1 else children[start])
            if end - start > 1:
                self.searched.add(id(result[-1]))
        return result


def _edges_into(edges: np.ndarray, sets: list[np.ndarray]) -> np.ndarray:
    """Those of the edges, which ascend by target, whose target is between the first and the last of the nodes."""
    first, last = min(int(nodes[0]) for nodes in sets), max(int(nodes[-1]) for nodes in sets)
    start, end = np.searchsorted(edges[1], first), np.searchsorted(edges[1], last, side="right")
    return edges[:, start:end]


def _root(owner: list[int], index: int) -> int:
    while owner[index] != index:
        owner[index] = owner[owner[index]]
        index = owner[index]
    return index


def _collapsed(part: Part, context: str = "") -> Part:
    """The part with every part of a single child in it merged with that child, and a number led by a name.

    `context` is the last name around the part: `0` in `layers` becomes `layers.0`.
    """
    label = f"{context}.{part.label}" if part.label[:1].isdigit() and context else part.label
    children, repeats, exact, arrangement = part.children, part.repeats, part.exact, part.arrangement
    pieces = [label] if label else []
    nodes = part.nodes
    while len(children) == 1 and 1 in (repeats, children[0].repeats):
        inner = children[0]
        if inner.repeats > 1:
            repeats, exact, arrangement = inner.repeats, inner.exact, inner.arrangement
        pieces += [inner.label] if inner.label else []
        nodes, children = inner.nodes, inner.children
    label = ".".join(pieces)
    names = [piece for piece in label.split(".") if piece and not piece[0].isdigit()]
    context = names[-1] if names else context
    return Part(label, nodes, [_collapsed(child, context) for child in children], repeats, exact, arrangement)
