"""``archbert index build`` and ``archbert search``: an index of architectures, and what is found in it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .cli_output import CommandError, Output
from .cli_sources import (
    INDEX_VARIABLE,
    add_model_option,
    add_parser,
    add_source_options,
    expand,
    hints_of,
    load,
    load_all,
    report_error,
)

_CACHE = "graphs.jsonl"


def add_commands(commands: Any) -> None:
    """Adds the commands to the parser."""
    parser = add_parser(
        commands, "index", "build an index of architectures",
        """
        archbert index build bert resnet vit -o known
        archbert index build "configs/*.json" -o known --jobs 2

        What was read is kept in the folder until the index is finished: the same command, run again after
        an interruption, goes on where it stopped.
        """,
    )  # fmt: skip
    parser.add_argument("action", choices=("build",), help="what to do")
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="what names a network; globs of files as well")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder of the index")
    add_model_option(parser)
    add_source_options(parser)
    parser.set_defaults(run=build)
    finder = add_parser(
        commands, "search", "find architectures by a text or by an architecture",
        """
        archbert search "a small convolutional classifier" --index known
        archbert search bert --filter "parameters<50M and attention_layers>0" --index known
        """,
    )  # fmt: skip
    finder.add_argument("query", metavar="TEXT_OR_SOURCE", help="a text in English, or what names a network")
    finder.add_argument("--filter", default="", help='facts that have to hold, such as "parameters<50M"')
    finder.add_argument("-k", type=int, default=10, help="how many to show (default 10)")
    finder.add_argument("--index", default=os.environ.get(INDEX_VARIABLE), help=f"default: ${INDEX_VARIABLE}")
    add_model_option(finder)
    add_source_options(finder, jobs=False)
    finder.set_defaults(run=search)


def build(options: argparse.Namespace, output: Output) -> int:
    """Build an index; status 2 where a source cannot be read (the others are in the index)."""
    from .embedding import Embedder
    from .index import ArchitectureIndex

    sources = expand(options.sources)
    embedder = Embedder(options.model)
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    index = ArchitectureIndex.build(_graphs(sources, folder, options, output, failed), embedder)
    if not len(index):
        raise CommandError("No source could be read; no index was made.")
    index.save(folder)
    (folder / _CACHE).unlink(missing_ok=True)
    aliases = sum(len(row["aliases"]) for row in index.rows)
    if output.json_lines:
        output.object({"index": str(folder), "architectures": len(index), "aliases": aliases, "failed": failed})
    else:
        output.line(f"{folder}: {len(index):,} architectures, {aliases:,} aliases, {len(failed):,} not read.")
    return 2 if failed else 0


def _graphs(
    sources: list[str], folder: Path, options: argparse.Namespace, output: Output, failed: list[str]
) -> Iterator[tuple[str, Any]]:
    """Every source with its graph: those that an interrupted build has kept, then the others, which are kept."""
    from processing_archbert.architecture_graph_archbert import ArchitectureGraph

    known: dict[str, Any] = {}
    kept = folder / _CACHE
    if kept.is_file():
        for line in kept.read_text(encoding="utf-8").splitlines():
            try:
                source, graph = json.loads(line)
                known[source] = ArchitectureGraph.from_dict(graph)
            except ValueError:  # the line that was being written when the build was interrupted
                continue
    for source in sources:
        if source in known:
            yield source, known[source]
    with kept.open("a", encoding="utf-8") as file:
        file.write("\n")
        for loaded in load_all([s for s in sources if s not in known] or [], hints_of(options), output, options.jobs):
            if loaded.graph is None:
                report_error(loaded, output)
                failed.append(loaded.source)
                continue
            file.write(json.dumps([loaded.source, loaded.graph.to_dict()]) + "\n")
            file.flush()
            yield loaded.source, loaded.graph


def search(options: argparse.Namespace, output: Output) -> int:
    """Show the nearest architectures of an index."""
    from processing_archbert.graph_overview_archbert import parse_filter

    from .embedding import Embedder
    from .index import ArchitectureIndex, model_fingerprint

    if not options.index:
        raise CommandError(f"No index is named; give --index DIR, or set ${INDEX_VARIABLE}.")
    if options.k < 1:
        raise CommandError(f"-k is {options.k}; 1 or more architectures can be found.")
    if options.filter:
        parse_filter(options.filter)
    embedder = Embedder(options.model)
    index = ArchitectureIndex.load(options.index, model_fingerprint(embedder.model))
    hits = index.search(_vector(options, embedder), options.k, options.filter)
    for hit in hits if output.json_lines else ():
        output.object(hit.to_dict())
    if not output.json_lines:
        rows = [(_named(hit), f"{hit.score:.3f}", hit.facts["family"], f"{hit.facts['parameters']:,}") for hit in hits]
        output.table(("name", "similarity", "family", "parameters"), rows)
        if not hits:
            output.line("  no architecture fits")
    return 0


def _vector(options: argparse.Namespace, embedder: Any) -> Any:
    """The embedding of the query: of an architecture where one word names one, else of the text."""
    query = options.query.strip()
    if not query:
        raise CommandError("The query is empty; give a text such as 'a vision transformer', or what names a network.")
    if " " not in query or os.path.exists(query):
        loaded = load(query, hints_of(options))
        if loaded.graph is not None:
            return embedder.architectures([loaded.graph])[0]
        if any(mark in query for mark in "/.:"):
            raise CommandError(loaded.error)
    return embedder.texts([query])[0]


def _named(hit: Any) -> str:
    return f"{hit.name} ({', '.join(hit.aliases[:3])})" if hit.aliases else hit.name
