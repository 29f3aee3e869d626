"""Headers of GGUF files, read by `read_gguf`."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

from processing_archbert import ArchitectureGraphError, ArchitectureSourceError, ArchitectureTraceError
from processing_archbert.source_headers_archbert import read_gguf

sys.path.append(str(Path(__file__).resolve().parents[1]))

from header_files import gguf_bytes, gguf_string, llama_gguf

SUFFIX = ".gguf"
ALLOWED = (ArchitectureGraphError, ArchitectureSourceError, ArchitectureTraceError)


def SEEDS() -> list[bytes]:
    """A Llama, a Mixtral of version 2, and a network whose metadata means no known one."""
    unknown = {"general.architecture": "clip", "clip.block_count": 1}
    return [
        gguf_bytes(*llama_gguf()),
        gguf_bytes(*llama_gguf(experts=4, tied=True), version=2),
        gguf_bytes(unknown, {"v.patch_embd.weight": (8, 3, 2, 2), "v.blk.0.ln1.bias": (8,), "mm.0.weight": (8, 8)}),
    ]


def HOSTILE() -> list[bytes]:
    """Counts, lengths and sizes that no file holds."""
    start = b"GGUF" + struct.pack("<I", 3)
    huge = 2**64 - 1
    key = struct.pack("<QQ", 1, 1) + gguf_string("a")
    metadata, shapes = llama_gguf()
    keys = (
        "block_count embedding_length feed_forward_length context_length expert_count attention.head_count "
        "attention.head_count_kv attention.key_length attention.sliding_window"
    )
    wild = [gguf_bytes(metadata | {f"llama.{key}": 2**31 - 1}, shapes) for key in keys.split()]
    return [
        start + struct.pack("<QQ", huge, 0),
        start + struct.pack("<QQ", 1, huge),
        start + struct.pack("<QQQ", 1, 1, huge),
        start + key + struct.pack("<IQ", 8, huge),
        start + key + struct.pack("<IIQ", 9, 8, 4_000_000),
        start + key + struct.pack("<IIQ", 9, 12, huge),
        start + key + struct.pack("<IIQ", 9, 9, 1) * 100,
        start + struct.pack("<QQ", 1, 0) + gguf_string("a") + struct.pack("<I", huge >> 32),
        start + struct.pack("<QQ", 1, 0) + gguf_string("a") + struct.pack("<I4QIQ", 4, *[2**40] * 4, 0, 0),
        start + struct.pack("<QQ", 1, 0) + gguf_string("token_embd.weight") + struct.pack("<I2QIQ", 2, 2**31, 2, 0, 0),
        *wild,
    ]


def read(path: str | Path) -> Any:
    """The graph of the file."""
    return read_gguf(path, max_seconds=3.0)
