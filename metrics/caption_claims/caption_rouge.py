"""ROUGE of captions, its floors (a constant caption, the caption of the nearest graph) and its ceiling.

Needs the package `rouge_score`.
"""

import importlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

ROUGE_TYPES = ("rouge1", "rouge2", "rougeLsum")


def _lines(text: str) -> str:
    """A sentence a line, as rougeLsum wants it."""
    return re.sub(r"(?<=[.!?])\s+(?=[A-Z])", "\n", text.strip())


def _scorer() -> Any:
    try:
        module = importlib.import_module("rouge_score.rouge_scorer")
    except ImportError as error:
        raise ImportError("ROUGE needs the package rouge_score: pip install rouge_score") from error
    return module.RougeScorer(ROUGE_TYPES, use_stemmer=True)


def rouge(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Mean F-measures of ROUGE-1, ROUGE-2 and ROUGE-Lsum, in percent; each caption with the best of its references.

    Args:
        predictions: captions.
        references: for each caption one reference or more.

    Raises:
        ImportError: `rouge_score` is not installed.
        ValueError: the lengths differ, or a caption has no reference.
    """
    if len(predictions) != len(references) or not all(references):
        raise ValueError(f"{len(predictions)} captions need as many lists of one reference or more")
    scorer = _scorer()
    sums: Counter[str] = Counter()
    for text, texts in zip(predictions, references, strict=True):
        for name, score in scorer.score_multi([_lines(t) for t in texts], _lines(text)).items():
            sums[name] += score.fmeasure
    return {name: 100.0 * sums[name] / max(len(predictions), 1) for name in ROUGE_TYPES}


def rouge_ceiling(references: Sequence[Sequence[str]]) -> dict[str, float]:
    """ROUGE of the first reference of each architecture against its others; two or more are needed."""
    return rouge([texts[0] for texts in references], [list(texts[1:]) for texts in references])


def constant_caption(training_texts: Sequence[str], candidates: int = 20) -> str:
    """The training caption that has the best ROUGE-1 with the others: the best answer that never looks.

    Args:
        training_texts: captions of other architectures.
        candidates: how many captions are tried, evenly chosen, each against as many others.

    Raises:
        ValueError: there is no training caption.
    """
    if not training_texts:
        raise ValueError("training_texts is empty; one caption or more is needed")
    step = max(1, len(training_texts) // candidates)
    tried = list(training_texts[::step][:candidates])
    scores = [rouge([text] * len(tried), [[other] for other in tried])["rouge1"] for text in tried]
    return tried[scores.index(max(scores))]


def nearest_captions(
    training_ops: Sequence[Sequence[str]], training_texts: Sequence[str], ops: Sequence[Sequence[str]]
) -> list[str]:
    """For each architecture the caption of the training architecture whose ops are most alike (cosine of counts).

    Args:
        training_ops: op types of the training architectures.
        training_texts: a caption of each.
        ops: op types of the architectures to be captioned.
    """
    known = [_unit(Counter(types)) for types in training_ops]
    found = []
    for types in ops:
        wanted = _unit(Counter(types))
        likeness = [sum(weight * other.get(op, 0.0) for op, weight in wanted.items()) for other in known]
        found.append(training_texts[likeness.index(max(likeness))])
    return found


def _unit(counts: Mapping[str, int]) -> dict[str, float]:
    length = sqrt(sum(n * n for n in counts.values())) or 1.0
    return {op: n / length for op, n in counts.items()}
