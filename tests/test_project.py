"""The project as a whole: packaging, pinned versions, make targets, licence."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("processing_archbert", "modeling_archbert", "archbert")


@pytest.fixture(scope="module")
def setup_arguments() -> dict:
    code = (
        "import json, runpy, setuptools\n"
        "setuptools.setup = lambda **arguments: print(json.dumps(arguments))\n"
        "runpy.run_path('setup.py')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def requirements(arguments: dict) -> list[str]:
    return arguments["install_requires"] + [r for extra in arguments["extras_require"].values() for r in extra]


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if line and not line.startswith("#"))


def test_wheel_holds_three_typed_packages(setup_arguments: dict) -> None:
    assert tuple(setup_arguments["packages"]) == PACKAGES
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").exists()
        assert setup_arguments["package_data"][package] == ["py.typed"]


def test_extras_name_neither_torchvision_nor_timm(setup_arguments: dict) -> None:
    assert set(setup_arguments["extras_require"]) == {"data", "demo", "draw", "search", "mcp", "dev"}
    assert not any(name in requirement for requirement in requirements(setup_arguments) for name in ("vision", "timm"))


def test_constraints_pin_every_requirement_within_its_range(setup_arguments: dict) -> None:
    versions = pinned()
    for requirement in requirements(setup_arguments):
        name, least = re.split("[,;]", requirement)[0].split(">=")
        version = versions[name.lower().replace("_", "-")]
        assert [int(n) for n in re.findall(r"\d+", version)] >= [int(n) for n in least.split(".")], requirement


def test_constraints_are_plain_versions() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "\ntorch==2.13.0\n" in text
    assert not re.search(r"\+|://|^-", text, re.MULTILINE)


def test_make_lists_every_target_with_a_help_text() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = next(line for line in makefile.splitlines() if line.startswith(".PHONY:")).split()[1:]
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"demo", "test", "lint", "typecheck", "data", "train", "release"} <= set(targets)
    for target in targets:
        assert re.search(rf"^  make {target}\s+\S", shown, re.MULTILINE), target


def test_an_existing_environment_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    subprocess.run(["make", "venv", f"VENV={tmp_path}"], cwd=ROOT, capture_output=True, check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".archbert", "bin"]


def test_torch_is_installed_before_what_depends_on_it() -> None:
    planned = subprocess.run(
        ["make", "-n", "venv", "VENV=nowhere"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert -1 < planned.index("-c constraints.txt torch;") < planned.index(".[data,demo,dev]")


def test_continuous_integration_runs_what_the_readme_says() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text(encoding="utf-8")


def test_licence_is_apache_2(setup_arguments: dict) -> None:
    assert setup_arguments["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import processing_archbert", ("numpy", "torch", "transformers")),
        ("from processing_archbert import ArchitectureGraph, GraphFacts", ("torch", "transformers")),
        ("from processing_archbert import trace", ("transformers", "torch_geometric")),
        ("from processing_archbert import load_architecture", ("torch_geometric", "transformers.modeling_utils")),
    ],
)
def test_what_is_not_needed_is_not_imported(statement: str, absent: tuple[str, ...]) -> None:
    program = f"import sys\n{statement}\nprint([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_of_the_processing_package_can_be_imported() -> None:
    import processing_archbert

    assert set(processing_archbert.__all__) <= set(dir(processing_archbert))
    assert all(getattr(processing_archbert, name) is not None for name in processing_archbert.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        processing_archbert.nothing  # noqa: B018
