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

from .clusters_tvhf import modality_group
from .configs_tvhf import AUDIT, CONFIGS, PAPER, PAPER_SPLITS, TASKS
from .floors_tvhf import MAX_ONE_SIDED
from .plots_tvhf import PICTURES

CARD_PATH = Path(__file__).with_name("README.md")
MARKS = ("counts", "table 1", "splits", "leaks", "sentences", "paper negatives", "clones", "floors", "pictures")
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
    audit = _json(data, AUDIT)
    return {
        "counts": counts_section(data),
        "table 1": table_one(data),
        "splits": splits_section(data),
        "leaks": leaks_section(audit),
        "sentences": sentences_section(data),
        "paper negatives": paper_section(_json(data, Path(PAPER).name)),
        "clones": clones_section(data),
        "floors": floors_section(floors, _json(data, TASKS)),
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
    """Rows of every config and split."""
    rows = [
        (f"`{config}`", f"{sum(data.num_rows(config, s) for s in data.splits[config]):,}",
         ", ".join(f"{s} {data.num_rows(config, s):,}" for s in data.splits[config]))
        for config in CONFIGS
    ]  # fmt: skip
    positives = _positives(data)
    said = (
        f"{len(positives):,} true pairs of an architecture and a sentence written for its family, of "
        f"{len({text for _, text in positives}):,} different sentences and "
        f"{len({name for name, _ in positives}):,} architectures (the paper: 2,224 pairs, 538 architectures)."
    )
    return f"{markdown_table(('config', 'rows', 'by split'), rows)}\n\n{said}"


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
    for split in (s for s in data.splits["descriptions"] if s not in ("test_seen_both",)):
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


def clones_section(data: DataFolder) -> str:
    """Pairs by relation and split, and disagreements with Weisfeiler-Lehman."""
    by_split = {}
    for split in data.splits["clones"]:
        by_split[split] = pa.concat_tables(data.tables("clones", split, ("relation", "label", "agrees_with_wl")))
    relations = ("identical", "resized", "variant", "shared backbone", "same paradigm", "unrelated")
    counters = {split: Counter(table["relation"].to_pylist()) for split, table in by_split.items()}
    rows = [(relation, *(f"{counter[relation]:,}" for counter in counters.values())) for relation in relations]
    rows.append(
        ("against Weisfeiler-Lehman", *(f"{table['agrees_with_wl'].to_pylist().count(False):,}"
                                        for table in by_split.values()))
    )  # fmt: skip
    return markdown_table(("relation", *by_split), rows)


def floors_section(floors: Floors, tasks: Mapping[str, Any]) -> str:
    """The floors in tables."""
    parts = [
        "`descriptions`, matched, kinds structure and size (chance of group accuracy is 25%; in brackets 95% "
        "intervals over clusters):",
        _description_table(floors["descriptions"], "structure and size"),
        "The same for kind purpose:",
        _description_table(floors["descriptions"], "purpose"),
        "`clones`, label 1 against 0:",
        _clone_table(floors["clones"]),
        "Questions, exact match of the most frequent training answer, mean over question types:",
        _question_table(tasks),
        "`bimodal_clones`, naive Bayes on one side:",
        _bimodal_table(tasks),
        "`search`, precision of a random order:",
        _search_table(tasks),
        _faults(floors["faults"]),
    ]
    return "\n\n".join(parts)


def _faults(lines: Sequence[str]) -> str:
    if not lines:
        return f"No classifier that sees one side only is above a Matthews correlation of {MAX_ONE_SIDED}."
    said = "\n".join(f"- {line}" for line in lines)
    return (
        f"**Faults.** A classifier that sees one side only should stay below a Matthews correlation of "
        f"{MAX_ONE_SIDED}; it does not here, so a score on these parts shows less than it seems to:\n\n{said}"
    )


def _description_table(floors: Mapping[str, Any], kinds: str) -> str:
    rows = [
        (split, name, f"{f['rows']:,}", f"{f['prevalence']:.0f}", _pair(f, "group_accuracy"), _pair(f, "MCC"),
         f"{f['F1']:.1f}", f"{f['AUROC']:.1f}")
        for split, by_kind in floors.items() if split != "validation"
        for name, f in by_kind.get(kinds, {}).items()
    ]  # fmt: skip
    heads = ("split", "method", "rows", "true, %", "group accuracy", "MCC", "F1", "AUROC")
    return markdown_table(heads, rows)


def _pair(figures: Mapping[str, Any], name: str) -> str:
    low, high = figures[f"{name}_95"]
    return f"{figures[name]} ({low} to {high})"


def _clone_table(floors: Mapping[str, Any]) -> str:
    rows = [
        (split, part, name, f"{f['rows']:,}", f"{f['prevalence']:.0f}", _pair(f, "MCC"), f"{f['F1']:.1f}",
         f"{f['AUROC']:.1f}")
        for split, parts in floors.items() if split != "validation"
        for part, methods in parts.items() for name, f in methods.items()
    ]  # fmt: skip
    return markdown_table(("split", "pairs", "method", "rows", "alike, %", "MCC", "F1", "AUROC"), rows)


def _question_table(tasks: Mapping[str, Any]) -> str:
    rows = [
        (f"`{config}`", split, f"{found['types']}", f"{found['mean']['type']:.1f}%",
         f"{found['mean']['type_and_subject']:.1f}%")
        for config in ("aqa", "aqa_hard", "aqa_modern")
        for split, found in tasks[config].get("floors", {}).items()
    ]  # fmt: skip
    return markdown_table(("config", "split", "types", "by type", "by type and subject"), rows)


def _bimodal_table(tasks: Mapping[str, Any]) -> str:
    rows = [
        (split, f"{found['rows']:,}", f"{found['positive']:.0f}", side, f"{found[side]['MCC']:.3f}",
         f"{found[side]['F1']:.1f}", f"{found[side]['AUROC']:.1f}")
        for split, found in tasks["bimodal_clones"].get("floors", {}).items() for side in ("text", "pair")
    ]  # fmt: skip
    return markdown_table(("split", "rows", "alike, %", "side", "MCC", "F1", "AUROC"), rows)


def _search_table(tasks: Mapping[str, Any]) -> str:
    rows = [
        (split, kind, f"{found['queries']:,}", f"{found['relevant']:.1f}", f"{found['random_precision']:.1f}%")
        for split, kinds in tasks["search"].get("floors", {}).items() for kind, found in kinds.items()
    ]  # fmt: skip
    return markdown_table(("split", "kind, pool", "queries", "relevant", "random precision"), rows)
