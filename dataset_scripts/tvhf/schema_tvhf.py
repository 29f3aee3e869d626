"""The facts that predicates speak of, one table: type, level, meaning.

Levels: `tower` (a stack of layers, or the stages of one; a scope says which tower), `network` (the whole graph) and
`table` (the registry of families: purpose and origin, which no graph proves).
"""

from __future__ import annotations

from typing import NamedTuple

SCOPES: tuple[str, ...] = ("encoder", "decoder", "text", "vision", "audio", "each", "some")
"""By role: `encoder.`, `decoder.`; by what a tower reads: `text.`, `vision.`, `audio.`; of all: `each.`, `some.`."""


class FactSpec(NamedTuple):
    """One fact.

    Attributes:
        kind: `number`, `numbers`, `word`, `words` or `flag`.
        level: `tower`, `network` or `table`.
        meaning: for people who write predicates.
        words: the values that a word can have; empty = any.
        example: a predicate.
        additive: whether people also mean the sum over towers.
    """

    kind: str
    level: str
    meaning: str
    words: tuple[str, ...] = ()
    example: str = ""
    additive: bool = False


class CallSpec(NamedTuple):
    """One call: the kinds of its arguments, whether it gives a number, and what it means."""

    arguments: tuple[str, ...]
    counts: bool
    meaning: str


ATTENTION_KINDS = ("multi-head", "grouped-query", "multi-query", "none")
NORM_POSITIONS = ("pre", "post", "sandwich", "branch-end", "none", "other")
ROLES = ("encoder", "decoder", "stages", "stack")
MIXERS = ("attention", "convolution", "scan", "pooling", "linear", "mixed")
NETWORK_KINDS = ("convolutional", "transformer", "hybrid", "recurrent", "state-space", "other")
FORMS = ("encoder-only", "decoder-only", "encoder-decoder", "none")

FACTS: dict[str, FactSpec] = {
    "depth": FactSpec("number", "tower", "layers, or residual blocks over all stages", example="depth == 12",
                      additive=True),
    "stages": FactSpec("numbers", "tower", "blocks of each stage, of a tower with stages; [] without",
                       example="stages == [3, 4, 6, 3]"),
    "num_stages": FactSpec("number", "tower", "number of stages; 1 for a tower of one width",
                           example="num_stages == 4"),
    "hidden": FactSpec("number", "tower", "hidden size or channels of the stream; in stages all have to agree",
                       example="hidden == 768"),
    "widths": FactSpec("numbers", "tower", "width of each stage; [] without stages",
                       example="widths == [96, 192, 384, 768]"),
    "heads": FactSpec("number", "tower", "attention heads; 0 without attention", example="heads == 12"),
    "stage_heads": FactSpec("numbers", "tower", "attention heads of each stage", example="stage_heads == [3, 6]"),
    "kv_heads": FactSpec("number", "tower", "heads of keys and values", example="kv_heads < heads"),
    "head_dim": FactSpec("number", "tower", "size of a head", example="head_dim == 128"),
    "attention": FactSpec("word", "tower", "how keys and values are shared between heads", ATTENTION_KINDS,
                          "attention == grouped-query"),
    "causal": FactSpec("flag", "tower", "attention looks back only", example="decoder.causal"),
    "cross": FactSpec("flag", "tower", "has cross-attention to another tower", example="decoder.cross"),
    "window": FactSpec("number", "tower", "tokens of the sliding window; 0 without", example="window == 4096"),
    "local_layers": FactSpec("number", "tower", "layers with a sliding window", example="local_layers == 13"),
    "global_layers": FactSpec("number", "tower", "attention layers without a window", example="global_layers == 4"),
    "intermediate": FactSpec("number", "tower", "inner width of the feed-forward part",
                             example="intermediate == 4 * hidden"),
    "gated": FactSpec("flag", "tower", "feed-forward part with a gate (GLU, SwiGLU, GeGLU)", example="gated"),
    "activation": FactSpec("word", "tower", "the commonest activation inside the layers, an op type",
                           example="activation == GELU"),
    "activations": FactSpec("words", "tower", "activations inside the layers", example="GELU in activations"),
    "norm": FactSpec("word", "tower", "the commonest normalization inside the layers, an op type",
                     example="norm == RMSNorm"),
    "norms": FactSpec("words", "tower", "normalizations inside the layers", example="LayerNorm in norms"),
    "norm_position": FactSpec("word", "tower", "pre: before each branch; post: after each addition; sandwich: before "
                              "and at the end of each branch; branch-end", NORM_POSITIONS, "norm_position == pre"),
    "role": FactSpec("word", "tower", "what the tower is", ROLES, "role == encoder"),
    "mixer": FactSpec("word", "tower", "what mixes positions", MIXERS, "mixer == attention"),
    "kernels": FactSpec("words", "tower", "kernels of the convolutions inside the layers", example="7x7 in kernels"),
    "parameters": FactSpec("number", "network", "unique parameters", example="parameters ~ 110M"),
    "towers": FactSpec("number", "network", "towers of layers, auxiliary ones left out", example="towers == 2"),
    "form": FactSpec("word", "network", "how transformer towers are put together", FORMS, "form == decoder-only"),
    "kind": FactSpec("word", "network", "what carries the data", NETWORK_KINDS, "kind == convolutional"),
    "vocabulary": FactSpec("number", "network", "rows of the largest embedding table that reads an input",
                           example="vocabulary == 30522"),
    "tables": FactSpec("numbers", "network", "rows of all embedding tables outside of the layers",
                       example="512 in tables"),
    "positions": FactSpec("number", "network", "rows of the table of learned positions (of text, or of patches and "
                          "special tokens); unknown without one", example="positions == 512"),
    "token_types": FactSpec("number", "network", "rows of the table of segment types; 0 without",
                            example="token_types == 2"),
    "tied": FactSpec("flag", "network", "the output layer uses the embedding's weights", example="tied"),
    "rotary": FactSpec("flag", "network", "rotary position embedding", example="rotary"),
    "patch": FactSpec("number", "network", "side of the square patches that the first convolution cuts; 0 without",
                      example="patch == 16"),
    "stem_kernel": FactSpec("number", "network", "kernel side of the first convolution", example="stem_kernel == 7"),
    "stem_stride": FactSpec("number", "network", "stride of the first convolution", example="stem_stride == 2"),
    "experts": FactSpec("number", "network", "experts of each mixture; 0 without", example="experts == 8"),
    "top_k": FactSpec("number", "network", "experts that a token is sent to; 0 without experts", example="top_k == 2"),
    "state_space": FactSpec("flag", "network", "has selective state-space layers", example="state_space"),
    "kv_cache": FactSpec("number", "network", "bytes of keys and values for each token, in 16 bits",
                         example="kv_cache < 200k"),
    "inputs": FactSpec("number", "network", "tensors that it reads", example="inputs == 2"),
    "outputs": FactSpec("number", "network", "tensors that it gives", example="outputs == 1"),
    "attention_layers": FactSpec("number", "network", "attention operations", example="attention_layers == 0"),
    "depthwise": FactSpec("number", "network", "convolutions with a filter for each channel", example="depthwise > 0"),
    "grouped": FactSpec("number", "network", "convolutions with groups of channels", example="grouped == 16"),
    "depth_of_layers": FactSpec("number", "network", "weighted and other layers on the longest path",
                                example="depth_of_layers > 100"),
    "modality": FactSpec("words", "table", "what it works on", example="vision in modality"),
    "paradigm": FactSpec("word", "table", "what people call such a network, as the registry lists it",
                         example='paradigm == "dual encoder"'),
    "tasks": FactSpec("words", "table", "what it was made for; complete but for tasks that a head alone adds",
                       example='"speech recognition" in tasks'),
    "year": FactSpec("number", "table", "year of publication", example="year == 2018"),
    "library": FactSpec("word", "table", "library that it is built by", ("transformers", "torchvision"),
                        "library == torchvision"),
    "origin": FactSpec("words", "table", "facts on where it comes from, as `key=value` in quotes",
                       example='"organisation=Google" in origin'),
}  # fmt: skip
"""Name -> specification, in the order in which people read them."""

CALLS: dict[str, CallSpec] = {
    "contains": CallSpec(("layer",), False, "has a layer of this kind"),
    "lacks": CallSpec(("layer",), False, "has no layer of this kind"),
    "count": CallSpec(("layer",), True, "number of layers of this kind"),
    "layers": CallSpec(("category",), True, "number of layers of a category"),
    "kernel": CallSpec(("layer", "kernel"), False, "a layer of this kind has this kernel"),
    "more": CallSpec(("layer", "layer"), False, "more layers of the first kind than of the second"),
    "follows": CallSpec(("layer", "layer"), False, "a layer of the first kind directly follows one of the second"),
    "most_frequent": CallSpec(("layer",), False, "no other kind of layer is as frequent"),
    "first": CallSpec(("layer",), False, "the first layer that an input meets"),
    "last": CallSpec(("layer",), False, "the last layer before an output"),
    "skips": CallSpec(
        ("join",), True, "joins by `add` or `cat` of a value with what layers made of it (no projections)"
    ),
}
"""Calls of the language."""
