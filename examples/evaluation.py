"""Evaluation of trained models: answers, statements, their priors and floors, and the calibration of both."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from tqdm.auto import tqdm

from blocks import ANSWER_IDS, Split
from dataset_scripts.autonet.questions_autonet import all_intents, all_questions
from modeling_archbert import ArchBertForPreTraining, ArchBertForSequenceClassification
from processing_archbert import ANSWERS

METRICS = Path(__file__).resolve().parents[1] / "metrics"
GRAPHS_PER_BATCH = 16

Rows = Sequence[dict[str, Any]]


def load_metric(name: str, accelerator: Accelerator) -> Any:
    """One of the `evaluate` modules of this repository."""
    return evaluate.load(str(METRICS / name), experiment_id=f"{name}-{accelerator.process_index}")


def _batches(rows: Rows, text: str, accelerator: Accelerator) -> Iterator[tuple[list[int], list[int]]]:
    """(graphs, rows) of each batch of this process: a graph and all rows that speak of it stay together."""
    by_graph: dict[int, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_graph[row["graph"]].append(index)
    graphs = sorted(by_graph)
    starts = range(0, len(graphs), GRAPHS_PER_BATCH)
    mine = starts[accelerator.process_index :: accelerator.num_processes]
    for start in tqdm(mine, desc=f"evaluating {text}s", leave=False, disable=not accelerator.is_main_process):
        chosen = graphs[start : start + GRAPHS_PER_BATCH]
        yield chosen, [index for graph in chosen for index in by_graph[graph]]


@torch.no_grad()
def _predict(
    model: nn.Module,
    output: str,
    text: str,
    rows: Rows,
    encodings: Sequence[Any],
    processor: Any,
    accelerator: Accelerator,
) -> list[Any]:
    """The named output of the model for every row (of which `text` names the text), in order, on every process."""
    found: list[tuple[int, Any]] = []
    for graphs, indices in _batches(rows, text, accelerator):
        place = {graph: position for position, graph in enumerate(graphs)}
        texts = {t: i for i, t in enumerate(dict.fromkeys(rows[index][text] for index in indices))}
        batch = dict(processor.collate(list(texts), [encodings[graph] for graph in graphs]))
        batch["text_index"] = torch.tensor([texts[rows[index][text]] for index in indices])
        batch["architecture_index"] = torch.tensor([place[rows[index]["graph"]] for index in indices])
        batch = {key: value.to(accelerator.device) for key, value in batch.items()}
        found += zip(indices, model(**batch)[output].float().cpu().numpy(), strict=True)
    return [value for _, value in sorted(gather_object(found), key=lambda pair: pair[0])]


def answer_logits(
    model: ArchBertForPreTraining, processor: Any, encodings: Sequence[Any], rows: Rows, accelerator: Accelerator
) -> np.ndarray:
    """Calibrated logits (rows, answers) of question rows; the model is left in eval mode."""
    answering = ArchBertForSequenceClassification._from_config(model.config)
    answering.archbert, answering.answer_head = model.archbert, model.answer_head
    answering.eval()
    return np.stack(_predict(answering, "logits", "question", rows, encodings, processor, accelerator))


def similarities(
    model: ArchBertForPreTraining, processor: Any, encodings: Sequence[Any], rows: Rows, accelerator: Accelerator
) -> np.ndarray:
    """Cosine (rows,) of description rows; the model is left in eval mode."""
    return np.array(_predict(model.archbert.eval(), "similarity", "text", rows, encodings, processor, accelerator))


def reasoning_scores(
    model: ArchBertForPreTraining, processor: Any, encodings: Sequence[Any], rows: Rows, accelerator: Accelerator
) -> np.ndarray:
    """Logits (rows,) of the reasoning head for description rows; the model is left in eval mode."""
    return np.array(_predict(model.eval(), "reasoning_logits", "text", rows, encodings, processor, accelerator))


def given_answers(logits: np.ndarray) -> list[list[str]]:
    """The answers whose calibrated probability is above one half."""
    return [[ANSWERS[i] for i in np.flatnonzero(row > 0)] for row in logits]


class QuestionPrior:
    """The best constant answer per question type, and per type and subject: what a question alone gives away.

    Args:
        rows: question rows of the training split.
    """

    def __init__(self, rows: Rows) -> None:
        counts: dict[tuple[str, ...], Counter[tuple[str, ...]]] = defaultdict(Counter)
        for row in rows:
            answers = tuple(row["answers"])
            counts[row["question_type"],][answers] += 1
            counts[row["question_type"], row["subject"]][answers] += 1
        self._best = {key: list(counter.most_common(1)[0][0]) for key, counter in counts.items()}

    def predict(self, rows: Rows, subjects: bool) -> list[list[str]]:
        """One answer set per row; with `subjects` the prior knows what the question asks about."""
        return [
            self._best.get((row["question_type"], row["subject"]) if subjects else (row["question_type"],), [])
            for row in rows
        ]


@lru_cache(1)
def _training_wordings() -> frozenset[str]:
    return frozenset(text for intent in all_intents() for text in all_questions(*intent, split="train"))


def evaluate_answers(logits: np.ndarray, rows: Rows, prior: QuestionPrior, accelerator: Accelerator) -> dict[str, Any]:
    """Figures of `metrics/aqa_match`, beside the question-only prior (which knows type and subject).

    Returns:
        What the metric gives; under `type_prior` the figures of the weaker prior that knows the type only; under
        `by_wording` those of questions in wordings that training has, and in wordings that it has not.
    """
    metric = load_metric("aqa_match", accelerator)
    references = [list(row["answers"]) for row in rows]
    types = [row["question_type"] for row in rows]
    common = {"references": references, "question_types": types}
    result = metric.compute(
        predictions=given_answers(logits), prior_predictions=prior.predict(rows, subjects=True), **common
    )
    weaker = metric.compute(predictions=prior.predict(rows, subjects=False), **common)
    names = ("exact_match", "samples_f1", "macro_exact_match", "balanced_exact_match")
    result["type_prior"] = {name: weaker[name] for name in names}
    given = given_answers(logits)
    known = [row["question"] in _training_wordings() for row in rows]
    result["by_wording"] = {}
    for wording, side in (("training", True), ("held out", False)):
        chosen = [i for i, value in enumerate(known) if value is side]
        if chosen:
            picked = {name: [column[i] for i in chosen] for name, column in (common | {"predictions": given}).items()}
            figures = metric.compute(**picked)
            result["by_wording"][wording] = {name: figures[name] for name in ("count", *names)}
    result["outside_answer_list"] = sum(any(a not in ANSWER_IDS for a in truth) for truth in references)
    return result


def calibrate_answers(logits: np.ndarray, rows: Rows) -> tuple[float, float]:
    """Scale and bias for which sigmoid(scale * logit + bias) is the most likely probability of an answer.

    Args:
        logits: (rows, answers) from a model whose calibration is 1 and 0.
        rows: rows of architectures that it was not trained on.
    """
    truth = np.zeros(logits.shape, dtype=bool)
    for i, row in enumerate(rows):
        truth[i, [ANSWER_IDS[answer] for answer in row["answers"] if answer in ANSWER_IDS]] = True
    return fit_logistic(logits.ravel(), truth.ravel(), scale=1.0, bias=0.0)


def fit_logistic(scores: np.ndarray, truth: np.ndarray, scale: float, bias: float) -> tuple[float, float]:
    """Platt scaling of scores by Newton steps, with a little pull towards the start (separable scores stay finite)."""
    x, y = scores.astype(np.float64), truth.astype(np.float64)
    start = np.array([scale, bias])
    weights, pull = start.copy(), np.diag([1.0, 0.1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(weights[0] * x + weights[1], -40, 40)))
        gradient = np.array([((p - y) * x).sum(), (p - y).sum()]) + pull @ (weights - start)
        curve = p * (1 - p)
        hessian = np.array([[(curve * x * x).sum(), (curve * x).sum()], [(curve * x).sum(), curve.sum()]]) + pull
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step * min(1.0, 5.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return float(max(weights[0], 1e-3)), float(weights[1])


def best_threshold(scores: np.ndarray, truth: np.ndarray) -> float:
    """The threshold with the highest accuracy of `score > threshold` (half way between two scores)."""
    order = np.argsort(scores, kind="stable")
    ranked, labels = scores[order], truth[order].astype(np.int64)
    right = np.concatenate([[labels.sum()], labels.sum() + np.cumsum(1 - 2 * labels)])
    distinct = np.concatenate([[True], np.diff(ranked) > 0, [True]])
    best = int(np.argmax(np.where(distinct, right, -1)))
    if best in (0, len(ranked)):
        return float(ranked[0] - 1e-6 if best == 0 else ranked[-1])
    return float((ranked[best - 1] + ranked[best]) / 2)


def evaluate_statements(
    scores: np.ndarray, rows: Rows, threshold: float, accelerator: Accelerator
) -> dict[str, dict[str, Any]]:
    """Figures of `metrics/ar_binary`, for matched rows and for the paper's kind of negatives apart.

    Rows with a `group` are matched; the others are the paper's kind.
    """
    metric = load_metric("ar_binary", accelerator)
    result = {}
    for name, matched in (("matched", True), ("paper", False)):
        chosen = [i for i, row in enumerate(rows) if bool(row["group"]) == matched]
        if chosen:
            result[name] = metric.compute(
                predictions=[float(scores[i]) for i in chosen],
                references=[int(rows[i]["label"]) for i in chosen],
                groups=[rows[i]["group"] for i in chosen],
                threshold=threshold,
            )
    return result


def text_only_scores(train: Rows, validation: Rows, steps: int = 200) -> np.ndarray:
    """Probabilities (validation rows,) of a logistic regression on the words of the text: a floor without graphs.

    Matched rows and the paper's kind of rows get a regression each, as they are evaluated apart.
    """
    scores = np.full(len(validation), 0.5)
    for matched in (True, False):
        learned = [row for row in train if bool(row["group"]) == matched]
        asked = [i for i, row in enumerate(validation) if bool(row["group"]) == matched]
        if learned and asked:
            scores[asked] = _bag_of_words(learned, [validation[i] for i in asked], steps)
    return scores


def _bag_of_words(train: Rows, validation: Rows, steps: int) -> np.ndarray:
    words, asked = _word_sets(train), _word_sets(validation)
    counts = Counter(word for row in words for word in row)
    index = {word: i for i, word in enumerate(sorted(word for word, count in counts.items() if count > 1))}
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        weights = nn.EmbeddingBag(len(index) + 1, 1, mode="sum")
        nn.init.zeros_(weights.weight)
        optimizer = torch.optim.Adam(weights.parameters(), lr=0.05)
        inputs, labels = _bags(words, index), torch.tensor([float(row["label"]) for row in train])
        for _ in range(steps):
            loss = nn.functional.binary_cross_entropy_with_logits(weights(*inputs).flatten(), labels)
            (loss + 1e-4 * weights.weight.square().sum()).backward()
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        return weights(*_bags(asked, index)).flatten().sigmoid().numpy()


def _word_sets(rows: Rows) -> list[list[str]]:
    return [sorted(set(re.findall(r"[^\s,.]+", row["text"].lower()))) for row in rows]


def _bags(words: list[list[str]], index: dict[str, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids of known words of all texts, with a constant in each, and where each text begins."""
    ids = [[len(index), *(index[word] for word in row if word in index)] for row in words]
    lengths = torch.tensor([0, *map(len, ids[:-1])])
    return torch.tensor([i for row in ids for i in row]), lengths.cumsum(0)


def held_out(split: Split) -> int:
    """How many training architectures at the end are kept for calibration: one in twenty, at least one."""
    return max(1, min(len(split) // 20, 100))
