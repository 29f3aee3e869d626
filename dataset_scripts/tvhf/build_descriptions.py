"""Makes the configs `sentences`, `truth` and `descriptions` of TVHF from its sentences and architectures.

Usage::

    python -m dataset_scripts.tvhf.build_descriptions --architectures PATH --out FOLDER [--seed 0] [--partial]

Nothing is written where a sentence has a problem (`check_sentences`). Columns of `truth` stand in the order of sorted
`arch_id`. What the paper's negatives are worth is written to `descriptions/paper.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .check_sentences import ARCHITECTURES, check_described, problems_of
from .descriptions_tvhf import Corpus, description_counts, descriptions
from .sentences_tvhf import FOLDER, load_sentences
from .similarity_tvhf import Encoder, encode
from .truth_tvhf import load_architectures, truth_matrix, truth_rows

_TEXT, _FLAG, _NUMBER = pa.string(), pa.bool_(), pa.int32()
SCHEMAS: Mapping[str, pa.Schema] = {
    "sentences": pa.schema(
        [("sentence_id", _TEXT), ("text", _TEXT), ("kind", _TEXT), ("style", _TEXT), ("predicate", _TEXT),
         ("family", _TEXT), ("members", pa.list_(_TEXT)), ("mentions_name", _FLAG), ("author_kind", _TEXT),
         ("checked", _FLAG), ("split", _TEXT)]
    ),
    "truth": pa.schema(
        [("sentence_id", _TEXT), ("truth", _TEXT), ("num_true", _NUMBER), ("num_false", _NUMBER),
         ("num_unknown", _NUMBER)]
    ),
    "descriptions": pa.schema(
        [("arch_id", _TEXT), ("text", _TEXT), ("label", _NUMBER), ("negative_kind", _TEXT), ("kind", _TEXT),
         ("group", _TEXT), ("style", _TEXT), ("author_kind", _TEXT), ("mentions_name", _FLAG), ("checked", _FLAG),
         ("sentence_id", _TEXT)]
    ),
}  # fmt: skip
"""Config -> columns."""


def sentence_rows(corpus: Corpus) -> list[dict[str, Any]]:
    """Rows of the config `sentences`."""
    return [
        {
            "sentence_id": identifier,
            "text": s.text,
            "kind": s.kind,
            "style": s.style,
            "predicate": s.predicate,
            "family": s.family,
            "members": list(s.of),
            "mentions_name": s.mentions_name,
            "author_kind": s.author_kind,
            "checked": s.checked,
            "split": side,
        }
        for identifier, s, side in zip(corpus.ids, corpus.sentences, corpus.sides, strict=True)
    ]


def build(corpus: Corpus, out: Path) -> dict[str, Any]:
    """Writes the three configs into `out`, as Parquet.

    Returns:
        Counts by split of `descriptions`, and what the matrix says of the paper's negatives.
    """
    rows, paper = descriptions(corpus)
    order = np.argsort([a.arch_id for a in corpus.architectures])
    _write(out / "sentences" / "train-00000-of-00001.parquet", sentence_rows(corpus))
    truth = truth_rows(corpus.sentences, corpus.ids, corpus.matrix[:, order])
    _write(out / "truth" / "train-00000-of-00001.parquet", list(truth))
    for split, found in rows.items():
        if found:
            _write(out / "descriptions" / f"{split}-00000-of-00001.parquet", found)
    counts = {"splits": description_counts(rows), "paper_negatives": paper}
    (out / "descriptions" / "paper.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    return counts


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([*map(dict, rows)], schema=SCHEMAS[path.parent.name])
    pq.write_table(table, path, compression="zstd", compression_level=12)


def main(arguments: Sequence[str] | None = None, encoder: Encoder = encode) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--architectures", type=Path, default=ARCHITECTURES, help="Parquet file or folder")
    parser.add_argument("--sentences", type=Path, default=FOLDER, help="folder of sentence files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--partial", action="store_true", help="architectures may be missing")
    args = parser.parse_args(arguments)
    try:
        sentences, problems = load_sentences(args.sentences)
        architectures = load_architectures(args.architectures)
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    matrix = truth_matrix(sentences, architectures)
    problems += problems_of(sentences, architectures, matrix, args.partial)
    problems += [] if args.partial else check_described(sentences, architectures)
    if problems:
        sys.stderr.write("".join(f"{problem}\n" for problem in problems) + f"{len(problems)} problems; nothing made\n")
        return 1
    shown = truth_matrix(sentences, [a._replace(facts=a.facts.undisputed()) for a in architectures])
    corpus = Corpus(sentences, architectures, matrix, encoder([s.text for s in sentences]), args.seed, shown)
    sys.stdout.write(json.dumps(build(corpus, args.out), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
