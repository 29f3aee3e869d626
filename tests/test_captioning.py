"""Captioning: the decoder, `generate`, what is saved and loaded, word pieces of captions, and learning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_checkpoint import tiny_checkpoint, tiny_tokenizer
from torch import nn
from transformers import AutoModel, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

from modeling_archbert import ArchBertConfig, ArchBertForConditionalGeneration, ArchBertForPreTraining
from modeling_archbert.configuration_archbert import DECODERS
from modeling_archbert.graph_inputs_archbert import GraphInputs
from modeling_archbert.tallies_archbert import OTHERS
from processing_archbert import ArchBertProcessor, ArchitectureGraph, GraphFacts, trace
from processing_archbert.caption_text_archbert import digit_pieces, readable_caption

SIZES = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 96}
KINDS = ["sentence plain", "paragraph plain"]


def network(convolutions: int, width: int, skip: bool = False) -> ArchitectureGraph:
    """A stack of convolutions with activations, and at will a residual connection around each but the first."""

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = [3, *[width] * convolutions]
            self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
            self.head = nn.Linear(width, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for number, layer in enumerate(self.layers):
                made = torch.relu(layer(x))
                x = x + made if skip and number else made
            return self.head(x.mean((2, 3)))

    return trace(Stack(), torch.zeros(1, 3, 8, 8))


GRAPHS = [network(3, 8), network(12, 16), network(5, 24, skip=True), network(23, 40, skip=True)]
CAPTIONS = [f"A convolutional network for images with {n} Conv2d layers." for n in (3, 12, 5, 23)]


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> ArchBertProcessor:
    made = ArchBertProcessor.from_pretrained(tiny_checkpoint(tmp_path_factory.mktemp("captioning")))
    made.feature_extractor.exact_numbers = made.feature_extractor.stated_facts = True
    return made


def categories(vocabulary: list[str]) -> list[str]:
    from processing_archbert.ops_archbert import is_layer, op_category

    return [op_category(op) if is_layer(op) else "" for op in vocabulary]


def new_model(processor: ArchBertProcessor, preset: str = "mini", **fields: Any) -> ArchBertForPreTraining:
    """A small model without a decoder gets one."""
    torch.manual_seed(0)
    tokenizer, extractor = processor.tokenizer, processor.feature_extractor
    text = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 32, "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0}  # fmt: skip
    config = ArchBertConfig.from_preset(
        preset, text_config=text, ops=extractor.vocabulary, gat_heads=2, num_labels=3, mam_loss_weight=0.0
    )
    config.use_copy = False
    model = ArchBertForPreTraining(config)
    special = {"decoder_start_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    chosen: dict[str, Any] = {**DECODERS[preset], **special, "pad_token_id": tokenizer.pad_token_id}
    if preset != "paper":
        pieces = processor.caption_labels(CAPTIONS).unique().tolist()
        chosen |= {"op_categories": categories(extractor.vocabulary), "caption_kinds": KINDS,
                   "caption_token_ids": [piece for piece in pieces if piece >= 0]}  # fmt: skip
    model.add_decoder(**chosen | {"max_caption_length": 80} | fields)
    return model


def batch_of(processor: ArchBertProcessor, graphs: list[ArchitectureGraph], fold: bool = True) -> dict[str, Any]:
    return dict(processor(architectures=graphs, fold=fold))


@pytest.fixture(scope="module")
def learned(processor: ArchBertProcessor) -> Iterator[tuple[ArchBertForPreTraining, list[float]]]:
    """A model that has learned the captions of four graphs by heart, and its losses."""
    model = new_model(processor).train()
    batch = batch_of(processor, GRAPHS)
    labels = processor.caption_labels(CAPTIONS)
    kinds = torch.tensor([1, 1, 1, 1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(120):
        loss = model(**batch, caption_labels=labels, caption_kind_ids=kinds).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if loss.item() < 0.01:
            break
    yield model.eval(), losses


@pytest.fixture(scope="module")
def writer(learned: tuple[ArchBertForPreTraining, list[float]]) -> ArchBertForConditionalGeneration:
    return ArchBertForConditionalGeneration.sharing(learned[0])


def test_a_handful_of_captions_is_learned_and_written(
    learned: Any, writer: ArchBertForConditionalGeneration, processor: ArchBertProcessor
) -> None:
    losses = learned[1]
    assert losses[-1] < 0.05 < losses[0]
    batch, kinds = batch_of(processor, GRAPHS), torch.ones(4, dtype=torch.long)
    greedy = writer.generate(**batch, decoder_kind_ids=kinds)
    assert processor.decode_captions(greedy) == CAPTIONS
    assert torch.equal(greedy, writer.generate(**batch, decoder_kind_ids=kinds, use_cache=False))
    beams = writer.generate(**batch, decoder_kind_ids=kinds, num_beams=4, num_return_sequences=2)
    assert processor.decode_captions(beams)[::2] == CAPTIONS
    uncached = writer.generate(**batch, decoder_kind_ids=kinds, num_beams=4, num_return_sequences=2, use_cache=False)
    assert torch.equal(beams, uncached)
    torch.manual_seed(0)
    sampled = writer.generate(**batch, decoder_kind_ids=kinds, do_sample=True, temperature=0.5)
    assert processor.decode_captions(sampled)[0].startswith("A convolutional")


def test_a_caption_does_not_depend_on_its_batch_padding_or_folding(
    writer: ArchBertForConditionalGeneration, processor: ArchBertProcessor
) -> None:
    labels = processor.caption_labels(CAPTIONS)
    kinds = torch.tensor([1, 2, 0, 1])
    with torch.no_grad():
        together = writer(**batch_of(processor, GRAPHS), labels=labels, decoder_kind_ids=kinds).logits
        unfolded = writer(**batch_of(processor, GRAPHS, fold=False), labels=labels, decoder_kind_ids=kinds).logits
        for row, graph in enumerate(GRAPHS):
            length = int((labels[row] != -100).sum())
            alone = writer(
                **batch_of(processor, [graph]), labels=labels[row : row + 1, :length],
                decoder_kind_ids=kinds[row : row + 1],
            ).logits  # fmt: skip
            torch.testing.assert_close(together[row, :length], alone[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together, unfolded, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0], writer(**batch_of(processor, GRAPHS), labels=labels).logits[0], atol=1e-3)


def test_several_captions_share_one_encoding_of_a_graph(
    learned: Any, writer: ArchBertForConditionalGeneration, processor: ArchBertProcessor
) -> None:
    labels = processor.caption_labels([*CAPTIONS, CAPTIONS[1]])
    rows = torch.tensor([0, 1, 2, 3, 1])
    batch = batch_of(processor, GRAPHS)
    with torch.no_grad():
        output = writer(**batch, labels=labels, architecture_index=rows)
        repeated = writer(**batch_of(processor, [GRAPHS[row] for row in rows.tolist()]), labels=labels)
        pretraining = learned[0](**batch, caption_labels=labels, caption_index=rows)
    torch.testing.assert_close(output.logits, repeated.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.loss, pretraining.caption_loss)
    torch.testing.assert_close(pretraining.loss, pretraining.caption_loss)
    with pytest.raises(ValueError, match=r"5 captions cannot be paired with 4 architectures"):
        writer(**batch, labels=labels)


def test_ignored_labels_do_not_count(writer: ArchBertForConditionalGeneration, processor: ArchBertProcessor) -> None:
    batch, labels = batch_of(processor, GRAPHS[:2]), processor.caption_labels(CAPTIONS[:2])
    with torch.no_grad():
        output = writer(**batch, labels=labels)
        log_probabilities = output.logits.log_softmax(-1)
    known = labels != -100
    picked = log_probabilities.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)[known]
    torch.testing.assert_close(output.loss, -picked.mean())
    wider = torch.nn.functional.pad(labels, (0, 5), value=-100)
    torch.testing.assert_close(writer(**batch, labels=wider).loss, output.loss)


def test_tallies_are_the_numbers_of_the_graph(learned: Any, processor: ArchBertProcessor) -> None:
    tallies = learned[0].decoder.tallies
    values, ranks = tallies.count(GraphInputs(**batch_of(processor, GRAPHS)))
    names = [*tallies.ops, *tallies.names, *OTHERS]
    for row, graph in enumerate(GRAPHS):
        facts = GraphFacts(graph)
        shown = dict(zip(names, values[row].long().tolist(), strict=True))
        for kind, count in facts.layer_counts().items():
            assert shown[kind] == count
        for category in ("convolution", "activation", "linear"):
            assert shown[category] == len(facts.structure.nodes_of_category(category))
        assert shown["layers"] == facts.num_layers().value
        assert shown["longest path"] == facts.structure.depth[0]
        assert shown["additions"] == facts.structure.skip_connections("add")[0]
        assert abs(shown["parameters"] / graph.num_parameters - 1) < 1e-5
        ranked = sorted((rank, name) for name, rank in zip(names, ranks[row].tolist(), strict=True) if rank)
        assert [name for _, name in ranked] == list(facts.layer_counts())


def test_a_folder_gives_each_class_its_part(learned: Any, processor: ArchBertProcessor, tmp_path: Path) -> None:
    model = learned[0]
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    batch = batch_of(processor, GRAPHS)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert type(loaded) is ArchBertForConditionalGeneration
    written = loaded.generate(**dict(ArchBertProcessor.from_pretrained(tmp_path)(architectures=GRAPHS)))
    assert torch.equal(written, ArchBertForConditionalGeneration.sharing(model).generate(**batch))
    base, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    torch.testing.assert_close(
        base(**batch).architecture_embeds, model.archbert(**batch).architecture_embeds, atol=1e-6, rtol=1e-6
    )
    loaded.save_pretrained(tmp_path / "again")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "again")
    assert torch.equal(again.generate(**batch), written)
    back = ArchBertForPreTraining.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(back.state_dict().values(), model.state_dict().values(), strict=True))


def test_a_missing_decoder_is_said_and_never_random(
    learned: Any, processor: ArchBertProcessor, tmp_path: Path
) -> None:
    tiny_checkpoint(tmp_path)
    without = tmp_path / "checkpoint"
    config = json.loads((without / "config.json").read_text()) | {"decoder_layers": 0}
    (without / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"cannot write captions: it has no decoder.*run_captioning\.py"):
        AutoModelForSeq2SeqLM.from_pretrained(without)
    model = ArchBertForPreTraining.from_pretrained(without)
    assert model.decoder is None
    with pytest.raises(ValueError, match=r"no decoder"):
        ArchBertForConditionalGeneration.sharing(model)
    labels = processor.caption_labels(CAPTIONS)
    with pytest.raises(ValueError, match=r"caption_labels are given, but there is no decoder"):
        model(**batch_of(processor, GRAPHS), caption_labels=labels)
    learned[0].save_pretrained(tmp_path / "cut")
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "cut" / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("decoder.layers.1.")}
    save_file(kept, tmp_path / "cut" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"weights do not have decoder\.layers\.1\."):
        AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "cut")


def test_the_papers_decoder_writes_with_the_whole_vocabulary(processor: ArchBertProcessor) -> None:
    model = new_model(processor, "paper")
    config = model.config
    assert (config.decoder_layers, config.caption_kinds, config.use_tally_tokens) == (1, None, False)
    assert ArchBertConfig.from_preset("paper", captions=True).decoder_layers == 1
    writer = ArchBertForConditionalGeneration.sharing(model.eval())
    output = writer(**batch_of(processor, GRAPHS), labels=processor.caption_labels(CAPTIONS))
    assert output.logits.shape[-1] == len(processor.tokenizer) and torch.isfinite(output.logits).all()
    assert writer.generate(**batch_of(processor, GRAPHS), num_beams=3, max_new_tokens=4).shape[0] == 4
    with pytest.raises(ValueError, match=r"kind_ids are given, but this decoder has no caption_kinds"):
        writer.generate(**batch_of(processor, GRAPHS), decoder_kind_ids=torch.ones(4, dtype=torch.long))


def test_wrong_inputs_are_named(writer: ArchBertForConditionalGeneration, processor: ArchBertProcessor) -> None:
    batch, labels = batch_of(processor, GRAPHS), processor.caption_labels(CAPTIONS)
    with pytest.raises(ValueError, match=r"node_ids is absent"):
        writer(labels=labels)
    with pytest.raises(ValueError, match=r"give decoder_input_ids or labels"):
        writer(**batch)
    with pytest.raises(ValueError, match=r"max_caption_length is 80"):
        writer(**batch, labels=torch.zeros(4, 90, dtype=torch.long))
    unseen = labels.clone()
    unseen[0, 0] = processor.tokenizer.unk_token_id
    with pytest.raises(ValueError, match=r"which is not among caption_token_ids"):
        writer(**batch, labels=unseen)
    with pytest.raises(ValueError, match=r"captions need node_sizes"):
        writer(**{name: value for name, value in batch.items() if name != "node_sizes"}, labels=labels)
    with pytest.raises(ValueError, match=r"captions need stated_facts"):
        writer(**{name: value for name, value in batch.items() if name != "stated_facts"}, labels=labels)
    with pytest.raises(ValueError, match=r"decoder_layers is 0"):
        new_model(processor, decoder_layers=0)


def test_numbers_are_spelled_digit_by_digit_and_read_back(processor: ArchBertProcessor) -> None:
    texts = ["A network for images with about 5.19 million parameters.", "It has 1057 Conv2d layers and two inputs."]
    labels = processor.caption_labels(texts)
    assert processor.decode_captions(labels.clamp(min=0)) == texts
    assert (labels == processor.tokenizer.sep_token_id).sum(1).tolist() == [1, 1]
    pieces = {"[UNK]": 0, "57": 1, "##89": 2, "5": 3, "##7": 4, "##8": 5, "##9": 6, "##5": 7, "4": 8, "12": 9}

    class Vocabulary:
        def get_vocab(self) -> dict[str, int]:
            return pieces

    assert digit_pieces(Vocabulary()) == {1: [3, 4], 2: [5, 6]}


@pytest.mark.parametrize(
    ("decoded", "written"),
    [
        ("it has 5 . 19 million parameters .", "It has 5.19 million parameters."),
        ("a conv2d layer ( kernel 7x7 , stride 2 ) . it ends .", "A Conv2d layer (kernel 7x7, stride 2). It ends."),
        ("two - dimensional relu and layernorm", "Two-dimensional ReLU and LayerNorm"),
        ("scaled _ dot _ product _ attention", "Scaled_dot_product_attention"),
    ],
)
def test_captions_of_uncased_tokenizers_read_as_they_are_written(decoded: str, written: str) -> None:
    assert readable_caption(decoded) == written


def test_the_tokenizer_needs_an_end() -> None:
    tokenizer = tiny_tokenizer()
    endless = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, pad_token="[PAD]")
    with pytest.raises(ValueError, match=r"no sep_token"):
        ArchBertProcessor(tokenizer=endless).caption_labels("A network.")
