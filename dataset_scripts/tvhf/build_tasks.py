"""Makes the task configs of TVHF: `aqa`, `aqa_hard`, `aqa_modern`, `captions`, `search`, `bimodal_clones`.

Usage::

    python -m dataset_scripts.tvhf.build_tasks --architectures PATH --truth FOLDER --out FOLDER [--seed 0]
        [--only CONFIG ...] [--work FOLDER]

`PATH` holds the config `architectures`, `FOLDER` of `--truth` what `build_descriptions --out` wrote. Files are
`<config>/<split>-00000-of-00001.parquet`; counts and dropped questions are written to `tasks.json`. The same
arguments give the same bytes. What was made of each network is kept in `--work`, so an interrupted build goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_scripts.autonet import (
    captions_autonet,
    claims_autonet,
    hard_facts_autonet,
    hard_forms_autonet,
    hard_questions_autonet,
    hard_types_autonet,
    hard_views_autonet,
    questions_autonet,
)
from dataset_scripts.autonet.files_autonet import write_file, write_parquet
from dataset_scripts.autonet.samples_autonet import SCHEMAS as AUTONET_SCHEMAS
from processing_archbert import sound_towers_archbert, whole_network_archbert
from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.whole_network_archbert import network_details

from . import real_texts_tvhf
from .bimodal_tvhf import bimodal_rows
from .check_sentences import ARCHITECTURES
from .modern_questions_tvhf import Dropped, modern_rows
from .network_view_tvhf import NetworkView
from .real_texts_tvhf import caption_rows, hard_question_rows, question_rows
from .search_tvhf import search_rows
from .statements_tvhf import Statement, load_statements
from .truth_tvhf import Architecture, load_architectures

SPLITS = ("train", "validation", "test", "test_new")
TEXT_CONFIGS = ("aqa", "aqa_hard", "captions")
"""Configs that are made of each graph for itself."""
TRUTH_CONFIGS = ("search", "bimodal_clones")
CONFIGS = (*TEXT_CONFIGS, "aqa_modern", *TRUTH_CONFIGS)
REPORT = "tasks.json"
Rows = dict[str, list[dict[str, Any]]]

_TEXT, _TEXTS = pa.string(), pa.list_(pa.string())
SCHEMAS: dict[str, pa.Schema] = {
    **{config: AUTONET_SCHEMAS[config] for config in TEXT_CONFIGS},
    "aqa_modern": pa.schema(
        [("arch_id", _TEXT), ("question", _TEXT), ("question_type", _TEXT), ("subject", _TEXT), ("answers", _TEXTS),
         ("answer_type", _TEXT)]
    ),
    "search": pa.schema(
        [("query_id", _TEXT), ("query", _TEXT), ("predicate", _TEXT), ("relevant", _TEXTS), ("ignored", _TEXTS),
         ("kind", _TEXT), ("split", _TEXT), ("pool", _TEXT)]
    ),
    "bimodal_clones": pa.schema(
        [("arch_id_a", _TEXT), ("arch_id_b", _TEXT), ("text", _TEXT), ("label", pa.int32()), ("kind", _TEXT),
         ("predicate", _TEXT), ("group", _TEXT)]
    ),
}  # fmt: skip
"""Config -> columns."""

_TEXT_MODULES = (
    real_texts_tvhf, captions_autonet, claims_autonet, hard_facts_autonet, hard_forms_autonet, hard_questions_autonet,
    hard_types_autonet, hard_views_autonet, questions_autonet,
)  # fmt: skip


class Workshop:
    """What is made of single graphs, kept on disk under the graph's hash, the code and the seed.

    Args:
        folder: where it is kept.
        seed: of the texts.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed

    def details(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """`network_details` of a row of `architectures`."""
        path = self._path("details", row["graph_hash"], _digest(whole_network_archbert, sound_towers_archbert))
        return _kept(path, lambda: network_details(ArchitectureGraph.from_row(row)))

    def texts(self, row: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
        """Config of `TEXT_CONFIGS` -> rows for a row of `architectures`."""
        made_of = f"{row['graph_hash']} {row['arch_id']} {row['split']} {self.seed}"
        return _kept(self._path("texts", made_of, _digest(*_TEXT_MODULES)), lambda: self._texts(row))

    def _texts(self, row: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
        graph = ArchitectureGraph.from_row(row)
        facts, wording = GraphFacts(graph), wording_of(str(row["split"]))
        return {
            "aqa": question_rows(row["arch_id"], facts, wording, self.seed),
            "aqa_hard": hard_question_rows(row["arch_id"], graph, wording, self.seed),
            "captions": caption_rows(row["arch_id"], facts, self.seed),
        }

    def _path(self, what: str, made_of: str, code: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{what}-{hashlib.sha256(f'{made_of} {code}'.encode()).hexdigest()[:24]}.json"


def _kept(path: Path, make: Any) -> Any:
    if not path.exists():
        text = json.dumps(make()).encode()
        write_file(path, lambda file: file.write(text))
    return json.loads(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=8)
def _digest(*modules: Any) -> str:
    digest = hashlib.sha256()
    for module in modules:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def wording_of(split: str) -> str:
    """Split of AutoNet whose wordings a split has.

    Raises:
        ValueError: an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"{split!r} is no split of an architecture; there are {', '.join(SPLITS)}.")
    return "test" if split == "test_new" else split


def graph_rows(path: Path) -> Any:
    """Rows of the config `architectures` with their graphs, few at a time; for the order see `load_architectures`."""
    files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=4):
            yield from batch.to_pylist()


def text_configs(path: Path, workshop: Workshop, wanted: Sequence[str]) -> dict[str, Rows]:
    """Config -> split -> rows, for those of `TEXT_CONFIGS` that are wanted."""
    found: dict[str, Rows] = {config: {} for config in wanted}
    for row in graph_rows(path):
        texts = workshop.texts(row)
        for config in wanted:
            found[config].setdefault(str(row["split"]), []).extend(texts[config])
    return found


def modern_config(
    path: Path, workshop: Workshop, architectures: Sequence[Architecture]
) -> tuple[Rows, dict[str, Any]]:
    """Rows of `aqa_modern`, and what was not asked."""
    details = {row["arch_id"]: workshop.details(row) for row in graph_rows(path)}
    rows: Rows = {}
    dropped = Dropped()
    for split in SPLITS:
        views = [NetworkView(a, details[a.arch_id]) for a in architectures if a.record["split"] == split]
        rows[split] = modern_rows(views, wording_of(split), workshop.seed, dropped)
    by_type = {name: dict(sorted(getattr(dropped, name).items())) for name in ("disagreement", "unknown")}
    return rows, {"dropped": dropped.totals(), "dropped_by_type": by_type}


def write_config(out: Path, config: str, rows: Rows) -> dict[str, int]:
    """Writes the splits of a config that have rows; returns their numbers of rows."""
    counts = {}
    for split in SPLITS:
        if rows.get(split):
            path = out / config / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            table = pa.Table.from_pylist(rows[split], schema=SCHEMAS[config])
            counts[split] = write_parquet(path, [table])
    return counts


def build(
    architectures_path: Path, truth: Path | None, out: Path, work: Path, seed: int, only: Sequence[str]
) -> dict[str, Any]:
    """Makes configs and returns the report: config -> `rows` by split, and what was dropped.

    Raises:
        FileNotFoundError: architectures or truth are not there.
        ValueError: an unknown split, or a truth of other architectures.
    """
    workshop = Workshop(work, seed)
    architectures = load_architectures(architectures_path)
    report: dict[str, Any] = {}
    made: dict[str, Rows] = text_configs(architectures_path, workshop, [c for c in TEXT_CONFIGS if c in only])
    if "aqa_modern" in only:
        made["aqa_modern"], report["aqa_modern"] = modern_config(architectures_path, workshop, architectures)
    if set(TRUTH_CONFIGS) & set(only):
        statements: list[Statement] = load_statements(truth, [a.arch_id for a in architectures]) if truth else []
        for config, make in (("search", search_rows), ("bimodal_clones", bimodal_rows)):
            if config in only:
                made[config] = make(statements, architectures, seed)
    for config, rows in made.items():
        report.setdefault(config, {})["rows"] = write_config(out, config, rows)
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--architectures", type=Path, default=ARCHITECTURES, help="Parquet file or folder")
    parser.add_argument("--truth", type=Path, help="folder with the configs sentences and truth; without it the task "
                        "configs have no sentences")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "archbert-tvhf-tasks",
                        help="where what was made of single networks is kept")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of all draws")
    parser.add_argument("--only", nargs="+", choices=CONFIGS, default=CONFIGS, help="configs to make")
    args = parser.parse_args(arguments)
    try:
        report = build(args.architectures, args.truth, args.out, args.work, args.seed, args.only)
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / REPORT
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    text = (json.dumps(before | report, indent=1, sort_keys=True) + "\n").encode()
    write_file(path, lambda file: file.write(text))
    for config, found in report.items():
        sys.stdout.write(f"{config}: {found['rows']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
