"""Floors and baselines of TVHF without a neural network: what words, layers, names and sizes alone give away.

    python -m dataset_scripts.tvhf.floors_tvhf --data hub/datasets/tvhf --out benchmarks/results/tvhf_floors.json

* `descriptions`: always true, text alone, graph alone, match of names, words that are layers, and bag of ops x bag of
  words (kernel ridge regression on the product of both kernels);
* `clones`: always alike, one network alone, match of names, Jaccard index of the ops, ratio of sizes, and the
  Weisfeiler-Lehman kernel.

Everything is fitted on `train`; the threshold of each method is the one with the best Matthews correlation on
`validation`. Intervals are 95% of 1,000 bootstrap draws of clusters. The floors of the other tasks come from the build
(`tasks.json`).
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_scripts.release.floors_release import TextPrior, binary_figures
from dataset_scripts.release.folder_release import DataFolder
from dataset_scripts.release.statistics_release import split_words

from .bag_kernel_tvhf import BagKernel
from .configs_tvhf import CELLS, TASKS, read_folder

HEADLINE = ("structure", "size")
MAX_ONE_SIDED = 0.15
"""Matthews correlation of a one-sided classifier above which a task is at fault."""
ONE_SIDED = {"descriptions": ("text alone", "graph alone"), "clones": ("one network alone",)}
EVALUATED = ("validation", "test", *CELLS, "test_new")
DRAWS = 1000
_CAMEL = r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+"
Row = Mapping[str, Any]
Rows = list[dict[str, Any]]


class Networks:
    """What floors read of the architectures: ops, names, clusters and sizes, by `arch_id`."""

    def __init__(self, data: DataFolder) -> None:
        columns = ("arch_id", "name", "family", "cluster", "op_types", "num_parameters")
        rows = [
            row for split in data.splits["architectures"] for table in data.tables("architectures", split, columns)
            for row in table.to_pylist()
        ]  # fmt: skip
        self.rows: dict[str, dict[str, Any]] = {row["arch_id"]: row for row in rows}

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Op types of each network and how often they occur."""
        found = {}
        for name, row in self.rows.items():
            ops, numbers = np.unique(row["op_types"], return_counts=True)
            found[name] = dict(zip(ops.tolist(), numbers.tolist(), strict=True))
        return found

    @cached_property
    def words(self) -> dict[str, str]:
        """Op types of each network with the logarithm of their number, and its size, as words."""
        return {
            name: " ".join([*counts, *(f"{op}~{int(np.log2(n))}" for op, n in counts.items()), self.size_word(name)])
            for name, counts in self.counts.items()
        }

    def size_word(self, name: str) -> str:
        """The number of digits of a network's parameters, as a word."""
        return f"digits{len(str(self.rows[name]['num_parameters']))}"

    def cluster(self, name: str) -> str:
        """Cluster of a network."""
        return str(self.rows[name]["cluster"])


def matthews(given: np.ndarray, true: np.ndarray) -> float:
    """Matthews correlation of two bool (n,) arrays; 0 where one of them is constant."""
    return float(_matthews(*(np.array([float((given == a)[true == b].sum())]) for a, b in _CELLS_OF_TABLE))[0])


_CELLS_OF_TABLE = ((True, True), (True, False), (False, True), (False, False))


def _matthews(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return np.where(product > 0, (tp * tn - fp * fn) / np.sqrt(np.maximum(product, 1.0)), 0.0)


def best_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """The threshold with the best Matthews correlation: larger scores are taken for true."""
    values = np.unique(scores)
    candidates = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2])
    if len(candidates) > 400:
        candidates = candidates[np.linspace(0, len(candidates) - 1, 400).astype(int)]
    return float(max(candidates, key=lambda t: matthews(scores > t, labels == 1)))


def interval(
    statistic: Callable[[np.ndarray], np.ndarray], counts: np.ndarray, clusters: Sequence[str]
) -> list[float]:
    """95% interval of a statistic over bootstrap draws of clusters.

    Args:
        statistic: float (draws, k) sums -> (draws,).
        counts: float (n, k), what a row adds to the sums.
        clusters: cluster of each row.
    """
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.zeros((len(names), counts.shape[1]))
    np.add.at(sums, index, counts)
    draws = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
    return [round(float(v), 3) for v in np.percentile(statistic(draws @ sums), [2.5, 97.5])]


def figures(scores: np.ndarray, labels: np.ndarray, threshold: float, clusters: Sequence[str]) -> dict[str, Any]:
    """Prevalence, accuracy, F1 and AUROC in percent, Matthews correlation with its interval."""
    given, true = scores > threshold, labels == 1
    table = np.stack([(given == a) & (true == b) for a, b in _CELLS_OF_TABLE], axis=1).astype(float)
    found = {name: round(value, 1) for name, value in binary_figures(scores - threshold, labels).items()}
    return {
        "rows": len(labels), "prevalence": round(100 * float(true.mean()), 1), **found,
        "MCC": round(matthews(given, true), 3),
        "MCC_95": interval(lambda sums: _matthews(*sums.T), table, clusters),
    }  # fmt: skip


def group_figures(scores: np.ndarray, rows: Sequence[Row], threshold: float, networks: Networks) -> dict[str, Any]:
    """Group accuracy: the share of groups with both rows right, in percent, with its interval."""
    right: dict[str, list[bool]] = {}
    cluster: dict[str, str] = {}
    for score, row in zip(scores, rows, strict=True):
        right.setdefault(row["group"], []).append(bool((score > threshold) == (row["label"] == 1)))
        if row["label"] == 1:
            cluster[row["group"]] = networks.cluster(row["arch_id"])
    both = np.array([all(found) for found in right.values()], dtype=float)
    names = [cluster[group] for group in right]
    low, high = interval(
        lambda sums: sums[:, 0] / np.maximum(sums[:, 1], 1), np.stack([both, np.ones_like(both)], 1), names
    )
    return {"group_accuracy": round(100 * float(both.mean()), 1),
            "group_accuracy_95": [round(100 * low, 1), round(100 * high, 1)]}  # fmt: skip


def read_rows(data: DataFolder, config: str, split: str) -> Rows:
    """All rows of a split."""
    return [row for table in data.tables(config, split) for row in table.to_pylist()]


Method = Callable[[Sequence[Row]], np.ndarray]
"""Rows -> scores, float64 (n,)."""


def description_methods(train: Rows, validation: Rows, networks: Networks) -> dict[str, Method]:
    """Name -> method, fitted on `train`."""
    labels = np.array([row["label"] for row in train])

    def texts(rows: Sequence[Row]) -> pa.ChunkedArray:
        return pa.chunked_array([[row["text"] for row in rows]])

    def graphs(rows: Sequence[Row]) -> pa.ChunkedArray:
        return pa.chunked_array([[networks.words[row["arch_id"]] for row in rows]])

    by_text, by_graph = TextPrior([texts(train)], [labels]), TextPrior([graphs(train)], [labels])
    pieces = {name: _pieces(" ".join(counts)) for name, counts in networks.counts.items()}
    titles = {name: _pieces(f"{row['name']} {row['family']}") for name, row in networks.rows.items()}
    kernel = BagKernel({name: counts | {networks.size_word(name): 1} for name, counts in networks.counts.items()})
    kernel.fit(train, validation)
    return {
        "always true": lambda rows: np.zeros(len(rows)),
        "text alone": lambda rows: by_text.scores(texts(rows)),
        "graph alone": lambda rows: by_graph.scores(graphs(rows)),
        "match of names": lambda rows: _shared_words(rows, titles),
        "words that are layers": lambda rows: _shared_words(rows, pieces),
        "ops x words": kernel.scores,
    }


def _pieces(text: str) -> set[str]:
    return {piece.lower() for piece in re.findall(_CAMEL, text) if len(piece) > 2}


def _shared_words(rows: Sequence[Row], pieces: Mapping[str, set[str]]) -> np.ndarray:
    """Share of the words of a text that are among the pieces of its network."""
    words = split_words(pa.chunked_array([[row["text"] for row in rows]])).to_pylist()
    return np.array([
        sum(word in pieces[row["arch_id"]] for word in found) / max(1, len(found))
        for row, found in zip(rows, words, strict=True)
    ])  # fmt: skip


def description_floors(data: DataFolder, networks: Networks) -> dict[str, Any]:
    """Split -> kind of sentences -> method -> figures; `structure and size` is the headline."""
    train, validation = (read_rows(data, "descriptions", split) for split in ("train", "validation"))
    methods = description_methods(train, validation, networks)
    thresholds = {name: _threshold(method, validation) for name, method in methods.items()}
    thresholds["always true"] = -1.0
    found: dict[str, Any] = {}
    for split in (s for s in EVALUATED if s in data.splits["descriptions"]):
        rows = read_rows(data, "descriptions", split)
        for kinds in (HEADLINE, ("purpose",), ("origin",)):
            chosen = [row for row in rows if row["kind"] in kinds]
            if not chosen:
                continue
            labels = np.array([row["label"] for row in chosen])
            clusters = [networks.cluster(row["arch_id"]) for row in chosen]
            found.setdefault(split, {})[" and ".join(kinds)] = {
                name: figures(scores, labels, thresholds[name], clusters)
                | group_figures(scores, chosen, thresholds[name], networks)
                for name, scores in ((name, method(chosen)) for name, method in methods.items())
            }
    return found


def _threshold(method: Method, rows: Sequence[Row]) -> float:
    return best_threshold(method(rows), np.array([row["label"] for row in rows]))


def clone_methods(train: Rows, networks: Networks) -> dict[str, Method]:
    """Name -> method."""
    labels = np.array([row["label"] for row in train])

    def sides(rows: Sequence[Row]) -> list[pa.ChunkedArray]:
        return [pa.chunked_array([[networks.words[row[key]] for row in rows]]) for key in ("arch_id_a", "arch_id_b")]

    alone = TextPrior(sides(train), [labels, labels])
    counts, rows_of = networks.counts, networks.rows
    return {
        "always alike": lambda rows: np.zeros(len(rows)),
        "one network alone": lambda rows: np.sum([alone.scores(side) for side in sides(rows)], axis=0),
        "match of names": lambda rows: np.array(
            [SequenceMatcher(None, row["name_a"], row["name_b"]).ratio() for row in rows]
        ),
        "Jaccard of ops": lambda rows: np.array(
            [_jaccard(counts[row["arch_id_a"]], counts[row["arch_id_b"]]) for row in rows]
        ),
        "ratio of sizes": lambda rows: np.array(
            [-abs(np.diff(np.log([rows_of[row[key]]["num_parameters"] + 1 for key in ("arch_id_a", "arch_id_b")])))[0]
             for row in rows]
        ),
        "Weisfeiler-Lehman": lambda rows: np.array([row["wl_similarity"] for row in rows], dtype=float),
    }  # fmt: skip


def _jaccard(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Jaccard index of two multisets."""
    pairs = [(a.get(name, 0), b.get(name, 0)) for name in a.keys() | b.keys()]
    return sum(map(min, pairs)) / max(1, sum(map(max, pairs)))


def clone_floors(data: DataFolder, networks: Networks) -> dict[str, Any]:
    """Split -> `all`, `distinct graphs` (without pairs of two names of one graph), `size-matched` and `disagreements`
    (where Weisfeiler-Lehman similarity and relation differ) -> method -> figures."""
    read = {split: _labelled(read_rows(data, "clones", split)) for split in data.splits["clones"]}
    methods = clone_methods(read["train"], networks)
    thresholds = {name: _threshold(method, read["validation"]) for name, method in methods.items()}
    thresholds["always alike"] = -1.0
    parts: Mapping[str, Callable[[Row], bool]] = {
        "all": lambda row: True,
        "distinct graphs": lambda row: row["relation"] != "identical",
        "size-matched": lambda row: row["relation"] != "identical" and row["size_matched"],
        "disagreements": lambda row: not row["agrees_with_wl"],
    }
    found: dict[str, Any] = {}
    for split, rows in read.items():
        for part, belongs in parts.items():
            chosen = [row for row in rows if belongs(row)]
            labels = np.array([row["label"] for row in chosen])
            if split != "train" and len(set(labels.tolist())) == 2:
                clusters = [networks.cluster(row["arch_id_a"]) for row in chosen]
                found.setdefault(split, {})[part] = {
                    name: figures(method(chosen), labels, thresholds[name], clusters)
                    for name, method in methods.items()
                }
    return found


def _labelled(rows: Rows) -> Rows:
    return [row for row in rows if row["label"] >= 0]


def faults(floors: Mapping[str, Any]) -> list[str]:
    """The one-sided classifiers above `MAX_ONE_SIDED` on a test split, a line for each."""
    lines = []
    for config, methods in ONE_SIDED.items():
        for split, parts in floors[config].items():
            for part, by_method in parts.items():
                lines += [
                    f"{config}, {split}, {part}: {name} has MCC {by_method[name]['MCC']:.3f}"
                    for name in methods
                    if abs(by_method[name]["MCC"]) > MAX_ONE_SIDED
                    and split != "validation"
                    and part != "disagreements"
                ]
    return lines


def all_floors(folder: str | Path) -> dict[str, Any]:
    """All floors of a build, as plain data; errors as `DataFolder`."""
    data = read_folder(folder)
    networks = Networks(data)
    found: dict[str, Any] = {
        "command": "python -m dataset_scripts.tvhf.floors_tvhf --data DIR --out FILE",
        "descriptions": description_floors(data, networks),
        "clones": clone_floors(data, networks),
    }
    path = Path(folder) / TASKS
    tasks = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found |= {config: report["floors"] for config, report in tasks.items() if "floors" in report}
    return found | {"faults": faults(found)}


def main() -> None:
    """Command line of `all_floors`."""
    parser = argparse.ArgumentParser(description="Measure the floors of TVHF.")
    parser.add_argument("--data", required=True, help="folder of a build")
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    options = parser.parse_args()
    found = all_floors(options.data)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("\n".join(found["faults"]) or "No one-sided classifier is above the limit.")


if __name__ == "__main__":
    main()
