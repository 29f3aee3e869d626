"""From publishing to use, where this repository is not: ``make fresh``, or ``python tests/fresh/run.py PART...``.

Data sets, index, metrics, models and the demo are published with ``archbert.publish`` to a Hub on this machine, under
another namespace and with a tag. Then every branch gets one more commit that breaks it; nobody may meet that.

* ``remote``: in a new environment that has the third-party packages only, `use` loads all of it at the tag: every Auto
  class, every pipeline, every config of the data sets, also streamed, and the metrics. What the models answer has to
  be what their ``reference.json`` says, to 1e-4. Then once more, with the Hub switched off and ``HF_HUB_OFFLINE=1``:
  all has to come out the same.
* ``package``: in another one with the wheel, the same models and pipelines without ``trust_remote_code``, the code of
  the models compared with the wheel's, and the commands and programs of README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "versions")]

from autonet_build import small_build, small_release  # noqa: E402
from environments import make_environment  # noqa: E402
from tiny_checkpoint import tiny_checkpoint  # noqa: E402
from writable_hub import TOKEN, WritableHub  # noqa: E402

from archbert.names import TAG  # noqa: E402
from archbert.release import release  # noqa: E402

OWNER, MINI, DECODING = "elsewhere", "archbert-mini", "tiny"
METRICS = ("aqa_match", "ar_binary", "etran", "caption_claims")
WITHOUT_PACKAGE = METRICS[:3]
TOLERANCE = 1e-4
BROKEN = b"raise RuntimeError('a revision that nobody asked for')\n"
_PUBLISH = """
import json, sys
from archbert.publish import main
sys.exit(any([main(arguments) for arguments in json.loads(sys.argv[1])]))
"""
PARTS = ("remote", "package")
Run = subprocess.CompletedProcess[str]
Said = Callable[[str], None]


class FreshError(AssertionError):
    """Something that was published cannot be used as it should: says what."""


def require(holds: bool, what: str) -> None:
    """Raise unless it holds.

    Raises:
        FreshError: it does not.
    """
    if not holds:
        raise FreshError(what)


def prepare(scratch: Path) -> tuple[Path, Path]:
    """The folder of all that is to be published, and a build of AutoNet: what this repository has, and toys."""
    hub_dir, build = scratch / "hub", small_build(scratch / "autonet")
    small_release(build, hub_dir)
    release(tiny_checkpoint(scratch / "toy"), DECODING, hub_dir / "models")
    for name in ("datasets/tvhf", f"models/{MINI}", "index"):
        (hub_dir / name).symlink_to(ROOT / "hub" / name)
    return hub_dir, build


def variables(hub: WritableHub, home: Path, **extra: str) -> dict[str, str]:
    """Environment variables of a child process that reaches the Hub and nothing of this repository."""
    kept = {
        name: value for name, value in hub.environment(home).items() if not name.startswith(("PYTHON", "ARCHBERT"))
    }
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}
    return {**kept, **quiet, "TOKENIZERS_PARALLELISM": "false", **extra}


def child(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], what: str) -> Run:
    """Run a command; what it printed.

    Raises:
        FreshError: it failed.
    """
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    require(done.returncode == 0, f"{what} failed: {(done.stderr or done.stdout).strip()[-2500:]}")
    return done


def publish(hub: WritableHub, scratch: Path, parts: Sequence[str]) -> None:
    """Publish everything under `OWNER`, and what the command line fetches by itself under the usual name."""
    hub_dir, build = prepare(scratch)
    folders = ["--hub_dir", str(hub_dir), "--source_dir", str(ROOT)]
    calls = [[*folders, "--namespace", OWNER, "--datasets", f"autonet={build}", "tvhf"]]
    if "package" in parts:
        calls.append([*folders, "--datasets", "--metrics", "--no-space", "--models", MINI])
    environment = {**variables(hub, scratch / "publisher"), "HF_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}
    child([sys.executable, "-c", _PUBLISH, json.dumps(calls)], ROOT, environment, "publishing")
    for repository in hub.repositories():
        require(TAG in hub.tags(repository), f"{repository} has no tag {TAG}")
        if repository.removeprefix("datasets/").removeprefix("spaces/").startswith(OWNER):
            hub.replace(repository, "main", broken)


def broken(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a later commit that nobody who names a tag should see: code raises, the rest is gone."""
    return {name: BROKEN for name in files if name.endswith(".py")} | {"README.md": b"# Broken\n"}


def use(
    python: Path,
    scratch: Path,
    environment: Mapping[str, str],
    installed: bool,
    configs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What `use` says in an environment; offline where the configs of the data sets are given."""
    folder = scratch / "nowhere"
    folder.mkdir(exist_ok=True)
    program = folder / "use.py"
    program.write_bytes(Path(__file__).with_name("use.py").read_bytes())
    asked = {
        "revision": TAG,
        "models": [f"{OWNER}/{MINI}", f"{OWNER}/{DECODING}"],
        "datasets": [f"{OWNER}/{name}" for name in ("autonet", "tvhf", "index")],
        "metrics": [f"{OWNER}/{name}" for name in WITHOUT_PACKAGE],
        "online": configs is None,
        "configs": configs or {},
        "installed": installed,
    }
    (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    child([python, "-W", "ignore", program, "asked.json", "told.json"], folder, environment, "using it")
    return dict(json.loads((folder / "told.json").read_text(encoding="utf-8")))


def check_models(told: Mapping[str, Any], package: str) -> None:
    """The classes are of the copy that they should be of, nothing but a missing decoder was refused, numbers agree."""
    modules = told["models"]["modules"]
    require(len(modules) == 13, f"loaded: {sorted(modules)}")
    wrong = {name: module for name, module in modules.items() if not re.match(package, module)}
    require(not wrong, f"of another copy of the code: {wrong}")
    refused = told["models"]["refused"]
    require(list(refused) == [f"{OWNER}/{MINI} AutoModelForSeq2SeqLM"], f"refused: {refused}")
    for model, gap in told["models"]["gaps"].items():
        require(gap <= TOLERANCE, f"{model} differs from its reference.json by {gap}")


def wheel(scratch: Path) -> Path:
    """The wheel of the packages, built from a copy of what it needs."""
    source = scratch / "source"
    source.mkdir()
    packages = ("processing_archbert", "modeling_archbert", "archbert")
    for name in (*packages, "setup.py", "README.md", "LICENSE", "NOTICE", "pyproject.toml"):
        (source / name).symlink_to(ROOT / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    child([*pip, "-w", scratch / "dist", source], scratch, os.environ, "the wheel")
    (made,) = (scratch / "dist").glob("*.whl")
    return made


def readme(python: Path, scratch: Path, environment: Mapping[str, str]) -> int:
    """Run the commands and the programs of README.md in an empty folder; how many there were."""
    folder = scratch / "reader"
    (folder / "hub" / "models").mkdir(parents=True)
    (folder / "hub" / "models" / MINI).symlink_to(ROOT / "hub" / "models" / MINI)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(text, encoding="utf-8")
    commands = re.findall(r"^archbert .*?(?=\s+#|$)", text, flags=re.MULTILINE)
    programs = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    require(len(commands) > 4 and len(programs) > 1, "README.md has no commands or programs any more")
    path = f"{python.parent}{os.pathsep}{environment.get('PATH', '')}"
    for command in commands:
        child(["sh", "-c", command], folder, {**environment, "PATH": path}, f"README.md: {command}")
    for program in programs:
        child([python, "-W", "ignore", "-c", program], folder, environment, f"README.md: {program}")
    return len(commands) + len(programs)


def check_manifest(python: Path, scratch: Path, environment: Mapping[str, str]) -> None:
    """The code at the tag is the wheel's, and that of the later commit is not."""
    command = [python, "-m", "archbert.manifest", f"{OWNER}/{MINI}"]
    child([*command, "--revision", TAG], scratch, environment, "comparing code with the wheel's")
    done = subprocess.run(
        [*map(str, command), "--revision", "main"], cwd=scratch, env=dict(environment), capture_output=True, text=True
    )
    require(done.returncode == 1 and "differs from" in done.stdout, "foreign code was taken for the wheel's")


def remote(hub: WritableHub, scratch: Path, said: Said) -> dict[str, Any]:
    """Use it without the package; what came out."""
    told = use(make_environment(scratch / "plain"), scratch, variables(hub, scratch / "home"), False)
    check_models(told, r"transformers_modules\.")
    gaps, data = max(told["models"]["gaps"].values()), told["data_sets"]
    said(
        f"without the package: {len(told['models']['modules'])} Auto classes, {len(told['pipelines'])} results of "
        f"pipelines, {len(data['rows'])} splits, {data['streamed']} also streamed, {len(told['metrics'])} metrics; "
        f"logits within {gaps:.1e} of the stored ones"
    )
    return told


def package(hub: WritableHub, scratch: Path, said: Said) -> dict[str, Any]:
    """Use it with the wheel, and read the README; what came out."""
    python = make_environment(scratch / "packaged", [str(wheel(scratch))])
    environment = variables(hub, scratch / "home-packaged")
    told = use(python, scratch, environment, True)
    check_models(told, r"(modeling|processing)_archbert\.")
    check_manifest(python, scratch, environment)
    said("with the wheel, without trust_remote_code; its code is the code of the models")
    said(f"README.md: {readme(python, scratch, environment)} commands and programs run")
    return told


def run(scratch: Path, parts: Sequence[str], said: Said) -> None:
    """The parts, in a folder of their own.

    Raises:
        FreshError: something does not hold.
    """
    with WritableHub() as hub:
        publish(hub, scratch, parts)
        said(f"published {len(hub.repositories())} repositories with the tag {TAG}, and broke their main branches")
        told = {part: {"remote": remote, "package": package}[part](hub, scratch, said) for part in parts}
        offline = variables(hub, scratch / "home", HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    if len(parts) == 2:
        same = told["remote"]["pipelines"] == told["package"]["pipelines"]
        require(same, "the package and the remote code answer differently")
    if "remote" in parts:
        configs = told["remote"]["data_sets"]["configs"]
        again = use(scratch / "plain" / "bin" / "python", scratch, offline, False, configs)
        told["remote"]["data_sets"]["streamed"] = again["data_sets"]["streamed"]
        require(again == told["remote"], "a second use, offline, gives something else")
        said("offline, with the Hub switched off: the same")


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: {PARTS[0]}")
    parts = parser.parse_args().parts or PARTS[:1]
    if not set(parts) <= set(PARTS):
        parser.error(f"there are the parts {', '.join(PARTS)}, not {', '.join(parts)}")
    started = time.monotonic()

    def said(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started:5.0f} s  {text}\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory() as scratch:
        try:
            run(Path(scratch), parts, said)
        except FreshError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
