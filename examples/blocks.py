"""AutoNet in memory, and training blocks made of it.

A block joins every text of a step with every architecture of the step. The truth of all these pairs comes from the
facts of the graphs, so one text gives a label for each graph, and each graph and each text is encoded once: per step
G graphs x Q questions, and G graphs x U descriptions.
"""

from __future__ import annotations

import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from dataset_scripts.autonet.claims_autonet import CLAIM_TYPES
from dataset_scripts.autonet.layer_phrases_autonet import layer_category
from dataset_scripts.autonet.questions_autonet import all_intents, truth_table
from modeling_archbert.reasoning_archbert import NUM_CLAIMS, NUM_SLOTS
from processing_archbert import ANSWERS, ArchitectureGraph, GraphFacts
from processing_archbert.questions_archbert import LAYER_NAMES, SEPARABLE_CONVOLUTION

logger = logging.getLogger(__name__)

HUB_DATASET = "archbert/autonet"
IGNORED = -100
ONE_SIDED_SHARE = 0.125
"""Part of the descriptions of a block that may be true (or false) of every graph of it."""
MATCHED_SHARE = 0.8
"""Part of the blocks with matched descriptions only: short ones, whose words alone say nothing."""
BLOCKS_SORTED_TOGETHER = 12
"""So many blocks are drawn at a time and share their graphs by size."""

INTENTS: dict[tuple[str, str], int] = {intent: index for index, intent in enumerate(all_intents())}
ANSWER_IDS: dict[str, int] = {answer: index for index, answer in enumerate(ANSWERS)}


@dataclass
class Split:
    """One split of AutoNet: graphs, their facts and tokens, and the rows that speak of them.

    Attributes:
        facts: `GraphFacts` of each graph (which is its `graph`).
        encodings: graph tokens, made once (`encode`).
        questions: per graph its rows of the config `aqa`.
        descriptions: per graph its rows of the config `descriptions`.
    """

    facts: list[GraphFacts]
    questions: list[list[dict[str, Any]]] = field(default_factory=list)
    descriptions: list[list[dict[str, Any]]] = field(default_factory=list)
    encodings: list[Any] = field(default_factory=list)

    @classmethod
    def of_graphs(cls, graphs: list[ArchitectureGraph]) -> Split:
        """Graphs without rows."""
        return cls([GraphFacts(graph) for graph in graphs])

    def __len__(self) -> int:
        return len(self.facts)

    def encode(self, processor: Any, fold: bool = True) -> Split:
        """Make the graph tokens; returns itself."""
        encode = processor.feature_extractor.encode
        self.encodings = [encode(f.graph, fold=fold) for f in tqdm(self.facts, desc="graph tokens", leave=False)]
        return self

    def part(self, start: int, stop: int | None = None) -> Split:
        """The graphs from `start` to `stop` with their rows."""
        rows = slice(start, stop)
        return Split(self.facts[rows], self.questions[rows], self.descriptions[rows], self.encodings[rows])

    def question_rows(self) -> list[dict[str, Any]]:
        """All questions, each with `graph`, the index of its graph."""
        return [{**row, "graph": index} for index, rows in enumerate(self.questions) for row in rows]

    def description_rows(self) -> list[dict[str, Any]]:
        """All descriptions, each with `graph`, the index of its graph."""
        return [{**row, "graph": index} for index, rows in enumerate(self.descriptions) for row in rows]

    def texts(self) -> Iterator[str]:
        """Every question and description, repeated as in the rows."""
        for rows, column in ((self.questions, "question"), (self.descriptions, "text")):
            for of_graph in rows:
                yield from (row[column] for row in of_graph)


def load_split(source: str, split: str, limit: int | None = None) -> Split:
    """Read a split of AutoNet from a folder or from the Hub.

    Args:
        source: a folder with the Parquet files, or a Hub id.
        split: "train" or "validation".
        limit: read so many architectures.

    Raises:
        ValueError: there is no architecture in it.
    """
    architectures = load_rows(source, "architectures", split)
    if limit is not None:
        architectures = architectures.select(range(min(limit, len(architectures))))
    if not len(architectures):
        raise ValueError(f"the split {split} of {source} has no architecture")
    graphs = {row["arch_id"]: ArchitectureGraph.from_row(row) for row in tqdm(architectures, desc=split, leave=False)}
    columns = []
    for config in ("aqa", "descriptions"):
        rows = defaultdict(list)
        for row in load_rows(source, config, split).to_list():
            if row["arch_id"] in graphs:
                rows[row["arch_id"]].append(row)
        columns.append([rows[arch_id] for arch_id in graphs])
    return Split([GraphFacts(graph) for graph in graphs.values()], *columns)


def load_rows(source: str, config: str, split: str) -> Any:
    """One split of one config, as a `datasets.Dataset`.

    The files of a folder are named one by one: of a folder, `datasets` caches what it once read under its name, and
    gives that also after the folder has been made anew.
    """
    from datasets import load_dataset

    if not Path(source).is_dir():
        return load_dataset(source, config, split=split)
    files = sorted(str(path.resolve()) for path in Path(source, config).glob(f"{split}-*.parquet"))
    if not files:
        raise FileNotFoundError(
            f"{source} has no file {config}/{split}-*.parquet; make it anew or name another folder"
        )
    return load_dataset("parquet", data_files={split: files}, split=split)


def find_data(data: str | None, cache_dir: str, seed: int) -> str:
    """Where AutoNet is: what was asked for, else the Hub's, else one of 1,000 + 100 networks made now and kept."""
    if data is not None:
        return data
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(HUB_DATASET, timeout=5)
        return HUB_DATASET
    except Exception as error:  # offline, no such repository, no access: each means the same here
        logger.info("no %s on the Hub (%s); a small one is generated", HUB_DATASET, type(error).__name__)
    from dataset_scripts.autonet.generate_autonet import generate

    folder = Path(cache_dir).expanduser() / f"autonet-1000-{seed}"
    if not (folder / "README.md").exists():
        generate(1000, 100, seed, folder, num_proc=min(os.cpu_count() or 1, 8))
    return str(folder)


class Statement(NamedTuple):
    """What a description says.

    Attributes:
        claims: the claims that it makes.
        pairs: (position of a graph in the block, label, weight).
    """

    claims: list[dict[str, Any]]
    pairs: list[tuple[int, float, float]]


class Blocks:
    """Makes blocks: each is a pure function of its number and the seed.

    Args:
        split: encoded training architectures.
        processor: the processor of the model.
        graphs: G, architectures per block.
        questions: Q, questions per block.
        descriptions: U, descriptions per block.
        seed: of the order of graphs and of what is drawn.
        op_replacement: part of the op types that are given by the pieces of their names.
    """

    def __init__(
        self,
        split: Split,
        processor: Any,
        *,
        graphs: int,
        questions: int = 0,
        descriptions: int = 0,
        seed: int = 0,
        op_replacement: float = 0.0,
    ) -> None:
        if not questions and not descriptions:
            raise ValueError("a block has neither questions nor descriptions; ask for at least one of them")
        self.split, self.processor = split, processor
        self.graphs, self.questions, self.descriptions = min(graphs, len(split)), questions, descriptions
        self.seed, self.op_replacement = seed, op_replacement
        self.truth = answer_table(split.facts) if questions else None
        self._order = lru_cache(2)(self._shuffled)
        self._claims = lru_cache(1 << 16)(json.loads)

    def __call__(self, block: int) -> dict[str, torch.Tensor]:
        """The block of this number: keyword arguments of `ArchBertForPreTraining`."""
        rng = np.random.default_rng([self.seed, block, 1])
        chosen = self.chosen_graphs(block)
        pairs = self._question_pairs(rng, chosen)
        statements = self._description_pairs(rng, chosen)
        texts = [*pairs, *statements]
        batch = self.processor.collate(
            texts,
            [self.split.encodings[index] for index in chosen],
            op_replacement=self.op_replacement,
            generator=torch.Generator().manual_seed(int(rng.integers(2**62))),
        )
        return dict(batch) | self._labels(chosen, pairs, statements) | self._readings(pairs, statements)

    def _shuffled(self, epoch: int) -> np.ndarray:
        """Graphs of the blocks of an epoch, (blocks, G): random, but of like size, so that little is padding."""
        rng = np.random.default_rng([self.seed, epoch, 0])
        tokens = np.array([encoding.num_tokens for encoding in self.split.encodings])
        order = rng.permutation(len(self.split))
        chunks = np.array_split(order, max(1, len(order) // (self.graphs * BLOCKS_SORTED_TOGETHER)))
        order = np.concatenate([chunk[np.argsort(tokens[chunk], kind="stable")] for chunk in chunks])
        blocks = order[: len(order) // self.graphs * self.graphs].reshape(-1, self.graphs)
        return rng.permutation(blocks)

    def chosen_graphs(self, block: int) -> list[int]:
        """Graphs of a block, in a new order each epoch; the rest that fills no block is left out of it."""
        epoch, place = divmod(block, len(self.split) // self.graphs)
        return self._order(epoch)[place].tolist()

    def _question_pairs(self, rng: np.random.Generator, chosen: list[int]) -> dict[str, int]:
        """Distinct questions that were asked of these graphs -> intent."""
        rows = [row for index in chosen for row in self.split.questions[index]] if self.questions else []
        order = rng.permutation(len(rows))
        drawn: dict[str, int] = {}
        for i in order.tolist():
            if len(drawn) == self.questions:
                break
            drawn[rows[i]["question"]] = INTENTS[rows[i]["question_type"], rows[i]["subject"]]
        return drawn

    def _description_pairs(self, rng: np.random.Generator, chosen: list[int]) -> dict[str, Statement]:
        """Distinct descriptions and what they say; in their pairs, true and false weigh the same.

        A statement that is true, or false, of every graph of the block would be learned from the text alone: only
        few of them, with one pair each, are kept (the paper's kind of negatives is among them).
        """
        rows = self._statements_of_like_length(rng, chosen) if self.descriptions else []
        one_sided_left = int(self.descriptions * ONE_SIDED_SHARE)
        drawn: dict[str, Statement] = {}
        for row in rows:
            if len(drawn) == self.descriptions:
                break
            text, claims = row["text"], self._claims(row["claims"])
            if text in drawn:
                continue
            truths = [self.split.facts[index].all_hold(claims) for index in chosen]
            right, wrong = ([p for p, value in enumerate(truths) if value is side] for side in (True, False))
            if right and wrong:
                half = (len(right) + len(wrong)) / 2
                sides = ((1.0, right), (0.0, wrong))
                drawn[text] = Statement(claims, [(p, label, half / len(side)) for label, side in sides for p in side])
            elif one_sided_left and (right or wrong):
                one_sided_left -= 1
                drawn[text] = Statement(claims, [(int(rng.choice(right or wrong)), float(bool(right)), 1.0)])
        return drawn

    def _statements_of_like_length(self, rng: np.random.Generator, chosen: list[int]) -> list[dict[str, Any]]:
        """Descriptions of these graphs in random order, from a random stretch of them sorted by length.

        Short ones are drawn more often: they claim one thing, and a step can hold many of them.
        """
        rows = [row for index in chosen for row in self.split.descriptions[index]]
        if rng.random() < MATCHED_SHARE:
            rows = [row for row in rows if row["group"]] or rows
        drawn = [rows[i] for i in rng.permutation(len(rows))[: 12 * self.descriptions].tolist()]
        drawn.sort(key=lambda row: len(row["text"]))
        width = min(len(drawn), 3 * self.descriptions)
        start = int(rng.random() ** 2 * (len(drawn) - width + 1))
        return [drawn[start + i] for i in rng.permutation(width).tolist()]

    def _labels(
        self, chosen: list[int], pairs: dict[str, int], statements: dict[str, Statement]
    ) -> dict[str, torch.Tensor]:
        graphs, asked, stated = len(chosen), len(pairs), sum(len(statement.pairs) for statement in statements.values())
        text_index = torch.arange(asked).repeat_interleave(graphs)
        architecture_index = torch.arange(graphs).repeat(asked)
        result = {}
        if asked:
            assert self.truth is not None
            labels = self.truth[torch.tensor(chosen)[:, None], torch.tensor(list(pairs.values()))]
            labels = labels.transpose(0, 1).flatten(0, 1).float()
            result["labels"] = torch.cat([labels, labels.new_full((stated, labels.shape[1]), IGNORED)])
        if statements:
            positions = [
                (asked + text, *pair) for text, statement in enumerate(statements.values()) for pair in statement.pairs
            ]
            texts, rows, truths, weights = (torch.tensor(column) for column in zip(*positions, strict=True))
            text_index, architecture_index = torch.cat([text_index, texts]), torch.cat([architecture_index, rows])
            result["similarity_labels"] = torch.cat([torch.full((asked * graphs,), torch.nan), truths.float()])
            result["similarity_weights"] = torch.cat([torch.zeros(asked * graphs), weights.float()])
        return result | {"text_index": text_index, "architecture_index": architecture_index}

    def _readings(self, pairs: dict[str, int], statements: dict[str, Statement]) -> dict[str, torch.Tensor]:
        """`slot_labels`, `claim_labels` and `value_labels` of questions (of which nothing is known) and statements."""
        if not statements:
            return {}
        num_texts = len(pairs) + len(statements)
        slots = torch.full((num_texts, NUM_SLOTS, len(ANSWERS)), float(IGNORED))
        types = torch.full((num_texts, NUM_CLAIMS), IGNORED)
        values = torch.full((num_texts, NUM_CLAIMS), float(IGNORED))
        for row, statement in enumerate(statements.values(), start=len(pairs)):
            types[row] = 0
            for claim, known in enumerate(statement.claims[:NUM_CLAIMS]):
                types[row, claim] = 1 + CLAIM_TYPES.index(known["type"])
                values[row, claim] = known.get("value", IGNORED)
            for slot, answers in enumerate(slots_of(statement.claims)):
                if answers:
                    slots[row, slot] = 0.0
                    slots[row, slot, answers] = 1.0
        return {"slot_labels": slots, "claim_labels": types, "value_labels": values}


def slots_of(claims: list[dict[str, Any]]) -> list[list[int]]:
    """What subject and object of each claim are about: ids of answers, none where that is not known.

    The kernel of a separable convolution is not known: it stands at another node than the layer.
    """
    slots: list[list[int]] = []
    for claim in claims[:NUM_CLAIMS]:
        subject = [claim["layer"]] if claim.get("layer") else []
        if "category" in claim:
            subject = [layer for layer in LAYER_NAMES if layer_category(layer) == claim["category"]]
        if "size" in claim:
            known = claim["size"] in ANSWER_IDS and claim["layer"] != SEPARABLE_CONVOLUTION
            subject = [*subject, claim["size"]] if known else []
        objects = [claim[key] for key in ("than", "after") if key in claim]
        slots += [[ANSWER_IDS[answer] for answer in answers] for answers in (subject, objects)]
    return slots


def answer_table(facts: list[GraphFacts]) -> torch.Tensor:
    """True answers of every graph to every intent: bool (graphs, intents, answers).

    A true answer outside the list of answers (a kernel of three dimensions, say) cannot be learned and is left out.
    """
    table = torch.zeros(len(facts), len(INTENTS), len(ANSWERS), dtype=torch.bool)
    for graph, of_graph in enumerate(tqdm(facts, desc="facts", leave=False)):
        for intent, answers in enumerate(truth_table(of_graph)):
            table[graph, intent, [ANSWER_IDS[answer] for answer in answers if answer in ANSWER_IDS]] = True
    return table
