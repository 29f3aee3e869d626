"""`aqa_hard`: facts of small graphs by hand, views that hide what they say, questions that the checker reads back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dataset_scripts.autonet.check_hard import check_row, pair_problems, truth_of_view
from dataset_scripts.autonet.check_hard_reading import read_hard_question
from dataset_scripts.autonet.check_reading import UnreadableError
from dataset_scripts.autonet.generate_autonet import Order, sample_architecture
from dataset_scripts.autonet.hard_facts_autonet import POSITIONS, HardFacts, is_round_size, two_digits
from dataset_scripts.autonet.hard_forms_autonet import hard_forms, say_question, unknowable_topics
from dataset_scripts.autonet.hard_questions_autonet import hard_answers, hard_row, sample_hard_questions
from dataset_scripts.autonet.hard_types_autonet import CANNOT_TELL, HARD_TYPES, SETTINGS, UNKNOWABLE_TYPE
from dataset_scripts.autonet.hard_views_autonet import VIEWS, all_views, view_of
from dataset_scripts.autonet.measure_hard import (
    Material,
    bucket_ceilings,
    ceilings,
    digest,
    fresh_network,
    markdown,
    measure,
    priors,
    rewired_twin,
)
from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.graph_features_archbert import ArchBertGraphFeatureExtractor, bucket
from processing_archbert.tracing_archbert import trace


class Block(nn.Module):
    """A convolution, a normalization and an activation, added to what went in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 8, H, W) to the same."""
        return x + self.act(self.norm(self.conv(x)))


def network() -> nn.Module:
    """A stem, four equal blocks and a head."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 7), nn.GELU(), *(Block() for _ in range(4)), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 100),
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def views() -> dict[str, ArchitectureGraph]:
    module = network()
    return all_views(trace(module, torch.zeros(1, 3, 32, 32), name="a"), module)


@pytest.fixture(scope="module")
def facts(views: dict[str, ArchitectureGraph]) -> HardFacts:
    return HardFacts(views["full"])


@pytest.fixture(scope="module")
def samples() -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    made = {}
    for split in ("train", "validation"):
        for index in range(3):
            tables = sample_architecture(Order(7, split, index, size="tiny")).tables
            made[f"{split}{index}"] = tables["architectures"].to_pylist()[0], tables["aqa_hard"].to_pylist()
    return made


@pytest.mark.parametrize(
    ("question_type", "subject", "answer"),
    [
        ("count", ("BatchNorm2d",), "4"),
        ("count_category", ("convolution",), "5"),
        ("count_kernel", ("3*3",), "4"),
        ("exceeds", ("ReLU", "3"), "yes"),
        ("exceeds", ("ReLU", "4"), "no"),
        ("difference", ("Conv2d", "Linear"), "4"),
        ("after", ("Conv2d", "first"), "GELU"),
        ("after", ("ReLU", "last"), "add"),
        ("after", ("LSTM", "last"), "This model does not include LSTM"),
        ("before", ("Conv2d", "first"), "input"),
        ("before", ("BatchNorm2d", "third"), "Conv2d"),
        ("depth_of", ("Conv2d", "second"), "3"),
        ("longest_path", (), "21"),
        ("block_after", ("Conv2d", "third"), "BatchNorm2d"),
        ("block_repeats", (), "4"),
        ("block_layers", (), "3"),
        ("skip_count", (), "4"),
        ("skip_span", ("second to last",), "3"),
        ("parameters", (), "4500"),
        ("parameters_exceed", ("4000",), "yes"),
        ("heaviest", (), "Conv2d"),
        ("width", ("Conv2d", "last"), "8"),
        ("extreme_width", ("Linear", "largest"), "100"),
        ("kernel", ("Conv2d", "first"), "7*7"),
        ("setting", ("heads",), "This model does not include an attention layer"),
    ],
)
def test_answers_about_a_small_network(
    facts: HardFacts, question_type: str, subject: tuple[str, ...], answer: str
) -> None:
    assert hard_answers(facts, question_type, subject) == (answer,)


def test_a_skip_connection_names_the_layers_that_it_bypasses(facts: HardFacts) -> None:
    assert hard_answers(facts, "skip_layers", ("first",)) == ("BatchNorm2d", "Conv2d", "ReLU")
    assert tuple(skip.add for skip in facts.skips) == facts.facts.structure.skip_connections("add")[1]


def test_what_is_not_settled_has_no_answer() -> None:
    ops = ["input", "ReLU", "ReLU", "add", "output"]
    facts = HardFacts(ArchitectureGraph.build(ops, [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)]))
    assert facts.at("ReLU", "first") is None and facts.at("ReLU", "third") is None
    assert not facts.skips and facts.main_block is None
    assert hard_answers(facts, "after", ("ReLU", "last")) is None


def test_every_bucket_has_one_number_that_is_asked_for() -> None:
    numbers = np.arange(1, 4097)
    asked = [int(n) for n in numbers if is_round_size(int(n))]
    assert np.unique(bucket(np.array(asked))).tolist() == np.unique(bucket(numbers)).tolist()
    assert len(np.unique(bucket(np.array(asked)))) == len(asked)
    assert {8, 31, 48, 64, 72, 96, 512, 768} <= set(asked) and not {33, 50, 100, 1000} & set(asked)


def test_sizes_that_the_tokens_do_not_show_exactly_are_not_asked_for() -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.Conv2d(8, 100, 3), nn.Conv2d(100, 96, 3), nn.Conv2d(96, 99, 3)]
    module = nn.Sequential(*layers).eval()
    facts = HardFacts(trace(module, torch.zeros(1, 3, 32, 32)))
    rng = random.Random(0)
    widths, extremes = ({HARD_TYPES[name].draw(rng, facts) for _ in range(60)} for name in ("width", "extreme_width"))
    assert widths == {("Conv2d", position) for position in ("first", "third", "second to last")}
    assert extremes == {("Conv2d", "smallest")}


def test_the_checker_objects_to_sizes_that_are_not_asked_for() -> None:
    graph = trace(nn.Sequential(nn.Conv2d(3, 100, 3), nn.Conv2d(100, 96, 3)).eval(), torch.zeros(1, 3, 32, 32))
    common = {"question_type": "extreme_width", "view": "full", "answer_type": "number"}
    for which, answer, outcome in (("largest", "100", "disagree"), ("smallest", "96", "agree")):
        question = f"over all 2d convolution layers of this model, what is the {which} output width?"
        truth = truth_of_view({"arch_id": "a", **graph.to_row()}, "full")
        assert check_row(common | {"question": question, "answers": [answer]}, truth).outcome == outcome


def test_two_digits_are_rounded_half_up() -> None:
    assert [two_digits(n) for n in (7, 99, 124, 125, 995, 23_456_789)] == [7, 99, 120, 130, 1000, 23_000_000]


def test_views_hide_and_say_so(views: dict[str, ArchitectureGraph]) -> None:
    full, bare, plain, header = (views[view] for view in VIEWS)
    assert not bare.num_edges and not bare.has_data_flow and sorted(bare.op_types) == sorted(full.op_types)
    assert list(bare.op_types) == sorted(bare.op_types) and bare.num_parameters == full.num_parameters
    assert not plain.attributes.any() and not plain.shapes.any() and not plain.num_parameters and plain.incomplete
    assert plain.topology_hash == full.topology_hash
    assert not header.has_data_flow and header.num_parameters == full.num_parameters and "ReLU" not in header.op_types
    assert not any(GraphFacts(g).answer("pooling_types").value for g in (bare, header))
    assert all(ArchBertGraphFeatureExtractor().encode(view).num_tokens for view in views.values())


def test_a_view_is_made_again_from_its_row(samples: dict[str, Any]) -> None:
    row = samples["train0"][0]
    header = view_of(row, "header")
    assert header.num_parameters == row["num_parameters"] and not header.has_data_flow
    assert view_of(row, "full").graph_hash == row["graph_hash"]
    with pytest.raises(ValueError, match="no_weights"):
        view_of(row, "no_weights")


def test_rows_of_generated_networks_agree_with_the_checker(samples: dict[str, Any]) -> None:
    for row, questions in samples.values():
        assert 12 <= len(questions) <= 20
        assert not pair_problems(questions)
        for question in questions:
            verdict = check_row(question, truth_of_view(row, question["view"]))
            assert verdict.outcome == "agree", verdict.reason


def test_the_checker_objects_to_wrong_answers(samples: dict[str, Any]) -> None:
    row, questions = samples["train1"]
    for question in questions:
        told = question["answer_type"] == "cannot_tell"
        wrong = question | ({"answers": ["12345"], "answer_type": "number"} if told else {"answers": [CANNOT_TELL]})
        assert check_row(wrong, truth_of_view(row, question["view"])).outcome == "disagree"
    told = [q for q in questions if q["group"] and q["answer_type"] != "cannot_tell"]
    assert pair_problems(told)


def test_half_of_the_pairs_cannot_be_told(samples: dict[str, Any]) -> None:
    rows = [question for _, questions in samples.values() for question in questions]
    paired = [row for row in rows if row["group"]]
    assert len(paired) > 20
    assert sum(row["answer_type"] == "cannot_tell" for row in paired) * 2 == len(paired)
    alone = [row for row in rows if not row["group"] and row["answer_type"] == "cannot_tell"]
    assert {row["question_type"] for row in alone} == {UNKNOWABLE_TYPE}


def _subjects(question_type: str) -> list[tuple[str, ...]]:
    special: dict[str, list[tuple[str, ...]]] = {
        "count": [("LSTM",)], "count_category": [("pooling",)], "count_kernel": [("1*7",)],
        "exceeds": [("GELU", "12")], "difference": [("Linear", "Embedding")],
        "setting": [(name,) for name in SETTINGS], "extreme_width": [("Conv1d", "smallest")],
        "parameters_exceed": [("2300000",), ("45000",), ("1900000000000",)],
    }  # fmt: skip
    positions: list[tuple[str, ...]] = [(position,) for position in POSITIONS]
    if question_type in special:
        return special[question_type]
    if question_type.startswith("skip_") and question_type != "skip_count":
        return positions
    layered = ("after", "before", "depth_of", "block_after", "width", "kernel")
    return [("Conv2d", *p) for p in positions] if question_type in layered else [()]


@pytest.mark.parametrize("question_type", list(HARD_TYPES))
def test_every_form_is_read_as_it_was_meant(question_type: str) -> None:
    rng = random.Random(0)
    for subject in _subjects(question_type):
        held_out = set(hard_forms(question_type, subject, "validation")) - set(
            hard_forms(question_type, subject, "train")
        )
        assert held_out
        assert hard_forms(question_type, subject, "test") == hard_forms(question_type, subject, "validation")
        for _ in range(25):
            text = say_question(rng, question_type, subject, "validation")
            reading = read_hard_question(text)
            assert (reading.kind, reading.details) == (question_type, subject), text


def test_what_no_graph_shows_is_read_as_such() -> None:
    assert set(unknowable_topics("validation")) > set(unknowable_topics("train"))
    for topic in unknowable_topics("validation"):
        for form in hard_forms(UNKNOWABLE_TYPE, (topic,), "train"):
            assert read_hard_question(form.format(net="this model")).kind == UNKNOWABLE_TYPE
    with pytest.raises(UnreadableError):
        read_hard_question("what is the colour of this model?")


def test_questions_depend_on_nothing_but_the_seed(views: dict[str, ArchitectureGraph]) -> None:
    rows = [[hard_row("a", q) for q in sample_hard_questions(random.Random(s), views)] for s in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]
    with pytest.raises(ValueError, match="header"):
        sample_hard_questions(random.Random(0), {"full": views["full"]})


def test_measures_know_what_a_question_gives_away(views: dict[str, ArchitectureGraph]) -> None:
    def row(answer: str, view: str) -> dict[str, Any]:
        return {"arch_id": "a", "view": view, "question_type": "count", "subject": "ReLU", "answers": [answer],
                "group": ""}  # fmt: skip

    train, validation = [row("1", "full"), row("1", "full"), row("2", "full")], [row("1", "full"), row("2", "full")]
    assert priors(train, validation) == {"count": 0.5}
    extractor = ArchBertGraphFeatureExtractor()
    digests = {("a", view): digest(graph, extractor) for view, graph in views.items()}
    assert len(set(digests.values())) == len(VIEWS)
    assert ceilings(train, digests) == {"count": pytest.approx(2 / 3)}
    assert ceilings([row("1", "full"), row(CANNOT_TELL, "header")], digests) == {"count": 1.0}
    sizes = [row(size, "full") | {"question_type": "width", "answer_type": "number"} for size in ("96", "96", "98")]
    assert bucket_ceilings(sizes) == {"width": pytest.approx(2 / 3)}
    assert (
        markdown([{"type": "count", "rows": 3, "prior_rows": 2, "prior": 0.5}]).splitlines()[-1]
        == "| count | 3 | 50.0 |"
    )


def test_networks_are_drawn_to_be_measured() -> None:
    train, validation = (fresh_network(Order(7, split, 0, size="tiny")) for split in ("train", "validation"))
    assert train.train and not train.validation and validation.validation and not validation.train
    assert train == fresh_network(Order(7, "train", 0, size="tiny"))
    table = measure(Material(train.train, validation.validation, {**train.digests, **validation.digests}))
    assert sum(line["rows"] for line in table) == len(train.train) + len(validation.validation)
    assert {line["prior"] for line in table if line["type"] == UNKNOWABLE_TYPE} == {1.0}
    assert all(0 <= line["prior"] <= 1 and line["ceiling"] == 1 for line in table)


def test_a_rewired_twin_has_the_same_encoding() -> None:
    ops = ["input", *["ReLU"] * 4, "add", "add", "output"]
    edges = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (1, 5), (4, 6), (2, 6), (5, 7), (6, 7)]
    graph, extractor = ArchitectureGraph.build(ops, edges), ArchBertGraphFeatureExtractor(num_fold_rounds=1)
    twin = rewired_twin(graph, extractor, random.Random(0))
    assert twin is not None and twin.edge_index.tolist() != graph.edge_index.tolist()
    assert digest(twin, extractor) == digest(graph, extractor)
