"""tools/torchvision_schemas.py: a library that describes missing operators to torch can be imported all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"

# What torchvision does when it is imported, in short; `define` stands for its compiled libraries.
LIBRARY = """
import torch
from . import extension
if {compiled}:
    own = torch.library.Library("torchvision", "DEF")
    own.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, iou_threshold):
    return dets.new_empty(dets.shape[0], dtype=torch.long)
"""
CHECK = """
import sys
import torchvision_schemas
assert "torch" not in sys.modules, "torch is imported too early"
import torchvision, torch
boxes = torch.empty(3, 4, device="meta")
print(torch.ops.torchvision.nms(boxes, boxes[:, 0], 0.5).shape, torchvision.extension._has_ops())
print(hasattr(torch.ops.torchvision, "deform_conv2d"))
"""


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(TOOLS), str(folder)))
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, cwd=folder
    )


@pytest.fixture
def make(tmp_path: Path) -> object:
    """Writes the library, with or without compiled operators."""

    def write(compiled: bool, body: str = LIBRARY) -> Path:
        package = tmp_path / "torchvision"
        package.mkdir()
        (package / "__init__.py").write_text(body.format(compiled=compiled))
        (package / "extension.py").write_text(f"def _has_ops():\n    return {compiled}\n")
        return tmp_path

    return write


def test_missing_operators_are_declared(make: object) -> None:
    result = run(make(False), CHECK)  # type: ignore[operator]
    assert result.stdout.splitlines() == ["torch.Size([3]) True", "True"], result.stderr


def test_a_library_with_its_own_operators_is_left_alone(make: object) -> None:
    result = run(make(True), CHECK)  # type: ignore[operator]
    assert result.stdout.splitlines() == ["torch.Size([3]) True", "False"], result.stderr


def test_other_errors_are_passed_on(make: object) -> None:
    result = run(make(False, "raise RuntimeError('broken')"), CHECK)  # type: ignore[operator]
    assert "RuntimeError: broken" in result.stderr
