"""
Evaluates architecture search (AS) on real networks of unseen clusters: which networks are as the query says?

    accelerate launch examples/run_search.py --init_from hub/models/archbert-mini --output_dir runs/search
    accelerate launch examples/run_search.py --init_from runs/multitask --eval_splits test --output_dir runs/search
    accelerate launch examples/run_search.py --init_from runs/multitask --max_steps 500 --output_dir runs/search-tuned

Networks are ranked by the cosine of their embedding with that of the query, those of the query's split or all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from real_evaluation import RealTask, RealTaskArguments, close_task, open_task, table_of
from real_networks import architecture_embeds, text_embeds

from dataset_scripts.tvhf.metrics_tvhf import search_metrics

COLUMNS = ("nDCG@10", "MAP", "R-precision")
COSINE = "ArchBERT, cosine"
NETWORK_SPLITS = ("train", "validation", "test", "test_new")


@dataclass
class SearchArguments(RealTaskArguments):
    """Arguments of search."""

    output_dir: str = field(default="runs/search", metadata={"help": "where everything is written"})


class Ranking:
    """Scores of all networks for queries.

    Args:
        task: the model and its data.
    """

    def __init__(self, task: RealTask) -> None:
        self.task = task
        present = [
            name
            for name in NETWORK_SPLITS
            if list(Path(task.arguments.real_data, "architectures").glob(f"{name}-[0-9]*"))
        ]
        self.networks = {name: task.networks(name) for name in present}

    @cached_property
    def names(self) -> list[str]:
        """`arch_id` of all networks."""
        return [name for networks in self.networks.values() for name in networks.index]

    @cached_property
    def splits(self) -> dict[str, str]:
        """`arch_id` -> split."""
        return {name: split for split, networks in self.networks.items() for name in networks.index}

    @cached_property
    def embeds(self) -> torch.Tensor:
        """J_g of all networks, (n, d), of length 1."""
        model, processor = self.task.model, self.task.processor
        return torch.cat([architecture_embeds(model, processor, networks) for networks in self.networks.values()])

    def cosines(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Scores of all networks for each query, float (queries, n)."""
        queries = text_embeds(self.task.model, self.task.processor, [row["query"] for row in rows])
        return np.asarray((queries @ self.embeds.T).double().numpy())


def main(arguments: SearchArguments) -> list[dict[str, Any]]:
    """Fine-tune if asked to, evaluate and save; returns a table for each split, kind of query and pool."""
    task = open_task(arguments, mam_loss_weight=0.0, reasoning_loss_weight=0.0, contrastive_loss_weight=1.0)
    ranking = Ranking(task)
    tables = []
    for split in task.splits:
        rows = task.rows("search", split)
        found = search_metrics(ranking.cosines, rows, ranking.names, ranking.splits, task.clusters)
        for part, figures in found.items():
            tables.append(table_of(
                task, "run_search.py", f"AS on real networks, {split}, {part}", "search", split, part,
                {COSINE: figures}, COLUMNS,
            ))  # fmt: skip
    return close_task(task, tables)


if __name__ == "__main__":
    main(HfArgumentParser(SearchArguments).parse_args_into_dataclasses()[0])
