"""A network in sentences: what it is, its towers, its sizes. Every word is computed from the graph."""

from __future__ import annotations

from typing import Any

from processing_archbert.network_numbers_archbert import NetworkNumbers
from processing_archbert.network_properties_archbert import holds

_FAMILIES = {
    "convolutional": "a convolutional network",
    "transformer": "a transformer",
    "hybrid": "a network of convolutions and attention",
    "recurrent": "a recurrent network",
    "state-space": "a state-space network",
    "other": "a network",
}
_READS = {"text": "text", "vision": "images", "audio": "sound"}
_NORM_POSITIONS = {"before": "before each branch", "after": "after each addition", "end": "at the end of each branch"}
_UNITS = (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3))


def short(value: int) -> str:
    """A number to three digits with k, M, B or T."""
    for letter, size in _UNITS:
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return str(value)


def in_bytes(value: float) -> str:
    """A number of bytes with KiB, MiB, GiB or TiB."""
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"


def sentences(numbers: NetworkNumbers, facts: dict[str, Any]) -> list[str]:
    """A network in sentences.

    Args:
        numbers: the network.
        facts: its `summary`.
    """
    told = [_opening(numbers, facts)]
    told += [_tower(numbers, i) for i in range(min(len(numbers.towers), 4))] if numbers.whole else []
    told += [text for text in (_positions(numbers), _ends(numbers), _cost(facts)) if text]
    if numbers.graph.incomplete:
        told.append(f"The graph misses {', '.join(numbers.graph.incomplete)}.")
    return told


def _opening(numbers: NetworkNumbers, facts: dict[str, Any]) -> str:
    what = _FAMILIES[facts["family"]]
    if numbers.kind:
        what = f"{'an' if numbers.kind.startswith('encoder') else 'a'} {numbers.kind} {what.removeprefix('a ')}"
    reads = [_READS[m] for m in dict.fromkeys(t.modality for t in numbers.towers) if m in _READS]
    reading = f" that reads {' and '.join(reads)}" if reads and numbers.whole else ""
    return f"{facts['name']} is {what}{reading}, with {short(facts['parameters'])} parameters."


def _tower(numbers: NetworkNumbers, index: int) -> str:
    facts, name = numbers.towers[index].facts, numbers.tower_names[index]
    subject = f"The {name}" if name and len(numbers.towers) > 1 else "It"
    layers = facts["layers"]
    convolutional = facts["kernel"] and not _any(facts["heads"])
    unit = "residual block" if convolutional else "layer"
    count = sum(layers) if isinstance(layers, tuple) else layers
    parts = [f"{subject} has {count} {unit}{'s' if count != 1 else ''}"]
    if isinstance(layers, tuple):
        parts[0] += f" in {len(layers)} stages ({_listed(layers)})"
    if _any(facts["width"]):
        parts.append(f"{'channels' if convolutional else 'hidden size'} {_listed(facts['width'])}")
    parts += _attention(facts) + _branches(facts)
    return ", ".join(parts) + "."


def _attention(facts: dict[str, Any]) -> list[str]:
    if not _any(facts["heads"]):
        return []
    text = f"{_listed(facts['heads'])} attention heads"
    if facts["kv_heads"] != facts["heads"] and _any(facts["kv_heads"]):
        text += f" sharing {_listed(facts['kv_heads'])} of keys and values"
    if _any(facts["head_size"]):
        text += f" of size {_listed(facts['head_size'])}"
    parts = [text]
    if isinstance(facts["window"], tuple):
        parts += [f"a window of {w:,} tokens in {n} of the layers" for w, n in facts["window"] if w]
    elif facts["window"]:
        parts.append(f"a sliding window of {facts['window']:,} tokens")
    return [*parts, "cross-attention"] if facts["cross"] else parts


def _branches(facts: dict[str, Any]) -> list[str]:
    parts = []
    if facts["experts"]:
        active = f", {facts['top_k']} for each token" if facts["top_k"] else ""
        parts.append(f"{facts['experts']} experts{active}")
    if _any(facts["intermediate"]):
        gated = "gated " if facts["gated"] else ""
        kind = "inner width" if facts["kernel"] and not _any(facts["heads"]) else f"{gated}feed-forward size"
        parts.append(f"{'a ' if gated else ''}{kind} {_listed(facts['intermediate'])}")
    if facts["kernel"] and not _any(facts["heads"]):
        parts.append(f"kernels {', '.join(facts['kernel'])}")
    if facts["activation"]:
        parts.append(" and ".join(facts["activation"]))
    if facts["normalization"]:
        where = _NORM_POSITIONS.get(facts["norm_position"], "")
        parts.append(f"{' and '.join(facts['normalization'])}{' ' if where else ''}{where}")
    return parts


def _positions(numbers: NetworkNumbers) -> str:
    parts = []
    vocabulary, positions = numbers.number("vocabulary").value, numbers.number("positions").value
    if vocabulary:
        parts.append(f"a vocabulary of {_listed(vocabulary)} tokens")
    if positions:
        parts.append(f"{_listed(positions)} learned positions")
    if holds(numbers, "rotary position embeddings").value:
        parts.append("rotary position embeddings")
    patch = numbers.number("patch").value
    if patch:
        parts.append(f"patches of {' and '.join(f'{p}x{p}' for p in patch)} pixels")
    return f"It has {_joined(parts)}." if parts else ""


def _ends(numbers: NetworkNumbers) -> str:
    if not numbers.whole or numbers.towers:
        return ""
    counts = [f"{count} {kind}" for kind, count in list(numbers.facts.layer_counts().items())[:6]]
    return f"Its layers are {_joined(counts)}." if counts else ""


def _cost(facts: dict[str, Any]) -> str:
    parts = []
    if facts["flops"]:
        parts.append(f"A forward pass takes {short(facts['flops'])} FLOPs ({sizes_text(facts['sizes'])})")
    if facts["kv_cache_bytes_per_token"]:
        cache = f"{in_bytes(facts['kv_cache_bytes_per_token'])} of keys and values for each token in {facts['dtype']}"
        parts.append(f"{'it keeps' if parts else 'It keeps'} {cache}")
    return f"{'; '.join(parts)}." if parts else ""


def sizes_text(sizes: dict[str, Any]) -> str:
    """The sizes of a forward pass, as `batch 1, sequence 128`."""
    return ", ".join(f"{axis} {_size(axis, value)}" for axis, value in sizes.items())


def _size(axis: str, value: Any) -> str:
    if axis == "image" and isinstance(value, int):
        side = round(value**0.5)
        return f"{side}x{side}" if side * side == value else f"{value:,} pixels"
    return "x".join(map(str, value)) if isinstance(value, (tuple, list)) else f"{value:,}"


def _any(value: Any) -> bool:
    return any(value) if isinstance(value, tuple) else bool(value)


def _listed(value: Any) -> str:
    return ", ".join(f"{v:,}" for v in value) if isinstance(value, tuple) else f"{value:,}"


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
