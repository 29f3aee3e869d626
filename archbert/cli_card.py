"""``archbert card``: an architecture section for a model card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .cli_output import CommandError, Output
from .cli_sources import add_parser, add_source_options, hints_of, load, report_error


def add_commands(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_parser(
        commands, "card", "write an architecture section for a model card, every fact computed",
        """
        archbert card bert
        archbert card ./config.json --output ARCHITECTURE.md
        archbert card llama --no-picture >> README.md
        """,
    )  # fmt: skip
    parser.add_argument("source", metavar="SOURCE", help="what names a network")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the section to a file")
    parser.add_argument("--no-picture", action="store_true", help="leave out the Mermaid flowchart")
    parser.add_argument("--level", type=int, default=2, choices=range(1, 7), help="level of the heading (default 2)")
    parser.add_argument("--no-costs", action="store_true", help="leave out FLOPs, which take longer")
    add_source_options(parser, jobs=False)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, output: Output) -> int:
    """Write the section; status 2 where the source cannot be read."""
    loaded = load(options.source, hints_of(options, costs=not options.no_costs))
    if loaded.graph is None:
        report_error(loaded, output)
        return 2
    for message in loaded.warnings:
        output.warning(f"{options.source}: {message}")
    text = section(loaded, options.level, not options.no_picture)
    if options.output:
        try:
            Path(options.output).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{options.output!r} cannot be written: {error}") from error
    if output.json_lines:
        output.object({"source": options.source, "section": text})
    elif not options.output:
        output.line(text.rstrip("\n"))
    return 0


def section(loaded: Any, level: int = 2, picture: bool = True) -> str:
    """The section in Markdown: sentences, a table of numbers, a Mermaid flowchart, and what it was computed from."""
    from processing_archbert.graph_mermaid_archbert import to_mermaid
    from processing_archbert.graph_outline_archbert import PictureError

    from .cli_describe import described
    from .description import in_bytes

    told = described(loaded)
    facts = told["facts"]
    rows = list(told["numbers"].items())
    rows.append(("parameters", f"{facts['parameters']:,}"))
    rows.append(("weights", f"{in_bytes(facts['weight_bytes'])} in {facts['dtype']}"))
    if facts["flops"] is not None:
        rows.append(("FLOPs of a forward pass", f"{facts['flops']:,} ({told['costs_at']})"))
    if facts["kv_cache_bytes_per_token"]:
        rows.append(("cache per token", f"{in_bytes(facts['kv_cache_bytes_per_token'])} in {facts['dtype']}"))
    rows.append(("kinds of layers", ", ".join(f"{n} {kind}" for kind, n in list(facts["layers"].items())[:8])))
    lines = [f"{'#' * level} Architecture", "", _escaped(" ".join(told["sentences"])), "", "| | |", "|---|---|"]
    lines += [f"| {_escaped(name)} | {_escaped(value)} |" for name, value in rows]
    if picture:
        try:
            lines += ["", "```mermaid", to_mermaid(loaded.graph).rstrip("\n"), "```"]
        except PictureError as error:
            lines += ["", f"<!-- no picture: {error} -->"]
    lines += ["", f"Computed by ArchBERT from the graph `{told['graph_hash']}`, without weights.", ""]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, inside a table as well."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|" else c for c in text)
