"""Small files of weights, written by hand: safetensors and GGUF."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

U32, F32, STRING, ARRAY, U64 = 4, 6, 8, 9, 10


def safetensors_bytes(shapes: Mapping[str, Sequence[int]], metadata: Mapping[str, str] | None = None) -> bytes:
    """A file of float32 zeros with these shapes."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def gguf_string(text: str) -> bytes:
    """A string with its length in front."""
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_value(value: Any) -> bytes:
    """A value with its type in front: a string, a whole number, a float, or a list of strings or whole numbers."""
    if isinstance(value, str):
        return struct.pack("<I", STRING) + gguf_string(value)
    if isinstance(value, float):
        return struct.pack("<If", F32, value)
    if isinstance(value, list) and isinstance(value[0], str):
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(gguf_string, value))
    if isinstance(value, list):
        return struct.pack("<IIQ", ARRAY, U32, len(value)) + struct.pack(f"<{len(value)}I", *value)
    return struct.pack("<II", U32, value)


def gguf_bytes(metadata: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], version: int = 3) -> bytes:
    """A file of float32 zeros with these shapes, in the order of torch (out, in)."""
    data = b"GGUF" + struct.pack("<IQQ", version, len(shapes), len(metadata))
    for key, value in metadata.items():
        data += gguf_string(key) + gguf_value(value)
    offset = 0
    for name, shape in shapes.items():
        data += gguf_string(name) + struct.pack("<I", len(shape))
        data += struct.pack(f"<{len(shape)}Q", *reversed(shape)) + struct.pack("<IQ", 0, offset)
        offset += 4 * math.prod(shape)
    return data + bytes(-len(data) % 32) + bytes(offset)


def llama_gguf(hidden: int = 16, layers: int = 1, feed_forward: int = 32, vocabulary: int = 50, experts: int = 0,
               tied: bool = False) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:  # fmt: skip
    """Metadata and shapes of a small Llama with two heads, or of a Mixtral where it has experts."""
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "general.name": "Small",
        "llama.context_length": 64,
        "llama.embedding_length": hidden,
        "llama.block_count": layers,
        "llama.feed_forward_length": feed_forward,
        "llama.attention.head_count": 2,
        "llama.attention.head_count_kv": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.tokens": [f"t{i}" for i in range(vocabulary)],
        "tokenizer.ggml.token_type": [1] * vocabulary,
    }
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocabulary, hidden), "output_norm.weight": (hidden,)}
    if not tied:
        shapes["output.weight"] = (vocabulary, hidden)
    width = hidden // 2
    stacked = (experts,) if experts else ()
    ending = "_exps" if experts else ""
    for layer in range(layers):
        wide = (*stacked, feed_forward, hidden)
        sizes = {
            "attn_norm": (hidden,),
            "ffn_norm": (hidden,),
            "attn_q": (hidden, hidden),
            "attn_k": (width, hidden),
            "attn_v": (width, hidden),
            "attn_output": (hidden, hidden),
            f"ffn_gate{ending}": wide,
            f"ffn_up{ending}": wide,
            f"ffn_down{ending}": (*stacked, hidden, feed_forward),
        }
        if experts:
            sizes["ffn_gate_inp"] = (experts, hidden)
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in sizes.items()}
    if experts:
        metadata |= {"llama.expert_count": experts, "llama.expert_used_count": 2}
    return metadata, shapes
