"""Evaluation of captions: claims against the graph, and ROUGE between its floors and its ceiling, by length."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from captions import LENGTHS, kind_of
from tqdm.auto import tqdm

from evaluation import GRAPHS_PER_BATCH, load_metric
from metrics.caption_claims.caption_rouge import constant_caption, nearest_captions
from modeling_archbert import ArchBertForConditionalGeneration, ArchBertForPreTraining
from processing_archbert.caption_checking_archbert import check_caption
from processing_archbert.caption_sureness_archbert import WrittenPieces, sure_caption
from processing_archbert.pipeline_captioning_archbert import written_pieces
from reading import Split, TextRows

GENERATION: dict[str, Any] = {"do_sample": False}
"""Settings of `generate`."""
STYLE = "plain"
"""Style of the captions that are asked for."""
NEAREST_AMONG = 2000
"""Training architectures among which the nearest is looked for."""
COLUMNS = {
    "claim precision": "claim_precision",
    "claim recall": "claim_recall",
    "unreadable": "unreadable_sentences",
    "ROUGE-1": "rouge1",
    "ROUGE-2": "rouge2",
    "ROUGE-Lsum": "rougeLsum",
}
MODEL, SURE, PRODUCT = "ArchBERT", "ArchBERT, what it is sure of", "ArchBERT with computed facts (product)"
CONSTANT, NEAREST, CEILING = "constant caption", "caption of the nearest graph", "one reference against the others"


class Captioned(NamedTuple):
    """Architectures, and their rows of the config `captions`."""

    split: Split
    rows: TextRows

    def told(self) -> list[int]:
        """The architectures that have captions: of some real ones nothing can be said that all routes agree on."""
        return [graph for graph in range(len(self.rows)) if self.rows[graph]]

    def of_length(self, length: str, graph: int) -> list[dict[str, Any]]:
        """References of one length of an architecture, those of `STYLE` first."""
        rows = [row for row in self.rows[graph] if row["length"] == length]
        return sorted(rows, key=lambda row: row["style"] != STYLE)


class Written(NamedTuple):
    """A caption and, where it was asked for, what it was written with."""

    text: str
    pieces: WrittenPieces | None


@torch.no_grad()
def write_captions(
    model: ArchBertForPreTraining,
    processor: Any,
    encodings: Sequence[Any],
    length: str,
    num_beams: int,
    accelerator: Accelerator,
    scored: bool = False,
) -> list[Written]:
    """A caption of each architecture, in order, on every process; the model is left in eval mode.

    Args:
        model: with a decoder.
        processor: of the model.
        encodings: graph tokens.
        length: what is asked for; a model without kinds writes as it likes.
        num_beams: 1 for greedy.
        accelerator: shares the work.
        scored: with the probabilities of the word pieces.
    """
    writer = ArchBertForConditionalGeneration.sharing(model.eval())
    kind = kind_of({"length": length, "style": STYLE}, model.config.caption_kinds)
    order = np.argsort([encoding.num_tokens for encoding in encodings], kind="stable").tolist()
    starts = range(0, len(order), GRAPHS_PER_BATCH)
    mine = starts[accelerator.process_index :: accelerator.num_processes]
    found: list[tuple[int, Written]] = []
    for start in tqdm(mine, desc=f"writing ({length})", leave=False, disable=not accelerator.is_main_process):
        chosen = order[start : start + GRAPHS_PER_BATCH]
        batch = dict(processor.collate(None, [encodings[graph] for graph in chosen]))
        if kind:
            batch["decoder_kind_ids"] = torch.full((len(chosen),), kind)
        batch = {key: value.to(accelerator.device) for key, value in batch.items()}
        settings = {"num_beams": num_beams, **GENERATION}
        pieces: list[WrittenPieces | None] = [None] * len(chosen)
        if scored:
            sequences, log_probs = writer.generate_scored(**batch, **settings)
            pieces = [written_pieces(processor, *row) for row in zip(sequences, log_probs, strict=True)]
        else:
            sequences = writer.generate(**batch, **settings)
        texts = processor.decode_captions(sequences)
        found += zip(chosen, map(Written, texts, pieces), strict=True)
    return [written for _, written in sorted(gather_object(found), key=lambda item: item[0])]


def evaluate_captions(
    model: ArchBertForPreTraining,
    processor: Any,
    train: Captioned,
    validation: Captioned,
    num_beams: int,
    accelerator: Accelerator,
    lengths: Sequence[str] = LENGTHS,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Length -> method -> figures of `metrics/caption_claims`; and what was written, under `examples` of the model.

    Methods are the model alone, where it has `claim_thresholds` the same without what it is not sure of, with every
    claim checked against the graph, the constant caption, the caption of the nearest training graph, and one reference
    against the others, which is the ceiling.
    """
    results: dict[str, dict[str, dict[str, Any]]] = {}
    told = validation.told()
    known, encodings = ([of[graph] for graph in told] for of in (validation.split.facts, validation.split.encodings))
    graphs = [facts.graph for facts in known]
    for length in lengths:
        references = [validation.of_length(length, graph) for graph in told]
        thresholds = model.config.claim_thresholds
        written = write_captions(model, processor, encodings, length, num_beams, accelerator, bool(thresholds))
        texts = {MODEL: [one.text for one in written]}
        if thresholds:
            texts[SURE] = [sure_caption(one.text, one.pieces, thresholds).text for one in written if one.pieces]
        texts[PRODUCT] = [check_caption(text, facts).text for text, facts in zip(texts[MODEL], known, strict=True)]
        texts |= floor_captions(train, [list(graph.op_types) for graph in graphs], length)
        texts[CEILING] = [rows[-1]["text"] for rows in references]
        metric = load_metric("caption_claims", accelerator)
        results[length] = {
            name: metric.compute(
                predictions=written,
                references=[graph.to_json() for graph in graphs],
                reference_claims=[rows[0]["claims"] for rows in references],
                reference_texts=[_others(rows, name) for rows in references],
            )
            for name, written in texts.items()
        }
        results[length][MODEL]["examples"] = texts[MODEL][:5]
    return results


def _others(rows: Sequence[dict[str, Any]], method: str) -> list[str]:
    """References that a method is measured by; a reference not by itself."""
    texts = [row["text"] for row in rows]
    return texts[:-1] or texts if method == CEILING else texts


def floor_captions(train: Captioned, ops: Sequence[Sequence[str]], length: str) -> dict[str, list[str]]:
    """Captions that do not read the graph: the constant one, and that of the nearest training architecture.

    Args:
        train: the training split.
        ops: op types of each architecture that is captioned.
        length: of the captions.
    """
    step = max(1, len(train.split) // NEAREST_AMONG)
    known = [graph for graph in range(0, len(train.split), step) if train.of_length(length, graph)]
    texts = [train.of_length(length, graph)[0]["text"] for graph in known]
    known_ops = [list(train.split.facts[graph].graph.op_types) for graph in known]
    return {CONSTANT: [constant_caption(texts)] * len(ops), NEAREST: nearest_captions(known_ops, texts, ops)}


def captions_table(length: str, results: dict[str, dict[str, Any]], where: str) -> dict[str, Any]:
    """A table of results for captions of one length."""
    first = next(iter(results.values()))
    return {
        "title": f"AC on {where}, {length}",
        "data": f"{first['count']} architectures, one caption each",
        "rows": [
            {"method": name} | {label: round(figures[key], 2) for label, key in COLUMNS.items()}
            for name, figures in results.items()
        ],
    }


def wrong_claims(texts: Sequence[str], facts: Sequence[Any]) -> dict[str, tuple[int, int]]:
    """Claim type -> how many claims the captions make, and how many of them the graphs contradict."""
    from processing_archbert.caption_reading_archbert import read_sentences

    counts: dict[str, list[int]] = {}
    for text, known in zip(texts, facts, strict=True):
        claims = [claim for sentence in read_sentences(text) for claim in sentence.claims or ()]
        for claim in {json.dumps(claim, sort_keys=True): claim for claim in claims}.values():
            said = counts.setdefault(claim["type"], [0, 0])
            said[0] += 1
            said[1] += known.holds(claim).value is False
    return {name: (said, wrong) for name, (said, wrong) in sorted(counts.items())}
