"""Plots of AutoNet: distributions, op types, floors of questions, and sample graphs, as PNG.

python -m dataset_scripts.autonet.plots_autonet --data DIR --out DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dataset_scripts.release.folder_release import DataFolder
from dataset_scripts.release.plots_release import plot_bars, plot_distributions, plot_graphs, plot_shares
from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.ops_archbert import INPUT_OP, OUTPUT_OP

from .card_autonet import CONFIGS, Figures
from .floors_autonet import Floors, all_question_floors

GRAPHS, LEAST_NODES, MOST_NODES, LEAST_BRANCHES = 6, 30, 90, 4
NODES, EDGES, PARAMETERS = "nodes of a graph", "edges of a graph", "parameters of a network"
PICTURES: Mapping[str, str] = {
    "distributions": "Distributions as in figure 9 of the paper; descriptions are those of the paper's kind.",
    "op_types": "Share of the networks that have an op type. Bars: train; dots: the other splits.",
    "questions": "What the question alone gives away: exact match of the best constant answer.",
    "graphs": "Sample graphs, as in figure 3 of the paper.",
}
"""Name of a plot -> what it shows."""


def write_plots(
    data: DataFolder, figures: Mapping[str, Figures], floors: Mapping[str, Floors], output_dir: str | Path
) -> list[Path]:
    """Draw all plots of a build.

    Args:
        data: the build.
        figures: split -> its figures.
        floors: config with questions -> its floors.
        output_dir: folder to write to.

    Returns:
        The files, in the order of `PICTURES`.
    """
    folder = Path(output_dir)
    paths = [folder / f"{name}.png" for name in PICTURES]
    plot_distributions(paths[0], _distributions(figures), log_panels=(NODES, EDGES, PARAMETERS))
    plot_shares(paths[1], _op_shares(figures), "networks with the op type", floor=0.5, note="0.5%")
    plot_bars(paths[2], _floor_panels(floors))
    plot_graphs(paths[3], sample_graphs(data))
    return paths


def _distributions(figures: Mapping[str, Figures]) -> dict[str, dict[str, np.ndarray]]:
    panels: dict[str, dict[str, np.ndarray]] = {}
    for split, one in figures.items():
        graphs, descriptions, questions = one.graphs, one.descriptions, one.questions
        for measure, values in {
            NODES: graphs.nodes,
            EDGES: graphs.edges,
            PARAMETERS: graphs.parameters,
            "op types of a network": graphs.kinds,
            "words of a description": descriptions.words,
            "characters of a description": descriptions.characters,
            "words of a question": questions.words,
            "characters of a question": questions.characters,
        }.items():
            panels.setdefault(measure, {})[split] = values
    return panels


def _op_shares(figures: Mapping[str, Figures]) -> dict[str, dict[str, float]]:
    return {
        split: {
            op: 100 * count / len(one.graphs.nodes)
            for op, count in one.graphs.op_types.items()
            if op not in (INPUT_OP, OUTPUT_OP)
        }
        for split, one in figures.items()
    }


def _floor_panels(floors: Mapping[str, Floors]) -> dict[str, dict[str, dict[str, float]]]:
    panels = {}
    for config, by_split in floors.items():
        split, types = next(iter(by_split.items()))
        panels[f"{config} ({split})"] = {
            kind: {"type": of_type, "type and subject": of_question} for kind, (of_type, of_question) in types.items()
        }
    return panels


def sample_graphs(data: DataFolder) -> dict[str, ArchitectureGraph]:
    """Titles and graphs of `train`: the first of each style that a small picture can show, or just the first one."""
    found: dict[str, dict[str, Any]] = {}
    first: dict[str, Any] = {}
    for table in data.tables("architectures", "train"):
        for row in table.to_pylist():
            first = first or row
            nodes = len(row["op_types"])
            if LEAST_NODES <= nodes <= MOST_NODES and len(row["src"]) >= nodes + LEAST_BRANCHES:
                found.setdefault(row["style"], row)
        if len(found) >= GRAPHS:
            break
    rows = list(found.values())[:GRAPHS] or [first]
    return {f"{row['style']}\n{len(row['op_types'])} nodes": ArchitectureGraph.from_row(row) for row in rows}


def main() -> None:
    """Command line of `write_plots`."""
    parser = argparse.ArgumentParser(description="Draw the plots of AutoNet's card.")
    parser.add_argument("--data", required=True, help="folder of a build")
    parser.add_argument("--out", required=True, help="folder to write to")
    options = parser.parse_args()
    data = DataFolder(options.data, CONFIGS)
    figures = {split: Figures.of(data, split) for split in data.splits["architectures"]}
    for path in write_plots(data, figures, all_question_floors(data), options.out):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
