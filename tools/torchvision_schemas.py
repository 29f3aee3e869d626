"""Makes torchvision importable beside a torch for which its compiled operators were not built.

    python tools/torchvision_schemas.py [--remove]

torchvision describes the shapes of its operators to torch when it is imported, and fails where they do not exist: a
build for another device has no libraries that can be loaded. In the environment of the interpreter that runs this
script, every later `import torchvision` first declares the operators, without code. Its networks can then be built and
traced on `meta`; nothing can be computed with the operators themselves.

Installed are this file and a `.pth` file that imports it when Python starts; torch is not imported before torchvision.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import importlib.machinery
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

MODULE = "torchvision_schemas"

_ROI = "Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width"
_SIZES = "int batch_size, int channels, int height, int width"
_GRAD = _ROI.replace("Tensor input", "Tensor grad")
_MAPPED = _GRAD.replace("Tensor rois", "Tensor rois, Tensor channel_mapping")
_DEFORM = (
    "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, int stride_h, int stride_w, int pad_h, "
    "int pad_w, int dilation_h, int dilation_w, int groups, int offset_groups, bool use_mask"
)
SCHEMAS: tuple[str, ...] = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    f"roi_align({_ROI}, int sampling_ratio, bool aligned) -> Tensor",
    f"_roi_align_backward({_GRAD}, {_SIZES}, int sampling_ratio, bool aligned) -> Tensor",
    f"ps_roi_align({_ROI}, int sampling_ratio) -> (Tensor, Tensor)",
    f"_ps_roi_align_backward({_MAPPED}, int sampling_ratio, {_SIZES}) -> Tensor",
    f"roi_pool({_ROI}) -> (Tensor, Tensor)",
    f"_roi_pool_backward({_GRAD.replace('rois', 'rois, Tensor argmax')}, {_SIZES}) -> Tensor",
    f"ps_roi_pool({_ROI}) -> (Tensor, Tensor)",
    f"_ps_roi_pool_backward({_MAPPED}, {_SIZES}) -> Tensor",
    f"deform_conv2d({_DEFORM}) -> Tensor",
    f"_deform_conv2d_backward(Tensor grad, {_DEFORM}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
"""The operators for which torchvision 0.28 registers shapes, with the arguments that its own operators have."""

_libraries: list[Any] = []


class _Loader(importlib.abc.Loader):
    """Loads torchvision after its operators are declared, unless its own libraries already define them."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """The module object, as the real loader makes it."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Runs torchvision; where it has no operators of its own, it is told that these will do."""
        try:
            self._loader.exec_module(module)
        except RuntimeError as error:
            if "does not exist" not in str(error):
                raise
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for schema in SCHEMAS:
                library.define(schema)
            _libraries.append(library)  # the operators live as long as this object
            self._loader.exec_module(module)
            importlib.import_module("torchvision.extension")._has_ops = lambda: True  # type: ignore[attr-defined]


class _Finder(importlib.abc.MetaPathFinder):
    """Finds torchvision as ever, and gives it the loader above."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of torchvision; None for everything else."""
        if fullname != "torchvision":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


def main() -> None:
    """Installs the two files into the environment of this interpreter, or removes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remove", action="store_true", help="take the two files away again")
    arguments = parser.parse_args()
    if sys.prefix == sys.base_prefix:
        raise SystemExit("This Python belongs to no virtual environment; run the script with the python of one.")
    folder = Path(sysconfig.get_path("purelib"))
    if arguments.remove:
        for ending in (".py", ".pth"):
            (folder / f"{MODULE}{ending}").unlink(missing_ok=True)
        return
    shutil.copyfile(__file__, folder / f"{MODULE}.py")
    (folder / f"{MODULE}.pth").write_text(f"import {MODULE}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
else:
    sys.meta_path.insert(0, _Finder())
