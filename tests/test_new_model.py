"""New models that take their text side from an encoder, and trainings that leave parts of a model as they are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel, BertTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from multitask_loop import train_only

import new_model
from processing_archbert import ArchBertProcessor

PIECES = ["[PAD]", *(f"[unused{i}]" for i in range(9)), "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused9]", "a", "net",
          "##work", "with", "3", "layers"]  # fmt: skip
TEXT = "a network with 3 layers [unused3] nowhere"
SMALL = {
    "number_embedding_size": 4, "relevance_size": 8, "fusion_intermediate_size": 16, "num_fusion_layers": 1,
    "reasoning_numbers": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder of 300 places and a tokenizer with placeholders."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=300,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).eval().save_pretrained(folder)
    BertTokenizer(vocab={piece: i for i, piece in enumerate(PIECES)}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def made(encoder: Path) -> tuple[Any, ArchBertProcessor]:
    model, processor = new_model.new_model("small", [], dict(SMALL), str(encoder))
    return model.eval(), processor


def states(encoder: Any, tokenizer: Any) -> torch.Tensor:
    inputs = tokenizer([TEXT], return_tensors="pt")
    with torch.no_grad():
        return encoder(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])[0]


def test_a_text_encoder_says_the_same_without_its_placeholders(
    encoder: Path, made: tuple[Any, ArchBertProcessor], tmp_path: Path
) -> None:
    model, processor = made
    tokenizer = processor.tokenizer
    theirs = states(
        BertModel.from_pretrained(encoder, add_pooling_layer=False), AutoTokenizer.from_pretrained(encoder)
    )
    assert torch.equal(states(model.archbert.text, tokenizer), theirs)
    assert sorted(tokenizer.get_vocab()) == sorted(piece for piece in PIECES if "unused" not in piece)
    assert len(tokenizer) == model.config.text_config.vocab_size == model.get_input_embeddings().num_embeddings
    assert tokenizer.convert_ids_to_tokens(tokenizer("a net")["input_ids"]) == ["[CLS]", "a", "net", "[SEP]"]
    assert model.config.text_config.max_position_embeddings == tokenizer.model_max_length == 128
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, reread = new_model.load_model(str(tmp_path), {})
    assert torch.equal(states(again.eval().archbert.text, reread.tokenizer), theirs)


def test_nothing_is_left_out_of_an_encoder_without_placeholders(made: tuple[Any, ArchBertProcessor]) -> None:
    model, processor = made
    words = model.get_input_embeddings()
    assert new_model.without_placeholders(model, processor.tokenizer) is processor.tokenizer
    assert model.get_input_embeddings() is words


def test_only_the_parameters_that_are_named_learn(made: tuple[Any, ArchBertProcessor]) -> None:
    model = made[0]
    train_only(model, ["answer_head.", "reasoning_head.dense"])
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in learning} == {"answer_head", "reasoning_head"}
    assert {name for name in learning if name.startswith("reasoning")} == {
        "reasoning_head.dense.weight", "reasoning_head.dense.bias",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"'decoder\.'; the parts of this model are .*answer_head\."):
        train_only(model, ["decoder."])
