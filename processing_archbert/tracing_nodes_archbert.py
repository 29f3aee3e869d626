"""Nodes and edges of what a recorder sees: which call is a node, which one only passes data on.

Every tensor carries the *sources* it comes from: the nodes whose output it is, after contraction of whatever only
moves, casts or masks data; and the parameters that it is a view of. A node's in-edges are its arguments' sources.
In-place operations move the sources of the tensor, of its base and of the views taken before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .ops_archbert import CONTRACTED_FUNCTIONS, NUM_ATTRIBUTES
from .tracing_attention_archbert import ATTENTION_OP, MASKING, PRODUCTS, is_causal_mask, mark_causal, score_attributes
from .tracing_constants_archbert import list_tensors, words
from .tracing_modules_archbert import (
    NO_SHAPE,
    Shape,
    call_options,
    function_attributes,
    function_shape,
    mixing_attributes,
)
from .tracing_values_archbert import FILLS, LimitError, Sources, Tracked, ValueMode, plain_output, union

_MERGING = words("add sub mul div where cat stack maximum minimum")
_COPIES = words("copy_ __setitem__ set_data index_put_ masked_scatter_")
_CONTRACTED_EXTRA = words(
    "to get data bitwise_not __invert__ __getitem__ requires_grad_ detach_ as_subclass unsafe_chunk unsafe_split "
    "expand_copy __iter__ align_to rename refine_names combinations conj conj_physical new_tensor squeeze_copy "
    "swapaxes slice_copy view_copy meshgrid row_stack cartesian_prod fill zero index tensor as_tensor asarray "
    "_assert_async"
)
_IN_THE_IMAGE_OF = words("type_as view_as reshape_as expand_as to")


class Node:
    """One recorded node; `parameters` are the stand-ins that it reads.

    `is_call` tells a function call from a module; `scores` and `causal` serve attention that is written out; `work`
    and `elements` are multiply-adds and allocated elements, where the recorder meters.
    """

    __slots__ = (
        "attributes", "causal", "elements", "is_call", "name", "op", "parameters", "scores", "shape", "sources", "work"
    )  # fmt: skip

    def __init__(self, op: str, name: str, sources: Sources, parameters: Sequence[torch.Tensor] = (),
                 shape: Shape = NO_SHAPE, attributes: list[int] | None = None) -> None:  # fmt: skip
        self.op = op
        self.name = name
        self.sources = sources
        self.parameters = tuple(parameters)
        self.shape = shape
        self.attributes = attributes or [0] * NUM_ATTRIBUTES
        self.is_call = self.causal = False
        self.work = self.elements = 0
        self.scores: list[int] | None = None


class NodeMode(ValueMode):
    """Values of tensors without data, and the nodes of the calls that made them.

    Args:
        max_nodes: number of nodes after which `LimitError` is raised.
        deadline: value of `time.monotonic()` after which `LimitError` is raised; None for none.
    """

    def __init__(self, max_nodes: int = 200_000, deadline: float | None = None) -> None:
        super().__init__(deadline)
        self.nodes: list[Node] = []
        self.max_nodes = max_nodes
        self.modules: list[nn.Module] = []
        self.inside_leaf = 0
        self.metering = False
        self._work = 0

    def _stranger_sources(self) -> Sources:
        return (len(self.nodes) - 1,) if self.nodes else ()

    def add_node(self, node: Node) -> int:
        """Appends a node and gives its index.

        Raises:
            LimitError: there are `max_nodes` already, or the time is over.
        """
        self.check_time()
        if len(self.nodes) >= self.max_nodes:
            raise LimitError(f"the graph has more than max_nodes={self.max_nodes} nodes")
        self.nodes.append(node)
        node.work, self._work = self._work, 0
        return len(self.nodes) - 1

    def assign_outputs(self, out: Any, given: Sequence[torch.Tensor], sources: Sources,
                       parameters: tuple[torch.Tensor, ...] = ()) -> None:  # fmt: skip
        """Says where the tensors of a result come from; one that is also an argument was changed in place."""
        identities = {id(t) for t in given}
        for tensor in list_tensors(out, []):
            if id(tensor) in identities:
                self._overwrite(tensor, sources, parameters)
            else:
                self.tracked[id(tensor)] = Tracked(tensor, sources, parameters)
                if self.metering and len(sources) == 1:
                    self.nodes[sources[0]].elements += tensor.numel()

    def _overwrite(self, tensor: torch.Tensor, sources: Sources, parameters: tuple[torch.Tensor, ...] = ()) -> None:
        """Gives a tensor that was changed in place new sources; its base and its views follow."""
        tracked = self.track(tensor)
        tracked.sources = sources
        tracked.parameters = parameters if not isinstance(tensor, nn.Parameter) else tracked.parameters
        with torch._C.DisableTorchFunction():
            base = tensor._base
            whole = base is not None and base.numel() == tensor.numel()
        if base is not None and not isinstance(base, nn.Parameter):
            of_base = self.track(base)
            of_base.sources = sources if whole else union([of_base.sources, sources])
            of_base.shadow = None
        for view in self._views.get(id(base if whole else tensor), ()):
            if view is not tensor:
                self.track(view).sources = sources

    def record(self, name: str, op: str, args: Any, kwargs: Any, given: Sequence[torch.Tensor],
               tracked: Sequence[Tracked], out: Any) -> None:  # fmt: skip
        """Writes down a call after it ran: a node, a copy, or data that is passed on.

        Args:
            name: name of the function.
            op: its canonical op type.
            args: its positional arguments.
            kwargs: its keyword arguments.
            given: the tensors among its arguments.
            tracked: what is known of them.
            out: its result.
        """
        if name in _COPIES:
            self._record_copy(name, op, args, given, tracked)
            return
        if name in FILLS:
            if args[0]._base is None:
                self._overwrite(args[0], ())
            return
        outs = list_tensors(plain_output(out), [])
        if not outs:
            return
        if name in _IN_THE_IMAGE_OF:
            given, tracked = given[:1], tracked[:1]
        sources = union([t.sources for t in tracked])
        parameters = union([t.parameters for t in tracked])
        if not sources and not parameters:
            for tensor in outs:
                self.tracked.setdefault(id(tensor), Tracked(tensor))
            return
        if self._passes_through(name, op, given, tracked, outs):
            if not outs[0].dtype.is_floating_point and not outs[0].dtype.is_complex and sources:
                parameters = ()
            self.pass_through(outs, given, sources, parameters)
            if op in MASKING and len(sources) == 1 and len(tracked) > 1:
                self._note_mask(self.nodes[sources[0]], tracked)
            return
        if self.inside_leaf:
            self.pass_through(outs, given, sources, ())
            return
        self._record_call(name, op, args, kwargs, given, outs, sources, parameters)

    def _record_call(self, name: str, op: str, args: Any, kwargs: Any, given: Sequence[torch.Tensor],
                     outs: list[torch.Tensor], sources: Sources,
                     parameters: tuple[torch.Tensor, ...]) -> None:  # fmt: skip
        if op.endswith("Norm2d") and args and isinstance(args[0], torch.Tensor):
            op = f"{op[:-2]}{min(max(args[0].dim() - 2, 1), 3)}d"
        options = call_options(op, args, kwargs)
        path = self.path[-1] if self.path else ""
        plain = name.strip("_")
        node = Node(
            op,
            f"{path}.{plain}" if path else plain,
            sources,
            parameters,
            function_shape(op, options, parameters),
            self._mixing(op, given) or function_attributes(op, args, kwargs, options, self.modules),
        )
        node.is_call = True
        if op in PRODUCTS and len(given) in (2, 3):
            node.scores = score_attributes(given[-2].shape, given[-1].shape, self.modules[-3:])
        elif op == ATTENTION_OP and len(given) > 3 and is_causal_mask(self.shadow(given[3])):
            mark_causal(node.attributes)
        self.assign_outputs(outs, given, (self.add_node(node),))

    def _note_mask(self, node: Node, tracked: Sequence[Tracked]) -> None:
        """Marks what a node gives as masked causally, where a constant among the arguments says so."""
        for other in tracked:
            if not other.sources and not other.parameters and is_causal_mask(self.shadow(other.tensor)):
                node.causal = True

    def _mixing(self, op: str, given: Sequence[torch.Tensor]) -> list[int] | None:
        """Attributes of a product whose first factor is the result of a Softmax, as attention weights are."""
        if op != "matmul" or len(given) != 2:
            return None
        weights, values = map(self.sources_of, given)
        if not weights or not values or any(self.nodes[source].op != "Softmax" for source in weights):
            return None
        return mixing_attributes(given[0], given[1], self.modules)

    def _passes_through(self, name: str, op: str, given: Sequence[torch.Tensor], tracked: Sequence[Tracked],
                        outs: Sequence[torch.Tensor]) -> bool:  # fmt: skip
        if not any(t.dtype.is_floating_point or t.dtype.is_complex for t in outs):
            return op != "nms"
        plain = name[:-1] if name.endswith("_") and not name.endswith("__") else name
        live = [t for t in tracked if t.sources or t.parameters]
        if plain in CONTRACTED_FUNCTIONS or plain in _CONTRACTED_EXTRA or op == "data":
            chosen_by_computed_index = name == "__getitem__" and len(live) > 1 and given[0] is live[0].tensor
            return not chosen_by_computed_index
        return op in _MERGING and len(live) <= 1

    def pass_through(self, outs: Sequence[torch.Tensor], given: Sequence[torch.Tensor], sources: Sources,
                     parameters: tuple[torch.Tensor, ...]) -> None:  # fmt: skip
        """Gives the results of a call that makes no node the sources and parameters of its arguments."""
        identities = {id(t) for t in given}
        for tensor in outs:
            if id(tensor) in identities:
                self._overwrite(tensor, sources, parameters)
                continue
            self.tracked[id(tensor)] = Tracked(tensor, sources, parameters)
            with torch._C.DisableTorchFunction():
                base = tensor._base
            if base is not None:
                self._views.setdefault(id(base), []).append(tensor)

    def _record_copy(self, name: str, op: str, args: Any, given: Sequence[torch.Tensor],
                     tracked: Sequence[Tracked]) -> None:  # fmt: skip
        """An assignment into a tensor: the new value passes through, or joins the old one in a node."""
        target = args[0]
        old = self.track(target)
        others = [t for t in tracked if t is not old]
        sources, parameters = union([t.sources for t in others]), union([t.parameters for t in others])
        before = old.sources if name != "copy_" else ()
        if not parameters and before and set(sources) <= set(before):
            return
        if not sources and not parameters:
            if name == "copy_" and target._base is None:
                self._overwrite(target, ())
            return
        if not before and not (name != "copy_" and old.parameters):
            self._overwrite(target, sources, parameters)
        elif self.inside_leaf:
            self._overwrite(target, union([before, sources]))
        else:
            path = self.path[-1] if self.path else ""
            label = f"{path}.{name.strip('_')}" if path else name.strip("_")
            self._overwrite(
                target,
                (self.add_node(Node("setitem", label, union([before, sources]), [*old.parameters, *parameters])),),
            )


def list_output_tensors(value: Any) -> list[torch.Tensor]:
    """Every tensor of a network's output, in order, inside containers, dataclasses and plain objects."""
    found: list[torch.Tensor] = []
    seen: set[int] = set()

    def visit(item: Any, depth: int) -> None:
        if isinstance(item, torch.Tensor):
            found.append(item)
        elif isinstance(item, dict):
            for child in item.values():
                visit(child, depth)
        elif isinstance(item, (list, tuple)):
            for child in item:
                visit(child, depth)
        elif (
            hasattr(item, "__dict__")
            and not isinstance(item, (type, nn.Module))
            and depth < 4
            and id(item) not in seen
        ):
            seen.add(id(item))
            visit(vars(item), depth + 1)

    visit(value, 0)
    return found
