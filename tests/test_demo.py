"""The demo and the README: the commands and snippets that a newcomer runs first."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from local_hub import LocalHub
from tiny_checkpoint import tiny_release
from transformers import BertConfig

from archbert.demo import DEFAULT_ARCHITECTURES, QUESTIONS, Question, lines_of, main, table, verdict

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release(tmp_path_factory.mktemp("demo"))


def test_the_demo_traces_four_networks_and_asks_each(folder: Path, tmp_path: Path) -> None:
    """In a process of its own, with a Hub that counts: nothing is asked for."""
    with LocalHub({}) as hub:
        done = subprocess.run(
            [sys.executable, "-m", "archbert.demo", "--model", str(folder)],
            cwd=REPOSITORY, env=hub.environment(tmp_path), capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert hub.requests == []
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines) <= 100
    rows = {line.split()[0]: line.split()[1:] for line in lines if re.match(r"  \w+ +[\d,]+ +[\d,]+ +[\d,]+ ", line)}
    assert tuple(rows) == DEFAULT_ARCHITECTURES
    parameters = {name: int(row[3].replace(",", "")) for name, row in rows.items()}
    assert parameters["bert"] == 109_482_240
    assert parameters["llama"] == 6_607_343_616
    nodes, tokens = (int(cell.replace(",", "")) for cell in rows["llama"][:2])
    assert tokens < nodes / 5
    assert sum(line.endswith(("  right", "  WRONG")) for line in lines) == sum(map(len, QUESTIONS.values()))
    for fact in ("MaxPool2d, AdaptiveAvgPool2d", "GELU, Tanh", "2*2, 4*4, 7*7", "RMSNorm"):
        assert any(line.strip() == f"fact   {fact}" for line in lines), fact


def test_other_architectures_and_errors(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertConfig(**sizes).save_pretrained(tmp_path)
    assert main(["--model", str(folder), "--architectures", str(tmp_path / "config.json")]) == 0
    assert "fact   GELU, Tanh" in capsys.readouterr().out
    assert main(["--model", str(folder), "--architectures", "no-such-type"]) == 1
    assert "no-such-type" in capsys.readouterr().err
    assert main(["--model", str(tmp_path / "nowhere"), "--architectures", "bert"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_the_table_is_aligned() -> None:
    lines = list(table([["bert", "1,000"], ["convnext", "2"]], ["", "nodes"]))
    assert lines == ["             nodes", "  bert       1,000", "  convnext       2"]


def test_an_answer_is_right_only_when_it_is_the_whole_truth() -> None:
    given = [{"answer": "ReLU", "score": 0.9}]
    assert verdict(given, ("ReLU",)) == "right"
    assert verdict(given, ("ReLU", "GELU")) == "WRONG"
    assert verdict(given, ("GELU",)) == "WRONG"


def test_long_answers_are_wrapped() -> None:
    names = [f"Activation{number}" for number in range(30)]
    lines = list(lines_of(Question("Which?", "x"), [{"answer": name, "score": 1.0} for name in names], names))
    assert max(len(line) for line in lines) <= 88
    assert sum(line.endswith("right") for line in lines) == 1


def test_the_snippet_of_the_readme_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    snippet = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0]
    exec(compile(snippet.replace("hub/models/archbert-mini", str(folder)), "README.md", "exec"), {})
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("('input', 'Conv2d', 'ReLU', 'MaxPool2d', 'output') v1:") and first.endswith(" True")
    assert last.startswith("[{'answer': ")


def test_every_path_of_the_structure_document_exists() -> None:
    text = (REPOSITORY / "docs" / "structure.md").read_text(encoding="utf-8")
    folder, missing = Path(), []
    for line in re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)[0].splitlines():
        name = line.split()[0] if line.split() else ""
        if name and not line.startswith(" "):
            folder = REPOSITORY / name if name.endswith("/") else REPOSITORY
        path = folder / name if line.startswith(" ") else REPOSITORY / name
        if name and not path.exists():
            missing.append(str(path.relative_to(REPOSITORY)))
    assert missing == []
