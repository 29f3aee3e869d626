"""Headers of safetensors files, read by `read_safetensors`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from processing_archbert import ArchitectureGraphError, ArchitectureSourceError, ArchitectureTraceError
from processing_archbert.source_headers_archbert import read_safetensors

sys.path.append(str(Path(__file__).resolve().parents[1]))

from header_files import safetensors_bytes

SUFFIX = ".safetensors"
ALLOWED = (ArchitectureGraphError, ArchitectureSourceError, ArchitectureTraceError)


def SEEDS() -> list[bytes]:
    """A convolutional, a recurrent and a transformer network, and one with odd names."""
    convolutional = {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "bn.weight": (4,), "bn.running_mean": (4,),
                     "up.weight": (4, 2, 2, 2), "up.bias": (2,), "fc.weight": (2, 4)}  # fmt: skip
    recurrent = {"rnn.weight_ih_l0": (16, 3), "rnn.weight_hh_l0": (16, 4), "rnn.bias_ih_l0": (16,)}
    attention = {"embed.weight": (9, 8), "attn.in_proj_weight": (24, 8), "attn.in_proj_bias": (24,),
                 "attn.out_proj.weight": (8, 8), "norm.weight": (8,), "layers.10.experts.w1": (2, 4, 8)}  # fmt: skip
    return [
        safetensors_bytes(convolutional, {"format": "pt"}),
        safetensors_bytes(recurrent),
        safetensors_bytes(attention),
        safetensors_bytes({"": (1,), ".": (0,), "a..b": (), "ﬁ.weight": (2, 2, 2, 2, 2)}),
    ]


def HOSTILE() -> list[bytes]:
    """Lengths that no file holds, JSON that is deep, wide or not JSON, and tensors without bounds."""
    one = b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    texts = [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"a":' + one + b',"a":' + one + b"}",
        b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1e400],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,-4]}}',
        b'{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":' + b"[1," * 20_000 + b'1],"data_offsets":[0,4]}}',
        b'{"__metadata__":[],"a":' + one + b"}",
        b"{" + b",".join(b'"%d":{}' % i for i in range(100_000)) + b"}",
        b'{"\xff":' + one + b"}",
        b"null",
        b"{}",
    ]
    files = [len(text).to_bytes(8, "little") + text + bytes(4) for text in texts]
    return [b"", b"\0" * 8, b"\xff" * 8, (2**63).to_bytes(8, "little") + b"{}", *files]


def read(path: str | Path) -> Any:
    """The graph of the file."""
    return read_safetensors(path, max_seconds=3.0)
