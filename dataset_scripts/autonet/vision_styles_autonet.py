"""Styles of generated networks that start from an image: each function drafts one random network."""

from __future__ import annotations

from typing import Any

from .draft_autonet import GATES, Draft
from .operations_autonet import conv_size

STEM_WIDTHS = (16, 24, 32, 40, 48, 64, 64, 80, 96, 128)
CNN_ACTIVATIONS = ("ReLU", "ReLU", "ReLU6", "SiLU", "GELU", "Hardswish", "LeakyReLU")
CNN_NORMS = ("BatchNorm2d", "BatchNorm2d", "BatchNorm2d", "GroupNorm", "LayerNorm")


def odd_kernel(draft: Draft, small: int = 70) -> int:
    """An odd kernel: mostly 1, 3, 5, 7, sometimes 9 or 11."""
    if draft.rng.randrange(100) < small:
        return draft.rng.choice((3, 3, 3, 5))
    return draft.rng.choice((1, 3, 5, 7, 9, 11))


def any_kernel(draft: Draft) -> int | list[int]:
    """An odd kernel, or one that is not square."""
    if draft.maybe(0.06):
        k = draft.rng.choice((3, 5, 7))
        return draft.rng.choice(([1, k], [k, 1]))
    return odd_kernel(draft)


def round_width(value: float, multiple: int = 8) -> int:
    """Nearest positive multiple."""
    return max(multiple, int(value / multiple + 0.5) * multiple)


def unit(draft: Draft, cout: int, kernel: int | list[int] | None = None, stride: int = 1, act: str | None = None,
         norm: str | None = None, order: str = "", **more: Any) -> None:  # fmt: skip
    """Add a convolution unit in the taste of the draft and move on channels and side."""
    taste = draft.taste
    kernel = any_kernel(draft) if kernel is None else kernel
    norm = taste.image_norm() if norm is None else norm
    args: dict[str, Any] = {"cin": draft.channels, "cout": cout, "kernel": kernel, "stride": stride, "norm": norm,
                            "act": taste.act() if act is None else act, "order": order or "cna",
                            "bias": taste.bias or not norm, "padding": taste.padding, **more}  # fmt: skip
    draft.add("conv", args, 2.0 + bool(norm))
    padding = more.get("padding", -1)
    if isinstance(kernel, int):
        border = (kernel - 1) // 2 if padding < 0 else padding
        draft.side = conv_size(draft.side, kernel, stride, border)
    else:
        draft.side = conv_size(draft.side, 1, stride, 0)
    draft.channels = cout


def pool(draft: Draft, name: str = "", overlap: bool = False) -> None:
    """Add a pooling layer of stride 2 or more where the image is large enough."""
    if draft.side < 4:
        return
    kernel, stride, padding = draft.rng.choice(
        (
            (2, 2, 0),
            (2, 2, 0),
            (3, 2, 1),
            (3, 2, 0),
            (3, 3, 0),
            (5, 2, 2),
            (4, 2, 1),
            (4, 4, 0),
            (7, 2, 3),
            (5, 3, 2),
            (6, 3, 2),
            (7, 4, 3),
        )
    )
    if overlap:
        kernel, stride, padding = 3, 2, 1
    name = name or draft.pick(MaxPool2d=50, AvgPool2d=35, LPPool2d=8)
    padding = 0 if name == "LPPool2d" else padding
    if draft.side + 2 * padding < kernel + stride:
        kernel, stride, padding = 2, 2, 0
    form = draft.pick(module=75, function=25)
    draft.add("pool", {"name": name, "kernel": kernel, "stride": stride, "padding": padding, "form": form}, 1.0)
    draft.side = conv_size(draft.side, kernel, stride, padding)


def stem(draft: Draft, side: int = 0) -> None:
    """Declare an image and reduce it: large kernel, patches, several small convolutions, or one at full size."""
    draft.image(
        side or (32 if draft.tiny else draft.rng.choice((64, 96, 128, 224))), draft.rng.choice((3, 3, 3, 3, 1))
    )
    width = draft.width(STEM_WIDTHS)
    form = draft.pick(large=30, small=20, patch=12, deep=14, plain=18, unshuffle=6)
    if form == "large":
        unit(draft, width, draft.rng.choice((5, 7, 7, 9, 11)), 2)
        if draft.maybe(0.6):
            pool(draft, overlap=draft.maybe(0.6))
    elif form == "small":
        unit(draft, width, 3, 2)
    elif form == "patch":
        k = draft.rng.choice((2, 4, 4))
        unit(draft, width, k, k, act="" if draft.maybe(0.7) else None, padding=0)
    elif form == "deep":
        for i in range(draft.rng.randint(2, 3)):
            unit(draft, width if i else round_width(width / 2), 3, 1 if i else 2)
    elif form == "unshuffle":
        draft.add(
            "unshuffle", {"cin": draft.channels, "cout": width, "factor": 2, "kernel": draft.rng.choice((1, 3))}, 2
        )
        draft.channels, draft.side = width, draft.side // 2
    else:
        unit(draft, width, draft.rng.choice((1, 3, 3, 5)), 1)


def gate(draft: Draft, cin: int) -> dict[str, Any]:
    """Arguments of a channel gate."""
    hidden = max(cin // draft.rng.choice((4, 8, 16)), 4)
    act = draft.taste.act() if draft.maybe(0.7) else "ReLU:module"
    return {
        "hidden": hidden,
        "act": act,
        "gate": draft.rng.choice(GATES),
        "squeeze": draft.pick(pool=60, mean=28, max=12),
        "form": draft.pick(conv=60, linear=30, conv1d=10),
    }


def image_head(draft: Draft, taste_pool: str = "") -> None:
    """Add a classifier, a head of features, or nothing."""
    kind = draft.pick(classify=70, features=14, none=16)
    if kind == "none":
        if draft.maybe(0.4):
            draft.add(
                "norm", {"name": draft.taste.image_norm() or "LayerNorm", "dim": draft.channels, "layout": "image"}, 1
            )
        return
    pooling = taste_pool or draft.pick(adaptive=48, function=12, mean=18, max=7, flatten=6, avg=9)
    if pooling == "flatten" and draft.side > 16:
        pooling = "adaptive"
    if pooling == "avg" and draft.side > 7:
        pooling = "mean"
    widths = [
        draft.width((128, 256, 512, 1024, 1280, 4096)) for _ in range(draft.rng.choices((0, 1, 2), (70, 20, 10))[0])
    ]
    output = draft.rng.choice((1, 1, 1, 2, 4, 6, 7)) if widths or draft.maybe(0.1) else 1
    args = {
        "cin": draft.channels,
        "classes": 0 if kind == "features" else draft.rng.choice((10, 21, 100, 365, 1000, 1000)),
        "pool": pooling,
        "widths": widths,
        "act": draft.taste.act(),
        "side": draft.side,
        "output": output,
        "drop": draft.taste.rate(),
        "conv": output == 1 and pooling != "flatten" and draft.maybe(0.12),
        "norm": draft.taste.image_norm() if draft.maybe(0.2) else "",
        "pooled_norm": draft.taste.norm() if draft.maybe(0.15) else "",
        "last": draft.pick(_=86, softmax=6, log_softmax=5, unit=3),
    }
    draft.add("image_head", args, 3.0 + 2 * len(widths))


_CELL_OPERATIONS = (
    ("conv:1", 6),
    ("conv:3", 12),
    ("conv:5", 8),
    ("conv:7", 4),
    ("conv:9", 2),
    ("conv:11", 2),
    ("factor_conv:7", 5),
    ("factor_conv:3", 2),
    ("sep_conv:3", 8),
    ("sep_conv:5", 7),
    ("sep_conv:7", 3),
    ("sep_conv_twice:3", 5),
    ("sep_conv_twice:5", 3),
    ("depth_conv:3", 3),
    ("dil_conv:3", 8),
    ("dil_conv:5", 6),
    ("dil_conv:3:4", 2),
    ("dil_sep_conv:3", 4),
    ("dil_sep_conv:5", 4),
    ("max_pool:3", 10),
    ("avg_pool:3", 10),
    ("max_pool:5", 3),
    ("avg_pool:5", 3),
    ("max_pool:7", 2),
    ("avg_pool:7", 2),
    ("skip", 14),
    ("zero", 4),
    ("gate", 6),
    ("attention:4", 4),
    ("feed_forward:2", 4),
    ("position", 3),
)


def _cell(draft: Draft, operations: list[str], width: int, before: int, shrink: int, order: str, join: str,
          inner: list[list[list]]) -> dict[str, Any]:  # fmt: skip
    taste = draft.taste
    used = {source for node in inner for source, _ in node}
    loose = sum(1 for i in range(2, len(inner) + 2) if i not in used)
    cout = width * (loose if join == "cat" else 1)
    return {
        "cin": draft.channels,
        "before": before,
        "cout": cout,
        "width": width,
        "edges": inner,
        "side": draft.side,
        "norm": taste.image_norm(),
        "act": taste.act(),
        "order": order,
        "shrink": shrink,
        "join": join,
    }


def _edges(draft: Draft, operations: list[str]) -> list[list[list]]:
    nodes = []
    for i in range(draft.rng.randint(2, 6)):
        sources = [draft.rng.randrange(i + 2) for _ in range(draft.rng.choices((1, 2, 3), (25, 65, 10))[0])]
        nodes.append([[source, draft.rng.choice(operations)] for source in sources])
    used = {source for node in nodes for source, _ in node}
    for source, node in zip((s for s in (0, 1) if s not in used), nodes, strict=False):
        node.append([source, draft.rng.choice(operations)])
    return nodes


def cell_cnn(draft: Draft) -> None:
    """Searched cells in stages, in the manner of differentiable architecture search."""
    draft.prefer(CNN_NORMS, activations=CNN_ACTIVATIONS)
    stem(draft, 32 if draft.tiny else draft.rng.choice((32, 64, 64, 96)))
    names, weights = [name for name, _ in _CELL_OPERATIONS], [weight for _, weight in _CELL_OPERATIONS]
    operations = draft.rng.choices(names, weights, k=draft.rng.randint(2, 9))
    order, join = draft.pick(acn=55, cna=45), draft.pick(cat=75, add=25)
    width = max(8, draft.channels // draft.rng.choice((1, 1, 2)))
    stages = draft.rng.randint(1, 2 if draft.tiny else 4)
    inner = _edges(draft, operations)
    cost = 6 + sum(3.2 * len(node) for node in inner)
    cells = max(1, round(draft.left() / cost / stages))
    for stage in range(stages):
        reduce = draft.pick(conv=40, MaxPool2d=30, AvgPool2d=30) if stage and draft.side >= 8 else ""
        draft.side = draft.side if not reduce else (draft.side + 1) // 2 if reduce == "conv" else draft.side // 2
        if draft.maybe(0.3):
            inner = _edges(draft, operations)
        cin, before, args = draft.channels, draft.channels, []
        for _ in range(min(cells, 12)):
            args.append(_cell(draft, operations, width, before, 1, order, join, inner))
            before, draft.channels = draft.channels, args[-1]["cout"]
        draft.add("cells", {"cin": cin, "cells": args, "reduce": reduce}, cost * len(args))
        width = width * 2 if draft.maybe(0.8) else width
    image_head(draft)


def residual_stage(draft: Draft, kind: str, cout: int, stride: int, depth: int) -> None:
    """Add a stage of residual cells of one kind: one with stride and new width, then `depth` - 1 equal ones."""
    taste, rng = draft.taste, draft.rng
    norm, act, kernel = taste.image_norm(), taste.act(), odd_kernel(draft)
    use_gate = draft.maybe(0.3)
    if kind in ("basic", "bottleneck"):
        hidden = 0 if kind == "basic" else round_width(cout / rng.choice((4, 4, 2)))
        groups = next((g for g in (rng.choice((1, 1, 1, 8, 32)), 8, 1) if (hidden or cout) % g == 0), 1)
        common: dict[str, Any] = {
            "kernel": any_kernel(draft) if draft.maybe(0.2) else rng.choice((3, 3, kernel)), "hidden": hidden,
            "groups": groups, "norm": norm, "act": act, "preactivation": draft.maybe(0.2),
            "gate": gate(draft, cout) if use_gate else None, "join": draft.pick(add=90, scale=10),
            "pooled": draft.pick(_=80, AvgPool2d=15, MaxPool2d=5), "bias": taste.bias and draft.maybe(0.5),
            "dilation": 2 if draft.maybe(0.08) else 1, "last_act": draft.maybe(0.85)}  # fmt: skip
        cost = 7.0 + 3 * bool(hidden) + 5 * use_gate
        if isinstance(common["kernel"], list):
            stride = 1
        block = "residual"
    else:
        expand = rng.choice((1, 2, 3, 4, 6, 6))
        common = {"expand": expand, "kernel": kernel, "norm": norm, "act": act, "fused": draft.maybe(0.15),
                  "gate": gate(draft, cout * expand) if use_gate or draft.maybe(0.3) else None,
                  "drop": taste.rate(), "padding": taste.padding}  # fmt: skip
        cost, block = 9.0 + 5 * bool(common["gate"]), "inverted"
    first = {"cin": draft.channels, "cout": cout, "stride": stride, **common}
    draft.add(block, first, cost)
    if depth > 1:
        draft.add(block, {**first, "cin": cout, "stride": 1}, cost, depth - 1)
    draft.channels = cout
    draft.side = -(-draft.side // stride)


def mixer_stage(draft: Draft, cout: int, stride: int, depth: int, kind: str) -> None:
    """Add a stage of depthwise or pooling mixers, after a normalized strided convolution."""
    taste, rng = draft.taste, draft.rng
    if stride > 1 or cout != draft.channels:
        k = rng.choice((stride, 3)) if stride > 1 else 1
        side = conv_size(draft.side, k, stride, 0 if k == stride else 1)
        draft.add(
            "conv",
            {
                "cin": draft.channels,
                "cout": cout,
                "kernel": k,
                "stride": stride,
                "norm": taste.image_norm(),
                "order": "nc",
                "padding": 0 if k == stride else 1 if k == 3 else 0,
            },
            2.0,
        )
        draft.channels, draft.side = cout, side if side > 0 else draft.side
    args: dict[str, Any] = {
        "cin": cout,
        "expand": rng.choice((2, 4, 4)),
        "norm": taste.image_norm(),
        "act": taste.act(),
        "scale": draft.maybe(0.6),
    }
    if kind == "pool":
        args |= {"kernel": rng.choice((3, 3, 5, 7)), "pool": draft.pick(AvgPool2d=75, MaxPool2d=25)}
        draft.add("pool_mixer", args, 11.0, depth)
        return
    kernel: int | list[int] = rng.choice((3, 5, 7, 7, 9, 11, 13))
    args |= {"kernel": kernel, "form": draft.pick(linear=65, conv=35), "response": draft.maybe(0.2),
             "gated": draft.maybe(0.12), "drop": taste.rate()}  # fmt: skip
    draft.add("depthwise_mixer", args, 7.0 + 5 * args["response"], depth)


def residual_cnn(draft: Draft) -> None:
    """Stages of residual cells: basic, bottleneck, inverted, depthwise and pooling mixers, of one kind or several."""
    draft.prefer(CNN_NORMS, activations=CNN_ACTIVATIONS)
    stem(draft)
    kinds = ("basic", "bottleneck", "inverted", "inverted", "depthwise", "depthwise", "pool")
    chosen = [draft.rng.choice(kinds)] if draft.maybe(0.7) else draft.rng.sample(kinds, 2)
    stages = draft.rng.randint(1, 2) if draft.tiny else draft.rng.randint(2, 6)
    cout = draft.channels * draft.rng.choice((1, 1, 2))
    for stage in range(stages):
        kind = draft.rng.choice(chosen)
        cost = {"basic": 8.0, "bottleneck": 10.5, "inverted": 11.0, "depthwise": 8.0, "pool": 11.0}[kind]
        depth = draft.depth(cost, 30, 1 / (stages - stage) * draft.rng.choice((0.6, 1.0, 1.3)))
        stride = 2 if (stage and draft.side >= 4) or draft.maybe(0.15) else 1
        if kind in ("depthwise", "pool"):
            mixer_stage(draft, cout, stride, depth, kind)
        else:
            residual_stage(draft, kind, cout, stride, depth)
        if draft.maybe(0.08):
            draft.add("spatial_gate", {"kernel": draft.rng.choice((3, 7)), "gate": draft.rng.choice(GATES)}, 5)
        growth = (
            1
            if cout > 1500
            else draft.rng.choice((1, 1.5, 2, 2))
            if kind == "inverted"
            else draft.rng.choice((1.5, 2, 2))
        )
        cout = round_width(cout * growth, 16)
    if draft.maybe(0.35):
        unit(draft, draft.width((256, 512, 960, 1280, 2048)), 1)
    image_head(draft)


def plain_cnn(draft: Draft) -> None:
    """Convolutions and poolings in a row, then linear layers."""
    draft.prefer((*CNN_NORMS, "LocalResponseNorm"), activations=(*CNN_ACTIVATIONS, "Tanh", "Sigmoid"))
    if draft.maybe(0.35):
        draft.taste.image_norms = ("",)
    draft.image(32 if draft.tiny else draft.rng.choice((32, 64, 128, 224)), draft.rng.choice((1, 3, 3)))
    width = draft.width((16, 32, 64, 64, 96))
    order = draft.pick(cna=70, can=15, nac=8, ca=7)
    pooling = draft.pick(MaxPool2d=45, AvgPool2d=15, any=15, stride=15, none=10)
    most = 6 if draft.tiny else 100
    total = min(most, max(2, round(draft.target / 3.2)))
    left = total
    while left > 0:
        count = min(left, draft.rng.randint(1, 4) if total < 20 else draft.rng.randint(2, 9))
        for i in range(count):
            first = i == 0 and left == total
            kernel = draft.rng.choice((3, 5, 7, 11)) if first else any_kernel(draft)
            stride = draft.rng.choice((1, 1, 2, 4)) if first and draft.side > 60 else 1
            stride = 2 if pooling == "stride" and i == count - 1 and draft.side >= 4 else stride
            more: dict[str, Any] = {}
            if draft.maybe(0.06) and isinstance(kernel, int) and kernel == 3:
                more = {"padding": 0} if draft.side > 8 else {}
            elif draft.maybe(0.05):
                more = {"mode": draft.rng.choice(("reflect", "replicate", "circular"))} if draft.side > 12 else {}
            unit(draft, width, kernel if not more or "mode" not in more else 3, stride, order=order,
                 norm=draft.taste.image_norm() if "n" in order else "", **more)  # fmt: skip
        if pooling not in ("none", "stride"):
            pool(draft, "" if pooling == "any" else pooling)
        width = min(width * draft.rng.choice((1, 2, 2)), 1024)
        left -= count
    wide = draft.maybe(0.6)
    if not wide:
        image_head(draft)
        return
    widths = [draft.width((64, 84, 120, 256, 512, 1024, 4096)) for _ in range(draft.rng.choice((1, 2, 2, 3)))]
    args = {
        "cin": draft.channels,
        "classes": draft.rng.choice((2, 10, 100, 1000)),
        "widths": widths,
        "side": draft.side,
        "act": draft.taste.act(),
        "pool": "flatten" if draft.side <= 16 and draft.maybe(0.4) else draft.pick(adaptive=70, function=20, max=10),
        "output": draft.rng.choice((1, 2, 4, 6, 7)),
        "drop": draft.taste.rate(),
        "last": draft.pick(_=75, softmax=12, log_softmax=13),
    }
    draft.add("image_head", args, 2.0 + 2 * len(widths))
