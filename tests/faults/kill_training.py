"""Kills trainings at random moments and compares the weights they end with: ``python tests/faults/kill_training.py``.

A training saves its state after every step, so that many kills fall into the saving. It is killed, resumed and killed
again until it comes to its end; its weights then have to be, bit for bit, those of a run that nothing disturbed. Runs
are forked from one process that has imported everything, so a kill costs a second and not ten.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import torch  # noqa: E402
from processes import forked, wait  # noqa: E402

import run_aqa  # noqa: E402
from dataset_scripts.autonet.generate_autonet import generate  # noqa: E402
from training_loop import saved_states  # noqa: E402

STEPS = 60
COMMAND = "python tests/faults/kill_training.py"
SMALL = {
    "text_config": {
        "vocab_size": 500, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16,
    },
    "number_embedding_size": 4, "relevance_size": 8, "fusion_intermediate_size": 16,
}  # fmt: skip


def _train(data: str, folder: Path, resume: bool) -> None:
    """One process of a run."""
    arguments: dict[str, Any] = {
        "data": data, "output_dir": str(folder), "cache_dir": str(folder.parent / "cache"), "cpu": True, "threads": 1,
        "overrides": json.dumps(SMALL), "graphs_per_step": 3, "questions_per_step": 6, "limit_validation": 1,
    }  # fmt: skip
    run_aqa.main(run_aqa.AqaArguments(**arguments, max_steps=STEPS, save_steps=1, resume=resume))


def start(data: str, folder: Path, processes: int) -> list[int]:
    """Process ids of a run that goes on from the newest saved state, if there is one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    resume = bool(saved_states(folder / "checkpoints"))

    def run(rank: int) -> None:
        if processes > 1:
            os.environ |= {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "MASTER_PORT": str(port),
                "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
            }  # fmt: skip
        _train(data, folder, resume)

    return [forked(partial(run, rank), folder.parent / f"log-{rank}.txt") for rank in range(processes)]


def digest(folder: Path) -> str:
    """SHA-256 of the weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def undisturbed(folder: Path, processes: int) -> tuple[str, float]:
    """Digest and seconds of a run that nothing happens to."""
    whole = folder / "undisturbed" / "run"
    whole.mkdir(parents=True)
    began = time.monotonic()
    wait(start(str(folder / "data"), whole, processes), whole.parent)
    return digest(whole), time.monotonic() - began


def disturb(folder: Path, processes: int, length: float, kills: int, rng: random.Random) -> dict[str, int]:
    """One run, killed up to `kills` times at random moments, to its end; the folder is emptied before.

    Returns:
        Number of kills, of those that came between the first and the last step, and of those that left a half-written
        state behind.
    """
    run = folder / "disturbed" / "run"
    shutil.rmtree(run.parent, ignore_errors=True)
    run.mkdir(parents=True)
    done = {"kills": 0, "while_training": 0, "half_written": 0}
    while True:
        seconds = rng.uniform(0, length) if done["kills"] < kills else None
        if wait(start(str(folder / "data"), run, processes), run.parent, seconds):
            return done
        done["kills"] += 1
        states = saved_states(run / "checkpoints")
        newest = int(states[-1].name.removeprefix("step-")) if states else 0
        done["while_training"] += 0 < newest < STEPS
        later = (run / "checkpoints").glob("step-*")
        done["half_written"] += any(int(path.name.removeprefix("step-")) > newest for path in later)


def kill(kills: int, done: dict[str, int], folder: Path, save: Callable[[], None], deadline: float) -> None:
    """Disturb runs until `done` counts `kills` kills, or the deadline has passed.

    Args:
        kills: number of kills in all.
        done: counts up to now, of `processes` processes; `ended` are runs that came to their end, `equal` those of
            them whose weights are right.
        folder: an empty folder.
        save: called after every run.
        deadline: `time.monotonic()` after which no new run begins.

    Raises:
        RuntimeError: a run ended with an error of its own.
    """
    torch.set_num_threads(1)
    generate(6, 3, 0, folder / "data", size="tiny", num_test=0)
    right, length = undisturbed(folder, done["processes"])
    while done["kills"] < kills and time.monotonic() < deadline:
        rng = random.Random(f"{done['processes']}/{done['ended']}")
        for name, count in disturb(folder, done["processes"], length, kills - done["kills"], rng).items():
            done[name] += count
        done["ended"] += 1
        done["equal"] += digest(folder / "disturbed" / "run") == right
        save()


def main() -> int:
    """Command line; 1 if a run ended with other weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after this time")
    parser.add_argument("--json", type=Path, help="the result; what is counted there already is not done again")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    saved = json.loads(options.json.read_text())["runs"] if options.json and options.json.exists() else []
    runs = {run["processes"]: run for run in saved if run["steps"] == STEPS}
    for processes in options.processes:
        none = dict.fromkeys(("kills", "while_training", "half_written", "ended", "equal"), 0)
        done = runs.setdefault(processes, {"processes": processes, "steps": STEPS} | none)

        def save() -> None:
            if options.json:
                text = json.dumps({"command": COMMAND, "runs": list(runs.values())}, indent=1)
                options.json.write_text(text + "\n", encoding="utf-8")

        if done["kills"] < options.kills and time.monotonic() < deadline:
            folder = Path(tempfile.mkdtemp(prefix="killed-trainings-"))
            kill(options.kills, done, folder, save, deadline)
            shutil.rmtree(folder)  # not after an error: the logs tell
        print(done, flush=True)
    return int(any(run["equal"] < run["ended"] for run in runs.values()))


if __name__ == "__main__":
    raise SystemExit(main())
