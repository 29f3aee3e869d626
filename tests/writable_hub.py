"""A local Hub that also takes uploads: repositories are created, large files sent, and commits made, in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from local_hub import LocalHub, _Handler, _Repository, _Server

USER = "tester"
LARGE_FILES = (".safetensors", ".parquet")
"""Suffixes of the files that are sent by themselves, before the commit that names them."""

_PREUPLOAD = re.compile(r"^/api/models/(?P<repo>[^/]+/[^/]+)/preupload/main$")
_COMMIT = re.compile(r"^/api/models/(?P<repo>[^/]+/[^/]+)/commit/main$")
_LARGE = re.compile(r"^/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch$")


class _WritableRepository(_Repository):
    """Files in memory; every commit gives a new hash."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.commits = 0
        self.commit({})

    def commit(self, files: Mapping[str, bytes]) -> None:
        """Add or replace files."""
        self.files |= files
        self.commits += 1
        self.sha = hashlib.sha1(f"{self.commits} {sorted(self.files)}".encode()).hexdigest()


class _WritingHandler(_Handler):
    server: _Server

    def do_POST(self) -> None:
        """Create a repository, say how files are to be sent, or commit."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"POST {path}")
        if self.headers.get("Authorization") != "Bearer token":
            return self._error("", "no token", status=401)
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        for pattern, answer in ((_PREUPLOAD, self._preupload), (_COMMIT, self._commit), (_LARGE, self._large)):
            if match := pattern.match(path):
                repository: Any = self.server.repositories.get(match["repo"])
                return answer(repository, body) if repository else self._error("RepoNotFound", "no repository")
        return self._error("", f"nothing takes {path}")

    def do_PUT(self) -> None:
        """Take a large file."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(f"PUT {self.path}")
        self._received()[hashlib.sha256(content).hexdigest()] = content
        self._json({})

    def _received(self) -> dict[str, bytes]:
        return self.server.__dict__.setdefault("received", {})

    def _create(self, asked: Mapping[str, Any]) -> None:
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        exists = name in self.server.repositories
        if not exists:
            dict.__setitem__(self.server.repositories, name, _WritableRepository())  # type: ignore[arg-type]
        where = f"http://{self.headers['Host']}/{name}"
        self._json({"url": where, "name": name, "id": name}, status=409 if exists else 200)

    def _preupload(self, repository: _WritableRepository, body: bytes) -> None:
        files = [
            {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(LARGE_FILES) else "regular",
             "shouldIgnore": False, "oid": None}
            for f in json.loads(body)["files"]
        ]  # fmt: skip
        self._json({"files": files})

    def _large(self, repository: _WritableRepository, body: bytes) -> None:
        asked = json.loads(body)["objects"]
        where = f"http://{self.headers['Host']}/large"
        objects = [{**one, "actions": {"upload": {"href": f"{where}/{one['oid']}"}}} for one in asked]
        self._send(
            json.dumps({"transfer": "basic", "objects": objects}).encode(), "application/vnd.git-lfs+json", {}, 200
        )

    def _commit(self, repository: _WritableRepository, body: bytes) -> None:
        files: dict[str, bytes] = {}
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self._received()[value["oid"]]
        repository.commit(files)
        name = _COMMIT.match(unquote(urlsplit(self.path).path))["repo"]  # type: ignore[index]
        where = f"http://{self.headers['Host']}/{name}/commit/{repository.sha}"
        self._json({"success": True, "commitUrl": where, "commitOid": repository.sha, "hookOutput": ""})


class WritableHub(LocalHub):
    """A local Hub without repositories, for clients that create and fill them."""

    handler = _WritingHandler

    def __init__(self) -> None:
        super().__init__({})

    def files(self, repository: str) -> dict[str, bytes]:
        """Path -> content of all files of a repository."""
        return self._server.repositories[repository].files
