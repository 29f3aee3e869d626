"""What changed between two architectures: statements, verdicts, node sets, and input that is not whole."""

import dataclasses
import json

import numpy as np
import pytest
from diff_pairs import PAIRS, UNSEEN, judge
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import any_graphs, chain, relabelled
from transformers import AutoConfig

from processing_archbert import (
    ATTRIBUTES,
    ArchitectureGraph,
    ArchitectureGraphError,
    ArchitectureSourceError,
    diff,
    load_architecture,
)
from processing_archbert.graph_alignment_archbert import align_sequences, find_isomorphism
from processing_archbert.graph_diff_archbert import VERDICTS, ArchitectureDiffWarning
from processing_archbert.graph_stacks_archbert import Structure

SMALL = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
SAMPLE = ("bert: num_hidden_layers=5", "llama: num_key_value_heads=2", "mixtral: num_local_experts=8",
          "t5: num_layers=4", "bart: decoder_ffn_dim=256", "resnet: depths=[3, 4, 6, 3]",
          "opt: do_layer_norm_before=False", "llama: tie_word_embeddings=True",
          "bert: None -> text-classification", "swin: depths=[2, 2, 6, 2]", "vit: patch_size=8",
          "mistral: sliding_window=32",
          "xlm-roberta: vocab_size=1000", "rwkv: num_hidden_layers=3", "detr: decoder_layers=4",
          "gemma2: sliding_window=16",
          "falcon: multi_query=True", "qwen3_moe: num_experts=8", "segformer: depths=[1, 2, 4, 2]",
          "gpt_bigcode: multi_query=True", "dinov2: mlp_ratio=2")  # fmt: skip
BY_NAME = {pair.name: pair for pair in (*PAIRS, *UNSEEN)}


def graph_of(family, task=None, **options):
    return load_architecture(AutoConfig.for_model(family, **options), task=task, name=family)


@pytest.fixture(scope="module")
def bert():
    return graph_of("bert", **SMALL)


def renamed(graph):
    return dataclasses.replace(graph, node_names=tuple(f"x{i}" for i in range(graph.num_nodes)), name="other")


@pytest.mark.parametrize("name", SAMPLE)
def test_a_known_difference_is_stated_and_nothing_else(name):
    pair = BY_NAME[name]
    a = graph_of(pair.family, pair.tasks[0], **pair.base)
    b = graph_of(pair.family, pair.tasks[1], **{**pair.base, **pair.change})
    found = diff(a, b)
    assert judge(pair, found.changes) == ([], []), found.lines


def test_there_are_enough_pairs_and_families():
    assert len(PAIRS) >= 40 and len({pair.family for pair in PAIRS}) >= 15


def kinds_and_texts(a, b):
    found = diff(a, b)
    return {change.kind: change.text for change in found.changes}, found


def test_tables_that_read_the_same_input_are_not_all_a_vocabulary(bert):
    texts, found = kinds_and_texts(bert, graph_of("roberta", **SMALL))
    assert set(texts) == {"vocabulary"} and texts["vocabulary"] == "vocabulary 50265 instead of 30522"
    assert not found.nodes[1]["added"]


def test_positions_and_prepended_tokens_that_are_parameters():
    sizes = {**SMALL, "image_size": 64}
    texts, found = kinds_and_texts(graph_of("vit", **sizes), graph_of("deit", **sizes))
    assert found.verdict == "same structure"
    assert texts == {"positions": "learned positions 18 instead of 17", "tokens": "2 learned tokens instead of 1"}


def test_a_shared_expert_and_shared_layers_are_said(bert):
    sizes = {**SMALL, "num_key_value_heads": 4, "vocab_size": 500, "num_hidden_layers": 2}
    moe = graph_of("qwen2_moe", **sizes, num_experts=4, moe_intermediate_size=32, shared_expert_intermediate_size=96)
    texts, found = kinds_and_texts(graph_of("mixtral", **sizes, num_local_experts=4), moe)
    residual = {branch.add for stack in Structure(moe).stacks for branch in stack.branches}
    assert residual <= set(found.nodes[1]["kept"])
    assert texts["shared_expert"] == "shared expert of inner width 96 added"
    assert texts["activation"] == "Sigmoid added beside SiLU"
    texts, _ = kinds_and_texts(bert, graph_of("albert", **SMALL, embedding_size=64))
    assert texts["shared_layers"] == "one set of weights for all layers instead of weights of its own in each layer"


def test_normalized_queries_and_layer_scale_are_said():
    sizes = {**SMALL, "num_key_value_heads": 4, "vocab_size": 500}
    texts, _ = kinds_and_texts(graph_of("qwen2", **sizes), graph_of("qwen3", **sizes, head_dim=16))
    assert texts == {"qk_norm": "queries and keys normalized"}
    sizes = {"hidden_sizes": [16, 32, 64, 128], "depths": [1, 1, 3, 1]}
    texts, _ = kinds_and_texts(graph_of("convnext", **sizes), graph_of("convnextv2", **sizes))
    assert set(texts) == {"layer_scale"}


def test_an_output_of_the_stem_is_an_output():
    sizes = {**SMALL, "num_hidden_layers": 2}
    texts, _ = kinds_and_texts(graph_of("wav2vec2", **sizes), graph_of("hubert", **sizes))
    assert texts == {"outputs": "1 output instead of 2"}


def test_what_stands_between_stages_is_not_called_the_head():
    sizes = {"hidden_sizes": [16, 32, 64, 128], "depths": [2, 2, 3, 2]}
    for family, between, never in (("convnext", {"LayerNorm", "Conv2d"}, "GELU"), ("resnet", set(), "ReLU")):
        structure = Structure(graph_of(family, **sizes, **({"embedding_size": 16} if family == "resnet" else {})))
        ops = [(zone, op) for zone, op in zip(structure.zones, structure.graph.op_types, strict=True) if zone]
        assert {op for zone, op in ops if zone == "between"} == between
        assert never not in {op for zone, op in ops if zone == "head"}


def test_parts_that_nothing_connects_are_not_outputs():
    sizes = {"d_model": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "decoder_ffn_dim": 128}
    graphs = [graph_of("bart", "text-generation", **sizes, decoder_layers=n) for n in (2, 3)]
    with pytest.warns(ArchitectureDiffWarning, match="incomplete"):
        found = diff(*graphs)
    assert found.lines[0] == "3 decoder layers instead of 2"
    assert {change.kind for change in found.changes} == {"layers", "added"}
    assert found.lines[1].startswith("in parts that nothing connects: ")


def test_a_head_of_another_kind_is_not_paired_by_its_ops():
    ops = ["input", "Linear", "ReLU", "Linear", "add", "LayerNorm", "Linear", "add"]
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (1, 4), (4, 5), (5, 6), (6, 7), (4, 7)]
    body = [(0, 0), (8, 4), (0, 0), (8, 8), (0, 0), (8, 0), (8, 8), (0, 0)]

    def with_head(*shapes):
        names, links, sizes = list(ops), list(edges), [*body, *shapes]
        for _ in shapes:
            links.append((len(names) - 1, len(names)))
            names.append("Linear")
        rows = np.array([(*shape, 0, 0) for shape in sizes], np.int32)
        return ArchitectureGraph.build(names, links, rows)

    lines = diff(with_head((5, 8)), with_head((70, 8), (9, 70))).lines
    assert "head: Linear 8 -> 5 removed" in lines and "head: Linear 8 -> 70, Linear 70 -> 9 added" in lines


def test_a_depth_is_one_line_and_says_so(bert):
    found = diff(bert, graph_of("bert", **{**SMALL, "num_hidden_layers": 6}))
    assert found.lines == ["6 encoder layers instead of 3"]
    assert found.verdict == "changed" and len(found.nodes[1]["added"]) == 3 * 12 and not found.nodes[0]["removed"]


def test_a_wider_network_has_the_same_structure(bert):
    found = diff(bert, graph_of("bert", **{**SMALL, "hidden_size": 128}))
    assert found.verdict == "same structure" and found.lines[0] == "hidden size 128 instead of 64"
    assert not found.nodes[0]["removed"] and not found.nodes[1]["added"]


@settings(max_examples=25, deadline=None)
@given(graph=any_graphs(), seed=st.integers(0, 1000))
def test_renamed_and_reordered_graphs_are_identical(graph, seed):
    found = diff(graph, renamed(relabelled(graph, seed)))
    assert found.verdict == "identical" and not found.changes


@settings(max_examples=25, deadline=None)
@given(a=any_graphs(), b=any_graphs())
def test_every_node_has_one_state_and_pairs_are_one_to_one(a, b):
    found = diff(a, b)
    assert found.verdict in VERDICTS and 0 <= found.likeness <= 1
    for graph, states in zip((a, b), found.nodes, strict=True):
        assert sorted(n for nodes in states.values() for n in nodes) == list(range(graph.num_nodes))
    assert (found.verdict == "identical") == a.is_isomorphic(b)
    json.loads(found.to_json())


def test_a_reordered_network_is_identical(bert):
    found = diff(bert, renamed(relabelled(bert, 3)))
    assert found.verdict == "identical" and found.lines == []
    assert len(found.nodes[0]["kept"]) == bert.num_nodes


def test_the_isomorphism_is_one(bert):
    other = relabelled(bert, 5)
    mapping = find_isomorphism(bert, other, numbers=True)
    edges = {tuple(edge) for edge in other.edge_index.T.tolist()}
    assert all(tuple(edge) in edges for edge in mapping[bert.edge_index].T.tolist())


def test_one_other_number_is_not_identical(bert):
    shapes = bert.shapes.copy()
    shapes[np.flatnonzero(shapes[:, 0])[-1], 0] += 1
    found = diff(bert, dataclasses.replace(bert, shapes=shapes))
    assert found.verdict == "same structure" and found.changes and len(found.nodes[0]["changed"]) == 1


def test_the_same_object_twice(bert):
    assert diff(bert, bert).verdict == "identical"


def test_networks_of_other_families_get_a_summary(bert):
    found = diff(bert, graph_of("resnet", depths=[1, 1, 1, 1], hidden_sizes=[16, 32, 64, 128], embedding_size=16))
    assert found.verdict == "different" and len(found.lines) <= 6
    kinds = {change.kind for change in found.changes}
    assert {"summary", "only"} <= kinds
    assert any("only a has: Linear" in line for line in found.lines)


def test_tied_weights_of_equal_graphs_are_said():
    options = {**SMALL, "num_key_value_heads": 4, "vocab_size": 500}
    plain, tied = (graph_of("llama", "text-generation", **options, tie_word_embeddings=t) for t in (False, True))
    assert [change.kind for change in diff(plain, tied).changes] == ["tied"]


def test_an_incomplete_graph_is_said_to_be(bert):
    with pytest.warns(ArchitectureDiffWarning, match="incomplete: decoder"):
        found = diff(bert, dataclasses.replace(bert, incomplete=("decoder",)))
    assert "note: " in str(found)


def test_layers_without_data_flow_are_never_identical(bert):
    tree = dataclasses.replace(bert, edge_index=np.zeros((2, 0), np.int32), incomplete=("data flow",))
    with pytest.warns(ArchitectureDiffWarning):
        assert diff(tree, tree).verdict != "identical"


def test_another_extraction_version_is_warned_of(bert):
    with pytest.warns(ArchitectureDiffWarning, match="extraction versions"):
        diff(bert, dataclasses.replace(bert, extraction_version=bert.extraction_version - 1))


def test_empty_and_disconnected_graphs(bert):
    with pytest.raises(ArchitectureGraphError, match="op_types has 0 entries"):
        diff({**bert.to_dict(), "op_types": []}, bert)
    apart = ArchitectureGraph.build(["Linear", "ReLU", "Linear"], [])
    assert diff(apart, ArchitectureGraph.build(["ReLU", "Linear", "Linear"], [])).verdict == "identical"
    assert diff(apart, chain(3)).verdict in ("changed", "different")


def test_what_is_no_architecture_is_refused(bert):
    with pytest.raises(ArchitectureSourceError):
        diff(bert, 3)


def test_networks_without_residual_layers():
    found = diff(chain(40, ("Conv2d", "ReLU")), chain(60, ("Conv2d", "ReLU")))
    assert len(found.pairs) == 40 and len(found.nodes[1]["added"]) == 20 and found.changes


def test_json_is_stable_and_documented(bert):
    data = diff(bert, graph_of("bert", **{**SMALL, "num_hidden_layers": 4})).to_dict()
    assert list(data) == [
        "format", "version", "verdict", "likeness", "a", "b", "changes", "notes", "nodes", "pairs",
    ]  # fmt: skip
    assert data["changes"][0] == {
        "kind": "layers", "scope": "encoder", "a": 3, "b": 4, "text": "4 encoder layers instead of 3",
    }  # fmt: skip


def test_decoder_layers_are_not_encoder_layers():
    options = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4}
    structure = Structure(graph_of("t5", **options))
    assert [structure.num_layers(stack) for stack in structure.stacks] == [2, 3]
    assert [stack.sources for stack in structure.stacks] == [set(), {0}]


def test_long_sequences_are_aligned_in_pieces(monkeypatch):
    import processing_archbert.graph_alignment_archbert as module

    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 4, size=(60, 1)).repeat(4, axis=1) for _ in range(2))

    def total(pairs):
        return sum(int(module._likeness(x[i], y[[j]])[0]) for i, j in pairs)

    whole = total(align_sequences(x, y))
    monkeypatch.setattr(module, "_TABLE_CELLS", 16)
    pieces = align_sequences(x, y)
    assert total(pieces) == whole and pieces == sorted(pieces) and len({j for _, j in pieces}) == len(pieces)
    monkeypatch.setattr(module, "MAX_CELLS", 1)
    assert len(align_sequences(x, y)) > 0


def test_attributes_are_compared():
    rows = np.zeros((2, 3, len(ATTRIBUTES)), np.int32)
    rows[:, 1, ATTRIBUTES.index("kernel_h")] = rows[:, 1, ATTRIBUTES.index("kernel_w")] = 3
    rows[:, 1, ATTRIBUTES.index("dilation_h")] = rows[:, 1, ATTRIBUTES.index("dilation_w")] = 1, 2
    a, b = (
        ArchitectureGraph.build(["input", "Conv2d", "ReLU"], [(0, 1), (1, 2)], attributes=attributes)
        for attributes in rows
    )
    assert any("dilation" in line and "2 instead of 1" in line for line in diff(a, b).lines)
