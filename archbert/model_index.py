"""The `model-index` of a model card: the first figure of each of its tables, for the rows that are the model's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult

from .names import NAMESPACE

OURS = "ArchBERT"
"""What the methods begin with that are the model, or the model with what is computed."""
METRICS: dict[str, str] = {
    "group_accuracy": "accuracy", "group accuracy": "accuracy", "F1": "f1", "nDCG@10": "ndcg_at_10",
    "macro": "exact_match", "exact match, macro over types": "exact_match", "exact match": "exact_match",
    "claim precision": "precision",
}  # fmt: skip
"""Column of a table -> type of the metric; the first of them that a table has is taken, in this order."""
TASKS = {
    "AR": "descriptions",
    "ACD": "clones",
    "BACD": "bimodal_clones",
    "AS": "search",
    "AQA": "aqa",
    "AC": "captions",
}
"""What the title of a table begins with -> the config of the data sets that it is about."""
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NAMED_CONFIG = re.compile(r"\((\w+_\w+)\)")


def evaluation_results(tables: Sequence[Mapping[str, Any]]) -> list[EvalResult]:
    """The figures of tables as the Hub reads them; tables without a known figure of the model give none.

    Args:
        tables: as `archbert.model_card` describes them.
    """
    found = []
    for table in tables:
        rows = table.get("rows")
        rows = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
        column = next((name for name in METRICS if any(name in row for row in rows)), None)
        title = str(table.get("title", ""))
        task = re.split(r"\W", title, maxsplit=1)[0]
        if column is None or task not in TASKS:
            continue
        named = _NAMED_CONFIG.search(title)
        real = "real networks" in title or str(table.get("data", "")).startswith("TVHF")
        for row in rows:
            number = _NUMBER.match(str(row.get(column)))
            if number and str(row.get("method", "")).startswith(OURS):
                split = row.get("split") or table.get("split")
                if named and str(split).startswith(named.group(1)):  # such a config has one split
                    split = "test"
                found.append(EvalResult(
                    task_type="graph-ml", task_name=task, dataset_type=f"{NAMESPACE}/{'tvhf' if real else 'autonet'}",
                    dataset_name="TVHF" if real else "AutoNet", dataset_split=split,
                    dataset_config=named.group(1) if named else TASKS[task],
                    metric_type=METRICS[column], metric_name=f"{title}: {column}, {row['method']}",
                    metric_value=float(number.group()),
                ))  # fmt: skip
    return found
