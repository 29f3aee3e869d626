"""The reasoning head: what a graph shows of a claim, statements as conjunctions, and what teaches it to point."""

from __future__ import annotations

import math

import pytest
import torch
from test_modeling import CONV, LINKS, OPS, POOL, SPECIALS, tiny_config

from modeling_archbert.fusion_archbert import RELEVANCE_BOUND, PairLayout
from modeling_archbert.graph_inputs_archbert import GraphInputs
from modeling_archbert.outputs_archbert import GraphTokens, TextEncoding
from modeling_archbert.reasoning_archbert import (
    NUM_CLAIMS,
    NUM_SLOTS,
    SHOWN,
    ArchBertReasoningHead,
    pointing_loss,
)

RELU = len(SPECIALS) + OPS.index("ReLU")
BATCH_NORM = len(SPECIALS) + OPS.index("BatchNorm2d")
BEST, BEST_CHANCE, COUNT, RANK_OF_COUNT = (slice(2 * i, 2 * i + 2) for i in range(4))
MORE, BEFORE, AFTER = 8, 9, 10


def chain(*ids: int) -> GraphInputs:
    """One graph in which each node reads the one before."""
    edges = [(node, node + 1) for node in range(len(ids) - 1)]
    kernels = torch.zeros(1, len(ids), 20, dtype=torch.long)
    kernels[0, torch.tensor(ids) == CONV, 1:3] = 3
    return GraphInputs(torch.tensor([ids]), edge_index=torch.tensor([edges]), node_attributes=kernels)


def fits(graph: GraphInputs, *wanted: int) -> torch.Tensor:
    """Relevances (1, 1, S, N) of slots that each look for one op; those left over look for nothing."""
    relevance = torch.full((1, 1, NUM_SLOTS, graph.node_ids.shape[1]), -RELEVANCE_BOUND)
    for slot, op in enumerate(wanted):
        relevance[0, 0, slot, graph.node_ids[0] == op] = RELEVANCE_BOUND
    return relevance


def shown(
    graph: GraphInputs, *wanted: int, value: float = 0.0, layers: float = 1, parameters: float = 1
) -> torch.Tensor:
    """What the graph shows of the first claim, which holds the number `value`."""
    head = ArchBertReasoningHead(tiny_config())
    values = torch.full((1, 1, NUM_CLAIMS), math.log1p(value))
    sizes = torch.tensor([[math.log1p(layers), math.log1p(parameters)]])
    kinds = torch.zeros_like(graph.node_ids)
    table = head.show(fits(graph, *wanted), values, sizes, graph.weights, graph, kinds)
    assert table.shape == (1, 1, NUM_CLAIMS, SHOWN)
    return table[0, 0, 0]


def test_presence_and_counts_are_read_off() -> None:
    values = shown(chain(CONV, RELU, CONV, RELU, CONV), CONV, POOL)
    assert values[BEST_CHANCE].tolist() == pytest.approx([1, 0], abs=1e-4)
    assert values[COUNT].tolist() == pytest.approx([math.log(4) / 4, 0], abs=1e-3)
    assert float(values[MORE]) == pytest.approx(1, abs=1e-2) and float(values[RANK_OF_COUNT][0]) == pytest.approx(
        0, abs=1e-3
    )
    assert float(shown(chain(CONV, RELU, RELU), CONV, RELU)[MORE]) < -0.5


def test_a_token_counts_as_the_nodes_that_it_stands_for() -> None:
    folded = chain(CONV, RELU, POOL)
    folded.node_counts = torch.tensor([[3, 3, 1]])
    unfolded = chain(CONV, RELU, CONV, RELU, CONV, RELU, POOL)
    assert torch.allclose(shown(folded, CONV, POOL), shown(unfolded, CONV, POOL), atol=1e-4)


def test_numbers_are_compared_with_counts_layers_and_parameters() -> None:
    graph = chain(CONV, RELU, CONV, RELU, CONV)
    same, near, far = (shown(graph, CONV, value=value, layers=3, parameters=300)[-6:] for value in (3, 4, 300))
    assert same.tolist() == pytest.approx([1, 1, 0, 1, 1, 0], abs=1e-2)
    assert 0.3 < float(near[0]) < 0.9 and float(near[3]) < 1e-3
    assert far.tolist() == pytest.approx([0, 0, 1, 0, 0, 1], abs=1e-3)


def test_order_is_that_of_direct_edges() -> None:
    graph = chain(CONV, BATCH_NORM, RELU, POOL)
    assert shown(graph, CONV, BATCH_NORM)[[BEFORE, AFTER]].tolist() == pytest.approx([1, 0], abs=1e-4)
    assert shown(graph, RELU, BATCH_NORM)[[BEFORE, AFTER]].tolist() == pytest.approx([0, 1], abs=1e-4)
    assert shown(graph, CONV, RELU)[[BEFORE, AFTER]].tolist() == pytest.approx([0, 0], abs=1e-4)
    graph.edge_mask = torch.zeros(1, 3, dtype=torch.long)
    assert shown(graph, CONV, BATCH_NORM)[[BEFORE, AFTER]].tolist() == pytest.approx([0, 0], abs=1e-4)


def test_a_statement_is_no_likelier_than_any_of_its_claims() -> None:
    torch.manual_seed(0)
    head, width = ArchBertReasoningHead(tiny_config()).eval(), 32
    graph = chain(CONV, RELU, POOL)
    tokens = GraphTokens(torch.randn(1, 3, width), torch.zeros(1, 3), graph.weights)
    reading = head.read(TextEncoding(torch.randn(1, 6, width), torch.ones(1, 6), torch.zeros(1, width)))
    layout = PairLayout.build(torch.zeros(1, dtype=torch.long), 1)

    def logit(*claims: int) -> float:
        types = torch.zeros_like(reading.types)
        types[..., 0] = 50.0
        types[:, list(claims), 0] = -50.0
        only = reading._replace(types=types)
        return float(head(only, layout, torch.zeros(1, 1, width), tokens, graph)[0])

    single = [logit(claim) for claim in range(NUM_CLAIMS)]
    assert logit(*range(NUM_CLAIMS)) < min(single) and logit(0, 1) < min(single[:2])


def test_pointing_asks_for_layer_and_kernel_at_one_node() -> None:
    graph = chain(CONV, RELU, POOL, CONV)
    graph.node_attributes[0, 3, 1:3] = 1
    labels = torch.full((1, 1, NUM_SLOTS, len(LINKS)), -100.0)
    labels[0, 0, 0] = 0
    labels[0, 0, 0, [0, 5]] = 1  # a plain convolution, with a kernel of 3*3
    links = torch.tensor(LINKS)

    def loss(*nodes: int) -> float:
        relevance = torch.full((1, 1, NUM_SLOTS, 4), 0.0)
        relevance[0, 0, 0] = -RELEVANCE_BOUND
        relevance[0, 0, 0, list(nodes)] = RELEVANCE_BOUND
        return float(pointing_loss(relevance, labels, links, graph.weights, graph))

    assert loss(0) < 1e-4 < 1 < min(loss(), loss(3), loss(0, 3))


def test_without_labels_nothing_is_asked_for() -> None:
    graph = chain(CONV, RELU)
    labels = torch.full((1, 1, NUM_SLOTS, len(LINKS)), -100.0)
    relevance = torch.randn(1, 1, NUM_SLOTS, 2)
    assert float(pointing_loss(relevance, labels, torch.tensor(LINKS), graph.weights, graph)) == 0
