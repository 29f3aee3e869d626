"""What the pipelines of ArchBERT share: what they take, how an architecture is read, and `encode`.

* Inside a list or a dataset, an architecture that comes again (the same object, or the same string) is read once.
* Every row that goes to the model is one text with one architecture, each tensor with a first dimension of 1: the
  collate function of transformers keeps only the first row of a tensor, and does not shift indices.
* Every score is from the model alone: facts that the graph shows are not consulted. (A question for a number or a name
  of the whole network is read by the model; what it asks for is looked up.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import count
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset
from transformers.pipelines.base import ChunkPipeline

from .architecture_graph_archbert import ArchitectureGraph
from .embedding_archbert import encode, holds_several

_REMEMBERED_ARCHITECTURES = 64
_COMMON_PARAMETERS = ("fold", "truncation", "architecture_kwargs")
_OF_TRANSFORMERS = ("batch_size", "num_workers")

Remembered = OrderedDict[Any, tuple[Any, ...]]


class ArchitecturePipeline(ChunkPipeline):
    """Base of the pipelines, each of which says which keys an item has and what is made of it.

    Attributes:
        item_keys: the keys that an item may have.
        example: an item, for error messages.
        own_parameters: call parameters beside those that all pipelines have.
        keeps_graph: whether rows of a text carry it, and the graph.
    """

    item_keys: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = ""
    own_parameters: ClassVar[tuple[str, ...]] = ()
    keeps_graph: ClassVar[bool] = False

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The result of one item, or those of a list, a dataset or a generator of items; see the class."""
        allowed = (*self.own_parameters, *_COMMON_PARAMETERS, *_OF_TRANSFORMERS)
        unknown = sorted(set(kwargs) - set(allowed))
        if unknown:
            raise ValueError(f"Unknown parameters {unknown}; allowed are {', '.join(allowed)}.")
        if isinstance(inputs, (list, tuple)):
            inputs = list(inputs)
            if not inputs:
                return []
        elif isinstance(inputs, Sized) and (isinstance(inputs, Dataset) or _is_sequence(inputs)):
            inputs = _Rows(inputs)
        elif holds_several(inputs):
            inputs = _Stream(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def encode(
        self,
        *,
        texts: Any = None,
        architectures: Any = None,
        inputs: Any = None,
        batch_size: int = 16,
        **options: Any,
    ) -> np.ndarray:
        """Embeddings of texts or of architectures: float32 (N, d), each row of length 1.

        Args:
            texts: one text, or any number of them.
            architectures: one architecture, or any number of them.
            inputs: what the module is called with; of several architectures, a list with one entry (or None) each.
            batch_size: how many are put through the model at once.
            **options: `fold`, `truncation` and `architecture_kwargs`, as in a call.

        Raises:
            ValueError: not exactly one of texts and architectures is given, a text is empty, or an option is unknown.
            ArchitectureSourceError: an architecture cannot be read.
            ArchitectureTraceError: a network cannot be traced.
        """
        unknown = sorted(set(options) - set(_COMMON_PARAMETERS))
        if unknown:
            raise ValueError(f"Unknown options {unknown}; allowed are {', '.join(_COMMON_PARAMETERS)}.")
        given = {"texts": texts, "architectures": architectures, "inputs": inputs}
        return encode(self.model, self.processor, **given, batch_size=batch_size, **options)

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess: dict[str, Any] = {}
        for name in ("fold", "truncation"):
            if name in parameters:
                preprocess[name] = bool(parameters[name])
        if "architecture_kwargs" in parameters:
            preprocess["architecture_kwargs"] = _checked_hints(parameters["architecture_kwargs"])
        return preprocess, {}, {}

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Iterator[Any]:
        """As in `ChunkPipeline`; the items of a list or a dataset share what has been read.

        What a generator yields may change between two items, so nothing is kept there.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r}; a positive integer is allowed.")
        preprocess_params = {**preprocess_params, "numbers": count()}
        if isinstance(inputs, (list, _Rows)):
            preprocess_params["remembered"] = OrderedDict()
        return super().get_iterator(
            inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params
        )

    def preprocess(
        self,
        item: Any,
        numbers: Iterator[int] | None = None,
        remembered: Remembered | None = None,
        **options: Any,
    ) -> Iterator[dict[str, Any]]:
        """The rows of `item`, with `is_last` true for the last one; an error is noted with the number of the item."""
        number = 0 if numbers is None else next(numbers)
        try:
            yield from self._rows(self._checked_keys(item), remembered, options)
        except (ValueError, RuntimeError) as error:
            error.add_note(f"This is item {number} (counted from 0) of what the pipeline was given.")
            raise

    def _rows(
        self, item: Mapping[str, Any], remembered: Remembered | None, options: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """The rows of model inputs of one item, at least one."""
        raise NotImplementedError

    def _checked_keys(self, item: Any) -> Mapping[str, Any]:
        if not isinstance(item, Mapping):
            raise ValueError(f"An item is {type(item).__name__}; a dictionary such as {self.example} is allowed.")
        unknown = sorted(str(key) for key in set(item) - set(self.item_keys))
        if unknown:
            raise ValueError(f"An item has the unknown keys {unknown}; allowed are {', '.join(self.item_keys)}.")
        return item

    def _architecture(self, item: Mapping[str, Any]) -> Any:
        if item.get("architecture") is None:
            raise ValueError(f"An item has no 'architecture'; it looks like {self.example}.")
        return item["architecture"]

    def _tokens(
        self, architecture: Any, inputs: Any, remembered: Remembered | None, options: dict[str, Any]
    ) -> dict[str, torch.Tensor]:
        """The tokens of one architecture, a batch of 1; of one that is remembered, those from before."""
        return self._read(architecture, inputs, remembered, options)[0]

    def _read(
        self, architecture: Any, inputs: Any, remembered: Remembered | None, options: dict[str, Any]
    ) -> tuple[dict[str, torch.Tensor], ArchitectureGraph]:
        """The tokens of one architecture, and its graph."""
        key = (architecture if isinstance(architecture, str) else id(architecture), id(inputs))
        if remembered is not None and key in remembered:
            found = remembered[key][-1]
        else:
            graph = self.processor.read_architecture(architecture, inputs, options.get("architecture_kwargs"))
            encoding = self.processor.feature_extractor.encode(
                graph, options.get("fold", True), options.get("truncation")
            )
            found = (dict(self.processor.collate(None, [encoding])), graph)
        if remembered is not None:
            remembered[key] = (architecture, inputs, found)  # kept alive, so that no other object gets their id
            remembered.move_to_end(key)
            if len(remembered) > _REMEMBERED_ARCHITECTURES:
                remembered.popitem(last=False)
        return found

    def _text_rows(
        self,
        item: Mapping[str, Any],
        name: str,
        remembered: Remembered | None,
        options: dict[str, Any],
    ) -> Iterator[dict[str, Any]]:
        """One row for each text of an item that has one text or several about one architecture."""
        architecture = self._architecture(item)
        texts, several = texts_of(item, name)
        tokens, graph = self._read(architecture, item.get("inputs"), remembered, options)
        for number, text in enumerate(texts, start=1):
            row = {**tokens, **self.processor(text=[text]), "several": several, "is_last": number == len(texts)}
            yield row | ({"text": text, "graph": graph} if self.keeps_graph else {})


class _Stream(IterableDataset[Any]):
    """The items of a generator, one at a time: older versions of transformers make a list of a generator first."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


class _Rows(Dataset):  # type: ignore[type-arg]
    """A dataset of known length, read row by row."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Any]:
        return (self.rows[index] for index in range(len(self.rows)))


def _is_sequence(inputs: Any) -> bool:
    """Whether rows are read by their index, as those of a ``datasets.Dataset``."""
    return holds_several(inputs) and hasattr(inputs, "__getitem__")


def texts_of(item: Mapping[str, Any], name: str) -> tuple[list[str], bool]:
    """The texts of an item, which has `name` (a string) or its plural (several); and whether it has the plural.

    Raises:
        ValueError: there is not exactly one of the two, or a text is empty or no string.
    """
    plural = f"{name}s"
    if (name not in item and plural not in item) or (item.get(name) is not None and item.get(plural) is not None):
        raise ValueError(f"An item has to have either '{name}' (a string) or '{plural}' (a list of strings).")
    several = plural in item and item.get(name) is None
    texts = item[plural] if several else [item[name]]
    if not isinstance(texts, (list, tuple)) or not texts:
        raise ValueError(f"'{plural}' is {texts!r}; a list of one or more strings is allowed.")
    for text in texts:
        check_text(text, name, f"a string is allowed (several: '{plural}')")
    return list(texts), several


def check_text(text: Any, name: str, allowed: str = "a string is allowed") -> None:
    """Raise where a text says nothing.

    Raises:
        ValueError: it is no string, or empty.
    """
    if not isinstance(text, str):
        raise ValueError(f"A {name} is {type(text).__name__}; {allowed}.")
    if not text.strip():
        raise ValueError(f"A {name} is empty; give one in words.")


def _checked_hints(hints: Any) -> dict[str, Any]:
    if not isinstance(hints, (Mapping, type(None))):
        raise ValueError(f"architecture_kwargs is {type(hints).__name__}; a dictionary of hints is allowed.")
    return dict(hints or {})
