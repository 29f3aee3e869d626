"""What ArchBERT answers with the libraries of this environment: ``python tests/versions/answers.py FOLDER``.

Writes ``FOLDER/told.json`` and ``FOLDER/logits.safetensors``, which `run` compares between environments:

* networks of AutoNet, built as modules and traced anew, and the hashes of their graphs;
* the checkpoint's logits for questions (AQA) and statements (AR) about each;
* the rows of every config of the data sets in this repository;
* the losses of a training step with `accelerate`, and what a saved state gives after it was loaded again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from datasets import concatenate_datasets, get_dataset_config_names, load_dataset
from safetensors.torch import save_file
from transformers import AutoModelForPreTraining, AutoModelForSequenceClassification, AutoProcessor

import archbert  # noqa: F401
from dataset_scripts.autonet.networks_autonet import build_network, example_inputs
from processing_archbert import ArchitectureGraph, load_architecture, trace

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "hub" / "models" / "archbert-mini"
DATA_SETS = ("autonet", "tvhf")
QUESTIONS, STATEMENTS = 8, 5
"""How many of each are asked about a network."""
NAMED = ("bert", "resnet", "llama", "t5", "vit", "gpt2", "mixtral", "mamba", "wav2vec2", "clip")
"""Networks of transformers; their graphs follow the code of transformers, which changes between its versions."""


def spread(values: list[Any], count: int) -> list[Any]:
    """So many of the values, from the first to the last at equal distances."""
    step = max(1, len(values) // count)
    return values[::step][:count]


def networks(count: int) -> Iterator[tuple[Mapping[str, Any], ArchitectureGraph]]:
    """Rows of AutoNet's sample with the graphs that tracing their networks gives here."""
    splits = load_dataset(str(ROOT / "hub" / "datasets" / "autonet"), "sample")
    rows = concatenate_datasets([splits[name] for name in sorted(splits)])
    for row in islice(rows, count):
        spec = json.loads(row["network"])
        with torch.device("meta"):
            network = build_network(spec)
        yield row, trace(network.eval(), example_inputs(spec), name=row["arch_id"])


def answers(count: int) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Hashes of graphs; logits of questions (rows, answers) and of statements (rows,), above the threshold."""
    processor = AutoProcessor.from_pretrained(MODEL)
    answering = AutoModelForSequenceClassification.from_pretrained(MODEL).eval()
    judging = AutoModelForPreTraining.from_pretrained(MODEL).eval()
    hashes, aqa, ar = {}, [], []
    for row, graph in networks(count):
        hashes[row["arch_id"]] = [graph.graph_hash, row["graph_hash"]]
        questions = [item["question"] for item in spread(row["questions"], QUESTIONS)]
        statements = [item["text"] for item in spread(row["descriptions"], STATEMENTS)]
        batch = processor(
            text=[*questions, *statements], architectures=[graph] * (len(questions) + len(statements)),
            return_tensors="pt", fold=True,
        )  # fmt: skip
        with torch.no_grad():
            aqa.append(answering(**batch).logits[: len(questions)].float())
            judged = judging(**batch).reasoning_logits[len(questions) :].float()
            ar.append(judged - judging.config.reasoning_threshold)
    return {"graphs": hashes}, {"aqa": torch.cat(aqa), "ar": torch.cat(ar)}


def named_networks() -> dict[str, str]:
    """Name -> hash of the graph of networks that this version of transformers brings."""
    return {name: load_architecture(name, isolate=False).graph_hash for name in NAMED}


def data_sets(quick: bool) -> dict[str, int]:
    """Name, config and split -> rows, of all data sets that lie in this repository; quickly: of a config of each."""
    rows: dict[str, int] = {}
    for name in DATA_SETS:
        folder = str(ROOT / "hub" / "datasets" / name)
        for config in get_dataset_config_names(folder)[: 1 if quick else None]:
            loaded = load_dataset(folder, config)
            rows |= {f"{name}/{config}/{split}": len(data) for split, data in loaded.items()}
    return rows


def training_step() -> list[float]:
    """Losses before a step with `accelerate`, after it, and after the state before it was loaded again."""
    processor = AutoProcessor.from_pretrained(MODEL)
    model = AutoModelForSequenceClassification.from_pretrained(MODEL).eval()  # no dropout: the same losses everywhere
    graph = trace(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()), torch.zeros(1, 3, 16, 16))
    batch = processor(text=["Which activations are used?"], architectures=[graph], return_tensors="pt")
    labels = torch.zeros(1, model.config.num_labels)
    accelerator = Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), lr=1e-4))

    def loss() -> torch.Tensor:
        return model(**batch, labels=labels).loss

    with tempfile.TemporaryDirectory() as folder:
        accelerator.save_state(folder)
        losses = [loss()]
        accelerator.backward(losses[0])
        optimizer.step()
        losses.append(loss())
        accelerator.load_state(folder)
    return [float(value.detach()) for value in (*losses, loss())]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument(
        "--quick", action="store_true", help="one config of each data set, no networks of transformers"
    )
    options = parser.parse_args()
    told, logits = answers(options.networks)
    told |= {
        "named": {} if options.quick else named_networks(),
        "rows": data_sets(options.quick),
        "losses": training_step(),
    }
    options.folder.mkdir(parents=True, exist_ok=True)
    save_file(logits, options.folder / "logits.safetensors")
    (options.folder / "told.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
