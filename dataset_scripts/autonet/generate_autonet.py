"""Generates AutoNet (paper, section 4.2): networks, their graphs, descriptions and questions, as Parquet.

    python -m dataset_scripts.autonet.generate_autonet --num_train 2000 --num_validation 300 --out DIR --num_proc 2
    python -m dataset_scripts.autonet.generate_autonet --out DIR --verify

* Every architecture has a seed of its own, made of (seed, split, index), so the same arguments give the same bytes for
  any number of processes, and the splits do not depend on each other.
* N architectures are the first N of any larger build, row for row (`--verify` compares them with a manifest).
* No two architectures have the same `graph_hash`: one that a lower index of the split has already is drawn again, and
  train and the other splits share no hash by construction.
* An interrupted build goes on where it stopped when the same command is run again; until it is finished,
  `load_dataset` refuses the folder. Memory does not grow with the size.
"""

from __future__ import annotations

import argparse
import errno
import logging
import multiprocessing
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

from processing_archbert.interrupts_archbert import interrupts_held, start_worker

from .build_autonet import (
    WORK,
    Workshop,
    blocks_of,
    check_distinct,
    check_target,
    code_digest,
    fingerprint_of,
    finished_manifest,
    is_finished,
)
from .card_autonet import write_card
from .files_autonet import only_builder
from .manifest_autonet import MANIFEST, make_manifest, verify, write_manifest
from .networks_autonet import STYLES
from .parts_autonet import Part, PartInfo, make_part, make_shard, parts_of, shards_of
from .samples_autonet import SCHEMAS, SPLITS, Order, Sample, draw, sample_architecture

__all__ = ["SCHEMAS", "SPLITS", "Order", "Sample", "generate", "is_finished", "sample_architecture"]

logger = logging.getLogger(__name__)

FULL_SIZES = {"train": 20_000, "validation": 2_000, "test": 1_000}
"""The published sizes: the paper's two sets of 10,000 and 1,000, and as much again of held-out styles."""
COMMITTED_MANIFEST = Path(__file__).with_name(MANIFEST)
_AHEAD = 12
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


def generate(
    num_train: int,
    num_validation: int,
    seed: int,
    output_dir: str | Path,
    num_proc: int = 1,
    style: str | None = None,
    size: str = "normal",
    num_test: int = 0,
) -> None:
    """Write AutoNet as `<config>/<split>-0000k-of-0000n.parquet`, `manifest.json` and a README for `load_dataset`.

    The same arguments (but for `output_dir` and `num_proc`) give the same bytes. A finished folder of these arguments
    and this code is left as it is; one that was interrupted is finished; any other AutoNet in the folder is replaced
    at the very end. With `num_proc > 1` processes are spawned, so the calling script needs an
    `if __name__ == "__main__"` guard.

    Args:
        num_train: number of architectures to train on, 1 or more.
        num_validation: number of architectures to validate on, 1 or more.
        seed: decides everything; 0 or more.
        output_dir: folder to write to.
        num_proc: number of processes.
        style: a style of network to draw exclusively, in every split; None draws the usual mix, and for `test` styles
            that the other splits have not.
        size: `"normal"` or `"tiny"`.
        num_test: number of architectures to test on; with 0 there is no such split.

    Raises:
        ValueError: a count, a seed, a style or a size that is not allowed, or a style that has no more distinct
            networks.
        ArchitectureTraceError: networks cannot be traced, however often one is drawn.
        FileExistsError: the folder holds something else than AutoNet.
        OSError: the folder cannot be written; what was made is kept.
        RuntimeError: a process was killed; what was made is kept.
    """
    arguments = {
        "num_train": num_train, "num_validation": num_validation, "num_test": num_test, "seed": seed, "style": style,
        "size": size,
    }  # fmt: skip
    _check_arguments(arguments, num_proc)
    output = Path(output_dir)
    check_target(output)
    code = code_digest()
    with only_builder(output):
        manifest = finished_manifest(output)
        if manifest is not None and manifest["arguments"] == arguments and manifest["code"] == code:
            logger.info("%s is there already, and whole", output)
            shutil.rmtree(output / WORK, ignore_errors=True)
            return
        try:
            _build(output, arguments, code, num_proc)
        except BrokenProcessPool as error:
            raise RuntimeError(
                "A process was killed, perhaps for want of memory. Run the same command again, with a smaller "
                "num_proc: it goes on from here."
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            advice = "The disk is full. Make room and run the same command again: it goes on from here"
            raise OSError(error.errno, advice, str(output)) from error


def _check_arguments(arguments: dict[str, Any], num_proc: int) -> None:
    least = {"num_train": 1, "num_validation": 1, "num_test": 0, "num_proc": 1, "seed": 0}
    for name, value in (arguments | {"num_proc": num_proc}).items():
        if name in least and (isinstance(value, bool) or not isinstance(value, int) or value < least[name]):
            raise ValueError(f"{name} is {value!r}; an integer from {least[name]} is allowed.")
    if arguments["style"] is not None and arguments["style"] not in STYLES:
        raise ValueError(f"style is {arguments['style']!r}; allowed are {', '.join(STYLES)}.")
    if arguments["size"] not in ("normal", "tiny"):
        raise ValueError(f"size is {arguments['size']!r}; allowed are normal and tiny.")


def _build(output: Path, arguments: dict[str, Any], code: str, num_proc: int) -> None:
    """Make all parts, join them and publish."""
    output.mkdir(parents=True, exist_ok=True)
    workshop = Workshop(output, fingerprint_of(arguments, code))
    splits = [split for split in SPLITS if arguments[f"num_{split}"]]
    with _executor(num_proc) as executor:
        parts = [part for split in reversed(splits) for part in parts_of(arguments, split)]
        infos = _make_parts(workshop, parts, executor, num_proc)
        by_split = {split: [infos[part] for part in parts_of(arguments, split)] for split in splits}
        check_distinct(by_split)
        workshop.clear_staging()
        shards = [
            shard
            for config in SCHEMAS
            for split in splits
            for shard in shards_of(parts_of(arguments, split), workshop.parts, config)
        ]
        made = _in_order(executor, partial(make_shard, workshop.staging), shards, 2 * num_proc)
        files = {
            shard.name: info for shard, info in zip(shards, tqdm(made, "AutoNet, files", len(shards)), strict=True)
        }
    write_manifest(workshop.staging / MANIFEST, make_manifest(arguments, code, blocks_of(by_split), files))
    write_card(workshop.staging, arguments)
    workshop.publish()


def _make_parts(
    workshop: Workshop, parts: Sequence[Part], executor: Executor | None, num_proc: int
) -> dict[Part, PartInfo]:
    """Make the parts that are not there; returns what is known of all of them."""
    infos = {part: info for part in parts if (info := workshop.finished_part(part)) is not None}
    orders = [order for part in parts if part not in infos for order in part.orders()]
    drawn = _in_order(executor, draw, orders, _AHEAD * num_proc)
    taken: dict[str, set[str]] = {split: set() for split in SPLITS}
    waiting: deque[tuple[Part, Future[PartInfo]]] = deque()
    total = sum(part.stop - part.start for part in parts)
    with tqdm(desc="AutoNet", total=total, initial=total - len(orders), unit="net") as bar:
        for part in parts:
            if part in infos:
                taken[part.split].update(infos[part].hashes)
                continue
            samples = []
            for order, sample in islice(drawn, part.stop - part.start):
                samples.append(_distinct(order, sample, taken[part.split]))
                bar.update()
            waiting.append((part, _submit(executor, make_part, workshop.parts / part.name, part, samples)))
            while len(waiting) > num_proc or (waiting and waiting[0][1].done()):
                first, future = waiting.popleft()
                infos[first] = future.result()
        infos.update((part, future.result()) for part, future in waiting)
    return infos


def _distinct(order: Order, sample: Sample, taken: set[str]) -> Sample:
    """The sample, or the next one of its order whose graph is not in `taken`, to which its hash is added."""
    while sample.graph.graph_hash in taken:
        order, sample = draw(replace(order, attempt=order.attempt + 1))
    taken.add(sample.graph.graph_hash)
    return sample


def _in_order(
    executor: Executor | None, make: Callable[[_Given], _Made], given: Iterable[_Given], ahead: int
) -> Iterator[_Made]:
    """What is made of each, in order; in other processes at most `ahead` are begun before they are asked for."""
    if executor is None:
        yield from map(make, given)
        return
    waiting: deque[Future[_Made]] = deque()
    for one in given:
        waiting.append(executor.submit(make, one))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _submit(executor: Executor | None, make: Callable[..., _Made], *arguments: Any) -> Future[_Made]:
    """Begin in another process, or do it here."""
    if executor is not None:
        return executor.submit(make, *arguments)
    future: Future[_Made] = Future()
    future.set_result(make(*arguments))
    return future


@contextmanager
def _executor(num_proc: int) -> Iterator[Executor | None]:
    """Processes, or None for this one alone; after an error or an interrupt they are ended at once."""
    if num_proc == 1:
        yield None
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(num_proc, multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        with interrupts_held():
            for _ in range(num_proc):
                pool.submit(os.getpid)  # starts a process
        yield pool
    except BaseException:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()  # whatever it writes appears by a rename
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """One thread, and what every worker does."""
    torch.set_num_threads(1)
    start_worker()


def main(given: Sequence[str] | None = None) -> None:
    """Command line of `generate` and `verify`."""
    parser = argparse.ArgumentParser(description="Generate AutoNet as Parquet, or check it against a manifest.")
    parser.add_argument("--num_train", type=int, default=2000, help="architectures to train on")
    parser.add_argument("--num_validation", type=int, default=300, help="architectures to validate on")
    parser.add_argument("--num_test", type=int, default=200, help="architectures to test on, of held-out styles")
    parser.add_argument("--seed", type=int, default=0, help="decides everything")
    parser.add_argument("--out", required=True, help="folder to write to, or to check")
    parser.add_argument("--num_proc", type=int, default=1, help="number of processes; does not change a byte")
    parser.add_argument("--style", default=None, help="draw only this style of network")
    parser.add_argument("--size", default="normal", choices=("normal", "tiny"), help="size of the networks")
    parser.add_argument(
        "--verify", nargs="?", const=str(COMMITTED_MANIFEST), metavar="MANIFEST",
        help="build nothing: check the rows of --out against this manifest, by default that of the full data set",
    )  # fmt: skip
    options = parser.parse_args(given)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if options.verify:
            print(verify(options.out, options.verify))
        else:
            sizes = (options.num_train, options.num_validation)
            generate(
                *sizes, options.seed, options.out, options.num_proc, options.style, options.size, options.num_test
            )
    except KeyboardInterrupt:
        parser.exit(130, "Interrupted. Run the same command again: it goes on from here.\n")
    except (ValueError, OSError, RuntimeError) as error:
        parser.exit(1, f"{type(error).__name__}: {error}\n")


if __name__ == "__main__":
    main()
