"""Checked captions: nothing that the graph contradicts is left, what is right stays, and every claim has its basis."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from dataset_scripts.autonet.captions_autonet import write_captions
from dataset_scripts.autonet.generate_autonet import Order, sample_architecture
from processing_archbert.caption_checking_archbert import COMPUTED, PREDICTED, check_caption, read_claims
from processing_archbert.caption_mending_archbert import mended_claim, say_claim
from processing_archbert.caption_reading_archbert import Claim, read_caption, read_parts
from processing_archbert.graph_facts_archbert import GraphFacts

STYLES = ("residual_cnn", "two_towers", "decoder", "unet", "experts", "recurrent", "video", "audio")
KIND = ("families", "input")


@pytest.fixture(scope="module")
def networks() -> list[GraphFacts]:
    orders = [Order(11, "train", number, style=style, size="tiny") for number, style in enumerate(STYLES)]
    return [GraphFacts(sample_architecture(order).graph) for order in orders]


def captions_of(facts: GraphFacts) -> list[tuple[str, list[Claim]]]:
    return [(one.text, json.loads(one.claims)) for one in write_captions(random.Random(3), facts)]


def test_a_right_caption_stays_as_it_is(networks: list[GraphFacts]) -> None:
    for facts in networks:
        for text, claims in captions_of(facts):
            checked = check_caption(text, facts)
            assert (checked.text, checked.removed) == (text, [])
            assert [one.claim for one in checked.claims] == claims == [one.claim for one in read_claims(text)]
            assert {(one.basis, one.mended) for one in checked.claims} == {(COMPUTED, False)}
            assert all(one.text in text for one in checked.claims)
            assert {one.basis for one in read_claims(text)} == {PREDICTED}


def test_nothing_wrong_is_left_of_the_caption_of_another_network(networks: list[GraphFacts]) -> None:
    mended = removed = 0
    for number, facts in enumerate(networks):
        for text, _ in captions_of(networks[number - 1]):
            checked = check_caption(f"{text} It is a nice network.", facts)
            said = read_caption(checked.text)
            assert said == [one.claim for one in checked.claims] and said
            assert all(facts.holds(claim).value for claim in said)
            assert "It is a nice network." in checked.removed
            mended += sum(one.mended for one in checked.claims)
            removed += len(checked.removed) - 1
    assert mended > 100 and removed > 20


def test_a_wrong_number_is_put_right_and_the_rest_stays(networks: list[GraphFacts]) -> None:
    facts = networks[0]
    layers, convolutions = facts.num_layers().value, facts.count("Conv2d").value
    wrong = f"It has {layers + 1} layers in total and {convolutions} Conv2d layers."
    checked = check_caption(wrong, facts)
    assert checked.text == f"It has {layers} layers in total and {convolutions} Conv2d layers."
    assert [one.mended for one in checked.claims] == [True, False]
    parts = read_parts("The model  ends with a Linear layer, has two outputs and no pooling layers.")
    assert [parts.sentence[phrase.start : phrase.end] for phrase in parts.phrases] == [
        "ends with a Linear layer", "has two outputs", "no pooling layers",
    ]  # fmt: skip
    assert [phrase.bare for phrase in parts.phrases] == [False, False, True]


def test_of_a_sentence_that_cannot_be_read_the_beginning_is_kept(networks: list[GraphFacts]) -> None:
    layers = networks[0].num_layers().value
    checked = check_caption(f"It has 1 layer in total, colours and fun. It has {layers} layers in total.", networks[0])
    assert checked.text == f"It has {layers} layers in total."
    assert checked.removed == ["colours and fun.", f"has {layers} layers in total"]


def test_what_nothing_is_left_of_is_named_by_what_it_is(networks: list[GraphFacts]) -> None:
    for facts in networks:
        checked = check_caption("Nice!", facts)
        assert checked.removed == ["Nice!"] and checked.claims
        assert read_caption(checked.text) == [one.claim for one in checked.claims]
        assert all(facts.holds(one.claim).value for one in checked.claims)


def test_every_claim_can_be_said_and_is_read_back(networks: list[GraphFacts]) -> None:
    said = set()
    for facts in networks:
        for _, claims in captions_of(facts):
            for claim in claims:
                if claim["type"] not in KIND:
                    assert read_caption(f"It {say_claim(claim, bare=False)}.") == [claim]
                    said.add(claim["type"])
    assert len(said) >= 17


def test_mended_claims_hold(networks: list[GraphFacts]) -> None:
    wrong: list[Claim] = [
        {"type": "depth", "value": 1}, {"type": "parameters", "value": 3}, {"type": "num_inputs", "value": 9},
        {"type": "kernel_sizes", "sizes": ["9*9"]}, {"type": "most_frequent", "layer": "Bilinear"},
        {"type": "last_layer", "layer": "Bilinear"}, {"type": "count", "layer": "Bilinear", "value": 3},
        {"type": "causal", "extent": "some"}, {"type": "follows", "layer": "Bilinear", "after": "Bilinear"},
    ]  # fmt: skip
    for facts in networks:
        for claim in wrong:
            right = mended_claim(claim, facts)
            assert right is None or facts.holds(right).value is True
        assert mended_claim(wrong[0], facts) == {"type": "depth", "value": facts.structure.depth[0]}
        assert mended_claim(wrong[6], facts) is None and mended_claim(wrong[8], facts) is None


def test_what_an_incomplete_graph_leaves_open_is_the_models_alone(networks: list[GraphFacts]) -> None:
    partial = GraphFacts(replace(networks[0].graph, incomplete=("decoder",)))
    checked = check_caption("It has 3 layers in total.", partial)
    assert checked.text == "It has 3 layers in total." and checked.claims[0].basis == PREDICTED
