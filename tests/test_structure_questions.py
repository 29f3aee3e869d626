"""Questions on order and structure: read with certainty or not at all, and answered from the graph."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from archbert.answering import Answerer
from processing_archbert import ArchitectureGraph, trace
from processing_archbert.computed_answers_archbert import computed_answer
from processing_archbert.network_numbers_archbert import NetworkNumbers
from processing_archbert.structure_answers_archbert import ANSWERS
from processing_archbert.structure_questions_archbert import read_structure


class Chain(nn.Module):
    """Conv2d, ReLU, BatchNorm2d, Conv2d, ReLU, MaxPool2d, Conv2d, GELU, Linear, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 1, stride=2), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(16, 12, (3, 5), padding=(1, 2), groups=2, dilation=1), nn.GELU(),
        )  # fmt: skip
        self.head = nn.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x).flatten(1))


class Tower(nn.Module):
    """Five equal blocks with a skip connection: x + Linear(Tanh(Linear(LayerNorm(x)))), and a Softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 8)) for _ in range(5)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block(x)
        return torch.softmax(x, -1)


class Twins(nn.Module):
    """Two Linear layers at one depth, whose ReLUs meet in an addition; then a third Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.one(x)) + torch.relu(self.other(x)))


class Separable(nn.Module):
    """A Conv2d and two separable convolutions: a depthwise 3x3 with a pointwise 1x1 each."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1),
            nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


INPUTS = {"chain": (Chain, (1, 3, 8, 8)), "tower": (Tower, (1, 3, 8)), "twins": (Twins, (1, 4)),
          "separable": (Separable, (1, 3, 12, 12))}  # fmt: skip


@pytest.fixture(scope="module")
def networks() -> dict[str, NetworkNumbers]:
    torch.manual_seed(0)
    return {name: NetworkNumbers(trace(kind(), torch.zeros(size))) for name, (kind, size) in INPUTS.items()}


@pytest.mark.parametrize(
    ("question", "what", "layers", "block", "value"),
    [
        ("What comes right after the third ReLU?", "after", ["ReLU 2"], None, ""),
        ("Which operation feeds the last fully connected layer?", "before", ["Linear -1"], None, ""),
        ("What does the second-to-last softmax feed into?", "after", ["Softmax -2"], None, ""),
        ("What does the 12th attention layer read from?", "before", ["attention 11"], None, ""),
        ("Where does the output of the penultimate Conv2d go?", "after", ["Conv2d -2"], None, ""),
        ("What is the first max pooling followed by?", "after", ["max pooling 0"], None, ""),
        ("What is followed by the first max pooling?", "before", ["max pooling 0"], None, ""),
        ("Whose output does the final sigmoid linear unit (SiLU) read?", "before", ["SiLU -1"], None, ""),
        ("Which operation gives the third ReLU its input?", "before", ["ReLU 2"], None, ""),
        ("To which operation does the first GELU pass its output?", "after", ["GELU 0"], None, ""),
        ("What is fed to the last Linear?", "before", ["Linear -1"], None, ""),
        ("How many features does the third Linear produce?", "width", ["Linear 2"], None, ""),
        ("How much larger is the number of Linear layers than the number of GELUs?", "more", ["Linear", "GELU"],
         None, ""),
        ("Do the ReLUs outnumber the GELUs?", "compare", ["ReLU", "GELU"], None, ""),
        ("How many main blocks are there in a row?", "block_repeats", [], None, ""),
        ("In the fourth block, what follows the last RMS norm?", "after", ["RMSNorm -1"], 3, ""),
        ("How deep does the third RoPE lie, in steps?", "depth_of", ["RotaryEmbedding 2"], None, ""),
        ("How long is the longest path through this network?", "longest_path", [], None, ""),
        ("How many layers are on the longest path?", "path_layers", [], None, ""),
        ("How many times is the main block repeated?", "block_repeats", [], None, ""),
        ("How large is the repeated block, in layers?", "block_layers", [], None, ""),
        ("How many dense layers are in one main block?", "block_count", ["Linear"], None, ""),
        ("What is the kernel size of the first two-dimensional convolution?", "kernel", ["Conv2d 0"], None, ""),
        ("Which stride does the second 2d max pool use?", "stride", ["MaxPool2d 1"], None, ""),
        ("How many output features does the Linear layer with the largest output have?", "extreme_width", ["Linear"],
         None, "largest"),
        ("How many 3x3 convs are there?", "count_kernel", ["convolution"], None, "3*3"),
        ("How many more Linear than LayerNorm layers are there?", "more", ["Linear", "LayerNorm"], None, ""),
        ("How many fewer GELUs than ReLUs does it have?", "more", ["ReLU", "GELU"], None, ""),
        ("Does it have more than 36 SiLU activations?", "exceeds", ["SiLU"], None, "> 36"),
        ("Are there at most three group norms?", "exceeds", ["GroupNorm"], None, "<= 3"),
        ("Are there more Conv2d than Linear layers?", "compare", ["Conv2d", "Linear"], None, ""),
        ("How many layers does the first residual connection skip?", "skip_span", [], 0, ""),
        ("Which layers does the last skip connection bypass?", "skip_layers", [], -1, ""),
        ("How many scaled dot product attentions are used in this network?", "count", ["scaled_dot_product_attention"],
         None, ""),
    ],
)  # fmt: skip
def test_questions_are_read(question: str, what: str, layers: list[str], block: int | None, value: str) -> None:
    read = read_structure(question)
    assert read is not None
    named = [f"{n} {place}" if place is not None else n for _, n, place in read.layers]
    assert (read.what, named, read.block, read.value) == (what, layers, block, value)
    assert read.what in ANSWERS


@pytest.mark.parametrize(
    "question",
    [
        "What comes two steps after the third ReLU?",
        "What does not follow the third ReLU?",
        "What comes after the third ReLU of the encoder?",
        "What comes after the first two ReLU layers?",
        "What comes after the 0th ReLU?",
        "What comes after the third?",
        "What follows the last Linear in the second transformer block?",
        "What feeds from the second ReLU?",
        "What is the third ReLU fed?",
        "Which operation provides the third ReLU?",
        "How many features does the third Linear take?",
        "How much larger is the Linear than the GELU?",
        "What is the size of the main block?",
        "What comes between the first ReLU and the second ReLU?",
        "Which activation follows the third convolution?",
        "What comes after the first linear attention layer?",
        "What comes after the last attention layer norm?",
        "Does a ReLU follow the third Conv2d?",
        "How many ReLU layers come after each convolution?",
        "How many linear layers follow the last LayerNorm?",
        "How deep is the network?",
        "What is the depth of the third convolution?",
        "How wide is the last Linear?",
        "Is the longest path longer than 100 steps?",
        "How many 3x3 kernels are there?",
        "How many 3x3 or 5x5 convolutions are there?",
        "How many 3x3 convolutions have stride 2?",
        "How many convolutions do not have a 3x3 kernel?",
        "Does it have more than 36 attention heads?",
        "Does it have more than 36 million ReLU layers?",
        "How many more Linear than LayerNorm layers are in the decoder?",
        "What is the difference between ReLU and GELU?",
        "How many layers does each skip connection bypass?",
        "How many layers are in the second block?",
        "How many blocks are repeated?",
        "Which block follows the third ReLU?",
        "How was the third ReLU trained?",
        "",
    ],
)
def test_what_may_ask_for_something_else_is_not_read(question: str) -> None:
    assert read_structure(question) is None


@pytest.mark.parametrize(
    ("network", "question", "answers"),
    [
        ("chain", "What comes right after the first ReLU?", ("BatchNorm2d",)),
        ("chain", "What comes right before the first ReLU?", ("Conv2d",)),
        ("chain", "What does the GELU read?", ("Conv2d",)),
        ("chain", "Which layer follows the GELU?", ("Linear",)),
        ("chain", "What follows the last fully connected layer?", ("output",)),
        ("chain", "What feeds the first convolution?", ("input",)),
        ("chain", "What comes after the second softmax?", ("This model does not include Softmax",)),
        ("chain", "What comes after the last attention layer?", ("This model does not include an attention layer",)),
        ("chain", "How long is the longest path?", ("10",)),
        ("chain", "How many layers are on the longest path?", ("9",)),
        ("chain", "At which depth is the last ReLU, in steps of the longest path?", ("5",)),
        ("chain", "What is the kernel size of the last Conv2d?", ("3*5",)),
        ("chain", "Which stride does the second convolution use?", ("2",)),
        ("chain", "How many groups does the last convolution use?", ("2",)),
        ("chain", "How many output channels does the second Conv2d have?", ("16",)),
        ("chain", "What is the smallest number of output channels of any convolution?", ("8",)),
        ("chain", "How many 1x1 convolutions are there?", ("1",)),
        ("chain", "How many 5x5 convolutions are there?", ("0",)),
        ("chain", "How many more convolutions than Linear layers are there?", ("2",)),
        ("chain", "How many more GELU than ReLU layers are there?", ("1 fewer GELU than ReLU",)),
        ("chain", "Are there more ReLU than GELU layers?", ("yes",)),
        ("chain", "Are there more GELU than ReLU layers?", ("no",)),
        ("chain", "Does it have more than two ReLU layers?", ("no",)),
        ("chain", "Does it have at least two ReLU layers?", ("yes",)),
        ("chain", "How many groups does the group normalization use?", ("This model does not include GroupNorm",)),
        ("tower", "What comes right after the third Tanh?", ("Linear",)),
        ("tower", "What comes right after the second Linear?", ("add",)),
        ("tower", "What reads the last addition?", None),
        ("tower", "What follows the first Linear of the last block?", ("Tanh",)),
        ("tower", "What follows the last Linear of the second block?", ("add",)),
        ("tower", "How many times is the main block repeated?", ("5",)),
        ("tower", "How many layers are in one main block?", ("4",)),
        ("tower", "How many Linear layers are in the main block?", ("2",)),
        ("tower", "How many layers does the third skip connection bypass?", ("4",)),
        ("tower", "Which layers does the last skip connection bypass?", ("LayerNorm", "Linear", "Tanh")),
        ("tower", "What is the largest output width of the Linear layers?", ("32",)),
        ("tower", "By how much do the Linear layers outnumber the LayerNorm layers?", ("5",)),
        ("twins", "What feeds the last Linear?", ("add",)),
        ("separable", "How many 3x3 convolutions are there?", ("2",)),
        ("separable", "How many 1x1 convolutions are there?", ("1",)),
    ],
)
def test_answers_are_computed(
    networks: dict[str, NetworkNumbers], network: str, question: str, answers: tuple[str, ...] | None
) -> None:
    found = computed_answer(networks[network], question)
    if answers is None:
        assert found is None
        return
    assert found is not None and found.basis == "computed"
    assert tuple(answer.split(" (")[0] for answer in found.answers) == answers


@pytest.mark.parametrize(
    ("network", "question", "reason"),
    [
        ("chain", "What comes after the third ReLU?", "there are 2"),
        ("chain", "What comes before the third-to-last ReLU?", "there are 2"),
        ("chain", "What comes after the ReLU?", "say which one"),
        ("chain", "Which layer follows the last Linear?", "no layer: output"),
        ("chain", "How many times is the main block repeated?", "repeated"),
        ("chain", "How many layers does the first skip connection bypass?", "there are 0"),
        ("chain", "What is the kernel size of the last ReLU?", "no kernel"),
        ("tower", "What follows the first Linear of the sixth block?", "5 times"),
        ("tower", "How many layers does the sixth skip connection bypass?", "there are 5"),
        ("twins", "What comes after the first Linear?", "equally deep"),
        ("twins", "What comes after the second ReLU?", "equally deep"),
        ("separable", "What comes after the first separable convolution?", "two layers"),
        ("separable", "What comes after the second convolution?", "two layers"),
    ],
)
def test_what_is_not_settled_is_refused(
    networks: dict[str, NetworkNumbers], network: str, question: str, reason: str
) -> None:
    found = computed_answer(networks[network], question)
    assert found is not None and found.basis == "cannot_tell" and not found.answers and reason in found.reason


def test_what_is_counted_in_another_way_is_said(networks: dict[str, NetworkNumbers]) -> None:
    found = computed_answer(networks["separable"], "How many 1x1 convolutions are there?")
    assert found is not None and found.answers == ("1 (without 2 second steps of separable convolutions)",)
    found = computed_answer(networks["separable"], "How many more Conv2d than ReLU layers are there?")
    assert found is not None and "Sep_conv2d are not counted as Conv2d" in found.answers[0]


def test_evidence_shows_the_answer(networks: dict[str, NetworkNumbers]) -> None:
    numbers = networks["tower"]
    found = computed_answer(numbers, "What comes right after the third Tanh?")
    assert found is not None and [numbers.graph.op_types[n] for n in found.nodes] == ["Tanh", "Linear"]
    found = computed_answer(numbers, "Which layers does the first skip connection bypass?")
    assert found is not None
    assert [numbers.graph.op_types[n] for n in found.nodes] == ["LayerNorm", "Linear", "Tanh", "Linear", "add"]


def test_what_other_readers_answer_is_left_to_them(networks: dict[str, NetworkNumbers]) -> None:
    for question, kind in (("How many ReLU layers are there?", "count"), ("How many parameters?", "topic")):
        found = computed_answer(networks["chain"], question)
        assert found is not None and found.question.kind == kind


def test_a_graph_without_data_flow_has_no_order(networks: dict[str, NetworkNumbers]) -> None:
    row = networks["chain"].graph.to_row() | {"incomplete": ["data flow"]}
    found = Answerer(ArchitectureGraph.from_row(row), model=None).answer("What comes right after the first ReLU?")
    assert found.basis == "cannot_tell" and "misses" in found.reason


@pytest.mark.parametrize(
    "text", ["the first " * 28, "longest path " * 400, "3x" * 140, "<layer:ReLU> <ordinal:0>", "<ordinal:x>",
             "more than " * 30, "2d " * 95 + "convolution", "first \u2170 \u0661 ReLU", "after the \u0663th ReLU",
             "does it have more than 99999999999999999999 ReLU layers", "what follows the 99999th ReLU",
             "second " * 40],
)  # fmt: skip
def test_hostile_texts_are_read_quickly_or_not(networks: dict[str, NetworkNumbers], text: str) -> None:
    start = time.perf_counter()
    found = computed_answer(networks["chain"], text)
    assert time.perf_counter() - start < 2 and (found is None or found.basis == "cannot_tell")
