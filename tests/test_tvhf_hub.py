"""TVHF is published to a local Hub and loaded from it: `datasets` 5 and 3.6, streaming, and the loading script."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mlcroissant
import pyarrow.parquet as pq
import pytest
from old_datasets import old_environment
from writable_hub import TOKEN, WritableHub

from dataset_scripts.release.front_matter_release import features_of
from dataset_scripts.tvhf.configs_tvhf import CONFIGS, DEFAULT_CONFIG, SAMPLE, SPLITS, read_folder
from dataset_scripts.tvhf.script_tvhf import write_script
from dataset_scripts.tvhf.tvhf import COLUMNS
from dataset_scripts.tvhf.tvhf import features_of as stated_features

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "hub" / "datasets" / "tvhf"
ONLY = ("--models", "--metrics", "--no-index", "--no-space")
LOAD = """
import datasets, json, sys
found = {"version": datasets.__version__, "configs": datasets.get_dataset_config_names("archbert/tvhf")}
for config in found["configs"]:
    data = datasets.load_dataset("archbert/tvhf", config)
    first = {split: data[split][0] for split in data}
    stream = datasets.load_dataset("archbert/tvhf", config, streaming=True)
    assert {split: next(iter(stream[split])) for split in stream} == first, config
    found[config] = {split: len(data[split]) for split in data}
split = next(iter(data))
assert sum(1 for _ in stream[split]) == len(data[split])
found["default"] = list(next(iter(datasets.load_dataset("archbert/tvhf").values())).features)
print(json.dumps(found))
"""
LOAD_SCRIPT = """
import datasets, importlib.util, json
assert importlib.util.find_spec("dataset_scripts") is None
found = {"version": datasets.__version__}
script = dict(revision="script", trust_remote_code=True)
names = datasets.get_dataset_config_names("archbert/tvhf", **script)
for config in names:
    data = datasets.load_dataset("archbert/tvhf", config, **script)
    is_compared = config in ("descriptions", "test_human", "sample")
    plain = datasets.load_dataset("archbert/tvhf", config) if is_compared else {}
    for split in plain:
        assert data[split].features == plain[split].features, (config, split)
        assert data[split][0] == plain[split][0] and data[split][-1] == plain[split][-1], (config, split)
    found[config] = {split: len(data[split]) for split in data}
found["default"] = list(next(iter(datasets.load_dataset("archbert/tvhf", **script).values())).features)
print(json.dumps(found))
"""


def publish(environment: Mapping[str, str], *arguments: str) -> str:
    """What `archbert.publish` says."""
    command = [sys.executable, "-m", "archbert.publish", "--hub_dir", "hub", "--data_dir", str(FOLDER / "none"),
               "--datasets", "tvhf", *arguments]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=dict(environment), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WritableHub]:
    """A Hub to which TVHF has been published, after a plan that changed nothing."""
    with WritableHub() as hub:
        environment = hub.environment(tmp_path_factory.mktemp("home"), HF_TOKEN=TOKEN)
        planned = publish(environment, "--dry-run", *ONLY)
        assert "dataset archbert/tvhf (main), to be created" in planned and "(script), to be created" in planned
        assert not [request for request in hub.requests if request.startswith(("POST", "PUT"))]
        publish(environment, *ONLY)
        yield hub


def run(code: str, environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """What code prints as JSON, in a process outside of the repository that reaches the local Hub."""
    outside = {k: v for k, v in environment.items() if k not in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=outside, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def stored_rows() -> dict[str, dict[str, int]]:
    """Config -> split -> rows, by the manifest."""
    found: dict[str, dict[str, int]] = {}
    for path, file in json.loads((FOLDER / "manifest.json").read_text())["files"].items():
        config, name = path.split("/")
        found.setdefault(config, {})[name.split("-")[0]] = file["rows"]
    return found


def assert_whole(found: dict[str, Any], version: str) -> None:
    assert found.pop("version").startswith(version)
    assert found.pop("default") == list(stated_features(DEFAULT_CONFIG))
    found.pop("configs", None)
    assert found == stored_rows() and set(found) == {*CONFIGS, SAMPLE}
    assert {split for rows in found.values() for split in rows} == set(SPLITS)


@pytest.mark.parametrize("version", ["5", "3.6"])
def test_every_config_and_split_loads_from_the_hub(hub: WritableHub, tmp_path: Path, version: str) -> None:
    environment = hub.environment(tmp_path / "home", PYTHONPATH="")
    assert_whole(run(LOAD, old_environment(environment) if version == "3.6" else environment, tmp_path), version)


def test_the_loading_script_gives_the_same_rows_without_the_repository(hub: WritableHub, tmp_path: Path) -> None:
    environment = old_environment(hub.environment(tmp_path / "home"))
    assert_whole(run(LOAD_SCRIPT, environment, tmp_path), "3.6")
    assert any("/resolve/" in request and "/tvhf.py" in request for request in hub.requests)


def test_the_script_states_the_columns_of_the_files(tmp_path: Path) -> None:
    data = read_folder(FOLDER, sample=True)
    assert list(COLUMNS) == [*CONFIGS, SAMPLE] == list(data.splits)
    for config, splits in data.splits.items():
        for path in (path for split in splits for path in data.files(config, split)):
            schema = pq.read_schema(path)
            assert features_of(stated_features(config).arrow_schema) == features_of(schema), path
    assert write_script(tmp_path) == ["tvhf.py", "README.md"]
    assert (tmp_path / "tvhf.py").read_bytes() == (ROOT / "dataset_scripts" / "tvhf" / "tvhf.py").read_bytes()


def test_croissant_is_valid_and_reads_the_rows() -> None:
    data = mlcroissant.Dataset(jsonld=FOLDER / "croissant.json", mapping={"repository": FOLDER})
    assert not data.metadata.ctx.issues.errors
    assert {record.name for record in data.metadata.record_sets} == {"splits", *CONFIGS, SAMPLE}
    record = next(iter(data.records("sentences")))
    (first,) = pq.read_table(FOLDER / "sentences" / "train-00000-of-00001.parquet").slice(0, 1).to_pylist()
    assert record["sentences/sentence_id"].decode() == first["sentence_id"] and record["sentences/split"]
