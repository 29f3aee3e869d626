"""Reading ONNX files: the same graph as a trace, whatever spells it, and no weights."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from processing_archbert import ArchitectureGraph, GraphFacts, trace
from processing_archbert.source_errors_archbert import ArchitectureSourceError
from processing_archbert.source_onnx_archbert import read_onnx

sys.path.append(str(Path(__file__).resolve().parent / "fuzz"))

import fuzz_onnx

node = helper.make_node


def weight(name: str, *sizes: int, dtype: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.arange(int(np.prod(sizes)), dtype=dtype).reshape(sizes), name)


def read(folder: Path, nodes: Any, tensors: Any = (), sizes: Any = (1, 3, 8, 8), **fields: Any) -> ArchitectureGraph:
    path = folder / "network.onnx"
    path.write_bytes(fuzz_onnx.model(nodes, tensors, sizes, **fields).SerializeToString())
    return read_onnx(path)


def layers(graph: ArchitectureGraph) -> list[str]:
    return [op for op in graph.op_types if op not in ("input", "output")]


class Convolutional(nn.Module):
    """Convolutions of several kinds, group norm, gates, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.SiLU(), nn.MaxPool2d(2))
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.act, self.head = nn.Hardswish(), nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.up(self.act(x + self.depthwise(x)))
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Sequence(nn.Module):
    """Embedding, attention, feed-forward, two recurrent layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.encoder = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
        self.lstm = nn.LSTM(16, 8, 2, batch_first=True, bidirectional=True)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.encoder(self.embedding(ids))
        heads = x.view(x.shape[0], -1, 2, 8).transpose(1, 2)
        x = x + nn.functional.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2)
        return self.head(self.norm(self.lstm(x)[0]))


NETWORKS = {"convolutional": (Convolutional, torch.zeros(1, 3, 32, 32)),
            "sequence": (Sequence, torch.ones(1, 6, dtype=torch.int64))}  # fmt: skip


@pytest.mark.parametrize("exporter", [{"dynamo": False, "opset_version": 14}, {"dynamo": False, "opset_version": 17},
                                      {"dynamo": True, "opset_version": 18}])  # fmt: skip
@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_network_has_the_graph_of_its_trace(name: str, exporter: dict[str, Any], tmp_path: Path) -> None:
    make, inputs = NETWORKS[name]
    model = make().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (inputs,), str(tmp_path / "a.onnx"), verbose=False, **exporter)
    logging.disable(logging.NOTSET)
    for file in tmp_path.glob("*.data"):
        file.unlink()
    graph, traced = read_onnx(tmp_path / "a.onnx"), trace(model, inputs)
    assert GraphFacts(graph).layer_counts() == GraphFacts(traced).layer_counts()
    assert graph.num_parameters == traced.num_parameters
    assert graph.graph_hash == traced.graph_hash


def test_names_parameters_and_attributes(tmp_path: Path) -> None:
    graph = read(
        tmp_path,
        [node("Conv", ["x", "w", "b"], ["a"], "/stem/conv/Conv", strides=[2, 2], dilations=[2, 2], group=3),
         node("Identity", ["a"], ["i"]), node("Clip", ["i", "low", "high"], ["y"])],
        [weight("w", 6, 1, 5, 3), weight("b", 6), numpy_helper.from_array(np.float32(0), "low"),
         numpy_helper.from_array(np.float32(6), "high")],
    )  # fmt: skip
    assert graph.op_types == ("input", "Conv2d", "ReLU6", "output")
    assert graph.node_names[1] == "stem.conv"
    assert graph.shapes[1].tolist() == [6, 1, 5, 3]
    values = {n: int(graph.attribute(n)[1]) for n in ("kernel_h", "kernel_w", "stride_h", "dilation_w", "groups")}
    assert values == {"kernel_h": 5, "kernel_w": 3, "stride_h": 2, "dilation_w": 2, "groups": 3}
    assert graph.node_parameters.tolist() == [0, 96, 0, 0]
    assert graph.num_parameters == 96


def test_a_matrix_that_is_shared_is_counted_once(tmp_path: Path) -> None:
    graph = read(
        tmp_path,
        [node("MatMul", ["x", "w"], ["a"]), node("Add", ["a", "b"], ["c"]), node("Gemm", ["c", "w"], ["y"], transB=1)],
        [weight("w", 4, 4), weight("b", 4)],
        sizes=(2, 4),
    )
    assert layers(graph) == ["Linear", "Linear"]
    assert graph.node_parameters.tolist() == [0, 20, 0, 0]


SPELLED = {
    "GELU": [("Div", "x", "k"), ("Erf", "0"), ("Add", "1", "k"), ("Mul", "x", "2"), ("Mul", "3", "k")],
    "SiLU": [("Sigmoid", "x"), ("Mul", "x", "0")],
    "Mish": [("Softplus", "x"), ("Tanh", "0"), ("Mul", "x", "1")],
    "Softsign": [("Abs", "x"), ("Add", "0", "k"), ("Div", "x", "1")],
    "Tanhshrink": [("Tanh", "x"), ("Sub", "x", "0")],
    "LogSigmoid": [("Sigmoid", "x"), ("Log", "0")],
    "rsqrt": [("Sqrt", "x"), ("Reciprocal", "0")],
    "RMSNorm": [("Mul", "x", "x"), ("ReduceMean", "0"), ("Add", "1", "k"), ("Sqrt", "2"), ("Div", "x", "3"),
                ("Mul", "4", "w")],
    "LayerNorm": [("ReduceMean", "x"), ("Sub", "x", "0"), ("Mul", "1", "1"), ("ReduceMean", "2"), ("Add", "3", "k"),
                  ("Sqrt", "4"), ("Div", "1", "5"), ("Mul", "6", "w"), ("Add", "7", "b")],
}  # fmt: skip


@pytest.mark.parametrize("op", SPELLED)
def test_a_layer_that_is_spelled_out_is_one_node(op: str, tmp_path: Path) -> None:
    nodes = []
    for i, (kind, *inputs) in enumerate(SPELLED[op]):
        names = [f"v{name}" if name.isdigit() else name for name in inputs]
        nodes.append(node(kind, names, [f"v{i}"]))
    nodes[-1].output[0] = "y"
    constant = numpy_helper.from_array(np.float32(1), "k")
    graph = read(tmp_path, nodes, [constant, weight("w", 8), weight("b", 8)])
    assert layers(graph) == [op]
    assert graph.num_parameters == {"RMSNorm": 8, "LayerNorm": 16}.get(op, 0)
    if op.endswith("Norm"):
        assert graph.shapes[1].tolist() == [8, 0, 0, 0]


def test_a_gate_of_another_value_is_no_activation(tmp_path: Path) -> None:
    graph = read(tmp_path, [node("Sigmoid", ["x"], ["a"]), node("Relu", ["x"], ["b"]), node("Mul", ["a", "b"], ["y"])])
    assert sorted(layers(graph)) == ["ReLU", "Sigmoid", "mul"]


def test_what_depends_on_no_input_is_dropped_and_moving_data_contracted(tmp_path: Path) -> None:
    graph = read(
        tmp_path,
        [node("Shape", ["x"], ["s"]), node("ConstantOfShape", ["s"], ["zeros"]), node("Add", ["x", "zeros"], ["a"]),
         node("Transpose", ["a"], ["t"]), node("Cast", ["t"], ["c"], to=1), node("Dropout", ["c"], ["d"]),
         node("Reshape", ["d", "shape"], ["y"])],
        [numpy_helper.from_array(np.array([-1]), "shape")],
    )  # fmt: skip
    assert graph.op_types == ("input", "output")


@pytest.mark.parametrize("kind", ["qlinear", "dequantised", "nibbles", "integer"])
def test_quantised_layers_are_the_same_layers(kind: str, tmp_path: Path) -> None:
    one, zero = numpy_helper.from_array(np.float32(1), "s"), numpy_helper.from_array(np.uint8(0), "z")
    tensors = [one, zero, weight("w", 16, 6, dtype=np.uint8), weight("k", 6, 3, 1, 1, dtype=np.uint8),
               weight("packed", 6, 1, 8, dtype=np.uint8), weight("scales", 6)]  # fmt: skip
    sizes: tuple[int, ...] = (2, 16)
    if kind == "qlinear":
        nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"]),
                 node("QLinearConv", ["q", "s", "z", "k", "s", "z", "s", "z"], ["r"]),
                 node("DequantizeLinear", ["r", "s", "z"], ["y"])]  # fmt: skip
        sizes = (1, 3, 8, 8)
    elif kind == "dequantised":
        nodes = [node("DequantizeLinear", ["w", "s", "z"], ["d"]), node("MatMul", ["x", "d"], ["y"])]
    elif kind == "nibbles":
        nodes = [node("MatMulNBits", ["x", "packed", "scales"], ["y"], domain="com.microsoft", K=16, N=6)]
    else:
        nodes = [node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]),
                 node("MatMulInteger", ["q", "w", "qz", "z"], ["i"]), node("Cast", ["i"], ["f"], to=1),
                 node("Mul", ["qs", "s"], ["both"]), node("Mul", ["f", "both"], ["y"])]  # fmt: skip
    graph = read(tmp_path, nodes, tensors, sizes)
    assert layers(graph) == ["Conv2d" if kind == "qlinear" else "Linear"]
    assert graph.shapes[1].tolist() == ([6, 3, 1, 1] if kind == "qlinear" else [6, 16, 0, 0])
    assert graph.num_parameters == (18 if kind == "qlinear" else 96)


def test_functions_and_subgraphs_are_put_in_place(tmp_path: Path) -> None:
    path = tmp_path / "control.onnx"
    path.write_bytes(fuzz_onnx.SEEDS()[1])
    assert sorted(layers(read_onnx(path))) == ["GELU", "ReLU", "Tanh", "add", "erf"]


def test_other_domains_keep_a_plain_name_and_attention_says_its_heads(tmp_path: Path) -> None:
    graph = read(
        tmp_path,
        [node("FancyStep", ["x"], ["a"], domain="some.vendor"),
         node("GroupQueryAttention", ["a", "a", "a"], ["y"], domain="com.microsoft", num_heads=8, kv_num_heads=2)],
    )  # fmt: skip
    assert layers(graph) == ["fancy_step", "scaled_dot_product_attention"]
    assert [int(graph.attribute(name)[2]) for name in ("num_heads", "num_kv_heads", "causal")] == [8, 2, 1]


def test_weights_are_not_read(tmp_path: Path) -> None:
    """The data are a hole of 3 GB in the file, which would take as much memory if it was read."""
    start = fuzz_onnx.model([node("MatMul", ["x", "w"], ["y"])], sizes=(2, 4)).SerializeToString()
    size = 3 * 2**30
    tensor = TensorProto(name="w", data_type=1, dims=[4, size // 16]).SerializeToString() + b"\x4a" + varint(size)
    path = tmp_path / "large.onnx"
    graph = onnx.load_from_string(start).graph.SerializeToString() + b"\x2a" + varint(len(tensor) + size) + tensor
    with path.open("wb") as file:
        file.write(b"\x3a" + varint(len(graph) + size) + graph)
        file.truncate(file.tell() + size)
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_onnx(path).num_parameters == size // 4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def varint(value: int) -> bytes:
    text = bytearray()
    while value > 127:
        text.append(value & 127 | 128)
        value >>= 7
    return bytes(text) + bytes([value])


def test_external_data_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = TensorProto(name="w", data_type=1, dims=[8, 3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=str(tmp_path / "absent.bin"))
    assert read(tmp_path, [node("MatMul", ["x", "w"], ["y"])], [tensor]).num_parameters == 24


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Relu", ["missing"], ["y"])], "needs the value 'missing'"),
        ([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["a"], ["y"])], "cycle"),
        ([node("Relu", ["x"], ["y"]), node("Relu", ["x"], ["y"])], "made twice"),
        ([node("Shape", ["x"], ["y"])], "holds no network"),
    ],
)
def test_what_cannot_run_is_refused(nodes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArchitectureSourceError, match=message):
        read(tmp_path, nodes)


def test_hostile_files_raise_our_errors_only(tmp_path: Path) -> None:
    path = tmp_path / "hostile.onnx"
    seeds = fuzz_onnx.SEEDS()
    cut = [seed[:end] for seed in seeds for end in range(0, len(seed), 29)]
    for data in [*fuzz_onnx.HOSTILE(), *cut]:
        path.write_bytes(data)
        try:
            assert isinstance(read_onnx(path), ArchitectureGraph)
        except fuzz_onnx.ALLOWED as error:
            assert str(error)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ArchitectureSourceError, match=r"nowhere\.onnx"):
        read_onnx("nowhere.onnx")
