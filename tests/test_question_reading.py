"""Questions are read with certainty or not at all, and answered from the graph."""

from __future__ import annotations

import random

import pytest
from transformers import LlamaConfig, MixtralConfig

from dataset_scripts.autonet.hard_forms_autonet import _FORMS as HARD_FORMS
from dataset_scripts.autonet.questions_autonet import all_intents, all_questions
from processing_archbert import ArchitectureGraph, load_architecture
from processing_archbert.computed_answers_archbert import computed_answer, contradicted
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.graph_towers_archbert import _merged
from processing_archbert.network_numbers_archbert import NetworkNumbers
from processing_archbert.question_reading_archbert import names_something, read_question

LLAMA = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 2,
         "intermediate_size": 96, "vocab_size": 300}  # fmt: skip
FILLED = {"net": "this model", "layer": "2d max pooling layer", "a_layer": "a 2d max pooling layer",
          "layers": "2d max pooling layers", "others": "ReLU activation functions", "category": "pooling layers",
          "position": "second", "n": "4", "size": "3*3"}  # fmt: skip
COUNTS = ("count", "count_category")


@pytest.fixture(scope="module")
def llama() -> ArchitectureGraph:
    return load_architecture(LlamaConfig(**LLAMA), costs=True)


def test_wordings_of_the_data_set_are_never_read_as_another_question() -> None:
    asked = read = 0
    for question_type, subject in all_intents():
        wordings = list(all_questions(question_type, subject))
        for text in random.Random(0).sample(wordings, min(12, len(wordings))):
            found = read_question(text)
            asked += 1
            read += found is not None
            assert found is None or tuple(found) == ("closed", question_type, subject), text
    assert read > 0.8 * asked


def test_questions_of_order_and_number_are_left_to_others() -> None:
    """A reader that overlooks "the second" or "more than" would answer another question."""
    for question_type, (forms, others) in HARD_FORMS.items():
        for form in (*forms, *others):
            found = read_question(form.format(**FILLED))
            assert found is None or (question_type in COUNTS and found.kind == "count"), form


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("How many layers does it have?", ("2",)),
        ("What is the number of attention heads?", ("8",)),
        ("how many key-value heads are used", ("2",)),
        ("What is the hidden size of this network?", ("64",)),
        ("How large is the vocabulary?", ("300",)),
        ("What is the intermediate size?", ("96",)),
        ("How large is one attention head?", ("8",)),
        ("How many experts does it have?", ("This model has no experts",)),
        ("Does the model use rotary position embeddings?", ("yes",)),
        ("Is it decoder-only?", ("yes",)),
        ("Does it have batch normalization?", ("no",)),
        ("Is there any convolution in this network?", ("no",)),
        ("Which normalization layers are used?", ("RMSNorm",)),
        ("How many Linear layers are there?", ("14",)),
        ("Does it use grouped-query attention?", ("yes",)),
        ("How many bytes does the KV cache take per token?", ("128 bytes per token (float16)",)),
    ],
)
def test_answers_are_computed(llama: ArchitectureGraph, question: str, answers: tuple[str, ...]) -> None:
    found = computed_answer(NetworkNumbers(llama), question)
    assert found is not None and found.basis == "computed" and found.answers == answers


@pytest.mark.parametrize(
    "question",
    ["Which optimizer was used?", "What is the licence?", "Who trained it?", "What accuracy does it reach?",
     "On which dataset was it trained?", "Which dropout rate is used?"],
)  # fmt: skip
def test_what_no_graph_shows_is_not_told(llama: ArchitectureGraph, question: str) -> None:
    found = computed_answer(NetworkNumbers(llama), question)
    assert found is not None and found.basis == "cannot_tell" and not found.answers and found.reason


def test_evidence_shows_the_answer(llama: ArchitectureGraph) -> None:
    found = computed_answer(NetworkNumbers(llama), "How many attention heads are there?")
    assert found is not None
    assert {llama.op_types[n] for n in found.nodes} == {"scaled_dot_product_attention"} and len(found.nodes) == 2


def test_experts_of_a_sparse_network() -> None:
    config = MixtralConfig(**LLAMA, num_local_experts=4, num_experts_per_tok=2)
    numbers = NetworkNumbers(load_architecture(config))
    for question, answer in (("How many experts are there?", "4"), ("How many experts per token?", "2")):
        found = computed_answer(numbers, question)
        assert found is not None and found.answers == (answer,)


def test_what_a_graph_contradicts(llama: ArchitectureGraph) -> None:
    facts = GraphFacts(llama)
    assert not any(contradicted(facts, answer) for answer in ("SiLU", "RMSNorm", "This model does not include Conv2d"))
    refuted = ("MaxPool2d", "3*3", "keeping the largest value of each patch of the feature map",
               "This model does not include RMSNorm", "This model does not include an activation layer")  # fmt: skip
    assert all(contradicted(facts, answer) for answer in refuted)


def test_other_languages_name_nothing() -> None:
    assert names_something("Which pooling is used?")
    assert not names_something("Quelle est la couleur du ciel ?") and not names_something("")


def test_stacks_of_one_tower_may_have_one_window_or_several() -> None:
    assert _merged([((128, 3), (0, 2)), 0]) == ((128, 3), (0, 2))
    assert _merged([0, 0]) == 0 and _merged([7, 0]) == 7
