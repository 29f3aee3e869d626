"""TVHF as training reads it: graphs, questions, statements with their truth, and which architectures are alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from real_claims import Claim, claims_said
from real_statements import Fact, facts_of

from dataset_scripts.tvhf.search_tvhf import predicate_cells
from dataset_scripts.tvhf.truth_tvhf import FALSE, TRUE, UNKNOWN, Architecture, load_architectures, read_truth
from reading import Split, StoredFacts, TextRows, load_rows

ALIKE, UNALIKE = 1.0, 0.0


class Said(NamedTuple):
    """A text, what it is of each architecture (int8 (n,) of `TRUE`, `FALSE` and `UNKNOWN`), and its claims."""

    text: str
    cells: np.ndarray
    claims: tuple[Claim, ...]


class Group(NamedTuple):
    """Number of a text among `RealNetworks.said`, and of an architecture of which it is true and of one it is not."""

    said: int
    right: int
    wrong: int


@dataclass
class RealNetworks:
    """One split of TVHF.

    Attributes:
        folder: the data set.
        name: the split.
        rows: of the config `architectures`, without graphs: `arch_id`, `cluster`, `family` and so on.
        split: graphs, and questions of the config `aqa`.
    """

    folder: Path
    name: str
    rows: list[dict[str, Any]]
    split: Split

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each architecture, by its `arch_id`."""
        return {row["arch_id"]: number for number, row in enumerate(self.rows)}

    @cached_property
    def clusters(self) -> list[str]:
        """Cluster of each architecture."""
        return [str(row["cluster"]) for row in self.rows]

    @cached_property
    def families(self) -> dict[str, list[int]]:
        """Architectures of each family."""
        found: dict[str, list[int]] = defaultdict(list)
        for number, row in enumerate(self.rows):
            found[str(row["family"])].append(number)
        return dict(found)

    @cached_property
    def architectures(self) -> list[Architecture]:
        """What predicates are asked of."""
        found = {a.arch_id: a for a in load_architectures(self._files()[0])}
        return [found[row["arch_id"]] for row in self.rows]

    @cached_property
    def facts(self) -> list[Fact]:
        """Facts to make statements of."""
        return facts_of(self.architectures)

    @cached_property
    def said(self) -> list[Said]:
        """Sentences, queries and supporting texts of this split, each text once, true of one of them at least."""
        found: dict[str, Said] = {}
        for text, cells, predicate in (*self._sentences(), *self._queries(), *self._supporting()):
            if (cells == TRUE).any() and (cells == FALSE).any() and text not in found:
                found[text] = Said(text, cells, claims_said(text, predicate) if predicate else ())
        return list(found.values())

    @cached_property
    def groups(self) -> list[Group]:
        """The matched groups of `descriptions`: a sentence, and two architectures of which one side is true."""
        number = {said.text: place for place, said in enumerate(self.said)}
        found: dict[str, list[Any]] = defaultdict(lambda: [None, None, None])
        for row in statement_rows(self, "descriptions"):
            found[row["group"]][row["label"]] = row["graph"]
            found[row["group"]][2] = number.get(row["text"])
        return [Group(*members[::-1]) for members in found.values() if None not in members]

    def clone_labels(self) -> np.ndarray:
        """Which architectures are alike: float32 (n, n), 1 alike, 0 not, NaN unknown.

        The labelled pairs of `clones`; beside them, architectures of one family are left out and those of different
        clusters and paradigms are not alike.
        """
        labels = np.full((len(self.rows), len(self.rows)), np.nan, dtype=np.float32)
        paradigm = np.array([str(row["paradigm"]) for row in self.rows])
        cluster = np.array(self.clusters)
        labels[(paradigm[:, None] != paradigm) & (cluster[:, None] != cluster)] = UNALIKE
        for first, second, value in self.clone_pairs():
            labels[first, second] = labels[second, first] = value
        return labels

    def clone_pairs(self) -> list[tuple[int, int, float]]:
        """The pairs of `clones`: two architectures, and `ALIKE`, `UNALIKE` or NaN."""
        known = {1: ALIKE, 0: UNALIKE}
        found = []
        for row in load_rows(str(self.folder), "clones", self.name):
            first, second = (self.index.get(row[key]) for key in ("arch_id_a", "arch_id_b"))
            if first is not None and second is not None and first != second:
                found.append((first, second, known.get(row["label"], np.nan)))
        return found

    def _files(self) -> list[Path]:
        return sorted((self.folder / "architectures").glob(f"{self.name}-*.parquet"))

    def _sentences(self) -> list[tuple[str, np.ndarray, str]]:
        sentences, truth = (list(load_rows(str(self.folder), config, "train")) for config in ("sentences", "truth"))
        order = {name: column for column, name in enumerate(sorted(_arch_ids(self.folder)))}
        columns = [order[row["arch_id"]] for row in self.rows]
        cells = read_truth(truth)[:, columns]
        return [(row["text"], line, row["predicate"]) for row, line in zip(sentences, cells, strict=True)
                if row["split"] == self.name]  # fmt: skip

    def _queries(self) -> list[tuple[str, np.ndarray, str]]:
        found = []
        for row in load_rows(str(self.folder), "search", self.name):
            cells = np.full(len(self.rows), FALSE, dtype=np.int8)
            for key, value in (("relevant", TRUE), ("ignored", UNKNOWN)):
                cells[[self.index[name] for name in row[key] if name in self.index]] = value
            found.append((row["query"], cells, row["predicate"]))
        return found

    def _supporting(self) -> list[tuple[str, np.ndarray, str]]:
        rows = {row["text"]: row["predicate"] for row in load_rows(str(self.folder), "bimodal_clones", self.name)}
        cells = {predicate: predicate_cells(predicate, self.architectures) for predicate in set(rows.values())}
        return [(text, cells[predicate], predicate) for text, predicate in rows.items()]


def load_real(folder: str, name: str, cache_dir: str | None = None, questions: str = "aqa") -> RealNetworks:
    """Open a split of TVHF in a folder.

    Args:
        folder: with the Parquet files of each config.
        name: the split.
        cache_dir: where graph tokens are kept from run to run.
        questions: the config with questions.

    Raises:
        FileNotFoundError: the folder has no such split.
    """
    rows = load_rows(folder, "architectures", name)
    known = [column for column in rows.column_names if column in _KNOWN]
    described = list(rows.select_columns(known))
    split = Split(
        StoredFacts(rows.select_columns([column for column in rows.column_names if column not in _UNREAD])),
        TextRows(load_rows(folder, questions, name), [row["arch_id"] for row in described],
                 ("question", "question_type", "subject")),
        digest=f"{Path(folder).resolve()}:{name}:{rows._fingerprint}",
        cache_dir=None if cache_dir is None else Path(cache_dir).expanduser() / "graphs",
    )  # fmt: skip
    return RealNetworks(Path(folder), name, described, split)


def _arch_ids(folder: Path) -> list[str]:
    """`arch_id` of every architecture of every split."""
    found = []
    for path in sorted((folder / "architectures").glob("*.parquet")):
        found += pq.read_table(path, columns=["arch_id"]).column("arch_id").to_pylist()
    return found


_KNOWN = ("arch_id", "name", "family", "cluster", "paradigm", "source", "graph_hash", "num_parameters")
_UNREAD = ("aliases", "group", "family", "cluster", "paradigm", "modality", "tasks", "year", "parents", "backbone",
           "origin", "config", "split", "version", "topology_hash", "graph_hash")  # fmt: skip


def statement_rows(networks: RealNetworks, config: str, split: str | None = None) -> list[dict[str, Any]]:
    """Rows of `descriptions` about these networks, with `graph`, the number of the architecture.

    Args:
        networks: a split of architectures.
        config: the config.
        split: the split of the config; default: that of the architectures.
    """
    rows = load_rows(str(networks.folder), config, split or networks.name)
    return [{**row, "graph": networks.index[row["arch_id"]]} for row in rows]


@torch.no_grad()
def architecture_embeds(model: Any, processor: Any, networks: RealNetworks, at_once: int = 16) -> torch.Tensor:
    """J_g of all architectures, float32 (n, d), of length 1; the model is left in eval mode."""
    base = model.eval().archbert
    order = np.argsort(networks.split.token_counts(), kind="stable")
    rows = torch.zeros(len(order), model.config.hidden_size)
    for start in range(0, len(order), at_once):
        chosen = order[start : start + at_once]
        batch = processor.collate(None, [networks.split.encodings[int(index)] for index in chosen])
        embeds = base.get_architecture_features(**{key: value.to(base.device) for key, value in batch.items()})
        rows[chosen] = torch.nn.functional.normalize(embeds.float(), dim=-1).cpu()
    return rows


@torch.no_grad()
def text_embeds(model: Any, processor: Any, texts: Sequence[str], at_once: int = 64) -> torch.Tensor:
    """J_t of texts, float32 (n, d), of length 1; the model is left in eval mode."""
    base, rows = model.eval().archbert, []
    for start in range(0, len(texts), at_once):
        batch = processor.collate(list(texts[start : start + at_once]), None)
        embeds = base.get_text_features(**{key: value.to(base.device) for key, value in batch.items()})
        rows.append(torch.nn.functional.normalize(embeds.float(), dim=-1).cpu())
    return torch.cat(rows)


def pair_scores(model: Any, processor: Any, networks: RealNetworks, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Scores of the pipeline of clone detection for rows of `clones` or `bimodal_clones`, float64 (n,)."""
    embeds = architecture_embeds(model, processor, networks)
    sides = [[networks.index[row[key]] for row in rows] for key in ("arch_id_a", "arch_id_b")]
    first, second = (embeds[side] for side in sides)
    if "text" not in rows[0]:
        return (first * second).sum(dim=1).double().numpy()
    place = {text: number for number, text in enumerate(dict.fromkeys(row["text"] for row in rows))}
    texts = text_embeds(model, processor, list(place))[[place[row["text"]] for row in rows]]
    return ((texts * first).sum(dim=1) + (texts * second).sum(dim=1)).double().numpy() / 2
