"""Generated networks: reproducible specs, real trainable modules, traceable on meta, broad in what they have."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dataset_scripts.autonet.draft_autonet import Draft
from dataset_scripts.autonet.measure_repertoire import complaints, drawn_op_types, shares
from dataset_scripts.autonet.networks_autonet import (
    HELD_OUT_STYLES,
    SPLIT_STYLES,
    STYLES,
    TRAIN_STYLES,
    build_network,
    example_inputs,
    sample_network,
)
from dataset_scripts.autonet.repertoire_autonet import GRAPH_ENDS, REPERTOIRE
from processing_archbert.ops_archbert import OPS
from processing_archbert.tracing_archbert import trace

ROOT = Path(__file__).parents[1]


def _spec_digest(seeds: range) -> str:
    text = json.dumps([sample_network(seed) for seed in seeds])
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_seed_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib, json; from dataset_scripts.autonet.networks_autonet import sample_network as s;"
        "print(hashlib.sha256(json.dumps([s(i) for i in range(20)]).encode()).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert there == _spec_digest(range(20))
    assert _spec_digest(range(20)) != _spec_digest(range(1, 21))


def test_a_spec_survives_json() -> None:
    spec = sample_network(3)
    assert json.loads(json.dumps(spec)) == spec


def _losses(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...], steps: int) -> list[float]:
    """Losses of steps towards fixed random targets."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    targets: list[torch.Tensor] = []
    losses = []
    for _ in range(steps):
        outputs = network(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        targets = targets or [torch.randn_like(output) for output in outputs]
        loss = sum((a - b).square().mean() for a, b in zip(outputs, targets, strict=True))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("style", STYLES)
def test_a_stored_network_of_every_style_trains(style: str) -> None:
    row = {"network": json.dumps(sample_network(0, style, size="tiny"), sort_keys=True)}
    spec = json.loads(row["network"])
    torch.manual_seed(0)
    network, inputs = build_network(spec), example_inputs(spec)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    losses = _losses(network, inputs, 10)
    assert all(math.isfinite(loss) for loss in losses)
    assert sum(losses[-3:]) < sum(losses[:3])
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())
    moved = [name for name, parameter in network.named_parameters() if not torch.equal(before[name], parameter)]
    assert len(moved) >= 0.9 * len(before)


@pytest.mark.parametrize("style", STYLES)
def test_every_parameter_of_other_networks_has_a_gradient(style: str) -> None:
    for seed in range(1, 4):
        spec = sample_network(seed, style, size="tiny")
        torch.manual_seed(seed)
        network = build_network(spec)
        losses = _losses(network, example_inputs(spec), 1)
        assert math.isfinite(losses[0])
        assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("style", STYLES)
def test_networks_of_every_style_trace_on_meta(style: str) -> None:
    spec = sample_network(11, style)
    with torch.device("meta"):
        network, inputs = build_network(spec).eval(), example_inputs(spec)
    assert all(parameter.is_meta for parameter in network.parameters())
    graph = trace(network, inputs)
    unique = {id(parameter): parameter.numel() for parameter in network.parameters()}
    assert graph.num_parameters == sum(unique.values())
    assert not graph.incomplete
    assert 5 <= graph.num_nodes <= 2500
    with torch.device("meta"):
        again = trace(build_network(json.loads(json.dumps(spec))).eval(), example_inputs(spec))
    assert again.graph_hash == graph.graph_hash


def test_tracing_does_not_depend_on_the_device() -> None:
    spec = sample_network(5, "hybrid", size="tiny")
    on_cpu = trace(build_network(spec).eval(), example_inputs(spec))
    with torch.device("meta"):
        on_meta = trace(build_network(spec).eval(), example_inputs(spec))
    assert on_cpu.graph_hash == on_meta.graph_hash


def test_the_styles_of_the_test_split_are_not_in_training() -> None:
    assert not set(TRAIN_STYLES) & set(HELD_OUT_STYLES)
    assert set(TRAIN_STYLES) | set(HELD_OUT_STYLES) == set(STYLES)
    assert len(HELD_OUT_STYLES) >= 5
    drawn = {split: {sample_network(seed, split=split)["style"] for seed in range(400)} for split in SPLIT_STYLES}
    assert drawn["train"] == drawn["validation"] == set(TRAIN_STYLES)
    assert drawn["test"] == set(HELD_OUT_STYLES)


def test_a_named_style_is_drawn_for_any_split() -> None:
    assert sample_network(4, "vit", split="test") == sample_network(4, "vit")
    assert sample_network(4, "funnel", split="train") == sample_network(4, "funnel", split="test")


def test_networks_have_only_op_types_of_the_repertoire() -> None:
    assert len(REPERTOIRE) >= 85
    train, test = (shares(drawn_op_types(60, 3, split, "tiny")) for split in ("train", "test"))
    assert complaints(test, held_out=True) == []
    assert [line for line in complaints(train) if "not in the repertoire" in line] == []
    assert train["op_types_that_occur"] >= 60
    assert train["networks"] >= 50


def test_the_repertoire_has_categories_and_sources() -> None:
    for name, operation in REPERTOIRE.items():
        assert operation.category == OPS[name].category
        assert re.search(r"torch|arXiv \d{4}\.\d{4,5}|\b(19|20)\d\d\b", operation.source), name
    assert not set(GRAPH_ENDS) & set(REPERTOIRE)


def test_rare_and_unknown_op_types_are_complaints() -> None:
    result = shares([{"input", "Conv2d", "nonsense"}] * 3)
    wrong = "\n".join(complaints(result))
    assert "nonsense is not in the repertoire" in wrong and "Linear is in 0.00%" in wrong and "Conv2d" not in wrong
    assert complaints(result, held_out=True) == ["nonsense is not in the repertoire"]
    assert result["op_types"]["Conv2d"]["share"] == 1.0


def test_the_committed_shares_are_complete() -> None:
    results = json.loads((ROOT / "benchmarks" / "results" / "repertoire.json").read_text())
    assert complaints(results["train"]) == []
    assert results["train"]["networks"] >= 1000


def test_items_that_reach_no_output_are_dropped() -> None:
    draft = Draft(random.Random(0), tiny=True)
    draft.add("keep", {"a": 1}, to="left")
    draft.add("keep", {"a": 2}, to="right")
    draft.add("keep", {"a": 3}, take=["left"])
    draft.add("keep", {"a": 4}, take=["right"], to="unread")
    draft.prune()
    assert [item["args"]["a"] for item in draft.items] == [1, 3]


def test_choices_are_broad_and_independent() -> None:
    pairs = set()
    kernels = set()
    for seed in range(400):
        text = json.dumps(sample_network(seed, "plain_cnn" if seed % 2 else "vit"))
        spec = json.loads(text)
        for item in spec["items"]:
            args = item["args"]
            if item["block"] == "conv":
                pairs.add((args["norm"].partition(":")[0], args["act"].partition(":")[0]))
            if item["block"] == "patches":
                kernels.add(args["kernel"])
    norms, activations = {norm for norm, _ in pairs}, {act for _, act in pairs}
    assert "" in norms and len(norms) >= 6
    assert len(activations) >= 20
    assert len(pairs) >= 60
    assert set(range(4, 33)) <= kernels


@pytest.mark.parametrize("wrong", [{"style": "nonsense"}, {"size": "huge"}, {"split": "dev"}])
def test_wrong_arguments_name_what_is_allowed(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="allowed are"):
        sample_network(0, **wrong)


def test_a_spec_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="format_version"):
        build_network({**sample_network(0), "format_version": 99})
