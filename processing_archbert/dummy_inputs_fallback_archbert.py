"""Inputs for a network that refused the likely ones: other forms of what it needs, and repairs after an error.

The forms in which models take images, video and sound are those of `added_inputs`; here they are tried for the
arguments that `forward` cannot do without. A layer that refused its input says which width it wants.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .dummy_inputs_archbert import META, SEQUENCE_LENGTH, TARGET_LENGTH, forward_parameters
from .dummy_inputs_config_archbert import KeywordInputs, option, plain_tokens, positive
from .dummy_inputs_modalities_archbert import AUDIO_NAMES, IMAGE_NAMES, VIDEO_NAMES, added_inputs

NUM_FRAMES = 200
MEL_BINS = (128, 80)
_MEDIA = frozenset((*IMAGE_NAMES, *VIDEO_NAMES, *AUDIO_NAMES))


def fallback_inputs(config: Any, module: nn.Module) -> Iterator[KeywordInputs]:
    """Candidate inputs of a transformers model, by keyword, where none of `config_inputs` was accepted.

    Args:
        config: the model's configuration.
        module: the model; its `forward` and `main_input_name` say which arguments there are.
    """
    parameters = forward_parameters(module)
    names = [p.name for p in parameters]
    required = [p.name for p in parameters if p.default is p.empty]
    main = getattr(module, "main_input_name", "input_ids")
    least = dict.fromkeys([n for n in (main, "input_ids", "encoder_hidden_states") if n in names] + required)
    made = {n: _by_name(n, config) for n in least if n not in _MEDIA}
    base = {n: tensor for n, tensor in made.items() if tensor is not None}
    for options in added_inputs(config, names, base):
        for media in options:
            yield base | media
            yield {n: t for n, t in (base | media).items() if n not in ("input_ids", "encoder_hidden_states")
                   or n in required}  # fmt: skip
    if base:
        yield base
    if "input_ids" in names:
        yield {"input_ids": torch.tensor([plain_tokens(config, SEQUENCE_LENGTH)])}
    yield from _whole_forms(config, names, base)


def _whole_forms(config: Any, names: Sequence[str], base: KeywordInputs) -> Iterator[KeywordInputs]:
    """Less usual forms: large images, tokens of several codebooks, images that a text attends to, merged patches."""
    channels = positive(option(config, "num_channels", "in_channels", inside=("vision_config",)), 3)
    for side in (768, 1024, 1536) if "pixel_values" in names else ():
        yield {**base, "pixel_values": torch.empty((1, channels, side, side), device=META)}
    books = option(config, "num_codebooks")
    if isinstance(books, int) and "input_ids" in names:
        for count in (books + 1, books):
            yield {"input_ids": torch.zeros((1, SEQUENCE_LENGTH, count), dtype=torch.long)}
    side = positive(option(config, "image_size", inside=("vision_config",)), 224)
    if "pixel_values" in names and "image_attention_mask" in names:
        image = torch.empty((1, 1, channels, side, side), device=META)
        mask = torch.ones((1, SEQUENCE_LENGTH, 1), dtype=torch.long)
        yield {**base, "pixel_values": image, "image_attention_mask": mask}
    if "pixel_values" in names and "image_embeds_position_mask" in names:
        tokens = positive(option(config, "latent_query_num"), 64)
        text = torch.tensor([plain_tokens(config, SEQUENCE_LENGTH + tokens)])
        places = torch.arange(SEQUENCE_LENGTH + tokens)[None] < tokens
        image = torch.empty((1, channels, side, side), device=META)
        yield {"pixel_values": image, "input_ids": text, "image_embeds_position_mask": places}
    if "patch_lengths" in names:
        lengths = torch.tensor([[1, SEQUENCE_LENGTH - 1]])
        yield {"input_ids": torch.tensor([plain_tokens(config, SEQUENCE_LENGTH)]), "patch_lengths": lengths}
    patch, merge = option(config, "patch_size"), option(config, "spatial_merge_size")
    if isinstance(patch, int) and isinstance(merge, int) and "image_grid_thw" in names and "input_ids" not in names:
        rows = torch.empty((4, patch * merge, patch * merge, channels), device=META)
        yield {"pixel_values": rows, "image_grid_thw": torch.tensor([[1, 2, 2]])}
    if isinstance(patch, int) and "pixel_position_ids" in names and "input_ids" not in names:
        pooled = positive(option(config, "pooling_kernel_size"), 1)
        grid = torch.cartesian_prod(torch.arange(4 * pooled), torch.arange(4 * pooled))[None]
        rows = torch.empty((1, grid.shape[1], channels * patch * patch), device=META)
        yield {"pixel_values": rows, "pixel_position_ids": grid}
    for width in (option(config, "input_size"), option(config, "input_feat_size"), *MEL_BINS):
        if isinstance(width, int) and "audio_mel" in names:
            mask = torch.zeros((1, NUM_FRAMES), dtype=torch.bool)
            yield {"audio_mel": torch.empty((1, NUM_FRAMES, width), device=META), "audio_mel_mask": mask}
        if isinstance(width, int) and "input_features_mask" in names:
            mask = torch.ones((1, NUM_FRAMES), dtype=torch.long)
            features = torch.empty((1, NUM_FRAMES, width), device=META)
            yield {"input_features": features, "input_features_mask": mask}


def optional_inputs(config: Any, names: Sequence[str], given: Mapping[str, torch.Tensor]) -> Iterator[KeywordInputs]:
    """Single arguments to add to inputs that a model accepted, for parts that only these reach.

    Args:
        config: the model's configuration.
        names: names of the arguments of its `forward`.
        given: the inputs that it accepted.
    """
    text = given.get("input_ids")
    if text is not None and text.dim() == 2:
        first = torch.zeros_like(text)
        first[:, :1] = 1
        for name in ("global_attention_mask", "moe_mm_token_type_ids"):
            if name in names:
                yield {name: first}
        books = option(config, "num_codebooks")
        if isinstance(books, int):
            for count in (books + 1, books):
                yield {"input_ids": torch.zeros((1, SEQUENCE_LENGTH, count), dtype=torch.long)}
        if "moe_mm_token_type_ids" in names and "mm_token_type_ids" in given:
            yield {"moe_mm_token_type_ids": given["mm_token_type_ids"]}
    width = option(config, "audio_prompt_dim")
    if "audio_prompt_latents" in names and isinstance(width, int):
        yield {"audio_prompt_latents": torch.empty((1, SEQUENCE_LENGTH, width), device=META)}
    books = option(config, "num_codebooks", "num_mel_bins", inside=("audio_config",))
    if "audio_input_ids" in names and isinstance(books, int):
        token = option(config, "audio_token_id", "audio_token_index")
        ids = [token] * SEQUENCE_LENGTH if isinstance(token, int) else []
        codes = torch.zeros((1, SEQUENCE_LENGTH, books), dtype=torch.long)
        made = {"input_ids": torch.tensor([ids + plain_tokens(config, SEQUENCE_LENGTH)]), "audio_input_ids": codes}
        mask = torch.ones((1, SEQUENCE_LENGTH), dtype=torch.long)
        yield made | ({"audio_input_ids_mask": mask} if "audio_input_ids_mask" in names else {})
    yield from _image_forms(config, names, given)
    if "high_res_pixel_values" in names:
        side = positive(option(config, "image_size", inside=("high_res_vision_config",)), 1024)
        small = positive(option(config, "image_size", inside=("vision_config",)), 384)
        token = option(config, "image_token_id", "image_token_index")
        ids = [token] * SEQUENCE_LENGTH if isinstance(token, int) else []
        yield {
            "input_ids": torch.tensor([ids + plain_tokens(config, SEQUENCE_LENGTH)]),
            "pixel_values": torch.empty((1, 3, small, small), device=META),
            "high_res_pixel_values": torch.empty((1, 3, side, side), device=META),
        }


def _image_forms(config: Any, names: Sequence[str], given: Mapping[str, torch.Tensor]) -> Iterator[KeywordInputs]:
    """Images whose size or mask the configuration settles in a way of its own."""
    if "pixel_values" not in names or "pixel_values" in given or "input_ids" not in given:
        return
    channels = positive(option(config, "num_channels", "in_channels", inside=("vision_config",)), 3)
    patch = positive(option(config, "patch_size", inside=("vision_config",)), 16)
    side = positive(option(config, "image_size", inside=("vision_config",)), 224)
    token = option(config, "image_token_id", "image_token_index")

    def text(count: int) -> torch.Tensor:
        ids = [token] * count if isinstance(token, int) else []
        return torch.tensor([ids + plain_tokens(config, SEQUENCE_LENGTH)])

    for count, tokens in dict(option(config, "projector_patch_to_query_dict") or {}).items():
        large = math.isqrt(int(count)) * patch
        yield {"pixel_values": torch.empty((1, channels, large, large), device=META), "input_ids": text(int(tokens))}
    if "pixel_attention_mask" in names:
        tile = torch.empty((1, 1, channels, side, side), device=META)
        mask = torch.ones((1, 1), dtype=torch.bool)
        tokens = (side // patch) ** 2 // positive(option(config, "scale_factor"), 1) ** 2
        yield {"pixel_values": tile, "pixel_attention_mask": mask, "input_ids": text(tokens)}
    rows = torch.empty((1, SEQUENCE_LENGTH, channels * patch * patch), device=META)
    yield {"pixel_values": rows, "input_ids": text(SEQUENCE_LENGTH)}


def _by_name(name: str, config: Any) -> torch.Tensor | None:
    """A tensor for an argument, by what its name ends with."""
    width = positive(option(config, "encoder_hidden_size", "cross_attention_dim", "hidden_size", "d_model"), 768)
    own = positive(option(config, "hidden_size", "d_model"), 768)
    if name == "encoder_hidden_states":
        return torch.empty((1, SEQUENCE_LENGTH, width), device=META)
    if name.endswith(("input_ids", "_tokens", "task_inputs")):
        return torch.tensor([plain_tokens(config, SEQUENCE_LENGTH)])
    if name.endswith("_mask"):
        return torch.ones((1, SEQUENCE_LENGTH), dtype=torch.long)
    if name.endswith("position_ids"):
        return torch.arange(SEQUENCE_LENGTH)[None]
    if name.endswith(("_embeds", "hidden_states", "_features", "embeddings")):
        return torch.empty((1, TARGET_LENGTH if name == "query_embeds" else SEQUENCE_LENGTH, own), device=META)
    return None


def repaired_inputs(inputs: Mapping[str, torch.Tensor], layer: nn.Module) -> Iterator[KeywordInputs]:
    """The inputs with every float tensor of three dimensions, or image, as wide as the layer that refused it wants."""
    width = _wanted_width(layer)
    if width is None:
        return
    for sizes in ((1, NUM_FRAMES, width), (1, width, NUM_FRAMES), *((1, NUM_FRAMES, bins) for bins in MEL_BINS)):
        changed = {
            name: torch.empty(sizes, device=META) if _is_sequence(tensor) else _as_long(tensor, inputs)
            for name, tensor in inputs.items()
        }
        if any(_is_sequence(tensor) for tensor in inputs.values()):
            yield changed
    if isinstance(layer, nn.Conv2d):
        images = {n: t for n, t in inputs.items() if t.dtype.is_floating_point and t.dim() == 4}
        if images:
            yield {**inputs, **{n: torch.empty((1, width, *t.shape[2:]), device=META) for n, t in images.items()}}


def _is_sequence(tensor: torch.Tensor) -> bool:
    return tensor.dtype.is_floating_point and tensor.dim() in (2, 3) and tensor.device == META


def _as_long(tensor: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """A mask over the frames of a float input, for the frames of the new one."""
    lengths = {size for other in inputs.values() if _is_sequence(other) for size in other.shape[1:]}
    if tensor.dim() == 2 and tensor.shape[1] in lengths:
        return torch.ones((1, NUM_FRAMES), dtype=tensor.dtype)
    return tensor


def _wanted_width(layer: nn.Module) -> int | None:
    if isinstance(layer, nn.Linear):
        return int(layer.weight.shape[1])
    if isinstance(layer, (nn.Conv1d, nn.Conv2d)):
        return int(layer.weight.shape[1]) * layer.groups
    return int(layer.normalized_shape[-1]) if isinstance(layer, nn.LayerNorm) else None
