"""
Prints the counterparts of the paper's tables from stored results, or writes them into a page.

    python examples/paper_tables.py                       # all tables, as Markdown
    python examples/paper_tables.py --write docs/paper.md README.md  # between the markers of each page

Figures are percentages; of several seeds the mean and the deviation. The figures of the paper stand beside ours; they
are on other data and cannot be compared with them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from summary_table import summary

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
BEGIN, END = "<!-- tables: written by examples/paper_tables.py -->", "<!-- end of tables -->"
SUMMARY_BEGIN, SUMMARY_END = "<!-- summary: written by examples/paper_tables.py -->", "<!-- end of summary -->"
LIBRARIES = ("tv", "hf", "tvhf")
NO_RUN = "not run"

THEIR_TABLE_2: dict[str, dict[str, tuple[float, float]]] = {
    "ArchBERT": {"AR": (96.13, 71.86), "ACD": (86.20, 60.10), "AQA": (72.73, 73.51)},
    "without shape": {"AR": (95.44, 69.16), "ACD": (85.44, 60.20)},
    "without edge": {"AR": (95.52, 68.98), "ACD": (76.70, 47.96)},
    "without edge and shape": {"AR": (95.12, 65.80), "ACD": (82.90, 56.45)},
    "without MAM": {"AR": (95.18, 64.27), "ACD": (78.80, 49.59), "AQA": (66.08, 66.16)},
    "without cross encoder": {"AR": (94.42, 57.03), "ACD": (69.89, 42.35), "AQA": (60.32, 63.33)},
    "uni-modal": {"AQA": (55.82, 61.84)},
}
"""Accuracy and F1 of the paper's Table 2, on its own data."""
THEIR_TABLE_3: dict[tuple[str, str], tuple[int, int, int]] = {
    ("ArchBERT", "tvhf"): (18, 5, 17), ("without MAM", "tvhf"): (17, 5, 15), ("uni-modal", "tvhf"): (18, 7, 17),
    ("ArchBERT", "autonet"): (48, 36, 46), ("without MAM", "autonet"): (45, 34, 43),
    ("uni-modal", "autonet"): (40, 30, 38),
}  # fmt: skip
"""ROUGE-1, -2 and -Lsum of the paper's Table 3 in percent, on its own data."""
THEIR_TABLE_5: dict[tuple[str, str], tuple[float, float, float]] = {
    ("tv", "AR"): (85.05, 3.82, 28.78), ("tv", "ACD"): (58.88, 22.85, 23.30),
    ("hf", "AR"): (9.19, 64.26, 42.43), ("hf", "ACD"): (15.42, 59.98, 54.57),
    ("tvhf", "AR"): (85.32, 64.39, 71.86), ("tvhf", "ACD"): (62.77, 60.01, 60.10),
}  # fmt: skip
"""F1 on TV, HF and TVHF of the paper's Table 5, on its own data."""
REMEMBERED = "nearest training pairs"
FLOORS = {
    "AR": ("descriptions", ("always true", "text alone", "graph alone", "ops x words", REMEMBERED,
           "fact program, text read")),
    "ACD": ("clones", ("always alike", "match of names", "Jaccard of ops", "Weisfeiler-Lehman, k = 2",
            "encoder, printed modules")),
}  # fmt: skip

ROWS = {
    "AQA": ("ArchBERT", "preset paper", "without shape", "without edge", "without edge and shape", "without MAM",
            "without cross encoder", "without folding features", "without attributes", "uni-modal"),
    "AC": ("ArchBERT", "without MAM", "without cross encoder", "without stated facts", "uni-modal"),
}  # fmt: skip
"""Runs of `run_paper_ablations.py`, by task."""

HEADLINES: dict[str, set[tuple[str, str]]] = {
    "small-reasoning.json": {("test", "structure and size"), ("test_seen_sentence", "structure and size")},
    "small-reasoning-human.json": {("test_human", "structure and size")},
    "small-clone_detection.json": {("test", "all"), ("test", "size-matched")},
    "small-search.json": {("test", "compositional, split"), ("test", "sentence, split")},
    "small-real_aqa.json": {("test", "all")},
}
"""File of results -> the splits and parts of it that the page shows."""

OTHER_COLUMNS = ("MCC", "AUROC", "F1 at 0.5", "seeds", "the paper, F1, on other data")
"""Of Table 2, after F1."""

Runs = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]
"""(name, library) -> one result for each seed."""


def read_runs(folder: Path, task: str = "AR") -> Runs:
    """The results of a task in a folder: of `run_paper_tables.py` (AR and ACD) or `run_paper_ablations.py`."""
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for path in sorted(folder.rglob("*.json"), key=lambda path: path.name):
        run = json.loads(path.read_text(encoding="utf-8"))
        if run.get("task", "AR") == task:
            found[run["name"], run["library"]].append(run)
    return found


def figure(runs: Sequence[Mapping[str, Any]], task: str, library: str, name: str) -> str:
    """Mean and deviation of a figure over the seeds that have it."""
    values = [float(run[task][library][name]) for run in runs if task in run]
    digits = 2 if name == "MCC" else 1
    if not values:
        return NO_RUN
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def _minutes(runs: Runs) -> str:
    """CPU minutes of the trainings, as a number or a range; of those that were given time and not steps."""
    budget = {round(run["cpu_seconds"] / 60, 1) for several in runs.values() for run in several
              if not run.get("as_many_steps")}  # fmt: skip
    return f"{min(budget):g} to {max(budget):g}" if len(budget) > 1 else f"{next(iter(budget), 0):g}"


def table_2(runs: Runs, floors: Mapping[str, Any]) -> str:
    """AR and zero-shot ACD in the paper's form: models, ablations and floors."""
    minutes = _minutes(runs)
    parts = []
    for task, (config, names) in FLOORS.items():
        product = f"{task} product"
        given = [product] * any(product in run for several in runs.values() for run in several)
        columns = ["F1", *["F1, product"] * len(given), *OTHER_COLUMNS]
        lines = [f"| method | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        theirs_too = [name for name, figures in THEIR_TABLE_2.items() if task in figures]
        ours = dict.fromkeys([*theirs_too, *(name for name, library in runs if library == "tvhf")])
        for name in sorted(ours, key=lambda name: (name not in ("ArchBERT", "preset paper"),)):
            seeds = runs.get((name, "tvhf"), ())
            theirs = THEIR_TABLE_2.get(name, {}).get(task)
            cells = [figure(seeds, task, "tvhf", "F1")]
            cells += [figure(seeds, product, "tvhf", "F1") for product in given]
            cells += [figure(seeds, task, "tvhf", column) for column in ("MCC", "AUROC")]
            cells += [figure(seeds, f"{task} at 0.5", "tvhf", "F1"), str(len(seeds)), f"{theirs[1]}" if theirs else ""]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        for name in names:
            known = floors[config]["paper_validation"]["all"].get(name)
            if known:
                lines.append(f"| *{name}* | {known['F1']:.1f} {'| ' * len(given)}| {known['MCC']:.2f} | "
                             f"{known['AUROC']:.1f} | | | |")  # fmt: skip
        title = "AR on real networks, the paper's split" if task == "AR" else "ACD on real networks, zero-shot"
        parts.append(f"### Table 2, {title}\n\nEvery model: size of `mini`, {minutes} CPU minutes. Floors in italics."
                     "\n\n" + "\n".join(lines))  # fmt: skip
    return "\n\n".join(parts)


def _ablations(task: str, library: str, runs: Runs, columns: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """The table of a task of `run_paper_ablations.py`: every run, its floors in italics, and what was measured.

    Args:
        task: `"AQA"` or `"AC"`.
        library: the data set.
        runs: the results of the task.
        columns: title of a column -> figure.
        theirs: name of a run -> the paper's figures.
    """
    known = {name: [{**run, task: {library: run[task]}} for run in runs.get((name, library), ())]
             for name in ROWS[task]}  # fmt: skip
    title = "the paper, on other data"
    lines = [f"| method | {' | '.join(columns)} | steps | seeds | {title} |", "|---" * (len(columns) + 4) + "|"]
    for name, seeds in known.items():
        cells = [figure(seeds, task, library, column) for column in columns.values()]
        steps = f"{mean(run['steps'] for run in seeds):.0f}" if seeds else ""
        lines.append(f"| {name} | {' | '.join([*cells, steps, str(len(seeds)), theirs.get(name, '')])} |")
    every = [run for seeds in known.values() for run in seeds]
    for name, figures in (every[0]["floors"] if every else {}).items():
        lines.append(f"| *{name}* | {' | '.join(f'{figures[column]:.1f}' for column in columns.values())} | | | |")
    about = "Every model: size of `mini`, the same text side"
    if every:
        about += f", {_minutes({(task, library): every})} CPU minutes, {every[0]['training_data']} to learn from. " \
                 f"Measured on {every[0]['data']}. Floors in italics."  # fmt: skip
    widths = [(high - low) / 2 for run in every for low, high in [run[task][library].get("exact_match_95", (0, 0))]]
    if any(widths):
        about += f" Over architectures, 95% of the exact match lies within ± {max(widths):.1f} points."
    return f"{about}\n\n" + "\n".join(lines)


def table_2_longer(runs: Runs, floors: Mapping[str, Any]) -> str:
    """AR and zero-shot ACD of runs that had more time, a row for each learning rate."""
    measured = (("AR", "F1"), ("AR product", "F1"), ("AR", "MCC"), ("AR", "AUROC"), ("ACD", "F1"), ("ACD", "AUROC"))
    columns = ["method", "learning rate", "steps", *(f"{task}, {column}" for task, column in measured)]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for (name, library), several in runs.items():
        for run in sorted(several, key=lambda run: float(run["learning_rate"])):
            cells = " | ".join(figure([run], task, library, column) for task, column in measured)
            lines.append(f"| {name} | {run['learning_rate']:g} | {run['steps']} | {cells} |")
    remembered = floors["descriptions"]["paper_validation"]["all"].get(REMEMBERED)
    if remembered:
        lines.append(f"| *{REMEMBERED}* | | | {remembered['F1']:.1f} | | {remembered['MCC']:.2f} | "
                     f"{remembered['AUROC']:.1f} | | |")  # fmt: skip
    about = f"As above, one seed, {_minutes(runs)} CPU minutes of a slower machine. Floor in italics."
    return f"### Table 2, trained for longer\n\n{about}\n\n" + "\n".join(lines)


def table_2_answers(runs: Runs) -> str:
    """AQA: models, ablations, the uni-modal baseline, and what the question alone gives away."""
    columns = {"exact match": "exact_match", "samples-F1": "samples_f1",
               "exact match, macro over types": "macro_exact_match",
               "exact match, balanced over answers": "balanced_exact_match"}  # fmt: skip
    theirs = {name: "{:.1f} / {:.1f}".format(*figures["AQA"]) for name, figures in THEIR_TABLE_2.items()
              if "AQA" in figures}  # fmt: skip
    return ("### Table 2, AQA, ablations on AutoNet\n\nThe paper: accuracy / F1. "
            + _ablations("AQA", "autonet", runs, columns, theirs))  # fmt: skip


def table_3(runs: Runs) -> str:
    """AC on both data sets: models, ablations, the uni-modal baseline, and floors."""
    columns = {"claim precision": "claim_precision", "claim recall": "claim_recall", "ROUGE-1": "rouge1",
               "ROUGE-2": "rouge2", "ROUGE-L": "rougeLsum"}  # fmt: skip
    parts = []
    for library, title in (("autonet", "AutoNet"), ("tvhf", "real networks")):
        theirs = {name: "{} / {} / {}".format(*rouge) for (name, of), rouge in THEIR_TABLE_3.items() if of == library}
        parts.append(f"### Table 3, AC on {title}\n\nThe paper: ROUGE-1 / 2 / L. "
                     + _ablations("AC", library, runs, columns, theirs))  # fmt: skip
    return "\n\n".join(parts)


def table_5(runs: Runs) -> str:
    """Trained on one library, evaluated on each: F1."""
    lines = [
        "| trained on | task | method | TV | HF | TVHF | the paper, on other data |",
        "|---|---|---|---|---|---|---|",
    ]
    for library in LIBRARIES:
        for task in ("AR", "ACD"):
            theirs = " / ".join(f"{value:g}" for value in THEIR_TABLE_5[library, task])
            for name in ("ArchBERT", "preset paper"):
                seeds = runs.get((name, library), ())
                for measured, said in ((task, name), (f"{task} product", f"{name}, product")):
                    if measured != task and not any(measured in run for run in seeds):
                        continue
                    cells = " | ".join(figure(seeds, measured, other, "F1") for other in LIBRARIES)
                    shown = theirs if said == "ArchBERT" else ""
                    lines.append(f"| {library.upper()} | {task} | {said} | {cells} | {shown} |")
    return "### Table 5, out of distribution, F1\n\n" + "\n".join(lines)


def stored_tables(names: Sequence[str], results: Path) -> str:
    """Tables as other scripts stored them, the rows that are shown without their intervals."""
    parts = []
    for name in names:
        path = results / name
        if not path.is_file():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        for table in found if isinstance(found, list) else [found]:
            rows = [{k: v for k, v in row.items() if not k.endswith(", 95%")} for row in table["rows"]]
            columns = list(dict.fromkeys(key for row in rows for key in row))
            lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
            lines += ["| " + " | ".join(_cell(row.get(column)) for column in columns) + " |" for row in rows]
            parts.append(f"#### {table['title']}\n\n{table.get('data', '')}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def headline_tables(results: Path) -> str:
    """The tasks on real networks of unseen clusters: the model, its floors, the interval of the first figure."""
    parts = []
    for name, wanted in HEADLINES.items():
        path = results / "runs" / name
        if not path.is_file():
            continue
        for table in json.loads(path.read_text(encoding="utf-8")):
            if (table.get("split"), table.get("part")) in wanted:
                rows = [_with_interval(row) for row in table["rows"]]
                columns = list(rows[0])
                lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
                lines += ["| " + " | ".join(_cell(row.get(column)) for column in columns) + " |" for row in rows]
                parts.append(f"### {table['title']}\n\n{table['data']}; checkpoint `{table['checkpoint']}`.\n\n"
                             + "\n".join(lines))  # fmt: skip
    return "\n\n".join(parts)


def _with_interval(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose first figure has its interval beside it, and the others none."""
    shown = {key: value for key, value in row.items() if not key.endswith(", 95%")}
    first = list(shown)[1]
    interval = row.get(f"{first}, 95%")
    return shown | {first: f"{_cell(row[first])} ({interval})" if interval else _cell(row[first])}


def all_tables(results: Path = RESULTS) -> str:
    """Every table, as Markdown."""
    runs = read_runs(results / "paper")
    floors = json.loads((results / "tvhf_floors.json").read_text(encoding="utf-8"))
    return "\n\n".join([
        table_2(runs, floors),
        table_2_longer(read_runs(results / "paper-longer"), floors),
        table_2_answers(read_runs(results / "paper", "AQA")),
        "### Table 2, AQA, trained for longer\n\n" + stored_tables(["aqa.json"], results),
        table_3(read_runs(results / "paper", "AC")),
        table_5(runs),
        headline_tables(results),
    ])  # fmt: skip


def write_page(path: Path, tables: str, summary: str = "") -> None:
    """Replace what stands between the markers of a page: the tables, the summary, or both.

    Raises:
        ValueError: the page has no markers.
    """
    page = path.read_text(encoding="utf-8")
    found = [(begin, end, text) for begin, end, text in ((BEGIN, END, tables), (SUMMARY_BEGIN, SUMMARY_END, summary))
             if begin in page and end in page]  # fmt: skip
    if not found:
        raise ValueError(
            f"{path} has neither lines {BEGIN!r} and {END!r} nor {SUMMARY_BEGIN!r} and {SUMMARY_END!r}; "
            "the tables go between them"
        )
    for begin, end, text in found:
        before, rest = page.split(begin, 1)
        page = f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end, 1)[1]}"
    path.write_text(page, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Print or write the tables."""
    parser = argparse.ArgumentParser(description="The counterparts of the paper's tables, from stored results.")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the stored results")
    parser.add_argument("--write", type=Path, nargs="+", help="pages to write them into, between their markers")
    options = parser.parse_args(argv)
    tables, short = all_tables(options.results), summary(options.results)
    for page in options.write or ():
        write_page(page, tables, short)
    if not options.write:
        print(f"{short}\n\n{tables}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
