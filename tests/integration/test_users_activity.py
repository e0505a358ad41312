"""Deeds counted from the bus, each once: points, tiers, stats, history, figures for admins."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis_asyncio

from actors.user_activity import UserActivityHandler
from messages.envelope import Event, event_of_fact
from messages.keys import derive_id
from messages.listening import ListeningScored, Tier
from messages.market.issues import SharesBought
from messages.rewards import RewardPaid, StreakExtended
from messages.rewards.claims import PaidClaim
from messages.users import Role
from storage import outbox, users_activity, users_events, users_follows
from storage import users as users_storage
from storage.database import Connection, Pool
from tests.api_services import NOW_MS, Api, assert_problem, make_services, open_api
from tests.integration.bus_support import QUICK, running, until

DAY_MS = 86_400_000
# The tests' clock is long ago, and what was handled then would be trimmed.
KEEPING = msgspec.structs.replace(QUICK, retention_ms=10**12)


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        yield opened


def counting() -> UserActivityHandler:
    return UserActivityHandler(lambda: NOW_MS)


def told(stream: str, fact: msgspec.Struct, number: int) -> Event:
    return event_of_fact(
        fact,
        event_id=derive_id("test", stream, type(fact).__name__, number),
        stream=stream,
        entity_id=f"e-{number}",
        sequence=1,
        at_ms=NOW_MS,
        channels=(),
    )


def scored(user_id: str, played_ms: int, eligible: bool = True) -> ListeningScored:
    return ListeningScored(
        session_id="s", user_id=user_id, device_id="d", song_id="o", artist_id="a", pool_id="p",
        tier=Tier.FREE, boost_bps=10_000, time_zone="UTC", ended_at_ms=NOW_MS, played_ms=played_ms,
        eligible=eligible, score_bps=0, reasons=(), policy_version=1,
    )  # fmt: skip


def paid(user_id: str, claims: int, at_ms: int = NOW_MS) -> RewardPaid:
    made = tuple(PaidClaim(str(n), 1_000, 5) for n in range(claims))
    return RewardPaid("p", user_id, 5 * claims, 1, 1, False, 1, at_ms, "y", made)


def bought(user_id: str, shares: int, at_ms: int = NOW_MS) -> SharesBought:
    return SharesBought("i", "b", user_id, "USD", shares, 100, 100 * shares, 7, at_ms)


async def write(pool: Pool, *events: Event) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await outbox.append(connection, events)


async def counted(pool: Pool, group: str = UserActivityHandler.group) -> bool:
    """Whether the group has handled all that was written."""
    return not await pool.fetchval(
        "select exists (select from bus.outbox o join bus.inbox i using (stream)"
        " where i.group_name = $1 and (o.xid, o.id) > (i.xid, i.id))",
        group,
    )


async def me(api: Api, path: str) -> Any:
    answer = await api.client.get(f"/api/v1/users/me/{path}", headers=api.headers())
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_deeds_become_stats_points_and_a_tier_that_sessions_start_with(
    api: Api, database_url: str, redis_server: str, redis_client: redis_asyncio.Redis
) -> None:
    user_id = (await api.register()).json()["user_id"]
    await api.sign_in()
    other = (await api.register("otto", key="other-key-1")).json()["user_id"]
    await users_storage.grant_points(api.pool, "mira", 410)
    await api.client.put(f"/api/v1/users/me/following/users/{other}", headers=api.headers())
    events = [
        told("listening", scored(user_id, 18_000_000), 1),
        told("listening", scored(user_id, 50, eligible=False), 2),
        told("rewards", paid(user_id, 3), 3),
        told("rewards", paid(user_id, 40), 4),
        told("rewards", StreakExtended(user_id, 2, 6, 1, 0, 0, 0, NOW_MS), 5),
        told("market", bought(user_id, 7), 6),
        told("market", bought(user_id, 3), 7),
        told("market", bought("0197a000-0000-7000-8000-000000000099", 3), 8),
    ]
    await write(api.pool, *events)
    async with running(database_url, redis_server, counting(), limits=KEEPING):
        await until(lambda: counted(api.pool))
    tier = await me(api, "tier")
    # 43 rewards give 50 at most, 2 purchases 40, a streak's day 5, a follow 1.
    assert tier["points"] == 410 + 50 + 40 + 5 + 1
    assert (tier["tier"], tier["next_tier"], tier["missing_points"]) == ("premium", "vip", 494)
    assert {s["activity"]: s["points"] for s in tier["sources"]} == {
        "follow": 1, "investment": 40, "reward": 50, "streak": 5,
    }  # fmt: skip
    assert tier["granted_points"] == 410
    shown = await api.client.get("/api/v1/users/me", headers=api.headers())
    assert shown.json()["tier"] == "premium", "what listening sessions start with"
    assert await me(api, "stats") == {
        "listens": 1, "played_ms": 18_000_000, "hours_hundredths": 500,
        "rewards": 43, "reward_minor": 215, "investments": 2, "shares": 10,
        "streak_days": 2, "longest_streak": 6,
        # 0.1 · 5 + 0.5 · 2 + 0.2 · 43 + 0.3 · 6
        "reputation_hundredths": 50 + 100 + 860 + 180,
    }  # fmt: skip
    upgrades = await api.pool.fetch(
        "select sequence, body from bus.outbox where type = 'TierUpgraded' and entity_id = $1",
        user_id,
    )
    assert len(upgrades) == 1
    assert msgspec.json.decode(upgrades[0]["body"])["tier"] == "premium"
    history = await me(api, "activity")
    assert [day["day"] for day in history["items"]] == ["2026-09-21"]
    done = {a["activity"]: a["count"] for a in history["items"][0]["activities"]}
    assert done == {
        "registration": 1, "follow": 1, "listen": 1, "reward": 43, "streak": 1, "investment": 2,
    }  # fmt: skip


class Faltering(UserActivityHandler):
    """Writes, then fails: first as something that passes, then as a defect of one event."""

    def __init__(self) -> None:
        super().__init__(lambda: NOW_MS)
        self.failures = 6

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        await super().handle(connection, events)
        if self.failures:
            self.failures -= 1
            raise ConnectionResetError("gone") if self.failures % 2 else ValueError("a bad moment")


async def test_redelivery_crashes_and_a_lost_broker_count_nothing_twice(
    api: Api, database_url: str, redis_server: str, redis_client: redis_asyncio.Redis
) -> None:
    user_id = (await api.register()).json()["user_id"]
    await api.sign_in()
    for number in range(60):
        await write(api.pool, told("market", bought(user_id, 1, NOW_MS + number * DAY_MS), number))
        await write(api.pool, told("rewards", paid(user_id, 1), number))
    async with running(database_url, redis_server, Faltering(), name="first", limits=KEEPING):
        await until(lambda: counted(api.pool))
    await redis_client.flushdb()
    await api.pool.execute("select pg_notify('outbox', 'market,rewards')")
    async with (
        running(database_url, redis_server, counting(), name="second", limits=KEEPING),
        running(database_url, redis_server, counting(), name="third", limits=KEEPING),
    ):
        for number in range(60, 80):
            await write(
                api.pool, told("market", bought(user_id, 1, NOW_MS + number * DAY_MS), number)
            )
        await until(lambda: counted(api.pool))
        await asyncio.sleep(0.3)
    stats = await me(api, "stats")
    assert (stats["investments"], stats["shares"], stats["rewards"]) == (80, 80, 60)
    assert (await me(api, "tier"))["points"] == 80 * 20 + 50
    told_tiers = await api.pool.fetch(
        "select body from bus.outbox where type = 'TierUpgraded' order by xid, id"
    )
    tiers = [msgspec.json.decode(row["body"])["tier"] for row in told_tiers]
    assert tiers in (["premium", "vip"], ["vip"])


async def test_points_and_follows_of_a_user_at_once_make_no_deadlock(
    api: Api, database_url: str, redis_server: str, redis_client: redis_asyncio.Redis
) -> None:
    ids = [
        (await api.register(name, key=f"key-{name}-1")).json()["user_id"]
        for name in ("mira", "otto", "nora")
    ]
    await api.sign_in("mira")
    async with running(database_url, redis_server, counting(), limits=KEEPING):

        async def deeds() -> None:
            for number in range(40):
                for stream, fact in (("market", bought), ("rewards", paid)):
                    order = ids if number % 2 else ids[::-1]
                    await write(
                        api.pool,
                        *(
                            told(stream, fact(u, 1), 1_000 * number + n)
                            for n, u in enumerate(order)
                        ),
                    )

        async def follows() -> None:
            for number in range(40):
                method = "DELETE" if number % 2 else "PUT"
                url = f"/api/v1/users/me/following/users/{ids[1 + number % 4 // 2]}"
                answer = await api.client.request(method, url, headers=api.headers())
                assert answer.status_code == 200, answer.text

        await asyncio.gather(deeds(), follows())
        await until(lambda: counted(api.pool))
    rows = await api.pool.fetch("select investments, rewards from users.stats order by user_id")
    assert [tuple(row) for row in rows] == [(40, 40)] * 3
    assert await api.pool.fetchval("select count(*) from bus.dead_letters") == 0


async def test_a_user_who_is_gone_follows_nobody_and_shows_nothing(api: Api) -> None:
    ids = {}
    for name in ("mira", "otto"):
        ids[name] = (await api.register(name, key=f"key-{name}-1")).json()["user_id"]
    for name, other in (("mira", "otto"), ("otto", "mira")):
        await api.sign_in(name)
        url = f"/api/v1/users/me/following/users/{ids[other]}"
        await api.client.put(url, headers=api.headers())
        await api.client.patch(
            "/api/v1/users/me/profile", json={"bio": "me"}, headers=api.headers()
        )
    await api.pool.execute("update users.users set status = 'deleted' where username = 'mira'")
    async with api.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, ids["mira"])
        await users_follows.forget(connection, ids["mira"])
        await users_activity.forget(connection, ids["mira"])
    shown = (await api.client.get("/api/v1/users/otto")).json()
    assert (shown["followers"], shown["following"], shown["bio"]) == (0, 0, "me")
    left = await api.pool.fetchval(
        "select count(*) from users.profiles where user_id = $1", ids["mira"]
    )
    assert left == 0
    assert await api.pool.fetchval("select count(*) from users.follows") == 0


async def figures(api: Api, path: str, **params: str) -> Any:
    answer = await api.client.get(
        f"/api/v1/analytics/users/{path}", params=params, headers=api.headers()
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_figures_and_cohorts_by_hand(
    api: Api, database_url: str, redis_server: str, redis_client: redis_asyncio.Redis
) -> None:
    """Three users register on Monday, one in the next week; two of the first come back."""
    clock = api.services.clock
    monday = NOW_MS - NOW_MS % DAY_MS  # 2026-09-21
    clock.now_ms = monday  # type: ignore[attr-defined]
    ids = [
        (await api.register(name, key=f"key-{name}-1")).json()["user_id"]
        for name in ("mira", "otto", "nora")
    ]
    clock.now_ms = monday + 8 * DAY_MS  # type: ignore[attr-defined]
    await api.register("late", key="key-late-1")
    await write(
        api.pool,
        told("market", bought(ids[0], 1, monday + 1 * DAY_MS), 1),
        told("market", bought(ids[0], 1, monday + 8 * DAY_MS), 2),
        told("market", bought(ids[1], 1, monday + 8 * DAY_MS), 3),
        told("rewards", paid(ids[1], 1, monday + 8 * DAY_MS), 3),
    )
    async with running(database_url, redis_server, counting(), limits=KEEPING):
        await until(lambda: counted(api.pool))
    await users_storage.grant_role(api.pool, "late", Role.ADMIN)
    await api.sign_in("late")
    body = await figures(api, "days", first="2026-09-20", last="2026-09-29")
    rows = {d["day"]: (d["registrations"], d["dau"], d["wau"], d["mau"]) for d in body["days"]}
    assert len(rows) == 10
    assert rows["2026-09-20"] == (0, 0, 0, 0)
    assert rows["2026-09-21"] == (3, 3, 3, 3)
    assert rows["2026-09-22"] == (0, 1, 3, 3)
    assert rows["2026-09-28"] == (0, 0, 1, 3)
    assert rows["2026-09-29"] == (1, 3, 3, 4)
    cohorts = (await figures(api, "retention", weeks="3"))["cohorts"]
    assert cohorts == [
        {"week": "2026-09-14", "users": 0, "active": [0, 0, 0]},
        {"week": "2026-09-21", "users": 3, "active": [3, 2]},
        {"week": "2026-09-28", "users": 1, "active": [1]},
    ]
    today = (await figures(api, "days"))["days"]
    assert (len(today), today[-1]["day"]) == (30, "2026-09-29")
    for params in (
        {"first": "2026-09-30", "last": "2026-09-29"},
        {"first": "2026-01-01", "last": "2026-09-29"},
    ):
        bad = await api.client.get(
            "/api/v1/analytics/users/days", params=params, headers=api.headers()
        )
        assert_problem(bad, 422, "period-invalid")


async def test_figures_are_for_admins(api: Api) -> None:
    await api.register()
    await api.sign_in()
    for path in ("days", "retention"):
        url = f"/api/v1/analytics/users/{path}"
        assert_problem(await api.client.get(url), 401, "unauthenticated")
        refused = await api.client.get(url, headers=api.headers())
        assert_problem(refused, 403, "permission-missing")


async def test_history_is_paged_by_day(api: Api) -> None:
    user_id = (await api.register()).json()["user_id"]
    await api.sign_in()
    first = dt.date(2026, 9, 1).toordinal()
    await api.pool.executemany(
        "insert into users.activity (user_id, day, kind, count, amount) values ($1, $2, $3, 1, 1)",
        [(user_id, first + n, kind) for n in range(5) for kind in ("listen", "reward")],
    )
    seen, cursor = [], ""
    while True:
        body = await me(api, f"activity?limit=2{cursor}")
        seen += [(day["day"], len(day["activities"])) for day in body["items"]]
        if not body["next_cursor"]:
            break
        cursor = f"&cursor={body['next_cursor']}"
    assert seen == [(f"2026-09-0{n}", 2) for n in (5, 4, 3, 2, 1)]
