"""Sums of evidence about pairs, and labels that no threshold can meet."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.clone_limits import figures, fitted_sum, shared, without_a_label_of_their_own


def pair(a: str, b: str, label: int, relation: str = "variant") -> dict[str, object]:
    return {"arch_id_a": a, "arch_id_b": b, "label": label, "relation": relation}


def test_a_pair_that_is_not_alike_may_be_alike_to_a_third() -> None:
    rows = [pair("x", "y", 1), pair("z", "x", 1), pair("y", "z", 0), pair("y", "w", 0), pair("x", "w", -1)]
    assert without_a_label_of_their_own(rows) == 1
    assert without_a_label_of_their_own(rows[1:]) == 0


def test_a_sum_is_fitted_to_what_tells_the_labels() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    told = labels + rng.normal(0, 0.5, 400)
    values = np.stack([told, rng.normal(size=400)], axis=1)
    weights = fitted_sum((values - values.mean(axis=0)) / values.std(axis=0), labels)
    assert weights[0] > 1 and abs(weights[1]) < 0.5
    scores = (values - values.mean(axis=0)) / values.std(axis=0) @ weights[:-1] + weights[-1]
    assert ((scores > 0) == (labels == 1)).mean() > 0.75
    assert fitted_sum(values, 1 - labels)[0] == pytest.approx(-fitted_sum(values, labels)[0], rel=1e-3)


def test_figures_name_the_relations_of_wrong_pairs_and_the_limit_of_thresholds() -> None:
    rows = [
        pair("a", "b", 1, "resized"),
        pair("c", "d", 1),
        pair("a", "c", 0, "unrelated"),
        pair("b", "d", 0, "unrelated"),
    ]
    clusters = {name: name for name in "abcd"}
    found = figures(np.array([0.9, 0.6, 0.5, 0.1]), rows, 0.7, clusters)
    assert found["wrong"] == {"variant": 1} and found["F1"] == pytest.approx(66.7)
    assert found["best F1 of any threshold"] == 100.0
    assert shared({1, 2}, {2, 3}) == pytest.approx(1 / 3) and shared(set(), set()) == 0
