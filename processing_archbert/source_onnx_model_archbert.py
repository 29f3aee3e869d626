"""What is kept of an ONNX file: nodes, tensors without their data, graphs and functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_FLOAT_TYPES = frozenset({1, 10, 11, 16, 17, 18, 19, 20, 14, 15})
_QUANTISED_TYPES = frozenset({2, 3, 21, 22, 23, 25, 26})


def is_float(data_type: int) -> bool:
    """Whether an ONNX element type is of floating point or complex; the unknown type 0 counts as one."""
    return data_type == 0 or data_type in _FLOAT_TYPES


def is_quantised(data_type: int) -> bool:
    """Whether weights are stored in an ONNX element type of 8 bits or fewer."""
    return data_type in _QUANTISED_TYPES


@dataclass
class OnnxTensor:
    """A tensor of the file without its data.

    Attributes:
        values: the numbers of a small tensor, row-major; None where they were not read.
        corner: the four numbers in the first corner of a square one, which tell a causal mask from others.
    """

    name: str = ""
    data_type: int = 0
    sizes: tuple[int, ...] = ()
    values: tuple[float, ...] | None = None
    corner: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.sizes:
            count *= size
        return count


@dataclass
class OnnxNode:
    """One node: ONNX operator, its domain, names of the values it reads and makes, and its attributes.

    Attributes:
        scopes: paths of the modules around it, outermost first, where the exporter wrote them down.
        classes: their qualified class names, and last the operation of the exported program.
    """

    op: str = ""
    domain: str = ""
    overload: str = ""
    name: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


@dataclass
class OnnxValue:
    """Name, element type and sizes of a value; None for a size that is not fixed, and for an unknown rank."""

    name: str = ""
    data_type: int = 0
    sizes: tuple[int | None, ...] | None = None


@dataclass
class OnnxGraph:
    """A graph, a subgraph or the body of a function."""

    name: str = ""
    nodes: list[OnnxNode] = field(default_factory=list)
    tensors: list[OnnxTensor] = field(default_factory=list)
    inputs: list[OnnxValue] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    values: list[OnnxValue] = field(default_factory=list)
    domain: str = ""
    overload: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)


@dataclass
class OnnxModel:
    """What is read of a file: its graph, its functions by (domain, name, overload), and who wrote it."""

    graph: OnnxGraph
    functions: dict[tuple[str, str, str], OnnxGraph]
    producer: str = ""
    opsets: dict[str, int] = field(default_factory=dict)
