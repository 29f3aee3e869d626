"""A local Hub that also takes uploads: repositories and branches are created, files sent, commits made, in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from local_hub import LARGE_FILES, MAIN, LocalHub, _Branch, _Handler, _Repository, _Server, repository_key

USER, TOKEN = "tester", "token"

_API = r"^/api/(?P<kind>models|datasets|spaces)/(?P<repo>[^/]+/[^/]+)"
_PREUPLOAD = re.compile(_API + r"/preupload/(?P<branch>[^/]+)$")
_COMMIT = re.compile(_API + r"/commit/(?P<branch>[^/]+)$")
_NEW_BRANCH = re.compile(_API + r"/branch/(?P<branch>[^/]+)$")
_NEW_TAG = re.compile(_API + r"/tag/(?P<revision>[^/]+)$")
_LARGE = re.compile(r"^/(?:(?P<kind>datasets|spaces)/)?(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch$")


class _WritingHandler(_Handler):
    server: _WritingServer

    def do_POST(self) -> None:
        """Create a repository or a branch, say how files are to be sent, or commit."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"POST {path}")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._error("", "no token", status=401)
        if self._fails(f"POST {path}"):
            return self._error("", "the server has broken down", status=500)
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        answers = (
            (_PREUPLOAD, self._preupload), (_COMMIT, self._commit), (_NEW_BRANCH, self._branch), (_LARGE, self._large),
            (_NEW_TAG, self._tag),
        )  # fmt: skip
        for pattern, answer in answers:
            if match := pattern.match(path):
                repository = self.server.repositories.get(repository_key(match["kind"], match["repo"]))
                if repository is None:
                    return self._error("RepoNotFound", "no repository")
                return answer(repository, match.groupdict(), body)
        return self._error("", f"nothing takes {path}")

    def do_PUT(self) -> None:
        """Take a large file."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(f"PUT {self.path}")
        if self._fails(f"PUT {self.path}"):
            return self._error("", "not taken", status=403)
        self.server.received[hashlib.sha256(content).hexdigest()] = content
        return self._json({})

    def _fails(self, request: str) -> bool:
        """Whether this request is one of those that shall fail."""
        pattern, allowed = self.server.failing
        if not pattern or not re.search(pattern, request):
            return False
        self.server.failing = (pattern, allowed - 1)
        return allowed <= 0

    def _create(self, asked: Mapping[str, Any]) -> None:
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        key = repository_key(f"{asked.get('type') or 'model'}s", name)
        if asked.get("type") == "space" and not asked.get("sdk"):
            return self._error("", "a Space needs an sdk", status=400)
        exists = key in self.server.repositories
        if not exists:
            self.server.repositories[key] = _Repository({MAIN: _Branch({".gitattributes": b"*.parquet filter=lfs\n"})})
        where = f"http://{self.headers['Host']}/{key}"
        return self._json({"url": where, "name": name, "id": name}, status=409 if exists else 200)

    def _branch(self, repository: _Repository, fields: Mapping[str, str], body: bytes) -> None:
        if fields["branch"] in repository.branches:
            return self._error("", "the branch exists", status=409)
        start = repository.at(json.loads(body or b"{}").get("startingPoint"))
        if start is None:
            return self._error("RevisionNotFound", "no such starting point")
        repository.branches[fields["branch"]] = start
        return self._json({})

    def _tag(self, repository: _Repository, fields: Mapping[str, str], body: bytes) -> None:
        name, commit = json.loads(body)["tag"], repository.at(fields["revision"])
        if name in repository.tags:
            return self._error("", "the tag exists", status=409)
        if commit is None:
            return self._error("RevisionNotFound", "no such commit")
        repository.tags[name] = commit
        return self._json({})

    def _preupload(self, repository: _Repository, fields: Mapping[str, str], body: bytes) -> None:
        if repository.at(fields["branch"]) is None:
            return self._error("RevisionNotFound", f"no branch {fields['branch']}")
        files = [
            {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(LARGE_FILES) else "regular",
             "shouldIgnore": False, "oid": None}
            for f in json.loads(body)["files"]
        ]  # fmt: skip
        return self._json({"files": files})

    def _large(self, repository: _Repository, fields: Mapping[str, str], body: bytes) -> None:
        """Where large files are to be sent; what has been received is not asked for again."""
        where = f"http://{self.headers['Host']}/large"
        objects = [
            one if one["oid"] in self.server.received
            else {**one, "actions": {"upload": {"href": f"{where}/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]  # fmt: skip
        self._send(
            json.dumps({"transfer": "basic", "objects": objects}).encode(), "application/vnd.git-lfs+json", {}, 200
        )

    def _commit(self, repository: _Repository, fields: Mapping[str, str], body: bytes) -> None:
        branch = repository.branches[fields["branch"]]
        files = dict(branch.files)
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header" and value.get("parentCommit") not in (None, branch.sha):
                return self._error("", "the branch has another commit", status=412)
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.received[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        branch = repository.branches[fields["branch"]] = _Branch(files, branch.commits + 1)
        where = f"http://{self.headers['Host']}/{repository_key(fields['kind'], fields['repo'])}/commit/{branch.sha}"
        return self._json({"success": True, "commitUrl": where, "commitOid": branch.sha, "hookOutput": ""})


class _WritingServer(_Server):
    def __init__(self, repositories: Mapping[str, _Repository], handler: type[_Handler]) -> None:
        super().__init__(repositories, handler)
        self.received: dict[str, bytes] = {}
        self.failing: tuple[str, int] = ("", 0)


class WritableHub(LocalHub):
    """A local Hub without repositories, for clients that create and fill them."""

    handler = _WritingHandler
    server = _WritingServer

    _server: _WritingServer

    def __init__(self) -> None:
        super().__init__({})

    def files(self, repository: str, branch: str = MAIN) -> dict[str, bytes]:
        """Path -> content of all files of a branch, but for those that the Hub itself puts there."""
        files = self._server.repositories[repository].branches[branch].files
        return {name: content for name, content in files.items() if name != ".gitattributes"}

    def tags(self, repository: str) -> dict[str, dict[str, bytes]]:
        """Name of a tag -> the files of its commit."""
        return {
            tag: {name: content for name, content in commit.files.items() if name != ".gitattributes"}
            for tag, commit in self._server.repositories[repository].tags.items()
        }

    def repositories(self) -> list[str]:
        """``owner/name`` of models, ``datasets/owner/name`` and ``spaces/owner/name``."""
        return sorted(self._server.repositories)

    def replace(
        self, repository: str, branch: str, change: Callable[[Mapping[str, bytes]], Mapping[str, bytes]]
    ) -> None:
        """Make a commit whose files are a function of those before it."""
        branches = self._server.repositories[repository].branches
        branches[branch] = _Branch(change(branches[branch].files), branches[branch].commits + 1)

    def commits(self, repository: str, branch: str = MAIN) -> int:
        """Number of commits of a branch after its creation."""
        return self._server.repositories[repository].branches[branch].commits

    def forget(self) -> None:
        """Have large files sent again, although they were received before."""
        self._server.received.clear()

    def fail(self, pattern: str, after: int = 0) -> None:
        """Let requests such as ``"POST /api/..."`` that a regular expression finds fail, after so many of them.

        An upload is refused (403), anything else breaks down (500). An empty pattern ends it.
        """
        self._server.failing = (pattern, after)
