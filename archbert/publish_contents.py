"""What each repository of a release holds: data sets, metrics, models, the index and the Space.

A data set is the union of its folder under ``hub/datasets`` (card, sample, plots) and of a build (Parquet files and
manifest); the card gets the configs of both, every config must have its files, and the manifest their digests. The
loading script for `datasets` 3 goes to the branch ``script``. A model is its folder under ``hub/models``, with links
followed, and a manifest of its code. A metric is its folder under ``metrics``, as a Space, from where `evaluate.load`
reads it. The Space is ``examples/space`` and the three packages, so that it runs the code that it was published with.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from .manifest import CODE_MANIFEST, code_manifest
from .names import NAMESPACE
from .release import WEIGHTS, code_files, file_digest

MAIN, SCRIPT_BRANCH = "main", "script"
CARD, MANIFEST = "README.md", "manifest.json"
IGNORED = ("__pycache__/*", "*/__pycache__/*", "*.pyc", ".*", "*/.*")
NAMED_AFTER_NAMESPACE = (CARD, "croissant.json")
_REPOSITORY = re.compile(
    rf"(?<![\w.-]){NAMESPACE}/([a-z][\w-]*)(?![\w-])(?!\.[a-z]{{2,5}}\b)(?!/(?!(?:resolve|tree|blob|raw|viewer)/))"
)
"""A repository by name; paths of files and folders of the package `archbert` are none."""
PACKAGES = ("processing_archbert", "modeling_archbert", "archbert")


class PublishError(ValueError):
    """Something that cannot be published: says what is wrong and what to do; nothing has been uploaded then."""


@dataclass(frozen=True)
class Upload:
    """What a branch of a repository shall be.

    Attributes:
        repo_id: owner and name.
        repo_type: `"dataset"`, `"model"` or `"space"`.
        branch: name of the branch.
        files: path in the repository -> local file.
    """

    repo_id: str
    repo_type: str
    branch: str
    files: Mapping[str, Path]

    def tag(self, release: str) -> str:
        """The tag of a release on this branch: its name, and on other branches than `main` theirs behind it."""
        return release if self.branch == MAIN else f"{release}-{self.branch}"


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
    uploads = [Upload(repo_id, "dataset", MAIN, _renamed(files, namespace, scratch / MAIN))]
    package = f"dataset_scripts.{name}"
    try:
        writer = importlib.import_module(f"{package}.script_{name}")
    except ModuleNotFoundError as error:
        if error.name not in (package, f"{package}.script_{name}"):  # then it is not the script that is missing
            raise PublishError(f"{error}; run this in a clone of the project, with its requirements.") from error
        return uploads
    writer.write_script(scratch / SCRIPT_BRANCH)
    script = _renamed(_files(scratch / SCRIPT_BRANCH), namespace, scratch / SCRIPT_BRANCH)
    return [*uploads, Upload(repo_id, "dataset", SCRIPT_BRANCH, script)]


def model_upload(name: str, folder: Path, namespace: str, scratch: Path) -> Upload:
    """A released model, `folder`/`name`.

    Raises:
        PublishError: weights, card or code files are missing.
    """
    files = _files(folder / name)
    missing = [path for path in (CARD, WEIGHTS, *code_files()) if path not in files]
    if missing:
        raise PublishError(
            f"{folder / name} has no {missing[0]}; release the model again: python -m archbert.release --checkpoint "
            f"DIR --name {name}."
        )
    manifest = scratch / name / CODE_MANIFEST
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps(code_manifest(files), indent=2) + "\n", encoding="utf-8")
    return Upload(
        f"{namespace}/{name}", "model", MAIN, {**_renamed(files, namespace, scratch / name), CODE_MANIFEST: manifest}
    )


def index_upload(name: str, folder: Path, namespace: str, scratch: Path) -> Upload:
    """The index of known networks, `folder`/`name`, as a data set."""
    files = _files(folder / name)
    if CARD not in files:
        raise PublishError(f"{folder / name} has no {CARD}; make it first (make index).")
    return Upload(f"{namespace}/{name}", "dataset", MAIN, _renamed(files, namespace, scratch / name))


def metric_upload(name: str, folder: Path, namespace: str, scratch: Path) -> Upload:
    """A module for `evaluate`, `folder`/`name`, as the Space that `evaluate.load("NAMESPACE/NAME")` looks for."""
    files = _files(folder / name)
    missing = [path for path in (CARD, f"{name}.py") if path not in files]
    if missing:
        raise PublishError(f"{folder / name} has no {missing[0]}, which evaluate.load needs.")
    return Upload(f"{namespace}/{name}", "space", MAIN, _renamed(files, namespace, scratch / name))


def space_upload(name: str, folder: Path, namespace: str, scratch: Path) -> Upload:
    """The demo, `folder`/`name`, with the packages of the clone that it stands in."""
    files = _files(folder / name)
    if CARD not in files:
        raise PublishError(f"{folder / name} has no {CARD} with the Space's front matter.")
    for package in PACKAGES:
        files |= {f"{package}/{path}": file for path, file in _files(folder.parent / package).items()}
    return Upload(f"{namespace}/archbert", "space", MAIN, _renamed(files, namespace, scratch / name))


def space_sdk(upload: Upload) -> str:
    """The sdk that the card of a Space names.

    Raises:
        PublishError: it names none.
    """
    front, _ = _read_card(upload.files[CARD])
    if not front.get("sdk"):
        raise PublishError(f"{upload.files[CARD]} names no sdk; a Space needs one, such as sdk: gradio.")
    return str(front["sdk"])


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
        if file_digest(files[path]) != listed["sha256"]:
            raise PublishError(f"{files[path]} is not the file that {files[MANIFEST]} names; {_advice(build)}")


def _advice(build: str | Path) -> str:
    return f"build the data set into {build} (a build goes on where it stopped), or name a build: --datasets NAME=DIR."


def _renamed(files: Mapping[str, Path], namespace: str, scratch: Path) -> dict[str, Path]:
    """The files, with another namespace written into those that name repositories."""
    if namespace == NAMESPACE:
        return dict(files)
    renamed = dict(files)
    for path, file in files.items():
        if path not in NAMED_AFTER_NAMESPACE:
            continue
        text = _REPOSITORY.sub(lambda found: f"{namespace}/{found[1]}", file.read_text(encoding="utf-8"))
        renamed[path] = scratch / path
        renamed[path].parent.mkdir(parents=True, exist_ok=True)
        renamed[path].write_text(text, encoding="utf-8")
    return renamed
