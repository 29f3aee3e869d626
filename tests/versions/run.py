"""Answers with the oldest and the newest versions of what ArchBERT stands on: ``python tests/versions/run.py``.

Every environment is compared with the one that runs this, which has the versions of ``constraints.txt``:

* ``oldest``: the lower bounds of ``setup.py``, for all but development, all at once;
* ``datasets-3``: `datasets` 3.6, and the newest versions of the rest;
* ``newest``: the newest versions that pip finds.

`answers` says what is compared. At least 98% of the answers (AQA) and judgements (AR) have to be the same, logits
equal to 1e-4 wherever graphs are, graphs and data sets the same, and then some tests run there. torch is shared by
all of them: there is one build for CPU. What cannot be downloaded is said to be skipped, loudly.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pythons
import torch
from environments import (
    ROOT,
    STAMP,
    NotAvailableError,
    clean_environment,
    lower_bounds,
    make_environment,
    setup_arguments,
)
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent
FOLDER = ROOT / ".cache" / "versions"
SHARE, TOLERANCE = 0.98, 1e-4
SAME = "the tested versions"
"""The status of an environment that has the very versions of the reference."""
VARIED = ("transformers", "datasets", "accelerate", "torch-geometric")
"""What the newest versions are taken of."""
LIBRARIES = (
    "torch", "torch-geometric", "transformers", "tokenizers", "huggingface_hub", "safetensors", "numpy", "networkx",
    "datasets", "pyarrow", "pyyaml", "scipy", "tqdm", "accelerate",
)  # fmt: skip
"""What the tables name the versions of."""
TRAINING = ("accelerate", "evaluate")
"""What of the environment for development is varied."""
TESTS = ("test_configuration.py", "test_features.py", "test_modeling.py", "test_processor.py", "test_pipeline.py")
PAGE, BEGIN, END = ROOT / "docs" / "publishing.md", "<!-- versions:begin -->", "<!-- versions:end -->"
RESULT = ROOT / "benchmarks" / "results" / "versions.json"


@dataclass(frozen=True)
class Environment:
    """What pip puts before the packages of this environment."""

    packages: tuple[str, ...]
    upgrade: bool = False


def environments() -> dict[str, Environment]:
    """Name -> environment."""
    arguments = setup_arguments()
    training = [text for text in arguments["extras_require"]["dev"] if text.startswith(TRAINING)]
    oldest = lower_bounds([*arguments["install_requires"], *arguments["extras_require"]["data"], *training])
    others = [name for name in VARIED if name != "datasets"]
    return {
        "oldest": Environment(tuple(f"{name}=={version}" for name, version in oldest.items() if name != "torch")),
        "datasets-3": Environment((f"datasets=={oldest['datasets']}", *others), upgrade=True),
        "newest": Environment(VARIED, upgrade=True),
    }


def state(*more: str) -> str:
    """A digest of code, checkpoint and data, and of what is given: as long as it is the same, so are the answers."""
    digest = hashlib.sha256(json.dumps(more).encode())
    folders = ("processing_archbert", "modeling_archbert", "archbert", "dataset_scripts/autonet", "tests/versions")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if path.name != Path(__file__).name]
    files += [path for folder in ("models", "datasets") for path in (ROOT / "hub" / folder).glob("*/**/*")]
    for path in sorted(path for path in files if path.is_file()):
        digest.update(str(path.relative_to(ROOT)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def tell(python: Path | str, name: str, *options: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What `answers` says in an environment; what it said before, where nothing has changed since.

    Raises:
        RuntimeError: it failed there.
    """
    folder, stamp = FOLDER / "answers" / name, FOLDER / name / STAMP
    made = stamp.read_text(encoding="utf-8") if stamp.is_file() else f"{sys.prefix} {stamp.parent}"
    wanted, said = state(made, *options), folder / "state.txt"
    if not (said.is_file() and said.read_text(encoding="utf-8") == wanted):
        command = [str(python), "-W", "ignore", str(HERE / "answers.py"), str(folder), *options]
        environment = clean_environment(FOLDER / "home" / name, PYTHONPATH=str(ROOT))
        said.unlink(missing_ok=True)
        done = subprocess.run(command, env=environment, cwd=FOLDER, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"in the environment {name}: {done.stderr.strip()[-2000:]}")
        said.write_text(wanted, encoding="utf-8")
    told = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    return told, load_file(folder / "logits.safetensors")


def installed(python: Path | str) -> dict[str, str]:
    """The versions that an environment has."""
    code = "import json, sys; from importlib.metadata import version as v; print(json.dumps([*map(v, sys.argv[1:])]))"
    command = [str(python), "-c", code, *LIBRARIES]
    done = subprocess.run(command, env=clean_environment(FOLDER), capture_output=True, text=True, check=True)
    return dict(zip(LIBRARIES, json.loads(done.stdout), strict=True))


def chosen(logits: torch.Tensor) -> torch.Tensor:
    """(rows, answers): those above 0, and always the best."""
    best = torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).bool()
    return (logits > 0) | best


def compare(
    told: Mapping[str, Any], logits: Mapping[str, torch.Tensor],
    expected: Mapping[str, Any], reference: Mapping[str, torch.Tensor],
) -> dict[str, Any]:  # fmt: skip
    """Figures of an environment beside the reference, and what is wrong with them in words."""
    same_aqa = (chosen(logits["aqa"]) == chosen(reference["aqa"])).all(-1).float().mean().item()
    same_ar = ((logits["ar"] > 0) == (reference["ar"] > 0)).float().mean().item()
    gap = max((logits[kind] - reference[kind]).abs().max().item() for kind in ("aqa", "ar"))
    graphs = [here == stored for here, stored in told["graphs"].values()]
    named = [told["named"][name] == value for name, value in expected["named"].items()]
    losses = max(abs(a - b) for a, b in zip(told["losses"], expected["losses"], strict=True))
    figures = {
        "networks": len(graphs),
        "graphs equal": sum(graphs),
        "questions": len(logits["aqa"]),
        "answers equal": same_aqa,
        "statements": len(logits["ar"]),
        "judgements equal": same_ar,
        "largest difference of logits": gap,
        "networks of transformers": len(named),
        "their graphs equal": sum(named),
        "rows of data sets": sum(told["rows"].values()),
        "largest difference of losses": losses,
    }
    wrong = {
        "answers differ": min(same_aqa, same_ar) < SHARE,
        "logits differ": all(graphs) and gap > TOLERANCE,
        "graphs differ": not all(graphs),
        "rows of data sets differ": told["rows"] != expected["rows"],
        "the training step differs": losses > TOLERANCE,
        "the saved state is another": abs(told["losses"][0] - told["losses"][2]) > 1e-6,
    }
    return {**figures, "wrong": [what for what, is_so in wrong.items() if is_so]}


def smoke(python: Path, name: str) -> dict[str, Any]:
    """Run some of the tests in an environment: how many passed, and the end of what pytest said if any failed."""
    environment = clean_environment(FOLDER / "home" / name, PYTHONPATH=str(ROOT))
    command = [str(python), "-m", "pytest", *(str(ROOT / "tests" / test) for test in TESTS)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    last = next((line for line in reversed(done.stdout.splitlines()) if " passed" in line or " failed" in line), "")
    told: dict[str, Any] = {"files": list(TESTS), "result": last.split(" in ")[0].strip("= ")}
    return told if done.returncode == 0 else {**told, "failed": done.stdout.strip()[-3000:]}


def check(name: str, environment: Environment, options: Sequence[str]) -> dict[str, Any]:
    """Make an environment and compare it.

    Its `status` is ``equal``, ``different``, `SAME` or ``skipped: not available``.
    """
    started = time.monotonic()
    try:
        python = make_environment(FOLDER / name, environment.packages, upgrade=environment.upgrade)
    except NotAvailableError as error:
        return {"status": "skipped: not available", "why": str(error)[-300:]}
    versions = installed(python)
    if versions == installed(sys.executable):
        return {"status": SAME, "versions": versions, "wrong": []}
    reference = tell(sys.executable, "tested", *options)
    told, logits = tell(python, name, *options)
    found = {"versions": versions, **compare(told, logits, *reference)}
    return {
        "status": "different" if found["wrong"] else "equal",
        **found,
        "seconds": round(time.monotonic() - started),
    }


def with_tests(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """The same with what some of the tests say."""
    if "networks" not in found:
        return found
    tests = smoke(FOLDER / name / "bin" / "python", name)
    wrong = [*found["wrong"], *(["tests fail"] if "failed" in tests else [])]
    return {**found, "tests": tests, "wrong": wrong, "status": "different" if wrong else "equal"}


def line(name: str, found: Mapping[str, Any]) -> str:
    """An environment in a line."""
    if "versions" not in found:
        return f"{name:12} {str(found['status']).upper()} ({found['why']})"
    versions = ", ".join(f"{library} {found['versions'][library]}" for library in VARIED)
    if found["status"] == SAME:
        return f"{name:12} {SAME}: {versions}"
    return (
        f"{name:12} {found['status']}: {versions}; answers {found['answers equal']:.1%}, judgements "
        f"{found['judgements equal']:.1%}, logits {found['largest difference of logits']:.1e}; "
        + ("; ".join(found["wrong"]) or f"graphs {found['graphs equal']}/{found['networks']}")
        + (f"; tests: {found['tests']['result']}" if "tests" in found else "")
    )


def table(result: Mapping[str, Any]) -> str:
    """The environments of a result as Markdown, for the docs."""
    environments = {"tested": {"versions": result["reference"], "status": "the reference"}, **result["environments"]}
    shown = {name: found for name, found in environments.items() if "versions" in found}
    lines = [["", *(f"`{name}`" for name in shown)], ["---", *["---"] * len(shown)]]
    for library in result["reference"]:
        lines.append([library, *(str(found["versions"][library]).split("+")[0] for found in shown.values())])
    for figure in ("answers equal", "judgements equal"):
        lines.append([figure, *(f"{found[figure]:.1%}" if figure in found else "–" for found in shown.values())])
    figures = {
        "largest difference of logits": lambda found: f"{found['largest difference of logits']:.1g}",
        "graphs equal": lambda found: f"{found['graphs equal']} of {found['networks']}",
        "graphs of transformers' own networks equal": lambda found: (
            f"{found['their graphs equal']} of {found['networks of transformers']}"
        ),
        "rows of data sets": lambda found: f"{found['rows of data sets']:,}",
        "tests": lambda found: found["tests"]["result"] if "tests" in found else "–",
    }
    for name, shape in figures.items():
        lines.append([name, *(shape(found) if "networks" in found else "–" for found in shown.values())])
    shown_not = [f"`{name}` was skipped: not available." for name in environments if name not in shown]
    same = [name for name, found in shown.items() if found["status"] == SAME]
    skipped = [*shown_not, *(f"`{name}`: there is nothing newer than what is tested." for name in same)]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + (["", *skipped] if skipped else []))


def write_docs(result: Mapping[str, Any], page: Path = PAGE) -> None:
    """Put the table between its markers."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table(result)}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def write(
    results: Mapping[str, Any], names: Sequence[str], reference: Mapping[str, str], read: Sequence[Mapping[str, Any]]
) -> None:
    """Write what is known so far, and the table of the docs; environments of an earlier run are kept."""
    before = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    kept = before.get("environments", {}) if before.get("reference") == reference else {}
    result = {
        "command": "python tests/versions/run.py --write",
        "python": {"ran": sys.version.split()[0], "compiled only": [told["version"] for told in read]},
        "reference": reference,
        "environments": {name: results.get(name) or kept[name] for name in names if name in {*results, *kept}},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    write_docs(result)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="environments; default: all")
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="30 networks, a config of each data set, and no tests")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}, and its table into {PAGE.name}")
    options = parser.parse_args(arguments)
    known = environments()
    for name in options.names:
        if name not in known:
            parser.error(f"there is no environment {name!r}; there are {', '.join(known)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    asked = ["--quick", "--networks", "30"] if options.quick else ["--networks", str(options.networks)]
    tested = installed(sys.executable)
    read = [pythons.check(python) for python in pythons.interpreters()]
    for told in read:
        said = "; ".join(told["wrong"]) or "can read every file"
        sys.stdout.write(f"Python {told['version']}, statically: {said}\n")
    results: dict[str, dict[str, Any]] = {}
    for name in options.names or known:
        results[name] = check(name, known[name], asked)
        if options.write and not options.quick:
            write(results, list(known), tested, read)
        if not options.quick:
            results[name] = with_tests(name, results[name])
        if options.write and not options.quick:
            write(results, list(known), tested, read)
        sys.stdout.write(line(name, results[name]) + "\n")
        sys.stdout.flush()
    return int(any(found.get("wrong") for found in (*results.values(), *read)))


if __name__ == "__main__":
    sys.exit(main())
