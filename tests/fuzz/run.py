"""Fuzzes every reader of files, or some: `python tests/fuzz/run.py [--target NAME ...] [--cases 10000] [--seed 0]`.

Results go to `results.json` beside this file after every batch. With `--seconds` it stops after that time, and with
`--resume` it goes on where `results.json` ends. The exit code is 1 if a case failed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from harness import CASE_SECONDS, FOLDER, MEMORY_LIMIT, Fuzzer, Outcome, kept_cases, target_paths
from tqdm import tqdm

BATCH = 500


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description="Fuzzes the readers of files.")
    parser.add_argument("--target", nargs="*", choices=sorted(target_paths()), help="readers; by default all")
    parser.add_argument("--cases", type=int, default=10_000, help="cases for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--resume", action="store_true", help="go on where the results end")
    parser.add_argument("--results", type=Path, default=FOLDER / "results.json")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    names = options.target or sorted(target_paths())
    for name in names:
        targets = saved_targets(options.results)
        same = options.resume and name in targets and targets[name]["seed"] == options.seed
        outcome = Outcome.from_dict(targets[name]) if same else Outcome()
        fuzz(name, outcome, options, deadline)
    failed, targets = 0, saved_targets(options.results)
    for name in names:
        result = targets.get(name, {"cases": 0, "failures": []})
        failed += len(result["failures"])
        tqdm.write(f"{name}: {result['cases']} of {options.cases} cases, {len(result['failures'])} failures")
        for failure in result["failures"][:20]:
            tqdm.write(f"  {failure['kind']} ({failure['index']}): {failure['problem']}")
    return int(failed > 0)


def saved_targets(file: Path) -> dict[str, dict]:
    """The results of each target up to now."""
    return json.loads(file.read_text())["targets"] if file.exists() else {}


def fuzz(name: str, outcome: Outcome, options: argparse.Namespace, deadline: float) -> None:
    """Runs the cases that are left of one target, and writes the results after every batch."""
    if outcome.cases >= options.cases or time.monotonic() > deadline:
        return
    bar = tqdm(total=options.cases, initial=outcome.cases, desc=name, unit="case")
    with bar, Fuzzer(target_paths()[name], options.seed).prepared() as fuzzer:
        while outcome.cases < options.cases and time.monotonic() < deadline:
            before = outcome.cases
            fuzzer.run(outcome, before, min(options.cases, before + BATCH))
            bar.update(outcome.cases - before)
            write(options.results, name, {"seed": options.seed, "kept": len(kept_cases(name)), **outcome.to_dict()})


def write(file: Path, name: str, result: dict) -> None:
    """Writes the results of one target beside those of the others, in one step."""
    limits = {"case_seconds": CASE_SECONDS, "memory_limit": MEMORY_LIMIT}
    new = file.with_suffix(".new")
    targets = saved_targets(file) | {name: result}
    data = {"command": "make fuzz", "limits": limits, "targets": dict(sorted(targets.items()))}
    new.write_text(json.dumps(data, indent=1) + "\n")
    os.replace(new, file)


if __name__ == "__main__":
    raise SystemExit(main())
