"""Primitive operations of the generated networks: activations, normalizations and poolings by name.

An activation is written as `name:form`. The form says how the network calls it: as a module (`module`), as a torch
function (`function`) or spelled out in elementary arithmetic (`written`). All forms compute the same values.

Layouts: `image` (B, C, H, W), `signal` (B, C, L), `sequence` (B, L, D), `video` (B, C, T, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


class SquaredReLU(nn.Module):
    """relu(x) squared."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return torch.square(F.relu(x))


class LaplaceActivation(nn.Module):
    """Cumulative normal distribution with fixed mean and deviation."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return 0.5 * (1.0 + torch.erf((x - 0.707107) / (0.282095 * math.sqrt(2.0))))


class QuickGELU(nn.Module):
    """Sigmoid approximation of the Gaussian error linear unit."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return x * torch.sigmoid(1.702 * x)


class NewGELU(nn.Module):
    """Tanh approximation of the Gaussian error linear unit."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return written_gelu(x)


class RMSNorm(nn.Module):
    """Division by the root mean square over the last axis, times a learned weight (D,)."""

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * (x.float() * scale).type_as(x)


class ChannelNorm(nn.Module):
    """A normalization of the last axis, applied to the channel axis (axis 1) of an image or a signal."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) to (B, C, ...)."""
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class SequenceNorm(nn.Module):
    """A normalization of the channel axis (axis 1), applied to the last axis of a sequence."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


def written_gelu(x: Tensor) -> Tensor:
    """Tanh approximation of the Gaussian error linear unit in elementary functions."""
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


def written_silu(x: Tensor) -> Tensor:
    """x times its own sigmoid."""
    return x * torch.sigmoid(x)


def written_mish(x: Tensor) -> Tensor:
    """x times the hyperbolic tangent of its softplus."""
    return x * torch.tanh(F.softplus(x))


def written_softsign(x: Tensor) -> Tensor:
    """x divided by one plus its absolute value."""
    return x / (1.0 + x.abs())


_ACTIVATION_MODULES: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU, "ReLU6": nn.ReLU6, "GELU": nn.GELU, "SiLU": nn.SiLU, "Sigmoid": nn.Sigmoid, "Tanh": nn.Tanh,
    "ELU": nn.ELU, "CELU": nn.CELU, "SELU": nn.SELU, "LeakyReLU": nn.LeakyReLU, "PReLU": nn.PReLU,
    "RReLU": nn.RReLU, "Mish": nn.Mish, "Hardswish": nn.Hardswish, "Hardsigmoid": nn.Hardsigmoid,
    "Hardtanh": nn.Hardtanh, "Hardshrink": nn.Hardshrink, "Softshrink": nn.Softshrink, "Tanhshrink": nn.Tanhshrink,
    "Softplus": nn.Softplus, "Softsign": nn.Softsign, "LogSigmoid": nn.LogSigmoid, "ReLUSquared": SquaredReLU,
    "Laplace": LaplaceActivation,
}  # fmt: skip
_ACTIVATION_FUNCTIONS: dict[str, Activation] = {
    "ReLU": F.relu, "ReLU6": F.relu6, "GELU": F.gelu, "SiLU": F.silu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh,
    "ELU": F.elu, "CELU": F.celu, "SELU": F.selu, "LeakyReLU": F.leaky_relu, "Mish": F.mish,
    "Hardswish": F.hardswish, "Hardsigmoid": F.hardsigmoid, "Hardtanh": F.hardtanh, "Hardshrink": F.hardshrink,
    "Softshrink": F.softshrink, "Tanhshrink": F.tanhshrink, "Softplus": F.softplus, "Softsign": F.softsign,
    "LogSigmoid": F.logsigmoid,
}  # fmt: skip
_ACTIVATION_WRITTEN: dict[str, Activation] = {
    "GELU": written_gelu, "SiLU": written_silu, "Mish": written_mish, "Softsign": written_softsign,
}  # fmt: skip
_ACTIVATION_VARIANTS: dict[tuple[str, str], Callable[[], nn.Module]] = {
    ("GELU", "tanh"): NewGELU, ("GELU", "quick"): QuickGELU,
}  # fmt: skip

ACTIVATIONS: tuple[str, ...] = tuple(_ACTIVATION_MODULES)
COMMON_ACTIVATIONS: tuple[str, ...] = ("ReLU", "GELU", "SiLU", "Tanh", "ReLU6", "Hardswish", "LeakyReLU", "Mish")
IMAGE_NORMS: tuple[str, ...] = (
    "BatchNorm2d", "GroupNorm", "LayerNorm", "InstanceNorm2d", "RMSNorm", "LocalResponseNorm",
)  # fmt: skip
SEQUENCE_NORMS: tuple[str, ...] = ("LayerNorm", "RMSNorm", "BatchNorm1d", "InstanceNorm1d", "GroupNorm")


def make_activation(code: str) -> Activation:
    """Callable of an activation code `name:form`; a form that an activation lacks falls back to its module.

    Raises:
        KeyError: for a name outside `ACTIVATIONS`.
    """
    name, _, form = code.partition(":")
    if form == "function" and name in _ACTIVATION_FUNCTIONS:
        return _ACTIVATION_FUNCTIONS[name]
    if form == "written" and name in _ACTIVATION_WRITTEN:
        return _ACTIVATION_WRITTEN[name]
    return _ACTIVATION_VARIANTS.get((name, form), _ACTIVATION_MODULES[name])()


def largest_divisor(value: int, limit: int) -> int:
    """Largest divisor of `value` that is at most `limit`."""
    return next(d for d in range(min(value, max(limit, 1)), 0, -1) if value % d == 0)


def make_norm(code: str, dim: int, layout: str) -> nn.Module:
    """Normalization of `dim` channels for a layout; `""` is no normalization.

    Args:
        code: a name, or `RMSNorm:own` for the version in elementary arithmetic; `GroupNorm:8` sets the groups.
        dim: number of channels.
        layout: `image`, `signal`, `sequence` or `video`.

    Raises:
        ValueError: for an unknown name.
    """
    name, _, detail = code.partition(":")
    last_axis = layout == "sequence"
    if not name:
        return nn.Identity()
    if name in ("LayerNorm", "RMSNorm"):
        norm = nn.LayerNorm(dim) if name == "LayerNorm" else RMSNorm(dim) if detail else nn.RMSNorm(dim, eps=1e-6)
        return norm if last_axis else ChannelNorm(norm)
    channel_norm: nn.Module
    rank = {"sequence": 1, "signal": 1, "image": 2, "video": 3}[layout]
    if name.startswith("BatchNorm"):
        channel_norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[rank - 1](dim)
    elif name.startswith("InstanceNorm"):
        affine = dim % 2 == 0
        channel_norm = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[rank - 1](dim, affine=affine)
    elif name == "GroupNorm":
        channel_norm = nn.GroupNorm(largest_divisor(dim, int(detail or 32)), dim)
    elif name == "LocalResponseNorm":
        channel_norm = nn.LocalResponseNorm(5)
    else:
        raise ValueError(f"unknown normalization {code!r}")
    return SequenceNorm(channel_norm) if last_axis else channel_norm


def make_pool(name: str, kernel: int | list[int], stride: int | list[int], padding: int | list[int] = 0) -> nn.Module:
    """Pooling module by class name (`MaxPool2d`, `AvgPool1d`, `LPPool2d` ...)."""
    if name.startswith("LPPool"):
        return getattr(nn, name)(2.0, kernel, stride)
    return getattr(nn, name)(kernel, stride, padding)


def same_padding(kernel: int | list[int], dilation: int = 1) -> int | tuple[int, ...]:
    """Padding that keeps the size at stride 1 for odd kernels."""
    if isinstance(kernel, int):
        return dilation * (kernel - 1) // 2
    return tuple(dilation * (k - 1) // 2 for k in kernel)


def conv_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Output length of a convolution or pooling over `size` positions."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
