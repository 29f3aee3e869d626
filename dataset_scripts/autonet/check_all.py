"""All checks of AutoNet at once: descriptions, questions, hard questions and captions, each by another route.

Usage::

    python -m dataset_scripts.autonet.check_all --data DIR --num_proc 2

The exit status is 0 only when every row of every config was read and agrees.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .check import TEXTS
from .check_captions import CAPTIONS
from .check_hard import HARD
from .check_units import main_of, parser_of

CHECKS = (TEXTS, HARD, CAPTIONS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a data folder and print the counts of all configs; see `check_units.main_of` for the exit status."""
    return main_of(CHECKS, parser_of(__doc__).parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
