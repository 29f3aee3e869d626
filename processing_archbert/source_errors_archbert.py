"""What every reader of a source raises and warns with."""

from __future__ import annotations

MAX_MESSAGE = 300

PICKLE_WAY_OUT = (
    "opening it could run any code, and weights hold no computational graph, so it is never opened. Build the "
    "nn.Module yourself and pass it, or pass the config.json beside the weights."
)
"""Why a pickle is refused, and what to give instead."""


class ArchitectureSourceError(ValueError):
    """What was given names no architecture that can be read; the message says why and what to give instead."""


class ArchitectureSourceWarning(UserWarning):
    """An architecture was read, but something about its source deserves attention: the message says what."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, of at most `MAX_MESSAGE` characters; its class where it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:MAX_MESSAGE]
