"""What the command line says where it cannot answer: one clear message, exit status 2, no traceback."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_checkpoint import tiny_release
from transformers import BertConfig

from archbert.cli import main
from archbert.embedding import Embedder
from archbert.index import ArchitectureIndex, Entry
from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.ops_archbert import ATTRIBUTES
from processing_archbert.sources_archbert import load_architecture

NODES = 200_000
BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 300,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a network and an index of it."""
    path = tmp_path_factory.mktemp("errors")
    tiny_release(path)
    BertConfig(**BERT).save_pretrained(path / "bert")
    entry = Entry("bert", load_architecture(BertConfig(**BERT)), "bert")
    ArchitectureIndex.build([entry], Embedder(str(path / "tiny"))).save(path / "index")
    return path


@pytest.fixture(scope="module")
def long_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved graph of 200,000 nodes."""
    ops = ("input", *("Linear", "GELU") * ((NODES - 2) // 2), "output")
    linear = np.array([op == "Linear" for op in ops])
    shapes = np.zeros((NODES, 4), np.int32)
    shapes[linear, :2] = 8
    parameters = np.where(linear, 72, 0).astype(np.int64)
    graph = ArchitectureGraph(
        op_types=ops, shapes=shapes, attributes=np.zeros((NODES, len(ATTRIBUTES)), np.int32),
        node_parameters=parameters, node_names=tuple(map(str, range(NODES))), name="long", source="test",
        edge_index=np.stack([np.arange(NODES - 1), np.arange(1, NODES)]).astype(np.int32),
        num_parameters=int(parameters.sum()), unused_parameters=0, incomplete=(), library_versions={},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("long") / "long.json"
    path.write_text(graph.to_json(), encoding="utf-8")
    return path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message of a command that fails, after checks that hold for every one."""
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert "Traceback" not in captured.err and captured.out == ""
    return captured.err


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As if a package were not installed."""
    imported = builtins.__import__

    def refusing(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return imported(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refusing)
    for loaded in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, loaded)


@pytest.mark.parametrize(
    ("source", "said"), [("bertt", "Did you mean 'bert'"), ("xlm_roberta", "Did you mean 'xlm-roberta'")]
)
@pytest.mark.parametrize("command", ["describe", "ask", "card"])
def test_an_unknown_name_suggests_the_nearest(
    command: str, source: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused([command, source, *(["How many layers?"] if command == "ask" else [])], capsys)


def test_a_missing_network_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told = refused(["describe", "some-owner/some-model-that-is-not-cached"], capsys)
    assert "the Hub cannot be reached" in told and "config.json" in told
    told = refused(["search", "a network", "--index", "some-owner/some-index-that-is-not-cached"], capsys)
    assert "cannot be fetched" in told and "archbert index build" in told


def test_a_missing_checkpoint_names_the_option(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(["search", "a network", "--index", str(folder / "index"), "--model", "owner/not-cached"], capsys)
    assert "--model" in told and "$ARCHBERT_MODEL" in told


@pytest.mark.parametrize("package", ["faiss", "datasets"])
def test_a_search_without_its_packages_says_what_to_install(
    package: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, package)
    arguments = ["search", "a network", "--index", str(folder / "index"), "--model", str(folder / "tiny")]
    told = refused([*arguments, "--by-embedding"], capsys)
    assert package in told and "pip install 'archbert[search]'" in told


def test_a_picture_without_graphviz_says_what_to_install(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "pygraphviz")
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = [
        "describe",
        str(folder / "bert"),
        "--draw",
        str(tmp_path / "bert.svg"),
        "--no-costs",
        "--nearest",
        "0",
    ]
    told = refused(arguments, capsys)
    assert "pip install pygraphviz" in told and not (tmp_path / "bert.svg").exists()


def test_a_library_that_is_missing_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "pip install timm" in refused(["describe", "timm:resnet50"], capsys)


def test_a_graph_of_200_000_nodes_is_described(
    long_graph: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["describe", str(long_graph), "--nearest", "0"]) == 0
    shown = capsys.readouterr()
    assert "200,000 nodes" in shown.out and shown.err == ""


def test_a_question_in_another_language_asks_for_english(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", str(folder / "bert"), "¿Cuántas capas hay?", "Wie viele Schichten hat es?", "有多少层?"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("cannot tell") == 3 and told.count("ask in English") == 3


def test_the_traceback_is_shown_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="parameters~3"):
        main(["search", "a network", "--filter", "parameters~3", "--debug"])
    assert "parameters~3" in refused(["search", "a network", "--filter", "parameters~3"], capsys)
    assert "-k is 0" in refused(["search", "a network", "-k", "0"], capsys)
    assert "No source is named" in refused(["index", "build", "-o", "somewhere"], capsys)
