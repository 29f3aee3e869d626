"""``archbert verify``: whether a model card says what the network is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .cli_output import CommandError, Output
from .cli_sources import add_parser, add_source_options, hints_of, load_one

_COLOURS = {"right": "green", "wrong": "red", "cannot tell": "yellow"}


def add_commands(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_parser(
        commands, "verify", "check what a model card says of the architecture",
        """
        archbert verify bert README.md
        archbert verify ./config.json README.md --exit-code --quiet

        Sentences about other things (data, results, other models) are left alone.
        """,
    )  # fmt: skip
    parser.add_argument("source", metavar="SOURCE", help="what names the network")
    parser.add_argument("card", metavar="README.md", help="the model card, in Markdown")
    parser.add_argument("--quiet", action="store_true", help="show wrong sentences only")
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 where a sentence is wrong")
    add_source_options(parser, jobs=False)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, output: Output) -> int:
    """Judge the sentences of a card; status 1 with `--exit-code` where one is wrong."""
    from .verification import VERDICTS, WRONG, verify_card

    try:
        text = Path(options.card).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The card {options.card!r} cannot be read: {error}") from error
    graph = load_one(options.source, hints_of(options), output)
    judged = verify_card(graph, text, names=[Path(options.source).stem or options.source])
    shown = [j for j in judged if j.verdict == WRONG] if options.quiet else judged
    for sentence in shown:
        if output.json_lines:
            output.object({"source": options.source, "card": options.card, **sentence.to_dict()})
        else:
            _show(sentence, options.card, output)
    counts = {verdict: sum(j.verdict == verdict for j in judged) for verdict in VERDICTS}
    if not output.json_lines:
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        output.line(f"{len(judged)} sentences speak of the architecture: {told}.")
    return 1 if options.exit_code and counts[WRONG] else 0


def _show(judged: Any, card: str, output: Output) -> None:
    mark = output.styled(judged.verdict, _COLOURS[judged.verdict])
    output.line(f"{card}:{judged.sentence.line}: {mark}")
    output.paragraph(judged.sentence.text, indent="    ")
    for claim in judged.claims:
        if claim.verdict == "wrong":
            output.paragraph(
                f'"{claim.claim.text}": the graph shows {claim.shown}', indent="    -> ", hanging="       "
            )
