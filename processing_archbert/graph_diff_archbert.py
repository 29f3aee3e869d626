"""`diff`: what changed between two architectures, in words, as JSON and as node sets for a picture.

* Both networks are read as towers of residual layers (`graph_stacks_archbert`, `graph_towers_archbert`), so that more
  layers are one line, and a wider network another.
* Corresponding nodes are found in `graph_alignment_archbert`; what the facts of the towers do not explain
  is stated node by node, equal changes once.
* Two networks are called identical only where an isomorphism was checked.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .architecture_graph_archbert import ArchitectureGraph
from .graph_alignment_archbert import Alignment, align, find_isomorphism, numbers_of
from .graph_changes_archbert import (
    Change,
    Network,
    certain,
    explained_sizes,
    network_changes,
    node_changes,
    pair_towers,
    rate_changes,
    rest_changes,
    scopes,
    tower_additions,
    tower_changes,
    unit_of,
)
from .graph_diff_words_archbert import join_lines, number, parameters, tower_text
from .graph_facts_archbert import GraphFacts
from .graph_stacks_archbert import Structure
from .graph_towers_archbert import find_towers, network_facts
from .sources_archbert import load_architecture

FORMAT = "archbert-architecture-diff"
FORMAT_VERSION = 1
VERDICTS = ("identical", "same structure", "changed", "different")
"""`identical`: isomorphic in ops, shapes, attributes and edges. `same structure`: isomorphic in ops and edges, with
other sizes. `changed`: most of what both do corresponds. `different`: it does not; only a summary is given."""
KINDRED = 0.5
"""Likeness from which two networks are called changed rather than different."""
MAX_LINES = 40


class ArchitectureDiffWarning(UserWarning):
    """Two graphs were compared that are not made alike, or of which one is not whole."""


@dataclass(frozen=True, eq=False)
class ArchitectureDiff:
    """What `diff` found.

    Attributes:
        a, b: the two graphs.
        verdict: one of `VERDICTS`.
        changes: what is different, the most important first; empty for `identical`.
        notes: what limits the comparison: missing towers, other versions.
        pairs: int64 (k, 2), corresponding nodes of `a` and `b`.
        likeness: share of the nodes of both that correspond and have the same op, equal layers counted once; 0 to 1.
        summaries: of `a` and of `b`: nodes, edges, parameters, towers in words.
    """

    a: ArchitectureGraph
    b: ArchitectureGraph
    verdict: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    pairs: np.ndarray
    likeness: float
    summaries: tuple[Mapping[str, Any], Mapping[str, Any]] = field(default=({}, {}))

    @cached_property
    def nodes(self) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """For each side its nodes by what became of them: `kept`, `changed`, and `removed` (a) or `added` (b)."""
        first, second = (self.pairs[:, side] for side in (0, 1))
        a, b = self.a, self.b
        ops = np.array([a.op_types[i] == b.op_types[j] for i, j in self.pairs.tolist()], dtype=bool)
        kept = ops & (numbers_of(a)[first] == numbers_of(b)[second]).all(axis=1)
        sides = []
        for graph, matched, alone in ((a, first, "removed"), (b, second, "added")):
            left = sorted(set(range(graph.num_nodes)) - set(matched.tolist()))
            states = {"kept": sorted(matched[kept].tolist()), "changed": sorted(matched[~kept].tolist())}
            sides.append(states | {alone: left})
        return sides[0], sides[1]

    @property
    def lines(self) -> list[str]:
        """The changes in words, one line each."""
        return join_lines([change.text for change in self.changes], MAX_LINES)

    def __str__(self) -> str:
        names = [graph.name or side for graph, side in ((self.a, "a"), (self.b, "b"))]
        heading = {
            "identical": f"{names[0]} and {names[1]} are identical.",
            "same structure": f"{names[1]} has the structure of {names[0]}, with other sizes:",
            "changed": f"{names[1]} compared with {names[0]}:",
            "different": f"{names[0]} and {names[1]} are different networks:",
        }[self.verdict]
        if self.verdict == "identical" and self.changes:
            heading = f"{names[0]} and {names[1]} have identical graphs, but:"
        counts = [parameters(graph.num_parameters) for graph in (self.a, self.b)]
        size = [f"parameters: {counts[1]} instead of {counts[0]}"] if counts[0] != counts[1] else []
        lines = [
            *self.lines,
            *(size if self.verdict != "different" else []),
            *(f"note: {note}" for note in self.notes),
        ]
        return "\n".join([heading, *(f"- {line}" for line in lines)])

    def __repr__(self) -> str:
        return f"ArchitectureDiff({self.a.name!r}, {self.b.name!r}, {self.verdict!r}, {len(self.changes)} changes)"

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of plain values.

        Keys: `format`, `version`, `verdict`, `likeness`, `a` and `b` (summaries), `changes` (`kind`, `scope`, `a`,
        `b`, `text`), `notes`, `nodes` (for `a` and `b` lists of nodes by what became of them), `pairs`.
        """
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "verdict": self.verdict,
            "likeness": round(self.likeness, 4),
            "a": dict(self.summaries[0]),
            "b": dict(self.summaries[1]),
            "changes": [change._asdict() for change in self.changes],
            "notes": list(self.notes),
            "nodes": {"a": self.nodes[0], "b": self.nodes[1]},
            "pairs": self.pairs.tolist(),
        }

    def draw(self, path: str | os.PathLike[str] | None = None, **options: Any) -> str:
        """Draw both networks beside each other with what became of every box; returns the SVG.

        Args:
            path: file to write, `.svg`, `.png` or `.pdf`; None writes none.
            options: of `graph_diff_drawing_archbert.draw_diff`; `side` is `"both"`, `"a"` or `"b"`.

        Raises:
            ValueError: another side.
            PictureError: what drawing raises.
        """
        from .graph_diff_drawing_archbert import draw_diff

        return draw_diff(self, path, **options)

    def to_mermaid(self, **options: Any) -> str:
        """The same picture as a Mermaid flowchart. Options: of `graph_diff_drawing_archbert.diff_to_mermaid`."""
        from .graph_diff_drawing_archbert import diff_to_mermaid

        return diff_to_mermaid(self, **options)

    def to_json(self) -> str:
        """Canonical JSON of `to_dict`."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))


def diff(a: Any, b: Any, **options: Any) -> ArchitectureDiff:
    """Align two architectures and say what changed from `a` to `b`.

    Args:
        a, b: anything that `load_architecture` takes.
        options: of `load_architecture`, for both.

    Raises:
        ArchitectureSourceError, ArchitectureGraphError, ArchitectureTraceError: as `load_architecture` does.

    Warns:
        ArchitectureDiffWarning: the graphs were made by different extraction versions, or one is incomplete.
    """
    first = load_architecture(a, **options)
    second = first if b is a else load_architecture(b, **options)
    notes = _notes(first, second)
    for note in notes:
        warnings.warn(note, ArchitectureDiffWarning, stacklevel=2)
    networks = [_read(graph) for graph in ((first,) if second is first else (first, second))]
    return _compare(networks[0], networks[-1], notes)


def _read(graph: ArchitectureGraph) -> Network:
    structure = Structure(graph)
    return Network(structure, find_towers(structure), network_facts(structure))


def _notes(a: ArchitectureGraph, b: ArchitectureGraph) -> tuple[str, ...]:
    notes = []
    if a.extraction_version != b.extraction_version:
        notes.append(
            f"the graphs were made by extraction versions {a.extraction_version} and {b.extraction_version}, so that "
            "differences may come from the extraction; extract both anew."
        )
    for side, graph in (("a", a), ("b", b)):
        if graph.incomplete:
            notes.append(
                f"{graph.name or side} is incomplete: {', '.join(graph.incomplete)}; nothing is said of that."
            )
    return tuple(notes)


def _compare(a: Network, b: Network, notes: tuple[str, ...]) -> ArchitectureDiff:
    x, y = a.structure.graph, b.structure.graph
    towers = pair_towers(a.towers, b.towers)
    stacks = [pair for i, j in towers for pair in zip(a.towers[i].stacks, b.towers[j].stacks, strict=False)]
    exact = find_isomorphism(x, y, numbers=True)
    if exact is not None:
        pairs = np.stack([np.arange(x.num_nodes), exact], axis=1)
        alignment = Alignment(pairs, tuple(stacks), exact=True)
    else:
        alignment = certain(a, b, align(a.structure, b.structure, stacks), explained_sizes(a, b, towers))
    identical = exact is not None or x.is_isomorphic(y)
    likeness = 1.0 if identical or alignment.exact else _likeness(a, b, alignment)
    whole = x.has_data_flow and y.has_data_flow
    if identical and whole:
        verdict = "identical"
    elif alignment.exact and whole:
        verdict = "same structure"
    else:
        verdict = "changed" if likeness >= KINDRED else "different"
    changes = _identical_changes(a, b) if identical else _changes(a, b, towers, alignment, verdict)
    if verdict == "changed" and not changes and not identical:
        changes = [_unnamed(x, y)]
    summaries = tuple(_summary(network) for network in (a, b))
    both = (summaries[0], summaries[1])
    return ArchitectureDiff(x, y, verdict, tuple(changes), notes, alignment.pairs, likeness, both)


def _changes(
    a: Network, b: Network, towers: list[tuple[int, int]], alignment: Alignment, verdict: str
) -> list[Change]:
    if verdict == "different":
        return _overview(a, b)
    changes = [*tower_changes(a, b, towers), *network_changes(a, b), *tower_additions(a, b, towers)]
    changes += rate_changes(a, b, towers, changes)
    changes += rest_changes(a, b, alignment, changes)
    return changes + node_changes(a, b, alignment, explained_sizes(a, b, towers), changes)


def _identical_changes(a: Network, b: Network) -> list[Change]:
    """What two equal graphs can differ in: weights that are shared."""
    changes = [change for change in network_changes(a, b) if change.kind == "tied"]
    x, y = a.facts["parameters"], b.facts["parameters"]
    if x != y and not changes:
        changes = [Change("parameters", "", x, y, f"{number(y)} parameters instead of {number(x)} (weights shared)")]
    return changes


def _unnamed(x: ArchitectureGraph, y: ArchitectureGraph) -> Change:
    if (x.num_nodes, x.num_edges) == (y.num_nodes, y.num_edges):
        return Change("edges", "", x.num_edges, y.num_edges, "connected in another way")
    counts = [Counter(graph.op_types) for graph in (x, y)]
    texts = [
        f"{', '.join(f'{n} {op}' for op, n in sorted(left.items())[:6])} {word}"
        for left, word in ((counts[1] - counts[0], "added"), (counts[0] - counts[1], "removed"))
        if left
    ]
    text = f"operations: {'; '.join(texts)}"
    if not texts:
        text = f"{y.num_nodes} nodes and {y.num_edges} edges instead of {x.num_nodes} and {x.num_edges}"
    return Change("nodes", "", x.num_nodes, y.num_nodes, text)


def _likeness(a: Network, b: Network, alignment: Alignment) -> float:
    """Corresponding nodes of one op, among all; of each tower's equal layers one counts."""
    x, y = a.structure.graph, b.structure.graph
    weights = [_node_weights(network) for network in (a, b)]
    total = float(weights[0].sum() + weights[1].sum())
    same = [(i, j) for i, j in alignment.pairs.tolist() if x.op_types[i] == y.op_types[j]]
    if not total or not same:
        return 0.0
    first, second = np.array(same).T
    shared = _covered(a, first, weights[0]) + _covered(b, second, weights[1])
    return min(1.0, shared / total)


def _node_weights(network: Network) -> np.ndarray:
    """1 / layers of its stack for each node, 1 outside; float64 (m,)."""
    structure = network.structure
    layers = [structure.num_layers(stack) for stack in structure.stacks]
    return np.array([1.0 / layers[o] if o >= 0 else 1.0 for o in structure.owner], dtype=np.float64)


def _covered(network: Network, nodes: np.ndarray, weights: np.ndarray) -> float:
    """Weight of `nodes`, those of a stack scaled to all of its layers where fewer could correspond."""
    structure = network.structure
    owners = np.array(structure.owner)[nodes]
    covered = float(weights[nodes[owners < 0]].sum())
    for number_, stack in enumerate(structure.stacks):
        inside = nodes[owners == number_]
        if not len(inside):
            continue
        size = len(stack.nodes) / structure.num_layers(stack)
        matched_layers = max(1.0, np.ceil(len(inside) / size))
        covered += min(len(inside) / matched_layers, size)
    return covered


def _overview(a: Network, b: Network) -> list[Change]:
    """Two networks that have little in common: what each is, what both have and what only one has."""
    changes = []
    summaries = [_summary(network) for network in (a, b)]
    for side, summary in zip("ab", summaries, strict=True):
        towers = "; ".join(summary["towers"]) or "no residual layers"
        text = f"{side}: {towers}; {number(summary['nodes'])} nodes, {parameters(summary['parameters'])} parameters"
        values = (summary["towers"], None) if side == "a" else (None, summary["towers"])
        changes.append(Change("summary", side, values[0], values[1], text))
    counts = [GraphFacts(network.structure.graph).layer_counts() for network in (a, b)]
    both = [kind for kind in counts[0] if kind in counts[1]]
    if both:
        shown = [f"{kind} ({counts[0][kind]} and {counts[1][kind]})" for kind in both[:8]]
        changes.append(Change("shared", "", both, both, f"both have: {', '.join(shown)}"))
    for side, own, other in (("a", counts[0], counts[1]), ("b", counts[1], counts[0])):
        only = [kind for kind in own if kind not in other]
        if only:
            shown = [f"{kind} ({own[kind]})" for kind in only[:8]]
            values = (only, None) if side == "a" else (None, only)
            changes.append(Change("only", side, values[0], values[1], f"only {side} has: {', '.join(shown)}"))
    return changes


def _summary(network: Network) -> dict[str, Any]:
    graph = network.structure.graph
    names = scopes(network.towers)
    towers = [tower_text(t.facts, s or t.role, unit_of(t)) for t, s in zip(network.towers, names, strict=True)]
    return {
        "name": graph.name,
        "source": graph.source,
        "graph_hash": graph.graph_hash,
        "nodes": graph.num_nodes,
        "edges": graph.num_edges,
        "parameters": graph.num_parameters,
        "incomplete": list(graph.incomplete),
        "extraction_version": graph.extraction_version,
        "towers": towers,
    }
