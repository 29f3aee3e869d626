"""Prints the facts that predicates can ask of architectures.

Usage::

    python -m dataset_scripts.tvhf.show_facts --architectures PATH NAME [NAME ...] [--predicate TEXT]

With `--predicate` it says instead of which architectures the predicate is true, false and unknown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .check_sentences import ARCHITECTURES
from .predicate_parser_tvhf import PredicateError, parse
from .schema_tvhf import FACTS
from .truth_tvhf import Architecture, load_architectures


def facts_text(architecture: Architecture) -> str:
    """All facts of an architecture, one to a line; `?` = unknown."""
    facts = architecture.facts
    lines = [f"{architecture.names[0]} ({architecture.record['family']})"]
    network = [name for name, spec in FACTS.items() if spec.level != "tower"]
    lines.append("  " + ", ".join(f"{name} {_shown(facts.value(name))}" for name in network))
    for role, modality, values in facts.towers:
        lines.append(f"  tower {role or '?'} {modality or '?'}: "
                     + ", ".join(f"{name} {_shown(value)}" for name, value in values.items()))  # fmt: skip
    sheet = facts.sheet
    lines.append("  layers: " + ", ".join(f"{kind} {count}" for kind, count in sheet["kinds"].items()))
    lines.append("  kernels: " + ", ".join(f"{kind} {' '.join(sizes)}" for kind, sizes in sheet["kernels"].items()))
    lines.append(f"  first {sheet['first']}, last {sheet['last']}, skips {sheet['skips']}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    return "?" if value is None else str(list(value)) if isinstance(value, tuple) else str(value)


def predicate_text(architectures: Sequence[Architecture], predicate: str) -> str:
    """Of which architectures a predicate is true, false and unknown.

    Raises:
        PredicateError: it cannot be read.
    """
    parsed = parse(predicate)
    found: dict[str, list[str]] = {"true": [], "unknown": [], "false": []}
    for architecture in architectures:
        value = parsed.evaluate(architecture.facts)
        found["unknown" if value is None else str(value).lower()].append(architecture.names[0])
    return "\n".join(f"{word} ({len(names)}): {' '.join(names)}" for word, names in found.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", help="names of members")
    parser.add_argument("--architectures", type=Path, default=ARCHITECTURES, help="Parquet file or folder")
    parser.add_argument("--predicate", default="", help="evaluate this predicate")
    args = parser.parse_args(arguments)
    try:
        architectures = load_architectures(args.architectures)
        if args.predicate:
            sys.stdout.write(predicate_text(architectures, args.predicate) + "\n")
    except (FileNotFoundError, PredicateError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    by_name = {name: a for a in architectures for name in a.names}
    unknown = [name for name in args.names if name not in by_name]
    for name in args.names:
        if name in by_name:
            sys.stdout.write(facts_text(by_name[name]) + "\n")
    if unknown:
        sys.stderr.write(f"no member is called {', '.join(unknown)}.\n")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
