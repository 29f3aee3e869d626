"""Pictures of diffs: every box has the state of its nodes, in SVG and Mermaid, for every depth and side."""

import dataclasses
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from strategies import chain
from transformers import AutoConfig

from archbert.gallery import draw_diffs
from processing_archbert import ArchitectureGraph, diff, load_architecture
from processing_archbert.graph_diff_drawing_archbert import side_outlines
from processing_archbert.graph_labels_archbert import box_label, frame_text
from processing_archbert.graph_outline_archbert import STATES, PictureError
from processing_archbert.graph_scene_archbert import STATE_LOOKS

SVG = "{http://www.w3.org/2000/svg}"
SMALL = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
HOSTILE = '<script>alert("x")</script>]]>&\x00\x1b[31m\u202e"]; end\n%%{init}%%'


def bert(task=None, **options):
    return load_architecture(AutoConfig.for_model("bert", **{**SMALL, **options}), task=task, name="bert")


@pytest.fixture(scope="module")
def deeper():
    return diff(bert(), bert(num_hidden_layers=5, intermediate_size=256))


def classes(svg):
    groups = [g.get("class", "").split(" ") for g in ElementTree.fromstring(svg).iter(f"{SVG}g")]
    return [kind[-1] for kind in groups if kind[0] == "box"]


@pytest.mark.parametrize("depth", [0, 1, 2, 3, "auto", "all"])
def test_the_states_of_boxes_are_those_of_their_nodes(deeper, depth):
    for own, content in enumerate(side_outlines(deeper, "both", depth, 500)):
        states = {node: state for state, nodes in deeper.nodes[own].items() for node in nodes}
        for box in content.boxes:
            found = {states[node] for node in box.nodes.tolist()}
            told, frame = set(box.states), box.frame
            while frame >= 0:
                told |= set(content.frames[frame].alone)
                frame = content.frames[frame].parent
            assert told == found
            assert box.state == ("changed" if len(box.states) > 1 else next(iter(box.states)))


def test_added_repetitions_are_said_once_at_their_frame(deeper):
    a, b = side_outlines(deeper, "both", "auto", 500)
    assert [frame_text(f) for f in b.frames if f.part.repeats > 1] == ["\u00d7 5, 2 added"]
    assert [frame_text(f) for f in a.frames if f.part.repeats > 1] == ["\u00d7 3"]
    assert {box.state for box in b.boxes} == {"kept", "changed"}


def test_a_closed_part_with_kept_and_changed_nodes_is_changed(deeper):
    [box] = side_outlines(deeper, "b", 0, 500)[0].boxes
    assert box.state == "changed" and set(box.states) == {"kept", "changed", "added"}


def test_a_changed_layer_says_what_it_is_in_the_other_network(deeper):
    texts = []
    for content in side_outlines(deeper, "both", "auto", 500):
        labels = [box_label(content.graph, box, True, content.marks) for box in content.boxes]
        texts.append([line for label in labels for line in label.lines])
    assert "becomes 256\u00d764" in texts[0] and "instead of 128\u00d764" in texts[1]
    replaced = diff(bert(), bert(hidden_act="relu")).draw(side="b", words=False)
    assert "instead of GELU" in replaced


def test_both_sides_stand_in_one_picture_with_words_and_legend(deeper):
    svg = deeper.draw()
    words = [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert words.count("bert") == 2 and "\u2022 5 encoder layers instead of 3" in words
    assert set(STATES) <= set(words)
    assert "\u2022 5 encoder layers instead of 3" not in deeper.draw(words=False)
    assert set(STATES) & set(re.findall(r">(\w+)</text>", deeper.draw(legend=False))) == set()


def test_added_stands_in_b_and_removed_in_a():
    plain, head = bert(), bert("text-classification")
    forward, back = diff(plain, head), diff(head, plain)
    assert "added" in classes(forward.draw(side="b")) and "added" not in classes(forward.draw(side="a"))
    assert "removed" in classes(back.draw(side="a")) and "removed" not in classes(back.draw(side="b"))
    assert set(classes(diff(plain, plain).draw())) == {"kept"}


def test_states_differ_without_colour():
    looks = [(width, dashed, sign) for _, _, width, dashed, sign in STATE_LOOKS.values()]
    assert len(set(looks)) == len({look[2] for look in looks}) == len(STATES)
    assert len({look[:2] for look in STATE_LOOKS.values()}) == len(STATES)


def test_directions_put_the_networks_beside_or_above_each_other(deeper):
    def size(svg):
        root = ElementTree.fromstring(svg)
        return float(root.get("width")), float(root.get("height"))

    options = {"words": False, "legend": False}
    one, both = (size(deeper.draw(side=side, **options)) for side in ("b", "both"))
    assert both[0] > 1.5 * one[0] and both[1] < 1.5 * one[1]
    one, both = (size(deeper.draw(side=side, direction="right", **options)) for side in ("b", "both"))
    assert both[1] > 1.5 * one[1]


def test_mermaid_has_a_class_for_each_state(deeper):
    chart = deeper.to_mermaid()
    assert 'subgraph a_all["bert"]' in chart and 'subgraph b_all["bert"]' in chart
    assert "\u00d7 5, 2 added" in chart and "classDef changed " in chart
    boxes = dict(re.findall(r"^ *([ab]_b\d+)[\[(].*:::(\w+)$", chart, re.M))
    assert set(boxes.values()) == {"kept", "changed"} and {name[0] for name in boxes} == {"a", "b"}
    arrows = re.findall(r"([ab])_b\d+ (?:-->|==>|-\.->) ([ab])_b\d+", chart)
    assert arrows and all(source == target for source, target in arrows)
    links = max(int(n) for n in re.search(r"linkStyle ([\d,]+)", chart)[1].split(","))
    assert links < len(arrows)
    assert ":::added" in diff(bert(), bert("text-classification")).to_mermaid(side="b")


def test_hostile_names_are_escaped():
    graph = ArchitectureGraph.build(
        ["input", "Linear", HOSTILE], [(0, 1), (1, 2)], node_names=[HOSTILE, HOSTILE, f"{HOSTILE}.a"], name=HOSTILE
    )  # fmt: skip
    found = diff(graph, dataclasses.replace(chain(5, ("Linear", "ReLU")), name=HOSTILE))
    svg, chart = found.draw(), found.to_mermaid()
    tags = {element.tag for element in ElementTree.fromstring(svg).iter()}
    assert tags <= {SVG + tag for tag in ("svg", "g", "title", "desc", "rect", "path", "text")}
    for text in (svg, chart):
        assert "<script" not in text and not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", text)
    assert "%%{" not in chart


def test_wrong_options_and_what_is_too_large(deeper, tmp_path):
    for draw in (deeper.draw, deeper.to_mermaid):
        with pytest.raises(ValueError, match="side is 'c'; 'both', 'a', 'b' are allowed"):
            draw(side="c")
        with pytest.raises(PictureError, match="direction is 'up'"):
            draw(direction="up")
        with pytest.raises(PictureError, match="boxes; 10 are allowed"):
            draw(depth="all", max_boxes=10)
    with pytest.raises(PictureError, match="path ends in 'gif'"):
        deeper.draw(tmp_path / "x.gif")
    deeper.draw(tmp_path / "x.png", scale=0.5)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    wide = ArchitectureGraph.build(["Linear"] * 30, [(i, j) for j in range(30) for i in range(j)])
    with pytest.raises(PictureError, match="870 arrows; 500 are allowed"):
        diff(wide, dataclasses.replace(wide, name="b")).to_mermaid(depth="all")


@pytest.mark.filterwarnings("ignore::processing_archbert.graph_diff_archbert.ArchitectureDiffWarning")
def test_incomplete_disconnected_and_edgeless_graphs():
    whole = ArchitectureGraph.build(["input", "Linear", "input", "Conv2d"], [(0, 1), (2, 3)])
    torn = dataclasses.replace(whole, edge_index=np.zeros((2, 0), np.int32), incomplete=("vision_tower",))
    svg, chart = diff(whole, torn).draw(), diff(whole, torn).to_mermaid()
    assert len(classes(svg)) == 8 and "Incomplete: the graph misses vision_tower." in svg
    assert "b_warning0" in chart and chart.count("Incomplete") == 2


def test_the_pictures_of_the_page_are_those_that_the_gallery_draws(tmp_path):
    docs = Path(__file__).resolve().parents[1] / "docs"
    page = (docs / "diff.md").read_text(encoding="utf-8")
    for path in draw_diffs(tmp_path):
        assert f"(pictures/{path.name})" in page
        drawn, stored = (ElementTree.fromstring(p.read_bytes()) for p in (path, docs / "pictures" / path.name))
        texts = [[element.text for element in root.iter(f"{SVG}text")] for root in (drawn, stored)]
        assert texts[0] == texts[1]
