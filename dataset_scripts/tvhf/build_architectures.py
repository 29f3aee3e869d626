"""Builds the config `architectures` of TVHF from the registry: traces, removes duplicates, clusters, splits, audits.

    python -m dataset_scripts.tvhf.build_architectures --out DIR --num_proc 2 --zoo_python .zoo-env/bin/python
    python -m dataset_scripts.tvhf.build_architectures --out DIR --check

* Written are `architectures/<split>-00000-of-00001.parquet`, `clones/...`, `leak_audit.json`, and `not_traced.json`
  with the members that are in no row, each with the reason.
* Graphs are kept in `DIR/graphs`, so that a call that was stopped (or given `--seconds`) goes on where it ended.
* What changed against the stored hashes (`hashes.json`) is said at the end: with other versions of a library, the same
  entry may give another network. `--check` ends with exit code 1 then; `--store` replaces the stored hashes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .architectures_tvhf import MIN_USED_SHARE, Architecture, Traced, make_table, write_architectures
from .clones_tvhf import make_clones, write_clones
from .configs_tvhf import AUDIT, NOT_TRACED
from .registry_tvhf import FAMILIES_FOLDER, Registry, load_registry
from .trace_tvhf import graph_path, is_kept, is_zoo, read_graph, trace_in_zoo, trace_members

HASHES = Path(__file__).with_name("hashes.json")


def read_traced(registry: Registry, folder: Path) -> tuple[list[Traced], dict[str, str]]:
    """The members whose graph is kept, and name -> why for those without."""
    traced, missing = [], {}
    for member in registry.available():
        path = graph_path(folder, member)
        if not is_kept(folder, member):
            missing[member.name] = "not traced yet"
        elif path.exists():
            graph, beside = read_graph(path)
            traced.append(Traced(member, graph, str(beside["library"])))
        else:
            missing[member.name] = str(json.loads(path.with_suffix(".error").read_text(encoding="utf-8"))["error"])
    return traced, missing


def not_traced(registry: Registry, missing: Mapping[str, str], rows: Sequence[Architecture]) -> dict[str, Any]:
    """What `not_traced.json` holds: numbers of members, and why each one that is in no row is in none.

    Args:
        registry: all members.
        missing: name -> why, of those that could be built and have no graph.
        rows: the table of architectures.
    """
    shown = {name for row in rows for name in (row.name, *row.aliases)}
    left = [member for name, member in sorted(registry.members.items()) if name not in shown]
    hidden = f"the graph shows less than {MIN_USED_SHARE:.0%} of its parameters"
    return {
        "members": len(registry.members),
        "traced": len(registry.members) - sum(bool(m.unavailable) or m.name in missing for m in left),
        "rows": len(rows),
        "left_out": {
            member.name: {
                "family": member.family,
                "source": member.source,
                "where": f"{member.file.name}:{member.line}",
                "reason": member.unavailable or missing.get(member.name, hidden),
            }
            for member in left
        },
    }


def hash_table(traced: Sequence[Traced]) -> dict[str, Any]:
    """What `hashes.json` holds: versions, and for every member its graph hash and number of parameters."""
    return {
        "versions": sorted({item.version for item in traced}),
        "graphs": {
            item.member.name: [item.graph.graph_hash, item.graph.num_parameters]
            for item in sorted(traced, key=lambda t: t.member.name)
        },
    }


def changes(stored: Mapping[str, Any], now: Mapping[str, Any], missing: Mapping[str, str]) -> list[str]:
    """What changed against the stored hashes, a line for each network; empty if nothing did."""
    before, after = stored["graphs"], now["graphs"]
    lines = [
        f"{name}: the graph is another one; {before[name][1]:,} parameters before, {after[name][1]:,} now"
        for name in sorted(before.keys() & after.keys())
        if before[name] != after[name]
    ]
    lines += [f"{name}: cannot be traced now: {missing.get(name, 'not in the registry')}"
              for name in sorted(before.keys() - after.keys())]  # fmt: skip
    lines += [f"{name}: new" for name in sorted(after.keys() - before.keys())]
    if lines and stored["versions"] != now["versions"]:
        lines.insert(0, f"versions: {', '.join(stored['versions'])} before, {', '.join(now['versions'])} now")
    return lines


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes JSON with one entry to a line, two levels deep."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = []
    for key, value in data.items():
        if isinstance(value, dict) and value:
            inside = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f"{json.dumps(key)}: {{\n{inside}\n}}")
        elif isinstance(value, list) and value and isinstance(value[0], list):
            parts.append(f"{json.dumps(key)}: [\n" + ",\n".join(f"  {json.dumps(v)}" for v in value) + "\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def build(arguments: argparse.Namespace) -> int:
    """Traces and writes; returns the exit code."""
    registry = load_registry(arguments.families)
    graphs = arguments.graphs or arguments.out / "graphs"
    if not arguments.no_trace:
        trace_members(
            [m for m in registry.available() if not is_zoo(m)], graphs, arguments.num_proc, arguments.seconds
        )
        if arguments.zoo_python:
            trace_in_zoo(arguments.zoo_python, graphs, arguments.num_proc, arguments.seconds, arguments.families)
    traced, missing = read_traced(registry, graphs)
    if not traced:
        print("No network of the registry is traced; nothing is written.")
        return 1
    for name, reason in missing.items():
        print(f"{registry.members[name].where}: {name}: {reason}")
    table = make_table(traced, arguments.seed)
    size = write_architectures(arguments.out, table.architectures)
    clones = make_clones(table.architectures, registry, table.similarity, arguments.seed)
    write_clones(arguments.out, clones)
    write_json(arguments.out / AUDIT, table.audit)
    write_json(arguments.out / NOT_TRACED, not_traced(registry, missing, table.architectures))
    print(
        f"{len(traced)} of {len(registry.members)} members, {len(table.architectures)} distinct graphs, {size:,} bytes"
    )
    return _compare(hash_table(traced), missing, arguments)


def _compare(now: Mapping[str, Any], missing: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Says what changed against the stored hashes, and stores the new ones if asked to."""
    if arguments.store:
        write_json(HASHES, now)
        return 0
    lines = changes(json.loads(HASHES.read_text(encoding="utf-8")), now, missing)
    print("\n".join(lines) or "Nothing changed against the stored hashes.")
    return 1 if lines and arguments.check else 0


def main() -> None:
    """Command line of `build`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--families", type=Path, default=FAMILIES_FOLDER, help="folder of the registry")
    parser.add_argument("--graphs", type=Path, help="folder in which graphs are kept; default: OUT/graphs")
    parser.add_argument("--num_proc", type=int, default=1, help="networks traced at the same time")
    parser.add_argument("--seed", type=int, default=0, help="decides the splits and the sampled pairs")
    parser.add_argument(
        "--zoo_python", "--zoo-python", help="Python of the environment with torchvision (make zoo-env)"
    )
    parser.add_argument("--seconds", type=float, help="start no further network after this time")
    parser.add_argument("--no_trace", action="store_true", help="use the graphs that are kept, trace none")
    parser.add_argument("--check", action="store_true", help="exit code 1 if a graph changed against hashes.json")
    parser.add_argument("--store", action="store_true", help="replace hashes.json")
    raise SystemExit(build(parser.parse_args()))


if __name__ == "__main__":
    main()
