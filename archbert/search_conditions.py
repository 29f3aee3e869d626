"""What a text that is searched for says of a network, as conditions over the rows of an index.

"a small vision transformer with fewer than 50M parameters" has three: it reads images, it is a transformer, its
parameters are below 50 million; and one word, "small", that depends on what else is found.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from processing_archbert.caption_words_archbert import number_named
from processing_archbert.network_properties_archbert import groups_in
from processing_archbert.number_questions_archbert import number_noun, plain_question

from .card_claims import read_claims

Row = Mapping[str, Any]
"""The facts of a row: its columns without the embedding; `quantities` is read from its JSON."""
_SAME_SIZE = 0.1
"""Relative difference up to which a number of parameters, FLOPs or bytes is the one that is asked for."""


class Condition(NamedTuple):
    """One thing that a text says.

    Attributes:
        words: how it is shown.
        check: whether a row fulfils it; None where that is not known.
        strict: whether rows that do not are left out (comparisons and what is denied), or stand behind the others.
    """

    words: str
    check: Callable[[Row], bool | None]
    strict: bool = False


class Sought(NamedTuple):
    """A text, read.

    Attributes:
        conditions: what it says.
        size: the share of the fitting networks, by number of parameters, that it means: from and to; None for all.
        words: words that are left, in lower case.
        likeness: a name whose likes are sought; empty for none.
        than: `smaller` or `larger` than that, or empty.
    """

    conditions: tuple[Condition, ...]
    size: tuple[float, float] | None
    words: tuple[str, ...]
    likeness: str = ""
    than: str = ""


_SIZES: tuple[tuple[str, tuple[float, float]], ...] = (
    (r"tiny|nano|micro|very small|smallest|ultra light(?:weight)?", (0.0, 0.1)),
    (r"small|little|light(?:weight)?|compact|efficient|mobile|low cost|cheap|fast", (0.0, 1 / 3)),
    (r"medium(?: sized?)?|mid sized?|moderate(?: sized?)?", (1 / 3, 2 / 3)),
    (r"huge|giant|gigantic|very large|very big|largest|biggest|enormous", (0.9, 1.0)),
    (r"large|big|heavy", (2 / 3, 1.0)),
)
_FAMILIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("hybrid", r"hybrids?(?: of convolutions? and (?:self )?attention)?|conv(?:olution)?s? (?:and|plus|with) "
               r"(?:self )?attention|convolutional transformers?", ("hybrid",)),
    ("transformer", r"transformers?", ("transformer",)),
    ("convolutional", r"convolutional(?: neural)?(?: net(?:work)?s?)?|conv ?nets?|cnns?|fully convolutional",
     ("convolutional",)),
    ("recurrent", r"recurrent(?: neural)?(?: net(?:work)?s?)?|rnns?", ("recurrent",)),
    ("state-space", r"state space(?: models?)?|ssms?", ("state-space",)),
)  # fmt: skip
_MODALITIES = (
    ("vision", r"vision|visual|images?|pictures?|video|computer vision"),
    ("text", r"texts?|language(?: models?)?|nlp|lms?|chat|textual|sentences?"),
    ("audio", r"audio|speech|sound|acoustic|asr|voice"),
)
_READ = {"vision": "images", "text": "text", "audio": "sound"}
_MULTIMODAL = r"multi ?modal"
_KINDS = (
    ("encoder-decoder", r"encoder decoders?|sequence to sequence|seq2seq|encoder and (?:a )?decoder"),
    ("encoder-only", r"encoder only|bert (?:style|like)|masked language|encoders?"),
    ("decoder-only", r"decoder only|gpt (?:style|like)|autoregressive|causal language|generative|decoders?|llms?"),
)
_MORE_PROPERTIES = (
    ("squeeze-and-excitation", r"squeeze (?:and )?excit(?:ation|e)|se blocks?|channel attention"),
    ("mixture of experts", r"moe|mixture of experts|sparse experts?|experts"),
    ("sliding-window attention", r"sliding window|local attention|windowed attention"),
    ("grouped-query attention", r"gqa|grouped quer(?:y|ies)"),
    ("multi-query attention", r"mqa|multi query"),
    ("rotary position embeddings", r"rope|rotary(?: positions?| embeddings?)?"),
    ("learned position embeddings", r"(?:learned|absolute) positions?(?: embeddings?)?"),
    ("skip connections", r"residual(?: connections?| blocks?| networks?)?|skip connections?|shortcuts?"),
    ("cross-attention", r"cross attention"),
    ("causal attention", r"causal"),
    ("bidirectional attention", r"bidirectional(?: attention)?"),
    ("linear layers without bias", r"without bias(?:es)?|no bias(?:es)?|bias free"),
    ("attention", r"self attention|attention"),
    ("pooling", r"pooling"),
    ("normalization", r"normali[sz]ation(?: layers?)?|norm layers?"),
    ("convolution", r"convolutions?"),
)
_PURPOSES = (
    ("detection", r"(?:object )?detect(?:ion|ors?|s)",
     r"detr|rcnn|retinanet|fcos|ssd|yolo|owl|grounding|deta|dfine|d_fine"),
    ("segmentation", r"(?:semantic |image |instance )?segment(?:ation|s|er)",
     r"seg|mask|deeplab|fcn|lraspp|sam|upernet|oneformer|clipseg|eomt"),
    ("depth", r"depth estimation|monocular depth", r"depth|dpt|glpn"),
)  # fmt: skip
"""What the name alone tells: purpose, its words, parts of names."""
_RELATIONS: tuple[tuple[str, Callable[[Any, Any], bool], str], ...] = (
    (">=", operator.ge, r">=|at least|no (?:fewer|less) than|minimum(?: of)?|from"),
    ("<=", operator.le, r"<=|at most|no more than|up to|maximum(?: of)?"),
    (">", operator.gt, r">|more than|over|above|greater than|larger than|bigger than|exceeding"),
    ("<", operator.lt, r"<|fewer than|less than|under|below|smaller than"),
)
_BETWEEN = (
    r"\b(?:between|from) (?P<low>\d+(?:\.\d+)?) ?(?P<first>[kmbgt])?(?:illion)? (?:and|to) "
    r"(?P<high>\d+(?:\.\d+)?) ?(?P<second>[kmbgt])?(?:illion)?(?!\w)"
)
_WORD_NUMBER = r"\d+(?:\.\d+)?|two|three|four|five|six|seven|eight|nine|ten|twelve|sixteen|twenty"
_AMOUNT = rf"(?P<number>{_WORD_NUMBER}) ?(?P<unit>k|m|b|g|t|thousand|million|billion|trillion|gb|mb|gib|mib)?(?![\w.])"
_UNITS = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "b": 1e9, "billion": 1e9, "g": 1e9, "t": 1e12,
          "trillion": 1e12, "gb": 1e9, "mb": 1e6, "gib": 2**30, "mib": 2**20}  # fmt: skip
_ROUGH = ("parameters", "flops", "macs", "weight_bytes", "kv_cache")
_COLUMNS = {"parameters": "parameters", "flops": "flops", "weight_bytes": "weight_bytes",
            "kv_cache": "kv_cache_bytes_per_token"}  # fmt: skip
_DENIED = re.compile(r"\b(?:no|not|without|lacking|excluding|except)(?: any| a| an| the| using)*$")
_STOP = frozenset(
    "a an the of with and or in on for to by that which it is are was be has have having uses use using used from "
    "as at than i want need find show me give some any model models network networks net nets neural architecture "
    "architectures based like style kind type types something similar but one ones layer layers size sized good "
    "best please can could do does not no without only more less many number its their this these per each "
    "parameters params reads read takes take".split()
)
_LIKE = re.compile(
    r"(?<![\w-])(?:like|similar to|such as|comparable to|close to|resembling)(?: a| an| the)? (?P<name>[\w./:-]+)"
)
_STYLE = re.compile(r"(?<![\w-])(?P<name>[a-z][\w.]*)[- ](?:like|style|type)\b")
_THAN = (
    ("smaller", r"smaller|lighter|fewer parameters|less parameters"),
    ("larger", r"larger|bigger|more parameters"),
)


def read_sought(text: str) -> Sought:
    """What a text says of the networks that are sought.

    Args:
        text: a text in English.
    """
    likeness = _LIKE.search(text.lower()) or _STYLE.search(text.lower())
    plain = plain_question(text.replace("≤", "<=").replace("≥", ">="))
    plain = re.sub(r"(?<=[\w])(<=|>=|<|>)|(<=|>=|<|>)(?=[\w])", r" \1\2 ", plain)
    plain = re.sub(r"\b(\d+) ?x ?\1\b", r"\1", plain)
    reader = _Reader(re.sub(r"\s+", " ", plain))
    reader.both()
    reader.numbers()
    reader.properties(text)
    reader.tables()
    words = tuple(w for w in re.findall(r"[a-z][a-z\d]+|\d+", reader.left) if w not in _STOP)
    return Sought(tuple(reader.found.values()), reader.size, words, likeness["name"] if likeness else "", reader.than)


class _Reader:
    """Takes what it understands out of `left`."""

    def __init__(self, plain: str) -> None:
        self.left = plain
        self.found: dict[str, Condition] = {}
        self.size: tuple[float, float] | None = None
        self.than = ""

    def add(self, condition: Condition) -> None:
        self.found.setdefault(condition.words, condition)

    def take(self, start: int, end: int) -> None:
        self.left = f"{self.left[:start]} {self.left[end:]}"

    def both(self) -> None:
        """What joins two things whose words mean something else alone."""
        if self._taken(_MULTIMODAL):
            self.add(Condition("several modalities", _several))
        self._family(*_FAMILIES[0])

    def numbers(self) -> None:
        """Comparisons and plain numbers, before or behind what they count."""
        while match := re.search(_BETWEEN, self.left):
            unit = match["second"] or ""
            low = f"{match['low']}{match['first'] or unit}"
            self.left = f"{self.left[: match.start()]}>= {low} {{}} <= {match['high']}{unit}{self.left[match.end() :]}"
            noun = re.match(r"(?:\s*[a-z_]\w*){0,2}", self.left.partition("<=")[2].strip().partition(" ")[2])
            self.left = self.left.replace("{}", noun[0].strip() if noun else "")
        for sign, compare, words in _RELATIONS:
            while match := next(self._amounts(rf"(?:{words}) ?{_AMOUNT}"), None):
                self._compared(match, sign, compare)
        for match in list(self._amounts(_AMOUNT)):
            self._counted(match)
        while match := next(self._amounts(_AMOUNT), None):
            self.left = f"{self.left[: match.start()]}#{self.left[match.start() :]}"
        self.left = self.left.replace("#", "")

    def _amounts(self, pattern: str) -> Iterator[re.Match[str]]:
        return re.finditer(rf"(?<![\w#.-])(?:{pattern})", self.left)

    def _compared(self, match: re.Match[str], sign: str, compare: Callable[[Any, Any], bool]) -> None:
        name, start, end = self._noun(match)
        if not name and match["unit"]:
            name = "weight_bytes" if match["unit"].endswith("b") and len(match["unit"]) > 1 else "parameters"
        self.take(start, end)
        if name:
            value = _number(match) * _prefix(self.noun)
            check = _comparing(name, lambda v: compare(v, value))
            self.add(Condition(f"{name.replace('_', ' ')} {sign} {value:,.0f}", check, True))

    def _counted(self, match: re.Match[str]) -> None:
        name, start, end = self._noun(match)
        if not name and match["unit"] in ("m", "b", "million", "billion"):
            name = "parameters"
        if not name:
            return
        value = _number(match) * _prefix(self.noun)
        near = _SAME_SIZE * value if name in _ROUGH else 0
        self.left = self.left[:start] + " " * (end - start) + self.left[end:]
        check = _comparing(name, lambda v: abs(v - value) <= near)
        self.add(Condition(f"{name.replace('_', ' ')} = {value:,.0f}", check))

    def _noun(self, match: re.Match[str]) -> tuple[str, int, int]:
        """The number that is meant, by the words behind the amount or before it, and the place of all."""
        self.noun = ""
        behind = re.findall(r"\s*[a-z_][\w]*", self.left[match.end() : match.end() + 60])
        for count in range(min(4, len(behind)), 0, -1):
            phrase = "".join(behind[:count])
            if self.left.startswith(phrase, match.end()) and (name := _counted_by(phrase.strip())):
                self.noun = phrase.strip()
                return name, match.start(), match.end() + len(phrase)
        before = self.left[: match.start()].rstrip()
        before = re.sub(r"(?: (?:of|is|are|equal to|=))+$", "", before)
        words = before.split(" ")
        for count in range(min(4, len(words)), 0, -1):
            phrase = " ".join(words[-count:])
            if phrase and (name := _counted_by(phrase)):
                self.noun = phrase
                return name, len(before) - len(phrase), match.end()
        return "", match.start(), match.end()

    def properties(self, text: str) -> None:
        """Properties and groups of layers, stated or denied."""
        for claim in read_claims(text):
            if claim.kind == "holds":
                self._property(claim.name, bool(claim.value), plain_question(claim.text))
        for start, end, name in reversed(groups_in(self.left)):
            self._property(name, not _DENIED.search(self.left[:start].rstrip()), self.left[start:end])
        for name, words in (*_KINDS, *_MORE_PROPERTIES):
            if name == "encoder-only" and "encoder-decoder" in self.found:
                continue
            while match := re.search(rf"(?<![\w])(?:{words})(?![\w])", self.left):
                denied = _DENIED.search(self.left[: match.start()].rstrip())
                kind = name in ("encoder-only", "decoder-only") and not re.search(r"only|like|style|llm", match[0])
                self._property(name, not denied, match[0], part=kind)

    def _property(self, name: str, wanted: bool, words: str, part: bool = False) -> None:
        place = self.left.find(words)
        if place >= 0:
            self.take(place, place + len(words))
        if wanted:
            self.add(Condition(name, partial(_has, name=name, part=part)))
        else:
            self.add(Condition(f"no {name}", lambda row: _absent(row, name), True))

    def tables(self) -> None:
        """Modalities, families, purposes, sizes."""
        for name, words in _MODALITIES:
            if self._taken(words):
                self.add(Condition(f"reads {_READ[name]}", partial(_reads, modality=name)))
        for family in _FAMILIES[1:]:
            self._family(*family)
        if self._taken(r"classif(?:iers?|ication|ies)"):
            self.add(Condition("classifier", lambda row: bool(row["quantities"].get("classes")) or None))
        for name, words, parts in _PURPOSES:
            if self._taken(words):
                self.add(Condition(name, partial(_named, parts=re.compile(parts))))
        for than, words in _THAN:
            self.than = than if self._taken(words) else self.than
        bounded = any(words.startswith(("parameters <", "parameters >")) for words in self.found)
        for words, share in _SIZES:
            if self._taken(words) and self.size is None and not bounded:
                self.size = share

    def _family(self, name: str, words: str, families: tuple[str, ...]) -> None:
        if self._taken(words):
            self.add(Condition(name, partial(_belongs, families=families)))

    def _taken(self, words: str) -> bool:
        pattern = rf"(?<![\w])(?:{words})(?![\w])"
        found = re.search(pattern, self.left) is not None
        self.left = re.sub(pattern, " ", self.left)
        return found


def _counted_by(noun: str) -> str:
    return _SHORT_NOUNS.get(noun, "") or number_noun(noun)


_SHORT_NOUNS = {"patch": "patch", "patches": "patch", "pixel patches": "patch", "window": "window"}
"""What is clear beside a number, and not in a question."""


def _number(match: re.Match[str]) -> float:
    number = match["number"]
    plain = number_named(number) if number.isalpha() else float(number)
    return float(plain or 0) * _UNITS.get(match["unit"] or "", 1)


def _prefix(noun: str) -> float:
    """What a prefix of FLOPs multiplies by."""
    match = re.fullmatch(r"([gmt])(?:flops?|macs?)", noun)
    return {"g": 1e9, "m": 1e6, "t": 1e12}[match[1]] if match else 1.0


def values_of(row: Row, name: str) -> list[float] | None:
    """The values of a number in a row; None where they are not known."""
    if name == "macs":
        return None if row["flops"] is None else [row["flops"] / 2]
    if name in _COLUMNS:
        value = row[_COLUMNS[name]]
        return None if value is None else [value]
    found: list[float] | None = row["quantities"].get(name)
    if name == "layers" and row["family"] == "convolutional":  # people count convolutions there, not blocks
        found = row["quantities"].get("depth", found)
    return found


def _comparing(name: str, compare: Callable[[float], bool]) -> Callable[[Row], bool | None]:
    """Whether any part of a network has such a number."""

    def check(row: Row) -> bool | None:
        values = values_of(row, name)
        return None if values is None else any(compare(value) for value in values or [0])

    return check


def _has(row: Row, name: str, part: bool) -> bool | None:
    """Whether a property holds; of a part ("a decoder") it is open where the network has the other one too."""
    if not row["properties"] or (part and "encoder-decoder" in row["properties"]):
        return None
    return name in row["properties"]


def _absent(row: Row, name: str) -> bool | None:
    if not row["properties"]:
        return None
    return name not in row["properties"]


def _modalities(row: Row) -> frozenset[str]:
    if row["modalities"]:
        return frozenset(row["modalities"])
    return frozenset(["vision"] if row["library"].startswith(("timm", "torchvision")) else [])


def _reads(row: Row, modality: str) -> bool | None:
    found = _modalities(row)
    return None if not found else modality in found


def _belongs(row: Row, families: tuple[str, ...]) -> bool | None:
    """Whether a network is of one of the families; of one with convolutions and attention that is open."""
    return None if row["family"] == "hybrid" and "hybrid" not in families else row["family"] in families


def _several(row: Row) -> bool | None:
    return len(_modalities(row)) > 1 if row["modalities"] else None


def _named(row: Row, parts: re.Pattern[str]) -> bool:
    return any(parts.search(name.lower()) for name in (row["name"], *row["aliases"]))
