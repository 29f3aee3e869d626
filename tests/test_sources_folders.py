"""Folders: configurations beside weights, and pipelines of several networks."""

import json
import sys
import types

import pytest
import torch
from header_files import safetensors_bytes
from torch import nn
from transformers import BertConfig, BertForMaskedLM, CLIPTextConfig, LlamaConfig

from processing_archbert import load_architecture
from processing_archbert.source_diffusion_archbert import diffusion_inputs
from processing_archbert.sources_archbert import ArchitectureSourceError, ArchitectureSourceWarning, load_components

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
}
UNET = {"_class_name": "SmallUNet", "_diffusers_version": "0.30", "in_channels": 4, "sample_size": 8}
INDEX = {
    "_class_name": "SmallPipeline",
    "_diffusers_version": "0.30",
    "unet": ["diffusers", "SmallUNet"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "language_model": ["transformers", "LlamaForCausalLM"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "safety_checker": [None, None],
}


class SmallUNet(nn.Module):
    """Stands for a denoiser of diffusers."""

    def __init__(self, in_channels, sample_size):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 8, 3)
        self.out = nn.Linear(8, 4)

    @classmethod
    def from_config(cls, options):
        return cls(**{key: value for key, value in options.items() if not key.startswith("_")})

    def forward(self, sample, timestep):
        return self.out((self.conv(sample) * timestep).mean((2, 3)))


@pytest.fixture
def pipeline(tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps(INDEX))
    for name, config in (("text_encoder", CLIPTextConfig(**SMALL)), ("language_model", LlamaConfig(**SMALL))):
        config.save_pretrained(tmp_path / name)
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text(json.dumps(UNET))
    return tmp_path


@pytest.fixture
def diffusers(monkeypatch):
    """A package with one network, in place of diffusers."""
    module = types.ModuleType("diffusers")
    module.ModelMixin, module.SmallUNet, module.NoNetwork = SmallUNet, SmallUNet, dict
    module.__spec__ = types.SimpleNamespace(name="diffusers")
    monkeypatch.setitem(sys.modules, "diffusers", module)


def test_one_graph_for_each_component_and_their_union(pipeline, diffusers):
    parts = {name: load_architecture(pipeline, component=name, isolate=False) for name in ("unet", "text_encoder")}
    assert {"Conv2d", "mul", "mean", "Linear"} <= set(parts["unet"].op_types)
    assert parts["text_encoder"].graph_hash == load_architecture(CLIPTextConfig(**SMALL)).graph_hash
    parts["language_model"] = load_architecture(LlamaConfig(**SMALL), task="text-generation")
    whole = load_architecture(pipeline, isolate=False)
    assert whole.name == "SmallPipeline"
    assert whole.incomplete == ()
    for count in ("num_nodes", "num_edges", "num_parameters"):
        assert getattr(whole, count) == sum(getattr(graph, count) for graph in parts.values())
    assert {name.partition(".")[0] for name in whole.node_names} == set(parts)


def test_a_component_without_its_library_is_named(pipeline, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.warns(ArchitectureSourceWarning, match=r"unet is left out.*pip install diffusers"):
        whole = load_architecture(pipeline, isolate=False)
    assert whole.incomplete == ("unet",)
    with pytest.raises(ArchitectureSourceError, match="pip install diffusers"):
        load_architecture(pipeline, component="unet", isolate=False)
    (pipeline / "unet" / "diffusion.safetensors").write_bytes(safetensors_bytes({"conv.weight": (8, 4, 3, 3)}))
    with pytest.warns(ArchitectureSourceWarning, match="without edges"):
        tree = load_architecture(pipeline, component="unet", isolate=False)
    assert tree.op_types == ("Conv2d",)
    assert not tree.has_data_flow


def test_components_by_name_in_child_processes(pipeline):
    (pipeline / "unet" / "config.json").unlink()
    with pytest.warns(ArchitectureSourceWarning, match="unet"):
        graphs = load_components(pipeline)
    assert list(graphs) == ["text_encoder", "language_model"]
    assert graphs["text_encoder"].graph_hash == load_architecture(CLIPTextConfig(**SMALL)).graph_hash


def test_only_networks_of_the_library_are_built(pipeline, diffusers):
    for kind in ("NoNetwork", "os", "__builtins__", "no name"):
        (pipeline / "model_index.json").write_text(json.dumps(INDEX | {"unet": ["diffusers", kind]}))
        with pytest.raises(ArchitectureSourceError, match="is no network of the installed diffusers"):
            load_architecture(pipeline, component="unet", isolate=False)


def test_code_of_a_pipeline_is_never_imported(pipeline, tmp_path):
    (tmp_path / "own_code.py").write_text("raise SystemExit('it ran')")
    (pipeline / "model_index.json").write_text(json.dumps({"unet": ["own_code", "SmallUNet"]}))
    (pipeline / "unet" / "config.json").write_text(json.dumps({"hidden": 3}))
    with pytest.raises(ArchitectureSourceError, match="No network of"):
        load_architecture(pipeline, isolate=False)
    assert "own_code" not in sys.modules


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({}, "names 0 networks"),
        ({"../up": ["transformers", "BertModel"]}, "names 1 networks, such as '../up'"),
        ({f"part{i}": ["transformers", "BertModel"] for i in range(100)}, "names 100 networks"),
    ],
)
def test_a_strange_index_is_refused(tmp_path, index, message):
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ArchitectureSourceError, match=message):
        load_architecture(tmp_path, isolate=False)


def test_an_unknown_component_gets_a_suggestion(pipeline):
    with pytest.raises(ArchitectureSourceError, match=r"no network 'unte'\. Did you mean 'unet'"):
        load_architecture(pipeline, component="unte", isolate=False)
    with pytest.raises(ArchitectureSourceError, match="no pipeline"):
        load_architecture("bert", component="unet")


def test_inputs_of_a_denoiser_come_from_its_options():
    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 8, 3)

        def forward(self, sample, timestep, encoder_hidden_states, added_cond_kwargs=None):
            return sample

    options = {"in_channels": 4, "sample_size": 16, "cross_attention_dim": [32, 32]}
    options |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    options |= {"projection_class_embeddings_input_dim": 80}
    made = diffusion_inputs(Denoiser(), options)
    assert made["sample"].shape == (1, 4, 16, 16)
    assert made["encoder_hidden_states"].shape[-1] == 32
    assert made["added_cond_kwargs"]["text_embeds"].shape == (1, 32)
    del options["cross_attention_dim"]
    assert diffusion_inputs(Denoiser(), options) is None


def test_a_folder_with_weights_alone(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(safetensors_bytes({"layer.weight": (2, 3)}))
    assert load_architecture(tmp_path).op_types == ("Linear",)
    (tmp_path / "more.safetensors").write_bytes(safetensors_bytes({"layer.weight": (2, 3)}))
    with pytest.raises(ArchitectureSourceError, match=r"no config\.json and 2 files of weights; give the path of one"):
        load_architecture(tmp_path)


def test_a_folder_with_config_and_weights_is_its_config(tmp_path):
    BertForMaskedLM(BertConfig(**SMALL)).save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"never to be opened")
    base = load_architecture(tmp_path)
    assert base.graph_hash == load_architecture(BertConfig(**SMALL)).graph_hash
    head = load_architecture(tmp_path, task="auto")
    assert head.graph_hash == load_architecture(tmp_path / "model.safetensors").graph_hash != base.graph_hash


def test_options_that_fetch_or_run_are_left_out(tmp_path):
    config = BertConfig(**SMALL).to_dict() | {
        "quantization_config": {"quant_method": "no_such_method", "load_in_4bit": True},
        "attn_implementation": "someone/kernel",
        "_attn_implementation": "someone/kernel",
        "auto_map": {"AutoModel": "code.Model"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text("raise SystemExit('it ran')")
    assert load_architecture(tmp_path).graph_hash == load_architecture(BertConfig(**SMALL)).graph_hash
    quantised = BertConfig(**SMALL, quantization_config={"quant_method": "no_such_method"})
    assert load_architecture(quantised).graph_hash == load_architecture(BertConfig(**SMALL)).graph_hash
    assert quantised.quantization_config == {"quant_method": "no_such_method"}
    assert torch.get_default_dtype() is torch.float32
