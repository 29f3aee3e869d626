"""Headers of GGUF files (versions 2 and 3): metadata, names and shapes of tensors, never the tensors.

Layout, little endian: `GGUF`, version (u32), number of tensors and of metadata entries (u64 each); per entry a key, a
type and a value; per tensor its name, number of dimensions, dimensions (fastest first), data type and offset.

Metadata of the architectures in `GGUF_CONFIGS` is translated into a configuration of transformers.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .source_bytes_archbert import ByteReader
from .source_errors_archbert import ArchitectureSourceError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_TENSORS = 200_000
MAX_ENTRIES = 20_000
MAX_KEY_BYTES = 65_535
MAX_NAME_BYTES = 1024
MAX_STRING_BYTES = 2**22
MAX_ARRAY_ITEMS = 4_000_000
MAX_KEPT_ITEMS = 4096
MAX_DIMENSIONS = 8
MAX_WEIGHTS = 2**53
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9


class GgufHeader(NamedTuple):
    """What the header of a GGUF file says.

    Attributes:
        metadata: keys to numbers, strings or lists; of an array of more than `MAX_KEPT_ITEMS` items, or of strings,
            only an `ArrayLength`.
        tensors: names to shapes in the order of torch (out, in).
    """

    metadata: dict[str, Any]
    tensors: dict[str, tuple[int, ...]]


class ArrayLength(int):
    """The number of items of an array that was passed over."""


def gguf_header(where: str | os.PathLike[str], headers: Mapping[str, str] | None = None) -> GgufHeader:
    """The header of a GGUF file or address.

    Raises:
        ArchitectureSourceError: the file cannot be read, is no GGUF file, or is not as the format wants it.
    """
    with ByteReader(where, headers) as reader:
        return _Header(reader).parse()


class _Header:
    """One pass over a header, every count checked before it is believed."""

    def __init__(self, reader: ByteReader) -> None:
        self.reader = reader

    def fail(self, reason: str) -> ArchitectureSourceError:
        return ArchitectureSourceError(f"{self.reader.name!r} is no sound GGUF file: {reason}.")

    def parse(self) -> GgufHeader:
        if self.reader.read(4) != MAGIC:
            raise self.fail("it does not begin with GGUF")
        version = self.number("<I")
        if version not in VERSIONS:
            swapped = int.from_bytes(int(version).to_bytes(4, "little"), "big")
            kind = "big-endian files are not read" if swapped in VERSIONS else "versions 2 and 3 are read"
            raise self.fail(f"its version is {version}; {kind}")
        num_tensors = self.count(MAX_TENSORS, "tensors")
        num_entries = self.count(MAX_ENTRIES, "metadata entries")
        metadata: dict[str, Any] = {}
        for _ in range(num_entries):
            key = self.text(MAX_KEY_BYTES, "a key")
            if key in metadata:
                raise self.fail(f"the key {key[:100]!r} stands there twice")
            metadata[key] = self.value(int(self.number("<I")))
        tensors: dict[str, tuple[int, ...]] = {}
        for _ in range(num_tensors):
            name = self.text(MAX_NAME_BYTES, "the name of a tensor")
            if name in tensors:
                raise self.fail(f"the tensor {name[:100]!r} stands there twice")
            tensors[name] = self.shape(name)
        if not tensors:
            raise self.fail("it holds no tensor")
        held, size = sum(map(math.prod, tensors.values())), self.reader.size
        if held > (MAX_WEIGHTS if size is None else min(MAX_WEIGHTS, 8 * size)):
            raise self.fail(f"it speaks of {held} weights, more than its {size} bytes can hold")
        return GgufHeader(metadata, tensors)

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.reader.read(struct.calcsize(form)))[0]

    def count(self, limit: int, what: str) -> int:
        value = int(self.number("<Q"))
        if value > limit:
            raise self.fail(f"it speaks of {value} {what}; at most {limit} are allowed")
        return value

    def text(self, limit: int, what: str) -> str:
        data = self.reader.read(self.count(limit, f"bytes of {what}"))
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise self.fail(f"{what} is no UTF-8") from None

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            data = self.reader.read(self.count(MAX_STRING_BYTES, "bytes of a string"))
            return data.decode(errors="replace")
        if kind == _ARRAY:
            return self.array()
        raise self.fail(f"a value has the type {kind}; 0 to 12 are allowed")

    def array(self) -> Any:
        kind, length = int(self.number("<I")), self.count(MAX_ARRAY_ITEMS, "items of an array")
        if kind == _STRING:
            for _ in range(length):
                self.reader.skip(self.count(MAX_STRING_BYTES, "bytes of a string"))
            return ArrayLength(length)
        if kind not in _SCALARS:
            raise self.fail(f"an array has items of type {kind}; numbers, truth values and strings are allowed")
        form = _SCALARS[kind]
        if length > MAX_KEPT_ITEMS:
            self.reader.skip(length * struct.calcsize(form))
            return ArrayLength(length)
        data = self.reader.read(length * struct.calcsize(form))
        return [item[0] for item in struct.iter_unpack(form, data)]

    def shape(self, name: str) -> tuple[int, ...]:
        dimensions = int(self.number("<I"))
        if dimensions > MAX_DIMENSIONS:
            raise self.fail(
                f"the tensor {name[:100]!r} has {dimensions} dimensions; at most {MAX_DIMENSIONS} are allowed"
            )
        sizes = struct.unpack(f"<{dimensions}Q", self.reader.read(8 * dimensions))
        self.reader.skip(4 + 8)
        if math.prod(sizes) >= 2**63:
            raise self.fail(f"the tensor {name[:100]!r} has the sizes {list(sizes)}, which no file holds")
        return tuple(reversed(sizes))


class _Metadata:
    """Values of one architecture by their short keys; a wrong type counts as missing."""

    def __init__(self, header: GgufHeader, architecture: str) -> None:
        self.header = header
        self.prefix = architecture

    def get(self, key: str) -> Any:
        value = self.header.metadata.get(f"{self.prefix}.{key}")
        if isinstance(value, list) and value:  # one value for each layer: the commonest where they are counts
            value = max(value, key=value.count)
        return value if isinstance(value, (int, float)) and not isinstance(value, ArrayLength) else None

    @property
    def vocabulary(self) -> int | None:
        embedding = self.header.tensors.get("token_embd.weight", ())
        if len(embedding) == 2:
            return embedding[0]
        tokens = self.header.metadata.get("tokenizer.ggml.tokens")
        return int(tokens) if isinstance(tokens, ArrayLength) else self.get("vocab_size")


_LLAMA = {
    "max_position_embeddings": "context_length",
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "sliding_window": "attention.sliding_window",
}
_LAYER_NORM = {name: key for name, key in _LLAMA.items() if name not in ("rms_norm_eps", "head_dim")}
_EXPERTS = {"num_experts_per_tok": "expert_used_count"}
_QWEN_EXPERTS = {
    **_EXPERTS,
    "num_experts": "expert_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "shared_expert_intermediate_size": "expert_shared_feed_forward_length",
}
_GPT2 = {
    "n_positions": "context_length",
    "n_layer": "block_count",
    "n_embd": "embedding_length",
    "n_inner": "feed_forward_length",
    "n_head": "attention.head_count",
}

GGUF_CONFIGS: dict[str, tuple[str, dict[str, str]]] = {
    "llama": ("llama", _LLAMA),
    "mistral": ("mistral", _LLAMA),
    "mixtral": ("mixtral", {**_LLAMA, **_EXPERTS, "num_local_experts": "expert_count"}),
    "qwen2": ("qwen2", _LLAMA),
    "qwen2moe": ("qwen2_moe", {**_LLAMA, **_QWEN_EXPERTS}),
    "qwen3": ("qwen3", _LLAMA),
    "qwen3moe": ("qwen3_moe", {**_LLAMA, **_QWEN_EXPERTS}),
    "gemma": ("gemma", _LLAMA),
    "gemma2": ("gemma2", _LLAMA),
    "gemma3": ("gemma3_text", _LLAMA),
    "phi3": ("phi3", {name: key for name, key in _LLAMA.items() if name != "head_dim"}),
    "olmo2": ("olmo2", _LLAMA),
    "granite": ("granite", _LLAMA),
    "starcoder2": ("starcoder2", _LAYER_NORM),
    "stablelm": ("stablelm", _LAYER_NORM),
    "gpt2": ("gpt2", _GPT2),
}
"""`general.architecture` -> model type of transformers, and its options' names -> metadata keys."""


def gguf_config(header: GgufHeader) -> dict[str, Any] | None:
    """The configuration of transformers that a header's metadata means, with `model_type`; None where it has none."""
    architecture = header.metadata.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in GGUF_CONFIGS:
        return None
    values = _Metadata(header, architecture)
    kind = "mixtral" if architecture == "llama" and values.get("expert_count") else architecture
    model_type, names = GGUF_CONFIGS[kind]
    found = {name: values.get(key) for name, key in names.items()}
    needed = [name for name in ("num_hidden_layers", "hidden_size", "n_layer", "n_embd") if name in names]
    blocks = {name.split(".")[1] for name in header.tensors if name.startswith("blk.") and name.count(".") > 1}
    if any(found[name] is None for name in needed) or values.vocabulary is None or len(blocks) != found[needed[0]]:
        return None
    config = {name: value for name, value in found.items() if value is not None or name == "sliding_window"}
    tied = "output.weight" not in header.tensors
    config |= {"model_type": model_type, "vocab_size": values.vocabulary, "tie_word_embeddings": tied}
    config |= dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"))  # they may lie outside the vocabulary
    return config | _biases(model_type, header.tensors)


def _biases(model_type: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Options that only the presence of tensors shows."""
    options: dict[str, Callable[[], dict[str, Any]]] = {
        "llama": lambda: {
            "attention_bias": "blk.0.attn_q.bias" in tensors,
            "mlp_bias": "blk.0.ffn_up.bias" in tensors,
        },
        "qwen3": lambda: {"attention_bias": "blk.0.attn_q.bias" in tensors},
        "qwen3_moe": lambda: {"attention_bias": "blk.0.attn_q.bias" in tensors},
        "starcoder2": lambda: {"use_bias": "blk.0.attn_q.bias" in tensors},
        "stablelm": lambda: {
            "use_qkv_bias": "blk.0.attn_q.bias" in tensors,
            "qk_layernorm": "blk.0.attn_q_norm.weight" in tensors,
            "use_parallel_residual": "blk.0.ffn_norm.weight" not in tensors,
        },
        "qwen2": lambda: {"use_sliding_window": False},
    }
    return options.get(model_type, dict)()
