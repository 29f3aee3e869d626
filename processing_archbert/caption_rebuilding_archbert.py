"""Captions said again without what a judge does not let stand: read in parts, and put together anew.

A phrase that stands is left as it was written, and is said once. Of a sentence that cannot be read, the beginning that
can be is kept, and the rest is left out, since nothing can be said for it.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

from .caption_reading_archbert import Claim, ReadParts, ReadPhrase, UnreadableCaptionError, read_parts, read_sentences

COMPUTED, PREDICTED = "computed", "predicted"


class CheckedClaim(NamedTuple):
    """A claim of a caption.

    Attributes:
        text: the words that make it.
        claim: what it claims.
        basis: `computed` where the graph shows it, `predicted` where only the model says so.
        mended: whether the model said something else, which the graph contradicts.
        probability: of its words, where they were written with probabilities.
    """

    text: str
    claim: Claim
    basis: str
    mended: bool
    probability: float | None = None


class CheckedCaption(NamedTuple):
    """A caption and its claims.

    Attributes:
        text: the caption.
        claims: its claims, in order.
        removed: what was left out: phrases that the judge does not let stand, and what cannot be read.
    """

    text: str
    claims: list[CheckedClaim]
    removed: list[str]


Judged = tuple[str, list[CheckedClaim]]
"""Words as they may stand, empty where they may not, and their claims."""


class Judge(Protocol):
    """What stands of a caption. `before` is the number of visible characters in the sentences before."""

    def head(self, parts: ReadParts, head: str, before: int) -> Judged:
        """An opening ("A convolutional network for images"); it has to be something."""

    def phrase(self, parts: ReadParts, phrase: ReadPhrase, before: int) -> Judged:
        """A phrase."""


def visible(text: str) -> int:
    """How many characters of a text are no white space."""
    return len("".join(text.split()))


def claim_key(claim: Claim) -> str:
    """The same for equal claims."""
    return repr(sorted(claim.items(), key=lambda item: item[0]))


def words_of(parts: ReadParts, phrase: ReadPhrase) -> str:
    """The words of a phrase."""
    return parts.sentence[phrase.start : phrase.end]


def listed(phrases: list[str]) -> str:
    """Phrases with commas and "and" between them."""
    if not phrases:
        return ""
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def parts_of(sentence: str) -> ReadParts | None:
    """The parts of a sentence; None where it cannot be read."""
    try:
        return read_parts(sentence)
    except UnreadableCaptionError:
        return None


def rebuilt_caption(text: str, judge: Judge) -> tuple[list[str], list[CheckedClaim], list[str]]:
    """The sentences of a caption that stand, their claims, and what was left out.

    Args:
        text: what was written.
        judge: asked of every opening and phrase, in order.
    """
    sentences: list[str] = []
    claims: list[CheckedClaim] = []
    removed: list[str] = []
    before = 0
    for sentence in read_sentences(text):
        parts, rest = _readable(sentence.text)
        if rest:
            removed.append(rest)
        if parts is not None:
            said, found = _rebuilt_sentence(parts, judge, before, removed)
            if said:
                sentences.append(said)
                claims += found
        before += visible(sentence.text)
    return sentences, claims, removed


def _readable(sentence: str) -> tuple[ReadParts | None, str]:
    """The longest beginning of a sentence that can be read, and the rest."""
    cuts = [match.start() for match in re.finditer(r",? and |, ", sentence)][:_MAX_CUTS]
    for cut in (len(sentence), *reversed(cuts)):
        parts = parts_of(sentence if cut == len(sentence) else f"{sentence[:cut]}.")
        if parts is not None:
            return parts, sentence[cut:].lstrip(", ").removeprefix("and ")
    return None, sentence


_MAX_CUTS = 32


def _rebuilt_sentence(parts: ReadParts, judge: Judge, before: int, removed: list[str]) -> Judged:
    claims: list[CheckedClaim] = []
    head = parts.sentence[: parts.phrases[0].start] if parts.phrases else parts.sentence[:-1]
    if parts.opening:
        head, kind = judge.head(parts, head.strip().removesuffix(" with"), before)
        claims += kind
    phrases: list[tuple[str, bool]] = []
    for phrase in parts.phrases:
        words, found = judge.phrase(parts, phrase, before)
        if not words:
            removed.append(words_of(parts, phrase))
            continue
        phrases.append((words, phrase.bare))
        claims += found
    if parts.opening:
        said = f"{head} with {listed([words for words, _ in phrases])}" if phrases else head
        return f"{said}.", claims
    if not phrases:
        return "", []
    words, bare = phrases[0]
    phrases[0] = (f"has {words}", False) if bare else (words, False)
    return f"{head}{listed(_with_verbs(phrases))}.", claims


def _with_verbs(phrases: list[tuple[str, bool]]) -> list[str]:
    """Bare phrases behind one whose verb does not take them get a verb of their own."""
    found, takes = [], False
    for words, bare in phrases:
        found.append(f"has {words}" if bare and not takes else words)
        takes = bare or words.startswith(_TAKING)
    return found


_TAKING = ("has ", "contains ", "comes with ", "uses ", "employs ", "includes ")
