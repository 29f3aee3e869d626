"""The pipelines of reasoning and of clone detection, and embeddings: values, batches, forms of input, bad input."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
import transformers
from tiny_checkpoint import tiny_checkpoint, tiny_release
from torch import nn
from transformers import BertConfig, Pipeline

import archbert
from archbert.embedding import Embedder
from archbert.release import CUSTOM_PIPELINES, release
from modeling_archbert import ArchBertForPreTraining, ArchBertModel
from processing_archbert import ArchBertProcessor, ArchitectureGraph, embedding_archbert, sources_archbert, trace

STATEMENTS = ["It has max pooling.", "A transformer that reads text, with attention and layer normalization.", "ReLU"]
TEXT = "a model with convolutions"


def convolutional(channels: int, depth: int = 1) -> ArchitectureGraph:
    """The graph of a small convolutional network."""
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(channels, channels, 3, padding=i % 3) for i in range(depth)]
    return trace(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1)), torch.zeros(1, 3, 24, 24))


def small_bert(layers: int = 2) -> BertConfig:
    """The config of a BERT that traces in no time."""
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 99}
    return BertConfig(num_hidden_layers=layers, **sizes)


@pytest.fixture(scope="module")
def graphs() -> list[ArchitectureGraph]:
    """Four graphs with different numbers of tokens."""
    return [convolutional(4), convolutional(8, 3), trace(small_bert()), convolutional(16, 6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release(tmp_path_factory.mktemp("pairs"))


def changed(folder: Path, target: Path, **values: Any) -> str:
    """A copy of a published folder with other values in its config."""
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | values))
    return str(target)


@pytest.fixture(scope="module")
def judge(folder: Path) -> Pipeline:
    return archbert.pipeline(archbert.REASONING, model=str(folder), device="cpu")


@pytest.fixture(scope="module")
def compare(folder: Path) -> Pipeline:
    return archbert.pipeline(archbert.CLONE_DETECTION, model=str(folder), device="cpu")


@pytest.fixture(scope="module")
def model(folder: Path) -> ArchBertForPreTraining:
    return ArchBertForPreTraining.from_pretrained(folder).eval()


def statements_of(graphs: list[ArchitectureGraph]) -> list[dict[str, Any]]:
    """Items of reasoning whose texts and graphs differ in length."""
    return [{"architecture": g, "statement": STATEMENTS[i % 3]} for i, g in enumerate(graphs)]


def pairs_of(graphs: list[ArchitectureGraph]) -> list[dict[str, Any]]:
    """Pairs with and without a text, mixed."""
    a, b, c, d = graphs
    return [
        {"architectures": [a, b]},
        {"architectures": [c, d], "text": TEXT},
        {"architectures": (d, a), "text": None},
        {"architectures": [a, c], "text": STATEMENTS[1]},
        {"architectures": [b, b]},
    ]


def batch_of(processor: ArchBertProcessor, graph: ArchitectureGraph, text: str) -> Any:
    return processor(text=[text], architectures=[graph])


# Reasoning


def test_the_reasoning_head_judges_where_the_checkpoint_has_one(
    folder: Path, judge: Pipeline, model: ArchBertForPreTraining, graphs: list[ArchitectureGraph], tmp_path: Path
) -> None:
    with torch.no_grad():
        logit = float(model(**batch_of(judge.processor, graphs[0], STATEMENTS[0])).reasoning_logits)
    item = {"architecture": graphs[0], "statement": STATEMENTS[0]}
    for threshold, scale in ((logit - 0.25, 1.0), (logit + 0.25, 1.0), (logit + 0.25, 0.2)):
        path = changed(
            folder, tmp_path / f"at{threshold}, {scale}", reasoning_threshold=threshold, reasoning_scale=scale
        )
        result = archbert.pipeline(archbert.REASONING, model=path, device="cpu")(item)
        assert result["method"] == "reasoning head"
        assert result["score"] == pytest.approx(1 / (1 + np.exp(scale * (threshold - logit))), abs=1e-5)
        assert result["label"] == ("correct" if threshold < logit else "incorrect")


@pytest.mark.parametrize("above", [True, False])
def test_without_a_reasoning_head_the_calibrated_cosine_judges(
    folder: Path, judge: Pipeline, model: ArchBertForPreTraining, graphs: list[ArchitectureGraph], tmp_path: Path,
    above: bool,
) -> None:  # fmt: skip
    item = {"architecture": graphs[1], "statement": STATEMENTS[2]}
    cosine = float(model(**batch_of(judge.processor, graphs[1], STATEMENTS[2])).similarity.detach())
    threshold = cosine - 0.1 if above else cosine + 0.1
    values = {"use_reasoning_head": False, "similarity_threshold": threshold}
    scale, bias = 3.0, -3.0 * threshold
    calibrated = changed(folder, tmp_path / "a", **values, similarity_scale=scale, similarity_bias=bias)
    plain = changed(folder, tmp_path / "b", **values, similarity_scale=None, similarity_bias=None)
    label = "correct" if above else "incorrect"
    given = [archbert.pipeline(archbert.REASONING, model=path, device="cpu")(item) for path in (calibrated, plain)]
    assert [one["method"] for one in given] == ["calibrated cosine", "cosine"]
    assert [one["label"] for one in given] == [label, label]
    assert given[0]["score"] == pytest.approx(1 / (1 + np.exp(-(scale * cosine + bias))), abs=1e-5)
    assert given[1]["score"] == pytest.approx(cosine, abs=1e-5)
    assert (given[0]["score"] > 0.5) == above


@pytest.mark.parametrize("batch_size", [2, 3, 64])
def test_judgements_do_not_depend_on_the_batch(
    judge: Pipeline, graphs: list[ArchitectureGraph], batch_size: int
) -> None:
    given = [*statements_of(graphs), {"architecture": graphs[2], "statements": STATEMENTS}]
    alone = [judge(item) for item in given]
    together = judge(given, batch_size=batch_size)
    flat = [[*results[:-1], *results[-1]] for results in (alone, together)]
    scores = [[one["score"] for one in results] for results in flat]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert len(set(np.round(scores[0], 6))) > 4, "the scores of different items differ"
    assert [one["label"] for one in flat[0]] == [one["label"] for one in flat[1]]


def test_several_statements_give_a_list(judge: Pipeline, graphs: list[ArchitectureGraph]) -> None:
    several = judge({"architecture": graphs[0], "statements": STATEMENTS})
    assert several == [judge({"architecture": graphs[0], "statement": text}) for text in STATEMENTS]
    assert judge({"architecture": graphs[0], "statement": None, "statements": STATEMENTS}) == several


# Clone detection


def test_the_score_is_the_cosine_of_the_embeddings(compare: Pipeline, graphs: list[ArchitectureGraph]) -> None:
    vectors = compare.encode(architectures=graphs)
    for i, j in ((0, 1), (2, 3), (1, 2)):
        result = compare({"architectures": [graphs[i], graphs[j]]})
        assert set(result) == {"label", "score", "threshold"}
        assert result["score"] == pytest.approx(float(vectors[i] @ vectors[j]), abs=1e-5)
        assert compare({"architectures": [graphs[j], graphs[i]]})["score"] == pytest.approx(result["score"], abs=1e-6)
    assert compare({"architectures": [graphs[0], graphs[0]]})["score"] == pytest.approx(1, abs=1e-5)


def test_with_a_text_the_score_is_how_well_it_fits_both(compare: Pipeline, graphs: list[ArchitectureGraph]) -> None:
    vectors, text = compare.encode(architectures=graphs), compare.encode(texts=TEXT)[0]
    result = compare({"architectures": [graphs[0], graphs[2]], "text": TEXT})
    assert result["text_scores"] == pytest.approx([float(vectors[0] @ text), float(vectors[2] @ text)], abs=1e-5)
    assert result["score"] == pytest.approx(sum(result["text_scores"]) / 2, abs=1e-6)
    assert result["architecture_score"] == pytest.approx(float(vectors[0] @ vectors[2]), abs=1e-5)


@pytest.mark.parametrize("batch_size", [2, 3, 5, 64])
def test_comparisons_do_not_depend_on_the_batch(
    compare: Pipeline, graphs: list[ArchitectureGraph], batch_size: int
) -> None:
    """Pairs and texts are mixed, and a batch may end between the two architectures of a pair."""
    alone = [compare(item) for item in pairs_of(graphs)]
    together = compare(pairs_of(graphs), batch_size=batch_size)
    assert [set(one) for one in together] == [set(one) for one in alone]
    for one, other in zip(alone, together, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        if "text_scores" in one:
            assert one["text_scores"] == pytest.approx(other["text_scores"], abs=1e-5)
    assert len({round(one["score"], 6) for one in alone}) == len(alone), "the scores of different pairs differ"


def test_no_label_without_a_threshold(
    folder: Path, compare: Pipeline, graphs: list[ArchitectureGraph], tmp_path: Path
) -> None:
    plain, with_text = {"architectures": graphs[:2]}, {"architectures": graphs[:2], "text": TEXT}
    assert [(one["label"], one["threshold"]) for one in compare([plain, with_text])] == [(None, None)] * 2
    score = compare(plain)["score"]
    for threshold, label in ((score - 1e-3, "similar"), (score + 1e-3 if score < 0.99 else 1, "dissimilar")):
        result = compare(plain, threshold=threshold)
        assert (result["label"], result["threshold"]) == (label, threshold)
    path = changed(folder, tmp_path / "fitted", clone_threshold=-1, bimodal_clone_threshold=1)
    fitted = archbert.pipeline(archbert.CLONE_DETECTION, model=path, device="cpu")
    assert [one["label"] for one in fitted([plain, with_text])] == ["similar", "dissimilar"]
    assert [one["label"] for one in fitted([plain, with_text], threshold=1)] == ["dissimilar"] * 2


def test_modules_are_called_with_their_inputs(compare: Pipeline) -> None:
    modules = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), small_bert()]
    result = compare({"architectures": modules, "inputs": [torch.zeros(1, 3, 9, 9), None]})
    graphs = [trace(modules[0], torch.zeros(1, 3, 9, 9)), trace(small_bert())]
    assert result["score"] == pytest.approx(compare({"architectures": graphs})["score"], abs=1e-6)


# Forms of input


def test_lists_datasets_and_generators(
    judge: Pipeline, compare: Pipeline, graphs: list[ArchitectureGraph], tmp_path: Path
) -> None:
    paths = [str(tmp_path / f"{i}.json") for i in range(3)]
    for path, graph in zip(paths, graphs, strict=False):
        Path(path).write_text(graph.to_json())
    judged = [{"architecture": path, "statement": text} for path, text in zip(paths, STATEMENTS, strict=True)]
    pairs = [{"architectures": paths[:2], "text": None}, {"architectures": paths[1:], "text": TEXT}]
    for pipe, items in ((judge, judged), (compare, pairs)):
        expected = pipe(items)
        assert pipe(tuple(items)) == expected and pipe([]) == []
        table = datasets.Dataset.from_list(items)
        for several in ((item for item in items), iter(items), table, table.to_iterable_dataset(), Rows(items)):
            results = pipe(several)
            assert isinstance(results, Iterator) or hasattr(results, "__iter__")
            assert list(results) == expected


class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """A map-style dataset that does not say where it ends but by its length."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index % len(self.items)]


def test_rows_of_data_sets_are_architectures(judge: Pipeline, graphs: list[ArchitectureGraph]) -> None:
    """Graphs as the rows of Parquet files hold them."""
    rows = [{"architecture": graph.to_row(), "statement": STATEMENTS[0]} for graph in graphs[:2]]
    expected = judge([{"architecture": graph, "statement": STATEMENTS[0]} for graph in graphs[:2]])
    assert list(judge(datasets.Dataset.from_list(rows))) == expected


def test_an_architecture_that_comes_again_is_read_once(
    compare: Pipeline, monkeypatch: pytest.MonkeyPatch, graphs: list[ArchitectureGraph]
) -> None:
    read: list[Any] = []

    def counted(architecture: Any, *args: Any, **kwargs: Any) -> Any:
        read.append(architecture)
        return sources_archbert.load_architecture(architecture, *args, **kwargs)

    monkeypatch.setattr("processing_archbert.processing_archbert.load_architecture", counted)
    a, b, c, _ = graphs
    compare([{"architectures": pair} for pair in ([a, b], [b, c], [c, a], [a, a])])
    assert len(read) == 3


# Bad input


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("resnet", "An item is str; a dictionary such as"),
        ({}, "either 'statement'"),
        ({"statement": "x"}, "no 'architecture'"),
        ({"architecture": "bert"}, "either 'statement'"),
        ({"architecture": "bert", "question": "x"}, "unknown keys.*question.*allowed are"),
        ({"architecture": "bert", "statement": "x", "statements": ["y"]}, "either 'statement'"),
        ({"architecture": "bert", "statement": " "}, "A statement is empty"),
        ({"architecture": "bert", "statement": None}, "A statement is NoneType"),
        ({"architecture": "bert", "statements": ["a", 3]}, "A statement is int"),
        ({"architecture": "bert", "statements": "a"}, "a list of one or more"),
        ({"architecture": 3.5, "statement": "a"}, "float"),
        ({"architecture": "no-such-model-type", "statement": "a"}, "no-such-model-type"),
    ],
)
def test_bad_statements_say_what_is_wrong(judge: Pipeline, item: Any, message: str) -> None:
    if item == {}:
        message = "no 'architecture'"
    for given in (item, [item]):
        with pytest.raises(ValueError, match=message):
            judge(given)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (3, "An item is int; a dictionary such as"),
        ({}, "no two 'architectures'"),
        ({"architectures": None}, "no two 'architectures'"),
        ({"architectures": ["bert", None]}, "no two 'architectures'"),
        ({"architectures": "bert"}, "'architectures' is str; a list of two"),
        ({"architectures": ["bert"]}, "'architectures' has 1 entries; two"),
        ({"architectures": ["bert"] * 3}, "'architectures' has 3 entries; two"),
        ({"architecture": "bert"}, "unknown keys.*architecture"),
        ({"architectures": [small_bert()] * 2, "inputs": torch.zeros(2)}, "'inputs' is Tensor; a list of two"),
        ({"architectures": [small_bert()] * 2, "text": ""}, "A text is empty"),
        ({"architectures": [small_bert()] * 2, "text": ["a"]}, "A text is list"),
        ({"architectures": [small_bert(), 3]}, "int"),
        ({"architectures": [small_bert(), {"format": "something else"}]}, "."),
    ],
)
def test_bad_pairs_say_what_is_wrong(compare: Pipeline, item: Any, message: str) -> None:
    for given in (item, [item]):
        with pytest.raises(ValueError, match=message):
            compare(given)


def test_an_error_in_a_list_names_the_item(compare: Pipeline, graphs: list[ArchitectureGraph]) -> None:
    good = {"architectures": graphs[:2]}
    with pytest.raises(ValueError, match="A text is empty") as caught:
        compare([good, good, {**good, "text": ""}, good], batch_size=4)
    assert "item 2 (counted from 0)" in caught.value.__notes__[0]


@pytest.mark.parametrize("value", [1.5, -2, "0.5", True, float("nan")])
def test_bad_thresholds(compare: Pipeline, graphs: list[ArchitectureGraph], value: Any) -> None:
    with pytest.raises(ValueError, match=r"threshold is .*from -1 to 1"):
        compare({"architectures": graphs[:2]}, threshold=value)


@pytest.mark.parametrize("parameters", [{"top_k": 3}, {"batch_size": 0}, {"batch_size": 2.0}])
def test_bad_parameters(judge: Pipeline, graphs: list[ArchitectureGraph], parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        judge(statements_of(graphs), **parameters)


# Embeddings


def test_embeddings_are_those_of_the_model_of_length_1(
    folder: Path, judge: Pipeline, compare: Pipeline, graphs: list[ArchitectureGraph]
) -> None:
    base = ArchBertModel.from_pretrained(folder).eval()
    answer = archbert.pipeline(model=str(folder), device="cpu")
    with torch.no_grad():
        output = base(**compare.processor(text=STATEMENTS, architectures=graphs[:3]))
    for pipe in (judge, compare, answer):
        texts, architectures = pipe.encode(texts=STATEMENTS), pipe.encode(architectures=graphs[:3])
        for vectors in (texts, architectures):
            assert vectors.dtype == np.float32 and vectors.shape == (3, base.config.hidden_size)
            assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
        assert (texts * architectures).sum(axis=1) == pytest.approx(output.similarity.numpy(), abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_embeddings_of_any_batch_and_form(compare: Pipeline, graphs: list[ArchitectureGraph], batch_size: int) -> None:
    expected = np.concatenate([compare.encode(architectures=graph) for graph in graphs])
    for several in (graphs, tuple(graphs), (graph for graph in graphs)):
        assert compare.encode(architectures=several, batch_size=batch_size) == pytest.approx(expected, abs=1e-5)
    assert compare.encode(architectures=graphs, batch_size=batch_size, fold=False) == pytest.approx(expected, abs=1e-5)
    texts = np.concatenate([compare.encode(texts=text) for text in STATEMENTS])
    assert compare.encode(texts=iter(STATEMENTS), batch_size=batch_size) == pytest.approx(texts, abs=1e-5)
    assert compare.encode(texts=[]).shape == compare.encode(architectures=[]).shape == (0, expected.shape[1])


def test_embeddings_of_modules_with_inputs(compare: Pipeline) -> None:
    module, inputs = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.zeros(1, 3, 9, 9)
    one = compare.encode(architectures=module, inputs=inputs)
    both = compare.encode(architectures=[small_bert(), module], inputs=[None, inputs])
    assert both[1] == pytest.approx(one[0], abs=1e-5)


def test_the_embedder_of_the_command_line_gives_the_same(
    folder: Path, compare: Pipeline, graphs: list[ArchitectureGraph]
) -> None:
    embedder = Embedder(str(folder))
    assert embedder.architectures(graphs) == pytest.approx(compare.encode(architectures=graphs), abs=1e-5)
    assert embedder.texts(STATEMENTS) == pytest.approx(compare.encode(texts=STATEMENTS), abs=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "either texts or architectures"),
        ({"texts": "a", "architectures": "bert"}, "either texts or architectures"),
        ({"texts": ["a", " "]}, r"text\[1\] is empty"),
        ({"texts": 3}, r"text\[0\] is int"),
        ({"texts": "a", "fold": True}, "belongs to architectures"),
        ({"texts": "a", "batch_size": 0}, "batch_size is 0"),
        ({"architectures": [small_bert()], "inputs": [None, None]}, "numbers of inputs and of architectures differ"),
        ({"architectures": [small_bert()], "inputs": torch.zeros(1)}, "inputs is Tensor"),
        ({"architectures": [3]}, "int"),
        ({"architectures": "bert", "top_k": 3}, "Unknown options.*top_k"),
    ],
)
def test_bad_embeddings_say_what_is_wrong(compare: Pipeline, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare.encode(**given)


# Loading


@pytest.mark.parametrize("task", [archbert.REASONING, archbert.CLONE_DETECTION])
def test_transformers_knows_the_tasks(folder: Path, task: str, graphs: list[ArchitectureGraph]) -> None:
    ours = archbert.pipeline(task, model=str(folder), device="cpu")
    assert type(ours).__module__.startswith("processing_archbert.")
    built = transformers.pipeline(task, model=ours.model, processor=ours.processor, device="cpu")
    items = pairs_of(graphs) if task == archbert.CLONE_DETECTION else statements_of(graphs)
    assert built(items) == ours(items)


def test_a_release_names_every_pipeline(folder: Path) -> None:
    written = json.loads((folder / "config.json").read_text())["custom_pipelines"]
    assert written == CUSTOM_PIPELINES and set(written) == set(archbert.PIPELINES)
    for entry in written.values():
        module, name = entry["impl"].split(".")
        assert f"class {name}(" in (folder / f"{module}.py").read_text()


def test_thresholds_of_the_checkpoint_come_along(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path)
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"clone_threshold": 0.25}))
    pipe = archbert.pipeline(archbert.CLONE_DETECTION, model=str(release(checkpoint, "x", tmp_path)), device="cpu")
    assert pipe({"architectures": [convolutional(4)] * 2})["threshold"] == 0.25


@pytest.mark.parametrize("size", [1, 3, 100])
def test_architectures_of_like_size_share_a_batch(size: int) -> None:
    counts = [90, 10, 11, 80, 12, 30, 10]
    batches = list(embedding_archbert._of_like_size(counts, size))
    assert sorted(place for batch in batches for place in batch) == list(range(len(counts)))
    assert all(len(batch) <= size for batch in batches)
    assert all(max(counts[p] for p in batch) <= 1.25 * min(counts[p] for p in batch) for batch in batches)
    if size == 100:
        assert [[counts[place] for place in batch] for batch in batches] == [[10, 10, 11, 12], [30], [80, 90]]


def test_architectures_are_read_as_they_come(compare: Any) -> None:
    given: list[int] = []
    kept: list[weakref.ref[torch.nn.Module]] = []

    def networks() -> Iterator[torch.nn.Module]:
        for width in range(2, 8):
            gc.collect()
            given.append(sum(one() is not None for one in kept))
            network = torch.nn.Sequential(torch.nn.Linear(width, width))
            kept.append(weakref.ref(network))
            yield network
            del network

    found = compare.encode(architectures=networks(), inputs=[torch.zeros(1, width) for width in range(2, 8)])
    assert found.shape[0] == 6 and max(given) <= 2, "more than the last ones are held"
