"""Captions in training: which rows speak of which graph, how a new decoder is set up, and the captions of a step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from modeling_archbert import ArchBertForPreTraining
from modeling_archbert.configuration_archbert import DECODERS, SPECIAL_OPS
from processing_archbert import ArchBertProcessor
from processing_archbert.ops_archbert import is_layer, op_category
from reading import TextRows

LENGTHS, STYLES = ("sentence", "paragraph", "full"), ("plain", "technical")
KINDS: tuple[str, ...] = tuple(f"{length} {style}" for length in LENGTHS for style in STYLES)
"""Kinds of captions that a model can be asked for: `caption_kinds` of the config."""
CAPTION_COLUMNS = ("text", "length", "style")
ANY_KIND_SHARE = 0.1
"""Part of the captions that are learned without their kind."""
LENGTH_SHARES = (0.35, 0.4, 0.25)
"""Parts of the steps with captions of each length."""
PARAGRAPHS_IN = {"sentence": 2.0, "paragraph": 1.0, "full": 0.5}
_SPARE_PIECES = "0123456789"


def add_decoder(
    model: ArchBertForPreTraining, processor: ArchBertProcessor, texts: Iterable[str], preset: str, **fields: Any
) -> None:
    """Give a model without a decoder a new one, for captions like `texts`; one that has a decoder keeps it.

    The decoder of the preset `paper` is the paper's: no kinds, no tallies, the whole vocabulary. The processor makes
    what the decoder reads besides, so graphs are to be encoded after this.

    Args:
        model: its config and weights are changed.
        processor: of the model; its feature extractor is set up, too.
        texts: captions that it is to learn, whose word pieces it can then write.
        preset: "paper", "small" or "mini".
        **fields: fields of the config that replace the preset's.
    """
    if model.decoder is None:
        model.add_decoder(**_decoder_fields(model.config, processor, texts, preset) | fields)
    extractor = processor.feature_extractor
    extractor.exact_numbers = extractor.exact_numbers or model.config.use_exact_numbers
    extractor.stated_facts = model.config.use_stated_facts


def _decoder_fields(config: Any, processor: ArchBertProcessor, texts: Iterable[str], preset: str) -> dict[str, Any]:
    """Fields of the config of a new decoder."""
    tokenizer = processor.tokenizer
    chosen: dict[str, Any] = {
        **DECODERS[preset],
        "decoder_start_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if preset != "paper":
        chosen |= {"caption_kinds": list(KINDS), "caption_token_ids": written_pieces(processor, texts)}
    if chosen.get("use_tally_tokens"):
        chosen["op_categories"] = op_categories(config.ops or [])
    return chosen


def op_categories(vocabulary: Sequence[str]) -> list[str]:
    """Category of layers of every op of a vocabulary, `""` for what is no layer."""
    return [op_category(op) if op not in SPECIAL_OPS and is_layer(op) else "" for op in vocabulary]


def written_pieces(processor: ArchBertProcessor, texts: Iterable[str]) -> list[int]:
    """All word pieces of captions, of digits, and the end, in order."""
    wanted = list(dict.fromkeys(texts))
    found: set[int] = set()
    for start in range(0, len(wanted), 1000):
        found |= set(processor.caption_labels(wanted[start : start + 1000]).unique().tolist())
    for spelled in (" ".join(_SPARE_PIECES), "9" + _SPARE_PIECES):
        found |= set(processor.caption_labels(spelled).unique().tolist())
    return sorted(found - {-100})


def caption_rows(
    source: str, split: str, arch_ids: Sequence[str], columns: Sequence[str] = CAPTION_COLUMNS
) -> TextRows:
    """The config `captions` of AutoNet or TVHF, per architecture.

    Args:
        source: folder or Hub id of the data.
        split: its split.
        arch_ids: the architectures, in order.
        columns: what `TextRows.of` gives of a row.
    """
    from reading import load_rows

    return TextRows(load_rows(source, "captions", split), arch_ids, columns)


def kind_of(row: dict[str, Any], kinds: Sequence[str] | None) -> int:
    """1 + index of a row's kind among `kinds`; 0 where it is not among them."""
    name = f"{row['length']} {row['style']}"
    return 1 + list(kinds).index(name) if kinds and name in kinds else 0


def caption_batch(
    processor: ArchBertProcessor,
    config: Any,
    rows: Sequence[Sequence[dict[str, Any]]],
    count: int,
    rng: np.random.Generator,
    shares: Sequence[float] = LENGTH_SHARES,
) -> dict[str, torch.Tensor]:
    """Captions of a step for `ArchBertForPreTraining`: `caption_labels`, `caption_index` and `caption_kind_ids`.

    All are of one length, so that little is padding, and every graph gets as many as the others, or one more.

    Args:
        processor: makes the labels.
        config: of the model.
        rows: for each graph of the step its rows with the columns `CAPTION_COLUMNS`.
        count: number of paragraphs; twice as many sentences, half as many full captions.
        rng: source of randomness.
        shares: how often all are of each length.
    """
    length = rng.choice(LENGTHS, p=shares)
    rows = [[row for row in found if row["length"] == length] for found in rows]
    count = max(1, int(count * PARAGRAPHS_IN[length]))
    orders = [rng.permutation(len(found)).tolist() for found in rows]
    drawn: list[tuple[int, dict[str, Any]]] = []
    for turn in range(max(map(len, orders), default=0)):
        graphs = [graph for graph, order in enumerate(orders) if turn < len(order)]
        for graph in rng.permutation(graphs).tolist():
            if len(drawn) < count:
                drawn.append((graph, rows[graph][orders[graph][turn]]))
    if not drawn:
        return {}
    texts = [row["text"] for _, row in drawn]
    batch = {
        "caption_labels": processor.caption_labels(texts, config.max_caption_length),
        "caption_index": torch.tensor([graph for graph, _ in drawn]),
    }
    if config.caption_kinds:
        kinds = [0 if rng.random() < ANY_KIND_SHARE else kind_of(row, config.caption_kinds) for _, row in drawn]
        batch["caption_kind_ids"] = torch.tensor(kinds)
    return batch
