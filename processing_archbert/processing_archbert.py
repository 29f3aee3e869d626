"""`ArchBertProcessor`: text and architectures to the batch that the models take.

* A thin composition of a text tokenizer and `ArchBertGraphFeatureExtractor`.
* An op outside the vocabulary is presented by the word pieces of its name, cut by the text tokenizer, so that the
  model can read `DeformableConv2d` by what it knows of "deformable" and "conv".
* For training, `encode_architectures` makes graph tokens once and `collate` makes batches of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, BatchFeature
from transformers.processing_utils import ProcessorMixin

from .architecture_graph_archbert import ArchitectureGraph
from .caption_text_archbert import caption_pieces, digit_pieces, padded_labels, readable_caption
from .graph_features_archbert import SPECIAL_OPS, UNK_ID, ArchBertGraphFeatureExtractor, GraphEncoding
from .sources_archbert import described_source, load_architecture
from .text_numbers_archbert import piece_numbers

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def op_words(op_type: str) -> str:
    """The words of an op's name, split at capitals, digits and underscores: `"OwnConv2d"` -> `"own conv 2 d"`."""
    return " ".join(word.lower() for word in _WORDS.findall(op_type)) or op_type


class ArchBertProcessor(ProcessorMixin):
    """Makes model inputs of text, of architectures, or of both, row by row.

    Args:
        feature_extractor: the graph side; an `ArchBertGraphFeatureExtractor` with its defaults by default.
        tokenizer: the text side; a fast tokenizer with a padding token.
        max_text_length: texts are cut after that many tokens.
        text_numbers: also give `text_numbers` (B, T) float32, the logarithm of one plus the number that a word piece
            belongs to, -1 where there is none, so that the model can copy the numbers of a text.

    Raises:
        ValueError: there is no tokenizer.
    """

    def __init__(
        self,
        feature_extractor: ArchBertGraphFeatureExtractor | None = None,
        tokenizer: Any = None,
        max_text_length: int = 64,
        text_numbers: bool = False,
        **kwargs: Any,
    ) -> None:
        if tokenizer is None:
            raise ValueError("ArchBertProcessor needs a tokenizer, for example AutoTokenizer.from_pretrained(...).")
        self.max_text_length = max_text_length
        self.text_numbers = text_numbers
        self._op_pieces: dict[str, list[int]] = {}
        self._digit_pieces: dict[int, list[int]] | None = None
        super().__init__(feature_extractor or ArchBertGraphFeatureExtractor(), tokenizer, **kwargs)

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        architectures: Any = None,
        return_tensors: str | None = "pt",
        fold: bool = True,
        padding: bool | str = True,
        truncation: bool | None = None,
        inputs: Any = None,
        trust_remote_code: bool = False,
        architecture_kwargs: Mapping[str, Any] | None = None,
    ) -> BatchFeature:
        """The batch of texts and architectures, row i of one belonging to row i of the other.

        Args:
            text: one text or a list of them.
            architectures: one architecture or a list (or tuple) of them: graphs, their dictionaries or rows,
                `nn.Module`s, transformers configs, or strings and paths (see `load_architecture`); or any of these
                with hints of its own, as `{"source": "model.safetensors", "task": "fill-mask"}`.
            return_tensors: "pt", or "np".
            fold: fold equal parts of a graph into one token.
            padding: of the text: True (to the longest), or "max_length".
            truncation: cut graphs of more than `max_nodes` tokens; the feature extractor's own setting by default.
            inputs: for one architecture what its module is called with; for a list a list of that, with None where
                it is made up.
            trust_remote_code: whether code of a Hub repository may run to build its network.
            architecture_kwargs: hints of `load_architecture` for all architectures, such as
                `{"task": "fill-mask", "time_limit": 60}`; an architecture's own hints come before them.

        Returns:
            For text `input_ids` and `attention_mask` (B, T), int64; for architectures the keys of
            `ArchBertGraphFeatureExtractor.pad`.

        Raises:
            ValueError: neither is given, the numbers of rows differ, a text is empty, or a graph is too large.
            ArchitectureSourceError: an architecture cannot be read.
            ArchitectureTraceError: a network cannot be traced.
        """
        if text is None and architectures is None:
            raise ValueError("Give text, architectures or both; neither was given.")
        texts = None if text is None else _checked_texts(text)
        sources = None if architectures is None else _as_list(architectures)
        if texts is not None and sources is not None and len(texts) != len(sources):
            raise ValueError(
                f"There are {len(texts)} texts and {len(sources)} architectures; row i of one belongs to row i of the "
                "other, so give equal numbers (repeat what belongs to several rows)."
            )
        batch: dict[str, Any] = {}
        if texts is not None:
            batch |= self._tokenized(texts, return_tensors, padding)
        if sources is not None:
            given = _aligned_inputs(inputs, sources, single=not isinstance(architectures, (list, tuple)))
            encodings = self.encode_architectures(
                sources, given, fold, truncation, trust_remote_code, architecture_kwargs=architecture_kwargs
            )
            batch |= self._padded(encodings, return_tensors)
        elif inputs is not None:
            raise ValueError("inputs are given without architectures; they belong to the modules in architectures.")
        return BatchFeature(batch)

    def encode_architectures(
        self,
        architectures: Any,
        inputs: Sequence[Any] | None = None,
        fold: bool = True,
        truncation: bool | None = None,
        trust_remote_code: bool = False,
        architecture_kwargs: Mapping[str, Any] | None = None,
    ) -> list[GraphEncoding]:
        """The unpadded graph tokens of architectures, in order; worth caching, `collate` makes batches of them.

        Args:
            architectures: a list of architectures, or one, as in a call.
            inputs: for each architecture what its module is called with, or None.
            fold, truncation, trust_remote_code, architecture_kwargs: as in a call.
        """
        sources = _as_list(architectures)
        given = [None] * len(sources) if inputs is None else list(inputs)
        if len(given) != len(sources):
            raise ValueError(f"There are {len(given)} inputs and {len(sources)} architectures; give equal numbers.")
        common = {"trust_remote_code": trust_remote_code, **(architecture_kwargs or {})}
        graphs = (self.read_architecture(*one, common) for one in zip(sources, given, strict=True))
        return [self.feature_extractor.encode(graph, fold, truncation) for graph in graphs]

    @staticmethod
    def read_architecture(
        architecture: Any, inputs: Any = None, architecture_kwargs: Mapping[str, Any] | None = None
    ) -> ArchitectureGraph:
        """The graph of one architecture, as a call reads it.

        Args:
            architecture: a source of `load_architecture`, or one with hints of its own.
            inputs: what its module is called with, or None.
            architecture_kwargs: hints; the architecture's own come before them.
        """
        source, hints = described_source(architecture, {"trust_remote_code": False, **(architecture_kwargs or {})})
        if inputs is not None:
            hints["inputs"] = inputs
        return load_architecture(source, **hints)

    def collate(
        self,
        texts: str | Sequence[str] | None,
        encodings: Sequence[GraphEncoding] | None,
        op_replacement: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> BatchFeature:
        """A training batch of texts and of cached encodings; their numbers may differ.

        Args:
            texts: texts, or None.
            encodings: what `encode_architectures` gave, or None.
            op_replacement: probability with which an op type of the vocabulary is presented in a row as if it were
                outside: by [UNK] and the word pieces of its name, at all of its nodes.
            generator: source of randomness of the replacement.

        Raises:
            ValueError: neither is given, a text is empty, or the probability is none.
        """
        if texts is None and encodings is None:
            raise ValueError("Give texts, encodings or both; neither was given.")
        if not 0.0 <= op_replacement <= 1.0:
            raise ValueError(f"op_replacement is {op_replacement}; a probability from 0 to 1 is allowed.")
        batch: dict[str, Any] = {}
        if texts is not None:
            batch |= self._tokenized(_checked_texts(texts), "pt", True)
        if encodings is not None:
            batch |= self._padded(encodings, "pt", op_replacement, generator)
        return BatchFeature(batch)

    def __getstate__(self) -> dict[str, Any]:
        """The state without what has been remembered, so that a pickle does not depend on earlier calls."""
        return {**self.__dict__, "_op_pieces": {}, "_digit_pieces": None}

    def caption_labels(self, captions: str | Sequence[str], max_length: int = 512) -> torch.Tensor:
        """Labels `(C, L)` int64 of captions for training: word pieces and the end token, then -100.

        Numbers are spelled digit by digit. A caption is cut after `max_length` pieces.

        Raises:
            ValueError: a caption is empty, or the tokenizer has no token to end a text with.
        """
        end = self.tokenizer.sep_token_id
        if end is None:
            raise ValueError("the tokenizer has no sep_token, which ends a caption.")
        if self._digit_pieces is None:
            self._digit_pieces = digit_pieces(self.tokenizer)
        pieces = caption_pieces(self.tokenizer, _checked_texts(captions), self._digit_pieces)
        return padded_labels(pieces, end, max_length)

    def decode_captions(self, sequences: Any) -> list[str]:
        """Captions of generated word pieces `(C, L)`, as one writes them."""
        decoded = self.tokenizer.batch_decode(sequences, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [readable_caption(text) for text in decoded]

    @property
    def model_input_names(self) -> list[str]:
        """Names of the main inputs of both sides."""
        numbers = ["text_numbers"] if self.text_numbers else []
        return ["input_ids", "attention_mask", *numbers, *self.feature_extractor.model_input_names]

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: Any, processor_dict: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        """The two components; the feature extractor is of this copy of the code, so no auto class has to know it."""
        extractor = ArchBertGraphFeatureExtractor.from_pretrained(pretrained_model_name_or_path, **kwargs)
        trusted = kwargs.pop("trust_remote_code", None) or False
        tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, trust_remote_code=trusted, **kwargs)
        return [extractor, tokenizer]

    def _tokenized(self, texts: list[str], return_tensors: str | None, padding: bool | str) -> dict[str, Any]:
        batch = dict(
            self.tokenizer(
                texts,
                padding=padding,
                truncation=True,
                max_length=self.max_text_length,
                return_tensors=return_tensors,
                return_token_type_ids=False,
                return_attention_mask=True,
                return_offsets_mapping=self.text_numbers,
            )
        )
        if self.text_numbers:
            numbers = piece_numbers(texts, np.asarray(batch.pop("offset_mapping")).tolist())
            batch["text_numbers"] = torch.from_numpy(numbers) if return_tensors == "pt" else numbers
        return batch

    def _padded(
        self,
        encodings: Sequence[GraphEncoding],
        return_tensors: str | None,
        op_replacement: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> dict[str, Any]:
        """The padded batch, with pieces of names for ops outside the vocabulary (and for those that are replaced)."""
        batch = self.feature_extractor.pad(encodings, return_tensors=None)
        length = self.feature_extractor.op_piece_length
        for row, encoding in enumerate(encodings):
            ids = batch["node_ids"][row, : encoding.num_tokens]
            present = sorted(set(ids[ids >= len(SPECIAL_OPS)].tolist()))
            if op_replacement > 0.0 and present:
                drawn = torch.rand(len(present), generator=generator).tolist()
                replaced = [op for op, number in zip(present, drawn, strict=True) if number < op_replacement]
                ids[np.isin(ids, replaced)] = UNK_ID
            for token in (ids == UNK_ID).nonzero()[0].tolist():
                pieces = self._pieces_of(encoding.op_names[token], length)
                batch["op_piece_ids"][row, token, : len(pieces)] = pieces
                batch["op_piece_mask"][row, token, : len(pieces)] = 1
        return dict(BatchFeature(dict(batch), tensor_type=return_tensors))

    def _pieces_of(self, op_type: str, length: int) -> list[int]:
        """Token ids of the words of an op's name, as they stand inside a sentence; at most `length`."""
        if op_type not in self._op_pieces:
            words = " " + op_words(op_type).encode("utf-8", "replace").decode()  # half of a surrogate pair is no text
            self._op_pieces[op_type] = self.tokenizer(words, add_special_tokens=False)["input_ids"]
        return self._op_pieces[op_type][:length]


def _checked_texts(text: str | Sequence[str]) -> list[str]:
    if not isinstance(text, (str, Sequence)):
        raise ValueError(f"text is {type(text).__name__}; a string or a list of strings is allowed.")
    texts = [text] if isinstance(text, str) else list(text)
    if not texts:
        raise ValueError("text is an empty list; one or more texts are needed.")
    for i, one in enumerate(texts):
        if not isinstance(one, str):
            raise ValueError(f"text[{i}] is {type(one).__name__}; a string is allowed.")
        if not one.strip():
            raise ValueError(f"text[{i}] is empty; a text with at least one word is needed.")
        if _LONE_SURROGATE.search(one):
            raise ValueError(f"text[{i}] is no Unicode text: it holds half of a surrogate pair; decode it properly.")
    return texts


def _as_list(architectures: Any) -> list[Any]:
    sources = list(architectures) if isinstance(architectures, (list, tuple)) else [architectures]
    if not sources:
        raise ValueError("architectures is an empty list; one or more architectures are needed.")
    return sources


def _aligned_inputs(inputs: Any, sources: list[Any], single: bool) -> list[Any] | None:
    """One entry of inputs for each architecture."""
    if inputs is None or single:
        return None if inputs is None else [inputs]
    if isinstance(inputs, (torch.Tensor, Mapping)) or not isinstance(inputs, Sequence) or len(inputs) != len(sources):
        raise ValueError(
            f"inputs have to be a list with one entry for each of the {len(sources)} architectures; None in it means "
            "that the inputs are made up."
        )
    return list(inputs)
