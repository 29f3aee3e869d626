"""`draw`: a picture of a graph as SVG, PNG or PDF.

* The outline says what is shown, Graphviz where it stands, and the scene how it looks; here it is written to a file.
* SVG is written with the standard library alone: real text, a title and a description, a tooltip for each box and
  arrow, no scripts, the same bytes for the same graph. All text of the graph is escaped.
* PNG and PDF are drawn from the same scene with matplotlib.
"""

from __future__ import annotations

import importlib
import io
import os
import re
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from .architecture_graph_archbert import ArchitectureGraph
from .graph_outline_archbert import MAX_BOXES, PictureError, outline
from .graph_scene_archbert import Block, Curve, Scene, Words, make_scene

FORMATS = ("svg", "png", "pdf")
FONTS = ("Helvetica", "Arial", "Liberation Sans", "DejaVu Sans", "sans-serif")
PNG_SCALE = 2.0
HEAD_LENGTH, HEAD_WIDTH = 7.0, 3.0


def draw(
    graph: ArchitectureGraph,
    path: str | os.PathLike[str] | None = None,
    *,
    depth: int | str = "auto",
    highlight: Any = None,
    direction: str = "down",
    shapes: bool = True,
    legend: bool = True,
    max_boxes: int = MAX_BOXES,
    scale: float = PNG_SCALE,
) -> str:
    """Draw a graph; returns the SVG and writes the file where a path is given.

    Args:
        graph: the graph.
        path: file to write; its ending says the format, `.svg`, `.png` or `.pdf`.
        depth: levels of parts to open: 0 is one box, `"all"` every node and nothing folded, `"auto"` what is readable.
        highlight: indices of nodes, or a `Fact` (its nodes), whose boxes are marked.
        direction: `"down"` or `"right"`, the way that data flows.
        shapes: whether nodes show their weight shapes and attributes.
        legend: whether a legend of the colours stands below.
        max_boxes: the largest number of boxes.
        scale: pixels of a PNG for each point.

    Raises:
        PictureError: too many boxes (names the depth to use), a wrong argument, or an optional package is missing
            (names the command that installs it).
    """
    check_options(path, direction, scale)
    scene = make_scene(outline(graph, depth, highlight, max_boxes), direction, shapes, legend)
    return write_scene(scene, path, graph.graph_hash[-8:], scale)


def check_options(path: str | os.PathLike[str] | None, direction: str, scale: float) -> None:
    """Raises a `PictureError` for a file ending, a direction or a scale that is not allowed."""
    ending = _ending(path)
    if ending not in FORMATS:
        raise PictureError(f"path ends in {ending!r}; {', '.join('.' + name for name in FORMATS)} are allowed.")
    if direction not in ("down", "right"):
        raise PictureError(f'direction is {direction!r}; "down" or "right" is allowed.')
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0.1 <= scale <= 10:
        raise PictureError(f"scale is {scale!r}; a number from 0.1 to 10 is allowed.")


def _ending(path: str | os.PathLike[str] | None) -> str:
    return Path(path).suffix.lower().lstrip(".") if path is not None else "svg"


def write_scene(scene: Scene, path: str | os.PathLike[str] | None, identifier: str, scale: float) -> str:
    """Writes a scene in the format that the ending of `path` says, if there is one; returns its SVG."""
    ending, text = _ending(path), to_svg(scene, identifier)
    if path is not None:
        Path(path).write_bytes(text.encode("utf-8") if ending == "svg" else _drawn(scene, ending, scale))
    return text


def to_svg(scene: Scene, identifier: str) -> str:
    """The scene as SVG; `identifier` tells its ids from those of other pictures on one page."""
    width, height = _number(scene.width), _number(scene.height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-labelledby="title-{identifier} description-{identifier}" '
        f'font-family="{", ".join(FONTS)}" font-size="9">',
        f'<title id="title-{identifier}">{_escaped(scene.title)}</title>',
        f'<desc id="description-{identifier}">{_escaped(scene.description)}</desc>',
    ]
    for group in scene.groups:
        tooltip = f"<title>{_escaped(group.tooltip)}</title>" if group.tooltip else ""
        lines.append(f'<g class="{group.kind}">{tooltip}{"".join(_element(shape) for shape in group.shapes)}</g>')
    return "\n".join([*lines, "</svg>\n"])


def _element(shape: Block | Curve | Words) -> str:
    if isinstance(shape, Block):
        x, y, width, height = map(_number, shape.rectangle)
        radius = _number(min(shape.radius, shape.rectangle.height / 2))
        return (
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" fill="{shape.fill}" '
            f'stroke="{shape.stroke}" stroke-width="{_number(shape.width)}"{_dashes(shape.dashed)}/>'
        )
    if isinstance(shape, Curve):
        if not shape.points:
            return ""
        start, *rest = [f"{_number(x)} {_number(y)}" for x, y in shape.points[:-1]]
        return (
            f'<path d="M{start}C{" ".join(rest)}" fill="none" stroke="{shape.stroke}" '
            f'stroke-width="{_number(shape.width)}"{_dashes(shape.dashed)}/>'
            f'<path d="M{"L".join(f"{_number(x)} {_number(y)}" for x, y in _head(shape))}Z" fill="{shape.stroke}"/>'
        )
    style = ' text-anchor="middle"' if shape.centred else ""
    style += ' font-weight="bold"' if shape.bold else ""
    style += ' font-style="italic"' if shape.italic else ""
    style += f' font-size="{_number(shape.size)}"' if shape.size != 9 else ""
    return (
        f'<text x="{_number(shape.x)}" y="{_number(shape.y)}" fill="{shape.fill}"{style}>{_escaped(shape.text)}</text>'
    )


def _dashes(dashed: bool) -> str:
    return ' stroke-dasharray="5 3"' if dashed else ""


def _head(curve: Curve) -> list[tuple[float, float]]:
    """The three corners of the arrow head."""
    (x0, y0), (x1, y1) = curve.points[-2:]
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 or 1.0
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    x, y = x1 - dx * HEAD_LENGTH, y1 - dy * HEAD_LENGTH
    return [(x1, y1), (x - dy * HEAD_WIDTH, y + dx * HEAD_WIDTH), (x + dy * HEAD_WIDTH, y - dx * HEAD_WIDTH)]


def _number(value: float) -> str:
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def _escaped(text: str) -> str:
    """Text for XML: markup escaped, and what XML cannot hold replaced."""
    return escape(re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text), {'"': "&quot;"})


def _drawn(scene: Scene, ending: str, scale: float) -> bytes:
    """The scene as PNG or PDF, by matplotlib."""
    try:
        matplotlib = importlib.import_module("matplotlib")
        figure_class = importlib.import_module("matplotlib.figure").Figure
    except ImportError:
        raise PictureError(
            f"writing {ending.upper()} needs matplotlib: `pip install matplotlib` (or `pip install archbert[draw]`). "
            "SVG needs no package for writing."
        ) from None
    fonts = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "pdf.fonttype": 42}
    with matplotlib.rc_context({**fonts, "svg.hashsalt": "archbert"}):
        figure = figure_class(figsize=(scene.width / 72, scene.height / 72))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(0, scene.width)
        axes.set_ylim(scene.height, 0)
        axes.axis("off")
        for order, shape in enumerate(shape for group in scene.groups for shape in group.shapes):
            _add(axes, shape, order + 1)
        buffer = io.BytesIO()
        metadata = {"CreationDate": None, "Title": scene.title} if ending == "pdf" else {"Title": scene.title}
        figure.savefig(buffer, format=ending, dpi=72 * scale, facecolor="white", metadata=metadata)
    return buffer.getvalue()


def _add(axes: Any, shape: Block | Curve | Words, order: int) -> None:
    patches = importlib.import_module("matplotlib.patches")
    paths = importlib.import_module("matplotlib.path")
    if isinstance(shape, Block):
        x, y, width, height = shape.rectangle
        radius = min(shape.radius, height / 2, width / 2)
        style = patches.BoxStyle.Round(pad=0, rounding_size=radius)
        patch = patches.FancyBboxPatch((x, y), width, height, boxstyle=style)
        patch.set(facecolor=shape.fill, edgecolor=shape.stroke, linewidth=shape.width, zorder=order)
        patch.set_linestyle((0, (5, 3)) if shape.dashed else "-")
        axes.add_patch(patch)
    elif isinstance(shape, Curve) and shape.points:
        codes = [paths.Path.MOVETO] + [paths.Path.CURVE4] * (len(shape.points) - 2)
        line = patches.PathPatch(paths.Path(shape.points[:-1], codes), facecolor="none", edgecolor=shape.stroke)
        line.set(linewidth=shape.width, zorder=order, linestyle=(0, (5, 3)) if shape.dashed else "-")
        axes.add_patch(line)
        axes.add_patch(patches.Polygon(_head(shape), closed=True, color=shape.stroke, linewidth=0, zorder=order))
    elif isinstance(shape, Words):
        text = axes.text(shape.x, shape.y, shape.text, fontsize=shape.size, color=shape.fill, zorder=order)
        text.set(ha="center" if shape.centred else "left", va="baseline", parse_math=False)
        text.set(weight="bold" if shape.bold else "normal", style="italic" if shape.italic else "normal")
