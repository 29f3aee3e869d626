"""What the build of TVHF does not take: it ends with file and line, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import BertConfig

from dataset_scripts.tvhf import build_descriptions, build_tvhf, check_sentences
from dataset_scripts.tvhf.registry_tvhf import load_registry
from processing_archbert import trace

SENTENCES = """\
- family: bert
  sentences:
  - text: It has two layers.
    kind: structure
    style: plain
    predicate: depth == 2
  - text: Its stream is 64 wide.
    kind: size
    style: terse
    predicate: hidden == 64
"""


@pytest.fixture(scope="module")
def row() -> dict[str, object]:
    """A network of the registry's family `bert`."""
    graph = trace(BertConfig(num_hidden_layers=2, hidden_size=64, num_attention_heads=4, intermediate_size=96))
    return graph.to_row() | {"arch_id": "hf-bert", "name": "bert", "family": "bert", "split": "train",
                             "source": "transformers", "config": ""}  # fmt: skip


def build(folder: Path, sentences: str, rows: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch) -> int:
    """`build_tvhf` on one file of sentences and one of networks."""
    for place in ("sentences", "architectures"):
        (folder / place).mkdir()
    (folder / "sentences" / "group.yaml").write_text(sentences, encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows), folder / "architectures" / "train-00000-of-00001.parquet")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(build_descriptions, "FOLDER", folder / "sentences")
    return build_tvhf.main(["--data", str(folder), "--out", str(folder / "out")])


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("depth == 2", "depth == twice", 6, "the predicate cannot be read"),
        ("depth == 2", "depth == 2 and", 6, "the predicate cannot be read"),
        ("depth == 2", "depth == 3", 3, "'depth == 3' is false of bert"),
        ("depth == 2", "vision.depth == 2", 3, "is false of bert"),
        ("Its stream is 64 wide.", "It has two layers.", 7, "the text is already at"),
        ("style: terse", "style: rhymed", 9, "'rhymed' is no style"),
        ("family: bert", "family: bertrand", 3, "there is no family 'bertrand'"),
    ],
)
def test_a_bad_sentence_ends_the_build(
    tmp_path: Path, row: dict[str, object], old: str, new: str, line: int, said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert build(tmp_path, SENTENCES.replace(old, new, 1), [row], monkeypatch) == 1
    lines = [text for text in capsys.readouterr().err.splitlines() if said in text]
    assert lines and lines[0].startswith(f"{tmp_path / 'sentences' / 'group.yaml'}:{line}: ")
    assert not (tmp_path / "out").exists() and not (tmp_path / "descriptions").exists()


def test_a_family_without_a_sentence_ends_the_build(
    tmp_path: Path, row: dict[str, object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = row | {"arch_id": "hf-gpt2", "name": "gpt2", "family": "gpt2"}
    assert build(tmp_path, SENTENCES, [row, other], monkeypatch) == 1
    family = load_registry().families["gpt2"]
    assert f"{family.file}:{family.line}: family 'gpt2' has no sentence" in capsys.readouterr().err
    assert not (tmp_path / "descriptions").exists()


@pytest.mark.parametrize(
    ("names", "line", "said"),
    [("- gpt2\n- bert\n", 2, "'bert' has sentences"), ("- gpt2\n\n- nothing\n", 3, "'nothing' is no family")],
)
def test_the_list_of_families_without_sentences_has_to_be_right(
    tmp_path: Path, names: str, line: int, said: str
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "group.yaml").write_text(SENTENCES, encoding="utf-8")
    sentences, problems = check_sentences.load_sentences(tmp_path / "s")
    assert not problems
    path = tmp_path / "without.yaml"
    path.write_text(names, encoding="utf-8")
    (problem,) = check_sentences.check_described(sentences, [], path)
    assert problem.startswith(f"{path}:{line}: {said}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": "dev"}, "unknown split 'dev' of 'hf-b'; there are train, validation, test, test_new"),
        ({"arch_id": "hf-bert"}, "'hf-bert' is there already, at {file}:1"),
    ],
)
def test_a_bad_network_ends_the_build(
    tmp_path: Path, row: dict[str, object], changes: dict[str, str], said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    other = row | {"arch_id": "hf-b", "name": "b"} | changes
    assert build(tmp_path, SENTENCES, [row, other], monkeypatch) == 1
    file = tmp_path / "architectures" / "train-00000-of-00001.parquet"
    assert f"{file}:2: {said.format(file=file)}" in capsys.readouterr().err


def test_a_build_without_networks_says_what_to_run_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build_tvhf.main(["--data", str(tmp_path)]) == 1
    assert "run build_architectures first" in capsys.readouterr().err


def test_truth_is_not_guessed(tmp_path: Path, row: dict[str, object]) -> None:
    """The good sentences of this file are true, so the tests above fail for the reason that they name."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "group.yaml").write_text(SENTENCES, encoding="utf-8")
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    sentences, _ = check_sentences.load_sentences(tmp_path / "s")
    networks = check_sentences.load_architectures(tmp_path / "a.parquet", tmp_path / "sheets")
    matrix = check_sentences.truth_matrix(sentences, networks)
    np.testing.assert_array_equal(matrix, [[1], [1]])
    assert check_sentences.problems_of(sentences, networks, matrix) == []
