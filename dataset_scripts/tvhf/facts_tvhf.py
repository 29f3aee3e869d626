"""Facts of one architecture, as the predicates of `predicates_tvhf` ask them.

* Facts of towers and of the network come from the graph alone (`sheets_tvhf`); where a configuration is at hand and
  states another value, the fact is unknown: graph and configuration must agree, and so must form and paradigm.
* Of a graph that misses a part, only what cannot change any more is known: a layer that is there, and the parameters.
* Facts of the table (purpose, origin) come from the registry; an empty field is unknown, and nothing here proves them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from importlib.metadata import version
from typing import Any

from processing_archbert.architecture_graph_archbert import ArchitectureGraph

from .schema_tvhf import FACTS
from .sheets_tvhf import Sheet, fact_sheet, keep, sheet_folder

_CONFIG_KEYS = {
    "depth": ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers", "depths",
              "num_decoder_layers", "depth", "num_encoder_layers"),
    "hidden": ("hidden_size", "d_model", "n_embd", "dim", "embed_dim", "hidden_sizes", "hidden_dim", "embed_dims",
               "dims", "emb_dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "encoder_attention_heads", "decoder_attention_heads",
              "num_heads", "attention_heads"),
    "intermediate": ("intermediate_size", "ffn_dim", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim", "n_inner",
                     "moe_intermediate_size", "inner_dim", "hidden_dim", "dff", "ffn_hidden_size", "d_inner",
                     "feed_forward_size", "shared_expert_intermediate_size", "block_ff_dim"),
    "vocabulary": ("vocab_size", "bytes_vocab_size"),
    "experts": ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    "token_types": ("type_vocab_size",),
}  # fmt: skip
"""Fact -> the keys under which configurations state it, at any level of nesting."""
_GROUPED_KEYS = ("num_key_value_heads", "swa_num_key_value_heads", "num_kv_heads", "multi_query", "kv_heads",
                 "n_kv_heads", "num_query_groups",
                 "multi_query_group_num", "num_attention_groups", "new_decoder_architecture")  # fmt: skip
_LOCAL_WORDS = ("window", "local_att", "block_size", "local_radius", "chunk")
"""In the keys of attention that is local in a way that the attribute `window` may not show."""
_ROTARY_WORDS = ("rope_", "rotary")
"""In the keys of rotary positions, which may be written out where no layer shows them."""
_CROSS_KEYS = ("cross_attention_layers", "cross_layer_interval")
"""Keys of cross-attention inside of layers that look like any other."""
_OF_ATTENTION = ("heads", "stage_heads", "kv_heads", "head_dim", "attention", "causal", "cross", "window",
                 "local_layers", "global_layers")  # fmt: skip
"""Facts of a tower that are unknown where its attention was not found."""
NOT_THE_FORM: Mapping[str, tuple[str, ...]] = {
    "encoder-only": ("decoder-only transformer", "mixture-of-experts decoder", "hybrid sequence model",
                     "vision-language model", "audio language model", "speech encoder-decoder"),
    "decoder-only": ("encoder-only transformer",),
    "none": ("encoder-only transformer", "decoder-only transformer", "hybrid sequence model", "speech encoder"),
}  # fmt: skip
"""Form of the towers that a graph shows -> paradigms of the registry that it disagrees with."""

MASKED = "masked language modeling"
MIXTURE = "mixture-of-experts decoder"
WRITERS = ("decoder-only transformer", "mixture-of-experts decoder", "attention-free sequence model",
           "hybrid sequence model")  # fmt: skip
"""Paradigms of networks of text that are not pretrained with masked words where that is not listed."""
HEAD_TASKS: dict[str, str] = {
    "text classification": "text", "token classification": "text", "question answering": "text",
    "text encoding": "text", "multiple choice": "text", "next sentence prediction": "text", "retrieval": "text",
    "image classification": "image", "masked image modeling": "image", "image encoding": "image",
    "audio classification": "audio", "audio frame classification": "audio", "speaker verification": "audio",
    "speech encoding": "audio", "audio encoding": "audio", "video classification": "video", "video encoding": "video",
    "time series classification": "time series", "time series regression": "time series",
}  # fmt: skip
"""Tasks that a head makes of nearly any network -> its modality: where none is listed, nothing is said against it."""

Values = dict[str, Any]


class Tasks(tuple[str, ...]):
    """The tasks of an architecture.

    Attributes:
        modality: what it works on.
        paradigm: what kind of network it is.
    """

    modality: tuple[str, ...] = ()
    paradigm: str = ""

    def holds(self, task: str) -> bool | None:
        """Whether it is for a task: unknown where a head alone would make it so, and for masked words in a network of
        text that is not known as a writer, since the library leaves out many heads; false for any other not listed."""
        if task in self:
            return True
        if task == MASKED and "text" in self.modality and self.paradigm not in WRITERS:
            return None
        asked = HEAD_TASKS.get(task)
        return None if asked and (asked in self.modality or not self.modality) else False


class ArchitectureFacts:
    """Facts of one architecture; implements `predicates_tvhf.FactView`.

    Args:
        sheet: `sheets_tvhf.fact_sheet` of its graph.
        record: further columns of its row in the config `architectures`: `modality`, `tasks`, `year`, `source`,
            `origin` and `config`; all may be absent.
        disputed: whether what a configuration hints at, or the registry, makes a fact unknown (`_disputed_network`,
            `_disputed_tower`).
    """

    def __init__(self, sheet: Sheet, record: Mapping[str, Any] | None = None, disputed: bool = True) -> None:
        self._record = record = record or {}
        self._disputed = disputed
        self.sheet = sheet
        self._config = record.get("config") or ""
        self._table = _table(record)
        self._scopes: dict[str, tuple[Sequence[Callable[[str], Any]], bool]] = {}

    @cached_property
    def towers(self) -> list[tuple[str, str, Values]]:
        """Role, modality and facts of its towers."""
        stated = _config_values(self._config)
        found = [(role, kind, _agreed(_tuples(values), stated)) for role, kind, values in self.sheet["towers"]]
        if not self._disputed:
            return found
        if _hides_attention(self.sheet, found, stated):
            return [_without_attention(*tower) for tower in found]
        alone = len(found) == 1 and found[0][1] in ("text", "")
        return [(role, kind, values | _disputed_tower(values, stated, alone)) for role, kind, values in found]

    def undisputed(self) -> ArchitectureFacts:
        """The same without what `disputed` makes unknown."""
        return ArchitectureFacts(self.sheet, self._record, disputed=False)

    @cached_property
    def _network(self) -> Values:
        found = _tuples(self.sheet["network"]) | {"parameters": self.sheet["parameters"]}
        stated = _config_values(self._config)
        if "vocabulary" in stated and found.get("vocabulary") not in stated["vocabulary"]:
            found["vocabulary"] = None
        return found | (_disputed_network(found, stated, self._table["paradigm"]) if self._disputed else {})

    @classmethod
    def of_graph(cls, graph: ArchitectureGraph, record: Mapping[str, Any] | None = None) -> ArchitectureFacts:
        """Facts of a graph."""
        return cls(fact_sheet(graph), record)

    def scoped(self, scope: str) -> tuple[Sequence[Callable[[str], Any]], bool]:
        """See `predicates_tvhf.FactView`. Of an incomplete graph no tower is sure, and neither is its absence."""
        if scope not in self._scopes:
            self._scopes[scope] = self._scoped(scope)
        return self._scopes[scope]

    def _scoped(self, scope: str) -> tuple[Sequence[Callable[[str], Any]], bool]:
        if not self.towers:
            return [], not self._network.get("no_towers", False)
        if scope in ("encoder", "decoder"):
            found = [values.get for role, _, values in self.towers if role == scope]
            return found, any(not role for role, _, _ in self.towers) or (scope == "decoder" and self._hides_a_tower)
        if scope in ("text", "vision", "audio"):
            found = [values.get for _, modality, values in self.towers if modality == scope]
            return found, any(not modality for _, modality, _ in self.towers)
        return [values.get for _, _, values in self.towers], self._hides_a_tower

    @cached_property
    def _hides_a_tower(self) -> bool:
        """Whether a network that writes shows towers that only read, so that one of its towers was not found."""
        reads = self.sheet["network"].get("form") == "encoder-only"
        writes = self._table["paradigm"] in NOT_THE_FORM["encoder-only"]
        return self._disputed and reads and writes and all(role != "decoder" for role, _, _ in self.towers)

    def value(self, name: str) -> Any:
        """See `predicates_tvhf.FactView`."""
        return (self._table if FACTS[name].level == "table" else self._network).get(name)

    def call(self, name: str, arguments: tuple[str, ...]) -> Any:
        """See `predicates_tvhf.FactView`."""
        sheet, first = self.sheet, arguments[0]
        if not sheet["has_data_flow"]:
            return None
        there = bool(sheet["kinds"].get(first) or sheet["ops"].get(first))
        if name in ("contains", "lacks"):
            known = there or not sheet["incomplete"]
            return (there if name == "contains" else not there) if known else None
        if name in ("kernel", "follows"):
            holds = _has_kernel(sheet, *arguments) if name == "kernel" else [*arguments] in sheet["follows"]
            return True if holds else None if sheet["incomplete"] else False
        return None if sheet["incomplete"] else _counted(sheet, name, arguments)


def _has_kernel(sheet: Sheet, kind: str, kernel: str) -> bool:
    """Whether a layer of a kind has a kernel, `3x3`, or in one dimension `3`."""
    sizes = [size.split("*") for size in sheet["kernels"].get(kind, ())]
    if "x" in kernel:
        return kernel.split("x") in sizes
    return kind.endswith("1d") and any(size[-1] == kernel and {*size[:-1]} <= {"0", "1"} for size in sizes)


def _counted(sheet: Sheet, name: str, arguments: tuple[str, ...]) -> Any:
    """What the calls give that only a complete graph can answer."""
    first, kinds = arguments[0], sheet["kinds"]
    if name == "count":
        return kinds.get(first) or sheet["ops"].get(first, 0)
    if name == "layers":
        return sheet["categories"].get(first, 0)
    if name == "skips":
        return sheet["skips"][first]
    if name == "more":
        return kinds.get(first, 0) > kinds.get(arguments[1], 0)
    if name == "most_frequent":
        return bool(kinds.get(first)) and all(kinds[first] > n for kind, n in kinds.items() if kind != first)
    return first in sheet[name]


def _tuples(values: Mapping[str, Any]) -> Values:
    """Lists, as JSON has them, as tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _table(record: Mapping[str, Any]) -> Values:
    """Facts of the registry; None where a field is empty."""
    origin = record.get("origin") or {}
    origin = json.loads(origin) if isinstance(origin, str) else origin
    pairs = [(k, v) for k, vs in origin.items() for v in (vs if isinstance(vs, list) else [vs])]
    modality = record.get("modality") or ()
    modality = tuple([modality] if isinstance(modality, str) else modality)
    source = record.get("source")
    tasks = Tasks(record.get("tasks") or ())
    tasks.modality, tasks.paradigm = modality, str(record.get("paradigm") or "")
    return {
        "modality": modality or None,
        "paradigm": record.get("paradigm") or None,
        "tasks": tasks or None,
        "year": int(record.get("year") or 0) or None,
        "library": source if source in FACTS["library"].words else None,
        "origin": tuple(f"{k}={v}" for k, v in pairs) or None,
    }


def _agreed(values: Values, stated: Mapping[str, frozenset[int]]) -> Values:
    """Facts of a tower; those that the configuration states otherwise are unknown."""
    if not stated:
        return values
    agreed = dict(values)
    for name in ("hidden", "heads", "intermediate"):
        if values.get(name) and name in stated and not _is_stated(values[name], stated[name]):
            agreed[name] = None
    depths = values.get("stages") or values.get("depth")
    if "depth" in stated and not _is_stated(depths, stated["depth"], every=True):
        agreed |= dict.fromkeys(("depth", "stages", "num_stages", "local_layers", "global_layers"))
    if "local" in stated and not values.get("window"):
        agreed |= dict.fromkeys(("window", "local_layers", "global_layers"))
    if agreed.get("hidden") is None:
        agreed["widths"] = None
    shared = values.get("attention") not in ("multi-head", "none")
    if agreed.get("heads") is None or (shared and "grouped" not in stated):
        agreed |= dict.fromkeys(("kv_heads", "attention"))
    return agreed


def _hides_attention(
    sheet: Sheet, towers: Sequence[tuple[str, str, Values]], stated: Mapping[str, frozenset[int]]
) -> bool:
    """Whether a network has attention, by its layers and its configuration, that no tower shows."""
    there = bool(sheet.get("categories", {}).get("attention")) and any(stated.get("heads", ()))
    return there and all(values.get("heads") == 0 for _, _, values in towers if values) and any(v for *_, v in towers)


def _without_attention(role: str, modality: str, values: Values) -> tuple[str, str, Values]:
    """A tower of a network whose attention no tower shows: it may be in this one, unless this one convolves."""
    if values.get("mixer") == "convolution":
        return role, modality, values | dict.fromkeys(_OF_ATTENTION)
    return "", modality, values | dict.fromkeys((*_OF_ATTENTION, "role", "mixer", "norm_position"))


def _disputed_tower(values: Values, stated: Mapping[str, frozenset[int]], alone: bool) -> Values:
    """Facts of a tower that there is a hint against: norms where no place of them was found, cross-attention inside of
    layers that look like any other, and in the one tower of a network of text (`alone`) a number of key and value
    heads that is not stated, or not the only one."""
    found: Values = {}
    grouped, kv_heads = stated.get("grouped", frozenset()), values.get("kv_heads")
    if alone and grouped and kv_heads and not isinstance(kv_heads, tuple):
        if kv_heads not in grouped:
            found |= dict.fromkeys(("kv_heads", "attention"))
        elif sum(number > 1 for number in grouped) > 1:
            found["kv_heads"] = None
    if values.get("norm_position") == "none" and values.get("norms") and values.get("mixer") == "attention":
        found["norm_position"] = None
    if "cross" in stated and not values.get("cross"):
        found["cross"] = None
    return found


def _disputed_network(values: Values, stated: Mapping[str, frozenset[int]], paradigm: str | None) -> Values:
    """Facts of a network that there is a hint against: experts that are run one by one, types of tokens and rotary
    positions that no layer shows, a form or a number of towers that the paradigm excludes."""
    found: Values = {}
    if not values.get("experts") and (any(stated.get("experts", ())) or paradigm == MIXTURE):
        found |= dict.fromkeys(("experts", "top_k"))
    if not values.get("token_types") and max(stated.get("token_types", ()), default=0) > 1:
        found["token_types"] = None
    if not values.get("rotary") and "rotary" in stated:
        found["rotary"] = None
    if paradigm in NOT_THE_FORM.get(str(values.get("form")), ()):
        found["form"] = None
    if paradigm in ("encoder-only transformer", "decoder-only transformer") and (values.get("towers") or 0) > 1:
        found["towers"] = None
    return found


def _is_stated(value: Any, stated: frozenset[int], every: bool = False) -> bool:
    """Whether a number is stated; of several all, or, as configurations state the width of one stage only, one."""
    values = value if isinstance(value, tuple) else (value,)
    return all(v in stated for v in values) if every else any(v in stated for v in values)


def _config_values(config: str | Mapping[str, Any]) -> dict[str, frozenset[int]]:
    """Numbers that a configuration of transformers states; `grouped` and `local` where it has keys for those."""
    text = config if isinstance(config, str) else json.dumps(config)
    return _parsed_config(text) if "model_type" in text else {}


@lru_cache(maxsize=4096)
def _parsed_config(text: str) -> dict[str, frozenset[int]]:
    """The numbers, from a file where they were read before: a configuration's class is slow to import."""
    made_of = f"{text} {version('transformers')} {_CONFIG_KEYS} {_GROUPED_KEYS} {_LOCAL_WORDS}"
    made_of += f" {_ROTARY_WORDS} {_CROSS_KEYS}"
    path = sheet_folder() / f"config-{hashlib.sha256(made_of.encode()).hexdigest()[:32]}.json"
    if not path.exists():
        keep(path, {name: sorted(values) for name, values in _stated_numbers(json.loads(text)).items()})
    return {name: frozenset(values) for name, values in json.loads(path.read_text(encoding="utf-8")).items()}


def _stated_numbers(given: dict[str, Any]) -> dict[str, set[int]]:
    from transformers import AutoConfig

    model_type = given.pop("model_type")
    config = AutoConfig.for_model(model_type, **given)
    found: dict[str, set[int]] = {}
    renamed = {name: getattr(config, name, None) for name in getattr(config, "attribute_map", {})}
    _collect({**config.to_dict(), **renamed}, found)
    return found


def _collect(tree: Mapping[str, Any], found: dict[str, set[int]]) -> None:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            _collect(value, found)
            continue
        values = [v for v in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(v, int)]
        for name, keys in _CONFIG_KEYS.items():
            if key in keys and values:
                found.setdefault(name, set()).update(values)
        if key in _GROUPED_KEYS:
            found.setdefault("grouped", set()).update(values)
        if key in _CROSS_KEYS:
            found.setdefault("cross", set()).update(values)
        if value is not None and any(word in str(key) for word in _ROTARY_WORDS):
            found.setdefault("rotary", set()).update(values)
        if any(values) and any(word in str(key) for word in _LOCAL_WORDS):
            found.setdefault("local", set()).update(values)
