"""A header of weights and the network of a configuration, checked against each other by names and shapes.

Names of a checkpoint are translated as transformers translates them when it loads one. Where it also splits or joins
tensors (stacked experts, joined projections), the number of elements is compared instead of the shape.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from .source_safetensors_archbert import TensorInfo

_SHOWN = 4
_NO_WEIGHTS = re.compile(r"(^|\.)(position_ids|inv_freq|num_batches_tracked|masked_bias|rotary_emb\.\w+)$")
_STORAGE = re.compile(r"(weight_scale\w*|input_scale|scales|qzeros|g_idx|SCB|absmax|quant_map|quant_state\..*)$")
_PACKED = re.compile(r"(qweight|weight_packed)$")


class WeightCheck(NamedTuple):
    """How a header and a network agree, in names of the network (`absent`, `reshaped`) and of the header (`unknown`).

    Attributes:
        absent: parameters that the header does not hold.
        unknown: tensors that the network does not have.
        reshaped: parameters whose shapes differ, as `name (header against network)`.
    """

    absent: tuple[str, ...]
    unknown: tuple[str, ...]
    reshaped: tuple[str, ...]

    def message(self) -> str:
        """What does not agree, in one sentence for each kind; empty where all agrees."""
        kinds = (
            (self.absent, "parameters of the network are not in the file"),
            (self.unknown, "tensors of the file are not in the network"),
            (self.reshaped, "parameters have other shapes in the file"),
        )
        return " ".join(f"{len(names)} {text}: {_some(names)}." for names, text in kinds if names)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(name[:100] for name in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def check_weights(tensors: Mapping[str, TensorInfo], module: nn.Module) -> WeightCheck:
    """Compares a header with a network on meta, whose tied weights may stand in the header once.

    Buffers that no checkpoint needs are left out, and so are scales of quantised weights; packed weights count as
    present.
    """
    state = {name: tuple(t.shape) for name, t in module.state_dict().items() if not _NO_WEIGHTS.search(name)}
    translate = _translation(module, state)
    found: dict[str, list[TensorInfo]] = {}
    unknown = []
    for name, info in tensors.items():
        if _NO_WEIGHTS.search(name) or _STORAGE.search(name):
            continue
        target = translate(_PACKED.sub("weight", name))
        if target in state:
            found.setdefault(target, []).append(info)
        else:
            unknown.append(name)
    tied = _tied_groups(module)
    absent = [name for name in state if name not in found and not any(other in found for other in tied.get(name, ()))]
    reshaped = [
        f"{name} ({'; '.join(str(list(i.shape)) for i in infos[:2])} against {list(state[name])})"
        for name, infos in found.items()
        if not _agree(infos, state[name])
    ]
    return WeightCheck(tuple(absent), tuple(unknown), tuple(reshaped))


def _agree(infos: list[TensorInfo], shape: tuple[int, ...]) -> bool:
    if any(info.dtype in ("U8", "I32", "U32", "F4") for info in infos):
        return True  # packed: several weights in one element
    if len(infos) == 1 and infos[0].shape == shape:
        return True
    return sum(info.size for info in infos) == torch.Size(shape).numel() and (
        len(infos) > 1 or sorted(_sides(infos[0].shape)) == sorted(_sides(shape))
    )


def _sides(shape: tuple[int, ...]) -> list[int]:
    return [side for side in shape if side != 1]


def _tied_groups(module: nn.Module) -> dict[str, list[str]]:
    """Names of parameters that are one and the same tensor."""
    groups: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    return {name: names for names in groups.values() for name in names}


def _translation(module: nn.Module, state: Mapping[str, Any]) -> Any:
    """From names in a checkpoint to those in the network, as transformers itself translates them."""
    prefix = getattr(module, "base_model_prefix", "")
    renamings, converters, rename = [], [], None
    try:
        loading = importlib.import_module("transformers.core_model_loading")
        mapping = importlib.import_module("transformers.conversion_mapping").get_model_conversion_mapping(module) or []
        rename = loading.rename_source_key
        renamings = [one for one in mapping if isinstance(one, loading.WeightRenaming)]
        converters = [one for one in mapping if isinstance(one, loading.WeightConverter)]
    except (ImportError, AttributeError, TypeError):  # older or newer versions, or no network of transformers
        rename = None

    def translate(name: str) -> str:
        if rename is not None:
            name = rename(name, renamings, converters)[0]
        if name in state or not prefix:
            return name
        if name.startswith(f"{prefix}.") and name[len(prefix) + 1 :] in state:
            return name[len(prefix) + 1 :]
        return f"{prefix}.{name}" if f"{prefix}.{name}" in state else name

    return translate
