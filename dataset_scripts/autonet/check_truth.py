"""What is true of a graph, derived a second time for the checker.

Nothing here is shared with the facts that label the data: the truth comes from the networkx form of a graph, kernels
of convolutions from their weight shapes, categories from patterns of op names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from functools import cached_property
from typing import Any

_CATEGORIES: tuple[tuple[str, str], ...] = (
    ("convolution", r"Conv(Transpose)?[123]d|Dil_conv2d|Sep_conv2d"),
    ("pooling", r"(Adaptive(Avg|Max)|Avg|Max|LP|FractionalMax)Pool[123]d|MaxUnpool[123]d"),
    ("normalization", r"(Batch|Instance)Norm[123]d|LayerNorm|GroupNorm|RMSNorm|LocalResponseNorm"),
    (
        "activation",
        r"([CGS]?E|Re|Si|SiL|PRe|RRe|LeakyRe|G)LU|SiLU|GELU|ReLU6|ReLUSquared|XIELU|Sigmoid|LogSigmoid|Tanh|Mish|"
        r"Laplace|Threshold|Hard(swish|sigmoid|tanh|shrink)|Soft(shrink|plus|sign)|Tanhshrink",
    ),
    ("softmax", r"(Log)?Softmax|Softmin"),
    ("linear", r"Linear|Bilinear"),
    ("embedding", r"Embedding(Bag)?"),
    ("attention", r"MultiheadAttention|scaled_dot_product_attention"),
    ("recurrent", r"(LSTM|GRU|RNN)(Cell)?"),
    ("positional", r"RotaryEmbedding"),
    ("upsampling", r"Upsample|Pixel(Uns|S)huffle"),
)
_PATTERNS = tuple((name, re.compile(pattern)) for name, pattern in _CATEGORIES)


def category_of(layer: str) -> str:
    """Category of a layer name, empty for what is no layer."""
    return next((name for name, pattern in _PATTERNS if pattern.fullmatch(layer)), "")


class GraphTruth:
    """Layers of a graph and their relations.

    Args:
        graph: a `networkx.DiGraph` whose nodes carry `op_type`, `shape` and `attributes`.
        num_parameters: unique parameters of the network.
    """

    def __init__(self, graph: Any, num_parameters: int) -> None:
        self.graph = graph
        self.num_parameters = num_parameters

    def _is_depthwise(self, node: int) -> bool:
        data = self.graph.nodes[node]
        attributes = data["attributes"]
        spread = max(attributes.get("dilation_h", 1), attributes.get("dilation_w", 1))
        return data["op_type"] == "Conv2d" and attributes.get("groups", 1) > 1 and data["shape"][1] == 1 and spread < 2

    def _is_pointwise(self, node: int) -> bool:
        data = self.graph.nodes[node]
        return data["op_type"] == "Conv2d" and data["attributes"].get("groups", 1) == 1 and data["shape"][2:] == (1, 1)

    @cached_property
    def kinds(self) -> dict[int, str]:
        """Node to the name of its layer, for the nodes that are layers."""
        kinds: dict[int, str] = {}
        for node, data in self.graph.nodes(data=True):
            attributes = data["attributes"]
            if (
                data["op_type"] == "Conv2d"
                and max(attributes.get("dilation_h", 1), attributes.get("dilation_w", 1)) > 1
            ):
                kinds[node] = "Dil_conv2d"
            elif category_of(data["op_type"]):
                kinds[node] = data["op_type"]
        for first, second in self.graph.edges:
            if self._is_depthwise(first) and self._is_pointwise(second):
                kinds[first] = kinds[second] = "Sep_conv2d"
        return kinds

    @cached_property
    def counted(self) -> dict[int, str]:
        """Like `kinds`, without the pointwise halves of separable convolutions: one node for one layer."""
        return {n: k for n, k in self.kinds.items() if k != "Sep_conv2d" or self._is_depthwise(n)}

    @cached_property
    def counts(self) -> Counter[str]:
        """Number of layers of every kind."""
        return Counter(self.counted.values())

    def of_category(self, category: str) -> set[str]:
        """Kinds of a category that occur."""
        return {kind for kind in self.counts if category_of(kind) == category}

    def _kernel(self, node: int) -> str:
        data = self.graph.nodes[node]
        attributes, op = data["attributes"], data["op_type"]
        if "kernel_d" in attributes:
            return "*".join(str(attributes[f"kernel_{axis}"]) for axis in "dhw")
        if category_of(op) == "convolution" and not op.endswith("3d"):
            return "*".join(map(str, data["shape"][2:]))
        sides = [attributes.get(f"kernel_{axis}", 0) for axis in "hw"]
        return "*".join(map(str, sides)) if any(sides) else ""

    def kernels(self, layer: str = "") -> set[str]:
        """Kernel sizes of a layer, or of all convolutions and poolings."""
        nodes = [
            n for n, kind in self.counted.items()
            if (kind == layer if layer else category_of(kind) in ("convolution", "pooling"))
        ]  # fmt: skip
        return {size for size in map(self._kernel, nodes) if size}

    @cached_property
    def pairs(self) -> set[tuple[str, str]]:
        """(layer, the layer directly before it) over all edges."""
        kinds = self.kinds
        return {(kinds[b], kinds[a]) for a, b in self.graph.edges if a in kinds and b in kinds}

    def after_convolution(self, category: str) -> set[str]:
        """Kinds of a category that directly follow a convolution."""
        return {b for b, a in self.pairs if category_of(b) == category and category_of(a) == "convolution"}

    def is_most_frequent(self, layer: str) -> bool:
        """Whether the network has more of this layer than of any other."""
        return self.counts[layer] > max((n for kind, n in self.counts.items() if kind != layer), default=0)

    def has_parameters(self, about: float) -> bool:
        """Whether the number of parameters is the given one up to a twentieth."""
        return self.num_parameters * 0.95 <= about <= self.num_parameters * 1.05

    def holds(self, statement: tuple[Any, ...]) -> bool:
        """Whether one statement, as the reader gives it, is true.

        Raises:
            KeyError: for an unknown statement.
        """
        kind, *details = statement
        checks: dict[str, Any] = {
            "has": lambda layer: self.counts[layer] > 0,
            "has not": lambda layer: self.counts[layer] == 0,
            "has none of": lambda category: not self.of_category(category),
            "number of": lambda layer, n: self.counts[layer] == n,
            "layers": lambda n: self.counts.total() == n,
            "parameters": self.has_parameters,
            "kernel": lambda layer, size: size in self.kernels(layer),
            "more": lambda layer, than: self.counts[layer] > self.counts[than],
            "most": self.is_most_frequent,
            "after": lambda layer, before: (layer, before) in self.pairs,
        }
        return bool(checks[kind](*details))

    def answers(self, kind: str, subject: str) -> Collection[str]:
        """Names or kernel sizes that answer a question as the reader understood it; empty where there are none.

        Raises:
            KeyError: for an unknown kind of question.
        """
        if kind.endswith("_types"):
            return set(self.counts) if kind == "layer_types" else self.of_category(kind.removesuffix("_types"))
        if kind.endswith("_after_convolution"):
            return self.after_convolution(kind.removesuffix("_after_convolution"))
        checks: dict[str, Any] = {
            "layer_function": lambda: {subject} if self.counts[subject] else set(),
            "layer_kernel_sizes": lambda: self.kernels(subject),
            "kernel_sizes": self.kernels,
        }
        return checks[kind]()
