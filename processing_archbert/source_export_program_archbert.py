"""What the JSON of an exported program says, as plain values: calls, arguments, sizes and module stacks.

Names follow the schema of `torch.export` (`torch._export.serde.schema`, version 8, and the ones before it).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

MAX_DIMENSIONS = 32
MAX_ELEMENTS = 2**60
UNKNOWN_SIZE = 2

DTYPES: dict[int, torch.dtype] = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 9: torch.complex32, 10: torch.complex64, 11: torch.complex128, 12: torch.bool,
    13: torch.bfloat16, 28: torch.uint16,
}  # fmt: skip
"""Number of a data type in the schema -> data type; any other is taken for float32."""


class Ref(NamedTuple):
    """An argument that is the tensor of this name."""

    name: str


class ModuleCall(NamedTuple):
    """One entry of a module stack: what tells calls apart, the path of the module and its class."""

    key: str
    path: str
    kind: str


class Call(NamedTuple):
    """One node of the exported graph.

    `function` is the torch function that the node is a part of (`"softmax"`), and `function_key` tells one call of it
    from the next; both are empty where the program does not say.
    """

    target: str
    arguments: dict[str, Any]
    graphs: tuple[Mapping[str, Any], ...]
    outputs: tuple[str, ...]
    stack: tuple[ModuleCall, ...]
    function: str
    function_key: str


def integer(value: Any) -> int:
    """A size or number of the schema: a plain one, or the example value of a symbolic one."""
    if isinstance(value, Mapping):
        if "as_int" in value:
            return integer(value["as_int"])
        hint = value.get("as_expr", {}).get("hint")
        return integer(hint) if isinstance(hint, Mapping) and "as_int" in hint else UNKNOWN_SIZE
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r:.40} is no integer")
    return value


def tensor_of(meta: Mapping[str, Any]) -> torch.Tensor:
    """A meta tensor of the sizes and data type that a tensor's description gives."""
    sizes = [integer(s) for s in meta["sizes"]]
    if len(sizes) > MAX_DIMENSIONS or any(s < 0 for s in sizes) or math.prod(sizes) > MAX_ELEMENTS:
        raise ValueError(f"a tensor has the sizes {str(sizes)[:80]}")
    dtype = DTYPES.get(integer(meta["dtype"]), torch.float32)
    return torch.empty(sizes, dtype=dtype, device="meta")


def tensor_name(argument: Any) -> str | None:
    """Name of the tensor that an argument or output is; None for anything else."""
    if not isinstance(argument, Mapping):
        raise TypeError("an argument is no JSON object")
    inner = argument.get("as_tensor", argument.get("as_optional_tensor"))
    if isinstance(inner, Mapping) and "as_tensor" in inner:
        inner = inner["as_tensor"]
    return _name(inner) if isinstance(inner, Mapping) and "name" in inner else None


def _name(value: Mapping[str, Any]) -> str:
    name = value["name"]
    if not isinstance(name, str):
        raise TypeError("a name is no string")
    return name


def _value(argument: Any, sizes: Mapping[str, Any]) -> Any:
    """Plain value of an argument: numbers, lists, `Ref`s; None for what says nothing about an architecture."""
    name = tensor_name(argument)
    if name is not None:
        return Ref(name)
    for key, value in argument.items():
        if key in ("as_int", "as_bool", "as_float", "as_string", "as_ints", "as_floats", "as_bools"):
            return value
        if key == "as_tensors":
            return [Ref(_name(item)) for item in value]
        if key == "as_optional_tensors":
            return [Ref(inner) if (inner := tensor_name(item)) else None for item in value]
        if key == "as_scalar_type":
            return DTYPES.get(integer(value), torch.float32)
        if key == "as_sym_int":
            return _symbolic(value, sizes)
        if key == "as_sym_ints":
            return [_symbolic(item, sizes) for item in value]
    return None


def _symbolic(value: Any, sizes: Mapping[str, Any]) -> int:
    if "as_int" in value:
        return integer(value["as_int"])
    return integer(sizes.get(value.get("as_name"), {}))


def _stack(text: Any) -> tuple[ModuleCall, ...]:
    calls = []
    for entry in text.split(";") if isinstance(text, str) else ():
        key, _, rest = entry.partition(",")
        path, _, kind = rest.rpartition(",")
        path = path.removeprefix("L['self']").removeprefix("L__self__").lstrip("._")
        calls.append(ModuleCall(key, path.partition("@")[0], kind.strip()))
    return tuple(calls)


def read_calls(graph: Mapping[str, Any]) -> Iterator[Call]:
    """The nodes of a graph, in execution order."""
    sizes = graph.get("sym_int_values") or {}
    for node in graph["nodes"]:
        metadata = node.get("metadata") or {}
        function_key = metadata.get("torch_fn") or ""
        arguments, graphs = {}, []
        for position, item in enumerate(node["inputs"]):
            argument = item["arg"]
            if "as_graph" in argument:
                graphs.append(argument["as_graph"]["graph"])
            else:
                arguments[item.get("name") or f"_{position}"] = _value(argument, sizes)
        yield Call(
            str(node["target"]),
            arguments,
            tuple(graphs),
            tuple(_outputs(node["outputs"])),
            _stack(metadata.get("nn_module_stack")),
            str(function_key).rpartition(".")[2],
            str(function_key),
        )


def _outputs(outputs: Sequence[Any]) -> Iterator[str]:
    for output in outputs:
        name = tensor_name(output)
        if name is not None:
            yield name
        for item in output.get("as_tensors") or ():
            yield _name(item)
        for item in output.get("as_optional_tensors") or ():
            if inner := tensor_name(item):
                yield inner


def list_references(value: Any) -> list[str]:
    """Names of the tensors inside an argument, in order."""
    if isinstance(value, Ref):
        return [value.name]
    if isinstance(value, (list, tuple)):
        return [name for item in value for name in list_references(item)]
    return []
