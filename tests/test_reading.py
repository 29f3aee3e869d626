"""How training reads AutoNet: the same rows, graphs and blocks as from plain lists, kept on disk, and bad files."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import blocks
import reading
import stored
from dataset_scripts.autonet import parts_autonet
from dataset_scripts.autonet.generate_autonet import generate
from processing_archbert import ArchBertProcessor, ArchitectureGraph, GraphFacts

MINI = Path(__file__).resolve().parents[1] / "hub" / "models" / "archbert-mini"
TRAIN = 9


@pytest.fixture(scope="module")
def autonet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9 + 2 tiny architectures, the training ones in two files."""
    folder = tmp_path_factory.mktemp("autonet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_autonet, "BLOCK", 5)
        patch.setattr(parts_autonet, "SHARD", 5)
        patch.setattr(parts_autonet, "FIRST_GROUPS", ())
        generate(TRAIN, 2, 0, folder, size="tiny")
    return folder


@pytest.fixture(scope="module")
def processor() -> ArchBertProcessor:
    return ArchBertProcessor.from_pretrained(MINI)


def plain_rows(folder: Path, config: str) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob(f"{config}/train-*")) for row in pq.read_table(path).to_pylist()]


@pytest.mark.parametrize("config", ["aqa", "descriptions"])
def test_texts_are_joined_by_architecture(autonet: Path, config: str) -> None:
    expected: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in plain_rows(autonet, config):
        expected[row["arch_id"]].append(row)
    lists = [expected[f"train-{index:06d}"] for index in range(TRAIN)]
    if config == "descriptions":  # matched descriptions stand apart from the others of their architecture
        assert [row for rows in lists for row in rows] != plain_rows(autonet, config)
    split = reading.load_split(str(autonet), "train")
    texts = split.questions if config == "aqa" else split.descriptions
    assert texts is not None and list(texts) == lists
    assert list(texts[2:6]) == lists[2:6] and texts[2:6][1:][0] == lists[3]
    drawn = texts[2:].of([3, 0])
    assert drawn == [{name: row[name] for name in drawn[0]} for row in lists[5] + lists[2]]
    assert set(drawn[0]) < set(lists[0][0])
    with_graph = [{**row, "graph": index} for index, rows in enumerate(lists[2:6]) for row in rows]
    part = split.part(2, 6)
    assert (part.question_rows() if config == "aqa" else part.description_rows()) == with_graph


def test_fewer_architectures_have_their_rows_alone(autonet: Path) -> None:
    whole, limited = reading.load_split(str(autonet), "train"), reading.load_split(str(autonet), "train", limit=6)
    assert len(limited) == 6
    assert limited.question_rows() == whole.part(0, 6).question_rows()
    assert limited.description_rows() == whole.part(0, 6).description_rows()
    assert list(limited.texts()) == list(whole.part(0, 6).texts())


def test_facts_are_those_of_the_rows(autonet: Path) -> None:
    split = reading.load_split(str(autonet), "train")
    graphs = [ArchitectureGraph.from_row(row) for row in plain_rows(autonet, "architectures")]
    assert [facts.graph.to_json() for facts in split.facts] == [graph.to_json() for graph in graphs]
    assert split.part(4).facts[1] is split.facts[5]
    answers = split.part(3, 5).answers()
    assert len(answers) == 2
    for (question_type, subject), intent in reading.INTENTS.items():
        truth = GraphFacts(graphs[4]).answer(question_type, subject).value
        assert set(np.flatnonzero(answers[1, intent])) == {
            reading.ANSWER_IDS[a] for a in truth if a in reading.ANSWER_IDS
        }


def same(one: Any, other: Any) -> bool:
    """Whether two encodings are equal in every field and dtype."""
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            if a.dtype != b.dtype or not np.array_equal(a, b):
                return False
        elif a != b or type(a) is not type(b):
            return False
    return True


def test_kept_tokens_and_blocks_equal_those_in_memory(
    autonet: Path, processor: ArchBertProcessor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_blocks(split: reading.Split) -> list[dict[str, torch.Tensor]]:
        kinds: Sequence[dict[str, Any]] = (
            {"questions": 6, "descriptions": 4, "op_replacement": 0.5}, {"questions": 6}, {"descriptions": 6}
        )  # fmt: skip
        return [blocks.Blocks(split.part(1, 8), processor, graphs=3, seed=5, **k)(n) for k in kinds for n in range(4)]

    memory = reading.load_split(str(autonet), "train").encode(processor)
    expected = first_blocks(memory)
    made = reading.load_split(str(autonet), "train", cache_dir=tmp_path).encode(processor)
    made.answers()
    monkeypatch.setattr(type(processor.feature_extractor), "encode", None)
    monkeypatch.setattr(reading, "truth_table", None)
    kept = reading.load_split(str(autonet), "train", cache_dir=tmp_path).encode(processor)
    for split in (made, kept):
        assert all(same(one, other) for one, other in zip(split.encodings, memory.encodings, strict=True))
        assert split.part(2, 7).token_counts().tolist() == memory.part(2, 7).token_counts().tolist()
    for batch, other in zip(expected, first_blocks(kept), strict=True):
        assert list(batch) == list(other)
        assert all(torch.equal(batch[name].nan_to_num(), other[name].nan_to_num()) for name in batch)


def test_other_settings_and_other_data_are_kept_apart(
    autonet: Path, processor: ArchBertProcessor, tmp_path: Path
) -> None:
    def tokens(data: Path, fold: bool = True, limit: int | None = None) -> int:
        split = reading.load_split(str(data), "train", limit, tmp_path / "cache").encode(processor, fold)
        return int(split.token_counts().sum())

    folded = tokens(autonet)
    assert tokens(autonet, fold=False) > folded > tokens(autonet, limit=3)
    generate(2, 1, 7, tmp_path / "other", size="tiny")
    assert tokens(tmp_path / "other") != folded
    assert tokens(autonet) == folded
    assert len(list((tmp_path / "cache" / "graphs").iterdir())) == 4


def test_what_is_kept_is_whole(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stored.kept(tmp_path, ["a"], fails)
    assert list(tmp_path.iterdir()) == []

    def beaten(folder: Path) -> None:
        (folder / "second").write_text("")
        stored.kept(tmp_path, ["a"], lambda other: (other / "first").touch())

    assert [path.name for path in stored.kept(tmp_path, ["a"], beaten).iterdir()] == ["first"]
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match="no graph to encode"):
        stored.kept(tmp_path, ["b"], lambda folder: stored.StoredEncodings.write(folder, []))


def test_changed_code_makes_tokens_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stored.kept(tmp_path, ["a"], lambda folder: (folder / "x").touch())
    monkeypatch.setattr(stored, "code_version", lambda: "other")
    assert stored.kept(tmp_path, ["a"], lambda folder: (folder / "x").touch()) != first


# Bad files


@pytest.fixture
def copied(autonet: Path, tmp_path: Path) -> Path:
    return shutil.copytree(autonet, tmp_path / "copied")


@pytest.mark.parametrize("config", ["architectures", "aqa", "descriptions"])
@pytest.mark.parametrize("kept_bytes", [0, 100, -100])
def test_a_truncated_file_is_named(copied: Path, config: str, kept_bytes: int) -> None:
    path = copied / config / "train-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(ValueError, match=f"{config}/{path.name} is damaged .*; make the data anew"):
        reading.load_split(str(copied), "train")


@pytest.mark.parametrize("config", ["architectures", "aqa", "descriptions"])
def test_a_missing_config_is_named(copied: Path, config: str) -> None:
    shutil.rmtree(copied / config)
    with pytest.raises(FileNotFoundError, match=rf"no file {config}/train-\*\.parquet"):
        reading.load_split(str(copied), "train")


def test_an_unfinished_folder_is_refused(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        (copied / "README.md").unlink()
        generate(2, 1, 1, copied, size="tiny")
    with pytest.raises(FileNotFoundError, match="is not finished"):
        reading.load_split(str(copied), "train")


def test_default_data_are_made_once_and_finished_after_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataset_scripts.autonet import generate_autonet

    calls = []

    def make(num_train: int, num_validation: int, seed: int, folder: Path, num_proc: int) -> None:
        calls.append((num_train, num_validation, seed))
        folder.mkdir(exist_ok=True)
        (folder / "README.md").write_text("# AutoNet\n")
        if len(calls) > 1:
            (folder / "manifest.json").write_text(json.dumps({}))

    monkeypatch.setattr(generate_autonet, "generate", make)
    found = {reading.find_data(None, str(tmp_path), 3) for _ in range(3)}
    assert found == {str(tmp_path / "autonet-1000-3")}
    assert calls == [(1000, 100, 3)] * 2
    assert reading.find_data("mine", str(tmp_path), 3) == "mine"
