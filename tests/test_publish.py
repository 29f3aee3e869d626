"""Publishing: a plan first, one commit a repository, nothing twice, an older release whole until the new one is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from autonet_build import small_build, small_release
from tiny_checkpoint import tiny_checkpoint
from writable_hub import TOKEN, WritableHub

from archbert.publish_contents import (
    PublishError,
    dataset_uploads,
    index_upload,
    metric_upload,
    model_upload,
    space_upload,
)
from archbert.release import code_files, release
from dataset_scripts.autonet.card_autonet import CONFIGS
from dataset_scripts.release.front_matter_release import read_card

ROOT = Path(__file__).resolve().parents[1]
ONLY_DATA = ("--models", "--metrics", "--no-index", "--no-space")
CHILD = """
import contextlib, io, json, os, sys
from archbert.publish import main
for line in sys.stdin:
    arguments, os.environ["HF_TOKEN"] = json.loads(line)
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = main(arguments)
    print(json.dumps([status, output.getvalue(), errors.getvalue()]), flush=True)
"""


class Done(NamedTuple):
    """What a call of the command line left."""

    status: int
    output: str
    errors: str


class Publisher:
    """The command line in a process of its own, whose Hub is local: its address is read when clients are imported."""

    def __init__(self, hub: WritableHub, home: Path) -> None:
        self.hub = hub
        self._child = subprocess.Popen(
            [sys.executable, "-c", CHILD], cwd=ROOT, env=hub.environment(home), text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def __call__(self, hub_dir: Path, build: Path, *arguments: str, token: str = TOKEN) -> Done:
        assert self._child.stdin and self._child.stdout
        command = [
            "--hub_dir",
            str(hub_dir),
            "--source_dir",
            str(hub_dir.parent),
            *arguments,
            "--datasets",
            f"autonet={build}",
        ]
        self._child.stdin.write(json.dumps([command, token]) + "\n")
        self._child.stdin.flush()
        return Done(*json.loads(self._child.stdout.readline()))

    def writes(self) -> list[str]:
        """All requests so far that would change something."""
        return [request for request in self.hub.requests if request.startswith(("POST", "PUT"))]

    def close(self) -> None:
        """End the process."""
        self._child.communicate()


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_build(tmp_path_factory.mktemp("autonet") / "build")


@pytest.fixture(scope="module")
def published(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `hub` with a data set and a model."""
    hub_dir = tmp_path_factory.mktemp("repository") / "hub"
    small_release(build, hub_dir)
    release(tiny_checkpoint(tmp_path_factory.mktemp("checkpoint")), "tiny", hub_dir / "models")
    (hub_dir / "index").mkdir()
    (hub_dir / "index" / "README.md").write_text("# Index\n")
    shutil.copytree(ROOT / "metrics" / "aqa_match", hub_dir.parent / "metrics" / "aqa_match")
    space = hub_dir.parent / "examples" / "space"
    space.mkdir(parents=True)
    (space / "app.py").write_text("import archbert\n")
    (space / "README.md").write_text("---\nsdk: gradio\nmodels: [archbert/tiny]\n---\nRuns archbert/cli.py\n")
    for package in ("processing_archbert", "modeling_archbert", "archbert"):
        (hub_dir.parent / package).symlink_to(ROOT / package)
    return hub_dir


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    """One Hub and one process for all tests; each test has a namespace of its own."""
    with WritableHub() as hub:
        publisher = Publisher(hub, tmp_path_factory.mktemp("home"))
        yield publisher
        publisher.close()


def test_plan_upload_and_nothing_to_do(publisher: Publisher, published: Path, build: Path, tmp_path: Path) -> None:
    hub, data = publisher.hub, "datasets/archbert/autonet"
    planned = publisher(published, build, "--dry-run")
    assert planned.status == 0, planned.errors
    assert not publisher.writes()
    lines = planned.output.splitlines()
    heads = [line.split(":")[0].split(",")[0] for line in lines if not line.startswith("  ")]
    assert heads == [
        "dataset archbert/autonet (main)", "dataset archbert/autonet (script)", "dataset archbert/index (main)",
        "space archbert/aqa_match (main)", "model archbert/tiny (main)", "space archbert/archbert (main)",
    ]  # fmt: skip
    assert any(line.startswith("  + aqa/train-00000-of-00001.parquet  ") for line in lines)

    done = publisher(published, build)
    assert done.status == 0, done.errors
    files = hub.files(data)
    for path in build.rglob("*.parquet"):
        assert files[path.relative_to(build).as_posix()] == path.read_bytes()
    (tmp_path / "README.md").write_bytes(files["README.md"])
    front, text = read_card(tmp_path / "README.md")
    own_front, own_text = read_card(published / "datasets" / "autonet" / "README.md")
    assert text == own_text and front["configs"][0] == own_front["configs"][0]
    for key in ("configs", "dataset_info"):
        assert [entry["config_name"] for entry in front[key]] == ["sample", *CONFIGS]
    assert [entry["config_name"] for entry in front["configs"] if entry.get("default")] == ["sample"]
    assert {"manifest.json", "croissant.json", "plots/graphs.png"} <= set(files)
    script = hub.files(data, "script")
    assert "autonet.py" in script and "autonet.py" not in files
    assert not any(name.endswith(".parquet") for name in script)
    model = hub.files("archbert/tiny")
    assert set(code_files()) < set(model)
    assert model["model.safetensors"] == (published / "models" / "tiny" / "model.safetensors").read_bytes()
    assert (
        hub.files("spaces/archbert/aqa_match")["aqa_match.py"]
        == (ROOT / "metrics/aqa_match/aqa_match.py").read_bytes()
    )
    demo = hub.files("spaces/archbert/archbert")
    assert {"app.py", "archbert/cli.py", "processing_archbert/tracing_archbert.py"} <= set(demo)
    assert hub.files("datasets/archbert/index")["README.md"] == b"# Index\n"
    assert [hub.commits(name) for name in (data, "archbert/tiny", "spaces/archbert/archbert")] == [1, 1, 1]
    commits = [request.split("/")[2] for request in publisher.writes() if "/commit/" in request]
    assert commits == ["datasets", "datasets", "datasets", "spaces", "models", "spaces"]

    before = publisher.writes()
    again = publisher(published, build)
    assert again.status == 0 and again.output.count("nothing to do") == 6
    assert publisher.writes() == before


def test_a_change_is_one_commit_and_files_that_are_gone_are_removed(
    publisher: Publisher, published: Path, build: Path, tmp_path: Path
) -> None:
    hub, data = publisher.hub, "datasets/changes/autonet"
    hub_dir = Path(shutil.copytree(published, tmp_path / "hub"))
    card = hub_dir / "datasets" / "autonet" / "README.md"
    assert publisher(hub_dir, build, *ONLY_DATA, "--namespace", "changes").status == 0
    script = hub.commits(data, "script")
    card.write_text(card.read_text() + "\nOne more line.\n")
    (card.parent / "plots" / "graphs.png").unlink()
    done = publisher(hub_dir, build, *ONLY_DATA, "--namespace", "changes")
    assert "0 new, 1 changed, 1 removed" in done.output and "nothing to do" in done.output
    files = hub.files(data)
    assert files["README.md"].endswith(b"One more line.\n") and "plots/graphs.png" not in files
    assert hub.commits(data) == 2 and hub.commits(data, "script") == script


def test_a_failure_leaves_the_default_revision_and_the_next_run_goes_on(
    publisher: Publisher, published: Path, build: Path, tmp_path: Path
) -> None:
    hub, data, namespace = publisher.hub, "datasets/failures/autonet", (*ONLY_DATA, "--namespace", "failures")
    hub.forget()  # as if no other repository had these files
    hub_dir = Path(shutil.copytree(published, tmp_path / "hub"))
    card = hub_dir / "datasets" / "autonet" / "README.md"

    def uploads() -> int:
        return sum(request.startswith("PUT") for request in publisher.writes())

    before = uploads()
    hub.fail("^PUT", after=3)  # the fourth large file is refused
    stopped = publisher(hub_dir, build, *namespace)
    assert stopped.status == 1 and "is as it was" in stopped.errors
    assert hub.files(data) == {} and hub.commits(data) == 0
    hub.fail("^POST .*/commit/main")  # all large files arrive, and then the commit breaks down
    broken = publisher(hub_dir, build, *namespace)
    assert broken.status == 1 and "500" in broken.errors
    assert hub.files(data) == {} and hub.commits(data) == 0
    hub.fail("")
    sent = uploads()
    assert sent > before and publisher(hub_dir, build, *namespace).status == 0
    assert uploads() == sent, "large files were sent a second time"

    released = hub.files(data)
    assert released["README.md"].decode().startswith("---")
    card.write_text(card.read_text() + "\nAnother release.\n")
    hub.fail("^POST .*/commit/main")
    assert publisher(hub_dir, build, *namespace).status == 1
    hub.fail("")
    assert hub.files(data) == released


def test_a_hub_that_breaks_down_is_never_left_half_published(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    command = [sys.executable, str(ROOT / "tests" / "faults" / "break_publishing.py"), "--runs", "4", "--json"]
    run = subprocess.run([*command, str(result)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    told = json.loads(result.read_text())
    assert told["failed"] > 0 and len(told["failures"]) > 2


def test_another_namespace_is_written_into_the_cards(publisher: Publisher, published: Path, build: Path) -> None:
    assert publisher(published, build, "--namespace", "someone").status == 0
    for name, repository in (("autonet", "datasets/someone/autonet"), ("tiny", "someone/tiny")):
        card = publisher.hub.files(repository)["README.md"].decode()
        assert f"someone/{name}" in card and f"archbert/{name}" not in card
    card = publisher.hub.files("spaces/someone/archbert")["README.md"].decode()
    assert "models: [someone/tiny]" in card and "Runs archbert/cli.py" in card


def test_without_a_token_it_says_what_to_do(publisher: Publisher, published: Path, build: Path) -> None:
    refused = publisher(published, build, "--namespace", "nobody", token="")
    assert refused.status == 1 and "hf auth login" in refused.errors


def test_names_that_do_not_exist_are_refused(publisher: Publisher, published: Path, build: Path) -> None:
    refused = publisher(published, build, "--models", "large")
    assert refused.status == 1 and "there are tiny" in refused.errors


def test_what_cannot_be_published_is_refused(published: Path, build: Path, tmp_path: Path) -> None:
    hub_dir = Path(shutil.copytree(published, tmp_path / "hub"))
    with pytest.raises(PublishError, match=r"names .*parquet, which is not there.*--datasets NAME=DIR"):
        dataset_uploads("autonet", tmp_path / "nothing", hub_dir, "archbert", tmp_path / "scratch")
    damaged = Path(shutil.copytree(build, tmp_path / "build"))
    shard = damaged / "aqa" / "train-00000-of-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(PublishError, match=r"aqa/train-00000-of-00001.parquet is not the file that"):
        dataset_uploads("autonet", damaged, hub_dir, "archbert", tmp_path / "scratch")
    (damaged / "manifest.json").write_text("{}")
    with pytest.raises(PublishError, match=r"differ: the folder is of another build"):
        dataset_uploads("autonet", damaged, hub_dir, "archbert", tmp_path / "scratch")
    (hub_dir / "datasets" / "autonet" / "sample" / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(PublishError, match=r"config 'sample', but there is no file sample/test-"):
        dataset_uploads("autonet", build, hub_dir, "archbert", tmp_path / "scratch")
    (hub_dir / "datasets" / "autonet" / "README.md").write_text("# AutoNet\n")
    with pytest.raises(PublishError, match=r"does not begin with front matter"):
        dataset_uploads("autonet", build, hub_dir, "archbert", tmp_path / "scratch")
    (hub_dir / "models" / "tiny" / "pipeline_archbert.py").unlink()
    with pytest.raises(PublishError, match=r"has no pipeline_archbert.py; release the model again"):
        model_upload("tiny", hub_dir / "models", "archbert", tmp_path / "scratch")
    for upload, name in ((index_upload, "index"), (metric_upload, "aqa_match"), (space_upload, "space")):
        (tmp_path / "empty" / name).mkdir(parents=True)
        with pytest.raises(PublishError, match=r"has no README.md"):
            upload(name, tmp_path / "empty", "archbert", tmp_path / "scratch")
