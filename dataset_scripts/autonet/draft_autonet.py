"""A network under construction: its random choices, its size budget and the items drafted so far.

Everything comes from one `random.Random`, and only from its integer and uniform draws, so that a seed gives the same
bytes on every machine.
"""

from __future__ import annotations

import random
from typing import Any

from .operations_autonet import ACTIVATIONS, COMMON_ACTIVATIONS, IMAGE_NORMS, SEQUENCE_NORMS

NODE_RANGES: tuple[tuple[int, int, int], ...] = (
    (12, 70, 10), (70, 150, 12), (150, 280, 25), (280, 430, 26), (430, 700, 18), (700, 1100, 9), (1100, 1500, 3),
)  # fmt: skip
"""Ranges (low, high, weight) of the number of graph nodes that a network aims at."""

GATES: tuple[str, ...] = (
    "Sigmoid:module",
    "Hardsigmoid:module",
    "Sigmoid:function",
    "Tanh:module",
    "Hardsigmoid:function",
)


class Taste:
    """What one network prefers: its activations, normalizations, biases and forms of calls.

    Half of the networks follow the habits of their style, half combine freely. A network uses one activation
    everywhere, or a few, or any. The same holds for normalizations, and both may be missing. `padding` says whether
    convolutions pad themselves (-1) or a function before them does (-2).
    """

    def __init__(self, rng: random.Random, image_norms: tuple[str, ...], sequence_norms: tuple[str, ...],
                 activations: tuple[str, ...]) -> None:  # fmt: skip
        self.rng = rng
        habitual = rng.random() < 0.5
        names = activations if habitual else COMMON_ACTIVATIONS if rng.random() < 0.25 else ACTIVATIONS
        kinds = rng.choices((1, 2, 3, 5), (55, 20, 15, 10))[0]
        self.activation_names = tuple(dict.fromkeys(rng.choice(names) for _ in range(kinds)))
        self.form = rng.choices(("module", "function", "mixed", "written", "tanh", "quick"), (46, 28, 14, 5, 4, 3))[0]
        self.image_norms = self._norms(image_norms if habitual else IMAGE_NORMS)
        self.sequence_norms = self._norms(sequence_norms if habitual else SEQUENCE_NORMS)
        self.bias = rng.random() < 0.6
        self.drop = rng.random() < 0.4
        self.padding = -2 if rng.random() < 0.1 else -1

    def _norms(self, names: tuple[str, ...]) -> tuple[str, ...]:
        if self.rng.random() < 0.12:
            return ("",)
        count = self.rng.choices((1, 2, 3), (76, 18, 6))[0]
        codes = []
        for _ in range(count):
            name = self.rng.choice(names)
            own = name == "RMSNorm" and self.rng.random() < 0.4
            codes.append(
                f"{name}:own"
                if own
                else f"{name}:{self.rng.choice((1, 4, 8, 16, 32))}"
                if name == "GroupNorm"
                else name
            )
        return tuple(dict.fromkeys(codes))

    def act(self) -> str:
        """An activation code."""
        form = self.rng.choice(("module", "function")) if self.form == "mixed" else self.form
        return f"{self.rng.choice(self.activation_names)}:{form}"

    def image_norm(self) -> str:
        """A normalization code for images; empty for none."""
        return self.rng.choice(self.image_norms)

    def norm(self) -> str:
        """A normalization code for sequences; empty for none."""
        return self.rng.choice(self.sequence_norms)

    def rate(self) -> float:
        """A dropout rate."""
        return 0.1 if self.drop else 0.0


class Draft:
    """Items, inputs and outputs of a network while a style writes it.

    Attributes:
        channels: channels of the image or signal, or width of the sequence, after the items so far.
        side: height and width of the image; length of the signal or sequence.
        nodes: estimated number of graph nodes so far; `target` is the number to aim at.
    """

    def __init__(self, rng: random.Random, tiny: bool) -> None:
        self.rng = rng
        self.tiny = tiny
        low, high, _ = rng.choices(NODE_RANGES, [w for _, _, w in NODE_RANGES])[0]
        self.target = rng.randint(12, 50) if tiny else rng.randint(low, high)
        self.items: list[dict[str, Any]] = []
        self.inputs: list[dict[str, Any]] = []
        self.outputs: list[str] = ["x"]
        self.channels = 0
        self.side = 0
        self.nodes = 2.0
        self.taste: Taste

    def prefer(self, image_norms: tuple[str, ...] = ("BatchNorm2d",), sequence_norms: tuple[str, ...] = ("LayerNorm",),
               activations: tuple[str, ...] = ("ReLU",)) -> Taste:  # fmt: skip
        """Set the taste; the arguments are the habits of the style."""
        self.taste = Taste(self.rng, image_norms, sequence_norms, activations)
        return self.taste

    def add(self, block: str, args: dict[str, Any], cost: float = 3.0, repeat: int = 1, take: list[str | None] | None
            = None, to: str = "x", shared: bool = False, tie: str = "", name: str = "") -> None:  # fmt: skip
        """Append an item: `repeat` cells of a block, fed by the values named in `take`, stored as `to`."""
        item: dict[str, Any] = {"block": block, "args": args}
        options = {"repeat": repeat if repeat != 1 else 0, "take": take, "to": to if to != "x" else "",
                   "shared": shared, "tie": tie, "name": name}  # fmt: skip
        item.update({key: value for key, value in options.items() if value})
        self.items.append(item)
        self.nodes += cost * repeat

    def prune(self) -> None:
        """Drop the items whose result reaches no output."""
        needed, kept = set(self.outputs), []
        for item in reversed(self.items):
            to = item.get("to", "x")
            if to in needed:
                needed.remove(to)
                needed.update(item.get("take") or ["x"])
                kept.append(item)
        self.items = kept[::-1]

    def image(self, side: int, channels: int = 3, name: str = "x") -> None:
        """Declare an image input."""
        self.inputs.append({"name": name, "kind": "image", "shape": [channels, side, side]})
        self.channels, self.side = channels, side

    def tokens(self, vocab: int, length: int, name: str = "x") -> None:
        """Declare an input of token ids."""
        self.inputs.append({"name": name, "kind": "tokens", "shape": [length], "vocab": vocab})
        self.side = length

    def features(self, shape: list[int], name: str = "x") -> None:
        """Declare an input of real numbers, without the batch axis."""
        self.inputs.append({"name": name, "kind": "features", "shape": shape})

    def left(self) -> float:
        """Estimated nodes that remain to the target."""
        return max(self.target - self.nodes, 0.0)

    def depth(self, cost: float, most: int = 48, share: float = 1.0) -> int:
        """Number of cells of a given cost that fill a share of what remains."""
        return max(1, min(most, round(self.left() * share / max(cost, 1.0))))

    def width(self, choices: tuple[int, ...]) -> int:
        """A width from the choices, now and then any small multiple of eight; a small one in tiny networks."""
        if self.tiny:
            return self.rng.choice((8, 16, 24, 32))
        return 8 * self.rng.randint(2, 48) if self.maybe(0.12) else self.rng.choice(choices)

    def maybe(self, probability: float) -> bool:
        """True with a probability."""
        return self.rng.random() < probability

    def pick(self, **weights: int) -> str:
        """One of the names, by weight; a name of one underscore stands for the empty string."""
        name = self.rng.choices(list(weights), list(weights.values()))[0]
        return "" if name == "_" else name
