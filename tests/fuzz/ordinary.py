"""What an ordinary error is: one that this project raised itself, and not a library in the middle of its work."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("processing_archbert", "modeling_archbert", "archbert", "examples")


def raised_by_this_project(error: BaseException) -> bool:
    """Whether the innermost frame of an error is code of this project."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return False
    path = Path(frame.tb_frame.f_code.co_filename)
    return any(path.is_relative_to(ROOT / package) for package in PACKAGES)
