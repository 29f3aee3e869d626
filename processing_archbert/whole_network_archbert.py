"""Facts of a whole network as people ask for them: form, kind, tables, first convolution, experts, caches, details.

None means that the graph does not show a fact. The towers are those of `sound_towers_archbert`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from .architecture_graph_archbert import ArchitectureGraph
from .graph_costs_archbert import kv_cache
from .graph_facts_archbert import GraphFacts
from .graph_overview_archbert import family
from .graph_stacks_archbert import ATTENTION_OPS, Structure
from .graph_towers_archbert import network_facts, stack_facts
from .ops_archbert import INPUT_OP, op_category
from .sound_towers_archbert import TowerView, towers_of


def network_towers(graph: ArchitectureGraph, structure: Structure | None = None) -> list[TowerView]:
    """The towers of a complete graph (`towers_of`), those of state-space layers as such."""
    towers = towers_of(graph, structure)
    return [_as_scan(tower) for tower in towers] if _state_space(graph) else towers


def network_details(
    graph: ArchitectureGraph, facts: GraphFacts | None = None, structure: Structure | None = None
) -> dict[str, Any]:
    """What people ask of a graph beyond that, as JSON can hold it.

    Keys: `qk_norm`, `layer_scale` (whether some stack has it), `shared_expert` (inner width, 0 without one),
    `linear_inputs` and `outputs_of_width` (in- and out-features of linear layers -> count), `linear_work`
    (multiply-adds of linear layers for one token), `downsampling`, `transposed`, `dilated` (convolutions),
    `head_pooling` (kind of the pooling layers behind all convolutions; "" without one, or with several kinds),
    `input_kinds`.
    """
    facts = facts or GraphFacts(graph)
    form = facts.structure
    structure = structure or Structure(graph)
    stacks = [stack_facts(structure, stack) for stack in structure.stacks]
    linear = [n for n, op in enumerate(graph.op_types) if op_category(op) == "linear" and graph.shapes[n, 1]]
    inputs, outputs = (Counter(str(int(graph.shapes[n, side])) for n in linear) for side in (1, 0))
    convolutions = form.nodes_of_category("convolution")
    dilation = graph.attribute("dilation_w")
    return {
        "qk_norm": any(f["qk_norm"] for f in stacks),
        "layer_scale": any(f["layer_scale"] for f in stacks),
        "shared_expert": max((f["shared_expert"] for f in stacks), default=0),
        "linear_inputs": dict(inputs),
        "outputs_of_width": dict(outputs),
        "linear_work": int(sum(int(graph.shapes[n, 0]) * int(graph.shapes[n, 1]) for n in linear)),
        "downsampling": len(form.downsampling),
        "transposed": sum("Transpose" in facts.layer_kinds[n] for n in convolutions),
        "dilated": sum(int(dilation[n]) > 1 for n in convolutions),
        "head_pooling": _head_pooling(facts),
        "input_kinds": sorted(form.input_kinds),
    }


def _head_pooling(facts: GraphFacts) -> str:
    form = facts.structure
    pooling, convolutions = form.nodes_of_category("pooling"), form.nodes_of_category("convolution")
    depths = facts.graph.depths
    deepest = max((int(depths[n]) for n in convolutions), default=-1)
    after = {facts.layer_kinds[n] for n in pooling if int(depths[n]) > deepest}
    return after.pop() if len(after) == 1 else ""


def whole_network(
    graph: ArchitectureGraph, towers: list[TowerView], structure: Structure | None = None
) -> dict[str, Any]:
    """Facts of a complete graph; None = unknown.

    Keys: `towers` (how many), `form` (`encoder-only`, `decoder-only`, `encoder-decoder`, `none`), `kind` (what carries
    the data), `vocabulary`, `tables`, `positions`, `token_types` (rows of embeddings), `tied`, `rotary`,
    `stem_kernel`, `stem_stride`, `patch`, `experts`, `top_k`, `state_space`, `kv_cache` (bytes for a token in 16
    bits), `inputs`, `outputs`, `attention_layers`, `depthwise`, `grouped`, `no_towers`.
    """
    ops = graph.op_types
    structure = structure or Structure(graph)
    found = network_facts(structure)
    rows: dict[str, set[int]] = {}
    for node, role in structure.tables.items():
        rows.setdefault(role, set()).add(int(graph.shapes[node, 0]))
    attention = sum(op in ATTENTION_OPS for op in ops)
    return {
        "towers": len(towers) if all(t.values for t in towers) else None,
        "form": _form(graph, towers, attention),
        "kind": _kind(graph),
        "vocabulary": max(rows.get("vocabulary", ()), default=0),
        "tables": sorted({*rows.get("vocabulary", ()), *rows.get("positions", ())}, reverse=True),
        "positions": _only(rows.get("positions", ())),
        "token_types": _only(rows.get("token_types", ())) or 0,
        "tied": found["tied"] or None,
        "rotary": "RotaryEmbedding" in ops or (None if "cos" in ops or "polar" in ops else False),
        **_stem(graph, found["stem"]),
        **_experts(graph),
        "state_space": _state_space(graph),
        "kv_cache": kv_cache(graph).bytes_per_token,
        "inputs": found["inputs"],
        "outputs": found["outputs"],
        "attention_layers": attention,
        **_grouped(graph),
        "no_towers": not towers and not attention and "Softmax" not in ops and not structure.stacks,
    }


def _kind(graph: ArchitectureGraph) -> str | None:
    """What carries the data; unknown where convolutions stand beside a spelled-out softmax."""
    kind = family(graph)
    spelled = kind in ("convolutional", "other") and graph.op_types.count("Softmax") > 2
    return None if spelled else kind


def _form(graph: ArchitectureGraph, towers: list[TowerView], attention: int) -> str | None:
    """How transformer towers are put together."""
    if not attention:
        return "none" if "Softmax" not in graph.op_types else None
    attending = [t for t in towers if t.values.get("mixer") == "attention"]
    if not attending or any(t.values.get("causal") is None for t in attending):
        return None
    flags = {(bool(t.values["causal"]), bool(t.values["cross"])) for t in attending}
    if (True, True) in flags and (False, False) in flags and len(flags) == 2:
        return "encoder-decoder"
    return (
        {(True, False): "decoder-only", (False, False): "encoder-only"}.get(flags.pop()) if len(flags) == 1 else None
    )


def _experts(graph: ArchitectureGraph) -> dict[str, Any]:
    """Experts, and how many of them a token is sent to; unknown where layers differ or no attribute shows it."""
    experts = {int(v) for v in graph.attribute("num_experts") if v}
    routed = {int(v) for op, v in zip(graph.op_types, graph.attribute("top_k"), strict=True) if op == "topk" and v}
    if not experts:
        unseen = None if {"topk", "grouped_mm", "argmax", "one_hot"} & set(graph.op_types) else 0
        return {"experts": unseen, "top_k": unseen}
    return {"experts": _only(experts), "top_k": _only(routed)}


def _grouped(graph: ArchitectureGraph) -> dict[str, int]:
    """Convolutions with one filter for each channel, and those with other groups."""
    groups = graph.attribute("groups")
    split = [n for n, op in enumerate(graph.op_types) if op.startswith("Conv") and groups[n] > 1]
    depthwise = sum(int(graph.shapes[n, 1]) == 1 for n in split)
    return {"depthwise": depthwise, "grouped": len(split) - depthwise}


def _only(values: Collection[int]) -> int | None:
    """The one value that there is; unknown without one, or with several."""
    return next(iter(values)) if len(values) == 1 else None


def _as_scan(tower: TowerView) -> TowerView:
    """A tower of a network with state-space layers: its short convolutions are a part of the scan."""
    if tower.values.get("mixer") != "convolution":
        return tower
    return tower._replace(role="stack", values=tower.values | {"mixer": "scan", "role": "stack"})


def _state_space(graph: ArchitectureGraph) -> bool | None:
    """Whether it has selective state-space layers: a short depthwise convolution and a softplus step for each.

    A softplus without such a convolution, or a recurrence with sigmoid gates, is left unknown.
    """
    ops = graph.op_types
    steps, scans = ops.count("Softplus"), sum(op_category(op) == "scan" for op in ops)
    if not steps and not scans:
        return False
    groups, widths = graph.attribute("groups"), graph.attribute("kernel_w")
    short = sum(op == "Conv1d" and groups[n] > 1 and 1 < widths[n] <= 8 for n, op in enumerate(ops))
    return True if scans or (short == steps and "exp" in ops and "Sigmoid" not in ops and short > 1) else None


def _stem(graph: ArchitectureGraph, stems: Sequence[tuple[str, int, int]]) -> dict[str, Any]:
    """Kernel, stride and patch of the convolution that reads the input; unknown where several differ."""
    found = [*stems] or _padded_stems(graph)
    if not found:
        return dict.fromkeys(("stem_kernel", "stem_stride", "patch"), None if "Conv2d" in graph.op_types else 0)
    kernel, high, wide = found[0]
    sides = kernel.split("x")
    if len(found) > 1 or len(sides) == 1 or sides[-1] != sides[-2] or high != wide:
        return dict.fromkeys(("stem_kernel", "stem_stride", "patch"))
    side = int(sides[-1])
    return {"stem_kernel": side, "stem_stride": wide, "patch": side if side == wide > 1 else 0}


def _padded_stems(graph: ArchitectureGraph) -> list[tuple[str, int, int]]:
    """First convolutions that read the input over padding or arithmetic."""
    predecessors, found = graph.predecessors(), []
    for node, op in enumerate(graph.op_types):
        if op != "Conv2d":
            continue
        source = predecessors[node][0] if predecessors[node] else node
        while op_category(graph.op_types[source]) in ("padding", "arithmetic") and predecessors[source]:
            source = predecessors[source][0]
        if graph.op_types[source] == INPUT_OP:
            sides = [int(graph.attribute(f"{what}_{side}")[node]) for what in ("kernel", "stride") for side in "hw"]
            found.append((f"{sides[0]}x{sides[1]}", sides[2], sides[3]))
    return list(dict.fromkeys(found))
