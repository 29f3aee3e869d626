"""Heads of transformers and models of several modalities: each is traced whole from its default configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import CONFIG_MAPPING

from benchmarks import coverage, coverage_heads
from processing_archbert import trace
from processing_archbert.dummy_inputs_modalities_archbert import added_inputs, alternative_inputs

SHARE_COMPLETE = 0.85
RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "coverage-heads.json"


@pytest.mark.parametrize(
    "name",
    [
        "AutoModelForMultipleChoice/bert",
        "AutoModelForQuestionAnswering/distilbert",
        "AutoModelForKeypointDetection/superpoint",
        "AutoModelForTimeSeriesPrediction/timesfm",
        "AutoModelForVideoClassification/timesformer",
        "AutoModelForObjectDetection/yolos",
        "AutoModelForSpeechSeq2Seq/speech_to_text",
        "AutoModelForAudioXVector/wavlm",
    ],
)
def test_heads_are_traced_whole(name: str) -> None:
    graph = coverage_heads.trace_head(name)
    assert coverage.is_connected(graph)
    assert not graph.incomplete
    assert graph.unused_parameters <= 0.001 * graph.num_parameters


def test_every_class_has_a_family() -> None:
    names = coverage_heads.head_names()
    assert {name.partition("/")[0] for name in names} == set(coverage_heads.head_classes())
    assert len({name.partition("/")[2] for name in names}) >= 40


def test_nearly_everything_in_the_stored_table_is_traced() -> None:
    result = json.loads(RESULTS.read_text(encoding="utf-8"))
    table, statuses = result["table"], result["statuses"]
    families = [(auto, family) for auto, row in table.items() for named in row.values() for family in named]
    assert {f"{auto}/{family}" for auto, family in families} <= set(coverage_heads.head_names())
    assert len(families) == len(set(families)) == result["pairs"] == sum(statuses.values())
    assert result["classes"] == len(table) == len(coverage_heads.head_classes()) and result["families"] >= 40
    possible = result["pairs"] - statuses["no instance"]
    assert statuses["complete"] + statuses["parts"] + statuses["incomplete"] >= 0.99 * possible
    assert statuses["complete"] + statuses["parts"] >= SHARE_COMPLETE * possible


@pytest.mark.parametrize("model_type", ["modernvbert", "qwen2_audio", "mllama", "minicpmv4_6"])
def test_a_missing_tower_gets_options_with_its_own_inputs(model_type: str) -> None:
    config = CONFIG_MAPPING[model_type]()
    names = ["input_ids", "pixel_values", "target_sizes", "input_features", "feature_attention_mask"]
    given = {"input_ids": torch.ones((1, 8), dtype=torch.long)}
    options = list(added_inputs(config, names, given))
    assert [any("pixel_values" in made for made in group) for group in options] == [True, False]
    assert all("input_ids" in made for group in options for made in group)
    assert "feature_attention_mask" in options[1][0]
    kinds = {next(iter(made)) for made in alternative_inputs(config, names)}
    assert {"pixel_values", "input_features"} <= kinds


def test_placeholders_stand_in_the_text_for_what_is_added() -> None:
    config = CONFIG_MAPPING["qwen2_vl"]()
    names = ["input_ids", "pixel_values", "image_grid_thw", "mm_token_type_ids"]
    given = {"input_ids": torch.ones((1, 8), dtype=torch.long)}
    made = next(iter(added_inputs(config, names, given)))[0]
    assert made["image_grid_thw"].shape == (1, 3)
    count = int((made["input_ids"] == config.image_token_id).sum())
    assert count == int(made["image_grid_thw"].prod()) // 4
    assert int((made["mm_token_type_ids"] == 1).sum()) == count


# Odd cases


class Block(nn.Module):
    """A Linear layer behind a test of a value or a device."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = torch.tensor(x.shape[1], device=x.device)
        position = torch.arange(length.item(), device="cpu").to(x.device)
        if position.tolist()[-1] == x.shape[1] - 1:
            return self.fc(x) + position[None, :, None]
        return x


class Compiled(Block):
    """The same, decorated to be compiled."""

    @torch.compile
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


class Checkpointed(Block):
    """The same, with its layer run through torch's checkpointing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.utils.checkpoint.checkpoint(super().forward, x, use_reentrant=False)


class Tied(Block):
    """Two layers that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 16, bias=False)
        self.head.weight = self.fc.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(super().forward(x))


@pytest.mark.parametrize("kind", [Block, Compiled, Checkpointed, Tied])
@pytest.mark.parametrize("prepare", [nn.Module.eval, nn.Module.half, nn.Module.train])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_values_of_sizes_devices_and_wrappers_of_forward(kind: type[nn.Module], prepare: Any, device: str) -> None:
    with torch.device(device):
        network = prepare(kind())
    graph = trace(network, torch.zeros(1, 8, 16, dtype=network.fc.weight.dtype))
    assert graph.op_types.count("Linear") == (2 if kind is Tied else 1)
    assert coverage.is_connected(graph)
    assert graph.unused_parameters == 0 and graph.num_parameters == 16 * 17


def test_the_fast_path_of_a_transformer_encoder_in_half_precision_shows_its_layers() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    graph = trace(nn.TransformerEncoder(layer, 2).eval().half(), torch.zeros(1, 8, 16, dtype=torch.half))
    assert graph.op_types.count("MultiheadAttention") == 2
    assert graph.unused_parameters == 0


def test_gradient_checkpointing_changes_nothing() -> None:
    from transformers import AutoModel

    config = CONFIG_MAPPING["distilbert"](n_layers=1, dim=16, n_heads=2, hidden_dim=32, vocab_size=50)
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    before = trace(model).graph_hash
    model.gradient_checkpointing_enable()
    assert trace(model.train()).graph_hash == before
