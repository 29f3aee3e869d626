"""Claim precision and recall of captions against the graph that they describe, with ROUGE beside them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate

from processing_archbert.architecture_graph_archbert import as_architecture_graph
from processing_archbert.caption_reading_archbert import read_sentences
from processing_archbert.graph_facts_archbert import PARAMETER_TOLERANCE, GraphFacts

from .caption_rouge import rouge

_DESCRIPTION = """
A caption is read sentence by sentence into claims (typed predicates), and each different claim is asked of the graph.
Precision is the share of what a caption says that the graph shows, where a sentence that cannot be read counts as one
thing said and not shown, and a caption that says nothing has 0. A claim that the graph leaves open (it misses a tower)
counts neither way. Recall is the share of the reference claims that the caption makes. Both are means over captions,
and F1 is theirs. The reader and the facts come from the package `processing_archbert`, which has to be installed.
"""

_INPUTS = """
Args:
    predictions (list of str): captions.
    references (list of str or dict): the graphs: `ArchitectureGraph.to_json()`, `to_dict()`, or a row of the config
        `architectures` of AutoNet, as a dictionary or as JSON.
    reference_claims (list of str or list, optional): for each caption the claims to be made, as a list or as JSON, or
        several such lists joined; adds `claim_recall` and `claim_f1`.
    reference_texts (list of list of str, optional): reference captions; adds `rouge1`, `rouge2` and `rougeLsum` (the
        best of the references for each caption). Needs the package `rouge_score`.
Returns:
    `claim_precision`, `unreadable_sentences` and `unknown_claims` (shares of sentences and of claims) in percent,
    `claims_per_caption` and `count`, and what the optional arguments add, in percent.
Example:
    >>> metric = evaluate.load("metrics/caption_claims")
    >>> metric.compute(predictions=["The network has two inputs. It is nice."], references=[graph.to_json()])
    {'claim_precision': 50.0, 'unreadable_sentences': 50.0, 'unknown_claims': 0.0, 'claims_per_caption': 1.0,
     'count': 1}
"""


def graph_facts(reference: str | Mapping[str, Any]) -> GraphFacts:
    """Facts of a graph given as a dictionary, a row or JSON of either.

    Raises:
        ValueError: it is none of these.
    """
    try:
        value = json.loads(reference) if isinstance(reference, str) else reference
    except json.JSONDecodeError as error:
        raise ValueError(f"references has a text that is no JSON: {error}") from None
    graph = as_architecture_graph(value)
    if graph is None:
        raise ValueError("references has an entry that is no graph; to_json(), to_dict() or a row is allowed")
    return GraphFacts(graph)


def covers(said: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a claim says what a reference claim says.

    The same claim does; besides, a number of parameters near enough, and the number of a layer that is to be named.
    """
    if said == wanted:
        return True
    if said["type"] == wanted["type"] == "parameters":
        return bool(abs(said["value"] - wanted["value"]) <= PARAMETER_TOLERANCE * wanted["value"])
    named = said["type"] in ("count", "most_frequent") and wanted["type"] == "contains"
    return bool(named and said["layer"] == wanted["layer"] and said.get("value", 1))


def _distinct(claims: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return list({json.dumps(claim, sort_keys=True): claim for claim in claims}.values())


def _judged(text: str, facts: GraphFacts, wanted: Sequence[Mapping[str, Any]] | None) -> dict[str, float]:
    """Figures of one caption."""
    sentences = read_sentences(text)
    unreadable = sum(sentence.claims is None for sentence in sentences)
    claims = _distinct([claim for sentence in sentences for claim in sentence.claims or ()])
    values = [facts.holds(claim).value for claim in claims]
    said = len(values) - values.count(None) + unreadable
    figures: dict[str, float] = {
        "precision": values.count(True) / said if said else 0.0,
        "claims": len(claims),
        "unknown": values.count(None),
        "sentences": len(sentences),
        "unreadable": unreadable,
    }
    if wanted is not None:
        unique = _distinct(wanted)
        figures["recall"] = sum(any(covers(c, w) for c in claims) for w in unique) / len(unique) if unique else 0.0
    return figures


class CaptionClaims(evaluate.Metric):
    """Claim precision and recall; see the module's description for the arguments."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def compute(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> dict | None:
        """The figures; graphs that are dictionaries are written as JSON, which is what the metric stores."""
        if references is not None:
            references = [r if isinstance(r, str) else json.dumps(r, default=_plain) for r in references]
        return super().compute(predictions=predictions, references=references, **kwargs)

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[str],
        reference_claims: Sequence[Any] | None = None,
        reference_texts: Sequence[Sequence[str]] | None = None,
    ) -> dict:
        for name, column in (("reference_claims", reference_claims), ("reference_texts", reference_texts)):
            if column is not None and len(column) != len(references):
                raise ValueError(f"{name} has {len(column)} entries, but there are {len(references)} references")
        wanted = [None] * len(references) if reference_claims is None else [_claims(c) for c in reference_claims]
        kept: dict[str, GraphFacts] = {}
        rows = []
        for text, reference, claims in zip(predictions, references, wanted, strict=True):
            if reference not in kept:
                kept = {reference: graph_facts(reference)}
            rows.append(_judged(text, kept[reference], claims))
        result = _figures(rows)
        if reference_texts is not None:
            result |= rouge(predictions, reference_texts)
        return result


def _plain(value: Any) -> Any:
    """Arrays and the like as JSON values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"references has a {type(value).__name__}; numbers, texts and lists of them are allowed")


def _claims(value: Any) -> list[Mapping[str, Any]]:
    claims = json.loads(value) if isinstance(value, str) else list(value)
    if not all(isinstance(claim, Mapping) and "type" in claim for claim in claims):
        raise ValueError("reference_claims has an entry that is no list of claims; each claim is a dict with a type")
    return claims


def _figures(rows: Sequence[Mapping[str, float]]) -> dict:
    count = max(len(rows), 1)
    sums = {name: sum(row[name] for row in rows) for name in rows[0]} if rows else {}
    precision = sums.get("precision", 0.0) / count
    result: dict[str, Any] = {
        "claim_precision": 100.0 * precision,
        "unreadable_sentences": 100.0 * sums.get("unreadable", 0) / max(sums.get("sentences", 0), 1),
        "unknown_claims": 100.0 * sums.get("unknown", 0) / max(sums.get("claims", 0), 1),
        "claims_per_caption": sums.get("claims", 0) / count,
        "count": len(rows),
    }
    if "recall" in sums:
        recall = sums["recall"] / count
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        result |= {"claim_recall": 100.0 * recall, "claim_f1": 100.0 * f1}
    return result
