"""From graph tensors to the tokens that the shared encoder reads (E_v, E_s and the GAT of eq. 1).

* A graph folded by Weisfeiler-Lehman colours gives each representative exactly the embedding of the nodes that it
  stands for: graph attention keeps parallel edges, and adds its self loops beside those that folding makes.
* The number of nodes behind a token enters as the logarithm that attention adds to its key.
* Rows never meet: edges are shifted by their row's offset, and padding has no edge but its own loop.

Shapes: B graphs, N node tokens, E edges, K blocks, d width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch_geometric.nn import GATConv
from transformers import initialization as init

from .configuration_archbert import GRAPH_OP_ID
from .graph_inputs_archbert import GraphInputs
from .outputs_archbert import GraphTokens

MASK_BIAS = -1e4
"""Added to the keys of padding: softmax makes it exactly 0 in every precision, and a row of it is no NaN."""

FREQUENCIES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Of the sines and cosines that tell the sizes of graphs apart."""


class ArchBertZeroEmbedding(nn.Embedding):
    """A table that starts at zero: an entry that training never sees says nothing, instead of noise."""

    def initialize(self) -> None:
        """Set the initial weights."""
        init.zeros_(self.weight)


class ArchBertZeroLinear(nn.Linear):
    """A linear map that starts at zero: an input that training never sees says nothing, instead of noise."""

    def initialize(self) -> None:
        """Set the initial weights."""
        init.zeros_(self.weight)


class ArchBertGATConv(GATConv):
    """torch_geometric's GATConv for `(V, d) -> (V, d)`: heads joined, and no loops but those that are given."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, width // heads, heads=heads, add_self_loops=False)
        self.lin = nn.Linear(width, width, bias=False)  # torch_geometric's own is unknown to transformers

    def initialize(self) -> None:
        """Set the initial weights of what is not a linear map."""
        init.xavier_uniform_(self.att_src)
        init.xavier_uniform_(self.att_dst)
        init.zeros_(self.bias)


class ArchBertNumberEmbedding(nn.Module):
    """Embed columns of bucket ids: `(B, N, C)` int64 -> `(B, N, d)`.

    Without `config.number_embedding_size`, one full table per column, added up (the paper's E_s). With it, small
    tables that start at zero, and the bucket as a plain number beside them; one linear map joins all columns.
    """

    def __init__(self, config: Any, num_columns: int) -> None:
        super().__init__()
        self.num_columns, self.num_buckets = num_columns, config.num_buckets
        size = config.number_embedding_size
        table = ArchBertZeroEmbedding if size else nn.Embedding
        self.table = table(num_columns * config.num_buckets, size or config.hidden_size)
        self.join = nn.Linear(num_columns * (size + 1), config.hidden_size) if size else None

    def forward(self, buckets: torch.Tensor) -> torch.Tensor:
        offsets = torch.arange(self.num_columns, device=buckets.device) * self.num_buckets
        embedded = self.table(buckets + offsets)  # (B, N, C, size)
        if self.join is None:
            return embedded.sum(dim=-2)
        numbers = (buckets.unsqueeze(-1) / 128).to(embedded.dtype)
        return self.join(torch.cat([embedded, numbers], dim=-1).flatten(-2))


class ArchBertNodeEmbeddings(nn.Module):
    """E_v(V) + E_s(S), and attributes: what a node is, before it has seen another one."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        text = config.text_config
        self.op_embeddings = nn.Embedding(config.num_ops, config.hidden_size)
        self.piece_projection = nn.Linear(config.hidden_size, config.hidden_size)
        self.shape_embeddings = ArchBertNumberEmbedding(config, 4) if config.use_shapes else None
        self.attribute_embeddings = (
            ArchBertNumberEmbedding(config, config.num_attributes) if config.use_attributes else None
        )
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=text.layer_norm_eps)
        self.dropout = nn.Dropout(text.hidden_dropout_prob)

    def forward(self, graph: GraphInputs, word_embeddings: nn.Module) -> torch.Tensor:
        states = self.op_embeddings(graph.node_ids)
        if graph.op_piece_ids is not None and graph.op_piece_mask is not None:
            states = self._replace_by_pieces(states, graph.op_piece_ids, graph.op_piece_mask, word_embeddings)
        if self.shape_embeddings is not None:
            states = states + self.shape_embeddings(graph.node_shapes)
        if self.attribute_embeddings is not None:
            states = states + self.attribute_embeddings(graph.node_attributes)
        return self.dropout(self.LayerNorm(states))

    def _replace_by_pieces(
        self, states: torch.Tensor, piece_ids: torch.Tensor, piece_mask: torch.Tensor, word_embeddings: nn.Module
    ) -> torch.Tensor:
        """Embed ops outside the vocabulary by the mean of their names' word pieces.

        Runs on no rows, too, so that every process of a distributed run has gradients for the same parameters.
        """
        rows = piece_mask.bool().any(dim=-1)
        weights = piece_mask[rows].to(states.dtype)  # (R, P)
        mean = (word_embeddings(piece_ids[rows]) * weights.unsqueeze(-1)).sum(1) / weights.sum(1, keepdim=True)
        return states.index_put((rows,), self.piece_projection(mean).to(states.dtype))


class ArchBertGraphAttention(nn.Module):
    """One layer of graph attention (Velickovic et al., 2018) with residual and layer norm: `(B * N, d)` both ways.

    A node attends to its predecessors and itself; with `fold_direction="both"`, to its successors by other weights.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, heads = config.hidden_size, config.gat_heads
        self.forward_attention = ArchBertGATConv(width, heads)
        self.backward_attention = ArchBertGATConv(width, heads) if config.fold_direction == "both" else None
        self.dropout = nn.Dropout(config.text_config.hidden_dropout_prob)
        self.LayerNorm = nn.LayerNorm(width, eps=config.text_config.layer_norm_eps)

    def forward(self, states: torch.Tensor, edges: torch.Tensor, reverse_edges: torch.Tensor | None) -> torch.Tensor:
        update = self.forward_attention(states, edges)
        if self.backward_attention is not None:
            update = update + self.backward_attention(states, reverse_edges)
        update = self.dropout(nn.functional.gelu(update)).to(states.dtype)
        return self.LayerNorm(states + update)


class ArchBertGraphToken(nn.Module):
    """The token `[GRAPH]`: sizes of the whole graph and, if configured, how often each op occurs in it."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.num_ops = config.num_ops
        self.sizes = nn.Linear(3 * (1 + 2 * len(FREQUENCIES)), config.hidden_size)
        self.histogram = (
            ArchBertZeroLinear(2 * config.num_ops, config.hidden_size, bias=False) if config.use_op_histogram else None
        )

    def forward(self, graph: GraphInputs, embedding: torch.Tensor) -> torch.Tensor:
        """Embedding `(d,)` of `[GRAPH]` -> `(B, 1, d)`."""
        assert graph.graph_features is not None
        logs = graph.graph_features.float()  # (B, 3)
        angles = logs.unsqueeze(-1) * torch.tensor(FREQUENCIES, device=logs.device)
        waves = torch.cat([logs.unsqueeze(-1) / 10, angles.sin(), angles.cos()], dim=-1).flatten(1)
        state = embedding + self.sizes(waves.to(self.sizes.weight.dtype))
        if self.histogram is not None:
            counts = torch.zeros(len(logs), self.num_ops, device=logs.device)
            counts = counts.scatter_add(1, graph.node_ids, graph.weights)
            features = torch.cat([counts.log1p(), counts.clamp(max=1)], dim=-1)
            state = state + self.histogram(features.to(self.histogram.weight.dtype))
        return state.unsqueeze(1)


class ArchBertBlockTokens(nn.Module):
    """Tokens of the repeated blocks, in order: the node that opens the block, its repeats, its place."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.repeats = ArchBertNumberEmbedding(config, 1)
        self.order = nn.Embedding(config.max_blocks, config.hidden_size)

    def forward(self, graph: GraphInputs, nodes: torch.Tensor) -> torch.Tensor:
        """Node states `(B, N, d)` -> `(B, K, d)`."""
        assert graph.block_ids is not None and graph.block_repeats is not None
        index = graph.block_ids.unsqueeze(-1).expand(-1, -1, nodes.shape[-1])
        order = torch.arange(graph.block_ids.shape[1], device=nodes.device)
        return nodes.gather(1, index) + self.repeats(graph.block_repeats.unsqueeze(-1)) + self.order(order)


class ArchBertGraphEncoder(nn.Module):
    """Graph tensors -> M_g of eq. 1, with the tokens that bring back order and size after folding."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        text = config.text_config
        self.use_edges = config.use_edges
        self.both_directions = config.fold_direction == "both"
        self.embeddings = ArchBertNodeEmbeddings(config)
        self.layers = nn.ModuleList([ArchBertGraphAttention(config) for _ in range(config.num_gat_layers)])
        self.node_features = nn.Linear(4, config.hidden_size) if config.use_node_features else None
        self.graph_token = ArchBertGraphToken(config) if config.use_graph_token else None
        self.block_tokens = ArchBertBlockTokens(config) if config.use_block_tokens else None
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=text.layer_norm_eps)
        self.dropout = nn.Dropout(text.hidden_dropout_prob)

    def forward(self, graph: GraphInputs, word_embeddings: nn.Module) -> GraphTokens:
        """Encode a checked batch.

        Args:
            graph: the batch.
            word_embeddings: embedding of word pieces, for ops outside the vocabulary.
        """
        states = self._attend(self.embeddings(graph, word_embeddings), graph)
        if self.node_features is not None:
            assert graph.node_features is not None
            states = states + self.node_features(graph.node_features.to(states.dtype))
        weights = graph.weights
        tokens = [states]
        biases = [weights.clamp(min=1).log().masked_fill(~graph.mask, MASK_BIAS)]
        if self.graph_token is not None:
            tokens.append(self.graph_token(graph, self.embeddings.op_embeddings.weight[GRAPH_OP_ID]))
            biases.append(weights.new_zeros(len(weights), 1))
        if self.block_tokens is not None and graph.block_mask is not None:
            tokens.append(self.block_tokens(graph, states))
            biases.append((1 - graph.block_mask.to(weights.dtype)) * MASK_BIAS)
        joined = torch.cat([token.to(states.dtype) for token in tokens], dim=1)
        return GraphTokens(self.dropout(self.LayerNorm(joined)), torch.cat(biases, dim=1), weights)

    def _attend(self, states: torch.Tensor, graph: GraphInputs) -> torch.Tensor:
        if not len(self.layers):
            return states
        b, n, width = states.shape
        edges = self._flatten(graph.edge_index, graph.edge_mask, b, n, states.device)
        reverse = None
        if self.both_directions:
            reverse = self._flatten(graph.reverse_edge_index, graph.reverse_edge_mask, b, n, states.device)
        flat = states.reshape(b * n, width)
        for layer in self.layers:
            flat = layer(flat, edges, reverse)
        return flat.view(b, n, width)

    def _flatten(
        self, index: torch.Tensor | None, mask: torch.Tensor | None, b: int, n: int, device: torch.device
    ) -> torch.Tensor:
        """Row-local edges `(B, E, 2)` -> edges over all rows `(2, sum of E + B * N)`, every node with its own loop."""
        loops = torch.arange(b * n, device=device).expand(2, -1)
        if index is None or not self.use_edges:
            return loops
        shifted = index + (torch.arange(b, device=device) * n).view(b, 1, 1)
        edges = shifted[mask == 1] if mask is not None else shifted.reshape(-1, 2)
        return torch.cat([edges.t(), loops], dim=1)


SELF_INITIALIZING = (ArchBertZeroEmbedding, ArchBertZeroLinear, ArchBertGATConv)
"""Modules of this file with an `initialize` of their own."""
