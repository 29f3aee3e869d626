"""Training cost of an (architecture, question) pair, and what each way to share work takes off it.

    python benchmarks/training.py [--rounds 4] [--graphs 8] [--questions 48] [--output FILE]

* Four ways to train on the same pairs, all questions of a block for each of its architectures (of AutoNet):
      a  as the paper's code: the graph encoded again for each question, unfolded, padded, cut at 512 nodes
      b  each graph encoded once, each question for each pair
      c  b, graphs folded
      d  c, each question encoded once: what the training scripts do
* One process, the ways interleaved in each round, every round on architectures of its own. Forward, backward and AdamW
  in float32; model `mini` (4 x 256) with cross-attention.
* a is measured on two pairs of each architecture (its cost per pair does not depend on their number), and with the
  sparse graph attention of this repository, not with the dense one of the paper's code: that is to its advantage.
* The ratios are of processor time, which other programs on the machine disturb least, round by round; medians.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from dataset_scripts.autonet.networks_autonet import build_network, example_inputs, sample_network  # noqa: E402
from dataset_scripts.autonet.questions_autonet import all_intents, sample_question  # noqa: E402
from modeling_archbert import ArchBertConfig, ArchBertForSequenceClassification  # noqa: E402
from modeling_archbert.configuration_archbert import CONVOLUTION_KINDS  # noqa: E402
from processing_archbert import ANSWERS, ArchBertGraphFeatureExtractor, ArchitectureGraph, trace  # noqa: E402
from processing_archbert.questions_archbert import answer_links  # noqa: E402

WAYS = {"a": "per question, unfolded", "b": "graph once", "c": "and folded", "d": "and question once"}
PAIRS_PER_GRAPH_OF_A = 2
PAPER_MAX_NODES = 512
Batch = dict[str, torch.Tensor]

logger = logging.getLogger("benchmark")


def graphs_of(seed: int, number: int) -> list[ArchitectureGraph]:
    """Graphs of AutoNet's random networks."""
    graphs = []
    for index in range(number):
        spec = sample_network(1000 * seed + index)
        with torch.device("meta"):
            network, inputs = build_network(spec), example_inputs(spec)
        graphs.append(trace(network.eval(), inputs))
    return graphs


def questions_of(seed: int, number: int) -> list[str]:
    """Distinct questions, of all types."""
    rng = random.Random(seed)
    intents, questions = all_intents(), dict[str, None]()
    while len(questions) < number:
        questions[sample_question(rng, *rng.choice(intents))] = None
    return list(questions)


def tokenize(texts: list[str], vocab_size: int) -> Batch:
    """One id per word and mark, which is what a vocabulary that was learned from such texts gives."""
    rows = [[2, *(zlib.crc32(w.encode()) % (vocab_size - 4) + 4 for w in re.findall(r"\w+|\S", t)), 3] for t in texts]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def make_model(extractor: ArchBertGraphFeatureExtractor) -> ArchBertForSequenceClassification:
    """The preset `mini` with all answers and their links."""
    ids = {op: index for index, op in enumerate(extractor.vocabulary)}
    links = [
        [ids.get(op, -1), height, width, CONVOLUTION_KINDS.index(kind), group]
        for group, op, kind, height, width in answer_links()
    ]
    config = ArchBertConfig.from_preset(
        "mini", ops=extractor.vocabulary, id2label=dict(enumerate(ANSWERS)), answer_links=links
    )
    return ArchBertForSequenceClassification(config)


def make_batches(
    graphs: list[ArchitectureGraph], questions: list[str], extractor: ArchBertGraphFeatureExtractor, vocab_size: int
) -> dict[str, Batch]:
    """The batch of each way; pairs are question by question, all architectures for each."""
    cut = ArchBertGraphFeatureExtractor(max_nodes=PAPER_MAX_NODES, truncation=True)
    texts = tokenize(questions, vocab_size)
    num_graphs, num_questions = len(graphs), len(questions)
    rows = torch.arange(num_graphs).repeat(num_questions)
    asked = torch.arange(num_questions).repeat_interleave(num_graphs)
    some = torch.arange(PAIRS_PER_GRAPH_OF_A * num_graphs)
    encoded = {"cut": dict(cut(graphs, fold=False)), "unfolded": dict(extractor(graphs, fold=False))}
    folded = dict(extractor(graphs, fold=True))
    each_text = {name: tensor[asked] for name, tensor in texts.items()}
    batches = {
        "a": {name: tensor[rows[some]] for name, tensor in encoded["cut"].items()}
        | {name: tensor[asked[some]] for name, tensor in texts.items()},
        "b": encoded["unfolded"] | each_text | {"architecture_index": rows},
        "c": folded | each_text | {"architecture_index": rows},
        "d": folded | texts | {"architecture_index": rows, "text_index": asked},
    }
    for batch in batches.values():
        pairs = len(batch.get("architecture_index", batch["node_ids"]))
        batch["labels"] = (torch.rand(pairs, len(ANSWERS)) < 2 / len(ANSWERS)).float()
    return batches


def measure(step: Callable[[], Any]) -> tuple[float, float]:
    """Processor and wall seconds of a call."""
    wall, processor = time.perf_counter(), time.process_time()
    step()
    return time.process_time() - processor, time.perf_counter() - wall


def run_round(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, batches: dict[str, Batch]
) -> dict[str, dict[str, float]]:
    """One step of each way: seconds per pair."""

    def step(batch: Batch) -> None:
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    result = {}
    for way, batch in batches.items():
        processor, wall = measure(partial(step, batch))
        pairs = len(batch["labels"])
        result[way] = {"processor_seconds_per_pair": processor / pairs, "wall_seconds_per_pair": wall / pairs}
    return result


def summarize(rounds: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Pairs per second of every way, and how many times cheaper one is than another: medians over rounds."""
    seconds = {way: [r[way]["processor_seconds_per_pair"] for r in rounds] for way in WAYS}

    def ratio(slow: str, fast: str) -> float:
        return statistics.median(s / f for s, f in zip(seconds[slow], seconds[fast], strict=True))

    return {
        "pairs_per_processor_second": {way: 1 / statistics.median(values) for way, values in seconds.items()},
        "times_cheaper": {
            "graph once (a / b)": ratio("a", "b"),
            "folding (b / c)": ratio("b", "c"),
            "question once (c / d)": ratio("c", "d"),
            "graph once and folding (a / c)": ratio("a", "c"),
            "all (a / d)": ratio("a", "d"),
        },
    }


def provenance(arguments: argparse.Namespace) -> dict[str, Any]:
    """Command, seed, commit, hardware and versions."""
    git = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    name = found.group(1) if found else platform.machine()
    return {
        "command": " ".join(["python", "benchmarks/training.py", *sys.argv[1:]]),
        "seed": arguments.seed,
        "commit": git.stdout.strip(),
        "hardware": f"{name}, {arguments.threads} of {os.cpu_count()} threads",
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "precision": "float32",
    }


def run_rounds(arguments: argparse.Namespace) -> tuple[list[dict[str, dict[str, float]]], dict[str, float]]:
    """Measured rounds, after one that warms up allocator and optimizer; and the mean sizes of their graphs."""
    extractor = ArchBertGraphFeatureExtractor(max_nodes=100_000)
    model = make_model(extractor).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    rounds: list[dict[str, dict[str, float]]] = []
    nodes: list[int] = []
    tokens: list[int] = []
    for number in range(arguments.rounds + 1):
        graphs = graphs_of(arguments.seed + number, arguments.graphs)
        questions = questions_of(arguments.seed + number, arguments.questions)
        batches = make_batches(graphs, questions, extractor, model.config.text_config.vocab_size)
        measured = run_round(model, optimizer, batches)
        if number == 0:
            continue
        rounds.append(measured)
        nodes += [graph.num_nodes for graph in graphs]
        tokens += batches["c"]["node_mask"].sum(dim=1).tolist()
        speeds = {way: round(1 / seconds["processor_seconds_per_pair"], 1) for way, seconds in measured.items()}
        logger.info("round %d: %s", number, speeds)
    return rounds, {"nodes": statistics.mean(nodes), "folded_tokens": statistics.mean(tokens)}


def main() -> None:
    """Measure, log the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=4, help="blocks that are measured")
    parser.add_argument("--graphs", type=int, default=8, help="architectures of a block")
    parser.add_argument("--questions", type=int, default=48, help="questions of a block")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "training.json")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)

    rounds, sizes = run_rounds(arguments)
    summary = summarize(rounds)
    for way, pairs in summary["pairs_per_processor_second"].items():
        logger.info("%s  %-24s %8.1f pairs per processor second", way, WAYS[way], pairs)
    for what, times in summary["times_cheaper"].items():
        logger.info("%-32s %6.1f times cheaper", what, times)
    setting = {"ways": WAYS, "graphs": arguments.graphs, "questions": arguments.questions, "mean_sizes": sizes}
    shown = [{"what is saved": what, "times cheaper": times} for what, times in summary["times_cheaper"].items()]
    title = {"title": "Training: cost of an (architecture, question) pair", "rows": shown}
    result = {**title, **summary, **setting, **provenance(arguments), "rounds": rounds}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
