"""What the stand-ins of providers share: keys of requests, faults over HTTP, lost answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.payments.clock import Clock
from simulators.payments.faults import Faults

Json = dict[str, Any]


class KeyReusedError(Exception):
    """The key came with another request."""


class Keys:
    """Requests by their keys: the same again is answered as the first was."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[bytes, Json]] = {}

    async def once(
        self, key: str, said: bytes, handle: Callable[[], Awaitable[Json]]
    ) -> tuple[Json, bool]:
        """The answer, and whether it is an old one. Raises KeyReusedError."""
        found = self.known.get(key)
        if key and found is not None:
            if found[0] != said:
                raise KeyReusedError
            return found[1], True
        answer = await handle()
        if key:
            self.known[key] = said, json.loads(json.dumps(answer))
        return answer, False


class Broken(Response):
    """A connection that breaks before the answer."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": False})


def controls(
    faults: Faults, clock: Clock, happen: Callable[[Request], Awaitable[Response]]
) -> list[Route]:
    """What no provider has: its plan of faults, its clock, and what `happen`s elsewhere."""

    async def set_faults(request: Request) -> Response:
        """Replace the plan by the one that is sent."""
        try:
            faults.set(await request.json())
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"faults": len(faults.plan)})

    return [
        Route("/_simulator/faults", set_faults, methods=["POST"]),
        Route("/_simulator/clock", clock.set, methods=["POST"]),
        Route("/_simulator/{id}/{what}", happen, methods=["POST"]),
    ]


def serve(app: Starlette, port: int) -> None:
    """Serve on loopback until it is ended."""
    config = uvicorn.Config(app, "127.0.0.1", port, log_level="critical", access_log=False)
    asyncio.run(uvicorn.Server(config).serve())
