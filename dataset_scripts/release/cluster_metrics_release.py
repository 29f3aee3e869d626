"""Metrics with 95% intervals over clusters, for floors and models alike: yes/no decisions, answers and rankings.

Rows that share a cluster are not independent: networks of one family stand or fall together. So whole clusters are
drawn with replacement, and a metric is taken over the rows of a draw. A row with several clusters, such as a pair of
networks, counts as often as the product of its clusters' numbers says (the pigeonhole bootstrap of Owen 2007).

Every metric `NAME` has its interval beside it as `NAME_95`. All are in percent but Matthews correlation (-1 to 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

DRAWS = 1000
Clusters = Sequence[str] | Sequence[Sequence[str]]
"""The cluster of each row, or its clusters."""
Metric = Callable[[np.ndarray], np.ndarray]
"""Weights of rows, float (d, n) -> the metric of each draw, float (d,); NaN where it is not defined."""
_TABLE = ((True, True), (True, False), (False, True), (False, False))
_MAX_THRESHOLDS = 400


def draw_weights(clusters: Clusters, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each row is in each bootstrap draw of clusters, float32 (draws, rows)."""
    sets = [{found} if isinstance(found, str) else set(found) for found in clusters]
    names = {name: index for index, name in enumerate(sorted(set().union(*sets)))}
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    counts = np.concatenate([drawn, np.ones((draws, 1), dtype=drawn.dtype)], axis=1).astype(np.float32)
    weights = np.ones((draws, len(sets)), dtype=np.float32)
    for place in range(max(map(len, sets))):
        weights *= counts[:, [names[sorted(found)[place]] if place < len(found) else -1 for found in sets]]
    return weights


def with_interval(name: str, metric: Metric, weights: np.ndarray, digits: int) -> dict[str, Any]:
    """`NAME` over all rows and `NAME_95` over the draws; None where a metric is not defined.

    Args:
        name: name of the metric.
        metric: the metric.
        weights: float (draws, rows) of `draw_weights`.
        digits: digits after the point.
    """
    return _interval(name, metric(np.ones((1, weights.shape[1]))), metric(weights), digits)


def _interval(name: str, whole: np.ndarray, values: np.ndarray, digits: int) -> dict[str, Any]:
    value, values = float(whole[0]), values[np.isfinite(values)]
    if np.isnan(value) or not len(values):
        return {name: None, f"{name}_95": None}
    low, high = np.percentile(values, [2.5, 97.5])
    return {name: round(value, digits), f"{name}_95": [round(float(low), digits), round(float(high), digits)]}


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Percent of a sum; NaN where the whole is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(100.0 * part / whole)


def _table(weights: np.ndarray, given: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, ...]:
    """True positives, false positives, false negatives and true negatives, each (d,)."""
    return tuple((weights @ np.asarray((given == a) & (true == b), dtype=np.float64)) for a, b in _TABLE)


def _matthews(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return np.where(product > 0, (tp * tn - fp * fn) / np.sqrt(np.maximum(product, 1e-9)), 0.0)


def matthews(given: np.ndarray, true: np.ndarray) -> float:
    """Matthews correlation of two bool (n,) arrays; 0 where one of them is constant."""
    return float(_matthews(*_table(np.ones((1, len(true))), given, true))[0])


def best_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """The threshold with the best Matthews correlation: larger scores are taken for true.

    Args:
        scores: float (n,).
        labels: int (n,), 1 or 0.
    """
    values = np.unique(scores)
    candidates = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2])
    if len(candidates) > _MAX_THRESHOLDS:
        candidates = candidates[np.linspace(0, len(candidates) - 1, _MAX_THRESHOLDS).astype(int)]
    return float(max(candidates, key=lambda t: matthews(scores > t, labels == 1)))


def _by_rank(weights: np.ndarray, scores: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of positives and of negatives by score, descending, rows of equal score together: (d, s) each."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    ranked, labels = weights[:, order], true[order]
    positives = np.add.reduceat(ranked * labels, starts, axis=1, dtype=np.float64)
    return positives, np.add.reduceat(ranked * ~labels, starts, axis=1, dtype=np.float64)


def _curves(weights: np.ndarray, scores: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area under the ROC curve and average precision of each draw, (d,) each, in percent."""
    positives, negatives = _by_rank(weights, scores, true)
    found, total = np.cumsum(positives, axis=1), positives.sum(axis=1)
    precision = found / np.maximum(found + np.cumsum(negatives, axis=1), 1e-9)
    area = (negatives * (found - positives / 2)).sum(axis=1)
    return _share(area, total * negatives.sum(axis=1)), _share((positives * precision).sum(axis=1), total)


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve in percent; NaN where one of the labels is missing.

    Args:
        scores: float (n,).
        labels: int (n,), 1 or 0.
    """
    return float(_curves(np.ones((1, len(labels))), scores, labels == 1)[0][0])


def binary_metrics(
    scores: np.ndarray, labels: np.ndarray, threshold: float, clusters: Clusters, groups: Sequence[str] | None = None
) -> dict[str, Any]:
    """Metrics of a scored yes/no decision.

    Args:
        scores: float (n,); above `threshold` is a yes.
        labels: int (n,), 1 or 0.
        threshold: chosen on validation (`best_threshold`), never on the rows that are measured.
        clusters: of each row.
        groups: of each row; a group is right where all of its rows are.

    Returns:
        `rows`, `clusters`, `prevalence`, `threshold`, and with intervals `accuracy`, `F1`, `MCC`, `AUROC`, `AP`; with
        groups also `groups` and `group_accuracy`.

    Raises:
        ValueError: lengths differ, a label is neither 1 nor 0, or a score is not finite.
    """
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    _check(scores, labels, clusters, groups)
    given, true = scores > threshold, labels == 1
    weights = draw_weights(clusters)

    def accuracy(w: np.ndarray) -> np.ndarray:
        return _share(w @ (given == true).astype(np.float64), w.sum(axis=1))

    def f1(w: np.ndarray) -> np.ndarray:
        tp, fp, fn, _ = _table(w, given, true)
        return _share(2 * tp, np.maximum(2 * tp + fp + fn, 1e-9))

    found: dict[str, Any] = {
        "rows": len(labels), "clusters": len({str(c) for c in clusters}),
        "prevalence": round(100 * float(true.mean()), 1), "threshold": round(threshold, 4),
        **with_interval("accuracy", accuracy, weights, 1),
        **with_interval("F1", f1, weights, 1),
        **with_interval("MCC", lambda w: _matthews(*_table(w, given, true)), weights, 3),
    }  # fmt: skip
    whole, drawn = (_curves(w, scores, true) for w in (np.ones((1, len(labels))), weights))
    for place, name in enumerate(("AUROC", "AP")):
        found |= _interval(name, whole[place], drawn[place], 1)
    return found if groups is None else found | _group_metrics(given == true, groups, clusters)


def _check(scores: np.ndarray, labels: np.ndarray, clusters: Clusters, groups: Sequence[str] | None) -> None:
    lengths = {"scores": len(scores), "labels": len(labels), "clusters": len(clusters)}
    lengths |= {} if groups is None else {"groups": len(groups)}
    if len(set(lengths.values())) > 1 or not len(labels):
        raise ValueError(f"every row needs a score, a label and clusters; there are {lengths}.")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels are 1 or 0, got {sorted(set(labels.tolist()))[:5]}; leave other rows out.")
    if not np.isfinite(scores).all():
        raise ValueError(f"score {int(np.flatnonzero(~np.isfinite(scores))[0])} is not a finite number.")


def _group_metrics(right: np.ndarray, groups: Sequence[str], clusters: Clusters) -> dict[str, Any]:
    """`groups` and `group_accuracy`: the share of groups all of whose rows are right."""
    all_right: dict[str, bool] = {}
    members: dict[str, set[str]] = {}
    for name, hit, found in zip(groups, right.tolist(), clusters, strict=True):
        all_right[name] = all_right.get(name, True) and hit
        members.setdefault(name, set()).update([found] if isinstance(found, str) else found)
    hits = np.array(list(all_right.values()), dtype=np.float64)
    weights = draw_weights([sorted(members[name]) for name in all_right])

    def accuracy(w: np.ndarray) -> np.ndarray:
        return _share(w @ hits, w.sum(axis=1))

    return {"groups": len(hits), **with_interval("group_accuracy", accuracy, weights, 1)}


def answer_metrics(right: Sequence[float], types: Sequence[str], clusters: Clusters) -> dict[str, Any]:
    """Metrics of answers to questions of several types.

    Args:
        right: how right each answer is: 1 or 0 for exact match, or a share such as samples-F1.
        types: type of each question.
        clusters: of each row.

    Returns:
        `rows`, `types`, `macro` (mean over types) and `micro` with intervals, and `by_type`: rows and `score`.

    Raises:
        ValueError: lengths differ, or there are no rows.
    """
    if not len(right) == len(types) == len(clusters) or not len(right):
        raise ValueError(f"{len(right)} answers, {len(types)} types and {len(clusters)} clusters: one of each a row.")
    names = sorted(set(types))
    index = {name: number for number, name in enumerate(names)}
    member = np.zeros((len(types), len(names)))
    member[np.arange(len(types)), [index[name] for name in types]] = 1
    values = np.asarray(right, dtype=np.float64)
    weights = draw_weights(clusters)

    def macro(w: np.ndarray) -> np.ndarray:
        by_type = _share(w @ (member * values[:, None]), w @ member)
        known = np.isfinite(by_type)
        return np.where(known, by_type, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)

    def of_type(number: int) -> dict[str, Any]:
        chosen = member[:, number]
        score = with_interval("score", lambda w: _share(w @ (chosen * values), w @ chosen), weights, 1)
        return {"rows": int(chosen.sum()), **score}

    return {
        "rows": len(values), "types": len(names), **with_interval("macro", macro, weights, 1),
        **with_interval("micro", lambda w: _share(w @ values, w.sum(axis=1)), weights, 1),
        "by_type": {name: of_type(number) for name, number in index.items()},
    }  # fmt: skip


def ranking_values(scores: np.ndarray, relevant: np.ndarray, ranked: np.ndarray) -> dict[str, np.ndarray]:
    """nDCG@10, average precision and R-precision of every query, each float (q,), from 0 to 1.

    Args:
        scores: float (q, a), larger is nearer; equal scores stand in a random order, the same for every query.
        relevant: bool (q, a), one or more in a row.
        ranked: bool (q, a), what is ranked; what is relevant has to be.

    Raises:
        ValueError: shapes differ, or a query has nothing relevant among what is ranked.
    """
    if not scores.shape == relevant.shape == ranked.shape or not (relevant & ranked).any(axis=1).all():
        raise ValueError(f"scores {scores.shape}, relevant {relevant.shape} and ranked {ranked.shape} need one shape, "
                         "and every query something relevant.")  # fmt: skip
    mixed = np.random.default_rng(0).permutation(scores.shape[1])
    order = np.argsort(np.where(ranked, -scores, np.inf)[:, mixed], axis=1, kind="stable")
    hits = np.take_along_axis((relevant & ranked)[:, mixed], order, axis=1).astype(np.float64)
    places = np.arange(1, hits.shape[1] + 1)
    totals = hits.sum(axis=1)
    gains = 1 / np.log2(places[:10] + 1)
    best = np.cumsum(gains)[np.minimum(totals, len(gains)).astype(int) - 1]
    return {
        "nDCG@10": hits[:, :10] @ gains / best,
        "MAP": (hits * np.cumsum(hits, axis=1) / places).sum(axis=1) / totals,
        "R-precision": (hits * (places <= totals[:, None])).sum(axis=1) / totals,
    }


def ranking_metrics(values: Mapping[str, np.ndarray], clusters: Clusters) -> dict[str, Any]:
    """`queries`, and the mean of each of `ranking_values` with its interval.

    Args:
        values: name -> float (q,).
        clusters: of each query.
    """
    weights = draw_weights(clusters)
    found: dict[str, Any] = {"queries": len(clusters)}
    for name, value in values.items():
        found |= with_interval(name, _mean_of(value), weights, 1)
    return found


def _mean_of(value: np.ndarray) -> Metric:
    return lambda w: _share(w @ value, w.sum(axis=1))
