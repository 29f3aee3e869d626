"""Which op types torch itself has: the others are names that the op table gave."""

from __future__ import annotations

import torch

from processing_archbert.ops_archbert import FUNCTION_ALIASES, FUNCTIONAL_TWINS

_SPACES = (
    torch.nn,
    torch,
    torch.nn.functional,
    torch.Tensor,
    torch.linalg,
    torch.fft,
    torch.special,
    torch.nn.utils.rnn,
)


def is_torch_name(op_type: str) -> bool:
    """Whether torch itself has a module or a function of this name, or computes it under another one."""
    plain = op_type if not op_type.endswith("item") else f"__{op_type}__"
    known = op_type in FUNCTIONAL_TWINS.values() or op_type in FUNCTION_ALIASES.values()
    return known or any(hasattr(space, plain) for space in _SPACES)
