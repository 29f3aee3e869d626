"""Configuration of ArchBERT: one strict dataclass, and the presets `paper`, `small` and `mini`."""

from functools import lru_cache
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import BertConfig, PreTrainedConfig

SPECIAL_OPS = ("[PAD]", "[UNK]", "[MASK]", "[GRAPH]")
"""The first entries of every op vocabulary; their positions are their ids."""
PAD_OP_ID, UNKNOWN_OP_ID, MASK_OP_ID, GRAPH_OP_ID = range(len(SPECIAL_OPS))

LINK_COLUMNS = ("op_id", "kernel_h", "kernel_w", "kind", "group")
"""What one row of `ArchBertConfig.answer_links` holds."""
CONVOLUTION_KINDS = ("", "dilated", "separable", "plain")
"""The values of the column `kind`, by their codes."""


@strict
class ArchBertConfig(PreTrainedConfig):
    r"""Configuration of every ArchBERT model.

    The defaults are the paper's method with all extensions off; `from_preset` gives whole configurations.

    Args:
        text_config: sizes of the text embeddings and of the encoder that text and graphs share (a `BertConfig`).
        ops: the op vocabulary, specials first. Sets `num_ops`.
        num_ops: size of the op vocabulary, where `ops` is not given.
        num_attributes: columns of `node_attributes`.
        num_buckets: number of bucket ids of shapes and attributes.
        num_gat_layers: layers of graph attention; 0 for none.
        gat_heads: heads of each graph attention.
        num_fold_rounds: rounds of Weisfeiler-Lehman refinement with which graphs are folded.
        fold_direction: `"predecessors"` (graph attention attends to predecessors) or `"both"`.
        op_piece_length: word pieces kept of an op name outside the vocabulary.
        max_nodes: where the processor cuts a graph; `None` for never.
        max_blocks: the most block tokens of a graph.
        use_attributes, use_shapes, use_edges, use_node_features, use_graph_token, use_block_tokens: parts of the
            input that the model sees.
        use_cross_encoder: graphs pass through the encoder that text passes through (E_c, eq. 2); the ablation
            without it takes the states of the graph attention as they are.
        use_op_histogram: the token of the graph carries how often each op occurs.
        number_embedding_size: width of the tables that embed the buckets of shapes and attributes before one linear
            map joins them; `None` embeds each shape dimension at full width and adds them up, as in the paper.
        pooling: `"mean"` (the paper) or `"attention"` (mean, maximum, learned queries and graph token, joined).
        num_pooling_queries: learned queries of `pooling="attention"`.
        similarity_loss: `"mse"` (eq. 3) or `"sigmoid"` (binary cross entropy on `scale * cosine + bias`, learned).
        use_reasoning_head: also judge statements by cross attention, beside the cosine.
        reasoning_loss_weight: weight of that in pre-training.
        reasoning_numbers: the reasoning head also looks for the number of a claim in the shapes and attributes of the
            nodes that the claim points at.
        question_topics: names of what questions may ask for, one number or name of the whole network each
            (`processing_archbert.topics_archbert`); a head of its own says which one a question asks for, or none.
        topic_hidden_size: width of that head.
        claim_types: names of the kinds of claims that statements make, where the training data tell them.
        contrastive_loss_weight: weight, beside the similarity, of choosing among the architectures of a step those
            that a text is right about (`contrastive_loss`).
        clone_loss_weight: weight of telling architectures that are alike from others (`clone_loss`).
        mam_loss_weight: alpha of eq. 5; 0 switches masked architecture modeling off.
        mam_probability: share of the node tokens that are masked.
        mam_shared_pass: mask the graphs that the other losses see (as the paper does) instead of encoding twice.
        mam_graph_fraction: share of the graphs of a step in which nodes are masked.
        answer_loss_weight: weight of question answering where `ArchBertForPreTraining` is given answers, too.
        fusion: `"product"` (eq. 6) or `"cross_attention"` (the question attends over the tokens of the graph).
        num_fusion_layers, fusion_heads, fusion_intermediate_size: sizes of `fusion="cross_attention"`; heads and
            intermediate size default to those of the text encoder.
        use_copy: add to each answer's logit how relevant the nodes are that it is linked to.
        relevance_size: width of the bilinear form that says how relevant a node is for a question.
        answer_links: one row per answer with the columns `LINK_COLUMNS`: a node matches when it has this op, kernel
            and kind of convolution (-1 or 0: any; `kind` is a code of `CONVOLUTION_KINDS`). A row without any
            condition matches every node. Answers of a `group` share one relevance; -1 links the answer to nothing.
        similarity_scale, similarity_bias: calibration of the similarity: outside training, its probability is
            `sigmoid(scale * cosine + bias)`; `None` keeps what was learned.
        similarity_threshold: cosine from which a statement counts as right.
        reasoning_threshold: logit of the reasoning head from which a statement counts as right.
        reasoning_scale: calibration of that logit: `sigmoid(scale * (logit - threshold))` is the probability.
        clone_threshold: cosine of two architectures above which they count as similar; `None` where it has not been
            fitted on pairs of architectures.
        bimodal_clone_threshold: the same of the mean cosine of two architectures with a supporting text.
        answer_scale, answer_bias: calibration of answers, applied to their logits outside training.
        decoder_layers: layers of the decoder that writes captions; 0 for no decoder.
        decoder_heads, decoder_intermediate_size: its sizes; default to those of the text encoder.
        max_caption_length: the most word pieces of a caption.
        caption_kinds: names of the kinds of captions (length and style) that can be asked for; `None` for one kind.
        caption_token_ids: word pieces that captions are made of; `None` for all of the vocabulary.
        claim_thresholds: type of claim -> least log probability of its words for which the model is sure of it.
        use_tally_tokens: the decoder also reads how many layers of each kind there are, a token each.
        use_exact_numbers: and the output size of every token, the longest path and the skip connections, by their
            digits (`node_sizes` and `graph_counts` of the batch).
        use_stated_facts: and first and last layers, kernels, heads, repeated blocks and what follows what
            (`stated_facts` of the batch); needs `use_tally_tokens`.
        op_categories: category of layers of every op of `ops`, `""` for no layer; `use_tally_tokens` needs it.
        caption_loss_weight: weight of captioning where `ArchBertForPreTraining` is given captions, too.
        decoder_start_token_id, eos_token_id, pad_token_id: word pieces that stand before, behind and beside captions.
        extraction_version: version of the graphs that the model was trained on.

    Raises:
        StrictDataclassError: for a value of a wrong type, or sizes that do not fit together (naming both).
    """

    model_type = "archbert"
    sub_configs_defaults = {"text_config": BertConfig}
    sub_configs = {"text_config": BertConfig}  # its name before transformers 5.21

    text_config: dict | BertConfig | None = None
    ops: list[str] | None = None
    num_ops: int = 256
    num_attributes: int = 20
    num_buckets: int = 256
    num_gat_layers: int = 2
    gat_heads: int = 4
    num_fold_rounds: int = 2
    fold_direction: Literal["predecessors", "both"] = "predecessors"
    op_piece_length: int = 8
    max_nodes: int | None = None
    max_blocks: int = 16
    use_attributes: bool = False
    use_shapes: bool = True
    use_edges: bool = True
    use_node_features: bool = False
    use_graph_token: bool = False
    use_block_tokens: bool = False
    use_cross_encoder: bool = True
    use_op_histogram: bool = False
    number_embedding_size: int | None = None
    pooling: Literal["mean", "attention"] = "mean"
    num_pooling_queries: int = 8
    similarity_loss: Literal["mse", "sigmoid"] = "mse"
    use_reasoning_head: bool = False
    reasoning_loss_weight: float | int = 1.0
    reasoning_numbers: bool = False
    claim_types: list[str] | None = None
    question_topics: list[str] | None = None
    topic_hidden_size: int = 128
    contrastive_loss_weight: float | int = 0.0
    clone_loss_weight: float | int = 1.0
    mam_loss_weight: float | int = 5e-2
    mam_probability: float | int = 0.15
    mam_shared_pass: bool = True
    mam_graph_fraction: float | int = 1.0
    answer_loss_weight: float | int = 1.0
    fusion: Literal["product", "cross_attention"] = "product"
    num_fusion_layers: int = 2
    fusion_heads: int | None = None
    fusion_intermediate_size: int | None = None
    use_copy: bool = False
    relevance_size: int = 64
    answer_links: list[list[int]] | None = None
    similarity_scale: float | int | None = None
    similarity_bias: float | int | None = None
    similarity_threshold: float | int = 0.5
    reasoning_threshold: float | int = 0.0
    reasoning_scale: float | int = 1.0
    clone_threshold: float | int | None = None
    bimodal_clone_threshold: float | int | None = None
    answer_scale: float | int = 1.0
    answer_bias: float | int = 0.0
    decoder_layers: int = 0
    decoder_heads: int | None = None
    decoder_intermediate_size: int | None = None
    max_caption_length: int = 512
    caption_kinds: list[str] | None = None
    caption_token_ids: list[int] | None = None
    claim_thresholds: dict[str, float] | None = None
    use_tally_tokens: bool = False
    use_exact_numbers: bool = False
    use_stated_facts: bool = False
    op_categories: list[str] | None = None
    caption_loss_weight: float | int = 1.0
    decoder_start_token_id: int | None = None
    eos_token_id: int | None = None
    pad_token_id: int | None = None
    extraction_version: int = 1

    def __post_init__(self, **kwargs: Any) -> None:
        """Derive `num_ops` from `ops`, make `label2id` of `id2label`, and fill in the sub-config."""
        if self.ops is not None:
            self.num_ops = len(self.ops)
        if self.id2label is not None and getattr(self, "label2id", None) is None:
            self.label2id = {label: int(index) for index, label in self.id2label.items()}
        if not isinstance(self.text_config, PreTrainedConfig):  # before transformers 5.21 nobody else does it
            self.text_config = BertConfig(**(self.text_config or {}))
        super().__post_init__(**kwargs)

    @classmethod
    def from_preset(cls, name: str, captions: bool = False, **overrides: Any) -> "ArchBertConfig":
        """A whole configuration by its name.

        Args:
            name: `"paper"` (the method of the paper at BERT-base size), `"small"` (6 layers of 384, text side of a
                small sentence encoder) or `"mini"` (4 layers of 256, 8,000 word pieces).
            captions: with the preset's decoder (`DECODERS`), to write captions.
            **overrides: fields of this class that replace the preset's. A dict given for `text_config` is merged
                into the preset's.

        Raises:
            ValueError: for an unknown name.
        """
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}; there are {', '.join(map(repr, PRESETS))}")
        fields = {**PRESETS[name], **(DECODERS[name] if captions else {}), **overrides}
        if fields.get("fusion") == "product":  # what only cross attention has
            fields |= {name: overrides.get(name, False) for name in ("use_copy", "use_reasoning_head")}
        text_config = overrides.get("text_config", {})
        if isinstance(text_config, dict):
            fields["text_config"] = {**PRESETS[name]["text_config"], **text_config}
        return cls(**fields)

    @property
    def hidden_size(self) -> int:
        """Width of every embedding (d in the paper)."""
        text: Any = self.text_config
        return text.hidden_size

    @property
    def decoder_config(self) -> BertConfig:
        """Sizes of the decoder, as `generate` wants them for its cache."""
        text: Any = self.text_config
        heads = self.decoder_heads or text.num_attention_heads
        return _decoder_config(text.vocab_size, text.hidden_size, self.decoder_layers, heads)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Any:
        """The decoder's sizes where the decoder is asked for and there is one, else those of the text encoder."""
        if decoder and not encoder and self.decoder_layers:
            return self.decoder_config
        return self.text_config

    def validate_decoder(self) -> None:
        """Check the sizes of the decoder, and that it has what it writes and counts with."""
        text: Any = self.text_config
        if self.decoder_layers < 0 or self.max_caption_length < 2:
            raise ValueError(
                f"decoder_layers ({self.decoder_layers}) must not be below 0, and max_caption_length "
                f"({self.max_caption_length}) not below 2"
            )
        if not self.decoder_layers:
            return
        _divides(text.hidden_size, "decoder_heads", self.decoder_heads or text.num_attention_heads)
        for token in self.caption_token_ids or ():
            if not 0 <= token < text.vocab_size:
                raise ValueError(f"caption_token_ids has {token}, text_config.vocab_size is {text.vocab_size}")
        for kind, threshold in (self.claim_thresholds or {}).items():
            if not threshold <= 0:
                raise ValueError(f"claim_thresholds has {threshold} for {kind!r}; a log probability is not above 0")
        if self.use_exact_numbers and not self.use_tally_tokens:
            raise ValueError("use_exact_numbers (True) needs use_tally_tokens, which is False")
        if self.use_stated_facts and not self.use_tally_tokens:
            raise ValueError("use_stated_facts (True) needs use_tally_tokens, which is False")
        if self.use_tally_tokens and (self.ops is None or len(self.op_categories or ()) != self.num_ops):
            raise ValueError(
                f"use_tally_tokens (True) needs ops and op_categories of equal length; there are "
                f"{len(self.ops or ())} and {len(self.op_categories or ())}"
            )

    def validate_architecture(self) -> None:
        """Check that sizes fit together; each message names both numbers."""
        text: Any = self.text_config
        width = text.hidden_size
        heads = self.fusion_heads or text.num_attention_heads
        for what, size in (("text_config.num_attention_heads", text.num_attention_heads), ("fusion_heads", heads)):
            _divides(width, what, size)
        if self.num_gat_layers:
            _divides(width, "gat_heads", self.gat_heads)
        if self.pooling == "attention":
            _divides(width, "num_pooling_queries", self.num_pooling_queries)
        if self.num_fold_rounds < self.num_gat_layers:
            raise ValueError(
                f"num_fold_rounds ({self.num_fold_rounds}) is smaller than num_gat_layers ({self.num_gat_layers}): "
                "folded graphs would not be encoded as unfolded ones"
            )
        if self.num_buckets < 2 or self.num_ops <= len(SPECIAL_OPS):
            raise ValueError(
                f"num_buckets ({self.num_buckets}) must be at least 2 and num_ops ({self.num_ops}) more than "
                f"{len(SPECIAL_OPS)}, the special entries"
            )
        if self.use_reasoning_head and self.fusion != "cross_attention":
            raise ValueError(f"use_reasoning_head (True) needs fusion 'cross_attention', which is {self.fusion!r}")
        if self.use_op_histogram and not self.use_graph_token:
            raise ValueError("use_op_histogram (True) needs use_graph_token, which is False")

    def validate_vocabulary(self) -> None:
        """Check that the op vocabulary opens with the special entries and names nothing twice."""
        if self.ops is None:
            return
        if tuple(self.ops[: len(SPECIAL_OPS)]) != SPECIAL_OPS:
            raise ValueError(f"ops must begin with {list(SPECIAL_OPS)}, got {self.ops[: len(SPECIAL_OPS)]}")
        if len(set(self.ops)) != len(self.ops):
            twice = sorted({op for op in self.ops if self.ops.count(op) > 1})
            raise ValueError(f"ops holds {len(self.ops)} names, {len(set(self.ops))} of them distinct; twice: {twice}")

    def validate_probabilities(self) -> None:
        """Check that probabilities lie between 0 and 1 and that loss weights are not negative."""
        for name in ("mam_probability", "mam_graph_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} ({getattr(self, name)}) must lie between 0 and 1")
        weights = ("mam", "answer", "reasoning", "contrastive", "clone", "caption")
        for name in (f"{part}_loss_weight" for part in weights):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} ({getattr(self, name)}) must not be below 0")

    def validate_answer_links(self) -> None:
        """Check that there is one link per answer, with one number per column, within the vocabulary."""
        if self.answer_links is None:
            return
        if len(self.answer_links) != self.num_labels:
            raise ValueError(f"answer_links has {len(self.answer_links)} rows for num_labels ({self.num_labels})")
        for index, link in enumerate(self.answer_links):
            if len(link) != len(LINK_COLUMNS):
                raise ValueError(f"answer_links[{index}] has {len(link)} numbers, {len(LINK_COLUMNS)} are needed")
            if not -1 <= link[0] < self.num_ops:
                raise ValueError(f"answer_links[{index}] names op {link[0]}, num_ops is {self.num_ops}")
            if not 0 <= link[3] < len(CONVOLUTION_KINDS):
                raise ValueError(f"answer_links[{index}] has kind {link[3]}, allowed are 0 to 3")


@lru_cache
def _decoder_config(vocab_size: int, width: int, layers: int, heads: int) -> BertConfig:
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        is_decoder=True,
        add_cross_attention=True,
    )


def _divides(width: int, what: str, size: int) -> None:
    if size < 1 or width % size:
        raise ValueError(f"hidden_size ({width}) is not a multiple of {what} ({size})")


_EXTENDED: dict[str, Any] = {
    "use_attributes": True,
    "use_node_features": True,
    "use_graph_token": True,
    "use_block_tokens": True,
    "use_op_histogram": True,
    "pooling": "attention",
    "similarity_loss": "sigmoid",
    "fusion": "cross_attention",
    "use_copy": True,
    "use_reasoning_head": True,
}

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"text_config": {}, "max_nodes": 512, "mam_loss_weight": 5e-2},
    "small": {
        **_EXTENDED,
        "text_config": {
            "vocab_size": 30522,
            "hidden_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 12,
            "intermediate_size": 1536,
        },
        "number_embedding_size": 64,
        "reasoning_numbers": True,
    },
    "mini": {
        **_EXTENDED,
        "text_config": {
            "vocab_size": 8000,
            "hidden_size": 256,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 1024,
            "max_position_embeddings": 128,
        },
        "number_embedding_size": 20,
        "fusion_intermediate_size": 512,
    },
}
"""Fields of each preset that differ from the defaults."""

DECODERS: dict[str, dict[str, Any]] = {
    "paper": {"decoder_layers": 1},
    "small": {
        "decoder_layers": 2,
        "decoder_intermediate_size": 128,
        "use_tally_tokens": True,
        "use_exact_numbers": True,
        "use_stated_facts": True,
    },
    "mini": {
        "decoder_layers": 2,
        "decoder_intermediate_size": 512,
        "use_tally_tokens": True,
        "use_exact_numbers": True,
        "use_stated_facts": True,
    },
}
"""The decoder of each preset: that of `paper` is the one of section 5.5; `small` stays below 65 MB with its own."""
