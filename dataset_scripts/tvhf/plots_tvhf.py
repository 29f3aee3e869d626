"""Plots of TVHF as PNG: distributions by split and by library, networks by modality and year, op types, graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataset_scripts.release.folder_release import DataFolder
from dataset_scripts.release.plots_release import plot_bars, plot_distributions, plot_graphs, plot_shares
from dataset_scripts.release.statistics_release import GraphFigures, TextFigures
from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.ops_archbert import INPUT_OP, OUTPUT_OP

from .clusters_tvhf import modality_group
from .configs_tvhf import PAPER_SPLITS

NODES, EDGES, PARAMETERS = "nodes of a graph", "edges of a graph", "parameters of a network"
MOST_NODES, GRAPHS, MOST_OPS = 110, 6, 90
FIRST_YEAR = 2012
PICTURES: Mapping[str, str] = {
    "distributions": "Distributions of every side of the split by cluster, as in figure 9 of the paper.",
    "libraries": "torchvision against transformers, as in figure 8 of the paper; texts are the true ones.",
    "networks": "Share of the networks by kind of input, and by year of publication where it is known.",
    "op_types": "Share of the networks that have an op type, for the most frequent ones. Bars: train; dots: other "
    "splits.",
    "graphs": "Small networks of TVHF, as in figure 10 of the paper.",
}
"""Name of a plot -> what it shows."""
_GRAPH_COLUMNS = ("op_types", "src", "num_parameters")


def write_plots(data: DataFolder, output_dir: str | Path) -> list[Path]:
    """Draw all plots of a build; returns the files, in the order of `PICTURES`."""
    paths = [Path(output_dir) / f"{name}.png" for name in PICTURES]
    splits = data.splits["architectures"]
    graphs = {split: GraphFigures.of(data.tables("architectures", split, _GRAPH_COLUMNS)) for split in splits}
    logarithmic = (NODES, EDGES, PARAMETERS)
    plot_distributions(paths[0], _panels(graphs, _texts_by_split(data)), log_panels=logarithmic, columns=3)
    plot_distributions(paths[1], _by_library(data), log_panels=logarithmic, columns=3)
    plot_bars(paths[2], _networks(data), limit=60)
    plot_shares(paths[3], _op_shares(graphs), "networks with the op type")
    plot_graphs(paths[4], small_graphs(data))
    return paths


def _panels(graphs: Mapping[str, GraphFigures], texts: Mapping[str, TextFigures]) -> dict[str, dict[str, np.ndarray]]:
    """Measure -> name of a curve -> values."""
    panels: dict[str, dict[str, np.ndarray]] = {}
    for name, one in graphs.items():
        found = {NODES: one.nodes, EDGES: one.edges, PARAMETERS: one.parameters, "op types of a network": one.kinds}
        if name in texts:
            found |= {"words of a sentence": texts[name].words, "characters of a sentence": texts[name].characters}
        for measure, values in found.items():
            panels.setdefault(measure, {})[name] = values
    return panels


def _texts_by_split(data: DataFolder) -> dict[str, TextFigures]:
    splits = [split for split in data.splits["architectures"] if split in data.splits["descriptions"]]
    return {
        split: TextFigures.of(t["text"] for t in data.tables("descriptions", split, ("text",))) for split in splits
    }


def _by_library(data: DataFolder) -> dict[str, dict[str, np.ndarray]]:
    columns = ("arch_id", "source", *_GRAPH_COLUMNS)
    rows = pa.concat_tables(t for s in data.splits["architectures"] for t in data.tables("architectures", s, columns))
    true = pa.concat_tables(
        t.filter(pc.equal(t["label"], 1))
        for s in data.splits["descriptions"] if s in PAPER_SPLITS
        for t in data.tables("descriptions", s, ("arch_id", "text", "label"))
    )  # fmt: skip
    graphs, texts = {}, {}
    for library in ("torchvision", "transformers"):
        inside = rows.filter(pc.equal(rows["source"], library))
        found = true.filter(pc.is_in(true["arch_id"], value_set=inside["arch_id"].combine_chunks()))
        if len(inside):
            graphs[library] = GraphFigures.of([inside])
        if len(found):
            texts[library] = TextFigures.of([found["text"]])
    return _panels(graphs, texts)


def _networks(data: DataFolder) -> dict[str, dict[str, dict[str, float]]]:
    """Panels of shares: kinds of input, and years."""
    kinds: dict[str, Counter[str]] = {}
    years: Counter[int] = Counter()
    for split in data.splits["architectures"]:
        kinds[split] = Counter()
        for table in data.tables("architectures", split, ("modality", "year")):
            kinds[split].update(map(modality_group, table["modality"].to_pylist()))
            years.update(table["year"].to_pylist())
    known = sum(count for year, count in years.items() if year)
    names = sorted({name for counter in kinds.values() for name in counter})
    share = {
        name: {split: 100 * counter[name] / max(1, counter.total()) for split, counter in kinds.items()}
        for name in names
    }
    last = max(years)
    by_year = {
        str(year): {"all": 100 * years[year] / max(1, known)} for year in range(min(FIRST_YEAR, last), last + 1)
    }
    return {"kind of input": share, f"year ({known:,} of {years.total():,} known)": by_year}


def _op_shares(graphs: Mapping[str, GraphFigures]) -> dict[str, dict[str, float]]:
    first = next(iter(graphs.values()))
    kept = [op for op, _ in first.op_types.most_common(MOST_OPS + 2) if op not in (INPUT_OP, OUTPUT_OP)]
    return {
        split: {op: 100 * one.op_types[op] / len(one.nodes) for op in kept if one.op_types[op]}
        for split, one in graphs.items()
    }


def small_graphs(data: DataFolder) -> dict[str, ArchitectureGraph]:
    """Titles and graphs of `train`: of each paradigm the largest network that can still be drawn."""
    found: dict[str, dict[str, Any]] = {}
    for table in data.tables("architectures", "train"):
        for row in table.to_pylist():
            nodes = len(row["op_types"])
            best = found.get(row["paradigm"])
            if 20 <= nodes <= MOST_NODES and (best is None or nodes > len(best["op_types"])):
                found[row["paradigm"]] = row
    rows = sorted(found.values(), key=lambda row: str(row["name"]))[:GRAPHS]
    return {f"{row['name']}\n{len(row['op_types'])} nodes": ArchitectureGraph.from_row(row) for row in rows}
