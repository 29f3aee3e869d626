"""ArchBERT: questions and statements about neural architectures, answered from their computational graphs.

Importing this package makes all of ArchBERT known to transformers. ``AutoConfig``, ``AutoModel``,
``AutoModelForPreTraining``, ``AutoModelForSeq2SeqLM``, ``AutoModelForSequenceClassification``, ``AutoProcessor``
and ``AutoFeatureExtractor`` then load ArchBERT folders without ``trust_remote_code``, and so does `pipeline` below.
Classes are registered where they are defined, in `modeling_archbert` and `processing_archbert`; the pipelines, which
need both, here.
"""

from __future__ import annotations

import os
import re
from typing import Any

import transformers
from transformers.pipelines import PIPELINE_REGISTRY

import modeling_archbert  # noqa: F401
from processing_archbert import ArchBertProcessor  # noqa: F401
from processing_archbert.pipeline_archbert import ArchitectureQuestionAnsweringPipeline
from processing_archbert.pipeline_captioning_archbert import ArchitectureCaptioningPipeline
from processing_archbert.pipeline_clones_archbert import ArchitectureCloneDetectionPipeline
from processing_archbert.pipeline_reasoning_archbert import ArchitectureReasoningPipeline

QUESTION_ANSWERING = "architecture-question-answering"
REASONING = "architecture-reasoning"
CLONE_DETECTION = "architecture-clone-detection"
CAPTIONING = "architecture-captioning"
PIPELINES: dict[str, type[transformers.Pipeline]] = {
    QUESTION_ANSWERING: ArchitectureQuestionAnsweringPipeline,
    REASONING: ArchitectureReasoningPipeline,
    CLONE_DETECTION: ArchitectureCloneDetectionPipeline,
    CAPTIONING: ArchitectureCaptioningPipeline,
}
PIPELINE_MODELS = {
    QUESTION_ANSWERING: "AutoModelForSequenceClassification",
    REASONING: "AutoModelForPreTraining",
    CLONE_DETECTION: "AutoModel",
    CAPTIONING: "AutoModelForSeq2SeqLM",
}
"""The auto class of transformers that loads the model of each task."""
PIPELINE_TYPE = "multimodal"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

for _task, _pipeline_class in PIPELINES.items():
    if _task not in PIPELINE_REGISTRY.supported_tasks:
        PIPELINE_REGISTRY.register_pipeline(
            _task,
            pipeline_class=_pipeline_class,
            pt_model=getattr(transformers, PIPELINE_MODELS[_task]),
            type=PIPELINE_TYPE,
        )


def pipeline(task: str = QUESTION_ANSWERING, model: Any = None, **kwargs: Any) -> transformers.Pipeline:
    """``transformers.pipeline`` with the pipeline class of this package instead of the copy in the model folder.

    Args:
        task: a key of `PIPELINES`.
        model: a folder, a Hub id, or a model object (then give ``processor`` as well).
        **kwargs: passed on to ``transformers.pipeline``.

    Raises:
        ValueError: the task is unknown, no model is given, or its folder does not exist.
    """
    if task not in PIPELINES:
        raise ValueError(f"{task!r} is no task of ArchBERT; allowed are {', '.join(PIPELINES)}.")
    if model is None:
        raise ValueError("No model is given; give a folder such as 'hub/models/archbert-mini', or a Hub id.")
    if isinstance(model, (str, os.PathLike)) and not os.path.isdir(model) and not _HUB_ID.fullmatch(str(model)):
        raise ValueError(f"There is no folder {str(model)!r}, and that is no Hub id ('owner/name') either.")
    return transformers.pipeline(task, model=model, pipeline_class=PIPELINES[task], **kwargs)
