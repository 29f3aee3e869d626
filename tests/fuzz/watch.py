"""Audit hook of a fuzzed process: what a reader of files must never do is stopped and written down."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = ("subprocess.", "socket.", "pickle.", "ctypes.", "pty.", "urllib.", "http.", "ftplib.", "smtplib.",
              "webbrowser.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.startfile",
              "os.kill", "code.__new__", "sys.setprofile", "sys.settrace")  # fmt: skip
_PATHS = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
          "os.chown", "os.utime", "os.chdir", "os.setxattr", "os.mkfifo", "os.mknod", "shutil.", "tempfile.",
          "glob.")  # fmt: skip
_LISTINGS = ("os.listdir", "os.scandir")
_CODE_MAKERS = ("dataclasses.py", os.path.join("collections", "__init__.py"), "typing.py", "enum.py")


class Violation(BaseException):
    """A forbidden act; no handler of `Exception` swallows it."""


class Watch:
    """Allows reading below `scratch` and in the libraries, and imports of libraries that are loaded already.

    Args:
        scratch: the only folder in which files may be read or written.
    """

    def __init__(self, scratch: Path) -> None:
        self.active = False
        self.violations: list[str] = []
        self.scratch = os.path.realpath(scratch) + os.sep
        folders = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), str(ROOT / "processing_archbert")}
        self.libraries = tuple({os.path.realpath(folder) + os.sep for folder in folders if folder})
        self.stdlib = os.path.realpath(sysconfig.get_paths()["stdlib"]) + os.sep
        self.packages = {name.partition(".")[0] for name in sys.modules} | set(sys.stdlib_module_names)

    def install(self) -> None:
        """Adds the hook to this process, for good; it acts while `active` is set."""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.active:
            return
        self.active = False
        try:
            problem = self._problem(event, args)
        finally:
            self.active = True
        if problem:
            self.violations.append(problem[:300])
            raise Violation(problem)

    def _problem(self, event: str, args: tuple[Any, ...]) -> str:
        if event == "open":
            path, mode, flags = args
            writes = bool((flags or 0) & _WRITING) or any(c in (mode or "") for c in "wax+")
            return "" if self._may_open(path, writes) else f"open {path!r} ({'write' if writes else 'read'})"
        if event == "import":
            return "" if str(args[0]).partition(".")[0] in self.packages else f"import {args[0]}"
        if event == "exec":
            return self._executed(args[0])
        if event in _LISTINGS:
            return "" if self._may_open(args[0], False) else f"{event} {args[0]!r}"
        if event.startswith(_PATHS):
            paths = [a for a in args if isinstance(a, (str, bytes, os.PathLike))]
            return "" if all(self._may_open(p, True) for p in paths) else f"{event} {paths!r}"
        return f"{event} {args!r}" if event.startswith(_FORBIDDEN) else ""

    def _may_open(self, path: Any, writes: bool) -> bool:
        if isinstance(path, int):  # opened before, and judged then
            return True
        real = os.path.realpath(os.fsdecode(path if path is not None else "."))
        return real.startswith(self.scratch) or (not writes and (real + os.sep).startswith(self.libraries))

    def _executed(self, code: Any) -> str:
        """Modules of libraries may run, and what dataclasses and named tuples make; no other text or bytes."""
        name = getattr(code, "co_filename", "")
        if name.startswith("<frozen") or os.path.realpath(name).startswith(self.libraries):
            return ""
        frame = sys._getframe(3)
        caller = frame.f_code.co_filename
        if os.path.realpath(caller).startswith(self.stdlib) and caller.endswith(_CODE_MAKERS):
            return ""
        return f"exec of {name!r} by {caller}:{frame.f_lineno}"
