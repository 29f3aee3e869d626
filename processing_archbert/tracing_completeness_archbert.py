"""What a graph misses of its network: the parts of which no parameter reached an output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

INCOMPLETE_SHARE = 0.001


def is_noticeable(unused: int, total: int) -> bool:
    """Whether so many parameters without a user make a graph incomplete."""
    return unused > INCOMPLETE_SHARE * total


def missing_towers(model: nn.Module, unused: Mapping[int, int]) -> tuple[str, ...]:
    """Names of the largest modules of which every parameter is unused, and of single unused parameters.

    Repeated parts are told once, with `*` for their number. Empty where what is unused is a negligible share.

    Args:
        model: the network.
        unused: sizes of the parameters that no node uses, by the id of the parameter.
    """
    total = sum(p.numel() for p in model.parameters())
    if not is_noticeable(sum(unused.values()), total):
        return ()
    return tuple(dict.fromkeys(_numbers_hidden(name) for name in _missing(model, "", unused)))


def _missing(module: nn.Module, path: str, unused: Mapping[int, int]) -> Iterable[str]:
    prefix = f"{path}." if path else ""
    for name, parameter in module.named_parameters(recurse=False):
        if id(parameter) in unused and parameter.numel():
            yield prefix + name
    for name, child in module.named_children():
        parameters = [p for p in child.parameters() if p.numel()]
        if parameters and all(id(p) in unused for p in parameters):
            yield prefix + name
        elif any(id(p) in unused for p in parameters):
            yield from _missing(child, prefix + name, unused)


def _numbers_hidden(path: str) -> str:
    return ".".join("*" if part.isdigit() else part for part in path.split("."))
