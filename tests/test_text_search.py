"""Searching by texts: what a text says is held against facts, and the rest is left to embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archbert.index import ArchitectureIndex, table_of
from archbert.search_conditions import read_sought
from archbert.text_search import search_text
from processing_archbert.graph_overview_archbert import NUMBERS

TEXTS = {"source": "", "library": "transformers 5", "config": "", "graph_hash": "", "topology_hash": "", "caption": ""}


def network(name: str, **facts: Any) -> dict[str, Any]:
    """A row of an index with a few facts."""
    row = {**TEXTS, "name": name, "family": "transformer", "aliases": [], "properties": ["normalization"],
           "modalities": ["text"], "quantities": "{}", **dict.fromkeys(NUMBERS, 0)}  # fmt: skip
    return row | facts


@pytest.fixture(scope="module")
def index() -> ArchitectureIndex:
    """Six networks; the embeddings of the first two are alike."""
    rows = [
        network("bert", parameters=110_000_000, properties=["encoder-only", "GELU"], quantities='{"layers": [12]}'),
        network("bert-tiny", parameters=4_000_000, properties=["encoder-only", "GELU"], quantities='{"layers": [2]}'),
        network("gpt", parameters=1_000_000_000, properties=["decoder-only", "grouped-query attention"]),
        network("timm:vit", parameters=5_000_000, modalities=["vision"], quantities='{"patch": [16]}'),
        network("timm:resnet101", parameters=44_000_000, modalities=["vision"], family="convolutional",
                properties=["batch normalization", "skip connections"], quantities='{"layers": [33], "depth": [101]}'),
        network("unknown", parameters=7_000_000, properties=[], modalities=[], family="other"),
    ]  # fmt: skip
    vectors = np.eye(6, 8, dtype=np.float32)
    vectors[1] = (vectors[0] + 0.5 * vectors[1]) / np.linalg.norm(vectors[0] + 0.5 * vectors[1])
    return ArchitectureIndex(table_of(rows), vectors, "model")


def names(index: ArchitectureIndex, text: str, k: int = 10, where: str = "") -> list[str]:
    """What is found for a text whose embedding is that of nothing."""
    return [hit.name for hit in search_text(index, text, np.eye(8, dtype=np.float32)[7], k, where)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a small vision transformer", ["reads images", "transformer"]),
        ("decoder-only LLM with GQA and fewer than 10B parameters",
         ["parameters < 10,000,000,000", "decoder-only", "grouped-query attention"]),
        ("between 1B and 3B parameters", ["parameters >= 1,000,000,000", "parameters <= 3,000,000,000"]),
        ("params<50M", ["parameters < 50,000,000"]),
        ("a CNN under 2 GFLOPs", ["flops < 2,000,000,000", "convolutional"]),
        ("at least twelve layers and hidden size 1,024", ["layers >= 12", "hidden size = 1,024"]),
        ("vit with 14x14 patches", ["patch = 14"]),
        ("without normalization", ["no normalization"]),
        ("an LSTM for speech", ["LSTM", "reads sound"]),
        ("", []), ("гибрид 12", []), ("12345", []),
    ],
)  # fmt: skip
def test_what_a_text_says(text: str, said: list[str]) -> None:
    assert [condition.words for condition in read_sought(text).conditions] == said


def test_facts_come_first(index: ArchitectureIndex) -> None:
    assert names(index, "a vision transformer", 1) == ["timm:vit"]
    assert names(index, "decoder with grouped-query attention", 1) == ["gpt"]
    assert names(index, "image network with more than 100 layers", 5) == ["timm:resnet101"]  # convolutions, not blocks
    assert names(index, "a text encoder with 2 layers", 2) == ["bert-tiny", "bert"]


def test_comparisons_and_denials_leave_out(index: ArchitectureIndex) -> None:
    assert set(names(index, "fewer than 10M parameters")) == {"bert-tiny", "timm:vit", "unknown"}
    assert "unknown" not in names(index, "without GELU")  # it is not known what that has
    assert not {"bert", "bert-tiny"} & set(names(index, "without GELU"))
    assert names(index, "over 2B parameters") == []
    assert names(index, "a text encoder", where="parameters>50M")[0] == "bert"


def test_size_words_mean_a_share_of_what_fits(index: ArchitectureIndex) -> None:
    assert names(index, "a tiny text encoder", 1) == ["bert-tiny"] and names(index, "a large text encoder", 1) == [
        "bert"
    ]


def test_hits_say_how_much_of_a_text_holds(index: ArchitectureIndex) -> None:
    found = {hit.name: hit.fits for hit in search_text(index, "a text encoder", index.embeddings[0])}
    assert found["bert"] == 1 and found["timm:vit"] == 0 and found["unknown"] == 0.25
    assert search_text(index, "something", index.embeddings[0])[0].fits is None


def test_the_likes_of_a_network_are_near_it(index: ArchitectureIndex) -> None:
    assert names(index, "something like bert", 2) == ["bert", "bert-tiny"]
    assert names(index, "like resnet101 but smaller")[0] not in ("timm:resnet101", "bert", "gpt")


def test_without_conditions_names_and_embeddings_decide(index: ArchitectureIndex) -> None:
    found = search_text(index, "gibberish", index.embeddings[2])
    assert found[0].name == "gpt" and found[0].score == pytest.approx(1)
    assert names(index, "resnet", 1) == ["timm:resnet101"]
    with pytest.raises(ValueError, match="k is 0"):
        search_text(index, "a", index.embeddings[0], 0)
