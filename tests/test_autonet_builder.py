"""AutoNet as generated files and as a `datasets` builder: same bytes, no duplicates, rows that build and read back."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest

from dataset_scripts.autonet import generate_autonet
from dataset_scripts.autonet.claims_autonet import claims_hold
from dataset_scripts.autonet.generate_autonet import SCHEMAS, SPLITS, Order, generate, sample_architecture
from dataset_scripts.autonet.networks_autonet import build_network
from dataset_scripts.autonet.script_autonet import write_script
from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.tracing_archbert import ArchitectureTraceError

FOLDER = Path(generate_autonet.__file__).parent
SIZES = {"train": 10, "validation": 5}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("autonet")
    generate(SIZES["train"], SIZES["validation"], seed=3, output_dir=folder, size="tiny")
    return folder


def read(folder: Path, config: str, split: str) -> list[dict]:
    return pq.read_table(folder / config / f"{split}-00000-of-00001.parquet").to_pylist()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_two_processes_write_the_same_bytes(built: Path, tmp_path: Path) -> None:
    generate(SIZES["train"], SIZES["validation"], seed=3, output_dir=tmp_path, num_proc=2, size="tiny")
    assert files(tmp_path) == files(built)
    assert len(files(built)) == 2 * len(SCHEMAS) + 1


def test_validation_does_not_depend_on_the_size_of_train(built: Path, tmp_path: Path) -> None:
    generate(2, SIZES["validation"], seed=3, output_dir=tmp_path, size="tiny")
    for config in SCHEMAS:
        assert read(tmp_path, config, "validation") == read(built, config, "validation")
    assert read(tmp_path, "architectures", "train") == read(built, "architectures", "train")[:2]


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
    drawn: list[Order] = []

    def collide(order: Order):
        drawn.append(order)
        return sample_architecture(dataclasses.replace(order, index=0) if order.attempt == 0 else order)

    monkeypatch.setattr(generate_autonet, "sample_architecture", collide)
    generate(2, 2, seed=3, output_dir=tmp_path, size="tiny")
    assert {(o.split, o.index) for o in drawn if o.attempt} == {("validation", 1), ("train", 1)}
    hashes = [row["graph_hash"] for split in SPLITS for row in read(tmp_path, "architectures", split)]
    assert len(set(hashes)) == 4


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
    def fails_once(order: Order) -> generate_autonet.Sample:
        if order.attempt == 0 and order.index == 0:
            raise ArchitectureTraceError("nothing is left to normalize")
        return sample_architecture(order)

    monkeypatch.setattr(generate_autonet, "sample_architecture", fails_once)
    generate(2, 1, 5, tmp_path, size="tiny")
    ids = pq.read_table(tmp_path / "architectures" / "train-00000-of-00001.parquet")["arch_id"].to_pylist()
    assert ids == ["train-000000", "train-000001"]

    def fails_always(order: Order) -> generate_autonet.Sample:
        raise ArchitectureTraceError("nothing is left to normalize")

    monkeypatch.setattr(generate_autonet, "sample_architecture", fails_always)
    with pytest.raises(ArchitectureTraceError, match="nothing is left to normalize"):
        generate(2, 1, 5, tmp_path / "none", size="tiny")


def test_the_builder_makes_each_config_from_one_generated_folder(tmp_path: Path) -> None:
    from dataset_scripts.autonet.autonet import AutoNet

    tables = {}
    for config in SCHEMAS:
        builder = AutoNet(config_name=config, num_train=3, num_validation=2, seed=1, cache_dir=str(tmp_path))
        builder.download_and_prepare()
        tables[config] = builder.as_dataset()
    assert len(list((tmp_path / "autonet-generated").iterdir())) == 1
    assert len(tables["aqa"]["train"]) == 3 * 35
    arch_ids = set(tables["architectures"]["validation"]["arch_id"])
    assert set(tables["descriptions"]["validation"]["arch_id"]) == arch_ids
    more = AutoNet(config_name=config, num_train=3, num_validation=2, seed=1, num_proc=2, cache_dir=str(tmp_path))
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


@pytest.mark.parametrize("wrong", [{"num_train": 0}, {"num_validation": -1}, {"num_proc": 0}])
def test_impossible_sizes_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    arguments = {"num_train": 1, "num_validation": 1, "seed": 0, "output_dir": tmp_path} | wrong
    with pytest.raises(ValueError, match=next(iter(wrong))):
        generate(**arguments)


def test_a_network_that_cannot_be_traced_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args, **kwargs):
        raise ArchitectureTraceError("no way")

    monkeypatch.setattr(generate_autonet, "trace", refuse)
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
