"""Cold start of `archbert describe`: ``python benchmarks/command_line.py [--rounds 5] [--types bert resnet]``.

For each model type two processes run in turn, round after round: one that imports torch and the model's class and
builds it on the meta device, and one that runs `archbert describe TYPE`. Printed is the median of the ratios of
neighbours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 1.5
_BUILD = """
import torch
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_MAPPING
config = AutoConfig.for_model({name!r})
with torch.device("meta"):
    MODEL_MAPPING[type(config)](config)
"""


def seconds(arguments: list[str]) -> float:
    """Wall time of a process.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--types", nargs="+", default=["bert", "resnet"])
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    results = {}
    for name in options.types:
        rounds = []
        for _ in range(options.rounds):
            build = seconds(["-c", _BUILD.format(name=name)])
            full = seconds(["-m", "archbert", "describe", name])
            brief = seconds(["-m", "archbert", "describe", name, "--no-costs"])
            rounds.append((build, full, brief))
        results[name] = {
            "build": statistics.median(r[0] for r in rounds),
            "describe": statistics.median(r[1] for r in rounds),
            "ratio": statistics.median(r[1] / r[0] for r in rounds),
            "ratio without costs": statistics.median(r[2] / r[0] for r in rounds),
        }
        told = ", ".join(f"{key} {value:.2f}" for key, value in results[name].items())
        sys.stdout.write(f"{name}: {told} (limit of the ratio {LIMIT})\n")
    if options.output:
        options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
