"""What a caption states beside tallies: first and last layers, kernels, heads, blocks, what follows what, as numbers.

Attention averages over nodes, folding and buckets lose exact numbers, and no single node shows what a block is made
of. A decoder with `use_stated_facts` reads these rows instead, a token each. They are the same for a folded and an
unfolded graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from .architecture_graph_archbert import ArchitectureGraph
from .graph_facts_archbert import GraphFacts
from .ops_archbert import INPUT_OP, OUTPUT_OP
from .questions_archbert import DILATED_CONVOLUTION, SEPARABLE_CONVOLUTION

STATED_KINDS: tuple[str, ...] = (
    "", "first layer", "first kernel", "first stride", "last layer", "last kernel", "last stride", "kernel", "heads",
    "kv heads", "window", "experts", "causal", "block", "block stages", "block layer", "follows",
)  # fmt: skip
"""Kinds of rows; the first one is padding."""
OWN_KINDS: tuple[str, ...] = (DILATED_CONVOLUTION, SEPARABLE_CONVOLUTION)
"""Kinds of layers that are no op of their own; their ids stand behind those of the vocabulary."""
STATED_COLUMNS: tuple[str, ...] = ("kind", "op", "other", "number", "place", "rank")
"""Of a row; `op` and `other` are ids, 0 for none."""
MAX_PLACE, MAX_RANK = 7, 31
_MAX_ENDS, _MAX_SIZES, _MAX_BLOCKS, _MAX_BLOCK_KINDS, _MAX_FOLLOWING = 2, 6, 6, 6, 8
_EXTENTS = ("all", "some", "none")


class _Row(NamedTuple):
    kind: str
    op: str = ""
    other: str = ""
    number: int = 0
    place: int = 0
    rank: int = 0


def stated_facts(graph: ArchitectureGraph, ids: Mapping[str, int], unknown: int) -> np.ndarray:
    """The rows of a graph, int64 (F, 6), columns as in `STATED_COLUMNS`.

    Args:
        graph: the graph; one that shows no data flow has rows of kernels and attention only.
        ids: id of every op of the vocabulary.
        unknown: id of an op that is not in it.
    """
    own = {kind: max(ids.values(), default=0) + 1 + place for place, kind in enumerate(OWN_KINDS)}
    known = {**ids, **own, "": 0}
    rows = [
        (STATED_KINDS.index(row.kind), known.get(row.op, unknown), known.get(row.other, unknown), row.number,
         min(row.place, MAX_PLACE), min(row.rank, MAX_RANK))
        for row in _rows(GraphFacts(graph))
    ]  # fmt: skip
    return np.array(rows, dtype=np.int64).reshape(-1, len(STATED_COLUMNS))


def _rows(facts: GraphFacts) -> Iterator[_Row]:
    flows = facts.graph.has_data_flow
    if flows:
        yield from _ends(facts, "first", INPUT_OP)
    yield from (_Row("kernel", number=_kernel(size)) for size in facts.kernel_sizes().value[:_MAX_SIZES])
    yield from _attention(facts)
    if flows:
        yield from _blocks(facts)
        yield from _following(facts)
        yield from _ends(facts, "last", OUTPUT_OP)


def _kernel(size: str) -> int:
    """`"3*5"` -> 305; two digits for each side."""
    number = 0
    for side in size.split("*"):
        number = 100 * number + min(int(side), 99)
    return number


def _ends(facts: GraphFacts, name: str, op: str) -> Iterator[_Row]:
    """The layer that each input meets first, or that each output comes from; two different ones at most."""
    which = 0 if op == INPUT_OP else -1
    nodes = (met[which] for _, met in facts.structure.nearest_layers(op) if met)
    distinct = {tuple(details.items()): details for details in map(facts.structure.details, nodes)}
    for place, details in enumerate(list(distinct.values())[:_MAX_ENDS]):
        layer = details["layer"]
        yield _Row(f"{name} layer", layer, number=details.get("out", 0), place=place)
        if "kernel" in details:
            yield _Row(f"{name} kernel", layer, number=_kernel(details["kernel"]), place=place)
        if details.get("stride", 1) > 1:
            yield _Row(f"{name} stride", layer, number=details["stride"], place=place)


def _attention(facts: GraphFacts) -> Iterator[_Row]:
    form = facts.structure
    for kind, column in (("heads", "num_heads"), ("kv heads", "num_kv_heads"), ("window", "window")):
        values = form.attention_values(column)[:_MAX_SIZES]
        yield from (_Row(kind, number=value, rank=rank) for rank, value in enumerate(values, start=1))
    for value in facts.attribute_values("num_experts").value[:_MAX_SIZES]:
        yield _Row("experts", number=value)
    if form.causal:
        yield _Row("causal", number=1 + _EXTENTS.index(form.causal))


def _blocks(facts: GraphFacts) -> Iterator[_Row]:
    """The largest of the repeated blocks, in order, each with its layers in the order in which they come."""
    form = facts.structure
    chosen = form.main_blocks(_MAX_BLOCK_KINDS)
    stages = Counter((block.repeats, block.layers) for block in form.repeated)
    distinct = list({(block.repeats, block.layers): block for block in reversed(chosen)}.values())[::-1]
    sizes = {block: sum(n for _, n in block.layers) * block.repeats * stages[block.repeats, block.layers]
             for block in distinct}  # fmt: skip
    ranks = {
        block: rank for rank, block in enumerate(sorted(distinct, key=lambda b: -sizes[b])[:_MAX_BLOCKS], start=1)
    }
    for place, block in enumerate(block for block in distinct if block in ranks):
        rank, stage, layers = ranks[block], stages[block.repeats, block.layers], dict(block.layers)
        yield _Row("block", number=block.repeats, place=place, rank=rank)
        if stage > 1:
            yield _Row("block stages", number=stage, place=place, rank=rank)
        for order, kind in enumerate(form.kinds_in_order(block), start=1):
            yield _Row("block layer", kind, number=layers[kind], place=place, rank=order)


def _following(facts: GraphFacts) -> Iterator[_Row]:
    """The most frequent pairs of different layers of which one directly follows the other."""
    kinds = facts.layer_kinds
    pairs = Counter((k, kinds[p]) for n, k in enumerate(kinds) if k for p in facts.predecessors[n])
    named = sorted((-n, pair) for pair, n in pairs.items() if all(pair) and pair[0] != pair[1])[:_MAX_FOLLOWING]
    yield from (_Row("follows", layer, after, rank=rank) for rank, (_, (layer, after)) in enumerate(named, start=1))
