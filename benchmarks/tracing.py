"""Time of `trace` against `torch.export` on transformers models at their default sizes.

    python benchmarks/tracing.py [--models bert llama] [--repeats 3] [--output benchmarks/results/tracing.json]

* Both build the model on `meta` and capture it with the same inputs; no weights are allocated by either.
* `torch.export` runs with `strict=False`; where it fails on meta tensors it gets fake tensors, and a second failure is
  reported as one.
* Seconds are processor time of one thread, which other work on the machine changes little.
* warm: the best of several runs in one process, the two interleaved. cold: the first run of a fresh process each,
  after the imports.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import math
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

MODELS = ("resnet", "vit", "bert", "gpt2", "t5", "llama", "whisper", "clip", "mamba", "mixtral")
TOOLS = ("trace", "export")


def default_config(model_type: str) -> Any:
    """Default configuration of a transformers model type."""
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type]()


def run_trace(model_type: str) -> int:
    """Builds and traces; number of nodes."""
    from processing_archbert.tracing_archbert import trace

    return trace(default_config(model_type)).num_nodes


def run_export(model_type: str, fake: bool = False) -> int:
    """Builds on meta (or as fake tensors) and exports with the inputs that `trace` uses; number of nodes."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import AutoModel

    from processing_archbert.dummy_inputs_config_archbert import config_inputs
    from processing_archbert.tracing_mirror_archbert import traceable_config

    config = traceable_config(default_config(model_type))
    if not fake:
        with torch.device("meta"):
            model = AutoModel.from_config(config).eval()
        inputs = {k: v.to("meta") for k, v in next(config_inputs(config, model)).items()}
        return len(torch.export.export(model, (), inputs, strict=False).graph.nodes)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        model = AutoModel.from_config(config).eval()
        inputs = {
            k: torch.empty(v.shape, dtype=v.dtype) if v.device.type == "meta" else mode.from_tensor(v)
            for k, v in next(config_inputs(config, model)).items()
        }
    return len(torch.export.export(model, (), inputs, strict=False).graph.nodes)


def choose_export(model_type: str) -> tuple[Callable[[], int] | None, str]:
    """The way of exporting that works for this model, and its name or the reason of the failure."""
    reasons = []
    for label, fake in (("meta", False), ("fake tensors", True)):
        try:
            run_export(model_type, fake)
            return functools.partial(run_export, model_type, fake), label
        except Exception as error:
            reasons.append(f"{label}: {type(error).__name__}: {' '.join(str(error).split())[:160]}")
    return None, "; ".join(reasons)


def timed(function: Callable[[], int]) -> tuple[float, int]:
    """Seconds of processor time that a call takes, and its result."""
    start = time.process_time()
    nodes = function()
    return time.process_time() - start, nodes


def measure_warm(model_type: str, repeats: int) -> dict[str, Any]:
    """Best times of both tools in this process, interleaved."""
    export, how = choose_export(model_type)
    run_trace(model_type)
    best: dict[str, Any] = {"export_way": how}
    for _ in range(repeats):
        for tool, function in (("trace", lambda: run_trace(model_type)), ("export", export)):
            if function is not None:
                seconds, nodes = timed(function)
                best[tool] = min(best.get(tool, math.inf), seconds)
                best[f"{tool}_nodes"] = nodes
    return best


def measure_cold(model_type: str, tool: str, way: str) -> float | None:
    """Time of the first call in a fresh process, after the imports of torch, transformers and both tools."""
    command = [sys.executable, __file__, "--cold", tool, "--models", model_type, "--way", way]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(result.stdout.split()[-1]) if result.returncode == 0 else None


def run_cold(model_type: str, tool: str, way: str) -> None:
    """Prints the seconds of one first call."""
    import torch.export  # noqa: F401
    import transformers.modeling_utils  # noqa: F401

    import processing_archbert  # noqa: F401

    default_config(model_type)
    function = (lambda: run_trace(model_type)) if tool == "trace" else (lambda: run_export(model_type, way != "meta"))
    print(timed(function)[0])


def geometric_mean(values: list[float]) -> float:
    """Geometric mean; 0 for no values."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else 0.0


def measure(model_type: str, repeats: int) -> dict[str, Any]:
    """One row of the table."""
    row: dict[str, Any] = {"model": model_type, "warm": measure_warm(model_type, repeats)}
    way = row["warm"]["export_way"]
    row["cold"] = {tool: measure_cold(model_type, tool, way) for tool in TOOLS if tool in row["warm"]}
    for kind in ("warm", "cold"):
        ours, theirs = row[kind].get("trace"), row[kind].get("export")
        row[f"{kind}_ratio"] = theirs / ours if ours and theirs else None
    return row


def format_row(row: dict[str, Any]) -> str:
    """One line of the printed table."""

    def cell(value: float | None) -> str:
        return f"{value:10.3f}" if value is not None else "    failed"

    parts = [f"{row['model']:10s}"]
    for kind in ("warm", "cold"):
        parts += [cell(row[kind].get("trace")), cell(row[kind].get("export")), cell(row[f"{kind}_ratio"])]
    return " ".join(parts) + f"  {row['warm'].get('trace_nodes')} / {row['warm'].get('export_nodes')}"


def main() -> None:
    """Measures, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "tracing.json")
    parser.add_argument("--cold", choices=TOOLS, help=argparse.SUPPRESS)
    parser.add_argument("--way", default="meta", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    if arguments.cold:
        run_cold(arguments.models[0], arguments.cold, arguments.way)
        return
    print(f"{'':10s} {'trace':>10s} {'export':>10s} {'ratio':>10s} {'cold trace':>10s} {'export':>10s} {'ratio':>10s}"
          "  nodes")  # fmt: skip
    rows = []
    for model_type in arguments.models:
        rows.append(measure(model_type, arguments.repeats))
        print(format_row(rows[-1]), flush=True)
    summary = {
        f"geometric_mean_{kind}_ratio": geometric_mean([r[f"{kind}_ratio"] for r in rows if r[f"{kind}_ratio"]])
        for kind in ("warm", "cold")
    }
    print(*(f"{name} {value:.2f}" for name, value in summary.items()), sep="\n")
    write_results(arguments, rows, summary)


def table_rows(rows: list[dict[str, Any]], summary: dict[str, float]) -> list[dict[str, Any]]:
    """The table of the README: ratios, no seconds, which would be those of one machine."""
    table = [
        {
            "model": row["model"],
            "nodes": row["warm"].get("trace_nodes"),
            "nodes of torch.export": row["warm"].get("export_nodes"),
            "export / trace, warm": row["warm_ratio"],
            "export / trace, cold": row["cold_ratio"],
        }
        for row in rows
    ]
    means = {f"export / trace, {kind}": summary[f"geometric_mean_{kind}_ratio"] for kind in ("warm", "cold")}
    return [*table, {"model": "geometric mean", "nodes": None, "nodes of torch.export": None, **means}]


def write_results(arguments: argparse.Namespace, rows: list[dict[str, Any]], summary: dict[str, float]) -> None:
    """Writes what was measured, with what it was measured on."""
    import transformers

    result = {
        "title": "Tracing: time of torch.export as a multiple of ours",
        "rows": table_rows(rows, summary),
        "command": "python benchmarks/tracing.py",
        "seconds": (
            "processor time, one thread; warm: best of repeats in one process, interleaved; "
            "cold: first call of a fresh process, after the imports"
        ),
        "repeats": arguments.repeats,
        "threads": torch.get_num_threads(),
        "hardware": {"machine": platform.machine(), "processors": os.cpu_count()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        **summary,
        "models": rows,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
