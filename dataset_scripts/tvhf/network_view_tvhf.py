"""One network as the questions of `aqa_modern` see it: facts of its graph, each beside what its configuration states.

A fact is None where it is unknown, `Disagreement` where graph and configuration say different things. Facts that
`facts_tvhf` compares with the configuration already come from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from .config_values_tvhf import numbers_of, stated_layer_kinds, stated_values
from .truth_tvhf import Architecture

Details = dict[str, Any]
_PRODUCTS = {"matmul", "bmm", "baddbmm", "einsum", "tensordot", "Softmax"}
_ROLES = ("encoder", "decoder")


class Disagreement(ValueError):
    """Graph and configuration say different things of a fact."""


class Tower:
    """One tower of a network.

    Args:
        label: what tells it from the other towers (`encoder`, `text` ...); empty where it is the only one.
        values: its facts.
    """

    def __init__(self, label: str, values: Mapping[str, Any]) -> None:
        self.label, self.values = label, values

    def get(self, name: str) -> Any:
        """A fact; None where it is unknown."""
        return self.values.get(name)

    def number(self, name: str) -> int | None:
        """A fact that is one positive number; None where it is unknown, differs from stage to stage, or is 0."""
        value = self.values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


class NetworkView:
    """A network with its facts, details and configuration.

    Args:
        architecture: its record and facts.
        details: `network_details` of its graph.
    """

    def __init__(self, architecture: Architecture, details: Mapping[str, Any]) -> None:
        self.architecture, self.details = architecture, details
        self.facts = architecture.facts
        self.sheet = architecture.facts.sheet
        config = str(architecture.record.get("config") or "")
        self.stated, self.layer_kinds = stated_values(config), stated_layer_kinds(config)

    @property
    def complete(self) -> bool:
        """Whether the graph has all parts."""
        return not self.sheet["incomplete"] and bool(self.sheet["has_data_flow"])

    def fact(self, name: str) -> Any:
        """A fact of the whole network (`schema_tvhf.FACTS`)."""
        return self.facts.value(name)

    def checked(self, value: int, keys: Sequence[str]) -> int:
        """A number of the graph that the configuration states as well, where it has one of the keys.

        Raises:
            Disagreement: it states other numbers only.
        """
        stated = numbers_of(self.stated, keys)
        if stated and value not in stated:
            raise Disagreement(f"{value} is none of {sorted(stated)[:5]} ({', '.join(keys)})")
        return value

    def checked_none(self, keys: Sequence[str]) -> None:
        """The graph shows nothing of a kind, and the configuration has to have no number of it either.

        Raises:
            Disagreement: it states one.
        """
        stated = numbers_of(self.stated, keys)
        if stated:
            raise Disagreement(f"the graph shows none of {sorted(stated)[:5]} ({', '.join(keys)})")

    @cached_property
    def has_attention(self) -> bool | None:
        """Whether there is attention; None where products of matrices may be attention written out."""
        if self.sheet["incomplete"]:
            return None
        if self.fact("attention_layers"):
            return True
        return None if _PRODUCTS & set(self.sheet["ops"]) else False

    @cached_property
    def towers(self) -> list[Tower]:
        """Towers that can be told apart by one word; empty where some cannot."""
        found = self.facts.towers
        if len(found) == 1:
            return [Tower("", found[0][2])]
        roles, modalities = [role for role, _, _ in found], [modality for _, modality, _ in found]
        for labels, allowed in ((modalities, ("text", "vision", "audio")), (roles, _ROLES)):
            if len(set(labels)) == len(labels) and all(label in allowed for label in labels):
                return [Tower(label, values) for label, (_, _, values) in zip(labels, found, strict=True)]
        return []
