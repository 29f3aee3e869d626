"""The baseline of language models (examples/run_llm_baseline.py) against an endpoint on this machine."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import run_llm_baseline as baseline
from tiny_tvhf import write_tiny_tvhf

Reply = Callable[[str], str]


@pytest.fixture(scope="module")
def tvhf(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_tvhf(tmp_path_factory.mktemp("data") / "tvhf"))


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to this machine are allowed, wherever the tests run without the Hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@contextmanager
def endpoint(reply: Reply) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Address of chat completions that answer with `reply(prompt)`, and the requests that they got."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({**body, "path": self.path, "key": self.headers["Authorization"]})
            message = {"role": "assistant", "content": reply(body["messages"][-1]["content"])}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            found = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice],
                     "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}  # fmt: skip
            data = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def run(address: str, tvhf: str, folder: Path, **changes: Any) -> dict[str, Any]:
    return baseline.main(
        baseline.LlmArguments(base_url=address, model="m", real_data=tvhf, output_dir=str(folder), **changes)
    )


def test_statements_are_asked_once_and_measured_like_all_others(
    tvhf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    with endpoint(lambda prompt: "Yes.") as (address, asked):
        table = run(address, tvhf, tmp_path)
        assert table["rows"][0]["accuracy"] == 50.0 and table["rows"][0]["group_accuracy"] == 0.0
        assert table["rows"][0]["unread"] == 0 and table["prompts"] == baseline.DIGEST
        first, count = asked[0], len(asked)
        assert first["path"] == "/v1/chat/completions" and first["key"] == "Bearer secret"
        assert first["temperature"] == 0 and first["model"] == "m"
        assert "(" in first["messages"][1]["content"].split("Statement:")[0]
        with (tmp_path / "answers.jsonl").open("a") as file:
            file.write('{"prompt": "cut sho')
        assert run(address, tvhf, tmp_path)["rows"] == table["rows"] and len(asked) == count


def test_what_cannot_be_read_is_wrong_and_counted(tvhf: str, tmp_path: Path) -> None:
    with endpoint(lambda prompt: "Perhaps yes, perhaps no.") as (address, _):
        table = run(address, tvhf, tmp_path)
    rows = int(table["data"].rpartition(": ")[2].split()[0])
    assert table["rows"][0]["accuracy"] == 0.0 and table["rows"][0]["unread"] == rows > 0


def test_questions_want_the_true_set(tvhf: str, tmp_path: Path) -> None:
    rows = baseline.read_rows(Path(tvhf), "aqa", "test")
    truth = {row["question"]: row["answers"] for row in rows}

    def reply(prompt: str) -> str:
        question = prompt.split("Question: ")[1].split("\n")[0]
        return "Here: " + json.dumps(truth[question])

    with endpoint(reply) as (address, _):
        table = run(address, tvhf, tmp_path, task="questions", limit=6)
    assert table["data"].endswith("6 rows") and 0 < table["results"]["micro"] <= 100
    assert baseline.given_list("none") is None and baseline.given_list('["a", "b"] or so') == {"a", "b"}


def test_pairs_and_configs(tvhf: str, tmp_path: Path) -> None:
    with endpoint(lambda prompt: "no") as (address, asked):
        table = run(address, tvhf, tmp_path, task="clones", split="validation")
    assert table["results"]["F1"] == 0.0 and "Another one" in asked[0]["messages"][1]["content"]
    with pytest.raises(ValueError, match="has no config; ask with --shown module"):
        baseline.network_text({"arch_id": "x", "config": ""}, "config")
    assert baseline.network_text({"arch_id": "x", "config": "{}"}, "config") == "{}"
