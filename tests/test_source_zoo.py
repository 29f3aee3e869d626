"""`source_zoo`: names of torchvision and timm, on small libraries that stand in for them."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from processing_archbert import load_architecture, trace
from processing_archbert.source_errors_archbert import ArchitectureSourceError
from processing_archbert.source_zoo_archbert import build_timm, build_torchvision

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"


class _Network(nn.Module):
    """Reads a constant in its constructor, as networks with stochastic depth do, and has a table of positions."""

    def __init__(self, channels: int = 3, flat: bool = False) -> None:
        super().__init__()
        self.rate = torch.linspace(0, 0.2, 3)[1].item()
        self.layer = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        nn.init.constant_(self.layer.weight, 0.5)
        self.register_buffer("positions", torch.arange(4))
        self.huge = nn.Linear(1 << 20, 1 << 16, bias=False) if flat else None
        with torch.no_grad():
            self.width = self.norm.eval()(self.layer(torch.zeros(1, channels, 8, 8))).shape[1]

    def forward(self, *images: Any) -> torch.Tensor:
        """The sum of the features of all images."""
        items = [image[0][None] if isinstance(image, list) else image for image in images]
        items = [item[:, :, 0] if item.dim() == 5 else item for item in items]
        features = self.norm(self.layer(items[0]))
        for item in items[1:]:
            features = features + self.norm(self.layer(item))
        return features


ASKED: dict[str, Any] = {}


def _plain(*, weights: Any = "fetched", progress: bool = True) -> nn.Module:
    ASKED["weights"] = weights
    torch.rand(1)
    return _Network(flat=True)


def _detector(*, weights: Any = "fetched", weights_backbone: Any = "fetched") -> nn.Module:
    ASKED.update(weights=weights, weights_backbone=weights_backbone)
    return _Network()


def _two_stages(*, weights: Any = "fetched", **options: Any) -> nn.Module:
    ASKED.update(options)
    return _Network()


def _broken(**kwargs: Any) -> nn.Module:
    raise ValueError("num_layers is 3; 4 is needed")


def _place(builder: Any, module: str) -> Any:
    copy = types.FunctionType(builder.__code__, globals(), builder.__name__, builder.__defaults__)
    copy.__kwdefaults__ = builder.__kwdefaults__
    copy.__module__ = module
    return copy


BUILDERS = {
    "net18": _place(_plain, "torchvision.models.net"),
    "net34": _place(_broken, "torchvision.models.net"),
    "inception_x": _place(_plain, "torchvision.models.inception"),
    "box_net": _place(_detector, "torchvision.models.detection.box"),
    "fasterrcnn_x": _place(_two_stages, "torchvision.models.detection.faster"),
    "flow_net": _place(_plain, "torchvision.models.optical_flow.flow"),
    "clip_net": _place(_plain, "torchvision.models.video.clip"),
}


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torchvision with the models of `BUILDERS`."""
    package, models = types.ModuleType("torchvision"), types.ModuleType("torchvision.models")
    models.list_models = lambda: list(BUILDERS)  # type: ignore[attr-defined]
    models.get_model_builder = BUILDERS.__getitem__  # type: ignore[attr-defined]
    package.models = models  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", package)
    ASKED.clear()


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timm with one model, of four channels, that has weights under one tag."""

    def create_model(model_name: str, pretrained: bool = True) -> nn.Module:
        ASKED.update(model_name=model_name, pretrained=pretrained)
        return _Network(channels=4)

    package, data = types.ModuleType("timm"), types.ModuleType("timm.data")
    package.list_models = lambda: ["wide_net"]  # type: ignore[attr-defined]
    package.is_model = lambda name: name in ("wide_net", "wide_net_old")  # type: ignore[attr-defined]
    package.list_pretrained = lambda: ["wide_net.in21k"]  # type: ignore[attr-defined]
    package.create_model = create_model  # type: ignore[attr-defined]
    data.resolve_model_data_config = lambda model: {"input_size": (4, 48, 48)}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", package)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    ASKED.clear()


def test_weights_are_neither_fetched_nor_allocated(torchvision: None) -> None:
    network, _ = build_torchvision("net18")
    assert ASKED["weights"] is None
    assert network.get_parameter("huge.weight").device.type == "meta"  # 256 GiB
    assert network.get_parameter("layer.weight").device.type == "meta" and not network.training
    build_torchvision("box_net")
    assert ASKED == {"weights": None, "weights_backbone": None}


def test_constants_of_a_constructor_keep_their_values(torchvision: None) -> None:
    network, _ = build_torchvision("box_net")
    assert network.rate == pytest.approx(0.1) and network.get_buffer("positions").tolist() == [0, 1, 2, 3]


def test_building_leaves_the_random_state_alone(torchvision: None) -> None:
    before = torch.random.get_rng_state()
    build_torchvision("net18")
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("net18", [(1, 3, 224, 224)]),
        ("inception_x", [(1, 3, 299, 299)]),
        ("flow_net", [(1, 3, 224, 224), (1, 3, 224, 224)]),
        ("clip_net", [(1, 3, 16, 112, 112)]),
    ],
)
def test_inputs_by_task(torchvision: None, name: str, shapes: list[tuple[int, ...]]) -> None:
    _, inputs = build_torchvision(name)
    assert [tuple(t.shape) for t in inputs] == shapes


def test_detectors_get_a_list_of_images_and_keep_few_boxes(torchvision: None) -> None:
    _, inputs = build_torchvision("fasterrcnn_x")
    assert [tuple(image.shape) for image in inputs[0]] == [(3, 224, 224)]
    assert ASKED == {"rpn_post_nms_top_n_test": 50, "box_detections_per_img": 1}


def test_names_are_traced_with_their_inputs(torchvision: None, timm: None) -> None:
    graph = load_architecture("torchvision:box_net")
    assert graph.op_types == ("input", "Conv2d", "BatchNorm2d", "output") and graph.num_parameters == 120
    assert load_architecture("torchvision:flow_net").op_types.count("input") == 2
    assert load_architecture("timm:wide_net").shapes[1].tolist() == [4, 4, 3, 3]
    small = load_architecture("torchvision:net18", inputs=torch.zeros(1, 3, 32, 32))
    assert small.graph_hash == graph.graph_hash


def test_timm_names_and_tags(timm: None) -> None:
    _, inputs = build_timm("wide_net")
    assert ASKED == {"model_name": "wide_net", "pretrained": False} and tuple(inputs[0].shape) == (1, 4, 48, 48)
    build_timm("wide_net.in21k")
    assert ASKED == {"model_name": "wide_net.in21k", "pretrained": False}
    build_timm("wide_net_old")
    assert ASKED["model_name"] == "wide_net_old"
    with pytest.raises(ArchitectureSourceError, match=r"'wide_net\.in22k'.*'wide_net\.in21k'"):
        build_timm("wide_net.in22k")


@pytest.mark.parametrize("name", ["net_18", "", "hf-hub:a/b", "../net18"])
def test_an_unknown_name_is_refused_with_the_nearest(torchvision: None, timm: None, name: str) -> None:
    with pytest.raises(ArchitectureSourceError, match="is no model of the installed torchvision") as error:
        build_torchvision(name)
    assert name != "net_18" or "'net18'" in str(error.value)
    with pytest.raises(ArchitectureSourceError, match="is no model of the installed timm"):
        build_timm(name)


def test_a_network_that_its_library_cannot_build(torchvision: None) -> None:
    with pytest.raises(ArchitectureSourceError, match="num_layers is 3"):
        build_torchvision("net34")


@pytest.mark.parametrize(("build", "package"), [(build_torchvision, "torchvision"), (build_timm, "timm")])
def test_a_missing_library_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, build: Any, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # what an import finds where it is not installed
    with pytest.raises(ArchitectureSourceError, match=f"pip install {package}"):
        build("net18")


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_stored_coverage(source: str) -> None:
    stored = json.loads((RESULTS / f"coverage-{source}.json").read_text(encoding="utf-8"))
    assert stored["share connected"] >= 0.99 and stored["share complete"] >= 0.95
    assert stored["statuses"]["unmarked"] == stored["statuses"]["failed"] == 0
    assert set(stored["not complete"]) == {name for name, status in stored["status"].items() if status != "complete"}


def test_stored_parameters_of_torchvision_are_the_published_ones() -> None:
    stored = json.loads((RESULTS / "torchvision-parameters.json").read_text(encoding="utf-8"))
    coverage = json.loads((RESULTS / "coverage-torchvision.json").read_text(encoding="utf-8"))
    assert set(stored["models"]) == set(coverage["status"]) and len(stored["models"]) == 121
    assert stored["counts"]["different"] == stored["counts"]["no published number"] == 0
    equal = [row for row in stored["models"].values() if row["result"] == "equal"]
    assert len(equal) >= 100 and all(row["parameters"] in row["published"] for row in equal)


# What detectors need of the tracer


@pytest.fixture(scope="module")
def operators() -> Any:
    """Operators on boxes as torchvision has them: schemas without kernels for `meta`."""
    library = torch.library.Library("boxes_of_a_test", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
        "int sampling_ratio, bool aligned) -> Tensor"
    )
    yield torch.ops.boxes_of_a_test
    library._destroy()


class _Detector(nn.Module):
    """Boxes from features, suppression, and features of the boxes that are left."""

    def __init__(self, operators: Any) -> None:
        super().__init__()
        self.operators = operators
        self.boxes = nn.Linear(16, 5)
        self.head = nn.Linear(3 * 7 * 5, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of the boxes."""
        boxes = self.boxes(images.flatten(2).mean(1))
        kept = self.operators.nms(boxes[:, 1:], boxes[:, 0], 0.5)
        pooled = self.operators.roi_align(images, boxes[kept], 1.0, 7, 5, 2, True)
        return self.head(pooled.flatten(1))


def test_operators_on_boxes(operators: Any) -> None:
    graph = trace(_Detector(operators), torch.empty(2, 3, 4, 4))
    assert graph.op_types == ("input", "mean", "Linear", "nms", "getitem", "roi_align", "Linear", "output")
    edges = set(map(tuple, graph.edge_index.T.tolist()))
    assert {(2, 3), (2, 4), (3, 4), (4, 5), (0, 5)} <= edges  # which boxes are left depends on nms
    assert any(guess.endswith("nms") for guess in graph.guesses)


class _Divides(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Divides by a number that depends on the input."""
        return self.layer(x)[: 8 // int(x.max())]


def test_given_inputs_are_tried_with_other_guesses() -> None:
    graph = trace(_Divides(), torch.empty(2, 4))
    assert "Linear" in graph.op_types and graph.guesses
