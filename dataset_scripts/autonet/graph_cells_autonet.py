"""Searched cells: small random graphs whose edges carry an operation and whose nodes add up what reaches them.

A cell follows the recipe of differentiable architecture search: two inputs (the two cells before), some inner nodes
with one or two incoming edges each, and the concatenation or the sum of the inner nodes as the output.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .operations_autonet import make_activation, make_norm, make_pool, same_padding
from .vision_cells_autonet import ChannelGate, ConvUnit, ImageAttention


class Zero(nn.Module):
    """An edge that carries nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the shape of the input."""
        return torch.zeros_like(x)


class PositionTable(nn.Module):
    """A learned image of positions, added to the input."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(1, channels, side, side))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, side, side) to the same shape."""
        return x + self.table


class ImageFeedForward(nn.Module):
    """Channel feed-forward network: normalization, linear, activation, linear, residual."""

    def __init__(self, channels: int, expand: int, act: str) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.up, self.down = nn.Linear(channels, channels * expand), nn.Linear(channels * expand, channels)
        self.act = make_activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        y = x.permute(0, 2, 3, 1)
        return (y + self.down(self.act(self.up(self.norm(y))))).permute(0, 3, 1, 2)


class Convolutions(nn.Module):
    """Convolutions of one width in a row with one normalization and one activation.

    Args:
        convs: for each convolution its `kernel` and, where they differ, `dilation` and `depthwise`.
        order: `acn` for the activation first, anything else for the activation last.
    """

    def __init__(self, channels: int, convs: list[dict[str, Any]], norm: str, act: str, order: str) -> None:
        super().__init__()
        self.units = nn.Sequential()
        for conv in convs:
            groups = channels if conv.get("depthwise") else 1
            dilation = conv.get("dilation", 1)
            kernel: int | list[int] = conv["kernel"]
            size: Any = kernel if isinstance(kernel, int) else tuple(kernel)
            border: Any = same_padding(kernel, dilation)
            self.units.append(nn.Conv2d(channels, channels, size, 1, border, dilation, groups, bias=not norm))
        self.norm = make_norm(norm, channels, "image")
        self.act = make_activation(act)
        self.act_first = order == "acn"

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        if self.act_first:
            return self.norm(self.units(self.act(x)))
        return self.act(self.norm(self.units(x)))


def make_operation(code: str, channels: int, side: int, norm: str, act: str, order: str) -> nn.Module:
    """Operation of an edge, by a code such as `sep_conv:3`, `dil_conv:5:2`, `max_pool:3`, `skip`, `zero`, `gate`.

    Raises:
        ValueError: for an unknown code.
    """
    name, *numbers = code.split(":")
    k = int(numbers[0]) if numbers else 0
    convolutions: dict[str, list[dict[str, Any]]] = {
        "conv": [{"kernel": k}],
        "factor_conv": [{"kernel": [1, k]}, {"kernel": [k, 1]}],
        "dil_conv": [{"kernel": k, "dilation": int(numbers[1]) if len(numbers) > 1 else 2}],
        "dil_sep_conv": [{"kernel": k, "dilation": 2, "depthwise": True}, {"kernel": 1}],
        "sep_conv": [{"kernel": k, "depthwise": True}, {"kernel": 1}],
        "sep_conv_twice": [{"kernel": k, "depthwise": True}, {"kernel": 1}] * 2,
        "depth_conv": [{"kernel": k, "depthwise": True}],
    }
    if name in convolutions:
        return Convolutions(channels, convolutions[name], norm, act, order)
    if name in ("max_pool", "avg_pool"):
        return make_pool("MaxPool2d" if name == "max_pool" else "AvgPool2d", k, 1, k // 2)
    simple = {
        "skip": lambda: nn.Identity(),
        "zero": lambda: Zero(),
        "gate": lambda: ChannelGate(channels, max(channels // 4, 2), act),
        "attention": lambda: ImageAttention(channels, k or 4),
        "feed_forward": lambda: ImageFeedForward(channels, k or 2, act),
        "position": lambda: PositionTable(channels, side),
    }
    if name not in simple:
        raise ValueError(f"unknown operation {code!r}")
    return simple[name]()


class SearchedCell(nn.Module):
    """A cell given by its edges.

    Args:
        cin, before: channels of the last cell and of the one before it.
        cout: channels of the output of the cell; each inner node has `width` channels.
        edges: for each inner node a list of `[source, operation code]`; sources 0 and 1 are the two inputs, 2 ... the
            inner nodes. Sources that no edge uses and inner nodes without a successor make up the output.
        shrink: factor from the older input's size to the newer one's.
        join: `cat` with a 1x1 convolution, or `add`.
    """

    def __init__(self, cin: int, before: int, cout: int, width: int, edges: list[list[list]], side: int,
                 norm: str = "BatchNorm2d", act: str = "ReLU:module", order: str = "acn", shrink: int = 1,
                 join: str = "cat") -> None:  # fmt: skip
        super().__init__()
        letters = order
        self.enter = nn.ModuleList([
            ConvUnit(before, width, 1, shrink, norm=norm, act=act, order=_unit_order(letters), bias=not norm),
            ConvUnit(cin, width, 1, norm=norm, act=act, order=_unit_order(letters), bias=not norm),
        ])  # fmt: skip
        self.edges = nn.ModuleList(
            nn.ModuleList(make_operation(code, width, side, norm, act, order) for _, code in node) for node in edges
        )
        self.sources = [[source for source, _ in node] for node in edges]
        used = {source for node in self.sources for source in node}
        self.loose = [i for i in range(2, len(edges) + 2) if i not in used]
        self.join = join
        joined = width * (len(self.loose) if join == "cat" else 1)
        self.leave = nn.Identity() if joined == cout else nn.Conv2d(joined, cout, 1)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """Last cell's (B, cin, H, W) and the one's before it to (B, cout, H, W)."""
        states = [self.enter[0](before), self.enter[1](x)]
        for node, sources in zip(self.edges, self.sources, strict=True):
            total: Tensor | None = None
            for operation, source in zip(node.children(), sources, strict=True):
                value = operation(states[source])
                total = value if total is None else total + value
            states.append(states[1] if total is None else total)
        outputs = [states[i] for i in self.loose]
        if self.join == "cat" and len(outputs) > 1:
            return self.leave(torch.cat(outputs, 1))
        total = outputs[0]
        for value in outputs[1:]:
            total = total + value
        return self.leave(total)


def _unit_order(order: str) -> str:
    return order if len(order) == 3 else "acn"


class SearchedStage(nn.Module):
    """Cells in a row, each fed by the two before it; the first one after a reduction of the size.

    Args:
        reduce: `conv` (strided convolution), a pooling class name, or empty for none.
        cells: arguments of each `SearchedCell`.
    """

    def __init__(self, cin: int, cells: list[dict], reduce: str = "") -> None:
        super().__init__()
        if reduce == "conv":
            self.reduce: nn.Module = nn.Conv2d(cin, cin, 3, 2, 1)
        else:
            self.reduce = make_pool(reduce, 2, 2) if reduce else nn.Identity()
        self.cells = nn.ModuleList(SearchedCell(**cell) for cell in cells)

    def forward(self, x: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, cout, H', W')."""
        x = self.reduce(x)
        before = x
        for cell in self.cells:
            x, before = cell(x, before), x
        return x


class ImageHead(nn.Module):
    """From an image to class scores or features.

    Args:
        pool: `adaptive` (module), `function` (adaptive by function), `mean` (a reduction), `max`, `flatten` (no
            pooling) or `avg` (a pooling of the whole size).
        widths: hidden widths of the classifier; `classes` 0 leaves the pooled features.
        side: size of the image, for `flatten` and `avg`.
        output: size of the adaptive pooling.
        pooled_norm: normalization of the flat features after pooling.
    """

    def __init__(self, cin: int, classes: int, pool: str = "adaptive", widths: tuple[int, ...] | list[int] = (),
                 act: str = "ReLU:module", norm: str = "", side: int = 1, output: int = 1, drop: float = 0.0,
                 conv: bool = False, last: str = "", pooled_norm: str = "") -> None:  # fmt: skip
        super().__init__()
        self.norm = make_norm(norm, cin, "image")
        self.kind, self.output = pool, output
        if pool in ("adaptive", "max"):
            self.pool: nn.Module = nn.AdaptiveAvgPool2d(output) if pool == "adaptive" else nn.AdaptiveMaxPool2d(output)
        elif pool == "avg":
            self.pool = nn.AvgPool2d(side)
        size = {"flatten": side, "avg": 1, "mean": 1}.get(pool, output)
        dims = [cin * size * size, *widths, *([classes] if classes else [])]
        layers: list[nn.Module] = []
        self.conv = conv
        self.pooled_norm = make_norm(
            pooled_norm if pooled_norm in ("LayerNorm", "RMSNorm") and not conv else "", dims[0], "sequence"
        )
        acts = []
        for i, (a, b) in enumerate(itertools.pairwise(dims)):
            layers.append(nn.Conv2d(a, b, 1) if conv else nn.Linear(a, b))
            acts.append(i < len(dims) - 2)
        self.layers = nn.ModuleList(layers)
        self.acts = [make_activation(act) if used else None for used in acts]
        self.modules_of_acts = nn.ModuleList(a for a in self.acts if isinstance(a, nn.Module))
        self.drop = nn.Dropout(drop) if drop else nn.Identity()
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, classes) or (B, features)."""
        x = self.norm(x)
        if self.kind == "mean":
            x = x.mean((2, 3), keepdim=True)
        elif self.kind == "function":
            x = F.adaptive_avg_pool2d(x, self.output)
        elif self.kind != "flatten":
            x = self.pool(x)
        if not self.conv:
            x = self.pooled_norm(x.flatten(1))
        for layer, act in zip(self.layers, self.acts, strict=True):
            x = layer(self.drop(x))
            x = x if act is None else act(x)
        x = x.flatten(1)
        return finish(x, self.last)


def finish(x: Tensor, last: str) -> Tensor:
    """Scores as they are, or after a softmax, a log softmax or a normalization to length one."""
    if last == "softmax":
        return torch.softmax(x, -1)
    if last == "log_softmax":
        return F.log_softmax(x, -1)
    if last == "unit":
        return F.normalize(x, dim=-1)
    return x
