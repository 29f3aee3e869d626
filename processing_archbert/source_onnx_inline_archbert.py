"""One flat list of ONNX nodes: functions, branches and loop bodies are put in the place where they run.

* A function is replaced by its body, an `If` with a known condition by that branch, with an unknown one by both, whose
  results join; the body of a `Loop` or `Scan` stands once, as a layer that is run several times.
* Every value gets a name of its own. A value that nothing makes, a cycle, a function that calls itself and too many
  nodes are errors.
"""

from __future__ import annotations

import dataclasses
from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field

from .source_errors_archbert import ArchitectureSourceError
from .source_onnx_model_archbert import OnnxGraph, OnnxModel, OnnxNode, OnnxTensor, OnnxValue
from .source_onnx_protobuf_archbert import MAX_DEPTH

OWN_DOMAIN = "archbert"
"""Domain of the nodes that are made here, for what no single ONNX operator says."""

MERGE = "Merge"
SLICE = "SliceOfLoop"
MAX_INLINED_NODES = 30_000
_INT64 = 7
_LEAST_INPUTS = dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "MatMul", "FusedMatMul"), 2) | {"Where": 3}
_WITHOUT_INPUTS = ("Constant", "RandomNormal", "RandomUniform", "SequenceEmpty", "Optional")
Names = MutableMapping[str, str]


@dataclass
class FlatModel:
    """A model without subgraphs and functions.

    Attributes:
        nodes: in execution order; every value name is made once.
        tensors: initializers and constants, by value name.
        constants: those of `tensors` that a `Constant` node held, so that they are hardly a parameter.
        aliases: copies of an initializer under a name of its own -> that initializer.
        inputs: the model's inputs; `outputs`: names of its results.
        values: what the file says of values, by name.
        incomplete: names of nodes whose subgraphs are not read.
    """

    nodes: list[OnnxNode] = field(default_factory=list)
    tensors: dict[str, OnnxTensor] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)
    inputs: list[OnnxValue] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    values: dict[str, OnnxValue] = field(default_factory=dict)
    incomplete: list[str] = field(default_factory=list)


def flatten(model: OnnxModel) -> FlatModel:
    """The flat form of a model.

    Raises:
        ArchitectureSourceError: a value is missing or made twice, there is a cycle, or a limit is passed.
    """
    return _Inliner(model).run()


class _Inliner:
    def __init__(self, model: OnnxModel) -> None:
        self.model = model
        self.flat = FlatModel()
        self.used: set[str] = set()
        self.counters: dict[str, int] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.inlined = 0

    def run(self) -> FlatModel:
        graph, names = self.model.graph, ChainMap[str, str]()
        given = {tensor.name for tensor in graph.tensors}
        for value in graph.inputs:
            if value.name and value.name not in given:
                if value.name in names:
                    raise ArchitectureSourceError(f"the input {value.name[:100]!r} is there twice; every name once.")
                names[value.name] = self.unique(value.name)
                self.flat.inputs.append(dataclasses.replace(value, name=names[value.name]))
        self.body(graph, names, 0)
        self.flat.outputs = [self.resolve(name, names, "the graph's outputs") for name in graph.outputs if name]
        return self.flat

    def unique(self, name: str) -> str:
        fresh = name
        while fresh in self.used:
            self.counters[name] = self.counters.get(name, 0) + 1
            fresh = f"{name}#{self.counters[name]}"
        self.used.add(fresh)
        return fresh

    @staticmethod
    def resolve(name: str, names: Names, where: str) -> str:
        if not name:
            return ""
        found = names.get(name)
        if found is None:
            raise ArchitectureSourceError(
                f"{where} needs the value {name[:100]!r}, which no node, initializer or input gives; the file is "
                "damaged or was cut out of another one. Export the model again."
            )
        return found

    def define(self, name: str, names: Names) -> str:
        if name in (names.maps[0] if isinstance(names, ChainMap) else names):
            raise ArchitectureSourceError(f"the value {name[:100]!r} is made twice; export the model again.")
        names[name] = fresh = self.unique(name)
        return fresh

    def body(self, graph: OnnxGraph, names: Names, depth: int) -> None:
        """Puts the nodes of a graph, whose inputs are named already, at the end of the list."""
        if depth > MAX_DEPTH:
            raise ArchitectureSourceError(f"functions and subgraphs are nested more than {MAX_DEPTH} deep.")
        for tensor in graph.tensors:
            if tensor.name:
                self.flat.tensors[self.define(tensor.name, names)] = tensor
        for node in _ordered(graph.nodes):
            self.node(node, names, depth)
        for value in graph.values:
            if value.name in names and names[value.name] not in self.flat.values:
                self.flat.values[names[value.name]] = value

    def node(self, node: OnnxNode, names: Names, depth: int) -> None:
        if depth:
            self.inlined += 1
            if self.inlined > MAX_INLINED_NODES:
                raise ArchitectureSourceError(
                    f"its functions and subgraphs expand to more than {MAX_INLINED_NODES} nodes."
                )
        where = f"the node {node.name[:100]!r} ({node.op[:100]})"
        least = _LEAST_INPUTS.get(node.op, 0 if node.domain or node.op in _WITHOUT_INPUTS else 1)
        if len(node.inputs) < least:
            raise ArchitectureSourceError(f"{where} has {len(node.inputs)} inputs; it needs {least}.")
        inputs = [self.resolve(name, names, where) for name in node.inputs]
        if node.op == "Constant" and not node.domain:
            for name in node.outputs[:1]:
                fresh = self.define(name, names)
                self.flat.tensors[fresh] = _constant(node)
                self.flat.constants.add(fresh)
            return
        if node.op == "Identity" and inputs and inputs[0] in self.flat.tensors and node.outputs[0:1] != [""]:
            origin = self.flat.aliases.get(inputs[0], inputs[0])
            fresh = self.define(node.outputs[0], names) if node.outputs else ""
            self.flat.tensors[fresh] = self.flat.tensors[origin]
            self.flat.aliases[fresh] = origin
            return
        function = self.model.functions.get((node.domain, node.op, node.overload))
        if function is not None:
            self.call(node, function, inputs, names, depth)
        elif node.op in ("If", "Loop", "Scan") and not node.domain:
            getattr(self, f"inline_{node.op.lower()}")(node, inputs, names, depth)
        else:
            if any(isinstance(value, OnnxGraph) for value in node.attributes.values()):
                self.flat.incomplete.append(node.name or node.op)
            self.add(dataclasses.replace(node, inputs=inputs), node.outputs, names)

    def add(self, node: OnnxNode, outputs: Sequence[str], names: Names) -> None:
        node.outputs = [self.define(name, names) if name else "" for name in outputs]
        self.flat.nodes.append(node)

    def call(self, node: OnnxNode, function: OnnxGraph, inputs: list[str], names: Names, depth: int) -> None:
        key = (node.domain, node.op, node.overload)
        if key in self.calls:
            raise ArchitectureSourceError(f"the function {node.op[:100]!r} calls itself; such a model cannot run.")
        inner: ChainMap[str, str] = ChainMap()
        for position, formal in enumerate(function.inputs):
            inner[formal.name] = inputs[position] if position < len(inputs) else ""
        given = function.defaults | node.attributes
        scope = (node.name or node.op,)
        kind = (f"{node.domain}.{node.op}",)
        body = dataclasses.replace(function, nodes=[])
        for item in function.nodes:
            attributes = item.attributes | {
                name: given[formal] for name, formal in item.references.items() if formal in given
            }
            name = f"{node.name}/{item.name}" if node.name else item.name
            scopes, classes = item.scopes, item.classes
            if not classes:
                operation = node.classes[-1:] or (node.op,)
                scopes = (node.scopes[:-1] or ("",)) + scope + (item.name,)
                classes = (node.classes[:-1] or ("",)) + kind + operation
            body.nodes.append(
                dataclasses.replace(item, attributes=attributes, name=name, scopes=scopes, classes=classes)
            )
        self.calls.append(key)
        self.body(body, inner, depth + 1)
        self.calls.pop()
        self.results(node, [self.resolve(name, inner, f"the function {node.op[:100]!r}") for name in function.outputs],
                     names)  # fmt: skip

    def results(self, node: OnnxNode, made: Sequence[str], names: Names) -> None:
        """The node's outputs are the values that its body made."""
        for name, value in zip(node.outputs, made, strict=False):
            if name:
                merged = OnnxNode(MERGE, OWN_DOMAIN, name=node.name, inputs=[value], scopes=node.scopes)
                self.add(merged, [name], names)
        for name in node.outputs[len(made) :]:
            if name:
                raise ArchitectureSourceError(f"the node {node.name[:100]!r} has more outputs than its body.")

    def subgraph(self, node: OnnxNode, attribute: str, inputs: Sequence[str], names: Names, depth: int) -> list[str]:
        """Puts a subgraph here and gives the names of its results."""
        graph = node.attributes.get(attribute)
        if not isinstance(graph, OnnxGraph):
            raise ArchitectureSourceError(f"the node {node.name[:100]!r} ({node.op}) has no {attribute}.")
        inner = ChainMap({}, *names.maps) if isinstance(names, ChainMap) else ChainMap({}, names)
        for value, given in zip(graph.inputs, inputs, strict=False):
            inner[value.name] = given
        for value in graph.inputs[len(inputs) :]:
            inner[value.name] = ""
        self.body(graph, inner, depth + 1)
        return [self.resolve(name, inner, f"a subgraph of {node.name[:100]!r}") for name in graph.outputs]

    def inline_if(self, node: OnnxNode, inputs: list[str], names: Names, depth: int) -> None:
        condition = self.flat.tensors.get(inputs[0]) if inputs else None
        branches = ["then_branch", "else_branch"]
        if condition is not None and condition.values:
            branches = branches[:1] if condition.values[0] else branches[1:]
        made = [self.subgraph(node, branch, (), names, depth) for branch in branches]
        for position, name in enumerate(node.outputs):
            results = [results[position] for results in made if position < len(results) and results[position]]
            if name and not results:
                raise ArchitectureSourceError(f"the node {node.name[:100]!r} has more outputs than its branches.")
            if name:
                self.add(OnnxNode(MERGE, OWN_DOMAIN, name=node.name, inputs=results), [name], names)

    def counter(self) -> str:
        """A whole number that changes from one turn of a loop to the next."""
        name = self.unique("turn")
        self.flat.tensors[name] = OnnxTensor(name, _INT64)
        self.flat.constants.add(name)
        return name

    def inline_loop(self, node: OnnxNode, inputs: list[str], names: Names, depth: int) -> None:
        given = [self.counter(), self.counter(), *inputs[2:]]
        made = self.subgraph(node, "body", given, names, depth)
        self.results(node, made[1:], names)

    def inline_scan(self, node: OnnxNode, inputs: list[str], names: Names, depth: int) -> None:
        count = node.attributes.get("num_scan_inputs", 0)
        if not isinstance(count, int) or not 0 <= count <= len(inputs):
            raise ArchitectureSourceError(f"the node {node.name[:100]!r} (Scan) has num_scan_inputs={count!r}.")
        states = len(inputs) - count
        given = inputs[:states]
        for name in inputs[states:]:
            item = OnnxNode(SLICE, OWN_DOMAIN, name=node.name, inputs=[name], outputs=[self.unique("item")])
            self.flat.nodes.append(item)
            given.append(item.outputs[0])
        self.results(node, self.subgraph(node, "body", given, names, depth), names)


def _constant(node: OnnxNode) -> OnnxTensor:
    value = node.attributes.get("value")
    if isinstance(value, OnnxTensor):
        return value
    for name, data_type in (("value_float", 1), ("value_int", _INT64)):
        number = node.attributes.get(name)
        if isinstance(number, (int, float)):
            return OnnxTensor("", data_type, (), (number,))
    for name, data_type in (("value_floats", 1), ("value_ints", _INT64)):
        numbers = node.attributes.get(name)
        if isinstance(numbers, tuple):
            return OnnxTensor("", data_type, (len(numbers),), numbers if len(numbers) <= 128 else None)
    return OnnxTensor("", 8, ())


def _ordered(nodes: list[OnnxNode]) -> list[OnnxNode]:
    """Nodes in execution order; nearly every file has them in one already."""
    maker = {name: i for i, node in enumerate(nodes) for name in node.outputs if name}
    if all(maker.get(name, -1) < i for i, node in enumerate(nodes) for name in node.inputs if name):
        return nodes
    state = [0] * len(nodes)
    order: list[int] = []
    for root in range(len(nodes)):
        stack = [root]
        while stack:
            index = stack[-1]
            if state[index] == 2:
                stack.pop()
                continue
            waiting = [maker[n] for n in nodes[index].inputs if n in maker and state[maker[n]] != 2]
            if state[index] == 1 and any(state[i] == 1 for i in waiting):
                raise ArchitectureSourceError(
                    f"its graph has a cycle through the node {nodes[index].name[:100]!r}; such a model cannot run."
                )
            state[index] = 1
            if waiting:
                stack += waiting
            else:
                state[index] = 2
                order.append(index)
                stack.pop()
    return [nodes[i] for i in order]
