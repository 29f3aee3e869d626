"""Styles of generated networks with wide or deep branches: dense, branching, U-shaped and video networks."""

from __future__ import annotations

from typing import Any

from .draft_autonet import Draft
from .vision_styles_autonet import (
    CNN_ACTIVATIONS,
    CNN_NORMS,
    image_head,
    odd_kernel,
    pool,
    residual_stage,
    round_width,
    stem,
    unit,
)


def branch_cnn(draft: Draft) -> None:
    """Densely connected, branching and shuffling cells."""
    draft.prefer(CNN_NORMS, activations=CNN_ACTIVATIONS)
    stem(draft)
    stages = draft.rng.randint(1, 2) if draft.tiny else draft.rng.randint(2, 5)
    kinds = draft.rng.sample(("dense", "branches", "shuffle", "pyramid"), draft.rng.choice((1, 1, 2)))
    for stage in range(stages):
        kind = draft.rng.choice(kinds)
        share = draft.left() / (stages - stage)
        if kind == "dense":
            growth = draft.width((12, 16, 24, 32, 48))
            bottleneck = draft.rng.choice((0, 2, 4))
            layers = max(2, min(32, round(share / (7.0 if bottleneck else 4.0))))
            args = {"cin": draft.channels, "growth": growth, "layers": layers, "kernel": odd_kernel(draft, 90),
                    "bottleneck": bottleneck, "norm": draft.taste.image_norm(), "act": draft.taste.act()}  # fmt: skip
            draft.add("dense", args, layers * (7.0 if bottleneck else 4.0))
            draft.channels += growth * layers
            unit(draft, round_width(draft.channels / 2), 1, order="nac")
        elif kind == "shuffle":
            cost = 10.0
            even = draft.channels + draft.channels % 2
            if even != draft.channels:
                unit(draft, even, 1)
            args = {"cin": even, "kernel": draft.rng.choice((3, 3, 5, 7)), "norm": draft.taste.image_norm(),
                    "act": draft.taste.act(), "written": draft.maybe(0.4)}  # fmt: skip
            draft.add("shuffle", args, cost, max(1, min(16, round(share / cost))))
        else:
            _branch_cells(draft, share, residual=draft.maybe(0.3), dilated=kind == "pyramid")
        if stage < stages - 1 and draft.side >= 4:
            if draft.maybe(0.6):
                pool(draft)
            else:
                unit(draft, round_width(draft.channels * 1.5), 3, 2)
    image_head(draft)


def _branch_cells(draft: Draft, share: float, residual: bool, dilated: bool) -> None:
    rng, done = draft.rng, 0.0
    while done < share:
        width = draft.width((32, 48, 64, 96, 128, 192))
        norm, act = draft.taste.image_norm(), draft.taste.act()
        common = {"norm": norm, "act": act, "bias": not norm}
        cin = draft.channels
        branches: list[list[dict[str, Any]]] = []
        for _ in range(rng.randint(2, 5)):
            kind = rng.choice(("one", "k", "deep", "factor", "pool"))
            if dilated:
                rate = rng.choice((2, 3, 4, 6, 12))
                branches.append([{"conv": {"cin": cin, "cout": width, "kernel": 3, "dilation": rate, **common}}])
                continue
            steps: list[dict[str, Any]] = []
            if kind == "pool":
                k = rng.choice((3, 3, 5))
                steps.append({"pool": {"name": draft.pick(MaxPool2d=50, AvgPool2d=50), "kernel": k, "stride": 1,
                                       "padding": k // 2}})  # fmt: skip
            steps.append({"conv": {"cin": cin, "cout": width, "kernel": 1, **common}})
            k = rng.choice((3, 5, 7))
            if kind in ("k", "deep"):
                steps.append({"conv": {"cin": width, "cout": width, "kernel": k, **common}})
            if kind == "deep":
                steps.append({"conv": {"cin": width, "cout": width, "kernel": 3, **common}})
            if kind == "factor":
                steps += [{"conv": {"cin": width, "cout": width, "kernel": kk, **common}} for kk in ([1, k], [k, 1])]
            branches.append(steps)
        join = "residual" if residual else "add" if draft.maybe(0.1) else "cat"
        cost = 2.0 + 3.0 * sum(len(steps) for steps in branches)
        cout = cin if join == "residual" else width if join == "add" else width * len(branches)
        draft.add("branches", {"cin": cin, "cout": cout, "branches": branches, "join": join}, cost)
        draft.channels = cout
        done += cost


def unet(draft: Draft) -> None:
    """An encoder, a decoder that grows back to full size, and connections between equal sizes."""
    draft.prefer((*CNN_NORMS, "InstanceNorm2d", "GroupNorm"), activations=CNN_ACTIVATIONS)
    levels = draft.rng.randint(1, 2) if draft.tiny else draft.rng.randint(2, 4)
    draft.image(32 if draft.tiny else 64, draft.rng.choice((1, 3, 3, 4)))
    width = draft.width((16, 32, 48, 64))
    cell = draft.pick(conv=40, residual=40, inverted=10, attention=10)
    depth = max(1, min(6, round(draft.target / (2 * levels + 1) / 6.5)))
    form, join = draft.pick(transpose=42, module=18, function=15, shuffle=25), draft.pick(cat=70, add=30)
    shrink = draft.pick(pool=45, stride=45, avg=10)
    skips: list[tuple[str, int]] = []
    for level in range(levels + 1):
        cout = min(width * 2**level, 1024)
        _unet_cells(draft, cell, cout, depth)
        if level == levels:
            break
        skips.append((f"skip{level}", draft.channels))
        draft.add("keep", {}, 0, to=f"skip{level}")
        if shrink == "stride":
            unit(draft, draft.channels, draft.rng.choice((3, 3, 5)), 2)
        else:
            draft.add("pool", {"name": "MaxPool2d" if shrink == "pool" else "AvgPool2d", "kernel": 2, "stride": 2}, 1)
            draft.side //= 2
    if draft.maybe(0.25):
        draft.add("image_attention", {"cin": draft.channels, "heads": draft.rng.choice((1, 4, 8)),
                                      "kernel": draft.pick(softmax=50, fused=50)}, 7)  # fmt: skip
    for name, channels in reversed(skips):
        up = {
            "cin": draft.channels,
            "cout": channels,
            "form": form,
            "kernel": draft.rng.choice((2, 2, 4)),
            "mode": draft.pick(nearest=50, bilinear=50),
            **({"norm": draft.taste.image_norm(), "act": draft.taste.act()} if draft.maybe(0.4) else {}),
        }
        draft.add("upscale", up, 3.0)
        draft.side *= 2
        draft.add("join", {"form": join}, 1.0, take=["x", name])
        draft.channels = channels * (2 if join == "cat" else 1)
        _unet_cells(draft, cell, channels, depth)
    _fuse_levels(draft, skips[1:] if draft.maybe(0.35) else [])
    last = draft.pick(_=60, act=25, softmax=15)
    unit(draft, draft.rng.choice((1, 2, 3, 21, 150)), 1, norm="", act=draft.taste.act() if last == "act" else "")
    if last == "softmax":
        draft.add("softmax", {"axis": 1}, 1)


def _fuse_levels(draft: Draft, skips: list[tuple[str, int]]) -> None:
    """Add kept images of lower resolution to the channels, interpolated to the present size."""
    for name, channels in skips:
        mode = draft.pick(nearest=30, bilinear=70)
        draft.add("resize", {"size": draft.side, "mode": mode}, 1.0, take=[name], to=name)
        draft.add("join", {"form": "cat"}, 1.0, take=["x", name])
        draft.channels += channels


def _unet_cells(draft: Draft, cell: str, cout: int, depth: int) -> None:
    if cell == "residual":
        residual_stage(draft, "basic", cout, 1, depth)
    elif cell == "inverted":
        residual_stage(draft, "inverted", cout, 1, depth)
    else:
        for _ in range(depth):
            unit(draft, cout, draft.rng.choice((3, 3, 3, 5)))
        if cell == "attention" and draft.side <= 32:
            draft.add("image_attention", {"cin": cout, "heads": draft.rng.choice((1, 2, 4)),
                                          "kernel": draft.pick(softmax=40, fused=30, linear=30)}, 7)  # fmt: skip


def video(draft: Draft) -> None:
    """3-D convolutions over a clip."""
    draft.prefer(
        ("BatchNorm2d", "BatchNorm2d", "InstanceNorm2d", "InstanceNorm2d", "GroupNorm", "LayerNorm"),
        activations=CNN_ACTIVATIONS,
    )
    draft.features([3, 4, 32, 32])
    cin, width, side = 3, draft.width((16, 32, 45, 64)), 32
    norm, split = draft.taste.image_norm(), draft.maybe(0.35)
    norm = "BatchNorm3d" if norm in ("LocalResponseNorm", "BatchNorm2d") else norm
    pooling = draft.pick(MaxPool3d=40, AvgPool3d=25, _=35)
    count = max(2, min(40, round(draft.target / (4.5 if split else 3.5))))
    every = max(1, count // 4)
    for i in range(count):
        down = i % every == 0 and side >= 8
        kernel = (
            [3, 7, 7]
            if i == 0 and draft.maybe(0.3)
            else [draft.rng.choice((1, 3)), *[draft.rng.choice((1, 3, 3, 5))] * 2]
        )
        stride = [1, 2, 2] if down and not pooling else [1, 1, 1]
        args = {"cin": cin, "cout": width, "kernel": kernel, "stride": stride, "norm": norm, "act": draft.taste.act(),
                "split": split, "residual": draft.maybe(0.5), "pool": pooling if down else ""}  # fmt: skip
        draft.add("video", args, 3.5)
        cin, side = width, side // 2 if down else side
        width = min(width * 2, 512) if down and draft.maybe(0.6) else width
    draft.channels = cin
    draft.add(
        "video_head", {"cin": cin, "classes": draft.rng.choice((0, 101, 400)), "pool": draft.pick(avg=70, max=30)}, 2
    )
