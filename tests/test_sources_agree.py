"""One network through every kind of file: equal graphs, and the same batch and answers at the end."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from header_files import gguf_bytes, llama_gguf
from safetensors.torch import save_file
from tiny_checkpoint import tiny_release
from torch import nn
from transformers import BertConfig, BertModel, Pipeline

import archbert
from processing_archbert import (
    ArchBertProcessor,
    ArchitectureGraph,
    ArchitectureSourceError,
    ArchitectureTraceError,
    GraphFacts,
    load_architecture,
    processing_archbert,
)

QUESTION = "Which pooling is used?"
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
}


class Convolutional(nn.Module):
    """A residual network with dilated, depthwise and strided convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.MaxPool2d(2))
        self.depthwise, self.wide = (
            nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8),
            nn.Conv2d(8, 8, (1, 3), 1, (0, 1)),
        )
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.wide(self.depthwise(x)))
        return self.head(self.pool(x).flatten(1))


class Attentive(nn.Module):
    """A transformer of two layers over embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.encoder(self.embedding(ids))))


class Normalized(nn.Module):
    """A convolution whose norm an exporter folds into it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x))


IMAGE, IDS = torch.zeros(1, 3, 32, 32), torch.ones(1, 6, dtype=torch.int64)
NETWORKS: dict[str, tuple[type[nn.Module], torch.Tensor]] = {
    "convolutional": (Convolutional, IMAGE),
    "attentive": (Attentive, IDS),
    "normalized": (Normalized, IMAGE),
}


class Forms:
    """A network, its inputs, and the files that torch makes of it."""

    def __init__(self, name: str, folder: Path) -> None:
        make, self.inputs = NETWORKS[name]
        self.module = make().eval()
        for parameter in self.module.parameters():
            nn.init.normal_(parameter)
        self.files = {"onnx": folder / f"{name}.onnx", "pt2": folder / f"{name}.pt2"}
        logging.disable(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                self.module, (self.inputs,), str(self.files["onnx"]), dynamo=False, opset_version=17, verbose=False
            )
            torch.export.save(torch.export.export(self.module, (self.inputs,)), self.files["pt2"])
        logging.disable(logging.NOTSET)
        self.graphs = {
            "module": load_architecture(self.module, self.inputs),
            **{kind: load_architecture(path) for kind, path in self.files.items()},
        }


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Forms]:
    """Every network in every form; the files are read in a child process, as they are for users."""
    folder = tmp_path_factory.mktemp("forms")
    return {name: Forms(name, folder) for name in NETWORKS}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release(tmp_path_factory.mktemp("agree"))


@pytest.fixture(scope="module")
def pipe(release: Path) -> Pipeline:
    return archbert.pipeline(model=str(release), device="cpu")


@pytest.fixture(scope="module")
def processor(release: Path) -> ArchBertProcessor:
    return ArchBertProcessor.from_pretrained(release)


def shown(graph: ArchitectureGraph) -> list[Any]:
    """What a graph shows of each layer, in an order of its own."""
    layers = zip(graph.op_types, graph.shapes.tolist(), graph.attributes.tolist(), strict=True)
    return sorted(map(repr, layers))


@pytest.mark.parametrize("name", ["convolutional", "attentive"])
@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_equal_networks_agree(forms: dict[str, Forms], name: str, kind: str) -> None:
    graphs = forms[name].graphs
    traced, read = graphs["module"], graphs[kind]
    facts = [GraphFacts(graph) for graph in (traced, read)]
    assert facts[0].layer_counts() == facts[1].layer_counts()
    assert shown(read) == shown(traced)
    assert (read.num_parameters, read.unused_parameters) == (traced.num_parameters, traced.unused_parameters)
    assert (read.incomplete, read.has_data_flow) == (traced.incomplete, traced.has_data_flow)
    assert read.graph_hash == traced.graph_hash and read.is_isomorphic(traced)
    assert read.source == str(forms[name].files[kind])


def test_a_norm_that_the_exporter_folded_is_the_only_difference(forms: dict[str, Forms]) -> None:
    graphs = forms["normalized"].graphs
    assert graphs["pt2"].graph_hash == graphs["module"].graph_hash
    assert graphs["module"].op_types == ("input", "Conv2d", "BatchNorm2d", "output")
    assert graphs["onnx"].op_types == ("input", "Conv2d", "output")


def test_every_file_gives_the_batch_and_the_answers_of_its_network(
    forms: dict[str, Forms], processor: ArchBertProcessor, pipe: Pipeline
) -> None:
    form = forms["convolutional"]
    expected = processor(architectures=form.module, inputs=form.inputs)
    assert expected["node_ids"].shape[1] > 5
    answers = pipe({"architecture": form.module, "inputs": form.inputs, "question": QUESTION}, top_k=5)
    for path in form.files.values():
        batch = processor(architectures=path)
        assert all(torch.equal(batch[key], expected[key]) for key in ("node_ids", "node_shapes", "node_attributes"))
        given = pipe({"architecture": str(path), "question": QUESTION}, top_k=5)
        assert [a["answer"] for a in given] == [a["answer"] for a in answers]
        assert [a["score"] for a in given] == pytest.approx([a["score"] for a in answers], abs=1e-5)


def test_a_config_its_folder_its_weights_and_its_graph_agree(tmp_path: Path, processor: ArchBertProcessor) -> None:
    config = BertConfig(**SMALL, architectures=["BertModel"])
    config.save_pretrained(tmp_path)
    save_file(BertModel(config).state_dict(), tmp_path / "model.safetensors")
    graph = load_architecture(config)
    (tmp_path / "graph.json").write_text(graph.to_json())
    files = ["config.json", "model.safetensors", "graph.json", ""]
    batch = processor(architectures=[config, *(str(tmp_path / file) for file in files)])
    assert all(torch.equal(row, batch["node_ids"][0]) for row in batch["node_ids"])


def test_hints_for_one_architecture_and_for_all(
    tmp_path: Path, processor: ArchBertProcessor, pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def watched(source: Any, **hints: Any) -> ArchitectureGraph:
        seen.append(hints)
        return load_architecture(source, **hints)

    monkeypatch.setattr(processing_archbert, "load_architecture", watched)
    BertConfig(**SMALL).save_pretrained(tmp_path)
    head = load_architecture(BertConfig(**SMALL), task="fill-mask")
    described = {"source": tmp_path, "task": "fill-mask", "time_limit": 100.0, "isolate": False}
    expected = processor(architectures=head)["node_ids"]
    assert torch.equal(processor(architectures=described)["node_ids"], expected)
    assert seen[-1] == {"trust_remote_code": False, "task": "fill-mask", "time_limit": 100.0, "isolate": False}
    common = {"task": "fill-mask", "isolate": False}
    assert torch.equal(processor(architectures=[tmp_path], architecture_kwargs=common)["node_ids"], expected)
    base = {"source": tmp_path, "task": None}
    rows = processor(architectures=[tmp_path, base], architecture_kwargs=common)["node_mask"].sum(1)
    assert rows[0] != rows[1]

    item = {"architecture": described, "question": QUESTION}
    answers = pipe({"architecture": head, "question": QUESTION}, top_k=3)
    assert pipe(item, top_k=3) == answers
    plain = {"architecture": str(tmp_path), "question": QUESTION}
    assert pipe([plain], top_k=3, architecture_kwargs=common) == [answers]
    assert {hint: seen[-1][hint] for hint in common} == common
    assert pipe(plain, top_k=3, architecture_kwargs=None) != answers


def test_a_saved_graph_is_no_description(processor: ArchBertProcessor) -> None:
    graph = ArchitectureGraph.build(["input", "ReLU", "output"], [(0, 1), (1, 2)], source="somewhere")
    batch = processor(architectures=[graph, graph.to_dict(), graph.to_row(), {"source": graph, "name": "mine"}])
    assert batch["node_ids"].shape[0] == 4 and (batch["node_ids"] == batch["node_ids"][0]).all()


def test_hints_that_do_not_exist_or_do_not_fit_are_explained(
    tmp_path: Path, processor: ArchBertProcessor, pipe: Pipeline
) -> None:
    for arguments, message in (
        ({"architectures": {"source": "bert", "taks": "fill-mask"}}, "'taks' is no hint.*task.*time_limit"),
        ({"architectures": "bert", "architecture_kwargs": {"timeout": 3}}, "'timeout' is no hint"),
        (
            {"architectures": nn.ReLU(), "architecture_kwargs": {"task": "fill-mask"}},
            "task is given with an nn.Module",
        ),
    ):
        with pytest.raises(ArchitectureSourceError, match=message):
            processor(**arguments)
    with pytest.raises(ValueError, match="architecture_kwargs is str; a dictionary"):
        pipe({"architecture": "bert", "question": QUESTION}, architecture_kwargs="fill-mask")
    (tmp_path / "config.json").write_text('{"model_type": "bert", "num_hidden_layers": 10000000}')
    with pytest.raises(ArchitectureTraceError, match=r"^Reading .*time_limit=1 seconds"):
        processor(architectures={"source": tmp_path, "time_limit": 1})


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.pth", "model.ckpt", "model.pt2", "model.onnx"])
def test_what_torch_save_wrote_is_refused_with_the_way_out(
    tmp_path: Path, processor: ArchBertProcessor, name: str
) -> None:
    for old in (False, True):
        torch.save(nn.Linear(2, 2).state_dict(), tmp_path / name, _use_new_zipfile_serialization=not old)
        with pytest.raises(
            ArchitectureSourceError, match=r"could run any code.*never opened.*nn\.Module.*config\.json"
        ):
            processor(architectures=str(tmp_path / name))


def test_a_gguf_file_and_a_tree_reach_the_model(tmp_path: Path, pipe: Pipeline, processor: ArchBertProcessor) -> None:
    (tmp_path / "small.gguf").write_bytes(gguf_bytes(*llama_gguf()))
    save_file({"layer.weight": torch.zeros(4, 8)}, tmp_path / "weights.safetensors")
    batch = processor(architectures=[tmp_path / "small.gguf", tmp_path / "weights.safetensors"])
    assert batch["node_mask"].sum(1)[0] > batch["node_mask"].sum(1)[1]
    for name in ("small.gguf", "weights.safetensors"):
        assert pipe({"architecture": str(tmp_path / name), "question": QUESTION})
