"""`clones` and Table 5 of TVHF: one network of a pair tells nothing; splits by library, and what they share."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from dataset_scripts.release.folder_release import DataFolderError
from dataset_scripts.tvhf.architectures_tvhf import Architecture, Traced, make_table, write_architectures
from dataset_scripts.tvhf.build_architectures import not_traced
from dataset_scripts.tvhf.clone_pairs_tvhf import BANDS, MAX_PAIRS, Pair, balanced_pairs, band
from dataset_scripts.tvhf.clones_tvhf import Clones, jaccard_similarity, make_clones, write_clones
from dataset_scripts.tvhf.clusters_tvhf import SPLITS
from dataset_scripts.tvhf.configs_tvhf import CLONES, PAPER_SPLITS, TABLE5_SPLITS, read_folder, table5_names
from dataset_scripts.tvhf.registry_tvhf import Registry, load_registry
from dataset_scripts.tvhf.relations_tvhf import LABELS, RELATIONS
from dataset_scripts.tvhf.table5_tvhf import PARTS, SETS, Leaks, read_table5, table5_splits
from dataset_scripts.tvhf.table5_tvhf import main as table5
from processing_archbert import ArchitectureGraph, trace

RELEASE = Path(__file__).resolve().parents[1] / "hub" / "datasets" / "tvhf"


def balance(pairs: list[Pair]) -> Counter[int]:
    """Network -> pairs of label 1 less pairs of label 0."""
    found: Counter[int] = Counter()
    for pair in pairs:
        for index in pair[:2]:
            found[index] += 1 if LABELS[pair.relation] else -1
    return found


def families_of(count: int, size: int) -> tuple[list[Pair], list[Pair]]:
    """Pairs inside of families, and between them."""
    every = [(i, j) for i in range(count * size) for j in range(i + 1, count * size)]
    alike = [Pair(i, j, "variant") for i, j in every if i // size == j // size]
    return alike, [Pair(i, j, ("same paradigm", "unrelated")[(i + j) % 2]) for i, j in every if i // size != j // size]


@pytest.mark.parametrize("seed", range(4))
def test_every_network_is_alike_as_often_as_not(seed: int) -> None:
    sizes = np.exp(np.random.default_rng(seed).uniform(0, 4, 60))
    bands = balanced_pairs(random.Random(seed), *families_of(10, 6), sizes, "same paradigm")
    assert len(bands) == len(BANDS) and sum(map(len, bands)) > 100
    for number, pairs in enumerate(bands):
        assert set(balance(pairs).values()) <= {0}
        assert all(band(pair, sizes) <= number for pair in pairs)
        assert len(set(pairs)) == len(pairs)
    uses = Counter(i for pairs in bands for pair in pairs if LABELS[pair.relation] for i in pair[:2])
    assert max(uses.values()) <= MAX_PAIRS


def test_pairs_without_partners_are_given_up() -> None:
    alike, others = families_of(2, 3)
    assert balanced_pairs(random.Random(0), alike, [], np.ones(6), "") == [[], [], []]
    lonely = [pair for pair in others if 0 not in pair[:2]]
    bands = balanced_pairs(random.Random(0), alike, lonely, np.ones(6), "")
    found = [pair for pairs in bands for pair in pairs]
    assert found and all(0 not in pair[:2] for pair in found) and not any(balance(found).values())


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


def small_graph(width: int, depth: int) -> ArchitectureGraph:
    layers = [nn.Linear(4, width), *(nn.Linear(width, width) for _ in range(depth)), nn.ReLU()]
    return trace(nn.Sequential(*layers).eval(), (torch.empty(1, 4, device="meta"),))


@pytest.fixture(scope="module")
def rows(registry: Registry) -> list[Architecture]:
    members = [member for member in registry.members.values() if member.source == "torchvision"][:60]
    items = [Traced(m, small_graph(8 + i, 1 + i % 9), "torchvision 1") for i, m in enumerate(members)]
    return make_table(items).architectures


@pytest.fixture(scope="module")
def clones(rows: list[Architecture], registry: Registry) -> Clones:
    similarity = np.random.default_rng(0).uniform(0, 1, (len(rows), len(rows)))
    return make_clones(rows, registry, (similarity + similarity.T) / 2)


def test_rows_of_clones(rows: list[Architecture], clones: Clones) -> None:
    side = {row.arch_id: row.split for row in rows}
    for split in SPLITS:
        for row in clones.rows[split]:
            assert side[row["arch_id_a"]] == side[row["arch_id_b"]] == row["split"] == split
            assert row["relation"] in RELATIONS and row["label"] == LABELS[row["relation"]]
        labels = [row["label"] for row in clones.rows[split] if row["relation"] != "identical"]
        assert labels.count(0) == labels.count(1)
    assert clones.rows["train"] and set(clones.rows) == {*SPLITS, *PAPER_SPLITS, *TABLE5_SPLITS}
    pairs = [(row["name_a"], row["name_b"]) for split in PAPER_SPLITS for row in clones.rows[split]]
    assert len(set(pairs)) == len(pairs)
    assert clones.rows["tv_train"] and not clones.rows["hf_train"]


def test_agreement_is_that_of_the_best_threshold(clones: Clones) -> None:
    for name, column in (("wl_similarity", "agrees_with_wl"), ("jaccard_similarity", "agrees_with_jaccard")):
        for row in (row for found in clones.rows.values() for row in found):
            right = (row[name] > clones.thresholds[name]) == (row["label"] == 1)
            assert row[column] == (right or row["label"] < 0)
    report = clones.report()
    train = [row for row in clones.rows["train"] if row["label"] >= 0]
    assert report["disagreements"]["train"]["wl_similarity"] == sum(not row["agrees_with_wl"] for row in train) > 0


def test_jaccard_counts_ops() -> None:
    def network(ops: list[str]) -> Architecture:
        return Architecture({}, {"op_types": ops})

    found = jaccard_similarity([network(["a", "a", "b"]), network(["a", "b", "b", "c"])])
    assert found[0, 1] == pytest.approx(2 / 5) and found[0, 0] == found[1, 1] == 1


def test_members_in_no_row_are_listed_with_the_reason(registry: Registry, rows: list[Architecture]) -> None:
    shown = {name for row in rows for name in (row.name, *row.aliases)}
    found = not_traced(registry, {"bert": "too large"}, rows)
    assert set(found["left_out"]) == registry.members.keys() - shown
    assert found["left_out"]["bert"]["reason"] == "too large"
    assert found["left_out"]["bert"]["where"].startswith("text_encoders.yaml:")
    assert found["left_out"]["dinat"]["reason"] == "needs natten"


def test_splits_of_table_5() -> None:
    assert table5_splits("tv", "train") == ("tv_train",)
    assert table5_splits("tvhf", "paper_validation") == ("tv_paper_validation", "hf_paper_validation")
    for library, part in (("timm", "train"), ("tv", "dev")):
        with pytest.raises(ValueError, match=f"no part '{part}' of '{library}'; there are .* of tv, hf, tvhf"):
            table5_splits(library, part)
    with pytest.raises(ValueError, match="'aqa' has no splits by library"):
        table5_names("aqa")


def test_what_two_libraries_share() -> None:
    records = [{"arch_id": f"a{i}", "family": f"f{i % 3}", "cluster": f"c{i % 3}"} for i in range(4)]
    similarity = np.eye(4)
    similarity[0, 3] = similarity[3, 0] = 0.95
    train = [{"arch_id": "a0", "text": "A.", "label": 1}, {"arch_id": "a1", "text": "B.", "label": 0}]
    given = [{"arch_id": "a3", "text": "A.", "label": 1}, {"arch_id": "a2", "text": "C.", "label": 0}]
    found = Leaks(records, similarity).between(train, given)
    assert found["shared"] == {"network": 0.0, "family": 50.0, "cluster": 50.0, "near_network": 50.0, "text": 50.0}
    assert (found["networks"], found["near_networks"], found["positive"]) == (2, 1, 50.0)


def test_a_missing_split_is_named(
    tmp_path: Path, rows: list[Architecture], clones: Clones, capsys: pytest.CaptureFixture[str]
) -> None:
    write_architectures(tmp_path, rows)
    write_clones(tmp_path, clones)
    (tmp_path / CLONES / "tv_test-00000-of-00001.parquet").unlink()
    with pytest.raises(DataFolderError, match="has no split 'tv_test'"):
        read_table5(read_folder(tmp_path), CLONES, "tv", "test")
    assert table5(["--data", str(tmp_path)]) == 1
    assert "has no split" in capsys.readouterr().err and not (tmp_path / "table5.json").exists()


def released(config: str, split: str, *columns: str) -> pa.Table:
    (path,) = (RELEASE / config).glob(f"{split}-*.parquet")
    return pq.read_table(path, columns=list(columns) or None)


@pytest.mark.parametrize("split", SPLITS)
def test_released_clones_are_balanced_for_every_network(split: str) -> None:
    for part in (lambda row: row["relation"] != "identical", lambda row: row["size_matched"]):
        found: Counter[str] = Counter()
        for row in filter(part, released(CLONES, split).to_pylist()):
            for key in ("arch_id_a", "arch_id_b"):
                found[row[key]] += {1: 1, 0: -1, -1: 0}[row["label"]]
        assert found and set(found.values()) == {0}


@pytest.mark.parametrize("config", [CLONES, "descriptions"])
def test_released_splits_of_one_library(config: str) -> None:
    data = read_folder(RELEASE)
    clusters = {row["arch_id"]: row["cluster"] for split in SPLITS
                for row in released("architectures", split, "arch_id", "cluster").to_pylist()}  # fmt: skip
    keys = ("arch_id",) if config == "descriptions" else ("arch_id_a", "arch_id_b")
    for form, parts in PARTS.items():
        for library in SETS:
            used = [{row[key] for row in read_table5(data, config, library, part) for key in keys} for part in parts]
            assert all(used)
            if library != "tvhf":
                assert {name[:3] for names in used for name in names} == {f"{library}-"}
            if form == "clusters":
                train, *others = ({clusters[name] for name in names} for names in used)
                assert not any(train & other for other in others)
    audit = json.loads((RELEASE / "table5.json").read_text())
    for a, row in audit[config]["clusters"].items():
        for b, found in row.items():
            assert set(found["shared"].values()) == {0.0}, (a, b)
    assert audit[config]["paper"]["tv"]["hf"]["shared"]["network"] == 0.0
    assert audit[config]["paper"]["hf"]["tv"]["near_networks"] > 0
