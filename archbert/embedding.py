"""Embeddings of architectures and of texts by a checkpoint: J_g and J_t, of length 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.embedding_archbert import encode

from .cli_sources import find_model, load_checkpoint


class Embedder:
    """Embeds architectures and texts.

    Args:
        model: a folder or a Hub id; by default the one of `archbert.cli_sources.find_model`.

    Attributes:
        name: the checkpoint.
        config: its configuration.

    Raises:
        CommandError: the checkpoint cannot be loaded.
    """

    def __init__(self, model: str | None = None) -> None:
        self.name = find_model(model)
        self.model, self.processor = load_checkpoint(self.name, "AutoModel")
        self.config: Any = self.model.config

    @staticmethod
    def shared(model: str | None = None) -> Embedder:
        """The embedder of a checkpoint, which is loaded once; the last one is kept."""
        return _embedder(find_model(model))

    def architectures(self, graphs: Iterable[ArchitectureGraph], batch_size: int = 1) -> np.ndarray:
        """Embeddings of graphs, float32 (graphs, d); by default one at a time, so that no other changes a result."""
        return encode(self.model, self.processor, architectures=graphs, batch_size=batch_size)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of texts, float32 (texts, d)."""
        return encode(self.model, self.processor, texts=texts)

    def probability(self, cosine: float) -> float | None:
        """Probability that a statement holds, from its cosine; None where the checkpoint has no calibration."""
        scale, bias = self.config.similarity_scale, self.config.similarity_bias
        return None if scale is None or bias is None else float(1 / (1 + np.exp(-(cosine * scale + bias))))


@lru_cache(maxsize=1)
def _embedder(name: str) -> Embedder:
    return Embedder(name)
