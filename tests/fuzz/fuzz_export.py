"""Archives of `torch.export.save`, read by `read_export`."""

from __future__ import annotations

import copy
import io
import json
import random
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from processing_archbert import ArchitectureSourceError
from processing_archbert.source_export_archbert import read_export

SUFFIX = ".pt2"
ALLOWED = (ArchitectureSourceError,)

_UNREADABLE = (StopIteration, ValueError, KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
_PROGRAM = "model/models/model.json"
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 10**400, 1e308, "", "x", "as_tensor", "torch.ops.aten.from_file.default",
    "torch.ops.aten.arange.default", [], {}, [[]], [None], {"as_int": 2**62}, {"as_none": True}, {"name": "x"},
)  # fmt: skip


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.gain = nn.Parameter(torch.ones(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x)).relu_().flatten(2).transpose(1, 2)
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        x = nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask) * self.gain
        return self.attention(x, x, x)[0].mean(1)


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(9, 4), nn.LSTM(4, 3, bidirectional=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(5, 6)
        out[:, :] = self.lstm(self.embed(ids))[0]
        return out


def _exported(module: nn.Module, inputs: torch.Tensor) -> Iterator[bytes]:
    """The archive of a network as it is, and then of its decomposed program."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module.eval(), (inputs,), strict=False)
        for decomposed in (False, True):
            buffer = io.BytesIO()
            torch.export.save(program.run_decompositions() if decomposed else program, buffer)
            yield buffer.getvalue()


def _packed(members: Mapping[str, bytes | str], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def program_of(data: bytes) -> dict[str, Any]:
    """The JSON of the exported program in an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = next(n for n in archive.namelist() if "/models/" in n)
        return json.loads(archive.read(name))


def archive_of(program: Any) -> bytes:
    """An archive that holds nothing but a program."""
    return _packed({_PROGRAM: json.dumps(program)})


@cache
def _seeds() -> tuple[bytes, ...]:
    whole, decomposed = _exported(_Network(), torch.zeros(1, 3, 6, 6))
    recurrent = next(_exported(_Recurrent(), torch.zeros(5, dtype=torch.long)))
    return whole, archive_of(program_of(whole)), decomposed, archive_of(program_of(recurrent))


def SEEDS() -> list[bytes]:
    """A convolutional network with attention, as written, decomposed and alone, and a recurrent one."""
    return list(_seeds())


def HOSTILE() -> list[bytes]:
    """Archives that swell, escape, repeat or lie, and programs that are deep, huge, circular or name other code."""
    return list(_hostile())


@cache
def _hostile() -> tuple[bytes, ...]:
    program = json.dumps(program_of(_seeds()[0]))
    texts = [
        "[" * 200_000,
        '{"a":' * 100_000,
        '{"graph_module":' + "9" * 5000 + "}",
        "[" + "{}," * 5_000_000 + "{}]",
        "null",
        "{}",
        program.replace('"as_int": 3', '"as_int": ' + "9" * 4000),
        program.replace('"as_int": 3', '"as_int": 9223372036854775807'),
        program.replace("torch.ops.aten.ones.default", "torch.ops.aten.from_file.default"),
        program.replace("torch.nn.modules.conv.Conv2d", "os.system"),
        program.replace("conv.weight", ".".join("a" * 5000)),
        _nested(program_of(_seeds()[0]), 400),
        _allocating(program_of(_seeds()[0])),
    ]
    files = [_packed({_PROGRAM: text}, zipfile.ZIP_DEFLATED) for text in texts]
    bomb = _packed({_PROGRAM: b" " * (128 * 2**20)}, zipfile.ZIP_DEFLATED)
    encrypted = bytearray(archive_of({}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.find(signature) + offset] |= 1
    return (
        b"", b"PK\x05\x06" + bytes(18), bomb, bytes(encrypted), *files,
        _packed({"../../model/models/model.json": program}), _packed({"/models/model.json": program}),
        _packed({f"model/models/{i}.json": program for i in range(3)}),
        _packed({"model/data/aotinductor/model.so": b""}),
        _packed({"serialized_exported_program.json": program}),
    )  # fmt: skip


def _nested(program: dict[str, Any], depth: int) -> str:
    graph = program["graph_module"]["graph"]
    inner = json.dumps(graph | {"nodes": []})
    argument = '{"name": "g", "arg": {"as_graph": {"name": "g", "graph": %s}}}'
    for _ in range(min(depth, 40)):
        node = '{"target": "torch.ops.higher_order.wrap", "inputs": [%s], "outputs": [], "metadata": {}}' % (
            argument % inner
        )
        inner = json.dumps(graph | {"nodes": "@", "inputs": []}).replace('"@"', f"[{node}]")
    program["graph_module"]["graph"] = "@"
    return json.dumps(program).replace('"@"', inner)


def _allocating(program: dict[str, Any]) -> str:
    """A program of factories that would make a great many large constants."""
    graph = program["graph_module"]["graph"]
    size = {"name": "end", "arg": {"as_int": 2**18}, "kind": 1}
    meta = {"dtype": 5, "sizes": [{"as_int": 2**18}], "strides": [{"as_int": 1}]}
    graph["nodes"] = [
        {"target": "torch.ops.aten.arange.default", "inputs": [size], "outputs": [{"as_tensor": {"name": f"v{i}"}}],
         "metadata": {}} for i in range(5_000)
    ] + graph["nodes"]  # fmt: skip
    graph["tensor_values"] |= {f"v{i}": meta for i in range(5_000)}
    return json.dumps(program)


def MUTATE(data: bytes, rng: random.Random) -> bytes:
    """A program with a few values replaced, taken out or swapped; the archive around it is sound."""
    try:
        program = program_of(data)
    except _UNREADABLE:
        return data
    for _ in range(rng.randint(1, 4)):
        _damage(program, rng)
    return archive_of(program)


def _damage(program: Any, rng: random.Random) -> None:
    """Walks to a random place and changes it."""
    place = program
    while True:
        keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.9:
            place = place[key]
            continue
        change = rng.random()
        if change < 0.2:
            del place[key]
        elif change < 0.4:
            place[key] = copy.deepcopy(place[rng.choice(keys)])
        else:
            place[key] = copy.deepcopy(rng.choice(_VALUES))
        return


def read(path: str | Path) -> Any:
    """The graph of the file."""
    return read_export(path, max_seconds=3.0)
