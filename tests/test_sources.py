"""`load_architecture`: what is read, what is refused, and that nothing is ever opened that could run."""

import json
import pickle
from pathlib import Path

import pytest
from huggingface_hub import errors
from torch import nn
from transformers import BertConfig, PretrainedConfig

from processing_archbert import ArchitectureGraph, ArchitectureGraphError, source_names_archbert, sources_archbert
from processing_archbert.sources_archbert import MAX_JSON_BYTES, ArchitectureSourceError, load_architecture

GRAPH = ArchitectureGraph.build(["input", "ReLU", "output"], [(0, 1), (1, 2)], name="three")
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
}


class Opened:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace_file):
        self.trace_file = trace_file

    def __reduce__(self):
        return Path.touch, (self.trace_file,)


def test_a_graph_is_taken_as_it_is():
    assert load_architecture(GRAPH) is GRAPH
    assert load_architecture(GRAPH.to_dict()) == GRAPH == load_architecture(GRAPH.to_row())
    assert load_architecture(GRAPH, name="renamed").name == "renamed"
    with pytest.raises(ArchitectureSourceError, match="leave inputs out"):
        load_architecture(GRAPH, inputs=(1,))


def test_module_config_folder_and_file_give_the_same_graph(tmp_path):
    config = BertConfig(**SMALL)
    config.save_pretrained(tmp_path)
    graph = load_architecture(config)
    assert "LayerNorm" in graph.op_types
    for source in (tmp_path, str(tmp_path), tmp_path / "config.json", str(tmp_path / "config.json")):
        assert load_architecture(source).graph_hash == graph.graph_hash
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    assert load_architecture(module, name="mlp").op_types == ("input", "Linear", "ReLU", "output")


def test_model_type():
    graph = load_architecture("bert", name="BERT")
    assert (graph.name, graph.source) == ("BERT", "bert")
    assert graph.num_parameters > 100_000_000


def test_saved_graph(tmp_path):
    (tmp_path / "graph.json").write_text(GRAPH.to_json())
    assert load_architecture(tmp_path / "graph.json") == GRAPH
    broken = GRAPH.to_dict() | {"edge_index": [[0, 1], [1, 99]]}
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    with pytest.raises(ArchitectureGraphError, match="edge_index has the index 99"):
        load_architecture(tmp_path / "broken.json")


@pytest.mark.parametrize("ending", sources_archbert.PICKLE_ENDINGS)
def test_pickles_are_refused_and_never_opened(tmp_path, ending):
    file, trace_file = tmp_path / f"model{ending}", tmp_path / "it_ran"
    file.write_bytes(pickle.dumps(Opened(trace_file)))
    with pytest.raises(ArchitectureSourceError, match=r"is a pickle.*never opened.*config\.json"):
        load_architecture(str(file))
    with pytest.raises(ArchitectureSourceError, match="is a pickle"):
        load_architecture(f"does/not/exist{ending.upper()}")
    assert not trace_file.exists()


def test_a_pickle_in_disguise_is_not_opened(tmp_path):
    trace_file = tmp_path / "it_ran"
    for name in ("config.json", "model"):
        (tmp_path / name).write_bytes(pickle.dumps(Opened(trace_file)))
        with pytest.raises(ArchitectureSourceError, match="is no JSON"):
            load_architecture(tmp_path / name)
    assert not trace_file.exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "No architecture is given; allowed is an ArchitectureGraph"),
        (7, "The architecture is int; allowed is"),
        (nn.Linear, "the class Linear; give an instance"),
        ({"weight": 1}, "no saved graph.*state dict"),
        ("", "empty string"),
        ("  ", "empty string"),
        ("a\0b", "no name and no path"),
        ("x" * 10_000, "no name and no path"),
        ("bertt", r"'bertt' is no model type.*Did you mean 'bert'"),
        ("xlm_roberta", "Did you mean 'xlm-roberta'"),
        ("BERT", "Did you mean 'bert'"),
        ("这是什么", "is no model type"),
        ("bert-base-uncased", r"Did you mean 'bert'.*google-bert/bert-base-uncased"),
        ("no/such/folder", "There is no file or folder"),
        ("missing.json", "There is no file or folder"),
        ("folder/missing.json", "There is no file or folder"),
        ("model.onnx", "There is no file or folder 'model.onnx'"),
        ("model.pt2", "There is no file or folder"),
        ("folder/model.safetensors", "There is no file or folder"),
        ("model.h5", "a Keras file; this is not supported"),
        ("https://example.org/model.onnx", "is an address; of addresses only headers of .safetensors and .gguf"),
        ("https://example.org/model.pth", "is a pickle by its ending"),
        ("https://example.org/model.safetensors", "cannot be fetched: HF_HUB_OFFLINE is set"),
        ("/dev/null", "no regular file"),
    ],
)
def test_what_cannot_be_read_is_explained(source, message):
    with pytest.raises(ArchitectureSourceError, match=message):
        load_architecture(source)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1, 2]", "holds a JSON list, not an object"),
        ("null", "holds a JSON NoneType"),
        ("{}", "has no model_type"),
        ('{"model_type": 3}', "has no model_type"),
        ('{"model_type": "bertt"}', "model_type of .* is unknown.*Did you mean 'bert'"),
        ('{"model_type": "bert", "hidden_size": "wide"}', "cannot be built"),
        ('{"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}', "needs code.*trust_remote_code=True"),
    ],
)
def test_malformed_json_is_explained(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    for source in (tmp_path, tmp_path / "config.json"):
        with pytest.raises(ArchitectureSourceError, match=message):
            load_architecture(source)


def test_invalid_text_and_huge_files_are_refused(tmp_path):
    (tmp_path / "latin.json").write_bytes(b'{"model_type": "\xff"}')
    with pytest.raises(ArchitectureSourceError, match="is no JSON"):
        load_architecture(tmp_path / "latin.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)
    with pytest.raises(ArchitectureSourceError, match=r"has \d+ bytes; at most \d+ are read"):
        load_architecture(tmp_path / "huge.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArchitectureSourceError, match=r"has no config\.json"):
        load_architecture(tmp_path / "empty")


def test_a_config_of_unknown_type_needs_trust():
    class OwnConfig(PretrainedConfig):
        model_type = "very-own"

    with pytest.raises(ArchitectureSourceError, match=r"not one of transformers.*nn\.Module"):
        load_architecture(OwnConfig())
    with pytest.raises(ArchitectureSourceError, match="No model can be built"):
        load_architecture(OwnConfig(), trust_remote_code=True)


def test_of_a_hub_repository_only_the_config_is_fetched(tmp_path, monkeypatch):
    BertConfig(**SMALL).save_pretrained(tmp_path)
    asked = []
    monkeypatch.setattr(
        source_names_archbert, "hf_hub_download", lambda *args: asked.append(args) or str(tmp_path / "config.json")
    )
    assert "LayerNorm" in load_architecture("someone/bert").op_types
    assert asked == [("someone/bert", "config.json")]
    assert "LayerNorm" in load_architecture("https://huggingface.co/someone/bert").op_types
    assert asked[1:] == [("someone/bert", "config.json")]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.LocalEntryNotFoundError("offline"), "'someone/net' is no folder, is not in the cache, and the Hub"),
        (ConnectionError("refused"), r"cannot be fetched from the Hub \(refused\). Connect"),
        (errors.HFValidationError("bad"), "no valid Hub id"),
    ],
)
def test_an_unreachable_hub_is_explained(monkeypatch, error, message):
    def fail(*args):
        raise error

    monkeypatch.setattr(source_names_archbert, "hf_hub_download", fail)
    with pytest.raises(ArchitectureSourceError, match=message):
        load_architecture("someone/net")
