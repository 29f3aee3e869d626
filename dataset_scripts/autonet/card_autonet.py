"""The card of AutoNet: what `load_dataset` needs to know, figures of a build, and the text of README.md beside it.

All figures come from the Parquet files of the build.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dataset_scripts.release.folder_release import DataFolder
from dataset_scripts.release.front_matter_release import card_text, config_entry, info_entry, read_card
from dataset_scripts.release.statistics_release import GraphFigures, Spread, TextFigures, markdown_table

CARD_PATH = Path(__file__).with_name("README.md")
CONFIGS = ("architectures", "descriptions", "aqa", "aqa_hard", "captions")
DEFAULT_CONFIG = "aqa"
LENGTHS = ("sentence", "paragraph", "full")
FIGURES, FLOORS, PICTURES = "<!-- figures -->", "<!-- floors -->", "<!-- pictures -->"

TABLE_COLUMNS = (
    "", "split", "samples", "architectures", "node types", "nodes", "edges", "different words", "words", "characters",
)  # fmt: skip
PAPER_ROWS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("descriptions", "train"): (
        "103,306", "10,000", "28", "371.5 / 312.6 / 266", "401 / 323.0 / 241", "769", "43.8 / 8.6 / 45",
        "333.7 / 74.8 / 345",
    ),
    ("descriptions", "validation"): (
        "10,338", "1,000", "28", "384.5 / 343.3 / 266", "419 / 368.2 / 293.5", "652", "43.9 / 8.7 / 45",
        "334.0 / 74.9 / 345",
    ),
    ("aqa", "train"): (
        "350,000", "10,000", "28", "373.3 / 313.9 / 270", "404 / 325.5 / 297", "86", "10.8 / 1.9 / 11",
        "62.8 / 12.5 / 62",
    ),
    ("aqa", "validation"): (
        "35,000", "1,000", "28", "358.3 / 302.0 / 261", "390 / 324.3 / 285.5", "86", "10.8 / 1.9 / 11",
        "62.8 / 12.5 / 62",
    ),
}  # fmt: skip
"""Config, split -> the row of the paper's Table 1 (AutoNet and AutoNet-AQA)."""


@dataclass(frozen=True)
class Figures:
    """Figures of one split.

    Attributes:
        graphs: figures of the graphs; its groups are the styles of network.
        descriptions: figures of the descriptions of the paper's kind.
        questions: figures of the questions of `aqa`.
        captions: length -> figures of the captions.
        labels: label of the descriptions of the paper's kind -> their number.
        rows: config -> number of rows.
    """

    graphs: GraphFigures
    descriptions: TextFigures
    questions: TextFigures
    captions: Mapping[str, TextFigures]
    labels: Counter[int]
    rows: Mapping[str, int]

    @classmethod
    def of(cls, data: DataFolder, split: str) -> Figures:
        """Figures of a split of a build."""
        graphs = data.tables("architectures", split, ("op_types", "src", "num_parameters", "style"))
        labels: Counter[int] = Counter()
        for table in paper_descriptions(data, split, ("label",)):
            labels.update(table["label"].to_pylist())
        return cls(
            graphs=GraphFigures.of(graphs, group="style"),
            descriptions=TextFigures.of(t["text"] for t in paper_descriptions(data, split, ("text",))),
            questions=TextFigures.of(t["question"] for t in data.tables("aqa", split, ("question",))),
            captions={length: TextFigures.of(_captions(data, split, length)) for length in LENGTHS},
            labels=labels,
            rows={config: data.num_rows(config, split) for config in data.splits},
        )


def paper_descriptions(data: DataFolder, split: str, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """The descriptions of the paper's kind, which stand in no group."""
    for table in data.tables("descriptions", split, (*columns, "group")):
        yield table.filter(pc.equal(table["group"], ""))


def _captions(data: DataFolder, split: str, length: str) -> Iterator[pa.ChunkedArray]:
    for table in data.tables("captions", split, ("text", "length")):
        yield table.filter(pc.equal(table["length"], length))["text"]


def write_card(output_dir: Path, arguments: Mapping[str, Any]) -> None:
    """Write the `README.md` of a build, from its Parquet files; it is there as a whole or not at all.

    Args:
        output_dir: folder of the build.
        arguments: arguments of the build, to be named in the card.

    Raises:
        DataFolderError: a file is missing or damaged.
    """
    data = DataFolder(output_dir, CONFIGS)
    figures = {split: Figures.of(data, split) for split in data.splits["architectures"]}
    configs = [config_entry(data, config, default=config == DEFAULT_CONFIG) for config in data.splits]
    infos = [info_entry(data, config) for config in data.splits]
    write_text(output_dir / "README.md", make_card(configs, infos, {FIGURES: figures_section(figures, arguments)}))


def make_card(
    configs: Iterable[Mapping[str, Any]], infos: Iterable[Mapping[str, Any]], sections: Mapping[str, str]
) -> str:
    """The card: front matter, and the text with its marks replaced by sections (by nothing where there is none)."""
    front, body = read_card(CARD_PATH) if CARD_PATH.exists() else ({}, f"# AutoNet\n\n{FIGURES}\n")
    for mark in (FIGURES, FLOORS, PICTURES):
        section = sections.get(mark, "")
        body = body.replace(mark, section) if section else body.replace(f"{mark}\n\n", "")
    return card_text({**front, "configs": list(configs), "dataset_info": list(infos)}, body)


def write_text(path: Path, text: str) -> None:
    """Write a file under another name and rename it."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)


def figures_section(figures: Mapping[str, Figures], arguments: Mapping[str, Any]) -> str:
    """The build's command, Table 1, and more figures of every split."""
    given = " ".join(f"--{name} {value}" for name, value in arguments.items() if value is not None)
    return "\n".join(
        [
            f"Made by `python -m dataset_scripts.autonet.generate_autonet {given}`.",
            "",
            "Spreads are mean / standard deviation / median. The rows of the paper (its Table 1) are **on other "
            "data**: it draws a set of architectures for each task, and counts words in a way of its own.",
            "",
            table_one(figures),
            "",
            _build_table(figures),
        ]
    )


def table_one(figures: Mapping[str, Figures]) -> str:
    """Table 1 of the paper, our rows beside the paper's."""
    rows = []
    for name, config in (("AutoNet, descriptions", "descriptions"), ("AutoNet-AQA, questions", "aqa")):
        for split, one in figures.items():
            rows.append((name, split, *_table_row(one.graphs, one.descriptions if config != "aqa" else one.questions)))
            if (config, split) in PAPER_ROWS:
                rows.append(("the paper, on other data", split, *PAPER_ROWS[config, split]))
    return markdown_table(TABLE_COLUMNS, rows)


def _table_row(graphs: GraphFigures, texts: TextFigures) -> tuple[str, ...]:
    counts = (len(texts.words), len(graphs.nodes), len(graphs.op_types))
    spreads = [str(Spread.of(v)) for v in (graphs.nodes, graphs.edges, texts.words, texts.characters)]
    return (*(f"{n:,}" for n in counts), *spreads[:2], f"{texts.vocabulary:,}", *spreads[2:])


def _build_table(figures: Mapping[str, Figures]) -> str:
    cells: dict[str, Callable[[Figures], str]] = {
        "architectures": lambda s: f"{s.rows['architectures']:,}",
        "styles of network": lambda s: f"{len(s.graphs.groups)}",
        "parameters in millions": lambda s: str(Spread.of(s.graphs.parameters / 1e6)),
        "descriptions of the paper's kind": lambda s: f"{s.labels.total():,}",
        "of them true": lambda s: f"{100 * s.labels[1] / s.labels.total():.1f}%",
        "matched descriptions, half of them true": lambda s: f"{s.rows['descriptions'] - s.labels.total():,}",
        "questions": lambda s: f"{s.rows['aqa']:,}",
        "hard questions": lambda s: f"{s.rows['aqa_hard']:,}",
        "captions": lambda s: f"{s.rows['captions']:,}",
    }
    rows = [(name, *(cell(one) for one in figures.values())) for name, cell in cells.items()]
    rows += [
        (f"words of a caption, `{length}`", *(str(Spread.of(one.captions[length].words)) for one in figures.values()))
        for length in LENGTHS
    ]
    return markdown_table(("", *figures), rows)
