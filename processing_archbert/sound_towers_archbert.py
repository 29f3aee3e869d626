"""The towers of a network as people speak of them: sound ones with their facts, and what cannot be told.

The stacks are those of `graph_stacks_archbert`, their facts those of `graph_towers_archbert.stack_facts`. Here

* stacks are one tower as long as they agree in what people would call one: attention in the same direction, the same
  normalizations, a width that grows; equal stacks in a row are one stage;
* a stack whose width no normalization or convolution of it has was not read well: its facts are unknown;
* auxiliary parts (one layer, small beside the others) are no towers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from .architecture_graph_archbert import ArchitectureGraph
from .graph_stacks_archbert import Stack, Structure
from .graph_towers_archbert import stack_facts
from .ops_archbert import INPUT_OP, op_category

COVERED_SHARE = 0.6
"""Of a network whose stacks hold less of its layers' parameters, the facts of branches are unknown."""
AUXILIARY_SHARE = 0.2
"""A stack of one layer with less than this share of the parameters of the largest tower is auxiliary."""
_TINY_SHARE = 0.01
_POSITIONS = {"before": "pre", "after": "post", "before and end": "sandwich", "end": "branch-end", "": "none"}
_MIXERS = {"cross": "attention", "experts": "linear"}


class TowerView(NamedTuple):
    """One tower.

    Attributes:
        role: `encoder`, `decoder`, `stages` or `stack`.
        modality: `text`, `vision`, `audio`, or empty where the graph does not show it.
        values: fact -> value; None = unknown.
    """

    role: str
    modality: str
    values: dict[str, Any]


class _Stage(NamedTuple):
    stacks: list[Stack]
    facts: dict[str, Any]
    sound: bool
    size: int
    modality: str


def towers_of(graph: ArchitectureGraph, structure: Structure | None = None) -> list[TowerView]:
    """The towers of a graph in order of execution, auxiliary ones left out.

    Args:
        graph: the graph.
        structure: its stacks, where they are at hand.
    """
    structure = structure or Structure(graph)
    stages = [_stage(structure, stack) for stack in structure.stacks]
    groups: list[list[int]] = []
    group_of: dict[int, list[int]] = {}
    for number, stack in enumerate(structure.stacks):
        group = group_of.get(stack.parent)
        if group is not None and group[-1] == stack.parent and _continues(stages[stack.parent], stages[number], stack):
            group.append(number)
        else:
            group = [number]
            groups.append(group)
        group_of[number] = group
    read = {source for stack in structure.stacks for source in stack.sources}
    merged = [_merged([stages[n] for n in group]) for group in groups]
    largest = max((sum(s.size for s in stages) for stages in merged), default=0)
    found = []
    for group, tower in zip(groups, merged, strict=True):
        size = sum(stage.size for stage in tower)
        layers = sum(stage.facts["layers"] for stage in tower)
        if size >= _TINY_SHARE * largest and (layers > 1 or size >= AUXILIARY_SHARE * largest):
            found.append(_tower(tower, bool(read & set(group))))
    if _covered(structure) < COVERED_SHARE:
        found = [t._replace(values={k: None if k in _BRANCH_FACTS else v for k, v in t.values.items()}) for t in found]
    return [_prefixed(tower, found) for tower in found]


_BRANCH_FACTS = ("intermediate", "gated", "activation", "activations", "norm", "norms", "norm_position", "kernels")


def _covered(structure: Structure) -> float:
    """Share of the parameters of linear layers, convolutions and experts that the stacks hold."""
    graph = structure.graph
    heavy = [n for n, op in enumerate(graph.op_types) if op_category(op) in ("linear", "convolution", "experts")]
    total = int(graph.node_parameters[heavy].sum())
    inside = int(graph.node_parameters[[n for n in heavy if structure.owner[n] >= 0]].sum())
    return inside / total if total else 1.0


def _prefixed(tower: TowerView, towers: Sequence[TowerView]) -> TowerView:
    """A text tower behind another modality that seems to look both ways: a mask may say so, which no graph shows."""
    other = any(t.modality not in ("", "text") for t in towers)
    if other and tower.modality == "text" and tower.role == "encoder" and tower.values.get("norm") == "RMSNorm":
        return tower._replace(role="", values=tower.values | {"causal": None, "role": None})
    return tower


def _stage(structure: Structure, stack: Stack) -> _Stage:
    graph, nodes = structure.graph, stack.nodes
    facts = stack_facts(structure, stack) | {"attending": stack.labels.count("attention")}
    sizes = set()
    for node in nodes:
        category = op_category(graph.op_types[node])
        if category in ("normalization", "convolution"):
            sizes.add(int(graph.shapes[node, 0]))
        elif category == "linear":
            sizes |= {int(v) for v in graph.shapes[node, :2]}
    sound = bool(stack.width) and stack.width in sizes
    size = int(graph.node_parameters[nodes].sum())
    return _Stage([stack], facts, sound, size, _modality(structure, stack))


def _continues(before: _Stage, stage: _Stage, stack: Stack) -> bool:
    """Whether a stack goes on with the tower that `before` ends."""
    a, b = before.facts, stage.facts
    if stack.sources or "cross" in stack.labels or a["cross"] or _mixer(before) != _mixer(stage):
        return False
    return a["causal"] == b["causal"] and a["normalization"] == b["normalization"] and a["gated"] == b["gated"]


_SHARED = ("width", "heads", "kv_heads", "head_size", "intermediate", "gated", "experts", "norm_position")


def _merged(stages: Sequence[_Stage]) -> list[_Stage]:
    """Stages of a tower; neighbours that differ in nothing are one."""
    found: list[_Stage] = []
    for stage in stages:
        last = found[-1] if found else None
        if last is not None and all(last.facts[name] == stage.facts[name] for name in _SHARED):
            facts = last.facts | {k: last.facts[k] + stage.facts[k] for k in ("layers", "attending")}
            facts["window"] = _joined_windows([last.facts, stage.facts])
            found[-1] = last._replace(
                stacks=[*last.stacks, *stage.stacks], facts=facts, size=last.size + stage.size,
                sound=last.sound and stage.sound,
            )  # fmt: skip
        else:
            found.append(stage)
    return found


def _windows(facts: dict[str, Any]) -> list[tuple[int, int]]:
    """(window, layers) of a stage with attention."""
    if isinstance(facts["window"], tuple):
        return list(facts["window"])
    return [(facts["window"], facts["attending"])] if facts["heads"] else []


def _joined_windows(parts: Sequence[dict[str, Any]]) -> Any:
    """0, a window, or `((window, layers), ...)` where layers differ."""
    counts: Counter[int] = Counter()
    for facts in parts:
        for window, layers in _windows(facts):
            counts[window] += layers
    if len(counts) < 2:
        return next(iter(counts), 0)
    return tuple(sorted(counts.items(), reverse=True))


def _mixer(stage: _Stage) -> str:
    labels = {_MIXERS.get(label, label) for stack in stage.stacks for label in stack.labels}
    mixing = labels & {"attention", "convolution", "scan", "pooling"}
    if len(mixing) > 1:
        return "mixed"
    return mixing.pop() if mixing else "linear" if labels == {"linear"} else ""


def _tower(stages: list[_Stage], is_read: bool) -> TowerView:
    mixers = {_mixer(stage) for stage in stages}
    mixer = mixers.pop() if len(mixers) == 1 else "mixed"
    cross = any(stage.facts["cross"] for stage in stages)
    causal = any(stage.facts["causal"] for stage in stages)
    if any(stage.facts["heads"] for stage in stages) or cross:
        role = "decoder" if cross or causal else "encoder" if len(stages) == 1 or is_read else "stages"
    else:
        role = "stages" if len(stages) > 1 or mixer == "convolution" else "stack"
    if not all(stage.sound for stage in stages):
        return TowerView(role, stages[0].modality, {})
    values = _values(stages, mixer, role)
    looks_back = causal if values["heads"] else None if stages[0].modality in ("text", "audio", "") else False
    return TowerView(role, stages[0].modality, values | {"causal": looks_back, "cross": cross})


def _values(stages: list[_Stage], mixer: str, role: str) -> dict[str, Any]:
    facts = [stage.facts for stage in stages]
    several = len(stages) > 1
    values: dict[str, Any] = {"depth": sum(f["layers"] for f in facts), "role": role, "mixer": mixer or None}
    values["stages"] = tuple(f["layers"] for f in facts) if several else ()
    values["num_stages"] = len(stages)
    values["widths"] = tuple(f["width"] for f in facts) if several else ()
    values["stage_heads"] = tuple(f["heads"] for f in facts) if several and facts[0]["heads"] else ()
    numbers = {"hidden": "width", "heads": "heads", "kv_heads": "kv_heads", "head_dim": "head_size",
               "intermediate": "intermediate"}  # fmt: skip
    for name, column in numbers.items():
        per_stage = tuple(f[column] for f in facts)
        values[name] = per_stage if len(set(per_stage)) > 1 else per_stage[0]
    values["intermediate"] = values["intermediate"] if all(f["intermediate"] for f in facts) else None
    values["gated"] = facts[0]["gated"] if values["intermediate"] is not None else None
    values["attention"] = _attention(values)
    windows = _joined_windows(facts)
    layers = dict(windows) if isinstance(windows, tuple) else {windows: sum(f["attending"] for f in facts)}
    values["window"] = max(layers)
    attending = bool(facts[0]["heads"])
    values["local_layers"] = sum(n for w, n in layers.items() if w) if attending else 0
    values["global_layers"] = layers.get(0, 0) if attending else 0
    if several and attending:  # attention inside of image windows is full attention over a rearranged input
        values |= dict.fromkeys(("window", "local_layers", "global_layers"))
    for one, many, column in (("activation", "activations", "activation"), ("norm", "norms", "normalization")):
        kinds = tuple(dict.fromkeys(kind for f in facts for kind in f[column]))
        values[many] = kinds or None
        values[one] = kinds[0] if len(kinds) == 1 else None
    positions = {f["norm_position"] for f in facts}
    values["norm_position"] = _POSITIONS.get(positions.pop(), "other") if len(positions) == 1 else None
    values["kernels"] = tuple(dict.fromkeys(kernel for f in facts for kernel in f["kernel"]))
    return values


def _attention(values: dict[str, Any]) -> str | None:
    heads, kv_heads = values["heads"], values["kv_heads"]
    if heads == 0:
        return "none"
    if heads == kv_heads:
        return "multi-head"
    if isinstance(heads, tuple) or isinstance(kv_heads, tuple) or not kv_heads:
        return None
    return "multi-query" if kv_heads == 1 else "grouped-query"


def _modality(structure: Structure, stack: Stack) -> str:
    """What a stack reads, by the layers between inputs and it that belong to no other stack."""
    ops = structure.graph.op_types
    seen: set[int] = set()
    found: set[str] = set()
    waiting = [stack.branches[0].skip]
    own = structure.owner[stack.branches[0].add]
    while waiting and len(seen) < 400:
        node = waiting.pop()
        if node in seen or structure.owner[node] not in (-1, own):
            continue
        seen.add(node)
        sources = structure.predecessors[node]
        if any(ops[p] == INPUT_OP for p in sources):
            padded = op_category(ops[node]) in ("padding", "arithmetic")
            for reader in structure.successors[node] if padded else (node,):
                category = op_category(ops[reader])
                if category == "embedding":
                    found.add("text")
                elif category == "convolution":
                    found.add("audio" if ops[reader].endswith("1d") else "vision")
        waiting += sources
    return found.pop() if len(found) == 1 else ""
