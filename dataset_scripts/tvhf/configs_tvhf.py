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
    SAMPLE: "One architecture with all its texts as lists.",
}
"""Config -> what its rows are, in the order of the card."""
CONFIGS = tuple(config for config in DESCRIPTIONS if config != SAMPLE)
CELLS = ("test_seen_sentence", "test_seen_architecture", "test_seen_both")
PAPER_SPLITS = ("paper_train", "paper_validation")
SPLITS = ("train", "validation", "test", *CELLS, "test_new", *PAPER_SPLITS)
AUDIT, TASKS, PAPER = "leak_audit.json", "tasks.json", "descriptions/paper.json"


def read_folder(folder: str | Path, sample: bool = False) -> DataFolder:
    """The data set in a folder, with the config `sample` or without it; errors as `DataFolder`."""
    return DataFolder(folder, (*CONFIGS, SAMPLE) if sample else CONFIGS, SPLITS)
