"""One network as people ask about it in words: its parts, told apart by one word, and its facts, each with evidence.

Everything is read from the graph. A fact that the graph does not show is None, and so is every fact but the parameters
of a graph that is not whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from .architecture_graph_archbert import ArchitectureGraph
from .graph_facts_archbert import GraphFacts
from .graph_stacks_archbert import ATTENTION_OPS, Structure
from .ops_archbert import op_category
from .sound_towers_archbert import TowerView
from .whole_network_archbert import network_details, network_towers, whole_network

MODALITIES = ("text", "vision", "audio")
ROLES = ("encoder", "decoder")
_PRODUCTS = frozenset(("matmul", "bmm", "baddbmm", "einsum", "tensordot", "Softmax"))
_MAX_STEPS = 4


class Part:
    """One tower of a network.

    Args:
        label: the word that tells it from the others (`encoder`, `text` ...); empty where it is the only one.
        role: see `TowerView`.
        modality: see `TowerView`.
        values: its facts, see `sound_towers_archbert`.
    """

    def __init__(self, label: str, role: str, modality: str, values: Mapping[str, Any]) -> None:
        self.label, self.role, self.modality, self.values = label, role, modality, values

    def get(self, name: str) -> Any:
        """A fact; None where it is unknown."""
        return self.values.get(name)

    def number(self, name: str) -> int | None:
        """A fact that is one positive number; None where it is unknown, differs from stage to stage, or is 0."""
        value = self.values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


class NetworkProfile:
    """Parts and facts of one network, computed on demand and kept.

    Args:
        graph: the network.
        facts: facts of its nodes.
        structure: its residual stacks.
    """

    def __init__(self, graph: ArchitectureGraph, facts: GraphFacts, structure: Structure) -> None:
        self.graph, self.facts, self.structure = graph, facts, structure
        self.complete = graph.has_data_flow and not graph.incomplete

    @cached_property
    def _towers(self) -> list[TowerView]:
        return network_towers(self.graph, self.structure) if self.complete else []

    @cached_property
    def _network(self) -> dict[str, Any]:
        return whole_network(self.graph, self._towers, self.structure) if self.complete else {}

    @cached_property
    def _details(self) -> dict[str, Any]:
        return network_details(self.graph, self.facts, self.structure) if self.complete else {}

    def fact(self, name: str) -> Any:
        """A fact of the whole network (`whole_network`)."""
        return self._network.get(name)

    def detail(self, name: str) -> Any:
        """A fact of `network_details`."""
        return self._details.get(name)

    @cached_property
    def has_attention(self) -> bool | None:
        """Whether there is attention; None where products of matrices may be attention written out."""
        if not self.complete:
            return None
        if self.fact("attention_layers"):
            return True
        return None if _PRODUCTS & set(self.graph.op_types) else False

    @cached_property
    def parts(self) -> list[Part]:
        """Towers that can be told apart by one word; empty where some cannot."""
        found = self._towers
        if len(found) == 1:
            return [Part("", *found[0])]
        roles, modalities = [t.role for t in found], [t.modality for t in found]
        for labels, allowed in ((modalities, MODALITIES), (roles, ROLES)):
            if len(set(labels)) == len(labels) and all(label in allowed for label in labels):
                return [Part(label, *tower) for label, tower in zip(labels, found, strict=True)]
        return []

    def in_scope(self, scope: str) -> list[Part]:
        """The parts of a role or modality; all of them without one."""
        return [part for part in self.parts if not scope or scope in (part.label, part.role, part.modality)]

    def nodes(self, *categories: str) -> tuple[int, ...]:
        """The nodes of some categories of ops."""
        return tuple(n for n, op in enumerate(self.graph.op_types) if op_category(op) in categories)

    def has(self, prefix: str) -> bool:
        """Whether some op's name begins so."""
        return any(op.startswith(prefix) for op in self.graph.op_types)

    @cached_property
    def latent_rank(self) -> int | None:
        """Width of the compressed keys and values of multi-head latent attention; 0 without it, None for several.

        It is a normalization of a part of what one linear layer gives, expanded by another linear layer.
        """
        attention = sum(op in ATTENTION_OPS for op in self.graph.op_types)
        ranks = list(self._latents()) if attention else []
        if len(ranks) < attention or not ranks:
            return 0 if not ranks else None
        return ranks[0] if len(set(ranks)) == 1 else None

    def _latents(self) -> Iterator[int]:
        ops, shapes, sources = self.graph.op_types, self.graph.shapes, self.structure.predecessors
        for node, op in enumerate(ops):
            before = sources[node]
            if op != "Linear" or len(before) != 1 or op_category(ops[before[0]]) != "normalization":
                continue
            rank, place = int(shapes[node, 1]), before[0]
            for _ in range(_MAX_STEPS):
                place = sources[place][0] if sources[place] else place
                if op_category(ops[place]) == "linear":
                    break
            given, taken = (int(side) for side in shapes[place, :2])
            if ops[place] == "Linear" and rank < given < 2 * rank and given < taken:
                yield rank
