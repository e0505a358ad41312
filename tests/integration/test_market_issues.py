"""Share issues on the real runtime and ledger: sold, locked, paid, also while their owner dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from deployments.commands import issues_verified
from messages.errors import InsufficientFunds, Refusal
from messages.keys import derive_key
from messages.market import (
    ActivateIssue,
    GetHolding,
    GetIssue,
    HolderCap,
    IssueStatus,
    NotEnoughOffered,
    TerminateIssue,
    issue_id_of,
)
from messages.market.accounts import available, fees, issued, locked, offered, revenue
from storage import market_audit
from storage import market_issues as storage
from storage.database import Pool
from storage.rows import FIRST_PAGE
from tests.integration.market_support import MarketWorld, open_market
from tests.integration.rewards_support import until
from tests.unit.market_entities import (
    ARTIST,
    ISSUE,
    SHARES,
    buy,
    distribute,
    draft,
    lock,
    receive,
    user,
)
from tests.unit.rewards_entities import DAY_MS, SONG

BELOW_ALL = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MarketWorld]:
    async with open_market(database_url) as opened:
        yield opened


async def test_every_statement_compiles(pool: Pool) -> None:
    statements = [
        value
        for name, value in [*vars(storage).items(), *vars(market_audit).items()]
        if name[0] != "_" and name.isupper() and isinstance(value, str)
    ]
    assert len(statements) > 15
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_the_story_of_an_issue(world: MarketWorld) -> None:
    await world.issue(locked=100, locked_until_ms=world.now_ms + DAY_MS)
    assert await world.balances(
        issued(ISSUE), offered(ISSUE), available(ARTIST, SHARES), locked(ARTIST, SHARES)
    ) == [-1_000, 600, 300, 100]
    await world.fund(user(1), user(2), user(3))
    for buyer in (1, 2, 3):
        bought = await world.ask(buy(buyer, buyer, 200))
        assert (bought.paid_minor, bought.fee_minor) == (50_000, 500)
        await world.restart_host()
    view = await world.ask(GetIssue())
    assert (view.status, view.sold) == (IssueStatus.SOLD_OUT, 600)
    await world.ask(receive(1, 10_001))
    paid = await world.ask(distribute(1))
    # 500 are the fee; of 9,501 a fifth each, and two fifths with the largest remainder.
    assert (paid.fee_minor, paid.artist_minor, paid.holders_minor) == (500, 3_801, 5_700)
    assert await world.balances(
        fees("EUR"), available(ARTIST, "EUR"), available(user(1), "EUR"), revenue(ISSUE, "EUR")
    ) == [3 * 500 + 500, 3 * 49_500 + 3_801, 950_000 + 1_900, 0]
    await world.verify()
    await check_tables(world)


SPOILT = [
    ("update market.holdings set available = available + 1", "its owner says 301"),
    ("update market.holdings set locked = locked + 1", "of 1000 shares, 1002 are somebody's"),
    ("update market.issues set revenue_minor = 5", ":revenue/EUR: its owner says 5"),
    ("update market.payments set amount_minor = amount_minor + 1", "make 1002 of 1000"),
    ("update market.payments set salt = repeat('0', 32)", "its parts make another root"),
    ("delete from market.payments where index = 2", "3 parts were published, 2 are stored"),
]


@pytest.mark.parametrize(("spoil", "seen"), SPOILT)
async def test_what_was_spoilt_is_seen(world: MarketWorld, spoil: str, seen: str) -> None:
    await world.issue(locked=100, locked_until_ms=world.now_ms + DAY_MS)
    await world.fund(user(1))
    await world.ask(buy(1, 1, 100))
    await world.ask(receive(1, 1_000))
    await world.ask(distribute(1))
    await world.verify()
    await world.pool.execute(spoil)
    async with world.pool.acquire() as connection:
        found = await issues_verified.differences(connection)
    assert any(seen in what for what in found), found


async def check_tables(world: MarketWorld) -> None:
    """What was written to be read is what the owner says."""
    row = await storage.get_issue(world.pool, ISSUE)
    assert row is not None
    view = await world.ask(GetIssue())
    for name in ("status", "sold", "voided", "revenue_minor", "song_id", "artist_user_id"):
        assert getattr(row, name) == getattr(view, name), name
    for user_id in (ARTIST, user(1), user(2), user(3)):
        held = await world.ask(GetHolding(user_id))
        rows = await storage.holdings(world.pool, user_id, BELOW_ALL, 10)
        kept = [(r.available, r.held, r.locked, r.cost_minor, r.realised_minor) for r in rows]
        said = (held.available, held.held, held.locked, held.cost_minor, held.realised_minor)
        assert kept == [said]
    purchases = await storage.newest_purchases(world.pool, user(1), FIRST_PAGE, 10)
    assert [(p.shares, p.paid_minor) for p in purchases] == [(200, 50_000)]
    [distribution] = await storage.newest_distributions(world.pool, ISSUE, FIRST_PAGE, 10)
    parts = await storage.payments(world.pool, distribution.distribution_id)
    assert [part.index for part in parts] == [1, 2, 3, 4]
    total = sum(part.amount_minor for part in parts) + distribution.fee_minor
    assert total == distribution.amount_minor == 10_001


async def test_a_buyer_without_cash_is_refused_and_nothing_moves(world: MarketWorld) -> None:
    await world.issue()
    await world.fund(user(1), amount_minor=2_499)
    with pytest.raises(InsufficientFunds):
        await world.ask(buy(1, 1, 10))
    with pytest.raises(HolderCap):
        await world.ask(buy(2, 1, 201))
    await world.fund(user(1), amount_minor=1)
    await world.ask(buy(3, 1, 10))
    assert await world.balances(available(user(1), "EUR"), available(user(1), SHARES)) == [0, 10]


async def test_the_last_shares_go_to_as_many_as_there_are(world: MarketWorld) -> None:
    """Asked together, so in one batch or few: nobody gets a share that is not there."""
    await world.issue(retained=950, minimum=10)
    await world.fund(*map(user, range(1, 21)))
    asked = [world.ask(buy(n, n, 10)) for n in range(1, 21)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    bought = [a for a in answers if not isinstance(a, BaseException)]
    refused = [a for a in answers if isinstance(a, Refusal)]
    assert (len(bought), len(refused)) == (5, 15)
    assert {type(r).code for r in refused} <= {NotEnoughOffered.code, "issue-sold-out"}
    assert await world.balances(offered(ISSUE)) == [0]
    spent = [10**6 - cash for cash in await world.balances(*cash_of(20))]
    assert sorted(spent) == [0] * 15 + [2_500] * 5
    await world.verify()


def cash_of(count: int) -> list[str]:
    return [available(user(n), "EUR") for n in range(1, count + 1)]


async def test_a_user_cannot_pass_the_cap_by_asking_at_once(world: MarketWorld) -> None:
    await world.issue()
    await world.fund(user(1))
    asked = [world.ask(buy(n, 1, 50)) for n in range(10)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(a, HolderCap) for a in answers) == 6
    assert (await world.ask(GetHolding(user(1)))).available == 200
    await world.verify()


async def test_nobody_pays_twice_while_the_owner_dies(world: MarketWorld) -> None:
    """The handle asks again with the same key, whatever of the first asking was committed."""
    await world.issue(shares=10_000, retained=5_000, minimum=1, cap_bps=1_000)
    buyers = [user(n) for n in range(1, 9)]
    await world.fund(*buyers)
    await world.ask(receive(1, 1_000_000))

    async def busy(buyer: int) -> None:
        for turn in range(12):
            await world.ask(buy(100 * buyer + turn, buyer, 3))
            if buyer == 1 and turn % 3 == 0:
                await world.ask(distribute(turn + 1, 10_007))

    async def kills() -> None:
        for _ in range(6):
            await asyncio.sleep(0.05)
            await world.restart_host()

    await asyncio.gather(kills(), *(busy(n) for n in range(1, 9)))
    seen = [row["type"] for row, _ in await world.events()]
    assert seen.count("SharesBought") == 8 * 12
    assert seen.count("RevenueDistributed") == 4
    await world.restart_host()
    assert (await world.ask(GetIssue())).sold == 8 * 36
    parts = [
        row
        for d in await storage.newest_distributions(world.pool, ISSUE, FIRST_PAGE, 10)
        for row in await storage.payments(world.pool, d.distribution_id)
    ]
    for number, cash in enumerate(await world.balances(*cash_of(8)), start=1):
        income = sum(p.amount_minor for p in parts if p.user_id == user(number))
        assert cash == 10**6 - 36 * 250 + income
    assert await world.balances(revenue(ISSUE, "EUR")) == [1_000_000 - 4 * 10_007]
    await world.verify()


async def test_an_activation_is_the_same_after_the_song_earned_more(world: MarketWorld) -> None:
    await world.ask(draft())
    key = derive_key("activate")
    first = await world.ask(ActivateIssue(1_000), key=key)
    assert await world.ask(ActivateIssue(1_001), key=key) == first


async def test_locked_shares_come_free_by_themselves_after_a_death(world: MarketWorld) -> None:
    await world.issue()
    await world.fund(user(1))
    await world.ask(buy(1, 1, 100))
    await world.ask(lock(1, user(1), 60, world.now_ms + DAY_MS))
    await world.ask(lock(2, user(1), 10, world.now_ms + 2 * DAY_MS))
    await world.restart_host()

    async def free(shares: int) -> bool:
        return bool((await world.ask(GetHolding(user(1)))).available == shares)

    assert await free(30)
    world.now_ms += DAY_MS
    await until(lambda: free(90))
    [standing] = await storage.standing_locks(world.pool, user(1), [ISSUE])
    assert standing.shares == 10
    world.now_ms += DAY_MS
    await until(lambda: free(100))
    assert await world.balances(locked(user(1), SHARES)) == [0]
    await world.verify()


async def test_a_repeated_distribution_pays_once(world: MarketWorld) -> None:
    await world.issue()
    await world.fund(user(1))
    await world.ask(buy(1, 1, 100))
    await world.ask(receive(1, 1_000))
    key = derive_key("distribute")
    first = await world.ask(distribute(1, 500), key=key)
    await world.restart_host()
    assert await world.ask(distribute(1, 500), key=key) == first
    assert await world.ask(distribute(1, 500, salt="00" * 16), key=key) == first
    assert await world.ask(distribute(1, 500)) == first
    assert await world.balances(revenue(ISSUE, "EUR")) == [500]
    await world.verify()


async def test_many_holders_are_paid_in_several_ledger_transactions(world: MarketWorld) -> None:
    holders = 1_500
    await world.issue(shares=10_000, retained=100, minimum=1, cap_bps=1_000)
    people = [user(n) for n in range(1, holders + 1)]
    for first in range(0, holders, 500):
        await world.fund(*people[first : first + 500])
        await asyncio.gather(
            *(world.ask(buy(n, n, n % 7 + 1)) for n in range(first + 1, first + 501))
        )
    await world.ask(receive(1, 999_999))
    before = await world.balances(*cash_of(holders))
    answer = await world.ask(distribute(1))
    assert answer.holders == holders
    gains = [b - a for a, b in zip(before, await world.balances(*cash_of(holders)), strict=True)]
    assert sum(gains) == answer.holders_minor
    for n, gain in enumerate(gains, start=1):
        assert abs(gain - (999_999 - 49_999) * (n % 7 + 1) / 10_000) < 1
    told = [row for row, _ in await world.events() if row["type"] == "RevenuePaid"]
    assert {tuple(row["channels"]) for row in told} >= {(f"user:{u}",) for u in people}
    assert len(told) == holders + 1
    await world.restart_host()
    assert (await world.ask(GetIssue())).revenue_minor == 0
    await world.verify()


async def test_the_books_channel_names_nobody(world: MarketWorld) -> None:
    await world.issue()
    await world.fund(user(1))
    await world.ask(buy(1, 1, 100))
    await world.ask(lock(1, user(1), 60, world.now_ms + DAY_MS))
    await world.ask(receive(1, 1_000))
    await world.ask(distribute(1))
    seen: dict[str, set[str]] = {}
    for row, _ in await world.events():
        [channel] = row["channels"]
        seen.setdefault(channel, set()).add(row["type"])
        if channel == f"book:{ISSUE}":
            assert user(1) not in row["body"]
    assert seen == {
        f"book:{ISSUE}": {
            "IssueDrafted",
            "IssueActivated",
            "SharesSold",
            "RevenueReceived",
            "RevenueDistributed",
        },
        f"user:{user(1)}": {"SharesBought", "SharesWereLocked", "HoldingChanged", "RevenuePaid"},
        f"user:{ARTIST}": {"HoldingChanged", "RevenuePaid"},
    }


async def test_a_song_is_issued_again_once_no_share_is_left(world: MarketWorld) -> None:
    await world.issue()
    assert (await world.ask(TerminateIssue())).voided
    row = await storage.last_of_song(world.pool, SONG)
    assert row is not None
    assert (row.voided, row.status) == (True, IssueStatus.TERMINATED)
    second = issue_id_of(SONG, 2)
    await world.ask(draft(generation=2), second)
    found = await storage.newest_issues(world.pool, FIRST_PAGE, 10, song_id=SONG)
    assert sorted(r.generation for r in found) == [1, 2]
    await world.verify()
