"""Evaluation of trained models: answers, statements, their priors and floors, and the calibration of both."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from tqdm.auto import tqdm

from blocks import ANSWER_IDS, Split
from dataset_scripts.autonet.questions_autonet import all_intents, all_questions
from modeling_archbert import ArchBertForPreTraining, ArchBertForSequenceClassification
from processing_archbert import ANSWERS
from processing_archbert.questions_archbert import consistent

METRICS = Path(__file__).resolve().parents[1] / "metrics"
GRAPHS_PER_BATCH = 16
UNSEEN = {"validation": "unseen AutoNet architectures", "test": "AutoNet architectures of unseen styles"}
"""Split of AutoNet -> what its architectures are, in titles of tables."""

Rows = Sequence[dict[str, Any]]


def load_metric(name: str, accelerator: Accelerator) -> Any:
    """One of the `evaluate` modules of this repository."""
    return evaluate.load(str(METRICS / name), experiment_id=f"{name}-{accelerator.process_index}")


def _batches(rows: Rows, text: str, accelerator: Accelerator) -> Iterator[tuple[list[int], list[int]]]:
    """(graphs, rows) of each batch of this process: a graph and all rows that speak of it stay together."""
    by_graph: dict[int, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_graph[row["graph"]].append(index)
    graphs = sorted(by_graph)
    starts = range(0, len(graphs), GRAPHS_PER_BATCH)
    mine = starts[accelerator.process_index :: accelerator.num_processes]
    for start in tqdm(mine, desc=f"evaluating {text}s", leave=False, disable=not accelerator.is_main_process):
        chosen = graphs[start : start + GRAPHS_PER_BATCH]
        yield chosen, [index for graph in chosen for index in by_graph[graph]]


@torch.no_grad()
def _predict(
    model: nn.Module,
    output: str,
    text: str,
    rows: Rows,
    encodings: Sequence[Any],
    processor: Any,
    accelerator: Accelerator,
) -> list[Any]:
    """The named output of the model for every row (of which `text` names the text), in order, on every process."""
    found: list[tuple[int, Any]] = []
    for graphs, indices in _batches(rows, text, accelerator):
        place = {graph: position for position, graph in enumerate(graphs)}
        texts = {t: i for i, t in enumerate(dict.fromkeys(rows[index][text] for index in indices))}
        batch = dict(processor.collate(list(texts), [encodings[graph] for graph in graphs]))
        batch["text_index"] = torch.tensor([texts[rows[index][text]] for index in indices])
        batch["architecture_index"] = torch.tensor([place[rows[index]["graph"]] for index in indices])
        batch = {key: value.to(accelerator.device) for key, value in batch.items()}
        found += zip(indices, model(**batch)[output].float().cpu().numpy(), strict=True)
    return [value for _, value in sorted(gather_object(found), key=lambda pair: pair[0])]


def answer_logits(
    model: ArchBertForPreTraining, processor: Any, encodings: Sequence[Any], rows: Rows, accelerator: Accelerator
) -> np.ndarray:
    """Calibrated logits (rows, answers) of question rows; the model is left in eval mode."""
    answering = ArchBertForSequenceClassification._from_config(model.config)
    answering.archbert, answering.answer_head = model.archbert, model.answer_head
    answering.eval()
    return np.stack(_predict(answering, "logits", "question", rows, encodings, processor, accelerator))


def similarities(
    model: ArchBertForPreTraining, processor: Any, encodings: Sequence[Any], rows: Rows, accelerator: Accelerator
) -> np.ndarray:
    """Cosine (rows,) of description rows; the model is left in eval mode."""
    return np.array(_predict(model.archbert.eval(), "similarity", "text", rows, encodings, processor, accelerator))


def reasoning_scores(
    model: ArchBertForPreTraining, processor: Any, encodings: Sequence[Any], rows: Rows, accelerator: Accelerator
) -> np.ndarray:
    """Logits (rows,) of the reasoning head for description rows; the model is left in eval mode."""
    return np.array(_predict(model.eval(), "reasoning_logits", "text", rows, encodings, processor, accelerator))


def given_answers(logits: np.ndarray) -> list[list[str]]:
    """What a user is told: the answers whose calibrated probability is above one half, or else the most likely one.

    Of answers that contradict each other, those stay that agree with the most likely one.
    """
    found = []
    for row in logits:
        above = np.flatnonzero((row > 0) | (row == row.max()))
        answers = [ANSWERS[i] for i in above[np.argsort(-row[above], kind="stable")]]
        found.append([answers[place] for place in consistent(answers)])
    return found


class QuestionPrior:
    """The best constant answer per question type, and per type and subject: what a question alone gives away.

    Args:
        rows: question rows of the training split.
    """

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        counts: dict[tuple[str, ...], Counter[tuple[str, ...]]] = defaultdict(Counter)
        for row in rows:
            answers = tuple(row["answers"])
            counts[row["question_type"],][answers] += 1
            counts[row["question_type"], row["subject"]][answers] += 1
        self._best = {key: list(counter.most_common(1)[0][0]) for key, counter in counts.items()}

    def predict(self, rows: Rows, subjects: bool) -> list[list[str]]:
        """One answer set per row; with `subjects` the prior knows what the question asks about."""
        return [
            self._best.get((row["question_type"], row["subject"]) if subjects else (row["question_type"],), [])
            for row in rows
        ]


@lru_cache(1)
def _training_wordings() -> frozenset[str]:
    return frozenset(text for intent in all_intents() for text in all_questions(*intent, split="train"))


def evaluate_answers(logits: np.ndarray, rows: Rows, prior: QuestionPrior, accelerator: Accelerator) -> dict[str, Any]:
    """Figures of `metrics/aqa_match`, beside the question-only prior (which knows type and subject).

    Returns:
        What the metric gives; under `type_prior` the figures of the weaker prior that knows the type only; under
        `by_wording` those of questions in wordings that training has, and in wordings that it has not.
    """
    metric = load_metric("aqa_match", accelerator)
    references = [list(row["answers"]) for row in rows]
    types = [row["question_type"] for row in rows]
    common = {"references": references, "question_types": types}
    result = metric.compute(
        predictions=given_answers(logits), prior_predictions=prior.predict(rows, subjects=True), **common
    )
    weaker = metric.compute(predictions=prior.predict(rows, subjects=False), **common)
    names = ("exact_match", "samples_f1", "macro_exact_match", "balanced_exact_match")
    result["type_prior"] = {name: weaker[name] for name in names}
    given = given_answers(logits)
    known = [row["question"] in _training_wordings() for row in rows]
    result["by_wording"] = {}
    for wording, side in (("training", True), ("held out", False)):
        chosen = [i for i, value in enumerate(known) if value is side]
        if chosen:
            picked = {name: [column[i] for i in chosen] for name, column in (common | {"predictions": given}).items()}
            figures = metric.compute(**picked)
            result["by_wording"][wording] = {name: figures[name] for name in ("count", *names)}
    result["outside_answer_list"] = sum(any(a not in ANSWER_IDS for a in truth) for truth in references)
    return result


def evaluate_statements(
    scores: np.ndarray, rows: Rows, threshold: float, accelerator: Accelerator
) -> dict[str, dict[str, Any]]:
    """Figures of `metrics/ar_binary`, for matched rows and for the paper's kind of negatives apart.

    Rows with a `group` are matched; the others are the paper's kind.
    """
    metric = load_metric("ar_binary", accelerator)
    result = {}
    for name, matched in (("matched", True), ("paper", False)):
        chosen = [i for i, row in enumerate(rows) if bool(row["group"]) == matched]
        if chosen:
            result[name] = metric.compute(
                predictions=[float(scores[i]) for i in chosen],
                references=[int(rows[i]["label"]) for i in chosen],
                groups=[rows[i]["group"] for i in chosen],
                threshold=threshold,
            )
    return result


def text_only_scores(train: Rows, validation: Rows, steps: int = 200) -> np.ndarray:
    """Probabilities (validation rows,) of a logistic regression on the words of the text: a floor without graphs.

    Matched rows and the paper's kind of rows get a regression each, as they are evaluated apart.
    """
    scores = np.full(len(validation), 0.5)
    for matched in (True, False):
        learned = [row for row in train if bool(row["group"]) == matched]
        asked = [i for i, row in enumerate(validation) if bool(row["group"]) == matched]
        if learned and asked:
            scores[asked] = _bag_of_words(learned, [validation[i] for i in asked], steps)
    return scores


def _bag_of_words(train: Rows, validation: Rows, steps: int) -> np.ndarray:
    words, asked = _word_sets(train), _word_sets(validation)
    counts = Counter(word for row in words for word in row)
    index = {word: i for i, word in enumerate(sorted(word for word, count in counts.items() if count > 1))}
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        weights = nn.EmbeddingBag(len(index) + 1, 1, mode="sum")
        nn.init.zeros_(weights.weight)
        optimizer = torch.optim.Adam(weights.parameters(), lr=0.05)
        inputs, labels = _bags(words, index), torch.tensor([float(row["label"]) for row in train])
        for _ in range(steps):
            loss = nn.functional.binary_cross_entropy_with_logits(weights(*inputs).flatten(), labels)
            (loss + 1e-4 * weights.weight.square().sum()).backward()
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        return weights(*_bags(asked, index)).flatten().sigmoid().numpy()


def _word_sets(rows: Rows) -> list[list[str]]:
    return [sorted(set(re.findall(r"[^\s,.]+", row["text"].lower()))) for row in rows]


def _bags(words: list[list[str]], index: dict[str, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids of known words of all texts, with a constant in each, and where each text begins."""
    ids = [[len(index), *(index[word] for word in row if word in index)] for row in words]
    lengths = torch.tensor([0, *map(len, ids[:-1])])
    return torch.tensor([i for row in ids for i in row]), lengths.cumsum(0)


def evaluate_reasoning(
    model: Any, processor: Any, train: Split, validation: Split, accelerator: Accelerator
) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures of every method on the statements of the validation split: the model's, and the floors."""
    rows, config = validation.description_rows(), model.config
    scores = similarities(model, processor, validation.encodings, rows, accelerator)
    results = {"ArchBERT, cosine": evaluate_statements(scores, rows, config.similarity_threshold, accelerator)}
    if config.use_reasoning_head:
        logits = reasoning_scores(model, processor, validation.encodings, rows, accelerator)
        results["ArchBERT, reasoning head"] = evaluate_statements(
            logits, rows, config.reasoning_threshold, accelerator
        )
    words = text_only_scores(train.description_rows(), rows)
    results["text only (bag of words)"] = evaluate_statements(words, rows, 0.5, accelerator)
    results["always yes"] = evaluate_statements(np.ones(len(rows)), rows, 0.5, accelerator)
    return results


FUSIONS = {"product": "product of the embeddings", "cross_attention": "cross attention"}
"""`fusion` of a config -> what a table calls it."""


def answers_table(title: str, result: dict[str, Any], config: Any) -> dict[str, Any]:
    """The rows of a table of results: the model, and what the question alone gives away."""
    columns = {
        "exact match": "exact_match",
        "samples-F1": "samples_f1",
        "exact match, macro over types": "macro_exact_match",
        "exact match, balanced over answers": "balanced_exact_match",
    }
    method = FUSIONS[config.fusion] + (" with copying" if config.use_copy else "")
    rows = [("ArchBERT, " + method, result, "")]
    for wording, figures in result["by_wording"].items():
        rows.append((f"ArchBERT, {method}: {wording} wordings", figures, ""))
    rows.append(("question-only prior (type and subject)", result, "prior_"))
    rows.append(("question-only prior (type)", result["type_prior"], ""))
    return {
        "title": title,
        "rows": [
            {"method": name} | {label: round(source[prefix + key], 2) for label, key in columns.items()}
            for name, source, prefix in rows
        ],
    }


def statements_table(kind: str, results: dict[str, dict[str, Any]], split: str = "validation") -> dict[str, Any]:
    """A table of results for one kind of negatives, on a split of AutoNet."""
    columns = {
        "group accuracy": "group_accuracy",
        "accuracy": "accuracy",
        "F1": "f1",
        "MCC": "mcc",
        "AUROC": "auroc",
        "AP": "average_precision",
    }
    first = next(iter(results.values()))[kind]
    negatives = {"matched": "matched negatives", "paper": "the paper's kind of negatives"}[kind]
    return {
        "title": f"AR on {UNSEEN[split]}, {negatives}",
        "data": f"{first['count']} statements, {first['prevalence']:.1f}% true, {first['groups']} groups",
        "rows": [
            {"method": name} | {label: _rounded(result[kind][key]) for label, key in columns.items()}
            for name, result in results.items()
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
