"""Configurations of many models of the Hub: their list, and one `config.json` of each, at a limited rate.

* Nothing else is fetched: no weights, no code, no tokenizer.
* The list is kept in the folder, with the commit of every repository, so that a call that was stopped goes on with the
  same models; a configuration that is there is not fetched again.
* A repository that has none, or may not be read, is skipped with the reason. Where the Hub itself does not answer, it
  is asked a few more times, and then the call ends: nothing is skipped because a line was down.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from .cli_output import CommandError

LIST_FILE, CONFIGS_FOLDER = "hub.json", "configs"
SORTS = ("created_at", "downloads", "last_modified", "likes", "trending_score")
KEYS = ("sort", "limit", "filter", "author", "search", "task")
DEFAULT_LIMIT, MAX_LIMIT = 1000, 100_000
DEFAULT_RATE = 5.0
"""Configurations a second."""
RETRY_SECONDS = (2.0, 10.0, 30.0)
"""How long to wait before each further try."""
_UNREADABLE_STATUS = (401, 403, 404, 410, 451)


class Repository(NamedTuple):
    """A model repository and the commit that was the newest when the list was made (None: not told)."""

    name: str
    commit: str | None


class Fetched(NamedTuple):
    """The `config.json` of a repository, or None and why there is none."""

    repository: str
    path: Path | None
    reason: str


def parse_query(text: str) -> dict[str, Any]:
    """A query as keyword arguments of `HfApi.list_models`.

    Args:
        text: `key=value` pairs of `KEYS`, such as `"sort=downloads limit=10000"`; `filter` may come several times.

    Raises:
        CommandError: a key or a value is not allowed.
    """
    found: dict[str, Any] = {"sort": "downloads", "limit": DEFAULT_LIMIT}
    for part in shlex.split(text):
        key, _, value = part.partition("=")
        if key not in KEYS or not value:
            raise CommandError(
                f"{part!r} is no part of a query; allowed are {', '.join(f'{k}=...' for k in KEYS)}, as in "
                '"sort=downloads limit=10000".'
            )
        if key == "sort" and value not in SORTS:
            raise CommandError(f"sort is {value!r}; allowed are {', '.join(SORTS)}.")
        if key == "limit":
            if not value.isdigit() or not 1 <= int(value) <= MAX_LIMIT:
                raise CommandError(f"limit is {value!r}; 1 to {MAX_LIMIT:,} models are allowed.")
            found[key] = int(value)
        elif key == "filter":
            found[key] = [*found.get(key, []), value]
        else:
            found["pipeline_tag" if key == "task" else key] = value
    return found


def list_repositories(query: str, folder: Path) -> list[Repository]:
    """The models that a query finds, as listed now or when an unfinished call listed them.

    Args:
        query: as `parse_query` takes it.
        folder: where the list is kept.

    Raises:
        CommandError: the Hub cannot be reached, or the folder holds the list of another query.
    """
    asked = parse_query(query)
    kept = folder / LIST_FILE
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["query"] != asked:
            raise CommandError(
                f"{str(folder)!r} holds an unfinished index of another query ({found['query']}); finish that one, "
                "delete the folder, or name another one with -o."
            )
        return [Repository(*pair) for pair in found["repositories"]]
    from huggingface_hub import HfApi

    def listed() -> list[Repository]:
        return [Repository(model.id, model.sha) for model in HfApi().list_models(**asked, expand=["sha"])]

    repositories = _tried(listed, "The list of models")
    folder.mkdir(parents=True, exist_ok=True)
    part = kept.with_name(f"{kept.name}.part")
    part.write_text(json.dumps({"query": asked, "repositories": repositories}), encoding="utf-8")
    os.replace(part, kept)
    return repositories


def fetch_configs(repositories: list[Repository], folder: Path, rate: float = DEFAULT_RATE) -> Iterator[Fetched]:
    """The `config.json` of every repository, in order, those that are not there yet fetched at a limited rate.

    Args:
        repositories: of models.
        folder: `configs/<name>/config.json` are written in it.
        rate: configurations a second, at most.

    Raises:
        CommandError: the rate is not positive, or the Hub cannot be reached.
    """
    if rate <= 0:
        raise CommandError(f"--rate is {rate:g}; a positive number of configurations a second is allowed.")
    earliest = 0.0
    for repository in repositories:
        path = folder / CONFIGS_FOLDER / quote(repository.name, safe="") / "config.json"
        if path.is_file():
            yield Fetched(repository.name, path, "")
            continue
        time.sleep(max(0.0, earliest - time.monotonic()))
        earliest = time.monotonic() + 1 / rate
        yield _fetch(repository, path)


def _fetch(repository: Repository, path: Path) -> Fetched:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        DisabledRepoError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def content() -> bytes | str:
        try:
            return Path(hf_hub_download(repository.name, "config.json", revision=repository.commit)).read_bytes()
        except GatedRepoError:
            return "the repository is gated"
        except RemoteEntryNotFoundError:
            return "the repository has no config.json"
        except (RepositoryNotFoundError, RevisionNotFoundError, DisabledRepoError):
            return "the repository is private, disabled or gone"
        except HFValidationError:
            return "its name is no valid Hub id"
        except HfHubHTTPError as error:
            if error.response is not None and error.response.status_code in _UNREADABLE_STATUS:
                return f"the Hub refuses it (status {error.response.status_code})"
            raise

    found = _tried(content, f"The configuration of {repository.name!r}")
    if isinstance(found, str):
        return Fetched(repository.name, None, found)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name("config.json.part")
    part.write_bytes(found)
    os.replace(part, path)
    return Fetched(repository.name, path, "")


def _tried(ask: Callable[[], Any], what: str) -> Any:
    """What the Hub answers, asked again a few times where it does not.

    Raises:
        CommandError: it never does.
    """
    waits = list(RETRY_SECONDS)
    while True:
        try:
            return ask()
        except Exception as error:
            if not waits:
                first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
                raise CommandError(
                    f"{what} cannot be fetched: {first} What was read is kept: check the connection (and "
                    "HF_HUB_OFFLINE), and run the same command again to go on."
                ) from error
            time.sleep(waits.pop(0))
