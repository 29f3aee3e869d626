"""Generated networks: reproducible specs, real trainable modules, traceable on meta, broad in what they have."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter

import pytest
import torch

from dataset_scripts.autonet.networks_autonet import STYLES, build_network, example_inputs, sample_network
from processing_archbert.tracing_archbert import trace


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


@pytest.mark.parametrize("style", STYLES)
def test_networks_of_every_style_train(style: str) -> None:
    for seed in range(3):
        spec = sample_network(seed, style, size="tiny")
        torch.manual_seed(seed)
        network = build_network(spec)
        inputs = example_inputs(spec)
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
        before = [parameter.detach().clone() for parameter in network.parameters()]
        for _ in range(2):
            outputs = network(*inputs)
            loss = sum(o.square().mean() for o in (outputs if isinstance(outputs, tuple) else (outputs,)))
            assert torch.isfinite(loss)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


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


def test_held_out_styles_are_drawn_only_by_name() -> None:
    held_out = {name for name, style in STYLES.items() if style.held_out}
    drawn = Counter(sample_network(seed)["style"] for seed in range(400))
    assert held_out and not held_out & set(drawn)
    assert set(drawn) == set(STYLES) - held_out


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


@pytest.mark.parametrize("wrong", [{"style": "nonsense"}, {"size": "huge"}])
def test_wrong_arguments_name_what_is_allowed(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="allowed are"):
        sample_network(0, **wrong)


def test_a_spec_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="format_version"):
        build_network({**sample_network(0), "format_version": 99})
