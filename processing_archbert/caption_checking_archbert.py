"""Checks captions: every claim is asked of the graph; what the graph contradicts is put right, or left out."""

from __future__ import annotations

from .caption_mending_archbert import mended_claim, opening_of, say_claim
from .caption_reading_archbert import Claim, ReadParts, ReadPhrase, read_sentences
from .caption_rebuilding_archbert import (
    COMPUTED,
    PREDICTED,
    CheckedCaption,
    CheckedClaim,
    Judged,
    claim_key,
    listed,
    parts_of,
    rebuilt_caption,
    words_of,
)
from .graph_facts_archbert import GraphFacts


def check_caption(text: str, facts: GraphFacts) -> CheckedCaption:
    """A caption that says nothing that the graph contradicts.

    Args:
        text: what was written.
        facts: of the graph.
    """
    sentences, claims, removed = rebuilt_caption(text, _AgainstGraph(facts))
    if not sentences:
        opening, kind = opening_of(facts)
        sentences.append(f"{opening[0].upper()}{opening[1:]}.")
        claims = [CheckedClaim(opening, claim, COMPUTED, True) for claim in kind]
    return CheckedCaption(" ".join(sentences), claims, removed)


def read_claims(text: str) -> list[CheckedClaim]:
    """The claims of a caption as the model makes them, unchecked; sentences that cannot be read make none."""
    found = []
    for sentence in read_sentences(text):
        parts = parts_of(sentence.text)
        if parts is not None:
            head = parts.sentence[: parts.phrases[0].start if parts.phrases else -1].strip()
            said = [(head, claim) for claim in parts.kind]
            said += [(words_of(parts, phrase), claim) for phrase in parts.phrases for claim in phrase.claims]
            found += [CheckedClaim(words, claim, PREDICTED, False) for words, claim in said]
    return found


class _AgainstGraph:
    """What the graph contradicts is put right, or left out."""

    def __init__(self, facts: GraphFacts) -> None:
        self._facts = facts
        self._said: set[str] = set()

    def head(self, parts: ReadParts, head: str, before: int) -> Judged:
        values = [self._facts.holds(claim).value for claim in parts.kind]
        if False not in values:
            said = [
                CheckedClaim(head, claim, COMPUTED if value else PREDICTED, False)
                for claim, value in zip(parts.kind, values, strict=True)
            ]
        else:
            opening, kind = opening_of(self._facts)
            head = f"{opening[0].upper()}{opening[1:]}"
            said = [CheckedClaim(head, claim, COMPUTED, claim not in parts.kind) for claim in kind]
        self._said |= {claim_key(one.claim) for one in said}
        return head, said

    def phrase(self, parts: ReadParts, phrase: ReadPhrase, before: int) -> Judged:
        words = words_of(parts, phrase)
        keys = {claim_key(claim) for claim in phrase.claims}
        if self._said >= keys:
            return "", []
        values = [self._facts.holds(claim).value for claim in phrase.claims]
        if False not in values:
            self._said |= keys
            return words, [
                CheckedClaim(words, claim, COMPUTED if value else PREDICTED, False)
                for claim, value in zip(phrase.claims, values, strict=True)
            ]
        said, found = [], []
        for claim, value in zip(phrase.claims, values, strict=True):
            right: Claim | None = claim if value is not False else mended_claim(claim, self._facts)
            if right is None or claim_key(right) in self._said:
                continue
            self._said.add(claim_key(right))
            said.append(say_claim(right, bare=phrase.bare))
            basis = PREDICTED if value is None else COMPUTED
            found.append(CheckedClaim(said[-1], right, basis, value is False))
        return listed(said), found
