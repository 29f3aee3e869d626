"""Damaged and hostile files: some cases for every reader, every file that ever failed, and the harness itself.

`make fuzz` runs 10,000 cases for each reader.
"""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "fuzz"))

import harness

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs children with limits of memory")

CASES = 120
PATIENCE = 60.0
"""Seconds for a case: a hang is seen, and a busy machine is none."""
TARGETS = harness.target_paths()
BROKEN = """
    import json, os, pickle, socket, subprocess, sys, time
    from pathlib import Path

    SUFFIX = ".txt"
    ALLOWED = (ValueError,)

    def SEEDS():
        return [b"good"]

    def HOSTILE():
        return [name.encode() for name in ACTS]

    class Touch:
        def __reduce__(self):
            return os.getpid, ()

    def swallowed():
        try:
            open("/etc/hostname")
        except BaseException:
            pass

    ACTS = {
        "allowed": lambda: int("x"),
        "wrong error": lambda: {}["key"],
        "read outside": lambda: open("/etc/hostname"),
        "swallowed": swallowed,
        "write outside": lambda: open(__file__, "a"),
        "remove outside": lambda: os.remove("/tmp/does-not-exist"),
        "list outside": lambda: os.listdir("/etc"),
        "pickle": lambda: pickle.loads(pickle.dumps(Touch())),
        "process": lambda: subprocess.run(["true"]),
        "shell": lambda: os.system("true"),
        "network": lambda: socket.create_connection(("127.0.0.1", 9)),
        "eval": lambda: eval("1 + 1"),
        "exec": lambda: exec("x = 1"),
        "hang": lambda: time.sleep(60),
        "memory": lambda: [bytearray(1 << 24) for _ in range(1000)],
        "crash": lambda: os.abort(),
        "leave": lambda: sys.exit(0),
    }

    def read(path):
        ACTS.get(path.read_text(errors="replace"), int)()
"""


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_reader_survives_damaged_and_hostile_files(name: str) -> None:
    outcome = harness.Outcome()
    with harness.Fuzzer(TARGETS[name], seed=1, case_seconds=PATIENCE, corpus=None).prepared() as fuzzer:
        fuzzer.run(outcome, 0, CASES)
        kept = harness.kept_cases(name)
        fuzzer.run(outcome, 0, len(kept), kept)
    assert outcome.failures == []
    assert outcome.cases == CASES + len(kept)
    assert outcome.accepted + outcome.refused == outcome.cases and outcome.refused > 0


def test_the_harness_sees_what_must_not_happen(tmp_path: Path) -> None:
    target = tmp_path / "fuzz_broken.py"
    target.write_text(textwrap.dedent(BROKEN))
    outcome = harness.Outcome()
    fuzzer = harness.Fuzzer(target, case_seconds=3.0, memory_limit=1 << 27, corpus=tmp_path / "corpus")
    with fuzzer.prepared():
        acts = [file.read_text() for file in sorted((fuzzer.scratch / "hostile").iterdir())]
        fuzzer.run(outcome, 0, len(acts))
    problems = {acts[failure.index]: failure.problem for failure in outcome.failures}
    assert set(problems) == set(acts) - {"allowed"}
    assert outcome.cases == len(acts) and outcome.refused == 1 and outcome.accepted == 0
    expected = {
        "wrong error": "KeyError", "read outside": "forbidden: open", "swallowed": "forbidden: open",
        "write outside": "(write)", "remove outside": "os.remove", "list outside": "os.listdir",
        "pickle": "pickle.find_class", "process": "subprocess", "shell": "os.system", "network": "socket",
        "eval": "exec of", "exec": "exec of", "hang": "SIGALRM", "memory": "Memory", "crash": "SIGABRT",
        "leave": "SystemExit",
    }  # fmt: skip
    for act, words in expected.items():
        assert words.lower() in problems[act].lower(), (act, problems[act])
    kept = {file.read_text() for file in (tmp_path / "corpus" / "broken").iterdir()}
    assert kept == set(problems)


def test_cases_follow_from_the_seed_and_reach_every_kind_of_damage() -> None:
    target = harness.load_target(TARGETS["json"])
    seeds = target.SEEDS()
    cases = [harness.make_case(target, "json", seeds, [b"!"], 0, i) for i in range(400)]
    assert cases == [harness.make_case(target, "json", seeds, [b"!"], 0, i) for i in range(400)]
    assert cases[0] == ("hostile", b"!")
    kinds = Counter(kind for case, _ in cases for kind in case.split("+"))
    assert set(kinds) == {"hostile", "structure", *harness.MUTATIONS}
    assert len({data for _, data in cases}) > 350
    other = [harness.make_case(target, "json", seeds, [b"!"], 1, i) for i in range(400)]
    assert sum(a == b for a, b in zip(cases, other, strict=True)) < 20


def test_what_reaches_something_new_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import guided

    monkeypatch.setattr(guided, "CORPUS", tmp_path / "corpus")
    inputs, kept = tmp_path / "inputs", tmp_path / "corpus" / "json"
    for folder, name, data in (
        (inputs, "seed", b"seed"), (inputs, "new", b"new"), (inputs, "reached-1", b"old"),
        (inputs, "large", bytes(guided.MAX_KEPT_BYTES)), (kept, "reached-1", b"old"), (kept, "crash-1", b"broke"),
    ):  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    guided.keep_reaching("json", inputs, {"seed", "reached-1"})
    assert sorted(file.read_bytes() for file in kept.iterdir()) == [b"broke", b"new", b"old"]
    assert (kept / "crash-1").is_file()
