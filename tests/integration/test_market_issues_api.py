"""Share issues through the gateway, over their real owner, up to a statement that was checked."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from domain.policy import MarketPolicy
from tests.api_services import Api, assert_problem, make_services, open_api
from tests.integration.market_support import MarketWorld, open_market
from tests.integration.people_support import People
from tests.integration.rewards_support import DAY_MS, until

CHECKER = Path(__file__).resolve().parents[2] / "tools" / "check_statement.py"
TERMS = {
    "currency": "EUR",
    "shares": 1_000,
    "retained": 400,
    "price_minor": 250,
    "minimum": 5,
    "tick_minor": 10,
}


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MarketWorld]:
    async with open_market(database_url) as opened:
        yield opened


@pytest.fixture
async def api(world: MarketWorld, tmp_path: Path) -> AsyncIterator[Api]:
    services = make_services(
        tmp_path, world.pool, handles={"market": world.handle}, clock=world.clock
    )
    async with open_api(services) as opened:
        yield opened


@pytest.fixture
async def people(api: Api) -> People:
    made = People(api)
    await made.add("adam", role="admin")
    await made.add("bea", "carl")
    return made


async def issued(people: People, **changes: Any) -> tuple[str, str]:
    """(song id, id of its active issue) of the artist mira."""
    song_id = await people.artist("mira")
    drafted = await people.post("mira", "issues", {"song_id": song_id, **TERMS, **changes})
    assert drafted.status_code == 201, drafted.text
    issue_id = drafted.json()["issue_id"]
    active = await people.post("adam", f"issues/{issue_id}/activation")
    assert (active.status_code, active.json()["status"]) == (200, "active"), active.text
    return song_id, issue_id


async def credit(people: People, *names: str, amount_minor: int = 1_000_000) -> None:
    for name in names:
        body = {"user_id": people.ids[name], "currency": "EUR", "amount_minor": amount_minor}
        answer = await people.post("adam", "treasury/credits", body)
        assert answer.status_code == 201, answer.text


async def test_from_the_draft_to_a_statement_that_anyone_can_check(
    people: People, world: MarketWorld, tmp_path: Path
) -> None:
    _, issue_id = await issued(people)
    await credit(people, "bea", "carl")
    for name, shares in (("bea", 150), ("carl", 75)):
        order = {"shares": shares, "price_minor": 250}
        bought = await people.post(name, f"issues/{issue_id}/purchases", order)
        assert bought.status_code == 201, bought.text
        assert bought.json()["holding"]["available"] == shares
    amount = {"amount_minor": 123_457}
    assert (await people.post("adam", f"issues/{issue_id}/revenue", amount)).status_code == 201
    distributed = await people.post("adam", f"issues/{issue_id}/distributions", {}, "pay-it-1")
    assert distributed.status_code == 201, distributed.text
    again = await people.post("adam", f"issues/{issue_id}/distributions", {}, "pay-it-1")
    assert again.json() == distributed.json()
    found = distributed.json()
    assert found["fee_minor"] + found["artist_minor"] + found["holders_minor"] == 123_457
    listed = await people.get("bea", f"issues/{issue_id}/distributions")
    assert listed.json()["items"] == [found]
    assert "salt" not in listed.text
    path = f"issues/{issue_id}/distributions/{found['distribution_id']}/statement"
    paid = 0
    for name in ("bea", "carl", "mira"):
        statement = (await people.get(name, path)).json()
        assert (statement["root"], statement["total_minor"]) == (found["root"], 123_457)
        assert await checked(tmp_path, statement) == 0
        assert await checked(tmp_path, {**statement, "shares": statement["shares"] + 1}) == 1
        more = {**statement, "amount_minor": statement["amount_minor"] + 1}
        assert await checked(tmp_path, more) == 1
        assert await checked(tmp_path, {**statement, "total_minor": 123_458}) == 1
        assert await checked(tmp_path, {**statement, "salt": "00"}) == 2
        paid += statement["amount_minor"]
        [mine] = (await people.get(name, "users/me/distributions")).json()["items"]
        assert mine["amount_minor"] == statement["amount_minor"]
    assert paid + found["fee_minor"] == 123_457
    assert_problem(await people.get("adam", path), 404, "statement-not-found")
    unknown = f"issues/{issue_id}/distributions/{uuid.uuid4()}/statement"
    assert_problem(await people.get("bea", unknown), 404, "distribution-not-found")
    await world.verify()


async def checked(folder: Path, statement: dict[str, Any]) -> int:
    """What the shipped script says, in a Python that knows nothing of the platform."""
    file = folder / "statement.json"
    await asyncio.to_thread(file.write_text, json.dumps(statement), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(CHECKER), str(file), cwd=folder,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return await process.wait()


async def test_a_song_has_one_issue_and_only_its_artist_drafts_it(people: People) -> None:
    song_id = await people.artist("mira")
    await people.artist("nora")
    body = {"song_id": song_id, **TERMS}
    assert_problem(await people.post("bea", "issues", body), 403, "permission-missing")
    assert_problem(await people.post("nora", "issues", body), 403, "song-not-yours")
    unknown = {**body, "song_id": str(uuid.uuid4())}
    assert_problem(await people.post("mira", "issues", unknown), 404, "song-not-found")
    wrong = await people.post("mira", "issues", {**body, "cap_bps": 1_234})
    assert assert_problem(wrong, 422, "issue-invalid")["params"]["field"] == "cap_bps"
    first = await people.post("mira", "issues", body, "draft-it-1")
    assert first.json()["cap_bps"] == 2_000
    assert (await people.post("mira", "issues", body, "draft-it-1")).json() == first.json()
    assert_problem(await people.post("mira", "issues", body), 409, "issue-exists")
    issue_id = first.json()["issue_id"]
    ended = await people.post("mira", f"issues/{issue_id}/termination")
    assert (ended.json()["status"], ended.json()["voided"]) == ("terminated", True)
    second = await people.post("mira", "issues", body)
    assert second.json()["generation"] == 2
    listed = (await people.get("bea", f"issues?song_id={song_id}")).json()["items"]
    assert {item["status"] for item in listed} == {"draft", "terminated"}
    drafts = (await people.get("bea", "issues?status=draft&limit=1")).json()
    assert [item["issue_id"] for item in drafts["items"]] == [second.json()["issue_id"]]


async def test_who_may_say_how_a_sale_goes(people: People) -> None:
    song_id = await people.artist("mira")
    drafted = await people.post("mira", "issues", {"song_id": song_id, **TERMS})
    path = f"issues/{drafted.json()['issue_id']}"
    await people.artist("nora")
    assert_problem(await people.post("nora", f"{path}/activation"), 403, "issue-not-yours")
    assert_problem(await people.post("bea", f"{path}/activation"), 403, "permission-missing")
    refused = await people.post("mira", f"{path}/activation")
    assert assert_problem(refused, 409, "song-not-open")["params"] == {"earned": 0, "needed": 1_000}
    for name in ("mira", "adam"):
        early = await people.post(name, f"{path}/pause")
        assert_problem(early, 409, "issue-not-active")
    assert (await people.post("adam", f"{path}/activation")).json()["status"] == "active"
    assert_problem(await people.post("nora", f"{path}/pause"), 403, "issue-not-yours")
    assert (await people.post("mira", f"{path}/pause")).json()["status"] == "paused"
    await credit(people, "bea")
    order = {"shares": 10, "price_minor": 250}
    assert_problem(await people.post("bea", f"{path}/purchases", order), 409, "issue-paused")
    assert (await people.post("adam", f"{path}/resumption")).json()["status"] == "active"
    assert (await people.post("bea", f"{path}/purchases", order)).status_code == 201
    ended = await people.post("mira", f"{path}/termination")
    assert (ended.json()["status"], ended.json()["voided"]) == ("terminated", False)
    assert_problem(await people.post("bea", f"{path}/purchases", order), 409, "issue-terminated")
    assert (await people.get("carl", path)).json() == ended.json()
    unknown = await people.get("carl", f"issues/{uuid.uuid4()}")
    assert_problem(unknown, 404, "issue-not-found")


ADD_CREDITS = """
insert into rewards.credits (payee_id, credit_id, pool_id, song_id, claims, amount_minor, at_ms)
select 'artist:' || artist_id, gen_random_uuid(), gen_random_uuid(), $2, 0, 500_000_000 + n, n
from music.artists, generate_series(0, 1) n where user_id = $1"""


async def test_an_artist_begins_the_sale_of_a_song_that_earned_enough(people: People) -> None:
    song_id = await people.artist("mira")
    drafted = await people.post("mira", "issues", {"song_id": song_id, **TERMS})
    path = f"issues/{drafted.json()['issue_id']}/activation"
    await people.api.pool.execute(ADD_CREDITS, people.ids["mira"], str(uuid.uuid4()))
    assert_problem(await people.post("mira", path), 409, "song-not-open")
    await people.api.pool.execute(ADD_CREDITS, people.ids["mira"], song_id)
    assert (await people.post("mira", path)).json()["status"] == "active"


async def test_what_a_buyer_may_do_and_sees(people: People, world: MarketWorld) -> None:
    song_id, issue_id = await issued(people)
    path = f"issues/{issue_id}/purchases"
    order = {"shares": 100, "price_minor": 250}
    assert_problem(await people.post("bea", path, order), 409, "insufficient-funds")
    await credit(people, "bea")
    first = await people.post("bea", path, order, "buy-them-1")
    assert (await people.post("bea", path, order, "buy-them-1")).json() == first.json()
    other = {**order, "shares": 50}
    reused = await people.post("bea", path, other, "buy-them-1")
    assert_problem(reused, 422, "idempotency-key-reused")
    over = await people.post("bea", path, {**order, "shares": 101})
    assert assert_problem(over, 409, "holder-cap")["params"]["left"] == 100
    assert "100" in over.json()["title"]
    until = world.now_ms + DAY_MS
    locks = f"issues/{issue_id}/locks"
    locked = await people.post("bea", locks, {"shares": 30, "until_ms": until})
    assert (locked.status_code, locked.json()["holding"]["locked"]) == (201, 30)
    theirs = {"shares": 20, "until_ms": until, "reason": "legal", "user_id": people.ids["bea"]}
    assert_problem(await people.post("carl", locks, theirs), 403, "permission-missing")
    assert (await people.post("adam", locks, theirs)).status_code == 201
    too_many = await people.post("bea", locks, {"shares": 51, "until_ms": until})
    assert_problem(too_many, 409, "shares-locked")
    [position] = (await people.get("bea", "users/me/portfolio")).json()["items"]
    assert position["song_id"] == song_id
    assert (position["available"], position["locked"], position["cost_minor"]) == (50, 50, 25_000)
    assert (position["reference_milliminor"], position["unrealised_minor"]) == (None, None)
    assert sorted(lock["shares"] for lock in position["locks"]) == [20, 30]
    [bought] = (await people.get("bea", "users/me/purchases")).json()["items"]
    assert (bought["shares"], bought["paid_minor"], bought["fee_minor"]) == (100, 25_000, 250)
    assert (await people.get("carl", "users/me/portfolio")).json()["items"] == []
    balances = (await people.get("bea", "users/me/balances")).json()["items"]
    assert {"role": "listener", "purpose": "available", "currency": "EUR"} | {
        "amount_minor": 975_000
    } in balances


async def test_a_portfolio_is_valued_at_the_published_price(
    people: People, world: MarketWorld
) -> None:
    _, issue_id = await issued(people)
    await credit(people, "bea", "carl")
    bought = {"shares": 100, "price_minor": 250}
    assert (await people.post("bea", f"issues/{issue_id}/purchases", bought)).status_code == 201
    prices = (await people.get("carl", f"issues/{issue_id}/prices")).json()
    assert (prices["sale_minor"], prices["last_minor"], prices["index"]) == (250, None, None)
    assert (await people.post("adam", f"books/{issue_id}/opening")).status_code == 200
    world.now_ms += MarketPolicy().auction_ms

    async def trades() -> bool:
        book = await people.get("carl", f"books/{issue_id}")
        return bool(book.json()["phase"] == "continuous")

    await until(trades)
    for name, side, price in (("carl", "buy", 260), ("bea", "sell", 270)):
        order = {"side": side, "shares": 50, "price_minor": price}
        placed = await people.post(name, f"books/{issue_id}/orders", order)
        assert placed.status_code == 201, placed.text
    world.now_ms += DAY_MS // 12
    prices = (await people.get("carl", f"issues/{issue_id}/prices")).json()
    index = prices["index"]["price_milliminor"]
    assert 260_000 <= index <= 270_000
    assert prices["index"]["coverage_bps"] > 9_000
    await people.come_back("bea")
    [position] = (await people.get("bea", "users/me/portfolio")).json()["items"]
    assert (position["available"], position["held"]) == (50, 50)
    assert position["reference_milliminor"] == index
    assert position["unrealised_minor"] == 100 * index // 1_000 - 25_000
    await world.host.stop()
    world.transport.kill("host")
    [position] = (await people.get("bea", "users/me/portfolio")).json()["items"]
    assert (position["cost_minor"], position["unrealised_minor"]) == (25_000, None)
    await world.start()


async def test_a_credit_is_paid_once_and_only_by_those_who_may(
    people: People, world: MarketWorld
) -> None:
    body = {"user_id": people.ids["bea"], "currency": "EUR", "amount_minor": 500}
    path = "treasury/credits"
    assert_problem(await people.post("bea", path, body), 403, "permission-missing")
    first = await people.post("adam", path, body, "credit-it-1")
    again = await people.post("adam", path, body, "credit-it-1")
    assert (first.json(), again.headers["idempotency-replayed"]) == (again.json(), "true")
    assert first.json()["available_minor"] == 500
    assert (await people.post("adam", path, body)).json()["available_minor"] == 1_000
    other = await people.post("adam", path, {**body, "amount_minor": 501}, "credit-it-1")
    assert_problem(other, 422, "idempotency-key-reused")
    wrong = await people.post("adam", path, {**body, "currency": "XXX"})
    assert_problem(wrong, 422, "credit-invalid")
    nobody = await people.post("adam", path, {**body, "user_id": str(uuid.uuid4())})
    assert_problem(nobody, 404, "user-not-found")
    await world.verify()
