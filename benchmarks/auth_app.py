"""The gateway over nothing with two routes that do nothing, open and for members, both limited.

    python -m benchmarks.auth_app PORT FIRST

serves it under uvicorn, says `ready TOKEN`, and ends when its input ends.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response

from api.app import create_app
from api.auth import Member, public
from api.discovery import PONG
from api.guards import guard
from api.rate_limits import Limiter
from api.services import Services
from benchmarks.gateway_server import open_app
from domain.rate_limits import LIMITS, changed
from integrations.tokens import AccessTokens, Grant
from messages.users import Role
from messages.users_sessions import Method
from storage.rate_limits import LocalRates

OPEN, AUTHORISED = "/benchmark/open", "/benchmark/authorised"
# No round is to end at a limit; each request is counted all the same.
PLENTY = dict.fromkeys(("address", "anonymous", "reads"), "1000000000/1")

open_routes, member_routes = APIRouter(), APIRouter()


@open_routes.get(OPEN)
@public
async def open_no_op() -> Response:
    """For anybody."""
    return Response(PONG, media_type="application/json")


@member_routes.get(AUTHORISED)
async def authorised_no_op(_subject: Member) -> Response:
    """For members."""
    return Response(PONG, media_type="application/json")


def make_app(folder: Path, first: str = OPEN) -> tuple[FastAPI, Services]:
    """The real application and edge; its limits are counted in this process.

    first: which of the two routes is looked at before the other, which costs that one a little.
    """
    services: Services = open_app(folder).state.services
    rates = LocalRates(lambda: time.monotonic_ns() // 1_000)
    limiter = Limiter(rates, time.monotonic, changed(LIMITS, PLENTY))
    services = replace(services, limiter=limiter)
    app = create_app(services)
    for one in (open_routes, member_routes):
        app.include_router(guard(one))
    routes: list[Any] = app.router.routes
    ours = routes[-2:] if first == OPEN else [routes[-1], routes[-2]]
    routes[:] = [*ours, *routes[:-2]]  # or the way to them would be what is measured
    return app, services


def issue(tokens: AccessTokens, now_ms: int) -> str:
    """An access token as a sign-in gives it."""
    user_id, session_id, token_id = (str(uuid.uuid4()) for _ in range(3))
    grant = Grant(user_id, session_id, (Role.USER,), (Method.PASSWORD,), now_ms)
    return tokens.issue(grant, token_id, now_ms)


def run(port: int, first: str) -> None:
    """Serve until the input ends."""
    import uvicorn

    with tempfile.TemporaryDirectory() as folder:
        app, services = make_app(Path(folder), first)
        config = uvicorn.Config(app, port=port, log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        token = issue(services.tokens, services.clock())
        threading.Thread(target=_until_input_ends, args=(server, token), daemon=True).start()
        server.run()


def _until_input_ends(server: Any, token: str) -> None:
    _await(lambda: server.started)
    print(f"ready {token}", flush=True)
    sys.stdin.read()
    server.should_exit = True


def _await(is_so: Callable[[], bool]) -> None:
    while not is_so():
        time.sleep(0.01)


if __name__ == "__main__":
    run(int(sys.argv[1]), sys.argv[2])
