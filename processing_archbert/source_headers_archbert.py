"""Files of weights: the network that their header and the configuration beside it describe. No tensor is ever read.

* safetensors with a `config.json` beside it: the configuration is traced, and its network is checked against the
  header; what does not agree is an `ArchitectureSourceWarning`. GGUF: its own metadata is the configuration.
* Without a configuration that transformers knows: the tree of modules that names and shapes tell of, without edges
  (`graph.has_data_flow` is False).
"""

from __future__ import annotations

import importlib
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from transformers import PretrainedConfig

from .architecture_graph_archbert import ArchitectureGraph
from .source_bytes_archbert import is_url
from .source_configs_archbert import class_of_weights, config_from_dict, is_known_type, model_class
from .source_errors_archbert import ArchitectureSourceError, ArchitectureSourceWarning, first_line
from .source_gguf_archbert import GgufHeader, gguf_config, gguf_header
from .source_safetensors_archbert import TensorInfo, neighbour, read_index, safetensors_header
from .source_tree_archbert import module_tree
from .source_weights_archbert import check_weights
from .tracing_archbert import ArchitectureTraceError, trace

CONFIG_NAME = "config.json"
MAX_CONFIG_BYTES = 2**22


def read_safetensors(
    path_or_url: str | os.PathLike[str],
    *,
    name: str = "",
    task: str | None = None,
    headers: Mapping[str, str] | None = None,
    config: str | os.PathLike[str] | None = None,
    max_seconds: float | None = 600.0,
) -> ArchitectureGraph:
    """The network of a `.safetensors` file, of which only the header is read.

    Args:
        path_or_url: a file, an `http(s)://` address, or a `.safetensors.index.json` beside its files.
        name: name of the graph; by default the class of the network, or the file.
        task: as in `load_architecture`; by default the class whose weights the file holds.
        headers: of the requests, where there is an address.
        config: path of the configuration; by default the `config.json` beside a file.
        max_seconds: as in `trace`.

    Raises:
        ArchitectureSourceError: the file cannot be read, or is not as the format wants it.
        ArchitectureTraceError: the network of the configuration cannot be traced.
    """
    where = os.fspath(path_or_url)
    tensors = safetensors_header(where, headers)
    beside = _config_beside(where, config, headers)
    if beside is None:
        return module_tree(tensors, name=name or _stem(where), source=where)
    return _joined(where, tensors, beside, name, task, max_seconds)


def _stem(where: str) -> str:
    return PurePosixPath(where.partition("?")[0].replace("\\", "/")).name.partition(".")[0] or where


def _config_beside(
    where: str, config: str | os.PathLike[str] | None, headers: Mapping[str, str] | None
) -> PretrainedConfig | None:
    """The configuration of a known model type that lies beside a file of weights."""
    place = os.fspath(config) if config is not None else neighbour(where)(CONFIG_NAME)
    if not is_url(place) and not Path(place).is_file():
        return None
    try:
        data = read_index(place, headers, MAX_CONFIG_BYTES)
    except ArchitectureSourceError as error:
        if not is_url(place):
            _warn(where, f"the config beside it could not be read: {first_line(error)}")
        return None
    return config_from_dict(place, data) if is_known_type(data.get("model_type")) else None


def _joined(
    where: str,
    tensors: Mapping[str, TensorInfo],
    config: PretrainedConfig,
    name: str,
    task: str | None,
    max_seconds: float | None,
) -> ArchitectureGraph:
    """The traced network of a configuration, after a check against the header."""
    stored = class_of_weights(config)
    kind = stored if task is None else model_class(task, config)
    module = _on_meta(stored, config)
    if module is not None and (reason := check_weights(tensors, module).message()):
        _warn(where, f"its header and the network of its config do not agree. {reason}")
    return trace(config, name=name, source=where, model_class=kind, max_seconds=max_seconds)


def _on_meta(kind: Any, config: PretrainedConfig) -> Any:
    """The network without weights; None where it cannot be built so (then nothing is checked)."""
    kind = kind or importlib.import_module("transformers").AutoModel
    build = getattr(kind, "from_config", None) or kind._from_config
    try:
        with torch.device("meta"):
            module = build(config)
        module.tie_weights()
        return module
    except Exception:
        return None


def read_gguf(
    path: str | os.PathLike[str],
    *,
    name: str = "",
    task: str | None = None,
    headers: Mapping[str, str] | None = None,
    max_seconds: float | None = 600.0,
) -> ArchitectureGraph:
    """The network of a GGUF file or address, of which only the header is read.

    Args:
        path, name, headers, max_seconds: as in `read_safetensors`.
        task: as in `load_architecture`; by default the language model.

    Raises:
        ArchitectureSourceError: the file cannot be read, is no GGUF file, or is not as the format wants it.
    """
    where = os.fspath(path)
    header = gguf_header(where, headers)
    tensors = {tensor: TensorInfo("F16", shape) for tensor, shape in header.tensors.items()}
    label = name or _label(header) or _stem(where)
    data = gguf_config(header)
    if data is not None:
        try:
            config = config_from_dict(where, data)
            kind = model_class(task or "text-generation", config)
            graph = trace(config, name=label, source=where, model_class=kind, max_seconds=max_seconds)
        except (ArchitectureSourceError, ArchitectureTraceError) as error:
            if task is not None:
                raise
            _warn(where, f"its metadata gives no network ({first_line(error)}); its tensors are shown without edges.")
        else:
            _compare_counts(where, header, graph, task)
            return graph
    return module_tree(tensors, name=label, source=where)


def _label(header: GgufHeader) -> str:
    value = header.metadata.get("general.name")
    return value[:200] if isinstance(value, str) else ""


def _compare_counts(where: str, header: GgufHeader, graph: ArchitectureGraph, task: str | None) -> None:
    """Warns where the file holds another number of weights than the network of its metadata."""
    held = sum(math.prod(shape) for tensor, shape in header.tensors.items() if not tensor.startswith("rope_"))
    if task is None and held != graph.num_parameters:
        _warn(
            where,
            f"it holds {held} weights, and the network of its metadata has {graph.num_parameters} parameters; the "
            "graph is that of the metadata.",
        )


def _warn(where: str, reason: str) -> None:
    warnings.warn(f"{where}: {reason}", ArchitectureSourceWarning, stacklevel=4)
