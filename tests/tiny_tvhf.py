"""A few small networks of TVHF with all that is said of them, as a folder of the published form."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

PUBLISHED = Path(__file__).resolve().parents[1] / "hub" / "datasets" / "tvhf"
COUNTS = {"train": 14, "validation": 8, "test": 8}
MOST_NODES = 500
FLOOR = {"F1": 66.7, "F1_95": [50.0, 80.0], "MCC": 0.0, "MCC_95": [0.0, 0.0], "nDCG@10": 5.0}


def write_tiny_tvhf(folder: Path) -> Path:
    """Write the folder and, beside it, `floors.json`; returns the folder."""
    chosen = {split: _choose(split, count) for split, count in COUNTS.items()}
    everything = sorted(name for names in chosen.values() for name in names)
    for split, names in chosen.items():
        rows = [row for row in _rows("architectures", split) if row["arch_id"] in names]
        _write(folder, "architectures", split, rows)
        for config in ("aqa", "captions"):
            _write(folder, config, split, [row for row in _rows(config, split) if row["arch_id"] in names])
        stated = _rows("descriptions", split)
        whole = {group for group, members in _by_group(stated, ("arch_id",)).items() if members <= names}
        _write(folder, "descriptions", split, [row for row in stated if row["group"] in whole])
        for config in ("clones", "bimodal_clones"):
            pairs = [row for row in _rows(config, split) if {row["arch_id_a"], row["arch_id_b"]} <= names]
            _write(folder, config, split, pairs)
        _write(folder, "search", split, list(_queries(split, names, everything)))
    columns = sorted(row["arch_id"] for split in (*COUNTS, "test_new") for row in _ids(split))
    kept = [columns.index(name) for name in everything]
    _write(folder, "sentences", "train", _rows("sentences", "train"))
    truth = [row | {"truth": "".join(row["truth"][column] for column in kept)} for row in _rows("truth", "train")]
    _write(folder, "truth", "train", truth)
    parts = {"descriptions": ("structure and size",), "clones": ("all",), "bimodal_clones": ("all",),
             "search": ("sentence, split", "compositional, split")}  # fmt: skip
    floors: dict[str, Any] = {config: {split: {part: {"a floor": FLOOR} for part in found} for split in COUNTS}
              for config, found in parts.items()}  # fmt: skip
    floors["aqa"] = {split: {"a floor": {"macro": 20.0, "macro_95": [10.0, 30.0]}} for split in COUNTS}
    (folder.parent / "floors.json").write_text(json.dumps(floors), encoding="utf-8")
    return folder


def _choose(split: str, count: int) -> set[str]:
    """The smallest quartet and pairs of both labels, then small networks that whole groups of statements speak of."""
    nodes = {row["arch_id"]: len(row["op_types"]) for row in _rows("architectures", split, ("arch_id", "op_types"))}
    small = {name for name, number in nodes.items() if number <= MOST_NODES}
    chosen: set[str] = set()
    quartets = _by_group(_rows("bimodal_clones", split), ("arch_id_a", "arch_id_b"))
    wanted: list[list[set[str]]] = [list(quartets.values())]
    for label in (1, 0):
        wanted.append([{row["arch_id_a"], row["arch_id_b"]} for row in _rows("clones", split)
                       if row["label"] == label and row["arch_id_a"] != row["arch_id_b"]])  # fmt: skip
    structural = [row for row in _rows("descriptions", split) if row["kind"] in ("structure", "size")]
    for groups in wanted:
        chosen |= min(groups, key=lambda group: sum(nodes[name] for name in group))
    for group in _by_group(structural, ("arch_id",)).values():
        if group <= small and len(chosen | group) <= count:
            chosen |= group
    return chosen


def _by_group(rows: Iterable[dict[str, Any]], keys: tuple[str, ...]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["group"], set()).update(row[key] for key in keys)
    return found


def _queries(split: str, names: set[str], everything: list[str]) -> Iterable[dict[str, Any]]:
    for row in _rows("search", split):
        known = names if row["pool"] == "split" else set(everything)
        relevant, ignored = ([name for name in row[key] if name in known] for key in ("relevant", "ignored"))
        if relevant and len(relevant) < len(known) - len(ignored):
            yield row | {"relevant": relevant, "ignored": ignored}


def _ids(split: str) -> list[dict[str, Any]]:
    return _rows("architectures", split, ("arch_id",))


def _rows(config: str, split: str, columns: tuple[str, ...] | None = None) -> list[dict[str, Any]]:
    paths = sorted((PUBLISHED / config).glob(f"{split}-[0-9]*.parquet"))
    return [row for path in paths for row in pq.read_table(path, columns=columns and list(columns)).to_pylist()]


def _write(folder: Path, config: str, split: str, rows: list[dict[str, Any]]) -> None:
    path = folder / config / f"{split}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pq.read_schema(next((PUBLISHED / config).glob(f"{split}-[0-9]*.parquet")))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
