"""Layers that ONNX spells out in several nodes, found again and replaced by one node each.

* Where the exporter wrote down which module and which operation a node belongs to (`torch.onnx.export(dynamo=True)`),
  that decides; elsewhere what the nodes compute does.
* The new node stands in `OWN_DOMAIN`; its operator is our canonical one, its inputs are what the layer reads, and its
  attributes are `weights` (initializers) and `options` (named as in `torch.nn`). The nodes that it replaces stay: they
  are dropped later when nothing reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .ops_archbert import CONTRACTED_FUNCTIONS, canonical_function_op, canonical_module_op, op_category
from .source_onnx_inline_archbert import MERGE, OWN_DOMAIN, FlatModel
from .source_onnx_model_archbert import OnnxNode
from .source_onnx_sizes_archbert import UNKNOWN, Known
from .source_onnx_values_archbert import know

_TRANSPARENT = frozenset({"Cast", "CastLike", "Identity", "Dropout", MERGE})
_FOLDED_CATEGORIES = frozenset({"activation", "normalization", "positional", "softmax", "rearrangement", "similarity"})
_FOLDED_FUNCTIONS = _FOLDED_CATEGORIES | {"attention", "elementwise", "reduction", "upsampling", "signal"}
_FOLDED_OPS = frozenset({"roll", "flip", "outer", "floor_divide", "remainder", "lerp", "cdist", "one_hot", "tril"})
_MHA = "MultiheadAttention"
_ORDERED = frozenset({"Trilu", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"})
_ROTARY_SCOPE = re.compile(r"^(.*/\w*(?:rotary|rope)\w*)/[^/]*$", re.IGNORECASE)
_MASK_NODES = 40
STEPS = 12


class Patterns:
    """Finds and replaces layers in a flat model.

    Args:
        flat: the model; its list of nodes is changed by `run`.

    Attributes:
        rotary: constants that hold sines and cosines of positions -> name of what made them.
    """

    def __init__(self, flat: FlatModel) -> None:
        self.flat = flat
        self.known = know(flat)
        self.nodes = flat.nodes
        self.maker = {name: i for i, node in enumerate(flat.nodes) for name in node.outputs if name}
        self.users: dict[str, list[int]] = {}
        for i, node in enumerate(flat.nodes):
            for name in dict.fromkeys(node.inputs):
                if name:
                    self.users.setdefault(name, []).append(i)
        self.results = set(flat.outputs)
        self.gone: set[int] = set()
        self.made: list[tuple[float, OnnxNode]] = []
        self.rotary: dict[str, str] = {}

    def run(self, rules: Mapping[str, Callable[[Patterns, int, OnnxNode], None]]) -> None:
        """Replaces what the exporter names, and then what the rules find; they are given by ONNX operator."""
        self._fold_modules()
        for index, node in enumerate(self.nodes):
            rule = rules.get(node.op)
            if rule is not None and index not in self.gone and not node.domain and node.inputs and node.outputs:
                rule(self, index, node)
        kept = [(float(i), node) for i, node in enumerate(self.nodes) if i not in self.gone]
        self.flat.nodes = [node for _, node in sorted(kept + self.made, key=lambda item: item[0])]

    # Values

    def of(self, name: str) -> Known:
        """What is known of a value."""
        return self.known.get(name, UNKNOWN)

    def node_of(self, name: str) -> OnnxNode | None:
        """The node that computes a value, past casts and copies."""
        for _ in range(STEPS):
            index = self.maker.get(name)
            if index is None:
                return None
            node = self.nodes[index]
            if node.op not in _TRANSPARENT or not node.inputs:
                return node
            name = node.inputs[0]
        return None

    def plain(self, name: str) -> str:
        """The value itself, past casts and copies."""
        for _ in range(STEPS):
            index = self.maker.get(name)
            if index is None or self.nodes[index].op not in _TRANSPARENT or not self.nodes[index].inputs:
                break
            name = self.nodes[index].inputs[0]
        return name

    def is_scalar(self, name: str) -> bool:
        """Whether a value is one number that depends on no input."""
        item = self.of(name)
        return not item.live and item.sizes is not None and all(size == 1 for size in item.sizes)

    def scaled(self, name: str) -> str:
        """The value without numbers that it is multiplied by."""
        for _ in range(STEPS):
            node = self.node_of(name)
            if node is None or node.op not in ("Mul", "Div") or len(node.inputs) != 2:
                break
            if self.is_scalar(node.inputs[1]):
                name = node.inputs[0]
            elif node.op == "Mul" and self.is_scalar(node.inputs[0]):
                name = node.inputs[1]
            else:
                break
        return self.plain(name)

    def user(self, index: int) -> int | None:
        """The one node that reads a node's first result, past casts and copies; None where there is not one."""
        for _ in range(STEPS):
            name = self.nodes[index].outputs[0] if self.nodes[index].outputs else ""
            users = self.users.get(name, [])
            if len(users) != 1 or name in self.results:
                return None
            index = users[0]
            if self.nodes[index].op not in _TRANSPARENT:
                return index
        return None

    def other(self, node: OnnxNode, name: str) -> str:
        """The second operand of a node that reads `name`; empty where there is none."""
        others = [given for given in node.inputs if self.plain(given) != self.plain(name)]
        return others[0] if len(node.inputs) == 2 and len(others) == 1 else ""

    def replace(self, index: int, op: str, inputs: Iterable[str], weights: Iterable[str] = (), **options: Any) -> None:
        """Puts one node in the place of the node at `index`."""
        old = self.nodes[index]
        self.nodes[index] = OnnxNode(
            op, OWN_DOMAIN, name=old.name, inputs=list(dict.fromkeys(inputs)), outputs=old.outputs[:1],
            attributes={"weights": list(dict.fromkeys(weights)), "options": options}, scopes=old.scopes,
            classes=old.classes,
        )  # fmt: skip

    # What the exporter says

    def _fold_modules(self) -> None:
        groups: dict[tuple[str, str], list[int]] = {}
        for index, node in enumerate(self.nodes):
            key = _written(node) if node.classes else _rotary_scope(node)
            if key is not None:
                groups.setdefault(key, []).append(index)
        for (op, path), members in groups.items():
            if path.startswith("call:") and len(members) == 1 and op != "masked_fill":
                continue
            for run in self._runs(members) if not path.startswith("call:") else [members]:
                self._fold(op, run)
        if any(op == _MHA for op, _ in groups):
            return
        scopes = {scope for node in self.nodes for scope in [self._in_projection(node)] if scope}
        for scope in scopes:
            self._fold(_MHA, [i for i, n in enumerate(self.nodes) if n.name.startswith(scope + "/")])

    def _in_projection(self, node: OnnxNode) -> str:
        """Scope of a node that adds the bias of the three projections of a MultiheadAttention."""
        if node.op not in ("Add", "Gemm", "Squeeze") or "/" not in node.name or not node.inputs:
            return ""
        if node.op == "Squeeze":
            return node.name.rsplit("/", 1)[0] if self._is_packed(node) else ""
        named = any(root.endswith("in_proj_bias") for name in node.inputs for root in self.of(name).roots)
        return node.name.rsplit("/", 1)[0] if named else ""

    def _is_packed(self, node: OnnxNode) -> bool:
        """Whether three projections made at once are parted as nn.MultiheadAttention does: (1, T, B, 3, E) turned."""
        turned = self.node_of(node.inputs[0])
        wide = self.node_of(turned.inputs[0]) if turned is not None and turned.op == "Transpose" else None
        sizes = self.of(wide.outputs[0]).sizes if wide is not None and wide.op == "Unsqueeze" else None
        return sizes is not None and len(sizes) == 5 and sizes[0] == 1 and sizes[3] == 3

    def _runs(self, members: list[int]) -> list[list[int]]:
        """Members parted where the network computes something else in between, as in a second call of a module."""
        runs: list[list[int]] = []
        for index in members:
            between = range(runs[-1][-1] + 1, index) if runs else ()
            if not runs or any(self.of(name).live for i in between for name in self.nodes[i].outputs[:1]):
                runs.append([])
            runs[-1].append(index)
        return runs

    def _fold(self, op: str, members: list[int]) -> None:
        inside = {name for i in members for name in self.nodes[i].outputs if name}
        given = [n for i in members for n in self.nodes[i].inputs if n and n not in inside]
        outputs = [
            name for i in members for name in self.nodes[i].outputs
            if name and (name in self.results or any(u not in members for u in self.users.get(name, ())))
        ]  # fmt: skip
        live = [name for name in dict.fromkeys(given) if self.of(name).live]
        members_set = set(members)
        ready = max((self.maker.get(name, -1) for name in live), default=members[0])
        first_user = min((u for n in outputs for u in self.users.get(n, ()) if u not in members_set), default=10**9)
        if not outputs or ready >= first_user or (not live and op != "RotaryEmbedding"):
            return
        if not any(self.of(name).live and self.of(name).floating for name in outputs) and op != "RotaryEmbedding":
            return
        weights = [r for name in given if not self.of(name).live for r in self.of(name).roots]
        options = self._options(op, members)
        last = self.nodes[members[-1]]
        node = OnnxNode(op, OWN_DOMAIN, name=last.name, inputs=live, outputs=outputs, scopes=last.scopes[:-1],
                        attributes={"weights": list(dict.fromkeys(weights)), "options": options})  # fmt: skip
        self.gone |= members_set
        self.made.append((max(float(ready), min(float(members[0]), first_user - 0.5)) + 0.25, node))

    def _options(self, op: str, members: list[int]) -> dict[str, Any]:
        nodes = [self.nodes[i] for i in members]
        if op == _MHA or op == "scaled_dot_product_attention":
            softmax = next((node for node in nodes if node.op == "Softmax"), None)
            found = self.heads(softmax.inputs[0]) if softmax is not None else {}
            if op == _MHA and softmax is not None:
                found = self._all_heads(found, nodes)
            return found
        if op == "GroupNorm":
            return {"num_groups": next((self.groups(node) for node in nodes if self.groups(node)), 0)}
        if op.startswith("LPPool"):
            pool = next((node for node in nodes if node.op == "AveragePool"), None)
            return pooling(pool) if pool is not None else {}
        if op.startswith("Adaptive"):
            sizes = next((self.of(node.outputs[0]).sizes for node in reversed(nodes)), None) or ()
            dims = int(op[-2])
            return {"output_size": tuple(s or 0 for s in sizes[-dims:]) if len(sizes) > dims else (1,) * dims}
        return {}

    def groups(self, node: OnnxNode) -> int:
        """Groups of a GroupNorm, which ONNX may spell as an InstanceNormalization of reshaped data."""
        if node.op == "GroupNormalization":
            return int(node.attributes.get("num_groups", 0))
        sizes = self.of(node.inputs[1]).sizes if node.op == "InstanceNormalization" and len(node.inputs) > 1 else None
        return sizes[0] or 0 if sizes else 0

    def heads(self, scores: str) -> dict[str, Any]:
        """Heads and their size, from the product of queries and keys before a softmax."""
        masks = []
        for _ in range(STEPS):
            node = self.node_of(scores)
            if node is None or not node.inputs:
                return {}
            if node.op in ("MatMul", "FusedMatMul"):
                break
            names = [name for name in node.inputs if self.of(name).live]
            masks += [name for name in node.inputs if not self.of(name).live or node.op == "Where"]
            masks += node.inputs[1:] if node.op == "Add" else []
            if node.op not in ("Add", "Sub", "Mul", "Div", "Where", "Clip", "Tanh", "Reshape") or not names:
                return {}
            scores = names[-1] if node.op == "Where" else names[0]
        else:
            return {}
        sizes, keys = self.of(node.inputs[0]).sizes, self.of(node.inputs[1]).sizes
        if sizes is None or len(sizes) < 3:
            return {}
        num_heads = sizes[-3] if len(sizes) > 3 else 1
        return {
            "num_heads": num_heads, "head_dim": sizes[-1] or (keys[-2] if keys and len(keys) > 2 else None),
            "num_kv_heads": self.kv_heads(node.inputs[1]), "is_causal": any(map(self.is_triangle, masks)),
            "rank": len(sizes), "inputs": tuple(node.inputs[:2]),
        }  # fmt: skip

    def _all_heads(self, found: dict[str, Any], nodes: list[OnnxNode]) -> dict[str, Any]:
        """Heads of a MultiheadAttention, whose scores have a batch and heads in one dimension."""
        size = found.get("head_dim")
        width = next((s[-1] for n in reversed(nodes) if n.op in ("Gemm", "MatMul", "Add")
                      for s in [self.of(n.outputs[0]).sizes] if s), None)  # fmt: skip
        heads = width // size if isinstance(size, int) and size and isinstance(width, int) else found.get("num_heads")
        return {"num_heads": heads, "head_dim": size, "is_causal": False}

    def kv_heads(self, name: str) -> int | None:
        """Heads of keys or values before they are repeated for groups of queries."""
        sizes = self.of(name).sizes
        whole = sizes[-3] if sizes is not None and len(sizes) > 3 else 1
        for _ in range(STEPS):
            node = self.node_of(name)
            if node is None or not node.inputs:
                break
            name = node.inputs[0]
            if node.op == "Expand":
                before = self.of(name).sizes
                count = before[1] if before is not None and len(before) == 5 and before[2] == 1 else whole
                return count if whole and count and whole % count == 0 else whole
            if node.op == "Mul" and not self.of(name).live:
                name = node.inputs[-1]
            elif node.op not in ("Transpose", "Reshape", "Mul", "Div", "Unsqueeze", "Squeeze"):
                break
        return whole

    def is_triangle(self, name: str) -> bool:
        """Whether a mask hides the future: one made by comparing positions, or a constant that is seen to do so."""
        stack, seen = [name], set()  # type: list[str], set[str]
        while stack and len(seen) < _MASK_NODES:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            tensor, index = self.flat.tensors.get(value), self.maker.get(value)
            if tensor is not None and len(tensor.corner) == 4:
                first, second, third, fourth = tensor.corner
                if first == third == fourth != second:
                    return True
            if index is not None and index not in self.gone:
                node = self.nodes[index]
                if node.op in _ORDERED and not self.of(value).live:
                    return True
                if node.op not in ("MatMul", "Gemm", "Conv", "Softmax", "Gather", "GatherND"):
                    stack += [given for given in node.inputs if given]
        return False


def _written(node: OnnxNode) -> tuple[str, str] | None:
    """Canonical op and path of the layer that the exporter says a node belongs to."""
    if not node.classes or len(node.scopes) != len(node.classes):
        return None
    for path, kind in zip(node.scopes[:-1], node.classes[:-1], strict=False):
        name = kind.rsplit(".", 1)[-1]
        if kind.startswith("torch.nn.modules."):
            op = name
            chosen = op_category(op) in _FOLDED_CATEGORIES or op == _MHA or op.startswith(("Adaptive", "LPPool"))
        else:
            op = canonical_module_op(name) or ""
            chosen = bool(op) and op not in ("Linear", "BatchNorm2d")
        if chosen and not op.startswith("BatchNorm"):
            return op, path
    function = node.classes[-1].split(".")
    if len(function) < 2 or not node.scopes:
        return None
    plain = function[1]
    op = canonical_function_op(plain)
    if plain == "masked_fill":
        return "masked_fill", f"call:{node.scopes[-1]}"
    folded = op_category(op) in _FOLDED_FUNCTIONS or op in _FOLDED_OPS
    if plain in CONTRACTED_FUNCTIONS or not folded or op.startswith("BatchNorm"):
        return None
    return op, f"call:{node.scopes[-1]}"


def pooling(node: OnnxNode) -> dict[str, Any]:
    """Kernel and stride of a pooling node."""
    kernel = node.attributes.get("kernel_shape")
    kernel = kernel if isinstance(kernel, tuple) else ()
    return {"kernel_size": kernel, "stride": node.attributes.get("strides") or (1,) * len(kernel)}


def _rotary_scope(node: OnnxNode) -> tuple[str, str] | None:
    found = _ROTARY_SCOPE.match(node.name)
    return ("RotaryEmbedding", found.group(1)) if found else None
