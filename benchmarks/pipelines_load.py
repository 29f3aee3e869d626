"""The pipelines under load: clients that ask at once, in one process; errors, latencies and memory as JSON.

Every client asks about networks of its own, of many sizes, by all pipelines of one checkpoint. A pipeline answers one
call at a time, as in the demo page: a tokenizer must not be used by two threads at once. Each answer has to be that
which the same question got before the load.

    python benchmarks/pipelines_load.py --users 20 --minutes 10 --output benchmarks/results/pipelines_load.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
import psutil  # noqa: E402
from space_load import memory_figures, watch  # noqa: E402
from transformers import BertConfig  # noqa: E402

import archbert  # noqa: E402
from archbert.cli_sources import find_model, load_checkpoint  # noqa: E402

SIZES = range(1, 13)
SIZE = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 1000}


def network(layers: int) -> BertConfig:
    """A small network with so many layers; a new object for every call, so that nothing is remembered of it."""
    return BertConfig(num_hidden_layers=layers, **SIZE)


def items(layers: int) -> dict[str, dict[str, Any]]:
    """What is asked of each pipeline about such a network."""
    return {
        archbert.QUESTION_ANSWERING: {"architecture": network(layers), "question": "Which activations are used?"},
        archbert.REASONING: {"architecture": network(layers), "statement": "It has more Linear than Conv2d layers."},
        archbert.CLONE_DETECTION: {"architectures": [network(layers), network(layers + 1)]},
        archbert.CAPTIONING: {"architecture": network(layers)},
    }


class Pipelines:
    """The pipelines of one checkpoint; each answers one call at a time."""

    def __init__(self, model: str | None) -> None:
        name = find_model(model)
        self._pipelines: dict[str, Any] = {}
        decodes = True
        for task, auto_class in archbert.PIPELINE_MODELS.items():
            if task == archbert.CAPTIONING and not decodes:
                continue
            loaded, processor = load_checkpoint(name, auto_class)
            decodes = bool(loaded.config.decoder_layers)
            self._pipelines[task] = archbert.pipeline(task, model=loaded, processor=processor, device="cpu")
        self._locks = {task: threading.Lock() for task in self._pipelines}

    @property
    def tasks(self) -> list[str]:
        """Those that the checkpoint has."""
        return list(self._pipelines)

    def ask(self, task: str, layers: int) -> str:
        """The answer about a network with so many layers, as text."""
        with self._locks[task]:
            found = self._pipelines[task](items(layers)[task])
        return json.dumps(found, default=str)


def use(pipelines: Pipelines, expected: dict[tuple[str, int], str], number: int, end: float) -> list[dict[str, Any]]:
    """One client until `end`: a record of every call, with its seconds and its error."""
    chosen, records = random.Random(number), []
    while time.monotonic() < end:
        task, layers = chosen.choice(pipelines.tasks), chosen.choice(SIZES)
        start, error = time.monotonic(), ""
        try:
            answer = pipelines.ask(task, layers)
            error = "" if answer == expected[task, layers] else f"another answer than before: {answer[:200]}"
        except Exception as raised:
            error = f"{type(raised).__name__}: {str(raised)[:200]}"
        records.append({"endpoint": task, "seconds": time.monotonic() - start, "error": error})
    return records


def measure(pipelines: Pipelines, users: int, seconds: float) -> dict[str, Any]:
    """The figures of one run."""
    expected = {(task, layers): pipelines.ask(task, layers) for task in pipelines.tasks for layers in SIZES}
    samples: list[tuple[float, int]] = []
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(psutil.Process(), stop, samples), daemon=True)
    watcher.start()
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(users) as pool:
        found = pool.map(lambda n: use(pipelines, expected, n, end), range(users))
        records = [record for one in found for record in one]
    stop.set()
    watcher.join()
    times = np.array([record["seconds"] for record in records if not record["error"]])
    errors = [record for record in records if record["error"]]
    quantiles = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
    return {
        "tasks": pipelines.tasks, "requests": len(records), "errors": len(errors),
        "first_errors": [f"{record['endpoint']}: {record['error']}" for record in errors[:5]],
        "seconds": {name: round(float(np.quantile(times, q)), 3) for name, q in quantiles} if len(times) else {},
        "per_minute": round(60 * len(times) / seconds, 1), "memory_mib": memory_figures(samples),
    }  # fmt: skip


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Put the pipelines under load.")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", help="checkpoint: a folder or a Hub id")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    found = measure(Pipelines(options.model), options.users, options.minutes * 60)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    result = {
        "command": f"python benchmarks/pipelines_load.py --users {options.users} --minutes {options.minutes:g}",
        "commit": commit.strip(), "date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1), "python": platform.python_version(), "users": options.users,
        "minutes": options.minutes, **found,
    }  # fmt: skip
    text = json.dumps(result, indent=2)
    sys.stdout.write(f"{text}\n")
    if options.output:
        options.output.write_text(f"{text}\n", encoding="utf-8")
    return 1 if result["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
