"""The captioning pipeline: items, batches, modes, and what is wrong with an item."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_checkpoint import tiny_checkpoint
from torch import nn

import archbert
from modeling_archbert import ArchBertForPreTraining
from processing_archbert import ArchBertProcessor, GraphFacts, trace
from processing_archbert.caption_reading_archbert import read_caption

RIGHT = "A convolutional network for images with 3 Conv2d layers."
WRONG = "A convolutional network for images with 9 Conv2d layers. It has two layers."


@pytest.fixture(scope="module")
def graphs() -> list[Any]:
    def network(*layers: nn.Module) -> Any:
        return trace(nn.Sequential(*layers), torch.zeros(1, 3, 16, 16))

    three = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1)]
    return [network(*three), network(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), network(nn.Conv2d(3, 2, 1))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("captions"))


@pytest.fixture(scope="module")
def write(folder: Path) -> Any:
    return archbert.pipeline("architecture-captioning", model=str(folder), device="cpu")


@pytest.fixture
def saying(write: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the model write a given text."""

    def say(text: str) -> None:
        monkeypatch.setattr(type(write.processor), "decode_captions", lambda self, sequences: [text])

    return say


def test_captions_are_the_same_for_every_batch_size_and_way_of_giving_items(write: Any, graphs: list[Any]) -> None:
    items = [{"architecture": graph, "length": length} for graph in graphs for length in ("sentence", "paragraph")]
    alone = [write(item) for item in items]
    assert alone[0].keys() == {"caption", "claims", "removed"}
    assert len({found["caption"] for found in alone}) > 1
    for batch_size in (1, 2, 4):
        assert write(items, batch_size=batch_size) == alone

    def generator() -> Iterator[dict[str, Any]]:
        yield from items

    assert list(write(generator(), batch_size=3)) == alone
    for settings in ({}, {"length_penalty": -4.0}):
        beams = {"num_beams": 3, "max_new_tokens": 6, **settings}
        assert write(items, batch_size=3, **beams) == [write(item, **beams) for item in items]
    checked = [write(item, mode="product") for item in items]
    assert write(items, mode="product", batch_size=4) == checked


def test_a_product_is_true_whatever_the_model_writes(write: Any, graphs: list[Any]) -> None:
    for graph in graphs:
        found = write({"architecture": graph}, mode="product")
        assert all(GraphFacts(graph).holds(claim).value for claim in read_caption(found["caption"]))
        assert {claim["basis"] for claim in found["claims"]} == {"computed"}


def test_modes_say_what_a_claim_rests_on(write: Any, graphs: list[Any], saying: Any) -> None:
    item = {"architecture": graphs[0]}
    saying(WRONG)
    found = write(item)
    assert found["caption"] == WRONG and {claim["basis"] for claim in found["claims"]} == {"predicted"}
    found = write(item, mode="product")
    assert found["caption"] == RIGHT and found["removed"] == ["It has two layers."]
    assert [claim["mended"] for claim in found["claims"]] == [False, False, True]
    assert found["claims"][-1] == {
        "text": "3 Conv2d layers", "claim": {"type": "count", "layer": "Conv2d", "value": 3}, "basis": "computed",
        "mended": True,
    }  # fmt: skip
    saying(RIGHT)
    assert write(item, mode="product")["caption"] == write(item)["caption"] == RIGHT


def test_sampling_follows_the_seed(write: Any, graphs: list[Any]) -> None:
    texts = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        texts.append(write({"architecture": graphs[0]}, do_sample=True, temperature=3.0)["caption"])
    assert texts[0] == texts[1] != texts[2]


def test_what_is_wrong_is_said_with_what_is_allowed(write: Any, graphs: list[Any]) -> None:
    item = {"architecture": graphs[0]}
    with pytest.raises(ValueError, match=r"mode is 'both'; 'model', 'sure' or 'product'"):
        write(item, mode="both")
    with pytest.raises(ValueError, match=r"asks for 'book plain' .*; there are sentence plain, paragraph plain"):
        write({**item, "length": "book"})
    with pytest.raises(
        ValueError, match=r"unknown keys \['question'\]; allowed are architecture, inputs, length, style"
    ):
        write({**item, "question": "?"})
    with pytest.raises(ValueError, match=r"no 'architecture'; it looks like"):
        write({"length": "sentence"})
    with pytest.raises(ValueError, match=r"Unknown parameters \['beams'\]"):
        write(item, beams=3)


def test_a_checkpoint_without_kinds_writes_and_takes_no_length(folder: Path, graphs: list[Any]) -> None:
    model = ArchBertForPreTraining.from_pretrained(folder)
    model.config.caption_kinds = None
    model.decoder = type(model.decoder)(model.config)
    writer = archbert.modeling_archbert.ArchBertForConditionalGeneration.sharing(model.eval())
    pipe = archbert.pipeline(
        "architecture-captioning", model=writer, processor=ArchBertProcessor.from_pretrained(folder), device="cpu"
    )
    assert isinstance(pipe({"architecture": graphs[0]})["caption"], str)
    with pytest.raises(ValueError, match=r"this checkpoint knows no kinds of captions"):
        pipe({"architecture": graphs[0], "length": "sentence"})
