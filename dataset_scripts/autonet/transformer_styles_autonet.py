"""Styles of generated networks made of transformer cells: each function without a result drafts one random network.

`transformer_args` chooses how attention, feed-forward network and normalization are written; every style that has
transformer cells uses it, with its own habits.
"""

from __future__ import annotations

from typing import Any

from .draft_autonet import Draft
from .vision_styles_autonet import image_head

WIDTHS = (64, 128, 192, 256, 312, 384, 512, 640, 768, 768, 1024, 1024, 1280, 1536, 2048, 2560, 4096)
TEXT_ACTIVATIONS = ("GELU", "GELU", "GELU", "ReLU", "SiLU", "Tanh")
DECODER_ACTIVATIONS = ("SiLU", "SiLU", "GELU", "GELU", "ReLU", "ReLUSquared")
VOCABULARIES = (256, 1000, 8000, 21128, 28996, 30522, 32000, 32128, 50257, 50265, 64000, 128256, 151936, 250002)


def heads_of(draft: Draft, dim: int) -> int:
    """A number of heads that divides the width into even head sizes."""
    choices = [h for h in (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40) if dim % h == 0 and dim // h % 2 == 0]
    usual = [h for h in choices if dim // h in (32, 48, 64, 80, 96, 128)]
    return draft.rng.choice(usual if usual and draft.maybe(0.7) else choices)


def attention_args(draft: Draft, dim: int, heads: int, causal: bool = False, rotary: str = "", grouped: bool = False,
                   memory: int = 0) -> dict[str, Any]:  # fmt: skip
    """Arguments of one attention."""
    rng = draft.rng
    kernel = draft.pick(fused=51, softmax=28, einsum=6, module=8, linear=5, cosine=2)
    if rotary and kernel == "module":
        kernel = "fused"
    if causal and kernel == "linear":
        kernel = "softmax"
    args: dict[str, Any] = {"heads": heads, "kernel": kernel, "bias": draft.taste.bias, "causal": causal}
    if kernel == "module":
        return args | {"memory": memory}
    divisors = [h for h in (1, 2, 4, 8) if heads % h == 0 and h < heads]
    kv_heads = rng.choice(divisors) if grouped and divisors else 0
    args |= {
        "kv_heads": kv_heads,
        "projection": draft.pick(separate=62, fused=33, conv=5) if not memory else "separate",
        "out_bias": args["bias"] or draft.maybe(0.2),
        "rotary": rotary,
        "memory": memory,
        "qk_norm": draft.taste.norm() if draft.maybe(0.1) else "",
        "gate": draft.maybe(0.04),
        "softmax": draft.pick(function=65, module=35),
        "scale_scores": draft.pick(after=60, before=40),
        "cap": 30.0 if draft.maybe(0.03) and kernel in ("softmax", "einsum") else 0.0,
    }
    if args["qk_norm"].partition(":")[0] not in ("LayerNorm", "RMSNorm"):
        args["qk_norm"] = ""
    if causal and draft.maybe(0.08):
        args["window"] = rng.choice((128, 512, 1024, 4096))
    return {key: value for key, value in args.items() if (value != "" and value != 0) or key in ("bias", "heads")}


def mlp_args(draft: Draft, dim: int, gated: float, experts: float = 0.0) -> dict[str, Any]:
    """Arguments of a feed-forward network or, with probability `experts`, of a mixture of them."""
    rng, taste = draft.rng, draft.taste
    hidden = max(8, int(dim * rng.choice((1, 2, 2.6875, 3.5, 4, 4, 4))) // 8 * 8)
    hidden = rng.randint(dim, 4 * dim) if draft.maybe(0.1) else hidden
    if draft.maybe(experts):
        count = rng.choice((2, 4)) if draft.tiny else rng.choice((2, 4, 8, 8, 16))
        form = draft.pick(loop=35, stacked=25, grouped=40) if count <= 4 else draft.pick(stacked=40, grouped=60)
        hidden = max(8, hidden // 8 * 8)
        return {"hidden": hidden, "experts": count, "top_k": rng.choice((1, 2)), "act": taste.act(), "form": form,
                "gated": draft.maybe(0.7), "router": draft.pick(softmax_topk=50, topk_softmax=30, sigmoid=20),
                "shared": hidden if draft.maybe(0.25) else 0, "bias": taste.bias and draft.maybe(0.3)}  # fmt: skip
    if draft.maybe(gated):
        form = draft.pick(gated=75, fused=20, glu=5)
    else:
        form = draft.pick(plain=93, conv=4, glu=3)
    args: dict[str, Any] = {
        "hidden": hidden,
        "act": taste.act(),
        "form": form,
        "bias": taste.bias,
        "drop": taste.rate(),
    }
    if form == "conv":
        args["kernel"] = rng.choice((1, 3, 3, 5, 9))
    elif draft.maybe(0.04):
        args["norm"] = taste.norm()
    return args


def cell_cost(args: dict[str, Any]) -> float:
    """Estimated graph nodes of one transformer cell."""
    cost = 0.0
    for key in ("attention", "cross"):
        attention = args.get(key)
        if attention:
            kernel = {"fused": 1, "softmax": 3, "einsum": 3, "module": -4, "linear": 9, "cosine": 8}[
                attention["kernel"]
            ]
            cost += 4 + kernel + 8 * bool(attention.get("rotary")) + 2 * bool(attention.get("qk_norm")) + 1
            cost -= 2 * (attention.get("projection") == "fused")
    mlp = args.get("mlp")
    if mlp and "experts" in mlp:
        inner = 5 if mlp["gated"] else 3
        cost += 8 + (mlp["experts"] * (inner + 2) if mlp["form"] == "loop" else inner + 2) + 6 * bool(mlp["shared"])
    elif mlp:
        cost += 4 + 2 * (mlp["form"] in ("gated", "fused"))
    return cost + {"pre": 2, "post": 2, "both": 4, "parallel": 2, "none": 0}[args["placement"]] + 2 * args["scale"]


def transformer_args(draft: Draft, dim: int, heads: int, causal: bool = False, rotary: str = "", gated: float = 0.1,
                     experts: float = 0.0, grouped: bool = False, memory: int = 0, placement: str = "",
                     ) -> dict[str, Any]:  # fmt: skip
    """Arguments of a transformer cell."""
    cross = attention_args(draft, dim, heads, memory=memory) if memory else None
    if cross is not None and cross["kernel"] == "linear":
        cross["kernel"] = "fused"
    place = placement or draft.pick(pre=56, post=26, both=7, parallel=0 if memory else 8, none=3)
    return {"dim": dim, "attention": attention_args(draft, dim, heads, causal, rotary, grouped), "cross": cross,
            "mlp": mlp_args(draft, dim, gated, experts), "norm": draft.taste.norm(), "placement": place,
            "scale": draft.maybe(0.07), "drop": draft.taste.rate()}  # fmt: skip


def add_transformer(draft: Draft, args: dict[str, Any], depth: int, take: list[str | None] | None = None,
                    to: str = "x", shared: bool = False) -> None:  # fmt: skip
    """Add `depth` equal transformer cells; now and then the last half has another feed-forward network."""
    draft.add("transformer", args, cell_cost(args), depth, take, to, shared)


def stack(draft: Draft, args: dict[str, Any], take: list[str | None] | None = None, most: int = 48, share: float = 1.0,
          to: str = "x") -> None:  # fmt: skip
    """Fill a share of what remains with transformer cells, all equal or alternating between two kinds."""
    rng = draft.rng
    depth = draft.depth(cell_cost(args), 4 if draft.tiny else most, share)
    if depth >= 4 and draft.maybe(0.15):
        other = dict(args)
        heads = args["attention"]["heads"] if args["attention"] else 1
        change = draft.pick(mlp=50, attention=30, norm=20)
        if change == "mlp":
            other["mlp"] = mlp_args(draft, args["dim"], 0.5, 0.3)
        elif change == "norm":
            other["norm"] = draft.taste.norm()
        elif args["attention"]:
            old = args["attention"]
            other["attention"] = attention_args(
                draft, args["dim"], heads, old.get("causal", False), old.get("rotary", "")
            )
        if draft.maybe(0.5):
            first = rng.randint(1, depth - 1)
            add_transformer(draft, args, first, take, to)
            add_transformer(draft, other, depth - first, take, to)
            return
        for i in range(min(depth, 24)):
            add_transformer(draft, args if i % 2 == 0 else other, 1, take, to)
        return
    add_transformer(draft, args, depth, take, to, shared=depth > 1 and draft.maybe(0.02))


def final_norm(draft: Draft, dim: int, probability: float) -> None:
    """Add a last normalization."""
    name = draft.taste.norm()
    if name and draft.maybe(probability):
        draft.add("norm", {"name": name, "dim": dim, "layout": "sequence"}, 1)


def sequence_head(draft: Draft, dim: int, kind: str, classes: tuple[int, ...] = (2, 3, 5, 10, 1000)) -> None:
    """Add a head: none, pooler, pooled features, classes per sequence, or scores per position (`tokens`)."""
    if kind == "none":
        return
    args: dict[str, Any] = {
        "dim": dim,
        "classes": 0 if kind in ("pooler", "features") else draft.rng.choice(classes),
        "act": "Tanh:module" if draft.maybe(0.6) else draft.taste.act(),
    }
    if kind == "tokens":
        args |= {"take": "all", "pooler": dim if draft.maybe(0.3) else 0}
        if args["pooler"]:
            args |= {"act": draft.taste.act(), "inner_norm": draft.taste.norm()}
    else:
        pool = 60 if kind == "features" else 12
        args |= {"take": draft.pick(first=45, mean=25, pool=pool, max=8, last=6, topk=4),
                 "pooler": dim if kind == "pooler" or (kind == "classes" and draft.maybe(0.4)) else 0,
                 "pooled_norm": draft.taste.norm() if draft.maybe(0.12) else ""}  # fmt: skip
    args |= {"drop": draft.taste.rate(), "last": draft.pick(_=92, softmax=4, log_softmax=4), "bias": draft.maybe(0.8)}
    draft.add("sequence_head", args, 3.0)


def text_inputs(draft: Draft, dim: int, habits: str, length: int = 0, name: str = "x", norm: float = 0.5,
                to: str = "x") -> int:  # fmt: skip
    """Declare token ids and add their embedding; returns the vocabulary."""
    length = length or (8 if draft.tiny else draft.rng.choice((8, 16, 16, 24)))
    vocab = 64 if draft.tiny else draft.rng.randint(64, 4000) if draft.maybe(0.15) else draft.rng.choice(VOCABULARIES)
    draft.tokens(vocab, length, name)
    inner = draft.rng.choice((16, 64, 128)) if draft.maybe(0.05) else 0
    args = {
        "vocab": vocab,
        "dim": dim,
        "length": length,
        "positions": habits,
        "segments": 2 if habits == "table" and draft.maybe(0.5) else 0,
        "norm": draft.taste.norm() if draft.maybe(norm) else "",
        "inner": inner if inner != dim else 0,
        "scale": 8.0 if draft.maybe(0.08) else 0.0,
        "drop": draft.taste.rate(),
        "act": draft.taste.act() if draft.maybe(0.02) else "",
    }
    draft.add("tokens", args, 3.0, take=[name] if name != "x" else None, to=to, name=f"{to}_embedding")
    draft.channels = dim
    return vocab


def add_rotary(draft: Draft, head_dim: int) -> None:
    """Add rotary tables for whole heads or, now and then, for a part of each head."""
    part = 2 if head_dim % 4 == 0 and draft.maybe(0.15) else 4 if head_dim % 8 == 0 and draft.maybe(0.1) else 1
    draft.add("rotary", {"dim": head_dim // part}, 1, to="rope")


def text_encoder(draft: Draft) -> None:
    """Bidirectional transformer over token ids."""
    draft.prefer(sequence_norms=("LayerNorm", "LayerNorm", "RMSNorm"), activations=TEXT_ACTIVATIONS)
    dim = draft.width(WIDTHS)
    heads = heads_of(draft, dim)
    rotary = draft.pick(_=80, half=17, interleaved=3)
    text_inputs(draft, dim, "" if rotary else draft.pick(table=76, parameter=6, wave=10, _=8), norm=0.8)
    take: list[str | None] | None = None
    if rotary:
        add_rotary(draft, dim // heads)
        take = ["x", "rope"]
    args = transformer_args(
        draft, dim, heads, rotary=rotary, placement=draft.pick(post=50, pre=42, parallel=4, both=4)
    )
    if not rotary and args["attention"]["kernel"] in ("fused", "softmax", "einsum") and draft.maybe(0.12):
        draft.add("relative_bias", {"heads": heads}, 1, to="bias")
        take = ["x", None, None, "bias"]
    stack(draft, args, take)
    final_norm(draft, dim, 0.3)
    sequence_head(draft, dim, draft.pick(none=28, pooler=28, classes=18, tokens=26))


def decoder(draft: Draft) -> None:
    """Causal transformer over token ids, in the older and the newer ways."""
    draft.prefer(sequence_norms=("RMSNorm", "RMSNorm", "LayerNorm"), activations=DECODER_ACTIVATIONS)
    dim = draft.width(WIDTHS)
    heads = heads_of(draft, dim)
    rotary = draft.pick(_=35, half=58, interleaved=7)
    vocab = text_inputs(draft, dim, "" if rotary else draft.pick(table=80, wave=10, _=10), norm=0.1)
    take: list[str | None] | None = None
    if rotary:
        add_rotary(draft, dim // heads)
        take = ["x", "rope"]
    args = transformer_args(draft, dim, heads, True, rotary, 0.75 if rotary else 0.15, 0.1, draft.maybe(0.5),
                            placement=draft.pick(pre=78, post=6, both=6, parallel=10))  # fmt: skip
    stack(draft, args, take)
    final_norm(draft, dim, 0.93)
    if draft.maybe(0.55):
        tied = draft.maybe(0.5) and not draft.items[0]["args"]["inner"]
        draft.add("linear", {"cin": dim, "cout": vocab, "bias": False}, 1, tie="x_embedding" if tied else "")
        if draft.maybe(0.08):
            draft.add("softmax", {"axis": -1, "log": draft.maybe(0.6)}, 1)


def encoder_decoder(draft: Draft) -> None:
    """Two transformers joined by cross attention, over tokens, an image or a signal on the encoder's side."""
    draft.prefer(sequence_norms=("LayerNorm", "LayerNorm", "RMSNorm"), activations=TEXT_ACTIVATIONS)
    dim = draft.width(WIDTHS[:12])
    heads = heads_of(draft, dim)
    source = draft.pick(text=70, image=12, audio=18)
    if source == "text":
        text_inputs(draft, dim, draft.pick(table=45, wave=25, _=30), name="source", to="memory", norm=0.5)
    elif source == "image":
        draft.image(32, 3, "source")
        k = draft.rng.choice((4, 8, 16))
        draft.add(
            "patches",
            {"cin": 3, "dim": dim, "kernel": k, "stride": k, "length": (32 // k) ** 2, "tokens": 0},
            3,
            take=["source"],
            to="memory",
        )
    else:
        mels = draft.rng.choice((40, 80, 128))
        draft.features([mels, 32], "source")
        act = draft.taste.act()
        for i in range(2):
            draft.add("signal", {"cin": dim if i else mels, "cout": dim, "kernel": 3, "stride": i + 1, "act": act,
                                 "padding": 1}, 2, take=["memory" if i else "source"], to="memory")  # fmt: skip
        draft.add(
            "to_sequence", {"cin": dim, "positions": 16 if draft.maybe(0.8) else 0}, 1, take=["memory"], to="memory"
        )
    share = draft.rng.choice((0.3, 0.4, 0.5))
    placement = draft.pick(pre=55, post=45)
    gated = 0.8 if draft.maybe(0.25) else 0.0
    encoder = transformer_args(draft, dim, heads, gated=gated, placement=placement)
    stack(draft, encoder, ["memory"], 24, share, "memory")
    name = draft.taste.norm()
    if name and placement == "pre":
        draft.add("norm", {"name": name, "dim": dim, "layout": "sequence"}, 1, take=["memory"], to="memory")
    vocab = text_inputs(draft, dim, draft.pick(table=60, wave=20, _=20), norm=0.5)
    cells = transformer_args(draft, dim, heads, True, gated=gated, memory=dim, placement=placement)
    stack(draft, cells, ["x", None, "memory"], 24)
    final_norm(draft, dim, 0.6)
    if draft.maybe(0.45):
        draft.add(
            "linear",
            {"cin": dim, "cout": vocab, "bias": False},
            1,
            tie="x_embedding"
            if draft.maybe(0.2) and not next(i for i in draft.items if i.get("name") == "x_embedding")["args"]["inner"]
            else "",
        )
    elif draft.maybe(0.4):
        draft.outputs = ["x", "memory"]


def experts(draft: Draft) -> None:
    """Causal or bidirectional transformer whose feed-forward networks are mixtures of experts."""
    draft.prefer(sequence_norms=("RMSNorm", "RMSNorm", "LayerNorm"), activations=DECODER_ACTIVATIONS)
    dim = draft.width(WIDTHS[:14])
    heads = heads_of(draft, dim)
    rotary = draft.pick(_=25, half=70, interleaved=5)
    text_inputs(draft, dim, "" if rotary else "table", norm=0.2)
    take: list[str | None] | None = None
    if rotary:
        add_rotary(draft, dim // heads)
        take = ["x", "rope"]
    causal, grouped = draft.maybe(0.8), draft.maybe(0.5)
    args = transformer_args(draft, dim, heads, causal, rotary, 0.7, 1.0, grouped, placement="pre")
    if draft.maybe(0.3):
        add_transformer(draft, {**args, "mlp": mlp_args(draft, dim, 0.7)}, draft.rng.randint(1, 2), take)
    stack(draft, args, take)
    final_norm(draft, dim, 0.9)
    sequence_head(draft, dim, draft.pick(none=50, tokens=50))


def vit(draft: Draft) -> None:
    """Transformer over the patches of an image: flat, in windows with merging of patches, or in stages of an image."""
    draft.prefer(sequence_norms=("LayerNorm", "LayerNorm", "LayerNorm", "RMSNorm"),
                 activations=("GELU", "GELU", "GELU", "SiLU", "ReLU"))  # fmt: skip
    dim = draft.width(WIDTHS[:13])
    k = draft.rng.choice((4, 8) if draft.tiny else (4, 5, 7, 8, 10, 12, 13, 14, 14, 15, 16, 16, 16, 18, 20, 22, 24, 26,
                                                    28, 30, 32, 9, 11, 17, 19, 21, 23, 25, 27, 29, 31, 6))  # fmt: skip
    form = draft.pick(flat=63, windows=22, spatial=15)
    if form != "flat":
        _windows(draft) if form == "windows" else _spatial(draft)
        return
    draft.image(k * 4)
    tokens = draft.rng.choices((0, 1, 2, 5), (25, 62, 8, 5))[0]
    norm = draft.taste.norm() if draft.maybe(0.12) else ""
    overlap = draft.maybe(0.06) and k > 4
    stride, padding = (max(k // 2, 1), k // 2) if overlap else (k, 0)
    side = (draft.side + 2 * padding - k) // stride + 1
    draft.add("patches", {"cin": 3, "dim": dim, "kernel": k, "stride": stride, "length": side * side, "tokens": tokens,
                          "positions": draft.pick(parameter=60, table=20, wave=5, _=15), "norm": norm,
                          "padding": padding, "bias": draft.maybe(0.85), "drop": draft.taste.rate()}, 4)  # fmt: skip
    heads = heads_of(draft, dim)
    args = transformer_args(draft, dim, heads, gated=0.12, placement=draft.pick(pre=88, post=5, parallel=3, both=4))
    stack(draft, args)
    final_norm(draft, dim, 0.85)
    sequence_head(draft, dim, draft.pick(none=28, pooler=20, features=7, classes=45), (10, 100, 1000, 1000))


def _windows(draft: Draft) -> None:
    rng = draft.rng
    dim, patch = draft.rng.choice((16, 32)) if draft.tiny else rng.choice((64, 96, 128, 192)), rng.choice((2, 4, 4))
    stages = rng.randint(1, 2) if draft.tiny else rng.randint(2, 4)
    window = rng.choice((2, 4))
    side = window * 2 ** (stages - 1)
    draft.image(side * patch)
    draft.add("patches", {"cin": 3, "dim": dim, "kernel": patch, "stride": patch, "length": side * side, "tokens": 0,
                          "positions": draft.pick(_=75, parameter=25), "norm": draft.taste.norm()}, 3)  # fmt: skip
    head_dim = rng.choice((16, 32, 32))
    merge_norm, relative, padded = draft.taste.norm(), draft.maybe(0.7), draft.maybe(0.5)
    for stage in range(stages):
        args = transformer_args(draft, dim, max(1, dim // head_dim), placement=draft.pick(pre=80, post=20))
        cost = cell_cost(args) + 2
        depth = max(1, min(18, round(draft.left() / cost / (stages - stage))))
        biased = relative and args["attention"]["kernel"] in ("fused", "softmax", "einsum", "cosine")
        for i in range(depth):
            item = {"side": side, "window": window, "shift": i % 2 == 1 and side > window, "cell": args,
                    "relative": args["attention"]["heads"] if biased else 0, "pad": padded}  # fmt: skip
            draft.add("window", item, cost)
        if stage < stages - 1:
            draft.add("merge", {"dim": dim, "cout": 2 * dim, "side": side, "norm": merge_norm}, 4)
            dim, side = 2 * dim, side // 2
    final_norm(draft, dim, 0.9)
    sequence_head(draft, dim, draft.pick(none=20, pooler=15, features=15, classes=50), (10, 100, 1000))


def _spatial(draft: Draft) -> None:
    rng, taste = draft.rng, draft.taste
    stages = rng.randint(1, 2) if draft.tiny else rng.randint(2, 4)
    draft.image(32 if draft.tiny else 64)
    dim, norm, depthwise = draft.width((32, 64, 96)), taste.norm(), draft.maybe(0.7)
    cin = 3
    for stage in range(stages):
        k, stride = rng.choice(((7, 4), (4, 4), (7, 4))) if stage == 0 else rng.choice(((3, 2), (2, 2)))
        padding = k // 2 if k > stride else 0
        side = (draft.side + 2 * padding - k) // stride + 1
        draft.add("patches", {"cin": cin, "dim": dim, "kernel": k, "stride": stride, "padding": padding, "norm": norm,
                              "length": side * side, "tokens": 0, "positions": ""}, 2)  # fmt: skip
        draft.side = side
        attention = attention_args(draft, dim, heads_of(draft, dim), memory=dim)
        attention.pop("memory")
        args = {
            "dim": dim,
            "side": side,
            "attention": attention,
            "hidden": dim * rng.choice((2, 4)),
            "act": taste.act(),
            "reduce": next(r for r in (rng.choice((1, 2, 4)), 2, 1) if side % r == 0),
            "norm": norm,
            "depthwise": depthwise,
            "drop": taste.rate(),
        }
        draft.add("spatial", args, 15.0, max(1, min(12, round(draft.left() / 15 / (stages - stage)))))
        cin, dim = dim, dim * 2
        if stage < stages - 1:
            draft.add("to_image", {"side": side}, 0)
    draft.channels = cin
    if draft.maybe(0.3):
        draft.add("to_image", {"side": draft.side}, 0)
        image_head(draft)
    else:
        final_norm(draft, cin, 0.6)
        sequence_head(draft, cin, draft.pick(none=30, features=10, classes=60), (10, 100, 1000))
