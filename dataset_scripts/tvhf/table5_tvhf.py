"""torchvision against transformers (paper, Table 5): which splits are trained and evaluated on, and what they share.

    python -m dataset_scripts.tvhf.table5_tvhf --data DIR

writes `DIR/table5.json`, the audit of what the splits of one library share with those of the other.

Three training sets (torchvision, transformers, both) stand against three evaluation sets, for `descriptions` and for
`clones`, in two forms:

* `paper`: the paper's form; trained on `tv_paper_train`, `hf_paper_train` or both, evaluated on
  `..._paper_validation`. Splits are random over pairs, so a network of the evaluation is in training, too, where the
  library is the same.
* `clusters`: trained on `tv_train`, `hf_train` or both, thresholds from `..._validation`, evaluated on `..._test`; no
  cluster, and of `descriptions` no sentence, is on two sides. Pairs and groups are of one library. `clones` have no
  `tv_validation` and `tv_test` where too few pairs of torchvision are left whose names do not tell their label; what
  stands there of both libraries is of transformers then.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_scripts.release.folder_release import DataFolder, DataFolderError

from .architectures_tvhf import load_architectures
from .clusters_tvhf import NEAR_ABOVE
from .configs_tvhf import (
    CLONES,
    CLONES_REPORT,
    DEFAULT_CONFIG,
    LIBRARIES,
    PAPER_SPLITS,
    TABLE5,
    TABLE5_SPLITS,
    read_folder,
)
from .similarity_wl_tvhf import wl_similarity

BOTH = "tvhf"
SETS = (*LIBRARIES, BOTH)
"""The libraries that one trains and evaluates on."""
PARTS = {"paper": PAPER_SPLITS, "clusters": ("train", "validation", "test")}
"""Form -> its parts: the first is trained on, the last evaluated on."""


def table5_splits(library: str, part: str) -> tuple[str, ...]:
    """The splits that make one part of one library, or of both, for `load_dataset(..., split="+".join(...))`.

    Args:
        library: `"tv"`, `"hf"` or `"tvhf"`.
        part: `"train"`, `"validation"`, `"test"`, `"paper_train"` or `"paper_validation"`.

    Raises:
        ValueError: there is no such library or part.
    """
    parts = sorted({name for names in PARTS.values() for name in names})
    if library not in SETS or part not in parts:
        raise ValueError(f"no part {part!r} of {library!r}; there are {', '.join(parts)} of {', '.join(SETS)}.")
    return tuple(f"{prefix}_{part}" for prefix in LIBRARIES if library in (prefix, BOTH))


def read_table5(data: DataFolder, config: str, library: str, part: str) -> list[dict[str, Any]]:
    """The rows of one part; of `clones` those that have a label.

    Args:
        data: a build or a release.
        config: `"descriptions"` or `"clones"`.
        library, part: as for `table5_splits`.

    Raises:
        ValueError: there is no such config, library or part.
        DataFolderError: the split is not there; of both libraries neither is.
    """
    if config not in (DEFAULT_CONFIG, CLONES):
        raise ValueError(f"{config!r} is not in Table 5; {DEFAULT_CONFIG} and {CLONES} are.")
    rows: list[dict[str, Any]] = []
    wanted = table5_splits(library, part)
    there = [split for split in wanted if split in data.splits.get(config, ())]
    if not there:
        raise DataFolderError(f"{data.path / config} has no split {wanted[0]!r}; build the data set again.")
    for split in there:
        rows += [row for table in data.tables(config, split) for row in table.to_pylist()]
    return [row for row in rows if row["label"] >= 0]


def networks_of(row: dict[str, Any]) -> list[str]:
    """The `arch_id` of a row of `descriptions`, or both of one of `clones`."""
    return [row["arch_id"]] if "arch_id" in row else [row["arch_id_a"], row["arch_id_b"]]


class Leaks:
    """What training and evaluation rows share.

    Args:
        records: rows of `architectures`, in the order of `similarity`.
        similarity: float (n, n), Weisfeiler-Lehman similarity.
    """

    def __init__(self, records: Sequence[dict[str, Any]], similarity: np.ndarray) -> None:
        self.similarity = similarity
        self.index = {record["arch_id"]: i for i, record in enumerate(records)}
        self.family = [record["family"] for record in records]
        self.cluster = [record["cluster"] for record in records]

    def between(self, train: Sequence[dict[str, Any]], given: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Rows of both, and the percentage of rows to evaluate with something that training has, too.

        Keys of the percentages: `network`, `family`, `cluster`, `near_network` (more than `NEAR_ABOVE` similar to one
        of training), of `descriptions` also `text`; of a pair of networks both have to be in training. `networks` and
        `near_networks` are counts of networks.
        """
        known = sorted({self.index[name] for row in train for name in networks_of(row)})
        found = sorted({self.index[name] for row in given for name in networks_of(row)})
        near = set(np.array(found)[(self.similarity[np.ix_(found, known)] > NEAR_ABOVE).any(axis=1)].tolist())
        families, clusters = ({of[i] for i in known} for of in (self.family, self.cluster))
        sets = {
            "network": set(known),
            "family": {i for i in found if self.family[i] in families},
            "cluster": {i for i in found if self.cluster[i] in clusters},
            "near_network": near,
        }
        shares = {
            name: _percent([all(self.index[n] in of for n in networks_of(row)) for row in given])
            for name, of in sets.items()
        }
        if "text" in given[0]:
            texts = {row["text"] for row in train}
            shares["text"] = _percent([row["text"] in texts for row in given])
        return {"train_rows": len(train), "rows": len(given), "networks": len(found), "near_networks": len(near),
                "positive": _percent([row["label"] == 1 for row in given]), "shared": shares}  # fmt: skip


def _percent(found: Sequence[bool]) -> float:
    return round(100 * sum(found) / max(1, len(found)), 1)


def left_out(data: DataFolder, config: str) -> set[str]:
    """The splits of one library that a build has no rows for, as `clones.json` says; of `descriptions` none."""
    if config != CLONES:
        return set()
    return {*TABLE5_SPLITS} - json.loads((data.path / CLONES_REPORT).read_text(encoding="utf-8"))["labels"].keys()


def audit(data: DataFolder) -> dict[str, Any]:
    """Config -> form -> training set -> evaluation set -> `Leaks.between`; sets without rows are left out."""
    rows = load_architectures(data.path)
    leaks = Leaks([row.row for row in rows], wl_similarity([row.graph for row in rows]))
    found: dict[str, Any] = {"near_above": NEAR_ABOVE}
    for config in (DEFAULT_CONFIG, CLONES):
        missing = left_out(data, config)
        for form, parts in PARTS.items():
            train, given = (
                {name: read_table5(data, config, name, part)
                 for name in SETS if not {*table5_splits(name, part)} <= missing}
                for part in (parts[0], parts[-1])
            )  # fmt: skip
            found.setdefault(config, {})[form] = {
                a: {b: leaks.between(train[a], given[b]) for b in given} for a in train
            }
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder of a build")
    options = parser.parse_args(arguments)
    try:
        found = audit(read_folder(options.data))
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    (options.data / TABLE5).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
