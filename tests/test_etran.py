"""The measurement `etran` against closed forms, invariances, and bad input."""

import importlib.util
import math
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "metrics" / "etran"
_SPEC = importlib.util.spec_from_file_location("etran_measurement", FOLDER / "etran.py")
assert _SPEC is not None and _SPEC.loader is not None
module: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(module)


@pytest.fixture(scope="module")
def etran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    cache = str(tmp_path_factory.mktemp("metrics"))
    return evaluate.load(str(FOLDER), module_type="measurement", cache_dir=cache)


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    """200 samples of three classes in 6 dimensions, with unequal variances."""
    generator = np.random.default_rng(0)
    classes = np.arange(200) % 3
    features = generator.normal(size=(200, 6)) * [1, 2, 0.5, 1, 3, 1]
    features[:, :2] += 1.5 * np.stack([np.cos(2 * classes), np.sin(2 * classes)], axis=1)
    return features, classes


def test_energy_is_log_sum_exp() -> None:
    features = np.array([[0.0, 0.0], [math.log(3), 0.0]])
    assert module.energy_score(features) == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert module.energy_score(features, share=0.5) == pytest.approx(math.log(2))
    assert module.energy_score(np.full((3, 4), 1e5)) == pytest.approx(1e5 + math.log(4))
    assert module.energy_score(np.full((3, 4), -1e5)) == pytest.approx(-1e5 + math.log(4))


def test_energy_moves_with_a_constant(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, _ = data
    assert module.energy_score(features + 7) == pytest.approx(module.energy_score(features) + 7)


def test_classification_of_separable_and_equal_features(data: tuple[np.ndarray, np.ndarray]) -> None:
    _, classes = data
    assert module.classification_score(np.eye(3)[classes], classes) == pytest.approx(1)
    counts = np.bincount(classes) / len(classes)
    assert module.classification_score(np.ones((200, 4)), classes) == pytest.approx((counts**2).sum())


def test_classification_of_two_gaussians_in_one_dimension() -> None:
    # Means -1 and 1, equal counts, variance 1 within: the posterior of class 1 is 1 / (1 + exp(-2x)).
    within = np.array([-math.sqrt(1.5), 0.0, math.sqrt(1.5)])
    features = np.concatenate([within - 1, within + 1])[:, None]
    logistic = 1 / (1 + np.exp(-2 * (within + 1)))
    assert module.classification_score(features, [0, 0, 0, 1, 1, 1]) == pytest.approx(logistic.mean(), rel=1e-6)


def test_scores_agree_with_sums_over_samples(data: tuple[np.ndarray, np.ndarray]) -> None:
    """The definitions once more, sample by sample, in the space of the features and by other formulas."""
    features, classes = data
    count, width = features.shape
    energies = [math.log(sum(math.exp(value) for value in row)) for row in features.tolist()]
    assert module.energy_score(features) == pytest.approx(sum(energies) / count)

    means = {c: features[classes == c].mean(axis=0) for c in range(3)}
    within = np.array([row - means[c] for row, c in zip(features, classes, strict=True)])
    covariance = np.zeros((width, width))
    for row in within:
        covariance += np.outer(row, row) / count
    identity = np.eye(width)
    scale = np.sum(covariance * identity) / width
    away = np.sum((covariance - scale * identity) ** 2)
    noise = sum(np.sum((np.outer(row, row) - covariance) ** 2) for row in within) / count**2
    share = min(noise / away, 1)
    assert 0.01 < share < 1  # else nothing of the shrinkage is tested
    shrunk = (1 - share) * covariance + share * scale * identity
    posteriors = []
    for row, own in zip(features, classes, strict=True):
        density = {c: np.mean(classes == c) * math.exp(-0.5 * (row - mean) @ np.linalg.inv(shrunk) @ (row - mean))
                   for c, mean in means.items()}  # fmt: skip
        posteriors.append(density[own] / sum(density.values()))
    assert module.classification_score(features, classes) == pytest.approx(sum(posteriors) / count, rel=1e-6)

    targets = np.stack([np.sin(features[:, 0]), features[:, 1] * features[:, 2]], axis=1)
    values, directions = np.linalg.eigh(features.T @ features)
    order = np.argsort(-values)
    kept = next(k for k in range(1, width + 1) if values[order[:k]].sum() >= 0.8 * values.sum())
    reduced = features @ directions[:, order[:kept]]
    fitted = reduced @ np.linalg.lstsq(reduced, targets, rcond=None)[0]
    assert 1 < kept < width
    assert module.regression_score(features, targets) == pytest.approx(-np.mean((fitted - targets) ** 2))


def test_classification_does_not_depend_on_scale_place_rotation_and_names(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    features, classes = data
    score = module.classification_score(features, classes)
    assert 0.5 < score < 0.95
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    order = np.random.default_rng(2).permutation(200)
    for changed in (features * 1e-6, features * 1e6, features + 50, features @ rotation):
        assert module.classification_score(changed, classes) == pytest.approx(score, rel=1e-4)
    assert module.classification_score(features[order], classes[order]) == pytest.approx(score)
    assert module.classification_score(features, [f"class {2 - c}" for c in classes]) == pytest.approx(score)


def test_more_features_than_samples_are_no_problem() -> None:
    generator = np.random.default_rng(3)
    classes = np.arange(20) % 2
    noise = generator.normal(size=(20, 500))
    signal = noise + 3 * np.where(classes, 1, -1)[:, None]
    assert 0.45 < module.classification_score(noise, classes) <= 1
    assert module.classification_score(signal, classes) > 0.99


def test_regression_is_the_error_of_a_projection() -> None:
    features = np.diag([3.0, 2.0, 1.0, 0.0])
    targets = np.array([[1.0], [2.0], [3.0], [4.0]])
    # Squares 9, 4, 1: two of them hold 13/14, one 9/14.
    assert module.regression_score(features, targets, 0.8) == pytest.approx(-(9 + 16) / 4)
    assert module.regression_score(features, targets, 0.6) == pytest.approx(-(4 + 9 + 16) / 4)
    assert module.regression_score(features, targets, 1.0) == pytest.approx(-16 / 4)
    assert module.regression_score(np.zeros((4, 2)), targets) == pytest.approx(-30 / 4)


def test_regression_does_not_depend_on_scale_and_rotation(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, classes = data
    targets = np.stack([classes, features[:, 0]], axis=1)
    score = module.regression_score(features, targets)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    for changed in (features * 1e-6, features * 1e6, features @ rotation):
        assert module.regression_score(changed, targets) == pytest.approx(score)
    assert module.regression_score(features, targets * 3) == pytest.approx(9 * score)


def test_models_are_ranked(etran: Any, data: tuple[np.ndarray, np.ndarray]) -> None:
    features, classes = data
    shuffled = features[np.random.default_rng(4).permutation(200)]
    result = etran.compute(references=classes.tolist(), features={"noise": shuffled, "good": features})
    assert result["ranking"] == ["good", "noise"]
    good, noise = result["scores"]["good"], result["scores"]["noise"]
    assert good["energy"] == pytest.approx(noise["energy"]) and good["classification"] > noise["classification"]
    assert good["etran"] == pytest.approx(good["energy"] + good["classification"])
    named = etran.compute(references=[f"c{c}" for c in classes], features={"good": features})
    assert named["scores"]["good"] == pytest.approx(good)


def test_regression_boxes_and_normalized_scores(etran: Any, data: tuple[np.ndarray, np.ndarray]) -> None:
    features, classes = data
    boxes = np.repeat(features[:, 4:5], 4, axis=1)
    models = {"a": features, "b": features[:, :2]}
    found = etran.compute(references=classes.tolist(), features=models, boxes=boxes, normalize=True)
    assert found["scores"]["a"]["regression"] > found["scores"]["b"]["regression"]
    assert all(0 <= row["etran"] <= 3 for row in found["scores"].values())
    values = etran.compute(references=features[:, 4].tolist(), features=models, task="regression")
    assert values["ranking"] == ["a", "b"] and "classification" not in values["scores"]["a"]
    vectors = etran.compute(references=boxes.tolist(), features=models, task="regression")
    assert vectors["scores"]["a"]["regression"] == pytest.approx(values["scores"]["a"]["regression"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": {"a": [[0.0, 1.0], [float("nan"), 1.0], [1.0, 0.0]]}}, r"features\['a'\] has a value in row 1"),
        ({"references": [1, 1, 1]}, "all 3 references are of class"),
        ({"features": {"a": [[0.0], [1.0]]}}, "has 2 rows, but there are 3 references"),
        ({"features": {"a": [0.0, 1.0, 2.0]}}, r"has shape \(3,\)"),
        ({"features": {"a": [[0.0], [1.0, 2.0], [3.0]]}}, "no array of numbers"),
        ({"features": {}}, "a mapping of model names"),
        ({"features": {"a": [[0.0]]}, "references": [0]}, "at least two samples"),
        ({"task": "detection"}, "task='detection' is not known"),
        ({"energy_share": 0.0}, "energy_share=0.0 is out of range"),
        ({"boxes": [[0, 1], [2, float("inf")], [0, 0]]}, "boxes has a value in row 1"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], message: str) -> None:
    features = {"a": [[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]]}
    with pytest.raises(ValueError, match=message):
        module.transferability(**{"features": features, "references": [0, 0, 1], **options})
