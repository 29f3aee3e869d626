"""Names of models in texts: a sentence that names one gives its architecture away."""

from __future__ import annotations

import re
from collections.abc import Iterable

COMMON_WORDS = frozenset(
    "openai to align bark bit bridge canine chameleon clip codegen cohere data dab dia dots edge ernie fast "
    "flow focal fuyu funnel fusion git glm graph hiera informer jamba kosmos led longformer lite mega mask "
    "mimi mini mobile moonshine nat nano nemotron opt owl palm parakeet patch perceiver persimmon phi pop pix "
    "prompt reformer sam seed seamless segment sew small smart splinter star switch table tapas time track tvp "
    "unified van video vision vit vilt voc wav xmod zoe base large tiny medium huge giant text audio image "
    "encoder decoder model net open deep swin mamba dino sparse dense context super point depth anything got "
    "ocr dpt dit pp light glue style visual time-series transformer speech grounding music gen stable code "
    "llama2 cross vocos omni next".split()
)
"""Words that also stand in names: in lower case they are no name."""
WELL_KNOWN = (
    "BERT", "RoBERTa", "GPT", "GPT-2", "LLaMA", "Llama", "Mistral", "Mixtral", "Gemma", "Qwen", "T5", "BART", "ResNet",
    "VGG", "AlexNet", "DenseNet", "MobileNet", "EfficientNet", "Inception", "GoogLeNet", "SqueezeNet", "ShuffleNet",
    "ConvNeXt", "RegNet", "Swin", "ViT", "DeiT", "BEiT", "DINO", "CLIP", "SigLIP", "Whisper", "HuBERT", "Wav2Vec",
    "wav2vec 2.0", "Mamba", "RWKV", "DETR", "YOLO", "Mask R-CNN", "Faster R-CNN", "RetinaNet", "U-Net", "DeepLab",
    "LLaVA", "BLIP", "Flamingo", "Falcon", "OPT", "BLOOM", "DeepSeek", "Phi", "XLNet", "ELECTRA", "ALBERT", "DeBERTa",
    "SAM", "MaxViT", "Reformer", "Longformer", "BigBird", "Pegasus", "Marian", "FCOS", "SSD", "LR-ASPP", "RAFT",
)  # fmt: skip
"""Names that people know, whatever the registry calls them."""


class NameFinder:
    """Finds names of models and families in texts.

    Args:
        names: names of the registry: families, members, model types.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        exact: set[str] = set()
        loose: set[str] = set()
        for name in (*names, *WELL_KNOWN):
            parts = [part for part in re.split(r"[-_ .]", name) if part]
            plain = name.lower() in COMMON_WORDS or len(name) < 4 or all(p.lower() in COMMON_WORDS for p in parts)
            (exact if plain else loose).add(r"[-_ .]?".join(re.escape(part) for part in parts))
        self._exact = _alternatives({p if not p.islower() else p.upper() for p in exact})
        self._loose = _alternatives(loose, re.IGNORECASE)

    def find(self, text: str) -> str | None:
        """The first name in a text; None without one."""
        match = self._loose.search(text) or self._exact.search(text)
        return match.group(0) if match else None


def _alternatives(patterns: Iterable[str], flags: int = 0) -> re.Pattern[str]:
    ordered = sorted(patterns, key=lambda p: (-len(p), p)) or ["(?!)"]
    return re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(ordered)})(?![A-Za-z0-9])", flags)
