"""Which initializers of an ONNX file are parameters.

ONNX does not tell parameters from other constants: weights of layers are parameters; elsewhere an initializer is one
by its type, its name and its shape.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .source_onnx_inline_archbert import FlatModel
from .source_onnx_model_archbert import is_float, is_quantised

BUFFER_NAME = re.compile(
    r"(running_mean|running_var|num_batches_tracked|inv_freq|position_ids|token_type_ids|mask|masked_bias|"
    r"relative_position_index|relative_coords_table|cos_cached|sin_cached|attn\.bias|attention\.bias_buffer)$"
)
FOLDED_NAME = re.compile(r"^(onnx::|val_|const_fold|/|_val_|_to_copy|clone|expand)")


class Weight(NamedTuple):
    """An initializer as a parameter: its name and sizes."""

    name: str
    shape: tuple[int, ...]


class Parameters:
    """Which initializers are parameters, and how many elements they have."""

    def __init__(self, flat: FlatModel) -> None:
        self.flat = flat
        self.sizes_of_nibbles: dict[str, int] = {}

    def key(self, name: str) -> str:
        """The initializer itself, for a copy: a matrix that two layers share is one, equal vectors are two."""
        origin = self.flat.aliases.get(name, name)
        return origin if len(self.flat.tensors[origin].sizes) > 1 else name

    def is_weight(self, name: str) -> bool:
        """Whether an initializer in the place of a weight can be one."""
        tensor = self.flat.tensors[name]
        return is_float(tensor.data_type) or is_quantised(tensor.data_type)

    def is_parameter(self, name: str) -> bool:
        """Whether an initializer in any other place is one."""
        tensor = self.flat.tensors[name]
        if name in self.flat.constants or not is_float(tensor.data_type) or BUFFER_NAME.search(name):
            return False
        if not FOLDED_NAME.search(name):
            return True
        sizes = tensor.sizes
        square = len(sizes) > 1 and sizes[-1] == sizes[-2]
        return tensor.size > 1 and not (square and all(size == 1 for size in sizes[:-2]))

    def size(self, name: str) -> int:
        """Number of elements."""
        return min(self.sizes_of_nibbles.get(name, self.flat.tensors[name].size), 2**53)
