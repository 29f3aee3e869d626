"""`trace` against two derivations that share no code with it, on thirty networks.

    python -m benchmarks.truth [--networks bert "tied text"] [--output benchmarks/results/truth.json]

* parameters: those of the nodes and the unused ones add up to the unique parameters of the module, and those of the
  nodes are the ones from which autograd reaches an output.
* calls: every module that is not contracted is there once for each of its calls that reaches an output.
* edges: nodes and edges equal those of `torch.export`'s program after contraction, and so do the parameters of every
  node.
* attributes: equal what the configuration says.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import nn  # noqa: E402

from benchmarks.truth_derivation import (  # noqa: E402
    OUTPUT,
    Derived,
    derive_from_export,
    numbered,
    run_with_hooks,
)
from benchmarks.truth_networks import NETWORKS, Case  # noqa: E402
from processing_archbert import ArchitectureGraph, GraphFacts, trace  # noqa: E402

SHOWN = 12
CHECKS = ("parameters", "calls", "edges", "attributes")
_NO_NODES = (nn.Identity, nn.Flatten, nn.Unflatten, nn.modules.dropout._DropoutNd, nn.Sequential, nn.ModuleList,
             nn.TransformerEncoder, nn.TransformerEncoderLayer)  # fmt: skip


def build(name: str) -> Case:
    """The network of this name, with fixed random weights and inputs."""
    torch.manual_seed(0)
    return NETWORKS[name]()


def trace_case(case: Case) -> ArchitectureGraph:
    """The graph of `trace` for a network and its inputs."""
    return trace(case.module, case.kwargs or case.args)


def check_parameters(case: Case, graph: ArchitectureGraph) -> list[str]:
    """Differences between the parameters of the graph and those of the module and of autograd."""
    total = sum(p.numel() for p in case.module.parameters())
    used = run_with_hooks(case.module, case.args, case.kwargs).used_parameters
    found = []
    if graph.num_parameters != total:
        found.append(f"num_parameters is {graph.num_parameters}, the module has {total}")
    if int(graph.node_parameters.sum()) + graph.unused_parameters != total:
        found.append(f"nodes and unused parameters do not add up to {total}")
    if int(graph.node_parameters.sum()) != used:
        found.append(f"nodes have {int(graph.node_parameters.sum())} parameters, autograd reaches {used}")
    return found


def check_calls(case: Case, graph: ArchitectureGraph) -> list[str]:
    """Differences between the nodes that are modules and the calls that forward hooks count."""
    run = run_with_hooks(case.module, case.args, case.kwargs)
    nodes = Counter(graph.node_names)
    found = []
    for path, module in case.module.named_modules():
        calls, constant = run.live_calls[path], run.constant_calls[path]
        if path and nodes[path] and (calls or constant):
            if not calls <= nodes[path] <= calls + constant:
                found.append(f"{path} has {nodes[path]} nodes for {calls} calls")
            continue
        inside = any(nodes[".".join(path.split(".")[:i])] for i in range(1, path.count(".") + 1))
        is_layer = type(module).__module__.startswith("torch.nn.modules") and not isinstance(module, _NO_NODES)
        if not path or inside or not calls:
            continue
        if is_layer:
            found.append(f"{path} has no node for {calls} calls")
    return found


def labels_of(case: Case, graph: ArchitectureGraph) -> Derived:
    """The graph of `trace` in the form of a derived one."""
    run = run_with_hooks(case.module, case.args, case.kwargs)
    paths = {path for path in (*run.live_calls, *run.constant_calls) if path}  # a function may bear a module's name
    kept = [i for i, op in enumerate(graph.op_types) if op != "output"]

    def name_of(node: int) -> tuple[str, str]:
        name, op = graph.node_names[node], graph.op_types[node]
        if op == "input":
            return "", "input"
        return (name, "") if name in paths else (name.rpartition(".")[0], op)

    labels = dict(zip(kept, numbered(name_of(i) for i in kept), strict=True))
    edges = {(labels[s], labels.get(t, OUTPUT)) for s, t in graph.edge_index.T.tolist()}
    return Derived(list(labels.values()), edges, {labels[i]: int(graph.node_parameters[i]) for i in kept})


def check_edges(case: Case, graph: ArchitectureGraph) -> list[str]:
    """Differences between the graph and what `torch.export` records; one line that begins with `no export` where it
    fails.
    """
    ours = labels_of(case, graph)
    units = {path for path, function, _ in ours.labels if not function}
    tables = {n for n, op in zip(graph.node_names, graph.op_types, strict=True) if op == "RotaryEmbedding"}
    try:
        theirs = derive_from_export(case.module, case.args, case.kwargs, units, tables)
    except Exception as error:
        return [f"no export: {type(error).__name__}: {' '.join(str(error).split())[:200]}"]
    found = []
    for what, mine, other in (("node", set(ours.labels), set(theirs.labels)), ("edge", ours.edges, theirs.edges)):
        found += [f"{what} only in trace: {item}" for item in sorted(mine - other)]
        found += [f"{what} only in export: {item}" for item in sorted(other - mine)]
    found += [
        f"parameters of {label}: {ours.parameters[label]}, in export {theirs.parameters[label]}"
        for label in ours.labels
        if label in theirs.parameters and ours.parameters[label] != theirs.parameters[label]
    ]
    return found


def check_attributes(case: Case, graph: ArchitectureGraph) -> list[str]:
    """Differences between the attribute columns and the configuration."""
    facts = GraphFacts(graph)
    values = {name: set(facts.attribute_values(name).value) for name in case.attributes}
    return [
        f"{name} is {sorted(values[name])}, the configuration says {sorted(expected)}"
        for name, expected in case.attributes.items()
        if values[name] != expected
    ]


def check_network(name: str) -> dict[str, Any]:
    """All four checks of one network: for each a list of differences, empty where it agrees."""
    case = build(name)
    graph = trace_case(case)
    functions = (check_parameters, check_calls, check_edges, check_attributes)
    result: dict[str, Any] = {check: function(case, graph) for check, function in zip(CHECKS, functions, strict=True)}
    return {"network": name, "nodes": graph.num_nodes, "edges_compared": graph.num_edges, **result}


def main() -> None:
    """Checks every network, prints what differs and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS), metavar="NAME")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "truth.json")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.networks:
        rows.append(check_network(name))
        marks = "  ".join(f"{c} {'agrees' if not rows[-1][c] else len(rows[-1][c])}" for c in CHECKS)
        print(f"{name:24s} {rows[-1]['nodes']:5d} nodes  {marks}", flush=True)
        for check in CHECKS:
            print(
                *(f"    {check}: {line}" for line in rows[-1][check][:12]),
                sep="\n",
                end="\n" if rows[-1][check] else "",
            )
    if arguments.networks == list(NETWORKS):
        write_results(arguments.output, rows)


def write_results(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes the differences of every network, with the versions."""
    import transformers

    result = {
        "command": "python -m benchmarks.truth",
        "agree": {check: sum(not row[check] for row in rows) for check in CHECKS},
        "exported": sum(not any(line.startswith("no export") for line in row["edges"]) for row in rows),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "networks": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
