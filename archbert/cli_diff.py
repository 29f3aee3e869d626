"""``archbert diff``: what changed from one network to another."""

from __future__ import annotations

import argparse
from typing import Any

from .cli_output import Output
from .cli_sources import add_parser, add_source_options, hints_of, load_one


def add_commands(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_parser(
        commands, "diff", "say what changed from one network to another",
        """
        archbert diff bert roberta
        archbert diff old/config.json new/config.json --exit-code
        archbert diff resnet model.onnx --draw changes.svg
        """,
    )  # fmt: skip
    parser.add_argument("a", metavar="A", help="the first network")
    parser.add_argument("b", metavar="B", help="the second network")
    parser.add_argument("--draw", metavar="FILE", help="draw both with what changed marked, as .svg, .png or .pdf")
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 where the networks differ")
    add_source_options(parser, jobs=False)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, output: Output) -> int:
    """Say what changed; status 1 with `--exit-code` where the graphs are not identical."""
    from processing_archbert.graph_diff_archbert import diff

    hints = hints_of(options)
    found = diff(load_one(options.a, hints, output), load_one(options.b, hints, output))
    if options.draw:
        found.draw(options.draw)
    if output.json_lines:
        output.object(found.to_dict())
    else:
        first, *others = str(found).splitlines()
        output.paragraph(output.styled(first, "bold"))
        for line in others:
            output.paragraph(line, hanging="  ")
    return 1 if options.exit_code and found.verdict != "identical" else 0
