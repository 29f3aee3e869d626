"""What the op types of a graph give away of its family.

    python benchmarks/op_leak.py [--summary benchmarks/results/coverage-transformers.json] [--output FILE]

A canonical name must not carry the name of a model. Besides the names themselves, this asks whether the *set* of op
types tells more of the family than `torch.nn` classes and torch functions alone would: a naive Bayes classifier sees
which op types a graph has, once all of them, once only those that torch itself has under that name. `input` and
`output` are in both: every graph has them, so that they tell nothing, but smoothing lets them favour large families.

* A family is the first word of a model type (`qwen2_moe` and `qwen3` are `qwen`) with at least three members.
* Leave-one-out: every model is classified by what the others show. Accuracy, with an interval over resampled models.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from benchmarks.coverage import read_summary  # noqa: E402
from benchmarks.torch_names import is_torch_name  # noqa: E402
from processing_archbert.ops_archbert import INPUT_OP, OUTPUT_OP  # noqa: E402

MIN_MEMBERS = 3
SMOOTHING = 0.5
NUM_RESAMPLES = 2000


def family(model_type: str) -> str:
    """The first word of a model type, without its number."""
    return re.split(r"[-_\d.]", model_type.lower())[0] or model_type.lower()


def labelled(op_sets: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Model type -> family, for those of families with at least `MIN_MEMBERS` members."""
    families = {name: family(name) for name in op_sets}
    sizes = Counter(families.values())
    return {name: kind for name, kind in families.items() if sizes[kind] >= MIN_MEMBERS}


def hits(op_sets: Mapping[str, Collection[str]], families: Mapping[str, str]) -> np.ndarray:
    """bool (models,): whether naive Bayes on the presence of op types, left out one by one, names the family."""
    names = sorted(families)
    columns = sorted({op for name in names for op in op_sets[name]})
    index = {op: i for i, op in enumerate(columns)}
    present = np.zeros((len(names), len(columns)))
    for row, name in enumerate(names):
        present[row, [index[op] for op in op_sets[name]]] = 1
    kinds = sorted(set(families.values()))
    labels = np.array([kinds.index(families[name]) for name in names])
    member = np.eye(len(kinds))[labels]
    counts, sizes = member.T @ present, member.sum(0)
    right = np.zeros(len(names), dtype=bool)
    for row in range(len(names)):
        others, total = counts - np.outer(member[row], present[row]), sizes - member[row]
        rate = (others + SMOOTHING) / (total[:, None] + 2 * SMOOTHING)
        score = np.log(rate) @ present[row] + np.log(1 - rate) @ (1 - present[row]) + np.log(total + SMOOTHING)
        right[row] = int(score.argmax()) == labels[row]
    return right


def compare(op_sets: Mapping[str, Sequence[str]], seed: int = 0) -> dict[str, Any]:
    """Accuracies in percent with all op types and with torch's own, their difference, and the floor.

    Args:
        op_sets: op types of every model, by model type.
        seed: of the resampling behind the interval of the difference.
    """
    families = labelled(op_sets)
    plain = {n: [op for op in ops if is_torch_name(op) or op in (INPUT_OP, OUTPUT_OP)] for n, ops in op_sets.items()}
    every, torch_only = hits(op_sets, families), hits(plain, families)
    difference = every.astype(float) - torch_only
    draws = np.random.default_rng(seed).integers(0, len(difference), (NUM_RESAMPLES, len(difference)))
    low, high = np.percentile(difference[draws].mean(1), (2.5, 97.5))
    return {
        "models": len(families),
        "families": len(set(families.values())),
        "accuracy, all op types": round(100 * float(every.mean()), 2),
        "accuracy, torch names only": round(100 * float(torch_only.mean()), 2),
        "difference in points": round(100 * float(difference.mean()), 2),
        "95% interval": [round(100 * float(low), 2), round(100 * float(high), 2)],
        "largest family": round(100 * max(Counter(families.values()).values()) / len(families), 2),
        "op types that torch does not have": sorted(
            {op for ops in op_sets.values() for op in ops if not is_torch_name(op)} - {INPUT_OP, OUTPUT_OP}
        ),
    }


def main() -> None:
    """Compares and prints; writes the figures where it is told to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    results = ROOT / "benchmarks" / "results"
    parser.add_argument("--summary", type=Path, default=results / "coverage-transformers.json")
    parser.add_argument("--output", type=Path, help="where the figures go; default: they are printed alone")
    arguments = parser.parse_args()
    figures = compare(read_summary(arguments.summary)["ops"])
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
