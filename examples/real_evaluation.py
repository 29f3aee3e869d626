"""Evaluation on the real networks of TVHF: one task each, with thresholds from `validation` and floors beside it.

Every figure is one of `dataset_scripts.tvhf.metrics_tvhf`, with its 95% interval over clusters; floors are those that
`dataset_scripts.tvhf.floors_tvhf` measured by the same functions on the same rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from multitask import REAL_CLAIM_TYPES, Mixture, RealBlocks
from multitask_loop import MultitaskTrainer, add_claim_types, optimizer_of
from real_networks import RealNetworks, load_real

from archbert.verification import statement_evidence
from benchmarks.torch_names import is_torch_name
from dataset_scripts.release.cluster_metrics_release import best_threshold
from dataset_scripts.tvhf.metrics_tvhf import read_clusters, read_rows
from new_model import load_model, overrides_of
from processing_archbert.graph_features_archbert import UNK_ID, GraphEncoding
from processing_archbert.network_numbers_archbert import NetworkNumbers
from processing_archbert.ops_archbert import INPUT_OP, OUTPUT_OP
from training_loop import TrainingArguments, finish, make_accelerator, prepare, print_table, provenance

Rows = Sequence[Mapping[str, Any]]
UNKNOWN = "unknown"
"""Name of an op whose own is not shown."""
WHOLE = "all"
"""The part of a config that has no parts; its floors stand one level higher."""
SHARED_RATE = 0.25
"""Learning rate of the encoder that text and graphs share, as a part of the others', in fine-tuning."""
ARCHITECTURES_OF = {"test_seen_sentence": "test", "test_seen_architecture": "train", "test_seen_both": "train"}
"""Split of `descriptions` -> split of the architectures that it speaks of, where they differ."""


@dataclass
class RealTaskArguments(TrainingArguments):
    """Arguments of the scripts that evaluate, or fine-tune and evaluate, one task on TVHF."""

    init_from: str | None = field(
        default="hub/models/archbert-mini", metadata={"help": "checkpoint to evaluate or to start from"}
    )
    output_dir: str = field(default="runs/real", metadata={"help": "where everything is written"})
    real_data: str = field(default="hub/datasets/tvhf", metadata={"help": "folder of TVHF"})
    floors: str = field(
        default="benchmarks/results/tvhf_floors.json", metadata={"help": "what floors_tvhf wrote about the data"}
    )
    eval_splits: str = field(default="validation,test", metadata={"help": "splits, with commas between them"})
    max_steps: int | None = field(default=0, metadata={"help": "steps of fine-tuning; 0 only evaluates"})
    learning_rate: float = field(default=1e-4, metadata={"help": "highest learning rate"})
    graphs_per_step: int = field(default=24, metadata={"help": "real networks of a block"})
    statements_per_step: int = field(default=32, metadata={"help": "statements of a block"})
    made_share: float = field(default=0.5, metadata={"help": "part of the statements that are made of facts"})
    unknown_ops: bool = field(
        default=False, metadata={"help": "show ops that are neither of torch.nn nor functions of torch as [UNK]"}
    )


@dataclass
class RealTask:
    """A model, its data and what a script needs to evaluate it.

    Attributes:
        arguments: of the script.
        accelerator: of the run.
        model, processor: what is evaluated.
        clusters: of all architectures.
        trainer: after fine-tuning; None without.
    """

    arguments: RealTaskArguments
    accelerator: Accelerator
    model: Any
    processor: Any
    clusters: dict[str, str]
    trainer: MultitaskTrainer | None = None
    _networks: dict[str, RealNetworks] = field(default_factory=dict)

    def networks(self, split: str) -> RealNetworks:
        """The architectures that a split speaks of, encoded."""
        name = ARCHITECTURES_OF.get(split, split)
        if name not in self._networks:
            found = load_real(self.arguments.real_data, name, self.arguments.cache_dir)
            found.split.encode(self.processor, self.arguments.fold is not False)
            if self.arguments.unknown_ops:
                found.split.encodings = [without_names(encoding) for encoding in found.split.encodings]
            self._networks[name] = found
        return self._networks[name]

    def rows(self, config: str, split: str) -> list[dict[str, Any]]:
        """Rows of a split of a config; pairs without a label are left out."""
        rows = read_rows(self.arguments.real_data, config, split)
        return [row for row in rows if row.get("label", 0) in (0, 1)]

    def evidence(self, networks: RealNetworks, rows: Rows) -> np.ndarray:
        """What the graphs show of statements, see `GraphEvidence`; no more of their ops than the model is shown."""
        return GraphEvidence([networks], self.arguments.unknown_ops)(rows)

    @property
    def splits(self) -> list[str]:
        """Splits to evaluate on."""
        return [split.strip() for split in self.arguments.eval_splits.split(",") if split.strip()]

    def floors(self, config: str, split: str, part: str) -> dict[str, dict[str, Any]]:
        """Method -> figures, as measured without the model; empty where there are none of this split and part."""
        found = _read_floors(self.arguments.floors).get(config, {}).get(split, {})
        return dict(found if part == WHOLE and part not in found else found.get(part, {}))


def without_names(encoding: GraphEncoding) -> GraphEncoding:
    """Graph tokens whose ops that torch does not have are `[UNK]` and have no names that a model could read."""
    names = _shown(encoding.op_names)
    hidden = np.array([name == UNKNOWN for name in names])
    return replace(encoding, op_names=names, node_ids=np.where(hidden, UNK_ID, encoding.node_ids))


def _shown(op_names: Sequence[str]) -> tuple[str, ...]:
    """Op types of which those that torch does not have are `UNKNOWN`."""
    return tuple(op if is_torch_name(op) or op in (INPUT_OP, OUTPUT_OP) else UNKNOWN for op in op_names)


def open_task(arguments: RealTaskArguments, **losses: float) -> RealTask:
    """Load the model and, where steps are asked for, fine-tune it on real networks.

    Args:
        arguments: of the script.
        **losses: weights of the parts of the loss for fine-tuning, by their fields of the config.
    """
    if not arguments.init_from:
        raise ValueError("there is no checkpoint to evaluate; give --init_from FOLDER")
    accelerator = make_accelerator(arguments)
    prepare(arguments)
    overrides = overrides_of(arguments.overrides, **(losses if arguments.max_steps else {}))
    model, processor = load_model(arguments.init_from, overrides, arguments.attn_implementation)
    task = RealTask(arguments, accelerator, model, processor, read_clusters(arguments.real_data))
    if arguments.max_steps:
        add_claim_types(model, REAL_CLAIM_TYPES)  # a checkpoint may know those of generated networks only
        blocks = RealBlocks(
            task.networks("train"), processor, graphs=arguments.graphs_per_step,
            statements=arguments.statements_per_step, questions=getattr(arguments, "questions_per_step", 0),
            made=arguments.made_share, paired=getattr(arguments, "paired_share", 0.0), seed=arguments.seed,
            op_replacement=arguments.op_replacement,
        )  # fmt: skip
        optimizer = optimizer_of(model, arguments, SHARED_RATE)
        trainer = MultitaskTrainer(accelerator, model, Mixture({"real": blocks}, {"real": 1.0}), arguments, optimizer)
        trainer.train()
        task.trainer, task.model = trainer, trainer.unwrapped
    return task


def _read_floors(path: str) -> dict[str, Any]:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path} is not there; python -m dataset_scripts.tvhf.floors_tvhf --data FOLDER --out FILE writes it, "
            "and --floors names it"
        )
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def thresholds_of(scores: Mapping[str, np.ndarray], rows: Rows) -> dict[str, float]:
    """Method -> threshold with the best Matthews correlation on rows of `validation`."""
    labels = np.array([row["label"] for row in rows])
    return {name: best_threshold(values, labels) for name, values in scores.items()}


def table_of(
    task: RealTask, script: str, title: str, config: str, split: str, part: str,
    results: Mapping[str, Mapping[str, Any]], columns: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """A table of results: the model's methods, and below them the floors of the same rows.

    Args:
        task: what was evaluated.
        script: that evaluates.
        title: of the table.
        config, split, part: of the data.
        results: method -> figures.
        columns: the figures to show, each with its interval.
    """
    first = next(iter(results.values()))
    count = first.get("rows", first.get("queries"))
    floors = task.floors(config, split, part)
    methods = {**results, **{name: found for name, found in floors.items() if found.get("rows", count) == count}}
    return {
        "title": title,
        "data": f"TVHF, {config}, {split}, {part}: {count} rows",
        "rows": [
            {"method": name} | {key: figures.get(key) for key in columns}
            | {f"{key}, 95%": _span(figures.get(f"{key}_95")) for key in columns}
            for name, figures in methods.items()
        ],
        "split": split,
        "part": part,
        "results": {name: dict(figures) for name, figures in results.items()},
        "floors": sorted(set(methods) - set(results)),
        "checkpoint": Path(str(task.arguments.init_from)).name,
        "steps": task.trainer.state.step if task.trainer else 0,
        "training_seconds": round(task.trainer.state.seconds, 1) if task.trainer else 0.0,
        **provenance(script, task.accelerator, task.arguments.seed),
    }  # fmt: skip


class GraphEvidence:
    """What graphs say of statements, in log odds (`archbert.verification.statement_evidence`), each computed once.

    Args:
        parts: the networks that rows may speak of.
        unknown_ops: op types that torch does not have are hidden from what is computed, too.
    """

    def __init__(self, parts: Sequence[RealNetworks], unknown_ops: bool = False) -> None:
        self._parts, self._unknown_ops = parts, unknown_ops
        self._numbers: dict[str, NetworkNumbers] = {}
        self._found: dict[tuple[str, str], float] = {}

    def __call__(self, rows: Rows) -> np.ndarray:
        """Float (n,), of rows with `arch_id` and `text`."""
        return np.array([self._of(row["arch_id"], row["text"]) for row in rows])

    def _of(self, name: str, text: str) -> float:
        if (name, text) not in self._found:
            self._found[name, text] = statement_evidence(self._computed(name), text)
        return self._found[name, text]

    def _computed(self, name: str) -> NetworkNumbers:
        if name not in self._numbers:
            part = next(part for part in self._parts if name in part.index)
            graph = part.split.facts[part.index[name]].graph
            if self._unknown_ops:
                graph = replace(graph, op_types=_shown(graph.op_types))
            self._numbers[name] = NetworkNumbers(graph)
        return self._numbers[name]


def judged_log_odds(config: Any, logits: np.ndarray) -> np.ndarray:
    """Log odds of statements from logits of the reasoning head, by the calibration of the checkpoint."""
    return np.asarray(config.reasoning_scale * (logits - config.reasoning_threshold))


def _span(interval: Sequence[float] | None) -> str | None:
    return None if interval is None else f"{interval[0]:g} to {interval[1]:g}"


def close_task(task: RealTask, tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Save the fine-tuned model, or the results alone, and print the tables without their intervals."""
    if task.trainer is not None:
        finish(task.trainer, task.processor, task.arguments, tables)
    elif task.accelerator.is_main_process:
        path = Path(task.arguments.output_dir) / "results.json"
        path.write_text(json.dumps(tables, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if task.accelerator.is_main_process:
        for table in tables:
            short = [{k: v for k, v in row.items() if not k.endswith(", 95%")} for row in table["rows"]]
            print_table({**table, "rows": short})
    return tables
