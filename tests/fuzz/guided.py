"""Fuzzing guided by coverage (atheris): `python tests/fuzz/guided.py [--target NAME ...] [--seconds 3600] [--keep]`.

Every target of this folder runs in a process of its own, whose code of this project counts the branches that an input
reaches; what reaches a new one is damaged further. The rules are those of `harness.py`: only the errors that a reader
documents, at most `CASE_SECONDS`, memory within `MEMORY_LIMIT`, no file outside a scratch folder, no process, no
network, no code. An input that breaks one is kept in `corpus/NAME`, which the tests read ever after; with `--keep`
the smallest inputs that together reach the most are kept there too. The exit code is 1 if an input broke a rule.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
CORPUS, RESULTS = FOLDER / "corpus", FOLDER / "guided.json"
CASE_SECONDS, MEMORY_LIMIT = 20, 3 << 30
"""Of one input, and of the whole process with its libraries."""
GIVEN = "given.txt"
"""File with the names of the inputs that a target begins with."""
MAX_BYTES, MAX_KEPT_BYTES = 1 << 16, 20_000
"""Of one input, and of all that is kept of one target for what it reaches."""
STARTING_SECONDS, MAX_FAILURES = 120, 20
PACKAGES = ("processing_archbert", "archbert")
_PROGRESS = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_ERROR = re.compile(
    r"^(?:\w+\.)*(\w*(?:Error|Exception|Violation|Interrupt|Exit|Failure))\b:? ?(.{0,300})", re.MULTILINE
)


# In the process of one target


def instrumented() -> None:
    """Imports the packages of this project with counters in their code."""
    import atheris

    sys.path[:0] = [str(FOLDER), str(FOLDER.parents[1])]
    with atheris.instrument_imports(include=list(PACKAGES)):
        for file in sorted((FOLDER.parents[1] / "processing_archbert").glob("*_archbert.py")):
            __import__(f"processing_archbert.{file.stem}")


def write_inputs(name: str, target: Any, folder: Path) -> None:
    """Writes the seeds of a target, its hostile files that are not too large, and what is kept of it."""
    for data in (*target.SEEDS(), *getattr(target, "HOSTILE", list)()):
        if len(data) <= MAX_BYTES:
            (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    for file in sorted((CORPUS / name).glob("*")):
        shutil.copy(file, folder / file.name)


def work(name: str, scratch: Path, arguments: list[str]) -> None:
    """Fuzzes one target until libFuzzer's limits are reached; an input that breaks a rule ends the process.

    The last argument is the folder of inputs; where it is empty they are written first.
    """
    instrumented()
    import atheris
    from harness import load_target, target_paths
    from mutations import MUTATIONS
    from watch import Violation, Watch

    from processing_archbert import isolation_server_archbert

    with atheris.instrument_imports(include=list(PACKAGES)):
        target = load_target(target_paths()[name])
        seeds = list(target.SEEDS())
    if not any(Path(arguments[-1]).iterdir()):
        write_inputs(name, target, Path(arguments[-1]))
        (scratch / GIVEN).write_text("\n".join(path.name for path in Path(arguments[-1]).iterdir()))
    isolation_server_archbert._in_child = True  # the limits of this process hold already
    case = scratch / "case" / f"case{target.SUFFIX}"
    case.parent.mkdir()
    warnings.simplefilter("ignore")
    for seed in seeds:
        case.write_bytes(seed)
        with suppress(*target.ALLOWED):  # a limit of time, on a busy machine; that they can be read, the tests say
            target.read(case)
    watch = Watch(scratch)
    watch.install()
    sys.dont_write_bytecode = True

    def one(data: bytes) -> None:
        case.write_bytes(data)
        watch.violations.clear()
        watch.active = True
        try:
            target.read(case)
        except target.ALLOWED:
            pass
        finally:
            watch.active = False
        if watch.violations:
            raise Violation(watch.violations[0])

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        chance, own = rng.random(), getattr(target, "MUTATE", None)
        if own is not None and chance < 0.4:
            try:
                return own(data, rng)[:max_size]
            except Exception:  # what cannot be damaged in this way is damaged in another
                pass
        if chance < 0.7:
            return MUTATIONS[rng.choice(tuple(MUTATIONS))](data, rng, seeds)[:max_size]
        return atheris.Mutate(data, max_size)

    atheris.Setup([sys.argv[0], *arguments], one, custom_mutator=mutate)
    atheris.Fuzz()


# In the caller


def fuzz(name: str, seconds: float, keep: bool, seed: int) -> dict[str, Any]:
    """Fuzzes a target for so long; what came of it as plain data. A seed of 0 is another one every time."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as folder:
        scratch = Path(folder)
        inputs, crashes = scratch / "inputs", scratch / "crashes"
        for path in (inputs, crashes):
            path.mkdir()
        began, result = time.monotonic(), {"inputs": 0, "branches": 0, "features": 0, "corpus": 0}
        failures: list[dict[str, str]] = []
        while (left := seconds - (time.monotonic() - began)) > 1 and len(failures) < MAX_FAILURES:
            log = run(name, scratch, inputs, crashes, left, seed)
            found = [tuple(map(int, numbers)) for numbers in _PROGRESS.findall(log)]
            if found:
                result["inputs"] += found[-1][0]
                result |= dict(zip(("branches", "features", "corpus"), found[-1][1:], strict=True))
            if not keep_failures(name, crashes, log, failures):
                if seconds - (time.monotonic() - began) > STARTING_SECONDS:  # no limit was reached
                    failures.append({"file": "", "problem": "it ended before its time", "place": log[-1000:]})
                break
        if keep:
            keep_reaching(name, inputs, set((scratch / GIVEN).read_text().split()))
        return {"seconds": round(time.monotonic() - began, 1), **result, "failures": failures}


def run(name: str, scratch: Path, inputs: Path, crashes: Path, seconds: float, seed: int) -> str:
    """One process of a target; its output."""
    log = _libfuzzer(name, scratch, f"-max_total_time={int(seconds)}", f"-seed={seed}", f"-artifact_prefix={crashes}/",
                     str(inputs), seconds=seconds)  # fmt: skip
    if "cov:" not in log and not any(crashes.iterdir()):
        raise RuntimeError(f"{name} did not start:\n{log[-3000:]}")
    return log


def _libfuzzer(name: str, scratch: Path, *arguments: str, seconds: float) -> str:
    """The output of libFuzzer on a target, without network."""
    shutil.rmtree(scratch / "case", ignore_errors=True)
    limits = [f"-timeout={CASE_SECONDS}", f"-rss_limit_mb={MEMORY_LIMIT >> 20}", f"-max_len={MAX_BYTES}"]
    command = [sys.executable, str(Path(__file__)), "--work", name, str(scratch), *limits, *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1", "HF_HOME": str(scratch / "hub"),
                   "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          timeout=seconds + STARTING_SECONDS + 60)  # fmt: skip
    return done.stdout.decode(errors="replace")


def keep_failures(name: str, crashes: Path, log: str, failures: list[dict[str, str]]) -> bool:
    """Moves the inputs that broke a rule into the corpus; whether there were any."""
    found = sorted(crashes.iterdir())
    for file in found:
        kind, data = file.name.partition("-")[0], file.read_bytes()
        errors = _ERROR.findall(log)
        problem = ": ".join(errors[-1]) if errors and kind == "crash" else kind
        kept = CORPUS / name / f"{kind}-{hashlib.blake2b(data, digest_size=3).hexdigest()}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(data)
        places = re.findall(r'File "[^"]*/(\w+\.py)", line (\d+), in', log)
        place = ":".join(places[-1]) if places else ""
        failures.append({"file": f"{name}/{kept.name}", "problem": problem, "place": place})
        file.unlink()
    return bool(found)


def keep_reaching(name: str, inputs: Path, given: set[str]) -> None:
    """Keeps a part of what reached something new when it was tried: the smallest inputs, `MAX_KEPT_BYTES` in all.

    libFuzzer's own `-merge` starts itself anew, which a Python program cannot.

    Args:
        name: of the target.
        inputs: folder of its inputs.
        given: names of those that it began with; what is kept already is judged like the new ones.
    """
    folder, size = CORPUS / name, 0
    folder.mkdir(parents=True, exist_ok=True)
    found = {path.name: path.read_bytes() for path in inputs.iterdir()
             if path.name not in given or path.name.startswith("reached-")}  # fmt: skip
    for old in folder.glob("reached-*"):
        old.unlink()
    for data in sorted(set(found.values()), key=lambda data: (len(data), data)):
        size += len(data)
        if size > MAX_KEPT_BYTES:
            break
        (folder / f"reached-{hashlib.blake2b(data, digest_size=5).hexdigest()}").write_bytes(data)


def main() -> int:
    """Runs what the command line asks for."""
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
        return 0
    names = sorted(path.stem.removeprefix("fuzz_") for path in FOLDER.glob("fuzz_*.py"))
    parser = argparse.ArgumentParser(description="Fuzzes the readers of files, guided by coverage.")
    parser.add_argument("--target", nargs="*", choices=names, default=names, help="readers; by default all")
    parser.add_argument("--seconds", type=float, default=3600, help="in all, in equal parts")
    parser.add_argument("--jobs", type=int, default=1, help="readers at the same time")
    parser.add_argument("--seed", type=int, default=0, help="of what is tried; 0: another one every time")
    parser.add_argument("--keep", action="store_true", help="keep what reaches most in the corpus")
    parser.add_argument("--results", type=Path, help=f"write the results there (a release: {RESULTS.name})")
    options = parser.parse_args()
    failed, seconds = 0, options.jobs * options.seconds / len(options.target)
    with ThreadPoolExecutor(options.jobs) as pool:
        results = [(name, pool.submit(fuzz, name, seconds, options.keep, options.seed)) for name in options.target]
    for name, found in results:
        try:
            result = found.result()
        except (RuntimeError, subprocess.TimeoutExpired) as error:  # the results of the others are not lost
            result = {"failures": [{"file": "", "problem": str(error), "place": ""}]}
        failed += len(result["failures"])
        sys.stdout.write(f"{name}: {json.dumps(result)}\n")
        sys.stdout.flush()
        if options.results:
            saved = json.loads(options.results.read_text())["targets"] if options.results.exists() else {}
            data = {"command": "make fuzz", "targets": dict(sorted({**saved, name: result}.items()))}
            options.results.write_text(json.dumps(data, indent=1) + "\n")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
