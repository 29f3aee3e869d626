"""What a picture of a graph shows: boxes, frames around them, and arrows; no coordinates and no colours.

The depth of a picture says how many levels of parts are opened. `"auto"` opens as many as stay readable, one example
of each kind of part first. An arrow is a `residual` where it carries a value past the layers that work on it to an
addition, and a `skip` where it does so to a concatenation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .architecture_graph_archbert import ArchitectureGraph
from .folding_archbert import node_kinds
from .graph_summary_archbert import Hierarchy, Part, hierarchy
from .ops_archbert import INPUT_OP, OUTPUT_OP, is_layer, op_category

MAX_BOXES = 500
AUTO_BOXES = 48
SHORTCUT_LENGTH = 3

FLOW, RESIDUAL, SKIP = "flow", "residual", "skip"
STATES = ("kept", "changed", "removed", "added")
"""What became of a node, in a picture of a diff."""
_SHORTCUT_CATEGORIES = ("convolution", "normalization", "pooling", "linear")


class PictureError(ValueError):
    """A picture that cannot be drawn: says why and what to do."""


@dataclass(frozen=True, eq=False)
class Marks:
    """What a diff says of the nodes of a graph.

    Attributes:
        states: for each node one of `STATES`.
        partners: node -> node of `other` that it corresponds to.
        other: the graph that this one is compared with.
        before: whether this graph is the first of the two.
    """

    states: Sequence[str]
    partners: Mapping[int, int]
    other: ArchitectureGraph
    before: bool


@dataclass(eq=False)
class Box:
    """One box: a node (`op` is its op type) or a closed part (`op` is empty).

    Attributes:
        part: the part that it shows.
        nodes: int64 (k,), all nodes of the graph that it stands for, ascending, those of all copies included.
        first: int64 (j,), those of the first copy.
        op: op type of a single node, else `""`.
        frame: index of the frame around it, -1 for none.
        evidence: how many of its nodes are highlighted.
        states: in a picture of a diff, how many of its nodes are in each state.
    """

    part: Part
    nodes: np.ndarray
    first: np.ndarray
    op: str
    frame: int
    evidence: int = 0
    states: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """The state of all of its nodes, `changed` where they are of several; empty without a diff."""
        return "changed" if len(self.states) > 1 else next(iter(self.states), "")


@dataclass(eq=False)
class Frame:
    """A frame around the boxes of an opened part; `parent` is the index of the frame around it, -1 for none.

    `alone`: in a picture of a diff, state -> how many of its repetitions only this graph has.
    """

    part: Part
    parent: int
    alone: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrow:
    """An arrow between two boxes (indices); `kind` is `flow`, `residual` or `skip`."""

    source: int
    target: int
    kind: str = FLOW


@dataclass(eq=False)
class Outline:
    """The content of one picture of a graph."""

    graph: ArchitectureGraph
    boxes: list[Box] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    marks: Marks | None = None


def outline(
    graph: ArchitectureGraph,
    depth: int | str = "auto",
    highlight: Any = None,
    max_boxes: int = MAX_BOXES,
    marks: Marks | None = None,
) -> Outline:
    """Boxes, frames and arrows of a picture.

    Args:
        graph: the graph.
        depth: levels of parts to open: 0 is one box, `"all"` every node and nothing folded, `"auto"` what is readable.
        highlight: indices of nodes, or a `Fact` (its nodes), whose boxes are marked; None for none.
        max_boxes: the largest number of boxes.
        marks: what a diff says of the nodes.

    Raises:
        PictureError: more than `max_boxes` boxes (names the depth to use), or a wrong depth, limit or highlight.
    """
    if depth not in ("auto", "all") and (isinstance(depth, (bool, str)) or not isinstance(depth, int) or depth < 0):
        raise PictureError(f'depth is {depth!r}; an integer from 0, "auto" or "all" is allowed.')
    if isinstance(max_boxes, bool) or not isinstance(max_boxes, int) or max_boxes < 1:
        raise PictureError(f"max_boxes is {max_boxes!r}; an integer from 1 is allowed.")
    evidence = _highlighted(highlight, graph.num_nodes)
    if depth == "all" and graph.num_nodes > max_boxes:
        raise _too_large(graph.num_nodes, max_boxes, hierarchy(graph).root)
    tree = hierarchy(graph, fold=depth != "all")
    if depth == "auto":
        opened = _readable(tree, min(AUTO_BOXES, max_boxes))
    else:
        opened = _opened_to(tree.root, tree.root.height if depth == "all" else int(depth))
    boxes = 1 + sum(len(part.children) - 1 for part in opened)
    if boxes > max_boxes:
        raise _too_large(boxes, max_boxes, tree.root)
    return _outline(tree, set(map(id, opened)), evidence, marks)


def _too_large(boxes: int, limit: int, root: Part) -> PictureError:
    sizes = [1 + sum(len(p.children) - 1 for p in _opened_to(root, d)) for d in range(root.height + 1)]
    depth = max(d for d, size in enumerate(sizes) if size <= limit)
    return PictureError(
        f"the picture would have {boxes} boxes; {limit} are allowed. depth={depth} has {sizes[depth]}, "
        'depth="auto" chooses by itself, and max_boxes sets the limit.'
    )


def _highlighted(highlight: Any, num_nodes: int) -> np.ndarray:
    """Marks of nodes, bool (m,)."""
    marks = np.zeros(num_nodes, dtype=bool)
    nodes = getattr(highlight, "nodes", highlight)
    if nodes is None:
        return marks
    try:
        indices = [int(node) for node in nodes if int(node) == node]
        complete = len(indices) == len(nodes)
    except (TypeError, ValueError):
        raise PictureError(
            f"highlight is {type(highlight).__name__}; indices of nodes or a Fact are allowed."
        ) from None
    wrong = [node for node in indices if not 0 <= node < num_nodes]
    if wrong or not complete:
        what = f"has the node {wrong[0]}" if wrong else "has a number with a fraction"
        raise PictureError(f"highlight {what}; integers from 0 to {num_nodes - 1} are allowed.")
    marks[indices] = True
    return marks


def _opened_to(root: Part, depth: int) -> list[Part]:
    opened: list[Part] = []
    level = [root]
    for _ in range(depth):
        level = [part for part in level if part.children]
        opened += level
        level = [child for part in level for child in part.children]
    return opened


def _readable(tree: Hierarchy, limit: int) -> list[Part]:
    """Parts to open: one of each kind down to its nodes, then the others level by level, all of a level or none."""
    kinds = node_kinds(tree.graph.op_types, np.zeros((tree.graph.num_nodes, 0), np.int32))
    chosen: dict[int, Part] = {}
    seen: set[tuple[Any, ...]] = set()
    boxes = 1
    waiting = deque([tree.root])
    while waiting:
        part = waiting.popleft()
        if not part.children or (part is not tree.root and not _has_layer(tree.graph, part)):
            continue
        kind = (kinds[np.unique(tree.canonical[part.nodes])].tobytes(), *(len(c.nodes) for c in part.children))
        if kind not in seen and boxes + len(part.children) - 1 <= limit:
            seen.add(kind)
            chosen[id(part)] = part
            boxes += len(part.children) - 1
            waiting.extend(part.children)
    level = [tree.root]
    while level:
        level = [child for part in level if id(part) in chosen for child in part.children]
        others = [p for p in level if p.children and id(p) not in chosen and _has_layer(tree.graph, p)]
        more = sum(len(part.children) - 1 for part in others)
        if boxes + more <= limit:
            chosen.update((id(part), part) for part in others)
            boxes += more
    return list(chosen.values())


def _has_layer(graph: ArchitectureGraph, part: Part) -> bool:
    return any(is_layer(graph.op_types[node]) for node in part.nodes.tolist())


def _outline(tree: Hierarchy, opened: set[int], evidence: np.ndarray, marks: Marks | None) -> Outline:
    result = Outline(tree.graph, marks=marks)
    owner = np.full(tree.graph.num_nodes, -1, dtype=np.int64)
    waiting: list[tuple[Part, int]] = [(tree.root, -1)]
    while waiting:
        part, frame = waiting.pop()
        if id(part) in opened:
            if part is not tree.root:
                result.frames.append(Frame(part, frame))
                frame = len(result.frames) - 1
            waiting += [(child, frame) for child in reversed(part.children)]
            continue
        first = np.unique(tree.canonical[part.nodes])
        op = "" if part.children else tree.graph.op_types[int(first[0])]
        owner[first] = len(result.boxes)
        result.boxes.append(Box(part, first, first, op, frame))
    owners = owner[tree.canonical]
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(len(result.boxes) + 1))
    for index, box in enumerate(result.boxes):
        box.nodes = order[bounds[index] : bounds[index + 1]]
        box.evidence = int(evidence[box.nodes].sum())
        if marks is not None:
            found = [marks.states[node] for node in box.nodes.tolist()]
            box.states = {state: found.count(state) for state in STATES if state in found}
    _count_repetitions(result)
    result.arrows = _arrows(tree, owner, result.boxes)
    return result


def _count_repetitions(result: Outline) -> None:
    """Says once, at the frame, that some repetitions are in this graph alone, and no more at each of its boxes."""
    inside: dict[int, list[Box]] = {}
    for box in result.boxes:
        frame = box.frame
        while frame >= 0:
            inside.setdefault(frame, []).append(box)
            frame = result.frames[frame].parent
    for index, boxes in inside.items():
        repeats = result.frames[index].part.repeats
        if repeats < 2 or result.marks is None or any(len(box.nodes) % repeats for box in boxes):
            continue
        copies = np.concatenate([box.nodes.reshape(repeats, -1) for box in boxes], axis=1).tolist()
        states = [{result.marks.states[node] for node in copy} for copy in copies]
        for state in STATES[2:]:
            alone = sum(found == {state} for found in states)
            if not 0 < alone < repeats:
                continue
            result.frames[index].alone[state] = alone
            for box in boxes:
                box.states[state] -= alone * len(box.nodes) // repeats
                if not box.states[state]:
                    del box.states[state]


def _arrows(tree: Hierarchy, owner: np.ndarray, boxes: Sequence[Box]) -> list[Arrow]:
    """Arrows between the boxes that own the standing nodes (`owner`, (m,)), by target and source."""
    joins: dict[tuple[int, int], set[str]] = {}
    for (source, target), node in zip(owner[tree.edges].T.tolist(), tree.edges[1].tolist(), strict=True):
        if source != target:
            joins.setdefault((target, source), set()).add(tree.graph.op_types[node])
    readers: dict[int, list[int]] = {}
    for target, source in sorted(joins):
        readers.setdefault(target, []).append(source)
    ancestors = _ancestors(len(boxes), readers)
    layers = sum(1 << index for index, box in enumerate(boxes) if not box.op or is_layer(box.op))
    kinds = dict.fromkeys(sorted(joins), FLOW)
    for target, sources in readers.items():
        for source in sources:
            past = any(_passes_layer(source, other, ancestors, layers) for other in sources if other != source)
            ops = joins[target, source]
            if past and ops & {"add", "cat"}:
                kinds[target, source] = RESIDUAL if "add" in ops else SKIP
        if boxes[target].op == "add" and all(kinds[target, source] == FLOW for source in sources):
            kinds.update(dict.fromkeys(_shortcut(tree.graph, target, sources, readers, ancestors, boxes), RESIDUAL))
    return [Arrow(source, target, kind) for (target, source), kind in kinds.items()]


def _ancestors(count: int, readers: dict[int, list[int]]) -> list[int]:
    """For each box a bit set of the boxes from which a path leads to it."""
    found = [0] * count
    targets: dict[int, list[int]] = {}
    missing = [0] * count
    for target, sources in readers.items():
        missing[target] = len(sources)
        for source in sources:
            targets.setdefault(source, []).append(target)
    ready = [box for box in range(count) if not missing[box]]
    while ready:
        box = ready.pop()
        for target in targets.get(box, ()):
            found[target] |= found[box] | 1 << box
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    return found


def _passes_layer(source: int, target: int, ancestors: Sequence[int], layers: int) -> bool:
    """Whether a path from one box to another, its end included, has a layer (`layers`: bit set) after its start."""
    candidates = (ancestors[target] | 1 << target) & layers
    while candidates:
        box = candidates.bit_length() - 1
        if ancestors[box] >> source & 1:
            return True
        candidates ^= 1 << box
    return False


def _is_projection(graph: ArchitectureGraph, box: Box) -> bool:
    """Whether a box holds nothing but projections, as the shortcut of a residual block with another width has."""
    return all(op_category(graph.op_types[node]) in _SHORTCUT_CATEGORIES for node in box.part.nodes.tolist())


def _shortcut(
    graph: ArchitectureGraph,
    target: int,
    sources: Sequence[int],
    readers: dict[int, list[int]],
    ancestors: Sequence[int],
    boxes: Sequence[Box],
) -> list[tuple[int, int]]:
    """The arrows of a short branch of projections (convolution, normalization, ...) that ends in an addition."""
    best: list[tuple[int, int]] = []
    for source in sources:
        chain, node, size = [(target, source)], source, 0
        while len(chain) <= SHORTCUT_LENGTH and _is_projection(graph, boxes[node]):
            before = readers.get(node, [])
            if len(before) != 1:
                break
            size += len(boxes[node].part.nodes)
            chain.append((node, before[0]))
            node = before[0]
            longer = [s for s in sources if s != source and _longer(s, node, size, readers, ancestors, boxes)]
            if boxes[node].op != INPUT_OP and longer and (not best or len(chain) < len(best)):
                best = chain
                break
    return best


def _longer(
    start: int,
    fork: int,
    size: int,
    readers: dict[int, list[int]],
    ancestors: Sequence[int],
    boxes: Sequence[Box],
) -> bool:
    """Whether the way from `fork` to `start` has more than `size` nodes."""
    nodes = 0
    while start != fork:
        before = [s for s in readers.get(start, []) if s == fork or ancestors[s] >> fork & 1]
        if not before:
            return False
        nodes += len(boxes[start].part.nodes)
        start = before[0]
    return nodes > size


def is_terminal(box: Box) -> bool:
    """Whether a box is an input or an output of the network."""
    return box.op in (INPUT_OP, OUTPUT_OP)
