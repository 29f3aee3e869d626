"""Architectures to tokens: graphs, extraction, facts, features and the processor.

A name is imported when it is first asked for, so that reading a graph does not cost the import of all of
transformers. The first use of `ArchBertProcessor` or `ArchBertGraphFeatureExtractor` makes both known to
``AutoProcessor`` and ``AutoFeatureExtractor``; `import archbert` does so at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .architecture_graph_archbert import ArchitectureGraph, ArchitectureGraphError
    from .graph_diff_archbert import diff
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

_MODULES = {
    "ANSWERS": "questions_archbert",
    "ATTRIBUTES": "ops_archbert",
    "ArchBertGraphFeatureExtractor": "graph_features_archbert",
    "ArchBertProcessor": "processing_archbert",
    "ArchitectureGraph": "architecture_graph_archbert",
    "ArchitectureGraphError": "architecture_graph_archbert",
    "ArchitectureSourceError": "sources_archbert",
    "ArchitectureSourceWarning": "sources_archbert",
    "ArchitectureTraceError": "tracing_archbert",
    "EXTRACTION_VERSION": "ops_archbert",
    "Fact": "graph_facts_archbert",
    "GraphFacts": "graph_facts_archbert",
    "OPS": "ops_archbert",
    "PictureError": "graph_outline_archbert",
    "QUESTION_TYPES": "questions_archbert",
    "diff": "graph_diff_archbert",
    "load_architecture": "sources_archbert",
    "load_components": "sources_archbert",
    "trace": "tracing_archbert",
}
_PROCESSORS = ("ArchBertGraphFeatureExtractor", "ArchBertProcessor")

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
    """A name of `__all__`, imported now and kept."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _PROCESSORS:
        _register()
    else:
        globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    return globals()[name]


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})


def _register() -> None:
    """Makes the processor and its feature extractor known to transformers."""
    from transformers import AutoFeatureExtractor, AutoProcessor

    extractor, processor = (getattr(import_module(f".{_MODULES[name]}", __name__), name) for name in _PROCESSORS)
    AutoFeatureExtractor.register("archbert", extractor, exist_ok=True)
    AutoProcessor.register("archbert", processor, exist_ok=True)
    extractor.register_for_auto_class("AutoFeatureExtractor")
    processor.register_for_auto_class()
    globals().update(zip(_PROCESSORS, (extractor, processor), strict=True))
