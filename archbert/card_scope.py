"""Which part of a sentence of a card speaks of the card's own model.

What is said of other models ("unlike BERT-large with 24 layers"), of variants, of training and of what was added or
frozen is blanked, so that no claim is read from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_FAMILIES = (
    r"[\w-]*bert[\w-]*|gpt[\w.-]*|[\w-]*llama[\w.-]*|mistral[\w.-]*|mixtral[\w.-]*|m?t5[\w.-]*|flan[\w.-]*|vit[\w.-]*|"
    r"resnet[\w-]*|resnext[\w-]*|convnext[\w-]*|whisper[\w.-]*|wav2vec[\w.-]*|swin[\w-]*|deit[\w-]*|[\w-]*clip|"
    r"qwen[\w.-]*|gemma[\w.-]*|falcon[\w-]*|opt-[\w.]+|bloom[\w-]*|phi-[\w.-]+|electra[\w-]*|bart[\w-]*|mbart[\w-]*|"
    r"pegasus[\w-]*|xlnet[\w-]*|xlm[\w-]*|longformer[\w-]*|bigbird[\w-]*|mamba[\w.-]*|efficientnet[\w-]*|"
    r"mobilenet[\w-]*|vgg[\w-]*|densenet[\w-]*|inception[\w-]*|alexnet|hubert[\w-]*|pythia[\w.-]*|olmo[\w.-]*|"
    r"starcoder[\w.-]*|codellama[\w.-]*|deepseek[\w.-]*|minilm[\w.-]*|segformer[\w-]*|detr[\w-]*|beit[\w-]*|dinov?\d?"
)
_MODEL_NAME = re.compile(
    rf"(?<![\w-])(?:(?:{_FAMILIES})|[A-Za-z][\w.]*-(?:\d+(?:\.\d+)?[BbMm]|base|large|small|tiny|mini|medium|h"
    rf"uge|giant|"
    r"xl|xxl)(?:-[\w.]+)*)(?:[\s-](?:base|large|small|tiny|mini|medium|huge|giant|xl|xxl))?(?![\w-])",
    re.IGNORECASE,
)
_ARCHITECTURE_WORDS = frozenset("swiglu geglu roformer transformer conformer".split())
_ADJUNCT = r"unlike|in contrast (?:to|with)|as opposed to|compared (?:to|with)|instead of|rather than"
_CONTRAST = (
    rf"{_ADJUNCT}|in place of|versus|vs\.?|"
    r"whereas|while (?:the|its|our|their|most|many|some|other|older|larger|smaller|earlier)\b|than|"
    r"as (?:did|does|do|many as|large as|deep as|in)|replac(?:es|ing)|not to be confused with|as (?:used|found) in|"
    r"similar to|like (?:the|its|most|many|other)|outperform(?:s|ing)?|distilled from|teacher"
)
_CONTRASTED = re.compile(rf"\b(?:{_CONTRAST})\b", re.IGNORECASE)
_OPENS_ADJUNCT = re.compile(rf"\s*(?:{_ADJUNCT})\b", re.IGNORECASE)
_SIZES = re.compile(r"(?:base|large|small|tiny|mini|medium|huge|giant|xl|xxl|\d+(?:\.\d+)?[bm])$")
_SIZED_SUBJECT = re.compile(
    r"\b(?:the|a|our|its) (large|base|small|medium|tiny|mini|big|full|xl|huge|giant)(?:-sized?)? "
    r"(?:model|version|variant|one|network)\b",
    re.IGNORECASE,
)
_OTHER_SUBJECT = re.compile(
    r"\b(?:(?:the|a|an|our|their|its|another|other|previous|earlier|older|larger|smaller|bigger|original|sibling|"
    r"companion|teacher|student's|reference|baseline|dense|sparse)\s+)+(?:\w+\s+){0,2}?(?:variants?|versions?"
    r"|siblings?|teachers?|"
    r"baselines?|predecessors?|successors?|twins?|counterparts?|discriminators?|generators?|reranker|retriever|"
    r"competitors?|draft model|reward model|models in (?:the|this) family|other models?|(?:larger|smaller|bigger|"
    r"previous|earlier|older|other|original|teacher|reference) (?:models?|networks?|encoders?|releases?))\b",
    re.IGNORECASE,
)
_LINEAGE = re.compile(
    r"\b(?:based|built|builds|modelled|modeled|derived|a (?:version|variant|re-?implementation|port|member|fi"
    r"ne-?tuned "
    r"version|checkpoint) of|fine-?tun\w* (?:from|version of|of)|initiali[sz]ed (?:from|with)|follow(?:s|ing)?|"
    r"same \w+ as|is an?|architecture of|introduced as|known as|called|named|adopts?|uses? (?:the|a|an))\b"
    r"(?:\s+\S+){0,5}?\s*$",
    re.IGNORECASE,
)
_RELATIVE = re.compile(r"^[\s,]*(?:which|that|who|with|having|whose|has|have|uses|used|had|contains|comes)\b|^\s*\(",
                       re.IGNORECASE)  # fmt: skip
_SKIPPED_SECTIONS = re.compile(
    r"compar|related|other (?:models|sizes|variants)|variants|model (?:family|sizes|zoo)|available (?:models|sizes)|"
    r"results|evaluation|benchmark|performance|citation|bibtex|licen[cs]e|acknowledg|changelog|hardware|"
    r"environmental|carbon|limitations|bias|risks|intended use|how to|usage|quick ?start|training data|datasets?|"
    r"adapters?|lora|distillation|teacher",
    re.IGNORECASE,
)
_PARTIAL = re.compile(
    r"\b(?:lora|adapters?|frozen|freez(?:e|ing)|froze|unfrozen|unfroze|pruned|trainable|fine-?tun(?:e|ed|ing) (?:only|"
    r"the (?:last|top|first))|(?:last|top|first|final|bottom|upper|lower|middle|additional|extra|added|new|remaining|"
    r"only the|every|each of the) (?:\w+ )?(?:\d+|two|three|four|five|six|eight|twelve)|"
    r"\d+(?:st|nd|rd|th) layer|layer \d+|hyper-?parameters?|ablations?|experimented|tried|we also|would|could|"
    r"planned|future|upcoming|ensemble|emits?|quanti[sz]ed to|optimizer|warm-?up|learning rate|batch(?:es)?(?"
    r"![\s-]?norm)|epochs?|"
    r"steps|gpus?|tpus?|corpus|corpora|dataset|tokens of text|hours of)\b",
    re.IGNORECASE,
)


def skipped_section(section: Iterable[str]) -> bool:
    """Whether a section is about other things than the architecture, by its headings below the title."""
    return any(_SKIPPED_SECTIONS.search(title) for title in list(section)[1:])


def own_text(sentence: str, names: Iterable[str]) -> str:
    """The sentence with everything that does not speak of the card's own model blanked (lengths are kept).

    Args:
        sentence: one sentence.
        names: names of the card's own model.
    """
    text = sentence
    if _PARTIAL.search(text):
        text = _blank_clauses(text, _PARTIAL)
    own = [_letters(name) for name in names]
    for match in _MODEL_NAME.finditer(sentence):
        if _is_own(match[0], own) or match[0].lower() in _ARCHITECTURE_WORDS:
            continue
        if _LINEAGE.search(sentence[: match.start()]) and not _RELATIVE.match(sentence[match.end() :]):
            continue
        text = _blank(text, *_clause_of(sentence, match.start()))
    for pattern in (_CONTRASTED, _OTHER_SUBJECT):
        for match in pattern.finditer(sentence):
            text = _blank(text, *_clause_of(sentence, match.start()))
    for match in _SIZED_SUBJECT.finditer(sentence):
        if not any(match[1].lower() in mine for mine in own):
            text = _blank(text, *_clause_of(sentence, match.start()))
    return text


def _is_own(name: str, own: list[str]) -> bool:
    """Whether a name is one of the model's own, or of the family in one of them, with no size of another model."""
    letters = _letters(name)
    size = _SIZES.search(letters)
    if size and not any(size[0] in mine for mine in own):
        return False
    return any(
        letters == mine
        or (len(letters) >= 2 and mine.startswith(letters))
        or (len(mine) >= 4 and letters.startswith(mine))
        or (len(letters) > 3 and letters in mine)
        for mine in own
    )


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().rsplit("/", 1)[-1])


_OWN_SUBJECT = (r"(?:it|this|the model|the network|ours|our|we|here)\b|(?:and|but) (?:it|this|the model|the network|"
                r"ours|has|uses|is)\b")  # fmt: skip


def _clause_of(sentence: str, start: int) -> tuple[int, int]:
    """Where the clause that holds `start` begins and ends.

    "Unlike X with 24 layers, ..." ends at its comma; another subject ("the teacher has 12 layers, 12 heads") goes on
    to a semicolon or to a comma after which the own model is the subject again.
    """
    before = max((m.end() for m in re.finditer(r"[;:(]|,(?!\d)| - ", sentence[:start])), default=0)
    begin = before if not _HAS_VERB.search(sentence[before:start]) else start
    rest = sentence[start:]
    closing = re.search(rf";|\)|,(?!\d)(?=\s+{_OWN_SUBJECT})", rest, re.IGNORECASE)
    if closing is None and _OPENS_ADJUNCT.match(sentence[begin:]) and not sentence[:begin].strip():
        closing = re.search(r",(?!\d)(?!\s+(?:which|whose|with|who)\b)", rest)
    return begin, start + closing.start() if closing else len(sentence)


_HAS_VERB = re.compile(
    r"\b(?:has|have|is|are|uses?|with|contains?|consists|comprises|employs?|stacks|counts|takes?|needs|wins|"
    r"layers?|heads?|parameters)\b",
    re.IGNORECASE,
)


def _blank(text: str, start: int, end: int) -> str:
    return text[:start] + re.sub(r"\S", " ", text[start:end]) + text[end:]


def _blank_clauses(sentence: str, pattern: re.Pattern[str]) -> str:
    """Blanks every clause (between commas, semicolons and "and") in which a pattern occurs."""
    text, position = sentence, 0
    for part in re.split(r"(;|,(?!\d)|\band\b|\bbut\b)", sentence):
        if pattern.search(part):
            text = _blank(text, position, position + len(part))
        position += len(part)
    return text
