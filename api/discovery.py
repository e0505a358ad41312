"""Where things are: the realtime WebSocket addresses, and a route that does nothing."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api.auth import public
from api.services import ServicesDep

router = APIRouter(prefix="/api/v1")

HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::(\d{1,5}))?", re.ASCII)
PONG = b'{"pong":true}'


class Pong(BaseModel):
    """The gateway answers."""

    pong: bool


class Realtime(BaseModel):
    """WebSocket addresses, best first. The protocol is the same on each."""

    direct: list[str] = Field(description="Listeners of the realtime replicas.")
    fallback: str = Field(description="Through the HTTP port, where no other port can be reached.")


@router.get("/ping", tags=["operations"], response_model=Pong)
@public
async def ping() -> Response:
    """Answer, and do nothing else: what a request costs at the least."""
    return Response(PONG, media_type="application/json")


@router.get("/realtime", tags=["realtime"])
@public
async def get_realtime(services: ServicesDep, request: Request) -> Realtime:
    """The addresses at which realtime clients connect."""
    host, port = _host_of(request)
    endpoints = await services.realtime()

    def fill(url: str) -> str:
        return url.replace("{host}", host).replace("{port}", port)

    return Realtime(
        direct=[fill(url) for url in endpoints.direct], fallback=fill(endpoints.fallback)
    )


def _host_of(request: Request) -> tuple[str, str]:
    """(host, port) by which the caller reached us; loopback if the header makes no sense."""
    match = HOST.fullmatch(request.headers.get("host", ""))
    if match is None:
        return "127.0.0.1", "80"
    return match[1], match[2] or ("443" if request.url.scheme == "https" else "80")
