"""Turn a checkpoint into a published folder: ``python -m archbert.release --checkpoint DIR --name archbert-mini``.

A published folder is flat: weights, configs, tokenizer, results, card and, beside them, every code file that loading
with ``trust_remote_code=True`` needs.

* Weights are stored in float16 and load as float32 (``dtype`` in config.json).
* ``auto_map`` and ``custom_pipelines`` are written here for every head, from the tables below.
* Code files are relative symbolic links into the packages, so there is one source of the code. Saving a model into
  such a folder would write through the links: training scripts call `refuse_release_folder` first.
* ``reference.json`` has the numbers that the weights give for small networks, wherever they are loaded.
* The folder is built beside its place, loaded once to prove that it is whole, and then swapped in.
* ``--refresh`` does all this for a folder that is published already, and keeps its weights and its reference.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers.dynamic_module_utils import get_relative_imports

import modeling_archbert
import processing_archbert

from . import PIPELINE_MODELS, PIPELINE_TYPE, PIPELINES
from .model_card import PICTURES, read_results, write_model_card
from .reference import REFERENCE, check_reference, write_reference

logger = logging.getLogger(__name__)

AUTO_MAP: dict[str, str] = {
    "AutoConfig": "configuration_archbert.ArchBertConfig",
    "AutoModel": "modeling_archbert.ArchBertModel",
    "AutoModelForPreTraining": "modeling_archbert.ArchBertForPreTraining",
    "AutoModelForSeq2SeqLM": "generation_archbert.ArchBertForConditionalGeneration",
    "AutoModelForSequenceClassification": "modeling_archbert.ArchBertForSequenceClassification",
}
PROCESSOR_AUTO_MAP: dict[str, str] = {"AutoProcessor": "processing_archbert.ArchBertProcessor"}
FEATURE_EXTRACTOR_AUTO_MAP: dict[str, str] = {
    "AutoFeatureExtractor": "graph_features_archbert.ArchBertGraphFeatureExtractor"
}
CUSTOM_PIPELINES: dict[str, dict[str, Any]] = {
    task: {
        "impl": f"{pipeline_class.__module__.rpartition('.')[-1]}.{pipeline_class.__name__}",
        "pt": [PIPELINE_MODELS[task]],
        "type": PIPELINE_TYPE,
    }
    for task, pipeline_class in PIPELINES.items()
}

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
PROCESSOR_CONFIG = "processor_config.json"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt",
)  # fmt: skip
RESULTS_PATTERN = "*results*.json"
_LOCAL_KEYS = ("_name_or_path", "name_or_path")


class ReleaseError(ValueError):
    """A checkpoint that cannot be released: says what is wrong with which file and what to do."""


def code_files() -> dict[str, Path]:
    """File name -> source file of all code that a published folder needs, sorted by name.

    The entry points are the modules of the tables above; their one-dot imports are followed. A file is looked for in
    both packages, because on the Hub they lie side by side.

    Raises:
        ReleaseError: an import names a file that is in neither package, or a file name is in both.
    """
    folders = [Path(str(package.__file__)).resolve().parent for package in (processing_archbert, modeling_archbert)]
    references = [*AUTO_MAP.values(), *PROCESSOR_AUTO_MAP.values(), *FEATURE_EXTRACTOR_AUTO_MAP.values()]
    references += [task["impl"] for task in CUSTOM_PIPELINES.values()]
    waiting = [reference.split(".")[0] for reference in references]
    found: dict[str, Path] = {}
    while waiting:
        name = f"{waiting.pop()}.py"
        if name not in found:
            candidates = [folder / name for folder in folders if (folder / name).is_file()]
            if len(candidates) != 1:
                raise ReleaseError(f"{name} is in {len(candidates)} of the two packages; it has to be in exactly one.")
            found[name] = candidates[0]
            waiting += get_relative_imports(candidates[0])
    return dict(sorted(found.items()))


def file_digest(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def refuse_release_folder(folder: str | os.PathLike[str]) -> None:
    """Raise if saving into `folder` would write through links into the source code.

    Raises:
        ReleaseError: the folder holds linked code files.
    """
    links = sorted(path.name for path in Path(folder).glob("*.py") if path.is_symlink())
    if links:
        raise ReleaseError(
            f"{folder} is a published folder (its {links[0]} is a link into the source). Save somewhere else and "
            "release it: python -m archbert.release --checkpoint DIR --name NAME."
        )


def release(
    checkpoint: str | os.PathLike[str],
    name: str,
    hub_dir: str | os.PathLike[str] = "hub/models",
    results: Iterable[str | os.PathLike[str]] = (),
) -> Path:
    """Publish `checkpoint` as the folder `hub_dir`/`name`, replacing what is there; the same input, the same bytes.

    Args:
        checkpoint: folder with the saved `ArchBertForPreTraining` and its processor, and results as JSON.
        name: name of the published model.
        hub_dir: folder of all published models.
        results: more results files, of measurements that were made elsewhere; all end in one results.json.

    Returns:
        The published folder.

    Raises:
        ReleaseError: a file is missing, unsafe, truncated or does not fit; nothing has been changed then.
    """
    source, target = Path(checkpoint), Path(hub_dir) / name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ReleaseError(f"The name is {name!r}; letters, digits, '.', '_' and '-' are allowed.")
    if source.resolve() == target.resolve():
        raise ReleaseError(f"{source} is the published folder itself; give the folder that a training script saved.")
    _check_source(source)
    tables = [*sorted(source.glob(RESULTS_PATTERN)), *map(Path, results)]
    return _publish(source, target, tables, _write_weights)


def refresh(name: str, hub_dir: str | os.PathLike[str] = "hub/models") -> Path:
    """Bring the published folder `hub_dir`/`name` up to date with the code; its weights stay, byte for byte.

    Written anew are ``auto_map``, ``custom_pipelines``, the links to code files, and the card; pictures stay.

    Returns:
        The published folder.

    Raises:
        ReleaseError: there is no such folder, or it is not whole; nothing has been changed then.
    """
    target = Path(hub_dir) / name
    if not target.is_dir():
        raise ReleaseError(f"There is no published folder {target}; publish a checkpoint first (--checkpoint DIR).")
    _check_source(target)

    def copy_weights(source: Path, staging: Path) -> None:
        shutil.copyfile(source / WEIGHTS, staging / WEIGHTS)

    return _publish(target, target, sorted(target.glob(RESULTS_PATTERN)), copy_weights)


def _publish(source: Path, target: Path, results: Sequence[Path], write_weights: Callable[[Path, Path], None]) -> Path:
    """Build the folder of `source` beside `target`, and swap it in when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.parent / f".{target.name}.new"
    _remove(staging)
    staging.mkdir()
    try:
        write_weights(source, staging)
        config = _write_configs(source, staging)
        for picture in filter(Path.is_file, (source / name for name in PICTURES)):
            shutil.copyfile(picture, staging / picture.name)
        _write_results(results, config, staging, target.name)
        _link_code(staging)
        _check_loads(staging)
        _write_reference(source, staging)
        _swap(staging, target)
    finally:
        _remove(staging)
    return target


def _check_source(source: Path) -> None:
    if not source.is_dir():
        raise ReleaseError(f"There is no folder {source}; give the folder that a training script saved.")
    pickles = sorted(path.name for path in source.glob("pytorch_model*.bin"))
    for required in (CONFIG, PROCESSOR_CONFIG, WEIGHTS, "tokenizer.json"):
        if not (source / required).is_file():
            hint = f" (pickled weights such as {pickles[0]} are never opened)" if pickles else ""
            raise ReleaseError(
                f"{source} has no {required}{hint}; save the model and its processor there with save_pretrained."
            )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReleaseError(f"{path} is no JSON ({error}); save the checkpoint again.") from None


def _write_json(path: Path, value: Any, sort_keys: bool = True) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=sort_keys, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_weights(source: Path, staging: Path) -> None:
    path = source / WEIGHTS
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ReleaseError(f"{path} cannot be read ({error}); it is truncated or damaged, save it again.") from None
    for key, tensor in weights.items():
        if tensor.is_floating_point():
            half = tensor.to(torch.float16)
            if not torch.isfinite(half).all():
                raise ReleaseError(f"{key} in {path} has values that float16 cannot hold; is the training healthy?")
            weights[key] = half.contiguous()
    save_file(dict(sorted(weights.items())), staging / WEIGHTS, metadata={"format": "pt"})


def _write_configs(source: Path, staging: Path) -> dict[str, Any]:
    config = {key: value for key, value in _read_json(source / CONFIG).items() if key not in _LOCAL_KEYS}
    config |= {
        "architectures": [AUTO_MAP["AutoModelForPreTraining"].split(".")[1]],
        "auto_map": AUTO_MAP,
        "custom_pipelines": CUSTOM_PIPELINES,
        "dtype": "float32",
    }
    _write_json(staging / CONFIG, config)
    processor = _read_json(source / PROCESSOR_CONFIG)
    processor["auto_map"] = PROCESSOR_AUTO_MAP
    processor.setdefault("feature_extractor", {})["auto_map"] = FEATURE_EXTRACTOR_AUTO_MAP
    _write_json(staging / PROCESSOR_CONFIG, processor)
    for file in TOKENIZER_FILES:
        if (source / file).is_file():
            shutil.copyfile(source / file, staging / file)
    tokenizer = staging / "tokenizer_config.json"
    if tokenizer.is_file():
        kept = {k: v for k, v in _read_json(tokenizer).items() if k not in (*_LOCAL_KEYS, "auto_map")}
        _write_json(tokenizer, kept)
    return config


def _write_results(paths: Sequence[Path], config: dict[str, Any], staging: Path, name: str) -> None:
    try:
        tables = read_results(paths)
    except (OSError, ValueError) as error:
        raise ReleaseError(f"The results cannot be read: {error}") from None
    if tables:
        _write_json(staging / "results.json", tables, sort_keys=False)  # the order of columns is that of the tables
    write_model_card(staging, config, tables, name=name)


def _link_code(staging: Path) -> None:
    """The staging folder is as deep as its final place, so a relative link holds in both."""
    for name, path in code_files().items():
        (staging / name).symlink_to(os.path.relpath(path, staging.resolve()))


def _check_loads(staging: Path) -> None:
    try:
        _, report = modeling_archbert.ArchBertForPreTraining.from_pretrained(staging, output_loading_info=True)
        processing_archbert.ArchBertProcessor.from_pretrained(staging)
    except Exception as error:
        raise ReleaseError(f"The checkpoint does not load: {type(error).__name__}: {error}") from error
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            examples = ", ".join(str(key) for key in sorted(report[kind], key=str)[:5])
            raise ReleaseError(
                f"The weights do not fit ArchBertForPreTraining, which a release holds: {kind} such as {examples}."
            )


def _write_reference(source: Path, staging: Path) -> None:
    """A new one for new weights; weights that were published before still have to give what theirs says."""
    if not (source / REFERENCE).is_file():
        write_reference(staging)
        return
    try:
        check_reference(staging, source / REFERENCE)
    except (OSError, ValueError, KeyError) as error:
        raise ReleaseError(str(error)) from error
    shutil.copyfile(source / REFERENCE, staging / REFERENCE)


def _swap(staging: Path, target: Path) -> None:
    previous = target.parent / f".{target.name}.old"
    _remove(previous)
    if target.exists():
        target.rename(previous)
    try:
        staging.rename(target)
    except OSError:
        if previous.exists():
            previous.rename(target)
        raise
    _remove(previous)


def _remove(folder: Path) -> None:
    """Delete a folder; links in it are removed, never followed."""
    if folder.exists():
        shutil.rmtree(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m archbert.release", description="Publish a checkpoint as a folder."
    )
    parser.add_argument("--checkpoint", default="runs/aqa-0", help="folder that a training script saved")
    parser.add_argument("--name", default="archbert-mini", help="name of the published model")
    parser.add_argument("--hub_dir", default="hub/models", help="folder of all published models")
    parser.add_argument("--results", nargs="*", default=[], help="more results files (JSON), measured elsewhere")
    parser.add_argument(
        "--refresh", action="store_true", help="keep the weights of a published folder; write configs, links and card"
    )
    options = parser.parse_args(arguments)
    try:
        if options.refresh:
            folder = refresh(options.name, options.hub_dir)
        else:
            folder = release(options.checkpoint, options.name, options.hub_dir, options.results)
    except ReleaseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    size = (folder / WEIGHTS).stat().st_size
    sys.stdout.write(f"{folder}: {size / 1e6:.1f} MB of weights, {len(code_files())} linked code files\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
