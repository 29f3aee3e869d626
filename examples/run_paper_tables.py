"""
Trains and evaluates the counterparts of the paper's Tables 2 and 5 on real networks: AR and ACD, ablations, libraries.

    accelerate launch examples/run_paper_tables.py --time_budget 150 --seeds 0,1,2
    accelerate launch examples/run_paper_tables.py --runs "ArchBERT,preset paper" --seeds 0 --rates 1e-4,3e-4,1e-3

Every model has the size of `mini` and the text side of `--text_from`; its graph side is new. All learn from the same
pairs for `--time_budget` seconds of CPU time of one thread. A run that has its file in `--results` is not repeated.
`--rates` tries learning rates for half the budget on a part of the training pairs, and prints the F1 of the rest.

AR: descriptions in the paper's form, F1 at the threshold that is best on training pairs that were kept, beside the
paper's 0.5; and with computed facts (product): log odds of the cosine, fitted on the kept pairs that facts leave open,
and what the graph shows of the statement (`archbert.verification.statement_evidence`). ACD is zero-shot, as in the
paper's Table 5: no clone was learned from; the threshold is the best one on training pairs of clones.
`python examples/paper_tables.py` prints the tables.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from calibration import fit_logistic
from paper_runs import (
    ARCHITECTURE_SPLITS,
    LIBRARIES,
    RUNS,
    CpuTrainer,
    NetworkPool,
    PairBlocks,
    PaperArguments,
    PaperRun,
    half_arguments,
    make_runs,
    new_paper_model,
    pair_rows,
    run_arguments,
    run_facts,
)
from real_evaluation import GraphEvidence
from real_networks import load_real, text_embeds

from archbert.verification import DECIDED
from dataset_scripts.release.cluster_metrics_release import best_threshold
from dataset_scripts.tvhf.metrics_tvhf import clone_metrics, description_metrics
from training_loop import Trainer, make_accelerator, prepare, provenance

KEPT = 20
"""One training pair in so many is kept from training, for thresholds and learning rates; whole networks are not."""
CLONES_FOR_THRESHOLD = 2000
PAPER_THRESHOLD = 0.5
PRODUCT = "AR product"
"""AR with computed facts, among the results of a run."""


@dataclass
class PaperTableArguments(PaperArguments):
    """Arguments of the tables."""

    libraries: str = field(default="tvhf,tv,hf", metadata={"help": "of the runs, what is trained on"})
    learning_rate: float = field(default=1e-4, metadata={"help": "highest learning rate of ArchBERT and ablations"})
    graphs_per_step: int = field(default=16, metadata={"help": "architectures of a block"})
    pairs_per_step: int = field(default=48, metadata={"help": "pairs of a block, at most"})


def main(arguments: PaperTableArguments) -> list[dict[str, Any]]:
    """Make every run that has no file yet; returns their results."""
    libraries = arguments.libraries.split(",")
    return make_runs(arguments, [run for run in RUNS if run.library in libraries], make_run, try_rate)


def train_run(
    arguments: PaperTableArguments, run: PaperRun
) -> tuple[Any, Any, NetworkPool, list[dict[str, Any]], Trainer]:
    """A trained model, its processor, all architectures, and the pairs that were kept from training."""
    accelerator = make_accelerator(arguments)
    prepare(arguments)
    model, processor = new_paper_model(run, arguments.text_from)
    pool = NetworkPool(arguments.real_data, processor, arguments.cache_dir)
    rows = pair_rows(arguments.real_data, "descriptions", run.library, "train")
    order = np.random.default_rng(0).permutation(len(rows))
    kept = [rows[i] for i in order[: len(rows) // KEPT]]
    blocks = PairBlocks(
        pool, [rows[i] for i in order[len(kept) :]], processor, graphs=arguments.graphs_per_step,
        pairs=arguments.pairs_per_step, seed=arguments.seed, op_replacement=arguments.op_replacement,
    )  # fmt: skip
    trainer = CpuTrainer(accelerator, model, blocks, run_arguments(arguments, run))
    trainer.train()
    return accelerator.unwrap_model(trainer.model).eval(), processor, pool, kept, trainer


def try_rate(arguments: PaperTableArguments, run: PaperRun, rate: float) -> dict[str, Any]:
    """F1 on pairs that were kept from training, after half the budget at a learning rate."""
    model, processor, pool, kept, trainer = train_run(half_arguments(arguments, rate), run)
    scores = _scores(model, processor, pool, kept)
    figures = description_metrics(scores, kept, _threshold(scores, kept), pool.clusters)["all"]
    print(f"{run.name}, {run.library}, learning rate {rate:g}: F1 {figures['F1']} after {trainer.state.step} steps")
    return {"name": run.name, "rate": rate, "F1": figures["F1"], "AUROC": figures["AUROC"]}


def make_run(arguments: PaperTableArguments, run: PaperRun) -> dict[str, Any]:
    """Train a run and evaluate it on the pairs of every library."""
    model, processor, pool, kept, trainer = train_run(arguments, run)
    result = run_facts(run, trainer) | {name: {} for name in ("AR", "AR at 0.5", PRODUCT, "ACD", "ACD at 0.5")}
    embeds = _graph_embeds(model, processor, pool)
    clones = pair_rows(arguments.real_data, "clones", run.library, "train")
    clones = [clones[i] for i in np.random.default_rng(0).permutation(len(clones))[:CLONES_FOR_THRESHOLD]]
    kept_scores = _scores(model, processor, pool, kept, embeds)
    with_facts = Product(graph_evidence(arguments.real_data, arguments.cache_dir), kept_scores, kept)
    thresholds = {"AR": _threshold(kept_scores, kept), PRODUCT: _threshold(with_facts(kept_scores, kept), kept),
                  "ACD": _threshold(_clone_scores(pool, embeds, clones), clones)}  # fmt: skip
    for library in LIBRARIES:
        described = pair_rows(arguments.real_data, "descriptions", library, "validation")
        pairs = pair_rows(arguments.real_data, "clones", library, "validation")
        cosines = _scores(model, processor, pool, described, embeds)
        alike = _clone_scores(pool, embeds, pairs)
        for name, rows, scores, threshold in (
            ("AR", described, cosines, thresholds["AR"]),
            ("AR at 0.5", described, cosines, PAPER_THRESHOLD),
            (PRODUCT, described, with_facts(cosines, described), thresholds[PRODUCT]),
            ("ACD", pairs, alike, thresholds["ACD"]),
            ("ACD at 0.5", pairs, alike, PAPER_THRESHOLD),
        ):
            measure = clone_metrics if rows is pairs else description_metrics
            result[name][library] = measure(scores, rows, threshold, pool.clusters)["all"]
    return result | provenance("run_paper_tables.py", trainer.accelerator, arguments.seed)


class Product:
    """Log odds of statements from the cosine of a model and from what the graphs show.

    Args:
        evidence: what they show.
        cosines: float (n,), of pairs that were kept from training.
        rows: those pairs; the log odds are fitted on those of them that facts do not decide.
    """

    def __init__(self, evidence: GraphEvidence, cosines: np.ndarray, rows: Sequence[dict[str, Any]]) -> None:
        self._evidence = evidence
        undecided = np.abs(evidence(rows)) < DECIDED
        truth = np.array([row["label"] for row in rows])
        self._mean, self._spread = cosines[undecided].mean(), cosines[undecided].std()
        self._slope, self._bias = fit_logistic(self._units(cosines[undecided]), truth[undecided], scale=1.0, bias=0.0)

    def __call__(self, cosines: np.ndarray, rows: Sequence[dict[str, Any]]) -> np.ndarray:
        """Float (n,), of cosines and their rows."""
        return self._slope * self._units(cosines) + self._bias + self._evidence(rows)

    def _units(self, cosines: np.ndarray) -> np.ndarray:
        return (cosines - self._mean) / self._spread


@cache
def graph_evidence(folder: str, cache_dir: str | None) -> GraphEvidence:
    """What all graphs of TVHF show, the same for every run."""
    return GraphEvidence([load_real(folder, name, cache_dir) for name in ARCHITECTURE_SPLITS])


@torch.no_grad()
def _graph_embeds(model: Any, processor: Any, pool: NetworkPool, at_once: int = 16) -> torch.Tensor:
    """J_g of all architectures, float32 (n, d), of length 1."""
    rows = torch.zeros(len(pool.encodings), model.config.hidden_size)
    order = np.argsort(pool.tokens, kind="stable")
    for start in range(0, len(order), at_once):
        chosen = order[start : start + at_once].tolist()
        batch = processor.collate(None, [pool.encodings[number] for number in chosen])
        embeds = model.archbert.get_architecture_features(**batch.to(model.device))
        rows[chosen] = torch.nn.functional.normalize(embeds.float(), dim=-1).cpu()
    return rows


def _scores(
    model: Any, processor: Any, pool: NetworkPool, rows: list[dict[str, Any]], embeds: torch.Tensor | None = None
) -> np.ndarray:
    """Cosines of rows of `descriptions`."""
    graphs = _graph_embeds(model, processor, pool) if embeds is None else embeds
    place = {text: number for number, text in enumerate(dict.fromkeys(row["text"] for row in rows))}
    texts = text_embeds(model, processor, list(place))[[place[row["text"]] for row in rows]]
    return (texts * graphs[[pool.index[row["arch_id"]] for row in rows]]).sum(dim=1).double().numpy()


def _clone_scores(pool: NetworkPool, embeds: torch.Tensor, rows: list[dict[str, Any]]) -> np.ndarray:
    """Cosines of rows of `clones`."""
    first, second = ([pool.index[row[key]] for row in rows] for key in ("arch_id_a", "arch_id_b"))
    return (embeds[first] * embeds[second]).sum(dim=1).double().numpy()


def _threshold(scores: np.ndarray, rows: list[dict[str, Any]]) -> float:
    return best_threshold(scores, np.array([row["label"] for row in rows]))


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")
    main(HfArgumentParser(PaperTableArguments).parse_args_into_dataclasses()[0])
