"""Damaged copies of files: every case follows from the name of the target, a seed and an index."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Sequence
from types import ModuleType

Mutation = Callable[[bytes, random.Random, Sequence[bytes]], bytes]

_MAX_BYTES = 1 << 20
_MAX_STEPS = 4
_BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFF, 0x22, 0x2D, 0x5B, 0x7B, 0x5D, 0x7D, 0x0A)
_INTEGERS = (0, 1, -1, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1,
             -(2**31), -(2**63))  # fmt: skip
_TEXTS = (b"-1", b"0", b"99999999999999999999", b"1e999", b"NaN", b"null", b"true", b'""', b"[]", b"{}", b"1.5",
          b'"\\ud800"', b"2147483648", b"[[[[]]]]")  # fmt: skip


def make_case(
    target: ModuleType, name: str, seeds: Sequence[bytes], hostile: Sequence[bytes], seed: int, index: int
) -> tuple[str, bytes]:
    """Kind and content of a case: hostile files first, then damaged seeds; where the target has `MUTATE`, half of
    these are damaged by it, and some of the others by it first.
    """
    if index < len(hostile):
        return "hostile", hostile[index]
    rng = random.Random(f"{name}/{seed}/{index}")
    data = rng.choice(seeds)
    own = getattr(target, "MUTATE", None)
    kinds = []
    if own is not None and rng.random() < 0.6:
        data = own(data, rng)
        kinds.append("structure")
    if not kinds or rng.random() < 0.2:
        for _ in range(rng.choice((1, 1, 1, 2, _MAX_STEPS))):
            kind = rng.choice(tuple(MUTATIONS))
            data = MUTATIONS[kind](data, rng, seeds)
            kinds.append(kind)
    return "+".join(dict.fromkeys(kinds)), data[:_MAX_BYTES]


def _place(data: bytes, rng: random.Random) -> int:
    """A position: anywhere, or where headers and trailers stand."""
    end = len(data)
    return min(
        end, rng.choice((rng.randint(0, end), rng.randint(0, min(end, 64)), end - rng.randint(0, min(end, 64))))
    )


def _truncate(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    return data[: _place(data, rng)]


def _behead(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    return data[_place(data, rng) :]


def _flip(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if data else 0):
        place = min(_place(data, rng), len(data) - 1)
        changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set_byte(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    place = _place(data, rng)
    return data[:place] + bytes([rng.choice(_BYTES)]) + data[place + 1 :]


def _set_number(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    place, size, order = _place(data, rng), rng.choice((1, 2, 4, 8)), rng.choice("<>")
    number = rng.choice(_INTEGERS) & (2 ** (8 * size) - 1)
    return data[:place] + struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size], number) + data[place + size :]


def _set_text(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Replaces a number or a quoted string, as JSON has them."""
    found = [m.span() for m in re.finditer(rb'-?\d+(?:\.\d+)?|"[^"\n]{0,40}"', data)]
    if not found:
        return _set_byte(data, rng, seeds)
    start, end = rng.choice(found)
    return data[:start] + rng.choice(_TEXTS) + data[end:]


def _insert(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    place = _place(data, rng)
    return data[:place] + rng.randbytes(rng.choice((1, 2, 4, 16, 256))) + data[place:]


def _delete(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    place = _place(data, rng)
    return data[:place] + data[place + rng.choice((1, 2, 4, 16, 256)) :]


def _duplicate(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    first, second = sorted((_place(data, rng), _place(data, rng)))
    return data[:second] + data[first:second] * rng.choice((1, 1, 2, 16)) + data[second:]


def _zero(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    first, second = sorted((_place(data, rng), _place(data, rng)))
    return data[:first] + bytes([rng.choice((0, 0xFF))]) * (second - first) + data[second:]


def _splice(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    other = rng.choice(seeds)
    return data[: _place(data, rng)] + other[_place(other, rng) :]


def _swap(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    places = sorted(_place(data, rng) for _ in range(3))
    first, second, third = places
    return data[:first] + data[second:third] + data[first:second] + data[third:]


MUTATIONS: dict[str, Mutation] = {
    "truncate": _truncate,
    "behead": _behead,
    "flip": _flip,
    "byte": _set_byte,
    "number": _set_number,
    "text": _set_text,
    "insert": _insert,
    "delete": _delete,
    "duplicate": _duplicate,
    "zero": _zero,
    "splice": _splice,
    "swap": _swap,
}
