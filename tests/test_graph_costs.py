"""FLOPs, activations, caches, summaries and filters of `graph_costs_archbert` and `graph_overview_archbert`."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel, PretrainedConfig

from processing_archbert import ArchitectureGraph, ArchitectureGraphError, load_architecture, trace
from processing_archbert.graph_costs_archbert import flops_by_node, kv_cache
from processing_archbert.graph_overview_archbert import describe, parse_filter
from processing_archbert.tracing_costs_archbert import call_work, module_work

WIDTH = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 64,
}


def _config(model_type: str, **options: object) -> PretrainedConfig:
    return AutoConfig.for_model(model_type, pad_token_id=0, bos_token_id=1, eos_token_id=2, **WIDTH, **options)


@pytest.fixture(scope="module")
def llama() -> ArchitectureGraph:
    return trace(_config("llama", num_key_value_heads=2), costs=True)


def _counted(module: nn.Module, *args: torch.Tensor, **kwargs: torch.Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel([SDPBackend.MATH]), counter:
        module(*args, **kwargs)
    return counter.get_total_flops()


@pytest.mark.parametrize(("rows", "length"), [(1, 8), (2, 24), (3, 57)])
def test_flops_of_a_language_model_are_those_of_torchs_counter(
    llama: ArchitectureGraph, rows: int, length: int
) -> None:
    model = AutoModel.from_config(_config("llama", num_key_value_heads=2)).eval()
    counted = _counted(model, input_ids=torch.ones(rows, length, dtype=torch.long))
    assert llama.flops(batch=rows, sequence=length) == counted


def test_flops_of_a_convolutional_network_grow_with_the_image() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, groups=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1, groups=8),
        nn.ConvTranspose2d(8, 4, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
    ).eval()  # fmt: skip
    graph = trace(network, torch.zeros(1, 3, 32, 32), costs=True)
    for rows, sides in ((1, (32, 32)), (4, (64, 64)), (2, (64, 96))):
        assert graph.flops(batch=rows, image=sides) == _counted(network, torch.zeros(rows, 3, *sides))
    assert graph.flops(batch=4, image=64) == graph.flops(batch=4, image=(64, 64))
    assert graph.costs is not None
    assert graph.costs["exact"] == ["batch", "image"]


def test_work_that_is_the_same_for_every_row_does_not_grow_with_the_batch() -> None:
    class Biased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.mix, self.out = nn.Parameter(torch.zeros(7, 6)), nn.Linear(6, 5), nn.Linear(5, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(x + self.mix(self.table).sum(0))

    graph = trace(Biased(), torch.zeros(2, 5), costs=True)
    assert graph.flops(batch=10) == 2 * (7 * 6 * 5 + 10 * 5 * 5)


def test_what_a_forward_caches_in_its_module_counts_in_every_run() -> None:
    """As the position biases of EfficientViT: a second run would read them instead of computing them."""

    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.mix, self.out = nn.Parameter(torch.zeros(7, 6)), nn.Linear(6, 5), nn.Linear(5, 5)
            self.cache: dict[str, torch.Tensor] = {}
            self.calls: list[int] = []
            self.last: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if "bias" not in self.cache:
                self.cache["bias"] = self.mix(self.table).sum(0)
            self.calls.append(len(self.calls))
            if self.last is None:
                self.last = self.out(self.cache["bias"])
            return self.out(x + self.cache["bias"]) + self.last

    network = Caching()
    graph = trace(network, torch.zeros(2, 5), costs=True)
    assert graph.flops(batch=10) == 2 * (7 * 6 * 5 + 5 * 5 + 10 * 5 * 5)
    assert not network.cache and not network.calls and network.last is None


def test_costs_by_node_add_up_and_lie_where_the_work_is(llama: ArchitectureGraph) -> None:
    by_node = flops_by_node(llama, sequence=100)
    assert by_node.sum() == llama.flops(sequence=100)
    attention = [i for i, op in enumerate(llama.op_types) if op == "scaled_dot_product_attention"]
    assert [by_node[i] for i in attention] == [2 * 2 * 100 * 100 * 32] * 2
    assert not any(by_node[i] for i, op in enumerate(llama.op_types) if op in ("RMSNorm", "SiLU", "mul", "input"))


def test_written_out_attention_costs_what_the_function_costs() -> None:
    costs = {}
    for kind in ("eager", "sdpa"):
        graph = trace(_config("llama", num_key_value_heads=2, attn_implementation=kind), costs=True)
        costs[kind] = (graph.graph_hash, graph.flops(batch=2, sequence=30), graph.activation_memory(sequence=30))
    assert costs["eager"] == costs["sdpa"]


def test_activations_live_until_their_last_reader() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = nn.Linear(4, 40), nn.Linear(40, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.narrow(self.wide(x).relu_())

    graph = trace(Residual(), torch.zeros(1, 4), costs=True)
    assert graph.activation_memory("float32", batch=3) == 4 * 3 * (4 + 40 + 4)  # x is kept; relu_ takes no room
    assert graph.activation_memory("float32", kept=True, batch=3) == 4 * 3 * (4 + 40 + 4 + 4)


def test_cache_of_grouped_query_attention(llama: ArchitectureGraph) -> None:
    assert llama.kv_cache_bytes_per_token() == 2 * 2 * 2 * 8 * 2  # keys and values, layers, heads, size, bytes
    assert llama.kv_cache_bytes_per_token("float32") == 2 * llama.kv_cache_bytes_per_token()
    assert llama.weight_memory() == 2 * llama.num_parameters
    assert trace(_config("bert")).kv_cache_bytes_per_token() == 0


def test_cache_of_windows_and_of_cross_attention_stands_apart() -> None:
    cache = kv_cache(trace(_config("mistral", num_key_value_heads=2, sliding_window=5)))
    assert (cache.window_bytes_per_token, cache.max_window) == (cache.bytes_per_token, 5)
    t5 = kv_cache(
        trace(AutoConfig.for_model("t5", d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=64))
    )
    assert t5.layers == 2
    assert t5.bytes_per_token == t5.cross_bytes_per_token == 2 * 2 * 4 * 8 * 2


def test_costs_are_kept_and_in_no_hash(llama: ArchitectureGraph) -> None:
    plain = trace(_config("llama", num_key_value_heads=2))
    assert plain.graph_hash == llama.graph_hash
    assert "costs" not in plain.to_dict()
    for copy in (
        ArchitectureGraph.from_json(llama.to_json()),
        ArchitectureGraph.from_dict(llama.to_dict()),
        ArchitectureGraph.from_row(llama.to_row()),
    ):
        assert copy.costs == llama.costs
        assert copy.flops(batch=8, sequence=2048) == llama.flops(batch=8, sequence=2048)
    assert ArchitectureGraph.from_row(plain.to_row()).costs is None


def test_a_graph_without_costs_says_where_they_come_from() -> None:
    with pytest.raises(ArchitectureGraphError, match="costs=True"):
        trace(nn.Linear(2, 3)).flops()


def test_sizes_that_the_network_has_not_are_refused(llama: ArchitectureGraph) -> None:
    with pytest.raises(ArchitectureGraphError, match="image is given"):
        llama.flops(image=32)
    with pytest.raises(ArchitectureGraphError, match="'lenght' is no size"):
        llama.flops(lenght=32)
    with pytest.raises(ArchitectureGraphError, match="integer from 1"):
        llama.flops(sequence=0)
    with pytest.raises(ArchitectureGraphError, match="allowed are float64"):
        llama.activation_memory("int3")
    vit = load_architecture(_vit(), costs=True)
    assert vit.flops(image=32) == vit.flops()
    with pytest.raises(ArchitectureGraphError, match="1024 pixels"):
        vit.flops(image=64)


def _vit() -> PretrainedConfig:
    options = {key: value for key, value in WIDTH.items() if key != "vocab_size"}
    return AutoConfig.for_model("vit", image_size=32, patch_size=16, **options)


@pytest.mark.parametrize(
    "change",
    [{"axes": {"width": 3}}, {"terms": [[1]]}, {"work": [[0], [0]]}, {"work": [[10**9], [0], [1]]}, {"denominator": 0},
     {"elements": [[0], [0], ["1"]]}, {"exact": ["image"]}],
)  # fmt: skip
def test_malformed_costs_are_refused(llama: ArchitectureGraph, change: dict[str, object]) -> None:
    data = llama.to_dict()
    data["costs"] = data["costs"] | change
    with pytest.raises(ArchitectureGraphError, match="costs"):
        ArchitectureGraph.from_dict(data)


@pytest.mark.parametrize(
    "equation", ["bhid,bhjd->bhij", "bij,jk->bik", "...ij,...jk->...ik", "ij,jk,kl->il", "bi,bi->b"]
)
def test_einsum_is_counted_by_its_indices(equation: str) -> None:
    sizes = dict(zip("bhijkld", (2, 3, 4, 5, 6, 7, 8), strict=True))
    operands = [
        torch.zeros(*((2, 3) if "..." in part else ()), *(sizes[c] for c in part.replace("...", "")))
        for part in equation.split("->")[0].split(",")
    ]
    counter = FlopCounterMode(display=False)
    with counter:
        out = torch.einsum(equation, *operands)
    assert 2 * call_work("einsum", "einsum", (equation, *operands), {}, out) == counter.get_total_flops()


def test_layers_that_torch_hides_are_counted_by_formula() -> None:
    x = torch.zeros(2, 5, 8)
    lstm = nn.LSTM(8, 6, batch_first=True)
    assert module_work(lstm, [x], lstm(x)) == 2 * 5 * (24 * 8 + 24 * 6)
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    assert module_work(attention, [x, x, x], attention(x, x, x)) == 2 * (4 * 5 * 8 * 8 + 2 * 5 * 5 * 8)


def test_summary_and_description(llama: ArchitectureGraph) -> None:
    facts = llama.summary()
    assert facts["family"] == "transformer"
    assert (facts["heads"], facts["kv_heads"], facts["head_dim"], facts["attention_layers"]) == (4, 2, 8, 2)
    assert facts["flops"] == llama.flops()
    text = describe(llama, batch=2, sequence=64)
    assert "batch 2, sequence 64" in text
    assert "4 heads of 8, 2 of keys and values" in text
    assert trace(nn.Linear(2, 3)).summary()["flops"] is None


def test_filters_compare_and_nothing_else(llama: ArchitectureGraph) -> None:
    facts = llama.summary()
    assert parse_filter("parameters<50M and kv_heads=2, family=transformer")(facts)
    assert parse_filter("weight_bytes<=1GiB and name!=other")(facts)
    assert not parse_filter("parameters>=50M")(facts)
    assert not parse_filter("family=convolutional")(facts)
    assert not parse_filter("flops<5G")(trace(nn.Linear(2, 3)).summary())
    for text in ("", "parameters<", "parameters<50Q", "__class__=1", "parameters<1 or nodes<2", "family<other",
                 "family=fast", "nodes<1e3", "nodes<1;nodes", "layers=1"):  # fmt: skip
        with pytest.raises(ArchitectureGraphError):
            parse_filter(text)
