"""Does an answer depend on precision, device, attention kernel, folding or batch? Over 500 architectures, as JSON.

    python benchmarks/invariance.py --output benchmarks/results/invariance.json

* 400 real networks of TVHF, of at most 2,048 nodes (attention over more of them unfolded takes minutes), and the 100
  generated ones of AutoNet's sample; a question and a statement about each.
* The reference is float32 on the CPU with fused attention, folded, each text alone with its architecture. Every other
  setting differs from it in one thing: `unfolded`, `eager`, `batch of 64`, `bfloat16`, `gpu` (where there is one).
* Compared are J_g and J_t (largest difference of a unit vector's element), the probabilities of answers (AQA) and of
  statements (AR), and what a user is told: the answers above 0.5 or the best, and correct or incorrect.
* The exit code is 1 where a tolerance of `TOLERANCES` is broken.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import archbert  # noqa: E402, F401
from modeling_archbert import ArchBertForPreTraining, ArchBertForSequenceClassification  # noqa: E402
from processing_archbert import ArchBertProcessor, ArchitectureGraph  # noqa: E402
from processing_archbert.embedding_archbert import unit  # noqa: E402

REAL, TEXTS, MAX_NODES = 400, 1, 2048


@dataclass(frozen=True)
class Setting:
    """How the model runs: in what precision, on what, with which attention, folded or not, how many rows at once."""

    dtype: str = "float32"
    device: str = "cpu"
    attention: str = "sdpa"
    fold: bool = True
    batch_size: int = 1


REFERENCE = Setting()
SETTINGS = {
    "unfolded": Setting(fold=False),
    "eager": Setting(attention="eager"),
    "batch of 64": Setting(batch_size=64),
    "bfloat16": Setting(dtype="bfloat16"),
    "gpu": Setting(device="cuda", batch_size=64),
}


@dataclass(frozen=True)
class Tolerance:
    """The largest difference of a number, and the least share of equal answers."""

    embedding: float
    probability: float
    equal: float


_EXACT = Tolerance(1e-5, 1e-5, 1.0)
TOLERANCES = {
    "unfolded": _EXACT, "eager": _EXACT, "batch of 64": _EXACT,
    "bfloat16": Tolerance(0.01, 0.05, 0.98), "gpu": Tolerance(1e-4, 1e-3, 0.998),
}  # fmt: skip
"""What is promised for each setting; docs/robustness.md says it in words."""


@dataclass
class Case:
    """An architecture with questions and statements about it."""

    name: str
    graph: ArchitectureGraph
    questions: list[str]
    statements: list[str]


@dataclass
class Answers:
    """What a setting gave: rows of numbers by architecture and text, in order."""

    architectures: list[np.ndarray] = field(default_factory=list)
    texts: list[np.ndarray] = field(default_factory=list)
    answers: list[np.ndarray] = field(default_factory=list)
    statements: list[float] = field(default_factory=list)


def tvhf_cases(folder: Path, number: int, rng: random.Random) -> list[Case]:
    """So many networks of TVHF, with texts of its `aqa` and `descriptions`."""
    rows = [row for file in sorted(folder.glob("architectures/*.parquet")) for row in _chosen_rows(file, number, rng)]
    chosen = rng.sample(rows, min(number, len(rows)))
    texts: dict[str, tuple[list[str], list[str]]] = {row["arch_id"]: ([], []) for row in chosen}
    files = (("aqa", "question", 0), ("descriptions", "text", 1))
    for config, column, kind in files:
        for split in ("train", "validation", "test", "test_new"):
            for file in sorted(folder.glob(f"{config}/{split}-*.parquet")):
                table = pq.read_table(file, columns=["arch_id", column])
                for arch_id, text in zip(*(table[name].to_pylist() for name in table.column_names), strict=True):
                    if arch_id in texts:
                        texts[arch_id][kind].append(text)
    return [
        Case(row["name"], ArchitectureGraph.from_row(row), *(_some(found, rng) for found in texts[row["arch_id"]]))
        for row in chosen
    ]


def _chosen_rows(file: Path, number: int, rng: random.Random) -> list[dict[str, Any]]:
    """Rows of a file whose graph is not too large, at most `number`."""
    table = pq.read_table(file)
    small = [i for i, ops in enumerate(table.column("op_types").to_pylist()) if len(ops) <= MAX_NODES]
    return table.take(sorted(rng.sample(small, min(number, len(small))))).to_pylist()


def autonet_cases(folder: Path, rng: random.Random) -> list[Case]:
    """The generated networks of AutoNet's config `sample`."""
    rows = [row for file in sorted(folder.glob("sample/*.parquet")) for row in pq.read_table(file).to_pylist()]
    return [
        Case(
            row["arch_id"], ArchitectureGraph.from_row(row), _some([q["question"] for q in row["questions"]], rng),
            _some([d["text"] for d in row["descriptions"]], rng),
        ) for row in rows
    ]  # fmt: skip


def _some(texts: Sequence[str], rng: random.Random) -> list[str]:
    """`TEXTS` of them; a text about anything where there are too few."""
    unique = sorted(set(texts))
    return rng.sample(unique, TEXTS) if len(unique) >= TEXTS else [*unique, "It has max pooling."][:TEXTS]


def load(folder: str, setting: Setting) -> tuple[Any, Any]:
    """The models that answer questions and that judge statements."""
    options = {"dtype": getattr(torch, setting.dtype), "attn_implementation": setting.attention}
    models = [
        c.from_pretrained(folder, **options) for c in (ArchBertForSequenceClassification, ArchBertForPreTraining)
    ]
    answering, judging = (model.eval().to(setting.device) for model in models)
    return answering, judging


def batches(processor: Any, cases: Sequence[Case], setting: Setting, kind: str) -> Iterator[Any]:
    """Row-aligned batches of texts of one kind, each with its architecture."""
    rows = [(text, case.graph) for case in cases for text in getattr(case, kind)]
    for start in range(0, len(rows), setting.batch_size):
        texts, graphs = zip(*rows[start : start + setting.batch_size], strict=True)
        yield processor(text=list(texts), architectures=list(graphs), fold=setting.fold).to(setting.device)


@torch.no_grad()
def run(cases: Sequence[Case], processor: Any, models: tuple[Any, Any], setting: Setting) -> Answers:
    """All answers of one setting."""
    found = Answers()
    answering, judging = models
    for batch in tqdm(batches(processor, cases, setting, "questions"), desc="questions", leave=False):
        found.answers += list(answering(**batch).logits.float().sigmoid().cpu().numpy())
    threshold, scale = judging.config.reasoning_threshold, judging.config.reasoning_scale
    for batch in tqdm(batches(processor, cases, setting, "statements"), desc="statements", leave=False):
        output = judging(**batch)
        found.architectures += list(unit(output.architecture_embeds).cpu().numpy())
        found.texts += list(unit(output.text_embeds).cpu().numpy())
        found.statements += (scale * (output.reasoning_logits.float() - threshold)).sigmoid().cpu().tolist()
    return found


def told(probabilities: np.ndarray) -> frozenset[int]:
    """What a user is told: the answers above 0.5, or the best."""
    return frozenset(np.flatnonzero(probabilities > 0.5).tolist()) or frozenset({int(probabilities.argmax())})


def compare(found: Answers, reference: Answers) -> dict[str, Any]:
    """Largest differences, and how many answers are equal."""
    differences = {
        name: float(np.abs(np.array(getattr(found, name)) - np.array(getattr(reference, name))).max())
        for name in ("architectures", "texts", "answers", "statements")
    }
    answers = [told(a) == told(b) for a, b in zip(found.answers, reference.answers, strict=True)]
    pairs = zip(found.statements, reference.statements, strict=True)
    statements = [(a > 0.5) == (b > 0.5) for a, b in pairs]
    return {
        "difference": {
            "architecture_embedding": differences["architectures"], "text_embedding": differences["texts"],
            "answer_probability": differences["answers"], "statement_probability": differences["statements"],
        },
        "equal": {
            "questions": len(answers), "questions_equal": sum(answers),
            "statements": len(statements), "statements_equal": sum(statements),
        },
    }  # fmt: skip


def broken(result: dict[str, Any], tolerance: Tolerance) -> list[str]:
    """The parts of a tolerance that a result breaks."""
    difference, equal = result["difference"], result["equal"]
    problems = []
    for name, value in difference.items():
        limit = tolerance.embedding if name.endswith("embedding") else tolerance.probability
        if not value <= limit:
            problems.append(f"{name} differs by {value:.2g}, allowed is {limit:g}")
    for kind in ("questions", "statements"):
        share = equal[f"{kind}_equal"] / max(1, equal[kind])
        if share < tolerance.equal:
            problems.append(f"{share:.4f} of the {kind} are answered alike, {tolerance.equal:g} is promised")
    return problems


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The comparison of both parts."""
    if not one:
        return other
    return {
        "difference": {name: max(value, other["difference"][name]) for name, value in one["difference"].items()},
        "equal": {name: value + other["equal"][name] for name, value in one["equal"].items()},
    }


def measure(
    cases: Sequence[Case], model: str, setting: Setting, earlier: dict[str, Any], deadline: float
) -> Iterator[dict[str, Any]]:
    """The comparison of a setting with the reference, after every part of the cases; goes on where `earlier` ends."""
    processor = ArchBertProcessor.from_pretrained(model)
    models = load(model, REFERENCE), load(model, setting)
    found: dict[str, Any] = {name: earlier[name] for name in ("difference", "equal") if name in earlier}
    done = earlier.get("architectures", 0)
    while done < len(cases) and time.monotonic() < deadline:
        part = cases[done : done + max(16, setting.batch_size)]
        runs = [run(part, processor, m, s) for m, s in zip(models, (REFERENCE, setting), strict=True)]
        found, done = merged(found, compare(runs[1], runs[0])), done + len(part)
        yield {"architectures": done, **found}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 if a tolerance is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=str(ROOT / "hub" / "models" / "archbert-mini"))
    parser.add_argument("--tvhf", type=Path, default=ROOT / "hub" / "datasets" / "tvhf")
    parser.add_argument("--autonet", type=Path, default=ROOT / "hub" / "datasets" / "autonet")
    parser.add_argument("--real", type=int, default=REAL, help="networks of TVHF")
    parser.add_argument("--settings", nargs="+", choices=sorted(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no part after this time")
    parser.add_argument("--output", type=Path, help="write the results there; goes on where they end")
    options = parser.parse_args(arguments)
    rng = random.Random(options.seed)
    cases = tvhf_cases(options.tvhf, options.real, rng) + autonet_cases(options.autonet, rng)
    rng.shuffle(cases)
    saved = json.loads(options.output.read_text()) if options.output and options.output.exists() else {}
    model = Path(options.model) / "model.safetensors"
    weights = hashlib.sha256(model.read_bytes()).hexdigest() if model.is_file() else options.model
    description = {
        "command": "python benchmarks/invariance.py", "model": Path(options.model).name, "weights": weights,
        "seed": options.seed, "architectures": len(cases), "real": options.real, "torch": torch.__version__,
        "processor": platform.machine(),
    }  # fmt: skip
    known = saved["settings"] if {**saved, "settings": None} == {**description, "settings": None} else {}
    deadline, failed = time.monotonic() + options.seconds, 0
    for name in options.settings:
        tolerance, result = TOLERANCES[name], known.get(name, {})
        if SETTINGS[name].device == "cuda" and not torch.cuda.is_available():
            known[name] = result = {"not_run": "no GPU here"}
            write(options.output, {**description, "settings": known})
        else:
            for found in measure(cases, options.model, SETTINGS[name], result, deadline):
                result = {**found, "tolerance": vars(tolerance), "broken": broken(found, tolerance)}
                known[name] = result
                write(options.output, {**description, "settings": known})
        problems = result.get("broken", [])
        failed += len(problems)
        state = result.get("not_run") or f"{result.get('architectures', 0)} architectures"
        sys.stdout.write(f"{name}: {state}{''.join(f'; {problem}' for problem in problems)}\n")
    return int(failed > 0)


def write(file: Path | None, data: dict[str, Any]) -> None:
    """Writes the results, in one step."""
    if file is not None:
        new = file.with_suffix(".new")
        new.write_text(json.dumps(data, indent=1) + "\n")
        os.replace(new, file)


if __name__ == "__main__":
    raise SystemExit(main())
