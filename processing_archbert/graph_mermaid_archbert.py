"""`to_mermaid`: a picture of a graph as a Mermaid flowchart, which GitHub and many editors draw by themselves.

The same outline as `draw`. GitHub draws at most 50,000 characters and 500 arrows; more is an error that says which
depth to use. All text of the graph is escaped with Mermaid's entities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .architecture_graph_archbert import ArchitectureGraph
from .graph_labels_archbert import (
    box_label,
    category_of,
    clean,
    evidence_text,
    frame_text,
    headline,
    repeat_text,
    state_text,
    warnings_of,
)
from .graph_outline_archbert import FLOW, MAX_BOXES, SKIP, Box, Outline, PictureError, is_terminal, outline
from .graph_scene_archbert import EVIDENCE_COLOUR, GREY, INK, RESIDUAL_COLOUR, STATE_LOOKS, TINTS

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
    return chart([outline(graph, depth, highlight, max_boxes)], direction, shapes)


_LESS = 'Use a smaller depth, or depth="auto".'


def chart(contents: Sequence[Outline], direction: str = "down", shapes: bool = True) -> str:
    """The flowchart of an outline, or of several in frames of their own.

    Raises:
        PictureError: a wrong direction, or more arrows or characters than are allowed.
    """
    if direction not in ("down", "right"):
        raise PictureError(f'direction is {direction!r}; "down" or "right" is allowed.')
    arrows = sum(len(content.arrows) for content in contents)
    if arrows > MAX_ARROWS:
        raise PictureError(f"the flowchart would have {arrows} arrows; {MAX_ARROWS} are allowed. {_LESS}")
    text = "\n".join(_lines(contents, direction, shapes)) + "\n"
    if len(text) > MAX_CHARACTERS:
        raise PictureError(f"the flowchart would have {len(text)} characters; {MAX_CHARACTERS} are allowed. {_LESS}")
    return text


def _lines(contents: Sequence[Outline], direction: str, shapes: bool) -> list[str]:
    prefixes = [""] if len(contents) == 1 else [f"{'ab'[i]}_" for i in range(len(contents))]
    lines = [f"flowchart {'LR' if direction == 'right' else 'TD'}"]
    marked: list[str] = []
    links = 0
    for content, prefix in zip(contents, prefixes, strict=True):
        title, counts = headline(content.graph)
        lines += [f"%% {_comment(text)}" for text in (f"{title}: {counts}", *warnings_of(content))]
        if prefix:
            lines.append(f'  subgraph {prefix}all["{_escaped(title)}"]')
        for number, warning in enumerate(warnings_of(content)):
            lines.append(f'  {prefix}warning{number}["{_escaped(warning)}"]:::warning')
        lines += _nested(content, -1, shapes, "    " if prefix else "  ", prefix)
        lines += ["  end"] if prefix else []
        styled = {FLOW: "-->", SKIP: "-.->"}
        lines += [
            f"  {prefix}b{a.source} {styled.get(a.kind, '==>')} {prefix}b{a.target}" for a in content.arrows
        ]  # fmt: skip
        marked += [str(links + index) for index, arrow in enumerate(content.arrows) if arrow.kind != FLOW]
        links += len(content.arrows)
    if marked:
        colour = INK if any(content.marks is not None for content in contents) else RESIDUAL_COLOUR
        lines.append(f"  linkStyle {','.join(marked)} stroke:{colour}")
    return lines + _classes(contents, prefixes)


def _classes(contents: Sequence[Outline], prefixes: Sequence[str]) -> list[str]:
    """Colours and borders, and which boxes and frames have them."""
    boxes = [(f"{prefix}b{i}", content, box) for content, prefix in zip(contents, prefixes, strict=True)
             for i, box in enumerate(content.boxes)]  # fmt: skip
    used = {box.state or category_of(content.graph, box) for _, content, box in boxes}
    lines = []
    for name, (fill, stroke) in TINTS.items():
        if name in used:
            lines.append(f"  classDef {name.replace(' ', '_')} fill:{fill},stroke:{stroke},color:#1a1a1a")
    for name, (fill, stroke, width, dashed, _) in STATE_LOOKS.items():
        if name in used:
            dashes = ",stroke-dasharray:5 3" if dashed else ""
            lines.append(
                f"  classDef {name} fill:{fill},stroke:{stroke},stroke-width:{width}px,color:#1a1a1a{dashes}"
            )  # fmt: skip
    evidence = [name for name, _, box in boxes if box.evidence]
    if evidence:
        lines.append(f"  classDef evidence stroke:{EVIDENCE_COLOUR},stroke-width:4px")
        lines.append(f"  class {','.join(evidence)} evidence")
    if any(warnings_of(content) for content in contents):
        lines.append(f"  classDef warning fill:none,stroke:{EVIDENCE_COLOUR},color:{EVIDENCE_COLOUR}")
    frames = [f"{prefix}frame{i}" for content, prefix in zip(contents, prefixes, strict=True)
              for i in range(len(content.frames))]  # fmt: skip
    frames += [f"{prefix}all" for prefix in prefixes if prefix]
    if frames:
        lines.append(f"  classDef frame fill:none,stroke:{GREY}")
        lines.append(f"  class {','.join(frames)} frame")
    return lines


def _nested(content: Outline, frame: int, shapes: bool, indent: str, prefix: str) -> list[str]:
    """The boxes and frames that stand directly in a frame (-1: in none), in order of their first nodes."""
    items: list[tuple[int, list[str]]] = []
    for index, box in enumerate(content.boxes):
        if box.frame == frame:
            items.append((int(box.part.nodes[0]), [indent + prefix + _box(content, index, shapes)]))
    for index, inner in enumerate(content.frames):
        if inner.parent == frame:
            title = f"{clean(inner.part.label) or 'block'} {frame_text(inner)}".strip()
            body = _nested(content, index, shapes, indent + "  ", prefix)
            lines = [f'{indent}subgraph {prefix}frame{index}["{_escaped(title)}"]', *body, f"{indent}end"]
            items.append((int(inner.part.nodes[0]), lines))
    return [line for _, lines in sorted(items) for line in lines]


def _box(content: Outline, index: int, shapes: bool) -> str:
    box = content.boxes[index]
    label = box_label(content.graph, box, shapes, content.marks)
    title = f"{STATE_LOOKS[box.state][4]} {label.title}".strip() if box.state else label.title
    first = f"<b>{_escaped(title)}</b>" + (f" <i>{_escaped(label.name)}</i>" if label.name else "")
    notes = [text for text in (*label.lines, repeat_text(box.part), evidence_text(box), _state(box)) if text]
    text = "<br/>".join([first, *map(_escaped, notes)])
    left, right = ("([", "])") if is_terminal(box) else ("[", "]")
    return f'b{index}{left}"{text}"{right}:::{box.state or category_of(content.graph, box).replace(" ", "_")}'


def _state(box: Box) -> str:
    return state_text(box) or (box.state if box.state != "kept" else "")


def _escaped(text: str) -> str:
    """Text as Mermaid shows it: what markup, Markdown or Mermaid could read as theirs becomes `#code;`."""
    return "".join(f"#{ord(c)};" if c in _SPECIAL else c for c in text)


_SPECIAL = frozenset("\"'<>&#;`*_[](){}|\\%@$~")


def _comment(text: str) -> str:
    return text.translate(str.maketrans("{}<>%", "()() "))
