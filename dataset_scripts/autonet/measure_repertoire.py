"""In how many networks each op type of the repertoire occurs.

Usage::

    python -m dataset_scripts.autonet.measure_repertoire --data DIR [--output FILE]
    python -m dataset_scripts.autonet.measure_repertoire --count 1000 --seed 1 [--split test] [--output FILE]

The first reads the graphs of a built data set, the second draws networks and traces them. The result is a table in
JSON: for each split the number of networks, the number of op types that occur, and for each op type its category, its
source and its share of the networks. In the usual mix an op type below `MIN_SHARE`, or one that the table of the
repertoire does not have, makes the exit code 1; in the split `test` only the latter does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from tqdm.auto import tqdm

from processing_archbert.tracing_archbert import ArchitectureTraceError, trace

from .networks_autonet import SPLIT_STYLES, build_network, example_inputs, sample_network
from .repertoire_autonet import GRAPH_ENDS, MIN_SHARE, REPERTOIRE


def drawn_op_types(count: int, seed: int, split: str = "train", size: str = "normal") -> Iterator[set[str]]:
    """The op types of `count` networks drawn one after the other; a network that cannot run is left out."""
    for index in tqdm(range(count), desc=f"AutoNet {split}", unit="net"):
        spec = sample_network(1_000_003 * seed + index, size=size, split=split)
        with torch.device("meta"):
            network, inputs = build_network(spec).eval(), example_inputs(spec)
        try:
            yield set(trace(network, inputs).op_types)
        except ArchitectureTraceError:
            continue


def stored_op_types(folder: Path, split: str) -> Iterator[set[str]]:
    """The op types of the networks of one split of a built data set, read a row group at a time.

    Raises:
        FileNotFoundError: the folder has no architectures.
    """
    paths = sorted((folder / "architectures").glob(f"{split}-*.parquet"))
    if not paths and not list((folder / "architectures").glob("*.parquet")):
        raise FileNotFoundError(f"{folder / 'architectures'} has no Parquet files; build AutoNet there first.")
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(columns=["op_types"]):
            yield from (set(row) for row in batch.column(0).to_pylist())


def shares(networks: Iterable[set[str]]) -> dict[str, Any]:
    """Number of networks and of op types, and for each op type category, source and share; rarest first."""
    counts: Counter[str] = Counter()
    total = 0
    for op_types in networks:
        total += 1
        counts.update(op_types - set(GRAPH_ENDS))
    rows = {}
    for name in sorted({*counts, *REPERTOIRE}, key=lambda name: (counts[name], name)):
        category, source = REPERTOIRE.get(name, ("", ""))
        rows[name] = {"category": category, "source": source, "share": round(counts[name] / max(total, 1), 5)}
    return {"networks": total, "op_types_that_occur": len(counts), "op_types": rows}


def complaints(result: dict[str, Any], held_out: bool = False) -> list[str]:
    """What is wrong with the shares of a split: op types outside the table and, unless held out, rare ones."""
    wrong = []
    for name, row in result["op_types"].items():
        if name not in REPERTOIRE:
            wrong.append(f"{name} is not in the repertoire")
        elif row["share"] < MIN_SHARE and not held_out:
            wrong.append(f"{name} is in {row['share']:.2%} of the networks, less than {MIN_SHARE:.1%}")
    return wrong


def main() -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(description="Shares of networks by op type.")
    parser.add_argument("--data", type=Path, help="folder of a built AutoNet")
    parser.add_argument("--count", type=int, default=1000, help="networks to draw where no folder is given")
    parser.add_argument("--seed", type=int, default=1, help="seed of these draws")
    parser.add_argument("--split", default="train", choices=SPLIT_STYLES, help="mix of styles of these draws")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    if arguments.data:
        results = {split: shares(stored_op_types(arguments.data, split)) for split in SPLIT_STYLES}
    else:
        results = {arguments.split: shares(drawn_op_types(arguments.count, arguments.seed, arguments.split))}
    results = {split: result for split, result in results.items() if result["networks"]}
    wrong = [f"{split}: {line}" for split, result in results.items() for line in complaints(result, split == "test")]
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")
    for split, result in results.items():
        rarest = next(iter(result["op_types"].items()))
        print(
            f"{split}: {result['networks']} networks, {result['op_types_that_occur']} op types, "
            f"the rarest is {rarest[0]} with {rarest[1]['share']:.2%}"
        )
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
