"""`ArchBertForConditionalGeneration`: architectures -> captions (section 3.3), with `generate`.

Shapes: B graphs, N node tokens, M memory tokens, C captions, L word pieces, V vocabulary, d width.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, GenerationMixin
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.utils.generic import can_return_tuple

from .configuration_archbert import ArchBertConfig
from .decoder_archbert import ArchBertDecoder, ArchBertMemoryOutput, decoder_inputs
from .graph_inputs_archbert import GraphInputs
from .modeling_archbert import ArchBertForPreTraining, ArchBertModel, ArchBertPreTrainedModel, graph_inputs

NO_DECODER = (
    "it has no decoder that writes captions (decoder_layers is 0); examples/run_captioning.py --init_from trains one"
)


class ArchBertForConditionalGeneration(ArchBertPreTrainedModel, GenerationMixin):
    """Captioning: the tokens of a graph, read by a transformer decoder that writes a caption.

    `generate(**batch)` takes what the processor makes of architectures (without texts) and, where the checkpoint has
    `caption_kinds`, `decoder_kind_ids (B,)`. The result for a graph does not depend on its batch or padding (1e-5,
    float32, eval).
    """

    main_input_name = "node_ids"
    _keys_to_ignore_on_load_unexpected = [r"^(similarity|mam|answer|reasoning|topic)_head\."]

    def __init__(self, config: ArchBertConfig) -> None:
        if not config.decoder_layers:
            raise ValueError(f"This checkpoint cannot write captions: {NO_DECODER}.")
        config.is_encoder_decoder = True
        super().__init__(config)
        self.archbert = ArchBertModel(config)
        self.decoder = ArchBertDecoder(config)
        self.generation_config = generation_settings(config)
        self.post_init()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As in `ArchBertPreTrainedModel`; a decoder is never left with random weights.

        Raises:
            ValueError: the checkpoint has no decoder, or not all of its weights.
        """
        wanted = kwargs.pop("output_loading_info", False)
        model, info = super().from_pretrained(pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs)
        missing = sorted(name for name in info["missing_keys"] if name.startswith("decoder."))
        if missing:
            raise ValueError(
                f"{pretrained_model_name_or_path} cannot write captions: its config names a decoder of "
                f"{model.config.decoder_layers} layers, but its weights do not have {missing[0]} and "
                f"{len(missing) - 1} more. Load one that was trained on captions, or train it with "
                "examples/run_captioning.py."
            )
        for name, value in generation_settings(model.config).to_diff_dict().items():
            if getattr(model.generation_config, name, None) is None:  # of a folder without generation_config.json
                setattr(model.generation_config, name, value)
        return (model, info) if wanted else model

    @classmethod
    def sharing(cls, model: ArchBertForPreTraining) -> ArchBertForConditionalGeneration:
        """A captioning model with the very weights of a pre-training model, without a copy of them.

        Raises:
            ValueError: `model` has no decoder.
        """
        if model.decoder is None:
            raise ValueError(f"This model cannot write captions: {NO_DECODER}.")
        with torch.device("meta"):
            shared = cls(copy.deepcopy(model.config))
        shared.archbert, shared.decoder = model.archbert, model.decoder
        return shared.train(model.training)

    def get_encoder(self, modality: str | None = None) -> Any:
        """What `generate` calls once with the graph tensors."""
        return _MemoryEncoder(self)

    def get_input_embeddings(self) -> nn.Module:
        """Embedding of word pieces, of the text encoder and the decoder alike."""
        return self.archbert.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embedding of word pieces."""
        self.archbert.set_input_embeddings(value)

    def encode_memory(self, graph: GraphInputs) -> ArchBertMemoryOutput:
        """What the decoder reads of a batch of graphs."""
        tokens = self.archbert.encode_architectures(graph).tokens
        return self.decoder.memory(tokens, graph, self.archbert.op_embeddings)

    @torch.no_grad()
    def generate_scored(self, **inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """What `generate` writes, and how likely the model found every word piece of it.

        Args:
            **inputs: as `generate` takes them; one caption for each row.

        Returns:
            Word pieces `(B, 1 + L)` int64, with the start token, and the logarithms of their probabilities, `(B, L)`
            float32, as they are before any temperature or cut.
        """
        written: Any = self.generate(**inputs, return_dict_in_generate=True, output_logits=True)
        log_probs = self.compute_transition_scores(
            written.sequences, written.logits, getattr(written, "beam_indices", None), normalize_logits=True
        )
        missing = written.sequences.shape[1] - 1 - log_probs.shape[1]  # of beams that all ended earlier
        return written.sequences, torch.nn.functional.pad(log_probs.float(), (0, missing))

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Labels `(C, L)` one place to the right."""
        return decoder_inputs(self.config, labels)

    @can_return_tuple
    def forward(
        self,
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
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        decoder_kind_ids: torch.Tensor | None = None,
        encoder_outputs: ArchBertMemoryOutput | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        labels: torch.Tensor | None = None,
        architecture_index: torch.Tensor | None = None,
        use_cache: bool | None = None,
    ) -> Seq2SeqLMOutput:
        """Logits of the next word piece at every place, and the loss where there are labels.

        Args:
            node_ids, ..., stated_facts: see `GraphInputs`; not needed with `encoder_outputs`.
            decoder_input_ids: `(C, L)` int64; the labels one place to the right by default.
            decoder_attention_mask: `(C, past + L)`, 0 on padding.
            decoder_kind_ids: `(C,)` int64, 1 + index into `config.caption_kinds`; 0, the default, for any kind.
            encoder_outputs: what the decoder reads, from an earlier call.
            past_key_values: keys and values so far; a new cache is made where `use_cache` is true.
            labels: `(C, L)` int64, captions with the end token; -100 is ignored.
            architecture_index: `(C,)` int64, the graph of each caption; row by row by default.
            use_cache: return the cache.

        Raises:
            ValueError: for tensors that are absent, of a wrong shape or out of range; naming them.
        """
        given = locals()
        if encoder_outputs is None:
            graph = graph_inputs({name: given[name] for name in GraphInputs.names()})
            if graph is None:
                raise ValueError("no architecture was given: node_ids is absent")
            encoder_outputs = self.encode_memory(graph)
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError("no caption to read or to learn: give decoder_input_ids or labels, or call generate")
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        if use_cache and past_key_values is None:
            past_key_values = EncoderDecoderCache(DynamicCache(), DynamicCache())
        states = self.decoder(
            decoder_input_ids,
            encoder_outputs,
            self.get_input_embeddings(),
            rows=architecture_index,
            kind_ids=decoder_kind_ids,
            attention_mask=decoder_attention_mask,
            cache=past_key_values,
        )
        words = self.archbert.word_embeddings
        loss = None if labels is None else self.decoder.loss(states, labels, words)
        return Seq2SeqLMOutput(
            loss=loss,
            logits=self.decoder.spread(self.decoder.logits(states, words), len(words)),
            past_key_values=past_key_values,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
        )


class _MemoryEncoder:
    """The encoder as `generate` calls it; no module, so that no weight has two names."""

    def __init__(self, model: ArchBertForConditionalGeneration) -> None:
        self.model = model

    def forward(self, **kwargs: Any) -> ArchBertMemoryOutput:
        """Encode the graph tensors among the arguments."""
        graph = graph_inputs({name: kwargs[name] for name in GraphInputs.names() if name in kwargs})
        if graph is None:
            raise ValueError("no architecture was given: node_ids is absent")
        return self.model.encode_memory(graph)

    __call__ = forward


def generation_settings(config: ArchBertConfig) -> GenerationConfig:
    """What `generate` begins and ends with, and how long a caption gets at most."""
    return GenerationConfig(
        decoder_start_token_id=config.decoder_start_token_id,
        bos_token_id=config.decoder_start_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        max_length=config.max_caption_length,
    )
