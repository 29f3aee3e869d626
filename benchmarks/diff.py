"""Does a diff say what changed? Pairs of configs of transformers whose difference is known, and its cost.

    python benchmarks/diff.py [--out benchmarks/results/diff.json] [--only FAMILY] [--cost]

* Right: every expected statement is made, with its values, and no other one.
* Pairs that it was developed on are counted apart from those whose truth was written down before any diff of them.
* `--cost`: time and greatest memory of a diff of two networks of about 10,000 nodes, of different depth and width, and
  the time of drawing one of them and their diff.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def graph_of(family: str, options: dict[str, Any], task: str | None) -> Any:
    """The graph of a config."""
    from transformers import AutoConfig

    from processing_archbert import load_architecture

    return load_architecture(AutoConfig.for_model(family, **options), task=task, name=family)


def run_pairs(only: str | None) -> list[dict[str, Any]]:
    """One row for each pair: name, verdict, lines, what is missing and what is false."""
    from diff_pairs import PAIRS, UNSEEN, judge
    from tqdm.auto import tqdm

    from processing_archbert.graph_diff_archbert import diff

    rows = []
    for pair in tqdm([p for p in (*PAIRS, *UNSEEN) if only in (None, p.family)], desc="pairs"):
        a = graph_of(pair.family, pair.base, pair.tasks[0])
        b = graph_of(pair.family, {**pair.base, **pair.change}, pair.tasks[1])
        found = diff(a, b)
        missing, false = judge(pair, found.changes)
        rows.append({"pair": pair.name, "family": pair.family, "developed_on": pair in PAIRS,
                     "verdict": found.verdict, "lines": found.lines,
                     "missing": missing, "false": false})  # fmt: skip
    return rows


def run_cost() -> dict[str, Any]:
    """Seconds and peak memory for two networks of about 10,000 nodes."""
    from processing_archbert.graph_diff_archbert import diff

    sizes = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "num_key_value_heads": 4}
    a = graph_of("llama", {**sizes, "num_hidden_layers": 420}, None)
    b = graph_of("llama", {**sizes, "num_hidden_layers": 400, "hidden_size": 128, "num_key_value_heads": 2}, None)
    seconds = []
    for call in (lambda: diff(a, b), a.draw, diff(a, b).draw):
        start = time.perf_counter()
        call()
        seconds.append(round(time.perf_counter() - start, 2))
    tracemalloc.start()
    diff(a, b)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "nodes": [a.num_nodes, b.num_nodes],
        "seconds": seconds[0],
        "seconds_to_draw_one": seconds[1],
        "seconds_to_draw_the_diff": seconds[2],
        "peak_mebibytes": round(peak / 2**20, 1),
    }


def main() -> None:
    """Runs the pairs and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/diff.json")
    parser.add_argument("--only", help="a family")
    parser.add_argument("--cost", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = run_pairs(args.only)
    right = [row for row in rows if not row["missing"] and not row["false"]]
    for row in rows:
        if row not in right:
            print(row["pair"], "| missing:", row["missing"], "| false:", row["false"])
    result: dict[str, Any] = {
        "command": "python " + " ".join(["benchmarks/diff.py", *sys.argv[1:]]),
        "pairs": len(rows),
        "families": len({row["family"] for row in rows}),
        "right": len(right),
        "developed_on": sum(row["developed_on"] for row in rows),
        "right_of_those": sum(row["developed_on"] for row in right),
        "expected_but_missing": sum(len(row["missing"]) for row in rows),
        "false_statements": sum(len(row["false"]) for row in rows),
    }
    if args.cost:
        result["cost"] = run_cost()
    print(json.dumps(result, indent=1))
    if args.only is None:
        args.out.write_text(json.dumps({**result, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
