"""examples/run_embedding.py: two processes and one make the same index; an interrupted call goes on; bad input."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_checkpoint import tiny_release
from transformers import BertConfig

from archbert.cli_output import CommandError
from archbert.index import ArchitectureIndex
from processing_archbert.sources_archbert import load_architecture

REPOSITORY = Path(__file__).parents[1]
SCRIPT = REPOSITORY / "examples" / "run_embedding.py"
SMALL = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 300}
LAUNCH = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
          "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")  # fmt: skip


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_embedding", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["run_embedding"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, and two files with three and two row groups; one architecture is in both."""
    path = tmp_path_factory.mktemp("embedding")
    tiny_release(path)
    (path / "graphs").mkdir()
    for file, layers in (("a", (1, 2, 3)), ("b", (2, 4))):
        rows = [
            load_architecture(BertConfig(**SMALL, num_hidden_layers=n), name=f"{file}{n}").to_row() for n in layers
        ]
        pq.write_table(pa.Table.from_pylist(rows), path / "graphs" / f"{file}.parquet", row_group_size=1)
    return path


def embed(example: ModuleType, folder: Path, output: Path, **options: object) -> None:
    arguments = {"data": str(folder / "graphs"), "model": str(folder / "tiny"), "cpu": True} | options
    example.main(example.EmbeddingArguments(output_dir=str(output), **arguments))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_processes_and_one_make_the_same_index(example: ModuleType, folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [sys.executable, *LAUNCH, str(SCRIPT), "--data", str(folder / "graphs"), "--model", str(folder / "tiny"),
         "--output_dir", str(tmp_path / "two"), "--cpu"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("4 architectures of 5 rows") == 1
    embed(example, folder, tmp_path / "one")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    index = ArchitectureIndex.load(tmp_path / "two")
    rows = index.table.select(["name", "aliases"]).to_pylist()
    assert [(row["name"], row["aliases"]) for row in rows] == [("a1", []), ("a2", ["b2"]), ("a3", []), ("b4", [])]
    found = index.search(index.embeddings[3], k=1)
    assert found[0].name == "b4" and found[0].score == pytest.approx(1, abs=1e-5)


def test_what_is_embedded_is_not_embedded_again(
    example: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error at the third piece; the same call then embeds the missing three, and the bytes are the same."""
    embed(example, folder, tmp_path / "whole")
    embedded: list[str] = []
    build = ArchitectureIndex.build

    def counted(entries: object, *arguments: object) -> ArchitectureIndex:
        entries = list(entries)  # type: ignore[call-overload]
        if len(embedded) == 2:
            embedded.append("stopped")
            raise KeyboardInterrupt
        embedded.append(entries[0].name)
        return build(entries, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ArchitectureIndex, "build", counted)
    with pytest.raises(KeyboardInterrupt):
        embed(example, folder, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "index.json").exists()
    embed(example, folder, tmp_path / "stopped")
    assert embedded == ["a1", "a2", "stopped", "a3", "b2", "b4"]
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_other_files_and_other_checkpoints_are_refused(example: ModuleType, folder: Path, tmp_path: Path) -> None:
    embed(example, folder, tmp_path / "out")
    with pytest.raises(CommandError, match="pieces of other files"):
        embed(example, folder, tmp_path / "out", data=str(folder / "graphs" / "a.parquet"))
    about = tmp_path / "out" / "pieces" / "00000" / "index.json"
    about.write_text(about.read_text(encoding="utf-8").replace('"model": "', '"model": "0'), encoding="utf-8")
    with pytest.raises(CommandError, match="another checkpoint"):
        embed(example, folder, tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(CommandError, match="no Parquet file"):
        embed(example, folder, tmp_path / "out", data=str(tmp_path / "nothing"))
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "texts.parquet")
    with pytest.raises(CommandError, match="no column 'op_types'"):
        embed(example, folder, tmp_path / "out", data=str(tmp_path / "texts.parquet"))
    with pytest.raises(ValueError, match="batch_size is 0"):
        example.EmbeddingArguments(data="x", batch_size=0)
