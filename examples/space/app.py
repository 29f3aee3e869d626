"""The demo of ArchBERT as a Hugging Face Space: ``python app.py``, or ``make space`` in a clone.

python app.py --port 7860
ARCHBERT_SPACE_UPLOAD_MIB=20 python app.py --model hub/models/archbert-mini --index hub/index
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several users at once share the cores
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")  # a table is made of all after every request
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from archbert.cli_output import CommandError
from archbert_space.checkpoint import Checkpoint
from archbert_space.limits import Limits
from archbert_space.networks import Networks, names_to_choose
from archbert_space.page import build, launch
from archbert_space.pictures import Pictures
from archbert_space.tasks import Tasks


def make_tasks(limits: Limits, model: str | None = None, index: str | None = None) -> Tasks:
    """Loads the checkpoint and the index, once for all users.

    Raises:
        CommandError: the checkpoint cannot be loaded.
    """
    networks = Networks(limits)
    return Tasks(Checkpoint(networks, model, index), networks, Pictures(limits), limits)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status once the demo is stopped."""
    parser = argparse.ArgumentParser(description="Start the demo of ArchBERT.")
    parser.add_argument(
        "--model", help="checkpoint: a folder or a Hub id (default: $ARCHBERT_MODEL, then the clone's)"
    )
    parser.add_argument(
        "--index",
        help="folder or Hub id of the index that is searched (default: $ARCHBERT_INDEX, the clone's, the Hub's)",
    )
    parser.add_argument(
        "--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), help="address to listen on"
    )
    parser.add_argument("--port", type=int, help="port (default: the first free one from 7860)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    try:
        limits = Limits.from_environment()
        tasks = make_tasks(limits, options.model, options.index)
    except (CommandError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    app = build(tasks, names_to_choose(tasks.networks))
    launch(app, limits, server_name=options.host, server_port=options.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
