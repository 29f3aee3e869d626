"""The language decoder (section 3.3): writes a caption word piece by word piece, reading the tokens of a graph.

* It attends over the same tokens that are pooled to J_g; a token that stands for n nodes weighs n times.
* Word pieces are embedded, and predicted, by the embedding that the text encoder has.
* `caption_token_ids` restricts what can be written to the word pieces of captions: the last product then costs little.
* A kind (length and style) is said by an embedding that is added to every place.

Shapes: B graphs, M memory tokens, C captions, L places, H heads, V word pieces, d width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.cache_utils import EncoderDecoderCache
from transformers.utils import ModelOutput

from .graph_encoder_archbert import MASK_BIAS
from .graph_inputs_archbert import GraphInputs
from .outputs_archbert import GraphTokens
from .tallies_archbert import ArchBertDigits, ArchBertStatedFacts, ArchBertTallies

IGNORED = -100


@dataclass
class ArchBertMemoryOutput(ModelOutput):
    """What the decoder reads.

    Attributes:
        last_hidden_state: `(B, M, d)`.
        memory_bias: `(B, M)` float, what attention adds to each key.
    """

    last_hidden_state: torch.Tensor | None = None
    memory_bias: torch.Tensor | None = None


class ArchBertDecoderAttention(nn.Module):
    """Multi-head attention of places over places, or over the memory of their graph."""

    def __init__(self, config: Any, layer: int, cross: bool) -> None:
        super().__init__()
        width, text = config.hidden_size, config.text_config
        self.layer, self.cross = layer, cross
        self.num_heads = config.decoder_heads or text.num_attention_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.dropout = text.attention_probs_dropout_prob

    def forward(
        self,
        states: torch.Tensor,
        source: torch.Tensor,
        bias: torch.Tensor,
        rows: torch.Tensor | None,
        cache: EncoderDecoderCache | None,
    ) -> torch.Tensor:
        """Attend from `states (C, L, d)` to `source`: the states themselves, or the memory `(B, M, d)`.

        Args:
            states: `(C, L, d)`.
            source: what keys and values are made of, where the cache does not have them.
            bias: `(C, 1, 1 or L, keys)`, added to the scores.
            rows: `(C,)` int64, the row of the memory that each caption is about; `None` for row by row.
            cache: keys and values of earlier places and of the memory.
        """
        query = self._heads(self.query(states))
        if self.cross and cache is not None and cache.is_updated.get(self.layer):
            kept = cache.cross_attention_cache.layers[self.layer]
            key, value = kept.keys, kept.values
        else:
            key, value = (self._heads(part) for part in self.key_value(source).chunk(2, dim=-1))
            if rows is not None:
                key, value = key[rows], value[rows]
            if cache is not None:
                held = cache.cross_attention_cache if self.cross else cache.self_attention_cache
                key, value = held.update(key, value, self.layer)
                if self.cross:
                    cache.is_updated[self.layer] = True
        dropout = self.dropout if self.training else 0.0
        attended = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.to(query.dtype), dropout_p=dropout
        )
        return self.output(attended.transpose(1, 2).flatten(2))

    def _heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (C, H, L, d / H)


class ArchBertDecoderLayer(nn.Module):
    """Attention to earlier places, to the graph, and a feed-forward part, each normalised before it and added."""

    def __init__(self, config: Any, layer: int) -> None:
        super().__init__()
        text, width = config.text_config, config.hidden_size
        inner = config.decoder_intermediate_size or text.intermediate_size
        self.self_attention = ArchBertDecoderAttention(config, layer, cross=False)
        self.cross_attention = ArchBertDecoderAttention(config, layer, cross=True)
        self.feed_forward = nn.Sequential(nn.Linear(width, inner), ACT2FN[text.hidden_act], nn.Linear(inner, width))
        self.self_LayerNorm = nn.LayerNorm(width, eps=text.layer_norm_eps)
        self.cross_LayerNorm = nn.LayerNorm(width, eps=text.layer_norm_eps)
        self.output_LayerNorm = nn.LayerNorm(width, eps=text.layer_norm_eps)
        self.dropout = nn.Dropout(text.hidden_dropout_prob)

    def forward(
        self,
        states: torch.Tensor,
        causal: torch.Tensor,
        memory: torch.Tensor,
        bias: torch.Tensor,
        rows: torch.Tensor | None,
        cache: EncoderDecoderCache | None,
    ) -> torch.Tensor:
        normed = self.self_LayerNorm(states)
        states = states + self.dropout(self.self_attention(normed, normed, causal, None, cache))
        normed = self.cross_LayerNorm(states)
        states = states + self.dropout(self.cross_attention(normed, memory, bias, rows, cache))
        return states + self.dropout(self.feed_forward(self.output_LayerNorm(states)))


class ArchBertDecoder(nn.Module):
    """Word pieces so far, and the tokens of a graph -> logits of the next word piece.

    The paper (section 5.5) puts two linear layers behind the decoder: here one of width d, and the tied embedding.
    """

    token_ids: torch.Tensor

    def __init__(self, config: Any) -> None:
        super().__init__()
        text, width = config.text_config, config.hidden_size
        self.config = config
        self.tallies = ArchBertTallies(config) if config.use_tally_tokens else None
        self.stated = ArchBertStatedFacts(width) if config.use_stated_facts else None
        self.sizes = ArchBertDigits(width) if config.use_exact_numbers else None
        self.sizes_LayerNorm = nn.LayerNorm(width, eps=text.layer_norm_eps) if config.use_exact_numbers else None
        self.positions = nn.Embedding(config.max_caption_length, width)
        self.kinds = nn.Embedding(1 + len(config.caption_kinds), width) if config.caption_kinds else None
        self.embedding_LayerNorm = nn.LayerNorm(width, eps=text.layer_norm_eps)
        self.dropout = nn.Dropout(text.hidden_dropout_prob)
        self.layers = nn.ModuleList([ArchBertDecoderLayer(config, i) for i in range(config.decoder_layers)])
        self.LayerNorm = nn.LayerNorm(width, eps=text.layer_norm_eps)
        self.dense = nn.Linear(width, width)
        self.head_LayerNorm = nn.LayerNorm(width, eps=text.layer_norm_eps)
        self.register_buffer("token_ids", self._token_ids(), persistent=False)

    def initialize(self) -> None:
        """Set the buffer of word pieces, which is not saved."""
        init.copy_(self.token_ids, self._token_ids())

    def _token_ids(self) -> torch.Tensor:
        return torch.tensor(sorted(self.config.caption_token_ids or []), dtype=torch.long)

    def memory(self, tokens: GraphTokens, graph: GraphInputs, op_embeddings: torch.Tensor) -> ArchBertMemoryOutput:
        """What the decoder reads of encoded graphs: their tokens, with sizes and tallies where these are configured.

        Raises:
            ValueError: numbers that are configured are not in the batch.
        """
        states, bias = tokens.states, tokens.bias
        if self.sizes is not None and self.sizes_LayerNorm is not None:
            if graph.node_sizes is None:
                raise ValueError("captions need node_sizes: the processor of this model makes them (exact_numbers)")
            sized = self.sizes(graph.node_sizes.double()) * (graph.node_sizes > 0).unsqueeze(-1)
            others = sized.new_zeros(len(sized), states.shape[1] - sized.shape[1], sized.shape[2])
            states = self.sizes_LayerNorm(states + torch.cat([sized, others], dim=1).to(states.dtype))
        if self.tallies is not None:
            tallies, tally_bias = self.tallies(graph, op_embeddings)
            states, bias = torch.cat([states, tallies.to(states.dtype)], dim=1), torch.cat([bias, tally_bias], dim=1)
        if self.stated is not None and self.tallies is not None:
            stated, stated_bias = self.stated(graph, self.tallies, op_embeddings)
            states, bias = torch.cat([states, stated.to(states.dtype)], dim=1), torch.cat([bias, stated_bias], dim=1)
        return ArchBertMemoryOutput(states, bias)

    def forward(
        self,
        input_ids: torch.Tensor,
        memory: ArchBertMemoryOutput,
        word_embeddings: nn.Module,
        rows: torch.Tensor | None = None,
        kind_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        cache: EncoderDecoderCache | None = None,
    ) -> torch.Tensor:
        """States `(C, L, d)` of the word pieces `input_ids (C, L)`.

        Args:
            input_ids: word pieces; with a cache those that it does not have yet.
            memory: see `memory`.
            word_embeddings: embedding of the text encoder.
            rows: `(C,)`, the graph of each caption; row by row where there are none.
            kind_ids: `(C,)`, 1 + index into `caption_kinds`; 0, and the default, for any kind.
            attention_mask: `(C, past + L)`, 1 for word pieces, 0 for padding.
            cache: keys and values so far; is added to.

        Raises:
            ValueError: the caption is too long, or a kind is asked for that the model does not have.
        """
        assert memory.last_hidden_state is not None and memory.memory_bias is not None
        captions, length = input_ids.shape
        past = 0 if cache is None else cache.get_seq_length()
        if past + length > self.config.max_caption_length:
            raise ValueError(
                f"a caption has {past + length} word pieces, max_caption_length is {self.config.max_caption_length}"
            )
        if rows is None and captions != len(memory.last_hidden_state):
            raise ValueError(
                f"{captions} captions cannot be paired with {len(memory.last_hidden_state)} architectures row by row; "
                "architecture_index joins them"
            )
        places = torch.arange(past, past + length, device=input_ids.device)
        states = word_embeddings(input_ids) + self.positions(places)
        if kind_ids is not None and self.kinds is None:
            raise ValueError("kind_ids are given, but this decoder has no caption_kinds")
        if self.kinds is not None:
            chosen = kind_ids if kind_ids is not None else input_ids.new_zeros(captions)
            states = states + self.kinds(chosen).unsqueeze(1)
        states = self.dropout(self.embedding_LayerNorm(states))
        causal = self._causal(places, past + length, attention_mask)
        bias = memory.memory_bias if rows is None else memory.memory_bias[rows]
        for layer in self.layers:
            states = layer(states, causal, memory.last_hidden_state, bias[:, None, None, :], rows, cache)
        return self.LayerNorm(states)

    @staticmethod
    def _causal(places: torch.Tensor, length: int, mask: torch.Tensor | None) -> torch.Tensor:
        """What is added to scores, `(C or 1, 1, L, past + L)`: a place sees itself and what is before it."""
        seen = torch.arange(length, device=places.device) <= places.unsqueeze(-1)
        seen = seen[None, None]
        if mask is not None:
            seen = seen & mask[:, None, None, :].bool()
        return torch.zeros(seen.shape, device=places.device).masked_fill(~seen, MASK_BIAS)

    def logits(self, states: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """States `(..., d)` -> float32 logits over `token_ids`, or over all V where these are none."""
        states = self.head_LayerNorm(nn.functional.gelu(self.dense(states)))
        chosen = embeddings[self.token_ids] if len(self.token_ids) else embeddings
        return nn.functional.linear(states, chosen.to(states.dtype)).float()

    def spread(self, logits: torch.Tensor, vocab_size: int) -> torch.Tensor:
        """Logits over `token_ids` -> over all V; what captions never have gets a large negative one."""
        if not len(self.token_ids):
            return logits
        full = logits.new_full((*logits.shape[:-1], vocab_size), torch.finfo(logits.dtype).min)
        return full.index_copy(-1, self.token_ids, logits)

    def loss(self, states: torch.Tensor, labels: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """Mean cross entropy (eq. 7) of the labels `(C, L)` that are not -100.

        Raises:
            ValueError: a label is not among `caption_token_ids`.
        """
        known = labels != IGNORED
        targets = labels[known]
        if len(self.token_ids):
            places = torch.searchsorted(self.token_ids, targets).clamp(max=len(self.token_ids) - 1)
            if targets.device.type == "cpu" and not torch.equal(self.token_ids[places], targets):
                wrong = int(targets[self.token_ids[places] != targets][0])
                raise ValueError(f"labels hold the word piece {wrong}, which is not among caption_token_ids")
            targets = places
        losses = nn.functional.cross_entropy(self.logits(states[known], embeddings), targets, reduction="sum")
        return losses / max(1, len(targets))


def decoder_inputs(config: Any, labels: torch.Tensor) -> torch.Tensor:
    """Inputs of the decoder for `labels (C, L)`: one place to the right, behind the start; -100 becomes padding.

    Raises:
        ValueError: the config does not name the word pieces of start and padding.
    """
    start, pad = config.decoder_start_token_id, config.pad_token_id
    if start is None or pad is None:
        raise ValueError(f"decoder_start_token_id is {start} and pad_token_id {pad}; the config has to name both")
    shifted = labels.roll(1, dims=-1)
    shifted[..., 0] = start
    return shifted.masked_fill(shifted == IGNORED, pad)


SELF_INITIALIZING = (ArchBertDigits, ArchBertStatedFacts, ArchBertTallies, ArchBertDecoder)
"""Modules of this file, and those that it is made of, with an `initialize` of their own."""
