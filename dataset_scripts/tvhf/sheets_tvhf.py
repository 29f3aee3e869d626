"""The fact sheet of a graph: all that predicates can ask of it, computed once, as plain data.

A sheet holds the towers with their facts (`towers_tvhf`), facts of the whole network, and counts, kernels and
neighbours of layers (`graph_facts_archbert`). `facts_tvhf.ArchitectureFacts` reads it; sheets are kept on disk under
the hash of the graph and of the code that made them.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from processing_archbert import graph_facts_archbert, graph_stacks_archbert, graph_towers_archbert
from processing_archbert.architecture_graph_archbert import PACKED_WEIGHTS, ArchitectureGraph
from processing_archbert.graph_costs_archbert import kv_cache
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.graph_overview_archbert import family
from processing_archbert.graph_stacks_archbert import ATTENTION_OPS, Structure
from processing_archbert.graph_towers_archbert import network_facts
from processing_archbert.ops_archbert import INPUT_OP, op_category
from processing_archbert.structure_facts_archbert import layer_family

from . import towers_tvhf
from .towers_tvhf import TowerView, towers_of

Sheet = dict[str, Any]


def fact_sheet(graph: ArchitectureGraph) -> Sheet:
    """The fact sheet of a graph, as JSON can hold it.

    Keys: `incomplete` (bool), `has_data_flow`, `parameters` (None where they cannot be counted), `towers` (role,
    modality, values), `network`, `kinds`, `ops` and `categories` (counts), `kernels` (kind -> sizes), `follows` (pairs
    of kinds), `first`, `last`, `skips`.
    """
    facts = GraphFacts(graph)
    form = facts.structure
    complete = not graph.incomplete
    towers = towers_of(graph) if complete else []
    if complete and _state_space(graph):
        towers = [_as_scan(tower) for tower in towers]
    kinds = facts.layer_counts()
    categories: Counter[str] = Counter()
    for kind, count in kinds.items():
        categories[layer_family(kind)] += count
    swept = [k for k in kinds if layer_family(k) in ("convolution", "pooling")]
    pairs = {(k, facts.layer_kinds[p]) for n, k in enumerate(facts.layer_kinds) if k for p in facts.predecessors[n]}
    return {
        "incomplete": not complete,
        "has_data_flow": graph.has_data_flow,
        "parameters": None if PACKED_WEIGHTS in graph.incomplete else graph.num_parameters,
        "towers": [list(tower) for tower in towers],
        "network": _network(graph, towers) | {"depth_of_layers": form.depth[0]} if complete else {},
        "kinds": kinds,
        "ops": dict(Counter(graph.op_types)),
        "categories": dict(categories),
        "kernels": {kind: list(facts.kernel_sizes(kind).value) for kind in swept},
        "follows": sorted([k, a] for k, a in pairs if a and facts.follows(k, a).value),
        "first": sorted({facts.layer_kinds[n] for n in form.first_layers}),
        "last": sorted({facts.layer_kinds[n] for n in form.last_layers}),
        "skips": {op: form.skip_connections(op)[0] for op in ("add", "cat")},
    }


def cached_sheet(row: Mapping[str, Any], folder: Path | None = None) -> Sheet:
    """The fact sheet of a row of the config `architectures`, from `folder` where the same code made it before.

    Args:
        row: columns of `ArchitectureGraph.to_row`, with `graph_hash`.
        folder: where sheets are kept; default: a temporary folder of the user.
    """
    made_of = [row["graph_hash"], int(row["num_parameters"]), [*row["incomplete"]], _code_digest()]
    path = (folder or sheet_folder()) / f"{hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]}.json"
    if not path.exists():
        keep(path, fact_sheet(ArchitectureGraph.from_row(row)))
    return json.loads(path.read_text(encoding="utf-8"))


def sheet_folder() -> Path:
    """Where sheets are kept: a temporary folder of the user."""
    return Path(tempfile.gettempdir()) / f"archbert-fact-sheets-{os.getuid()}"


def keep(path: Path, data: Mapping[str, Any]) -> None:
    """Writes JSON in one step, so that nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(data), encoding="utf-8")
    part.replace(path)


@lru_cache(maxsize=1)
def _code_digest() -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for module in (towers_tvhf, graph_stacks_archbert, graph_towers_archbert, graph_facts_archbert):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def _network(graph: ArchitectureGraph, towers: list[TowerView]) -> dict[str, Any]:
    """Facts of the whole network; None = unknown."""
    ops = graph.op_types
    structure = Structure(graph)
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
