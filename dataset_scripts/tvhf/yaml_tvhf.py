"""YAML as plain data, with the line that every value stands on, so that an error can name it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Place = tuple[str | int, ...]
"""Keys and indices that lead to a value: `(0, "members", 1, "type")`."""


class RegistryError(ValueError):
    """A file of the registry is wrong; the message begins with `file:line`."""


def load_with_lines(path: Path) -> tuple[Any, dict[Place, int]]:
    """The data of a YAML file, and the line (from 1) of every value in it; the line of a key where it has one.

    Raises:
        RegistryError: the file is missing or no YAML, or a mapping has a key twice.
    """
    lines: dict[Place, int] = {(): 1}
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        return (None if node is None else _value(loader, node, (), lines, path)), lines
    except OSError as error:
        raise RegistryError(f"{path}:1: cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise RegistryError(f"{path}:{line}: no valid YAML: {getattr(error, 'problem', None) or error}.") from error


def line_of(lines: dict[Place, int], place: Place) -> int:
    """Line of a value, or of the nearest value around it."""
    while place not in lines:
        place = place[:-1]
    return lines[place]


def _value(loader: yaml.SafeLoader, node: yaml.Node, place: Place, lines: dict[Place, int], path: Path) -> Any:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, child, (*place, i), lines, path) for i, child in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node, deep=True)
    data: dict[Any, Any] = {}
    for key_node, child in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise RegistryError(f"{path}:{line}: the key {key!r} is {type(key).__name__}; a string is allowed.")
        if key in data:
            raise RegistryError(f"{path}:{line}: {key!r} is there twice; the first is on line {lines[*place, key]}.")
        lines[*place, key] = line
        data[key] = _value(loader, child, (*place, key), lines, path)
    return data
