"""Search in a million embeddings: ``python benchmarks/search.py --data data/autonet-full/architectures``.

* The vectors: networks of the training split of AutoNet, embedded by the checkpoint, and interpolations between two of
  them that lie near each other, of length 1. Interpolations are no networks: they fill the space where networks are.
* Measured: memory of the process, time to build, save and load, p50 and p99 of a query on one thread, and recall: the
  share of the ten best of an exhaustive comparison that a search finds. Time is processor time, that of a machine
  without other work. Queries are texts, networks of the index, and networks of the validation split, which it has not.
* How many cells a search looks into is chosen on queries of its own (`tuning`); the figures are of others.
* Embeddings are kept beside the output (`--cache`), so that a second call starts with the search.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from archbert.index import EXACT_ROWS, LISTS, ArchitectureIndex, table_of  # noqa: E402
from processing_archbert.graph_overview_archbert import NUMBERS  # noqa: E402

K = 10
NEIGHBOURS = 32
PROBED = (4, 16, 64, 256)
BATCH, SAVED_EVERY = 50, 500
TEXTS = (
    "a convolutional network", "a transformer with rotary position embeddings", "it has more than 100 layers",
    "a recurrent network", "a small network with few parameters", "a network with grouped convolutions",
    "it uses LayerNorm and GELU", "a network with skip connections", "it has a max pooling layer",
    "depthwise separable convolutions", "a mixture of experts", "a network that ends in a linear classifier",
)  # fmt: skip


def embedded(data: Path, split: str, cache: Path, model: str | None, limit: int) -> np.ndarray:
    """Embeddings of the first networks of a split, float32 (networks, d), kept in a file.

    Args:
        data: folder with rows of graphs in Parquet files.
        split: `train` or `validation`.
        cache: `.npy` file; what it holds already is not embedded again.
        model: the checkpoint.
        limit: how many networks at most.
    """
    from archbert.embedding import Embedder
    from processing_archbert import ArchitectureGraph

    known = np.load(cache) if cache.is_file() else np.zeros((0, 0), np.float32)
    if len(known) >= limit:
        return known[:limit]
    embedder, found, seen = Embedder(model), list(known), 0
    for file in sorted(data.glob(f"{split}-*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(BATCH):
            seen += batch.num_rows
            if seen <= len(found):
                continue
            rows = batch.slice(max(0, batch.num_rows - (seen - len(found)))).to_pylist()
            found.extend(embedder.architectures([ArchitectureGraph.from_row(row) for row in rows], 16))
            if len(found) >= limit or seen % SAVED_EVERY == 0:
                np.save(cache, np.stack(found))
            if len(found) >= limit:
                return np.stack(found)[:limit]
    return np.stack(found)


def interpolated(vectors: np.ndarray, rows: int, seed: int = 0) -> np.ndarray:
    """The vectors, and points between each and one of its nearest neighbours, float32 (rows, d), of length 1."""
    import faiss

    random = np.random.default_rng(seed)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    near = flat.search(vectors, NEIGHBOURS)[1]
    first = random.integers(0, len(vectors), rows - len(vectors))
    second = near[first, random.integers(1, NEIGHBOURS, len(first))]
    share = random.random((len(first), 1), dtype=np.float32)
    between = vectors[first] * share + vectors[second] * (1 - share)
    return np.concatenate([vectors, between / np.linalg.norm(between, axis=1, keepdims=True)]).astype(np.float32)


def synthetic_table(rows: int) -> Any:
    """A table of an index with a name and a number of parameters for every vector."""
    names = pa.array([f"vector-{i}" for i in range(rows)])
    empty = table_of([])
    columns = {}
    for field in empty.schema:
        if field.name in ("name", "source", "graph_hash"):
            columns[field.name] = names
        elif field.name in NUMBERS:
            columns[field.name] = pa.array(np.arange(rows) if field.name == "parameters" else np.zeros(rows, np.int64))
        elif field.name in LISTS:
            columns[field.name] = pa.array([[]] * rows, field.type)
        else:
            columns[field.name] = pa.array([""] * rows)
    return pa.table(columns, schema=empty.schema)


def memory() -> float:
    """Memory of this process that is resident now, in GiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**30


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What a function gives, and its seconds of processor time."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def measure_queries(index: ArchitectureIndex, queries: np.ndarray) -> dict[str, Any]:
    """p50 and p99 in milliseconds of searches for `K`, and their recall against comparing with every vector."""
    milliseconds, shares = [], []
    index.search(queries[0], K)
    for query in queries:
        hits, seconds = timed(lambda query=query: index.search(query, K))
        milliseconds.append(1000 * seconds)
        scores = index.embeddings @ query
        worst = np.partition(scores, -K)[-K]
        true = scores[[int(hit.name.removeprefix("vector-")) for hit in hits]]
        shares.append(float((true >= worst - 1e-6).sum()) / K)
    p50, p99 = (round(float(np.percentile(milliseconds, share)), 2) for share in (50, 99))
    return {"queries": len(queries), "p50 ms": p50, "p99 ms": p99, f"recall@{K}": round(float(np.mean(shares)), 4)}


def tuning(index: ArchitectureIndex, queries: np.ndarray) -> dict[str, float]:
    """Recall of a large index by the number of cells that a search looks into."""
    import faiss

    index.search(queries[0], K)
    cells = faiss.extract_index_ivf(index.searchable().get_index("embedding").faiss_index)
    kept, found = cells.nprobe, {}
    for probed in PROBED:
        cells.nprobe = probed
        found[str(probed)] = measure_queries(index, queries)[f"recall@{K}"]
    cells.nprobe = kept
    return found


def measure(vectors: np.ndarray, queries: dict[str, np.ndarray], real: int, tuned_on: np.ndarray) -> dict[str, Any]:
    """All figures of an index of these vectors, of which the first `real` are networks."""
    before = memory()
    with tempfile.TemporaryDirectory() as folder:
        _, build = timed(lambda: ArchitectureIndex(synthetic_table(len(vectors)), vectors, "benchmark").save(folder))
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        loaded, load = timed(lambda: ArchitectureIndex.load(folder))
        _, first = timed(lambda: loaded.search(vectors[0], K))
        result: dict[str, Any] = {
            "vectors": len(vectors), "networks": real, "width": vectors.shape[1], "exact": len(vectors) <= EXACT_ROWS,
            "build and save seconds": round(build, 1), "size on disk GiB": round(size / 2**30, 2),
            "load seconds": round(load, 1), "first search seconds": round(first, 2),
            "memory GiB": round(memory() - before, 2),
        }  # fmt: skip
        if not result["exact"]:
            result[f"recall@{K} of the tuning queries, by cells looked into"] = tuning(loaded, tuned_on)
        result["searches"] = {name: measure_queries(loaded, found) for name, found in queries.items()}
        few = f"parameters<{len(vectors) // 100}"
        found = [timed(lambda q=q: loaded.search(q, K, few))[1] for q in queries["networks in the index"][:5]]
        result["with a filter, median ms"] = round(1000 * float(np.median(found)), 1)
        _, exhaustive = timed(lambda: [loaded.embeddings @ query for query in queries["networks in the index"][:20]])
        result["exhaustive comparison ms"] = round(1000 * exhaustive / 20, 1)
    return result


def main(given: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of architectures of AutoNet")
    parser.add_argument("--model", help="checkpoint: a folder or a Hub id")
    parser.add_argument("--networks", type=int, default=20_000, help="networks that are embedded")
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 1_000_000], help="sizes of indexes")
    parser.add_argument("--queries", type=int, default=200, help="queries of each kind")
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "search", help="folder of embeddings")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args(given)
    options.cache.mkdir(parents=True, exist_ok=True)
    from archbert.embedding import Embedder

    embedder = Embedder(options.model)
    networks = embedded(options.data, "train", options.cache / "train.npy", options.model, options.networks)
    unseen = embedded(options.data, "validation", options.cache / "validation.npy", options.model, 2 * options.queries)
    known = np.random.default_rng(1).permutation(len(networks))[: 2 * options.queries]
    half = options.queries
    tuned_on = np.concatenate([networks[known[half:]], unseen[half:]])
    queries = {
        "texts": embedder.texts(list(TEXTS)),
        "networks in the index": networks[known[:half]],
        "networks that are not": unseen[:half],
    }
    import faiss

    faiss.omp_set_num_threads(1)
    figures = []
    for rows in options.rows:
        vectors = interpolated(networks, rows) if rows > len(networks) else networks[:rows]
        figures.append(measure(vectors, queries, min(rows, len(networks)), tuned_on))
        sys.stdout.write(json.dumps(figures[-1], indent=1) + "\n")
    if options.output:
        told = {"checkpoint": Path(embedder.name).name, "cpu": platform.processor() or platform.machine(),
                "cores": os.cpu_count(), "threads": 1, "faiss": faiss.__version__, "indexes": figures}  # fmt: skip
        options.output.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
