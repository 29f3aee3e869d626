"""Captions of AutoNet: true, read back word for word, ordered, distinct; claims on the form of a graph by hand."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from dataset_scripts.autonet.caption_phrases_autonet import STYLES, CaptionVoice
from dataset_scripts.autonet.captions_autonet import LENGTHS, REFERENCES_PER_LENGTH, Caption, Sentence, say_caption
from dataset_scripts.autonet.captions_autonet import write_captions as write
from dataset_scripts.autonet.check_captions import CaptionTruth, check_caption
from dataset_scripts.autonet.generate_autonet import Order, sample_architecture
from dataset_scripts.autonet.layer_phrases_autonet import LAYER_PHRASES
from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.caption_reading_archbert import UnreadableCaptionError, read_caption, read_sentences
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.ops_archbert import ATTRIBUTE_INDEX, NUM_ATTRIBUTES

STYLES_OF_NETWORKS = ("residual_cnn", "two_towers", "decoder", "unet", "experts", "recurrent", "video", "audio")


def graph_of(nodes: list[tuple[str, Mapping[str, int], tuple[int, ...]]]) -> ArchitectureGraph:
    """A graph of (op, attributes and `out`, predecessors)."""
    attributes, shapes = np.zeros((len(nodes), NUM_ATTRIBUTES), np.int32), np.zeros((len(nodes), 4), np.int32)
    for row, (op, values, _) in enumerate(nodes):
        for name, value in values.items():
            if name == "out":
                shapes[row, :2] = value
            else:
                attributes[row, ATTRIBUTE_INDEX[name]] = value
        if op == "Conv2d":
            shapes[row, 2:] = values["kernel_h"], values["kernel_w"]
    edges = [(source, row) for row, (_, _, sources) in enumerate(nodes) for source in sources]
    parameters = np.full(len(nodes), 1000)
    return ArchitectureGraph.build([op for op, _, _ in nodes], edges, shapes, attributes, parameters)


def conv(out: int, kernel: int = 3, stride: int = 1) -> dict[str, int]:
    sides = {"kernel_h": kernel, "kernel_w": kernel, "stride_h": stride, "stride_w": stride}
    return sides | {"out": out, "groups": 1}


def residual_graph() -> ArchitectureGraph:
    """A stem, three residual blocks of a convolution and a ReLU, another convolution, and a linear layer."""
    nodes: list[tuple[str, Mapping[str, int], tuple[int, ...]]] = [("input", {}, ()), ("Conv2d", conv(8, 7, 2), (0,))]
    for _ in range(3):
        last = len(nodes) - 1
        nodes += [("Conv2d", conv(8), (last,)), ("ReLU", {}, (last + 1,)), ("add", {}, (last, last + 2))]
    last = len(nodes) - 1
    nodes += [("Conv2d", conv(16), (last,)), ("mean", {}, (last + 1,)), ("Linear", {"out": 10}, (last + 2,))]
    return graph_of([*nodes, ("output", {}, (last + 3,))])


@pytest.fixture(scope="module")
def facts() -> GraphFacts:
    return GraphFacts(residual_graph())


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ({"type": "families", "families": ["convolution"]}, True),
        ({"type": "families", "families": ["convolution", "attention"]}, False),
        ({"type": "input", "kind": "image"}, True),
        ({"type": "input", "kind": "tokens"}, False),
        ({"type": "num_inputs", "value": 1}, True),
        ({"type": "num_outputs", "value": 2}, False),
        ({"type": "first_layer", "layer": "Conv2d", "kernel": "7*7", "stride": 2, "out": 8}, True),
        ({"type": "first_layer", "layer": "Conv2d", "kernel": "3*3"}, False),
        ({"type": "last_layer", "layer": "Linear", "out": 10}, True),
        ({"type": "last_layer", "layer": "ReLU"}, False),
        ({"type": "depth", "value": 9}, True),
        ({"type": "depth", "value": 13}, False),
        ({"type": "category_count", "category": "convolution", "value": 5}, True),
        ({"type": "category_layers", "category": "activation", "layers": ["ReLU"]}, True),
        ({"type": "category_layers", "category": "activation", "layers": ["ReLU", "GELU"]}, False),
        ({"type": "kernel_sizes", "sizes": ["7*7", "3*3"]}, True),
        ({"type": "kernel_sizes", "sizes": ["3*3"]}, False),
        ({"type": "skip_connections", "op": "add", "value": 3}, True),
        ({"type": "skip_connections", "op": "cat", "value": 0}, True),
        ({"type": "repeated_block", "repeats": 3, "layers": {"ReLU": 1, "Conv2d": 1}}, True),
        ({"type": "repeated_block", "repeats": 3, "layers": {"ReLU": 1, "Conv2d": 1}, "stages": 2}, False),
        ({"type": "repeated_block", "repeats": 2, "layers": {"ReLU": 1, "Conv2d": 1}}, False),
        ({"type": "downsampling", "value": 1}, True),
        ({"type": "grouped", "value": 0}, True),
        ({"type": "heads", "values": [8]}, False),
        ({"type": "causal", "extent": "all"}, False),
        ({"type": "experts", "value": 4}, False),
    ],
)
def test_claims_on_the_form_by_hand_and_by_the_other_route(facts: GraphFacts, claim: Any, value: bool) -> None:
    assert facts.holds(claim).value is value
    assert CaptionTruth(facts.graph.to_networkx(), facts.graph.num_parameters).is_true(claim) is value


def test_attention_claims_speak_of_all_attention_layers() -> None:
    nodes: list[tuple[str, Mapping[str, int], tuple[int, ...]]] = [("input", {}, ()), ("Embedding", {"out": 50}, (0,))]
    for heads, causal in ((4, 1), (8, 0)):
        values = {"num_heads": heads, "num_kv_heads": 2, "causal": causal}
        nodes.append(("scaled_dot_product_attention", values, (len(nodes) - 1,)))
    facts = GraphFacts(graph_of([*nodes, ("output", {}, (3,))]))
    assert facts.holds({"type": "heads", "values": [8, 4]}).value is True
    assert facts.holds({"type": "heads", "values": [8]}).value is False
    assert facts.holds({"type": "kv_heads", "values": [2]}).value is True
    assert facts.holds({"type": "causal", "extent": "some"}).value is True
    assert facts.holds({"type": "input", "kind": "tokens"}).value is True


def test_an_addition_is_residual_only_over_a_layer() -> None:
    nodes = [("input", {}, ()), ("Linear", {"out": 4}, (0,)), ("mul", {}, (1,)), ("add", {}, (1, 2)),
             ("Linear", {"out": 4}, (3,)), ("add", {}, (3, 4)), ("output", {}, (5,))]  # fmt: skip
    facts = GraphFacts(graph_of(nodes))  # type: ignore[arg-type]
    assert facts.structure.skip_connections("add") == (1, (5,))


def test_what_misses_a_tower_leaves_claims_open() -> None:
    graph = residual_graph()
    partial = GraphFacts(ArchitectureGraph.from_dict(graph.to_dict() | {"incomplete": ["decoder"]}))
    assert partial.holds({"type": "skip_connections", "op": "add", "value": 3}).value is None
    assert partial.holds({"type": "families", "families": ["convolution"]}).value is True


@pytest.fixture(scope="module")
def written() -> list[tuple[GraphFacts, dict[str, Any], list[Caption]]]:
    found = []
    for index, style in enumerate(STYLES_OF_NETWORKS):
        sample = sample_architecture(Order(5, "train", index, style=style, size="tiny"))
        rows = sample.tables["captions"].to_pylist()
        captions = [Caption(row["text"], row["length"], row["style"], row["claims"]) for row in rows]
        found.append((GraphFacts(sample.graph), sample.tables["architectures"].to_pylist()[0], captions))
    return found


def test_every_caption_is_read_back_and_true_by_both_routes(written: Any) -> None:
    for facts, row, captions in written:
        truth = CaptionTruth(facts.graph.to_networkx(), facts.graph.num_parameters)
        for caption in captions:
            assert facts.all_hold(json.loads(caption.claims)) is True
            verdict = check_caption(caption._asdict(), truth)
            assert verdict.outcome == "agree", (row["style"], verdict.reason)


def test_lengths_styles_and_order(written: Any) -> None:
    for _, row, captions in written:
        assert [c.length for c in captions] == [name for name in LENGTHS for _ in range(REFERENCES_PER_LENGTH)]
        assert len({c.text for c in captions}) == len(captions) and {c.style for c in captions} == set(STYLES)
        sizes = {name: [len(json.loads(c.claims)) for c in captions if c.length == name] for name in LENGTHS}
        assert max(sizes["sentence"]) <= min(sizes["full"]), row["style"]
        for caption in captions:
            kinds = [claim["type"] for claim in json.loads(caption.claims)]
            assert len(read_sentences(caption.text)) == 1 or caption.length != "sentence"
            if "first_layer" in kinds and "last_layer" in kinds:
                assert kinds.index("parameters") < kinds.index("first_layer") < kinds.index("last_layer")


def test_inputs_are_those_of_the_network(written: Any) -> None:
    for facts, row, _ in written:
        entries = json.loads(row["network"])["inputs"]
        shown = facts.structure.input_kinds
        assert len(shown.get("tokens", ())) == sum(entry["kind"] == "tokens" for entry in entries)
        assert len(shown.get("image", ())) <= sum(entry["kind"] != "tokens" for entry in entries)


def test_captions_have_a_random_stream_of_their_own(written: Any) -> None:
    facts = written[0][0]
    assert write(random.Random(1), facts) == write(random.Random(1), facts) != write(random.Random(2), facts)


@pytest.mark.parametrize(("old", "new"), [("3 times", "4 times"), ("residual", "unusual"), ("7x7", "5x5")])
def test_the_checker_sees_a_wrong_word(facts: GraphFacts, old: str, new: str) -> None:
    claims = [
        {"type": "families", "families": ["convolution"]},
        {"type": "parameters", "value": facts.graph.num_parameters},
        {"type": "first_layer", "layer": "Conv2d", "kernel": "7*7"},
        {"type": "repeated_block", "repeats": 3, "layers": {"Conv2d": 1, "ReLU": 1}},
        {"type": "skip_connections", "op": "add", "value": 3},
    ]
    text, said = say_caption(
        CaptionVoice(random.Random(0), "technical"), [Sentence(claims[:2]), *(Sentence([c]) for c in claims[2:])]
    )
    assert said == claims and old in text
    truth = CaptionTruth(facts.graph.to_networkx(), facts.graph.num_parameters)
    row = {"text": text, "claims": json.dumps(claims)}
    assert check_caption(row, truth).outcome == "agree"
    assert check_caption(row | {"text": text.replace(old, new)}, truth).outcome != "agree"
    wrong = json.loads(json.dumps(claims).replace('"repeats": 3', '"repeats": 4'))
    text, _ = say_caption(CaptionVoice(random.Random(0), "technical"), [Sentence(wrong[:2]), Sentence(wrong[3:4])])
    stated = {"text": text, "claims": json.dumps(wrong[:2] + wrong[3:4])}
    assert check_caption(stated, truth).outcome == "disagree"


@pytest.mark.parametrize("value", [0, 7, 999, 1000, 99_900, 100_000, 3_210_000, 999_000_000, 10**9, 1_590_000_000])
def test_every_number_of_parameters_is_read(value: int) -> None:
    claim = {"type": "parameters", "value": value}
    assert read_caption(f"It has {CaptionVoice(random.Random(0), 'plain').noun_phrase(claim)}.") == [claim]


@pytest.mark.parametrize("values", [[1], [2, 4], [1, 13, 40]])
def test_attention_is_read(values: list[int]) -> None:
    for kind in ("heads", "kv_heads", "window"):
        claim = {"type": kind, "values": values}
        for style in STYLES:
            assert read_caption(f"It {CaptionVoice(random.Random(0), style).verb_phrase(claim)}.") == [claim]


def test_two_ends_and_the_number_of_outputs_share_a_sentence() -> None:
    text = "It ends with a ReLU activation, with a linear layer with 5 output features and has two outputs."
    claims = read_caption(text)
    assert [c["type"] for c in claims] == ["last_layer", "last_layer", "num_outputs"]


@pytest.mark.parametrize("layer", list(LAYER_PHRASES))
def test_every_name_of_a_layer_is_read(layer: str) -> None:
    for style in STYLES:
        for seed in range(6):
            voice = CaptionVoice(random.Random(seed), style)
            for claim in ({"type": "contains", "layer": layer}, {"type": "count", "layer": layer, "value": 1}):
                assert read_caption(f"It {voice.verb_phrase(claim)}.") == [claim]


@pytest.mark.parametrize(
    "text",
    ["", "It is good", "It has 3 heads.", "It has three frobnication layers.", "The network is nice.",
     "A cat with hats.", "It has " + ", ".join(["two inputs"] * 500) + ".", "It has about 1.2.3 million parameters."],
)  # fmt: skip
def test_other_english_is_refused(text: str) -> None:
    with pytest.raises(UnreadableCaptionError):
        read_caption(text)
