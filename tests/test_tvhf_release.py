"""TVHF as it is published: every config loads, splits are disjoint, labels are those of the truth matrix, files are
the frozen ones; and the floors and digests that a release is made with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from old_datasets import old_environment

from archbert.publish import dataset_uploads
from dataset_scripts.release.front_matter_release import read_card
from dataset_scripts.tvhf import release_tvhf
from dataset_scripts.tvhf.card_tvhf import MARKS
from dataset_scripts.tvhf.configs_tvhf import CELLS, CONFIGS, PAPER_SPLITS, SAMPLE, read_folder
from dataset_scripts.tvhf.frozen_tvhf import FROZEN, changes, frozen_digests
from dataset_scripts.tvhf.truth_tvhf import FALSE, TRUE, read_truth

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "hub" / "datasets" / "tvhf"
SIDES = ("train", "validation", "test", "test_new")
MATCHED = ("train", "validation", "test", *CELLS, "test_new")
LOAD = """
import datasets, json, sys
found = {"version": datasets.__version__, "configs": datasets.get_dataset_config_names(sys.argv[1])}
for config in found["configs"]:
    data = datasets.load_dataset(sys.argv[1], config)
    first = next(iter(data.values()))
    found[config] = {"rows": {split: len(data[split]) for split in data}, "columns": list(first.features)}
found["default"] = list(datasets.load_dataset(sys.argv[1])["train"].features)
print(json.dumps(found))
"""


@lru_cache(maxsize=32)
def rows(config: str, split: str, columns: tuple[str, ...] | None = None) -> list[dict]:
    paths = sorted((FOLDER / config).glob(f"{split}-*.parquet"))
    tables = [pq.read_table(path, columns=columns and list(columns)) for path in paths]
    return pa.concat_tables(tables).to_pylist()


def architectures() -> dict[str, list[dict]]:
    columns = ("arch_id", "cluster", "family", "graph_hash", "source", "modality")
    return {split: rows("architectures", split, columns) for split in SIDES}


@pytest.fixture(scope="module")
def truth() -> dict[tuple[str, str], int]:
    """(sentence, architecture) -> value of the matrix, by the order that the card promises."""
    names = sorted(row["arch_id"] for found in architectures().values() for row in found)
    table = rows("truth", "train")
    matrix = read_truth(table)
    assert matrix.shape == (len(table), len(names))
    return {
        (row["sentence_id"], name): int(value)
        for row, cells in zip(table, matrix, strict=True)
        for name, value in zip(names, cells, strict=True)
    }


@pytest.mark.parametrize("version", ["5", "3.6"])
def test_every_config_loads(tmp_path: Path, version: str) -> None:
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment = old_environment(environment) if version == "3.6" else environment
    done = subprocess.run([sys.executable, "-c", LOAD, str(FOLDER)], cwd=tmp_path, env=environment,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["version"].startswith(version) and set(found["configs"]) == {*CONFIGS, SAMPLE}
    listed = json.loads((FOLDER / "manifest.json").read_text())["files"]
    for config in found["configs"]:
        stored = {Path(path).name.split("-")[0]: file["rows"] for path, file in listed.items()
                  if path.split("/")[0] == config}  # fmt: skip
        assert found[config]["rows"] == stored
    assert {"arch_id", "text", "label", "negative_kind", "kind", "group", "author_kind"} <= set(found["default"])
    assert {"arch_id", "name", "source", "family", "cluster", "graph_hash", "op_types", "src"} <= set(
        found["architectures"]["columns"]
    )
    assert sum(found[SAMPLE]["rows"].values()) == 100


def test_the_data_are_as_large_as_the_paper_s() -> None:
    every = [row for found in architectures().values() for row in found]
    assert len({row["graph_hash"] for row in every}) == len(every) >= 538
    assert {row["source"] for row in every} == {"transformers", "torchvision"}
    positives = {
        (row["arch_id"], row["text"]) for split in PAPER_SPLITS for row in rows("descriptions", split) if row["label"]
    }
    assert len(positives) >= 2224
    assert len({row["text"] for row in rows("sentences", "train")}) >= 1200
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    assert size < 25_000_000


def test_sides_share_neither_clusters_nor_families_nor_graphs() -> None:
    sides = {split: found for split, found in architectures().items() if split != "test_new"}
    for column in ("cluster", "family", "graph_hash"):
        seen: dict[str, str] = {}
        for split, found in sides.items():
            for row in found:
                assert seen.setdefault(row[column], split) == split, (column, row[column])
    assert len({row["cluster"] for row in sides["test"]}) >= 40
    audit = json.loads((FOLDER / "leak_audit.json").read_text())
    assert audit["shared_clusters"] == audit["shared_graphs"] == 0
    counted = {split: found["architectures"] for split, found in audit["splits"].items()}
    assert counted == {split: len(found) for split, found in architectures().items()}


def test_cells_hold_the_sentences_and_architectures_that_they_promise() -> None:
    sentences = {row["sentence_id"]: row["split"] for row in rows("sentences", "train")}
    side = {row["arch_id"]: split for split, found in architectures().items() for row in found}
    promised = {
        "train": ("train", "train"), "validation": ("validation", "validation"), "test": ("test", "test"),
        "test_seen_sentence": ("train", "test"), "test_seen_architecture": ("test", "train"),
        "test_seen_both": ("train", "train"), "test_new": ("test", "test_new"),
    }  # fmt: skip
    for split, (of_sentence, of_architecture) in promised.items():
        for row in rows("descriptions", split):
            assert (sentences[row["sentence_id"]], side[row["arch_id"]]) == (of_sentence, of_architecture), row
    pairs = Counter((row["arch_id"], row["text"]) for split in MATCHED for row in rows("descriptions", split))
    assert max(pairs.values()) == 1
    texts = {split: {row["text"] for row in rows("descriptions", split)} for split in ("train", "validation", "test")}
    assert not texts["train"] & texts["test"] and not texts["train"] & texts["validation"]
    assert not texts["validation"] & texts["test"]


@pytest.mark.parametrize("split", MATCHED)
def test_groups_are_a_true_and_a_false_row_of_one_sentence(split: str) -> None:
    groups: dict[str, list[dict]] = defaultdict(list)
    for row in rows("descriptions", split):
        groups[row["group"]].append(row)
    assert groups
    for pair in groups.values():
        assert sorted(row["label"] for row in pair) == [0, 1]
        assert len({row["sentence_id"] for row in pair}) == 1 and len({row["arch_id"] for row in pair}) == 2
    assert {row["author_kind"] for row in rows("descriptions", split)} == {"machine-written"}
    if split in ("test", "test_seen_sentence", "test_new"):
        assert "origin" not in {row["kind"] for row in rows("descriptions", split)}


def test_labels_are_those_of_the_truth_matrix(truth: dict[tuple[str, str], int]) -> None:
    for split in (*MATCHED, *PAPER_SPLITS):
        for row in rows("descriptions", split):
            value = truth[row["sentence_id"], row["arch_id"]]
            if row["label"]:
                assert value == TRUE, row
            elif row["negative_kind"] == "matched":
                assert value == FALSE, row


def test_every_arch_id_is_an_architecture() -> None:
    known = {row["arch_id"] for found in architectures().values() for row in found}
    for config in ("aqa", "aqa_hard", "aqa_modern", "captions", SAMPLE):
        for split in SIDES:
            assert {row["arch_id"] for row in rows(config, split, ("arch_id",))} <= known
    for config in ("clones", "bimodal_clones"):
        for split in SIDES:
            found = rows(config, split, ("arch_id_a", "arch_id_b", "label"))
            assert {row[key] for row in found for key in ("arch_id_a", "arch_id_b")} <= known
            assert {0, 1} <= {row["label"] for row in found} <= {-1, 0, 1}


def test_files_are_the_frozen_ones_and_can_be_published(tmp_path: Path) -> None:
    frozen = json.loads((FOLDER / FROZEN).read_text())
    assert changes(frozen, frozen_digests(read_folder(FOLDER))) == []
    assert {"architectures/test-00000-of-00001.parquet", "descriptions/test-00000-of-00001.parquet"} <= set(frozen)
    main, script = dataset_uploads("tvhf", tmp_path / "none", ROOT / "hub", "archbert", tmp_path)
    assert main.repo_id == script.repo_id == "archbert/tvhf"
    assert {"README.md", "croissant.json"} <= set(main.files) and set(script.files) == {"README.md", "tvhf.py"}


def test_the_card_says_who_wrote_it_and_has_all_sections() -> None:
    front, body = read_card(FOLDER / "README.md")
    assert not [mark for mark in MARKS if f"<!-- {mark} -->" in body]
    assert "machine-written" in body and "Apache-2.0" in body and "on other data" in body
    default = [entry["config_name"] for entry in front["configs"] if entry.get("default")]
    assert default == ["descriptions"]
    for name in ("distributions", "libraries", "networks", "op_types", "graphs"):
        assert f"plots/{name}.png" in body and (FOLDER / "plots" / f"{name}.png").is_file()


def test_the_stored_floors_are_of_these_rows_and_without_a_fault() -> None:
    floors = json.loads((ROOT / release_tvhf.RESULTS).read_text())
    assert floors["faults"] == []
    for split in ("test", "test_seen_sentence", "test_new", "tv_test", "hf_test"):
        counted = sum(next(iter(part.values()))["rows"] for part in floors["descriptions"][split].values())
        assert counted == len(rows("descriptions", split)), split
    labelled = [row for row in rows("clones", "test", ("label",)) if row["label"] >= 0]
    assert floors["clones"]["test"]["all"]["always alike"]["rows"] == len(labelled)
    for config in ("aqa", "aqa_hard", "aqa_modern"):
        assert floors[config]["test"]["prior by type"]["rows"] == len(rows(config, "test", ("arch_id",)))


def test_changed_test_files_are_named_and_not_released(tmp_path: Path) -> None:
    build, out = tmp_path / "build", tmp_path / "out"
    for config in CONFIGS:
        shutil.copytree(FOLDER / config, build / config)
    path = build / "search" / "test-00000-of-00001.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    out.mkdir()
    shutil.copyfile(FOLDER / FROZEN, out / FROZEN)
    with pytest.raises(release_tvhf.ReleaseError, match=r"search/test-00000-of-00001.parquet: other rows"):
        release_tvhf.write_release(build, out, tmp_path / "floors.json")
    assert [item.name for item in out.iterdir()] == [FROZEN]


def test_a_task_that_one_side_decides_is_not_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "clones, test, all: one network alone has MCC 0.300 (0.2 to 0.4), 500 rows"
    monkeypatch.setattr(release_tvhf, "all_floors", lambda folder, **more: {"faults": [line]})
    out = tmp_path / "out"
    with pytest.raises(release_tvhf.ReleaseError, match=r"one network alone has MCC 0\.300"):
        release_tvhf.write_release(FOLDER, out, tmp_path / "floors.json")
    assert not out.exists()


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "search", tmp_path / "search")
    with pytest.raises(release_tvhf.ReleaseError, match="has no descriptions, architectures, clones"):
        release_tvhf.write_release(tmp_path, tmp_path / "out", tmp_path / "floors.json")


def test_changes_of_frozen_files() -> None:
    a, b = {"rows": 1, "rows_sha256": "x"}, {"rows": 2, "rows_sha256": "y"}
    assert changes({"p": a}, {"p": a}) == []
    assert changes({"p": a, "q": a}, {"p": b, "r": a}) == [
        "q: frozen, and not there now", "r: not frozen before", "p: other rows (1 frozen, 2 now)",
    ]  # fmt: skip
