"""The head that judges statements: claim by claim, it points from words to nodes and compares what it points at.

A statement such as "it has more Conv2d than Linear layers, and no pooling" is a conjunction of claims, and a claim
relates a subject to an object. So each of a few claims reads the words three times (subject, object, relation);
subject and object say of every node how well it fits (a soft predicate over op, attributes, kind of convolution and
context); and what the graph shows of them (is there one, how many, more than of the other, directly after the other)
is judged by a small network that the relation modulates. The statement is as likely as all its claims together.

Every token is weighed by the nodes that it stands for, so a folded graph gives what the unfolded one gives.

Shapes: U texts, T word pieces, B graphs, Q the most statements of one graph, C claims, S = 2 C slots (subject and
object of each claim in turn), N node tokens, E edges, R rank, H width of the judging network, d width.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import initialization as init

from .configuration_archbert import CONVOLUTION_KINDS
from .fusion_archbert import RELEVANCE_BOUND, PairLayout, convolution_kinds, match_links
from .graph_encoder_archbert import MASK_BIAS
from .graph_inputs_archbert import GraphInputs
from .outputs_archbert import GraphTokens, TextEncoding

NUM_CLAIMS, RANK, HIDDEN = 4, 48, 64
"""Claims that a statement may make, rank of the soft predicates, width of the judging network."""
NUM_SLOTS = 2 * NUM_CLAIMS
SHOWN = 20
"""Numbers that a graph shows of a claim: four each for subject and object, three on how they compare, and three each
on how the number in the claim compares with how many nodes the subject has, with all layers, and with parameters."""
SHARPNESS = (3.0, 20.0)
"""Of the comparison of two numbers, which are given by their logarithms."""
FIRST_VALUE = 5.0
"""First reading of the number in a claim, as the logarithm of one plus it."""
FOUND, COUNTED, REPEATED, COMPARED = 6, 9, 2, 2
"""Numbers on where the number in a claim occurs: at the nodes pointed at, exactly and roughly, among output sizes,
input sizes and attributes; how it compares with the longest path and the joins of the graph; among the repeats of its
blocks, exactly and roughly; and how it compares with the sizes of the nodes pointed at."""
POINTER_SIZE = 64
"""Width in which a claim chooses its number among those of the text."""
EXACT_BUCKETS, BUCKETS_PER_DOUBLING = 32, 8
"""Of the bucket ids of shapes and attributes: exact up to the first, then so many for each doubling."""
EXACT_ATTRIBUTES = 34
"""Buckets of attributes that predicates tell apart; larger ones look alike."""
FIRST_RELEVANCE = -3.0
"""First relevance of every node for every slot: few nodes are meant."""
PREDICATE_STD = 0.3
"""Of the initial tables of predicates; the usual 0.02 would leave relevances without gradient."""


class StatementReading(NamedTuple):
    """What U statements say.

    Attributes:
        queries: `(U, S * (R + 1))`, the predicates of subjects and objects.
        gates: `(U, C * 4 H)`, how relations modulate the judging network.
        types: `(U, C, 1 + claim types)`, logits of what kind of claim it is; the first one says that there is none.
        values: `(U, C)`, the logarithm of one plus the number in the claim.
        pointed: `(U, C, T)`, which of the numbers of the text that is; zeros where the text has none.
    """

    queries: torch.Tensor
    gates: torch.Tensor
    types: torch.Tensor
    values: torch.Tensor
    pointed: torch.Tensor

    def of(self, texts: torch.Tensor) -> StatementReading:
        """The readings of `texts (P,)`."""
        return StatementReading(*(values[texts] for values in self))


class ArchBertReasoningHead(nn.Module):
    """Is this statement right about this architecture? Beside the cosine, which reads one embedding of each."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.hidden_size
        self.roles = nn.Linear(width, 3 * NUM_CLAIMS)
        self.query = nn.Linear(width, RANK + 1)
        self.modulation = nn.Linear(width + 2 * (RANK + 1), 4 * HIDDEN)
        self.types = nn.Linear(width, 1 + max(1, len(config.claim_types or ())))
        self.value = nn.Linear(width, 1)
        self.ops = nn.Embedding(config.num_ops, RANK)
        self.kinds = nn.Embedding(len(CONVOLUTION_KINDS), RANK)
        self.num_attributes = config.num_attributes if config.use_attributes else 0
        self.attributes = nn.Embedding(max(1, self.num_attributes) * EXACT_ATTRIBUTES, RANK)
        self.context = nn.Linear(width, RANK)
        self.shown = nn.Linear(SHOWN, HIDDEN)
        self.found = nn.Linear(FOUND + COUNTED + REPEATED + COMPARED, HIDDEN) if config.reasoning_numbers else None
        self.number_query = nn.Linear(width, POINTER_SIZE) if config.reasoning_numbers else None
        self.number_key = nn.Linear(width, POINTER_SIZE) if config.reasoning_numbers else None
        self.attended = nn.Linear(width, HIDDEN)
        self.dense = nn.Linear(HIDDEN, HIDDEN)
        self.logit = nn.Linear(HIDDEN, 1)

    def initialize(self) -> None:
        """Set the initial tables of predicates."""
        for table in (self.ops, self.kinds, self.attributes):
            init.normal_(table.weight, std=PREDICATE_STD)

    def read(self, text: TextEncoding) -> StatementReading:
        """What each of U statements says; once per text, not per pair."""
        scores = self.roles(text.states).float().masked_fill(text.mask.unsqueeze(-1) == 0, MASK_BIAS)
        attention = scores.softmax(dim=1).to(text.states.dtype)  # (U, T, 3 C)
        roles = (attention.transpose(1, 2) @ text.states).unflatten(1, (NUM_CLAIMS, 3))  # (U, C, 3, d)
        queries, relations = self.query(roles[:, :, :2]).flatten(2), roles[:, :, 2]
        gates = self.modulation(torch.cat([relations, queries], dim=-1))
        values = FIRST_VALUE + self.value(relations).squeeze(-1).float()
        pointed = self._pointed(text, relations)
        if text.numbers is not None:
            copied = (pointed * text.numbers.unsqueeze(1)).sum(dim=-1)
            values = torch.where(pointed.sum(dim=-1) > 0.5, copied, values)
        return StatementReading(queries.flatten(1), gates.flatten(1), self.types(relations), values, pointed)

    def _pointed(self, text: TextEncoding, relations: torch.Tensor) -> torch.Tensor:
        """How much each claim means the number of each word piece: `(U, C, T)`, zeros without any number."""
        if self.number_query is None or self.number_key is None or text.numbers is None:
            return relations.new_zeros(*relations.shape[:2], text.mask.shape[1], dtype=torch.float32)
        scores = self.number_query(relations) @ self.number_key(text.states).transpose(1, 2)
        stated = ((text.numbers >= 0) & text.mask.bool()).unsqueeze(1)
        scores = (scores.float() / POINTER_SIZE**0.5).masked_fill(~stated, MASK_BIAS)
        return scores.softmax(dim=-1) * stated

    def forward(
        self,
        reading: StatementReading,
        layout: PairLayout,
        statements: torch.Tensor,
        tokens: GraphTokens,
        graph: GraphInputs,
        links: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Judge P statements.

        Args:
            reading: of the statement of each pair, `(P, ...)`.
            layout: where the pairs stand in tables of `(B, Q, ...)`.
            statements: `(B, Q, d)`, after attending over their graphs.
            tokens: the encoded graphs.
            graph: what they were encoded from.
            links: `(A, columns)`, see `ArchBertConfig.answer_links`; those of the first group say what a layer is.

        Returns:
            Logits `(B, Q)`, and how well each node fits each slot, `(B, Q, S, N)` logits.
        """
        kinds = convolution_kinds(graph) if graph.node_attributes is not None else torch.zeros_like(graph.node_ids)
        relevance = self.relevance(layout.spread(reading.queries), tokens, graph, kinds)
        sizes = _sizes(graph, tokens.weights, links)
        values = layout.spread(reading.values)
        shown = self.show(relevance, values, sizes, tokens.weights, graph, kinds)
        gates = layout.spread(reading.gates).unflatten(-1, (NUM_CLAIMS, -1))
        scale, shift, scale_2, shift_2 = gates.chunk(4, dim=-1)
        hidden = self.shown(shown.to(statements.dtype)) + self.attended(statements).unsqueeze(2)
        if self.found is not None:
            hidden = hidden + self.found(_found(relevance, values, tokens.weights, graph).to(statements.dtype))
        hidden = nn.functional.gelu(hidden * (1 + scale) + shift)
        hidden = nn.functional.gelu(self.dense(hidden) * (1 + scale_2) + shift_2)
        claims = nn.functional.logsigmoid(self.logit(hidden).squeeze(-1).float())  # (B, Q, C)
        absent = reading.types.float().softmax(dim=-1)[..., 0]
        return _log_odds(((1 - layout.spread(absent)) * claims).sum(dim=-1)), relevance

    def relevance(
        self, queries: torch.Tensor, tokens: GraphTokens, graph: GraphInputs, kinds: torch.Tensor
    ) -> torch.Tensor:
        """How well each node fits each slot: logits `(B, Q, S, N)` within plus and minus `RELEVANCE_BOUND`."""
        num_nodes = tokens.weights.shape[1]
        key = self.ops(graph.node_ids) + self.kinds(kinds) + self.context(tokens.states[:, :num_nodes])
        if self.num_attributes:
            assert graph.node_attributes is not None
            offsets = torch.arange(self.num_attributes, device=key.device) * EXACT_ATTRIBUTES
            buckets = graph.node_attributes.clamp(max=EXACT_ATTRIBUTES - 1) + offsets
            key = key + self.attributes(buckets).sum(dim=-2)
        queries = queries.unflatten(-1, (NUM_SLOTS, RANK + 1)).flatten(1, 2)  # (B, Q * S, R + 1)
        fit = (queries[..., :RANK] @ key.transpose(1, 2).to(queries.dtype)).float()
        raw = fit + queries[..., RANK:].float() + FIRST_RELEVANCE
        bounded = RELEVANCE_BOUND * torch.tanh(raw / RELEVANCE_BOUND)
        return bounded.unflatten(1, (-1, NUM_SLOTS))

    def show(
        self,
        relevance: torch.Tensor,
        values: torch.Tensor,
        sizes: torch.Tensor,
        weights: torch.Tensor,
        graph: GraphInputs,
        kinds: torch.Tensor,
    ) -> torch.Tensor:
        """What the graph shows of each claim: `(B, Q, C, SHOWN)`.

        Of subject and object: the best fit as logit and as probability, the log of how many nodes fit, and how that
        compares with the most frequent op of the graph. Of both: which has more; whether some node of one follows
        directly after a node of the other, both ways. Of the number `values (B, Q, C)`: how it compares with the
        nodes of the subject and with `sizes (B, 2)`.
        """
        padding = weights[:, None, None, :] == 0
        greatest = relevance.masked_fill(padding, -RELEVANCE_BOUND).amax(dim=-1)  # (B, Q, S)
        counts = (relevance.sigmoid() * weights[:, None, None, :]).sum(dim=-1).log1p()
        most = _most_frequent(graph, weights, kinds)[:, None, None].log1p()
        each = [greatest / RELEVANCE_BOUND, greatest.sigmoid(), counts / 4, torch.tanh(2 * (counts - most))]
        parts = [value.unflatten(-1, (NUM_CLAIMS, 2)) for value in each]
        parts.append(torch.tanh(4 * (counts[..., 0::2] - counts[..., 1::2])).unsqueeze(-1))
        known = [counts[..., 0::2], *(size.view(-1, 1, 1).expand_as(values) for size in sizes.unbind(-1))]
        differences = values.unsqueeze(-1) - torch.stack(known, dim=-1)  # (B, Q, C, 3)
        compared = [torch.tanh(differences), *((-((sharp * differences) ** 2)).exp() for sharp in SHARPNESS)]
        return torch.cat([*parts, _followed(relevance, graph), *compared], dim=-1)


def _found(relevance: torch.Tensor, values: torch.Tensor, weights: torch.Tensor, graph: GraphInputs) -> torch.Tensor:
    """Where the numbers `values (B, Q, C)` stand in the graph: `(B, Q, C, FOUND + COUNTED + REPEATED + COMPARED)`."""
    assert graph.node_shapes is not None and graph.node_attributes is not None
    fits = nn.functional.logsigmoid(relevance[:, :, 0::2])  # (B, Q, C, N)
    fits = fits.masked_fill(weights[:, None, None, :] == 0, -2 * RELEVANCE_BOUND)
    sizes = [_log_numbers(graph.node_shapes[..., column]) for column in (0, 1)]
    found, compared = [], []
    for known in (*(size.unsqueeze(-1) for size in sizes), _log_numbers(graph.node_attributes)):
        nearest = torch.stack([(values.unsqueeze(-1) - one[:, None, None]).abs() for one in known.unbind(-1)]).amin(0)
        found += [(fits - ((sharp * nearest) ** 2).clamp(max=50.0)).amax(dim=-1).exp() for sharp in SHARPNESS]
    shares = (fits + weights.clamp(min=1).log()[:, None, None, :]).softmax(dim=-1)
    for size in sizes:
        compared.append(torch.tanh(2 * (values - (shares * size[:, None, None]).sum(dim=-1))))
    return torch.cat([torch.stack([*found, *compared], dim=-1), _counted(values, graph), _repeated(values, graph)], -1)


def _counted(values: torch.Tensor, graph: GraphInputs) -> torch.Tensor:
    """How `values (B, Q, C)` compare with `graph_counts`: `(B, Q, C, COUNTED)`; zeros where these are not given."""
    if graph.graph_counts is None:
        return values.new_zeros(*values.shape, COUNTED)
    differences = values.unsqueeze(-1) - graph.graph_counts.to(values.dtype).log1p()[:, None, None]
    return torch.cat([torch.tanh(differences), *((-((sharp * differences) ** 2)).exp() for sharp in SHARPNESS)], -1)


def _repeated(values: torch.Tensor, graph: GraphInputs) -> torch.Tensor:
    """How near `values (B, Q, C)` are to how often some block is repeated: `(B, Q, C, REPEATED)`."""
    if graph.block_repeats is None or graph.block_mask is None or not graph.block_repeats.shape[1]:
        return values.new_zeros(*values.shape, REPEATED)
    known = _log_numbers(graph.block_repeats)[:, None, None]
    distances = (values.unsqueeze(-1) - known).abs().masked_fill(graph.block_mask[:, None, None] == 0, 50.0)
    nearest = distances.amin(dim=-1)
    return torch.stack([(-((sharp * nearest) ** 2)).exp() for sharp in SHARPNESS], dim=-1)


def _log_numbers(buckets: torch.Tensor) -> torch.Tensor:
    """Logarithm of one plus the greatest number of each bucket."""
    above = EXACT_BUCKETS * 2 ** ((buckets - EXACT_BUCKETS).clamp(min=0).float() / BUCKETS_PER_DOUBLING)
    return torch.where(buckets <= EXACT_BUCKETS, buckets.float(), above).log1p()


def _log_odds(log_probability: torch.Tensor) -> torch.Tensor:
    """Logit of a probability that is given by its logarithm."""
    log_probability = log_probability.clamp(max=-1e-6)
    return log_probability - torch.log(-torch.expm1(log_probability))


def _sizes(graph: GraphInputs, weights: torch.Tensor, links: torch.Tensor | None) -> torch.Tensor:
    """Logarithms of one plus the number of layers, and of one plus the number of parameters: `(B, 2)`."""
    layers = weights.new_zeros(len(weights))
    if links is not None:
        layers = (match_links(links[links[:, -1] == 0], graph).any(dim=-1) * weights).sum(dim=-1)
    parameters = torch.zeros_like(layers) if graph.graph_features is None else graph.graph_features[:, 2].float()
    return torch.stack([layers.log1p(), parameters], dim=-1)


def _most_frequent(graph: GraphInputs, weights: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
    """How often the most frequent pair of op and kind of convolution occurs: `(B,)`."""
    cells = graph.node_ids * len(CONVOLUTION_KINDS) + kinds
    counts = weights.new_zeros(len(weights), int(cells.max()) + 1)
    return counts.scatter_add(1, cells, weights).amax(dim=1)


def _followed(relevance: torch.Tensor, graph: GraphInputs) -> torch.Tensor:
    """Whether some edge leads from a node of the subject to one of the object, and back: `(B, Q, C, 2)`."""
    if graph.edge_index is None or not graph.edge_index.shape[1]:
        return relevance.new_zeros(*relevance.shape[:2], NUM_CLAIMS, 2)
    fits = nn.functional.logsigmoid(relevance)
    b, q, s, _ = relevance.shape
    ends = (graph.edge_index[..., side].view(b, 1, 1, -1).expand(b, q, s, -1) for side in (0, 1))
    source, target = (fits.gather(3, index).unflatten(2, (NUM_CLAIMS, 2)) for index in ends)  # (B, Q, C, 2, E)
    both = source + target.flip(3)
    if graph.edge_mask is not None:
        both = both.masked_fill(graph.edge_mask.view(b, 1, 1, 1, -1) == 0, -2 * RELEVANCE_BOUND)
    return both.amax(dim=-1).exp()


def pointing_loss(
    relevance: torch.Tensor, labels: torch.Tensor, links: torch.Tensor, weights: torch.Tensor, graph: GraphInputs
) -> torch.Tensor:
    """How far slots are from the nodes that they are to point at; nodes that fit and others count equally.

    Args:
        relevance: `(B, Q, S, N)`, logits.
        labels: `(B, Q, S, A)`, 1 for the answers that a slot is about, below 0 where that is not known. A node fits
            when it is linked to one of these answers in each group of answers that they belong to.
        links: `(A, columns)`, see `ArchBertConfig.answer_links`.
        weights: `(B, N)`, 0 on padding.
        graph: the graphs.
    """
    matches = match_links(links, graph).to(labels.dtype)  # (B, N, A)
    fits = torch.ones_like(relevance, dtype=torch.bool)
    for group in links[:, -1].unique().tolist():
        chosen = labels.clamp(min=0) * (links[:, -1] == group)
        reached = torch.einsum("bqsa,bna->bqsn", chosen, matches) > 0
        fits &= reached | (chosen.sum(dim=-1, keepdim=True) == 0)
    known = ((labels.amax(dim=-1) > 0).unsqueeze(-1) & (weights > 0)[:, None, None, :]).to(relevance.dtype)
    losses = nn.functional.binary_cross_entropy_with_logits(relevance, fits.to(relevance.dtype), reduction="none")
    sides = [known * fits, known * ~fits]
    return torch.stack([(losses * side).sum() / side.sum().clamp(min=1) for side in sides]).mean()
