"""Floors of AutoNet: what is answered right from the text alone, fitted on `train`.

The shares of questions are those of exact matches. A question is known by its type, or by its type and subject. Rows
of `aqa_hard` that belong to a pair are counted under a type of their own, as in `measure_hard`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import mean

import pyarrow as pa
import pyarrow.compute as pc

from dataset_scripts.release.floors_release import Answered, AnswerPrior, TextPrior, binary_figures
from dataset_scripts.release.folder_release import DataFolder
from dataset_scripts.release.statistics_release import markdown_table

from .card_autonet import paper_descriptions
from .measure_hard import measured_type

ALWAYS_SAME = "unknowable"
"""The type of questions that no graph answers."""
ALL, QUESTION_CONFIGS = "(all)", ("aqa", "aqa_hard")
Floors = dict[str, dict[str, tuple[float, float]]]
"""Split -> type -> percent answered right by the type, and by type and subject."""
StatementFloors = dict[str, Mapping[str, Mapping[str, float]]]
"""Kind of descriptions -> split -> name of a figure -> percent."""


def question_floors(data: DataFolder, config: str) -> Floors:
    """Floors of `aqa` or `aqa_hard` on every split but `train`, for every type and as their mean, `ALL`."""
    prior = AnswerPrior(_answered(data, config, "train"))
    floors: Floors = {}
    for split in data.splits[config][1:]:
        right = {
            kind: (100 * of_type, 100 * of_question)
            for kind, (of_type, of_question) in prior.right(_answered(data, config, split)).items()
        }
        of_types, of_questions = zip(*right.values(), strict=True)
        floors[split] = {ALL: (mean(of_types), mean(of_questions))} | right
    return floors


def _answered(data: DataFolder, config: str, split: str) -> Iterator[Answered]:
    columns = ["question_type", "subject", "answers"] + (["group"] if config == "aqa_hard" else [])
    for table in data.tables(config, split, columns):
        for row in table.to_pylist():
            kind = measured_type(row) if "group" in row else row["question_type"]
            yield Answered(kind, (row["question_type"], row["subject"]), tuple(row["answers"]))


def statement_floors(data: DataFolder) -> StatementFloors:
    """What naive Bayes over the words of descriptions reaches on every split but `train`."""
    found: StatementFloors = {}
    for kind, read in (("of the paper's kind", paper_descriptions), ("matched", _matched_descriptions)):
        rows = {split: pa.concat_tables(read(data, split, ("text", "label"))) for split in data.splits["descriptions"]}
        train = rows.pop("train")
        if not len(train):
            continue
        prior = TextPrior([train["text"]], [train["label"].to_numpy()])
        found[kind] = {
            split: binary_figures(prior.scores(table["text"]), table["label"].to_numpy())
            for split, table in rows.items()
            if len(table)
        }
    return found


def _matched_descriptions(data: DataFolder, split: str, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    for table in data.tables("descriptions", split, (*columns, "group")):
        yield table.filter(pc.not_equal(table["group"], ""))


def all_question_floors(data: DataFolder) -> dict[str, Floors]:
    """Config with questions -> its floors."""
    return {config: question_floors(data, config) for config in QUESTION_CONFIGS}


def floors_section(questions: Mapping[str, Floors], statements: StatementFloors) -> str:
    """The floors in words and tables, for the card."""
    splits = list(next(iter(questions.values())))
    rows = [
        (f"`{config}`", *(f"{share:.1f}%" for split in splits for share in floors[split][ALL]))
        for config, floors in questions.items()
    ]
    heads = [f"{split}, {known}" for split in splits for known in ("type", "type and subject")]
    hard = {
        (kind, split): max(best)
        for split, floors in questions["aqa_hard"].items()
        for kind, best in floors.items()
        if kind not in (ALL, ALWAYS_SAME)
    }
    worst, where = max(hard, key=lambda known: hard[known])
    texts = [
        (f"descriptions {kind}", split, *(f"{figures[name]:.1f}%" for name in ("accuracy", "AUROC")))
        for kind, by_split in statements.items()
        for split, figures in by_split.items()
    ]
    return "\n".join(
        [
            "Questions, exact match of the most frequent training answer, as the mean over question types:",
            "",
            markdown_table(("", *heads), rows),
            "",
            f"`{ALWAYS_SAME}` always has the same answer; the highest of all other types of `aqa_hard` is "
            f"{hard[worst, where]:.1f}% (`{worst}`, {where}).",
            "",
            "Descriptions, naive Bayes over the words of the text (a description of the paper's kind is true with a "
            "share of about 30%, so that *always false* is right for about 70% of them):",
            "",
            markdown_table(("", "split", "accuracy", "AUROC"), texts),
        ]
    )
