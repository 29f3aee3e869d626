"""The benchmark of what each task costs: its calls, its figures, and the page that shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import latency
from processing_archbert import trace

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def graphs() -> list[Any]:
    return [trace(torch.nn.Sequential(torch.nn.Linear(2, n), torch.nn.ReLU()), torch.zeros(1, 2)) for n in (3, 4, 5)]


def test_every_task_of_a_checkpoint_can_be_called_with_some_networks(
    graphs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "INDEXED", 50)
    calls = latency.Calls(str(ROOT / "hub" / "models" / "archbert-mini"), "cpu", "float32")
    tasks = calls.tasks()
    assert not any("caption" in name for name in tasks), "archbert-mini has no decoder"
    for name, call in tasks.items():
        assert len(call(graphs)) == 3, name
    alone = np.concatenate([calls.embed([graph], "eager") for graph in graphs])
    assert np.allclose(calls.embed(graphs), alone, atol=1e-5), "a batch and attention change the speed alone"
    found = latency.measure_round({name: tasks[name] for name in ("embedding", "clones (ACD)")}, graphs, "cpu")
    assert all(spent > 0 for ways in found.values() for spent in ways.values())
    assert set(latency.measure_whole(calls, graphs, "cpu")) == {"sdpa", "eager"}


def test_costs_are_medians_of_ratios_within_a_round() -> None:
    def one_round(unit: float, together: float) -> dict[str, dict[str, float]]:
        return {
            "embedding": {"alone": unit, "together": unit / 2},
            "asking": {"alone": 3 * unit, "together": together},
        }

    found = latency.summarize([one_round(1.0, 1.0), one_round(10.0, 30.0), one_round(2.0, 3.0)], {"sdpa": 1.0})
    assert found["tasks"]["asking"]["embeddings"] == pytest.approx(3.0)
    assert found["tasks"]["asking"]["times_cheaper"] == pytest.approx(2.0)
    assert found["whole zoo"]["embeddings"] == {"sdpa": 0.5}


def test_memory_is_what_a_call_takes_at_most() -> None:
    def call() -> None:
        torch.ones(60 * 2**20 // 4).sum()

    assert 55 < latency.peak_mib(call, "cpu") < 120
    assert latency.peak_mib(lambda: None, "cpu") < 20


def test_networks_of_a_round_have_all_sizes_and_differ_from_round_to_round() -> None:
    sizes = list(range(192))
    first, second = latency.drawn(sizes, 0), latency.drawn(sizes, 1)
    assert len(set(first)) == latency.MANY and max(np.diff(first)) <= 6 and first != second


def test_the_page_has_the_stored_figures(tmp_path: Path) -> None:
    stored = json.loads(latency.STORED.read_text())
    assert latency.table(stored) in (ROOT / "docs" / "pipelines.md").read_text()
    on_gpu = latency.table({**stored, "device": "cuda", "hardware": "a GPU"})
    assert "| milliseconds |" in on_gpu and "milliseconds each" in on_gpu
    page = tmp_path / "page.md"
    page.write_text(f"a\n{latency.BEGIN}\nold\n{latency.END}\nb\n")
    latency.write_table(page, stored)
    assert page.read_text() == f"a\n{latency.BEGIN}\n\n{latency.table(stored)}\n\n{latency.END}\nb\n"
    page.write_text("none")
    with pytest.raises(ValueError, match="has no lines"):
        latency.write_table(page, stored)
