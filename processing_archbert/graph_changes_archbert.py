"""What changed between two networks: facts of their towers compared, and what is left over node by node.

A change that a fact states (a wider stream, more layers, other heads) is stated once; sizes that follow from it are
not stated again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .graph_alignment_archbert import Alignment
from .graph_diff_words_archbert import fact_text, layer_text, layers_text, tower_name, tower_text
from .graph_stacks_archbert import TABLE_ROLES, ZONES, Structure
from .graph_towers_archbert import Tower
from .ops_archbert import ATTRIBUTES, INPUT_OP, OUTPUT_OP, is_layer, op_category

_STATED_ATTRIBUTES = (
    "num_heads", "num_kv_heads", "head_dim", "causal", "window", "num_experts", "top_k", "output_h", "output_w",
)  # fmt: skip
_PLAIN_WORDS = {"stride_w": "stride", "kernel_w": "kernel width", "kernel_h": "kernel height",
                "dilation_w": "dilation", "num_layers": "layers"}  # fmt: skip
_MAX_TOWERS = 64


class Change(NamedTuple):
    """One thing that is different.

    Attributes:
        kind: name of the fact (`layers`, `width`, `heads`, ...), or `added`, `removed`, `replaced`, `size`,
            `attribute`, `per_layer`.
        scope: the part of the network, empty for all of it: `encoder`, `decoder`, `vision`, `text`, `stem`,
            `between` (towers or stages), `head`, ...
        a, b: the values in the two networks.
        text: the change in words.
    """

    kind: str
    scope: str
    a: Any
    b: Any
    text: str


@dataclass
class Network:
    """A network read for comparison."""

    structure: Structure
    towers: list[Tower]
    facts: dict[str, Any]


def pair_towers(a: Sequence[Tower], b: Sequence[Tower]) -> list[tuple[int, int]]:
    """Towers that correspond: of one modality and role before others, each once, in order."""
    candidates = [
        (-_likeness(x, y, len(a) == len(b) == 1), abs(i - j), i, j)
        for i, x in enumerate(a[:_MAX_TOWERS])
        for j, y in enumerate(b[:_MAX_TOWERS])
    ]
    pairs: list[tuple[int, int]] = []
    for score, _, i, j in sorted(candidates):
        if score < 0 and i not in (p[0] for p in pairs) and j not in (p[1] for p in pairs):
            pairs.append((i, j))
    return sorted(pairs)


def _likeness(x: Tower, y: Tower, alone: bool) -> int:
    attention = bool(x.facts["heads"]) == bool(y.facts["heads"])
    modality = not (x.modality and y.modality and x.modality != y.modality)
    if not attention or not (modality or alone):
        return 0
    same_kernels = bool(x.facts["kernel"]) == bool(y.facts["kernel"])
    same_cross = x.facts["cross"] == y.facts["cross"]
    return 1 + 4 * (x.role == y.role) + 2 * (x.modality == y.modality) + same_cross + same_kernels


def scopes(towers: Sequence[Tower]) -> list[str]:
    """What to call each tower: by role where encoder and decoder are linked, else by what it reads."""
    linked = any(tower.facts["cross"] for tower in towers)
    names = []
    for tower in towers:
        by_role = tower.role if tower.role in ("encoder", "decoder") else ""
        names.append(by_role or tower.modality if linked or len(towers) == 1 else tower.modality or by_role)
    counts = Counter(names)
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):
        if counts[name] > 1:
            seen[name] += 1
            names[i] = f"{name or 'tower'} {seen[name]}"
    return names


def unit_of(tower: Tower) -> str:
    """What a tower is counted in."""
    convolutional = tower.facts["kernel"] and not tower.facts["heads"] and tower.role == "stages"
    return "residual blocks" if convolutional else "layers"


def tower_changes(a: Network, b: Network, pairs: Sequence[tuple[int, int]]) -> list[Change]:
    """Changed facts of corresponding towers; what changed alike in all of them is stated once."""
    names_a, names_b = scopes(a.towers), scopes(b.towers)
    found: list[tuple[str, str, Any, Any, dict[str, Any]]] = []
    for i, j in pairs:
        x, y = a.towers[i].facts, b.towers[j].facts
        scope = names_b[j] if names_a[i] == names_b[j] or len(b.towers) > 1 else ""
        context = {"unit": unit_of(b.towers[j]), "scope": scope, "facts_a": x, "facts_b": y,
                   "convolutional": not y["heads"] and b.towers[j].role == "stages"}  # fmt: skip
        found += [(name, scope, x[name], y[name], context) for name in x if _differs(name, x, y)]
    changes: list[Change] = []
    for name, scope, old, new, context in found:
        alike = [f for f in found if (f[0], f[2], f[3]) == (name, old, new)]
        if name == "layers" or len(alike) < len(pairs):
            where = f" in the {tower_name(scope)}" if len(pairs) > 1 and name != "layers" else ""
            shown = scope if len(pairs) > 1 or name == "layers" else ""
        elif alike[0][1] != scope:
            continue
        else:
            where = shown = ""
        changes.append(Change(name, shown, old, new, fact_text(name, old, new, context) + where))
    return changes


def _differs(name: str, x: dict[str, Any], y: dict[str, Any]) -> bool:
    """Whether a fact is worth a line: it differs, and does not follow from another one."""
    if x[name] == y[name] or name == "per_layer":
        return False
    attention = _any(x["heads"]) and _any(y["heads"])
    if name == "kv_heads":
        shared = x["heads"] != x["kv_heads"] or y["heads"] != y["kv_heads"]
        return attention and shared
    if name in ("heads", "head_size", "causal") and not attention:
        return name == "heads"
    if name in ("heads", "intermediate", "head_size") and not _any(x[name]) and not _any(y[name]):
        return False
    if name == "window" and isinstance(x[name], tuple) and isinstance(y[name], tuple):
        return {w for w, _ in x[name]} != {w for w, _ in y[name]} or x["layers"] == y["layers"]
    if name == "groups":
        return bool(x["kernel"]) and bool(y["kernel"])
    return True


def _any(value: Any) -> bool:
    return any(value) if isinstance(value, tuple) else bool(value)


def network_changes(a: Network, b: Network) -> list[Change]:
    """Changed facts of the whole networks."""
    changes = []
    for name, old in a.facts.items():
        new = b.facts[name]
        if name == "parameters" or old == new or (name == "stem" and not (old and new)):
            continue
        changes.append(Change(name, "", old, new, fact_text(name, old, new, {})))
    return changes


def tower_additions(a: Network, b: Network, pairs: Sequence[tuple[int, int]]) -> list[Change]:
    """Towers that only one of the networks has."""
    changes = []
    for side, network in enumerate((a, b)):
        matched = {pair[side] for pair in pairs}
        for i, (tower, scope) in enumerate(zip(network.towers, scopes(network.towers), strict=True)):
            if i not in matched:
                text = tower_text(tower.facts, scope or "tower", unit_of(tower))
                kind = "added" if side else "removed"
                values = (None, tower.facts["layers"]) if side else (tower.facts["layers"], None)
                changes.append(Change(kind, "tower", values[0], values[1], f"{text}, {kind}"))
    return changes


def rate_changes(a: Network, b: Network, pairs: Sequence[tuple[int, int]], stated: Iterable[Change]) -> list[Change]:
    """Layers of a kind that every layer of a tower has more or fewer of, where no fact says so already."""
    known = {kind for change in stated for value in (change.a, change.b) if isinstance(value, tuple) for kind in value}
    moved = any(change.kind in ("norm_position", "qk_norm") for change in stated)
    gated = any(change.kind in ("gated", "experts", "cross") for change in stated)
    changes = []
    names = scopes(b.towers)
    for i, j in pairs:
        old, new = (dict(t.facts["per_layer"]) for t in (a.towers[i], b.towers[j]))
        for op in sorted({*old, *new}):
            if old.get(op, 0) == new.get(op, 0) or op in known or (gated and op_category(op) in ("linear", "experts")):
                continue
            if moved and op_category(op) == "normalization":
                continue
            if gated and op in ("Softmax", "LayerNorm", "RMSNorm", "scaled_dot_product_attention", "Sigmoid"):
                continue
            unit = unit_of(b.towers[j]).removeprefix("residual ")[:-1]
            where = f" of the {tower_name(names[j])}" if len(pairs) > 1 and names[j] else ""
            text = f"{new.get(op, 0)} {op} in each {unit}{where} instead of {old.get(op, 0)}"
            scope = names[j] if len(pairs) > 1 else ""
            changes.append(Change("per_layer", scope, old.get(op, 0), new.get(op, 0), text))
    return changes


def explained_sizes(a: Network, b: Network, pairs: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Pairs of sizes that follow from stated facts: the facts themselves, their multiples, and sums of projections."""
    found: set[tuple[int, int]] = set()
    for i, j in pairs:
        x, y = _sizes(a.towers[i].facts), _sizes(b.towers[j].facts)
        for name in x:
            found |= set(zip(x[name], y[name], strict=False))
        for name in TABLE_ROLES:
            found |= set(zip(a.towers[i].facts[name], b.towers[j].facts[name], strict=False))
    for name in TABLE_ROLES:
        found |= set(zip(a.facts[name], b.facts[name], strict=False))
    multiples = {(k * s, k * t) for s, t in found for k in (1, 2, 3, 4, 5, 6, 8)}
    halves = {(s // k, t // k) for s, t in found for k in (2, 4) if not s % k and not t % k}
    return multiples | halves


def _sizes(facts: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    values = {name: np.atleast_1d(facts[name]) for name in ("width", "heads", "kv_heads", "head_size", "intermediate")}
    queries, keys = values["heads"] * values["head_size"], values["kv_heads"] * values["head_size"]
    values |= {
        "queries": queries,
        "keys": keys,
        "fused": queries + 2 * keys,
        "experts": np.atleast_1d(facts["experts"]),
    }
    values["groups"] = np.atleast_1d(facts["groups"] or 0)
    return {name: tuple(int(v) for v in value) for name, value in values.items()}


def _size_name(op: str, slot: int) -> str:
    """What a number of a weight shape is called."""
    category = op_category(op)
    if category == "embedding":
        return ("table size", "embedding size", "kernel", "kernel")[slot]
    return ("size" if category == "normalization" else "output size", "input size", "kernel", "kernel")[slot]


def certain(a: Network, b: Network, alignment: Alignment, explained: set[tuple[int, int]]) -> Alignment:
    """The alignment without layers outside of the towers that were paired for want of a better one.

    Where the networks have other numbers of a kind of layer in a zone, such a layer corresponds to another only if its
    sizes do.
    """
    if alignment.exact:
        return alignment
    counts = [Counter(zip(s.zones, s.graph.op_types, strict=True)) for s in (a.structure, b.structure)]
    shapes = [network.structure.graph.shapes for network in (a, b)]
    kept = []
    for i, j in alignment.pairs.tolist():
        kind = a.structure.zones[i], a.structure.graph.op_types[i]
        unlike = [(x, y) for x, y in zip(shapes[0][i].tolist(), shapes[1][j].tolist(), strict=True) if x != y]
        lone = kind[0] and counts[0][kind] != counts[1][kind] and i not in a.structure.tables
        if not (lone and any(pair not in explained for pair in unlike)):
            kept.append((i, j))
    return replace(alignment, pairs=np.array(kept, dtype=np.int64).reshape(-1, 2))


def node_changes(
    a: Network, b: Network, alignment: Alignment, explained: set[tuple[int, int]], stated: Iterable[Change]
) -> list[Change]:
    """Sizes and attributes of corresponding nodes that no fact explains, one line for each kind of change."""
    stated = list(stated)
    x, y = a.structure.graph, b.structure.graph
    counts: Counter[tuple[str, str, str, int, int]] = Counter()
    kernels = any(change.kind in ("kernel", "stem", "groups") for change in stated)
    unlike = _unlike_kinds(a, b)
    for i, j in alignment.pairs.tolist():
        inside = a.structure.owner[i] >= 0
        if x.op_types[i] != y.op_types[j] or (inside and x.op_types[i] in unlike):
            continue
        op, scope = x.op_types[i], a.structure.zones[i]
        if a.structure.tables.get(i) in {change.kind for change in stated}:
            continue
        for slot, (old, new) in enumerate(zip(x.shapes[i].tolist(), y.shapes[j].tolist(), strict=True)):
            if slot > 1 and (kernels or (x.attributes[i] != y.attributes[j]).any()):
                continue
            if old != new and (old, new) not in explained and is_layer(op) and old and new:
                counts[scope, op, _size_name(op, slot), old, new] += 1
        for name, old, new in zip(ATTRIBUTES, x.attributes[i].tolist(), y.attributes[j].tolist(), strict=True):
            stated_here = kernels and name.startswith(("kernel", "stride"))
            if old == new or name in _STATED_ATTRIBUTES or name == "stride_h" or stated_here:
                continue
            if not (name == "groups" and (old, new) in explained):
                counts[scope, op, _PLAIN_WORDS.get(name, name.replace("_", " ")), old, new] += 1
    changes = []
    for (scope, op, what, old, new), count in sorted(counts.items(), key=lambda item: -item[1]):
        where = f" {_place(scope, b)}" if scope and count == 1 else f" in {count} layers" if count > 1 else ""
        kind = "size" if what.endswith("size") else "attribute"
        changes.append(Change(kind, scope, old, new, f"{op}: {what} {new} instead of {old}{where}"))
    return changes


def _place(zone: str, network: Network) -> str:
    """Where a zone is, in words."""
    if zone == "apart":
        return "in parts that nothing connects"
    if zone != "between":
        return f"in the {zone}"
    return f"between the {'towers' if len(network.towers) > 1 else 'stages'}"


def _unlike_kinds(a: Network, b: Network) -> set[str]:
    """Layers that towers have other numbers of in each layer: which of them correspond is then not certain."""
    rates = [{item for tower in network.towers for item in tower.facts["per_layer"]} for network in (a, b)]
    return {op for op, _ in rates[0] ^ rates[1]}


def rest_changes(a: Network, b: Network, alignment: Alignment, stated: Iterable[Change]) -> list[Change]:
    """Layers outside of the towers that only one of the networks has, and those that took the place of others."""
    changes = []
    stated = list(stated)
    kinds = {change.kind for change in stated}
    for zone in ZONES:
        for side, network in enumerate((a, b)):
            structure = network.structure
            graph = structure.graph
            matched = set(alignment.pairs[:, side].tolist())
            alone = [
                n for n in range(graph.num_nodes)
                if structure.zones[n] == zone and n not in matched and _counts(graph, n)
                and structure.tables.get(n) not in kinds
            ]  # fmt: skip
            if alone:
                layers = [layer_text(graph.op_types[n], graph.shapes[n].tolist()) for n in alone]
                kind = "added" if side else "removed"
                values = (None, layers) if side else (layers, None)
                where = _place(zone, network).removeprefix("in the ")
                changes.append(Change(kind, zone, values[0], values[1], f"{where}: {layers_text(layers)} {kind}"))
    known = {(x, y) for change in stated if change.kind in ("activation", "normalization")
             for x in change.a for y in change.b}  # fmt: skip
    for i, j in alignment.pairs.tolist():
        old, new = a.structure.graph.op_types[i], b.structure.graph.op_types[j]
        if old != new and a.structure.owner[i] < 0 and (old, new) not in known:
            changes.append(Change("replaced", "", old, new, f"{new} instead of {old} outside of the layers"))
    return list({change.text: change for change in changes}.values())


def _counts(graph: Any, node: int) -> bool:
    """Whether a node outside of the towers is worth a word: a layer, or something with weights."""
    op = graph.op_types[node]
    return op not in (INPUT_OP, OUTPUT_OP) and (is_layer(op) or int(graph.node_parameters[node]) > 0)
