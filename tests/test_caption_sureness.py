"""Captions of what a model is sure of: which pieces wrote which words, what is left out, and the thresholds."""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from tiny_checkpoint import tiny_checkpoint
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import run_caption_thresholds
from run_caption_thresholds import SaidClaim, fit_thresholds, rows_of

import archbert
from modeling_archbert import ArchBertConfig
from processing_archbert import trace
from processing_archbert.caption_reading_archbert import read_caption
from processing_archbert.caption_sureness_archbert import (
    UNSURE_OPENING,
    WrittenPieces,
    claims_with_log_probs,
    sure_caption,
)

CAPTION = (
    "A convolutional network for images with 53 Conv2d layers, one pooling layer and two outputs. It has 61 layers in "
    "total, has 53 Conv2d layers and ends with a Linear layer."
)


def written(text: str, **unlikely: float) -> WrittenPieces:
    """A word for a piece; all are certain but for those that are named (the first time), which have a probability."""
    words = text.split()
    log_probs = [0.0] * len(words)
    for word, probability in unlikely.items():
        log_probs[words.index(word.strip("_"))] = math.log(probability)
    return WrittenPieces(" ".join, words, log_probs)  # type: ignore[arg-type]


def test_a_claim_is_as_likely_as_the_pieces_of_its_words() -> None:
    found = claims_with_log_probs(CAPTION, written(CAPTION, _53=0.5, Conv2d=0.5, pooling=0.1, _61=0.25, images=0.9))
    by_type = {claim["type"]: log_prob for claim, log_prob in found}
    assert [claim["type"] for claim, _ in found] == [
        "families", "input", "count", "category_count", "num_outputs", "num_layers", "last_layer",
    ]  # fmt: skip
    wanted = {"families": 0.9, "input": 0.9, "count": 0.25, "category_count": 0.1, "num_outputs": 1,
              "num_layers": 0.25, "last_layer": 1}  # fmt: skip
    assert {kind: math.exp(value) for kind, value in by_type.items()} == pytest.approx(wanted)


def test_pieces_may_be_parts_of_words_and_spaced_in_any_way() -> None:
    text = "It has 53 layers in total."
    pieces = ["It", " has", " 5", "3", " la", "yers", "  in", " total", "."]
    values = [-0.5, -1.0, -2.0, -4.0, -8.0, -16.0, -32.0, -64.0, -128.0]
    ((claim, log_prob),) = claims_with_log_probs(text, WrittenPieces("".join, pieces, values))  # type: ignore[arg-type]
    assert claim == {"type": "num_layers", "value": 53}
    assert log_prob == sum(values[1:8])  # "has 53 layers in total", neither the subject nor the stop


def test_what_is_unlikely_is_left_out_and_the_rest_is_a_caption() -> None:
    unlikely = written(CAPTION, pooling=0.1, _61=0.25)
    found = sure_caption(CAPTION, unlikely, {"category_count": math.log(0.2), "num_layers": math.log(0.2)})
    assert found.text == (
        "A convolutional network for images with 53 Conv2d layers and two outputs. It has 61 layers in total and "
        "ends with a Linear layer."
    )
    assert found.removed == ["one pooling layer", "has 53 Conv2d layers"], "unlikely, and said before"
    assert read_caption(found.text) == [one.claim for one in found.claims]
    assert [one.probability for one in found.claims if one.claim["type"] == "num_layers"] == pytest.approx([0.25])
    stricter = sure_caption(CAPTION, unlikely, {"category_count": -0.1, "num_layers": -0.1})
    assert "61" not in stricter.text and "61" in " ".join(stricter.removed)
    assert sure_caption(CAPTION, unlikely, {}).removed == ["has 53 Conv2d layers"]


def test_an_opening_or_a_whole_caption_may_be_left_out() -> None:
    unlikely = written(CAPTION, images=0.5)
    text = sure_caption(CAPTION, unlikely, {"input": -0.1}).text
    assert text.startswith(f"{UNSURE_OPENING} with 53 Conv2d layers, ") and read_caption(text)
    everything = dict.fromkeys(("families", "input", "count", "category_count", "num_outputs", "num_layers",
                                "last_layer"), 1.0)  # fmt: skip
    found = sure_caption(CAPTION, written(CAPTION), everything)
    assert found.text == f"{UNSURE_OPENING}." and found.claims == [] and read_caption(found.text) == []
    assert sure_caption("Nice!", written("Nice!"), {}).text == f"{UNSURE_OPENING}."
    assert sure_caption("", WrittenPieces(" ".join, [], []), {}).text == f"{UNSURE_OPENING}."  # type: ignore[arg-type]


def test_of_a_sentence_that_cannot_be_read_the_beginning_is_kept() -> None:
    text = "It has 3 layers in total, colours and fun. It has two outputs."
    found = sure_caption(text, written(text, two=0.1), {"num_outputs": -1.0})
    assert found.text == "It has 3 layers in total." and found.removed == ["colours and fun.", "has two outputs"]


def test_thresholds_let_through_the_surest_claims_of_all_types() -> None:
    rng = random.Random(0)
    claims = [SaidClaim("parameters", -rng.random(), True) for _ in range(400)]
    for kind, slope, middle in (("count", 4.0, -1.5), ("block", 2.0, -0.3)):  # true for sure near 0, false below
        for _ in range(600):
            value = -3 * rng.random()
            claims.append(SaidClaim(kind, value, rng.random() < 1 / (1 + math.exp(-slope * (value - middle)))))
    claims += [SaidClaim("window", -0.1 * place, False) for place in range(5)]
    found = fit_thresholds(claims, 0.95)
    assert set(found) == {"count", "block", "window"}, "parameters need none"
    assert -1.5 < found["count"] < found["block"] <= 0, "the same likelihood is worth less in a block"
    rows = {row["claim"]: row for row in rows_of(claims, found)}
    left = [claim for claim in claims if claim.log_prob >= found.get(claim.kind, -math.inf)]
    assert 0.945 < sum(claim.holds for claim in left) / len(left) < 0.97
    assert rows["parameters"] == {
        "claim": "parameters", "said": 400, "true": 100.0, "threshold": None, "left": 400, "true of those": 100.0,
    }  # fmt: skip
    assert rows["window"]["left"] <= 1 and rows["count"]["left"] > rows["block"]["left"]
    assert fit_thresholds(claims, 0.5) == {} or len(fit_thresholds(claims, 0.5)) < 3
    nothing = fit_thresholds([SaidClaim("count", -1.0, False)], 0.9)
    assert nothing == {"count": 0.0}


def test_a_threshold_is_a_log_probability() -> None:
    with pytest.raises((ValueError, StrictDataclassError), match=r"claim_thresholds has 0\.5 for 'count'"):
        ArchBertConfig(decoder_layers=1, claim_thresholds={"count": 0.5})
    assert ArchBertConfig.from_dict(ArchBertConfig(claim_thresholds={"count": -0.5}).to_dict()).claim_thresholds


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tiny_checkpoint(tmp_path_factory.mktemp("sure"))
    return archbert.pipeline("architecture-captioning", model=str(folder), device="cpu")


def test_generated_pieces_have_the_probabilities_that_the_model_gives_them(write: Any) -> None:
    graphs = [trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.zeros(1, 3, 8, 8)),
              trace(nn.Linear(4, 4), torch.zeros(1, 4))]  # fmt: skip
    batch = dict(write.processor(architectures=graphs, return_tensors="pt"))
    batch.pop("input_ids", None)
    for settings in ({}, {"num_beams": 3}):
        sequences, log_probs = write.model.generate_scored(**batch, max_new_tokens=7, **settings)
        plain = write.model.generate(**batch, max_new_tokens=7, **settings)
        assert torch.equal(sequences, plain) and log_probs.shape == sequences[:, 1:].shape
        logits = write.model(**batch, decoder_input_ids=sequences[:, :-1]).logits.log_softmax(-1)
        known = logits.gather(-1, sequences[:, 1:, None]).squeeze(-1)
        for row, mine, given in zip(sequences[:, 1:].tolist(), log_probs, known, strict=True):
            end = (
                row.index(write.model.config.eos_token_id) + 1 if write.model.config.eos_token_id in row else len(row)
            )
            assert torch.allclose(mine[:end], given[:end], atol=1e-4)


def test_the_pipeline_leaves_out_what_the_checkpoint_is_not_sure_of(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = {"architecture": trace(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8))}
    with pytest.raises(ValueError, match=r"no claim_thresholds; examples/run_caption_thresholds\.py fits them"):
        write(item, mode="sure")
    right = "A convolutional network for images with one Conv2d layer and two outputs."
    monkeypatch.setattr(
        type(write.processor), "decode_captions", lambda self, sequences: [right[: 4 * len(sequences[0])]]
    )
    monkeypatch.setattr(write.model.config, "claim_thresholds", {"num_outputs": 0.0})
    found = write(item, mode="sure")
    assert found["removed"] == ["two outputs"]
    assert found["caption"] == "A convolutional network for images with one Conv2d layer."
    assert {claim["basis"] for claim in found["claims"]} == {"predicted"}
    assert all(0 < claim["probability"] < 1 for claim in found["claims"])
    assert "probability" not in write(item)["claims"][0]
    several = write([item, item], mode="sure", batch_size=2)
    for one in several:
        assert (one["caption"], one["removed"]) == (found["caption"], found["removed"])
        probabilities = [[claim["probability"] for claim in of["claims"]] for of in (one, found)]
        assert probabilities[0] == pytest.approx(probabilities[1], rel=1e-3)


def test_a_fit_writes_a_checkpoint_that_can_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_checkpoint(tmp_path / "model")
    claims = [SaidClaim("count", -place / 100, place < 50) for place in range(100)]
    monkeypatch.setattr(run_caption_thresholds, "said_claims", lambda *given: claims)
    given = run_caption_thresholds.ThresholdArguments(
        init_from=str(folder), output_dir=str(tmp_path / "sure"), precision=0.9, cpu=True
    )
    (row,) = run_caption_thresholds.main(given)["rows"]
    assert (row["claim"], row["said"], row["true"]) == ("count", 100, 50.0) and row["true of those"] >= 90.0
    pipe = archbert.pipeline("architecture-captioning", model=str(tmp_path / "sure"), device="cpu")
    assert isinstance(pipe({"architecture": trace(nn.Linear(4, 4), torch.zeros(1, 4))}, mode="sure")["caption"], str)
    with pytest.raises(ValueError, match="precision is 2"):
        run_caption_thresholds.main(run_caption_thresholds.ThresholdArguments(precision=2))
