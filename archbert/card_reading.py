"""Reads a model card: Markdown in, sentences out, each with its place and the section that it stands in.

Front matter, code, comments, images and headings hold no sentences. A row of a table with two columns, and a point of
a list, is a sentence; larger tables compare several things and are left alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_CARD_CHARACTERS = 2_000_000
MAX_LINE_CHARACTERS, MAX_PARAGRAPH_CHARACTERS, MAX_PARAGRAPH_LINES = 5_000, 20_000, 100
"""A longer line is data (an image, a dump) and holds no sentences; a longer paragraph is read in parts."""


class CardSentence(NamedTuple):
    """One sentence of a card.

    Attributes:
        line: number of the line that it begins on, from 1.
        text: the sentence, without markup.
        section: headings above it, the nearest last.
        kind: `prose`, `item` (of a list) or `row` (of a table: name, colon, value).
    """

    line: int
    text: str
    section: tuple[str, ...]
    kind: str


class Card(NamedTuple):
    """A card: its sentences, and the names that it gives to its model."""

    sentences: list[CardSentence]
    names: tuple[str, ...]


_HEADING = re.compile(r"\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+(.*)")
_SPLIT = re.compile(r"(?<=[.!?])[\"')*_]*\s+(?=[\"'(*_]*[A-Z0-9])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|resp|al|Fig|Sec|Eq|No|ca)\.|\b[A-Z]\.)$")
_NAME_KEYS = re.compile(r"^(?:model_name|name|model|base_model)\s*:\s*[\"']?([^\"'\n]+?)[\"']?\s*$", re.MULTILINE)


def read_card(text: str) -> Card:
    """The sentences of a card.

    Args:
        text: Markdown, with or without front matter.

    Raises:
        ValueError: the text is longer than `MAX_CARD_CHARACTERS`.
    """
    if len(text) > MAX_CARD_CHARACTERS:
        raise ValueError(f"The card has {len(text):,} characters; {MAX_CARD_CHARACTERS:,} are allowed.")
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    text, front = _without_front_matter(text)
    text = _without_comments(text)
    sentences: list[CardSentence] = []
    names = [m[1] for m in _NAME_KEYS.finditer(front)]
    section: list[tuple[int, str]] = []
    paragraph: list[tuple[int, str]] = []
    fence = ""
    table: list[tuple[int, list[str]]] = []

    def where() -> tuple[str, ...]:
        return tuple(title for _, title in section)

    def flush() -> None:
        sentences.extend(_prose(paragraph, where()))
        sentences.extend(_rows(table, where()))
        paragraph.clear()
        table.clear()

    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > MAX_LINE_CHARACTERS:
            line = ""
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark or fence:
            flush()
            if mark and (not fence or mark[1].startswith(fence)):
                fence = "" if fence else mark[1][:3]
            continue
        heading = _HEADING.match(line)
        if heading:
            flush()
            title = plain(heading[2])
            section = [(level, t) for level, t in section if level < len(heading[1])] + [(len(heading[1]), title)]
            if len(heading[1]) == 1:
                names.append(title)
        elif re.match(r"\s*\|.*\|\s*$", line):
            sentences.extend(_prose(paragraph, where()))
            paragraph.clear()
            table.append((number, [plain(cell) for cell in line.strip().strip("|").split("|")]))
        elif not line.strip() or re.match(r"\s*(?:[-*_=]\s*){3,}$", line):
            flush()
        else:
            long = len(paragraph) >= MAX_PARAGRAPH_LINES
            if _ITEM.match(line) or table or long or sum(len(t) for _, t in paragraph) > MAX_PARAGRAPH_CHARACTERS:
                flush()
            paragraph.append((number, line))
    flush()
    return Card(sentences, tuple(dict.fromkeys(name for name in names if name)))


def _without_comments(text: str) -> str:
    """The text with the comments of HTML blanked, so that lines keep their numbers."""
    parts, position = [], 0
    while (start := text.find("<!--", position)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        parts += [text[position:start], "\n" * text.count("\n", start, end)]
        position = end + 3
    return "".join([*parts, text[position:]])


def _without_front_matter(text: str) -> tuple[str, str]:
    """The text with its front matter blanked, so that lines keep their numbers, and the front matter."""
    match = re.match(r"---\n(.*?)\n---[ \t]*(?:\n|$)", text, re.DOTALL)
    if match is None:
        return text, ""
    return "\n" * match[0].count("\n") + text[match.end() :], match[1]


def plain(text: str) -> str:
    """Text without the markup of Markdown and HTML."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", " ", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<[a-zA-Z/][^>]*>", " ", text)
    text = re.sub(r"https?://\S+", " ", text)
    text = re.sub(r"\\([\\`*_{}\[\]<>|])", lambda m: "\x00" if m[1] == "_" else m[1], text)
    text = re.sub(r"(\*\*|__|`+)", "", text)
    text = re.sub(r"(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)", "", text)
    text = text.replace("&nbsp;", " ").replace("\x00", "_").replace("×", "x").replace("–", "-").replace("—", " - ")
    return re.sub(r"\s+", " ", text).strip()


def _prose(lines: list[tuple[int, str]], section: tuple[str, ...]) -> list[CardSentence]:
    """Sentences of a paragraph or of a point of a list."""
    if not lines:
        return []
    item = _ITEM.match(lines[0][1])
    texts = [(number, _ITEM.match(line)[1] if item and i == 0 else line)  # type: ignore[index]
             for i, (number, line) in enumerate(lines)]  # fmt: skip
    starts, joined = [], ""
    for number, text in texts:
        text = plain(re.sub(r"^\s*>+\s?", "", text))
        joined += " " if joined and text else ""
        starts.append((len(joined), number))
        joined += text
    found, position = [], 0
    for sentence in _sentences(joined):
        start = joined.index(sentence, position)
        position = start + len(sentence)
        line = max((s for s in starts if s[0] <= start), default=starts[0])[1]
        found.append(CardSentence(line, sentence, section, "item" if item else "prose"))
    return found


def _sentences(text: str) -> list[str]:
    found: list[str] = []
    for part in _SPLIT.split(text):
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] += f" {part}"
        elif part.strip():
            found.append(part.strip())
    return [sentence for sentence in found if sentence in text]


def _rows(table: list[tuple[int, list[str]]], section: tuple[str, ...]) -> list[CardSentence]:
    """Rows of a table of names and values; none of a larger one."""
    if not table or any(len(cells) != 2 for _, cells in table):
        return []
    rules = [i for i, (_, cells) in enumerate(table) if all(re.fullmatch(r":?-+:?", cell) for cell in cells)]
    first = rules[0] + 1 if rules else 0
    return [
        CardSentence(number, f"{name}: {value}", section, "row")
        for number, (name, value) in table[first:]
        if name and value
    ]
