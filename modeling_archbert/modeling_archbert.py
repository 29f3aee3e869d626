"""ArchBERT: one encoder for text and for neural architectures (sections 3, 3.1 and 3.2 of the paper).

* Text and graph tokens pass through the same transformer, each modality by itself (E_c, eq. 2).
* Every architecture and every text of a step is encoded once: `architecture_index` and `text_index` say which rows
  a pair joins.
* Folded and unfolded graphs give the same embedding in eval mode.

Shapes: B graphs or texts (not always as many of each), T word pieces, N node tokens, P pairs, d width.
"""

from __future__ import annotations

from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import BertModel, PreTrainedModel
from transformers.utils.generic import can_return_tuple

from .configuration_archbert import ArchBertConfig
from .decoder_archbert import SELF_INITIALIZING as DECODER_MODULES
from .decoder_archbert import ArchBertDecoder, decoder_inputs
from .fusion_archbert import SELF_INITIALIZING as FUSION_MODULES
from .fusion_archbert import ArchBertAttentionPooling, mean_pool
from .graph_encoder_archbert import MASK_BIAS, ArchBertGraphEncoder
from .graph_encoder_archbert import SELF_INITIALIZING as GRAPH_MODULES
from .graph_inputs_archbert import GraphInputs
from .heads_archbert import (
    IGNORED,
    ArchBertAnswerHead,
    ArchBertMAMHead,
    ArchBertSimilarityHead,
    ArchBertTopicHead,
    calibrate,
    clone_loss,
    contrastive_loss,
    cosine,
    mask_nodes,
    weighted_mean,
)
from .outputs_archbert import (
    ArchBertAnswerOutput,
    ArchBertForPreTrainingOutput,
    ArchBertModelOutput,
    ArchitectureEncoding,
    TextEncoding,
)
from .reasoning_archbert import ArchBertReasoningHead


class ArchBertPreTrainedModel(PreTrainedModel):
    """What all ArchBERT models share: configuration, initial weights, loading and saving."""

    config: ArchBertConfig
    config_class = ArchBertConfig
    base_model_prefix = "archbert"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    _supports_sdpa = True
    _supports_attention_backend = True
    _no_split_modules = ["BertLayer"]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a saved model, from safetensors only: pickled weights are never opened.

        Raises:
            ValueError: `use_safetensors=False` is asked for.
            OSError: there are no weights in safetensors.
            SafetensorError: they are truncated or damaged.
        """
        if kwargs.setdefault("use_safetensors", True) is False:
            raise ValueError("use_safetensors is False; pickled weights can run any code and are never opened.")
        try:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except SafetensorError as error:
            raise SafetensorError(
                f"The weights of {pretrained_model_name_or_path} cannot be read ({error}): a file is truncated or "
                "damaged. Copy or download it again."
            ) from error

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SELF_INITIALIZING):
            module.initialize()


class ArchBertModel(ArchBertPreTrainedModel):
    """Texts and architectures -> J_t, J_g and their cosine (eqs. 1 and 2).

    Either side may be absent; `similarity` needs both. See `GraphInputs` for the tensors of an architecture.
    """

    _keys_to_ignore_on_load_unexpected = [r"^(similarity|mam|answer|reasoning|topic)_head\.", r"^decoder\."]

    def __init__(self, config: ArchBertConfig) -> None:
        super().__init__(config)
        self.text = BertModel(config.text_config, add_pooling_layer=False)
        self.graph_encoder = ArchBertGraphEncoder(config)
        attention = config.pooling == "attention"
        self.pooler = ArchBertAttentionPooling(config) if attention else None
        self.text_projection = nn.Linear(config.hidden_size, config.hidden_size) if attention else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Embedding of word pieces."""
        return self.text.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embedding of word pieces."""
        self.text.embeddings.word_embeddings = value

    @property
    def op_embeddings(self) -> torch.Tensor:
        """`(num_ops, d)`, what ops are embedded by."""
        return self.graph_encoder.embeddings.op_embeddings.weight

    @property
    def word_embeddings(self) -> torch.Tensor:
        """`(vocabulary, d)`, what word pieces are embedded, and predicted, by."""
        weight: Any = self.get_input_embeddings().weight
        return weight

    def encode_texts(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        text_numbers: torch.Tensor | None = None,
    ) -> TextEncoding:
        """Encode texts, `input_ids (B, T)` and `attention_mask (B, T)` int64, `text_numbers (B, T)` float."""
        mask = self._check_texts(input_ids, attention_mask)
        if text_numbers is not None and text_numbers.shape != input_ids.shape:
            raise ValueError(f"text_numbers has shape {tuple(text_numbers.shape)}, but input_ids {tuple(mask.shape)}")
        states = self.text.embeddings(input_ids=input_ids)
        bias = (1 - mask.to(states.dtype)) * MASK_BIAS
        states = self._encode(states, bias)
        mean = mean_pool(states, mask)
        embeds = mean if self.text_projection is None else self.text_projection(mean)
        return TextEncoding(states, mask, embeds, text_numbers)

    def encode_architectures(self, graph: GraphInputs) -> ArchitectureEncoding:
        """Encode architectures."""
        graph.check(self.config, training=self.training)
        tokens = self.graph_encoder(graph, self.get_input_embeddings())
        if self.config.use_cross_encoder:
            tokens = tokens._replace(states=self._encode(tokens.states, tokens.bias))
        if self.pooler is not None:
            return ArchitectureEncoding(tokens, self.pooler(tokens))
        nodes = tokens.states[:, : tokens.weights.shape[1]]
        return ArchitectureEncoding(tokens, mean_pool(nodes, tokens.weights))

    def get_text_features(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        text_numbers: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """J_t of texts: `(B, d)`; `text_numbers` are read by the reasoning head alone."""
        return self.encode_texts(input_ids, attention_mask).embeds

    def get_architecture_features(self, **graph: torch.Tensor) -> torch.Tensor:
        """J_g of architectures, given as the fields of `GraphInputs`: `(B, d)`. The text of a batch is ignored."""
        tensors = {name: graph[name] for name in GraphInputs.names() if name in graph}
        if "node_ids" not in tensors:
            raise ValueError("no architecture was given: node_ids is absent")
        return self.encode_architectures(GraphInputs(**tensors)).embeds

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        node_ids: torch.Tensor | None = None,
        node_shapes: torch.Tensor | None = None,
        node_attributes: torch.Tensor | None = None,
        node_counts: torch.Tensor | None = None,
        node_features: torch.Tensor | None = None,
        node_mask: torch.Tensor | None = None,
        edge_index: torch.Tensor | None = None,
        edge_mask: torch.Tensor | None = None,
        reverse_edge_index: torch.Tensor | None = None,
        reverse_edge_mask: torch.Tensor | None = None,
        graph_features: torch.Tensor | None = None,
        op_piece_ids: torch.Tensor | None = None,
        op_piece_mask: torch.Tensor | None = None,
        block_ids: torch.Tensor | None = None,
        block_repeats: torch.Tensor | None = None,
        block_mask: torch.Tensor | None = None,
        fold_rounds: torch.Tensor | None = None,
        graph_counts: torch.Tensor | None = None,
        node_sizes: torch.Tensor | None = None,
        stated_facts: torch.Tensor | None = None,
        architecture_index: torch.Tensor | None = None,
        text_index: torch.Tensor | None = None,
        text_numbers: torch.Tensor | None = None,
    ) -> ArchBertModelOutput:
        """Encode what is given; texts and graphs are paired row by row, or as the indices say.

        Args:
            input_ids, attention_mask: `(B, T)` int64.
            node_ids, ..., stated_facts: see `GraphInputs`.
            architecture_index, text_index: `(P,)` int64; pair p joins text `text_index[p]` with architecture
                `architecture_index[p]`.
            text_numbers: `(B, T)` float, see `TextEncoding`; read by the reasoning head alone.

        Raises:
            ValueError: for tensors that are absent, of a wrong shape or out of range; naming them.
        """
        given = locals()
        graph = graph_inputs({name: given[name] for name in GraphInputs.names()})
        text = None if input_ids is None else self.encode_texts(input_ids, attention_mask)
        architecture = None if graph is None else self.encode_architectures(graph)
        if text is None and architecture is None:
            raise ValueError("nothing to encode: give input_ids, node_ids or both")
        output = ArchBertModelOutput()
        if text is not None:
            output.text_embeds, output.text_last_hidden_state = text.embeds, text.states
        if architecture is not None:
            tokens = architecture.tokens
            output.architecture_embeds = architecture.embeds
            output.node_last_hidden_state = tokens.states[:, : tokens.weights.shape[1]]
        if text is not None and architecture is not None:
            texts, rows = pair_rows(text_index, architecture_index, len(text.embeds), len(architecture.embeds))
            output.similarity = cosine(text.embeds[texts], architecture.embeds[rows])
        return output

    def _encode(self, states: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """The shared encoder E_c on `states (B, L, d)`; `bias (B, L)` is added to the scores of keys."""
        mask = bias.to(states.dtype)[:, None, None, :]
        return self.text.encoder(states, attention_mask=mask).last_hidden_state

    def _check_texts(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        config: Any = self.config.text_config
        if input_ids.dim() != 2 or input_ids.shape[1] == 0:
            raise ValueError(f"input_ids must be (texts, word pieces) and not empty, got {tuple(input_ids.shape)}")
        if input_ids.shape[1] > config.max_position_embeddings:
            raise ValueError(
                f"a text has {input_ids.shape[1]} word pieces, max_position_embeddings is "
                f"{config.max_position_embeddings}: truncate it"
            )
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if mask.shape != input_ids.shape:
            raise ValueError(f"attention_mask has shape {tuple(mask.shape)}, but input_ids {tuple(input_ids.shape)}")
        if not self.training and input_ids.numel():
            least, greatest = int(input_ids.min()), int(input_ids.max())
            if least < 0 or greatest >= config.vocab_size:
                wrong = least if least < 0 else greatest
                raise ValueError(f"input_ids holds {wrong}, allowed are 0 to {config.vocab_size - 1}")
            if not bool(mask.bool().any(dim=1).all()):
                raise ValueError("a text of the batch is empty: its row of attention_mask is all zero")
        return mask


class ArchBertForPreTraining(ArchBertPreTrainedModel):
    """L_SIM + alpha L_MAM (eq. 5), and every head, so that one saved folder serves all models.

    Masked architecture modeling (section 3.1) masks tokens of nodes by itself in training, anew in every step; of a
    folded graph a token is a whole colour, so no unmasked twin gives it away. Pairs may also carry answers to
    questions, and graphs captions (with `config.decoder_layers`): all tasks learn from one encoding of each graph.
    """

    def __init__(self, config: ArchBertConfig) -> None:
        super().__init__(config)
        self.archbert = ArchBertModel(config)
        self.similarity_head = ArchBertSimilarityHead()
        self.mam_head = ArchBertMAMHead(config)
        self.answer_head = ArchBertAnswerHead(config)
        self.reasoning_head = ArchBertReasoningHead(config) if config.use_reasoning_head else None
        self.topic_head = ArchBertTopicHead(config) if config.question_topics else None
        self.decoder = ArchBertDecoder(config) if config.decoder_layers else None
        self.post_init()

    def add_topic_head(self, topics: list[str]) -> None:
        """Give the model a new, untrained head that says which of `topics` a question asks for.

        Raises:
            ValueError: there are no topics, or one is there twice.
        """
        if not topics or len(set(topics)) != len(topics):
            raise ValueError(f"topics has {len(topics)} names, {len(set(topics))} of them distinct; give one or more")
        self.config.question_topics = list(topics)
        self.topic_head = ArchBertTopicHead(self.config).to(self.device, self.dtype)
        self.topic_head.apply(self._initialize_weights)

    def add_decoder(self, **fields: Any) -> None:
        """Give the model a new, untrained decoder.

        Args:
            **fields: of `ArchBertConfig`, `decoder_layers` and what else belongs to the decoder.

        Raises:
            ValueError: `decoder_layers` is not above 0.
        """
        for name, value in fields.items():
            setattr(self.config, name, value)
        if self.config.decoder_layers < 1:
            raise ValueError(f"decoder_layers is {self.config.decoder_layers}; a decoder has one or more")
        self.config.validate_decoder()
        self.decoder = ArchBertDecoder(self.config).to(self.device, self.dtype)
        self.decoder.apply(self._initialize_weights)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        node_ids: torch.Tensor | None = None,
        similarity_labels: torch.Tensor | None = None,
        similarity_weights: torch.Tensor | None = None,
        mam_labels: torch.Tensor | None = None,
        clone_labels: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        slot_labels: torch.Tensor | None = None,
        claim_labels: torch.Tensor | None = None,
        value_labels: torch.Tensor | None = None,
        architecture_index: torch.Tensor | None = None,
        text_index: torch.Tensor | None = None,
        caption_labels: torch.Tensor | None = None,
        caption_index: torch.Tensor | None = None,
        caption_kind_ids: torch.Tensor | None = None,
        text_numbers: torch.Tensor | None = None,
        **graph_tensors: Any,
    ) -> ArchBertForPreTrainingOutput:
        """Compute similarity and whichever losses there are labels for.

        Args:
            input_ids, attention_mask, node_ids, architecture_index, text_index: as in `ArchBertModel`.
            similarity_labels: `(P,)` float from 0 to 1, NaN for pairs that are left out.
            similarity_weights: `(P,)` float, how much each pair counts; equal by default.
            mam_labels: `(B, N)` op ids of the nodes that the caller has masked, -100 elsewhere. Without them, nodes
                are masked here, in training.
            clone_labels: `(B, B)` float, 1 for architectures that are alike, 0 for others, NaN where not known.
            labels: `(P, num_labels)` float, the answers to the pairs that are questions, -100 for the other pairs.
            slot_labels: `(B, slots, num_labels)` float, the answers (layers, kernel sizes) that the claims of a
                statement are about: 1 for these, 0 for others, -100 where that is not known.
            claim_labels: `(B, claims)` int64, of which of `config.claim_types` each claim of a statement is, counted
                from 1; 0 where there is no such claim, -100 where that is not known.
            value_labels: `(B, claims)` float, the number in each claim; -100 where it has none.
            caption_labels: `(C, L)` int64, word pieces of captions with the end token, -100 elsewhere. With captions
                the text may be absent.
            caption_index: `(C,)` int64, the architecture of each caption; row by row by default.
            caption_kind_ids: `(C,)` int64, 1 + index into `config.caption_kinds`, 0 for any kind.
            text_numbers: `(B, T)` float, the logarithm of one plus the number that a word piece belongs to, -1 without
                one; the reasoning head copies them (`config.reasoning_numbers`).
            **graph_tensors: the other fields of `GraphInputs`.
        """
        tensors = {"node_ids": node_ids, **graph_tensors}
        graph = _require_both(input_ids, tensors) if caption_labels is None else _require_graph(tensors)
        masked, mam_labels = self._masked(graph, mam_labels)
        shared = masked is None or self.config.mam_shared_pass
        seen = masked if shared and masked is not None else graph
        text = None if input_ids is None else self.archbert.encode_texts(input_ids, attention_mask, text_numbers)
        architecture = self.archbert.encode_architectures(seen)
        output = ArchBertForPreTrainingOutput(architecture_embeds=architecture.embeds)
        if clone_labels is not None:
            output.clone_loss = clone_loss(architecture.embeds, clone_labels)
        if caption_labels is not None:
            output.caption_loss = self._caption_loss(
                caption_labels, caption_index, caption_kind_ids, architecture, graph
            )
        if text is not None:
            texts, rows = pair_rows(text_index, architecture_index, len(text.embeds), len(architecture.embeds))
            output.text_embeds = text.embeds
            output.similarity = cosine(text.embeds[texts], architecture.embeds[rows])
            self._add_similarity(output, similarity_labels, similarity_weights, texts)
            if self.reasoning_head is not None and (similarity_labels is not None or not self.training):
                labelled = (similarity_labels, similarity_weights)
                self._add_reasoning(
                    output, *labelled, (slot_labels, claim_labels, value_labels), text, architecture, seen, texts, rows
                )
            if labels is not None:
                self._add_answers(output, labels, text, architecture, seen, texts, rows)
        if mam_labels is not None:
            encoding = architecture if shared else self.archbert.encode_architectures(masked or graph)
            self._add_mam(output, mam_labels, encoding)
        self._add_loss(output)
        return output

    def _masked(
        self, graph: GraphInputs, labels: torch.Tensor | None
    ) -> tuple[GraphInputs | None, torch.Tensor | None]:
        """The graph with masked nodes and its labels; no labels where there is nothing to learn from masks."""
        if self.config.mam_loss_weight == 0:
            return None, None
        if labels is not None:
            if labels.shape != graph.node_ids.shape:
                raise ValueError(
                    f"mam_labels has shape {tuple(labels.shape)}, but node_ids {tuple(graph.node_ids.shape)}"
                )
            return None, labels
        if not self.training or self.config.mam_probability == 0:
            return None, None
        return mask_nodes(graph, self.config)

    def _add_similarity(
        self,
        output: ArchBertForPreTrainingOutput,
        labels: torch.Tensor | None,
        weights: torch.Tensor | None,
        texts: torch.Tensor,
    ) -> None:
        assert output.similarity is not None
        learned = self.similarity_head(output.similarity)
        output.similarity_logits = learned if self.training else self._calibrated(output.similarity, learned)
        if labels is None:
            return
        for name, given in (("similarity_labels", labels), ("similarity_weights", weights)):
            if given is not None and given.shape != output.similarity.shape:
                raise ValueError(f"{name} has shape {tuple(given.shape)}, there are {len(output.similarity)} pairs")
        targets = labels.float().nan_to_num(0.0)
        if self.config.similarity_loss == "mse":
            losses = (output.similarity - targets) ** 2
        else:
            losses = nn.functional.binary_cross_entropy_with_logits(learned, targets, reduction="none")
        output.similarity_loss = weighted_mean(losses, ~labels.isnan(), weights)
        if self.config.contrastive_loss_weight:
            scale = self.similarity_head.log_scale.exp()
            output.contrastive_loss = contrastive_loss(output.similarity, labels, texts, scale)

    def _add_reasoning(
        self,
        output: ArchBertForPreTrainingOutput,
        labels: torch.Tensor | None,
        weights: torch.Tensor | None,
        reading_labels: tuple[torch.Tensor | None, ...],
        text: TextEncoding,
        architecture: ArchitectureEncoding,
        graph: GraphInputs,
        texts: torch.Tensor,
        rows: torch.Tensor,
    ) -> None:
        assert self.reasoning_head is not None
        known = torch.ones_like(rows, dtype=torch.bool) if labels is None else ~labels.isnan()
        logits, output.reading_loss = self.answer_head.reason(
            self.reasoning_head, text, architecture, graph, texts[known], rows[known], *reading_labels
        )
        output.reasoning_logits = logits.new_full((len(rows),), torch.nan).index_put((known,), logits)
        if labels is not None:
            losses = nn.functional.binary_cross_entropy_with_logits(logits, labels[known].float(), reduction="none")
            kept = None if weights is None else weights[known]
            output.reasoning_loss = weighted_mean(losses, torch.ones_like(losses, dtype=torch.bool), kept)

    def _calibrated(self, similarity: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
        scale, bias = self.config.similarity_scale, self.config.similarity_bias
        return learned if scale is None or bias is None else similarity * scale + bias

    def _add_answers(
        self,
        output: ArchBertForPreTrainingOutput,
        labels: torch.Tensor,
        text: TextEncoding,
        architecture: ArchitectureEncoding,
        graph: GraphInputs,
        texts: torch.Tensor,
        rows: torch.Tensor,
    ) -> None:
        _check_labels(labels, (len(rows), self.config.num_labels))
        asked = (labels >= 0).all(dim=-1)
        logits, _ = self.answer_head(text, architecture, graph, texts[asked], rows[asked])
        losses = nn.functional.binary_cross_entropy_with_logits(logits, labels[asked].float(), reduction="none")
        output.answer_loss = losses.sum() / max(1, losses.numel())
        full = logits.new_zeros(len(rows), logits.shape[1])
        output.logits = full.index_put((asked,), calibrate(logits, self.config, self.training))

    def _caption_loss(
        self,
        labels: torch.Tensor,
        rows: torch.Tensor | None,
        kind_ids: torch.Tensor | None,
        architecture: ArchitectureEncoding,
        graph: GraphInputs,
    ) -> torch.Tensor:
        if self.decoder is None:
            raise ValueError("caption_labels are given, but there is no decoder: decoder_layers is 0; see add_decoder")
        memory = self.decoder.memory(architecture.tokens, graph, self.archbert.op_embeddings)
        words = self.archbert.get_input_embeddings()
        states = self.decoder(decoder_inputs(self.config, labels), memory, words, rows, kind_ids)
        return self.decoder.loss(states, labels, self.archbert.word_embeddings)

    def _add_mam(
        self, output: ArchBertForPreTrainingOutput, labels: torch.Tensor, encoding: ArchitectureEncoding
    ) -> None:
        nodes = encoding.tokens.states[:, : labels.shape[1]]
        logits = self.mam_head(nodes, self.archbert.op_embeddings).float()
        output.mam_labels, output.mam_logits = labels, logits
        losses = nn.functional.cross_entropy(
            output.mam_logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        output.mam_loss = losses / (labels != IGNORED).sum().clamp(min=1)

    def _add_loss(self, output: ArchBertForPreTrainingOutput) -> None:
        parts = (
            (1.0, output.similarity_loss),
            (self.config.contrastive_loss_weight, output.contrastive_loss),
            (self.config.clone_loss_weight, output.clone_loss),
            (self.config.reasoning_loss_weight, output.reasoning_loss),
            (self.config.reasoning_loss_weight, output.reading_loss),
            (self.config.mam_loss_weight, output.mam_loss),
            (self.config.answer_loss_weight, output.answer_loss),
            (self.config.caption_loss_weight, output.caption_loss),
        )
        weighted = [weight * loss for weight, loss in parts if loss is not None]
        if weighted:
            output.loss = torch.stack(weighted).sum()


class ArchBertForSequenceClassification(ArchBertPreTrainedModel):
    """Architectural question answering (section 3.2): a question and a graph -> answers, any number of them.

    `problem_type` defaults to `"multi_label_classification"`; the two others of transformers are for checkpoints that
    are fine-tuned for something else.
    """

    _keys_to_ignore_on_load_unexpected = [r"^(similarity|mam|reasoning)_head\.", r"^decoder\."]

    def __init__(self, config: ArchBertConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.archbert = ArchBertModel(config)
        self.answer_head = ArchBertAnswerHead(config)
        self.topic_head = ArchBertTopicHead(config) if config.question_topics else None
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        node_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        architecture_index: torch.Tensor | None = None,
        text_index: torch.Tensor | None = None,
        output_evidence: bool = False,
        text_numbers: torch.Tensor | None = None,
        **graph_tensors: Any,
    ) -> ArchBertAnswerOutput:
        """Answer questions.

        Args:
            input_ids, attention_mask, node_ids, architecture_index, text_index: as in `ArchBertModel`.
            labels: `(P, num_labels)` float of 0 and 1 (multi-label), `(P,)` int64 (single label), or
                `(P, num_labels)` float (regression).
            output_evidence: also return `node_scores`.
            text_numbers: not read; the processor of some models makes them.
            **graph_tensors: the other fields of `GraphInputs`.
        """
        graph = _require_both(input_ids, {"node_ids": node_ids, **graph_tensors})
        assert input_ids is not None
        text = self.archbert.encode_texts(input_ids, attention_mask)
        architecture = self.archbert.encode_architectures(graph)
        texts, rows = pair_rows(text_index, architecture_index, len(text.embeds), len(architecture.embeds))
        logits, evidence = self.answer_head(text, architecture, graph, texts, rows, output_evidence)
        return ArchBertAnswerOutput(
            loss=None if labels is None else self._loss(logits, labels),
            logits=calibrate(logits, self.config, self.training),
            node_scores=evidence,
            topic_logits=None if self.topic_head is None else self.topic_head(text)[texts],
        )

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.config.problem_type == "single_label_classification":
            _check_labels(labels, (len(logits),))
            return nn.functional.cross_entropy(logits, labels)
        _check_labels(labels, tuple(logits.shape))
        if self.config.problem_type == "regression":
            return nn.functional.mse_loss(logits, labels.float())
        return nn.functional.binary_cross_entropy_with_logits(logits, labels.float())


def graph_inputs(tensors: dict[str, torch.Tensor | None]) -> GraphInputs | None:
    """The graph side of a batch, or `None` where there is none."""
    unknown = set(tensors) - set(GraphInputs.names())
    if unknown:
        raise TypeError(f"unexpected inputs: {', '.join(sorted(unknown))}")
    node_ids = tensors.get("node_ids")
    if node_ids is None:
        stray = [name for name, tensor in tensors.items() if tensor is not None]
        if stray:
            raise ValueError(f"no architecture without node_ids, but these were given: {', '.join(stray)}")
        return None
    return GraphInputs(node_ids, **{name: tensor for name, tensor in tensors.items() if name != "node_ids"})


SELF_INITIALIZING = (
    *GRAPH_MODULES,
    *FUSION_MODULES,
    *DECODER_MODULES,
    ArchBertSimilarityHead,
    ArchBertMAMHead,
    ArchBertReasoningHead,
)
"""Modules with an `initialize` of their own."""


def _require_graph(tensors: dict[str, torch.Tensor | None]) -> GraphInputs:
    graph = graph_inputs(tensors)
    if graph is None:
        raise ValueError("this model reads architectures; there is none: node_ids is absent")
    return graph


def _require_both(input_ids: torch.Tensor | None, tensors: dict[str, torch.Tensor | None]) -> GraphInputs:
    graph = graph_inputs(tensors)
    if input_ids is None or graph is None:
        missing = "text: input_ids is absent" if input_ids is None else "architecture: node_ids is absent"
        raise ValueError(f"this model reads a text and an architecture together; there is no {missing}")
    return graph


def pair_rows(
    text_index: torch.Tensor | None, architecture_index: torch.Tensor | None, num_texts: int, num_graphs: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of text and of architecture of every pair, `(P,)` each; row by row where there is no index."""
    if text_index is None and architecture_index is None and num_texts != num_graphs:
        raise ValueError(f"{num_texts} texts cannot be paired with {num_graphs} architectures row by row")
    index = text_index if text_index is not None else architecture_index
    device = index.device if index is not None else None
    texts = torch.arange(num_texts, device=device) if text_index is None else text_index
    rows = torch.arange(num_graphs, device=device) if architecture_index is None else architecture_index
    if texts.shape != rows.shape or texts.dim() != 1:
        raise ValueError(
            f"text_index is {tuple(texts.shape)} and architecture_index {tuple(rows.shape)}: both must be (pairs,); "
            "one that is not given stands for all rows in order"
        )
    for name, rows_given, limit in (("text_index", texts, num_texts), ("architecture_index", rows, num_graphs)):
        if rows_given.device.type == "cpu" and len(rows_given):
            least, greatest = int(rows_given.min()), int(rows_given.max())
            if least < 0 or greatest >= limit:
                raise ValueError(f"{name} holds {least if least < 0 else greatest}, there are {limit} rows")
    return texts, rows


def _check_labels(labels: torch.Tensor, shape: tuple[int, ...]) -> None:
    if tuple(labels.shape) != shape:
        raise ValueError(f"labels has shape {tuple(labels.shape)}, {shape} is needed")
