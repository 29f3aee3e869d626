"""Questions in words: which topic a wording asks for, and what four networks answer."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from archbert.answering import Answer, Answered, Answerer
from processing_archbert import load_architecture
from processing_archbert.topic_questions_archbert import read_topic
from processing_archbert.topics_archbert import TOPICS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from run_product_aqa import outcome

_ROWS = [line.split("\t") for line in Path(__file__).with_name("topic_questions.tsv").read_text().splitlines()]
_ANSWERS = [
    ("bert", "Which variant of attention is implemented here?", ("multi-head attention",)),
    ("bert", "Is the norm placed before or after each branch?", ("after each addition (post-norm)",)),
    ("bert", "How does it know the order of tokens?", ("learned",)),
    ("bert", "Does it consist of an encoder, a decoder or both?", ("encoder-only",)),
    ("bert", "How many token type embeddings are there?", ("2",)),
    ("bert", "How large is the kv cache per token in bytes (16 bit)?", ("This model has no causal attention",)),
    ("bert", "What is the size of the sliding window?", ("This model has no sliding window",)),
    ("bert", "Are some convolutions depthwise?", ("no: This model has no convolutions",)),
    ("gpt2", "Can a position only see earlier ones?", ("yes",)),
    ("gpt2", "How many bytes are cached for every token at 16 bit?", ("36,864 bytes per token (float16)",)),
    ("gpt2", "How many bytes are cached for every token in float32?", ("73,728 bytes per token (float32)",)),
    ("gpt2", "Do the blocks normalize before or after the branches?", ("before each branch (pre-norm)",)),
    ("gpt2", "What is the MLP ratio?", ("4",)),
    ("resnet", "Is it a CNN, a transformer or a hybrid?", ("a convolutional network",)),
    ("resnet", "Which variant of attention is implemented here?", ("This model has no attention",)),
    ("resnet", "Does the attention normalize its queries and keys?", ("no: This model has no attention",)),
    ("resnet", "How wide is the first convolution's kernel?", ("7",)),
    ("resnet", "Which pooling comes after the last convolution?", ("AdaptiveAvgPool2d",)),
    ("mistral", "By how many query heads is each key and value head shared?", ("4",)),
    ("mistral", "Which variant of attention is implemented here?", ("grouped-query attention",)),
    ("mistral", "Is there a gate in the feed-forward layers?", ("yes",)),
    ("mistral", "Are positions learned or rotary?", ("rotary",)),
]


@pytest.mark.parametrize(("topic", "scope", "question"), _ROWS, ids=[row[2] for row in _ROWS])
def test_a_wording_asks_for_its_topic(topic: str, scope: str, question: str) -> None:
    read = read_topic(question)
    assert read is not None and (read.topic, read.scope) == (topic, scope)


def test_every_topic_has_wordings_of_its_own() -> None:
    assert {topic for topic, _, _ in TOPICS} == {row[0] for row in _ROWS}


@pytest.mark.parametrize(
    "question",
    [
        "How many heads are in the first layer?",
        "Which activation do the layers not use?",
        "Is the head size equal to the hidden size?",
        "How many layers have two heads?",
        "How many feature maps do the convolutions give?",
        "What is the attention layer for?",
        "Which attention was used to train the blocks?",
        "How many heads are in the encoder and in the decoder?",
        "Can a position see later positions?",
    ],
)
def test_what_may_ask_for_something_else_is_not_read(question: str) -> None:
    assert read_topic(question) is None


@cache
def _answerer(name: str) -> Answerer:
    return Answerer(load_architecture(name), model=None)


@pytest.mark.parametrize(("name", "question", "answers"), _ANSWERS)
def test_answers_of_networks(name: str, question: str, answers: tuple[str, ...]) -> None:
    answered = _answerer(name).answer(question)
    assert (answered.basis, tuple(answer.text for answer in answered.answers)) == ("computed", answers)


@pytest.mark.parametrize(
    ("given", "true", "kind", "result"),
    [
        ("36,864 bytes per token (float16)", "36864", "kv_cache", "right"),
        ("36,864 bytes per token (float16)", "36865", "kv_cache", "wrong"),
        ("109,482,240", "110000000", "parameters", "right"),
        ("109,482,240", "100000000", "parameters", "wrong"),
        ("109,482,240", "110000000", "vocabulary", "wrong"),
        ("12,500", "13000", "parameters", "right"),
        ("64, 64, 64 by stage", "64", "head_size", "right"),
        ("64, 32 by stage", "64", "head_size", "wrong"),
        ("This model has no sliding window", "This model does not include a sliding window", "", "right"),
        ("This model has no sliding window", "This model does not include attention", "", "wrong"),
        ("no: This model has no convolutions", "This model does not include convolutions", "", "right"),
        ("no", "This model does not include convolutions", "", "wrong"),
        ("before each branch (pre-norm)", "before each branch", "norm_place", "right"),
    ],
)
def test_outcome(given: str, true: str, kind: str, result: str) -> None:
    answered = Answered("?", "computed", (Answer(given),))
    assert outcome(answered, {"answers": [true], "question_type": kind}) == result


def test_a_refusal_is_neither_right_nor_wrong() -> None:
    answered = SimpleNamespace(basis="cannot_tell", answers=())
    assert outcome(answered, {"answers": ["1"], "question_type": "depth"}) == "cannot_tell"
