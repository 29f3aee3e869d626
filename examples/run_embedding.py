"""
Embeds the architectures of any number of Parquet files by any number of processes, and merges them into one index.

The training networks of AutoNet, in a folder (or any files whose rows are `ArchitectureGraph.to_row()`):

    accelerate launch examples/run_embedding.py --data data/autonet/architectures --output_dir runs/embedding

On two CPU processes, on two machines with eight GPUs each, and with another checkpoint:

    accelerate launch --cpu --num_processes 2 examples/run_embedding.py --data data/autonet/architectures
    accelerate launch --num_machines 2 --num_processes 16 ... examples/run_embedding.py --data /shared/graphs \\
        --output_dir /shared/embedding --batch_size 32
    accelerate launch examples/run_embedding.py --data data/autonet/architectures --model runs/pretraining

* A piece is a row group of a file, and is embedded by one process into an index of its own, `pieces/00000`, ....
* The same command goes on after an interruption: a piece that is finished is not embedded again, by however many
  processes. Pieces, and the merged index, have the same bytes for any number of processes.
* The merged index is what `archbert search --index OUTPUT_DIR` searches; large ones are trained for it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
from accelerate import PartialState
from tqdm.auto import tqdm
from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from archbert.cli_output import CommandError
from archbert.embedding import Embedder
from archbert.index import ArchitectureIndex, Entry, model_fingerprint
from processing_archbert import ArchitectureGraph

PLAN_FILE = "pieces.json"


@dataclass
class EmbeddingArguments:
    """Arguments of embedding.

    Raises:
        ValueError: a number is not allowed.
    """

    data: str = field(metadata={"help": "a Parquet file, or a folder of them (searched through)"})
    output_dir: str = field(default="runs/embedding", metadata={"help": "where pieces and the index are written"})
    model: str | None = field(
        default=None, metadata={"help": "checkpoint: a folder or a Hub id; default: as archbert"}
    )
    batch_size: int = field(default=1, metadata={"help": "architectures embedded at once; 1 changes no last bit"})
    cpu: bool = field(default=False, metadata={"help": "use no accelerator"})

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; 1 or more architectures can be embedded at once.")


class Piece(NamedTuple):
    """A row group of a file."""

    file: str
    row_group: int
    rows: int


def list_pieces(data: Path) -> list[Piece]:
    """All row groups of the Parquet files, in order of their names.

    Raises:
        CommandError: there is no such file, or one has no graphs.
    """
    files = [data] if data.is_file() else sorted(data.rglob("*.parquet"))
    if not files:
        raise CommandError(f"{str(data)!r} is no Parquet file, and no folder with some.")
    pieces = []
    for file in files:
        metadata = pq.read_metadata(file)
        if "op_types" not in metadata.schema.to_arrow_schema().names:
            raise CommandError(
                f"{file} has no column 'op_types': its rows are no graphs (ArchitectureGraph.to_row())."
            )
        pieces += [Piece(str(file), i, metadata.row_group(i).num_rows) for i in range(metadata.num_row_groups)]
    return pieces


def check_plan(pieces: Sequence[Piece], folder: Path, state: PartialState) -> None:
    """Writes which piece is which, or checks that an earlier call meant the same.

    Raises:
        CommandError: the folder holds pieces of other files.
    """
    plan = folder / PLAN_FILE
    if not plan.exists() and state.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = plan.with_suffix(".part")
        unfinished.write_text(json.dumps(pieces, indent=0), encoding="utf-8")
        unfinished.replace(plan)
    state.wait_for_everyone()
    if json.loads(plan.read_text(encoding="utf-8")) != [list(piece) for piece in pieces]:
        raise CommandError(f"{folder} holds pieces of other files; name another --output_dir, or delete it.")


def entries(piece: Piece) -> Iterator[Entry]:
    """The architectures of a piece."""
    file = pq.ParquetFile(piece.file)
    for number, row in enumerate(file.read_row_group(piece.row_group).to_pylist()):
        source = str(row.get("arch_id") or row.get("name") or f"{Path(piece.file).stem}:{piece.row_group}:{number}")
        yield Entry(source, ArchitectureGraph.from_row(row), str(row.get("name") or source))


def is_done(folder: Path, fingerprint: str) -> bool:
    """Whether a piece is embedded already.

    Raises:
        CommandError: by another checkpoint, or with another extraction version.
    """
    if not (folder / "index.json").is_file():
        return False
    ArchitectureIndex.load(folder, fingerprint)
    return True


def main(arguments: EmbeddingArguments) -> None:
    """Embeds what this process has to, and merges when all have."""
    # 1. Processes: the fastest may wait long for the slowest.
    state = PartialState(cpu=arguments.cpu, timeout=timedelta(days=30))
    output = Path(arguments.output_dir)

    # 2. Pieces: those of this process are every n-th of what is not finished yet.
    embedder = Embedder(arguments.model)
    embedder.model.to(state.device)
    fingerprint = model_fingerprint(embedder.model)
    pieces = list_pieces(Path(arguments.data))
    check_plan(pieces, output, state)
    folders = [output / "pieces" / f"{i:05d}" for i in range(len(pieces))]
    waiting = [i for i, folder in enumerate(folders) if not is_done(folder, fingerprint)]
    state.wait_for_everyone()

    # 3. Embedding: a piece counts once its `index.json` is there, which is written last.
    own = waiting[state.process_index :: state.num_processes]
    for i in tqdm(own, desc="Embedding", unit="piece", disable=not state.is_local_main_process):
        ArchitectureIndex.build(entries(pieces[i]), embedder, arguments.batch_size).save(folders[i])
    state.wait_for_everyone()

    # 4. One index of all.
    if state.is_main_process:
        index = ArchitectureIndex.merge(ArchitectureIndex.load(folder, fingerprint) for folder in folders)
        index.save(output)
        print(f"{output}: {len(index):,} architectures of {sum(piece.rows for piece in pieces):,} rows")
    state.wait_for_everyone()


if __name__ == "__main__":
    try:
        main(HfArgumentParser(EmbeddingArguments).parse_args_into_dataclasses()[0])
    except (CommandError, ValueError, OSError) as problem:
        raise SystemExit(f"error: {problem}") from problem
