"""The index of named networks: how it is built, gone on with and embedded anew; and the one in hub/index."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_checkpoint import tiny_release
from transformers import BertConfig

from archbert import known_index, known_networks
from archbert.cli import main
from archbert.cli_output import Output
from archbert.embedding import Embedder
from archbert.index import ArchitectureIndex, model_fingerprint
from archbert.known_networks import GraphStore, Known, known_names, trace_networks, variants
from processing_archbert.ops_archbert import EXTRACTION_VERSION

ROOT = Path(__file__).resolve().parents[1]
INDEX = ROOT / "hub" / "index"
SMALL = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 300}
CONFIG = {"model_type": "bert", **SMALL, "num_hidden_layers": 1}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint")
    tiny_release(path)
    return path / "tiny"


@pytest.fixture
def tvhf(tmp_path: Path) -> Path:
    """A data set with a variant, a model type under another name, and a network of torchvision."""
    rows = [
        {"name": "bert-small", "aliases": ["bert-little"], "source": "transformers", "config": json.dumps(CONFIG)},
        {"name": "other", "aliases": ["of-type"], "source": "transformers", "config": '{"model_type": "squeezed"}'},
        {"name": "alexnet", "aliases": [], "source": "torchvision", "config": ""},
    ]
    (tmp_path / "tvhf" / "architectures").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "tvhf" / "architectures" / "train.parquet")
    return tmp_path / "tvhf"


def test_names_of_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    names = known_names("transformers")
    assert len(names) > 500 and Known("bert", "transformers", "bert") in names
    with pytest.raises(ValueError, match="allowed are transformers, torchvision, timm"):
        known_names("keras")
    monkeypatch.setattr(known_networks, "find_spec", lambda name: None)
    assert known_names("timm") == []


def test_variants_have_their_configuration(tvhf: Path, tmp_path: Path) -> None:
    small, squeezed = variants(tvhf, tmp_path / "cache")
    assert (small.name, small.aliases, json.loads(small.config)) == ("bert-small", ("bert-little",), CONFIG)
    assert json.loads(Path(small.source).read_text(encoding="utf-8")) == CONFIG
    assert squeezed == Known("squeezed", "transformers", "squeezed", ("of-type",))


def test_an_index_is_traced_once_and_embedded_anew(
    checkpoint: Path, tvhf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two names of one architecture are one row; what cannot be traced is told; a second call traces nothing."""
    BertConfig(**SMALL, num_hidden_layers=2).save_pretrained(tmp_path / "two")
    BertConfig(**SMALL, num_hidden_layers=1).save_pretrained(tmp_path / "one")
    own = [Known("two", "transformers", str(tmp_path / "two")), Known("one", "transformers", str(tmp_path / "one")),
           Known("squeezed", "transformers", "squeezed")]  # fmt: skip
    monkeypatch.setattr(known_index, "known_names", lambda library: own)
    options = argparse.Namespace(
        out=tmp_path / "index", cache=tmp_path / "cache", tvhf=tvhf, zoo_python=None, no_trace=False, jobs=1,
        model=str(checkpoint),
    )  # fmt: skip
    said = io.StringIO()
    assert known_index.build(options, Output(stream=said, messages=io.StringIO())) == 0
    assert "2 architectures of 4 names" in said.getvalue()
    files = {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()}
    assert set(files) == {"README.md", "index.json", "architectures.parquet", "skipped.jsonl"}
    rows = ArchitectureIndex.load(tmp_path / "index").table.to_pylist()
    assert [(row["name"], row["aliases"]) for row in rows] == [("two", []), ("one", ["bert-small", "bert-little"])]
    assert rows[0]["library"].startswith("transformers ") and rows[0]["flops"] > 0
    assert rows[0]["caption"].startswith("two is an encoder-only transformer") and rows[0]["parameters"] > 0
    (skipped,) = map(json.loads, files["skipped.jsonl"].splitlines())
    assert skipped["source"] == "squeezed" and "is no model type" in skipped["reason"]
    card = files["README.md"].decode()
    assert "| transformers " in card and "2 network architectures under 4 names" in card

    def never(*arguments: Any) -> Any:
        raise AssertionError("nothing has to be traced")

    monkeypatch.setattr(known_networks, "load_all", lambda sources, *others: iter(map(never, sources)))
    monkeypatch.setattr(known_networks, "load", never)
    assert known_index.build(options, Output(stream=io.StringIO(), messages=io.StringIO())) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()} == files


def test_what_another_version_made_is_traced_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BertConfig(**SMALL, num_hidden_layers=1).save_pretrained(tmp_path / "one")
    store, networks = GraphStore(tmp_path), [Known("owner/one", "transformers", str(tmp_path / "one"))]
    output = Output(messages=io.StringIO())
    assert [name for name, _ in trace_networks(networks, store, output)] == ["owner/one"]
    assert store.missing(networks) == []
    monkeypatch.setattr(known_networks, "library_version", lambda library: f"{library} 99")
    assert store.missing(networks) == networks
    monkeypatch.undo()
    (file,) = store.folder.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert store.read("owner/one") is None and store.missing(networks) == networks


def test_the_index_of_this_repository_fits_its_checkpoint_and_code() -> None:
    """Where this fails, another checkpoint or extraction came: `make index`."""
    about = json.loads((INDEX / "index.json").read_text(encoding="utf-8"))
    assert about["extraction_version"] == EXTRACTION_VERSION
    assert about["model"] == model_fingerprint(Embedder(str(ROOT / "hub" / "models" / "archbert-mini")).model)
    index = ArchitectureIndex.load(INDEX)
    rows = index.table.select(["name", "aliases", "graph_hash", "caption"]).to_pylist()
    names = [name for row in rows for name in (row["name"], *row["aliases"])]
    assert len(names) >= 2000 and len({row["graph_hash"] for row in rows}) == len(rows) == about["rows"]
    assert all(row["caption"].startswith(row["name"]) for row in rows)
    assert {"bert", "timm:resnet50", "torchvision:resnet50", "llama"} <= set(names)
    assert sum(path.stat().st_size for path in INDEX.iterdir()) < 15e6


def test_the_index_of_this_repository_is_what_describe_uses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "bert", "--no-costs", "--json"]) == 0
    nearest = json.loads(capsys.readouterr().out)["nearest"]
    assert nearest[0]["name"] == "bert" and nearest[0]["score"] == pytest.approx(1, abs=1e-3) and len(nearest) == 3
