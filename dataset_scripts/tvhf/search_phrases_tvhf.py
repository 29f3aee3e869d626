"""The words of compositional queries: nouns for kinds of networks, properties and sizes, each with its predicate.

A property has a form after "with" and a statement of its own. Predicates are those of `predicates_tvhf`.
"""

from __future__ import annotations

from typing import NamedTuple


class Noun(NamedTuple):
    """A kind of network: singular with its article, plural, predicate."""

    singular: str
    plural: str
    predicate: str


class Property(NamedTuple):
    """A property: what follows "with", a statement, its predicate, and the topic that a query has once only."""

    phrase: str
    statement: str
    predicate: str
    topic: str


NOUNS: tuple[Noun, ...] = (
    Noun("a decoder", "decoders", "form == decoder-only"),
    Noun("a decoder-only transformer", "decoder-only transformers", "form == decoder-only"),
    Noun("an encoder", "encoders", "form == encoder-only"),
    Noun("an encoder-only transformer", "encoder-only transformers", "form == encoder-only"),
    Noun("an encoder-decoder", "encoder-decoders", "form == encoder-decoder"),
    Noun("a sequence-to-sequence transformer", "sequence-to-sequence transformers", "form == encoder-decoder"),
    Noun("a convolutional network", "convolutional networks", "kind == convolutional"),
    Noun(
        "a network without softmax attention",
        "networks without softmax attention",
        "attention_layers == 0 and lacks(Softmax)",
    ),
    Noun(
        "a model that mixes convolution and attention", "models that mix convolution and attention", "kind == hybrid"
    ),
    Noun("a transformer", "transformers", "kind == transformer"),
    Noun("a mixture of experts", "mixtures of experts", "experts > 0"),
    Noun("a model with state space layers", "models with state space layers", "state_space"),
    Noun("a model with two towers", "models with two towers", "towers == 2"),
    Noun("a model", "models", ""),
)

PROPERTIES: tuple[Property, ...] = (
    Property("grouped-query attention", "Several query heads share one head of keys and values.",
             "some.attention == grouped-query", "sharing"),
    Property("multi-query attention", "All query heads share a single head of keys and values.",
             "some.attention == multi-query", "sharing"),
    Property("as many kv heads as query heads", "Every query head has keys and values of its own.",
             "attention == multi-head", "sharing"),
    Property("8 kv heads", "Keys and values are kept for eight heads.", "kv_heads == 8", "kv heads"),
    Property("12 heads", "Attention is split into twelve heads.", "heads == 12", "heads"),
    Property("16 heads", "Attention is split into sixteen heads.", "heads == 16", "heads"),
    Property("32 heads", "Attention is split into 32 heads.", "heads == 32", "heads"),
    Property("at most 8 heads", "No layer has more than eight attention heads.", "heads > 0 and heads <= 8", "heads"),
    Property("heads of size 128", "Each head works on 128 features.", "head_dim == 128", "head size"),
    Property("heads of size 64", "Each head works on 64 features.", "head_dim == 64", "head size"),
    Property("12 layers", "Twelve layers follow each other.", "depth == 12", "depth"),
    Property("24 layers", "It stacks 24 layers.", "depth == 24", "depth"),
    Property("32 layers", "It stacks 32 layers.", "depth == 32", "depth"),
    Property("more than 40 layers", "It is more than forty layers deep.", "depth > 40", "depth"),
    Property("at most 6 layers", "It has six layers or fewer.", "depth <= 6", "depth"),
    Property("hidden size 768", "Hidden states are 768 wide.", "hidden == 768", "width"),
    Property("hidden size 1024", "Hidden states are 1024 wide.", "hidden == 1024", "width"),
    Property("hidden size 4096", "Hidden states are 4096 wide.", "hidden == 4096", "width"),
    Property("hidden states below 512", "Hidden states have fewer than 512 features.", "hidden < 512", "width"),
    Property("rotary positions", "Positions enter as rotations of queries and keys.", "rotary", "positions"),
    Property("learned positions", "Each position has a learned vector.", "positions > 0", "positions"),
    Property("512 learned positions", "It has learned vectors for 512 positions.", "positions == 512", "positions"),
    Property("RMSNorm", "Features are normalized by their root mean square.", "norm == RMSNorm", "normalization"),
    Property("LayerNorm", "Layer normalization is what its layers use.", "norm == LayerNorm", "normalization"),
    Property("2D batch normalization", "Two-dimensional batch normalization is part of it.", "contains(BatchNorm2d)",
             "normalization"),
    Property("group normalization", "It normalizes in groups of channels.", "contains(GroupNorm)", "normalization"),
    Property("post-norm layers", "Its layers normalize after each addition.", "norm_position == post", "norm place"),
    Property("pre-norm layers", "Its layers normalize before each branch.", "norm_position == pre", "norm place"),
    Property("a sliding window", "Attention in it is limited to a sliding window.", "some.window > 0", "window"),
    Property("both local and global attention", "Layers with a window stand beside layers without one.",
             "some.local_layers > 0 and some.global_layers > 0", "window"),
    Property("gated feed-forward layers", "A gate multiplies the inner features of its feed-forward layers.", "gated",
             "gate"),
    Property("plain feed-forward layers", "Its feed-forward layers have no gate.", "not gated", "gate"),
    Property("GELU", "GELU is the activation of its layers.", "activation == GELU", "activation"),
    Property("SiLU", "SiLU is the activation of its layers.", "activation == SiLU", "activation"),
    Property("ReLU", "ReLU is the activation of its layers.", "activation == ReLU", "activation"),
    Property("an inner layer four times the hidden size", "Its inner feed-forward layer is four times as wide.",
             "intermediate == 4 * hidden", "inner"),
    Property("depthwise convolutions", "Some of its convolutions have one filter for each channel.", "depthwise > 0",
             "grouping"),
    Property("grouped convolutions", "Some of its convolutions work on groups of several channels.", "grouped > 0",
             "grouping"),
    Property("more than three adaptive average poolings", "It pools adaptively by average in more than three places.",
             "count(AdaptiveAvgPool2d) > 3", "pooling"),
    Property("2D max pooling", "A two-dimensional maximum is pooled somewhere in it.", "contains(MaxPool2d)",
             "pooling"),
    Property("7x7 kernels", "It has a two-dimensional convolution with a 7 by 7 kernel.", "kernel(Conv2d, 7x7)",
             "kernel"),
    Property("5x5 kernels", "It has a two-dimensional convolution with a 5 by 5 kernel.", "kernel(Conv2d, 5x5)",
             "kernel"),
    Property("patches of 16 pixels", "An image enters as patches of 16 by 16 pixels.", "patch == 16", "patch"),
    Property("patches of 14 pixels", "An image enters as patches of 14 by 14 pixels.", "patch == 14", "patch"),
    Property("patches of 4 pixels", "An image enters as patches of 4 by 4 pixels.", "patch == 4", "patch"),
    Property("four stages", "Its blocks form four stages.", "num_stages == 4", "stages"),
    Property("a vocabulary above 100k tokens", "Its vocabulary is larger than 100,000 tokens.", "vocabulary > 100000",
             "vocabulary"),
    Property("a vocabulary below 35k tokens", "Its vocabulary is smaller than 35,000 tokens.",
             "vocabulary > 0 and vocabulary < 35000", "vocabulary"),
    Property("cross-attention", "One of its towers attends to another.", "some.cross", "cross"),
    Property("8 experts", "A router chooses among eight experts.", "experts == 8", "experts"),
    Property("more than 50 experts", "A router chooses among more than fifty experts.", "experts > 50", "experts"),
    Property("2 active experts per token", "Two experts work on every token.", "top_k == 2", "top k"),
    Property("2D transposed convolutions", "It has a transposed two-dimensional convolution.",
             "contains(ConvTranspose2d)", "upsampling"),
    Property("an LSTM", "A long short-term memory is part of it.", "contains(LSTM)", "recurrence"),
    Property("a kv cache under 100 kB per token", "Its cache grows by less than 100,000 bytes for each token.",
             "kv_cache > 0 and kv_cache < 100k", "cache"),
)  # fmt: skip

WITHOUT: tuple[Property, ...] = (
    Property(
        "batch normalization",
        "It does without batch normalization.",
        "lacks(BatchNorm1d) and lacks(BatchNorm2d) and lacks(BatchNorm3d)",
        "normalization",
    ),
    Property("layer normalization", "It does without layer normalization.", "lacks(LayerNorm)", "normalization"),
    Property("rotary positions", "It does without rotary positions.", "not rotary", "positions"),
    Property("GELU", "GELU occurs nowhere in it.", "lacks(GELU)", "activation"),
    Property(
        "dilated 2D convolutions",
        "None of its two-dimensional convolutions is dilated.",
        "lacks(Dil_conv2d)",
        "grouping",
    ),
    Property("any convolution", "It does without convolutions.", "layers(convolution) == 0", "kernel"),
    Property("any pooling", "It does without pooling.", "layers(pooling) == 0", "pooling"),
    Property("experts", "Its feed-forward layers are not split into experts.", "experts == 0", "experts"),
)
"""Properties that a query excludes; the phrase follows "without"."""

SIZES: tuple[Property, ...] = (
    Property("fewer than 5 M parameters", "It has fewer than five million parameters.", "parameters < 5M", "size"),
    Property("fewer than 30 M parameters", "It has fewer than thirty million parameters.", "parameters < 30M", "size"),
    Property("less than 100 M parameters", "It stays below a hundred million parameters.", "parameters < 100M",
             "size"),
    Property("100 to 200 M parameters", "It has between one and two hundred million parameters.",
             "parameters >= 100M and parameters <= 200M", "size"),
    Property("300 to 500 M parameters", "It has between three and five hundred million parameters.",
             "parameters >= 300M and parameters <= 500M", "size"),
    Property("more than 1 B parameters", "It has more than a billion parameters.", "parameters > 1B", "size"),
    Property("fewer than 3 B parameters", "It has fewer than three billion parameters.", "parameters < 3B", "size"),
    Property("6 to 9 B parameters", "It has six to nine billion parameters.",
             "parameters >= 6B and parameters <= 9B", "size"),
    Property("more than 20 B parameters", "It has more than twenty billion parameters.", "parameters > 20B", "size"),
    Property("over 100 B parameters", "It has over a hundred billion parameters.", "parameters > 100B", "size"),
)  # fmt: skip
"""Sizes; the phrase follows "with" or "of"."""
