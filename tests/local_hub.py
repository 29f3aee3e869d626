"""A small HTTP server that answers what the Hugging Face clients ask of a Hub when they read model repositories.

* one folder per repository, one revision (``main``), whose commit hash is computed from the files;
* the model information, the file tree and the files themselves (``HEAD``, ``GET``, byte ranges), with the headers and
  the error codes that ``huggingface_hub`` looks for;
* every request is kept in `LocalHub.requests`: a test can assert what a client asked, or that it asked nothing.

The clients read their endpoint when they are imported: run them in a child process with `LocalHub.environment`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

_INFO = re.compile(r"^/api/models/(?P<repo>[^/]+/[^/]+)(?:/revision/(?P<revision>[^/]+))?$")
_TREE = re.compile(r"^/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?$")
_RESOLVE = re.compile(r"^/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)$")


class _Repository:
    """The files of one model repository, read from a folder (symbolic links are followed)."""

    def __init__(self, folder: Path) -> None:
        self.files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        digest = hashlib.sha1()
        for name, content in self.files.items():
            digest.update(name.encode() + b"\0" + content)
        self.sha = digest.hexdigest()

    def has_revision(self, revision: str | None) -> bool:
        """Whether `revision` names the only commit: ``main`` or its hash."""
        return revision in (None, "main", self.sha)

    @staticmethod
    def etag(content: bytes) -> str:
        """The git blob hash of a file, which the real Hub sends as its ETag."""
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the requests are kept in `LocalHub.requests`."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        for pattern, answer in ((_INFO, self._info), (_TREE, self._tree), (_RESOLVE, self._resolve)):
            if match := pattern.match(path):
                fields = match.groupdict()
                repository = self.server.repositories.get(fields["repo"])
                if repository is None:
                    return self._error("RepoNotFound", f"no repository {fields['repo']}", status=401)
                if not repository.has_revision(fields["revision"]):
                    return self._error("RevisionNotFound", f"no revision {fields['revision']}")
                return answer(repository, fields)
        return self._error("", f"nothing is served at {path}")

    def _info(self, repository: _Repository, fields: Mapping[str, str]) -> None:
        siblings = [{"rfilename": name} for name in repository.files]
        state = {"private": False, "disabled": False, "gated": False, "downloads": 0, "likes": 0, "tags": []}
        self._json({"id": fields["repo"], "sha": repository.sha, "siblings": siblings, **state})

    def _tree(self, repository: _Repository, fields: Mapping[str, str]) -> None:
        prefix = f"{fields['path'].strip('/')}/" if fields["path"] else ""
        entries = [
            {"type": "file", "path": name, "size": len(content), "oid": repository.etag(content)}
            for name, content in repository.files.items()
            if name.startswith(prefix)
        ]
        if entries:
            self._json(entries)
        else:
            self._error("EntryNotFound", f"no folder {prefix}", {"X-Repo-Commit": repository.sha})

    def _resolve(self, repository: _Repository, fields: Mapping[str, str]) -> None:
        content = repository.files.get(fields["path"])
        headers = {"X-Repo-Commit": repository.sha}
        if content is None:
            return self._error("EntryNotFound", f"no file {fields['path']}", headers)
        headers.update({"ETag": f'"{repository.etag(content)}"', "Accept-Ranges": "bytes"})
        start, end, status = 0, len(content), 200
        if (match := re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", ""))) and self.server.ranges:
            start, status = int(match[1]), 206
            end = min(int(match[2]) + 1, end) if match[2] else end
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        return self._send(content[start:end], "application/octet-stream", headers, status)

    def _json(self, value: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), "application/json", headers or {}, status)

    def _error(self, code: str, message: str, headers: Mapping[str, str] | None = None, status: int = 404) -> None:
        named = {"X-Error-Code": code, "X-Error-Message": message} if code else {}
        self._json({"error": message}, {**named, **(headers or {})}, status)

    def _send(self, content: bytes, kind: str, headers: Mapping[str, str], status: int) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):  # a client may stop reading
                self.wfile.write(content)
                self.server.sent += len(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, repositories: Mapping[str, _Repository], handler: type[_Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.repositories = repositories
        self.ranges = True
        self.sent = 0
        self.requests: list[str] = []


class LocalHub:
    """A local Hub of model repositories, used as a context manager.

    Args:
        repositories: ``owner/name`` to the folder whose files the repository has.
    """

    handler: type[_Handler] = _Handler

    def __init__(self, repositories: Mapping[str, str | os.PathLike[str]]) -> None:
        served = {name: _Repository(Path(folder)) for name, folder in repositories.items()}
        self._server = _Server(served, self.handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """The address to give to the clients as ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> list[str]:
        """All requests so far, as ``"GET /path"``."""
        return self._server.requests

    @property
    def sent(self) -> int:
        """Number of bytes of all contents that were sent."""
        return self._server.sent

    def ignore_ranges(self) -> None:
        """From now on whole files are sent, as some servers do."""
        self._server.ranges = False

    def environment(self, home: str | os.PathLike[str], **extra: str) -> dict[str, str]:
        """The environment of a child process whose Hub is this server and whose caches are under `home`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE_"))}
        hub = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        return {**kept, **hub, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **extra}

    def __enter__(self) -> LocalHub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
