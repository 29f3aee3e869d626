"""Thirty small networks that run on the CPU, with inputs and the attributes that their configurations state.

Twelve are ours: networks of AutoNet, and hand-made ones with shared modules, tied weights, in-place operations,
several inputs and outputs. Eighteen are of transformers, of as many families, with sizes that tell attributes apart.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Case:
    """A network with its inputs.

    Attributes:
        module: in evaluation, on the CPU.
        args, kwargs: real tensors.
        attributes: attribute column -> the values that occur in the network.
    """

    module: nn.Module
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, set[int]] = field(default_factory=dict)


class SharedBlocks(nn.Module):
    """One convolution called three times, one activation called everywhere, residuals, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.act = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        self.head, self.other = nn.Linear(8, 4), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to (B, 4) and (B, 2)."""
        x = self.act(self.stem(x))
        for _ in range(3):
            x = x + self.act(self.block(x))
        pooled = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.head(pooled), self.other(pooled)


class TiedText(nn.Module):
    """An embedding whose weight is the output layer's, and a positional table that no input reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(50, 16), nn.Embedding(32, 16)
        self.norm, self.mid, self.head = nn.LayerNorm(16), nn.Linear(16, 16), nn.Linear(16, 50, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        """(B, L) to (B, L, 50)."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.embed(ids) + self.place(places))
        return self.head(torch.tanh(self.mid(x)) * x)


class InPlace(nn.Module):
    """In-place activations, in-place arithmetic, and results written into parts of a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.act = nn.Linear(8, 8), nn.Linear(8, 8), nn.ReLU(inplace=True)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Two tensors (B, 4, 8) to a dictionary of two."""
        hidden = self.act(self.a(x))
        hidden += y
        hidden.mul_(0.5)
        table = torch.zeros_like(hidden)
        table[:, :2] = self.b(hidden)[:, 2:]
        table[:, 2:] = torch.sigmoid(y)[:, :2]
        return {"table": self.a(table), "hidden": hidden}


class TwoTowers(nn.Module):
    """Three inputs, one of them unused; a similarity of two towers and a gate that is a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Sequential(nn.Linear(6, 8), nn.GELU()), nn.Sequential(nn.Linear(5, 8), nn.SiLU())
        self.scale, self.spare = nn.Parameter(torch.ones(8)), nn.Linear(3, 3)

    def forward(self, x: Tensor, y: Tensor, unused: Tensor) -> Tensor:
        """(B, 6), (B, 5) and anything to (B, B)."""
        left, right = F.normalize(self.left(x) * self.scale, dim=-1), F.normalize(self.right(y), dim=-1)
        return left @ right.t()


class Dense(nn.Module):
    """Every unit reads all before it, as in densely connected networks; functional pooling and split tensors."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3 + 4 * i for i in range(4)]
        self.units = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 4, 3, 1, 1)) for width in widths
        )
        self.weight = nn.Parameter(torch.randn(6, 19, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 6, H / 2, W / 2)."""
        found = [x]
        for unit in self.units:
            found.append(unit(torch.cat(found, 1)))
        left, right = F.conv2d(torch.cat(found, 1), self.weight).chunk(2, 1)
        return F.max_pool2d(torch.cat([torch.sigmoid(left) * right, left], 1), 2)


class WrittenOut(nn.Module):
    """Attention without its function: grouped keys, a bias table, a causal mask, a cast in the image of another."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.num_key_value_groups, self.is_causal = 4, 2, True
        self.q, self.kv, self.out = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.bias = nn.Embedding(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, 32) to the same."""
        batch, length, _ = x.shape
        query = self.q(x).view(batch, length, 4, 8).transpose(1, 2)
        key, value = self.kv(x).view(batch, length, 2, 16).transpose(1, 2).repeat_interleave(2, 1).chunk(2, -1)
        scores = query @ key.transpose(2, 3) / 8**0.5
        scores += self.bias(torch.arange(length, device=x.device).expand(length, length)).permute(2, 0, 1)[None]
        scores = scores + torch.full((length, length), -1e9, device=x.device).triu(1)
        weights = F.dropout(F.softmax(scores.float(), -1).type_as(scores), 0.1, self.training)
        mixed = torch.matmul(weights, value).transpose(1, 2).reshape(batch, length, 32)
        return self.out(mixed) + x


class TorchStack(nn.Module):
    """The transformer of torch itself, an LSTM, and attention from one to the other."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.recurrent = nn.LSTM(16, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.attend, self.norm = nn.MultiheadAttention(16, 2, batch_first=True), nn.LayerNorm(16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, 16) to the same and the last state (4, B, 8)."""
        encoded = self.encoder(x)
        states, (last, _) = self.recurrent(x)
        mixed, _ = self.attend(states, encoded, encoded, need_weights=False)
        return self.norm(mixed + states), last


def _autonet(seed: int, style: str) -> Case:
    from dataset_scripts.autonet.networks_autonet import build_network, example_inputs, sample_network

    spec = sample_network(seed, style, "tiny")
    return Case(build_network(spec).eval(), example_inputs(spec))


def _floats(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.randn(shape) for shape in shapes)


def _own(network: type[nn.Module], *shapes: tuple[int, ...]) -> Case:
    return Case(network().eval(), _floats(*shapes))


def _tied() -> Case:
    return Case(TiedText().eval(), (torch.arange(12)[None],))


def _stack() -> Case:
    return Case(TorchStack().eval(), _floats((1, 6, 16)), attributes={"num_heads": {2, 4}, "num_layers": {2}})


def _written_out() -> Case:
    stated = {"num_heads": {4}, "num_kv_heads": {2}, "head_dim": {8}, "causal": {1}}
    return Case(WrittenOut().eval(), _floats((1, 6, 32)), attributes=stated)


OWN: dict[str, Callable[[], Case]] = {
    "shared blocks": functools.partial(_own, SharedBlocks, (1, 3, 8, 8)),
    "tied text": _tied,
    "in place": functools.partial(_own, InPlace, (1, 4, 8), (1, 4, 8)),
    "two towers": functools.partial(_own, TwoTowers, (2, 6), (2, 5), (2, 3)),
    "dense": functools.partial(_own, Dense, (1, 3, 8, 8)),
    "torch stack": _stack,
    "written out": _written_out,
    **{
        f"autonet {style}": functools.partial(_autonet, seed, style)
        for seed, style in enumerate(("decoder", "recurrent", "mixing", "hybrid", "experts"), 4)
    },
}

_SIZES = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 6, "intermediate_size": 64}
_TEXT = {**_SIZES, "vocab_size": 100}
_GROUPED = {**_TEXT, "num_key_value_heads": 2, "head_dim": 8}
_HEADS = {"num_heads": {6}, "num_kv_heads": {6}, "head_dim": {8}, "window": set()}
_GROUPED_HEADS = {**_HEADS, "num_kv_heads": {2}}
_BOTH_WAYS = {**_HEADS, "causal": set()}
_TO_THE_LEFT = {**_HEADS, "causal": {1}}
_BART = {"d_model": 48, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 6, "vocab_size": 100,
         "decoder_attention_heads": 6, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "pad_token_id": 0,
         "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}  # fmt: skip
_TOWER = {**_SIZES, "vocab_size": 100, "image_size": 32, "patch_size": 8}
_PYRAMID = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}

_Foreign = tuple[dict[str, Any], tuple[str, ...], dict[str, set[int]]]

FOREIGN: dict[str, _Foreign] = {
    "bert": (_TEXT, ("ids",), _BOTH_WAYS),
    "albert": ({**_TEXT, "embedding_size": 16}, ("ids",), _BOTH_WAYS),
    "distilbert": ({"dim": 48, "n_layers": 2, "n_heads": 6, "hidden_dim": 64, "vocab_size": 100}, ("ids",),
                   _BOTH_WAYS),
    "deberta-v2": ({**_TEXT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}, ("ids",),
                   {"num_heads": {6}, "head_dim": {8}, "window": set()}),
    "gpt2": ({"n_embd": 48, "n_layer": 2, "n_head": 6, "vocab_size": 100}, ("ids",), _TO_THE_LEFT),
    "llama": (_GROUPED, ("ids",), {**_GROUPED_HEADS, "causal": {1}}),
    "qwen3": (_GROUPED, ("ids",), {**_GROUPED_HEADS, "causal": {1}}),
    "mistral": ({**_GROUPED, "sliding_window": 7}, ("ids",), {**_GROUPED_HEADS, "causal": {1}, "window": {7}}),
    "gemma2": ({**_GROUPED, "sliding_window": 5}, ("ids",), {**_GROUPED_HEADS, "causal": {1}, "window": {5}}),
    "mixtral": ({**_GROUPED, "num_local_experts": 5, "num_experts_per_tok": 3}, ("ids",),
                {**_GROUPED_HEADS, "causal": {1}, "num_experts": {5}, "top_k": {3}}),
    "mamba": ({"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "vocab_size": 100}, ("ids",), {}),
    "t5": ({"d_model": 48, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 6, "vocab_size": 100},
           ("ids", "decoder"), {**_HEADS, "causal": {1}}),
    "bart": (_BART, ("ids", "decoder"), {**_HEADS, "causal": {1}}),
    "vit": ({**_SIZES, "image_size": 32, "patch_size": 8}, ("image",), _BOTH_WAYS),
    "resnet": ({**_PYRAMID, "embedding_size": 8, "layer_type": "bottleneck"}, ("image",),
               {"kernel_h": {1, 3, 7}, "stride_h": {1, 2}, "num_heads": set()}),
    "swin": ({"embed_dim": 12, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8], "window_size": 4, "image_size": 64,
              "patch_size": 2}, ("image",), {"kernel_h": {2}, "num_heads": {1, 2, 4, 8}, "head_dim": {12}}),
    "clip": ({"text_config": _TOWER, "vision_config": _TOWER, "projection_dim": 16}, ("ids", "image"),
             {**_HEADS, "causal": {1}}),
    "wav2vec2": ({**_SIZES, "conv_dim": [8, 8], "conv_kernel": [10, 3], "conv_stride": [5, 2],
                  "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4},
                 ("wave",), {**_BOTH_WAYS, "kernel_w": {3, 10, 16}}),
}  # fmt: skip
"""Model type -> settings of its config, what it takes, and the attributes that follow from the settings."""


def _foreign(model_type: str) -> Case:
    from transformers import AutoConfig, AutoModel

    settings, takes, attributes = FOREIGN[model_type]
    config = AutoConfig.for_model(model_type, **settings)
    for part in (config, getattr(config, "text_config", None)):
        if part is not None and hasattr(part, "use_cache"):
            part.use_cache = False
    module = AutoModel.from_config(config).eval()
    side = 64 if model_type == "swin" else 32
    made = {
        "ids": ("input_ids", torch.arange(3, 15)[None]),
        "decoder": ("decoder_input_ids", torch.arange(4, 12)[None]),
        "image": ("pixel_values", torch.randn(1, 3, side, side)),
        "wave": ("input_values", torch.randn(1, 800)),
    }
    return Case(module, kwargs=dict(made[kind] for kind in takes), attributes=attributes)


NETWORKS: dict[str, Callable[[], Case]] = {
    **OWN,
    **{name: functools.partial(_foreign, name) for name in FOREIGN},
}
"""Name -> what builds it; seeded by the caller."""
