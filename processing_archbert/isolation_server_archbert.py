"""The other side of `run_isolated`: a warm server process that forks one child for each call, and what a child does.

* The server holds the imported libraries and nothing else: it computes nothing, starts no thread and reads nothing of
  a child. It forks, waits, kills, and ends with the process that started it. One child is always forked ahead.
* A child leads a session of its own, has no standard input and, unless asked for, no network; its output goes to a
  pipe, its result to a socket, as bytes with a length. Its memory is limited by the system.
* Where processes cannot be forked safely (Windows, macOS), `serve_once` does one call in a new interpreter.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NUMBER = struct.Struct("<q")
JSON_RESULT, BYTES_RESULT, ERROR_RESULT = b"J", b"B", b"E"

_BYTES_KEY = "__bytes__"
_PRELOADED = ("tracing_archbert", "sources_archbert")
_PARENT_CHECK_SECONDS = 1.0
_MAX_MESSAGE = 20_000
_MAX_CAUSE = 500
_PASSED_WARNING = "ArchitectureSourceWarning"
_MAX_FILE_BYTES = 1 << 30
_KILL_ROUNDS = 20
_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36  # prctl
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # unshare
_NETWORK_EVENTS = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
                   "socket.gethostbyname", "socket.gethostbyaddr")  # fmt: skip
_MEMORY_WORDS = ("can't allocate memory", "not enough memory", "bad_alloc", "bad allocation", "MemoryError")

_in_child = False


def is_isolated() -> bool:
    """Whether this process is the child of a call of `run_isolated`."""
    return _in_child


def encode(value: Any) -> bytes:
    """JSON bytes of plain data; `bytes` and paths are allowed inside.

    Raises:
        TypeError, ValueError: something inside is no plain data.
    """

    def plain(item: Any) -> Any:
        if isinstance(item, (bytes, bytearray)):
            return {_BYTES_KEY: base64.b64encode(item).decode()}
        if isinstance(item, os.PathLike):
            return os.fspath(item)
        raise TypeError(f"{type(item).__name__} is no plain data (dict, list, str, bytes, number, bool or None)")

    return json.dumps(value, default=plain).encode()


def decode(data: bytes) -> Any:
    """The value of `encode`; tuples come back as lists, keys of dictionaries as strings.

    Raises:
        ValueError, RecursionError: no JSON.
    """

    def special(item: dict[str, Any]) -> Any:
        if item.keys() == {_BYTES_KEY} and isinstance(item[_BYTES_KEY], str):
            return base64.b64decode(item[_BYTES_KEY])
        return item

    return json.loads(data, object_hook=special)


def means_no_memory(text: str) -> bool:
    """Whether a message of Python, torch or the C++ library says that memory could not be had."""
    return any(words in text for words in _MEMORY_WORDS)


def resolve(path: str) -> Callable[..., Any]:
    """The function that `"module:name"` names.

    Raises:
        ImportError, AttributeError: there is no such function.
    """
    module, _, name = path.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


# One call


def execute(request: dict[str, Any]) -> bytes:
    """Runs the function of a request.

    Returns:
        A byte for the kind of result, the length of a list of this library's warnings, the list, and the result.
    """
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        kind, data = _outcome(request)
    texts = [str(w.message)[:_MAX_MESSAGE] for w in given if w.category.__name__ == _PASSED_WARNING]
    passed = encode(list(dict.fromkeys(texts)))
    return kind + NUMBER.pack(len(passed)) + passed + data


def _outcome(request: dict[str, Any]) -> tuple[bytes, bytes]:
    try:
        result = resolve(request["function"])(*request["args"], **request["kwargs"])
        if isinstance(result, (bytes, bytearray)):
            return BYTES_RESULT, bytes(result)
        return JSON_RESULT, encode(result)
    except BaseException as error:
        return ERROR_RESULT, encode(_described(error))


def _described(error: BaseException) -> dict[str, Any]:
    chain = list(_causes(error))
    no_memory = any(isinstance(e, MemoryError) or means_no_memory(str(e)[:_MAX_MESSAGE]) for e in chain)
    cause = f"{type(chain[1]).__name__}: {_first_line(chain[1])}" if len(chain) > 1 else ""
    return {
        "type": type(error).__name__,
        "message": str(error)[:_MAX_MESSAGE],
        "cause": cause[:_MAX_CAUSE],
        "no_memory": no_memory,
    }


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    for _ in range(_KILL_ROUNDS):
        if current is None:
            return
        yield current
        current = current.__cause__ or current.__context__


def _first_line(error: BaseException) -> str:
    return (str(error)[:_MAX_MESSAGE].strip().splitlines() or [""])[0]


def _prepare(request: dict[str, Any]) -> None:
    """Sets up a child: folder, environment, network and memory."""
    global _in_child
    _in_child = True
    sys.path[:] = request["path"]
    if request["folder"]:
        with contextlib.suppress(OSError):
            os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if not request["network"]:
        _leave_network()
    if request["memory_limit"]:
        _limit_memory(request["memory_limit"])


def _leave_network() -> None:
    """Takes the network away: by the system where it lets us, and from Python everywhere."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        user, group = os.getuid(), os.getgid()
        if library.unshare(_NEW_NETWORK) != 0 and library.unshare(_NEW_USER | _NEW_NETWORK) == 0:
            with contextlib.suppress(OSError):
                Path("/proc/self/setgroups").write_text("deny")
                Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
                Path("/proc/self/gid_map").write_text(f"{group} {group} 1")

    def refuse(event: str, args: tuple[Any, ...]) -> None:
        if event in _NETWORK_EVENTS and getattr(args[0], "family", None) != getattr(socket, "AF_UNIX", -1):
            raise PermissionError("there is no network in an isolated call; network=True allows it")

    sys.addaudithook(refuse)


def _limit_memory(limit: int) -> None:
    """Limits what this process may allocate from now on to `limit` bytes, and its files and core dumps."""
    try:
        import resource
    except ImportError:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))
    with contextlib.suppress(OSError, ValueError):
        # Private writable memory, which is what grows; address space (RLIMIT_AS) also counts mapped libraries.
        used = memory_status(os.getpid()).get("VmData", 0)
        resource.setrlimit(resource.RLIMIT_DATA, (used + limit, used + limit))


def memory_status(pid: int) -> dict[str, int]:
    """Bytes of the `Vm` and `Rss` rows of /proc/PID/status; empty where there are none."""
    try:
        rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (OSError, ValueError):
        return {}
    fields = [row.split() for row in rows if row.startswith(("Vm", "Rss"))]
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in fields if len(words) == 3}


def _answer_call(channel: int, request: int, output: int) -> None:
    """Does one call in a forked child: request from a file, output to a socket, reply to another."""
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(output)
    with open(request, "rb") as file:
        file.seek(0)
        details = decode(file.read())
    _prepare(details)
    reply = execute(details)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    with socket.socket(fileno=channel) as answer:
        answer.sendall(NUMBER.pack(len(reply)) + reply)


def serve_once() -> None:
    """One call in this interpreter: the request from standard input, the reply to standard output."""
    data = sys.stdin.buffer.read()
    reply = os.dup(1)
    os.dup2(2, 1)
    request = decode(data)
    _prepare(request)
    result = execute(request)
    with open(reply, "wb") as file:
        file.write(NUMBER.pack(len(result)) + result)
    sys.stdout.flush()
    os._exit(0)


# The server


def serve(descriptor: int) -> None:
    """Forks a child for each message on the socket `descriptor`, until the process at its other end is gone."""
    _preload()
    _Server(socket.socket(fileno=descriptor)).run()


def _preload() -> None:
    """Imports what calls need and traces two small networks, so that what is imported late is there as well."""
    package = __name__.rpartition(".")[0]
    loaded = {}
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            loaded[name] = importlib.import_module(f"{package}.{name}")
    from torch import nn, set_num_threads
    from transformers import BertConfig

    set_num_threads(1)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    if "tracing_archbert" in loaded:
        for network in (nn.Sequential(nn.Linear(2, 2)), BertConfig(vocab_size=8, **small)):
            with contextlib.suppress(Exception):
                loaded["tracing_archbert"].trace(network)
    gc.collect()
    gc.freeze()


class _Server:
    """The loop of the server; one thread, no computation.

    Args:
        control: the socket on which calls come in, each as one byte with four descriptors: the call's own control
            socket, the socket for its result, the file with its request, and the socket for its output.
    """

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.calls: dict[int, socket.socket] = {}
        self.spare: tuple[int, socket.socket] | None = None
        self.parent = os.getppid()
        self.selector = selectors.DefaultSelector()
        self.libc = ctypes.CDLL(None)
        self.libc.prctl(_SET_SUBREAPER, 1, 0, 0, 0)
        self.wake, wake_end = socket.socketpair()
        self.wake_end = wake_end
        for end in (self.wake, wake_end):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_end.fileno(), warn_on_full_buffer=False)
        self.selector.register(control, selectors.EVENT_READ, "control")
        self.selector.register(self.wake, selectors.EVENT_READ, "wake")

    def run(self) -> None:
        """Serves until the parent is gone, then kills what still runs."""
        try:
            self._fork()
            while os.getppid() == self.parent:
                for key, _ in self.selector.select(_PARENT_CHECK_SECONDS):
                    if key.data == "wake":
                        with contextlib.suppress(BlockingIOError):
                            self.wake.recv(4096)
                    elif key.data == "control":
                        if not self._accept():
                            return
                    else:
                        self.selector.unregister(key.fileobj)
                        self._kill(key.data)
                self._reap()
        finally:
            for pid in list(self.calls):
                self._kill(pid)
            os._exit(0)

    def _accept(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self.control, 1, 4)
        if not message or len(descriptors) != 4:
            return False
        call = socket.socket(fileno=descriptors[0])
        try:
            self._hand_over(call, descriptors[1:])
        except OSError:  # no process can be forked: the caller sees its socket closed
            call.close()
        finally:
            for descriptor in descriptors[1:]:
                os.close(descriptor)
        with contextlib.suppress(OSError):  # after the descriptors of this call are closed
            if self.spare is None:
                self._fork()
        return True

    def _hand_over(self, call: socket.socket, descriptors: list[int]) -> None:
        """Gives a call to the child that waits."""
        if self.spare is None:
            self._fork()
        assert self.spare is not None
        pid, orders = self.spare
        self.spare = None
        self.calls[pid] = call
        self.selector.register(call, selectors.EVENT_READ, pid)
        with orders, contextlib.suppress(OSError):
            socket.send_fds(orders, [b"c"], descriptors)
            call.sendall(NUMBER.pack(pid))

    def _fork(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            self._become_child(theirs, (ours, self.control, self.wake, self.wake_end, *self.calls.values()))
        theirs.close()
        self.spare = (pid, ours)

    def _become_child(self, orders: socket.socket, others: tuple[socket.socket, ...]) -> None:
        """Runs in the forked child and never returns."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            self.libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
            self.selector.close()
            for end in others:
                end.close()
            message, descriptors, _, _ = socket.recv_fds(orders, 1, 3)
            orders.close()
            if message:
                _answer_call(*descriptors)
        except BaseException:
            os._exit(1)
        os._exit(0)

    def _kill(self, pid: int) -> None:
        """Kills a child and its session; what left the session is killed as a stray when the child is reaped."""
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Collects ended children and answers their calls; whatever they left running is killed first."""
        ended = False
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                pid = found.si_pid
                if pid in self.calls:
                    ended = True
                    self._kill(pid)
                _, status = os.waitpid(pid, 0)
                if self.spare is not None and pid == self.spare[0]:
                    self.spare[1].close()
                    self.spare = None
                call = self.calls.pop(pid, None)
                if call is not None:
                    self._kill_strays()
                    self._answer(call, status)
        if ended:
            self._kill_strays()

    def _answer(self, call: socket.socket, status: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(call)
        with contextlib.suppress(OSError):
            call.sendall(NUMBER.pack(status))
        call.close()

    def _kill_strays(self) -> None:
        """Kills processes that lost their parent and came to the server, and those that come when these are gone."""
        for _ in range(_KILL_ROUNDS):
            known = {*self.calls, self.spare[0] if self.spare else 0}
            strays = [pid for pid in children_of(os.getpid()) if pid not in known]
            if not strays:
                return
            for pid in strays:
                self._kill(pid)
            time.sleep(0.001)
            for pid in strays:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`; none where the system does not tell."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (OSError, ValueError):
        return []
