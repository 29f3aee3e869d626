"""Plots of data sets as PNG: distributions as in figures 8 and 9 of the paper, shares, and graphs as in its figure 3.

matplotlib and pygraphviz (`pip install archbert[draw]`) are needed here and nowhere else; they are imported inside the
functions. The colours are those of Okabe and Ito, and every curve has a line style of its own, too.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from processing_archbert.architecture_graph_archbert import ArchitectureGraph

CURVES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", ":"), ("#cc79a7", "-."))
NODE_COLOURS: Mapping[str, str] = {
    "input or output": "#000000", "embedding": "#d55e00", "convolution": "#0072b2", "linear": "#e69f00",
    "attention": "#cc79a7", "recurrent": "#6a51a3", "normalization": "#009e73", "activation": "#d8c100",
    "pooling": "#56b4e9", "other operation": "#a8a8a8",
}  # fmt: skip
_STYLE: Mapping[str, Any] = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "legend.fontsize": 7, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "figure.constrained_layout.use": True, "font.family": "DejaVu Sans", "savefig.dpi": 150,
}  # fmt: skip
_POINTS = 400
_SMOOTHING = 0.9


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("Plots need matplotlib: `pip install archbert[draw]`.") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, path: str | Path) -> None:
    """Write a PNG with a palette, which is a third of the size, and nothing in it that changes from run to run."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    _pyplot().close(figure)
    buffer.seek(0)
    picture = (
        Image.open(buffer).convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)


def density(values: np.ndarray, log: bool) -> tuple[np.ndarray, np.ndarray]:
    """A kernel estimate of a density: `_POINTS` places and the density there.

    The kernel is a normal one; its width is Silverman's, `0.9 min(s, IQR / 1.34) n^(-1/5)`. With `log` the estimate is
    that of the decimal logarithm, and the places are given in the unit of the values.
    """
    data = np.log10(np.maximum(values, 1)) if log else values.astype(float)
    low, high = np.percentile(data, [25, 75])
    spread = min(float(data.std()), (high - low) / 1.34) or float(data.std()) or 1.0
    width = _SMOOTHING * spread * len(data) ** -0.2
    if not log:
        width = max(width, 0.5)  # numbers of words are whole
    least = data.min() - 3 * width
    places = np.linspace(least if log else max(least, 0.0), np.percentile(data, 99.8) + 3 * width, _POINTS)
    step = places[1] - places[0]
    counts, _ = np.histogram(data, bins=np.append(places - step / 2, places[-1] + step / 2))
    reach = int(np.ceil(4 * width / step))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    estimate = np.convolve(counts, kernel / kernel.sum(), mode="full")[reach:-reach] / (len(data) * step)
    return (10**places if log else places), estimate


def plot_distributions(
    path: str | Path, panels: Mapping[str, Mapping[str, np.ndarray]], log_panels: Sequence[str], columns: int = 4
) -> None:
    """Densities as in figure 9 of the paper: a panel for each measure, a curve for each split.

    Args:
        path: file to write, a PNG.
        panels: measure -> split -> values (n,).
        log_panels: measures with a logarithmic axis.
        columns: panels in a row.
    """
    pyplot = _pyplot()
    lines = -(-len(panels) // columns)
    with pyplot.rc_context(dict(_STYLE)):
        figure, axes = pyplot.subplots(lines, columns, figsize=(8.4, 1.65 * lines + 0.3), squeeze=False)
        for axis, (measure, curves) in zip(axes.flat, panels.items(), strict=False):
            for (split, values), (colour, style) in zip(curves.items(), CURVES, strict=False):
                places, estimate = density(values, measure in log_panels)
                axis.plot(places, estimate, color=colour, linestyle=style, linewidth=1.1, label=split)
                axis.fill_between(places, estimate, color=colour, alpha=0.08, linewidth=0)
            axis.set_xscale("log" if measure in log_panels else "linear")
            axis.set_ylim(bottom=0)
            axis.set_yticks([])
            axis.set_xlabel(measure)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, loc="outside upper center", ncols=len(labels), handlelength=2.2)
        _save(figure, path)


def plot_shares(
    path: str | Path,
    shares: Mapping[str, Mapping[str, float]],
    label: str,
    floor: float | None = None,
    note: str = "",
) -> None:
    """Bars of shares on a logarithmic axis, the most frequent first: the first series as bars, the others as dots.

    Args:
        path: file to write, a PNG.
        shares: series -> name -> share in percent.
        label: what the axis shows.
        floor: a line across, in percent.
        note: what the line is.
    """
    pyplot = _pyplot()
    first = next(iter(shares.values()))
    names = sorted(first, key=lambda name: (-first[name], name))
    with pyplot.rc_context(dict(_STYLE)):
        figure, axis = pyplot.subplots(figsize=(0.105 * len(names) + 0.8, 2.9))
        for index, ((series, values), (colour, _)) in enumerate(zip(shares.items(), CURVES, strict=False)):
            heights = [values.get(name, 0.0) or np.nan for name in names]
            if index == 0:
                axis.bar(names, heights, color=colour, width=0.75, label=series, alpha=0.75)
            else:
                axis.plot(names, heights, "o^s"[index - 1], color=colour, markersize=2.4, label=series)
        if floor is not None:
            axis.axhline(floor, color="#444444", linewidth=0.7, linestyle=":")
            axis.text(len(names), floor, note, ha="left", va="center", fontsize=6.5, color="#444444")
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}%")
        axis.set_xlim(-0.8, len(names) - 0.2)
        axis.set_ylim(top=115)
        axis.set_ylabel(label)
        axis.tick_params(axis="x", labelrotation=90, labelsize=5.6, length=0, pad=1)
        handles, labels = axis.get_legend_handles_labels()
        handles, labels = handles[-1:] + handles[:-1], labels[-1:] + labels[:-1]  # lines come before bars
        axis.legend(handles, labels, frameon=False, loc="upper right", ncols=len(shares))
        _save(figure, path)


def plot_bars(path: str | Path, panels: Mapping[str, Mapping[str, Mapping[str, float]]], limit: float = 100.0) -> None:
    """Groups of horizontal bars, a panel for each table.

    Args:
        path: file to write, a PNG.
        panels: title -> name of a bar -> series -> percent; all bars of a panel have the same series.
        limit: end of the axis.
    """
    pyplot = _pyplot()
    longest = max(len(bars) for bars in panels.values())
    with pyplot.rc_context(dict(_STYLE)):
        figure, axes = pyplot.subplots(1, len(panels), figsize=(8.4, 0.17 * longest + 0.7), squeeze=False)
        for axis, (title, bars) in zip(axes[0], panels.items(), strict=True):
            series = list(next(iter(bars.values())))
            places = np.arange(len(bars))
            for index, (name, (colour, _)) in enumerate(zip(series, CURVES, strict=False)):
                values = [one[name] for one in bars.values()]
                offset = (index - (len(series) - 1) / 2) * 0.8 / len(series)
                axis.barh(places + offset, values, 0.8 / len(series), color=colour, alpha=0.8, label=name)
            axis.set_yticks(places, list(bars))
            axis.set_ylim(longest - 0.4, -0.6)
            axis.spines["left"].set_bounds(-0.6, len(bars) - 0.4)
            axis.set_xlim(0, limit)
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}%")
            axis.set_title(title, loc="left")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, loc="outside upper right", ncols=len(labels))
        _save(figure, path)


def plot_graphs(path: str | Path, graphs: Mapping[str, ArchitectureGraph]) -> None:
    """Whole graphs side by side as in figure 3 of the paper: every node a dot, data flowing down.

    Args:
        path: file to write, a PNG.
        graphs: title -> graph; up to some two hundred nodes each stay readable.

    Raises:
        PictureError: Graphviz is missing.
    """
    pyplot = _pyplot()
    with pyplot.rc_context({**_STYLE, "figure.constrained_layout.use": False}):
        figure, axes = pyplot.subplots(1, len(graphs), figsize=(8.4, 4.4), squeeze=False)
        used = {kind for axis, graph in zip(axes[0], graphs.values(), strict=True) for kind in _draw(axis, graph)}
        for axis, title in zip(axes[0], graphs, strict=True):
            axis.set_title(title, fontsize=7)
        marks = [
            pyplot.Line2D([], [], color=colour, marker="o", linestyle="", markersize=4, label=kind)
            for kind, colour in NODE_COLOURS.items()
            if kind in used
        ]
        figure.legend(
            handles=marks, loc="lower center", ncols=len(marks), frameon=False, fontsize=6.5, columnspacing=0.9,
            handletextpad=0.1,
        )  # fmt: skip
        figure.subplots_adjust(left=0.01, right=0.99, top=0.9, bottom=0.06, wspace=0.08)
        _save(figure, path)


def _draw(axis: Any, graph: ArchitectureGraph) -> set[str]:
    """Draw one graph; returns the kinds of its nodes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    from processing_archbert.graph_labels_archbert import category_of
    from processing_archbert.graph_layout_archbert import place
    from processing_archbert.graph_outline_archbert import outline

    shown = outline(graph, depth="all", max_boxes=graph.num_nodes + 2)
    layout = place(shown, [(16.0, 16.0)] * len(shown.boxes), [16.0] * len(shown.frames))
    for points in layout.arrows:
        if points:
            kinds_of_points = [Outline.MOVETO, *[Outline.CURVE4] * (len(points) - 2), Outline.LINETO]
            curve = Outline(points, kinds_of_points)
            axis.add_patch(PathPatch(curve, fill=False, edgecolor="#8a8a8a", linewidth=0.5, zorder=1))
    kinds = [category_of(graph, box) for box in shown.boxes]
    centres = np.array([(box.x + box.width / 2, box.y + box.height / 2) for box in layout.boxes])
    colours = [NODE_COLOURS[kind] for kind in kinds]
    axis.scatter(*centres.T, s=11, c=colours, zorder=2, linewidths=0.3, edgecolors="white")
    middle, half = layout.width / 2, max(layout.width, 120.0) / 2 + 8
    axis.set_xlim(middle - half, middle + half)
    axis.set_ylim(layout.height + 6, -6)
    axis.set_axis_off()
    return set(kinds)
