"""`to_mermaid`: a picture of a graph as a Mermaid flowchart, which GitHub and many editors draw by themselves.

The same outline as `draw`. GitHub draws at most 50,000 characters and 500 arrows; more is an error that says which
depth to use. All text of the graph is escaped with Mermaid's entities.
"""

from __future__ import annotations

from typing import Any

from .architecture_graph_archbert import ArchitectureGraph
from .graph_labels_archbert import box_label, category_of, clean, evidence_text, headline, repeat_text, warnings_of
from .graph_outline_archbert import FLOW, MAX_BOXES, SKIP, Outline, PictureError, is_terminal, outline
from .graph_scene_archbert import EVIDENCE_COLOUR, GREY, RESIDUAL_COLOUR, TINTS

MAX_CHARACTERS = 50_000
MAX_ARROWS = 500


def to_mermaid(
    graph: ArchitectureGraph,
    *,
    depth: int | str = "auto",
    highlight: Any = None,
    direction: str = "down",
    shapes: bool = True,
    max_boxes: int = MAX_BOXES,
) -> str:
    """A Mermaid flowchart of a graph, without the fence around it.

    Args:
        graph: the graph.
        depth: levels of parts to open: 0 is one box, `"all"` every node and nothing folded, `"auto"` what is readable.
        highlight: indices of nodes, or a `Fact` (its nodes), whose boxes are marked.
        direction: `"down"` or `"right"`, the way that data flows.
        shapes: whether nodes show their weight shapes and attributes.
        max_boxes: the largest number of boxes.

    Raises:
        PictureError: a wrong argument, or more boxes, arrows or characters than are allowed.
    """
    if direction not in ("down", "right"):
        raise PictureError(f'direction is {direction!r}; "down" or "right" is allowed.')
    content = outline(graph, depth, highlight, max_boxes)
    if len(content.arrows) > MAX_ARROWS:
        raise PictureError(f"the flowchart would have {len(content.arrows)} arrows; {MAX_ARROWS} are allowed. {_LESS}")
    text = "\n".join(_lines(content, direction, shapes)) + "\n"
    if len(text) > MAX_CHARACTERS:
        raise PictureError(f"the flowchart would have {len(text)} characters; {MAX_CHARACTERS} are allowed. {_LESS}")
    return text


_LESS = 'Use a smaller depth, or depth="auto".'


def _lines(content: Outline, direction: str, shapes: bool) -> list[str]:
    title, counts = headline(content.graph)
    lines = [f"flowchart {'LR' if direction == 'right' else 'TD'}"]
    lines += [f"%% {_comment(text)}" for text in (f"{title}: {counts}", *warnings_of(content))]
    for number, warning in enumerate(warnings_of(content)):
        lines.append(f'  warning{number}["{_escaped(warning)}"]:::warning')
    lines += _nested(content, -1, shapes, "  ")
    styled = {FLOW: "-->", SKIP: "-.->"}
    lines += [f"  b{a.source} {styled.get(a.kind, '==>')} b{a.target}" for a in content.arrows]
    marked = [str(index) for index, arrow in enumerate(content.arrows) if arrow.kind != FLOW]
    if marked:
        lines.append(f"  linkStyle {','.join(marked)} stroke:{RESIDUAL_COLOUR}")
    used = {category_of(content.graph, box) for box in content.boxes}
    for name, (fill, stroke) in TINTS.items():
        if name in used:
            lines.append(f"  classDef {name.replace(' ', '_')} fill:{fill},stroke:{stroke},color:#1a1a1a")
    if any(box.evidence for box in content.boxes):
        lines.append(f"  classDef evidence stroke:{EVIDENCE_COLOUR},stroke-width:4px")
        lines.append(f"  class {','.join(f'b{i}' for i, box in enumerate(content.boxes) if box.evidence)} evidence")
    if warnings_of(content):
        lines.append(f"  classDef warning fill:none,stroke:{EVIDENCE_COLOUR},color:{EVIDENCE_COLOUR}")
    frames = [f"frame{index}" for index in range(len(content.frames))]
    if frames:
        lines.append(f"  classDef frame fill:none,stroke:{GREY}")
        lines.append(f"  class {','.join(frames)} frame")
    return lines


def _nested(content: Outline, frame: int, shapes: bool, indent: str) -> list[str]:
    """The boxes and frames that stand directly in a frame (-1: in none), in order of their first nodes."""
    items: list[tuple[int, list[str]]] = []
    for index, box in enumerate(content.boxes):
        if box.frame == frame:
            items.append((int(box.part.nodes[0]), [indent + _box(content, index, shapes)]))
    for index, inner in enumerate(content.frames):
        if inner.parent == frame:
            title = f"{clean(inner.part.label) or 'block'} {repeat_text(inner.part)}".strip()
            body = _nested(content, index, shapes, indent + "  ")
            lines = [f'{indent}subgraph frame{index}["{_escaped(title)}"]', *body, f"{indent}end"]
            items.append((int(inner.part.nodes[0]), lines))
    return [line for _, lines in sorted(items) for line in lines]


def _box(content: Outline, index: int, shapes: bool) -> str:
    box = content.boxes[index]
    label = box_label(content.graph, box, shapes)
    first = f"<b>{_escaped(label.title)}</b>" + (f" <i>{_escaped(label.name)}</i>" if label.name else "")
    notes = [text for text in (*label.lines, repeat_text(box.part), evidence_text(box)) if text]
    text = "<br/>".join([first, *map(_escaped, notes)])
    left, right = ("([", "])") if is_terminal(box) else ("[", "]")
    return f'b{index}{left}"{text}"{right}:::{category_of(content.graph, box).replace(" ", "_")}'


def _escaped(text: str) -> str:
    """Text as Mermaid shows it: what markup, Markdown or Mermaid could read as theirs becomes `#code;`."""
    return "".join(f"#{ord(c)};" if c in _SPECIAL else c for c in text)


_SPECIAL = frozenset("\"'<>&#;`*_[](){}|\\%@$~")


def _comment(text: str) -> str:
    return text.replace("{", "(").replace("}", ")").replace("%", " ")
