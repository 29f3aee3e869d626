"""Captions as word pieces, and word pieces as captions.

* Numbers are spelled digit by digit: a tokenizer that has 57 as one piece gives 5 and 7, so that every number can be
  written and none has to be learned by itself.
* Tokenizers that know no capitals, or put spaces around stops and hyphens, are made good for: what is decoded reads as
  captions are written, and as `caption_reading_archbert` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from .questions_archbert import LAYER_NAMES

IGNORED_LABEL = -100
_NUMBER = re.compile(r"(##|Ġ|▁)?(\d{2,})")
_JOINS = (
    (re.compile(r"\s+([.,;:!?)])"), r"\1"),
    (re.compile(r"\(\s+"), "("),
    (re.compile(r"(?<=\d)\.\s+(?=\d)"), "."),
    (re.compile(r"(?<=\w)\s*([-_])\s*(?=\w)"), r"\1"),
)
_WORD = re.compile(r"[A-Za-z]\w*")
_SENTENCE = re.compile(r"(?:^|(?<=[.!?] ))[a-z]")
_ACRONYMS = ("RMS", "LP", "RoPE")
_SPELLINGS = {
    name.lower(): name
    for name in (*LAYER_NAMES, *_ACRONYMS)
    if any(letter.isupper() for letter in name[1:]) or any(letter.isdigit() for letter in name)
}


def digit_pieces(tokenizer: Any) -> dict[int, list[int]]:
    """Pieces of two or more digits -> pieces of one digit each that spell the same number."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    inner = "##" if any(piece.startswith("##") for piece in vocabulary) else ""
    found = {}
    for piece, index in vocabulary.items():
        match = _NUMBER.fullmatch(piece)
        if match:
            spelled = [(match[1] or "") + match[2][0], *(inner + digit for digit in match[2][1:])]
            if all(one in vocabulary for one in spelled):
                found[index] = [vocabulary[one] for one in spelled]
    return found


def caption_pieces(tokenizer: Any, texts: Iterable[str], digits: dict[int, list[int]]) -> list[list[int]]:
    """Word pieces of captions, numbers digit by digit, without the tokens before and behind them.

    Args:
        tokenizer: of the processor.
        texts: captions.
        digits: `digit_pieces` of the tokenizer.
    """
    found = tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    return [[part for piece in pieces for part in digits.get(piece, [piece])] for pieces in found]


def padded_labels(captions: Sequence[Sequence[int]], end_id: int, max_length: int) -> torch.Tensor:
    """Labels `(C, L)` int64: each caption with the end behind it, cut at `max_length`, padded with -100."""
    rows = [[*pieces, end_id][:max_length] for pieces in captions]
    labels = torch.full((len(rows), max(map(len, rows))), IGNORED_LABEL)
    for row, pieces in zip(labels, rows, strict=True):
        row[: len(pieces)] = torch.tensor(pieces)
    return labels


def readable_caption(decoded: str) -> str:
    """A decoded caption as one writes it: stops, hyphens, names of layers, and a capital to begin a sentence."""
    text = re.sub(r"\s+", " ", decoded).strip()
    for pattern, replacement in _JOINS:
        text = pattern.sub(replacement, text)
    text = _WORD.sub(lambda m: _SPELLINGS.get(m[0].lower(), m[0]), text)
    return _SENTENCE.sub(lambda m: m[0].upper(), text)
