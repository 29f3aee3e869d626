"""Architectures to tokens: graphs, extraction, facts, features and the processor."""

from transformers import AutoFeatureExtractor, AutoProcessor

from .architecture_graph_archbert import ArchitectureGraph, ArchitectureGraphError
from .graph_facts_archbert import Fact, GraphFacts
from .graph_features_archbert import ArchBertGraphFeatureExtractor
from .ops_archbert import ATTRIBUTES, EXTRACTION_VERSION, OPS
from .processing_archbert import ArchBertProcessor
from .questions_archbert import ANSWERS, QUESTION_TYPES
from .sources_archbert import ArchitectureSourceError, load_architecture
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
    "ArchitectureTraceError",
    "EXTRACTION_VERSION",
    "Fact",
    "GraphFacts",
    "OPS",
    "QUESTION_TYPES",
    "load_architecture",
    "trace",
]
