"""Pictures of graphs: what is drawn, once each, between the right boxes, and escaped; never how many pixels."""

from __future__ import annotations

import dataclasses
import random
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from processing_archbert import ArchitectureGraph, ArchitectureGraphError, Fact
from processing_archbert.graph_labels_archbert import box_label, clean, repeat_text, shape_text
from processing_archbert.graph_outline_archbert import AUTO_BOXES, FLOW, RESIDUAL, SKIP, Outline, PictureError, outline
from processing_archbert.graph_summary_archbert import hierarchy

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert("x")</script>]]>&amp;\x00\x1b[31m\u202e"]; end\n%%{init}%%\ud800'


def network(layers: int = 4, names: bool = True, widths: tuple[int, ...] = ()) -> ArchitectureGraph:
    """input -> Embedding -> layers of (LayerNorm, Linear, GELU, Linear, add with the layer's input) -> output."""
    ops, edges, paths, shapes = ["input", "Embedding"], [(0, 1)], ["ids", "embed"], [(0, 0, 0, 0), (100, 8, 0, 0)]
    for layer in range(layers):
        before, first = len(ops) - 1, len(ops)
        width = widths[layer] if widths else 32
        ops += ["LayerNorm", "Linear", "GELU", "Linear", "add"]
        paths += [f"layers.{layer}.{name}" for name in ("norm", "mlp.up", "mlp.act", "mlp.down", "add")]
        shapes += [(8, 0, 0, 0), (width, 8, 0, 0), (0, 0, 0, 0), (8, width, 0, 0), (0, 0, 0, 0)]
        edges += [(before, first), *((first + i, first + i + 1) for i in range(4)), (before, first + 4)]
    edges.append((len(ops) - 1, len(ops)))
    return ArchitectureGraph.build(
        [*ops, "output"], edges, np.array([*shapes, (0, 0, 0, 0)]), name="Net",
        node_names=[*paths, "output0"] if names else None,
    )  # fmt: skip


def titles(result: Outline) -> list[str]:
    return [box_label(result.graph, box).title for box in result.boxes]


def arrows(result: Outline) -> set[tuple[str, str, str]]:
    names = [box.part.label or box.op for box in result.boxes]
    return {(names[a.source], names[a.target], a.kind) for a in result.arrows}


def elements(svg: str, kind: str) -> list[ElementTree.Element]:
    return [g for g in ElementTree.fromstring(svg).iter(f"{SVG}g") if g.get("class", "").split(" ")[0] == kind]


def test_repeated_layers_stand_once_with_their_count() -> None:
    result = outline(network(24))
    assert titles(result) == ["input", "Embedding", "LayerNorm", "Linear", "GELU", "Linear", "add", "output"]
    [frame] = [frame for frame in result.frames if frame.part.repeats > 1]
    assert (frame.part.label, repeat_text(frame.part)) == ("layers.0\u201323", "\u00d7 24")
    assert [len(box.nodes) for box in result.boxes] == [1, 1, 24, 24, 24, 24, 24, 1]
    svg = network(24).draw()
    assert len(elements(svg, "box")) == 8
    assert "\u00d7 24" in svg


def test_arrows_join_the_right_boxes_and_residuals_are_marked() -> None:
    found = arrows(outline(network(24)))
    assert found == {
        ("ids", "embed", FLOW), ("embed", "norm", FLOW), ("norm", "up", FLOW), ("up", "act", FLOW),
        ("act", "down", FLOW), ("down", "add", FLOW), ("embed", "add", RESIDUAL), ("add", "output0", FLOW),
    }  # fmt: skip
    svg = network(24).draw()
    kinds = [g.get("class") for g in elements(svg, "arrow")]
    assert (kinds.count("arrow flow"), kinds.count("arrow residual")) == (7, 1)


def test_every_node_is_a_box_with_depth_all() -> None:
    graph = network(6)
    result = outline(graph, depth="all")
    assert [box.nodes.tolist() for box in result.boxes] == [[node] for node in range(graph.num_nodes)]
    assert sorted((a.source, a.target) for a in result.arrows) == sorted(zip(*graph.edge_index.tolist(), strict=True))
    assert sum(a.kind == RESIDUAL for a in result.arrows) == 6


def test_depth_opens_level_after_level() -> None:
    graph = network(6)
    assert [len(outline(graph, depth).boxes) for depth in (0, 1, 2, 3, 99)] == [1, 4, 6, 8, 8]
    assert titles(outline(graph, 0)) == ["network"]
    for depth in (0, 1, 2, 3, "all", "auto"):
        covered = np.concatenate([box.nodes for box in outline(graph, depth).boxes])
        assert sorted(covered.tolist()) == list(range(graph.num_nodes))


def test_a_graph_without_names_folds_by_structure() -> None:
    result = outline(network(12, names=False))
    assert sorted({frame.part.repeats for frame in result.frames} - {1}) == [12]
    assert len(result.boxes) <= 9


def test_layers_of_other_sizes_are_told_from_equal_ones() -> None:
    result = outline(network(6, widths=(16, 32, 48, 64, 80, 96)), max_boxes=20)
    [frame] = [frame for frame in result.frames if frame.part.repeats > 1]
    assert repeat_text(frame.part) == "\u00d7 6, sizes vary"
    assert "16\u201396\u00d78" in {shape_text(result.graph, box) for box in result.boxes}


def test_a_repeated_layer_needs_equal_inner_edges() -> None:
    ops = ["input", *["Linear", "ReLU", "Linear", "mul"] * 3, "output"]
    edges = [(i, i + 1) for i in range(len(ops) - 1)] + [(1, 4), (5, 8), (10, 12)]
    assert max(part.repeats for part in hierarchy(ArchitectureGraph.build(ops, edges)).root.walk()) == 2


def test_parallel_copies_and_a_shared_module() -> None:
    ops = ["input", *["Linear", "ReLU"] * 8, "cat", "output"]
    edges = [e for i in range(8) for e in ((0, 1 + 2 * i), (1 + 2 * i, 2 + 2 * i), (2 + 2 * i, 17))] + [(17, 18)]
    names = ["x", *(f"experts.{i}.{n}" for i in range(8) for n in ("fc", "act")), "cat", "y"]
    result = outline(ArchitectureGraph.build(ops, edges, node_names=names))
    assert [repeat_text(f.part) for f in result.frames] == ["\u00d7 8, side by side"]
    shared = ["input", "Linear", "ReLU", "Conv1d", "Linear", "ReLU", "output"]
    names = ["x", "f.fc", "f.act", "g", "f.fc", "f.act", "y"]
    result = outline(ArchitectureGraph.build(shared, [(i, i + 1) for i in range(6)], node_names=names), depth=1)
    assert titles(result) == ["input", "f", "Conv1d", "f", "output"]


def test_skip_connections_and_projected_shortcuts() -> None:
    ops = ["input", "Conv2d", "ReLU", "Conv2d", "cat", "ReLU", "Conv2d", "ReLU", "Conv2d", "Conv2d", "add", "output"]
    edges = [*((i, i + 1) for i in range(8)), (1, 4), (5, 9), (8, 10), (9, 10), (10, 11)]
    kinds = {(a.source, a.target): a.kind for a in outline(ArchitectureGraph.build(ops, edges), depth="all").arrows}
    assert kinds.pop((1, 4)) == SKIP
    assert {kinds.pop((5, 9)), kinds.pop((9, 10))} == {RESIDUAL}
    assert set(kinds.values()) == {FLOW}


def test_operations_between_layers_are_gathered() -> None:
    ops = ["input", "Linear", "neg", "cat", "mul", "Linear", "output"]
    edges = [(0, 1), (1, 2), (2, 3), (1, 3), (3, 4), (4, 5), (5, 6)]
    drawn = titles(outline(ArchitectureGraph.build(ops, edges)))
    assert drawn == ["input", "Linear", "3 operations", "Linear", "output"]


def test_evidence_is_marked_in_svg_and_mermaid() -> None:
    graph = network(24)
    for highlight in ([3, 8], np.array([3, 8]), Fact(2, (3, 8))):
        marked = [g for g in elements(graph.draw(highlight=highlight), "box") if "evidence" in g.get("class", "")]
        assert len(marked) == 1
        assert "2 of 24 nodes" in ElementTree.tostring(marked[0], encoding="unicode")
        assert "class b3 evidence" in graph.to_mermaid(highlight=highlight)
    assert "evidence" not in graph.draw(highlight=[])


@pytest.mark.parametrize("highlight", [[-1], [99], [1.5], "x", 7])
def test_wrong_highlights(highlight: object) -> None:
    with pytest.raises(PictureError, match="highlight"):
        network(1).draw(highlight=highlight)


@pytest.mark.parametrize(
    "options", [{"depth": -1}, {"depth": "deep"}, {"depth": True}, {"direction": "up"}, {"max_boxes": 0}, {"scale": 0}]
)
def test_wrong_options(options: dict[str, object]) -> None:
    with pytest.raises(PictureError, match=next(iter(options))):
        network(1).draw(**options)


def test_hostile_names_are_escaped() -> None:
    graph = ArchitectureGraph.build(
        ["input", HOSTILE, "Linear"], [(0, 1), (1, 2)], node_names=[HOSTILE, HOSTILE, f"{HOSTILE}.a"], name=HOSTILE,
        incomplete=[HOSTILE],
    )  # fmt: skip
    for depth in (0, 1, "all"):
        svg, chart = graph.draw(depth=depth), graph.to_mermaid(depth=depth)
        assert {element.tag for element in ElementTree.fromstring(svg).iter()} <= {
            SVG + tag for tag in ("svg", "g", "title", "desc", "rect", "path", "text")
        }
        for text in (svg, chart):
            assert "<script" not in text
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\ud800-\udfff]", text)
        assert "%%{" not in chart
        assert all(line.count('"') in (0, 2) for line in chart.splitlines() if not line.startswith("%%"))
    assert "<script" not in ArchitectureGraph.build(["Linear"], [], name="<script>").to_mermaid()
    assert clean("a\nb\x00") == "a b\ufffd"
    assert clean("x" * 50) == "\u2026" + "x" * 33


def test_incomplete_disconnected_and_edgeless_graphs() -> None:
    svg = ArchitectureGraph.build(["input", "Linear"], [(0, 1)], incomplete=["vision_tower"]).draw()
    assert "Incomplete: the graph misses vision_tower." in svg
    assert "vision#95;tower" in ArchitectureGraph.build(["Linear"], [], incomplete=["vision_tower"]).to_mermaid()
    two = ArchitectureGraph.build(["input", "Linear", "input", "Conv2d"], [(0, 1), (2, 3)])
    assert len(elements(two.draw(), "box")) == 4
    tree = ArchitectureGraph.build(["Linear", "LayerNorm", "Conv2d"], [], incomplete=["data flow"])
    assert "layers are known by their names" in tree.draw()
    assert len(elements(tree.draw(), "box")) == 3
    assert len(elements(ArchitectureGraph.build(["Linear"], []).draw(depth=0), "box")) == 1


def test_a_graph_of_another_extraction_version_is_drawn_as_it_is() -> None:
    graph = network(3)
    other = dataclasses.replace(graph, extraction_version=graph.extraction_version + 1)
    assert (other.draw(), other.to_mermaid()) == (graph.draw(), graph.to_mermaid())


def test_there_is_no_empty_graph() -> None:
    with pytest.raises(ArchitectureGraphError, match="op_types has 0 entries"):
        ArchitectureGraph.build([], [])


@pytest.mark.parametrize("named", [True, False])
def test_ten_thousand_nodes_stay_readable(named: bool) -> None:
    rng, count = random.Random(0), 10_000
    ops = [rng.choice(["Linear", "ReLU", "add", "LayerNorm", "Conv2d", "cat"]) for _ in range(count)]
    edges = [(rng.randrange(max(0, i - 9), i), i) for i in range(1, count)]
    names = [f"stage.{i // 1000}.block.{i // 50}.m{i}" for i in range(count)] if named else None
    graph = ArchitectureGraph.build(ops, edges, node_names=names)
    if named:
        assert 8 <= len(outline(graph).boxes) <= AUTO_BOXES
        return
    with pytest.raises(PictureError, match=r"10000 boxes; 500 are allowed\. depth=(\d)") as error:
        graph.draw(depth="all")
    depth = int(str(error.value).split("depth=")[1][0])
    assert 8 <= len(outline(graph, depth).boxes) <= 500


def test_mermaid_holds_its_limits_and_folds_as_the_drawing() -> None:
    chart = network(24).to_mermaid()
    assert chart.startswith("flowchart TD\n")
    assert 'subgraph frame0["layers.0\u201323 \u00d7 24"]' in chart
    assert chart.count(":::") == 8
    assert (chart.count(" --> "), chart.count(" ==> ")) == (7, 1)
    wide = ArchitectureGraph.build(["Linear"] * 40, [(i, j) for j in range(40) for i in range(j)])
    with pytest.raises(PictureError, match="arrows; 500 are allowed"):
        wide.to_mermaid(depth="all")


def test_files(tmp_path) -> None:  # type: ignore[no-untyped-def]
    graph = network(3)
    svg = graph.draw(tmp_path / "x.svg")
    assert (tmp_path / "x.svg").read_bytes() == svg.encode()
    graph.draw(tmp_path / "x.png")
    graph.draw(tmp_path / "x.PDF")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "x.PDF").read_bytes().startswith(b"%PDF")
    with pytest.raises(PictureError, match="path ends in 'gif'"):
        graph.draw(tmp_path / "x.gif")


def test_missing_packages_are_named(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PictureError, match="pip install matplotlib"):
        network(1).draw(tmp_path / "x.png")
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PictureError, match="pip install pygraphviz"):
        network(1).draw()
    assert network(1).to_mermaid()


def test_the_same_graph_gives_the_same_bytes_in_every_process() -> None:
    graph = network(5)
    code = "import sys; from processing_archbert.architecture_graph_archbert import ArchitectureGraph as G; " \
        "g = G.from_json(sys.stdin.read()); sys.stdout.buffer.write((g.draw() + g.to_mermaid()).encode())"  # fmt: skip
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=graph.to_json().encode(), capture_output=True, check=True)
    assert done.stdout.decode() == graph.draw() + graph.to_mermaid() == graph.draw() + graph.to_mermaid()
