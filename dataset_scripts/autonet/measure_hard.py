"""What a question of `aqa_hard` gives away, and what the folded tokens of a graph can still tell, per type.

Usage::

    python -m dataset_scripts.autonet.measure_hard --data DIR [--twins] [--json FILE]
    python -m dataset_scripts.autonet.measure_hard --fresh 300 --seed 1 --num_proc 2 [--json FILE]

* *prior*: validation rows answered right by the most frequent training answer to the same question (type and
  subject, else type), or to the type, whichever is better.
* *ceiling*: the best that any function of folded tokens and question could do on the rows: equal encodings are put
  together, and the most frequent answer is taken. Of numbers that the tokens hold in buckets, only the bucket is taken
  as known, where that is less.
* *stable* (`--twins`): rows whose answer stays when the graph is changed without changing a byte of its encoding, by
  rewiring equal nodes and by moving sizes within their buckets. Twins are chosen to do harm; real networks are not.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import multiprocessing
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from processing_archbert.architecture_graph_archbert import ArchitectureGraph, ArchitectureGraphError
from processing_archbert.folding_archbert import node_kinds, wl_colours
from processing_archbert.graph_features_archbert import EXACT_BUCKETS, ArchBertGraphFeatureExtractor, bucket
from processing_archbert.interrupts_archbert import start_worker
from processing_archbert.tracing_archbert import ArchitectureTraceError

from .hard_facts_autonet import HardFacts
from .hard_questions_autonet import hard_answers, hard_row, sample_hard_questions
from .hard_types_autonet import HARD_TYPES
from .hard_views_autonet import all_views, view_of
from .samples_autonet import Order, draw_network

CONFIG = "aqa_hard"
PAIR_TYPE = "(pairs)"
_BUCKETED = ("width", "extreme_width", "setting", "block_repeats")
_SWAPS = 30
_LIMIT_TRIALS = 20

Rows = Sequence[Mapping[str, Any]]


def measured_type(row: Mapping[str, Any]) -> str:
    """The type that a row is counted under: its own, or `PAIR_TYPE`."""
    return PAIR_TYPE if row["group"] else row["question_type"]


def priors(train: Rows, validation: Rows) -> dict[str, float]:
    """Type -> share of validation rows that are answered right without a graph; see the module."""
    by_question: dict[Any, Counter[Any]] = defaultdict(Counter)
    for row in train:
        kind = measured_type(row)
        for key in (kind, (kind, row["question_type"], row["subject"])):
            by_question[key][tuple(row["answers"])] += 1
    right: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for row in validation:
        kind, answers = measured_type(row), tuple(row["answers"])
        of_type = by_question[kind].most_common(1)
        of_question = by_question.get((kind, row["question_type"], row["subject"]), by_question[kind]).most_common(1)
        right[kind].append((_is(of_type, answers), _is(of_question, answers)))
    return {kind: max(np.mean(pairs, axis=0).tolist()) for kind, pairs in right.items()}


def _is(common: list[tuple[Any, int]], answers: Any) -> bool:
    return bool(common) and common[0][0] == answers


def digest(graph: ArchitectureGraph, extractor: ArchBertGraphFeatureExtractor) -> str:
    """Digest of all that the model is given of a folded graph."""
    encoding = extractor.encode(graph, fold=True)
    state = hashlib.blake2b(digest_size=16)
    for field in dataclasses.fields(encoding):
        value = getattr(encoding, field.name)
        state.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
        state.update(repr(getattr(value, "shape", "")).encode())
    return state.hexdigest()


def ceilings(rows: Rows, digests: Mapping[tuple[str, str], str]) -> dict[str, float]:
    """Type -> share of rows that the best function of encoding and question answers right.

    Args:
        rows: rows of the config.
        digests: (arch_id, view) -> digest of its encoding.
    """
    groups: dict[Any, Counter[Any]] = defaultdict(Counter)
    for row in rows:
        key = measured_type(row), digests[row["arch_id"], row["view"]], row["question_type"], row["subject"]
        groups[key][tuple(row["answers"])] += 1
    right, total = Counter[str](), Counter[str]()
    for (kind, *_), answers in groups.items():
        right[kind] += answers.most_common(1)[0][1]
        total[kind] += answers.total()
    return {kind: right[kind] / total[kind] for kind in total}


def bucket_ceilings(rows: Rows) -> dict[str, float]:
    """Type -> the same where all that is known of the numbers of the answer is their buckets.

    Only types that ask for numbers which the tokens hold in buckets; counts and depths are exact in the tokens.
    """
    groups: dict[Any, Counter[tuple[int, ...]]] = defaultdict(Counter)
    for row in rows:
        if row["question_type"] in _BUCKETED and row["answer_type"] == "number":
            numbers = tuple(map(int, row["answers"]))
            groups[measured_type(row), row["question_type"], tuple(bucket(np.array(numbers)).tolist())][numbers] += 1
    right, total = Counter[str](), Counter[str]()
    for (kind, *_), found in groups.items():
        right[kind] += found.most_common(1)[0][1]
        total[kind] += found.total()
    return {kind: right[kind] / total[kind] for kind in total}


def rewired_twin(
    graph: ArchitectureGraph, extractor: ArchBertGraphFeatureExtractor, rng: random.Random
) -> ArchitectureGraph | None:
    """Another graph with the same encoding: readers of equal nodes have changed places. None where none was found."""
    numbers = bucket(np.concatenate([graph.shapes, graph.attributes], axis=1))
    colours = wl_colours(node_kinds(graph.op_types, numbers), graph.edge_index, extractor.num_fold_rounds)
    by_colour: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for source, target in graph.edge_index.T.tolist():
        by_colour[int(colours[source])].append((source, target))
    classes = [edges for edges in by_colour.values() if len({source for source, _ in edges}) > 1]
    wanted, twin, done = digest(graph, extractor), graph, 0
    for _ in range(_LIMIT_TRIALS if classes else 0):
        edges = set(map(tuple, twin.edge_index.T.tolist()))
        (a, c), (b, d) = rng.sample(rng.choice(classes), 2)
        swapped = {(a, d), (b, c)}
        if a == b or c == d or not {(a, c), (b, d)} <= edges or swapped & edges or a >= d or b >= c:
            continue
        pairs = sorted((t, s) for s, t in (edges - {(a, c), (b, d)}) | swapped)
        try:
            candidate = dataclasses.replace(twin, edge_index=np.array([(s, t) for t, s in pairs]).T)
        except ArchitectureGraphError:
            continue
        if digest(candidate, extractor) == wanted:
            twin, done = candidate, done + 1
        if done == _SWAPS:
            break
    return None if np.array_equal(twin.edge_index, graph.edge_index) else twin


def resized_twin(graph: ArchitectureGraph, rng: random.Random) -> ArchitectureGraph:
    """The graph with every number above `EXACT_BUCKETS` moved within its bucket, equal ones alike."""

    def moved(value: int) -> int:
        same = list(range(max(value * 9 // 10, EXACT_BUCKETS + 1), value * 11 // 10 + 2))
        ids = bucket(np.array(same))
        return rng.choice([v for v, i in zip(same, ids.tolist(), strict=True) if i == int(bucket(np.array(value)))])

    values = np.unique(np.concatenate([graph.shapes.ravel(), graph.attributes.ravel()])).tolist()
    table = {v: v if v <= EXACT_BUCKETS or v > 100_000 else moved(v) for v in values}
    apply = np.vectorize(table.get, otypes=[np.int64])
    return dataclasses.replace(graph, shapes=apply(graph.shapes), attributes=apply(graph.attributes))


def stability(rows: Rows, graphs: Mapping[str, ArchitectureGraph]) -> dict[str, tuple[float, float, int]]:
    """Type -> shares of rows on full graphs whose answer stays in a rewired and in a resized twin; rewired rows."""
    extractor, rng = ArchBertGraphFeatureExtractor(), random.Random(0)
    by_graph: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["view"] == "full" and row["question_type"] in HARD_TYPES:
            by_graph[row["arch_id"]].append(row)
    kept: dict[str, list[list[bool]]] = defaultdict(lambda: [[], []])
    for arch_id, asked in by_graph.items():
        twins = rewired_twin(graphs[arch_id], extractor, rng), resized_twin(graphs[arch_id], rng)
        for which, twin in enumerate(twins):
            facts = HardFacts(twin) if twin is not None else None
            for row in asked if facts else ():
                found = hard_answers(facts, row["question_type"], read_subject(row["subject"]))  # type: ignore[arg-type]
                kept[row["question_type"]][which].append(found == tuple(row["answers"]))
    return {
        kind: (float(np.mean(a)) if a else 1.0, float(np.mean(b)), len(a)) for kind, (a, b) in sorted(kept.items())
    }


def read_subject(text: str) -> tuple[str, ...]:
    """The subject that a row writes as one text."""
    return tuple(text.split(", ")) if text else ()


def _tables(folder: Path, config: str, split: str) -> list[dict[str, Any]]:
    files = sorted(folder.glob(f"{config}/{split}-*.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


class Material(NamedTuple):
    """What is measured.

    Attributes:
        train: rows that priors are learned from.
        validation: rows that they are measured on.
        digests: (arch_id, view) -> digest of its encoding.
    """

    train: Rows
    validation: Rows
    digests: Mapping[tuple[str, str], str]


def fresh_network(order: Order) -> Material:
    """The hard questions of a network that is drawn now; one that cannot run is drawn again."""
    try:
        drawn = draw_network(order)
    except ArchitectureTraceError:
        return fresh_network(dataclasses.replace(order, attempt=order.attempt + 1))
    views = all_views(drawn.graph, drawn.network)
    questions = sample_hard_questions(random.Random(f"{order.random_seed}/hard"), views, split=order.split)
    rows = [hard_row(order.arch_id, question) for question in questions]
    extractor = ArchBertGraphFeatureExtractor()
    digests = {(order.arch_id, view): digest(graph, extractor) for view, graph in views.items()}
    return Material(rows, [], digests) if order.split == "train" else Material([], rows, digests)


def fresh_material(count: int, seed: int, num_proc: int) -> Material:
    """`count` networks to learn priors from and `count` to measure on, drawn now and kept nowhere."""
    orders = [Order(seed, split, index) for split in ("train", "validation") for index in range(count)]
    with ProcessPoolExecutor(num_proc, multiprocessing.get_context("spawn"), start_worker) as pool:
        found = list(tqdm(pool.map(fresh_network, orders, chunksize=8), total=len(orders), unit="net"))
    train, validation = ([row for made in found for row in made[side]] for side in (0, 1))
    return Material(train, validation, {key: value for made in found for key, value in made.digests.items()})


def material_of(folder: Path) -> Material:
    """The rows of a data folder with the splits train and validation.

    Raises:
        ValueError: a split has no rows.
    """
    extractor = ArchBertGraphFeatureExtractor()
    rows = {split: _tables(folder, CONFIG, split) for split in ("train", "validation")}
    for split, found in rows.items():
        if not found:
            raise ValueError(f"{folder} has no rows of {CONFIG} for the split {split!r}.")
    architectures = {r["arch_id"]: r for split in rows for r in _tables(folder, "architectures", split)}
    needed = sorted({(row["arch_id"], row["view"]) for found in rows.values() for row in found})
    digests = {key: digest(view_of(architectures[key[0]], key[1]), extractor) for key in needed}
    return Material(rows["train"], rows["validation"], digests)


def twins_of(folder: Path) -> dict[str, tuple[float, float, int]]:
    """`stability` of the rows of a data folder."""
    splits = ("train", "validation")
    architectures = [row for split in splits for row in _tables(folder, "architectures", split)]
    rows = [row for split in splits for row in _tables(folder, CONFIG, split)]
    return stability(rows, {row["arch_id"]: ArchitectureGraph.from_row(row) for row in architectures})


def measure(material: Material, stable: Mapping[str, tuple[float, float, int]] | None = None) -> list[dict[str, Any]]:
    """One dictionary for each type, most frequent first; shares from 0 to 1.

    Args:
        material: the rows.
        stable: what `stability` found, to be added.
    """
    everything = [*material.train, *material.validation]
    ceiling, in_bucket = ceilings(everything, material.digests), bucket_ceilings(everything)
    prior = priors(material.train, material.validation)
    counts, validation = Counter(map(measured_type, everything)), Counter(map(measured_type, material.validation))
    table = []
    for kind, count in counts.most_common():
        lowest = min(ceiling[kind], in_bucket.get(kind, 1.0))
        line = {"type": kind, "rows": count, "prior_rows": validation[kind], "prior": prior.get(kind, 0.0)}
        table.append(line | {"ceiling": lowest} | _twins((stable or {}).get(kind)))
    return table


def _twins(found: tuple[float, float, int] | None) -> dict[str, float]:
    return {"rewired": found[0], "resized": found[1]} if found else {}


def markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """The lines of `measure` as a table, in percent."""
    names = list(dict.fromkeys(name for line in table for name in line if name != "prior_rows"))
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for line in table:
        cells = (line.get(name, "") for name in names)
        lines.append(f"| {' | '.join(f'{100 * x:.1f}' if isinstance(x, float) else str(x) for x in cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of rows, priors and ceilings in percent, and keep it as JSON if wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="folder with the Parquet files of the data set")
    source.add_argument("--fresh", type=int, help="number of networks to draw for each of two splits instead")
    parser.add_argument("--seed", type=int, default=1, help="decides which networks are drawn")
    parser.add_argument("--num_proc", type=int, default=1, help="number of processes that draw")
    parser.add_argument("--twins", action="store_true", help="also change graphs of --data, but not their encodings")
    parser.add_argument("--json", type=Path, help="file to write the table to")
    options = parser.parse_args(arguments)
    if options.twins and not options.data:
        parser.error("--twins needs --data")
    if options.data:
        table = measure(material_of(options.data), twins_of(options.data) if options.twins else None)
    else:
        table = measure(fresh_material(options.fresh, options.seed, options.num_proc))
    print(markdown(table))
    if options.json:
        given = f"--data DIR{' --twins' if options.twins else ''}"
        given = given if options.data else f"--fresh {options.fresh} --seed {options.seed}"
        result = {"command": f"python -m dataset_scripts.autonet.measure_hard {given}", "types": table}
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
