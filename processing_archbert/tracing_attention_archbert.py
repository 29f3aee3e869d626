"""Attention that is written out becomes one node, as if it had been called by its name.

`softmax(q k^T + ...) v` is what `scaled_dot_product_attention` computes, so both forms of one network have one graph:
products of queries and keys, whatever scales, biases, caps or masks the scores, a softmax that is no layer of its own,
and the product with the values are one `scaled_dot_product_attention` with the heads that its module says. Scores that
anything else reads are left as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .ops_archbert import ATTRIBUTE_INDEX
from .tracing_modules_archbert import HEAD_OPTIONS, attention_row, enclosing_option, function_shape
from .tracing_values_archbert import union

ATTENTION_OP = "scaled_dot_product_attention"
PRODUCTS = frozenset(("matmul", "einsum"))
MASKING = frozenset(("add", "where", "masked_fill"))
_BETWEEN = frozenset(("add", "sub", "mul", "div", "Tanh", "cat", "max", "amax", "where", "clamp"))
_MASKED_BELOW = -1e3
_CAUSAL = ATTRIBUTE_INDEX["causal"]


def score_attributes(queries: Sequence[int], keys: Sequence[int], modules: Sequence[nn.Module]) -> list[int] | None:
    """Attribute row of attention, for a product that could be its scores; None where its heads cannot be told.

    Args:
        queries: sizes of the first factor, (..., heads, length, head size) or (batch times heads, length, head size).
        keys: sizes of the second factor.
        modules: the modules that the product is called in, outermost first.
    """
    named = enclosing_option(modules, HEAD_OPTIONS)
    heads = int(named) if named is not None else 0
    if len(queries) < 3 or len(keys) != len(queries):
        return None
    if len(queries) == 3 and (heads < 1 or queries[0] % heads):
        return None
    if len(queries) > 3 and heads not in queries[:-1]:
        heads = int(queries[-3])
    shared = len(keys) > 3 and keys[-3] == 1
    return attention_row(heads, 1 if shared else heads, int(queries[-1]), False, modules)


def is_causal_mask(mask: torch.Tensor | None) -> bool:
    """Whether a known mask (..., L, L), boolean or added to scores, hides exactly what comes later."""
    if mask is None or mask.dim() < 2 or mask.shape[-1] != mask.shape[-2] or not 1 < mask.shape[-1] <= 4096:
        return False
    plane = mask.reshape(-1, *mask.shape[-2:])[0]
    if plane.dtype != torch.bool:
        if not plane.dtype.is_floating_point:
            return False
        plane = plane < _MASKED_BELOW
    later = torch.ones_like(plane).triu(1)
    return bool((plane == later).all()) or bool((plane != later).all())


def mark_causal(row: list[int]) -> None:
    """Writes into an attribute row that the attention is causal."""
    row[_CAUSAL] = 1


def join_attention(nodes: Sequence[Any], kept: Sequence[int], producers: Collection[int]) -> bool:
    """Joins every written-out attention among recorded nodes, in place; whether there was any.

    Args:
        nodes: recorded nodes; `scores` is the attribute row of a product that could be attention scores, else None.
        kept: indices of the nodes that reach an output, ascending.
        producers: indices of the nodes whose output is one of the network's.
    """
    users: dict[int, list[int]] = {}
    for i in kept:
        for source in nodes[i].sources:
            users.setdefault(source, []).append(i)
    found = False
    for i in kept:
        if nodes[i].op == "Softmax" and nodes[i].is_call and i not in producers:
            found |= _join(nodes, i, users, producers)
    return found


def _join(nodes: Sequence[Any], softmax: int, users: Mapping[int, Sequence[int]], producers: Collection[int]) -> bool:
    readers = users.get(softmax, ())
    if len(readers) != 1 or nodes[readers[0]].op not in PRODUCTS:
        return False
    first, between = _scores(nodes, softmax)
    if first is None:
        return False
    inside = {first, *between}
    allowed = {*between, softmax}
    if any(n in producers or not allowed.issuperset(users.get(n, ())) for n in inside):
        return False
    result = nodes[readers[0]]
    parts = [nodes[first], *(nodes[n] for n in between), nodes[softmax]]
    outer = [tuple(s for s in part.sources if s not in inside and s != softmax) for part in (*parts, result)]
    causal = any(part.causal for part in parts)
    result.attributes = list(nodes[first].scores)
    if causal:
        mark_causal(result.attributes)
    result.sources = union(outer)
    result.parameters = union([part.parameters for part in (*parts, result)])
    result.op, result.scores = ATTENTION_OP, None
    result.shape = function_shape(ATTENTION_OP, {}, result.parameters)
    result.name = ".".join([*result.name.split(".")[:-1], ATTENTION_OP])
    return True


def _scores(nodes: Sequence[Any], softmax: int) -> tuple[int | None, list[int]]:
    """The product that the argument of a softmax is made of, and the nodes on the way from it, ascending."""
    passed: set[int] = set()
    products: set[int] = set()
    stack = [softmax]
    while stack:
        for source in nodes[stack.pop()].sources:
            if nodes[source].op in PRODUCTS:
                products.add(source)
            elif nodes[source].op in _BETWEEN and source not in passed:
                passed.add(source)
                stack.append(source)
    first = min((p for p in products if nodes[p].scores is not None), default=None)
    between: list[int] = []
    for n in sorted(passed):
        if any(s == first or s in between for s in nodes[n].sources):
            between.append(n)
    return first, between
