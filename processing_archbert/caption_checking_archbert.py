"""Checks captions: every claim is asked of the graph; what the graph contradicts is put right, or left out.

A phrase that is right stays as it was written, and is said once. Of a sentence that cannot be read, the beginning that
can be is kept, and the rest is left out, since nothing can be said for it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .caption_mending_archbert import mended_claim, opening_of, say_claim
from .caption_reading_archbert import Claim, ReadParts, ReadPhrase, UnreadableCaptionError, read_parts, read_sentences
from .graph_facts_archbert import GraphFacts

COMPUTED, PREDICTED = "computed", "predicted"


class CheckedClaim(NamedTuple):
    """A claim of a caption.

    Attributes:
        text: the words that make it.
        claim: what it claims.
        basis: `computed` where the graph shows it, `predicted` where only the model says so.
        mended: whether the model said something else, which the graph contradicts.
    """

    text: str
    claim: Claim
    basis: str
    mended: bool


class CheckedCaption(NamedTuple):
    """A caption and its claims.

    Attributes:
        text: the caption.
        claims: its claims, in order.
        removed: what was left out: phrases that the graph contradicts, and what cannot be read.
    """

    text: str
    claims: list[CheckedClaim]
    removed: list[str]


def check_caption(text: str, facts: GraphFacts) -> CheckedCaption:
    """A caption that says nothing that the graph contradicts.

    Args:
        text: what was written.
        facts: of the graph.
    """
    sentences: list[str] = []
    claims: list[CheckedClaim] = []
    removed: list[str] = []
    for sentence in read_sentences(text):
        parts, rest = _readable(sentence.text)
        if rest:
            removed.append(rest)
        if parts is None:
            continue
        said, found = _checked_sentence(parts, facts, removed, {_key(known.claim) for known in claims})
        if said:
            sentences.append(said)
            claims += found
    if not sentences:
        opening, kind = opening_of(facts)
        sentences.append(f"{opening[0].upper()}{opening[1:]}.")
        claims = [CheckedClaim(opening, claim, COMPUTED, True) for claim in kind]
    return CheckedCaption(" ".join(sentences), claims, removed)


def read_claims(text: str) -> list[CheckedClaim]:
    """The claims of a caption as the model makes them, unchecked; sentences that cannot be read make none."""
    found = []
    for sentence in read_sentences(text):
        parts = _parts(sentence.text)
        if parts is not None:
            head = parts.sentence[: parts.phrases[0].start if parts.phrases else -1].strip()
            said = [(head, claim) for claim in parts.kind]
            said += [(_words(parts, phrase), claim) for phrase in parts.phrases for claim in phrase.claims]
            found += [CheckedClaim(words, claim, PREDICTED, False) for words, claim in said]
    return found


def _parts(sentence: str) -> ReadParts | None:
    try:
        return read_parts(sentence)
    except UnreadableCaptionError:
        return None


def _readable(sentence: str) -> tuple[ReadParts | None, str]:
    """The longest beginning of a sentence that can be read, and the rest."""
    cuts = [match.start() for match in re.finditer(r",? and |, ", sentence)][:_MAX_CUTS]
    for cut in (len(sentence), *reversed(cuts)):
        parts = _parts(sentence if cut == len(sentence) else f"{sentence[:cut]}.")
        if parts is not None:
            return parts, sentence[cut:].lstrip(", ").removeprefix("and ")
    return None, sentence


_MAX_CUTS = 32


def _words(parts: ReadParts, phrase: ReadPhrase) -> str:
    return parts.sentence[phrase.start : phrase.end]


def _key(claim: Claim) -> str:
    return repr(sorted(claim.items(), key=lambda item: item[0]))


def _checked_sentence(
    parts: ReadParts, facts: GraphFacts, removed: list[str], before: set[str]
) -> tuple[str, list[CheckedClaim]]:
    """The sentence as it may stand, empty where nothing of it is left, and its claims."""
    claims: list[CheckedClaim] = []
    head = parts.sentence[: parts.phrases[0].start] if parts.phrases else parts.sentence[:-1]
    if parts.opening:
        head, kind = _checked_head(parts, head, facts)
        claims += kind
    phrases: list[tuple[str, bool]] = []
    for phrase in parts.phrases:
        words, found = _checked_phrase(_words(parts, phrase), phrase, facts, before)
        if not words:
            removed.append(_words(parts, phrase))
            continue
        phrases.append((words, phrase.bare))
        claims += found
    if parts.opening:
        said = f"{head} with {_listed([words for words, _ in phrases])}" if phrases else head
        return f"{said}.", claims
    if not phrases:
        return "", []
    words, bare = phrases[0]
    phrases[0] = (f"has {words}", False) if bare else (words, False)
    return f"{head}{_listed(_with_verbs(phrases))}.", claims


def _with_verbs(phrases: list[tuple[str, bool]]) -> list[str]:
    """Bare phrases behind one whose verb does not take them get a verb of their own."""
    found, takes = [], False
    for words, bare in phrases:
        found.append(f"has {words}" if bare and not takes else words)
        takes = bare or words.startswith(_TAKING)
    return found


_TAKING = ("has ", "contains ", "comes with ", "uses ", "employs ", "includes ")


def _checked_head(parts: ReadParts, head: str, facts: GraphFacts) -> tuple[str, list[CheckedClaim]]:
    """The opening ("A convolutional network for images"), rewritten where the graph contradicts it."""
    head = head.strip().removesuffix(" with")
    values = [facts.holds(claim).value for claim in parts.kind]
    if False not in values:
        return head, [
            CheckedClaim(head, claim, COMPUTED if value else PREDICTED, False)
            for claim, value in zip(parts.kind, values, strict=True)
        ]
    opening, kind = opening_of(facts)
    opening = f"{opening[0].upper()}{opening[1:]}"
    return opening, [CheckedClaim(opening, claim, COMPUTED, claim not in parts.kind) for claim in kind]


def _checked_phrase(
    words: str, phrase: ReadPhrase, facts: GraphFacts, before: set[str]
) -> tuple[str, list[CheckedClaim]]:
    """A phrase as it may stand, and its claims; nothing where it can only be left out."""
    values = [facts.holds(claim).value for claim in phrase.claims]
    if before >= {_key(claim) for claim in phrase.claims}:
        return "", []
    if False not in values:
        before |= {_key(claim) for claim in phrase.claims}
        return words, [
            CheckedClaim(words, claim, COMPUTED if value else PREDICTED, False)
            for claim, value in zip(phrase.claims, values, strict=True)
        ]
    said, found = [], []
    for claim, value in zip(phrase.claims, values, strict=True):
        right: Claim | None = claim if value is not False else mended_claim(claim, facts)
        if right is None or _key(right) in before:
            continue
        before.add(_key(right))
        said.append(say_claim(right, bare=phrase.bare))
        basis = PREDICTED if value is None else COMPUTED
        found.append(CheckedClaim(said[-1], right, basis, value is False))
    return _listed(said), found


def _listed(phrases: list[str]) -> str:
    if not phrases:
        return ""
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
