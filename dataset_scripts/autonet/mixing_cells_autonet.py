"""Cells that mix a sequence without attention: recurrences, convolutions, state spaces, Fourier and token mixing.

Shapes as in the attention cells: B batch, L length, D width. Every cell maps (B, L, D) to (B, L, D).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .operations_autonet import make_activation, make_norm


class Recurrent(nn.Module):
    """Recurrent layers (LSTM, GRU or RNN), with an optional projection, residual and normalization."""

    def __init__(self, dim: int, hidden: int, kind: str = "LSTM", layers: int = 1, bidirectional: bool = False,
                 residual: bool = False, norm: str = "", cout: int = 0, act: str = "") -> None:  # fmt: skip
        super().__init__()
        options = {"num_layers": layers, "bidirectional": bidirectional, "batch_first": True}
        self.cell = getattr(nn, kind)(dim, hidden, **options)
        width = hidden * (2 if bidirectional else 1)
        self.project = nn.Linear(width, cout) if cout else nn.Identity()
        self.norm = make_norm(norm, cout or width, "sequence")
        self.act = make_activation(act) if act else None
        self.residual = residual and (cout or width) == dim

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D')."""
        y = self.project(self.cell(x)[0])
        y = self.norm(x + y if self.residual else y)
        return y if self.act is None else self.act(y)


class Mixer(nn.Module):
    """Token mixing by linear layers over the length and channel mixing by linear layers over the width.

    Args:
        form: `mlp` for both, or `gate` for a spatial gating unit between two channel layers.
    """

    def __init__(self, dim: int, length: int, token_hidden: int, hidden: int, norm: str = "LayerNorm",
                 act: str = "GELU:module", form: str = "mlp") -> None:  # fmt: skip
        super().__init__()
        self.norm = make_norm(norm, dim, "sequence")
        self.form = form
        self.act = make_activation(act)
        if form == "mlp":
            self.token_up, self.token_down = nn.Linear(length, token_hidden), nn.Linear(token_hidden, length)
            self.norm2 = make_norm(norm, dim, "sequence")
            self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        else:
            self.up, self.down = nn.Linear(dim, 2 * hidden), nn.Linear(hidden, dim)
            self.norm2 = make_norm(norm, hidden, "sequence")
            self.spatial = nn.Conv1d(length, length, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        if self.form == "gate":
            value, gate = self.act(self.up(self.norm(x))).chunk(2, -1)
            return x + self.down(value * self.spatial(self.norm2(gate)))
        y = self.token_up(self.norm(x).transpose(1, 2))
        x = x + self.token_down(self.act(y)).transpose(1, 2)
        return x + self.down(self.act(self.up(self.norm2(x))))


class StateSpace(nn.Module):
    """Selective state space: gated, short depthwise convolution, input-dependent decay, recurrent states.

    Args:
        state: size of the state of each channel.
        rank: width of the projection that the step sizes come from.
        scan: `sums` (cumulative sums over the length) or `loop` (one position after the other).
    """

    def __init__(self, dim: int, inner: int, state: int = 8, rank: int = 8, kernel: int = 4, norm: str = "RMSNorm",
                 act: str = "SiLU:module", gated_norm: bool = False, bias: bool = False,
                 scan: str = "sums") -> None:  # fmt: skip
        super().__init__()
        self.norm = make_norm(norm, dim, "sequence")
        self.enter = nn.Linear(dim, 2 * inner, bias=bias)
        self.conv = nn.Conv1d(inner, inner, kernel, padding=kernel - 1, groups=inner)
        self.act = make_activation(act)
        self.select = nn.Linear(inner, rank + 2 * state, bias=False)
        self.step = nn.Linear(rank, inner)
        self.decay = nn.Parameter(torch.zeros(inner, state))
        self.skip = nn.Parameter(torch.ones(inner))
        self.out_norm = make_norm(norm if gated_norm else "", inner, "sequence")
        self.leave = nn.Linear(inner, dim, bias=bias)
        self.sizes = [rank, state, state]
        self.scan = scan

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        h, gate = self.enter(self.norm(x)).chunk(2, dim=-1)
        h = self.act(self.conv(h.transpose(1, 2))[..., : x.shape[1]]).transpose(1, 2)
        rank, write, read = self.select(h).split(self.sizes, dim=-1)
        step = F.softplus(self.step(rank))
        rate = -torch.exp(self.decay)
        drive = (step * h).unsqueeze(-1) * write.unsqueeze(2)
        if self.scan == "loop":
            y = self._loop(torch.exp(step.unsqueeze(-1) * rate), drive, read)
        else:
            log_decay = torch.cumsum(step.unsqueeze(-1) * rate, dim=1)
            states = torch.cumsum(drive * torch.exp(-log_decay.clamp(min=-20.0)), dim=1) * torch.exp(log_decay)
            y = torch.matmul(states, read.unsqueeze(-1)).squeeze(-1)
        y = y + h * self.skip
        return x + self.leave(self.out_norm(y * self.act(gate)))

    @staticmethod
    def _loop(decay: Tensor, drive: Tensor, read: Tensor) -> Tensor:
        state = torch.zeros_like(drive[:, 0])
        outputs = []
        for i in range(drive.shape[1]):
            state = decay[:, i] * state + drive[:, i]
            outputs.append(torch.matmul(state, read[:, i].unsqueeze(-1)).squeeze(-1))
        return torch.stack(outputs, dim=1)


class TimeMix(nn.Module):
    """Receptance, key and value of neighbouring positions, exponentially weighted cumulative means, channel gate."""

    def __init__(self, dim: int, hidden: int, norm: str = "LayerNorm", act: str = "ReLUSquared:module") -> None:
        super().__init__()
        self.norm1, self.norm2 = make_norm(norm, dim, "sequence"), make_norm(norm, dim, "sequence")
        self.mix = nn.Parameter(torch.full((3, dim), 0.5))
        self.r, self.k, self.v, self.out = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(dim, hidden, bias=False), nn.Linear(hidden, dim, bias=False)
        self.gate = nn.Linear(dim, dim, bias=False)
        self.act = make_activation(act)
        self.shift = nn.ZeroPad2d((0, 0, 1, -1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        y = self.norm1(x)
        before = self.shift(y)
        r, k, v = (
            layer(y * m + before * (1 - m)) for layer, m in zip((self.r, self.k, self.v), self.mix, strict=True)
        )
        weight = torch.exp(k.clamp(max=10.0))
        mean = torch.cumsum(weight * v, 1) / torch.cumsum(weight, 1)
        x = x + self.out(torch.sigmoid(r) * mean)
        y = self.norm2(x)
        return x + torch.sigmoid(self.gate(y)) * self.down(self.act(self.up(y)))


class Fourier(nn.Module):
    """Mixing by the real part of a two-dimensional Fourier transform, then a feed-forward network."""

    def __init__(self, dim: int, hidden: int, norm: str = "LayerNorm", act: str = "GELU:module") -> None:
        super().__init__()
        self.norm1, self.norm2 = make_norm(norm, dim, "sequence"), make_norm(norm, dim, "sequence")
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.act = make_activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        x = self.norm1(x + torch.fft.fft2(x, dim=(1, 2)).real)
        return self.norm2(x + self.down(self.act(self.up(x))))


class SequenceConv(nn.Module):
    """Convolution over the length in a residual branch.

    Args:
        form: `glu` (1x1 convolution, GLU, depthwise convolution, normalization, activation, 1x1 convolution),
            `plain` (convolution, normalization, activation), or `dilated` (two dilated convolutions).
    """

    def __init__(self, dim: int, kernel: int = 3, form: str = "plain", norm: str = "BatchNorm1d",
                 act: str = "SiLU:module", dilation: int = 1, residual: bool = True, groups: int = 1,
                 ) -> None:  # fmt: skip
        super().__init__()
        self.form, self.residual = form, residual
        if form == "glu":
            self.enter = nn.Conv1d(dim, 2 * dim, 1)
            self.conv = nn.Conv1d(dim, dim, kernel, padding="same", groups=dim)
            self.leave = nn.Conv1d(dim, dim, 1)
        else:
            self.conv = nn.Conv1d(dim, dim, kernel, padding="same", dilation=dilation, groups=groups)
            if form == "dilated":
                self.leave = nn.Conv1d(dim, dim, kernel, padding="same", dilation=dilation)
        self.norm = make_norm(norm, dim, "signal")
        self.act = make_activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        y = x.transpose(1, 2)
        if self.form == "glu":
            y = F.glu(self.enter(y), dim=1)
        y = self.act(self.norm(self.conv(y)))
        if self.form != "plain":
            y = self.leave(y)
        y = y.transpose(1, 2)
        return x + y if self.residual else y


class SignalUnit(nn.Module):
    """Convolution, normalization and activation of a signal, strided or transposed, or a pooling after it.

    Args:
        kernel, stride, transpose: of the convolution.
        pool: class name of a 1-D pooling of size and stride `pool_size` after the activation, or empty.
    """

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, norm: str = "", act: str = "",
                 bias: bool = True, transpose: bool = False, pool: str = "", pool_size: int = 2, padding: int = 0,
                 groups: int = 1) -> None:  # fmt: skip
        super().__init__()
        make = nn.ConvTranspose1d if transpose else nn.Conv1d
        self.conv = make(cin, cout, kernel, stride, padding, groups=groups, bias=bias)
        self.norm = make_norm(norm, cout, "signal")
        self.act = make_activation(act) if act else None
        if pool.startswith("LPPool"):
            self.pool: nn.Module = nn.LPPool1d(2.0, pool_size, pool_size)
        else:
            self.pool = getattr(nn, pool)(pool_size, pool_size) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, cin, L) to (B, cout, L')."""
        x = self.norm(self.conv(x))
        return self.pool(x if self.act is None else self.act(x))


class VideoUnit(nn.Module):
    """3-D convolution, whole or split into space and time, with normalization, activation, residual and pooling."""

    def __init__(self, cin: int, cout: int, kernel: list[int], stride: list[int], norm: str = "", act: str = "",
                 split: bool = False, residual: bool = False, pool: str = "") -> None:  # fmt: skip
        super().__init__()
        t, h, w = kernel
        if split:
            self.conv: nn.Module = nn.Sequential(
                nn.Conv3d(cin, cout, (1, h, w), (1, stride[1], stride[2]), (0, h // 2, w // 2)),
                nn.Conv3d(cout, cout, (t, 1, 1), (stride[0], 1, 1), (t // 2, 0, 0)),
            )
        else:
            self.conv = nn.Conv3d(cin, cout, (t, h, w), (stride[0], stride[1], stride[2]), (t // 2, h // 2, w // 2))
        self.norm = make_norm(norm, cout, "video")
        self.act = make_activation(act) if act else None
        self.residual = residual and cin == cout and max(stride) == 1
        self.pool = getattr(nn, pool)((1, 2, 2), (1, 2, 2)) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, cin, T, H, W) to (B, cout, T', H', W')."""
        y = self.norm(self.conv(x))
        y = x + y if self.residual else y
        return self.pool(y if self.act is None else self.act(y))
