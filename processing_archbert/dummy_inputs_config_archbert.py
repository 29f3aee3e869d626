"""Inputs for a transformers model, from its configuration and the signature of `forward`.

Float inputs are made on `meta`; token ids, grids and masks are small CPU tensors, because code reads their values.
Candidates come with the likeliest first: every modality that the model knows, then only what it needs, then text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .dummy_inputs_archbert import META, SEQUENCE_LENGTH, TARGET_LENGTH, forward_parameters
from .tracing_mirror_archbert import is_transformers_config

IMAGE_SIZES = (224, 256, 384, 448, 512)
WAVEFORM_LENGTH = 16_000
SAMPLES_PER_FRAME = 320
FRAMES_PER_TOKEN = 8
MAX_IMAGE_TOKENS = 4096

KeywordInputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class _Choice:
    """What one candidate assumes: text length, image size where the configuration has none, dimensions of images."""

    length: int = SEQUENCE_LENGTH
    image_size: int = 0
    image_layout: str = "image"
    image_tokens: int = 0


def configs_inside(config: Any) -> Iterator[Any]:
    """The configuration and every one inside it."""
    yield config
    for child in vars(config).values():
        if is_transformers_config(child):
            yield from configs_inside(child)


def option(config: Any, *names: str, inside: Sequence[str] = ()) -> Any:
    """First set option of these names, in the sub-configurations `inside` first, then anywhere."""
    preferred = [getattr(config, name) for name in inside if is_transformers_config(getattr(config, name, None))]
    for candidate in (*preferred, *configs_inside(config)):
        for name in names:
            value = getattr(candidate, name, None)
            if value is not None and not callable(value):
                return value
    return None


def positive(value: Any, default: int) -> int:
    """`value`, or the first of several, as an integer; `default` where it is none above zero."""
    if isinstance(value, dict):
        value = value.get("height", value.get("shortest_edge"))
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    return int(value) if isinstance(value, (int, float)) and value > 0 else default


def image_side(config: Any, image_size: int = 0) -> tuple[int, int]:
    """Height and width of an image: `image_size` if it is given, else the configuration's."""
    if image_size:
        return image_size, image_size
    size = option(
        config, "image_size", "img_size", "input_size", "max_img_size", inside=("vision_config", "backbone_config")
    )
    if isinstance(size, (list, tuple)) and len(size) == 2:
        return int(size[0]), int(size[1])
    side = positive(size, IMAGE_SIZES[0])
    return side, side


def plain_tokens(config: Any, length: int) -> list[int]:
    """Token ids that mean nothing special to the model, going round."""
    vocabulary = positive(option(config, "vocab_size", inside=("text_config",)), 100)
    names = ("pad_token_id", "bos_token_id", "eos_token_id", "image_token_id", "image_token_index", "video_token_id",
             "audio_token_id", "audio_token_index")  # fmt: skip
    given = [getattr(c, name, None) for c in configs_inside(config) for name in names]
    special = {i for ids in given for i in (ids if isinstance(ids, (list, tuple)) else (ids,))}
    plain = [i for i in range(min(vocabulary, 120)) if i not in special] or [0]
    return [plain[i % len(plain)] for i in range(length)]


def _text(config: Any, choice: _Choice) -> torch.Tensor:
    ids = plain_tokens(config, choice.length)
    image_token = option(config, "image_token_id", "image_token_index")
    if choice.image_tokens and isinstance(image_token, int):
        ids = [image_token] * choice.image_tokens + ids
    return torch.tensor([ids])


def _images(config: Any, choice: _Choice) -> torch.Tensor:
    channels = positive(
        option(config, "num_channels", "in_channels", "in_chans", inside=("vision_config", "backbone_config")), 3
    )
    height, width = image_side(config, choice.image_size)
    frames = positive(option(config, "num_frames"), 1)
    shape = {
        "image": (1, channels, height, width),
        "video": (1, frames, channels, height, width),
        "tiles": (1, 1, channels, height, width),
        "pair": (1, 2, channels, height, width),
        "many tiles": (1, 1, 1, channels, height, width),
    }[choice.image_layout]
    return torch.empty(shape, device=META)


def _features(config: Any, choice: _Choice) -> torch.Tensor:
    mel = positive(
        option(config, "num_mel_bins", "feature_size", "input_feat_per_channel", "input_dim",
                inside=("audio_config", "encoder")), 80
    )  # fmt: skip
    width = option(config, "feature_projection_input_dim")
    if choice.image_layout == "many tiles":
        frames = WAVEFORM_LENGTH // SAMPLES_PER_FRAME
        return torch.empty((1, frames, positive(width, mel)), device=META)
    if width is not None:
        return torch.empty((1, 200, int(width)), device=META)
    if choice.image_layout == "tiles":
        return torch.empty((1, 1, 1024, mel), device=META)
    if choice.image_layout == "pair":
        return torch.empty((1, mel, FRAMES_PER_TOKEN * choice.length), device=META)
    positions = option(config, "max_source_positions", inside=("audio_config",))
    if choice.image_layout == "image" and option(config, "model_type") not in ("speech_to_text",):
        return torch.empty((1, mel, 2 * positive(positions, 1500)), device=META)
    return torch.empty((1, 200, mel), device=META)


def _waveform(config: Any, choice: _Choice) -> torch.Tensor:
    if option(config, "max_length") and option(config, "num_mel_bins"):
        shape: tuple[int, ...] = (1, positive(option(config, "max_length"), 1024), option(config, "num_mel_bins"))
    else:
        shape = (1, WAVEFORM_LENGTH) if choice.image_layout == "image" else (1, 1, WAVEFORM_LENGTH)
    if choice.image_layout == "pair":  # the width of the encoder, for one that comes without its first layers
        shape = (1, 200, positive(option(config, "hidden_size"), 768))
    return torch.empty(shape, device=META)


def _series(config: Any, choice: _Choice) -> torch.Tensor:
    if choice.image_layout != "image":
        return torch.empty((1, positive(option(config, "context_length", "prediction_length"), 32)), device=META)
    length = positive(option(config, "context_length", "prediction_length"), 32)
    return torch.empty((1, length, positive(option(config, "num_input_channels", "input_size"), 1)), device=META)


def _make(name: str, config: Any, choice: _Choice) -> torch.Tensor | None:
    """The tensor of the argument `name`, or None for an argument that is not known."""
    if name in ("input_ids", "text_input_ids"):
        return _text(config, choice)
    if name in ("decoder_input_ids", "decoder_input"):
        return _text(config, _Choice(length=TARGET_LENGTH))
    if name in ("pixel_values", "image", "images"):
        return _images(config, choice)
    if name == "pixel_values_videos":
        return _images(config, _Choice(image_layout="video", image_size=choice.image_size))
    if name in ("input_features", "input_audio_embeds", "audio_features"):
        return _features(config, choice)
    if name in ("input_values", "audio_values", "speech"):
        return _waveform(config, choice)
    if name in ("past_values", "time_series"):
        return _series(config, choice)
    return _auxiliary(name, config, choice)


def _auxiliary(name: str, config: Any, choice: _Choice) -> torch.Tensor | None:
    width = positive(option(config, "hidden_size", "d_model"), 768)
    visual = positive(option(config, "visual_embedding_dim", "visual_feat_dim"), 512)
    length = choice.length
    makers = {
        "bbox": lambda: torch.zeros((1, length, 4), dtype=torch.long),
        "attention_mask": lambda: torch.ones((1, length + choice.image_tokens), dtype=torch.long),
        "token_type_ids": lambda: torch.zeros((1, length), dtype=torch.long),
        "pixel_mask": lambda: torch.ones((1, *image_side(config, choice.image_size)), dtype=torch.long),
        "inputs_embeds": lambda: torch.empty((1, length, width), device=META),
        "hidden_states": lambda: torch.empty((1, length, width), device=META),
        "visual_embeds": lambda: torch.empty((1, TARGET_LENGTH, visual), device=META),
        "visual_feats": lambda: torch.empty((1, TARGET_LENGTH, visual), device=META),
        "visual_pos": lambda: torch.empty((1, TARGET_LENGTH, 4), device=META),
        "query_embeds": lambda: torch.empty((1, TARGET_LENGTH, width), device=META),
        "entity_ids": lambda: torch.ones((1, 2), dtype=torch.long),
        "entity_position_ids": lambda: torch.zeros((1, 2, 30), dtype=torch.long),
        "inputs": lambda: torch.empty((1, 2048, positive(option(config, "d_model"), 768)), device=META),
        "states": lambda: torch.empty((1, 8, positive(option(config, "state_dim"), 17)), device=META),
        "actions": lambda: torch.empty((1, 8, positive(option(config, "act_dim"), 4)), device=META),
        "rewards": lambda: torch.empty((1, 8, 1), device=META),
        "returns_to_go": lambda: torch.empty((1, 8, 1), device=META),
        "timesteps": lambda: torch.arange(8)[None],
        "past_observed_mask": lambda: torch.ones(tuple(_series(config, choice).shape)),
        "past_time_features": lambda: torch.empty((*_series(config, choice).shape[:2], 1), device=META),
        "past_values_padding": lambda: torch.zeros(tuple(_series(config, choice).shape)[:2]),
        "freq": lambda: torch.zeros((1, 1), dtype=torch.long),
        "decoder_input_values": lambda: torch.empty((1, TARGET_LENGTH, width), device=META),
        "input_features_mask": lambda: torch.ones((1, max(_features(config, choice).shape)), dtype=torch.long),
        "noise_embeds": lambda: torch.empty((1, length, width), device=META),
        "context_hidden_states": lambda: _layers_of_states(config, length, width),
        "action_embeds": lambda: torch.empty((1, length, _action_width(config)), device=META),
        "task_inputs": lambda: torch.ones((1, positive(option(config, "task_seq_len"), 77))),
        "prompt_pixel_values": lambda: _images(config, choice),
        "prompt_masks": lambda: _images(config, choice),
        "lang_ids": lambda: torch.zeros((1,), dtype=torch.long),
        "merge_sizes": lambda: _grid(config)[0, 1:2] // 2,
        "input_points": lambda: torch.zeros((1, 1, 1, 2)),
        "image_grid_thw": lambda: _grid(config),
        "grid_thw": lambda: _grid(config),
    }
    return makers[name]() if name in makers else None


def _layers_of_states(config: Any, length: int, width: int) -> torch.Tensor:
    """Hidden states of several layers side by side."""
    layers = option(config, "target_layer_ids")
    count = len(layers) if isinstance(layers, (list, tuple)) else 1
    return torch.empty((1, length, width * count), device=META)


def _action_width(config: Any) -> int:
    return positive(option(config, "hidden_size", inside=("dit_config", "expert_config", "action_config")), 1024)


def _grid(config: Any) -> torch.Tensor:
    merge = positive(option(config, "spatial_merge_size"), 2)
    return torch.tensor([[1, 2 * merge, 2 * merge]])


_MODALITIES = ("input_ids", "pixel_values", "input_features", "input_values", "decoder_input_ids", "past_values")
_NEEDED_TOGETHER = ("visual_feats", "visual_pos", "states", "actions", "rewards", "returns_to_go", "timesteps",
                    "past_observed_mask", "past_time_features",
                    "decoder_input_values", "lang_ids")  # fmt: skip


def _chosen(names: Sequence[str], config: Any, choice: _Choice) -> KeywordInputs:
    made = {name: _make(name, config, choice) for name in names}
    return {name: tensor for name, tensor in made.items() if tensor is not None}


def _packed(config: Any, names: Sequence[str], choice: _Choice) -> KeywordInputs | None:
    """Images as a list of patches with their grids, as some vision and language models take them."""
    vision = getattr(config, "vision_config", None) or config
    patch = positive(option(vision, "patch_size"), 14)
    frames = positive(option(vision, "temporal_patch_size"), 1)
    channels = positive(option(vision, "in_channels", "in_chans", "num_channels"), 3)
    grid = _grid(config)
    count = int(grid.prod())
    merged = count // positive(option(config, "spatial_merge_size"), 2) ** 2
    rows = torch.empty((count, channels * frames * patch * patch), device=META)
    if "image_grid_thw" in names and "input_ids" in names:
        text = _text(config, _Choice(length=choice.length, image_tokens=merged))
        types = (text == option(config, "image_token_id", "image_token_index")).long()
        known = {"mm_token_type_ids": types} if "mm_token_type_ids" in names else {}
        return {"input_ids": text, "pixel_values": rows, "image_grid_thw": grid, **known}
    if "grid_thw" in names:
        merged_by = {"merge_sizes": _grid(config)[0, 1:2] // 2} if "merge_sizes" in names else {}
        return {names[0]: rows, "grid_thw": grid, **merged_by}
    if "spatial_shapes" in names:
        ids = {"input_ids": _text(config, choice)} if "input_ids" in names else {}
        mask = torch.ones((1, count), dtype=torch.long)
        shapes = grid[:, 1:].clone()
        return {**ids, "pixel_values": rows[None], "pixel_attention_mask": mask, "spatial_shapes": shapes}
    return None


def _image_token_count(config: Any) -> int:
    """How many placeholder tokens stand for one image in the text of a vision and language model."""
    given = option(config, "image_seq_length", "image_seq_len", "mm_tokens_per_image", "num_image_tokens")
    if isinstance(given, int):
        return given
    side, _ = image_side(config)
    patch = positive(option(config, "patch_size", inside=("vision_config",)), 14)
    return min((side // patch) ** 2, MAX_IMAGE_TOKENS)


def config_inputs(config: Any, module: nn.Module) -> Iterator[KeywordInputs]:
    """Candidate inputs of a transformers model, by keyword, the likeliest first.

    Args:
        config: the model's configuration.
        module: the model; its `forward` and `main_input_name` say which arguments there are.
    """
    parameters = forward_parameters(module)
    names = [p.name for p in parameters]
    required = [p.name for p in parameters if p.default is p.empty]
    main = getattr(module, "main_input_name", "input_ids")
    together = [n for n in _NEEDED_TOGETHER if n in names]
    rich = [n for n in names if n in _MODALITIES or n in required or n == main or n in together]
    if not getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" not in required:
        rich = [n for n in rich if n != "decoder_input_ids" or main != "input_ids"]
    least = list(dict.fromkeys([n for n in (main,) if n in names] + required))
    tried: list[str] = []
    for inputs in _in_order(config, names, rich, least):
        if not inputs:
            continue
        key = str({n: (tuple(t.shape), t.tolist() if t.device != META else "") for n, t in inputs.items()})
        if key not in tried:
            tried.append(key)
            yield inputs


def _in_order(config: Any, names: Sequence[str], rich: Sequence[str], least: Sequence[str]) -> Iterator[KeywordInputs]:
    packed = _packed(config, names, _Choice())
    if packed is not None:
        yield packed
    visual = "pixel_values" in rich and "input_ids" in rich
    if visual and isinstance(option(config, "image_token_id", "image_token_index"), int):
        tokens = _image_token_count(config)
        for layout in ("image", "tiles"):
            yield _chosen(rich, config, _Choice(image_tokens=tokens, image_layout=layout))
    yield _chosen(rich, config, _Choice())
    yield _chosen(least, config, _Choice())
    for length in (32, 512, 4096):
        if "input_ids" in rich:
            yield _chosen(rich, config, _Choice(length=length))
    if "input_ids" in rich:  # one row for each of two choices
        yield {"input_ids": _text(config, _Choice())[:, None].repeat(1, 2, 1)}
    for layout in ("video", "tiles", "pair", "many tiles"):
        yield _chosen(rich, config, _Choice(image_layout=layout))
    if "pixel_values" in rich:
        for size in IMAGE_SIZES:
            yield _chosen(rich, config, _Choice(image_size=size))
    yield _chosen([n for n in names if n not in ("inputs_embeds", "hidden_states")], config, _Choice())
    if "input_ids" in names:
        yield _chosen(["input_ids"], config, _Choice())
        yield _chosen(["input_ids", "decoder_input_ids"], config, _Choice())
