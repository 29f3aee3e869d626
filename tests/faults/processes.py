"""Processes that are forked from one that has imported everything, so that a kill costs a second and not ten."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path


def forked(function: Callable[[], object], log: Path) -> int:
    """Process id of a child that runs `function`, in a session of its own; what it prints goes to `log`."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        function()
        sys.stdout.flush()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def wait(pids: Sequence[int], logs: Path, seconds: float | None = None) -> bool:
    """Whether all ended well; those that run longer than `seconds` are killed.

    Raises:
        RuntimeError: one of them failed by itself.
    """
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
