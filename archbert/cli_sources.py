"""What all commands share: their options, sources with globs, reading in processes, and the checkpoint."""

from __future__ import annotations

import argparse
import glob
import os
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .cli_output import CommandError, Output
from .names import NAMESPACE

if TYPE_CHECKING:
    from concurrent.futures import Executor

MODEL_NAME, QUESTIONS_MODEL_NAME = "archbert-mini", "archbert-small"
"""The checkpoint that commands use where none is named, and the one that questions are asked of."""
MODEL_VARIABLE, INDEX_VARIABLE = "ARCHBERT_MODEL", "ARCHBERT_INDEX"
INDEX_ID = f"{NAMESPACE}/index"
"""The index on the Hub, a data set, that commands use where none is named."""
_HUB_FOLDER = Path(__file__).resolve().parents[1] / "hub"
_CLONED_INDEX = _HUB_FOLDER / "index"
_MAX_SOURCES = 100_000


class Loaded(NamedTuple):
    """A source that was read: its graph, or None and the error; and what readers warned of."""

    source: str
    graph: Any
    error: str
    warnings: list[str]


def add_parser(commands: Any, name: str, summary: str, examples: str) -> argparse.ArgumentParser:
    """A command with its help, its examples, and the options of all commands."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog="examples:\n" + textwrap.indent(textwrap.dedent(examples).strip(), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object to a line, for programs")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def add_source_options(parser: argparse.ArgumentParser, jobs: bool = True) -> None:
    """The options of reading sources."""
    group = parser.add_argument_group("reading")
    group.add_argument("--task", help="head of a network of transformers, such as fill-mask or text-classification")
    group.add_argument("--component", help="network of a diffusers pipeline")
    group.add_argument("--trust-remote-code", action="store_true", help="code of a Hub repository may run")
    group.add_argument("--time-limit", type=float, metavar="SECONDS", help="for each source")
    group.add_argument("--memory-limit", type=_size, metavar="BYTES", help="for each source, such as 8GiB")
    if jobs:
        group.add_argument("-j", "--jobs", type=int, default=1, help="processes that read sources (default 1)")


def add_model_option(parser: argparse.ArgumentParser, name: str = MODEL_NAME) -> None:
    """The option that names the checkpoint; `name` is the one of the Hub that is taken without it."""
    found = f"{NAMESPACE}/{name}"
    parser.add_argument("--model", help=f"checkpoint: a folder or a Hub id (default: ${MODEL_VARIABLE}, then {found})")


def hints_of(options: argparse.Namespace, **others: Any) -> dict[str, Any]:
    """Hints of `load_architecture` from the options."""
    names = ("task", "component", "trust_remote_code", "time_limit", "memory_limit")
    return {name: getattr(options, name) for name in names if getattr(options, name, None)} | others


def expand(sources: Sequence[str]) -> list[str]:
    """Sources with their globs replaced by the files that match, in order of name.

    Raises:
        CommandError: no file matches a glob.
    """
    found: list[str] = []
    for source in sources:
        if not any(mark in source for mark in "*?[") or os.path.exists(source):
            found.append(source)
            continue
        matching = sorted(glob.glob(os.path.expanduser(source), recursive=True))
        if not matching:
            raise CommandError(f"No file matches {source!r}.")
        found += matching
    if len(found) > _MAX_SOURCES:
        raise CommandError(f"There are {len(found):,} sources; {_MAX_SOURCES:,} at once are allowed.")
    return list(dict.fromkeys(found))


def load(source: str, hints: dict[str, Any]) -> Loaded:
    """One source, read; errors of bad sources become text."""
    from processing_archbert.source_errors_archbert import ArchitectureSourceWarning
    from processing_archbert.sources_archbert import load_architecture
    from processing_archbert.tracing_archbert import ArchitectureTraceError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ArchitectureSourceWarning)
        try:
            graph = load_architecture(source, **hints)
        except (ValueError, OSError, ArchitectureTraceError) as error:
            return Loaded(source, None, str(error), [])
    messages = [str(w.message) for w in caught if issubclass(w.category, ArchitectureSourceWarning)]
    return Loaded(source, graph, "", list(dict.fromkeys(messages)))


def load_one(source: str, hints: dict[str, Any], output: Output) -> Any:
    """The graph of one source.

    Raises:
        CommandError: it cannot be read.
    """
    loaded = load(source, hints)
    if loaded.graph is None:
        raise CommandError(f"{source}: {loaded.error}" if source not in loaded.error else loaded.error)
    for message in loaded.warnings:
        output.warning(f"{source}: {message}")
    return loaded.graph


def load_all(sources: Sequence[str], hints: dict[str, Any], output: Output, jobs: int = 1) -> Iterator[Loaded]:
    """Every source as it is read, in order; with several jobs in processes of their own.

    Raises:
        CommandError: the number of jobs is below 1.
    """
    if not sources:
        return
    if jobs < 1:
        raise CommandError(f"--jobs is {jobs}; 1 or more processes are allowed.")
    jobs = min(jobs, len(sources))
    if jobs == 1:
        yield from output.progress((load(source, hints) for source in sources), len(sources), "reading")
        return
    with _pool(jobs) as pool:
        read = pool.map(_load_plain, sources, [hints] * len(sources))
        yield from output.progress((_of_plain(*plain) for plain in read), len(sources), "reading")


@contextmanager
def _pool(jobs: int) -> Iterator[Executor]:
    """Processes that read sources; after an error or an interrupt they are ended at once, and say nothing."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    from processing_archbert.interrupts_archbert import interrupts_held, start_worker

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["processing_archbert.sources_archbert", "processing_archbert.tracing_archbert"])
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=start_worker)
    try:
        with interrupts_held():
            for _ in range(jobs):
                pool.submit(os.getpid)  # starts a process
        yield pool
    except BaseException:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _load_plain(source: str, hints: dict[str, Any]) -> tuple[str, Any, str, list[str]]:
    loaded = load(source, hints)
    return (source, None if loaded.graph is None else loaded.graph.to_dict(), *loaded[2:])


def _of_plain(source: str, graph: Any, error: str, messages: list[str]) -> Loaded:
    from processing_archbert.architecture_graph_archbert import ArchitectureGraph

    return Loaded(source, None if graph is None else ArchitectureGraph.from_dict(graph), error, messages)


def report_error(loaded: Loaded, output: Output) -> None:
    """Says that a source cannot be read, on standard error, and in JSON as a line of its own."""
    output.error(loaded.error if loaded.source in loaded.error else f"{loaded.source}: {loaded.error}")
    if output.json_lines:
        output.object({"source": loaded.source, "error": loaded.error})


def find_model(given: str | None, name: str = MODEL_NAME) -> str:
    """The checkpoint: what is given, then `$ARCHBERT_MODEL`, then `name` in a clone, then on the Hub."""
    named = given or os.environ.get(MODEL_VARIABLE, "")
    if named:
        return named
    cloned = _HUB_FOLDER / "models" / name
    return str(cloned) if (cloned / "config.json").is_file() else f"{NAMESPACE}/{name}"


def find_index(given: str | None, fetch: bool = True) -> str:
    """The index: what is given, then `$ARCHBERT_INDEX`, then that of a clone, then the one of the Hub.

    Args:
        given: a folder, or a Hub id of a data set.
        fetch: whether it may be fetched from the Hub; else it is taken from the cache.

    Returns:
        A folder; empty where none is named, and none is here and may be fetched.

    Raises:
        CommandError: what is named is no folder, and cannot be fetched.
    """
    named = given or os.environ.get(INDEX_VARIABLE, "")
    if named and (os.path.isdir(named) or named.count("/") != 1 or named.startswith((".", "/", "~"))):
        return os.path.expanduser(named)
    if not named and (_CLONED_INDEX / "index.json").is_file():
        return str(_CLONED_INDEX)
    from huggingface_hub import snapshot_download

    files = ["index.json", "*.parquet", "*.faiss"]
    try:
        return str(snapshot_download(named or INDEX_ID, repo_type="dataset", allow_patterns=files,
                                     local_files_only=not (fetch or named)))  # fmt: skip
    except Exception as error:
        if not (fetch or named):
            return ""
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise CommandError(
            f"The index {named or INDEX_ID!r} is no folder and cannot be fetched from the Hub: {first} Make one with "
            f"'archbert index build SOURCE... -o DIR', and name it with --index or in ${INDEX_VARIABLE}."
        ) from error


def load_checkpoint(name: str, auto_class: str) -> tuple[Any, Any]:
    """The model of a checkpoint, by an auto class of transformers, and its processor.

    Raises:
        CommandError: it cannot be loaded.
    """
    import transformers

    import archbert  # noqa: F401  (makes the classes known)

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if os.path.sep in name and not os.path.isdir(name) and name.count("/") != 1:
        raise CommandError(f"There is no checkpoint folder {name!r}; name one, or a Hub id, with --model.")
    try:
        model = getattr(transformers, auto_class).from_pretrained(name)
        processor = transformers.AutoProcessor.from_pretrained(name)
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0][:300]
        raise CommandError(
            f"The checkpoint {name!r} cannot be loaded: {first} Name a folder or a Hub id with --model or in "
            f"${MODEL_VARIABLE}."
        ) from error
    return model.eval(), processor


def _size(text: str) -> int:
    units = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30, "b": 1}
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    unit = text[len(number) :].lower()
    if unit not in units or not number.replace(".", "", 1).isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 8GiB")
    return int(float(number) * units[unit])
