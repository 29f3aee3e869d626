"""`read_export`: the graph of a network that `torch.export.save` wrote, without its weights.

The program's JSON is read out of the archive and replayed on shapes by the tracer's own rules: what one module or one
torch function calls is folded back into one node, so that a network gives the same graph as when it is traced. Nothing
of the file is run or unpickled.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .architecture_graph_archbert import ArchitectureGraph, ArchitectureGraphError
from .source_errors_archbert import ArchitectureSourceError, first_line
from .source_export_archive_archbert import read_program
from .source_export_modules_archbert import WeightTree
from .source_export_program_archbert import tensor_name, tensor_of
from .source_export_replay_archbert import Replay
from .tracing_graph_archbert import ArchitectureTraceError, finished_graph
from .tracing_values_archbert import LimitError

MAX_NODES = 200_000
MAX_SECONDS = 120.0


def read_export(
    path: str | os.PathLike[str], *, name: str = "", max_seconds: float | None = MAX_SECONDS
) -> ArchitectureGraph:
    """The graph of an exported program (`.pt2`).

    Args:
        path: a file that `torch.export.save` wrote.
        name: name of the graph; by default the class of the network, else the name of the file.
        max_seconds: time after which reading stops; None for no limit.

    Raises:
        ArchitectureSourceError: the file is no such archive, is damaged, or is too large.
    """
    where = os.fspath(path)
    program, storages = read_program(where)
    deadline = None if max_seconds is None else time.monotonic() + max_seconds
    try:
        with torch.no_grad():
            return _graph_of(program, storages, where, name, deadline)
    except LimitError as error:
        reason = str(error)
        remedy = "Export a smaller network, or give a higher limit."
    except (ArchitectureGraphError, ArchitectureTraceError, ArithmeticError, AttributeError, LookupError,
            RecursionError, RuntimeError, TypeError, ValueError) as error:  # fmt: skip
        reason = f"{type(error).__name__}: {first_line(error)}"
        remedy = "The file is damaged, or was written by a torch that is not known here; export it again."
    raise ArchitectureSourceError(f"The exported program in {where!r} cannot be read ({reason}). {remedy}")


def _graph_of(program: Mapping[str, Any], storages: Mapping[str, str], where: str, name: str,
              deadline: float | None) -> ArchitectureGraph:  # fmt: skip
    module = program["graph_module"]
    graph = module["graph"]
    kinds = _module_classes(graph)
    specs = module["signature"]["input_specs"]
    weights, names = _weights(specs, graph["tensor_values"], storages)
    tree = WeightTree(weights, kinds)
    replay = Replay(tree, MAX_NODES, deadline)
    for inner, path in names.items():
        replay.add_constant(inner, weights[path])
    _add_inputs(replay, graph, names)
    outputs = replay.run(graph)
    specs_out = module["signature"]["output_specs"]
    outputs = [t for t, given in zip(outputs, _user_outputs(graph, specs_out), strict=False) if given]
    label = name or kinds.get("", "").rpartition(".")[2] or Path(where).stem
    made = finished_graph(replay.recorder, tree, outputs, name=label, source=where)
    version = program.get("torch_version")
    return dataclasses.replace(
        made,
        incomplete=(*made.incomplete, *replay.incomplete),
        library_versions={"torch": str(version)[:80] if version else "unknown"},
    )


def _module_classes(graph: Mapping[str, Any]) -> dict[str, str]:
    """Path -> class name of every module that a call is in; the network itself has the path ""."""
    kinds: dict[str, str] = {}
    for node in graph["nodes"]:
        stack = (node.get("metadata") or {}).get("nn_module_stack")
        for entry in stack.split(";") if isinstance(stack, str) else ():
            _, _, rest = entry.partition(",")
            path, _, kind = rest.rpartition(",")
            kinds.setdefault(path.partition("@")[0], kind.strip())
    return kinds


def _weights(
    specs: Any, metas: Mapping[str, Any], storages: Mapping[str, str]
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Path of every parameter and buffer -> its stand-in; name inside the program -> path."""
    weights: dict[str, torch.Tensor] = {}
    names: dict[str, str] = {}
    shared: dict[str, nn.Parameter] = {}
    for spec in specs:
        for kind, key in (("parameter", "parameter_name"), ("buffer", "buffer_name"),
                          ("tensor_constant", "tensor_constant_name")):  # fmt: skip
            if kind not in spec:
                continue
            path, inner = spec[kind][key], spec[kind]["arg"]["name"]
            tensor = tensor_of(metas[inner])
            if kind == "parameter":
                storage = storages.get(path, f"/{path}")
                known = shared.get(storage)
                if known is None or known.shape != tensor.shape:
                    known = shared[storage] = nn.Parameter(tensor, requires_grad=False)
                tensor = known
            weights[path], names[inner] = tensor, path
    return weights, names


def _add_inputs(replay: Replay, graph: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Gives every other input of the graph a node; a token or custom object has no tensor."""
    metas = graph["tensor_values"]
    for argument in graph["inputs"]:
        inner = tensor_name(argument)
        if inner is not None and inner not in names:
            replay.add_input(inner, tensor_of(metas[inner]))


def _user_outputs(graph: Mapping[str, Any], specs: Any) -> list[bool]:
    """For every tensor among the outputs whether the network returns it; the others are changed buffers."""
    found = []
    for position, argument in enumerate(graph["outputs"]):
        if tensor_name(argument) is not None:
            found.append(
                position >= len(specs) or "user_output" in specs[position] or "loss_output" in specs[position]
            )
    return found
