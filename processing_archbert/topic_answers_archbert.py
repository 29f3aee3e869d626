"""Answers to questions in words about one network (`topic_questions_archbert`), each computed from its graph.

A topic gives answers in words, `absent` where it asks for what the network has not, and nothing where the graph does
not show it with certainty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .architecture_graph_archbert import PACKED_WEIGHTS
from .graph_costs_archbert import kv_cache, weight_memory
from .graph_stacks_archbert import ATTENTION_OPS
from .network_profile_archbert import NetworkProfile
from .ops_archbert import INPUT_OP, OUTPUT_OP
from .part_answers_archbert import LATENT, NOTHING, PART_TOPICS, Answers, count, nothing, yes_no
from .topics_archbert import YES_OR_NO, TopicQuestion

_OfNetwork = Callable[[NetworkProfile, TopicQuestion], Answers | None]


class TopicAnswer(NamedTuple):
    """Answers in words, and the nodes that show them."""

    answers: Answers
    nodes: tuple[int, ...] = ()


def topic_answer(profile: NetworkProfile, question: TopicQuestion) -> TopicAnswer | None:
    """The answer to a question; None where the graph does not show it.

    Args:
        profile: the network.
        question: as `read_topic` read it.
    """
    topic = question.topic
    found: Answers | None = None
    if topic in _OF_ATTENTION and profile.has_attention is False:
        found = (f"{NOTHING}attention",)
    elif topic in _OF_ATTENTION and not profile.has_attention:
        return None
    elif topic in PART_TOPICS:
        found = _of_parts(profile, question)
    elif (
        not question.scope
        or topic == "cross_attention"
        or len(profile.in_scope(question.scope)) == len(profile.parts) == 1
    ):
        found = _NETWORK_TOPICS[topic](profile, question)
    if found is None:
        return None
    absent = found[0].startswith(NOTHING)
    if absent and topic in YES_OR_NO:
        found = (f"no: {found[0]}",)
    return TopicAnswer(found, () if absent else _evidence(profile, topic))


def topic_reason(profile: NetworkProfile, question: TopicQuestion) -> str:
    """Why a question that was read is not answered."""
    if profile.graph.incomplete:
        return f"the graph misses {', '.join(profile.graph.incomplete)}"
    where = f" of the {question.scope} part" if question.scope else ""
    return f"this graph does not show it with certainty: {question.topic.replace('_', ' ')}{where}"


def _of_parts(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    """What all parts of a scope agree on; several parts that differ are named."""
    parts = profile.in_scope(question.scope)
    if question.topic in _OF_ATTENTION:
        if not question.scope:
            parts = [part for part in parts if part.get("heads") != 0]
        if not all(part.get("heads") for part in parts):
            return None
    if not parts:
        return None
    told = {part.label: PART_TOPICS[question.topic](profile, part) for part in parts}
    if None in told.values():
        return None
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    return tuple(f"{text} ({label})" for label, found in told.items() for text in found or ())


def _evidence(profile: NetworkProfile, topic: str) -> tuple[int, ...]:
    categories = _SHOWN_BY.get(topic)
    ops = profile.graph.op_types
    if topic == "num_inputs" or topic == "input_kind":
        return tuple(n for n, op in enumerate(ops) if op == INPUT_OP)
    if topic == "num_outputs":
        return tuple(n for n, op in enumerate(ops) if op == OUTPUT_OP)
    if topic in _OF_ATTENTION:
        return tuple(n for n, op in enumerate(ops) if op in ATTENTION_OPS)
    return profile.nodes(*categories) if categories else ()


def _fact(name: str) -> _OfNetwork:
    return lambda profile, question: count(int(profile.fact(name)) if profile.fact(name) else None)


def _qk_norm(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    return None if len(profile.parts) != 1 or profile.latent_rank != 0 else yes_no(profile.detail("qk_norm"))


def _cross(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    flags = [part.get("cross") for part in profile.parts]
    return None if None in flags or not flags else yes_no(any(flags))


def _latent(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    rank = profile.latent_rank
    return None if rank is None else count(rank) if rank else nothing(LATENT)


def _experts(name: str) -> _OfNetwork:
    """A number of experts, or that there are none."""

    def answer(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
        if profile.complete and profile.fact("experts") == 0:
            return nothing("experts")
        value = profile.fact(name) if profile.fact("experts") else None
        return count(int(value)) if value else None

    return answer


def _shared_expert(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    absent = _experts("experts")(profile, question)
    return absent if not profile.fact("experts") else yes_no(profile.detail("shared_expert"))


def _convolutional(profile: NetworkProfile) -> bool:
    return profile.fact("kind") == "convolutional" and profile.has_attention is False


def _position_encoding(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    if _convolutional(profile) and not profile.has("Embedding"):
        return nothing("position embeddings")
    learned, rotary = profile.fact("positions"), profile.fact("rotary")
    if len(profile.parts) != 1 or not profile.has_attention or (learned and rotary):
        return None
    return ("rotary",) if rotary else ("learned",) if learned else None


def _position_table(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    rows = profile.fact("positions")
    if rows:
        return count(int(rows))
    return nothing("learned positions") if _position_encoding(profile, question) == ("rotary",) else None


def _token_types(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    rows = profile.fact("token_types")
    if rows:
        return count(int(rows))
    return nothing("token types") if rows == 0 and profile.fact("vocabulary") else None


def _tied(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    tied, vocabulary = profile.fact("tied"), profile.fact("vocabulary")
    if not vocabulary or not profile.complete:
        return None
    if not tied and not profile.detail("outputs_of_width").get(str(vocabulary)):
        return nothing("output layer over the vocabulary")
    return yes_no(tied)


def _vocabulary(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    if profile.complete and not profile.has("Embedding"):
        return nothing("vocabulary")
    return _fact("vocabulary")(profile, question)


def _patch(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    patch = profile.fact("patch")
    return count(int(patch)) if patch else nothing("patches") if patch == 0 and profile.complete else None


def _of_convolutions(asked: _OfNetwork) -> _OfNetwork:
    """A topic of networks with convolutions."""

    def answer(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
        if not profile.complete:
            return None
        return asked(profile, question) if profile.has("Conv") else nothing("convolutions")

    return answer


def _stem(name: str) -> _OfNetwork:
    def answer(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
        return _fact(name)(profile, question) if "image" in profile.detail("input_kinds") else None

    return _of_convolutions(answer)


def _some(name: str) -> _OfNetwork:
    """Whether there are convolutions of a kind."""

    def answer(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
        value = profile.fact(name) if name in ("depthwise", "grouped") else profile.detail(name)
        return yes_no(None if value is None else value > 0)

    return _of_convolutions(answer)


def _form(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    form = profile.fact("form")
    if form == "none":
        return nothing("transformer") if _convolutional(profile) else None
    return (form,) if form else None


_KINDS = {
    "convolutional": "a convolutional network",
    "transformer": "a transformer",
    "recurrent": "a recurrent network",
    "state-space": "a state space model",
    "hybrid": "a mix of convolution and attention",
}


def _kind(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    """What carries the data; a recurrent or state space part beside attention does not carry it alone."""
    kind = str(profile.fact("kind"))
    beside = kind in ("recurrent", "state-space") and profile.has_attention is not False
    unsure = kind == "state-space" and profile.fact("state_space") is not True
    return None if kind not in _KINDS or beside or unsure else (_KINDS[kind],)


def _deeper(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    depths = {part.label: part.number("depth") for part in profile.parts}
    values = list(depths.values())
    if len(values) != 2 or None in values or values[0] == values[1]:
        return None
    return (max(depths, key=lambda label: depths[label] or 0),)


def _num_towers(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    towers = profile.fact("towers")
    return count(int(towers)) if towers and len(profile.parts) == towers else None


def _kv_cache(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    """Of networks with one causal tower whose layers, heads and head size give the same product."""
    if profile.fact("form") == "encoder-only":
        return nothing("causal attention")
    causal = [part for part in profile.parts if part.get("causal") and part.get("heads")]
    cache = profile.fact("kv_cache")
    if len(causal) != 1 or not cache or profile.latent_rank != 0:
        return None
    heads, size, depth = (causal[0].number(name) or 0 for name in ("kv_heads", "head_dim", "depth"))
    if cache != 4 * heads * size * depth:
        return None
    size_of_token = kv_cache(profile.graph, question.dtype).bytes_per_token
    return (f"{size_of_token:,} bytes per token ({question.dtype})",)


def _parameters(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    return None if PACKED_WEIGHTS in profile.graph.incomplete else count(profile.graph.num_parameters or None)


def _weights(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    if PACKED_WEIGHTS in profile.graph.incomplete or not profile.graph.num_parameters:
        return None
    return (f"{weight_memory(profile.graph, question.dtype):,} bytes ({question.dtype})",)


def _flops(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    """Of decoders with one tower: two for every weight of a matrix that a token is multiplied with."""
    plain = profile.fact("form") == "decoder-only" and profile.fact("experts") == 0 and len(profile.parts) == 1
    if not plain or profile.fact("kind") != "transformer":
        return None
    return (f"{2 * int(profile.detail('linear_work')):,} FLOPs per token (weights of linear layers)",)


def _head_pooling(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    if not profile.complete or not _convolutional(profile):
        return None
    if not profile.facts.structure.nodes_of_category("pooling"):
        return nothing("pooling")
    kind = profile.detail("head_pooling")
    return (kind,) if kind else None


def _skips(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    joins = profile.facts.structure.skip_connections("add")[0] if profile.complete else 0
    return count(joins) if joins else None


def _downsampling(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    known = profile.complete and _convolutional(profile)
    return count(profile.detail("downsampling") or None) if known else None


_INPUTS = {"tokens": "tokens", "image": "an image", "signal": "a signal", "volume": "a volume"}


def _input_kind(profile: NetworkProfile, question: TopicQuestion) -> Answers | None:
    kinds = [_INPUTS[kind] for kind in profile.detail("input_kinds") or () if kind in _INPUTS]
    return tuple(sorted(kinds)) if kinds and profile.complete else None


_NETWORK_TOPICS: dict[str, _OfNetwork] = {
    "qk_norm": _qk_norm,
    "cross_attention": _cross,
    "attention_layers": _fact("attention_layers"),
    "latent_rank": _latent,
    "num_experts": _experts("experts"),
    "experts_per_token": _experts("top_k"),
    "shared_expert": _shared_expert,
    "layer_scale": lambda profile, question: yes_no(profile.detail("layer_scale")) if profile.parts else None,
    "position_encoding": _position_encoding,
    "position_table": _position_table,
    "token_types": _token_types,
    "tied_embeddings": _tied,
    "vocabulary": _vocabulary,
    "patch_size": _patch,
    "stem_kernel": _stem("stem_kernel"),
    "stem_stride": _stem("stem_stride"),
    "form": _form,
    "architecture_kind": _kind,
    "state_space": lambda profile, question: yes_no(profile.fact("state_space")),
    "num_towers": _num_towers,
    "deeper_tower": _deeper,
    "kv_cache": _kv_cache,
    "parameters": _parameters,
    "weight_memory": _weights,
    "flops_per_token": _flops,
    "head_pooling": _head_pooling,
    "downsampling": _downsampling,
    "depthwise_convolutions": _some("depthwise"),
    "grouped_convolutions": _some("grouped"),
    "dilated_convolutions": _some("dilated"),
    "transposed_convolutions": _some("transposed"),
    "skip_connections": _skips,
    "num_inputs": _fact("inputs"),
    "num_outputs": _fact("outputs"),
    "input_kind": _input_kind,
}
"""Topic -> its answer for the whole network."""
TOPIC_NAMES: tuple[str, ...] = (*PART_TOPICS, *_NETWORK_TOPICS)
"""Everything that a question in words can ask for."""
_OF_ATTENTION = frozenset(
    "attention_kind num_heads num_kv_heads queries_per_kv_head head_size attention_width attention_window "
    "local_layers global_layers is_causal qk_norm cross_attention attention_layers latent_rank kv_cache".split()
)
"""Topics that presuppose attention."""
_SHOWN_BY: dict[str, tuple[str, ...]] = {
    "num_experts": ("experts",), "experts_per_token": ("experts",), "norm_kind": ("normalization",),
    "norm_place": ("normalization",), "activation": ("activation",), "vocabulary": ("embedding",),
    "token_types": ("embedding",), "position_table": ("embedding",), "depthwise_convolutions": ("convolution",),
    "grouped_convolutions": ("convolution",), "block_kernels": ("convolution",), "head_pooling": ("pooling",),
    "tied_embeddings": ("embedding", "linear"),
}  # fmt: skip
"""Topic -> categories of the ops that show its answer."""
