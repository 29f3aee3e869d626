"""Inputs for a network that comes without any and has no configuration: made up from its first layers.

Float inputs are made on `meta`; token ids, grids and masks are small CPU tensors, because code reads their values.
Every function yields candidates, the likeliest first; the first one that the network accepts is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import torch
from torch import nn

META = torch.device("meta")
SEQUENCE_LENGTH = 8
TARGET_LENGTH = 6

Inputs = dict[str, torch.Tensor] | tuple[torch.Tensor, ...]


def _floats(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device=META)


def forward_parameters(module: nn.Module) -> list[inspect.Parameter]:
    """Named arguments of a module's `forward`, without `self`."""
    forward = inspect.unwrap(module.forward)
    kinds = (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.KEYWORD_ONLY,
    )
    return [p for p in inspect.signature(forward).parameters.values() if p.kind in kinds and p.name != "self"]


# Modules without a configuration


def _first_layer_inputs(layer: nn.Module) -> list[torch.Tensor]:
    """Tensors that a layer accepts, the likeliest first."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        return [_floats(1, layer.in_channels, size, size) for size in (64, 224, 32, 28, 256, 512)]
    if isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)):
        return [_floats(1, layer.in_channels, size) for size in (64, 1024, 16000, 16)]
    if isinstance(layer, (nn.Conv3d, nn.ConvTranspose3d)):
        return [_floats(1, layer.in_channels, size, size, size) for size in (16, 64)]
    if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
        return [_token_ids(layer.num_embeddings, length) for length in (SEQUENCE_LENGTH, 1, 32, 512)]
    if isinstance(layer, nn.Linear):
        width = layer.in_features
        return [_floats(1, width), _floats(1, SEQUENCE_LENGTH, width), *_images_of(width)]
    if isinstance(layer, (nn.LSTM, nn.GRU, nn.RNN)):
        return [_floats(1, SEQUENCE_LENGTH, layer.input_size)]
    if isinstance(layer, nn.RNNCellBase):
        return [_floats(1, layer.input_size)]
    if isinstance(layer, nn.MultiheadAttention):
        return [_floats(1, SEQUENCE_LENGTH, layer.embed_dim)]
    if isinstance(layer, nn.LayerNorm):
        return [_floats(1, SEQUENCE_LENGTH, *layer.normalized_shape), _floats(1, *layer.normalized_shape)]
    if isinstance(layer, nn.modules.batchnorm._NormBase):
        return _batch_norm_inputs(layer)
    if isinstance(layer, nn.GroupNorm):
        return [_floats(1, layer.num_channels, 16, 16), _floats(1, layer.num_channels)]
    return []


def _batch_norm_inputs(layer: nn.Module) -> list[torch.Tensor]:
    channels = int(layer.num_features)  # type: ignore[arg-type]
    name = type(layer).__name__
    sizes = (64, 64) if name.endswith("2d") else (16, 16, 16) if name.endswith("3d") else (16,)
    return [_floats(1, channels, *sizes), _floats(1, channels)]


def _images_of(width: int) -> list[torch.Tensor]:
    """Square images of one or three channels that flatten to `width`."""
    found = []
    for channels in (1, 3):
        side = round((width / channels) ** 0.5) if width % channels == 0 else 0
        if side > 1 and side * side * channels == width:
            found.append(_floats(1, channels, side, side))
    return found


def _token_ids(vocabulary: int, length: int) -> torch.Tensor:
    return torch.arange(length).remainder(max(min(vocabulary, 100) - 1, 1))[None]


def module_inputs(module: nn.Module) -> Iterator[Inputs]:
    """Candidate inputs of a module that has no configuration, made from its first layers.

    A module whose `forward` needs several tensors gets the same kind for each, or one for each of its first layers.
    """
    try:
        names = [p.name for p in forward_parameters(module) if p.default is inspect.Parameter.empty]
    except (TypeError, ValueError):
        names = ["input"]
    count = max(len(names), 1)
    layers = [m for m in module.modules() if _first_layer_inputs(m)]
    if not layers:
        if any(True for _ in module.parameters()):
            return
        for shape in ((1, 3, 64, 64), (1, 16, 64), (1, 64)):
            yield tuple(_floats(*shape) for _ in range(count))
        return
    if count > 1:
        yield from _several(layers, count)
    for candidate in _first_layer_inputs(layers[0]):
        yield (candidate,) * 1 if count == 1 else tuple(candidate.clone() for _ in range(count))
    for layer in layers[1:4]:
        for candidate in _first_layer_inputs(layer)[:2]:
            yield tuple(candidate.clone() for _ in range(count))


def _several(layers: list[nn.Module], count: int) -> Iterator[Inputs]:
    if len(layers) >= count:
        for choice in range(2):
            options = [_first_layer_inputs(layer) for layer in layers[:count]]
            yield tuple(o[min(choice, len(o) - 1)].clone() for o in options)
