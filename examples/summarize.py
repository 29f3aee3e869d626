"""
Joins the results of runs that differ in their seed into tables of mean and standard deviation.

    python examples/summarize.py --out benchmarks/results/aqa.json \\
        runs/aqa-0 runs/aqa-1 runs/aqa-2 runs/aqa-product-0 runs/aqa-product-1 runs/aqa-product-2

Tables of the same title become one, with a row for each method. A value without a spread was the same in every run.
Runs that only evaluated say nothing of training; --trained names the results of those that trained their checkpoints.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

SHARED = ("data", "training_data", "hardware", "versions", "commit")


def read_tables(folders: Iterable[str | Path]) -> list[dict[str, Any]]:
    """The tables of `results.json` of every run.

    Raises:
        FileNotFoundError: a run has none.
    """
    tables = []
    for folder in map(Path, folders):
        path = folder / "results.json" if folder.is_dir() else folder
        tables += json.loads(path.read_text(encoding="utf-8"))
    return tables


def summarize(
    tables: Sequence[dict[str, Any]], trained: Sequence[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """One table per title: for each method the mean and the sample standard deviation over the runs that have it.

    Args:
        tables: tables of results.
        trained: tables of the runs that trained, where those of `tables` only evaluated.
    """
    summaries = []
    for title in dict.fromkeys(table["title"] for table in tables):
        of_title = [table for table in tables if table["title"] == title]
        rows: dict[str, list[dict[str, Any]]] = {}
        for table in of_title:
            for row in table["rows"]:
                rows.setdefault(row["method"], []).append(row)
        summary: dict[str, Any] = {"title": title, "rows": [_joined(method, rows[method]) for method in rows]}
        for name in SHARED:
            values = [table[name] for table in of_title if name in table]
            if values and all(value == values[0] for value in values):
                summary[name] = values[0]
        summary["seeds"] = sorted({table["seed"] for table in of_title})
        summary["command"] = sorted({table["command"] for table in of_title if table.get("command")})[0]
        runs = [table for table in (of_title if trained is None else trained) if table.get("training_seconds")]
        if runs:
            seconds, steps = [table["training_seconds"] for table in runs], [table.get("steps", 0) for table in runs]
            made = f"{min(steps)}" if min(steps) == max(steps) else f"{min(steps)} to {max(steps)}"
            summary["notes"] = (
                f"{made} training steps a run; they took {min(seconds):.0f} to {max(seconds):.0f} seconds, "
                "depending on what else the machine did."
            )
        summaries.append(summary)
    return summaries


def _joined(method: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {"method": method}
    for column in rows[0]:
        if column == "method":
            continue
        values = [row[column] for row in rows if row.get(column) is not None]
        if not values:
            joined[column] = None
        elif max(values) == min(values):
            joined[column] = values[0]
        else:
            joined[column] = f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"
    joined["runs"] = len(rows)
    return joined


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="output folders of runs, or their results.json")
    parser.add_argument("--trained", nargs="*", help="results of the runs that trained, where the others evaluated")
    parser.add_argument("--out", required=True, help="JSON file to write")
    arguments = parser.parse_args()
    tables = summarize(read_tables(arguments.runs), read_tables(arguments.trained) if arguments.trained else None)
    Path(arguments.out).parent.mkdir(parents=True, exist_ok=True)
    Path(arguments.out).write_text(json.dumps(tables, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{arguments.out}: {len(tables)} tables of {len(arguments.runs)} runs")


if __name__ == "__main__":
    main()
