"""An index from named sources, in order, whatever was interrupted: what is read is kept until the index is written.

* `KeptGraphs` is a file of one line for each source: its name, its graph or why there is none. A line that was cut off
  is removed.
* Rows stand in the order of the sources, whichever of them an earlier call had read: the same bytes come out.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from processing_archbert.architecture_graph_archbert import ArchitectureGraph

from .cli_output import Output
from .cli_sources import Loaded, load_all
from .index import Entry


class Source(NamedTuple):
    """What is read for an index: a name for people and programs, and what `load_architecture` takes."""

    name: str
    where: str


class KeptGraphs:
    """Graphs (or reasons) by name, in a file that is appended to.

    Args:
        path: the file; made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        end = 0
        with path.open("ab+") as file:
            file.seek(0)
            while (line := file.readline()).endswith(b"\n"):
                if (name := _name(line)) is not None:
                    self._places[name] = end
                end += len(line)
            file.truncate(end)
        self._file = path.open("ab")

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __enter__(self) -> KeptGraphs:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._file.close()

    def get(self, name: str) -> Loaded:
        """What is kept of a source.

        Raises:
            KeyError: nothing is.
        """
        with self._path.open("rb") as file:
            file.seek(self._places[name])
            _, graph, reason = json.loads(file.readline())
        return Loaded(name, None if graph is None else ArchitectureGraph.from_dict(graph), reason, [])

    def add(self, loaded: Loaded) -> None:
        """Keeps a source that was read, or the reason why it cannot be."""
        graph = None if loaded.graph is None else loaded.graph.to_dict()
        self._places[loaded.source] = self._file.tell()
        self._file.write(json.dumps([loaded.source, graph, loaded.error], separators=(",", ":")).encode() + b"\n")
        self._file.flush()


def read_sources(
    sources: Sequence[Source], kept: KeptGraphs, hints: dict[str, Any], output: Output, jobs: int = 1,
    keep_errors: bool = False,
) -> Iterator[Loaded]:  # fmt: skip
    """Every source, in order: from what is kept, else read now and kept.

    Args:
        sources: by distinct names.
        kept: where graphs are kept.
        hints: of `load_architecture`.
        output: for the progress.
        jobs: processes that read.
        keep_errors: whether a source that cannot be read is not tried again by a later call.
    """
    missing = [source for source in sources if source.name not in kept]
    reading = load_all([source.where for source in missing], hints, output, jobs)
    for source in sources:
        if source.name in kept:
            yield kept.get(source.name)
            continue
        loaded = next(reading)
        loaded = loaded._replace(source=source.name, error=loaded.error.replace(source.where, source.name))
        if loaded.graph is not None and source.name != source.where:
            loaded = loaded._replace(graph=dataclasses.replace(loaded.graph, name=source.name))
        if loaded.graph is not None or keep_errors:
            kept.add(loaded)
        yield loaded


def entry_of(loaded: Loaded) -> Entry:
    """A source that was read, as an index takes it."""
    return Entry(loaded.source, loaded.graph)


def write_reasons(path: Path, failed: Sequence[Loaded]) -> None:
    """Writes which sources are not in an index, and why, one JSON object to a line; no file where there are none."""
    if not failed:
        path.unlink(missing_ok=True)
        return
    lines = [json.dumps({"source": one.source, "reason": one.error}, ensure_ascii=False) for one in failed]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _name(line: bytes) -> str | None:
    """The name at the beginning of a line; None where it is another kind of line."""
    try:
        name, _ = json.JSONDecoder().raw_decode(line.decode()[1:])
    except ValueError:
        return None
    return name if isinstance(name, str) else None
