"""Questions and descriptions of AutoNet: texts are unambiguous, labels are the facts', matched texts say nothing."""

from __future__ import annotations

import json
import random
from collections import Counter

import numpy as np
import pytest

from dataset_scripts.autonet.claims_autonet import CLAIM_TYPES, claims_hold, draw_claim, rounded_parameters, say_claim
from dataset_scripts.autonet.descriptions_autonet import matched_descriptions, paper_descriptions, say
from dataset_scripts.autonet.layer_phrases_autonet import LAYER_PHRASES
from dataset_scripts.autonet.questions_autonet import (
    SPLITS,
    all_intents,
    all_questions,
    question_forms,
    sample_question,
    sample_questions,
    truth_table,
)
from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.ops_archbert import ATTRIBUTE_INDEX, NUM_ATTRIBUTES
from processing_archbert.questions_archbert import ANSWERS, LAYER_NAMES, QUESTION_TYPES

_OPS = (
    "Conv2d", "Conv2d", "MaxPool2d", "AvgPool2d", "BatchNorm2d", "LayerNorm", "GroupNorm", "ReLU", "GELU", "SiLU",
    "Sigmoid", "Linear", "Linear", "add", "cat", "MultiheadAttention", "Upsample", "Softmax", "Conv1d", "Tanh",
)  # fmt: skip


def random_facts(seed: int) -> GraphFacts:
    """Facts of a random graph in which every node reads one or two earlier ones."""
    rng = random.Random(seed)
    repertoire = rng.sample(sorted(set(_OPS)), 9)
    ops = ["input", *rng.choices(repertoire, k=rng.randint(8, 40)), "output"]
    attributes, shapes = np.zeros((len(ops), NUM_ATTRIBUTES), np.int32), np.zeros((len(ops), 4), np.int32)
    for node, op in enumerate(ops):
        if op in ("Conv1d", "Conv2d", "MaxPool2d", "AvgPool2d"):
            kernel = rng.choice((1, 3, 5, 7))
            height = 1 if op == "Conv1d" else kernel
            attributes[node, [ATTRIBUTE_INDEX["kernel_h"], ATTRIBUTE_INDEX["kernel_w"]]] = height, kernel
            if op == "Conv2d":
                depthwise = rng.random() < 0.3
                shapes[node] = (16, 1 if depthwise else 16, height, kernel)
                attributes[node, ATTRIBUTE_INDEX["groups"]] = 16 if depthwise else 1
                dilation = 2 if rng.random() < 0.2 else 1
                attributes[node, [ATTRIBUTE_INDEX["dilation_h"], ATTRIBUTE_INDEX["dilation_w"]]] = dilation
    edges = [(node - 1, node) for node in range(1, len(ops))]
    edges += [(rng.randrange(node), node) for node in range(2, len(ops) - 1)]
    parameters = np.array([rng.randint(100, 90_000) for _ in ops])
    return GraphFacts(ArchitectureGraph.build(ops, edges, shapes, attributes, parameters))


@pytest.fixture(scope="module")
def all_facts() -> list[GraphFacts]:
    return [random_facts(seed) for seed in range(40)]


def test_every_layer_has_names_of_its_own() -> None:
    assert tuple(LAYER_PHRASES) == LAYER_NAMES
    names = Counter(name.lower() for phrases in LAYER_PHRASES.values() for name in phrases.names)
    assert max(names.values()) == 1
    assert all(layer.lower() in {n.lower() for n in LAYER_PHRASES[layer].names} for layer in LAYER_NAMES)


def test_every_text_of_a_question_has_one_intent() -> None:
    intents = all_intents()
    assert len(intents) == len(set(intents)) and {kind for kind, _ in intents} == set(QUESTION_TYPES)
    owner: dict[str, tuple[str, str]] = {}
    for intent in intents:
        for text in all_questions(*intent):
            assert owner.setdefault(text.lower(), intent) == intent


def test_some_forms_are_only_for_validation_and_test() -> None:
    for kind in QUESTION_TYPES:
        train, validation, test = (set(question_forms(kind, split)) for split in SPLITS)
        assert test == validation
        assert len(train) >= 8 and train < validation and 2 <= len(validation - train) <= 3
    train_texts = {text for intent in all_intents() for text in all_questions(*intent, split="train")}
    rng = random.Random(0)
    sampled = [sample_question(rng, *intent, split="validation") for intent in all_intents() for _ in range(20)]
    assert 0.1 < np.mean([text not in train_texts for text in sampled]) < 0.35


@pytest.mark.parametrize("split", SPLITS)
def test_35_different_questions_of_all_types_with_true_answers(all_facts: list[GraphFacts], split: str) -> None:
    present, asked = 0, 0
    for seed, facts in enumerate(all_facts):
        questions = sample_questions(random.Random(seed), facts, split=split)
        assert len({q.text for q in questions}) == 35
        assert {q.question_type for q in questions} == set(QUESTION_TYPES)
        assert questions == sample_questions(random.Random(seed), facts, split=split)
        for question in questions:
            assert question.answers == facts.answer(question.question_type, question.subject).value
            assert set(question.answers) <= set(ANSWERS)
            if question.question_type == "layer_function":
                present += bool(facts.nodes_of(question.subject))
                asked += 1
    assert 0.4 < present / asked < 0.6


def test_questions_to_an_incomplete_graph_are_refused(all_facts: list[GraphFacts]) -> None:
    row = all_facts[0].graph.to_row() | {"incomplete": ["text_tower"]}
    with pytest.raises(ValueError, match="text_tower"):
        sample_questions(random.Random(0), GraphFacts(ArchitectureGraph.from_row(row)))
    with pytest.raises(ValueError, match="no split"):
        sample_questions(random.Random(0), all_facts[0], split="zoo")


def test_truth_table_is_the_facts(all_facts: list[GraphFacts]) -> None:
    table = truth_table(all_facts[0])
    assert table == [all_facts[0].answer(*intent).value for intent in all_intents()]
    assert truth_table(all_facts[0], [("kernel_sizes", "")]) == [all_facts[0].answer("kernel_sizes").value]


@pytest.mark.parametrize("claim_type", CLAIM_TYPES)
def test_drawn_claims_are_true_and_can_be_said(all_facts: list[GraphFacts], claim_type: str) -> None:
    rng, drawn = random.Random(0), 0
    for facts in all_facts:
        claim = draw_claim(rng, facts, claim_type)
        if claim is not None:
            drawn += 1
            assert claims_hold(facts, [claim]) is True
            text = say(rng, [claim], clause_share=0.5)
            assert text.startswith("This ") and text.endswith(".") and "{" not in text
            assert say_claim(rng, claim)
    assert drawn > 20


def test_an_unknown_claim_type_is_named(all_facts: list[GraphFacts]) -> None:
    with pytest.raises(ValueError, match="'colour' is no claim type"):
        draw_claim(random.Random(0), all_facts[0], "colour")


@pytest.mark.parametrize(("count", "said"), [(1_183_462, 1_180_000), (38_449, 38_400), (999, 999)])
def test_parameters_are_said_with_three_digits(count: int, said: int) -> None:
    assert rounded_parameters(count) == said


def test_paper_descriptions_have_true_labels_and_the_papers_share(all_facts: list[GraphFacts]) -> None:
    labels = []
    for seed, facts in enumerate(all_facts):
        rows = paper_descriptions(random.Random(seed), facts)
        assert len(rows) in (10, 11) and len({row.text for row in rows}) == len(rows)
        for row in rows:
            claims = json.loads(row.claims)
            assert 1 <= len(claims) <= 4 and row.text.count(".") - row.text.count("0.") <= 6
            assert claims_hold(facts, claims) is bool(row.label)
            assert row.negative_kind == ("" if row.label else "paper") and row.group == ""
        labels += [row.label for row in rows]
    assert 0.25 < np.mean(labels) < 0.35


@pytest.mark.parametrize("size", [1, 2, 5, 20])
def test_small_groups_have_matched_descriptions_of_their_own(all_facts: list[GraphFacts], size: int) -> None:
    """Eight for each network where there is another one, and the same whatever other networks there are."""
    rows = matched_descriptions(random.Random(3), all_facts[:size])
    positive = Counter(index for index, row in rows if row.label)
    assert positive == ({} if size == 1 else dict.fromkeys(range(size), 8))
    fresh = [GraphFacts(facts.graph) for facts in all_facts[:size]]
    assert matched_descriptions(random.Random(3), fresh) == rows


def test_a_matched_text_is_once_true_and_once_false(all_facts: list[GraphFacts]) -> None:
    rows = matched_descriptions(random.Random(1), all_facts)
    assert rows == matched_descriptions(random.Random(1), all_facts)
    assert len(rows) > 0.95 * 8 * len(all_facts)
    by_text: dict[str, list[int]] = {}
    for index, row in rows:
        assert claims_hold(all_facts[index], json.loads(row.claims)) is bool(row.label)
        assert row.negative_kind == ("" if row.label else "matched") and row.group
        by_text.setdefault(row.text, []).append(row.label)
    assert all(sorted(labels) == [0, 1] for labels in by_text.values())
    groups = Counter(row.group for _, row in rows)
    assert set(groups.values()) == {2} and len(groups) == len(by_text)
    negatives = Counter(index for index, row in rows if not row.label)
    assert max(negatives.values()) <= 12
