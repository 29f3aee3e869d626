"""What the commands print: tables, text and JSON lines on standard output, messages and progress on standard error.

Names and texts come from files of others. Characters that command a terminal, or turn the direction of writing, are
never passed on: text shows U+FFFD in their place, JSON their escapes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_MIN_WIDTH, _MAX_WIDTH = 40, 120
_COMMANDS = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
_COMMAND = re.compile(_COMMANDS)
_FOREIGN_COMMAND = re.compile(rf"(?!\x1b\[(?:0|{'|'.join(_STYLES.values())})m){_COMMANDS}")


class CommandError(Exception):
    """What was asked for cannot be done; the message says why and what to do instead."""


_LEAST_COLUMN = 16
"""Characters that are left of a first column that is shortened."""


class Output:
    """Writes what a command has to say.

    Args:
        json_lines: whether results are one JSON object to a line, for programs, instead of text.
        stream, messages: where results and messages go; the standard streams by default.

    Attributes:
        width: columns of the terminal, or of `COLUMNS`; 100 where neither is known.
    """

    def __init__(self, json_lines: bool = False, stream: TextIO | None = None, messages: TextIO | None = None) -> None:
        self.json_lines = json_lines
        self.stream = sys.stdout if stream is None else stream
        self.messages = sys.stderr if messages is None else messages
        self.width = min(_MAX_WIDTH, max(_MIN_WIDTH, shutil.get_terminal_size((100, 24)).columns))
        coloured = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.coloured = coloured and self.stream.isatty()

    def styled(self, text: str, style: str) -> str:
        """Text in a style (`bold`, `dim`, `red`, `green`, `yellow`) where the stream is a terminal with colours."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.coloured and text else text

    def line(self, text: str = "") -> None:
        """One line of a result, as it is but for commands to a terminal."""
        text = (_FOREIGN_COMMAND if self.coloured else _COMMAND).sub("\ufffd", text)
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        self.stream.write(f"{text.encode(encoding, 'replace').decode(encoding)}\n")
        self.stream.flush()

    def paragraph(self, text: str, indent: str = "", hanging: str = "") -> None:
        """Text, wrapped to the width."""
        for line in wrapped(text, self.width, indent, hanging or indent):
            self.line(line)

    def pairs(self, rows: Iterable[tuple[str, str]], indent: str = "  ") -> None:
        """Names with their values, aligned, long values wrapped."""
        rows = list(rows)
        column = max((len(name) for name, _ in rows), default=0) + 2
        for name, value in rows:
            start = f"{indent}{name.ljust(column)}"
            lines = wrapped(value, self.width, start, " " * len(start))
            if lines:
                lines[0] = f"{indent}{self.styled(name.ljust(column), 'dim')}{lines[0][len(start) :]}"
            for line in lines:
                self.line(line)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "  ") -> None:
        """An aligned table; numbers to the right, the first column shortened to fit, else the last one cut."""
        cells = [list(header), *map(list, rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
        excess = len(indent) + sum(widths) + 2 * (len(widths) - 1) - self.width
        if excess > 0 and widths[0] - excess >= _LEAST_COLUMN:
            widths[0] -= excess
            for row in cells:
                row[0] = row[0] if len(row[0]) <= widths[0] else f"{row[0][: widths[0] - 3]}..."
        for number, row in enumerate(cells):
            parts = [
                cell.rjust(width) if _is_number(rows, column) else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            text = (indent + "  ".join(parts)).rstrip()[: self.width]
            self.line(self.styled(text, "bold") if number == 0 else text)

    def object(self, value: Any) -> None:
        """A result as one line of JSON."""
        text = json.dumps(value, ensure_ascii=False, default=_plain)
        self.line(_COMMAND.sub(lambda found: f"\\u{ord(found[0]):04x}", text))

    def error(self, message: str) -> None:
        """A message that something cannot be done."""
        self._message("error", message)

    def warning(self, message: str) -> None:
        """A message that something deserves attention."""
        self._message("warning", message)

    def _message(self, kind: str, message: str) -> None:
        self.messages.write(_COMMAND.sub("\ufffd", f"{kind}: {message}\n"))
        self.messages.flush()

    def progress(self, items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
        """The items, with a progress bar where there are several and messages go to a terminal."""
        if total < 2 or not self.messages.isatty():
            yield from items
            return
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=what, file=self.messages, leave=False, dynamic_ncols=True)


def wrapped(text: str, width: int, indent: str = "", hanging: str = "") -> list[str]:
    """Lines of at most `width` columns; words that are longer stand alone."""
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )


def _is_number(rows: Sequence[Sequence[str]], column: int) -> bool:
    return bool(rows) and all(row[column][:1].isdigit() or row[column][:1] in "-" for row in rows)


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy, sets and paths as JSON has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)
