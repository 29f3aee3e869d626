"""Independent check of `aqa`, `aqa_hard` and `captions` of TVHF: every row is read back and answered by another route.

Usage::

    python -m dataset_scripts.tvhf.check_questions --data DIR [--num_proc 2] [--only aqa_hard]

The readers and truths are those that check AutoNet (`dataset_scripts.autonet.check_all`). The exit status is 0 only
when every row was read and agrees, and the pairs of `aqa_hard` are pairs.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from dataset_scripts.autonet import check_captions, check_hard
from dataset_scripts.autonet.check import check_answers, truth_of
from dataset_scripts.autonet.check_units import DataFolderError, Findings, Verdict, parser_of, report
from processing_archbert.interrupts_archbert import start_worker

CONFIGS = ("aqa", "aqa_hard", "captions")
_AHEAD = 16
Piece = dict[str, list[dict[str, Any]]]
"""Config -> rows of one architecture; `architectures` has its own."""


def pieces_of(folder: Path, configs: Sequence[str]) -> Iterator[Piece]:
    """The rows of each architecture of a folder, one after the other.

    Raises:
        DataFolderError: a config is missing or a file cannot be read, or rows speak of an unknown architecture.
    """
    texts: dict[str, dict[str, list[dict[str, Any]]]] = {config: defaultdict(list) for config in configs}
    for config in configs:
        for row in _rows(folder, config):
            texts[config][row["arch_id"]].append(row)
    for architecture in _rows(folder, "architectures"):
        yield {"architectures": [architecture]} | {c: texts[c].pop(architecture["arch_id"], []) for c in configs}
    unknown = sorted({arch_id for config in configs for arch_id in texts[config]})
    if unknown:
        raise DataFolderError(f"{folder} has texts of architectures that it has not: {', '.join(unknown[:5])}.")


def _rows(folder: Path, config: str) -> Iterator[dict[str, Any]]:
    files = sorted((folder / config).glob("*.parquet"))
    if not files:
        raise DataFolderError(f"{folder} has no Parquet file of {config}.")
    for path in files:
        try:
            for batch in pq.ParquetFile(path).iter_batches(batch_size=8):
                yield from batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise DataFolderError(f"{path} cannot be read as Parquet, it may be cut off: {error}") from error


def judge_piece(piece: Piece) -> Findings:
    """Verdicts on all rows of an architecture."""
    row = piece["architectures"][0]
    verdicts: dict[str, list[Verdict]] = {}
    problems: list[str] = []
    if "aqa" in piece:
        truth = truth_of(row)
        verdicts["aqa"] = [check_answers(asked, truth) for asked in piece["aqa"]]
    for config, check in (("aqa_hard", check_hard), ("captions", check_captions)):
        if config in piece:
            judged, found = check.judge(piece)
            verdicts |= judged
            problems += found
    counts = {config: Counter(verdict.outcome for verdict in judged) for config, judged in verdicts.items()}
    differing = {
        config: [f"{row['arch_id']}: {v.outcome}: {v.reason}" for v in judged if v.outcome != "agree"]
        for config, judged in verdicts.items()
    }
    return Findings(counts, differing, problems, [(row["arch_id"], row["graph_hash"])])


def check_folder(folder: Path, configs: Sequence[str] = CONFIGS, num_proc: int = 1) -> Findings:
    """Judge every row of the configs of a folder.

    Args:
        folder: the data set.
        configs: of `CONFIGS`.
        num_proc: number of processes; with more than one the calling script needs an `if __name__ == "__main__"`.

    Raises:
        DataFolderError: the folder is no complete data set.
    """
    total = Findings({config: Counter() for config in configs}, {config: [] for config in configs}, [], [])
    for found in tqdm(_judged(pieces_of(folder, configs), num_proc), unit="net", desc="checking"):
        for config in configs:
            total.counts[config].update(found.counts[config])
            total.differing[config].extend(found.differing[config])
        total.problems.extend(found.problems)
        total.hashes.extend(found.hashes)
    return total


def _judged(pieces: Iterator[Piece], num_proc: int) -> Iterator[Findings]:
    if num_proc == 1:
        yield from map(judge_piece, pieces)
        return
    with ProcessPoolExecutor(num_proc, multiprocessing.get_context("spawn"), start_worker) as pool:
        while several := list(islice(pieces, _AHEAD * num_proc)):
            yield from pool.map(judge_piece, several)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a folder and print what was found; returns 0 when everything agrees, 1 when not, 2 for no data set."""
    parser = parser_of(__doc__)
    parser.add_argument("--only", nargs="+", choices=CONFIGS, default=CONFIGS, help="configs to check")
    options = parser.parse_args(arguments)
    if options.num_proc < 1:
        parser.error(f"--num_proc is {options.num_proc}; 1 or more is allowed.")
    try:
        found = check_folder(options.data, options.only, options.num_proc)
    except DataFolderError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("\n".join(report(found, options.show)) + "\n")
    return 0 if found.clean else 1


if __name__ == "__main__":
    sys.exit(main())
