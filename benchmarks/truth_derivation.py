"""Two derivations of a network's graph that share no code with the tracer.

* `run_with_hooks`: a real forward pass on the CPU. Forward hooks count the calls of every module, and autograd says
  which of them, and which parameters, reach an output.
* `derive_from_export`: the program of `torch.export` (functional, its composite operators kept), whose ATen nodes are
  grouped by module call and by Python function, and contracted by the rules of the graph's definition. Only the names
  of functions come from the tracer's table.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from processing_archbert.ops_archbert import canonical_function_op

Label = tuple[str, str, int]
"""A node: module path, function (empty for a module), and which of the equal ones it is, in execution order."""

OUTPUT: Label = ("", "output", 0)

MOVING = frozenset(
    "view reshape view_as reshape_as permute transpose t T mT movedim squeeze unsqueeze flatten unflatten expand "
    "expand_as repeat tile chunk split split_with_sizes tensor_split unbind narrow select contiguous clone detach to "
    "type type_as float double half bfloat16 broadcast_to masked_fill dropout dropout1d dropout2d dropout3d "
    "feature_dropout alpha_dropout nan_to_num copy slice alias swapaxes swapdims index __iter__ tensor conj data "
    "view_as_complex view_as_real broadcast_tensors".split()
)
"""Functions that move, cast or mask data."""

JOINING = frozenset("add sub mul div where cat stack maximum minimum".split())
"""Functions that compute nothing of the network's when only one operand depends on it."""

RESEMBLING = frozenset("type_as view_as reshape_as expand_as".split())
"""Functions that take only the type or the sizes of their second argument."""

COUNTING = frozenset(("histc", "bincount"))
"""Functions that count; counts are integers, also where a device holds them as floats."""

SCORING = frozenset("add sub mul div Tanh cat max amax where clamp".split())
"""What lies between the product of queries and keys and the softmax of attention that is written out."""

ASSIGNMENTS = frozenset("__setitem__ copy_ index_put_ masked_scatter_".split())


@dataclass
class Run:
    """What a real forward pass shows.

    Attributes:
        live_calls: calls of each module whose result reaches an output.
        constant_calls: calls of each module whose result depends on no parameter and no float input.
        used_parameters: number of the parameters that reach an output.
    """

    live_calls: Counter[str] = field(default_factory=Counter)
    constant_calls: Counter[str] = field(default_factory=Counter)
    used_parameters: int = 0


@dataclass
class Derived:
    """A derived graph: labels in execution order, edges between them, and parameters at their first user."""

    labels: list[Label]
    edges: set[tuple[Label, Label]]
    parameters: dict[Label, int]


def run_with_hooks(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run:
    """Runs a module on real tensors in evaluation, with gradients, and counts what reaches its outputs.

    Frozen parameters get gradients as well, for the time of the run.
    """
    calls: list[tuple[str, list[Any], bool]] = []
    handles = [m.register_forward_hook(_noting(path, calls)) for path, m in module.named_modules()]
    inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor) and t.is_floating_point()]
    inputs += [p for p in module.parameters() if not p.requires_grad]
    try:
        for tensor in inputs:
            tensor.requires_grad_(True)
        outputs = _tensors(module(*args, **kwargs))
    finally:
        for handle in handles:
            handle.remove()
        for tensor in inputs:
            tensor.requires_grad_(False)
    reached, variables = _reached(t.grad_fn for t in outputs)
    run = Run(used_parameters=sum(p.numel() for p in module.parameters() if id(p) in variables))
    for path, functions, constant in calls:
        if constant:
            run.constant_calls[path] += 1
        elif any(f in reached for f in functions):
            run.live_calls[path] += 1
    return run


def _noting(path: str, calls: list[tuple[str, list[Any], bool]]) -> Any:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        found = [t for t in _tensors(output) if t.is_floating_point()]
        bases = [t._base for t in found if t._base is not None]  # a change in place goes through the base of a view
        functions = [t.grad_fn for t in (*found, *bases) if t.grad_fn is not None]
        calls.append((path, functions, not any(t.requires_grad for t in found)))

    return hook


def _tensors(value: Any) -> list[torch.Tensor]:
    leaves = tree_leaves(value)
    found = [t for t in leaves if isinstance(t, torch.Tensor)]
    for leaf in leaves:
        if hasattr(leaf, "__dict__") and not isinstance(leaf, (torch.Tensor, type, nn.Module)):
            found += [t for t in vars(leaf).values() if isinstance(t, torch.Tensor)]
    return found


def _reached(starts: Iterable[Any]) -> tuple[set[Any], set[int]]:
    """The functions behind some results in autograd's graph, and the identities of the leaves they end in."""
    stack = [f for f in starts if f is not None]
    seen, variables = set(stack), set()
    while stack:
        function = stack.pop()
        if hasattr(function, "variable"):
            variables.add(id(function.variable))
        for following, _ in function.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                stack.append(following)
    return seen, variables


@dataclass
class _Value:
    """What a value depends on: units, and parameters that it is a view of."""

    units: frozenset[int] = frozenset()
    parameters: frozenset[int] = frozenset()

    @property
    def live(self) -> bool:
        return bool(self.units or self.parameters)


class _Derivation:
    """Groups and contracts the nodes of one exported program."""

    def __init__(self, module: nn.Module, program: Any, units: set[str], without_inputs: set[str]) -> None:
        self.module = module
        self.program = program
        self.units = units
        self.without_inputs = without_inputs
        self.sizes = {id(p): p.numel() for p in module.parameters()}
        self.named = dict(module.named_parameters(remove_duplicate=False))
        self.values: dict[Any, _Value] = {}
        self.results: list[Any] = []
        self.scores: set[int] = set()
        self.names: list[tuple[str, str]] = []
        self.sources: list[frozenset[int]] = []
        self.used: list[list[int]] = []

    def run(self) -> Derived:
        needed = self._needed()
        calls = [n for n in self.program.graph.nodes if n.op == "call_function" and n in needed]
        for (_, path, function), group in groupby(calls, self._key):
            self._group(path, function, list(group))
        return self._pruned()

    def _key(self, node: Any) -> tuple[str, str, str]:
        """The call that a node belongs to, the path of its module, and the function ("" for a unit)."""
        stack = list((node.meta.get("nn_module_stack") or {"": ("", "")}).items())
        for call, (path, _) in stack:
            if path in self.units:
                return call, path, ""
        instance, function = node.meta.get("torch_fn") or (node.name, f".{node.target}")
        return f"{stack[-1][0]} {instance}", stack[-1][1][0], function.split(".")[-1]

    def _needed(self) -> set[Any]:
        """The nodes that results depend on; placeholders get their values here."""
        signature = self.program.graph_signature
        results = {name for name in signature.user_outputs if isinstance(name, str)}
        nodes = list(self.program.graph.nodes)
        needed = {n for n in nodes if n.name in results}
        for node in reversed(nodes):
            if node in needed:
                needed.update(node.all_input_nodes)
        for node in nodes:
            if node.op == "placeholder":
                self._placeholder(node, signature)
        self.results = [n for n in nodes if n.name in results]
        return needed

    def _placeholder(self, node: Any, signature: Any) -> None:
        if node.name in signature.inputs_to_parameters:
            parameter = self.named[signature.inputs_to_parameters[node.name]]
            self.values[node] = _Value(parameters=frozenset({id(parameter)}))
        elif node.name in signature.user_inputs:
            self.values[node] = _Value(units=frozenset({self._add("", "input", frozenset(), [])}))
        else:
            self.values[node] = _Value()

    def _add(self, path: str, function: str, sources: frozenset[int], parameters: Iterable[int]) -> int:
        self.names.append((path, function))
        self.sources.append(sources)
        self.used.append(list(parameters))
        return len(self.names) - 1

    def _group(self, path: str, function: str, group: list[Any]) -> None:
        members = set(group)
        outside = list(dict.fromkeys(a for n in group for a in n.all_input_nodes if a not in members))
        given = [self.values[a] for a in outside]
        units = frozenset().union(*(v.units for v in given))
        parameters = list(dict.fromkeys(p for v in given for p in sorted(v.parameters, key=str)))
        if not function:
            alone = not units and not parameters and path not in self.without_inputs
            value = _Value() if alone else _Value(frozenset({self._add(path, "", units, parameters)}))
        else:
            value = self._function(path, function, group, outside, given)
        for node in group:
            self.values[node] = value

    def _function(self, path: str, function: str, group: list[Any], outside: list[Any], given: list[_Value]) -> _Value:
        units = frozenset().union(*(v.units for v in given))
        parameters = frozenset().union(*(v.parameters for v in given))
        if function in RESEMBLING:
            return self._behind(group[-1].args[0], set(group))
        live = [v for v in given if v.live]
        if not live or function.endswith("_like") or function.startswith("new_"):
            return _Value()
        if function in ASSIGNMENTS:
            return self._assigned(path, group)
        packet = str(group[-1].target).split(".")[1] if "." in str(group[-1].target) else ""
        computed_index = packet == "index" and len(live) > 1 and self._behind(group[-1].args[0], set(group)).live
        if function in COUNTING or not any(map(_is_float, _results(group))):
            return _Value(units, parameters if not units else frozenset())
        if computed_index:
            return _Value(frozenset({self._add(path, "getitem", units, parameters)}))
        if function.strip("_") in MOVING or function in ("__getitem__", "__get__"):
            return _Value(units, parameters)
        op = canonical_function_op(function.removesuffix("_fallback"))
        if op in JOINING and len(live) <= 1:
            return _Value(units, parameters)
        unit = self._add(path, op, units, parameters)
        rank = getattr(group[-1].meta.get("val"), "ndim", 0)
        if op in ("matmul", "einsum") and (rank > 3 or (rank == 3 and self._has_heads(path))):
            self.scores.add(unit)
        return _Value(frozenset({unit}))

    def _behind(self, node: Any, members: set[Any]) -> _Value:
        """The value outside a group that the first operands inside it lead to."""
        while node in members:
            node = node.args[0]
        return self.values.get(node, _Value())

    def _assigned(self, path: str, group: list[Any]) -> _Value:
        """An assignment into a part of a tensor joins old and new where both depend on the network."""
        members, target = set(group), group[-1].args[0]
        old = self._behind(target, members)
        new = [self.values[a] for n in group for a in n.all_input_nodes if a not in members and a is not target]
        units = frozenset().union(*(v.units for v in new))
        parameters = frozenset().union(*(v.parameters for v in new))
        if not old.units:
            return _Value(units, parameters) if units or parameters else old
        if not parameters and units <= old.units:
            return old
        return _Value(frozenset({self._add(path, "setitem", old.units | units, parameters)}))

    def _ancestors(self, starts: Iterable[int]) -> set[int]:
        found, stack = set(starts), list(starts)
        while stack:
            new = self.sources[stack.pop()] - found
            found |= new
            stack += new
        return found

    def _join_attention(self, producers: list[int]) -> None:
        """Attention that is written out, `softmax(q k + ...) v`, is one node unless its scores are read elsewhere."""
        kept = self._ancestors(producers)
        readers = {i: {j for j in kept if i in self.sources[j]} for i in kept}
        for softmax in sorted(i for i in kept if self.names[i][1] == "Softmax"):
            region, stack = {softmax}, [softmax]
            while stack:
                new = {s for s in self.sources[stack.pop()] if self.names[s][1] in SCORING} - region
                region |= new
                stack += new
            products = {s for i in region for s in self.sources[i] if s in self.scores}
            last = [i for i in readers[softmax] if self.names[i][1] in ("matmul", "einsum")]
            if not products or len(last) != 1 or len(readers[softmax]) != 1:
                continue
            first = min(products)
            region = {i for i in region if first in self._ancestors([i])} | {first}
            if any(i in producers or not readers[i] <= region for i in region - {softmax}) or softmax in producers:
                continue
            path = self.names[last[0]][0]
            self.names[last[0]] = (path, "scaled_dot_product_attention")
            self.sources[last[0]] = frozenset().union(*(self.sources[i] for i in (*region, last[0]))) - region
            self.used[last[0]] = [p for i in (*sorted(region), last[0]) for p in self.used[i]]

    def _has_heads(self, path: str) -> bool:
        parts = path.split(".")
        around = [".".join(parts[:i]) for i in range(len(parts), max(len(parts) - 3, -1), -1)]
        modules = dict(self.module.named_modules())
        return any("head" in name for p in around if p in modules for name in vars(modules[p]))

    def _pruned(self) -> Derived:
        producers = sorted({u for n in self.results for u in self.values[n].units})
        self._join_attention(producers)
        order = sorted(self._ancestors(producers))
        labels = dict(zip(order, numbered(self.names[i] for i in order), strict=True))
        edges = {(labels[s], labels[i]) for i in order for s in self.sources[i]}
        edges |= {(labels[p], OUTPUT) for p in producers}
        sizes = dict(self.sizes)
        counts = {labels[i]: sum(sizes.pop(p, 0) for p in dict.fromkeys(self.used[i])) for i in order}
        return Derived(list(labels.values()), edges, counts)


def _results(group: list[Any]) -> Iterator[Any]:
    """The nodes of a group whose values are read outside it; a tuple counts where its members are."""
    members = set(group)
    for node in group:
        if any(user not in members or user.target is operator.getitem for user in node.users):
            yield node


def _is_float(node: Any) -> bool:
    values = node.meta.get("val")
    values = values if isinstance(values, (list, tuple)) else [values]
    return any(isinstance(v, torch.Tensor) and (v.is_floating_point() or v.is_complex()) for v in values)


def numbered(names: Iterable[tuple[str, str]]) -> Iterator[Label]:
    """Labels of nodes in execution order: equal names are told apart by their order."""
    seen: Counter[tuple[str, str]] = Counter()
    for name in names:
        yield (*name, seen[name])
        seen[name] += 1


def derive_from_export(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], units: set[str], without_inputs: set[str]
) -> Derived:
    """The graph of a module from what `torch.export` records.

    Args:
        module: a real module in evaluation.
        args, kwargs: its inputs.
        units: paths of the modules that are one node each; everything else is a node per function.
        without_inputs: those of `units` that are nodes although they depend on nothing (tables of positions).

    Raises:
        Exception: whatever `torch.export` raises for a module that it cannot export.
    """
    program = torch.export.export(module, args, kwargs, strict=False).run_decompositions({})
    return _Derivation(module, program, units, without_inputs).run()
