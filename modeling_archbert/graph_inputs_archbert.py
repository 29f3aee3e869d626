"""The graph side of a batch: which tensors it has, and the checks that it passes before anything is computed.

Shapes: B graphs, N node tokens, E edges, A attributes, P word pieces, K blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch


@dataclass
class GraphInputs:
    """A padded, batch-first batch of architecture graphs.

    Attributes:
        node_ids: `(B, N)` int64, ids of the op vocabulary.
        edge_index: `(B, E, 2)` int64, (source, destination) as positions on the node axis of the row.
        node_shapes: `(B, N, 4)` int64 bucket ids.
        node_attributes: `(B, N, A)` int64 bucket ids.
        node_counts: `(B, N)`, how many nodes a token stands for: 1 unfolded, 0 on padding. Default: `node_mask`.
        node_features: `(B, N, 4)` float, count and depths of the node's colour.
        node_mask: `(B, N)`, 1 for nodes, 0 for padding. Default: no padding.
        edge_mask: `(B, E)`, 1 for edges; 2 for edges that only say what follows what, and carry no messages (of nodes
            that a folded graph does not show). Default: no padding.
        reverse_edge_index, reverse_edge_mask: the same for edges to successors, with `fold_direction="both"`.
        graph_features: `(B, 3)` float: log of one plus the number of nodes, edges and parameters.
        op_piece_ids, op_piece_mask: `(B, N, P)`, word pieces of op names that are not in the vocabulary.
        block_ids, block_repeats, block_mask: `(B, K)`, token, bucket of repeats, and mask of the repeated blocks.
        fold_rounds: `(B,)`, rounds that a graph was folded with, -1 for unfolded.
        graph_counts: `(B, 3)` int64, layers on the longest path, and joins of an earlier value by addition and by
            concatenation; a decoder with `use_exact_numbers` reads them.
        node_sizes: `(B, N)` int64, output size of each token, not as a bucket; read as `graph_counts`.
        stated_facts: `(B, S, 6)` int64, what captions state (the columns of `stated_facts_archbert`, zeros are
            padding); a decoder with `use_stated_facts` reads them.
    """

    node_ids: torch.Tensor
    edge_index: torch.Tensor | None = None
    node_shapes: torch.Tensor | None = None
    node_attributes: torch.Tensor | None = None
    node_counts: torch.Tensor | None = None
    node_features: torch.Tensor | None = None
    node_mask: torch.Tensor | None = None
    edge_mask: torch.Tensor | None = None
    reverse_edge_index: torch.Tensor | None = None
    reverse_edge_mask: torch.Tensor | None = None
    graph_features: torch.Tensor | None = None
    op_piece_ids: torch.Tensor | None = None
    op_piece_mask: torch.Tensor | None = None
    block_ids: torch.Tensor | None = None
    block_repeats: torch.Tensor | None = None
    block_mask: torch.Tensor | None = None
    fold_rounds: torch.Tensor | None = None
    graph_counts: torch.Tensor | None = None
    node_sizes: torch.Tensor | None = None
    stated_facts: torch.Tensor | None = None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the tensors, as the model's forward takes them."""
        return tuple(field.name for field in fields(cls))

    @property
    def mask(self) -> torch.Tensor:
        """`(B, N)` bool, true for nodes."""
        return torch.ones_like(self.node_ids, dtype=torch.bool) if self.node_mask is None else self.node_mask.bool()

    @property
    def weights(self) -> torch.Tensor:
        """`(B, N)` float32, how many nodes each token stands for; 0 on padding."""
        counts = self.mask if self.node_counts is None else self.node_counts * self.mask
        return counts.to(torch.float32)

    def check(self, config: Any, *, training: bool) -> None:
        """Raise `ValueError` for whatever the model of this `config` cannot encode.

        Ranges of values and `fold_rounds` are looked at outside training only: they cost a transfer from the device.
        """
        self._check_presence(config)
        self._check_sizes(config)
        if not training:
            self._check_ranges(config)
            self._check_folding(config)

    def _check_presence(self, config: Any) -> None:
        needed = {
            "edge_index": config.use_edges and config.num_gat_layers > 0,
            "reverse_edge_index": config.use_edges and config.num_gat_layers > 0 and config.fold_direction == "both",
            "node_shapes": config.use_shapes,
            "node_attributes": config.use_attributes,
            "node_features": config.use_node_features,
            "graph_features": config.use_graph_token,
            "block_ids": config.use_block_tokens,
            "block_repeats": config.use_block_tokens,
            "block_mask": config.use_block_tokens,
        }
        absent = [name for name, need in needed.items() if need and getattr(self, name) is None]
        if absent:
            raise ValueError(f"an architecture needs {', '.join(absent)}: the processor of this model makes them")
        if (self.op_piece_ids is None) != (self.op_piece_mask is None):
            raise ValueError("op_piece_ids and op_piece_mask belong together; only one of them was given")

    def _check_sizes(self, config: Any) -> None:
        if self.node_ids.dim() != 2 or self.node_ids.shape[1] == 0:
            raise ValueError(
                f"node_ids must be (graphs, nodes) with at least one node, got {tuple(self.node_ids.shape)}"
            )
        b, n = self.node_ids.shape
        shapes: dict[str, tuple[int | None, ...]] = {
            "edge_index": (b, None, 2),
            "node_shapes": (b, n, 4),
            "node_attributes": (b, n, config.num_attributes),
            "node_counts": (b, n),
            "node_features": (b, n, 4),
            "node_mask": (b, n),
            "reverse_edge_index": (b, None, 2),
            "graph_features": (b, 3),
            "op_piece_ids": (b, n, None),
            "op_piece_mask": (b, n, None),
            "block_ids": (b, None),
            "block_repeats": (b, None),
            "block_mask": (b, None),
            "fold_rounds": (b,),
            "graph_counts": (b, 3),
            "node_sizes": (b, n),
            "stated_facts": (b, None, 6),
        }
        for name, expected in shapes.items():
            tensor = getattr(self, name)
            if tensor is not None and not _fits(tuple(tensor.shape), expected):
                wanted = tuple("any" if size is None else size for size in expected)
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}, {wanted} is needed for node_ids {(b, n)}")
        for edges, mask in (("edge_index", "edge_mask"), ("reverse_edge_index", "reverse_edge_mask")):
            index, weights = getattr(self, edges), getattr(self, mask)
            if index is not None and weights is not None and weights.shape != index.shape[:2]:
                raise ValueError(f"{mask} has shape {tuple(weights.shape)}, but {edges} {tuple(index.shape)}")
        if config.use_block_tokens and self.block_ids is not None and self.block_ids.shape[1] > config.max_blocks:
            raise ValueError(f"{self.block_ids.shape[1]} blocks were given, max_blocks is {config.max_blocks}")

    def _check_ranges(self, config: Any) -> None:
        limits = {
            "node_ids": config.num_ops,
            "node_shapes": config.num_buckets,
            "node_attributes": config.num_buckets,
            "block_repeats": config.num_buckets,
            "op_piece_ids": config.text_config.vocab_size,
            "edge_index": self.node_ids.shape[1],
            "reverse_edge_index": self.node_ids.shape[1],
            "block_ids": self.node_ids.shape[1],
        }
        for name, limit in limits.items():
            tensor = getattr(self, name)
            if tensor is None or tensor.numel() == 0:
                continue
            least, greatest = int(tensor.min()), int(tensor.max())
            if least < 0 or greatest >= limit:
                wrong = least if least < 0 else greatest
                raise ValueError(f"{name} holds {wrong}, allowed are 0 to {limit - 1}")
        if not bool(self.mask.any(dim=1).all()):
            raise ValueError("an architecture of the batch has no nodes: its row of node_mask is all zero")

    def _check_folding(self, config: Any) -> None:
        if self.fold_rounds is None or not config.use_edges:
            return
        short = self.fold_rounds[(self.fold_rounds != -1) & (self.fold_rounds < config.num_gat_layers)]
        if short.numel():
            raise ValueError(
                f"a graph was folded with {int(short[0])} rounds, this model has {config.num_gat_layers} layers of "
                "graph attention: fold with at least as many rounds, or pass fold=False to the processor"
            )


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    if len(shape) != len(expected):
        return False
    return all(want is None or have == want for have, want in zip(shape, expected, strict=True))
