"""Relations between two architectures of one library.

Read from the registry and the configurations, never from a graph kernel:

* `identical`: two names of one graph.
* `resized`: one model type, or one entry of torchvision; only sizes differ.
* `variant`: one model type with other kinds of settings; another entry of the same family; or one is written as a
  subclass of the other in the library's modular files (direct parents only) and takes the same kinds of input.
* `shared backbone`: one is a part of the other, or both have a part of the same family; a direct parent of a part
  counts as the part.
* `same paradigm`: nothing of this, but the same kind of network.
* `unrelated`: everything else.

The first three are clones (label 1); `shared backbone` has no label in the binary score (-1). That says nothing of
weights: whether one was trained from the other cannot be seen in an architecture.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .library_tvhf import parent_folders, parentage, type_folder
from .registry_tvhf import Member

RELATIONS = ("identical", "resized", "variant", "shared backbone", "same paradigm", "unrelated")
LABELS: Mapping[str, int] = {
    "identical": 1, "resized": 1, "variant": 1, "shared backbone": -1, "same paradigm": 0, "unrelated": 0,
}  # fmt: skip

_IGNORED = re.compile(
    r"(token_id|_token_index|token_ids|dropout|drop_path|_eps$|epsilon|initializer|init_std|init_range|id2label|"
    r"label2id|architectures|dtype|name_or_path|transformers_version|use_cache|output_|return_dict|problem_type|"
    r"loss|rope_theta|rope_parameters|rope_scaling|mask_time|mask_feature|apply_spec|_prob$|scale_init_value|"
    r"projection_dim|logit_scale|chunk_length|overlap|sampling_rate|num_labels|out_indices|out_features|stage_names|"
    r"pad_token|tie_|model_type|max_window_layers|layer_types|layers_block_type|attention_layers|task_specific)"
)
_SIZES = (int, float)


@dataclass
class Known:
    """What relations need of a member: its settings, flat, and the families of its parts."""

    member: Member

    @cached_property
    def config(self) -> dict[str, Any]:
        """The whole configuration as a dictionary; empty for torchvision."""
        if not self.member.type:
            return {}
        mapping = importlib.import_module("transformers").CONFIG_MAPPING
        return dict(mapping[self.member.type](**dict(self.member.overrides)).to_dict())

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Path -> value of everything that shapes the network; what does not is left out."""
        return dict(_flat(self.config, ""))

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Kinds of layers, where a configuration lists one for each layer."""
        found: set[str] = set()
        for key in ("layer_types", "layers_block_type", "attention_layers"):
            found |= {str(kind) for kind in self.config.get(key) or ()}
        return frozenset(found)

    @cached_property
    def parts(self) -> frozenset[str]:
        """Families, by folder, of the networks inside this one."""
        if self.member.backbone:
            return frozenset({self.member.backbone})
        return frozenset(type_folder(t) for t in _nested_types(self.config) if t != self.member.type)

    @cached_property
    def part_types(self) -> frozenset[str]:
        """Model types of the networks inside this one."""
        return frozenset(_nested_types(self.config))

    @cached_property
    def parents_of_parts(self) -> frozenset[str]:
        """Model types that a network inside this one is a direct subclass of."""
        return frozenset(parent for part in self.part_types - {self.member.type} for parent in parentage(part).parents)


def _flat(data: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in data.items():
        if _IGNORED.search(key):
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _nested_types(config: Mapping[str, Any]) -> set[str]:
    found = set()
    for value in config.values():
        if isinstance(value, Mapping):
            if isinstance(value.get("model_type"), str) and value["model_type"]:
                found.add(value["model_type"])
            found |= _nested_types(value)
    return found


def _is_size(first: Any, second: Any) -> bool:
    """Whether two different values are sizes: numbers, or lists of numbers."""
    if isinstance(first, bool) or isinstance(second, bool) or first is None or second is None:
        return False
    if isinstance(first, _SIZES) and isinstance(second, _SIZES):
        return first > 0 and second > 0  # 0 and -1 turn things off
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return all(isinstance(v, _SIZES) and not isinstance(v, bool) for v in (*first, *second))
    return False


def differences(first: Known, second: Known) -> tuple[list[str], list[str]]:
    """Settings in which two configurations of one model type differ: (sizes, kinds), each sorted."""
    sizes: list[str] = []
    kinds: list[str] = []
    a, b = first.settings, second.settings
    for key in sorted(a.keys() | b.keys()):
        if a.get(key) != b.get(key):
            (sizes if _is_size(a.get(key), b.get(key)) else kinds).append(key)
    if first.kinds != second.kinds:
        kinds.append("kinds of layers")
    return sizes, kinds


def relation(first: Known, second: Known) -> str:
    """Relation of two networks of one library whose graphs differ; one of `RELATIONS` but `identical`.

    Raises:
        ValueError: they come from two libraries.
    """
    a, b = first.member, second.member
    if a.source != b.source:
        raise ValueError(f"{a.name} is of {a.source}, {b.name} of {b.source}; relations are within one library.")
    if a.source == "torchvision":
        return _torchvision_relation(a, b)
    if a.type == b.type:
        return "variant" if differences(first, second)[1] else "resized"
    if a.type in second.part_types or b.type in first.part_types:
        return "shared backbone"
    if a.type in b.parents or b.type in a.parents:  # of a network with another kind of input, it is a part
        return "variant" if set(a.modality) == set(b.modality) else "shared backbone"
    if a.type in second.parents_of_parts or b.type in first.parents_of_parts:
        return "shared backbone"
    if first.parts & second.parts or _folder(a) in second.parts or _folder(b) in first.parts:
        return "shared backbone"
    return "same paradigm" if a.paradigm == b.paradigm else "unrelated"


def are_kin(first: Known, second: Known) -> bool:
    """Whether the library writes one network's layers as subclasses of the other's, in whatever part of their folders.

    A pair of kin that is no `variant` (a text tower beside the whole network that another is written after, say) is
    neither alike nor plainly not.
    """
    a, b = (_folder(known.member) if known.member.type else "" for known in (first, second))
    return bool(a and b) and (a in parent_folders(b) or b in parent_folders(a))


def _folder(member: Member) -> str:
    return type_folder(member.type)


def _torchvision_relation(a: Member, b: Member) -> str:
    if a.family == b.family:
        same_line = a.line_of_sizes == b.line_of_sizes and a.file == b.file
        return "resized" if same_line else "variant"
    if a.family in b.parents or b.family in a.parents:
        return "variant"
    if a.backbone == b.family or b.backbone == a.family or (a.backbone and a.backbone == b.backbone):
        return "shared backbone"
    return "same paradigm" if a.paradigm == b.paradigm else "unrelated"
