"""The floors in the card of TVHF: a small table for each task; everything else is in the JSON file beside the code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataset_scripts.release.statistics_release import markdown_table

from .configs_tvhf import PAPER_SPLITS
from .floors_tvhf import MAX_ONE_SIDED, MIN_ROWS
from .metrics_tvhf import HEADLINE, RANKING
from .question_floors_tvhf import CONFIGS as QUESTION_CONFIGS
from .statement_floors_tvhf import HUMAN, HUMAN_NAMED

Figures = Mapping[str, Any]
ByMethod = Mapping[str, Figures]
BINARY = ("accuracy", "F1", "MCC", "AUROC", "AP")
OTHER_STATEMENTS = (
    ("test_seen_sentence", HEADLINE), ("test_seen_architecture", HEADLINE), ("test_seen_both", HEADLINE),
    ("test_new", HEADLINE), ("tv_test", HEADLINE), ("hf_test", HEADLINE), ("test", "purpose"),
    ("test_seen_sentence", "purpose"), (HUMAN, HEADLINE), (HUMAN_NAMED, HEADLINE),
)  # fmt: skip
OTHER_PAIRS = (
    ("test", "size-matched"), ("test", "all"), ("test", "disagreements with Weisfeiler-Lehman"),
    ("test_new", "distinct graphs"), ("tv_test", "distinct graphs"), ("hf_test", "distinct graphs"),
)  # fmt: skip
QUESTION_SPLITS = ("test", "test_new")


def floors_section(floors: Figures) -> str:
    """The floors in tables, with 95% intervals over clusters in brackets."""
    statements, pairs, bimodal = floors["descriptions"], floors["clones"], floors["bimodal_clones"]
    parts = [
        _headed("**Statements (AR)**, `descriptions`, structure and size", statements["test"][HEADLINE], "test"),
        binary_table(statements["test"][HEADLINE]),
        "Group accuracy on other splits (chance 25%, a text alone 0%; `test_human` without and with names of models):",
        across(statements, OTHER_STATEMENTS, "group_accuracy"),
        *_paper_part("The paper's form", statements, "all"),
        _headed("**Clones (ACD)**, `clones`, pairs of distinct graphs", pairs["test"]["distinct graphs"], "test"),
        binary_table(pairs["test"]["distinct graphs"]),
        "Matthews correlation on other parts:",
        across(pairs, OTHER_PAIRS, "MCC"),
        *_paper_part("The paper's form of clones", pairs, "distinct graphs"),
        _headed("**Clones with a text (BACD)**, `bimodal_clones`", bimodal["test"]["all"], "test"),
        binary_table({name: found for name, found in bimodal["test"]["all"].items() if found["MCC"]}),
        "Methods that read the text alone, or no text, are at 0 by construction.",
        "**Search (AS)**, `search`, `test`:",
        search_table(floors["search"]["test"]),
        "**Questions (AQA)**, exact match as the mean over question types:",
        question_table(floors),
        faults_text(floors["faults"]),
    ]
    return "\n\n".join(parts)


def _headed(title: str, by_method: ByMethod, split: str) -> str:
    first = next(iter(by_method.values()))
    groups = f", {first['groups']:,} groups" if "groups" in first else ""
    return f"{title}, `{split}`: {first['rows']:,} rows{groups}, {first['prevalence']:.1f}% of them 1:"


def _paper_part(title: str, splits: Mapping[str, Mapping[str, ByMethod]], part: str) -> list[str]:
    by_method = splits.get(PAPER_SPLITS[1], {}).get(part)
    return [_headed(title, by_method, PAPER_SPLITS[1]), binary_table(by_method)] if by_method else []


def binary_table(by_method: ByMethod) -> str:
    """All figures of one part; the first column that there is of group accuracy and MCC has intervals."""
    grouped = "group_accuracy" in next(iter(by_method.values()))
    columns = ("group_accuracy", *BINARY) if grouped else BINARY
    rows = [
        (name, *(_cell(found, column, column in ("group_accuracy", "MCC")) for column in columns))
        for name, found in by_method.items()
    ]
    return markdown_table(("method", *(column.replace("_", " ") for column in columns)), rows)


def _cell(found: Figures, name: str, interval: bool) -> str:
    value = found.get(name)
    if value is None:
        return "-"
    text = f"{value:.2f}" if name == "MCC" else f"{value:.1f}"
    if not interval or found.get(f"{name}_95") is None:
        return text
    low, high = found[f"{name}_95"]
    return f"{text} ({low:.2f} to {high:.2f})" if name == "MCC" else f"{text} ({low:.0f} to {high:.0f})"


def across(splits: Mapping[str, Mapping[str, ByMethod]], places: Sequence[tuple[str, str]], figure: str) -> str:
    """One figure of every method in several (split, part); places that are not there are left out."""
    there = [(s, p) for s, p in places if p in splits.get(s, {})]
    methods = dict.fromkeys(name for split, part in there for name in splits[split][part])
    heads = [f"`{split}`" + ("" if part == HEADLINE else f", {part}") for split, part in there]
    rows = [
        (name, *(_cell(splits[split][part].get(name, {}), figure, False) for split, part in there)) for name in methods
    ]
    return markdown_table(("method", *heads), rows)


def search_table(parts: Mapping[str, ByMethod]) -> str:
    """nDCG@10 with its interval, MAP and R-precision of compositional queries, and nDCG@10 of sentences."""
    composed, sentences = parts.get("compositional, split", {}), parts.get("sentence, split", {})
    whole = parts.get("compositional, all", {})
    rows = [
        (name, _cell(found, RANKING[0], True), *(_cell(found, figure, False) for figure in RANKING[1:]),
         _cell(whole.get(name, {}), RANKING[0], False), _cell(sentences.get(name, {}), RANKING[0], False))
        for name, found in composed.items()
    ]  # fmt: skip
    counts = [next(iter(found.values()))["queries"] if found else 0 for found in (composed, whole, sentences)]
    heads = (
        f"method ({counts[0]}, {counts[1]} and {counts[2]} queries)", "nDCG@10, compositional", "MAP", "R-precision",
        "nDCG@10, all networks", "nDCG@10, sentences",
    )  # fmt: skip
    return markdown_table(heads, rows)


def question_table(floors: Figures) -> str:
    """Mean over types of every config and split."""
    there = [(c, s) for c in QUESTION_CONFIGS for s in QUESTION_SPLITS if s in floors[c]]
    methods: Iterable[str] = dict.fromkeys(name for config, split in there for name in floors[config][split])
    rows = [
        (name, *(_cell(floors[config][split].get(name, {}), "macro", split == "test") for config, split in there))
        for name in methods
    ]
    heads = [f"`{config}`, `{split}`" for config, split in there]
    return markdown_table(("method", *heads), rows)


def faults_text(lines: Sequence[str]) -> str:
    """What is said of classifiers that see one side only."""
    if not lines:
        return (
            "No classifier that sees one side only (the text, one network or, of `bimodal_clones`, both, or names) is "
            f"above a Matthews correlation of {MAX_ONE_SIDED} on a test split; a build where one is fails. Parts of "
            f"fewer than {MIN_ROWS} rows fail where the whole interval is above. Not judged are the paper's form, "
            "kept as it is, sentences of people that name a model, and disagreements, which are chosen by label. "
            "*Match of families* compares the registry's families, from which relations are read: it is the label's "
            "source and no floor."
        )
    return "Above the limit are:\n\n" + "\n".join(f"- {line}" for line in lines)
