"""The `evaluate` modules against numbers worked out by hand."""

from pathlib import Path
from typing import Any

import evaluate
import pytest

METRICS = Path(__file__).resolve().parents[1] / "metrics"


@pytest.fixture(scope="module")
def aqa_match(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return evaluate.load(str(METRICS / "aqa_match"), cache_dir=str(tmp_path_factory.mktemp("metrics")))


@pytest.fixture(scope="module")
def ar_binary(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return evaluate.load(str(METRICS / "ar_binary"), cache_dir=str(tmp_path_factory.mktemp("metrics")))


def test_aqa_counts_whole_sets_and_overlaps(aqa_match: Any) -> None:
    result = aqa_match.compute(
        predictions=[["a", "b"], ["b", "a"], ["a"], []],
        references=[["a", "b"], ["a", "b"], ["a", "b", "c"], ["a"]],
    )
    assert result["exact_match"] == 50.0
    assert result["samples_f1"] == pytest.approx(100 * (1 + 1 + 2 * 1 / 4 + 0) / 4)
    assert result["count"] == 4


def test_aqa_macro_balanced_and_prior(aqa_match: Any) -> None:
    # Type x: truths a, a, a, b (three and one); type y: truth c alone.
    references = [["a"], ["a"], ["a"], ["b"], ["c"]]
    result = aqa_match.compute(
        predictions=[["a"], ["a"], ["b"], ["b"], ["d"]],
        references=references,
        question_types=["x", "x", "x", "x", "y"],
        prior_predictions=[["a"], ["a"], ["a"], ["a"], ["c"]],
    )
    assert result["exact_match"] == 60.0
    assert result["macro_exact_match"] == pytest.approx((75 + 0) / 2)
    assert result["by_question_type"]["x"]["balanced_exact_match"] == pytest.approx(100 * (2 / 3 + 1) / 2)
    assert result["balanced_exact_match"] == pytest.approx((100 * (2 / 3 + 1) / 2 + 0) / 2)
    assert result["prior_exact_match"] == 80.0
    assert result["prior_macro_exact_match"] == pytest.approx((75 + 100) / 2)
    assert result["prior_balanced_exact_match"] == pytest.approx((50 + 100) / 2)
    assert result["best_constant_balanced_exact_match"] == pytest.approx((50 + 100) / 2)
    assert result["by_question_type"]["x"]["prior_exact_match"] == 75.0
    assert result["by_question_type"]["x"]["distinct_answers"] == 2


def test_aqa_names_the_column_of_a_wrong_length(aqa_match: Any) -> None:
    with pytest.raises(ValueError, match="question_types has 1 entries, but there are 2 references"):
        aqa_match.compute(predictions=[["a"], ["a"]], references=[["a"], ["a"]], question_types=["x"])


def test_binary_against_hand_computed_table(ar_binary: Any) -> None:
    # Above 0.5: rows 0, 1, 2. True positives 2, false positive 1, false negative 1, true negatives 2.
    result = ar_binary.compute(predictions=[0.9, 0.8, 0.7, 0.4, 0.3, 0.1], references=[1, 0, 1, 1, 0, 0])
    assert result["accuracy"] == pytest.approx(100 * 4 / 6)
    assert result["f1"] == pytest.approx(100 * 2 * 2 / (3 + 3))
    assert result["mcc"] == pytest.approx(100 * (2 * 2 - 1 * 1) / 9)
    assert result["auroc"] == pytest.approx(100 * 7 / 9)
    assert result["average_precision"] == pytest.approx(100 * (1 + 2 / 3 + 3 / 4) / 3)
    assert result["prevalence"] == result["always_yes_accuracy"] == 50.0
    assert result["always_yes_f1"] == pytest.approx(100 * 2 / 3)


def test_equal_scores_count_one_half(ar_binary: Any) -> None:
    result = ar_binary.compute(predictions=[0.2, 0.2, 0.2, 0.2], references=[1, 0, 0, 0])
    assert result["auroc"] == 50.0
    assert result["average_precision"] == 25.0
    assert result["mcc"] == 0.0


def test_group_accuracy_needs_every_row_of_a_group(ar_binary: Any) -> None:
    result = ar_binary.compute(
        predictions=[0.9, 0.1, 0.9, 0.8, 0.9],
        references=[1, 0, 1, 0, 0],
        groups=["a", "a", "b", "b", ""],
    )
    assert result["group_accuracy"] == 50.0
    assert result["groups"] == 2


def test_one_sided_references_have_no_ranking(ar_binary: Any) -> None:
    result = ar_binary.compute(predictions=[0.9, 0.1], references=[1, 1], groups=["", ""])
    assert result["auroc"] is None and result["average_precision"] is None and result["group_accuracy"] is None


def test_binary_threshold_and_bad_labels(ar_binary: Any) -> None:
    assert ar_binary.compute(predictions=[0.4, 0.1], references=[1, 0], threshold=0.3)["accuracy"] == 100.0
    with pytest.raises(ValueError, match="references are 0 or 1"):
        ar_binary.compute(predictions=[0.4], references=[2])
