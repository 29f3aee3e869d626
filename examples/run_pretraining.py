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

from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from calibration import calibrate_answers, calibrate_reasoning, calibrate_similarity, held_out

from blocks import Blocks, find_data, load_split
from evaluation import answer_logits, evaluate_reasoning, reasoning_scores, similarities, statements_table
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
        train = load_split(data, "train", arguments.limit_train, arguments.cache_dir)
        validation = load_split(data, arguments.eval_split, arguments.limit_validation, arguments.cache_dir)

    ###############
    # Model
    ###############
    overrides = overrides_of(arguments.overrides, mam_loss_weight=arguments.mam_loss_weight)
    model, processor = model_of(arguments, train.texts(), overrides)
    fold = arguments.preset != "paper" if arguments.fold is None else arguments.fold
    with accelerator.main_process_first():
        train.encode(processor, fold)
        validation.encode(processor, fold)
    kept, fitted = train.part(0, held_out(train)), train.part(held_out(train))

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
        calibrate_similarity(model, similarities(model, processor, kept.encodings, kept_rows, accelerator), kept_rows)
        if model.config.use_reasoning_head:
            logits = reasoning_scores(model, processor, kept.encodings, kept_rows, accelerator)
            calibrate_reasoning(model, logits, kept_rows)
        if arguments.questions_per_step:
            model.config.answer_scale, model.config.answer_bias = 1.0, 0.0
            logits = answer_logits(model, processor, kept.encodings, kept.question_rows(), accelerator)
            model.config.answer_scale, model.config.answer_bias = calibrate_answers(logits, kept.question_rows())

    ###############
    # Evaluation
    ###############
    results = evaluate_reasoning(model, processor, fitted, validation, accelerator)
    tables = [
        statements_table(kind, results, arguments.eval_split) | {
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
        if all(kind in result for result in results.values())  # fewer than 5 networks have no matched statements
    ]  # fmt: skip
    finish(trainer, processor, arguments, tables)
    if accelerator.is_main_process:
        report(tables, arguments)
    return tables


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
