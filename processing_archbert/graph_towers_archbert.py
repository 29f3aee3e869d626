"""What people say of a network, by structure: its towers with their facts, and what stands outside of them.

A *tower* is one stack, or the stages of a network whose width grows. Every fact is a value of the schema below, read
off the nodes of the tower; 0, `""` and the empty tuple mean none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .graph_stacks_archbert import ATTENTION_OPS, TABLE_ROLES, Stack, Structure
from .ops_archbert import INPUT_OP, OUTPUT_OP, is_layer, op_category

_CAUSAL_SHARE = 0.5
_SHARED_SHARE = 0.4


@dataclass
class Tower:
    """Stacks that follow each other, and their facts.

    Attributes:
        stacks: indices of the stacks, in order.
        role: `encoder`, `decoder`, `stages` (convolutional, or attention whose width grows) or `stack`.
        modality: what it reads: `text`, `vision`, `audio`, or empty where the graph does not show it.
        facts: name -> value; of several stages numbers are tuples, one for each stage. To those of `stack_facts`
            come `vocabulary`, `positions`, `token_types` and `tokens`: rows of the learned tables that lead to it.
    """

    stacks: list[int]
    role: str
    modality: str
    facts: dict[str, Any] = field(default_factory=dict)


PER_STAGE = ("layers", "width", "heads", "kv_heads", "head_size", "intermediate")
"""Facts that differ from stage to stage; the others are shared by a tower."""
_NO_TOWER = -1
_MAX_WALK = 12


def find_towers(structure: Structure) -> list[Tower]:
    """The towers of a network, in order of execution, with their facts."""
    stacks = structure.stacks
    chained: dict[int, list[int]] = {}
    tower_of: dict[int, int] = {}
    for number, stack in enumerate(stacks):
        parent = stack.parent
        follows = parent in tower_of and _kind(stacks[parent]) == _kind(stack) and not stack.sources
        if follows and chained[tower_of[parent]][-1] == parent:
            tower_of[number] = tower_of[parent]
            chained[tower_of[number]].append(number)
        else:
            tower_of[number] = number
            chained[number] = [number]
    read = {source for stack in stacks for source in stack.sources}
    towers = [_tower(structure, numbers, read) for numbers in chained.values()]
    tables = _table_rows(structure)
    for tower in towers:
        tower.facts |= {role: _joined(tables, role, tower.stacks) for role in TABLE_ROLES}
    return towers


def _table_rows(structure: Structure) -> dict[tuple[str, int], list[int]]:
    """Role of a learned table and the stack that it leads to -> rows of such tables."""
    graph = structure.graph
    found: dict[tuple[str, int], list[int]] = {}
    for node, role in structure.tables.items():
        rows = int(graph.shapes[node, 0])
        if role == "tokens":
            rows = int(graph.node_parameters[node]) // rows
        found.setdefault((role, structure.stack_after(node)), []).append(rows)
    return found


def _joined(tables: dict[tuple[str, int], list[int]], role: str, stacks: list[int]) -> tuple[int, ...]:
    return tuple(sorted({rows for n in stacks for rows in tables.get((role, n), ())}, reverse=True))


def _kind(stack: Stack) -> str:
    labels = Counter(stack.labels)
    return "attention" if labels["attention"] or labels["cross"] else labels.most_common(1)[0][0]


def _tower(structure: Structure, numbers: list[int], read: set[int]) -> Tower:
    stacks = [structure.stacks[n] for n in numbers]
    each = [stack_facts(structure, stack) for stack in stacks]
    facts: dict[str, Any] = {}
    for name in each[0]:
        values = [found[name] for found in each]
        if name in PER_STAGE:
            facts[name] = values[0] if len(values) == 1 or not any(values) else tuple(values)
        else:
            facts[name] = _merged(values)
    facts["kernel"] = tuple(sorted(facts["kernel"]))
    facts["per_layer"] = max(zip(each, stacks, strict=True), key=lambda p: len(p[1].branches))[0]["per_layer"]
    attention = _kind(stacks[0]) == "attention"
    modality = _modality(structure, stacks[0])
    if attention and (any(s.sources or "cross" in s.labels for s in stacks) or facts["causal"]):
        role = "decoder"
    elif attention and (len(stacks) == 1 or set(numbers) & read):
        role = "encoder"
    else:
        role = "stages" if len(stacks) > 1 or (_kind(stacks[0]) == "convolution" and modality != "text") else "stack"
    return Tower(numbers, role, modality, facts)


def _merged(values: list[Any]) -> Any:
    if isinstance(values[0], tuple):  # of windows, a stack may have a tuple and the next one a number
        return tuple(dict.fromkeys(item for value in values if isinstance(value, tuple) for item in value))
    known = [value for value in values if value]
    return Counter(known).most_common(1)[0][0] if known else values[0]


def stack_facts(structure: Structure, stack: Stack) -> dict[str, Any]:
    """Facts of one stack.

    `layers`, `width` (hidden size or channels), `heads`, `kv_heads`, `head_size`, `qk_norm` (whether queries and keys
    are normalized), `layer_scale` (whether what a branch adds is scaled by a learned vector), `window` (tokens;
    several are given with the number of layers), `causal`, `cross`, `intermediate` (inner width of the feed-forward
    or convolution branches), `gated`, `shared_layers` (whether all layers use the weights of the first), `experts`,
    `shared_expert` (inner width), `top_k`, `activation`, `normalization`, `norm_position` (`before` or `after` the
    branch, or both), `kernel`, `groups`, `per_layer` (layers of each kind in one branch of each label).
    """
    graph = structure.graph
    ops = graph.op_types
    nodes = [n for branch in stack.branches for n in branch.nodes]
    layers = structure.num_layers(stack)
    selves = [n for b in stack.branches if b.label == "attention" for n in b.nodes if ops[n] in ATTENTION_OPS]
    facts: dict[str, Any] = {"layers": layers, "width": stack.width}
    for name, column in (("heads", "num_heads"), ("kv_heads", "num_kv_heads"), ("head_size", "head_dim")):
        facts[name] = _commonest(graph.attribute(column)[selves].tolist())
    facts["qk_norm"] = any(_is_normalized(structure, n) for n in selves)
    facts["layer_scale"] = _has_layer_scale(structure, stack)
    facts["window"] = _windows(graph.attribute("window")[selves].tolist())
    facts["causal"] = bool(selves) and float(graph.attribute("causal")[selves].mean()) > _CAUSAL_SHARE
    facts["cross"] = "cross" in stack.labels
    facts["intermediate"], facts["gated"] = _feed_forward(structure, stack)
    linear = graph.node_parameters[[n for n in nodes if op_category(ops[n]) == "linear"]]
    facts["shared_layers"] = layers > 1 and len(linear) > 0 and float((linear == 0).mean()) >= _SHARED_SHARE
    experts = [n for n in nodes if op_category(ops[n]) == "experts"]
    facts["experts"] = _commonest(graph.attribute("num_experts")[experts].tolist())
    routers = [n for n in nodes if ops[n] in ("topk", "grouped_mm")]
    facts["shared_expert"] = _shared_expert(structure, stack, experts)
    facts["top_k"] = _commonest(v for v in graph.attribute("top_k")[routers].tolist() if v) if experts else 0
    inside = [*nodes, *stack.stream]
    facts["activation"] = _kinds_of(ops, inside, "activation")
    facts["normalization"] = _kinds_of(ops, inside, "normalization")
    facts["norm_position"] = _norm_position(structure, stack)
    convolutions = [n for n in nodes if op_category(ops[n]) == "convolution"]
    facts["kernel"] = tuple(sorted({_kernel(structure, n) for n in convolutions}))
    grouped = [n for n in convolutions if graph.shapes[n, 1] > 1]
    facts["groups"] = tuple(sorted({int(g) for g in graph.attribute("groups")[grouped] if g > 1}))
    last = {branch.label: branch for branch in stack.branches}  # the first ones hold what is shared by all
    counts = Counter(ops[n] for branch in last.values() for n in branch.nodes if _is_counted(ops[n]))
    facts["per_layer"] = tuple(sorted(counts.items()))
    return facts


def _shared_expert(structure: Structure, stack: Stack, experts: list[int]) -> int:
    """Inner width of the expert that every token passes beside the routed ones; 0 without one."""
    graph = structure.graph
    routed = set(experts)
    inner = [
        int(graph.shapes[n, 1])
        for branch in stack.branches
        if routed & set(branch.nodes)
        for n in branch.nodes
        if op_category(graph.op_types[n]) == "linear" and graph.shapes[n, 0] == stack.width
        and any(graph.op_types[p] == "mul" for p in structure.predecessors[n])
    ]  # fmt: skip
    return _commonest(inner)


def _is_counted(op: str) -> bool:
    category = op_category(op)
    return category in ("experts", "scan") or (is_layer(op) and category not in ("embedding", "positional"))


def _commonest(values: Iterable[int]) -> int:
    counts = Counter(values)
    return int(counts.most_common(1)[0][0]) if counts else 0


def _is_normalized(structure: Structure, attention: int) -> bool:
    """Whether a normalization stands between the projections and an attention node."""
    ops = structure.graph.op_types
    seen: set[int] = set()
    waiting = list(structure.predecessors[attention])
    while waiting and len(seen) < 4 * _MAX_WALK:
        node = waiting.pop()
        category = op_category(ops[node])
        if category == "normalization":
            return True
        if node in seen or category in ("linear", "convolution", "embedding") or structure.owner[node] < 0:
            continue
        seen.add(node)
        waiting += structure.predecessors[node]
    return False


def _has_layer_scale(structure: Structure, stack: Stack) -> bool:
    """Whether half of the branches or more end in a product with a learned vector of the width of the stream."""
    ops, shapes = structure.graph.op_types, structure.graph.shapes
    ends = [{p for p in structure.predecessors[branch.add] if p != branch.skip} for branch in stack.branches]
    scaled = sum(any(ops[p] == "mul" and shapes[p, 0] == stack.width for p in found) for found in ends)
    return stack.width > 0 and 2 * scaled >= len(ends)


def _windows(values: list[int]) -> Any:
    """0, a window, or `((window, layers), ...)` where layers differ."""
    counts = Counter(values)
    if len(counts) < 2:
        return values[0] if values else 0
    return tuple(sorted(counts.items(), reverse=True))


def _kinds_of(ops: tuple[str, ...], nodes: list[int], category: str) -> tuple[str, ...]:
    """Ops of a category, most frequent first; those that are rare beside it are left out."""
    counts = Counter(ops[n] for n in nodes if op_category(ops[n]) == category)
    most = max(counts.values(), default=0)
    return tuple(op for op, count in sorted(counts.items(), key=lambda i: (-i[1], i[0])) if count * 8 >= most)


def _kernel(structure: Structure, node: int) -> str:
    depth, height, width = (int(structure.graph.attribute(f"kernel_{side}")[node]) for side in "dhw")
    one_dimensional = structure.graph.op_types[node].endswith("1d")
    return f"{width}" if one_dimensional else f"{depth}x{height}x{width}" if depth else f"{height}x{width}"


def _feed_forward(structure: Structure, stack: Stack) -> tuple[int, bool]:
    """Inner width of the branches, and whether a product with a gate stands before the last projection."""
    graph = structure.graph
    ops, shapes = graph.op_types, graph.shapes
    found, gated = [], []  # type: list[int], list[bool]
    for branch in stack.branches:
        inside = set(branch.nodes)
        for node in reversed(branch.nodes):
            category = op_category(ops[node])
            if category not in ("linear", "experts", "convolution") or shapes[node, 0] != stack.width:
                continue
            if not shapes[node, 1] or (category == "convolution" and graph.attribute("groups")[node] > 1):
                continue
            before = [p for p in structure.predecessors[node] if p in inside and ops[p] not in ("topk", "getitem")]
            gate = any(ops[p] in ("mul", "GLU") and _has_activation(structure, p, inside) for p in before)
            if gate or any(_is_activated(structure, p, inside) for p in before):
                found.append(int(shapes[node, 1]))
                gated.append(gate and category != "convolution")
                break
    return _commonest(found), Counter(gated).most_common(1)[0][0] if gated else False


def _is_activated(structure: Structure, node: int, inside: set[int]) -> bool:
    """Whether a node is an activation, or follows one with nothing but normalization and arithmetic between."""
    seen, waiting = {node}, [node]
    while waiting and len(seen) < _MAX_WALK:
        node = waiting.pop()
        category = op_category(structure.graph.op_types[node])
        if category == "activation":
            return True
        if category in ("normalization", "arithmetic"):
            sources = [p for p in structure.predecessors[node] if p in inside and p not in seen]
            seen |= set(sources)
            waiting += sources
    return False


def _has_activation(structure: Structure, product: int, inside: set[int]) -> bool:
    ops = structure.graph.op_types
    if ops[product] == "GLU":
        return True
    sources = [p for p in structure.predecessors[product] if p in inside]
    return len(sources) > 1 and any(op_category(ops[p]) == "activation" for p in sources)


def _norm_position(structure: Structure, stack: Stack) -> str:
    """`before` the branch, `after` the addition, both, `inside` the branch's end, or empty."""
    ops = structure.graph.op_types
    votes: Counter[str] = Counter()
    for branch in stack.branches[:-1] or stack.branches:
        readers = structure.successors[branch.add]
        after = (
            branch is not stack.branches[-1] and len(readers) == 1 and op_category(ops[readers[0]]) == "normalization"
        )
        first = [n for n in branch.nodes if branch.skip in structure.predecessors[n]]
        before = bool(first) and all(op_category(ops[n]) == "normalization" for n in first)
        ends = [p for p in structure.predecessors[branch.add] if p != branch.skip]
        end = any(op_category(ops[p]) == "normalization" for p in ends)
        places = [name for name, holds in (("before", before), ("end", end), ("after", after)) if holds]
        votes[" and ".join(places)] += 1
    return votes.most_common(1)[0][0]


def _modality(structure: Structure, stack: Stack) -> str:
    """What the stack reads, by the first layers between an input and it."""
    ops = structure.graph.op_types
    seen: set[int] = set()
    found: set[str] = set()
    waiting = [stack.branches[0].skip]
    while waiting and len(seen) < 400:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        category, sources = op_category(ops[node]), structure.predecessors[node]
        if any(ops[p] == INPUT_OP for p in sources):
            if category == "embedding":
                found.add("text")
            elif category == "convolution":
                found.add("audio" if ops[node].endswith("1d") else "vision")
        waiting += sources
    return found.pop() if len(found) == 1 else ""


def network_facts(structure: Structure) -> dict[str, Any]:
    """Facts of the whole network.

    `vocabulary`, `positions`, `token_types` and `tokens` (rows of learned tables that lead to no tower), `stem`
    (`(kernel, stride)` of the convolution that reads an image or sound), `tied` (whether the output layer uses an
    embedding's weight), `rotary`, `inputs` and `outputs` (those that a tower is connected with), `parameters`.
    """
    graph = structure.graph
    ops = graph.op_types
    tables = _table_rows(structure)
    stems = [
        (_kernel(structure, n), int(graph.attribute("stride_h")[n]), int(graph.attribute("stride_w")[n]))
        for n, op in enumerate(ops)
        if op_category(op) == "convolution" and any(ops[p] == INPUT_OP for p in structure.predecessors[n])
    ]
    return {
        **{role: _joined(tables, role, [_NO_TOWER]) for role in TABLE_ROLES},
        "stem": tuple(dict.fromkeys(stems)),
        "tied": _tied(structure),
        "rotary": "RotaryEmbedding" in ops,
        "inputs": sum(op == INPUT_OP and zone != "apart" for op, zone in zip(ops, structure.zones, strict=True)),
        "outputs": sum(op == OUTPUT_OP and zone != "apart" for op, zone in zip(ops, structure.zones, strict=True)),
        "parameters": graph.num_parameters,
    }


def _tied(structure: Structure) -> bool:
    """Whether a linear layer after the stacks uses the weight of an embedding, counted there already."""
    graph = structure.graph
    tables = {tuple(graph.shapes[n, :2].tolist()) for n, op in enumerate(graph.op_types) if op == "Embedding"}
    shapes = [tuple(shape[:2]) for shape in graph.shapes.tolist()]
    linear = [n for n, op in enumerate(graph.op_types) if op == "Linear" and shapes[n] in tables]
    sizes = graph.shapes[:, :2].astype(np.int64).prod(axis=1)
    return any(int(graph.node_parameters[n]) < int(sizes[n]) for n in linear)
