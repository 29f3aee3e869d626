"""AutoNet is published to a local Hub and loaded from it: `datasets` 5 and 3.6, streaming, and the loading script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from autonet_build import SAMPLE_SIZE, SIZES, small_build, small_release
from old_datasets import old_environment
from writable_hub import TOKEN, WritableHub

from dataset_scripts.autonet.card_autonet import CONFIGS

ROOT = Path(__file__).resolve().parents[1]
LOAD = """
import datasets, json, sys
repository, = sys.argv[1:]
found = {"version": datasets.__version__, "configs": datasets.get_dataset_config_names(repository)}
for config in found["configs"]:
    data = datasets.load_dataset(repository, config)
    stream = datasets.load_dataset(repository, config, streaming=True)
    rows = {split: len(data[split]) for split in data}
    assert all(next(iter(stream[split])) == data[split][0] for split in data), config
    found[config] = {"rows": rows, "first": data["train"][0]}
assert sum(1 for _ in stream["train"]) == rows["train"]
found["default"] = datasets.load_dataset(repository)["train"][0]["arch_id"]
print(json.dumps(found))
"""
LOAD_SCRIPT = """
import datasets, json
data = datasets.load_dataset("archbert/autonet", "aqa", revision="script", trust_remote_code=True, num_train=2,
                             num_validation=1, num_test=1, seed=5)
print(json.dumps({"version": datasets.__version__, "rows": {split: len(data[split]) for split in data},
                  "first": data["train"][0]}))
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_build(tmp_path_factory.mktemp("autonet") / "build")


@pytest.fixture(scope="module")
def released(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_release(build, tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def hub(build: Path, released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WritableHub]:
    """A Hub to which AutoNet has been published."""
    with WritableHub() as hub:
        done = subprocess.run(
            [sys.executable, "-m", "archbert.publish", "--hub_dir", str(released.parents[1]), "--models", "--datasets",
             f"autonet={build}"],
            cwd=ROOT, env=hub.environment(tmp_path_factory.mktemp("home"), HF_TOKEN=TOKEN), capture_output=True,
            text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        yield hub


def run(code: str, *arguments: str, environment: dict[str, str], folder: Path) -> dict:
    """What code prints as JSON, in a process outside of the repository."""
    outside = {
        name: value for name, value in environment.items() if name not in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=outside, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def assert_whole(found: dict, build: Path, configs: list[str]) -> None:
    assert found["configs"] == configs
    listed = json.loads((build / "manifest.json").read_text())["files"]
    for config in CONFIGS:
        if config in configs:
            rows = {split: listed[f"{config}/{split}-00000-of-00001.parquet"]["rows"] for split in SIZES}
            assert found[config]["rows"] == rows
    first = found["sample"]["first"]
    assert sum(found["sample"]["rows"].values()) == SAMPLE_SIZE and first["arch_id"] == found["default"]
    assert [type(first[name][0]) for name in ("captions", "descriptions", "questions", "hard_questions")] == [dict] * 4
    assert len(first["questions"]) == 35 and isinstance(first["questions"][0]["answers"], list)


@pytest.mark.parametrize("version", ["5", "3.6"])
def test_every_config_loads_from_the_hub(hub: WritableHub, build: Path, tmp_path: Path, version: str) -> None:
    environment = hub.environment(tmp_path / "home")
    environment = old_environment(environment) if version == "3.6" else environment
    found = run(LOAD, "archbert/autonet", environment=environment, folder=tmp_path)
    assert found["version"].startswith(version)
    assert_whole(found, build, ["sample", *CONFIGS])


def test_the_loading_script_runs_without_the_repository(hub: WritableHub, tmp_path: Path) -> None:
    environment = old_environment(hub.environment(tmp_path / "home"))
    check = (
        "import importlib.util as u, json; print(json.dumps({n: bool(u.find_spec(n)) for n in ('dataset_scripts',)}))"
    )
    assert run(check, environment=environment, folder=tmp_path) == {"dataset_scripts": False}
    found = run(LOAD_SCRIPT, environment=environment, folder=tmp_path)
    assert found["version"].startswith("3.6") and found["rows"] == {"train": 70, "validation": 35, "test": 35}
    assert found["first"]["arch_id"] == "train-000000" and found["first"]["answers"]


def test_the_committed_sample_loads_from_its_folder(tmp_path: Path) -> None:
    folder = ROOT / "hub" / "datasets" / "autonet"
    code = """
import datasets, json, sys
data = datasets.load_dataset(sys.argv[1], "sample")
print(json.dumps({"rows": sum(map(len, data.values())), "columns": list(data["train"].features)}))
"""
    for environment in (dict(os.environ), old_environment(os.environ)):
        found = run(code, str(folder), environment=environment | {"HF_HOME": str(tmp_path)}, folder=tmp_path)
        assert found["rows"] == 100 and {"arch_id", "questions", "captions", "op_types"} <= set(found["columns"])
