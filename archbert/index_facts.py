"""What an index keeps of a network besides its summary, so that a search can hold a text against it."""

from __future__ import annotations

import numpy as np

from processing_archbert.network_numbers_archbert import NetworkNumbers
from processing_archbert.network_properties_archbert import LAYER_GROUPS, PROPERTIES, holds
from processing_archbert.number_answers_archbert import NAMES, number_values
from processing_archbert.ops_archbert import op_category

_LEFT_OUT = ("parameters", "flops", "kv_cache", "inputs", "outputs", "nodes", "edges", "macs", "weight_bytes")
"""Quantities that are numbers of a summary, or that no text asks for."""


def properties_of(numbers: NetworkNumbers) -> list[str]:
    """The properties and groups of layers that the network has; of the rest it is false or not known."""
    return [name for name in (*PROPERTIES, *LAYER_GROUPS) if holds(numbers, name).value]


def modalities_of(numbers: NetworkNumbers) -> list[str]:
    """What its towers read: of `vision`, `text`, `audio`; empty where that is not known."""
    return list(dict.fromkeys(t.modality for t in numbers.towers if t.modality)) if numbers.whole else []


def quantities_of(numbers: NetworkNumbers) -> dict[str, list[int]]:
    """The values of each quantity, one for each part of the network that differs; empty where it has none.

    A quantity that is not known is left out. `depth` is that of `depth_of`.
    """
    found = {name: number_values(numbers, name) for name in NAMES if name not in _LEFT_OUT}
    known = {name: list(values) for name, values in found.items() if values is not None}
    return known | ({"depth": [depth_of(numbers)]} if numbers.whole else {})


def depth_of(numbers: NetworkNumbers) -> int:
    """The most convolutions and linear layers that a path from an input to an output goes through."""
    graph, longest = numbers.graph, np.zeros(numbers.graph.num_nodes, dtype=np.int64)
    for node, sources in enumerate(graph.predecessors()):
        weighs = op_category(graph.op_types[node]) in ("convolution", "linear") and graph.shapes[node].any()
        longest[node] = max((longest[source] for source in sources), default=0) + weighs
    return int(longest.max(initial=0))
