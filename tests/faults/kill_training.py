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
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import torch  # noqa: E402

import run_aqa  # noqa: E402
from dataset_scripts.autonet.generate_autonet import generate  # noqa: E402
from training_loop import saved_states  # noqa: E402

STEPS = 60
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
    pids = []
    for rank in range(processes):
        pid = os.fork()
        if pid:
            pids.append(pid)
            continue
        try:
            os.setsid()
            sink = os.open(folder.parent / f"log-{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            if processes > 1:
                os.environ |= {
                    "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "MASTER_PORT": str(port),
                    "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
                }  # fmt: skip
            _train(data, folder, resume)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    return pids


def wait(pids: Sequence[int], logs: Path, seconds: float | None = None) -> bool:
    """Whether all ended well; those that run longer than `seconds` are killed."""
    ends = None if seconds is None else time.monotonic() + seconds
    left, codes = set(pids), []
    while left:
        for pid in list(left):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                left.remove(pid)
                codes.append(os.waitstatus_to_exitcode(status))
                if codes[-1] > 0:
                    raise RuntimeError(f"a run failed by itself, with exit status {codes[-1]}; see {logs}/log-*.txt")
        if left and ends is not None and time.monotonic() > ends:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            ends = None
        time.sleep(0.002)
    return all(code == 0 for code in codes)


def digest(folder: Path) -> str:
    """SHA-256 of the weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def kill(kills: int, processes: int, folder: Path, seed: int = 0) -> dict[str, Any]:
    """Kill runs `kills` times in all.

    Returns:
        Number of kills, of those that came between the first and the last step, and of those that left a half-written
        state behind; of runs that came to their end, and of those among them whose weights are right.

    Raises:
        RuntimeError: a run ended with an error of its own.
    """
    torch.set_num_threads(1)
    data, rng = str(folder / "data"), random.Random(seed)
    generate(6, 3, 0, data, size="tiny", num_test=0)
    whole = folder / "undisturbed" / "run"
    whole.mkdir(parents=True)
    began = time.monotonic()
    wait(start(data, whole, processes), whole.parent)
    length = time.monotonic() - began
    done = {"kills": 0, "while_training": 0, "half_written": 0, "ended": 0, "equal": 0}
    while done["kills"] < kills:
        run = folder / f"disturbed-{done['ended']}" / "run"
        run.mkdir(parents=True)
        while not wait(
            start(data, run, processes), run.parent, rng.uniform(0, length) if done["kills"] < kills else None
        ):
            done["kills"] += 1
            states = saved_states(run / "checkpoints")
            newest = int(states[-1].name.removeprefix("step-")) if states else 0
            done["while_training"] += 0 < newest < STEPS
            later = (run / "checkpoints").glob("step-*")
            done["half_written"] += any(int(path.name.removeprefix("step-")) > newest for path in later)
        done["ended"] += 1
        done["equal"] += digest(run) == digest(whole)
    return {"processes": processes, **done}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", help="write the result there")
    options = parser.parse_args()
    results = []
    for processes in options.processes:
        folder = Path(tempfile.mkdtemp(prefix="killed-trainings-"))
        results.append(kill(options.kills, processes, folder))
        shutil.rmtree(folder)  # not after an error: the logs tell
        print(results[-1], flush=True)
    if options.json:
        text = json.dumps({"command": "python tests/faults/kill_training.py", "runs": results}, indent=1)
        Path(options.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
