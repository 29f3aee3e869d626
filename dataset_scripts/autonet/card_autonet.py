"""The README of a generated AutoNet: what `load_dataset` needs to know, statistics of the build, and the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median, pstdev
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from processing_archbert.architecture_graph_archbert import ArchitectureGraph

CARD_PATH = Path(__file__).with_name("README.md")
DEFAULT_CONFIG = "aqa"

Spread = tuple[float, float, float]


class Statistics(NamedTuple):
    """Figures of one split, after the paper's Table 1; a spread is mean, standard deviation and median.

    Attributes:
        rows: config -> number of rows.
        nodes: spread of the nodes of a graph.
        edges: spread of the edges of a graph.
        description_words: spread of the words of a description of the paper's kind.
        question_words: spread of the words of a question.
        caption_words: length of a caption -> spread of its words.
        positives: share of true descriptions among those of the paper's kind.
        matched: number of matched descriptions.
    """

    rows: dict[str, int]
    nodes: Spread
    edges: Spread
    description_words: Spread
    question_words: Spread
    caption_words: dict[str, Spread]
    positives: float
    matched: int

    @classmethod
    def of(cls, graphs: Sequence[ArchitectureGraph], tables: Mapping[str, pa.Table]) -> Statistics:
        """Figures of the graphs and of the rows of the configs with texts."""
        descriptions, aqa, captions = tables["descriptions"], tables["aqa"], tables["captions"]
        paper = descriptions.filter(pc.equal(descriptions["group"], ""))
        return cls(
            rows={"architectures": len(graphs)} | {config: len(table) for config, table in tables.items()},
            nodes=_spread([graph.num_nodes for graph in graphs]),
            edges=_spread([graph.num_edges for graph in graphs]),
            description_words=_spread([len(text.split()) for text in paper["text"].to_pylist()]),
            question_words=_spread([len(text.split()) for text in aqa["question"].to_pylist()]),
            caption_words={
                length: _spread([len(text.split()) for text in rows["text"].to_pylist()])
                for length in pc.unique(captions["length"]).to_pylist()
                for rows in [captions.filter(pc.equal(captions["length"], length))]
            },
            positives=mean(paper["label"].to_pylist()),
            matched=len(descriptions) - len(paper),
        )


def write_card(
    output_dir: Path,
    statistics: Mapping[str, Statistics],
    arguments: Mapping[str, Any],
    schemas: Mapping[str, pa.Schema],
) -> None:
    """Write `README.md`: front matter with `configs` and `dataset_info`, the build's figures, the text of the card.

    Args:
        output_dir: folder of the data set.
        statistics: split -> its figures.
        arguments: arguments of the build, to be named in the card.
        schemas: config -> columns.
    """
    front, body = _read_card()
    front["configs"] = [
        {
            "config_name": config,
            **({"default": True} if config == DEFAULT_CONFIG else {}),
            "data_files": [{"split": split, "path": f"{config}/{split}-*"} for split in statistics],
        }
        for config in schemas
    ]
    front["dataset_info"] = [
        {
            "config_name": config,
            "features": [{"name": column.name} | _feature(column.type) for column in schema],
        }
        for config, schema in schemas.items()
    ]
    header = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    text = f"---\n{header}---\n{body.rstrip()}\n\n{_figures(statistics, arguments)}"
    (output_dir / "README.md").write_text(text, encoding="utf-8")


def _read_card() -> tuple[dict[str, Any], str]:
    """Front matter and text of the card beside this file; a bare title where it is missing."""
    if not CARD_PATH.exists():
        return {}, "# AutoNet\n"
    _, front, body = CARD_PATH.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def _feature(kind: pa.DataType) -> dict[str, str]:
    return {"sequence": str(kind.value_type)} if pa.types.is_list(kind) else {"dtype": str(kind)}


def _spread(values: Sequence[float]) -> Spread:
    return mean(values), pstdev(values), median(values)


def _figures(statistics: Mapping[str, Statistics], arguments: Mapping[str, Any]) -> str:
    given = " ".join(f"--{name} {value}" for name, value in arguments.items() if value is not None)
    lines = [
        "## This build",
        "",
        f"Made by `python -m dataset_scripts.autonet.generate_autonet {given}`.",
        "",
        "| | " + " | ".join(statistics) + " |",
        "|---|" + "---|" * len(statistics),
    ]
    figures: dict[str, list[str]] = {
        "architectures": [f"{s.rows['architectures']:,}" for s in statistics.values()],
        "nodes: mean, standard deviation, median": [_written(s.nodes) for s in statistics.values()],
        "edges: mean, standard deviation, median": [_written(s.edges) for s in statistics.values()],
        "questions": [f"{s.rows['aqa']:,}" for s in statistics.values()],
        "hard questions": [f"{s.rows['aqa_hard']:,}" for s in statistics.values()],
        "words of a question": [_written(s.question_words) for s in statistics.values()],
        "descriptions of the paper's kind": [f"{s.rows['descriptions'] - s.matched:,}" for s in statistics.values()],
        "of them true": [f"{100 * s.positives:.1f}%" for s in statistics.values()],
        "words of such a description": [_written(s.description_words) for s in statistics.values()],
        "matched descriptions, half of them true": [f"{s.matched:,}" for s in statistics.values()],
        "captions": [f"{s.rows['captions']:,}" for s in statistics.values()],
        **{
            f"words of a caption, {length}": [_written(s.caption_words[length]) for s in statistics.values()]
            for length in next(iter(statistics.values())).caption_words
        },
    }
    lines += [f"| {name} | " + " | ".join(values) + " |" for name, values in figures.items()]
    return "\n".join(lines) + "\n"


def _written(spread: Spread) -> str:
    return ", ".join(f"{value:.1f}" for value in spread)
