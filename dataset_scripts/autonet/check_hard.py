"""Independent check of `aqa_hard`: every question is read back and answered against its view by another route.

Usage::

    python -m dataset_scripts.autonet.check_hard --data DIR [--num_proc 2]

The exit status is 0 only when every row was read and agrees and the pairs are pairs.
"""

from __future__ import annotations

import math
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from processing_archbert.architecture_graph_archbert import ArchitectureGraph

from .check_hard_reading import Reading, read_hard_question
from .check_hard_truth import HardTruth, UnsettledError, rounded
from .check_reading import UnreadableError
from .check_truth import category_of
from .check_units import Check, Rows, Verdict, main_of, parser_of

_NOTHING = re.compile(r"This model does not include (?:an? )?(.+)")

_MISSING: dict[str, str] = {
    "no_edges": "after before depth_of longest_path block_after block_repeats block_layers skip_count skip_span "
    "skip_layers kernel width",
    "no_attributes": "count_kernel extreme_width setting kernel width block_after block_repeats block_layers "
    "parameters parameters_exceed heaviest",
    "header": "after before depth_of longest_path block_after block_repeats block_layers skip_count skip_span "
    "skip_layers kernel width count count_category count_kernel exceeds difference setting extreme_width "
    "heaviest",
    "full": "",
}
"""View -> question types that it does not answer."""


def truth_of_view(row: Mapping[str, Any], view: str) -> HardTruth:
    """The truth that a view of a row of the config `architectures` leaves."""
    graph = ArchitectureGraph.from_row(row)
    net = graph.to_networkx()
    if view in ("no_edges", "header"):
        net.remove_edges_from(list(net.edges))
    if view == "no_attributes":
        for node in net.nodes:
            net.nodes[node].update(attributes={}, shape=(0, 0, 0, 0), parameters=0)
    return HardTruth(net, graph.num_parameters)


_SETTINGS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "heads": ("num_heads", (), "attention layer"),
    "key and value heads": ("num_kv_heads", (), "attention layer"),
    "head size": ("head_dim", (), "attention layer"),
    "groups": ("groups", ("GroupNorm",), "GroupNorm"),
    "dilation": ("dilation_h", ("Dil_conv2d",), "Dil_conv2d"),
    "stacked layers": ("num_layers", ("LSTM", "GRU", "RNN"), "recurrent layer"),
    "pooling stride": ("stride_h", ("MaxPool2d",), "MaxPool2d"),
    "shuffle factor": ("scale", ("PixelShuffle",), "PixelShuffle"),
}
"""Setting -> the attribute that holds it, the layers that have it (any, if empty), and what is missing else."""


def _setting(t: HardTruth, name: str) -> list[str]:
    attribute, layers, nothing = _SETTINGS[name]
    found = t.values(attribute, layers)
    if not found and nothing == "attention layer" and t.may_attend:
        raise UnsettledError("something may be attention, but its heads are not known")
    return [_size_answer(int(value))[0] for value in found] or [f"no {nothing}"]


def _step(t: HardTruth, layer: str, position: str, forward: bool) -> list[str]:
    if not t.nodes(layer):
        return [f"no {layer}"]
    node = t.settled(t.nodes(layer), position)
    return t.names(t.graph.successors(node) if forward else t.graph.predecessors(node))


def _of_category(t: HardTruth, category: str) -> list[int]:
    return [node for node, kind in t.truth.counted.items() if category_of(kind) == category]


def _size(t: HardTruth, node: int) -> int:
    return int(t.graph.nodes[node]["shape"][0])


def _size_answer(size: int) -> list[str]:
    """A size that may be asked for: up to 32, or the one of its bucket that the greatest power of two divides.

    Raises:
        UnsettledError: it is another one.
    """
    if size > 32:
        step = math.ceil(8 * math.log2(size / 32))
        least, greatest = (math.floor(32 * 2 ** (s / 8)) for s in (step - 1, step))
        if max(range(least + 1, greatest + 1), key=lambda n: n & -n) != size:
            raise UnsettledError(f"{size} is no round size")
    return _number(size)


def _block_after(t: HardTruth, layer: str, position: str) -> list[str]:
    inside = t.block_nodes(position) & set(t.nodes(layer))
    return t.names(t.graph.successors(t.settled(sorted(inside), "last")))


def _number(value: int) -> list[str]:
    return [str(value)]


def _yes_no(value: bool) -> list[str]:
    return ["yes"] if value else ["no"]


def _extreme(t: HardTruth, layer: str, which: str) -> list[str]:
    sizes = sorted(_size(t, node) for node in t.nodes(layer))
    return _size_answer(sizes[-1 if which == "largest" else 0])


_ANSWERS: dict[str, Callable[..., list[str]]] = {
    "count": lambda t, layer: _number(len(t.nodes(layer))),
    "count_category": lambda t, category: _number(len(_of_category(t, category))),
    "count_kernel": lambda t, size: _number(
        sum(t.truth._kernel(node) == size for node in _of_category(t, "convolution"))
    ),
    "exceeds": lambda t, layer, n: _yes_no(len(t.nodes(layer)) > int(n)),
    "difference": lambda t, a, b: _number(len(t.nodes(a)) - len(t.nodes(b))),
    "after": lambda t, layer, position: _step(t, layer, position, True),
    "before": lambda t, layer, position: _step(t, layer, position, False),
    "depth_of": lambda t, layer, position: _number(t.level[t.settled(t.nodes(layer), position)]),
    "longest_path": lambda t: _number(max(t.level.values())),
    "block_after": _block_after,
    "block_repeats": lambda t: _size_answer(t.main_block[2]),
    "block_layers": lambda t: _number(len(t.block_nodes("first") & set(t.truth.counted))),
    "skip_count": lambda t: _number(len(t.skips)),
    "skip_span": lambda t, position: _number(len(t.bypassed(position))),
    "skip_layers": lambda t, position: t.names(t.bypassed(position)),
    "parameters": lambda t: [rounded(t.truth.num_parameters)],
    "parameters_exceed": lambda t, n: _yes_no(t.truth.num_parameters > int(n)),
    "heaviest": lambda t: [t.heaviest()],
    "width": lambda t, layer, position: _size_answer(_size(t, t.settled(t.nodes(layer), position))),
    "extreme_width": _extreme,
    "kernel": lambda t, layer, position: [t.truth._kernel(t.settled(t.nodes(layer), position))],
    "setting": _setting,
}


def true_answers(reading: Reading, truth: HardTruth, view: str) -> list[str]:
    """The answers to a question, `cannot tell`, or `no ...` where it asks about something that is not there.

    Raises:
        UnsettledError: the graph leaves the question open.
    """
    if reading.kind == "unknowable" or reading.kind in _MISSING[view].split():
        return ["cannot tell"]
    return _ANSWERS[reading.kind](truth, *reading.details)


def check_row(row: Mapping[str, Any], truth: HardTruth) -> Verdict:
    """Judge a row by its question, its view and its answers."""
    try:
        reading = read_hard_question(row["question"])
        right = true_answers(reading, truth, row["view"])
    except UnreadableError as error:
        return Verdict("cannot parse", str(error))
    except UnsettledError as error:
        return Verdict("disagree", f"{row['question']!r} on {row['view']}: {error}")
    given = [_NOTHING.sub(r"no \1", answer) for answer in row["answers"]]
    kind = _answer_type(reading.kind, given)
    if given == right and row["question_type"] == reading.kind and row["answer_type"] == kind:
        return Verdict("agree")
    return Verdict("disagree", f"{row['question']!r} on {row['view']}: {given} ({row['answer_type']}), not {right}")


def _answer_type(kind: str, given: Sequence[str]) -> str:
    if given == ["cannot tell"]:
        return "cannot_tell"
    if given[0].startswith("no "):
        return "absent"
    if given in (["yes"], ["no"]):
        return "yes_no"
    if all(re.fullmatch(r"\d+", answer) for answer in given):
        return "number"
    return "kernel" if re.fullmatch(r"\d+(\*\d+)+", given[0]) else "name"


def pair_problems(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Groups that are not one question to one architecture, once answered and once not."""
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["group"]:
            groups[row["group"]].append(row)
    problems = []
    for name, members in groups.items():
        same = len({(row["arch_id"], row["question"], row["question_type"]) for row in members}) == 1
        told = [row["answer_type"] == "cannot_tell" for row in members]
        if not same or sorted(told) != [False, True]:
            problems.append(f"group {name!r} is not one question, once answered and once not")
    return problems


def judge(rows: Rows) -> tuple[dict[str, list[Verdict]], list[str]]:
    """Verdicts on the hard questions of a unit, and pairs that are none.

    Args:
        rows: config -> rows; truths are made once for each view of an architecture.
    """
    by_arch: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows["aqa_hard"]:
        by_arch[row["arch_id"]].append(row)
    verdicts = []
    for architecture in rows["architectures"]:
        asked = by_arch[architecture["arch_id"]]
        truths = {view: truth_of_view(architecture, view) for view in {row["view"] for row in asked}}
        verdicts += [check_row(row, truths[row["view"]]) for row in asked]
    return {"aqa_hard": verdicts}, pair_problems(rows["aqa_hard"])


HARD = Check(("aqa_hard",), judge)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a data folder and print the counts; see `check_units.main_of` for the exit status."""
    return main_of((HARD,), parser_of(__doc__).parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
