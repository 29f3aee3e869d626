"""Reads a data folder piece by piece for the checkers and judges the pieces, in several processes if wanted.

* A unit is one row group of every config, where all configs have the same files and row groups (as the builder writes
  them), else a whole split. So memory does not grow with the data.
* A check says which configs it reads and judges the rows of a unit.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from processing_archbert.interrupts_archbert import start_worker

SPLITS = ("train", "validation", "test")
OUTCOMES = ("agree", "disagree", "cannot parse")
_MAX_REASONS = 100

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


class DataFolderError(ValueError):
    """A folder that holds no complete data set."""


class Verdict(NamedTuple):
    """What a checker says of a row: one of `OUTCOMES`, and why."""

    outcome: str
    reason: str = ""


class Check(NamedTuple):
    """A checker.

    Attributes:
        configs: the configs that it judges, beside `architectures`.
        judge: rows by config -> verdicts by config, and problems of the rows as a whole.
    """

    configs: tuple[str, ...]
    judge: Callable[[Rows], tuple[dict[str, list[Verdict]], list[str]]]


class Unit(NamedTuple):
    """What is judged at a time: config -> its files and a row group of them (all, where None)."""

    split: str
    places: dict[str, tuple[tuple[str, ...], int | None]]

    def rows(self, configs: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """Rows by config.

        Raises:
            DataFolderError: a file cannot be read.
        """
        return {config: _read(*self.places[config]) for config in configs}


class Findings(NamedTuple):
    """What was found in a unit, or in a folder.

    Attributes:
        counts: config -> outcome -> number of rows.
        differing: config -> reasons of rows that do not agree, a hundred at most for a unit.
        problems: what is wrong with the rows as a whole.
        hashes: (arch_id, graph_hash) of the architectures.
    """

    counts: dict[str, Counter[str]]
    differing: dict[str, list[str]]
    problems: list[str]
    hashes: list[tuple[str, str]]

    @property
    def clean(self) -> bool:
        """Whether there are rows of every config and all agree."""
        return not self.problems and all(set(found) == {"agree"} for found in self.counts.values())


def _read(paths: Sequence[str], row_group: int | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                rows += (file.read() if row_group is None else file.read_row_group(row_group)).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise DataFolderError(f"{path} cannot be read as Parquet, it may be cut off: {error}") from error
    return rows


def _num_row_groups(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_row_groups)
    except (pa.ArrowException, OSError) as error:
        raise DataFolderError(f"{path} cannot be read as Parquet, it may be cut off: {error}") from error


def units_of(folder: Path, configs: Sequence[str]) -> list[Unit]:
    """The units of a folder with `<config>/<split>-*.parquet`, split by split.

    Args:
        folder: the data set.
        configs: the configs to read; `architectures` is read always.

    Raises:
        DataFolderError: a config or a split of it is missing, or a file cannot be read.
    """
    units = []
    for split in SPLITS:
        files = {c: sorted((folder / c).glob(f"{split}-*.parquet")) for c in ("architectures", *configs)}
        missing = [config for config, paths in files.items() if not paths]
        if len(missing) == len(files):
            continue
        if missing:
            raise DataFolderError(f"{folder} has no Parquet file of {', '.join(missing)} for the split {split!r}.")
        shapes = [[(path.name, _num_row_groups(path)) for path in paths] for paths in files.values()]
        if all(shape == shapes[0] for shape in shapes):
            for i, (_, groups) in enumerate(shapes[0]):
                units += [Unit(split, {c: ((str(p[i]),), g) for c, p in files.items()}) for g in range(groups)]
        else:
            units.append(Unit(split, {config: (tuple(map(str, paths)), None) for config, paths in files.items()}))
    if not units:
        raise DataFolderError(f"{folder} has no Parquet file <config>/<split>-*.parquet of {', '.join(configs)}.")
    return units


def judge_unit(unit: Unit, checks: Sequence[Check]) -> Findings:
    """Run checks on the rows of a unit."""
    configs = [config for check in checks for config in check.configs]
    rows = unit.rows(("architectures", *configs))
    known = {row["arch_id"] for row in rows["architectures"]}
    problems = []
    for config in configs:
        named = {row["arch_id"] for row in rows[config]}
        problems += [f"{config} speaks of the unknown architecture {name!r}" for name in sorted(named - known)]
        problems += [f"{config} has no row for {name!r}" for name in sorted(known - named)]
    hashes = [(row["arch_id"], row["graph_hash"]) for row in rows["architectures"]]
    found = Findings({config: Counter() for config in configs}, {config: [] for config in configs}, problems, hashes)
    for check in checks if not problems else ():
        verdicts, others = check.judge(rows)
        problems += others
        for config, judged in verdicts.items():
            found.counts[config].update(verdict.outcome for verdict in judged)
            bad = [f"{verdict.outcome}: {verdict.reason}" for verdict in judged if verdict.outcome != "agree"]
            found.differing[config].extend(bad[:_MAX_REASONS])
    return found


def check_folder(folder: Path, checks: Sequence[Check], num_proc: int = 1) -> Findings:
    """Run checks on all units of a folder.

    Args:
        folder: the data set.
        checks: what to run.
        num_proc: number of processes; with more than one the calling script needs an `if __name__ == "__main__"`.

    Raises:
        DataFolderError: the folder is no complete data set.
    """
    configs = [config for check in checks for config in check.configs]
    units = units_of(folder, configs)
    total = Findings({config: Counter() for config in configs}, {config: [] for config in configs}, [], [])
    for found in tqdm(_judged(units, checks, num_proc), total=len(units), unit="unit", desc="checking"):
        for config in configs:
            total.counts[config].update(found.counts[config])
            total.differing[config].extend(found.differing[config])
        total.problems.extend(found.problems)
        total.hashes.extend(found.hashes)
    total.problems.extend(repeated(total.hashes))
    return total


def _judged(units: Sequence[Unit], checks: Sequence[Check], num_proc: int) -> Iterator[Findings]:
    if num_proc == 1:
        yield from map(judge_unit, units, repeat(checks))
        return
    with ProcessPoolExecutor(num_proc, multiprocessing.get_context("spawn"), start_worker) as pool:
        yield from pool.map(judge_unit, units, repeat(checks))


def repeated(hashes: Iterable[tuple[str, str]]) -> list[str]:
    """Architectures whose identifier or whose graph another one has, too."""
    problems, ids, graphs = [], set(), dict[str, str]()
    for arch_id, graph_hash in hashes:
        if arch_id in ids:
            problems.append(f"arch_id {arch_id!r} occurs more than once")
        ids.add(arch_id)
        other = graphs.setdefault(graph_hash, arch_id)
        if other != arch_id:
            problems.append(f"{arch_id} has the graph of {other}")
    return problems


def report(found: Findings, show: int) -> list[str]:
    """Lines that say what was found: counts by config, then `show` differences of each kind."""
    lines = []
    for config, counts in found.counts.items():
        outcomes = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)
        lines.append(f"{config}: {counts.total()} rows, {outcomes}")
        lines += [f"  {reason}" for reason in found.differing[config][:show]]
    lines += [f"problem: {problem}" for problem in found.problems[:show]]
    lines.append(f"{len(found.hashes)} architectures: " + ("every row agrees" if found.clean else "differences"))
    return lines


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """The arguments that all checkers have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the Parquet files of the data set")
    parser.add_argument("--num_proc", type=int, default=1, help="number of processes")
    parser.add_argument("--show", type=int, default=10, help="number of differing rows to print per config")
    return parser


def main_of(checks: Sequence[Check], options: argparse.Namespace, problems: Sequence[str] = ()) -> int:
    """Check a folder and print what was found; returns 0 when everything agrees, 1 when not, 2 for no data set."""
    if options.num_proc < 1:
        print(f"error: --num_proc is {options.num_proc}; 1 or more is allowed.")
        return 2
    try:
        found = check_folder(options.data, checks, options.num_proc)
    except DataFolderError as error:
        print(f"error: {error}")
        return 2
    found.problems.extend(problems)
    print("\n".join(report(found, options.show)))
    return 0 if found.clean else 1
