"""Questions and captions of AutoNet's kinds for real networks: the configs `aqa`, `aqa_hard` and `captions`.

The views of `aqa_hard` are those of AutoNet. Rows hold graphs and no networks, so `header` is made from the graph: it
keeps what names and shapes in a file of weights tell.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from dataset_scripts.autonet.captions_autonet import write_captions
from dataset_scripts.autonet.hard_questions_autonet import hard_row, sample_hard_questions
from dataset_scripts.autonet.hard_views_autonet import VIEWS, without_attributes, without_edges
from dataset_scripts.autonet.questions_autonet import sample_questions
from processing_archbert.architecture_graph_archbert import NO_DATA_FLOW, ArchitectureGraph
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.ops_archbert import ATTRIBUTES

MAX_NODES = 6000
"""Larger graphs have no questions of `aqa_hard`: what stands between all their nodes would have to be kept."""
LEFT_OUT_TYPES = ("heaviest",)
"""Types of AutoNet that are not asked: what holds most parameters of a real network is `Linear` nearly always."""

_TOLD_BY_HEADERS = re.compile(
    r"Linear|Conv(Transpose)?[123]d|Embedding|BatchNorm[123]d|LayerNorm|RMSNorm|LSTM|GRU|RNN|MultiheadAttention|grouped_mm"
)
_READ_AS = {"GroupNorm": "LayerNorm", "EmbeddingBag": "Embedding"}
_TOLD_ATTRIBUTES = np.array(
    [name.startswith("kernel_") or name in ("num_experts", "num_layers", "bidirectional") for name in ATTRIBUTES]
)


def header_of_graph(graph: ArchitectureGraph) -> ArchitectureGraph:
    """What the header of a file of weights tells of a graph: nodes with parameters, in the order of their names.

    No edges are left, and of the attributes only those that shapes of tensors tell. A node of a kind that they do not
    tell is a `parameter`; the number of parameters is that of the network.
    """
    nodes = sorted(np.flatnonzero(graph.node_parameters).tolist(), key=lambda node: _natural(graph.node_names[node]))
    ops = [_READ_AS.get(graph.op_types[node], graph.op_types[node]) for node in nodes]
    told = np.array([bool(_TOLD_BY_HEADERS.fullmatch(op)) for op in ops], bool)[:, None]
    return dataclasses.replace(
        graph,
        op_types=tuple(op if known else "parameter" for op, known in zip(ops, told[:, 0].tolist(), strict=True)),
        shapes=graph.shapes[nodes],
        attributes=graph.attributes[nodes] * _TOLD_ATTRIBUTES * told,
        node_parameters=graph.node_parameters[nodes],
        edge_index=np.zeros((2, 0), np.int32),
        node_names=tuple(graph.node_names[node] for node in nodes),
        costs=None,
        source="header",
        incomplete=(NO_DATA_FLOW,),
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorting key in which `layers.2` stands before `layers.10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def real_views(graph: ArchitectureGraph) -> dict[str, ArchitectureGraph]:
    """Every view of the graph of a real network, in the order of `hard_views_autonet.VIEWS`."""
    views = graph, without_edges(graph), without_attributes(graph), header_of_graph(graph)
    return dict(zip(VIEWS, views, strict=True))


def view_of(row: Mapping[str, Any], view: str) -> ArchitectureGraph:
    """A view of a row of the config `architectures`.

    Args:
        row: the row.
        view: a key of `hard_views_autonet.VIEWS`.

    Raises:
        ValueError: an unknown view.
    """
    if view not in VIEWS:
        raise ValueError(f"{view!r} is no view; there are {', '.join(VIEWS)}.")
    return real_views(ArchitectureGraph.from_row(row))[view]


def question_rows(arch_id: str, facts: GraphFacts, split: str, seed: int) -> list[dict[str, Any]]:
    """Rows of `aqa` for one network; none for an incomplete graph.

    Args:
        arch_id: identifier of the network.
        facts: facts of its graph.
        split: wordings of `train`, or of `validation` and `test`.
        seed: of the draws.
    """
    if facts.graph.incomplete:
        return []
    rng = random.Random(f"{seed}/{arch_id}/aqa")
    return [
        {"arch_id": arch_id, "question": q.text, "question_type": q.question_type, "subject": q.subject,
         "answers": list(q.answers)}
        for q in sample_questions(rng, facts, split=split)
    ]  # fmt: skip


def hard_question_rows(arch_id: str, graph: ArchitectureGraph, split: str, seed: int) -> list[dict[str, Any]]:
    """Rows of `aqa_hard` for one network, none for an incomplete or a very large one; arguments as `question_rows`."""
    if graph.incomplete or graph.num_nodes > MAX_NODES:
        return []
    rng = random.Random(f"{seed}/{arch_id}/hard")
    questions = sample_hard_questions(rng, real_views(graph), split)
    return [hard_row(arch_id, question) for question in questions if question.question_type not in LEFT_OUT_TYPES]


def caption_rows(arch_id: str, facts: GraphFacts, seed: int) -> list[dict[str, Any]]:
    """Rows of `captions` for one network; none for an incomplete graph. Arguments as `question_rows`."""
    if facts.graph.incomplete:
        return []
    rng = random.Random(f"{seed}/{arch_id}/captions")
    return [{"arch_id": arch_id, **caption._asdict()} for caption in write_captions(rng, facts)]
