"""How much of a library can be traced: one graph of every model, from default configurations, without weights.

    python benchmarks/coverage.py --source transformers --records runs/coverage/transformers.jsonl [--jobs 2]
    python benchmarks/coverage.py --source timm --shard 1/4 --seconds 100 --records runs/coverage/timm.jsonl

* Every model runs in a child process of a warm parent, with limits of time and memory; a crash costs one record.
* Records are appended to a JSONL file as they come, and a model that has one is not run again (`--again` runs it, and
  its last record counts), so that a sweep can be stopped and resumed, or cut into slices by `--shard` and `--seconds`.
* A model is *traced* if an input is connected to an output, and at least 99.9% of its parameters are used, by name, or
  the graph is marked `incomplete` with the missing towers named. It is *complete* if at least 99.9% of its parameters
  are used: in one run of the model, or with *parts* that its forward leaves out traced by themselves beside the rest.
* A model *can be instantiated* if its default configuration and then a plain model on `meta` can be made.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import multiprocessing.connection
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from tqdm import tqdm  # noqa: E402

from processing_archbert import ArchitectureGraph, load_architecture, trace  # noqa: E402
from processing_archbert.tracing_archbert import JOINS  # noqa: E402

SOURCES = ("transformers", "torchvision", "timm")
COMPLETE_SHARE = 0.999
STATUSES = ("complete", "parts", "incomplete", "unmarked", "disconnected", "failed", "no instance")
"""What became of a model. `complete`, `parts` and `incomplete` count as traced; `parts`: every parameter is used, but
the connections between parts are missing; `unmarked`: parameters are missing and the graph does not say so;
`no instance`: the library itself cannot make it."""

Record = dict[str, Any]


def model_names(source: str) -> list[str]:
    """Every model of a library: the model types of transformers that `AutoModel` knows, the model names of the others.

    Raises:
        ImportError: the library is not installed.
        ValueError: an unknown source.
    """
    if source == "transformers":
        from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

        return sorted(MODEL_MAPPING_NAMES)
    if source == "torchvision":
        import torchvision

        return sorted(torchvision.models.list_models())
    if source == "timm":
        import timm

        return sorted(timm.list_models())
    raise ValueError(f"source is {source!r}; allowed are {', '.join(SOURCES)}.")


def trace_named(source: str, name: str) -> ArchitectureGraph:
    """The graph of a model by its name."""
    if source == "heads":
        from benchmarks.coverage_heads import trace_head

        return trace_head(name)
    if source != "transformers":
        return load_architecture(f"{source}:{name}")
    from transformers import CONFIG_MAPPING

    return trace(CONFIG_MAPPING[name](), name=name)


def why_no_instance(source: str, name: str) -> str:
    """Why the library itself cannot make a model from its defaults; empty if it can."""
    if source not in ("transformers", "heads"):
        return ""
    from transformers import CONFIG_MAPPING, AutoModel

    try:
        if source == "heads":
            from benchmarks.coverage_heads import build_head

            build_head(name)
            return ""
        config = CONFIG_MAPPING[name]()
        with torch.device("meta"):
            AutoModel.from_config(config)
    except Exception as error:
        return first_words(error)
    return ""


def first_words(error: BaseException) -> str:
    """An error on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


def is_connected(graph: ArchitectureGraph) -> bool:
    """Whether a path leads from an input to an output."""
    reached = np.array([op == "input" for op in graph.op_types])
    for source, target in graph.edge_index.T.tolist():  # sorted by target, and sources come before targets
        reached[target] |= reached[source]
    return any(reached[i] for i, op in enumerate(graph.op_types) if op == "output")


def describe(graph: ArchitectureGraph) -> Record:
    """What the sweep records of a graph."""
    used = 1 - graph.unused_parameters / graph.num_parameters if graph.num_parameters else 1.0
    connected = is_connected(graph)
    if not connected:
        status = "disconnected"
    elif graph.incomplete == (JOINS,) and used >= COMPLETE_SHARE:
        status = "parts"
    elif graph.incomplete:
        status = "incomplete"
    else:
        status = "complete" if used >= COMPLETE_SHARE else "unmarked"
    return {
        "status": status,
        "connected": connected,
        "used_share": round(used, 6),
        "incomplete": list(graph.incomplete),
        "guesses": len(graph.guesses),
        "nodes": graph.num_nodes,
        "edges": graph.num_edges,
        "parameters": graph.num_parameters,
        "graph_hash": graph.graph_hash,
        "ops": dict(sorted(Counter(graph.op_types).items())),
    }


def measure(source: str, name: str) -> Record:
    """Traces one model, in this process; never raises.

    Returns:
        The record: `source`, `name`, `status` (one of `STATUSES`), `seconds`, `error` where there is one, and what
        `describe` says of the graph.
    """
    start = time.monotonic()
    record: Record = {"source": source, "name": name, "error": ""}
    try:
        record |= describe(trace_named(source, name))
    except Exception as error:
        reason = why_no_instance(source, name)
        record |= {"status": "no instance" if reason else "failed", "error": reason or first_words(error)}
    return record | {"seconds": round(time.monotonic() - start, 3)}


def _child(pipe: Any, memory: int, source: str, name: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    pipe.send(measure(source, name))
    pipe.close()


def sweep(source: str, names: Iterable[str], jobs: int, time_limit: float, memory: int,
          deadline: float | None = None) -> Iterator[Record]:  # fmt: skip
    """Records of models, each traced in a child process of its own, in the order in which they finish.

    Args:
        source: one of `SOURCES`.
        names: models of that source.
        jobs: how many run at the same time.
        time_limit: seconds after which a child is stopped.
        memory: bytes of address space that a child may take.
        deadline: value of `time.monotonic()` after which no further model is started.
    """
    context = multiprocessing.get_context("fork")
    waiting = iter(names)
    running: dict[Any, tuple[Any, str, float]] = {}
    exhausted = False
    while running or not exhausted:
        while not exhausted and len(running) < jobs:
            name = None if deadline is not None and time.monotonic() > deadline else next(waiting, None)
            if name is None:
                exhausted = True
                break
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(sender, memory, source, name), daemon=True)
            process.start()
            sender.close()
            running[receiver] = (process, name, time.monotonic())
        for receiver in multiprocessing.connection.wait(list(running), timeout=0.2):
            process, name, started = running.pop(receiver)
            yield _received(receiver, process, source, name, started)
        for receiver, (process, name, started) in list(running.items()):
            if time.monotonic() - started > time_limit:
                del running[receiver]
                process.kill()
                process.join()
                yield _stopped(source, name, started, f"stopped after {time_limit:g} seconds")


def _received(receiver: Any, process: Any, source: str, name: str, started: float) -> Record:
    try:
        record = receiver.recv()
    except EOFError:
        process.join()
        return _stopped(source, name, started, f"the process ended with exit code {process.exitcode}")
    process.join()
    return record


def _stopped(source: str, name: str, started: float, error: str) -> Record:
    seconds = round(time.monotonic() - started, 3)
    return {"source": source, "name": name, "status": "failed", "error": error, "seconds": seconds}


def read_records(path: Path) -> dict[str, Record]:
    """The last record of every model in a JSONL file; a line that was cut off is left out."""
    records: dict[str, Record] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        records[record["name"]] = record
    return records


def summarize(source: str, records: dict[str, Record]) -> Record:
    """Counts, shares of those that can be instantiated, and what is not complete, with the reason."""
    counts = Counter(record["status"] for record in records.values())
    possible = len(records) - counts["no instance"]
    complete = counts["complete"] + counts["parts"]
    connected = sum(bool(record.get("connected")) for record in records.values())
    seconds = sorted(record["seconds"] for record in records.values() if record.get("connected"))
    return {
        "source": source,
        "models": len(records),
        "can be instantiated": possible,
        "statuses": {status: counts[status] for status in STATUSES},
        "share connected": round(connected / possible, 4) if possible else 0.0,
        "share traced": round((complete + counts["incomplete"]) / possible, 4) if possible else 0.0,
        "share complete": round(complete / possible, 4) if possible else 0.0,
        "share complete in one run": round(counts["complete"] / possible, 4) if possible else 0.0,
        "models with guesses": sum(bool(record.get("guesses")) for record in records.values()),
        "median seconds": seconds[len(seconds) // 2] if seconds else None,
        "status": {name: record["status"] for name, record in sorted(records.items())},
        "not complete": {
            name: record["error"] or missing_words(record)
            for name, record in sorted(records.items())
            if record["status"] != "complete"
        },
        "ops": {name: sorted(record["ops"]) for name, record in sorted(records.items()) if record.get("ops")},
    }


def missing_words(record: Record) -> str:
    """What an incomplete or disconnected graph misses, in words."""
    if not record["connected"]:
        return "no path leads from an input to an output"
    missing = ", ".join(record["incomplete"]) or "not said what"
    return f"missing: {missing} ({record['used_share']:.1%} of the parameters are used)"


def write_summary(path: Path, summary: Record) -> None:
    """Writes a summary as JSON, one model to a line; the op types are stored once, and by number for each model."""
    table = sorted({op for ops in summary["ops"].values() for op in ops})
    number = {op: i for i, op in enumerate(table)}
    compact = summary | {
        "op types": table,
        "ops": {name: [number[op] for op in ops] for name, ops in summary["ops"].items()},
    }
    parts = []
    for key, value in compact.items():
        if isinstance(value, dict):
            lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f"{json.dumps(key)}: {{\n{lines}\n}}")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def read_summary(path: Path) -> Record:
    """A summary as `write_summary` wrote it, with the op types of every model by name again."""
    summary = json.loads(path.read_text(encoding="utf-8"))
    table = summary.pop("op types")
    return summary | {"ops": {name: [table[i] for i in numbers] for name, numbers in summary["ops"].items()}}


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is no shard; i/n with 1 <= i <= n is allowed, for example 1/4")
    return int(index), int(count)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", choices=SOURCES, default="transformers")
    parser.add_argument("--records", type=Path, help="JSONL file of records; default: runs/coverage/SOURCE.jsonl")
    parser.add_argument("--output", type=Path, help="where the summary goes; default: none is written")
    parser.add_argument("--names", nargs="+", help="only these models")
    parser.add_argument("--status", nargs="+", choices=STATUSES, help="only models whose last record has this status")
    parser.add_argument("--again", action="store_true", help="also models that have a record")
    parser.add_argument("--shard", type=_shard, default=(1, 1), help="i/n: every n-th model, from the i-th")
    parser.add_argument("--jobs", type=int, default=1, help="processes at the same time")
    parser.add_argument("--seconds", type=float, help="start no further model after this time")
    parser.add_argument("--time_limit", type=float, default=120.0, help="seconds that one model may take")
    parser.add_argument("--memory", type=float, default=16.0, help="GiB of address space that one model may take")
    return parser


def _selected(arguments: argparse.Namespace, records: dict[str, Record]) -> list[str]:
    names = model_names(arguments.source)
    if arguments.names:
        unknown = sorted(set(arguments.names) - set(names))
        if unknown:
            raise SystemExit(f"{', '.join(unknown)}: no models of {arguments.source}.")
        names = arguments.names
    if arguments.status:
        names = [name for name in names if records.get(name, {}).get("status") in arguments.status]
    index, count = arguments.shard
    names = names[index - 1 :: count]
    return names if arguments.again or arguments.status else [name for name in names if name not in records]


def main() -> None:
    """Sweeps, prints the counts, and writes the summary."""
    arguments = _parser().parse_args()
    path = arguments.records or ROOT / "runs" / "coverage" / f"{arguments.source}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = _selected(arguments, read_records(path))
    torch.set_num_threads(1)
    if arguments.source == "transformers":
        import transformers.modeling_utils  # noqa: F401  (so that no child has to)
    deadline = time.monotonic() + arguments.seconds if arguments.seconds else None
    results = sweep(
        arguments.source, names, arguments.jobs, arguments.time_limit, int(arguments.memory * 2**30), deadline
    )
    with path.open("a", encoding="utf-8") as file, tqdm(total=len(names), unit="model") as bar:
        for record in results:
            file.write(json.dumps(record) + "\n")
            file.flush()
            bar.set_postfix_str(f"{record['name']}: {record['status']}")
            bar.update()
    summary = summarize(arguments.source, read_records(path))
    print(json.dumps({k: v for k, v in summary.items() if k not in ("status", "not complete", "ops")}, indent=1))
    if arguments.output:
        write_summary(arguments.output, summary)


if __name__ == "__main__":
    main()
