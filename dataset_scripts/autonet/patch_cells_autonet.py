"""Cells of the generated networks that treat an image as a sequence of patches.

Shapes: B batch, C channels, H height, W width, L length, D width of a sequence.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .operations_autonet import make_activation, make_norm
from .sequence_cells_autonet import Attention, waves


class Patches(nn.Module):
    """An image to a sequence of patches by one strided convolution, class token and positions.

    Args:
        kernel, stride: of the convolution; overlapping patches where they differ.
        tokens: number of learned tokens put in front.
        positions: `parameter`, `table` (an embedding), `wave` or empty; `length` is that of the sequence.
    """

    def __init__(self, cin: int, dim: int, kernel: int, stride: int, length: int, tokens: int = 1,
                 positions: str = "parameter", norm: str = "", padding: int = 0, bias: bool = True,
                 drop: float = 0.0) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv2d(cin, dim, kernel, stride, padding, bias=bias)
        self.tokens = nn.Parameter(torch.zeros(1, tokens, dim)) if tokens else None
        self.kind = positions
        if positions == "parameter":
            self.position = nn.Parameter(torch.zeros(1, length + tokens, dim))
        elif positions == "table":
            self.positions = nn.Embedding(length + tokens, dim)
        self.norm = make_norm(norm, dim, "sequence")
        self.drop = nn.Dropout(drop) if drop else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, L, D)."""
        x = self.conv(x).flatten(2).transpose(1, 2)
        if self.tokens is not None:
            x = torch.cat([self.tokens.expand(x.shape[0], -1, -1), x], 1)
        if self.kind == "parameter":
            x = x + self.position
        elif self.kind == "table":
            x = x + self.positions(torch.arange(x.shape[1], device=x.device).unsqueeze(0))
        elif self.kind == "wave":
            x = x + waves(x.shape[1], x)
        return self.norm(self.drop(x))


class PatchMerge(nn.Module):
    """Neighbouring 2 x 2 patches of a sequence joined and projected: a quarter of the length, `cout` wide."""

    def __init__(self, dim: int, cout: int, side: int, norm: str = "LayerNorm") -> None:
        super().__init__()
        self.side = side
        self.norm = make_norm(norm, 4 * dim, "sequence")
        self.reduce = nn.Linear(4 * dim, cout, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, side * side, D) to (B, side * side / 4, cout)."""
        b, _, d = x.shape
        x = x.view(b, self.side, self.side, d)
        corners = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.reduce(self.norm(torch.cat(corners, -1).reshape(b, -1, 4 * d)))


class WindowCell(nn.Module):
    """A transformer cell inside windows of an image, optionally shifted by half a window.

    Args:
        cell: the transformer cell.
        side: side of the image in patches, a multiple of `window`.
        relative: number of heads of a learned bias of the scores by relative position; 0 for no bias.
        pad: whether a padding function (of size zero) stands before the windows are cut.
    """

    index: Tensor

    def __init__(self, cell: nn.Module, side: int, window: int, shift: bool, relative: int = 0, pad: bool = False,
                 ) -> None:  # fmt: skip
        super().__init__()
        self.cell = cell
        self.side, self.window, self.shift = side, window, window // 2 if shift else 0
        self.pad = pad
        self.table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, relative)) if relative else None
        axis = torch.arange(window)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).flatten(1)
        offset = grid[:, :, None] - grid[:, None, :] + window - 1
        self.register_buffer("index", offset[0] * (2 * window - 1) + offset[1], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, side * side, D) to the same shape."""
        b, n, d = x.shape
        s, w = self.side, self.window
        y = x.view(b, s, s, d)
        y = F.pad(y, (0, 0, 0, 0, 0, 0)) if self.pad else y
        y = torch.roll(y, shifts=(-self.shift, -self.shift), dims=(1, 2)) if self.shift else y
        y = y.view(b, s // w, w, s // w, w, d).transpose(2, 3).reshape(-1, w * w, d)
        bias = None if self.table is None else self.table[self.index].permute(2, 0, 1).unsqueeze(0)
        y = self.cell(y, None, None, bias).view(b, s // w, s // w, w, w, d).transpose(2, 3).reshape(b, s, s, d)
        y = torch.roll(y, shifts=(self.shift, self.shift), dims=(1, 2)) if self.shift else y
        return y.reshape(b, n, d)


class SpatialCell(nn.Module):
    """Transformer cell over the positions of an image: keys and values from a reduced image, a convolution in the
    feed-forward network.

    Args:
        side: side of the image.
        reduce: factor by which a strided convolution shrinks the image for keys and values; 1 for none.
        attention: arguments of the attention; its memory has the width `dim`.
        depthwise: whether the feed-forward network has a depthwise convolution between its linear layers.
    """

    def __init__(self, dim: int, side: int, attention: dict, hidden: int, reduce: int = 2, norm: str = "LayerNorm",
                 act: str = "GELU:module", depthwise: bool = True, drop: float = 0.0) -> None:  # fmt: skip
        super().__init__()
        self.side = side
        self.norm1, self.norm2 = make_norm(norm, dim, "sequence"), make_norm(norm, dim, "sequence")
        self.reduce = nn.Conv2d(dim, dim, reduce, reduce) if reduce > 1 else None
        self.reduce_norm = make_norm(norm if reduce > 1 else "", dim, "sequence")
        self.attention = Attention(dim, memory=dim, **attention)
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden) if depthwise else None
        self.act = make_activation(act)
        self.drop = nn.Dropout(drop) if drop else nn.Identity()

    def _image(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).reshape(x.shape[0], -1, self.side, self.side)

    def forward(self, x: Tensor) -> Tensor:
        """(B, side * side, D) to the same shape."""
        y = self.norm1(x)
        memory = y
        if self.reduce is not None:
            memory = self.reduce_norm(self.reduce(self._image(y)).flatten(2).transpose(1, 2))
        x = x + self.drop(self.attention(y, memory))
        y = self.up(self.norm2(x))
        if self.depthwise is not None:
            y = self.depthwise(self._image(y)).flatten(2).transpose(1, 2)
        return x + self.drop(self.down(self.act(y)))
