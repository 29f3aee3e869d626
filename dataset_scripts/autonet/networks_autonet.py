"""Random networks of vision and language, after the paper's section 4.2: sampled as JSON, built as real modules.

* `sample_network(seed)` draws a spec: a dict of plain JSON values, the same bytes for a seed on every machine.
* `build_network(spec)` makes the trainable `torch.nn.Module`; under `torch.device("meta")` it allocates nothing.
* `example_inputs(spec)` gives tensors that the network takes.

A spec holds the inputs and the items of a small register program. An item is a block (a cell class and its arguments),
how often it is repeated, the names of the values that it reads and the name under which its result is kept::

    {"format_version": 1, "style": "vit", "seed": 7, "inputs": [{"name": "x", "kind": "image", "shape": [3, 64, 64]}],
     "items": [{"block": "patches", "args": {...}}, {"block": "transformer", "args": {...}, "repeat": 12}],
     "outputs": ["x"]}

The repertoire of cells follows DeepNets-1M (searched cells in stages) and goes beyond it to residual, mobile, dense
and branching convolution networks, transformers, state spaces, recurrent, audio, video and two-tower networks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from . import branching_styles_autonet as branching
from . import held_out_sequence_styles_autonet as new_sequences
from . import held_out_vision_styles_autonet as new_vision
from . import sequence_styles_autonet as sequences
from . import transformer_styles_autonet as transformers
from . import vision_styles_autonet as vision
from .boundary_cells_autonet import (
    BagEmbedding,
    PositionConv,
    Queries,
    SequenceHead,
    ToImage,
    TokenEmbedding,
    ToSequence,
    Tower,
    VideoHead,
)
from .draft_autonet import Draft
from .fusion_cells_autonet import Lengthen, SharedHead, Shorten, Spread, ToSignal
from .graph_cells_autonet import ImageHead, SearchedStage
from .mixing_cells_autonet import (
    Fourier,
    Mixer,
    Recurrent,
    SequenceConv,
    SignalUnit,
    StateSpace,
    TimeMix,
    VideoUnit,
)
from .operations_autonet import make_activation, make_norm
from .patch_cells_autonet import Patches, PatchMerge, SpatialCell, WindowCell
from .sequence_cells_autonet import RelativeBias, Rotary, TransformerCell
from .vision_cells_autonet import (
    Branches,
    ConvUnit,
    Dense,
    DepthwiseMixer,
    ImageAttention,
    InvertedResidual,
    Join,
    Pool,
    PoolMixer,
    Residual,
    Resize,
    Shuffle,
    SpatialGate,
    Unshuffle,
    Upscale,
)

FORMAT_VERSION = 1


class Style(NamedTuple):
    """How one family of networks is drafted.

    Attributes:
        draft: function that writes one random network.
        weight: how often the style is drawn, relative to the others.
        held_out: drawn for the split `test` only, or by name: to measure generalization to unseen composition.
    """

    draft: Callable[[Draft], None]
    weight: int
    held_out: bool = False


STYLES: dict[str, Style] = {
    "cell_cnn": Style(vision.cell_cnn, 12),
    "residual_cnn": Style(vision.residual_cnn, 14),
    "plain_cnn": Style(vision.plain_cnn, 9),
    "branch_cnn": Style(branching.branch_cnn, 6),
    "unet": Style(branching.unet, 5),
    "video": Style(branching.video, 5),
    "vit": Style(transformers.vit, 11),
    "text_encoder": Style(transformers.text_encoder, 10),
    "decoder": Style(transformers.decoder, 10),
    "encoder_decoder": Style(transformers.encoder_decoder, 7),
    "recurrent": Style(sequences.recurrent, 5),
    "audio": Style(sequences.audio, 7),
    "mixing": Style(sequences.mixing, 7),
    "experts": Style(transformers.experts, 3),
    "hybrid": Style(sequences.hybrid, 5),
    "bag": Style(sequences.bag, 3),
    "two_towers": Style(sequences.two_towers, 5),
    "queries": Style(new_vision.queries, 3, held_out=True),
    "resolutions": Style(new_vision.resolutions, 3, held_out=True),
    "pyramid": Style(new_vision.pyramid, 3, held_out=True),
    "autoencoder": Style(new_vision.autoencoder, 3, held_out=True),
    "latents": Style(new_sequences.latents, 4, held_out=True),
    "co_attention": Style(new_sequences.co_attention, 4, held_out=True),
    "funnel": Style(new_sequences.funnel, 4, held_out=True),
    "masks": Style(new_sequences.masks, 4, held_out=True),
}
"""Style name -> `Style`. Weights are relative within the styles that are held out and within those that are not."""

TRAIN_STYLES: tuple[str, ...] = tuple(name for name, style in STYLES.items() if not style.held_out)
HELD_OUT_STYLES: tuple[str, ...] = tuple(name for name, style in STYLES.items() if style.held_out)
SPLIT_STYLES: dict[str, tuple[str, ...]] = {
    "train": TRAIN_STYLES, "validation": TRAIN_STYLES, "test": HELD_OUT_STYLES,
}  # fmt: skip
"""Split -> the styles that its networks are drawn from."""


class Keep(nn.Module):
    """The input, kept under another name for a later item."""

    def forward(self, x: Tensor) -> Tensor:
        """Any value, unchanged."""
        return x


class Normalization(nn.Module):
    """A normalization by itself."""

    def __init__(self, name: str, dim: int, layout: str) -> None:
        super().__init__()
        self.norm = make_norm(name, dim, layout)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as the input."""
        return self.norm(x)


class Scores(nn.Module):
    """Softmax or its logarithm over one axis."""

    def __init__(self, axis: int, log: bool = False) -> None:
        super().__init__()
        self.softmax = nn.LogSoftmax(axis) if log else nn.Softmax(axis)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as the input."""
        return self.softmax(x)


class DenseUnit(nn.Module):
    """Linear layer, normalization and activation."""

    def __init__(self, cin: int, cout: int, norm: str = "", act: str = "") -> None:
        super().__init__()
        self.linear = nn.Linear(cin, cout)
        self.norm = make_norm(norm, cout, "sequence")
        self.act = make_activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, cin) to (B, L, cout)."""
        return self.act(self.norm(self.linear(x)))


def _linear(cin: int, cout: int, bias: bool = True) -> nn.Linear:
    return nn.Linear(cin, cout, bias)


def _window(cell: dict[str, Any], **more: Any) -> WindowCell:
    return WindowCell(TransformerCell(**cell), **more)


BLOCKS: dict[str, Callable[..., nn.Module]] = {
    "conv": ConvUnit, "pool": Pool, "residual": Residual, "inverted": InvertedResidual,
    "depthwise_mixer": DepthwiseMixer, "pool_mixer": PoolMixer, "dense": Dense, "branches": Branches,
    "shuffle": Shuffle, "spatial_gate": SpatialGate, "image_attention": ImageAttention, "upscale": Upscale,
    "unshuffle": Unshuffle, "resize": Resize, "cells": SearchedStage, "image_head": ImageHead, "join": Join,
    "keep": Keep,
    "norm": Normalization, "softmax": Scores, "linear": _linear, "dense_unit": DenseUnit, "video": VideoUnit,
    "video_head": VideoHead, "signal": SignalUnit, "tokens": TokenEmbedding, "bag": BagEmbedding, "patches": Patches,
    "to_sequence": ToSequence, "to_image": ToImage, "position_conv": PositionConv,
    "merge": PatchMerge, "window": _window, "spatial": SpatialCell, "rotary": Rotary, "relative_bias": RelativeBias,
    "transformer": TransformerCell, "recurrent": Recurrent, "mixer": Mixer, "state_space": StateSpace,
    "time_mix": TimeMix, "fourier": Fourier, "sequence_conv": SequenceConv, "sequence_head": SequenceHead,
    "tower": Tower, "queries": Queries, "shared_head": SharedHead, "shorten": Shorten, "lengthen": Lengthen,
    "to_signal": ToSignal, "spread": Spread,
}  # fmt: skip
"""Block name -> what builds it from the arguments of an item."""


class Stage(nn.Module):
    """Cells of one item in a row; the first value flows through them, the others reach every cell."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        super().__init__()
        block, args, repeat = BLOCKS[item["block"]], item["args"], item.get("repeat", 1)
        self.rounds = repeat if item.get("shared") else 1
        self.cells = nn.ModuleList(block(**args) for _ in range(1 if item.get("shared") else repeat))

    def forward(self, x: Tensor, *others: Any) -> Any:
        """The first value through all cells."""
        for _ in range(self.rounds):
            for cell in self.cells:
                x = cell(x, *others)
        return x


class CellNetwork(nn.Module):
    """A network made of the items of a spec; called with the inputs that the spec lists, in its order."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__()
        self.input_names = [entry["name"] for entry in spec["inputs"]]
        self.program = [(item.get("take") or ["x"], item.get("to", "x")) for item in spec["items"]]
        self.output_names = list(spec["outputs"])
        self.stages = nn.ModuleList(Stage(item) for item in spec["items"])
        self._tie(spec["items"])

    def _tie(self, items: list[Mapping[str, Any]]) -> None:
        named = {item["name"]: i for i, item in enumerate(items) if "name" in item}
        for i, item in enumerate(items):
            if "tie" in item:
                self.get_submodule(f"stages.{i}.cells.0").weight = self.get_parameter(
                    f"stages.{named[item['tie']]}.cells.0.token.weight"
                )

    def forward(self, *inputs: Tensor) -> Any:
        """Inputs in the order of the spec; one tensor, or a tuple where the spec has several outputs."""
        values: dict[str, Any] = dict(zip(self.input_names, inputs, strict=True))
        for stage, (take, to) in zip(self.stages, self.program, strict=True):
            values[to] = stage(*(None if name is None else values[name] for name in take))
        outputs = tuple(values[name] for name in self.output_names)
        return outputs[0] if len(outputs) == 1 else outputs


def sample_network(seed: int, style: str | None = None, size: str = "normal", split: str = "train") -> dict[str, Any]:
    """Draw a random network.

    Args:
        seed: decides everything; nothing else is random.
        style: a key of `STYLES`; None draws one of the split.
        size: `normal`, or `tiny` for networks that run and train in milliseconds.
        split: `train` or `validation` draw from `TRAIN_STYLES`, `test` from `HELD_OUT_STYLES`.

    Returns:
        A spec of JSON values for `build_network` and `example_inputs`.

    Raises:
        ValueError: for a style, a size or a split that does not exist.
    """
    if split not in SPLIT_STYLES:
        raise ValueError(f"split is {split!r}, allowed are {', '.join(SPLIT_STYLES)}")
    if style is not None and style not in STYLES:
        raise ValueError(f"style is {style!r}, allowed are {', '.join(STYLES)}")
    if size not in ("normal", "tiny"):
        raise ValueError(f"size is {size!r}, allowed are 'normal' and 'tiny'")
    rng = random.Random(seed)
    names = SPLIT_STYLES[split]
    drawn = rng.choices(names, [STYLES[name].weight for name in names])[0]
    style = style or drawn
    draft = Draft(rng, size == "tiny")
    STYLES[style].draft(draft)
    return {"format_version": FORMAT_VERSION, "style": style, "seed": seed, "inputs": draft.inputs,
            "items": draft.items, "outputs": draft.outputs}  # fmt: skip


def build_network(spec: Mapping[str, Any]) -> nn.Module:
    """Build the module of a spec, with fresh random weights from torch's generator, on torch's default device.

    Raises:
        ValueError: for a spec of another format version.
    """
    if spec.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"format_version is {spec.get('format_version')!r}, this package reads {FORMAT_VERSION}")
    return CellNetwork(spec)


def example_inputs(spec: Mapping[str, Any], batch: int = 2) -> tuple[Tensor, ...]:
    """Tensors that the network of a spec takes, on torch's default device.

    Images and features are float32 (batch, *shape) from torch's generator, token ids int64 (batch, length).
    """
    tensors = []
    for entry in spec["inputs"]:
        shape = (batch, *entry["shape"])
        tensors.append(torch.randint(0, entry["vocab"], shape) if entry["kind"] == "tokens" else torch.randn(shape))
    return tuple(tensors)
