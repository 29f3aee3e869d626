"""`ArchitectureIndex`: known architectures with their facts and embeddings, searched by FAISS through `datasets`.

* On disk: `index.json` (the checkpoint, `extraction_version`, width) and `architectures.parquet` (facts, hashes,
  caption, embedding), which `datasets` reads as it is; of a large index also the trained `embedding.faiss`.
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
from processing_archbert.graph_overview_archbert import NUMBERS, parse_filter
from processing_archbert.ops_archbert import EXTRACTION_VERSION

from .cli_output import CommandError

FORMAT, VERSION = "archbert-index", 1
ABOUT_FILE, ROWS_FILE, FAISS_FILE = "index.json", "architectures.parquet", "embedding.faiss"
TEXTS = ("name", "source", "library", "config", "graph_hash", "topology_hash", "family", "caption", "quantities")
"""Columns of text of an index; numbers are those of `NUMBERS`. `quantities` is JSON: what `index_facts` tells."""
LISTS = ("aliases", "properties", "modalities")
"""Columns of lists of texts."""
EXACT_ROWS = 50_000
"""Up to so many architectures a search compares all; a larger index looks into the nearest cells of a partition."""
_CELLS_PROBED = 64
_TRAINING_PER_CELL = 64
_CANDIDATES = 10
"""How many times more than asked for a large index looks up, to order them by their exact cosines."""


class Hit(NamedTuple):
    """A found architecture: its name, the names of equal ones, cosine, facts, and where it came from.

    `fits` is, of a search by a text that says something checkable, the share of it that holds; else None.
    """

    name: str
    aliases: tuple[str, ...]
    score: float
    facts: Mapping[str, Any]
    source: str
    caption: str = ""
    fits: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of plain values."""
        return {"name": self.name, "aliases": list(self.aliases), "score": round(self.score, 4), "source": self.source,
                "caption": self.caption, "fits": self.fits, "facts": dict(self.facts)}  # fmt: skip


class Entry(NamedTuple):
    """An architecture for an index.

    Attributes:
        source: what names it.
        graph: its graph.
        name: by default the graph's.
        aliases: other names of it.
        library: of which it is a network, with its version.
        config: configuration of transformers as JSON, where `source` is not enough to build it.
    """

    source: str
    graph: ArchitectureGraph
    name: str = ""
    aliases: tuple[str, ...] = ()
    library: str = ""
    config: str = ""


def model_fingerprint(model: Any) -> str:
    """What tells one checkpoint from another: a digest of its weights, at every 97th value, and their names."""
    digest = hashlib.blake2b(digest_size=12)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().flatten()[::97].float().cpu().numpy().tobytes())
    return digest.hexdigest()


class ArchitectureIndex:
    """Architectures that can be searched.

    Args:
        table: a `pyarrow.Table` with the columns `TEXTS`, `LISTS` and `NUMBERS`, one row for each architecture.
        embeddings: float32 (rows, d), of length 1.
        model: fingerprint of the checkpoint that made them.

    Raises:
        ValueError: there are not as many rows as embeddings.
    """

    def __init__(self, table: Any, embeddings: np.ndarray, model: str) -> None:
        if table.num_rows != len(embeddings):
            raise ValueError(f"There are {table.num_rows} rows and {len(embeddings)} embeddings; give equal numbers.")
        self.table, self.model = table, model
        self.embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
        self._dataset: Any = None
        self._faiss_file: Path | None = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @classmethod
    def build(cls, entries: Iterable[Entry], embedder: Any, batch_size: int = 1) -> ArchitectureIndex:
        """An index of architectures; one that comes again becomes an alias.

        Args:
            entries: in the order of the rows.
            embedder: an `archbert.embedding.Embedder`.
            batch_size: how many are embedded at once; one by one, no architecture changes another's last bits.
        """
        rows: dict[str, dict[str, Any]] = {}
        vectors = [np.zeros((0, embedder.config.hidden_size), np.float32)]
        waiting: list[ArchitectureGraph] = []
        for entry in entries:
            known = rows.get(entry.graph.graph_hash)
            if known is not None:
                _add_names(known, [entry.name or entry.source, *entry.aliases])
                continue
            rows[entry.graph.graph_hash] = row_of(entry)
            waiting.append(entry.graph)
            if len(waiting) == batch_size:
                vectors.append(embedder.architectures(waiting, batch_size))
                waiting = []
        vectors.append(embedder.architectures(waiting, batch_size))
        return cls(table_of(list(rows.values())), np.concatenate(vectors), model_fingerprint(embedder.model))

    @classmethod
    def merge(cls, parts: Iterable[ArchitectureIndex]) -> ArchitectureIndex:
        """One index of several, in their order; an architecture that comes again becomes an alias.

        Raises:
            ValueError: there are none, or they are of different checkpoints.
        """
        rows: dict[str, dict[str, Any]] = {}
        vectors, models = [], set()
        for part in parts:
            models.add(part.model)
            kept = []
            for i, row in enumerate(part.table.to_pylist()):
                if row["graph_hash"] in rows:
                    _add_names(rows[row["graph_hash"]], [row["name"], *row["aliases"]])
                else:
                    rows[row["graph_hash"]] = row
                    kept.append(i)
            vectors.append(part.embeddings[kept])
        if len(models) != 1:
            raise ValueError(f"There are indexes of {len(models)} checkpoints; those of one can be merged.")
        return cls(table_of(list(rows.values())), np.concatenate(vectors), models.pop())

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the index; `index.json` last, so that an unfinished one does not load.

        Raises:
            CommandError: it is a large one, and `faiss` or `datasets` is missing.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        width = int(self.embeddings.shape[1])
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(self.embeddings.reshape(-1)), width)
        pq.write_table(
            self.table.append_column("embedding", vectors), path / ROWS_FILE, compression="zstd", row_group_size=50_000
        )
        if len(self) > EXACT_ROWS:
            self.searchable().save_faiss_index("embedding", str(path / FAISS_FILE))
        about = {"format": FORMAT, "version": VERSION, "model": self.model, "extraction_version": EXTRACTION_VERSION,
                 "rows": len(self), "width": width}  # fmt: skip
        unfinished = path / f"{ABOUT_FILE}.new"
        unfinished.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path / ABOUT_FILE)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], model: str = "") -> ArchitectureIndex:
        """Reads an index.

        Args:
            folder: where `save` wrote it, or the Hub id of a data set.
            model: fingerprint of the checkpoint that will search it; empty for any.

        Raises:
            CommandError: it is no index, or one of another checkpoint or extraction version, or cannot be fetched.
        """
        from .cli_sources import find_index

        path = Path(find_index(os.fspath(folder)))
        about = _read_about(path)
        import pyarrow.parquet as pq

        table = _completed(pq.read_table(path / ROWS_FILE))
        embeddings = table.column("embedding").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        index = cls(table.drop_columns("embedding"), embeddings.reshape(-1, about["width"]), about["model"])
        index._faiss_file = path / FAISS_FILE
        if model:
            index.check_model(model, folder)
        return index

    def check_model(self, model: str, name: str | os.PathLike[str] = "") -> None:
        """Refuses the fingerprint of another checkpoint than the one whose embeddings these are.

        Raises:
            CommandError: it is another one.
        """
        if self.model != model:
            raise CommandError(
                f"The index {os.fspath(name)!r} was made with another checkpoint ({self.model}, not {model}); name "
                "that one with --model, or build the index again."
            )

    def search(self, vector: np.ndarray, k: int = 10, where: str = "") -> list[Hit]:
        """The nearest architectures, best first; with a filter, or up to `EXACT_ROWS`, exactly these.

        Args:
            vector: float32 (d,), of length 1.
            k: how many.
            where: a filter on facts, as `parse_filter` takes it.

        Raises:
            ValueError: `k` is below 1.
            ArchitectureGraphError: the filter is none.
            CommandError: `faiss` or `datasets` is missing.
        """
        if k < 1:
            raise ValueError(f"k is {k}; 1 or more architectures can be found.")
        fits: Callable[[Mapping[str, Any]], bool] | None = parse_filter(where) if where else None
        if not len(self):
            return []
        if fits is not None:
            facts = self.table.select(["name", "family", *NUMBERS])
            rows = (row for batch in facts.to_batches(10_000) for row in batch.to_pylist())
            kept = np.array([i for i, row in enumerate(rows) if fits(row)], dtype=np.int64)
            return self._best(kept, vector, k)
        asked = k if len(self) <= EXACT_ROWS else _CANDIDATES * k  # rounded vectors find them, exact ones order them
        found = self.searchable().search("embedding", vector.astype(np.float32), k=min(asked, len(self)))
        return self._best(np.array([i for i in found.indices if i >= 0], dtype=np.int64), vector, k)

    def neighbours(self, graph_hash: str, k: int = 10) -> list[Hit] | None:
        """The nearest architectures of one that is in the index, itself first; needs no checkpoint and no FAISS.

        Args:
            graph_hash: of the architecture.
            k: how many.

        Returns:
            None where the index does not have it.
        """
        equal = np.flatnonzero(self.table.column("graph_hash").to_numpy() == graph_hash)
        return self.search_all(self.embeddings[equal[0]], k) if len(equal) else None

    def search_all(self, vector: np.ndarray, k: int = 10) -> list[Hit]:
        """The nearest architectures by comparing with every one; needs no FAISS. Arguments: see `search`."""
        return self._best(None, vector, k)

    def embedding(self, name: str) -> np.ndarray | None:
        """The embedding, float32 (d,), of the architecture with a name or an alias; None where none has it."""
        place = self.place_of(name, prefixes=("",))
        return None if place is None else np.asarray(self.embeddings[place])

    def place_of(self, name: str, prefixes: Iterable[str] = ("", "timm:", "torchvision:")) -> int | None:
        """The row of the architecture that has a name or an alias, behind the first of the prefixes that is found."""
        columns = [self.table.column(column).to_pylist() for column in ("name", "aliases")]
        for wanted in (f"{prefix}{name}" for prefix in prefixes if name):
            for place, (own, aliases) in enumerate(zip(*columns, strict=True)):
                if wanted == own or wanted in aliases:
                    return place
        return None

    def _best(self, kept: np.ndarray | None, vector: np.ndarray, k: int) -> list[Hit]:
        """The nearest of the rows `kept` (None: of all), by comparing with each."""
        found = self.embeddings @ vector if kept is None else self.embeddings[kept] @ vector
        best = np.argsort(-found, kind="stable")[:k]
        return [self.hit(int(i if kept is None else kept[i]), float(found[i])) for i in best]

    def searchable(self) -> Any:
        """The embeddings as a `datasets.Dataset` with the FAISS index `embedding`, made at the first search.

        Raises:
            CommandError: `faiss` or `datasets` is missing.
        """
        if self._dataset is not None:
            return self._dataset
        try:
            import faiss
            from datasets import Dataset
        except ImportError as error:
            raise CommandError(f"A search needs {error.name}: pip install 'archbert[search]'.") from error
        dataset = Dataset.from_dict({"row": range(len(self))})
        if self._faiss_file is not None and self._faiss_file.is_file():
            dataset.load_faiss_index("embedding", str(self._faiss_file))
        else:
            made = faiss_index(self.embeddings)
            dataset.add_faiss_index_from_external_arrays(
                self.embeddings, index_name="embedding", custom_index=made, batch_size=10_000
            )
        if len(self) > EXACT_ROWS:
            faiss.extract_index_ivf(dataset.get_index("embedding").faiss_index).nprobe = _CELLS_PROBED
        self._dataset = dataset
        return dataset

    def hit(self, index: int, score: float) -> Hit:
        """The architecture of a row, with a score."""
        row = self.table.slice(index, 1).to_pylist()[0]
        facts = {name: row[name] for name in ("family", *NUMBERS)}
        return Hit(row["name"], tuple(row["aliases"]), score, facts, row["source"], row["caption"])


def faiss_index(embeddings: np.ndarray) -> Any:
    """An empty FAISS index for inner products: exact up to `EXACT_ROWS`, else trained cells with 8-bit vectors.

    Args:
        embeddings: float32 (rows, d); a sample of them trains the cells.
    """
    import faiss

    rows, width = embeddings.shape
    if rows <= EXACT_ROWS:
        return faiss.index_factory(width, "Flat", faiss.METRIC_INNER_PRODUCT)
    cells = 2 ** int(np.log2(4 * rows**0.5))
    made = faiss.index_factory(width, f"IVF{cells},SQ8", faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(0).choice(rows, min(rows, _TRAINING_PER_CELL * cells), replace=False)
    made.train(embeddings[np.sort(sample)])
    return made


def _add_names(row: dict[str, Any], names: Iterable[str]) -> None:
    aliases = dict.fromkeys([*row["aliases"], *names])
    row["aliases"] = [alias for alias in aliases if alias != row["name"]]


def row_of(entry: Entry) -> dict[str, Any]:
    """The facts of an architecture as a row of an index; its caption is computed from the graph."""
    from processing_archbert.graph_overview_archbert import summary
    from processing_archbert.network_numbers_archbert import NetworkNumbers

    from .description import sentences
    from .index_facts import modalities_of, properties_of, quantities_of

    graph = entry.graph
    facts = summary(graph)
    name = entry.name or graph.name
    numbers = NetworkNumbers(graph)
    caption = " ".join(sentences(numbers, {**facts, "name": name}))
    texts = (name, entry.source, entry.library, entry.config, graph.graph_hash, graph.topology_hash, facts["family"],
             caption, json.dumps(quantities_of(numbers)))  # fmt: skip
    aliases = [alias for alias in dict.fromkeys(entry.aliases) if alias != name]
    lists = {"aliases": aliases, "properties": properties_of(numbers), "modalities": modalities_of(numbers)}
    return dict(zip(TEXTS, texts, strict=True)) | lists | {n: facts[n] for n in NUMBERS}


def table_of(rows: list[dict[str, Any]]) -> Any:
    """Rows as a `pyarrow.Table` with the columns of an index."""
    import pyarrow as pa

    fields = [(name, pa.string()) for name in TEXTS] + [(name, pa.list_(pa.string())) for name in LISTS]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields + [(name, pa.int64()) for name in NUMBERS]))


def _completed(table: Any) -> Any:
    """A table of an earlier release with the columns that came later, empty."""
    import pyarrow as pa

    for name in (*TEXTS, *LISTS):
        if name not in table.column_names:
            value: Any = [] if name in LISTS else "{}"
            kind = pa.list_(pa.string()) if name in LISTS else pa.string()
            table = table.append_column(name, pa.array([value] * table.num_rows, kind))
    return table


def _read_about(path: Path) -> dict[str, Any]:
    """What `index.json` says of the index in a folder."""
    try:
        about: dict[str, Any] = json.loads((path / ABOUT_FILE).read_text(encoding="utf-8"))
        wrong = about.get("format") != FORMAT or about.get("version") != VERSION
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{str(path)!r} is no index ({error}); make one with: archbert index build SOURCE... -o {path}"
        ) from error
    if wrong:
        raise CommandError(f"{str(path)!r} is no index of version {VERSION}; build it again.")
    if about["extraction_version"] != EXTRACTION_VERSION:
        raise CommandError(
            f"The index {str(path)!r} was made with extraction version {about['extraction_version']}, this is "
            f"{EXTRACTION_VERSION}; build it again."
        )
    return about
