"""``archbert ask``: questions about a network, answered from the graph where it shows the answer."""

from __future__ import annotations

import argparse
from typing import Any

from .cli_output import CommandError, Output
from .cli_sources import QUESTIONS_MODEL_NAME, add_model_option, add_parser, add_source_options, hints_of, load_one

_SHOWN_NODES = 4


def add_commands(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_parser(
        commands, "ask", "answer questions about a network",
        """
        archbert ask bert "How many layers are there?" "Which activation functions are used?"
        archbert ask resnet "What kernel sizes are used?" --json

        Every answer says what it rests on: computed from the graph, predicted by the checkpoint (with a
        probability), or cannot_tell. What the graph shows outranks the checkpoint, and a prediction that
        the graph contradicts is not shown.
        """,
    )  # fmt: skip
    parser.add_argument("source", metavar="SOURCE", help="what names a network")
    parser.add_argument("questions", nargs="+", metavar="QUESTION", help="questions in English")
    parser.add_argument("--computed-only", action="store_true", help="never ask the checkpoint")
    add_model_option(parser, QUESTIONS_MODEL_NAME)
    add_source_options(parser, jobs=False)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, output: Output) -> int:
    """Answer every question."""
    from processing_archbert.number_questions_archbert import asks_costs

    from .answering import Answerer

    for question in options.questions:
        if not question.strip():
            raise CommandError('A question is empty; ask something such as "How many layers are there?".')
    costs = any(asks_costs(question) for question in options.questions)
    graph = load_one(options.source, hints_of(options, costs=costs), output)
    answerer = Answerer(graph, None if options.computed_only else options.model or "")
    for question in options.questions:
        answered = answerer.answer(question)
        if output.json_lines:
            output.object({"source": options.source, **answered.to_dict()})
        else:
            _show(answered, output)
    return 0


def _show(answered: Any, output: Output) -> None:
    output.line(output.styled(answered.question, "bold"))
    if not answered.answers:
        output.paragraph(f"cannot tell: {answered.reason}", indent="  ")
    for answer in answered.answers:
        probability = "" if answer.probability is None else f", probability {answer.probability:.2f}"
        output.paragraph(f"{answer.text}  [{answered.basis}{probability}]", indent="  ", hanging="    ")
    if answered.read_as:
        from .answering import read_by_checkpoint

        for line in _lines(read_by_checkpoint(answered.read_as), output):
            output.line(output.styled(line, "dim"))
    names = list(dict.fromkeys(answered.evidence))
    if names:
        more = f" and {len(names) - _SHOWN_NODES:,} more" if len(names) > _SHOWN_NODES else ""
        text = f"shown by {', '.join(names[:_SHOWN_NODES])}{more}"
        for line in _lines(text, output):
            output.line(output.styled(line, "dim"))


def _lines(text: str, output: Output) -> list[str]:
    from .cli_output import wrapped

    return wrapped(text, output.width, "  ", "    ")
