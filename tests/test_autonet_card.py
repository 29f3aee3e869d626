"""The card of AutoNet and what stands beside it: figures, floors, sample, plots, Croissant, made from a build."""

from __future__ import annotations

import json
import re
import shutil
import statistics
from collections import Counter
from pathlib import Path

import mlcroissant
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from autonet_build import SAMPLE_SIZE, SIZES, small_build, small_release
from PIL import Image

from dataset_scripts.autonet.card_autonet import CONFIGS, PAPER_ROWS, Figures, table_one
from dataset_scripts.autonet.floors_autonet import question_floors, statement_floors
from dataset_scripts.autonet.plots_autonet import PICTURES
from dataset_scripts.autonet.release_autonet import DESCRIPTIONS, write_release
from dataset_scripts.autonet.sample_autonet import SAMPLE, TEXTS
from dataset_scripts.release.floors_release import TextPrior, binary_figures
from dataset_scripts.release.folder_release import DataFolder, DataFolderError
from dataset_scripts.release.front_matter_release import read_card
from dataset_scripts.release.nesting_release import first_rows, nest, shares
from dataset_scripts.release.statistics_release import TextFigures
from processing_archbert.architecture_graph_archbert import ArchitectureGraph

COMMITTED = Path(__file__).resolve().parents[1] / "hub" / "datasets" / "autonet"
LARGEST_PLOT = 150_000


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_build(tmp_path_factory.mktemp("autonet") / "build")


@pytest.fixture(scope="module")
def released(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_release(build, tmp_path_factory.mktemp("hub"))


def rows(folder: Path, config: str, split: str) -> list[dict]:
    return [row for path in sorted((folder / config).glob(f"{split}-*")) for row in pq.read_table(path).to_pylist()]


def test_figures_are_those_of_the_rows(build: Path) -> None:
    figures = Figures.of(DataFolder(build, CONFIGS), "train")
    graphs = [ArchitectureGraph.from_row(row) for row in rows(build, "architectures", "train")]
    assert figures.graphs.nodes.tolist() == [graph.num_nodes for graph in graphs]
    assert figures.graphs.edges.tolist() == [graph.num_edges for graph in graphs]
    assert figures.graphs.parameters.tolist() == [graph.num_parameters for graph in graphs]
    assert figures.graphs.kinds.tolist() == [len(set(graph.op_types)) for graph in graphs]
    assert figures.graphs.op_types == Counter(op for graph in graphs for op in set(graph.op_types))
    questions = [row["question"] for row in rows(build, "aqa", "train")]
    assert figures.questions.words.tolist() == [len(text.split()) for text in questions]
    assert figures.questions.characters.tolist() == [len(text) for text in questions]
    words = {word.strip(".,;:?!\"'()[]") for text in questions for word in text.lower().split()}
    assert figures.questions.vocabulary == len(words - {""})
    paper = [row for row in rows(build, "descriptions", "train") if not row["group"]]
    assert figures.labels == Counter(row["label"] for row in paper)
    for length, captions in figures.captions.items():
        texts = [row["text"] for row in rows(build, "captions", "train") if row["length"] == length]
        assert captions.words.tolist() == [len(text.split()) for text in texts] and texts


def test_table_one_has_our_rows_beside_those_of_the_paper(build: Path) -> None:
    data = DataFolder(build, CONFIGS)
    table = table_one({split: Figures.of(data, split) for split in SIZES}).splitlines()
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert [line[:2] for line in lines if line[0].startswith("AutoNet")] == [
        [name, split] for name in ("AutoNet, descriptions", "AutoNet-AQA, questions") for split in SIZES
    ]
    paper = [line for line in lines if line[0] == "the paper, on other data"]
    assert [tuple(line[2:]) for line in paper] == list(PAPER_ROWS.values())
    nodes = [len(row["op_types"]) for row in rows(build, "architectures", "test")]
    spread = (statistics.mean(nodes), statistics.pstdev(nodes), statistics.median(nodes))
    assert lines[4][2:6] == [
        str(sum(not row["group"] for row in rows(build, "descriptions", "test"))), str(SIZES["test"]),
        str(len({op for row in rows(build, "architectures", "test") for op in row["op_types"]})),
        " / ".join(f"{value:.1f}" for value in spread),
    ]  # fmt: skip


def test_floors_are_what_the_best_constant_answers_reach(build: Path) -> None:
    floors = question_floors(DataFolder(build, CONFIGS), "aqa")["validation"]
    train, validation = rows(build, "aqa", "train"), rows(build, "aqa", "validation")
    for kind in {row["question_type"] for row in validation}:
        counts = Counter(tuple(row["answers"]) for row in train if row["question_type"] == kind)
        asked = [tuple(row["answers"]) for row in validation if row["question_type"] == kind]
        best = [answer for answer, count in counts.items() if count == max(counts.values())]
        assert any(floors[kind][0] == pytest.approx(100 * asked.count(answer) / len(asked)) for answer in best)
    kinds = [value for kind, value in floors.items() if kind != "(all)"]
    assert floors["(all)"] == pytest.approx(np.mean(kinds, axis=0))
    assert 50 < statement_floors(DataFolder(build, CONFIGS))["of the paper's kind"]["validation"]["AUROC"] <= 100


def test_the_text_prior_sees_words_and_nothing_else() -> None:
    texts = pa.chunked_array([["It has a relu.", "It has a gelu.", "It has a relu layer.", "It has a gelu layer."]])
    labels = np.array([1, 0, 1, 0])
    prior = TextPrior([texts], [labels])
    told = binary_figures(prior.scores(texts), labels)
    assert told == {"accuracy": 100.0, "F1": 100.0, "AUROC": 100.0}
    twice = pa.chunked_array([["It has a relu.", "It has a relu."]])
    untold = binary_figures(prior.scores(twice), np.array([1, 0]))
    assert untold["AUROC"] == 50.0 and untold["accuracy"] == 50.0
    unknown = prior.scores(pa.chunked_array([["Nothing known here", ""]]))
    assert unknown[0] == unknown[1]


def test_the_sample_is_the_first_architectures_with_all_their_texts(build: Path, released: Path) -> None:
    found = {split: rows(released, SAMPLE, split) for split in SIZES}
    assert {split: len(table) for split, table in found.items()} == shares(tuple(SIZES), SAMPLE_SIZE)
    for split, table in found.items():
        architectures = rows(build, "architectures", split)
        for row, architecture in zip(table, architectures, strict=False):
            assert {name: row[name] for name in architecture} == architecture
            for column, config in TEXTS.items():
                texts = [text for text in rows(build, config, split) if text.pop("arch_id") == row["arch_id"]]
                assert row[column] == texts
            assert ArchitectureGraph.from_row(row).graph_hash == row["graph_hash"]


def test_the_card_names_every_config_and_split(build: Path, released: Path) -> None:
    front, text = read_card(released / "README.md")
    built_front, built = read_card(build / "README.md")
    assert [entry["config_name"] for entry in built_front["configs"]] == list(CONFIGS)
    assert (
        front["configs"][0]["config_name"] == SAMPLE and front["configs"][0]["default"] and len(front["configs"]) == 1
    )
    for folder, found in ((released, front), (build, built_front)):
        for entry, info in zip(found["configs"], found["dataset_info"], strict=True):
            for files, split in zip(entry["data_files"], info["splits"], strict=True):
                paths = sorted(folder.glob(files["path"]))
                assert split["num_examples"] == sum(pq.read_metadata(path).num_rows for path in paths) > 0
    assert "on other data" in text and "<!--" not in text
    for name in re.findall(r"\]\((plots/[^)]+)\)", text):
        assert (released / name).is_file()
    assert len(re.findall(r"\]\(plots/", text)) == len(PICTURES)
    assert "plots/" not in built and "<!--" not in built and built_front["license"] == "apache-2.0"


def test_plots_are_small_and_show_something(released: Path) -> None:
    for name in PICTURES:
        path = released / "plots" / f"{name}.png"
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert path.stat().st_size < LARGEST_PLOT
        assert min(pixels.shape[:2]) > 250 and 0.005 < (pixels < 200).any(axis=2).mean() < 0.5


def test_a_release_of_the_same_build_has_the_same_bytes(build: Path, released: Path, tmp_path: Path) -> None:
    write_release(build, tmp_path, SAMPLE_SIZE)
    for path in sorted(released.rglob("*")):
        if path.is_file():
            assert (tmp_path / path.relative_to(released)).read_bytes() == path.read_bytes(), path


def together(build: Path, released: Path, target: Path) -> Path:
    """The files as they are published."""
    shutil.copytree(build, target)
    return Path(shutil.copytree(released, target, dirs_exist_ok=True))


def test_croissant_is_valid_and_reads_the_rows(build: Path, released: Path, tmp_path: Path) -> None:
    folder = together(build, released, tmp_path / "all")
    data = mlcroissant.Dataset(jsonld=folder / "croissant.json", mapping={"repository": folder})
    issues = data.metadata.ctx.issues
    assert not issues.errors and not issues.warnings
    assert [one.id for one in data.metadata.record_sets] == ["splits", SAMPLE, *CONFIGS] == ["splits", *DESCRIPTIONS]
    found = [
        {"split": row["aqa/split"].decode(), "question": row["aqa/question"].decode()} for row in data.records("aqa")
    ]
    wanted = [{"split": split, "question": row["question"]} for split in SIZES for row in rows(build, "aqa", split)]
    assert sorted(found, key=str) == sorted(wanted, key=str)
    first = next(iter(data.records(SAMPLE)))
    assert first[f"{SAMPLE}/arch_id"].decode().split("-")[0] in SIZES


def test_damaged_croissant_is_found(released: Path, tmp_path: Path) -> None:
    metadata = json.loads((released / "croissant.json").read_text())
    metadata["recordSet"][2]["field"][1]["source"]["fileSet"]["@id"] = "nowhere"
    damaged = tmp_path / "croissant.json"
    damaged.write_text(json.dumps(metadata))
    with pytest.raises(mlcroissant.ValidationError, match="nowhere"):
        mlcroissant.Dataset(jsonld=damaged)


def test_damaged_and_missing_files_are_named(build: Path, tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match=r"has no files such as architectures/train"):
        DataFolder(tmp_path / "nothing", CONFIGS)
    folder = Path(shutil.copytree(build, tmp_path / "build"))
    shutil.rmtree(folder / "captions")
    with pytest.raises(DataFolderError, match=r"no config 'captions'; it has architectures"):
        next(DataFolder(folder, CONFIGS).tables("captions", "train"))
    shard = folder / "aqa" / "train-00000-of-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-50])
    with pytest.raises(DataFolderError, match=r"aqa/train-00000-of-00001.parquet cannot be read"):
        list(DataFolder(folder, CONFIGS).tables("aqa", "train"))
    with pytest.raises(ValueError, match="missing"):
        write_release(folder, tmp_path / "hub")
    (folder / "README.md").unlink()
    with pytest.raises(ValueError, match="no finished build"):
        write_release(folder, tmp_path / "hub")
    with pytest.raises(ValueError, match="fewer than 60 architectures"):
        write_release(build, tmp_path / "hub")


def test_nesting_needs_records_for_every_row() -> None:
    table = pa.table({"arch_id": ["a", "b"]})
    texts = pa.table({"arch_id": ["b", "a", "c", "b"], "text": ["1", "2", "3", "4"]})
    nested = nest(table, {"texts": [texts.slice(0, 2), texts.slice(2)]}).to_pylist()
    assert [[record["text"] for record in row["texts"]] for row in nested] == [["2"], ["1", "4"]]
    with pytest.raises(ValueError, match="b has no texts"):
        nest(table, {"texts": [texts.slice(1, 2)]})
    assert first_rows([table, table], 3)["arch_id"].to_pylist() == ["a", "b", "a"]
    assert shares(("train", "validation", "test"), 100) == {"train": 60, "validation": 20, "test": 20}


def test_words_are_counted_without_punctuation() -> None:
    figures = TextFigures.of([pa.chunked_array([["A relu, a 'GELU' (3.5 layers)."]])])
    assert figures.words.tolist() == [6] and figures.vocabulary == 5 and figures.characters.tolist() == [30]


def test_the_committed_folder_is_whole() -> None:
    front, text = read_card(COMMITTED / "README.md")
    metadata = json.loads((COMMITTED / "croissant.json").read_text())
    manifest = json.loads((COMMITTED / "manifest.json").read_text())
    assert not mlcroissant.Dataset(jsonld=COMMITTED / "croissant.json").metadata.ctx.issues.errors
    assert [one["@id"] for one in metadata["recordSet"]] == ["splits", SAMPLE, *CONFIGS]
    assert set(manifest["blocks"]) == set(CONFIGS)
    assert [info["config_name"] for info in front["dataset_info"]] == [SAMPLE]
    assert sum(split["num_examples"] for split in front["dataset_info"][0]["splits"]) == 100
    for split in SIZES:
        assert f"| {manifest['arguments'][f'num_{split}']:,} |" in text
    assert front["license"] == "apache-2.0" and "on other data" in text
    sizes = {path: path.stat().st_size for path in COMMITTED.rglob("*") if path.is_file()}
    assert all(size < LARGEST_PLOT for path, size in sizes.items() if path.suffix == ".png")
    assert sum(sizes.values()) < 2_000_000 and len(sizes) == 3 + len(PICTURES) + 3
