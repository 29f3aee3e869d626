"""The question answering pipeline: forms of input, numbers of answers, batches, and bad input."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_checkpoint import tiny_release
from torch import nn
from transformers import BertConfig, Pipeline

import archbert
from processing_archbert import ArchBertProcessor, ArchitectureGraph, sources_archbert, trace, tracing_archbert
from processing_archbert.questions_archbert import absent, consistent

QUESTION = "Which pooling is used?"
QUESTIONS = [QUESTION, "Which activation functions does it have?", "What are the kernel sizes of the Conv2d layers?"]
ARCHITECTURES_WITH_INPUTS = ((3, 8), (16, 12), (8, 30))


def network(channels: int = 4, size: int = 16) -> tuple[nn.Module, torch.Tensor]:
    """A small convolutional network and an input for it."""
    layers = [nn.Conv2d(3, channels, 3), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(channels, channels, 1) for _ in range(size // 8)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2)), torch.zeros(
        1, 3, size, size
    )


def small_bert() -> BertConfig:
    """The config of a BERT that traces in no time."""
    return BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=99)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Pipeline:
    return archbert.pipeline(model=str(folder), device="cpu")


def items() -> list[dict[str, Any]]:
    """Three architectures of different size with one question each."""
    built = [network(*sizes) for sizes in ARCHITECTURES_WITH_INPUTS]
    return [
        {"architecture": module, "inputs": inputs, "question": question}
        for (module, inputs), question in zip(built, QUESTIONS, strict=True)
    ]


def assert_equal(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    """Equal answers up to 1e-5 in the score; answers of nearly equal score may have changed places."""
    first, second = ({answer["answer"]: answer["score"] for answer in answers} for answers in (one, other))
    assert first == pytest.approx(second, abs=1e-5)


def test_answers_are_probabilities_best_first(pipe: Pipeline) -> None:
    answers = pipe(items()[0], top_k=pipe.model.config.num_labels)
    scores = [answer["score"] for answer in answers]
    assert set(answers[0]) == {"answer", "score"}
    assert sorted(scores, reverse=True) == scores
    assert all(0 <= score <= 1 for score in scores)
    assert {answer["answer"] for answer in answers} == set(pipe.model.config.id2label.values())


def test_by_default_all_above_one_half_or_the_single_best(pipe: Pipeline) -> None:
    everything = pipe(items(), top_k=10_000)
    for given, answers in zip(pipe(items()), everything, strict=True):
        likely = [answer for answer in answers if answer["score"] > 0.5] or answers[:1]
        assert given == [likely[place] for place in consistent([answer["answer"] for answer in likely])]


@pytest.mark.parametrize("bias", [-20.0, 20.0])
@pytest.mark.parametrize("denial_first", [False, True])
def test_all_or_none_above_one_half(pipe: Pipeline, bias: float, denial_first: bool) -> None:
    labels = pipe.model.config.id2label
    logits = torch.linspace(-1, 1, len(labels))[None] * (1 if denial_first else -1) + bias
    answers = [answer["answer"] for answer in pipe.postprocess([{"logits": logits, "several": False}])]
    denials = {label for label in labels.values() if label.startswith(absent(""))}
    assert answers[0] == labels[len(labels) - 1 if denial_first else 0]
    if bias < 0 or denial_first:
        assert len(answers) == 1 and (answers[0] in denials) is denial_first
    else:
        assert set(answers) == set(labels.values()) - denials


def test_answers_do_not_contradict_each_other() -> None:
    nothing = absent("a pooling layer")
    assert consistent(["MaxPool2d", nothing, "AvgPool2d"]) == [0, 2]
    assert consistent([nothing, "MaxPool2d", absent("Conv2d")]) == [0]
    assert consistent(["ReLU"]) == [0]


def test_top_k_of_the_call_outranks_that_of_the_pipeline(folder: Path) -> None:
    pipe = archbert.pipeline(model=str(folder), device="cpu", top_k=3)
    assert len(pipe(items()[0])) == 3
    assert len(pipe(items()[0], top_k=5)) == 5
    assert pipe(items()[0], top_k=None) == archbert.pipeline(model=str(folder), device="cpu")(items()[0])


def test_every_form_of_an_architecture_gives_the_same(pipe: Pipeline, tmp_path: Path) -> None:
    config = small_bert()
    config.save_pretrained(tmp_path)
    graph = trace(config)
    forms = [graph, graph.to_dict(), graph.to_row(), config, str(tmp_path / "config.json"), str(tmp_path)]
    results = pipe([{"architecture": form, "question": QUESTION} for form in forms], top_k=5)
    assert all(result == results[0] for result in results)


def test_inputs_as_a_dictionary_of_keyword_arguments(pipe: Pipeline) -> None:
    module, inputs = network()
    given = {"architecture": module, "inputs": {"input": inputs}, "question": QUESTION}
    assert pipe(given, top_k=3) == pipe({**given, "inputs": inputs}, top_k=3)


@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_results_do_not_depend_on_the_batch(pipe: Pipeline, batch_size: int) -> None:
    alone = [pipe(item, top_k=10_000) for item in items()]
    for one, other in zip(alone, pipe(items(), batch_size=batch_size, top_k=10_000), strict=True):
        assert_equal(one, other)


def test_results_do_not_depend_on_folding(pipe: Pipeline) -> None:
    item = {"architecture": small_bert(), "question": QUESTION}
    assert_equal(pipe(item, fold=True, top_k=10_000), pipe(item, fold=False, top_k=10_000))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_several_questions_give_one_list_each(pipe: Pipeline, batch_size: int) -> None:
    module, inputs = network()
    several = {"architecture": module, "inputs": inputs, "questions": QUESTIONS}
    single = [{"architecture": module, "inputs": inputs, "question": question} for question in QUESTIONS]
    mixed = pipe([several, single[1], several], batch_size=batch_size, top_k=4)
    assert [len(result) for result in mixed] == [3, 4, 3]
    for one, other in zip(pipe(several, top_k=4), mixed[2], strict=True):
        assert_equal(one, other)
    assert_equal(mixed[0][1], mixed[1])
    assert_equal(pipe(single[2], top_k=4), mixed[0][2])


def test_lists_tuples_and_generators(pipe: Pipeline) -> None:
    expected = pipe(items())
    assert pipe(tuple(items())) == expected
    results = pipe(item for item in items())
    assert isinstance(results, Iterator) or hasattr(results, "__iter__")
    assert list(results) == expected
    assert pipe([]) == []


def test_an_architecture_that_comes_again_is_traced_once(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[Any] = []

    def counted(architecture: Any, *args: Any, **kwargs: Any) -> Any:
        traced.append(architecture)
        return sources_archbert.load_architecture(architecture, *args, **kwargs)

    monkeypatch.setattr("processing_archbert.processing_archbert.load_architecture", counted)
    config = small_bert()
    again = [{"architecture": config, "question": question} for question in QUESTIONS]
    pipe(again)
    assert len(traced) == 1
    pipe([{"architecture": config, "questions": QUESTIONS}])
    assert len(traced) == 2, "a later call traces again, because the object may have changed"


def test_what_a_generator_changes_between_two_items_is_seen(pipe: Pipeline) -> None:
    def growing() -> Iterator[dict[str, Any]]:
        config = small_bert()
        for layers in (1, 3):
            config.num_hidden_layers = layers
            yield {"architecture": config, "question": QUESTION}

    first, second = pipe(growing(), top_k=10_000)
    assert first != second


def test_a_generator_is_read_as_its_answers_are_wanted(pipe: Pipeline) -> None:
    yielded = []

    def endless() -> Iterator[dict[str, Any]]:
        for number in itertools.count():
            yielded.append(number)
            yield {"architecture": "bert", "question": QUESTION}

    answers = iter(pipe(endless()))
    assert next(answers) == next(answers)
    assert len(yielded) <= 4


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("resnet", "dictionary such as"),
        ({}, "no 'architecture'"),
        ({"question": QUESTION}, "no 'architecture'"),
        ({"architecture": None, "question": QUESTION}, "no 'architecture'"),
        ({"architecture": "bert"}, "either 'question'"),
        ({"architecture": "bert", "question": QUESTION, "questions": [QUESTION]}, "either 'question'"),
        ({"architecture": "bert", "quesiton": QUESTION}, "unknown keys.*quesiton"),
        ({"architecture": "bert", "question": ""}, "question is empty"),
        ({"architecture": "bert", "question": " \n"}, "question is empty"),
        ({"architecture": "bert", "question": None}, "question is NoneType"),
        ({"architecture": "bert", "question": 3}, "question is int"),
        ({"architecture": "bert", "question": [QUESTION]}, "question is list"),
        ({"architecture": "bert", "questions": []}, "one or more"),
        ({"architecture": "bert", "questions": QUESTION}, "list of one or more"),
        ({"architecture": "bert", "questions": [QUESTION, ""]}, "question is empty"),
        ({"architecture": "no-such-model-type", "question": QUESTION}, "no-such-model-type"),
        ({"architecture": 3, "question": QUESTION}, "int"),
        ({"architecture": {"format": "something else"}, "question": QUESTION}, "."),
    ],
)
@pytest.mark.parametrize("as_list", [False, True])
def test_bad_items_say_what_is_wrong(pipe: Pipeline, item: Any, message: str, as_list: bool) -> None:
    with pytest.raises((ValueError, tracing_archbert.ArchitectureTraceError), match=message):
        pipe([item] if as_list else item)


def test_inputs_with_a_graph_are_refused(pipe: Pipeline) -> None:
    with pytest.raises(ValueError, match="inputs are given with a graph"):
        pipe({"architecture": trace(small_bert()), "inputs": torch.zeros(1), "question": QUESTION})


@pytest.mark.parametrize("parameters", [{"top_k": 0}, {"top_k": -1}, {"top_k": 2.5}, {"top_k": True}, {"topk": 3}])
def test_bad_parameters_say_what_is_allowed(pipe: Pipeline, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"allowed"):
        pipe(items()[0], **parameters)


@pytest.mark.parametrize("question", ["どのプーリング層が使われていますか?", "¿🦙?", "pool " * 2000])
def test_any_text_gets_a_defined_answer(pipe: Pipeline, question: str) -> None:
    answers = pipe({"architecture": small_bert(), "question": question})
    assert answers and all(0 <= answer["score"] <= 1 for answer in answers)


def test_a_graph_of_too_many_tokens_is_refused_or_cut(pipe: Pipeline) -> None:
    sizes = [[width, 3, 3, 3] for width in range(1, 6001)]
    graph = ArchitectureGraph.build(["Conv2d"] * 6000, [(i, i + 1) for i in range(5999)], shapes=sizes)
    with pytest.raises(ValueError, match="max_nodes"):
        pipe({"architecture": graph, "question": QUESTION}, fold=False)
    assert pipe({"architecture": graph, "question": QUESTION}, fold=False, truncation=True)


def test_a_module_that_needs_inputs_says_so(pipe: Pipeline) -> None:
    class NeedsInputs(nn.Module):
        def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return batch["pixels"] * batch["mask"].exp()

    with pytest.raises((ValueError, tracing_archbert.ArchitectureTraceError), match="inputs"):
        pipe({"architecture": NeedsInputs(), "question": QUESTION})


def test_transformers_builds_it_from_objects(pipe: Pipeline, folder: Path) -> None:
    processor = ArchBertProcessor.from_pretrained(folder)
    built = transformers.pipeline(archbert.QUESTION_ANSWERING, model=pipe.model, processor=processor, device="cpu")
    assert built(items()) == pipe(items())


def test_unknown_tasks_and_missing_models_are_named() -> None:
    with pytest.raises(ValueError, match="architecture-question-answering"):
        archbert.pipeline("captioning", model="x")
    with pytest.raises(ValueError, match="hub/models/archbert-mini"):
        archbert.pipeline()
    with pytest.raises(ValueError, match="no folder 'no/such/folder'"):
        archbert.pipeline(model="no/such/folder")
