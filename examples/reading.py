"""AutoNet as training reads it: texts and graphs stay on disk and are mapped into memory, joined by `arch_id` once.

* A text is a row number until a block asks for it; a graph is built when its facts are asked for.
* Graphs are folded once, and their true answers computed once (`Split.encode`, `Split.answers`); both are kept in a
  cache folder, under a digest of the data, the settings and the code.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from archbert.names import NAMESPACE
from dataset_scripts.autonet.questions_autonet import all_intents, truth_table
from processing_archbert import ANSWERS, ArchitectureGraph, GraphFacts
from stored import Stored, StoredBits, StoredEncodings, kept

logger = logging.getLogger(__name__)

HUB_DATASET = f"{NAMESPACE}/autonet"
INTENTS: dict[tuple[str, str], int] = {intent: index for index, intent in enumerate(all_intents())}
ANSWER_IDS: dict[str, int] = {answer: index for index, answer in enumerate(ANSWERS)}
_FACTS_KEPT = 256
_ROWS_AT_ONCE = 1000


class StoredFacts(Stored[GraphFacts]):
    """`GraphFacts` of the rows of the config `architectures`; the last ones are kept.

    Args:
        architectures: a `datasets.Dataset`.
    """

    def __init__(self, architectures: Any) -> None:
        super().__init__(len(architectures))
        unread = [name for name in ("network", "style", "subset", "graph_hash") if name in architectures.column_names]
        self._rows = architectures.remove_columns(unread)
        self._kept = lru_cache(_FACTS_KEPT)(self.make)

    def read(self, index: int) -> GraphFacts:
        """Facts of an architecture."""
        return self._kept(index)

    def make(self, index: int) -> GraphFacts:
        """The same, made anew."""
        return GraphFacts(ArchitectureGraph.from_row(self._rows[index]))

    def each(self) -> Iterator[GraphFacts]:
        """All facts in turn, none of them kept."""
        return map(self.make, self.items)


class TextRows(Stored[list[dict[str, Any]]]):
    """Rows of a config with texts: item i are those that speak of architecture i, in the order of the files.

    Args:
        rows: a `datasets.Dataset` with the column `arch_id`.
        arch_ids: the architectures; rows of others are left out.
        columns: what `of` gives of a row.
    """

    def __init__(self, rows: Any, arch_ids: Sequence[str], columns: Sequence[str]) -> None:
        super().__init__(len(arch_ids))
        graphs = pc.index_in(rows.data.column("arch_id"), value_set=pa.array(arch_ids))
        graph = pc.fill_null(graphs, len(arch_ids)).to_numpy().astype(np.int32)
        self._order = np.argsort(graph, kind="stable").astype(np.int32)
        self._ends = np.searchsorted(graph[self._order], np.arange(len(arch_ids) + 1))
        self._rows, self._drawn = rows, rows.select_columns(list(columns))

    def read(self, index: int) -> list[dict[str, Any]]:
        """All columns of the rows of an architecture."""
        return _rows_at(self._rows, self._of(index))

    def of(self, graphs: Iterable[int]) -> list[dict[str, Any]]:
        """Rows of some architectures, in their order, with the columns that were asked for."""
        return _rows_at(self._drawn, np.concatenate([self._of(self.items[graph]) for graph in graphs]))

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows, each with `graph`, the index of its architecture."""
        for first in range(0, len(self), _ROWS_AT_ONCE // 10):
            graphs = range(len(self))[first : first + _ROWS_AT_ONCE // 10]
            places = [self._of(self.items[graph]) for graph in graphs]
            owners = np.repeat(graphs, [len(place) for place in places]).tolist()
            for graph, row in zip(owners, _rows_at(self._rows, np.concatenate(places)), strict=True):
                yield {**row, "graph": graph}

    def _of(self, index: int) -> np.ndarray:
        return self._order[self._ends[index] : self._ends[index + 1]]


def _rows_at(data: Any, places: np.ndarray) -> list[dict[str, Any]]:
    columns = data[places.tolist()]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@dataclass
class Split:
    """One split of AutoNet: graphs, their facts and tokens, and the rows that speak of them.

    Attributes:
        facts: `GraphFacts` of each graph (which is its `graph`).
        questions: per graph its rows of the config `aqa`.
        descriptions: per graph its rows of the config `descriptions`.
        encodings: graph tokens, made once (`encode`).
        digest: of the data; empty where they come from no file.
        cache_dir: where tokens and answers are kept; None keeps nothing.
    """

    facts: Sequence[GraphFacts]
    questions: TextRows | None = None
    descriptions: TextRows | None = None
    encodings: Sequence[Any] = field(default_factory=list)
    digest: str = ""
    cache_dir: Path | None = None
    _whole: tuple[Split, int, int] | None = None
    _answers: StoredBits | None = None

    @classmethod
    def of_graphs(cls, graphs: list[ArchitectureGraph]) -> Split:
        """Graphs without rows."""
        return cls([GraphFacts(graph) for graph in graphs])

    def __len__(self) -> int:
        return len(self.facts)

    def encode(self, processor: Any, fold: bool = True) -> Split:
        """Make the graph tokens, or take them from the cache; returns itself."""
        extractor = processor.feature_extractor
        made = (extractor.encode(facts.graph, fold=fold) for facts in self._each("graph tokens"))
        if self.cache_dir is None or not self.digest:
            self.encodings = list(made)
        else:
            key = ("tokens", self.digest, len(self), fold, extractor.to_dict())
            folder = kept(self.cache_dir, key, lambda folder: StoredEncodings.write(folder, made))
            self.encodings = StoredEncodings(folder)
        return self

    def token_counts(self) -> np.ndarray:
        """Number of tokens of each graph, int64."""
        if isinstance(self.encodings, StoredEncodings):
            return self.encodings.token_counts
        return np.array([encoding.num_tokens for encoding in self.encodings])

    def answers(self) -> StoredBits:
        """True answers of every graph to every intent: bool (graphs, intents, answers), computed once.

        A true answer outside the list of answers (a kernel of three dimensions, say) cannot be learned and is left
        out.
        """
        if self._answers is None and self._whole is not None:
            whole, start, stop = self._whole
            self._answers = whole.answers().part(start, stop)
        elif self._answers is None:
            self._answers = self._computed_answers()
        return self._answers

    def part(self, start: int, stop: int | None = None) -> Split:
        """The graphs from `start` to `stop` with their rows."""
        rows = slice(start, stop)
        questions, descriptions = (None if t is None else t[rows] for t in (self.questions, self.descriptions))
        first, last, _ = rows.indices(len(self))
        return Split(self.facts[rows], questions, descriptions, self.encodings[rows], _whole=(self, first, last))

    def question_rows(self) -> list[dict[str, Any]]:
        """All questions, each with `graph`, the index of its graph."""
        return list(self.each_question())

    def each_question(self) -> Iterator[dict[str, Any]]:
        """The rows of `question_rows`, one after the other."""
        return iter(()) if self.questions is None else self.questions.rows()

    def description_rows(self) -> list[dict[str, Any]]:
        """All descriptions, each with `graph`, the index of its graph."""
        return [] if self.descriptions is None else list(self.descriptions.rows())

    def texts(self) -> Iterator[str]:
        """Every question and description, repeated as in the rows."""
        for texts, column in ((self.questions, "question"), (self.descriptions, "text")):
            if texts is not None:
                yield from (row[column] for row in texts.rows())

    def _each(self, title: str) -> Iterator[GraphFacts]:
        facts = self.facts.each() if isinstance(self.facts, StoredFacts) else iter(self.facts)
        return iter(tqdm(facts, desc=title, total=len(self), leave=False))

    def _computed_answers(self) -> StoredBits:
        def make(folder: Path) -> None:
            np.save(folder / "answers.npy", np.stack([_packed_answers(facts) for facts in self._each("facts")]))

        folder = self.cache_dir if self.digest else None
        if folder is None:
            return StoredBits(np.stack([_packed_answers(facts) for facts in self._each("facts")]), len(ANSWERS))
        found = kept(folder, ("answers", self.digest, len(self), list(INTENTS), ANSWERS), make)
        return StoredBits(np.load(found / "answers.npy", mmap_mode="r"), len(ANSWERS))


def _packed_answers(facts: GraphFacts) -> np.ndarray:
    """True answers of a graph to every intent, packed: uint8 (intents, bytes)."""
    table = np.zeros((len(INTENTS), len(ANSWERS)), dtype=bool)
    for intent, answers in enumerate(truth_table(facts)):
        table[intent, [ANSWER_IDS[answer] for answer in answers if answer in ANSWER_IDS]] = True
    return np.packbits(table, axis=-1)


def load_split(source: str, split: str, limit: int | None = None, cache_dir: str | Path | None = None) -> Split:
    """Open a split of AutoNet in a folder or on the Hub.

    Args:
        source: a folder with the Parquet files, or a Hub id.
        split: "train", "validation" or "test".
        limit: only the first so many architectures.
        cache_dir: where graph tokens and answers are kept from run to run; None keeps nothing.

    Raises:
        FileNotFoundError: the folder has no such config or split, or is not finished.
        ValueError: a file is damaged, or there is no architecture in it.
    """
    architectures = load_rows(source, "architectures", split)
    digest = _digest(source, split, architectures)
    if limit is not None:
        architectures = architectures.select(range(min(limit, len(architectures))))
    if not len(architectures):
        raise ValueError(f"the split {split} of {source} has no architecture")
    arch_ids = architectures["arch_id"][:]
    return Split(
        StoredFacts(architectures),
        TextRows(load_rows(source, "aqa", split), arch_ids, ("question", "question_type", "subject")),
        TextRows(load_rows(source, "descriptions", split), arch_ids, ("text", "group", "claims")),
        digest=digest,
        cache_dir=None if cache_dir is None else Path(cache_dir).expanduser() / "graphs",
    )


def load_rows(source: str, config: str, split: str) -> Any:
    """One split of one config, as a `datasets.Dataset`.

    The files of a folder are named one by one: of a folder, `datasets` caches what it once read under its name, and
    gives that also after the folder has been made anew.

    Raises:
        FileNotFoundError: the folder has no such file, or making it was interrupted.
        ValueError: a file is damaged; it is named.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    if not Path(source).is_dir():
        return load_dataset(source, config, split=split)
    files = _files(source, config, split)
    try:
        return load_dataset("parquet", data_files={split: files}, split=split)
    except (DatasetGenerationError, OSError, pa.ArrowException) as error:
        for path in files:
            if reason := _damage(path):
                raise ValueError(f"{path} is damaged ({reason}); make the data anew") from error
        raise


def _files(source: str, config: str, split: str) -> list[str]:
    from dataset_scripts.autonet.build_autonet import README, is_finished

    if Path(source, README).exists() and not is_finished(source):
        raise FileNotFoundError(f"{source} is not finished; run the command that made it again: it goes on")
    files = sorted(str(path.resolve()) for path in Path(source, config).glob(f"{split}-*.parquet"))
    if not files:
        raise FileNotFoundError(
            f"{source} has no file {config}/{split}-*.parquet; make it anew or name another folder"
        )
    return files


def _damage(path: str) -> str:
    """What is wrong with a Parquet file; empty where all of it can be read."""
    try:
        for _ in pq.ParquetFile(path).iter_batches():
            pass
    except (OSError, pa.ArrowException) as error:
        return str(error).strip().splitlines()[0]
    return ""


def _digest(source: str, split: str, architectures: Any) -> str:
    """Digest of the graphs of a split: of its files where they are here, else what `datasets` knows them by."""
    if not Path(source).is_dir():
        return str(architectures._fingerprint)
    digest = hashlib.sha256()
    for path in _files(source, "architectures", split):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def find_data(data: str | None, cache_dir: str, seed: int) -> str:
    """Where AutoNet is: what was asked for, else the Hub's, else one of 1,000 + 100 networks made now and kept."""
    if data is not None:
        return data
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(HUB_DATASET, timeout=5)
        return HUB_DATASET
    except Exception as error:  # offline, no such repository, no access: each means the same here
        logger.info("no %s on the Hub (%s); a small one is generated", HUB_DATASET, type(error).__name__)
    from dataset_scripts.autonet.generate_autonet import generate, is_finished

    folder = Path(cache_dir).expanduser() / f"autonet-1000-{seed}"
    if not (is_finished(folder) and (folder / "manifest.json").exists()):
        generate(1000, 100, seed, folder, num_proc=min(os.cpu_count() or 1, 8))
    return str(folder)
