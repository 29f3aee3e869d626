"""Floors of the task configs: what is answered right from one side alone, fitted on `train`.

* questions: the most frequent training answer to a type, and to a type and subject;
* `bimodal_clones`: naive Bayes on the words of the text, and on words that say all that is in the table of both
  networks;
* `search`: the precision of a random order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_scripts.release.floors_release import Answered, AnswerPrior, TextPrior, binary_figures

from .truth_tvhf import Architecture

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Split -> rows."""
HELD_OUT = ("validation", "test", "test_new")


def question_floors(rows: Rows) -> dict[str, Any]:
    """For every held-out split and type: `rows`, and percent right by the `type` and by `type_and_subject`."""
    prior = AnswerPrior(_answered(rows.get("train", ())))
    floors: dict[str, Any] = {}
    for split in HELD_OUT:
        given = rows.get(split, ())
        right = prior.right(_answered(given))
        counts = {kind: sum(row["question_type"] == kind for row in given) for kind in right}
        types = {
            kind: {"rows": counts[kind], "type": _percent(of_type), "type_and_subject": _percent(of_subject)}
            for kind, (of_type, of_subject) in right.items()
        }
        if types:
            means = {
                key: round(mean(found[key] for found in types.values()), 1) for key in ("type", "type_and_subject")
            }
            floors[split] = {"types": len(types), "mean": means, "by_type": types}
    return floors


def _percent(share: float) -> float:
    return round(100 * share, 1)


def _answered(rows: Iterable[Mapping[str, Any]]) -> Iterable[Answered]:
    return [Answered(r["question_type"], (r["question_type"], r["subject"]), tuple(r["answers"])) for r in rows]


def bimodal_floors(rows: Rows, architectures: Sequence[Architecture]) -> dict[str, Any]:
    """For every held-out split: rows, share of label 1, and figures of `text` alone and of the `pair` alone."""
    words = {a.arch_id: _words_of(a) for a in architectures}
    sides = {
        "text": lambda row: str(row["text"]),
        "pair": lambda row: f"{words[row['arch_id_a']]} {words[row['arch_id_b']]} {_both(words, row)}",
    }
    train = rows.get("train", ())
    floors: dict[str, Any] = {}
    for split in HELD_OUT:
        given = rows.get(split, ())
        if not given or not train:
            continue
        labels = np.array([row["label"] for row in given])
        floors[split] = {"rows": len(given), "positive": _percent(float(labels.mean()))}
        for side, say in sides.items():
            known = pa.chunked_array([[say(row) for row in train]])
            prior = TextPrior([known], [np.array([row["label"] for row in train])])
            scores = prior.scores(pa.chunked_array([[say(row) for row in given]]))
            figures = {name: round(value, 1) for name, value in binary_figures(scores, labels).items()}
            floors[split][side] = figures | {"MCC": round(matthews(scores > 0, labels == 1), 3)}
    return floors


def _words_of(architecture: Architecture) -> str:
    record = architecture.record
    size = len(str(int(architecture.facts.value("parameters") or 0)))
    found = [record.get("family"), record.get("paradigm"), record.get("source"), f"digits{size}"]
    return " ".join(
        str(word) for word in (*found, *(record.get("modality") or ()), *architecture.facts.sheet["kinds"])
    )


def _both(words: Mapping[str, str], row: Mapping[str, Any]) -> str:
    """Words of both networks, marked: what they share is what a pair may give away."""
    shared = set(words[row["arch_id_a"]].split()) & set(words[row["arch_id_b"]].split())
    return " ".join(f"both{word}" for word in sorted(shared))


def matthews(given: np.ndarray, true: np.ndarray) -> float:
    """Matthews correlation of two bool (n,) arrays; 0 where one of them is constant."""
    table = [int((given == a)[true == b].sum()) for a in (True, False) for b in (True, False)]
    (tp, fp, fn, tn) = table
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(product) if product else 0.0


def search_floors(rows: Rows, sizes: Mapping[str, int]) -> dict[str, Any]:
    """For every split, kind and pool: queries, mean number of relevant architectures, precision of a random order.

    Args:
        rows: rows of `search`.
        sizes: split -> number of its architectures; `all` -> of all.
    """
    floors: dict[str, Any] = {}
    for split, given in rows.items():
        for kind, pool in sorted({(row["kind"], row["pool"]) for row in given}):
            found = [row for row in given if (row["kind"], row["pool"]) == (kind, pool)]
            size = sizes["all" if pool == "all" else split]
            relevant = [len(row["relevant"]) for row in found]
            chance = mean(len(row["relevant"]) / (size - len(row["ignored"])) for row in found)
            floors.setdefault(split, {})[f"{kind}, {pool}"] = {
                "queries": len(found), "relevant": round(mean(relevant), 1), "random_precision": _percent(chance),
            }  # fmt: skip
    return floors
