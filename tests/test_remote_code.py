"""Published folders load with `trust_remote_code=True` where the package is missing, without it where it is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from header_files import safetensors_bytes
from local_hub import LocalHub
from tiny_checkpoint import tiny_release
from torch import nn
from transformers import BertConfig

from processing_archbert import load_architecture, trace

CHILD = Path(__file__).with_name("remote_code_child.py")
REPOSITORY = Path(__file__).parents[1]
HUB_ID = "archbert/tiny"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remote_code")
    tiny_release(folder)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 1))
    (folder / "graph.json").write_text(trace(network, torch.zeros(1, 3, 16, 16)).to_json())
    for name, layers in (("bert", 1), ("endless", 10**7)):
        sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 50}
        BertConfig(**sizes).save_pretrained(folder / name)
        text = json.loads((folder / name / "config.json").read_text()) | {"num_hidden_layers": layers}
        (folder / name / "config.json").write_text(json.dumps(text))
    return folder


def run_child(work: Path, source: str, mode: str, environment: dict[str, str]) -> dict[str, Any]:
    """The results of the child process; its error output where it failed."""
    output = work / f"{mode}-{len(list(work.iterdir()))}.json"
    command = [sys.executable, str(CHILD), source, str(work / "graph.json"), str(output), mode]
    done = subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(output.read_text())


def environment(home: Path, **extra: str) -> dict[str, str]:
    """An environment with empty caches and without network."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(home / "modules"), **extra}


@pytest.fixture(scope="module")
def from_package(work: Path) -> dict[str, Any]:
    return run_child(
        work, str(work / "tiny"), "package", environment(work / "home-package", PYTHONPATH=str(REPOSITORY))
    )


@pytest.fixture(scope="module")
def from_folder(work: Path) -> dict[str, Any]:
    return run_child(work, str(work / "tiny"), "remote", environment(work / "home-folder"))


@pytest.fixture(scope="module")
def from_hub(work: Path) -> dict[str, Any]:
    with LocalHub({HUB_ID: work / "tiny"}) as hub:
        caches = hub.environment(work / "home-hub", HF_MODULES_CACHE=str(work / "home-hub" / "modules"))
        caches.pop("PYTHONPATH", None)
        results = run_child(work, HUB_ID, "remote", caches)
        first = len(hub.requests)
        again = run_child(work, HUB_ID, "remote", {**caches, "HF_HUB_OFFLINE": "1"})
        return {**results, "again": again, "asked": hub.requests[:first], "asked_again": hub.requests[first:]}


NUMBERS = (
    "logits", "similarity", "pretraining_similarity", "node_ids", "answers", "judgements", "comparisons", "embeddings",
    "dtype", "captions", "checked", "written",
)  # fmt: skip


def test_the_package_loads_its_own_classes_without_trust(from_package: dict[str, Any]) -> None:
    modules = [*from_package["modules"].values(), *from_package["pipelines"]]
    assert all(module.startswith(("modeling_archbert.", "processing_archbert.")) for module in modules), modules
    assert from_package["dtype"] == "torch.float32"
    assert len(from_package["logits"]) == 2


@pytest.mark.parametrize("source", ["from_folder", "from_hub"])
def test_remote_code_gives_the_numbers_of_the_package(
    source: str, from_package: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    results = request.getfixturevalue(source)
    modules = [*results["modules"].values(), *results["pipelines"]]
    assert all(module.startswith("transformers_modules.") for module in modules), modules
    assert {name: results[name] for name in NUMBERS} == {name: from_package[name] for name in NUMBERS}


@pytest.mark.parametrize("source", ["from_package", "from_folder"])
def test_files_are_read_in_a_child_process_of_the_same_copy(
    source: str, work: Path, from_package: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    isolated = request.getfixturevalue(source)["isolated"]
    package = "processing_archbert." if source == "from_package" else "transformers_modules."
    assert isolated["copy"].startswith(package) and isolated["stopped"].startswith(package)
    assert "time_limit=1 seconds" in isolated["stopped"]
    assert isolated["hash"] == load_architecture(work / "bert", isolate=False).graph_hash
    assert isolated["tokens"] == from_package["isolated"]["tokens"]


def test_a_cached_hub_model_loads_again_without_network(from_hub: dict[str, Any]) -> None:
    assert {name: from_hub["again"][name] for name in NUMBERS} == {name: from_hub[name] for name in NUMBERS}
    assert from_hub["asked_again"] == []
    fetched = {line.rsplit("/", 1)[-1] for line in from_hub["asked"] if line.startswith("GET") and "/resolve/" in line}
    assert {"config.json", "model.safetensors", "pipeline_archbert.py", "modeling_archbert.py"} <= fetched
    assert {"pipeline_reasoning_archbert.py", "pipeline_clones_archbert.py", "embedding_archbert.py"} <= fetched


def test_objects_of_package_and_remote_code_accept_each_other(from_package: dict[str, Any]) -> None:
    meeting = from_package["meeting"]
    assert all(logits == meeting["all of the package"] for logits in meeting.values())
    assert meeting["all of the package"] == from_package["logits"]


def test_a_config_on_the_hub_is_an_architecture(work: Path, tmp_path: Path) -> None:
    """Of a repository with weights beside the config only the config is fetched, and of a file of weights its header,
    by child processes.
    """
    repository = tmp_path / "repository"
    repository.mkdir()
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    (repository / "config.json").write_text(json.dumps({"model_type": "bert", **sizes}))
    (repository / "pytorch_model.bin").write_bytes(b"never to be opened")
    (repository / "model.safetensors").write_bytes(safetensors_bytes({"pooler.dense.weight": (32, 32), "x": (2**20,)}))
    code = (
        "from processing_archbert.sources_archbert import load_architecture as load\n"
        "for name in ('someone/bert-tiny', 'someone/bert-tiny/model.safetensors'):\n    print(load(name).to_json())"
    )
    with LocalHub({"someone/bert-tiny": repository}) as hub:
        caches = hub.environment(tmp_path / "home", PYTHONPATH=str(REPOSITORY))
        done = subprocess.run([sys.executable, "-c", code], env=caches, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-4000:]
        fetched = {line.rsplit("/", 1)[-1] for line in hub.requests if line.startswith("GET") and "/resolve/" in line}
        assert hub.sent < 2**20
    assert fetched == {"config.json", "model.safetensors"}
    config, weights = map(json.loads, done.stdout.splitlines())
    assert config["num_parameters"] == weights["num_parameters"] > 0 and config["op_types"] == weights["op_types"]
    assert "tensors of the file are not in the network: x" in done.stderr
