"""The index of routes finds what asking each of them finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from httpx import ASGITransport, AsyncClient

from api.app import create_app
from api.fast_route import FastRoute
from api.routing import index
from tests.api_services import make_services


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return create_app(make_services(tmp_path))


def test_every_route_is_found_by_its_own_path(app: FastAPI) -> None:
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    assert len(routes) > 150
    assert any(isinstance(route, FastRoute) for route in routes)
    groups = app.router.middleware_stack._groups  # type: ignore[attr-defined]
    for route in routes:
        beginning = re.sub(r"^/api/v1/", "", route.path).split("/")[0] or "/"
        found = groups.get(beginning) or groups["/" + route.path[1:].partition("/")[0]]
        assert route in found.__self__.routes, route.path


async def test_what_is_not_there_and_what_cannot_be_done(app: FastAPI) -> None:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        assert (await client.get("/api/v1/ping")).status_code == 200
        assert (await client.delete("/api/v1/ping")).status_code == 405
        for path in ("/api/v1/ping/more", "/api/v1/pin", "/api/v1/", "/api/v1", "/nowhere", "//"):
            assert (await client.get(path)).status_code == 404, path


def test_a_route_that_may_begin_with_anything_is_a_mistake() -> None:
    app = FastAPI(openapi_url=None)
    app.get("/api/v1/{name}")(lambda name: name)
    with pytest.raises(AssertionError, match="begin with anything"):
        index(app.router)
