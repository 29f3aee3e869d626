"""A small HTTP server that answers what the Hugging Face clients ask of a Hub when they read repositories.

* models and data sets; one folder for each branch of a repository, its commit hash computed from the files;
* the list of models, in pages; a repository's information, file tree and files (``HEAD``, ``GET``, byte ranges), with
  the headers and the error codes that ``huggingface_hub`` looks for;
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
from urllib.parse import parse_qs, unquote, urlsplit

MAIN = "main"
LARGE_FILES = (".safetensors", ".parquet")
"""Suffixes of the files that are kept apart, known by their SHA-256."""

_API = r"^/api/(?P<kind>models|datasets|spaces)/(?P<repo>[^/]+/[^/]+)"
_LIST = "/api/models"
_PAGE = 2
_INFO = re.compile(_API + r"(?:/revision/(?P<revision>[^/]+))?$")
_REFS = re.compile(_API + r"/refs$")
_TREE = re.compile(_API + r"/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?$")
_RESOLVE = re.compile(
    r"^/(?:(?P<kind>datasets|spaces)/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)$"
)


def repository_key(kind: str | None, name: str) -> str:
    """How a repository is kept: ``owner/name`` of a model, ``datasets/owner/name`` and ``spaces/owner/name``."""
    return f"{kind}/{name}" if kind in ("datasets", "spaces") else name


class _Branch:
    """The files of a branch, as name and content, and the hash of its newest commit."""

    def __init__(self, files: Mapping[str, bytes], commits: int = 0) -> None:
        self.files = dict(files)
        self.commits = commits
        digest = hashlib.sha1(str(commits).encode())
        for name, content in sorted(self.files.items()):
            digest.update(name.encode() + b"\0" + content)
        self.sha = digest.hexdigest()

    @classmethod
    def of(cls, folder: Path) -> _Branch:
        """The files of a folder (symbolic links are followed)."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return cls({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})

    def etag(self, name: str) -> str:
        """What the real Hub sends as ETag: SHA-256 of a large file, and the git blob hash of any other."""
        content = self.files[name]
        if name.endswith(LARGE_FILES):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def entry(self, name: str) -> dict[str, Any]:
        """A file as the tree shows it."""
        entry = {"type": "file", "path": name, "size": len(self.files[name]), "oid": self.etag(name)}
        if name.endswith(LARGE_FILES):
            entry |= {"oid": self.etag(name)[:40], "lfs": {"oid": self.etag(name), "size": entry["size"]}}
            entry["lfs"]["pointerSize"] = 134
        return entry


class _Repository:
    """One repository: its branches and tags by name."""

    def __init__(self, branches: Mapping[str, _Branch]) -> None:
        self.branches = dict(branches)
        self.tags: dict[str, _Branch] = {}

    def at(self, revision: str | None) -> _Branch | None:
        """The branch or tag of this name or with this commit; None where there is none."""
        named = [*self.branches.items(), *self.tags.items()]
        found = [b for name, b in named if revision in (name, b.sha) or (not revision and name == MAIN)]
        return found[0] if found else None


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
        if path == _LIST:
            return self._list()
        if match := _REFS.match(path):
            return self._refs(self.server.repositories.get(repository_key(match["kind"], match["repo"])))
        for pattern, answer in ((_INFO, self._info), (_TREE, self._tree), (_RESOLVE, self._resolve)):
            if match := pattern.match(path):
                fields = match.groupdict()
                repository = self.server.repositories.get(repository_key(fields["kind"], fields["repo"]))
                if repository is None:
                    return self._error("RepoNotFound", f"no repository {fields['repo']}", status=401)
                branch = repository.at(fields["revision"])
                if branch is None:
                    return self._error("RevisionNotFound", f"no revision {fields['revision']}")
                return answer(branch, fields)
        return self._error("", f"nothing is served at {path}")

    def _list(self) -> None:
        """A page of the models, in the order in which they were given, and the address of the next page."""
        query = parse_qs(urlsplit(self.path).query)
        start, limit = int(query.get("cursor", ["0"])[0]), int(query.get("limit", ["1000"])[0])
        models = [(name, r.at(MAIN)) for name, r in self.server.repositories.items() if name.count("/") == 1]
        page = [{"id": name, "sha": b.sha} for name, b in models[start : start + min(_PAGE, limit)] if b is not None]
        following = f"http://{self.headers['Host']}{_LIST}?cursor={start + len(page)}&limit={limit}"
        more = start + len(page) < len(models)
        self._json(page, {"Link": f'<{following}>; rel="next"'} if more else None)

    def _refs(self, repository: _Repository | None) -> None:
        """Branches and tags, with the commits that they name."""
        if repository is None:
            return self._error("RepoNotFound", "no repository", status=401)
        listed = {
            kind: [{"name": name, "ref": f"refs/{part}/{name}", "targetCommit": b.sha} for name, b in named.items()]
            for kind, part, named in (("branches", "heads", repository.branches), ("tags", "tags", repository.tags))
        }
        return self._json({**listed, "converts": []})

    def _info(self, branch: _Branch, fields: Mapping[str, str]) -> None:
        siblings = [{"rfilename": name} for name in branch.files]
        state = {"private": False, "disabled": False, "gated": False, "downloads": 0, "likes": 0, "tags": []}
        self._json({"id": fields["repo"], "sha": branch.sha, "siblings": siblings, **state})

    def _tree(self, branch: _Branch, fields: Mapping[str, str]) -> None:
        prefix = f"{fields['path'].strip('/')}/" if fields["path"] else ""
        names = [name for name in branch.files if name.startswith(prefix)]
        if not names:
            return self._error("EntryNotFound", f"no folder {prefix}", {"X-Repo-Commit": branch.sha})
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() in ("true", "1")
        folders = {prefix + name[len(prefix) :].split("/")[0] for name in names if "/" in name[len(prefix) :]}
        if not recursive:
            names = [name for name in names if "/" not in name[len(prefix) :]]
        else:
            folders = {name.rsplit("/", 1)[0] for name in names if "/" in name[len(prefix) :]}
        listed = [{"type": "directory", "path": name, "size": 0, "oid": "0" * 40} for name in sorted(folders)]
        return self._json([*listed, *map(branch.entry, names)])

    def _resolve(self, branch: _Branch, fields: Mapping[str, str]) -> None:
        content = branch.files.get(fields["path"])
        headers = {"X-Repo-Commit": branch.sha}
        if content is None:
            return self._error("EntryNotFound", f"no file {fields['path']}", headers)
        headers.update({"ETag": f'"{branch.etag(fields["path"])}"', "Accept-Ranges": "bytes"})
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
        self.repositories = dict(repositories)
        self.ranges = True
        self.sent = 0
        self.requests: list[str] = []


class LocalHub:
    """A local Hub, used as a context manager.

    Args:
        repositories: ``owner/name`` of a model, or ``datasets/owner/name``, to the folder whose files the repository
            has, or to a mapping of branches to such folders.
    """

    handler: type[_Handler] = _Handler
    server: type[_Server] = _Server

    def __init__(
        self, repositories: Mapping[str, str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]]]
    ) -> None:
        served = {
            name: _Repository(
                {branch: _Branch.of(Path(folder)) for branch, folder in folders.items()}
                if isinstance(folders, Mapping)
                else {MAIN: _Branch.of(Path(folders))}
            )
            for name, folders in repositories.items()
        }
        self._server = self.server(served, self.handler)
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
