"""Whether a network and its exported program give the same graph: one row for each of some 30 networks.

    PYTHONPATH=. python benchmarks/export.py [--decomposed] [NAME ...]

Each network is traced and is also written by `torch.export.save` and read back by `read_export`, on equal inputs. The
columns say whether layer counts, shapes, attributes, parameters, edges and the hash of the two graphs are equal.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dataset_scripts.autonet.networks_autonet import build_network, example_inputs, sample_network
from processing_archbert import ArchitectureGraph, GraphFacts, trace
from processing_archbert.source_export_archbert import read_export

COLUMNS = ("layers", "shapes", "attributes", "parameters", "edges", "hash")
Case = Callable[[], tuple[nn.Module, Any]]


class Residual(nn.Module):
    """A small residual network with a depthwise and a dilated convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 7, 2, 3), nn.BatchNorm2d(16), nn.ReLU(True), nn.MaxPool2d(3, 2, 1))
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.pointwise = nn.Conv2d(16, 16, 1)
        self.dilated = nn.Conv2d(16, 16, 3, padding=2, dilation=2)
        self.norm = nn.GroupNorm(4, 16)
        self.act = nn.GELU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, 10) of images (B, 3, H, W)."""
        x = self.stem(x)
        x = x + self.act(self.norm(self.pointwise(self.depthwise(x))))
        x += self.dilated(x)
        return self.head(self.pool(x).flatten(1))


class Functional(nn.Module):
    """The same layers, called as functions, some on parameters that two of them share."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(8, 3, 3, 3))
        self.table = nn.Parameter(torch.zeros(11, 8))
        self.gain = nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Scores (B, 11) of images (B, 3, H, W) and indices (B, L)."""
        f = nn.functional
        x = f.avg_pool2d(f.leaky_relu(f.conv2d(x, self.kernel, stride=2, padding=1)), 2).mean((2, 3))
        x = f.normalize(x, dim=-1) * self.gain + f.embedding(ids, self.table).sum(1)
        x = f.layer_norm(f.dropout(x, 0.1), (8,), self.gain)
        return torch.softmax(f.linear(torch.cat([x, x[:1]])[:-1], self.table), -1)


class Recurrent(nn.Module):
    """An embedding, two recurrent layers and an upsampled output."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 12)
        self.lstm = nn.LSTM(12, 16, 2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(32, 8, batch_first=True)
        self.up = nn.Upsample(scale_factor=2)
        self.conv = nn.ConvTranspose1d(8, 4, 3, stride=2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Signals (B, 4, T) of indices (B, L)."""
        x = self.gru(self.lstm(self.embed(ids))[0])[0]
        return self.conv(self.up(x.transpose(1, 2))).tanh()


class Written(nn.Module):
    """Attention that is written out, and a mask that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.num_heads = nn.Linear(32, 96), nn.Linear(32, 32), 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (B, L, 32) of tokens (B, L, 32)."""
        batch, length, _ = x.shape
        q, k, v = (t.view(batch, length, 4, 8).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        weights = ((q @ k.transpose(-1, -2)) / 8**0.5).masked_fill(~mask, float("-inf")).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, length, 32)) + x


def _encoder() -> tuple[nn.Module, Any]:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), (torch.zeros(2, 6, 32),)


def _transformer() -> tuple[nn.Module, Any]:
    model = nn.Transformer(16, 2, 1, 1, 32, batch_first=True)
    return model, (torch.zeros(1, 5, 16), torch.zeros(1, 4, 16))


def _autonet(seed: int) -> Case:
    def make() -> tuple[nn.Module, Any]:
        spec = sample_network(seed)
        return build_network(spec), example_inputs(spec)

    return make


_TEXT = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 64, "max_position_embeddings": 64}  # fmt: skip
_IMAGE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
          "image_size": 32, "patch_size": 8}  # fmt: skip
_IDS = {"input_ids": torch.ones(1, 8, dtype=torch.long)}
_PIXELS = {"pixel_values": torch.zeros(1, 3, 32, 32)}
_FAMILIES: dict[str, tuple[dict[str, Any], dict[str, torch.Tensor]]] = {
    "bert": (_TEXT, _IDS),
    "roberta": (_TEXT, _IDS),
    "distilbert": ({"vocab_size": 99, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}, _IDS),
    "gpt2": ({"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}, _IDS),
    "llama": ({**_TEXT, "num_key_value_heads": 2}, _IDS),
    "mistral": ({**_TEXT, "num_key_value_heads": 2, "sliding_window": 4}, _IDS),
    "qwen2": ({**_TEXT, "num_key_value_heads": 2}, _IDS),
    "gemma2": ({**_TEXT, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4}, _IDS),
    "t5": ({"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
           _IDS | {"decoder_input_ids": torch.ones(1, 4, dtype=torch.long)}),
    "bart": ({"vocab_size": 99, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
              "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}, _IDS),
    "mamba": ({"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}, _IDS),
    "vit": (_IMAGE, _PIXELS),
    "deit": (_IMAGE, _PIXELS),
    "resnet": ({"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}, _PIXELS),
    "convnext": ({"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}, _PIXELS),
    "swin": ({"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4],
              "window_size": 4}, _PIXELS),
    "mobilenet_v2": ({}, _PIXELS),
    "clip": ({"text_config": _TEXT | {"eos_token_id": 1}, "vision_config": _IMAGE, "projection_dim": 16},
             _IDS | _PIXELS),
}  # fmt: skip


def _family(kind: str) -> Case:
    def make() -> tuple[nn.Module, Any]:
        from transformers import AutoConfig, AutoModel

        options, inputs = _FAMILIES[kind]
        config = AutoConfig.for_model(kind, **options)
        config.use_cache = False
        return AutoModel.from_config(config), inputs

    return make


CASES: dict[str, Case] = {
    "residual": lambda: (Residual(), (torch.zeros(1, 3, 64, 64),)),
    "functional": lambda: (Functional(), (torch.zeros(2, 3, 16, 16), torch.zeros(2, 5, dtype=torch.long))),
    "recurrent": lambda: (Recurrent(), (torch.zeros(1, 7, dtype=torch.long),)),
    "written-attention": lambda: (Written(), (torch.zeros(1, 6, 32),)),
    "transformer-encoder": _encoder,
    "transformer": _transformer,
    **{f"autonet-{seed}": _autonet(seed) for seed in range(6)},
    **{kind: _family(kind) for kind in _FAMILIES},
}


def exported(module: nn.Module, inputs: Any, path: Path, decomposed: bool = False) -> Path:
    """Writes the exported program of a module to `path`."""
    args, kwargs = ((), inputs) if isinstance(inputs, dict) else (inputs, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module.eval(), args, kwargs, strict=False)
        torch.export.save(program.run_decompositions() if decomposed else program, path)
    return path


def compare(one: ArchitectureGraph, other: ArchitectureGraph) -> dict[str, bool]:
    """Whether two graphs agree, by column."""

    def rows(graph: ArchitectureGraph, values: Any) -> Counter[tuple[str, ...]]:
        return Counter((op, *map(str, row)) for op, row in zip(graph.op_types, values.tolist(), strict=True))

    return {
        "layers": GraphFacts(one).layer_counts() == GraphFacts(other).layer_counts(),
        "shapes": rows(one, one.shapes) == rows(other, other.shapes),
        "attributes": rows(one, one.attributes) == rows(other, other.attributes),
        "parameters": (one.num_parameters, one.unused_parameters) == (other.num_parameters, other.unused_parameters),
        "edges": one.num_edges == other.num_edges,
        "hash": one.graph_hash == other.graph_hash,
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help=f"networks; all of {', '.join(CASES)} by default")
    parser.add_argument("--decomposed", action="store_true", help="write the program after run_decompositions()")
    parser.add_argument("--verbose", action="store_true", help="print what differs")
    options = parser.parse_args()
    print(f"{'network':22}", *(f"{c:>11}" for c in COLUMNS), "  nodes  seconds (export, read)")
    for name in options.names or CASES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                module, inputs = CASES[name]()
                traced = trace(module.eval(), inputs)
                start = time.perf_counter()
                path = exported(module, inputs, Path(folder) / "model.pt2", options.decomposed)
                middle = time.perf_counter()
                read = read_export(path)
                end = time.perf_counter()
            except Exception as error:  # of torch.export or of a library: the row says so
                print(f"{name:22} {type(error).__name__}: {str(error).splitlines()[0][:120]}", flush=True)
                continue
        equal = compare(traced, read)
        marks = (f"{'yes' if equal[c] else 'no':>11}" for c in COLUMNS)
        print(f"{name:22}", *marks, f"{len(traced):7}  {middle - start:6.2f} {end - middle:6.2f}", flush=True)
        if options.verbose and not equal["hash"]:
            _print_difference(traced, read)


def _print_difference(one: ArchitectureGraph, other: ArchitectureGraph) -> None:
    def rows(graph: ArchitectureGraph) -> Counter[str]:
        sources: dict[int, list[str]] = {}
        for s, d in graph.edge_index.T.tolist():
            sources.setdefault(d, []).append(graph.op_types[s])
        return Counter(
            f"{op} {graph.shapes[i].tolist()} {[v for v in graph.attributes[i].tolist() if v]} "
            f"{sorted(sources.get(i, []))}"
            for i, op in enumerate(graph.op_types)
        )

    mine, theirs = rows(one), rows(other)
    for sign, difference in (("-", mine - theirs), ("+", theirs - mine)):
        for row, count in difference.items():
            print(f"    {sign} {count} x {row[:200]}")


if __name__ == "__main__":
    main()
