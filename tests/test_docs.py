"""The pages of docs/: their Python runs and prints what they show, their links lead somewhere.

``python tests/test_docs.py PAGE...`` runs pages on ``hub/models/archbert-mini`` and writes what they print into them.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import evaluate
import pytest
from tiny_checkpoint import tiny_release

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
MODEL = "hub/models/archbert-mini"
PAGES = ("captioning", "clone_detection", "costs", "etran", "folding", "question_answering", "reasoning", "search")
TESTED_ELSEWHERE = {
    "command_line": "test_cli.py",
    "diff": "test_docs_commands.py",
    "pictures": "test_docs_commands.py",
    "pipelines": "test_pipeline_docs.py",
}
FRAGMENTS = ("data", "demo", "publishing", "sources")
"""Pages whose Python needs the Hub or something of the reader's; it has to compile."""
_SNIPPET = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", flags=re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PREDICTED = {"search": r"^(bert|roberta|resnet|vit) .*$"}
"""Page -> lines of outputs of which the checkpoint decides the order."""


def pages() -> list[str]:
    """The names of all pages."""
    return sorted(page.stem for page in DOCS.glob("*.md"))


def snippets(page: str) -> list[tuple[str, str]]:
    """The Python of a page, and the output that stands below each."""
    return _SNIPPET.findall((DOCS / f"{page}.md").read_text(encoding="utf-8"))


def printed(page: str, model: str) -> Iterator[str]:
    """What the Python of a page prints, in one namespace, with another checkpoint in the place of `MODEL`."""
    names: dict[str, object] = {}
    for source, _ in snippets(page):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(source.replace(MODEL, model), f"{page}.md", "exec"), names)
        yield output.getvalue()


def form(page: str, output: str) -> list[str]:
    """The lines of an output; those that a checkpoint orders are sorted."""
    lines = output.splitlines()
    pattern = _PREDICTED.get(page)
    return lines if pattern is None else sorted(lines, key=lambda line: (not re.match(pattern, line), line))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_release(tmp_path_factory.mktemp("model")))


@pytest.mark.parametrize("page", PAGES)
def test_the_page_shows_what_its_python_prints(
    page: str, model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(tmp_path))
    shown = snippets(page)
    assert shown
    for (source, expected), output in zip(shown, printed(page, model), strict=True):
        assert form(page, output) == form(page, expected), source


def test_every_page_is_tested_somewhere() -> None:
    with_python = {page for page in pages() if snippets(page)}
    assert with_python <= {*PAGES, *TESTED_ELSEWHERE, *FRAGMENTS}
    for page, test in TESTED_ELSEWHERE.items():
        named = (REPOSITORY / "tests" / test).read_text("utf-8")
        assert (DOCS / f"{page}.md").is_file() and (f"{page}.md" in named or f'"{page}"' in named)


@pytest.mark.parametrize("page", FRAGMENTS)
def test_fragments_compile(page: str) -> None:
    for source, _ in snippets(page):
        compile(source, f"{page}.md", "exec")


@pytest.mark.parametrize("page", pages())
def test_links_lead_to_pages_and_headings(page: str) -> None:
    for link in _LINK.findall((DOCS / f"{page}.md").read_text(encoding="utf-8")):
        file, _, heading = link.partition("#")
        if file and not file.endswith(".md"):
            continue
        target = DOCS / (file or f"{page}.md")
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
            assert heading in anchors, f"{link}: {sorted(anchors)}"


def test_scripts_that_the_pages_name_are_there() -> None:
    for page in PAGES:
        text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
        for name in re.findall(r"\b(?:examples|benchmarks|metrics|processing_archbert)/[\w/-]+(?:\.\w+)?", text):
            assert (REPOSITORY / name).exists(), f"{page}.md: {name}"


def main() -> None:
    """Write the outputs of the real checkpoint into pages."""
    for page in sys.argv[1:] or PAGES:
        outputs = printed(page, str(REPOSITORY / MODEL))
        path = DOCS / f"{page}.md"
        written = _SNIPPET.sub(
            lambda found, outputs=outputs: (  # type: ignore[misc]
                f"```python\n{found[1]}```\n" + (f"\n```text\n{output}```\n" if (output := next(outputs)) else "")
            ),
            path.read_text(encoding="utf-8"),
        )
        path.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
