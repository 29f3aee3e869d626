"""The networks that installed libraries know by name, and their graphs, kept in a folder.

* Names: the model types of transformers, `torchvision:NAME`, `timm:NAME`, and the variants of TVHF (configurations of
  transformers such as `albert-large-v2`) with their other names.
* A graph is kept under `<folder>/graphs/<name>.json.gz`, with the version of its library: a call that was stopped goes
  on where it ended, and what another version made is traced again. What cannot be traced leaves the reason.
* torchvision and timm may stand in another environment (`make zoo-env`): its Python runs this module.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.ops_archbert import EXTRACTION_VERSION

from .cli_output import Output
from .cli_sources import load, load_all

LIBRARIES = ("transformers", "torchvision", "timm")
TIME_LIMIT = 300.0
"""Seconds for one network."""


class Known(NamedTuple):
    """A network that has a name.

    Attributes:
        name: what a user types; of a variant the name in TVHF.
        library: one of `LIBRARIES`.
        source: what `load_architecture` takes: the name, or for a variant a file with its configuration.
        aliases: other names of it.
        config: the configuration of a variant, as JSON; empty for the others.
    """

    name: str
    library: str
    source: str
    aliases: tuple[str, ...] = ()
    config: str = ""


def known_names(library: str) -> list[Known]:
    """Every name of an installed library, sorted; none where it is not installed.

    Raises:
        ValueError: another library.
    """
    if library not in LIBRARIES:
        raise ValueError(f"library is {library!r}; allowed are {', '.join(LIBRARIES)}.")
    if find_spec(library) is None:
        return []
    if library == "transformers":
        from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

        return [Known(name, library, name) for name in sorted(MODEL_MAPPING_NAMES)]
    if library == "torchvision":
        import torchvision

        names = torchvision.models.list_models()
    else:
        import timm

        names = timm.list_models()
    return [Known(f"{library}:{name}", library, f"{library}:{name}") for name in sorted(names)]


def variants(data: Path, folder: Path) -> list[Known]:
    """The variants of TVHF that differ from a model type, with files of their configurations.

    Args:
        data: the folder of TVHF, with `architectures/*.parquet`.
        folder: where `configs/<name>/config.json` are written.

    Returns:
        Sorted by name. A model type of transformers that has other names there is in it by its own name.
    """
    import pyarrow.parquet as pq

    columns = ["name", "aliases", "source", "config"]
    rows = [row for file in sorted((data / "architectures").glob("*.parquet"))
            for row in pq.read_table(file, columns=columns).to_pylist()]  # fmt: skip
    found = []
    for row in sorted(rows, key=lambda r: str(r["name"])):
        if row["source"] != "transformers":
            continue
        config, aliases = json.loads(row["config"]), tuple(row["aliases"])
        if list(config) == ["model_type"]:
            if aliases:
                found.append(Known(config["model_type"], "transformers", config["model_type"], aliases))
            continue
        path = folder / "configs" / quote(row["name"], safe="") / "config.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, row["config"].encode())
        found.append(Known(row["name"], "transformers", str(path), aliases, row["config"]))
    return found


def library_version(library: str) -> str:
    """The library and its version, as in `"transformers 5.23.0"`; empty where it is not installed."""
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return ""


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that is there as a whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


class GraphStore:
    """Graphs of named networks in a folder, one compressed file each.

    Args:
        folder: made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "graphs"
        self.folder.mkdir(parents=True, exist_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{quote(name, safe='')}.json.gz"

    def read(self, name: str) -> dict[str, Any] | None:
        """What is kept of a network: `library`, `extraction_version`, `graph` or `error`; None where nothing is."""
        try:
            found = json.loads(gzip.decompress(self._path(name).read_bytes()))
        except (OSError, ValueError, EOFError):
            return None
        return found if found.get("extraction_version") == EXTRACTION_VERSION else None

    def graph(self, name: str) -> tuple[ArchitectureGraph, str] | None:
        """The graph of a network and the version of its library."""
        found = self.read(name)
        if found is None or "graph" not in found:
            return None
        return ArchitectureGraph.from_dict(found["graph"]), str(found["library"])

    def write(self, name: str, library: str, graph: ArchitectureGraph | None, error: str = "") -> None:
        """Keeps a graph, or why there is none."""
        kept: dict[str, Any] = {"library": library, "extraction_version": EXTRACTION_VERSION}
        kept |= {"error": error} if graph is None else {"graph": graph.to_dict()}
        content = json.dumps(kept, separators=(",", ":")).encode()
        write_whole(self._path(name), gzip.compress(content, 6, mtime=0))

    def missing(self, networks: Sequence[Known], failed_too: bool = False) -> list[Known]:
        """The networks of which nothing is kept that this environment's version of their library made.

        Args:
            networks: any networks.
            failed_too: whether those that could not be traced are missing as well.
        """
        waiting = []
        for network in networks:
            kept = self.read(network.name)
            made_here = kept is not None and kept["library"] == library_version(network.library)
            if kept is None or not made_here or (failed_too and "error" in kept):
                waiting.append(network)
        return waiting


def trace_networks(
    networks: Sequence[Known], store: GraphStore, output: Output, jobs: int = 1, failed_too: bool = False
) -> Iterator[tuple[str, str]]:
    """Traces the networks that are not kept yet, with their costs where these can be told, in child processes.

    Yields:
        The name, and the error of one that cannot be traced, else an empty text.
    """
    waiting = store.missing(networks, failed_too)
    hints = {"costs": True, "time_limit": TIME_LIMIT}
    for network, loaded in zip(waiting, load_all([n.source for n in waiting], hints, output, jobs), strict=True):
        if loaded.graph is None:  # its costs may be what cannot be told
            loaded = load(network.source, {"time_limit": TIME_LIMIT})
        store.write(network.name, library_version(network.library), loaded.graph, loaded.error)
        yield network.name, loaded.error


def trace_elsewhere(python: str, folder: Path, jobs: int) -> None:
    """Runs this module by another Python: the networks of torchvision and timm, and those that need either.

    Raises:
        RuntimeError: that Python cannot run it.
    """
    command = [python, "-m", __name__, "--cache", str(folder), "--jobs", str(jobs)]
    result = subprocess.run(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    if result.returncode:
        raise RuntimeError(f"{python} ended with exit code {result.returncode}; make zoo-env makes an environment.")


def main() -> int:
    """Traces what belongs to the environment of this Python into a folder, and writes the list of its names there."""
    parser = argparse.ArgumentParser(description="Trace the networks that torchvision and timm know by name.")
    parser.add_argument("--cache", type=Path, required=True, help="folder in which graphs are kept")
    parser.add_argument("--jobs", type=int, default=1, help="processes that trace")
    options = parser.parse_args()
    store, output = GraphStore(options.cache), Output()
    zoo = [network for library in ("torchvision", "timm") for network in known_names(library)]
    refused = [n for n in known_names("transformers") if "error" in (store.read(n.name) or {})]
    for networks, failed_too in ((refused, True), (zoo, False)):
        for name, error in trace_networks(networks, store, output, options.jobs, failed_too):
            if error:
                output.error(f"{name}: {error}")
    write_whole(options.cache / "zoo_names.json", json.dumps([network.name for network in zoo]).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
