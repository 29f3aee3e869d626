"""
Trains one model on all tasks, on AutoNet and on the real networks of TVHF, and saves every head in one folder.

Each step is a block of one task, drawn by weight:

* `answers`: questions about generated networks (AQA);
* `statements`: matched statements about generated networks (AR by the reasoning head, similarity by the cosine);
* `real`: statements, queries and questions about real networks, and which of these are alike (AR, AS, AQA, ACD);
* `captions`, `real_captions`: descriptions of generated and of real networks to write (AC); a model that has no
  decoder gets one when one of them has a weight.

Masked architecture modeling is part of every step. A new model takes its text side from a sentence encoder:

    accelerate launch examples/run_multitask.py --preset small --text_encoder sentence-transformers/all-MiniLM-L6-v2 \\
        --data data/autonet --real_data hub/datasets/tvhf --time_budget 3600 --mixed_precision bf16

At the size of `mini`, from what it has learned before, and going on after an interruption:

    accelerate launch examples/run_multitask.py --init_from hub/models/archbert-mini --output_dir runs/mini \\
        --task_weights '{"answers": 1, "statements": 2, "real": 3, "captions": 1, "real_captions": 1}'
    accelerate launch examples/run_multitask.py --output_dir runs/multitask --save_steps 200 --resume true

Then, each on its test set: run_reasoning.py, run_clone_detection.py, run_search.py, run_aqa.py --max_steps 0.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from calibration import held_out
from captions import add_decoder, caption_rows
from multitask import REAL_CLAIM_TYPES, BlockMaker, CaptionBlocks, Mixture, RealBlocks
from multitask_loop import MultitaskTrainer, add_claim_types, calibrate_all, optimizer_of, take_parameters, train_only
from real_networks import RealNetworks, load_real

from blocks import Blocks, Split, find_data, load_rows, load_split
from new_model import model_of, overrides_of
from reading import TextRows
from training_loop import TrainingArguments, finish, make_accelerator, prepare, print_table, provenance

CAPTION_TASKS = ("captions", "real_captions")


@dataclass
class MultitaskArguments(TrainingArguments):
    """Arguments of the training of several tasks."""

    output_dir: str = field(default="runs/multitask", metadata={"help": "where everything is written"})
    preset: str = field(default="small", metadata={"help": "sizes and method of a new model: paper, small or mini"})
    real_data: str = field(default="hub/datasets/tvhf", metadata={"help": "folder of TVHF"})
    task_weights: str = field(
        default='{"answers": 1, "statements": 1, "real": 1}',
        metadata={"help": "JSON object: how often a step is of each task; a task that is left out is not trained"},
    )
    questions_per_step: int = field(default=32, metadata={"help": "questions of a block of answers"})
    descriptions_per_step: int = field(default=48, metadata={"help": "statements of a block of statements"})
    longest_description: int | None = field(
        default=200, metadata={"help": "leave out descriptions with more characters"}
    )
    real_graphs_per_step: int = field(default=24, metadata={"help": "real networks of a block"})
    real_statements_per_step: int = field(default=40, metadata={"help": "statements about real networks of a block"})
    real_questions_per_step: int = field(default=8, metadata={"help": "questions about real networks of a block"})
    captions_per_step: int = field(default=16, metadata={"help": "captions of a block"})
    made_share: float = field(default=0.5, metadata={"help": "part of the statements that are made of facts"})
    text_learning_rate: float = field(
        default=0.25,
        metadata={"help": "learning rate of the encoder that text and graphs share, as a part of the others'"},
    )
    freeze_words: bool = field(default=True, metadata={"help": "keep the word embeddings of a text encoder"})
    train_only: str | None = field(
        default=None,
        metadata={"help": "beginnings of parameter names, with commas (answer_head.,decoder.); others stay"},
    )
    parameters_from: str | None = field(
        default=None, metadata={"help": "checkpoint of which parameters of the same name and shape are taken"}
    )
    mam_loss_weight: float = field(default=0.02, metadata={"help": "alpha of eq. 5"})
    contrastive_loss_weight: float = field(default=0.3, metadata={"help": "of choosing among the networks of a step"})


def main(arguments: MultitaskArguments) -> list[dict[str, Any]]:
    """Train, calibrate on what was kept from training, and save; returns a table of the losses."""
    accelerator = make_accelerator(arguments)
    prepare(arguments)

    ###############
    # Data
    ###############
    with accelerator.main_process_first():
        data = find_data(arguments.data, arguments.cache_dir, arguments.seed)
        train = load_split(data, "train", arguments.limit_train, arguments.cache_dir)
        real, real_kept = (
            load_real(arguments.real_data, name, arguments.cache_dir) for name in ("train", "validation")
        )

    ###############
    # Model
    ###############
    model, processor = model_of(arguments, train.texts(), model_overrides(arguments))
    add_claim_types(model, REAL_CLAIM_TYPES)
    if arguments.parameters_from:
        take_parameters(model, arguments.parameters_from)
    if arguments.freeze_words and arguments.text_encoder:
        model.get_input_embeddings().requires_grad_(False)
    weights = weights_of(arguments.task_weights)
    captions = caption_sources(arguments, data, real) if any(weights.get(task) for task in CAPTION_TASKS) else {}
    if captions:
        texts = (row["text"] for rows in captions.values() for row in rows.rows())
        add_decoder(model, processor, texts, arguments.preset)
    if arguments.train_only:
        train_only(model, arguments.train_only.split(","))
    fold = arguments.preset != "paper" if arguments.fold is None else arguments.fold
    with accelerator.main_process_first():
        for split in (train, real.split, real_kept.split):
            split.encode(processor, fold)
    kept, fitted = train.part(0, held_out(train)), train.part(held_out(train))

    ###############
    # Training
    ###############
    makers = make_blocks(arguments, fitted, real, processor)
    for task, split, rows in (
        ("captions", fitted, captions.get("captions")),
        ("real_captions", real.split, captions.get("real_captions")),
    ):
        if rows is not None:
            graphs = max(1, arguments.captions_per_step // 2)
            makers[task] = CaptionBlocks(
                split.encodings, rows[len(rows) - len(split) :], processor, model.config, graphs=graphs,
                captions=arguments.captions_per_step, seed=arguments.seed,
            )  # fmt: skip
    mixture = Mixture(makers, weights, arguments.seed)
    optimizer = optimizer_of(model, arguments, arguments.text_learning_rate)
    trainer = MultitaskTrainer(accelerator, model, mixture, arguments, optimizer)
    trainer.train()
    model = trainer.unwrapped
    if trainer.state.step:
        calibrate_all(model, processor, kept, real_kept, accelerator)

    ###############
    # Results
    ###############
    table = losses_table(trainer, accelerator, arguments)
    finish(trainer, processor, arguments, [table])
    if accelerator.is_main_process:
        print_table(table)
        print(f"\nSaved in {arguments.output_dir}; see run_reasoning.py, run_clone_detection.py, run_search.py")
    return [table]


def model_overrides(arguments: MultitaskArguments) -> dict[str, Any]:
    """Fields of the config that this training sets."""
    named = {name: getattr(arguments, name) for name in ("mam_loss_weight", "contrastive_loss_weight")}
    return overrides_of(arguments.overrides, **named)


def weights_of(text: str) -> dict[str, float]:
    """Weights of the tasks, from JSON.

    Raises:
        ValueError: the text is no JSON object of numbers.
    """
    try:
        weights = json.loads(text)
        return {str(task): float(weight) for task, weight in weights.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"--task_weights is {text}; a JSON object is needed, such as '{{\"real\": 1}}'") from error


def caption_sources(arguments: MultitaskArguments, data: str, real: RealNetworks) -> dict[str, TextRows]:
    """Captions of the training architectures of both data sets, by task."""
    arch_ids = load_rows(data, "architectures", "train")["arch_id"][: arguments.limit_train]
    return {
        "captions": caption_rows(data, "train", arch_ids),
        "real_captions": caption_rows(arguments.real_data, "train", list(real.index)),
    }


def make_blocks(
    arguments: MultitaskArguments, fitted: Split, real: RealNetworks, processor: Any
) -> dict[str, BlockMaker]:
    """What makes the blocks of each task but captions."""
    common: dict[str, Any] = {"seed": arguments.seed, "op_replacement": arguments.op_replacement}
    graphs = arguments.graphs_per_step
    return {
        "answers": Blocks(
            fitted, processor, graphs=max(1, graphs // 2), questions=arguments.questions_per_step, **common
        ),
        "statements": Blocks(
            fitted, processor, graphs=graphs, descriptions=arguments.descriptions_per_step,
            longest=arguments.longest_description, **common,
        ),
        "real": RealBlocks(
            real, processor, graphs=arguments.real_graphs_per_step, statements=arguments.real_statements_per_step,
            questions=arguments.real_questions_per_step, made=arguments.made_share, **common,
        ),
    }  # fmt: skip


def losses_table(trainer: MultitaskTrainer, accelerator: Accelerator, arguments: MultitaskArguments) -> dict[str, Any]:
    """The mean of each part of the loss over the first and over the last tenth of the steps, by task."""
    return {
        "title": "Losses of the training of several tasks",
        "data": f"AutoNet and TVHF, {trainer.state.step} steps",
        "rows": trainer.loss_rows() or [{"loss": "none", "first tenth": None, "last tenth": None}],
        "steps": trainer.state.step,
        "training_seconds": round(trainer.state.seconds, 1),
        **provenance("run_multitask.py", accelerator, arguments.seed),
    }


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")
    main(HfArgumentParser(MultitaskArguments).parse_args_into_dataclasses()[0])
