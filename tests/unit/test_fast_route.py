"""A fast route answers every request as the usual one does, byte for byte."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st

from api.fast_route import FastRoute
from api.idempotency import KeyHeader
from api.market_batch import Orders
from api.market_orders import NewOrder, OrderId

ISSUE = "0197aaaa-1111-8222-8333-444455556666"
KEY = {"Idempotency-Key": "key-12345", "Authorization": "yes"}
ORDER = {"side": "buy", "shares": 1, "price_minor": 5, "time_in_force": "ioc"}
MANY = {"orders": [{"op": "place", **ORDER}, {"op": "cancel", "order_id": 7}]}
USED: list[str] = []


async def permitted(request: Request) -> str:
    said = request.headers.get("authorization")
    if said is None:
        raise HTTPException(401)
    return said


Who = Annotated[str, Depends(permitted)]


async def place(issue_id: UUID, body: NewOrder, key: KeyHeader, who: Who) -> Response:
    told = {"issue": str(issue_id), "key": key, "who": who, "body": body.model_dump()}
    return Response(json.dumps(told), 201)


async def many(issue_id: UUID, body: Orders, key: KeyHeader, who: Who) -> Response:
    return Response(json.dumps({"key": key, "body": body.model_dump()}))


async def cancel(issue_id: UUID, order_id: OrderId, key: KeyHeader, who: Who) -> Response:
    return Response(json.dumps({"order": order_id, "key": key}))


async def look(issue_id: UUID, levels: int = 3) -> Response:
    return Response(str(levels))


async def watch(request: Request, call_next: Any) -> Any:
    answer = await call_next(request)
    USED.append("usual" if "fastapi_inner_astack" in request.scope else "fast")
    return answer


def make(route_class: type[APIRoute]) -> FastAPI:
    router = APIRouter(prefix="/books/{issue_id}", route_class=route_class)
    router.post("/orders")(place)
    router.post("/batch")(many)
    router.delete("/orders/{order_id}")(cancel)
    router.get("/look")(look)
    app = FastAPI()
    app.middleware("http")(watch)
    app.router.routes.extend(router.routes)
    return app


APPS = [make(FastRoute), make(APIRoute)]


async def both(method: str, path: str, **request: Any) -> tuple[httpx.Response, str]:
    """The answer, and which way it came. Asserts that both routes gave the same."""
    USED.clear()
    answers = []
    for app in APPS:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answers.append(await client.request(method, path, **request))
    fast, usual = answers
    assert (fast.status_code, fast.content) == (usual.status_code, usual.content)
    assert fast.headers == usual.headers
    assert USED[1] == "usual" or usual.status_code == 405
    return fast, USED[0]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "orders", ORDER, 201),
        ("POST", "batch", MANY, 200),
        ("DELETE", "orders/7", None, 200),
    ],
)
async def test_what_fits_is_read_fast(method: str, path: str, body: Any, status: int) -> None:
    answer, way = await both(method, f"/books/{ISSUE}/{path}", json=body, headers=KEY)
    assert (answer.status_code, way) == (status, "fast")


async def test_a_dependency_refuses_what_fits() -> None:
    headers = {"Idempotency-Key": "key-12345"}
    answer, way = await both("POST", f"/books/{ISSUE}/orders", json=ORDER, headers=headers)
    assert (answer.status_code, way) == (401, "fast")


TEXT = {**KEY, "Content-Type": "text/plain"}
TYPED = {**KEY, "Content-Type": "application/json"}
ODD: list[tuple[str, str, dict[str, Any], int]] = [
    ("POST", f"/books/{ISSUE}/orders", {"json": ORDER, "headers": {"Authorization": "yes"}}, 422),
    ("POST", f"/books/{ISSUE}/orders", {"json": ORDER}, 401),
    ("POST", "/books/nonsense/orders", {"json": ORDER, "headers": KEY}, 422),
    ("POST", f"/books/{ISSUE}/orders", {"json": {**ORDER, "more": 1}, "headers": KEY}, 422),
    ("POST", f"/books/{ISSUE}/orders", {"content": b"", "headers": TYPED}, 422),
    ("POST", f"/books/{ISSUE}/orders", {"content": b"{nope", "headers": TYPED}, 422),
    ("POST", f"/books/{ISSUE}/orders", {"content": b"\xff", "headers": TYPED}, 400),
    ("POST", f"/books/{ISSUE}/orders", {"content": json.dumps(ORDER), "headers": TEXT}, 422),
    ("POST", f"/books/{ISSUE}/orders", {"content": json.dumps(ORDER), "headers": KEY}, 422),
    ("DELETE", f"/books/{ISSUE}/orders/0", {"headers": KEY}, 422),
    ("PUT", f"/books/{ISSUE}/orders/1", {"headers": KEY}, 405),
    ("GET", f"/books/{ISSUE}/look?levels=x", {}, 422),
    ("GET", f"/books/{ISSUE}/look?levels=9", {}, 200),
]


@pytest.mark.parametrize(("method", "path", "request_", "status"), ODD)
async def test_what_does_not_fit_goes_the_usual_way(
    method: str, path: str, request_: dict[str, Any], status: int
) -> None:
    answer, _ = await both(method, path, **request_)
    assert answer.status_code == status


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["buy", "sell", "ioc", "limit", "1", "1.0", " 7", "é", ""]),
    st.lists(st.integers(0, 2), max_size=2),
)
NAMES = st.sampled_from([*NewOrder.model_fields, "op", "order_id", "more"])
BODIES = st.dictionaries(NAMES, VALUES).map(lambda changed: {**ORDER, **changed})


@given(BODIES)
def test_any_order_is_read_alike(body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    asyncio.run(_alike("orders", content))


@given(st.lists(BODIES, max_size=3))
def test_any_orders_are_read_alike(bodies: list[dict[str, Any]]) -> None:
    content = json.dumps({"orders": [{"op": "place", **body} for body in bodies]}).encode()
    asyncio.run(_alike("batch", content))


async def _alike(path: str, content: bytes) -> None:
    await both("POST", f"/books/{ISSUE}/{path}", content=content, headers=TYPED)
