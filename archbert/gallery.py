"""The gallery of pictures in the documentation: `python -m archbert.gallery` draws ten networks and writes the page.

It also draws the diffs that `docs/diff.md` shows.

Networks of transformers are built from their default configs; DenseNet and U-Net, which transformers does not have,
are written out below. No weights are downloaded or allocated.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from processing_archbert import ArchitectureGraph, diff, load_architecture, trace

START, END = "<!-- gallery: start -->", "<!-- gallery: end -->"


class DenseLayer(nn.Module):
    """A layer of a dense block: its input, and beside it `growth` new channels."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        self.relu = nn.ReLU()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) to (B, channels + growth, H, W)."""
        new = self.conv2(self.relu(self.norm2(self.conv1(self.relu(self.norm1(features))))))
        return torch.cat([features, new], 1)


class DenseNet(nn.Module):
    """A densely connected convolutional classifier (Huang et al., 2017) with the sizes of DenseNet-121."""

    def __init__(self, layers: tuple[int, ...] = (6, 12, 24, 16), growth: int = 32) -> None:
        super().__init__()
        channels = 2 * growth
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 7, 2, 3, bias=False), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        blocks: list[nn.Module] = []
        for index, count in enumerate(layers):
            blocks.append(nn.Sequential(*[DenseLayer(channels + growth * i, growth) for i in range(count)]))
            channels += growth * count
            if index + 1 < len(layers):
                transition = (nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels // 2, 1, bias=False))
                blocks.append(nn.Sequential(*transition, nn.AvgPool2d(2)))
                channels //= 2
        self.blocks = nn.Sequential(*blocks)
        self.norm, self.relu = nn.BatchNorm2d(channels), nn.ReLU()
        self.pool, self.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(channels, 1000)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, 1000)."""
        return self.classifier(self.pool(self.relu(self.norm(self.blocks(self.stem(images))))).flatten(1))


class UNet(nn.Module):
    """A segmentation network that hands features of its encoder to its decoder (Ronneberger et al., 2015)."""

    def __init__(self, widths: tuple[int, ...] = (64, 128, 256, 512), middle: int = 1024, classes: int = 2) -> None:
        super().__init__()
        sizes = (3, *widths, middle)
        self.down = nn.ModuleList(self.pair(a, b) for a, b in itertools.pairwise(sizes))
        self.pool = nn.MaxPool2d(2)
        pairs = list(zip(sizes[:0:-1], sizes[-2:0:-1], strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
        self.merge = nn.ModuleList(self.pair(a, b) for a, b in pairs)
        self.head = nn.Conv2d(widths[0], classes, 1)

    @staticmethod
    def pair(channels: int, width: int) -> nn.Sequential:
        """Two convolutions of 3 x 3, each with its activation."""
        first, second = nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, classes, H, W); H and W are multiples of 16."""
        kept: list[torch.Tensor] = []
        features = images
        for index, stage in enumerate(self.down):
            features = stage(features if not index else self.pool(features))
            kept.append(features)
        for up, merge, skip in zip(self.up, self.merge, reversed(kept[:-1]), strict=True):
            features = merge(torch.cat([skip, up(features)], 1))
        return self.head(features)


def _written_out(build: Callable[[], nn.Module], name: str) -> ArchitectureGraph:
    with torch.device("meta"):
        return trace(build(), torch.empty(1, 3, 224, 224), name=name)


def _detr() -> ArchitectureGraph:
    from transformers import DetrConfig, ResNetConfig

    backbone = ResNetConfig(out_features=["stage4"])
    return load_architecture(DetrConfig(use_timm_backbone=False, backbone=None, backbone_config=backbone))


NETWORKS: dict[str, Callable[[], ArchitectureGraph]] = {
    "resnet": lambda: load_architecture("resnet"),
    "densenet": lambda: _written_out(DenseNet, "DenseNet"),
    "unet": lambda: _written_out(UNet, "UNet"),
    "bert": lambda: load_architecture("bert"),
    "t5": lambda: load_architecture("t5"),
    "llama": lambda: load_architecture("llama"),
    "mixtral": lambda: load_architecture("mixtral"),
    "mamba": lambda: load_architecture("mamba"),
    "clip": lambda: load_architecture("clip"),
    "detr": _detr,
}
"""Name -> what makes the graph."""
DIFFS = (("bert", "distilbert"), ("llama", "mistral"))
"""Pairs of model types whose diff is drawn."""


def draw_gallery(folder: Path, page: Path | None = None) -> list[Path]:
    """Draw every network of `NETWORKS` into a folder as SVG, and list them between the marks of a Markdown page.

    Returns:
        The files that were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, lines = [], [START, ""]
    for name, make in NETWORKS.items():
        graph, path = make(), folder / f"{name}.svg"
        graph.draw(path)
        written.append(path)
        lines += [f"### {graph.name}", "", f"![{graph.name}, {graph.num_nodes} nodes](pictures/{path.name})", ""]
    if page is not None:
        before, _, rest = page.read_text(encoding="utf-8").partition(START)
        page.write_text(before + "\n".join([*lines, END]) + rest.partition(END)[2], encoding="utf-8")
    return written


def draw_diffs(folder: Path) -> list[Path]:
    """Draw the pairs of `DIFFS` into a folder as `diff-A-B.svg`; returns the files that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for first, second in DIFFS:
        written.append(folder / f"diff-{first}-{second}.svg")
        diff(first, second).draw(written[-1])
    return written


def main() -> None:
    """Command line: `python -m archbert.gallery [--folder docs/pictures] [--page docs/pictures.md]`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--page", type=Path, default=Path("docs/pictures.md"))
    arguments = parser.parse_args()
    for path in (*draw_gallery(arguments.folder, arguments.page), *draw_diffs(arguments.folder)):
        print(path)


if __name__ == "__main__":
    main()
