"""How soon training starts, and what it keeps in memory: AutoNet from disk, with and without what is kept there.

    python benchmarks/reading.py --data DIR [--limit 10000] [--graphs 16] [--questions 48] [--descriptions 0]

* Three processes, each with one thread and the processor of archbert-mini: the first ever (files are converted by
  `datasets`, graphs are folded, their answers computed), the next one, and the next one with descriptions.
* `start_seconds` run from after the imports to the first block, `start_processor_seconds` are the same without what
  other programs take; `seconds_per_block` is the mean of the blocks after it.
* `resident` has the pages of mapped files, which the system takes back when it needs them; `own` has not; both are the
  highest of the whole process, in MiB. `imports` is what the imports alone take of `own`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "hub" / "models" / "archbert-mini"
RUNS = ("first", "again", "with descriptions")


def memory() -> tuple[float, float]:
    """Resident memory of this process and its part that is no file, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss") or line.startswith("VmR")}
    return int(sizes["VmRSS"]) / 1024, int(sizes["RssAnon"]) / 1024


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One start of a training, and some blocks."""
    sys.path[:0] = [str(ROOT), str(ROOT / "examples")]
    import torch

    from blocks import Blocks, load_split
    from processing_archbert import ArchBertProcessor

    torch.set_num_threads(1)
    processor = ArchBertProcessor.from_pretrained(MODEL)
    imports = memory()[1]
    peaks = [memory()]
    start, processor_start = time.perf_counter(), time.process_time()
    split = load_split(options.data, "train", options.limit, options.cache_dir)
    peaks.append(memory())
    opened = time.perf_counter()
    split.encode(processor)
    peaks.append(memory())
    encoded = time.perf_counter()
    blocks = Blocks(
        split, processor, graphs=options.graphs, questions=options.questions, descriptions=options.descriptions
    )
    blocks(0)
    peaks.append(memory())
    first, processor_first = time.perf_counter(), time.process_time()
    for block in range(1, options.blocks):
        blocks(block)
        peaks.append(memory())
    last = time.perf_counter()
    return {
        "architectures": len(split),
        "questions": sum(1 for _ in split.each_question()),
        "start_seconds": round(first - start, 2),
        "start_processor_seconds": round(processor_first - processor_start, 2),
        "of_it_opening": round(opened - start, 2),
        "of_it_tokens": round(encoded - opened, 2),
        "seconds_per_block": round((last - first) / (options.blocks - 1), 4),
        "imports": round(imports),
        "resident": round(max(peak[0] for peak in peaks)),
        "own": round(max(peak[1] for peak in peaks)),
    }


def run(options: argparse.Namespace, descriptions: int) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--child", "--data", options.data, "--limit", str(options.limit)]
    for name in ("graphs", "questions", "blocks", "cache_dir"):
        command += [f"--{name}", str(getattr(options, name))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HOME": str(Path(options.cache_dir) / "huggingface")}
    done = subprocess.run(
        [*command, "--descriptions", str(descriptions)], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of a generated AutoNet")
    parser.add_argument("--limit", type=int, default=10_000, help="architectures to read")
    parser.add_argument("--graphs", type=int, default=16, help="architectures of a block")
    parser.add_argument("--questions", type=int, default=48, help="questions of a block")
    parser.add_argument("--descriptions", type=int, default=48, help="descriptions of a block of the third run")
    parser.add_argument("--blocks", type=int, default=100, help="blocks that are made")
    parser.add_argument("--cache_dir", default=None, help="where things are kept; default: a new folder")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "reading.json")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.cache_dir = options.cache_dir or folder
        rows = [{"run": name, **run(options, options.descriptions * (name == RUNS[2]))} for name in RUNS]
    result = {
        "title": "Reading: how soon training starts, and what it keeps in memory (MiB)",
        "rows": rows,
        "command": "python benchmarks/reading.py " + " ".join(sys.argv[1:]),
        "hardware": f"{platform.machine()}, 1 thread of {os.cpu_count()} processors",
        "date": date.today().isoformat(),
    }
    print(json.dumps(result, indent=1))
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
