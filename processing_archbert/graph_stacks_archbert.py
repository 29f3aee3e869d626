"""Residual stacks of a graph: the towers and stages that people count in layers, found by structure alone.

* A *residual addition* joins a stream with a branch that read it (He et al. 2016), or with a projection of it.
* A *stack* is a stream that keeps its width: the layers of an encoder, or one stage of a convolutional network.
* Every node belongs to one stack at most; the rest is the stem (before the stacks), the head (after them) and what
  stands between them.
* Learned tables outside of the stacks have a role: vocabulary, positions, token types, or tokens that are prepended.

All passes are linear in nodes and edges. Module paths are not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .architecture_graph_archbert import ArchitectureGraph
from .ops_archbert import INPUT_OP, op_category

ATTENTION_OPS = ("scaled_dot_product_attention", "MultiheadAttention")
_SCAN_CATEGORIES = ("scan", "recurrent")
_STREAM_CATEGORIES = ("normalization", "activation")
_SHORTCUT_CATEGORIES = ("normalization", "convolution", "pooling", "linear")
TABLE_ROLES = ("vocabulary", "positions", "token_types", "tokens")
"""Rows looked up by the input; rows for each place; rows for a few kinds of token; rows put before the others."""
ZONES = ("stem", "between", "head", "apart")
"""Where a node outside of the stacks stands: before, between or after them, or connected with none."""
_TYPES_AT_MOST = 16
_MAX_STEPS = 6
_MAX_PERIOD = 8
_GATES = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3}


@dataclass
class Branch:
    """One residual addition: the node that adds, and the nodes of what is added."""

    add: int
    nodes: list[int]
    label: str = ""
    skip: int = -1


@dataclass
class Stack:
    """A residual stream of one width.

    Attributes:
        branches: the residual additions, in order of execution.
        stream: other nodes on the stream itself: normalization or activation after an addition.
        width: channels or hidden size of the stream; 0 = unknown.
        parent: index of the stack that the stream was made from, -1 without one.
        sources: indices of the stacks that cross-attention reads.
    """

    branches: list[Branch] = field(default_factory=list)
    stream: list[int] = field(default_factory=list)
    width: int = 0
    parent: int = -1
    sources: set[int] = field(default_factory=set)

    @property
    def nodes(self) -> list[int]:
        """All nodes, in order of execution."""
        inside = [n for branch in self.branches for n in (branch.add, *branch.nodes)]
        return sorted({*inside, *self.stream})

    @property
    def labels(self) -> list[str]:
        """Of each branch `attention`, `cross`, `scan`, `experts`, `convolution`, `linear`, `pooling` or `other`."""
        return [branch.label for branch in self.branches]


class Structure:
    """Stacks, stem and head of a graph.

    Args:
        graph: the graph.

    Attributes:
        stacks: the stacks, in order of execution; single residual additions without weights are none.
        owner: for each node the index of its stack, -1 outside.
        widths: for each node the number of channels or features of its output, as far as weights tell; else 0.
        zones: for each node one of `ZONES` where it is outside of the stacks, `""` inside.
        tables: node of a learned table outside of the stacks -> its role, one of `TABLE_ROLES`.
    """

    def __init__(self, graph: ArchitectureGraph) -> None:
        self.graph = graph
        self.predecessors, self.successors = graph.predecessors(), graph.successors()
        self.widths = _widths(graph, self.predecessors)
        self.owner = [-1] * graph.num_nodes
        self.stacks: list[Stack] = []
        self._stack_of_add: dict[int, int] = {}
        depths = graph.depths
        for node, op in enumerate(graph.op_types):
            operands = self.predecessors[node]
            if op == "add" and len(operands) == 2:
                shallow, deep = sorted(operands, key=lambda n: (int(depths[n]), n))
                self._add(node, shallow, deep)
        self._drop_trivial()
        self._adopt_ends()
        self._label()
        self.zones = self._zones()
        self.tables = _tables(self)

    def _add(self, node: int, shallow: int, deep: int) -> None:
        """Registers `node` where it is a residual addition of the stream `shallow` and the branch `deep`."""
        start, projection = shallow, False
        if len(self.successors[shallow]) < 2:
            found = self._shortcut_start(shallow)
            if found is None:
                return
            start, projection = found, True
        if self.graph.op_types[shallow] == "add" and not self._reads(deep, start):
            return
        stack = -1 if projection else self._stack_of_stream(shallow)
        if stack < 0:
            stack = len(self.stacks)
            self.stacks.append(Stack(width=self.widths[node], parent=self._owner_upstream(start)))
        branch = Branch(node, self._collect((deep, shallow) if projection else (deep,), start, stack), skip=start)
        if not branch.nodes:
            if not self.stacks[stack].branches:
                self.stacks.pop()
            return
        for inside in (node, *branch.nodes):
            self.owner[inside] = stack
        self.stacks[stack].branches.append(branch)
        self._stack_of_add[node] = stack

    def _shortcut_start(self, node: int) -> int | None:
        """Where a projection shortcut that ends in `node` begins; None where it is none."""
        weights = 0
        for _ in range(4):
            category = op_category(self.graph.op_types[node])
            if category not in _SHORTCUT_CATEGORIES or len(self.predecessors[node]) != 1:
                return None
            weights += category in ("convolution", "linear")
            node = self.predecessors[node][0]
            if weights > 1:
                return None
            if len(self.successors[node]) > 1:
                return node if weights else None
        return None

    def _reads(self, node: int, start: int) -> bool:
        """Whether a short walk back from `node` meets `start`."""
        seen, waiting = {node}, [node]
        while waiting and len(seen) < 4000:
            current = waiting.pop()
            if current == start:
                return True
            for p in self.predecessors[current]:
                if p >= start and p not in seen:
                    seen.add(p)
                    waiting.append(p)
        return False

    def _stream_tail(self, node: int) -> tuple[int, list[int]]:
        """The addition that `node` is, or follows with nothing but normalization and activation between; else -1."""
        passed: list[int] = []
        for _ in range(_MAX_STEPS):
            if node in self._stack_of_add:
                return node, passed
            op = self.graph.op_types[node]
            category = op_category(op)
            scaled = category == "arithmetic"
            if not (category in _STREAM_CATEGORIES or scaled) or len(self.predecessors[node]) != 1:
                break
            passed.append(node)
            node = self.predecessors[node][0]
        return -1, passed

    def _stack_of_stream(self, skip: int) -> int:
        add, passed = self._stream_tail(skip)
        if add < 0:
            return -1
        stack = self._stack_of_add[add]
        widths = {self.stacks[stack].width, self.widths[skip]} - {0}
        if len(widths) > 1:
            return -1
        for node in passed:
            if self.owner[node] < 0:
                self.owner[node] = stack
                self.stacks[stack].stream.append(node)
        return stack

    def _collect(self, ends: Sequence[int], start: int, stack: int) -> list[int]:
        """Nodes between `start` and `ends` that belong to nothing yet."""
        found: set[int] = set()
        waiting = [n for n in ends if n != start]
        while waiting:
            node = waiting.pop()
            if node == start or node in found or self.graph.op_types[node] == INPUT_OP:
                continue
            if self.owner[node] >= 0 and not self._is_nested(self.owner[node], start, stack):
                continue
            add = self._stream_tail(node)[0]
            if add >= 0 and self._stack_of_add[add] != stack:
                continue
            found.add(node)
            waiting.extend(self.predecessors[node])
        return sorted(found)

    def _is_nested(self, inner: int, start: int, outer: int) -> bool:
        """Whether a stack lies inside of one branch that begins at `start`; it is then a part of that branch."""
        branches = self.stacks[inner].branches
        nested = inner != outer and len(branches) <= 2 and all(branch.skip > start for branch in branches)
        if nested:
            for branch in branches:
                self._stack_of_add.pop(branch.add, None)
            branches.clear()
        return nested

    def _owner_upstream(self, node: int) -> int:
        """The stack nearest before `node`, over few nodes that belong to none."""
        seen, waiting = {node}, [node]
        while waiting and len(seen) < 40:
            current = waiting.pop(0)
            if self.owner[current] >= 0:
                return self.owner[current]
            for p in self.predecessors[current]:
                if p not in seen:
                    seen.add(p)
                    waiting.append(p)
        return -1

    def _drop_trivial(self) -> None:
        """Forgets stacks whose branches hold no layer with weights or attention."""
        ops = self.graph.op_types
        kept: list[Stack] = []
        index, parents = {-1: -1}, {-1: -1}
        deep = any(len(stack.branches) > 1 for stack in self.stacks)
        for number, stack in enumerate(self.stacks):
            inside = [ops[n] for branch in stack.branches for n in branch.nodes]
            alone = deep and len(stack.branches) == 1 and not any(_is_mixer(op) for op in inside)
            heavy = any(_is_heavy(op) for op in inside) and not alone
            index[number] = len(kept) if heavy else -1
            parents[number] = index[number] if heavy else parents.get(stack.parent, -1)
            if heavy:
                kept.append(stack)
        for stack in kept:
            stack.parent = parents[stack.parent]
        self.owner = [index[owner] for owner in self.owner]
        self.stacks = kept

    def _adopt_ends(self) -> None:
        """What follows the last addition of a stack as it follows the others belongs to its stream: an activation,
        and a normalization where each addition has one.
        """
        ops = self.graph.op_types
        for number, stack in enumerate(self.stacks):
            add = stack.branches[-1].add
            usual = {
                ops[n] for branch in stack.branches[:-1] for n in self.successors[branch.add] if n in stack.stream
            }
            for node in self.successors[add]:
                alone = self.owner[node] < 0 and self.predecessors[node] == [add]
                if alone and (op_category(ops[node]) == "activation" or ops[node] in usual):
                    self.owner[node] = number
                    stack.stream.append(node)

    def _label(self) -> None:
        for number, stack in enumerate(self.stacks):
            for branch in stack.branches:
                branch.label = self._branch_label(number, branch)

    def _branch_label(self, number: int, branch: Branch) -> str:
        ops = self.graph.op_types
        categories = {op_category(ops[n]) for n in branch.nodes}
        attention = [n for n in branch.nodes if ops[n] in ATTENTION_OPS]
        if attention:
            outside = [self.foreign_source(n, number, branch) for n in attention]
            sources = {self._owner_upstream(s) for s in outside if s >= 0}
            self.stacks[number].sources |= sources - {-1, number}
            return "cross" if all(s >= 0 for s in outside) else "attention"
        for category in (*_SCAN_CATEGORIES, "experts", "convolution", "linear", "pooling"):
            if category in categories:
                return "scan" if category in _SCAN_CATEGORIES else category
        return "other"

    def foreign_source(self, attention: int, number: int, branch: Branch) -> int:
        """A node outside of the branch and its stack from which attention takes keys; -1 where it reads itself."""
        own = {*branch.nodes, branch.skip}
        if self.graph.op_types[attention] == "MultiheadAttention":
            sources = set(self.predecessors[attention])
        else:
            sources = set()
            seen: set[int] = set()
            waiting = list(self.predecessors[attention])
            while waiting and len(seen) < 200:
                node = waiting.pop()
                if node in seen or node not in own:
                    continue
                seen.add(node)
                if op_category(self.graph.op_types[node]) in ("linear", "convolution"):
                    sources |= set(self.predecessors[node])
                else:
                    waiting.extend(self.predecessors[node])
        linked = [s for s in sources if s not in own and self._owner_upstream(s) not in (-1, number)]
        return min(linked) if linked else -1

    def _zones(self) -> list[str]:
        count = self.graph.num_nodes
        after, before = [False] * count, [False] * count
        for node, sources in enumerate(self.predecessors):
            after[node] = any(after[s] or self.owner[s] >= 0 for s in sources)
        for node in reversed(range(count)):
            before[node] = any(before[t] or self.owner[t] >= 0 for t in self.successors[node])
        places = {
            (False, False): "stem",
            (False, True): "stem",
            (True, True): "between",
            (True, False): "head",
        }
        connected = self._connected()
        return [
            "" if owner >= 0 else places[a, b] if near else "apart"
            for a, b, owner, near in zip(after, before, self.owner, connected, strict=True)
        ]

    def _connected(self) -> list[bool]:
        """For each node whether edges, in whatever direction, connect it with a stack; all without any stack."""
        waiting = [node for node, owner in enumerate(self.owner) if owner >= 0]
        found = [not self.stacks] * self.graph.num_nodes
        while waiting:
            node = waiting.pop()
            if not found[node]:
                found[node] = True
                waiting += [*self.predecessors[node], *self.successors[node]]
        return found

    def stack_after(self, node: int) -> int:
        """The stack nearest behind `node`, over few nodes that belong to none; -1 without one."""
        seen, waiting = {node}, [node]
        while waiting and len(seen) < 200:
            current = waiting.pop(0)
            if self.owner[current] >= 0:
                return self.owner[current]
            waiting += [t for t in self.successors[current] if t not in seen]
            seen |= set(self.successors[current])
        return -1

    def num_layers(self, stack: Stack) -> int:
        """Layers, or blocks, of a stack: a stretch of branches that comes again and again is one."""
        labels = stack.labels
        mixers, others = labels[::2], labels[1::2]
        feeds = {*others} <= {"linear", "experts"} or {*others} == {"convolution"}
        if len(labels) > 1 and len(mixers) == len(others) and feeds and not {*mixers} & {*others}:
            return len(mixers)
        sequence = max(sum(label in ("attention", "scan") for label in labels), labels.count("cross"))
        if sequence:
            return sequence
        ops = self.graph.op_types
        kinds = [(b.label, frozenset(ops[n] for n in b.nodes)) for b in stack.branches]
        return max(1, round(len(kinds) / _period(kinds)))


def _is_heavy(op: str) -> bool:
    return op in ATTENTION_OPS or op_category(op) in (
        "linear", "convolution", "pooling", "recurrent", "scan", "experts", "normalization",
    )  # fmt: skip


def _is_mixer(op: str) -> bool:
    return op in ATTENTION_OPS or op_category(op) in ("convolution", "pooling", "experts", *_SCAN_CATEGORIES)


def _period(items: Sequence[object]) -> int:
    """The smallest period that four fifths of the items keep; 1 without one."""
    for period in range(1, min(_MAX_PERIOD, len(items) // 2) + 1):
        pairs = list(zip(items, items[period:], strict=False))
        if sum(x == y for x, y in pairs) >= 0.8 * len(pairs):
            return period
    return 1


def _widths(graph: ArchitectureGraph, predecessors: list[list[int]]) -> list[int]:
    """Features of each node's output: those of its weight, else those of what it reads."""
    widths = [0] * graph.num_nodes
    shapes, heads, sizes = graph.shapes.tolist(), graph.attribute("num_heads"), graph.attribute("head_dim")
    for node, op in enumerate(graph.op_types):
        category, (out, inside, _, _) = op_category(op), shapes[node]
        read = [widths[p] for p in predecessors[node]]
        if category in ("linear", "convolution", "experts") and out:
            widths[node] = out
        elif category == "embedding" and out:
            widths[node] = inside
        elif category == "normalization" and out and not inside:
            widths[node] = out
        elif category == "recurrent":
            widths[node] = out // _GATES.get(op, 1) * (2 if graph.attribute("bidirectional")[node] else 1)
        elif op == "scaled_dot_product_attention":
            widths[node] = int(heads[node] * sizes[node])
        elif op == "MultiheadAttention":
            widths[node] = inside
        elif op == "cat":
            widths[node] = sum(read)
        elif op == "GLU":
            widths[node] = max(read, default=0) // 2
        else:
            widths[node] = Counter(read).most_common(1)[0][0] if op == "add" and read else max(read, default=0)
    return widths


def _tables(structure: Structure) -> dict[int, str]:
    """Role of each learned table outside of the stacks, by what it reads and what it is added to."""
    graph, before = structure.graph, structure.predecessors
    ops, shapes = graph.op_types, graph.shapes.tolist()
    outside = [n for n in range(graph.num_nodes) if structure.owner[n] < 0 and shapes[n][0]]
    embeddings = [n for n in outside if op_category(ops[n]) == "embedding"]
    direct = [n for n in embeddings if any(ops[p] == INPUT_OP for p in before[n])]
    widths = {stack.width for stack in structure.stacks} | {shapes[n][1] for n in direct}
    roles: dict[int, str] = {}
    sums: set[int] = set()
    for node in embeddings:
        rows, columns = shapes[node][:2]
        if node in direct and rows > _TYPES_AT_MOST:
            end = _end_of_sum(structure, node)
            roles[node] = "positions" if end in sums else "vocabulary"
            sums.add(end)
        elif node in direct or columns in widths:
            roles[node] = "token_types" if rows <= _TYPES_AT_MOST else "positions"
    for node in outside:
        rows, columns = shapes[node][:2]
        if ops[node] == "add" and columns in widths and rows > _TYPES_AT_MOST:
            roles[node] = "positions"
        elif ops[node] == "cat" and rows in widths and not columns:
            roles[node] = "tokens"
    return roles


def _end_of_sum(structure: Structure, node: int) -> int:
    """The last of the additions that follow a node directly; the node itself without any."""
    following = structure.successors[node]
    while len(following) == 1 and structure.graph.op_types[following[0]] == "add":
        node = following[0]
        following = structure.successors[node]
    return node
