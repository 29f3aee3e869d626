"""Calls in child processes: results, limits, crashes and hostile children, and that nothing is left behind."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import isolated_functions as functions
import pytest
from transformers import BertConfig

from processing_archbert import ArchitectureGraphError, ArchitectureSourceError, ArchitectureTraceError, trace
from processing_archbert import isolation_archbert as isolation
from processing_archbert.isolation_archbert import ArchitectureLimitError, extract_isolated, run_isolated
from processing_archbert.source_errors_archbert import ArchitectureSourceWarning

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a server of forked children is used on Linux only")


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> bool:
    """Whether the condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())


def is_gone(file: Path) -> bool:
    """Whether the process whose number a file holds does not exist, or only waits to be collected."""
    try:
        return Path(f"/proc/{int(file.read_text())}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture(scope="module", autouse=True)
def script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A script that uses isolation by itself, started early because it imports everything."""
    folder = tmp_path_factory.mktemp("script")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(ROOT / "tests" / "isolation_child.py"), str(folder)],
        env=environment, stderr=subprocess.PIPE,
    )  # fmt: skip
    yield process, folder
    process.kill()
    process.communicate()


# Results


def test_plain_data_and_bytes_go_both_ways() -> None:
    result = run_isolated(functions.echo, 1, "ü", None, [1.5, (True,)], b"\0\xff", key={"a": Path("x")})
    assert result == {"args": [1, "ü", None, [1.5, [True]], b"\0\xff"], "kwargs": {"key": {"a": "x"}}}
    assert run_isolated("isolated_functions:as_bytes", 1 << 21) == b"\0\xff" * (1 << 20)


def test_a_graph_equals_the_one_made_here() -> None:
    graph = extract_isolated(functions.traced, "bert", **SMALL)
    assert graph == trace(BertConfig(**SMALL), source="bert")


def test_a_child_is_warm_single_threaded_and_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (run_isolated(functions.surroundings, "ARCHBERT_TEST") for _ in range(2))
    assert first["server"] == second["server"] and first["pid"] != second["pid"]
    assert first["threads"] == first["server_threads"] == 1
    assert first["input"] == "" and first["folder"] == str(tmp_path)
    assert len(first["sockets"]) == 3  # output, twice, and the result


def test_secrets_and_network_need_to_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    monkeypatch.setenv("SOME_SETTING", "plain")
    assert run_isolated(functions.surroundings, "SOME_TOKEN")["variable"] is None
    assert run_isolated(functions.surroundings, "SOME_TOKEN", network=True)["variable"] == "secret"
    assert run_isolated(functions.surroundings, "SOME_SETTING")["variable"] == "plain"
    with pytest.raises(ArchitectureTraceError, match="network=True allows it"):
        run_isolated(functions.connect, "http://127.0.0.1:9/")
    with pytest.raises(ArchitectureTraceError, match="refused"):
        run_isolated(functions.connect, "http://127.0.0.1:9/", network=True)


def test_output_is_read_and_not_kept() -> None:
    assert run_isolated(functions.flood) == 1


def test_calls_from_threads_run_side_by_side() -> None:
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda i: run_isolated(functions.echo, i), range(24)))
    assert [r["args"] for r in results] == [[i] for i in range(24)]


def test_an_isolated_call_inside_another_runs_in_place() -> None:
    assert run_isolated(functions.nested) is True


# Errors


@pytest.mark.parametrize("kind", [ArchitectureGraphError, ArchitectureSourceError, ArchitectureTraceError])
def test_errors_of_the_library_keep_class_message_and_cause(kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        run_isolated(functions.fail, kind.__name__)
    assert type(caught.value) is kind and str(caught.value) == f"message of {kind.__name__}"
    assert str(caught.value.__cause__) == "OSError: the disk is on fire"


@pytest.mark.parametrize("name", ["KeyError", "SystemExit"])
def test_other_errors_become_one_of_the_library(name: str) -> None:
    with pytest.raises(ArchitectureTraceError, match=rf"fail\('{name}'\) failed: {name}: .*message of {name}"):
        run_isolated(functions.fail, name)


def test_warnings_of_the_library_are_passed_on() -> None:
    with pytest.warns() as given:
        run_isolated(functions.warn)
    assert [(w.category, str(w.message)) for w in given] == [(ArchitectureSourceWarning, "look at this")]


@pytest.mark.parametrize(
    ("function", "args", "limits", "message"),
    [
        (lambda: 1, (), {}, "imports it by name"),
        ("no_colon", (), {}, "imports it by name"),
        ("__main__:main", (), {}, "imports it by name"),
        (functions.echo, (object(),), {}, "object is no plain data"),
        (functions.echo, (), {"time_limit": 0}, "time_limit is 0; a number above 0"),
        (functions.echo, (), {"memory_limit": "8 GB"}, "memory_limit is '8 GB'"),
        (functions.echo, (), {"result_limit": None}, "result_limit is None"),
    ],
)
def test_what_cannot_be_run_is_explained(function: Any, args: Any, limits: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        run_isolated(function, *args, **limits)


def test_a_function_that_is_not_there_is_explained() -> None:
    with pytest.raises(ArchitectureTraceError, match="no attribute 'nothing'"):
        run_isolated("isolated_functions:nothing")


# Limits


@pytest.mark.parametrize("kind", ["asleep", "deaf", "locked"])
def test_a_child_that_hangs_is_killed(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ArchitectureLimitError, match=r"longer than time_limit=0\.3 seconds.*larger time_limit"):
        run_isolated(functions.hang, kind, str(tmp_path / "pid"), time_limit=0.3)
    assert is_gone(tmp_path / "pid")


@pytest.mark.parametrize("then", ["hang", "return"])
def test_what_a_child_started_is_killed_with_it(then: str, tmp_path: Path) -> None:
    if then == "hang":
        with pytest.raises(ArchitectureLimitError):
            run_isolated(functions.leave_processes, str(tmp_path), then, time_limit=1.5)
    else:
        run_isolated(functions.leave_processes, str(tmp_path), then)
    assert wait_for(lambda: is_gone(tmp_path / "child") and is_gone(tmp_path / "daemon"))


@pytest.mark.parametrize("kind", ["python", "torch", "child"])
def test_memory_is_limited(kind: str) -> None:
    with pytest.raises(ArchitectureLimitError, match=r"memory_limit=400000000 bytes.*larger memory_limit"):
        run_isolated(functions.grow, kind, memory_limit=400_000_000)


def test_the_result_is_limited() -> None:
    with pytest.raises(ArchitectureLimitError, match=r"larger than result_limit=100000 bytes"):
        run_isolated(functions.as_bytes, 1 << 20, result_limit=100_000)


@pytest.mark.parametrize(
    ("kind", "message"),
    [("segfault", "SIGSEGV.*last words"), ("exit", "exit code 0 before it had a result"), ("kill", "SIGKILL.*memory")],
)
def test_a_crash_is_an_ordinary_error(kind: str, message: str) -> None:
    with pytest.raises(ArchitectureTraceError, match=message):
        run_isolated(functions.crash, kind)


@pytest.mark.parametrize("kind", ["pickle", "nonsense", "deep", "error", "endless"])
def test_what_a_hostile_child_sends_is_only_read(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ArchitectureTraceError):
        run_isolated(functions.forge, kind, str(tmp_path / "it_ran"), result_limit=1 << 20)
    assert not (tmp_path / "it_ran").exists()


# Processes


def test_without_a_server_each_call_has_an_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(isolation, "can_fork", lambda: False)
    seen = run_isolated(functions.surroundings, "X")
    assert seen["server"] == os.getpid() and seen["input"] == ""
    with pytest.raises(ArchitectureLimitError, match=r"time_limit=0\.2"):
        run_isolated(functions.hang, "deaf", str(tmp_path / "pid"), time_limit=0.2)


def test_copies_in_the_flat_folder_of_remote_code_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "transformers_modules" / "archbert-mini" / "0abc"
    folder.mkdir(parents=True)
    for package in (folder, *folder.parents[:2]):  # as transformers makes them; it puts its own on the path, too
        (package / "__init__.py").touch()
    for file in (ROOT / "processing_archbert").glob("*_archbert.py"):
        (folder / file.name).symlink_to(file)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers_modules"]:  # of other tests
        monkeypatch.delitem(sys.modules, name)
    module = importlib.import_module("transformers_modules.archbert-mini.0abc.isolation_archbert")
    assert module.run_isolated("operator:add", 1, 2) == 3
    path = "transformers_modules.archbert-mini.0abc.tracing_archbert:trace"
    with pytest.raises(module.ArchitectureTraceError, match=r"TypeError: .*got str"):
        module.run_isolated(path, "bert")


def test_a_script_without_guard_a_forked_process_and_an_interrupt(
    script: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, folder = script
    assert wait_for(lambda: (folder / "results.json").exists() or process.poll() is not None, 300)
    assert process.poll() is None, (process.stderr.read() if process.stderr else b"").decode()
    results = json.loads((folder / "results.json").read_text())
    assert results["plain"] == {"args": [1], "kwargs": {}}
    assert results["interrupted"] and results["forked"] and results["after"]


def test_a_server_that_was_killed_is_replaced_and_leaves_no_child(
    script: tuple[subprocess.Popen[bytes], Path],
) -> None:
    results = json.loads((script[1] / "results.json").read_text())
    assert "lost with its server" in results["lost"]
    assert results["replaced"] and is_gone(script[1] / "lost")


def test_server_and_child_end_with_a_process_that_is_killed(script: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, folder = script
    assert wait_for(lambda: (folder / "orphan").exists() and (folder / "orphan").read_text())
    (folder / "server").write_text(str(json.loads((folder / "results.json").read_text())["server"]))
    assert not is_gone(folder / "server") and not is_gone(folder / "orphan")
    process.kill()
    process.wait()
    assert wait_for(lambda: is_gone(folder / "server") and is_gone(folder / "orphan"))
