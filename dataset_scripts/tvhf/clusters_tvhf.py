"""Clusters of architectures that may not stand on two sides of a split, and the splits by cluster.

* Architectures of one family, and those that share a graph, form a component (connected components of both relations).
  Components are then merged, never split, where every architecture of the one is nearer than `MERGE_ABOVE` to every
  architecture of the other: complete linkage on the Weisfeiler-Lehman similarity.
* Architectures of the latest families are a split of their own, `test_new`, and are in no other.
* The rest goes to train, validation and test by cluster; clusters between which any pair is nearer than `NEAR_ABOVE`
  go to the same side, so that no near pair is left between the three. Every kind of input and both libraries are dealt
  out apart, so that each side has all of them; large groups are trained on. The seed decides, and nothing else.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

MERGE_ABOVE = 0.95
NEAR_ABOVE = 0.9
SPLITS = ("train", "validation", "test", "test_new")
SHARES: Mapping[str, float] = {"test": 0.2, "validation": 0.1}
"""Share of the architectures of every stratum; train has the rest."""
MAX_HELD_OUT = 0.03
"""A group of clusters with more than this share of all architectures is trained on."""


def components(families: Sequence[Sequence[str]]) -> np.ndarray:
    """Components of architectures that share a family, int64 (n,), numbered by first appearance.

    Args:
        families: for each architecture its family and those of the names that have the same graph.
    """
    parent = list(range(len(families)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for i, names in enumerate(families):
        for name in names:
            parent[root(i)] = root(first.setdefault(name, i))
    roots = [root(i) for i in range(len(families))]
    number = {value: k for k, value in enumerate(dict.fromkeys(roots))}
    return np.array([number[value] for value in roots], dtype=np.int64)


def merge_components(labels: np.ndarray, similarity: np.ndarray, above: float = MERGE_ABOVE) -> np.ndarray:
    """Components merged by complete linkage, int64 (n,), numbered by first appearance.

    Args:
        labels: int64 (n,), component of each architecture.
        similarity: (n, n), Weisfeiler-Lehman similarity.
        above: two groups are merged if all pairs between them are more similar than this.
    """
    count = int(labels.max()) + 1
    if count < 2:
        return labels
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(count))
    least = np.minimum.reduceat(np.minimum.reduceat(similarity[np.ix_(order, order)], starts, axis=0), starts, axis=1)
    distance = 1.0 - least.astype(np.float64)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="complete")
    merged = fcluster(tree, t=np.nextafter(1.0 - above, 0.0), criterion="distance")[labels]
    number = {value: k for k, value in enumerate(dict.fromkeys(merged.tolist()))}
    return np.array([number[value] for value in merged.tolist()], dtype=np.int64)


def near_groups(
    clusters: np.ndarray, similarity: np.ndarray, is_new: Sequence[bool], above: float = NEAR_ABOVE
) -> np.ndarray:
    """Groups of clusters that are joined by near pairs, int64 (n,); near pairs of the latest families join nothing.

    Args:
        clusters: int64 (n,).
        similarity: (n, n), Weisfeiler-Lehman similarity.
        is_new: whether an architecture belongs to the latest families.
        above: similarity of a near pair.
    """
    old = ~np.asarray(is_new, dtype=bool)
    near = (similarity > above) & old[:, None] & old[None, :]
    same = clusters[:, None] == clusters[None, :]
    return connected_components(csr_matrix(near | same), directed=False)[1].astype(np.int64)


def modality_group(modality: Sequence[str]) -> str:
    """`text`, `vision`, `audio`, `multimodal` or `other`, by what a network reads and writes."""
    kinds = {
        {"image": "vision", "video": "vision", "layout": "text", "table": "text"}.get(word, word) for word in modality
    }
    if len(kinds) > 1:
        return "multimodal"
    kind = next(iter(kinds), "other")
    return kind if kind in ("text", "vision", "audio") else "other"


def assign_splits(
    names: Sequence[str], groups: np.ndarray, strata: Sequence[str], is_new: Sequence[bool], seed: int = 0
) -> list[str]:
    """Split of every architecture.

    Args:
        names: unique names; a group's place in the order comes from the first of them and the seed.
        groups: int64 (n,), what has to stay on one side (`near_groups`).
        strata: for each architecture what it is dealt out with; a group belongs to the commonest of its members.
        is_new: whether it belongs to the latest families.
        seed: decides the order in which groups are dealt out.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for i, group in enumerate(groups.tolist()):
        if not is_new[i]:
            members[group].append(i)
    total = sum(map(len, members.values()))
    stratum = {c: max(sorted({strata[i] for i in of}), key=[strata[i] for i in of].count) for c, of in members.items()}
    side = dict.fromkeys(members, "train")
    for name in sorted(set(stratum.values())):
        inside = sorted(
            (c for c in members if stratum[c] == name), key=lambda c: _order(seed, min(names[i] for i in members[c]))
        )
        wanted = {split: share * sum(len(members[c]) for c in inside) for split, share in SHARES.items()}
        for group in inside:
            size = len(members[group])
            split = max(wanted, key=lambda s: wanted[s] / SHARES[s])
            if size <= MAX_HELD_OUT * total and size <= wanted[split] + 0.5:
                side[group] = split
                wanted[split] -= size
    return ["test_new" if new else side[c] for c, new in zip(groups.tolist(), is_new, strict=True)]


def _order(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"tvhf/{seed}/{name}".encode(), digest_size=8).digest()


class NearPair(NamedTuple):
    """Two architectures on different sides that are more similar than `NEAR_ABOVE`."""

    first: int
    second: int
    similarity: float


def near_pairs(splits: Sequence[str], similarity: np.ndarray, above: float = NEAR_ABOVE) -> list[NearPair]:
    """Residual near pairs across splits, the most similar first."""
    rows, columns = np.nonzero(np.triu(similarity > above, k=1))
    found = [
        NearPair(i, j, round(float(similarity[i, j]), 4))
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        if splits[i] != splits[j]
    ]
    return sorted(found, key=lambda pair: (-pair.similarity, pair.first, pair.second))


def leak_audit(
    names: Sequence[str], splits: Sequence[str], clusters: np.ndarray, hashes: Sequence[str],
    topologies: Sequence[str], similarity: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    """What two sides have in common, for the card: clusters, graphs, topologies, near pairs with counts by sides.

    Keys: `shared_clusters`, `shared_graphs`, `shared_topologies` (between train, validation and test; the first two
    are 0 by construction), `near_pairs` by sides, `share_with_near_train` (of each side's architectures, those
    with a near one in train), `near_across_clusters` (share of all near pairs that lie in two clusters),
    `nearest` (the 50 most similar pairs between train and test).
    """
    pairs = near_pairs(splits, similarity)
    by_sides: dict[str, int] = defaultdict(int)
    near_train: dict[str, set[int]] = defaultdict(set)
    for pair in pairs:
        sides = sorted((splits[pair.first], splits[pair.second]), key=SPLITS.index)
        by_sides[" / ".join(sides)] += 1
        if sides[0] == "train":
            held_out = pair.second if splits[pair.first] == "train" else pair.first
            near_train[sides[1]].add(held_out)
    near = np.triu(similarity > NEAR_ABOVE, k=1)
    across = near & (clusters[:, None] != clusters[None, :])
    return {
        "threshold": NEAR_ABOVE,
        "shared_clusters": _shared(clusters.tolist(), splits),
        "shared_graphs": _shared(hashes, splits),
        "shared_topologies": _shared(topologies, splits),
        "near_pairs": dict(sorted(by_sides.items())),
        "share_with_near_train": {
            side: round(len(near_train[side]) / max(1, list(splits).count(side)), 4) for side in SPLITS[1:]
        },
        "near_across_clusters": round(float(across.sum() / max(1, near.sum())), 4),
        "nearest": [
            [names[p.first], splits[p.first], names[p.second], splits[p.second], p.similarity]
            for p in pairs
            if {splits[p.first], splits[p.second]} == {"train", "test"}
        ][:50],
    }


def _shared(values: Sequence[Any], splits: Sequence[str]) -> int:
    """How many values occur in more than one of train, validation and test."""
    sides: dict[Any, set[str]] = defaultdict(set)
    for value, split in zip(values, splits, strict=True):
        if split != "test_new":
            sides[value].add(split)
    return sum(len(found) > 1 for found in sides.values())
