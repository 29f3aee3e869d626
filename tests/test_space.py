"""The demo of examples/space without a browser: what it reads and refuses, its answers, its HTML and its API."""

from __future__ import annotations

import json
import os
import pickle
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from header_files import safetensors_bytes

pytest.importorskip("gradio")

from space_app import ROOT, SPACE, served, small_tasks

from archbert.verification import PARTLY_RIGHT, with_evidence
from archbert_space import views
from archbert_space.limits import Limits
from archbert_space.networks import (
    CONFIG,
    FILE,
    NAME,
    DemoError,
    Given,
    Networks,
    can_be_built,
    given_text,
    names_to_choose,
)
from archbert_space.pictures import Pictures
from archbert_space.results import CANNOT_TELL, COMPUTED, PREDICTED
from archbert_space.tasks import Tasks, is_english
from processing_archbert import ArchitectureGraph
from processing_archbert.ops_archbert import ATTRIBUTES

BERT = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 64, "vocab_size": 500}  # fmt: skip
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
PATIENT = Limits(seconds=300)
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\"'&"


def config(data: dict[str, Any], **changes: Any) -> Given:
    return Given(CONFIG, json.dumps(data | changes))


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Tasks:
    """The tasks with a checkpoint of random weights, and an index of two networks."""
    return small_tasks(tmp_path_factory.mktemp("space"), PATIENT)


@pytest.fixture(scope="module")
def address(tasks: Tasks) -> Iterator[str]:
    """The page, on a free port of this machine."""
    with served(tasks) as found:
        yield found


@pytest.fixture
def client(address: str) -> Any:
    from gradio_client import Client

    return Client(address, verbose=False, httpx_kwargs={"timeout": 600})


def named_graph(name: str, num_nodes: int = 3) -> ArchitectureGraph:
    """A chain of layers with a name of its own."""
    ops = ("input", *("Linear" for _ in range(num_nodes - 2)), "output")
    edges = np.stack([np.arange(num_nodes - 1), np.arange(1, num_nodes)]).astype(np.int32)
    shapes, attributes = np.zeros((num_nodes, 4), np.int32), np.zeros((num_nodes, len(ATTRIBUTES)), np.int32)
    parameters = np.zeros(num_nodes, np.int64)
    return ArchitectureGraph(
        op_types=ops, shapes=shapes, attributes=attributes, node_parameters=parameters, edge_index=edges,
        node_names=(name,) * num_nodes, name=name, num_parameters=0,
    )  # fmt: skip


# What is read, and what is refused


def test_networks_are_read_by_name_config_and_file(tmp_path: Path) -> None:
    networks = Networks(PATIENT)
    assert networks.read(Given(NAME, "bert")).name == "BertModel"
    by_config = networks.read(config(BERT))
    assert by_config.graph.graph_hash == networks.read(given_text(f"  {json.dumps(BERT)}")).graph.graph_hash
    assert given_text("bert") == Given(NAME, "bert")
    file = tmp_path / "config.json"
    file.write_text(json.dumps(BERT))
    by_file = networks.read(Given(FILE, str(file))).graph
    assert by_file.graph_hash == by_config.graph.graph_hash
    assert str(tmp_path) not in by_file.to_json()
    (tmp_path / "weights").mkdir()
    weights = tmp_path / "weights" / "model.safetensors"
    weights.write_bytes(safetensors_bytes({"a.weight": (4, 3), "b.weight": (2, 4)}))
    assert networks.read(Given(FILE, str(weights))).graph.num_parameters == 20


def test_the_same_input_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = Networks(Limits(seconds=300, remembered=1))
    first = networks.read(config(BERT))
    monkeypatch.setattr("archbert_space.networks.run_isolated", None)
    assert networks.read(config(BERT)) is first
    monkeypatch.undo()
    networks.read(config(RESNET))
    assert networks.read(config(BERT)) is not first


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Given(NAME, "brt"), "Did you mean 'bert'"),
        (Given(NAME, " "), "No network is chosen"),
        (Given(NAME, "/etc/passwd"), "is no name of a network"),
        (Given(NAME, "../main"), "is no name of a network"),
        (Given(NAME, "http://169.254.169.254/x.safetensors"), "is no name of a network"),
        (Given(NAME, "owner/model.bin"), "is a pickle by its ending: opening it could run any code"),
        (Given(CONFIG, '{"model_type": "bert",\n "a": }'), "no JSON: Expecting value at line 2, column 7"),
        (Given(CONFIG, "[1]"), "is a JSON list; an object in braces is allowed"),
        (Given(CONFIG, "{}"), "The config has no model_type"),
        (Given(CONFIG, '{"model_type": "brt"}'), "model_type of the config is unknown"),
        (Given(CONFIG, "[" * 100_000), "nested too deeply"),
        (Given(CONFIG, "x" * 200_001), "has 200,001 characters; 200,000 are allowed"),
        (Given(CONFIG, ""), "The config is empty"),
        (Given(FILE, ""), "No file was uploaded"),
        (Given(FILE, "/tmp/gone.onnx"), "upload it again"),
        (Given("guess", "bert"), "not as 'guess'"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_with_what_can(given: Given, said: str) -> None:
    with pytest.raises(DemoError, match=re.escape(said)):
        Networks(PATIENT).read(given)


class Boom:
    """An object whose pickle leaves a file behind when it is opened."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["model.pt", "model.onnx", "model.gguf", "config.json"])
def test_pickles_are_refused_unopened_with_the_reason(tmp_path: Path, name: str) -> None:
    trace = tmp_path / "opened"
    (tmp_path / name).write_bytes(pickle.dumps(Boom(str(trace))))
    with pytest.raises(DemoError) as refused:
        Networks(PATIENT).read(Given(FILE, str(tmp_path / name)))
    assert not trace.exists()
    assert "never opened" in str(refused.value) and name in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


def test_large_files_and_graphs_are_refused_with_the_limit(tmp_path: Path) -> None:
    large = tmp_path / "large.gguf"
    with large.open("wb") as file:
        file.truncate(2 * 2**30)
    with pytest.raises(DemoError, match=r"has 2,048 MiB; 100 MiB are allowed"):
        Networks(PATIENT).read(Given(FILE, str(large)))
    saved = tmp_path / "graph.json"
    saved.write_text(named_graph("long", 200_000).to_json())
    with pytest.raises(DemoError, match=r"has 200,000 nodes; this page takes up to 20,000"):
        Networks(PATIENT).read(Given(FILE, str(saved)))


def test_reading_is_stopped_at_its_limits() -> None:
    endless = config({"model_type": "llama"}, num_hidden_layers=20_000)
    with pytest.raises(DemoError, match=r"Reading the config took more than 1 s"):
        Networks(Limits(seconds=1)).read(endless)
    with pytest.raises(DemoError, match="needed more than 16 MiB of memory"):
        Networks(Limits(seconds=300, memory_mib=16)).read(endless)


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHBERT_SPACE_UPLOAD_MIB", "7")
    assert Limits.from_environment() == Limits(upload_mib=7)
    monkeypatch.setenv("ARCHBERT_SPACE_UPLOAD_MIB", "much")
    with pytest.raises(ValueError, match="ARCHBERT_SPACE_UPLOAD_MIB is 'much'"):
        Limits.from_environment()
    with pytest.raises(ValueError, match="nodes is 0"):
        Limits(nodes=0)


# Answers


def test_statements_are_computed_where_the_graph_decides(tasks: Tasks) -> None:
    right = tasks.reasoning(config(BERT), "It has 3 layers and uses layer normalization.")
    assert (right.headline, right.basis, right.tone) == ("Correct", COMPUTED, "good")
    ops = right.networks[0].graph.op_types
    assert {ops[n] for n in right.nodes[0]} >= {"LayerNorm"}
    wrong = tasks.reasoning(config(BERT), "It uses RMSNorm.")
    assert (wrong.headline, wrong.basis) == ("Incorrect", COMPUTED)
    assert wrong.lines == ("\u201cRMSNorm\u201d is wrong: the graph shows normalization: LayerNorm.",)
    assert {ops[n] for n in wrong.nodes[0]} == {"LayerNorm"}
    partly = tasks.reasoning(config(BERT), "With 3 layers it is at home in German law.")
    alone = tasks.checkpoint.judge(partly.networks[0].graph, "With 3 layers it is at home in German law.")["score"]
    assert partly.basis == PREDICTED and partly.scores[0].value == pytest.approx(with_evidence(alone, PARTLY_RIGHT))
    assert "right" in partly.lines[0] and "The graph does not decide the rest" in partly.lines[-1]
    guessed = tasks.reasoning(config(BERT), "It has more Linear than Conv2d layers.")
    assert guessed.basis == PREDICTED and 0 <= guessed.scores[0].value <= 1
    assert guessed.data["label"] == guessed.headline.lower()


def test_questions_carry_what_they_rest_on(tasks: Tasks) -> None:
    computed = tasks.question(config(BERT), "How many attention heads are there?")
    assert (computed.headline, computed.basis) == ("4", COMPUTED) and computed.evidence()
    refused = tasks.question(config(BERT), "Which optimizer was used?")
    assert refused.basis == CANNOT_TELL and "does not show this" in refused.lines[0]
    flops = tasks.question(config(BERT), "How many FLOPs?")
    assert flops.basis == COMPUTED and re.search(r"\d", flops.headline)


@pytest.mark.parametrize(
    "text", ["Wie viele Schichten hat das Netz?", "它有多少层?", "Quelle normalisation est utilisée ?"]
)
def test_other_languages_are_told_apart(tasks: Tasks, text: str) -> None:
    assert not is_english(text)
    for result in (tasks.question(config(BERT), text), tasks.reasoning(config(BERT), text)):
        assert result.basis == CANNOT_TELL and "English" in result.lines[0]
    with pytest.raises(DemoError, match="English"):
        tasks.clones(config(BERT), config(RESNET), text)


@pytest.mark.parametrize("text", ["Which pooling?", "It is an image classifier.", "kernel sizes", "how many layers"])
def test_english_is_english(text: str) -> None:
    assert is_english(text)


def test_pairs_are_compared_by_themselves_and_with_a_text(tasks: Tasks) -> None:
    same = tasks.clones(config(BERT), config(BERT, hidden_dropout_prob=0.3))
    assert (same.headline, same.basis) == ("Similar", COMPUTED) and "identical" in same.lines[0]
    other = tasks.clones(config(BERT), config(RESNET))
    assert other.basis == PREDICTED and -1 <= other.scores[0].value <= 1
    assert any("threshold" in line for line in other.lines)
    both = tasks.clones(config(BERT), config(RESNET), "It uses layer normalization.")
    assert (both.headline, both.basis) == ("Dissimilar", COMPUTED)
    assert both.nodes[0] and len(both.scores) == 4
    judged = tasks.clones(config(BERT), config(BERT, num_hidden_layers=1), "It is at home in German law.")
    probabilities = [score.value for score in judged.scores[4:]]
    assert judged.basis == PREDICTED and len(probabilities) == 2
    assert judged.data["probabilities"] == probabilities and "probabilities" not in both.data
    assert (judged.headline == "Similar") == all(probability > 0.5 for probability in probabilities)
    alike = tasks.clones(config(BERT), config(BERT, num_hidden_layers=1), "It uses layer normalization.")
    assert (alike.headline, alike.basis) == ("Similar", COMPUTED)


def test_a_network_is_described_with_and_without_a_decoder(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    written = tasks.caption(config(BERT))
    assert written.headline == written.data["caption"] and "every claim was asked of the graph" in written.lines[0]
    assert "3 layers" in written.lines[1]
    monkeypatch.setattr(tasks.checkpoint, "_caption", None)
    told = tasks.caption(config(BERT))
    assert told.basis == COMPUTED and "3 layers" in told.headline and "has no decoder" in told.lines[0]
    assert dict(told.facts)["attention heads"] == "4" and "FLOPs" in dict(told.facts)


def test_search_finds_filters_and_refuses(tasks: Tasks) -> None:
    assert len(tasks.checkpoint.index) == 2
    assert tasks.search(Given(NAME, "bert"))[0].name == "BertModel"
    assert {hit.name for hit in tasks.search("a network of convolutions")} == {"BertModel", "ResNetModel"}
    assert [hit.name for hit in tasks.search("a network of convolutions", "parameters<50M")] == ["ResNetModel"]
    for query, where, limit, said in (("a cnn", "size<3", 5, "'size' is no fact"), ("", "", 5, "query is empty"),
                                      ("a cnn", "", 0, "1 to 20"), ("сеть", "", 5, "English")):  # fmt: skip
        with pytest.raises(DemoError, match=said):
            tasks.search(query, where, limit)


def test_networks_of_libraries_that_are_not_installed_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archbert_space.networks.find_spec", lambda library: None)
    assert can_be_built("bert") and can_be_built("owner/name") and not can_be_built("timm:resnet50")
    monkeypatch.setattr("archbert_space.networks.find_spec", lambda library: library)
    assert can_be_built("timm:resnet50")


def test_configs_of_the_index_are_names(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.networks, "known", {"bert-tiny": json.dumps(BERT)})
    assert tasks.networks.read(Given(NAME, "bert-tiny")).graph.num_parameters == 59_200
    assert {"bert", "bert-tiny"} <= set(names_to_choose(tasks.networks))


def test_diff_says_what_changed(tasks: Tasks) -> None:
    result, found = tasks.difference(config(BERT), config(BERT, num_hidden_layers=2))
    assert result.basis == COMPUTED and "2 encoder layers instead of 3" in result.lines
    assert found["svg"].startswith("<svg")


def test_texts_have_a_length(tasks: Tasks) -> None:
    with pytest.raises(DemoError, match=r"has 1,002 characters; 1,000 are allowed"):
        tasks.question(config(BERT), "x" * 1002)
    with pytest.raises(DemoError, match="statement is empty"):
        tasks.reasoning(config(BERT), " \n")


# Pictures and HTML


def test_pictures_mark_evidence_and_have_limits(tasks: Tasks) -> None:
    network = tasks.networks.read(config(BERT))
    plain = tasks.pictures.network(network)
    norms = tuple(n for n, op in enumerate(network.graph.op_types) if op == "LayerNorm")
    marked = tasks.pictures.network(network, 0, norms)
    assert 'class="box normalization evidence' in marked and "evidence" not in plain
    assert tasks.pictures.network(network, 1) != plain
    with pytest.raises(DemoError, match="level of detail is 9"):
        tasks.pictures.network(network, 9)
    with pytest.raises(DemoError, match="boxes"):
        Pictures(Limits(boxes=2, seconds=300)).network(network, 4)


def test_names_inject_nothing(tasks: Tasks, tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    file.write_text(named_graph(HOSTILE, 5).to_json())
    result = tasks.question(Given(FILE, str(file)), "Which layers are used?")
    network = result.networks[0]
    drawn = views.picture(tasks.pictures.network(network, 0, (1,)), network.name)
    caption = tasks.caption(Given(FILE, str(file)))
    pages = (views.result_card(result), views.result_card(caption), views.network_line(network), drawn,
             views.error_card(HOSTILE), views.error_line(HOSTILE), views.no_picture(HOSTILE))  # fmt: skip
    for page in pages:
        assert "<script" not in page and "\x1b" not in page and "\u202e" not in page
        assert "&lt;script&gt;" in page


def test_an_unknown_name_is_shown_escaped() -> None:
    with pytest.raises(DemoError) as refused:
        Networks(PATIENT).read(Given(NAME, HOSTILE))
    assert "\x1b" not in str(refused.value) and "\u202e" not in str(refused.value)
    assert "<script" not in views.error_card(str(refused.value))


# The app


def test_the_api_answers_every_task(client: Any) -> None:
    bert, resnet = json.dumps(BERT), json.dumps(RESNET)
    judged = client.predict(bert, "It has 3 layers.", api_name="/architecture_reasoning")
    assert judged["label"] == "correct" and judged["basis"] == "computed"
    pair = client.predict(bert, resnet, api_name="/architecture_clone_detection")
    assert pair["label"] in ("similar", "dissimilar") and "text_scores" not in pair
    assert (
        len(client.predict(bert, resnet, "It uses ReLU.", api_name="/architecture_clone_detection")["text_scores"])
        == 2
    )
    answered = client.predict(resnet, "Which pooling layers are used?", api_name="/architecture_question_answering")
    assert answered["basis"] == "computed" and answered["answers"]
    assert "3 layers" in client.predict(bert, api_name="/architecture_captioning")["description"]
    assert client.predict("a transformer", api_name="/architecture_search")[0]["name"]
    assert client.predict(bert, bert, api_name="/architecture_diff")["verdict"] == "identical"
    assert client.predict(bert, api_name="/architecture_picture").startswith("<svg")


def test_an_uploaded_file_becomes_a_graph(client: Any, tmp_path: Path) -> None:
    from gradio_client import handle_file

    file = tmp_path / "config.json"
    file.write_text(json.dumps(BERT))
    graph = client.predict(handle_file(str(file)), api_name="/read_file")
    answered = client.predict(graph, "How many layers are there?", api_name="/architecture_question_answering")
    assert answered["answers"][0]["answer"] == "3"


def test_errors_of_the_api_say_what_to_do(client: Any) -> None:
    with pytest.raises(Exception, match="Did you mean 'bert'"):
        client.predict("brt", api_name="/architecture_captioning")
    with pytest.raises(Exception, match="question is empty"):
        client.predict("bert", "", api_name="/architecture_question_answering")


def test_only_the_functions_of_the_api_are_public(client: Any) -> None:
    named = client.view_api(return_format="dict", print_info=False)
    tasks = ("reasoning", "clone_detection", "question_answering", "captioning", "search", "diff", "picture")
    assert set(named["named_endpoints"]) == {*(f"/architecture_{task}" for task in tasks), "/read_file"}
    assert not named["unnamed_endpoints"]


def test_the_functions_are_tools_for_assistants(address: str) -> None:
    with urllib.request.urlopen(f"{address}gradio_api/mcp/schema", timeout=300) as answer:
        tools = {tool["name"]: tool for tool in json.load(answer)}
    asked = tools["architecture_question_answering"]
    assert set(asked["inputSchema"]["properties"]) == {"architecture", "question"}
    assert "Answer a question" in asked["description"]


def test_a_large_upload_is_refused_before_it_is_read(address: str) -> None:
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    request = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        f"Content-Length: {2 * 2**30}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=600) as connection:
        connection.sendall(request.encode())  # and nothing of the body
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 413") and "larger than 100 MiB" in answer


def test_users_at_the_same_time_get_their_own_answers(address: str) -> None:
    from gradio_client import Client

    def ask(layers: int) -> tuple[int, str]:
        one = Client(address, verbose=False, httpx_kwargs={"timeout": 600})
        network = json.dumps(BERT | {"num_hidden_layers": layers})
        found = one.predict(network, "How many layers are there?", api_name="/architecture_question_answering")
        return layers, found["answers"][0]["answer"]

    with ThreadPoolExecutor(8) as users:
        answers = list(users.map(ask, range(1, 9)))
    assert answers == [(layers, str(layers)) for layers in range(1, 9)]


# The folder as a Space


def test_gradio_remembers_few_requests(tasks: Tasks) -> None:
    import app

    assert app.build(tasks, names_to_choose(tasks.networks))._queue.ANALYTICS_MAX_EVENTS <= 100


def test_the_space_names_what_it_needs() -> None:
    front = yaml.safe_load((SPACE / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py") and (SPACE / "app.py").is_file()
    pinned = set((ROOT / "constraints.txt").read_text(encoding="utf-8").split())
    needed = [line for line in (SPACE / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert set(needed) <= pinned and f"gradio=={front['sdk_version']}" in needed


def test_the_space_starts_where_the_packages_lie_beside_it(tmp_path: Path) -> None:
    for folder in (SPACE, ROOT / "archbert", ROOT / "modeling_archbert", ROOT / "processing_archbert"):
        for path in folder.iterdir() if folder == SPACE else [folder]:
            (tmp_path / path.name).symlink_to(path)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import app, archbert; print(app.__file__, archbert.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert all(path.startswith(str(tmp_path)) for path in done.stdout.split())


def test_a_checkpoint_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import app

    assert app.main(["--model", str(tmp_path / "none")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
