"""The small heads beside the encoder, and what pre-training does to pairs and nodes.

Shapes: B graphs, N node tokens, P pairs, A answers, d width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from transformers import initialization as init

from .configuration_archbert import MASK_OP_ID, SPECIAL_OPS
from .fusion_archbert import ArchBertCrossAttentionHead, ArchBertProductHead, mean_pool
from .graph_inputs_archbert import GraphInputs
from .outputs_archbert import ArchitectureEncoding, TextEncoding
from .reasoning_archbert import ArchBertReasoningHead, StatementReading, pointing_loss

IGNORED = -100
"""Label of what no loss looks at."""
CLONE_SCALE, CLONE_MIDDLE = 12.0, 0.5
"""Of cosines between architectures: their scale in the loss, and where alike begins (the paper's threshold)."""
SAME_NUMBER = 0.06
"""Logarithms of two numbers that differ by less are of one number, said roughly perhaps."""
TOPIC_DROPOUT = 0.3
INITIAL_LOG_SCALE = 3.0
"""Of the similarity: the cosines of an untrained encoder differ little, a small scale would hide their gradient."""


class ArchBertSimilarityHead(nn.Module):
    """Cosine -> logit by a learned scale and bias."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(INITIAL_LOG_SCALE))
        self.bias = nn.Parameter(torch.tensor(0.0))

    def initialize(self) -> None:
        """Set the initial scale and bias."""
        init.constant_(self.log_scale, INITIAL_LOG_SCALE)
        init.constant_(self.bias, 0.0)

    def forward(self, similarity: torch.Tensor) -> torch.Tensor:
        return similarity * self.log_scale.float().exp() + self.bias.float()


class ArchBertMAMHead(nn.Module):
    """H_M of eq. 4: node states `(B, N, d)` -> logits over the op vocabulary, by the embeddings of the ops."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.text_config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.num_ops))

    def initialize(self) -> None:
        """Set the initial bias."""
        init.zeros_(self.bias)

    def forward(self, states: torch.Tensor, op_embeddings: torch.Tensor) -> torch.Tensor:
        """States `(B, N, d)` and the table of ops `(O, d)` -> logits `(B, N, O)`."""
        states = self.LayerNorm(nn.functional.gelu(self.dense(states)))
        return nn.functional.linear(states, op_embeddings.to(states.dtype), self.bias.to(states.dtype))


class ArchBertAnswerHead(nn.Module):
    """Question answering by the fusion that the configuration names."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        product = config.fusion == "product"
        self.product = ArchBertProductHead(config) if product else None
        self.cross_attention = None if product else ArchBertCrossAttentionHead(config)

    def forward(
        self,
        text: TextEncoding,
        architecture: ArchitectureEncoding,
        graph: GraphInputs,
        texts: torch.Tensor,
        rows: torch.Tensor,
        output_evidence: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits `(P, A)` and evidence `(P, N)` of the pairs of `texts (P,)` and `rows (P,)` of graphs."""
        if self.cross_attention is None:
            assert self.product is not None
            return self.product(text.embeds[texts], architecture.embeds[rows]).float(), None
        questions = mean_pool(text.states, text.mask)[texts]
        return self.cross_attention(questions, rows, architecture.tokens, graph, output_evidence)

    def reason(
        self,
        head: ArchBertReasoningHead,
        text: TextEncoding,
        architecture: ArchitectureEncoding,
        graph: GraphInputs,
        texts: torch.Tensor,
        rows: torch.Tensor,
        slot_labels: torch.Tensor | None = None,
        claim_labels: torch.Tensor | None = None,
        value_labels: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits `(P,)` of statements `texts (P,)` about `rows (P,)` of graphs, after the layers of the fusion.

        Also the loss of reading, where `slot_labels (U, S, A)` say what the claims of the texts are about,
        `claim_labels (U, C)` of which type they are, or `value_labels (U, C)` which number they hold.
        """
        assert self.cross_attention is not None
        statements = mean_pool(text.states, text.mask)[texts]
        layout, states, _ = self.cross_attention.attend(statements, rows, architecture.tokens)
        reading, weights = head.read(text), architecture.tokens.weights
        links = None if self.cross_attention.copy is None else self.cross_attention.copy.links
        logits, relevance = head(reading.of(texts), layout, states, architecture.tokens, graph, links)
        losses = []
        if slot_labels is not None and links is not None:
            labels = layout.spread(slot_labels[texts].flatten(1)).unflatten(-1, slot_labels.shape[1:])
            losses.append(pointing_loss(relevance, labels.to(relevance.dtype), links, weights, graph))
        if claim_labels is not None:
            known = claim_labels != IGNORED
            types = nn.functional.cross_entropy(reading.types[known].float(), claim_labels[known], reduction="sum")
            losses.append(types / known.sum().clamp(min=1))
        if value_labels is not None:
            losses.append(_value_loss(reading, text.numbers, value_labels))
        return layout.collect(logits.unsqueeze(-1)).squeeze(-1), torch.stack(losses).sum() if losses else None


def _value_loss(reading: StatementReading, numbers: torch.Tensor | None, labels: torch.Tensor) -> torch.Tensor:
    """How far the numbers that claims hold are from `labels (U, C)`, and how little is pointed at them in the text."""
    known = labels >= 0
    wanted = labels[known].log1p()
    losses = nn.functional.smooth_l1_loss(reading.values[known], wanted, reduction="none")
    if numbers is not None and len(wanted):
        stated = numbers.unsqueeze(1).expand(reading.pointed.shape)[known]
        meant = (stated >= 0) & ((stated - wanted.unsqueeze(-1)).abs() < SAME_NUMBER)
        share = (reading.pointed[known] * meant).sum(dim=-1)
        losses = losses - torch.where(meant.any(dim=-1), share.clamp(min=1e-6).log(), 0.0)
    return losses.sum() / known.sum().clamp(min=1)


class ArchBertTopicHead(nn.Module):
    """Which of `config.question_topics` a question asks for: texts -> logits `(U, 1 + topics)`, 0 is none of them.

    The answer itself is then looked up in the graph, so numbers of networks are never classes.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.topic_hidden_size)
        self.dropout = nn.Dropout(TOPIC_DROPOUT)
        self.classifier = nn.Linear(config.topic_hidden_size, 1 + len(config.question_topics))

    def forward(self, text: TextEncoding) -> torch.Tensor:
        """Questions -> float32 logits."""
        return self.classify(mean_pool(text.states, text.mask))

    def classify(self, means: torch.Tensor) -> torch.Tensor:
        """Means `(U, d)` of the states of questions -> float32 logits."""
        return self.classifier(self.dropout(nn.functional.gelu(self.dense(means)))).float()


def weighted_mean(losses: torch.Tensor, known: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Mean of the losses `(P,)` of known pairs, each counted by its weight; 0 where nothing is known."""
    share = known.to(losses.dtype) if weights is None else known * weights.to(losses.dtype)
    return (losses * share).sum() / share.sum().clamp(min=torch.finfo(losses.dtype).tiny)


def contrastive_loss(
    similarity: torch.Tensor, labels: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """For each text, how unlikely it is to choose an architecture that it is right about, among all that it has.

    Args:
        similarity: `(P,)` cosines.
        labels: `(P,)`, above one half for right, NaN for pairs that are left out.
        texts: `(P,)` int64, the text of each pair.
        scale: of the cosines, before the softmax.

    Returns:
        The mean over texts that are right about some of their architectures and wrong about others; 0 without any.
    """
    known = ~labels.isnan()
    logits, right, texts = similarity[known].float() * scale.float(), labels[known] > 0.5, texts[known]
    if not len(logits):
        return similarity.float().sum() * 0.0
    shares = (logits - scale.float()).exp()  # a cosine is at most 1
    sums = logits.new_zeros(2, int(texts.max()) + 1).index_add(1, texts, torch.stack([shares, shares * right]))
    counts = logits.new_zeros(2, sums.shape[1])
    counts = counts.index_add(1, texts, torch.stack([right, ~right]).to(counts.dtype))
    decided = (counts > 0).all(dim=0)
    losses = sums[0, decided].log() - sums[1, decided].log()
    return losses.sum() / decided.sum().clamp(min=1)


def clone_loss(embeds: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """How badly cosines tell architectures that are alike from others: around `CLONE_MIDDLE`, and by rank.

    Args:
        embeds: `(B, d)`, J_g.
        labels: `(B, B)`, 1 for alike, 0 for not alike, NaN where that is not known; the diagonal is left out.

    Returns:
        The mean of a binary cross entropy in which both sides count equally, and of `contrastive_loss`.
    """
    units = nn.functional.normalize(embeds.float(), dim=-1)
    off_diagonal = ~torch.eye(len(units), dtype=torch.bool, device=units.device)
    cosines, labels = (units @ units.T)[off_diagonal], labels.float()[off_diagonal]
    rows = torch.arange(len(units), device=units.device).repeat_interleave(len(units) - 1)
    losses = nn.functional.binary_cross_entropy_with_logits(
        CLONE_SCALE * (cosines - CLONE_MIDDLE), labels.nan_to_num(0.0), reduction="none"
    )
    sides = [(labels == side).to(losses.dtype) for side in (0, 1)]
    halves = [(losses * side).sum() / side.sum().clamp(min=1) for side in sides]
    return torch.stack(halves).mean() + contrastive_loss(cosines, labels, rows, cosines.new_tensor(CLONE_SCALE))


def cosine(text_embeds: torch.Tensor, architecture_embeds: torch.Tensor) -> torch.Tensor:
    """The cosine of eq. 3, in float32."""
    return nn.functional.cosine_similarity(text_embeds.float(), architecture_embeds.float(), dim=-1, eps=1e-8)


def calibrate(logits: torch.Tensor, config: Any, training: bool) -> torch.Tensor:
    """Apply the calibration of answers, outside training."""
    return logits if training else logits * config.answer_scale + config.answer_bias


def mask_nodes(graph: GraphInputs, config: Any) -> tuple[GraphInputs, torch.Tensor]:
    """Mask tokens of nodes as BERT masks words: of those drawn, 80% become `[MASK]`, 10% another op, 10% stay.

    Ops outside the vocabulary are never drawn. Positions come from torch's generator, so they differ in every step
    and are repeated by a seed.

    Returns:
        The graph with new `node_ids`, and the labels `(B, N)`: ids at drawn nodes, -100 elsewhere.
    """
    ids = graph.node_ids
    candidates = graph.mask & (ids >= len(SPECIAL_OPS))
    if graph.op_piece_mask is not None:
        candidates = candidates & ~graph.op_piece_mask.bool().any(dim=-1)
    drawn_rows = torch.rand(len(ids), 1, device=ids.device) < config.mam_graph_fraction
    drawn = (torch.rand(ids.shape, device=ids.device) < config.mam_probability) & drawn_rows & candidates
    fate = torch.rand(ids.shape, device=ids.device)
    others = torch.randint(len(SPECIAL_OPS), config.num_ops, ids.shape, device=ids.device)
    masked = ids.masked_fill(drawn & (fate < 0.8), MASK_OP_ID)
    masked = torch.where(drawn & (fate >= 0.9), others, masked)
    return replace(graph, node_ids=masked), ids.masked_fill(~drawn, IGNORED)
