"""Drops through the gateway, over their real owner."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from messages.drops.drops import PurchaseReserved, ReserveTokens
from tests.api_services import Api, assert_problem, make_services, open_api
from tests.integration.goods_support import GoodsWorld, open_goods
from tests.integration.people_support import People
from tests.unit.drops_entities import HOUR_MS

TERMS = {
    "name": "First  pressing",
    "currency": "USD",
    "price_minor": 1_000,
    "supply": 50,
    "days": 7,
}


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[GoodsWorld]:
    async with open_goods(database_url) as opened:
        yield opened


@pytest.fixture
async def api(world: GoodsWorld, tmp_path: Path) -> AsyncIterator[Api]:
    services = make_services(tmp_path, world.pool, handles=world.handles, clock=world.clock)
    async with open_api(services) as opened:
        yield opened


@pytest.fixture
async def people(api: Api) -> People:
    made = People(api)
    await made.add("adam", role="admin")
    await made.add("bea", "carl")
    return made


async def dropped(people: People, **changes: Any) -> tuple[str, str]:
    """(song id, id of its active drop) of the artist mira."""
    song_id = await people.artist("mira")
    drafted = await people.post("mira", "drops", {"song_id": song_id, **TERMS, **changes})
    assert drafted.status_code == 201, drafted.text
    drop_id = drafted.json()["drop_id"]
    active = await people.post("mira", f"drops/{drop_id}/activation")
    assert (active.status_code, active.json()["status"]) == (200, "active"), active.text
    return song_id, drop_id


async def bought(world: GoodsWorld, buyer: str, drop_id: str, count: int) -> str:
    """What a purchase does of it; its reservation's id."""
    reservation_id = str(uuid.uuid4())
    command = ReserveTokens(reservation_id, buyer, count, world.now_ms + HOUR_MS)
    await world.drop(command, drop_id=drop_id)
    await world.drop(PurchaseReserved(reservation_id), drop_id=drop_id)
    return reservation_id


async def test_from_the_draft_to_the_tokens_of_a_fan(people: People, world: GoodsWorld) -> None:
    song_id, drop_id = await dropped(people)
    bea = people.ids["bea"]
    await world.fund(bea, amount_minor=10_000)
    first = await bought(world, bea, drop_id, 2)
    world.now_ms += 1
    second = await bought(world, bea, drop_id, 1)
    seen = (await people.get("carl", f"drops/{drop_id}")).json()
    assert seen == {
        **TERMS, "name": "First pressing", "drop_id": drop_id, "song_id": song_id,
        "artist_user_id": people.ids["mira"], "status": "active", "cap": 5, "reserved": 0,
        "minted": 3, "burned": 0, "left": 47, "ends_at_ms": seen["ends_at_ms"],
        "drafted_at_ms": seen["drafted_at_ms"],
    }  # fmt: skip
    for query in (f"song_id={song_id}", "status=active", f"artist_user_id={people.ids['mira']}"):
        assert (await people.get("carl", f"drops?{query}")).json()["items"] == [seen]
    page = (await people.get("bea", "users/me/tokens?limit=2")).json()
    rest = (await people.get("bea", f"users/me/tokens?cursor={page['next_cursor']}")).json()
    shown = [(one["token"], one["reservation_id"]) for one in page["items"] + rest["items"]]
    assert shown == [(3, second), (2, first), (1, first)]
    assert (page["items"][0]["name"], rest["next_cursor"]) == ("First pressing", None)
    assert (await people.get("carl", "users/me/tokens")).json()["items"] == []
    await world.verify()


async def test_a_drop_is_of_a_song_of_ones_own(people: People) -> None:
    song_id = await people.artist("mira")
    await people.artist("nora")
    body = {"song_id": song_id, **TERMS}
    assert_problem(await people.post("bea", "drops", body), 403, "permission-missing")
    assert_problem(await people.post("nora", "drops", body), 403, "song-not-yours")
    unknown = {**body, "song_id": str(uuid.uuid4())}
    assert_problem(await people.post("mira", "drops", unknown), 404, "song-not-found")
    wrong = await people.post("mira", "drops", {**body, "days": 91})
    assert assert_problem(wrong, 422, "drop-invalid")["params"]["field"] == "days"
    first = await people.post("mira", "drops", body, "drop-it-1")
    assert (await people.post("mira", "drops", body, "drop-it-1")).json() == first.json()
    again = await people.post("mira", "drops", {**body, "days": 1}, "drop-it-1")
    assert_problem(again, 422, "idempotency-key-reused")
    assert len((await people.get("bea", "drops?status=draft")).json()["items"]) == 1


async def test_who_may_say_how_a_drop_goes(people: People) -> None:
    _, drop_id = await dropped(people)
    await people.artist("nora")
    for name, code in (("bea", "permission-missing"), ("nora", "drop-not-yours")):
        for step, body in (("activation", None), ("pause", None), ("cancellation", {})):
            answer = await people.post(name, f"drops/{drop_id}/{step}", body)
            assert_problem(answer, 403, code)
    assert (await people.post("mira", f"drops/{drop_id}/pause")).json()["status"] == "paused"
    assert_problem(await people.post("mira", f"drops/{drop_id}/pause"), 409, "drop-state-forbids")
    ended = await people.post("adam", f"drops/{drop_id}/cancellation", {"reason": "a fake"})
    assert ended.json()["status"] == "cancelled"
    unknown = f"drops/{uuid.uuid4()}"
    assert_problem(await people.post("mira", f"{unknown}/pause"), 404, "drop-not-found")
    assert_problem(await people.get("mira", unknown), 404, "drop-not-found")
