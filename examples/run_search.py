"""
Evaluates architecture search (AS) on real networks of unseen clusters: which networks are as the query says?

    accelerate launch examples/run_search.py --init_from hub/models/archbert-mini --output_dir runs/search
    accelerate launch examples/run_search.py --init_from runs/multitask --eval_splits test --output_dir runs/search
    accelerate launch examples/run_search.py --init_from runs/multitask --max_steps 500 --output_dir runs/search-tuned

Networks are ranked by the cosine of their embedding with that of the query, those of the query's split or all of them.
Where the checkpoint has a reasoning head, it then judges the first `--judged` of them, and orders these anew. The last
row puts what the graphs show before this: networks of which a query is right come first, of which it is wrong last.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from real_evaluation import RealTask, RealTaskArguments, close_task, open_task, table_of
from real_networks import architecture_embeds, text_embeds

from archbert.verification import DECIDED
from dataset_scripts.tvhf.metrics_tvhf import Ranker, search_metrics
from evaluation import reasoning_scores

COLUMNS = ("nDCG@10", "MAP", "R-precision")
COSINE, JUDGED, FACTS = "ArchBERT, cosine", "ArchBERT, cosine, the first judged", "ArchBERT, with computed facts"
NETWORK_SPLITS = ("train", "validation", "test", "test_new")


@dataclass
class SearchArguments(RealTaskArguments):
    """Arguments of search."""

    output_dir: str = field(default="runs/search", metadata={"help": "where everything is written"})
    judged: int = field(
        default=40, metadata={"help": "networks of each query that the reasoning head orders; 0: none"}
    )


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

    def judged(self, rows: Sequence[Mapping[str, Any]], count: int) -> np.ndarray:
        """Scores as of `cosines`; the first `count` of what each query ranks come first, by both heads."""
        task, scores = self.task, self.cosines(rows)
        asked = []
        for number, row in enumerate(rows):
            ranked = np.array([row["pool"] == "all" or self.splits[name] == row["split"] for name in self.names])
            first = np.argsort(-np.where(ranked, scores[number], -np.inf))[:count]
            asked += [{"text": row["query"], "graph": place, "query": number} for place in first.tolist()]
        encodings = [e for networks in self.networks.values() for e in networks.split.encodings]
        logits = reasoning_scores(task.model, task.processor, encodings, asked, task.accelerator)
        config, found = task.model.config, scores - 1000.0
        scale, bias = config.similarity_scale or 1.0, config.similarity_bias or 0.0
        for row, logit in zip(asked, logits, strict=True):
            place = row["query"], row["graph"]
            found[place] = logit + scores[place] * scale + bias
        return found

    def with_facts(self, rows: Sequence[Mapping[str, Any]], count: int) -> np.ndarray:
        """Scores as of `judged`; what the graphs show of a query outranks them.

        The networks that it is right about come first, then those that a part of it is right about, and those that it
        is wrong about last.
        """
        texts = list(dict.fromkeys(row["query"] for row in rows))
        found = []
        for networks in self.networks.values():
            asked = [{"arch_id": name, "text": text} for text in texts for name in networks.index]
            found.append(self.task.evidence(networks, asked).reshape(len(texts), -1))
        evidence = np.hstack(found)[[texts.index(row["query"]) for row in rows]]
        scores = self.judged(rows, count) if count else self.cosines(rows)
        return scores + DECIDED * (np.sign(evidence) + (evidence >= DECIDED))


def main(arguments: SearchArguments) -> list[dict[str, Any]]:
    """Fine-tune if asked to, evaluate and save; returns a table for each split, kind of query and pool."""
    task = open_task(arguments, mam_loss_weight=0.0, reasoning_loss_weight=0.0, contrastive_loss_weight=1.0)
    ranking = Ranking(task)
    tables = []
    for split in task.splits:
        rows = task.rows("search", split)
        ways: dict[str, Ranker] = {COSINE: ranking.cosines}
        if task.model.config.use_reasoning_head and arguments.judged:
            ways[JUDGED] = partial(ranking.judged, count=arguments.judged)
        ways[FACTS] = partial(ranking.with_facts, count=arguments.judged)
        found = {
            name: search_metrics(way, rows, ranking.names, ranking.splits, task.clusters) for name, way in ways.items()
        }
        for part in found[COSINE]:
            tables.append(table_of(
                task, "run_search.py", f"AS on real networks, {split}, {part}", "search", split, part,
                {name: parts[part] for name, parts in found.items()}, COLUMNS,
            ))  # fmt: skip
    return close_task(task, tables)


if __name__ == "__main__":
    main(HfArgumentParser(SearchArguments).parse_args_into_dataclasses()[0])
