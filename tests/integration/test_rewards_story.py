"""The story, on the real runtime, ledger and bus: a listen is played, scored, claimed, paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis_asyncio

from messages.listening import (
    Beat,
    EndListening,
    Phase,
    ResumeSession,
    SessionEnded,
    SessionView,
    Tier,
)
from messages.rewards import (
    TREASURY,
    ClaimsLimited,
    FundPool,
    GetPayee,
    GetPool,
    GetStreak,
    PayeeView,
    PoolView,
    StreakView,
)
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


async def settled(world: World, payouts: int, user: str = USER) -> bool:
    view: PayeeView = await world.ask("payees", f"user:{user}", GetPayee())
    return view.payouts == payouts


async def test_the_whole_story(world: World) -> None:
    await world.open_pool()
    view = await world.listen(1, 61, commitment="77")
    assert (view.phase, view.played_ms, view.claimable) == (Phase.ELIGIBLE, 61_000, True)
    await world.grown(1)

    # 0.5 · 61 / 60 · 1.0002 and a tenth of it, for nothing was spent in the first minute.
    share = 50_843
    assert await world.balances(ARTIST_ACCRUED, POOL_BALANCE) == [share, 1_000 * VIBES - share]

    # The claim proves a minute. Under 1 VIBES, so it waits.
    first = await world.claim(await world.signals(1))
    assert [(o.code, o.reward_minor) for o in first.outcomes] == [("", 500_050)]
    [reward] = await storage.newest_credits(world.pool, f"user:{USER}", FIRST_PAGE, 10)
    assert (reward.credit_id, reward.amount_minor) == (first.payment_id, 500_050)
    assert (reward.song_id, reward.claims, reward.paid_at_ms) == (None, 1, None)

    # A long one brings it over the minimum: all that waited is paid out.
    await world.listen(2, 190, song_duration_ms=300_000, commitment="77")
    await world.grown(2)
    second = await world.claim(await world.signals(2, min_played_ms=180_000))
    await until(lambda: settled(world, 1))
    await until(lambda: _paid_today(world, first.reward_minor + second.reward_minor))
    rewards = await storage.newest_credits(world.pool, f"user:{USER}", FIRST_PAGE, 10)
    paid = sum(row.amount_minor for row in rewards)
    shares = await storage.newest_credits(world.pool, f"artist:{ARTIST}", FIRST_PAGE, 10)
    given = sum(row.amount_minor for row in shares)
    assert all(row.paid_at_ms is not None for row in rewards)
    assert {row.song_id for row in shares} == {SONG}
    assert 1_490_000 < rewards[0].amount_minor <= 1_500_000
    assert await world.balances(
        USER_ACCRUED, USER_AVAILABLE, ARTIST_ACCRUED, ARTIST_AVAILABLE, POOL_BALANCE
    ) == [0, paid, given, 0, 1_000 * VIBES - paid - given]
    [row] = await storage.newest_pools(world.pool, FIRST_PAGE, 10)
    assert row.balance_minor == 1_000 * VIBES - paid - given
    streak: StreakView = await world.ask("listeners", USER, GetStreak())
    assert (streak.days, streak.rewarded_today, streak.paid_today_minor) == (1, 2, paid)
    assert await phase_of(world, 1) == "eligible", "nobody can know which session was claimed"
    await world.verify()


async def test_events_reach_the_channels_of_those_they_concern(world: World) -> None:
    await world.open_pool()
    await world.listen(1, 130, tier="vip", commitment="77")
    await world.grown(1)
    signals = await world.signals(1, min_played_ms=120_000)
    paid = await world.claim(signals, tier=Tier.VIP)
    await world.claim(signals, tier=Tier.VIP)
    await until(lambda: settled(world, 1))
    await until(lambda: _paid_today(world, paid.reward_minor))
    seen: dict[str, set[str]] = {}
    for row, body in await world.events():
        for channel in row["channels"]:
            seen.setdefault(channel, set()).add(row["type"])
            if channel.startswith(("pool:", "song:", "earnings:")):
                assert USER not in row["body"], "a channel of others names a listener"
                assert session_id(1) not in row["body"], "a channel of others names a session"
        if row["type"] in {"RewardPaid", "ProofVerified", "ProofRejected"}:
            for secret in (session_id(1), SONG, ARTIST, "phone"):
                assert secret not in row["body"], "a claim tells what was listened to"
        assert "entropy" not in body
    assert seen == {
        f"user:{USER}": {
            "ListeningStarted",
            "ListeningEnded",
            "ListeningScored",
            "ProofRejected",
            "RewardPaid",
            "RewardPaidOut",
            "StreakExtended",
        },
        f"song:{SONG}": {"ListenCounted"},
        f"pool:{POOL}": {"RewardPoolOpened", "RewardPoolFunded", "PoolDrawn", "ProofVerified"},
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

    async def ended() -> bool:
        return await phase_of(world, 1) == "eligible"

    await until(ended)
    row = await listening_storage.get_session(world.pool, session_id(1), USER)
    assert row is not None
    assert (row.end_reason, row.ended_at_ms) == ("stale", view.started_at_ms + 40_000)
    with pytest.raises(SessionEnded):
        await world.ask("listening", ENTITY, Beat(view.session_id, 4, b"", 0))


async def _is(world: World, statement: str, value: int) -> bool:
    return bool(await world.pool.fetchval(statement) == value)


async def test_a_pool_that_runs_dry_releases_the_admission(world: World) -> None:
    await world.open_pool(vibes=1)
    await world.listen(1, 130, commitment="77")
    await world.grown(1)
    signals = await world.signals(1, min_played_ms=120_000)
    refused = await world.claim(signals, tier=Tier.VIP)
    assert [o.code for o in refused.outcomes] == ["reward-pool-depleted"]

    async def released() -> bool:
        view: StreakView = await world.ask("listeners", USER, GetStreak())
        return view.left_today_minor == 100 * VIBES

    await until(released)
    [left, paid] = await world.balances(POOL_BALANCE, USER_ACCRUED)
    assert (left < VIBES, paid) == (True, 0)
    pool: PoolView = await world.ask("pools", POOL, GetPool())
    assert pool.status.value == "depleted"

    # Once funded, the very same claim is paid: nothing of it was spent.
    await world.ask("pools", POOL, FundPool("funding-2", TREASURY, 10 * VIBES))
    again = await world.claim(signals, tier=Tier.VIP)
    assert [o.code for o in again.outcomes] == [""]
    await world.verify()


async def test_a_day_is_limited_and_the_next_is_not(world: World) -> None:
    await world.open_pool(vibes=100_000)
    await world.listen(1, 60, commitment="77")
    await world.grown(1)

    async def minutes(first: int, count: int) -> list[tuple[str, ...]]:
        several = range(first, first + count)
        return [await world.signals(n, min_played_ms=1_000) for n in several]

    many = await world.claim(*await minutes(1, 32))
    assert all(not o.code for o in many.outcomes)
    rest = await world.claim(*await minutes(100, 32))
    assert [o.code for o in rest.outcomes] == [""] * 18
    await until(lambda: _paid_today(world, many.reward_minor + rest.reward_minor))
    with pytest.raises(ClaimsLimited):
        await world.claim(await world.signals(200))
    world.now_ms += DAY_MS
    assert (await world.claim(await world.signals(200))).reward_minor > 0

    async def two_days() -> bool:
        streak: StreakView = await world.ask("listeners", USER, GetStreak())
        return streak.days == 2

    await until(two_days)
    await world.verify()


async def _paid_today(world: World, amount: int) -> bool:
    view: StreakView = await world.ask("listeners", USER, GetStreak())
    return view.paid_today_minor == amount


async def test_a_streak_that_nobody_continues_is_broken_by_its_timer(world: World) -> None:
    await world.open_pool()
    await world.listen(1, 60, commitment="77")
    await world.grown(1)
    signals = [await world.signals(number) for number in (1, 2)]
    await world.claim(signals[0])
    await until(lambda: _streak_is(world, 1, 1))
    world.now_ms += DAY_MS
    await world.claim(signals[1])
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
        await world.listen(number, 130, user=user, tier="vip", commitment="77")
        await world.restart_host()
    await world.grown(len(users))
    for number, user in enumerate(users, start=1):
        signals = await world.signals(number, user=user, min_played_ms=120_000)
        first = await world.claim(signals, user=user, tier=Tier.VIP)
        await world.restart_host()
        again = await world.claim(signals, user=user, tier=Tier.VIP)
        assert [first.outcomes[0].code, again.outcomes[0].code] == ["", "claim-already-paid"]

    async def all_paid() -> bool:
        return all([await settled(world, 1, user) for user in users])

    await until(all_paid)

    async def both_settled() -> bool:
        rows = Counter(row["type"] for row, _ in await world.events())
        return rows["StreakExtended"] == len(users)

    await until(both_settled)
    events = await world.events()
    kinds_seen = Counter(row["type"] for row, _ in events)
    assert kinds_seen["RewardPaid"] == kinds_seen["ProofRejected"] == len(users)
    assert kinds_seen["ArtistShareAccrued"] == len(users)
    paid_out = [body["payee_id"] for row, body in events if row["type"] == "RewardPaidOut"]
    assert sorted(p for p in paid_out if p.startswith("user:")) == [f"user:{u}" for u in users]
    await world.verify()
