"""Releases: linked code, float16 weights that load as float32, whole or not at all, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tiny_checkpoint import tiny_checkpoint
from transformers import AutoModel, AutoModelForPreTraining, AutoProcessor
from transformers.dynamic_module_utils import get_relative_imports

import archbert
from archbert.release import (
    AUTO_MAP,
    CUSTOM_PIPELINES,
    FEATURE_EXTRACTOR_AUTO_MAP,
    PROCESSOR_AUTO_MAP,
    ReleaseError,
    code_files,
    main,
    refresh,
    refuse_release_folder,
    release,
)
from processing_archbert import trace

REPOSITORY = Path(__file__).parents[1]
SIZES = {"archbert-mini": 16e6, "archbert-small": 65e6}
PUBLISHED = sorted((REPOSITORY / "hub" / "models").glob("*/config.json"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def released(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(checkpoint, "tiny", tmp_path_factory.mktemp("hub") / "models")


@pytest.fixture
def copied(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint to damage."""
    return Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))


def digests(folder: Path) -> dict[str, str]:
    """Name -> digest of content, or the target of a link."""
    return {
        path.name: os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def assert_published(folder: Path) -> None:
    """What must hold for every published folder."""
    code = sorted(folder.glob("*.py"))
    assert [path.name for path in code] == list(code_files())
    for path in code:
        assert path.is_symlink(), f"{path} is a copy; release again instead of saving into the folder"
        assert not os.path.isabs(os.readlink(path))
        assert path.resolve().parent.name in ("processing_archbert", "modeling_archbert")
        for needed in get_relative_imports(path):
            assert (folder / f"{needed}.py").is_file(), f"{path.name} imports {needed}, which is not there"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    processor = json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))
    assert config["auto_map"] == AUTO_MAP
    assert config["custom_pipelines"] == CUSTOM_PIPELINES
    assert config["dtype"] == "float32"
    assert processor["auto_map"] == PROCESSOR_AUTO_MAP
    assert processor["feature_extractor"]["auto_map"] == FEATURE_EXTRACTOR_AUTO_MAP
    for reference in [*AUTO_MAP.values(), *PROCESSOR_AUTO_MAP.values(), *FEATURE_EXTRACTOR_AUTO_MAP.values()]:
        module, name = reference.split(".")
        assert f"class {name}(" in (folder / f"{module}.py").read_text(encoding="utf-8")
    weights = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {torch.float16}
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("---\n")


def test_a_release_is_flat_linked_and_complete(released: Path) -> None:
    assert_published(released)


def test_published_models_in_the_repository() -> None:
    for config in PUBLISHED:
        assert_published(config.parent)
        assert (config.parent / "model.safetensors").stat().st_size < SIZES[config.parent.name]


def test_no_name_of_the_machine_is_published(released: Path, checkpoint: Path) -> None:
    for path in released.iterdir():
        if path.suffix in (".json", ".md"):
            text = path.read_text(encoding="utf-8")
            assert str(checkpoint) not in text and str(REPOSITORY) not in text, path.name


def test_weights_load_as_float32_and_give_the_results_of_the_checkpoint(released: Path, checkpoint: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    processor = AutoProcessor.from_pretrained(released)
    assert archbert.pipeline(model=str(released), device="cpu").model.dtype == torch.float32

    batch = processor(text=["a convolution"], architectures=[trace(network, torch.zeros(1, 3, 8, 8))])
    one, other = AutoModel.from_pretrained(released), AutoModelForPreTraining.from_pretrained(checkpoint)
    assert one.dtype == torch.float32
    with torch.no_grad():
        assert torch.allclose(one(**batch).similarity, other(**batch).similarity, atol=2e-3)


def test_releasing_again_changes_no_byte(released: Path, checkpoint: Path) -> None:
    before = digests(released)
    sources = {path: path.read_bytes() for path in code_files().values()}
    release(checkpoint, released.name, released.parent)
    assert digests(released) == before
    assert {path: path.read_bytes() for path in sources} == sources, "links are replaced, never written through"
    assert sorted(path.name for path in released.parent.iterdir()) == [released.name], "nothing is left over"


def test_a_refreshed_release_keeps_its_weights_and_gets_what_the_code_says(released: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / released.name
    shutil.copytree(released, folder, symlinks=True)
    weights = (folder / "model.safetensors").read_bytes()
    measured = [{"title": "AQA", "rows": [{"method": "a", "exact match": 97.0}]}]
    (folder / "results.json").write_text(json.dumps(measured))
    config = json.loads((folder / "config.json").read_text())
    config.pop("custom_pipelines")
    (folder / "config.json").write_text(json.dumps(config | {"clone_threshold": 0.25}))
    (folder / "pipeline_reasoning_archbert.py").unlink()
    assert main(["--refresh", "--name", folder.name, "--hub_dir", str(folder.parent)]) == 0
    assert_published(folder)
    assert (folder / "model.safetensors").read_bytes() == weights
    assert json.loads((folder / "results.json").read_text()) == measured
    assert json.loads((folder / "config.json").read_text())["clone_threshold"] == 0.25
    before = digests(folder)
    refresh(folder.name, folder.parent)
    assert digests(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing is left over"
    with pytest.raises(ReleaseError, match="There is no published folder"):
        refresh("nowhere", folder.parent)


def test_results_and_card_come_along(copied: Path, tmp_path: Path) -> None:
    table = {
        "title": "AQA, measured",
        "training_data": "AutoNet, 17 architectures",
        "rows": [{"method": "cross-attention", "exact match": 97.25}],
    }
    (copied / "aqa_results.json").write_text(json.dumps(table))
    (copied / "embeddings.png").write_bytes(b"a picture")
    (copied / "other.png").write_bytes(b"not of the card")
    (tmp_path / "tracing.json").write_text(json.dumps([{"rows": [{"model": "bert", "seconds": 0.25}]}]))
    folder = release(copied, "with-results", tmp_path / "models", [tmp_path / "tracing.json"])
    measured = json.loads((folder / "results.json").read_text())
    assert measured == [table, {"title": "tracing", "rows": [{"model": "bert", "seconds": 0.25}]}]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "](embeddings.png)" in card and (folder / "embeddings.png").read_bytes() == b"a picture"
    assert not (folder / "other.png").exists()
    refresh(folder.name, folder.parent)
    assert (folder / "embeddings.png").is_file() and (folder / "README.md").read_text(encoding="utf-8") == card
    assert "### AQA, measured" in card and "| cross-attention | 97.2 |" in card
    assert "\n\nAutoNet, 17 architectures\n\n## Limits" in card


def test_a_truncated_checkpoint_is_refused_and_the_release_stays(
    copied: Path, released: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digests(released)
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    arguments = ["--checkpoint", str(copied), "--name", released.name, "--hub_dir", str(released.parent)]
    assert main(arguments) == 1
    assert "model.safetensors cannot be read" in capsys.readouterr().err
    assert digests(released) == before
    assert sorted(path.name for path in released.parent.iterdir()) == [released.name]


@pytest.mark.parametrize("length", [0, 4, 200])
def test_heavily_truncated_weights(copied: Path, tmp_path: Path, length: int) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:length])
    with pytest.raises(ReleaseError, match="truncated or damaged"):
        release(copied, "x", tmp_path / "models")


@pytest.mark.parametrize("missing", ["config.json", "processor_config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(copied: Path, tmp_path: Path, missing: str) -> None:
    (copied / missing).unlink()
    with pytest.raises(ReleaseError, match=missing):
        release(copied, "x", tmp_path / "models")


def test_pickled_weights_are_never_opened(copied: Path, tmp_path: Path) -> None:
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(ReleaseError, match=r"pytorch_model\.bin are never opened"):
        release(copied, "x", tmp_path / "models")


def test_broken_json_is_named(copied: Path, tmp_path: Path) -> None:
    (copied / "config.json").write_text("{")
    with pytest.raises(ReleaseError, match=r"config\.json is no JSON"):
        release(copied, "x", tmp_path / "models")


def test_weights_that_do_not_fit_are_refused(copied: Path, tmp_path: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    name = sorted(weights)[0]
    save_file({key: value for key, value in weights.items() if key != name}, copied / "model.safetensors")
    with pytest.raises(ReleaseError, match="missing_keys"):
        release(copied, "x", tmp_path / "models")


def test_values_that_half_precision_cannot_hold_are_refused(copied: Path, tmp_path: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    name = next(key for key, value in weights.items() if value.is_floating_point())
    weights[name] = weights[name].float() + 1e6
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ReleaseError, match="float16 cannot hold"):
        release(copied, "x", tmp_path / "models")


def test_results_that_cannot_be_read_are_named(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="nowhere"):
        release(checkpoint, "x", tmp_path / "models", ["nowhere.json"])


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b"])
def test_names_stay_inside_the_folder(checkpoint: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ReleaseError, match="name is"):
        release(checkpoint, name, tmp_path)


def test_the_published_folder_is_no_checkpoint(released: Path) -> None:
    with pytest.raises(ReleaseError, match="published folder itself"):
        release(released, released.name, released.parent)


def test_training_scripts_can_refuse_to_save_into_a_release(released: Path, checkpoint: Path) -> None:
    with pytest.raises(ReleaseError, match="link into the source"):
        refuse_release_folder(released)
    refuse_release_folder(checkpoint)


def test_truncated_and_pickled_weights_are_refused_when_loaded(released: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(released, tmp_path / "broken", symlinks=False))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    for load in (AutoModel.from_pretrained, lambda path: archbert.pipeline(model=str(path))):
        with pytest.raises(SafetensorError, match=r"^The weights of .*broken.* truncated or damaged"):
            load(folder)
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"model\.safetensors"):
        AutoModel.from_pretrained(folder)
    with pytest.raises(ValueError, match=r"never opened"):
        AutoModel.from_pretrained(folder, use_safetensors=False)


def test_the_command_line(checkpoint: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "archbert.release", "--checkpoint", str(checkpoint), "--name", "from-shell"]
    done = subprocess.run(
        [*command, "--hub_dir", str(tmp_path / "models")],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "linked code files" in done.stdout
    assert_published(tmp_path / "models" / "from-shell")
