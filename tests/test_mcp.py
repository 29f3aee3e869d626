"""`archbert mcp`, asked by the client of the package `mcp` over standard input and output."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from tiny_checkpoint import tiny_release
from transformers import BertConfig

from archbert import cli_mcp
from archbert.cli import main
from archbert.cli_output import CommandError
from archbert.embedding import Embedder
from archbert.index import ArchitectureIndex, Entry
from processing_archbert.sources_archbert import load_architecture

REPOSITORY = Path(__file__).parents[1]
BERT = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 300}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, two networks, an index of them, and a card."""
    path = tmp_path_factory.mktemp("mcp")
    tiny_release(path)
    configs = {f"bert{layers}": BertConfig(**BERT, num_hidden_layers=layers) for layers in (2, 3)}
    for name, config in configs.items():
        config.save_pretrained(path / name)
    graphs = [Entry(name, load_architecture(config), name) for name, config in configs.items()]
    ArchitectureIndex.build(graphs, Embedder(str(path / "tiny"))).save(path / "index")
    (path / "README.md").write_text("# bert\n\nIt has 7 layers and uses GELU.\n", encoding="utf-8")
    return path


async def _talk(folder: Path, asked: list[tuple[str, dict[str, Any]]]) -> tuple[list[Any], list[Any]]:
    """The tools that the server offers, and its answers."""
    environment = {**os.environ, "ARCHBERT_MODEL": str(folder / "tiny"), "ARCHBERT_INDEX": str(folder / "index"),
                   "PYTHONPATH": str(REPOSITORY)}  # fmt: skip
    server = StdioServerParameters(command=sys.executable, args=["-m", "archbert", "mcp"], env=environment)
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        offered = (await session.list_tools()).tools
        return offered, [await session.call_tool(name, arguments) for name, arguments in asked]


def test_the_client_of_the_package_calls_every_tool(folder: Path) -> None:
    two, three = str(folder / "bert2"), str(folder / "bert3")
    asked: list[tuple[str, dict[str, Any]]] = [
        ("describe", {"source": two}),
        ("ask", {"source": two, "questions": ["How many layers are there?", "Which optimizer was used?"]}),
        ("verify", {"source": two, "card": str(folder / "README.md")}),
        ("card", {"source": two}),
        ("compare", {"a": two, "b": three, "texts": ["a network with 3 layers"]}),
        ("diff", {"a": two, "b": three}),
        ("search", {"query": three, "k": 1}),
        ("describe", {"source": "no-such-network"}),
        ("search", {"query": "a network", "filter": "parameters~3"}),
        ("describe", {"source": "--help"}),
    ]
    offered, answers = anyio.run(_talk, folder, asked)
    assert {tool.name for tool in offered} == {name for name, _ in asked}
    assert all(tool.description and tool.inputSchema["properties"] for tool in offered)
    wrong = [answer.content[0].text for answer in answers if answer.isError]
    assert len(wrong) == 3 and not any("Traceback" in text for text in wrong)
    assert "no-such-network" in wrong[0] and "parameters~3" in wrong[1] and "--help" in wrong[2]
    found = [answer.structuredContent["result"] for answer in answers if not answer.isError]
    described, answered, verified, card, compared, changed, hits = found
    assert described[0]["numbers"]["layers"] == "2"
    assert [hit["name"] for hit in described[0]["nearest"]] == ["bert2", "bert3"]
    assert [one["basis"] for one in answered] == ["computed", "cannot_tell"]
    assert [one["verdict"] for one in verified] == ["wrong"]
    assert card[0]["section"].startswith("## Architecture")
    assert compared[0]["texts"][0]["b"] == {"basis": "computed", "holds": True}
    assert changed[0]["verdict"] == "changed"
    assert [hit["name"] for hit in hits] == ["bert3"]
    assert json.loads(answers[0].content[0].text)["source"] == two


def test_arguments_of_tools_are_no_options(folder: Path) -> None:
    with pytest.raises(CommandError, match=r"--draw=x\.svg"):
        cli_mcp.call("describe", ["--draw=x.svg"])
    assert not Path("x.svg").exists()
    with pytest.raises(CommandError, match="invalid int value: 'many'"):
        cli_mcp.call("search", ["text"], top_k="many")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server.fastmcp", None)
    assert main(["mcp"]) == 2
    assert "pip install 'archbert[mcp]'" in capsys.readouterr().err
