"""`reference.json`: the numbers that a published model must give, in every environment and with all later code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_checkpoint import tiny_release

from archbert.reference import QUESTIONS, REFERENCE, STATEMENTS, TOLERANCE, largest_difference, measure
from archbert.release import ReleaseError, refresh
from processing_archbert import ArchitectureGraph

MODELS = Path(__file__).resolve().parents[1] / "hub" / "models"
PUBLISHED = sorted(path.parent for path in MODELS.glob("*/config.json"))


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release(tmp_path_factory.mktemp("models"))


@pytest.fixture
def copied(released: Path) -> Path:
    target = released.parent / "copied"
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(released, target, symlinks=True))


def test_a_release_says_what_it_must_answer(released: Path) -> None:
    told = json.loads((released / REFERENCE).read_text())
    assert set(told["graphs"]) == set(told["logits"]) == {"convolutions", "attention", "recurrence"}
    labels = json.loads((released / "config.json").read_text())["id2label"]
    for name, graph in told["graphs"].items():
        assert ArchitectureGraph.from_dict(graph).num_parameters > 0
        assert torch.tensor(told["logits"][name]).shape == (len(QUESTIONS), len(labels))
        assert torch.tensor(told["reasoning"][name]).shape == (len(STATEMENTS),)
    assert len({json.dumps(rows) for rows in told["logits"].values()}) == 3, "networks are told apart"


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_published_models_give_the_stored_numbers(folder: Path) -> None:
    told = json.loads((folder / REFERENCE).read_text())
    assert largest_difference(told, measure(folder, told["graphs"])) <= TOLERANCE


def test_a_refresh_keeps_it_byte_for_byte(copied: Path) -> None:
    before = (copied / REFERENCE).read_bytes()
    refresh(copied.name, copied.parent)
    assert (copied / REFERENCE).read_bytes() == before


def test_a_refresh_refuses_what_gives_other_numbers(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    name = next(name for name in weights if name.endswith("embeddings.word_embeddings.weight"))
    weights[name] = weights[name] * 1.1
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ReleaseError, match=r"reference.json does not hold any more: .* release the checkpoint again"):
        refresh(copied.name, copied.parent)


def test_references_of_different_things_are_not_compared(released: Path) -> None:
    told = json.loads((released / REFERENCE).read_text())
    fewer = {**told, "logits": {"attention": told["logits"]["attention"]}}
    with pytest.raises(ValueError, match="logits: "):
        largest_difference(told, fewer)
    shorter = {**told, "reasoning": {name: values[:1] for name, values in told["reasoning"].items()}}
    with pytest.raises(ValueError, match=r"reasoning of .*\(3,\) in the reference, \(1,\) now"):
        largest_difference(told, shorter)
    moved = {**told, "similarity": {name: [v + 0.01 for v in values] for name, values in told["similarity"].items()}}
    assert largest_difference(told, moved) == pytest.approx(0.01, abs=1e-6)
