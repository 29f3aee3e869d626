"""ETran: which of several models to fine-tune on one's own data, from their features alone.

The three scores are those that Gholami et al. name (ETran: Energy-Based Transferability Estimation, ICCV 2023, arXiv
2308.02027): an energy score, a classification score by linear discriminant analysis, and a regression score by a
truncated singular value decomposition; their sum ranks the models. Each is defined in full in its docstring here and
written in numpy from that. What was chosen here, and may differ from the authors' program: the energy of all samples,
of the features; the covariance within classes shrunk as Ledoit and Wolf; and singular values up to 80% of the
squares. Figures of the paper were not reproduced.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
Three scores of a model's features (N samples, D features) on a target data set; higher is better for all of them.
The energy score is the mean of log sum_j exp(f_j), the negative energy of a sample: how much the data look like what
the model was trained on. The classification score is the mean posterior probability of the true class under linear
discriminant analysis. The regression score is minus the mean squared error of the targets projected on the leading
left singular vectors of the features, those with 80% of the squared singular values. ETran is their sum.
"""

_INPUTS = """
Args:
    references (list): the class of each sample (number or string), or its target (number or list of numbers) where
        `task` is "regression".
    features (dict of str to array): for each model its features, shape (N, D), D may differ between models.
    task (str): "classification" (default) or "regression".
    boxes (array, optional): shape (N, 4) or (N, T), more targets, as for detection; their regression score is added.
    energy_share (float): the energy score is the mean over this share of the samples, those of lowest score; 1: all.
    variance_share (float): squared singular values that the regression keeps; 0.8.
    normalize (bool): scale each score over the models to [0, 1] before they are added; False.
Returns:
    `ranking`: names of the models, best first. `scores`: for each model `energy`, `classification` and `regression`
    where they apply, and `etran`.
Example:
    >>> measurement = evaluate.load("metrics/etran", module_type="measurement")
    >>> features = {"a": [[0.0, 9.0], [0.0, 8.0], [9.0, 0.0], [8.0, 0.0]], "b": [[1.0], [1.0], [1.0], [1.0]]}
    >>> measurement.compute(references=[0, 0, 1, 1], features=features)["ranking"]
    ['a', 'b']
"""

TASKS = ("classification", "regression")


def energy_score(features: np.ndarray, share: float = 1.0) -> float:
    """Mean of log sum_j exp(f_j) over the `share` of samples where it is lowest: minus the free energy.

    Args:
        features: (N, D).
        share: in (0, 1]; at least one sample is used.
    """
    largest = features.max(axis=1)
    scores = largest + np.log(np.exp(features - largest[:, None]).sum(axis=1))
    count = max(1, round(share * len(scores)))
    return float(np.sort(scores)[:count].mean())


def classification_score(features: np.ndarray, classes: Sequence[Any] | np.ndarray) -> float:
    """Mean posterior of the true class under linear discriminant analysis.

    Classes are Gaussians with a common covariance, so that their posterior is that in the projection on the C - 1
    discriminant directions. The covariance is the one within classes, shrunk towards a multiple of the identity by
    the share of Ledoit and Wolf (2004), which needs no choice and keeps it invertible where N < D.

    Args:
        features: (N, D).
        classes: N classes, two or more different ones.
    """
    names, index = np.unique(np.asarray(classes), return_inverse=True)
    centred = features - features.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    kept = singular > singular[0] * 1e-12 if singular[0] > 0 else singular > 0
    points = left[:, kept] * singular[kept]
    counts = np.bincount(index, minlength=len(names))
    if not points.shape[1]:
        return float((counts / len(index))[index].mean())
    means = np.stack([points[index == c].mean(axis=0) for c in range(len(names))])
    precision_times_means = np.linalg.solve(_shrunk_covariance(points, means[index], features.shape[1]), means.T)
    bias = np.log(counts / len(index)) - 0.5 * np.einsum("cd,dc->c", means, precision_times_means)
    logits = points @ precision_times_means + bias
    logits -= logits.max(axis=1, keepdims=True)
    posterior = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return float(posterior[np.arange(len(index)), index].mean())


def _shrunk_covariance(points: np.ndarray, centres: np.ndarray, width: int) -> np.ndarray:
    """The covariance within classes, (r, r), shrunk as one of `width` dimensions and kept away from zero."""
    within = points - centres
    count = len(points)
    covariance = within.T @ within / count
    scale = np.trace(covariance) / width
    spread = (covariance**2).sum() - 2 * scale * np.trace(covariance) + width * scale**2
    noise = ((within**2).sum(axis=1) ** 2).sum() / count**2 - (covariance**2).sum() / count
    share = min(1.0, max(0.0, noise / spread)) if spread > 0 else 1.0
    floor = 1e-10 * (points**2).sum() / count / width
    return (1 - share) * covariance + (share * scale + floor) * np.eye(len(covariance))


def regression_score(features: np.ndarray, targets: np.ndarray, variance_share: float = 0.8) -> float:
    """Minus the mean squared error of the targets projected on the leading left singular vectors.

    With F = U S V^T cut to the first k singular values, the least-squares targets are F F^+ Y = U_k U_k^T Y; k is the
    smallest for which they hold `variance_share` of the squared singular values.

    Args:
        features: (N, D).
        targets: (N, T).
    """
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    squares = singular**2
    if not squares.sum():
        return float(-(targets**2).mean())
    held = np.cumsum(squares) / squares.sum()
    leading = left[:, : int(np.searchsorted(held, variance_share - 1e-12)) + 1]
    return float(-((targets - leading @ (leading.T @ targets)) ** 2).mean())


def transferability(
    features: Mapping[str, Any],
    references: Sequence[Any],
    task: str = "classification",
    boxes: Any = None,
    energy_share: float = 1.0,
    variance_share: float = 0.8,
    normalize: bool = False,
) -> dict[str, Any]:
    """The scores of all models and their ranking; arguments and result as in the measurement.

    Raises:
        ValueError: features or targets that are not finite, of another length or shape, one class only, fewer than two
            samples, or an argument out of range.
    """
    if task not in TASKS:
        raise ValueError(f"task={task!r} is not known; there are {' and '.join(map(repr, TASKS))}.")
    for name, share in (("energy_share", energy_share), ("variance_share", variance_share)):
        if not 0 < share <= 1:
            raise ValueError(f"{name}={share} is out of range; a share above 0 and up to 1 is needed, such as 0.8.")
    if not isinstance(features, Mapping) or not features:
        raise ValueError("features is a mapping of model names to arrays of shape (samples, features).")
    if len(references) < 2:
        raise ValueError(f"there are {len(references)} references; at least two samples are needed.")
    targets = []
    if task == "regression":
        targets.append(_matrix("references", references, len(references)))
    elif len({*map(str, references)}) < 2:
        raise ValueError(f"all {len(references)} references are of class {references[0]!r}; two classes are needed.")
    if boxes is not None:
        targets.append(_matrix("boxes", boxes, len(references)))
    scores: dict[str, dict[str, float]] = {}
    for name, values in features.items():
        matrix = _matrix(f"features[{name!r}]", values, len(references))
        scores[name] = {"energy": energy_score(matrix, energy_share)}
        if task == "classification":
            scores[name]["classification"] = classification_score(matrix, references)
        if targets:
            scores[name]["regression"] = sum(regression_score(matrix, t, variance_share) for t in targets)
    parts = _scaled(scores) if normalize else scores
    totals = {name: sum(values.values()) for name, values in parts.items()}
    ranking = sorted(totals, key=lambda name: -totals[name])
    return {"ranking": ranking, "scores": {name: scores[name] | {"etran": totals[name]} for name in scores}}


def _matrix(name: str, values: Any, count: int) -> np.ndarray:
    """An array as float64 of shape (count, ...), checked."""
    try:
        matrix = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array of numbers with rows of one length: {error}.") from error
    if matrix.ndim == 1 and not name.startswith("features"):
        matrix = matrix[:, None]
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{name} has shape {matrix.shape}; (samples, features) is needed.")
    if len(matrix) != count:
        raise ValueError(f"{name} has {len(matrix)} rows, but there are {count} references.")
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise ValueError(f"{name} has a value in row {row} that is not finite; leave such samples out.")
    return matrix


def _scaled(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Each score from 0 (worst model) to 1 (best); 0 for all where the models do not differ."""
    scaled: dict[str, dict[str, float]] = {name: {} for name in scores}
    for part in next(iter(scores.values())):
        values = [row[part] for row in scores.values()]
        width = max(values) - min(values)
        for name, row in scores.items():
            scaled[name][part] = (row[part] - min(values)) / width if width > 0 else 0.0
    return scaled


class ETran(evaluate.Measurement):
    """Energy-based transferability of several models; see the module's description for the arguments."""

    def _info(self) -> evaluate.MeasurementInfo:
        columns = (datasets.Sequence(datasets.Value("float64")), datasets.Value("float64"), datasets.Value("string"))
        return evaluate.MeasurementInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=[datasets.Features({"references": column}) for column in columns],
            reference_urls=["https://arxiv.org/abs/2308.02027"],
        )

    def _compute(self, references: Sequence[Any], features: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        return transferability(features, references, **options)
