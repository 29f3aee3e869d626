"""
Pre-trains ArchBERT: similarity of statements and architectures, and masked architecture modeling (paper, eq. 5).

Every statement of a step is compared with every architecture of the step, as far as its truth there is known; a
statement is learned from as many architectures of which it is true as of which it is false. Evaluated is architectural
reasoning: is this statement right about this architecture, one that was not trained on?

With no argument it takes archbert/autonet from the Hub, or generates a small AutoNet, and trains for ten minutes:

    accelerate launch examples/run_pretraining.py

On data of your own size (python -m dataset_scripts.autonet.generate_autonet --out data/autonet), for half an hour:

    accelerate launch examples/run_pretraining.py --data data/autonet --time_budget 1800 --output_dir runs/pretraining

With questions in the same steps, so that one encoding of an architecture serves both tasks:

    accelerate launch examples/run_pretraining.py --questions_per_step 32 --output_dir runs/joint

The paper's method, and a text side that is not new:

    accelerate launch examples/run_pretraining.py --preset paper --optimizer adam --learning_rate 2e-5
    accelerate launch examples/run_pretraining.py --preset small --text_encoder sentence-transformers/all-MiniLM-L6-v2

Two processes on CPUs, a GPU in bf16, and going on after an interruption:

    torchrun --nproc_per_node 2 examples/run_pretraining.py --cpu true
    accelerate launch --mixed_precision bf16 examples/run_pretraining.py
    accelerate launch examples/run_pretraining.py --save_steps 500 --resume true
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from blocks import Blocks, Split, find_data, load_split
from evaluation import (
    answer_logits,
    best_threshold,
    calibrate_answers,
    evaluate_statements,
    fit_logistic,
    held_out,
    reasoning_scores,
    similarities,
    text_only_scores,
)
from new_model import model_of, overrides_of
from training_loop import (
    Trainer,
    TrainingArguments,
    finish,
    make_accelerator,
    prepare,
    print_table,
    provenance,
)


@dataclass
class PreTrainingArguments(TrainingArguments):
    """Arguments of pre-training."""

    output_dir: str = field(default="runs/pretraining", metadata={"help": "where everything is written"})
    descriptions_per_step: int = field(default=48, metadata={"help": "statements of a block (per process)"})
    questions_per_step: int = field(default=0, metadata={"help": "questions of a block, to train answers as well"})
    mam_loss_weight: float | None = field(default=None, metadata={"help": "alpha of eq. 5; default: the preset's"})


def main(arguments: PreTrainingArguments) -> list[dict[str, Any]]:
    """Train, calibrate, evaluate and save; returns the tables of results."""
    accelerator = make_accelerator(arguments)
    prepare(arguments)

    ###############
    # Data
    ###############
    with accelerator.main_process_first():
        data = find_data(arguments.data, arguments.cache_dir, arguments.seed)
        train = load_split(data, "train", arguments.limit_train)
        validation = load_split(data, "validation", arguments.limit_validation)

    ###############
    # Model
    ###############
    overrides = overrides_of(arguments.overrides, mam_loss_weight=arguments.mam_loss_weight)
    model, processor = model_of(arguments, train.texts(), overrides)
    fold = arguments.preset != "paper" if arguments.fold is None else arguments.fold
    train.encode(processor, fold)
    validation.encode(processor, fold)
    fitted, kept = train.part(0, len(train) - held_out(train)), train.part(len(train) - held_out(train))

    ###############
    # Training
    ###############
    blocks = Blocks(
        fitted,
        processor,
        graphs=arguments.graphs_per_step,
        questions=arguments.questions_per_step,
        descriptions=arguments.descriptions_per_step,
        seed=arguments.seed,
        op_replacement=arguments.op_replacement,
    )
    trainer = Trainer(accelerator, model, blocks, arguments)
    trainer.train()
    model = trainer.unwrapped
    kept_rows = [row for row in kept.description_rows() if row["group"]]
    if trainer.state.step:
        calibrate(model, similarities(model, processor, kept.encodings, kept_rows, accelerator), kept_rows)
        if model.config.use_reasoning_head:
            logits = reasoning_scores(model, processor, kept.encodings, kept_rows, accelerator)
            model.config.reasoning_threshold = best_threshold(logits, labels_of(kept_rows))
        if arguments.questions_per_step:
            model.config.answer_scale, model.config.answer_bias = 1.0, 0.0
            logits = answer_logits(model, processor, kept.encodings, kept.question_rows(), accelerator)
            model.config.answer_scale, model.config.answer_bias = calibrate_answers(logits, kept.question_rows())

    ###############
    # Evaluation
    ###############
    results = evaluate_everything(model, processor, fitted, validation, accelerator)
    tables = [
        table(kind, results) | {
            "training_data": f"AutoNet, {len(fitted)} architectures; {len(kept)} more for the threshold.",
            "threshold": model.config.similarity_threshold,
            "reasoning_threshold": model.config.reasoning_threshold,
            "threshold_from": "matched statements of architectures of the train split that were not trained on",
            "steps": trainer.state.step,
            "training_seconds": round(trainer.state.seconds, 1),
            **provenance("run_pretraining.py", accelerator, arguments.seed),
            "results": {name: result[kind] for name, result in results.items()},
        }
        for kind in ("matched", "paper")
    ]  # fmt: skip
    finish(trainer, processor, arguments, tables)
    if accelerator.is_main_process:
        report(tables, arguments)
    return tables


def evaluate_everything(
    model: Any, processor: Any, train: Split, validation: Split, accelerator: Accelerator
) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures of every method on the statements of the validation split: the model's, and the floors."""
    rows, config = validation.description_rows(), model.config
    scores = similarities(model, processor, validation.encodings, rows, accelerator)
    results = {"ArchBERT, cosine": evaluate_statements(scores, rows, config.similarity_threshold, accelerator)}
    if config.use_reasoning_head:
        logits = reasoning_scores(model, processor, validation.encodings, rows, accelerator)
        results["ArchBERT, cross attention"] = evaluate_statements(
            logits, rows, config.reasoning_threshold, accelerator
        )
    words = text_only_scores(train.description_rows(), rows)
    results["text only (bag of words)"] = evaluate_statements(words, rows, 0.5, accelerator)
    results["always yes"] = evaluate_statements(np.ones(len(rows)), rows, 0.5, accelerator)
    return results


def calibrate(model: Any, scores: np.ndarray, rows: Sequence[dict[str, Any]]) -> None:
    """Write the calibration of the cosine into the config: the threshold is where the probability is one half."""
    truth = labels_of(rows)
    threshold = best_threshold(scores, truth)
    scale, _ = fit_logistic(scores - threshold, truth, scale=8.0, bias=0.0)
    model.config.similarity_threshold = threshold
    model.config.similarity_scale, model.config.similarity_bias = scale, -scale * threshold


def labels_of(rows: Sequence[dict[str, Any]]) -> np.ndarray:
    """Labels (rows,) of description rows."""
    return np.array([row["label"] for row in rows])


def table(kind: str, results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A table of results for one kind of negatives."""
    columns = {
        "group accuracy": "group_accuracy",
        "accuracy": "accuracy",
        "F1": "f1",
        "MCC": "mcc",
        "AUROC": "auroc",
        "AP": "average_precision",
    }
    first = next(iter(results.values()))[kind]
    negatives = {"matched": "matched negatives", "paper": "the paper's kind of negatives"}[kind]
    return {
        "title": f"AR on unseen AutoNet architectures, {negatives}",
        "data": f"{first['count']} statements, {first['prevalence']:.1f}% true, {first['groups']} groups",
        "rows": [
            {"method": name} | {label: _rounded(result[kind][key]) for label, key in columns.items()}
            for name, result in results.items()
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def report(tables: Sequence[dict[str, Any]], arguments: PreTrainingArguments) -> None:
    """Print the results and how to go on."""
    for one in tables:
        print_table(one)
    folder = arguments.output_dir
    print(f"""
Saved in {folder}. To go on:
  questions     accelerate launch examples/run_aqa.py --init_from {folder} --descriptions_per_step 16
  more training accelerate launch examples/run_pretraining.py --init_from {folder} --time_budget 1800 \\
                --output_dir {folder}-2""")


if __name__ == "__main__":
    main(HfArgumentParser(PreTrainingArguments).parse_args_into_dataclasses()[0])
