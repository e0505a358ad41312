"""Registering an identity through the gateway, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.field import SCALAR_ORDER
from storage.database import Pool
from tests.api_services import NOW_MS, Api, Clock, assert_problem, make_services, open_api

PATH = "/api/v1/users/me/identity"


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        assert (await opened.register()).status_code == 201
        assert (await opened.sign_in()).status_code == 201
        yield opened


async def put(api: Api, commitment: Any) -> Any:
    return await api.client.put(PATH, json={"commitment": commitment}, headers=api.headers())


async def facts(api: Api) -> list[dict[str, Any]]:
    rows = await api.pool.fetch("select body from bus.outbox where type = 'IdentityRegistered'")
    return [msgspec.json.decode(row["body"]) for row in rows]


async def test_an_identity_is_registered_replaced_and_seen(api: Api) -> None:
    assert_problem(await api.client.get(PATH, headers=api.headers()), 404, "identity-not-found")
    first = await put(api, "123")
    assert first.json() == {"commitment": "123", "number": 1, "registered_at_ms": NOW_MS}
    clock = api.services.clock
    assert isinstance(clock, Clock)
    clock.now_ms += 1_000
    assert (await put(api, "123")).json() == first.json()
    second = await put(api, str(SCALAR_ORDER - 1))
    assert second.json()["number"] == 2
    assert second.json()["registered_at_ms"] == NOW_MS + 1_000
    assert (await api.client.get(PATH, headers=api.headers())).json() == second.json()
    told = await facts(api)
    assert [fact["number"] for fact in told] == [1, 2]
    assert "123" not in {str(value) for fact in told for value in fact.values()}


async def test_what_is_no_commitment_changes_nothing(api: Api) -> None:
    await put(api, "123")
    for bad in ("0", "abc", "-1", str(SCALAR_ORDER)):
        assert_problem(await put(api, bad), 422, "identity-commitment-invalid")
    unfit: tuple[Any, ...] = (7, None, "1" * 78)
    for bad in unfit:
        assert_problem(await put(api, bad), 422, "invalid-request")
    seen = await api.client.get(PATH, headers=api.headers())
    assert seen.json()["commitment"] == "123"
    assert len(await facts(api)) == 1


async def test_users_do_not_see_each_others_and_strangers_none(api: Api) -> None:
    await put(api, "123")
    await api.register("nova")
    await api.sign_in("nova")
    assert_problem(await api.client.get(PATH, headers=api.headers()), 404, "identity-not-found")
    api.token = ""
    assert_problem(await put(api, "5"), 401, "unauthenticated")
