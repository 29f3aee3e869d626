"""Upload a release to the Hub: ``python -m archbert.publish [--dry-run]``.

* The plan is shown first: for every repository the files that are new, changed or removed, with their sizes.
  ``--dry-run`` ends there.
* Large files are sent before the one commit of a repository, so a reader sees all of a release or nothing of it.
* What is there already is not sent again: a second run has nothing to do, and a run that failed goes on.
* Every branch gets the tag of the release, such as ``v0.1.0``; ``revision="v0.1.0"`` always gives the same files, as
  a tag that is there never moves. Later changes need another version (`archbert.names.VERSION`) to be in one.
* First data sets and the index, then metrics, then models, whose cards refer to those; at last the Space.

`archbert.publish_contents` says what each holds. ``huggingface_hub`` finds the token (``hf auth login``, or
``HF_TOKEN``) and the endpoint (``HF_ENDPOINT``).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from .names import NAMESPACE, TAG
from .publish_contents import (
    MAIN,
    PublishError,
    Upload,
    dataset_uploads,
    file_digest,
    index_upload,
    metric_upload,
    model_upload,
    space_sdk,
    space_upload,
)

_FAILURES: tuple[type[Exception], ...] = (HfHubHTTPError.__bases__[0], OSError, RuntimeError)
"""What the client raises; the first is the base of its HTTP library's errors, such as a connection that was cut."""
KEPT = (".gitattributes",)
"""Files that the Hub itself puts into a repository."""


@dataclass(frozen=True)
class Plan:
    """An upload beside what the branch has now.

    Attributes:
        upload: what it shall be.
        parent: its newest commit; None where the repository or the branch does not exist.
        new: paths that are added.
        changed: paths whose content is replaced.
        removed: paths that are deleted.
        tag: the release's tag on this branch; None where none is wanted.
        tagged: the commit that the tag names; None where there is no such tag.
    """

    upload: Upload
    parent: str | None
    new: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    tag: str | None = None
    tagged: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all files are as they shall be."""
        return not (self.new or self.changed or self.removed)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to do."""
        return self.is_whole and (self.tag is None or self.tagged is not None)

    def lines(self) -> Iterator[str]:
        """The plan in words."""
        upload = self.upload
        where = f"{upload.repo_type} {upload.repo_id} ({upload.branch})"
        sizes = {path: upload.files[path].stat().st_size for path in (*self.new, *self.changed)}
        if self.is_whole:
            to_do = "nothing to do" if self.is_done else f"tag {self.tag} to be created"
            yield f"{where}: {to_do}, {len(upload.files)} files are as they should be"
            return
        state = "" if self.parent else ", to be created"
        yield (
            f"{where}{state}: {len(self.new)} new, {len(self.changed)} changed, {len(self.removed)} removed of "
            f"{len(upload.files)} files; {_size(sum(sizes.values()))} to send"
        )
        for sign, paths in (("+", self.new), ("~", self.changed), ("-", self.removed)):
            for path in paths:
                yield f"  {sign} {path}" + (f"  {_size(sizes[path])}" if path in sizes else "")
        if self.tagged:
            yield f"  tag {self.tag} stays at {self.tagged[:12]}, without these changes; a new version gets a new tag"


def make_plan(hub: HfApi, upload: Upload, release: str | None = None) -> Plan:
    """Compare an upload with what the Hub has.

    Args:
        hub: the client.
        upload: what is to be there.
        release: name of the release, whose tag every branch gets; None for no tag.
    """
    where: dict[str, Any] = {"repo_id": upload.repo_id, "repo_type": upload.repo_type, "revision": upload.branch}
    tag = upload.tag(release) if release else None
    tagged = None
    try:
        parent = hub.repo_info(**where).sha
        if tag:
            tags = hub.list_repo_refs(upload.repo_id, repo_type=upload.repo_type).tags
            tagged = next((found.target_commit for found in tags if found.name == tag), None)
        entries = hub.list_repo_tree(**where, recursive=True)
        there = {entry.path: entry for entry in entries if hasattr(entry, "blob_id") and entry.path not in KEPT}
    except (RepositoryNotFoundError, RevisionNotFoundError):
        parent, there = None, {}
    new = tuple(path for path in upload.files if path not in there)
    changed = tuple(path for path, file in upload.files.items() if path in there and not _same(file, there[path]))
    removed = tuple(path for path in sorted(there) if path not in upload.files)
    return Plan(upload, parent, new, changed, removed, tag, tagged)


def execute(hub: HfApi, upload: Upload, release: str | None = None) -> bool:
    """Make a branch what it shall be, by one commit, and tag that; returns whether there was anything to do.

    Raises:
        HfHubHTTPError: the Hub refused; the branch is as it was.
    """
    plan = make_plan(hub, upload, release)
    if plan.is_done:
        return False
    commit = plan.parent if plan.is_whole else _commit(hub, plan)
    if plan.tag and not plan.tagged:
        hub.create_tag(upload.repo_id, repo_type=upload.repo_type, tag=plan.tag, revision=commit)
    return True


def _create(hub: HfApi, upload: Upload) -> None:
    """Create the repository and the branch, where they do not exist."""
    where: dict[str, Any] = {"repo_id": upload.repo_id, "repo_type": upload.repo_type}
    sdk: dict[str, Any] = {"space_sdk": space_sdk(upload)} if upload.repo_type == "space" else {}
    try:
        hub.create_repo(**where, **sdk)
    except HfHubHTTPError as error:  # 409 is also said for other reasons than that it exists
        if error.response.status_code != 409 or not hub.repo_exists(**where):
            raise
    if upload.branch != MAIN:
        hub.create_branch(**where, branch=upload.branch, exist_ok=True)


def _commit(hub: HfApi, plan: Plan) -> str:
    """Send the files and commit them; returns the commit."""
    upload = plan.upload
    where: dict[str, Any] = {"repo_id": upload.repo_id, "repo_type": upload.repo_type}
    if plan.parent is None:
        _create(hub, upload)
        plan = make_plan(hub, upload)
    additions = [CommitOperationAdd(path, upload.files[path]) for path in (*plan.new, *plan.changed)]
    hub.preupload_lfs_files(additions=additions, revision=upload.branch, **where)
    made = hub.create_commit(
        operations=[*additions, *(CommitOperationDelete(path) for path in plan.removed)],
        commit_message=f"{len(plan.new)} files added, {len(plan.changed)} changed, {len(plan.removed)} removed",
        revision=upload.branch,
        parent_commit=plan.parent,
        **where,
    )
    return made.oid


def _same(file: Path, entry: Any) -> bool:
    """Whether a local file is the one on the Hub."""
    if file.stat().st_size != entry.size:
        return False
    if entry.lfs is not None:
        return file_digest(file) == entry.lfs.sha256
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == entry.blob_id


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def publish(uploads: Sequence[Upload], dry_run: bool = False, release: str | None = None) -> int:
    """Show what is to be done, and do it; returns the exit status.

    Args:
        uploads: what is to be there, in the order in which it is sent.
        dry_run: only show it.
        release: name of the release, whose tag every branch gets; None for no tag.
    """
    hub = HfApi()
    try:
        plans = [make_plan(hub, upload, release) for upload in uploads]
    except _FAILURES as error:
        sys.stderr.write(f"error: {hub.endpoint} cannot be read ({error}); nothing was uploaded.\n")
        return 1
    for plan in plans:
        sys.stdout.write("\n".join(plan.lines()) + "\n")
    if dry_run or all(plan.is_done for plan in plans):
        return 0
    for plan in plans:
        upload = plan.upload
        try:
            done = execute(hub, upload, release)
        except _FAILURES as error:
            sys.stderr.write(
                f"error: {upload.repo_id} was not uploaded ({error}); its branch {upload.branch} is as it was, or "
                "all of it is there and only the answer was lost. Run "
                "the same command again: what is there already is not sent again. (No token? Run: hf auth login)\n"
            )
            return 1
        if done:
            sys.stdout.write(f"{upload.repo_type} {upload.repo_id} ({upload.branch}): done\n")
    return 0


def _names(folder: Path, asked: Sequence[str] | None) -> list[str]:
    """The names that were asked for, or those of all folders."""
    there = sorted(path.name for path in folder.glob("[!._]*") if path.is_dir())
    for name in asked or ():
        if name.split("=")[0] not in there:
            raise PublishError(f"There is no {folder / name}; there are {', '.join(there) or 'none'}.")
    return there if asked is None else list(asked)


def _uploads(options: argparse.Namespace, scratch: Path) -> Iterator[Upload]:
    """All that was asked for, in the order in which it is sent."""
    hub_dir, source, owner = Path(options.hub_dir), Path(options.source_dir), options.namespace
    for asked in _names(hub_dir / "datasets", options.datasets):
        name, _, build = asked.partition("=")
        build = build or str(Path(options.data_dir) / f"{name}-full")
        yield from dataset_uploads(name, build, hub_dir, owner, scratch / "datasets" / name)
    kinds: list[tuple[Path, list[str] | None, Callable[..., Upload]]] = [
        (hub_dir, options.index if (hub_dir / "index").is_dir() else [], index_upload),
        (source / "metrics", options.metrics, metric_upload),
        (hub_dir / "models", options.models, model_upload),
        (source / "examples", options.space if (source / "examples" / "space").is_dir() else [], space_upload),
    ]
    for folder, names, upload in kinds:
        for name in _names(folder, names):
            yield upload(name, folder, owner, scratch / folder.name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m archbert.publish", description="Upload data sets, index, metrics, models and the Space."
    )
    parser.add_argument(
        "--datasets", nargs="*", metavar="NAME[=DIR]", help="data sets, and their builds; default: all"
    )
    parser.add_argument("--models", nargs="*", metavar="NAME", help="released models; default: all")
    parser.add_argument("--metrics", nargs="*", metavar="NAME", help="modules for evaluate; default: all")
    for name in ("index", "space"):
        parser.add_argument(f"--no-{name}", dest=name, action="store_const", const=[], help=f"leave out the {name}")
        parser.set_defaults(**{name: [name]})
    parser.add_argument("--tag", default=TAG, help=f"tag of the release in every repository (default: {TAG})")
    parser.add_argument("--namespace", default=NAMESPACE, help="owner of the repositories")
    parser.add_argument("--hub_dir", default="hub", help="folder of data sets, models and index")
    parser.add_argument("--source_dir", default=".", help="a clone of the project: metrics and examples/space")
    parser.add_argument("--data_dir", default="data", help="folder of builds, as NAME-full")
    parser.add_argument("--dry-run", "--dry_run", action="store_true", help="show the plan and stop")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    with TemporaryDirectory() as folder:
        try:
            uploads = list(_uploads(options, Path(folder)))
        except PublishError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        return publish(uploads, options.dry_run, options.tag)


if __name__ == "__main__":
    sys.exit(main())
