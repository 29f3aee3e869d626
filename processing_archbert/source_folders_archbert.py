"""Folders of diffusers pipelines: one graph per component, and their union.

`model_index.json` names the components, each with a library, a class and a folder of its own. Of each only the
configuration is read, and its network is built without weights by the installed `transformers` or `diffusers`; classes
of any other library are never imported. Schedulers, tokenizers and processors are no networks.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .architecture_graph_archbert import ArchitectureGraph, ArchitectureGraphError
from .source_configs_archbert import config_from_dict, is_known_type, model_class, suggestion
from .source_diffusion_archbert import diffusion_inputs
from .source_errors_archbert import ArchitectureSourceError, ArchitectureSourceWarning, first_line
from .source_headers_archbert import CONFIG_NAME, MAX_CONFIG_BYTES
from .source_safetensors_archbert import INDEX_ENDING, read_index, safetensors_header
from .source_tree_archbert import module_tree
from .tracing_archbert import ArchitectureTraceError, trace

INDEX_NAME = "model_index.json"
MAX_COMPONENTS = 64
_NO_NETWORK = ("Scheduler", "Tokenizer", "TokenizerFast", "Processor", "FeatureExtractor", "ImageProcessorFast")
_ERRORS = (ArchitectureSourceError, ArchitectureTraceError, ArchitectureGraphError)


def pipeline_components(folder: Path) -> dict[str, tuple[str, str]]:
    """Names of the networks of a pipeline's folder to their library and class.

    Raises:
        ArchitectureSourceError: `model_index.json` cannot be read, or names no network.
    """
    data = _config_json(folder / INDEX_NAME)
    found = {
        name: (entry[0], entry[1])
        for name, entry in data.items()
        if isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, str) for part in entry)
    }
    networks = {name: entry for name, entry in found.items() if not entry[1].endswith(_NO_NETWORK)}
    strange = [name for name in networks if not name.isidentifier()]
    if not networks or strange or len(networks) > MAX_COMPONENTS:
        such = f", such as {strange[0][:100]!r}" if strange else ""
        raise ArchitectureSourceError(
            f"{str(folder / INDEX_NAME)!r} names {len(networks)} networks{such}; from 1 to {MAX_COMPONENTS} with "
            "plain names are allowed."
        )
    return networks


def _config_json(path: Path) -> dict[str, Any]:
    return read_index(str(path), max_bytes=MAX_CONFIG_BYTES)


def read_pipeline(
    folder: Path, *, component: str | None = None, name: str = "", max_seconds: float | None = 600.0
) -> ArchitectureGraph:
    """The graph of one component of a pipeline's folder, or the union of all.

    A component that cannot be traced is named in the union's `incomplete`, and a warning says why.

    Raises:
        ArchitectureSourceError: the folder, or the component, cannot be read, or none of the components can.
        ArchitectureTraceError: the component cannot be traced.
    """
    components = pipeline_components(folder)
    if component is not None:
        if component not in components:
            raise ArchitectureSourceError(
                f"{str(folder)!r} has no network {component[:100]!r}.{suggestion(component, components)} It has "
                f"{', '.join(components)}."
            )
        return read_component(folder, component, *components[component], name=name, max_seconds=max_seconds)
    graphs: dict[str, ArchitectureGraph] = {}
    reasons: dict[str, str] = {}
    for part, (library, kind) in components.items():
        try:
            graph = read_component(folder, part, library, kind, name=part, max_seconds=max_seconds)
        except _ERRORS as error:
            reasons[part] = first_line(error)
            continue
        if graph.has_data_flow:
            graphs[part] = graph
        else:
            reasons[part] = "only its layers are known, no data flow"
    if not graphs:
        raise ArchitectureSourceError(
            f"No network of {str(folder)!r} can be traced: " + "; ".join(f"{k}: {v}" for k, v in reasons.items())
        )
    for part, reason in reasons.items():
        warnings.warn(f"{folder}: {part} is left out: {reason}", ArchitectureSourceWarning, stacklevel=3)
    label = _config_json(folder / INDEX_NAME).get("_class_name")
    return union(graphs, name=name or (label if isinstance(label, str) else folder.name), source=str(folder),
                 incomplete=tuple(reasons))  # fmt: skip


def read_component(
    folder: Path, component: str, library: str, kind: str, *, name: str = "", max_seconds: float | None = 600.0
) -> ArchitectureGraph:
    """The graph of one component; the tree of its modules where its class is not installed but its weights are there.

    Raises:
        ArchitectureSourceError: it has no readable configuration, or its library is not installed or not known.
        ArchitectureTraceError: the network cannot be traced.
    """
    place = folder / component
    data = _config_json(place / CONFIG_NAME)
    options: dict[str, Any] = {"name": name or kind, "source": str(place), "max_seconds": max_seconds}
    if library == "transformers" and is_known_type(data.get("model_type")):
        config = config_from_dict(str(place / CONFIG_NAME), data)
        return trace(config, model_class=model_class(kind, config), **options)
    return read_diffusers_config(place / CONFIG_NAME, data, kind if library == "diffusers" else "", **options)


def read_diffusers_config(
    path: Path, data: Mapping[str, Any], kind: str, *, name: str, source: str, max_seconds: float | None
) -> ArchitectureGraph:
    """The graph of a diffusers configuration (its class stands in it as `_class_name`); see `read_component`."""
    kind = kind or str(data.get("_class_name", ""))
    reason = ""
    try:
        module = _diffusers_module(kind, data)
        inputs = diffusion_inputs(module, {**data, **(getattr(module, "config", None) or {})})
        return trace(module, inputs, name=name, source=source, max_seconds=max_seconds)
    except _ERRORS as error:
        reason = str(error)
    weights = [*sorted(path.parent.glob(f"*{INDEX_ENDING}")), *sorted(path.parent.glob("*.safetensors"))]
    if not weights:
        raise ArchitectureSourceError(reason)
    warnings.warn(f"{path}: {reason} Its tensors are shown without edges.", ArchitectureSourceWarning, stacklevel=4)
    return module_tree(safetensors_header(weights[0]), name=name, source=source)


def _diffusers_module(kind: str, data: Mapping[str, Any]) -> Any:
    """The network of a diffusers class, on meta.

    Raises:
        ArchitectureSourceError: diffusers is not installed, has no such network, or does not accept the options.
    """
    if importlib.util.find_spec("diffusers") is None:
        raise ArchitectureSourceError(
            f"The class {kind[:100]!r} is one of diffusers, which is not installed; run `pip install diffusers`."
        )
    diffusers = importlib.import_module("diffusers")
    found = getattr(diffusers, kind, None) if kind.isidentifier() and not kind.startswith("_") else None
    if not isinstance(found, type) or not issubclass(found, diffusers.ModelMixin):
        raise ArchitectureSourceError(f"{kind[:100]!r} is no network of the installed diffusers.")
    try:
        with torch.device("meta"):
            return found.from_config({k: v for k, v in data.items() if k != "quantization_config"}).eval()  # type: ignore[attr-defined]
    except Exception as error:
        raise ArchitectureSourceError(f"No {kind} can be built from its config: {first_line(error)}") from error


def union(
    graphs: Mapping[str, ArchitectureGraph], *, name: str = "", source: str = "", incomplete: tuple[str, ...] = ()
) -> ArchitectureGraph:
    """One graph with the nodes of several, side by side; their names begin with the component's.

    Args:
        graphs: component to graph.
        incomplete: components that are missing beside what the graphs themselves miss.
    """
    offsets = np.cumsum([0, *(graph.num_nodes for graph in graphs.values())])
    parts = list(zip(graphs.items(), offsets[:-1].tolist(), strict=True))
    join: Callable[[str], np.ndarray] = lambda field: np.concatenate([getattr(g, field) for g in graphs.values()])  # noqa: E731
    return ArchitectureGraph.build(
        [op for graph in graphs.values() for op in graph.op_types],
        [(s + start, t + start) for (_, graph), start in parts for s, t in graph.edge_index.T.tolist()],
        shapes=join("shapes"),
        attributes=join("attributes"),
        node_parameters=join("node_parameters"),
        node_names=[f"{part}.{node}" for part, graph in graphs.items() for node in graph.node_names],
        name=name,
        source=source,
        unused_parameters=sum(graph.unused_parameters for graph in graphs.values()),
        incomplete=(*(f"{part}.{t}" for part, graph in graphs.items() for t in graph.incomplete), *incomplete),
        guesses=[f"{part}.{guess}" for part, graph in graphs.items() for guess in graph.guesses],
        library_versions={k: v for graph in graphs.values() for k, v in graph.library_versions.items()},
    )
