"""Headers of weights: safetensors and GGUF, here, on a server and on a Hub; and that no tensor is ever read."""

import json
import math
import struct
import warnings

import pytest
from header_files import gguf_bytes, gguf_string, llama_gguf, safetensors_bytes
from huggingface_hub import constants
from local_hub import LocalHub
from transformers import AutoConfig, BertConfig, BertForMaskedLM, LlamaConfig, MixtralConfig, MixtralForCausalLM

from processing_archbert import GraphFacts, load_architecture, source_bytes_archbert
from processing_archbert.source_gguf_archbert import GGUF_CONFIGS
from processing_archbert.source_headers_archbert import read_gguf, read_safetensors
from processing_archbert.source_safetensors_archbert import safetensors_header
from processing_archbert.sources_archbert import ArchitectureSourceError, ArchitectureSourceWarning

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
}
TREE = {
    "conv.weight": (4, 3, 3, 3),
    "conv.bias": (4,),
    "bn.weight": (4,),
    "bn.running_mean": (4,),
    "up.weight": (4, 2, 2, 2),
    "up.bias": (2,),
    "layers.10.weight": (2, 4),
    "layers.2.weight": (6, 4),
    "embed_tokens.weight": (9, 4),
    "rnn.weight_ih_l0": (16, 3),
    "rnn.weight_hh_l0": (16, 4),
    "norm.weight": (4,),
    "scale": (7,),
}


@pytest.fixture
def online(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error", ArchitectureSourceWarning)
        yield


def saved(folder, kind=BertForMaskedLM, config=None):
    kind(config or BertConfig(**SMALL)).save_pretrained(folder)
    return folder / "model.safetensors"


def test_a_header_alone_gives_a_tree_without_data_flow(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(safetensors_bytes(TREE, {"format": "pt"}))
    graph = load_architecture(file)
    ops = dict(zip(graph.node_names, graph.op_types, strict=True))
    assert ops == {
        "conv": "Conv2d",
        "bn": "BatchNorm2d",
        "up": "ConvTranspose2d",
        "layers.2": "Linear",
        "layers.10": "Linear",
        "embed_tokens": "Embedding",
        "rnn": "LSTM",
        "norm": "RMSNorm",
        "scale": "parameter",
    }
    assert graph.node_names.index("layers.2") < graph.node_names.index("layers.10")
    assert graph.num_edges == 0
    assert not graph.has_data_flow
    assert graph.incomplete == ("data flow",)
    assert graph.num_parameters == sum(math.prod(TREE[name]) for name in TREE if name != "bn.running_mean")
    assert graph.shapes[graph.node_names.index("conv")].tolist() == [4, 3, 3, 3]


def test_of_a_tree_only_the_parameters_are_a_fact(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(safetensors_bytes(TREE))
    facts = GraphFacts(read_safetensors(file))
    assert facts.answer("activation_types").value is None
    assert facts.holds({"type": "lacks", "layer": "ReLU"}).value is None
    assert facts.holds({"type": "contains", "layer": "Linear"}).value is None
    assert facts.holds({"type": "follows", "layer": "Linear", "after": "LSTM"}).value is None
    assert facts.holds({"type": "parameters", "value": facts.graph.num_parameters}).value is True


def test_packed_weights_leave_the_parameters_unknown(tmp_path):
    header = {"a.weight": {"dtype": "U8", "shape": [8, 1], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    graph = read_safetensors(file)
    assert graph.incomplete == ("data flow", "packed weights")
    assert GraphFacts(graph).holds({"type": "parameters", "value": graph.num_parameters}).value is None


def test_header_and_config_give_the_network_that_was_saved(tmp_path, quiet):
    graph = load_architecture(saved(tmp_path))
    assert graph.graph_hash == load_architecture(BertConfig(**SMALL), task="fill-mask").graph_hash
    assert graph.num_parameters == sum(i.size for i in safetensors_header(tmp_path / "model.safetensors").values())
    assert load_architecture(tmp_path / "model.safetensors", task="feature-extraction").graph_hash == (
        load_architecture(tmp_path).graph_hash
    )


def test_a_checkpoint_that_transformers_rearranges_agrees(tmp_path, quiet):
    """Saved experts stand one by one, those of the network are stacked."""
    config = MixtralConfig(**SMALL, num_key_value_heads=2, num_local_experts=4)
    file = saved(tmp_path, MixtralForCausalLM, config)
    assert sum("experts" in name for name in safetensors_header(file)) > 4
    assert read_safetensors(file).num_parameters == sum(i.size for i in safetensors_header(file).values())


def test_what_does_not_agree_is_reported(tmp_path):
    file = saved(tmp_path)
    shapes = {name: info.shape for name, info in safetensors_header(file).items()}
    shapes["bert.encoder.layer.0.intermediate.dense.weight"] = (31, 16)
    del shapes["bert.encoder.layer.0.attention.self.query.bias"]
    shapes["bert.extra.weight"] = (2,)
    file.write_bytes(safetensors_bytes(shapes))
    with pytest.warns(ArchitectureSourceWarning) as caught:
        load_architecture(file)
    message = str(caught[0].message)
    assert "1 parameters of the network are not in the file: bert.encoder.layer.0.attention.self.query.bias" in message
    assert "1 tensors of the file are not in the network: bert.extra.weight" in message
    assert "intermediate.dense.weight ([31, 16] against [32, 16])" in message


def test_a_sharded_checkpoint(tmp_path, quiet):
    BertForMaskedLM(BertConfig(**SMALL)).save_pretrained(tmp_path, max_shard_size="10KB")
    index = tmp_path / "model.safetensors.index.json"
    assert len(set(json.loads(index.read_text())["weight_map"].values())) > 1
    whole = load_architecture(BertConfig(**SMALL), task="fill-mask").graph_hash
    assert load_architecture(index).graph_hash == whole
    shard = next(tmp_path.glob("model-00002*"))
    shard.unlink()
    with pytest.raises(ArchitectureSourceError, match="no regular file"):
        load_architecture(index)
    index.write_text('{"weight_map": {"a": "../../secret.safetensors"}}')
    with pytest.raises(ArchitectureSourceError, match=r"names 1 files, such as '\.\./"):
        load_architecture(index)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has 0 bytes"),
        (b"\xff" * 8 + b"{}", "says that its header has"),
        ((2).to_bytes(8, "little") + b"{}", "holds no tensor"),
        ((9).to_bytes(8, "little") + b"{}", "cut off or damaged"),
        ((4).to_bytes(8, "little") + b"null", "JSON NoneType"),
        (safetensors_bytes({"a": (2, 2)})[:-1], "cut off or damaged"),
        (safetensors_bytes({"a": (2, 2)}).replace(b"[2, 2]", b"[2, 3]"), "which are not those of F32"),
        (safetensors_bytes({"a": (2, 2)}).replace(b"F32", b"F99"), "a known dtype"),
        (safetensors_bytes({"a": (1,), "b": (1,)}).replace(b'"b"', b'"a"'), "stands there twice"),
        (safetensors_bytes({"a": (1,), "b": (1,)}).replace(b"[4, 8]", b"[0, 4]"), "overlap"),
    ],
)
def test_a_damaged_safetensors_file_is_explained(tmp_path, data, message):
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(ArchitectureSourceError, match=message):
        load_architecture(tmp_path / "model.safetensors", isolate=False)


def test_gguf_metadata_gives_the_network(tmp_path, quiet):
    file = tmp_path / "small.gguf"
    file.write_bytes(gguf_bytes(*llama_gguf()))
    graph = load_architecture(file)
    config = LlamaConfig(**SMALL, num_key_value_heads=1, max_position_embeddings=64)
    assert graph.graph_hash == load_architecture(config, task="text-generation").graph_hash
    assert (graph.name, graph.source) == ("Small", str(file))
    assert load_architecture(file, task="feature-extraction").graph_hash == load_architecture(config).graph_hash


def test_gguf_of_experts_with_tied_embeddings(tmp_path, quiet):
    metadata, shapes = llama_gguf(experts=4, tied=True)
    file = tmp_path / "small"
    file.write_bytes(gguf_bytes(metadata, shapes, version=2))
    graph = read_gguf(file)
    assert 4 in graph.attribute("num_experts")
    assert 2 in graph.attribute("top_k")


GGUF_KEYS = {
    "context_length": 64,
    "embedding_length": 32,
    "block_count": 2,
    "feed_forward_length": 64,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 8,
    "attention.value_length": 8,
}
EXPERT_KEYS = {
    "expert_count": 4,
    "expert_used_count": 2,
    "expert_feed_forward_length": 16,
    "expert_shared_feed_forward_length": 24,
}
SIZES = {
    "max_position_embeddings": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
HEAD = {"head_dim": 8}
QWEN_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
GGUF_NETWORKS = {
    "llama": ("llama", SIZES),
    "mistral": ("mistral", SIZES | {"sliding_window": None}),
    "mixtral": ("mixtral", SIZES | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2": ("qwen2", SIZES),
    "qwen2moe": ("qwen2_moe", SIZES | QWEN_EXPERTS | {"shared_expert_intermediate_size": 24}),
    "qwen3": ("qwen3", SIZES | HEAD),
    "qwen3moe": ("qwen3_moe", SIZES | HEAD | QWEN_EXPERTS),
    "gemma": ("gemma", SIZES | HEAD),
    "gemma2": ("gemma2", SIZES | HEAD | {"sliding_window": 16}),
    "gemma3": ("gemma3_text", SIZES | HEAD | {"sliding_window": 16}),
    "phi3": ("phi3", SIZES | {"sliding_window": 16}),
    "olmo2": ("olmo2", SIZES),
    "granite": ("granite", SIZES),
    "starcoder2": ("starcoder2", SIZES | {"use_bias": False}),
    "stablelm": ("stablelm", SIZES),
    "gpt2": ("gpt2", {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_inner": 64, "n_head": 4}),
}


def test_every_gguf_architecture_of_the_table_is_tested():
    assert set(GGUF_NETWORKS) == set(GGUF_CONFIGS)


@pytest.mark.parametrize("architecture", GGUF_NETWORKS)
def test_gguf_metadata_of_every_architecture_gives_its_network(tmp_path, quiet, architecture):
    model_type, options = GGUF_NETWORKS[architecture]
    ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"))
    config = AutoConfig.for_model(model_type, vocab_size=50, tie_word_embeddings=False, **options, **ids)
    expected = load_architecture(config, task="text-generation")
    keys = GGUF_KEYS | (EXPERT_KEYS if architecture in ("mixtral", "qwen2moe", "qwen3moe") else {})
    keys |= {"attention.sliding_window": 16} if "sliding_window" in options and architecture != "mistral" else {}
    metadata = {"general.architecture": architecture} | {f"{architecture}.{key}": keys[key] for key in keys}
    shapes = {"token_embd.weight": (50, 32), "output.weight": (50, 32), "blk.0.attn_norm.weight": (32,)}
    shapes |= {"blk.0.ffn_norm.weight": (32,)} if architecture == "stablelm" else {}
    rest = expected.num_parameters - sum(math.prod(shape) for shape in shapes.values())
    (tmp_path / "small.gguf").write_bytes(gguf_bytes(metadata, shapes | {"blk.1.rest.weight": (rest,)}))
    graph = read_gguf(tmp_path / "small.gguf")
    assert graph.has_data_flow and graph.num_parameters == expected.num_parameters
    assert graph.graph_hash == expected.graph_hash


def test_gguf_that_does_not_agree_is_reported(tmp_path):
    metadata, shapes = llama_gguf()
    file = tmp_path / "small.gguf"
    file.write_bytes(gguf_bytes(metadata, shapes | {"blk.0.extra.weight": (3,)}))
    with pytest.warns(ArchitectureSourceWarning, match=r"holds 3955 weights.*has 3952 parameters"):
        read_gguf(file)


def test_gguf_of_an_unknown_architecture_gives_a_tree(tmp_path):
    file = tmp_path / "vision.gguf"
    file.write_bytes(gguf_bytes({"general.architecture": "new"}, {"v.blk.0.ln1.bias": (8,), "mm.0.weight": (4, 8)}))
    graph = load_architecture(file)
    assert not graph.has_data_flow
    assert graph.num_parameters == 40


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GGML" + bytes(20), "does not begin with GGUF"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(16), "version is 1; versions 2 and 3"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(16), "big-endian files are not read"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "speaks of 1152921504606846976 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "holds no tensor"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + gguf_string("a") + struct.pack("<IQIQ", 1, 2**50, 0, 0),
            "more than",
        ),
        (gguf_bytes(*llama_gguf())[:700], "cut off or damaged"),
    ],
)
def test_a_damaged_gguf_file_is_explained(tmp_path, data, message):
    (tmp_path / "model.gguf").write_bytes(data)
    with pytest.raises(ArchitectureSourceError, match=message):
        load_architecture(tmp_path / "model.gguf", isolate=False)


def test_of_an_address_only_the_header_is_fetched(tmp_path, online):
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes({"layer.weight": (2000, 1000)}))
    (tmp_path / "small.gguf").write_bytes(gguf_bytes(*llama_gguf(feed_forward=40_000)))
    with LocalHub({"someone/net": tmp_path}) as hub:
        base = f"{hub.url}/someone/net/resolve/main"
        graph = read_safetensors(f"{base}/model.safetensors")
        assert (graph.op_types, graph.num_parameters) == (("Linear",), 2_000_000)
        assert hub.sent <= 2 * source_bytes_archbert.FIRST_FETCH_BYTES
        network = read_gguf(f"{base}/small.gguf")
        assert network.has_data_flow
        assert hub.sent <= 4 * source_bytes_archbert.FIRST_FETCH_BYTES
        with pytest.raises(ArchitectureSourceError, match="does not exist"):
            read_safetensors(f"{base}/other.safetensors")
        hub.ignore_ranges()
        assert read_safetensors(f"{base}/model.safetensors") == graph


def test_a_long_header_comes_in_pieces(tmp_path, online, monkeypatch):
    monkeypatch.setattr(source_bytes_archbert, "FIRST_FETCH_BYTES", 64)
    monkeypatch.setattr(source_bytes_archbert, "MAX_FETCH_BYTES", 128)
    (tmp_path / "small.gguf").write_bytes(gguf_bytes(*llama_gguf()))
    with LocalHub({"someone/net": tmp_path}) as hub:
        graph = read_gguf(f"{hub.url}/someone/net/resolve/main/small.gguf", name="x")
        assert len(hub.requests) > 5
    assert graph.graph_hash == read_gguf(tmp_path / "small.gguf").graph_hash


def test_an_unreachable_address_is_explained(online):
    with pytest.raises(ArchitectureSourceError, match=r"cannot be fetched .*give the path of a file"):
        read_safetensors("http://127.0.0.1:9/model.safetensors")


def test_a_file_of_a_hub_repository(tmp_path, online, monkeypatch, quiet):
    """Its header is joined with the config of the repository; neither the weights nor anything else is fetched."""
    saved(tmp_path)
    with LocalHub({"someone/bert": tmp_path}) as hub:
        monkeypatch.setattr("processing_archbert.source_names_archbert.constants.ENDPOINT", hub.url)
        address = f"{hub.url}/someone/bert/resolve/main/model.safetensors"
        monkeypatch.setattr("processing_archbert.source_names_archbert.hf_hub_url", lambda *args, **kwargs: address)
        graph = load_architecture("someone/bert/model.safetensors", isolate=False)
        assert {request.rsplit("/", 1)[-1] for request in hub.requests} == {"model.safetensors", "config.json"}
        assert load_architecture(f"{hub.url}/someone/bert/blob/main/model.safetensors", isolate=False).graph_hash == (
            graph.graph_hash
        )
    assert graph.source == "someone/bert/model.safetensors"
    assert graph.graph_hash == load_architecture(BertConfig(**SMALL), task="fill-mask").graph_hash
