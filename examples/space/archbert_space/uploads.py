"""Requests that are too large are refused by the size that they announce, before anything of them is read."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.middleware import Middleware

from .limits import Limits

FORM_BYTES = 64 * 1024
"""What a form may have beside the file."""
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class UploadLimit:
    """ASGI middleware: 413 for a request whose `Content-Length` is above a limit.

    Args:
        app: the application behind it.
        limit: bytes that are allowed.
        message: what is answered.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], limit: int, message: str) -> None:
        self.app, self.limit, self.message = app, limit, message

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        announced = dict(scope.get("headers", ())).get(b"content-length", b"0")
        if scope["type"] != "http" or (announced.isdigit() and int(announced) <= self.limit):
            await self.app(scope, receive, send)
            return
        body = json.dumps({"detail": self.message}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
                   (b"connection", b"close")]  # fmt: skip
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def upload_limit(limits: Limits) -> Middleware:
    """The middleware with the limits of the demo."""
    message = (
        f"The file is larger than {limits.upload_mib} MiB. Of a network on the Hub give the id, of weights the "
        "config.json beside them."
    )
    return Middleware(UploadLimit, limit=limits.upload_mib * 2**20 + FORM_BYTES, message=message)
