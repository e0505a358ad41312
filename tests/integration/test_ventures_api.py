"""Ventures through the gateway, over their real owner."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from messages.ventures.ventures import Invest
from tests.api_services import Api, assert_problem, make_services, open_api
from tests.integration.goods_support import GoodsWorld, open_goods
from tests.integration.people_support import People
from tests.unit.rewards_entities import DAY_MS

NAME = {"benefit_id": "name", "text": "Your name on it"}
VINYL = {"benefit_id": "signed-vinyl", "text": "A signed record"}
TIERS = [
    {"tier": "bronze", "from_minor": 500, "benefits": [NAME]},
    {"tier": "gold", "from_minor": 2_000, "benefits": [NAME, VINYL]},
]
TERMS = {
    "name": "A second record",
    "pitch": "Twelve songs.",
    "currency": "USD",
    "goal_minor": 3_000,
    "cap_minor": 20_000,
    "least_minor": 100,
    "most_minor": 3_000,
    "tiers": TIERS,
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


async def drafted(people: People, world: GoodsWorld, **changes: Any) -> str:
    """The id of a venture of the artist mira."""
    song_id = await people.artist("mira")
    body = {**TERMS, "song_id": song_id, "deadline_ms": world.now_ms + 2 * DAY_MS, **changes}
    made = await people.post("mira", "ventures", body)
    assert made.status_code == 201, made.text
    return str(made.json()["venture_id"])


async def opened(people: People, world: GoodsWorld) -> str:
    venture_id = await drafted(people, world)
    answer = await people.post("mira", f"ventures/{venture_id}/opening")
    assert (answer.status_code, answer.json()["status"]) == (200, "open"), answer.text
    return venture_id


async def invested(world: GoodsWorld, venture_id: str, investor: str, amount: int) -> str:
    """What a purchase does of it; the investment's id."""
    await world.fund(investor, amount_minor=amount)
    command = Invest(str(uuid.uuid4()), investor, amount)
    await world.venture(command, venture_id=venture_id)
    return command.investment_id


async def test_from_the_draft_to_a_benefit_that_is_there(people: People, world: GoodsWorld) -> None:
    venture_id = await opened(people, world)
    await invested(world, venture_id, people.ids["bea"], 2_500)
    world.now_ms += 1
    await invested(world, venture_id, people.ids["carl"], 600)
    seen = (await people.get("carl", f"ventures/{venture_id}")).json()
    assert seen["tiers"] == TIERS
    assert (seen["raised_minor"], seen["escrow_minor"], seen["investors"]) == (3_100, 3_100, 2)
    assert (await people.get("bea", "ventures?status=open")).json()["items"] == [seen]
    world.now_ms += 2 * DAY_MS
    for name in ("adam", "bea", "carl", "mira"):
        await people.come_back(name)

    async def look() -> Any:
        return (await people.get("carl", f"ventures/{venture_id}")).json()

    funded = await world.until(lambda one: one["status"] == "funded", look)
    assert (funded["escrow_minor"], funded["fee_minor"]) == (0, 77)
    route = f"ventures/{venture_id}/benefits"
    mine = (await people.get("bea", route)).json()
    assert (mine["tier"], mine["invested_minor"]) == ("gold", 2_500)
    assert [one["status"] for one in mine["benefits"]] == ["due", "due"]
    everyone = {"investor_ids": [people.ids["bea"], people.ids["carl"]]}
    assert_problem(
        await people.post("mira", f"{route}/signed-vinyl/deliveries", everyone),
        404, "benefit-not-found",
    )  # fmt: skip
    assert (await people.post("mira", f"{route}/name/deliveries", everyone)).status_code == 200
    confirmed = await people.post("bea", f"{route}/name/confirmation")
    assert confirmed.json()["benefits"][0]["status"] == "confirmed"
    contested = await people.post("carl", f"{route}/name/contest", {"reason": "misspelt"})
    assert contested.json()["benefits"][0]["status"] == "contested"
    early = await people.post("bea", f"{route}/signed-vinyl/confirmation")
    assert_problem(early, 409, "benefit-state-forbids")
    listed = await pages(people, f"ventures/{venture_id}/investors")
    told = {
        (one["investor_id"], benefit["benefit_id"]): (benefit["status"], benefit["reason"])
        for one in listed
        for benefit in one["benefits"]
    }
    assert told == {
        (people.ids["bea"], "name"): ("confirmed", ""),
        (people.ids["bea"], "signed-vinyl"): ("due", ""),
        (people.ids["carl"], "name"): ("contested", "misspelt"),
    }
    assert {one["tier"] for one in listed} == {"gold", "bronze"}
    [own] = (await people.get("bea", "users/me/investments")).json()["items"]
    assert (own["status"], own["venture_status"], own["name"]) == (
        "funded", "funded", TERMS["name"],
    )  # fmt: skip
    await world.verify()


async def pages(people: People, path: str) -> list[Any]:
    """All of a listing of mira's, one by one."""
    items, cursor = [], ""
    for _ in range(9):
        page = (await people.get("mira", f"{path}?limit=1{cursor}")).json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = f"&cursor={page['next_cursor']}"
    raise AssertionError("a listing without an end")


async def test_terms_are_checked_and_a_key_drafts_once(people: People, world: GoodsWorld) -> None:
    song_id = await people.artist("mira")
    await people.artist("nora")
    body = {**TERMS, "deadline_ms": world.now_ms + 2 * DAY_MS}
    assert_problem(await people.post("bea", "ventures", body), 403, "permission-missing")
    not_hers = {**body, "song_id": song_id}
    assert_problem(await people.post("nora", "ventures", not_hers), 403, "song-not-yours")
    wrong = await people.post("mira", "ventures", {**body, "tiers": TIERS[::-1]})
    assert assert_problem(wrong, 422, "venture-invalid")["params"]["field"] == "tiers"
    first = await people.post("mira", "ventures", body, "raise-it-1")
    assert first.json()["song_id"] is None
    assert (await people.post("mira", "ventures", body, "raise-it-1")).json() == first.json()
    assert len((await people.get("bea", "ventures")).json()["items"]) == 1


async def test_who_may_say_how_a_round_goes(people: People, world: GoodsWorld) -> None:
    venture_id = await drafted(people, world)
    await people.artist("nora")
    deliver = {"investor_ids": [people.ids["bea"]]}
    for name, code in (("bea", "permission-missing"), ("nora", "venture-not-yours")):
        for step, body in (
            ("opening", None), ("cancellation", {}), ("benefits/name/deliveries", deliver),
        ):  # fmt: skip
            answer = await people.post(name, f"ventures/{venture_id}/{step}", body)
            assert_problem(answer, 403, code)
        listed = await people.get(name, f"ventures/{venture_id}/investors")
        assert_problem(listed, 403, code)
    opening = await people.post("adam", f"ventures/{venture_id}/opening")
    assert opening.json()["status"] == "open"
    again = await people.post("mira", f"ventures/{venture_id}/opening")
    assert_problem(again, 409, "venture-state-forbids")
    route = f"ventures/{venture_id}/benefits/name/deliveries"
    assert_problem(await people.post("mira", route, deliver), 409, "venture-state-forbids")
    ended = await people.post("mira", f"ventures/{venture_id}/cancellation", {"reason": "ill"})
    assert ended.json()["status"] == "cancelled"
    unknown = f"ventures/{uuid.uuid4()}"
    assert_problem(await people.post("mira", f"{unknown}/opening"), 404, "venture-not-found")
    assert_problem(await people.get("mira", unknown), 404, "venture-not-found")


async def test_an_investment_is_its_investors_alone(people: People, world: GoodsWorld) -> None:
    venture_id = await opened(people, world)
    investment_id = await invested(world, venture_id, people.ids["bea"], 600)
    route = f"ventures/{venture_id}/investments/{investment_id}/withdrawal"
    for name in ("carl", "mira", "adam"):
        assert_problem(await people.post(name, route), 404, "investment-not-found")
    back = (await people.post("bea", route)).json()
    assert (back["status"], back["amount_minor"], back["invested_minor"]) == ("withdrawn", 600, 0)
    assert await world.balances(f"user:{people.ids['bea']}:available/USD") == [600]
    [own] = (await people.get("bea", "users/me/investments")).json()["items"]
    assert own["status"] == "withdrawn"
    assert (await people.get("carl", "users/me/investments")).json()["items"] == []
    assert (await people.get("carl", f"ventures/{venture_id}/benefits")).json()["benefits"] == []
    await world.verify()
