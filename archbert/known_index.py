"""``make index``: the index of every network that transformers, torchvision and timm know by name, into ``hub/index``.

    python -m archbert.known_index --cache ~/.cache/archbert/known --zoo_python .zoo-env/bin/python

* Graphs are kept in the cache folder: a call that was stopped goes on, and another checkpoint embeds them anew within
  minutes (`--no_trace` traces nothing).
* Written are the index, `skipped.jsonl` (names that cannot be traced, and why) and the card.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .cli_output import Output
from .cli_sources import Loaded, add_model_option
from .index import ArchitectureIndex, Entry
from .index_building import write_reasons
from .known_networks import (
    LIBRARIES,
    GraphStore,
    Known,
    known_names,
    trace_elsewhere,
    trace_networks,
    variants,
    write_whole,
)
from .names import NAMESPACE, TAG

ROOT = Path(__file__).resolve().parents[1]
CARD = """---
license: apache-2.0
pretty_name: Named architectures of transformers, torchvision and timm
tags: [archbert, neural-architecture, graph]
size_categories: [1K<n<10K]
configs:
- config_name: default
  data_files: architectures.parquet
---

# Named architectures

{rows:,} network architectures under {names:,} names: what transformers, torchvision and timm build by name, with
facts, hashes, a description and an embedding of each. There are no weights, and none were loaded.

| library | names | distinct architectures |
|---|---|---|
{libraries}

A name stands in `name`, or in `aliases` of an architecture of equal graph hash. Names of transformers are its model
types in their default configuration, and variants of the data set `{namespace}/tvhf`, whose configuration stands in
`config`. {skipped} names are left out, each with the reason in `skipped.jsonl`.

## Use

```console
archbert search "a small convolutional classifier with squeeze-and-excitation" --filter "parameters<10M"
archbert describe timm:resnet50
```

In Python, `ArchitectureIndex.load(folder).search(vector, k=10, where="parameters<50M")` of `archbert.index`, or
`datasets.load_dataset("{namespace}/index", revision="{tag}")`.

## Columns

| column | meaning |
|---|---|
| `name`, `aliases` | what `load_architecture` takes (of a variant: its name) |
| `source`, `config` | the same; of a variant also its configuration, as JSON |
| `library` | with the version that built it |
| `graph_hash`, `topology_hash` | equal for isomorphic graphs: all facts of nodes and edges; op types and edges only |
| `family` | what carries the data: {families} |
| `caption` | sentences, computed from the graph |
| `nodes` ... `cross_cache_bytes_per_position` | numbers, which filters compare; sizes as traced, bytes in float16; \
`flops` and `activation_bytes` are known of {costs:,} architectures, null of the others |
| `properties`, `modalities`, `quantities` | what a text that is searched for is held against: properties and layers \
that are there, what is read, and numbers by name (JSON) |
| `embedding` | float32 ({width}), of length 1, by the checkpoint whose fingerprint stands in `index.json` |

An embedding fits one checkpoint and one extraction version only; another one is refused.

## How it was made

`make index` traces every network without weights and embeds it with `{model}`; it goes on after an interruption. The
captions and numbers are computed, the embeddings are predicted. Sizes of inputs are the libraries' defaults.

The descriptions and numbers are under Apache-2.0. The names are those of the libraries ({licences}).
"""
LICENCES = {"transformers": "Apache-2.0", "torchvision": "BSD-3-Clause", "timm": "Apache-2.0"}


def known_networks(data: Path, cache: Path) -> list[Known]:
    """All names, in the order of the index: transformers, variants, torchvision, timm.

    Args:
        data: the folder of TVHF.
        cache: the cache folder, with the names of torchvision and timm that their environment found.
    """
    listed = cache / "zoo_names.json"
    zoo = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else []
    return joined([*own_networks(data, cache), *(Known(n, n.partition(":")[0], n) for n in zoo)])


def own_networks(data: Path, cache: Path) -> list[Known]:
    """Those that transformers builds: its model types, then the variants of TVHF in a folder."""
    return joined([*known_names("transformers"), *variants(data, cache)])


def joined(networks: Sequence[Known]) -> list[Known]:
    """Every name once, with all of its aliases."""
    found: dict[str, Known] = {}
    for network in networks:
        before = found.get(network.name)
        aliases = network.aliases if before is None else (*before.aliases, *network.aliases)
        found[network.name] = (before or network)._replace(aliases=aliases)
    return list(found.values())


def entries(networks: Sequence[Known], store: GraphStore, failed: list[Loaded]) -> Iterator[Entry]:
    """Every network whose graph is kept; the others go to `failed`."""
    for network in networks:
        found = store.graph(network.name)
        if found is None:
            reason = (store.read(network.name) or {"error": "not traced"})["error"]
            failed.append(Loaded(network.name, None, str(reason), []))
            continue
        graph, library = found
        yield Entry(network.name, graph, network.name, network.aliases, library, network.config)


def card(index: ArchitectureIndex, failed: Sequence[Loaded], model: str) -> str:
    """The card of the index.

    Args:
        index: with its networks' names.
        failed: names that are left out.
        model: name of the checkpoint.
    """
    from processing_archbert.graph_overview_archbert import FAMILIES

    rows = index.table.select(["name", "aliases", "library", "flops"]).to_pylist()
    versions = sorted({row["library"] for row in rows}, key=lambda v: LIBRARIES.index(v.split()[0]))
    distinct = Counter(row["library"] for row in rows)
    names = Counter(_library(name) for row in rows for name in [row["name"], *row["aliases"]])
    table = [f"| {v} | {names[v.split()[0]]:,} | {distinct[v]:,} |" for v in versions]
    return CARD.format(
        rows=len(index), names=names.total(), libraries="\n".join(table), skipped=len(failed), namespace=NAMESPACE,
        tag=TAG, costs=sum(row["flops"] is not None for row in rows),
        families=", ".join(FAMILIES), width=index.embeddings.shape[1], model=f"{NAMESPACE}/{Path(model).name}",
        licences=", ".join(f"{name}: {LICENCES[name]}" for name in LIBRARIES),
    )  # fmt: skip


def _library(name: str) -> str:
    library, colon, _ = name.partition(":")
    return library if colon else "transformers"


def build(options: argparse.Namespace, output: Output) -> int:
    """Traces what is not kept yet, embeds, writes; status 0."""
    from .embedding import Embedder

    store = GraphStore(options.cache)
    if not options.no_trace:
        for name, error in trace_networks(own_networks(options.tvhf, options.cache), store, output, options.jobs):
            if error:
                output.warning(f"{name}: {error}")
        if options.zoo_python:
            trace_elsewhere(options.zoo_python, options.cache, options.jobs)
    networks = known_networks(options.tvhf, options.cache)
    failed: list[Loaded] = []
    embedder = Embedder(options.model)
    shown: Any = output.progress(networks, len(networks), "embedding")
    index = ArchitectureIndex.build(entries(shown, store, failed), embedder)
    options.out.mkdir(parents=True, exist_ok=True)
    write_reasons(options.out / "skipped.jsonl", failed)
    write_whole(options.out / "README.md", card(index, failed, embedder.name).encode())
    index.save(options.out)
    output.line(f"{options.out}: {len(index):,} architectures of {len(networks):,} names, {len(failed)} not traced.")
    return 0


def main() -> int:
    """Command line of `build`."""
    parser = argparse.ArgumentParser(description="Build the index of every network with a name.")
    parser.add_argument("--out", type=Path, default=ROOT / "hub" / "index", help="folder of the index")
    parser.add_argument("--cache", type=Path, required=True, help="folder in which graphs are kept")
    parser.add_argument("--tvhf", type=Path, default=ROOT / "hub" / "datasets" / "tvhf", help="folder of TVHF")
    parser.add_argument("--zoo_python", help="Python of the environment with torchvision and timm (make zoo-env)")
    parser.add_argument("--no_trace", action="store_true", help="embed what is kept, trace nothing")
    parser.add_argument("--jobs", type=int, default=1, help="processes that trace")
    add_model_option(parser)
    return build(parser.parse_args(), Output())


if __name__ == "__main__":
    sys.exit(main())
