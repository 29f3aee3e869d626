"""Places the boxes of a picture with Graphviz: `dot`, from the package pygraphviz or from the PATH.

Graphviz sees sizes and indices alone, never a name, and answers with coordinates. Points (1/72 inch), y downward.
"""

from __future__ import annotations

import importlib
import itertools
import json
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from .graph_outline_archbert import FLOW, Outline, PictureError

FRAME_LABEL_HEIGHT = 16.0
ROW_LENGTH = 6
LAYOUT_SECONDS = 120


class Rectangle(NamedTuple):
    """Left, top, width and height, in points."""

    x: float
    y: float
    width: float
    height: float


class Layout(NamedTuple):
    """Where everything stands.

    Attributes:
        width, height: of the picture, in points.
        boxes, frames: one rectangle for each box and each frame of the outline.
        arrows: for each arrow the 1 + 3k points of a cubic spline, and then the tip of its head.
    """

    width: float
    height: float
    boxes: list[Rectangle]
    frames: list[Rectangle]
    arrows: list[list[tuple[float, float]]]


def place(
    outline: Outline, sizes: Sequence[tuple[float, float]], frame_widths: Sequence[float], direction: str = "down"
) -> Layout:
    """Coordinates for an outline.

    Args:
        outline: boxes, frames and arrows.
        sizes: width and height of each box, in points.
        frame_widths: width of the label of each frame, in points.
        direction: `"down"` or `"right"`.

    Raises:
        PictureError: Graphviz is missing, failed, or took more than two minutes.
    """
    reply = _graphviz(_description(outline, sizes, frame_widths, direction))
    try:
        return _read(json.loads(reply), outline)
    except (ValueError, KeyError, IndexError) as error:
        raise PictureError(f"the layout of Graphviz cannot be read ({type(error).__name__}: {error}).") from None


def _description(
    outline: Outline, sizes: Sequence[tuple[float, float]], frame_widths: Sequence[float], direction: str
) -> str:
    lines = [
        "digraph {",
        f"rankdir={'LR' if direction == 'right' else 'TB'}; ranksep=0.28; nodesep=0.22; margin=0;",
        'node [shape=box, fixedsize=true, label=""]; edge [arrowsize=0.6];',
    ]
    children: dict[int, list[str]] = {}
    for index, (box, (width, height)) in enumerate(zip(outline.boxes, sizes, strict=True)):
        text = f"b{index} [width={width / 72:.4f}, height={height / 72:.4f}];"
        children.setdefault(box.frame, []).append(text)
    for index in reversed(range(len(outline.frames))):
        frame = outline.frames[index]
        label = (
            f'<<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="0" CELLSPACING="0" FIXEDSIZE="TRUE" '
            f'WIDTH="{frame_widths[index]:.0f}" HEIGHT="{FRAME_LABEL_HEIGHT:.0f}"><TR><TD></TD></TR></TABLE>>'
        )
        body = " ".join(children.get(index, []))
        text = f"subgraph cluster_{index} {{ margin=8; labeljust=l; label={label}; {body} }}"
        children.setdefault(frame.parent, []).insert(0, text)
    lines += children.get(-1, [])
    lines += [
        f"b{a.source} -> b{a.target} [weight={4 if a.kind == FLOW else 1}, id={i}];"
        for i, a in enumerate(outline.arrows)
    ]
    lines += [f"b{a} -> b{b} [style=invis];" for a, b in _unconnected(outline)]
    return "\n".join([*lines, "}"])


def _unconnected(outline: Outline) -> list[tuple[int, int]]:
    """Invisible arrows that put boxes without any arrow into rows below each other."""
    touched = {end for arrow in outline.arrows for end in (arrow.source, arrow.target)}
    rows: dict[int, list[int]] = {}
    for index, box in enumerate(outline.boxes):
        if index not in touched:
            rows.setdefault(box.frame, []).append(index)
    if not touched:
        return list(itertools.pairwise(range(len(outline.boxes))))
    return [
        pair for lonely in rows.values() for pair in zip(lonely[:-ROW_LENGTH], lonely[ROW_LENGTH:], strict=True)
    ]  # fmt: skip


def _graphviz(description: str) -> bytes:
    try:
        pygraphviz = importlib.import_module("pygraphviz")
    except ImportError:
        return _dot_on_path(description)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return pygraphviz.AGraph(string=description).draw(format="json", prog="dot")
        except (OSError, ValueError) as error:
            raise PictureError(f"Graphviz failed: {str(error)[:200]}") from None


def _dot_on_path(description: str) -> bytes:
    dot = shutil.which("dot")
    if dot is None:
        raise PictureError(
            "drawing needs Graphviz for the layout: `pip install pygraphviz` (it brings Graphviz with it), or "
            "`pip install archbert[draw]`. to_mermaid() needs nothing."
        )
    try:
        done = subprocess.run(
            [dot, "-Tjson"], input=description.encode(), capture_output=True, timeout=LAYOUT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise PictureError(f"Graphviz failed: {str(error)[:200]} A smaller depth is faster.") from None
    return done.stdout


def _read(reply: dict, outline: Outline) -> Layout:
    left, bottom, right, top = (float(value) for value in reply["bb"].split(","))
    boxes: list[Rectangle] = [Rectangle(0, 0, 0, 0)] * len(outline.boxes)
    frames: list[Rectangle] = [Rectangle(0, 0, 0, 0)] * len(outline.frames)
    for item in reply.get("objects", []):
        name = item["name"]
        if name.startswith("cluster_") and "bb" in item:
            x0, y0, x1, y1 = (float(value) for value in item["bb"].split(","))
            frames[int(name[8:])] = Rectangle(x0 - left, top - y1, x1 - x0, y1 - y0)
        elif name.startswith("b"):
            x, y = (float(value) for value in item["pos"].split(","))
            width, height = float(item["width"]) * 72, float(item["height"]) * 72
            boxes[int(name[1:])] = Rectangle(x - left - width / 2, top - y - height / 2, width, height)
    arrows: list[list[tuple[float, float]]] = [[] for _ in outline.arrows]
    for edge in reply.get("edges", []):
        if "id" in edge:
            points = edge["pos"].split(" ")
            tip = [p[2:] for p in points if p.startswith("e,")]
            spline = [p for p in points if not p.startswith(("e,", "s,"))] + tip
            pairs = [tuple(map(float, p.split(","))) for p in spline]
            arrows[int(edge["id"])] = [(x - left, top - y) for x, y in pairs]
    return Layout(right - left, top - bottom, boxes, frames, arrows)
