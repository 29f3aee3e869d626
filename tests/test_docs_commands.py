"""The commands and the remaining Python of README.md and docs/: they are parsed as typed, and run where that is quick.

What is not run takes long or needs the Hub; its targets, scripts and options have to be there.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from tiny_checkpoint import tiny_release
from transformers import BertConfig

from archbert.cli import build_parser, main
from archbert.embedding import Embedder
from archbert.index import ArchitectureIndex, Entry
from processing_archbert import load_architecture

REPOSITORY = Path(__file__).parents[1]
PAGES = ("README.md", *(f"docs/{page.name}" for page in sorted((REPOSITORY / "docs").glob("*.md"))))
_BLOCK = re.compile(r"```(\w*)\n(.*?)```", flags=re.DOTALL)
_PROGRAMS = ("make", "python", "accelerate", "archbert")


def blocks(page: str, language: str | None = None) -> list[str]:
    """The fenced blocks of a page."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return [body for kind, body in _BLOCK.findall(text) if language is None or kind == language]


def commands(page: str) -> list[list[str]]:
    """The words of every command in blocks and in single code spans, without their comments."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    lines = [line.removeprefix("$ ").strip() for block in blocks(page) for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(_BLOCK, "", text))
    found = []
    for line in lines:
        program, _, rest = line.partition(" ")
        if program in _PROGRAMS and rest and "..." not in rest and "=" not in rest.split()[0]:
            with contextlib.suppress(ValueError):  # prose that only begins like a command
                found.append(shlex.split(line, comments=True))
    return found


def test_there_are_commands_to_check() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 40


@pytest.mark.parametrize("page", PAGES)
def test_targets_scripts_and_options_are_there(page: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for program, *words in commands(page):
        if program == "make":
            for word in words:
                name, assigned, _ = word.partition("=")
                there = rf"\$\({name}\)|^{name} \?=" if assigned else rf"^{name}:"
                assert re.search(there, makefile, flags=re.MULTILINE), (page, words)
        elif program in ("python", "accelerate"):
            _check_script(page, words)


def _check_script(page: str, words: list[str]) -> None:
    if "-m" in words:
        name = words[words.index("-m") + 1].replace(".", "/")
    else:
        name = next((word for word in words if word.endswith(".py")), "")
        if not name:  # prose: "python 3.11, torch"
            return
    script = next((p for p in (REPOSITORY / name, REPOSITORY / f"{name}.py", REPOSITORY / name / "__main__.py")
                   if p.is_file()), None)  # fmt: skip
    assert script is not None, (page, words)
    known = "\n".join(path.read_text(encoding="utf-8") for path in script.parent.glob("*.py"))
    for option in (word.lstrip("-") for word in words if word.startswith("--")):
        assert re.search(rf"\b{option.partition('=')[0].replace('-', '[-_]')}\b", known), (page, words, option)


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_archbert_are_parsed(page: str) -> None:
    parser = build_parser()
    for program, *words in commands(page):
        if program == "archbert" and len(words) > 1 and not words[0].isupper():
            parsed = parser.parse_args(words)
            assert callable(parsed.run), (page, words)


def test_the_commands_of_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tiny_release(tmp_path / "model")
    graph = load_architecture("resnet")
    ArchitectureIndex.build([Entry("resnet", graph, "resnet")], Embedder(str(checkpoint))).save(tmp_path / "index")
    (tmp_path / "README.md").write_text("# bert\n\nIt has 7 layers and uses GELU.\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARCHBERT_MODEL", str(checkpoint))
    monkeypatch.setenv("ARCHBERT_INDEX", str(tmp_path / "index"))
    block = next(block for block in blocks("README.md") if block.startswith("archbert "))
    typed = [shlex.split(line, comments=True)[1:] for line in block.splitlines()]
    assert [words[0] for words in typed] == ["describe", "ask", "verify", "card", "diff", "search"]
    told = {}
    for words in typed:
        extra = ["--nearest", "0"] if words[0] == "describe" else ["--no-picture"] if words[0] == "card" else []
        assert main([*words, *extra]) == 0, words
        told[words[0]] = capsys.readouterr().out
    assert "12 layers" in told["describe"] and "8" in told["ask"] and "wrong" in told["verify"]
    assert "encoder" in told["card"] and "RobertaModel" in told["diff"]


def test_networks_are_compared_as_the_readme_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snippet = next(block for block in blocks("README.md", "python") if "diff(" in block)
    shown = next(block for block in blocks("README.md", "") if block.startswith("MistralModel"))
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(snippet, "README.md", "exec"), {})
    assert output.getvalue().endswith(shown) and (tmp_path / "llama.svg").is_file()


@pytest.mark.parametrize("page", ["diff", "pictures"])
def test_pages_that_draw_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"my_config": BertConfig(num_hidden_layers=2)}
    for snippet in blocks(f"docs/{page}.md", "python"):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(snippet, f"{page}.md", "exec"), names)
        assert output.getvalue()
    assert list(tmp_path.glob("*.svg"))
