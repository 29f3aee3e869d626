"""Questions of AutoNet-AQA (paper, section 4.2.1, Table 10 and appendix A.4).

* Every question type of `processing_archbert.questions_archbert` has eighteen or more forms and two or three that only
  the splits beside train use, so that a model meets wordings that it has not been trained on.
* Forms are filled with a name of the network and, where a type has subjects, a name of the layer.
* A text belongs to exactly one intent, that is to one question type and subject.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from processing_archbert.graph_facts_archbert import GraphFacts
from processing_archbert.questions_archbert import QUESTION_TYPES

from .layer_phrases_autonet import LAYER_PHRASES, noun_phrase, with_article

QUESTIONS_PER_ARCHITECTURE = 35
SPLITS = ("train", "validation", "test")

NETWORK_NAMES: tuple[str, ...] = (
    "this neural architecture", "this neural network", "this architecture", "this network", "this model",
    "this neural network model", "the network", "the model", "the given architecture",
)  # fmt: skip

_FORMS: dict[str, tuple[str, ...]] = {
    "pooling_types": (
        "what type of pooling is used in {net}?",
        "what types of pooling layers does {net} have?",
        "which pooling layers are used in {net}?",
        "which kinds of pooling does {net} use?",
        "what pooling modules can be found in {net}?",
        "name the pooling layers of {net}",
        "how does {net} pool its features?",
        "list every pooling operation of {net}",
        "what pooling is there in {net}?",
        "which pooling does {net} rely on?",
        "by what kind of pooling does {net} shrink its feature maps?",
        "give the pooling layers of {net}",
        "I would like to know the pooling used by {net}",
        "state the types of pooling in {net}",
        "what pooling operators does {net} employ?",
        "can you name the pooling of {net}?",
        "pooling layers of {net}?",
        "what does {net} use for pooling?",
        "of which type are the pooling layers of {net}?",
    ),
    "activation_types": (
        "what type of activation is used in {net}?",
        "which activation functions does {net} use?",
        "what activation layers are in {net}?",
        "which nonlinearities are used in {net}?",
        "name the activation functions of {net}",
        "what kinds of activation modules does {net} contain?",
        "list every activation layer of {net}",
        "what are the activations of {net}?",
        "which activation is applied in {net}?",
        "which activations does {net} rely on?",
        "give the activation functions of {net}",
        "I would like to know the activations used by {net}",
        "state the types of activation in {net}",
        "what activation functions does {net} employ?",
        "can you name the nonlinearities of {net}?",
        "activation layers of {net}?",
        "what does {net} use as activation function?",
        "of which type are the activations of {net}?",
        "what nonlinearity is found in {net}?",
    ),
    "normalization_types": (
        "what type of normalization is used in {net}?",
        "which normalization layers does {net} use?",
        "what kinds of normalization modules are in {net}?",
        "how does {net} normalize its features?",
        "name the normalization layers of {net}",
        "list every normalization layer of {net}",
        "what normalization is there in {net}?",
        "which normalization techniques are applied in {net}?",
        "what norm layers does {net} contain?",
        "which normalization does {net} rely on?",
        "give the normalization layers of {net}",
        "I would like to know the normalization used by {net}",
        "state the types of normalization in {net}",
        "what normalization does {net} employ?",
        "can you name the norm layers of {net}?",
        "normalization layers of {net}?",
        "what does {net} use for normalization?",
        "of which type is the normalization of {net}?",
        "what norm is found in {net}?",
    ),
    "convolution_types": (
        "what type of convolution is used in {net}?",
        "which convolution layers does {net} use?",
        "what kinds of convolutions are in {net}?",
        "name the convolutional layers of {net}",
        "list every type of convolution of {net}",
        "what convolution modules does {net} contain?",
        "which convolutions are applied in {net}?",
        "what convolutional operations can be found in {net}?",
        "which convolutions does {net} rely on?",
        "give the convolution layers of {net}",
        "I would like to know the convolutions used by {net}",
        "state the types of convolution in {net}",
        "what convolutions does {net} employ?",
        "can you name the convolutions of {net}?",
        "convolution layers of {net}?",
        "what does {net} use for convolution?",
        "of which type are the convolutions of {net}?",
        "what kind of convolutional layer is found in {net}?",
    ),
    "layer_types": (
        "what kinds of layers are included in {net}?",
        "overall, which types of layers does {net} contain?",
        "which layers is {net} made of?",
        "name all kinds of layers of {net}",
        "list every type of layer of {net}",
        "what modules can be found in {net}?",
        "what are the layers of {net}?",
        "in general, what layers are used in {net}?",
        "which layer types does {net} have?",
        "which layers does {net} rely on?",
        "give all layers of {net}",
        "I would like to know the layers used by {net}",
        "state the types of layers in {net}",
        "what layers does {net} employ?",
        "can you name the layers that {net} consists of?",
        "layer types of {net}?",
        "what building blocks does {net} have?",
        "of which layers does {net} consist?",
        "what is {net} made from?",
    ),
    "layer_function": (
        "what does the {layer} do in {net}?",
        "what does {a_layer} perform in {net}?",
        "what is the {layer} for in {net}?",
        "what is the purpose of the {layer} in {net}?",
        "which job does the {layer} have in {net}?",
        "what is the function of the {layer} in {net}?",
        "explain what the {layer} computes in {net}",
        "why is there {a_layer} in {net}?",
        "what role does the {layer} play in {net}?",
        "for what does {net} need the {layer}?",
        "describe what {a_layer} does in {net}",
        "I would like to know what the {layer} does in {net}",
        "state the task of the {layer} in {net}",
        "how does {a_layer} act in {net}?",
        "can you explain the {layer} of {net}?",
        "purpose of the {layer} in {net}?",
        "what does {net} use {a_layer} for?",
        "why does {net} have {a_layer}?",
        "what is computed by the {layer} in {net}?",
        "what is the use of the {layer} in {net}?",
    ),
    "layer_kernel_sizes": (
        "what kernel size does the {layer} have in {net}?",
        "which kernel sizes are used by the {layer} of {net}?",
        "what is the kernel size of the {layer} in {net}?",
        "how large are the kernels of the {layer} in {net}?",
        "what {layer} kernel sizes are used in {net}?",
        "name the kernel sizes of the {layer} in {net}",
        "which {layer} kernel sizes does {net} have?",
        "list the kernel sizes of every {layer} of {net}",
        "which kernel does the {layer} rely on in {net}?",
        "give the kernel sizes of the {layer} in {net}",
        "I would like to know the kernel size of the {layer} of {net}",
        "state the sizes of the {layer} kernels in {net}",
        "what size are the kernels of the {layer} in {net}?",
        "can you name the {layer} kernel sizes of {net}?",
        "kernel sizes of the {layer} in {net}?",
        "what kernel does {net} use in the {layer}?",
        "with which kernel sizes is the {layer} of {net} applied?",
        "what kernel dimensions does the {layer} have in {net}?",
    ),
    "kernel_sizes": (
        "what kernel sizes are used in {net}?",
        "in general, which kernel sizes does {net} have?",
        "overall, what are the kernel sizes of {net}?",
        "which sizes do the kernels of {net} have?",
        "how large are the kernels in {net}?",
        "name all kernel sizes of {net}",
        "list every kernel size of {net}",
        "what sizes of kernels can be found in {net}?",
        "which kernel sizes does {net} rely on?",
        "give the kernel sizes of {net}",
        "I would like to know the kernel sizes used by {net}",
        "state all sizes of kernels in {net}",
        "what size are the kernels of {net}?",
        "can you name the kernel sizes of {net}?",
        "kernel sizes of {net}?",
        "what kernels does {net} use?",
        "of which size are the kernels in {net}?",
        "what kernel dimensions does {net} have overall?",
    ),
    "normalization_after_convolution": (
        "what type of normalization is used after convolution in {net}?",
        "which normalization layers follow a convolution in {net}?",
        "what normalization comes right after the convolutions of {net}?",
        "which normalization is applied to the output of convolutions in {net}?",
        "how are convolution outputs normalized in {net}?",
        "name the normalization layers behind convolutions in {net}",
        "after a convolution, which normalization does {net} use?",
        "what norm layers directly follow convolutional layers in {net}?",
        "which normalization does {net} rely on after its convolutions?",
        "give the normalization that follows the convolutions of {net}",
        "I would like to know the normalization after each convolution of {net}",
        "state the type of normalization behind the convolutions in {net}",
        "what normalization does {net} apply after convolving?",
        "can you name the norm that follows a convolution in {net}?",
        "normalization after convolutions in {net}?",
        "what does {net} use to normalize after a convolution?",
        "of which type is the normalization that comes after a convolution in {net}?",
        "convolutions of {net} are followed by which normalization?",
    ),
    "activation_after_convolution": (
        "what type of activation is used after convolution in {net}?",
        "which activation functions follow a convolution in {net}?",
        "what activation comes right after the convolutions of {net}?",
        "which activation is applied to the output of convolutions in {net}?",
        "name the activation layers behind convolutions in {net}",
        "after a convolution, which activation does {net} use?",
        "what nonlinearity directly follows convolutional layers in {net}?",
        "what activation layers come after convolution layers in {net}?",
        "which activation does {net} rely on after its convolutions?",
        "give the activation that follows the convolutions of {net}",
        "I would like to know the activation after each convolution of {net}",
        "state the type of activation behind the convolutions in {net}",
        "what activation does {net} apply after convolving?",
        "can you name the nonlinearity that follows a convolution in {net}?",
        "activation after convolutions in {net}?",
        "what does {net} use as activation after a convolution?",
        "of which type is the activation that comes after a convolution in {net}?",
        "convolutions of {net} are followed by which activation?",
    ),
}

_HELD_OUT_FORMS: dict[str, tuple[str, ...]] = {
    "pooling_types": ("tell me which pooling {net} makes use of", "what sort of pooling layer is part of {net}?"),
    "activation_types": ("tell me which activations {net} makes use of", "what nonlinear functions occur in {net}?"),
    "normalization_types": ("tell me which normalization {net} makes use of", "what sort of norm is part of {net}?"),
    "convolution_types": ("tell me which convolutions {net} makes use of", "what sort of convolution is in {net}?"),
    "layer_types": ("tell me which layers {net} is built from", "what is {net} composed of?"),
    "layer_function": (
        "tell me what the {layer} is used for in {net}",
        "what happens in the {layer} of {net}?",
        "what effect does {a_layer} have in {net}?",
    ),
    "layer_kernel_sizes": (
        "tell me the kernel size of the {layer} in {net}",
        "how big is the {layer} kernel of {net}?",
    ),
    "kernel_sizes": ("tell me all kernel sizes in {net}", "how big are the kernels of {net} in general?"),
    "normalization_after_convolution": (
        "tell me which normalization succeeds the convolutions in {net}",
        "once {net} has convolved its input, what normalizes the result?",
    ),
    "activation_after_convolution": (
        "tell me which activation succeeds the convolutions in {net}",
        "once {net} has convolved its input, what activation is next?",
    ),
}

_SHARES: dict[str, int] = {"layer_function": 11, "layer_kernel_sizes": 8}
_SHARE_OF_OTHERS = 2


class Question(NamedTuple):
    """A question to one architecture and its true answers, in the order of `ANSWERS`."""

    text: str
    question_type: str
    subject: str
    answers: tuple[str, ...]


def all_intents() -> list[tuple[str, str]]:
    """Every (question type, subject); the subject is empty for types that are asked of the whole network."""
    return [(kind, subject) for kind, subjects in QUESTION_TYPES.items() for subject in subjects or ("",)]


def is_held_out(split: str) -> bool:
    """Whether a split has wordings that train has not.

    Raises:
        ValueError: an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"{split!r} is no split; there are {', '.join(SPLITS)}.")
    return split != "train"


def question_forms(question_type: str, split: str) -> tuple[str, ...]:
    """Forms of a question type that a split uses; validation and test use those of train and held-out ones.

    Raises:
        ValueError: an unknown question type or split.
    """
    if question_type not in _FORMS:
        raise ValueError(f"{question_type!r} is no question type; there are {', '.join(_FORMS)}.")
    return _FORMS[question_type] + (_HELD_OUT_FORMS[question_type] if is_held_out(split) else ())


def sample_question(rng: random.Random, question_type: str, subject: str = "", split: str = "train") -> str:
    """A wording of an intent.

    Raises:
        ValueError: an unknown question type or split.
    """
    form = rng.choice(question_forms(question_type, split))
    layer = noun_phrase(rng, subject) if subject else ""
    return form.format(net=rng.choice(NETWORK_NAMES), layer=layer, a_layer=with_article(layer))


def all_questions(question_type: str, subject: str = "", split: str = "validation") -> Iterator[str]:
    """Every wording of an intent; with `split="validation"` every one that there is."""
    layers: Iterable[str] = ("",)
    if subject:
        phrases = LAYER_PHRASES[subject]
        layers = [f"{name} {noun}" for name, noun in itertools.product(phrases.names, phrases.nouns)]
    for form, net, layer in itertools.product(question_forms(question_type, split), NETWORK_NAMES, layers):
        yield form.format(net=net, layer=layer, a_layer=with_article(layer))


def sample_questions(
    rng: random.Random, facts: GraphFacts, n: int = QUESTIONS_PER_ARCHITECTURE, split: str = "train"
) -> list[Question]:
    """Unique questions to one architecture, every type among them (when `n` allows) and in random order.

    Subjects are half layers that the architecture has and half others, as far as it has any.

    Args:
        rng: source of randomness.
        facts: facts of the architecture; an incomplete graph gives no true answers and is refused.
        n: number of questions.
        split: one of `SPLITS`.

    Raises:
        ValueError: an incomplete graph, an unknown split, or `n` below 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}; 1 or more questions can be asked.")
    if facts.graph.incomplete:
        raise ValueError(f"the graph misses {', '.join(facts.graph.incomplete)}; its answers are not known.")
    chosen: dict[str, Question] = {}
    for question_type, subject in itertools.islice(_intents(rng, facts), 50 * n):
        text = sample_question(rng, question_type, subject, split)
        if text not in chosen:
            chosen[text] = Question(text, question_type, subject, facts.answer(question_type, subject).value)
        if len(chosen) == n:
            break
    questions = list(chosen.values())
    rng.shuffle(questions)
    return questions


def truth_table(facts: GraphFacts, intents: Sequence[tuple[str, str]] | None = None) -> list[tuple[str, ...]]:
    """True answers of an architecture to each intent (all of them by default), each in the order of `ANSWERS`.

    With it any set of questions can be put to any architecture, whoever it was asked of first.
    """
    return [facts.answer(*intent).value for intent in (all_intents() if intents is None else intents)]


def _intents(rng: random.Random, facts: GraphFacts) -> Iterator[tuple[str, str]]:
    """An endless mix of intents in which each round of 35 has the shares of the data set."""
    while True:
        order = [t for t in QUESTION_TYPES for _ in range(_SHARES.get(t, _SHARE_OF_OTHERS))]
        rng.shuffle(order)
        first = list(dict.fromkeys(order))
        for kind in first:
            order.remove(kind)
        subjects = {kind: _subjects(rng, facts, kind) for kind in QUESTION_TYPES}
        for kind in first + order:
            yield kind, next(subjects[kind])


def _subjects(rng: random.Random, facts: GraphFacts, question_type: str) -> Iterator[str]:
    """Subjects of a type, in turn one that the architecture has and one that it has not, each in a shuffled cycle."""
    subjects = QUESTION_TYPES[question_type]
    if not subjects:
        return itertools.repeat("")
    groups = [[s for s in subjects if bool(facts.nodes_of(s)) is present] for present in (True, False)]
    for group in groups:
        rng.shuffle(group)
    rng.shuffle(groups)
    cycles = [itertools.cycle(group) for group in groups if group]
    return (next(cycles[i % len(cycles)]) for i in itertools.count())
