"""How well `archbert verify` checks model cards: ``python benchmarks/verify.py [--split dev|heldout] [--show]``.

The cards in `benchmarks/data/cards` hold slots `{true|false}`: the text as it is right, and a plausible error;
`{?true|false}` where no graph shows what is meant. Each card is checked as it is right, and once for each slot of a
sentence with that slot wrong. `<!-- architecture -->` marks right sentences on the architecture without slots; all
other sentences without slots are about other things.

Printed, for the cards that the rules were made with (`dev`) and for those that no rule was changed for (`heldout`):
the precision of "wrong", the recall of injected errors that a graph can show, and how many sentences about other
things were left alone (no claim was read from them).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from archbert.card_reading import plain, read_card
from archbert.verification import WRONG, verify_card
from processing_archbert.sources_archbert import load_architecture

CARDS = Path(__file__).parent / "data" / "cards"
_COUNTED = ("right", "confirmed", "injected", "checkable", "caught", "false alarm", "other")
_SLOT = re.compile(r"\{(\??)([^{}|]*)\|([^{}|]*)\}")


@dataclass
class Line:
    """A line of a card: its text with slots, and whether it is about the architecture."""

    text: str
    architecture: bool

    @property
    def slots(self) -> list[tuple[str, str, str]]:
        """(`?` or empty, right, wrong) of each slot."""
        return _SLOT.findall(self.text)

    def filled(self, wrong: int = -1) -> str:
        """The text with every slot right, but for slot number `wrong`."""
        numbers = iter(range(len(self.slots)))
        return _SLOT.sub(lambda m: m[3] if next(numbers) == wrong else m[2], self.text)


@dataclass
class Score:
    """Counts over cards."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def rates(self) -> dict[str, Any]:
        """The three rates, with the counts behind them."""
        c = self.counts
        return {
            "cards": c["cards"],
            "sentences": c["right"] + c["other"] + c["injected"],
            "precision of wrong": c["caught"] / max(1, c["caught"] + c["false alarm"]),
            "recall of checkable errors": c["caught checkable"] / max(1, c["checkable"]),
            "other sentences left alone": c["left alone"] / max(1, c["other"]),
            **{
                name: c[name]
                for name in ("right", "confirmed", "injected", "checkable", "caught", "false alarm", "other")
            },
        }


def read_lines(text: str) -> tuple[dict[str, Any], list[Line]]:
    """The source of a card, and its lines."""
    source = json.loads(re.search(r"<!-- source: (.*?) -->", text)[1])  # type: ignore[index]
    body = re.sub(r"<!-- (?:source|style): .*? -->\n", "", text)
    lines = []
    for line in body.split("\n"):
        shown = line.replace("<!-- architecture -->", "").rstrip()
        lines.append(Line(shown, shown != line.rstrip() or bool(_SLOT.search(line))))
    return source, lines


def score_card(path: Path, score: Score) -> None:
    """Adds a card to the counts."""
    source, lines = read_lines(path.read_text(encoding="utf-8"))
    options = dict(source)
    graph = load_architecture(AutoConfig.for_model(options.pop("model_type"), **options))
    score.counts["cards"] += 1
    for version in range(-1, max(len(line.slots) for line in lines)):
        text = "\n".join(line.filled(version) for line in lines)
        judged: dict[int, list[Any]] = {}
        for sentence in verify_card(graph, text):
            judged.setdefault(sentence.sentence.line, []).append(sentence)
        for number, line, sentences in _sentences(text, lines):
            found = judged.get(number, [])
            _count(score, path.stem, line, version, sentences, found)


def _sentences(text: str, lines: list[Line]) -> Iterator[tuple[int, Line, str]]:
    """The lines that hold a sentence, with their numbers: each line of a card is one sentence."""
    for sentence in read_card(text).sentences:
        line = lines[sentence.line - 1]
        yield sentence.line, line, plain(sentence.text)


def _count(score: Score, card: str, line: Line, version: int, text: str, found: list[Any]) -> None:
    wrong = any(sentence.verdict == WRONG for sentence in found)
    counts = score.counts
    if version < 0:
        kind = "right" if line.architecture else "other"
        counts[kind] += 1
        counts["confirmed"] += line.architecture and any(s.verdict == "right" for s in found)
        counts["false alarm"] += wrong
        counts["left alone"] += not line.architecture and not found
        if wrong or (not line.architecture and found):
            said = [
                f"{c.claim.kind} {c.claim.name} {c.claim.value} [{c.verdict}: {c.shown}]"
                for s in found
                for c in s.claims
            ]
            score.examples.append(f"{card}: {'FALSE ALARM' if wrong else 'touched'}: {text}\n    {said}")
    elif version < len(line.slots):
        checkable = not line.slots[version][0]
        counts["injected"] += 1
        counts["checkable"] += checkable
        counts["caught"] += wrong
        counts["caught checkable"] += wrong and checkable
        if checkable and not wrong:
            said = [f"{c.claim.kind} {c.claim.name} {c.claim.value} [{c.verdict}]" for s in found for c in s.claims]
            score.examples.append(f"{card}: missed: {text}\n    {said}")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--split", choices=("dev", "heldout"), action="append", help="both by default")
    parser.add_argument("--show", action="store_true", help="show every sentence that was judged otherwise")
    parser.add_argument("--output", type=Path, help="write the rates as JSON")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    results = {}
    for split in options.split or ("dev", "heldout"):
        score = Score()
        for path in sorted(CARDS.glob(f"{split}-*.md")):
            score_card(path, score)
        results[split] = score.rates()
        sys.stdout.write(f"{split}\n")
        for name, value in results[split].items():
            sys.stdout.write(f"  {name:<28}{value:.3f}\n" if isinstance(value, float) else f"  {name:<28}{value}\n")
        if options.show:
            sys.stdout.write("\n".join(score.examples) + "\n")
    if options.output:
        options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
