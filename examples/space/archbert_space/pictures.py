"""Pictures of networks as SVG, drawn in a child process: a layout that takes too long is killed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.isolation_archbert import run_isolated
from processing_archbert.isolation_call_archbert import ArchitectureLimitError
from processing_archbert.tracing_archbert import ArchitectureTraceError

from .limits import Limits
from .networks import DemoError, Network

AUTO = 0
"""The level of detail at which a picture opens as many parts as stay readable."""
MAX_DETAIL = 8
_KEPT = 128
_MIB = 2**20


class Pictures:
    """Draws networks, and keeps the last pictures.

    Args:
        limits: of boxes, time and memory.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._kept: OrderedDict[Any, Any] = OrderedDict()
        self._lock = threading.Lock()

    def network(self, network: Network, detail: int = AUTO, nodes: tuple[int, ...] = ()) -> str:
        """The SVG of a network.

        Args:
            network: the network.
            detail: levels of parts that are opened; 0 for what is readable.
            nodes: evidence, which is marked.

        Raises:
            DemoError: it cannot be drawn at this level of detail, or not within the limits.
        """
        detail = _checked(detail)

        def draw() -> Any:
            return self._run("draw_plain", network.graph.to_dict(), detail, list(nodes), self.limits.boxes)

        return str(self._remembered((network.key, detail, nodes), draw))

    def difference(self, first: Network, second: Network, detail: int = AUTO) -> Mapping[str, Any]:
        """What changed from one network to another: `verdict`, `likeness`, `lines`, `notes` and `svg`.

        `svg` is empty where it cannot be drawn, and `picture` then says why.

        Raises:
            DemoError: comparing took more time or memory than is allowed.
        """
        detail = _checked(detail)

        def compare() -> Any:
            return self._run("diff_plain", first.graph.to_dict(), second.graph.to_dict(), detail, self.limits.boxes)

        found: Mapping[str, Any] = self._remembered((first.key, second.key, detail), compare)
        return found

    def _run(self, function: str, *args: Any) -> Any:
        limits: dict[str, Any] = {"time_limit": self.limits.seconds, "memory_limit": self.limits.memory_mib * _MIB}
        label = "Drawing the network" if function == "draw_plain" else "Comparing the networks"
        try:
            return run_isolated(f"{__name__}:{function}", *args, **limits, label=label)
        except ArchitectureLimitError as error:
            raise DemoError(self.limits.reached(label, "more memory" in str(error))) from error
        except (ValueError, ArchitectureTraceError) as error:
            raise DemoError(str(error).removeprefix(f"{label} failed: PictureError: ")) from error

    def _remembered(self, key: Any, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def _checked(detail: Any) -> int:
    if isinstance(detail, bool) or not isinstance(detail, (int, float)) or not AUTO <= detail <= MAX_DETAIL:
        raise DemoError(f"The level of detail is {detail!r}; {AUTO} (what is readable) to {MAX_DETAIL} are allowed.")
    return int(detail)


def draw_plain(graph: Mapping[str, Any], detail: int, nodes: list[int], boxes: int) -> str:
    """What the child process runs to draw: a graph as a dictionary to SVG."""
    depth: int | str = detail if detail else "auto"
    return ArchitectureGraph.from_dict(graph).draw(depth=depth, highlight=nodes or None, max_boxes=boxes)


def diff_plain(first: Mapping[str, Any], second: Mapping[str, Any], detail: int, boxes: int) -> dict[str, Any]:
    """What the child process runs to compare; see `Pictures.difference`."""
    from processing_archbert.graph_diff_archbert import diff
    from processing_archbert.graph_outline_archbert import PictureError

    found = diff(ArchitectureGraph.from_dict(first), ArchitectureGraph.from_dict(second))
    svg, picture = "", ""
    try:
        svg = found.draw(depth=detail if detail else "auto", max_boxes=boxes)
    except PictureError as error:
        picture = str(error)
    heading, *lines = str(found).splitlines()
    return {"verdict": found.verdict, "likeness": round(found.likeness, 4), "heading": heading,
            "lines": [line.removeprefix("- ") for line in lines], "svg": svg, "picture": picture}  # fmt: skip
