"""Traces the members of the registry, each in a child process with limits, and keeps every graph in a file.

* A graph is kept under `<folder>/<arch_id>.json`, with a digest of what it was made of; a call that was stopped goes
  on where it ended, and a member whose entry or library has changed is traced again.
* A network that cannot be traced leaves `<arch_id>.error`, one line.
* torchvision stands in an environment of its own (`make zoo-env`): its networks are traced by the Python given for it,
  which runs this module.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic
from typing import Any

from tqdm.auto import tqdm

from processing_archbert import ArchitectureGraph, load_architecture, trace
from processing_archbert.isolation_archbert import run_isolated
from processing_archbert.ops_archbert import EXTRACTION_VERSION

from .registry_tvhf import Member, load_registry

CALL = "dataset_scripts.tvhf.trace_tvhf:traced_bytes"
TIME_LIMIT = 110.0
MEMORY_LIMIT = 10 * 2**30


def library_version(library: str) -> str:
    """The library and its installed version, as in `"transformers 5.23.0"`; empty where it is not installed."""
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return ""


def make_graph(source: str, name: str, model_type: str, overrides: Mapping[str, Any]) -> ArchitectureGraph:
    """The graph of one network, in this process.

    Args:
        source: `"transformers"` or `"torchvision"`.
        name: the name of torchvision; for people in the other case.
        model_type: model type of transformers.
        overrides: configuration values that differ from its defaults.

    Raises:
        ArchitectureTraceError, ArchitectureSourceError: it cannot be traced or built.
    """
    if source == "torchvision":
        return load_architecture(f"torchvision:{name}")
    from transformers import CONFIG_MAPPING

    return trace(CONFIG_MAPPING[model_type](**overrides), name=name)


def traced_bytes(source: str, name: str, model_type: str, overrides: Mapping[str, Any]) -> bytes:
    """JSON of the graph that `make_graph` gives, and of the versions it was made with, in a child process."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    graph = make_graph(source, name, model_type, overrides)
    library = library_version(source)
    return json.dumps({"library": library, "graph": graph.to_dict()}, separators=(",", ":")).encode()


def entry_digest(member: Member, library: str) -> str:
    """Digest of what a graph is made of: the entry, the library's version and the version of the extraction."""
    made_of = [member.source, member.type or member.name, member.overrides, library, EXTRACTION_VERSION]
    return hashlib.blake2b(json.dumps(made_of, sort_keys=True).encode(), digest_size=8).hexdigest()


def graph_path(folder: Path, member: Member) -> Path:
    """Where the graph of a member is kept."""
    return folder / f"{member.arch_id}.json"


def read_graph(path: Path) -> tuple[ArchitectureGraph, dict[str, Any]]:
    """A kept graph, and what stands beside it: `library`, `digest`."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return ArchitectureGraph.from_dict(data.pop("graph")), data


def is_kept(folder: Path, member: Member) -> bool:
    """Whether the graph, or the error, of a member is there and belongs to its entry."""
    path = graph_path(folder, member)
    if path.exists():
        with path.open(encoding="utf-8") as file:
            data = _head(file.read(400))
    elif path.with_suffix(".error").exists():
        data = json.loads(path.with_suffix(".error").read_text(encoding="utf-8"))
    else:
        return False
    return bool(data.get("digest") == entry_digest(member, str(data.get("library"))))


def _head(text: str) -> dict[str, str]:
    """The fields before `"graph"` in a kept file."""
    fields: dict[str, str] = json.loads(text[: text.index(',"graph"')] + "}")
    return fields


def trace_member(member: Member, folder: Path) -> str:
    """Traces one member and keeps the graph; the error in one line, or empty."""
    path = graph_path(folder, member)
    library = library_version(member.source)
    digest = entry_digest(member, library)
    try:
        data = run_isolated(
            CALL, member.source, member.name, member.type, dict(member.overrides),
            time_limit=TIME_LIMIT, memory_limit=MEMORY_LIMIT, result_limit=2**29, label=member.name,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:500]
        _write(path.with_suffix(".error"), json.dumps({"library": library, "digest": digest, "error": reason}))
        path.unlink(missing_ok=True)
        return reason
    head = json.dumps({"library": library, "digest": digest}, separators=(",", ":"))
    _write(path, head[:-1] + data.decode()[data.index(b',"graph"') :])
    path.with_suffix(".error").unlink(missing_ok=True)
    return ""


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def trace_members(
    members: Sequence[Member], folder: Path, num_proc: int = 1, seconds: float | None = None
) -> dict[str, str]:
    """Traces the members that are not kept yet.

    Args:
        members: networks that this Python can build.
        folder: where graphs are kept.
        num_proc: how many are traced at the same time.
        seconds: start no further network after this time.

    Returns:
        Name -> error of those that failed now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    waiting = [member for member in members if not is_kept(folder, member)]
    deadline = None if seconds is None else monotonic() + seconds

    def work(member: Member) -> str | None:
        return None if deadline is not None and monotonic() > deadline else trace_member(member, folder)

    errors: dict[str, str] = {}
    with ThreadPoolExecutor(num_proc) as pool:
        jobs = {pool.submit(work, member): member.name for member in waiting}
        for job in tqdm(as_completed(jobs), total=len(jobs), desc="Tracing", unit="net", disable=not jobs):
            if reason := job.result():
                errors[jobs[job]] = reason
    return errors


def is_zoo(member: Member) -> bool:
    """Whether a member is built in the environment of torchvision."""
    return member.source == "torchvision" or member.needs == "timm"


def trace_in_zoo(zoo_python: str, folder: Path, num_proc: int, seconds: float | None, families: Path) -> None:
    """Runs `trace_members` for torchvision in its environment.

    Raises:
        RuntimeError: that Python cannot run it.
    """
    command = [zoo_python, "-m", __name__, "--folder", str(folder), "--num_proc", str(num_proc)]
    command += ["--families", str(families)] + ([] if seconds is None else ["--seconds", str(seconds)])
    result = subprocess.run(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    if result.returncode:
        raise RuntimeError(
            f"{zoo_python} ended with exit code {result.returncode}; make zoo-env makes the environment for it."
        )


def zoo_members(members: Iterable[Member]) -> list[Member]:
    """The members that are built in the environment of torchvision."""
    return [member for member in members if is_zoo(member) and not member.unavailable]


def main() -> None:
    """Traces what belongs to the environment of this Python: torchvision, and what needs timm."""
    parser = argparse.ArgumentParser(description="Trace the networks of torchvision in the registry.")
    parser.add_argument("--folder", type=Path, required=True, help="where graphs are kept")
    parser.add_argument("--families", type=Path, required=True, help="folder of the registry")
    parser.add_argument("--num_proc", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    arguments = parser.parse_args()
    members = zoo_members(load_registry(arguments.families).members.values())
    trace_members(members, arguments.folder, arguments.num_proc, arguments.seconds)


if __name__ == "__main__":
    main()
