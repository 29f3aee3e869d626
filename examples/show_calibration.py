"""
Draws how far a checkpoint's probabilities can be trusted, and which questions it gets wrong, for its card.

    python examples/show_calibration.py --init_from hub/models/archbert-small --data data/autonet \
        --picture hub/models/archbert-small/calibration.png --results benchmarks/results/runs/calibration.json

* Left, statements about real networks of unseen clusters: of those that are given a probability, how many are true.
* Middle, questions: the share of wrong answers among those that are answered first, if the surest come first. How sure
  an answer is, is the probability that the model gives to the whole set of answers.
* Right, how many questions of each type are answered wrong; the results list what was said instead.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from real_evaluation import RealTask, RealTaskArguments, judged_log_odds, open_task
from run_real_aqa import asked, logits_of
from run_reasoning import HEAD, PRODUCT, scores_of

from evaluation import answer_logits, given_answers
from reading import find_data, load_split
from training_loop import print_table, provenance

BINS = 10
COVERAGES = (0.5, 0.8, 0.9, 1.0)
LISTED = 15
"""Confusions in the results, the most frequent ones of each data set."""
COLOURS = ("#0072b2", "#d55e00", "#009e73")


@dataclass
class CalibrationArguments(RealTaskArguments):
    """Arguments of the picture."""

    data: str | None = field(default=None, metadata={"help": "folder or Hub id of AutoNet; default: archbert/autonet"})
    output_dir: str = field(default="runs/calibration", metadata={"help": "where arguments are written"})
    eval_splits: str = field(default="test", metadata={"help": "the split of TVHF"})
    limit_validation: int | None = field(default=150, metadata={"help": "networks of AutoNet's validation split"})
    picture: str = field(default="runs/calibration/calibration.png", metadata={"help": "PNG to write"})
    results: str = field(default="runs/calibration/calibration.json", metadata={"help": "JSON to write"})


def main(arguments: CalibrationArguments) -> dict[str, Any]:
    """Draw the picture; returns and stores the figures."""
    task = open_task(arguments)
    split = task.splits[0]
    rows = task.rows("descriptions", split)
    truth = np.array([row["label"] for row in rows], dtype=bool)
    curves = {
        name: reliability(1 / (1 + np.exp(-np.clip(log_odds, -50, 50))), truth)
        for name, log_odds in statement_log_odds(task, split, rows).items()
    }
    asked_of = {"AutoNet, validation": autonet_answers(task, arguments), f"TVHF, {split}": real_answers(task, split)}
    risks, wrong = {}, {}
    for name, (questions, logits) in asked_of.items():
        right = np.array([set(given) == set(row["answers"])
                          for given, row in zip(given_answers(logits), questions, strict=True)])  # fmt: skip
        risks[name] = risk_curve(confidence(logits), right)
        wrong[name] = errors(questions, given_answers(logits), right)
    table = {
        "title": "Calibration, risk and coverage",
        "data": f"TVHF, {split}: {len(rows)} statements; questions: "
        + ", ".join(f"{len(questions)} of {name}" for name, (questions, _) in asked_of.items()),
        "rows": [
            {"questions of": name} | {f"wrong, % of the surest {100 * share:.0f}%": round(100 * at(curve, share), 2)
                                      for share in COVERAGES}
            for name, curve in risks.items()
        ],
        "checkpoint": Path(str(arguments.init_from)).name,
        "statements": {name: {"calibration error": round(gap, 4), "bins": bins}
                       for name, (bins, gap) in curves.items()},
        "questions": wrong,
        **provenance("show_calibration.py", task.accelerator, arguments.seed),
    }  # fmt: skip
    Path(arguments.results).parent.mkdir(parents=True, exist_ok=True)
    Path(arguments.results).write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draw(arguments.picture, {name: bins for name, (bins, _) in curves.items()}, risks,
         {name: found["wrong, % by type"] for name, found in wrong.items()})  # fmt: skip
    print_table(table)
    return table


def statement_log_odds(task: RealTask, split: str, rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Log odds of statements, float (n,), as the pipeline and the demo tell them."""
    scores, config = scores_of(task, split, rows), task.model.config
    found = {PRODUCT: scores[PRODUCT]}
    if HEAD in scores:
        found[f"{HEAD}, uncalibrated"] = scores[HEAD]
        found[HEAD] = judged_log_odds(config, scores[HEAD])
    return found


def autonet_answers(task: RealTask, arguments: CalibrationArguments) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Questions about unseen generated networks, and their calibrated logits (rows, answers)."""
    data = find_data(arguments.data, arguments.cache_dir, arguments.seed)
    split = load_split(data, "validation", arguments.limit_validation, arguments.cache_dir)
    rows = split.question_rows()
    encodings = split.encode(task.processor, arguments.fold is not False).encodings
    return rows, answer_logits(task.model, task.processor, encodings, rows, task.accelerator)


def real_answers(task: RealTask, split: str) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Questions about real networks, and their calibrated logits (rows, answers)."""
    rows = asked(task, split)
    return rows, logits_of(task, split, rows)


def reliability(probabilities: np.ndarray, truth: np.ndarray) -> tuple[list[dict[str, float]], float]:
    """Bins of equal width, and the expected calibration error.

    Args:
        probabilities: float (n,).
        truth: bool (n,).

    Returns:
        For each bin that has any: mean probability, share that is true, count; and the mean distance of the two
        shares, weighed by the counts.
    """
    places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    bins = [
        {"probability": round(float(probabilities[places == i].mean()), 4),
         "true": round(float(truth[places == i].mean()), 4), "count": int((places == i).sum())}
        for i in np.unique(places)
    ]  # fmt: skip
    return bins, float(sum(b["count"] * abs(b["probability"] - b["true"]) for b in bins) / max(1, len(truth)))


def confidence(logits: np.ndarray) -> np.ndarray:
    """How probable (n,) the given set of answers is as a whole, from the logits (n, answers) of each."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -np.abs(logits.astype(np.float64))).sum(axis=1)))


def risk_curve(sure: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Share of wrong answers (n,) among the first 1, 2, ... n, if the surest come first."""
    order = np.argsort(-sure, kind="stable")
    return np.asarray(np.cumsum(~right[order]) / np.arange(1, len(order) + 1))


def at(curve: np.ndarray, coverage: float) -> float:
    """Risk where that share is answered."""
    return float(curve[max(1, round(coverage * len(curve))) - 1])


def errors(rows: Sequence[dict[str, Any]], given: Sequence[list[str]], right: np.ndarray) -> dict[str, Any]:
    """Per cent of wrong answers of each type, and the most frequent confusions."""
    asked_of = Counter(row["question_type"] for row in rows)
    wrong = Counter(row["question_type"] for row, good in zip(rows, right, strict=True) if not good)
    confused = Counter(
        (row["question_type"], ", ".join(sorted(row["answers"])), ", ".join(sorted(said)) or "no answer")
        for row, said, good in zip(rows, given, right, strict=True) if not good
    )  # fmt: skip
    return {
        "count": len(rows),
        "wrong, % by type": {kind: round(100 * wrong[kind] / count, 1) for kind, count in sorted(asked_of.items())},
        "confusions": [{"type": kind, "right": truth, "said": said, "count": count}
                       for (kind, truth, said), count in confused.most_common(LISTED)],
    }  # fmt: skip


def draw(
    path: str, bins: dict[str, list[dict[str, float]]], risks: dict[str, np.ndarray],
    wrong: dict[str, dict[str, float]],
) -> None:  # fmt: skip
    """Write the picture as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(12.5, 4.6), constrained_layout=True)
    left.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--")
    for (name, found), colour in zip(bins.items(), COLOURS, strict=False):
        size = [12 + 220 * b["count"] / sum(c["count"] for c in found) for b in found]
        left.plot([b["probability"] for b in found], [b["true"] for b in found], color=colour, linewidth=1.2)
        left.scatter([b["probability"] for b in found], [b["true"] for b in found], s=size, color=colour,
                     label=name.removeprefix("ArchBERT, "), linewidths=0)  # fmt: skip
    left.set(title="statements about real networks", xlabel="probability", ylabel="share that is true")
    left.legend(frameon=False, fontsize=8)
    for (name, curve), colour in zip(risks.items(), COLOURS, strict=False):
        shares = np.arange(1, len(curve) + 1) / len(curve)
        shown = shares >= 0.02
        middle.plot(100 * shares[shown], 100 * curve[shown], color=colour, linewidth=1.4, label=name)
    middle.axhline(2, color="#999999", linewidth=0.8, linestyle="--")
    middle.axvline(80, color="#999999", linewidth=0.8, linestyle="--")
    middle.set(title="questions, the surest first", xlabel="answered, %", ylabel="wrong among them, %")
    middle.legend(frameon=False, fontsize=8)
    kinds = sorted({kind for by_type in wrong.values() for kind in by_type}, reverse=True)
    height = 0.8 / len(wrong)
    for place, ((name, by_type), colour) in enumerate(zip(wrong.items(), COLOURS, strict=False)):
        places = [i + 0.4 - (place + 0.5) * height for i in range(len(kinds))]
        right.barh(places, [by_type.get(kind, 0.0) for kind in kinds], height, color=colour, label=name)
    right.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds], fontsize=7.5)
    right.set(title="questions by type", xlabel="wrong, %")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, middle, right):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")
    main(HfArgumentParser(CalibrationArguments).parse_args_into_dataclasses()[0])
