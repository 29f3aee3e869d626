"""The pipeline of architectural reasoning (AR; paper, section 5.2): is this statement right about this network?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .pipeline_base_archbert import ArchitecturePipeline, Remembered

CORRECT, INCORRECT = "correct", "incorrect"
REASONING_HEAD, CALIBRATED_COSINE, COSINE = "reasoning head", "calibrated cosine", "cosine"


class ArchitectureReasoningPipeline(ArchitecturePipeline):
    """Judges statements about neural architectures.

    Load it with ``pipeline("architecture-reasoning", model=FOLDER_OR_ID, trust_remote_code=True)`` and call it with an
    item, or with a list, dataset or generator of items. An item is a dictionary with ``architecture`` and ``inputs``
    as in `ArchitectureQuestionAnsweringPipeline`, and

    - ``statement``: a string; or ``statements``: several of them, for which the architecture is read once.

    Returns, for ``statement``, ``{"label": "correct", "score": 0.93, "method": "reasoning head"}``; for
    ``statements`` a list of these. `label` is ``"correct"`` or ``"incorrect"``. `method` says what the score is:

    - ``"reasoning head"``, where the checkpoint has one: the probability that the statement is right, the sigmoid of
      ``reasoning_scale`` times (the head's logit less ``reasoning_threshold``), both of the checkpoint; above 0.5 it
      is correct;
    - ``"calibrated cosine"``, where the checkpoint has ``similarity_scale`` and ``similarity_bias``: the sigmoid of
      scale * cosine + bias; correct where the cosine is above ``similarity_threshold``;
    - ``"cosine"`` otherwise (as in the paper): the cosine of J_t and J_g from -1 to 1, no probability; correct above
      ``similarity_threshold``.

    Scores are equal to 1e-5 for every batch size. Call parameters are ``fold``, ``truncation``,
    ``architecture_kwargs`` and ``batch_size`` (statements at once), as in `ArchitectureQuestionAnsweringPipeline`.

    Raises:
        ValueError: an item or a parameter is not as said above; the message names what was given and what is allowed.
        ArchitectureSourceError: an architecture cannot be read.
        ArchitectureTraceError: the network cannot be traced, or a limit was reached.
    """

    item_keys = ("architecture", "inputs", "statement", "statements")
    example = '{"architecture": "resnet", "statement": "It has max pooling."}'

    @property
    def method(self) -> str:
        """What the checkpoint judges statements by."""
        config = self.model.config
        if config.use_reasoning_head:
            return REASONING_HEAD
        calibrated = config.similarity_scale is not None and config.similarity_bias is not None
        return CALIBRATED_COSINE if calibrated else COSINE

    def _rows(
        self, item: Mapping[str, Any], remembered: Remembered | None, options: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        return self._text_rows(item, "statement", remembered, options)

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, Any]:
        """Scores `(B,)` of a batch of statements, and how far `(B,)` each is above what makes it correct."""
        kept = {name: model_inputs.pop(name) for name in ("several", "is_last")}
        output, config = self.model(**model_inputs), self.model.config
        if self.method == REASONING_HEAD:
            above = output.reasoning_logits.float() - config.reasoning_threshold
            return {"scores": (config.reasoning_scale * above).sigmoid(), "above": above, **kept}
        scores = output.similarity
        above = scores - config.similarity_threshold
        if self.method == CALIBRATED_COSINE:
            scores = output.similarity_logits.float().sigmoid()
        return {"scores": scores, "above": above, **kept}

    def postprocess(self, model_outputs: list[dict[str, Any]]) -> Any:
        """The judgement of one item; a list where it had ``statements``."""
        method = self.method
        judged = [
            {
                "label": CORRECT if float(output["above"]) > 0 else INCORRECT,
                "score": float(output["scores"]),
                "method": method,
            }
            for output in model_outputs
        ]
        return judged if model_outputs[0]["several"] else judged[0]
