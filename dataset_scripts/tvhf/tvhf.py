"""TVHF as a loading script of `datasets` 3: reads the published Parquet files, with the columns stated here.

    datasets.load_dataset("archbert/tvhf", "aqa", revision="v0.1.0-script", trust_remote_code=True)

From the Hub it reads the files of the branch `main` of its own repository, from a folder those that lie beside it. It
needs `datasets` and `pyarrow` and nothing of the project. Later versions of `datasets` read the files by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

_DESCRIPTION = "Networks of transformers and torchvision as graphs, with sentences and questions that graphs decide."
_MAIN, _MANIFEST = "main", "manifest.json"
_GRAPH = (
    "op_types:[string] shapes:[int32] attributes:[int32] node_parameters:[int64] src:[int32] dst:[int32] "
    "node_names:[string] incomplete:[string] extraction_version:int32"
)
_STATEMENT = "text label:int32 negative_kind kind group style author_kind mentions_name:bool checked:bool sentence_id"
_CAPTION, _QUESTION = "text length style claims", "question question_type subject answers:[string]"
_HARD = f"view {_QUESTION} answer_type group"
COLUMNS = {
    "descriptions": f"arch_id {_STATEMENT}",
    "architectures": "arch_id name aliases:[string] source group family cluster paradigm modality:[string] "
    "tasks:[string] year:int32 parents:[string] backbone origin config split version graph_hash topology_hash "
    f"num_parameters:int64 unused_parameters:int64 {_GRAPH}",
    "clones": "arch_id_a arch_id_b name_a name_b relation label:int32 size_matched:bool size_ratio:float32 "
    "agrees_with_wl:bool wl_similarity:float32 agrees_with_jaccard:bool jaccard_similarity:float32 source split",
    "bimodal_clones": "arch_id_a arch_id_b text label:int32 kind predicate group",
    "search": "query_id query predicate relevant:[string] ignored:[string] kind split pool",
    "aqa": f"arch_id {_QUESTION}",
    "aqa_hard": f"arch_id {_HARD}",
    "aqa_modern": f"arch_id {_QUESTION} answer_type",
    "captions": f"arch_id {_CAPTION}",
    "sentences": "sentence_id text kind style predicate family members:[string] mentions_name:bool author_kind "
    "checked:bool split",
    "truth": "sentence_id truth num_true:int32 num_false:int32 num_unknown:int32",
    "test_human": "arch_id label:int32 negative_kind kind group package version object start:int32 end:int32 sha256 "
    "predicate author_kind mentions_name:bool checked:bool split_of_architecture sentence_id",
    "sample": "arch_id name family source modality:[string] tasks:[string] year:int32 num_parameters:int64 "
    "descriptions captions questions hard_questions modern_questions aliases:[string] group cluster paradigm "
    "parents:[string] backbone origin config split version graph_hash topology_hash "
    f"unused_parameters:int64 {_GRAPH}",
}
"""Config -> its columns, in order; a column without a type is a string."""
NESTED = {
    "descriptions": _STATEMENT, "captions": _CAPTION, "questions": _QUESTION, "hard_questions": _HARD,
    "modern_questions": f"{_QUESTION} answer_type",
}  # fmt: skip
"""Column of `sample` that is a list of records -> the columns of those."""


def features_of(config: str) -> datasets.Features:
    """The columns of a config.

    Raises:
        KeyError: an unknown config.
    """
    nested = {name: [_features(spec)] for name, spec in NESTED.items()} if config == "sample" else {}
    return datasets.Features(_features(COLUMNS[config]) | nested)


def _features(spec: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column in spec.split():
        name, _, kind = column.partition(":")
        value = datasets.Value(kind.strip("[]") or "string")
        found[name] = datasets.Sequence(value) if kind.startswith("[") else value
    return found


class TVHF(datasets.ArrowBasedBuilder):
    """TVHF (paper, section 4.1): configs are joined by `arch_id`, `sentences` and `truth` by `sentence_id`."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIGS = [datasets.BuilderConfig(name=name, version=datasets.Version("1.0.0")) for name in COLUMNS]
    DEFAULT_CONFIG_NAME = "descriptions"

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=_DESCRIPTION, features=features_of(self.config.name), license="apache-2.0"
        )

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        root = f"hf://datasets/{self.repo_id}@{_MAIN}" if self.repo_id else str(self.base_path)
        with open(dl_manager.download(f"{root}/{_MANIFEST}"), encoding="utf-8") as file:
            listed = sorted(map(PurePosixPath, json.load(file)["files"]))
        splits: dict[str, list[str]] = {}
        for path in (path for path in listed if path.parts[0] == self.config.name):
            splits.setdefault(path.name.split("-")[0], []).append(f"{root}/{path}")
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"paths": dl_manager.download(paths)})
            for split, paths in splits.items()
        ]

    def _generate_tables(self, paths: list[str]) -> Iterator[tuple[str, pa.Table]]:
        for number, path in enumerate(paths):
            for part, batch in enumerate(pq.ParquetFile(path).iter_batches()):
                yield f"{number}-{part}", pa.Table.from_batches([batch]).replace_schema_metadata(None)
