"""Small builds of AutoNet for tests, and what is published of them."""

from __future__ import annotations

from pathlib import Path

from dataset_scripts.autonet.generate_autonet import generate
from dataset_scripts.autonet.release_autonet import write_release

SIZES = {"train": 10, "validation": 4, "test": 4}
SAMPLE_SIZE = 10


def small_build(folder: Path) -> Path:
    """A build of tiny networks."""
    generate(SIZES["train"], SIZES["validation"], 3, folder, size="tiny", num_test=SIZES["test"])
    return folder


def small_release(build: Path, hub: Path) -> Path:
    """The folder of the data set under `hub`, made from a build."""
    folder = hub / "datasets" / "autonet"
    write_release(build, folder, sample_size=SAMPLE_SIZE)
    return folder
