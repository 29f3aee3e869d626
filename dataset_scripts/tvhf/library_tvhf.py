"""What the installed transformers says of its own networks: parentage, tasks, inputs, the checkpoint it documents.

* Parentage is read from the modular files (`models/<folder>/modular_<folder>.py`), in which a network is written as a
  subclass of another one's classes. A network's *parents* are those from which the network itself, or one of its
  layers, inherits; it *borrows* from those that gave single parts only (an attention, a normalization, a MLP).
* Tasks are those for which the library has a head: the `AutoModelFor...` tables.
* The sources are read as text where that is enough, so that no network has to be imported for its parents.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

TASK_TABLES: dict[str, str] = {
    "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES": "text generation",
    "MODEL_FOR_MASKED_LM_MAPPING_NAMES": "masked language modeling",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES": "sequence-to-sequence text generation",
    "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES": "text classification",
    "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES": "token classification",
    "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES": "question answering",
    "MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES": "multiple choice",
    "MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING_NAMES": "next sentence prediction",
    "MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES": "text encoding",
    "MODEL_FOR_TABLE_QUESTION_ANSWERING_MAPPING_NAMES": "table question answering",
    "MODEL_FOR_RETRIEVAL_MAPPING_NAMES": "retrieval",
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES": "image classification",
    "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES": "zero-shot image classification",
    "MODEL_FOR_MASKED_IMAGE_MODELING_MAPPING_NAMES": "masked image modeling",
    "MODEL_FOR_CAUSAL_IMAGE_MODELING_MAPPING_NAMES": "image generation",
    "MODEL_FOR_IMAGE_SEGMENTATION_MAPPING_NAMES": "image segmentation",
    "MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES": "semantic segmentation",
    "MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING_NAMES": "instance segmentation",
    "MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES": "universal segmentation",
    "MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES": "object detection",
    "MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING_NAMES": "zero-shot object detection",
    "MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES": "depth estimation",
    "MODEL_FOR_NORMAL_ESTIMATION_MAPPING_NAMES": "surface normal estimation",
    "MODEL_FOR_POINTMAP_ESTIMATION_MAPPING_NAMES": "point map estimation",
    "MODEL_FOR_POSE_ESTIMATION_MAPPING_NAMES": "pose estimation",
    "MODEL_FOR_IMAGE_MATTING_MAPPING_NAMES": "image matting",
    "MODEL_FOR_IMAGE_TO_IMAGE_MAPPING_NAMES": "image restoration",
    "MODEL_FOR_MASK_GENERATION_MAPPING_NAMES": "mask generation",
    "MODEL_FOR_KEYPOINT_DETECTION_MAPPING_NAMES": "keypoint detection",
    "MODEL_FOR_KEYPOINT_MATCHING_MAPPING_NAMES": "keypoint matching",
    "MODEL_FOR_TEXT_RECOGNITION_MAPPING_NAMES": "text recognition",
    "MODEL_FOR_TABLE_RECOGNITION_MAPPING_NAMES": "table recognition",
    "MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES": "video classification",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES": "image-text to text",
    "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES": "multimodal text generation",
    "MODEL_FOR_VISUAL_QUESTION_ANSWERING_MAPPING_NAMES": "visual question answering",
    "MODEL_FOR_DOCUMENT_QUESTION_ANSWERING_MAPPING_NAMES": "document question answering",
    "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES": "speech recognition",
    "MODEL_FOR_CTC_MAPPING_NAMES": "speech recognition",
    "MODEL_FOR_RNNT_MAPPING_NAMES": "speech recognition",
    "MODEL_FOR_TDT_MAPPING_NAMES": "speech recognition",
    "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES": "audio classification",
    "MODEL_FOR_AUDIO_FRAME_CLASSIFICATION_MAPPING_NAMES": "audio frame classification",
    "MODEL_FOR_AUDIO_XVECTOR_MAPPING_NAMES": "speaker verification",
    "MODEL_FOR_TEXT_TO_SPECTROGRAM_MAPPING_NAMES": "speech synthesis",
    "MODEL_FOR_TEXT_TO_WAVEFORM_MAPPING_NAMES": "audio generation",
    "MODEL_FOR_AUDIO_TOKENIZATION_NAMES": "audio coding",
    "MODEL_FOR_TIME_SERIES_CLASSIFICATION_MAPPING_NAMES": "time series classification",
    "MODEL_FOR_TIME_SERIES_REGRESSION_MAPPING_NAMES": "time series regression",
    "MODEL_FOR_TIME_SERIES_PREDICTION_MAPPING_NAMES": "time series forecasting",
}
"""Table of `transformers.models.auto.modeling_auto` -> what its heads are for."""

_WHOLE = re.compile(r"(Model|Layer|Block|Encoder|Decoder|Backbone|Stage)$")
_IMPORT = re.compile(r"^\.\.(\w+)\.(?:modeling|modular)_\w+$")


class Parentage(NamedTuple):
    """Model types (or folders, where a class belongs to none) that a network inherits from, each sorted by name."""

    parents: tuple[str, ...]
    borrows: tuple[str, ...]


@cache
def models_folder() -> Path:
    """The folder `transformers/models` of the installed library.

    Raises:
        ImportError: transformers is not installed.
    """
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        raise ImportError("transformers is not installed; pip install transformers.")
    return Path(spec.origin).parent / "models"


@cache
def model_classes() -> dict[str, str]:
    """Model type -> class of the base model, for all types that `AutoModel` knows (the first where it has several)."""
    names = importlib.import_module("transformers.models.auto.modeling_auto").MODEL_MAPPING_NAMES
    return {key: value if isinstance(value, str) else value[0] for key, value in sorted(names.items())}


@cache
def type_folder(model_type: str) -> str:
    """Folder of `transformers/models` that a model type stands in, such as `clip` for `clip_vision_model`."""
    auto = importlib.import_module("transformers.models.auto.configuration_auto")
    return str(auto.model_type_to_module_name(model_type))


@cache
def _types_of_folder() -> dict[str, dict[str, str]]:
    """Folder -> prefix of class names -> model type."""
    folders: dict[str, dict[str, str]] = {}
    for model_type, name in model_classes().items():
        folders.setdefault(type_folder(model_type), {})[name.removesuffix("Model")] = model_type
    return folders


def owner_of(folder: str, class_name: str) -> str:
    """Model type that a class belongs to: the longest class prefix of its folder; the folder where none fits."""
    known = _types_of_folder().get(folder, {})
    if len(known) == 1:
        return next(iter(known.values()))
    fitting = [prefix for prefix in known if class_name.startswith(prefix)]
    return known[max(fitting, key=len)] if fitting else folder


@cache
def _inherited(folder: str) -> tuple[tuple[str, str, str], ...]:
    """(class, folder of a base class, base class) for every class of a modular file that inherits from elsewhere."""
    path = models_folder() / folder / f"modular_{folder}.py"
    if not path.exists():
        return ()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    origin: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (found := _IMPORT.match("." * node.level + (node.module or ""))):
            origin |= {alias.asname or alias.name: found[1] for alias in node.names}
    return tuple(
        (node.name, origin[base.id], base.id)
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name) and base.id in origin
    )


@cache
def parentage(model_type: str) -> Parentage:
    """Direct parents of a model type by the modular file of its folder; both empty where there is no such file."""
    folder = type_folder(model_type)
    parents: set[str] = set()
    borrows: set[str] = set()
    for name, base_folder, base in _inherited(folder):
        if base_folder == folder or owner_of(folder, name) != model_type or base.endswith("PreTrainedModel"):
            continue
        if not re.search(r"(ModelOutput|Output|OutputWithPast|For[A-Z]\w+|Kwargs|Cache)$", base):
            (parents if _WHOLE.search(base) else borrows).add(owner_of(base_folder, base))
    return Parentage(tuple(sorted(parents)), tuple(sorted(borrows - parents)))


@cache
def parent_folders(folder: str) -> frozenset[str]:
    """Folders that whole layers or networks of a folder's modular file inherit from directly."""
    return frozenset(
        base_folder
        for _, base_folder, base in _inherited(folder)
        if _WHOLE.search(base) and not base.endswith("PreTrainedModel") and base_folder != folder
    )


@cache
def tasks(model_type: str) -> tuple[str, ...]:
    """Tasks that the library has a head for, sorted."""
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    return tuple(sorted({task for table, task in TASK_TABLES.items() if model_type in getattr(auto, table, ())}))


@cache
def _sources(folder: str) -> str:
    """The configuration and modeling files of a folder, one after the other."""
    paths = sorted((models_folder() / folder).glob("*.py"))
    return "\n".join(
        p.read_text(encoding="utf-8") for p in paths if p.name.startswith(("configuration_", "modeling_"))
    )


def input_modalities(model_type: str) -> tuple[str, ...]:
    """What the class of a model type declares as its inputs (`input_modalities`), sorted; empty without."""
    transformers = importlib.import_module("transformers")
    try:
        declared = getattr(getattr(transformers, model_classes()[model_type]), "input_modalities", ())
    except (ImportError, AttributeError, RuntimeError):  # needs a package that is not installed
        return ()
    names = (declared,) if isinstance(declared, str) else tuple(declared or ())
    return tuple(sorted({str(name) for name in names}))


def documented_checkpoint(model_type: str) -> str | None:
    """The checkpoint that the defaults of the configuration class belong to, as it says itself; None without."""
    transformers = importlib.import_module("transformers")
    config_class = transformers.CONFIG_MAPPING[model_type].__name__
    found = re.search(
        rf'@auto_docstring\([^)]*checkpoint="([^"]+)"[^)]*\)\s*(?:@\w+\s*)*class {config_class}\b',
        _sources(type_folder(model_type)),
    )
    return found[1] if found else None


def copyright_years(folder: str) -> tuple[int, ...]:
    """Years in the copyright lines of a folder's files, ascending: of the file, not of a paper."""
    return tuple(sorted({int(year) for year in re.findall(r"^# Copyright.*?(20\d\d)", _sources(folder), re.M)}))


def installed_types() -> Iterator[str]:
    """Every model type that `AutoModel` knows, sorted."""
    yield from sorted(model_classes())
