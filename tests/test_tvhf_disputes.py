"""Facts of TVHF that a configuration or the registry hints against are unknown; rows that rest on them are dropped."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from transformers import BertConfig, LlamaConfig, RoFormerConfig

from dataset_scripts.tvhf.descriptions_tvhf import Corpus, confirmed, description_row, matched_rows, paper_rows
from dataset_scripts.tvhf.facts_tvhf import ArchitectureFacts
from dataset_scripts.tvhf.predicate_parser_tvhf import parse
from dataset_scripts.tvhf.sentences_tvhf import Sentence
from dataset_scripts.tvhf.truth_tvhf import FALSE, TRUE, UNKNOWN, Architecture
from processing_archbert import trace

SMALL = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 96}


@pytest.fixture(scope="module")
def sheets() -> dict[str, Any]:
    """Fact sheets of a network without and of one with rotary positions that are written out."""
    made = {"bert": BertConfig(**SMALL), "roformer": RoFormerConfig(**SMALL)}
    return {name: ArchitectureFacts.of_graph(trace(config)).sheet for name, config in made.items()}


def facts(sheet: Any, model_type: str, **record: Any) -> ArchitectureFacts:
    """Facts with a configuration."""
    return ArchitectureFacts(sheet, {"config": json.dumps({"model_type": model_type, **SMALL}), **record})


@pytest.mark.parametrize(
    ("name", "record", "predicate", "value", "shown"),
    [
        ("bert", {}, "rotary", False, False),
        ("roformer", {}, "rotary", None, False),
        ("bert", {"paradigm": "encoder-only transformer"}, "form == encoder-only", True, True),
        ("bert", {"paradigm": "vision-language model"}, "form == encoder-only", None, True),
        ("bert", {"paradigm": "vision-language model"}, "heads == 4", None, True),
        ("bert", {"paradigm": "vision-language model"}, "heads == 5", None, False),
        ("bert", {"paradigm": "vision-language model"}, "decoder.depth == 3", None, False),
        ("bert", {"paradigm": "mixture-of-experts decoder"}, "experts == 0", None, True),
        ("bert", {"paradigm": "mixture-of-experts decoder"}, "top_k == 2", None, False),
        ("bert", {}, "token_types == 2", True, True),
    ],
)
def test_disputed_facts_are_unknown(
    sheets: dict[str, Any], name: str, record: dict[str, Any], predicate: str, value: bool | None, shown: bool
) -> None:
    found = facts(sheets[name], name, **record)
    assert parse(predicate).evaluate(found) is value
    assert parse(predicate).evaluate(found.undisputed()) is shown


def test_types_of_tokens_that_no_layer_shows_are_unknown(sheets: dict[str, Any]) -> None:
    hidden = json.loads(json.dumps(sheets["bert"]))
    hidden["network"]["token_types"] = 0
    found = facts(hidden, "bert")
    assert found.value("token_types") is None and found.undisputed().value("token_types") == 0


def test_attention_that_no_tower_shows_is_unknown(sheets: dict[str, Any]) -> None:
    hidden = json.loads(json.dumps(sheets["bert"]))
    (tower,) = hidden["towers"]
    tower[2] |= {"heads": 0, "kv_heads": 0, "head_dim": 0, "attention": "none", "mixer": "linear", "role": "stack"}
    tower[0] = "stack"
    found = facts(hidden, "bert")
    for predicate in ("heads == 4", "attention == none", "encoder.hidden == 64", "norm_position == post", "causal"):
        assert parse(predicate).evaluate(found) is None, predicate
    assert parse("hidden == 64 and depth == 2").evaluate(found) is True
    assert parse("heads == 4").evaluate(found.undisputed()) is False
    without = json.loads(json.dumps(hidden))
    without["categories"]["attention"] = 0
    assert parse("heads == 4").evaluate(facts(without, "bert")) is False


@pytest.mark.parametrize(("stated", "kv_heads", "attention"), [(2, True, True), (1, None, None)])
def test_key_and_value_heads_are_those_that_are_stated(stated: int, kv_heads: Any, attention: Any) -> None:
    small = LlamaConfig(**SMALL, num_key_value_heads=2)
    config = {"model_type": "llama", **SMALL, "num_key_value_heads": stated}
    found = ArchitectureFacts(ArchitectureFacts.of_graph(trace(small)).sheet, {"config": json.dumps(config)})
    assert parse("kv_heads == 2").evaluate(found) is kv_heads
    assert parse("attention == grouped-query").evaluate(found) is attention
    assert parse("kv_heads == 2").evaluate(found.undisputed()) is True


def corpus(matrix: np.ndarray, drawn_from: np.ndarray | None) -> Corpus:
    """Two sentences and four networks of one family."""
    empty = ArchitectureFacts({"network": {}, "towers": [], "parameters": 1000}, {"modality": ["text"]})
    networks = [
        Architecture({"arch_id": f"hf-{i}", "name": str(i), "family": "a", "source": "transformers", "split": "train"},
                     empty) for i in range(4)
    ]  # fmt: skip
    said = [
        Sentence(text=text, kind="structure", style="plain", predicate="tied", family="a", group="g", of=(),
                 mentions_name=False, author_kind="machine-written", file="g.yaml", line=1)
        for text in ("One is said.", "Another thing is said of it.")
    ]  # fmt: skip
    return Corpus(said, networks, matrix, np.eye(2), 0, drawn_from)


def test_a_doubt_takes_rows_away_and_moves_none() -> None:
    shown = np.array([[TRUE, TRUE, FALSE, FALSE]] * 2, dtype=np.int8)
    every = matched_rows(corpus(shown, None))["train"]
    doubtful = every[0]["arch_id"]
    matrix = shown.copy()
    matrix[:, int(doubtful.removeprefix("hf-"))] = UNKNOWN
    now = corpus(matrix, shown)
    drawn = matched_rows(now)["train"]
    assert drawn == every
    kept = confirmed(now, drawn)
    wrong = {row["group"] for row in every if row["arch_id"] == doubtful}
    assert kept == [row for row in every if row["group"] not in wrong] and len(kept) < len(every)


def test_negatives_of_the_paper_s_form_stay() -> None:
    matrix = np.full((2, 4), UNKNOWN, dtype=np.int8)
    now = corpus(matrix, None)
    rows = [description_row(now, 0, 0, 0, "paper", ""), description_row(now, 0, 1, 1, "", "")]
    assert confirmed(now, rows) == rows[:1]
    assert paper_rows(now)[1]["positives"] == 0
