"""What the documents say about loading: releases are pinned, the package comes first; versions agree everywhere."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_checkpoint import tiny_release

from archbert.names import NAMESPACE, TAG, VERSION

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "versions"))
sys.path.insert(0, str(ROOT / "tools"))

import audit_dependencies  # noqa: E402
import environments  # noqa: E402
import pythons  # noqa: E402

_SPEC = importlib.util.spec_from_file_location("versions_run", ROOT / "tests" / "versions" / "run.py")
assert _SPEC is not None and _SPEC.loader is not None
versions = sys.modules["versions_run"] = importlib.util.module_from_spec(_SPEC)  # fuzz/ has a run.py, too
_SPEC.loader.exec_module(versions)

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "hub/**/README.md", "dataset_scripts/**/README.md", "metrics/*/README.md",
                    "examples/**/README.md", "dataset_scripts/tvhf/tvhf.py", "archbert/known_index.py")
    for path in ROOT.glob(pattern)
)  # fmt: skip
_LOADERS = re.compile(
    r"\b(?:load_dataset|from_pretrained|pipeline|evaluate\.load|load|snapshot_download|hf_hub_download)\("
)
_REMOTE = re.compile(r"trust_remote_code\W+True")
_PACKAGE = re.compile(r"from archbert import|import archbert|pip install \.|archbert\.pipeline|install the package")


def calls(text: str) -> Iterator[tuple[int, str]]:
    """Position and text of every call that loads something, up to its closing bracket."""
    for found in _LOADERS.finditer(text):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        yield found.start(), text[found.start() : end]


def unpinned(text: str) -> list[str]:
    """Calls that load a repository of ours without the tag of this release."""
    names = re.compile(rf"[\"'](?:{NAMESPACE}|{{namespace}})/[\w-]+[\"']")
    tags = re.compile(rf"revision=\"(?:{TAG}|{{tag}})(?:-script)?\"")
    return [call for _, call in calls(text) if names.search(call) and not tags.search(call)]


def remote_first(text: str) -> list[str]:
    """Calls that run remote code of a model before anything is said about the package."""
    package = _PACKAGE.search(text)
    return [
        call
        for start, call in calls(text)
        if _REMOTE.search(call) and not call.startswith(("load_dataset", "load_architecture"))
        if package is None or package.start() > start
    ]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_pin_the_release_and_name_the_package_first(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert unpinned(text) == []
    assert remote_first(text) == []


def test_the_card_of_a_model_does_so(tmp_path: Path) -> None:
    text = (tiny_release(tmp_path) / "README.md").read_text(encoding="utf-8")
    assert len([call for _, call in calls(text) if f"{NAMESPACE}/tiny" in call]) == 2
    assert unpinned(text) == [] and remote_first(text) == [] and _REMOTE.search(text)


def test_the_search_finds_what_is_not_pinned() -> None:
    assert unpinned(f'load_dataset("{NAMESPACE}/autonet", "aqa")') and unpinned(f'pipeline(\n  model="{NAMESPACE}/x")')
    assert unpinned(f'load_dataset("{NAMESPACE}/autonet", revision="main")')
    assert not unpinned(f'load_dataset("{NAMESPACE}/autonet", revision="{TAG}")') and not unpinned('load("metrics/x")')
    remote = 'pipeline("task", model="x", trust_remote_code=True)'
    assert remote_first(f"{remote}\nfrom archbert import pipeline") and not remote_first(f"import archbert\n{remote}")


def test_one_version_everywhere() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    assert f"\nversion: {VERSION}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(VERSION)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert environments.setup_arguments()["version"] == VERSION


def test_the_lower_bounds_of_setup_are_those_that_were_proven() -> None:
    result = json.loads(versions.RESULT.read_text(encoding="utf-8"))
    oldest = result["environments"]["oldest"]
    assert oldest["status"] == "equal" and oldest["networks"] >= 100
    assert min(oldest["answers equal"], oldest["judgements equal"]) >= versions.SHARE
    bounds = dict(package.split("==") for package in versions.environments()["oldest"].packages)
    for name, bound in bounds.items():
        ran = oldest["versions"].get(name)
        assert ran is None or ran.split(".")[: len(bound.split("."))] == bound.split("."), (name, bound, ran)
    page = versions.PAGE.read_text(encoding="utf-8")
    assert versions.table(result) in page, "run: make versions"


def test_other_answers_are_found() -> None:
    import torch

    told = {"graphs": {"a": ["x", "x"]}, "named": {}, "rows": {"r": 1}, "losses": [1.0, 0.5, 1.0]}
    logits = {"aqa": torch.tensor([[1.0, -1.0]] * 50), "ar": torch.ones(50)}
    assert versions.compare(told, logits, told, logits)["wrong"] == []
    other = {**logits, "aqa": logits["aqa"].clone()}
    other["aqa"][:2] *= -1
    found = versions.compare(told, other, told, logits)
    assert found["wrong"] == ["answers differ", "logits differ"] and found["answers equal"] == pytest.approx(0.96)
    for change, what in (
        ({"graphs": {"a": ["x", "y"]}}, "graphs differ"),
        ({"rows": {"r": 2}}, "rows of data sets differ"),
        ({"losses": [1.0, 0.6, 1.0]}, "the training step differs"),
        ({"losses": [1.0, 0.5, 0.9]}, "the saved state is another"),
    ):
        assert what in versions.compare({**told, **change}, logits, told, logits)["wrong"]


def test_what_cannot_be_downloaded_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    environment = versions.Environment(("nothing-of-this-name==1.0",))
    monkeypatch.setattr(versions, "FOLDER", tmp_path)
    found = versions.check("nothing", environment, ())
    assert found["status"] == "skipped: not available"
    assert "SKIPPED: NOT AVAILABLE" in versions.line("nothing", found)


def test_every_dependency_is_pinned_used_and_declared() -> None:
    direct = [requirement for group in audit_dependencies.requirements().values() for requirement in group]
    imported = audit_dependencies.imports()
    assert audit_dependencies.unused(direct, imported) == []
    assert audit_dependencies.undeclared(direct, imported, audit_dependencies.OPTIONAL) == []
    pins = audit_dependencies.pinned()
    missing = [name for name in audit_dependencies.closure(direct) if name not in pins]
    assert [name for name in missing if audit_dependencies.installed(name)] == []


def test_the_audit_finds_what_is_wrong() -> None:
    requirement = audit_dependencies.Requirement
    assert audit_dependencies.unused([requirement("networkx>=3")], {"numpy": ["a.py"]}) == ["networkx"]
    found = audit_dependencies.undeclared([requirement("numpy>=1")], {"networkx": ["a.py"], "numpy": ["a.py"]}, set())
    assert found == ["networkx (a.py)"]
    assert not audit_dependencies.PERMISSIVE.search("GPL-3.0-only")


def test_what_another_python_cannot_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons, "ROOT", tmp_path)
    for name, text in (("good.py", "import json\n"), ("bad.py", "def f(:\n"), ("warned.py", "x = 1 is 1\n")):
        (tmp_path / "archbert" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "archbert" / name).write_text(text)
    told = pythons.check(sys.executable)
    assert told["files"] == 3 and told["version"] == sys.version.split()[0]
    assert [line.split(":")[0] for line in told["wrong"]] == ["archbert/bad.py", "archbert/warned.py"]
    monkeypatch.setattr(sys, "stdlib_module_names", {*sys.stdlib_module_names, "telnet_of_old"})
    (tmp_path / "archbert" / "good.py").write_text("import telnet_of_old\n")
    assert "archbert/good.py: there is no module telnet_of_old" in pythons.check(sys.executable)["wrong"]
