"""Orders and books through the gateway over a real owner."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from domain.market.rematch import Rematch
from domain.policy import MarketPolicy
from messages.market.orders import Phase
from tests.api_services import Api, assert_problem, make_services, open_api
from tests.integration.market_support import MarketWorld, open_market
from tests.integration.rewards_support import until
from tests.integration.test_market_orders import is_in
from tests.unit.market_entities import ISSUE

POLICY = MarketPolicy()


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MarketWorld]:
    async with open_market(database_url) as opened:
        yield opened


@pytest.fixture
async def api(world: MarketWorld, tmp_path: Path) -> AsyncIterator[Api]:
    handles = {"market": world.handle}
    services = make_services(tmp_path, world.pool, handles=handles, clock=world.clock)
    async with open_api(services) as opened:
        yield opened


@dataclass
class Floor:
    """A book with an artist who sells and a fan who buys; requests by either."""

    api: Api
    world: MarketWorld
    tokens: dict[str, str]

    def as_(self, who: str) -> Floor:
        self.api.token = self.tokens.get(who, "")
        return self

    async def post(self, path: str, body: Any = None, key: str | None = None) -> Any:
        headers = self.api.headers(key)
        return await self.api.client.post(f"/api/v1/{path}", json=body, headers=headers)

    async def get(self, path: str) -> Any:
        return await self.api.client.get(f"/api/v1/{path}", headers=self.api.headers())

    async def delete(self, path: str, key: str | None = None) -> Any:
        return await self.api.client.delete(f"/api/v1/{path}", headers=self.api.headers(key))

    async def order(self, side: str, shares: int, price: int, **changes: Any) -> Any:
        body = {"side": side, "shares": shares, "price_minor": price, **changes}
        return await self.post(f"books/{ISSUE}/orders", body)


async def sign_in(api: Api, name: str, role: str = "user") -> str:
    """The user's id; the client speaks for the user from now on."""
    assert (await api.register(name)).status_code == 201
    await api.pool.execute("update users.users set role = $2 where username = $1", name, role)
    assert (await api.sign_in(name)).status_code == 201
    return str(
        await api.pool.fetchval("select user_id::text from users.users where username = $1", name)
    )


@pytest.fixture
async def floor(api: Api, world: MarketWorld) -> Floor:
    tokens, ids = {}, {}
    for name, role in (("mira", "artist"), ("fan", "user"), ("admin", "admin")):
        ids[name] = await sign_in(api, name, role)
        tokens[name] = api.token
    await world.issue(artist_user_id=ids["mira"], shares=10_000, retained=5_000)
    await world.fund(ids["fan"])
    made = Floor(api, world, tokens)
    assert (await made.as_("admin").post(f"books/{ISSUE}/opening")).status_code == 200
    world.now_ms += POLICY.auction_ms
    await until(lambda: is_in(world, Phase.CONTINUOUS))
    return made


async def test_from_an_order_to_a_trade_that_everyone_sees(floor: Floor) -> None:
    placed = await floor.as_("mira").order("sell", 100, 260)
    assert placed.status_code == 201, placed.text
    assert placed.json()["status"] == "open"
    bought = (await floor.as_("fan").order("buy", 150, 270)).json()
    assert (bought["filled"], bought["remaining"], bought["paid_minor"]) == (100, 50, 26_000)
    assert bought["expires_at_ms"] is None
    path = f"books/{ISSUE}/orders/{bought['order_id']}"
    assert (await floor.get(path)).json() == bought
    changed = await floor.post(f"{path}/replacement", {"shares": 120, "price_minor": 250})
    assert (changed.json()["remaining"], changed.json()["limit_minor"]) == (20, 250)
    depth = (await floor.as_("").get(f"books/{ISSUE}/depth?levels=5")).json()
    assert (depth["bids"], depth["asks"]) == ([{"price_minor": 250, "shares": 20}], [])
    assert (depth["phase"], depth["last_minor"], depth["is_whole"]) == ("continuous", 260, True)
    trades = (await floor.get(f"books/{ISSUE}/trades")).json()
    assert [(t["price_minor"], t["shares"], t["side"]) for t in trades["items"]] == [
        (260, 100, "buy")
    ]
    gone = await floor.as_("fan").delete(path)
    assert (gone.json()["status"], gone.json()["held_minor"]) == ("cancelled", 0)
    books = (await floor.as_("").get("books")).json()["items"]
    assert books == [(await floor.get(f"books/{ISSUE}")).json()]
    assert (books[0]["last_minor"], books[0]["phase"]) == (260, "continuous")


async def test_a_request_is_repeated_and_another_one_is_not(floor: Floor) -> None:
    body = {"side": "buy", "shares": 5, "price_minor": 250}
    path = f"books/{ISSUE}/orders"
    first = await floor.as_("fan").post(path, body, key="place-once-1")
    assert (await floor.post(path, body, key="place-once-1")).json() == first.json()
    other = await floor.post(path, {**body, "shares": 6}, key="place-once-1")
    assert_problem(other, 422, "idempotency-key-reused")
    depth = (await floor.get(f"books/{ISSUE}/depth")).json()
    assert depth["orders"] == 1


async def test_my_orders_by_page(floor: Floor) -> None:
    floor.as_("fan")
    for number in range(5):
        floor.world.now_ms += number % 2
        await floor.order("buy", 1 + number, 250)
    await floor.delete(f"books/{ISSUE}/orders/2")
    seen, cursor = [], ""
    while True:
        page = (await floor.get(f"users/me/orders?limit=2{cursor}")).json()
        seen += [order["order_id"] for order in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [5, 4, 3, 2, 1]
    still = (await floor.get(f"users/me/orders?only_open=true&issue_id={ISSUE}")).json()
    assert [order["order_id"] for order in still["items"]] == [5, 4, 3, 1]
    assert (await floor.get(f"users/me/orders?issue_id={uuid.uuid4()}")).json()["items"] == []
    assert (await floor.as_("mira").get("users/me/orders")).json()["items"] == []
    assert_problem(await floor.get("users/me/orders?cursor=abc"), 422, "cursor-invalid")


async def test_what_is_refused_has_its_own_code(floor: Floor) -> None:
    floor.as_("fan")
    tick = await floor.order("buy", 1, 255)
    assert assert_problem(tick, 422, "order-tick")["params"] == {"tick_minor": 10}
    band = await floor.order("buy", 1, 310)
    assert assert_problem(band, 409, "order-price-band")["title"].startswith("The price must be")
    assert_problem(await floor.order("buy", 2_001, 250), 409, "holder-cap")
    assert_problem(await floor.order("sell", 1, 250), 409, "insufficient-shares")
    assert_problem(await floor.order("buy", 0, 250), 422, "order-quantity")
    assert_problem(await floor.order("buy", 1, 250, time_in_force="gtd"), 422, "order-invalid")
    assert_problem(await floor.order("buy", 1, 250, kind="iceberg"), 422, "invalid-request")
    theirs = (await floor.as_("mira").order("sell", 1, 260)).json()["order_id"]
    path = f"books/{ISSUE}/orders/{theirs}"
    for answer in (
        await floor.as_("fan").get(path),
        await floor.delete(path),
        await floor.post(f"{path}/replacement", {"shares": 1, "price_minor": 250}),
    ):
        assert_problem(answer, 404, "order-not-found")
    nowhere = f"books/{uuid.uuid4()}"
    body = {"side": "buy", "shares": 1, "price_minor": 250}
    assert_problem(await floor.post(f"{nowhere}/orders", body), 409, "book-closed")
    for path in (nowhere, f"{nowhere}/depth", f"{nowhere}/trades", f"{nowhere}/journal"):
        assert_problem(await floor.get(path), 404, "book-not-found")
    assert_problem(await floor.as_("").order("buy", 1, 250), 401, "unauthenticated")


async def test_operators_halt_resume_and_close(floor: Floor) -> None:
    for verb in ("halt", "resumption", "opening"):
        answer = await floor.as_("mira").post(f"books/{ISSUE}/{verb}")
        assert_problem(answer, 403, "permission-missing")
    own = (await floor.as_("fan").order("buy", 1, 250)).json()["order_id"]
    floor.as_("admin")
    assert (await floor.post(f"books/{ISSUE}/halt")).json()["phase"] == "halted"
    assert_problem(await floor.as_("fan").order("buy", 1, 250), 409, "book-halted")
    assert (await floor.as_("admin").post(f"books/{ISSUE}/resumption")).json()["phase"] == "auction"
    closed = await floor.post(f"books/{ISSUE}/closing", {"cancel_orders": True})
    assert (closed.json()["phase"], closed.json()["orders"]) == ("closed", 0)
    ended = (await floor.as_("fan").get(f"books/{ISSUE}/orders/{own}")).json()
    assert (ended["status"], ended["reason"], ended["held_minor"]) == ("cancelled", "closed", 0)


async def test_prices_follow_the_book_and_candles_its_trades(floor: Floor) -> None:
    await floor.as_("mira").order("sell", 100, 260)
    await floor.as_("fan").order("buy", 100, 240)
    young = (await floor.get(f"issues/{ISSUE}/prices")).json()
    assert young["index"]["price_milliminor"] is None
    await floor.order("buy", 10, 260)
    floor.world.now_ms += 45 * 60_000
    old = (await floor.as_("").get(f"issues/{ISSUE}/prices")).json()
    assert 240_000 < old["index"]["price_milliminor"] <= 260_000
    assert old["index"]["coverage_bps"] > 7_000
    assert (old["mark_milliminor"], old["hour"]["trades"]) == (250_000, 0)
    assert old["index"]["staleness_ms"] == 45 * 60_000
    candles = (await floor.get(f"books/{ISSUE}/candles?step=1h")).json()
    [candle] = candles["items"]
    assert (candle["close_minor"], candle["shares"], candle["turnover_minor"]) == (260, 10, 2_600)
    await floor.api.sign_in("fan")  # the token ran out meanwhile
    [mine] = (await floor.get("users/me/portfolio")).json()["items"]
    assert mine["reference_milliminor"] == old["index"]["price_milliminor"]
    assert_problem(await floor.get(f"books/{uuid.uuid4()}/candles"), 404, "book-not-found")


async def test_what_is_held_shows_in_the_portfolio(floor: Floor) -> None:
    order = (await floor.as_("mira").order("sell", 100, 260)).json()
    [mine] = (await floor.get("users/me/portfolio")).json()["items"]
    assert (mine["available"], mine["held"]) == (4_900, 100)
    await floor.delete(f"books/{ISSUE}/orders/{order['order_id']}")
    [mine] = (await floor.get("users/me/portfolio")).json()["items"]
    assert (mine["available"], mine["held"]) == (5_000, 0)


async def test_anyone_can_match_the_journal_again(floor: Floor) -> None:
    for number in range(4):
        await floor.as_("mira").order("sell", 5, 260 + 10 * (number % 2))
        await floor.as_("fan").order("buy", 7, 260)
    book = (await floor.as_("").get(f"books/{ISSUE}")).json()
    assert (await floor.get(f"books/{ISSUE}/journal")).json()["entries"] == []
    floor.world.now_ms += POLICY.journal_delay_ms
    after: int | None = 0
    again: Rematch | None = None
    while after is not None:
        page = (await floor.get(f"books/{ISSUE}/journal?limit=3&after={after}")).json()
        again = again or Rematch(page["max_price"], page["capacity"])
        for entry in page["entries"]:
            assert again.take(entry["text"].encode(), bytes.fromhex(entry["chain"])), again.wrong
        after = page["next_after"]
    assert again is not None
    assert (again.number, again.chain.hex()) == (book["entries"], book["chain"])
    assert again.totals.trades > 0


async def test_several_orders_of_one_request_have_an_outcome_each(floor: Floor) -> None:
    sell = {"op": "place", "side": "sell", "shares": 10, "price_minor": 260}
    [placed] = await results(floor.as_("mira"), sell)
    number = placed["order"]["order_id"]
    asked = [
        {"op": "place", "side": "buy", "shares": 4, "price_minor": 260},
        {"op": "place", "side": "buy", "shares": 4, "price_minor": 100},
        {"op": "cancel", "order_id": number},
        {"op": "place", "side": "buy", "shares": 5, "price_minor": 250},
        {"op": "replace", "order_id": number + 2, "shares": 3, "price_minor": 240},
        {"op": "cancel", "order_id": number + 2},
    ]
    key = str(uuid.uuid4())
    found = await results(floor.as_("fan"), *asked, key=key)
    assert [(r["code"], r["order"] and r["order"]["status"]) for r in found] == [
        (None, "filled"),
        ("order-price-band", None),
        ("order-not-found", None),
        (None, "open"),
        (None, "open"),
        (None, "cancelled"),
    ]
    assert found[1]["params"] == {"low_minor": 200, "high_minor": 300}
    assert (await floor.get(f"books/{ISSUE}/orders/{number + 1}")).json() == found[0]["order"]
    assert await results(floor, *asked, key=key) == found, "done once"
    changed = {**asked[0], "shares": 9}
    assert (await results(floor, changed, key=key))[0]["code"] == "idempotency-key-reused"
    await floor.world.verify()


@pytest.mark.parametrize(
    "orders", [[], [{"op": "sell"}], [{"op": "cancel"}], [{"op": "cancel", "order_id": 1}] * 51]
)
async def test_a_batch_that_is_none(floor: Floor, orders: list[Any]) -> None:
    answer = await floor.as_("fan").post(f"books/{ISSUE}/orders/batch", {"orders": orders})
    assert_problem(answer, 422, "invalid-request")


async def results(floor: Floor, *orders: dict[str, Any], key: str | None = None) -> list[Any]:
    answer = await floor.post(f"books/{ISSUE}/orders/batch", {"orders": list(orders)}, key)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["results"]
    return found
