"""
Evaluates question answering (AQA) on real networks of unseen clusters; fine-tunes for it where steps are given.

    accelerate launch examples/run_real_aqa.py --init_from hub/models/archbert-mini --output_dir runs/real-aqa
    accelerate launch examples/run_real_aqa.py --init_from runs/multitask --max_steps 500 --output_dir runs/tuned

The questions are those of AutoNet, asked of real networks; an answer is right where its set is the true set. The table
shows the mean over question types, beside what the question alone gives away and what is computed of the graph.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from calibration import calibrate_answers
from real_evaluation import RealTask, RealTaskArguments, close_task, open_task, table_of

from dataset_scripts.tvhf.metrics_tvhf import question_metrics
from evaluation import answer_logits, given_answers

MODEL = "ArchBERT"
COLUMNS = ("macro", "micro")


@dataclass
class RealAqaArguments(RealTaskArguments):
    """Arguments of question answering on real networks."""

    output_dir: str = field(default="runs/real-aqa", metadata={"help": "where everything is written"})
    statements_per_step: int = field(default=8, metadata={"help": "statements of a block"})
    questions_per_step: int = field(default=24, metadata={"help": "questions of a block"})


def main(arguments: RealAqaArguments) -> list[dict[str, Any]]:
    """Fine-tune if asked to, evaluate and save; returns a table for each split."""
    task = open_task(arguments, mam_loss_weight=0.0, clone_loss_weight=0.0, answer_loss_weight=30.0)
    if task.trainer is not None:
        config, rows = task.model.config, asked(task, "validation")
        config.answer_scale, config.answer_bias = 1.0, 0.0
        config.answer_scale, config.answer_bias = calibrate_answers(logits_of(task, "validation", rows), rows)
    tables = []
    for split in task.splits:
        rows = asked(task, split)
        given = given_answers(logits_of(task, split, rows))
        right = [float(set(one) == set(row["answers"])) for one, row in zip(given, rows, strict=True)]
        figures = question_metrics(right, rows, task.clusters)
        title = f"AQA on real networks, {split}"
        tables.append(table_of(task, "run_real_aqa.py", title, "aqa", split, "all", {MODEL: figures}, COLUMNS))
    return close_task(task, tables)


def asked(task: RealTask, split: str) -> list[dict[str, Any]]:
    """Questions of a split, each with `graph`, the number of its architecture."""
    index = task.networks(split).index
    return [{**row, "graph": index[row["arch_id"]]} for row in task.rows("aqa", split)]


def logits_of(task: RealTask, split: str, rows: list[dict[str, Any]]) -> Any:
    """Calibrated logits (rows, answers)."""
    encodings = task.networks(split).split.encodings
    return answer_logits(task.model, task.processor, encodings, rows, task.accelerator)


if __name__ == "__main__":
    main(HfArgumentParser(RealAqaArguments).parse_args_into_dataclasses()[0])
