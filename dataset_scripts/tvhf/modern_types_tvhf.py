"""Question types of `aqa_modern` on towers: attention, experts, normalization, sizes of layers.

A type answers for a network and one of its towers. It gives None where the answer is not known, `absent(...)` where
the question presupposes what the network has not, and raises `Disagreement` where graph and configuration differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from processing_archbert.questions_archbert import absent

from .network_view_tvhf import Disagreement, NetworkView, Tower

Answers = tuple[str, ...]
Asked = Callable[[NetworkView, Tower], Answers | None]

ANSWER_TYPES = ("name", "number", "yes_no", "kernel", "absent")


class ModernType(NamedTuple):
    """A question type.

    Attributes:
        answer_type: kind of its answers (`ANSWER_TYPES`); a row whose answer is that something is not there has
            `absent` instead.
        level: `tower` or `network`.
        answer: answers for a network and a tower; types of level `network` get any tower.
    """

    answer_type: str
    level: str
    answer: Asked


_KV_KEYS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "kv_heads", "multi_query_group_num")
_HEAD_SIZE_KEYS = ("head_dim", "d_kv", "kv_channels", "attention_head_dim")
_LATENT_KEYS = ("kv_lora_rank",)
_LAYER_KINDS_KEYS = ("layer_types", "layers_block_type", "block_types")
_ATTENTION_LAYERS = ("attention", "full_attention", "sliding_attention", "chunked_attention")
_NO_ATTENTION = (absent("attention"),)


def yes_no(value: object) -> Answers | None:
    """`yes`, `no`, or None where it is unknown."""
    return None if value is None else ("yes" if value else "no",)


def number(value: int | None) -> Answers | None:
    """A number as text; None where it is unknown."""
    return None if value is None else (str(value),)


def flag_of(view: NetworkView, value: bool, keys: Iterable[str]) -> bool:
    """A flag of the graph that the configuration does not contradict.

    Raises:
        Disagreement: the configuration states the opposite, and nothing else.
    """
    stated = {v for key in keys for v in view.stated.get(key, ()) if isinstance(v, bool)}
    if stated and value not in stated:
        raise Disagreement(f"{value} is not what the configuration states ({', '.join(keys)})")
    return value


def attending(asked: Asked) -> Asked:
    """A question that presupposes attention: absent without it in the network, unknown without it in the tower."""

    def answer(view: NetworkView, tower: Tower) -> Answers | None:
        if view.has_attention is False:
            return _NO_ATTENTION
        has_heads = view.has_attention and tower.get("heads")
        return asked(view, tower) if has_heads else None

    return answer


def _latent_rank(view: NetworkView) -> int:
    """Width of the compressed keys and values of multi-head latent attention; 0 without it.

    Raises:
        Disagreement: the configuration states it, and the graph has no layers of that width for each attention.
    """
    stated = [int(v) for key in _LATENT_KEYS for v in view.stated.get(key, ()) if v]
    if not stated:
        return 0
    expanded = int(view.details["linear_inputs"].get(str(stated[0]), 0))
    if len(stated) > 1 or expanded < int(view.fact("attention_layers") or 0):
        raise Disagreement(f"kv_lora_rank {stated}, and {expanded} layers expand it")
    return stated[0]


def _is_mixed(view: NetworkView) -> bool:
    """Whether the configuration names layers of other kinds than attention."""
    stated = [v for key in _LAYER_KINDS_KEYS for v in view.stated.get(key, ())]
    return any(isinstance(v, str) and v not in _ATTENTION_LAYERS for v in stated)


def _attention_kind(view: NetworkView, tower: Tower) -> Answers | None:
    kind = tower.get("attention")
    if _latent_rank(view):
        kind = "multi-head latent" if len(view.towers) == 1 else None
    if kind not in ("multi-head", "grouped-query", "multi-query", "multi-head latent"):
        return None
    linear = _has_linear_attention(view)
    return None if linear is None else (*(("linear attention",) if linear else ()), f"{kind} attention")


def _has_linear_attention(view: NetworkView) -> bool | None:
    """Whether further layers have linear attention; None where they are of other kinds, or of several towers.

    Raises:
        Disagreement: the graph has another number of layers with full attention than the configuration.
    """
    if not _is_mixed(view):
        return False
    kinds = view.layer_kinds
    named = any(key.startswith("linear_") for key in view.stated)  # the library calls recurrent layers linear, too
    others = set(kinds) - {"linear_attention", *_ATTENTION_LAYERS}
    if len(view.towers) > 1 or not named or "linear_attention" not in kinds or others:
        return None
    full = sum(count for kind, count in kinds.items() if kind != "linear_attention")
    if full != view.fact("attention_layers"):
        raise Disagreement(f"{view.fact('attention_layers')} layers with full attention, {full} by the configuration")
    return True


def _heads(view: NetworkView, tower: Tower) -> Answers | None:
    return number(tower.number("heads"))


def _kv_heads(view: NetworkView, tower: Tower) -> Answers | None:
    value = tower.number("kv_heads")
    if value is None or _latent_rank(view):
        return None
    return number(view.checked(value, _KV_KEYS))


def _queries_per_head(view: NetworkView, tower: Tower) -> Answers | None:
    heads, shared = tower.number("heads"), tower.number("kv_heads")
    known = heads and shared and not _latent_rank(view) and heads % shared == 0
    return number(heads // view.checked(shared, _KV_KEYS)) if known and heads and shared else None


def _head_size(view: NetworkView, tower: Tower) -> Answers | None:
    value = tower.number("head_dim")
    return None if value is None or _latent_rank(view) else number(view.checked(value, _HEAD_SIZE_KEYS))


def _attention_width(view: NetworkView, tower: Tower) -> Answers | None:
    heads, size, hidden = (tower.number(name) for name in ("heads", "head_dim", "hidden"))
    if not heads or not size or not hidden or _latent_rank(view):
        return None
    return yes_no(heads * view.checked(size, _HEAD_SIZE_KEYS) == hidden)


def _window(view: NetworkView, tower: Tower) -> Answers | None:
    """Of configured networks, only windows that some key of the configuration calls so."""
    window = tower.get("window")
    if window is None:
        return None
    keys = [key for key in view.stated if "window" in key]
    if window == 0:
        view.checked_none(keys)
        return (absent("a sliding window"),)
    if view.stated and not keys:
        raise Disagreement(f"the configuration states no window, the graph {window}")
    return number(view.checked(int(window), keys))


def _local_layers(view: NetworkView, tower: Tower) -> Answers | None:
    window = _window(view, tower)
    return number(tower.number("local_layers")) if tower.get("window") else window


def _global_layers(view: NetworkView, tower: Tower) -> Answers | None:
    """Of towers that have both kinds of layers."""
    return number(tower.number("global_layers")) if tower.number("local_layers") else None


def _causal(view: NetworkView, tower: Tower) -> Answers | None:
    causal = tower.get("causal")
    return None if causal is None else yes_no(flag_of(view, bool(causal), ("is_causal",)))


def _qk_norm(view: NetworkView, tower: Tower) -> Answers | None:
    if len(view.towers) > 1 or _latent_rank(view):
        return None
    return yes_no(flag_of(view, bool(view.details["qk_norm"]), ("use_qk_norm", "qk_norm", "qk_layernorm")))


def _cross(view: NetworkView, tower: Tower) -> Answers | None:
    flags = [t.get("cross") for t in view.towers]
    return None if None in flags or not flags else yes_no(any(flags))


def _attention_layers(view: NetworkView, tower: Tower) -> Answers | None:
    return number(view.fact("attention_layers") or None)


def _latent(view: NetworkView, tower: Tower) -> Answers | None:
    rank = _latent_rank(view)
    return number(rank) if rank else (absent("multi-head latent attention"),)


_EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts",
                "n_experts")  # fmt: skip
_TOP_K_KEYS = ("num_experts_per_tok", "top_k_experts", "moe_topk", "num_experts_per_token", "moe_k", "router_top_k",
               "moe_top_k", "num_selected_experts", "moe_router_topk")  # fmt: skip
_SHARED_KEYS = ("n_shared_experts", "num_shared_experts", "shared_expert_intermediate_size",
                "moe_num_shared_experts", "shared_intermediate_size", "num_shared_expert")  # fmt: skip


def experts(asked: Callable[[NetworkView], Answers | None]) -> Asked:
    """A question that presupposes experts."""

    def answer(view: NetworkView, tower: Tower) -> Answers | None:
        count = view.fact("experts")
        if count == 0 and view.complete:
            view.checked_none(_EXPERT_KEYS)
            return (absent("experts"),)
        return asked(view) if count else None

    return answer


def _top_k(view: NetworkView) -> Answers | None:
    value = view.fact("top_k")
    return number(view.checked(int(value), _TOP_K_KEYS)) if value else None


def _shared_expert(view: NetworkView) -> Answers | None:
    shown = bool(view.details["shared_expert"])
    stated = any(v for key in _SHARED_KEYS for v in view.stated.get(key, ()))
    if view.stated and shown != stated:
        raise Disagreement(f"shared expert: graph {shown}, configuration {stated}")
    return yes_no(shown)


_NORM_PLACES = {"pre": "before each branch", "post": "after each addition",
                "sandwich": "before and after each branch", "branch-end": "at the end of each branch"}  # fmt: skip
_PRE_NORM_KEYS = ("do_layer_norm_before", "normalize_before", "encoder_normalize_before", "norm_first", "prenorm",
                  "do_stable_layer_norm")  # fmt: skip


def _norm_place(view: NetworkView, tower: Tower) -> Answers | None:
    place = tower.get("norm_position")
    if place not in _NORM_PLACES:
        return None
    flag_of(view, place == "pre", _PRE_NORM_KEYS)
    return (_NORM_PLACES[place],)


def _word(name: str) -> Asked:
    return lambda view, tower: (str(value),) if (value := tower.get(name)) else None


def _number(name: str) -> Asked:
    return lambda view, tower: number(tower.number(name))


def _expansion(view: NetworkView, tower: Tower) -> Answers | None:
    inner, hidden = tower.number("intermediate"), tower.number("hidden")
    return number(inner // hidden) if inner and hidden and inner % hidden == 0 and not view.fact("experts") else None


def _layer_scale(view: NetworkView, tower: Tower) -> Answers | None:
    return yes_no(view.details["layer_scale"]) if view.towers else None


def _intermediate(view: NetworkView, tower: Tower) -> Answers | None:
    return number(tower.number("intermediate")) if view.fact("experts") == 0 else None


_MIXERS = {"attention": "attention", "scan": "state space layers", "convolution": "convolution",
           "pooling": "pooling"}  # fmt: skip


def _mixer(view: NetworkView, tower: Tower) -> Answers | None:
    mixer = _MIXERS.get(str(tower.get("mixer")))
    hidden = mixer in ("convolution", "pooling") and view.has_attention is None
    return None if hidden or not mixer or _is_mixed(view) else (mixer,)


TOWER_TYPES: dict[str, ModernType] = {
    "attention_kind": ModernType("name", "tower", attending(_attention_kind)),
    "token_mixer": ModernType("name", "tower", _mixer),
    "num_heads": ModernType("number", "tower", attending(_heads)),
    "num_kv_heads": ModernType("number", "tower", attending(_kv_heads)),
    "queries_per_kv_head": ModernType("number", "tower", attending(_queries_per_head)),
    "head_size": ModernType("number", "tower", attending(_head_size)),
    "attention_width": ModernType("yes_no", "tower", attending(_attention_width)),
    "attention_window": ModernType("number", "tower", attending(_window)),
    "local_layers": ModernType("number", "tower", attending(_local_layers)),
    "global_layers": ModernType("number", "tower", attending(_global_layers)),
    "is_causal": ModernType("yes_no", "tower", attending(_causal)),
    "qk_norm": ModernType("yes_no", "network", attending(_qk_norm)),
    "cross_attention": ModernType("yes_no", "network", attending(_cross)),
    "attention_layers": ModernType("number", "network", attending(_attention_layers)),
    "latent_rank": ModernType("number", "network", attending(_latent)),
    "num_experts": ModernType(
        "number", "network", experts(lambda view: number(view.checked(int(view.fact("experts")), _EXPERT_KEYS)))
    ),
    "experts_per_token": ModernType("number", "network", experts(_top_k)),
    "shared_expert": ModernType("yes_no", "network", experts(_shared_expert)),
    "norm_kind": ModernType("name", "tower", _word("norm")),
    "norm_place": ModernType("name", "tower", _norm_place),
    "layer_scale": ModernType("yes_no", "network", _layer_scale),
    "hidden_size": ModernType("number", "tower", _number("hidden")),
    "depth": ModernType("number", "tower", _number("depth")),
    "intermediate_size": ModernType("number", "tower", _intermediate),
    "expansion": ModernType("number", "tower", _expansion),
    "gated_feed_forward": ModernType("yes_no", "tower", lambda view, tower: yes_no(tower.get("gated"))),
    "activation": ModernType("name", "tower", _word("activation")),
}
"""Name -> type, of questions that are put to one tower, or to attention, experts and layers of the network."""
