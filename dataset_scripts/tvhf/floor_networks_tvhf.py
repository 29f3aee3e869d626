"""What floors read of the networks of TVHF: ops, names, sizes, printed modules, graph kernels, and computed facts.

Everything is made on first use, from the config `architectures` alone; n networks stand in the order of `names`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from archbert.card_claims import CardClaim, read_claims
from archbert.verification import RIGHT, WRONG, judge
from dataset_scripts.release.statistics_release import split_words
from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.graph_summary_archbert import Part, hierarchy
from processing_archbert.network_numbers_archbert import NetworkNumbers
from processing_archbert.ops_archbert import is_layer

from .metrics_tvhf import iterate_networks
from .real_texts_tvhf import real_views
from .similarity_tvhf import Encoder
from .similarity_wl_tvhf import wl_similarity

FULL = "full"
ABOUT = ("name", "source", "family", "cluster", "split", "num_parameters")
GRAPH_COLUMNS = (
    "unused_parameters", "op_types", "shapes", "attributes", "node_parameters", "src", "dst", "node_names",
    "incomplete", "extraction_version",
)  # fmt: skip
WL_ROUNDS = (1, 2, 3)
ENCODED_CHARACTERS = 700
"""What is encoded of a printed module: about the 256 word pieces that the encoder is made for."""
_CAMEL = r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+"


class Networks:
    """The networks of a published folder or of a build.

    Args:
        folder: it holds the config `architectures`.
        encoder: texts -> embeddings.

    Raises:
        FileNotFoundError: there is no such config.
    """

    def __init__(self, folder: str | Path, encoder: Encoder) -> None:
        self.encoder = encoder
        self.rows: dict[str, dict[str, Any]] = {}
        self.graphs: dict[str, ArchitectureGraph] = {}
        for row in iterate_networks(folder, (*ABOUT, *GRAPH_COLUMNS)):
            self.graphs[row["arch_id"]] = ArchitectureGraph.from_row(row)
            self.rows[row["arch_id"]] = {key: row[key] for key in ABOUT}
        self.names = list(self.rows)
        self.index = {name: place for place, name in enumerate(self.names)}
        self.clusters = {name: str(row["cluster"]) for name, row in self.rows.items()}
        self.splits = {name: str(row["split"]) for name, row in self.rows.items()}
        self._numbers: dict[tuple[str, str], NetworkNumbers] = {}
        self._verdicts: dict[tuple[CardClaim, str], str] = {}

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Op types of each network and how often they occur."""
        found = {}
        for name, graph in self.graphs.items():
            ops, numbers = np.unique(graph.op_types, return_counts=True)
            found[name] = dict(zip(ops.tolist(), numbers.tolist(), strict=True))
        return found

    @cached_property
    def words(self) -> dict[str, str]:
        """Op types of each network with the logarithm of their number, and its size, as words."""
        return {
            name: " ".join([*counts, *(f"{op}~{int(np.log2(n))}" for op, n in counts.items()), self.size_word(name)])
            for name, counts in self.counts.items()
        }

    def size_word(self, name: str) -> str:
        """The number of digits of a network's parameters, as a word."""
        return f"digits{len(str(self.rows[name]['num_parameters']))}"

    @cached_property
    def op_pieces(self) -> dict[str, set[str]]:
        """Words inside the names of a network's op types, in lower case."""
        return {name: pieces(" ".join(counts)) for name, counts in self.counts.items()}

    @cached_property
    def name_pieces(self) -> dict[str, set[str]]:
        """Words inside the names of a network and of its family, in lower case."""
        return {name: pieces(f"{row['name']} {row['family']}") for name, row in self.rows.items()}

    @cached_property
    def listed(self) -> list[str]:
        """Each network as the list of its op types, the most frequent ones first."""
        return [
            ", ".join(f"{n} {op}" for op, n in sorted(self.counts[name].items(), key=lambda item: -item[1]))
            for name in self.names
        ]

    @cached_property
    def printed(self) -> list[str]:
        """Each network printed as a module: a tree by module path, what repeats once, layers with their sizes."""
        return [printed_module(self.graphs[name]) for name in self.names]

    @cached_property
    def listed_embeddings(self) -> np.ndarray:
        """The sentence encoder on `listed`, (n, features)."""
        return self.encoder(self.listed)

    @cached_property
    def printed_embeddings(self) -> np.ndarray:
        """The sentence encoder on the beginning of `printed`, (n, features)."""
        return self.encoder([text[:ENCODED_CHARACTERS] for text in self.printed])

    @cached_property
    def kernels(self) -> dict[int, np.ndarray]:
        """Rounds -> Weisfeiler-Lehman similarity, float32 (n, n)."""
        graphs = [self.graphs[name] for name in self.names]
        return {rounds: wl_similarity(graphs, rounds) for rounds in WL_ROUNDS}

    @cached_property
    def jaccard(self) -> np.ndarray:
        """Jaccard index of the multisets of ops, float32 (n, n)."""
        ops = {op: place for place, op in enumerate(sorted({op for found in self.counts.values() for op in found}))}
        bags = np.zeros((len(self.names), len(ops)), dtype=np.float32)
        for row, name in enumerate(self.names):
            for op, number in self.counts[name].items():
                bags[row, ops[op]] = number
        totals = bags.sum(axis=1)
        shared = np.stack([np.minimum(bags, bag).sum(axis=1) for bag in bags])
        return np.asarray(shared / np.maximum(totals[:, None] + totals - shared, 1), dtype=np.float32)

    def numbers(self, name: str, view: str = FULL) -> NetworkNumbers:
        """What is computed of a network, or of a view of it (`VIEWS` of AutoNet's hard questions)."""
        if (name, view) not in self._numbers:
            graph = self.graphs[name]
            self._numbers[name, view] = NetworkNumbers(graph if view == FULL else real_views(graph)[view])
        return self._numbers[name, view]

    def facts_score(self, text: str, name: str) -> float:
        """What the fact program makes of a text that it reads: 1 right, 0 wrong, 0.5 cannot tell.

        A text is wrong where one of its claims is, and right where one is right and none wrong.
        """
        verdicts = {self._verdict(claim, name) for claim in _claims(text)}
        return 0.0 if WRONG in verdicts else 1.0 if RIGHT in verdicts else 0.5

    def _verdict(self, claim: CardClaim, name: str) -> str:
        if (claim, name) not in self._verdicts:
            self._verdicts[claim, name] = judge(self.numbers(name), claim).verdict
        return self._verdicts[claim, name]


@cache
def _claims(text: str) -> tuple[CardClaim, ...]:
    """Claims of a text, without the words that make them, so that equal claims are judged once."""
    return tuple(claim._replace(text="") for claim in read_claims(text))


def pieces(text: str) -> set[str]:
    """Words inside names in any style, in lower case; those of one or two letters are left out."""
    return {piece.lower() for piece in re.findall(_CAMEL, text) if len(piece) > 2}


def words_of(texts: Iterable[str]) -> list[list[str]]:
    """Words of each text."""
    return [[word for word in found if word] for found in
            split_words(pa.chunked_array([list(texts)], type=pa.string())).to_pylist()]  # fmt: skip


def shared_words(texts: Sequence[str], found: Sequence[set[str]]) -> np.ndarray:
    """Share of the words of each text that are among the given ones, float64 (n,)."""
    return np.array([
        sum(word in known for word in words) / max(1, len(words))
        for words, known in zip(words_of(texts), found, strict=True)
    ])  # fmt: skip


def printed_module(graph: ArchitectureGraph) -> str:
    """A network as `print(module)` shows it, from its graph: module paths, layers and sizes; repeats stand once."""
    lines: list[str] = []

    def write(part: Part, indent: int) -> None:
        copies = f"{part.repeats} x " if part.repeats > 1 else ""
        if part.children:
            shown = bool(part.label or copies)
            if shown:
                lines.append(f"{'  ' * indent}({part.label}): {copies}".rstrip())
            for child in part.children:
                write(child, indent + shown)
        elif is_layer(op := graph.op_types[node := int(part.nodes[0])]):
            sizes = ", ".join(str(size) for size in graph.shapes[node] if size)
            lines.append(f"{'  ' * indent}({part.label}): {copies}{op}({sizes})")

    for part in hierarchy(graph).root.children:
        write(part, 0)
    return "\n".join(lines)


class Bm25:
    """Okapi BM25 (Robertson et al. 1994) over documents of words.

    Args:
        documents: words of each of n documents.
        k1: how soon another occurrence of a word stops to count.
        b: how much long documents are discounted.
    """

    def __init__(self, documents: Sequence[Sequence[str]], k1: float = 1.5, b: float = 0.75) -> None:
        self._weights: dict[str, np.ndarray] = {}
        lengths = np.array([len(words) for words in documents], dtype=np.float64)
        norm = k1 * (1 - b + b * lengths / max(1.0, float(lengths.mean())))
        counts: dict[str, dict[int, int]] = {}
        for place, words in enumerate(documents):
            for word in words:
                of_word = counts.setdefault(word, {})
                of_word[place] = of_word.get(place, 0) + 1
        for word, of_word in counts.items():
            frequency = np.zeros(len(documents))
            frequency[list(of_word)] = list(of_word.values())
            rarity = np.log(1 + (len(documents) - len(of_word) + 0.5) / (len(of_word) + 0.5))
            self._weights[word] = (rarity * frequency * (k1 + 1) / (frequency + norm)).astype(np.float32)
        self._size = len(documents)

    def scores(self, queries: Sequence[Sequence[str]]) -> np.ndarray:
        """Scores of all documents for each query, float64 (queries, n)."""
        found = np.zeros((len(queries), self._size))
        for row, words in enumerate(queries):
            for word in set(words) & self._weights.keys():
                found[row] += self._weights[word]
        return found


def own_encoder(encoder: Encoder, texts: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Text -> embedding, each text once."""
    different = sorted(set(texts))
    return dict(zip(different, encoder(different), strict=True))
