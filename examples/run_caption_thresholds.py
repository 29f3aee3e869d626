"""
Fits how likely the words of a claim have to be for a model to be sure of it (`claim_thresholds` of its config).

    python examples/run_caption_thresholds.py --init_from hub/models/archbert-small --output_dir runs/thresholds
    python examples/run_caption_thresholds.py --data hub/datasets/tvhf,data/autonet --skip 150 --limit 300

The model writes captions of networks of `validation`, which it was not trained on. For each type of claim a logistic
curve says how often a claim is true whose words are so likely. The surest claims of all types are let through, as many
as leave the wanted part true; where that cuts the curve of a type is its threshold. What is left of captions of other
networks is measured by run_captioning.py.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from calibration import fit_logistic
from caption_evaluation import write_captions
from captions import LENGTHS
from run_captioning import load_captioned

from modeling_archbert import ArchBertForPreTraining
from processing_archbert import ArchBertProcessor
from processing_archbert.caption_sureness_archbert import claims_with_log_probs
from training_loop import print_table, provenance


@dataclass
class ThresholdArguments:
    """Arguments of the fit."""

    init_from: str = field(default="hub/models/archbert-small", metadata={"help": "checkpoint with a decoder"})
    output_dir: str = field(default="runs/thresholds", metadata={"help": "where the checkpoint is written"})
    data: str = field(default="hub/datasets/tvhf", metadata={"help": "folders of TVHF or AutoNet, with commas"})
    split: str = field(default="validation", metadata={"help": "of the data"})
    skip: int = field(default=0, metadata={"help": "so many of AutoNet's first networks are left for evaluation"})
    limit: int | None = field(default=None, metadata={"help": "up to this network of each"})
    precision: float = field(default=0.985, metadata={"help": "part of the claims that is to be true"})
    cache_dir: str = field(default="~/.cache/archbert", metadata={"help": "where graph tokens are kept"})
    threads: int | None = field(default=None, metadata={"help": "threads of torch"})
    cpu: bool = field(default=False, metadata={"help": "leave a GPU alone"})


class SaidClaim(NamedTuple):
    """Type of a claim, the log probability of its words, and whether the graph shows it."""

    kind: str
    log_prob: float
    holds: bool


def main(arguments: ThresholdArguments) -> dict[str, Any]:
    """Write, fit, report and save; returns the table."""
    if not 0 < arguments.precision <= 1:
        raise ValueError(f"precision is {arguments.precision}; a part, above 0 and up to 1, is allowed")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    accelerator = Accelerator(cpu=arguments.cpu)
    model: Any = ArchBertForPreTraining.from_pretrained(arguments.init_from, dtype=torch.float32)
    processor = ArchBertProcessor.from_pretrained(arguments.init_from)
    model.to(accelerator.device)
    found = [claim for source in arguments.data.split(",")
             for claim in said_claims(model, processor, source.strip(), arguments, accelerator)]  # fmt: skip
    thresholds = fit_thresholds(found, arguments.precision)
    table = {
        "title": "How sure a caption has to be of what it claims",
        "data": f"{arguments.data}, {arguments.split}: {len(found)} claims",
        "rows": rows_of(found, thresholds),
        **provenance("run_caption_thresholds.py", accelerator, 0),
    }
    model.config.claim_thresholds = thresholds
    model.save_pretrained(arguments.output_dir)
    processor.save_pretrained(arguments.output_dir)
    path = Path(arguments.output_dir) / "claim_thresholds.json"
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print_table(table)
    print(f"\nSaved in {arguments.output_dir}; see run_captioning.py --init_from {arguments.output_dir} --max_steps 0")
    return table


def said_claims(
    model: Any, processor: Any, source: str, arguments: ThresholdArguments, accelerator: Accelerator
) -> list[SaidClaim]:
    """The claims of captions of all lengths, of the networks of a data set that are fitted on."""
    cache = str(Path(arguments.cache_dir).expanduser())
    data = load_captioned(source, arguments.split, arguments.limit, cache)
    first = 0 if (Path(source) / "clones").is_dir() else arguments.skip
    told = data.told()[first:]
    if not told:
        raise ValueError(f"{source}, {arguments.split}: no network is left to fit on; --skip is {arguments.skip}")
    data.split.encode(processor, True)
    encodings = [data.split.encodings[graph] for graph in told]
    found = []
    for length in LENGTHS:
        written = write_captions(model, processor, encodings, length, 1, accelerator, scored=True)
        for graph, one in zip(told, written, strict=True):
            assert one.pieces is not None
            for claim, log_prob in claims_with_log_probs(one.text, one.pieces):
                holds = data.split.facts[graph].holds(claim).value
                if holds is not None:
                    found.append(SaidClaim(str(claim["type"]), log_prob, bool(holds)))
    return found


def fit_thresholds(claims: Sequence[SaidClaim], precision: float) -> dict[str, float]:
    """Type of claim -> least log probability at which a claim is sure enough; types that are always sure have none.

    Args:
        claims: of networks that were not trained on.
        precision: part of the claims of all types that is to be true.
    """
    curves, sureness = {}, np.zeros(len(claims))
    truth, log_probs = (np.array([getattr(claim, name) for claim in claims]) for name in ("holds", "log_prob"))
    kinds = np.array([claim.kind for claim in claims])
    start = _logit((truth.sum() + 1) / (len(claims) + 2))
    for kind in sorted(set(kinds.tolist())):
        chosen = kinds == kind
        curves[kind] = fit_logistic(log_probs[chosen], truth[chosen], scale=0.5, bias=start)
        sureness[chosen] = curves[kind][0] * log_probs[chosen] + curves[kind][1]
    order = np.argsort(-sureness, kind="stable")
    right = np.cumsum(truth[order]) / np.arange(1, len(claims) + 1)
    last = np.diff(sureness[order], append=-np.inf) < 0  # of those that are as sure
    good = np.flatnonzero((right >= precision) & last)
    least = sureness[order[good[-1]]] if len(good) else np.inf
    return {
        kind: min(0.0, round(float((least - bias) / scale) - 5e-5, 4))
        for kind, (scale, bias) in curves.items()
        if sureness[kinds == kind].min() < least
    }


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def rows_of(claims: Iterable[SaidClaim], thresholds: dict[str, float]) -> list[dict[str, Any]]:
    """A row for each type of claim, the most frequent first: how many are true, and how many are left."""
    by_kind: dict[str, list[SaidClaim]] = defaultdict(list)
    for claim in claims:
        by_kind[claim.kind].append(claim)
    rows = []
    for kind, several in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        kept = [claim for claim in several if claim.log_prob >= thresholds.get(kind, -np.inf)]
        least = thresholds.get(kind)
        rows.append({
            "claim": kind, "said": len(several), "true": _percent(several), "threshold": least, "left": len(kept),
            "true of those": _percent(kept),
        })  # fmt: skip
    return rows


def _percent(claims: list[SaidClaim]) -> float | None:
    return round(100 * float(np.mean([claim.holds for claim in claims])), 1) if claims else None


if __name__ == "__main__":
    main(HfArgumentParser(ThresholdArguments).parse_args_into_dataclasses()[0])
