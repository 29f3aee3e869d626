"""Binary decisions about architectures: accuracy, F1, MCC, AUROC, AP, prevalence and group accuracy."""

from collections import defaultdict
from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
Architectural reasoning and clone detection are yes/no decisions. Accuracy and F1 depend on how many of the rows are
positive (always saying yes has F1 66.7 on balanced rows), so the prevalence stands beside them, with MCC, AUROC and AP
and the figures of always-yes. Group accuracy asks for all rows of a group to be right: one sentence, one architecture
of which it is true and one of which it is not. A method that never looks at the architecture has 0.
"""

_INPUTS = """
Args:
    predictions (list of float): scores; a higher one means "yes".
    references (list of int): 1 for true, 0 for false.
    threshold (float): a score above it is a yes. Default 0.5.
    groups (list of str, optional): group of each row, "" for none; adds `group_accuracy` and `groups`.
Returns:
    `accuracy`, `f1`, `mcc` (times 100), `auroc`, `average_precision`, `prevalence`, `always_yes_accuracy`,
    `always_yes_f1`, all in percent, and `count`; `auroc` and `average_precision` are None where only one class is
    present, `group_accuracy` where there is no group.
Example:
    >>> metric = evaluate.load("metrics/ar_binary")
    >>> metric.compute(predictions=[0.9, 0.2], references=[1, 0], groups=["a", "a"])["group_accuracy"]
    100.0
"""


def _midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def auroc(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Probability that a positive row scores above a negative one, ties counting one half."""
    positives, negatives = int(labels.sum()), int((1 - labels).sum())
    if not positives or not negatives:
        return None
    ranks = _midranks(scores)[labels == 1].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the precision-recall steps; rows of equal score enter together."""
    positives = int(labels.sum())
    if not positives or positives == len(labels):
        return None
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(labels[order])
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    precision, recall = hits[ends] / (ends + 1), hits[ends] / positives
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def matthews(decisions: np.ndarray, labels: np.ndarray) -> float:
    """Matthews correlation coefficient; 0 where a row or column of the confusion table is empty."""
    tp, fp = float((decisions & labels).sum()), float((decisions & (1 - labels)).sum())
    fn, tn = float(((1 - decisions) & labels).sum()), float(((1 - decisions) & (1 - labels)).sum())
    scale = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / scale**0.5 if scale else 0.0


def group_accuracy(correct: np.ndarray, groups: Sequence[str]) -> tuple[float | None, int]:
    """Share of the named groups whose rows are all right, and how many groups there are."""
    members: dict[str, list[bool]] = defaultdict(list)
    for group, right in zip(groups, correct.tolist(), strict=True):
        if group:
            members[group].append(bool(right))
    if not members:
        return None, 0
    return sum(all(rows) for rows in members.values()) / len(members), len(members)


class ArBinary(evaluate.Metric):
    """Metrics of a scored yes/no decision; see the module's description for the arguments."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(
        self,
        predictions: Sequence[float],
        references: Sequence[int],
        threshold: float = 0.5,
        groups: Sequence[str] | None = None,
    ) -> dict:
        scores, labels = np.asarray(predictions, dtype=np.float64), np.asarray(references, dtype=np.int64)
        if not np.isin(labels, (0, 1)).all():
            raise ValueError(f"references are 0 or 1, got {sorted(set(labels.tolist()))[:5]}")
        if groups is not None and len(groups) != len(labels):
            raise ValueError(f"groups has {len(groups)} entries, but there are {len(labels)} references")
        decisions = (scores > threshold).astype(np.int64)
        correct = decisions == labels
        found = int((decisions & labels).sum())
        prevalence = float(labels.mean())
        area, precision = auroc(scores, labels), average_precision(scores, labels)
        result = {
            "accuracy": 100.0 * float(correct.mean()),
            "f1": 100.0 * 2 * found / max(int(decisions.sum() + labels.sum()), 1),
            "mcc": 100.0 * matthews(decisions, labels),
            "auroc": None if area is None else 100.0 * area,
            "average_precision": None if precision is None else 100.0 * precision,
            "prevalence": 100.0 * prevalence,
            "always_yes_accuracy": 100.0 * prevalence,
            "always_yes_f1": 100.0 * 2 * prevalence / (1 + prevalence),
            "count": len(labels),
        }
        if groups is not None:
            share, number = group_accuracy(correct, groups)
            result |= {"group_accuracy": None if share is None else 100.0 * share, "groups": number}
        return result
