"""The structure of an ONNX file, read straight from its bytes; weights are stepped over.

* The file is read in windows: of a tensor only name, type and sizes are read, and the data of at most
  `MAX_SMALL_BYTES` where the structure can depend on them. External data is never opened.
* No package for ONNX or protobuf is needed: `onnx.load` copies embedded weights into memory, twice for a moment
  (953 MB for a file of 500 MB; this reader: under 1 MB).
* Every number of the file is checked before it is used; whatever is wrong raises `ArchitectureSourceError`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .source_errors_archbert import ArchitectureSourceError, first_line
from .source_onnx_model_archbert import OnnxGraph, OnnxModel, OnnxNode, OnnxTensor, OnnxValue

MAX_SMALL_BYTES = 1024
WINDOW_BYTES = 65536
MAX_NAME_BYTES = 65536
MAX_FILE_NODES = 200_000
MAX_TENSORS = 500_000
MAX_ENTRIES = 4_000_000
MAX_RANK = 64
MAX_DEPTH = 24
"""Deepest nesting of subgraphs."""

_SIZE_LIMIT = 2**53
_LONGEST_VARINT = 10

_NUMBER_FORMATS = {1: "f", 2: "B", 3: "b", 4: "H", 5: "h", 6: "i", 7: "q", 9: "?", 10: "e", 11: "d", 12: "I", 13: "Q"}
Span = tuple[int, int]
Fields = Iterator[tuple[int, Any]]


def read_model(path: str | os.PathLike[str]) -> OnnxModel:
    """The structure of an ONNX file.

    Raises:
        ArchitectureSourceError: there is no such file, it is no ONNX model, or it passes a limit.
    """
    name = os.fspath(path)
    try:
        if not Path(name).is_file():
            raise ArchitectureSourceError(f"{name!r} is no regular file; give the path of an .onnx file.")
        with open(name, "rb", buffering=0) as file:
            if not os.fstat(file.fileno()).st_size:
                raise ArchitectureSourceError(f"{name!r} is empty; export the model again.")
            return _Parser(file, name).model((0, os.fstat(file.fileno()).st_size))
    except (OSError, ValueError, RecursionError, struct.error) as error:
        if isinstance(error, ArchitectureSourceError):
            raise
        raise ArchitectureSourceError(f"{name!r} cannot be read as ONNX: {first_line(error)}.") from None


class _Parser:
    """Reads protobuf messages of one open file."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file = file
        self.name = name
        self.window = b""
        self.start = 0
        self.nodes = 0
        self.tensors = 0
        self.entries = 0

    def error(self, reason: str) -> ArchitectureSourceError:
        return ArchitectureSourceError(f"{self.name!r} is no readable ONNX model: {reason}. Export the model again.")

    def count(self, kind: str, limit: int) -> None:
        number = getattr(self, kind) + 1
        setattr(self, kind, number)
        if number > limit:
            raise self.error(f"it has more than {limit} {kind}")

    # Wire format

    def bytes(self, start: int, end: int) -> bytes:
        """A stretch of the file, which the caller has bounded."""
        first = start - self.start
        if first >= 0 and end - self.start <= len(self.window):
            return self.window[first : end - self.start]
        self.file.seek(start)
        return self.file.read(end - start)

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The number that starts at a place, and the place after it."""
        place = at - self.start
        if place < 0 or place + _LONGEST_VARINT > len(self.window):
            self.file.seek(at)
            self.window, self.start, place = self.file.read(WINDOW_BYTES), at, 0
        value = shift = 0
        for byte in self.window[place : place + min(_LONGEST_VARINT, end - at)]:
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value & (2**64 - 1), at + shift // 7
        raise self.error(f"a number at byte {at} does not end")

    def fields(self, span: Span) -> Fields:
        """(number, value) of every field: an int, 4 or 8 bytes as int, or the span of a longer one."""
        at, end = span
        while at < end:
            self.count("entries", MAX_ENTRIES)
            tag, at = self.varint(at, end)
            number, kind = tag >> 3, tag & 7
            if kind == 0:
                value, at = self.varint(at, end)
                yield number, value
                continue
            if kind == 2:
                size, at = self.varint(at, end)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise self.error(f"byte {at} has the unknown wire type {kind}")
            if number == 0 or size > end - at:
                raise self.error(f"a field at byte {at} reaches beyond its message (the file may be cut off)")
            yield number, (at, at + size)
            at += size

    def span(self, value: Any) -> Span:
        if not isinstance(value, tuple):
            raise self.error("a number stands where text or a message belongs")
        return value

    def text(self, value: Any) -> str:
        start, end = self.span(value)
        if end - start > MAX_NAME_BYTES:
            raise self.error(f"a name at byte {start} has {end - start} bytes; at most {MAX_NAME_BYTES} are read")
        return self.bytes(start, end).decode("utf-8", "replace")

    def integer(self, value: Any) -> int:
        if isinstance(value, tuple):
            raise self.error("a message stands where a number belongs")
        return value - 2**64 if value >= 2**63 else value

    def integers(self, value: Any) -> list[int]:
        """One number, or a packed list of them."""
        if not isinstance(value, tuple):
            return [self.integer(value)]
        at, end = value
        found = []
        while at < end:
            self.count("entries", MAX_ENTRIES)
            number, at = self.varint(at, end)
            found.append(self.integer(number))
        return found

    def floats(self, value: Any) -> list[float]:
        start, end = self.span(value)
        self.entries += (end - start) // 4
        if (end - start) % 4 or self.entries > MAX_ENTRIES:
            raise self.error(f"a list of numbers at byte {start} is cut off or too long")
        return [item[0] for item in struct.iter_unpack("<f", self.bytes(start, end))]

    # Messages

    def model(self, span: Span) -> OnnxModel:
        graph: OnnxGraph | None = None
        functions = {}
        model = OnnxModel(OnnxGraph(), {})
        for number, value in self.fields(span):
            if number == 7:
                graph = self.graph(self.span(value), 0)
            elif number == 25:
                function = self.function(self.span(value))
                functions[function.domain, function.name, function.overload] = function
            elif number == 2:
                model.producer = self.text(value)
            elif number == 8:
                domain, version = self.opset(self.span(value))
                model.opsets[domain] = version
        if graph is None or not graph.nodes:
            raise self.error("it holds no graph with nodes")
        model.graph, model.functions = graph, functions
        return model

    def opset(self, span: Span) -> tuple[str, int]:
        domain, version = "", 0
        for number, value in self.fields(span):
            if number == 1:
                domain = self.text(value)
            elif number == 2:
                version = self.integer(value)
        return domain, version

    def graph(self, span: Span, depth: int) -> OnnxGraph:
        if depth > MAX_DEPTH:
            raise self.error(f"its subgraphs are nested more than {MAX_DEPTH} deep")
        graph = OnnxGraph()
        for number, value in self.fields(span):
            if number == 1:
                graph.nodes.append(self.node(self.span(value), depth))
            elif number == 2:
                graph.name = self.text(value)
            elif number == 5:
                graph.tensors.append(self.tensor(self.span(value)))
            elif number == 11:
                graph.inputs.append(self.value_info(self.span(value)))
            elif number == 12:
                graph.outputs.append(self.value_info(self.span(value)).name)
            elif number == 13:
                graph.values.append(self.value_info(self.span(value)))
            elif number == 15:
                graph.tensors.append(self.sparse_tensor(self.span(value)))
        return graph

    def function(self, span: Span) -> OnnxGraph:
        graph = OnnxGraph()
        for number, value in self.fields(span):
            if number == 1:
                graph.name = self.text(value)
            elif number == 4:
                graph.inputs.append(OnnxValue(self.text(value)))
            elif number == 5:
                graph.outputs.append(self.text(value))
            elif number == 7:
                graph.nodes.append(self.node(self.span(value), 0))
            elif number == 10:
                graph.domain = self.text(value)
            elif number == 11:
                name, default, _ = self.attribute(self.span(value), 0)
                graph.defaults[name] = default
            elif number == 12:
                graph.values.append(self.value_info(self.span(value)))
            elif number == 13:
                graph.overload = self.text(value)
        return graph

    def node(self, span: Span, depth: int) -> OnnxNode:
        self.count("nodes", MAX_FILE_NODES)
        node = OnnxNode()
        for number, value in self.fields(span):
            if number == 1:
                node.inputs.append(self.text(value))
            elif number == 2:
                node.outputs.append(self.text(value))
            elif number == 3:
                node.name = self.text(value)
            elif number == 4:
                node.op = self.text(value)
            elif number == 5:
                name, attribute, reference = self.attribute(self.span(value), depth)
                if reference:
                    node.references[name] = reference
                else:
                    node.attributes[name] = attribute
            elif number == 7:
                domain = self.text(value)
                node.domain = "" if domain == "ai.onnx" else domain
            elif number == 8:
                node.overload = self.text(value)
            elif number == 9:
                self.metadata(self.span(value), node)
        if not node.op:
            raise self.error("a node has no operator")
        return node

    def metadata(self, span: Span, node: OnnxNode) -> None:
        key = text = ""
        for number, value in self.fields(span):
            start, end = self.span(value)
            if number == 1:
                key = self.text(value)
            elif number == 2 and end - start <= MAX_NAME_BYTES and key.startswith("pkg.torch.onnx."):
                text = self.text(value)
        if key == "pkg.torch.onnx.name_scopes":
            node.scopes = _strings(text)
        elif key == "pkg.torch.onnx.class_hierarchy":
            node.classes = _strings(text)

    def attribute(self, span: Span, depth: int) -> tuple[str, Any, str]:
        """Name, value and, inside a function, the name of the function's attribute that it stands for."""
        name = reference = ""
        single: Any = None
        items: list[Any] = []
        for number, value in self.fields(span):
            if number == 1:
                name = self.text(value)
            elif number == 21:
                reference = self.text(value)
            elif number == 2:
                single = self.floats(value)[0] if isinstance(value, tuple) and value[1] - value[0] == 4 else 0.0
            elif number == 3:
                single = self.integer(value)
            elif number == 4:
                start, end = self.span(value)
                single = self.text(value) if end - start <= MAX_NAME_BYTES else ""
            elif number == 5:
                single = self.tensor(self.span(value))
            elif number == 6:
                single = self.graph(self.span(value), depth + 1)
            elif number == 7:
                items += self.floats(value)
            elif number == 8:
                items += self.integers(value)
            elif number == 9:
                items.append(self.text(value))
            elif number == 11:
                items.append(self.graph(self.span(value), depth + 1))
        return name, single if single is not None else tuple(items), reference

    def tensor(self, span: Span) -> OnnxTensor:
        self.count("tensors", MAX_TENSORS)
        tensor = OnnxTensor()
        sizes: list[int] = []
        raw: Span | None = None
        lists: list[Any] = []
        for number, value in self.fields(span):
            if number == 1:
                sizes += self.integers(value)
            elif number == 2:
                tensor.data_type = self.integer(value)
            elif number == 8:
                tensor.name = self.text(value)
            elif number == 9:
                raw = self.span(value)
            elif number in (4, 5, 7, 10, 11) and len(lists) <= MAX_SMALL_BYTES // 8:
                lists.append((number, value))
        tensor.sizes = self.sizes(sizes, tensor.name)
        if 0 < tensor.size <= MAX_SMALL_BYTES // 8:
            tensor.values = self.small(tensor, raw, lists)
        if len(sizes) > 1 and sizes[-1] == sizes[-2] > 1 and raw is not None:
            tensor.corner = self.corner(tensor, raw)
        return tensor

    def corner(self, tensor: OnnxTensor, raw: Span) -> tuple[float, ...]:
        code, side = _NUMBER_FORMATS.get(tensor.data_type), tensor.sizes[-1]
        if code is None or raw[1] - raw[0] != tensor.size * struct.calcsize("<" + code):
            return ()
        width = struct.calcsize("<" + code)
        places = [raw[0] + index * width for index in (0, 1, side, side + 1)]
        return tuple(struct.unpack("<" + code, self.bytes(at, at + width))[0] for at in places)

    def sizes(self, sizes: list[int], name: str) -> tuple[int, ...]:
        total = 1
        for size in sizes:
            total *= max(size, 1)
            if size < 0 or total > _SIZE_LIMIT:
                raise self.error(f"the tensor {name[:100]!r} has the sizes {sizes[:8]}")
        if len(sizes) > MAX_RANK:
            raise self.error(f"the tensor {name[:100]!r} has {len(sizes)} dimensions; at most {MAX_RANK} are read")
        return tuple(sizes)

    def small(self, tensor: OnnxTensor, raw: Span | None, lists: list[Any]) -> tuple[float, ...] | None:
        """The numbers of a small tensor; None where they lie elsewhere or are of another type."""
        code = _NUMBER_FORMATS.get(tensor.data_type)
        numbers: list[float] = []
        if raw is not None and code is not None and raw[1] - raw[0] == tensor.size * struct.calcsize("<" + code):
            numbers = list(struct.unpack(f"<{tensor.size}{code}", self.bytes(raw[0], raw[1])))
        for number, value in lists:
            packed = isinstance(value, tuple)
            if packed and value[1] - value[0] > 10 * MAX_SMALL_BYTES:
                return None
            if number == 4:
                numbers += self.floats(value)
            elif number == 10 and packed and (value[1] - value[0]) % 8 == 0:
                numbers += [item[0] for item in struct.iter_unpack("<d", self.bytes(value[0], value[1]))]
            elif number in (5, 7, 11):
                numbers += self.integers(value)
        return tuple(numbers) if len(numbers) == tensor.size else None

    def sparse_tensor(self, span: Span) -> OnnxTensor:
        tensor, sizes = OnnxTensor(), []  # type: OnnxTensor, list[int]
        for number, value in self.fields(span):
            if number == 1:
                tensor = self.tensor(self.span(value))
            elif number == 3:
                sizes += self.integers(value)
        return OnnxTensor(tensor.name, tensor.data_type, self.sizes(sizes, tensor.name))

    def value_info(self, span: Span) -> OnnxValue:
        info = OnnxValue()
        for number, value in self.fields(span):
            if number == 1:
                info.name = self.text(value)
            elif number == 2:
                for kind, inner in self.fields(self.span(value)):
                    if kind == 1:
                        self.tensor_type(self.span(inner), info)
        return info

    def tensor_type(self, span: Span, info: OnnxValue) -> None:
        for number, value in self.fields(span):
            if number == 1:
                info.data_type = self.integer(value)
            elif number == 2:
                sizes = [self.dimension(self.span(item)) for kind, item in self.fields(self.span(value)) if kind == 1]
                if len(sizes) > MAX_RANK:
                    raise self.error(f"{info.name[:100]!r} has {len(sizes)} dimensions; at most {MAX_RANK} are read")
                info.sizes = tuple(sizes)

    def dimension(self, span: Span) -> int | None:
        size = None
        for number, value in self.fields(span):
            if number == 1:
                size = self.integer(value)
        return size if size is not None and 0 <= size < _SIZE_LIMIT else None


def _strings(text: str) -> tuple[str, ...]:
    """The strings of a printed list such as `['', 'encoder', 'encoder.norm']`; nothing for any other text."""
    if not (text.startswith("[") and text.endswith("]")):
        return ()
    return tuple(item.strip().strip("'\"") for item in text[1:-1].split(","))[:64]
