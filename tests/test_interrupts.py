"""Processes end with the one that started them, however that one ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 60
READING = """
import os, sys, time
from archbert.cli_sources import _pool
if __name__ == "__main__":
    with _pool(2) as pool:
        print(*sorted(set(pool.map(who, range(4)))), flush=True)
        time.sleep(600)
"""
GENERATING = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from processing_archbert.interrupts_archbert import start_worker
if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), start_worker) as pool:
        print(*sorted(set(pool.map(who, range(4)))), flush=True)
        time.sleep(600)
"""
WHO = """
def who(number):
    import os, time
    time.sleep(0.3)
    return os.getpid()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nothing can be killed like that here")
@pytest.mark.parametrize("program", [READING, GENERATING], ids=["command line", "spawn"])
def test_no_worker_outlives_a_parent_that_was_killed(program: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{WHO}\n{program}")
    parent = subprocess.Popen([sys.executable, "-W", "ignore", str(file)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = {psutil.Process(int(pid)) for pid in parent.stdout.readline().split()}
    started = {*workers, *psutil.Process(parent.pid).children(recursive=True)}
    assert len(workers) == 2 and workers <= started
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, left = psutil.wait_procs(started, timeout=SECONDS)
    for process in left:
        process.kill()
    assert not left
