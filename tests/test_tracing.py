"""What users rely on when they trace a network: edges, counts, names of ops, and that nothing of theirs is touched."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.tracing_archbert import ArchitectureTraceError, trace

ROOT = Path(__file__).resolve().parents[1]


class Lambda(nn.Module):
    """A module around a function of its own, so that a test is one line of network."""

    def __init__(self, function: Any, **members: Any) -> None:
        super().__init__()
        self.function = function
        for name, member in members.items():
            setattr(self, name, member)

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(self, *inputs)


def edges(graph: ArchitectureGraph) -> list[str]:
    """Edges as text, `source > target`; a repeated op is numbered in execution order from its second node on."""
    seen: Counter[str] = Counter()
    names = []
    for op in graph.op_types:
        seen[op] += 1
        names.append(op if seen[op] == 1 else f"{op}{seen[op]}")
    return sorted(f"{names[s]} > {names[t]}" for s, t in graph.edge_index.T.tolist())


def row(graph: ArchitectureGraph, op: str) -> dict[str, int]:
    """Attributes that are set on the first node of this op."""
    from processing_archbert.ops_archbert import ATTRIBUTES

    values = graph.attributes[graph.op_types.index(op)].tolist()
    return {name: value for name, value in zip(ATTRIBUTES, values, strict=True) if value}


def shape(graph: ArchitectureGraph, op: str) -> list[int]:
    """Shape values of the first node of this op."""
    return graph.shapes[graph.op_types.index(op)].tolist()


def start_child(code: str, **environment: str) -> subprocess.Popen[str]:
    """A fresh Python process that runs `code`."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
    )


def output_of(child: subprocess.Popen[str]) -> str:
    """Standard output of a finished process, which has to succeed."""
    output, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors
    return output


# Edges


def test_a_chain_of_layers_without_the_modules_that_compute_nothing() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Identity(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 16 * 16, 10),
    )  # fmt: skip
    graph = trace(net, torch.ones(1, 3, 32, 32))
    assert graph.op_types == ("input", "Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "Linear", "output")
    assert graph.edge_index.tolist() == [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6]]
    assert graph.node_parameters.tolist() == [0, 224, 16, 0, 0, 20490, 0]
    assert shape(graph, "Conv2d") == [8, 3, 3, 3]
    assert shape(graph, "BatchNorm2d") == [8, 0, 0, 0]
    assert shape(graph, "Linear") == [10, 2048, 0, 0]
    assert row(graph, "MaxPool2d") == {"kernel_h": 2, "kernel_w": 2, "stride_h": 2, "stride_w": 2, "dilation_h": 1,
                                       "dilation_w": 1}  # fmt: skip
    assert graph.node_names[1] == "0"


def test_residuals_and_several_inputs_and_outputs() -> None:
    net = Lambda(lambda m, x, y: (m.a(x) + x, torch.cat([x, y], -1)), a=nn.Linear(4, 4))
    graph = trace(net, (torch.ones(2, 4), torch.ones(2, 4)))
    assert edges(graph) == [
        "Linear > add", "add > output", "cat > output2", "input > Linear", "input > add", "input > cat",
        "input2 > cat",
    ]  # fmt: skip


def test_an_input_that_reaches_no_output_is_no_node() -> None:
    net = Lambda(lambda m, x, y: m.a(x), a=nn.Linear(4, 4))
    assert trace(net, (torch.ones(2, 4), torch.ones(2, 4))).op_types.count("input") == 1


def test_a_reused_module_is_one_node_per_call_and_counted_once() -> None:
    graph = trace(Lambda(lambda m, x: m.a(torch.relu(m.a(x))), a=nn.Linear(4, 4)), torch.ones(2, 4))
    assert graph.op_types == ("input", "Linear", "ReLU", "Linear", "output")
    assert graph.node_parameters.tolist() == [0, 20, 0, 0, 0]
    assert graph.num_parameters == 20


def test_tied_weights_are_counted_at_the_first_user() -> None:
    embedding, head = nn.Embedding(10, 4), nn.Linear(4, 10)
    head.weight = embedding.weight
    graph = trace(nn.Sequential(embedding, head), torch.tensor([[1, 2]]))
    assert graph.node_parameters.tolist() == [0, 40, 10, 0]
    assert graph.num_parameters == 50


def test_unused_parameters_and_missing_towers_are_said() -> None:
    net = Lambda(lambda m, x: m.used(x), used=nn.Linear(4, 4), tower=nn.Linear(50, 50))
    graph = trace(net, torch.ones(1, 4))
    assert (graph.unused_parameters, graph.num_parameters, graph.incomplete) == (2550, 2570, ("tower",))
    assert graph.node_parameters.sum() + graph.unused_parameters == graph.num_parameters


def test_python_control_flow_runs_on_the_values_of_integer_inputs() -> None:
    def forward(m: Any, ids: torch.Tensor) -> torch.Tensor:
        hidden = m.embed(ids)
        for _ in range(int(ids.max())):
            hidden = m.step(hidden)
        return hidden if ids.sum() > 100 else torch.tanh(hidden)

    net = Lambda(forward, embed=nn.Embedding(10, 4), step=nn.Linear(4, 4))
    graph = trace(net, torch.tensor([[1, 3]]))
    assert graph.op_types == ("input", "Embedding", "Linear", "Linear", "Linear", "Tanh", "output")


def test_in_place_arithmetic_and_activations() -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        hidden = m.a(x)
        hidden += x
        hidden.relu_()
        hidden.mul_(2.0)
        return m.b(hidden)

    graph = trace(Lambda(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 4)), torch.ones(1, 4))
    assert edges(graph) == [
        "Linear > add", "Linear2 > output", "ReLU > Linear2", "add > ReLU", "input > Linear", "input > add",
    ]  # fmt: skip


def test_in_place_change_of_a_view_reaches_its_base_and_the_base_its_views() -> None:
    def part(m: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        hidden = m.a(x)
        hidden[:, :2] += y
        return m.b(hidden)

    graph = trace(Lambda(part, a=nn.Linear(4, 4), b=nn.Linear(4, 4)), (torch.ones(1, 4), torch.ones(1, 2)))
    assert {"Linear > add", "input2 > add", "add > Linear2"} <= set(edges(graph))

    def whole(m: Any, x: torch.Tensor) -> torch.Tensor:
        hidden = m.a(x)
        view = hidden.view(-1)
        hidden.relu_()
        return view

    assert edges(trace(Lambda(whole, a=nn.Linear(4, 4)), torch.ones(1, 4)))[-1] == "input > Linear"
    assert "ReLU > output" in edges(trace(Lambda(whole, a=nn.Linear(4, 4)), torch.ones(1, 4)))


def test_assignment_into_a_fresh_buffer_and_into_a_computed_tensor() -> None:
    def fresh(m: Any, x: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(2, 4)
        out[0] = m.a(x)
        return out

    assert trace(Lambda(fresh, a=nn.Linear(4, 4)), torch.ones(4)).op_types == ("input", "Linear", "output")

    def joined(m: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        out = m.a(x)
        out[0] = y
        return torch.tanh(out)

    graph = trace(Lambda(joined, a=nn.Linear(4, 4)), (torch.ones(2, 4), torch.ones(4)))
    assert {"Linear > setitem", "input2 > setitem", "setitem > Tanh"} <= set(edges(graph))


def test_views_casts_and_scalar_arithmetic_are_contracted() -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        hidden = m.a(x).view(2, 2, 2).transpose(0, 1).contiguous().to(torch.float64).float() * 0.5 + 1
        left, right = hidden.reshape(2, 4).chunk(2, dim=-1)
        return torch.cat([right, left.clone()], -1).masked_fill(torch.ones(2, 4).bool(), 0.0)

    assert trace(Lambda(forward, a=nn.Linear(4, 4)), torch.ones(2, 4)).op_types == ("input", "Linear", "cat", "output")


def test_constants_are_dropped_and_parameters_used_by_functions_stay() -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        mask = torch.full((3, 3), float("-inf")).triu(1)
        return (x @ x.transpose(-1, -2) + mask).softmax(-1) @ x * m.gain + m.table[:3]

    net = Lambda(forward, gain=nn.Parameter(torch.ones(4)), table=nn.Parameter(torch.ones(9, 4)))
    graph = trace(net, torch.ones(1, 3, 4))
    assert graph.op_types == ("input", "matmul", "Softmax", "matmul", "mul", "add", "output")
    assert graph.node_parameters.tolist() == [0, 0, 0, 0, 4, 36, 0]
    assert (shape(graph, "mul"), shape(graph, "add")) == ([4, 0, 0, 0], [9, 4, 0, 0])


def test_values_made_in_the_image_of_a_tensor_do_not_depend_on_it() -> None:
    graph = trace(Lambda(lambda m, x, y: torch.zeros_like(x) + y.new_ones(2) + m.a(y), a=nn.Linear(2, 2)),
                  (torch.ones(1, 2), torch.ones(1, 2)))  # fmt: skip
    assert graph.op_types == ("input", "Linear", "output")


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: torch.stack([m.a(row) for row in x]),
        lambda m, x: torch.stack([m.a(x[0]), m.a(x[1])]),
    ],
    ids=["iteration", "index"],
)
def test_rows_of_a_tensor_come_from_it(function: Any) -> None:
    graph = trace(Lambda(function, a=nn.Linear(4, 4)), torch.ones(2, 4))
    assert edges(graph) == [
        "Linear > stack", "Linear2 > stack", "input > Linear", "input > Linear2", "stack > output",
    ]  # fmt: skip


def test_functions_that_show_no_calls_of_their_own_keep_the_network_connected() -> None:
    net = Lambda(lambda m, x: torch.vmap(lambda row: m.a(row).relu())(x), a=nn.Linear(4, 4))
    assert trace(net, torch.ones(2, 4)).op_types == ("input", "Linear", "ReLU", "output")


def test_a_subclass_with_a_forward_of_its_own_is_expanded() -> None:
    class Residual(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + super().forward(x)

    graph = trace(Residual(4, 4), torch.ones(1, 4))
    assert edges(graph) == ["Linear > add", "add > output", "input > Linear", "input > add"]
    assert graph.node_parameters.tolist() == [0, 20, 0, 0]


# Names, shapes and attributes


def test_functions_are_named_like_the_modules_that_compute_the_same() -> None:
    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.fc = nn.Conv2d(4, 6, 3, 2, 1, 1, 2), nn.LayerNorm(6), nn.Linear(6, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.adaptive_avg_pool2d(F.max_pool2d(F.relu(self.conv(x)), 2), 1).flatten(1)
            return F.gelu(self.fc(self.norm(x)))

    class Functions(Layers):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = nn.ReLU()(F.conv2d(x, self.conv.weight, self.conv.bias, 2, 1, 1, 2))
            x = nn.AdaptiveAvgPool2d(1)(nn.MaxPool2d(2)(x)).flatten(1)
            x = F.layer_norm(x, (6,), self.norm.weight, self.norm.bias)
            return nn.GELU()(F.linear(x, self.fc.weight, self.fc.bias))

    inputs = torch.ones(1, 4, 16, 16)
    first, second = trace(Layers(), inputs), trace(Functions(), inputs)
    assert first.graph_hash == second.graph_hash
    assert first.node_parameters.tolist() == second.node_parameters.tolist()
    assert row(first, "Conv2d")["groups"] == 2


def test_shapes_of_the_table() -> None:
    net = nn.Sequential(nn.Conv1d(4, 6, 5), nn.PReLU(6), nn.ConvTranspose1d(6, 3, 2), nn.GroupNorm(3, 3))
    graph = trace(net, torch.ones(1, 4, 20))
    assert graph.shapes[1:5].tolist() == [[6, 4, 1, 5], [6, 0, 0, 0], [3, 6, 1, 2], [3, 0, 0, 0]]
    lstm = trace(nn.LSTM(4, 5, 2, bidirectional=True), torch.ones(3, 1, 4))
    assert shape(lstm, "LSTM") == [20, 4, 0, 0]
    assert row(lstm, "LSTM") == {"num_layers": 2, "bidirectional": 1}
    attention = Lambda(lambda m, x: m.a(x, x, x)[0], a=nn.MultiheadAttention(8, 2))
    graph = trace(attention, torch.ones(3, 1, 8))
    assert (shape(graph, "MultiheadAttention"), graph.node_parameters.tolist()) == ([24, 8, 0, 0], [0, 288, 0])
    assert row(graph, "MultiheadAttention") == {"num_heads": 2, "num_kv_heads": 2, "head_dim": 4}


def test_weights_that_are_computed_from_others_belong_to_their_layer() -> None:
    net = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 3)),
        nn.Flatten(),
        nn.utils.spectral_norm(nn.Linear(24, 2)),
    )
    graph = trace(net, torch.ones(1, 4, 8))
    assert graph.op_types == ("input", "Conv1d", "Linear", "output")
    assert graph.shapes[1:3].tolist() == [[4, 4, 1, 3], [2, 24, 0, 0]]
    assert graph.unused_parameters == 0


def test_transformer_encoder_shows_its_layers_in_eval() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    graph = trace(nn.TransformerEncoder(layer, 2).eval(), torch.ones(1, 3, 8))
    counts = Counter(graph.op_types)
    assert (counts["MultiheadAttention"], counts["Linear"], counts["LayerNorm"], counts["add"]) == (2, 4, 4, 4)


# The user's module


def test_the_module_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    calls: list[Any] = []
    net[0].register_forward_hook(lambda *a: calls.append(a))
    state = {k: v.clone() for k, v in net.state_dict().items()}
    members = [set(vars(m)) for m in net.modules()]
    pointers = [p.data_ptr() for p in net.parameters()]
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    trace(net, torch.ones(2, 4))
    assert torch.equal(torch.rand(1), expected)
    assert net.training and not calls and torch.is_grad_enabled()
    assert members == [set(vars(m)) for m in net.modules()]
    assert pointers == [p.data_ptr() for p in net.parameters()]
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("prepare", [nn.Module.half, nn.Module.double, functools.partial(nn.Module.to, device="meta")])
def test_precision_and_device_do_not_matter(prepare: Any) -> None:
    net = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    expected = trace(net, torch.tensor([[1, 2]])).graph_hash
    assert trace(prepare(net), torch.tensor([[1, 2]])).graph_hash == expected
    assert trace(net, torch.tensor([[1, 2]], device="meta")).graph_hash == expected


def test_inputs_are_made_up_from_the_first_layers() -> None:
    assert trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))[0]).num_nodes == 3
    assert trace(nn.Sequential(nn.Embedding(10, 4), nn.LSTM(4, 4))).op_types[1:3] == ("Embedding", "LSTM")
    assert trace(nn.Sequential(nn.Flatten(), nn.Linear(784, 10))).op_types == ("input", "Linear", "output")


def test_wrappers_are_looked_through() -> None:
    net = nn.Linear(4, 4)
    assert trace(nn.DataParallel(net), torch.ones(1, 4)).graph_hash == trace(net, torch.ones(1, 4)).graph_hash


# Errors


def test_an_error_names_the_module_the_reason_and_what_to_pass() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.Sequential(nn.ReLU(), nn.Linear(9, 2)))
    with pytest.raises(ArchitectureTraceError) as caught:
        trace(net, torch.ones(1, 4))
    assert "'1.1' (Linear)" in str(caught.value) and "9" in str(caught.value) and "inputs=" in str(caught.value)


def test_an_error_for_a_module_whose_inputs_cannot_be_guessed() -> None:
    net = Lambda(lambda m, x: x["image"] * m.w, w=nn.Parameter(torch.ones(4)))
    with pytest.raises(ArchitectureTraceError, match="inputs="):
        trace(net)
    assert trace(net, ({"image": torch.ones(1, 4)},)).op_types == ("input", "mul", "output")


@pytest.mark.parametrize(
    ("net", "inputs", "words"),
    [
        (nn.Sequential(nn.LazyLinear(3)), torch.ones(1, 4), "lazy"),
        (Lambda(lambda m, x: torch.zeros(3)), torch.ones(1, 4), "depends on an input"),
        (torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), torch.ones(1, 2), "TorchScript"),
    ],
)
def test_networks_that_show_nothing_are_refused_with_a_reason(net: nn.Module, inputs: Any, words: str) -> None:
    with pytest.raises(ArchitectureTraceError, match=words):
        trace(net, inputs)


def test_limits_are_checked_at_every_op() -> None:
    def forever(m: Any, x: torch.Tensor) -> torch.Tensor:
        while True:
            x = torch.tanh(x)

    with pytest.raises(ArchitectureTraceError, match="max_nodes=100"):
        trace(Lambda(forever), torch.ones(1), max_nodes=100)
    with pytest.raises(ArchitectureTraceError, match="max_seconds"):
        trace(Lambda(forever), torch.ones(1), max_seconds=0.2)


def test_only_modules_and_configurations_are_accepted() -> None:
    with pytest.raises(TypeError, match="an nn"):
        trace("bert")


# Determinism and threads


def test_two_threads_do_not_mix() -> None:
    first = nn.Sequential(*[nn.Linear(4, 4) for _ in range(30)])
    second = nn.Sequential(*[nn.Conv1d(2, 2, 1) for _ in range(30)])
    jobs = [(first, torch.ones(1, 4), "Linear"), (second, torch.ones(1, 2, 4), "Conv1d")]
    wrong: list[Any] = []

    def work(net: nn.Module, inputs: torch.Tensor, op: str) -> None:
        for _ in range(10):
            if set(trace(net, inputs).op_types) != {"input", op, "output"}:
                wrong.append(op)

    threads = [threading.Thread(target=work, args=job) for job in jobs * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        first(torch.ones(1, 4))
        thread.join()
    assert not wrong


# transformers


def small_config(model_type: str, **options: Any) -> Any:
    """A configuration with two layers."""
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type](**options)


def test_a_configuration_and_its_model_give_the_same_graph_and_stay_untouched() -> None:
    from transformers import BertModel

    config = small_config("bert", num_hidden_layers=1, hidden_size=32, num_attention_heads=4, vocab_size=50)
    before = config.to_json_string()
    model = BertModel(config).train()
    graph = trace(config)
    assert graph.to_json() == trace(model).to_json() == trace(model.half()).to_json()
    with torch.device("meta"):
        assert trace(BertModel(config)).to_json() == graph.to_json()
    assert config.to_json_string() == before and model.config.use_cache and model.training
    assert graph.unused_parameters == 0
    assert row(graph, "scaled_dot_product_attention") == {"num_heads": 4, "num_kv_heads": 4, "head_dim": 8}
    assert {"torch", "transformers"} == set(graph.library_versions)


def test_grouped_heads_windows_and_experts_are_attributes() -> None:
    graph = trace(small_config("mixtral", num_hidden_layers=1, sliding_window=16))
    assert row(graph, "scaled_dot_product_attention") == {
        "num_heads": 32, "num_kv_heads": 8, "head_dim": 128, "causal": 1, "window": 16,
    }  # fmt: skip
    assert row(graph, "grouped_mm") == {"num_experts": 8, "top_k": 2}
    assert shape(graph, "grouped_mm") == [28672, 4096, 0, 0]
    assert row(graph, "topk") == {"top_k": 2}
    rotary = graph.op_types.index("RotaryEmbedding")
    assert graph.predecessors()[rotary] == [] and graph.successors()[rotary]
    assert graph.unused_parameters == 0


def test_gpt2_projections_are_linear_and_encoder_decoder_has_two_inputs() -> None:
    graph = trace(small_config("gpt2", n_layer=1))
    assert shape(graph, "Linear") == [2304, 768, 0, 0]
    assert not any("GPT" in op or "Conv1D" in op for op in graph.op_types)
    graph = trace(small_config("t5", num_layers=1))
    assert (graph.op_types.count("input"), graph.incomplete, graph.unused_parameters) == (2, (), 0)
    causal = [a["causal"] for a in attention_rows(graph)]
    assert causal == [0, 1, 0]


def attention_rows(graph: ArchitectureGraph) -> list[dict[str, int]]:
    """Attributes of every attention node."""
    from processing_archbert.ops_archbert import ATTRIBUTES

    rows = zip(graph.op_types, graph.attributes.tolist(), strict=True)
    return [dict(zip(ATTRIBUTES, values, strict=True)) for op, values in rows if op == "scaled_dot_product_attention"]


@pytest.mark.parametrize("model_type", ["resnet", "regnet", "vit", "clip", "mamba", "whisper", "swin", "deberta-v2"])
def test_default_configurations_are_complete_and_functional(model_type: str) -> None:
    options = {"num_hidden_layers": 2} if model_type in ("mamba", "deberta-v2", "vit") else {}
    graph = trace(small_config(model_type, **options))
    assert graph.unused_parameters <= 0.001 * graph.num_parameters and graph.incomplete == ()
    assert not any(model_type.split("-")[0] in op.lower() for op in graph.op_types)
    assert graph.op_types.count("input") == (2 if model_type in ("clip", "whisper") else 1)


def test_a_configuration_that_cannot_be_built_is_an_error() -> None:
    with pytest.raises(ArchitectureTraceError, match="BertConfig"):
        trace(small_config("bert", hidden_size=30, num_attention_heads=4))


def test_large_models_fit_in_memory_and_give_the_same_bytes_in_every_process() -> None:
    code = """
    import hashlib, re
    from pathlib import Path
    from transformers import LlamaConfig, MixtralConfig, T5Config
    from processing_archbert.tracing_archbert import trace
    for config in (LlamaConfig(), MixtralConfig(), T5Config(num_layers=2)):
        graph = trace(config)
        digest = hashlib.sha256(graph.to_json().encode()).hexdigest()
        print(digest, graph.num_parameters, graph.unused_parameters)
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text()) if status.exists() else None
    print(int(peak[1]) // 1024 if peak else 0)
    """
    children = [start_child(code, PYTHONHASHSEED=seed) for seed in "12"]
    first, second = (output_of(child).splitlines() for child in children)
    assert first[:3] == second[:3]
    for line, billions in zip(first[:2], (6.6, 46.5), strict=True):
        _, parameters, unused = line.split()
        assert int(parameters) > billions * 1e9 and unused == "0"
    # Not ru_maxrss, which a child starts with the size of the process that it was forked from.
    assert int(first[3]) < 1500 and int(second[3]) < 1500
