"""The models and the index: loaded once when the demo starts, used by all users, changed by none."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import archbert
from archbert.cli_index import found_by_text
from archbert.cli_output import CommandError
from archbert.cli_sources import QUESTIONS_MODEL_NAME, find_index, find_model, load_checkpoint
from archbert.embedding import Embedder
from archbert.index import ArchitectureIndex, Entry, Hit, model_fingerprint
from processing_archbert.architecture_graph_archbert import ArchitectureGraph

from .networks import NAME, DemoError, Given, Networks

SMALL_INDEX = ("bert", "gpt2", "llama", "mixtral", "mamba", "t5", "vit", "resnet", "convnext", "swin", "clip",
               "whisper", "wav2vec2", "segformer")  # fmt: skip
"""The networks that are searched where no index was built: model types of transformers."""
_log = logging.getLogger(__name__)


class Checkpoint:
    """The checkpoints behind all tasks: one that embeds, and one that judges, answers and describes; or one for both.

    Args:
        name: a folder or a Hub id, of both; by default those of `archbert.cli_sources.find_model`.
        networks: reads the networks of the small index.
        index: folder or Hub id of the index; by default `$ARCHBERT_INDEX`, then `hub/index` of a clone, then the one
            of the Hub. Where none can be had, or it is another checkpoint's, a small one is made.

    Attributes:
        name: of the checkpoint that judges, answers and describes, without its folder.
        index: what is searched.

    Raises:
        CommandError: the checkpoint cannot be loaded.
    """

    def __init__(self, networks: Networks, name: str | None = None, index: str | None = None) -> None:
        self._lock = threading.Lock()
        found = find_model(name, QUESTIONS_MODEL_NAME)
        self.name = Path(found).name
        self._embedder = Embedder(find_model(name))
        model, processor = load_checkpoint(found, "AutoModelForPreTraining")
        self._caption = _captioning(found, model.config)
        self._judge = archbert.pipeline(archbert.REASONING, model=model, processor=processor, device="cpu")
        self._compare = archbert.pipeline(
            archbert.CLONE_DETECTION, model=self._embedder.model, processor=self._embedder.processor, device="cpu"
        )
        model, processor = load_checkpoint(found, archbert.PIPELINE_MODELS[archbert.QUESTION_ANSWERING])
        self._answer = archbert.pipeline(archbert.QUESTION_ANSWERING, model=model, processor=processor, device="cpu")
        self.index = self._found_index(index, networks)
        networks.known.update(_configs(self.index))

    def judge(self, graph: ArchitectureGraph, statement: str) -> Mapping[str, Any]:
        """What the reasoning pipeline says of a statement."""
        return self._locked(self._judge, {"architecture": graph, "statement": statement})

    @property
    def judges(self) -> bool:
        """Whether it has a head for statements, which tells more of them than the cosine."""
        return bool(self._judge.model.config.use_reasoning_head)

    def compare(self, graphs: tuple[ArchitectureGraph, ArchitectureGraph], text: str = "") -> Mapping[str, Any]:
        """What the clone-detection pipeline says of a pair, with a text in the respect that it names."""
        item: dict[str, Any] = {"architectures": list(graphs)}
        return self._locked(self._compare, item | ({"text": text} if text else {}))

    def answer(self, item: Mapping[str, Any], **options: Any) -> list[dict[str, Any]]:
        """What the question-answering pipeline says; takes what that takes."""
        found: list[dict[str, Any]] = self._locked(self._answer, item, **options)
        return found

    def caption(self, graph: ArchitectureGraph) -> Mapping[str, Any]:
        """What the captioning pipeline writes, each claim of it asked of the graph; empty without a decoder."""
        return {} if self._caption is None else self._locked(self._caption, {"architecture": graph}, mode="product")

    def search(self, query: str | ArchitectureGraph, limit: int, where: str) -> list[Hit]:
        """The nearest architectures of the index to a text or a network, best first."""
        with self._lock:
            if isinstance(query, str):
                return found_by_text(self.index, self._embedder, query, limit, where)
            found = self._embedder.architectures([query])
            return self.index.search(np.asarray(found[0], dtype=np.float32), limit, where)

    def _locked(self, pipeline: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """One call at a time: a tokenizer must not be used by two threads at once."""
        with self._lock:
            return pipeline(*args, **options)

    def _found_index(self, given: str | None, networks: Networks) -> ArchitectureIndex:
        try:
            return ArchitectureIndex.load(find_index(given), model_fingerprint(self._embedder.model))
        except CommandError as error:
            if given:
                raise
            _log.warning("%s A small index is made instead.", error)
        entries = []
        for name in SMALL_INDEX:
            try:
                entries.append(Entry(name, networks.read(Given(NAME, name)).graph))
            except DemoError as error:
                _log.warning("%s is not in the small index: %s", name, error)
        return ArchitectureIndex.build(entries, self._embedder)


def _configs(index: ArchitectureIndex) -> dict[str, str]:
    """Names and sources of the networks of an index that are given by a config, with that config."""
    rows = index.table.select(["name", "source", "config"]).to_pylist()
    return {row[key]: row["config"] for row in rows if row["config"] for key in ("source", "name")}


def _captioning(name: str, config: Any) -> Any:
    """The captioning pipeline, where the checkpoint has a decoder; else None."""
    if not config.decoder_layers:
        return None
    model, processor = load_checkpoint(name, archbert.PIPELINE_MODELS[archbert.CAPTIONING])
    return archbert.pipeline(archbert.CAPTIONING, model=model, processor=processor, device="cpu")
