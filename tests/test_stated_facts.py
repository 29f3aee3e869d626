"""Rows of `stated_facts`: every one says what the graph shows, folded or not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, LlamaConfig, MixtralConfig, ResNetConfig, SwinConfig

from modeling_archbert.tallies_archbert import STATED_KINDS as MODEL_KINDS
from modeling_archbert.tallies_archbert import STATED_PLACES
from processing_archbert import ArchBertGraphFeatureExtractor, ArchitectureGraph, GraphFacts, load_architecture
from processing_archbert.architecture_graph_archbert import NO_DATA_FLOW
from processing_archbert.stated_facts_archbert import MAX_PLACE, OWN_KINDS, STATED_COLUMNS, STATED_KINDS

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
SOURCES: dict[str, Any] = {
    "bert": BertConfig(vocab_size=100, **SMALL),
    "llama": LlamaConfig(vocab_size=100, num_key_value_heads=2, **SMALL),
    "mixtral": MixtralConfig(vocab_size=100, num_key_value_heads=2, num_local_experts=4, **SMALL),
    "resnet": ResNetConfig(depths=[2, 2, 3, 2]),
    "swin": SwinConfig(depths=[2, 2, 4, 2], embed_dim=24),
}


@pytest.fixture(scope="module", params=sorted(SOURCES))
def graph(request: pytest.FixtureRequest) -> ArchitectureGraph:
    return load_architecture(SOURCES[request.param])


def extractor(**options: Any) -> ArchBertGraphFeatureExtractor:
    return ArchBertGraphFeatureExtractor(stated_facts=True, **options)


def rows_of(graph: ArchitectureGraph) -> list[dict[str, Any]]:
    """The rows, with names in place of ids."""
    made = extractor()
    names = [*made.vocabulary, *OWN_KINDS]
    found = []
    for row in made.encode(graph).stated_facts.tolist():
        known = dict(zip(STATED_COLUMNS, row, strict=True))
        for column in ("op", "other"):
            known[column] = names[known[column]] if known[column] else ""
        found.append(known | {"kind": STATED_KINDS[known["kind"]]})
    return found


def kernel(number: int) -> str:
    """305 -> 3*5."""
    sides = [number // 10000, number // 100 % 100, number % 100]
    return "*".join(str(side) for side in sides if side)


def claims_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the rows say, as claims that a graph can be asked."""
    of_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        of_kind[row["kind"]].append(row)
    claims: list[dict[str, Any]] = []
    for end in ("first", "last"):
        for row in of_kind[f"{end} layer"]:
            claim = {"type": f"{end}_layer", "layer": row["op"]} | ({"out": row["number"]} if row["number"] else {})
            beside = {one["kind"]: one["number"] for one in rows if one["place"] == row["place"]}
            claim |= {"kernel": kernel(beside[f"{end} kernel"])} if f"{end} kernel" in beside else {}
            claim |= {"stride": beside[f"{end} stride"]} if f"{end} stride" in beside else {}
            claims.append(claim)
    if of_kind["kernel"]:
        claims.append({"type": "kernel_sizes", "sizes": [kernel(row["number"]) for row in of_kind["kernel"]]})
    for kind, name in (("heads", "heads"), ("kv heads", "kv_heads"), ("window", "window")):
        if of_kind[kind]:
            claims.append({"type": name, "values": [row["number"] for row in of_kind[kind]]})
    claims += [{"type": "experts", "value": row["number"]} for row in of_kind["experts"]]
    claims += [{"type": "causal", "extent": ("all", "some", "none")[row["number"] - 1]} for row in of_kind["causal"]]
    for row in of_kind["block"]:
        layers = {one["op"]: one["number"] for one in of_kind["block layer"] if one["place"] == row["place"]}
        stages = [one["number"] for one in of_kind["block stages"] if one["place"] == row["place"]]
        claim = {"type": "repeated_block", "repeats": row["number"], "layers": layers}
        claims.append(claim | ({"stages": stages[0]} if stages else {}))
    claims += [{"type": "follows", "layer": row["op"], "after": row["other"]} for row in of_kind["follows"]]
    return claims


def test_every_row_is_true(graph: ArchitectureGraph) -> None:
    facts, claims = GraphFacts(graph), claims_of(rows_of(graph))
    kinds = {claim["type"] for claim in claims}
    assert {"first_layer", "last_layer", "repeated_block", "follows"} <= kinds
    wrong = [claim for claim in claims if facts.holds(claim).value is not True]
    assert not wrong


def test_rows_are_the_same_without_folding(graph: ArchitectureGraph) -> None:
    made = extractor()
    assert np.array_equal(made.encode(graph).stated_facts, made.encode(graph, fold=False).stated_facts)


def test_what_is_known_of_a_resnet() -> None:
    rows = rows_of(load_architecture(SOURCES["resnet"]))
    said = {(row["kind"], row["op"], row["number"]) for row in rows}
    assert {("first layer", "Conv2d", 64), ("first kernel", "Conv2d", 707), ("first stride", "Conv2d", 2)} <= said
    assert [row["number"] for row in rows if row["kind"] == "kernel"] == [101, 303, 707]


def test_a_batch_has_them_padded_and_only_where_asked() -> None:
    graphs = [load_architecture(SOURCES[name]) for name in ("bert", "swin")]
    batch = extractor()(graphs)["stated_facts"]
    lengths = [len(extractor().encode(graph).stated_facts) for graph in graphs]
    assert batch.shape == (2, max(lengths), len(STATED_COLUMNS)) and batch.dtype == torch.int64
    assert [int((row[:, 0] > 0).sum()) for row in batch] == lengths
    assert "stated_facts" not in ArchBertGraphFeatureExtractor()(graphs)


def test_a_graph_without_data_flow_says_nothing_of_order() -> None:
    graph = load_architecture(SOURCES["llama"])
    loose = replace(graph, edge_index=np.zeros((2, 0), dtype=np.int32), incomplete=(NO_DATA_FLOW,))
    kinds = {row["kind"] for row in rows_of(loose)}
    assert kinds & {"first layer", "last layer", "block", "follows"} == set()
    assert "heads" in kinds


def test_the_model_has_room_for_every_kind_and_place() -> None:
    assert (len(STATED_KINDS), MAX_PLACE + 1) == (MODEL_KINDS, STATED_PLACES)
