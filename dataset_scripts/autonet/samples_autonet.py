"""One architecture of AutoNet with all its texts, made from a seed of its own.

* The random seed of an architecture comes from (seed, split, index, attempt) alone.
* A graph belongs to one split, which its hash says: every fifth hash is held out from training. So no split can share
  a graph with `train`, whatever the sizes and seeds are.
* Drawn networks of another split's hash, and networks that cannot run, are left out and drawn anew.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from torch import nn

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.tracing_archbert import ArchitectureTraceError, trace

from .captions_autonet import write_captions
from .descriptions_autonet import paper_descriptions
from .hard_questions_autonet import hard_row, sample_hard_questions
from .hard_views_autonet import all_views
from .networks_autonet import build_network, example_inputs, sample_network
from .questions_autonet import sample_questions

SPLITS = ("train", "validation", "test")
"""`test` has styles of network that the others have not."""
SUBSETS = ("autonet", "autonet-aqa")
"""The paper draws two sets; architectures belong to them in turn."""
HELD_OUT_EVERY = 5
"""One hash in so many belongs to `validation` and `test`."""
MAX_ATTEMPTS = 400
MAX_FAILURES = 50

_INTS, _LONGS, _TEXTS = pa.list_(pa.int32()), pa.list_(pa.int64()), pa.list_(pa.string())

SCHEMAS: dict[str, pa.Schema] = {
    "architectures": pa.schema(
        [
            ("arch_id", pa.string()), ("subset", pa.string()), ("style", pa.string()), ("network", pa.string()),
            ("op_types", _TEXTS), ("shapes", _INTS), ("attributes", _INTS), ("node_parameters", _LONGS),
            ("src", _INTS), ("dst", _INTS), ("node_names", _TEXTS), ("name", pa.string()), ("source", pa.string()),
            ("num_parameters", pa.int64()), ("unused_parameters", pa.int64()), ("incomplete", _TEXTS),
            ("extraction_version", pa.int32()), ("graph_hash", pa.string()),
        ]
    ),
    "descriptions": pa.schema(
        [
            ("arch_id", pa.string()), ("text", pa.string()), ("label", pa.int32()), ("negative_kind", pa.string()),
            ("group", pa.string()), ("claims", pa.string()),
        ]
    ),
    "aqa": pa.schema(
        [
            ("arch_id", pa.string()), ("question", pa.string()), ("question_type", pa.string()),
            ("subject", pa.string()), ("answers", _TEXTS),
        ]
    ),
    "aqa_hard": pa.schema(
        [
            ("arch_id", pa.string()), ("view", pa.string()), ("question", pa.string()), ("question_type", pa.string()),
            ("subject", pa.string()), ("answers", _TEXTS), ("answer_type", pa.string()), ("group", pa.string()),
        ]
    ),
    "captions": pa.schema(
        [
            ("arch_id", pa.string()), ("text", pa.string()), ("length", pa.string()), ("style", pa.string()),
            ("claims", pa.string()),
        ]
    ),
}  # fmt: skip
"""Config -> columns."""


@dataclass(frozen=True)
class Order:
    """What to draw: the arguments of one architecture. `attempt` counts the draws that were not taken."""

    seed: int
    split: str
    index: int
    attempt: int = 0
    style: str | None = None
    size: str = "normal"

    @property
    def arch_id(self) -> str:
        """Identifier of the architecture in all configs."""
        return f"{self.split}-{self.index:06d}"

    @property
    def subset(self) -> str:
        """The set of the paper that the architecture belongs to."""
        return SUBSETS[self.index % len(SUBSETS)]

    @property
    def random_seed(self) -> int:
        """Seed of everything that is random in this architecture and its texts, from 0 to 2**63 - 1."""
        text = f"autonet/{self.seed}/{self.split}/{self.index}/{self.attempt}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


class Sample(NamedTuple):
    """One architecture with its texts: the graph and a table of rows for each config."""

    graph: ArchitectureGraph
    tables: dict[str, pa.Table]


class DrawnNetwork(NamedTuple):
    """A network without texts."""

    spec: dict[str, Any]
    network: nn.Module
    graph: ArchitectureGraph


def is_of_split(graph_hash: str, split: str) -> bool:
    """Whether graphs of this hash may stand in a split: held-out ones in validation and test, the others in train."""
    held_out = int(graph_hash.rpartition(":")[2], 16) % HELD_OUT_EVERY == 0
    return held_out == (split != "train")


def draw_network(order: Order) -> DrawnNetwork:
    """The network of exactly this order, traced, whichever split its hash belongs to.

    Raises:
        ArchitectureTraceError: the network cannot be traced.
    """
    spec = sample_network(order.random_seed, style=order.style, size=order.size, split=order.split)
    with torch.device("meta"):
        network, inputs = build_network(spec), example_inputs(spec)
    try:
        return DrawnNetwork(spec, network, trace(network.eval(), inputs, name=order.arch_id))
    except ArchitectureTraceError as error:
        raise ArchitectureTraceError(f"{order} of style {spec['style']!r}: {error}") from error


def write_texts(order: Order, drawn: DrawnNetwork) -> Sample:
    """The rows of a network: its own, its paper-like descriptions, its questions and its captions."""
    graph, facts, seed = drawn.graph, GraphFacts(drawn.graph), order.random_seed
    rng = random.Random(f"{seed}/texts")
    wording = "train" if order.split == "train" else "validation"
    ids = {"arch_id": order.arch_id}
    row = ids | {
        "subset": order.subset,
        "style": drawn.spec["style"],
        "network": json.dumps(drawn.spec, sort_keys=True),
    }
    descriptions = [ids | d._asdict() for d in paper_descriptions(rng, facts)]
    questions = [
        ids | {"question": q.text, "question_type": q.question_type, "subject": q.subject, "answers": list(q.answers)}
        for q in sample_questions(rng, facts, split=wording)
    ]
    hard = sample_hard_questions(random.Random(f"{seed}/hard"), all_views(graph, drawn.network), split=wording)
    captions = [ids | c._asdict() for c in write_captions(random.Random(f"{seed}/captions"), facts)]
    return Sample(
        graph,
        {
            "architectures": table("architectures", [row | graph.to_row()]),
            "descriptions": table("descriptions", descriptions),
            "aqa": table("aqa", questions),
            "aqa_hard": table("aqa_hard", [hard_row(order.arch_id, question) for question in hard]),
            "captions": table("captions", captions),
        },
    )


def sample_architecture(order: Order) -> Sample:
    """The network of exactly this order with its texts, whichever split its hash belongs to.

    Raises:
        ArchitectureTraceError: the network cannot be traced.
    """
    return write_texts(order, draw_network(order))


def draw(order: Order) -> tuple[Order, Sample]:
    """The first network from `order.attempt` on that runs and whose hash belongs to the split, and its order.

    Raises:
        ArchitectureTraceError: `MAX_FAILURES` networks cannot be traced.
        ValueError: the split gets none of all `MAX_ATTEMPTS` networks.
    """
    failures = 0
    for attempt in range(order.attempt, MAX_ATTEMPTS):
        tried = replace(order, attempt=attempt)
        try:
            drawn = draw_network(tried)
        except ArchitectureTraceError as error:
            failures += 1
            if failures == MAX_FAILURES:
                raise ArchitectureTraceError(f"{failures} networks cannot be traced, the last one: {error}") from error
            continue
        if is_of_split(drawn.graph.graph_hash, order.split):
            return tried, write_texts(tried, drawn)
    raise ValueError(
        f"{order.arch_id}: {MAX_ATTEMPTS} networks of style {order.style!r} and size {order.size!r} were drawn before "
        "or belong to another split; ask for fewer architectures."
    )


def table(config: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table with the columns of a config."""
    return pa.Table.from_pylist(rows, schema=SCHEMAS[config])
