"""A checkpoint with random weights and the sizes of a toy: what tests of loading, releases and pipelines run on."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from archbert.release import release
from modeling_archbert import ArchBertConfig, ArchBertForPreTraining
from processing_archbert import ANSWERS, ArchBertGraphFeatureExtractor, ArchBertProcessor
from processing_archbert.graph_features_archbert import SPECIAL_OPS
from processing_archbert.ops_archbert import is_layer, op_category

SEED = 0
TEXTS = ("Which pooling layers are used in this model?", "What are the kernel sizes of the Conv2d layers?")
CAPTION_KINDS = ("sentence plain", "paragraph plain")
SPECIAL_TOKENS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE with little more than the 256 bytes, so that it knows every script."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=list(SPECIAL_TOKENS.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS)


def tiny_config(extractor: ArchBertGraphFeatureExtractor, vocab_size: int) -> ArchBertConfig:
    """Two layers of 32 with every extension of the preset `mini`, and a decoder."""
    text = {"vocab_size": vocab_size, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ops = extractor.vocabulary
    return ArchBertConfig.from_preset(
        "mini",
        captions=True,
        decoder_layers=1,
        caption_kinds=list(CAPTION_KINDS),
        op_categories=[op_category(op) if op not in SPECIAL_OPS and is_layer(op) else "" for op in ops],
        max_caption_length=24,
        decoder_start_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
        text_config={**text, "intermediate_size": 64, "max_position_embeddings": 128},
        ops=ops,
        gat_heads=2,
        number_embedding_size=8,
        fusion_intermediate_size=64,
        id2label=dict(enumerate(ANSWERS)),
    )


def tiny_checkpoint(folder: Path) -> Path:
    """Save the toy into `folder`/checkpoint as a training script would; the same weights each time."""
    extractor, tokenizer = ArchBertGraphFeatureExtractor(exact_numbers=True, stated_facts=True), tiny_tokenizer()
    torch.manual_seed(SEED)
    model = ArchBertForPreTraining(tiny_config(extractor, len(tokenizer)))
    model.save_pretrained(folder / "checkpoint")
    ArchBertProcessor(feature_extractor=extractor, tokenizer=tokenizer).save_pretrained(folder / "checkpoint")
    return folder / "checkpoint"


def tiny_release(folder: Path, name: str = "tiny") -> Path:
    """Release the toy as `folder`/`name`."""
    return release(tiny_checkpoint(folder), name, folder)
