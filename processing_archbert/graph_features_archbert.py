"""`ArchBertGraphFeatureExtractor`: architecture graphs to padded tokens.

* Two steps, as in tokenizers: `encode` makes the unpadded arrays of one graph (small, picklable, worth caching), `pad`
  makes a batch of them.
* Numbers are embedded by bucket: exact up to 32, then eight buckets for each doubling.
* Equal parts of a graph are folded into one token (`folding_archbert`); features of number and place are the same with
  and without folding.

B rows, N tokens, E edges, A attributes, K blocks, P word pieces of an op's name.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import BatchFeature, FeatureExtractionMixin

from .architecture_graph_archbert import ArchitectureGraph, as_architecture_graph
from .folding_archbert import (
    Folding,
    block_nodes,
    colour_features,
    level_signatures,
    node_kinds,
    repeated_blocks,
    sorted_edges,
    wl_colours,
)
from .folding_archbert import (
    fold as fold_colours,
)
from .graph_facts_archbert import GraphFacts
from .ops_archbert import EXTRACTION_VERSION, OPS
from .stated_facts_archbert import STATED_COLUMNS, stated_facts

SPECIAL_OPS = ("[PAD]", "[UNK]", "[MASK]", "[GRAPH]")
PAD_ID, UNK_ID, MASK_ID, GRAPH_ID = range(4)
NUM_BUCKETS = 256
EXACT_BUCKETS = 32
BUCKETS_PER_DOUBLING = 8
FOLD_DIRECTIONS = ("predecessors", "both")
UNFOLDED = -1

# Greatest number of each bucket from EXACT_BUCKETS on: floor(32 * 2 ** (j / 8)), by exact integer roots.
_BUCKET_LIMITS = np.array(
    [math.isqrt(math.isqrt(math.isqrt(2 ** (40 + j)))) for j in range(NUM_BUCKETS - EXACT_BUCKETS)], dtype=np.int64
)
_NOTHING_STATED = np.zeros((0, len(STATED_COLUMNS)), dtype=np.int64)


def bucket(numbers: np.ndarray) -> np.ndarray:
    """Bucket ids, int64 in [0, 255], of non-negative integers of any shape.

    x itself up to 32, then 32 + ceil(8 * log2(x / 32)), at most 255.
    """
    numbers = np.asarray(numbers, dtype=np.int64)
    above = EXACT_BUCKETS + np.searchsorted(_BUCKET_LIMITS, numbers, side="left")
    return np.where(numbers <= EXACT_BUCKETS, numbers, np.minimum(above, NUM_BUCKETS - 1))


@dataclass(frozen=True, eq=False)
class GraphEncoding:
    """One graph as unpadded tokens; made by `ArchBertGraphFeatureExtractor.encode`, small enough to cache.

    Attributes:
        op_names: n op types, one for each token.
        node_ids: int32 (n,), vocabulary ids; [UNK] for an op outside the vocabulary.
        node_shapes: uint8 (n, 4), bucket ids.
        node_attributes: uint8 (n, A), bucket ids.
        node_counts: int32 (n,), how many nodes the token stands for (1 when unfolded).
        node_features: float32 (n, 4), log(1 + colour count), least, mean, greatest relative depth of the colour.
        edge_index: int32 (e, 2), source and target token.
        reverse_edge_index: int32 (e', 2), messages from successors; empty unless both directions are used.
        graph_features: float32 (3,), log(1 + nodes), log(1 + edges), log(1 + parameters) of the whole graph.
        block_ids: int32 (k,), the token that stands for the first level of each repeated block.
        block_repeats: uint8 (k,), bucket id of the number of repetitions.
        fold_rounds: number of Weisfeiler-Lehman rounds; -1 = unfolded.
        graph_counts: int64 (3,), layers on the longest path, and joins of an earlier value by addition and by
            concatenation; (0,) without `exact_numbers`.
        node_sizes: int64 (n,), the first number of each token's shape (output features, entries), not as a bucket but
            as it is (of a node of the colour); (0,) without `exact_numbers`.
        other_edge_index: int32 (f, 2), further edges between tokens, over which no messages go
            (`Folding.other_edges`); none when unfolded.
        stated_facts: int64 (s, 6), what captions state (`stated_facts_archbert`); (0,) without `stated_facts`.
    """

    op_names: tuple[str, ...]
    node_ids: np.ndarray
    node_shapes: np.ndarray
    node_attributes: np.ndarray
    node_counts: np.ndarray
    node_features: np.ndarray
    edge_index: np.ndarray
    reverse_edge_index: np.ndarray
    graph_features: np.ndarray
    block_ids: np.ndarray
    block_repeats: np.ndarray
    fold_rounds: int
    graph_counts: np.ndarray
    node_sizes: np.ndarray
    other_edge_index: Any = ()
    stated_facts: Any = ()

    @property
    def num_tokens(self) -> int:
        """n, the number of tokens."""
        return len(self.node_ids)


class ArchBertGraphFeatureExtractor(FeatureExtractionMixin):
    """Turns `ArchitectureGraph`s into padded batches of graph tokens.

    Args:
        ops: op types of the vocabulary, after [PAD], [UNK], [MASK] and [GRAPH]; the op table by default.
        num_fold_rounds: rounds k of the folding; at least the number of graph attention layers of the model.
        fold_direction: "predecessors" or "both", the directions that the graph attention of the model attends to.
        max_nodes: greatest number of tokens of a graph, counted after folding.
        truncation: cut a graph with more tokens instead of refusing it; the rest is then never seen.
        op_piece_length: P, the number of word pieces for the name of an op outside the vocabulary.
        max_blocks: K, the number of repeated blocks to tell.
        extraction_version: version of the extraction that the model knows.
        exact_numbers: also give `graph_counts` and `node_sizes`, which folding and buckets lose and captions tell.
        stated_facts: also give `stated_facts`, what captions state of ends, blocks, kernels and attention.

    Raises:
        ValueError: an argument is not as said above.
    """

    model_input_names = ["node_ids", "node_shapes", "node_attributes", "node_counts", "node_mask", "edge_index"]

    def __init__(
        self,
        ops: Sequence[str] | None = None,
        num_fold_rounds: int = 2,
        fold_direction: str = "predecessors",
        max_nodes: int = 4096,
        truncation: bool = False,
        op_piece_length: int = 8,
        max_blocks: int = 16,
        extraction_version: int = EXTRACTION_VERSION,
        exact_numbers: bool = False,
        stated_facts: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ops = list(OPS) if ops is None else list(ops)
        self.num_fold_rounds = _checked_number("num_fold_rounds", num_fold_rounds, 0)
        self.fold_direction = fold_direction
        self.max_nodes = _checked_number("max_nodes", max_nodes, 1)
        self.truncation = bool(truncation)
        self.op_piece_length = _checked_number("op_piece_length", op_piece_length, 1)
        self.max_blocks = _checked_number("max_blocks", max_blocks, 0)
        self.extraction_version = extraction_version
        self.exact_numbers = bool(exact_numbers)
        self.stated_facts = bool(stated_facts)
        if fold_direction not in FOLD_DIRECTIONS:
            raise ValueError(f"fold_direction is {fold_direction!r}; allowed are {', '.join(FOLD_DIRECTIONS)}.")
        if len(set(self.ops)) != len(self.ops) or not all(isinstance(op, str) and op for op in self.ops):
            raise ValueError("ops has an op twice or one that is no string; distinct non-empty strings are allowed.")
        if set(self.ops) & set(SPECIAL_OPS):
            raise ValueError(f"ops has one of {', '.join(SPECIAL_OPS)}; these are added, leave them out.")
        self._ids = {op: i for i, op in enumerate(self.ops, start=len(SPECIAL_OPS))}

    @property
    def vocabulary(self) -> list[str]:
        """The op of every vocabulary id: the four special ones, then `ops`."""
        return [*SPECIAL_OPS, *self.ops]

    def to_dict(self) -> dict[str, Any]:
        """What is saved: the arguments, without what is derived from them."""
        return {key: value for key, value in super().to_dict().items() if not key.startswith("_")}

    def __call__(
        self, graphs: Any, fold: bool = True, return_tensors: str | None = "pt", truncation: bool | None = None
    ) -> BatchFeature:
        """Encode and pad one graph or a list of them; see `encode` and `pad`."""
        several = graphs if isinstance(graphs, (list, tuple)) else [graphs]
        return self.pad([self.encode(graph, fold, truncation) for graph in several], return_tensors)

    def encode(self, graph: Any, fold: bool = True, truncation: bool | None = None) -> GraphEncoding:
        """The unpadded tokens of one graph (an `ArchitectureGraph`, its dictionary or its row).

        Args:
            graph: the graph.
            fold: one token for each colour; otherwise one for each node.
            truncation: cut what is more than `max_nodes` tokens; the extractor's own setting by default.

        Raises:
            ValueError: `graph` is no graph, or has more than `max_nodes` tokens and is not to be cut.
        """
        known = as_architecture_graph(graph)
        if known is None:
            raise ValueError(
                f"A graph is {type(graph).__name__}; an ArchitectureGraph, its dictionary or its row is allowed "
                "(ArchBertProcessor also takes modules, configs and names)."
            )
        self._check_version(known)
        both = self.fold_direction == "both"
        numbers = bucket(np.concatenate([known.shapes, known.attributes], axis=1))
        kinds = node_kinds(known.op_types, numbers)
        colours = wl_colours(kinds, known.edge_index, self.num_fold_rounds, both)
        folding = fold_colours(colours, known.edge_index)
        features, sizes = colour_features(folding, known.depths), known.shapes[folding.representatives, 0]
        blocks = repeated_blocks(level_signatures(kinds, known.depths), self.max_blocks)
        block_starts = block_nodes(blocks, colours, known.depths)
        if fold:
            kept, block_starts = folding.representatives, folding.node_tokens[block_starts]
        else:
            features, sizes = features[folding.node_tokens], sizes[folding.node_tokens]
            kept = np.arange(known.num_nodes)
            folding = _unfolded(known)
        names = tuple(known.op_types[i] for i in kept.tolist())
        encoding = GraphEncoding(
            op_names=names,
            node_ids=np.array([self._ids.get(name, UNK_ID) for name in names], dtype=np.int32),
            node_shapes=numbers[kept, :4].astype(np.uint8),
            node_attributes=numbers[kept, 4:].astype(np.uint8),
            node_counts=folding.counts.astype(np.int32),
            node_features=features,
            edge_index=folding.edges.astype(np.int32),
            reverse_edge_index=folding.reverse_edges.astype(np.int32)[: None if both else 0],
            graph_features=np.log1p([known.num_nodes, known.num_edges, known.num_parameters]).astype(np.float32),
            block_ids=block_starts.astype(np.int32),
            block_repeats=bucket(np.array([block.repeats for block in blocks])).astype(np.uint8),
            fold_rounds=self.num_fold_rounds if fold else UNFOLDED,
            graph_counts=structure_counts(known) if self.exact_numbers else np.zeros(0, dtype=np.int64),
            node_sizes=sizes.astype(np.int64)[: None if self.exact_numbers else 0],
            other_edge_index=folding.other_edges.astype(np.int32),
            stated_facts=stated_facts(known, self._ids, UNK_ID) if self.stated_facts else _NOTHING_STATED,
        )
        return self._limited(encoding, fold, self.truncation if truncation is None else truncation)

    def pad(self, encodings: Sequence[GraphEncoding], return_tensors: str | None = "pt") -> BatchFeature:
        """A batch of encodings; int64 except the two float32 features, padded with zeros.

        Returns:
            `node_ids`, `node_counts`, `node_mask` (B, N), `node_shapes` (B, N, 4), `node_attributes` (B, N, A),
            `node_features` (B, N, 4), `edge_index` (B, E, 2), `edge_mask` (B, E: 1, or 2 for an edge over which
            no messages go), `graph_features` (B, 3),
            `op_piece_ids`, `op_piece_mask` (B, N, P) (zero: `ArchBertProcessor` fills them), `block_ids`,
            `block_repeats`, `block_mask` (B, K), `fold_rounds` (B,); with `fold_direction` "both" also
            `reverse_edge_index` and `reverse_edge_mask`, with `exact_numbers` also `graph_counts` (B, 3)
            and `node_sizes` (B, N), with `stated_facts` also `stated_facts` (B, S, 6). Tensors for "pt", arrays for
            "np" or None.

        Raises:
            ValueError: no encodings, or unknown `return_tensors`.
        """
        if return_tensors not in ("pt", "np", None):
            raise ValueError(f"return_tensors is {return_tensors!r}; 'pt', 'np' or None is allowed.")
        if not encodings:
            raise ValueError("There are no graphs; one or more are needed.")
        batch = {
            "node_ids": _padded([e.node_ids for e in encodings]),
            "node_shapes": _padded([e.node_shapes for e in encodings]),
            "node_attributes": _padded([e.node_attributes for e in encodings]),
            "node_counts": _padded([e.node_counts for e in encodings]),
            "node_features": _padded([e.node_features for e in encodings], np.float32),
            "node_mask": _mask([e.node_ids for e in encodings]),
            **_edges(encodings),
            "graph_features": np.stack([e.graph_features for e in encodings]),
            "block_ids": _padded([e.block_ids for e in encodings]),
            "block_repeats": _padded([e.block_repeats for e in encodings]),
            "block_mask": _mask([e.block_ids for e in encodings]),
            "fold_rounds": np.array([e.fold_rounds for e in encodings], dtype=np.int64),
        }
        if self.fold_direction == "both":
            batch["reverse_edge_index"] = _padded([e.reverse_edge_index for e in encodings])
            batch["reverse_edge_mask"] = _mask([e.reverse_edge_index for e in encodings])
        if self.exact_numbers:
            batch["graph_counts"] = np.stack([e.graph_counts for e in encodings])
            batch["node_sizes"] = _padded([e.node_sizes for e in encodings])
        if self.stated_facts:
            batch["stated_facts"] = _padded([np.reshape(e.stated_facts, (-1, len(STATED_COLUMNS))) for e in encodings])
        for key in ("op_piece_ids", "op_piece_mask"):
            batch[key] = np.zeros((*batch["node_ids"].shape, self.op_piece_length), dtype=np.int64)
        return BatchFeature(batch, tensor_type=return_tensors)

    def _check_version(self, graph: ArchitectureGraph) -> None:
        if graph.extraction_version != self.extraction_version:
            warnings.warn(
                f"The graph {graph.name!r} has extraction_version {graph.extraction_version}, but this extractor (and "
                f"the model beside it) has {self.extraction_version}: ops and attributes may mean other things. "
                "Extract the graph again with this version of the package, or load a checkpoint made for the graph's "
                "version.",
                stacklevel=3,
            )

    def _limited(self, encoding: GraphEncoding, fold: bool, truncation: bool) -> GraphEncoding:
        if encoding.num_tokens <= self.max_nodes:
            return encoding
        if not truncation:
            advice = "raise max_nodes, or pass truncation=True to drop what comes last"
            raise ValueError(
                f"The graph has {encoding.num_tokens} tokens; max_nodes is {self.max_nodes}. To encode it, "
                f"{advice if fold else f'pass fold=True, {advice}'}."
            )
        return _truncated(encoding, self.max_nodes)


def structure_counts(graph: ArchitectureGraph) -> np.ndarray:
    """`GraphEncoding.graph_counts` of a graph; zeros where it shows no data flow."""
    if not graph.has_data_flow:
        return np.zeros(3, dtype=np.int64)
    form = GraphFacts(graph).structure
    return np.array([form.depth[0], *(form.skip_connections(op)[0] for op in ("add", "cat"))], dtype=np.int64)


def _checked_number(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}; an integer from {least} is allowed.")
    return value


def _unfolded(graph: ArchitectureGraph) -> Folding:
    """The folding that gives every node a token of its own."""
    nodes, (source, target) = np.arange(graph.num_nodes), graph.edge_index.astype(np.int64)
    edges = sorted_edges(source, target), sorted_edges(target, source)
    return Folding(nodes, nodes, np.ones_like(nodes), *edges, np.zeros((0, 2), dtype=np.int64))


def _truncated(encoding: GraphEncoding, length: int) -> GraphEncoding:
    """The first `length` tokens, with the edges and blocks among them."""
    edges, reverse, blocks = encoding.edge_index, encoding.reverse_edge_index, encoding.block_ids < length
    others = np.asarray(encoding.other_edge_index).reshape(-1, 2)
    return GraphEncoding(
        op_names=encoding.op_names[:length],
        node_ids=encoding.node_ids[:length],
        node_shapes=encoding.node_shapes[:length],
        node_attributes=encoding.node_attributes[:length],
        node_counts=encoding.node_counts[:length],
        node_features=encoding.node_features[:length],
        edge_index=edges[(edges < length).all(axis=1)],
        reverse_edge_index=reverse[(reverse < length).all(axis=1)],
        graph_features=encoding.graph_features,
        block_ids=encoding.block_ids[blocks],
        block_repeats=encoding.block_repeats[blocks],
        fold_rounds=encoding.fold_rounds,
        graph_counts=encoding.graph_counts,
        node_sizes=encoding.node_sizes[:length],
        other_edge_index=others[(others < length).all(axis=1)],
        stated_facts=encoding.stated_facts,
    )


def _edges(encodings: Sequence[GraphEncoding]) -> dict[str, np.ndarray]:
    """`edge_index` and `edge_mask`: 1 where messages go, 2 for further edges behind these."""
    others = [np.asarray(e.other_edge_index, dtype=np.int32).reshape(-1, 2) for e in encodings]
    joined = [np.concatenate([e.edge_index, more]) for e, more in zip(encodings, others, strict=True)]
    mask = _mask(joined)
    for row, encoding in zip(mask, encodings, strict=True):
        row[len(encoding.edge_index) :] *= 2
    return {"edge_index": _padded(joined), "edge_mask": mask}


def _padded(arrays: Sequence[np.ndarray], dtype: type[np.generic] = np.int64) -> np.ndarray:
    """(B, L, ...) with zeros behind shorter rows; L is at least 1."""
    longest = max(1, *(len(array) for array in arrays))
    batch = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), dtype=dtype)
    for row, array in zip(batch, arrays, strict=True):
        row[: len(array)] = array
    return batch


def _mask(arrays: Sequence[np.ndarray]) -> np.ndarray:
    lengths = np.array([len(array) for array in arrays])
    return (np.arange(max(1, lengths.max())) < lengths[:, None]).astype(np.int64)
