"""The `ArchitectureGraph` of what a recorder wrote down: the nodes that matter, renumbered, with their parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from .architecture_graph_archbert import ArchitectureGraph
from .ops_archbert import NUM_ATTRIBUTES, OUTPUT_OP
from .tracing_attention_archbert import join_attention
from .tracing_completeness_archbert import missing_towers
from .tracing_nodes_archbert import list_output_tensors
from .tracing_recorder_archbert import Recorder


class ArchitectureTraceError(RuntimeError):
    """A network that cannot be traced: names the module, the reason and what can be passed instead."""


def trace_error(recorder: Recorder, label: str, reason: str, remedy: str) -> ArchitectureTraceError:
    """The error of a network that cannot be traced, with the module at which it failed.

    Args:
        recorder: what ran.
        label: class of the network.
        reason: what is wrong.
        remedy: what the user can pass instead.
    """
    where = ""
    if recorder.failed_at is not None:
        path, kind = recorder.failed_at
        where = f" in module {path!r} ({kind})" if path else ""
    return ArchitectureTraceError(f"{label} cannot be traced{where}: {reason}. You can pass {remedy}.")


def kept_nodes(recorder: Recorder, model: nn.Module, outputs: Any) -> tuple[list[int], list[int]]:
    """Indices of the recorded nodes that belong to the graph, and of those that produce the outputs.

    Args:
        recorder: what ran.
        model: the network.
        outputs: what it returned.

    Raises:
        ArchitectureTraceError: no output depends on an input or a parameter.
    """
    producers = sorted({s for t in list_output_tensors(outputs) for s in recorder.track(t).sources})
    if not producers:
        raise trace_error(
            recorder,
            type(model).__name__,
            "no tensor of its output depends on an input or a parameter",
            "inputs= for which forward returns tensors",
        )
    kept = _kept(recorder, producers)
    if join_attention(recorder.nodes, kept, producers):
        kept = _kept(recorder, producers)
    return kept, producers


def finished_graph(recorder: Recorder, model: nn.Module, outputs: Any, *, name: str, source: str) -> ArchitectureGraph:
    """The graph of everything that a recorder wrote down and that an output, or a parameter of a dead end, needs.

    Args:
        recorder: what ran.
        model: the network, whose parameters are counted.
        outputs: what it returned.
        name: name of the graph.
        source: where the network came from, for people.

    Raises:
        ArchitectureTraceError: no output depends on an input or a parameter.
    """
    kept, producers = kept_nodes(recorder, model, outputs)
    position = {node: i for i, node in enumerate(kept)}
    nodes = [recorder.nodes[i] for i in kept]
    edges = [(position[s], position[i]) for i in kept for s in recorder.nodes[i].sources]
    count = len(nodes)
    edges += [(position[p], count + i) for i, p in enumerate(producers)]
    counts, unused = _count_parameters(model, nodes)
    total = sum(counts) + sum(unused.values())
    blank = [(0,) * NUM_ATTRIBUTES] * len(producers)
    return ArchitectureGraph.build(
        [n.op for n in nodes] + [OUTPUT_OP] * len(producers),
        edges,
        shapes=np.array([n.shape for n in nodes] + [(0, 0, 0, 0)] * len(producers), dtype=np.int64),
        attributes=np.array([n.attributes for n in nodes] + blank, dtype=np.int64),
        node_parameters=np.array(counts + [0] * len(producers), dtype=np.int64),
        node_names=[n.name for n in nodes] + [f"output{i}" for i in range(len(producers))],
        name=name,
        source=source,
        num_parameters=total,
        unused_parameters=total - sum(counts),
        incomplete=missing_towers(model, unused),
        library_versions=_versions(type(model)),
        guesses=tuple(recorder.guesses),
    )


def _kept(recorder: Recorder, producers: list[int]) -> list[int]:
    """Nodes that reach an output, or a parameter that only a dead end reads: a layer that runs is in the graph."""
    kept = _ancestors(recorder, producers)
    read = {id(p) for i in kept for p in recorder.nodes[i].parameters}
    dead = [i for i, node in enumerate(recorder.nodes) if any(id(p) not in read for p in node.parameters)]
    return _ancestors(recorder, producers + dead) if dead else kept


def _ancestors(recorder: Recorder, producers: list[int]) -> list[int]:
    seen = set(producers)
    stack = list(producers)
    while stack:
        for source in recorder.nodes[stack.pop()].sources:
            if source not in seen:
                seen.add(source)
                stack.append(source)
    return sorted(seen)


def _count_parameters(model: nn.Module, nodes: list[Any]) -> tuple[list[int], dict[int, int]]:
    """Parameters of each node, everyone counted at its first user; and the sizes of those without a user, by id."""
    sizes = {id(p): p.numel() for p in model.parameters()}
    return [sum(sizes.pop(id(p), 0) for p in dict.fromkeys(node.parameters)) for node in nodes], sizes


def _versions(kind: type) -> dict[str, str]:
    versions = {"torch": str(torch.__version__)}
    if kind.__module__.split(".")[0] == "transformers":
        import transformers

        versions["transformers"] = str(transformers.__version__)
    return versions
