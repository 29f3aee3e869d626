"""Values of an exported program's constants: masks and positions, computed from numbers that stand in its calls.

Only a fixed list of plain aten functions is ever called, on small tensors, within a budget for the whole program; each
is tried on meta first, so that sizes are known before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from .source_export_program_archbert import Call, Ref
from .tracing_constants_archbert import words

MAX_VALUE_ELEMENTS = 1 << 18
MAX_TOTAL_ELEMENTS = 1 << 25

_PURE = words(
    "arange full ones zeros scalar_tensor full_like zeros_like ones_like new_ones new_zeros new_full clone contiguous "
    "add sub rsub mul div floor_divide remainder neg abs log minimum maximum min max clamp cumsum diff "
    "le lt ge gt eq ne logical_and logical_or logical_not bitwise_and bitwise_or bitwise_not __and__ __or__ "
    "where masked_fill tril triu cat index slice select unsqueeze squeeze expand broadcast_to view reshape flatten "
    "permute transpose to _to_copy alias detach lift_fresh_copy expand_as"
)
_PLACEMENT = words("device pin_memory layout memory_format non_blocking copy")
_FACTORIES = words("arange full ones zeros scalar_tensor full_like zeros_like ones_like new_ones new_zeros new_full")
_FREE_OF_DATA = words("full_like zeros_like ones_like new_ones new_zeros new_full")


class Evaluator:
    """Computes values of constant calls until its budget is spent."""

    def __init__(self) -> None:
        self._left = MAX_TOTAL_ELEMENTS

    def value(self, call: Call, known: Callable[[str], torch.Tensor | None],
              stand_in: Callable[[str], torch.Tensor], result: torch.Tensor) -> torch.Tensor | None:  # fmt: skip
        """The value of a call's result; None where it is unknown or too large.

        Args:
            call: a call with one result.
            known: name -> value on the CPU, or None.
            stand_in: name -> meta tensor.
            result: meta tensor of the result.
        """
        parts = call.target.split(".")
        if parts[:3] != ["torch", "ops", "aten"] or len(parts) != 5 or parts[3] not in _PURE:
            return None
        if result.numel() > min(MAX_VALUE_ELEMENTS, self._left):
            return None
        function = getattr(getattr(torch.ops.aten, parts[3]), parts[4], None)
        given = {k: v for k, v in call.arguments.items() if v is not None and k not in _PLACEMENT}
        on_cpu = _filled(given, _blank(stand_in) if parts[3] in _FREE_OF_DATA else known)
        if function is None or on_cpu is None:
            return None
        device = {"device": torch.device("meta")} if parts[3] in _FACTORIES else {}
        try:
            trial = function(**_filled(given, stand_in), **device)  # type: ignore[arg-type]
            if not isinstance(trial, torch.Tensor) or trial.shape != result.shape:
                return None
            self._left -= result.numel() + 64
            value = function(**on_cpu, **({"device": torch.device("cpu")} if device else {}))
        except Exception:
            return None
        return value if isinstance(value, torch.Tensor) else None


def _blank(stand_in: Callable[[str], torch.Tensor]) -> Callable[[str], torch.Tensor]:
    """Tensors of the right sizes that take no memory, for functions that read nothing but sizes."""

    def make(name: str) -> torch.Tensor:
        meta = stand_in(name)
        return torch.empty((), dtype=meta.dtype).expand(meta.shape)

    return make


def _filled(given: Mapping[str, Any], tensor: Callable[[str], torch.Tensor | None]) -> dict[str, Any] | None:
    """The arguments with tensors in the place of their names; None where one is missing."""
    missing = False

    def fill(value: Any) -> Any:
        nonlocal missing
        if isinstance(value, Ref):
            found = tensor(value.name)
            missing = missing or found is None
            return found
        return [fill(item) for item in value] if isinstance(value, list) else value

    filled = {key: fill(value) for key, value in given.items()}
    return None if missing else filled
