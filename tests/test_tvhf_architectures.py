"""The architectures of TVHF: registry, duplicates, clusters and splits, relations, stored hashes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dataset_scripts.tvhf.architectures_tvhf import Traced, load_architectures, make_table, write_architectures
from dataset_scripts.tvhf.build_architectures import HASHES, changes
from dataset_scripts.tvhf.check_registry import disagreements
from dataset_scripts.tvhf.clusters_tvhf import assign_splits, components, merge_components, near_groups, near_pairs
from dataset_scripts.tvhf.isomorphism_tvhf import are_isomorphic
from dataset_scripts.tvhf.library_tvhf import parentage
from dataset_scripts.tvhf.registry_tvhf import Member, Registry, load_registry
from dataset_scripts.tvhf.relations_tvhf import Known, relation
from dataset_scripts.tvhf.similarity_wl_tvhf import wl_similarity
from dataset_scripts.tvhf.trace_tvhf import entry_digest, graph_path, is_kept, make_graph, read_graph, trace_member
from dataset_scripts.tvhf.yaml_tvhf import RegistryError
from processing_archbert import ArchitectureGraph, trace

FAMILY = """\
- family: tiny
  paradigm: convolutional network
  modality: [image]
  tasks: [image classification]
  year: null
  members:
    - torchvision: [one, two]
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


def small_network(width: int, depth: int = 2, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(4, width)]
    for _ in range(depth):
        layers += [nn.Linear(width, width), activation(), nn.LayerNorm(width)]
    return nn.Sequential(*layers)


def small_graph(width: int, depth: int = 2, activation: type[nn.Module] = nn.ReLU) -> ArchitectureGraph:
    return trace(small_network(width, depth, activation).eval(), (torch.empty(1, 4, device="meta"),))


def traced_members(member: Member) -> list[Traced]:
    """Networks of five families; two names of one graph; one of the latest year."""
    kinds = [nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid]
    found = []
    for i, kind in enumerate(kinds):
        for width in (8, 16):
            name = f"net{i}-{width}"
            year = 2020 + i
            entry = replace(member, name=name, family=f"family{i}", year=year, modality=("text",), overrides={})
            found.append(Traced(entry, small_graph(width, i + 1, kind), "library 1"))
    twin = replace(found[0].member, name="twin", family="family0", year=2021)
    return [*found, Traced(twin, small_graph(8, 1), "library 1")]


def test_registry_has_every_model_type_of_the_library(registry: Registry) -> None:
    assert list(disagreements(registry)) == []
    assert len(registry.members) > 1000
    assert sum(member.source == "torchvision" for member in registry.members.values()) == 121


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("convolutional network", "magic network", 2, "magic network"),
        ("[image]", "[smell]", 3, "smell"),
        ("[image classification]", "image classification", 4, "list of strings"),
        ("year: null", "year: soon", 5, "soon"),
        ("  year: null", "  colour: red", 5, "colour"),
        ("[one, two]", "[one, one]", 7, "twice"),
        ("torchvision: [one, two]", "type: one\n      variants: {big: }", 8, "big"),
        ("year: null", "year: 2019\n  year: 2020", 6, "'year' is there twice"),
        ("[image]", "[image", 4, "no valid YAML"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(FAMILY)
    assert list(load_registry(tmp_path).members) == ["one", "two"]
    path.write_text(FAMILY.replace(old, new, 1))
    with pytest.raises(RegistryError) as error:
        load_registry(tmp_path)
    assert str(error.value).startswith(f"{path}:{line}: ") and said in str(error.value)


def test_a_family_or_member_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(FAMILY)
    (tmp_path / "b.yaml").write_text(FAMILY)
    with pytest.raises(RegistryError, match=r"b\.yaml:1: family 'tiny' is already in .*a\.yaml:1"):
        load_registry(tmp_path)
    (tmp_path / "b.yaml").write_text(FAMILY.replace("tiny", "other").replace("one", "three"))
    with pytest.raises(RegistryError, match=r"b\.yaml:7: member 'two' is already at .*a\.yaml:7"):
        load_registry(tmp_path)


def test_parentage_is_that_of_the_modular_files() -> None:
    assert parentage("mistral").parents == ("llama",)
    assert "mistral" in parentage("qwen2").parents and "gemma2" in parentage("qwen2").borrows
    assert parentage("llama") == ((), ())


def test_twins_are_one_row_and_the_first_published_gives_it(registry: Registry) -> None:
    table = make_table(traced_members(registry.members["resnet18"]))
    row = next(row for row in table.architectures if row.name == "net0-8")
    assert row.aliases == ["twin"] and "twin" not in [other.name for other in table.architectures]
    assert len({row.graph_hash for row in table.architectures}) == len(table.architectures) == 10


def test_splits_share_no_cluster_and_the_latest_are_apart(registry: Registry) -> None:
    items = traced_members(registry.members["resnet18"])
    table = make_table(items)
    sides: dict[str, set[str]] = {}
    for row in table.architectures:
        sides.setdefault(row.cluster, set()).add(row.split)
    assert all(len(found) == 1 for found in sides.values())
    assert {row.name for row in table.architectures if row.split == "test_new"} == {"net4-8", "net4-16"}
    assert table.audit["shared_clusters"] == table.audit["shared_graphs"] == 0
    again = make_table(list(reversed(items)))
    assert [row.row for row in again.architectures] == [row.row for row in table.architectures]


def test_rows_come_back_from_parquet(tmp_path: Path, registry: Registry) -> None:
    table = make_table(traced_members(registry.members["resnet18"]))
    assert write_architectures(tmp_path, table.architectures) > 0
    read = load_architectures(tmp_path)
    assert [row.row for row in read] == [row.row for row in table.architectures]
    assert all(row.graph.graph_hash == row.graph_hash for row in read)


def test_components_join_equal_families_and_aliases() -> None:
    assert components([["a"], ["b"], ["a", "c"], ["c"], ["d"]]).tolist() == [0, 1, 0, 0, 2]


def test_complete_linkage_does_not_chain() -> None:
    similarity = np.array([[1, 0.97, 0.5], [0.97, 1, 0.97], [0.5, 0.97, 1]])
    merged = merge_components(np.arange(3), similarity)
    assert len(set(merged.tolist())) == 2
    similarity[0, 2] = similarity[2, 0] = 0.96
    assert set(merge_components(np.arange(3), similarity).tolist()) == {0}
    assert len(set(merge_components(np.array([0, 0, 1]), np.full((3, 3), 0.95)).tolist())) == 2


def test_near_clusters_stand_on_one_side() -> None:
    rng = np.random.default_rng(0)
    similarity = rng.uniform(0, 0.6, (200, 200))
    similarity[rng.integers(200, size=60), rng.integers(200, size=60)] = 0.95
    similarity = np.maximum(similarity, similarity.T)
    np.fill_diagonal(similarity, 1)
    clusters = np.arange(200) // 2
    new = [i % 19 == 0 for i in range(200)]
    strata = [("text", "vision")[i % 4 // 2] for i in range(200)]
    names = [f"n{i:03}" for i in range(200)]
    splits = assign_splits(names, near_groups(clusters, similarity, new), strata, new)
    assert set(splits) == {"train", "validation", "test", "test_new"}
    assert all("test_new" in (splits[p.first], splits[p.second]) for p in near_pairs(splits, similarity))
    assert near_pairs(splits, similarity, above=0.5)


def test_wl_similarity_leaves_sizes_out() -> None:
    similarity = wl_similarity([small_graph(8), small_graph(64), small_graph(8, activation=nn.GELU)])
    assert similarity[0, 1] == pytest.approx(1) and similarity[0, 2] < 0.7
    assert np.allclose(similarity, similarity.T)


def test_isomorphism_finds_renamed_nodes_and_tells_rewired_ones() -> None:
    graph = six_layers([(0, 1), (1, 2), (0, 3), (3, 4), (2, 5), (4, 5)])
    renamed = six_layers([(0, 1), (1, 3), (0, 2), (2, 4), (3, 5), (4, 5)])
    rewired = six_layers([(0, 1), (1, 2), (1, 3), (0, 4), (2, 5), (4, 5)])
    assert are_isomorphic(graph, renamed) and graph != renamed
    assert not are_isomorphic(graph, rewired)


def six_layers(edges: list[tuple[int, int]]) -> ArchitectureGraph:
    return ArchitectureGraph.build(op_types=["input", *["Linear"] * 4, "add"], edges=edges)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("bert", "bert-large", "resized"),
        ("t5", "t5-v1.1-small", "variant"),
        ("gpt2", "gpt2-xl", "resized"),
        ("llama", "mistral", "variant"),
        ("mistral", "qwen2", "variant"),
        ("llama", "llava", "shared backbone"),
        ("clip", "clip_vision_model", "shared backbone"),
        ("bert", "deberta", "same paradigm"),
        ("bert", "resnet", "unrelated"),
        ("resnet50", "resnet101", "resized"),
        ("resnet18", "resnet50", "variant"),
        ("vgg11", "vgg11_bn", "variant"),
        ("resnet50", "resnext50_32x4d", "variant"),
        ("resnet50", "fcn_resnet50", "shared backbone"),
        ("fcn_resnet50", "deeplabv3_resnet50", "shared backbone"),
        ("fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "variant"),
        ("resnet50", "densenet121", "same paradigm"),
        ("resnet50", "vit_b_16", "unrelated"),
    ],
)
def test_relations_of_known_pairs(registry: Registry, first: str, second: str, expected: str) -> None:
    a, b = Known(registry.members[first]), Known(registry.members[second])
    assert relation(a, b) == relation(b, a) == expected


def test_relations_stay_within_one_library(registry: Registry) -> None:
    with pytest.raises(ValueError, match="within one library"):
        relation(Known(registry.members["resnet50"]), Known(registry.members["bert"]))


def test_a_kept_graph_is_traced_again_when_its_entry_changes(tmp_path: Path, registry: Registry) -> None:
    member = replace(registry.members["bert-tiny"], overrides={**registry.members["bert-tiny"].overrides})
    assert not is_kept(tmp_path, member)
    assert trace_member(member, tmp_path) == "" and is_kept(tmp_path, member)
    graph, beside = read_graph(graph_path(tmp_path, member))
    assert graph.num_parameters == 4_385_920 and beside["digest"] == entry_digest(member, beside["library"])
    assert not is_kept(tmp_path, replace(member, overrides={**member.overrides, "num_hidden_layers": 3}))


def test_a_network_that_cannot_be_built_leaves_its_error(tmp_path: Path, registry: Registry) -> None:
    member = replace(registry.members["bert-tiny"], overrides={"hidden_size": 7, "num_attention_heads": 2})
    assert "multiple" in trace_member(member, tmp_path)
    assert is_kept(tmp_path, member) and graph_path(tmp_path, member).with_suffix(".error").exists()


@pytest.mark.parametrize("name", ["bert-tiny", "mobilenet_v1", "t5"])
def test_networks_still_have_their_stored_hashes(registry: Registry, name: str) -> None:
    member = registry.members[name]
    graph = make_graph(member.source, name, member.type, member.overrides)
    assert json.loads(HASHES.read_text())["graphs"][name] == [graph.graph_hash, graph.num_parameters]


def test_changes_say_what_is_another_network() -> None:
    before = {"versions": ["a 1"], "graphs": {"x": ["h", 1000], "y": ["h", 5], "z": ["k", 5]}}
    after = {"versions": ["a 2"], "graphs": {"x": ["i", 1001], "y": ["h", 5], "w": ["h", 5]}}
    lines = changes(before, after, {"z": "too large"})
    assert lines == [
        "versions: a 1 before, a 2 now",
        "x: the graph is another one; 1,000 parameters before, 1,001 now",
        "z: cannot be traced now: too large",
        "w: new",
    ]
    assert changes(before, before, {}) == []
