"""Saved graphs and configs in JSON, read by `load_architecture` and by `ArchitectureGraph.from_json`."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

from processing_archbert import (
    ArchitectureGraph,
    ArchitectureGraphError,
    ArchitectureSourceError,
    ArchitectureTraceError,
    load_architecture,
)

SUFFIX = ".json"
TRACE_SECONDS = 2.0
ALLOWED = (ArchitectureGraphError, ArchitectureSourceError, ArchitectureTraceError)

_MODEL = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
          "intermediate_size": 8, "vocab_size": 16, "max_position_embeddings": 64}  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 1.5, float("nan"), float("inf"), 2**31, 2**63, 2**64, 10**400, "", "x", "\ud800", "\0",
    "../../etc/passwd", [], [[]], [[[[]]]], [None], ["a"], {}, {"a": 1}, [1, [2]], [[1], [2, 3]], "v1:0", "bert",
)  # fmt: skip


def SEEDS() -> list[bytes]:
    """Three graphs, and a config of a small network."""
    chain = ArchitectureGraph.build(["input", "Linear", "ReLU", "output"], [(0, 1), (1, 2), (2, 3)], name="chain")
    split = ArchitectureGraph.build(
        ["input", "Conv2d", "Conv2d", "add", "output"],
        [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)],
        shapes=[[0] * 4, [8, 3, 3, 3], [8, 3, 1, 1], [0] * 4, [0] * 4],
        node_parameters=[0, 216, 24, 0, 0],
        node_names=["x", "left", "right", "", ""],
        incomplete=("tower",),
        unused_parameters=5,
        library_versions={"torch": "2.13.0"},
    )
    single = ArchitectureGraph.build(["input"], [])
    return [graph.to_json().encode() for graph in (chain, split, single)] + [json.dumps(_MODEL).encode()]


def HOSTILE() -> list[bytes]:
    """Deep nesting, huge numbers, wide objects, wrong encodings, other formats."""
    graph = json.loads(SEEDS()[0])
    texts = [
        "[" * 200_000,
        '{"a":' * 100_000,
        '{"op_types":' + "[" * 100_000 + "]" * 100_000 + "}",
        "9" * 5000,
        "-",
        '"\\ud800"',
        "[" + "[]," * 1_000_000 + "[]]",
        "1e400",
        json.dumps({str(i): i for i in range(10_000)}),
        json.dumps(graph | {"edge_index": [[2**63 - 1], [2**63]]}),
        json.dumps(graph | {"shapes": [[[]] * 4] * 4}),
        json.dumps(graph | {"op_types": ["input"] * 100_000}),
        json.dumps(graph | {"name": "x" * 1_000_000}),
        json.dumps(_MODEL | {"auto_map": {"AutoConfig": "../../../x.Y"}, "model_type": "mine"}),
        json.dumps(_MODEL | {"auto_map": {"AutoConfig": "os.system"}}),
        json.dumps(_MODEL | {"num_hidden_layers": 10**9}),
        json.dumps(_MODEL | {"hidden_size": 2**62}),
        json.dumps(_MODEL | {"_name_or_path": "/etc/passwd", "tokenizer_class": "os.system"}),
        json.dumps(_MODEL | {"num_attention_heads": 0}),
        json.dumps(_MODEL | {"_attn_implementation": "kernels-community/evil"}),
        json.dumps(_MODEL | {"quantization_config": {"quant_method": "bitsandbytes"}}),
    ]
    return [t.encode() for t in texts] + [
        b"\xff\xfe{\0}\0",
        b"\xef\xbb\xbf{}",
        b"\x80\x04\x95",
        b"PK\x03\x04",
        b"\0" * 99,
    ]


def MUTATE(data: bytes, rng: random.Random) -> bytes:
    """Puts a wrong value somewhere into the tree, or removes, doubles or moves a part of it."""
    tree = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = _places(tree)
        if not places:
            break
        holder, key = rng.choice(places)
        act = rng.randrange(4)
        if act == 0 and isinstance(holder, dict):
            del holder[key]
        elif act == 1 and isinstance(holder, list):
            holder.insert(key, holder[key])
        elif act == 2:
            other, place = rng.choice(_places(tree))
            holder[key] = copy.deepcopy(other[place])
        else:
            holder[key] = copy.deepcopy(rng.choice(_VALUES))
    return json.dumps(tree).encode()


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    stack = [tree]
    while stack:
        item = stack.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item))
        found += [(item, key) for key in keys]
        stack += [item[key] for key in keys if isinstance(item[key], (dict, list))]
    return found


def read(path: Path) -> object:
    """The graph of the file by both ways; they have to agree on whether it is a graph."""
    data = path.read_bytes()
    try:
        graph = ArchitectureGraph.from_json(data)
    except ArchitectureGraphError:
        return load_architecture(path, time_limit=TRACE_SECONDS)
    assert ArchitectureGraph.from_json(graph.to_json()) == graph
    assert load_architecture(path).graph_hash == graph.graph_hash
    return graph
