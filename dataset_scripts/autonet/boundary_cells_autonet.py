"""Cells at the two ends of a network: from inputs to sequences, between layouts, and from sequences to results.

Shapes: B batch, C channels, H height, W width, L length, D width of a sequence, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .graph_cells_autonet import finish
from .operations_autonet import make_activation, make_norm
from .sequence_cells_autonet import waves


class TokenEmbedding(nn.Module):
    """Token ids to vectors: embeddings of token, position and segment added up.

    Args:
        positions: `table` (an embedding), `parameter`, `wave` (fixed sines and cosines) or empty.
        segments: number of segment types; 0 for none.
        inner: width of the tables where it differs from `dim`, followed by a linear layer.
        scale: factor on the token vectors; 0 for none.
    """

    def __init__(self, vocab: int, dim: int, length: int, positions: str = "table", segments: int = 0, norm: str = "",
                 inner: int = 0, scale: float = 0.0, drop: float = 0.0, act: str = "") -> None:  # fmt: skip
        super().__init__()
        width = inner or dim
        self.token = nn.Embedding(vocab, width)
        self.kind = positions
        if positions == "table":
            self.positions = nn.Embedding(length, width)
        elif positions == "parameter":
            self.position = nn.Parameter(torch.zeros(1, length, width))
        self.segment = nn.Embedding(segments, width) if segments else None
        self.norm = make_norm(norm, width, "sequence")
        self.project = nn.Linear(width, dim) if inner else nn.Identity()
        self.scale = scale
        self.drop = nn.Dropout(drop) if drop else nn.Identity()
        self.act = make_activation(act) if act else None

    def forward(self, ids: Tensor) -> Tensor:
        """int64 (B, L) to (B, L, D)."""
        x = self.token(ids)
        x = x * self.scale if self.scale else x
        length = ids.shape[1]
        if self.segment is not None:
            x = x + self.segment(torch.zeros_like(ids))
        if self.kind == "table":
            x = x + self.positions(torch.arange(length, device=ids.device).unsqueeze(0))
        elif self.kind == "parameter":
            x = x + self.position[:, :length]
        elif self.kind == "wave":
            x = x + waves(length, x)
        x = self.project(self.drop(self.norm(x)))
        return x if self.act is None else self.act(x)


class BagEmbedding(nn.Module):
    """Token ids to one vector by the mean or the sum of their embeddings."""

    def __init__(self, vocab: int, dim: int, mode: str = "mean") -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(vocab, dim, mode=mode)

    def forward(self, ids: Tensor) -> Tensor:
        """int64 (B, L) to (B, 1, D)."""
        return self.bag(ids).unsqueeze(1)


class ToSequence(nn.Module):
    """An image (B, C, H, W) or a signal (B, C, L) to a sequence, optionally normalized and projected."""

    def __init__(self, cin: int, dim: int = 0, norm: str = "", positions: int = 0) -> None:
        super().__init__()
        self.norm = make_norm(norm, cin, "sequence")
        self.project = nn.Linear(cin, dim) if dim else nn.Identity()
        self.position = nn.Parameter(torch.zeros(1, positions, dim or cin)) if positions else None

    def forward(self, x: Tensor) -> Tensor:
        """To (B, L, D)."""
        x = self.project(self.norm(x.flatten(2).transpose(1, 2)))
        return x if self.position is None else x + self.position


class ToImage(nn.Module):
    """A sequence (B, S * S, D) without extra tokens to an image (B, D, S, S)."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """To (B, D, side, side)."""
        return x.transpose(1, 2).reshape(x.shape[0], -1, self.side, self.side)


class PositionConv(nn.Module):
    """Relative positions by a grouped convolution over the length, added to the input."""

    def __init__(self, dim: int, kernel: int, groups: int, act: str, norm: str = "") -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=groups)
        self.act = make_activation(act)
        self.norm = make_norm(norm, dim, "sequence")

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        y = self.conv(x.transpose(1, 2))[..., : x.shape[1]]
        return self.norm(x + self.act(y).transpose(1, 2))


class SequenceHead(nn.Module):
    """From a sequence to scores, to features, or to scores per position.

    Args:
        take: `first` (first position), `last`, `mean`, `max`, `pool` (adaptive average pooling), `all` (every
            position) or `topk` (mean of the largest).
        pooler: width of a linear layer before the scores, with activation `act`; 0 for none.
        classes: number of scores; 0 for none.
        norm, pooled_norm, inner_norm: normalization before and after the selection and after the pooler.
        last: what follows the scores: empty, `softmax`, `log_softmax` or `unit`.
    """

    def __init__(self, dim: int, classes: int, take: str = "first", pooler: int = 0, act: str = "Tanh:module",
                 norm: str = "", bias: bool = True, last: str = "", drop: float = 0.0, inner_norm: str = "",
                 pooled_norm: str = "") -> None:  # fmt: skip
        super().__init__()
        self.norm = make_norm(norm, dim, "sequence")
        self.take = take
        if take == "pool":
            self.pool: nn.Module = nn.AdaptiveAvgPool1d(1)
        elif take == "max":
            self.pool = nn.AdaptiveMaxPool1d(1)
        self.dense = nn.Linear(dim, pooler) if pooler else None
        self.act = make_activation(act) if pooler else None
        flat = pooled_norm if pooled_norm in ("LayerNorm", "RMSNorm") and take != "all" else ""
        self.pooled_norm = make_norm(flat, dim, "sequence")
        self.inner_norm = make_norm(inner_norm if pooler else "", pooler, "sequence")
        self.scores = nn.Linear(pooler or dim, classes, bias=bias) if classes else nn.Identity()
        self.drop = nn.Dropout(drop) if drop else nn.Identity()
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, classes) or (B, L, classes)."""
        x = self.pooled_norm(self._select(self.norm(x)))
        if self.dense is not None and self.act is not None:
            x = self.inner_norm(self.act(self.dense(x)))
        return finish(self.scores(self.drop(x)), self.last)

    def _select(self, x: Tensor) -> Tensor:
        if self.take in ("pool", "max"):
            return self.pool(x.transpose(1, 2)).squeeze(-1)
        if self.take == "mean":
            return x.mean(1)
        if self.take == "topk":
            return torch.topk(x, min(2, x.shape[1]), dim=1)[0].mean(1)
        return x[:, 0] if self.take == "first" else x[:, -1] if self.take == "last" else x


class Queries(nn.Module):
    """Learned vectors (B, N, D), one set for every row of the batch."""

    def __init__(self, count: int, dim: int, table: bool = False) -> None:
        super().__init__()
        self.vectors = nn.Embedding(count, dim).weight if table else nn.Parameter(torch.zeros(count, dim))

    def forward(self, memory: Tensor) -> Tensor:
        """Any (B, ...) to (B, N, D)."""
        return self.vectors.unsqueeze(0).expand(memory.shape[0], -1, -1)


class Tower(nn.Module):
    """Two sequences compared by their projected means.

    Args:
        form: `product` (scaled products of all pairs of vectors of length one), `bilinear`, `cosine`, or `distance` (a
            linear layer on the absolute differences).
    """

    def __init__(self, dim: int, other: int, width: int, form: str = "product") -> None:
        super().__init__()
        self.left, self.right = nn.Linear(dim, width, bias=False), nn.Linear(other, width, bias=False)
        self.form = form
        if form == "product":
            self.scale = nn.Parameter(torch.tensor(2.6592))
        elif form == "distance":
            self.score: nn.Module = nn.Linear(width, 1)
        else:
            self.score = nn.Bilinear(width, width, 1) if form == "bilinear" else nn.CosineSimilarity(dim=-1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, L, D) and (B, M, D') to (B, B) or (B,) scores."""
        a, b = self.left(x.mean(1)), self.right(y.mean(1))
        if self.form == "product":
            a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
            return self.scale.exp() * torch.matmul(a, b.t())
        if self.form == "distance":
            return self.score((a - b).abs()).flatten()
        return self.score(a, b).flatten()


class VideoHead(nn.Module):
    """Global average of a video and a linear layer."""

    def __init__(self, cin: int, classes: int, pool: str = "avg") -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool3d(1) if pool == "avg" else nn.AdaptiveMaxPool3d(1)
        self.scores = nn.Linear(cin, classes) if classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, classes)."""
        return self.scores(self.pool(x).flatten(1))
