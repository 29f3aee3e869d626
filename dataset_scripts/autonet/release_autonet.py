"""Makes what is published beside the Parquet files of a build: sample, plots, Croissant, manifest and card.

    python -m dataset_scripts.autonet.release_autonet --data DIR --out hub/datasets/autonet

The card and `croissant.json` describe the whole data set. Of the data, the folder holds the config `sample` only, so
that `load_dataset` reads it; `python -m archbert.publish --datasets autonet=DIR` uploads both together, under a card
with the configs of both.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset_scripts.release.croissant_release import about_dataset, croissant
from dataset_scripts.release.folder_release import DataFolder
from dataset_scripts.release.front_matter_release import config_entry, info_entry, read_card

from .build_autonet import is_finished
from .card_autonet import (
    CARD_PATH,
    CONFIGS,
    FIGURES,
    FLOORS,
    PICTURES,
    Figures,
    figures_section,
    make_card,
    write_text,
)
from .floors_autonet import all_question_floors, floors_section, statement_floors
from .manifest_autonet import MANIFEST, check_files
from .plots_autonet import PICTURES as PLOTS
from .plots_autonet import write_plots
from .sample_autonet import SAMPLE, SAMPLE_SIZE, write_sample

CROISSANT, PLOT_FOLDER = "croissant.json", "plots"
URL = "https://huggingface.co/datasets/archbert/autonet"
DESCRIPTIONS: Mapping[str, str] = {
    SAMPLE: "One architecture with all its texts: captions, descriptions, questions and hard questions as lists.",
    "architectures": "A network: how it is built, and its graph in flat lists.",
    "descriptions": "A text beside an architecture, true or false of it, with the claims that it makes.",
    "aqa": "A question to an architecture and its true answers.",
    "aqa_hard": "A question beyond the paper's templates, to a view of an architecture, and its true answers.",
    "captions": "A description of an architecture, with the list of its claims.",
}
VERSION = "2.0.0"
CITATION = (
    "Akbari, Ranjbar Alvar, Kamranian, Banitalebi-Dehkordi, Zhang: ArchBERT: Bi-Modal Understanding of Neural "
    "Architectures and Natural Languages. CoNLL 2023."
)


def write_release(data_dir: str | Path, output_dir: str | Path, sample_size: int = SAMPLE_SIZE) -> None:
    """Write the folder `output_dir` from a finished build; the same build gives the same bytes.

    Args:
        data_dir: folder of the build.
        output_dir: folder to write; its files of these names are replaced, the card last.
        sample_size: number of architectures in the config `sample`.

    Raises:
        ValueError: the build is not finished, or too small for the sample.
        DataFolderError: a file is missing or damaged.
    """
    source, target = Path(data_dir), Path(output_dir)
    if not is_finished(source):
        raise ValueError(f"{source} is no finished build; run generate_autonet with --out {source} first.")
    arguments = check_files(source)["arguments"]
    data = DataFolder(source, CONFIGS)
    target.mkdir(parents=True, exist_ok=True)
    write_sample(data, target, sample_size)
    sample = DataFolder(target, [SAMPLE])
    figures = {split: Figures.of(data, split) for split in data.splits["architectures"]}
    floors = all_question_floors(data)
    plots = write_plots(data, figures, floors, target / PLOT_FOLDER)
    shutil.copyfile(source / MANIFEST, target / MANIFEST)
    metadata = croissant(about_autonet(), [sample, data], DESCRIPTIONS)
    write_text(target / CROISSANT, json.dumps(metadata, indent=1, ensure_ascii=False) + "\n")
    sections = {
        FIGURES: figures_section(figures, arguments),
        FLOORS: floors_section(floors, statement_floors(data)),
        PICTURES: "\n\n".join(
            f"![{path.stem.replace('_', ' ')}]({PLOT_FOLDER}/{path.name})\n\n{PLOTS[path.stem]}" for path in plots
        ),
    }
    configs, infos = [config_entry(sample, SAMPLE, default=True)], [info_entry(sample, SAMPLE)]
    write_text(target / "README.md", make_card(configs, infos, sections))


def about_autonet() -> dict[str, Any]:
    """What schema.org wants to know of the data set."""
    front, _ = read_card(CARD_PATH)
    return about_dataset(
        "autonet",
        front,
        description="Random neural architectures with true and false descriptions, questions and captions; every "
        "label is computed from the graph, every text is made from templates.",
        url=URL,
        version=VERSION,
        citation=CITATION,
        published="2026-11-21",
    )


def main() -> None:
    """Command line of `write_release`."""
    parser = argparse.ArgumentParser(description="Write what is published beside the files of a build of AutoNet.")
    parser.add_argument("--data", required=True, help="folder of a finished build")
    parser.add_argument("--out", default="hub/datasets/autonet", help="folder to write")
    options = parser.parse_args()
    write_release(options.data, options.out)
    for path in sorted(Path(options.out).rglob("*")):
        if path.is_file():
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
