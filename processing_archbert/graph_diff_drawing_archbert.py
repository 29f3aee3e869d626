"""Pictures of a diff: both networks side by side, or one of them, with what became of every box.

Kept, changed, removed and added differ by colour (of the palette of Okabe and Ito), border and sign, so that nothing
is said by colour alone. A box that holds nodes of several states is `changed`, and says how many there are of each; a
changed layer says what it is in the other network.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from .graph_drawing_archbert import PNG_SCALE, check_options, write_scene
from .graph_labels_archbert import clean
from .graph_mermaid_archbert import chart
from .graph_outline_archbert import MAX_BOXES, Marks, Outline, outline
from .graph_scene_archbert import (
    GREY,
    INK,
    MARGIN,
    TEXT_SIZE,
    Group,
    Scene,
    Words,
    legend_groups,
    make_scene,
    moved,
    text_width,
)

SIDES = ("both", "a", "b")
MAX_LINES, MAX_LINE = 12, 150
GAP = 36.0


def side_outlines(found: Any, side: str, depth: int | str, max_boxes: int) -> list[Outline]:
    """Outlines of the sides of a diff that are asked for, with what became of every box.

    Args:
        found: the `ArchitectureDiff`.
        side: one of `SIDES`.
        depth, max_boxes: as `outline` takes them.

    Raises:
        ValueError: another side.
        PictureError: a wrong option, or too many boxes.
    """
    if side not in SIDES:
        raise ValueError(f"side is {side!r}; {', '.join(map(repr, SIDES))} are allowed.")
    graphs, sides = (found.a, found.b), (0, 1) if side == "both" else ("ab".index(side),)
    outlines = []
    for own in sides:
        states = ["kept"] * graphs[own].num_nodes
        for state, nodes in found.nodes[own].items():
            for node in nodes:
                states[node] = state
        partners = dict(found.pairs[:, [own, 1 - own]].tolist())
        marks = Marks(states, partners, graphs[1 - own], before=own == 0)
        outlines.append(outline(graphs[own], depth, None, max_boxes, marks))
    return outlines


def draw_diff(
    found: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    side: str = "both",
    depth: int | str = "auto",
    direction: str = "down",
    shapes: bool = True,
    legend: bool = True,
    words: bool = True,
    max_boxes: int = MAX_BOXES,
    scale: float = PNG_SCALE,
) -> str:
    """Draw a diff; returns the SVG and writes the file where a path is given.

    Args:
        found: the `ArchitectureDiff`.
        path: file to write; its ending says the format, `.svg`, `.png` or `.pdf`.
        side: `"both"` networks beside each other (above each other with direction `"right"`), or `"a"` or `"b"` alone.
        depth: levels of parts to open, as `ArchitectureGraph.draw` takes it.
        direction: `"down"` or `"right"`, the way that data flows.
        shapes: whether nodes show weight shapes, attributes, and what they are in the other network.
        legend: whether a legend stands below.
        words: whether the changes in words stand above, at most 12 lines.
        max_boxes: the largest number of boxes of each network.
        scale: pixels of a PNG for each point.

    Raises:
        ValueError: another side.
        PictureError: too many boxes (names the depth to use), a wrong argument, or an optional package is missing.
    """
    check_options(path, direction, scale)
    outlines = side_outlines(found, side, depth, max_boxes)
    scenes = [make_scene(content, direction, shapes, legend=False) for content in outlines]
    lines = _words(found) if words else []
    scene = _joined(scenes, lines, outlines, direction, legend)
    return write_scene(scene, path, found.a.graph_hash[-4:] + found.b.graph_hash[-4:], scale)


def _words(found: Any) -> list[str]:
    lines = [line for text in str(found).splitlines() for line in [text.removeprefix("- ")]]
    lines = lines[:1] + [f"\u2022 {line}" for line in lines[1:]]
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], f"\u2022 and {len(lines) - MAX_LINES + 1} more"]
    return [line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 1]}\u2026" for line in map(_plain, lines)]


def _plain(text: str) -> str:
    return clean(text, 10_000)


def _joined(
    scenes: Sequence[Scene], lines: Sequence[str], outlines: Sequence[Outline], direction: str, legend: bool
) -> Scene:
    """One scene: words above, the networks beside or above each other, one legend below."""
    needed = max((text_width(line, TEXT_SIZE + 1) for line in lines), default=0.0) + 2 * MARGIN
    beside = direction == "down"
    inner = sum(s.width for s in scenes) + GAP * (len(scenes) - 1) if beside else max(s.width for s in scenes)
    width = max(inner, needed, 360.0)
    top = MARGIN
    groups = [Group("heading", "", [])]
    for number, line in enumerate(lines):
        top += TEXT_SIZE + 6
        colour = GREY if number else INK
        groups[0].shapes.append(Words(MARGIN, top, line, TEXT_SIZE + 1, colour, bold=not number, centred=False))
    top += 6 if lines else 0
    left, bottom = (width - inner) / 2, top
    for scene in scenes:
        groups += [moved(group, left, bottom if not beside else top) for group in scene.groups]
        if beside:
            left += scene.width + GAP
        else:
            bottom += scene.height
    height = top + max(s.height for s in scenes) if beside else bottom
    if legend:
        merged = Outline(outlines[0].graph, marks=outlines[0].marks)
        for content in outlines:
            merged.boxes += content.boxes
            merged.frames += content.frames
            merged.arrows += content.arrows
        key, _, key_height = legend_groups(merged, width - 2 * MARGIN)
        groups += [moved(group, MARGIN, height) for group in key]
        height += key_height + MARGIN
    title = " and ".join(scene.title for scene in scenes)
    return Scene(width, height, title, " ".join([*lines, *(scene.description for scene in scenes)]), groups)


def diff_to_mermaid(
    found: Any,
    *,
    side: str = "both",
    depth: int | str = "auto",
    direction: str = "down",
    shapes: bool = True,
    max_boxes: int = MAX_BOXES,
) -> str:
    """A diff as a Mermaid flowchart. Arguments and errors: as `draw_diff`, and the limits of `to_mermaid`."""
    return chart(side_outlines(found, side, depth, max_boxes), direction, shapes)
