"""Facts of hand-made graphs: the truth behind labels."""

import pytest

from processing_archbert import ANSWERS, ATTRIBUTES, QUESTION_TYPES, ArchitectureGraph, GraphFacts
from processing_archbert.ops_archbert import OPS, canonical_function_op, canonical_module_op
from processing_archbert.questions_archbert import LAYER_FUNCTIONS, answer_links


def node(op, shape=(0, 0, 0, 0), **attributes):
    return op, shape, [attributes.get(name, 0) for name in ATTRIBUTES]


def facts_of(nodes, edges=None, **fields):
    ops, shapes, attributes = zip(*nodes, strict=True)
    edges = edges if edges is not None else [(i, i + 1) for i in range(len(nodes) - 1)]
    return GraphFacts(ArchitectureGraph.build(ops, edges, shapes=shapes, attributes=attributes, **fields))


@pytest.fixture
def vision():
    """input, 7x7 conv, batch norm, ReLU, max pool, separable conv (3x3 + 1x1), dilated conv, GELU, linear, output"""
    return facts_of(
        [
            node("input"),
            node("Conv2d", (64, 3, 7, 7), kernel_h=7, kernel_w=7, groups=1),
            node("BatchNorm2d", (64, 0, 0, 0)),
            node("ReLU"),
            node("MaxPool2d", kernel_h=3, kernel_w=3),
            node("Conv2d", (64, 1, 3, 3), kernel_h=3, kernel_w=3, groups=64),
            node("Conv2d", (64, 64, 1, 1), kernel_h=1, kernel_w=1, groups=1),
            node("Conv2d", (64, 64, 5, 5), kernel_h=5, kernel_w=5, groups=1, dilation_h=2, dilation_w=2),
            node("GELU"),
            node("Linear", (10, 64, 0, 0)),
            node("output"),
        ],
        node_parameters=[0, 1000, 0, 0, 0, 0, 0, 0, 0, 180, 0],
    )


def test_dilated_and_separable_convolutions_are_facts(vision):
    assert vision.layer_kinds[1] == "Conv2d" and vision.layer_kinds[7] == "Dil_conv2d"
    assert vision.layer_kinds[5] == vision.layer_kinds[6] == "Sep_conv2d"
    assert vision.count("Sep_conv2d") == (1, (5,)) and vision.count("Conv2d") == (1, (1,))
    assert vision.num_layers().value == 8


def test_a_depthwise_convolution_without_its_pointwise_half_is_plain():
    depthwise = node("Conv2d", (8, 1, 3, 3), kernel_h=3, kernel_w=3, groups=8)
    assert facts_of([node("input"), depthwise, node("ReLU")]).layer_kinds[1] == "Conv2d"


@pytest.mark.parametrize(
    ("question_type", "subject", "answers"),
    [
        ("pooling_types", "", ("MaxPool2d",)),
        ("activation_types", "", ("ReLU", "GELU")),
        ("normalization_types", "", ("BatchNorm2d",)),
        ("convolution_types", "", ("Conv2d", "Dil_conv2d", "Sep_conv2d")),
        ("kernel_sizes", "", ("3*3", "5*5", "7*7")),
        ("layer_kernel_sizes", "Sep_conv2d", ("3*3",)),
        ("layer_kernel_sizes", "Dil_conv2d", ("5*5",)),
        ("layer_kernel_sizes", "AvgPool2d", ("This model does not include AvgPool2d",)),
        ("layer_function", "Hardsigmoid", ("This model does not include Hardsigmoid",)),
        ("layer_function", "MaxPool2d", (LAYER_FUNCTIONS["MaxPool2d"],)),
        ("normalization_after_convolution", "", ("BatchNorm2d",)),
        ("activation_after_convolution", "", ("GELU",)),
    ],
)
def test_answers(vision, question_type, subject, answers):
    assert vision.answer(question_type, subject).value == answers


def test_answers_come_with_evidence(vision):
    assert vision.answer("layer_kernel_sizes", "MaxPool2d").nodes == (4,)
    assert vision.answer("activation_types").nodes == (3, 8)


def test_every_question_has_an_answer_for_every_network(vision):
    for facts in (vision, facts_of([node("input"), node("add")])):
        for question_type, subjects in QUESTION_TYPES.items():
            for subject in subjects or ("",):
                answer = facts.answer(question_type, subject).value
                assert answer and set(answer) <= set(ANSWERS)


@pytest.mark.parametrize(
    ("question_type", "subject"), [("colour", ""), ("layer_function", "Sofa"), ("kernel_sizes", "x")]
)
def test_unknown_questions_are_refused(vision, question_type, subject):
    with pytest.raises(ValueError, match=r"there are|it has"):
        vision.answer(question_type, subject)


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ({"type": "contains", "layer": "GELU"}, True),
        ({"type": "lacks", "layer": "GELU"}, False),
        ({"type": "lacks_category", "category": "recurrent"}, True),
        ({"type": "count", "layer": "Linear", "value": 1}, True),
        ({"type": "count", "layer": "Linear", "value": 2}, False),
        ({"type": "num_layers", "value": 8}, True),
        ({"type": "parameters", "value": 1200}, True),
        ({"type": "parameters", "value": 1300}, False),
        ({"type": "kernel_size", "layer": "", "size": "5*5"}, True),
        ({"type": "kernel_size", "layer": "Conv2d", "size": "5*5"}, False),
        ({"type": "more", "layer": "ReLU", "than": "Tanh"}, True),
        ({"type": "most_frequent", "layer": "ReLU"}, False),
        ({"type": "follows", "layer": "BatchNorm2d", "after": "Conv2d"}, True),
        ({"type": "follows", "layer": "ReLU", "after": "Conv2d"}, False),
    ],
)
def test_claims(vision, claim, value):
    assert vision.holds(claim).value is value


def test_an_incomplete_graph_leaves_open_what_the_missing_tower_could_change():
    facts = facts_of([node("input"), node("ReLU")], incomplete=("text_tower",))
    assert facts.holds({"type": "contains", "layer": "ReLU"}).value is True
    assert facts.holds({"type": "contains", "layer": "GELU"}).value is None
    assert facts.holds({"type": "lacks", "layer": "ReLU"}).value is False
    assert facts.all_hold([{"type": "contains", "layer": "ReLU"}, {"type": "num_layers", "value": 1}]) is None


def test_every_answer_is_linked_to_what_it_speaks_of():
    links = dict(zip(ANSWERS, answer_links(), strict=True))
    assert links["MaxPool2d"] == (0, "MaxPool2d", "", 0, 0)
    assert links["Sep_conv2d"] == (0, "Conv2d", "separable", 0, 0)
    assert links["3*3"] == (2, "", "", 3, 3)
    assert links[LAYER_FUNCTIONS["GELU"]] == (1, "GELU", "", 0, 0)
    assert links["This model does not include Conv2d"] == (3, "Conv2d", "plain", 0, 0)


@pytest.mark.parametrize(
    ("name", "op"),
    [("__iadd__", "add"), ("__rsub__", "sub"), ("relu_", "ReLU"), ("bmm", "matmul"), ("softmax", "Softmax"),
     ("layer_norm", "LayerNorm"), ("__getitem__", "getitem"), ("cat", "cat")],
)  # fmt: skip
def test_functions_share_the_name_of_the_module_that_computes_them(name, op):
    assert canonical_function_op(name) == op and op in OPS


@pytest.mark.parametrize(
    ("class_name", "op"),
    [("FooRMSNorm", "RMSNorm"), ("BarRotaryEmbedding", "RotaryEmbedding"), ("NewGELUActivation", "GELU"),
     ("QuickGELUActivation", "GELU"), ("FrozenBatchNorm2d", "BatchNorm2d"), ("Conv1D", "Linear"), ("FooLayer", None)],
)  # fmt: skip
def test_spellings_of_a_composite_share_one_name(class_name, op):
    assert canonical_module_op(class_name) == op


def test_repeated_blocks_are_counted_in_order():
    block = [node("Linear", (8, 8, 0, 0)), node("ReLU")]
    facts = facts_of([node("input"), *block * 5, node("Softmax"), node("output")])
    value, nodes = facts.repeated_blocks()
    assert value == ((5, 2),) and nodes == tuple(range(1, 11))
    assert facts_of([node("input"), node("ReLU"), node("Tanh")]).repeated_blocks() == ((), ())


def test_shapes_and_attributes_are_facts(vision):
    assert vision.shapes_of("Linear") == (((10, 64, 0, 0),), (9,))
    assert vision.attribute_values("kernel_h") == ((1, 3, 5, 7), (1, 4, 5, 6, 7))
