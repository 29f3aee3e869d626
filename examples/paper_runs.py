"""The runs behind the counterparts of the paper's Tables 2, 3 and 5: which models are compared, and how they are made.

All runs of a task have the size of `mini`, the same text side to begin with, the same data, and the same CPU time. The
rows of AR are descriptions of real networks in the paper's form (Algorithm 1: about one positive in fourteen).
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any, TypeVar

import numpy as np
import torch
from real_networks import RealNetworks, load_real
from transformers import AutoTokenizer

from dataset_scripts.tvhf.configs_tvhf import read_folder
from dataset_scripts.tvhf.table5_tvhf import read_table5
from modeling_archbert import ArchBertConfig, ArchBertForPreTraining
from new_model import new_config, new_processor
from processing_archbert import trace
from processing_archbert.stated_facts_archbert import STATED_COLUMNS, STATED_KINDS
from training_loop import Trainer, TrainingArguments

ARCHITECTURE_SPLITS = ("train", "validation", "test", "test_new")
LIBRARIES = ("tv", "hf", "tvhf")
ARCHBERT, PAPER, UNIMODAL = "ArchBERT", "preset paper", "uni-modal"


@dataclass(frozen=True)
class PaperRun:
    """One model of a table.

    Attributes:
        name: as the table has it.
        preset: `"mini"` or `"paper"`, the latter at the size of `mini`.
        library: what it is trained on: `"tv"`, `"hf"`, `"tvhf"` or `"autonet"`.
        overrides: fields of the config.
        task: `"AR"` (and zero-shot ACD), `"AQA"` or `"AC"`.
        blind: it is given the same small graph in place of every architecture.
    """

    name: str
    preset: str = "mini"
    library: str = "tvhf"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    task: str = "AR"
    blind: bool = False

    def file_name(self, seed: int | str) -> str:
        """Name of the file with its results; `"*"` for those of all seeds."""
        task = "" if self.task == "AR" else f"{self.task.lower()}-"
        return f"{task}{'-'.join(self.name.lower().split())}-{self.library}-{seed}.json"


ABLATIONS: tuple[PaperRun, ...] = (
    PaperRun("without shape", overrides={"use_shapes": False}),
    PaperRun("without edge", overrides={"use_edges": False}),
    PaperRun("without edge and shape", overrides={"use_edges": False, "use_shapes": False}),
    PaperRun("without MAM", overrides={"mam_loss_weight": 0.0}),
    PaperRun("without cross encoder", overrides={"use_cross_encoder": False}),
    PaperRun("without folding features", overrides={"use_node_features": False, "use_graph_token": False,
             "use_block_tokens": False, "use_op_histogram": False}),
    PaperRun("without attributes", overrides={"use_attributes": False}),
)  # fmt: skip
RUNS: tuple[PaperRun, ...] = (
    PaperRun(ARCHBERT),
    PaperRun(PAPER, "paper"),
    *ABLATIONS,
    PaperRun("with MSE loss", overrides={"similarity_loss": "mse"}),
    *(
        PaperRun(name, preset, library)
        for library in ("tv", "hf")
        for name, preset in ((ARCHBERT, "mini"), (PAPER, "paper"))
    ),
)
UNIMODAL_RUN = PaperRun(UNIMODAL, overrides={"mam_loss_weight": 0.0}, blind=True)
AQA_RUNS: tuple[PaperRun, ...] = tuple(
    replace(run, library="autonet", task="AQA")
    for run in (PaperRun(ARCHBERT), PaperRun(PAPER, "paper"), *ABLATIONS, UNIMODAL_RUN)
)
AC_ABLATIONS = ("without MAM", "without cross encoder")
AC_RUNS: tuple[PaperRun, ...] = tuple(
    replace(run, library=library, task="AC")
    for library in ("autonet", "tvhf")
    for run in (
        PaperRun(ARCHBERT),
        *(run for run in ABLATIONS if run.name in AC_ABLATIONS),
        PaperRun("without stated facts", overrides={"use_stated_facts": False}),
        UNIMODAL_RUN,
    )
)

UNSEEN_TENSORS: dict[str, tuple[str, ...]] = {
    "use_shapes": ("node_shapes", "node_sizes"),
    "use_edges": ("edge_index", "edge_mask", "reverse_edge_index", "reverse_edge_mask", "graph_counts"),
    "use_attributes": ("node_attributes",),
    "use_graph_token": ("graph_features",),
}
"""Field of the config -> the tensors of a graph that a model without it must not read, by whatever part of it."""
ZEROED = ("node_sizes", "graph_counts")
"""Those of them that a decoder asks for; they are set to zero, which says nothing."""
_ATTRIBUTES = ("kernel", "heads", "kv heads", "window", "experts", "causal")
_ENDS = tuple(f"{end} {what}" for end in ("first", "last") for what in ("layer", "kernel", "stride"))
UNSEEN_FACTS: dict[str, tuple[str, ...]] = {
    "use_edges": (*_ENDS, "block", "block stages", "block layer", "follows"),
    "use_attributes": (*_ATTRIBUTES, *(end for end in _ENDS if not end.endswith("layer"))),
}
"""Field of the config -> kinds of `stated_facts` that a decoder without it must not read."""
_SIZED_FACTS = ("first layer", "last layer")
"""Kinds of which the number is an output size."""
_NUMBER = STATED_COLUMNS.index("number")


@dataclass
class PaperArguments(TrainingArguments):
    """Arguments that the runs of all tasks share."""

    output_dir: str = field(default="runs/paper-tables", metadata={"help": "folder of the run in hand"})
    results: str = field(default="benchmarks/results/paper", metadata={"help": "folder of one JSON file for each run"})
    real_data: str = field(default="hub/datasets/tvhf", metadata={"help": "folder of TVHF"})
    text_from: str = field(default="hub/models/archbert-mini", metadata={"help": "checkpoint with the text side"})
    runs: str | None = field(default=None, metadata={"help": "names of runs, with commas between them; default: all"})
    seeds: str = field(default="0", metadata={"help": "with commas between them"})
    rates: str = field(default="", metadata={"help": "learning rates to try instead, with commas between them"})
    paper_learning_rate: float = field(default=5e-4, metadata={"help": "highest learning rate of the preset paper"})
    time_budget: float | None = field(default=150.0, metadata={"help": "seconds of CPU time of each training"})
    as_many_steps: bool = field(
        default=False,
        metadata={"help": "instead, as many steps as the stored runs of other seeds: for a machine of another speed"},
    )
    op_replacement: float = field(default=0.0, metadata={"help": "as in the other trainings"})


_Arguments = TypeVar("_Arguments", bound=PaperArguments)


class CpuTrainer(Trainer):
    """A `Trainer` whose budget is CPU time, so that other work on the machine does not shorten a training."""

    clock = staticmethod(time.process_time)


def run_arguments(arguments: _Arguments, run: PaperRun) -> _Arguments:
    """Arguments of the training of a run: the preset paper has its own learning rate and its Adam."""
    paper = run.name == PAPER
    return replace(
        arguments, learning_rate=arguments.paper_learning_rate if paper else arguments.learning_rate,
        optimizer="adam" if paper else "adamw", max_steps=arguments.max_steps if arguments.as_many_steps else None,
    )  # fmt: skip


def steps_of_others(results: Path, run: PaperRun, seed: int) -> int:
    """Steps that a run took in its CPU time, the mean over its stored seeds but this one.

    Where none of them was given time, the mean of what they took.

    Raises:
        ValueError: no other seed of the run is stored.
    """
    stored = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob(run.file_name("*")))]
    others = [one for one in stored if one["seed"] != seed]
    steps = [one["steps"] for one in others if not one.get("as_many_steps")] or [one["steps"] for one in others]
    if not steps:
        raise ValueError(f"{results} has no run {run.name!r} ({run.library}) of another seed to take as many steps as")
    return round(mean(steps))


def half_arguments(arguments: _Arguments, rate: float) -> _Arguments:
    """Arguments to try a learning rate with: half the budget."""
    budget = (arguments.time_budget or 0) / 2
    return replace(arguments, learning_rate=rate, paper_learning_rate=rate, time_budget=budget)


def make_runs(
    arguments: PaperArguments,
    runs: Sequence[PaperRun],
    make: Callable[[Any, PaperRun], dict[str, Any]],
    try_rate: Callable[[Any, PaperRun, float], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Make every run that has no file yet, or try learning rates; returns the results.

    Args:
        arguments: with the names of the runs that are wanted, and their seeds.
        runs: those there are.
        make: gives the result of a run, which is written to its file.
        try_rate: gives the result of a learning rate, which is not.

    Raises:
        ValueError: there is no run of a name.
    """
    names = None if arguments.runs is None else [name.strip() for name in arguments.runs.split(",")]
    unknown = sorted(set(names or ()) - {run.name for run in runs})
    if unknown:
        raise ValueError(f"there is no run {unknown[0]!r}; there are {', '.join(dict.fromkeys(r.name for r in runs))}")
    done = []
    for seed in (int(seed) for seed in arguments.seeds.split(",")):
        for run in (run for run in runs if names is None or run.name in names):
            if arguments.rates:
                done += [try_rate(replace(arguments, seed=seed), run, float(r)) for r in arguments.rates.split(",")]
                continue
            path = Path(arguments.results) / run.file_name(seed)
            if path.exists():
                continue
            given = replace(arguments, seed=seed)
            if arguments.as_many_steps:
                steps = steps_of_others(path.parent, run, seed)
                given = replace(given, max_steps=steps, time_budget=None)
            result = make(given, run)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            print(f"{path}: {result['steps']} steps")
            done.append(result)
    return done


def run_facts(run: PaperRun, trainer: Trainer) -> dict[str, Any]:
    """What a result says of its run: the model and how it was trained."""
    arguments: Any = trainer.arguments
    return {
        "name": run.name, "library": run.library, "seed": arguments.seed, "overrides": dict(run.overrides),
        "steps": trainer.state.step, "cpu_seconds": round(trainer.state.seconds, 1),
        "as_many_steps": arguments.as_many_steps, "learning_rate": arguments.learning_rate,
    }  # fmt: skip


class SeenProcessor:
    """The processor of a run: what it collates lacks what the run does not see.

    Parts of a model read the graph beside its encoder, such as the copying of answers and the counts that a decoder
    reads; they do not get it either.

    Args:
        processor: of the model.
        config: of the model.
        blind: every architecture is replaced by the same small one.
    """

    def __init__(self, processor: Any, config: Any, blind: bool = False) -> None:
        self.processor = processor
        self.unseen = {tensor for name, tensors in UNSEEN_TENSORS.items() if not getattr(config, name)
                       for tensor in tensors}  # fmt: skip
        self.facts = [STATED_KINDS.index(kind) for name, kinds in UNSEEN_FACTS.items() if not getattr(config, name)
                      for kind in kinds]  # fmt: skip
        self.sized = [] if config.use_shapes else [STATED_KINDS.index(kind) for kind in _SIZED_FACTS]
        self.constant = None
        if blind:
            graph = trace(torch.nn.Linear(1, 1), torch.zeros(1, 1))
            self.constant = processor.feature_extractor.encode(graph)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def collate(self, texts: Sequence[str] | None, encodings: Sequence[Any], **settings: Any) -> dict[str, Any]:
        """A batch as `ArchBertProcessor.collate` makes it, of what the run sees."""
        shown = encodings if self.constant is None else [self.constant] * len(encodings)
        batch = dict(self.processor.collate(texts, shown, **settings))
        for name in self.unseen & set(batch):
            if name in ZEROED:
                batch[name] = torch.zeros_like(batch[name])
            else:
                del batch[name]
        if "stated_facts" in batch:
            batch["stated_facts"] = self._stated(batch["stated_facts"])
        return batch

    def _stated(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows of facts `(B, S, 6)`; those that are not seen become padding."""
        kinds = rows[..., 0]
        rows = rows * ~torch.isin(kinds, torch.tensor(self.facts, dtype=kinds.dtype)).unsqueeze(-1)
        sized = torch.isin(kinds, torch.tensor(self.sized, dtype=kinds.dtype))
        rows[..., _NUMBER] *= ~sized
        return rows


class NetworkPool:
    """All architectures of TVHF as graph tokens, whatever split they are of.

    Attributes:
        index: number of each architecture by its `arch_id`.
        encodings: graph tokens, by number.
        clusters: cluster of each architecture by its `arch_id`.
        tokens: int64 (n,), tokens of each.
    """

    def __init__(self, folder: str, processor: Any, cache_dir: str | None, fold: bool = True) -> None:
        self.parts: list[RealNetworks] = [load_real(folder, name, cache_dir) for name in ARCHITECTURE_SPLITS]
        self.encodings: list[Any] = []
        self.clusters: dict[str, str] = {}
        for part in self.parts:
            part.split.encode(processor, fold)
            self.encodings += [part.split.encodings[number] for number in range(len(part.rows))]
            self.clusters |= dict(zip((row["arch_id"] for row in part.rows), part.clusters, strict=True))
        self.index = {name: number for number, name in enumerate(self.clusters)}
        self.tokens = np.array([encoding.num_tokens for encoding in self.encodings])


class PairBlocks:
    """Blocks of labelled pairs of a text and an architecture: as many that are right as that are wrong.

    Args:
        pool: the architectures.
        rows: with `arch_id`, `text` and `label`.
        processor: of the model.
        graphs: architectures per block, of like size.
        pairs: pairs per block, at most.
        seed: of what is drawn.
        op_replacement: part of the op types that are given by the pieces of their names.
    """

    def __init__(
        self, pool: NetworkPool, rows: Sequence[Mapping[str, Any]], processor: Any, *,
        graphs: int, pairs: int, seed: int, op_replacement: float = 0.0,
    ) -> None:  # fmt: skip
        self.pool, self.processor, self.pairs, self.op_replacement, self.seed = (
            pool, processor, pairs, op_replacement, seed,
        )  # fmt: skip
        self.rows: dict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for row in rows:
            self.rows[pool.index[row["arch_id"]]][int(row["label"])].append(row["text"])
        known = np.array(sorted(self.rows))
        self.order = known[np.argsort(pool.tokens[known], kind="stable")]
        self.graphs = min(graphs, len(known))

    def __call__(self, block: int) -> dict[str, torch.Tensor]:
        """The block of this number: keyword arguments of `ArchBertForPreTraining`."""
        rng = np.random.default_rng([self.seed, block, 5])
        width = min(len(self.order), 3 * self.graphs)
        first = int(rng.integers(len(self.order) - width + 1))
        chosen = rng.choice(self.order[first : first + width], self.graphs, replace=False).tolist()
        drawn: list[tuple[int, str, float]] = []
        for label in (1, 0):
            found = [
                (place, text, float(label)) for place, graph in enumerate(chosen) for text in self.rows[graph][label]
            ]
            drawn += [found[i] for i in rng.permutation(len(found))[: self.pairs // 2].tolist()]
        texts = {text: number for number, text in enumerate(dict.fromkeys(text for _, text, _ in drawn))}
        batch = self.processor.collate(
            list(texts), [self.pool.encodings[graph] for graph in chosen], op_replacement=self.op_replacement,
            generator=torch.Generator().manual_seed(int(rng.integers(2**62))),
        )  # fmt: skip
        return dict(batch) | {
            "text_index": torch.tensor([texts[text] for _, text, _ in drawn]),
            "architecture_index": torch.tensor([place for place, _, _ in drawn]),
            "similarity_labels": torch.tensor([label for _, _, label in drawn]),
        }


def new_paper_model(run: PaperRun, text_from: str, **fields: Any) -> tuple[ArchBertForPreTraining, Any]:
    """A new model of a run, of the size and with the text side of the checkpoint `text_from`, and its processor.

    Args:
        run: the run.
        text_from: the checkpoint.
        **fields: fields of the config that all runs of a task have; those of the run come first.
    """
    import archbert  # noqa: F401  the classes of the package, not the copies in the folder, are loaded

    known = ArchBertConfig.from_pretrained(text_from)
    sizes = known.get_text_config().to_dict()
    kept = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
            "max_position_embeddings", "hidden_dropout_prob", "attention_probs_dropout_prob")  # fmt: skip
    text_config = {name: sizes[name] for name in kept}
    overrides: dict[str, Any] = {"text_config": text_config, "use_reasoning_head": False, **fields}
    if run.preset == "paper":
        overrides["gat_heads"] = known.gat_heads
    config = new_config(run.preset, overrides | dict(run.overrides))
    model = ArchBertForPreTraining(config)
    given = ArchBertForPreTraining.from_pretrained(text_from, dtype=torch.float32)
    model.archbert.text.load_state_dict(given.archbert.text.state_dict())
    return model, new_processor(config, AutoTokenizer.from_pretrained(text_from))


def pair_rows(folder: str, config: str, library: str, part: str) -> list[dict[str, Any]]:
    """Labelled rows of `descriptions` or `clones` of a library, in the paper's form: `"train"` or `"validation"`."""
    return read_table5(read_folder(folder), config, library, f"paper_{part}")
