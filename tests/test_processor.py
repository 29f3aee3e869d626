"""`ArchBertProcessor`: text and architectures to one batch; saving; what training needs."""

import pickle

import pytest
import torch
from tiny_checkpoint import tiny_tokenizer
from torch import nn
from transformers import BertConfig

from processing_archbert import ArchBertGraphFeatureExtractor, ArchBertProcessor, ArchitectureGraph
from processing_archbert.graph_features_archbert import SPECIAL_OPS, UNK_ID
from processing_archbert.processing_archbert import op_words

GRAPH = ArchitectureGraph.build(
    ["input", "Conv2d", "MyOp", "Conv2d", "ReLU", "output"], [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
)
TEXT = "Which pooling layers are used?"
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
}


@pytest.fixture(scope="module")
def processor():
    return ArchBertProcessor(tokenizer=tiny_tokenizer())


def test_either_side_or_both(processor):
    text, graph, both = processor(text=TEXT), processor(architectures=GRAPH), processor(TEXT, GRAPH)
    assert set(text) == {"input_ids", "attention_mask"}
    assert set(graph) == set(processor.feature_extractor([GRAPH]))
    assert set(both) == set(text) | set(graph)
    assert all(torch.equal(both[key], {**text, **graph}[key]) for key in both)
    assert text["input_ids"].dtype == text["attention_mask"].dtype == torch.int64
    assert all(value.shape[0] == 1 for value in both.values())


def test_whatever_an_architecture_is_given_as(processor):
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    config = BertConfig(**SMALL)
    batch = processor(architectures=[GRAPH, GRAPH.to_dict(), GRAPH.to_row(), module, config])
    assert batch["node_ids"].shape[0] == 5
    assert torch.equal(batch["node_ids"][0], batch["node_ids"][1]) and torch.equal(
        batch["edge_index"][0], batch["edge_index"][2]
    )
    image = torch.zeros(1, 3, 32, 32)
    given = [processor(architectures=module, inputs=x) for x in (image, (image,), {"input": image})]
    listed = processor(architectures=[module, GRAPH], inputs=[(image,), None])
    assert all(torch.equal(one["node_ids"], given[0]["node_ids"]) for one in given)
    assert torch.equal(listed["node_ids"][0, :4], given[0]["node_ids"][0])


def test_folded_and_unfolded(processor):
    chain = ArchitectureGraph.build(["ReLU"] * 30, [(i, i + 1) for i in range(29)])
    assert processor(architectures=chain)["node_ids"].shape == (1, 3)
    unfolded = processor(architectures=chain, fold=False)
    assert unfolded["node_ids"].shape == (1, 30) and unfolded["fold_rounds"].tolist() == [-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Give text, architectures or both"),
        ({"text": ""}, r"text\[0\] is empty"),
        ({"text": [TEXT, " \n\t"]}, r"text\[1\] is empty"),
        ({"text": [TEXT, "a \ud800"]}, r"text\[1\] is no Unicode text"),
        ({"text": []}, "text is an empty list"),
        ({"text": [3]}, r"text\[0\] is int"),
        ({"text": 3}, "text is int; a string or a list of strings"),
        ({"architectures": []}, "architectures is an empty list"),
        ({"architectures": [None]}, "No architecture is given"),
        ({"architectures": "bertt"}, "Did you mean 'bert'"),
        ({"text": [TEXT, TEXT], "architectures": [GRAPH]}, "2 texts and 1 architectures"),
        ({"architectures": [nn.ReLU(), nn.ReLU()], "inputs": torch.zeros(2)}, "inputs have to be a list"),
        ({"architectures": [nn.ReLU()], "inputs": [1, 2]}, "one entry for each of the 1 architectures"),
        ({"text": TEXT, "inputs": torch.zeros(2)}, "inputs are given without architectures"),
    ],
)
def test_what_is_wrong_is_said(processor, arguments, message):
    with pytest.raises(ValueError, match=message):
        processor(**arguments)


def test_text_in_any_script_and_of_any_length(processor):
    batch = processor(text=["Какие слои есть в сети?", "どの層ですか", "🙂", "word " * 1000])
    assert batch["input_ids"].shape == (4, processor.max_text_length)
    assert (batch["attention_mask"].sum(dim=1) > 0).all()
    unknown = processor.tokenizer.unk_token_id
    assert not (batch["input_ids"] == unknown).any()
    assert processor(text=TEXT, padding="max_length")["input_ids"].shape == (1, processor.max_text_length)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MaskedConv2d", "masked conv 2 d"),
        ("scaled_dot_product", "scaled dot product"),
        ("LSTMCell", "lstm cell"),
        ("GELU", "gelu"),
        ("fft2", "fft 2"),
        ("МойСлой", "мойслой"),
        ("++", "++"),
    ],
)
def test_words_of_an_op(name, words):
    assert op_words(name) == words


def test_unknown_ops_are_presented_by_the_pieces_of_their_names(processor):
    batch = processor(architectures=GRAPH)
    mask, names = batch["op_piece_mask"][0], processor.feature_extractor.encode(GRAPH).op_names
    assert [bool(row.any()) for row in mask] == [name == "MyOp" for name in names]
    token = names.index("MyOp")
    length = int(mask[token].sum())
    assert batch["node_ids"][0, token] == UNK_ID
    assert processor.tokenizer.decode(batch["op_piece_ids"][0, token, :length]).split() == ["my", "op"]
    assert not batch["op_piece_ids"][0, token, length:].any()


def test_long_names_fill_the_pieces(processor):
    graph = ArchitectureGraph.build(["x".join("abcdefghijkl") * 30], [])
    assert processor(architectures=graph)["op_piece_mask"].tolist() == [[[1] * 8]]


def test_collate_is_the_call_in_two_steps(processor):
    encodings = processor.encode_architectures([GRAPH, nn.Sequential(nn.Linear(3, 4), nn.ReLU())])
    cached = pickle.loads(pickle.dumps(encodings))
    whole = processor(text=[TEXT, "More?"], architectures=[GRAPH, nn.Sequential(nn.Linear(3, 4), nn.ReLU())])
    batch = processor.collate([TEXT, "More?"], cached)
    assert set(batch) == set(whole) and all(torch.equal(batch[key], whole[key]) for key in whole)
    assert processor.collate([TEXT] * 5, encodings)["input_ids"].shape[0] == 5
    assert "node_ids" not in processor.collate([TEXT], None) and "input_ids" not in processor.collate(None, encodings)
    with pytest.raises(ValueError, match="neither was given"):
        processor.collate(None, None)
    with pytest.raises(ValueError, match="op_replacement is 2"):
        processor.collate(None, encodings, op_replacement=2)


def test_replaced_ops_are_presented_as_unknown_ones(processor):
    encodings = processor.encode_architectures([GRAPH] * 40, fold=False)
    before = encodings[0].node_ids.copy()
    batch = processor.collate(None, encodings, 0.5, torch.Generator().manual_seed(0))
    again = processor.collate(None, encodings, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(batch["node_ids"], again["node_ids"]) and (encodings[0].node_ids == before).all()
    for ids, mask in zip(batch["node_ids"], batch["op_piece_mask"], strict=True):
        assert ids[1] == ids[3], "both Conv2d or none"
        assert torch.equal(mask.any(dim=1), ids == UNK_ID)
    share = (batch["node_ids"][:, [0, 1, 4, 5]] == UNK_ID).float().mean().item()
    assert 0.3 < share < 0.7
    everything = processor.collate(None, encodings[:1], 1.0)
    assert (everything["node_ids"] == UNK_ID).all() and everything["op_piece_mask"].any(dim=2).all()
    assert (processor.collate(None, encodings)["node_ids"] >= len(SPECIAL_OPS)).sum() == 40 * 5


def test_saved_and_loaded(processor, tmp_path):
    processor(architectures=GRAPH)
    ArchBertProcessor(
        ArchBertGraphFeatureExtractor(num_fold_rounds=1), processor.tokenizer, max_text_length=9
    ).save_pretrained(tmp_path)
    restored = ArchBertProcessor.from_pretrained(tmp_path)
    assert restored.max_text_length == 9 and restored.feature_extractor.num_fold_rounds == 1
    expected = processor(text=TEXT)["input_ids"][:, :9]
    assert torch.equal(restored(text=TEXT)["input_ids"], expected)
    assert ArchBertProcessor.from_pretrained(tmp_path, max_text_length=5).max_text_length == 5
    assert "_op_pieces" not in (tmp_path / "processor_config.json").read_text()
    copy = pickle.loads(pickle.dumps(processor))
    assert torch.equal(copy(architectures=GRAPH)["op_piece_ids"], processor(architectures=GRAPH)["op_piece_ids"])


def test_a_pickle_does_not_depend_on_earlier_calls(processor):
    before = pickle.dumps(processor.__getstate__()["_op_pieces"])
    processor(architectures=GRAPH)
    assert pickle.dumps(processor.__getstate__()["_op_pieces"]) == before


def test_a_processor_needs_a_tokenizer():
    with pytest.raises(ValueError, match="needs a tokenizer"):
        ArchBertProcessor()


def test_an_op_whose_name_is_no_unicode_text_has_pieces_like_another(processor: ArchBertProcessor) -> None:
    graph = ArchitectureGraph.build(["input", "Own\ud800Layer", "output"], [(0, 1), (1, 2)])
    batch = processor(architectures=[graph])
    assert batch["op_piece_mask"].sum() > 0
