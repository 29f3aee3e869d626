"""Networks that users give: by name, as the text of a config, or as a file.

* Everything is read in a child process that is killed at a limit of time or memory; nothing is ever unpickled.
* A name is a model type, `torchvision:NAME`, `timm:NAME` or a Hub id. Paths of this machine and addresses other than
  the Hub's are refused, so that nobody can look around here.
* Graphs are kept by what was given, and never changed; nothing of them tells who asked.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import tempfile
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.graph_labels_archbert import clean
from processing_archbert.isolation_archbert import run_isolated
from processing_archbert.isolation_call_archbert import ArchitectureLimitError
from processing_archbert.source_configs_archbert import is_known_type, unknown_type
from processing_archbert.source_errors_archbert import ArchitectureSourceError, ArchitectureSourceWarning
from processing_archbert.source_names_archbert import LIBRARIES, PICKLE_ENDINGS, resolve_name
from processing_archbert.sources_archbert import load_architecture
from processing_archbert.tracing_archbert import ArchitectureTraceError

from .limits import Limits

NAME, CONFIG, FILE = KINDS = ("name", "config", "file")
"""How a network is given."""
FILE_KINDS = "ONNX, .pt2, safetensors, GGUF, a config.json or a saved graph"
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_HUB_PAGE = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/[\w./-]+")
_MIB = 2**20


class DemoError(ValueError):
    """What a user asked for cannot be done; the message says why and what to do."""


@dataclass(frozen=True)
class Given:
    """What a user gave: how, and a name, the text of a config, or the path of an uploaded file."""

    kind: str
    value: str


@dataclass(frozen=True)
class Network:
    """A network that was read.

    Attributes:
        graph: its graph.
        notes: what readers warned of.
        key: tells it from all others; equal for equal input.
    """

    graph: ArchitectureGraph
    notes: tuple[str, ...]
    key: str

    @property
    def name(self) -> str:
        """Its name on one line, without control characters."""
        return clean(self.graph.name, 80) or "network"


def given_text(text: str) -> Given:
    """What the API was given: the text of a config or of a saved graph where it begins with a brace, else a name."""
    return Given(CONFIG if text.lstrip().startswith("{") else NAME, text)


class Networks:
    """Reads networks, and keeps the last ones.

    Args:
        limits: of size, time and memory.

    Attributes:
        known: names of further networks with the text of their configs; filled once, when the demo starts.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.known: dict[str, str] = {}
        self._kept: OrderedDict[str, Network] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, given: Given, costs: bool = False) -> Network:
        """The network that was given.

        Args:
            given: what was given.
            costs: whether its graph is to tell FLOPs, which takes longer.

        Raises:
            DemoError: nothing was given, it is too large, or it cannot be read.
        """
        if given.kind == NAME and given.value.strip() in self.known:
            given = Given(CONFIG, self.known[given.value.strip()])
        key = self._key(given, costs)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with tempfile.TemporaryDirectory(prefix="archbert-") as folder:
            source, shown, network = self._source(given, Path(folder))
            graph, notes = self._isolated(source, shown, network, costs)
        found = Network(graph, tuple(notes), key)
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > self.limits.remembered:
                self._kept.popitem(last=False)
        return found

    def _key(self, given: Given, costs: bool) -> str:
        """A digest of what was given, once its size is known to be allowed."""
        if given.kind not in KINDS:
            raise DemoError(f"A network is given as {', '.join(KINDS)}, not as {given.kind!r}.")
        if not given.value or not given.value.strip():
            raise DemoError(_NOTHING[given.kind])
        digest = hashlib.sha256(f"{given.kind}{costs}".encode())
        if given.kind == FILE:
            self._check_file(given.value)
            digest.update(Path(given.value).suffix.encode())
            with open(given.value, "rb") as file:
                for block in iter(lambda: file.read(_MIB), b""):
                    digest.update(block)
        else:
            digest.update(given.value.strip().encode("utf-8", "replace"))
        return digest.hexdigest()

    def _check_file(self, path: str) -> None:
        if path.lower().endswith(PICKLE_ENDINGS):
            _library(resolve_name, os.path.basename(path))
        if not os.path.isfile(path):
            raise DemoError("The uploaded file is no longer here; upload it again.")
        size = os.path.getsize(path)
        if size > self.limits.upload_mib * _MIB:
            raise DemoError(
                f"The file has {size / _MIB:,.0f} MiB; {self.limits.upload_mib} MiB are allowed. Of a network on the "
                "Hub give the id, of weights the config.json beside them."
            )

    def _source(self, given: Given, folder: Path) -> tuple[str, str, bool]:
        """What `load_architecture` is given, what messages call it, and whether the network is needed."""
        if given.kind == FILE:
            return given.value, clean(Path(given.value).name, 100), False
        if given.kind == CONFIG:
            return str(self._config_file(given.value, folder)), "the config", False
        return _named(given.value.strip())

    def _config_file(self, text: str, folder: Path) -> Path:
        allowed = self.limits.config_characters
        if len(text) > allowed:
            raise DemoError(f"The config has {len(text):,} characters; {allowed:,} are allowed. Upload it as a file.")
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise DemoError(
                f"The config is no JSON: {error.msg} at line {error.lineno}, column {error.colno}. Paste the whole of "
                "a config.json, from the first brace to the last."
            ) from None
        except RecursionError:
            raise DemoError("The config is nested too deeply; paste a config.json as it is on the Hub.") from None
        if not isinstance(data, dict):
            raise DemoError(f"The config is a JSON {type(data).__name__}; an object in braces is allowed.")
        path = folder / "config.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        return path

    def _isolated(self, source: str, shown: str, network: bool, costs: bool) -> tuple[ArchitectureGraph, list[str]]:
        seconds, memory = self.limits.seconds, self.limits.memory_mib * _MIB
        try:
            found = run_isolated(
                f"{__name__}:read_plain", source, costs, self.limits.nodes, 2 * seconds,
                time_limit=seconds, memory_limit=memory, network=network, label=f"Reading {shown}",
            )  # fmt: skip
        except ArchitectureLimitError as error:
            raise DemoError(self.limits.reached(f"Reading {shown}", "more memory" in str(error))) from error
        except (ValueError, OSError, ArchitectureTraceError) as error:
            raise DemoError(_for_page(str(error), source, shown)) from error
        notes = [note.replace(source, shown) for note in found["notes"]]
        return dataclasses.replace(ArchitectureGraph.from_dict(found["graph"]), source=shown.strip("'")), notes


_NOTHING = {
    NAME: "No network is chosen; choose one by its name, such as bert, or write a Hub id such as owner/name.",
    CONFIG: "The config is empty; paste the text of a config.json.",
    FILE: f"No file was uploaded; allowed are {FILE_KINDS}.",
}


def _for_page(message: str, source: str, shown: str) -> str:
    """A message of the library, with what the user gave in the place of our path, and advice that fits a page."""
    quoted = shown if shown.startswith("'") else f"'{shown}'"
    message = message.replace(f"'{source}'", quoted).replace(source, shown).replace("'the config'", "the config")
    message = message.replace("give the path of a config.json", "paste its config").replace(" and no file", "")
    return message[:1].upper() + message[1:]


def _named(name: str) -> tuple[str, str, bool]:
    """A name that may be read; see the module."""
    shown = f"'{clean(name, 100)}'"
    if is_known_type(name):
        return name, shown, False
    library, colon, _ = name.partition(":")
    if colon and library.lower() in LIBRARIES:
        return name, shown, False
    if name.lower().endswith(PICKLE_ENDINGS):
        _library(resolve_name, name)
    if _HUB_PAGE.fullmatch(name):
        return name, shown, True
    if _HUB_ID.fullmatch(name):
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{name}", shown, True
    if "/" in name or "\\" in name or name.startswith("."):
        raise DemoError(
            f"{shown} is no name of a network. Names are model types such as bert, and Hub ids such as owner/name; "
            "upload files, and paste configs."
        )
    raise DemoError(unknown_type(clean(name, 100)).replace(" and no file", ""))


def can_be_built(name: str) -> bool:
    """Whether the library of a name, `torchvision:NAME` or `timm:NAME`, is installed; True for other names."""
    library = name.partition(":")[0].lower() if ":" in name else ""
    return library not in LIBRARIES or find_spec(library) is not None


def _library(function: Any, argument: str) -> None:
    """Calls a function of the library that refuses its argument, and passes the reason on."""
    try:
        function(argument)
    except ArchitectureSourceError as error:
        raise DemoError(str(error)) from None


def read_plain(source: str, costs: bool, nodes: int, seconds: int) -> dict[str, Any]:
    """What the child process runs: a source to `{"graph": dictionary, "notes": messages}`.

    Raises:
        ArchitectureSourceError: it cannot be read, or has more than `nodes` nodes.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ArchitectureSourceWarning)
        graph = load_architecture(source, costs=costs, time_limit=seconds)
    if graph.num_nodes > nodes:
        raise ArchitectureSourceError(
            f"The network has {graph.num_nodes:,} nodes; this page takes up to {nodes:,}. Install archbert and use "
            "the command line for larger ones: archbert describe SOURCE."
        )
    notes = [str(w.message) for w in caught if issubclass(w.category, ArchitectureSourceWarning)]
    return {"graph": graph.to_dict(), "notes": list(dict.fromkeys(notes))}


def names_to_choose(networks: Networks) -> list[str]:
    """Names that a user may choose from, sorted: the model types of transformers that are networks, and known ones."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return sorted({*(name for name in MODEL_MAPPING_NAMES if is_known_type(name)), *networks.known})
