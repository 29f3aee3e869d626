"""Cells of the generated networks that map an image to an image.

Shapes: B batch, C channels, H height, W width. Every cell maps (B, cin, H, W) to (B, cout, H', W'), where H' and W'
follow from its stride. Arguments are plain numbers, strings and lists, so that a cell is a row of a JSON spec.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .operations_autonet import largest_divisor, make_activation, make_norm, make_pool, same_padding

Kernel = int | list[int]


class ConvUnit(nn.Module):
    """Convolution with normalization and activation in any order.

    Args:
        order: letters `c` (convolution), `n` (normalization), `a` (activation) in the order of execution.
        padding: zero padding, or -1 for the one that keeps the size of odd kernels, or -2 for the same one done by a
            padding function before the convolution.
        mode: how the border is filled (`zeros`, `reflect`, `replicate`, `circular`).
    """

    def __init__(
        self, cin: int, cout: int, kernel: Kernel = 3, stride: int = 1, groups: int = 1, dilation: int = 1,
        norm: str = "", act: str = "", order: str = "cna", bias: bool = True, padding: int = -1, mode: str = "zeros",
    ) -> None:  # fmt: skip
        super().__init__()
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        same = (dilation * (rows - 1) // 2, dilation * (columns - 1) // 2)
        self.around = (same[1], same[1], same[0], same[0]) if padding == -2 else None
        border: Any = same if padding == -1 else max(padding, 0)
        filling: Any = mode
        self.conv = nn.Conv2d(cin, cout, (rows, columns), stride, border, dilation, groups, bias, padding_mode=filling)
        self.order = order
        channels = cin
        for letter in order:
            if letter == "c":
                channels = cout
            elif letter == "n":
                self.norm = make_norm(norm, channels, "image")
            elif act:
                self.act = make_activation(act)
            else:
                self.order = self.order.replace("a", "")

    def forward(self, x: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, cout, H', W')."""
        for letter in self.order:
            if letter == "c" and self.around is not None:
                x = F.pad(x, self.around)
            x = self.conv(x) if letter == "c" else self.norm(x) if letter == "n" else self.act(x)
        return x


class Pool(nn.Module):
    """Pooling by module or by function."""

    def __init__(self, name: str, kernel: Kernel, stride: Kernel, padding: int = 0, form: str = "module") -> None:
        super().__init__()
        functions: dict[str, Callable[..., Tensor]] = {"MaxPool2d": F.max_pool2d, "AvgPool2d": F.avg_pool2d}
        self.function = functions.get(name) if form != "module" else None
        self.arguments = (kernel, stride, padding)
        if self.function is None:
            self.pool = make_pool(name, kernel, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H', W')."""
        return self.pool(x) if self.function is None else self.function(x, *self.arguments)


class ChannelGate(nn.Module):
    """Squeeze and excitation: channels scaled by a gate computed from their global mean.

    Args:
        squeeze: `pool` (adaptive average pooling), `mean` (a reduction) or `max` (adaptive maximum pooling).
        form: `conv` for 1x1 convolutions, `linear` for linear layers, `conv1d` for a convolution over the channels.
    """

    def __init__(
        self, cin: int, hidden: int, act: str = "ReLU:module", gate: str = "Sigmoid:module", squeeze: str = "pool",
        form: str = "conv", norm: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        self.squeeze = squeeze
        self.form = form
        if squeeze != "mean":
            self.pool = nn.AdaptiveAvgPool2d(1) if squeeze == "pool" else nn.AdaptiveMaxPool2d(1)
        if form == "conv1d":
            self.mix = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        else:
            layer = nn.Linear if form == "linear" else _conv1x1
            self.reduce, self.expand = layer(cin, hidden), layer(hidden, cin)
            self.norm = make_norm(norm if form == "conv" else "", hidden, "image")
            self.act = make_activation(act)
        self.gate = make_activation(gate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        s = x.mean((2, 3), keepdim=True) if self.squeeze == "mean" else self.pool(x)
        if self.form == "conv1d":
            s = self.mix(s.flatten(1).unsqueeze(1)).transpose(1, 2).unsqueeze(-1)
        elif self.form == "linear":
            s = self.expand(self.act(self.reduce(s.flatten(1))))[:, :, None, None]
        else:
            s = self.expand(self.act(self.norm(self.reduce(s))))
        return x * self.gate(s)


class SpatialGate(nn.Module):
    """Positions scaled by a gate computed from the mean and the maximum over channels."""

    def __init__(self, kernel: int = 7, gate: str = "Sigmoid:module") -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2)
        self.gate = make_activation(gate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        s = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * self.gate(self.conv(s))


class LayerScale(nn.Module):
    """Channels times a learned vector of small initial values."""

    def __init__(self, dim: int, axis: int = 1) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim, 1, 1) if axis == 1 else (dim,), 1e-4))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as the input."""
        return x * self.gamma


def _conv1x1(cin: int, cout: int) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, 1)


def _shortcut(cin: int, cout: int, stride: int, norm: str, pooled: str) -> nn.Module:
    if stride == 1 and cin == cout:
        return nn.Identity()
    if pooled and stride > 1:
        pool = (
            nn.AvgPool2d(stride, stride, ceil_mode=True)
            if pooled == "AvgPool2d"
            else nn.MaxPool2d(stride, stride, ceil_mode=True)
        )
        return nn.Sequential(pool, ConvUnit(cin, cout, 1, norm=norm, bias=False))
    return ConvUnit(cin, cout, 1, stride, norm=norm, bias=not norm)


def _drop(rate: float) -> nn.Module:
    return nn.Dropout(rate) if rate else nn.Identity()


class Residual(nn.Module):
    """Residual block of two convolutions (`basic`) or of 1x1, kxk, 1x1 (`bottleneck`), normalized after or before.

    Args:
        hidden: width of the inner convolution of a bottleneck.
        gate: arguments of a `ChannelGate` at the end of the branch, or None.
        preactivation: whether normalization and activation come before each convolution.
        join: `add`, or `scale` for a learned scale of the branch.
    """

    def __init__(
        self, cin: int, cout: int, kernel: Kernel = 3, stride: int = 1, hidden: int = 0, groups: int = 1,
        norm: str = "BatchNorm2d", act: str = "ReLU:module", gate: dict | None = None, preactivation: bool = False,
        join: str = "add", pooled: str = "", bias: bool = False, dilation: int = 1, last_act: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        order = "nac" if preactivation else "cna"
        common: dict[str, Any] = {"norm": norm, "act": act, "order": order, "bias": bias}
        last = {**common, "act": act if preactivation else ""}
        if hidden:
            self.branch = nn.Sequential(
                ConvUnit(cin, hidden, 1, **common),
                ConvUnit(hidden, hidden, kernel, stride, groups, dilation, **common),
                ConvUnit(hidden, cout, 1, **last),
            )
        else:
            self.branch = nn.Sequential(
                ConvUnit(cin, cout, kernel, stride, 1, dilation, **common),
                ConvUnit(cout, cout, kernel, 1, groups, dilation, **last),
            )
        self.gate = ChannelGate(cout, **gate) if gate else nn.Identity()
        self.scale = LayerScale(cout) if join == "scale" else nn.Identity()
        self.shortcut = _shortcut(cin, cout, stride, "" if preactivation else norm, pooled)
        self.last = make_activation(act) if last_act and not preactivation else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, cout, H', W')."""
        x = self.shortcut(x) + self.scale(self.gate(self.branch(x)))
        return x if self.last is None else self.last(x)


class InvertedResidual(nn.Module):
    """Expansion 1x1, depthwise kxk, optional channel gate, projection 1x1 without activation, residual if possible."""

    def __init__(
        self, cin: int, cout: int, expand: int = 4, kernel: Kernel = 3, stride: int = 1, norm: str = "BatchNorm2d",
        act: str = "ReLU6:module", gate: dict | None = None, fused: bool = False, drop: float = 0.0,
        padding: int = -1,
    ) -> None:  # fmt: skip
        super().__init__()
        hidden = cin * expand
        units: list[nn.Module] = []
        bias = not norm
        if fused:
            units.append(ConvUnit(cin, hidden, kernel, stride, norm=norm, act=act, bias=bias, padding=padding))
        else:
            if expand > 1:
                units.append(ConvUnit(cin, hidden, 1, norm=norm, act=act, bias=bias))
            depthwise: dict[str, Any] = {"norm": norm, "act": act, "bias": bias, "padding": padding}
            units.append(ConvUnit(hidden, hidden, kernel, stride, hidden, **depthwise))
        if gate:
            units.append(ChannelGate(hidden, **gate))
        units.append(ConvUnit(hidden, cout, 1, norm=norm, bias=bias))
        units.append(_drop(drop))
        self.branch = nn.Sequential(*units)
        self.residual = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, cout, H', W')."""
        return x + self.branch(x) if self.residual else self.branch(x)


class DepthwiseMixer(nn.Module):
    """Depthwise convolution, normalization and a channel feed-forward network in one residual branch.

    Args:
        form: `linear` for linear layers over the last axis, `conv` for 1x1 convolutions.
        response: whether the hidden channels are normalized by their global response.
    """

    def __init__(
        self, cin: int, expand: int = 4, kernel: Kernel = 7, norm: str = "LayerNorm", act: str = "GELU:module",
        form: str = "linear", scale: bool = True, response: bool = False, drop: float = 0.0, gated: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        hidden = cin * expand
        size: Any = kernel if isinstance(kernel, int) else tuple(kernel)
        border: Any = same_padding(kernel)
        self.depthwise = nn.Conv2d(cin, cin, size, padding=border, groups=cin)
        self.form = form
        layer = nn.Linear if form == "linear" else _conv1x1
        self.norm = make_norm(
            norm, cin, "sequence" if form == "linear" and norm in ("LayerNorm", "RMSNorm") else "image"
        )
        self.inner_last = form == "linear" and norm in ("LayerNorm", "RMSNorm")
        self.up, self.down = layer(cin, hidden * (2 if gated else 1)), layer(hidden, cin)
        self.act = make_activation(act)
        self.gated = gated
        self.gain = nn.Parameter(torch.zeros(hidden)) if response else None
        self.scale = LayerScale(cin) if scale else nn.Identity()
        self.drop = _drop(drop)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        y = self.depthwise(x)
        if self.inner_last:
            y = self.norm(y.permute(0, 2, 3, 1))
        else:
            y = self.norm(y)
            y = y.permute(0, 2, 3, 1) if self.form == "linear" else y
        channel_axis = -1 if self.form == "linear" else 1
        y = self.up(y)
        if self.gated:
            value, gate = y.chunk(2, channel_axis)
            y = value * self.act(gate)
        else:
            y = self.act(y)
        if self.gain is not None:
            axes = (1, 2) if self.form == "linear" else (2, 3)
            energy = torch.linalg.vector_norm(y, dim=axes, keepdim=True)
            gain = self.gain if self.form == "linear" else self.gain[:, None, None]
            y = y + gain * (y * (energy / (energy.mean(channel_axis, keepdim=True) + 1e-6)))
        y = self.down(y)
        y = y.permute(0, 3, 1, 2) if self.form == "linear" else y
        return x + self.drop(self.scale(y))


class PoolMixer(nn.Module):
    """Token mixing by pooling, then a channel feed-forward network of 1x1 convolutions, each with a residual."""

    def __init__(self, cin: int, expand: int = 4, kernel: int = 3, pool: str = "AvgPool2d", norm: str = "GroupNorm:1",
                 act: str = "GELU:module", scale: bool = True) -> None:  # fmt: skip
        super().__init__()
        self.norm1, self.norm2 = make_norm(norm, cin, "image"), make_norm(norm, cin, "image")
        self.pool = make_pool(pool, kernel, 1, kernel // 2)
        self.up, self.down = _conv1x1(cin, cin * expand), _conv1x1(cin * expand, cin)
        self.act = make_activation(act)
        self.scale1, self.scale2 = (LayerScale(cin) if scale else nn.Identity() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        y = self.norm1(x)
        x = x + self.scale1(self.pool(y) - y)
        return x + self.scale2(self.down(self.act(self.up(self.norm2(x)))))


class Dense(nn.Module):
    """Layers that each see the concatenation of all earlier outputs."""

    def __init__(self, cin: int, growth: int, layers: int, kernel: int = 3, bottleneck: int = 4,
                 norm: str = "BatchNorm2d", act: str = "ReLU:module") -> None:  # fmt: skip
        super().__init__()
        cells: list[nn.Module] = []
        for i in range(layers):
            channels = cin + i * growth
            common: dict[str, Any] = {"norm": norm, "act": act, "order": "nac", "bias": False}
            inner = bottleneck * growth
            cells.append(
                nn.Sequential(ConvUnit(channels, inner, 1, **common), ConvUnit(inner, growth, kernel, **common))
                if bottleneck
                else ConvUnit(channels, growth, kernel, **common)
            )
        self.cells = nn.ModuleList(cells)

    def forward(self, x: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, cin + layers * growth, H, W)."""
        features = [x]
        for cell in self.cells:
            features.append(cell(torch.cat(features, 1)))
        return torch.cat(features, 1)


class Branches(nn.Module):
    """Parallel chains of convolutions and poolings, concatenated over channels.

    Args:
        branches: for each branch a list of steps, `{"conv": {...}}` or `{"pool": {...}}`.
        join: `cat`, `add`, or `residual` (concatenation, 1x1 convolution and a residual).
    """

    def __init__(self, cin: int, cout: int, branches: list[list[dict]], join: str = "cat") -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*[ConvUnit(**s["conv"]) if "conv" in s else Pool(**s["pool"]) for s in steps])
            for steps in branches
        )
        self.join = join
        if join == "residual":
            width = sum(next(s["conv"]["cout"] for s in reversed(steps) if "conv" in s) for steps in branches)
            self.project = _conv1x1(width, cout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, cout, H', W')."""
        outputs = [branch(x) for branch in self.branches]
        if self.join == "add":
            return torch.stack(outputs).sum(0) if len(outputs) > 3 else sum(outputs[1:], outputs[0])
        y = torch.cat(outputs, 1)
        return x + self.project(y) if self.join == "residual" else y


class Shuffle(nn.Module):
    """Half of the channels through a depthwise branch, the other half unchanged, then a channel shuffle."""

    def __init__(self, cin: int, kernel: int = 3, norm: str = "BatchNorm2d", act: str = "ReLU:module",
                 written: bool = False) -> None:  # fmt: skip
        super().__init__()
        half = cin // 2
        self.branch = nn.Sequential(
            ConvUnit(half, half, 1, norm=norm, act=act, bias=False),
            ConvUnit(half, half, kernel, groups=half, norm=norm, bias=False),
            ConvUnit(half, half, 1, norm=norm, act=act, bias=False),
        )
        self.shuffle = None if written else nn.ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        kept, worked = x.chunk(2, 1)
        y = torch.cat([kept, self.branch(worked)], 1)
        if self.shuffle is not None:
            return self.shuffle(y)
        b, c, h, w = y.shape
        return y.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


class ImageAttention(nn.Module):
    """Self-attention over the positions of an image with 1x1 convolutions as projections, added to the input.

    Args:
        kernel: `softmax` (explicit products), `fused` (scaled_dot_product_attention) or `linear` (softmax over the
            features of queries and over the positions of keys).
    """

    def __init__(
        self,
        cin: int,
        heads: int,
        kernel: str = "softmax",
        norm: str = "GroupNorm",
        softmax: str = "function",
    ) -> None:
        super().__init__()
        self.norm = make_norm(norm, cin, "image")
        self.qkv = nn.Conv2d(cin, 3 * cin, 1)
        self.project = nn.Conv2d(cin, cin, 1)
        self.heads = largest_divisor(cin, heads)
        self.kernel = kernel
        self.softmax = nn.Softmax(dim=-1) if softmax == "module" else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, 3, self.heads, c // self.heads, h * w).unbind(1)
        if self.kernel == "fused":
            y = F.scaled_dot_product_attention(q.transpose(2, 3), k.transpose(2, 3), v.transpose(2, 3)).transpose(2, 3)
        elif self.kernel == "linear":
            context = torch.einsum("bhdn,bhen->bhde", k.softmax(-1), v)
            y = torch.einsum("bhde,bhdn->bhen", context, q.softmax(-2))
        else:
            scores = torch.matmul(q.transpose(2, 3) * (c // self.heads) ** -0.5, k)
            weights = scores.softmax(-1) if self.softmax is None else self.softmax(scores)
            y = torch.matmul(v, weights.transpose(2, 3))
        return x + self.project(y.reshape(b, c, h, w))


class Upscale(nn.Module):
    """Twice the size: a transposed convolution, interpolation and convolution, or a pixel shuffle."""

    def __init__(self, cin: int, cout: int, form: str = "transpose", kernel: int = 2, norm: str = "", act: str = "",
                 mode: str = "nearest") -> None:  # fmt: skip
        super().__init__()
        self.form, self.mode = form, mode
        if form == "transpose":
            self.up: nn.Module = nn.ConvTranspose2d(cin, cout, kernel, 2, (kernel - 2) // 2)
        elif form == "shuffle":
            self.up = nn.Sequential(nn.Conv2d(cin, 4 * cout, 1), nn.PixelShuffle(2))
        else:
            self.resize = nn.Upsample(scale_factor=2, mode=mode) if form == "module" else None
            self.up = nn.Conv2d(cin, cout, 3, padding=1)
        self.norm = make_norm(norm, cout, "image")
        self.act = make_activation(act) if act else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, cout, 2H, 2W)."""
        if self.form in ("module", "function"):
            x = F.interpolate(x, scale_factor=2.0, mode=self.mode) if self.resize is None else self.resize(x)
        x = self.norm(self.up(x))
        return x if self.act is None else self.act(x)


class Join(nn.Module):
    """Two tensors of one stage: concatenated over the channels, added, or multiplied."""

    def __init__(self, form: str = "cat", axis: int = 1) -> None:
        super().__init__()
        self.form, self.axis = form, axis

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Two tensors of one shape but for the concatenated axis."""
        return torch.cat([x, y], self.axis) if self.form == "cat" else x + y if self.form == "add" else x * y


class Resize(nn.Module):
    """Interpolation to a given size."""

    def __init__(self, size: int, mode: str = "bilinear") -> None:
        super().__init__()
        self.size, self.mode = size, mode

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, size, size)."""
        return F.interpolate(x, size=(self.size, self.size), mode=self.mode)


class Unshuffle(nn.Module):
    """Space to depth: blocks of r x r positions become channels, then a convolution."""

    def __init__(self, cin: int, cout: int, factor: int = 2, kernel: int = 1) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(factor)
        self.conv = nn.Conv2d(cin * factor**2, cout, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, cout, H / r, W / r)."""
        return self.conv(self.unshuffle(x))
