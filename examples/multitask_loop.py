"""The training loop of several tasks: learning rates by part, losses by task, and the calibration of every head."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from calibration import best_threshold, calibrate_answers, calibrate_reasoning, calibrate_similarity, labels_of
from multitask import Mixture
from real_networks import RealNetworks, pair_scores, statement_rows
from safetensors.torch import load_file

from blocks import Split
from evaluation import answer_logits, reasoning_scores, similarities
from reading import load_rows
from training_loop import Batch, Trainer, TrainingArguments, block_seed

logger = logging.getLogger(__name__)

LOSSES_FILE = "losses.jsonl"
PARTS = ("similarity_loss", "contrastive_loss", "clone_loss", "reasoning_loss", "reading_loss", "mam_loss",
         "answer_loss", "caption_loss")  # fmt: skip
REPORTED_EVERY = 10


class MultitaskTrainer(Trainer):
    """A `Trainer` of a `Mixture`: the shared encoder learns at a rate of its own, and losses are kept by task.

    `losses.jsonl` in the output folder has a line for every tenth step: its number, task and parts of the loss.
    """

    make_batch: Mixture

    def load_newest(self) -> None:
        """Go on from the newest saved state; losses that were written after it are dropped."""
        super().load_newest()
        kept = [line for line in self._lines() if line["step"] < self.state.step]
        self._path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def _forward_backward(self, batch: Batch, accumulated: int) -> torch.Tensor:
        accumulation = self.arguments.gradient_accumulation_steps
        block = self._block(accumulated)
        torch.manual_seed(block_seed(self.arguments.seed, block))
        batch = {k: v.to(self.accelerator.device, non_blocking=True) for k, v in batch.items()}
        with nullcontext() if accumulated + 1 == accumulation else self.accelerator.no_sync(self.model):
            output = self.model(**batch)
            self.accelerator.backward(output.loss / accumulation)
        if self.accelerator.is_main_process and self.state.step % REPORTED_EVERY == 0:
            self._write_losses(block, output)
        return output.loss.detach()

    def _write_losses(self, block: int, output: Any) -> None:
        line = {"step": self.state.step, "seconds": round(self.state.seconds, 1), "task": self.make_batch.task(block)}
        line |= {part: round(float(output[part]), 5) for part in PARTS if output.get(part) is not None}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @property
    def _path(self) -> Path:
        return Path(self.arguments.output_dir) / LOSSES_FILE

    def _lines(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]

    def loss_rows(self) -> list[dict[str, Any]]:
        """Task and part, with the mean over the first and the last tenth of the run."""
        values: dict[tuple[str, str], list[float]] = defaultdict(list)
        for line in self._lines():
            for part in PARTS:
                if part in line:
                    values[line["task"], part].append(line[part])
        rows = []
        for (task, part), found in sorted(values.items()):
            tenth = max(1, len(found) // 10)
            ends = {"first tenth": found[:tenth], "last tenth": found[-tenth:]}
            rows.append({"loss": f"{task}: {part.removesuffix('_loss')}"}
                        | {name: round(float(np.mean(end)), 4) for name, end in ends.items()})  # fmt: skip
        return rows


def optimizer_of(model: Any, arguments: TrainingArguments, shared_rate: float) -> torch.optim.Optimizer:
    """AdamW that decays matrices only; the encoder that text and graphs share has the `rate` given."""
    shared = {id(p) for p in model.archbert.text.parameters()}
    groups = []
    for inside in (False, True):
        for matrices in (False, True):
            found = [p for p in model.parameters() if p.requires_grad and (id(p) in shared) is inside
                     and (p.ndim > 1) is matrices]  # fmt: skip
            decay = arguments.weight_decay if matrices else 0.0
            groups.append({"params": found, "weight_decay": decay, "rate": shared_rate if inside else 1.0})
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=arguments.learning_rate, betas=(0.9, 0.98)
    )


def train_only(model: Any, beginnings: Sequence[str]) -> None:
    """Freeze all parameters but those whose names begin with one of `beginnings`.

    Raises:
        ValueError: a beginning that no parameter has.
    """
    names = [name for name, _ in model.named_parameters()]
    for beginning in beginnings:
        if not any(name.startswith(beginning) for name in names):
            parts = ", ".join(sorted({name.split(".")[0] + "." for name in names}))
            raise ValueError(f"no parameter begins with {beginning!r}; the parts of this model are {parts}")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(tuple(beginnings)))


def take_parameters(model: Any, folder: str) -> list[str]:
    """Copy the parameters of a checkpoint that have the name and shape of the model's own; returns their names.

    Raises:
        FileNotFoundError: there is no `model.safetensors` in the folder.
    """
    own = model.state_dict()
    given = load_file(Path(folder) / "model.safetensors")
    taken = [name for name, value in given.items() if name in own and own[name].shape == value.shape]
    with torch.no_grad():
        for name in taken:
            own[name].copy_(given[name])
    logger.info("%d of %d parameters are from %s", len(taken), len(own), folder)
    return taken


def add_claim_types(model: Any, names: Sequence[str]) -> None:
    """Let the reasoning head of a loaded model tell further types of claims; each begins as the mean of the others."""
    known = list(model.config.claim_types or ())
    new = [name for name in names if name not in known]
    if model.reasoning_head is None or not new:
        return
    old = model.reasoning_head.types
    grown = torch.nn.Linear(old.in_features, 1 + len(known) + len(new)).to(old.weight)
    with torch.no_grad():
        for into, values in ((grown.weight, old.weight), (grown.bias, old.bias)):
            into[: len(values)] = values
            into[len(values) :] = values[1:].mean(dim=0)
    model.reasoning_head.types = grown
    model.config.claim_types = [*known, *new]


def calibrate_all(
    model: Any, processor: Any, kept: Split, real: RealNetworks, accelerator: Accelerator
) -> dict[str, float | None]:
    """Write the calibration of every head into the config.

    Answers are calibrated on generated networks that were kept from training; statements and pairs on the validation
    split of TVHF, as is the threshold of pairs with a supporting text.

    Returns:
        The thresholds.
    """
    config = model.config
    config.answer_scale, config.answer_bias = 1.0, 0.0
    rows = kept.question_rows()
    config.answer_scale, config.answer_bias = calibrate_answers(
        answer_logits(model, processor, kept.encodings, rows, accelerator), rows
    )
    stated = statement_rows(real, "descriptions")
    calibrate_similarity(model, similarities(model, processor, real.split.encodings, stated, accelerator), stated)
    if config.use_reasoning_head:
        logits = reasoning_scores(model, processor, real.split.encodings, stated, accelerator)
        calibrate_reasoning(model, logits, stated)
    for name, pairs in (("clone_threshold", "clones"), ("bimodal_clone_threshold", "bimodal_clones")):
        labelled = [row for row in load_rows(str(real.folder), pairs, real.name) if row["label"] in (0, 1)]
        setattr(config, name, best_threshold(pair_scores(model, processor, real, labelled), labels_of(labelled)))
    model.train()
    names = ("similarity_threshold", "reasoning_threshold", "clone_threshold", "bimodal_clone_threshold")
    return {name: getattr(config, name) for name in names}
