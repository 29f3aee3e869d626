"""Questions for a number or a name of the whole network: read by the head of topics, looked up in the graph."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_checkpoint import tiny_checkpoint
from transformers import BertConfig, GPT2Config, ResNetConfig

import archbert
from archbert.answering import Answerer
from archbert.release import release
from modeling_archbert import (
    ArchBertForConditionalGeneration,
    ArchBertForPreTraining,
    ArchBertForSequenceClassification,
    ArchBertModel,
)
from processing_archbert import ArchBertProcessor, load_architecture
from processing_archbert.pipeline_archbert import NOT_SHOWN
from processing_archbert.topic_answers_archbert import TOPIC_NAMES
from processing_archbert.topic_questions_archbert import worded_topic

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import run_question_topics as script

TOPICS = ["num_heads", "kv_cache", "hidden_size"]
UNREAD = "into how many equal shares is the looking-around of its layers divided, would you say?"
"""A question that no rule reads."""
BERT = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=99)
GPT2 = GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=99)


def saved(folder: Path, topic: int, sure: float = 20.0) -> str:
    """A toy whose head of topics always reads the same: 0 is no topic."""
    model = ArchBertForPreTraining.from_pretrained(tiny_checkpoint(folder))
    model.add_topic_head(TOPICS)
    with torch.no_grad():
        model.topic_head.classifier.weight.zero_()
        model.topic_head.classifier.bias.copy_(sure * torch.nn.functional.one_hot(torch.tensor(topic), 4))
    checkpoint = folder / "with-topics"
    model.save_pretrained(checkpoint)
    ArchBertProcessor.from_pretrained(folder / "checkpoint").save_pretrained(checkpoint)
    return str(release(checkpoint, f"topic-{topic}-{sure:g}", folder))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    return {topic: saved(tmp_path_factory.mktemp("topics"), topic) for topic in (0, 1, 2)}


@pytest.mark.parametrize(
    "loaded", [ArchBertModel, ArchBertForConditionalGeneration, ArchBertForSequenceClassification]
)
def test_every_class_loads_its_part(folders: dict[int, str], loaded: Any) -> None:
    _, info = loaded.from_pretrained(folders[1], output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


def test_the_head_is_kept_by_saving(folders: dict[int, str], tmp_path: Path) -> None:
    model = ArchBertForSequenceClassification.from_pretrained(folders[1])
    model.save_pretrained(tmp_path)
    again = ArchBertForSequenceClassification.from_pretrained(tmp_path)
    assert again.config.question_topics == TOPICS
    assert torch.equal(again.topic_head.classifier.bias, model.topic_head.classifier.bias)


@pytest.mark.parametrize("topics", [[], ["depth", "depth"]])
def test_topics_are_distinct_and_some(folders: dict[int, str], topics: list[str]) -> None:
    with pytest.raises(ValueError, match=r"topics has \d names, \d of them distinct"):
        ArchBertForPreTraining.from_pretrained(folders[1]).add_topic_head(topics)


def test_what_is_asked_for_is_looked_up(folders: dict[int, str]) -> None:
    ask = archbert.pipeline("architecture-question-answering", folders[1], device="cpu")
    found = ask({"architecture": BERT, "question": UNREAD})
    assert [(one["answer"], one["topic"]) for one in found] == [("4", "num_heads")] and found[0]["score"] > 0.99
    assert ask({"architecture": ResNetConfig(), "question": UNREAD})[0]["answer"] == "This model has no attention"
    assert "topic" not in ask({"architecture": BERT, "question": UNREAD}, topics=False)[0]
    assert "topic" not in ask({"architecture": BERT, "question": UNREAD}, top_k=1)[0]


def test_batches_and_several_questions_give_the_same(folders: dict[int, str]) -> None:
    ask = archbert.pipeline("architecture-question-answering", folders[1], device="cpu")
    items = [{"architecture": one, "questions": [UNREAD, f"{UNREAD} and why"]} for one in (BERT, GPT2)]
    single = [ask(item) for item in items]
    assert ask(items, batch_size=4) == single
    assert single[0][0][0]["answer"] == "4"


def test_a_question_of_no_topic_has_the_answers_of_the_list(folders: dict[int, str]) -> None:
    ask = archbert.pipeline("architecture-question-answering", folders[0], device="cpu")
    assert all("topic" not in one for one in ask({"architecture": BERT, "question": UNREAD}))


def test_what_the_graph_does_not_show_is_not_told(folders: dict[int, str]) -> None:
    ask = archbert.pipeline("architecture-question-answering", folders[1], device="cpu")
    graph = load_architecture(BERT)
    hidden = graph.to_dict() | {"incomplete": ["vision"], "op_types": ["Linear"] * graph.num_nodes}
    assert ask({"architecture": hidden, "question": UNREAD})[0]["answer"] == NOT_SHOWN


def test_words_name_the_part_and_the_type_of_numbers() -> None:
    assert worded_topic("And the heads of the text tower?", "num_heads")[1] == "text"
    assert worded_topic("cache per token in fp32?", "kv_cache")[2] == "float32"
    for question in ("How many heads in the third layer?", "heads of layer 5", "Does it have twelve heads?",
                     "How many heads has the encoder and how many the decoder?"):  # fmt: skip
        assert worded_topic(question, "num_heads") is None
    assert worded_topic("Is it causal?", "is_causal") is not None
    assert worded_topic("Is it an encoder or a decoder?", "form") is not None


def test_the_product_says_how_it_read_a_question(folders: dict[int, str], tmp_path: Path) -> None:
    graph = load_architecture(BERT)
    ask = archbert.pipeline("architecture-question-answering", folders[1], device="cpu")
    found = Answerer(graph, predictor=ask).answer(UNREAD)
    assert (found.basis, found.answers[0].text, found.read_as) == ("predicted", "4", "num_heads")
    assert Answerer(graph, predictor=ask).answer("How wide are its hidden states?").basis == "computed"
    unsure = archbert.pipeline("architecture-question-answering", saved(tmp_path, 1, sure=1.0), device="cpu")
    assert Answerer(graph, predictor=unsure).answer(UNREAD).read_as == ""
    assert Answerer(graph, model=None).answer(UNREAD).basis == "cannot_tell"


@pytest.mark.parametrize("question", [
    "To which operation does the fifth linear layer pass its result?",
    "How many pixels wide is the kernel that it meets the image with, would you say?",
])  # fmt: skip
def test_the_list_of_answers_is_not_asked_for_places_and_numbers(folders: dict[int, str], question: str) -> None:
    ask = archbert.pipeline("architecture-question-answering", folders[0], device="cpu")
    assert Answerer(load_architecture(ResNetConfig()), predictor=ask).answer(question).basis == "cannot_tell"


def test_the_command_line_says_it(folders: dict[int, str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from archbert.cli import main

    path = tmp_path / "config.json"
    BERT.to_json_file(path)
    assert main(["ask", str(path), UNREAD, "--model", folders[1]]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "4 [predicted, probability 1.00]" in shown
    assert "Read by the checkpoint as a question on num heads, and looked up in the graph." in shown


def test_without_a_checkpoint_at_hand_the_reason_is_as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = Answerer(load_architecture(BERT), model=str(tmp_path / "absent")).answer(UNREAD)
    assert found.basis == "cannot_tell" and "could not be read with certainty" in found.reason


def test_wordings_are_of_topics_that_are_answered() -> None:
    rows = [line.split("\t") for line in script.WORDINGS.read_text(encoding="utf-8").splitlines()]
    assert {len(row) for row in rows} == {3}
    topics = {row[0] for row in rows}
    assert topics - {script.NO_TOPIC} <= set(TOPIC_NAMES) and len(topics) == 57
    texts = [row[2].lower() for row in rows]
    assert len(texts) == len(set(texts))


def test_a_head_learns_wordings_and_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"num_heads": "how many heads has {S}", "depth": "how deep is {S}", script.NO_TOPIC: "who made {S}"}
    lines = [
        f"{topic}\twriter {w}\t{text} {w * n}" for topic, text in known.items() for w in "ab" for n in range(1, 9)
    ]
    monkeypatch.setattr(script, "WORDINGS", tmp_path / "wordings.tsv")
    script.WORDINGS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setattr(script, "read_rows", lambda *_: [])
    source, output = tiny_checkpoint(tmp_path), tmp_path / "out"
    before = ArchBertForPreTraining.from_pretrained(source).state_dict()
    table = script.main(script.TopicArguments(init_from=str(source), output_dir=str(output), epochs=150))
    assert {row["learned without"] for row in table["rows"]} == {"writer a", "writer b"}
    model = ArchBertForPreTraining.from_pretrained(output)
    assert sorted(model.config.question_topics) == ["depth", "num_heads"]
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    processor = ArchBertProcessor.from_pretrained(output)
    means = script.text_means(model.eval(), processor, ["how many heads has it aa", "how deep is it bb"])
    read = model.topic_head.classify(means).argmax(dim=-1).tolist()
    assert [model.config.question_topics[place - 1] for place in read] == ["num_heads", "depth"]
    shutil.rmtree(output)


def test_a_topic_that_nothing_answers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "WORDINGS", tmp_path / "wordings.tsv")
    script.WORDINGS.write_text("colour\twriter a\twhich colour is {S}\n", encoding="utf-8")
    monkeypatch.setattr(script, "read_rows", lambda *_: [])
    with pytest.raises(ValueError, match=r"has the topic 'colour', which nothing answers"):
        script.read_wordings(tmp_path, 10, 0)


def test_numbers_by_stage_are_one_where_they_agree_and_several_where_not() -> None:
    from run_product_aqa import by_stage

    from processing_archbert.network_numbers_archbert import _value_words

    assert _value_words((256, 256), "head_dim", "blocks") == "256"
    assert _value_words((3, 12), "heads", "blocks") == "3, 12 by stage"
    assert by_stage("3, 12 by stage") == ["3", "12"] and by_stage("109,482,240") == ["109,482,240"]
