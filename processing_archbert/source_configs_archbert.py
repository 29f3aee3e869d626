"""Configurations of transformers, and the class of the network that one is to become.

* A configuration is built from its JSON alone; of a stranger's one, everything that could fetch or run something is
  left out first (`quantization_config`, attention kernels, pretrained backbones).
* `task=` chooses the head: a task of the Hub, an auto class, a class of transformers, or `"auto"` for the class that
  the configuration names itself. The base model is the default.
"""

from __future__ import annotations

import copy
import difflib
import inspect
from collections.abc import Iterable
from typing import Any

import transformers
from transformers import PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from .source_errors_archbert import ArchitectureSourceError, first_line

NUM_SUGGESTIONS = 5
AUTO_TASK = "auto"

TASKS: dict[str, str] = {
    "feature-extraction": "AutoModel",
    "fill-mask": "AutoModelForMaskedLM",
    "text-generation": "AutoModelForCausalLM",
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "table-question-answering": "AutoModelForTableQuestionAnswering",
    "document-question-answering": "AutoModelForDocumentQuestionAnswering",
    "visual-question-answering": "AutoModelForVisualQuestionAnswering",
    "multiple-choice": "AutoModelForMultipleChoice",
    "next-sentence-prediction": "AutoModelForNextSentencePrediction",
    "text2text-generation": "AutoModelForSeq2SeqLM",
    "summarization": "AutoModelForSeq2SeqLM",
    "translation": "AutoModelForSeq2SeqLM",
    "image-classification": "AutoModelForImageClassification",
    "video-classification": "AutoModelForVideoClassification",
    "zero-shot-image-classification": "AutoModelForZeroShotImageClassification",
    "image-segmentation": "AutoModelForImageSegmentation",
    "semantic-segmentation": "AutoModelForSemanticSegmentation",
    "instance-segmentation": "AutoModelForInstanceSegmentation",
    "universal-segmentation": "AutoModelForUniversalSegmentation",
    "object-detection": "AutoModelForObjectDetection",
    "zero-shot-object-detection": "AutoModelForZeroShotObjectDetection",
    "depth-estimation": "AutoModelForDepthEstimation",
    "keypoint-detection": "AutoModelForKeypointDetection",
    "mask-generation": "AutoModelForMaskGeneration",
    "masked-image-modeling": "AutoModelForMaskedImageModeling",
    "image-to-image": "AutoModelForImageToImage",
    "image-text-to-text": "AutoModelForImageTextToText",
    "image-to-text": "AutoModelForImageTextToText",
    "any-to-any": "AutoModelForMultimodalLM",
    "automatic-speech-recognition": "AutoModelForSpeechSeq2Seq",
    "audio-classification": "AutoModelForAudioClassification",
    "audio-frame-classification": "AutoModelForAudioFrameClassification",
    "audio-xvector": "AutoModelForAudioXVector",
    "text-to-audio": "AutoModelForTextToWaveform",
    "text-to-speech": "AutoModelForTextToSpectrogram",
    "time-series-prediction": "AutoModelForTimeSeriesPrediction",
    "pretraining": "AutoModelForPreTraining",
}
"""Task of the Hub -> auto class of transformers."""

_CTC_TASK = "automatic-speech-recognition"
_LEFT_OUT = (
    "quantization_config", "compression_config", "_attn_implementation", "_attn_implementation_internal",
    "attn_implementation", "_attn_implementation_autoset", "_experts_implementation", "experts_implementation",
    "_experts_implementation_internal", "use_pretrained_backbone", "use_kernels",
)  # fmt: skip


def is_known_type(model_type: Any) -> bool:
    """Whether the installed transformers has this model type."""
    return isinstance(model_type, str) and model_type in CONFIG_MAPPING


def nearest_names(text: str, names: Iterable[str]) -> list[str]:
    """At most `NUM_SUGGESTIONS` of the names that `text` may have meant, the likeliest first."""
    lower, allowed = text.lower(), sorted(names)
    near = [t for t in allowed if t.lower() in (lower.replace("-", "_"), lower.replace("_", "-"))]
    near += difflib.get_close_matches(lower, allowed, n=NUM_SUGGESTIONS, cutoff=0.6)
    near += [t for t in allowed if len(t) > 2 and lower and (lower.startswith(t) or t.startswith(lower))]
    return list(dict.fromkeys(near))[:NUM_SUGGESTIONS]


def suggestion(text: str, names: Iterable[str]) -> str:
    """` Did you mean ...?` with the nearest names; empty where none is near."""
    near = nearest_names(text[:200], names)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def unknown_type(text: str) -> str:
    """A message about a string that is no model type."""
    return (
        f"{text[:200]!r} is no model type of transformers and no file.{suggestion(text, CONFIG_MAPPING.keys())} A "
        'model on the Hub is given as "owner/name", for example "google-bert/bert-base-uncased".'
    )


def default_config(model_type: str) -> PretrainedConfig:
    """The configuration of a model type with its defaults.

    Raises:
        ArchitectureSourceError: it cannot be built from defaults alone.
    """
    try:
        return CONFIG_MAPPING[model_type]()
    except Exception as error:
        raise ArchitectureSourceError(
            f"The model type {model_type!r} has no default config that can be built ({first_line(error)}); make the "
            "config yourself and pass it."
        ) from error


def config_from_dict(where: str, data: dict[str, Any]) -> PretrainedConfig:
    """The configuration that the JSON of `where` describes; its model type has to be known.

    Raises:
        ArchitectureSourceError: transformers does not accept it.
    """
    try:
        config = CONFIG_MAPPING[data["model_type"]].from_dict(_harmless(data))
    except Exception as error:
        raise ArchitectureSourceError(f"The config of {where!r} cannot be built: {first_line(error)}") from error
    return config


def _harmless(data: Any) -> Any:
    """A copy without options that say how to compute, or what to fetch, and not what the network is."""
    if isinstance(data, dict):
        return {key: _harmless(value) for key, value in data.items() if key not in _LEFT_OUT and key != "auto_map"}
    return [_harmless(value) for value in data] if isinstance(data, list) else data


def without_quantization(config: PretrainedConfig) -> PretrainedConfig:
    """The configuration without its way of storing weights; it is copied where it has one."""
    if getattr(config, "quantization_config", None) is None:
        return config
    plain = copy.deepcopy(config)
    vars(plain).pop("quantization_config", None)
    return plain


def model_class(task: str | None, config: PretrainedConfig) -> Any:
    """The class of the network that `task` asks for; None for the base model.

    Raises:
        ArchitectureSourceError: the task is unknown, or the model type has no such network.
    """
    if task is None:
        return None
    if not isinstance(task, str):
        raise ArchitectureSourceError(f"task is {type(task).__name__}; a string such as 'fill-mask' is allowed.")
    if task == AUTO_TASK:
        return _named_by(config)
    found = class_of_task(task)
    if task == _CTC_TASK and type(config) not in found._model_mapping:
        found = transformers.AutoModelForCTC
    return _checked_class(found, config)


def class_of_task(task: str) -> Any:
    """The auto class of a task of the Hub, or the class of transformers with this name.

    Raises:
        ArchitectureSourceError: there is none.
    """
    found = _class_named(TASKS.get(task, task))
    if found is not None:
        return found
    names = [*TASKS, *(name for name in dir(transformers) if name.startswith("AutoModelFor")), AUTO_TASK]
    raise ArchitectureSourceError(
        f"{task[:100]!r} is no task.{suggestion(task, names)} Allowed are {', '.join(TASKS)}, "
        f'"{AUTO_TASK}" (the class that the config names), an auto class such as "AutoModelForMaskedLM", or a '
        "class of transformers."
    )


def _class_named(name: str) -> Any:
    """The auto class or network of transformers with this name; None where there is none.

    Raises:
        ArchitectureSourceError: it needs a package that is missing.
    """
    found = getattr(transformers, name, None) if name.isidentifier() and not name.startswith("_") else None
    try:
        if inspect.isclass(found) and (hasattr(found, "_model_mapping") or hasattr(found, "_from_config")):
            return found
    except ImportError as error:
        raise ArchitectureSourceError(f"{name} cannot be used: {first_line(error)}") from None
    return None


def _checked_class(found: Any, config: PretrainedConfig) -> Any:
    mapping = getattr(found, "_model_mapping", None)
    fits = type(config) in mapping if mapping is not None else isinstance(config, found.config_class or ())
    if not fits:
        raise ArchitectureSourceError(
            f"The model type {config.model_type!r} has no {found.__name__}; its tasks are "
            f"{', '.join(tasks_of(config)) or 'none'}."
        )
    return found


def tasks_of(config: PretrainedConfig) -> list[str]:
    """The tasks for which transformers has a network of this configuration."""
    classes = {task: getattr(transformers, name, None) for task, name in TASKS.items()}
    return [task for task, auto in classes.items() if auto is not None and type(config) in auto._model_mapping]


def _named_by(config: PretrainedConfig) -> Any:
    """The class that the configuration names in `architectures`.

    Raises:
        ArchitectureSourceError: it names none that the installed transformers has.
    """
    names = [name for name in (getattr(config, "architectures", None) or ()) if isinstance(name, str)]
    for name in names:
        found = _class_named(name)
        if found is not None and not hasattr(found, "_model_mapping"):
            return _checked_class(found, config)
    raise ArchitectureSourceError(
        f"The config names {names or 'no class'} in architectures, and transformers has none of them; give a task, "
        f"one of {', '.join(tasks_of(config)) or 'none'}."
    )


def class_of_weights(config: PretrainedConfig) -> Any:
    """The class whose weights lie beside a configuration: the one that it names, else the base model (None)."""
    try:
        return _named_by(config)
    except ArchitectureSourceError:
        return None
