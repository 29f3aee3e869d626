"""Answers to questions in words about one part of a network, a tower: attention, norms, feed-forward, sizes of layers.

A topic gives answers in words, or None where the graph does not show it with certainty.
"""

from __future__ import annotations

from collections.abc import Callable

from .network_profile_archbert import NetworkProfile, Part

Answers = tuple[str, ...]
OfPart = Callable[[NetworkProfile, Part], Answers | None]

NOTHING = "This model has no "
"""How an answer begins that says that what was asked for is not there."""
LATENT = "multi-head latent attention"


def yes_no(value: object) -> Answers | None:
    """`yes`, `no`, or None where it is unknown."""
    return None if value is None else ("yes" if value else "no",)


def count(value: int | None) -> Answers | None:
    """A number in words; None where it is unknown."""
    return None if value is None else (f"{value:,}",)


def nothing(what: str) -> Answers:
    """The answer that there is none of what is asked for."""
    return (f"{NOTHING}{what}",)


def _mixed(profile: NetworkProfile, part: Part) -> bool:
    """Whether layers of a part mix positions in other ways than the attention that was found."""
    if profile.nodes("recurrent", "scan") or profile.fact("state_space") is not False:
        return True
    layers = [part.get(name) for name in ("local_layers", "global_layers", "depth")]
    if part.get("mixer") != "attention" or part.get("stages") or None in layers:
        return False
    return layers[0] + layers[1] < layers[2]


def _attention_kind(profile: NetworkProfile, part: Part) -> Answers | None:
    kind, rank = part.get("attention"), profile.latent_rank
    if rank is None or (rank and len(profile.parts) > 1) or _mixed(profile, part):
        return None
    if rank:
        return (LATENT,)
    return (f"{kind} attention",) if kind in ("multi-head", "grouped-query", "multi-query") else None


def _plain_heads(asked: Callable[[Part], int | None]) -> OfPart:
    """Of heads that are not expanded from compressed keys and values."""
    return lambda profile, part: None if profile.latent_rank != 0 else count(asked(part))


def _sharing(part: Part) -> int | None:
    heads, shared = part.number("heads"), part.number("kv_heads")
    return heads // shared if heads and shared and heads % shared == 0 else None


def _attention_width(profile: NetworkProfile, part: Part) -> Answers | None:
    heads, size, hidden = (part.number(name) for name in ("heads", "head_dim", "hidden"))
    known = heads and size and hidden and profile.latent_rank == 0
    return yes_no(heads * size == hidden) if known and heads and size else None


def _window(profile: NetworkProfile, part: Part) -> Answers | None:
    window = part.get("window")
    return None if window is None else count(int(window)) if window else nothing("sliding window")


def _local_layers(profile: NetworkProfile, part: Part) -> Answers | None:
    return count(part.number("local_layers")) if part.get("window") else _window(profile, part)


def _global_layers(profile: NetworkProfile, part: Part) -> Answers | None:
    return count(part.number("global_layers")) if part.number("local_layers") else None


_PLACES = {"pre": "before each branch (pre-norm)", "post": "after each addition (post-norm)",
           "sandwich": "before and after each branch", "branch-end": "at the end of each branch"}  # fmt: skip
_MIXERS = {"attention": "attention", "scan": "state space layers", "convolution": "convolution",
           "pooling": "pooling"}  # fmt: skip


def _place(profile: NetworkProfile, part: Part) -> Answers | None:
    place = _PLACES.get(str(part.get("norm_position")))
    return (place,) if place else None


def _mixer(profile: NetworkProfile, part: Part) -> Answers | None:
    mixer = _MIXERS.get(str(part.get("mixer")))
    hidden = mixer in ("convolution", "pooling") and profile.has_attention is None
    return None if hidden or not mixer or (mixer == "attention" and _mixed(profile, part)) else (mixer,)


def _word(name: str) -> OfPart:
    return lambda profile, part: (str(value),) if (value := part.get(name)) else None


def _number(name: str) -> OfPart:
    return lambda profile, part: count(part.number(name))


def _expansion(profile: NetworkProfile, part: Part) -> Answers | None:
    inner, hidden = part.number("intermediate"), part.number("hidden")
    known = inner and hidden and inner % hidden == 0 and profile.fact("experts") == 0
    return count(inner // hidden) if known and inner and hidden else None


def _intermediate(profile: NetworkProfile, part: Part) -> Answers | None:
    return count(part.number("intermediate")) if profile.fact("experts") == 0 else None


def _stages(profile: NetworkProfile, part: Part) -> Answers | None:
    stages = part.number("num_stages")
    shown = stages and part.get("depth") and "image" in (profile.detail("input_kinds") or ())
    return count(stages) if shown else None


def _kernels(profile: NetworkProfile, part: Part) -> Answers | None:
    swept = [kernel for kernel in part.get("kernels") or () if "x" in kernel]
    return tuple(kernel.replace("x", "*") for kernel in sorted(swept)) or None


PART_TOPICS: dict[str, OfPart] = {
    "attention_kind": _attention_kind,
    "token_mixer": _mixer,
    "num_heads": _number("heads"),
    "num_kv_heads": _plain_heads(lambda part: part.number("kv_heads")),
    "queries_per_kv_head": _plain_heads(_sharing),
    "head_size": _plain_heads(lambda part: part.number("head_dim")),
    "attention_width": _attention_width,
    "attention_window": _window,
    "local_layers": _local_layers,
    "global_layers": _global_layers,
    "is_causal": lambda profile, part: yes_no(part.get("causal")),
    "norm_kind": _word("norm"),
    "norm_place": _place,
    "hidden_size": _number("hidden"),
    "depth": _number("depth"),
    "intermediate_size": _intermediate,
    "expansion": _expansion,
    "gated_feed_forward": lambda profile, part: yes_no(part.get("gated")),
    "activation": _word("activation"),
    "num_stages": _stages,
    "block_kernels": _kernels,
}
"""Topic -> its answer for one part."""
