"""The command line: every command, in this process on networks of a small size, and once in a process of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_checkpoint import tiny_release
from transformers import BertConfig, LlamaConfig, T5Config

from archbert.cli import COMMANDS, build_parser, main
from archbert.cli_sources import QUESTIONS_MODEL_NAME, CommandError, expand, find_model

REPOSITORY = Path(__file__).parents[1]
BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 500,
}
CARD = """# tiny-bert

It has 3 layers, 4 attention heads and a hidden size of 48.
It was trained on 3 million sentences with 16 GPUs.
Unlike BERT-large with 24 layers, it uses GELU.
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, and configs of three small networks."""
    path = tmp_path_factory.mktemp("cli")
    tiny_release(path)
    BertConfig(**BERT).save_pretrained(path / "bert")
    BertConfig(**{**BERT, "num_hidden_layers": 5}).save_pretrained(path / "deeper")
    LlamaConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                intermediate_size=64, vocab_size=300).save_pretrained(path / "llama")  # fmt: skip
    (path / "README.md").write_text(CARD, encoding="utf-8")
    return path


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_describe_tells_the_facts_and_reads_globs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", str(folder / "[bd]e*" / "config.json"), "--json"]) == 0
    found = lines(capsys)
    assert [one["numbers"]["layers"] for one in found] == ["3", "5"]
    assert found[0]["facts"]["parameters"] < found[1]["facts"]["parameters"]
    assert found[0]["facts"]["flops"] > 0 and found[0]["facts"]["sizes"]["sequence"] == 128
    assert "encoder-only transformer" in found[0]["sentences"][0]
    assert main(["describe", str(folder / "llama")]) == 0
    text = capsys.readouterr().out
    assert re.search(r"kv heads +2\b", text) and re.search(r"cache +128 B per token", text)


def test_one_bad_source_among_good_ones(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "no-such-type", str(folder / "bert"), "--json", "--no-costs"]) == 2
    captured = capsys.readouterr()
    first, second = map(json.loads, captured.out.splitlines())
    assert first["source"] == "no-such-type" and "no-such-type" in first["error"]
    assert second["numbers"]["hidden size"] == "32"
    assert captured.err.startswith("error: ") and "Traceback" not in captured.err


def test_describe_draws(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "bert.svg"
    assert main(["describe", str(folder / "bert"), "--draw", str(picture), "--no-costs"]) == 0
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert main(["describe", "bert", "llama", "--draw", str(picture)]) == 2
    assert "one source" in capsys.readouterr().err


def test_answers_say_what_they_rest_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = ["How many layers are there?", "Which activation functions are used?", "Which optimizer was used?",
                 "Does it use RMSNorm?", "Wie viele Schichten hat es?"]  # fmt: skip
    assert main(["ask", str(folder / "bert"), *questions, "--json", "--model", "no/model"]) == 0
    found = lines(capsys)
    assert [one["basis"] for one in found] == ["computed", "computed", "cannot_tell", "computed", "cannot_tell"]
    assert [[a["answer"] for a in one["answers"]] for one in found] == [["3"], ["GELU", "Tanh"], [], ["no"], []]
    assert len(found[0]["evidence"]) == len(found[0]["nodes"]) == 6
    assert "ask in English" in found[-1]["reason"]


def test_a_prediction_that_the_graph_contradicts_is_not_shown(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from archbert import answering

    given = [{"answer": "MaxPool2d", "score": 0.9}, {"answer": "GELU", "score": 0.8}, {"answer": "Tanh", "score": 0.2}]
    monkeypatch.setattr(answering.Answerer, "_pipeline", staticmethod(lambda item, top_k=None: given))
    unread = "Of the activation and the pooling, what is peculiar?"
    assert main(["ask", str(folder / "bert"), unread, "--json"]) == 0
    (found,) = lines(capsys)
    assert found["basis"] == "predicted"
    assert found["answers"] == [{"answer": "GELU", "probability": 0.8}]
    given[1]["score"] = 0.3
    assert main(["ask", str(folder / "bert"), unread]) == 0
    assert "contradicted by the graph" in " ".join(capsys.readouterr().out.split())


def test_the_checkpoint_answers_what_cannot_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unread = "Of the activation and the pooling, what is peculiar?"
    assert main(["ask", str(folder / "bert"), unread, "--json", "--model", str(folder / "tiny")]) == 0
    assert lines(capsys)[0]["basis"] in ("predicted", "cannot_tell")
    assert main(["ask", str(folder / "bert"), unread, "--model", str(folder / "nowhere")]) == 2
    assert "--model" in capsys.readouterr().err


def test_diff_and_its_exit_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bert, deeper = str(folder / "bert"), str(folder / "deeper")
    assert main(["diff", bert, deeper]) == 0
    assert "5 encoder layers instead of 3" in capsys.readouterr().out
    assert main(["diff", bert, deeper, "--exit-code", "--json"]) == 1
    assert lines(capsys)[0]["verdict"] == "changed"
    assert main(["diff", bert, bert, "--exit-code"]) == 0


def test_compare_puts_what_is_computed_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", str(folder / "bert"), str(folder / "llama"), "--model", str(folder / "tiny"), "--json"]
    assert main([*arguments, "--text", "a network with 3 layers", "--text", "a model of emails"]) == 0
    (found,) = lines(capsys)
    assert found["relation"]["verdict"] in ("changed", "different") and -1 <= found["similarity"]["cosine"] <= 1
    layers, emails = found["texts"]
    assert (layers["a"], layers["b"]) == ({"basis": "computed", "holds": True}, {"basis": "computed", "holds": False})
    assert emails["a"]["basis"] == "predicted"


def test_card_is_markdown_with_a_picture_and_verifies_itself(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "section.md"
    assert main(["card", str(folder / "bert"), "-o", str(written)]) == 0
    text = written.read_text(encoding="utf-8")
    assert text.startswith("## Architecture\n") and "\n```mermaid\nflowchart" in text and "| layers | 3 |" in text
    assert main(["verify", str(folder / "bert"), str(written), "--exit-code", "--json"]) == 0
    verdicts = [one["verdict"] for one in lines(capsys)]
    assert len(verdicts) >= 6 and "wrong" not in verdicts
    assert main(["verify", str(folder / "deeper"), str(written), "--exit-code"]) == 1


def test_verify_finds_what_is_wrong_and_leaves_the_rest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["verify", str(folder / "bert"), str(folder / "README.md"), "--json"]
    assert main([*arguments, "--exit-code"]) == 1
    found = lines(capsys)
    assert [(one["line"], one["verdict"]) for one in found] == [(3, "wrong"), (5, "right")]
    wrong = [claim for claim in found[0]["claims"] if claim["verdict"] == "wrong"]
    assert [(claim["kind"], claim["says"], claim["shown"]) for claim in wrong] == [("hidden_size", 48, "32")]
    assert main(["verify", str(folder / "bert"), str(folder / "nothing.md")]) == 2


def test_index_is_built_resumed_searched_and_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index, model = tmp_path / "known", ["--model", str(folder / "tiny")]
    sources = [str(folder / name) for name in ("bert", "deeper", "llama")]
    copy = tmp_path / "copy"
    BertConfig(**BERT).save_pretrained(copy)
    (index / ".unfinished").mkdir(parents=True)
    (index / ".unfinished" / "graphs.jsonl").write_text('["half a li', encoding="utf-8")
    assert main(["index", "build", *sources, str(copy), "-o", str(index), "--json", *model]) == 0
    assert lines(capsys)[0] | {"index": ""} == {"index": "", "architectures": 3, "aliases": 1, "failed": []}
    assert main(["search", sources[0], "--index", str(index), "--json", *model]) == 0
    found = lines(capsys)
    assert found[0]["source"] == sources[0] and found[0]["score"] == pytest.approx(1.0, abs=1e-3)
    assert found[0]["aliases"] == [str(copy)] and len(found) == 3
    assert main(["search", "a decoder", "--index", str(index), "--filter", "kv_heads=2", "--json", *model]) == 0
    assert [one["source"] for one in lines(capsys)] == [sources[2]]
    about = json.loads((index / "index.json").read_text(encoding="utf-8"))
    for changed in ({"extraction_version": 1}, {"model": "another"}):
        (index / "index.json").write_text(json.dumps(about | changed), encoding="utf-8")
        assert main(["search", "a decoder", "--index", str(index), *model]) == 2
        assert "build" in capsys.readouterr().err
    assert main(["search", "a decoder", "--index", str(tmp_path), *model]) == 2
    assert "archbert index build" in capsys.readouterr().err


def test_the_checkpoint_is_found_by_option_then_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHBERT_MODEL", "from/variable")
    assert find_model("from/option") == "from/option"
    assert find_model(None) == "from/variable"
    monkeypatch.delenv("ARCHBERT_MODEL")
    assert find_model(None).endswith("archbert-mini")
    assert find_model(None, QUESTIONS_MODEL_NAME).endswith("archbert-small")


def test_a_glob_without_files_is_refused() -> None:
    with pytest.raises(CommandError, match=r"No file matches 'nothing/\*\.json'"):
        expand(["nothing/*.json"])


def test_help_of_every_command_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for action in build_parser()._subparsers._group_actions for name in action.choices]  # type: ignore
    assert len(names) > len(COMMANDS) - 1
    for name in names:
        with pytest.raises(SystemExit) as stopped:
            main([name, "--help"])
        text = capsys.readouterr().out
        assert stopped.value.code == 0 and f"examples:\n  archbert {name}" in text and "--json" in text


def test_sources_of_two_towers_have_scopes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    T5Config(
        d_model=32, d_ff=64, d_kv=8, num_heads=4, num_layers=2, num_decoder_layers=3, vocab_size=200
    ).save_pretrained(tmp_path)
    questions = ["How many layers does the decoder have?", "How many encoder layers?", "Is it an encoder-decoder?"]
    assert main(["ask", str(tmp_path), *questions, "--json", "--computed-only"]) == 0
    assert [one["answers"][0]["answer"] for one in lines(capsys)] == ["3", "2", "yes"]


def test_a_process_of_its_own_without_colour_and_width(folder: Path) -> None:
    """A narrow terminal is respected, a pipe gets no colours, and an error is one line."""
    done = subprocess.run(
        [sys.executable, "-m", "archbert", "describe", str(folder / "bert"), "nothing-at-all", "--no-costs"],
        cwd=REPOSITORY, env={**os.environ, "COLUMNS": "50", "NO_COLOR": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "\x1b" not in done.stdout and "BertModel" in done.stdout
    long = [line for line in done.stdout.splitlines() if len(line) > 50]
    assert all(len(line.split()) <= 3 for line in long), long


def test_the_commands_of_the_documentation_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every console block of docs/command_line.md, with the output that stands there."""
    text = (REPOSITORY / "docs" / "command_line.md").read_text(encoding="utf-8")
    (card,) = re.findall(r"```markdown\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "card.md").write_text(card, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    blocks = re.findall(r"```console\n\$ archbert ([^\n]*)\n(.*?)\n```", text, flags=re.DOTALL)
    assert len(blocks) >= 5
    for command, shown in blocks:
        assert main(shlex.split(command)) == 0
        assert capsys.readouterr().out.rstrip("\n") == shown, command
