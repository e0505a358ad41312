"""The table of limits, the algorithm beside a naive twin, and the leases of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError

from api.app import route_access
from api.rate_limits import Caller, Limiter
from domain.rate_limits import (
    ADDRESS,
    CHANGES,
    CREDENTIALS,
    LIMITS,
    ORDERS,
    READS,
    REGISTRATIONS,
    SECOND_US,
    WRITES,
    Ask,
    Grant,
    Limit,
    changed,
    factor_of,
    limit_of,
    take,
)
from messages.users import Role
from storage.rate_limits import LocalRates, SteadyRates

ANNA, BEN = Caller("anna", "203.0.113.7"), Caller("ben", "203.0.113.7")
NOBODY = Caller("", "203.0.113.7")


class Time:
    def __init__(self) -> None:
        self.s = 1_000.0

    def __call__(self) -> float:
        return self.s

    def us(self) -> int:
        return round(self.s * SECOND_US)


class Bucket:
    """The naive twin: a bucket that holds `quota` and is filled evenly, in exact fractions."""

    def __init__(self, ask: Ask, now_us: int) -> None:
        self.ask, self.at, self.holds = ask, now_us, Fraction(ask.quota)

    def take(self, now_us: int, wanted: int) -> tuple[int, int]:
        self.holds += Fraction(now_us - self.at, self.ask.interval_us)
        self.holds, self.at = min(self.holds, Fraction(self.ask.quota)), now_us
        granted = min(wanted, int(self.holds))
        self.holds -= granted
        return granted, int(self.holds)


@given(
    st.integers(1, 50),
    st.integers(1, 5_000_000),
    st.lists(st.tuples(st.integers(0, 20_000_000), st.integers(1, 60)), max_size=40),
)
def test_the_algorithm_is_a_bucket_that_fills_evenly(
    quota: int, interval_us: int, steps: list[tuple[int, int]]
) -> None:
    arrival_us, now_us = 0, 10**15
    bucket = Bucket(Ask("", interval_us, quota, 1), now_us)
    for pause_us, wanted in steps:
        now_us += pause_us
        arrival_us, grant = take(arrival_us, now_us, Ask("", interval_us, quota, wanted))
        assert (grant.granted, grant.left) == bucket.take(now_us, wanted)
        assert 0 <= grant.whole_us <= quota * interval_us
        if not grant.granted:
            one = Ask("", interval_us, quota, 1)
            assert take(arrival_us, now_us + grant.wait_us - 1, one)[1].granted == 0
            assert take(arrival_us, now_us + grant.wait_us, one)[1].granted == 1


@pytest.mark.parametrize(
    ("method", "path", "is_known", "limit"),
    [
        ("GET", "/api/v1/songs", True, "reads"),
        ("GET", "/api/v1/songs", False, "anonymous"),
        ("HEAD", "/docs", False, "anonymous"),
        ("POST", "/api/v1/books/x/orders", True, "orders"),
        ("DELETE", "/api/v1/books/x/orders/y", True, "orders"),
        ("POST", "/api/v1/books/x/orders", False, "credentials"),
        ("POST", "/api/v1/songs", True, "uploads"),
        ("POST", "/api/v1/songs", False, "credentials"),
        ("POST", "/api/v1/issues", True, "writes"),
        ("PATCH", "/api/v1/anything", False, "credentials"),
        ("BREW", "/api/v1/anything", False, "credentials"),
        ("POST", "/api/v1/users", True, "registrations"),
        ("POST", "/api/v1/users", False, "registrations"),
        ("POST", "/api/v1/sessions", True, "credentials"),
        ("POST", "/api/v1/sessions/refresh", False, "refresh"),
        ("POST", "/api/v1/sessions/current/step-up", True, "confirmations"),
        ("POST", "/api/v1/sessions/current/step-up", False, "credentials"),
        ("POST", "/api/v1/sessions/second-factor", False, "credentials"),
        ("POST", "/api/v1/password-resets", True, "credentials"),
        ("POST", "/api/v1/webhooks/stripe", False, "webhooks"),
    ],
)
def test_each_request_has_its_limit(method: str, path: str, is_known: bool, limit: str) -> None:
    assert limit_of(method, path, is_known=is_known).name == limit


def test_nobody_changes_anything_unsigned_but_under_a_strict_limit() -> None:
    """Whoever adds a route that needs no token finds it here."""
    strict = {"credentials", "refresh", "registrations", "webhooks"}
    asked = 0
    for route in route_access():
        if route.permission is None and route.method not in {"GET", "HEAD"}:
            for is_known in (True, False):
                limit = limit_of(route.method, route.path, is_known=is_known)
                assert limit.name in strict, f"{route.method} {route.path}: {limit.name}"
            asked += 1
    assert asked > 10


def test_every_row_of_the_table_leads_to_a_route() -> None:
    paths = {route.path for route in route_access()}
    for path, _ in CHANGES:
        found = [p for p in paths if (p.startswith(path) if path.endswith("/") else p == path)]
        assert found, f"{path} is nobody's"


def test_operators_may_do_more() -> None:
    assert factor_of((Role.USER, Role.ADMIN)) > factor_of((Role.USER,)) == factor_of(()) == 1


def test_figures_can_be_changed_and_wrong_ones_are_refused() -> None:
    table = changed(LIMITS, {"orders": "7/3"})
    assert (table["orders"].quota, table["orders"].window_s) == (7, 3)
    assert table["reads"] is LIMITS["reads"]
    for wrong in ({"other": "1/1"}, {"orders": "7"}, {"orders": "0/3"}, {"orders": "7/0"},
                  {"orders": "-1/3"}, {"orders": "7/3/3"}):  # fmt: skip
        with pytest.raises(ValueError, match="rate limit"):
            changed(LIMITS, wrong)


# --- the limiter --------------------------------------------------------------------------------


class Counted:
    """A store that notes how often it is asked, and answers after the loop had a turn."""

    def __init__(self, store: LocalRates) -> None:
        self.store, self.asked = store, list[Ask]()

    async def take(self, asks: Sequence[Ask]) -> list[Grant]:
        await asyncio.sleep(0)
        self.asked.extend(asks)
        return await self.store.take(asks)


def limiter(time: Time, **figures: str) -> tuple[Limiter, Counted]:
    store = Counted(LocalRates(time.us))
    return Limiter(store, time, changed(LIMITS, figures)), store


async def passed(limited: Limiter, count: int, caller: Caller, method: str, path: str) -> int:
    made = [await limited.admit(method, path, caller) for _ in range(count)]
    return sum(not verdict.wait_ms for verdict in made)


ORDER = ("POST", "/api/v1/books/x/orders")
SIGN_IN = ("POST", "/api/v1/sessions")


async def test_a_caller_has_the_quota_and_no_more_and_gets_it_back() -> None:
    time = Time()
    limited, _ = limiter(time, orders="100/10")
    assert await passed(limited, 150, ANNA, *ORDER) == 100
    verdict = await limited.admit(*ORDER, ANNA)
    assert 0 < verdict.wait_ms <= 100
    assert (verdict.left, verdict.limit.name) == (0, "orders")
    assert await passed(limited, 100, BEN, *ORDER) == 100, "each caller has their own"
    assert await passed(limited, 1, ANNA, "GET", "/api/v1/songs") == 1, "and each limit is alone"
    time.s += 1
    assert await passed(limited, 150, ANNA, *ORDER) == 10


async def test_a_network_s_limit_counts_whoever_asks() -> None:
    limited, _ = limiter(Time(), credentials="10/60")
    assert await passed(limited, 6, ANNA, *SIGN_IN) == 6
    assert await passed(limited, 6, NOBODY, *SIGN_IN) == 4
    assert await passed(limited, 1, Caller("", "203.0.113.8"), *SIGN_IN) == 1


async def test_the_dam_holds_all_of_a_network() -> None:
    limited, _ = limiter(Time(), address="30/60")
    each = [await passed(limited, 10, Caller(f"u{n}", "203.0.113.7"), *ORDER) for n in range(5)]
    assert sum(each) == 30
    assert (await limited.admit(*ORDER, ANNA)).limit.name == ADDRESS.name


async def test_what_one_limit_refuses_is_not_counted_by_the_other() -> None:
    limited, _ = limiter(Time(), credentials="1/60", address="3/60")
    assert await passed(limited, 50, NOBODY, *SIGN_IN) == 1
    assert await passed(limited, 50, ANNA, *ORDER) == 2


async def test_a_busy_route_seldom_asks_redis_and_a_refused_caller_never() -> None:
    limited, store = limiter(Time())
    assert await passed(limited, 2_000, ANNA, *ORDER) == ORDERS.quota
    asked = sum(ask.key == "orders:anna" for ask in store.asked)
    assert asked == 20 + 1, "a lease is a twentieth; the last asking was refused"


async def test_requests_at_once_share_a_lease_and_exceed_nothing() -> None:
    limited, store = limiter(Time(), credentials="20/60")
    made = await asyncio.gather(*(limited.admit(*ORDER, ANNA) for _ in range(64)))
    assert not any(verdict.wait_ms for verdict in made)
    assert sum(ask.key == "orders:anna" for ask in store.asked) == 2, "64 of leases of 50"
    signing = await asyncio.gather(*(limited.admit(*SIGN_IN, NOBODY) for _ in range(64)))
    assert sum(not verdict.wait_ms for verdict in signing) == 20


async def test_processes_together_exceed_a_quota_by_no_more_than_their_leases() -> None:
    time = Time()
    store = LocalRates(time.us)
    processes = [Limiter(store, time, changed(LIMITS, {"orders": "200/10"})) for _ in range(4)]
    first = sum([await passed(p, 7, ANNA, *ORDER) for p in processes])
    time.s += 60  # whole again, and each process has the rest of its lease
    second = sum([await passed(p, 300, ANNA, *ORDER) for p in processes])
    assert first == 28
    assert 200 <= second <= 200 + 4 * 10
    exact = [Limiter(store, time, LIMITS) for _ in range(4)]
    made = sum([await passed(p, 100, NOBODY, *SIGN_IN) for p in exact])
    assert made == CREDENTIALS.quota


async def test_a_client_that_goes_away_takes_no_lease_along() -> None:
    limited, _ = limiter(Time())
    task = asyncio.create_task(limited.admit(*ORDER, ANNA))
    await asyncio.sleep(0)
    task.cancel()
    assert not (await asyncio.wait_for(limited.admit(*ORDER, ANNA), 1)).wait_ms


class Away:
    def __init__(self) -> None:
        self.asked, self.is_away = 0, True

    async def take(self, asks: Sequence[Ask]) -> list[Grant]:
        self.asked += 1
        if self.is_away:
            raise RedisConnectionError
        return [Grant(ask.wanted, 5, 0, 0) for ask in asks]


async def test_without_redis_each_process_counts_alone() -> None:
    time, shared = Time(), Away()
    limited = Limiter(SteadyRates(shared, LocalRates(time.us), time), time)
    assert await passed(limited, 500, NOBODY, *SIGN_IN) == CREDENTIALS.quota
    assert await passed(limited, 500, NOBODY, "POST", "/api/v1/users") == REGISTRATIONS.quota
    assert await passed(limited, 500, ANNA, "GET", "/api/v1/songs") == 500
    assert shared.asked == 1, "it is left alone for a second"
    time.s += 2
    shared.is_away = False
    assert await passed(limited, 500, NOBODY, *SIGN_IN) == 500, "and then asked again"


async def test_the_counters_of_a_process_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.rate_limits.MAX_KEYS", 10)
    time = Time()
    store = LocalRates(time.us)
    for number in range(200):
        await store.take([Ask(f"k{number}", SECOND_US, 5, 1)])
        time.s += 0.05
    assert len(store._arrivals) <= 22


def test_what_callers_are_told() -> None:
    from api.rate_limits import Verdict

    limit = Limit("orders", 100, 10)
    assert Verdict(limit, 400, 7, 3, 0).headers() == (
        (b"ratelimit-policy", b'"orders";q=400;w=10'),
        (b"ratelimit", b'"orders";r=7;t=3'),
    )


def test_leases_are_a_small_part() -> None:
    for limit in LIMITS.values():
        assert limit.lease <= max(1, limit.quota // 20)
        assert limit.exact is (limit.lease == 1), limit
    assert READS.lease > 1 < WRITES.lease
