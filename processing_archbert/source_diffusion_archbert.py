"""Inputs for networks of diffusers, from the options of their configuration and the signature of `forward`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

META = torch.device("meta")
NUM_TOKENS = 8
NUM_FRAMES = 5
DEFAULT_SIDE = 32
MAX_SIDE = 64
_TEXT_WIDTHS = (
    "caption_channels",
    "encoder_hid_dim",
    "cross_attention_dim",
    "joint_attention_dim",
    "text_dim",
    "text_embed_dim",
)
_IMAGE_NAMES = ("sample", "x", "hidden_states", "latents")


def diffusion_inputs(module: nn.Module, options: Mapping[str, Any]) -> dict[str, torch.Tensor] | None:
    """Keyword arguments on meta for a denoiser or an autoencoder; None where its arguments are not known.

    Args:
        module: the network.
        options: its configuration.
    """
    parameters = inspect.signature(module.forward).parameters
    packed = "img_ids" in parameters
    made: dict[str, torch.Tensor] = {}
    for name, parameter in parameters.items():
        value = _input(name, module, options, packed)
        if value is not None:
            made[name] = value
        elif parameter.default is inspect.Parameter.empty and parameter.kind not in (
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        ):
            return None
    return made


def _count(options: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = options.get(name)
        value = value[0] if isinstance(value, (list, tuple)) and value else value
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _input(name: str, module: nn.Module, options: Mapping[str, Any], packed: bool) -> Any:
    """The input of one name; None where it is left out."""
    width = _count(options, *_TEXT_WIDTHS)
    channels = _count(options, "in_channels", "in_dim") or 3
    if name in _IMAGE_NAMES:
        if packed and name == "hidden_states":
            return torch.empty(1, 16, channels, device=META)
        if embedding := _count(options, "embedding_dim"):
            return torch.empty(1, embedding, device=META)
        return torch.empty(_image_shape(module, options, channels), device=META)
    if name == "timestep":
        return torch.ones(1)
    if name == "controlnet_cond":
        side = 8 * _image_side(options)
        return torch.empty(1, _count(options, "conditioning_channels") or 3, side, side, device=META)
    if name == "proj_embedding" and (embedding := _count(options, "embedding_dim")):
        return torch.empty(1, embedding, device=META)
    if name == "encoder_hidden_states" and (embeddings := _count(options, "num_embeddings")):
        return torch.empty(1, embeddings, _count(options, "embedding_dim") or NUM_TOKENS, device=META)
    if name == "encoder_hidden_states" and width:
        return torch.empty(1, NUM_TOKENS, width, device=META)
    if name == "pooled_projections":
        pooled = _count(options, "pooled_projection_dim")
        return torch.empty(1, pooled, device=META) if pooled else None
    if name in ("img_ids", "txt_ids"):
        axes = options.get("axes_dims_rope") or options.get("axes_dim") or (1, 1, 1)
        return torch.zeros(16 if name == "img_ids" else NUM_TOKENS, len(axes))
    if name == "guidance" and options.get("guidance_embeds"):
        return torch.ones(1)
    if name == "class_labels" and _count(options, "num_class_embeds", "num_embeds_ada_norm"):
        return torch.zeros(1, dtype=torch.long)
    if name == "added_cond_kwargs" and options.get("addition_embed_type") == "text_time":
        return _size_conditions(options)
    return None


def _image_side(options: Mapping[str, Any]) -> int:
    return min(_count(options, "sample_size") or DEFAULT_SIDE, MAX_SIDE)


def _image_shape(module: nn.Module, options: Mapping[str, Any], channels: int) -> tuple[int, ...]:
    side = _image_side(options)
    if _count(options, "sample_frames"):
        return (
            1,
            NUM_FRAMES,
            channels,
            _count(options, "sample_height") or side,
            _count(options, "sample_width") or side,
        )
    first = next((m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d))), None)
    frames = (NUM_FRAMES,) if isinstance(first, nn.Conv3d) else ()
    return (1, channels, *frames, side, side)


def _size_conditions(options: Mapping[str, Any]) -> dict[str, torch.Tensor] | None:
    """Pooled text and six sizes, of which each is embedded in `addition_time_embed_dim` numbers."""
    total, each = _count(options, "projection_class_embeddings_input_dim"), _count(options, "addition_time_embed_dim")
    if total is None or each is None or total <= 6 * each:
        return None
    return {"text_embeds": torch.empty(1, total - 6 * each, device=META), "time_ids": torch.ones(1, 6)}
