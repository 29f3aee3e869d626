"""Fuzz target: the reader of ONNX files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from processing_archbert.architecture_graph_archbert import ArchitectureGraphError
from processing_archbert.source_errors_archbert import ArchitectureSourceError
from processing_archbert.source_onnx_archbert import read_onnx

ALLOWED = (ArchitectureSourceError, ArchitectureGraphError)
SUFFIX = ".onnx"

_FLOAT, _INT = TensorProto.FLOAT, TensorProto.INT64


def read(path: str) -> object:
    """Reads one file."""
    return read_onnx(path)


def tensor(name: str, *sizes: int, dtype: type = np.float32) -> TensorProto:
    """A small initializer of ones."""
    return numpy_helper.from_array(np.ones(sizes, dtype), name)


def model(
    nodes: Sequence[NodeProto], tensors: Sequence[TensorProto] = (), sizes: Sequence[Any] = (1, 3, 8, 8), **fields: Any
) -> ModelProto:
    """A model from `x` of these sizes to `y`."""
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info("x", _FLOAT, list(sizes))],
        [helper.make_tensor_value_info("y", _FLOAT, None)],
        list(tensors),
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("own", 1)], **fields
    )


def _network() -> ModelProto:
    node = helper.make_node
    shape = numpy_helper.from_array(np.array([0, 4, -1]), "shape")
    return model(
        [
            node("Conv", ["x", "conv.weight", "conv.bias"], ["a"], "/conv/Conv", kernel_shape=[3, 3], pads=[1] * 4),
            node("BatchNormalization", ["a", "s", "s", "s", "s"], ["b"]),
            node("Sigmoid", ["b"], ["c"]),
            node("Mul", ["b", "c"], ["d"]),
            node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Reshape", ["e", "shape"], ["f"]),
            node("MatMul", ["f", "linear"], ["g"]),
            node("Softmax", ["g"], ["h"]),
            node("LSTM", ["h", "w", "r"], ["", "i"], hidden_size=2),
            node("Concat", ["h", "i"], ["y"], axis=1),
        ],
        [tensor("conv.weight", 4, 3, 3, 3), tensor("conv.bias", 4), tensor("s", 4), shape, tensor("linear", 16, 8),
         tensor("w", 1, 8, 8), tensor("r", 1, 8, 2)],
    )  # fmt: skip


def _control() -> ModelProto:
    node, info = helper.make_node, helper.make_tensor_value_info
    inner = [node("Relu", ["x"], ["then_y"])], [node("Tanh", ["x"], ["else_y"])]
    branches = [
        helper.make_graph(nodes, name, [], [info(nodes[0].output[0], _FLOAT, None)])
        for nodes, name in zip(inner, ("then", "else"), strict=True)
    ]
    body = helper.make_graph(
        [node("Add", ["state", "x"], ["next"]), node("Identity", ["go"], ["on"])],
        "body",
        [info("turn", _INT, []), info("go", TensorProto.BOOL, []), info("state", _FLOAT, None)],
        [info("on", TensorProto.BOOL, []), info("next", _FLOAT, None)],
    )
    calls = [node("Gelu", ["a"], ["c"]), node("Erf", ["c"], ["b"])]
    function = helper.make_function("own", "Twice", ["a"], ["b"], calls, [helper.make_opsetid("", 20)])
    nodes = [
        node("ReduceSum", ["x"], ["total"], keepdims=0), node("Cast", ["total"], ["flag"], to=TensorProto.BOOL),
        node("If", ["flag"], ["z"], then_branch=branches[0], else_branch=branches[1]),
        node("Loop", ["", "flag", "z"], ["w"], body=body), node("Twice", ["w"], ["y"], domain="own"),
    ]  # fmt: skip
    return model(nodes, functions=[function])


def SEEDS() -> list[bytes]:
    """Small valid models: layers, and control flow with a function."""
    return [_network().SerializeToString(), _control().SerializeToString()]


def MUTATE(data: bytes, rng: random.Random) -> bytes:
    """A model with a few fields replaced, taken out or doubled; its encoding is sound."""
    try:
        proto = ModelProto.FromString(data)
    except DecodeError:
        return data
    words = [name for node in proto.graph.node for name in (*node.input, *node.output, node.op_type)]
    for _ in range(rng.randint(1, 4)):
        _damage(proto, rng, words)
    return proto.SerializeToString()


def _damage(place: Message, rng: random.Random, words: Sequence[str]) -> None:
    """Walks to a random field and changes it."""
    while fields := place.ListFields():
        field, value = rng.choice(fields)
        repeated = not isinstance(value, (Message, int, float, str, bytes))
        if field.message_type is not None and rng.random() < 0.9:
            place = rng.choice(list(value)) if repeated else value
            continue
        change = rng.random()
        if change < 0.2:
            place.ClearField(field.name)
        elif repeated and change < 0.4:
            del value[rng.randrange(len(value))]
        elif repeated and change < 0.6:
            items = list(value)
            value.extend(rng.choices(items, k=rng.choice((1, 3))))
        elif field.message_type is None:
            new = _value(field, rng, words)
            if repeated:
                value[rng.randrange(len(value))] = new
            else:
                setattr(place, field.name, new)
        return


def _value(field: FieldDescriptor, rng: random.Random, words: Sequence[str]) -> Any:
    """A value of the type of a field that a file may hold and hardly means."""
    kind = field.type
    if kind == FieldDescriptor.TYPE_ENUM:
        return rng.choice([value.number for value in field.enum_type.values])
    if kind in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf")))
    if kind in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        text = rng.choice((*words, "", "x", "If", "Loop", "Scan", "Constant", "Reshape", "Twice", "own", "/" * 200))
        return text if kind == FieldDescriptor.TYPE_STRING else text.encode()
    numbers = (0, 1, 2, 7, 9, 2**31 - 1)
    return rng.choice((*numbers, -1, 2**40, 2**63 - 1, -(2**63)) if kind == FieldDescriptor.TYPE_INT64 else numbers)


def _functions(calls: dict[str, Sequence[str]]) -> bytes:
    """A model that calls the first of functions, each of which calls others in a chain."""
    opsets = [helper.make_opsetid("own", 1), helper.make_opsetid("", 18)]
    made = []
    for name, called in calls.items():
        nodes = [helper.make_node(inner, [f"v{i}"], [f"v{i + 1}"], domain="own" if inner in calls else "")
                 for i, inner in enumerate(called)]  # fmt: skip
        made.append(helper.make_function("own", name, ["v0"], [f"v{len(called)}"], nodes, opsets))
    first = helper.make_node(next(iter(calls)), ["x"], ["y"], domain="own")
    return model([first], functions=made).SerializeToString()


def _nested(depth: int) -> bytes:
    value = helper.make_tensor_value_info("r", _FLOAT, None)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["r"])], "leaf", [], [value])
    for _ in range(depth):
        node = helper.make_node("If", ["x"], ["r"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "level", [], [value])
    last = helper.make_node("If", ["x"], ["y"], then_branch=graph, else_branch=graph)
    return model([last]).SerializeToString()


def _field(number: int, data: bytes) -> bytes:
    size, text = len(data), bytearray([number << 3 | 2])
    while size > 127:
        text.append(size & 127 | 128)
        size >>= 7
    return bytes(text) + bytes([size]) + data


def _deep(depth: int) -> bytes:
    """One branch inside the other, deeper than the protobuf package would write it."""
    graph = _field(1, helper.make_node("Relu", ["x"], ["r"]).SerializeToString())
    for _ in range(depth):
        branch = _field(5, _field(1, b"then_branch") + _field(6, graph))
        graph = _field(1, _field(1, b"x") + _field(2, b"r") + _field(4, b"If") + branch)
    return _field(7, graph)


def HOSTILE() -> list[bytes]:
    """Models made to do harm: cycles, recursion, expansion, deep nesting, huge sizes, missing and double values."""
    node = helper.make_node
    huge = TensorProto(name="w", data_type=_FLOAT, dims=[2**62, 2**62])
    large = TensorProto(name="w", data_type=_FLOAT, dims=[2**31, 2**20])
    outside = TensorProto(name="w", data_type=_FLOAT, dims=[3, 3], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="/etc/passwd")
    power = [numpy_helper.from_array(np.array([2**53 - 1]), "n")]
    cases = [
        model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])]),
        model([node("Relu", ["y"], ["y"])]),
        model([node("Relu", ["missing"], ["y"])]),
        model([node("Relu", ["x"], ["y"]), node("Tanh", ["x"], ["y"])]),
        model([node("Relu", ["x"], ["x"]), node("Relu", ["x"], ["y"])]),
        *(model([node("MatMul", ["x", "w"], ["y"])], [w]) for w in (huge, large, outside)),
        model([node("Conv", ["x", "w"], ["y"], kernel_shape=[2**40] * 9, strides=[0], group=-5)], [tensor("w", 2, 3)]),
        model([node("Pow", ["n", "n"], ["p"]), node("Reshape", ["x", "p"], ["y"])], power),
        model([node("ConstantOfShape", ["n"], ["p"]), node("Add", ["x", "p"], ["y"])], power),
        model([node("Split", ["x"], [f"s{i}" for i in range(2000)]),
               *(node("Concat", [f"s{i}" for i in range(2000)], [f"c{j}"], axis=0) for j in range(50)),
               node("Concat", [f"c{j}" for j in range(50)], ["y"], axis=0)]),
        model([*(node("Relu", ["x"], [f"r{i}"]) for i in range(1500)),
               node("Concat", [f"r{i}" for i in range(1500)], ["p0"], axis=0),
               *(node("Concat", [f"p{i}", f"r{i}"], [f"p{i + 1}"], axis=0) for i in range(1499)),
               *(node("SequenceConstruct", [f"r{j}" for j in range(1500)], [f"q{i}"]) for i in range(40)),
               node("Concat", ["p1499", *(f"q{i}" for i in range(40))], ["y"], axis=0)]),
        model([node("BatchNormalization", ["x"], ["y"]), node("LSTM", [], ["z"])]),
        model([node("Loop", ["x"], ["y"]), node("Scan", [], ["z"], num_scan_inputs=2**40)]),
        model([node("a/b" * 300, ["x"], ["y"], domain="../../etc", axes="text", kernel_shape=1.5)]),
        model([node(op, ["x"] * count, ["y"], perm=[9] * 70, axis=2**60, to=2**60, kernel_shape=[0], num_groups=-1)
               for op in ("Transpose",) for count in (0,)]),
    ]  # fmt: skip
    doubling = {f"f{i}": [f"f{i + 1}"] * 10 for i in range(12)} | {"f12": ["Relu"]}
    chain = {f"f{i}": [f"f{i + 1}"] for i in range(200)} | {"f200": ["Relu"]}
    return [
        *(case.SerializeToString() for case in cases),
        *(_functions(calls) for calls in ({"f": ["f"]}, {"f": ["g"], "g": ["f"]}, doubling, chain)),
        _nested(9),
        _deep(40),
        _deep(5000),
        b"",
        b"\x3a" * 5000,
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + b"\x00" * 100,
        b"\x08" + b"\xff" * 5000,
    ]
