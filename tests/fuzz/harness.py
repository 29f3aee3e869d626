"""Fuzzing of what reads files: damaged and hostile files may raise the reader's own errors, and nothing else.

A target is a module `fuzz_NAME.py` beside this one:

* `SEEDS() -> list[bytes]`: small valid files, made on the spot; `SUFFIX`: the ending of such a file.
* `read(path) -> object`: reads one file; `ALLOWED`: the exception types that it may raise.
* Optional: `HOSTILE() -> list[bytes]`, files made to do harm; `MUTATE(data, rng) -> bytes`, which damages a file and
  keeps most of its structure, with a `random.Random`.

Cases run in batches in child processes. For each one: only allowed errors, at most `CASE_SECONDS`, memory within
`MEMORY_LIMIT`, no file outside a scratch folder, no process, no network, no code (`watch.Watch`). A case that fails is
kept in `corpus/NAME` and is run again by the tests from then on.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(folder) for folder in (FOLDER, FOLDER.parents[1]) if str(folder) not in sys.path]

from mutations import MUTATIONS, make_case  # noqa: E402
from watch import Violation, Watch  # noqa: E402

from processing_archbert.isolation_archbert import ArchitectureTraceError, run_isolated  # noqa: E402

__all__ = ["MUTATIONS", "Failure", "Fuzzer", "Outcome", "kept_cases", "load_target", "make_case", "target_paths"]

CORPUS = FOLDER / "corpus"
CASE_SECONDS = 5.0
MEMORY_LIMIT = 1 << 30
MAX_KEPT_BYTES = 1 << 16
PREPARE_SECONDS = 300.0


@dataclass
class Failure:
    """A case that broke a rule: its index (-1 for a kept file), how it was made, and what happened."""

    index: int
    kind: str
    problem: str
    file: str = ""


@dataclass
class Outcome:
    """What came of the cases of one target up to now.

    Args:
        cases: number of cases that ran; `accepted` of them were read, `refused` raised an allowed error.
        kinds: number of cases of each kind of damage.
        errors: number of refusals by type of error.
        slowest: seconds of the slowest case.
        memory: bytes by which the largest batch grew.
        seconds: wall time of all of them.
    """

    cases: int = 0
    accepted: int = 0
    refused: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    memory: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def add(self, part: dict[str, Any]) -> None:
        """Adds what a batch sent."""
        self.cases += part["cases"]
        self.accepted += part["accepted"]
        self.refused += part["refused"]
        self.kinds.update(part["kinds"])
        self.errors.update(part["errors"])
        self.slowest = max(self.slowest, part["slowest"])
        self.memory = max(self.memory, part["memory"])
        self.failures += [Failure(**failure) for failure in part["failures"]]

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `from_dict` reads it back."""
        return asdict(self) | {"kinds": dict(sorted(self.kinds.items())), "errors": dict(sorted(self.errors.items()))}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Outcome:
        """The outcome of `to_dict`; further keys are ignored."""
        data = {key: value for key, value in data.items() if key in cls.__dataclass_fields__}
        failures = [Failure(**failure) for failure in data["failures"]]
        counters = {name: Counter(data[name]) for name in ("kinds", "errors")}
        return cls(**{**data, **counters, "failures": failures})


def target_paths() -> dict[str, Path]:
    """The targets beside this file, by name."""
    return {path.stem.removeprefix("fuzz_"): path for path in sorted(FOLDER.glob("fuzz_*.py"))}


def load_target(path: Path) -> ModuleType:
    """The module of a target."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def kept_cases(name: str) -> list[Path]:
    """The files of the corpus of a target."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())


# In the child


def prepare(target_path: str, scratch: str) -> dict[str, int]:
    """Writes the seeds and the hostile files of a target below `scratch`; their numbers."""
    target = load_target(Path(target_path))
    made = {"seeds": list(target.SEEDS()), "hostile": list(getattr(target, "HOSTILE", list)())}
    for kind, items in made.items():
        (Path(scratch) / kind).mkdir()
        for i, data in enumerate(items):
            (Path(scratch) / kind / f"{i:04}").write_bytes(data)
    return {kind: len(items) for kind, items in made.items()}


def run_batch(
    target_path: str, scratch: str, seed: int, start: int, stop: int, case_seconds: float, files: Sequence[str] = ()
) -> dict[str, Any]:
    """Runs cases `start` to `stop`, or the given files instead, in this process; an `Outcome` as plain data."""
    target = load_target(Path(target_path))
    name, folder = Path(target_path).stem.removeprefix("fuzz_"), Path(scratch)
    seeds, hostile = ([p.read_bytes() for p in sorted((folder / kind).iterdir())] for kind in ("seeds", "hostile"))
    case = folder / "case" / f"case{target.SUFFIX}"
    case.parent.mkdir(exist_ok=True)
    warnings.simplefilter("ignore")
    _read_seeds(target, seeds, case)
    watch = Watch(folder)
    watch.install()
    sys.dont_write_bytecode = True
    outcome = Outcome()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    indices = range(len(files)) if files else range(start, stop)
    for index in indices:
        (folder / "progress").write_text(json.dumps([index, "making"]))
        if files:
            kind, data = Path(files[index]).name, Path(files[index]).read_bytes()
        else:
            kind, data = make_case(target, name, seeds, hostile, seed, index)
        case.write_bytes(data)
        (folder / "progress").write_text(json.dumps([index, kind]))
        began = time.perf_counter()
        problem = _run_case(target, case, watch, outcome, case_seconds)
        outcome.slowest = max(outcome.slowest, time.perf_counter() - began)
        outcome.cases += 1
        outcome.kinds.update(kind.split("+") if not files else ["kept"])
        if problem:
            failure = Failure(-1 if files else index, kind, problem, _keep(folder, index, data))
            outcome.failures.append(failure)
    outcome.memory = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    return outcome.to_dict()


def _read_seeds(target: ModuleType, seeds: Sequence[bytes], case: Path) -> None:
    """Reads every seed once: each has to be valid, and what readers import late has to be there before the watch."""
    for i, data in enumerate(seeds):
        case.write_bytes(data)
        try:
            target.read(case)
        except Exception as error:
            raise ValueError(f"seed {i} cannot be read: {type(error).__name__}: {error}") from error


def _run_case(target: ModuleType, case: Path, watch: Watch, outcome: Outcome, case_seconds: float) -> str:
    """Reads one file; what it did wrong, or nothing."""
    signal.setitimer(signal.ITIMER_REAL, case_seconds)  # its signal ends the process, wherever it hangs
    watch.violations.clear()
    watch.active = True
    problem = refusal = ""
    try:
        target.read(case)
    except target.ALLOWED as error:
        refusal = type(error).__name__
    except Violation:
        pass
    except BaseException as error:
        problem = f"{type(error).__name__}: {str(error)[:300]} {_place(error)}"
    finally:
        watch.active = False
        signal.setitimer(signal.ITIMER_REAL, 0)
    if watch.violations:
        problem = f"forbidden: {watch.violations[0]}"
    elif refusal:
        outcome.refused += 1
        outcome.errors[refusal] += 1
    elif not problem:
        outcome.accepted += 1
    return problem


def _place(error: BaseException) -> str:
    """File and line of the last call of this project that an error came through."""
    places, current = [], error.__traceback__
    while current is not None:
        name = Path(current.tb_frame.f_code.co_filename)
        if name.name.endswith("_archbert.py"):
            places.append(f"({name.name}:{current.tb_lineno})")
        current = current.tb_next
    return places[-1] if places else ""


def _keep(folder: Path, index: int, data: bytes) -> str:
    (folder / "failed").mkdir(exist_ok=True)
    file = folder / "failed" / f"{index:06}"
    file.write_bytes(data)
    return str(file)


# In the caller


class Fuzzer:
    """Runs cases of one target in children, batch by batch, in a scratch folder of its own.

    Args:
        path: the module of the target.
        seed: seed of the cases.
        case_seconds: seconds that a case may take.
        memory_limit: bytes that a batch may allocate.
        corpus: folder in which failing cases are kept; None for none.
    """

    def __init__(
        self,
        path: Path,
        seed: int = 0,
        case_seconds: float = CASE_SECONDS,
        memory_limit: int = MEMORY_LIMIT,
        corpus: Path | None = CORPUS,
    ) -> None:
        self.path = path
        self.name = path.stem.removeprefix("fuzz_")
        self.seed = seed
        self.case_seconds = case_seconds
        self.memory_limit = memory_limit
        self.corpus = corpus
        self.scratch = Path()

    @contextmanager
    def prepared(self) -> Iterator[Fuzzer]:
        """The scratch folder with seeds and hostile files; removed at the end."""
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            self.scratch = Path(folder)
            run_isolated(prepare, str(self.path), folder, time_limit=PREPARE_SECONDS, memory_limit=None)
            yield self

    def run(self, outcome: Outcome, start: int, stop: int, files: Sequence[Path] = ()) -> None:
        """Adds the cases from `start` to `stop` to `outcome`; with `files`, positions in these."""
        began = time.monotonic()
        while start < stop:
            part = [str(file) for file in files[start:stop]]
            shutil.rmtree(self.scratch / "failed", ignore_errors=True)
            limit = PREPARE_SECONDS + (stop - start) * self.case_seconds
            (self.scratch / "progress").unlink(missing_ok=True)
            try:
                made = run_isolated(
                    run_batch, str(self.path), str(self.scratch), self.seed, start, stop, self.case_seconds, part,
                    time_limit=limit, memory_limit=self.memory_limit, network=True,
                )  # fmt: skip
            except ArchitectureTraceError as error:
                index, kind = self._progress(error)
                data = next((self.scratch / "case").iterdir()).read_bytes()
                done = index if files else index - start
                if done:  # the cases before it, once more: what the child knew of them is lost
                    self.run(outcome, start, start + done, files)
                self._add_failure(outcome, Failure(-1 if files else index, kind, str(error)[:400]), data)
                start += done + 1
                continue
            failures = [Failure(**failure) for failure in made["failures"]]
            outcome.add(made | {"failures": []})
            for failure in failures:
                self._add_failure(outcome, failure, Path(failure.file).read_bytes(), counted=True)
            start = stop
        outcome.seconds += time.monotonic() - began

    def _progress(self, error: Exception) -> tuple[int, str]:
        file = self.scratch / "progress"
        if not file.exists():  # not a case: the target itself does not work
            raise error
        index, kind = json.loads(file.read_text())
        return index, kind

    def _add_failure(self, outcome: Outcome, failure: Failure, data: bytes, counted: bool = False) -> None:
        if not counted:
            outcome.cases += 1
            outcome.kinds.update(failure.kind.split("+"))
        failure.file = ""
        if self.corpus is not None and failure.index >= 0 and len(data) <= MAX_KEPT_BYTES:
            digest = hashlib.blake2b(data, digest_size=3).hexdigest()
            folder = self.corpus / self.name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{failure.kind}-{digest}").write_bytes(data)
            failure.file = f"{self.name}/{failure.kind}-{digest}"
        outcome.failures.append(failure)
