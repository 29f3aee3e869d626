"""Exact match and samples-F1 of architectural question answering, by question type and beside a prior."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import datasets
import evaluate

_DESCRIPTION = """
An answer to a question about an architecture is a set of strings. Exact match asks for the whole set; samples-F1 is
the mean over the questions of the F1 of the predicted set against the true one (paper, section 5). Questions of one
type often have few distinct true sets, of very unequal frequency, so the balanced exact match gives each distinct
true set of a type the same weight; macro means are over question types.
"""

_INPUTS = """
Args:
    predictions (list of list of str): predicted answers, one list per question; the order does not matter.
    references (list of list of str): true answers.
    question_types (list of str, optional): adds the macro means and a table `by_question_type`.
    prior_predictions (list of list of str, optional): answers of a method that did not see the architecture; its
        figures are returned beside, under the same names with the prefix `prior_`.
Returns:
    `exact_match` and `samples_f1` in percent and `count`. With `question_types` also `macro_exact_match`,
    `macro_samples_f1`, `balanced_exact_match`, `best_constant_balanced_exact_match` (what the best single answer per
    type, chosen with the truth in hand, would reach) and `by_question_type`.
Example:
    >>> metric = evaluate.load("metrics/aqa_match")
    >>> metric.compute(predictions=[["ReLU"], ["ReLU"]], references=[["ReLU"], ["ReLU", "GELU"]])
    {'exact_match': 50.0, 'samples_f1': 83.33333333333333, 'count': 2}
"""


def sample_f1(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of one predicted set against one true set; two empty sets agree (1.0)."""
    predicted, true = set(prediction), set(reference)
    if not predicted and not true:
        return 1.0
    return 2 * len(predicted & true) / (len(predicted) + len(true))


def _percent(values: Sequence[float]) -> float:
    return 100.0 * sum(values) / len(values) if len(values) else 0.0


def _balanced(matches: Sequence[float], references: Sequence[frozenset[str]]) -> float:
    """Percentage of matches when each distinct reference weighs the same."""
    by_reference: dict[frozenset[str], list[float]] = defaultdict(list)
    for match, reference in zip(matches, references, strict=True):
        by_reference[reference].append(match)
    return _percent([sum(values) / len(values) for values in by_reference.values()])


def _figures(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], question_types: Sequence[str] | None
) -> dict:
    matches = [float(set(p) == set(r)) for p, r in zip(predictions, references, strict=True)]
    overlaps = [sample_f1(p, r) for p, r in zip(predictions, references, strict=True)]
    result: dict = {"exact_match": _percent(matches), "samples_f1": _percent(overlaps), "count": len(matches)}
    if question_types is None:
        return result
    rows: dict[str, list[int]] = defaultdict(list)
    for index, question_type in enumerate(question_types):
        rows[question_type].append(index)
    table = {}
    for question_type, indices in sorted(rows.items()):
        truths = [frozenset(references[i]) for i in indices]
        table[question_type] = {
            "exact_match": _percent([matches[i] for i in indices]),
            "samples_f1": _percent([overlaps[i] for i in indices]),
            "balanced_exact_match": _balanced([matches[i] for i in indices], truths),
            "best_constant_balanced_exact_match": 100.0 / len(set(truths)),
            "best_constant_exact_match": 100.0 * Counter(truths).most_common(1)[0][1] / len(truths),
            "distinct_answers": len(set(truths)),
            "count": len(indices),
        }
    for name, column in (
        ("macro_exact_match", "exact_match"),
        ("macro_samples_f1", "samples_f1"),
        ("balanced_exact_match", "balanced_exact_match"),
        ("best_constant_balanced_exact_match", "best_constant_balanced_exact_match"),
    ):
        result[name] = sum(row[column] for row in table.values()) / max(len(table), 1)
    return result | {"by_question_type": table}


class AqaMatch(evaluate.Metric):
    """Exact match and samples-F1 over sets of answers; see the module's description for the arguments."""

    def _info(self) -> evaluate.MetricInfo:
        strings = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": strings, "references": strings}),
        )

    def _compute(
        self,
        predictions: Sequence[Sequence[str]],
        references: Sequence[Sequence[str]],
        question_types: Sequence[str] | None = None,
        prior_predictions: Sequence[Sequence[str]] | None = None,
    ) -> dict:
        for name, column in (("question_types", question_types), ("prior_predictions", prior_predictions)):
            if column is not None and len(column) != len(references):
                raise ValueError(f"{name} has {len(column)} entries, but there are {len(references)} references")
        result = _figures(predictions, references, question_types)
        if prior_predictions is not None:
            prior = _figures(prior_predictions, references, question_types)
            for question_type, row in prior.pop("by_question_type", {}).items():
                for column in ("exact_match", "samples_f1", "balanced_exact_match"):
                    result["by_question_type"][question_type][f"prior_{column}"] = row[column]
            for unwanted in ("count", "best_constant_balanced_exact_match"):
                prior.pop(unwanted, None)
            result |= {f"prior_{name}": value for name, value in prior.items()}
        return result
