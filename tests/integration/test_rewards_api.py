"""Rewards and listening through the gateway, over real owners: pools, earnings, sessions."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis_asyncio

from messages.ledger import transfer
from messages.rewards import TREASURY, available_account
from storage import ledger
from tests.api_services import Api, assert_problem, make_services, open_api
from tests.integration.rewards_support import DAY_MS, VIBES, World, open_world, until
from tests.unit.listening_player import session_id

BODY = {"name": "Everyone"}


@pytest.fixture
async def world(
    database_url: str, redis_client: redis_asyncio.Redis, redis_server: str
) -> AsyncIterator[World]:
    async with open_world(database_url, redis_server) as opened:
        yield opened


@pytest.fixture
async def api(world: World, tmp_path: Path) -> AsyncIterator[Api]:
    services = make_services(tmp_path, world.pool, handles=world.handles, clock=world.clock)
    async with open_api(services) as opened:
        yield opened


async def sign_in(api: Api, name: str = "mira", role: str = "user") -> str:
    user_id: str = (await api.register(name)).json()["user_id"]
    await api.pool.execute("update users.users set role = $2 where user_id = $1", user_id, role)
    assert (await api.sign_in(name)).status_code == 201
    return user_id


async def post(api: Api, path: str, body: Any, key: str | None = None) -> Any:
    return await api.client.post(f"/api/v1/{path}", json=body, headers=api.headers(key))


async def get(api: Api, path: str) -> Any:
    return await api.client.get(f"/api/v1/{path}", headers=api.headers())


async def test_an_admin_opens_and_funds_a_pool_once_for_each_key(api: Api) -> None:
    await sign_in(api, role="admin")
    opened = await post(api, "reward-pools", BODY, "open-pool-1")
    assert opened.status_code == 201, opened.text
    assert opened.json()["multiplier_bps"] == 10_000
    assert (await post(api, "reward-pools", BODY, "open-pool-1")).json() == opened.json()
    pool_id = opened.json()["pool_id"]
    funding = {"amount_minor": 5 * VIBES, "source": "treasury"}
    path = f"reward-pools/{pool_id}/fundings"
    for _ in range(2):
        funded = await post(api, path, funding, "fund-pool-1")
        assert (funded.status_code, funded.json()["balance_minor"]) == (201, 5 * VIBES)
    assert (await get(api, f"reward-pools/{pool_id}")).json() == funded.json()
    listed = (await get(api, "reward-pools")).json()
    assert [(p["pool_id"], p["balance_minor"]) for p in listed["items"]] == [(pool_id, 5 * VIBES)]
    other = await post(api, path, {**funding, "amount_minor": 1}, "fund-pool-1")
    assert_problem(other, 422, "idempotency-key-reused")


async def test_a_sponsor_funds_from_the_own_balance_and_no_more(api: Api, world: World) -> None:
    await sign_in(api, "admin", role="admin")
    pool_id = (await post(api, "reward-pools", BODY)).json()["pool_id"]
    user_id = await sign_in(api)
    mine = available_account(f"user:{user_id}")
    async with world.pool.acquire() as connection, connection.transaction():
        gift = transfer(b"gift" * 4, TREASURY, mine, 3 * VIBES, cause="gift", purpose="test")
        await ledger.post(connection, [gift], 1)
    path = f"reward-pools/{pool_id}/fundings"
    refused = await post(api, path, {"amount_minor": 3 * VIBES + 1})
    assert_problem(refused, 409, "insufficient-funds")
    funded = await post(api, path, {"amount_minor": 2 * VIBES})
    assert (funded.status_code, funded.json()["balance_minor"]) == (201, 2 * VIBES)
    balances = (await get(api, "users/me/balances")).json()["items"]
    assert {b["purpose"]: b["amount_minor"] for b in balances} == {
        "accrued": 0,
        "available": VIBES,
    }
    await world.verify()


async def test_only_who_may_opens_pools_or_issues_money(api: Api, world: World) -> None:
    await sign_in(api, "admin", role="admin")
    pool_id = (await post(api, "reward-pools", BODY)).json()["pool_id"]
    await sign_in(api)
    assert_problem(await post(api, "reward-pools", BODY), 403, "permission-missing")
    funding = {"amount_minor": 1, "source": "treasury"}
    path = f"reward-pools/{pool_id}/fundings"
    assert_problem(await post(api, path, funding), 403, "permission-missing")
    api.token = ""
    for path in ("users/me/rewards", "users/me/streak", "users/me/balances", "listening/sessions"):
        assert_problem(await get(api, path), 401, "unauthenticated")
    assert await world.balances(TREASURY) == [0]


BAD: list[tuple[str, dict[str, Any], int, str]] = [
    ("reward-pools", {}, 422, "invalid-request"),
    ("reward-pools", {"name": " "}, 422, "reward-pool-invalid"),
    ("reward-pools", {"name": "x" * 101}, 422, "reward-pool-invalid"),
    ("reward-pools", {"name": "x", "epoch_ms": 1}, 422, "reward-pool-invalid"),
    ("reward-pools", {"name": "x", "epoch_ms": 2**60}, 422, "invalid-request"),
    ("reward-pools", {"name": "x", "owner": "me"}, 422, "invalid-request"),
    ("reward-pools/{unknown}/fundings", {"amount_minor": 5}, 404, "reward-pool-not-found"),
    ("reward-pools/{pool}/fundings", {"amount_minor": 0}, 422, "invalid-request"),
    ("reward-pools/{pool}/fundings", {"amount_minor": -5}, 422, "invalid-request"),
    ("reward-pools/{pool}/fundings", {"amount_minor": 10**13}, 422, "reward-amount-invalid"),
    ("reward-pools/{pool}/fundings", {"amount_minor": 5, "source": "bank"}, 422, "invalid-request"),
    ("reward-pools/nonsense/fundings", {"amount_minor": 5}, 422, "invalid-request"),
]


async def test_bad_requests_are_refused_and_move_nothing(api: Api, world: World) -> None:
    await sign_in(api, role="admin")
    pool_id = (await post(api, "reward-pools", BODY)).json()["pool_id"]
    for path, body, status, code in BAD:
        source = {"source": "treasury"} if "amount_minor" in body else {}
        filled = path.format(unknown=uuid.uuid4(), pool=pool_id)
        assert_problem(await post(api, filled, {**source, **body}), status, code)
    unknown = await get(api, f"reward-pools/{uuid.uuid4()}")
    assert_problem(unknown, 404, "reward-pool-not-found")
    assert len((await get(api, "reward-pools")).json()["items"]) == 1
    assert await world.balances(TREASURY) == [0]


async def test_a_gateway_without_owners_says_so(tmp_path: Path, world: World) -> None:
    async with open_api(make_services(tmp_path, world.pool)) as api:
        assert_problem(await get(api, f"reward-pools/{uuid.uuid4()}"), 503, "unavailable")


async def test_what_a_listener_sees_of_the_own_listens(api: Api, world: World) -> None:
    await sign_in(api, "admin", role="admin")
    pool_id = (await post(api, "reward-pools", BODY)).json()["pool_id"]
    funding = {"amount_minor": 1_000 * VIBES, "source": "treasury"}
    await post(api, f"reward-pools/{pool_id}/fundings", funding)
    user_id = await sign_in(api)
    empty = (await get(api, "users/me/streak")).json()
    assert (empty["days"], empty["last_day"], empty["keep_until_ms"]) == (0, None, None)

    mine: dict[str, Any] = {"user": user_id, "pool_id": pool_id}
    await world.listen(1, 60, commitment="77", **mine)
    await world.listen(2, 5, commitment="77", **mine)
    await world.grown(1, pool_id)
    first_paid = await world.claim(await world.signals(1, **mine), **mine)
    world.now_ms += DAY_MS
    await world.listen(3, 100, commitment="77", **mine)
    second_paid = await world.claim(await world.signals(3, min_played_ms=90_000, **mine), **mine)
    await api.sign_in()  # the access token lasts a quarter of an hour

    async def both_paid() -> bool:
        items = (await get(api, "users/me/rewards")).json()["items"]
        return [item["state"] for item in items] == ["paid", "paid"]

    await until(both_paid)
    first = (await get(api, "users/me/rewards?limit=1")).json()
    second = (await get(api, f"users/me/rewards?cursor={first['next_cursor']}")).json()
    items = [item for page in (first, second) for item in page["items"]]
    payments = [second_paid.payment_id, first_paid.payment_id]
    assert [item["reward_id"] for item in items] == payments
    assert [(item["song_id"], item["claims"]) for item in items] == [(None, 1), (None, 1)]
    assert second["next_cursor"] is None
    total = sum(item["amount_minor"] for item in items)
    balances = (await get(api, "users/me/balances")).json()["items"]
    assert {b["purpose"]: b["amount_minor"] for b in balances} == {
        "accrued": 0,
        "available": total,
    }

    async def two_days() -> bool:
        return bool((await get(api, "users/me/streak")).json()["days"] == 2)

    await until(two_days)
    sessions = (await get(api, "listening/sessions")).json()["items"]
    assert [(s["session_id"], s["counted"]) for s in sessions] == [
        (session_id(3), True),
        (session_id(2), False),
        (session_id(1), True),
    ]
    one = (await get(api, f"listening/sessions/{session_id(2)}")).json()
    assert one == sessions[1]
    assert (one["phase"], one["reasons"], one["end_reason"]) == (
        "rejected",
        ["too-short"],
        "ended",
    )
    assert_problem(await get(api, "users/me/rewards?role=artist"), 403, "artist-required")
    await sign_in(api, "stranger")
    hidden = await get(api, f"listening/sessions/{session_id(2)}")
    assert_problem(hidden, 404, "listening-session-not-found")
    assert (await get(api, "listening/sessions")).json() == {"items": [], "next_cursor": None}


async def test_what_an_artist_earned(api: Api, world: World) -> None:
    await sign_in(api, "admin", role="admin")
    pool_id = (await post(api, "reward-pools", BODY)).json()["pool_id"]
    funding = {"amount_minor": 1_000 * VIBES, "source": "treasury"}
    await post(api, f"reward-pools/{pool_id}/fundings", funding)
    await api.become_artist("nova")
    artist_id = str(await api.pool.fetchval("select artist_id from music.artists"))
    await world.listen(1, 60, pool_id=pool_id, artist_id=artist_id)

    async def arrived() -> bool:
        return len((await get(api, "users/me/rewards?role=artist")).json()["items"]) == 1

    await until(arrived)
    [share] = (await get(api, "users/me/rewards?role=artist")).json()["items"]
    assert (share["state"], share["paid_at_ms"]) == ("pending", None)
    assert 50_000 <= share["amount_minor"] <= 50_100
    balances = (await get(api, "users/me/balances")).json()["items"]
    accrued = {(b["role"], b["purpose"]): b["amount_minor"] for b in balances}
    assert accrued["artist", "accrued"] == share["amount_minor"]
    assert accrued["listener", "accrued"] == 0
