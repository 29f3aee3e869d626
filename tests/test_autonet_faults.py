"""AutoNet when things go wrong: killed at any moment, a full disk, damaged files, other arguments for one folder."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import pytest

from dataset_scripts.autonet import files_autonet, generate_autonet, manifest_autonet, parts_autonet
from dataset_scripts.autonet.generate_autonet import generate, is_finished, main
from dataset_scripts.autonet.manifest_autonet import ManifestError, check_files, verify
from dataset_scripts.autonet.samples_autonet import draw

ROOT = Path(__file__).resolve().parents[1]
DRAWN = cache(draw)
LONGEST_WAIT = 300
UNIX = pytest.mark.skipif(os.name != "posix", reason="signals and /dev/full of Unix")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Parts of 4 architectures, files of 8; what was drawn once is kept."""
    for module in (parts_autonet, manifest_autonet):
        patch.setattr(module, "BLOCK", 4)
    patch.setattr(parts_autonet, "SHARD", 8)
    patch.setattr(parts_autonet, "FIRST_GROUPS", ())
    patch.setattr(generate_autonet, "draw", DRAWN)


def make(folder: Path, **changes: Any) -> None:
    """10 + 4 + 2 tiny architectures."""
    usual = {"num_train": 10, "num_validation": 4, "num_test": 2, "seed": 3, "output_dir": folder, "size": "tiny"}
    generate(**usual | changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        make(folder)
    return folder


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that may be damaged."""
    return shutil.copytree(whole, tmp_path / "copied")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_nothing_loads(folder: Path) -> None:
    for config in (None, "aqa"):
        with pytest.raises((ValueError, FileNotFoundError)):
            datasets.load_dataset(str(folder), config)
    assert not is_finished(folder)


def at_step(patch: pytest.MonkeyPatch, step: int, happens: Callable[[], None]) -> list[int]:
    """Let something happen instead of the `step`-th rename: what others see of a build comes about by renames.

    Returns:
        A list whose only number grows with every rename.
    """
    done = [0]

    def counted(rename: Callable[..., Any]) -> Callable[..., Any]:
        def renamed(*arguments: Any) -> Any:
            done[0] += 1
            if done[0] == step:
                happens()
            return rename(*arguments)

        return renamed

    patch.setattr(os, "replace", counted(os.replace))
    patch.setattr(Path, "rename", counted(Path.rename))
    return done


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    raise KeyboardInterrupt


@UNIX
def test_a_build_that_was_killed_does_not_load_and_goes_on(whole: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        steps = at_step(patch, 0, interrupt)
        make(tmp_path / "counted")
    total = steps[0]
    assert total > 60
    for step in (1, 2, 9, total // 2, *range(total - 9, total + 1, 3), total - 1):
        folder = tmp_path / str(step)
        child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patch:
                at_step(patch, step, kill_myself)
                make(folder)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        assert_nothing_loads(folder)
        make(folder)
        assert files(folder) == files(whole), step


def test_finished_parts_are_used_again(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_step(patch, 26, interrupt)
        make(tmp_path)
    parts = sorted(path.name for path in (tmp_path / ".unfinished" / "parts").iterdir() if path.suffix == "")
    assert parts == ["test-000000-000002", "train-000000-000004", "validation-000000-000004"]
    damaged = tmp_path / ".unfinished" / "parts" / "validation-000000-000004" / "aqa.part"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    drawn = []
    monkeypatch.setattr(generate_autonet, "draw", lambda order: drawn.append(order.arch_id) or DRAWN(order))
    make(tmp_path)
    assert files(tmp_path) == files(whole)
    assert set(drawn) == {f"validation-{i:06d}" for i in range(4)} | {f"train-{i:06d}" for i in range(4, 10)}


@pytest.mark.parametrize("other", [{"seed": 4}, {"style": "vit"}])
def test_parts_of_other_arguments_are_thrown_away(
    tmp_path: Path, other: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_step(patch, 26, interrupt)
        make(tmp_path, num_test=0)
    make(tmp_path, num_test=0, **other)
    assert "begun with other arguments or other code" in caplog.text
    make(tmp_path.with_name(f"{tmp_path.name}-fresh"), num_test=0, **other)
    assert files(tmp_path) == files(tmp_path.with_name(f"{tmp_path.name}-fresh"))


def test_parts_of_other_code_are_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_step(patch, 26, interrupt)
        make(tmp_path)
    monkeypatch.setattr(generate_autonet, "code_digest", lambda: "0" * 64)
    make(tmp_path)
    assert "begun with other arguments or other code" in caplog.text
    assert check_files(tmp_path)["code"] == "0" * 64


def test_an_older_build_is_whole_until_the_new_one_is(copied: Path) -> None:
    before = files(copied)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_step(patch, 20, interrupt)
        make(copied, seed=4)
    assert {name: text for name, text in files(copied).items() if not name.startswith(".")} == before
    assert len(datasets.load_dataset(str(copied), "aqa")["train"]) == 350
    make(copied, seed=4, num_test=0)
    assert check_files(copied)["arguments"]["seed"] == 4
    assert not list(copied.glob("*/test-*.parquet"))


@UNIX
@pytest.mark.parametrize("file", [1, 5, 30, 50])
def test_a_full_disk_is_said_and_the_build_goes_on(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: int
) -> None:
    opened = []

    def until_full(path: Path, mode: str) -> Any:
        opened.append(path)
        return open("/dev/full" if len(opened) == file else path, mode)

    monkeypatch.setattr(files_autonet, "open", until_full, raising=False)
    with pytest.raises(OSError, match=r"disk is full.*goes on from here") as error:
        make(tmp_path)
    assert error.value.errno == errno.ENOSPC
    assert_nothing_loads(tmp_path)
    make(tmp_path)
    assert files(tmp_path) == files(whole)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Mine\n")
    with pytest.raises(FileExistsError, match="something else than AutoNet"):
        make(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        make(tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "file"]


# The manifest


def test_a_build_is_verified_against_its_own_manifest_and_a_larger_one(whole: Path, tmp_path: Path) -> None:
    assert "10 of 10 (train), 4 of 4 (validation), 2 of 2 (test)" in verify(whole, whole / "manifest.json")
    make(tmp_path, num_train=6, num_validation=4, num_test=0)
    assert "4 of 10 (train), 4 of 4 (validation), 0 of 2 (test)" in verify(tmp_path, whole)
    assert "4 of 6 (train), 4 of 4 (validation)" in verify(whole, tmp_path)


def test_rows_that_differ_are_found(whole: Path, tmp_path: Path) -> None:
    manifest = json.loads((whole / "manifest.json").read_text())
    manifest["blocks"]["captions"]["train"][1] = manifest["blocks"]["captions"]["train"][0]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ManifestError, match="captions, train: architectures from 4 on differ"):
        verify(whole, tmp_path)
    manifest["arguments"]["seed"] = 4
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ManifestError, match="seed is 3 in this build and 4 in the manifest"):
        verify(whole, tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "bytes instead of"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "other bytes than when it was made"),
        (Path.unlink, "is missing"),
    ],
)
def test_a_damaged_file_is_named_and_made_again(
    whole: Path, copied: Path, damage: Callable[[Path], None], message: str, capsys: pytest.CaptureFixture
) -> None:
    path = copied / "aqa" / "train-00001-of-00002.parquet"
    damage(path)
    with pytest.raises(ManifestError, match=re.escape(str(path)) + f" .*{message}"):
        check_files(copied)
    with pytest.raises(SystemExit) as stop:
        main(["--out", str(copied), "--verify", str(whole / "manifest.json")])
    assert stop.value.code == 1 and str(path) in capsys.readouterr().err
    make(copied)
    assert files(copied) == files(whole)


def test_a_file_too_many_is_named(copied: Path) -> None:
    path = shutil.copy(copied / "aqa" / "train-00001-of-00002.parquet", copied / "aqa" / "train-9.parquet")
    with pytest.raises(ManifestError, match=re.escape(f"{path} is not in the manifest")):
        check_files(copied)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "other", "version": 1}'])
def test_a_damaged_manifest_is_an_error(whole: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no .*manifest\.json"):
        verify(whole, tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ManifestError, match=r"manifest\.json.*build the data anew"):
        verify(whole, tmp_path)


# The command line, in processes of its own


def started(folder: Path) -> subprocess.Popen[str]:
    """A build in two processes that has begun to draw."""
    command = [sys.executable, "-m", "dataset_scripts.autonet.generate_autonet", "--out", str(folder)]
    command += ["--num_train", "5000", "--size", "tiny", "--num_proc", "2"]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "80"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )  # fmt: skip
    deadline = time.monotonic() + LONGEST_WAIT
    while len(children(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def children(pid: int) -> list[int]:
    """Spawned workers of a process."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    found = [int(child) for child in text.split()]
    return [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def ended(pid: int) -> bool:
    """Whether a process is gone, or is a zombie that nobody waits for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_a_build(tmp_path: Path, sent: signal.Signals) -> None:
    process = started(tmp_path)
    workers = children(process.pid)
    assert len(workers) == 2
    process.send_signal(sent)
    _, errors = process.communicate(timeout=LONGEST_WAIT)
    deadline = time.monotonic() + LONGEST_WAIT
    while not all(ended(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(ended(worker) for worker in workers)
    assert_nothing_loads(tmp_path)
    if sent is signal.SIGINT:
        assert process.returncode == 130 and "it goes on from here" in errors and "Traceback" not in errors
