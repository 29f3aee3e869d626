"""The fact sheet of a graph: all that predicates can ask of it, computed once, as plain data.

A sheet holds the towers with their facts (`sound_towers_archbert`), facts of the whole network
(`whole_network_archbert`), and counts, kernels and neighbours of layers (`graph_facts_archbert`).
`facts_tvhf.ArchitectureFacts` reads it; sheets are kept on disk under the hash of the graph and of the code that made
them.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from processing_archbert import (
    graph_facts_archbert,
    graph_stacks_archbert,
    graph_towers_archbert,
    sound_towers_archbert,
    whole_network_archbert,
)
from processing_archbert.architecture_graph_archbert import PACKED_WEIGHTS, ArchitectureGraph
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.structure_facts_archbert import layer_family
from processing_archbert.whole_network_archbert import network_towers, whole_network

Sheet = dict[str, Any]
_MADE_BY = (sound_towers_archbert, whole_network_archbert, graph_stacks_archbert, graph_towers_archbert,
            graph_facts_archbert)  # fmt: skip
"""The code that a sheet follows from, beside this file."""


def fact_sheet(graph: ArchitectureGraph) -> Sheet:
    """The fact sheet of a graph, as JSON can hold it.

    Keys: `incomplete` (bool), `has_data_flow`, `parameters` (None where they cannot be counted), `towers` (role,
    modality, values), `network`, `kinds`, `ops` and `categories` (counts), `kernels` (kind -> sizes), `follows` (pairs
    of kinds), `first`, `last`, `skips`.
    """
    facts = GraphFacts(graph)
    form = facts.structure
    complete = not graph.incomplete
    towers = network_towers(graph) if complete else []
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
        "network": whole_network(graph, towers) | {"depth_of_layers": form.depth[0]} if complete else {},
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
    for module in _MADE_BY:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()
