"""Answers to questions on order and structure (`structure_questions_archbert`), computed from the graph.

A remark in brackets says how it was counted, where people may count otherwise. What is not settled, as the third
of two equally deep layers, is not answered, and the reason is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .network_numbers_archbert import NetworkNumbers
from .network_properties_archbert import group_nodes
from .number_answers_archbert import COMPARISONS, NumberAnswer
from .questions_archbert import DILATED_CONVOLUTION, SEPARABLE_CONVOLUTION, absent
from .structure_facts_archbert import layer_family
from .structure_questions_archbert import LayerSubject, StructureQuestion

_OUTPUTS = {
    "Linear": "",
    **{f"Conv{d}d": "output channels" for d in (1, 2, 3)},
    DILATED_CONVOLUTION: "output channels",
}
"""Layers whose weight begins with the size of their output -> its name, where it could be the resolution."""
_RECURRENT = ("LSTM", "GRU", "RNN")
_PRODUCTS = ("matmul", "einsum", "tensordot")
"""What attention is made of that is not called by its name."""


class _NotSettled(Exception):
    """A fact that the graph leaves open; the message is the reason."""


def structure_answer(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    """The answer to a question on order or structure.

    Args:
        numbers: the network.
        question: as `read_structure` read it.
    """
    if not numbers.whole:
        missing = ", ".join(numbers.graph.incomplete) or "the data flow"
        return NumberAnswer((), (), f"the graph misses {missing}")
    try:
        return ANSWERS[question.what](numbers, question)
    except _NotSettled as reason:
        return NumberAnswer((), (), str(reason))


def _told(answers: Sequence[str | int], nodes: Sequence[int] = (), *remarks: str) -> NumberAnswer:
    """Answers, with what there is to remark behind the last."""
    texts = [str(answer) for answer in answers]
    remark = "; ".join(text for text in remarks if text)
    if remark:
        texts[-1] += f" ({remark})"
    return NumberAnswer(tuple(texts), tuple(int(node) for node in nodes))


def _nodes(numbers: NetworkNumbers, subject: LayerSubject) -> tuple[int, ...]:
    """Layers of a kind, a category or a group, in order of execution."""
    if subject.kind == "group":
        return group_nodes(numbers, subject.name)
    if subject.kind == "layer":
        return numbers.facts.nodes_of(subject.name)
    nodes = numbers.facts.layer_types(subject.name).nodes
    if subject.name == "attention" and not nodes and {*_PRODUCTS} & set(numbers.graph.op_types):
        raise _NotSettled("this model may have attention that is not called by its name")
    return nodes


def _apart(numbers: NetworkNumbers, *subjects: LayerSubject) -> str:
    """A remark where convolutions that are a `Conv2d` in code have a name of their own here."""
    others = [name for name in (SEPARABLE_CONVOLUTION, DILATED_CONVOLUTION) if numbers.facts.nodes_of(name)]
    named = any(subject.name == "Conv2d" for subject in subjects)
    return f"{' and '.join(others)} are not counted as Conv2d" if others and named else ""


def _absent(subject: LayerSubject) -> NumberAnswer:
    article = "an" if subject.name[0] in "aeiou" else "a"
    return _told([absent(f"{article} {subject.name} layer" if subject.kind == "category" else subject.name)])


def _place(numbers: NetworkNumbers, subject: LayerSubject, nodes: tuple[int, ...], where: str = "") -> int:
    """The one node that is meant among the layers that a question names.

    Raises:
        _NotSettled: there are fewer, there are several and no place was given, or the order is not settled.
    """
    of_kinds = {numbers.facts.layer_kinds[node] for node in nodes}
    if SEPARABLE_CONVOLUTION in of_kinds and subject.kind != "group":
        raise _NotSettled("a separable convolution is two layers of the graph")
    if subject.ordinal is None:
        if len(nodes) != 1:
            raise _NotSettled(f"there are {len(nodes)} layers of this name ({subject.name}){where}; say which one")
        return nodes[0]
    if not -len(nodes) <= subject.ordinal < len(nodes):
        raise _NotSettled(f"there are {len(nodes)} layers of this name ({subject.name}){where}")
    node = numbers.order.nth(nodes, subject.ordinal)
    if node is None:
        raise _NotSettled(f"the order of the layers is open: several ({subject.name}) are equally deep")
    return node


def _neighbours(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    """What reads a layer, or what it reads."""
    subject = question.layers[0]
    nodes, remark, where = _nodes(numbers, subject), "", ""
    if not nodes:
        return _absent(subject)
    if question.block is not None:
        block = numbers.order.main_block
        if block is None:
            raise _NotSettled("no stretch of this model is repeated more than all others")
        if not -block.repeats <= question.block < block.repeats:
            raise _NotSettled(f"the main block is repeated {block.repeats} times")
        nodes, where = numbers.order.in_block(question.block, nodes), " in that block"
        remark = f"of the block that occurs {block.repeats} times in a row"
    node = _place(numbers, subject, nodes, where)
    after = question.what == "after"
    found = (numbers.facts.successors if after else numbers.facts.predecessors)[node]
    if not found:
        raise _NotSettled(f"nothing {'reads' if after else 'feeds'} this layer")
    names = sorted({numbers.order.names[n] for n in found})
    if question.layers_only and not all(numbers.facts.layer_kinds[n] for n in found):
        raise _NotSettled(f"what comes right {question.what} it is no layer: {', '.join(names)}")
    return _told(names, (node, *sorted(set(found))), remark, _apart(numbers, subject))


def _longest_path(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    if not numbers.graph.num_edges:
        raise _NotSettled("this graph has no edges")
    depths = numbers.order.depths
    return _told([int(depths.max())], (int(depths.argmax()),), "steps from one operation to the next")


def _path_layers(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    return _told([numbers.facts.structure.depth[0]], (), "the most layers on one path")


def _depth_of(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    subject = question.layers[0]
    nodes = _nodes(numbers, subject)
    if not nodes:
        return _absent(subject)
    node = _place(numbers, subject, nodes)
    return _told(
        [int(numbers.order.depths[node])], (node,), "steps of the longest path to it", _apart(numbers, subject)
    )


def _outputs(numbers: NetworkNumbers, subject: LayerSubject, nodes: Sequence[int]) -> list[int]:
    """Output features or channels of some layers, all of which must show them."""
    kinds = {numbers.facts.layer_kinds[node] for node in nodes}
    sizes = [int(numbers.graph.shapes[node, 0]) for node in nodes]
    if not kinds <= set(_OUTPUTS) or not all(sizes):
        raise _NotSettled(f"this graph does not show the output width of these layers ({subject.name})")
    return sizes


def _width(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    subject = question.layers[0]
    nodes = _nodes(numbers, subject)
    if not nodes:
        return _absent(subject)
    if question.what == "width":
        nodes = (_place(numbers, subject, nodes),)
    sizes = _outputs(numbers, subject, nodes)
    size = min(sizes) if question.value == "smallest" else max(sizes)
    shown = [node for node, found in zip(nodes, sizes, strict=True) if found == size]
    return _told([size], shown, _OUTPUTS[numbers.facts.layer_kinds[shown[0]]], _apart(numbers, subject))


def _kernel(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    subject = question.layers[0]
    nodes = _nodes(numbers, subject)
    if not nodes:
        return _absent(subject)
    node = _place(numbers, subject, nodes)
    size = numbers.facts.kernel_size(node)
    if not size:
        raise _NotSettled(f"this graph shows no kernel of this layer ({subject.name})")
    return _told([size], (node,), _apart(numbers, subject))


def _attribute(numbers: NetworkNumbers, columns: Sequence[str], nodes: Sequence[int], what: str) -> tuple[int, ...]:
    """Distinct values of attributes, ascending; equal in all columns and known of all nodes.

    Raises:
        _NotSettled: a value is missing, or a layer has two.
    """
    found = [{int(numbers.graph.attribute(column)[node]) for column in columns} for node in nodes]
    if any(len(values) != 1 or 0 in values for values in found):
        raise _NotSettled(f"this graph does not show one {what} of each of these layers")
    return tuple(sorted(set().union(*found)))


def _setting(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    """Stride, dilation or groups of the layers that a question names, or of one of them."""
    subject = question.layers[0] if question.layers else LayerSubject("layer", DILATED_CONVOLUTION)
    nodes = _nodes(numbers, subject)
    if not question.layers or subject.name == DILATED_CONVOLUTION:
        _only_dilated(numbers)
    if not nodes:
        return _absent(subject)
    if subject.ordinal is not None:
        nodes = (_place(numbers, subject, nodes),)
    if question.what == "groups":
        columns: tuple[str, ...] = ("groups",)
    else:
        columns = _sides(numbers, question.what, nodes)
    return _told(_attribute(numbers, columns, nodes, question.what), nodes, _apart(numbers, subject))


def _sides(numbers: NetworkNumbers, what: str, nodes: Sequence[int]) -> tuple[str, ...]:
    """Attributes that hold the stride or the dilation of convolutions and pooling layers, in one or two dimensions."""
    kinds = [numbers.facts.layer_kinds[node] for node in nodes]
    if not {layer_family(kind) for kind in kinds} <= {"convolution", "pooling"} or any("3d" in kind for kind in kinds):
        raise _NotSettled(f"this graph does not show the {what} of these layers")
    flat = [kind.endswith("1d") for kind in kinds]
    if any(flat) and not all(flat):
        raise _NotSettled("these layers move in one dimension, and in two")
    return (f"{what}_w",) if all(flat) else (f"{what}_h", f"{what}_w")


def _only_dilated(numbers: NetworkNumbers) -> None:
    """Raises where something else than a dilated convolution is dilated."""
    rates = [numbers.graph.attribute(column) > 1 for column in ("dilation_h", "dilation_w")]
    dilated = int((rates[0] | rates[1]).sum())
    if dilated != len(numbers.facts.nodes_of(DILATED_CONVOLUTION)):
        raise _NotSettled("layers of several kinds are dilated")


def _stacked(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    name = question.layers[0].name
    kinds = _RECURRENT if name == "recurrent" else (name,)
    nodes = sorted(node for kind in kinds for node in numbers.facts.nodes_of(kind))
    if not nodes:
        if numbers.facts.layer_types("recurrent").value:
            raise _NotSettled("the recurrent layers of this model are of other kinds")
        return _told([absent("a recurrent layer" if name == "recurrent" else name)])
    return _told(_attribute(numbers, ("num_layers",), nodes, "number of stacked layers"), nodes)


def _block(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    """How often the main block occurs, or how many layers are in it."""
    order, block = numbers.order, numbers.order.main_block
    if block is None:
        raise _NotSettled("no stretch of this model is repeated more than all others")
    layers = numbers.facts.num_layers().nodes
    if question.what == "block_repeats":
        remark = f"equal stretches of {block.period} steps in a row"
        return _told([block.repeats], order.in_block(0, layers), remark)
    if question.layers:
        layers = _nodes(numbers, question.layers[0])
    inside = order.in_block(0, layers)
    return _told(
        [len(inside)], inside, f"in each of {block.repeats} equal stretches", _apart(numbers, *question.layers)
    )


def _skip(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    """How many layers, or which, stand beside a skip connection."""
    additions = numbers.order.residual_additions
    skip = numbers.order.skip(question.block or 0)
    if skip is None:
        open_order = f"there are {len(additions)} skip connections that end in an addition"
        raise _NotSettled(f"{open_order}; which of them is meant is open" if additions else open_order)
    layers = sorted(numbers.facts.structure.layers & set(skip.inside))
    joined = numbers.facts.structure.skip_connections("cat")[0]
    remark = "of the skip connections that end in an addition" if joined else ""
    if question.what == "skip_span":
        return _told([len(layers)], (*layers, skip.add), remark)
    return _told(sorted({numbers.order.names[node] for node in layers}), (*layers, skip.add), remark)


def _count_kernel(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    subject = question.layers[0]
    nodes = _nodes(numbers, subject)
    found = [node for node in nodes if numbers.facts.kernel_size(node) == question.value]
    if any(layer_family(numbers.facts.layer_kinds[node]) not in ("convolution", "pooling") for node in nodes):
        raise _NotSettled(f"these layers have no kernel ({subject.name})")
    halves = 0
    if subject.name == "convolution":
        counted = set(nodes)
        halves = sum(
            kind == SEPARABLE_CONVOLUTION and n not in counted and numbers.facts.kernel_size(n) == question.value
            for n, kind in enumerate(numbers.facts.layer_kinds)
        )
    remark = f"without {halves} second steps of separable convolutions" if halves else ""
    return _told([len(found)], found, remark, _apart(numbers, subject))


def _counts(numbers: NetworkNumbers, question: StructureQuestion) -> tuple[list[int], tuple[int, ...], str]:
    """Number of layers of each subject, the nodes, and a remark with the numbers and what was counted."""
    nodes = [_nodes(numbers, subject) for subject in question.layers]
    counts = [len(found) for found in nodes]
    said = (f"{n} {subject.name}" for n, subject in zip(counts, question.layers, strict=True))
    remark = "; ".join(text for text in (", ".join(said), _apart(numbers, *question.layers)) if text)
    return counts, tuple(node for found in nodes for node in found), remark


def _count(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    (count,), nodes, remark = _counts(numbers, question)
    return _told([count], nodes, remark)


def _difference(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    """Difference of two counts; for "how many more" one that is negative is said in words."""
    (one, other), nodes, remark = _counts(numbers, question)
    if question.what == "more" and one < other:
        names = [subject.name for subject in question.layers]
        return _told([f"{other - one} fewer {names[0]} than {names[1]}"], nodes, remark)
    return _told([abs(one - other)], nodes, remark)


def _yes_or_no(numbers: NetworkNumbers, question: StructureQuestion) -> NumberAnswer:
    """Whether a count stands in a relation to a number, or is more than another count."""
    counts, nodes, remark = _counts(numbers, question)
    relation, limit = question.value.split(" ") if question.value else (">", counts[1])
    return _told(["yes" if COMPARISONS[relation](counts[0], int(limit)) else "no"], nodes, remark)


_Answer = Callable[[NetworkNumbers, StructureQuestion], NumberAnswer]
ANSWERS: dict[str, _Answer] = {
    "after": _neighbours, "before": _neighbours, "longest_path": _longest_path, "path_layers": _path_layers,
    "depth_of": _depth_of, "width": _width, "extreme_width": _width, "kernel": _kernel, "stride": _setting,
    "dilation": _setting, "groups": _setting, "stacked": _stacked, "block_repeats": _block, "block_layers": _block,
    "block_count": _block, "skip_span": _skip, "skip_layers": _skip, "count_kernel": _count_kernel, "count": _count,
    "more": _difference, "difference": _difference, "exceeds": _yes_or_no, "compare": _yes_or_no,
}  # fmt: skip
"""What a `StructureQuestion` may ask -> how it is answered."""
