"""Whether one network gives the same graph through `trace` and through both exporters of `torch.onnx`.

    python -m benchmarks.onnx_agreement [--only NAME ...] [--show NAME]

Prints a table, model x exporter: layers, parameters and hashes equal or not, and what differs. The exporter of
`dynamo=True` needs onnxscript.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dataset_scripts.autonet.networks_autonet import build_network, example_inputs, sample_network
from processing_archbert import ArchitectureGraph, GraphFacts, trace
from processing_archbert.source_onnx_archbert import read_onnx

EXPORTERS: dict[str, dict[str, Any]] = {
    "script": {"dynamo": False, "opset_version": 17},
    "dynamo": {"dynamo": True, "opset_version": 18, "external_data": False},
}
Case = tuple[nn.Module, tuple[Any, ...] | dict[str, Any]]


class Residual(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, width: int, norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=not norm)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=not norm)
        self.norm1 = nn.BatchNorm2d(width) if norm else nn.GroupNorm(4, width)
        self.norm2 = nn.BatchNorm2d(width) if norm else nn.GroupNorm(4, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), as the input."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(x + self.norm2(self.conv2(y)))


class Depthwise(nn.Module):
    """Depthwise and pointwise convolution, squeeze and excitation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.pointwise = nn.Conv2d(width, width, 1)
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.down, self.up = nn.Conv2d(width, 8, 1), nn.Conv2d(8, width, 1)
        self.act, self.gate = nn.Hardswish(), nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), as the input."""
        y = self.act(self.pointwise(self.depthwise(x)))
        return y * self.gate(self.up(torch.relu(self.down(self.squeeze(y)))))


class Recurrent(nn.Module):
    """Embedding, two-way LSTM of two layers, classifier on the mean."""

    def __init__(self, kind: Any = nn.LSTM) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 24)
        self.rnn = kind(24, 32, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(64, 5)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, 5)."""
        return self.head(self.rnn(self.embedding(ids))[0].mean(1))


class Head(nn.Module):
    """Stem, blocks, pooling and classifier."""

    def __init__(self, *blocks: nn.Module, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 10)."""
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1), 1))


class Encoder(nn.Module):
    """A model of transformers as a function of one tensor."""

    def __init__(self, model: nn.Module, key: str) -> None:
        super().__init__()
        self.model, self.key = model, key

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Every result of the model."""
        return tuple(value for value in self.model(**{self.key: x}).values() if isinstance(value, Tensor))


def _image() -> tuple[Tensor]:
    return (torch.randn(1, 3, 64, 64),)


def _ids() -> tuple[Tensor]:
    return (torch.arange(12).reshape(1, 12) + 3,)


def _generator() -> Case:
    layers = [nn.ConvTranspose2d(8, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.InstanceNorm2d(16, affine=True),
              nn.ConvTranspose2d(16, 4, 3, 2, 1, 1, groups=2), nn.Upsample(scale_factor=2),
              nn.Conv2d(4, 3, 3, dilation=2), nn.PixelShuffle(1), nn.Tanh()]  # fmt: skip
    return nn.Sequential(*layers), (torch.randn(1, 8, 8, 8),)


def _encoder() -> Case:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), (torch.randn(1, 8, 32),)


def _activations() -> Case:
    names = "ReLU GELU SiLU Mish ELU SELU CELU LeakyReLU PReLU Softplus Softsign Hardtanh ReLU6 LogSigmoid Tanhshrink"
    layers: list[nn.Module] = []
    for name in names.split():
        layers += [nn.Linear(8, 8), getattr(nn, name)()]
    return nn.Sequential(*layers, nn.GELU("tanh"), nn.Linear(8, 8), nn.GLU(), nn.LayerNorm(4)), (torch.randn(1, 8),)


def _transformer(kind: str, **options: Any) -> Case:
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(kind, **options)
    config.use_cache = False
    model = AutoModel.from_config(config)
    size = getattr(config, "image_size", 64)
    vision = hasattr(config, "num_channels")
    key = "pixel_values" if vision else "input_ids"
    if kind == "t5":
        model = model.encoder
    return Encoder(model, key), (torch.randn(1, 3, size, size),) if vision else _ids()


_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_TEXT = _SMALL | {"vocab_size": 99}
CASES: dict[str, Callable[[], Case]] = {
    "cnn": lambda: (Head(nn.Conv2d(16, 16, 3), nn.Sigmoid(), nn.AvgPool2d(2)), _image()),
    "resnet-groupnorm": lambda: (Head(Residual(16, False), Residual(16, False)), _image()),
    "resnet-batchnorm": lambda: (Head(Residual(16, True), Residual(16, True)), _image()),
    "depthwise": lambda: (Head(Depthwise(16), Depthwise(16)), _image()),
    "generator": _generator,
    "lstm": lambda: (Recurrent(), _ids()),
    "gru": lambda: (Recurrent(nn.GRU), _ids()),
    "encoder": _encoder,
    "activations": _activations,
    "bert": lambda: _transformer("bert", **_TEXT),
    "resnet": lambda: _transformer(
        "resnet", embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    ),
    "vit": lambda: _transformer("vit", **_SMALL, image_size=32, patch_size=8),
    "gpt2": lambda: _transformer("gpt2", n_embd=32, n_layer=2, n_head=4, vocab_size=99),
    "llama": lambda: _transformer("llama", **_TEXT, num_key_value_heads=2),
    "t5": lambda: _transformer("t5", d_model=32, num_layers=2, num_heads=4, d_kv=8, d_ff=64, vocab_size=99),
    "convnext": lambda: _transformer("convnext", hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
}


def _autonet(seed: int) -> Case:
    spec = sample_network(seed)
    return build_network(spec), example_inputs(spec)


for _seed in range(12):
    CASES[f"autonet-{_seed}"] = partial(_autonet, _seed)


def export(model: nn.Module, inputs: Any, path: Path, exporter: str) -> None:
    """Writes a network as ONNX, without messages."""
    named = inputs if isinstance(inputs, dict) else None
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(model, () if named else inputs, str(path), kwargs=named, **EXPORTERS[exporter])
    finally:
        logging.disable(logging.NOTSET)


def difference(ours: ArchitectureGraph, theirs: ArchitectureGraph) -> str:
    """What the second graph has more (+) and less (-) of: ops with shapes and attributes."""

    def kinds(graph: ArchitectureGraph) -> Counter[str]:
        rows = zip(graph.op_types, graph.shapes.tolist(), graph.attributes.tolist(), strict=True)
        return Counter(f"{op}{[s for s in shape if s] or ''}{[a for a in attributes if a] or ''}"
                       for op, shape, attributes in rows)  # fmt: skip

    a, b = kinds(ours), kinds(theirs)
    parts = [f"+{n} {k}" for k, n in sorted((b - a).items())] + [f"-{n} {k}" for k, n in sorted((a - b).items())]
    return "; ".join(parts)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", nargs="*", default=list(CASES))
    parser.add_argument("--show", action="store_true", help="print the nodes of both graphs")
    options = parser.parse_args()
    print("| network | exporter | layers | parameters | hash | what differs |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            torch.manual_seed(0)
            model, inputs = CASES[name]()
            for parameter in model.parameters():  # as after training: exporters join equal ones
                nn.init.normal_(parameter, std=0.02)
            model.eval()
            traced = trace(model, inputs)
            for exporter in EXPORTERS:
                path = Path(folder) / f"{name}-{exporter}.onnx"
                try:
                    export(model, inputs, path, exporter)
                except Exception as error:
                    print(f"| {name} | {exporter} | - | - | - | export fails: {str(error).splitlines()[0][:60]} |")
                    continue
                graph = read_onnx(path)
                layers = GraphFacts(graph).layer_counts() == GraphFacts(traced).layer_counts()
                parameters = (graph.num_parameters - graph.unused_parameters) - (
                    traced.num_parameters - traced.unused_parameters
                )
                same = graph.graph_hash == traced.graph_hash
                cells = ["yes" if layers else "no", "yes" if not parameters else f"{parameters:+d}",
                         "yes" if same else "no", difference(traced, graph)[:300]]  # fmt: skip
                print(f"| {name} | {exporter} | {' | '.join(cells)} |")
                sys.stdout.flush()
                if options.show:
                    for which in (traced, graph):
                        for i, op in enumerate(which.op_types):
                            print("   ", i, op, which.shapes[i].tolist(), which.node_parameters[i],
                                  which.node_names[i], which.predecessors()[i])  # fmt: skip


if __name__ == "__main__":
    main()
