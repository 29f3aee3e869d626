"""Styles of generated networks that mix sequences in other ways or in several: each function drafts one network."""

from __future__ import annotations

from typing import Any

from .draft_autonet import Draft
from .transformer_styles_autonet import (
    TEXT_ACTIVATIONS,
    VOCABULARIES,
    WIDTHS,
    add_transformer,
    cell_cost,
    final_norm,
    heads_of,
    mlp_args,
    sequence_head,
    stack,
    text_inputs,
    transformer_args,
)
from .vision_styles_autonet import image_head, residual_stage, stem, unit


def audio(draft: Draft) -> None:
    """Strided convolutions over a waveform or a spectrogram, then transformer, recurrent or convolution cells."""
    draft.prefer(sequence_norms=("LayerNorm", "LayerNorm", "GroupNorm", "BatchNorm1d"),
                 activations=("GELU", "GELU", "SiLU", "ReLU", "ELU"))  # fmt: skip
    dim = draft.width(WIDTHS[:12])
    width = draft.width((32, 64, 128, 256, 512, 512))
    side, act = _signal_stem(draft, width)
    draft.add("to_sequence", {"cin": width, "dim": dim, "norm": draft.taste.norm() if draft.maybe(0.6) else ""}, 2)
    if draft.maybe(0.4):
        k = draft.rng.choice((4, 8, 16, 31, 32, 64, 128))
        groups = next(g for g in (16, 8, 4, 2, 1) if dim % g == 0)
        draft.add("position_conv", {"dim": dim, "kernel": k, "groups": groups, "act": act, "norm": draft.taste.norm()
                                    if draft.maybe(0.6) else ""}, 4)  # fmt: skip
    draft.channels = dim
    kind = draft.pick(transformer=62, conformer=23, recurrent=10 if side <= 8 else 0, conv=5)
    if kind in ("transformer", "conformer"):
        args = transformer_args(draft, dim, heads_of(draft, dim))
        if kind == "transformer":
            stack(draft, args)
        else:
            _conformer(draft, args)
    elif kind == "recurrent":
        recurrent_cells(draft)
    else:
        sequence_convolutions(draft, dim)
    final_norm(draft, draft.channels, 0.4)
    sequence_head(draft, draft.channels, draft.pick(none=40, tokens=25, classes=35))


def _signal_stem(draft: Draft, width: int) -> tuple[int, str]:
    """Declare a waveform or a spectrogram and reduce it to `width` channels; returns its length and the activation."""
    wave = draft.maybe(0.65)
    norm, act, bias = draft.taste.norm(), draft.taste.act(), draft.taste.bias
    draft.features([1 if wave else draft.rng.choice((40, 64, 80, 128)), 4096 if wave else 64])
    cin, side = draft.inputs[-1]["shape"]
    layers = draft.rng.randint(2, 3) if draft.tiny else draft.rng.randint(2, 8)
    pooled = draft.pick(MaxPool1d=21, AvgPool1d=20, LPPool1d=20, _=39)
    first_only = draft.maybe(0.3)
    for i in range(layers):
        kernel = (
            draft.rng.choice((5, 7, 8, 9, 10, 11, 13, 15, 16, 17, 19, 21, 25, 31))
            if i == 0
            else draft.rng.choice((2, 3, 3, 3, 4, 5, 7, 8))
        )
        stride = draft.rng.choice((2, 4, 5)) if wave and i == 0 else draft.rng.choice((1, 2, 2))
        after = (side + 2 * (kernel // 2) - kernel) // stride + 1
        stride, after = (1, side + 2 * (kernel // 2) - kernel + 1) if after < 8 else (stride, after)
        pool = pooled if after >= 16 else ""
        draft.add(
            "signal",
            {
                "cin": cin,
                "cout": width,
                "kernel": kernel,
                "stride": stride,
                "act": act,
                "bias": bias,
                "padding": kernel // 2,
                "norm": "" if i and first_only else norm,
                "pool": pool,
            },
            3,
        )
        cin, side = width, after // 2 if pool else after
    if draft.maybe(0.17):
        draft.add("signal", {"cin": cin, "cout": width, "kernel": draft.rng.choice((2, 4, 8, 16)), "stride": 2,
                             "transpose": True, "act": act}, 2)  # fmt: skip
    return side, act


def _conformer(draft: Draft, args: dict[str, Any]) -> None:
    dim = args["dim"]
    half = {"dim": dim, "attention": None, "mlp": mlp_args(draft, dim, 0.0), "norm": args["norm"], "placement": "pre",
            "scale": False}  # fmt: skip
    conv = sequence_conv_args(draft, dim, "glu")
    depth = min(16, draft.depth(cell_cost(args) + 14))
    for _ in range(depth):
        draft.add("transformer", half, 5)
        draft.add("transformer", args, cell_cost(args))
        draft.add("sequence_conv", conv, 7)


def sequence_conv_args(draft: Draft, dim: int, form: str = "") -> dict[str, Any]:
    """Arguments of a convolution over the length of a sequence."""
    form = form or draft.pick(glu=35, plain=40, dilated=25)
    return {"dim": dim, "kernel": draft.rng.choice((3, 5, 7, 9, 11, 13, 15, 17, 19, 23, 27, 29, 31)), "form": form,
            "norm": draft.taste.norm() if draft.maybe(0.5) else draft.rng.choice(("BatchNorm1d", "BatchNorm1d", "")),
            "act": draft.taste.act(), "dilation": draft.rng.choice((1, 2, 4)) if form == "dilated" else 1,
            "residual": draft.maybe(0.85), "groups": dim if form == "plain" and draft.maybe(0.2) else 1}  # fmt: skip


def sequence_convolutions(draft: Draft, dim: int, most: int = 40) -> None:
    """Fill what remains with convolutions over the length."""
    args = sequence_conv_args(draft, dim)
    cost = {"glu": 7, "plain": 4, "dilated": 5}[args["form"]]
    depth = draft.depth(cost, most)
    if args["form"] == "dilated":
        for i in range(min(depth, 24)):
            draft.add("sequence_conv", {**args, "dilation": 2 ** (i % 4)}, cost)
    else:
        draft.add("sequence_conv", args, cost, depth)


def recurrent_cells(draft: Draft) -> None:
    """Fill what remains with recurrent layers."""
    rng = draft.rng
    kind = draft.pick(LSTM=40, GRU=33, RNN=27)
    count = draft.depth(3.0, 2 if draft.tiny else rng.choice((1, 2, 3, 6, 12)))
    hidden = draft.width((64, 128, 200, 256, 512, 650, 1024))
    project, norm = draft.maybe(0.4), draft.taste.norm() if draft.maybe(0.5) else ""
    both = draft.maybe(0.45)
    for i in range(count):
        args = {
            "dim": draft.channels,
            "hidden": hidden,
            "kind": kind if draft.maybe(0.9) else rng.choice(("LSTM", "GRU")),
            "layers": rng.choice((1, 1, 2, 3)),
            "bidirectional": both,
            "residual": i > 0 and draft.maybe(0.5),
            "norm": norm,
            "cout": hidden if project else 0,
            "act": draft.taste.act() if draft.maybe(0.3) else "",
        }
        draft.add("recurrent", args, 1 + bool(norm) + project)
        draft.channels = hidden if project else hidden * (1 + both)


def recurrent(draft: Draft) -> None:
    """Recurrent layers over token ids or features, with or without attention on top."""
    draft.prefer(sequence_norms=("LayerNorm", "BatchNorm1d"), activations=("Tanh", "ReLU", "Sigmoid", "GELU"))
    dim = draft.width((64, 100, 128, 200, 300, 400, 512))
    if draft.maybe(0.7):
        text_inputs(draft, dim, "", 4, norm=0.1)
        if draft.maybe(0.25):
            draft.add("sequence_conv", sequence_conv_args(draft, dim), 4, draft.rng.randint(1, 3))
    else:
        draft.features([dim, 4])
        draft.add("to_sequence", {"cin": dim, "norm": ""}, 0)
        draft.channels = dim
    recurrent_cells(draft)
    width = draft.channels
    if draft.maybe(0.3) and width % 2 == 0:
        args = transformer_args(draft, width, heads_of(draft, width))
        add_transformer(draft, args, 1)
    sequence_head(draft, width, draft.pick(none=20, classes=50, tokens=30))


def mixing(draft: Draft) -> None:
    """Token mixing without attention: mixers, gating, Fourier, state spaces, time mixing, convolutions."""
    rng = draft.rng
    draft.prefer(sequence_norms=("LayerNorm", "RMSNorm"), activations=("GELU", "SiLU", "ReLU", "ReLUSquared"))
    dim = draft.width(WIDTHS[:14])
    kinds = ("mixer", "mixer_gate", "state_space", "state_space", "time_mix", "fourier", "conv", "transformer")
    if draft.maybe(0.4):
        k = rng.choice((4, 8, 14, 16, 32))
        draft.image(k * 4)
        draft.add("patches", {"cin": 3, "dim": dim, "kernel": k, "stride": k, "length": 16, "tokens": 0, "positions":
                              draft.pick(_=80, parameter=20)}, 3)  # fmt: skip
        length, text = 16, False
    else:
        text_inputs(draft, dim, draft.pick(_=70, table=30), 8 if draft.tiny else draft.rng.choice((8, 16)), norm=0.2)
        length, text = draft.side, True
    chosen = [rng.choice(kinds)] if draft.maybe(0.65) else rng.sample(kinds, 2)
    cells = [_mixing_cell(draft, kind, dim, length) for kind in chosen]
    if len(cells) == 1:
        block, args, cost = cells[0]
        draft.add(block, args, cost, draft.depth(cost, 4 if draft.tiny else 40))
    else:
        count = draft.depth(sum(cost for _, _, cost in cells), 3 if draft.tiny else 14)
        for _ in range(count):
            for block, args, cost in cells:
                draft.add(block, args, cost)
    final_norm(draft, dim, 0.85)
    sequence_head(draft, dim, draft.pick(none=30, classes=40, tokens=30 if text else 0))


def _mixing_cell(draft: Draft, kind: str, dim: int, length: int) -> tuple[str, dict[str, Any], float]:
    taste, rng = draft.taste, draft.rng
    norm, act = taste.norm(), taste.act()
    hidden = dim * rng.choice((1, 2, 4))
    if kind in ("mixer", "mixer_gate"):
        form = "mlp" if kind == "mixer" else "gate"
        return "mixer", {"dim": dim, "length": length, "token_hidden": length * rng.choice((2, 4)), "hidden": hidden,
                         "norm": norm, "act": act, "form": form}, 10.0 if form == "mlp" else 7.0  # fmt: skip
    if kind == "state_space":
        args = {"dim": dim, "inner": dim * rng.choice((1, 2, 2)), "state": rng.choice((4, 8, 16)), "rank":
                max(dim // 16, 2), "kernel": rng.choice((2, 3, 4, 4, 4, 8)), "norm": norm, "act": act, "gated_norm":
                draft.maybe(0.3), "bias": draft.maybe(0.3), "scan": draft.pick(sums=50, loop=50)}  # fmt: skip
        return "state_space", args, 23.0 if args["scan"] == "sums" else 18.0 + 4 * length
    if kind == "time_mix":
        return "time_mix", {"dim": dim, "hidden": hidden, "norm": norm, "act": act}, 34.0
    if kind == "fourier":
        return "fourier", {"dim": dim, "hidden": hidden, "norm": norm, "act": act}, 8.0
    if kind == "conv":
        args = sequence_conv_args(draft, dim)
        return "sequence_conv", args, 5.0
    args = transformer_args(draft, dim, heads_of(draft, dim))
    return "transformer", args, cell_cost(args)


def two_towers(draft: Draft) -> None:
    """An image encoder and a text encoder whose results are compared."""
    draft.prefer(sequence_norms=("LayerNorm", "RMSNorm"), activations=TEXT_ACTIVATIONS)
    dim, other = draft.width(WIDTHS[:10]), draft.width(WIDTHS[:10])
    k = draft.rng.choice((4, 8, 14, 16, 32))
    draft.image(k * 4, 3, "image")
    draft.add("patches", {"cin": 3, "dim": dim, "kernel": k, "stride": k, "length": 16, "norm": draft.taste.norm()}, 4,
              take=["image"], to="left")  # fmt: skip
    stack(draft, transformer_args(draft, dim, heads_of(draft, dim)), ["left"], 24, 0.5, "left")
    text_inputs(draft, other, draft.pick(table=80, parameter=20))
    kind = draft.pick(transformer=80, recurrent=12, bag=8)
    if kind == "transformer":
        stack(draft, transformer_args(draft, other, heads_of(draft, other), draft.maybe(0.4)), most=24)
        final_norm(draft, other, 0.7)
    elif kind == "recurrent":
        recurrent_cells(draft)
    form = draft.pick(product=20, bilinear=30, cosine=25, distance=25)
    draft.add(
        "tower",
        {"dim": dim, "other": draft.channels, "width": draft.width((64, 128, 256, 512)), "form": form},
        8,
        take=["left", "x"],
    )


def bag(draft: Draft) -> None:
    """Linear layers over features or over a bag of token embeddings."""
    draft.prefer(
        sequence_norms=("LayerNorm", "BatchNorm1d", "RMSNorm"), activations=("ReLU", "Tanh", "SiLU", "GELU", "SELU")
    )
    draft.taste.sequence_norms = tuple(n for n in draft.taste.sequence_norms if n[:8] != "Instance") or ("",)
    rng = draft.rng
    dim = draft.width((16, 32, 64, 128, 256, 300, 512))
    if draft.maybe(0.6):
        vocab = 64 if draft.tiny else rng.choice(VOCABULARIES)
        draft.tokens(vocab, 12)
        draft.add("bag", {"vocab": vocab, "dim": dim, "mode": draft.pick(mean=60, sum=40)}, 1)
    else:
        draft.features([8, dim])
    form = draft.pick(linear=50, mlp=50)
    if form == "mlp":
        args = {
            "dim": dim,
            "attention": None,
            "mlp": mlp_args(draft, dim, 0.3),
            "norm": draft.taste.norm(),
            "scale": False,
            "placement": draft.pick(pre=60, post=30, none=10),
        }
        draft.add("transformer", args, 5, draft.depth(5.0, 24))
    else:
        for _ in range(draft.depth(3.0, 40)):
            cout = draft.width((32, 64, 128, 256, 512, 1024))
            draft.add(
                "dense_unit", {"cin": dim, "cout": cout, "norm": draft.taste.norm(), "act": draft.taste.act()}, 3
            )
            dim = cout
    sequence_head(draft, dim, draft.pick(classes=90, none=10))


def hybrid(draft: Draft) -> None:
    """Convolution stages on an image, then a transformer, mixer or recurrent network over its positions."""
    draft.prefer(("BatchNorm2d", "BatchNorm2d", "GroupNorm", "LayerNorm"), ("LayerNorm", "RMSNorm"),
                 ("ReLU", "GELU", "SiLU", "Hardswish", "ReLU6"))  # fmt: skip
    stem(draft, 32 if draft.tiny else 64)
    for _ in range(1 if draft.tiny else draft.rng.randint(1, 3)):
        kind = draft.pick(basic=35, bottleneck=25, inverted=40)
        residual_stage(
            draft, kind, min(draft.channels * 2, 512), 2 if draft.side >= 4 else 1, draft.depth(9.0, 6, 0.2)
        )
    dim = max(8, draft.channels // 8 * 8)
    if draft.maybe(0.3) or dim != draft.channels:
        dim = draft.width((64, 128, 256, 512))
        unit(draft, dim, 1)
    draft.add("to_sequence", {"cin": dim, "norm": draft.taste.norm() if draft.maybe(0.3) else "", "positions":
                              draft.side**2 if draft.maybe(0.4) else 0}, 1)  # fmt: skip
    side, length = draft.side, draft.side**2
    draft.channels = dim
    kind = draft.pick(transformer=60, mixer=15, recurrent=15 if side <= 4 else 0, state_space=10)
    if kind == "transformer":
        stack(draft, transformer_args(draft, dim, heads_of(draft, dim)), share=0.8)
    elif kind == "recurrent":
        recurrent_cells(draft)
    else:
        block, args, cost = _mixing_cell(draft, kind, dim, length)
        draft.add(block, args, cost, draft.depth(cost, 24, 0.8))
    final_norm(draft, draft.channels, 0.5)
    if kind != "recurrent" and draft.maybe(0.3):
        draft.add("to_image", {"side": side}, 0)
        draft.side = side
        image_head(draft)
    else:
        sequence_head(draft, draft.channels, draft.pick(classes=75, none=25), (10, 100, 1000))
