"""`ArchBertConfig`: strictness, presets, derived fields, saving and loading."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, BertConfig

from modeling_archbert import ArchBertConfig

SPECIALS = ["[PAD]", "[UNK]", "[MASK]", "[GRAPH]"]


def test_defaults_are_the_papers_method() -> None:
    config, paper = ArchBertConfig(), ArchBertConfig.from_preset("paper")
    assert isinstance(paper.text_config, BertConfig)
    assert (paper.hidden_size, paper.text_config.num_hidden_layers) == (768, 12)
    assert (paper.fusion, paper.similarity_loss, paper.pooling) == ("product", "mse", "mean")
    assert (paper.mam_loss_weight, paper.mam_probability, paper.max_nodes) == (5e-2, 0.15, 512)
    extensions = ("use_attributes", "use_node_features", "use_graph_token", "use_block_tokens", "use_op_histogram")
    for name in (*extensions, "use_copy"):
        assert getattr(config, name) is False and getattr(paper, name) is False
        assert getattr(ArchBertConfig.from_preset("mini"), name) is True


@pytest.mark.parametrize(("name", "width", "layers"), [("paper", 768, 12), ("small", 384, 6), ("mini", 256, 4)])
def test_presets_have_their_sizes_and_take_overrides(name: str, width: int, layers: int) -> None:
    config = ArchBertConfig.from_preset(name, num_ops=99, text_config={"vocab_size": 1234})
    assert isinstance(config.text_config, BertConfig)
    assert (config.hidden_size, config.text_config.num_hidden_layers) == (width, layers)
    assert (config.num_ops, config.text_config.vocab_size) == (99, 1234)


def test_an_unknown_preset_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"'large'.*'paper', 'small', 'mini'"):
        ArchBertConfig.from_preset("large")


def test_labels_and_vocabulary_are_derived() -> None:
    config = ArchBertConfig(ops=[*SPECIALS, "Conv2d"], id2label={0: "a", 1: "b", 2: "c"})
    assert (config.num_ops, config.num_labels, config.label2id) == (5, 3, {"a": 0, "b": 1, "c": 2})


def test_round_trip_through_json(tmp_path: Path) -> None:
    config = ArchBertConfig.from_preset(
        "mini",
        ops=[*SPECIALS, "Conv2d", "ReLU"],
        id2label={0: "Conv2d", 1: "3*3"},
        answer_links=[[4, -1, -1, 3, 0], [-1, 3, 3, 0, 1]],
        answer_scale=1.5,
        similarity_scale=7.0,
        problem_type="multi_label_classification",
    )
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is ArchBertConfig
    assert {**loaded.to_dict(), "_name_or_path": ""} == config.to_dict()


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        ({"num_gat_layers": 3, "num_fold_rounds": 2}, ("2", "3")),
        ({"gat_heads": 5}, ("768", "5")),
        ({"fusion_heads": 7}, ("768", "7")),
        ({"pooling": "attention", "num_pooling_queries": 9}, ("768", "9")),
        ({"text_config": {"hidden_size": 100, "num_attention_heads": 12}}, ("100", "12")),
        ({"num_ops": 4}, ("4", "4")),
        ({"mam_probability": 1.5}, ("1.5", "1")),
        ({"num_labels": 3, "answer_links": [[0, 0, 0, 0, 0]]}, ("1", "3")),
        ({"num_labels": 1, "answer_links": [[300, 0, 0, 0, 0]]}, ("300", "256")),
        ({"num_labels": 1, "answer_links": [[3, 0, 0]]}, ("3", "5")),
        ({"num_labels": 1, "answer_links": [[3, 0, 0, 4, 0]]}, ("4", "3")),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_both_numbers(fields: dict, numbers: tuple[str, str]) -> None:
    with pytest.raises((ValueError, StrictDataclassError)) as caught:
        ArchBertConfig(**fields)
    assert all(number in str(caught.value) for number in numbers)


@pytest.mark.parametrize(
    "fields",
    [
        {"num_gat_layers": "two"},
        {"fusion": "sum"},
        {"pooling": "max"},
        {"similarity_loss": "cosine"},
        {"fold_direction": "successors"},
        {"use_shapes": 1},
        {"ops": "Conv2d"},
        {"answer_links": [["Conv2d"]]},
        {"text_config": 3},
    ],
)
def test_values_of_a_wrong_type_are_refused(fields: dict) -> None:
    with pytest.raises((TypeError, ValueError, StrictDataclassError)):
        ArchBertConfig(**fields)


@pytest.mark.parametrize("ops", [["Conv2d"] * 5, [*SPECIALS, "ReLU", "ReLU"], ["[UNK]", *SPECIALS]])
def test_a_vocabulary_without_specials_or_with_a_name_twice_is_refused(ops: list[str]) -> None:
    with pytest.raises((ValueError, StrictDataclassError), match="ops"):
        ArchBertConfig(ops=ops)


def test_a_histogram_needs_the_token_that_carries_it() -> None:
    with pytest.raises((ValueError, StrictDataclassError), match="use_graph_token"):
        ArchBertConfig(use_op_histogram=True)
