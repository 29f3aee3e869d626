"""The demo of examples/space with a checkpoint of random weights and a small index, served on a free port."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_checkpoint import tiny_release

from archbert.cli_output import CommandError

ROOT = Path(__file__).resolve().parents[1]
SPACE = ROOT / "examples" / "space"
sys.path.insert(0, str(SPACE))
NAMES = ("bert", "convnext", "resnet")


def small_tasks(folder: Path, limits: Any) -> Any:
    """The tasks with such a checkpoint, made in `folder`."""
    from archbert_space import checkpoint
    from archbert_space.networks import Networks
    from archbert_space.pictures import Pictures
    from archbert_space.tasks import Tasks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "SMALL_INDEX", ("bert", "resnet", "no-such-network"))
        patch.setattr(checkpoint, "find_index", _no_index)
        networks = Networks(limits)
        models = checkpoint.Checkpoint(networks, str(tiny_release(folder)))
    return Tasks(models, networks, Pictures(limits), limits)


def _no_index(given: str | None) -> str:
    raise CommandError("No index is here.")


@contextmanager
def served(tasks: Any) -> Iterator[str]:
    """The address of the page while it is served."""
    from archbert_space.page import build, launch

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = build(tasks, NAMES)
    launch(app, tasks.limits, server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        app.close()
