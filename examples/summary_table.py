"""
The table that the README begins its results with: every task on real networks of unseen clusters, beside its floors.

    python examples/paper_tables.py --write docs/paper.md README.md

Figures come from stored results. The network alone stands beside the best floor that reads no computed facts, the
product (with computed facts) beside a program of rules that reads the text and computes the facts, so that neither is
praised for what the other brings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OURS, FACTS, ORACLE = "ArchBERT", "fact program, text read", "fact program, predicate given"
CEILING = "one reference against the others"
NOTHING = "–"


@dataclass(frozen=True)
class SummaryRow:
    """One row.

    Attributes:
        said: what the row is called.
        file: of the results of the task, below `runs`.
        measure: column of its table.
        alone: row of the network alone.
        product: row of the network with computed facts; empty where there is none.
        title: beginning of the title of the table.
        part: part of the table's rows, where it says one.
        floors_of: config of `tvhf_floors.json` where floors are not in the table.
    """

    said: str
    file: str
    measure: str
    alone: str
    product: str
    title: str
    part: str | None = None
    floors_of: str | None = None


ROWS = (
    SummaryRow("reasoning (AR): of which of two networks is a sentence true? group accuracy", "small-reasoning.json",
               "group_accuracy", "ArchBERT, both", "ArchBERT, product", "AR on real networks, test, ",
               "structure and size"),
    SummaryRow("questions (AQA), the paper's types: exact match, macro", "small-real_aqa.json", "macro", OURS, "aqa",
               "AQA on real networks, test"),
    SummaryRow("questions, 55 more types: exact match, macro", "small-alone-aqa.json", "macro", "aqa_modern",
               "aqa_modern", "AQA of the model alone", floors_of="aqa_modern"),
    SummaryRow("captions (AC), a paragraph: claims that are true", "small-captions-tvhf.json", "claim precision", OURS,
               "ArchBERT with computed facts (product)", "AC on tvhf, test, paragraph"),
    SummaryRow("search (AS), sentences: nDCG@10", "small-search.json", "nDCG@10", "ArchBERT, cosine, the first judged",
               "ArchBERT, with computed facts", "AS on real networks, test, sentence, split"),
    SummaryRow("search, compositions: nDCG@10", "small-search.json", "nDCG@10", "ArchBERT, cosine, the first judged",
               "ArchBERT, with computed facts", "AS on real networks, test, compositional, split"),
    SummaryRow("two networks and a text (BACD): F1", "small-clone_detection.json", "F1", "ArchBERT, reasoning head",
               "ArchBERT, product, best threshold on validation", "BACD on real networks, test"),
    SummaryRow("two networks (ACD): F1", "small-clone_detection.json", "F1", "ArchBERT, best threshold on validation",
               "", "ACD on real networks, test", "all"),
)  # fmt: skip
PRODUCT_ANSWERS = "small-product-aqa.json"
"""Results of the product on questions: rows of a config and a split."""


def summary(results: Path) -> str:
    """The table, as Markdown.

    Args:
        results: folder of the stored results.

    Raises:
        ValueError: a result that a row names is not stored.
    """
    lines = ["| task, unseen clusters | network alone | best floor | with computed facts | facts and rules alone |",
             "|---|---|---|---|---|"]  # fmt: skip
    for row in ROWS:
        lines.append(f"| {row.said} | {' | '.join(_cells(row, results))} |")
    return "\n".join(lines)


def _cells(row: SummaryRow, results: Path) -> tuple[str, str, str, str]:
    table = _table(results / "runs" / row.file, row)
    found = {str(one.get("method", one.get("config"))): one.get(row.measure) for one in table
             if one.get("split", "test") == "test"}  # fmt: skip
    floors: Mapping[str, Any] = found
    if row.floors_of:
        stored = _read(results / "tvhf_floors.json")[row.floors_of]["test"]
        floors = {name: figures[row.measure] for name, figures in stored.items()}
    product = found.get(row.product) if row.product else None
    if row.file in ("small-real_aqa.json", "small-alone-aqa.json"):
        answers = [one for table in _tables(results / "runs" / PRODUCT_ANSWERS) for one in table["rows"]]
        product = next(one["macro"] for one in answers if (one["config"], one["split"]) == (row.product, "test"))
    known = {name: value for name, value in floors.items()
             if not name.startswith(OURS) and name not in (FACTS, ORACLE, CEILING, row.alone)}  # fmt: skip
    best = max(known, key=lambda name: known[name])
    if found.get(row.alone) is None:
        raise ValueError(f"{row.file} has no row {row.alone!r} of {row.title!r}")
    return _figure(found[row.alone]), f"{_figure(known[best])} ({best})", _figure(product), _figure(floors.get(FACTS))


def _table(path: Path, row: SummaryRow) -> Sequence[Mapping[str, Any]]:
    for table in _tables(path):
        if str(table["title"]).startswith(row.title) and row.part in (None, table.get("part")):
            return list(table["rows"])
    raise ValueError(f"{path} has no table {row.title!r}")


def _tables(path: Path) -> list[dict[str, Any]]:
    found = _read(path)
    return found if isinstance(found, list) else [found]


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _figure(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"
