"""Independent check of the labels of AutoNet: every text is read back and judged against the graph by another route.

Usage::

    python -m dataset_scripts.autonet.check --data DIR [--retrace 50]

`DIR` holds the configs `architectures`, `descriptions` and `aqa` as Parquet files. A row agrees when the label or the
answers that the checker derives are those of the row. The exit status is 0 only when every row was read and agrees,
and the rows fit together (groups, splits, identifiers).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from processing_archbert.architecture_graph_archbert import ArchitectureGraph

from .check_reading import GISTS, UnreadableError, read_answer, read_description, read_question
from .check_truth import GraphTruth

CONFIGS = ("architectures", "descriptions", "aqa")
SPLITS = ("train", "validation")
_NOTHING = {
    "pooling_types": "pooling layer",
    "activation_types": "activation layer",
    "normalization_types": "normalization layer",
    "convolution_types": "convolution layer",
    "layer_types": "known layer",
    "kernel_sizes": "layer with a kernel",
    "normalization_after_convolution": "normalization layer after a convolution",
    "activation_after_convolution": "activation layer after a convolution",
}


class Verdict(NamedTuple):
    """What the checker says of a row: `agree`, `disagree` or `cannot parse`, and why."""

    outcome: str
    reason: str = ""


def truth_of(row: Mapping[str, Any]) -> GraphTruth:
    """Truth of a row of the config `architectures`."""
    graph = ArchitectureGraph.from_row(row)
    return GraphTruth(graph.to_networkx(), graph.num_parameters)


def check_description(row: Mapping[str, Any], truth: GraphTruth) -> Verdict:
    """Judge a row of the config `descriptions`; only its text and its label are used."""
    try:
        statements = read_description(row["text"])
    except UnreadableError as error:
        return Verdict("cannot parse", f"{row['text']!r}: {error}")
    false = [statement for statement in statements if not truth.holds(statement)]
    if (not false) == bool(row["label"]):
        return Verdict("agree")
    return Verdict("disagree", f"{row['text']!r} is labelled {row['label']}, not true: {false or 'none'}")


def check_answers(row: Mapping[str, Any], truth: GraphTruth) -> Verdict:
    """Judge a row of the config `aqa`: the question is read, answered and compared with the row."""
    try:
        kind, subject = read_question(row["question"])
    except UnreadableError as error:
        return Verdict("cannot parse", str(error))
    given = list(row["answers"])
    if (kind, subject) != (row["question_type"], row["subject"]):
        return Verdict("disagree", f"{row['question']!r} was read as {kind} {subject}, not as {row['question_type']}")
    right = truth.answers(kind, subject)
    read = [read_answer(answer) for answer in given]
    if not right:
        wanted = [("nothing", subject or _NOTHING[kind])]
    elif kind == "layer_function":
        wanted = [("function", given[0])] if GISTS[subject].search(given[0]) else []
    else:
        wanted = [("kernel" if "kernel" in kind else "name", answer) for answer in right]
    if sorted(read) == sorted(wanted):
        return Verdict("agree")
    return Verdict("disagree", f"{row['question']!r}: answers {given}, the graph shows {sorted(right)}")


def check_structure(tables: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> list[str]:
    """Problems of the rows as a whole: unknown or repeated identifiers, splits that share graphs, broken groups.

    Args:
        tables: config -> split -> rows.
    """
    problems: list[str] = []
    hashes: dict[str, str] = {}
    for split in tables["architectures"]:
        known = Counter(row["arch_id"] for row in tables["architectures"][split])
        problems += [f"{split}: arch_id {name!r} occurs {n} times" for name, n in known.items() if n > 1]
        for config in ("descriptions", "aqa"):
            unknown = {row["arch_id"] for row in tables[config].get(split, ())} - set(known)
            problems += [f"{split}: {config} speaks of the unknown architecture {name!r}" for name in sorted(unknown)]
        for row in tables["architectures"][split]:
            other = hashes.setdefault(row["graph_hash"], split)
            if other != split:
                problems.append(f"{split}: {row['arch_id']} has the graph of an architecture of {other}")
        problems += [f"{split}: {problem}" for problem in _group_problems(tables["descriptions"].get(split, ()))]
    return problems


def _group_problems(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    problems: list[str] = []
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        kinds = ("",) if row["label"] else ("paper", "matched")
        if row["negative_kind"] not in kinds:
            problems.append(f"label {row['label']} with the negative kind {row['negative_kind']!r}")
        if row["group"]:
            groups.setdefault(row["group"], []).append(row)
        elif row["negative_kind"] == "matched":
            problems.append(f"a matched negative without a group: {row['text']!r}")
    for name, members in groups.items():
        labels = sorted(row["label"] for row in members)
        if labels != [0, 1] or len({row["text"] for row in members}) != 1 or len({r["arch_id"] for r in members}) != 2:
            problems.append(f"group {name!r} is not one text, true of one architecture and false of another")
    return problems


def check_networks(rows: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """Rebuild evenly chosen networks from their specs, trace them and compare the hashes; returns the differences."""
    import torch

    from processing_archbert.tracing_archbert import trace

    from .networks_autonet import build_network, example_inputs

    problems = []
    for row in rows[:: max(1, len(rows) // max(count, 1))][:count]:
        spec = json.loads(row["network"])
        with torch.device("meta"):
            network, inputs = build_network(spec).eval(), example_inputs(spec)
        if trace(network, inputs).graph_hash != row["graph_hash"]:
            problems.append(f"{row['arch_id']}: the network of the row has another graph")
    return problems


def load_rows(folder: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Rows of all configs and splits from the Parquet files of a data folder.

    Raises:
        FileNotFoundError: a config has no file.
    """
    import pyarrow.parquet as parquet

    tables: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for config in CONFIGS:
        files = sorted(p for p in folder.rglob("*.parquet") if config in p.relative_to(folder).as_posix())
        if not files:
            raise FileNotFoundError(f"{folder} has no Parquet file of the config {config!r}")
        tables[config] = {
            split: [row for p in files if split in p.name for row in parquet.read_table(p).to_pylist()]
            for split in SPLITS
        }
    return tables


def check_data(tables: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> dict[str, list[Verdict]]:
    """Verdicts on all rows, by config.

    Args:
        tables: config -> split -> rows.
    """
    verdicts: dict[str, list[Verdict]] = {"descriptions": [], "aqa": []}
    for split, architectures in tables["architectures"].items():
        truths = {row["arch_id"]: truth_of(row) for row in architectures}
        for row in tables["descriptions"].get(split, ()):
            verdicts["descriptions"].append(check_description(row, truths[row["arch_id"]]))
        for row in tables["aqa"].get(split, ()):
            verdicts["aqa"].append(check_answers(row, truths[row["arch_id"]]))
    return verdicts


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a data folder and print the counts; returns 0 when everything agrees, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the Parquet files of the data set")
    parser.add_argument("--retrace", type=int, default=0, help="number of networks to build and trace again")
    parser.add_argument("--show", type=int, default=10, help="number of differing rows to print per config")
    options = parser.parse_args(arguments)
    tables = load_rows(options.data)
    problems = check_structure(tables)
    for rows in tables["architectures"].values():
        problems += check_networks(rows, options.retrace) if options.retrace else []
    verdicts = {} if problems else check_data(tables)
    for config, found in verdicts.items():
        counts = Counter(verdict.outcome for verdict in found)
        print(
            f"{config}: {len(found)} rows, "
            + ", ".join(f"{counts[o]} {o}" for o in ("agree", "disagree", "cannot parse"))
        )
        for verdict in [v for v in found if v.outcome != "agree"][: options.show]:
            print(f"  {verdict.outcome}: {verdict.reason}")
    for problem in problems[: options.show]:
        print(f"problem: {problem}")
    clean = not problems and all(v.outcome == "agree" for found in verdicts.values() for v in found)
    print("every row agrees" if clean else "there are differences")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
