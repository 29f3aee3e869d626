"""`clones` and Table 5 of TVHF: one network of a pair tells nothing; splits by library, and what they share."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from dataset_scripts.release.cluster_metrics_release import best_threshold
from dataset_scripts.release.folder_release import DataFolderError
from dataset_scripts.tvhf.architectures_tvhf import Architecture, Traced, make_table, write_architectures
from dataset_scripts.tvhf.build_architectures import not_traced
from dataset_scripts.tvhf.clone_pairs_tvhf import (
    MAX_PAIRS,
    MAX_SHARE,
    RATIOS,
    SIZE_MATCHED,
    SLACK,
    Pair,
    balanced_pairs,
    size_ratio,
)
from dataset_scripts.tvhf.clones_tvhf import Clones, jaccard_similarity, make_clones, write_clones
from dataset_scripts.tvhf.clusters_tvhf import SPLITS
from dataset_scripts.tvhf.configs_tvhf import CLONES, PAPER_SPLITS, TABLE5_SPLITS, read_folder, table5_names
from dataset_scripts.tvhf.floors_tvhf import MAX_ONE_SIDED, MIN_ROWS, ONE_SIDED, faults
from dataset_scripts.tvhf.name_likeness_tvhf import LIKENESS, is_unlike
from dataset_scripts.tvhf.pair_floors_tvhf import NAME_METHODS
from dataset_scripts.tvhf.registry_tvhf import Registry, load_registry
from dataset_scripts.tvhf.relations_tvhf import LABELS, RELATIONS
from dataset_scripts.tvhf.table5_tvhf import PARTS, SETS, Leaks, read_table5, table5_splits
from dataset_scripts.tvhf.table5_tvhf import main as table5
from processing_archbert import ArchitectureGraph, trace

FAMILIES = ("resnet", "resnext", "faster_rcnn", "mask_rcnn", "keypoint_rcnn", "r3d", "ssd", "mvit", "swin", "swin3d")
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


def mixed_names(count: int, seed: int) -> list[str]:
    """Names of brands that have nothing to do with families."""
    rng = random.Random(seed)
    return [f"{rng.choice(('alpha', 'bravo', 'kilo', 'sierra', 'tango'))}-{rng.randrange(90)}b" for _ in range(count)]


def uneven(names: list[tuple[str, str, int]]) -> float:
    """Greatest difference between the pairs of label 1 and of label 0 above a level of a measure of names."""
    return max(
        abs(sum((1 if label else -1) * (measure(a, b) >= level) for a, b, label in names))
        for measure, levels in LIKENESS.values()
        for level in levels
    )


@pytest.mark.parametrize("seed", range(3))
def test_every_network_is_alike_as_often_as_not_and_named_so(seed: int) -> None:
    sizes = np.exp(np.random.default_rng(seed).uniform(0, 4, 24))
    names = mixed_names(24, seed)
    alike, others = balanced_pairs(random.Random(seed), *families_of(6, 4), sizes, names, "same paradigm")
    assert len(alike) == len(others) > 10 and len({*alike, *others}) == 2 * len(alike)
    assert {pair.relation for pair in alike} == {"variant"} and "variant" not in {pair.relation for pair in others}
    assert set(balance([*alike, *others]).values()) == {0}
    assert max(Counter(i for pair in alike for i in pair[:2]).values()) <= MAX_PAIRS
    limit = MAX_SHARE * len(alike) + SLACK
    assert uneven([(names[p.first], names[p.second], LABELS[p.relation]) for p in [*alike, *others]]) <= limit
    for ratio in RATIOS:
        counts = [sum(size_ratio(pair, sizes) <= ratio for pair in pairs) for pairs in (alike, others)]
        assert abs(counts[0] - counts[1]) <= limit


def test_relatives_that_names_give_away_are_given_up() -> None:
    alike, others = families_of(8, 4)
    by_family = [f"{'abcdefgh'[i // 4] * 6}-{i % 4}" for i in range(32)]
    assert balanced_pairs(random.Random(0), alike, others, np.ones(32), by_family, "") == ([], [])
    free = balanced_pairs(random.Random(0), alike, others, np.ones(32), mixed_names(32, 0), "")
    assert len(free[0]) > 10


def test_pairs_without_partners_are_given_up() -> None:
    alike, others = families_of(4, 4)
    names = mixed_names(16, 1)
    assert balanced_pairs(random.Random(0), alike, [], np.ones(16), names, "") == ([], [])
    lonely = [pair for pair in others if 0 not in pair[:2]]
    found = [
        pair for pairs in balanced_pairs(random.Random(0), alike, lonely, np.ones(16), names, "") for pair in pairs
    ]
    assert found and all(0 not in pair[:2] for pair in found) and not any(balance(found).values())


def test_measures_of_names() -> None:
    found = {name: measure("qwen2-7b", "qwen2-72b") for name, (measure, _) in LIKENESS.items()}
    assert found == {"characters": pytest.approx(16 / 17), "prefix": 7, "edits": pytest.approx(8 / 9),
                     "words": pytest.approx(3 / 5), "start": 1}  # fmt: skip
    for measure, _ in LIKENESS.values():
        assert measure("gpt_neox", "pythia-70m") == measure("pythia-70m", "gpt_neox") < 0.5
        assert measure("same", "same") >= 1
    assert is_unlike("gpt_neox", "pythia-70m") and not is_unlike("funnel", "funnel-small")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


def small_graph(width: int, depth: int) -> ArchitectureGraph:
    layers = [nn.Linear(4, width), *(nn.Linear(width, width) for _ in range(depth)), nn.ReLU()]
    return trace(nn.Sequential(*layers).eval(), (torch.empty(1, 4, device="meta"),))


@pytest.fixture(scope="module")
def rows(registry: Registry) -> list[Architecture]:
    members = [m for m in registry.members.values() if m.source == "torchvision" and m.family in FAMILIES]
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
        for row in clones.rows[split]:
            assert row["relation"] != "identical" or is_unlike(row["name_a"], row["name_b"])
            assert row["size_matched"] == (row["size_ratio"] <= SIZE_MATCHED and row["relation"] != "identical")
    with_rows = {name for name, split, source in table5_names(CLONES)
                 if any(row["source"] == source and row["label"] >= 0 for row in clones.rows[split])}  # fmt: skip
    assert clones.rows["train"] and set(clones.rows) == {*SPLITS, *PAPER_SPLITS, *with_rows}
    pairs = [(row["name_a"], row["name_b"]) for split in PAPER_SPLITS for row in clones.rows[split]]
    assert len(set(pairs)) == len(pairs)
    assert with_rows <= {*TABLE5_SPLITS} and "tv_train" in with_rows and "hf_train" not in with_rows


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
    (tmp_path / CLONES / "tv_train-00000-of-00001.parquet").unlink()
    with pytest.raises(DataFolderError, match="has no split 'tv_train'"):
        read_table5(read_folder(tmp_path), CLONES, "tv", "train")
    assert table5(["--data", str(tmp_path)]) == 1
    assert "has no split" in capsys.readouterr().err and not (tmp_path / "table5.json").exists()


def released(config: str, split: str, *columns: str) -> pa.Table:
    (path,) = (RELEASE / config).glob(f"{split}-*.parquet")
    return pq.read_table(path, columns=list(columns) or None)


@pytest.mark.parametrize("split", SPLITS)
def test_released_clones_are_balanced_for_every_network(split: str) -> None:
    found: Counter[str] = Counter()
    for row in released(CLONES, split).to_pylist():
        if row["relation"] != "identical":
            for key in ("arch_id_a", "arch_id_b"):
                found[row[key]] += {1: 1, 0: -1, -1: 0}[row["label"]]
    assert found and set(found.values()) == {0}


def matthews_of(rows: list[dict[str, Any]], measure: Callable[[str, str], float], threshold: float) -> float:
    """Matthews correlation of a measure of names with the label."""
    taken = np.array([measure(row["name_a"], row["name_b"]) > threshold for row in rows], dtype=float)
    labels = np.array([row["label"] for row in rows], dtype=float)
    return float(np.corrcoef(taken, labels)[0, 1]) if 0 < taken.mean() < 1 else 0.0


@pytest.mark.parametrize("split", [*SPLITS, *(n for n, part, _ in table5_names(CLONES) if part not in PAPER_SPLITS)])
def test_released_clones_are_not_told_by_names(split: str) -> None:
    if not list((RELEASE / CLONES).glob(f"{split}-*.parquet")):
        assert split in ("tv_validation", "tv_test")
        return
    rows, chosen_on = ([row for row in released(CLONES, name).to_pylist() if row["label"] >= 0]
                       for name in (split, "validation"))  # fmt: skip
    alike = sum(row["label"] for row in rows)
    parts = 2 + alike // 200
    assert uneven([(r["name_a"], r["name_b"], r["label"]) for r in rows]) <= 0.2 * alike + SLACK * parts
    for measure, _ in LIKENESS.values():
        scores = np.array([measure(row["name_a"], row["name_b"]) for row in chosen_on])
        threshold = best_threshold(scores, np.array([row["label"] for row in chosen_on]))
        if len(rows) >= MIN_ROWS:
            assert matthews_of(rows, measure, threshold) <= MAX_ONE_SIDED


def test_floors_judge_the_names_of_clones() -> None:
    floors = json.loads((RELEASE.parents[2] / "benchmarks" / "results" / "tvhf_floors.json").read_text())
    assert floors["faults"] == [] and {*NAME_METHODS} <= {*ONE_SIDED[CLONES]} & {*floors[CLONES]["test"]["all"]}
    named = {"rows": MIN_ROWS, "MCC": 0.75, "MCC_95": [0.5, 0.9]}
    said = faults({CLONES: {"test": {"all": {NAME_METHODS[0]: named, NAME_METHODS[-1]: named}}}})
    assert len(said) == 2 and all(line.startswith("clones, test, all: ") for line in said)


@pytest.mark.parametrize("config", [CLONES, "descriptions"])
def test_released_splits_of_one_library(config: str) -> None:
    data = read_folder(RELEASE)
    clusters = {row["arch_id"]: row["cluster"] for split in SPLITS
                for row in released("architectures", split, "arch_id", "cluster").to_pylist()}  # fmt: skip
    keys = ("arch_id",) if config == "descriptions" else ("arch_id_a", "arch_id_b")
    for form, parts in PARTS.items():
        for library in SETS:
            there = [part for part in parts if {*table5_splits(library, part)} & {*data.splits[config]}]
            assert parts[0] in there and (there == [*parts] or (config, library, form) == (CLONES, "tv", "clusters"))
            used = [{row[key] for row in read_table5(data, config, library, part) for key in keys} for part in there]
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
