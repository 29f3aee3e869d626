"""``archbert describe``: what a network is, in sentences and computed facts."""

from __future__ import annotations

import argparse
import os
from typing import Any

from .cli_output import CommandError, Output
from .cli_sources import (
    INDEX_ID,
    INDEX_VARIABLE,
    Loaded,
    add_model_option,
    add_parser,
    add_source_options,
    expand,
    find_index,
    hints_of,
    load_all,
    report_error,
)

DEFAULT_SEQUENCE = 128
"""Tokens of the forward pass whose cost is told, where a network takes sequences of any length."""
_FACTS = (
    ("layers", "layers"), ("hidden_size", "hidden size"), ("heads", "attention heads"), ("kv_heads", "kv heads"),
    ("head_size", "head size"), ("window", "sliding window"), ("intermediate_size", "intermediate size"),
    ("experts", "experts"), ("experts_per_token", "experts per token"), ("vocabulary", "vocabulary"),
    ("positions", "learned positions"), ("patch", "patch size"),
)  # fmt: skip


def add_commands(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_parser(
        commands, "describe", "say what a network is: sentences and computed facts",
        """
        archbert describe bert
        archbert describe configs/*.json --jobs 2 --json
        archbert describe model.onnx --draw model.svg
        """,
    )  # fmt: skip
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="what names a network; globs of files as well")
    parser.add_argument("--draw", metavar="FILE", help="draw the network, folded, as .svg, .png or .pdf")
    parser.add_argument("--dtype", default="float16", help="data type of sizes in bytes (default float16)")
    parser.add_argument("--sequence", type=int, help="tokens of the forward pass whose FLOPs are told (default 128)")
    parser.add_argument("--image", type=int, help="side of its image in pixels (default: as the network has it)")
    parser.add_argument("--batch", type=int, help="its batch (default 1)")
    parser.add_argument("--no-costs", action="store_true", help="leave out FLOPs and activations, which take longer")
    parser.add_argument(
        "--index", help=f"index of known networks (default: ${INDEX_VARIABLE}, then {INDEX_ID} once it was fetched)"
    )
    parser.add_argument(
        "--nearest", type=int, default=3, metavar="N", help="known networks to name (default 3; 0 for none)"
    )
    add_model_option(parser)
    add_source_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, output: Output) -> int:
    """Describe every source; status 2 where one cannot be read."""
    from processing_archbert.graph_costs_archbert import DTYPE_BITS

    if options.dtype not in DTYPE_BITS:
        raise CommandError(f"--dtype is {options.dtype!r}; allowed are {', '.join(DTYPE_BITS)}.")
    sources = expand(options.sources)
    if options.draw and len(sources) > 1:
        raise CommandError("--draw takes one source; describe the sources one by one.")
    failed = 0
    known = KnownNetworks(options, output)
    for number, loaded in enumerate(load_all(sources, hints_of(options, costs=not options.no_costs), output,
                                             options.jobs)):  # fmt: skip
        if loaded.graph is None:
            report_error(loaded, output)
            failed += 1
            continue
        near = known.nearest(loaded.graph)
        sizes = {axis: getattr(options, axis) for axis in ("batch", "sequence", "image") if getattr(options, axis)}
        result = described(loaded, options.dtype, sizes) | ({} if near is None else {"nearest": near})
        if options.draw:
            loaded.graph.draw(options.draw)
            result["picture"] = options.draw
        if output.json_lines:
            output.object(result)
        else:
            if number - failed:
                output.line()
            show(result, output)
    return 2 if failed else 0


class KnownNetworks:
    """The index that a network's nearest neighbours are looked up in, read when the first is asked for.

    A network that the index has needs no checkpoint: its embedding stands there. An index that nobody named does not
    stop a description: where it does not fit, a warning is given, and no neighbours.

    Args:
        options: those of the command: `index`, `model`, `nearest`.
        output: for warnings.
    """

    def __init__(self, options: argparse.Namespace, output: Output) -> None:
        self._options, self._output = options, output
        self._named = bool(options.index or os.environ.get(INDEX_VARIABLE))
        self._wanted = options.nearest > 0
        self._folder = ""
        self._index: Any = None

    def nearest(self, graph: Any) -> list[dict[str, Any]] | None:
        """The nearest known networks, as dictionaries; None where there is no index or none are wanted.

        Raises:
            CommandError: an index that was named cannot be read, or is one of another checkpoint.
        """
        if not self._wanted:
            return None
        try:
            return self._looked_up(graph)
        except CommandError as error:
            if self._named:
                raise
            self._wanted = False
            self._output.warning(f"nearest known networks are left out: {error}")
            return None

    def _looked_up(self, graph: Any) -> list[dict[str, Any]] | None:
        from .index import ArchitectureIndex

        if self._index is None:
            self._folder = find_index(self._options.index, fetch=False)
            if not self._folder:
                self._wanted = False
                return None
            self._index = ArchitectureIndex.load(self._folder)
        hits = None
        if not self._options.model:
            hits = self._index.neighbours(graph.graph_hash, self._options.nearest)
        if hits is None:
            from .embedding import Embedder
            from .index import model_fingerprint

            embedder = Embedder.shared(self._options.model)
            self._index.check_model(model_fingerprint(embedder.model), self._folder)
            hits = self._index.search_all(embedder.architectures([graph])[0], self._options.nearest)
        return [hit.to_dict() for hit in hits]


def described(loaded: Loaded, dtype: str = "float16", sizes: dict[str, int] | None = None) -> dict[str, Any]:
    """What is told of a network, as plain data: `sentences`, `numbers`, the `summary`, its hash and the warnings.

    Args:
        loaded: the network.
        dtype: data type of what is counted in bytes.
        sizes: of the forward pass: `batch`, `sequence`, `image`; by default 128 tokens where a sequence may vary.

    Raises:
        ArchitectureGraphError: the network does not take such a size.
    """
    from processing_archbert.graph_overview_archbert import summary
    from processing_archbert.network_numbers_archbert import NetworkNumbers

    from .description import sentences, sizes_text

    graph = loaded.graph
    numbers = NetworkNumbers(graph)
    axes = graph.costs["axes"] if graph.costs is not None else {}
    sizes = dict(sizes or {}) if graph.costs is not None else {}
    for axis in ("sequence", "target"):
        if axis in axes:
            sizes.setdefault(axis, DEFAULT_SEQUENCE)
    facts = summary(graph, dtype, **sizes)
    told: dict[str, str] = {}
    for name, label in _FACTS:
        fact = numbers.number(name)
        if fact.value and not (name == "kv_heads" and fact.value == numbers.number("heads").value):
            told[label] = "; ".join(numbers.words(name))
    return {
        "source": loaded.source,
        "name": graph.name,
        "graph_hash": graph.graph_hash,
        "sentences": sentences(numbers, facts),
        "numbers": told,
        "facts": facts,
        "costs_at": sizes_text(facts["sizes"]),
        "incomplete": list(graph.incomplete),
        "warnings": loaded.warnings,
    }


def show(result: dict[str, Any], output: Output) -> None:
    """A description as text."""
    from .description import in_bytes

    facts = result["facts"]
    for message in result["warnings"]:
        output.warning(f"{result['source']}: {message}")
    output.line(output.styled(result["name"], "bold"))
    output.paragraph(" ".join(result["sentences"]))
    output.line()
    rows = list(result["numbers"].items())
    rows.append(("parameters", f"{facts['parameters']:,} ({in_bytes(facts['weight_bytes'])} in {facts['dtype']})"))
    if facts["flops"] is not None:
        rows.append(("FLOPs", f"{facts['flops']:,} for one forward pass ({result['costs_at']})"))
        rows.append(("activations", f"{in_bytes(facts['activation_bytes'])} at the peak"))
    if facts["kv_cache_bytes_per_token"]:
        rows.append(("cache", f"{in_bytes(facts['kv_cache_bytes_per_token'])} per token"))
    rows.append(("kinds of layers", ", ".join(f"{count} {kind}" for kind, count in facts["layers"].items())))
    rows.append(("graph", f"{facts['nodes']:,} nodes, {facts['edges']:,} edges, {result['graph_hash']}"))
    if "picture" in result:
        rows.append(("picture", result["picture"]))
    output.pairs(rows)
    if result.get("nearest"):
        output.line("  nearest known architectures")
        output.table(("name", "similarity"), [(_named(n), f"{n['score']:.3f}") for n in result["nearest"]], "    ")


def _named(hit: dict[str, Any]) -> str:
    return f"{hit['name']} ({', '.join(hit['aliases'][:3])})" if hit["aliases"] else str(hit["name"])
