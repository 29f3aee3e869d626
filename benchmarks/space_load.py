"""The demo under load: users who ask at once, each about networks of its own; errors, latencies and memory as JSON.

Starts `examples/space/app.py` in a process of its own, and lets every user go on asking until the time is over. Each
checks that what comes back is about its own network.

python benchmarks/space_load.py --users 20 --minutes 10 --output benchmarks/results/space_load.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS, SAMPLE_SECONDS = 600, 5.0
WARM_UP_SHARE = 0.25
"""Share of the time after which memory is compared: models, caches and children are warm then."""
MAX_LAYERS = 40


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def memory_of(process: psutil.Process) -> int:
    """Bytes that a process holds for itself, without its children."""
    return int(process.memory_full_info().uss)


def requests_of(layers: int) -> list[tuple[str, list[Any], Any]]:
    """What a user asks about a network with so many layers: endpoint, arguments, and whether an answer is its own."""
    size = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 1000}
    network = json.dumps({"model_type": "bert", "num_hidden_layers": layers, **size})
    return [
        ("/architecture_question_answering", [network, "How many layers are there?"],
         lambda found: found["answers"][0]["answer"] == str(layers)),
        ("/architecture_reasoning", [network, f"It has {layers} layers."], lambda found: found["label"] == "correct"),
        ("/architecture_reasoning", [network, "It has more Linear than Conv2d layers."],
         lambda found: "label" in found),
        ("/architecture_captioning", [network], lambda found: f"{layers} layers" in found["description"]),
        ("/architecture_clone_detection", [network, "bert"], lambda found: "label" in found),
        ("/architecture_diff", [network, network], lambda found: found["verdict"] == "identical"),
        ("/architecture_search", ["a transformer that reads text"], lambda found: len(found) > 0),
        ("/architecture_picture", [network], lambda found: found.startswith("<svg")),
    ]  # fmt: skip


def use(address: str, number: int, end: float, seed: int) -> list[dict[str, Any]]:
    """One user until `end`: a record of every request, with its seconds and its error."""
    from gradio_client import Client

    chosen, records = random.Random(seed * 1000 + number), []
    client = Client(address, verbose=False, httpx_kwargs={"timeout": 600})
    while time.monotonic() < end:
        endpoint, arguments, is_own = chosen.choice(requests_of(2 + chosen.randrange(MAX_LAYERS)))
        start, error = time.monotonic(), ""
        try:
            found = client.predict(*arguments, api_name=endpoint)
            error = "" if is_own(found) else f"not the answer to what was asked: {str(found)[:200]}"
        except Exception as raised:
            error = f"{type(raised).__name__}: {str(raised)[:200]}"
        records.append({"endpoint": endpoint, "seconds": time.monotonic() - start, "error": error})
    return records


def watch(process: psutil.Process, stop: threading.Event, samples: list[tuple[float, int]]) -> None:
    """Memory of the page every few seconds, until it is stopped."""
    start = time.monotonic()
    while not stop.wait(SAMPLE_SECONDS):
        try:
            samples.append((time.monotonic() - start, memory_of(process)))
        except psutil.Error:
            return


def measure(address: str, process: psutil.Process, users: int, seconds: float, seed: int) -> dict[str, Any]:
    """The figures of one run."""
    samples: list[tuple[float, int]] = []
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(process, stop, samples), daemon=True)
    watcher.start()
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(users) as pool:
        records = [r for found in pool.map(lambda n: use(address, n, end, seed), range(users)) for r in found]
    stop.set()
    watcher.join()
    times = np.array([record["seconds"] for record in records if not record["error"]])
    errors = [record for record in records if record["error"]]
    return {
        "requests": len(records),
        "errors": len(errors),
        "first_errors": [f"{record['endpoint']}: {record['error']}" for record in errors[:5]],
        "alive": process.is_running(),
        "seconds": {name: round(float(np.quantile(times, q)), 3) for name, q in
                    (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))} if len(times) else {},
        "per_minute": round(60 * len(times) / seconds, 1),
        "memory_mib": memory_figures(samples),
    }  # fmt: skip


def memory_figures(samples: list[tuple[float, int]]) -> dict[str, Any]:
    """Memory after warm-up and at the end (medians of a fifth of the samples each), the greatest, and the slope.

    All in MiB, the slope a minute; `by_minute` has the medians of all minutes, so that one sees how it goes on.
    """
    if len(samples) < 4:
        return {}
    warm = samples[int(len(samples) * WARM_UP_SHARE) :]
    minutes, used = np.array([t / 60 for t, _ in warm]), np.array([b / 2**20 for _, b in warm])
    part = max(1, len(warm) // 5)
    slope = float(np.polyfit(minutes, used, 1)[0]) if len(warm) > 2 else 0.0
    figures = {
        "warm": np.median(used[:part]),
        "end": np.median(used[-part:]),
        "greatest": used.max(),
        "per_minute": slope,
    }
    minute = np.array([int(t // 60) for t, _ in samples])
    each = np.array([b / 2**20 for _, b in samples])
    by_minute = [round(float(np.median(each[minute == m])), 1) for m in np.unique(minute)]
    return {name: round(float(value), 1) for name, value in figures.items()} | {"by_minute": by_minute}


def started(arguments: list[str]) -> tuple[subprocess.Popen[bytes], str]:
    """The page in a process of its own, once it answers."""
    port = free_port()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "examples" / "space" / "app.py"), "--port", str(port), *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, f"http://127.0.0.1:{port}/"
        time.sleep(0.5)
    process.kill()
    raise RuntimeError("The page did not start; run examples/space/app.py to see why.")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Put the demo under load.")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="checkpoint of the page")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    process, address = started(["--model", options.model] if options.model else [])
    try:
        found = measure(address, psutil.Process(process.pid), options.users, options.minutes * 60, options.seed)
    finally:
        process.terminate()
        process.wait()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    result = {
        "command": f"python benchmarks/space_load.py --users {options.users} --minutes {options.minutes:g}",
        "commit": commit.strip(), "date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1), "python": platform.python_version(),
        "users": options.users, "minutes": options.minutes, **found,
    }  # fmt: skip
    text = json.dumps(result, indent=2)
    sys.stdout.write(f"{text}\n")
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(f"{text}\n", encoding="utf-8")
    sys.exit(1 if result["errors"] else 0)


if __name__ == "__main__":
    main()
