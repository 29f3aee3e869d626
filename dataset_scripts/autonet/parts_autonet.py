"""Parts of AutoNet: a block of architectures with all its rows; how parts are joined to the files of the data set."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from processing_archbert.graph_facts_archbert import GraphFacts

from .descriptions_autonet import matched_descriptions
from .files_autonet import write_file, write_parquet
from .manifest_autonet import BLOCK, file_digest, rows_digest
from .samples_autonet import SCHEMAS, Order, Sample, table

SHARD = 2500
"""Architectures of one Parquet file."""
FIRST_GROUPS = (5, 10, 20, 50)
"""Ends of the first groups of architectures that share matched descriptions; the next are multiples of `BLOCK`."""


@dataclass(frozen=True)
class Part:
    """Architectures `start` to `stop` - 1 of a split."""

    seed: int
    split: str
    start: int
    stop: int
    style: str | None
    size: str

    @property
    def name(self) -> str:
        """Name of the folder of the part."""
        return f"{self.split}-{self.start:06d}-{self.stop:06d}"

    def orders(self) -> list[Order]:
        """What to draw."""
        return [
            Order(self.seed, self.split, i, style=self.style, size=self.size) for i in range(self.start, self.stop)
        ]


class PartInfo(NamedTuple):
    """What is known of a finished part: the hashes of its graphs, and rows and digest of each config."""

    hashes: list[str]
    blocks: dict[str, str]


def parts_of(arguments: Mapping[str, Any], split: str) -> list[Part]:
    """The parts of a split, in order."""
    count = arguments[f"num_{split}"]
    return [
        Part(arguments["seed"], split, start, min(start + BLOCK, count), arguments["style"], arguments["size"])
        for start in range(0, count, BLOCK)
    ]


def matched_groups(start: int, stop: int) -> list[tuple[int, int]]:
    """Groups of architectures of a part that share matched descriptions; one that is cut off by `stop` has none."""
    ends = [*FIRST_GROUPS, BLOCK] if start == 0 else [start + BLOCK]
    return [(a, b) for a, b in zip([start, *ends], ends, strict=False) if b <= stop]


def make_part(folder: Path, part: Part, samples: Sequence[Sample]) -> PartInfo:
    """Draw the matched descriptions of a part and write its rows, one file for each config; `folder` appears last."""
    tables = {config: pa.concat_tables([sample.tables[config] for sample in samples]) for config in SCHEMAS}
    tables["descriptions"] = _descriptions(part, samples)
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for config, rows in tables.items():
        write_parquet(unfinished / f"{config}.part", [rows])
    info = PartInfo(
        [sample.graph.graph_hash for sample in samples], {config: rows_digest(rows) for config, rows in tables.items()}
    )
    files = {config: file_digest(unfinished / f"{config}.part") for config in tables}
    text = json.dumps({**info._asdict(), "files": files})
    write_file(unfinished / "part.json", lambda file: file.write(text.encode()))
    unfinished.rename(folder)
    return info


def _descriptions(part: Part, samples: Sequence[Sample]) -> pa.Table:
    """Rows of `descriptions`: group by group, first those of the paper's kind, then the matched ones.

    So what a larger build has beyond a smaller one follows at the end.
    """
    tables: list[pa.Table] = []
    written = part.start
    for start, stop in matched_groups(part.start, part.stop):
        group = samples[start - part.start : stop - part.start]
        rng = random.Random(f"autonet/{part.seed}/{part.split}/{start}/matched")
        rows = [
            {"arch_id": group[index].graph.name}
            | description._asdict()
            | {"group": _group_id(part.split, start, description.group)}
            for index, description in matched_descriptions(rng, [GraphFacts(sample.graph) for sample in group])
        ]
        tables += [*(sample.tables["descriptions"] for sample in group), table("descriptions", rows)]
        written = stop
    tables += [sample.tables["descriptions"] for sample in samples[written - part.start :]]
    return pa.concat_tables(tables)


def _group_id(split: str, start: int, group: str) -> str:
    """The group of a matched description, with the index of its architecture in the split instead of in the group."""
    index, number = group.split("-")
    return f"{split}-{start + int(index)}-{number}"


class Shard(NamedTuple):
    """A Parquet file of the data set and the part files that it is made of."""

    name: str
    sources: list[Path]


def shards_of(parts: Sequence[Part], folder: Path, config: str) -> list[Shard]:
    """The files of a config and split."""
    step = SHARD // BLOCK
    groups = [parts[i : i + step] for i in range(0, len(parts), step)]
    return [
        Shard(
            f"{config}/{group[0].split}-{index:05d}-of-{len(groups):05d}.parquet",
            [folder / part.name / f"{config}.part" for part in group],
        )
        for index, group in enumerate(groups)
    ]


def make_shard(folder: Path, shard: Shard) -> dict[str, Any]:
    """Write a file of the data set, one row group for each part; returns its rows, bytes and SHA-256."""
    path = folder / shard.name
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = write_parquet(path, (pq.read_table(source) for source in shard.sources))
    return {"rows": rows, "bytes": path.stat().st_size, "sha256": file_digest(path)}
