"""Blocks of several tasks, mixed by step: which task a block is of, and the blocks of real networks.

A block is a pure function of (seed, number), whichever task it is of, so a run of several tasks resumes as one of a
single task does. One encoding of a graph serves all labels of its block, and a text is encoded once for all graphs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from captions import LENGTH_SHARES, caption_batch
from real_claims import CLAIM_KINDS, Claim
from real_networks import ALIKE, UNALIKE, Group, RealNetworks
from real_statements import MadeStatement, join_facts

from blocks import ANSWER_IDS, IGNORED
from dataset_scripts.autonet.claims_autonet import CLAIM_TYPES
from modeling_archbert.reasoning_archbert import NUM_CLAIMS, NUM_SLOTS
from processing_archbert import ANSWERS
from reading import INTENTS, TextRows

BlockMaker = Callable[[int], dict[str, torch.Tensor]]
REAL_CLAIM_TYPES: tuple[str, ...] = (*CLAIM_TYPES, *CLAIM_KINDS)
"""`claim_types` of a model that learns statements of AutoNet and of real networks."""
MOST_FACTS = 3
"""Facts that a made statement joins."""
SIZES: tuple[tuple[int | None, float, float], ...] = ((80, 0.7, 1.0), (160, 0.2, 0.6), (None, 0.1, 0.34))
"""Most tokens of the graphs of a block of real networks, how often, and which part of the usual number it has: a few
graphs have five times as many tokens as most, and all of a block are padded to the longest."""
CAPTION_WINDOW = 3
"""The networks of a block of captions are drawn from so many times their number, of like size."""
_DRAWS = 6
"""So many times the wanted number of statements is drawn, since some are of one side in a block."""


class Mixture:
    """Chooses the task of each block by chance, and counts blocks of each task for themselves.

    Args:
        makers: task -> what makes its blocks.
        weights: task -> how often it is drawn; tasks of weight 0 are left out.
        seed: of the draws.

    Raises:
        ValueError: a weight is negative or of an unknown task, or none is positive.
    """

    def __init__(self, makers: Mapping[str, BlockMaker], weights: Mapping[str, float], seed: int = 0) -> None:
        unknown = sorted(set(weights) - set(makers))
        if unknown:
            raise ValueError(f"there is no task {unknown[0]!r}; there are {', '.join(makers)}")
        self.names = [name for name in makers if weights.get(name, 0.0) != 0]
        shares = np.array([weights[name] for name in self.names], dtype=np.float64)
        if not len(shares) or (shares < 0).any():
            raise ValueError(
                f"the weights {dict(weights)} need a positive number for one task or more, and none below 0"
            )
        self.makers, self.shares, self.seed = dict(makers), shares / shares.sum(), seed

    def task(self, block: int) -> str:
        """The task of a block."""
        draw = np.random.default_rng([self.seed, block, 2]).random()
        return self.names[min(int(np.searchsorted(self.shares.cumsum(), draw, side="right")), len(self.names) - 1)]

    def __call__(self, block: int) -> dict[str, torch.Tensor]:
        """The block of this number."""
        return self.makers[self.task(block)](block)


class RealBlocks:
    """Blocks of real networks: statements, questions and clones, all about the same architectures.

    The architectures of a block come in families, so that what is said of one is often false of a similar one, and
    each has others that are alike and others that are not.

    Args:
        networks: the training split of TVHF, encoded.
        processor: the processor of the model.
        graphs: architectures per block.
        statements: statements per block.
        questions: questions per block.
        made: share of the statements that are made of facts; the others are sentences and queries of the data.
        siblings: architectures of one family that are drawn together.
        matched: part of the blocks of which half the architectures are those of matched groups of `descriptions`,
            with the statements of these groups among those of the block.
        paired: part of the blocks whose architectures are those of labelled pairs of `clones`: each with one that is
            alike and one that is not. Two of one family are often alike, and hard pairs that are not are rarely
            drawn otherwise.
        seed: of what is drawn.
        op_replacement: part of the op types that are given by the pieces of their names.
    """

    def __init__(
        self,
        networks: RealNetworks,
        processor: Any,
        *,
        graphs: int,
        statements: int,
        questions: int = 0,
        made: float = 0.5,
        siblings: int = 3,
        matched: float = 0.6,
        paired: float = 0.0,
        seed: int = 0,
        op_replacement: float = 0.0,
    ) -> None:
        self.networks, self.processor = networks, processor
        self.graphs, self.statements, self.questions = min(graphs, len(networks.rows)), statements, questions
        self.made, self.siblings, self.matched, self.paired = made, siblings, matched, paired
        self.seed, self.op_replacement = seed, op_replacement
        self.clones = networks.clone_labels()
        self.truth = networks.split.answers() if questions else None
        self._said = np.stack([said.cells for said in networks.said])
        self._facts = np.stack([fact.cells for fact in networks.facts])
        self._families = list(networks.families.values())
        self._partners = _partners(networks) if paired else {}
        self._tokens = networks.split.token_counts()

    def __call__(self, block: int) -> dict[str, torch.Tensor]:
        """The block of this number: keyword arguments of `ArchBertForPreTraining`."""
        rng = np.random.default_rng([self.seed, block, 3])
        chosen, first = self.chosen_graphs(rng)
        asked = self._asked(rng, chosen)
        stated = self._stated(rng, chosen, first)
        texts = [*asked, *stated]
        batch = self.processor.collate(
            texts,
            [self.networks.split.encodings[int(index)] for index in chosen],
            op_replacement=self.op_replacement,
            generator=torch.Generator().manual_seed(int(rng.integers(2**62))),
        )
        labels = self._pair_labels(chosen, list(asked.values()), [cells for cells, _ in stated.values()])
        facts = [known for _, known in stated.values()]
        clones = torch.from_numpy(self.clones[np.ix_(chosen, chosen)])
        return dict(batch) | labels | _readings(len(asked), facts) | {"clone_labels": clones}

    def chosen_graphs(self, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
        """Distinct architectures of like size, some of each drawn family; and the statements of matched groups."""
        limit, _, share = SIZES[int(rng.choice(len(SIZES), p=[size[1] for size in SIZES]))]
        count = max(2, round(self.graphs * share))
        small = np.flatnonzero(self._tokens <= (limit or self._tokens.max()))
        fitting = set(small.tolist()) if len(small) >= count else set(range(len(self._tokens)))
        if self.paired and rng.random() < self.paired:
            return np.array(self._paired(rng, fitting, count), dtype=np.int64), []
        groups = self._matched_groups(rng, fitting, count // 2) if rng.random() < self.matched else []
        chosen = list(dict.fromkeys(side for group in groups for side in (group.right, group.wrong)))
        for family in rng.permutation(len(self._families)).tolist():
            members = [member for member in self._families[family] if member in fitting]
            chosen += [index for index in rng.permutation(members)[: self.siblings].tolist() if index not in chosen]
            if len(chosen) >= count:
                break
        rest = [index for index in rng.permutation(sorted(fitting)).tolist() if index not in set(chosen)]
        return np.array([*chosen, *rest][:count], dtype=np.int64), [group.said for group in groups]

    def _paired(self, rng: np.random.Generator, fitting: set[int], count: int) -> list[int]:
        """Architectures that fit, each drawn one with a labelled partner of either side."""
        chosen: dict[int, None] = {}
        for anchor in rng.permutation(sorted(fitting & self._partners.keys())).tolist():
            sides = [[partner for partner in side if partner in fitting] for side in self._partners[anchor]]
            if all(sides):
                chosen |= dict.fromkeys([anchor, *(int(rng.choice(side)) for side in sides)])
            if len(chosen) >= count:
                break
        rest = [index for index in rng.permutation(sorted(fitting)).tolist() if index not in chosen]
        return [*chosen, *rest][:count]

    def _matched_groups(self, rng: np.random.Generator, fitting: set[int], count: int) -> list[Group]:
        """Groups of architectures that fit, of about `count` architectures."""
        drawn: list[Group] = []
        for place in rng.permutation(len(self.networks.groups)).tolist():
            group = self.networks.groups[place]
            if group.right in fitting and group.wrong in fitting:
                drawn.append(group)
            if 2 * len(drawn) >= count:
                break
        return drawn

    def _asked(self, rng: np.random.Generator, chosen: np.ndarray) -> dict[str, int]:
        """Distinct questions that were asked of these graphs -> intent."""
        rows = self.networks.split.questions.of(chosen.tolist()) if self.questions else []  # type: ignore[union-attr]
        drawn: dict[str, int] = {}
        for i in rng.permutation(len(rows)).tolist():
            if len(drawn) == self.questions:
                break
            drawn[rows[i]["question"]] = INTENTS[rows[i]["question_type"], rows[i]["subject"]]
        return drawn

    def _stated(
        self, rng: np.random.Generator, chosen: np.ndarray, first: Sequence[int]
    ) -> dict[str, tuple[np.ndarray, tuple[Claim, ...]]]:
        """Texts -> what they are of these graphs (int8), and their claims where known; none is one-sided."""
        found: dict[str, tuple[np.ndarray, tuple[Claim, ...]]] = {}
        for number in first:
            said = self.networks.said[number]
            found[said.text] = (said.cells[chosen], said.claims)
        for _ in range(_DRAWS * self.statements):
            if len(found) == self.statements:
                break
            anchor = int(rng.choice(chosen))
            if rng.random() < self.made:
                text, facts, cells = self._made(rng, anchor)
                claims = tuple(fact.claim for fact in facts)
            else:
                true = np.flatnonzero(self._said[:, anchor] == 1)
                if not len(true):
                    continue
                said = self.networks.said[int(rng.choice(true))]
                text, cells, claims = said.text, said.cells, said.claims
            here = cells[chosen]
            if text not in found and (here == 1).any() and (here == 0).any():
                found[text] = (here, claims)
        return found

    def _made(self, rng: np.random.Generator, anchor: int) -> MadeStatement:
        """A statement that is true of the anchor, of facts of different topics."""
        facts = self.networks.facts
        true = rng.permutation(np.flatnonzero(self._facts[:, anchor] == 1))
        chosen: dict[str, Any] = {}
        for index in true[: int(rng.integers(1, MOST_FACTS + 1))].tolist():
            chosen.setdefault(facts[index].topic, facts[index])
        return join_facts(rng, list(chosen.values()))

    def _pair_labels(self, chosen: np.ndarray, intents: list[int], cells: list[np.ndarray]) -> dict[str, torch.Tensor]:
        """Labels of all pairs of a text and a graph; in the pairs of a statement, true and false weigh the same."""
        graphs, asked, stated = len(chosen), len(intents), len(cells)
        result = {
            "text_index": torch.arange(asked + stated).repeat_interleave(graphs),
            "architecture_index": torch.arange(graphs).repeat(asked + stated),
        }
        if asked:
            assert self.truth is not None
            known = torch.from_numpy(self.truth[chosen[:, None], intents]).transpose(0, 1).flatten(0, 1).float()
            result["labels"] = torch.cat([known, known.new_full((stated * graphs, known.shape[1]), IGNORED)])
        truth = torch.from_numpy(np.stack(cells)).float() if cells else torch.zeros(0, graphs)
        truth = truth.masked_fill(truth < 0, torch.nan)
        sides = [(truth == side).float() for side in (0, 1)]
        half = (~truth.isnan()).sum(dim=1, keepdim=True) / 2
        weights = sum(side * half / side.sum(dim=1, keepdim=True).clamp(min=1) for side in sides)
        result["similarity_labels"] = torch.cat([torch.full((asked * graphs,), torch.nan), truth.flatten()])
        result["similarity_weights"] = torch.cat([torch.zeros(asked * graphs), torch.as_tensor(weights).flatten()])
        return result


def _partners(networks: RealNetworks) -> dict[int, tuple[list[int], list[int]]]:
    """Architecture -> those that are labelled as alike, and as not alike, in pairs with it."""
    found: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for first, second, value in networks.clone_pairs():
        if value in (ALIKE, UNALIKE):
            for one, other in ((first, second), (second, first)):
                found[one][int(value == UNALIKE)].append(other)
    return dict(found)


def _readings(asked: int, said: list[tuple[Claim, ...]]) -> dict[str, torch.Tensor]:
    """`slot_labels`, `claim_labels` and `value_labels` of statements whose claims are known."""
    texts = asked + len(said)
    slots = torch.full((texts, NUM_SLOTS, len(ANSWERS)), float(IGNORED))
    types = torch.full((texts, NUM_CLAIMS), IGNORED)
    values = torch.full((texts, NUM_CLAIMS), float(IGNORED))
    for row, claims in enumerate(said, start=asked):
        if not claims:
            continue
        types[row] = 0
        for place, claim in enumerate(claims[:NUM_CLAIMS]):
            types[row, place] = 1 + REAL_CLAIM_TYPES.index(claim.kind)
            values[row, place] = IGNORED if claim.number is None else claim.number
            known = [ANSWER_IDS[answer] for answer in claim.subject if answer in ANSWER_IDS]
            if known:
                slots[row, 2 * place] = 0.0
                slots[row, 2 * place, known] = 1.0
    return {"slot_labels": slots, "claim_labels": types, "value_labels": values}


DRAWS = 100
"""How often networks of a block of captions are drawn before it is given up."""


class CaptionBlocks:
    """Blocks of captions to write, of generated networks or of real ones.

    Args:
        encodings: graph tokens of the networks.
        rows: per network its rows of the config `captions`.
        processor: the processor of the model.
        config: of the model.
        graphs: networks per block, of like size.
        captions: captions per block.
        seed: of what is drawn.
        shares: parts of the blocks with captions of each length.
    """

    def __init__(
        self,
        encodings: Sequence[Any],
        rows: TextRows,
        processor: Any,
        config: Any,
        *,
        graphs: int,
        captions: int,
        seed: int = 0,
        shares: Sequence[float] = LENGTH_SHARES,
    ) -> None:
        self.encodings, self.rows, self.processor, self.config = encodings, rows, processor, config
        self.graphs, self.captions, self.seed, self.shares = min(graphs, len(encodings)), captions, seed, shares
        self.order = np.argsort([encoding.num_tokens for encoding in encodings], kind="stable")

    def __call__(self, block: int) -> dict[str, torch.Tensor]:
        """The block of this number: keyword arguments of `ArchBertForPreTraining`.

        Networks of which none has a caption of the length that was drawn are drawn again.

        Raises:
            ValueError: captions were not found for a hundred times.
        """
        for attempt in range(DRAWS):
            rng = np.random.default_rng([self.seed, block, 4, *([attempt] if attempt else [])])
            width = min(len(self.order), CAPTION_WINDOW * self.graphs)
            first = int(np.clip(rng.integers(len(self.order)) - width // 2, 0, len(self.order) - width))
            chosen = rng.choice(self.order[first : first + width], self.graphs, replace=False).tolist()
            rows = [self.rows.of([index]) for index in chosen]
            written = caption_batch(self.processor, self.config, rows, self.captions, rng, self.shares)
            if written:
                return dict(self.processor.collate(None, [self.encodings[index] for index in chosen])) | written
        raise ValueError(f"none of {DRAWS * self.graphs} networks that were drawn has a caption of the wanted length")
