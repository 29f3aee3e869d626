"""`ArchBertGraphFeatureExtractor`: buckets, vocabulary, encodings, padding, saving."""

import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import any_graphs, chain
from transformers import AutoFeatureExtractor

import archbert  # noqa: F401 (makes the class known to transformers)
from processing_archbert import ATTRIBUTES, OPS, ArchBertGraphFeatureExtractor, ArchitectureGraph
from processing_archbert.graph_features_archbert import NUM_BUCKETS, UNK_ID, bucket

KEYS = {
    "node_ids", "node_shapes", "node_attributes", "node_counts", "node_features", "node_mask", "edge_index",
    "edge_mask", "graph_features", "op_piece_ids", "op_piece_mask", "block_ids", "block_repeats", "block_mask",
    "fold_rounds",
}  # fmt: skip


def residual_graph(**changes):
    graph = ArchitectureGraph.build(
        ["input", "Conv2d", "MyOwnBlock3d", "add", "output"], [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4)],
        shapes=[[0] * 4, [768, 3, 3, 3], [0] * 4, [0] * 4, [0] * 4], node_parameters=[0, 224, 0, 0, 0],
    )  # fmt: skip
    return dataclasses.replace(graph, **changes)


def test_buckets_follow_the_formula():
    numbers = np.arange(1, 20_000)
    expected = [x if x <= 32 else 32 + math.ceil(round(8 * math.log2(x / 32), 9)) for x in numbers.tolist()]
    assert bucket(numbers).tolist() == expected
    assert bucket(np.array([0, 32, 33, 64, 65, 2**31 - 1])).tolist() == [0, 32, 33, 40, 41, 240]
    assert bucket(np.array([2**62])).tolist() == [NUM_BUCKETS - 1]


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_buckets_keep_the_order(a, b):
    low, high = bucket(np.array(sorted((a, b)))).tolist()
    assert 0 <= low <= high < NUM_BUCKETS


def test_vocabulary_starts_with_the_special_ops_and_follows_the_table():
    extractor = ArchBertGraphFeatureExtractor()
    assert extractor.vocabulary == ["[PAD]", "[UNK]", "[MASK]", "[GRAPH]", *OPS]
    encoding = extractor.encode(residual_graph())
    assert encoding.op_names == ("input", "Conv2d", "MyOwnBlock3d", "add", "output")
    assert encoding.node_ids.tolist() == [
        UNK_ID if op == "MyOwnBlock3d" else extractor.vocabulary.index(op) for op in encoding.op_names
    ]


def test_a_graph_cannot_name_a_special_op():
    graph = residual_graph(op_types=("input", "[MASK]", "[PAD]", "add", "output"))
    assert ArchBertGraphFeatureExtractor().encode(graph).node_ids.tolist()[1:3] == [UNK_ID, UNK_ID]


def test_encoding_holds_what_the_graph_holds():
    encoding = ArchBertGraphFeatureExtractor().encode(residual_graph())
    assert encoding.node_shapes[1].tolist() == bucket(np.array([768, 3, 3, 3])).tolist()
    assert encoding.node_counts.tolist() == [1] * 5 and encoding.fold_rounds == 2
    assert encoding.edge_index.tolist() == [[0, 1], [1, 2], [0, 3], [2, 3], [3, 4]]
    assert encoding.graph_features.tolist() == pytest.approx(np.log1p([5, 5, 224]))
    assert encoding.node_features[:, 1].tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert encoding.node_features[:, 0].tolist() == pytest.approx([math.log(2)] * 5)


def test_features_of_a_colour_tell_count_and_place():
    encoding = ArchBertGraphFeatureExtractor(num_fold_rounds=0).encode(chain(6))
    assert encoding.op_names == ("Conv2d", "ReLU") and encoding.node_counts.tolist() == [3, 3]
    np.testing.assert_allclose(encoding.node_features[0], [np.log(4), 0, 0.4, 0.8], rtol=1e-6)
    np.testing.assert_allclose(encoding.node_features[1], [np.log(4), 0.2, 0.6, 1], rtol=1e-6)
    assert encoding.block_ids.tolist() == [0] and encoding.block_repeats.tolist() == [3]


def test_batch_has_the_keys_shapes_and_types_of_the_design():
    extractor = ArchBertGraphFeatureExtractor()
    batch = extractor([residual_graph(), chain(9)])
    assert set(batch) == KEYS
    floats = {"node_features", "graph_features"}
    assert all(value.dtype == (torch.float32 if key in floats else torch.int64) for key, value in batch.items())
    rows, tokens, edges = 2, 5, batch["edge_index"].shape[1]
    assert batch["node_ids"].shape == batch["node_mask"].shape == batch["node_counts"].shape == (rows, tokens)
    assert batch["node_shapes"].shape == batch["node_features"].shape == (rows, tokens, 4)
    assert batch["node_attributes"].shape == (rows, tokens, len(ATTRIBUTES))
    assert batch["edge_index"].shape == (rows, edges, 2) and batch["edge_mask"].shape == (rows, edges)
    assert batch["op_piece_ids"].shape == batch["op_piece_mask"].shape == (rows, tokens, 8)
    assert batch["graph_features"].shape == (rows, 3) and batch["fold_rounds"].tolist() == [2, 2]
    both = ArchBertGraphFeatureExtractor(fold_direction="both")([residual_graph()])
    assert set(both) == KEYS | {"reverse_edge_index", "reverse_edge_mask"}
    assert both["reverse_edge_index"][0].tolist() == [[1, 0], [3, 0], [2, 1], [3, 2], [4, 3]]


@settings(max_examples=30, deadline=None)
@given(st.lists(any_graphs(), min_size=1, max_size=4), st.booleans())
def test_a_row_does_not_depend_on_its_batch(graphs, fold):
    extractor = ArchBertGraphFeatureExtractor(fold_direction="both")
    batch = extractor(graphs, fold=fold)
    lengths = {"edge": "edge_mask", "reverse": "reverse_edge_mask", "block": "block_mask"}
    for row, graph in enumerate(graphs):
        alone = extractor(graph, fold=fold)
        for key, value in alone.items():
            if value.dim() == 1 or key == "graph_features":
                assert torch.equal(batch[key][row], value[0])
                continue
            mask = lengths.get(key.split("_")[0], "node_mask")
            length = int(batch[mask][row].count_nonzero())
            assert torch.equal(batch[key][row, :length], value[0, :length]), key
            assert not batch[key][row, length:].any() and not value[0, length:].any(), key


@settings(max_examples=30, deadline=None)
@given(any_graphs())
def test_unfolded_has_one_token_for_each_node(graph):
    encoding = ArchBertGraphFeatureExtractor().encode(graph, fold=False)
    assert encoding.op_names == graph.op_types and encoding.fold_rounds == -1
    assert encoding.node_counts.tolist() == [1] * graph.num_nodes
    assert encoding.edge_index.T.tolist() == graph.edge_index.tolist()


def test_a_single_node_without_edges():
    batch = ArchBertGraphFeatureExtractor()([ArchitectureGraph.build(["input"], [])])
    assert batch["edge_index"].shape == (1, 1, 2) and not batch["edge_mask"].any() and not batch["block_mask"].any()
    assert all(torch.isfinite(value.float()).all() for value in batch.values())


def test_too_many_tokens_are_refused_with_a_way_out_or_cut():
    extractor = ArchBertGraphFeatureExtractor(max_nodes=100)
    graph = chain(1000)
    assert extractor.encode(graph).num_tokens == 4
    with pytest.raises(ValueError, match=r"1000 tokens; max_nodes is 100.*fold=True.*raise max_nodes.*truncation"):
        extractor.encode(graph, fold=False)
    cut = extractor.encode(graph, fold=False, truncation=True)
    assert cut.num_tokens == len(cut.node_shapes) == len(cut.op_names) == 100 and cut.edge_index.max() == 99
    always = ArchBertGraphFeatureExtractor(max_nodes=100, truncation=True)
    assert always.encode(graph, fold=False).num_tokens == 100


def test_encodings_are_picklable_and_small():
    encoding = ArchBertGraphFeatureExtractor().encode(residual_graph())
    restored = pickle.loads(pickle.dumps(encoding))
    for field in dataclasses.fields(encoding):
        assert np.array_equal(getattr(restored, field.name), getattr(encoding, field.name))
    assert encoding.node_attributes.dtype == np.uint8 and encoding.edge_index.dtype == np.int32


def test_another_extraction_version_is_warned_of():
    graph = residual_graph(extraction_version=99)
    with pytest.warns(UserWarning, match=r"extraction_version 99, but this extractor.*Extract the graph again"):
        ArchBertGraphFeatureExtractor().encode(graph)


def test_saved_and_loaded_with_another_vocabulary(tmp_path):
    changes = {"num_fold_rounds": 3, "fold_direction": "both", "max_nodes": 7}
    extractor = ArchBertGraphFeatureExtractor(ops=["Conv2d", "ReLU"], **changes)
    extractor.save_pretrained(tmp_path)
    restored = ArchBertGraphFeatureExtractor.from_pretrained(tmp_path)
    assert restored.to_dict() == extractor.to_dict() and restored.vocabulary[4:] == ["Conv2d", "ReLU"]
    assert restored.encode(chain(3)).node_ids.tolist() == extractor.encode(chain(3)).node_ids.tolist()
    assert "_ids" not in (tmp_path / "preprocessor_config.json").read_text()


def test_loaded_by_the_auto_class(tmp_path):
    ArchBertGraphFeatureExtractor().save_pretrained(tmp_path)
    assert type(AutoFeatureExtractor.from_pretrained(tmp_path)) is ArchBertGraphFeatureExtractor


def test_accepts_what_speaks_the_protocol_and_refuses_the_rest():
    extractor, graph = ArchBertGraphFeatureExtractor(), residual_graph()
    whole = extractor(graph)
    for other in (graph.to_dict(), graph.to_row()):
        assert all(torch.equal(whole[key], value) for key, value in extractor(other).items())
    with pytest.raises(ValueError, match="A graph is str; an ArchitectureGraph"):
        extractor.encode("bert")
    with pytest.raises(ValueError, match="There are no graphs"):
        extractor([])
    with pytest.raises(ValueError, match="return_tensors is 'tf'"):
        extractor(graph, return_tensors="tf")
    assert isinstance(extractor(graph, return_tensors="np")["node_ids"], np.ndarray)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fold_direction": "successors"}, "fold_direction is 'successors'; allowed are predecessors, both"),
        ({"num_fold_rounds": -1}, "num_fold_rounds is -1; an integer from 0"),
        ({"max_nodes": 0}, "max_nodes is 0; an integer from 1"),
        ({"max_nodes": 2.5}, "max_nodes is 2.5"),
        ({"ops": ["a", "a"]}, "ops has an op twice"),
        ({"ops": ["[PAD]"]}, "ops has one of"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ArchBertGraphFeatureExtractor(**arguments)
