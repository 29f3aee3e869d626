"""What the configuration of a network of transformers states, by key and at any level of nesting."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

Stated = Mapping[str, frozenset[Any]]
"""Key -> the values that it has; lists are taken apart, what is empty or no number, text or flag is left out."""


@lru_cache(maxsize=4096)
def stated_values(config: str) -> Stated:
    """Values of a configuration, with the library's defaults and its other names of the same values.

    Args:
        config: column `config` of the config `architectures`: JSON with `model_type` and what differs from the
            defaults; empty for networks that have no configuration.
    """
    found: dict[str, set[Any]] = {}
    _collect(_full_config(config), found)
    return {key: frozenset(values) for key, values in found.items()}


@lru_cache(maxsize=4096)
def stated_layer_kinds(config: str) -> Mapping[str, int]:
    """Kind of layer -> number of layers, where a configuration lists the kinds of its layers once; else empty."""
    lists: set[tuple[str, ...]] = set()
    _collect_lists(_full_config(config), "layer_types", lists)
    return Counter(lists.pop()) if len(lists) == 1 else {}


def _full_config(config: str) -> dict[str, Any]:
    given = json.loads(config) if config else {}
    if "model_type" not in given:
        return {}
    from transformers import AutoConfig

    full = AutoConfig.for_model(given.pop("model_type"), **given)
    renamed = {name: getattr(full, name, None) for name in getattr(full, "attribute_map", {})}
    return {**full.to_dict(), **renamed}


def _collect_lists(tree: Mapping[str, Any], wanted: str, found: set[tuple[str, ...]]) -> None:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            _collect_lists(value, wanted, found)
        elif key == wanted and isinstance(value, (list, tuple)):
            found.add(tuple(map(str, value)))


def _collect(tree: Mapping[str, Any], found: dict[str, set[Any]]) -> None:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            _collect(value, found)
            continue
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(one, (bool, int, float, str)):
                found.setdefault(str(key), set()).add(one)


def numbers_of(stated: Stated, keys: Sequence[str]) -> frozenset[int]:
    """All positive integers that any of the keys states."""
    values = (value for key in keys for value in stated.get(key, ()))
    return frozenset(v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0)
