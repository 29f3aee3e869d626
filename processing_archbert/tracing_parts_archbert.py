"""The parts of a network that its own forward does not reach: which they are, and the order in which they are tried.

A model may keep a decoder for generation, or its default configuration may contradict itself, so that a tower cannot
run inside it. Such a part is run by itself, on inputs of its own, beside the rest: largest parts first, models with a
configuration of their own before plain modules, down to single layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from .tracing_completeness_archbert import is_noticeable
from .tracing_mirror_archbert import is_transformers_config

MAX_CANDIDATES = 24
"""How many inputs are tried for a part that is not a model with a configuration of its own."""
MAX_PLAIN_PARTS = 400
"""How many such parts are tried in one network."""


@dataclass(frozen=True)
class PartCall:
    """A call of a part of a network: its path, the part, and the inputs that it accepted."""

    path: str
    part: nn.Module
    inputs: Any

    def named_inputs(self) -> dict[str, Any]:
        """The inputs by name, behind the path of the part."""
        inputs = self.inputs
        if not isinstance(inputs, dict):
            inputs = {f"input{i}": tensor for i, tensor in enumerate(inputs)}
        return {f"{self.path}.{key}": tensor for key, tensor in inputs.items()}

    def run(self, named: dict[str, Any]) -> Any:
        """What the part returns on stand-ins for `named_inputs`."""
        plain = {key.removeprefix(f"{self.path}."): value for key, value in named.items()}
        return self.part(**plain) if isinstance(self.inputs, dict) else self.part(*plain.values())


def has_no_forward(module: nn.Module) -> bool:
    """Whether a module only holds others."""
    return getattr(type(module).forward, "__name__", "") == "_forward_unimplemented"


def is_model(module: nn.Module) -> bool:
    """Whether a module is a transformers model of its own, with a configuration."""
    return "_from_config" in dir(type(module)) and is_transformers_config(getattr(module, "config", None))


def unused_parts(model: nn.Module, unused: dict[int, int]) -> Iterator[tuple[str, nn.Module, Any]]:
    """Path, module and nearest configuration of every part without a used parameter, the largest first.

    Args:
        model: the network.
        unused: sizes of the parameters that no node uses, by the id of the parameter. The caller takes out of it what
            a part has used before the next part is asked for; a part that still misses all or some is taken apart.
    """
    yield from _walk(model, "", getattr(model, "config", None), unused, models_only=True)
    total = sum(p.numel() for p in model.parameters())
    plain = _walk(model, "", getattr(model, "config", None), unused, models_only=False)
    for found in itertools.islice(plain, MAX_PLAIN_PARTS):
        if not is_noticeable(sum(unused.values()), total):
            return
        yield found


def _walk(module: nn.Module, path: str, config: Any, unused: dict[int, int],
          models_only: bool) -> Iterator[tuple[str, nn.Module, Any]]:  # fmt: skip
    for name, child in module.named_children():
        parameters = [p for p in child.parameters() if p.numel()]
        if not any(id(p) in unused for p in parameters):
            continue
        inner = f"{path}.{name}" if path else name
        nearest = getattr(child, "config", None)
        nearest = nearest if is_transformers_config(nearest) else config
        if all(id(p) in unused for p in parameters) and is_model(child) >= models_only and not has_no_forward(child):
            yield inner, child, nearest
        if any(id(p) in unused for p in parameters):
            yield from _walk(child, inner, nearest, unused, models_only)
