"""Reads questions in words about a network: which topic, of which part; certain, or silent.

A question is cut into concepts (`topic_words_archbert`). It is read where its concepts ask for one topic
(`topics_archbert`) and every other word of it changes nothing; "of the first layer", "not", or a number that nobody
expects there make the reader silent.
"""

from __future__ import annotations

import re
from functools import cache

from .number_questions_archbert import asks_yes_or_no, plain_question, without_sizes
from .topic_words_archbert import CONCEPTS, FORM_CONCEPTS
from .topics_archbert import CHOICES, TOPICS, YES_OR_NO, TopicQuestion

MAX_LENGTH = 300
_SCOPES = {"encoder": "encoder", "decoder": "decoder", "text": "text", "language": "text", "textual": "text",
           "vision": "vision", "image": "vision", "visual": "vision", "audio": "audio", "sound": "audio",
           "speech": "audio", "acoustic": "audio"}  # fmt: skip
_PART = r"(?:tower|part|branch|backbone|stack|side|encoder|decoder|component|half|module)"
_SCOPE = re.compile(
    rf"(?:(?:in|of|for|inside|within|on) )?(?:(?:the|its|this model s|each) )?(?:"
    rf"(?P<modality>text|language|textual|vision|image|visual|audio|sound|speech|acoustic) (?:{_PART})|"
    r"(?:the |its )(?P<role>encoder|decoder)(?: s)?(?: (?:tower|part|stack|side|half|layers(?= |$)))?)(?! only|"
    r" decoder|"
    r" attention)(?!\w)"
)
_NETWORK = re.compile(
    r"(?:(?:of|in|for|by|inside|within) )?(?:(?:the|this|that|a|an|our|your|its|whole|entire|given|neural|deep) )*"
    r"(?:network model|neural network|network|model|neural net|net|architecture|(?<=the )transformer|"
    r"(?<=this )transformer)(?: s)?(?! dim| width| size)(?!\w)"
)
_ROUNDED = re.compile(
    r"(?:(?:rounded )?(?:to|with) (?:two|2) (?:significant )?(?:digits|figures)|roughly|about(?! (?:the|its) )|"
    r"approximately|approximate|rounded|around|(?:two|2) (?:significant )?(?:digits|figures)|(?:in )?(?:round|"
    r"rough) (?:numbers|figures|terms)|more or less|circa|one after (?:another|the other)|in a row|on top of "
    r"each other|estimated?)"
)
_PURPOSE = re.compile(r" for$|^for what (?!kind|type)|\buse of\b|\bwhy\b")
_WIDTHS = {"1": "int8", "one": "int8", "2": "float16", "two": "float16", "4": "float32", "four": "float32"}
_BYTES_EACH = re.compile(
    r"(?:,? ?(?:at|with|in|of|using) )?(?P<bytes>one|two|four|1|2|4) bytes? (?:per|for each|for every|a|each|for one) "
    r"(?:value|number|weight|parameter|element|entry|float|scalar)|(?:at|with|in|using) (?P<other>two|2) bytes? each|"
    r"in (?P<wide>two|four) byte (?:numbers|values|floats|format|precision)"
)
_SECOND_CLAUSE = re.compile(r"[^,]*, ?(?:does|do|is|are|has|have|can|was|were)\b")
_HARMLESS = frozenset(
    "a an the this that these those of in on for to into by with from at as is are was be been being has have having "
    "had does do did can could would should i we one like know knows tell tells me us state name list say give gives "
    "show please you what which whose how it its itself given all any some used use uses using employ employs "
    "employed "
    "contain contains contained include includes there exist exists find found present make makes made need needs "
    "needed require requires required take takes taken come comes keep keeps store stores stored perform performs "
    "performed get gets work works want value figure figures exactly precisely really actually overall "
    "altogether total s hey hi so and apply applies applied built consist consists composed comprised own out "
    "run runs "
    "stand stands sit sits belong belongs between choose chooses cut cuts split splits look looks see sees process "
    "processes processed spend spends apart their they them when through within operation operations feature features "
    "information method methods mechanism scheme technique approach way function functions happen happens "
    "stack stacks stacked ones call called implemented here sits put puts "
    "convolve convolves hold holds different distinct cost costs pass passes parallel things told add adds "
    "divided anywhere somewhere ever means grow grows based fit fits reach reaches than kept fed over among "
    "compute computes computed moves once serve serves divide divides want wants carry carries carried "
    "sum amount consider considered follow follows followed work works on calculate "
    "calculates calculated deal deals offer offers possess possesses own owns allow allows build builds".split()
)


_PIXELS_OF_A_PATCH = re.compile(r"pixels? (?:per|in) (?:an? |each |every |one )?(?:image )?patch\b")
"""The side of a patch, or its area: that cannot be known."""


def read_topic(text: str) -> TopicQuestion | None:
    """What a question in words asks, where that can be read with certainty; else None.

    Args:
        text: one question in English.
    """
    plain = plain_question(text)
    if not plain or len(plain) > MAX_LENGTH or _PURPOSE.search(plain) or _PIXELS_OF_A_PATCH.search(plain):
        return None
    closed = asks_yes_or_no(text) or _SECOND_CLAUSE.match(text.lower()) is not None
    plain = _BYTES_EACH.sub(lambda match: f" in {_WIDTHS[match['bytes'] or match['other'] or match['wide']]}", plain)
    plain, tokens, dtype = without_sizes(plain)
    if tokens:
        return None
    plain = _marked(_ROUNDED.sub(" ", plain), _compiled(FORM_CONCEPTS))
    plain, scope = _without_scope(plain)
    if scope is None:
        return None
    marked = _marked(_NETWORK.sub(" ", plain), _compiled(CONCEPTS))
    concepts = frozenset(re.findall(r"<([\w-]+)>", marked))
    if any(word not in _HARMLESS for word in re.sub(r"<[\w-]+>", " ", marked).split()):
        return None
    topic = _topic(concepts)
    choice = re.search(r"\bor\b", text.lower()) is not None
    return TopicQuestion(topic, scope, dtype) if topic and _fits(topic, closed, choice) else None


def worded_topic(text: str, topic: str) -> TopicQuestion | None:
    """A question whose topic is known, with the part of the network and the data type that its words name.

    None where its words ask for less than the topic (the third layer), for several parts, for a number of tokens, or
    for yes or no where the topic is a number.

    Args:
        text: one question in English.
        topic: what it asks for, as a model reads it.
    """
    plain = plain_question(text)
    if not plain or len(plain) > MAX_LENGTH or _ONE_OF_SEVERAL.search(plain):
        return None
    closed, choice = asks_yes_or_no(text), re.search(r"\bor\b", text.lower()) is not None
    if closed and topic not in YES_OR_NO and not (choice and topic in CHOICES):
        return None
    plain = _BYTES_EACH.sub(lambda match: f" in {_WIDTHS[match['bytes'] or match['other'] or match['wide']]}", plain)
    plain, tokens, dtype = without_sizes(plain)
    _, scope = _without_scope(_marked(plain, _compiled(FORM_CONCEPTS)))
    return None if tokens or scope is None else TopicQuestion(topic, scope, dtype)


_ONE_OF_SEVERAL = re.compile(
    r"\b(?:second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|\d+(?:st|nd|rd|th)|"
    r"(?:layer|block|stage|level|head) (?:no |number )?\d+)\b(?! of a )"
)
"""Asks for one layer or stage, of which a network has many."""


@cache
def _compiled(concepts: tuple[tuple[str, str], ...]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, re.compile(rf"(?<![\w<-])(?:{phrases})(?![\w>-])")) for name, phrases in concepts)


def _marked(plain: str, concepts: tuple[tuple[str, re.Pattern[str]], ...]) -> str:
    """The text with every phrase replaced by `<concept>`."""
    plain = re.sub(r"\s+", " ", plain).strip()
    for name, pattern in concepts:
        plain = pattern.sub(f"<{name}>", plain)
    return plain


def _without_scope(plain: str) -> tuple[str, str | None]:
    """The text without the part of the network that it names, and that: empty for none, None for several."""
    found = {_SCOPES[match["modality"] or match["role"]] for match in _SCOPE.finditer(plain)}
    return _SCOPE.sub(" ", plain), None if len(found) > 1 else next(iter(found), "")


@cache
def _rules() -> tuple[tuple[str, frozenset[str], frozenset[str]], ...]:
    """Topic, what it needs, and what may be there; what is said of layers may be said of what is inside of them."""
    rules = []
    for name, asks, beside in TOPICS:
        allowed = {*asks.split(), *beside.split(), *(("inside",) if "layer" in beside.split() else ())}
        rules.append((name, frozenset(asks.split()), frozenset(allowed)))
    return tuple(rules)


@cache
def _topic(concepts: frozenset[str]) -> str:
    """The topic that most of the concepts ask for; empty for none, and for two."""
    found = {(len(asks), name) for name, asks, allowed in _rules() if asks <= concepts <= allowed}
    most = max((size for size, _ in found), default=0)
    names = [name for size, name in found if size == most]
    return names[0] if len(names) == 1 else ""


def _fits(topic: str, closed: bool, choice: bool) -> bool:
    """Whether a question for yes or no, or for one of several names, asks for the topic in that form."""
    if topic in YES_OR_NO:
        return closed
    return not closed or (choice and topic in CHOICES)
