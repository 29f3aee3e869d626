"""Queries for `text_search.py`, as people type them, with what has to hold of a network that is a right answer."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

Facts = Mapping[str, Any]
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}
M, B = 10**6, 10**9


class Query(NamedTuple):
    """A query with its predicates.

    Attributes:
        text: what is typed.
        family: families of the index of which one has to be that of the network; empty for any.
        reads: modalities, all of which it has to read.
        has: properties that it has to have.
        lacks: properties that it must not have.
        numbers: `(fact, comparison, value)`: a number of the index, or a quantity, of which one value has to fit.
        name: a part that its name or an alias has to have.
    """

    text: str
    family: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    numbers: tuple[tuple[str, str, float], ...] = ()
    name: tuple[str, ...] = ()


def holds(row: Facts, query: Query) -> bool:
    """Whether all that a query says is known to hold of a row of an index."""
    properties = set(row["properties"])
    reads = set(row["modalities"]) | ({"vision"} if row["library"].startswith(("timm", "torchvision")) else set())
    names = " ".join([row["name"], *row["aliases"]]).lower()
    return (
        (not query.family or row["family"] in query.family)
        and set(query.reads) <= reads
        and set(query.has) <= properties
        and (not query.lacks or (bool(properties) and not properties & set(query.lacks)))
        and all(_fits(row, *number) for number in query.numbers)
        and (not query.name or any(part in names for part in query.name))
    )


def _fits(row: Facts, fact: str, comparison: str, value: float) -> bool:
    found = [row[fact]] if fact in row else row["quantities"].get(fact, [])
    return any(number is not None and _COMPARE[comparison](number, value) for number in found)


TRANSFORMER, CONVOLUTIONAL = ("transformer", "hybrid"), ("convolutional",)
SEEN: tuple[Query, ...] = (
    Query("a small vision transformer", TRANSFORMER, ("vision",), numbers=(("parameters", "<", 50 * M),)),
    Query("small convolutional classifier with squeeze-and-excitation", CONVOLUTIONAL,
          has=("squeeze-and-excitation",), numbers=(("parameters", "<", 30 * M), ("classes", ">", 1))),
    Query("mixture of experts language model", reads=("text",), has=("mixture of experts",)),
    Query("decoder-only LLM with grouped-query attention and fewer than 10B parameters", reads=("text",),
          has=("decoder-only", "grouped-query attention"), numbers=(("parameters", "<", 10 * B),)),
    Query("BERT-like text encoder with 12 layers", reads=("text",), has=("encoder-only",),
          numbers=(("layers", "=", 12),)),
    Query("speech encoder", reads=("audio",), has=("encoder-only",)),
    Query("a recurrent network", ("recurrent",)),
    Query("state space model", ("state-space",)),
    Query("vision transformer with patch size 14", TRANSFORMER, ("vision",), numbers=(("patch", "=", 14),)),
    Query("encoder-decoder transformer for text", TRANSFORMER, ("text",), ("encoder-decoder",)),
    Query("sliding window attention language model", reads=("text",), has=("sliding-window attention",)),
    Query("tiny CNN under 5M parameters", CONVOLUTIONAL, numbers=(("parameters", "<", 5 * M),)),
    Query("resnet with more than 100 layers", CONVOLUTIONAL, numbers=(("depth", ">", 100),), name=("resnet",)),
    Query("convolutional network with group normalization", CONVOLUTIONAL, has=("group normalization",)),
    Query("hybrid of convolution and attention", ("hybrid",)),
    Query("multimodal vision language model", reads=("vision", "text")),
    Query("model with rotary embeddings and RMSNorm, less than 2 billion parameters",
          has=("rotary position embeddings", "RMSNorm"), numbers=(("parameters", "<", 2 * B),)),
    Query("multi-query attention", has=("multi-query attention",)),
    Query("a network without normalization", lacks=("normalization",)),
    Query("huge language model with over 100B parameters", reads=("text",), numbers=(("parameters", ">", 100 * B),)),
    Query("depthwise convolution, fewer than 3M parameters", has=("depthwise convolution",),
          numbers=(("parameters", "<", 3 * M),)),
    Query("image classifier under 1 GFLOPs", reads=("vision",), numbers=(("flops", "<", B), ("classes", ">", 1))),
    Query("transformer with 16 attention heads and hidden size 1024", TRANSFORMER,
          numbers=(("heads", "=", 16), ("hidden_size", "=", 1024))),
    Query("object detection transformer", TRANSFORMER,
          name=("detr", "yolo", "owl", "dino", "deta", "dfine", "d_fine")),
    Query("LSTM", has=("LSTM",)),
    Query("audio transformer smaller than 100M", TRANSFORMER, ("audio",), numbers=(("parameters", "<", 100 * M),)),
    Query("vision transformer with learned positions and at least 300M parameters", TRANSFORMER, ("vision",),
          ("learned position embeddings",), numbers=(("parameters", ">=", 300 * M),)),
    Query("GELU convnet with layer norm", CONVOLUTIONAL, has=("GELU", "layer normalization")),
    Query("something like resnet50 but smaller", numbers=(("parameters", "<", 25_557_032),),
          family=CONVOLUTIONAL, reads=("vision",)),
    Query("encoder-only with vocabulary over 100k", has=("encoder-only",), numbers=(("vocabulary", ">", 100_000),)),
    Query("post-norm transformer", TRANSFORMER, has=("post-norm",)),
)  # fmt: skip
WRITTEN_AFTER: tuple[Query, ...] = (
    Query("lightweight mobile network with hard swish", CONVOLUTIONAL, has=("Hardswish",),
          numbers=(("parameters", "<", 10 * M),)),
    Query("7B llama style model", reads=("text",), has=("decoder-only",),
          numbers=(("parameters", ">", 6 * B), ("parameters", "<", 8.5 * B))),
    Query("MoE with 8 experts and top-2 routing", has=("mixture of experts",),
          numbers=(("experts", "=", 8), ("experts_per_token", "=", 2))),
    Query("text model with no attention", reads=("text",), lacks=("attention",)),
    Query("pre-norm encoder for images, 24 layers", reads=("vision",), has=("pre-norm",),
          numbers=(("layers", "=", 24),)),
    Query("a transformer with cross attention that reads speech", TRANSFORMER, ("audio",), ("cross-attention",)),
    Query("CNN without skip connections", CONVOLUTIONAL, lacks=("skip connections",)),
    Query("GRU", has=("GRU",)),
    Query("models between 1B and 3B parameters with SwiGLU", has=("SwiGLU",),
          numbers=(("parameters", ">", B), ("parameters", "<", 3 * B))),
    Query("network with instance norm", has=("instance normalization",)),
    Query("vit with 4x4 patches", TRANSFORMER, ("vision",), numbers=(("patch", "=", 4),)),
    Query("large convolutional network, more than 200M params", CONVOLUTIONAL,
          numbers=(("parameters", ">", 200 * M),)),
    Query("bert with fewer than 20 million parameters", reads=("text",), has=("encoder-only",),
          numbers=(("parameters", "<", 20 * M),)),
    Query("attention with a 4096 token window", has=("sliding-window attention",), numbers=(("window", "=", 4096),)),
    Query("transposed convolutions", has=("transposed convolution",)),
    Query("decoder with 2 kv heads", has=("decoder-only",), numbers=(("kv_heads", "=", 2),)),
    Query("efficientnet under 10M", CONVOLUTIONAL, numbers=(("parameters", "<", 10 * M),), name=("efficientnet",)),
    Query("swin transformer for images with window attention", TRANSFORMER, ("vision",), name=("swin",)),
)  # fmt: skip
