"""Wordings of the questions of `aqa_hard`: forms of all splits, and forms that only validation and test have.

Slots: `{net}` a name of the network, `{layer}`, `{a_layer}`, `{layers}` a kind of layer, `{others}` a second kind,
`{category}` layers of a category, `{position}`, `{n}` a number, `{size}` a kernel.
"""

from __future__ import annotations

import random

from .hard_types_autonet import HARD_TYPES, UNKNOWABLE, UNKNOWABLE_TYPE, Subject
from .layer_phrases_autonet import CATEGORY_NAMES, noun_phrase, plural, with_article
from .questions_autonet import NETWORK_NAMES, is_held_out

Forms = tuple[tuple[str, ...], tuple[str, ...]]

_FORMS: dict[str, Forms] = {
    "count": (
        ("how many {layers} does {net} have?", "what is the number of {layers} in {net}?",
         "count the {layers} of {net}", "how often does {net} use {a_layer}?", "how many {layers} are there in {net}?",
         "give the number of {layers} in {net}"),
        ("how many times is {a_layer} run in {net}?", "tell me how many {layers} {net} contains"),
    ),
    "count_category": (
        ("how many {category} does {net} have?", "what is the number of {category} in {net}?",
         "count the {category} of {net}", "how many {category} are there in {net}?",
         "give the number of {category} in {net}"),
        ("what number of {category} does {net} run?", "tell me how many {category} {net} contains"),
    ),
    "count_kernel": (
        ("how many convolution layers of any kind have a {size} kernel in {net}?",
         "what is the number of convolution layers of any kind with a kernel of {size} in {net}?",
         "count the convolution layers of any kind whose kernel is {size} in {net}",
         "how many of all convolutions of {net} use {size} kernels?"),
        ("in how many convolutions of {net} is the kernel {size}?",
         "tell me how many convolutions of {net} come with a {size} kernel"),
    ),
    "exceeds": (
        ("does {net} have more than {n} {layers}?", "are there more than {n} {layers} in {net}?",
         "is the number of {layers} in {net} greater than {n}?", "does {net} use {a_layer} more than {n} times?",
         "does the count of {layers} in {net} exceed {n}?"),
        ("can one find over {n} {layers} in {net}?", "is {n} less than the number of {layers} in {net}?"),
    ),
    "difference": (
        ("how many more {layers} than {others} does {net} have?",
         "by how much do the {layers} of {net} outnumber its {others}?",
         "what is the difference between the numbers of {layers} and of {others} in {net}?",
         "how far are the counts of {layers} and {others} in {net} apart?"),
        ("by how many is the count of {layers} in {net} above that of {others}?",
         "how many {layers} does {net} have beyond the number of its {others}?"),
    ),
    "after": (
        ("which operation directly follows the {position} {layer} of {net}?",
         "what comes right after the {position} {layer} in {net}?",
         "what reads the output of the {position} {layer} in {net}?",
         "name what directly follows the {position} {layer} of {net}",
         "where does the output of the {position} {layer} of {net} go?"),
        ("to which operation does the {position} {layer} of {net} pass its result?",
         "what is the immediate successor of the {position} {layer} in {net}?"),
    ),
    "before": (
        ("which operation directly precedes the {position} {layer} of {net}?",
         "what comes right before the {position} {layer} in {net}?",
         "whose output does the {position} {layer} of {net} read?",
         "name what directly precedes the {position} {layer} of {net}",
         "what feeds the {position} {layer} in {net}?"),
        ("where does the {position} {layer} of {net} get its input from?",
         "what is the immediate predecessor of the {position} {layer} in {net}?"),
    ),
    "depth_of": (
        ("how many steps long is the longest path to the {position} {layer} of {net}?",
         "at which depth is the {position} {layer} of {net}, in steps of the longest path?",
         "count the steps of the longest path that leads to the {position} {layer} of {net}",
         "how deep does the {position} {layer} lie in {net}, in steps of the longest path?"),
        ("how many steps does it take at most to reach the {position} {layer} of {net}?",
         "by the longest path, how many steps into {net} does its {position} {layer} stand?"),
    ),
    "longest_path": (
        ("how many steps long is the longest path through {net}?", "how deep is {net}, in steps of its longest path?",
         "count the steps of the longest path through {net}", "what is the depth of {net} in steps?"),
        ("how many steps does it take at most to get through {net}?",
         "from its first operation to its last, how many steps does the longest path of {net} have?"),
    ),
    "block_after": (
        ("what follows the last {layer} of the {position} block of {net}?",
         "in the {position} block of {net}, what comes right after the last {layer}?",
         "which operation reads the output of the last {layer} in the {position} block of {net}?",
         "name what directly follows the last {layer} of the {position} block in {net}"),
        ("to which operation does the last {layer} in the {position} block of {net} pass its result?",
         "take the {position} block of {net}: what succeeds the last {layer} in it?"),
    ),
    "block_repeats": (
        ("how often does {net} repeat its main block?", "how many times does the main block of {net} occur in a row?",
         "what is the number of repetitions of the main block of {net}?",
         "count the repetitions of the main block in {net}"),
        ("how many copies of its main block does {net} stack?", "tell me how often the main block of {net} is run"),
    ),
    "block_layers": (
        ("how many layers are in one main block of {net}?", "how large is one main block of {net}, in layers?",
         "count the layers of one main block of {net}", "what is the number of layers in one main block of {net}?"),
        ("of how many layers is one main block of {net} made?",
         "in layers, what is the size of one main block of {net}?"),
    ),
    "skip_count": (
        ("how many skip connections of {net} end in an addition?", "how many residual additions does {net} have?",
         "count the residual additions of {net}", "what is the number of residual additions in {net}?"),
        ("how often does {net} close a skip connection with an addition?",
         "tell me how many residual additions there are in {net}"),
    ),
    "skip_span": (
        ("how many layers does the {position} skip connection of {net} bypass?",
         "over how many layers does the {position} skip connection of {net} reach?",
         "count the layers that the {position} skip connection of {net} bypasses",
         "what is the number of layers beside the {position} skip connection of {net}?"),
        ("how many layers are skipped by the {position} skip connection in {net}?",
         "the {position} skip connection of {net} goes around how many layers?"),
    ),
    "skip_layers": (
        ("which layers does the {position} skip connection of {net} bypass?",
         "what kinds of layers does the {position} skip connection of {net} bypass?",
         "name the layers that the {position} skip connection of {net} bypasses",
         "list the kinds of layers beside the {position} skip connection of {net}"),
        ("which layers are skipped by the {position} skip connection in {net}?",
         "the {position} skip connection of {net} goes around which kinds of layers?"),
    ),
    "parameters": (
        ("how many parameters does {net} have, to two significant digits?",
         "what is the number of parameters of {net}, rounded to two digits?",
         "give the parameter count of {net} to two significant digits",
         "how large is {net}, in parameters with two significant digits?"),
        ("rounded to two significant digits, how many parameters are there in {net}?",
         "tell me the number of parameters of {net} to two digits"),
    ),
    "parameters_exceed": (
        ("does {net} have more than {n} parameters?", "are there more than {n} parameters in {net}?",
         "is the number of parameters of {net} greater than {n}?", "does the parameter count of {net} exceed {n}?"),
        ("is {n} less than the number of parameters of {net}?", "is {net} larger than {n} parameters?"),
    ),
    "heaviest": (
        ("which kind of layer holds the most parameters in {net}?",
         "where do most parameters of {net} lie, by kind of layer?",
         "in which kind of layer does {net} keep the most parameters?",
         "name the kind of layer with the most parameters in {net}"),
        ("what kind of layer accounts for the most parameters of {net}?",
         "by parameters, what kind of layer weighs most in {net}?"),
    ),
    "width": (
        ("how many output features does the {position} {layer} of {net} have?",
         "what is the output width of the {position} {layer} in {net}?",
         "give the number of output features of the {position} {layer} of {net}",
         "how wide is the output of the {position} {layer} in {net}?"),
        ("what number of output features does the {position} {layer} in {net} give?",
         "tell me the output width of the {position} {layer} of {net}"),
    ),
    "extreme_width": (
        ("what is the {size} number of output features of any {layer} in {net}?",
         "how many output features does the {layer} with the {size} output have in {net}?",
         "give the {size} output width among the {layers} of {net}",
         "over all {layers} of {net}, what is the {size} output width?"),
        ("what is the {size} output width that {a_layer} of {net} has?",
         "tell me the {size} number of output features among the {layers} in {net}"),
    ),
    "kernel": (
        ("what kernel size does the {position} {layer} of {net} have?",
         "which kernel does the {position} {layer} in {net} use?",
         "how large is the kernel of the {position} {layer} in {net}?",
         "give the kernel size of the {position} {layer} of {net}"),
        ("of what size is the kernel of the {position} {layer} of {net}?",
         "tell me the kernel of the {position} {layer} in {net}"),
    ),
}  # fmt: skip
"""Type -> forms of all splits, and forms that train has not."""

_SETTING_FORMS: dict[str, Forms] = {
    "heads": (
        ("how many heads do the attention layers of {net} have?", "what is the number of attention heads in {net}?",
         "how many attention heads does {net} use?"),
        ("into how many heads is the attention of {net} split?",),
    ),
    "key and value heads": (
        ("how many key and value heads does the attention of {net} have?",
         "what is the number of key and value heads in {net}?", "how many heads for keys and values does {net} use?"),
        ("how many heads hold the keys and values in {net}?",),
    ),
    "head size": (
        ("how large is one attention head of {net}?", "what is the head size of the attention in {net}?",
         "how many features does each attention head of {net} have?"),
        ("what is the dimension of each attention head in {net}?",),
    ),
    "groups": (
        ("into how many groups do the group normalization layers of {net} divide the channels?",
         "how many groups does the group normalization of {net} use?",
         "what is the number of groups of the group norm layers in {net}?"),
        ("how many groups of channels does group normalization form in {net}?",),
    ),
    "dilation": (
        ("what is the dilation of the dilated convolutions of {net}?", "which dilation rates does {net} use?",
         "how large is the dilation of the atrous convolutions in {net}?"),
        ("by which rate are the dilated convolutions of {net} spread?",),
    ),
    "stacked layers": (
        ("how many layers does one recurrent module of {net} stack?",
         "what is the number of stacked layers in the recurrent modules of {net}?",
         "how many layers deep are the recurrent modules of {net}?"),
        ("of how many stacked layers do the recurrent modules of {net} consist?",),
    ),
    "pooling stride": (
        ("what stride do the 2d max pooling layers of {net} have?",
         "with which stride does 2d max pooling move in {net}?",
         "what is the stride of 2d max pooling in {net}?"),
        ("how far does 2d max pooling stride in {net}?",),
    ),
    "shuffle factor": (
        ("by which factor does the pixel shuffle of {net} enlarge?", "what is the pixel shuffle factor in {net}?",
         "what upscaling factor do the pixel shuffle layers of {net} have?"),
        ("how much larger does pixel shuffle make the maps in {net}?",),
    ),
}  # fmt: skip

_UNKNOWABLE_FORMS: dict[str, tuple[str, ...]] = {
    "optimizer": ("which optimizer trained {net}?", "was {net} trained with Adam or with SGD?"),
    "data": ("on which data set was {net} trained?", "what data was {net} trained on?"),
    "accuracy": ("what accuracy does {net} reach?", "how accurate is {net} on its test set?"),
    "learning rate": ("what learning rate was used for {net}?", "with which learning rate was {net} trained?"),
    "batch size": ("what was the batch size when {net} was trained?", "how large were the training batches of {net}?"),
    "epochs": ("for how many epochs was {net} trained?", "how many epochs of training did {net} see?"),
    "time": ("how long did it take to train {net}?", "how many hours of training did {net} need?"),
    "loss": ("which loss was minimized to train {net}?", "what was the final training loss of {net}?"),
    "licence": ("under which licence is {net} released?", "what licence does {net} have?"),
    "authors": ("who designed {net}?", "who are the authors of {net}?"),
    "seed": ("with which random seed was {net} initialized?", "how were the weights of {net} initialized?"),
    "hardware": ("on which hardware was {net} trained?", "how many GPUs trained {net}?"),
    "weight decay": ("how much weight decay was used to train {net}?", "what weight decay did {net} have?"),
    "dropout": ("what dropout rate was {net} trained with?", "how much dropout did {net} use in training?"),
    "precision": ("in which precision are the weights of {net} stored?", "was {net} trained in half precision?"),
    "year": ("in which year was {net} published?", "when was {net} first released?"),
}

_LAYER_SUBJECTS = (
    "count", "exceeds", "difference", "after", "before", "depth_of", "block_after", "width", "extreme_width",
    "kernel",
)  # fmt: skip


def hard_forms(question_type: str, subject: Subject, split: str) -> tuple[str, ...]:
    """Forms of a type (and of the subject, where forms are its own) that a split uses; validation and test use all.

    Raises:
        ValueError: an unknown split or type.
    """
    later = is_held_out(split)
    if question_type == UNKNOWABLE_TYPE:
        return _UNKNOWABLE_FORMS[subject[0]]
    if question_type not in HARD_TYPES:
        raise ValueError(f"{question_type!r} is no type; there are {', '.join((*HARD_TYPES, UNKNOWABLE_TYPE))}.")
    both, held_out = _SETTING_FORMS[subject[0]] if question_type == "setting" else _FORMS[question_type]
    return both + held_out if later else both


def unknowable_topics(split: str) -> tuple[str, ...]:
    """What a split asks for in vain; validation and test ask for more."""
    return UNKNOWABLE["train"] + (UNKNOWABLE["validation"] if is_held_out(split) else ())


def say_question(rng: random.Random, question_type: str, subject: Subject, split: str) -> str:
    """A wording of a question.

    Raises:
        ValueError: an unknown split or type.
    """
    form = rng.choice(hard_forms(question_type, subject, split))
    slots = {"net": rng.choice(NETWORK_NAMES)} | _slots(rng, question_type, subject)
    return form.format(**slots)


def _slots(rng: random.Random, question_type: str, subject: Subject) -> dict[str, str]:
    slots: dict[str, str] = {}
    if question_type in _LAYER_SUBJECTS:
        layer = noun_phrase(rng, subject[0])
        slots |= {"layer": layer, "a_layer": with_article(layer), "layers": plural(layer)}
    if question_type == "count_category":
        slots["category"] = _category(rng, subject[0])
    elif question_type == "difference":
        slots["others"] = plural(noun_phrase(rng, subject[1]))
    elif question_type == "exceeds":
        slots["n"] = subject[1]
    elif question_type == "parameters_exceed":
        slots["n"] = _amount(rng, int(subject[0]))
    elif question_type == "count_kernel":
        slots["size"] = subject[0].replace("*", rng.choice(("*", "x", " by ")))
    elif question_type == "extreme_width":
        slots["size"] = subject[1]
    elif question_type in ("skip_span", "skip_layers"):
        slots["position"] = subject[0]
    elif len(subject) == 2:
        slots["position"] = subject[1]
    return slots


def _category(rng: random.Random, category: str) -> str:
    name = rng.choice([name for name in CATEGORY_NAMES[category] if "any kind" not in name])
    return f"{plural(name)} of any kind"


def _amount(rng: random.Random, count: int) -> str:
    if count >= 100_000:
        return f"{count / 1e6:.10g} {rng.choice(('million', 'Million', 'M'))}"
    return f"{count / 1e3:.10g} {rng.choice(('thousand', 'K'))}"
