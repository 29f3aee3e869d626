"""Models and processors to train: from a checkpoint, or new ones from a preset."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, BertModel

from dataset_scripts.autonet.build_tokenizer import train_tokenizer
from dataset_scripts.autonet.claims_autonet import CLAIM_TYPES
from modeling_archbert import ArchBertConfig, ArchBertForPreTraining
from modeling_archbert.configuration_archbert import CONVOLUTION_KINDS
from processing_archbert import ANSWERS, EXTRACTION_VERSION, OPS, ArchBertGraphFeatureExtractor, ArchBertProcessor
from processing_archbert.graph_features_archbert import SPECIAL_OPS
from processing_archbert.questions_archbert import answer_links

MAX_TEXT_LENGTH, MAX_TEXT_POSITIONS = 96, 128
"""Word pieces that are read of a text; places that are kept of a text encoder with more."""
_PLACEHOLDER = re.compile(r"\[unused\d+\]")


def new_processor(config: ArchBertConfig, tokenizer: Any) -> ArchBertProcessor:
    """The processor that belongs to a config."""
    limit: dict[str, Any] = {} if config.max_nodes is None else {"max_nodes": config.max_nodes, "truncation": True}
    extractor = ArchBertGraphFeatureExtractor(
        num_fold_rounds=config.num_fold_rounds,
        fold_direction=config.fold_direction,
        op_piece_length=config.op_piece_length,
        max_blocks=config.max_blocks,
        extraction_version=EXTRACTION_VERSION,
        exact_numbers=config.reasoning_numbers,
        **limit,
    )
    return ArchBertProcessor(
        extractor, tokenizer, max_text_length=MAX_TEXT_LENGTH, text_numbers=config.reasoning_numbers
    )


def new_config(preset: str, overrides: dict[str, Any]) -> ArchBertConfig:
    """A preset's config with the op vocabulary, the answers, and what each answer has to do with nodes."""
    vocabulary = [*SPECIAL_OPS, *OPS]
    fields: dict[str, Any] = {
        "ops": vocabulary,
        "id2label": dict(enumerate(ANSWERS)),
        "problem_type": "multi_label_classification",
        "extraction_version": EXTRACTION_VERSION,
    }
    config = ArchBertConfig.from_preset(preset, **fields | overrides)
    if config.use_reasoning_head and config.claim_types is None:
        config.claim_types = list(CLAIM_TYPES)
    if config.use_copy:
        config.answer_links = linked_answers(vocabulary)
        config.validate_answer_links()
    return config


def linked_answers(vocabulary: list[str]) -> list[list[int]]:
    """`answer_links` of the config (one row of `LINK_COLUMNS` per answer) for an op vocabulary."""
    ids = {op: index for index, op in enumerate(vocabulary)}
    return [
        [ids.get(op, -1), height, width, CONVOLUTION_KINDS.index(convolution), group]
        for group, op, convolution, height, width in answer_links()
    ]


def new_model(
    preset: str,
    texts: Iterable[str],
    overrides: dict[str, Any],
    text_encoder: str | None = None,
    attn_implementation: str | None = None,
) -> tuple[ArchBertForPreTraining, ArchBertProcessor]:
    """A new model with all heads, and its processor.

    Args:
        preset: "paper", "small" or "mini".
        texts: texts that the tokenizer learns from, where there is no `text_encoder`.
        overrides: fields of the config.
        text_encoder: folder or Hub id of a BERT-like encoder; its sizes, weights and tokenizer are taken.
        attn_implementation: "eager" or "sdpa"; transformers' choice by default.
    """
    if text_encoder:
        sizes = AutoConfig.from_pretrained(text_encoder).to_dict()
        kept = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                "max_position_embeddings", "type_vocab_size", "hidden_act", "layer_norm_eps")  # fmt: skip
        sizes = {name: sizes[name] for name in kept if name in sizes}
        overrides = {**overrides, "text_config": sizes | overrides.get("text_config", {})}
    config = new_config(preset, overrides)
    if text_encoder:
        tokenizer = AutoTokenizer.from_pretrained(text_encoder)
    else:
        tokenizer = train_tokenizer(texts, config.get_text_config().vocab_size)
    model = ArchBertForPreTraining._from_config(config, attn_implementation=attn_implementation)
    if text_encoder:
        weights = BertModel.from_pretrained(text_encoder, add_pooling_layer=False)
        model.archbert.text.load_state_dict(weights.state_dict())
        tokenizer = without_placeholders(model, tokenizer)
    return model, new_processor(config, tokenizer)


def without_placeholders(model: Any, tokenizer: Any) -> Any:
    """Leave out what no text ever needs: word pieces such as `[unused7]`, and places past `MAX_TEXT_POSITIONS`.

    Every other word piece and place keeps its embedding, so all that the model says stays the same.

    Args:
        model: its word and position embeddings, and the sizes in its config, are changed.
        tokenizer: a fast tokenizer.

    Returns:
        The tokenizer to use from now on.
    """
    embeddings, sizes = model.archbert.text.embeddings, model.config.text_config
    places = min(MAX_TEXT_POSITIONS, sizes.max_position_embeddings)
    if places < sizes.max_position_embeddings:
        embeddings.position_embeddings = kept_rows(embeddings.position_embeddings, list(range(places)))
        embeddings.position_ids = embeddings.position_ids[:, :places]
        embeddings.token_type_ids = embeddings.token_type_ids[:, :places]
        sizes.max_position_embeddings = tokenizer.model_max_length = places
    vocabulary = tokenizer.get_vocab()
    kept = sorted((index, piece) for piece, index in vocabulary.items() if not _PLACEHOLDER.fullmatch(piece))
    if len(kept) == len(vocabulary):
        return tokenizer
    ids = {piece: index for index, (_, piece) in enumerate(kept)}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        path = Path(folder) / "tokenizer.json"
        stored = json.loads(path.read_text(encoding="utf-8"))
        stored["model"]["vocab"] = {piece: ids[piece] for piece in stored["model"]["vocab"] if piece in ids}
        for token in stored["added_tokens"]:
            token["id"] = ids[token["content"]]
        for token in (stored.get("post_processor") or {}).get("special_tokens", {}).values():
            token["ids"] = [ids[piece] for piece in token["tokens"]]
        path.write_text(json.dumps(stored, ensure_ascii=False), encoding="utf-8")
        smaller = type(tokenizer).from_pretrained(folder)
    model.set_input_embeddings(kept_rows(model.get_input_embeddings(), [index for index, _ in kept]))
    sizes.vocab_size = len(kept)
    return smaller


def kept_rows(table: torch.nn.Embedding, rows: list[int]) -> torch.nn.Embedding:
    """An embedding of some rows of another."""
    padding = None if table.padding_idx not in rows else rows.index(table.padding_idx)
    smaller = torch.nn.Embedding(len(rows), table.embedding_dim, padding_idx=padding)
    smaller.to(table.weight).load_state_dict({"weight": table.weight[rows]})
    return smaller.requires_grad_(table.weight.requires_grad)


def load_model(
    folder: str, overrides: dict[str, Any], attn_implementation: str | None = None
) -> tuple[ArchBertForPreTraining, ArchBertProcessor]:
    """A saved model and its processor; `overrides` may change the config (a new fusion starts untrained)."""
    import archbert  # noqa: F401  the classes of the package, not the copies in the folder, are loaded

    if overrides.get("fusion") == "product":  # what only cross attention has
        overrides = {"use_copy": False, "use_reasoning_head": False, **overrides}
    config = ArchBertConfig.from_pretrained(folder, **overrides)
    if config.use_reasoning_head and config.claim_types is None:
        config.claim_types = list(CLAIM_TYPES)
    if config.use_copy and config.answer_links is None:
        config.answer_links = linked_answers(config.ops or [*SPECIAL_OPS, *OPS])
    model = ArchBertForPreTraining.from_pretrained(
        folder, config=config, attn_implementation=attn_implementation, dtype=torch.float32
    )
    return model, ArchBertProcessor.from_pretrained(folder)


def model_of(arguments: Any, texts: Iterable[str], overrides: dict[str, Any]) -> tuple[ArchBertForPreTraining, Any]:
    """The model that the arguments of a training script ask for, and its processor: a saved one, or a new one."""
    if arguments.init_from:
        return load_model(arguments.init_from, overrides, arguments.attn_implementation)
    return new_model(arguments.preset, texts, overrides, arguments.text_encoder, arguments.attn_implementation)


def overrides_of(text: str, **named: Any) -> dict[str, Any]:
    """Fields of the config: a JSON object, and named ones that are not None.

    Raises:
        ValueError: the text is no JSON object.
    """
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise ValueError(f"--overrides is no JSON ({error}); an object such as '{{\"num_gat_layers\": 2}}'") from None
    if not isinstance(fields, dict):
        raise ValueError(f"--overrides is {text}; a JSON object is needed, such as '{{\"num_gat_layers\": 2}}'")
    return fields | {name: value for name, value in named.items() if value is not None}
