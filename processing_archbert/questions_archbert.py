"""The closed world of architectural question answering: question types, subjects and the list of answers.

Question types are those of the paper's Table 10 and appendix A.4. Answers are the names of layers, what a layer does,
kernel sizes as `height*width`, and that a network does not include what was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from .ops_archbert import LAYER_CATEGORIES, OPS

DILATED_CONVOLUTION = "Dil_conv2d"
SEPARABLE_CONVOLUTION = "Sep_conv2d"

LAYER_FUNCTIONS: dict[str, str] = {
    "Conv1d": "sliding learned filters along a sequence",
    "Conv2d": "sliding learned filters over the feature map",
    DILATED_CONVOLUTION: "widening the kernel by leaving gaps between its elements",
    SEPARABLE_CONVOLUTION: "splitting a convolution into a depthwise and a pointwise step to save parameters",
    "ConvTranspose2d": "enlarging the feature map with a learned fractionally strided convolution",
    "MaxPool2d": "keeping the largest value of each patch of the feature map",
    "AvgPool2d": "averaging each patch of the feature map",
    "AdaptiveAvgPool2d": "averaging the feature map down to a fixed output size",
    "BatchNorm2d": "normalizing each channel over the batch",
    "LayerNorm": "normalizing each sample over its features",
    "GroupNorm": "normalizing groups of channels of each sample",
    "RMSNorm": "rescaling features by their root mean square",
    "ReLU": "setting negative values to zero",
    "LeakyReLU": "giving negative values a small slope",
    "ELU": "bending negative values along an exponential",
    "GELU": "weighting values by the Gaussian distribution function",
    "SiLU": "multiplying values by their own sigmoid",
    "Hardswish": "approximating the swish curve piecewise linearly",
    "Hardsigmoid": "approximating the sigmoid piecewise linearly",
    "Sigmoid": "squashing values into the range from 0 to 1",
    "Tanh": "squashing values into the range from -1 to 1",
    "Softmax": "turning scores into weights that sum to one",
    "Linear": "applying a learned linear map to the features",
    "Embedding": "looking up a learned vector for each index",
    "MultiheadAttention": "attending over a sequence with several heads in one module",
    "scaled_dot_product_attention": "mixing values by the scaled similarity of queries and keys",
    "RotaryEmbedding": "encoding positions by rotating queries and keys",
    "LSTM": "carrying a gated memory cell through a sequence",
    "GRU": "carrying a gated hidden state through a sequence",
    "Upsample": "enlarging the feature map by interpolation",
}
"""Subject of `layer_function` -> the answer where the network has that layer."""

KERNEL_SUBJECTS: tuple[str, ...] = (
    "Conv1d", "Conv2d", DILATED_CONVOLUTION, SEPARABLE_CONVOLUTION, "ConvTranspose2d", "MaxPool2d", "AvgPool2d",
)  # fmt: skip
"""Subjects of `layer_kernel_sizes`."""

QUESTION_TYPES: dict[str, tuple[str, ...]] = {
    "pooling_types": (),
    "activation_types": (),
    "normalization_types": (),
    "convolution_types": (),
    "layer_types": (),
    "layer_function": tuple(LAYER_FUNCTIONS),
    "layer_kernel_sizes": KERNEL_SUBJECTS,
    "kernel_sizes": (),
    "normalization_after_convolution": (),
    "activation_after_convolution": (),
}
"""Question type -> its subjects; empty for types that are asked of the whole network."""

LAYER_NAMES: tuple[str, ...] = tuple(
    dict.fromkeys(
        name
        for category in LAYER_CATEGORIES
        for name in [s.name for s in OPS.values() if s.category == category]
        + ([DILATED_CONVOLUTION, SEPARABLE_CONVOLUTION] if category == "convolution" else [])
    )
)
"""Every name that a layer can be given in an answer."""

NOTHING_OF: dict[str, str] = {
    "pooling_types": "a pooling layer",
    "activation_types": "an activation layer",
    "normalization_types": "a normalization layer",
    "convolution_types": "a convolution layer",
    "layer_types": "a known layer",
    "kernel_sizes": "a layer with a kernel",
    "normalization_after_convolution": "a normalization layer after a convolution",
    "activation_after_convolution": "an activation layer after a convolution",
}


def absent(what: str) -> str:
    """The answer that says that a network has no `what`."""
    return f"This model does not include {what}"


def consistent(answers: Sequence[str]) -> list[int]:
    """The places of answers that agree with the first: a denial stands alone, and beside others there is none.

    Args:
        answers: of one question, the most likely first.
    """
    denies = [answer.startswith(absent("")) for answer in answers]
    return [place for place, denial in enumerate(denies) if place == 0 or not (denial or denies[0])]


KERNEL_ANSWERS: tuple[str, ...] = (
    *(f"{k}*{k}" for k in range(1, 33)),
    *(f"1*{k}" for k in range(2, 33)),
    *(f"{k}*1" for k in range(2, 17)),
)

_ABSENT_SUBJECTS = tuple(dict.fromkeys((*LAYER_FUNCTIONS, *KERNEL_SUBJECTS)))

ANSWERS: tuple[str, ...] = (
    *LAYER_NAMES,
    *LAYER_FUNCTIONS.values(),
    *KERNEL_ANSWERS,
    *(absent(subject) for subject in _ABSENT_SUBJECTS),
    *(absent(what) for what in NOTHING_OF.values()),
)
"""Every answer, in the order of the model's labels."""
ANSWER_INDEX: dict[str, int] = {answer: index for index, answer in enumerate(ANSWERS)}

ANSWER_GROUPS: tuple[str, ...] = ("name", "function", "kernel", "absent")


def answer_links() -> list[tuple[int, str, str, int, int]]:
    """What each answer has to do with nodes, in the order of `ANSWERS`.

    Returns:
        One `(group, op_type, convolution, kernel_h, kernel_w)` per answer: the index of its group in `ANSWER_GROUPS`;
        the op type of the nodes it speaks of ("" for none); for convolutions in two dimensions `"dilated"`,
        `"separable"` or `"plain"`, else ""; the kernel size it names (0 = none).
    """
    links = []
    for answer in ANSWERS:
        if answer in LAYER_NAMES:
            links.append((0, *_node_kind(answer), 0, 0))
        elif answer in KERNEL_ANSWERS:
            height, width = (int(k) for k in answer.split("*"))
            links.append((2, "", "", height, width))
        elif answer in LAYER_FUNCTIONS.values():
            subject = next(s for s, phrase in LAYER_FUNCTIONS.items() if phrase == answer)
            links.append((1, *_node_kind(subject), 0, 0))
        else:
            subject = answer.removeprefix(absent(""))
            links.append((3, *(_node_kind(subject) if subject in LAYER_NAMES else ("", "")), 0, 0))
    return links


def _node_kind(layer: str) -> tuple[str, str]:
    special = {DILATED_CONVOLUTION: "dilated", SEPARABLE_CONVOLUTION: "separable", "Conv2d": "plain"}
    if layer in special:
        return "Conv2d", special[layer]
    return layer, ""
