"""Independent check of the labels of AutoNet: every text is read back and judged against the graph by another route.

Usage::

    python -m dataset_scripts.autonet.check --data DIR [--num_proc 2] [--retrace 50]

`DIR` holds the configs `architectures`, `descriptions` and `aqa` as Parquet files. A row agrees when the label or the
answers that the checker derives are those of the row. The exit status is 0 only when every row was read and agrees,
and the rows fit together (groups, identifiers, no graph twice).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from processing_archbert.architecture_graph_archbert import ArchitectureGraph

from .check_reading import GISTS, UnreadableError, read_answer, read_description, read_question
from .check_truth import GraphTruth
from .check_units import Check, Rows, Verdict, main_of, parser_of, units_of

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


def group_problems(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Wrong kinds of negatives, and groups that are not one text, true of one architecture and false of another."""
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


def retraced(folder: Path, count: int) -> list[str]:
    """Networks of each split, evenly chosen over its row groups, whose rebuilt and traced graph has another hash.

    Raises:
        DataFolderError: the folder is no complete data set.
    """
    units = units_of(folder, ())
    chosen = units[:: max(1, len(units) // count)]
    each = -(-count // len(chosen))
    return [
        problem for unit in chosen for problem in check_networks(unit.rows(("architectures",))["architectures"], each)
    ]


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


def judge(rows: Rows) -> tuple[dict[str, list[Verdict]], list[str]]:
    """Verdicts on the descriptions and questions of a unit, and groups that are broken.

    Args:
        rows: config -> rows; all architectures that the rows speak of are among them.
    """
    truths = {row["arch_id"]: truth_of(row) for row in rows["architectures"]}
    verdicts = {
        "descriptions": [check_description(row, truths[row["arch_id"]]) for row in rows["descriptions"]],
        "aqa": [check_answers(row, truths[row["arch_id"]]) for row in rows["aqa"]],
    }
    return verdicts, group_problems(rows["descriptions"])


TEXTS = Check(("descriptions", "aqa"), judge)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a data folder and print the counts; see `check_units.main_of` for the exit status."""
    parser = parser_of(__doc__)
    parser.add_argument("--retrace", type=int, default=0, help="number of networks to build and trace again")
    options = parser.parse_args(arguments)
    return main_of((TEXTS,), options, retraced(options.data, options.retrace) if options.retrace else ())


if __name__ == "__main__":
    sys.exit(main())
