"""Generates AutoNet (paper, section 4.2): networks, their graphs, descriptions and questions, as Parquet.

    python -m dataset_scripts.autonet.generate_autonet --num_train 2000 --num_validation 300 --out DIR --num_proc 2

* Every architecture has a seed of its own, made of (seed, split, index), so the same arguments give the same bytes for
  any number of processes, and the validation split does not depend on the size of the train split.
* No two architectures have the same `graph_hash`; one that is there already is drawn again.
* A network that cannot be traced is an error.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm.auto import tqdm

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.tracing_archbert import ArchitectureTraceError, trace

from .captions_autonet import write_captions
from .card_autonet import Statistics, write_card
from .descriptions_autonet import matched_descriptions, paper_descriptions
from .hard_questions_autonet import hard_row, sample_hard_questions
from .hard_views_autonet import all_views
from .networks_autonet import build_network, example_inputs, sample_network
from .questions_autonet import sample_questions

SPLITS = ("train", "validation")
MAX_ATTEMPTS = 50
ROWS_PER_GROUP = 2000
_CHUNK = 8

_INTS, _LONGS, _TEXTS = pa.list_(pa.int32()), pa.list_(pa.int64()), pa.list_(pa.string())

SCHEMAS: dict[str, pa.Schema] = {
    "architectures": pa.schema(
        [
            ("arch_id", pa.string()), ("style", pa.string()), ("network", pa.string()), ("op_types", _TEXTS),
            ("shapes", _INTS), ("attributes", _INTS), ("node_parameters", _LONGS), ("src", _INTS), ("dst", _INTS),
            ("node_names", _TEXTS), ("name", pa.string()), ("source", pa.string()), ("num_parameters", pa.int64()),
            ("unused_parameters", pa.int64()), ("incomplete", _TEXTS), ("extraction_version", pa.int32()),
            ("graph_hash", pa.string()),
        ]
    ),
    "descriptions": pa.schema(
        [
            ("arch_id", pa.string()), ("text", pa.string()), ("label", pa.int32()), ("negative_kind", pa.string()),
            ("group", pa.string()), ("claims", pa.string()),
        ]
    ),
    "aqa": pa.schema(
        [
            ("arch_id", pa.string()), ("question", pa.string()), ("question_type", pa.string()),
            ("subject", pa.string()), ("answers", _TEXTS),
        ]
    ),
    "aqa_hard": pa.schema(
        [
            ("arch_id", pa.string()), ("view", pa.string()), ("question", pa.string()), ("question_type", pa.string()),
            ("subject", pa.string()), ("answers", _TEXTS), ("answer_type", pa.string()), ("group", pa.string()),
        ]
    ),
    "captions": pa.schema(
        [
            ("arch_id", pa.string()), ("text", pa.string()), ("length", pa.string()), ("style", pa.string()),
            ("claims", pa.string()),
        ]
    ),
}  # fmt: skip
"""Config -> columns."""


@dataclass(frozen=True)
class Order:
    """What to draw: the arguments of one architecture. `attempt` counts draws that were duplicates or cannot run."""

    seed: int
    split: str
    index: int
    attempt: int = 0
    style: str | None = None
    size: str = "normal"

    @property
    def arch_id(self) -> str:
        """Identifier of the architecture in all configs."""
        return f"{self.split}-{self.index:06d}"

    @property
    def random_seed(self) -> int:
        """Seed of everything that is random in this architecture and its texts, from 0 to 2**63 - 1."""
        text = f"autonet/{self.seed}/{self.split}/{self.index}/{self.attempt}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


class Sample(NamedTuple):
    """One architecture with its texts: the graph and a table of rows for each config."""

    graph: ArchitectureGraph
    tables: dict[str, pa.Table]


def sample_architecture(order: Order) -> Sample:
    """Draw a network, trace it and write its paper-like descriptions, its questions and its captions.

    Raises:
        ArchitectureTraceError: the network cannot be traced.
    """
    spec = sample_network(order.random_seed, style=order.style, size=order.size)
    with torch.device("meta"):
        network, inputs = build_network(spec), example_inputs(spec)
    try:
        graph = trace(network.eval(), inputs, name=order.arch_id)
    except ArchitectureTraceError as error:
        raise ArchitectureTraceError(f"{order} of style {spec['style']!r}: {error}") from error
    facts = GraphFacts(graph)
    rng = random.Random(f"{order.random_seed}/texts")
    ids = {"arch_id": order.arch_id}
    row = ids | {"style": spec["style"], "network": json.dumps(spec, sort_keys=True)} | graph.to_row()
    descriptions = [ids | d._asdict() for d in paper_descriptions(rng, facts)]
    questions = [
        ids | {"question": q.text, "question_type": q.question_type, "subject": q.subject, "answers": list(q.answers)}
        for q in sample_questions(rng, facts, split=order.split)
    ]
    hard = sample_hard_questions(
        random.Random(f"{order.random_seed}/hard"), all_views(graph, network), split=order.split
    )
    captions = [ids | c._asdict() for c in write_captions(random.Random(f"{order.random_seed}/captions"), facts)]
    return Sample(
        graph,
        {
            "architectures": _table("architectures", [row]),
            "descriptions": _table("descriptions", descriptions),
            "aqa": _table("aqa", questions),
            "aqa_hard": _table("aqa_hard", [hard_row(order.arch_id, question) for question in hard]),
            "captions": _table("captions", captions),
        },
    )


def try_architecture(order: Order) -> Sample | str:
    """`sample_architecture`, or why the network that was drawn cannot run (sizes that shrank too far, say)."""
    try:
        return sample_architecture(order)
    except ArchitectureTraceError as error:
        return str(error)


def generate(
    num_train: int,
    num_validation: int,
    seed: int,
    output_dir: str | Path,
    num_proc: int = 1,
    style: str | None = None,
    size: str = "normal",
) -> None:
    """Write AutoNet as `<config>/<split>-00000-of-00001.parquet` and a README that `load_dataset` reads.

    The same arguments (but for `output_dir` and `num_proc`) give the same bytes. With `num_proc > 1` processes are
    spawned, so the calling script needs an `if __name__ == "__main__"` guard.

    Args:
        num_train: number of architectures to train on, 1 or more.
        num_validation: number of architectures to validate on, 1 or more.
        seed: decides everything.
        output_dir: folder to write to; files of an earlier call are overwritten.
        num_proc: number of processes.
        style: a style of network to draw exclusively; None draws the usual mix.
        size: `"normal"` or `"tiny"`.

    Raises:
        ValueError: a count below 1, or a style that has no more distinct networks.
        ArchitectureTraceError: networks cannot be traced, however often one is drawn.
    """
    counts = {"train": num_train, "validation": num_validation}
    for name, value in {"num_train": num_train, "num_validation": num_validation, "num_proc": num_proc}.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; 1 or more is allowed.")
    output = Path(output_dir)
    taken: set[str] = set()
    statistics: dict[str, Statistics] = {}
    with _mapper(num_proc) as run:
        for split in reversed(SPLITS):
            orders = [Order(seed, split, index, style=style, size=size) for index in range(counts[split])]
            samples = _distinct_samples(orders, taken, run)
            statistics[split] = _write_split(output, split, samples, seed)
    arguments = {"num_train": num_train, "num_validation": num_validation, "seed": seed, "style": style, "size": size}
    write_card(output, {split: statistics[split] for split in SPLITS}, arguments, SCHEMAS)


def _distinct_samples(
    orders: list[Order], taken: set[str], run: Callable[[list[Order], str], Iterator[Sample | str]]
) -> list[Sample]:
    """A sample for every order, none with a graph hash in `taken`, to which those of the samples are added."""
    samples: list[Sample | None] = [None] * len(orders)
    pending = orders
    while pending:
        repeated = []
        for order, sample in zip(pending, run(pending, _title(pending[0])), strict=True):
            if isinstance(sample, Sample) and sample.graph.graph_hash not in taken:
                taken.add(sample.graph.graph_hash)
                samples[order.index] = sample
            elif order.attempt + 1 < MAX_ATTEMPTS:
                repeated.append(replace(order, attempt=order.attempt + 1))
            elif isinstance(sample, str):
                raise ArchitectureTraceError(f"{MAX_ATTEMPTS} networks cannot be traced, the last one: {sample}")
            else:
                raise ValueError(
                    f"{order.arch_id}: {MAX_ATTEMPTS} networks of style {order.style!r} and size {order.size!r} were "
                    "all drawn before; ask for fewer architectures."
                )
        pending = repeated
    return [sample for sample in samples if sample is not None]


def _title(order: Order) -> str:
    """What the progress bar says."""
    return f"AutoNet {order.split}" + (f" (duplicates, draw {order.attempt + 1})" if order.attempt else "")


def _write_split(output: Path, split: str, samples: list[Sample], seed: int) -> Statistics:
    facts = [GraphFacts(sample.graph) for sample in samples]
    matched: list[list[dict[str, Any]]] = [[] for _ in samples]
    for index, description in matched_descriptions(random.Random(f"autonet/{seed}/{split}/matched"), facts):
        row = {"arch_id": samples[index].graph.name} | description._asdict()
        matched[index].append(row | {"group": f"{split}-{row['group']}"})
    for sample, rows in zip(samples, matched, strict=True):
        sample.tables["descriptions"] = pa.concat_tables([sample.tables["descriptions"], _table("descriptions", rows)])
    tables = {config: pa.concat_tables([sample.tables[config] for sample in samples]) for config in SCHEMAS}
    for config, table in tables.items():
        path = output / config / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.combine_chunks(), path, row_group_size=ROWS_PER_GROUP, compression="zstd")
    return Statistics.of([sample.graph for sample in samples], tables)


def _table(config: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMAS[config])


@contextmanager
def _mapper(num_proc: int) -> Iterator[Callable[[list[Order], str], Iterator[Sample | str]]]:
    """A function that draws samples in order, in this process or in others, under a progress bar."""
    if num_proc == 1:
        yield lambda orders, title: map(try_architecture, tqdm(orders, desc=title, unit="net"))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_proc, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:

        def run(orders: list[Order], title: str) -> Iterator[Sample | str]:
            drawn = pool.map(try_architecture, orders, chunksize=min(_CHUNK, -(-len(orders) // num_proc)))
            return iter(tqdm(drawn, desc=title, total=len(orders), unit="net"))

        yield run


def main() -> None:
    """Command line of `generate`."""
    parser = argparse.ArgumentParser(description="Generate AutoNet as Parquet.")
    parser.add_argument("--num_train", type=int, default=2000, help="architectures to train on")
    parser.add_argument("--num_validation", type=int, default=300, help="architectures to validate on")
    parser.add_argument("--seed", type=int, default=0, help="decides everything")
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument("--num_proc", type=int, default=1, help="number of processes; does not change a byte")
    parser.add_argument("--style", default=None, help="draw only this style of network")
    parser.add_argument("--size", default="normal", choices=("normal", "tiny"), help="size of the networks")
    arguments = parser.parse_args()
    generate(
        arguments.num_train,
        arguments.num_validation,
        arguments.seed,
        arguments.out,
        arguments.num_proc,
        arguments.style,
        arguments.size,
    )


if __name__ == "__main__":
    main()
