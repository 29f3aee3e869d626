"""What the tests of isolation run in child processes: well-behaved, broken and hostile functions."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from pathlib import Path
from typing import Any

from processing_archbert import (
    ArchitectureGraphError,
    ArchitectureSourceError,
    ArchitectureTraceError,
    trace,
)
from processing_archbert.architecture_graph_archbert import ArchitectureGraph
from processing_archbert.source_errors_archbert import ArchitectureSourceWarning

LONG = 600.0


def echo(*args: Any, **kwargs: Any) -> Any:
    """Its arguments."""
    return {"args": args, "kwargs": kwargs}


def as_bytes(size: int) -> bytes:
    """Some bytes."""
    return b"\0\xff" * (size // 2)


def surroundings(variable: str) -> dict[str, Any]:
    """What a child sees of the world."""
    return {
        "pid": os.getpid(),
        "server": os.getppid(),
        "threads": len(os.listdir("/proc/self/task")),
        "server_threads": len(os.listdir(f"/proc/{os.getppid()}/task")),
        "folder": os.getcwd(),
        "input": sys.stdin.read(),
        "variable": os.environ.get(variable),
        "sockets": [n for n in os.listdir("/proc/self/fd") if _is_socket(n)],
    }


def _is_socket(number: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    except OSError:
        return False


def traced(model_type: str, **options: int) -> ArchitectureGraph:
    """The graph of a config."""
    from transformers import AutoConfig

    return trace(AutoConfig.for_model(model_type, **options), source=model_type)


def fail(name: str) -> None:
    """Raises an error of the library, caused by another, or one of Python."""
    kinds = (ArchitectureGraphError, ArchitectureSourceError, ArchitectureTraceError, KeyError, SystemExit)
    kind = {k.__name__: k for k in kinds}[name]
    try:
        raise OSError("the disk is on fire\nand more")
    except OSError as error:
        raise kind(f"message of {name}") from error


def warn() -> None:
    """Gives a warning of the library and another one."""
    warnings.warn("look at this", ArchitectureSourceWarning, stacklevel=1)
    warnings.warn("not at this", DeprecationWarning, stacklevel=1)


def hang(kind: str, file: str) -> None:
    """Writes its pid, then never returns: asleep, deaf to signals, or inside C with the interpreter locked."""
    Path(file).write_text(str(os.getpid()))
    if kind == "deaf":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
    if kind == "locked":
        ctypes.PyDLL(None).sleep(int(LONG))
    while True:
        time.sleep(LONG)


def leave_processes(folder: str, then: str) -> None:
    """Starts a child, and a daemon that left session and parent; then hangs or returns."""
    code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    subprocess.Popen([sys.executable, "-S", "-c", code, f"{folder}/child"])
    if os.fork() == 0:
        os.setsid()
        subprocess.Popen([sys.executable, "-S", "-c", code, f"{folder}/daemon"], start_new_session=True)
        os._exit(0)
    while not all(Path(folder, name).exists() and Path(folder, name).read_text() for name in ("child", "daemon")):
        time.sleep(0.01)
    if then == "hang":
        time.sleep(LONG)


def grow(kind: str) -> None:
    """Takes memory until something stops it."""
    import torch

    taken: list[Any] = []
    if kind == "child":
        code = "x = [bytearray(1 << 24) for _ in range(64)]; import time; time.sleep(600)"
        subprocess.run([sys.executable, "-S", "-c", code], check=False)
        time.sleep(LONG)
    while True:
        taken.append(bytearray(1 << 24) if kind == "python" else torch.ones(1 << 22))


def crash(kind: str) -> None:
    """Ends the process in a way that Python does not see."""
    print("last words")
    sys.stdout.flush()
    if kind == "segfault":
        ctypes.string_at(0)
    if kind == "exit":
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def forge(kind: str, file: str) -> None:
    """Sends a reply of its own making: a pickle, or nonsense, or an endless one."""

    class Opened:
        def __reduce__(self) -> Any:
            return Path.touch, (Path(file),)

    head = b"J" + (2).to_bytes(8, "little") + b"[]"
    body = {"pickle": pickle.dumps(Opened()), "nonsense": b"\xff{", "deep": head + b"[" * 100_000,
            "error": b"E" + head[1:] + b"[1]", "endless": b""}[kind]  # fmt: skip
    for number in surroundings("")["sockets"]:
        with socket.socket(fileno=int(number)) as end:
            if end.type == socket.SOCK_STREAM and int(number) > 2:
                size = len(body) if body else 1 << 60
                end.sendall(size.to_bytes(8, "little") + body)
                while not body:
                    end.sendall(b"x" * (1 << 20))
    os._exit(0)


def flood() -> int:
    """Prints far more than anyone keeps."""
    for _ in range(200):
        sys.stdout.write("x" * 100_000)
        sys.stderr.write("y" * 100_000)
    return 1


def connect(address: str) -> None:
    """Tries to reach another machine, or this one."""
    urllib.request.urlopen(address, timeout=5).read()


def nested() -> Any:
    """An isolated call inside one."""
    from processing_archbert.isolation_archbert import run_isolated

    return run_isolated("os:getpid") == os.getpid()


def pid() -> int:
    """The process that runs it."""
    return os.getpid()
