"""Which node of one graph corresponds to which of another.

* Two graphs of one structure are aligned by an isomorphism that is found and then checked edge by edge.
* Others are aligned stack by stack, layer by layer (`graph_stacks_archbert`), and inside a layer by the order of
  execution; layers that only one of them has stay alone. Equal layers are aligned once.
* The alignment of two sequences is that of greatest total likeness (Needleman and Wunsch 1970, gaps cost nothing), in
  linear memory (Hirschberg 1975).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .architecture_graph_archbert import ArchitectureGraph, mix64, refine_colours
from .folding_archbert import node_kinds
from .graph_stacks_archbert import ZONES, Stack, Structure
from .ops_archbert import is_layer, op_category

MAX_CELLS = 400_000_000
"""Product of two lengths above which sequences are aligned by kind and count alone."""
_TABLE_CELLS = 1_000_000
_MAX_ROUNDS = 32
_RESIDUAL = " residual"
_SAME_OP, _SAME_NUMBERS, _SAME_CONTEXT, _SAME_CATEGORY = 4, 2, 1, 2


@dataclass(frozen=True, eq=False)
class Alignment:
    """Pairs of corresponding nodes.

    Attributes:
        pairs: int64 (k, 2), node of the first graph and node of the second, ascending; every node once at most.
        stacks: pairs of corresponding stacks, by index.
        exact: whether the pairs are an isomorphism of ops and edges.
    """

    pairs: np.ndarray
    stacks: tuple[tuple[int, int], ...]
    exact: bool


def numbers_of(graph: ArchitectureGraph) -> np.ndarray:
    """Shapes and attributes side by side, int32 (m, 4 + A)."""
    return np.concatenate([graph.shapes, graph.attributes], axis=1)


def find_isomorphism(a: ArchitectureGraph, b: ArchitectureGraph, numbers: bool) -> np.ndarray | None:
    """For each node of `a` the node of `b` that it is, int64 (m,); None where no renaming was found.

    Nodes are ranked by depth, by Weisfeiler-Lehman colour and, of equal ones, by the ranks of what they read; ranks of
    the two graphs are paired and every edge is checked. A result is therefore always right. None says nothing where
    parts are alike that no colour tells apart (`ArchitectureGraph.is_isomorphic` then decides).

    Args:
        a, b: the graphs.
        numbers: compare shapes and attributes as well, not only ops and edges.
    """
    if (a.num_nodes, a.num_edges) != (b.num_nodes, b.num_edges):
        return None
    kinds = [node_kinds(g.op_types, numbers_of(g)[:, : None if numbers else 0]) for g in (a, b)]
    if np.array_equal(kinds[0], kinds[1]) and np.array_equal(a.edge_index, b.edge_index):
        return np.arange(a.num_nodes)
    if (a.graph_hash != b.graph_hash) if numbers else (a.topology_hash != b.topology_hash):
        return None
    orders = [_canonical_order(g, k) for g, k in zip((a, b), kinds, strict=True)]
    mapping = np.empty(a.num_nodes, dtype=np.int64)
    mapping[orders[0]] = orders[1]
    if not np.array_equal(kinds[0], kinds[1][mapping]):
        return None
    mapped = mapping[a.edge_index]
    keys = np.sort(mapped[1] * a.num_nodes + mapped[0])
    wanted = np.sort(b.edge_index[1].astype(np.int64) * a.num_nodes + b.edge_index[0])
    return mapping if np.array_equal(keys, wanted) else None


def _canonical_order(graph: ArchitectureGraph, kinds: np.ndarray) -> np.ndarray:
    """Nodes by depth, colour and the ranks of their predecessors, int64 (m,)."""
    source, target = graph.edge_index.astype(np.int64)
    colours = mix64(kinds + graph.depths.astype(np.uint64))
    known = len(np.unique(colours))
    for _ in range(_MAX_ROUNDS):
        colours = refine_colours(colours, source, target, both=True)
        found = len(np.unique(colours))
        if found == known:
            break
        known = found
    rank = [0] * graph.num_nodes
    order: list[int] = []
    predecessors = graph.predecessors()
    colour, depths = colours.tolist(), graph.depths
    bounds = np.flatnonzero(np.diff(depths[(levels := np.argsort(depths, kind="stable"))])) + 1
    for level in np.split(levels, bounds):
        keys = [(colour[n], sorted(rank[p] for p in predecessors[n]), n) for n in level.tolist()]
        for _, _, node in sorted(keys):
            rank[node] = len(order)
            order.append(node)
    return np.array(order, dtype=np.int64)


def align(a: Structure, b: Structure, stack_pairs: Sequence[tuple[int, int]]) -> Alignment:
    """Corresponding nodes of two networks.

    Args:
        a, b: the networks.
        stack_pairs: the stacks of `a` and `b` that correspond.
    """
    mapping = find_isomorphism(a.graph, b.graph, numbers=False)
    if mapping is not None:
        pairs = np.stack([np.arange(a.graph.num_nodes), mapping], axis=1)
        return Alignment(pairs, tuple(stack_pairs), exact=True)
    aligner = _Aligner(a, b)
    for first, second in stack_pairs:
        layers = zip(stack_layers(a, a.stacks[first]), stack_layers(b, b.stacks[second]), strict=False)
        for x, y in layers:
            aligner.add(x, y)
    for zone in ZONES:
        aligner.add(*([n for n, place in enumerate(s.zones) if place == zone] for s in (a, b)))
    pairs = np.array(sorted(aligner.pairs), dtype=np.int64).reshape(-1, 2)
    return Alignment(pairs, tuple(stack_pairs), exact=False)


def stack_layers(structure: Structure, stack: Stack) -> list[list[int]]:
    """The nodes of each layer of a stack, in order of execution; the first also holds what stands before."""
    count = structure.num_layers(stack)
    per_layer = round(len(stack.branches) / count)
    if count * per_layer - len(stack.branches) >= per_layer:
        per_layer = len(stack.branches) // count
    first = len(stack.branches) - count * per_layer  # below 0: the first layer has fewer branches than the others
    ends = [stack.branches[first + (k + 1) * per_layer - 1].add for k in range(count)]
    layers: list[list[int]] = [[] for _ in range(count)]
    branch_layer = [max(0, (i - first) // per_layer) for i in range(len(stack.branches))]
    for branch, layer in zip(stack.branches, branch_layer, strict=True):
        layers[layer] += [branch.add, *branch.nodes]
    positions = np.searchsorted(np.array(ends), np.array(stack.stream, dtype=np.int64)) if stack.stream else ()
    for node, position in zip(stack.stream, positions, strict=True):
        layers[min(max(0, int(position) - 1), count - 1)].append(node)
    return [sorted(layer) for layer in layers]


class _Aligner:
    """Aligns stretches of nodes of two networks; equal stretches once."""

    def __init__(self, a: Structure, b: Structure) -> None:
        self.pairs: list[tuple[int, int]] = []
        self._codes = _codes(a, b)
        self._known: dict[tuple[bytes, bytes], list[tuple[int, int]]] = {}

    def add(self, first: list[int], second: list[int]) -> None:
        """Pairs nodes of the stretches `first` and `second`."""
        if not first or not second:
            return
        x, y = self._codes[0][first], self._codes[1][second]
        key = x.tobytes(), y.tobytes()
        if key not in self._known:
            self._known[key] = align_sequences(x, y)
        self.pairs += [(first[i], second[j]) for i, j in self._known[key]]


def _spoken(structure: Structure) -> list[str]:
    ops = list(structure.graph.op_types)
    for node, role in structure.tables.items():
        ops[node] = f"{ops[node]} {role}"
    for stack in structure.stacks:
        for branch in stack.branches:
            ops[branch.add] += _RESIDUAL
    return ops


def _codes(a: Structure, b: Structure) -> tuple[np.ndarray, np.ndarray]:
    """Two tables int64 (m, 4): op, category (unique numbers where ops of it do not stand for each other), numbers,
    and context (ops of neighbours), numbered alike for both graphs. A learned table counts as an op of its role, and a
    residual addition as another op than other additions, of the same category.
    """
    spoken = [_spoken(structure) for structure in (a, b)]
    names = {op: i for i, op in enumerate(sorted({*spoken[0], *spoken[1]}))}
    categories = {op: op_category(op) if is_layer(op) else op.removesuffix(_RESIDUAL) for op in names}
    numbered = {category: i for i, category in enumerate(sorted(set(categories.values())))}
    tables = []
    for structure, ops in zip((a, b), spoken, strict=True):
        graph = structure.graph
        plain = node_kinds(graph.op_types, np.zeros((graph.num_nodes, 0), np.int32))
        source, target = graph.edge_index.astype(np.int64)
        context = refine_colours(plain, source, target, both=True)
        columns = [
            np.array([names[op] for op in ops], dtype=np.int64),
            np.array([numbered[categories[op]] for op in ops], dtype=np.int64),
            node_kinds(graph.op_types, numbers_of(graph)).view(np.int64),
            context.view(np.int64),
        ]
        tables.append(np.stack(columns, axis=1))
    return tables[0], tables[1]


def _likeness(row: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How alike a node (4,) is to each of several (n, 4), int32 (n,); 0 = cannot correspond."""
    equal = others == row
    same = equal[:, 0] * (_SAME_OP + equal[:, 2] * _SAME_NUMBERS + equal[:, 3] * _SAME_CONTEXT)
    return np.where(equal[:, 0], same, equal[:, 1] * _SAME_CATEGORY).astype(np.int32)


def align_sequences(x: np.ndarray, y: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of positions, ascending in both, of greatest total likeness.

    Args:
        x, y: tables (n, 4) and (m, 4) of op, category, numbers and context.
    """
    pairs: list[tuple[int, int]] = []
    if len(x) * len(y) > MAX_CELLS:
        return _pairs_by_kind(x, y)
    waiting = [(0, len(x), 0, len(y))]
    while waiting:
        i, end_i, j, end_j = waiting.pop()
        if i >= end_i or j >= end_j:
            continue
        if (end_i - i) * (end_j - j) <= _TABLE_CELLS or end_i - i == 1:
            pairs += [(i + s, j + t) for s, t in _by_table(x[i:end_i], y[j:end_j])]
            continue
        middle = (i + end_i) // 2
        forward = _last_row(x[i:middle], y[j:end_j])
        backward = _last_row(x[middle:end_i][::-1], y[j:end_j][::-1])[::-1]
        cut = j + int(np.argmax(forward + backward))
        waiting += [(i, middle, j, cut), (middle, end_i, cut, end_j)]
    return sorted(pairs)


def _next_row(previous: np.ndarray, row: np.ndarray, others: np.ndarray) -> np.ndarray:
    following = previous.copy()
    likeness = _likeness(row, others)
    following[1:] = np.maximum(previous[1:], np.where(likeness > 0, previous[:-1] + likeness, 0))
    return np.maximum.accumulate(following)


def _last_row(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Greatest likeness of all of `x` with each beginning of `y`, int32 (m + 1,)."""
    row = np.zeros(len(y) + 1, dtype=np.int32)
    for item in x:
        row = _next_row(row, item, y)
    return row


def _by_table(x: np.ndarray, y: np.ndarray) -> list[tuple[int, int]]:
    table = np.zeros((len(x) + 1, len(y) + 1), dtype=np.int32)
    for i, item in enumerate(x):
        table[i + 1] = _next_row(table[i], item, y)
    pairs, i, j = [], len(x), len(y)
    while i and j:
        if table[i, j] == table[i - 1, j]:
            i -= 1
        elif table[i, j] == table[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def _pairs_by_kind(x: np.ndarray, y: np.ndarray) -> list[tuple[int, int]]:
    """The k-th node of a kind with the k-th of that kind: for what is too long to be aligned in order."""
    places: dict[int, list[int]] = {}
    for j, kind in enumerate(y[:, 2].tolist()):
        places.setdefault(kind, []).append(j)
    stacks = {kind: iter(found) for kind, found in places.items()}
    pairs = [(i, next(stacks.get(kind, iter(())), -1)) for i, kind in enumerate(x[:, 2].tolist())]
    return [(i, j) for i, j in pairs if j >= 0]
