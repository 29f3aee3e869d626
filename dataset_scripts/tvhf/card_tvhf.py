"""The card of TVHF: the text of README.md beside it, with front matter and the figures of a build.

Every figure comes from the files of the build.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dataset_scripts.release.folder_release import DataFolder
from dataset_scripts.release.front_matter_release import card_text, read_card
from dataset_scripts.release.statistics_release import GraphFigures, Spread, TextFigures, markdown_table

from .card_floors_tvhf import floors_section
from .card_quality_tvhf import quality_section
from .clusters_tvhf import modality_group
from .configs_tvhf import (
    AUDIT,
    CLONES_REPORT,
    CONFIGS,
    LIBRARIES,
    NOT_TRACED,
    PAPER,
    PAPER_SPLITS,
    TABLE5,
    TABLE5_SPLITS,
)
from .plots_tvhf import PICTURES
from .relations_tvhf import RELATIONS
from .statement_floors_tvhf import HUMAN
from .table5_tvhf import PARTS, SETS

CARD_PATH = Path(__file__).with_name("README.md")
MARKS = (
    "counts", "table 1", "not traced", "sentences", "paper negatives", "human", "splits", "leaks", "table 5", "clones",
    "floors", "pictures", "quality",
)  # fmt: skip
"""What `<!-- MARK -->` in the text is replaced by."""
TABLE_COLUMNS = (
    "", "split", "samples", "architectures", "node types", "nodes", "edges", "different words", "words", "characters",
)  # fmt: skip
PAPER_ROWS: Mapping[str, tuple[str, ...]] = {
    "paper_train": ("24,069", "538", "50", "1146.6 / 1162.4 / 705", "1281 / 1302.9 / 753", "3,507",
                    "16.2 / 11.2 / 14", "97.6 / 77.8 / 81"),
    "paper_validation": ("6,018", "538", "50", "1146.6 / 1162.4 / 705", "1281 / 1302.9 / 753", "2,965",
                         "16.2 / 11.6 / 14", "97.9 / 80.3 / 81"),
}  # fmt: skip
"""Split -> the row of the paper's Table 1 (TVHF)."""
_ARCHITECTURE_SPLITS = ("train", "validation", "test", "test_new")
Floors = Mapping[str, Any]


def make_card(
    configs: Iterable[Mapping[str, Any]], infos: Iterable[Mapping[str, Any]], texts: Mapping[str, str]
) -> str:
    """The card: front matter, and the text with its marks replaced.

    Raises:
        ValueError: a mark has no text, or the text lacks a mark.
    """
    front, body = read_card(CARD_PATH)
    for mark in MARKS:
        if f"<!-- {mark} -->" not in body:
            raise ValueError(f"{CARD_PATH} lacks the mark <!-- {mark} -->.")
        body = body.replace(f"<!-- {mark} -->", texts[mark])
    return card_text({**front, "configs": list(configs), "dataset_info": list(infos)}, body)


def sections(data: DataFolder, floors: Floors) -> dict[str, str]:
    """Mark -> text, from a released folder and its floors."""
    return {
        "counts": counts_section(data),
        "table 1": table_one(data),
        "not traced": not_traced_section(_json(data, NOT_TRACED)),
        "sentences": sentences_section(data),
        "paper negatives": paper_section(_json(data, Path(PAPER).name)),
        "human": human_section(data),
        "splits": splits_section(data),
        "leaks": leaks_section(_json(data, AUDIT)),
        "table 5": table_five(_json(data, TABLE5)),
        "clones": clones_section(_json(data, Path(CLONES_REPORT).name)),
        "floors": floors_section(floors),
        "quality": quality_section(data, _json(data, Path(PAPER).name), _json(data, AUDIT)),
        "pictures": "\n\n".join(
            f"![{name.replace('_', ' ')}](plots/{name}.png)\n\n{said}" for name, said in PICTURES.items()
        ),
    }


def _json(data: DataFolder, name: str) -> dict[str, Any]:
    return dict(json.loads((data.path / name).read_text(encoding="utf-8")))


def _column(data: DataFolder, config: str, column: str, splits: Sequence[str] | None = None) -> list[Any]:
    return [
        value
        for split in data.splits[config] if splits is None or split in splits
        for table in data.tables(config, split, (column,)) for value in table[column].to_pylist()
    ]  # fmt: skip


def counts_section(data: DataFolder) -> str:
    """Rows of every config and split; those of one library have a table of their own."""
    rows = []
    for config in (config for config in CONFIGS if config in data.splits):
        counts = {s: data.num_rows(config, s) for s in data.splits[config] if s not in TABLE5_SPLITS}
        said = ", ".join(f"{split} {count:,}" for split, count in counts.items())
        rows.append((f"`{config}`", f"{sum(counts.values()):,}", said))
    positives = _positives(data)
    said = (
        f"{len(positives):,} true pairs of an architecture and a sentence written for its family, of "
        f"{len({text for _, text in positives}):,} different sentences and "
        f"{len({name for name, _ in positives}):,} architectures (the paper: 2,224 pairs, 538 architectures)."
    )
    return f"{markdown_table(('config', 'rows', 'by split, without those of one library'), rows)}\n\n{said}"


def _positives(data: DataFolder) -> set[tuple[str, str]]:
    found = set()
    for split in PAPER_SPLITS:
        for table in data.tables("descriptions", split, ("arch_id", "text", "label")):
            found |= {(row["arch_id"], row["text"]) for row in table.to_pylist() if row["label"]}
    return found


def table_one(data: DataFolder) -> str:
    """Table 1 of the paper, our rows beside the paper's."""
    graphs = pa.concat_tables(
        table for split in data.splits["architectures"]
        for table in data.tables("architectures", split, ("arch_id", "op_types", "src", "num_parameters"))
    )  # fmt: skip
    rows = []
    for split in (s for s in data.splits["descriptions"] if s not in ("test_seen_both", *TABLE5_SPLITS)):
        texts = pa.concat_tables(data.tables("descriptions", split, ("arch_id", "text")))
        inside = graphs.filter(pc.is_in(graphs["arch_id"], value_set=pc.unique(texts["arch_id"])))
        rows.append(("TVHF", split, *_table_row(GraphFigures.of([inside]), TextFigures.of([texts["text"]]))))
        if split in PAPER_ROWS:
            rows.append(("the paper, on other data", split.removeprefix("paper_"), *PAPER_ROWS[split]))
    return markdown_table(TABLE_COLUMNS, rows)


def _table_row(graphs: GraphFigures, texts: TextFigures) -> tuple[str, ...]:
    counts = (len(texts.words), len(graphs.nodes), len(graphs.op_types))
    spreads = [str(Spread.of(values)) for values in (graphs.nodes, graphs.edges, texts.words, texts.characters)]
    return (*(f"{n:,}" for n in counts), *spreads[:2], f"{texts.vocabulary:,}", *spreads[2:])


def splits_section(data: DataFolder) -> str:
    """Architectures, families and clusters of every side."""
    rows = []
    for split in _ARCHITECTURE_SPLITS:
        columns = ("family", "cluster", "modality", "source")
        found = pa.concat_tables(data.tables("architectures", split, columns)).to_pylist()
        kinds: dict[str, set[str]] = {}
        for row in found:
            kinds.setdefault(modality_group(row["modality"]), set()).add(row["cluster"])
        sources = Counter(row["source"] for row in found)
        rows.append(
            (f"`{split}`", f"{len(found):,}", f"{len({r['family'] for r in found}):,}",
             f"{len({r['cluster'] for r in found}):,}",
             ", ".join(f"{kind} {len(clusters)}" for kind, clusters in sorted(kinds.items())),
             f"{sources['transformers']:,}", f"{sources['torchvision']:,}")
        )  # fmt: skip
    heads = ("split", "architectures", "families", "clusters", "clusters by input", "transformers", "torchvision")
    return markdown_table(heads, rows)


def leaks_section(audit: Mapping[str, Any]) -> str:
    """The leak audit in words."""
    pairs = ", ".join(f"{sides}: {count:,}" for sides, count in audit["near_pairs"].items()) or "none"
    shares = ", ".join(f"`{side}` {share:.1%}" for side, share in audit["share_with_near_train"].items())
    return "\n".join(
        [
            f"- Clusters on two sides: {audit['shared_clusters']}; graphs: {audit['shared_graphs']}; graphs of equal "
            f"topology (ops and edges, other sizes): {audit['shared_topologies']}.",
            f"- Pairs across sides that are more than {audit['threshold']} similar (Weisfeiler-Lehman): {pairs}.",
            f"- Architectures with such a pair in `train`: {shares}.",
        ]
    )


def sentences_section(data: DataFolder) -> str:
    """Sentences by kind, style and split, and what the matrix knows."""
    rows = [row for table in data.tables("sentences", "train") for row in table.to_pylist()]
    lines = [f"{len(rows):,} different sentences."]
    for column in ("kind", "style", "split", "author_kind"):
        counter = Counter(row[column] for row in rows)
        lines.append(f"- {column}: " + ", ".join(f"{name} {count:,}" for name, count in counter.most_common()))
    named = sum(row["mentions_name"] for row in rows)
    checked = sum(row["checked"] for row in rows)
    totals = {word: sum(_column(data, "truth", f"num_{word}")) for word in ("true", "false", "unknown")}
    every = max(1, sum(totals.values()))
    cells = ", ".join(f"{word} {count / every:.1%}" for word, count in totals.items())
    lines.append(f"- decided by the graph (`checked`): {checked:,}; with the name of a model: {named:,}")
    lines.append(f"- truth matrix: {every:,} cells, {cells}")
    return "\n".join([lines[0], "", *lines[1:]])


def paper_section(counts: Mapping[str, Any]) -> str:
    """What the matrix says of the paper's negatives."""
    found = counts["paper_negatives"]
    return (
        f"{found['positives']:,} positives and {found['negatives']:,} negatives. Of these negatives the matrix calls "
        f"{found['true']:.1%} true, {found['false']:.1%} false and {found['unknown']:.1%} unknown: so much of the "
        "labels of Algorithm 1 is noise."
    )


def clones_section(report: Mapping[str, Any]) -> str:
    """Pairs by relation and split, and how many of those with a label contradict a similarity."""
    splits = [split for split in report["relations"] if split not in TABLE5_SPLITS]
    rows = [(kind, *(f"{report['relations'][split].get(kind, 0):,}" for split in splits)) for kind in RELATIONS]
    rows += [
        (f"against `{name}`", *(f"{report['disagreements'][split][name]:,}" for split in splits))
        for name in report["thresholds"]
    ]
    said = ", ".join(f"`{name}` {value:.2f}" for name, value in report["thresholds"].items())
    return f"{markdown_table(('relation', *splits), rows)}\n\nThresholds of the similarities, best on `train`: {said}."


def not_traced_section(report: Mapping[str, Any]) -> str:
    """How many members of the registry have a row, and the others with the reason."""
    reasons: dict[str, list[str]] = {}
    for name, found in sorted(report["left_out"].items()):
        reasons.setdefault(_short(found["reason"]), []).append(name)
    rows = [
        (reason, f"{len(names)}", ", ".join(f"`{name}`" for name in names))
        for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1]))
    ]
    head = (
        f"The registry has {report['members']:,} members. {report['traced']:,} of them could be traced; they have "
        f"{report['rows']:,} different graphs. {len(report['left_out'])} are in no row:"
    )
    return f"{head}\n\n{markdown_table(('reason', 'members', 'names'), rows)}"


def _short(reason: str) -> str:
    """A reason as one phrase: the kind of an error without its text, which `not_traced.json` has."""
    known = {"took longer than": "tracing takes too long", "cannot be traced": "an error while it is traced"}
    return next((phrase for part, phrase in known.items() if part in reason), reason)


def human_section(data: DataFolder) -> str:
    """Numbers of the config `test_human`."""
    if HUMAN not in data.splits:
        return ""
    columns = ("sentence_id", "package", "version", "kind", "label", "mentions_name")
    rows = pa.concat_tables(data.tables(HUMAN, "test", columns)).to_pylist()
    every = {row["sentence_id"]: row for row in rows}
    labelled = {row["sentence_id"] for row in rows if row["label"] is not None}
    packages = Counter(f"{row['package']} {row['version']}" for row in every.values())
    kinds = Counter(row["kind"] for row in every.values())
    return "\n".join([
        f"- {len(every):,} sentences, of " + ", ".join(f"{name} {n:,}" for name, n in sorted(packages.items())),
        "- kinds: " + ", ".join(f"{name} {n:,}" for name, n in kinds.most_common()),
        f"- with a predicate, and so with labels: {len(labelled):,}; with the name of a model: "
        f"{sum(row['mentions_name'] for row in every.values()):,}",
        f"- rows: {len(rows):,}, of them true {sum(row['label'] == 1 for row in rows):,}, false "
        f"{sum(row['label'] == 0 for row in rows):,}, without a label {sum(row['label'] is None for row in rows):,}",
    ])  # fmt: skip


def table_five(report: Mapping[str, Any]) -> str:
    """What the splits of the two libraries hold and share: trained on a row, evaluated on a column."""
    names = {**LIBRARIES, SETS[-1]: "both"}
    rows = [
        (f"`{config}`", form, names[a], *(_shared(found[b]) if b in found else "-" for b in SETS))
        for config in ("descriptions", "clones") for form in PARTS for a, found in report[config][form].items()
    ]  # fmt: skip
    heads = ("config", "form", "trained on", *(f"evaluated on {names[b]}" for b in SETS))
    return markdown_table(heads, rows)


def _shared(found: Mapping[str, Any]) -> str:
    shared = found["shared"]
    return f"{found['rows']:,} ({shared['network']:.0f} / {shared['family']:.0f} / {shared['near_network']:.0f})"
