"""The config `architectures` of TVHF: one row for every distinct graph of the registry's members.

* Members with the same graph (equal `graph_hash`, and isomorphic) are one row; it has the name of the one that was
  published first, the others are its `aliases`.
* The graph stands in the columns of `ArchitectureGraph.to_row()`, as in AutoNet.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from processing_archbert import ArchitectureGraph

from .clusters_tvhf import SPLITS, assign_splits, components, leak_audit, merge_components, modality_group, near_groups
from .isomorphism_tvhf import are_isomorphic
from .registry_tvhf import Member
from .similarity_wl_tvhf import wl_similarity

MIN_USED_SHARE = 0.9
"""A graph that shows a smaller share of its network's parameters is left out."""
COMPRESSION_LEVEL = 12

_INTS, _LONGS, _TEXTS = pa.list_(pa.int32()), pa.list_(pa.int64()), pa.list_(pa.string())

SCHEMA = pa.schema(
    [
        ("arch_id", pa.string()), ("name", pa.string()), ("aliases", _TEXTS), ("source", pa.string()),
        ("group", pa.string()), ("family", pa.string()), ("cluster", pa.string()), ("paradigm", pa.string()),
        ("modality", _TEXTS), ("tasks", _TEXTS), ("year", pa.int32()), ("parents", _TEXTS), ("backbone", pa.string()),
        ("origin", pa.string()), ("config", pa.string()), ("split", pa.string()), ("version", pa.string()),
        ("graph_hash", pa.string()), ("topology_hash", pa.string()), ("num_parameters", pa.int64()),
        ("unused_parameters", pa.int64()), ("op_types", _TEXTS), ("shapes", _INTS), ("attributes", _INTS),
        ("node_parameters", _LONGS), ("src", _INTS), ("dst", _INTS), ("node_names", _TEXTS), ("incomplete", _TEXTS),
        ("extraction_version", pa.int32()),
    ]
)  # fmt: skip
GRAPH_COLUMNS = ("op_types", "shapes", "attributes", "node_parameters", "src", "dst", "node_names")


class Traced(NamedTuple):
    """A member with its graph and the library's version that it was made with."""

    member: Member
    graph: ArchitectureGraph
    version: str


@dataclass
class Architecture:
    """One row: `row` has all columns but those of the graph, `columns` those."""

    row: dict[str, Any]
    columns: dict[str, Any] = field(repr=False)

    @cached_property
    def graph(self) -> ArchitectureGraph:
        """The graph."""
        return ArchitectureGraph.from_row(self.row | self.columns)

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("row", {}):
            return self.row[name]
        raise AttributeError(name)


def distinct(traced: Iterable[Traced]) -> list[list[Traced]]:
    """Members grouped by graph, each group with the member that gives the row first, in the order of names.

    Raises:
        ValueError: graphs of equal hash are not isomorphic.
    """
    groups: dict[str, list[Traced]] = defaultdict(list)
    for item in traced:
        if item.graph.unused_parameters <= (1 - MIN_USED_SHARE) * item.graph.num_parameters:
            groups[item.graph.graph_hash].append(item)
    for group in groups.values():
        group.sort(key=lambda t: (t.member.year or 9999, not t.member.is_default, t.member.name))
        for other in group[1:]:
            if not are_isomorphic(group[0].graph, other.graph):
                raise ValueError(f"{group[0].member.name} and {other.member.name} have equal hashes, unequal graphs.")
    return sorted(groups.values(), key=lambda group: group[0].member.arch_id)


def publication(member: Member) -> int:
    """Year of publication; of a file of the library whose network's year is not known, that of its first copyright
    line; 0 where there is neither."""
    return member.year or min(member.origin.get("copyright_years") or [0])


class Table(NamedTuple):
    """All rows, the similarity of their graphs, and what the splits have in common."""

    architectures: list[Architecture]
    similarity: np.ndarray
    audit: dict[str, Any]


def make_table(traced: Iterable[Traced], seed: int = 0) -> Table:
    """Rows with clusters and splits, in the order of `arch_id`.

    Args:
        traced: members with graphs.
        seed: decides the splits.
    """
    groups = distinct(traced)
    graphs = [group[0].graph for group in groups]
    similarity = wl_similarity(graphs)
    families = [[item.member.family for item in group] for group in groups]
    clusters = merge_components(components(families), similarity)
    latest = max((publication(group[0].member) for group in groups), default=0)
    is_new = [latest > 0 and all(publication(item.member) == latest for item in group) for group in groups]
    strata = [f"{modality_group(group[0].member.modality)}/{group[0].member.source}" for group in groups]
    names = [group[0].member.arch_id for group in groups]
    splits = assign_splits(names, near_groups(clusters, similarity, is_new), strata, is_new, seed)
    rows = [
        _architecture(group, f"c{cluster:04d}", split)
        for group, cluster, split in zip(groups, clusters.tolist(), splits, strict=True)
    ]
    audit = leak_audit(
        [row.name for row in rows], splits, clusters, [graph.graph_hash for graph in graphs],
        [graph.topology_hash for graph in graphs], similarity,
    )  # fmt: skip
    return Table(rows, similarity, summary(rows) | {"latest_year": latest} | audit)


def _architecture(group: Sequence[Traced], cluster: str, split: str) -> Architecture:
    member, graph, version = group[0]
    columns = graph.to_row()
    config = json.dumps({"model_type": member.type} | dict(member.overrides)) if member.type else ""
    row = {
        "arch_id": member.arch_id, "name": member.name, "aliases": sorted(item.member.name for item in group[1:]),
        "source": member.source, "group": member.group, "family": member.family, "cluster": cluster,
        "paradigm": member.paradigm, "modality": list(member.modality), "tasks": list(member.tasks),
        "year": member.year or 0, "parents": list(member.parents), "backbone": member.backbone,
        "origin": json.dumps({key: value for key, value in member.origin.items() if value is not None}),
        "config": config, "split": split, "version": version, "topology_hash": graph.topology_hash,
    }  # fmt: skip
    kept = ("graph_hash", "num_parameters", "unused_parameters", "incomplete", "extraction_version")
    return Architecture(row | {key: columns[key] for key in kept}, {key: columns[key] for key in GRAPH_COLUMNS})


def summary(rows: Sequence[Architecture]) -> dict[str, Any]:
    """Counts of architectures, families and clusters for every split, by kind of input and library."""
    found: dict[str, Any] = {}
    for split in SPLITS:
        inside = [row for row in rows if row.split == split]
        kinds: dict[str, set[str]] = defaultdict(set)
        for row in inside:
            kinds[modality_group(row.modality)].add(row.cluster)
        found[split] = {
            "architectures": len(inside),
            "families": len({row.family for row in inside}),
            "clusters": len({row.cluster for row in inside}),
            "clusters_by_modality": {key: len(value) for key, value in sorted(kinds.items())},
            "by_source": {s: sum(row.source == s for row in inside) for s in ("torchvision", "transformers")},
        }
    return {"splits": found}


def write_architectures(folder: Path, rows: Sequence[Architecture]) -> int:
    """Writes `architectures/<split>-00000-of-00001.parquet`; returns the bytes written.

    The files are put in place together, at the end, so that a call that was stopped leaves the former ones.
    """
    parts: dict[Path, Path] = {}
    for split in SPLITS:
        path = folder / "architectures" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parts[path] = path.with_name(path.name + ".part")
        inside = [row.row | row.columns for row in rows if row.split == split]
        table = pa.Table.from_pylist(inside, schema=SCHEMA)
        pq.write_table(table, parts[path], compression="zstd", compression_level=COMPRESSION_LEVEL)
    for path, part in parts.items():
        os.replace(part, path)
    return sum(path.stat().st_size for path in parts)


def load_architectures(folder: str | Path, splits: Sequence[str] = SPLITS) -> list[Architecture]:
    """The rows that `write_architectures` wrote, in the order of `arch_id`.

    Args:
        folder: what `build_architectures --out` was given, or its folder `architectures`.
        splits: the splits to read.

    Raises:
        FileNotFoundError: a split is not there.
    """
    place = Path(folder)
    place = place / "architectures" if (place / "architectures").is_dir() else place
    rows: list[Architecture] = []
    for split in splits:
        path = place / f"{split}-00000-of-00001.parquet"
        if not path.exists():
            raise FileNotFoundError(f"{path} is not there; dataset_scripts.tvhf.build_architectures --out makes it.")
        rows += map(_read_row, pq.read_table(path).to_pylist())
    return sorted(rows, key=lambda row: str(row.arch_id))


def _read_row(data: Mapping[str, Any]) -> Architecture:
    columns = {key: data[key] for key in GRAPH_COLUMNS}
    return Architecture({key: value for key, value in data.items() if key not in columns}, columns)
