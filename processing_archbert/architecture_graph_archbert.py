"""`ArchitectureGraph`: the computational graph of a network, the one data type that everything here speaks.

* Nodes stand in execution order, which is a topological order, so the same network gives the same bytes everywhere.
* Plain numpy arrays and tuples, frozen and validated when built and when loaded; no weights, nothing to unpickle.
* Two content hashes: `graph_hash` (ops, shapes, attributes, edges) and `topology_hash` (ops, edges), both equal for
  isomorphic graphs.
* Recognised by protocol (`to_dict()` with `format` and `version`), so the installed package and a copy loaded as
  remote code accept each other's objects.
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import importlib
import json
import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .ops_archbert import ATTRIBUTES, EXTRACTION_VERSION, NUM_ATTRIBUTES

FORMAT = "archbert-architecture-graph"
FORMAT_VERSION = 1
HASH_ROUNDS = 4
MAX_NODES = 5_000_000
NO_DATA_FLOW = "data flow"
"""Stands in `incomplete` where the nodes are known, but not what they read: a graph without edges."""
PACKED_WEIGHTS = "packed weights"
"""Stands in `incomplete` where weights are stored packed, so that the parameters cannot be counted."""


class ArchitectureGraphError(ValueError):
    """A graph that cannot be: names the field, the value that was given and what is allowed."""


@dataclass(frozen=True, eq=False)
class ArchitectureGraph:
    """The directed acyclic graph G = {V, A, S} of a network (paper, section 3), with attributes and parameter counts.

    Shapes below: m nodes, e edges, A attribute columns (`ops_archbert.ATTRIBUTES`).

    Args:
        op_types: m canonical op types, in execution order.
        shapes: int32 (m, 4), the principal weight of the node as (out, in, kernel height, kernel width); 0 = none.
        attributes: int32 (m, A); 0 = none.
        node_parameters: int64 (m,), number of parameters whose first user the node is.
        edge_index: int32 (2, e), rows source and target; unique, source < target, sorted by (target, source).
        node_names: m module paths, for people; never read by the model.
        name: name of the network, for people.
        source: where it came from, for people.
        num_parameters: number of unique parameters of the network.
        unused_parameters: parameters that no node uses; `node_parameters.sum() + unused_parameters == num_parameters`.
        incomplete: names of the towers that the graph misses, or `NO_DATA_FLOW`; empty when nothing is missing.
        guesses: values that its control flow read and that had to be guessed, as `module path: function`.
        costs: work and activations of the nodes and how they grow with the inputs (`graph_costs_archbert`); None where
            the graph was read without them. Not in the hashes, and never read by the model.
        extraction_version: version of the op and attribute tables the graph was made with.
        library_versions: versions of the libraries it was made with.

    Raises:
        ArchitectureGraphError: a field has a wrong shape, type or value.
    """

    op_types: tuple[str, ...]
    shapes: np.ndarray
    attributes: np.ndarray
    node_parameters: np.ndarray
    edge_index: np.ndarray
    node_names: tuple[str, ...]
    name: str = ""
    source: str = ""
    num_parameters: int = 0
    unused_parameters: int = 0
    incomplete: tuple[str, ...] = ()
    extraction_version: int = EXTRACTION_VERSION
    library_versions: Mapping[str, str] = field(default_factory=dict)
    guesses: tuple[str, ...] = ()
    costs: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        num_nodes = _checked_length("op_types", self.op_types)
        _set(self, "op_types", _checked_strings("op_types", self.op_types, allow_empty=False))
        _set(self, "node_names", _checked_strings("node_names", self.node_names, length=num_nodes))
        _set(self, "incomplete", _checked_strings("incomplete", self.incomplete))
        _set(self, "guesses", _checked_strings("guesses", self.guesses))
        _set(self, "shapes", _checked_counts("shapes", self.shapes, (num_nodes, 4), np.int32))
        _set(self, "attributes", _checked_counts("attributes", self.attributes, (num_nodes, NUM_ATTRIBUTES), np.int32))
        _set(self, "node_parameters", _checked_counts("node_parameters", self.node_parameters, (num_nodes,), np.int64))
        _set(self, "edge_index", _checked_edges(self.edge_index, num_nodes))
        for name in ("name", "source"):
            if not isinstance(getattr(self, name), str):
                raise ArchitectureGraphError(f"{name} is {type(getattr(self, name)).__name__}; a string is allowed.")
        for name in ("num_parameters", "unused_parameters", "extraction_version"):
            _set(self, name, _checked_count(name, getattr(self, name)))
        if not isinstance(self.library_versions, Mapping):
            raise ArchitectureGraphError("library_versions has to be a mapping of library name to version.")
        _set(self, "library_versions", {str(k): str(v) for k, v in self.library_versions.items()})
        if self.costs is not None:
            from .graph_costs_archbert import checked_costs

            _set(self, "costs", checked_costs(self.costs, num_nodes))
        used = int(self.node_parameters.sum())
        if used + self.unused_parameters != self.num_parameters:
            raise ArchitectureGraphError(
                f"num_parameters is {self.num_parameters}, but node_parameters sum to {used} and unused_parameters is "
                f"{self.unused_parameters}; the two have to add up to num_parameters."
            )

    @classmethod
    def build(
        cls,
        op_types: Sequence[str],
        edges: Iterable[tuple[int, int]],
        shapes: Any = None,
        attributes: Any = None,
        node_parameters: Any = None,
        node_names: Sequence[str] | None = None,
        **fields: Any,
    ) -> ArchitectureGraph:
        """A graph from nodes in any order and edges with duplicates; sorts, completes and validates.

        The order of execution is kept wherever the edges allow it. Missing arrays are zero, missing names empty,
        a missing `num_parameters` is the sum over the nodes.

        Raises:
            ArchitectureGraphError: the edges contain a cycle or an index out of range, or a field is wrong.
        """
        m = len(op_types)
        order = _topological_order(m, edges := sorted({(int(s), int(t)) for s, t in edges}))
        position = np.empty(m, dtype=np.int64)
        position[order] = np.arange(m)
        pairs = sorted((int(position[t]), int(position[s])) for s, t in edges)
        parameters = np.zeros(m, np.int64) if node_parameters is None else np.asarray(node_parameters)
        fields.setdefault("num_parameters", int(parameters.sum()) + int(fields.get("unused_parameters", 0)))
        shapes = np.zeros((m, 4), np.int32) if shapes is None else np.asarray(shapes).reshape(m, -1)
        none = np.zeros((m, NUM_ATTRIBUTES), np.int32)
        attributes = none if attributes is None else np.asarray(attributes).reshape(m, -1)
        return cls(
            op_types=tuple(op_types[i] for i in order),
            shapes=shapes[order],
            attributes=attributes[order],
            node_parameters=parameters[order],
            edge_index=np.array([(s, t) for t, s in pairs], dtype=np.int64).reshape(-1, 2).T,
            node_names=tuple(node_names[i] for i in order) if node_names is not None else ("",) * m,
            **fields,
        )

    @property
    def num_nodes(self) -> int:
        """m, the number of nodes."""
        return len(self.op_types)

    @property
    def num_edges(self) -> int:
        """e, the number of edges."""
        return int(self.edge_index.shape[1])

    @property
    def has_data_flow(self) -> bool:
        """False where only layers are known, and those by their names: a tree read from a header of weights."""
        return NO_DATA_FLOW not in self.incomplete

    def __len__(self) -> int:
        return self.num_nodes

    def __repr__(self) -> str:
        parts = [f"{self.num_nodes} nodes", f"{self.num_edges} edges", f"{self.num_parameters} parameters"]
        missing = f", incomplete={list(self.incomplete)}" if self.incomplete else ""
        return f"ArchitectureGraph({self.name!r}, {', '.join(parts)}{missing})"

    def __eq__(self, other: object) -> bool:
        """Equal in every field (for equality up to the order of nodes see `is_isomorphic`)."""
        return isinstance(other, ArchitectureGraph) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.graph_hash)

    def attribute(self, name: str) -> np.ndarray:
        """Column `name` of the attributes, int32 (m,)."""
        if name not in ATTRIBUTES:
            raise ArchitectureGraphError(f"{name!r} is no attribute; allowed are {', '.join(ATTRIBUTES)}.")
        return self.attributes[:, ATTRIBUTES.index(name)]

    def predecessors(self) -> list[list[int]]:
        """For every node the nodes whose output it reads, ascending."""
        return _neighbours(self.num_nodes, self.edge_index[1], self.edge_index[0])

    def successors(self) -> list[list[int]]:
        """For every node the nodes that read its output, ascending."""
        return _neighbours(self.num_nodes, self.edge_index[0], self.edge_index[1])

    @cached_property
    def depths(self) -> np.ndarray:
        """int64 (m,): number of edges of the longest path that ends in the node."""
        return _longest_paths(self.num_nodes, self.edge_index[0], self.edge_index[1])

    @cached_property
    def graph_hash(self) -> str:
        """`"v1:"` and a Weisfeiler-Lehman digest of ops, shapes, attributes and edges; equal for isomorphic graphs."""
        return self._digest(np.concatenate([self.shapes, self.attributes], axis=1))

    @cached_property
    def topology_hash(self) -> str:
        """`"v1:"` and a Weisfeiler-Lehman digest of ops and edges; equal for isomorphic graphs."""
        return self._digest(np.zeros((self.num_nodes, 0), np.int32))

    def _digest(self, numbers: np.ndarray) -> str:
        names = {op: _text_code(op) for op in set(self.op_types)}
        colours = np.array([names[op] for op in self.op_types], dtype=np.uint64)
        for column in range(numbers.shape[1]):
            colours = mix64(colours * _ODD + numbers[:, column].astype(np.uint64))
        src, dst = self.edge_index.astype(np.int64)
        flipped = self.num_nodes - 1 - self.edge_index.astype(np.int64)[:, ::-1]
        heights = _longest_paths(self.num_nodes, flipped[1], flipped[0])[::-1]
        colours = mix64(colours * _ODD + self.depths.astype(np.uint64))
        colours = mix64(colours * _ODD + heights.astype(np.uint64))
        for _ in range(HASH_ROUNDS):
            colours = refine_colours(colours, src, dst, both=True)
        digest = hashlib.blake2b(digest_size=16)
        digest.update(np.array([self.num_nodes, self.num_edges], dtype="<u8").tobytes())
        digest.update(np.sort(colours).astype("<u8").tobytes())
        return f"v1:{digest.hexdigest()}"

    def is_isomorphic(self, other: ArchitectureGraph) -> bool:
        """Whether a renaming of nodes makes the two graphs equal in ops, shapes, attributes and edges.

        The hashes are compared first; equal ones are then checked node by node (networkx VF2).
        """
        if self.graph_hash != other.graph_hash:
            return False
        networkx = importlib.import_module("networkx")
        return networkx.is_isomorphic(
            self.to_networkx(), other.to_networkx(), node_match=lambda a, b: a["label"] == b["label"]
        )

    def flops(self, **sizes: Any) -> int:
        """FLOPs of a forward pass at `batch`, `sequence`, `target`, `image`; see `graph_costs_archbert.flops`."""
        from .graph_costs_archbert import flops

        return flops(self, **sizes)

    def activation_memory(self, dtype: str = "float16", kept: bool = False, **sizes: Any) -> int:
        """Bytes of activations at such sizes; see `graph_costs_archbert.activation_memory`."""
        from .graph_costs_archbert import activation_memory

        return activation_memory(self, dtype, kept, **sizes)

    def kv_cache_bytes_per_token(self, dtype: str = "float16") -> int:
        """Bytes that generating one more token adds to the cache; see `graph_costs_archbert.kv_cache`."""
        from .graph_costs_archbert import kv_cache

        return kv_cache(self, dtype).bytes_per_token

    def weight_memory(self, dtype: str = "float16") -> int:
        """Bytes of all parameters in this data type."""
        from .graph_costs_archbert import weight_memory

        return weight_memory(self, dtype)

    def summary(self) -> dict[str, Any]:
        """What is told of the network in a few lines; see `graph_overview_archbert.summary`."""
        from .graph_overview_archbert import summary

        return summary(self)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of plain lists, numbers and strings with `format` and `version`; `from_dict` reads it back."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
        plain |= {k: list(plain[k]) for k in ("op_types", "node_names", "incomplete", "guesses")}
        plain["library_versions"] = dict(sorted(self.library_versions.items()))
        if self.costs is None:
            del plain["costs"]
        return {"format": FORMAT, "version": FORMAT_VERSION, "attribute_names": list(ATTRIBUTES), **plain}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ArchitectureGraph:
        """The graph of `to_dict`.

        Raises:
            ArchitectureGraphError: not this format, an unknown version, missing or unknown fields, or wrong values.
        """
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise ArchitectureGraphError(f"format has to be {FORMAT!r}; this is not a saved ArchitectureGraph.")
        if data.get("version") != FORMAT_VERSION:
            raise ArchitectureGraphError(
                f"version is {reprlib.repr(data.get('version'))}; this package reads version {FORMAT_VERSION}."
            )
        attribute_names = data.get("attribute_names", ATTRIBUTES)
        if not isinstance(attribute_names, (list, tuple)) or tuple(attribute_names) != ATTRIBUTES:
            raise ArchitectureGraphError("attribute_names differ from this package's schema; extract the graph anew.")
        names = {f.name for f in dataclasses.fields(cls)}
        given = {k: v for k, v in data.items() if k not in ("format", "version", "attribute_names")}
        missing, unknown = sorted(names - set(given) - {"guesses", "costs"}), sorted(set(given) - names)
        if missing or unknown:
            raise ArchitectureGraphError(f"fields are missing: {missing}, or unknown: {unknown}.")
        return cls(**given)

    def to_json(self) -> str:
        """Canonical JSON: the same graph gives the same bytes."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> ArchitectureGraph:
        """The graph of `to_json`.

        Raises:
            ArchitectureGraphError: no JSON, or no such graph.
        """
        return cls.from_dict(_parsed(text))

    def to_row(self) -> dict[str, Any]:
        """Flat columns for Parquet: `shapes` and `attributes` row-major, edges as `src` and `dst`."""
        row = self.to_dict()
        for key in ("format", "version", "attribute_names", "edge_index", "library_versions"):
            row.pop(key)
        if self.costs is not None:
            row["costs"] = json.dumps(self.costs, separators=(",", ":"))
        return row | {
            "shapes": self.shapes.reshape(-1).tolist(),
            "attributes": self.attributes.reshape(-1).tolist(),
            "src": self.edge_index[0].tolist(),
            "dst": self.edge_index[1].tolist(),
            "graph_hash": self.graph_hash,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ArchitectureGraph:
        """The graph of `to_row`; further columns are ignored.

        Raises:
            ArchitectureGraphError: a column is missing or wrong.
        """
        names = [f.name for f in dataclasses.fields(cls) if f.name not in ("edge_index", "library_versions")]
        missing = [name for name in (*names, "src", "dst") if name not in row and name not in ("guesses", "costs")]
        if missing:
            raise ArchitectureGraphError(f"columns are missing: {', '.join(missing)}.")
        m = len(row["op_types"])
        fields = {name: row[name] for name in names if name in row}
        if isinstance(costs := fields.get("costs"), str):
            fields["costs"] = _parsed(costs)
        fields["shapes"] = _reshaped("shapes", row["shapes"], m, 4)
        fields["attributes"] = _reshaped("attributes", row["attributes"], m, NUM_ATTRIBUTES)
        if len(row["src"]) != len(row["dst"]):
            raise ArchitectureGraphError(f"src has {len(row['src'])} entries and dst {len(row['dst'])}.")
        return cls(edge_index=np.array([row["src"], row["dst"]], dtype=np.int64).reshape(2, -1), **fields)

    def to_networkx(self) -> Any:
        """A `networkx.DiGraph`; nodes carry `op_type`, `shape`, `attributes`, `parameters`, `name` and `label`."""
        networkx = importlib.import_module("networkx")
        graph = networkx.DiGraph(name=self.name)
        for i, op in enumerate(self.op_types):
            shape, attributes = tuple(self.shapes[i].tolist()), tuple(self.attributes[i].tolist())
            named = {name: value for name, value in zip(ATTRIBUTES, attributes, strict=True) if value}
            graph.add_node(
                i, op_type=op, shape=shape, attributes=named, parameters=int(self.node_parameters[i]),
                name=self.node_names[i], label=(op, shape, attributes),
            )  # fmt: skip
        graph.add_edges_from(zip(*self.edge_index.tolist(), strict=True))
        return graph

    def to_pyg(self) -> Any:
        """A `torch_geometric.data.Data` with `shapes`, `attributes`, `node_parameters`, `edge_index`, `op_types`."""
        torch, data = importlib.import_module("torch"), importlib.import_module("torch_geometric.data")
        names = ("shapes", "attributes", "edge_index")
        arrays = {name: torch.from_numpy(getattr(self, name).astype(np.int64)) for name in names}
        return data.Data(
            num_nodes=self.num_nodes,
            node_parameters=torch.from_numpy(self.node_parameters.copy()),
            op_types=list(self.op_types),
            **arrays,
        )

    def draw(self, path: str | os.PathLike[str] | None = None, **options: Any) -> str:
        """Draw the graph as SVG, PNG or PDF; returns the SVG. Options: see `graph_drawing_archbert.draw`.

        Raises:
            PictureError: a ValueError; too many boxes, a wrong option, or an optional package is missing.
        """
        from .graph_drawing_archbert import draw

        return draw(self, path, **options)

    def to_mermaid(self, **options: Any) -> str:
        """The graph as a Mermaid flowchart. Options: see `graph_mermaid_archbert.to_mermaid`.

        Raises:
            PictureError: a ValueError; more boxes than a flowchart may have, or a wrong option.
        """
        from .graph_mermaid_archbert import to_mermaid

        return to_mermaid(self, **options)


def as_architecture_graph(value: Any) -> ArchitectureGraph | None:
    """The graph that `value` is, by protocol: a graph of any copy of this package, its dictionary, or a Parquet row.

    Returns None for anything else.
    """
    if isinstance(value, ArchitectureGraph):
        return value
    if isinstance(value, Mapping):
        if value.get("format") == FORMAT:
            return ArchitectureGraph.from_dict(value)
        return ArchitectureGraph.from_row(value) if "op_types" in value and "src" in value else None
    if type(value).__name__ == "ArchitectureGraph" and callable(getattr(value, "to_dict", None)):
        return ArchitectureGraph.from_dict(value.to_dict())
    return None


_ODD = np.uint64(0x9E3779B97F4A7C15)


def mix64(values: np.ndarray) -> np.ndarray:
    """A bijective scrambling of uint64 values (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def refine_colours(colours: np.ndarray, src: np.ndarray, dst: np.ndarray, both: bool) -> np.ndarray:
    """One Weisfeiler-Lehman round on uint64 (m,) colours: a node's own and the multiset of its neighbours'.

    Neighbours are the predecessors, with `both` also the successors (told apart). Multisets are summed scrambled
    colours, so the order of edges does not matter.
    """
    incoming = np.zeros_like(colours)
    np.add.at(incoming, dst, mix64(colours[src] + np.uint64(1)))
    refined = mix64(colours * _ODD + mix64(incoming))
    if both:
        outgoing = np.zeros_like(colours)
        np.add.at(outgoing, src, mix64(colours[dst] + np.uint64(2)))
        refined = mix64(refined * _ODD + mix64(outgoing))
    return refined


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArchitectureGraphError(f"this is no JSON: {str(error)[:200]}") from None


def _text_code(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _longest_paths(m: int, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
    """Longest path to every node; edges run from lower to higher indices and are visited by ascending target."""
    depths = [0] * m
    order = np.argsort(dst, kind="stable")
    for s, t in zip(src[order].tolist(), dst[order].tolist(), strict=True):
        if depths[s] >= depths[t]:
            depths[t] = depths[s] + 1
    return np.array(depths, dtype=np.int64)


def _topological_order(m: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The topological order that follows the given order of nodes as far as possible."""
    waiting, successors = [0] * m, [[] for _ in range(m)]  # type: list[int], list[list[int]]
    for s, t in edges:
        if not (0 <= s < m and 0 <= t < m):
            raise ArchitectureGraphError(f"edge_index has the edge ({s}, {t}); indices from 0 to {m - 1} are allowed.")
        waiting[t] += 1
        successors[s].append(t)
    ready = [i for i in range(m) if not waiting[i]]
    order = []
    while ready:
        node = heapq.heappop(ready)
        order.append(node)
        for t in successors[node]:
            waiting[t] -= 1
            if not waiting[t]:
                heapq.heappush(ready, t)
    if len(order) < m:
        stuck = next(i for i in range(m) if waiting[i])
        raise ArchitectureGraphError(f"edge_index has a cycle through node {stuck}; an acyclic graph is allowed.")
    return order


def _neighbours(m: int, of: np.ndarray, to: np.ndarray) -> list[list[int]]:
    lists: list[list[int]] = [[] for _ in range(m)]
    for a, b in zip(of.tolist(), to.tolist(), strict=True):
        lists[a].append(b)
    return lists


def _set(graph: ArchitectureGraph, name: str, value: Any) -> None:
    object.__setattr__(graph, name, value)


def _checked_length(name: str, values: Any) -> int:
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        raise ArchitectureGraphError(f"{name} is {type(values).__name__}; a sequence of strings is allowed.")
    if not 0 < len(values) <= MAX_NODES:
        raise ArchitectureGraphError(f"{name} has {len(values)} entries; from 1 to {MAX_NODES} are allowed.")
    return len(values)


def _checked_strings(name: str, values: Any, length: int | None = None, allow_empty: bool = True) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        raise ArchitectureGraphError(f"{name} is {type(values).__name__}; a sequence of strings is allowed.")
    if length is not None and len(values) != length:
        raise ArchitectureGraphError(f"{name} has {len(values)} entries; the graph has {length} nodes.")
    for i, value in enumerate(values):
        if not isinstance(value, str) or not (value or allow_empty):
            allowed = "a string" if allow_empty else "a non-empty string"
            raise ArchitectureGraphError(f"{name}[{i}] is {reprlib.repr(value)}; {allowed} is allowed.")
    return tuple(str(value) for value in values)


def _checked_count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < 2**63:
        raise ArchitectureGraphError(f"{name} is {reprlib.repr(value)}; an integer from 0 is allowed.")
    return int(value)


def _checked_counts(name: str, values: Any, shape: tuple[int, ...], dtype: type[np.signedinteger]) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:
        raise ArchitectureGraphError(f"{name} is ragged; shape {shape} is allowed.") from None
    if array.size == 0 and 0 in shape:
        array = array.reshape(shape).astype(dtype)
    if array.shape != shape:
        raise ArchitectureGraphError(f"{name} has shape {array.shape}; {shape} is allowed.")
    if array.dtype.kind not in "iu":
        raise ArchitectureGraphError(f"{name} has dtype {array.dtype}; integers are allowed.")
    limit = np.iinfo(dtype).max
    if array.size and (int(array.min()) < 0 or int(array.max()) > limit):
        where = np.argwhere((array < 0) | (array > limit))[0].tolist()
        raise ArchitectureGraphError(f"{name}{where} is {array[tuple(where)]}; 0 to {limit} is allowed.")
    array = np.ascontiguousarray(array, dtype=dtype)
    if array.base is not None or array.flags.writeable:
        array = array.copy()
    array.flags.writeable = False
    return array


def _checked_edges(values: Any, m: int) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:
        raise ArchitectureGraphError("edge_index is ragged; shape (2, edges) is allowed.") from None
    if array.size == 0:
        array = np.zeros((2, 0), np.int32)
    if array.ndim != 2 or array.shape[0] != 2:
        raise ArchitectureGraphError(f"edge_index has shape {array.shape}; (2, edges) is allowed.")
    if array.dtype.kind not in "iu":
        raise ArchitectureGraphError(f"edge_index has dtype {array.dtype}; integers are allowed.")
    if array.size and (int(array.min()) < 0 or int(array.max()) >= m):
        bad = array[(array < 0) | (array >= m)][0]
        raise ArchitectureGraphError(f"edge_index has the index {bad}; 0 to {m - 1} is allowed.")
    src, dst = array.astype(np.int64)
    if (src >= dst).any():
        edge = int(np.argmax(src >= dst))
        raise ArchitectureGraphError(
            f"edge_index has the edge ({src[edge]}, {dst[edge]}), so nodes are not in execution order or there is a "
            "cycle; every source has to be smaller than its target (ArchitectureGraph.build sorts acyclic graphs)."
        )
    keys = dst * m + src
    if (np.diff(keys) <= 0).any():
        keys = np.sort(keys)
        if (np.diff(keys) == 0).any():
            raise ArchitectureGraphError("edge_index has an edge twice; every edge once is allowed.")
    array = np.stack([keys % m, keys // m]).astype(np.int32)
    array.flags.writeable = False
    return array


def _reshaped(name: str, flat: Any, rows: int, columns: int) -> np.ndarray:
    array = np.asarray(flat, dtype=np.int64)
    if array.size != rows * columns:
        raise ArchitectureGraphError(f"{name} has {array.size} entries; {rows} x {columns} are allowed.")
    return array.reshape(rows, columns)
