"""Conversions through the door: once, within limits, balanced; rates are kept as they were."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from actors.exchange_rates import FETCH_EVERY_MS, RateKeeper, record_worth
from domain.exchange import DAY_MS, POLICY, day_begins_ms
from messages.errors import Unavailable
from messages.keys import derive_key
from messages.ledger import transfer
from messages.payments.exchange import PublishedRates, Rate
from messages.users import Role
from storage import conversions, exchange_rates, ledger
from storage.database import Pool
from tests.api_services import NOW_MS, Api, assert_problem, make_services, open_api

DAY = datetime.fromtimestamp(NOW_MS / 1_000, UTC).date()
VERBS = ("select", "insert", "update", "delete")


class Source:
    """A publisher that a test speaks for."""

    def __init__(self) -> None:
        self.day, self.rates = DAY, {"USD": Rate(10842, 4), "GBP": Rate(85630, 5)}
        self.silent = False
        self.asked = 0

    async def fetch(self) -> PublishedRates:
        self.asked += 1
        if self.silent:
            raise Unavailable
        return PublishedRates("ecb", "EUR", self.day, dict(self.rates))

    async def close(self) -> None: ...


class World:
    """Two users with dollars, and a keeper of rates."""

    def __init__(self, api: Api) -> None:
        self.api, self.source = api, Source()
        self.keeper = RateKeeper(self.source, api.pool, api.services.clock)
        self.user_id = ""

    async def post(self, path: str, body: Any, key: str | None = None) -> httpx.Response:
        return await self.api.client.post(
            f"/api/v1/{path}", json=body, headers=self.api.headers(key)
        )

    async def get(self, path: str) -> httpx.Response:
        return await self.api.client.get(f"/api/v1/{path}", headers=self.api.headers())

    async def quote(
        self, amount: int = 10_000, source: str = "USD", target: str = "EUR"
    ) -> httpx.Response:
        body = {"source_currency": source, "target_currency": target, "source_minor": amount}
        return await self.post("conversions/quotes", body)

    async def take(self, quote: httpx.Response, key: str | None = None) -> httpx.Response:
        return await self.post("conversions", {"quote_id": quote.json()["quote_id"]}, key)

    async def balances(self, *codes: str) -> list[int]:
        async with self.api.pool.acquire() as connection:
            found = await ledger.balances(connection, codes)
        return [found[code] for code in codes]

    async def wallet(self, user_id: str = "") -> list[int]:
        user = user_id or self.user_id
        return await self.balances(f"user:{user}:available/USD", f"user:{user}:available/EUR")

    async def fund(self, amount: int, currency: str = "USD") -> None:
        moved = transfer(
            derive_key(self.user_id, amount, currency, self.api.services.new_id()),
            f"outside:bank:funds/{currency}",
            f"user:{self.user_id}:available/{currency}",
            amount,
            cause="test",
            purpose="credit",
        )
        async with self.api.pool.acquire() as connection, connection.transaction():
            await ledger.post(connection, [moved], NOW_MS)

    def wait(self, ms: int) -> None:
        self.api.services.clock.now_ms += ms  # type: ignore[attr-defined]

    async def sign_in(self, name: str) -> None:
        assert (await self.api.register(name)).status_code == 201
        await self.api.sign_in(name)
        found = await self.api.client.get("/api/v1/users/me", headers=self.api.headers())
        self.user_id = found.json()["user_id"]


@pytest.fixture
async def world(pool: Pool, tmp_path: Path) -> AsyncIterator[World]:
    async with open_api(make_services(tmp_path, pool)) as api:
        made = World(api)
        await made.sign_in("mira")
        await made.fund(100_000)
        assert await made.keeper.run() == 1
        yield made
        async with pool.acquire() as connection:
            assert await ledger.verify(connection) == []


@pytest.mark.parametrize("module", [conversions, exchange_rates], ids=lambda m: m.__name__)
async def test_every_statement_compiles(pool: Pool, module: Any) -> None:
    texts = [
        v for n, v in vars(module).items() if isinstance(v, str) and n.isupper() and n[0] != "_"
    ]
    statements = [t for t in texts if t.lstrip().startswith(VERBS)]
    assert len(statements) >= 6
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_a_quote_is_taken_once(world: World) -> None:
    quote = await world.quote()
    assert quote.status_code == 201, quote.text
    offered = quote.json()
    assert (offered["fee_minor"], offered["target_minor"]) == (50, 9_177)
    answers = await asyncio.gather(*(world.take(quote, "convert-once") for _ in range(5)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.text for a in answers}) == 1
    assert await world.wallet() == [90_000, 9_177]
    treasury = ("outside:treasury:exchange/USD", "outside:treasury:exchange/EUR")
    assert await world.balances(*treasury) == [9_950, -9_177]
    assert await world.balances("platform:exchange:fees/USD") == [50]
    assert_problem(await world.take(quote, "convert-twice"), 409, "quote-used")
    (listed,) = (await world.get("users/me/conversions")).json()["items"]
    assert listed == answers[0].json()
    told = await world.api.pool.fetch("select body from bus.outbox where type = 'FundsConverted'")
    assert len(told) == 1
    lines = (await world.get("users/me/funds/EUR/statement")).json()["items"]
    assert [(x["title"], x["amount_minor"]) for x in lines] == [
        ("Converted from another currency", 9_177)
    ]


async def test_of_two_takers_at_once_one_gets_it(world: World) -> None:
    quote = await world.quote()
    answers = await asyncio.gather(*(world.take(quote, f"taker-number-{n}") for n in range(4)))
    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409]
    assert await world.wallet() == [90_000, 9_177]


async def test_a_quote_holds_for_a_minute(world: World) -> None:
    quote = await world.quote()
    world.wait(POLICY.quote_ms)
    assert_problem(await world.take(quote), 409, "quote-expired")
    assert await world.wallet() == [100_000, 0]
    assert await conversions.purge(world.api.pool, world.api.services.clock()) == 0
    world.wait(conversions.QUOTES_KEPT_MS + 1)
    assert await conversions.purge(world.api.pool, world.api.services.clock()) == 1


async def test_what_is_not_there_cannot_be_converted(world: World) -> None:
    quote = await world.quote(200_000)
    assert_problem(await world.take(quote), 409, "insufficient-funds")
    assert await world.wallet() == [100_000, 0]
    assert await world.api.pool.fetchval("select count(*) from payments.conversions") == 0
    await world.fund(100_000)
    assert (await world.take(quote)).status_code == 201  # nothing was used up


async def test_a_quote_is_its_users(world: World) -> None:
    quote = await world.quote()
    await world.sign_in("bea")
    await world.fund(100_000)
    for wanted in (quote.json()["quote_id"], str(uuid4())):
        refused = await world.post("conversions", {"quote_id": wanted})
        assert_problem(refused, 404, "quote-not-found")
    assert (await world.get("users/me/conversions")).json()["items"] == []
    assert await world.wallet() == [100_000, 0]


async def test_what_is_refused(world: World) -> None:
    for amount, source, target, code in (
        (100, "USD", "USDC", "conversion-not-offered"),
        (100, "VIBES", "USD", "conversion-not-offered"),
        (100, "USD", "USD", "conversion-not-offered"),
        (1, "USD", "EUR", "conversion-too-small"),
        (1_000_001, "USD", "EUR", "conversion-too-large"),
        (0, "USD", "EUR", "invalid-request"),
    ):
        assert_problem(await world.quote(amount, source, target), 422, code)


async def test_a_day_has_its_limit(world: World) -> None:
    await world.fund(5_000_000)
    for _ in range(2):
        assert (await world.take(await world.quote(1_000_000))).status_code == 201
    over = assert_problem(await world.take(await world.quote(500_001)), 429, "conversion-day-limit")
    assert over["params"]["most"] == 25_000
    assert (await world.take(await world.quote(500_000))).status_code == 201
    world.wait(DAY_MS)
    await world.api.sign_in()
    assert (await world.take(await world.quote(500_001))).status_code == 201


async def test_the_platform_gives_away_so_much_and_no_more(
    world: World,
) -> None:
    await world.fund(1_000_000)
    moved = transfer(
        b"p" * 16, "outside:treasury:exchange/EUR", "outside:bank:funds/EUR",
        POLICY.position_units * 100 - 9_177, cause="test", purpose="test",
    )  # fmt: skip
    async with world.api.pool.acquire() as connection, connection.transaction():
        await ledger.post(connection, [moved], NOW_MS)
    assert (await world.take(await world.quote(10_000))).status_code == 201
    full = await world.take(await world.quote(10_000))
    assert_problem(full, 409, "conversion-position-full")
    assert await world.wallet() == [1_090_000, 9_177]


async def test_without_recent_rates_nothing_is_converted(world: World) -> None:
    quote = await world.quote()
    assert quote.status_code == 201
    shown = (await world.get("exchange-rates")).json()
    assert (shown["in_force"], shown["base"], shown["published_on"]) == (
        True, "EUR", DAY.isoformat(),
    )  # fmt: skip
    assert {r["currency"]: (r["rate"], r["value"], r["scale"]) for r in shown["rates"]} == {
        "USD": ("1.0842", 10842, 4), "GBP": ("0.85630", 85630, 5),
    }  # fmt: skip
    world.wait(POLICY.stale_ms)
    await world.api.sign_in()
    assert_problem(await world.quote(), 503, "exchange-rate-unavailable")
    assert (await world.get("exchange-rates")).json()["in_force"] is False


async def test_rates_are_asked_for_now_and_then_and_kept_once(world: World) -> None:
    source, keeper = world.source, world.keeper
    assert (await keeper.run(), source.asked) == (0, 1)
    world.wait(FETCH_EVERY_MS)
    assert (await keeper.run(), source.asked) == (0, 2)  # the same again
    source.rates["USD"], source.day = Rate(2, 0), DAY + timedelta(days=1)
    world.wait(DAY_MS)
    assert await keeper.run() == 0  # not believed
    source.rates["USD"] = Rate(11000, 4)
    source.silent = True
    world.wait(FETCH_EVERY_MS)
    assert await keeper.run() == 0
    source.silent = False
    world.wait(60_000)
    assert await keeper.run() == 1
    found = await exchange_rates.latest(world.api.pool, world.api.services.clock())
    assert found is not None
    assert found.published.rates["USD"] == Rate(11000, 4)
    for table in ("exchange_rates", "exchange_rate_sets"):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await world.api.pool.execute(f"delete from payments.{table}")


_PAYMENT = """
insert into payments.payments (payment_id, payer_id, purpose, status, amount_minor, currency,
    method, gateway, subject, verdict, score, reasons, created_at_ms, changed_at_ms)
values ($1, $2, 'wallet-topup', 'completed', $3, $4, 'card', 'stripe', '', 'allow', 0, '{}', $5, $5)
"""


async def test_what_payments_were_worth_when_they_began(world: World) -> None:
    pool, now_ms = world.api.pool, world.api.services.clock()
    payments = {}
    for name, amount, currency, at_ms in (
        ("dollars", 500, "USD", now_ms - DAY_MS),  # before there were rates
        ("early", 500, "GBP", now_ms - DAY_MS),
        ("pounds", 10_000, "GBP", now_ms + 60_000),
        ("coins", 10_000_000, "USDC", now_ms + 60_000),
        ("late", 10_000, "GBP", day_begins_ms(DAY) + POLICY.stale_ms),
    ):
        payments[name] = uuid4()
        row = (payments[name], UUID(world.user_id), amount, currency, at_ms)
        await pool.execute(_PAYMENT, *row)
    assert await record_worth(pool) == 5
    assert await record_worth(pool) == 0
    world.wait(POLICY.stale_ms)
    await pool.execute("update users.users set role = $1", Role.ADMIN.value)
    await world.api.sign_in()
    found = {
        name: (await world.get(f"payments/{id_}/worth")).json() for name, id_ in payments.items()
    }
    assert {name: worth["amount_minor"] for name, worth in found.items()} == {
        "dollars": 500, "early": None, "pounds": 12_661, "coins": None, "late": None,
    }  # fmt: skip
    assert (found["pounds"]["provider"], found["pounds"]["published_on"]) == (
        "ecb",
        DAY.isoformat(),
    )
    assert found["dollars"]["provider"] is None
    assert_problem(await world.get(f"payments/{uuid4()}/worth"), 404, "payment-not-found")
