"""Architectures to tokens: graphs, extraction, facts, features and the processor."""

from typing import Any

from transformers import AutoFeatureExtractor, AutoProcessor

from .architecture_graph_archbert import ArchitectureGraph, ArchitectureGraphError
from .graph_facts_archbert import Fact, GraphFacts
from .graph_features_archbert import ArchBertGraphFeatureExtractor
from .graph_outline_archbert import PictureError
from .ops_archbert import ATTRIBUTES, EXTRACTION_VERSION, OPS
from .processing_archbert import ArchBertProcessor
from .questions_archbert import ANSWERS, QUESTION_TYPES
from .sources_archbert import (
    ArchitectureSourceError,
    ArchitectureSourceWarning,
    load_architecture,
    load_components,
)
from .tracing_archbert import ArchitectureTraceError, trace

AutoFeatureExtractor.register("archbert", ArchBertGraphFeatureExtractor, exist_ok=True)
AutoProcessor.register("archbert", ArchBertProcessor, exist_ok=True)

ArchBertGraphFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
ArchBertProcessor.register_for_auto_class()

__all__ = [
    "ANSWERS",
    "ATTRIBUTES",
    "ArchBertGraphFeatureExtractor",
    "ArchBertProcessor",
    "ArchitectureGraph",
    "ArchitectureGraphError",
    "ArchitectureSourceError",
    "ArchitectureSourceWarning",
    "ArchitectureTraceError",
    "EXTRACTION_VERSION",
    "Fact",
    "GraphFacts",
    "OPS",
    "PictureError",
    "QUESTION_TYPES",
    "diff",
    "load_architecture",
    "load_components",
    "trace",
]


def __getattr__(name: str) -> Any:
    """What few users need is imported when it is first asked for."""
    if name == "diff":
        from .graph_diff_archbert import diff

        return diff
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
