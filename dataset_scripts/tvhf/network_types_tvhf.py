"""Question types of `aqa_modern` on whole networks: form, positions, vocabulary, stages, convolutions, cost."""

from __future__ import annotations

from collections.abc import Callable

from dataset_scripts.autonet.hard_facts_autonet import two_digits
from processing_archbert.questions_archbert import absent

from .modern_types_tvhf import TOWER_TYPES, Answers, Asked, ModernType, attending, flag_of, number, yes_no
from .network_view_tvhf import Disagreement, NetworkView, Tower

_POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_source_positions", "max_target_positions",
                  "n_ctx", "max_positions")  # fmt: skip
_ROTARY_KEYS = ("rope_theta", "rope_parameters", "rotary_dim", "rotary_pct", "rotary", "rope_type", "rotary_emb_base",
                "position_embeddings_type", "rotary_embedding_base", "partial_rotary_factor")  # fmt: skip
_CONVOLUTIONAL = "convolutional"


def _whole(answer: Callable[[NetworkView], Answers | None]) -> Asked:
    return lambda view, tower: answer(view)


def _has(view: NetworkView, prefix: str) -> bool:
    return any(op.startswith(prefix) for op in view.sheet["ops"])


def _is_convolutional(view: NetworkView) -> bool:
    return view.fact("kind") == _CONVOLUTIONAL and view.has_attention is False


def _position_encoding(view: NetworkView) -> Answers | None:
    if _is_convolutional(view) and not _has(view, "Embedding"):
        return (absent("position embeddings"),)
    learned, rotary = view.fact("positions"), view.fact("rotary")
    if len(view.towers) != 1 or not view.has_attention or (learned and rotary):
        return None
    if rotary:
        if view.stated and not any(key in view.stated for key in _ROTARY_KEYS):
            raise Disagreement("the configuration has no rotary positions")
        return ("rotary",)
    return ("learned",) if learned else None


def _position_table(view: NetworkView) -> Answers | None:
    rows = view.fact("positions")
    if not rows:
        return (absent("learned positions"),) if _position_encoding(view) == ("rotary",) else None
    return number(view.checked(int(rows), _POSITION_KEYS))


def _token_types(view: NetworkView) -> Answers | None:
    rows = view.fact("token_types")
    if rows:
        return number(view.checked(int(rows), ("type_vocab_size",)))
    if rows == 0 and view.fact("vocabulary"):
        view.checked_none(("type_vocab_size",))
        return (absent("token types"),)
    return None


def _tied(view: NetworkView) -> Answers | None:
    tied, vocabulary = view.fact("tied"), view.fact("vocabulary")
    if not vocabulary or not view.complete:
        return None
    if not tied and not view.details["outputs_of_width"].get(str(vocabulary)):
        return (absent("an output layer over the vocabulary"),)
    return None if tied is None else yes_no(flag_of(view, bool(tied), ("tie_word_embeddings",)))


def _vocabulary(view: NetworkView) -> Answers | None:
    if view.complete and not _has(view, "Embedding"):
        return (absent("a vocabulary"),)
    return number(view.fact("vocabulary") or None)


def _patch(view: NetworkView) -> Answers | None:
    patch = view.fact("patch")
    if patch:
        return number(view.checked(int(patch), ("patch_size",)))
    if patch == 0 and view.complete:
        view.checked_none(("patch_size", "patch_sizes"))
        return (absent("patches"),)
    return None


def _stem(name: str) -> Callable[[NetworkView], Answers | None]:
    def answer(view: NetworkView) -> Answers | None:
        if view.complete and not _has(view, "Conv"):
            return (absent("convolutions"),)
        return number(view.fact(name) or None) if "image" in view.details["input_kinds"] else None

    return answer


def _form(view: NetworkView) -> Answers | None:
    form = view.fact("form")
    if form == "none":
        return (absent("a transformer"),) if _is_convolutional(view) else None
    if form:
        flag = {"encoder-decoder": True}.get(form, False)
        flag_of(view, flag, ("is_encoder_decoder",))
    return (form,) if form else None


_KINDS = {
    "convolutional": "a convolutional network",
    "transformer": "a transformer",
    "recurrent": "a recurrent network",
    "state-space": "a state space model",
    "hybrid": "a mix of convolution and attention",
}


def _kind(view: NetworkView) -> Answers | None:
    """What carries the data; a recurrent or state space part beside attention does not carry it alone."""
    kind = str(view.fact("kind"))
    beside = kind in ("recurrent", "state-space") and view.has_attention is not False
    unsure = kind == "state-space" and view.fact("state_space") is not True
    return None if kind not in _KINDS or beside or unsure else (_KINDS[kind],)


def _deeper(view: NetworkView) -> Answers | None:
    depths = {tower.label: tower.number("depth") for tower in view.towers}
    values = list(depths.values())
    if len(values) != 2 or None in values or values[0] == values[1]:
        return None
    return (max(depths, key=lambda label: depths[label] or 0),)


def _num_towers(view: NetworkView) -> Answers | None:
    count = view.fact("towers")
    return number(int(count)) if count and len(view.towers) == count else None


def _kv_cache(view: NetworkView) -> Answers | None:
    """Of networks with one causal tower whose layers, heads and head size give the same product."""
    if view.fact("form") == "encoder-only":
        return (absent("causal attention"),)
    causal = [tower for tower in view.towers if tower.get("causal") and tower.get("heads")]
    cache = view.fact("kv_cache")
    if len(causal) != 1 or not cache:
        return None
    sizes = [causal[0].number(name) for name in ("kv_heads", "head_dim", "depth")]
    if None in sizes or view.stated.get("kv_lora_rank"):
        return None
    expected = 4 * (sizes[0] or 0) * (sizes[1] or 0) * (sizes[2] or 0)
    if cache != expected:
        raise Disagreement(f"cache {cache}, and {expected} by layers, heads and their size")
    return number(int(cache))


def _parameters(view: NetworkView) -> Answers | None:
    count = view.fact("parameters")
    return number(two_digits(int(count))) if count else None


def _weights(view: NetworkView) -> Answers | None:
    count = view.fact("parameters")
    return number(two_digits(2 * int(count))) if count else None


def _flops(view: NetworkView) -> Answers | None:
    """Of decoders with one tower: two for every weight of a matrix that a token is multiplied with."""
    plain = view.fact("form") == "decoder-only" and view.fact("experts") == 0 and len(view.towers) == 1
    return (
        number(two_digits(2 * int(view.details["linear_work"])))
        if plain and view.fact("kind") == "transformer"
        else None
    )


def _num_stages(view: NetworkView, tower: Tower) -> Answers | None:
    count = tower.number("num_stages")
    return number(count) if count and tower.get("depth") and "image" in view.details["input_kinds"] else None


def _head_pooling(view: NetworkView) -> Answers | None:
    if not view.complete or not _is_convolutional(view):
        return None
    if not view.sheet["categories"].get("pooling"):
        return (absent("pooling"),)
    kind = view.details["head_pooling"]
    return (kind,) if kind else None


def _some_convolutions(name: str) -> Asked:
    """Whether there are convolutions of a kind; absent without any convolution."""

    def answer(view: NetworkView, tower: Tower) -> Answers | None:
        if not view.complete:
            return None
        if not _has(view, "Conv"):
            return (absent("convolutions"),)
        value = view.fact(name) if name in ("depthwise",) else view.details[name]
        return yes_no(value > 0) if value is not None else None

    return answer


def _grouped(view: NetworkView) -> Answers | None:
    if not view.complete or not _has(view, "Conv"):
        return (absent("convolutions"),) if view.complete else None
    value = view.fact("grouped")
    return yes_no(value > 0) if value is not None else None


def _skips(view: NetworkView) -> Answers | None:
    if not view.complete:
        return None
    count = int(view.sheet["skips"]["add"])
    return number(count) if count else None


def _downsampling(view: NetworkView) -> Answers | None:
    return number(view.details["downsampling"] or None) if _is_convolutional(view) and view.complete else None


def _kernels(view: NetworkView, tower: Tower) -> Answers | None:
    kernels = tower.get("kernels")
    swept = [kernel for kernel in kernels or () if "x" in kernel]
    return tuple(kernel.replace("x", "*") for kernel in sorted(swept)) if 0 < len(swept) <= 3 else None


_INPUTS = {"tokens": "tokens", "image": "an image", "signal": "a signal", "volume": "a volume"}


def _input_kind(view: NetworkView) -> Answers | None:
    kinds = [_INPUTS[kind] for kind in view.details["input_kinds"] if kind in _INPUTS]
    return tuple(sorted(kinds)) if kinds and view.complete else None


NETWORK_TYPES: dict[str, ModernType] = {
    "position_encoding": ModernType("name", "network", _whole(_position_encoding)),
    "position_table": ModernType("number", "network", _whole(_position_table)),
    "token_types": ModernType("number", "network", _whole(_token_types)),
    "tied_embeddings": ModernType("yes_no", "network", _whole(_tied)),
    "vocabulary": ModernType("number", "network", _whole(_vocabulary)),
    "patch_size": ModernType("number", "network", _whole(_patch)),
    "stem_kernel": ModernType("number", "network", _whole(_stem("stem_kernel"))),
    "stem_stride": ModernType("number", "network", _whole(_stem("stem_stride"))),
    "form": ModernType("name", "network", _whole(_form)),
    "architecture_kind": ModernType("name", "network", _whole(_kind)),
    "state_space": ModernType("yes_no", "network", _whole(lambda view: yes_no(view.fact("state_space")))),
    "num_towers": ModernType("number", "network", _whole(_num_towers)),
    "deeper_tower": ModernType("name", "network", _whole(_deeper)),
    "kv_cache": ModernType("number", "network", attending(_whole(_kv_cache))),
    "parameters": ModernType("number", "network", _whole(_parameters)),
    "weight_memory": ModernType("number", "network", _whole(_weights)),
    "flops_per_token": ModernType("number", "network", _whole(_flops)),
    "num_stages": ModernType("number", "tower", _num_stages),
    "block_kernels": ModernType("kernel", "tower", _kernels),
    "head_pooling": ModernType("name", "network", _whole(_head_pooling)),
    "downsampling": ModernType("number", "network", _whole(_downsampling)),
    "depthwise_convolutions": ModernType("yes_no", "network", _some_convolutions("depthwise")),
    "grouped_convolutions": ModernType("yes_no", "network", _whole(_grouped)),
    "dilated_convolutions": ModernType("yes_no", "network", _some_convolutions("dilated")),
    "transposed_convolutions": ModernType("yes_no", "network", _some_convolutions("transposed")),
    "skip_connections": ModernType("number", "network", _whole(_skips)),
    "num_inputs": ModernType("number", "network", _whole(lambda view: number(view.fact("inputs") or None))),
    "num_outputs": ModernType("number", "network", _whole(lambda view: number(view.fact("outputs") or None))),
    "input_kind": ModernType("name", "network", _whole(_input_kind)),
}
"""Name -> type, of questions that are put to the network as a whole."""

MODERN_TYPES: dict[str, ModernType] = {**TOWER_TYPES, **NETWORK_TYPES}
