"""The wheel: what it holds, that its metadata are right, and that it works without this repository on the path."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from archbert.release import code_files

ROOT = Path(__file__).resolve().parents[1]
MINI = ROOT / "hub" / "models" / "archbert-mini"
PACKAGES = ("archbert", "modeling_archbert", "processing_archbert")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the packages, built from a copy, so that no build product is left in the repository."""
    source = tmp_path_factory.mktemp("source")
    for name in (*PACKAGES, "setup.py", "README.md", "LICENSE", "NOTICE", "pyproject.toml"):
        (source / name).symlink_to(ROOT / name)
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    run = subprocess.run([*pip, "-w", str(folder), str(source)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel, as pip puts it into an environment."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*pip, str(wheel)], capture_output=True, check=True)
    return folder


def python(site: Path, *arguments: str) -> str:
    """Output of Python with the unpacked wheel on its path, in an empty folder."""
    environment = {**os.environ, "PYTHONPATH": str(site), "ARCHBERT_MODEL": str(MINI)}
    run = subprocess.run(
        [sys.executable, *arguments], cwd=site.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_it_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == set(PACKAGES)
    here = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == here
    rest = [name for name in names if not name.endswith(".py") and ".dist-info" not in name]
    assert sorted(rest) == [f"{package}/py.typed" for package in PACKAGES]
    licences = [name for name in names if name.endswith(("LICENSE", "NOTICE"))]
    assert len(licences) == 2


def test_remote_code_is_the_code_of_the_wheel(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    code = {Path(name).name: archive.read(name) for name in archive.namelist() if name.endswith("_archbert.py")}
    published = {path.name: path.read_bytes() for path in MINI.glob("*.py")}
    assert set(published) == set(code_files())
    assert {name: code[name] for name in published} == published


def test_its_metadata_are_what_a_package_index_accepts(wheel: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", str(wheel)], capture_output=True, text=True
    )
    assert run.returncode == 0 and "PASSED" in run.stdout, run.stdout + run.stderr


def test_it_works_without_the_repository(installed: Path) -> None:
    program = (
        "import archbert, processing_archbert; from transformers import AutoModel, AutoProcessor; "
        f"model = AutoModel.from_pretrained({str(MINI)!r}); AutoProcessor.from_pretrained({str(MINI)!r}); "
        "graph = processing_archbert.load_architecture('resnet'); "
        "print(archbert.__file__, type(model).__module__, graph.num_parameters)"
    )
    place, module, parameters = python(installed, "-c", program).split()[-3:]
    assert place.startswith(str(installed)) and module == "modeling_archbert.modeling_archbert"
    assert int(parameters) == 23_508_032
    answer = python(installed, "-m", "archbert", "ask", "resnet", "How many convolutional layers are there?", "--json")
    assert re.search(r'"answer": "?53', answer), answer
