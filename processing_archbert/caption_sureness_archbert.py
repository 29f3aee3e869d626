"""Captions of what a model is sure of: phrases whose words it found too unlikely are left out. No graph is asked.

How sure a model is of a claim is the probability of the words that make it. How likely they have to be depends on the
claim: a list of layers has more words than a number, and more ways to be said. So each type of claim has a threshold,
fitted on networks that were not trained on (`claim_thresholds` of a config).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from .caption_reading_archbert import Claim, ReadParts, ReadPhrase
from .caption_rebuilding_archbert import (
    PREDICTED,
    CheckedCaption,
    CheckedClaim,
    Judged,
    claim_key,
    rebuilt_caption,
    visible,
    words_of,
)

UNSURE_OPENING = "A neural network"
"""The opening where the model is not sure of the kind of network."""


class WrittenPieces:
    """Which word pieces a caption was written with, and how likely each was.

    Args:
        decode: word pieces -> the caption as far as they go.
        pieces: ids of its word pieces, without the tokens before and behind them.
        log_probs: natural logarithm of the probability of each.
    """

    def __init__(self, decode: Callable[[list[int]], str], pieces: Sequence[int], log_probs: Sequence[float]) -> None:
        self._log_probs = list(log_probs)
        self._ends = [visible(decode(list(pieces[:count]))) for count in range(1, len(pieces) + 1)]

    def log_probability(self, first: int, last: int) -> float:
        """Of the pieces that visible characters `first` to `last` (not included) of the caption were written with."""
        starts = [0, *self._ends[:-1]]
        return math.fsum(
            value for value, start, end in zip(self._log_probs, starts, self._ends, strict=True)
            if start < last and end > first
        )  # fmt: skip


def sure_caption(text: str, written: WrittenPieces, thresholds: Mapping[str, float]) -> CheckedCaption:
    """A caption without the phrases that the model is not sure of.

    Args:
        text: what was written.
        written: what it was written with.
        thresholds: type of claim -> least log probability of the words of a phrase; a type without one stands.
    """
    sentences, claims, removed = rebuilt_caption(text, _Sure(written, thresholds))
    if not sentences:
        sentences = [f"{UNSURE_OPENING}."]
    return CheckedCaption(" ".join(sentences), claims, removed)


def claims_with_log_probs(text: str, written: WrittenPieces) -> list[tuple[Claim, float]]:
    """Every claim of a caption, and the log probability of its words; what cannot be read makes none."""
    judge = _Sure(written, {})
    rebuilt_caption(text, judge)
    return judge.seen


class _Sure:
    """What is likely enough stands, and is said once."""

    def __init__(self, written: WrittenPieces, thresholds: Mapping[str, float]) -> None:
        self._written, self._thresholds = written, thresholds
        self._said: set[str] = set()
        self.seen: list[tuple[Claim, float]] = []

    def head(self, parts: ReadParts, head: str, before: int) -> Judged:
        end = parts.phrases[0].start if parts.phrases else len(parts.sentence)
        return self._judged(parts, parts.kind, (0, end), head, before) or (UNSURE_OPENING, [])

    def phrase(self, parts: ReadParts, phrase: ReadPhrase, before: int) -> Judged:
        words = words_of(parts, phrase)
        if self._said >= {claim_key(claim) for claim in phrase.claims}:
            return "", []
        return self._judged(parts, phrase.claims, (phrase.start, phrase.end), words, before) or ("", [])

    def _judged(
        self, parts: ReadParts, claims: Sequence[Claim], span: tuple[int, int], words: str, before: int
    ) -> Judged | None:
        first, last = (before + visible(parts.sentence[:place]) for place in span)
        log_prob = self._written.log_probability(first, last)
        self.seen += [(claim, log_prob) for claim in claims]
        if any(log_prob < self._thresholds.get(str(claim["type"]), -math.inf) for claim in claims):
            return None
        self._said |= {claim_key(claim) for claim in claims}
        return words, [CheckedClaim(words, claim, PREDICTED, False, math.exp(log_prob)) for claim in claims]
