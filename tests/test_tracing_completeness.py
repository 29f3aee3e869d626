"""What a graph says of written-out attention, of dead ends, of what it misses, and of values that were guessed."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, GPTNeoConfig, PretrainedConfig, PreTrainedModel

from processing_archbert import ArchitectureGraph, trace
from processing_archbert.dummy_inputs_fallback_archbert import repaired_inputs
from processing_archbert.tracing_archbert import JOINS, ArchitectureTraceError
from processing_archbert.tracing_attention_archbert import is_causal_mask
from processing_archbert.tracing_completeness_archbert import missing_towers

INPUT = torch.zeros(1, 5, 12)
ATTENTION = "scaled_dot_product_attention"


class Attention(nn.Module):
    """Attention with three heads, written in one of several ways."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form, self.num_heads = form, 3
        self.q, self.k, self.v = (nn.Linear(12, 12) for _ in range(3))
        self.softmax = nn.Softmax(-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        q, k, v = (p(x).view(1, 5, 3, 4).transpose(1, 2) for p in (self.q, self.k, self.v))
        if self.form in ("fused", "fused causal"):
            return F.scaled_dot_product_attention(q, k, v, is_causal=self.form.endswith("causal")).mean(1)
        if self.form == "einsum":
            weights = torch.einsum("bhie,bhje->bhij", q, k).div(2).softmax(-1)
            return torch.einsum("bhij,bhje->bhie", weights, v).mean(1)
        if self.form == "flat":
            q, k, v = (t.reshape(3, 5, 4) for t in (q, k, v))
            return torch.bmm(torch.softmax(torch.baddbmm(torch.zeros(1), q, k.mT), -1), v)[None].mean(1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(4)
        if self.form == "causal":
            scores = scores + torch.full((5, 5), float("-inf")).triu(1)
        elif self.form == "masked fill":
            scores = scores.masked_fill(torch.ones(5, 5, dtype=torch.bool).triu(1), -1e9)
        weights = self.softmax(scores) if self.form == "layer" else scores.softmax(-1)
        y = (weights @ v).mean(1)
        return (y, weights) if self.form == "weights too" else y


def traced(form: str) -> ArchitectureGraph:
    return trace(Attention(form).eval(), INPUT)


def heads(graph: ArchitectureGraph) -> list[tuple[int, ...]]:
    columns = [graph.attribute(name) for name in ("num_heads", "num_kv_heads", "head_dim", "causal")]
    return [tuple(int(c[i]) for c in columns) for i, op in enumerate(graph.op_types) if op == ATTENTION]


@pytest.mark.parametrize(
    ("form", "same"),
    [
        ("written", "fused"), ("einsum", "fused"), ("flat", "fused"), ("causal", "fused causal"),
        ("masked fill", "fused causal"),
    ],
)  # fmt: skip
def test_written_out_attention_is_the_graph_of_the_named_one(form: str, same: str) -> None:
    graph, named = traced(form), traced(same)
    assert graph.graph_hash == named.graph_hash
    assert heads(graph) == [(3, 3, 4, int("causal" in same))]


@pytest.mark.parametrize("form", ["layer", "weights too"])
def test_a_softmax_layer_and_returned_weights_stay_nodes(form: str) -> None:
    ops = traced(form).op_types
    assert "Softmax" in ops and ops.count("matmul") == 2 and ATTENTION not in ops


def test_scores_that_something_else_reads_stay_nodes() -> None:
    class Twice(Attention):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores = self.q(x).view(1, 5, 3, 4).transpose(1, 2) @ self.k(x).view(1, 5, 3, 4).permute(0, 2, 3, 1)
            return scores.softmax(-1) @ self.v(x).view(1, 5, 3, 4).transpose(1, 2) + scores.mean(-1, keepdim=True)

    assert ATTENTION not in trace(Twice("").eval(), INPUT).op_types


def test_eager_and_sdpa_networks_agree() -> None:
    sizes = {"hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 32}
    graphs = []
    for implementation in ("eager", "sdpa"):
        config = BertConfig(**sizes, vocab_size=30)
        config._attn_implementation = implementation
        graphs.append(trace(config))
    assert graphs[0].graph_hash == graphs[1].graph_hash
    neo = trace(
        GPTNeoConfig(hidden_size=24, num_layers=2, num_heads=3, attention_types=[[["global"], 2]], vocab_size=9)
    )
    assert heads(neo) == [(3, 3, 8, 1)] * 2


def test_causal_masks_are_told_from_others() -> None:
    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    assert is_causal_mask(later) and is_causal_mask(~later[None, None])
    assert is_causal_mask(torch.zeros(4, 4).masked_fill(later, torch.finfo(torch.float32).min))
    band = later | torch.ones(4, 4, dtype=torch.bool).tril(-2)
    for other in (None, band, torch.zeros(4, 4), later[:3], torch.ones(1, 1, dtype=torch.bool), later.long()):
        assert not is_causal_mask(other)


def test_a_layer_that_runs_to_a_dead_end_is_in_the_graph() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.discarded = nn.Linear(4, 4), nn.Linear(4, 900)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.used(x)
            self.discarded(y).exp()
            return y

    graph = trace(Net(), torch.zeros(1, 4))
    assert (graph.op_types, graph.incomplete, graph.unused_parameters) == (
        ("input", "Linear", "Linear", "output"),
        (),
        0,
    )
    assert sorted(map(tuple, graph.edge_index.T.tolist())) in ([(0, 1), (1, 2), (1, 3)], [(0, 1), (1, 2), (1, 3)])


def test_missing_towers_are_named_once_with_numbers_hidden() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle, self.bare = (
                nn.Linear(3, 3),
                nn.Sequential(nn.Linear(3, 3)),
                nn.Parameter(torch.zeros(9)),
            )

    model = nn.ModuleDict({"layers": nn.ModuleList([Block(), Block()]), "tower": Block()})
    unused = {id(p): p.numel() for name, p in model.named_parameters() if ".used." not in name or "tower" in name}
    assert missing_towers(model, unused) == ("layers.*.bare", "layers.*.idle", "tower")
    assert missing_towers(model, {}) == ()
    model["tower"].bare = nn.Parameter(torch.zeros(100_000))
    assert missing_towers(model, {id(model["layers"][0].bare): 9}) == ()  # a negligible share


def test_values_read_by_control_flow_are_recorded_as_guesses() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.gate(x)
            return y.relu() if y.sum() > 0 else y.tanh()

    graph = trace(nn.Sequential(Branch()), torch.zeros(1, 4))
    assert graph.guesses == ("0: __bool__",)
    assert ArchitectureGraph.from_json(graph.to_json()) == graph
    assert ArchitectureGraph.from_row(graph.to_row()).guesses == graph.guesses
    assert trace(nn.Linear(4, 4), torch.zeros(1, 4)).guesses == ()


def test_graphs_saved_before_guesses_were_recorded_are_read() -> None:
    graph = trace(nn.Linear(4, 4), torch.zeros(1, 4))
    old = {key: value for key, value in graph.to_dict().items() if key != "guesses"}
    assert ArchitectureGraph.from_dict(old) == graph
    row = {key: value for key, value in graph.to_row().items() if key != "guesses"}
    assert ArchitectureGraph.from_row(row).guesses == ()


class Split(nn.Module):
    """Splits into parts of the given sizes, or of sizes that it computes."""

    def __init__(self, sizes: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.sizes, self.gate = sizes, nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x.split(self.sizes or self.gate(x).long()[0].tolist(), dim=-1)
        return torch.cat([second, first], -1).relu() if first.shape[-1] == 4 else first


def test_unknown_split_sizes_become_equal_parts_and_a_guess() -> None:
    graph = trace(Split(), torch.zeros(1, 8))
    assert "ReLU" in graph.op_types and graph.guesses == (": tolist", ": split")
    with pytest.raises(ArchitectureTraceError, match="split"):  # a mistake in a module is told
        trace(Split((1, 2)), torch.zeros(1, 8))
    assert trace(Split((3, 5)), torch.zeros(1, 8)).guesses == ()


class PartConfig(PretrainedConfig):
    """Configuration of a part."""

    model_type = "part"


class Part(PreTrainedModel):
    """A part that runs by itself."""

    config_class = PartConfig
    main_input_name = "inputs_embeds"

    def __init__(self, config: PartConfig) -> None:
        super().__init__(config)
        self.layer = nn.Linear(16, 16)

    def forward(self, inputs_embeds: torch.Tensor) -> torch.Tensor:
        return self.layer(inputs_embeds)


class Whole(PreTrainedModel):
    """A model whose own forward cannot be run."""

    config_class = PartConfig

    def __init__(self, config: PartConfig) -> None:
        super().__init__(config)
        self.part, self.rest = Part(config), nn.Linear(9, 9)

    def forward(self, session: object) -> torch.Tensor:
        return self.part(session.tensor)  # type: ignore[attr-defined]


def test_a_model_that_cannot_run_is_traced_in_parts_and_says_so() -> None:
    graph = trace(PartConfig(hidden_size=16), model_class=Whole)
    assert sorted(graph.op_types) == ["Linear", "Linear", "input", "input", "output", "output"]
    assert graph.incomplete == (JOINS,) and graph.unused_parameters == 0
    assert graph.node_names[:2] == ("part.inputs_embeds", "part.layer")
    with pytest.raises(ArchitectureTraceError, match="cannot be traced"):  # for a module, inputs can be given
        trace(Whole(PartConfig(hidden_size=16)))


class Session(nn.Module):
    """A module that wants more than tensors, around layers that do not."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 5), nn.Conv2d(2, 4, 3)])

    def forward(self, session: object) -> torch.Tensor:
        return self.layers[0](session.tensor)  # type: ignore[attr-defined]


class Generator(PreTrainedModel):
    """A model whose forward leaves a tower, a module and a parameter to its other methods."""

    config_class = PartConfig
    main_input_name = "inputs_embeds"

    def __init__(self, config: PartConfig) -> None:
        super().__init__(config)
        self.part, self.tower, self.decoder = Part(config), Part(config), Session()
        self.token = nn.Parameter(torch.zeros(7))

    def forward(self, inputs_embeds: torch.Tensor) -> torch.Tensor:
        return self.part(inputs_embeds)


def test_parts_that_forward_never_calls_stand_beside_the_rest() -> None:
    graph = trace(PartConfig(hidden_size=16), model_class=Generator)
    assert graph.incomplete == ("token", JOINS) and graph.unused_parameters == 7
    names = [name for name, op in zip(graph.node_names, graph.op_types, strict=True) if op in ("Linear", "Conv2d")]
    assert names == ["part.layer", "tower.layer", "decoder.layers.0", "decoder.layers.1"]
    counts = dict(zip(graph.node_names, graph.node_parameters.tolist(), strict=True))
    assert [counts[name] for name in names] == [272, 272, 20, 76]
    reached = {graph.node_names[target] for source, target in graph.edge_index.T if graph.node_names[source] in names}
    assert len(reached) == 4 and all(name.startswith("output") for name in reached)


def test_a_module_and_its_configuration_agree_on_parts_beside_the_rest() -> None:
    config = PartConfig(hidden_size=16)
    assert trace(Generator(config)).graph_hash == trace(config, model_class=Generator).graph_hash


def test_inputs_get_the_width_that_a_layer_wants() -> None:
    inputs = {"features": torch.empty(1, 80, 300, device="meta"), "mask": torch.ones(1, 300, dtype=torch.long)}
    first, *_ = repaired_inputs(inputs, nn.Linear(320, 8))
    assert tuple(first["features"].shape) == (1, 200, 320) and tuple(first["mask"].shape) == (1, 200)
    image = {"pixel_values": torch.empty(1, 3, 32, 32, device="meta")}
    assert [tuple(r["pixel_values"].shape) for r in repaired_inputs(image, nn.Conv2d(5, 8, 3))] == [(1, 5, 32, 32)]
    assert list(repaired_inputs(inputs, nn.ReLU())) == []
