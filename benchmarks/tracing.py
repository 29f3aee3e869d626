"""Time and memory of `trace` against `torch.export` and torchview, on transformers models at their default sizes.

    python benchmarks/tracing.py [--models bert llama] [--repeats 3] [--work FOLDER] [--seconds 100]

* All build the model on `meta` and capture it with the same inputs; no weights are allocated by any.
* `torch.export` runs with `strict=False`; where it fails on meta tensors it gets fake tensors. A failure is reported.
* Beside them: a plain forward pass on `meta` (the floor of whatever runs the model once), torchinfo (modules, no
  graph) and `torch.fx` (a graph without shapes).
* Seconds are processor time of one thread, which other work on the machine changes little. warm: the best of several
  runs in one process, the tools interleaved. cold: the first run of a new process each, which has everything imported
  and nothing run. memory: the peak of that process, with the imports and the pages of libraries that the call touches;
  private memory: what the call adds to the process's own memory at most.
* Every model is a file in the work folder, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmarks.tracing_tools import TOOLS, choose, import_all  # noqa: E402

MODELS = (
    "resnet", "convnext", "swin", "segformer", "vit", "deit", "clip", "bert", "distilbert", "electra", "gpt2", "opt",
    "llama", "qwen2", "mixtral", "mamba", "t5", "bart", "whisper", "wav2vec2",
)  # fmt: skip
COLD = ("trace", "export", "torchview", "floor")
RIVALS = ("export", "torchview")
KINDS = ("warm", "cold", "memory", "private memory")
NAMES = {"export": "torch.export", "torchview": "torchview", "floor": "forward", "torchinfo": "torchinfo",
         "fx": "torch.fx"}  # fmt: skip


def timed(function: Callable[[], int]) -> tuple[float, int]:
    """Seconds of processor time that a call takes, and its result."""
    start = time.process_time()
    nodes = function()
    return time.process_time() - start, nodes


def measure_warm(model_type: str, repeats: int) -> dict[str, Any]:
    """Best times of all tools in this process, interleaved; `ways` says which way of a tool ran, or why none did."""
    chosen = {tool: choose(tool, model_type) for tool in TOOLS}
    best: dict[str, Any] = {"ways": {tool: way for tool, (_, way) in chosen.items()}}
    for _ in range(repeats):
        for tool, (function, _) in chosen.items():
            if function is not None:
                seconds, nodes = timed(function)
                best[tool] = min(best.get(tool, math.inf), seconds)
                best[f"{tool}_nodes"] = nodes
    return best


def measure_cold(model_type: str, tool: str, way: int) -> dict[str, float]:
    """Time of the first call in this process, and the memory of the process before it and at its peak (megabytes)."""
    before, private = peak_megabytes(), megabytes("RssAnon")
    seconds, _ = timed(lambda: TOOLS[tool][way](model_type))
    peak = peak_megabytes()
    # Mapped pages of libraries stay mapped, so what is left of the peak was the process's own.
    return {"seconds": seconds, "imported": before, "peak": peak, "added": peak - megabytes("RssFile") - private}


def peak_megabytes() -> float:
    """The most memory that this process ever held (Linux counts it since the process was made, not its parent's)."""
    return megabytes("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def megabytes(field: str) -> float:
    """A field of what Linux says of this process's memory; 0 on other systems."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), 0.0)


def in_new_process(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a call in a new process that has everything imported and has run nothing; None where it dies."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        try:
            return pool.submit(function, *args).result()
        except BrokenProcessPool:
            return None


def measure(model_type: str, repeats: int) -> dict[str, Any]:
    """Everything that is measured of one model."""
    import_all(model_type)
    warm = in_new_process(measure_warm, model_type, repeats)
    ways = warm["ways"]
    cold = {t: in_new_process(measure_cold, model_type, t, ways[t]) for t in COLD if isinstance(ways[t], int)}
    return {"model": model_type, "warm": warm, "cold": cold}


def ratio(row: dict[str, Any], kind: str, tool: str) -> float | None:
    """Time (`warm`, `cold`) or memory (`memory`, `private memory`) of a tool as a multiple of ours; None: it fails."""
    if kind == "warm":
        ours, theirs = row["warm"].get("trace"), row["warm"].get(tool)
    else:
        key = {"cold": "seconds", "memory": "peak", "private memory": "added"}[kind]
        ours, theirs = ((row["cold"].get(t) or {}).get(key) for t in ("trace", tool))
    return theirs / ours if ours and theirs else None


def geometric_mean(values: list[float]) -> float | None:
    """Geometric mean; None for no values."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def table_columns() -> list[tuple[str, str, str]]:
    """Title, kind and tool of the columns of ratios."""
    columns = [(f"{NAMES[tool]}, {kind}", kind, tool) for tool in RIVALS for kind in KINDS]
    return [*columns, *((NAMES[tool], "warm", tool) for tool in ("floor", "torchinfo", "fx"))]


def table_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The table: multiples of ours, no seconds, which would be those of one machine; empty where a tool fails."""
    columns = table_columns()
    table: list[dict[str, Any]] = []
    for row in rows:
        nodes = {"nodes": row["warm"].get("trace_nodes"), "nodes of torch.export": row["warm"].get("export_nodes")}
        table.append({"model": row["model"], **nodes, **{title: ratio(row, k, t) for title, k, t in columns}})
    means = {title: geometric_mean([r for row in rows if (r := ratio(row, k, t))]) for title, k, t in columns}
    worked = {title: sum(ratio(row, k, t) is not None for row in rows) for title, k, t in columns}
    blank = {"nodes": None, "nodes of torch.export": None}
    return [*table, {"model": "geometric mean", **blank, **means}, {"model": "models that work", **blank, **worked}]


def print_row(row: dict[str, Any]) -> None:
    """One line: seconds of `trace`, then every ratio."""
    cells = [f"{value:7.2f}" if (value := ratio(row, k, t)) else " failed" for _, k, t in table_columns()]
    print(f"{row['model']:11s} {row['warm'].get('trace', math.nan):7.3f} s", *cells, flush=True)


def write_results(arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Writes what was measured, with what it was measured on."""
    import transformers

    behind = [f"{r['model']}: {title}" for r in rows for title, k, t in table_columns() if t in RIVALS
              and (value := ratio(r, k, t)) is not None and value < 1]  # fmt: skip
    means = table_rows(rows)[-2]
    result = {
        "title": "Tracing: time and memory of other tools as multiples of ours",
        "rows": table_rows(rows),
        "command": "python benchmarks/tracing.py",
        "seconds": (
            "processor time, one thread; warm: best of repeats in one process, interleaved; "
            "cold: first call of a new process, after the imports; memory: peak of that process, with the imports "
            "and the pages of libraries that were touched; private memory: what the call adds to its own memory"
        ),
        "repeats": arguments.repeats,
        "threads": torch.get_num_threads(),
        "hardware": {"machine": platform.machine(), "processors": os.cpu_count()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        **{f"geometric_mean_{kind}_ratio": means[f"torch.export, {kind}"] for kind in ("warm", "cold")},
        "slower_or_larger_than_another": behind,
        "models": rows,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(*(f"{name}: {value}" for name, value in means.items() if isinstance(value, float)), sep="\n")
    print("behind:", ", ".join(behind) or "nowhere")


def main() -> None:
    """Measures, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tracing")
    parser.add_argument("--seconds", type=float, default=math.inf, help="start no further model after so long")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "tracing.json")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    for model_type in arguments.models:
        path = arguments.work / f"{model_type}.json"
        if not path.exists() and time.monotonic() - start < arguments.seconds:
            path.write_text(json.dumps(measure(model_type, arguments.repeats)), encoding="utf-8")
        if path.exists():
            print_row(json.loads(path.read_text(encoding="utf-8")))
    paths = [arguments.work / f"{model_type}.json" for model_type in arguments.models]
    if all(path.exists() for path in paths):
        write_results(arguments, [json.loads(path.read_text(encoding="utf-8")) for path in paths])
    else:
        print("models are missing; run it again to go on")


if __name__ == "__main__":
    main()
