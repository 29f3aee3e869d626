"""What an item costs in each task, alone and as one of 32; both kinds of attention; all networks at once; peak memory.

    python benchmarks/latency.py --output benchmarks/results/latency.json
    python benchmarks/latency.py --device cuda --dtype bfloat16 --output runs/latency.json
    python benchmarks/latency.py --write docs/pipelines.md       # the stored figures, between the page's markers

* Thirty-two networks of TVHF's `test` in each round, evenly over all sizes, given as graphs: what reading a network
  costs is in `benchmarks/tracing.py`. Everything else counts: tokens, the model, and what is made of its output.
* Each of the 32 in a call of its own against all in one call (`batch_size=32`), in one process and one thread, the
  tasks by turns. On a processor the figures are ratios of processor time, which other programs disturb least, medians
  over rounds; on a GPU milliseconds.
* `whole zoo`: all networks of TVHF embedded, 32 at once, those of like size together.
* Memory: in a process for each task and number of items, the highest that a call reaches above what was there before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import psutil  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

import archbert  # noqa: E402
from dataset_scripts.release.statistics_release import markdown_table  # noqa: E402
from dataset_scripts.tvhf.floor_networks_tvhf import ABOUT, GRAPH_COLUMNS  # noqa: E402
from dataset_scripts.tvhf.metrics_tvhf import iterate_networks  # noqa: E402
from modeling_archbert import ArchBertModel  # noqa: E402
from processing_archbert import ArchBertProcessor, ArchitectureGraph  # noqa: E402
from processing_archbert.embedding_archbert import encode  # noqa: E402

MANY = 32
INDEXED = 100_000
"""Vectors that are searched in."""
DATA = ROOT / "hub" / "datasets" / "tvhf"
MODEL = ROOT / "hub" / "models" / "archbert-small"
STORED = ROOT / "benchmarks" / "results" / "latency.json"
BEGIN, END = "<!-- table: written by benchmarks/latency.py -->", "<!-- end of table -->"
EMBEDDING, WHOLE = "embedding", "whole zoo"
ATTENTION = ("sdpa", "eager")
Graphs = Sequence[ArchitectureGraph]
Call = Callable[[Graphs], Any]


class Calls:
    """What is measured: name -> a call with some networks.

    Args:
        model: folder or Hub id of a checkpoint.
        device: of torch.
        dtype: of the weights, by its name.
    """

    def __init__(self, model: str, device: str, dtype: str) -> None:
        self.settings: dict[str, Any] = {"device": device, "dtype": getattr(torch, dtype)}
        self.name = model
        self.processor = ArchBertProcessor.from_pretrained(model)
        self.encoder = cache(self._encoder)

    def _encoder(self, attention: str) -> ArchBertModel:
        model = ArchBertModel.from_pretrained(self.name, attn_implementation=attention, dtype=self.settings["dtype"])
        return model.to(self.settings["device"]).eval()

    def embed(self, graphs: Graphs, attention: str = ATTENTION[0]) -> np.ndarray:
        """Vectors of networks, in one batch."""
        return encode(self.encoder(attention), self.processor, architectures=list(graphs), batch_size=len(graphs))

    def tasks(self) -> dict[str, Call]:
        """The tasks that the checkpoint has; each loads what it needs when it is asked for."""
        found: dict[str, Call] = {EMBEDDING: self.embed, "search (AS)": self._search()}
        answer, judge, compare = (
            cache(lambda task=task: archbert.pipeline(task, model=self.name, **self.settings))
            for task in (archbert.QUESTION_ANSWERING, archbert.REASONING, archbert.CLONE_DETECTION)
        )

        def asked(graphs: Graphs, **text: str) -> list[dict[str, Any]]:
            return [{"architecture": graph, **text} for graph in graphs]

        statement, question = "It has more Linear than Conv2d layers.", "Which activations are used?"
        found["reasoning (AR)"] = lambda g: judge()(asked(g, statement=statement), batch_size=len(g))
        found["questions (AQA)"] = lambda g: answer()(asked(g, question=question), batch_size=len(g))
        found["questions (AQA) on one network"] = lambda g: answer()(
            {"architecture": g[0], "questions": [question] * len(g)}, batch_size=len(g)
        )
        found["clones (ACD)"] = lambda g: compare()(
            [{"architectures": [one, replace(other)]} for one, other in zip(g, [*g[1:], g[0]], strict=True)],
            batch_size=2 * len(g),
        )
        if self.encoder(ATTENTION[0]).config.decoder_layers:
            write = cache(lambda: archbert.pipeline(archbert.CAPTIONING, model=self.name, **self.settings))
            for mode, said in (("model", "the network alone"), ("product", "checked")):
                found[f"captions (AC), {said}"] = (
                    lambda g, mode=mode: write()(asked(g), mode=mode, batch_size=len(g))
                )  # fmt: skip
        return found

    def _search(self) -> Call:
        @cache
        def index() -> np.ndarray:
            width = self.encoder(ATTENTION[0]).config.hidden_size
            return np.random.default_rng(0).normal(size=(INDEXED, width)).astype(np.float32)

        def search(graphs: Graphs) -> np.ndarray:
            texts = [f"a convolutional network for images with {number} layers" for number in range(len(graphs))]
            vectors = encode(self.encoder(ATTENTION[0]), self.processor, texts=texts, batch_size=len(texts))
            return np.argpartition(-(vectors @ index().T), 10, axis=1)[:, :10]

        return search


def read_graphs(split: str | None = None) -> list[ArchitectureGraph]:
    """Networks of TVHF by size, of a split or all."""
    rows = [row for row in iterate_networks(DATA, (*ABOUT, *GRAPH_COLUMNS)) if split in (None, row["split"])]
    return sorted(map(ArchitectureGraph.from_row, rows), key=lambda graph: graph.num_nodes)


def drawn(graphs: Graphs, number: int) -> list[ArchitectureGraph]:
    """Networks evenly over all sizes, others in every round."""
    each = len(graphs) / MANY
    return [graphs[(int(place * each) + number) % len(graphs)] for place in range(MANY)]


def seconds(call: Callable[[], Any], device: str) -> float:
    """Processor seconds of a call; on a GPU seconds until it has finished."""
    if device == "cpu":
        start = time.process_time()
        call()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def measure_round(calls: Mapping[str, Call], graphs: Graphs, device: str) -> dict[str, dict[str, float]]:
    """Seconds of an item: alone, and as one of all."""
    return {
        name: {
            "alone": statistics.mean(seconds(lambda: call([graph]), device) for graph in graphs),  # noqa: B023
            "together": seconds(lambda: call(graphs), device) / len(graphs),  # noqa: B023
        }
        for name, call in calls.items()
    }


def measure_whole(calls: Calls, graphs: Graphs, device: str) -> dict[str, float]:
    """Seconds of a network, all embedded, by implementation of attention; batches of both by turns."""
    spent = dict.fromkeys(ATTENTION, 0.0)
    for start in range(0, len(graphs), MANY):
        batch = graphs[start : start + MANY]
        for attention in ATTENTION:
            spent[attention] += seconds(lambda: calls.embed(batch, attention), device)  # noqa: B023
    return {attention: value / len(graphs) for attention, value in spent.items()}


def peak_mib(call: Callable[[], Any], device: str) -> float:
    """The highest that memory reaches during a call above what was there before, in MiB."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
    before = psutil.Process().memory_info().rss
    call()
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return (int(found.group(1)) * 1024 - before) / 2**20 if found else float("nan")


def measure_memory(options: argparse.Namespace, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Task -> MiB for one item and for many, each in a process of its own."""
    given = [sys.executable, __file__, "--model", options.model, "--device", options.device, "--dtype", options.dtype]
    found: dict[str, dict[str, float]] = {}
    for name in names:
        for key, count in (("alone", 1), ("together", MANY)):
            asked = [*given, "--memory", name, "--items", str(count)]
            told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
            found.setdefault(name, {})[key] = round(float(told.split()[-1]), 1)
    return found


def summarize(rounds: Sequence[Mapping[str, Mapping[str, float]]], whole: Mapping[str, float]) -> dict[str, Any]:
    """Medians over rounds: the cost of an item in embeddings of one network, and how much cheaper one of many is."""
    one = [found[EMBEDDING]["alone"] for found in rounds]
    tasks = {
        name: {
            "embeddings": statistics.median(r[name]["alone"] / unit for r, unit in zip(rounds, one, strict=True)),
            "times_cheaper": statistics.median(r[name]["alone"] / r[name]["together"] for r in rounds),
            "milliseconds": {way: 1000 * statistics.median(r[name][way] for r in rounds)
                             for way in ("alone", "together")},
        }
        for name in rounds[0]
    }  # fmt: skip
    return {"tasks": tasks, WHOLE: {
        "embeddings": {attention: value / statistics.median(one) for attention, value in whole.items()},
        "milliseconds": {attention: 1000 * value for attention, value in whole.items()},
    }}  # fmt: skip


def processor_name() -> str:
    """What the system calls its processor."""
    about = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", about.read_text(encoding="utf-8")) if about.exists() else None
    return found.group(1) if found else platform.machine()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures of a checkpoint on a device."""
    calls = Calls(options.model, options.device, options.dtype)
    tasks, every = calls.tasks(), read_graphs()
    test = read_graphs("test")
    for call in tasks.values():
        call(drawn(test, 0)[:2])  # loads, and warms up
    rounds = []
    for number in range(options.rounds):
        rounds.append(measure_round(tasks, drawn(test, number), options.device))
        sys.stderr.write(f"round {number + 1} of {options.rounds}\n")
    found = summarize(rounds, measure_whole(calls, every, options.device))
    for name, mib in measure_memory(options, list(tasks)).items():
        found["tasks"][name]["mib"] = mib
    gpu = options.device != "cpu"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    return {
        **found, "networks": {"test": len(test), WHOLE: len(every)}, "rounds": options.rounds, "raw": rounds,
        "model": Path(options.model).name, "device": options.device, "dtype": options.dtype,
        "command": f"python benchmarks/latency.py --rounds {options.rounds}", "commit": commit.strip(),
        "hardware": torch.cuda.get_device_name() if gpu else f"{processor_name()}, 1 of {os.cpu_count()} cores",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "date": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip


def table(found: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    gpu = found["device"] != "cpu"
    columns = ["task", "milliseconds" if gpu else "cost of one, in embeddings of a network",
               f"one of {MANY}, times cheaper", "MiB for one", f"MiB for {MANY}"]  # fmt: skip
    rows = []
    for name, figures in found["tasks"].items():
        cost = figures["milliseconds"]["alone"] if gpu else figures["embeddings"]
        mib = figures["mib"]
        rows.append((name, f"{cost:.1f}", f"{figures['times_cheaper']:.1f}", f"{mib['alone']:.0f}",
                     f"{mib['together']:.0f}"))  # fmt: skip
    whole = found[WHOLE]["milliseconds" if gpu else "embeddings"]
    unit = "milliseconds each" if gpu else "of an embedding of one alone"
    spent = ", ".join(f"{value:.2f} with attention `{name}`" for name, value in whole.items())
    said = (
        f"All {found['networks'][WHOLE]:,} networks of TVHF embedded, {MANY} at once, those of like size together, "
        f"{unit}: {spent}. `{found['model']}`, {found['dtype']}, {found['hardware']}, `{found['command']}`."
    )
    return f"{markdown_table(columns, rows)}\n\n{said}"


def write_table(page: Path, found: Mapping[str, Any]) -> None:
    """Write the figures between the markers of a page.

    Raises:
        ValueError: the page has no markers.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r}; the table goes between them")
    page.write_text(f"{before}{begin}\n\n{table(found)}\n\n{end}{after}", encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure what each task costs.")
    parser.add_argument(
        "--model", default=str(ROOT / "hub" / "models" / "archbert-small"), help="a folder or a Hub id"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--write", type=Path, help="page to write the stored figures into; nothing is measured")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--items", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.write:
        write_table(options.write, json.loads(STORED.read_text(encoding="utf-8")))
    elif options.memory:
        call, test = Calls(options.model, options.device, options.dtype).tasks()[options.memory], read_graphs("test")
        call([replace(test[0])])
        graphs = drawn(test, 0)
        chosen = graphs if options.items == MANY else [graphs[MANY // 2]]
        print(peak_mib(lambda: call(chosen), options.device))
    else:
        found = measure(options)
        sys.stdout.write(f"{table(found)}\n")
        if options.output:
            options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
