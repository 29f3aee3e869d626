"""Independent check of captions: every sentence is read back and judged against the graph by another route.

    python -m dataset_scripts.autonet.check_captions --data DIR [--num_proc 2]

A caption agrees when the reader understands every sentence, finds the claims that the row lists, in that order, and
each of them is true by `CaptionTruth`, which works on the networkx form of the graph and shares no code with the facts
that the captions were made from. The exit status is 0 only when every row agrees.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import networkx as nx

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.caption_reading_archbert import UnreadableCaptionError, read_caption

from .check_truth import GraphTruth, category_of
from .check_units import Check, Rows, Verdict, main_of, parser_of

MAX_PERIOD = 64
_STATEMENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "contains": ("has", ("layer",)), "lacks": ("has not", ("layer",)),
    "lacks_category": ("has none of", ("category",)),
    "count": ("number of", ("layer", "value")), "num_layers": ("layers", ("value",)),
    "parameters": ("parameters", ("value",)), "kernel_size": ("kernel", ("layer", "size")),
    "more": ("more", ("layer", "than")), "most_frequent": ("most", ("layer",)),
    "follows": ("after", ("layer", "after")),
}  # fmt: skip


def _category(kind: str) -> str:
    return "convolution" if kind in ("Dil_conv2d", "Sep_conv2d") else category_of(kind)


class CaptionTruth(GraphTruth):
    """What captions say of a graph, derived from its networkx form; see `GraphTruth` for the arguments."""

    def is_true(self, claim: Mapping[str, Any]) -> bool:
        """Whether a claim of a caption is true.

        Raises:
            KeyError: for an unknown claim type.
        """
        if claim["type"] in _STATEMENTS:
            statement, keys = _STATEMENTS[claim["type"]]
            return self.holds((statement, *(claim[key] for key in keys)))
        checks: dict[str, Any] = {
            "families": lambda c: all(self.of_category(f) for f in c["families"]),
            "input": lambda c: c["kind"] in self._input_kinds,
            "num_inputs": lambda c: len(self._terminals("input")) == c["value"],
            "num_outputs": lambda c: len(self._terminals("output")) == c["value"],
            "depth": lambda c: self._depth == c["value"],
            "category_count": lambda c: (
                sum(_category(k) == c["category"] for k in self.counted.values()) == c["value"]
            ),
            "category_layers": lambda c: self.of_category(c["category"]) == set(c["layers"]),
            "kernel_sizes": lambda c: self.kernels() == set(c["sizes"]),
            "heads": lambda c: self._attention("num_heads") == set(c["values"]),
            "kv_heads": lambda c: self._attention("num_kv_heads") == set(c["values"]),
            "window": lambda c: self._attention("window") == set(c["values"]),
            "causal": lambda c: self._extent == c["extent"],
            "experts": lambda c: self._values(self.graph, "num_experts") == {c["value"]},
            "downsampling": lambda c: self._num_strided == c["value"],
            "grouped": lambda c: self._num_grouped == c["value"],
            "first_layer": lambda c: any(self._fits(n, c) for near in self._firsts.values() for n in near),
            "last_layer": lambda c: any(self._fits(n, c) for n in self._lasts),
            "skip_connections": lambda c: self._joins(c["op"]) == c["value"],
            "repeated_block": self._is_repeated,
        }
        return bool(checks[claim["type"]](claim))

    def _terminals(self, op: str) -> list[int]:
        return [n for n, name in self.graph.nodes(data="op_type") if name == op]

    def _attribute(self, node: int, name: str) -> int:
        return int(self.graph.nodes[node]["attributes"].get(name, 0))

    def _values(self, nodes: Iterable[int], name: str) -> set[int]:
        return {self._attribute(n, name) for n in nodes} - {0}

    @cached_property
    def _attending(self) -> list[int]:
        return [n for n, kind in self.counted.items() if _category(kind) == "attention"]

    def _attention(self, name: str) -> set[int]:
        return self._values(self._attending, name)

    @cached_property
    def _extent(self) -> str:
        causal = [self._attribute(n, "causal") > 0 for n in self._attending]
        return "" if not causal else "all" if all(causal) else "some" if any(causal) else "none"

    def _stride(self, node: int) -> int:
        return max(self._attribute(node, "stride_h"), self._attribute(node, "stride_w"))

    @cached_property
    def _num_strided(self) -> int:
        swept = [n for n, k in self.counted.items() if _category(k) in ("convolution", "pooling")]
        return sum(self._stride(n) > 1 and not self.kinds[n].startswith("ConvTranspose") for n in swept)

    @cached_property
    def _num_grouped(self) -> int:
        return sum(_category(k) == "convolution" and self._attribute(n, "groups") > 1 for n, k in self.counted.items())

    def _near(self, graph: Any, terminal: int) -> list[int]:
        """Layers next to an input or output, over nodes that are no layers."""
        passage = graph.subgraph([n for n in graph if n not in self.kinds])
        reached = {terminal, *nx.descendants(passage, terminal)}
        return sorted({n for node in reached for n in graph.successors(node) if n in self.kinds})

    @cached_property
    def _firsts(self) -> dict[int, list[int]]:
        return {n: self._near(self.graph, n) for n in self._terminals("input")}

    @cached_property
    def _lasts(self) -> list[int]:
        backwards = self.graph.reverse(copy=False)
        return [n for terminal in self._terminals("output") for n in self._near(backwards, terminal)]

    @cached_property
    def _input_kinds(self) -> set[str]:
        found = set()
        for near in self._firsts.values():
            kind = self.kinds[near[0]] if near else ""
            if _category(kind) == "embedding":
                found.add("tokens")
            elif _category(kind) in ("convolution", "pooling") or kind[:-2] in ("BatchNorm", "InstanceNorm"):
                dimensions = "2d" if kind in ("Sep_conv2d", "Dil_conv2d") else kind[-2:]
                found.add({"1d": "signal", "2d": "image", "3d": "volume"}[dimensions])
        return found

    def _fits(self, node: int, claim: Mapping[str, Any]) -> bool:
        return (
            self.kinds[node] == claim["layer"]
            and claim.get("kernel", "") in ("", self._kernel(node))
            and claim.get("stride", 0) in (0, self._stride(node))
            and claim.get("out", 0) in (0, self.graph.nodes[node]["shape"][0])
        )

    @cached_property
    def _depth(self) -> int:
        paths = nx.DiGraph()
        for node in self.graph:
            edges = self.graph.predecessors(node) if self.graph.in_degree(node) else ["start"]
            paths.add_weighted_edges_from((source, node, int(node in self.counted)) for source in edges)
        return int(nx.dag_longest_path_length(paths))

    @cached_property
    def _positions(self) -> dict[int, int]:
        """Place of every node in an order in which edges lead forward."""
        return {node: place for place, node in enumerate(nx.topological_sort(self.graph))}

    def _passes_layer(self, start: int, end: int) -> bool:
        """Whether some path leads from `start` to another node `end` over a layer after `start`; `end` may be it.

        Only nodes between the two are looked at: sets of all that comes after a node would be quadratic.
        """
        first = self._positions[start]
        waiting = [(end, end in self.counted)] if self._positions[end] > first else []
        seen = set(waiting)
        while waiting:
            node, layer = waiting.pop()
            for before in self.graph.predecessors(node):
                if before == start and layer:
                    return True
                state = (before, layer or before in self.counted)
                if self._positions[before] > first and state not in seen:
                    seen.add(state)
                    waiting.append(state)
        return False

    def _joins(self, op: str) -> int:
        """Nodes `op` that read a value and, too, what comes out of a layer after that value."""
        found = 0
        for node in self._terminals(op):
            sources = sorted(set(self.graph.predecessors(node)), key=self._positions.__getitem__)
            found += any(self._passes_layer(a, b) for i, a in enumerate(sources) for b in sources[i + 1 :])
        return found

    @cached_property
    def _levels(self) -> list[tuple[int, Counter[str]]]:
        """For every depth a number that says what its nodes are, and their layers."""
        levels = []
        numbers: dict[str, int] = {}
        for nodes in nx.topological_generations(self.graph):
            labels = sorted(str(self.graph.nodes[n]["label"]) for n in nodes)
            number = numbers.setdefault("|".join(labels), len(numbers))
            levels.append((number, Counter(self.counted[n] for n in nodes if n in self.counted)))
        return levels

    @cached_property
    def _repetitions(self) -> list[tuple[int, int, int]]:
        """(first level, levels of one repetition, repetitions) of all that comes again unchanged."""
        labels = [label for label, _ in self._levels]
        found = []
        for period in range(1, min(MAX_PERIOD, len(labels) // 2) + 1):
            start = 0
            while start + period < len(labels):
                end = start
                while end + period < len(labels) and labels[end] == labels[end + period]:
                    end += 1
                if end - start >= period:
                    found.append((start, period, (end - start) // period + 1))
                start = max(end, start + 1)
        return found

    def _is_repeated(self, claim: Mapping[str, Any]) -> bool:
        layers = Counter(claim["layers"])
        runs = [(start, period) for start, period, repeats in self._repetitions if repeats == claim["repeats"]]
        found = sum(self._content(start, period) == layers for start, period in runs)
        return found == claim["stages"] if "stages" in claim else found > 0

    def _content(self, start: int, period: int) -> Counter[str]:
        content: Counter[str] = Counter()
        for _, layers in self._levels[start : start + period]:
            content.update(layers)
        return content


def caption_truth(row: Mapping[str, Any]) -> CaptionTruth:
    """Truth of a row of the config `architectures`."""
    graph = ArchitectureGraph.from_row(row)
    return CaptionTruth(graph.to_networkx(), graph.num_parameters)


def check_caption(row: Mapping[str, Any], truth: CaptionTruth) -> Verdict:
    """Judge a row of the config `captions` by its text and its list of claims."""
    try:
        claims = read_caption(row["text"])
    except UnreadableCaptionError as error:
        return Verdict("cannot parse", str(error))
    stated = json.loads(row["claims"])
    if claims != stated:
        other = [c for c in claims if c not in stated] + [c for c in stated if c not in claims]
        return Verdict("disagree", f"{row['text']!r} does not make the claims of its row: {other or 'order'}")
    false = [claim for claim in claims if not truth.is_true(claim)]
    return Verdict("disagree", f"{row['text']!r} says what is not true: {false}") if false else Verdict("agree")


def judge(rows: Rows) -> tuple[dict[str, list[Verdict]], list[str]]:
    """Verdicts on the captions of a unit.

    Args:
        rows: config -> rows; all architectures that the captions speak of are among them.
    """
    truths = {row["arch_id"]: caption_truth(row) for row in rows["architectures"]}
    return {"captions": [check_caption(row, truths[row["arch_id"]]) for row in rows["captions"]]}, []


CAPTIONS = Check(("captions",), judge)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a data folder and print the counts; see `check_units.main_of` for the exit status."""
    return main_of((CAPTIONS,), parser_of(__doc__).parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
