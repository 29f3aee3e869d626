"""`load_architecture`: whatever a user names an architecture by, to an `ArchitectureGraph`.

* Graphs, modules, transformers configs, model types, `config.json`, saved graphs, Hub ids.
* Only a config or a graph is ever read: no weights are loaded, nothing is unpickled, and code of a repository runs
  only where `trust_remote_code=True` asks for it.
* Every refusal is an `ArchitectureSourceError` that says what was given, what is allowed and what to do.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from .architecture_graph_archbert import FORMAT, ArchitectureGraph, as_architecture_graph
from .tracing_archbert import trace

CONFIG_NAME = "config.json"
MAX_JSON_BYTES = 64 * 2**20
NUM_SUGGESTIONS = 5

PICKLE_ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
UNSUPPORTED_ENDINGS = {
    ".onnx": "an ONNX file",
    ".pt2": "an exported program",
    ".safetensors": "a file of weights, which holds no computational graph",
    ".gguf": "a file of weights, which holds no computational graph",
    ".h5": "a Keras file",
}
UNSUPPORTED_PREFIXES = {"torchvision:": "a torchvision model", "timm:": "a timm model"}

_ALLOWED = (
    'an ArchitectureGraph, an nn.Module, a transformers config, a model type such as "bert", the path of a '
    'config.json or of a saved graph, or a Hub id such as "google-bert/bert-base-uncased"'
)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ArchitectureSourceError(ValueError):
    """What was given names no architecture that can be read; the message says why and what to give instead."""


def load_architecture(
    source: Any, inputs: Any = None, *, name: str = "", trust_remote_code: bool = False
) -> ArchitectureGraph:
    """The graph of an architecture, however it is given.

    Args:
        source: an `ArchitectureGraph` (of any copy of this package), its dictionary or Parquet row; an `nn.Module`; a
            transformers config; or a string or path: a model type of transformers (`"bert"`; a file of that name is
            `"./bert"`), a `config.json`, a folder with one, a saved graph (`.json`), or a Hub id (`"owner/name"`), of
            which only `config.json` is fetched.
        inputs: what the module is called with, where it cannot be made up: a tensor, a tuple or a dictionary of
            keyword arguments.
        name: name of the graph, for people; by default made from the source.
        trust_remote_code: whether code of a Hub repository may run to build its config.

    Raises:
        ArchitectureSourceError: the source cannot be read, or is of a kind that is not.
        ArchitectureGraphError: a saved graph is malformed.
        ArchitectureTraceError: the network cannot be traced.
    """
    origin = os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""
    if isinstance(source, (str, os.PathLike)):
        source = _resolved(origin, trust_remote_code)
    graph = as_architecture_graph(source)
    if graph is not None:
        if inputs is not None:
            raise ArchitectureSourceError("inputs are given with a graph, which needs none; leave inputs out.")
        return dataclasses.replace(graph, name=name) if name else graph
    if not isinstance(source, (nn.Module, PretrainedConfig)):
        raise ArchitectureSourceError(_wrong_type(source))
    if isinstance(source, PretrainedConfig) and source.model_type not in CONFIG_MAPPING:
        source = _remote_model(source, trust_remote_code)
    return trace(source, inputs, name=name, source=origin)


def _wrong_type(source: Any) -> str:
    if source is None:
        return f"No architecture is given; allowed is {_ALLOWED}."
    if isinstance(source, type):
        return f"The architecture is the class {source.__name__}; give an instance of it, or {_ALLOWED}."
    if isinstance(source, Mapping):
        return (
            "The architecture is a dictionary that is no saved graph (a state dict holds weights, but no "
            f"computational graph); allowed is {_ALLOWED}."
        )
    return f"The architecture is {type(source).__name__}; allowed is {_ALLOWED}."


def _resolved(text: str, trust_remote_code: bool) -> ArchitectureGraph | PretrainedConfig:
    """The graph or config that a string names."""
    _refuse_unreadable(text)
    if text in CONFIG_MAPPING:
        return _default_config(text)
    path = Path(text)
    if path.is_dir():
        if not (path / CONFIG_NAME).is_file():
            raise ArchitectureSourceError(f"The folder {text!r} has no {CONFIG_NAME}; save a config into it.")
        return _read_json(path / CONFIG_NAME, trust_remote_code)
    if path.exists():
        return _read_json(path, trust_remote_code)
    if _HUB_ID.fullmatch(text) and not text.endswith(".json"):
        return _hub_config(text, trust_remote_code)
    if len(path.parts) > 1 or path.suffix == ".json":
        raise ArchitectureSourceError(f"There is no file or folder {text!r}; allowed is {_ALLOWED}.")
    raise ArchitectureSourceError(_unknown_name(text))


def _refuse_unreadable(text: str) -> None:
    if not text.strip():
        raise ArchitectureSourceError(f"The architecture is an empty string; allowed is {_ALLOWED}.")
    if "\0" in text or len(text) > 4096:
        raise ArchitectureSourceError(f"The architecture is no name and no path; allowed is {_ALLOWED}.")
    lower = text.lower()
    if lower.endswith(PICKLE_ENDINGS):
        raise ArchitectureSourceError(
            f"{text!r} is a pickle by its ending: opening it could run any code, and weights hold no computational "
            "graph, so it is never opened. Build the nn.Module yourself and pass it, or pass the config.json beside "
            "the weights."
        )
    for ending, kind in UNSUPPORTED_ENDINGS.items():
        if lower.endswith(ending):
            raise ArchitectureSourceError(f"{text!r} is {kind}; this is not supported. Allowed is {_ALLOWED}.")
    for prefix, kind in UNSUPPORTED_PREFIXES.items():
        if lower.startswith(prefix):
            raise ArchitectureSourceError(
                f"{text!r} is {kind}; such names are not supported. Build the nn.Module and pass it."
            )


def _unknown_name(text: str) -> str:
    lower = text.lower()
    types = sorted(CONFIG_MAPPING.keys())
    near = [t for t in types if t.lower() == lower.replace("-", "_") or t.lower() == lower.replace("_", "-")]
    near += difflib.get_close_matches(lower, types, n=NUM_SUGGESTIONS, cutoff=0.6)
    near += [t for t in types if len(t) > 2 and (lower.startswith(t) or t.startswith(lower))]
    near = list(dict.fromkeys(near))[:NUM_SUGGESTIONS]
    suggestion = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return (
        f"{text[:200]!r} is no model type of transformers and no file.{suggestion} A model on the Hub is given as "
        '"owner/name", for example "google-bert/bert-base-uncased".'
    )


def _default_config(model_type: str) -> PretrainedConfig:
    try:
        return CONFIG_MAPPING[model_type]()
    except Exception as error:
        raise ArchitectureSourceError(
            f"The model type {model_type!r} has no default config that can be built ({_first_line(error)}); make the "
            "config yourself and pass it."
        ) from error


def _read_json(path: Path, trust_remote_code: bool) -> ArchitectureGraph | PretrainedConfig:
    """The saved graph or the config in a JSON file."""
    if not path.is_file():
        raise ArchitectureSourceError(f"{str(path)!r} is no regular file; allowed is {_ALLOWED}.")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ArchitectureSourceError(
            f"{str(path)!r} has {path.stat().st_size} bytes; at most {MAX_JSON_BYTES} are read. A larger saved graph "
            "can be read with ArchitectureGraph.from_json."
        )
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise ArchitectureSourceError(f"{str(path)!r} cannot be read: {_first_line(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ArchitectureSourceError(
            f"{str(path)!r} is no JSON ({_first_line(error)}); a config.json or a saved graph is allowed."
        ) from None
    if not isinstance(data, dict):
        raise ArchitectureSourceError(
            f"{str(path)!r} holds a JSON {type(data).__name__}, not an object; a config.json or a saved graph is "
            "allowed."
        )
    if data.get("format") == FORMAT:
        return ArchitectureGraph.from_dict(data)
    return _config_of_json(path, data, trust_remote_code)


def _config_of_json(path: Path, data: dict[str, Any], trust_remote_code: bool) -> PretrainedConfig:
    model_type = data.get("model_type")
    if not isinstance(model_type, str):
        raise ArchitectureSourceError(
            f"{str(path)!r} has no model_type, so it is no config of transformers; it is no saved graph either."
        )
    needs_code = isinstance(data.get("auto_map"), dict) and "AutoConfig" in data["auto_map"]
    if model_type not in CONFIG_MAPPING and not needs_code:
        raise ArchitectureSourceError(f"The model_type of {str(path)!r} is unknown: {_unknown_name(model_type)}")
    if model_type not in CONFIG_MAPPING and not trust_remote_code:
        raise ArchitectureSourceError(
            f"The config {str(path)!r} (model_type {model_type!r}) needs code of its repository. Read that code, then "
            "pass trust_remote_code=True."
        )
    source = path.parent if needs_code and trust_remote_code and path.name == CONFIG_NAME else path
    return _auto_config(str(source), trust_remote_code)


def _hub_config(repo_id: str, trust_remote_code: bool) -> ArchitectureGraph | PretrainedConfig:
    """The config of a Hub repository; of its files only `config.json` is fetched (and code, where it is trusted)."""
    offline = " HF_HUB_OFFLINE is set." if constants.HF_HUB_OFFLINE else ""
    advice = f"Connect, or give the path of a {CONFIG_NAME}"
    try:
        path = Path(hf_hub_download(repo_id, CONFIG_NAME))
    except GatedRepoError:
        reason = "is gated; accept its terms on its page and log in with `hf auth login`"
    except RepositoryNotFoundError:
        reason = "does not exist on the Hub, or is private (log in with `hf auth login`); nor is there such a folder"
    except LocalEntryNotFoundError:
        reason = f"is no folder, is not in the cache, and the Hub cannot be reached.{offline} {advice}"
    except EntryNotFoundError:
        reason = f"has no {CONFIG_NAME}, so it is no model of transformers"
    except HFValidationError:
        reason = "is no valid Hub id, and there is no such file or folder"
    except Exception as error:
        reason = f"cannot be fetched from the Hub ({_first_line(error)}). {advice}"
    else:
        return _auto_config(repo_id, trust_remote_code=True) if trust_remote_code else _read_json(path, False)
    raise ArchitectureSourceError(f"{repo_id!r} {reason}.")


def _remote_model(config: PretrainedConfig, trust_remote_code: bool) -> nn.Module:
    """The model of a config that transformers does not know, built without weights by code of its repository."""
    if not trust_remote_code:
        raise ArchitectureSourceError(
            f"The config {type(config).__name__} (model_type {config.model_type!r}) is not one of transformers. Pass "
            "the nn.Module, or trust_remote_code=True where its repository holds code that you have read."
        )
    try:
        with torch.device("meta"):
            return AutoModel.from_config(config, trust_remote_code=True)
    except Exception as error:
        raise ArchitectureSourceError(
            f"No model can be built from {type(config).__name__}: {_first_line(error)}. Pass the nn.Module."
        ) from error


def _auto_config(source: str, trust_remote_code: bool) -> PretrainedConfig:
    try:
        return AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise ArchitectureSourceError(f"The config of {source!r} cannot be built: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
