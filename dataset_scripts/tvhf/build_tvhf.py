"""Builds all of TVHF from traced architectures, and releases it.

    python -m dataset_scripts.tvhf.build_architectures --out DIR --zoo_python .zoo-env/bin/python
    python -m dataset_scripts.tvhf.build_tvhf --data DIR [--out hub/datasets/tvhf] [--freeze]

The steps are `build_descriptions`, `table5_tvhf`, `build_tasks`, `human_rows_tvhf` and `release_tvhf`, each a command
of its own. A sentence with a problem ends the build, with its file and line; nothing is released then.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import build_descriptions, build_tasks, human_rows_tvhf, release_tvhf, table5_tvhf


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder that build_architectures wrote")
    parser.add_argument("--out", default=Path("hub/datasets/tvhf"), type=Path, help="folder to write")
    parser.add_argument("--results", default=release_tvhf.RESULTS, type=Path, help="where the floors are written")
    parser.add_argument("--work", type=Path, help="where what was made of single networks is kept")
    parser.add_argument("--packages", nargs="*", default=[], help="site-packages of other environments, for floors")
    parser.add_argument("--seed", default="0", help="of all draws")
    parser.add_argument("--freeze", action="store_true", help="replace the frozen test files")
    options = parser.parse_args(arguments)
    architectures = str(options.data / "architectures")
    if not list(Path(architectures).glob("*.parquet")):
        sys.stderr.write(f"{architectures} has no Parquet files; run build_architectures first.\n")
        return 1
    common = ["--architectures", architectures, "--out", str(options.data), "--seed", options.seed]
    work = ["--work", str(options.work)] if options.work else []
    released = ["--data", str(options.data), "--out", str(options.out), "--results", str(options.results),
                "--packages", *options.packages]  # fmt: skip
    return (
        build_descriptions.main(common)
        or table5_tvhf.main(["--data", str(options.data)])
        or build_tasks.main([*common, "--truth", str(options.data), *work])
        or human_rows_tvhf.main(["--architectures", architectures, "--out", str(options.data)])
        or release_tvhf.main([*released, *(["--freeze"] if options.freeze else [])])
    )


if __name__ == "__main__":
    sys.exit(main())
