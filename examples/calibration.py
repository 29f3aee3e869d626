"""Calibration of trained models, on architectures of the train split that were kept from training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from blocks import ANSWER_IDS, Split

Rows = Sequence[dict[str, Any]]


def held_out(split: Split) -> int:
    """How many training architectures are kept for calibration: one in twenty, at least one.

    They are the first ones: the last ones of a small AutoNet may have no matched descriptions.
    """
    return max(1, min(len(split) // 20, 100))


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
    """Platt scaling of scores by Newton steps, with a little pull towards the start (separable scores stay finite).

    A step is halved until it lowers the loss: where the scores at the start are far too sure, whole ones overshoot.
    """
    x, y = scores.astype(np.float64), truth.astype(np.float64)
    start = np.array([scale, bias])
    weights, pull = start.copy(), np.diag([1.0, 0.1])

    def loss(at: np.ndarray) -> float:
        logits, moved = at[0] * x + at[1], at - start
        return float((np.logaddexp(0.0, logits) - y * logits).sum() + moved @ pull @ moved / 2)

    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(weights[0] * x + weights[1], -40, 40)))
        gradient = np.array([((p - y) * x).sum(), (p - y).sum()]) + pull @ (weights - start)
        curve = p * (1 - p)
        hessian = np.array([[(curve * x * x).sum(), (curve * x).sum()], [(curve * x).sum(), curve.sum()]]) + pull
        step, before, part = np.linalg.solve(hessian, gradient), loss(weights), 1.0
        while loss(weights - part * step) > before and part > 1e-9:
            part /= 2
        weights = weights - part * step
        if np.abs(part * step).max() < 1e-8:
            break
    return float(max(weights[0], 1e-3)), float(weights[1])


def best_threshold(scores: np.ndarray, truth: np.ndarray) -> float:
    """The threshold with the highest accuracy of `score > threshold` (half way between two scores).

    Raises:
        ValueError: there is no score.
    """
    if not len(scores):
        raise ValueError(
            "there are no statements to choose a threshold by; AutoNet has matched ones from 5 networks on"
        )
    order = np.argsort(scores, kind="stable")
    ranked, labels = scores[order], truth[order].astype(np.int64)
    right = np.concatenate([[labels.sum()], labels.sum() + np.cumsum(1 - 2 * labels)])
    distinct = np.concatenate([[True], np.diff(ranked) > 0, [True]])
    best = int(np.argmax(np.where(distinct, right, -1)))
    if best in (0, len(ranked)):
        return float(ranked[0] - 1e-6 if best == 0 else ranked[-1])
    return float((ranked[best - 1] + ranked[best]) / 2)


def calibrate_similarity(model: Any, scores: np.ndarray, rows: Rows) -> None:
    """Write the calibration of the cosine into the config: the threshold is where the probability is one half."""
    truth = labels_of(rows)
    threshold = best_threshold(scores, truth)
    scale, _ = fit_logistic(scores - threshold, truth, scale=8.0, bias=0.0)
    model.config.similarity_threshold = threshold
    model.config.similarity_scale, model.config.similarity_bias = scale, -scale * threshold


def calibrate_reasoning(model: Any, logits: np.ndarray, rows: Rows) -> None:
    """Write the calibration of the reasoning head into the config: its threshold, and how sure it is above it."""
    truth = labels_of(rows)
    model.config.reasoning_threshold = best_threshold(logits, truth)
    model.config.reasoning_scale, _ = fit_logistic(logits - model.config.reasoning_threshold, truth, 1.0, 0.0)


def labels_of(rows: Rows) -> np.ndarray:
    """Labels (rows,) of description rows."""
    return np.array([row["label"] for row in rows])
