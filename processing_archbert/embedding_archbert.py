"""Embeddings of texts and of architectures as arrays: J_t and J_g (eq. 2 of the paper), of length 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any

import numpy as np
import torch
from torch import nn

_BATCHES_AT_ONCE = 8
"""Architectures that are sorted by size before they are put into batches, in batches."""
_LARGEST_IN_BATCH = 1.25
"""The largest architecture of a batch has at most so many times the tokens of the smallest: the rest is padding."""
_ONE = (str, bytes, Mapping, nn.Module, torch.Tensor)


def holds_several(value: Any) -> bool:
    """Whether `value` is a list, a dataset or a generator, and not one text, item, network or tensor."""
    return hasattr(value, "__iter__") and not isinstance(value, _ONE)


@torch.no_grad()
def encode(
    model: Any,
    processor: Any,
    *,
    texts: str | Iterable[str] | None = None,
    architectures: Any = None,
    inputs: Any = None,
    batch_size: int = 16,
    **options: Any,
) -> np.ndarray:
    """Embed texts or architectures; the product of two rows is their cosine.

    Args:
        model: any ArchBERT model, in eval mode.
        processor: an `ArchBertProcessor`.
        texts: one text, or any number of them.
        architectures: one architecture, or any number of them, as `ArchBertProcessor` takes them. A dictionary is one.
        inputs: what the module is called with; of several architectures, a list with one entry (or None) for each.
        batch_size: how many are put through the model at once.
        **options: `fold`, `truncation` and `architecture_kwargs` of the processor.

    Returns:
        float32 (N, d), each row of length 1; one text or architecture gives (1, d), none gives (0, d).

    Raises:
        ValueError: not exactly one of texts and architectures is given, a text is empty, or the batch size is none.
        ArchitectureSourceError: an architecture cannot be read.
        ArchitectureTraceError: a network cannot be traced.
    """
    if (texts is None) == (architectures is None):
        raise ValueError("Give either texts or architectures.")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size is {batch_size!r}; a positive integer is allowed.")
    if texts is not None and (inputs is not None or options):
        raise ValueError(f"{', '.join(options) or 'inputs'} belongs to architectures; texts take only batch_size.")
    base, rows = model.base_model, []

    def read(pair: tuple[Any, Any]) -> Any:
        return processor.encode_architectures([pair[0]], [pair[1]], **options)[0]

    if texts is not None:
        for chunk in _chunks(texts if holds_several(texts) else [texts], batch_size):
            batch = processor(text=chunk).to(base.device)
            rows.append(base.get_text_features(batch["input_ids"], batch["attention_mask"]))
    else:
        for chunk in _chunks(_with_inputs(architectures, inputs), _BATCHES_AT_ONCE * batch_size, read):
            counts = [encoding.num_tokens for encoding in chunk]
            found: list[torch.Tensor] = [torch.empty(0)] * len(chunk)
            for places in _of_like_size(counts, batch_size):
                batch = processor.collate(None, [chunk[place] for place in places]).to(base.device)
                for place, row in zip(places, base.get_architecture_features(**batch), strict=True):
                    found[place] = row
            rows.append(torch.stack(found))
    if not rows:
        return np.zeros((0, base.config.hidden_size), np.float32)
    return unit(torch.cat(rows)).cpu().numpy()


def unit(embeds: torch.Tensor) -> torch.Tensor:
    """Embeddings `(N, d)` in float32, of length 1."""
    return nn.functional.normalize(embeds.float(), dim=-1)


def _with_inputs(architectures: Any, inputs: Any) -> Iterator[tuple[Any, Any]]:
    """Pairs of an architecture and what it is called with."""
    if not holds_several(architectures):
        yield architectures, inputs
    elif inputs is None:
        yield from ((architecture, None) for architecture in architectures)
    elif isinstance(inputs, _ONE) or not holds_several(inputs):
        raise ValueError(f"inputs is {type(inputs).__name__}; a list with one entry for each architecture is allowed.")
    else:
        absent = object()
        for pair in zip_longest(architectures, inputs, fillvalue=absent):
            if pair[0] is absent or pair[1] is absent:
                raise ValueError("The numbers of inputs and of architectures differ; give None where there are none.")
            yield pair


def _chunks(values: Iterable[Any], size: int, read: Callable[[Any], Any] = lambda value: value) -> Iterator[list[Any]]:
    """So many values at a time, each read as it comes, so that no more than one is kept that is not read."""
    remaining = map(read, values)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _of_like_size(counts: Sequence[int], size: int) -> Iterator[list[int]]:
    """Places of at most `size` counts at a time, of which the largest is little above the smallest."""
    batch: list[int] = []
    for place in sorted(range(len(counts)), key=lambda place: counts[place]):
        if batch and (len(batch) == size or counts[place] > _LARGEST_IN_BATCH * counts[batch[0]]):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
