"""Folders of a network or a pipeline, as one JSON object of names and contents, read by `load_architecture`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # header_files is in tests

import transformers.models.bert.modeling_bert  # noqa: F401  # its import is not part of reading
from fuzz_json import MUTATE  # noqa: F401  # the wrong values of trees are wrong here, too
from fuzz_json import SEEDS as saved_files
from header_files import safetensors_bytes

from processing_archbert import (
    ArchitectureGraphError,
    ArchitectureSourceError,
    ArchitectureTraceError,
    load_architecture,
)

SUFFIX = ".json"
ALLOWED = (ArchitectureGraphError, ArchitectureSourceError, ArchitectureTraceError)
SECONDS = 3.0
WEIGHTS = "model-00001-of-00001.safetensors"
FILES = ("config.json", "model_index.json", "model.safetensors.index.json", "text_encoder/config.json",
         "unet/config.json", "adapter_config.json", "config_sentence_transformers.json")  # fmt: skip
"""The names that a case may write."""


def SEEDS() -> list[bytes]:
    """A config, a config with an index of weights, and a pipeline."""
    config = json.loads(saved_files()[3])
    index = {"metadata": {"total_size": 4}, "weight_map": {"fc.weight": WEIGHTS}}
    pipeline = {"_class_name": "SmallPipeline", "_diffusers_version": "0.30",
                "text_encoder": ["transformers", "BertModel"], "scheduler": ["diffusers", "PNDMScheduler"],
                "safety_checker": [None, None]}  # fmt: skip
    cases = [
        {"config.json": config},
        {"config.json": config, "model.safetensors.index.json": index},
        {"model_index.json": pipeline, "text_encoder/config.json": config},
    ]
    return [json.dumps(case).encode() for case in cases]


def HOSTILE() -> list[bytes]:
    """Names that lead out of the folder, code that wants to run, and components that are no networks."""
    config = json.loads(saved_files()[3])
    outside = ("../../../../etc/passwd", "/etc/passwd", "..", "", "a\0b", "x" * 5000, "../case.json", "\ud800")
    cases: list[Any] = [{"config.json": config, "model.safetensors.index.json": {"weight_map": {"a": name}}}
                        for name in outside]  # fmt: skip
    cases += [
        {"model_index.json": {"_class_name": "P", name or "x": ["transformers", "BertModel"]}} for name in outside
    ]
    cases += [
        {"config.json": config | {"auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}}},
        {"config.json": config | {"model_type": "mine", "auto_map": {"AutoModel": "os--evil.Model"}}},
        {"config.json": config, "adapter_config.json": {"peft_type": "LORA", "base_model_name_or_path": "../.."}},
        {"model_index.json": {"_class_name": ["../evil", "P"], "unet": ["evil", "os.system"]}},
        {"model_index.json": {"_class_name": "P", "unet": ["diffusers", "__import__"]}, "unet/config.json": {}},
        {"model_index.json": {"_class_name": "P"} | {f"c{i}": ["transformers", "BertModel"] for i in range(3000)}},
        {}, [], None, {"config.json": None}, {"config.json": []}, {"config.json": {"model_type": ["bert"]}},
    ]  # fmt: skip
    return [json.dumps(case).encode() for case in cases]


def read(path: Path) -> Any:
    """The graph of the folder."""
    try:
        case = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ArchitectureSourceError(str(error)) from None  # the case is not one
    folder = path.parent / "folder"
    for part in ("text_encoder", "unet"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name in (*FILES, WEIGHTS):
        (folder / name).unlink(missing_ok=True)
        if isinstance(case, dict) and name in case:
            (folder / name).write_text(json.dumps(case[name]), encoding="utf-8")
    if isinstance(case, dict) and "model.safetensors.index.json" in case:
        (folder / WEIGHTS).write_bytes(safetensors_bytes({"fc.weight": (2, 2)}))
    return load_architecture(folder, time_limit=SECONDS)
