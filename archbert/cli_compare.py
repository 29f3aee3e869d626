"""``archbert compare``: how alike two networks are, by a checkpoint and by what the graphs show."""

from __future__ import annotations

import argparse
from typing import Any

from .cli_output import CommandError, Output
from .cli_sources import add_model_option, add_parser, add_source_options, hints_of, load_one

_RELATIONS = {
    "identical": "the graphs are identical (an isomorphism was checked)",
    "same structure": "the same operations in the same order, with other sizes",
    "changed": "most of what both do corresponds",
    "different": "they have little in common",
}


def add_commands(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_parser(
        commands, "compare", "say how alike two networks are",
        """
        archbert compare bert roberta
        archbert compare resnet convnext --text "a convolutional classifier of images"
        """,
    )  # fmt: skip
    parser.add_argument("a", metavar="A", help="the first network")
    parser.add_argument("b", metavar="B", help="the second network")
    parser.add_argument("--text", action="append", default=[], help="a statement, scored for both; may be repeated")
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 where the graphs are not identical")
    add_model_option(parser)
    add_source_options(parser, jobs=False)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, output: Output) -> int:
    """Compare two networks; status 1 with `--exit-code` where they are not identical."""
    if any(not text.strip() for text in options.text):
        raise CommandError("--text is empty; give a statement such as 'a convolutional network'.")
    from processing_archbert.graph_diff_archbert import diff
    from processing_archbert.network_numbers_archbert import NetworkNumbers

    from .embedding import Embedder

    hints = hints_of(options)
    graphs = [load_one(source, hints, output) for source in (options.a, options.b)]
    found = diff(*graphs)
    embedder = Embedder(options.model)
    vectors = embedder.architectures(graphs)
    result: dict[str, Any] = {
        "a": options.a,
        "b": options.b,
        "relation": {"basis": "computed", "verdict": found.verdict, "likeness": round(found.likeness, 4)},
        "similarity": {"basis": "predicted", "cosine": round(float(vectors[0] @ vectors[1]), 4), "probability": None},
        "texts": [],
    }
    numbers = [NetworkNumbers(graph) for graph in graphs]
    for text, vector in zip(options.text, embedder.texts(options.text) if options.text else (), strict=True):
        predicted = _scores(embedder, vectors, vector)
        sides = {side: _told(n, text) or predicted[side] for side, n in zip("ab", numbers, strict=True)}
        result["texts"].append({"text": text} | sides)
    if output.json_lines:
        output.object(result)
    else:
        _show(result, output)
    return 1 if options.exit_code and found.verdict != "identical" else 0


def _told(numbers: Any, text: str) -> dict[str, Any] | None:
    """Whether a statement holds, where the graph shows it: that outranks the checkpoint."""
    from .verification import statement_holds

    holds = statement_holds(numbers, text)
    return None if holds is None else {"basis": "computed", "holds": holds}


def _scores(embedder: Any, vectors: Any, vector: Any) -> dict[str, Any]:
    scores = {}
    for side, architecture in zip("ab", vectors, strict=True):
        cosine = float(architecture @ vector)
        probability = embedder.probability(cosine)
        scores[side] = {
            "basis": "predicted",
            "cosine": round(cosine, 4),
            "probability": None if probability is None else round(probability, 4),
        }
    return scores


def _show(result: dict[str, Any], output: Output) -> None:
    relation = result["relation"]
    output.line(output.styled(f"{result['a']} and {result['b']}", "bold"))
    output.pairs([
        ("computed", f"{relation['verdict']}: {_RELATIONS[relation['verdict']]}"),
        ("likeness", f"{relation['likeness']:.2f} of the nodes of both correspond (computed)"),
        ("similarity", f"{result['similarity']['cosine']:.3f} (cosine of the embeddings; predicted, not calibrated "
                       "for pairs of networks)"),
    ])  # fmt: skip
    for scored in result["texts"]:
        output.paragraph(f'"{scored["text"]}"', indent="  ")
        for side in "ab":
            score = scored[side]
            if score["basis"] == "computed":
                output.line(f"    {result[side]}: {'right' if score['holds'] else 'wrong'} (computed)")
                continue
            told = (
                f"cosine {score['cosine']:.3f}, not calibrated"
                if score["probability"] is None
                else f"probability {score['probability']:.2f}"
            )
            output.line(f"    {result[side]}: {told} (predicted)")
