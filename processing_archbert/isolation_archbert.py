"""`run_isolated`: a function in a child process with limits; `extract_isolated`: the same for one that gives a graph.

* The child is forked from a warm server (`isolation_server_archbert`) that this process starts at its first call and
  that ends with it: no new interpreter and no import for each call. Where forking is not safe (Windows, macOS), each
  call starts a new interpreter instead; on Windows memory is not limited.
* Limits of wall time, memory and size of the result; whatever the child started is killed with it.
* Arguments and results are plain data. What comes back is read as JSON or bytes, never unpickled.
* Everything that goes wrong in the child is an ordinary error here: the child's own error, a limit, or a crash.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from .architecture_graph_archbert import ArchitectureGraph, ArchitectureGraphError
from .isolation_call_archbert import (
    MEMORY_LIMIT,
    RESULT_LIMIT,
    TIME_LIMIT,
    ArchitectureLimitError,
    Call,
    Limits,
    can_fork,
    child_environment,
    memory_error,
    run_in_new_interpreter,
    running_server,
    search_path,
)
from .isolation_server_archbert import BYTES_RESULT, ERROR_RESULT, NUMBER, decode, encode, is_isolated, resolve
from .source_errors_archbert import ArchitectureSourceError, ArchitectureSourceWarning
from .tracing_archbert import ArchitectureTraceError

_ERRORS: dict[str, type[Exception]] = {
    "ArchitectureGraphError": ArchitectureGraphError,
    "ArchitectureLimitError": ArchitectureLimitError,
    "ArchitectureSourceError": ArchitectureSourceError,
    "ArchitectureTraceError": ArchitectureTraceError,
}
_log = logging.getLogger(__name__)


class IsolatedError(Exception):
    """The cause of an error in a child process, in one line; stands as `__cause__` of the error raised here."""


def run_isolated(
    function: str | Callable[..., Any],
    *args: Any,
    time_limit: float | None = TIME_LIMIT,
    memory_limit: int | None = MEMORY_LIMIT,
    result_limit: int = RESULT_LIMIT,
    network: bool = False,
    label: str = "",
    **kwargs: Any,
) -> Any:
    """The result of `function(*args, **kwargs)`, computed in a child process.

    Inside such a child the function is called directly: its limits hold already.

    Args:
        function: `"module:name"`, or a function that can be imported by these; not one of `__main__`.
        *args: plain data: dictionaries with string keys, lists, strings, bytes, paths, numbers, booleans, None.
        time_limit: seconds of wall time; None for no limit.
        memory_limit: bytes that may be allocated; None for no limit.
        result_limit: bytes that the result may have.
        network: whether the network may be used. Environment variables that hold tokens are passed on only then.
        label: what errors call the call; by default the function with its first arguments.
        **kwargs: as `args`.

    Returns:
        The bytes that the function returned, or its plain data, through JSON (tuples become lists).

    Warns:
        ArchitectureSourceWarning: the function gave such a warning; others are not passed on.

    Raises:
        ArchitectureLimitError: a limit was reached.
        ArchitectureTraceError: the child crashed, or the function raised an error that is not of this library.
        ArchitectureSourceError, ArchitectureGraphError: raised by the function.
        TypeError, ValueError: function, arguments or limits are not allowed.
    """
    limits = Limits(time_limit, memory_limit, result_limit, network)
    return _run(function_path(function), args, kwargs, limits, label)


def extract_isolated(
    function: str | Callable[..., Any],
    *args: Any,
    time_limit: float | None = TIME_LIMIT,
    memory_limit: int | None = MEMORY_LIMIT,
    network: bool = False,
    **kwargs: Any,
) -> ArchitectureGraph:
    """The `ArchitectureGraph` that `function(*args, **kwargs)` returns, computed in a child process.

    The graph comes back as JSON and is validated here. Arguments and errors: see `run_isolated`.
    """
    limits = Limits(time_limit, memory_limit, network=network)
    path = function_path(function)
    data = _run(f"{__name__}:graph_json", (path, *args), kwargs, limits, _label(path, args))
    return ArchitectureGraph.from_json(data)


def graph_json(path: str, *args: Any, **kwargs: Any) -> bytes:
    """JSON bytes of the graph that the function `path` (`"module:name"`) returns."""
    return resolve(path)(*args, **kwargs).to_json().encode()


def start_isolation() -> None:
    """Starts the server of this process without waiting for it, so that the first call finds it warm."""
    if can_fork() and not is_isolated():
        running_server()


def function_path(function: str | Callable[..., Any]) -> str:
    """`"module:name"` of a function.

    Raises:
        TypeError: it cannot be imported by a name.
    """
    if isinstance(function, str):
        module, _, name = function.partition(":")
    else:
        module, name = getattr(function, "__module__", None) or "", getattr(function, "__qualname__", "")
    if not module or not name or module == "__main__" or "<" in name:
        raise TypeError(
            f"{function!r} cannot be run in a child process, which imports it by name; a function of a module, or "
            'its name as "module:name", is allowed.'
        )
    return f"{module}:{name}"


def _label(path: str, args: tuple[Any, ...]) -> str:
    shown = ", ".join(repr(arg)[:80] for arg in args[:2])
    return f"{path.rpartition(':')[2]}({shown})"


def _run(path: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], limits: Limits, label: str = "") -> Any:
    if is_isolated():
        result = resolve(path)(*args, **kwargs)
        return bytes(result) if isinstance(result, (bytes, bytearray)) else decode(encode(result))
    try:
        folder = os.getcwd()
    except OSError:
        folder = ""
    request = encode({
        "function": path, "args": args, "kwargs": kwargs, "path": search_path(), "folder": folder,
        "environment": child_environment(limits.network), "network": limits.network,
        "memory_limit": limits.memory_limit,
    })  # fmt: skip
    label = label or _label(path, args)
    if not can_fork():
        return _result(*run_in_new_interpreter(request, limits, label), limits, label)
    call = Call(limits, label)
    return _result(call.run(request), call.text(), limits, label)


def _without_warnings(reply: bytes) -> bytes:
    """The data of a reply; warnings of this library that stand before it are given here."""
    start = 1 + NUMBER.size
    end = start + NUMBER.unpack_from(reply, 1)[0] if len(reply) >= start else start
    try:
        for text in decode(reply[start:end]):
            warnings.warn(str(text), ArchitectureSourceWarning, stacklevel=5)
    except (TypeError, ValueError, RecursionError):
        return b""
    return reply[end:]


def _result(reply: bytes, output: str, limits: Limits, label: str) -> Any:
    """The value in a reply; an error in it is raised."""
    if output:
        _log.debug("output of %s: %s", label, output)
    kind, data = reply[:1], _without_warnings(reply)
    if kind == BYTES_RESULT:
        return data
    try:
        value = decode(data)
    except (ValueError, RecursionError) as error:
        raise ArchitectureTraceError(f"{label} sent a result that cannot be read: {str(error)[:200]}") from None
    if kind != ERROR_RESULT:
        return value
    value = value if isinstance(value, dict) else {}
    details = {key: str(value.get(key) or "") for key in ("type", "message", "cause", "no_memory")}
    cause = IsolatedError(details["cause"]) if details["cause"] else None
    if details["no_memory"]:
        raise memory_error(limits, label) from (cause or IsolatedError(f"{details['type']}: {details['message']}"))
    if details["type"] in _ERRORS:
        raise _ERRORS[details["type"]](details["message"]) from cause
    raise ArchitectureTraceError(f"{label} failed: {details['type']}: {details['message']}") from cause
