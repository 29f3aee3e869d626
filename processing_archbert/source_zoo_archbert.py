"""Networks of torchvision and timm by name: built without weights, with the inputs that they take.

* No weights are fetched: neither a network's own nor those of its backbone.
* Weights are made on `meta`; small constants of a constructor (tables of positions, rates) keep their values, because
  code reads them.
* Neither library is needed by anything else: they are imported here, when a name asks for one.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .source_configs_archbert import suggestion
from .source_errors_archbert import ArchitectureSourceError, first_line
from .tracing_constants_archbert import list_tensors, map_tensors

ZooInputs = tuple[Any, ...]

IMAGE_SIZE = 224
VIDEO_FRAMES = 16
MAX_CONSTANT_ELEMENTS = 1 << 21

_FACTORIES = frozenset((torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn))
_FEW_BOXES = {"rpn_post_nms_top_n_test": 50, "box_detections_per_img": 1}
"""Options of detectors with two stages. How many boxes they keep is no part of a graph, but code loops over them."""
_TWO_STAGES = ("fasterrcnn", "maskrcnn", "keypointrcnn")
_INSTALL = {
    "torchvision": "pip install torchvision (the release that belongs to the installed torch)",
    "timm": "pip install timm",
}


class WeightlessMode(TorchFunctionMode):
    """While a network is built: weights are made on `meta` and are not initialized; small constants stay real."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _FACTORIES and kwargs.get("device") is None and self._is_weight(func, args, kwargs):
            kwargs = kwargs | {"device": torch.device("meta")}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        if func is torch.Tensor.__deepcopy__:  # its second argument is all that was copied before
            return func(*args, **kwargs)
        given = list_tensors(kwargs, list_tensors(args, []))
        if len({t.device.type for t in given if t.dim()}) > 1:
            args, kwargs = map_tensors(_on_meta, args), map_tensors(_on_meta, kwargs)
        return func(*args, **kwargs)

    @staticmethod
    def _is_weight(func: Any, args: Any, kwargs: Any) -> bool:
        dtype = kwargs.get("dtype") or torch.get_default_dtype()
        if func is torch.empty:
            return bool(dtype.is_floating_point)
        with torch._C.DisableTorchFunction():
            return bool(func(*args, **(kwargs | {"device": "meta"})).numel() > MAX_CONSTANT_ELEMENTS)


def build_torchvision(name: str) -> tuple[nn.Module, ZooInputs]:
    """A network of torchvision, in its default configuration and without weights; detectors keep few boxes.

    Args:
        name: a name of `torchvision.models.list_models()`, such as `"resnet50"`.

    Returns:
        The network, and the positional arguments that it takes, on `meta`: images (1, 3, 224, 224), for video
        (1, 3, 16, height, width), for optical flow two images, for detection a list with one image (3, 224, 224).

    Raises:
        ArchitectureSourceError: torchvision is missing, or the name is unknown, or the network cannot be built.
    """
    models = _library("torchvision").models
    _check_name(name, models.list_models(), "torchvision")
    builder = models.get_model_builder(name)
    known = inspect.signature(builder).parameters
    options: dict[str, Any] = dict.fromkeys({"weights", "weights_backbone"} & set(known))
    if name.startswith(_TWO_STAGES):
        options |= _FEW_BOXES
    network = _built("torchvision", name, builder, options)
    return network, _torchvision_inputs(name, builder.__module__)


def _torchvision_inputs(name: str, place: str) -> ZooInputs:
    """Inputs by the task, which is the part of the library that a network stands in."""
    size = IMAGE_SIZE
    if ".video." in place:
        size = size if name.startswith(("mvit", "swin3d", "s3d")) else size // 2
        return (_floats(1, 3, VIDEO_FRAMES, size, size),)
    if ".detection." in place:
        return ([_floats(3, size, size)],)
    if ".optical_flow." in place:
        return _floats(1, 3, size, size), _floats(1, 3, size, size)
    return (_floats(1, 3, 299, 299) if "inception" in name else _floats(1, 3, size, size),)


def build_timm(name: str) -> tuple[nn.Module, ZooInputs]:
    """A network of timm, in its default configuration and without weights.

    Args:
        name: a name of `timm.list_models()`, such as `"vit_base_patch16_224"`; a tag of pre-trained weights
            (`"vit_base_patch16_224.augreg_in21k"`) chooses the configuration that belongs to them.

    Returns:
        The network, and the positional arguments that it takes, on `meta`: one image of the size in its data config.

    Raises:
        ArchitectureSourceError: timm is missing, or the name is unknown, or the network cannot be built.
    """
    timm = _library("timm")
    if not timm.is_model(name.partition(".")[0]):  # it knows older names as well
        _check_name(name.partition(".")[0], timm.list_models(), "timm")
    if "." in name:
        _check_name(name, timm.list_pretrained(), "timm")
    network = _built("timm", name, timm.create_model, {"model_name": name, "pretrained": False})
    config = importlib.import_module("timm.data").resolve_model_data_config(network)
    return network, (_floats(1, *config["input_size"]),)


def _library(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            reason = f"{package} is not installed"
        else:
            reason = f"{package} cannot be imported ({first_line(error)})"
        raise ArchitectureSourceError(
            f"{reason}; names of {package} need it: {_INSTALL[package]}, or build the nn.Module and pass it."
        ) from error


def _check_name(name: str, known: Iterable[str], package: str) -> None:
    names = list(known)
    if name in names:
        return
    raise ArchitectureSourceError(
        f"{name[:200]!r} is no model of the installed {package}, which has {len(names)}."
        f"{suggestion(name, names)} "
        f"{package}.{'models.' if package == 'torchvision' else ''}list_models() lists them."
    )


def _built(package: str, name: str, builder: Any, options: dict[str, Any]) -> nn.Module:
    try:
        with torch.random.fork_rng(devices=()), warnings.catch_warnings(action="ignore"), WeightlessMode():
            network: nn.Module = builder(**options)
    except Exception as error:
        raise ArchitectureSourceError(
            f"{package} cannot build {name!r}: {first_line(error)}. Build the nn.Module and pass it."
        ) from error
    return network.eval()


def _on_meta(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("meta")


def _floats(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")
