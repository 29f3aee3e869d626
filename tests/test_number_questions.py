"""Questions for numbers, in people's words, over real networks: right, refused or wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from archbert.answering import Answerer
from dataset_scripts.autonet.questions_autonet import all_intents, all_questions
from processing_archbert import load_architecture
from processing_archbert.number_questions_archbert import asks_number, asks_yes_or_no, read_number

NETWORKS = ("bert", "mixtral", "vit", "t5")
REFUSED = "-"
TABLE = tuple(
    tuple(line.split("\t"))
    for line in Path(__file__).with_name("number_questions.tsv").read_text(encoding="utf-8").splitlines()[1:]
)
"""Network, question, and the true answer without its unit's sizes; REFUSED where nothing else is right."""


class _NamesLayers:
    """A checkpoint that answers every question with layers."""

    def __call__(self, item: object, top_k: int = 1) -> list[dict[str, object]]:
        return [{"answer": name, "score": 0.9} for name in ("LayerNorm", "Linear", "Conv2d", "GELU")]


@pytest.fixture(scope="module")
def answerers() -> dict[str, Answerer]:
    return {n: Answerer(load_architecture(n, costs=True), predictor=_NamesLayers()) for n in NETWORKS}


def test_numbers_are_right_or_refused_and_never_layers(answerers: dict[str, Answerer]) -> None:
    verdicts: Counter[str] = Counter()
    for network, question, expected in TABLE:
        found = answerers[network].answer(question)
        assert found.basis in ("computed", "cannot_tell"), question
        given = found.answers[0].text if found.answers else REFUSED
        right = given == expected or given.startswith(f"{expected} ")  # a unit, and the sizes it was counted at
        verdicts["right" if right else "refused" if given == REFUSED else "wrong"] += 1
        assert right, (network, question, given, found.reason)
        assert found.answers or found.reason
    assert verdicts["right"] == len(TABLE) >= 100


def test_a_model_is_still_asked_what_is_no_number(answerers: dict[str, Answerer]) -> None:
    found = answerers["bert"].answer("Which sort of layer comes right behind the embedding and what follows it?")
    assert found.basis == "predicted" and {answer.text for answer in found.answers} <= {"LayerNorm", "Linear", "GELU"}


@pytest.mark.parametrize("question", ["Which layers are used?", "Which layers are there?", "What blocks are used?"])
def test_which_layers_is_no_number(answerers: dict[str, Answerer], question: str) -> None:
    assert read_number(question) is None
    assert not any(answer.text.isdigit() for answer in answerers["bert"].answer(question).answers)


def test_sizes_of_kernels_are_kernels_or_nothing(answerers: dict[str, Answerer]) -> None:
    found = answerers["vit"].answer("What size have the kernels of whatever comes before the first dense layer?")
    assert found.basis == "cannot_tell" and not found.answers


def test_questions_of_the_data_set_want_no_number_but_kernel_sizes() -> None:
    for question_type, subject in all_intents():
        for text in list(all_questions(question_type, subject))[:40]:
            assert read_number(text) is None, text
            assert not asks_yes_or_no(text), text
            assert "kernel" in question_type or not asks_number(text), text


def test_what_is_left_over_silences_the_reader() -> None:
    for text in ("How many layers are in the second stage?", "How many parameters per layer?", "", "layers",
                 "How many heads and layers are there?", "Does it have layers?", "How large are the experts?",
                 "How many text and image layers are there?"):  # fmt: skip
        found = read_number(text)
        assert found is None or (text == "layers" and found.name == "layers"), text


def test_a_length_and_a_data_type_are_read() -> None:
    found = read_number("How large is the KV cache for a context of 8k tokens in int8?")
    assert found is not None and (found.name, found.tokens, found.dtype) == ("kv_cache", 8192, "int8")
    assert read_number("How many layers for 4096 tokens?") is None
