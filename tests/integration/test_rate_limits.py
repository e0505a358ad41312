"""Limits counted in a real Valkey, and doors that stand while it is away."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio as redis_asyncio

from api.rate_limits import Limiter
from deployments.launcher.valkey import EmbeddedValkey
from domain.rate_limits import LIMITS, Ask, changed, take
from storage.rate_limits import LocalRates, RedisRates, SteadyRates, open_client
from tests.api_services import Api, assert_problem, make_services, open_api


async def now_us(client: redis_asyncio.Redis) -> int:
    seconds, micros = await client.time()
    return int(seconds) * 1_000_000 + int(micros)


@pytest.mark.parametrize("seed", range(4))
async def test_the_script_does_what_the_rule_says(
    redis_client: redis_asyncio.Redis, seed: int
) -> None:
    """Intervals are so long or so short that the moments between two calls do not matter."""
    chance = random.Random(seed)
    rates, arrivals = RedisRates(redis_client), dict[str, int]()
    for _ in range(60):
        asks = [
            Ask(f"k{chance.randrange(3)}-{interval}", interval, 8, chance.randint(1, 5))
            for interval in chance.sample([1, 10**10], chance.randint(1, 2))
        ]
        began = await now_us(redis_client)
        grants = await rates.take(asks)
        for ask, grant in zip(asks, grants, strict=True):
            arrivals[ask.key], wanted = take(arrivals.get(ask.key, 0), began, ask)
            assert grant[:2] == wanted[:2]
            assert abs(grant.wait_us - wanted.wait_us) < 10**6
            assert abs(grant.whole_us - wanted.whole_us) < 10**6


async def test_counters_go_when_the_quota_is_whole(redis_client: redis_asyncio.Redis) -> None:
    await RedisRates(redis_client).take([Ask("short", 20_000, 5, 2), Ask("long", 10**7, 5, 2)])
    assert 0 < await redis_client.pttl("rate:short") <= 40
    assert 19_000 < await redis_client.pttl("rate:long") <= 20_000


async def test_a_set_of_limits_is_one_round_trip(redis_client: redis_asyncio.Redis) -> None:
    rates = RedisRates(redis_client)
    await rates.take([Ask("warm", 10**6, 5, 1)])
    before = (await redis_client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    await rates.take([Ask("a", 10**6, 5, 1), Ask("b", 10**6, 5, 1), Ask("c", 10**6, 5, 1)])
    after = (await redis_client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert after - before == 1


def local_us() -> int:
    return time.monotonic_ns() // 1_000


@asynccontextmanager
async def gateway(folder: Path, url: str, **figures: str) -> AsyncIterator[Api]:
    client = open_client(url)
    rates = SteadyRates(RedisRates(client), LocalRates(local_us), time.monotonic)
    limiter = Limiter(rates, time.monotonic, changed(LIMITS, figures))
    async with open_api(make_services(folder, limiter=limiter)) as api:
        yield api
    await client.aclose()


async def test_gateways_share_the_count(
    redis_server: str, redis_client: redis_asyncio.Redis, tmp_path: Path
) -> None:
    figures = {"credentials": "5/3600"}
    async with (
        gateway(tmp_path, redis_server, **figures) as one,
        gateway(tmp_path, redis_server, **figures) as other,
    ):
        made = [await api.client.delete("/nowhere") for _ in range(4) for api in (one, other)]
        assert [answer.status_code for answer in made] == [404] * 5 + [429] * 3
        assert made[0].headers["ratelimit-policy"] == '"credentials";q=5;w=3600'
        assert made[0].headers["ratelimit"].startswith('"credentials";r=4;t=')
        problem = assert_problem(made[5], 429, "rate-limited")
        assert problem["params"]["policy"] == "credentials"
        assert 0 < int(made[5].headers["retry-after"]) <= 720
        assert made[5].headers["ratelimit"].startswith('"credentials";r=0;t=')
        assert (await one.client.get("/api/v1/ping")).status_code == 200


async def test_doors_stand_while_redis_is_away(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "valkey") as server:
        figures = {"credentials": "5/3600", "anonymous": "1000/60"}
        async with gateway(tmp_path, server.url, **figures) as api:
            assert (await api.client.delete("/nowhere")).status_code == 404
            server.stop()
            made = [(await api.client.delete("/nowhere")).status_code for _ in range(8)]
            assert made == [404] * 5 + [429] * 3, "counted here: neither all nor nothing"
            reads = [(await api.client.get("/api/v1/ping")).status_code for _ in range(80)]
            assert set(reads) == {200}
