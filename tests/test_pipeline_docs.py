"""docs/pipelines.md: its snippets run, and print what it shows, but for what a checkpoint says.

``python tests/test_pipeline_docs.py`` runs them on ``hub/models/archbert-mini`` and writes what they print into it.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from tiny_checkpoint import tiny_release

import archbert

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "pipelines.md"
MODEL = "hub/models/archbert-mini"
_SNIPPET = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", flags=re.DOTALL)
_PREDICTED = (
    (r"-?\d+\.\d+", "NUMBER"),
    (r"\b(in)?correct {1,3}", "LABEL "),
    (r"\b(in)?correct$", "LABEL"),
    (r"\b(dis)?similar\b", "LABEL"),
    (r"\(\d+, \d+\) float32 \[\d \d\]", "SHAPE"),
)


def printed(text: str, model: str) -> list[str]:
    """What each snippet of the page prints; they share their names."""
    names: dict[str, object] = {}
    outputs = []
    for snippet, _ in _SNIPPET.findall(text):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(snippet.replace(MODEL, model), str(PAGE), "exec"), names)
        outputs.append(output.getvalue())
    return outputs


def form(output: str) -> list[str]:
    """The lines of an output without what depends on the checkpoint."""
    for pattern, word in _PREDICTED:
        output = re.sub(pattern, word, output, flags=re.MULTILINE)
    return output.splitlines()


def test_the_page_shows_what_its_snippets_print(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = [output for _, output in _SNIPPET.findall(text)]
    outputs = printed(text, str(tiny_release(tmp_path)))
    assert len(outputs) == len(shown) == text.count("```python")
    for output, expected in zip(outputs, shown, strict=True):
        if re.match(r"\d\.\d\d ", expected):  # answers: which and how many is the checkpoint's matter
            assert all(re.fullmatch(r"[01]\.\d\d \S.*", line) for line in output.splitlines())
            assert output and expected
        else:
            assert form(output) == form(expected)


def test_every_task_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{task}` |" in text for task in archbert.PIPELINES)


def main() -> None:
    """Write the outputs of the real checkpoint into the page."""
    text = PAGE.read_text(encoding="utf-8")
    outputs = iter(printed(text, str(REPOSITORY / MODEL)))
    written = _SNIPPET.sub(
        lambda found: (
            f"```python\n{found[1]}```\n" + (f"\n```text\n{output}```\n" if (output := next(outputs)) else "")
        ),
        text,
    )
    PAGE.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
