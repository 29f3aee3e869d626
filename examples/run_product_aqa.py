"""
Evaluates the product, `archbert ask`, on questions about real networks of unseen clusters: computed where it can be.

    python examples/run_product_aqa.py --configs aqa,aqa_modern --splits test --results runs/product-aqa.json

An answer is right where its set is the true set; a refusal (`cannot_tell`) is right where nothing can be told of a
graph, else it is no answer, and counted by itself.
Without `--model` nothing is predicted: what cannot be computed is refused. The product reads the graph alone. With
`--alone` the checkpoint answers by itself, as the pipeline of question answering does: it reads what is asked for, and
that is looked up; nothing is read by rules.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from archbert import pipeline
from archbert.answering import Answer, Answered, Answerer
from archbert.cli_sources import load_checkpoint
from dataset_scripts.autonet.hard_facts_autonet import two_digits
from dataset_scripts.tvhf.metrics_tvhf import question_metrics, read_clusters, read_rows
from processing_archbert import ArchitectureGraph
from processing_archbert.computed_answers_archbert import PREDICTED
from processing_archbert.pipeline_archbert import NOT_SHOWN
from training_loop import print_table

REFUSED = "cannot_tell"
"""Basis of a refusal."""
UNKNOWABLE = "cannot tell"
"""The true answer where no graph shows what is asked: a refusal is right."""
WHOLE = "full"
"""View of questions on the whole graph; those on parts of it are left out."""


ROUNDED_TYPES = ("parameters", "weight_memory", "flops_per_token")
"""Question types that ask for two significant digits."""
_ABSENT = re.compile(r"(?:no: )?this model (?:does not include|has no) (?:an? )?(.+)")
_UNIT = re.compile(r" (?:bytes|flops)(?: per token)?$")


def outcome(answered: Any, row: Mapping[str, Any]) -> str:
    """`right`, `wrong` or `cannot_tell`.

    Args:
        answered: `archbert.answering.Answered`.
        row: a question with its `answers` and its `question_type`.
    """
    if answered.basis == REFUSED:
        return "right" if row["answers"] == [UNKNOWABLE] else REFUSED
    rounded = row["question_type"] in ROUNDED_TYPES
    told = [part for answer in answered.answers for part in by_stage(answer.text)]
    given = {plain(part, rounded) for part in told}
    return "right" if given == {plain(answer, rounded) for answer in row["answers"]} else "wrong"


def by_stage(answer: str) -> list[str]:
    """The numbers of an answer that has one for each stage; else the answer."""
    return answer.removesuffix(" by stage").split(", ") if answer.endswith(" by stage") else [answer]


def plain(answer: str, rounded: bool = False) -> str:
    """An answer in one spelling.

    Lower case, without a remark in brackets and a unit; a number in digits; what is not there in one form of words.

    Args:
        answer: an answer of the product, or a true one.
        rounded: whether numbers are compared at two significant digits.
    """
    text = re.sub(r" \([^()]*\)$", "", answer.strip().lower())
    absent = _ABSENT.fullmatch(text)
    if absent:
        return f"no {absent[1].removesuffix(' per token').removesuffix(' layer')}"
    number = re.sub(r"(?<=\d),(?=\d{3})", "", _UNIT.sub("", text))
    if re.fullmatch(r"-?\d+(\.\d+)?", number) is None:
        return text
    return str(two_digits(round(float(number)))) if rounded else f"{float(number):.15g}"


class Alone:
    """Answers questions about one network by the pipeline of question answering."""

    def __init__(self, graph: ArchitectureGraph, pipeline: Any) -> None:
        self.graph, self.pipeline = graph, pipeline

    def answer(self, question: str) -> Answered:
        """What the pipeline gives, in the form of the product."""
        found = self.pipeline({"architecture": self.graph, "question": question})
        answers = tuple(Answer(one["answer"], one["score"]) for one in found)
        refused = [answer.text for answer in answers] == [NOT_SHOWN]
        return Answered(question, REFUSED, ()) if refused else Answered(question, PREDICTED, answers)


def evaluate_split(
    data: Path, config: str, split: str, answers: Callable[[ArchitectureGraph], Any], limit: int | None
) -> dict[str, Any]:
    """Figures of one split of one config.

    Args:
        data: folder of TVHF.
        config: of questions.
        split: of it.
        answers: network -> what answers questions about it, an `Answerer` or `Alone`.
        limit: so many questions.
    """
    asked: dict[str, list[dict[str, Any]]] = defaultdict(list)
    rows = [row for row in read_rows(data, config, split) if row.get("view", WHOLE) == WHOLE][:limit]
    for row in rows:
        asked[row["arch_id"]].append(row)
    found: dict[int, str] = {}
    wrong: list[dict[str, Any]] = []
    for network in read_rows(data, "architectures", split):
        if network["arch_id"] not in asked:
            continue
        answerer = answers(ArchitectureGraph.from_row(network))
        for row in asked[network["arch_id"]]:
            answered = answerer.answer(row["question"])
            found[id(row)] = outcome(answered, row)
            if found[id(row)] == "wrong":
                wrong.append({"arch_id": row["arch_id"], "question": row["question"], "type": row["question_type"],
                              "truth": row["answers"], "given": [a.text for a in answered.answers]})  # fmt: skip
    outcomes = [found[id(row)] for row in rows]
    clusters = read_clusters(data)
    figures = question_metrics([float(one == "right") for one in outcomes], rows, clusters)
    counts = Counter(outcomes)
    by_type: dict[str, Counter[str]] = defaultdict(Counter)
    for row, one in zip(rows, outcomes, strict=True):
        by_type[row["question_type"]][one] += 1
    answered_rows = counts["right"] + counts["wrong"]
    return {
        "config": config, "split": split, "rows": len(rows), "macro": figures["macro"], "micro": figures["micro"],
        "answered": round(100 * answered_rows / len(rows), 1),
        "right of answered": round(100 * counts["right"] / max(1, answered_rows), 1),
        "by_type": {name: dict(sorted(count.items())) for name, count in sorted(by_type.items())},
        "examples of wrong": wrong[:: max(1, len(wrong) // 40)][:40],
    }  # fmt: skip


def answerers(model: str | None, alone: bool) -> Callable[[ArchitectureGraph], Any]:
    """Network -> what answers questions about it; the checkpoint is loaded once."""
    if model is None:
        return lambda graph: Answerer(graph, model=None)
    loaded, processor = load_checkpoint(model, "AutoModelForSequenceClassification")
    asked = pipeline(model=loaded, processor=processor, device="cpu")
    return lambda graph: Alone(graph, asked) if alone else Answerer(graph, predictor=asked)


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate, print and store."""
    parser = argparse.ArgumentParser(description="Answers of the product to questions about real networks.")
    parser.add_argument("--data", type=Path, default=Path("hub/datasets/tvhf"), help="folder of TVHF")
    parser.add_argument("--configs", default="aqa,aqa_modern", help="configs, with commas between them")
    parser.add_argument("--splits", default="test", help="splits, with commas between them")
    parser.add_argument("--model", default=None, help="checkpoint for what cannot be computed; default: none")
    parser.add_argument("--limit", type=int, default=None, help="so many questions of each split")
    parser.add_argument("--results", type=Path, default=None, help="JSON file to write")
    parser.add_argument("--alone", action="store_true", help="the checkpoint answers without rules")
    options = parser.parse_args(argv)
    if options.alone and not options.model:
        parser.error("--alone needs --model")
    answers = answerers(options.model, options.alone)
    rows = [evaluate_split(options.data, config, split, answers, options.limit)
            for config in options.configs.split(",") for split in options.splits.split(",")]  # fmt: skip
    shown = ("config", "split", "rows", "macro", "micro", "answered", "right of answered")
    title = f"AQA of {'the model alone' if options.alone else 'the product'} on real networks"
    table = {"title": title, "data": "TVHF, unseen clusters",
             "rows": [{name: row[name] for name in shown} for row in rows], "results": rows,
             "model": options.model or "none"}  # fmt: skip
    print_table(table)
    if options.results:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
