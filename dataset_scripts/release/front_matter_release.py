"""The YAML at the top of a data set's README, from which `datasets` (3.6 and later) takes configs and features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from .folder_release import DataFolder


def read_card(path: str | Path) -> tuple[dict[str, Any], str]:
    """Front matter and text of a card.

    Raises:
        ValueError: the file does not begin with front matter.
    """
    text = Path(path).read_text(encoding="utf-8")
    parts = text.split("---\n", 2)
    if len(parts) != 3 or parts[0]:
        raise ValueError(f"{path} does not begin with '---', metadata and '---'.")
    return yaml.safe_load(parts[1]) or {}, parts[2]


def card_text(front: Mapping[str, Any], body: str) -> str:
    """A card of front matter and text."""
    return f"---\n{yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True)}---\n{body.rstrip()}\n"


def config_entry(data: DataFolder, config: str, default: bool = False) -> dict[str, Any]:
    """The entry of a config under `configs`: where its files are."""
    files = [{"split": split, "path": f"{config}/{split}-*"} for split in data.splits[config]]
    return {"config_name": config, **({"default": True} if default else {}), "data_files": files}


def info_entry(data: DataFolder, config: str) -> dict[str, Any]:
    """The entry of a config under `dataset_info`: its features, and the sizes of its splits."""
    splits = [
        {"name": split, "num_bytes": data.loaded_bytes(config, split), "num_examples": data.num_rows(config, split)}
        for split in data.splits[config]
    ]
    return {
        "config_name": config,
        "features": features_of(data.schema(config)),
        "splits": splits,
        "download_size": data.num_bytes(config),
        "dataset_size": sum(split["num_bytes"] for split in splits),
    }


def features_of(schema: pa.Schema) -> list[dict[str, Any]]:
    """Columns as `datasets` writes them in YAML.

    A list of numbers or texts is a `sequence`. A list of records is a `list`, which stays a list of dictionaries; as a
    `sequence` it would become a dictionary of lists.
    """
    return [{"name": column.name} | _feature(column.type) for column in schema]


_NAMES = {"float": "float32", "double": "float64"}


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if not pa.types.is_list(kind):
        return {"dtype": _NAMES.get(str(kind), str(kind))}
    value = kind.value_type
    if pa.types.is_struct(value):
        return {"list": features_of(pa.schema(list(value)))}
    return {"sequence": str(value)}
