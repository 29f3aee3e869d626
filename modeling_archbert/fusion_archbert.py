"""Pooling, and the two heads that answer questions: product (eq. 6) and cross-attention over the graph's tokens.

Everything here weighs a node token by the number of nodes that it stands for, so a folded graph gives what the
unfolded one gives.

Shapes: B graphs, N node tokens, M tokens (nodes, graph, blocks), P pairs of a question and a graph, Q the most pairs
of one graph, A answers, G groups of answers, d width.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN

from .configuration_archbert import CONVOLUTION_KINDS
from .graph_encoder_archbert import MASK_BIAS
from .graph_inputs_archbert import GraphInputs
from .outputs_archbert import GraphTokens

KERNEL_H, KERNEL_W, DILATION_H, DILATION_W, GROUPS = 1, 2, 5, 6, 7
"""Columns of `node_attributes` that links of answers look at; small numbers are their own buckets."""
IN_PER_GROUP = 1
"""Column of `node_shapes`: input channels of a convolution, per group."""
DILATED, SEPARABLE, PLAIN = (CONVOLUTION_KINDS.index(kind) for kind in ("dilated", "separable", "plain"))

RELEVANCE_BOUND = 12.0
"""Relevances lie within plus and minus this, so that their exponentials neither overflow nor vanish."""
RARE_ANSWER_LOGIT = -4.0
"""First logit of every answer of a multi-label head: nearly all are wrong for a given question."""


def mean_pool(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean of `states (B, N, d)` by `weights (B, N)`: `(B, d)`."""
    weights = weights.to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class ArchBertAttentionPooling(nn.Module):
    """Nodes -> J_g by mean, maximum, learned queries and the graph's own token, joined by one linear map."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_queries = config.num_pooling_queries
        self.queries = nn.Linear(width, self.num_queries)
        self.values = nn.Linear(width, width)
        self.use_graph_token = config.use_graph_token
        self.join = nn.Linear((4 if config.use_graph_token else 3) * width, width)

    def forward(self, tokens: GraphTokens) -> torch.Tensor:
        """Tokens after the shared encoder -> `(B, d)`."""
        num_nodes = tokens.weights.shape[1]
        nodes, bias = tokens.states[:, :num_nodes], tokens.bias[:, :num_nodes, None]
        attention = (self.queries(nodes).float() + bias).softmax(dim=1).to(nodes.dtype)  # (B, N, queries)
        values = self.values(nodes).unflatten(-1, (self.num_queries, -1))  # (B, N, queries, d / queries)
        attended = torch.einsum("bnq,bnqc->bqc", attention, values).flatten(1)
        greatest = nodes.masked_fill(tokens.weights.unsqueeze(-1) == 0, MASK_BIAS).amax(dim=1)
        parts = [mean_pool(nodes, tokens.weights), greatest, attended]
        if self.use_graph_token:
            parts.append(tokens.states[:, num_nodes])
        return self.join(torch.cat([part.to(nodes.dtype) for part in parts], dim=-1))


class PairLayout(NamedTuple):
    """Where each of P pairs stands in a table with one row per graph: `rows (P,)`, `slots (P,)`, `shape` (B, Q)."""

    rows: torch.Tensor
    slots: torch.Tensor
    shape: tuple[int, int]

    @classmethod
    def build(cls, rows: torch.Tensor, num_rows: int) -> PairLayout:
        """Number the pairs of each row in the order in which they come."""
        counts = torch.bincount(rows, minlength=num_rows)
        order = rows.argsort(stable=True)
        starts = counts.cumsum(0) - counts
        slots = torch.empty_like(rows)
        slots[order] = torch.arange(len(rows), device=rows.device) - starts[rows[order]]
        return cls(rows, slots, (num_rows, max(1, int(counts.max()))))

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """`(P, d)` -> `(B, Q, d)`, zero where there is no pair."""
        return values.new_zeros(*self.shape, values.shape[-1]).index_put((self.rows, self.slots), values)

    def collect(self, table: torch.Tensor) -> torch.Tensor:
        """`(B, Q, ...)` -> `(P, ...)`."""
        return table[self.rows, self.slots]


class ArchBertAnswerLogits(nn.Linear):
    """The last linear map of a head; every answer of a multi-label head starts as a rare one."""

    def __init__(self, config: Any) -> None:
        super().__init__(config.hidden_size, config.num_labels)
        self.multi_label = config.problem_type in (None, "multi_label_classification")

    def initialize(self) -> None:
        """Set the initial bias."""
        if self.multi_label:
            init.constant_(self.bias, RARE_ANSWER_LOGIT)


class ArchBertAnswerMLP(nn.Module):
    """Two layers from a joint embedding `(..., d)` to logits `(..., A)`."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.text_config.hidden_dropout_prob)
        self.logits = ArchBertAnswerLogits(config)

    def forward(self, joint: torch.Tensor) -> torch.Tensor:
        return self.logits(self.dropout(nn.functional.gelu(self.dense(joint))))


class ArchBertFusionLayer(nn.Module):
    """One layer in which questions `(B, Q, d)` attend over the tokens of their graph."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        text, width = config.text_config, config.hidden_size
        self.num_heads = config.fusion_heads or text.num_attention_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.attention_LayerNorm = nn.LayerNorm(width, eps=text.layer_norm_eps)
        inner = config.fusion_intermediate_size or text.intermediate_size
        self.feed_forward = nn.Sequential(
            nn.Linear(width, inner),
            ACT2FN[text.hidden_act],
            nn.Linear(inner, width),
            nn.Dropout(text.hidden_dropout_prob),
        )
        self.output_LayerNorm = nn.LayerNorm(width, eps=text.layer_norm_eps)
        self.dropout = nn.Dropout(text.hidden_dropout_prob)
        self.attention_dropout = nn.Dropout(text.attention_probs_dropout_prob)

    def forward(self, questions: torch.Tensor, tokens: GraphTokens) -> tuple[torch.Tensor, torch.Tensor]:
        """Questions after the layer, and attention `(B, heads, Q, M)`."""
        query = self.query(questions).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, heads, Q, d / heads)
        keys, values = self.key_value(tokens.states).chunk(2, dim=-1)
        keys = keys.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        values = values.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        scores = query @ keys.transpose(2, 3) * query.shape[-1] ** -0.5
        attention = (scores.float() + tokens.bias[:, None, None, :]).softmax(dim=-1)
        attended = (self.attention_dropout(attention).to(values.dtype) @ values).transpose(1, 2).flatten(2)
        questions = self.attention_LayerNorm(questions + self.dropout(self.output(attended)))
        return self.output_LayerNorm(questions + self.feed_forward(questions)), attention


class ArchBertCopy(nn.Module):
    """What the nodes say about the answers that are linked to them (`ArchBertConfig.answer_links`).

    For each group of answers, a bilinear form says how relevant a node is for the question. An answer gets the mean
    relevance of its nodes, weighted by the exponential of it (a soft maximum), times a scale that the question
    chooses; an answer whose nodes the graph does not have gets a value that the question chooses.
    """

    links: torch.Tensor

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.register_buffer("links", links_of(config), persistent=False)
        self.config_links = config.answer_links
        self.num_groups = 1 + max(0, max(link[-1] for link in config.answer_links))
        self.size = config.relevance_size
        self.query = nn.Linear(config.hidden_size, self.num_groups * self.size)
        self.key = nn.Linear(config.hidden_size, self.num_groups * self.size)
        self.gates = nn.Linear(config.hidden_size, 2 * self.num_groups)

    def initialize(self) -> None:
        """Set the buffer of links, which is not saved."""
        init.copy_(self.links, torch.tensor(self.config_links))

    def forward(
        self, questions: torch.Tensor, tokens: GraphTokens, graph: GraphInputs
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Look up what the nodes say to questions `(B, Q, d)`.

        Returns:
            What to add to the logits `(B, Q, A)`, relevances `(B, G, Q, N)`, and which nodes each answer is linked to,
            `(B, N, A)` bool.
        """
        num_nodes = tokens.weights.shape[1]
        query = self.query(questions).unflatten(-1, (self.num_groups, self.size)).transpose(1, 2)
        key = self.key(tokens.states[:, :num_nodes]).unflatten(-1, (self.num_groups, self.size)).transpose(1, 2)
        raw = (query @ key.transpose(2, 3)).float() * self.size**-0.5  # (B, G, Q, N)
        relevance = RELEVANCE_BOUND * torch.tanh(raw / RELEVANCE_BOUND)
        matches = match_links(self.links, graph) * (tokens.weights > 0).unsqueeze(-1)  # (B, N, A)
        scales, absences = self.gates(questions).float().chunk(2, dim=-1)  # (B, Q, G) each
        weights = relevance.exp() * tokens.weights[:, None, None, :]
        added = torch.zeros(*questions.shape[:2], len(self.links), device=questions.device)
        for group in range(self.num_groups):
            answers = (self.links[:, -1] == group).nonzero().flatten()
            linked = matches[:, :, answers].to(weights.dtype)
            with torch.autocast(device_type=questions.device.type, enabled=False):
                total = weights[:, group] @ linked  # (B, Q, answers of the group)
                mean = (weights[:, group] * relevance[:, group]) @ linked / total.clamp(min=1e-20)
            present = (linked.sum(dim=1, keepdim=True) > 0).to(mean.dtype)
            scale, absence = scales[:, :, group, None], absences[:, :, group, None]
            added = added.index_add(2, answers, present * (1 + scale) * mean + (1 - present) * absence)
        return added, relevance, matches


def match_links(links: torch.Tensor, graph: GraphInputs) -> torch.Tensor:
    """Which nodes each answer is linked to by `links (A, columns)`: `(B, N, A)` bool."""
    op, kernel_h, kernel_w, kind, group = links.unbind(-1)
    matches = ((graph.node_ids.unsqueeze(-1) == op) | (op < 0)) & (group >= 0)
    if graph.node_attributes is None:
        return matches & (kernel_h <= 0) & (kernel_w <= 0) & (kind == 0)
    attributes = graph.node_attributes
    matches = matches & ((attributes[..., KERNEL_H, None] == kernel_h) | (kernel_h <= 0))
    matches = matches & ((attributes[..., KERNEL_W, None] == kernel_w) | (kernel_w <= 0))
    return matches & ((convolution_kinds(graph).unsqueeze(-1) == kind) | (kind == 0))


def convolution_kinds(graph: GraphInputs) -> torch.Tensor:
    """Kind code `(B, N)` that each node would have if it is a convolution.

    Separable is the pointwise convolution whose predecessor is a depthwise one: that is seen from predecessors alone,
    so it is the same for all nodes of a colour. The depthwise one has no kind (0): it may also stand by itself.
    """
    assert graph.node_attributes is not None
    columns = graph.node_attributes.unbind(-1)
    dilated = (columns[DILATION_H] > 1) | (columns[DILATION_W] > 1)
    grouped = columns[GROUPS] > 1
    depthwise = grouped & ~dilated
    if graph.node_shapes is not None:
        depthwise = depthwise & (graph.node_shapes[..., IN_PER_GROUP] == 1)
    after = torch.zeros_like(graph.node_ids)
    if graph.edge_index is not None:
        source, target = graph.edge_index.unbind(-1)
        from_depthwise = depthwise.long().gather(1, source)
        if graph.edge_mask is not None:
            from_depthwise = from_depthwise * (graph.edge_mask == 1).long()
        after = after.scatter_add(1, target, from_depthwise)
    pointwise = (columns[KERNEL_H] == 1) & (columns[KERNEL_W] == 1) & ~grouped
    kinds = torch.full_like(graph.node_ids, PLAIN).masked_fill(depthwise, 0)
    return kinds.masked_fill(pointwise & (after > 0), SEPARABLE).masked_fill(dilated, DILATED)


class ArchBertProductHead(nn.Module):
    """Eq. 6: two layers on the element-wise product of J_t and J_g."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.classifier = ArchBertAnswerMLP(config)

    def forward(self, text_embeds: torch.Tensor, architecture_embeds: torch.Tensor) -> torch.Tensor:
        """`(P, d)` twice -> logits `(P, A)`."""
        return self.classifier(text_embeds * architecture_embeds)


class ArchBertCrossAttentionHead(nn.Module):
    """The question attends over the tokens of the graph; keys and values are made once per graph, not per question."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList([ArchBertFusionLayer(config) for _ in range(config.num_fusion_layers)])
        self.classifier = ArchBertAnswerMLP(config)
        self.copy: ArchBertCopy | None = ArchBertCopy(config) if config.use_copy and config.answer_links else None

    def attend(
        self, questions: torch.Tensor, rows: torch.Tensor, tokens: GraphTokens
    ) -> tuple[PairLayout, torch.Tensor, torch.Tensor | None]:
        """Pooled texts `(P, d)` about graphs `rows (P,)` -> their layout, their states `(B, Q, d)` after the layers,
        and the attention `(B, heads, Q, M)` of the last one."""
        layout = PairLayout.build(rows, len(tokens.weights))
        states = layout.spread(questions)
        attention = None
        for layer in self.layers:
            states, attention = layer(states, tokens)
        return layout, states, attention

    def forward(
        self,
        questions: torch.Tensor,
        rows: torch.Tensor,
        tokens: GraphTokens,
        graph: GraphInputs,
        output_evidence: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Answer P questions about B graphs.

        Args:
            questions: `(P, d)` pooled questions.
            rows: `(P,)` int64, the graph that each question is about.
            tokens: the encoded graphs.
            graph: what they were encoded from.
            output_evidence: also say which nodes show the answers.

        Returns:
            Logits `(P, A)`, and from 0 to 1 how much each node speaks for the answers given, `(P, N)`.
        """
        layout, states, attention = self.attend(questions, rows, tokens)
        logits = self.classifier(states).float()
        evidence = None
        if self.copy is not None:
            added, relevance, matches = self.copy(states, tokens, graph)
            logits = logits + added
            if output_evidence:
                given = ((logits > 0) & (self.copy.links[:, -1] >= 0)).to(relevance.dtype)
                shown = given @ matches.to(given.dtype).transpose(1, 2) > 0  # (B, Q, N)
                evidence = relevance.amax(dim=1).sigmoid() * shown
        elif output_evidence and attention is not None:
            evidence = attention.mean(dim=1)[..., : tokens.weights.shape[1]]
        return layout.collect(logits), None if evidence is None else layout.collect(evidence)


def links_of(config: Any) -> torch.Tensor:
    """`ArchBertConfig.answer_links` as a tensor `(A, columns)` int64."""
    return torch.tensor(config.answer_links, dtype=torch.long)


SELF_INITIALIZING = (ArchBertAnswerLogits, ArchBertCopy)
"""Modules of this file with an `initialize` of their own."""
