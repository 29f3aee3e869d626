"""Search by texts as people type them: precision at 5, by facts, with and without reading what the text says.

    python benchmarks/text_search.py --output benchmarks/results/text_search.json

* Every query of `text_search_queries` has predicates of its own over the facts of the index, written by hand and not
  by the reader of the search; a hit is right where all hold. A fact that is not known is not right. A query that no
  network of the index answers is left out.
* `embeddings` orders by the cosine of text and network alone; `facts` is the search of the command line.
* The reader was made with the first list of queries in sight; the second one was written when it was done.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
from text_search_queries import SEEN, WRITTEN_AFTER, Query, holds  # noqa: E402

from archbert.embedding import Embedder  # noqa: E402
from archbert.index import LISTS, ArchitectureIndex, Hit  # noqa: E402
from archbert.text_search import search_text  # noqa: E402
from processing_archbert.graph_overview_archbert import NUMBERS  # noqa: E402

K = 5
LISTED = {"seen": SEEN, "written after": WRITTEN_AFTER}


def rows_by_name(index: ArchitectureIndex) -> dict[str, dict[str, Any]]:
    """Facts of every network of an index."""
    columns = ["name", "library", "family", "quantities", *LISTS, *NUMBERS]
    rows = index.table.select(columns).to_pylist()
    return {row["name"]: row | {"quantities": json.loads(row["quantities"])} for row in rows}


def precision(hits: Sequence[Hit], rows: dict[str, dict[str, Any]], query: Query, right: int) -> float:
    """The share of the hits that are right, of `K` or of as many as there are."""
    return sum(holds(rows[hit.name], query) for hit in hits[:K]) / min(K, right)


def measure(index: ArchitectureIndex, embedder: Any) -> dict[str, Any]:
    """The figures of both ways for both lists."""
    rows = rows_by_name(index)
    result: dict[str, Any] = {"networks": len(index)}
    for name, queries in LISTED.items():
        vectors = embedder.texts([query.text for query in queries])
        told, milliseconds = [], []
        for query, vector in zip(queries, vectors, strict=True):
            right = sum(holds(row, query) for row in rows.values())
            if not right:
                continue
            start = time.process_time()
            found = search_text(index, query.text, vector, K)
            milliseconds.append(1000 * (time.process_time() - start))
            told.append({"query": query.text, "right": right,
                         "embeddings": precision(index.search_all(vector, K), rows, query, right),
                         "facts": precision(found, rows, query, right)})  # fmt: skip
        means = {way: round(float(np.mean([one[way] for one in told])), 3) for way in ("embeddings", "facts")}
        result[name] = {"queries": len(told), f"precision@{K}": means,
                        "median ms": round(float(np.median(milliseconds)), 1), "each": told}  # fmt: skip
    return result


def main(given: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, default=ROOT / "hub" / "index", help="folder of the index")
    parser.add_argument("--model", default=str(ROOT / "hub" / "models" / "archbert-mini"), help="its checkpoint")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args(given)
    figures = measure(ArchitectureIndex.load(options.index), Embedder(options.model))
    figures |= {"command": "python benchmarks/text_search.py", "python": platform.python_version(),
                "date": datetime.now(UTC).date().isoformat()}  # fmt: skip
    text = json.dumps(figures, indent=1)
    sys.stdout.write(f"{text}\n")
    if options.output:
        options.output.write_text(f"{text}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
