"""One call of `run_isolated` from the caller's side: the server of this process, limits, and what can go wrong."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from .isolation_server_archbert import NUMBER, children_of, means_no_memory, memory_status
from .tracing_archbert import ArchitectureTraceError

TIME_LIMIT = 600.0
MEMORY_LIMIT = 8 << 30
RESULT_LIMIT = 64 << 20

_START_SECONDS = 300.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_MAX_OUTPUT = 1 << 16
_SHOWN_OUTPUT = 300
_MAX_HEADER = 1 << 16
_SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY", "APIKEY", "ACCESS_KEY",
                 "PRIVATE_KEY")  # fmt: skip


class ArchitectureLimitError(ArchitectureTraceError):
    """A limit of an isolated call was reached: names the limit, its value and the argument that raises it."""


@dataclass(frozen=True)
class Limits:
    """What an isolated call may use.

    Args:
        time_limit: seconds of wall time; None for no limit.
        memory_limit: bytes that the call may allocate, with whatever it starts; None for no limit.
        result_limit: bytes of its result.
        network: whether it may use the network, and sees tokens in the environment.
    """

    time_limit: float | None = TIME_LIMIT
    memory_limit: int | None = MEMORY_LIMIT
    result_limit: int = RESULT_LIMIT
    network: bool = False

    def __post_init__(self) -> None:
        for name, least in (("time_limit", 0.0), ("memory_limit", 0), ("result_limit", 0)):
            value = getattr(self, name)
            if value is None and name != "result_limit":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > least:
                raise ValueError(f"{name} is {value!r}; a number above 0 is allowed.")


def memory_error(limits: Limits, label: str) -> ArchitectureLimitError:
    """The error of a call that needed more memory than it may use."""
    return ArchitectureLimitError(
        f"{label} needed more memory than memory_limit={limits.memory_limit} bytes and was stopped; a larger "
        "memory_limit can be passed."
    )


def _time_error(limits: Limits, label: str) -> ArchitectureLimitError:
    return ArchitectureLimitError(
        f"{label} took longer than time_limit={limits.time_limit:g} seconds and was stopped; a larger time_limit can "
        "be passed."
    )


def _size_error(limits: Limits, label: str) -> ArchitectureLimitError:
    return ArchitectureLimitError(
        f"The result of {label} is larger than result_limit={limits.result_limit} bytes; a larger result_limit can be "
        "passed to run_isolated."
    )


def _crash_error(label: str, reason: str, output: str) -> ArchitectureTraceError:
    last = " ".join(output.split())[-_SHOWN_OUTPUT:]
    said = f" Its last output: {last}" if last else ""
    return ArchitectureTraceError(f"{label} crashed its child process, which {reason}.{said}")


def search_path() -> list[str]:
    """Where this process looks for modules, so that a child finds the same."""
    return [os.fspath(entry) for entry in sys.path if isinstance(entry, (str, os.PathLike))]


def child_environment(network: bool) -> dict[str, str]:
    """The environment of a child: without variables that hold secrets, unless it may use the network."""
    return {k: v for k, v in os.environ.items() if network or not any(word in k.upper() for word in _SECRET_WORDS)}


def can_fork() -> bool:
    """Whether a server can be used: elsewhere, forking a process that has loaded torch is not safe or not possible."""
    return sys.platform == "linux" and hasattr(os, "fork") and hasattr(socket, "send_fds")


def _start_code(call: str) -> str:
    """Python code of a new interpreter that imports this package from its own folder and calls the other side.

    A package inside others (remote code of a Hub repository) is found through packages made on the spot.
    """
    package, path = __name__.rpartition(".")[0], search_path()
    folder = Path(__file__).parent
    parents: list[tuple[str, list[str]]] = []
    if "." in package or not (folder / "__init__.py").exists():
        parts = package.split(".")
        for name in (".".join(parts[: i + 1]) for i in range(len(parts))):
            found = [str(p) for p in getattr(sys.modules.get(name), "__path__", [])]
            parents.append((name, [str(folder), *found] if name == package else found))
    elif str(folder.parent) not in path:
        path.insert(0, str(folder.parent))
    return (
        f"import sys\nsys.path[:] = {path!r}\nimport importlib, types\n"
        f"for name, folders in {parents!r}:\n"
        "    sys.modules[name] = types.ModuleType(name)\n"
        "    sys.modules[name].__path__ = folders\n"
        f"importlib.import_module({f'{package}.isolation_server_archbert'!r}).{call}"
    )


# The server's client


class _Process:
    """The server of this process: its socket, under a lock, and its process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _start_code(f"serve({theirs.fileno()})")],
                stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors, pass_fds=[theirs.fileno()],
                env=child_environment(False) | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                start_new_session=True,
            )  # fmt: skip

    def send(self, descriptors: list[int]) -> None:
        """Hands the descriptors of one call to the server."""
        with self.lock:
            socket.send_fds(self.socket, [b"c"], descriptors)

    def alive(self) -> bool:
        """Whether the server runs."""
        return self.process.poll() is None

    def said(self) -> str:
        """The end of what the server wrote, for the message of an error."""
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - _MAX_OUTPUT))
        return self.errors.read().decode(errors="replace")

    def forget(self) -> None:
        """In a forked copy of this process: leaves the server to the original."""
        self.process.returncode = 0
        self.socket.close()


_guard = threading.Lock()
_current: _Process | None = None


def running_server() -> _Process:
    """The running server of this process; starts one where there is none."""
    global _current
    with _guard:
        if _current is None or not _current.alive():
            if not sys.executable:
                raise ArchitectureTraceError("no child process can be started: sys.executable is empty.")
            try:
                _current = _Process()
            except OSError as error:
                raise ArchitectureTraceError(f"no child process can be started: {error}") from error
        return _current


def _forget_server() -> None:
    global _current, _guard
    _guard = threading.Lock()
    if _current is not None:
        _current.forget()
        _current = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_server)


class Call:
    """One call: sends the request, watches time, memory and size, and returns the reply."""

    def __init__(self, limits: Limits, label: str) -> None:
        self.limits = limits
        self.label = label
        self.pid = 0
        self.base_memory = 0
        self.deadline: float | None = None
        self.reply = bytearray()
        self.output = bytearray()
        self.status = bytearray()

    def text(self) -> str:
        """The end of what the child wrote to its standard output and error."""
        return self.output.decode(errors="replace")

    def run(self, request: bytes) -> bytes:
        """The reply of the child: one byte for its kind, and the result."""
        with contextlib.ExitStack() as stack:
            ends = [end for pair in (socket.socketpair() for _ in range(3)) for end in pair]
            for end in ends:
                stack.enter_context(end)
            control, channel, output = ends[::2]
            with os.fdopen(os.memfd_create("request"), "wb", buffering=0) as file:
                view = memoryview(request)
                while view:
                    view = view[file.write(view) :]
                server = self._send([ends[1].fileno(), ends[3].fileno(), file.fileno(), ends[5].fileno()])
            for end in ends[1::2]:
                end.close()
            try:
                self._start(control, server)
                self._watch(control, channel, output)
            finally:
                self._stop(control)
            return self._finished()

    def _send(self, descriptors: list[int]) -> _Process:
        for _ in range(2):
            server = running_server()
            try:
                server.send(descriptors)
                return server
            except OSError:  # it has just ended: the next round starts another
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.process.wait(1.0)
        raise ArchitectureTraceError(f"{self.label} cannot be run: the server of child processes does not answer.")

    def _start(self, control: socket.socket, server: _Process) -> None:
        """Waits until the child is there; the time that the server needs to start does not count."""
        control.settimeout(_START_SECONDS)
        try:
            data = control.recv(NUMBER.size, socket.MSG_WAITALL)
        except TimeoutError:
            data = b""
        if len(data) < NUMBER.size:
            raise _crash_error(self.label, "could not be started", server.said())
        self.pid = NUMBER.unpack(data)[0]
        self.base_memory = self._memory()
        if self.limits.time_limit is not None:
            self.deadline = time.monotonic() + self.limits.time_limit

    def _watch(self, control: socket.socket, channel: socket.socket, output: socket.socket) -> None:
        """Reads until the reply is complete or the child has ended, or raises when a limit is reached."""
        poll = select.poll()
        targets = {control.fileno(): (control, self.status), channel.fileno(): (channel, self.reply),
                   output.fileno(): (output, self.output)}  # fmt: skip
        for end, _ in targets.values():
            end.setblocking(False)
            poll.register(end, select.POLLIN)
        measured = time.monotonic()
        while len(self.status) < NUMBER.size and not self._is_complete():
            ready = poll.poll(self._wait_milliseconds())
            for number, _ in ready:
                if not self._read(*targets[number]):
                    poll.unregister(number)
                    if number == control.fileno():
                        return
            now = time.monotonic()
            if self.deadline is not None and now > self.deadline:
                raise _time_error(self.limits, self.label)
            if now - measured > _POLL_SECONDS:
                measured = now
                self._check_memory()
        for end, buffer in targets.values():
            while self._read(end, buffer, default=False):
                pass

    def _wait_milliseconds(self) -> float:
        left = _POLL_SECONDS if self.deadline is None else min(_POLL_SECONDS, self.deadline - time.monotonic())
        return max(1.0, 1000 * left)

    def _read(self, end: socket.socket, buffer: bytearray, default: bool = True) -> bool:
        """Reads what is there; whether there may be more. `default` is the answer when nothing is there yet."""
        try:
            data = end.recv(1 << 20)
        except BlockingIOError:
            return default
        except OSError:
            return False
        buffer += data
        if buffer is self.reply and len(buffer) > self.limits.result_limit + _MAX_HEADER:
            raise _size_error(self.limits, self.label)
        if buffer is self.output and len(buffer) > _MAX_OUTPUT:
            del buffer[:-_MAX_OUTPUT]
        return bool(data)

    def _memory(self) -> int:
        """Bytes that the child and its descendants hold alone."""
        total, stack = 0, [self.pid]
        while stack:
            pid = stack.pop()
            rows = memory_status(pid)
            total += sum(rows.get(key, 0) for key in ("RssAnon", "RssShmem", "VmSwap"))
            stack += children_of(pid)
        return total

    def _check_memory(self) -> None:
        limit = self.limits.memory_limit
        if limit is not None and self._memory() - self.base_memory > limit:
            raise memory_error(self.limits, self.label)

    def _stop(self, control: socket.socket) -> None:
        """Has the child killed; waits until it is gone, unless it has done its work."""
        if len(self.status) >= NUMBER.size or self._is_complete():
            return
        with contextlib.suppress(OSError):
            control.shutdown(socket.SHUT_WR)
            control.settimeout(_STOP_SECONDS)
            while control.recv(NUMBER.size):
                pass

    def _is_complete(self) -> bool:
        size = len(self.reply) - NUMBER.size
        return size > 0 and size >= NUMBER.unpack_from(self.reply)[0]

    def _finished(self) -> bytes:
        if self._is_complete():
            return bytes(self.reply[NUMBER.size :])
        text = self.text()
        if means_no_memory(text):
            raise memory_error(self.limits, self.label)
        status = NUMBER.unpack_from(self.status)[0] if len(self.status) >= NUMBER.size else -1
        raise _crash_error(self.label, _ending(status), text)


def _ending(status: int) -> str:
    """How a process ended, from its wait status."""
    if status < 0:
        return "was lost with its server"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit code {code} before it had a result"
    hint = ", perhaps because the machine ran out of memory" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"


# Without a server


def run_in_new_interpreter(request: bytes, limits: Limits, label: str) -> tuple[bytes, str]:
    """The reply and the output of a call in an interpreter of its own."""
    environment = child_environment(limits.network) | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", _start_code("serve_once()")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=environment, start_new_session=os.name == "posix",
    )  # fmt: skip
    try:
        reply, errors = process.communicate(request, timeout=limits.time_limit)
    except subprocess.TimeoutExpired:
        raise _time_error(limits, label) from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL) if os.name == "posix" else process.kill()
        process.wait()
    output = errors[-_MAX_OUTPUT:].decode(errors="replace")
    if len(reply) <= NUMBER.size or len(reply) != NUMBER.size + NUMBER.unpack_from(reply)[0]:
        if means_no_memory(output):
            raise memory_error(limits, label)
        raise _crash_error(label, f"ended with exit code {process.returncode}", output)
    if len(reply) > limits.result_limit + _MAX_HEADER:
        raise _size_error(limits, label)
    return reply[NUMBER.size :], output
