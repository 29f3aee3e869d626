"""From what a string names to the graph: one reader for each kind of source.

This is the part that runs in a child process where a source is isolated.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.utils import build_hf_headers
from torch import nn
from transformers import AutoConfig, PretrainedConfig

from .architecture_graph_archbert import ArchitectureGraph
from .source_configs_archbert import (
    AUTO_TASK,
    class_of_task,
    config_from_dict,
    default_config,
    is_known_type,
    model_class,
)
from .source_errors_archbert import ArchitectureSourceError, first_line
from .source_folders_archbert import pipeline_components, read_diffusers_config, read_pipeline
from .source_headers_archbert import read_gguf, read_safetensors
from .source_names_archbert import LIBRARIES, Named, read_json
from .tracing_archbert import trace

_WITH_TASK = ("type", "config", "remote", "safetensors", "gguf")


def read_named(named: Named, inputs: Any, hints: dict[str, Any], seconds: float) -> ArchitectureGraph:
    """The graph of what a string names.

    Args:
        named: what it names.
        inputs: as in `load_architecture`.
        hints: `name`, `task`, `component`, `trust_remote_code` and, where wanted, `costs` of `load_architecture`.
        seconds: time after which tracing stops.

    Raises:
        ArchitectureSourceError, ArchitectureTraceError, ArchitectureGraphError: as `load_architecture`.
    """
    name, task, component = hints["name"], hints["task"], hints["component"]
    if component is not None and named.kind != "pipeline":
        raise ArchitectureSourceError(f"component is given, but {named.origin!r} is no pipeline; leave component out.")
    if task is not None and named.kind not in _WITH_TASK:
        raise ArchitectureSourceError(f"task is given, but {named.origin!r} has no choice of heads; leave task out.")
    options: dict[str, Any] = {"name": name, "source": named.origin, "max_seconds": seconds}
    options["costs"] = bool(hints.get("costs"))
    if named.kind in LIBRARIES:
        return _of_library(named, inputs, options)
    if named.kind == "type":
        config = default_config(named.where)
        return trace(config, inputs, model_class=model_class(task, config), **options)
    if named.kind == "remote":
        config = _auto_config(named.where)
        return trace(remote_model(config, task, True), inputs, **options)
    if named.kind == "config":
        return _of_config(named, inputs, task, options)
    if inputs is not None:
        raise ArchitectureSourceError(f"inputs are given with {named.origin!r}, which needs none; leave inputs out.")
    return dataclasses.replace(_of_file(named, hints, seconds), source=named.origin)


def component_names(named: Named) -> list[str]:
    """The networks of a pipeline.

    Raises:
        ArchitectureSourceError: it is none.
    """
    if named.kind != "pipeline":
        raise ArchitectureSourceError(f"{named.origin!r} is no pipeline with several networks; use load_architecture.")
    return list(pipeline_components(Path(named.where)))


def _of_file(named: Named, hints: dict[str, Any], seconds: float) -> ArchitectureGraph:
    name, task = hints["name"], hints["task"]
    if named.kind == "pipeline":
        return read_pipeline(Path(named.where), component=hints["component"], name=name, max_seconds=seconds)
    if named.kind in ("safetensors", "gguf"):
        headers = build_hf_headers() if named.on_hub else None
        read = read_gguf if named.kind == "gguf" else read_safetensors
        return read(named.where, name=name, task=task, headers=headers, max_seconds=seconds)
    if named.kind == "onnx":
        from .source_onnx_archbert import read_onnx

        return read_onnx(named.where, name=name)
    from .source_export_archbert import read_export

    return read_export(named.where, name=name, max_seconds=seconds)


def _of_config(named: Named, inputs: Any, task: str | None, options: dict[str, Any]) -> ArchitectureGraph:
    """The network of a `config.json` of transformers or diffusers."""
    path = Path(named.where)
    data = read_json(path)
    if not is_known_type(data.get("model_type")):
        if inputs is not None or task is not None:
            raise ArchitectureSourceError(f"inputs and task do not go with {named.origin!r}, a config of diffusers.")
        options = {key: value for key, value in options.items() if key != "costs"}
        return read_diffusers_config(path, data, "", **options | {"name": options["name"] or str(data["_class_name"])})
    config = config_from_dict(str(path), data)
    return trace(config, inputs, model_class=model_class(task, config), **options)


def _of_library(named: Named, inputs: Any, options: dict[str, Any]) -> ArchitectureGraph:
    """A network of torchvision or timm, with its own inputs where none are given."""
    from .source_zoo_archbert import build_timm, build_torchvision

    build = build_torchvision if named.kind == "torchvision" else build_timm
    network, example = build(named.where)
    return trace(network, example if inputs is None else inputs, **options)


def remote_model(config: PretrainedConfig, task: str | None, trust_remote_code: bool) -> nn.Module:
    """The network of a configuration that transformers does not know, without weights, by code of its repository.

    Raises:
        ArchitectureSourceError: the code is not trusted, or no network comes of it.
    """
    if not trust_remote_code:
        raise ArchitectureSourceError(
            f"The config {type(config).__name__} (model_type {config.model_type!r}) is not one of transformers. Pass "
            "the nn.Module, or trust_remote_code=True where its repository holds code that you have read."
        )
    if task == AUTO_TASK:
        auto = getattr(transformers, _auto_name(config) or "AutoModel")
    else:
        auto = transformers.AutoModel if task is None else class_of_task(task)
    try:
        with torch.device("meta"):
            return auto.from_config(config, trust_remote_code=True)
    except Exception as error:
        raise ArchitectureSourceError(
            f"No model can be built from {type(config).__name__}: {first_line(error)}. Pass the nn.Module."
        ) from error


def _auto_name(config: PretrainedConfig) -> str | None:
    """The auto class that a repository's own code registers for the class that its configuration names."""
    wanted = tuple(str(name) for name in (getattr(config, "architectures", None) or ()))
    for auto, reference in (getattr(config, "auto_map", None) or {}).items():
        if str(reference).rpartition(".")[2] in wanted and hasattr(transformers, str(auto)):
            return str(auto)
    return None


def _auto_config(where: str) -> PretrainedConfig:
    try:
        return AutoConfig.from_pretrained(where, trust_remote_code=True)
    except Exception as error:
        raise ArchitectureSourceError(f"The config of {where!r} cannot be built: {first_line(error)}") from error
