"""The registry: families of networks, their members, and what is known of them, from `families/<group>.yaml`.

* A *family* is what people call by one name: `bert`, `resnet`. It has a paradigm, modalities, tasks, the year in which
  it was published, and facts on its origin; what is not known is `null` and never guessed.
* A *member* is one network: the default configuration of a transformers model type, a variant of it (configuration
  values that differ), or a name of torchvision. Members inherit what their family says and may say otherwise.
* `parents` and `borrows` of a model type are what `library_tvhf.parentage` reads from the installed library;
  `check_registry` compares them.
* Every error names the file and the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .library_tvhf import TASK_TABLES
from .yaml_tvhf import Place, RegistryError, line_of, load_with_lines

FAMILIES_FOLDER = Path(__file__).parent / "families"

PARADIGMS: tuple[str, ...] = (
    "encoder-only transformer",
    "decoder-only transformer",
    "mixture-of-experts decoder",
    "encoder-decoder transformer",
    "attention-free sequence model",
    "hybrid sequence model",
    "convolutional network",
    "vision transformer",
    "hierarchical vision transformer",
    "hybrid vision network",
    "object detector",
    "segmentation network",
    "depth estimator",
    "image restoration network",
    "image matching network",
    "optical flow network",
    "text recognition network",
    "video network",
    "speech encoder",
    "speech encoder-decoder",
    "speech transducer",
    "audio classifier",
    "audio codec",
    "audio synthesis network",
    "audio language model",
    "dual encoder",
    "vision-language model",
    "vision-language encoder",
    "image generation model",
    "omni-modal model",
    "document model",
    "time series network",
    "policy network",
    "protein model",
    "query transformer",
    "multimodal encoder",
)
"""What kind of network a family is; networks of one paradigm that share nothing else are of the *same paradigm*."""

MODALITIES: tuple[str, ...] = (
    "text",
    "image",
    "audio",
    "video",
    "time series",
    "table",
    "layout",
    "protein",
    "action",
)
"""What networks read or write."""

TASKS: frozenset[str] = frozenset(TASK_TABLES.values()) | {
    "audio encoding",
    "image captioning",
    "image encoding",
    "image generation",
    "image-text matching",
    "optical flow estimation",
    "phrase grounding",
    "protein language modeling",
    "speaker diarization",
    "speech encoding",
    "speech translation",
    "text detection",
    "text-based image segmentation",
    "video encoding",
    "video segmentation",
    "video moment retrieval",
    "decision making",
    "robot control",
    "document layout analysis",
    "image rectification",
    "human keypoint detection",
    "image decoding",
    "music generation",
    "multimodal encoding",
}
"""What networks are for: the library's heads, and what it has no table for."""

_FAMILY_KEYS = {"family", "paradigm", "modality", "tasks", "year", "origin", "members"}
_MEMBER_KEYS = {
    "type", "name", "torchvision", "paradigm", "modality", "tasks", "year", "origin", "parents", "borrows", "backbone",
    "config", "default", "needs", "unavailable", "variants",
}  # fmt: skip
_ORIGIN_KEYS = {"organisation", "checkpoint", "copyright_years", "paper"}


@dataclass(frozen=True)
class Member:
    """One network of the registry.

    Attributes:
        name: unique name; the model type (or the entry's `name`), the name of the variant, or torchvision's name.
        source: `"transformers"` or `"torchvision"`.
        type: model type of transformers; empty for torchvision.
        overrides: configuration values that differ from the library's defaults.
        is_default: whether it is the library's default configuration (but for what it needs to be built).
        parents, borrows: see `library_tvhf.parentage`; `backbone`: family of a torchvision network inside this one.
        year: of publication; None = not known. `tasks` empty = not known.
        line_of_sizes: members of one entry of torchvision differ in sizes only; they share this number, its line.
        needs: `timm` where the library needs that package, which stands in the environment of torchvision; or empty.
        unavailable: why the library cannot build it here; empty if it can.
        file, line: where it stands.
    """

    name: str
    family: str
    group: str
    source: str
    type: str
    paradigm: str
    modality: tuple[str, ...]
    tasks: tuple[str, ...]
    year: int | None
    parents: tuple[str, ...]
    borrows: tuple[str, ...]
    backbone: str
    origin: Mapping[str, Any]
    overrides: Mapping[str, Any]
    is_default: bool
    needs: str
    unavailable: str
    line_of_sizes: int
    file: Path
    line: int

    @property
    def arch_id(self) -> str:
        """Identifier in every config of the data set."""
        return f"{'tv' if self.source == 'torchvision' else 'hf'}-{self.name}"

    @property
    def where(self) -> str:
        """`file:line`, for messages."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Family:
    """A family and its members, in the order of its file."""

    name: str
    group: str
    members: tuple[Member, ...]
    file: Path
    line: int


@dataclass
class Registry:
    """All families and members by name."""

    families: dict[str, Family] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)

    def available(self) -> Iterator[Member]:
        """The members that can be built."""
        return (member for member in self.members.values() if not member.unavailable)

    def family_of_type(self) -> dict[str, str]:
        """Model type -> family."""
        return {member.type: member.family for member in self.members.values() if member.type}

    def add(self, family: Family) -> None:
        """Adds a family.

        Raises:
            RegistryError: the family or the name of a member is there already.
        """
        if (known := self.families.get(family.name)) is not None:
            raise RegistryError(
                f"{family.file}:{family.line}: family {family.name!r} is already in {known.file}:{known.line}."
            )
        self.families[family.name] = family
        for member in family.members:
            if member.name in self.members:
                raise RegistryError(
                    f"{member.where}: member {member.name!r} is already at {self.members[member.name].where}; "
                    "give it another name."
                )
            self.members[member.name] = member


def load_registry(folder: Path = FAMILIES_FOLDER) -> Registry:
    """The registry of all `*.yaml` files in a folder.

    Raises:
        RegistryError: a file is wrong; the message names file and line, the value, and what is allowed.
    """
    registry = Registry()
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise RegistryError(f"{folder}: there is no .yaml file of families.")
    for path in paths:
        data, lines = load_with_lines(path)
        reader = _Reader(path, lines)
        if not isinstance(data, list):
            raise reader.error((), f"a list of families is expected, not {type(data).__name__}")
        for i, entry in enumerate(data):
            registry.add(reader.family(entry, (i,)))
    _check_backbones(registry)
    return registry


def _check_backbones(registry: Registry) -> None:
    for member in registry.members.values():
        if member.backbone and member.backbone not in registry.families:
            raise RegistryError(f"{member.where}: backbone {member.backbone!r} is no family of the registry.")


class _Reader:
    """Reads the entries of one file."""

    def __init__(self, path: Path, lines: dict[Place, int]) -> None:
        self.path, self.lines = path, lines

    def error(self, place: Place, what: str) -> RegistryError:
        return RegistryError(f"{self.path}:{line_of(self.lines, place)}: {what}.")

    def family(self, entry: Any, place: Place) -> Family:
        self._check_keys(entry, place, _FAMILY_KEYS, "family")
        name = self._text(entry, place, "family")
        if not isinstance(entry.get("members"), list) or not entry["members"]:
            raise self.error(place, f"family {name!r} has no list of members")
        members = tuple(
            member
            for i, data in enumerate(entry["members"])
            for member in self._members(entry, data, place, (*place, "members", i))
        )
        return Family(name, self.path.stem, members, self.path, self.lines[place])

    def _members(self, family: dict[str, Any], data: Any, outer: Place, place: Place) -> Iterator[Member]:
        self._check_keys(data, place, _MEMBER_KEYS, "member")
        if ("type" in data) == ("torchvision" in data):
            raise self.error(place, "a member has either `type` (transformers) or `torchvision`")
        known = self._knowledge(family, data, outer, place)
        if "torchvision" in data:
            for name in self._texts(data, place, "torchvision"):
                line = line_of(self.lines, (*place, "torchvision", data["torchvision"].index(name)))
                yield Member(
                    name=name, source="torchvision", type="", overrides={}, is_default=True, line=line, **known
                )
            return
        model_type = self._text(data, place, "type")
        base = self._mapping(data, place, "config")
        if self._flag(data, place, "default", True):
            yield Member(
                name=self._text(data, place, "name", model_type), source="transformers", type=model_type,
                overrides=base, is_default=True, line=self.lines[place], **known,
            )  # fmt: skip
        for name, overrides in self._mapping(data, place, "variants").items():
            where = (*place, "variants", name)
            if not isinstance(overrides, dict) or not overrides:
                raise self.error(where, f"variant {name!r} has no configuration values")
            yield Member(
                name=name, source="transformers", type=model_type, overrides={**base, **overrides}, is_default=False,
                line=self.lines[where], **known,
            )  # fmt: skip

    def _knowledge(self, family: dict[str, Any], data: dict[str, Any], outer: Place, place: Place) -> dict[str, Any]:
        """The fields that a member may take from its family."""

        def entry(key: str) -> tuple[dict[str, Any], Place]:
            return (data, place) if key in data else (family, outer)

        paradigm = self._text(*entry("paradigm"), "paradigm")
        self._check_known(entry("paradigm")[1], "paradigm", [paradigm], PARADIGMS)
        modality, tasks = (self._texts(*entry(key), key) for key in ("modality", "tasks"))
        self._check_known(entry("modality")[1], "modality", modality, MODALITIES)
        self._check_known(entry("tasks")[1], "tasks", tasks, TASKS)
        year = entry("year")[0].get("year")
        if year is not None and (isinstance(year, bool) or not isinstance(year, int) or not 1950 <= year <= 2100):
            raise self.error((*entry("year")[1], "year"), f"year is {year!r}; a year or null is allowed")
        origin = {**self._mapping(family, outer, "origin"), **self._mapping(data, place, "origin")}
        self._check_known((*entry("origin")[1], "origin"), "origin", list(origin), sorted(_ORIGIN_KEYS))
        return {
            "family": family["family"], "group": self.path.stem, "paradigm": paradigm, "modality": tuple(modality),
            "tasks": tuple(tasks), "year": year, "origin": origin, "file": self.path,
            "parents": tuple(self._texts(data, place, "parents", ())),
            "borrows": tuple(self._texts(data, place, "borrows", ())),
            "backbone": self._text(data, place, "backbone", ""),
            "needs": self._text(data, place, "needs", ""), "unavailable": self._text(data, place, "unavailable", ""),
            "line_of_sizes": self.lines[place],
        }  # fmt: skip

    def _check_keys(self, entry: Any, place: Place, allowed: set[str], what: str) -> None:
        if not isinstance(entry, dict):
            raise self.error(place, f"a {what} is a mapping, not {type(entry).__name__}")
        for key in entry:
            if key not in allowed:
                raise self.error((*place, key), f"a {what} has no {key!r}; allowed are {', '.join(sorted(allowed))}")

    def _check_known(self, place: Place, key: str, values: list[str], allowed: Any) -> None:
        for value in values:
            if value not in allowed:
                raise self.error(
                    (*place, key), f"{key} {value!r} is not known; allowed are {', '.join(sorted(allowed))}"
                )

    def _text(self, entry: dict[str, Any], place: Place, key: str, default: str | None = None) -> str:
        value = entry.get(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.error((*place, key), f"{key} is {value!r}; a string is needed")
        return value

    def _texts(self, entry: dict[str, Any], place: Place, key: str, default: Any = None) -> list[str]:
        value = entry.get(key, default)
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and item for item in value):
            raise self.error((*place, key), f"{key} is {value!r}; a list of strings is needed")
        if len(set(value)) < len(value):
            raise self.error((*place, key), f"{key} names something twice")
        return list(value)

    def _mapping(self, entry: dict[str, Any], place: Place, key: str) -> dict[str, Any]:
        value = entry.get(key) or {}
        if not isinstance(value, dict):
            raise self.error((*place, key), f"{key} is {value!r}; a mapping is needed")
        return value

    def _flag(self, entry: dict[str, Any], place: Place, key: str, default: bool) -> bool:
        value = entry.get(key, default)
        if not isinstance(value, bool):
            raise self.error((*place, key), f"{key} is {value!r}; true or false is allowed")
        return value
