"""Reading model cards: what is a claim, what is left alone, and the figures of the benchmark's cards."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig

from archbert.card_claims import read_claims
from archbert.card_reading import read_card
from archbert.card_scope import own_text
from archbert.verification import (
    DECIDED,
    PARTLY_RIGHT,
    statement_evidence,
    statement_holds,
    verify_card,
    with_evidence,
)
from processing_archbert import ArchitectureGraph, load_architecture
from processing_archbert.network_numbers_archbert import NetworkNumbers

REPOSITORY = Path(__file__).parents[1]
NAMES = ("acme-mini",)


@pytest.fixture(scope="module")
def bert() -> ArchitectureGraph:
    return load_architecture(BertConfig(hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
                                        intermediate_size=64, vocab_size=500))  # fmt: skip


def claims(text: str) -> dict[str, Any]:
    return {claim.name or claim.kind: claim.value for claim in read_claims(own_text(text, NAMES))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It has 12 layers and a hidden size of 768.", {"layers": 12, "hidden_size": 768}),
        ("Twelve attention heads: 12; KV heads: 4", {"heads": 12, "kv_heads": 4}),
        ("110M parameters, vocabulary of 30,522 tokens", {"parameters": 110_000_000, "vocabulary": 30_522}),
        ("8 experts per layer, of which 2 are active per token", {"experts": 8, "experts_per_token": 2}),
        ("Stages have 3, 4, 6 and 3 blocks.", {"stages": (3, 4, 6, 3)}),
        ("Unlike BERT-large with 24 layers, it has 12 layers.", {"layers": 12}),
        ("It has 12 layers, while the larger version has 24 layers.", {"layers": 12}),
        ("It uses RMSNorm instead of LayerNorm.", {"RMSNorm": True}),
        ("There is no batch normalization.", {"batch normalization": False}),
        ("BERT-large has 24 layers and 340M parameters.", {}),
        ("The teacher has 12 layers, 12 heads and 110M parameters.", {}),
        ("It comes in sizes of 7B, 13B and 70B parameters.", {}),
        ("Only the last 4 layers were fine-tuned.", {}),
        ("It was trained on 3 trillion tokens with a batch size of 512.", {}),
        ("A song was counted if two experts agreed.", {}),
        ("Between 6 and 12 layers were tried.", {}),
        ("Its vocabulary is smaller than 35,000 tokens.", {}),
        ("It sees no further than 2048 tokens with more than 100 million parameters.", {}),
        ("Only eight layers look back.", {}),
        ("It has only 8 layers.", {"layers": 8}),
        ("GELU occurs nowhere in it.", {"GELU": False}),
        (
            "Layer normalization is not used; grouped-query attention is missing.",
            {"layer normalization": False, "grouped-query attention": False},
        ),
        ("GELU is not used in the classification head, and LayerNorm is absent from the stem.", {}),
        ("ReLU does not occur at all, but SiLU is used.", {"ReLU": False, "SiLU": True}),
        ("Two experts work on every token.", {"experts_per_token": 2}),
        ("Each word of a layer is looked at by two experts.", {"experts_per_token": 2}),
        ("Keys and values are kept for eight heads.", {"kv_heads": 8}),
        ("32 query heads make do with eight sets of keys and values.", {"heads": 32, "kv_heads": 8}),
        ("Several query heads share one head of keys and values.", {}),
        ("It cuts images into patches with 24 attention heads.", {"heads": 24}),
    ],
)
def test_claims_of_a_sentence(text: str, expected: dict[str, Any]) -> None:
    assert claims(text) == expected


def test_sentences_of_a_card_and_their_lines() -> None:
    front = "---\nlicense: mit\n---\n# Name\n\n"
    prose = "One sentence, e.g. this one. Another\nover two lines.\n\n```\ncode: 3 layers\n```\n- **Layers:** 4\n\n"
    tables = "| a | b |\n|---|---|\n| Heads | 8 |\n\n| m | x | y |\n|---|---|---|\n| L | 1 | 2 |\n"
    card = read_card(front + prose + tables)
    assert [(s.line, s.text, s.kind) for s in card.sentences] == [
        (6, "One sentence, e.g. this one.", "prose"), (6, "Another over two lines.", "prose"),
        (12, "Layers: 4", "item"), (16, "Heads: 8", "row"),
    ]  # fmt: skip
    assert card.names == ("Name",)


def test_verdicts_and_what_is_right(bert: ArchitectureGraph) -> None:
    own = "# acme-mini\n\nIt has 4 layers.\n\nIt has 3 layers.\n\nThe context length is 300 tokens.\n\n"
    text = f"{own}## Results\n\nWith 9 layers: 3%.\n"
    judged = verify_card(bert, text)
    assert [(j.sentence.line, j.verdict) for j in judged] == [(3, "wrong"), (5, "right"), (7, "cannot tell")]
    assert judged[0].claims[0].shown == "3"


def test_statements(bert: ArchitectureGraph) -> None:
    numbers = NetworkNumbers(bert)
    assert statement_holds(numbers, "a transformer with 3 layers") is True
    assert statement_holds(numbers, "a convolutional network") is False
    assert statement_holds(numbers, "a transformer for German law") is None


def test_what_a_graph_shows_is_added_to_what_a_model_makes_of_a_statement(bert: ArchitectureGraph) -> None:
    numbers = NetworkNumbers(bert)
    assert statement_evidence(numbers, "a transformer with 3 layers") == DECIDED
    assert statement_evidence(numbers, "a transformer with 4 layers for German law") == -DECIDED
    assert statement_evidence(numbers, "3 layers for German law") == PARTLY_RIGHT
    assert statement_evidence(numbers, "for German law") == 0.0
    assert with_evidence(0.3, 0.0) == pytest.approx(0.3)
    assert with_evidence(0.5, PARTLY_RIGHT) == pytest.approx(0.832, abs=1e-3)
    assert (with_evidence(0.01, DECIDED), with_evidence(1.0, -DECIDED)) == (1.0, 0.0)


def test_a_graph_that_is_not_whole_refutes_nothing(bert: ArchitectureGraph) -> None:
    import dataclasses

    part = dataclasses.replace(bert, incomplete=("decoder",))
    verdicts = {j.verdict for j in verify_card(part, "It has 40 layers, RMSNorm and 9B parameters.")}
    assert verdicts == {"cannot tell"}


def test_the_cards_of_the_benchmark() -> None:
    """A sample of the cards that the rules were made with stays as it was measured."""
    path = REPOSITORY / "benchmarks" / "verify.py"
    spec = importlib.util.spec_from_file_location("verify_benchmark", path)
    assert spec is not None and spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["verify_benchmark"] = benchmark
    spec.loader.exec_module(benchmark)
    score = benchmark.Score()
    cards = sorted(benchmark.CARDS.glob("dev-*.md"))
    assert len(cards) + len(list(benchmark.CARDS.glob("heldout-*.md"))) >= 40
    for card in cards[::6]:
        benchmark.score_card(card, score)
    rates = score.rates()
    assert rates["false alarm"] == 0, score.examples
    assert rates["recall of checkable errors"] > 0.95 and rates["other sentences left alone"] > 0.95


def test_a_number_belongs_to_its_words_across_a_wide_gap() -> None:
    """Where something was taken out of a sentence is a gap, which every optional space of a rule might stand for."""
    assert [(claim.kind, claim.value) for claim in read_claims("parameters" + " " * 1500 + "12M")] == [
        ("parameters", 12_000_000)
    ]
    assert read_claims("the number of parameters" + " " * 60 + "and the number of parameters" + " " * 1800) == []
