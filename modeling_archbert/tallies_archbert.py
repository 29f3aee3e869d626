"""Tallies: tokens that say how many layers of each kind a graph has, for the decoder to read numbers from.

* They are sums over the graph tensors alone, so a folded and an unfolded graph have the same ones.
* A number is embedded by its decimal digits, because captions spell it by its digits.
* Attention averages and cannot count; these tokens are what it copies a number from.

Shapes: B graphs, N node tokens, O ops of the vocabulary, Q quantities, K quantities that a batch has, d width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import initialization as init

from .fusion_archbert import DILATED, GROUPS, SEPARABLE, convolution_kinds
from .graph_encoder_archbert import MASK_BIAS
from .graph_inputs_archbert import GraphInputs

NUM_DIGITS = 6
LEADING = 10
"""Digit id of a place before the first digit of a number."""
MAX_RANK = 32
STATED_KINDS, STATED_PLACES = 17, 8
"""Kinds and places of `stated_facts`."""
MAX_EXPONENT = 16
STRIDE_H, STRIDE_W = 3, 4
"""Columns of `node_attributes`."""
OTHERS = (
    "dilated", "separable", "layers", "strided", "grouped", "longest path", "additions", "concatenations", "nodes",
    "edges", "parameters",
)  # fmt: skip
"""Quantities beside the ops and the categories of layers."""
NUMBER_STD, NAME_STD = 0.25, 0.7
"""Of initial weights: beside states of size 1, digits and names that start smaller are not seen for long."""
MIXED_OP = "Conv2d"
"""The op of which dilated and separable convolutions are kinds of their own."""


class ArchBertDigits(nn.Module):
    """Embeds whole numbers by their decimal digits, or by the first three of them and the magnitude."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.digits = nn.Embedding(NUM_DIGITS * (LEADING + 1), width)
        self.exponents = nn.Embedding(MAX_EXPONENT, width)

    def initialize(self) -> None:
        """Set the initial weights."""
        init.normal_(self.digits.weight, std=NUMBER_STD)
        init.normal_(self.exponents.weight, std=NUMBER_STD)

    def forward(self, numbers: torch.Tensor, leading: torch.Tensor | None = None) -> torch.Tensor:
        """Numbers `(B, K)` from 0 on, float64 -> `(B, K, d)`; where `leading (B, K)`, magnitude and three digits."""
        magnitude: torch.Tensor | float = 0.0
        if leading is not None:
            exponents = numbers.clamp(min=1).log10().add(1e-12).floor()
            short = (numbers / 10 ** (exponents - 2)).round()
            over = short >= 1000
            exponents, short = exponents + over, torch.where(over, short / 10, short)
            numbers = torch.where(leading, short, numbers)
            magnitude = self.exponents(exponents.long().clamp(max=MAX_EXPONENT - 1)) * leading.unsqueeze(-1)
        powers = 10 ** torch.arange(NUM_DIGITS, device=numbers.device)
        places = numbers.clamp(max=10.0**NUM_DIGITS - 1).round().long().unsqueeze(-1) // powers  # (B, K, digits)
        digits = torch.where(places > 0, places % 10, LEADING)
        offsets = torch.arange(NUM_DIGITS, device=numbers.device) * (LEADING + 1)
        return self.digits(digits + offsets).sum(dim=-2) + magnitude


class ArchBertTallies(nn.Module):
    """Numbers of nodes by op, of layers by category, and sizes of the graph, a token each.

    `ArchBertConfig.op_categories` says which category of layers each op is of. As people count, a dilated convolution
    is a kind of its own, and a depthwise convolution with the pointwise one behind it is one separable layer.
    """

    categories: torch.Tensor
    swept: torch.Tensor
    name_order: torch.Tensor

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.hidden_size
        self.ops, self.op_categories = config.ops, config.op_categories
        self.use_exact_numbers = config.use_exact_numbers
        self.names = sorted(set(self.op_categories) - {""})
        self.num_quantities = len(self.ops) + len(self.names) + len(OTHERS)
        self.op_projection = nn.Linear(width, width)
        self.others = nn.Embedding(len(self.names) + len(OTHERS), width)
        self.digits = ArchBertDigits(width)
        self.ranks = nn.Embedding(MAX_RANK + 1, width, padding_idx=0)
        self.LayerNorm = nn.LayerNorm(width, eps=config.text_config.layer_norm_eps)
        for name, tensor in self._tables().items():
            self.register_buffer(name, tensor, persistent=False)

    def initialize(self) -> None:
        """Set the initial weights, and the buffers, which are not saved."""
        init.normal_(self.op_projection.weight, std=NAME_STD)
        for table in (self.others, self.ranks):
            init.normal_(table.weight, std=NUMBER_STD)
        init.zeros_(self.ranks.weight[0])
        for name, tensor in self._tables().items():
            init.copy_(getattr(self, name), tensor)

    def _tables(self) -> dict[str, torch.Tensor]:
        categories = torch.zeros(len(self.ops), len(self.names))
        for op, category in enumerate(self.op_categories):
            if category:
                categories[op, self.names.index(category)] = 1.0
        swept = [
            float(category in ("convolution", "pooling") and "Transpose" not in op)
            for op, category in zip(self.ops, self.op_categories, strict=True)
        ]
        kinds = [*self.ops, "Dil_conv2d", "Sep_conv2d"]
        order = torch.zeros(len(kinds))
        order[sorted(range(len(kinds)), key=kinds.__getitem__)] = torch.arange(len(kinds), 0, -1) / (2.0 * len(kinds))
        return {"categories": categories, "swept": torch.tensor(swept), "name_order": order}

    def forward(self, graph: GraphInputs, op_embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens `(B, K, d)` of the quantities that are not 0, and their bias `(B, K)` as in `GraphTokens`.

        Args:
            graph: the batch.
            op_embeddings: `(O, d)`, what the graph encoder embeds ops by.
        """
        values, ranks = self.count(graph)
        present = values > 0
        size = max(1, int(present.sum(dim=1).max()))
        chosen = present.to(torch.int8).sort(dim=1, descending=True, stable=True).indices[:, :size]  # (B, K)
        known, numbers = present.gather(1, chosen), values.gather(1, chosen)
        names = torch.cat([self.op_projection(op_embeddings), self.others.weight], dim=0)  # (Q, d)
        is_parameters = chosen == self.num_quantities - 1
        states = names[chosen] + self.ranks(ranks.gather(1, chosen)) + self.digits(numbers, is_parameters)
        bias = torch.zeros(known.shape, device=known.device).masked_fill(~known, MASK_BIAS)
        return self.LayerNorm(states), bias

    def layer_names(self, op_embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings `(O + 2, d)` of the ops, and of dilated and separable convolutions."""
        own = self.others.weight[len(self.names) : len(self.names) + len(_OWN_KINDS)]
        return torch.cat([self.op_projection(op_embeddings), own], dim=0)

    def count(self, graph: GraphInputs) -> tuple[torch.Tensor, torch.Tensor]:
        """The quantities `(B, Q)` float64: ops, categories, `OTHERS`; and the rank `(B, Q)` of each kind of layer.

        The most frequent kind of layer has rank 1, equal ones are ordered by name; 0 is no kind of layer.
        """
        ids, weights = graph.node_ids, graph.weights
        ops = torch.zeros(len(ids), len(self.ops), device=ids.device).scatter_add(1, ids, weights)
        columns = torch.zeros_like(weights)[..., None].expand(-1, -1, GROUPS + 1)
        kinds = torch.zeros_like(ids)
        if graph.node_attributes is not None:
            columns, kinds = graph.node_attributes, convolution_kinds(graph)
        mixed = self.ops.index(MIXED_OP) if MIXED_OP in self.ops else -1
        dilated, separable = (((ids == mixed) & (kinds == kind)).float().mul(weights).sum(1) for kind in _OWN_KINDS)
        convolutions = (
            self.categories[:, self.names.index("convolution")] if "convolution" in self.names else self.swept * 0
        )
        strided = self.swept[ids] * ((columns[..., STRIDE_H] > 1) | (columns[..., STRIDE_W] > 1))
        grouped = convolutions[ids] * (columns[..., GROUPS] > 1)
        by_category = ops @ self.categories  # (B, C)
        if "convolution" in self.names:
            pairs = torch.zeros_like(by_category)
            pairs[:, self.names.index("convolution")] = separable
            by_category = by_category - pairs
        if mixed >= 0:
            ops = ops.index_add(1, torch.tensor([mixed], device=ids.device), -(dilated + 2 * separable)[:, None])
        structure, sizes = self._structure(graph), self._sizes(graph)
        sums = [dilated, separable, by_category.sum(1), (strided * weights).sum(1), (grouped * weights).sum(1)]
        parts = [ops.double(), by_category.double(), torch.stack(sums, dim=1).double(), structure, sizes]
        values = torch.cat(parts, dim=1)
        return values.clamp(min=0), self._ranks(ops, torch.stack([dilated, separable], dim=1))

    def _structure(self, graph: GraphInputs) -> torch.Tensor:
        """Longest path, additions and concatenations `(B, 3)`; 0 where they are not configured.

        Raises:
            ValueError: they are configured, but the batch does not have them.
        """
        if not self.use_exact_numbers:
            return torch.zeros(len(graph.node_ids), 3, dtype=torch.float64, device=graph.node_ids.device)
        if graph.graph_counts is None:
            raise ValueError("captions need graph_counts: the processor of this model makes them (exact_numbers)")
        return graph.graph_counts.double()

    @staticmethod
    def _sizes(graph: GraphInputs) -> torch.Tensor:
        """Nodes, edges and parameters `(B, 3)` of the whole graphs; 0 where they are not told."""
        if graph.graph_features is None:
            return torch.zeros(len(graph.node_ids), 3, dtype=torch.float64, device=graph.node_ids.device)
        return graph.graph_features.double().expm1().round()

    def _ranks(self, ops: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        is_layer = torch.cat([self.categories.sum(dim=1), self.categories.new_ones(2)])
        counts = torch.cat([ops, own], dim=1) * is_layer  # (B, O + 2)
        scores = torch.where(counts > 0, counts + self.name_order, torch.zeros_like(counts))
        order = scores.argsort(dim=1, descending=True)
        places = torch.arange(1, scores.shape[1] + 1, device=ops.device).expand_as(order)
        ranks = torch.zeros_like(order).scatter(1, order, places) * (counts > 0)
        ranks = ranks.masked_fill(ranks > MAX_RANK, 0)
        between = ranks.new_zeros(len(ranks), len(self.names))
        rest = ranks.new_zeros(len(ranks), len(OTHERS) - 2)
        return torch.cat([ranks[:, : len(self.ops)], between, ranks[:, len(self.ops) :], rest], dim=1)


class ArchBertStatedFacts(nn.Module):
    """The rows `stated_facts (B, S, 6)` of a batch as tokens; names and digits are embedded as in the tallies.

    Columns: kind of the fact, two layers that it is about, a number, which of several blocks or ends it belongs to,
    and its place among facts of its kind.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kinds = nn.Embedding(STATED_KINDS, width, padding_idx=0)
        self.places = nn.Embedding(STATED_PLACES, width)
        self.other = nn.Parameter(torch.ones(width))

    def initialize(self) -> None:
        """Set the initial weights; the second layer of a fact begins as the first one's name with changed signs."""
        for table in (self.kinds, self.places):
            init.normal_(table.weight, std=NUMBER_STD)
        init.zeros_(self.kinds.weight[0])
        init.copy_(self.other, 1.0 - 2.0 * (torch.arange(len(self.other)) % 2))

    def forward(
        self, graph: GraphInputs, tallies: ArchBertTallies, op_embeddings: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens `(B, S, d)`, and their bias `(B, S)` as in `GraphTokens`.

        Args:
            graph: the batch.
            tallies: of the decoder.
            op_embeddings: `(O, d)`, what the graph encoder embeds ops by.

        Raises:
            ValueError: the batch has no `stated_facts`.
        """
        if graph.stated_facts is None:
            raise ValueError("captions need stated_facts: the processor of this model makes them (stated_facts)")
        kind, op, other, number, place, rank = graph.stated_facts.unbind(-1)
        names = tallies.layer_names(op_embeddings)
        op_names, other_names = (names[ids] * (ids > 0).unsqueeze(-1) for ids in (op, other))
        digits = tallies.digits(number.double()) * (number > 0).unsqueeze(-1)
        states = self.kinds(kind) + self.places(place) + tallies.ranks(rank) + op_names + other_names * self.other
        bias = torch.zeros(kind.shape, device=kind.device).masked_fill(kind == 0, MASK_BIAS)
        return tallies.LayerNorm(states + digits), bias


_OWN_KINDS = (DILATED, SEPARABLE)
