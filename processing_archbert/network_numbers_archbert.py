"""The numbers and properties that people ask of a real network: layers, heads, hidden size, vocabulary, parameters.

Everything is computed from the towers of a graph (`graph_towers_archbert`), from its embeddings and from its costs.
What the graph does not show is unknown, and so is everything but the parameters where the graph is not whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .architecture_graph_archbert import ArchitectureGraph, ArchitectureGraphError
from .graph_changes_archbert import scopes, unit_of
from .graph_costs_archbert import flops, kv_cache
from .graph_facts_archbert import Fact, GraphFacts
from .graph_stacks_archbert import ATTENTION_OPS, Structure
from .graph_towers_archbert import Tower, find_towers, network_facts
from .network_profile_archbert import NetworkProfile
from .ops_archbert import INPUT_OP, OUTPUT_OP, op_category
from .order_facts_archbert import OrderFacts


class Quantity(NamedTuple):
    """What can be asked for a number.

    Attributes:
        noun: what it is called.
        tower: the fact of a tower that it is, or empty.
    """

    noun: str
    tower: str = ""


QUANTITIES: dict[str, Quantity] = {
    "layers": Quantity("layers", "layers"),
    "hidden_size": Quantity("hidden size", "width"),
    "heads": Quantity("attention heads", "heads"),
    "kv_heads": Quantity("key and value heads", "kv_heads"),
    "head_size": Quantity("size of a head", "head_size"),
    "intermediate_size": Quantity("intermediate size", "intermediate"),
    "experts": Quantity("experts", "experts"),
    "experts_per_token": Quantity("experts per token", "top_k"),
    "window": Quantity("sliding window", "window"),
    "vocabulary": Quantity("vocabulary"),
    "positions": Quantity("learned positions"),
    "patch": Quantity("patch size"),
    "parameters": Quantity("parameters"),
    "flops": Quantity("FLOPs"),
    "kv_cache": Quantity("cache of keys and values"),
    "inputs": Quantity("inputs"),
    "outputs": Quantity("outputs"),
    "nodes": Quantity("nodes"),
}
"""Name -> what it is."""
SCOPES = ("", "encoder", "decoder", "text", "vision", "audio")
"""Towers that a question may be about; empty for all."""


class NetworkNumbers:
    """Numbers and properties of one network, computed on demand and kept.

    Args:
        graph: the graph; its FLOPs are known where it was read with `costs=True`.
    """

    def __init__(self, graph: ArchitectureGraph) -> None:
        self.graph = graph
        self.whole = graph.has_data_flow and not graph.incomplete
        self._known: dict[tuple[str, str], Fact] = {}

    @cached_property
    def structure(self) -> Structure:
        """Residual stacks of the graph."""
        return Structure(self.graph)

    @cached_property
    def towers(self) -> list[Tower]:
        """Towers of the graph, in order of execution."""
        return find_towers(self.structure)

    @cached_property
    def tower_names(self) -> list[str]:
        """What each tower is called: by role, or by what it reads."""
        return scopes(self.towers)

    @cached_property
    def network(self) -> dict[str, Any]:
        """Facts of the whole network, see `network_facts`."""
        return network_facts(self.structure)

    @cached_property
    def facts(self) -> GraphFacts:
        """Facts of nodes."""
        return GraphFacts(self.graph)

    @cached_property
    def order(self) -> OrderFacts:
        """Order, repetition and skip connections."""
        return OrderFacts(self.facts)

    @cached_property
    def profile(self) -> NetworkProfile:
        """Parts and facts of the network, as questions in words ask for them."""
        return NetworkProfile(self.graph, self.facts, self.structure)

    def in_scope(self, scope: str = "") -> list[int]:
        """Indices of the towers of a scope: a role or a modality."""
        return [i for i, t in enumerate(self.towers) if not scope or scope in (t.role, t.modality)]

    def number(self, name: str, scope: str = "") -> Fact:
        """A number of the network, or of the towers of a scope.

        Args:
            name: one of `QUANTITIES`.
            scope: one of `SCOPES`.

        Returns:
            Value: a tuple of the distinct values, empty where the network has none, or None where it is not known.

        Raises:
            ValueError: an unknown name or scope.
        """
        if name not in QUANTITIES:
            raise ValueError(f"{name!r} is no quantity; there are {', '.join(QUANTITIES)}.")
        if scope not in SCOPES:
            raise ValueError(f"{scope!r} is no scope; there are {', '.join(map(repr, SCOPES))}.")
        if (name, scope) not in self._known:
            self._known[name, scope] = self._number(name, scope)
        return self._known[name, scope]

    def _number(self, name: str, scope: str) -> Fact:
        if name == "parameters":
            return self.facts.parameters() if not scope else Fact(None)
        if not self.whole:
            return Fact(None)
        if QUANTITIES[name].tower:
            return self._of_towers(name, scope)
        if name in ("vocabulary", "positions"):
            return self._tables(name, scope) if scope else getattr(self, f"_{name}")()
        return getattr(self, f"_{name}")() if not scope or name == "patch" else Fact(None)

    def _of_towers(self, name: str, scope: str) -> Fact:
        indices = self.in_scope(scope)
        values = [self.towers[i].facts[QUANTITIES[name].tower] for i in indices]
        if name == "window" and any(isinstance(value, tuple) for value in values):
            values = [tuple(w for w, _ in v if w) if isinstance(v, tuple) else v for v in values]
        attention = name in ("heads", "kv_heads", "head_size", "window", "experts", "experts_per_token")
        if not indices and (scope or not attention or self._columns_of(name)):
            return Fact(None)
        found = tuple(dict.fromkeys(n for value in values for n in _flat(value) if n))
        if not found and (not attention or self._columns_of(name)):
            return Fact(None)
        return Fact(found, self._evidence(name, indices))

    def _columns_of(self, name: str) -> bool:
        """Whether any node has such a number, in a tower or not."""
        columns = {"heads": "num_heads", "kv_heads": "num_kv_heads", "head_size": "head_dim", "window": "window",
                   "experts": "num_experts", "experts_per_token": "num_experts"}  # fmt: skip
        return bool(self.graph.attribute(columns[name]).any())

    def _evidence(self, name: str, indices: Iterable[int]) -> tuple[int, ...]:
        stacks = [self.structure.stacks[n] for i in indices for n in self.towers[i].stacks]
        ops = self.graph.op_types
        if name in ("layers", "hidden_size"):
            return tuple(sorted(branch.add for stack in stacks for branch in stack.branches))
        inside = sorted(node for stack in stacks for node in stack.nodes)
        if name in ("heads", "kv_heads", "head_size", "window"):
            return tuple(n for n in inside if ops[n] in ATTENTION_OPS)
        if name in ("experts", "experts_per_token"):
            return tuple(n for n in inside if op_category(ops[n]) == "experts" or ops[n] == "topk")
        widths = set(self._of_widths(indices))
        return tuple(n for n in inside if widths & set(self.graph.shapes[n, :2].tolist()))

    def _of_widths(self, indices: Iterable[int]) -> list[int]:
        return [w for i in indices for w in _flat(self.towers[i].facts["intermediate"]) if w]

    def _tables(self, role: str, scope: str = "") -> Fact:
        """Rows of the learned tables of a role that lead to the towers of a scope, or to any part of the network."""
        holders = [self.towers[i].facts for i in self.in_scope(scope)] + ([] if scope else [self.network])
        rows = tuple(sorted({n for facts in holders for n in facts[role]}, reverse=True))
        tables = self.structure.tables
        nodes = tuple(n for n, found in tables.items() if found == role and int(self.graph.shapes[n, 0]) in rows)
        return Fact(rows or None, nodes)

    def _vocabulary(self) -> Fact:
        fact = self._tables("vocabulary")
        embeds = any(op_category(op) == "embedding" for op in self.graph.op_types)
        return fact if fact.value or embeds else Fact(())

    def _positions(self) -> Fact:
        return self._tables("positions")

    def _patch(self) -> Fact:
        """Kernel of the convolution that reads an image, where it is its stride as well and attention follows."""
        graph, structure = self.graph, self.structure
        attends = any(op in ATTENTION_OPS for op in graph.op_types)
        found = {}
        for node, op in enumerate(graph.op_types):
            if op != "Conv2d" or not any(graph.op_types[p] == INPUT_OP for p in structure.predecessors[node]):
                continue
            kernel = tuple(int(graph.attribute(f"kernel_{side}")[node]) for side in "hw")
            if kernel == tuple(int(graph.attribute(f"stride_{side}")[node]) for side in "hw") and kernel[0] > 1:
                found[node] = kernel
        if not found or not attends or any(height != width for height, width in found.values()):
            return Fact(None)
        return Fact(tuple(dict.fromkeys(height for height, _ in found.values())), tuple(found))

    def _flops(self) -> Fact:
        return Fact((flops(self.graph),)) if self.graph.costs is not None else Fact(None)

    def _kv_cache(self) -> Fact:
        try:
            cache = kv_cache(self.graph)
        except ArchitectureGraphError:
            return Fact(None)
        causal = self.graph.attribute("causal")
        nodes = tuple(n for n, op in enumerate(self.graph.op_types) if op in ATTENTION_OPS and causal[n])
        return Fact((cache.bytes_per_token,) if cache.bytes_per_token else (), nodes)

    def _inputs(self) -> Fact:
        return self._terminals(INPUT_OP)

    def _outputs(self) -> Fact:
        return self._terminals(OUTPUT_OP)

    def _terminals(self, op: str) -> Fact:
        nodes = tuple(n for n, name in enumerate(self.graph.op_types) if name == op)
        return Fact((len(nodes),), nodes)

    def _nodes(self) -> Fact:
        return Fact((self.graph.num_nodes,))

    def words(self, name: str, scope: str = "") -> list[str]:
        """A number as answers for people: one, or one for each tower that differs; empty where it is not known."""
        fact = self.number(name, scope)
        if fact.value is None:
            return []
        if not isinstance(fact.value, tuple):
            return [f"{fact.value:,}"]
        if not fact.value:
            return [f"This model has no {QUANTITIES[name].noun}"]
        tower = QUANTITIES[name].tower
        if not tower:
            return [f"{value:,}" for value in fact.value]
        return self._tower_words(tower, self.in_scope(scope))

    def _tower_words(self, tower: str, indices: list[int]) -> list[str]:
        told: dict[str, list[str]] = {}
        for i in indices:
            value = self.towers[i].facts[tower]
            if not value:
                continue
            name = self.tower_names[i]
            told.setdefault(_value_words(value, tower, unit_of(self.towers[i])), []).append(name)
        if len(told) == 1 and (len(indices) == 1 or tower != "layers"):
            return list(told)
        return [
            f"{text}{' each' if len(names) > 1 else ''} in the {' and '.join(n or 'body' for n in names)}"
            for text, names in told.items()
        ]

    @cached_property
    def has_bias(self) -> Fact:
        """Whether linear layers add a bias: True, False, or None where some do and some do not, or there are none."""
        graph = self.graph
        shapes = graph.shapes.astype(np.int64)
        linear = [n for n, op in enumerate(graph.op_types) if op == "Linear" and shapes[n, :2].all()]
        own = [n for n in linear if graph.node_parameters[n]]
        extra = {int(graph.node_parameters[n]) > int(shapes[n, 0] * shapes[n, 1]) for n in own}
        return Fact(extra.pop() if len(extra) == 1 and self.whole else None, tuple(own))

    @cached_property
    def kind(self) -> str:
        """`encoder-decoder`, `encoder-only`, `decoder-only`, or empty where it is none of them or not known."""
        attention = [t for t in self.towers if any(_flat(t.facts["heads"]))]
        if not self.whole or not attention:
            return ""
        roles = {t.role for t in attention}
        if any(t.facts["cross"] for t in attention):
            return "encoder-decoder" if roles == {"encoder", "decoder"} and len(attention) == 2 else ""
        if len(attention) > 1:
            return ""
        return f"{roles.pop()}-only" if roles & {"encoder", "decoder"} else ""


def _flat(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _value_words(value: Any, tower: str, unit: str) -> str:
    if tower == "window" and isinstance(value, tuple):
        return ", ".join(f"{w:,} in {n} layers" if w else f"none in {n} layers" for w, n in value)
    if not isinstance(value, tuple):
        return f"{value:,}"
    if tower != "layers" and len(set(value)) == 1:
        return f"{value[0]:,}"
    listed = ", ".join(f"{v:,}" for v in value)
    return f"{sum(value)} {unit} in {len(value)} stages ({listed})" if tower == "layers" else f"{listed} by stage"
