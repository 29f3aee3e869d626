"""Says what the registry misses of the installed libraries, and where it disagrees with them.

    python -m dataset_scripts.tvhf.check_registry [--torchvision NAMES.json]

* Model types of transformers that no entry has, and entries whose type the library no longer has.
* `parents` and `borrows` that are not what the library's modular files say now.
* With `--torchvision`, a JSON list of names (`torchvision.models.list_models()`) or a summary of
  `benchmarks/coverage.py`: the same for torchvision.

The exit code is 1 if there is anything to correct.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Iterator
from pathlib import Path

from .library_tvhf import installed_types, parentage
from .registry_tvhf import FAMILIES_FOLDER, Registry, load_registry


def disagreements(registry: Registry, torchvision: Collection[str] | None = None) -> Iterator[str]:
    """What is to be corrected, a line each, with file and line where there is an entry.

    Args:
        registry: the registry.
        torchvision: all names of torchvision; None leaves them unchecked.
    """
    known = {member.type for member in registry.members.values()}
    installed = set(installed_types())
    for model_type in sorted(installed - known):
        yield f"{model_type}: a model type of transformers without an entry"
    for member in registry.members.values():
        if member.type and member.type not in installed:
            yield f"{member.where}: {member.type}: transformers has no such model type"
        elif member.type and member.is_default:
            found = parentage(member.type)
            for key, said, true in (
                ("parents", member.parents, found.parents),
                ("borrows", member.borrows, found.borrows),
            ):
                if set(said) != set(true):
                    yield f"{member.where}: {member.name}: {key} are {list(true)}, not {list(said)}"
        elif member.source == "torchvision" and torchvision is not None and member.name not in torchvision:
            yield f"{member.where}: {member.name}: torchvision has no such network"
    for name in sorted(set(torchvision or ()) - registry.members.keys()):
        yield f"{name}: a network of torchvision without an entry"


def main() -> None:
    """Prints the disagreements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", type=Path, default=FAMILIES_FOLDER, help="folder of the registry")
    parser.add_argument("--torchvision", type=Path, help="JSON with the names of torchvision")
    arguments = parser.parse_args()
    names = None
    if arguments.torchvision is not None:
        data = json.loads(arguments.torchvision.read_text(encoding="utf-8"))
        names = list(data["status"]) if isinstance(data, dict) else data
    lines = list(disagreements(load_registry(arguments.families), names))
    print("\n".join(lines) or "The registry and the installed libraries agree.")
    raise SystemExit(1 if lines else 0)


if __name__ == "__main__":
    main()
