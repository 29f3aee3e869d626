"""What a published model must answer, wherever it is loaded: ``reference.json`` in its folder.

The file holds small graphs, questions, statements, and the model's numbers for each pair of them: logits of all
answers (AQA), logits of the reasoning head where it has one (AR), and cosines. `archbert.release` writes it together
with the weights; afterwards the numbers stay, and code that gives others is refused. Whoever loads the model can
compare::

    batch = processor(text=[question], architectures=[reference["graphs"]["convolutions"]], return_tensors="pt")
    model(**batch).logits[0]     # reference["logits"]["convolutions"][0], to 1e-4
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modeling_archbert import ArchBertForPreTraining, ArchBertForSequenceClassification
from processing_archbert import ArchBertProcessor, trace

REFERENCE = "reference.json"
TOLERANCE = 1e-4
QUESTIONS = (
    "Which pooling layers are used in this model?",
    "How many convolutional layers are there?",
    "What are the kernel sizes of the Conv2d layers?",
    "Which activation functions does the network have?",
)
STATEMENTS = ("It has max pooling.", "The network has an LSTM layer.", "This model uses layer normalization.")
KINDS = ("logits", "reasoning", "similarity")


def _graphs() -> dict[str, dict[str, Any]]:
    """Small networks of the kinds that people use, as graphs."""
    with torch.device("meta"):
        networks: dict[str, tuple[nn.Module, torch.Tensor]] = {
            "convolutions": (
                nn.Sequential(
                    nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
                    nn.Conv2d(16, 32, 5, stride=2), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                    nn.Linear(32, 10),
                ),
                torch.zeros(1, 3, 32, 32),
            ),
            "attention": (
                nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 3),
                torch.zeros(1, 8, 64),
            ),
            "recurrence": (nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.LSTM(16, 32, 2)), torch.zeros(5, 1, 8)),
        }  # fmt: skip
    return {name: trace(net.eval(), inputs, name=name).to_dict() for name, (net, inputs) in networks.items()}


def measure(folder: Path, graphs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    """Kind -> name of a graph -> the model's numbers: logits (questions, answers), the others (statements,)."""
    processor = ArchBertProcessor.from_pretrained(folder)
    answering = ArchBertForSequenceClassification.from_pretrained(folder).eval()
    judging = ArchBertForPreTraining.from_pretrained(folder).eval()
    found: dict[str, dict[str, list[Any]]] = {kind: {} for kind in KINDS}
    for name, graph in graphs.items():
        asked, said = (
            processor(text=list(texts), architectures=[graph] * len(texts), return_tensors="pt", fold=True)
            for texts in (QUESTIONS, STATEMENTS)
        )
        with torch.no_grad():
            found["logits"][name] = _rounded(answering(**asked).logits)
            judged = judging(**said)
        found["similarity"][name] = _rounded(judged.similarity)
        if judged.reasoning_logits is not None:
            found["reasoning"][name] = _rounded(judged.reasoning_logits)
    return {kind: values for kind, values in found.items() if values}


def _rounded(values: torch.Tensor) -> list[Any]:
    return json.loads(json.dumps(values.float().double().mul(1e6).round().div(1e6).tolist()))


def write_reference(folder: Path) -> None:
    """Write the file of a folder whose weights are new."""
    graphs = _graphs()
    told = {"questions": QUESTIONS, "statements": STATEMENTS, "graphs": graphs, **measure(folder, graphs)}
    text = json.dumps(told, sort_keys=True, ensure_ascii=False)
    (folder / REFERENCE).write_text(text + "\n", encoding="utf-8")


def largest_difference(told: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    """Largest difference of the numbers of a reference and those that were found.

    Raises:
        ValueError: they are not of the same graphs, questions and statements.
    """
    gaps = [0.0]
    for kind in KINDS:
        if set(told.get(kind, ())) != set(found.get(kind, ())):
            raise ValueError(
                f"{kind}: {sorted(told.get(kind, ()))} in the reference, {sorted(found.get(kind, ()))} now."
            )
        for name, values in told.get(kind, {}).items():
            one, other = torch.tensor(values), torch.tensor(found[kind][name])
            if one.shape != other.shape:
                raise ValueError(f"{kind} of {name}: {tuple(one.shape)} in the reference, {tuple(other.shape)} now.")
            gaps.append(float((one - other).abs().max()))
    return max(gaps)


def check_reference(folder: Path, reference: Path) -> None:
    """Compare what a folder answers with a reference.

    Raises:
        ValueError: the numbers differ by more than `TOLERANCE`.
    """
    told = json.loads(reference.read_text(encoding="utf-8"))
    gap = largest_difference(told, measure(folder, told["graphs"]))
    if not gap <= TOLERANCE:
        raise ValueError(
            f"{reference} does not hold any more: with the code of today the weights give numbers that differ by "
            f"{gap:.2g} (allowed: {TOLERANCE}). Repair the code; where the change is meant, release the checkpoint "
            "again (--checkpoint DIR), which writes a new reference."
        )
