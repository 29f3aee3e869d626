"""Processes and their end: an interrupt is the parent's to handle, and no child outlives a parent that was killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_held() -> Iterator[None]:
    """An interrupt comes after the block, and never to processes that are started in it: none is left half started.

    The mask of signals is what those inherit. It holds for one thread only, so here the handler waits as well.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if held and callable(handler):
        handler(*held[0])


def ignore_interrupts() -> None:
    """What a process that serves another one calls at its start."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def start_worker() -> None:
    """Initializer of a pool of processes: interrupts are ignored, and the worker ends when its parent is gone.

    A parent that is killed can tell nobody. The other workers hold the ends of the pipes that a worker waits at, so by
    itself it would wait for ever.
    """
    ignore_interrupts()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
