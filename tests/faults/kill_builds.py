"""Kills builds at random moments and compares the files that they end with: ``python tests/faults/kill_builds.py``.

Three builds are killed, started again and killed again until they come to their end; every file of what they made has
to be, byte for byte, that of a build that nothing disturbed:

* `autonet`: AutoNet's generator, in one process and in two by turns, in parts of two architectures;
* `tvhf`: TVHF from a registry of a few families: tracing, table of architectures, clones, texts and questions;
* `index`: ``archbert index build`` of a few `config.json` files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

import transformers.models.bert.modeling_bert  # noqa: E402, F401  # forked with everything that a build imports
from processes import forked, wait  # noqa: E402

from archbert.cli import main as command_line  # noqa: E402
from dataset_scripts.autonet import manifest_autonet, parts_autonet  # noqa: E402
from dataset_scripts.autonet.generate_autonet import generate  # noqa: E402
from dataset_scripts.tvhf import build_architectures, build_tasks  # noqa: E402

COMMAND = "python tests/faults/kill_builds.py"
COUNTS = ("kills", "with_files", "ended", "equal")
TEXT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 99}
FAMILY = """\
- family: {type}
  paradigm: encoder-only transformer
  modality: [text]
  tasks: [text encoding]
  year: 20{year}
  origin: {{organisation: null}}
  members:
    - type: {type}
      config: {config}
      origin: {{checkpoint: null, copyright_years: [20{year}]}}
"""


def autonet(folder: Path, turn: int) -> None:
    """AutoNet of 8 + 4 + 2 tiny architectures."""
    generate(8, 4, 7, folder / "made", size="tiny", num_test=2, num_proc=1 + turn % 2)


def tvhf(folder: Path, turn: int) -> None:
    """TVHF of a few networks; the task configs without sentences."""
    families = folder / "families"
    families.mkdir(exist_ok=True)
    for number, kind in enumerate(("albert", "bert", "electra", "roberta", "ernie", "convbert")):
        text = FAMILY.format(type=kind, year=18 + number, config=json.dumps(TEXT))
        (families / f"{kind}.yaml").write_text(text)
    made = folder / "made"
    sys.argv = ["", "--out", str(made), "--families", str(families), "--graphs", str(folder / "graphs")]
    try:
        build_architectures.main()
    except SystemExit as done:
        if done.code:
            raise
    common = ["--architectures", str(made / "architectures"), "--out", str(made), "--work", str(folder / "work")]
    if build_tasks.main(common):
        raise RuntimeError("build_tasks failed")


def index(folder: Path, turn: int) -> None:
    """An index of four configs."""
    configs = folder / "configs"
    configs.mkdir(exist_ok=True)
    for layers in range(1, 5):
        config = {"model_type": "bert", **TEXT, "num_hidden_layers": layers}
        (configs / f"bert-{layers}.json").write_text(json.dumps(config))
    names = [str(path) for path in sorted(configs.iterdir())]
    if command_line(["index", "build", *names, "-o", str(folder / "made"), "--jobs", str(1 + turn % 2)]):
        raise RuntimeError("archbert index build failed")


BUILDS: dict[str, Callable[[Path, int], None]] = {"autonet": autonet, "tvhf": tvhf, "index": index}


def digest(folder: Path) -> str:
    """SHA-256 of the names and bytes of all files below a folder."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(f"{path.relative_to(folder)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """A folder of that name with nothing in it; it is kept if what happens in it fails."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder


def disturb(name: str, folder: Path, length: float, kills: int, rng: random.Random) -> dict[str, int]:
    """One build, killed up to `kills` times at random moments, to its end.

    Returns:
        Number of kills, and of those after which some file was there.
    """
    done = {"kills": 0, "with_files": 0}
    while True:
        seconds = rng.uniform(0, length) if done["kills"] < kills else None
        if wait([forked(partial(BUILDS[name], folder, done["kills"]), folder / "log-0.txt")], folder, seconds):
            return done
        done["kills"] += 1
        done["with_files"] += any(path.is_file() for path in (folder / "made").rglob("*"))


def kill(name: str, kills: int, done: dict[str, int], work: Path, save: Callable[[], None], deadline: float) -> None:
    """Disturb builds until `done` counts `kills` kills, or the deadline has passed.

    Args:
        name: of the build.
        kills: number of kills in all.
        done: counts up to now; `ended` are builds that came to their end, `equal` those of them whose bytes are right.
        work: a folder for the builds.
        save: called after every build.
        deadline: `time.monotonic()` after which no new build begins.

    Raises:
        RuntimeError: a build ended with an error of its own.
    """
    folder = work / name
    with emptied(folder):
        began = time.monotonic()
        wait([forked(partial(BUILDS[name], folder, 0), folder / "log-0.txt")], folder)
        right, length = digest(folder / "made"), time.monotonic() - began
    while done["kills"] < kills and time.monotonic() < deadline:
        with emptied(folder):
            rng, began = random.Random(f"{name}/{done['ended']}"), time.monotonic()
            counted = disturb(name, folder, length, kills - done["kills"], rng)
            if not counted["kills"]:
                length = min(length, time.monotonic() - began)  # the machine was busier before
            for count, number in counted.items():
                done[count] += number
            done["ended"] += 1
            done["equal"] += digest(folder / "made") == right
        save()


def main() -> int:
    """Command line; 1 if a build ended with other bytes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of each build")
    parser.add_argument("--builds", nargs="+", choices=sorted(BUILDS), default=list(BUILDS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no build after this time")
    parser.add_argument("--json", type=Path, help="the result; what is counted there already is not done again")
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    parts_autonet.BLOCK = manifest_autonet.BLOCK = 2
    parts_autonet.SHARD, parts_autonet.FIRST_GROUPS = 4, ()
    deadline = time.monotonic() + options.seconds
    runs = json.loads(options.json.read_text())["runs"] if options.json and options.json.exists() else {}

    def save() -> None:
        if options.json:
            options.json.write_text(json.dumps({"command": COMMAND, "runs": runs}, indent=1) + "\n", encoding="utf-8")

    for name in options.builds:
        done = runs.setdefault(name, dict.fromkeys(COUNTS, 0))
        if done["kills"] < options.kills and time.monotonic() < deadline:
            work = Path(tempfile.mkdtemp(prefix="killed-builds-"))
            kill(name, options.kills, done, work, save, deadline)
            shutil.rmtree(work)  # not after an error: the logs tell
        print(name, done, flush=True)
    return int(any(run["equal"] < run["ended"] for run in runs.values()))


if __name__ == "__main__":
    raise SystemExit(main())
