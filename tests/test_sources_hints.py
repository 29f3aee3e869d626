"""Hints of `load_architecture`: heads, limits, isolation; and what modules in wrappers and quantised layers give."""

import json
import pickle
import zipfile

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, BertConfig, LlamaConfig, ResNetConfig

from processing_archbert import ArchitectureGraph, ArchitectureTraceError, load_architecture, sources_archbert
from processing_archbert.source_errors_archbert import ArchitectureSourceError, ArchitectureSourceWarning
from processing_archbert.source_names_archbert import resolve_name

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
}


@pytest.mark.parametrize("task", ["fill-mask", "AutoModelForMaskedLM", "BertForMaskedLM", "auto"])
def test_a_head_by_task_auto_class_class_or_config(task):
    config = BertConfig(**SMALL, architectures=["BertForMaskedLM"])
    base, head = load_architecture(config), load_architecture(config, task=task)
    assert head.name == "BertForMaskedLM"
    assert head.op_types.count("Linear") == base.op_types.count("Linear") + 1  # no pooler; transform and decoder


def test_a_head_of_a_model_type_and_of_a_file(tmp_path):
    config = ResNetConfig(hidden_sizes=[8, 8], depths=[1, 1], embedding_size=8)
    config.save_pretrained(tmp_path)
    assert load_architecture(tmp_path, task="image-classification").op_types[-2:] == ("Linear", "output")
    assert load_architecture("resnet", task="image-classification").op_types[-2:] == ("Linear", "output")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("fil-mask", "'fil-mask' is no task. Did you mean 'fill-mask'"),
        ("object-detection", "'bert' has no AutoModelForObjectDetection; its tasks are feature-extraction, fill-mask"),
        ("GPT2LMHeadModel", "'bert' has no GPT2LMHeadModel"),
        ("PreTrainedTokenizer", "is no task"),
        ("auto", "names no class in architectures"),
        (3, "task is int"),
    ],
)
def test_a_wrong_task_is_explained(task, message):
    with pytest.raises(ArchitectureSourceError, match=message):
        load_architecture(BertConfig(**SMALL), task=task)


def test_hints_that_do_not_belong_are_refused(tmp_path):
    module = nn.Linear(2, 2)
    for hints, message in (
        ({"task": "fill-mask"}, "task is given with an nn.Module"),
        ({"isolate": True}, "isolate is given with a Linear"),
        ({"memory_limit": 1}, "memory_limit is given with a Linear"),
        ({"component": "unet"}, "component is given with a Linear"),
    ):
        with pytest.raises(ArchitectureSourceError, match=message):
            load_architecture(module, **hints)
    with pytest.raises(ArchitectureSourceError, match="memory_limit holds in a child process only"):
        load_architecture("bert", isolate=False, memory_limit=1 << 30)
    with pytest.raises(ArchitectureSourceError, match="inputs cannot be taken into a child process"):
        load_architecture("bert", torch.zeros(1), isolate=True)


def test_files_are_read_in_a_child_process_and_names_here(tmp_path, monkeypatch):
    BertConfig(**SMALL).save_pretrained(tmp_path)
    expected = load_architecture(tmp_path, isolate=False)
    read_here = []
    monkeypatch.setattr(sources_archbert, "read_named", lambda named, *args: read_here.append(named.kind) or expected)
    assert load_architecture(tmp_path) == expected
    assert read_here == []
    load_architecture("bert")
    load_architecture(tmp_path, isolate=False)
    assert read_here == ["type", "config"]


def test_limits_stop_a_network_without_end(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **SMALL, "num_hidden_layers": 10**7}))
    with pytest.raises(ArchitectureTraceError, match=r"^Reading '.*' took longer than time_limit=1 s"):
        load_architecture(tmp_path, time_limit=1.0)
    assert load_architecture("bert", isolate=True).graph_hash == load_architecture("bert").graph_hash


def test_warnings_of_a_child_arrive(tmp_path, monkeypatch):
    answer = {"graph": ArchitectureGraph.build(["input", "output"], [(0, 1)]).to_dict(), "warnings": ["look here"]}
    monkeypatch.setattr("processing_archbert.isolation_archbert.run_isolated", lambda *args, **kwargs: answer)
    with pytest.warns(ArchitectureSourceWarning, match="look here"):
        load_architecture("bert", isolate=True)


def test_the_rules_tell_strings_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    BertConfig(**SMALL).save_pretrained(tmp_path / "bert")
    BertConfig(**SMALL).save_pretrained(tmp_path / "owner" / "net")
    (tmp_path / "x.onnx").write_bytes(b"\x08\x07")
    with zipfile.ZipFile(tmp_path / "x.pt2", "w") as file:
        file.writestr("version", "3")
    kinds = {text: resolve_name(text).kind for text in
             ("bert", "./bert", "owner/net", "x.onnx", "./x.pt2", "timm:vit", "TorchVision:resnet18")}  # fmt: skip
    assert kinds == {"bert": "type", "./bert": "config", "owner/net": "config", "x.onnx": "onnx", "./x.pt2": "export",
                     "timm:vit": "timm", "TorchVision:resnet18": "torchvision"}  # fmt: skip


@pytest.mark.parametrize("name", ["model.onnx", "model.gguf", "model.safetensors", "model", "model.dat"])
def test_a_pickle_under_another_name_is_refused(tmp_path, name):
    file = tmp_path / name
    file.write_bytes(pickle.dumps([1, 2, 3]))
    with pytest.raises(ArchitectureSourceError, match=r"but a pickle: .*never opened"):
        load_architecture(file)
    torch.save(nn.Linear(2, 2).state_dict(), file)
    with pytest.raises(ArchitectureSourceError, match=r"zip archive, as torch.save writes it.*never opened"):
        load_architecture(file)


def test_adapters_are_part_of_the_network():
    config = LlamaConfig(**SMALL)
    plain = load_architecture(AutoModelForCausalLM.from_config(config))
    model = get_peft_model(AutoModelForCausalLM.from_config(config), LoraConfig(r=4, target_modules=["q_proj"]))
    adapted = load_architecture(model)
    assert adapted.op_types.count("Linear") == plain.op_types.count("Linear") + 2
    assert adapted.num_parameters == plain.num_parameters + 2 * 4 * 16
    assert load_architecture(model.merge_and_unload()).graph_hash == plain.graph_hash


class PackedLinear(nn.Linear):
    """Two weights of four bits in a byte, and code that runs on no CPU."""

    def __init__(self, in_features, out_features):
        super().__init__(in_features, out_features)
        packed = torch.zeros(in_features * out_features // 2, 1, dtype=torch.uint8)
        self.weight = nn.Parameter(packed, requires_grad=False)

    def forward(self, x):
        raise RuntimeError("needs a GPU")


class GroupedLinear(nn.Module):
    """Weights of four bits in integers, and their scales."""

    def __init__(self, infeatures, outfeatures):
        super().__init__()
        self.infeatures, self.outfeatures, self.bias = infeatures, outfeatures, None
        self.register_buffer("qweight", torch.zeros(infeatures // 8, outfeatures, dtype=torch.int32))

    def forward(self, x):
        raise RuntimeError("needs a GPU")


class Convolutional(nn.Module):
    """Layers of which most are quantised or fused."""

    def __init__(self):
        super().__init__()
        self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.conv, self.relu, self.norm = nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.GroupNorm(2, 8)
        self.linear, self.sum = nn.Linear(8, 4), torch.ao.nn.quantized.FloatFunctional()

    def forward(self, x):
        x = self.relu(self.conv(self.quant(x)))
        return self.dequant(self.linear(self.sum.add(x, self.norm(x)).mean((2, 3))))


def test_quantised_layers_are_shown_as_what_they_compute():
    plain = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 8, bias=False))
    packed = nn.Sequential(PackedLinear(8, 16), GroupedLinear(16, 8))
    assert load_architecture(packed) == load_architecture(plain)
    recurrent = nn.Sequential(nn.Linear(8, 4), nn.LSTM(4, 5)).eval()
    dynamic = torch.ao.quantization.quantize_dynamic(recurrent, {nn.Linear, nn.LSTM})
    assert load_architecture(dynamic, torch.zeros(3, 8)) == load_architecture(recurrent, torch.zeros(3, 8))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_statically_quantised_network_equals_its_float_one():
    network = Convolutional().eval()
    network.qconfig = torch.ao.quantization.default_qconfig
    fused = torch.ao.quantization.fuse_modules(network, [["conv", "relu"]])
    prepared = torch.ao.quantization.prepare(fused)
    prepared(torch.zeros(2, 3, 16, 16))
    quantised = load_architecture(torch.ao.quantization.convert(prepared))
    plain = load_architecture(network)
    assert quantised.graph_hash == plain.graph_hash
    assert quantised.num_parameters == plain.num_parameters
