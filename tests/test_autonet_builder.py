"""AutoNet as generated files and as a `datasets` builder: same bytes, no duplicates, rows that build and read back."""

from __future__ import annotations

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest

from dataset_scripts.autonet import generate_autonet, parts_autonet, samples_autonet
from dataset_scripts.autonet.claims_autonet import claims_hold
from dataset_scripts.autonet.generate_autonet import SCHEMAS, SPLITS, Order, generate, sample_architecture
from dataset_scripts.autonet.networks_autonet import STYLES, build_network
from dataset_scripts.autonet.parts_autonet import matched_groups
from dataset_scripts.autonet.samples_autonet import draw, draw_network, is_of_split
from dataset_scripts.autonet.script_autonet import write_script
from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.tracing_archbert import ArchitectureTraceError

FOLDER = Path(generate_autonet.__file__).parent
SIZES = {"train": 12, "validation": 5, "test": 5}
DRAWN = cache(draw)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("autonet")
    make(folder)
    return folder


def make(folder: Path, **changes: Any) -> None:
    """`generate` with the usual arguments."""
    sizes = {f"num_{split}": count for split, count in SIZES.items()}
    generate(**{**sizes, "seed": 3, "output_dir": folder, "size": "tiny", **changes})


def read(folder: Path, config: str, split: str) -> list[dict]:
    paths = sorted((folder / config).glob(f"{split}-*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 5 architectures and files of 10; what was drawn once is kept."""
    monkeypatch.setattr(parts_autonet, "BLOCK", 5)
    monkeypatch.setattr(parts_autonet, "SHARD", 10)
    monkeypatch.setattr(parts_autonet, "FIRST_GROUPS", ())
    monkeypatch.setattr(generate_autonet, "draw", DRAWN)


def test_two_processes_write_the_same_bytes(built: Path, tmp_path: Path) -> None:
    make(tmp_path, num_proc=2)
    assert files(tmp_path) == files(built)
    assert len([name for name in files(built) if name.endswith(".parquet")]) == 3 * len(SCHEMAS)


def test_parts_that_are_made_side_by_side_give_the_same_bytes(
    tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "one")
    monkeypatch.setattr(generate_autonet, "_executor", lambda num_proc: ThreadPoolExecutor(num_proc))
    make(tmp_path / "three", num_proc=3)
    assert files(tmp_path / "three") == files(tmp_path / "one")
    names = {path.name for path in (tmp_path / "one" / "aqa").iterdir()}
    assert {"train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test-00000-of-00001.parquet"} <= names
    path = tmp_path / "one" / "architectures" / "train-00000-of-00002.parquet"
    assert [pq.ParquetFile(path).metadata.row_group(i).num_rows for i in range(2)] == [5, 5]


@pytest.mark.parametrize("count", [1, 7, 10])
def test_a_smaller_build_has_the_first_rows(tmp_path: Path, small_parts: None, count: int) -> None:
    make(tmp_path / "large")
    make(tmp_path / "small", num_train=count, num_validation=2, num_test=0)
    for config in SCHEMAS:
        for split, number in (("train", count), ("validation", 2)):
            large, small = read(tmp_path / "large", config, split), read(tmp_path / "small", config, split)
            assert small == large[: len(small)]
            assert {row["arch_id"] for row in small} == {f"{split}-{i:06d}" for i in range(number)}
            counted = Counter(row["arch_id"] for row in large if config != "descriptions" or not row["group"])
            found = Counter(row["arch_id"] for row in small if config != "descriptions" or not row["group"])
            assert all(counted[arch_id] == rows for arch_id, rows in found.items())
        assert not read(tmp_path / "small", config, "test")
    first = "aqa/train-00000-of-0000{}.parquet"
    same = (tmp_path / "large" / first.format(2)).read_bytes() == (tmp_path / "small" / first.format(1)).read_bytes()
    assert same is (count == 10)  # a file that is complete


def test_groups_of_matched_descriptions_do_not_depend_on_the_size() -> None:
    assert matched_groups(0, 100) == [(0, 5), (5, 10), (10, 20), (20, 50), (50, 100)]
    assert matched_groups(0, 30) == [(0, 5), (5, 10), (10, 20)]
    assert matched_groups(300, 400) == [(300, 400)]
    assert matched_groups(300, 399) == []


def test_test_architectures_are_of_styles_that_training_has_not(built: Path) -> None:
    styles = {split: {row["style"] for row in read(built, "architectures", split)} for split in SPLITS}
    assert styles["test"] and all(STYLES[style].held_out for style in styles["test"])
    assert not any(STYLES[style].held_out for style in styles["train"] | styles["validation"])


def test_a_hash_belongs_to_one_side(built: Path) -> None:
    for split in SPLITS:
        for row in read(built, "architectures", split):
            assert is_of_split(row["graph_hash"], split)
            assert is_of_split(row["graph_hash"], "train") is not is_of_split(row["graph_hash"], "validation")
    shares = [is_of_split(f"v1:{number * 0x9E3779B97F4A7C15 % 2**64:032x}", "train") for number in range(1000)]
    assert 750 < sum(shares) < 850


def test_the_two_sets_of_the_paper_take_turns(built: Path) -> None:
    subsets = [row["subset"] for row in read(built, "architectures", "train")]
    assert subsets == ["autonet", "autonet-aqa"] * 6


def test_a_finished_folder_is_left_as_it_is(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_autonet, "draw", None)
    before = files(built)
    make(built)
    assert files(built) == before


def test_rows_build_the_network_and_the_graph(built: Path) -> None:
    for split in SPLITS:
        rows = read(built, "architectures", split)
        assert [row["arch_id"] for row in rows] == [f"{split}-{i:06d}" for i in range(SIZES[split])]
        for row in rows:
            graph = ArchitectureGraph.from_row(row)
            network = build_network(json.loads(row["network"]))
            assert graph.graph_hash == row["graph_hash"] and not graph.incomplete
            assert sum(p.numel() for p in network.parameters()) == graph.num_parameters


def test_no_graph_occurs_twice(built: Path) -> None:
    hashes = [row["graph_hash"] for split in SPLITS for row in read(built, "architectures", split)]
    assert len(set(hashes)) == len(hashes)


def test_duplicates_are_drawn_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = {split: draw(Order(3, split, 0, size="tiny"))[0] for split in ("train", "validation")}
    drawn: list[Order] = []

    def collide(order: Order) -> samples_autonet.DrawnNetwork:
        drawn.append(order)
        return draw_network(first[order.split] if order.attempt <= first[order.split].attempt else order)

    monkeypatch.setattr(samples_autonet, "draw_network", collide)
    make(tmp_path, num_train=3, num_validation=2, num_test=0)
    rows = [row for split in SPLITS for row in read(tmp_path, "architectures", split)]
    assert len({row["graph_hash"] for row in rows}) == len(rows) == 5
    for split, order in first.items():
        assert read(tmp_path, "architectures", split)[0]["graph_hash"] == draw_network(order).graph.graph_hash
        assert max(o.attempt for o in drawn if o.split == split and o.index == 1) > order.attempt


def test_a_style_without_enough_networks_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    order = draw(Order(3, "train", 0, size="tiny"))[0]
    only = draw_network(order)
    monkeypatch.setattr(samples_autonet, "draw_network", lambda order: only)
    monkeypatch.setattr(samples_autonet, "MAX_ATTEMPTS", 20)
    with pytest.raises(ValueError, match=r"validation-000000: 20 networks .* ask for fewer"):
        make(tmp_path, num_test=0)


def test_labels_and_answers_are_the_facts_of_the_row(built: Path) -> None:
    for split in SPLITS:
        graphs = {r["arch_id"]: ArchitectureGraph.from_row(r) for r in read(built, "architectures", split)}
        facts = {arch_id: GraphFacts(graph) for arch_id, graph in graphs.items()}
        questions = read(built, "aqa", split)
        assert set(Counter(row["arch_id"] for row in questions).values()) == {35}
        for row in questions:
            assert tuple(row["answers"]) == facts[row["arch_id"]].answer(row["question_type"], row["subject"]).value
        for row in read(built, "descriptions", split):
            assert claims_hold(facts[row["arch_id"]], json.loads(row["claims"])) is bool(row["label"])


def test_matched_groups_are_pairs_over_two_architectures(built: Path) -> None:
    for split in SPLITS:
        groups: dict[str, list[dict]] = {}
        for row in read(built, "descriptions", split):
            if row["group"]:
                groups.setdefault(row["group"], []).append(row)
        assert groups
        for pair in groups.values():
            assert sorted(row["label"] for row in pair) == [0, 1] and len({row["text"] for row in pair}) == 1
            assert len({row["arch_id"] for row in pair}) == 2
            assert {row["negative_kind"] for row in pair} == {"", "matched"}


@pytest.mark.parametrize("config", list(SCHEMAS))
def test_the_folder_loads_as_a_dataset(built: Path, tmp_path: Path, config: str) -> None:
    data = datasets.load_dataset(str(built), config, cache_dir=str(tmp_path))
    assert {split: len(data[split]) for split in data} == {s: len(read(built, config, s)) for s in SPLITS}
    assert data["train"][0] == read(built, config, "train")[0]
    assert datasets.get_dataset_config_names(str(built)) == list(SCHEMAS)


def test_a_network_that_cannot_run_is_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_once(order: Order) -> samples_autonet.DrawnNetwork:
        if order.attempt == 0:
            raise ArchitectureTraceError("nothing is left to normalize")
        return draw_network(order)

    monkeypatch.setattr(samples_autonet, "draw_network", fails_once)
    make(tmp_path, num_train=2, num_validation=1, num_test=0)
    assert [row["arch_id"] for row in read(tmp_path, "architectures", "train")] == ["train-000000", "train-000001"]

    def fails_always(order: Order) -> samples_autonet.DrawnNetwork:
        raise ArchitectureTraceError("nothing is left to normalize")

    monkeypatch.setattr(samples_autonet, "draw_network", fails_always)
    with pytest.raises(ArchitectureTraceError, match="nothing is left to normalize"):
        make(tmp_path / "none", num_train=2, num_validation=1)


def test_the_builder_makes_each_config_from_one_generated_folder(tmp_path: Path) -> None:
    from dataset_scripts.autonet.autonet import AutoNet

    tables = {}
    for config in SCHEMAS:
        sizes = {"num_train": 3, "num_validation": 2, "num_test": 1, "seed": 1, "cache_dir": str(tmp_path)}
        builder = AutoNet(config_name=config, **sizes)
        builder.download_and_prepare()
        tables[config] = builder.as_dataset()
    assert len(list((tmp_path / "autonet-generated").iterdir())) == 1
    assert len(tables["aqa"]["train"]) == 3 * 35
    arch_ids = set(tables["architectures"]["validation"]["arch_id"])
    assert set(tables["descriptions"]["validation"]["arch_id"]) == arch_ids
    assert set(tables["aqa"]) == set(SPLITS)
    more = AutoNet(config_name=config, num_proc=2, **sizes)
    assert more.cache_dir == builder.cache_dir


def test_the_script_imports_every_module_that_it_needs() -> None:
    imported = {path.stem: set(_relative_imports(path)) for path in FOLDER.glob("*.py")}
    needed, waiting = set(), ["generate_autonet"]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += imported[name]
    assert needed <= imported["autonet"]


def _relative_imports(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    names = re.findall(r"^from \.(\w+) import", text, flags=re.MULTILINE)
    for group in re.findall(r"^from \. import ([\w ,]+)", text, flags=re.MULTILINE):
        names += [part.split(" as ")[0].strip() for part in group.split(",")]
    return names


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_train": 0}, {"num_validation": -1}, {"num_test": -1}, {"num_proc": 0}, {"seed": -1}, {"seed": 1.5},
        {"seed": True}, {"num_train": "9"}, {"size": "huge"}, {"style": "resnet"},
    ],
)  # fmt: skip
def test_impossible_arguments_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=re.escape(f"{name} is {value!r}")):
        make(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


def test_a_network_that_cannot_be_traced_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args, **kwargs):
        raise ArchitectureTraceError("no way")

    monkeypatch.setattr(samples_autonet, "trace", refuse)
    with pytest.raises(ArchitectureTraceError, match=r"split='train', index=0.*no way"):
        sample_architecture(Order(0, "train", 0, size="tiny"))


def test_the_published_script_is_flat_and_needs_no_package(tmp_path: Path) -> None:
    names = write_script(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names) >= {"autonet.py", "README.md"}
    for path in tmp_path.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import) processing_archbert", text, flags=re.MULTILINE), path.name
        assert all((tmp_path / f"{name}.py").exists() for name in _relative_imports(path)), path.name
    assert {f"{name}.py" for name in _relative_imports(tmp_path / "autonet.py")} == {
        path.name for path in tmp_path.glob("*.py") if path.name != "autonet.py"
    }
