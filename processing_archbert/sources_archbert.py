"""`load_architecture`: whatever a user names an architecture by, to an `ArchitectureGraph`.

What a string means is told by these rules; the first that fits decides:

1. `torchvision:NAME` and `timm:NAME`: a network of that library, where it is installed;
2. an address `http(s)://...`: a page or file of the Hub, else a `.safetensors` or `.gguf` file, of which the header
   is fetched;
3. an ending of pickles (`.bin`, `.pt`, `.pth`, `.ckpt`, ...), or of a format that is not read: refused unopened;
4. a model type of transformers (`"bert"`; a file of that name is `"./bert"`);
5. a folder, then a file; what a file is, its first bytes and its ending have to say alike;
6. a file of a Hub repository, `owner/name/FILE.safetensors` (or `.gguf`): the header is fetched;
7. a Hub id, `owner/name`: `config.json` is fetched, or `model_index.json` and the configurations that it names;
8. anything else is refused, with the nearest names.

No weights are loaded, nothing is unpickled, and code of a repository runs only where `trust_remote_code=True` asks for
it. Files and Hub repositories are read in a child process with limits of time and memory (`isolation_archbert`).
Every refusal is an `ArchitectureSourceError` that says what was given, what is allowed and what to do.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import PretrainedConfig

from .architecture_graph_archbert import ArchitectureGraph, as_architecture_graph
from .source_configs_archbert import is_known_type, model_class, without_quantization
from .source_errors_archbert import ArchitectureSourceError, ArchitectureSourceWarning
from .source_names_archbert import ALLOWED, MAX_JSON_BYTES, PICKLE_ENDINGS, Named, resolve_name
from .source_readers_archbert import component_names, read_named, remote_model
from .tracing_archbert import trace

__all__ = [
    "HINTS",
    "MAX_JSON_BYTES",
    "PICKLE_ENDINGS",
    "ArchitectureSourceError",
    "ArchitectureSourceWarning",
    "described_source",
    "load_architecture",
    "load_components",
]

HINTS = (
    "inputs", "name", "task", "component", "trust_remote_code", "isolate", "time_limit", "memory_limit", "costs",
)  # fmt: skip
"""The hints of `load_architecture`."""


def load_architecture(
    source: Any,
    inputs: Any = None,
    *,
    name: str = "",
    task: str | None = None,
    component: str | None = None,
    trust_remote_code: bool = False,
    costs: bool = False,
    isolate: bool | None = None,
    time_limit: float | None = None,
    memory_limit: int | None = None,
) -> ArchitectureGraph:
    """The graph of an architecture, however it is given.

    Args:
        source: an `ArchitectureGraph` (of any copy of this package), its dictionary or Parquet row; an `nn.Module`
            (adapters of PEFT are part of it, quantised layers are shown as what they compute); a transformers config;
            or a string or path, which the rules of this module tell apart: a model type of transformers (`"bert"`),
            `torchvision:NAME`, `timm:NAME`, a `config.json`, a folder with one or with a diffusers pipeline, a saved
            graph (`.json`), a `.onnx`, `.pt2`, `.safetensors` or `.gguf` file, an address, or a Hub id.
        inputs: what the module is called with, where it cannot be made up: a tensor, a tuple or a dictionary of
            keyword arguments.
        name: name of the graph, for people; by default made from the source.
        task: head of a network of transformers: a task of the Hub such as `"text-classification"`, an auto class such
            as `"AutoModelForMaskedLM"`, a class, or `"auto"` for the class that the config names. By default the base
            model; of a file of weights the network whose weights it holds.
        component: of a pipeline's folder or repository, the network to read; by default the union of all.
        trust_remote_code: whether code of a Hub repository, or of a folder, may run to build its network.
        costs: whether a network that is traced is also run at a few other sizes, so that the graph tells its FLOPs and
            activations (`graph_costs_archbert`); takes several times as long. Files of other formats give none.
        isolate: whether a child process reads a name or file. By default files and repositories are isolated, names of
            installed libraries only with a limit; not what comes with inputs.
        time_limit: seconds after which reading stops; by default 600.
        memory_limit: bytes that reading may take, in a child process; by default `isolation_archbert.MEMORY_LIMIT`.

    Raises:
        ArchitectureSourceError: the source cannot be read, is of a kind that is not, or a hint does not fit it.
        ArchitectureGraphError: a saved graph is malformed.
        ArchitectureTraceError: the network cannot be traced, or a limit was reached.

    Warns:
        ArchitectureSourceWarning: the source was read, but not all of it agrees or is shown.
    """
    hints = {"name": name, "task": task, "component": component, "trust_remote_code": trust_remote_code}
    hints["costs"] = costs
    if isinstance(source, (str, os.PathLike)):
        named = resolve_name(os.fspath(source), trust_remote_code)
        return _of_name(named, inputs, hints, isolate, time_limit, memory_limit)
    for hint, value in (("component", component), ("memory_limit", memory_limit), ("isolate", isolate or None)):
        if value is not None:
            raise ArchitectureSourceError(
                f"{hint} is given with a {type(source).__name__}; it belongs to a name or file."
            )
    graph = as_architecture_graph(source)
    if graph is not None:
        _refuse("a graph", inputs=inputs, task=task)
        return dataclasses.replace(graph, name=name) if name else graph
    if not isinstance(source, (nn.Module, PretrainedConfig)):
        raise ArchitectureSourceError(_wrong_type(source))
    options: dict[str, Any] = {"name": name, "max_seconds": time_limit or 600.0, "costs": costs}
    if isinstance(source, nn.Module):
        _refuse("an nn.Module", task=task)
        return trace(source, inputs, **options)
    if not is_known_type(source.model_type):
        return trace(remote_model(source, task, trust_remote_code), inputs, **options)
    return trace(without_quantization(source), inputs, model_class=model_class(task, source), **options)


def described_source(given: Any, hints: Mapping[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
    """An architecture and the hints for it, where both may be given as `{"source": ..., HINT: ...}`.

    Args:
        given: a source of `load_architecture`, or such a dictionary. A saved graph, which has a `source` as well, is
            none.
        hints: hints for all architectures; those of the dictionary come before them.

    Raises:
        ArchitectureSourceError: a hint is unknown.
    """
    own: dict[str, Any] = {}
    if isinstance(given, Mapping) and "source" in given and not {"format", "op_types"} & set(given):
        own = dict(given)
        given = own.pop("source")
    merged = {**(hints or {}), **own}
    unknown = [str(hint)[:100] for hint in merged if hint not in HINTS]
    if unknown:
        raise ArchitectureSourceError(
            f"{unknown[0]!r} is no hint for an architecture; allowed are {', '.join(HINTS)} (and source)."
        )
    return given, merged


def load_components(
    source: str | os.PathLike[str], *, time_limit: float | None = None, memory_limit: int | None = None
) -> dict[str, ArchitectureGraph]:
    """One graph for each network of a diffusers pipeline that can be read, by the component's name.

    Args:
        source: a folder with `model_index.json`, or the id of such a repository.
        time_limit, memory_limit: for each network, as in `load_architecture`.

    Raises:
        ArchitectureSourceError: it is no pipeline, or none of its networks can be read.

    Warns:
        ArchitectureSourceWarning: a network cannot be read.
    """
    named = resolve_name(os.fspath(source), False)
    graphs, reasons = {}, []
    for component in component_names(named):
        hints = {"name": component, "task": None, "component": component, "trust_remote_code": False}
        try:
            graphs[component] = _of_name(named, None, hints, None, time_limit, memory_limit)
        except (RuntimeError, ValueError) as error:
            reasons.append(f"{component}: {error}")
    if not graphs:
        raise ArchitectureSourceError(f"No network of {named.origin!r} can be read. {' '.join(reasons)}")
    for reason in reasons:
        warnings.warn(f"{named.origin}: {reason}", ArchitectureSourceWarning, stacklevel=2)
    return graphs


def _of_name(
    named: Named,
    inputs: Any,
    hints: dict[str, Any],
    isolate: bool | None,
    time_limit: float | None,
    memory_limit: int | None,
) -> ArchitectureGraph:
    """The graph of a resolved name, read here or in a child process."""
    if named.graph is not None:
        _refuse("a saved graph", inputs=inputs, task=hints["task"], component=hints["component"])
        return dataclasses.replace(named.graph, name=hints["name"]) if hints["name"] else named.graph
    if isolate and inputs is not None:
        raise ArchitectureSourceError("inputs cannot be taken into a child process; leave inputs or isolate out.")
    limited = time_limit is not None or memory_limit is not None
    if isolate is None:
        isolate = inputs is None and (named.from_strangers or limited)
    if not isolate:
        if memory_limit is not None:
            raise ArchitectureSourceError(
                "memory_limit holds in a child process only; leave isolate=False or inputs out."
            )
        return read_named(named, inputs, hints, time_limit or 600.0)
    return _isolated(named, hints, time_limit, memory_limit)


def _isolated(
    named: Named, hints: dict[str, Any], time_limit: float | None, memory_limit: int | None
) -> ArchitectureGraph:
    from .isolation_archbert import MEMORY_LIMIT, TIME_LIMIT, run_isolated

    limits: dict[str, Any] = {"time_limit": time_limit or TIME_LIMIT, "memory_limit": memory_limit or MEMORY_LIMIT}
    limits["network"] = named.network or bool(hints["trust_remote_code"])
    limits["label"] = f"Reading {named.origin[:300]!r}"
    result = run_isolated(f"{__name__}:read_plain", named.plain(), hints, limits["time_limit"], **limits)
    for message in result["warnings"]:
        warnings.warn(message, ArchitectureSourceWarning, stacklevel=4)
    return ArchitectureGraph.from_dict(result["graph"])


def read_plain(named: Mapping[str, Any], hints: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What a child process runs: a resolved name to `{"graph": dictionary, "warnings": messages}`, plain data."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ArchitectureSourceWarning)
        graph = read_named(Named.of_plain(named), None, hints, seconds)
    messages = [str(w.message) for w in caught if issubclass(w.category, ArchitectureSourceWarning)]
    return {"graph": graph.to_dict(), "warnings": messages}


def _refuse(kind: str, **hints: Any) -> None:
    for hint, value in hints.items():
        if value is not None:
            verb = "are" if hint == "inputs" else "is"
            raise ArchitectureSourceError(f"{hint} {verb} given with {kind}, which needs none; leave {hint} out.")


def _wrong_type(source: Any) -> str:
    if source is None:
        return f"No architecture is given; allowed is {ALLOWED}."
    if isinstance(source, type):
        return f"The architecture is the class {source.__name__}; give an instance of it, or {ALLOWED}."
    if isinstance(source, Mapping):
        return (
            "The architecture is a dictionary that is no saved graph (a state dict holds weights, but no "
            f"computational graph); allowed is {ALLOWED}."
        )
    return f"The architecture is {type(source).__name__}; allowed is {ALLOWED}."
