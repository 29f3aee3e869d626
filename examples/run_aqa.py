"""
Trains architectural question answering on AutoNet and evaluates it (paper, section 3.2 and Table 2).

With no argument it takes archbert/autonet from the Hub, or generates a small AutoNet, trains for ten minutes,
evaluates, saves, and prints how to go on:

    accelerate launch examples/run_aqa.py

On data of your own size (python -m dataset_scripts.autonet.generate_autonet --out data/autonet), for half an hour:

    accelerate launch examples/run_aqa.py --data data/autonet --time_budget 1800 --output_dir runs/aqa

From a pre-trained checkpoint, with statements in the same steps so that the similarity is not forgotten:

    accelerate launch examples/run_aqa.py --init_from runs/pretraining --descriptions_per_step 16 --output_dir runs/aqa

The fusion of the paper in the same budget, and the paper's whole method:

    accelerate launch examples/run_aqa.py --fusion product --use_copy false --output_dir runs/aqa-product
    accelerate launch examples/run_aqa.py --preset paper --optimizer adam --learning_rate 2e-5 --output_dir runs/paper

Evaluate a checkpoint on sixty real networks that no one trained on, or on cell styles that training has not:

    accelerate launch examples/run_aqa.py --init_from runs/aqa --max_steps 0 --eval_on zoo --output_dir runs/aqa-zoo
    accelerate launch examples/run_aqa.py --init_from runs/aqa --max_steps 0 --eval_split test --output_dir runs/test

Two processes on CPUs, a GPU in bf16, and going on after an interruption:

    torchrun --nproc_per_node 2 examples/run_aqa.py --cpu true
    accelerate launch --mixed_precision bf16 examples/run_aqa.py --attn_implementation eager
    accelerate launch examples/run_aqa.py --output_dir runs/aqa --save_steps 500 --resume true
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from calibration import calibrate_answers, held_out

from blocks import Blocks, Split, find_data, load_split
from evaluation import UNSEEN, QuestionPrior, answer_logits, answers_table, evaluate_answers
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
from zoo import zoo_graphs, zoo_questions


@dataclass
class AqaArguments(TrainingArguments):
    """Arguments of question answering."""

    output_dir: str = field(default="runs/aqa", metadata={"help": "where everything is written"})
    questions_per_step: int = field(default=48, metadata={"help": "questions of a block (per process)"})
    descriptions_per_step: int = field(default=0, metadata={"help": "statements of a block, to train the similarity"})
    fusion: Literal["product", "cross_attention"] | None = field(
        default=None, metadata={"help": "how question and architecture meet; default: the preset's"}
    )
    use_copy: bool | None = field(default=None, metadata={"help": "score answers by the nodes that they speak of"})
    mam_loss_weight: float = field(default=0.0, metadata={"help": "alpha of masked architecture modeling"})
    eval_on: Literal["validation", "zoo", "both"] = field(
        default="validation", metadata={"help": "unseen generated architectures, real networks, or both"}
    )


def main(arguments: AqaArguments) -> list[dict[str, Any]]:
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
    named = {name: getattr(arguments, name) for name in ("fusion", "use_copy", "mam_loss_weight")}
    overrides = overrides_of(arguments.overrides, **named)
    model, processor = model_of(arguments, train.texts(), overrides)
    fold = arguments.preset != "paper" if arguments.fold is None else arguments.fold
    with accelerator.main_process_first():
        train.encode(processor, fold)
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
    if trainer.state.step:
        model.config.answer_scale, model.config.answer_bias = 1.0, 0.0
        logits = answer_logits(model, processor, kept.encodings, kept.question_rows(), accelerator)
        model.config.answer_scale, model.config.answer_bias = calibrate_answers(logits, kept.question_rows())

    ###############
    # Evaluation
    ###############
    prior = QuestionPrior(train.each_question())
    tables = []
    for name in ("validation", "zoo"):
        if arguments.eval_on in (name, "both"):
            split, rows, title = evaluation_data(name, validation, arguments)
            logits = answer_logits(model, processor, split.encode(processor, fold).encodings, rows, accelerator)
            result = evaluate_answers(logits, rows, prior, accelerator)
            tables.append(answers_table(title, result, model.config) | {
                "data": f"{len(split)} architectures, {len(rows)} questions",
                "training_data": f"AutoNet, {len(fitted)} architectures; {len(kept)} more for the calibration.",
                "steps": trainer.state.step,
                "training_seconds": round(trainer.state.seconds, 1),
                **provenance("run_aqa.py", accelerator, arguments.seed),
                **result,
            })  # fmt: skip
    finish(trainer, processor, arguments, tables)
    if accelerator.is_main_process:
        report(tables, arguments)
    return tables


def evaluation_data(name: str, validation: Split, arguments: AqaArguments) -> tuple[Split, list[dict[str, Any]], str]:
    """Architectures, question rows and a title."""
    if name == "validation":
        return validation, validation.question_rows(), f"AQA on {UNSEEN[arguments.eval_split]}"
    graphs = [graph for _, graph in zoo_graphs(arguments.cache_dir)]
    return Split.of_graphs(graphs), zoo_questions(graphs), "AQA on real networks, never trained on"


def report(tables: Sequence[dict[str, Any]], arguments: AqaArguments) -> None:
    """Print the results and how to go on."""
    for one in tables:
        print_table(one)
    folder = arguments.output_dir
    print(f"""
Saved in {folder}. To go on:
  ask it        python -c "from archbert import pipeline; answer = pipeline(model='{folder}'); \\
                print(answer({{'architecture': 'resnet', 'question': 'Which pooling is used?'}}))"
  real networks accelerate launch examples/run_aqa.py --init_from {folder} --max_steps 0 --eval_on zoo \\
                --output_dir {folder}-zoo
  more training accelerate launch examples/run_aqa.py --init_from {folder} --time_budget 1800 --output_dir {folder}-2
  publish it    python -m archbert.release --checkpoint {folder} --name NAME""")


if __name__ == "__main__":
    main(HfArgumentParser(AqaArguments).parse_args_into_dataclasses()[0])
