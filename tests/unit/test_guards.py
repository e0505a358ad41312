"""A permission is asked for before anything of the request is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.app import CONTEXTS
from api.guards import GUARDED, guard
from tests.api_services import Api, assert_problem, make_services, open_api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path)) as opened:
        yield opened


async def test_nobody_s_body_is_read_before_they_are_known(api: Api) -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"{nope"

    headers = {"Content-Type": "application/json"}
    answer = await api.client.post("/api/v1/artists", content=body(), headers=headers)
    assert_problem(answer, 401, "unauthenticated")
    assert not read


async def test_what_is_wrong_with_a_path_is_no_business_of_strangers(api: Api) -> None:
    answer = await api.client.get("/api/v1/listening/sessions/not-an-id")
    assert_problem(answer, 401, "unauthenticated")


def test_every_route_with_a_permission_is_guarded_and_shows_the_same() -> None:
    guarded = 0
    for context in CONTEXTS:
        before = [route.endpoint for route in context.router.routes]
        guard(context.router)
        for route, endpoint in zip(context.router.routes, before, strict=True):
            assert route.__dict__[GUARDED]
            assert route.endpoint is endpoint, "guarded once, however often"
            guarded += hasattr(endpoint, "__signature__")
    assert guarded > 30
