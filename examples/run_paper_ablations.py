"""
Trains and evaluates the counterparts of the paper's Tables 2 (AQA) and 3 (AC): ablations and the uni-modal baselines.

    accelerate launch examples/run_paper_ablations.py --data data/autonet --time_budget 150 --seeds 0,1,2
    accelerate launch examples/run_paper_ablations.py --tasks AQA --runs "ArchBERT,preset paper" --rates 2e-4,5e-4,1e-3

Every model has the size of `mini` and the text side of `--text_from`; its graph side and its heads are new. All learn
from the same architectures for `--time_budget` seconds of CPU time of one thread. A run that has its file in
`--results` is not repeated. `--rates` tries learning rates for half the budget, on architectures kept from training.

AQA: questions about AutoNet, answered for unseen architectures, beside what the question alone gives away. The
uni-modal model is asked all questions about one and the same small graph.

AC: sentences about AutoNet, or about real networks (TVHF), written greedily for unseen architectures, beside a
constant caption and that of the nearest training graph. The uni-modal decoder reads one and the same small graph.
`python examples/paper_tables.py` prints the tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from calibration import calibrate_answers, held_out
from caption_evaluation import MODEL, PRODUCT, Captioned, evaluate_captions
from captions import LENGTHS, add_decoder
from multitask import CaptionBlocks
from paper_runs import (
    AC_RUNS,
    AQA_RUNS,
    CpuTrainer,
    PaperArguments,
    PaperRun,
    SeenProcessor,
    half_arguments,
    make_runs,
    new_paper_model,
    run_arguments,
    run_facts,
)
from run_captioning import load_captioned

from blocks import Blocks, Split, find_data, load_split
from dataset_scripts.release.cluster_metrics_release import answer_metrics
from evaluation import QuestionPrior, answer_logits, evaluate_answers, given_answers
from modeling_archbert.configuration_archbert import DECODERS
from training_loop import make_accelerator, prepare, provenance

ANSWER_LOSS_WEIGHT = 30.0
"""As in the other trainings: beside masked architecture modeling the mean over all answers would hardly be heard."""
LENGTH = "sentence"
LONGEST_CAPTION = 96
"""Word pieces of a caption, at most: one sentence in a hundred has more than 77."""
KEPT_CAPTIONS = 30
"""Architectures that learning rates of captioning are judged by."""
ANSWER_FIGURES = ("exact_match", "samples_f1", "macro_exact_match", "balanced_exact_match")
TYPE_AND_SUBJECT, TYPE = "question-only prior (type and subject)", "question-only prior (type)"


@dataclass
class AblationArguments(PaperArguments):
    """Arguments of the ablations."""

    output_dir: str = field(default="runs/paper-ablations", metadata={"help": "folder of the run in hand"})
    tasks: str = field(default="AQA,AC", metadata={"help": "with a comma between them"})
    libraries: str = field(default="autonet,tvhf", metadata={"help": "of captioning, what is trained on"})
    learning_rate: float = field(default=5e-4, metadata={"help": "highest of AQA, of ArchBERT and ablations"})
    paper_learning_rate: float = field(default=1e-3, metadata={"help": "highest of AQA, of the preset paper"})
    caption_learning_rate: float = field(default=1e-3, metadata={"help": "highest of AC"})
    graphs_per_step: int = field(default=8, metadata={"help": "architectures of a block of questions"})
    questions_per_step: int = field(default=24, metadata={"help": "questions of a block"})
    caption_graphs_per_step: int = field(default=4, metadata={"help": "architectures of a block of captions"})
    captions_per_step: int = field(default=6, metadata={"help": "half of the sentences of a block"})
    limit_train: int | None = field(default=3000, metadata={"help": "training architectures of AutoNet"})
    limit_questions: int = field(default=100, metadata={"help": "unseen architectures that questions are about"})
    limit_captions: int = field(default=60, metadata={"help": "unseen architectures that captions are written for"})
    eval_split: Literal["validation", "test"] = field(default="validation", metadata={"help": "of both data sets"})


class Trained(NamedTuple):
    """A model that was trained.

    Attributes:
        trainer: has the model.
        processor: what the model sees, see `SeenProcessor`.
        train: the architectures of the split `train`.
        kept: those of them that learning rates are judged by, and answers calibrated on.
        learned: how many of them were trained on.
    """

    trainer: CpuTrainer
    processor: SeenProcessor
    train: Any
    kept: Any
    learned: int

    @property
    def model(self) -> Any:
        """The model, without what `accelerate` put around it."""
        return self.trainer.unwrapped.eval()


def main(arguments: AblationArguments) -> list[dict[str, Any]]:
    """Make every run that has no file yet; returns their results."""
    tasks, libraries = arguments.tasks.split(","), arguments.libraries.split(",")
    runs = [run for run in (*AQA_RUNS, *AC_RUNS) if run.task in tasks]
    return make_runs(arguments, [r for r in runs if r.task == "AQA" or r.library in libraries], make_run, try_rate)


def make_run(arguments: AblationArguments, run: PaperRun) -> dict[str, Any]:
    """Train a run and evaluate it on unseen architectures."""
    train, measure, limit = _TASKS[run.task]
    trained = train(arguments, run)
    seen = _open(arguments, run, arguments.eval_split, limit(arguments))
    measured = measure(trained, seen)
    return {"task": run.task, **run_facts(run, trained.trainer), **measured,
            "training_data": f"{trained.learned} architectures",
            **provenance("run_paper_ablations.py", trained.trainer.accelerator, arguments.seed)}  # fmt: skip


def try_rate(arguments: AblationArguments, run: PaperRun, rate: float) -> dict[str, Any]:
    """Figures of architectures that were kept from training, after half the budget at a learning rate."""
    train, measure, _ = _TASKS[run.task]
    trained = train(replace(half_arguments(arguments, rate), caption_learning_rate=rate), run)
    figures = measure(trained, trained.kept)[run.task]
    found = {"name": run.name, "task": run.task, "library": run.library, "rate": rate} | {
        name: round(figures[name], 1) for name in (*ANSWER_FIGURES, "claim_precision", "claim_recall", "rougeLsum")
        if name in figures
    }  # fmt: skip
    print(found, f"after {trained.trainer.state.step} steps")
    return found


def _open(arguments: AblationArguments, run: PaperRun, split: str, limit: int | None) -> Any:
    """A split of what a run learns from: a `Split` of AutoNet with questions, or networks with captions."""
    source = find_data(arguments.data, arguments.cache_dir, 0) if run.library == "autonet" else arguments.real_data
    return (load_split if run.task == "AQA" else load_captioned)(source, split, limit, arguments.cache_dir)


def train_answers(arguments: AblationArguments, run: PaperRun) -> Trained:
    """A model that answers questions, calibrated on architectures that were kept from training."""
    accelerator = make_accelerator(arguments)
    prepare(arguments)
    model, processor = new_paper_model(run, arguments.text_from, answer_loss_weight=ANSWER_LOSS_WEIGHT)
    train = _open(arguments, run, "train", arguments.limit_train).encode(processor)
    kept, fitted = train.part(0, held_out(train)), train.part(held_out(train))
    seen = SeenProcessor(processor, model.config, run.blind)
    blocks = Blocks(
        fitted, seen, graphs=arguments.graphs_per_step, questions=arguments.questions_per_step,
        seed=arguments.seed, op_replacement=arguments.op_replacement,
    )  # fmt: skip
    trainer = CpuTrainer(accelerator, model, blocks, run_arguments(arguments, run))
    trainer.train()
    trained = Trained(trainer, seen, train, kept, len(fitted))
    config, rows = trained.model.config, kept.question_rows()
    logits = answer_logits(trained.model, seen, kept.encodings, rows, accelerator)
    config.answer_scale, config.answer_bias = calibrate_answers(logits, rows)
    return trained


def measure_answers(trained: Trained, unseen: Split) -> dict[str, Any]:
    """Figures of a model, with intervals over architectures, and what the question alone gives away."""
    accelerator, rows = trained.trainer.accelerator, unseen.question_rows()
    encodings = unseen.encode(trained.processor).encodings
    logits = answer_logits(trained.model, trained.processor, encodings, rows, accelerator)
    result = evaluate_answers(logits, rows, QuestionPrior(trained.train.each_question()), accelerator)
    right = [float(set(given) == set(row["answers"])) for given, row in zip(given_answers(logits), rows, strict=True)]
    spread = answer_metrics(right, [row["question_type"] for row in rows], [row["arch_id"] for row in rows])
    figures = {name: result[name] for name in ANSWER_FIGURES}
    figures |= {"exact_match_95": spread["micro_95"], "macro_exact_match_95": spread["macro_95"]}
    figures["by_type"] = {name: round(row["exact_match"], 2) for name, row in result["by_question_type"].items()}
    floors = {
        TYPE_AND_SUBJECT: {name: result[f"prior_{name}"] for name in ANSWER_FIGURES},
        TYPE: result["type_prior"],
    }
    return {"AQA": figures, "floors": floors, "data": f"{len(unseen)} architectures, {len(rows)} questions"}


def train_captions(arguments: AblationArguments, run: PaperRun) -> Trained:
    """A model that writes sentences; its decoder is that of the preset."""
    accelerator = make_accelerator(arguments)
    prepare(arguments)
    model, processor = new_paper_model(run, arguments.text_from)
    limit = arguments.limit_train if run.library == "autonet" else None
    train = _open(arguments, run, "train", limit)
    texts = [row["text"] for row in train.rows.rows() if row["length"] == LENGTH]
    own = {name: value for name, value in run.overrides.items() if name in DECODERS[run.preset]}
    add_decoder(model, processor, texts, run.preset, max_caption_length=LONGEST_CAPTION, **own)
    train.split.encode(processor)
    first = held_out(train.split)
    kept, fitted = _part(train, 0, min(first, KEPT_CAPTIONS)), _part(train, first, None)
    seen = SeenProcessor(processor, model.config, run.blind)
    blocks = CaptionBlocks(
        fitted.split.encodings, fitted.rows, seen, model.config, graphs=arguments.caption_graphs_per_step,
        captions=arguments.captions_per_step, seed=arguments.seed, shares=[float(one == LENGTH) for one in LENGTHS],
    )  # fmt: skip
    arguments = replace(arguments, learning_rate=arguments.caption_learning_rate)
    trainer = CpuTrainer(accelerator, model, blocks, run_arguments(arguments, run))
    trainer.train()
    return Trained(trainer, seen, train, kept, len(fitted.split))


def measure_captions(trained: Trained, unseen: Captioned) -> dict[str, Any]:
    """Figures of a model, and of captions that do not look at the graph."""
    unseen.split.encode(trained.processor)
    accelerator = trained.trainer.accelerator
    results = evaluate_captions(
        trained.model, trained.processor, trained.train, unseen, 1, accelerator, lengths=[LENGTH]
    )  # fmt: skip
    found = results[LENGTH]
    floors = {name: figures for name, figures in found.items() if name not in (MODEL, PRODUCT)}
    return {"AC": found[MODEL], "floors": floors, "data": f"{found[MODEL]['count']} architectures, a sentence each"}


def _part(data: Captioned, start: int, stop: int | None) -> Captioned:
    return Captioned(data.split.part(start, stop), data.rows[start:stop])


_TASKS: dict[str, tuple[Callable[..., Trained], Callable[..., dict[str, Any]], Callable[[Any], int]]] = {
    "AQA": (train_answers, measure_answers, lambda arguments: arguments.limit_questions),
    "AC": (train_captions, measure_captions, lambda arguments: arguments.limit_captions),
}
"""Task -> how it is trained, how it is measured, and on how many unseen architectures."""


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")
    main(HfArgumentParser(AblationArguments).parse_args_into_dataclasses()[0])
