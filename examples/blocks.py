"""Training blocks made of AutoNet.

A block joins every text of a step with every architecture of the step. The truth of all these pairs comes from the
facts of the graphs, so one text gives a label for each graph, and each graph and each text is encoded once: per step
G graphs x Q questions, and G graphs x U descriptions.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch

from dataset_scripts.autonet.claims_autonet import CLAIM_TYPES
from dataset_scripts.autonet.layer_phrases_autonet import layer_category
from modeling_archbert.reasoning_archbert import NUM_CLAIMS, NUM_SLOTS
from processing_archbert import ANSWERS
from processing_archbert.questions_archbert import LAYER_NAMES, SEPARABLE_CONVOLUTION
from reading import ANSWER_IDS, INTENTS, Split, find_data, load_rows, load_split

__all__ = ["ANSWER_IDS", "INTENTS", "Blocks", "Split", "Statement", "find_data", "load_rows", "load_split", "slots_of"]

IGNORED = -100
ONE_SIDED_SHARE = 0.125
"""Part of the descriptions of a block that may be true (or false) of every graph of it."""
MATCHED_SHARE = 0.8
"""Part of the blocks with matched descriptions only: short ones, whose words alone say nothing."""
BLOCKS_SORTED_TOGETHER = 12
"""So many blocks are drawn at a time and share their graphs by size."""


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
        longest: descriptions with more characters are left out; None takes all.
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
        longest: int | None = None,
    ) -> None:
        if not questions and not descriptions:
            raise ValueError("a block has neither questions nor descriptions; ask for at least one of them")
        self.split, self.processor = split, processor
        self.graphs, self.questions, self.descriptions = min(graphs, len(split)), questions, descriptions
        self.seed, self.op_replacement, self.longest = seed, op_replacement, longest
        self.truth = split.answers() if questions else None
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
        tokens = self.split.token_counts()
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
        rows = self.split.questions.of(chosen) if self.questions and self.split.questions is not None else []
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
        rows = self.split.descriptions.of(chosen) if self.split.descriptions is not None else []
        if self.longest is not None:
            rows = [row for row in rows if len(row["text"]) <= self.longest]
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
            labels = torch.from_numpy(self.truth[np.array(chosen)[:, None], list(pairs.values())])
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
