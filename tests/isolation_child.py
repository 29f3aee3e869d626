"""Uses isolation as users do: at top level of a script without a guard, in a forked process, with Ctrl-C.

`isolation_child.py FOLDER` writes `results.json` into FOLDER, then makes a call that hangs, to be killed in it.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import isolated_functions

from processing_archbert.isolation_archbert import run_isolated

folder = Path(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background may have been told to ignore it
results = {"plain": run_isolated(isolated_functions.echo, 1)}
server = run_isolated(isolated_functions.surroundings, "X")["server"]


def in_child() -> None:
    """A call from a forked process, which starts a server of its own."""
    seen = run_isolated(isolated_functions.surroundings, "X")
    (folder / "forked.json").write_text(json.dumps(seen))


process = multiprocessing.get_context("fork").Process(target=in_child, daemon=True)
process.start()


def when_there(name: str) -> str:
    """The number of a process, when it has written it."""
    while not (folder / name).exists() or not (folder / name).read_text():
        time.sleep(0.01)
    return (folder / name).read_text()


threading.Thread(target=lambda: when_there("interrupted") and os.kill(os.getpid(), signal.SIGINT)).start()
try:
    run_isolated(isolated_functions.hang, "deaf", str(folder / "interrupted"))
except KeyboardInterrupt:
    results["interrupted"] = not Path("/proc", (folder / "interrupted").read_text()).exists()

threading.Thread(target=lambda: when_there("lost") and os.kill(server, signal.SIGKILL)).start()
try:
    run_isolated(isolated_functions.hang, "deaf", str(folder / "lost"))
except RuntimeError as error:
    results["lost"] = str(error)
replaced = run_isolated(isolated_functions.surroundings, "X")["server"]
results["replaced"] = replaced != server

process.join()
results["forked"] = json.loads((folder / "forked.json").read_text())["server"] not in (server, replaced)
results["after"] = run_isolated(isolated_functions.surroundings, "X")["server"] == replaced
results["server"] = replaced
(folder / "results.json.new").write_text(json.dumps(results))
(folder / "results.json.new").rename(folder / "results.json")
run_isolated(isolated_functions.hang, "deaf", str(folder / "orphan"))
time.sleep(600)
