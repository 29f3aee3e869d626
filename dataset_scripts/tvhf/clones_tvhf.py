"""The config `clones`: pairs of architectures of one library, with their relation and label.

* `train`, `validation`, `test`, `test_new`: both networks are of that split. Every network stands in as many pairs of
  label 1 as of label 0, and neither names nor sizes tell which label a pair has (`clone_pairs_tvhf`). Kin that are no
  variants (`relations_tvhf.are_kin`) are in no pair. Pairs of two names of one graph, where the names are unlike, and
  of a shared backbone, come on top.
* `paper_train`, `paper_validation`: the paper's form, at random over pairs of all networks, so both sides have the
  same networks. The paper takes every pair; here there are `PAPER_NEGATIVES` of label 0 to one of label 1.
* `tv_...` and `hf_...`: those of these splits that are of torchvision or of transformers, where there are any with a
  label. Torchvision names its networks by family, so hardly any pair is left of the few in `validation` and `test`.

Similarities are there to be compared with the relation, and decide nothing: `agrees_with_wl` says whether the
Weisfeiler-Lehman similarity, taken for alike above the threshold that is best on `train`, gives the label;
`agrees_with_jaccard` says the same of the Jaccard index of the op types.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_scripts.release.cluster_metrics_release import best_threshold

from .architectures_tvhf import Architecture
from .clone_pairs_tvhf import SIZE_MATCHED, Pair, balanced_pairs, size_ratio
from .clusters_tvhf import SPLITS
from .configs_tvhf import CLONES, LIBRARIES, PAPER_SPLITS, table5_names
from .name_likeness_tvhf import is_unlike
from .registry_tvhf import Registry
from .relations_tvhf import LABELS, RELATIONS, Known, are_kin, relation

HARD = "same paradigm"
BACKBONES = 600
"""Most pairs of a shared backbone in one split and library."""
PAPER_NEGATIVES = 3
PAPER_TRAIN_SHARE = 0.8
MEASURES: Mapping[str, str] = {"wl_similarity": "agrees_with_wl", "jaccard_similarity": "agrees_with_jaccard"}
"""Column of a similarity -> column that says whether it agrees with the label."""

SCHEMA = pa.schema(
    [
        ("arch_id_a", pa.string()), ("arch_id_b", pa.string()), ("name_a", pa.string()), ("name_b", pa.string()),
        ("relation", pa.string()), ("label", pa.int32()), ("size_matched", pa.bool_()), ("size_ratio", pa.float32()),
        ("agrees_with_wl", pa.bool_()), ("wl_similarity", pa.float32()), ("agrees_with_jaccard", pa.bool_()),
        ("jaccard_similarity", pa.float32()), ("source", pa.string()), ("split", pa.string()),
    ]
)  # fmt: skip


@dataclass
class Clones:
    """Rows by split, the thresholds of `MEASURES`, and counts of all pairs before any was drawn."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """`all_pairs`, `thresholds`, and for every split `relations`, `labels`, and `disagreements` by measure."""
        labelled = {split: [row for row in rows if row["label"] >= 0] for split, rows in self.rows.items()}
        return {
            "all_pairs": self.counts,
            "thresholds": self.thresholds,
            "relations": {s: dict(Counter(row["relation"] for row in rows)) for s, rows in self.rows.items()},
            "labels": {s: dict(sorted(Counter(str(row["label"]) for row in rows).items()))
                       for s, rows in self.rows.items()},
            "disagreements": {
                s: {name: sum(not row[column] for row in rows) for name, column in MEASURES.items()}
                for s, rows in labelled.items()
            },
        }  # fmt: skip


@dataclass
class _Table:
    """What rows of pairs are made from."""

    rows: Sequence[Architecture]
    wl: np.ndarray
    jaccard: np.ndarray
    sizes: np.ndarray

    def row(self, pair: Pair, split: str) -> dict[str, Any]:
        a, b = self.rows[pair.first], self.rows[pair.second]
        ratio = size_ratio(pair, self.sizes)
        return {
            "arch_id_a": a.arch_id, "arch_id_b": b.arch_id, "name_a": a.name, "name_b": b.name,
            "relation": pair.relation, "label": LABELS[pair.relation],
            "size_matched": ratio <= SIZE_MATCHED and pair.relation != "identical", "size_ratio": ratio,
            "wl_similarity": float(self.wl[pair[:2]]),
            "jaccard_similarity": float(self.jaccard[pair[:2]]), "source": a.source, "split": split,
        }  # fmt: skip

    def alias_row(self, index: int, name: str, split: str) -> dict[str, Any]:
        """Two names of one graph."""
        return self.row(Pair(index, index, "identical"), split) | {"name_b": name}


def jaccard_similarity(rows: Sequence[Architecture]) -> np.ndarray:
    """Jaccard index of the multisets of op types of every two networks, float32 (n, n)."""
    counts = [Counter(row.columns["op_types"]) for row in rows]
    names = {name: i for i, name in enumerate(sorted(set().union(*counts)))}
    table = np.zeros((len(rows), len(names)), dtype=np.float32)
    for i, counter in enumerate(counts):
        table[i, [names[name] for name in counter]] = list(counter.values())
    totals = table.sum(axis=1)
    shared = np.stack([np.minimum(table, row).sum(axis=1) for row in table])
    return np.asarray(shared / np.maximum(totals[:, None] + totals[None, :] - shared, 1.0))


def make_clones(rows: Sequence[Architecture], registry: Registry, similarity: np.ndarray, seed: int = 0) -> Clones:
    """All splits of the config `clones`.

    Args:
        rows: the table of architectures.
        registry: where their members stand.
        similarity: float (n, n), Weisfeiler-Lehman similarity.
        seed: of the draws.
    """
    table = _Table(rows, similarity, jaccard_similarity(rows), np.array([row.num_parameters for row in rows], float))
    known = [Known(registry.members[row.name]) for row in rows]
    clones = Clones(rows={split: [] for split in (*SPLITS, *PAPER_SPLITS)})
    for source in LIBRARIES.values():
        pairs = _all_pairs(rows, known, source)
        names = [(i, name) for i, row in enumerate(rows) if row.source == source
                 for name in row.aliases if registry.members[name].source == source]  # fmt: skip
        for split in SPLITS:
            inside = {kind: [p for p in pairs.get(kind, ()) if rows[p.first].split == rows[p.second].split == split]
                      for kind in RELATIONS[1:]}  # fmt: skip
            clones.counts[f"{split}/{source}"] = {kind: len(found) for kind, found in inside.items()}
            rng = random.Random(f"tvhf/clones/{seed}/{split}/{source}")
            clones.rows[split] += _split_rows(rng, table, inside, split, known)
            clones.rows[split] += [
                table.alias_row(i, name, split)
                for i, name in names
                if rows[i].split == split and is_unlike(rows[i].name, name)
            ]
        rng = random.Random(f"tvhf/clones/{seed}/paper/{source}")
        for split, found in zip(PAPER_SPLITS, _paper_rows(rng, table, pairs, names), strict=True):
            clones.rows[split] += found
    _compare(clones)
    for name, split, source in table5_names(CLONES):
        found = [row | {"split": name} for row in clones.rows[split] if row["source"] == source]
        if any(row["label"] >= 0 for row in found):
            clones.rows[name] = found
    return clones


def _all_pairs(rows: Sequence[Architecture], known: Sequence[Known], source: str) -> dict[str, list[Pair]]:
    """Relation -> every two networks of a library, of any split, that are related so."""
    inside = [i for i, row in enumerate(rows) if row.source == source]
    found: dict[str, list[Pair]] = defaultdict(list)
    for n, i in enumerate(inside):
        for j in inside[n + 1 :]:
            kind = relation(known[i], known[j])
            found[kind].append(Pair(i, j, kind))
    return found


def _of_label(pairs: Mapping[str, list[Pair]], label: int) -> list[Pair]:
    return [pair for kind in RELATIONS[1:] if LABELS[kind] == label for pair in pairs.get(kind, ())]


def _split_rows(
    rng: random.Random, table: _Table, pairs: Mapping[str, list[Pair]], split: str, known: Sequence[Known]
) -> list[dict[str, Any]]:
    names = [row.name for row in table.rows]
    plain = [pair for pair in _of_label(pairs, 0) if not are_kin(known[pair.first], known[pair.second])]
    alike, others = balanced_pairs(rng, _of_label(pairs, 1), plain, table.sizes, names, HARD)
    backbones = _of_label(pairs, -1)
    backbones = sorted(rng.sample(backbones, min(BACKBONES, len(backbones))))
    drawn = [_turned(rng, pair) for pair in sorted(alike + others)]
    return [table.row(pair, split) for pair in [*drawn, *backbones]]


def _turned(rng: random.Random, pair: Pair) -> Pair:
    """The pair in one of both orders."""
    return pair if rng.random() < 0.5 else Pair(pair.second, pair.first, pair.relation)


def _paper_rows(
    rng: random.Random, table: _Table, pairs: Mapping[str, list[Pair]], names: Sequence[tuple[int, str]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    alike, others = _of_label(pairs, 1), _of_label(pairs, 0)
    others = rng.sample(others, min(len(others), PAPER_NEGATIVES * (len(alike) + len(names))))
    rows = [table.row(pair, "") for pair in (*alike, *others)]
    rows += [table.alias_row(i, name, "") for i, name in names]
    rng.shuffle(rows)
    cut = round(PAPER_TRAIN_SHARE * len(rows))
    train, validation = PAPER_SPLITS
    return [row | {"split": train} for row in rows[:cut]], [row | {"split": validation} for row in rows[cut:]]


def _compare(clones: Clones) -> None:
    """Chooses the thresholds on `train`, and marks in all rows whether they give the label."""
    train = [row for row in clones.rows["train"] if row["label"] >= 0 and row["relation"] != "identical"]
    labels = np.array([row["label"] for row in train])
    for name, column in MEASURES.items():
        threshold = best_threshold(np.array([row[name] for row in train]), labels) if train else 0.5
        clones.thresholds[name] = round(threshold, 4)
        for row in (row for rows in clones.rows.values() for row in rows):
            row[column] = row["label"] < 0 or (row[name] > clones.thresholds[name]) == (row["label"] == 1)


def write_clones(folder: Path, clones: Clones) -> None:
    """Writes `clones/<split>-00000-of-00001.parquet` and `clones/clones.json` (`Clones.report`)."""
    place = folder / CLONES
    place.mkdir(parents=True, exist_ok=True)
    for path in place.glob("*.parquet"):
        path.unlink()
    for split, rows in clones.rows.items():
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
        pq.write_table(table, place / f"{split}-00000-of-00001.parquet", compression="zstd")
    (place / "clones.json").write_text(json.dumps(clones.report(), indent=1) + "\n", encoding="utf-8")
