"""What holds clone detection back: errors by relation, labels that no threshold can meet, and sums of evidence.

    python -m benchmarks.clone_limits --model hub/models/archbert-mini --model hub/models/archbert-small

For each similarity of two networks, without names: F1 at the threshold of `validation`, F1 at the best threshold of
the split itself (which no method may use: a limit), and what is wrong, by relation. Then logistic sums of
similarities, fitted on the pairs of `train`, with their threshold from `validation`. With `--splits validation`, sums
are chosen without a look at `test`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from archbert.embedding import Embedder
from dataset_scripts.release.cluster_metrics_release import best_threshold, binary_metrics
from dataset_scripts.tvhf.floor_networks_tvhf import WL_ROUNDS, Networks
from dataset_scripts.tvhf.metrics_tvhf import Row, read_rows
from dataset_scripts.tvhf.pair_floors_tvhf import JACCARD, SIDES, SIZES, PairMethods
from dataset_scripts.tvhf.similarity_wl_tvhf import wl_counts
from processing_archbert.network_properties_archbert import LAYER_GROUPS, PROPERTIES, holds

KINDS, NEIGHBOURHOODS, FACTS = "kinds of ops shared", "kinds of neighbourhoods shared", "computed facts shared"
WL = f"Weisfeiler-Lehman, k = {WL_ROUNDS[0]}"
SUMS: tuple[tuple[str, ...], ...] = (
    (NEIGHBOURHOODS, FACTS),
    (WL, NEIGHBOURHOODS, FACTS),
    (WL, JACCARD, KINDS, NEIGHBOURHOODS, FACTS, SIZES),
)
"""Similarities that are summed, by themselves and with the cosine of each checkpoint."""
PENALTY = 1.0


def shared(first: set[Any], second: set[Any]) -> float:
    """Jaccard index of two sets."""
    return len(first & second) / max(1, len(first | second))


def without_a_label_of_their_own(rows: Sequence[Row]) -> int:
    """Pairs of label 0 of which both networks are alike, by label, to one and the same third."""
    relatives: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        a, b = (row[side] for side in SIDES)
        if row["label"] == 1:
            relatives[a].add(b)
            relatives[b].add(a)
    return sum(row["label"] == 0 and bool(relatives[row[SIDES[0]]] & relatives[row[SIDES[1]]]) for row in rows)


def fitted_sum(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights of a logistic sum, float (k + 1,), the constant last.

    Args:
        values: float (n, k), each column of mean 0 and deviation 1.
        labels: int (n,), 1 or 0.
    """
    known, signs = np.c_[values, np.ones(len(values))], 2.0 * labels - 1

    def cost(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (known @ weights)
        slope = -signs / (1 + np.exp(np.clip(margins, -500, 500)))
        kept = np.r_[weights[:-1], 0.0]
        return np.logaddexp(0, -margins).sum() + PENALTY / 2 * kept @ kept, known.T @ slope + PENALTY * kept

    return np.asarray(minimize(cost, np.zeros(known.shape[1]), jac=True).x)


def similarities(networks: Networks, rows: Sequence[Row], models: Mapping[str, Mapping[str, np.ndarray]]) -> Any:
    """Similarity -> values of pairs, float (n,); that of a model is the cosine of its embeddings of unit length."""
    methods = PairMethods(networks).methods()
    used = {row[side] for row in rows for side in SIDES}
    colours = {name: set(wl_counts(networks.graphs[name], WL_ROUNDS[1])[0].tolist()) for name in used}
    facts = {name: {p for p in (*PROPERTIES, *LAYER_GROUPS) if holds(networks.numbers(name), p).value}
             for name in used}  # fmt: skip
    kinds = {name: set(networks.counts[name]) for name in used}
    sets = {KINDS: kinds, NEIGHBOURHOODS: colours, FACTS: facts}
    found = {
        name: methods[name](rows) for name in (*(f"Weisfeiler-Lehman, k = {k}" for k in WL_ROUNDS), JACCARD, SIZES)
    }
    for name, of in sets.items():
        found[name] = np.array([shared(of[row[SIDES[0]]], of[row[SIDES[1]]]) for row in rows])
    for name, embeds in models.items():
        found[name] = np.array([float(embeds[row[SIDES[0]]] @ embeds[row[SIDES[1]]]) for row in rows])
    return found


def figures(scores: np.ndarray, rows: Sequence[Row], threshold: float, clusters: Mapping[str, str]) -> dict[str, Any]:
    """F1 and AUROC, the best F1 that any threshold has on these rows, and the number of wrong pairs by relation."""
    labels = np.array([row["label"] for row in rows])
    of = [tuple(sorted({clusters[row[side]] for side in SIDES})) for row in rows]
    found = binary_metrics(scores, labels, threshold, of)
    wrong = Counter(row["relation"] for row, s in zip(rows, scores, strict=True) if (s > threshold) != row["label"])
    best = max(_f1(scores > level, labels == 1) for level in np.unique(scores) - 1e-9)
    kept = {key: found[key] for key in ("rows", "threshold", "F1", "F1_95", "AUROC", "AUROC_95")}
    return kept | {"best F1 of any threshold": round(best, 1), "wrong": dict(sorted(wrong.items()))}


def _f1(given: np.ndarray, true: np.ndarray) -> float:
    return float(200 * (given & true).sum() / max(1, given.sum() + true.sum()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="hub/datasets/tvhf", help="folder of TVHF")
    parser.add_argument("--model", action="append", default=[], help="checkpoint; may be repeated")
    parser.add_argument("--splits", default="validation,test", help="splits to measure, with commas between them")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    names = ["train", *dict.fromkeys(["validation", *arguments.splits.split(",")])]
    rows = {name: [r for r in read_rows(arguments.data, "clones", name) if r["label"] >= 0] for name in names}
    networks = Networks(arguments.data, lambda texts: np.zeros((len(texts), 1), dtype=np.float32))
    used = sorted({row[side] for found in rows.values() for row in found for side in SIDES})
    models = {}
    for model in arguments.model:
        embeds = Embedder(model).architectures([networks.graphs[name] for name in used], batch_size=8)
        models[f"cosine, {Path(model).name}"] = dict(zip(used, embeds, strict=True))
    scores = {name: similarities(networks, found, models) for name, found in rows.items()}
    labels = {name: np.array([row["label"] for row in found]) for name, found in rows.items()}
    for parts in [(*cosine, *parts) for parts in SUMS for cosine in ((), *((name,) for name in models))]:
        values = {name: np.stack([found[part] for part in parts], axis=1) for name, found in scores.items()}
        middle, spread = values["train"].mean(axis=0), values["train"].std(axis=0)
        weights = fitted_sum((values["train"] - middle) / spread, labels["train"])
        for name, found in scores.items():
            found[" + ".join(parts)] = (values[name] - middle) / spread @ weights[:-1] + weights[-1]
    command = shlex.join(["python", "-m", "benchmarks.clone_limits", *sys.argv[1:]])
    result: dict[str, Any] = {"command": command, "splits": {}}
    for name in arguments.splits.split(","):
        thresholds = {key: best_threshold(v, labels["validation"]) for key, v in scores["validation"].items()}
        result["splits"][name] = {
            "relations": dict(sorted(Counter(row["relation"] for row in rows[name]).items())),
            "label 0, both alike to a third": without_a_label_of_their_own(rows[name]),
            "methods": {
                key: figures(values, rows[name], thresholds[key], networks.clusters)
                for key, values in scores[name].items()
            },
        }
    text = json.dumps(result, indent=1) + "\n"
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
