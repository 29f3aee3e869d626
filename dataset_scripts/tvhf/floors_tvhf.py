"""Floors and baselines of TVHF without a trained network: what words, layers, names and sizes alone give away.

    python -m dataset_scripts.tvhf.floors_tvhf --data hub/datasets/tvhf --out benchmarks/results/tvhf_floors.json

Everything is fitted on `train`; the threshold of each method is the one with the best Matthews correlation on
`validation`. Intervals are 95% of 1,000 bootstrap draws of clusters. The methods of each task stand in
`statement_floors_tvhf`, `pair_floors_tvhf`, `search_floors_tvhf` and `question_floors_tvhf`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from dataset_scripts.release.folder_release import DataFolder

from .bag_kernel_tvhf import BagKernel
from .configs_tvhf import PAPER_SPLITS, read_folder
from .floor_networks_tvhf import Networks
from .frozen_tvhf import digest_file, write_json
from .pair_floors_tvhf import NAME_METHODS, ONE_ALONE, PAIR_ALONE, bimodal_floors, clone_floors
from .question_floors_tvhf import CONFIGS as QUESTION_CONFIGS
from .question_floors_tvhf import question_floors
from .search_floors_tvhf import search_floors
from .similarity_tvhf import Encoder, SentenceEncoder, encode
from .statement_floors_tvhf import (
    GRAPH_ALONE,
    HUMAN_NAMED,
    NAMES,
    TEXT_ALONE,
    fitted_kernel,
    is_paper,
    statement_floors,
)

COMMAND = (
    "python -m dataset_scripts.tvhf.floors_tvhf --data hub/datasets/tvhf --out benchmarks/results/tvhf_floors.json"
)
MAX_ONE_SIDED = 0.15
"""Matthews correlation of a one-sided classifier above which a task is at fault."""
MIN_ROWS = 100
"""With fewer rows a Matthews correlation says little by itself: it is a fault where its whole interval is above."""
ONE_SIDED: Mapping[str, Sequence[str]] = {
    "descriptions": (TEXT_ALONE, GRAPH_ALONE, NAMES),
    "clones": (ONE_ALONE, *NAME_METHODS),
    "bimodal_clones": (TEXT_ALONE, PAIR_ALONE, *NAME_METHODS),
}
"""Config -> methods that see one side only."""
NOT_JUDGED = ("validation", HUMAN_NAMED)
DISAGREEMENTS = "disagreements"


def all_floors(
    folder: str | Path, encoder: Encoder = encode, packages: Sequence[Path] = (), stored: Path | None = None
) -> dict[str, Any]:
    """All floors of a build or of the published folder, as plain data.

    Args:
        folder: the folder.
        encoder: texts -> embeddings.
        packages: folders of installed packages, in which `test_human` is read; those of this environment are known.
        stored: where figures are written, task by task. What stands there of the same data and code is not measured
            again, so a run that was stopped goes on.

    Returns:
        Config -> split -> part -> method -> figures (of questions without parts), and `faults`.

    Raises:
        DataFolderError: a file is missing or damaged.
    """
    data = read_folder(folder)
    digest = data_digest(data)
    named = getattr(encoder, "name", None)
    found = _read_stored(stored, f"{digest}, {named}" if named else digest)
    for task, make in _tasks(data, encoder, packages).items():
        if task not in found:
            found[task] = make()
            if stored is not None:
                write_json(stored, found)
    found["faults"] = faults(found)
    if stored is not None:
        write_json(stored, found)
    return found


def data_digest(data: DataFolder) -> str:
    """Digest of the Parquet files of a folder and of the code that floors depend on."""
    digest = hashlib.sha256()
    for config, splits in data.splits.items():
        for path in (path for split in splits for path in data.files(config, split)):
            digest.update(f"{config}/{path.name} {digest_file(path)}".encode())
    here = Path(__file__).parent
    for path in sorted([*here.glob("*floor*_tvhf.py"), here / "name_likeness_tvhf.py"]):
        digest.update(path.read_bytes() if not path.name.startswith("card_") else b"")
    return digest.hexdigest()


def _read_stored(path: Path | None, digest: str) -> dict[str, Any]:
    stored = json.loads(path.read_text(encoding="utf-8")) if path is not None and path.is_file() else {}
    return stored if stored.get("digest") == digest else {"command": COMMAND, "digest": digest}


def _tasks(data: DataFolder, encoder: Encoder, packages: Sequence[Path]) -> dict[str, Callable[[], Any]]:
    """Config -> what measures its floors; networks are read, and the kernel is fitted, when the first needs them."""
    path, splits = data.path, {config: measured(found) for config, found in data.splits.items()}

    @cache
    def networks() -> Networks:
        return Networks(path, encoder)

    @cache
    def kernel() -> BagKernel:
        return fitted_kernel(path, networks())

    def questions(config: str) -> Callable[[], Any]:
        return lambda: question_floors(path, networks(), config, splits[config])

    return {
        "descriptions": lambda: statement_floors(path, networks(), splits["descriptions"], kernel(), packages),
        "clones": lambda: clone_floors(path, networks(), splits["clones"]),
        "bimodal_clones": lambda: bimodal_floors(path, networks(), splits["bimodal_clones"], kernel()),
        "search": lambda: search_floors(path, networks(), splits["search"], kernel()),
        **{config: questions(config) for config in QUESTION_CONFIGS},
    }


def measured(splits: Sequence[str]) -> list[str]:
    """The splits that are measured: all but those for training, and of one library only those for testing."""
    return [s for s in splits if s == PAPER_SPLITS[1] or not s.endswith(("train", "_validation"))]


def faults(floors: Mapping[str, Any]) -> list[str]:
    """The one-sided classifiers above `MAX_ONE_SIDED` on a test split, a line for each.

    Left out are `validation`, on which thresholds were chosen, the paper's form, sentences of people with the name of
    a model, and pairs that were chosen because graphs and relation disagree. Of a part of fewer than `MIN_ROWS` rows
    the lower end of the interval has to be above, too.
    """
    lines = []
    for config, methods in ONE_SIDED.items():
        judged = {s: parts for s, parts in floors.get(config, {}).items() if s not in NOT_JUDGED and not is_paper(s)}
        for split, parts in judged.items():
            for part, by_method in ((p, m) for p, m in parts.items() if not p.startswith(DISAGREEMENTS)):
                for name in (name for name in methods if name in by_method):
                    figures = by_method[name]
                    low, high = figures["MCC_95"]
                    judged_by = figures["MCC"] if figures["rows"] >= MIN_ROWS else min(low, figures["MCC"])
                    if judged_by > MAX_ONE_SIDED:
                        lines.append(f"{config}, {split}, {part}: {name} has MCC {figures['MCC']:.3f} "
                                     f"({low} to {high}), {figures['rows']} rows")  # fmt: skip
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `all_floors`; returns the exit status, 1 where there is a fault."""
    parser = argparse.ArgumentParser(description="Measure the floors of TVHF.")
    parser.add_argument("--data", required=True, type=Path, help="published folder, or a build")
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--encoder", help="folder or Hub id of an encoder of transformers, such as one of code, that "
                        "the rows `encoder` measure instead of all-MiniLM-L6-v2")  # fmt: skip
    parser.add_argument("--packages", nargs="*", default=(), type=Path, help="site-packages of other environments")
    options = parser.parse_args(arguments)
    try:
        encoder = SentenceEncoder(options.encoder) if options.encoder else encode
        found = all_floors(options.data, encoder, options.packages, options.out)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"fault: {line}\n" for line in found["faults"]))
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
