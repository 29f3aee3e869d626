"""The words and numbers on a picture of a graph: titles, shapes, attributes and counts; cleaned of control characters.

Everything here is plain text: what writes SVG or Mermaid escapes it.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .architecture_graph_archbert import NO_DATA_FLOW, ArchitectureGraph
from .graph_outline_archbert import Box, Frame, Marks, Outline
from .graph_summary_archbert import Part
from .ops_archbert import ATTRIBUTE_INDEX, INPUT_OP, OUTPUT_OP, is_layer, op_category

MAX_LABEL = 34
TIMES = "\u00d7"
_SPOKEN = {"scaled_dot_product_attention": "dot-product attention", "MultiheadAttention": "multi-head attention"}


class Label(NamedTuple):
    """Text of one box: its title, the module name beside it, lines below, and a longer text for tooltips."""

    title: str
    name: str
    lines: tuple[str, ...]
    tooltip: str


def clean(text: str, limit: int = MAX_LABEL) -> str:
    """Text on one line without control, formatting and private characters; the end is kept of what is too long."""
    plain = "".join(" " if c.isspace() else "\ufffd" if unicodedata.category(c)[0] == "C" else c for c in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= limit else "\u2026" + plain[len(plain) - limit + 1 :]


def box_label(graph: ArchitectureGraph, box: Box, shapes: bool = True, marks: Marks | None = None) -> Label:
    """Text of a box: for a node its op, weight shape and attributes, for a closed part what is in it.

    Args:
        graph: the graph.
        box: the box.
        shapes: whether shapes and attributes are shown.
        marks: what a diff says of the nodes; a changed node then also shows what it is in the other graph.
    """
    node = int(box.first[0])
    path, name = graph.node_names[node], clean(box.part.label)
    if not box.op and _operations_only(graph, box):
        text = _content(graph, box)
        return Label(name or f"{len(box.part.nodes)} operations", "", (text,), f"{text}; {_amount(graph, box)}")
    if not box.op:
        title = name or ("network" if len(box.nodes) == graph.num_nodes else "block")
        content, amount = _content(graph, box), _amount(graph, box)
        return Label(title, "", (content, amount), f"{title}: {content}; {amount}")
    title = box.op if box.op in (INPUT_OP, OUTPUT_OP) else _SPOKEN.get(box.op, clean(box.op.replace("_", " ")))
    shape, attributes = shape_text(graph, box), ", ".join(attribute_texts(graph, box))
    lines = tuple(line for line in (shape, attributes) if line and shapes)
    if len(lines) == 2 and len(shape) + len(attributes) < 26:
        lines = (f"{shape}, {attributes}",)
    instead = partner_text(graph, box, marks)
    lines += (instead,) if instead and shapes else ()
    if name in (box.op, title, box.op.lower()):
        name = ""
    details = [clean(path, 200) or title, clean(box.op, 60), shape, attributes, instead, _amount(graph, box)]
    return Label(title, name, lines, "; ".join(piece for piece in details if piece))


def shape_text(graph: ArchitectureGraph, box: Box) -> str:
    """The weight shape of a node as `64x3x7x7`, with ranges where the copies differ; `""` without a weight."""
    rows = graph.shapes[box.nodes]
    one_dimensional = box.op in ("Conv1d", "ConvTranspose1d")
    low, high = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
    columns = [(a, b) for index, (a, b) in enumerate(zip(low, high, strict=True)) if b and not (
        one_dimensional and index == 2)]  # fmt: skip
    return TIMES.join(str(a) if a == b else f"{a}\u2013{b}" for a, b in columns)


def attribute_texts(graph: ArchitectureGraph, box: Box) -> list[str]:
    """What a node's attributes say: kernel (without a weight), stride, dilation, groups, heads, window, experts."""
    row = graph.attributes[int(box.first[0])].tolist()
    shape = graph.shapes[int(box.first[0])].tolist()
    value = {name: row[column] for name, column in ATTRIBUTE_INDEX.items()}
    texts = []
    kernel = [value[f"kernel_{side}"] for side in "dhw" if value[f"kernel_{side}"]]
    if kernel and not any(shape[2:]):
        texts.append(f"{TIMES.join(map(str, kernel))} window")
    for name in ("stride", "dilation"):
        sides = [value[f"{name}_h"], value[f"{name}_w"]]
        if max(sides) > 1:
            texts.append(f"{name} {sides[1] if min(sides) in (0, sides[1]) else TIMES.join(map(str, sides))}")
    if value["groups"] > 1:
        depthwise = value["groups"] == shape[0] and shape[1] == 1
        texts.append("depthwise" if depthwise else f"{value['groups']} groups")
    if value["num_heads"]:
        texts.append(f"{value['num_heads']} heads")
        if value["num_kv_heads"] not in (0, value["num_heads"]):
            texts.append(f"{value['num_kv_heads']} kv heads")
    if value["head_dim"]:
        texts.append(f"head size {value['head_dim']}")
    texts += [name for name in ("causal", "bidirectional") if value[name]]
    if value["window"]:
        texts.append(f"window {value['window']}")
    if value["num_experts"]:
        texts.append(f"{value['num_experts']} experts" + (f", top {value['top_k']}" if value["top_k"] else ""))
    if value["output_h"] or value["output_w"]:
        texts.append(f"to {value['output_h'] or 1}{TIMES}{value['output_w'] or 1}")
    if value["num_layers"] > 1:
        texts.append(f"{value['num_layers']} layers")
    return texts


def repeat_text(part: Part) -> str:
    """How often a part stands in the network, as `x 24`; `""` for once."""
    if part.repeats == 1:
        return ""
    notes = [] if part.exact else ["sizes vary"]
    notes += {"parallel": ["side by side"] if part.children else [], "dense": ["each reads all before"]}.get(
        part.arrangement, []
    )
    return f"{TIMES} {part.repeats}" + "".join(f", {note}" for note in notes)


def frame_text(frame: Frame) -> str:
    """How often the part of a frame stands in the network, and how many of these are in this graph alone."""
    notes = [f"{count} {state}" for state, count in frame.alone.items()]
    return ", ".join(text for text in (repeat_text(frame.part), *notes) if text)


def evidence_text(box: Box) -> str:
    """How much of a box is evidence; `""` for nothing or all of a single node."""
    if not box.evidence or box.evidence == len(box.nodes):
        return ""
    return f"{box.evidence} of {len(box.nodes)} nodes"


def state_text(box: Box) -> str:
    """What became of the nodes of a box that is not of one state: `12 kept, 12 added`; else `""`."""
    if len(box.states) < 2:
        return ""
    return ", ".join(f"{count} {state}" for state, count in box.states.items())


def partner_text(graph: ArchitectureGraph, box: Box, marks: Marks | None) -> str:
    """What a changed node is instead in the other graph: `instead of 768x768`; `""` without such a node."""
    partners = [marks.partners[n] for n in box.nodes.tolist() if n in marks.partners] if marks else []
    if not (marks and partners and box.op and box.states.get("changed")):
        return ""
    nodes = np.array(partners, dtype=np.int64)
    ops = sorted({marks.other.op_types[n] for n in partners})
    other = replace(box, nodes=nodes, first=nodes[:1], op=ops[0])
    own, theirs = ([shape_text(g, b), *attribute_texts(g, b)] for g, b in ((graph, box), (marks.other, other)))
    if ops != [box.op]:
        texts = [_SPOKEN.get(op, clean(op.replace("_", " "))) for op in ops]
    else:
        texts = [text for text in theirs if text and text not in own]
    if not texts:
        lost = [text for text in own if text and text not in theirs]
        return f"{'loses' if marks.before else 'new:'} {', '.join(lost)}" if lost else ""
    return f"{'becomes' if marks.before else 'instead of'} {', '.join(texts)}"


def headline(graph: ArchitectureGraph) -> tuple[str, str]:
    """Name of the network; its nodes, edges and parameters."""
    counts = f"{graph.num_nodes:,} nodes, {graph.num_edges:,} edges, {short_count(graph.num_parameters)} parameters"
    return clean(graph.name, 60) or "Network", counts


def warnings_of(result: Outline) -> list[str]:
    """What a reader has to know before reading the picture: what is missing or unknown."""
    graph = result.graph
    missing = [clean(name) for name in graph.incomplete if name != NO_DATA_FLOW]
    lines = []
    if missing:
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        lines.append(f"Incomplete: the graph misses {', '.join(missing[:4])}{more}.")
    if not graph.has_data_flow:
        lines.append("Incomplete: layers are known by their names; what reads what is not known.")
    return lines


def _operations_only(graph: ArchitectureGraph, box: Box) -> bool:
    return not any(is_layer(graph.op_types[node]) for node in box.first.tolist())


def category_of(graph: ArchitectureGraph, box: Box) -> str:
    """The group of a box in the legend."""
    if not box.op:
        return "other operation" if _operations_only(graph, box) else "module"
    category = op_category(box.op)
    same = {"softmax": "activation", "upsampling": "pooling", "positional": "embedding", "input": "input or output"}
    same |= {"output": "input or output", "scan": "recurrent", "experts": "linear"}
    category = same.get(category, category)
    return category if category in CATEGORIES else "other operation"


CATEGORIES: tuple[str, ...] = (
    "input or output", "module", "embedding", "convolution", "linear", "attention", "recurrent", "normalization",
    "activation", "pooling", "other operation",
)  # fmt: skip
"""Groups of boxes in the order of the legend."""


def short_count(number: int) -> str:
    """A number as `812`, `23.5M` or `46.7B`."""
    for limit, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= limit:
            return f"{number / limit:.3g}{unit}" if number < 1000 * limit else f"{number // limit:,}{unit}"
    return str(number)


def _amount(graph: ArchitectureGraph, box: Box) -> str:
    """Nodes and parameters of a box, in one copy."""
    count = "1 node" if len(box.part.nodes) == 1 else f"{len(box.part.nodes):,} nodes"
    parameters = int(graph.node_parameters[box.part.nodes].sum())
    return f"{count}, {short_count(parameters)} parameters" if parameters else count


def _content(graph: ArchitectureGraph, box: Box) -> str:
    """The most frequent layers of a closed part, in one copy."""
    counts = Counter(graph.op_types[node] for node in box.part.nodes.tolist())
    layers = {op: n for op, n in counts.items() if is_layer(op)} or dict(counts)
    top = sorted(layers.items(), key=lambda item: (-item[1], item[0]))[:3]
    words = [_SPOKEN.get(op, clean(op, 20)) + (f" {TIMES}{n}" if n > 1 else "") for op, n in top]
    return ", ".join(words) + ("\u2026" if len(layers) > 3 else "")
