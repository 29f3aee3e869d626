"""Replays the calls of an exported program on the recorder, so that its graph follows the tracer's rules.

Nothing is run: every result is a meta tensor of the sizes that the program states. A run of calls inside one leaf
module is one node, as is a run of calls that one torch function made; higher-order calls are followed into the graph
that they hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .ops_archbert import ATTRIBUTE_INDEX, canonical_function_op
from .source_export_modules_archbert import (
    WeightTree,
    convolution_function,
    folded_attributes,
    folded_call,
    folded_shape,
    function_options,
    is_torch_class,
    plain_function,
)
from .source_export_program_archbert import (
    Call,
    ModuleCall,
    Ref,
    list_references,
    read_calls,
    tensor_name,
    tensor_of,
)
from .source_export_values_archbert import Evaluator
from .tracing_attention_archbert import is_causal_mask
from .tracing_constants_archbert import words
from .tracing_modules_archbert import module_attributes
from .tracing_nodes_archbert import Node
from .tracing_recorder_archbert import Recorder
from .tracing_values_archbert import Tracked, union

MAX_GRAPH_DEPTH = 16
MAX_CALLS = 500_000

_MASK_DISTANCE = 8
_MASKED_BELOW = -1e3

_VIEWS = words("view slice select transpose permute unsqueeze squeeze expand t detach alias reshape flatten unflatten "
               "narrow contiguous expand_as view_as numpy_T")  # fmt: skip
_COMPARISONS = ("gt", "ge", "lt", "le")
_MASKING = ("where", "masked_fill", "add")
_SAME = ("to", "type_as", "alias", "lift_fresh_copy")
_WRAPPERS = ("wrap_with_set_grad_enabled", "wrap_with_autocast", "wrap", "hints_wrapper", "strict_mode",
             "invoke_subgraph", "tag_activation_checkpoint", "checkpoint")  # fmt: skip
_SETTERS = words("__setitem__ index_put_ copy_ masked_scatter_")
_UNNAMED = words("__get__ __set__ __call__ __torch_function__ wrapper inner")
_SOURCE_MODULES = ("RotaryEmbedding",)
_DROPOUTS = words("dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout feature_dropout dropout_")
_RECURRENT = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN", "rnn_tanh": "RNN", "rnn_relu": "RNN"}


class Replay:
    """The tensors of a program by name, and the recorder that its calls are written into.

    Args:
        tree: stand-in for the network.
        max_nodes: number of nodes after which `LimitError` is raised.
        deadline: value of `time.monotonic()` after which `LimitError` is raised; None for none.

    Attributes:
        recorder: holds the nodes.
        tensors: name -> meta tensor.
        incomplete: higher-order functions of which only a part is followed.
    """

    def __init__(self, tree: WeightTree, max_nodes: int, deadline: float | None) -> None:
        self.tree = tree
        self.recorder = Recorder(max_nodes, deadline)
        self.recorder.adopt_parameters(tree)
        self.tensors: dict[str, torch.Tensor] = {}
        self.incomplete: dict[str, None] = {}
        self._evaluator = Evaluator()
        self._aliases: set[str] = set()
        self._causal: set[int] = set()
        self._repeats: dict[int, int] = {}
        self._windows: dict[int, tuple[int, bool]] = {}
        self._metas: Mapping[str, Any] = {}
        self._depth = 0
        self._calls = 0

    def add_constant(self, name: str, tensor: torch.Tensor) -> None:
        """Names a tensor that depends on no input: a parameter (an `nn.Parameter`), a buffer or a constant."""
        self.tensors[name] = tensor
        if not isinstance(tensor, nn.Parameter):
            self.recorder.tracked[id(tensor)] = Tracked(tensor)

    def add_input(self, name: str, tensor: torch.Tensor) -> None:
        """Names an input of the network and gives it a node."""
        node = self.recorder.add_node(Node("input", name, ()))
        self.tensors[name] = tensor
        self.recorder.tracked[id(tensor)] = Tracked(tensor, (node,))

    def run(self, graph: Mapping[str, Any]) -> list[torch.Tensor]:
        """Replays all calls of a graph whose inputs are named; its outputs."""
        if self._depth >= MAX_GRAPH_DEPTH:
            raise ValueError(f"more than {MAX_GRAPH_DEPTH} graphs inside one another")
        self._depth += 1
        outer, self._metas = self._metas, graph["tensor_values"]
        calls = list(read_calls(graph))
        self._calls += len(calls)
        if self._calls > MAX_CALLS:
            raise ValueError(f"more than {MAX_CALLS} calls")
        last_use = {name: i for i, c in enumerate(calls) for a in c.arguments.values() for name in list_references(a)}
        outputs = [name for name in map(tensor_name, graph["outputs"]) if name is not None]
        last_use |= dict.fromkeys(outputs, len(calls))
        start = 0
        while start < len(calls):
            end, fold = self._unit(calls, start)
            unit = calls[start:end]
            if unit[0].graphs:
                self._enter(unit[0])
            elif fold is not None:
                self._fold(unit, *fold, [n for c in unit for n in c.outputs if last_use.get(n, -1) >= end])
            else:
                self._function(unit, [n for c in unit for n in c.outputs if last_use.get(n, -1) >= end])
            start = end
        self._metas = outer
        self._depth -= 1
        return [self.tensors[name] for name in outputs]

    def _unit(self, calls: Sequence[Call], start: int) -> tuple[int, tuple[ModuleCall, str] | None]:
        """End of the run of calls that begins at `start` and is one call of a module or function; that module."""
        first = calls[start]
        fold = folded_call(first, self.tree)
        end = start + 1
        if first.graphs:
            return end, None
        if fold is not None:
            while end < len(calls) and not calls[end].graphs and fold[0] in calls[end].stack:
                end += 1
        elif first.function_key:
            while (end < len(calls) and not calls[end].graphs and calls[end].function_key == first.function_key
                   and calls[end].stack == first.stack):  # fmt: skip
                end += 1
        return end, fold

    # Tensors

    def _result(self, name: str, call: Call, given: Sequence[torch.Tensor]) -> torch.Tensor:
        """The tensor that a call gives: its first argument where it works in place, a view of it, or a new one."""
        aten = call.target.split(".")[-2] if "." in call.target else call.target
        if given and _in_place(aten) and name in self._metas:
            return given[0]
        meta = self._metas[name]
        fresh = tensor_of(meta)
        if given and aten in _SAME and fresh.dtype == given[0].dtype and fresh.shape == given[0].shape:
            self._aliases.add(name)
            return given[0]
        if given and aten in _VIEWS and fresh.dtype == given[0].dtype:
            try:
                return given[0].as_strided(fresh.shape, [int(s["as_int"]) for s in meta["strides"]])
            except (RuntimeError, KeyError, TypeError):
                return fresh
        return fresh

    def _given(self, call: Call) -> list[torch.Tensor]:
        return [self.tensors[name] for argument in call.arguments.values() for name in list_references(argument)]

    def _make(self, call: Call) -> list[torch.Tensor]:
        """The results of a call, named; values are computed where nothing unknown goes in."""
        given = self._given(call)
        made = []
        for name in call.outputs:
            tensor = self._result(name, call, given)
            self.tensors[name] = tensor
            made.append(tensor)
        if len(made) == 1 and not any(made[0] is t for t in given):
            value = self._evaluator.value(call, self._known, self.tensors.__getitem__, made[0])
            if value is not None:
                self.recorder.tracked[id(made[0])] = Tracked(made[0], shadow=value)
        for name, tensor in zip(call.outputs, made, strict=True):
            if name not in self._aliases and any(tensor is t for t in given):
                self._forget(tensor)
        self._note_repeats(call, given, made)
        self._note_window(call, given, made)
        self._note_causal(call, given, made)
        return made

    def _known(self, name: str) -> torch.Tensor | None:
        return self.recorder.shadow(self.tensors[name])

    def _forget(self, tensor: torch.Tensor) -> None:
        """A tensor that is written into has no known value any more, and neither has what it is a view of."""
        for changed in (tensor, tensor._base):
            if changed is not None:
                self.recorder.track(changed).shadow = None

    def _note_repeats(self, call: Call, given: Sequence[torch.Tensor], made: Sequence[torch.Tensor]) -> None:
        """Follows heads of keys and values that are repeated, from the expansion on."""
        if not given or len(made) != 1:
            return
        name = call.target.split(".")[-2] if "." in call.target else ""
        before, after = given[0].shape, made[0].shape
        repeats = self._repeats.get(id(given[0]), 1)
        if name == "expand" and len(before) == len(after) == 5 and before[2] == 1 < after[2]:
            repeats = int(after[2])
        if repeats > 1 and name in (*_VIEWS, "clone", "_unsafe_view", "to", "_to_copy", "mul"):
            self._repeats[id(made[0])] = repeats

    def _note_window(self, call: Call, given: Sequence[torch.Tensor], made: Sequence[torch.Tensor]) -> None:
        """Follows the width of a sliding window: positions less a number, compared, up to the mask."""
        known = self.recorder.tracked.get(id(made[0])) if len(made) == 1 else None
        if known is None or known.shadow is None:
            return
        name = call.target.split(".")[-2]
        width = next((self._windows[id(t)] for t in given if id(t) in self._windows), None)
        other = call.arguments.get("other")
        if name == "sub" and len(given) == 1 and type(other) is int and other > 1:
            self._windows[id(made[0])] = (other, False)
        elif width is not None and (width[1] or name in _COMPARISONS or name in _VIEWS):
            self._windows[id(made[0])] = (width[0], width[1] or name in _COMPARISONS)

    def _note_causal(self, call: Call, given: Sequence[torch.Tensor], made: Sequence[torch.Tensor]) -> None:
        """Follows a bias into which a causal mask was written."""
        if len(made) != 1:
            return
        name = call.target.split(".")[-2] if "." in call.target else ""
        known = [self.recorder.tracked[id(t)] for t in given if id(t) in self.recorder.tracked]
        masks = [self.recorder.shadow(t.tensor) for t in known if not t.sources and t.shadow is not None]
        follows = name in (*_VIEWS, *_MASKING) and any(id(t) in self._causal for t in given)
        if follows or (name in _MASKING and len(masks) < len(given) and any(map(is_causal_mask, masks))):
            self._causal.add(id(made[0]))

    def _mark_window(self, given: Sequence[torch.Tensor]) -> None:
        """Tells written-out attention scores, among what is masked, of a window that the mask shows."""
        masks = [t for t in given if self._windows.get(id(t), (0, False))[1]]
        live = [t for t in given if self.recorder.track(t).sources]
        if len(masks) != 1 or len(live) != 1:
            return
        nodes = self.recorder.nodes
        source = self.recorder.sources_of(live[0])
        for _ in range(_MASK_DISTANCE):
            if len(source) != 1:
                return
            node = nodes[source[0]]
            if node.scores is not None:
                node.scores[ATTRIBUTE_INDEX["window"]] = self._windows[id(masks[0])][0]
                node.causal = node.causal or self._hides_later(masks[0])
                return
            source = node.sources

    def _hides_later(self, mask: torch.Tensor) -> bool:
        """Whether a known mask shows nothing of what comes later."""
        value = self.recorder.shadow(mask)
        if value is None or value.dim() < 2:
            return False
        visible = value if value.dtype == torch.bool else value > _MASKED_BELOW
        return not bool(visible.triu(1).any())

    # Calls

    def _enter(self, call: Call) -> None:
        """Follows a higher-order call into its first graph."""
        name = call.target.rpartition(".")[2]
        graph = call.graphs[0]
        if len(call.graphs) > 1 or name not in _WRAPPERS:
            self.incomplete.setdefault(name)
        operands = [self.tensors[n] for a in call.arguments.values() for n in list_references(a)]
        inputs = [n for n in map(tensor_name, graph["inputs"]) if n is not None]
        outer, path = self.tensors, self.recorder.path
        self.tensors = dict(zip(inputs, operands[len(operands) - len(inputs) :], strict=True))
        results = self.run(graph)
        self.tensors, self.recorder.path = outer, path
        for name, tensor in zip(call.outputs, results, strict=False):
            self.tensors[name] = tensor
        for name in call.outputs:
            if name not in self.tensors:
                self.tensors[name] = tensor_of(self._metas[name])

    def _fold(self, unit: Sequence[Call], entry: ModuleCall, op: str, outputs: Sequence[str]) -> None:
        """One node for everything that a leaf module calls."""
        recorder = self.recorder
        inside: set[str] = set()
        given: dict[int, torch.Tensor] = {}
        sizes = []
        before: dict[int, tuple[int, ...]] = {}
        for call in unit:
            for name in (n for a in call.arguments.values() for n in list_references(a) if n not in inside):
                given.setdefault(id(self.tensors[name]), self.tensors[name])
                before.setdefault(id(self.tensors[name]), recorder.track(self.tensors[name]).sources)
            arguments = self._given(call)
            recorder.inside_leaf += 1
            made = self._record(call.target.split(".")[-2], [call], made_now=True)
            recorder.inside_leaf -= 1
            inside.update(call.outputs)
            if arguments and made:
                sizes.append((call.target.split(".")[-2], arguments[0].shape, made[0].shape))
        results = [self.tensors[n] for n in outputs if n not in self._aliases or id(self.tensors[n]) not in given]
        module = self.tree.find(entry.path)
        used = list(module.parameters()) if module is not None else []
        passed = union([recorder.track(t).parameters for t in given.values()])
        if is_torch_class(entry):
            sources = union(list(before.values()))
        else:
            sources = union([recorder.sources_of(t) for t in results])
        if not (sources or used or passed or op in _SOURCE_MODULES):
            return
        read = self._arguments(unit, inside)
        own = {id(p) for p in used}
        node = Node(
            op,
            entry.path,
            sources,
            [*used, *(p for p in passed if id(p) not in own)],
            folded_shape(entry, op, self.tree, read),
            self._module_row(op, entry, module, read, sizes),
        )
        recorder.assign_outputs(results, list(given.values()), (recorder.add_node(node),))

    def _module_row(self, op: str, entry: ModuleCall, module: nn.Module | None, read: Mapping[str, Any],
                    sizes: Sequence[tuple[str, torch.Size, torch.Size]]) -> list[int]:  # fmt: skip
        if is_torch_class(entry) or op == "Linear":
            return folded_attributes(op, module, read, sizes)
        return module_attributes(module if module is not None else nn.Module(), op, {})

    def _function(self, unit: Sequence[Call], outputs: Sequence[str]) -> None:
        """One node, or none, for the calls that one torch function makes."""
        stack = unit[0].stack
        self.recorder.path = [stack[-1].path] if stack else []
        name = unit[0].function
        if not name or name in _UNNAMED:
            for call in unit:
                self._record(self._plain_name(call), [call])
            return
        self._record(name, unit, outputs)

    def _plain_name(self, call: Call) -> str:
        name = plain_function(call)
        weights = [self.tensors[r] for a in call.arguments.values() for r in list_references(a)]
        if name == "convolution" and len(weights) > 1:
            return convolution_function(call, weights[1])
        if name in ("addmm", "mm") and weights:
            stored = self.recorder.track(weights[-1]).parameters
            if stored and weights[-1].dim() == 2 and weights[-1]._base is not None:
                return "linear"
        return name

    def _record(self, name: str, unit: Sequence[Call], outputs: Sequence[str] | None = None,
                made_now: bool = False) -> list[torch.Tensor]:  # fmt: skip
        """Writes down one function call; its results."""
        recorder = self.recorder
        inside = {n for call in unit for n in call.outputs}
        names = [n for c in unit for a in c.arguments.values() for n in list_references(a) if n not in inside]
        given = [self.tensors[n] for n in dict.fromkeys(names)] if len(unit) > 1 else [self.tensors[n] for n in names]
        tracked = [recorder.track(t) for t in given]
        for call in unit:
            self._make(call)
        made = [self.tensors[n] for n in (unit[-1].outputs if outputs is None else outputs) if n not in self._aliases]
        if not made and name not in _SETTERS:
            return made
        if name in _SETTERS and given:
            recorder.record("__setitem__", "setitem", (given[0],), {}, given, tracked, [])
            for output in inside & set(outputs or ()):
                self.tensors[output] = given[0]
            return made
        if name.endswith("_like") or name.startswith("new_") or not given:
            for tensor in made:
                recorder.tracked.setdefault(id(tensor), Tracked(tensor))
            return made
        op = canonical_function_op(name)
        if op in _MASKING:
            self._mark_window(given)
        if name in _DROPOUTS:
            recorder.pass_through(made, given, union([t.sources for t in tracked[:1]]), tracked[0].parameters)
            return made
        self._record_call(name, op, unit, given, tracked, made)
        return made

    def _record_call(self, name: str, op: str, unit: Sequence[Call], given: Sequence[torch.Tensor],
                     tracked: Sequence[Tracked], made: list[torch.Tensor]) -> None:  # fmt: skip
        recorder = self.recorder
        read = self._arguments(unit, {n for call in unit for n in call.outputs})
        op = _RECURRENT.get(op, op)
        if op == "Linear" and not isinstance(read.get("weight"), nn.Parameter):
            read["weight"] = next((p for t in tracked[1:] for p in t.parameters if p.dim() == 2), None)
        options = function_options(op, read, [(op, given[0].shape, made[0].shape)]) if made else read
        options = {key: value for key, value in options.items() if value is not None}
        if op == "scaled_dot_product_attention":
            named = [t for key in ("query", "key", "value", "attn_mask", "attn_bias")
                     if isinstance(t := options.get(key), torch.Tensor)]  # fmt: skip
            given = named if len(named) > 2 else sorted(given, key=lambda t: not recorder.sources_of(t))
            options = dict(zip(("query", "key", "value", "attn_mask"), given, strict=False)) | {
                "is_causal": options.get("is_causal", False)
            }
        recorder.modules = [self._surroundings(given)]
        for key in ("input", "self"):
            options.pop(key, None)
        recorder.record(name, op, (given[0],), options, given, [recorder.track(t) for t in given], made)

    def _surroundings(self, given: Sequence[torch.Tensor]) -> nn.Module:
        """Stand-in for the module that a call is in: how often it repeats keys, and what its mask says."""
        module = nn.Module()
        repeats = max((self._repeats.get(id(t), 1) for t in given[:3]), default=1)
        if repeats > 1:
            module.__dict__["num_key_value_groups"] = repeats
        width, compared = self._windows.get(id(given[3]), (0, False)) if len(given) > 3 else (0, False)
        if len(given) > 3 and id(given[3]) in self._causal:
            module.__dict__["is_causal"] = True
        if compared:
            module.__dict__["sliding_window"] = width
            module.__dict__["is_causal"] = self._hides_later(given[3])
        return module

    def _arguments(self, unit: Sequence[Call], inside: set[str]) -> dict[str, Any]:
        """Arguments of a unit by name, the first of each name; none that the unit made itself."""
        found: dict[str, Any] = {}

        def plain(value: Any) -> Any:
            if isinstance(value, Ref):
                return None if value.name in inside else self.tensors[value.name]
            return [plain(item) for item in value] if isinstance(value, list) else value

        for call in unit:
            for key, value in call.arguments.items():
                if (given := plain(value)) is not None:
                    found.setdefault(key, given)
        return found


def _in_place(aten: str) -> bool:
    return aten.endswith("_") and not aten.endswith("__")
