"""Cells of the held-out styles: heads over several images, changes of the length of a sequence, other layouts.

Shapes: B batch, C channels, H height, W width, L length, D width of a sequence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .operations_autonet import make_activation, make_norm
from .vision_cells_autonet import ConvUnit


class SharedHead(nn.Module):
    """The same convolutions over images of several sizes; the scores of all positions in one sequence.

    Args:
        cin: channels of every image.
        depth: number of hidden convolution units.
        outputs: scores for each position.
    """

    def __init__(self, cin: int, depth: int, outputs: int, norm: str = "", act: str = "ReLU:module") -> None:
        super().__init__()
        units: list[nn.Module] = [ConvUnit(cin, cin, 3, norm=norm, act=act, bias=not norm) for _ in range(depth)]
        self.layers = nn.Sequential(*units, nn.Conv2d(cin, outputs, 3, padding=1))

    def forward(self, *levels: Tensor) -> Tensor:
        """Images (B, cin, H, W) of any sizes to (B, sum of H * W, outputs)."""
        return torch.cat([self.layers(level).flatten(2).transpose(1, 2) for level in levels], 1)


class Shorten(nn.Module):
    """A sequence to one of fewer positions.

    Args:
        form: `avg` or `max` (a pooling over the length), `conv` (a strided convolution) or `linear` (neighbours joined
            and projected).
        factor: by how much the length, a multiple of it, shrinks.
    """

    def __init__(self, dim: int, factor: int = 2, form: str = "avg", norm: str = "") -> None:
        super().__init__()
        self.form, self.factor = form, factor
        self.reduce: nn.Module
        if form == "linear":
            self.reduce = nn.Linear(dim * factor, dim)
        elif form == "conv":
            self.reduce = nn.Conv1d(dim, dim, factor, factor)
        else:
            self.reduce = nn.AvgPool1d(factor) if form == "avg" else nn.MaxPool1d(factor)
        self.norm = make_norm(norm, dim, "sequence")

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L / factor, D)."""
        if self.form == "linear":
            return self.norm(self.reduce(x.reshape(x.shape[0], -1, x.shape[2] * self.factor)))
        return self.norm(self.reduce(x.transpose(1, 2)).transpose(1, 2))


class Lengthen(nn.Module):
    """A sequence to one of more positions.

    Args:
        form: `repeat` (nearest neighbours), `conv` (a transposed convolution) or `linear` (a linear layer whose
            result is cut into neighbours).
    """

    def __init__(self, dim: int, factor: int = 2, form: str = "repeat") -> None:
        super().__init__()
        self.form = form
        self.expand: nn.Module
        if form == "linear":
            self.expand = nn.Linear(dim, dim * factor)
        elif form == "conv":
            self.expand = nn.ConvTranspose1d(dim, dim, factor, factor)
        else:
            self.expand = nn.Upsample(scale_factor=factor)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, factor * L, D)."""
        if self.form == "linear":
            return self.expand(x).reshape(x.shape[0], -1, x.shape[2])
        return self.expand(x.transpose(1, 2)).transpose(1, 2)


class ToSignal(nn.Module):
    """A sequence (B, L, D) to a signal (B, D, L), optionally through a linear layer and an activation."""

    def __init__(self, dim: int, cout: int = 0, act: str = "") -> None:
        super().__init__()
        self.project = nn.Linear(dim, cout) if cout else nn.Identity()
        self.act = make_activation(act) if act else None

    def forward(self, x: Tensor) -> Tensor:
        """To (B, cout or D, L)."""
        x = self.project(x)
        return (x if self.act is None else self.act(x)).transpose(1, 2)


class Spread(nn.Module):
    """Vectors to a small image: a linear layer whose result is laid out over channels and positions."""

    def __init__(self, dim: int, channels: int, side: int, norm: str = "", act: str = "") -> None:
        super().__init__()
        self.shape = (channels, side, side)
        self.project = nn.Linear(dim, channels * side * side)
        self.norm = make_norm(norm, channels, "image")
        self.act = make_activation(act) if act else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) to (B, channels, side, side)."""
        x = self.norm(self.project(x).view(x.shape[0], *self.shape))
        return x if self.act is None else self.act(x)
