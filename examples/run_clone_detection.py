"""
Evaluates clone detection on real networks of unseen clusters: pairs by themselves (ACD) and with a text (BACD).

    accelerate launch examples/run_clone_detection.py --init_from hub/models/archbert-mini --output_dir runs/clones
    accelerate launch examples/run_clone_detection.py --init_from runs/multitask --max_steps 300 --output_dir runs/acd

The score of a pair is the cosine of its embeddings; with a text, the mean of the cosines of the text with both, or how
likely the reasoning head finds the text right about both. The product, as in the demo, adds what the graphs show, and
asks that the text is more likely than not to be right about each. A checkpoint of a training that has seen no pairs is
evaluated zero-shot. `calibrated` has the threshold of the config of the checkpoint, which the pipeline uses; the other
row has the one that is best on `validation`, as all floors have (Weisfeiler-Lehman similarity and Jaccard index among
them).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from real_evaluation import (
    RealTask,
    RealTaskArguments,
    close_task,
    judged_log_odds,
    open_task,
    table_of,
    thresholds_of,
)
from real_networks import pair_scores

from dataset_scripts.tvhf.metrics_tvhf import bimodal_metrics, clone_metrics
from evaluation import reasoning_scores

TUNED, CALIBRATED = "ArchBERT, best threshold on validation", "ArchBERT, calibrated"
PAPER, PAPER_THRESHOLD = "ArchBERT, the paper's threshold", 0.5
HEAD, PRODUCT = "ArchBERT, reasoning head", "ArchBERT, product"
PRODUCT_TUNED = "ArchBERT, product, best threshold on validation"
COLUMNS = ("F1", "accuracy", "MCC", "AUROC", "AP", "threshold")
TASKS = {
    "clones": ("ACD on real networks", clone_metrics, "clone_threshold"),
    "bimodal_clones": ("BACD on real networks", bimodal_metrics, "bimodal_clone_threshold"),
}


@dataclass
class CloneArguments(RealTaskArguments):
    """Arguments of clone detection."""

    output_dir: str = field(default="runs/clones", metadata={"help": "where everything is written"})
    statements_per_step: int = field(default=4, metadata={"help": "statements of a block, beside its pairs"})
    paired_share: float = field(
        default=1.0, metadata={"help": "part of the blocks that are made of labelled pairs, not of families"}
    )


def main(arguments: CloneArguments) -> list[dict[str, Any]]:
    """Fine-tune if asked to, evaluate and save; returns a table for each config, split and part."""
    task = open_task(arguments, mam_loss_weight=0.0, reasoning_loss_weight=0.0)
    tables = []
    for config, (title, measure, calibrated) in TASKS.items():
        kept = task.rows(config, "validation")
        thresholds = thresholds_of(scores_of(task, config, "validation", kept), kept)
        if task.trainer is not None:
            setattr(task.model.config, calibrated, thresholds[TUNED])
        if (stored := getattr(task.model.config, calibrated)) is not None:
            thresholds[CALIBRATED] = stored
        thresholds[PAPER] = PAPER_THRESHOLD
        if PRODUCT in thresholds:
            thresholds[PRODUCT] = 0.0
        for split in task.splits:
            rows = task.rows(config, split)
            scores = scores_of(task, config, split, rows)
            scores[CALIBRATED] = scores[PAPER] = scores[TUNED]
            found = {
                name: measure(scores[name], rows, threshold, task.clusters) for name, threshold in thresholds.items()
            }
            for part in found[TUNED]:
                tables.append(table_of(
                    task, "run_clone_detection.py", f"{title}, {split}, {part}", config, split, part,
                    {name: parts[part] for name, parts in found.items()}, COLUMNS,
                ))  # fmt: skip
    return close_task(task, tables)


def scores_of(task: RealTask, config: str, split: str, rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Scores of every pair, float (n,): by the cosine and, where there is a text and a head that judges it, by that.

    The head says how likely the text is right about both, the product the lesser log odds, with what the graphs show.
    """
    networks = task.networks(split)
    found = {TUNED: pair_scores(task.model, task.processor, networks, rows)}
    if config == "bimodal_clones" and task.model.config.use_reasoning_head:
        keys = ("arch_id_a", "arch_id_b")
        asked = [{"text": row["text"], "graph": networks.index[row[key]]} for key in keys for row in rows]
        logits = reasoning_scores(task.model, task.processor, networks.split.encodings, asked, task.accelerator)
        found[HEAD] = -np.logaddexp(0.0, -logits.reshape(2, -1)).sum(axis=0)
        named = [{"text": row["text"], "arch_id": row[key]} for key in keys for row in rows]
        judged = judged_log_odds(task.model.config, logits) + task.evidence(networks, named)
        found[PRODUCT] = found[PRODUCT_TUNED] = judged.reshape(2, -1).min(axis=0)
    return found


if __name__ == "__main__":
    main(HfArgumentParser(CloneArguments).parse_args_into_dataclasses()[0])
