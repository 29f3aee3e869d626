"""The code that a published model brings: listed by digest, that of the package, and harmless to import."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_safety import _IMPORTS
from tiny_checkpoint import tiny_release

from archbert.manifest import CODE_MANIFEST, code_manifest, differences, main
from archbert.names import VERSION
from archbert.publish_contents import model_upload
from archbert.release import code_files, file_digest


@pytest.fixture(scope="module")
def uploaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model as the Hub has it: no links."""
    folder = tmp_path_factory.mktemp("models")
    tiny_release(folder)
    upload = model_upload("tiny", folder, "archbert", tmp_path_factory.mktemp("scratch"))
    target = tmp_path_factory.mktemp("uploaded")
    for name, file in upload.files.items():
        shutil.copyfile(file, target / name)
    return target


@pytest.fixture
def copied(uploaded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(uploaded, tmp_path / "model"))


def test_a_published_model_has_a_manifest_of_its_code(uploaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads((uploaded / CODE_MANIFEST).read_text())
    assert told["version"] == VERSION
    assert told["files"] == {name: file_digest(path) for name, path in code_files().items()}
    assert differences(uploaded) == [] and main([str(uploaded)]) == 0
    assert "all of them those of the package" in capsys.readouterr().out


def test_code_that_is_not_the_packages_is_named(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (copied / "modeling_archbert.py").open("a") as file:
        file.write("\n# one line more\n")
    (copied / "another_archbert.py").write_text("")
    (copied / "folding_archbert.py").unlink()
    found = differences(copied)
    for what in (f"the package ({VERSION})", f"its manifest ({VERSION})"):
        assert f"modeling_archbert.py differs from {what}" in found
        assert f"another_archbert.py is not in {what}" in found
        assert f"folding_archbert.py of {what} is missing" in found
    assert main([str(copied)]) == 1 and "modeling_archbert.py differs" in capsys.readouterr().out


def test_a_manifest_that_is_none_is_an_error(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("[", "[]", '{"files": 3}'):
        (copied / CODE_MANIFEST).write_text(text)
        assert main([str(copied)]) == 2
        assert "is no manifest of code" in capsys.readouterr().err


def test_only_code_is_listed(tmp_path: Path) -> None:
    for name in ("a.py", "weights.safetensors"):
        (tmp_path / name).write_text(name)
    files = {path.name: path for path in tmp_path.iterdir()}
    assert list(code_manifest(files)["files"]) == ["a.py"]


def seen(folder: Path, names: list[str]) -> list[list[str]]:
    """What importing modules of a folder does, beside what the libraries do when they are imported."""
    run = subprocess.run(
        [sys.executable, "-c", _IMPORTS, *names], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return list(json.loads(run.stdout.splitlines()[-1]))


def test_importing_remote_code_writes_nothing_starts_nothing_and_calls_nobody(uploaded: Path, tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    for path in uploaded.glob("*.py"):
        shutil.copyfile(path, tmp_path / "published" / path.name)
    names = [f"published.{path.stem}" for path in sorted(uploaded.glob("*.py"))]
    assert len(names) == len(code_files())
    (tmp_path / "published" / "__init__.py").touch()
    assert seen(tmp_path, names) == []


def test_the_watch_sees_what_an_import_must_not_do(tmp_path: Path) -> None:
    (tmp_path / "harmful.py").write_text(
        "import contextlib, os, socket, subprocess\nopen('written', 'w').close()\nsubprocess.run(['true'])\n"
        "with contextlib.suppress(OSError):\n    socket.create_connection(('127.0.0.1', 9), timeout=1)\n"
    )
    assert {event for event, _ in seen(tmp_path, ["harmful"])} >= {"open", "subprocess.Popen", "socket.connect"}
