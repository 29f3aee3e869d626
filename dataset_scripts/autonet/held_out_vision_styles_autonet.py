"""Styles of vision networks that no training network has: each public function drafts one network of the `test` split.

They are made of the operations of the training networks (`repertoire_autonet.REPERTOIRE`). What is new is how they
are put together: learned queries that read an image, parallel resolutions that exchange, pyramids of features under
shared heads, and images that are squeezed into one vector and drawn again without connections past it.
"""

from __future__ import annotations

import itertools

from .draft_autonet import Draft
from .transformer_styles_autonet import final_norm, heads_of, stack, transformer_args
from .vision_styles_autonet import CNN_ACTIVATIONS, CNN_NORMS, image_head, mixer_stage, residual_stage, stem, unit


def queries(draft: Draft) -> None:
    """A convolution network, a transformer over its positions and a decoder of learned queries with two heads.

    After Carion et al. 2020, arXiv 2005.12872.
    """
    draft.prefer(("BatchNorm2d", "GroupNorm", "LayerNorm"), ("LayerNorm", "RMSNorm"), ("ReLU", "GELU", "SiLU"))
    stem(draft, 32 if draft.tiny else 64)
    kind = draft.pick(basic=35, bottleneck=45, inverted=20)
    for _ in range(1 if draft.tiny else draft.rng.randint(2, 4)):
        stride = 2 if draft.side >= 4 else 1
        residual_stage(draft, kind, min(draft.channels * 2, 512), stride, draft.depth(9.0, 6, 0.15))
    dim = draft.width((64, 128, 256, 256, 512))
    unit(draft, dim, 1, norm="", act="")
    draft.add("to_sequence", {"cin": dim, "positions": draft.side**2}, 1, to="memory")
    heads, placement = heads_of(draft, dim), draft.pick(pre=40, post=60)
    stack(draft, transformer_args(draft, dim, heads, placement=placement), ["memory"], 12, 0.4, "memory")
    draft.add("queries", {"count": draft.rng.choice((10, 50, 100)), "dim": dim, "table": draft.maybe(0.5)}, 1,
              take=["memory"])  # fmt: skip
    cells = transformer_args(draft, dim, heads, memory=dim, placement=placement)
    stack(draft, cells, ["x", None, "memory"], 12)
    final_norm(draft, dim, 0.6)
    draft.add("linear", {"cin": dim, "cout": draft.rng.choice((21, 92, 251))}, 1, to="scores")
    for i, cout in enumerate((dim, dim, 4)):
        draft.add("dense_unit", {"cin": dim, "cout": cout, "act": "ReLU:function" if i < 2 else "Sigmoid:function"}, 2)
    draft.outputs = ["scores", "x"]


class _Resolutions:
    """Images of several resolutions side by side: the name, the channels and the side of each."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.names, self.widths, self.sides = ["x"], [draft.channels], [draft.side]
        self.kind = draft.pick(basic=45, bottleneck=25, inverted=30)
        self.mode = draft.pick(nearest=55, bilinear=45)
        self.norm, self.act, self.count = draft.taste.image_norm(), draft.taste.act(), 0

    def conv(self, source: str, to: str, cin: int, cout: int, stride: int, act: bool) -> None:
        """A convolution of size 3 with a stride, of size 1 without one."""
        args = {"cin": cin, "cout": cout, "kernel": 3 if stride > 1 else 1, "stride": stride, "norm": self.norm,
                "act": self.act if act else "", "bias": not self.norm}  # fmt: skip
        self.draft.add("conv", args, 2.5, take=[source], to=to)

    def grow(self) -> None:
        """One more resolution, half of the lowest, with twice its channels."""
        name = f"low{len(self.names)}"
        self.conv(self.names[-1], name, self.widths[-1], 2 * self.widths[-1], 2, True)
        self.names.append(name)
        self.widths.append(2 * self.widths[-1])
        self.sides.append((self.sides[-1] + 1) // 2)

    def work(self, depth: int) -> None:
        """Residual cells at every resolution by itself."""
        hidden = {"bottleneck": 4}.get(self.kind, 0)
        for name, width in zip(self.names, self.widths, strict=True):
            if self.kind == "inverted":
                args = {"cin": width, "cout": width, "expand": 2, "norm": self.norm, "act": self.act}
                self.draft.add("inverted", args, 9.0, depth, take=[name], to=name)
                continue
            args = {"cin": width, "cout": width, "hidden": max(width // hidden, 4) if hidden else 0,
                    "norm": self.norm, "act": self.act}  # fmt: skip
            self.draft.add("residual", args, 10.0 if hidden else 7.0, depth, take=[name], to=name)

    def exchange(self) -> None:
        """Every resolution becomes the sum of all, brought to its size and channels."""
        self.count += 1
        fused = []
        for i, name in enumerate(self.names):
            total = name
            for j in range(len(self.names)):
                if j == i:
                    continue
                self.bring(j, i)
                self.draft.add("join", {"form": "add"}, 1.0, take=[total, "moved"], to=f"sum{i}_{self.count}")
                total = f"sum{i}_{self.count}"
            fused.append(total)
        self.names = fused

    def bring(self, source: int, target: int) -> None:
        """The image of one resolution at the size and with the channels of another, as the value `moved`."""
        name = self.names[source]
        if source > target:
            self.conv(name, "moved", self.widths[source], self.widths[target], 1, False)
            size = {"size": self.sides[target], "mode": self.mode}
            self.draft.add("resize", size, 1.0, take=["moved"], to="moved")
            return
        for step in range(source, target):
            last = step == target - 1
            self.conv(name, "moved", self.widths[step], self.widths[step + 1], 2, not last)
            name = "moved"


def resolutions(draft: Draft) -> None:
    """Images of two to four resolutions kept side by side all the way, which exchange what they have again and again.

    After Wang et al. 2019, arXiv 1908.07919.
    """
    draft.prefer(CNN_NORMS, activations=CNN_ACTIVATIONS)
    draft.image(32 if draft.tiny else draft.rng.choice((64, 96, 128)))
    width = draft.width((8, 16, 24, 32, 48))
    for _ in range(draft.rng.randint(1, 2)):
        unit(draft, width, 3, 2)
    levels = _Resolutions(draft)
    most = 2 if draft.tiny else draft.rng.randint(2, 4)
    depth = draft.rng.choice((1, 1, 2)) if draft.tiny else draft.rng.choice((1, 2, 3, 4))
    rounds = draft.rng.randint(1, 3)
    while len(levels.names) < most:
        levels.grow()
        for _ in range(rounds if draft.left() > 0 else 1):
            levels.work(depth)
            levels.exchange()
    while draft.left() > 120 and not draft.tiny:
        levels.work(depth)
        levels.exchange()
    head = draft.pick(together=45, first=25, all=15, last=15)
    if head == "together":
        for name in levels.names[1:]:
            draft.add("resize", {"size": levels.sides[0], "mode": levels.mode}, 1.0, take=[name], to="moved")
            draft.add("join", {"form": "cat"}, 1.0, take=[levels.names[0], "moved"], to=levels.names[0])
        draft.add("conv", {"cin": sum(levels.widths), "cout": draft.rng.choice((17, 19, 21, 150)), "kernel": 1}, 1.0,
                  take=[levels.names[0]])  # fmt: skip
    elif head == "first":
        draft.add("conv", {"cin": levels.widths[0], "cout": draft.rng.choice((1, 14, 17, 21)), "kernel": 1}, 1.0,
                  take=[levels.names[0]])  # fmt: skip
    elif head == "all":
        draft.outputs = levels.names
    else:
        draft.add("keep", {}, 0, take=[levels.names[-1]])
        draft.channels, draft.side = levels.widths[-1], levels.sides[-1]
        image_head(draft)
    draft.prune()


def pyramid(draft: Draft) -> None:
    """A convolution network whose stages meet in a pyramid of features, top down and now and then bottom up, with
    heads for classes and boxes that all levels share.

    After Lin et al. 2017, arXiv 1612.03144 and 1708.02002, and Liu et al. 2018, arXiv 1803.01534.
    """
    draft.prefer(CNN_NORMS, activations=CNN_ACTIVATIONS)
    stem(draft, 32 if draft.tiny else draft.rng.choice((64, 96, 128)))
    kind = draft.pick(basic=30, bottleneck=30, inverted=20, depthwise=20)
    count = 2 if draft.tiny else draft.rng.randint(2, 4)
    stages: list[tuple[str, int, int]] = []
    for i in range(count):
        stride = 2 if draft.side >= 4 and (i or draft.maybe(0.5)) else 1
        depth, cout = draft.depth(9.0, 8, 0.2), min(draft.channels * draft.rng.choice((1, 2, 2)), 768)
        if kind == "depthwise":
            mixer_stage(draft, cout, stride, depth, kind)
        else:
            residual_stage(draft, kind, cout, stride, depth)
        draft.add("keep", {}, 0, to=f"stage{i}")
        stages.append((f"stage{i}", draft.channels, draft.side))
    width, norm = draft.width((32, 64, 128, 256)), draft.taste.image_norm() if draft.maybe(0.4) else ""
    mode, smooth = draft.pick(nearest=75, bilinear=25), draft.maybe(0.7)
    for name, channels, _ in stages:
        draft.add("conv", {"cin": channels, "cout": width, "kernel": 1, "norm": norm}, 2.0, take=[name], to=name)
    for (upper, _, _), (lower, _, side) in itertools.pairwise(reversed(stages)):
        draft.add("resize", {"size": side, "mode": mode}, 1.0, take=[upper], to="above")
        draft.add("join", {"form": "add"}, 1.0, take=[lower, "above"], to=lower)
    if smooth:
        for name, _, _ in stages:
            draft.add("conv", {"cin": width, "cout": width, "kernel": 3, "norm": norm}, 2.0, take=[name], to=name)
    if draft.maybe(0.4):
        _bottom_up(draft, stages, width, norm)
    names: list[str | None] = [name for name, _, _ in stages]
    depth, act = draft.rng.choice((0, 1, 2, 4)), draft.taste.act()
    for to, outputs in (("classes", draft.rng.choice((9, 20, 80, 91))), ("boxes", 4 * draft.rng.choice((1, 3, 9)))):
        head = {"cin": width, "depth": depth, "outputs": outputs, "norm": norm, "act": act}
        draft.add("shared_head", head, (1 + 2.5 * depth) * len(names), take=names, to=to)
    draft.outputs = ["classes", "boxes"]


def _bottom_up(draft: Draft, stages: list[tuple[str, int, int]], width: int, norm: str) -> None:
    """A second way through the pyramid, from the highest resolution to the lowest."""
    act = draft.taste.act()
    for (lower, _, fine), (upper, _, side) in itertools.pairwise(stages):
        stride = 2 if (fine + 1) // 2 == side and fine != side else 1
        args = {"cin": width, "cout": width, "kernel": 3, "stride": stride, "norm": norm, "act": act}
        draft.add("conv", args, 3.0, take=[lower], to="below")
        if stride == 1 and fine != side:
            draft.add("resize", {"size": side, "mode": "nearest"}, 1.0, take=["below"], to="below")
        draft.add("join", {"form": "add"}, 1.0, take=[upper, "below"], to=upper)


def autoencoder(draft: Draft) -> None:
    """An image squeezed into one vector and drawn from it again, or drawn from a vector of noise alone.

    After Hinton and Salakhutdinov 2006 (Science 313) and Radford et al. 2015, arXiv 1511.06434.
    """
    draft.prefer(CNN_NORMS, activations=(*CNN_ACTIVATIONS, "Tanh"))
    latent = draft.width((32, 64, 100, 128, 256, 512))
    steps = 2 if draft.tiny else draft.rng.randint(2, 4)
    side, width = 4, draft.width((32, 64, 96, 128))
    top = width if draft.tiny else min(width * 2 ** (steps - 1), 512)
    decoder_only = draft.maybe(0.3)
    share = draft.left() * (1.0 if decoder_only else 0.5)
    depth = max(1, min(8, round(share / steps / 3.5)))
    if decoder_only:
        draft.features([latent])
    else:
        draft.image(side * 2**steps, draft.rng.choice((1, 3, 3)))
        for step in range(steps):
            _encoder_step(draft, min(width * 2**step, top), depth)
        draft.add("image_head", {"cin": draft.channels, "classes": latent, "pool": "flatten", "side": draft.side}, 2.0)
    spread = {"dim": latent, "channels": top, "side": side, "norm": draft.taste.image_norm(), "act": draft.taste.act()}
    draft.add("spread", spread, 3.0)
    draft.channels, draft.side = top, side
    form, mode = draft.pick(transpose=55, module=10, function=15, shuffle=20), draft.pick(nearest=60, bilinear=40)
    kernel = draft.rng.choice((2, 4, 4))
    for step in reversed(range(steps)):
        cout = max(min(width * 2 ** max(step - 1, 0), top), 8)
        up = {"cin": draft.channels, "cout": cout, "form": form, "kernel": kernel, "mode": mode,
              "norm": draft.taste.image_norm(), "act": draft.taste.act()}  # fmt: skip
        draft.add("upscale", up, 3.5)
        draft.channels, draft.side = cout, draft.side * 2
        for _ in range(depth - 1):
            unit(draft, cout, draft.rng.choice((3, 3, 5)))
    last = draft.pick(Sigmoid=40, Tanh=40, _=20)
    unit(draft, draft.rng.choice((1, 3, 3)), 3, norm="", act=f"{last}:module" if last else "")


def _encoder_step(draft: Draft, cout: int, depth: int) -> None:
    """Convolutions that end at half of the size."""
    for _ in range(depth - 1):
        unit(draft, cout, draft.rng.choice((3, 3, 5)))
    before = draft.side
    unit(draft, cout, 3, 2 if draft.maybe(0.7) else 1)
    if draft.side == before:
        draft.add("pool", {"name": draft.pick(MaxPool2d=60, AvgPool2d=40), "kernel": 2, "stride": 2}, 1.0)
        draft.side //= 2
