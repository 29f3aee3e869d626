"""Styles of text, audio and multimodal networks that no training network has, for the `test` split.

Each public function drafts one network from the operations of the training networks
(`repertoire_autonet.REPERTOIRE`). What is new is how these are put together: learned latents that read an input again
and again, images and texts that attend to each other, sequences that get shorter and longer again, and masks that
separate a signal.
"""

from __future__ import annotations

from typing import Any

from .draft_autonet import Draft
from .sequence_styles_autonet import sequence_conv_args
from .transformer_styles_autonet import (
    TEXT_ACTIVATIONS,
    WIDTHS,
    add_transformer,
    cell_cost,
    final_norm,
    heads_of,
    sequence_head,
    stack,
    text_inputs,
    transformer_args,
)


def latents(draft: Draft) -> None:
    """Learned latents that read a text, an image or a sound by cross attention, several times, and work by themselves
    in between; at the end a head on the latents, or learned output queries that read the latents.

    After Jaegle et al. 2021, arXiv 2103.03206 and 2107.14795.
    """
    draft.prefer(sequence_norms=("LayerNorm", "LayerNorm", "RMSNorm"), activations=TEXT_ACTIVATIONS)
    memory, dim = draft.width((32, 64, 128, 256, 512)), draft.width(WIDTHS[:12])
    _memory(draft, memory)
    draft.add("queries", {"count": draft.rng.choice((4, 8, 16, 32, 64)), "dim": dim, "table": draft.maybe(0.3)}, 1,
              take=["memory"])  # fmt: skip
    heads, placement = heads_of(draft, dim), draft.pick(pre=80, post=20)
    read = _reading(draft, dim, heads, memory, placement)
    work = transformer_args(draft, dim, heads, gated=0.15, placement=placement)
    reads = draft.rng.randint(1, 2 if draft.tiny else 5)
    depth = max(1, min(10, round((draft.left() / reads - cell_cost(read)) / cell_cost(work))))
    for _ in range(reads):
        add_transformer(draft, read, 1, ["x", None, "memory"])
        add_transformer(draft, work, 1 if draft.tiny else depth, shared=depth > 1 and draft.maybe(0.1))
    final_norm(draft, dim, 0.5)
    if draft.maybe(0.6):
        sequence_head(draft, dim, draft.pick(classes=75, none=25), (2, 10, 100, 1000))
        return
    width = draft.width((64, 128, 256, 512))
    draft.add("queries", {"count": draft.rng.choice((2, 8, 16, 64)), "dim": width, "table": draft.maybe(0.3)}, 1,
              take=["x"], to="answers")  # fmt: skip
    answer = _reading(draft, width, heads_of(draft, width), dim, placement)
    add_transformer(draft, answer, 1, ["answers", None, "x"], "answers")
    draft.add("linear", {"cin": width, "cout": draft.rng.choice((3, 64, 262, 1000))}, 1, take=["answers"])


def _reading(draft: Draft, dim: int, heads: int, memory: int, placement: str) -> dict[str, Any]:
    """Arguments of a transformer cell that has cross attention and no self-attention."""
    return transformer_args(draft, dim, heads, memory=memory, placement=placement) | {"attention": None}


def _memory(draft: Draft, width: int) -> None:
    """Declare a text, an image or a spectrogram and put it as the sequence `memory`, position by position."""
    source = draft.pick(text=35, image=40, audio=25)
    if source == "text":
        text_inputs(draft, width, draft.pick(table=60, parameter=25, wave=15), 0, "source", 0.3, "memory")
        return
    if source == "image":
        patch, side = draft.rng.choice((1, 1, 2, 4)), 4 if draft.tiny else draft.rng.choice((8, 12, 16))
        draft.image(side * patch, 3, "source")
        args: dict[str, Any] = {"cin": 3, "cout": width, "kernel": patch, "stride": patch, "padding": 0}
        draft.add("conv", args, 1.0, take=["source"], to="memory")
        positions = side * side
    else:
        mels = draft.rng.choice((40, 64, 80, 128))
        draft.features([mels, 32], "source")
        args = {"cin": mels, "cout": width, "kernel": 4, "stride": 4, "act": draft.taste.act()}
        draft.add("signal", args, 2.0, take=["source"], to="memory")
        positions = 8
    draft.add("to_sequence", {"cin": width, "positions": positions, "norm": draft.taste.norm() if draft.maybe(0.3)
                              else ""}, 2, take=["memory"], to="memory")  # fmt: skip


def co_attention(draft: Draft) -> None:
    """An image and a text that attend to each other layer by layer, or that run as one sequence from the start.

    After Lu et al. 2019, arXiv 1908.02265, and Kim et al. 2021, arXiv 2102.03334.
    """
    draft.prefer(sequence_norms=("LayerNorm", "LayerNorm", "RMSNorm"), activations=TEXT_ACTIVATIONS)
    one = draft.maybe(0.35)
    dim = draft.width(WIDTHS[:12])
    other = dim if one else draft.width(WIDTHS[:12])
    k = draft.rng.choice((4, 8, 14, 16, 32))
    draft.image(k * draft.rng.choice((2, 4, 4)), 3, "image")
    length = (draft.side // k) ** 2
    draft.add("patches", {"cin": 3, "dim": other, "kernel": k, "stride": k, "length": length, "tokens":
                          draft.rng.choice((0, 1)), "norm": draft.taste.norm() if draft.maybe(0.4) else ""}, 4,
              take=["image"], to="seen")  # fmt: skip
    text_inputs(draft, dim, draft.pick(table=80, parameter=20))
    heads, placement = heads_of(draft, dim), draft.pick(pre=50, post=50)
    if one:
        draft.add("join", {"form": "cat", "axis": 1}, 1, take=["x", "seen"])
        stack(draft, transformer_args(draft, dim, heads, placement=placement))
        final_norm(draft, dim, 0.6)
        sequence_head(draft, dim, draft.pick(classes=55, pooler=25, none=20), (2, 3, 1000, 3129))
        return
    if draft.maybe(0.6):
        stack(draft, transformer_args(draft, dim, heads, placement=placement), most=12, share=0.2)
    if draft.maybe(0.5):
        alone = transformer_args(draft, other, heads_of(draft, other), placement=placement)
        stack(draft, alone, ["seen"], 12, 0.2, "seen")
    text = transformer_args(draft, dim, heads, memory=other, placement=placement)
    image = transformer_args(draft, other, heads_of(draft, other), memory=dim, placement=placement)
    both = draft.maybe(0.75)
    for _ in range(draft.depth(cell_cost(text) + both * cell_cost(image), 2 if draft.tiny else 16)):
        add_transformer(draft, text, 1, ["x", None, "seen"])
        if both:
            add_transformer(draft, image, 1, ["seen", None, "x"], "seen")
    _fuse(draft, dim, other)


def _fuse(draft: Draft, dim: int, other: int) -> None:
    """One vector of each of the two sequences, joined and scored."""
    width, form = draft.width((128, 256, 512, 1024)), draft.pick(mul=50, add=20, cat=30)
    take, act = draft.pick(first=60, mean=40), draft.taste.act()
    for name, size in (("x", dim), ("seen", other)):
        draft.add("sequence_head", {"dim": size, "classes": width, "take": take}, 2, take=[name], to=name)
    draft.add("join", {"form": form}, 1, take=["x", "seen"])
    joined = 2 * width if form == "cat" else width
    if draft.maybe(0.5):
        draft.add("dense_unit", {"cin": joined, "cout": width, "act": act}, 2)
        joined = width
    draft.add("linear", {"cin": joined, "cout": draft.rng.choice((1, 2, 3, 1000, 3129))}, 1)


def funnel(draft: Draft) -> None:
    """A transformer over token ids whose sequence gets shorter from stage to stage and, for scores per position,
    longer again with connections between equal lengths.

    After Dai et al. 2020, arXiv 2006.03236, and Nawrot et al. 2021, arXiv 2110.13711.
    """
    draft.prefer(sequence_norms=("LayerNorm", "LayerNorm", "RMSNorm"), activations=TEXT_ACTIVATIONS)
    dim = draft.width(WIDTHS[:14])
    heads, placement = heads_of(draft, dim), draft.pick(pre=65, post=35)
    levels = draft.rng.choice((1, 1, 2)) if draft.tiny else draft.rng.choice((1, 2, 2, 3))
    factor = draft.rng.choice((2, 4)) if levels == 1 else 2
    text_inputs(draft, dim, draft.pick(table=60, wave=20, parameter=20), 16 if draft.tiny else
                draft.rng.choice((16, 32, 48)), norm=0.5)  # fmt: skip
    causal, grows = draft.maybe(0.3), draft.maybe(0.65)
    args = transformer_args(draft, dim, heads, causal, gated=0.2, placement=placement)
    share = draft.left() / (1 + levels * (2 if grows else 1))
    depth = max(1, min(2 if draft.tiny else 12, round(share / cell_cost(args))))
    down, up = draft.pick(avg=35, max=20, conv=25, linear=20), draft.pick(repeat=40, conv=30, linear=30)
    norm, equal = draft.taste.norm() if draft.maybe(0.5) else "", draft.maybe(0.6)
    for level in range(levels):
        add_transformer(draft, args, depth if equal else draft.rng.randint(1, depth))
        if grows:
            draft.add("keep", {}, 0, to=f"long{level}")
        draft.add("shorten", {"dim": dim, "factor": factor, "form": down, "norm": norm}, 1.0 + bool(norm))
    add_transformer(draft, args, depth)
    if not grows:
        final_norm(draft, dim, 0.5)
        sequence_head(draft, dim, draft.pick(classes=60, pooler=25, none=15))
        return
    for level in reversed(range(levels)):
        draft.add("lengthen", {"dim": dim, "factor": factor, "form": up}, 1.0)
        draft.add("join", {"form": "add"}, 1.0, take=["x", f"long{level}"])
        add_transformer(draft, args, depth if equal else draft.rng.randint(1, depth))
    final_norm(draft, dim, 0.7)
    sequence_head(draft, dim, draft.pick(tokens=75, none=25), (2, 9, 1000))


def masks(draft: Draft) -> None:
    """A waveform to filters, masks of them for each source from dilated convolutions or a transformer, and every
    masked copy back to a waveform.

    After Luo and Mesgarani 2019, arXiv 1809.07454, and Subakan et al. 2021, arXiv 2010.13154.
    """
    draft.prefer(
        sequence_norms=("LayerNorm", "GroupNorm", "BatchNorm1d"), activations=("PReLU", "ReLU", "GELU", "SiLU")
    )
    kernel = draft.rng.choice((8, 16, 20, 32, 40))
    stride = kernel // draft.rng.choice((2, 2, 4))
    filters, dim = draft.width((64, 128, 256, 512)), draft.width((64, 128, 192, 256))
    draft.features([1, kernel + stride * (15 if draft.tiny else draft.rng.choice((31, 63, 127)))])
    encoder = {"cin": 1, "cout": filters, "kernel": kernel, "stride": stride, "bias": draft.taste.bias}
    draft.add("signal", encoder | {"act": draft.taste.act() if draft.maybe(0.7) else ""}, 2, to="filtered")
    norm = draft.taste.norm() if draft.maybe(0.7) else ""
    draft.add("to_sequence", {"cin": filters, "dim": dim, "norm": norm}, 2, take=["filtered"])
    sources = draft.rng.choice((1, 2, 2, 3, 4))
    share = max(0.2, 1.0 - 4.5 * sources / max(draft.left(), 1.0))
    if draft.maybe(0.7):
        args = sequence_conv_args(draft, dim, draft.pick(dilated=75, glu=25)) | {"residual": True}
        cycle = draft.rng.choice((3, 4, 6, 8))
        for i in range(draft.depth(6.0, 4 if draft.tiny else 32, share)):
            dilated = {"dilation": 2 ** (i % cycle)} if args["form"] == "dilated" else {}
            draft.add("sequence_conv", args | dilated, 6.0)
    else:
        stack(draft, transformer_args(draft, dim, heads_of(draft, dim)), share=share)
    act = draft.pick(Sigmoid=60, ReLU=25, Softplus=15)
    draft.outputs = [f"source{i}" for i in range(sources)]
    for name in draft.outputs:
        draft.add("to_signal", {"dim": dim, "cout": filters, "act": f"{act}:module"}, 2, to=name)
        draft.add("join", {"form": "mul"}, 1, take=[name, "filtered"], to=name)
        decoder = {"cin": filters, "cout": 1, "kernel": kernel, "stride": stride, "transpose": True, "bias": False}
        draft.add("signal", decoder, 1, take=[name], to=name)
