"""Upload data sets and models to the Hub: ``python -m archbert.publish [--dry-run]``.

* The plan is shown first: for every repository the files that are new, changed or removed, with their sizes.
  ``--dry-run`` ends there.
* Large files are sent before the one commit of a repository, so a reader sees all of a release or nothing of it.
* What is there already is not sent again: a second run has nothing to do, and a run that failed goes on.
* Data sets come before models, because the cards of models refer to them.

A data set is the union of its folder under ``hub/datasets`` (card, sample, plots) and of a build (Parquet files and
manifest); the card gets the configs of both, every config must have its files, and the manifest their digests. The
loading script for `datasets` 3 goes to the branch ``script``. A model is its folder under ``hub/models``, with links
followed.
``huggingface_hub`` finds the token (``hf auth login``, or ``HF_TOKEN``) and the endpoint (``HF_ENDPOINT``).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from .model_card import NAMESPACE
from .release import WEIGHTS, code_files

MAIN, SCRIPT_BRANCH = "main", "script"
CARD, MANIFEST = "README.md", "manifest.json"
KEPT = (".gitattributes",)
"""Files that the Hub itself puts into a repository."""
IGNORED = ("__pycache__/*", "*/__pycache__/*", "*.pyc", ".*", "*/.*")
NAMED_AFTER_NAMESPACE = (CARD, "croissant.json")


class PublishError(ValueError):
    """Something that cannot be published: says what is wrong and what to do; nothing has been uploaded then."""


@dataclass(frozen=True)
class Upload:
    """What a branch of a repository shall be.

    Attributes:
        repo_id: owner and name.
        repo_type: `"dataset"` or `"model"`.
        branch: name of the branch.
        files: path in the repository -> local file.
    """

    repo_id: str
    repo_type: str
    branch: str
    files: Mapping[str, Path]


@dataclass(frozen=True)
class Plan:
    """An upload beside what the branch has now.

    Attributes:
        upload: what it shall be.
        parent: its newest commit; None where the repository or the branch does not exist.
        new: paths that are added.
        changed: paths whose content is replaced.
        removed: paths that are deleted.
    """

    upload: Upload
    parent: str | None
    new: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.new or self.changed or self.removed)

    def lines(self) -> Iterator[str]:
        """The plan in words."""
        upload = self.upload
        where = f"{upload.repo_type} {upload.repo_id} ({upload.branch})"
        sizes = {path: upload.files[path].stat().st_size for path in (*self.new, *self.changed)}
        if self.is_done:
            yield f"{where}: nothing to do, {len(upload.files)} files are as they should be"
            return
        state = "" if self.parent else ", to be created"
        yield (
            f"{where}{state}: {len(self.new)} new, {len(self.changed)} changed, {len(self.removed)} removed of "
            f"{len(upload.files)} files; {_size(sum(sizes.values()))} to send"
        )
        for sign, paths in (("+", self.new), ("~", self.changed), ("-", self.removed)):
            for path in paths:
                yield f"  {sign} {path}" + (f"  {_size(sizes[path])}" if path in sizes else "")


def make_plan(hub: HfApi, upload: Upload) -> Plan:
    """Compare an upload with what the Hub has."""
    where: dict[str, Any] = {"repo_id": upload.repo_id, "repo_type": upload.repo_type, "revision": upload.branch}
    try:
        parent = hub.repo_info(**where).sha
        entries = hub.list_repo_tree(**where, recursive=True)
        there = {entry.path: entry for entry in entries if hasattr(entry, "blob_id") and entry.path not in KEPT}
    except (RepositoryNotFoundError, RevisionNotFoundError):
        parent, there = None, {}
    new = tuple(path for path in upload.files if path not in there)
    changed = tuple(path for path, file in upload.files.items() if path in there and not _same(file, there[path]))
    return Plan(upload, parent, new, changed, tuple(path for path in sorted(there) if path not in upload.files))


def execute(hub: HfApi, upload: Upload) -> bool:
    """Make a branch what it shall be, by one commit; returns whether there was anything to do.

    Raises:
        HfHubHTTPError: the Hub refused; the branch is as it was.
    """
    where: dict[str, Any] = {"repo_id": upload.repo_id, "repo_type": upload.repo_type}
    plan = make_plan(hub, upload)
    if plan.is_done:
        return False
    if plan.parent is None:
        hub.create_repo(**where, exist_ok=True)
        if upload.branch != MAIN:
            hub.create_branch(**where, branch=upload.branch, exist_ok=True)
        plan = make_plan(hub, upload)
    additions = [CommitOperationAdd(path, upload.files[path]) for path in (*plan.new, *plan.changed)]
    hub.preupload_lfs_files(additions=additions, revision=upload.branch, **where)
    hub.create_commit(
        operations=[*additions, *(CommitOperationDelete(path) for path in plan.removed)],
        commit_message=f"{len(plan.new)} files added, {len(plan.changed)} changed, {len(plan.removed)} removed",
        revision=upload.branch,
        parent_commit=plan.parent,
        **where,
    )
    return True


def dataset_uploads(name: str, build: str | Path, hub_dir: str | Path, namespace: str, scratch: Path) -> list[Upload]:
    """The branches of a data set: `main`, and `script` where `dataset_scripts` has a loading script for it.

    Args:
        name: folder under `hub_dir`/datasets.
        build: folder with its Parquet files; it may be missing where `hub_dir` has all of them.
        hub_dir: folder of all that is published.
        namespace: owner of the repository.
        scratch: an empty folder for files that are made here.

    Raises:
        PublishError: there is no card, files that its configs name are missing, or a file of both folders differs.
    """
    folder = Path(hub_dir) / "datasets" / name
    files = _files(folder)
    if CARD not in files:
        raise PublishError(f"{folder} has no {CARD}; make it first (make {name}-release).")
    for path, file in _files(Path(build)).items():
        if path not in files:
            files[path] = file
        elif path != CARD and file.read_bytes() != files[path].read_bytes():
            raise PublishError(f"{file} and {files[path]} differ: the folder is of another build. Make it again.")
    if (Path(build) / CARD).is_file():
        files[CARD] = _joined_card(files[CARD], Path(build) / CARD, scratch / MAIN / CARD)
    _check_configs(files, build)
    _check_manifest(files, build)
    repo_id = f"{namespace}/{name}"
    uploads = [Upload(repo_id, "dataset", MAIN, _renamed(files, name, namespace, scratch / MAIN))]
    package = f"dataset_scripts.{name}"
    try:
        writer = importlib.import_module(f"{package}.script_{name}")
    except ModuleNotFoundError as error:
        if error.name not in (package, f"{package}.script_{name}"):  # then it is not the script that is missing
            raise PublishError(f"{error}; run this in a clone of the project, with its requirements.") from error
        return uploads
    writer.write_script(scratch / SCRIPT_BRANCH)
    script = _renamed(_files(scratch / SCRIPT_BRANCH), name, namespace, scratch / SCRIPT_BRANCH)
    return [*uploads, Upload(repo_id, "dataset", SCRIPT_BRANCH, script)]


def model_upload(name: str, hub_dir: str | Path, namespace: str, scratch: Path) -> Upload:
    """A released model.

    Raises:
        PublishError: weights, card or code files are missing.
    """
    folder = Path(hub_dir) / "models" / name
    files = _files(folder)
    missing = [path for path in (CARD, WEIGHTS, *code_files()) if path not in files]
    if missing:
        raise PublishError(
            f"{folder} has no {missing[0]}; release the model again: python -m archbert.release --checkpoint DIR "
            f"--name {name}."
        )
    return Upload(f"{namespace}/{name}", "model", MAIN, _renamed(files, name, namespace, scratch / name))


def _files(folder: Path) -> dict[str, Path]:
    """Path in the repository -> file, in order; links are followed."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path for name, path in paths.items() if not any(fnmatch(name, pattern) for pattern in IGNORED)}


def _joined_card(card: Path, build_card: Path, target: Path) -> Path:
    """A card whose front matter has the configs of a build's card, too."""
    (front, body), (built, _) = _read_card(card), _read_card(build_card)
    names = {entry["config_name"] for entry in front.get("configs", [])}
    for key in ("configs", "dataset_info"):
        entries = [entry for entry in built.get(key, []) if entry["config_name"] not in names]
        front[key] = front.get(key, []) + [{k: v for k, v in entry.items() if k != "default"} for entry in entries]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n{body}", encoding="utf-8"
    )
    return target


def _read_card(card: Path) -> tuple[dict[str, Any], str]:
    """Front matter and text."""
    parts = card.read_text(encoding="utf-8").split("---\n", 2)
    if len(parts) != 3 or parts[0]:
        raise PublishError(f"{card} does not begin with front matter (between two lines of ---); make it again.")
    return yaml.safe_load(parts[1]) or {}, parts[2]


def _check_configs(files: Mapping[str, Path], build: str | Path) -> None:
    """Every path that the card names for a config must be there."""
    front, _ = _read_card(files[CARD])
    for config in front.get("configs", []):
        for split in config["data_files"]:
            if not any(fnmatch(path, split["path"]) for path in files):
                raise PublishError(
                    f"The card has the config {config['config_name']!r}, but there is no file {split['path']}; "
                    f"{_advice(build)}"
                )


def _check_manifest(files: Mapping[str, Path], build: str | Path) -> None:
    """Every file that the manifest names must be there and have the digest that stands in it."""
    if MANIFEST not in files:
        return
    for path, listed in json.loads(files[MANIFEST].read_text(encoding="utf-8"))["files"].items():
        if path not in files:
            raise PublishError(f"{files[MANIFEST]} names {path}, which is not there; {_advice(build)}")
        if _digest(files[path]) != listed["sha256"]:
            raise PublishError(f"{files[path]} is not the file that {files[MANIFEST]} names; {_advice(build)}")


def _advice(build: str | Path) -> str:
    return f"build the data set into {build} (a build goes on where it stopped), or name a build: --datasets NAME=DIR."


def _renamed(files: Mapping[str, Path], name: str, namespace: str, scratch: Path) -> dict[str, Path]:
    """The files, with another namespace written into those that name the repository."""
    if namespace == NAMESPACE:
        return dict(files)
    renamed = dict(files)
    for path in NAMED_AFTER_NAMESPACE:
        if path in files:
            text = files[path].read_text(encoding="utf-8").replace(f"{NAMESPACE}/{name}", f"{namespace}/{name}")
            renamed[path] = scratch / path
            renamed[path].parent.mkdir(parents=True, exist_ok=True)
            renamed[path].write_text(text, encoding="utf-8")
    return renamed


def _same(file: Path, entry: Any) -> bool:
    """Whether a local file is the one on the Hub."""
    if file.stat().st_size != entry.size:
        return False
    if entry.lfs is not None:
        return _digest(file) == entry.lfs.sha256
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == entry.blob_id


def _digest(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def _names(folder: Path, asked: Sequence[str] | None) -> list[str]:
    """The names that were asked for, or those of all folders."""
    there = sorted(path.name for path in folder.glob("[!.]*") if path.is_dir())
    for name in asked or ():
        if name.split("=")[0] not in there:
            raise PublishError(f"There is no {folder / name}; there are {', '.join(there) or 'none'}.")
    return there if asked is None else list(asked)


def publish(uploads: Sequence[Upload], dry_run: bool = False) -> int:
    """Show what is to be done, and do it; returns the exit status.

    Args:
        uploads: what is to be there, in the order in which it is sent.
        dry_run: only show it.
    """
    hub = HfApi()
    try:
        plans = [make_plan(hub, upload) for upload in uploads]
    except (HfHubHTTPError, OSError) as error:
        sys.stderr.write(f"error: {hub.endpoint} cannot be read ({error}); nothing was uploaded.\n")
        return 1
    for plan in plans:
        sys.stdout.write("\n".join(plan.lines()) + "\n")
    if dry_run or all(plan.is_done for plan in plans):
        return 0
    for plan in plans:
        upload = plan.upload
        try:
            done = execute(hub, upload)
        except (HfHubHTTPError, OSError, RuntimeError) as error:
            sys.stderr.write(
                f"error: {upload.repo_id} was not uploaded ({error}); its branch {upload.branch} is as it was. Run "
                "the same command again: what is there already is not sent again. (No token? Run: hf auth login)\n"
            )
            return 1
        if done:
            sys.stdout.write(f"{upload.repo_type} {upload.repo_id} ({upload.branch}): done\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m archbert.publish", description="Upload data sets and models.")
    parser.add_argument(
        "--datasets", nargs="*", metavar="NAME[=DIR]", help="data sets, and their builds; default: all"
    )
    parser.add_argument("--models", nargs="*", metavar="NAME", help="released models; default: all")
    parser.add_argument("--namespace", default=NAMESPACE, help="owner of the repositories")
    parser.add_argument("--hub_dir", default="hub", help="folder of all that is published")
    parser.add_argument("--data_dir", default="data", help="folder of builds, as NAME-full")
    parser.add_argument("--dry-run", "--dry_run", action="store_true", help="show the plan and stop")
    options = parser.parse_args(arguments)
    hub_dir = Path(options.hub_dir)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        try:
            uploads: list[Upload] = []
            for asked in _names(hub_dir / "datasets", options.datasets):
                name, _, build = asked.partition("=")
                build = build or str(Path(options.data_dir) / f"{name}-full")
                uploads += dataset_uploads(name, build, hub_dir, options.namespace, scratch / "datasets" / name)
            for name in _names(hub_dir / "models", options.models):
                uploads.append(model_upload(name, hub_dir, options.namespace, scratch / "models"))
        except PublishError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        return publish(uploads, options.dry_run)


if __name__ == "__main__":
    sys.exit(main())
