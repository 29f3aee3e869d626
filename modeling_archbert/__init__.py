"""Models that read text and neural architectures together."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from .configuration_archbert import ArchBertConfig
from .generation_archbert import ArchBertForConditionalGeneration
from .modeling_archbert import (
    ArchBertForPreTraining,
    ArchBertForSequenceClassification,
    ArchBertModel,
    ArchBertPreTrainedModel,
)
from .outputs_archbert import ArchBertAnswerOutput, ArchBertForPreTrainingOutput, ArchBertModelOutput

AutoConfig.register("archbert", ArchBertConfig, exist_ok=True)
AutoModel.register(ArchBertConfig, ArchBertModel, exist_ok=True)
AutoModelForPreTraining.register(ArchBertConfig, ArchBertForPreTraining, exist_ok=True)
AutoModelForSeq2SeqLM.register(ArchBertConfig, ArchBertForConditionalGeneration, exist_ok=True)
AutoModelForSequenceClassification.register(ArchBertConfig, ArchBertForSequenceClassification, exist_ok=True)

ArchBertConfig.register_for_auto_class()
ArchBertModel.register_for_auto_class("AutoModel")
ArchBertForPreTraining.register_for_auto_class("AutoModelForPreTraining")
ArchBertForConditionalGeneration.register_for_auto_class("AutoModelForSeq2SeqLM")
ArchBertForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")

__all__ = [
    "ArchBertAnswerOutput",
    "ArchBertConfig",
    "ArchBertForConditionalGeneration",
    "ArchBertForPreTraining",
    "ArchBertForPreTrainingOutput",
    "ArchBertForSequenceClassification",
    "ArchBertModel",
    "ArchBertModelOutput",
    "ArchBertPreTrainedModel",
]
