"""The pipelines of ArchBERT for ``transformers.pipeline``.

* An item is one architecture with one question or several; several questions share one extraction and one encoding
  of the graph into tokens.
* Inside a list, an architecture that comes again (the same object, or the same string) is extracted once.
* Every score is an independent probability from the model alone: facts that the graph shows are not consulted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers.pipelines.base import ChunkPipeline

ITEM_KEYS = ("architecture", "inputs", "question", "questions")
CALL_PARAMETERS = ("top_k", "fold", "truncation", "architecture_kwargs", "batch_size", "num_workers")
ANSWER_THRESHOLD = 0.5
_REMEMBERED_ARCHITECTURES = 64
_EXAMPLE = '{"architecture": "resnet", "question": "Which pooling is used?"}'


class ArchitectureQuestionAnsweringPipeline(ChunkPipeline):
    """Answers questions about neural architectures (AQA; paper, section 3.3).

    Load it with ``pipeline("architecture-question-answering", model=FOLDER_OR_ID, trust_remote_code=True)`` and call
    it with an item, or with a list or generator of items. An item is a dictionary with

    - ``architecture``: whatever `load_architecture` takes: an `ArchitectureGraph` (or its dictionary), an
      ``nn.Module``, a transformers config, a model type such as ``"bert"``, ``"timm:NAME"``, the path of a
      ``config.json``, of a saved graph or of a ``.onnx``, ``.pt2``, ``.safetensors`` or ``.gguf`` file, a folder, or a
      Hub id; or one of these with hints, as ``{"source": "model.gguf", "time_limit": 60}``;
    - ``inputs`` (optional): what the module is called with, where it cannot be made up; a tensor, a tuple or a
      dictionary of keyword arguments;
    - ``question``: a string; or ``questions``: several of them.

    Returns, for ``question``, a list ``[{"answer": "MaxPool2d", "score": 0.98}, ...]``, best first; for ``questions``
    one such list each. A list of items gives a list of results, a generator gives an iterator. Scores are independent
    probabilities (they need not sum to 1), equal to 1e-5 for every batch size.

    Call parameters (also accepted by ``pipeline``):

    - ``top_k``: how many answers to give. By default, all whose score is above 0.5, or the single best.
    - ``fold``: whether equal parts of the graph are folded into one token (exact, and faster); True by default.
    - ``truncation``: whether to cut a graph of more tokens than the processor's ``max_nodes`` instead of refusing it.
    - ``architecture_kwargs``: hints of `load_architecture` for all items (``task``, ``component``,
      ``trust_remote_code``, ``isolate``, ``time_limit``, ``memory_limit``); an item's own come before them.
    - ``batch_size``: how many questions are put through the model at once.

    Raises:
        ValueError: an item or a parameter is not as said above; the message names what was given and what is allowed.
        ArchitectureSourceError: an architecture cannot be read.
        ArchitectureTraceError: the network cannot be traced, or a limit was reached.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer one item, a list or a generator of items; see the class."""
        unknown = sorted(set(kwargs) - set(CALL_PARAMETERS))
        if unknown:
            raise ValueError(f"Unknown parameters {unknown}; allowed are {', '.join(CALL_PARAMETERS)}.")
        if isinstance(inputs, tuple):
            inputs = list(inputs)
        return [] if isinstance(inputs, list) and not inputs else super().__call__(inputs, *args, **kwargs)

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess: dict[str, Any] = {}
        postprocess: dict[str, Any] = {}
        for name in ("fold", "truncation"):
            if name in parameters:
                preprocess[name] = bool(parameters[name])
        if "architecture_kwargs" in parameters:
            preprocess["architecture_kwargs"] = _checked_hints(parameters["architecture_kwargs"])
        if "top_k" in parameters:
            postprocess["top_k"] = _checked_top_k(parameters["top_k"])
        return preprocess, {}, postprocess

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Iterator[Any]:
        """As in `ChunkPipeline`; the items of a list share what has been extracted.

        What a generator yields may change between two items, so nothing is kept there.
        """
        if isinstance(inputs, list):
            preprocess_params = {**preprocess_params, "remembered": OrderedDict()}
        return super().get_iterator(
            inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params
        )

    def preprocess(
        self,
        item: Any,
        fold: bool = True,
        truncation: bool | None = None,
        architecture_kwargs: Mapping[str, Any] | None = None,
        remembered: OrderedDict[Any, tuple[Any, ...]] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """One row of model inputs for every question of `item`, every tensor with a first dimension of 1."""
        architecture, inputs, questions = _checked_item(item)
        key = (architecture if isinstance(architecture, str) else id(architecture), id(inputs))
        if remembered is not None and key in remembered:
            tokens = remembered[key][-1]
        else:
            options = {"fold": fold, "truncation": truncation, "architecture_kwargs": architecture_kwargs}
            tokens = dict(self.processor(architectures=[architecture], inputs=[inputs], **options))
        if remembered is not None:
            remembered[key] = (architecture, inputs, tokens)  # kept alive, so that no other object gets their id
            remembered.move_to_end(key)
            if len(remembered) > _REMEMBERED_ARCHITECTURES:
                remembered.popitem(last=False)
        several = "questions" in item
        for number, question in enumerate(questions, start=1):
            text = self.processor(text=[question], return_tensors="pt")
            yield {**tokens, **text, "several": several, "is_last": number == len(questions)}

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, Any]:
        """Logits (B, number of answers) of a batch of questions."""
        kept = {name: model_inputs.pop(name) for name in ("several", "is_last")}
        return {"logits": self.model(**model_inputs).logits, **kept}

    def postprocess(self, model_outputs: list[dict[str, Any]], top_k: int | None = None) -> list[Any]:
        """The answers of one item, best first; one list for each question where it had ``questions``."""
        answers = [self._answers(output["logits"][0], top_k) for output in model_outputs]
        return answers if model_outputs[0]["several"] else answers[0]

    def _answers(self, logits: torch.Tensor, top_k: int | None) -> list[dict[str, Any]]:
        sorted_logits, order = logits.float().sort(descending=True, stable=True)
        scores = sorted_logits.sigmoid()
        count = max(1, int((scores > ANSWER_THRESHOLD).sum())) if top_k is None else top_k
        labels = self.model.config.id2label
        return [
            {"answer": labels[index], "score": score}
            for index, score in zip(order[:count].tolist(), scores[:count].tolist(), strict=True)
        ]


def _checked_hints(hints: Any) -> dict[str, Any]:
    if not isinstance(hints, (Mapping, type(None))):
        raise ValueError(f"architecture_kwargs is {type(hints).__name__}; a dictionary of hints is allowed.")
    return dict(hints or {})


def _checked_top_k(top_k: Any) -> int | None:
    if top_k is None:
        return None
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise ValueError(f"top_k is {top_k!r}; a positive integer is allowed, or None for all answers above 0.5.")
    return top_k


def _checked_item(item: Any) -> tuple[Any, Any, list[str]]:
    """The architecture, its inputs and the questions of an item.

    Raises:
        ValueError: something is missing, unknown or of a wrong type.
    """
    if not isinstance(item, Mapping):
        raise ValueError(f"An item is {type(item).__name__}; a dictionary such as {_EXAMPLE} is allowed.")
    unknown = sorted(str(key) for key in set(item) - set(ITEM_KEYS))
    if unknown:
        raise ValueError(f"An item has the unknown keys {unknown}; allowed are {', '.join(ITEM_KEYS)}.")
    if item.get("architecture") is None:
        raise ValueError(f"An item has no 'architecture'; it looks like {_EXAMPLE}.")
    if ("question" in item) == ("questions" in item):
        raise ValueError("An item has to have either 'question' (a string) or 'questions' (a list of strings).")
    questions = [item["question"]] if "question" in item else item["questions"]
    if not isinstance(questions, (list, tuple)) or not questions:
        raise ValueError(f"'questions' is {questions!r}; a list of one or more strings is allowed.")
    for question in questions:
        if not isinstance(question, str):
            raise ValueError(f"A question is {type(question).__name__}; a string is allowed (several: 'questions').")
        if not question.strip():
            raise ValueError("A question is empty; ask something such as 'Which pooling is used?'.")
    return item["architecture"], item.get("inputs"), list(questions)
