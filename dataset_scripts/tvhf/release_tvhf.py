"""Makes what is published of TVHF from a build: Parquet, sample, plots, audit, floors, Croissant, digests and card.

    python -m dataset_scripts.tvhf.release_tvhf --data DIR --out hub/datasets/tvhf [--freeze]

The test files are frozen in `test_files.json`. A build with other test files is not released: what changed is said,
and `--freeze` freezes the new ones. The card is written last.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataset_scripts.release.croissant_release import about_dataset, croissant
from dataset_scripts.release.folder_release import DataFolder
from dataset_scripts.release.front_matter_release import config_entry, info_entry, read_card

from .card_tvhf import CARD_PATH, make_card, sections
from .configs_tvhf import (
    AUDIT,
    CLONES_REPORT,
    CONFIGS,
    DEFAULT_CONFIG,
    DESCRIPTIONS,
    NOT_TRACED,
    PAPER,
    SAMPLE,
    TABLE5,
    TASKS,
    read_folder,
)
from .floors_tvhf import MAX_ONE_SIDED, all_floors
from .frozen_tvhf import FROZEN, MANIFEST, changes, frozen_digests, manifest, write_json
from .plots_tvhf import write_plots
from .sample_tvhf import SAMPLE_SIZE, write_sample

CROISSANT, PLOT_FOLDER = "croissant.json", "plots"
RESULTS = Path("benchmarks/results/tvhf_floors.json")
URL = "https://huggingface.co/datasets/archbert/tvhf"
VERSION = "1.0.0"
CITATION = (
    "Akbari, Ranjbar Alvar, Kamranian, Banitalebi-Dehkordi, Zhang: ArchBERT: Bi-Modal Understanding of Neural "
    "Architectures and Natural Languages. CoNLL 2023."
)


class ReleaseError(ValueError):
    """A build that cannot be released: says what is wrong and what to do."""


def write_release(
    data_dir: str | Path,
    output_dir: str | Path,
    results: Path,
    freeze: bool = False,
    sample_size: int = SAMPLE_SIZE,
    packages: Sequence[Path] = (),
) -> list[str]:
    """Write the folder `output_dir` from a finished build; the same build gives the same bytes.

    Args:
        data_dir: folder of the build.
        output_dir: folder to write; its Parquet files are replaced.
        results: where the floors are written; those of the same data that stand there are not measured again.
        freeze: take the test files of this build for the frozen ones.
        sample_size: number of architectures in the config `sample`.
        packages: folders of installed packages, in which the floors read the sentences of `test_human`.

    Returns:
        What changed of the frozen test files.

    Raises:
        ReleaseError: a config is missing, test files differ from the frozen ones and `freeze` is not set, or one side
            alone decides a task (`floors_tvhf.faults`); nothing but the floors is written then.
        DataFolderError: a file is missing or damaged.
    """
    source, target = Path(data_dir), Path(output_dir)
    data = read_folder(source)
    if missing := [config for config in CONFIGS if config not in data.splits]:
        raise ReleaseError(f"{source} has no {', '.join(missing)}; run dataset_scripts.tvhf.build_tvhf first.")
    now = frozen_digests(data)
    frozen = target / FROZEN
    changed = changes(json.loads(frozen.read_text(encoding="utf-8")), now) if frozen.is_file() else []
    if changed and not freeze:
        said = "".join(f"\n  {line}" for line in changed)
        raise ReleaseError(f"{source} has other test files than {frozen}; give --freeze to replace them:{said}")
    floors = all_floors(source, packages=packages, stored=results)
    if floors["faults"]:
        said = "".join(f"\n  {line}" for line in floors["faults"])
        raise ReleaseError(
            f"{source} has tasks that one side alone decides (Matthews correlation above {MAX_ONE_SIDED}); draw their "
            f"rows anew:{said}"
        )
    _copy(data, target)
    for name in (AUDIT, TASKS, PAPER, CLONES_REPORT, TABLE5, NOT_TRACED):
        shutil.copyfile(source / name, target / Path(name).name)
    write_sample(data, target, sample_size)
    write_json(frozen, now)
    write_plots(data, target / PLOT_FOLDER)
    released = read_folder(target, sample=True)
    write_json(target / MANIFEST, manifest(released))
    write_json(target / CROISSANT, croissant(about_tvhf(), [released], DESCRIPTIONS))
    _write_card(released, floors)
    return changed


def _copy(data: DataFolder, target: Path) -> None:
    """Copies the Parquet files, and removes those of other builds."""
    for config in (*CONFIGS, SAMPLE):
        for path in (target / config).glob("*.parquet"):
            path.unlink()
    for config, splits in data.splits.items():
        (target / config).mkdir(parents=True, exist_ok=True)
        for path in (path for split in splits for path in data.files(config, split)):
            shutil.copyfile(path, target / config / path.name)


def _write_card(released: DataFolder, floors: dict[str, Any]) -> None:
    configs = [config_entry(released, config, default=config == DEFAULT_CONFIG) for config in released.splits]
    infos = [info_entry(released, config) for config in released.splits]
    text = make_card(configs, infos, sections(released, floors))
    (released.path / "README.md").write_text(text, encoding="utf-8")


def about_tvhf() -> dict[str, Any]:
    """What schema.org wants to know of the data set."""
    front, _ = read_card(CARD_PATH)
    return about_dataset(
        "tvhf",
        front,
        description="Graphs of the networks of transformers and torchvision, with machine-written sentences about "
        "them; every label is computed from the graph or read from a table of the networks.",
        url=URL,
        version=VERSION,
        citation=CITATION,
        published="2026-11-21",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `write_release`; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write what is published of TVHF from a build.")
    parser.add_argument("--data", required=True, type=Path, help="folder of a build")
    parser.add_argument("--out", default=Path("hub/datasets/tvhf"), type=Path, help="folder to write")
    parser.add_argument("--results", default=RESULTS, type=Path, help="where the floors are written")
    parser.add_argument("--freeze", action="store_true", help="replace the frozen test files")
    parser.add_argument("--packages", nargs="*", default=(), type=Path, help="site-packages of other environments")
    options = parser.parse_args(arguments)
    try:
        changed = write_release(options.data, options.out, options.results, options.freeze, packages=options.packages)
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in changed))
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    sys.stdout.write(f"{options.out}: {size / 1e6:.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
