"""The configs and splits of TVHF as files, and what their rows are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dataset_scripts.release.folder_release import DataFolder

SAMPLE, DEFAULT_CONFIG = "sample", "descriptions"
DESCRIPTIONS: Mapping[str, str] = {
    "descriptions": "A sentence beside an architecture, true or false of it.",
    "architectures": "A network of transformers or torchvision: where it comes from, and its graph in flat lists.",
    "clones": "Two networks of one library and how they are related.",
    "bimodal_clones": "Two networks and a text that says in what respect they are compared.",
    "search": "A query and all architectures that it is true of.",
    "aqa": "A question to an architecture and its true answers, of the types of AutoNet.",
    "aqa_hard": "A question beyond the paper's templates, to a view of an architecture, and its true answers.",
    "aqa_modern": "A question that people ask of networks of today, and its true answers.",
    "captions": "A description of an architecture made from its graph, with the list of its claims.",
    "sentences": "A sentence, the predicate that decides it, and the networks that it was written for.",
    "truth": "A sentence beside every architecture: 1 true, 0 false, ? unknown, in the order of sorted arch_id.",
    "test_human": "A pointer to a sentence that people wrote in a docstring, beside an architecture.",
    SAMPLE: "One architecture with all its texts as lists.",
}
"""Config -> what its rows are, in the order of the card."""
CONFIGS = tuple(config for config in DESCRIPTIONS if config != SAMPLE)
CELLS = ("test_seen_sentence", "test_seen_architecture", "test_seen_both")
PAPER_SPLITS = ("paper_train", "paper_validation")
LIBRARIES: Mapping[str, str] = {"tv": "torchvision", "hf": "transformers"}
"""Prefix of a split of one library -> the library."""
CLONES = "clones"
_TABLE5_PARTS = ("train", "validation", "test", *PAPER_SPLITS)


def table5_names(config: str) -> list[tuple[str, str, str]]:
    """The splits of one library that a config has (paper, Table 5): name, split that it is part of, and library.

    Raises:
        ValueError: the config has no such splits.
    """
    if config not in (DEFAULT_CONFIG, CLONES):
        raise ValueError(f"{config!r} has no splits by library; {DEFAULT_CONFIG} and {CLONES} have.")
    return [(f"{prefix}_{part}", part, source) for prefix, source in LIBRARIES.items() for part in _TABLE5_PARTS]


TABLE5_SPLITS = tuple(name for name, _, _ in table5_names(CLONES))
SPLITS = ("train", "validation", "test", *CELLS, "test_new", *PAPER_SPLITS, *TABLE5_SPLITS)
AUDIT, TASKS, PAPER = "leak_audit.json", "tasks.json", "descriptions/paper.json"
CLONES_REPORT, TABLE5, NOT_TRACED = "clones/clones.json", "table5.json", "not_traced.json"


def read_folder(folder: str | Path, sample: bool = False) -> DataFolder:
    """The data set in a folder, with the config `sample` or without it; errors as `DataFolder`."""
    return DataFolder(folder, (*CONFIGS, SAMPLE) if sample else CONFIGS, SPLITS)
