"""The main job on real networks: ``python -m archbert.demo`` (or ``make demo``).

Traces architectures at their full default size from a transformers config, made on the spot and without weights, shows
what came out, and asks the model a few questions about each. The model's answer stands beside the fact that the graph
shows, marked right or wrong.
"""

from __future__ import annotations

import argparse
import logging
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import transformers
from safetensors import SafetensorError
from transformers import Pipeline

from processing_archbert import ArchitectureGraph
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.sources_archbert import load_architecture
from processing_archbert.tracing_archbert import ArchitectureTraceError

from . import pipeline

DEFAULT_MODEL = "hub/models/archbert-mini"
DEFAULT_ARCHITECTURES = ("resnet", "bert", "convnext", "llama")
WIDTH = 88


class Question(NamedTuple):
    """A question in words, and what `GraphFacts.answer` is asked for the fact."""

    text: str
    question_type: str
    subject: str = ""


_POOLING = Question("Which pooling layers are used in this model?", "pooling_types")
_ACTIVATION = Question("Which activation functions are used in this model?", "activation_types")
_NORMALIZATION = Question("Which normalization layers are used in this model?", "normalization_types")
_CONV_KERNELS = Question(
    "What are the kernel sizes of the Conv2d layers in this model?", "layer_kernel_sizes", "Conv2d"
)
_NORM_FUNCTION = Question("What does the RMSNorm do in this model?", "layer_function", "RMSNorm")
_AFTER_CONVOLUTION = Question(
    "Which normalization layers come right after a convolution in this model?", "normalization_after_convolution"
)
QUESTIONS: dict[str, tuple[Question, ...]] = {
    "resnet": (_POOLING, _CONV_KERNELS, _AFTER_CONVOLUTION),
    "bert": (_ACTIVATION, _NORMALIZATION, _POOLING),
    "convnext": (_CONV_KERNELS, _ACTIVATION, _NORMALIZATION),
    "llama": (_NORMALIZATION, _NORM_FUNCTION, _ACTIVATION),
}
OTHER_QUESTIONS = (_POOLING, _ACTIVATION, _NORMALIZATION)


class Traced(NamedTuple):
    """A graph with what the table shows of it."""

    name: str
    graph: ArchitectureGraph
    num_tokens: int
    seconds: float

    def row(self) -> list[str]:
        """The cells of the table, as text."""
        sizes = (self.graph.num_nodes, self.num_tokens, self.graph.num_edges, self.graph.num_parameters)
        return [self.name, *(f"{size:,}" for size in sizes), f"{self.seconds:.2f}"]


def trace_architecture(name: str, processor: Any) -> Traced:
    """Trace the architecture of a model type, config.json or Hub id, and count its folded tokens.

    Raises:
        ArchitectureSourceError: the name names no architecture.
        ArchitectureTraceError: the architecture cannot be traced.
    """
    start = time.perf_counter()
    graph = load_architecture(name)
    seconds = time.perf_counter() - start
    tokens = processor(architectures=[graph], return_tensors="pt", fold=True)
    return Traced(name, graph, int(tokens["node_mask"].sum()), seconds)


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> Iterator[str]:
    """Lines of an aligned table; the first column to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        yield "  " + "   ".join(cells)


def ask(answer: Pipeline, traced: Traced) -> Iterator[tuple[Question, list[dict[str, Any]], tuple[str, ...]]]:
    """Every question about one architecture with the model's answers and the fact."""
    questions = QUESTIONS.get(traced.name, OTHER_QUESTIONS)
    answers = answer({"architecture": traced.graph, "questions": [question.text for question in questions]})
    facts = GraphFacts(traced.graph)
    for question, given in zip(questions, answers, strict=True):
        fact = facts.answer(question.question_type, question.subject).value
        yield question, given, ("cannot tell",) if fact is None else fact


def verdict(given: Sequence[dict[str, Any]], fact: Sequence[str]) -> str:
    """``right`` when exactly the true answers were given, else ``WRONG``."""
    return "right" if {answer["answer"] for answer in given} == set(fact) else "WRONG"


def lines_of(question: Question, given: Sequence[dict[str, Any]], fact: Sequence[str]) -> Iterator[str]:
    """A question with its answers, the fact and the verdict, as lines of at most `WIDTH` characters."""
    yield f"  {question.text}"
    model = ", ".join(f"{answer['answer']} ({answer['score']:.2f})" for answer in given)
    for label, text in (("model", model), ("fact", ", ".join(fact))):
        mark = verdict(given, fact) if label == "model" else ""
        first, *others = textwrap.wrap(text, WIDTH - 20, break_long_words=False) or [""]
        yield f"    {label:<7}{first.ljust(WIDTH - 20)}  {mark}".rstrip()
        yield from (f"    {'':<7}{line}" for line in others)


def run(model: str, architectures: Sequence[str]) -> Iterator[str]:
    """The lines of the demo, each as soon as it is known."""
    answer = pipeline(model=model, device="cpu")
    yield f"ArchBERT ({model}: {answer.model.num_parameters() / 1e6:.1f} million parameters)"
    yield ""
    yield "Architectures, built from their transformers configs at full size, without weights"
    yield ""
    traced = [trace_architecture(name, answer.processor) for name in architectures]
    yield from table([one.row() for one in traced], ["", "nodes", "tokens", "edges", "parameters", "seconds"])
    yield ""
    yield "  tokens: what the model reads, equal parts folded into one. seconds: to build and trace."
    right = asked = 0
    for one in traced:
        yield from ("", one.name)
        for question, given, fact in ask(answer, one):
            asked += 1
            right += verdict(given, fact) == "right"
            yield from lines_of(question, given, fact)
    yield ""
    yield f"{right} of {asked} answers are right. model: predicted, with its probability; fact: read off the graph."


def _be_quiet() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m archbert.demo", description="Ask real networks questions.")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a released model folder, or a Hub id")
    parser.add_argument(
        "--architectures", nargs="+", default=DEFAULT_ARCHITECTURES, help="model types, config.json files or Hub ids"
    )
    options = parser.parse_args(arguments)
    _be_quiet()
    try:
        for line in run(options.model, options.architectures):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except (ArchitectureTraceError, SafetensorError, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
