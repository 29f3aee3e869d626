"""A picture as shapes with coordinates and colours: what the writers of SVG, PNG and PDF have in common.

Colours are tints of the palette of Okabe and Ito, which people who are colour-blind can tell apart; nothing is said by
colour alone. Everything outside a box is of a middle grey that reads on white and on black.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from .graph_labels_archbert import (
    CATEGORIES,
    Label,
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
from .graph_layout_archbert import FRAME_LABEL_HEIGHT, Layout, Rectangle, place
from .graph_outline_archbert import FLOW, RESIDUAL, SKIP, STATES, Box, Outline, is_terminal
from .graph_summary_archbert import Part

TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 11.0, 9.0, 8.0
MARGIN = 12.0
LINE_HEIGHT = 12.0
SIGN_WIDTH = 12.0

TINTS: dict[str, tuple[str, str]] = {
    "input or output": ("#ffffff", "#444444"),
    "module": ("#f4f4f4", "#555555"),
    "embedding": ("#f9d9c6", "#a84800"),
    "convolution": ("#cfe3f5", "#0072b2"),
    "linear": ("#fbe3b5", "#9c6a00"),
    "attention": ("#f3d3e3", "#a8437f"),
    "recurrent": ("#e0daf2", "#6a51a3"),
    "normalization": ("#cdece2", "#00795a"),
    "activation": ("#fbf5b5", "#857800"),
    "pooling": ("#dff3fd", "#2c7fa6"),
    "other operation": ("#e6e6e6", "#666666"),
}
"""Category -> fill and border of its boxes."""

STATE_LOOKS: dict[str, tuple[str, str, float, bool, str]] = {
    "kept": ("#ffffff", "#8c8c8c", 1.0, False, ""),
    "changed": ("#fde9b8", "#b07800", 1.6, False, "~"),
    "removed": ("#f8cdb8", "#c24a00", 2.0, True, "\u2212"),
    "added": ("#bfe5f7", "#0068a8", 2.4, False, "+"),
}
"""State of a node in a diff -> fill, border, its width, whether it is dashed, and the sign that says it as well."""

INK, GREY = "#1a1a1a", "#767676"
RESIDUAL_COLOUR, EVIDENCE_COLOUR = "#0072b2", "#d55e00"


class Block(NamedTuple):
    """A rectangle with rounded corners; `fill` may be `none`."""

    rectangle: Rectangle
    fill: str
    stroke: str
    width: float = 1.0
    radius: float = 4.0
    dashed: bool = False


class Curve(NamedTuple):
    """A cubic spline (1 + 3k points) with the tip of its arrow head as the last point."""

    points: list[tuple[float, float]]
    stroke: str
    width: float = 1.1
    dashed: bool = False


class Words(NamedTuple):
    """One line of text; `x` is its start, or its middle where `centred`; `y` its baseline."""

    x: float
    y: float
    text: str
    size: float = TEXT_SIZE
    fill: str = INK
    bold: bool = False
    italic: bool = False
    centred: bool = True


class Group(NamedTuple):
    """Shapes that belong together; `kind` tells what they are, `tooltip` says it in words."""

    kind: str
    tooltip: str
    shapes: list[Block | Curve | Words]


class Scene(NamedTuple):
    """A whole picture, in points."""

    width: float
    height: float
    title: str
    description: str
    groups: list[Group]


def text_width(text: str, size: float, bold: bool = False) -> float:
    """About the width of a line of text in points, in the widest of the fonts that a picture asks for."""
    total = 0.0
    for character in text:
        if character in _WIDTHS:
            total += _WIDTHS[character]
        elif unicodedata.east_asian_width(character) in "WF":
            total += 1.0
        else:
            total += 0.69 if character.isupper() else 0.62
    return total * size * (1.1 if bold else 1.0)


_WIDTHS = {
    **dict.fromkeys("ijlI|", 0.29), **dict.fromkeys(" .,:;!'", 0.32), **dict.fromkeys("frt()[]-", 0.4),
    **dict.fromkeys("csz", 0.54), **dict.fromkeys("mwMW", 0.95), "\u00d7": 0.84, "\u2026": 1.0,
}  # fmt: skip


def make_scene(outline: Outline, direction: str = "down", shapes: bool = True, legend: bool = True) -> Scene:
    """Lay out an outline and give its boxes, frames and arrows their looks.

    Args:
        outline: what the picture shows.
        direction: `"down"` or `"right"`, the way that data flows.
        shapes: whether nodes show their weight shapes and attributes.
        legend: whether a legend of the colours stands below.

    Raises:
        PictureError: the layout engine is missing or failed.
    """
    labels = [box_label(outline.graph, box, shapes, outline.marks) for box in outline.boxes]
    sizes = [_box_size(label, outline, index) for index, label in enumerate(labels)]
    names = [(clean(frame.part.label) or "block", frame_text(frame)) for frame in outline.frames]
    widths = [text_width(a, TEXT_SIZE) + _badge_width(b) + 8 for a, b in names]
    layout = place(outline, sizes, widths, direction)
    title, counts = headline(outline.graph)
    head = [Words(0, 0, title, 14.0, GREY, bold=True, centred=False), Words(0, 0, counts, TEXT_SIZE, GREY)]
    head += [Words(0, 0, "\u26a0 " + line, TEXT_SIZE, EVIDENCE_COLOUR, bold=True) for line in warnings_of(outline)]
    needed = max(text_width(words.text, words.size, words.bold) for words in head)
    key = legend_groups(outline, max(layout.width, needed, 300.0)) if legend else ([], 0.0, 0.0)
    width = max(layout.width, needed, key[1]) + 2 * MARGIN
    top = MARGIN
    groups: list[Group] = [Group("heading", "", [])]
    for words in head:
        top += words.size + 4
        groups[0].shapes.append(words._replace(x=MARGIN, y=top, centred=False))
    left, top = (width - layout.width) / 2, top + 14
    groups += _frames(outline, layout, names)
    groups += _arrows(outline, layout, labels) + _boxes(outline, layout, labels)
    drawn = [moved(group, left, top) if i else group for i, group in enumerate(groups)]
    top += layout.height + 14
    drawn += [moved(group, MARGIN, top) for group in key[0]]
    height = top + key[2] + MARGIN
    return Scene(width, height, title, _description(outline), drawn)


def _badge_width(text: str) -> float:
    return text_width(text, TEXT_SIZE, bold=True) + 14 if text else 0.0


def _badge(outline: Outline, index: int) -> str:
    """The badge of a box: how often it stands there, how much of it is evidence, and what a diff says of it."""
    box = outline.boxes[index]
    return "  ".join(piece for piece in (repeat_text(box.part), evidence_text(box), state_text(box)) if piece)


def _sign(box: Box) -> str:
    return STATE_LOOKS[box.state][4] if box.state else ""


def _box_size(label: Label, outline: Outline, index: int) -> tuple[float, float]:
    first = text_width(label.title, TITLE_SIZE, bold=True) + (SIGN_WIDTH if _sign(outline.boxes[index]) else 0)
    if label.name:
        first += 6 + text_width(label.name, SMALL_SIZE)
    badge = _badge_width(_badge(outline, index))
    width = max([first + (badge + 8 if badge else 0), *(text_width(line, TEXT_SIZE) for line in label.lines)]) + 16
    return max(width, 44.0), 20.0 + LINE_HEIGHT * len(label.lines)


def _boxes(outline: Outline, layout: Layout, labels: list[Label]) -> list[Group]:
    groups = []
    for index, (box, place_, label) in enumerate(zip(outline.boxes, layout.boxes, labels, strict=True)):
        fill, stroke, thickness, dashed, sign = STATE_LOOKS.get(
            box.state, (*TINTS[category_of(outline.graph, box)], 1.0, False, "")
        )
        x, y, width, _ = place_
        shapes: list[Block | Curve | Words] = []
        if box.evidence:
            around = Rectangle(x - 2.5, y - 2.5, width + 5, place_.height + 5)
            shapes.append(Block(around, "none", EVIDENCE_COLOUR, 3.0, 6.0))
        radius = place_.height / 2 if is_terminal(box) else 4.0
        shapes.append(Block(place_, fill, stroke, thickness, radius, dashed))
        badge = _badge(outline, index)
        room = width - (_badge_width(badge) + 4 if badge else 0)
        if sign:
            shapes.append(Words(x + 6, y + 14, sign, TITLE_SIZE + 1, stroke, bold=True, centred=False))
            x, room = x + SIGN_WIDTH, room - SIGN_WIDTH
        title = text_width(label.title, TITLE_SIZE, bold=True)
        named = 6 + text_width(label.name, SMALL_SIZE) if label.name else 0.0
        start = x + (room - title - named) / 2
        shapes.append(Words(start, y + 14, label.title, TITLE_SIZE, bold=True, centred=False))
        if label.name:
            shapes.append(
                Words(start + title + 6, y + 14, label.name, SMALL_SIZE, "#444444", italic=True, centred=False)
            )
        for number, line in enumerate(label.lines):
            shapes.append(Words(place_.x + width / 2, y + 14 + LINE_HEIGHT * (number + 1), line))
        if badge:
            shapes += _badge_shapes(badge, place_.x + width - 4, y + 3)
        kind = f"box {category_of(outline.graph, box).replace(' ', '-')}" + (" evidence" if box.evidence else "")
        note = _evidence_note(box.evidence) + (f"; {state_text(box) or box.state}" if box.state else "")
        groups.append(Group(f"{kind} {box.state}".strip(), label.tooltip + note, shapes))
    return groups


def _evidence_note(count: int) -> str:
    return f"; evidence: {count} node{'s' if count > 1 else ''}" if count else ""


def _badge_shapes(text: str, right: float, top: float) -> list[Block | Curve | Words]:
    width = _badge_width(text)
    place_ = Rectangle(right - width, top, width, 14.0)
    return [
        Block(place_, INK, INK, 0.5, 7.0),
        Words(right - width / 2, top + 10.3, text, TEXT_SIZE, "#ffffff", bold=True),
    ]


def _frames(outline: Outline, layout: Layout, names: list[tuple[str, str]]) -> list[Group]:
    groups = []
    for frame, place_, (label, repeats) in zip(outline.frames, layout.frames, names, strict=True):
        repeated = frame.part.repeats > 1
        block = Block(place_, "none", INK if repeated else GREY, 1.6 if repeated else 0.8, 8.0, dashed=not repeated)
        if repeated:
            block = block._replace(stroke=GREY)
        words = Words(place_.x + 9, place_.y + FRAME_LABEL_HEIGHT, label, TEXT_SIZE, GREY, bold=True, centred=False)
        shapes: list[Block | Curve | Words] = [block, words]
        if repeats:
            shapes += _badge_shapes(repeats, place_.x + place_.width - 6, place_.y + 5)
        groups.append(Group("frame", f"{label} {repeats}".strip(), shapes))
    return groups


def _arrows(outline: Outline, layout: Layout, labels: list[Label]) -> list[Group]:
    colour = INK if outline.marks is not None else RESIDUAL_COLOUR
    looks = {FLOW: (GREY, 1.1, False), RESIDUAL: (colour, 2.2, False), SKIP: (colour, 1.8, True)}
    groups = []
    for arrow, points in sorted(
        zip(outline.arrows, layout.arrows, strict=True), key=lambda item: item[0].kind != FLOW
    ):
        ends = f"{labels[arrow.source].title} to {labels[arrow.target].title}"
        tooltip = ends if arrow.kind == FLOW else f"{arrow.kind}: {ends}"
        groups.append(Group(f"arrow {arrow.kind}", tooltip, [Curve(points, *looks[arrow.kind])]))
    return groups


def legend_groups(outline: Outline, width: float) -> tuple[list[Group], float, float]:
    """The groups of the legend at the origin, its width and its height; rows are at most `width` wide."""
    used = {category_of(outline.graph, box) for box in outline.boxes} if outline.marks is None else set()
    arrows = {arrow.kind for arrow in outline.arrows}
    states = STATES if outline.marks is not None else ()
    entries: list[tuple[str, str]] = [("state", name) for name in states]
    entries += [("box", name) for name in CATEGORIES if name in used]
    entries += [(kind, text) for kind, text in ((RESIDUAL, "residual"), (SKIP, "skip connection")) if kind in arrows]
    entries += [("evidence", "evidence")] if any(box.evidence for box in outline.boxes) else []
    if any(part.repeats > 1 for part in _parts(outline)):
        entries.append(("repeat", "repeated, drawn once"))
    colour = INK if outline.marks is not None else RESIDUAL_COLOUR
    groups, x, y, widest = [], 0.0, 0.0, 0.0  # type: list[Group], float, float, float
    for kind, text in entries:
        step = 24 + text_width(text, SMALL_SIZE) + 14
        if x and x + step > width:
            x, y = 0.0, y + 16
        groups.append(Group("legend", "", [*_legend_mark(kind, text, x, y, colour), _legend_words(text, x, y)]))
        x += step
        widest = max(widest, x)
    return groups, widest, y + 14


def _legend_words(text: str, x: float, y: float) -> Words:
    return Words(x + 26, y + 9.5, text, SMALL_SIZE, GREY, centred=False)


def _legend_mark(kind: str, text: str, x: float, y: float, colour: str) -> list[Block | Curve | Words]:
    if kind == "box":
        fill, stroke = TINTS[text]
        return [Block(Rectangle(x, y, 20, 12), fill, stroke, 1.0, 6.0 if text == "input or output" else 3.0)]
    if kind == "state":
        fill, stroke, thickness, dashed, sign = STATE_LOOKS[text]
        block = Block(Rectangle(x, y, 20, 12), fill, stroke, thickness, 3.0, dashed)
        return [block, Words(x + 10, y + 9.5, sign, TEXT_SIZE, stroke, bold=True)]
    if kind == "evidence":
        return [Block(Rectangle(x + 1, y, 18, 12), "none", EVIDENCE_COLOUR, 3.0, 4.0)]
    if kind == "repeat":
        return [
            Block(Rectangle(x, y, 20, 12), INK, INK, 0.5, 6.0),
            Words(x + 10, y + 9.3, "\u00d7 n", SMALL_SIZE, "#ffffff", bold=True),
        ]
    line = [(x, y + 6), (x + 5, y + 6), (x + 10, y + 6), (x + 14, y + 6), (x + 20, y + 6)]
    return [Curve(line, colour, 2.2 if kind == RESIDUAL else 1.8, kind == SKIP)]


def moved(group: Group, dx: float, dy: float) -> Group:
    """A group at another place."""
    shapes: list[Block | Curve | Words] = []
    for shape in group.shapes:
        if isinstance(shape, Block):
            x, y, width, height = shape.rectangle
            shapes.append(shape._replace(rectangle=Rectangle(x + dx, y + dy, width, height)))
        elif isinstance(shape, Curve):
            shapes.append(shape._replace(points=[(x + dx, y + dy) for x, y in shape.points]))
        else:
            shapes.append(shape._replace(x=shape.x + dx, y=shape.y + dy))
    return group._replace(shapes=shapes)


def _parts(outline: Outline) -> list[Part]:
    return [frame.part for frame in outline.frames] + [box.part for box in outline.boxes]


def _description(outline: Outline) -> str:
    """The picture in words, for those who do not see it."""
    kinds = [arrow.kind for arrow in outline.arrows]
    repeats = [
        f"{clean(part.label) or 'a block'} {part.repeats} times" for part in _parts(outline) if part.repeats > 1
    ]
    sentences = [f"{headline(outline.graph)[1]}, drawn as {len(outline.boxes)} boxes and {len(kinds)} arrows."]
    sentences += [f"Residual connections: {kinds.count(RESIDUAL)}."] if RESIDUAL in kinds else []
    sentences += [f"Skip connections: {kinds.count(SKIP)}."] if SKIP in kinds else []
    sentences += [f"Repeated: {', '.join(repeats[:8])}."] if repeats else []
    return " ".join([*sentences, *warnings_of(outline)])
