"""What a string names, by one order of rules (`sources_archbert` lists them).

Here a string only becomes a `Named`: a kind and a place. Of files a few bytes are looked at, JSON is read, and of Hub
repositories the configuration is fetched; everything else is read later, where limits hold.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from huggingface_hub import constants, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from .architecture_graph_archbert import FORMAT, ArchitectureGraph
from .source_bytes_archbert import is_url
from .source_configs_archbert import is_known_type, unknown_type
from .source_errors_archbert import PICKLE_WAY_OUT, ArchitectureSourceError, first_line
from .source_folders_archbert import INDEX_NAME, pipeline_components
from .source_headers_archbert import CONFIG_NAME
from .source_safetensors_archbert import INDEX_ENDING

MAX_JSON_BYTES = 64 * 2**20
MAX_JSON_LISTS = 4_000_000
MAX_JSON_OBJECTS = 100_000

PICKLE_ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".mar", ".npy", ".npz")
UNREAD_ENDINGS = {
    ".h5": "a Keras file",
    ".keras": "a Keras file",
    ".tflite": "a TensorFlow Lite file",
    ".pb": "a TensorFlow file",
    ".msgpack": "a Flax file",
    ".mlmodel": "a Core ML file",
    ".engine": "a compiled TensorRT engine",
    ".ot": "a Rust file of weights",
}
LIBRARIES = ("torchvision", "timm")
HEADER_ENDINGS = (".safetensors", INDEX_ENDING, ".gguf")

ALLOWED = (
    'an ArchitectureGraph, an nn.Module, a transformers config, a model type such as "bert", "torchvision:NAME" or '
    '"timm:NAME", the path of a config.json, of a saved graph (.json), of a .onnx, .pt2, .safetensors or .gguf file '
    'or of a folder with a config, or a Hub id such as "google-bert/bert-base-uncased"'
)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILE = re.compile(r"([\w.-]+/[\w.-]+)/([\w.-]+(?:/[\w.-]+){0,4})")
_HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_ZIP, _HDF5, _GGUF = b"PK\x03\x04", b"\x89HDF", b"GGUF"


@dataclass(frozen=True)
class Named:
    """What a string names.

    Args:
        kind: `type`, `torchvision`, `timm`, `config`, `remote`, `pipeline`, `safetensors`, `gguf`, `onnx`, `export` or
            `graph`.
        where: model type, name, path, address or Hub id.
        origin: the string itself.
        graph: of a saved graph, the graph.
        network: whether reading it fetches something.
        on_hub: whether `where` is an address of the Hub, so that its login is sent.
    """

    kind: str
    where: str
    origin: str
    graph: ArchitectureGraph | None = None
    network: bool = False
    on_hub: bool = False

    @property
    def from_strangers(self) -> bool:
        """Whether others than the authors of installed libraries may have written what is read."""
        return self.kind not in ("type", *LIBRARIES, "graph")

    def plain(self) -> dict[str, Any]:
        """Plain data for `of_plain`."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "graph"}

    @classmethod
    def of_plain(cls, data: Mapping[str, Any]) -> Named:
        """The object of `plain`."""
        return cls(**data)


def resolve_name(text: str, trust_remote_code: bool = False) -> Named:
    """What a string names, by the rules of `sources_archbert`.

    Raises:
        ArchitectureSourceError: nothing that can be read.
        ArchitectureGraphError: a saved graph that is malformed.
    """
    if not isinstance(text, str):
        raise ArchitectureSourceError(
            f"The architecture is a path of type {type(text).__name__}; a string is allowed."
        )
    if not text.strip():
        raise ArchitectureSourceError(f"The architecture is an empty string; allowed is {ALLOWED}.")
    if "\0" in text or len(text) > 4096:
        raise ArchitectureSourceError(f"The architecture is no name and no path; allowed is {ALLOWED}.")
    library, colon, name = text.partition(":")
    if colon and library.lower() in LIBRARIES:
        return Named(library.lower(), name.strip(), text)
    if is_url(text):
        return _address(text, trust_remote_code)
    _refuse_ending(text)
    if is_known_type(text):
        return Named("type", text, text)
    path = Path(text)
    try:
        if path.is_dir():
            return _folder(path, text, trust_remote_code)
        if path.exists():
            return _file(path, text, trust_remote_code)
    except OSError as error:
        raise ArchitectureSourceError(f"{text[:200]!r} cannot be read: {first_line(error)}") from None
    return _elsewhere(text, path, trust_remote_code)


def _elsewhere(text: str, path: Path, trust_remote_code: bool) -> Named:
    """A string that is no file and no folder here."""
    if (match := _HUB_FILE.fullmatch(text)) and text.endswith((".safetensors", INDEX_ENDING, ".gguf")):
        return _hub_file(match[1], match[2], text)
    if _HUB_ID.fullmatch(text) and not text.endswith((".json", ".onnx", ".pt2", *HEADER_ENDINGS)):
        return _hub_repository(text, text, trust_remote_code)
    if len(path.parts) > 1 or path.suffix in (".json", ".onnx", ".pt2", ".safetensors", ".gguf"):
        raise ArchitectureSourceError(f"There is no file or folder {text[:300]!r}; allowed is {ALLOWED}.")
    raise ArchitectureSourceError(unknown_type(text))


def _refuse_ending(text: str) -> None:
    lower = text.lower().rstrip("/\\")
    if lower.endswith(PICKLE_ENDINGS):
        raise ArchitectureSourceError(f"{text!r} is a pickle by its ending: {PICKLE_WAY_OUT}")
    for ending, kind in UNREAD_ENDINGS.items():
        if lower.endswith(ending):
            raise ArchitectureSourceError(f"{text!r} is {kind}; this is not supported. Allowed is {ALLOWED}.")


# Files and folders


def _folder(path: Path, origin: str, trust_remote_code: bool) -> Named:
    if (path / INDEX_NAME).is_file():
        return Named("pipeline", str(path), origin)
    if (path / CONFIG_NAME).is_file():
        return _file(path / CONFIG_NAME, origin, trust_remote_code)
    weights = (
        sorted(path.glob(f"*{INDEX_ENDING}")) or sorted(path.glob("*.safetensors")) or sorted(path.glob("*.gguf"))
    )
    if len(weights) == 1:
        return _file(weights[0], origin, trust_remote_code)
    found = f" and {len(weights)} files of weights; give the path of one" if weights else "; save a config into it"
    raise ArchitectureSourceError(f"The folder {origin!r} has no {CONFIG_NAME}{found}.")


def _file(path: Path, origin: str, trust_remote_code: bool) -> Named:
    """A file, by its ending and its first bytes; only JSON is read here."""
    if not path.is_file():
        raise ArchitectureSourceError(f"{str(path)!r} is no regular file; allowed is {ALLOWED}.")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise ArchitectureSourceError(f"{str(path)!r} cannot be read: {first_line(error)}") from None
    ending = path.suffix.lower()
    if ending == ".safetensors" or (not ending and head[8:9] == b"{" and not head.startswith(b"{")):
        _refuse_pickle(path, head, is_safetensors=head[8:9] == b"{")
        return Named("safetensors", str(path), origin)
    if path.name.endswith(INDEX_ENDING):
        return Named("safetensors", str(path), origin)
    if ending == ".pt2" and head.startswith(_ZIP):
        return Named("export", str(path), origin)
    _refuse_pickle(path, head)
    if ending == ".pt2":
        return Named("export", str(path), origin)
    if ending == ".gguf" or (not ending and head.startswith(_GGUF)):
        return Named("gguf", str(path), origin)
    if ending == ".onnx":
        return Named("onnx", str(path), origin)
    return _json_file(path, origin, trust_remote_code)


def _refuse_pickle(path: Path, head: bytes, is_safetensors: bool = False) -> None:
    if is_safetensors:
        return
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and len(head) > 1:
        kind = "a pickle"
    elif head.startswith(_ZIP):
        kind = "a zip archive, as torch.save writes it around a pickle"
    elif head.startswith(_HDF5):
        kind = "an HDF5 file"
    else:
        return
    raise ArchitectureSourceError(
        f"{str(path)!r} is no JSON and nothing else that is read, but {kind}: {PICKLE_WAY_OUT}"
    )


def _json_file(path: Path, origin: str, trust_remote_code: bool) -> Named:
    """A saved graph, or a configuration (which is read again where limits hold)."""
    data = read_json(path)
    if data.get("format") == FORMAT:
        return Named("graph", str(path), origin, graph=ArchitectureGraph.from_dict(data))
    if isinstance(data.get("weight_map"), dict):
        return Named("safetensors", str(path), origin)
    model_type = data.get("model_type")
    if "_class_name" in data and path.name == INDEX_NAME:
        return Named("pipeline", str(path.parent), origin)
    if not isinstance(model_type, str):
        if isinstance(data.get("_class_name"), str) and "_diffusers_version" in data:
            return Named("config", str(path), origin)
        raise ArchitectureSourceError(
            f"{str(path)!r} has no model_type, so it is no config of transformers; it is no saved graph either."
        )
    if is_known_type(model_type) and not (trust_remote_code and _has_code(data)):
        return Named("config", str(path), origin)
    if not _has_code(data):
        raise ArchitectureSourceError(f"The model_type of {str(path)!r} is unknown: {unknown_type(model_type)}")
    if not trust_remote_code:
        raise ArchitectureSourceError(
            f"The config {str(path)!r} (model_type {model_type[:100]!r}) needs code of its repository. Read that "
            "code, then pass trust_remote_code=True."
        )
    return Named("remote", str(path.parent if path.name == CONFIG_NAME else path), origin, network=True)


def _has_code(data: Mapping[str, Any]) -> bool:
    return isinstance(data.get("auto_map"), dict) and "AutoConfig" in data["auto_map"]


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of bounded size.

    Raises:
        ArchitectureSourceError: there is none.
    """
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise ArchitectureSourceError(
            f"{str(path)!r} has {size} bytes; at most {MAX_JSON_BYTES} are read. A larger saved graph can be read "
            "with ArchitectureGraph.from_json."
        )
    try:
        text = path.read_bytes()
        if text.count(b"[") > MAX_JSON_LISTS or text.count(b"{") > MAX_JSON_OBJECTS:
            raise ValueError(f"more than {MAX_JSON_LISTS} lists or {MAX_JSON_OBJECTS} objects")
        data = json.loads(text)
    except OSError as error:
        raise ArchitectureSourceError(f"{str(path)!r} cannot be read: {first_line(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ArchitectureSourceError(
            f"{str(path)!r} is no JSON ({first_line(error)}); a config.json or a saved graph is allowed."
        ) from None
    if not isinstance(data, dict):
        raise ArchitectureSourceError(
            f"{str(path)!r} holds a JSON {type(data).__name__}, not an object; a config.json or a saved graph is "
            "allowed."
        )
    return data


# The Hub and the web


def _address(text: str, trust_remote_code: bool) -> Named:
    """A page or file of the Hub, or a file of weights anywhere."""
    parts = urlsplit(text)
    path = unquote(parts.path)
    _refuse_ending(path)
    if parts.hostname in (*_HUB_HOSTS, urlsplit(constants.ENDPOINT).hostname):
        steps = path.strip("/").split("/")
        if len(steps) >= 5 and steps[2] in ("blob", "resolve", "raw") and path.endswith(HEADER_ENDINGS):
            return _hub_file("/".join(steps[:2]), "/".join(steps[4:]), text, revision=steps[3])
        if len(steps) == 2 or (len(steps) == 4 and steps[2:] == ["tree", "main"]):
            return _hub_repository("/".join(steps[:2]), text, trust_remote_code)
    if path.lower().endswith(HEADER_ENDINGS):
        return Named("gguf" if path.lower().endswith(".gguf") else "safetensors", text, text, network=True)
    raise ArchitectureSourceError(
        f"{text[:300]!r} is an address; of addresses only headers of .safetensors and .gguf files are read. Download "
        'the file and give its path; a model on the Hub is given as "owner/name".'
    )


def _hub_file(repository: str, file: str, origin: str, revision: str | None = None) -> Named:
    try:
        address = hf_hub_url(repository, file, revision=revision)
    except HFValidationError:
        raise ArchitectureSourceError(f"{origin!r} is no file here, and {repository!r} is no valid Hub id.") from None
    return Named("gguf" if file.endswith(".gguf") else "safetensors", address, origin, network=True, on_hub=True)


def _hub_repository(repository: str, origin: str, trust_remote_code: bool) -> Named:
    """A Hub repository, of which `config.json` is fetched (and code, where it is trusted)."""
    path = _fetched(repository, CONFIG_NAME, missing_ok=True)
    if path is not None:
        named = _json_file(path, origin, trust_remote_code)
        return dataclasses.replace(named, where=repository) if named.kind == "remote" else named
    index = _fetched(repository, INDEX_NAME, missing_ok=True)
    if index is None:
        raise ArchitectureSourceError(
            f"{repository!r} has no {CONFIG_NAME} and no {INDEX_NAME}, so it is no model of transformers or "
            f'diffusers. A file of weights is given as "{repository}/FILE.safetensors" or "{repository}/FILE.gguf".'
        )
    for component in pipeline_components(index.parent):
        _fetched(repository, f"{component}/{CONFIG_NAME}", missing_ok=True)
    return Named("pipeline", str(index.parent), origin)


def _fetched(repository: str, file: str, missing_ok: bool = False) -> Path | None:
    """A small file of a Hub repository, in the cache; None where the repository does not have it."""
    offline = " HF_HUB_OFFLINE is set." if constants.HF_HUB_OFFLINE else ""
    advice = f"Connect, or give the path of a {CONFIG_NAME}"
    try:
        return Path(hf_hub_download(repository, file))
    except GatedRepoError:
        reason = "is gated; accept its terms on its page and log in with `hf auth login`"
    except RepositoryNotFoundError:
        reason = "does not exist on the Hub, or is private (log in with `hf auth login`); nor is there such a folder"
    except LocalEntryNotFoundError:
        reason = f"is no folder, is not in the cache, and the Hub cannot be reached.{offline} {advice}"
    except EntryNotFoundError:
        if missing_ok:
            return None
        reason = f"has no {file}"
    except HFValidationError:
        reason = "is no valid Hub id, and there is no such file or folder"
    except Exception as error:
        reason = f"cannot be fetched from the Hub ({first_line(error)}). {advice}"
    raise ArchitectureSourceError(f"{repository!r} {reason}.")
