"""The story, on the real runtime, ledger and bus: a listen is played, scored, admitted, paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis_asyncio

from messages.listening import (
    Beat,
    EndListening,
    Phase,
    ResumeSession,
    SessionEnded,
    SessionView,
)
from messages.rewards import GetPayee, GetPool, GetStreak, PayeeView, PoolView, StreakView
from storage import listening as listening_storage
from storage import rewards as storage
from storage.rows import FIRST_PAGE
from tests.integration.rewards_support import DAY_MS, POOL, VIBES, World, open_world, until
from tests.unit.listening_player import ARTIST, ENTITY, SONG, USER, session_id, start

USER_ACCRUED, USER_AVAILABLE = f"user:{USER}:accrued/VIBES", f"user:{USER}:available/VIBES"
ARTIST_ACCRUED, ARTIST_AVAILABLE = (
    f"artist:{ARTIST}:accrued/VIBES",
    f"artist:{ARTIST}:available/VIBES",
)
POOL_BALANCE = f"pool:{POOL}:balance/VIBES"


@pytest.fixture
async def world(
    database_url: str, redis_client: redis_asyncio.Redis, redis_server: str
) -> AsyncIterator[World]:
    async with open_world(database_url, redis_server) as opened:
        yield opened


async def phase_of(world: World, number: int) -> str | None:
    row = await listening_storage.get_session(world.pool, session_id(number), USER)
    return row.phase if row else None


async def claimed(world: World, *numbers: int) -> bool:
    return all([await phase_of(world, number) == "claimed" for number in numbers])


async def settled(world: World, payouts: int, user: str = USER) -> bool:
    view: PayeeView = await world.ask("payees", f"user:{user}", GetPayee())
    return view.payouts == payouts


async def test_the_whole_story(world: World) -> None:
    await world.open_pool()
    view = await world.listen(1, 61)
    assert (view.phase, view.played_ms) == (Phase.ELIGIBLE, 61_000)
    await until(lambda: claimed(world, 1))

    # 0.5 · 61 / 60 · 1.0002, for nothing was spent in the first minute. Under 1 VIBES, so it waits.
    pool: PoolView = await world.ask("pools", POOL, GetPool())
    [reward] = await storage.newest_credits(world.pool, f"user:{USER}", FIRST_PAGE, 10)
    assert reward.amount_minor == 508_435
    assert reward.paid_at_ms is None
    assert pool.balance_minor == 1_000 * VIBES - 508_435 - 50_843

    # A long one brings it over the minimum: all that waited is paid out.
    await world.listen(2, 190, song_duration_ms=300_000)
    await until(lambda: settled(world, 1))
    await until(lambda: claimed(world, 1, 2))
    rewards = await storage.newest_credits(world.pool, f"user:{USER}", FIRST_PAGE, 10)
    paid = sum(row.amount_minor for row in rewards)
    shares = sum(row.amount_minor * 1_000 // 10_000 for row in rewards)
    assert all(row.paid_at_ms is not None for row in rewards)
    assert 1_890_000 < rewards[0].amount_minor < 1_900_000  # 0.5 · 190/60 · 1.2, a little ahead
    assert await world.balances(
        USER_ACCRUED, USER_AVAILABLE, ARTIST_ACCRUED, ARTIST_AVAILABLE, POOL_BALANCE
    ) == [0, paid, shares, 0, 1_000 * VIBES - paid - shares]
    [row] = await storage.newest_pools(world.pool, FIRST_PAGE, 10)
    assert row.balance_minor == 1_000 * VIBES - paid - shares
    streak: StreakView = await world.ask("listeners", USER, GetStreak())
    assert (streak.days, streak.rewarded_today, streak.paid_today_minor) == (1, 2, paid)
    await world.verify()


async def test_events_reach_the_channels_of_those_they_concern(world: World) -> None:
    await world.open_pool()
    await world.listen(1, 130, tier="vip")
    await until(lambda: settled(world, 1))
    await until(lambda: claimed(world, 1))
    seen: dict[str, set[str]] = {}
    for row, body in await world.events():
        for channel in row["channels"]:
            seen.setdefault(channel, set()).add(row["type"])
            if channel.startswith(("pool:", "song:")):
                assert USER not in row["body"], "a public channel names a listener"
        assert "entropy" not in body
    assert seen == {
        f"user:{USER}": {
            "ListeningStarted",
            "ListeningEnded",
            "ListeningScored",
            "ListenAdmitted",
            "RewardPaid",
            "RewardPaidOut",
            "StreakExtended",
        },
        f"song:{SONG}": {"ListenCounted"},
        f"pool:{POOL}": {"RewardPoolOpened", "RewardPoolFunded", "PoolDrawn"},
        f"earnings:{ARTIST}": {"ArtistShareAccrued"},
    }


async def test_a_session_survives_its_owner_between_any_two_beats(world: World) -> None:
    view: SessionView = await world.ask("listening", ENTITY, start())
    for index in range(6):
        await world.restart_host()
        found = await world.ask("listening", ENTITY, ResumeSession(view.session_id))
        assert found == view
        assert view.ticket is not None
        world.now_ms = view.ticket.due_at_ms
        beat = Beat(view.session_id, view.ticket.index, view.ticket.nonce, 10_000 * (index + 1))
        view = await world.ask("listening", ENTITY, beat)
        await world.restart_host()
        assert await world.ask("listening", ENTITY, beat) == view
    ended = await world.ask("listening", ENTITY, EndListening(view.session_id))
    assert (ended.played_ms, ended.phase) == (60_000, Phase.ELIGIBLE)


async def test_a_forgotten_session_ends_by_its_own_timer(world: World) -> None:
    await world.open_pool()
    view: SessionView = await world.ask("listening", ENTITY, start())
    for index in range(4):
        assert view.ticket is not None
        world.now_ms = view.ticket.due_at_ms
        beat = Beat(view.session_id, view.ticket.index, view.ticket.nonce, 10_000 * (index + 1))
        view = await world.ask("listening", ENTITY, beat)
    # The timer that was set at the start fires first, finds the session alive, and is set anew.
    world.now_ms += 85_000
    reminders = "select due_at_ms from runtime.reminders"
    await until(lambda: _is(world, reminders, view.started_at_ms + 160_000))
    world.now_ms = view.started_at_ms + 160_000
    await until(lambda: claimed(world, 1))
    row = await listening_storage.get_session(world.pool, session_id(1), USER)
    assert row is not None
    assert (row.end_reason, row.ended_at_ms) == ("stale", view.started_at_ms + 40_000)
    with pytest.raises(SessionEnded):
        await world.ask("listening", ENTITY, Beat(view.session_id, 4, b"", 0))


async def _is(world: World, statement: str, value: int) -> bool:
    return bool(await world.pool.fetchval(statement) == value)


async def test_a_pool_that_runs_dry_releases_the_admission(world: World) -> None:
    await world.open_pool(vibes=1)
    await world.listen(1, 130, tier="vip", boost_bps=100_000)

    async def refused() -> bool:
        return any(row["type"] == "ListenRewardRefused" for row, _ in await world.events())

    await until(refused)

    async def released() -> bool:
        view: StreakView = await world.ask("listeners", USER, GetStreak())
        return view.left_today_minor == 100 * VIBES

    await until(released)
    assert await world.balances(POOL_BALANCE, USER_ACCRUED) == [VIBES, 0]
    assert await phase_of(world, 1) == "eligible"
    pool: PoolView = await world.ask("pools", POOL, GetPool())
    assert pool.status.value == "depleted"


async def test_a_day_is_limited_and_the_next_is_not(world: World) -> None:
    await world.open_pool(vibes=100_000)
    big: dict[str, Any] = {"tier": "vip", "boost_bps": 100_000, "song_duration_ms": 400_000}
    for number in range(1, 5):
        await world.listen(number, 310, **big)
    decided = {"ListenNotAdmitted", "RewardPaid"}

    async def all_decided() -> bool:
        return sum(row["type"] in decided for row, _ in await world.events()) == 4

    await until(all_decided)
    [reason] = [b["reason"] for r, b in await world.events() if r["type"] == "ListenNotAdmitted"][
        :1
    ]
    assert reason == "daily-amount"
    await until(lambda: _paid_today(world, 100 * VIBES))
    world.now_ms += DAY_MS
    await world.listen(5, 60)
    await until(lambda: claimed(world, 5))
    streak: StreakView = await world.ask("listeners", USER, GetStreak())
    assert streak.days == 2
    await world.verify()


async def _paid_today(world: World, amount: int) -> bool:
    view: StreakView = await world.ask("listeners", USER, GetStreak())
    return view.paid_today_minor == amount


async def test_a_streak_that_nobody_continues_is_broken_by_its_timer(world: World) -> None:
    await world.open_pool()
    await world.listen(1, 60)
    await until(lambda: _streak_is(world, 1, 1))
    world.now_ms += DAY_MS
    await world.listen(2, 60)
    await until(lambda: _streak_is(world, 2, 2))
    world.now_ms += 9 * DAY_MS
    await until(lambda: _streak_is(world, 0, 2))
    broken = [body for row, body in await world.events() if row["type"] == "StreakBroken"]
    assert [body["days"] for body in broken] == [2]


async def _streak_is(world: World, days: int, longest: int) -> bool:
    row = await world.pool.fetchrow("select days, longest_days from rewards.streaks")
    return row is not None and (row["days"], row["longest_days"]) == (days, longest)


async def test_nothing_is_paid_twice_while_owners_die(world: World) -> None:
    await world.open_pool(vibes=10_000)
    users = [f"0197a000-0000-7000-8000-0000000000{n:02d}" for n in range(10, 18)]
    for number, user in enumerate(users, start=1):
        await world.listen(number, 130, user=user, tier="vip")
        await world.restart_host()

    async def all_paid() -> bool:
        return all([await settled(world, 1, user) for user in users])

    await until(all_paid)
    events = await world.events()
    kinds_seen = Counter(row["type"] for row, _ in events)
    assert kinds_seen["RewardPaid"] == len(users)
    paid_out = [body["payee_id"] for row, body in events if row["type"] == "RewardPaidOut"]
    assert sorted(p for p in paid_out if p.startswith("user:")) == [f"user:{u}" for u in users]
    assert kinds_seen["StreakExtended"] == kinds_seen["ListenAdmitted"] == len(users)
    await world.verify()
