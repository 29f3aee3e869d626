"""Architectures to tokens: graphs, extraction, facts, features and the processor."""

from .architecture_graph_archbert import ArchitectureGraph, ArchitectureGraphError
from .graph_facts_archbert import Fact, GraphFacts
from .ops_archbert import ATTRIBUTES, EXTRACTION_VERSION, OPS
from .questions_archbert import ANSWERS, QUESTION_TYPES

__all__ = [
    "ANSWERS",
    "ATTRIBUTES",
    "ArchitectureGraph",
    "ArchitectureGraphError",
    "EXTRACTION_VERSION",
    "Fact",
    "GraphFacts",
    "OPS",
    "QUESTION_TYPES",
]
