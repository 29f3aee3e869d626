"""
Draws texts and networks in the joint space (the paper's figures 5 and 7) and lists what the model says (its Table 4).

    python examples/show_embeddings.py --init_from hub/models/archbert-small \
        --picture hub/models/archbert-small/embeddings.png --results benchmarks/results/runs/qualitative.json

Left, all networks of the split, coloured by their paradigm; right, statements (stars), each joined with a network
of which it is true (dot) and one of which it is false (cross). Both are projected on the first two principal
components of the networks. The statements are drawn by chance, not chosen; a verdict is that of the reasoning head, or
of the calibrated cosine where a checkpoint has none.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from real_evaluation import RealTaskArguments, open_task
from real_networks import architecture_embeds, text_embeds

from evaluation import reasoning_scores, similarities
from training_loop import print_table, provenance

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#6a51a3")
LONGEST = 84
"""Characters of a statement beside its star."""


@dataclass
class EmbeddingArguments(RealTaskArguments):
    """Arguments of the picture."""

    output_dir: str = field(default="runs/embeddings", metadata={"help": "where arguments are written"})
    eval_splits: str = field(default="test", metadata={"help": "the split to draw"})
    statements: int = field(default=7, metadata={"help": "statements to draw and to list"})
    picture: str = field(default="runs/embeddings/embeddings.png", metadata={"help": "PNG to write"})
    results: str = field(default="runs/embeddings/qualitative.json", metadata={"help": "JSON to write"})


def main(arguments: EmbeddingArguments) -> dict[str, Any]:
    """Draw the picture; returns and stores the table."""
    task = open_task(arguments)
    split = task.splits[0]
    networks = task.networks(split)
    groups = drawn_groups(task.rows("descriptions", split), arguments.statements, arguments.seed)
    graphs = architecture_embeds(task.model, task.processor, networks).numpy()
    texts = text_embeds(task.model, task.processor, [pair[0]["text"] for pair in groups]).numpy()
    centre, axes = principal_axes(graphs)
    places, stars = (graphs - centre) @ axes.T, (texts - centre) @ axes.T
    pairs = [tuple(networks.index[row["arch_id"]] for row in pair) for pair in groups]
    draw(arguments.picture, places, [str(row["paradigm"]) for row in networks.rows], stars, pairs,
         [pair[0]["text"] for pair in groups])  # fmt: skip
    rows = [{**row, "graph": networks.index[row["arch_id"]]} for pair in groups for row in pair]
    given = (task.model, task.processor, networks.split.encodings, rows, task.accelerator)
    config = task.model.config
    head = config.use_reasoning_head and config.reasoning_threshold is not None
    scores = reasoning_scores(*given) if head else similarities(*given)
    limit = config.reasoning_threshold if head else config.similarity_threshold or 0.5
    names = {row["arch_id"]: row["name"] for row in networks.rows}
    table = {
        "title": "What the model says of networks of unseen clusters, drawn by chance",
        "data": f"TVHF, descriptions, {split}",
        "rows": [
            {"architecture": names[row["arch_id"]], "statement": row["text"],
             "truth": "right" if row["label"] else "wrong", "the model says": "right" if score > limit else "wrong",
             "": "" if (score > limit) == bool(row["label"]) else "*"}
            for row, score in zip(rows, scores, strict=True)
        ],
        "checkpoint": Path(str(arguments.init_from)).name,
        **provenance("show_embeddings.py", task.accelerator, arguments.seed),
    }  # fmt: skip
    Path(arguments.results).parent.mkdir(parents=True, exist_ok=True)
    Path(arguments.results).write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print_table(table)
    return table


def drawn_groups(rows: list[dict[str, Any]], count: int, seed: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Matched groups of statements about structure or size, (right row, wrong row), drawn by chance."""
    groups: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        if row["kind"] in ("structure", "size"):
            groups.setdefault(row["group"], {})[row["label"]] = row
    whole = [group for _, group in sorted(groups.items()) if len(group) == 2]
    order = np.random.default_rng(seed).permutation(len(whole))
    return [(whole[i][1], whole[i][0]) for i in order[:count].tolist()]


def principal_axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and first two principal axes (2, d) of points (n, d)."""
    centre = points.mean(axis=0)
    return centre, np.linalg.svd(points - centre, full_matrices=False)[2][:2]


def draw(
    path: str, places: np.ndarray, paradigms: list[str], stars: np.ndarray, pairs: list[tuple[int, ...]],
    statements: list[str],
) -> None:  # fmt: skip
    """Write the picture as PNG; `places (n, 2)` and `stars (m, 2)` are projections."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 5.4), constrained_layout=True)
    shown = sorted(set(paradigms), key=lambda name: -paradigms.count(name))[: len(COLOURS) - 1]
    for name, colour in zip([*shown, "other"], COLOURS, strict=False):
        chosen = [i for i, one in enumerate(paradigms) if one == name or (name == "other" and one not in shown)]
        left.scatter(*places[chosen].T, s=14, color=colour, label=name, alpha=0.8, linewidths=0)
    left.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=2)
    left.set_title("networks of unseen clusters, by paradigm", fontsize=9)
    right.scatter(*places.T, s=6, color="#dddddd", linewidths=0)
    for (yes, no), star, text, colour in zip(pairs, stars, statements, COLOURS, strict=False):
        for end, marker, style in ((yes, "o", "-"), (no, "x", ":")):
            right.plot(*np.stack([star, places[end]]).T, style, color=colour, linewidth=0.9)
            right.scatter(*places[end], s=34, color=colour, marker=marker, zorder=3)
        label = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
        right.scatter(
            *star, s=120, color=colour, marker="*", label=label, zorder=4, edgecolors="white", linewidths=0.5
        )
    right.legend(fontsize=6.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.06))
    right.set_title("a statement (star), a network it is true of (dot), and one it is not (cross)", fontsize=9)
    for axes in (left, right):
        axes.set_xticks([])
        axes.set_yticks([])
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")
    main(HfArgumentParser(EmbeddingArguments).parse_args_into_dataclasses()[0])
