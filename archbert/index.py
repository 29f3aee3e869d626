"""`ArchitectureIndex`: known architectures with their facts and embeddings, searched by FAISS through `datasets`.

* On disk: `index.json` (the checkpoint, `extraction_version`, width), `rows.parquet` (facts), `embeddings.npy`.
* Architectures of equal hash are one row; the names of all stand in `aliases`.
* An index of another checkpoint or `extraction_version` is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.graph_overview_archbert import NUMBERS, parse_filter, summary
from processing_archbert.ops_archbert import EXTRACTION_VERSION

from .cli_output import CommandError

FORMAT, VERSION = "archbert-index", 1


class Hit(NamedTuple):
    """A found architecture: its name, the names of equal ones, cosine, facts, and where it came from."""

    name: str
    aliases: tuple[str, ...]
    score: float
    facts: Mapping[str, Any]
    source: str

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of plain values."""
        return {"name": self.name, "aliases": list(self.aliases), "score": round(self.score, 4),
                "source": self.source, "facts": dict(self.facts)}  # fmt: skip


def model_fingerprint(model: Any) -> str:
    """What tells one checkpoint from another: a digest of its weights, at every 97th value, and their names."""
    digest = hashlib.blake2b(digest_size=12)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().flatten()[::97].float().numpy().tobytes())
    return digest.hexdigest()


class ArchitectureIndex:
    """Architectures that can be searched.

    Args:
        rows: facts of each architecture, with `source`, `graph_hash` and `aliases`.
        embeddings: float32 (rows, d), of length 1.
        model: fingerprint of the checkpoint that made them.
    """

    def __init__(self, rows: list[dict[str, Any]], embeddings: np.ndarray, model: str) -> None:
        if len(rows) != len(embeddings):
            raise ValueError(f"There are {len(rows)} rows and {len(embeddings)} embeddings; give equal numbers.")
        self.rows, self.embeddings, self.model = rows, np.ascontiguousarray(embeddings, dtype=np.float32), model
        self._dataset: Any = None

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def build(cls, graphs: Iterable[tuple[str, ArchitectureGraph]], embedder: Any) -> ArchitectureIndex:
        """An index of `(source, graph)` pairs; an architecture that comes again becomes an alias."""
        rows: dict[str, dict[str, Any]] = {}
        vectors = []
        for source, graph in graphs:
            known = rows.get(graph.graph_hash)
            if known is not None:
                known["aliases"] = list(dict.fromkeys([*known["aliases"], source]))
                continue
            vectors.append(embedder.architectures([graph])[0])
            rows[graph.graph_hash] = row_of(source, graph)
        stacked = np.stack(vectors) if vectors else np.zeros((0, embedder.config.hidden_size), np.float32)
        return cls(list(rows.values()), stacked, model_fingerprint(embedder.model))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the index; `index.json` last, so that an unfinished one does not load."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(self.rows), path / "rows.parquet", compression="zstd")
        np.save(path / "embeddings.npy", self.embeddings)
        about = {"format": FORMAT, "version": VERSION, "model": self.model, "extraction_version": EXTRACTION_VERSION,
                 "rows": len(self), "width": int(self.embeddings.shape[1])}  # fmt: skip
        unfinished = path / "index.json.new"
        unfinished.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path / "index.json")

    @classmethod
    def load(cls, folder: str | os.PathLike[str], model: str = "") -> ArchitectureIndex:
        """Reads an index.

        Args:
            folder: where `save` wrote it.
            model: fingerprint of the checkpoint that will search it; empty for any.

        Raises:
            CommandError: it is no index, or one of another checkpoint or extraction version.
        """
        path = Path(folder)
        try:
            about = json.loads((path / "index.json").read_text(encoding="utf-8"))
            wrong = about.get("format") != FORMAT or about.get("version") != VERSION
        except (OSError, ValueError) as error:
            raise CommandError(
                f"{str(folder)!r} is no index ({error}); make one with: archbert index build SOURCE... -o {folder}"
            ) from error
        if wrong:
            raise CommandError(f"{str(folder)!r} is no index of version {VERSION}; build it again.")
        if about["extraction_version"] != EXTRACTION_VERSION:
            raise CommandError(
                f"The index {str(folder)!r} was made with extraction version {about['extraction_version']}, this is "
                f"{EXTRACTION_VERSION}; build it again."
            )
        if model and about["model"] != model:
            raise CommandError(
                f"The index {str(folder)!r} was made with another checkpoint ({about['model']}, not {model}); name "
                "that one with --model, or build the index again."
            )
        import pyarrow.parquet as pq

        rows = pq.read_table(path / "rows.parquet").to_pylist()
        return cls(rows, np.load(path / "embeddings.npy", allow_pickle=False), about["model"])

    def search(self, vector: np.ndarray, k: int = 10, where: str = "") -> list[Hit]:
        """The nearest architectures, best first.

        Args:
            vector: float32 (d,), of length 1.
            k: how many.
            where: a filter on facts, as `parse_filter` takes it.

        Raises:
            ValueError: `k` is below 1.
            ArchitectureGraphError: the filter is none.
        """
        if k < 1:
            raise ValueError(f"k is {k}; 1 or more architectures can be found.")
        fits: Callable[[Mapping[str, Any]], bool] | None = parse_filter(where) if where else None
        if not self.rows:
            return []
        if fits is None:
            scores, order = self._faiss(vector, min(k, len(self)))
        else:
            kept = np.array([i for i, row in enumerate(self.rows) if fits(row)], dtype=np.int64)
            found = self.embeddings[kept] @ vector if len(kept) else np.zeros(0, np.float32)
            best = np.argsort(-found, kind="stable")[:k]
            scores, order = found[best], kept[best]
        return [self._hit(int(i), float(s)) for s, i in zip(scores, order, strict=True)]

    def _faiss(self, vector: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            import faiss
            from datasets import Dataset
        except ImportError as error:
            raise CommandError(f"A search needs {error.name}: pip install 'archbert[search]'.") from error
        if self._dataset is None:
            self._dataset = Dataset.from_dict({"embedding": self.embeddings})
            self._dataset.add_faiss_index_from_external_arrays(
                self.embeddings, index_name="embedding", metric_type=faiss.METRIC_INNER_PRODUCT
            )
        found = self._dataset.search("embedding", vector.astype(np.float32), k=k)
        return np.asarray(found.scores), np.asarray(found.indices)

    def _hit(self, index: int, score: float) -> Hit:
        row = self.rows[index]
        facts = {name: row[name] for name in ("family", *NUMBERS)}
        return Hit(row["name"], tuple(row["aliases"]), score, facts, row["source"])


def row_of(source: str, graph: ArchitectureGraph) -> dict[str, Any]:
    """The facts of a graph as a row of an index."""
    facts = summary(graph)
    row = {name: facts[name] for name in ("name", "family", *NUMBERS)}
    return {"source": source, "graph_hash": graph.graph_hash, "aliases": [], **row}
