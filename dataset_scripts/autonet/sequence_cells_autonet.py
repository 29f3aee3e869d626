"""Cells of the generated networks that map a sequence to a sequence.

Shapes: B batch, L length, D width, H heads, E head size. Every cell maps (B, L, D) to (B, L, D) unless it says
otherwise; a second argument is a memory (B, M, D'), a pair of rotary tables or a bias of attention scores.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .operations_autonet import make_activation, make_norm


class RotaryEmbedding(nn.Module):
    """Tables of cosines and sines (1, L, E) for rotary positions."""

    inv_freq: Tensor

    def __init__(self, dim: int, base: float = 10000.0) -> None:
        super().__init__()
        self.register_buffer("inv_freq", 1.0 / base ** (torch.arange(0, dim, 2).float() / dim), persistent=False)

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """A sequence, for its type only, and positions (1, L)."""
        angles = position_ids[:, :, None].float() * self.inv_freq[None, None, :]
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


class Rotary(nn.Module):
    """Rotary tables for the length of a sequence, computed once for all cells."""

    def __init__(self, dim: int, base: float = 10000.0) -> None:
        super().__init__()
        self.rotary = RotaryEmbedding(dim, base)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, D) to two tables (1, L, E)."""
        return self.rotary(x, position_ids=torch.arange(x.shape[1], device=x.device).unsqueeze(0))


def rotate(x: Tensor, tables: tuple[Tensor, Tensor], interleaved: bool) -> Tensor:
    """(B, H, L, E) turned by the angles of the tables; features beyond the width of the tables stay as they are."""
    cos, sin = (table.unsqueeze(1) for table in tables)
    if cos.shape[-1] < x.shape[-1]:
        turned, kept = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
        return torch.cat((rotate(turned, tables, interleaved), kept), dim=-1)
    if interleaved:
        turned = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
    else:
        half = x.shape[-1] // 2
        turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin


def waves(length: int, like: Tensor) -> Tensor:
    """Fixed sines and cosines (L, D) of the positions, for a sequence (B, L, D)."""
    width = like.shape[-1]
    rate = torch.exp(torch.arange(0, width, 2, device=like.device) * (-9.21 / width))
    angle = torch.arange(length, device=like.device)[:, None] * rate[None, :]
    return torch.cat([angle.sin(), angle.cos()], -1)[:, :width].to(like.dtype)


class RelativeBias(nn.Module):
    """A learned bias (1, H, L, L) of attention scores from the distance of two positions."""

    def __init__(self, heads: int, buckets: int = 32) -> None:
        super().__init__()
        self.table = nn.Embedding(buckets, heads)
        self.buckets = buckets

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (1, H, L, L)."""
        position = torch.arange(x.shape[1], device=x.device)
        distance = (position[None, :] - position[:, None]).clamp(-(self.buckets // 2), self.buckets // 2 - 1)
        return self.table(distance + self.buckets // 2).permute(2, 0, 1).unsqueeze(0)


class Attention(nn.Module):
    """Multi-head attention in the many ways in which it is written.

    Args:
        projection: `separate` linear layers, one `fused` linear layer, or `conv` (1x1 convolutions over the length).
        kernel: `fused` (scaled_dot_product_attention), `softmax` (explicit products), `module`
            (nn.MultiheadAttention), `linear` (no softmax over pairs; feature map elu + 1), `einsum` or `cosine`
            (scores are scaled cosines).
        kv_heads: number of key and value heads, a divisor of `heads`.
        rotary: empty, `half` or `interleaved`.
        memory: width of the memory for cross attention; 0 for self-attention.
        qk_norm: normalization of queries and keys per head.
        gate: whether the result is multiplied by a sigmoid gate of the input.
    """

    def __init__(
        self, dim: int, heads: int, kv_heads: int = 0, head_dim: int = 0, projection: str = "separate",
        kernel: str = "fused", bias: bool = True, out_bias: bool = True, causal: bool = False, rotary: str = "",
        memory: int = 0, qk_norm: str = "", gate: bool = False, softmax: str = "function", scale_scores: str = "after",
        window: int = 0, cap: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads or heads, head_dim or dim // heads
        self.kernel, self.causal, self.rotary, self.window = kernel, causal, rotary, window
        self.projection, self.scale_scores, self.cap = projection, scale_scores, cap
        inner, kv_inner = heads * self.head_dim, self.kv_heads * self.head_dim
        if kernel == "module":
            self.attention = nn.MultiheadAttention(
                dim, heads, bias=bias, batch_first=True, kdim=memory or None, vdim=memory or None
            )
            return
        if projection == "fused":
            self.qkv = nn.Linear(dim, inner + 2 * kv_inner, bias=bias)
        else:
            source = memory or dim
            make = _conv_linear if projection == "conv" else nn.Linear
            self.q, self.k, self.v = (
                make(dim, inner, bias=bias),
                make(source, kv_inner, bias=bias),
                make(source, kv_inner, bias=bias),
            )
        self.out = nn.Linear(inner, dim, bias=out_bias)
        self.q_norm, self.k_norm = (make_norm(qk_norm, self.head_dim, "sequence") for _ in range(2))
        self.gate = nn.Linear(dim, inner) if gate else None
        self.softmax = nn.Softmax(dim=-1) if softmax == "module" else None
        self.logit_scale = nn.Parameter(torch.full((heads, 1, 1), 2.3)) if kernel == "cosine" else None

    def forward(self, x: Tensor, memory: Tensor | None = None, tables: tuple[Tensor, Tensor] | None = None,
                bias: Tensor | None = None) -> Tensor:  # fmt: skip
        """(B, L, D), optionally with memory, rotary tables and score bias, to (B, L, D)."""
        source = x if memory is None else memory
        if self.kernel == "module":
            mask = _causal_mask(x, x.shape[1]) if self.causal else None
            return self.attention(x, source, source, attn_mask=mask, need_weights=False)[0]
        q, k, v = self._project(x, source)
        q, k = self.q_norm(q), self.k_norm(k)
        if tables is not None and self.rotary:
            q, k = (rotate(t, tables, self.rotary == "interleaved") for t in (q, k))
        y = self._attend(q, k, v, bias)
        y = y.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1)
        if self.gate is not None:
            y = y * torch.sigmoid(self.gate(x))
        return self.out(y)

    def _project(self, x: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.projection == "fused":
            inner, kv_inner = self.heads * self.head_dim, self.kv_heads * self.head_dim
            q, k, v = self.qkv(x).split([inner, kv_inner, kv_inner], dim=-1)
        else:
            q, k, v = self.q(x), self.k(source), self.v(source)
        shape = (x.shape[0], -1, self.heads, self.head_dim)
        kv_shape = (x.shape[0], -1, self.kv_heads, self.head_dim)
        return q.view(shape).transpose(1, 2), k.view(kv_shape).transpose(1, 2), v.view(kv_shape).transpose(1, 2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        if self.kv_heads != self.heads:
            k, v = (_repeat_heads(t, self.heads // self.kv_heads) for t in (k, v))
        scale = self.head_dim**-0.5
        if self.kernel == "fused":
            mask = bias
            if self.window and bias is None:
                mask = _window_mask(q, k.shape[2], self.window)
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=self.causal and mask is None)
        if self.kernel == "linear":
            q, k = F.elu(q) + 1.0, F.elu(k) + 1.0
            total = torch.matmul(q, k.sum(2, keepdim=True).transpose(2, 3))
            return torch.matmul(q, torch.matmul(k.transpose(2, 3), v)) / (total + 1e-6)
        if self.logit_scale is not None:
            scores = torch.matmul(F.normalize(q, dim=-1), F.normalize(k, dim=-1).transpose(2, 3))
            scores = scores * self.logit_scale.clamp(max=4.6).exp()
        elif self.kernel == "einsum":
            scores = torch.einsum("bhle,bhme->bhlm", q, k) * scale
        elif self.scale_scores == "before":
            scores = torch.matmul(q * scale, k.transpose(2, 3))
        else:
            scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(self.head_dim)
        if self.cap:
            scores = torch.tanh(scores / self.cap) * self.cap
        if bias is not None:
            scores = scores + bias
        if self.causal:
            scores = scores + _causal_mask(q, k.shape[2])
        weights = torch.softmax(scores, dim=-1) if self.softmax is None else self.softmax(scores)
        return torch.einsum("bhlm,bhme->bhle", weights, v) if self.kernel == "einsum" else torch.matmul(weights, v)


class _LengthConv(nn.Module):
    def __init__(self, cin: int, cout: int, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv1d(cin, cout, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.transpose(1, 2)).transpose(1, 2)


def _conv_linear(cin: int, cout: int, bias: bool = True) -> nn.Module:
    return _LengthConv(cin, cout, bias)


def _repeat_heads(x: Tensor, times: int) -> Tensor:
    b, h, n, e = x.shape
    return x[:, :, None].expand(b, h, times, n, e).reshape(b, h * times, n, e)


def _causal_mask(x: Tensor, length: int) -> Tensor:
    mask = torch.full((length, length), torch.finfo(x.dtype).min, dtype=x.dtype, device=x.device)
    return torch.triu(mask, diagonal=1)


def _window_mask(x: Tensor, length: int, window: int) -> Tensor:
    position = torch.arange(length, device=x.device)
    distance = position[:, None] - position[None, :]
    return (distance >= 0) & (distance < window)


class FeedForward(nn.Module):
    """Feed-forward network of a transformer.

    Args:
        form: `plain` (up, activation, down), `gated` (activation(gate) * up, down), `fused` (gate and up in one
            layer), `glu` (sigmoid gated, through the GLU operation), or `conv` (1-D convolutions of size `kernel`).
    """

    def __init__(self, dim: int, hidden: int, act: str = "GELU:module", form: str = "plain", bias: bool = True,
                 drop: float = 0.0, kernel: int = 3, norm: str = "") -> None:  # fmt: skip
        super().__init__()
        self.form = form
        self.act = make_activation(act)
        if form == "conv":
            self.up: nn.Module = nn.Conv1d(dim, hidden, kernel, padding="same", bias=bias)
            self.down: nn.Module = nn.Conv1d(hidden, dim, 1, bias=bias)
        else:
            self.up = nn.Linear(dim, hidden * (2 if form in ("fused", "glu") else 1), bias=bias)
            self.down = nn.Linear(hidden, dim, bias=bias)
        if form == "gated":
            self.gate = nn.Linear(dim, hidden, bias=bias)
        self.norm = make_norm(norm if form != "conv" else "", hidden, "sequence")
        self.drop = nn.Dropout(drop) if drop else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        if self.form == "conv":
            return self.down(self.act(self.up(x.transpose(1, 2)))).transpose(1, 2)
        if self.form == "gated":
            y = self.act(self.gate(x)) * self.up(x)
        elif self.form == "fused":
            gate, value = self.up(x).chunk(2, dim=-1)
            y = self.act(gate) * value
        else:
            y = F.glu(self.up(x), dim=-1) if self.form == "glu" else self.act(self.up(x))
        return self.drop(self.down(self.norm(y)))


class Experts(nn.Module):
    """Mixture of feed-forward experts with a router.

    Args:
        form: `loop` (every expert by itself, weighted), `stacked` (all experts in one product of stacked weights), or
            `grouped` (tokens sorted by expert, one grouped product).
        shared: hidden width of an expert that every token uses; 0 for none.
        router: `softmax_topk`, `topk_softmax` or `sigmoid`.
    """

    def __init__(self, dim: int, hidden: int, experts: int, top_k: int, act: str = "SiLU:module", form: str = "loop",
                 gated: bool = True, router: str = "softmax_topk", shared: int = 0, bias: bool = False,
                 ) -> None:  # fmt: skip
        super().__init__()
        self.router = nn.Linear(dim, experts, bias=bias)
        self.top_k, self.order, self.form, self.gated = top_k, router, form, gated
        if form == "loop":
            inner = "gated" if gated else "plain"
            self.experts = nn.ModuleList(FeedForward(dim, hidden, act, inner, bias) for _ in range(experts))
        else:
            self.up = nn.Parameter(torch.randn(experts, dim, hidden * (2 if gated else 1)) * dim**-0.5)
            self.down = nn.Parameter(torch.randn(experts, hidden, dim) * hidden**-0.5)
            self.act = make_activation(act)
        self.shared = FeedForward(dim, shared, act, "gated" if gated else "plain", bias) if shared else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        values, chosen = self._route(self.router(x))
        if self.form == "grouped":
            y = self._grouped(x, values, chosen)
            return y if self.shared is None else y + self.shared(x)
        weights = values.new_zeros(*x.shape[:2], self.router.out_features).scatter(-1, chosen, values)
        if self.form == "loop":
            y = sum(expert(x) * weights[..., i : i + 1] for i, expert in enumerate(self.experts))
        else:
            b, n, d = x.shape
            h = torch.matmul(x.reshape(1, b * n, d), self.up)
            if self.gated:
                gate, value = h.chunk(2, -1)
                h = self.act(gate) * value
            else:
                h = self.act(h)
            y = torch.einsum("end,ne->nd", torch.matmul(h, self.down), weights.reshape(b * n, -1)).view(b, n, d)
        return y if self.shared is None else y + self.shared(x)

    def _grouped(self, x: Tensor, values: Tensor, chosen: Tensor) -> Tensor:
        flat = chosen.reshape(-1)
        order = torch.argsort(flat)
        rows = x.reshape(-1, x.shape[-1])[order // self.top_k]
        count = self.router.out_features
        numbers = flat.float() if flat.device.type == "cpu" else flat.int()
        ends = torch.cumsum(torch.histc(numbers, bins=count, min=0, max=count - 1), 0).to(torch.int32)
        h = F.grouped_mm(rows, self.up, offs=ends)
        if self.gated:
            gate, value = h.chunk(2, -1)
            h = self.act(gate) * value
        else:
            h = self.act(h)
        y = F.grouped_mm(h.contiguous(), self.down, offs=ends) * values.reshape(-1)[order].unsqueeze(-1)
        return y[torch.argsort(order)].view(*x.shape[:2], self.top_k, x.shape[-1]).sum(2)

    def _route(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        if self.order == "topk_softmax":
            values, chosen = torch.topk(logits, self.top_k, dim=-1)
            values = torch.softmax(values, dim=-1)
        else:
            scores = torch.sigmoid(logits) if self.order == "sigmoid" else torch.softmax(logits, dim=-1)
            values, chosen = torch.topk(scores, self.top_k, dim=-1)
            values = values / values.sum(-1, keepdim=True)
        return values, chosen


class TransformerCell(nn.Module):
    """Attention, optional cross attention and feed-forward network with residuals.

    Args:
        placement: of the normalizations: `pre`, `post`, `both` (before and after each branch), `parallel` (one
            normalization, the branches side by side) or `none`.
        attention: arguments of the self-attention (None: no attention).
        cross: arguments of the cross attention, or None.
        mlp: arguments of a `FeedForward`, or of an `Experts` where it has the key `experts`.
        scale: learned scale of each branch.
    """

    def __init__(self, dim: int, attention: dict | None, mlp: dict | None, norm: str = "LayerNorm",
                 placement: str = "pre", cross: dict | None = None, scale: bool = False, drop: float = 0.0,
                 ) -> None:  # fmt: skip
        super().__init__()
        self.placement = placement
        branches: list[tuple[str, nn.Module]] = []
        if attention is not None:
            branches.append(("self", Attention(dim, **attention)))
        if cross is not None:
            branches.append(("cross", Attention(dim, **cross)))
        if mlp is not None:
            branches.append(("mlp", Experts(dim, **mlp) if "experts" in mlp else FeedForward(dim, **mlp)))
        self.kinds = [kind for kind, _ in branches]
        self.branches = nn.ModuleList(branch for _, branch in branches)
        count = 0 if placement == "none" else 1 if placement == "parallel" else len(branches)
        self.norms = nn.ModuleList(make_norm(norm, dim, "sequence") for _ in range(count))
        self.after = nn.ModuleList(
            make_norm(norm, dim, "sequence") for _ in range(count if placement == "both" else 0)
        )
        self.scales = nn.ParameterList(nn.Parameter(torch.full((dim,), 0.1)) for _ in (branches if scale else []))
        self.drop = nn.Dropout(drop) if drop else nn.Identity()

    def forward(self, x: Tensor, tables: tuple[Tensor, Tensor] | None = None, memory: Tensor | None = None,
                bias: Tensor | None = None) -> Tensor:  # fmt: skip
        """(B, L, D), optionally with rotary tables, a memory and a score bias, to (B, L, D)."""
        if self.placement == "parallel":
            y = self.norms[0](x)
            outputs = [self._run(i, y, tables, memory, bias) for i in range(len(self.branches))]
            return x + sum(outputs[1:], outputs[0])
        for i in range(len(self.branches)):
            if self.placement in ("pre", "both"):
                y = self._run(i, self.norms[i](x), tables, memory, bias)
                x = x + (self.after[i](y) if self.placement == "both" else y)
            else:
                x = x + self._run(i, x, tables, memory, bias)
                x = self.norms[i](x) if self.placement == "post" else x
        return x

    def _run(self, i: int, x: Tensor, tables: tuple[Tensor, Tensor] | None, memory: Tensor | None,
             bias: Tensor | None) -> Tensor:  # fmt: skip
        branch, kind = self.branches[i], self.kinds[i]
        if kind == "self":
            y = branch(x, None, tables, bias)
        else:
            y = branch(x, memory) if kind == "cross" else branch(x)
        y = self.drop(y)
        return y * self.scales[i] if len(self.scales) else y
