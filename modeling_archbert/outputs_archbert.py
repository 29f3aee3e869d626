"""What the models return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from transformers.utils import ModelOutput


class TextEncoding(NamedTuple):
    """An encoded batch of texts: `states (B, T, d)`, `mask (B, T)`, `embeds (B, d)` (J_t in the paper).

    `numbers (B, T)`: the logarithm of one plus the number that a word piece belongs to, -1 without one.
    """

    states: torch.Tensor
    mask: torch.Tensor
    embeds: torch.Tensor
    numbers: torch.Tensor | None = None


class GraphTokens(NamedTuple):
    """Tokens of a batch of graphs, nodes first, then the graph's own token, then its blocks.

    `states (B, M, d)`; `bias (B, M)` float, what attention adds to a key: log of the nodes that it stands for, or a
    large negative number on padding; `weights (B, N)` float: how many nodes each of the N node tokens stands for.
    """

    states: torch.Tensor
    bias: torch.Tensor
    weights: torch.Tensor


class ArchitectureEncoding(NamedTuple):
    """An encoded batch of architectures: its tokens after the shared encoder, and `embeds (B, d)` (J_g)."""

    tokens: GraphTokens
    embeds: torch.Tensor


@dataclass
class ArchBertModelOutput(ModelOutput):
    """Output of `ArchBertModel`; a side that was not given is `None`.

    Attributes:
        text_embeds: `(B, d)`, J_t of eq. 2, one per text.
        architecture_embeds: `(B, d)`, J_g of eq. 2, one per architecture.
        similarity: `(B,)` cosine of each pair (`(P,)` where indices were given).
        text_last_hidden_state: `(B, T, d)` of the shared encoder.
        node_last_hidden_state: `(B, N, d)` of the shared encoder, node tokens only.
    """

    text_embeds: torch.Tensor | None = None
    architecture_embeds: torch.Tensor | None = None
    similarity: torch.Tensor | None = None
    text_last_hidden_state: torch.Tensor | None = None
    node_last_hidden_state: torch.Tensor | None = None


@dataclass
class ArchBertForPreTrainingOutput(ModelOutput):
    """Output of `ArchBertForPreTraining`.

    Attributes:
        loss: the weighted sum of the parts that have labels (eqs. 5 and 7).
        similarity_loss, contrastive_loss, clone_loss, reasoning_loss, reading_loss, mam_loss, answer_loss,
            caption_loss: the parts, before weighting.
        similarity: `(P,)` cosine of each pair.
        similarity_logits: `(P,)`; its sigmoid is the probability that the text is right about the architecture.
        reasoning_logits: `(P,)`, the same by cross attention (`use_reasoning_head`); NaN for pairs that are left out.
        mam_logits: `(B, N, num_ops)`, where nodes were masked.
        mam_labels: `(B, N)` op ids at masked nodes, -100 elsewhere.
        logits: `(P, num_labels)` of answers, where `labels` were given.
        text_embeds, architecture_embeds: as in `ArchBertModelOutput`.
    """

    loss: torch.Tensor | None = None
    similarity_loss: torch.Tensor | None = None
    contrastive_loss: torch.Tensor | None = None
    clone_loss: torch.Tensor | None = None
    reasoning_loss: torch.Tensor | None = None
    reading_loss: torch.Tensor | None = None
    mam_loss: torch.Tensor | None = None
    answer_loss: torch.Tensor | None = None
    caption_loss: torch.Tensor | None = None
    similarity: torch.Tensor | None = None
    similarity_logits: torch.Tensor | None = None
    reasoning_logits: torch.Tensor | None = None
    mam_logits: torch.Tensor | None = None
    mam_labels: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    architecture_embeds: torch.Tensor | None = None


@dataclass
class ArchBertAnswerOutput(ModelOutput):
    """Output of `ArchBertForSequenceClassification`.

    Attributes:
        loss: where `labels` were given.
        logits: `(P, num_labels)`, calibrated outside training.
        node_scores: `(P, N)` from 0 to 1, how much each node speaks for the answers given (`output_evidence=True`).
        topic_logits: `(P, 1 + topics)`, which of `config.question_topics` each question asks for, 0 for none.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    node_scores: torch.Tensor | None = None
    topic_logits: torch.Tensor | None = None
