"""What the training scripts share: arguments, one step-seeded loop for any number of processes, saving and resuming.

* Blocks are numbered through all steps, accumulations and processes. A block is a pure function of (seed, number),
  and the generators of torch are seeded by the same two. A run that is resumed from a saved state in the middle of an
  epoch therefore gives the same numbers as one that was never interrupted, and two processes learn what one learns
  that accumulates two blocks.
* The learning rate is a function of the progress, the larger one of step / max_steps and seconds / time_budget.
* The next batch is made in a thread while the current one is computed.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import math
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast, set_seed
from safetensors import SafetensorError
from tqdm.auto import tqdm

from modeling_archbert import ArchBertForPreTraining

logger = logging.getLogger(__name__)

STATE_FILE = "training_state.json"
ARGUMENTS_FILE = "training_arguments.json"
_DEFAULT_SECONDS = 600.0

Batch = dict[str, Any]
BatchMaker = Callable[[int], Batch]
"""Number of the block -> keyword arguments of the model's forward."""


@dataclass
class TrainingArguments:
    """Arguments that both training scripts have."""

    data: str | None = field(
        default=None,
        metadata={"help": "folder or Hub id of AutoNet; default: archbert/autonet, else a small one is generated"},
    )
    output_dir: str = field(default="runs/archbert", metadata={"help": "where everything is written"})
    cache_dir: str = field(
        default="~/.cache/archbert", metadata={"help": "generated data and traced networks are kept here"}
    )
    init_from: str | None = field(default=None, metadata={"help": "checkpoint to start from, with its processor"})
    preset: str = field(default="mini", metadata={"help": "sizes and method of a new model: paper, small or mini"})
    overrides: str = field(default="{}", metadata={"help": "JSON object: fields of the config to set"})
    text_encoder: str | None = field(
        default=None, metadata={"help": "folder or Hub id of a BERT-like encoder: text weights and tokenizer"}
    )
    attn_implementation: str | None = field(default=None, metadata={"help": "eager or sdpa"})
    fold: bool | None = field(default=None, metadata={"help": "fold graphs; default: yes but for the preset paper"})
    seed: int = field(default=0, metadata={"help": "of weights, batches, dropout and generated data"})
    max_steps: int | None = field(default=None, metadata={"help": "optimizer steps; 0 only evaluates"})
    time_budget: float | None = field(
        default=None, metadata={"help": f"seconds of training; default {_DEFAULT_SECONDS:.0f} without max_steps"}
    )
    graphs_per_step: int = field(default=16, metadata={"help": "architectures of a block (per process)"})
    learning_rate: float = field(default=5e-4, metadata={"help": "highest learning rate"})
    optimizer: Literal["adamw", "adam"] = field(default="adamw", metadata={"help": "adam: without weight decay"})
    weight_decay: float = field(default=0.01, metadata={"help": "of matrices only"})
    schedule: Literal["cosine", "linear", "constant"] = field(default="cosine", metadata={"help": "decay to zero"})
    warmup: float = field(default=0.03, metadata={"help": "part of the run over which the learning rate rises"})
    max_grad_norm: float = field(default=1.0, metadata={"help": "gradients are clipped to this norm"})
    op_replacement: float = field(
        default=0.1, metadata={"help": "part of the op types that are given by the pieces of their names instead"}
    )
    mixed_precision: str | None = field(default=None, metadata={"help": "no, bf16 or fp16; default: the launcher's"})
    gradient_accumulation_steps: int = field(default=1, metadata={"help": "blocks per optimizer step"})
    cpu: bool = field(default=False, metadata={"help": "stay on the CPU where there is a GPU"})
    threads: int | None = field(
        default=None, metadata={"help": "threads of a process; default: the cores, shared by the processes here"}
    )
    save_steps: int = field(default=0, metadata={"help": "save the state every so many steps; 0: at the end only"})
    resume: bool = field(default=False, metadata={"help": "go on from the newest saved state in output_dir"})
    limit_train: int | None = field(default=None, metadata={"help": "use so many training architectures"})
    limit_validation: int | None = field(default=None, metadata={"help": "use so many validation architectures"})
    eval_split: Literal["validation", "test"] = field(
        default="validation", metadata={"help": "AutoNet's validation, or test: cell styles that training has not"}
    )
    push_to_hub: bool = field(default=False, metadata={"help": "upload output_dir at the end"})
    hub_model_id: str | None = field(default=None, metadata={"help": "where to push; default: output_dir's name"})

    def __post_init__(self) -> None:
        if self.max_steps is None and self.time_budget is None:
            self.time_budget = _DEFAULT_SECONDS
        least = {"graphs_per_step": 1, "gradient_accumulation_steps": 1, "save_steps": 0, "threads": 1}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ValueError(f"{name} is {value}; it has to be at least {lowest}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is {self.warmup}; it is a part of the run, at least 0 and below 1, such as 0.03")


@dataclass
class TrainingState:
    """How far a run is; stands as JSON beside the saved state."""

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)

    def progress(self, arguments: TrainingArguments) -> float:
        """Part of the run that is done; 1 or more ends it."""
        by_step = self.step / arguments.max_steps if arguments.max_steps else float(arguments.max_steps == 0)
        by_time = self.seconds / arguments.time_budget if arguments.time_budget else 0.0
        return max(by_step, by_time)


def prepare(arguments: TrainingArguments) -> None:
    """Make the output folder, refuse one that holds links into the source, and seed the initial weights."""
    from archbert.release import refuse_release_folder

    Path(arguments.output_dir).mkdir(parents=True, exist_ok=True)
    refuse_release_folder(arguments.output_dir)
    set_seed(arguments.seed)


def make_accelerator(arguments: TrainingArguments) -> Accelerator:
    """An `Accelerator` for one process, several or a GPU; batches are made by each process for itself.

    Launchers set `OMP_NUM_THREADS=1`, so the number of threads is set here.
    """
    accelerator = Accelerator(
        mixed_precision=arguments.mixed_precision,
        cpu=arguments.cpu or not torch.cuda.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    here = int(os.environ.get("LOCAL_WORLD_SIZE", accelerator.num_processes))
    torch.set_num_threads(arguments.threads or max(1, _cores() // here))
    return accelerator


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def schedule_factor(progress: float, arguments: TrainingArguments) -> float:
    """Learning rate as a part of the highest: linear warmup, then the schedule's decay."""
    if progress < arguments.warmup:
        return max(progress / arguments.warmup, 1e-3)
    rest = min((progress - arguments.warmup) / (1 - arguments.warmup), 1.0)
    if arguments.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * rest))
    return 1 - rest if arguments.schedule == "linear" else 1.0


def make_optimizer(model: torch.nn.Module, arguments: TrainingArguments) -> torch.optim.Optimizer:
    """AdamW that decays matrices only, or the paper's Adam."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if arguments.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=arguments.learning_rate)
    matrices = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": arguments.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=arguments.learning_rate, betas=(0.9, 0.98))


def block_seed(seed: int, block: int) -> int:
    """Seed of torch's generators (dropout, masked nodes) for one block."""
    return (seed * 1_000_000_007 + block) % 2**63


class Trainer:
    """Trains a model on blocks, and saves and restores the whole state.

    Args:
        accelerator: see `make_accelerator`.
        model: its forward returns an output with `loss`.
        make_batch: the pure function that makes a block.
        arguments: the run.
        optimizer: of the model's parameters; default: `make_optimizer`. A group of parameters may have a `rate`, by
            which the learning rate is multiplied for it.
    """

    clock: Callable[[], float] = staticmethod(time.perf_counter)
    """What the time budget is measured by."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: ArchBertForPreTraining,
        make_batch: BatchMaker,
        arguments: TrainingArguments,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self.accelerator, self.arguments, self.make_batch = accelerator, arguments, make_batch
        self.model, self.optimizer = accelerator.prepare(model, optimizer or make_optimizer(model, arguments))
        self.state = TrainingState()
        self._unchecked: list[torch.Tensor] = []

    @property
    def checkpoints(self) -> Path:
        """Folder of the saved states."""
        return Path(self.arguments.output_dir) / "checkpoints"

    def train(self) -> TrainingState:
        """Run to the end of the steps or of the time; returns how far it came."""
        if self.arguments.resume:
            self.load_newest()
        self.model.train()
        started, before = self.clock(), self.state.seconds
        bar = tqdm(desc="training", unit="step", initial=self.state.step, total=self.arguments.max_steps,
                   disable=not self.accelerator.is_main_process)  # fmt: skip
        with ThreadPoolExecutor(1) as maker, bar:
            waiting = maker.submit(self.make_batch, self._block(0))
            while (progress := self.state.progress(self.arguments)) < 1:
                losses = []
                for accumulated in range(self.arguments.gradient_accumulation_steps):
                    batch = waiting.result()
                    waiting = maker.submit(self.make_batch, self._block(accumulated + 1))
                    losses.append(self._forward_backward(batch, accumulated))
                self._update(progress)
                self.state.step += 1
                self.state.seconds = self._agreed(before + self.clock() - started)
                self._report(bar, losses)
                if self.arguments.save_steps and self.state.step % self.arguments.save_steps == 0:
                    self.save()
            waiting.cancel()
        self._check_losses()
        return self.state

    def _block(self, accumulated: int) -> int:
        """Number of the block that this process takes next."""
        micro_step = self.state.step * self.arguments.gradient_accumulation_steps + accumulated
        return micro_step * self.accelerator.num_processes + self.accelerator.process_index

    def _forward_backward(self, batch: Batch, accumulated: int) -> torch.Tensor:
        accumulation = self.arguments.gradient_accumulation_steps
        torch.manual_seed(block_seed(self.arguments.seed, self._block(accumulated)))
        batch = {k: v.to(self.accelerator.device, non_blocking=True) for k, v in batch.items()}
        last = accumulated + 1 == accumulation
        with nullcontext() if last else self.accelerator.no_sync(self.model):
            loss = self.model(**batch).loss
            self.accelerator.backward(loss / accumulation)
        return loss.detach()

    def _update(self, progress: float) -> None:
        factor = schedule_factor(progress, self.arguments)
        for group in self.optimizer.param_groups:
            group["lr"] = self.arguments.learning_rate * factor * group.get("rate", 1.0)
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.arguments.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _agreed(self, seconds: float) -> float:
        """The first process's clock, so that all stop at the same step."""
        if self.accelerator.num_processes == 1 or not self.arguments.time_budget:
            return seconds
        clock = torch.tensor(seconds, dtype=torch.float32, device=self.accelerator.device)
        return float(broadcast(clock))

    def _report(self, bar: tqdm, losses: Iterable[torch.Tensor]) -> None:
        bar.update()
        self._unchecked.append(torch.stack(list(losses)))
        if self.state.step % 20 == 0 or self.state.step == 1:
            loss = float(self._check_losses()[-1].mean())
            self.state.losses.append(round(loss, 5))
            bar.set_postfix(loss=f"{loss:.4f}")

    def _check_losses(self) -> list[torch.Tensor]:
        """The losses since the last check, by step; read together, because each reading waits for a GPU.

        Raises:
            FloatingPointError: one of them is not a number; says which step and block. What is saved is older.
        """
        losses, self._unchecked = self._unchecked, []
        accumulation, processes = self.arguments.gradient_accumulation_steps, self.accelerator.num_processes
        for step, values in enumerate(losses, self.state.step - len(losses)):
            for accumulated in torch.nonzero(~torch.isfinite(values)).flatten().tolist():
                block = (step * accumulation + accumulated) * processes + self.accelerator.process_index
                raise FloatingPointError(
                    f"The loss is {float(values[accumulated])} at step {step + 1}, block {block} of seed "
                    f"{self.arguments.seed}; lower --learning_rate (now {self.arguments.learning_rate}) or use "
                    "--mixed_precision no, and go on from the newest saved state with --resume."
                )
        return losses

    def save(self) -> Path:
        """Save weights, optimizer, generators and `TrainingState`; keeps the two newest.

        Raises:
            FloatingPointError: the loss was not a number since the last saved state, which is kept.
            OSError: there is no room; the states before are kept.
        """
        self._check_losses()
        folder = self.checkpoints / f"step-{self.state.step}"
        self.accelerator.wait_for_everyone()
        try:
            self.accelerator.save_state(str(folder))
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            kept = saved_states(self.checkpoints)
            rest = f"{kept[-1]} is whole: go on from it with --resume" if kept else "nothing was saved before"
            raise OSError(f"The state could not be saved into {folder} ({error}); {rest}.") from error
        self.accelerator.wait_for_everyone()  # the file that says that a state is whole comes after those of all
        if self.accelerator.is_main_process:
            _write_json(folder / STATE_FILE, asdict(self.state))
            for old in saved_states(self.checkpoints)[:-2]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()
        return folder

    def load_newest(self) -> None:
        """Go on from the newest saved state.

        Raises:
            FileNotFoundError: there is none.
        """
        states = saved_states(self.checkpoints)
        if not states:
            raise FileNotFoundError(f"There is no saved state in {self.checkpoints}; run once without --resume.")
        self.accelerator.load_state(str(states[-1]))
        self.state = TrainingState(**json.loads((states[-1] / STATE_FILE).read_text(encoding="utf-8")))

    @property
    def unwrapped(self) -> ArchBertForPreTraining:
        """The model without what `accelerate` put around it."""
        return self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)


def saved_states(folder: Path) -> list[Path]:
    """Complete saved states, oldest first."""
    found = [path.parent for path in folder.glob(f"step-*/{STATE_FILE}")]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def _write_json(path: Path, value: Any) -> None:
    """The file is there as a whole or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(path)


def provenance(script: str, accelerator: Accelerator, seed: int) -> dict[str, Any]:
    """What a table of results says about itself: command, seed, commit, hardware, versions, date."""
    import transformers

    folder = Path(__file__).resolve().parents[1]
    describe = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude", "*"]
    git = subprocess.run(describe, capture_output=True, text=True)
    return {
        "command": shlex.join(["accelerate", "launch", f"examples/{script}", *sys.argv[1:]]),
        "seed": seed,
        "commit": git.stdout.strip(),
        "hardware": hardware(accelerator),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "date": datetime.date.today().isoformat(),
    }


def hardware(accelerator: Accelerator) -> str:
    """The device in words."""
    if accelerator.device.type == "cuda":
        name = torch.cuda.get_device_name(accelerator.device)
    else:
        cpuinfo = Path("/proc/cpuinfo")
        text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
        found = re.search(r"model name\s*:\s*(.+)", text)
        name = f"{found.group(1) if found else platform.processor() or platform.machine()}, " \
               f"{torch.get_num_threads()} of {os.cpu_count()} cores"  # fmt: skip
    return f"{accelerator.num_processes} x {name}" if accelerator.num_processes > 1 else name


def origin(arguments: TrainingArguments) -> dict[str, Any]:
    """What a model was made from: data sets with the digests of their manifests, and the published model before it."""
    from archbert.names import NAMESPACE

    data = {}
    for name, folder in (("AutoNet", arguments.data), ("TVHF", getattr(arguments, "real_data", None))):
        manifest = Path(folder or "") / "manifest.json"
        if folder and manifest.is_file():
            digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
            data[name] = f"training split, manifest.json of SHA-256 {digest}"
        elif folder and not Path(folder).exists():
            data[name] = f"training split of {folder}"
    if "AutoNet" in data and arguments.limit_train:
        data["AutoNet"] = f"first {arguments.limit_train:,} networks of the {data['AutoNet']}"
    found: dict[str, Any] = {"trained_on": data} if data else {}
    source = arguments.init_from or arguments.text_encoder or ""
    if Path(source).resolve().parent == Path(__file__).resolve().parents[1] / "hub" / "models":
        found["base_model"] = f"{NAMESPACE}/{Path(source).name}"
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", source) and not Path(source).exists():
        found["base_model"] = source
    return found


def finish(trainer: Trainer, processor: Any, arguments: TrainingArguments, tables: list[dict[str, Any]]) -> None:
    """Save the state, the model and its processor, the arguments, the results and the card; push if asked to.

    What the model was made from is added to the first of the tables, see `origin`.
    """
    from archbert.model_card import write_model_card

    if tables:
        tables[0].update(origin(arguments))
    if trainer.state.step:
        trainer.save()
    if trainer.accelerator.is_main_process:
        folder = Path(arguments.output_dir)
        model = trainer.unwrapped
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        _write_json(folder / ARGUMENTS_FILE, asdict(arguments))
        _write_json(folder / "results.json", tables)
        write_model_card(folder, model.config, tables, repo_id=arguments.hub_model_id)
        if arguments.push_to_hub:
            push(folder, arguments.hub_model_id or folder.resolve().name)
    trainer.accelerator.wait_for_everyone()


def push(folder: Path, repository: str) -> None:
    """Upload a saved folder as a release: with the code, loadable by every Auto class, and no training states."""
    from huggingface_hub import HfApi

    from archbert.release import release

    hub = HfApi()
    repository = hub.create_repo(repository, exist_ok=True).repo_id
    with TemporaryDirectory() as scratch:
        released = release(folder, repository.split("/")[-1], scratch, folder.glob("results.json"))
        shutil.copyfile(folder / ARGUMENTS_FILE, released / ARGUMENTS_FILE)
        hub.upload_folder(repo_id=repository, folder_path=released)


def print_table(table: dict[str, Any]) -> None:
    """Print a table of results: figures in percent, the first column to the left."""
    columns = list(table["rows"][0])
    widths = [max(len(columns[0]), *(len(row[columns[0]]) for row in table["rows"])), *map(len, columns[1:])]
    print(f"\n{table['title']} ({table['data']})")
    print("  " + "  ".join(f"{name:{width}}" for name, width in zip(columns, widths, strict=True)))
    for row in table["rows"]:
        cells = ["-" if row[name] is None else row[name] for name in columns]
        shown = [f"{c:.2f}" if isinstance(c, float) else str(c) for c in cells]
        aligned = [shown[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(shown[1:], widths[1:], strict=True))]
        print("  " + "  ".join(aligned))
