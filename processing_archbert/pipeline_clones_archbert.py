"""The pipeline of clone detection (ACD and BACD; paper, section 5.3 and appendix): are these two networks alike?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from .embedding_archbert import unit
from .pipeline_base_archbert import ArchitecturePipeline, Remembered, check_text

SIMILAR, DISSIMILAR = "similar", "dissimilar"


class ArchitectureCloneDetectionPipeline(ArchitecturePipeline):
    """Says how alike two neural architectures are, by themselves or in the respect that a text names.

    Load it with ``pipeline("architecture-clone-detection", model=FOLDER_OR_ID, trust_remote_code=True)`` and call it
    with an item, or with a list, dataset or generator of items. An item is a dictionary with

    - ``architectures``: a list of two, each as in `ArchitectureQuestionAnsweringPipeline`;
    - ``inputs`` (optional): a list of two, what each module is called with, or None;
    - ``text`` (optional): the respect in which they are compared, such as ``"a model with residual connections"``.

    Returns ``{"label": ..., "score": ..., "threshold": ...}``. Without a text (ACD), `score` is the cosine of the two
    embeddings J_g. With a text (BACD), it is the mean of the cosines of the text's J_t with each J_g: high where the
    text fits both. ``architecture_score`` (the cosine of the two) and ``text_scores`` (a list of two) then stand
    beside it.

    `label` is ``"similar"`` where the score is above `threshold`, else ``"dissimilar"``. The threshold is that of the
    call, else the checkpoint's ``clone_threshold`` (with a text ``bimodal_clone_threshold``). Both are None in a
    checkpoint for which no threshold was fitted on pairs of architectures; then, unless the call gives one, `label`
    and `threshold` are None, and the score can only be compared with other scores. The paper's threshold is 0.5.

    Scores are from -1 to 1, no probabilities, and equal to 1e-5 for every batch size. Items with and without a text
    may be mixed. Call parameters are ``threshold``, and ``fold``, ``truncation``, ``architecture_kwargs`` and
    ``batch_size`` (architectures at once, two for each item) as in `ArchitectureQuestionAnsweringPipeline`.

    Raises:
        ValueError: an item or a parameter is not as said above; the message names what was given and what is allowed.
        ArchitectureSourceError: an architecture cannot be read.
        ArchitectureTraceError: a network cannot be traced, or a limit was reached.
    """

    item_keys = ("architectures", "inputs", "text")
    example = '{"architectures": ["resnet", "convnext"]}'
    own_parameters = ("threshold",)

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess, forward, postprocess = super()._sanitize_parameters(**parameters)
        if "threshold" in parameters:
            postprocess["threshold"] = _checked_threshold(parameters["threshold"])
        return preprocess, forward, postprocess

    def _rows(
        self, item: Mapping[str, Any], remembered: Remembered | None, options: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """One row for each of the two architectures; both have the text, or a single padding token where none is."""
        pair = self._pair(item, "architectures")
        if pair is None or any(architecture is None for architecture in pair):
            raise ValueError(f"An item has no two 'architectures'; it looks like {self.example}.")
        called_with = self._pair(item, "inputs") or [None, None]
        if item.get("text") is None:
            text = {name: torch.zeros(1, 1, dtype=torch.long) for name in ("input_ids", "attention_mask")}
            if self.processor.text_numbers:
                text["text_numbers"] = torch.zeros(1, 1)
        else:
            check_text(item["text"], "text")
            text = dict(self.processor(text=[item["text"]]))
        for number, (architecture, inputs) in enumerate(zip(pair, called_with, strict=True)):
            yield {**self._tokens(architecture, inputs, remembered, options), **text, "is_last": number == 1}

    def _pair(self, item: Mapping[str, Any], name: str) -> list[Any] | None:
        pair = item.get(name)
        if pair is None:
            return None
        if not isinstance(pair, (list, tuple)):
            raise ValueError(f"'{name}' is {type(pair).__name__}; a list of two is allowed, as in {self.example}.")
        if len(pair) != 2:
            raise ValueError(f"'{name}' has {len(pair)} entries; two are allowed, as in {self.example}.")
        return list(pair)

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, Any]:
        """J_g `(B, d)` of a batch of architectures and J_t `(B, d)` of their texts, zero where there is none."""
        is_last = model_inputs.pop("is_last")
        base = self.model.base_model
        ids, mask = model_inputs.pop("input_ids"), model_inputs.pop("attention_mask")
        model_inputs.pop("text_numbers", None)  # only the reasoning head reads them
        architectures = unit(base.get_architecture_features(**model_inputs))
        texts, has_text = torch.zeros_like(architectures), mask.bool().any(dim=1)
        if bool(has_text.any()):
            texts[has_text] = unit(base.get_text_features(ids[has_text], mask[has_text]))
        return {"architectures": architectures, "texts": texts, "has_text": has_text, "is_last": is_last}

    def postprocess(self, model_outputs: list[dict[str, Any]], threshold: float | None = None) -> dict[str, Any]:
        """The result of one pair."""
        first, second = (output["architectures"][0] for output in model_outputs)
        alike = _cosine(first, second)
        found: dict[str, Any] = {"score": alike}
        limit = self.model.config.clone_threshold
        if bool(model_outputs[0]["has_text"]):
            fits = [_cosine(output["texts"][0], output["architectures"][0]) for output in model_outputs]
            found = {"score": sum(fits) / 2, "architecture_score": alike, "text_scores": fits}
            limit = self.model.config.bimodal_clone_threshold
        limit = limit if threshold is None else threshold
        label = None if limit is None else SIMILAR if found["score"] > limit else DISSIMILAR
        return {"label": label, **found, "threshold": limit}


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    """Of two vectors of length 1."""
    return float((one @ other).clamp(-1, 1))


def _checked_threshold(threshold: Any) -> float | None:
    if threshold is None:
        return None
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not -1 <= threshold <= 1:
        raise ValueError(
            f"threshold is {threshold!r}; a cosine from -1 to 1 is allowed, or None for the checkpoint's."
        )
    return float(threshold)
