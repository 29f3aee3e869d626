"""``archbert index build`` and ``archbert search``: an index of architectures, and what is found in it."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .cli_output import CommandError, Output
from .cli_sources import (
    INDEX_ID,
    INDEX_VARIABLE,
    Loaded,
    add_model_option,
    add_parser,
    add_source_options,
    expand,
    find_index,
    hints_of,
    load,
    report_error,
)
from .hub_configs import DEFAULT_RATE, fetch_configs, list_repositories

UNFINISHED = ".unfinished"
"""Folder, in that of an index, of what is kept until the index is written."""
SKIPPED_FILE = "skipped.jsonl"
"""File of an index that says which sources are not in it, and why."""


def add_commands(commands: Any) -> None:
    """Adds the commands to the parser."""
    parser = add_parser(
        commands, "index", "build an index of architectures",
        """
        archbert index build bert resnet vit -o known
        archbert index build "configs/*.json" -o known --jobs 2
        archbert index build --hub "sort=downloads limit=10000 filter=transformers" -o hub-models --jobs 2

        What was read is kept in the folder until the index is finished: the same command, run again after
        an interruption, goes on where it stopped. What cannot be read stands in skipped.jsonl with the reason.
        --hub fetches the config.json of models of the Hub and nothing else; its words are sort, limit, filter,
        author, search and task, as in `huggingface_hub`.
        """,
    )  # fmt: skip
    parser.add_argument("action", choices=("build",), help="what to do")
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="what names a network; globs of files as well")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder of the index")
    parser.add_argument("--hub", metavar="QUERY", help='models of the Hub, such as "sort=downloads limit=10000"')
    parser.add_argument("--rate", type=float, default=DEFAULT_RATE, help="configurations fetched a second (default 5)")
    parser.add_argument("--costs", action="store_true", help="tell FLOPs and activations too, which takes longer")
    add_model_option(parser)
    add_source_options(parser)
    parser.set_defaults(run=build)
    finder = add_parser(
        commands, "search", "find architectures by a text or by an architecture",
        """
        archbert search "a small convolutional classifier with fewer than 5M parameters"
        archbert search bert --filter "parameters<50M and attention_layers>0"
        archbert search timm:resnet50 --index known --json

        What a text says of a network (kind, layers, attention, sizes, numbers, inputs) is held against the facts of
        the index; embeddings order what fits equally well. --by-embedding leaves the facts aside.
        """,
    )  # fmt: skip
    finder.add_argument("query", metavar="TEXT_OR_SOURCE", help="a text in English, or what names a network")
    finder.add_argument("--filter", default="", help='facts that have to hold, such as "parameters<50M"')
    finder.add_argument("--by-embedding", action="store_true", help="order by the embedding of the text alone")
    finder.add_argument("-k", "--top-k", dest="k", type=int, default=10, help="how many to show (default 10)")
    finder.add_argument(
        "--index", help=f"a folder, or a data set of the Hub (default: ${INDEX_VARIABLE}, then {INDEX_ID})"
    )
    add_model_option(finder)
    add_source_options(finder, jobs=False)
    finder.set_defaults(run=search)


def build(options: argparse.Namespace, output: Output) -> int:
    """Build an index; status 2 where a source that is named cannot be read (the others are in the index)."""
    from .embedding import Embedder
    from .index import ArchitectureIndex
    from .index_building import KeptGraphs, Source, entry_of, read_sources, write_reasons

    if not options.sources and not options.hub:
        raise CommandError("No source is named; give some, or --hub QUERY.")
    named = expand(options.sources)
    embedder = Embedder(options.model)
    folder = Path(options.output)
    unfinished = folder / UNFINISHED
    failed: list[Loaded] = []
    fetched, unfetched = _from_hub(options, unfinished, output)
    sources = {name: Source(name, name) for name in named} | {s.name: s for s in fetched}
    hints = hints_of(options, costs=options.costs)

    def entries(kept: KeptGraphs) -> Iterator[Any]:
        for one in read_sources(list(sources.values()), kept, hints, output, options.jobs, bool(options.hub)):
            if one.graph is not None:
                yield entry_of(one)
                continue
            failed.append(one)
            if one.source in named:
                report_error(one, output)

    with KeptGraphs(unfinished / "graphs.jsonl") as kept:
        index = ArchitectureIndex.build(entries(kept), embedder)
    if not len(index):
        raise CommandError("No source could be read; no index was made.")
    write_reasons(folder / SKIPPED_FILE, [*failed, *unfetched])
    index.save(folder)
    shutil.rmtree(unfinished)
    _report(index, folder, [one.source for one in [*failed, *unfetched]], output)
    return 2 if any(one.source in named for one in failed) else 0


def _from_hub(options: argparse.Namespace, folder: Path, output: Output) -> tuple[list[Any], list[Loaded]]:
    """The models of the Hub that were asked for: those with a configuration, and the others with the reason."""
    from .index_building import Source

    if not options.hub:
        return [], []
    repositories = list_repositories(options.hub, folder)
    found, skipped = [], []
    configs = fetch_configs(repositories, folder, options.rate)
    for fetched in output.progress(configs, len(repositories), "fetching"):
        if fetched.path is None:
            skipped.append(Loaded(fetched.repository, None, fetched.reason, []))
        else:
            found.append(Source(fetched.repository, str(fetched.path)))
    return found, skipped


def _report(index: Any, folder: Path, failed: list[str], output: Output) -> None:
    aliases = sum(map(len, index.table.column("aliases").to_pylist()))
    if output.json_lines:
        output.object({"index": str(folder), "architectures": len(index), "aliases": aliases, "failed": failed})
        return
    output.line(f"{folder}: {len(index):,} architectures, {aliases:,} aliases, {len(failed):,} not read.")
    if failed:
        output.line(f"Why they are not: {folder / SKIPPED_FILE}")


def search(options: argparse.Namespace, output: Output) -> int:
    """Show the nearest architectures of an index."""
    from processing_archbert.graph_overview_archbert import parse_filter

    from .embedding import Embedder
    from .index import ArchitectureIndex, model_fingerprint

    if options.k < 1:
        raise CommandError(f"-k is {options.k}; 1 or more architectures can be found.")
    if options.filter:
        parse_filter(options.filter)
    folder = find_index(options.index)
    index = ArchitectureIndex.load(folder)
    embedder = Embedder(options.model)
    index.check_model(model_fingerprint(embedder.model), folder)
    known = _architecture(options, embedder, index)
    if known is not None:
        hits = index.search(known, options.k, options.filter)
    else:
        hits = found_by_text(index, embedder, options.query.strip(), options.k, options.filter, options.by_embedding)
    for hit in hits if output.json_lines else ():
        output.object(hit.to_dict())
    if not output.json_lines:
        rows = [(_named(hit), _fits(hit), f"{hit.score:.3f}", hit.facts["family"], f"{hit.facts['parameters']:,}")
                for hit in hits]  # fmt: skip
        shown = [0, 2, 3, 4] if all(hit.fits is None for hit in hits) else range(5)
        header = ("name", "fits", "similarity", "family", "parameters")
        output.table([header[i] for i in shown], [[row[i] for i in shown] for row in rows])
        if not hits:
            output.line("  no architecture fits")
    return 0


def found_by_text(
    index: Any, embedder: Any, text: str, k: int = 10, where: str = "", by_embedding: bool = False
) -> list[Any]:
    """The architectures of an index that a text describes, best first, as `Hit`.

    Args:
        index: the index.
        embedder: of the checkpoint that the index was made with.
        text: a text in English.
        k: how many.
        where: a filter on facts.
        by_embedding: whether the order is that of the embeddings alone.
    """
    from .text_search import search_text

    vector = embedder.texts([text])[0]
    return index.search(vector, k, where) if by_embedding else search_text(index, text, vector, k, where)


def _architecture(options: argparse.Namespace, embedder: Any, index: Any) -> Any:
    """The embedding of the network that the query names (of the index, or any); None where it is a text."""
    query = options.query.strip()
    if not query:
        raise CommandError("The query is empty; give a text such as 'a vision transformer', or what names a network.")
    if " " not in query or os.path.exists(query):
        known = index.embedding(query)
        if known is not None:
            return known
        loaded = load(query, hints_of(options))
        if loaded.graph is not None:
            return embedder.architectures([loaded.graph])[0]
        if any(mark in query for mark in "/.:"):
            raise CommandError(loaded.error)
    return None


def _fits(hit: Any) -> str:
    return "" if hit.fits is None else f"{hit.fits:.0%}"


def _named(hit: Any) -> str:
    shown = ", ".join(hit.aliases[:3]) + (f" and {len(hit.aliases) - 3} more" if len(hit.aliases) > 3 else "")
    return f"{hit.name} ({shown})" if shown else hit.name
