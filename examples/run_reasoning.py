"""
Evaluates architectural reasoning (AR) on real networks of unseen clusters; fine-tunes for it where steps are given.

    accelerate launch examples/run_reasoning.py --init_from hub/models/archbert-mini --output_dir runs/ar
    accelerate launch examples/run_reasoning.py --init_from runs/multitask --eval_splits test,test_new
    accelerate launch examples/run_reasoning.py --init_from runs/multitask --max_steps 500 --output_dir runs/ar-tuned
    accelerate launch examples/run_reasoning.py --eval_splits test_human --packages OTHER/lib/python3.11/site-packages

Statements are matched: each is asked of a network of which it is true and of one of which it is false, and a group is
right where both are. The headline is of statements about structure and size. Both ways of the model are measured, the
cosine and, where it has one, the reasoning head, each with the threshold that is best on `validation`; and the
product, as the demo judges statements (`archbert.verification.statement_evidence`): what the graph shows of one
decides it or is added to what the model makes of it; right is what is more likely than not.

`test_human` are sentences that people wrote in docstrings of installed packages, about networks of every split,
without and with names of models in them; what a package that is not installed says is left out.
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
from real_networks import RealNetworks

from dataset_scripts.tvhf.metrics_tvhf import description_metrics
from dataset_scripts.tvhf.statement_floors_tvhf import HUMAN, HUMAN_NAMED, human_rows
from evaluation import reasoning_scores, similarities

COSINE, HEAD, BOTH = "ArchBERT, cosine", "ArchBERT, reasoning head", "ArchBERT, both"
PRODUCT = "ArchBERT, product"
COLUMNS = ("group_accuracy", "accuracy", "F1", "MCC", "AUROC", "AP")
SPLITS = "validation,test,test_seen_sentence"


@dataclass
class ReasoningArguments(RealTaskArguments):
    """Arguments of reasoning."""

    output_dir: str = field(default="runs/reasoning", metadata={"help": "where everything is written"})
    eval_splits: str = field(default=SPLITS, metadata={"help": "splits of descriptions, or test_human, with commas"})
    packages: str = field(default="", metadata={"help": "site-packages of other environments, for test_human"})


def main(arguments: ReasoningArguments) -> list[dict[str, Any]]:
    """Fine-tune if asked to, evaluate and save; returns a table for each split and kind of statement."""
    task = open_task(arguments, mam_loss_weight=0.0, clone_loss_weight=0.0)
    kept_rows = task.rows("descriptions", "validation")
    thresholds = thresholds_of(scores_of(task, "validation", kept_rows), kept_rows) | {PRODUCT: 0.0}
    tables = []
    for split, rows in statements_of(task).items():
        scores = scores_of(task, split, rows)
        by_method = {name: description_metrics(values, rows, thresholds[name], task.clusters)
                     for name, values in scores.items()}  # fmt: skip
        for part in next(iter(by_method.values())):
            tables.append(table_of(
                task, "run_reasoning.py", f"AR on real networks, {split}, {part}", "descriptions", split, part,
                {name: parts[part] for name, parts in by_method.items()}, COLUMNS,
            ))  # fmt: skip
    return close_task(task, tables)


def statements_of(task: RealTask) -> dict[str, list[dict[str, Any]]]:
    """Split -> its statements; sentences that people wrote are two splits, without and with names of models.

    Raises:
        ValueError: no sentence of people can be read.
    """
    found = {}
    for split in task.splits:
        if split != HUMAN:
            found[split] = task.rows("descriptions", split)
            continue
        arguments: Any = task.arguments
        packages = [Path(folder) for folder in arguments.packages.split(",") if folder]
        people = human_rows(Path(arguments.real_data), packages)
        if not people:
            raise ValueError(f"no sentence of {HUMAN} can be read; install the packages that it names, or --packages")
        for name, named in ((HUMAN, False), (HUMAN_NAMED, True)):
            found[name] = [row for row in people if row["mentions_name"] == named]
    return {split: rows for split, rows in found.items() if rows}


def scores_of(task: RealTask, split: str, rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Scores of every row, float (n,), by each way of the model that it has."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row["split_of_architecture"] if split in (HUMAN, HUMAN_NAMED) else split, []).append(place)
    found: dict[str, np.ndarray] = {}
    for part, chosen in places.items():
        for name, values in _scores(task, task.networks(part), [rows[place] for place in chosen]).items():
            found.setdefault(name, np.zeros(len(rows)))[chosen] = values
    return found


def _scores(task: RealTask, networks: RealNetworks, rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    asked = [{**row, "graph": networks.index[row["arch_id"]]} for row in rows]
    given = (task.model, task.processor, networks.split.encodings, asked, task.accelerator)
    found = {COSINE: similarities(*given)}
    if task.model.config.use_reasoning_head:
        found[HEAD] = reasoning_scores(*given)
        found[BOTH] = found[HEAD] + _calibrated(task.model.config, found[COSINE])
    config = task.model.config
    judged = judged_log_odds(config, found[HEAD]) if HEAD in found else _calibrated(config, found[COSINE])
    found[PRODUCT] = judged + task.evidence(networks, rows)
    return found


def _calibrated(config: Any, cosines: np.ndarray) -> np.ndarray:
    """Logits of the cosine where the config has its calibration, else the cosine itself."""
    if config.similarity_scale is None or config.similarity_bias is None:
        return cosines
    return cosines * config.similarity_scale + config.similarity_bias


if __name__ == "__main__":
    main(HfArgumentParser(ReasoningArguments).parse_args_into_dataclasses()[0])
