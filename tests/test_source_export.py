"""`read_export`: a network gives the same graph through its exported program as when it is traced."""

from __future__ import annotations

import json
import os
import random
import sys
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.export import CASES, compare, exported
from processing_archbert import ArchitectureSourceError, GraphFacts, trace
from processing_archbert.source_export_archbert import read_export

sys.path.append(str(Path(__file__).parent / "fuzz"))

import fuzz_export

SAMPLE = ("residual", "functional", "recurrent", "written-attention", "transformer-encoder", "autonet-2", "llama")


@pytest.fixture(scope="module")
def program_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that holds the program of a small network."""
    path = tmp_path_factory.mktemp("export") / "small.pt2"
    path.write_bytes(fuzz_export.SEEDS()[0])
    return path


def changed(path: Path, folder: Path, change: Any) -> Path:
    """A copy of an archive whose program was changed."""
    program = fuzz_export.program_of(path.read_bytes())
    change(program)
    result = folder / "changed.pt2"
    result.write_bytes(fuzz_export.archive_of(program))
    return result


@pytest.mark.parametrize("name", SAMPLE)
def test_a_program_gives_the_traced_graph(name: str, tmp_path: Path) -> None:
    """Layers, shapes, attributes, parameters, edges and hash are those of the traced module."""
    module, inputs = CASES[name]()
    traced = trace(module.eval(), inputs)
    read = read_export(exported(module, inputs, tmp_path / "model.pt2"))
    assert compare(traced, read) == dict.fromkeys(compare(traced, traced), True)
    assert traced.is_isomorphic(read) and read.name == type(module).__name__


@pytest.mark.parametrize("name", ["residual", "written-attention", "transformer-encoder"])
def test_a_decomposed_program_gives_the_traced_graph(name: str, tmp_path: Path) -> None:
    """After `run_decompositions()` the calls of one module or function are still one node."""
    module, inputs = CASES[name]()
    read = read_export(exported(module, inputs, tmp_path / "model.pt2", decomposed=True))
    assert trace(module.eval(), inputs).graph_hash == read.graph_hash


def test_a_training_program_has_the_layers_of_evaluation(tmp_path: Path) -> None:
    """Dropout is contracted and batch statistics are no nodes."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU(), nn.Flatten())
    inputs = (torch.zeros(2, 3, 8, 8),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module.train(), inputs), tmp_path / "model.pt2")
    assert read_export(tmp_path / "model.pt2").graph_hash == trace(module.eval(), inputs).graph_hash


def test_parameters_are_counted_once(tmp_path: Path) -> None:
    """Tied weights count once, and weights that no call reads are unused."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head, self.idle = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False), nn.Linear(2, 3)
            self.head.weight = self.embed.weight

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.embed(ids))

    module = Tied().eval()
    graph = read_export(exported(module, (torch.zeros(1, 3, dtype=torch.long),), tmp_path / "model.pt2"))
    assert (graph.num_parameters, graph.unused_parameters) == (45, 9)
    assert graph.node_parameters.tolist() == [0, 36, 0, 0] and graph.incomplete == ("idle",)


def test_calls_without_module_or_function_are_named_by_their_op(program_path: Path, tmp_path: Path) -> None:
    """A program without metadata still shows its layers, as functions."""

    def strip(program: dict[str, Any]) -> None:
        for node in program["graph_module"]["graph"]["nodes"]:
            node["metadata"] = {}

    counts = GraphFacts(read_export(changed(program_path, tmp_path, strip))).layer_counts()
    assert counts["Conv2d"] == counts["BatchNorm2d"] == counts["ReLU"] == 1 and counts["Linear"] == 2


def test_only_the_program_is_read(program_path: Path, tmp_path: Path) -> None:
    """Weights and sample inputs may be missing or garbage, and nothing is unpickled."""
    broken = tmp_path / "broken.pt2"
    with zipfile.ZipFile(program_path) as source, zipfile.ZipFile(broken, "w") as target:
        for member in source.infolist():
            keep = member.filename.endswith(".json")
            target.writestr(member.filename, source.read(member) if keep else b"garbage")
    assert read_export(broken).graph_hash == read_export(program_path).graph_hash


def test_the_older_layout_is_read(program_path: Path, tmp_path: Path) -> None:
    """Earlier versions of torch kept the program in one file at the top."""
    old = tmp_path / "old.pt2"
    with zipfile.ZipFile(old, "w") as archive:
        archive.writestr(
            "serialized_exported_program.json", json.dumps(fuzz_export.program_of(program_path.read_bytes()))
        )
    assert read_export(old).graph_hash == read_export(program_path).graph_hash


def test_the_name_can_be_given(program_path: Path) -> None:
    """The graph is called what the caller says, and knows where it came from and which torch wrote it."""
    graph = read_export(program_path, name="mine")
    assert graph.name == "mine" and graph.source == str(program_path)
    assert graph.library_versions == {"torch": torch.__version__}


def test_higher_order_calls(tmp_path: Path) -> None:
    """A wrapped graph is followed; of a condition one branch is, and the graph says so."""

    class Choice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                x = self.layer(x)
            return torch.cond(x.sum() > 0, lambda y: y.sin(), lambda y: y.cos(), (x,))

    graph = read_export(exported(Choice(), (torch.zeros(2, 4),), tmp_path / "model.pt2"))
    assert graph.incomplete == ("cond",) and [op for op in graph.op_types if op in ("Linear", "sin")] == [
        "Linear",
        "sin",
    ]


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"\x80\x02}q\x00.", b"{}", b"PK\x03\x04" + bytes(100)])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    """A file that is no archive is refused by name."""
    path = tmp_path / "model.pt2"
    path.write_bytes(content)
    with pytest.raises(ArchitectureSourceError, match=r"model\.pt2"):
        read_export(path)
    with pytest.raises(ArchitectureSourceError, match="no regular file"):
        read_export(tmp_path)


@pytest.mark.parametrize("case", range(22))
def test_hostile_archives_are_refused_or_read(case: int, tmp_path: Path) -> None:
    """Bombs, escapes, encryption, deep and huge JSON raise the reader's error and nothing else."""
    path = tmp_path / "model.pt2"
    path.write_bytes(fuzz_export.HOSTILE()[case])
    try:
        fuzz_export.read(path)
    except ArchitectureSourceError as error:
        assert str(path) in str(error) and len(str(error)) < 1000


def test_a_damaged_archive_is_refused(program_path: Path, tmp_path: Path) -> None:
    """A flipped byte in the program fails its checksum; a cut archive has no end."""
    data = bytearray(program_path.read_bytes())
    data[data.find(b"graph_module")] ^= 1
    path = tmp_path / "model.pt2"
    for broken in (bytes(data), bytes(data[: len(data) // 2])):
        path.write_bytes(broken)
        with pytest.raises(ArchitectureSourceError, match=r"torch\.export\.save"):
            read_export(path)


def test_a_program_cannot_call_other_functions(program_path: Path, tmp_path: Path) -> None:
    """A call that torch would run with side effects is a node like any other; nothing is called."""
    marker = tmp_path / "made"

    def plant(program: dict[str, Any]) -> None:
        for node in program["graph_module"]["graph"]["nodes"]:
            if node["target"].startswith("torch.ops.aten.ones"):
                node["target"] = "torch.ops.aten.from_file.default"
                node["inputs"] = [
                    {"name": "filename", "arg": {"as_string": os.fspath(marker)}, "kind": 1},
                    {"name": "shared", "arg": {"as_bool": True}, "kind": 1},
                    {"name": "size", "arg": {"as_int": 16}, "kind": 1},
                ]

    read_export(changed(program_path, tmp_path, plant))
    assert not marker.exists()


def test_changed_programs_raise_the_readers_error_only(tmp_path: Path) -> None:
    """Two hundred programs with values replaced or taken out are read or refused."""
    rng, path = random.Random(0), tmp_path / "model.pt2"
    for case in range(200):
        path.write_bytes(fuzz_export.MUTATE(fuzz_export.SEEDS()[case % 4], rng))
        try:
            fuzz_export.read(path)
        except ArchitectureSourceError:
            continue


def test_reading_stops_at_the_time_limit(program_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that has passed is an ordinary error."""
    now = time.monotonic()
    ticks = iter(range(10**6))
    monkeypatch.setattr(time, "monotonic", lambda: now + 10 * next(ticks))
    with pytest.raises(ArchitectureSourceError, match="longer than"):
        read_export(program_path, max_seconds=1.0)
