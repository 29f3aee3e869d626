"""Publishes to a Hub that breaks down: ``python tests/faults/break_publishing.py``.

In every run one request, chosen at random, and now and then some more fail: the connection is cut before the answer or
in the middle of it, the Hub answers 500 or 409, answers late, or receives a large file damaged and says so. The same
command is run again until it succeeds. After every attempt each repository must be what it was before or what it shall
be, whole; at the end all must be there, each tag must name the files of its release, and nothing may have been
committed twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from writable_hub import TOKEN, WritableHub, _WritingHandler, _WritingServer  # noqa: E402

KINDS = ("cut before", "cut within", "500", "409", "slow", "damaged")
ATTEMPTS = 6
EVERY = 5
"""The result is written after so many runs."""
COUNTED = ("attempts", "failed")
_CHILD = """
import contextlib, io, json, os, sys, time
from archbert.publish_contents import Upload
from archbert.publish import publish
from pathlib import Path
time.sleep = lambda seconds: None  # the client waits between its tries
for line in sys.stdin:
    given, release = json.loads(line)
    uploads = [Upload(*fields, {path: Path(file) for path, file in files.items()}) for *fields, files in given]
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = publish(uploads, release=release)
    print(json.dumps([status, errors.getvalue()]), flush=True)
"""


class _BreakingHandler(_WritingHandler):
    server: _BreakingServer

    def _broken(self) -> bool:
        """Do to this request what is planned for it; True if it has got its answer by that."""
        kind = self.server.planned.pop(self.server.count, None)
        self.server.count += 1
        if kind is None:
            return False
        self.server.happened[kind] += 1
        if kind == "cut before":
            self.close_connection = True
            self.connection.close()
        elif kind in ("500", "409"):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._error("", "broken down" if kind == "500" else "somebody else is writing", status=int(kind))
        elif kind == "slow":
            time.sleep(0.3)
            return False
        else:
            self.server.spoil = kind
            return False
        return True

    def _answer(self) -> None:
        if not self._broken():
            super()._answer()

    def do_POST(self) -> None:
        if not self._broken():
            super().do_POST()

    def do_PUT(self) -> None:
        if self._broken():
            return None
        if self.server.spoil == "damaged":  # the storage compares what came with the name it was announced by
            self.server.spoil = ""
            self.rfile.read(int(self.headers["Content-Length"]))
            return self._error("", "the checksum differs", status=400)
        return super().do_PUT()

    def _send(self, content: bytes, kind: str, headers: Any, status: int) -> None:
        if self.server.spoil == "cut within" and content:
            self.server.spoil = ""
            self.close_connection = True
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.connection.shutdown(2)
            return
        super()._send(content, kind, headers, status)


class _BreakingServer(_WritingServer):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.planned: dict[int, str] = {}
        self.happened: Counter[str] = Counter()
        self.count, self.spoil = 0, ""

    def handle_error(self, *_: Any) -> None:
        """Silence: connections are cut on purpose."""


class BreakingHub(WritableHub):
    """A local Hub that fails as it is told to."""

    handler = _BreakingHandler
    server = _BreakingServer

    _server: _BreakingServer

    @property
    def happened(self) -> Counter[str]:
        """Kind of failure -> how often it was met."""
        return self._server.happened

    def plan(self, failures: dict[int, str]) -> None:
        """Number of a request from now on -> how it fails; none left from before."""
        self._server.count, self._server.spoil, self._server.planned = 0, "", dict(failures)

    def tagged(self, repo_id: str, kind: str) -> dict[str, dict[str, bytes]]:
        """Tag -> the files of its commit."""
        return self.tags(f"{kind}s/{repo_id}" if kind != "model" else repo_id)

    def state(self, repo_id: str, kind: str) -> dict[str, bytes]:
        """The files of a repository; none where there is no such repository."""
        key = f"{kind}s/{repo_id}" if kind != "model" else repo_id
        return self.files(key) if key in self._server.repositories else {}


def contents(folder: Path, release: int, namespace: str) -> list[tuple[str, str, str, dict[str, str]]]:
    """A small release: a data set, a metric, a model and a Space, with large files and small ones."""
    uploads = []
    for kind, name, files in (
        ("dataset", "data", ["README.md", "aqa/train.parquet", "aqa/test.parquet"]),
        ("space", "metric", ["README.md", "metric.py"]),
        ("model", "model", ["README.md", "config.json", "model.safetensors"]),
        ("space", "demo", ["README.md", "app.py", f"only_in_{release}.py"]),
    ):
        paths = {}
        for file in files:
            path = folder / f"{namespace}-{release}" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            front = "---\nsdk: static\n---\n" if file == "README.md" else ""
            path.write_text(f"{front}{namespace} {release} {name}/{file}\n" * 20, encoding="utf-8")
            paths[file] = str(path)
        uploads.append((f"{namespace}/{name}", kind, "main", paths))
    return uploads


class Publisher:
    """`archbert.publish.publish` in a process of its own: clients read their address when they are imported."""

    def __init__(self, hub: WritableHub, home: Path) -> None:
        environment = hub.environment(home, HF_TOKEN=TOKEN, PYTHONPATH=str(ROOT), HF_HUB_DISABLE_PROGRESS_BARS="1")
        self._child = subprocess.Popen(
            [sys.executable, "-c", _CHILD], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, uploads: list[tuple[str, str, str, dict[str, str]]], release: str) -> tuple[int, str]:
        assert self._child.stdin and self._child.stdout
        self._child.stdin.write(json.dumps([uploads, release]) + "\n")
        self._child.stdin.flush()
        status, errors = json.loads(self._child.stdout.readline())
        return status, errors

    def close(self) -> None:
        """End the process."""
        self._child.communicate()


def one_run(hub: BreakingHub, publisher: Publisher, folder: Path, rng: random.Random, number: int) -> dict[str, int]:
    """Two releases after each other, both through failures.

    Raises:
        AssertionError: a repository was half published, or something is missing, mixed or committed twice.
    """
    namespace, attempts, failed = f"run{number}", 0, 0
    before: dict[str, dict[str, bytes]] = {}
    for release in (1, 2):
        uploads = contents(folder, release, namespace)
        wanted = {name: {path: Path(f).read_bytes() for path, f in files.items()} for name, _, _, files in uploads}
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            count = 0 if last else 1 + (rng.random() < 0.3) + 9 * (rng.random() < 0.2)
            hub.plan({rng.randrange(60): rng.choice(KINDS) for _ in range(count)})
            status, errors = publisher(uploads, f"v{release}")
            attempts, failed = attempts + 1, failed + (status != 0)
            said = re.search(r"error: .*(nothing was uploaded|is as it was, or)", errors, re.DOTALL)
            assert status == 0 or said, errors
            found = {name: hub.state(name, kind) for name, kind, _, _ in uploads}
            for name, files in found.items():
                assert files in (before.get(name, {}), wanted[name]), f"{name} is half published"
            if status == 0:
                assert found == wanted, "done was said, and it is not"
                tags = {name: hub.tagged(name, kind) for name, kind, _, _ in uploads}
                assert all(tagged[f"v{release}"] == wanted[name] for name, tagged in tags.items()), "a tag is another"
                assert all(len(tagged) == release for tagged in tags.values()), "a tag is missing"
                break
        else:
            raise AssertionError(f"not published without failures: {errors}")
        before = wanted
    for name, kind, _, _ in uploads:
        assert hub.commits(f"{kind}s/{name}" if kind != "model" else name) == 2, f"{name} was committed twice"
    return {"attempts": attempts, "failed": failed}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the result there, every few runs")
    parser.add_argument("--resume", action="store_true", help="go on after the runs that the result has")
    options = parser.parse_args()
    os.environ.pop("HF_HUB_OFFLINE", None)
    command = f"python tests/faults/break_publishing.py --runs {options.runs} --seed {options.seed}"
    done: dict[str, Any] = {}
    if options.resume and options.json and options.json.is_file():
        done = json.loads(options.json.read_text(encoding="utf-8"))
        if done["command"] != command:
            parser.error(f"{options.json} is of another command: {done['command']}")
    total, happened = Counter({name: done.get(name, 0) for name in COUNTED}), Counter(done.get("failures", {}))
    with BreakingHub() as hub, tempfile.TemporaryDirectory() as scratch:
        publisher = Publisher(hub, Path(scratch) / "home")
        for number in range(done.get("runs", 0), options.runs):
            total.update(one_run(hub, publisher, Path(scratch), random.Random(f"{options.seed} {number}"), number))
            failures = dict(sorted((happened + hub.happened).items()))
            result = {"command": command, "runs": number + 1, **total, "failures": failures}
            if options.json and (number % EVERY == EVERY - 1 or number == options.runs - 1):
                options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        publisher.close()
    sys.stdout.write(f"{result if done.get('runs', 0) < options.runs else done}\n")


if __name__ == "__main__":
    main()
