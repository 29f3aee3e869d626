"""Questions, captions, filters and model cards, as bytes: whatever reads English here, asked about a small network."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from archbert.verification import statement_holds, verify_card
from processing_archbert import ArchitectureGraph, ArchitectureGraphError
from processing_archbert.caption_checking_archbert import check_caption
from processing_archbert.caption_reading_archbert import UnreadableCaptionError, read_caption
from processing_archbert.computed_answers_archbert import computed_answer, without_name
from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.graph_overview_archbert import parse_filter, summary
from processing_archbert.network_numbers_archbert import NetworkNumbers

SUFFIX = ".md"


class Refused(Exception):
    """A text was refused as the reader says that it may."""


ALLOWED = (Refused,)


@cache
def _network() -> ArchitectureGraph:
    op_types = ["input", "Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "Linear", "output"]
    return ArchitectureGraph.build(
        op_types, [(i, i + 1) for i in range(6)], name="SmallModel", shapes=[[0] * 4, [8, 3, 3, 3], *[[0] * 4] * 5],
        node_parameters=[0, 216, 16, 0, 0, 90, 0],
    )  # fmt: skip


def SEEDS() -> list[bytes]:
    """A question, a caption, a filter and a card."""
    card = """---
license: mit
---
# Small

**SmallModel** has 12 layers, 110M parameters and a context of 4,096 tokens (`4k`). [Paper](https://example.org)

| layers | heads | hidden size |
|---|---|---|
| 12 | 12 | 768 |

- It uses grouped-query attention with 8 key-value heads.
"""
    texts = [
        "How many Conv2d layers are there?",
        "This is a convolutional network with 1 Conv2d layer, followed by batch normalization. It has 322 parameters.",
        "parameters<50M and attention_layers>0 and family=convolutional",
        card,
    ]
    return [text.encode() for text in texts]


def HOSTILE() -> list[bytes]:
    """Texts that make patterns try again and again, numbers without end, tables without end, other scripts."""
    texts = [
        "9" * 20_000, "9," * 10_000, "1." * 10_000, " " * 50_000 + "x", "(" * 20_000, "a" * 60_000, "|" * 20_000,
        "| a " * 2_000 + "|\n" + "|---" * 2_000 + "|\n" + "| 1 " * 2_000, "-" * 50_000, "---\n" * 5_000, "#" * 50_000,
        "and " * 10_000, "no " * 10_000, "Conv2d " * 5_000, "layers layers " * 5_000, "<" * 20_000, "`" * 20_000,
        "[" * 10_000 + "](" * 10_000, "**" * 20_000, "of the " * 10_000, "\u202e\u0000\u2028" * 3_000, "٣ layers",
        "１２ layers", "twelve hundred million billion layers " * 500, "e" * 100 + "1e999999999 parameters",
        "parameters<" + "9" * 5_000, "parameters<1e400", "a.b.c" * 5_000, "\n" * 50_000, "\t- " * 10_000,
        "🤖" * 10_000,
    ]  # fmt: skip
    return [text.encode("utf-8", "surrogatepass") for text in texts]


def read(path: Path) -> Any:
    """What all readers of texts make of it."""
    text = path.read_bytes().decode("utf-8", "replace")
    graph = _network()
    numbers, facts = NetworkNumbers(graph), GraphFacts(graph)
    judged = verify_card(graph, text)
    found: list[Any] = [computed_answer(numbers, text), statement_holds(numbers, text), judged or None]
    without_name(text, graph)
    check_caption(text, facts)
    with suppress(UnreadableCaptionError):
        found.append(read_caption(text))
    with suppress(ArchitectureGraphError):
        found.append(parse_filter(text)(summary(graph)))
    if all(one is None for one in found):
        raise Refused("nothing can be read in the text")
    return found
