"""Further inputs for a model that some of its parts did not need: images, video, sound, prompts and embeddings.

A model of several modalities runs on text alone and then misses its towers. For each modality that its `forward`
knows and that was not given, `added_inputs` tells the forms in which such models take it: as whole images, tiles or
lists of patches with their grids, as features or as a waveform, each with the masks and sizes that go with it, and a
text with the placeholders of everything that is given.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from .dummy_inputs_archbert import META, SEQUENCE_LENGTH, TARGET_LENGTH
from .dummy_inputs_config_archbert import KeywordInputs, image_side, option, plain_tokens, positive

IMAGE_NAMES = ("pixel_values", "image_pixel_values", "images", "flattened_patches")
VIDEO_NAMES = ("pixel_values_videos",)
AUDIO_NAMES = ("input_features", "audio_input_features", "input_values", "input_audio_embeds", "audio_values")
PROMPT_NAMES = ("input_boxes", "input_points", "visual_embeds", "image_embeds", "entity_ids")

IMAGE_SIDES = (256, 224, 384, 512)
NUM_FRAMES = 8
GRID = 8  # patches along each side of a list of patches: a multiple of every merge size and window in use
AUDIO_FRAMES = (3000, 512)
WAVEFORM_LENGTHS = (19_200, 96_000)
MAX_OPTIONS = 24

Options = list[KeywordInputs]


def added_inputs(config: Any, names: Sequence[str], given: Mapping[str, torch.Tensor]) -> Iterator[Options]:
    """For each modality that is not given, the keyword arguments to add, the likeliest form first.

    Args:
        config: the model's transformers configuration.
        names: names of the arguments of its `forward`.
        given: the inputs that it accepted.
    """
    kinds = [kind for group, kind, _ in _MODALITIES if any(name in given for name in group)]
    for group, kind, make in _MODALITIES:
        name = next((n for n in group if n in names), None)
        if name is None:
            continue
        options = list(itertools.islice(make(config, name, names), MAX_OPTIONS))
        if kind in kinds:
            options = [made for made in options if any(n not in given for n in made)]
        else:
            kinds.append(kind)
        yield [{**made, **_text_of(config, names, given, kinds, made)} for made in options]
    for name in PROMPT_NAMES:
        if name in names and name not in given:
            yield _prompt_options(name, config, names)


def alternative_inputs(config: Any, names: Sequence[str]) -> Iterator[KeywordInputs]:
    """Inputs of one modality in every form, for a model that took none of the usual ones.

    Args:
        config: the model's transformers configuration.
        names: names of the arguments of its `forward`.
    """
    text = {"input_ids": torch.tensor([plain_tokens(config, SEQUENCE_LENGTH)])} if "input_ids" in names else {}
    for group, kind, make in _MODALITIES:
        for name in group:
            if name in names:
                for made in itertools.islice(make(config, name, names), MAX_OPTIONS):
                    yield {**made, **_text_of(config, names, text, [kind], made)}


def _text_of(config: Any, names: Sequence[str], given: Mapping[str, torch.Tensor], kinds: Sequence[str],
             made: KeywordInputs) -> KeywordInputs:  # fmt: skip
    """Token ids with the placeholders of the modalities, and the marks that tell which token is which."""
    if "input_ids" not in given:
        return {}
    ids: list[int] = []
    types: list[int] = []
    for number, kind in enumerate(("image", "video", "audio"), 1):
        token = option(config, f"{kind}_token_id", f"{kind}_token_index")
        if kind not in kinds or not isinstance(token, int):
            continue
        start = option(config, f"{kind}_start_token_id", f"{kind}_bos_token_id", "vision_start_token_id")
        opening = [start] if isinstance(start, int) else []
        count = _num_placeholders(config, made, kind)
        ids += [*opening, *[token] * count]
        types += [0] * len(opening) + [number] * count
    plain = plain_tokens(config, SEQUENCE_LENGTH)
    result = {"input_ids": torch.tensor([ids + plain])}
    if "mm_token_type_ids" in names:
        result["mm_token_type_ids"] = torch.tensor([types + [0] * len(plain)])
    for name in ("attention_mask", "token_type_ids"):
        if name in given:
            result[name] = torch.full_like(result["input_ids"], int(name == "attention_mask"))
    return result


def _num_placeholders(config: Any, made: KeywordInputs, kind: str) -> int:
    if kind == "image" and any("grid" in name or name in ("target_sizes", "spatial_shapes") for name in made):
        return GRID * GRID // _merge(config) ** 2
    return SEQUENCE_LENGTH


def _merge(config: Any) -> int:
    return positive(option(config, "spatial_merge_size", "merge_size", "downsample_factor"), 2)


def _masks(names: Sequence[str], marks: Sequence[str], length: int) -> KeywordInputs:
    """Masks of one row, for those of `marks` that the model takes."""
    return {name: torch.ones((1, length), dtype=torch.long) for name in marks if name in names}


# Images


def _image_options(config: Any, name: str, names: Sequence[str]) -> Iterator[KeywordInputs]:
    grids = _grids(config, names, "")
    if grids:
        yield from ({name: rows, **grids} for rows in _patches(config))
    row = option(config, "patch_dim")
    if isinstance(row, int):
        yield {name: torch.empty((SEQUENCE_LENGTH, row), device=META)}
    pooling = {n: _pooling(n) for n in ("image_token_pooling", "image_grids", "image_num_crops") if n in names}
    if pooling:
        patch = positive(option(config, "patch_size", inside=("vision_config",)), 14)
        height, width = (side // patch for side in image_side(config))
        yield {name: torch.empty((1, height * width, _channels(config) * patch * patch), device=META), **pooling}
    for (height, width), tiles in itertools.product(_sides(config), ((), (1,), (2,), (1, 1), (1, 4))):
        images = torch.empty((1, *tiles, _channels(config), height, width), device=META)
        companions = _image_companions(config, names, images)
        yield {name: images, **companions}


def _sides(config: Any) -> list[tuple[int, int]]:
    return list(dict.fromkeys((image_side(config), *((side, side) for side in IMAGE_SIDES))))


def _channels(config: Any) -> int:
    return positive(option(config, "in_channels", "in_chans", "num_channels", inside=("vision_config",)), 3)


def _image_companions(config: Any, names: Sequence[str], images: torch.Tensor) -> KeywordInputs:
    """Sizes and masks of whole images."""
    height, width = images.shape[-2:]
    tiles = images.shape[1] if images.dim() == 5 else images.shape[2] if images.dim() == 6 else 1
    patch = positive(option(config, "patch_size", inside=("vision_config",)), 14)
    rows, columns = -(-height // patch), -(-width // patch)
    made: dict[str, Callable[[], torch.Tensor]] = {
        "image_sizes": lambda: torch.tensor([[height, width]]),
        "aspect_ratio_ids": lambda: torch.ones((1, 1), dtype=torch.long),
        "aspect_ratio_mask": lambda: torch.ones((1, 1, tiles), dtype=torch.long),
        "image_attention_mask": lambda: torch.ones((1, tiles, rows, columns), dtype=torch.long),
        "num_local_patches": lambda: torch.zeros((1,), dtype=torch.long),
    }
    return {n: make() for n, make in made.items() if n in names}


def _grids(config: Any, names: Sequence[str], suffix: str) -> KeywordInputs:
    """Grids, and what goes with a list of patches, for those that the model takes."""
    side, merge, count = GRID, _merge(config), GRID * GRID
    start = suffix or "image"
    made: dict[str, Callable[[], torch.Tensor]] = {
        f"{start}_grid_thw": lambda: torch.tensor([[1, side, side]]),
        f"{start}_merge_sizes": lambda: torch.tensor([merge]),
        f"{start}_position_ids": lambda: torch.cartesian_prod(torch.arange(side), torch.arange(side))[None],
        f"{start}_grid_hw": lambda: torch.tensor([[side, side]]),
        f"target_sizes{'_videos' if suffix else ''}": lambda: torch.tensor([[side, side]]),
    }
    if not suffix:
        made |= {
            "grid_thw": lambda: torch.tensor([[1, side, side]]),
            "merge_sizes": lambda: torch.tensor([merge]),
            "spatial_shapes": lambda: torch.tensor([[side, side]]),
            "pixel_position_ids": lambda: torch.cartesian_prod(torch.arange(side), torch.arange(side))[None],
        }
    result = {n: make() for n, make in made.items() if n in names}
    return result | (_masks(names, ("pixel_attention_mask",), count) if result else {})


def _patches(config: Any) -> Iterator[torch.Tensor]:
    """A grid of patches in every form that is in use."""
    vision = getattr(config, "vision_config", None) or config
    patch = positive(option(vision, "patch_size"), 14)
    channels = _channels(config)
    frames = positive(option(vision, "temporal_patch_size"), 1)
    count = GRID * GRID
    for depth in dict.fromkeys((frames, 1, 2)):
        yield torch.empty((count, channels * depth * patch * patch), device=META)
        yield torch.empty((1, count, channels * depth * patch * patch), device=META)
    yield torch.empty((1, count, channels, patch, patch), device=META)
    yield torch.empty((count, channels, patch, patch), device=META)
    yield torch.empty((1, channels, patch, count * patch), device=META)


def _pooling(name: str) -> torch.Tensor:
    """Which patches are pooled to which token, as models with pooled crops take it."""
    if name == "image_grids":
        return torch.tensor([[4, 4, 0, 0]])
    if name == "image_num_crops":
        return torch.tensor([1])
    return torch.arange(GRID * GRID).view(16, 4)


# Video


def _video_options(config: Any, name: str, names: Sequence[str]) -> Iterator[KeywordInputs]:
    grids = _grids(config, names, "video")
    if grids:
        yield from ({name: rows, **grids} for rows in _patches(config))
    frames = positive(option(config, "num_frames"), NUM_FRAMES)
    for height, width in _sides(config):
        yield {name: torch.empty((1, frames, _channels(config), height, width), device=META)}


# Sound


def _audio_options(config: Any, name: str, names: Sequence[str]) -> Iterator[KeywordInputs]:
    waveforms = name in ("input_values", "audio_values")
    yield from _waveforms(name, names) if waveforms else _features(config, name, names)
    yield from _features(config, name, names) if waveforms else _waveforms(name, names)


def _features(config: Any, name: str, names: Sequence[str]) -> Iterator[KeywordInputs]:
    mel = positive(
        option(config, "num_mel_bins", "feature_size", "input_feat_per_channel", "input_size", "input_dim",
               inside=("audio_config", "encoder_config")), 80
    )  # fmt: skip
    positions = option(config, "max_source_positions", inside=("audio_config",))
    lengths = dict.fromkeys((2 * positive(positions, AUDIO_FRAMES[0] // 2), *AUDIO_FRAMES))
    for length, shape in itertools.product(lengths, ("mel first", "time first", "one channel")):
        sizes = {"mel first": (1, mel, length), "time first": (1, length, mel), "one channel": (1, 1, length, mel)}
        features = torch.empty(sizes[shape], device=META)
        companions = _audio_companions(config, names, length)
        yield {name: features, **companions}
        if companions:
            yield {name: features, **{n: m.bool() if m.dim() == 2 else m for n, m in companions.items()}}


def _waveforms(name: str, names: Sequence[str]) -> Iterator[KeywordInputs]:
    for length in WAVEFORM_LENGTHS:
        for shape in ((1, length), (1, 1, length), (1, length, 1)):
            masks = _masks(names, ("padding_mask", "input_values_mask"), length)
            yield {name: torch.empty(shape, device=META), **masks}


def _audio_companions(config: Any, names: Sequence[str], length: int) -> KeywordInputs:
    marks = ("input_features_mask", "feature_attention_mask", "audio_attention_mask")
    factor = positive(option(config, "compression_rate", "time_reduction", inside=("audio_config",)), 8)
    sizes = {"audio_embed_sizes": torch.tensor([math.ceil(length / factor)])} if "audio_embed_sizes" in names else {}
    return {**_masks(names, marks, length), **sizes}


# Prompts and embeddings


def _prompt_options(name: str, config: Any, names: Sequence[str]) -> Options:
    width = positive(option(config, "visual_embedding_dim", "vision_hidden_size", "hidden_size"), 768)
    rows = torch.ones((1, TARGET_LENGTH), dtype=torch.long)
    made: dict[str, KeywordInputs] = {
        "input_boxes": {name: torch.zeros((1, 1, 4)), "input_boxes_labels": torch.ones((1, 1), dtype=torch.long)},
        "input_points": {name: torch.zeros((1, 1, 1, 2)), "input_labels": torch.ones((1, 1, 1), dtype=torch.long)},
        "visual_embeds": {
            name: torch.empty((1, TARGET_LENGTH, width), device=META),
            "visual_attention_mask": rows,
            "visual_token_type_ids": rows,
        },
        "image_embeds": {name: torch.empty((1, TARGET_LENGTH, width), device=META)},
        "entity_ids": {name: torch.ones((1, 2), dtype=torch.long),
                       "entity_position_ids": torch.zeros((1, 2, 30), dtype=torch.long)},
    }  # fmt: skip
    return [{n: t for n, t in made[name].items() if n in names}]


_MODALITIES = (
    (IMAGE_NAMES, "image", _image_options),
    (VIDEO_NAMES, "video", _video_options),
    (AUDIO_NAMES, "audio", _audio_options),
)
